"""Pages and drawings in two colours: exact bytes of `ink` beside other codecs, page by page.

    python benchmarks/pages.py --data DIR/pages --drawings FOLDER --json results/pages.json

Of the pages only the documents that the released model was not trained on; every picture in FOLDER. Others: JBIG1 (pbmtojbg,
of Debian's jbigkit-bin), JB2 without loss (cjb2, of djvulibre-bin), CCITT G4, lossless WebP, optimised PNG, JPEG XL (cjxl
-d 0 -e 9, of libjxl-tools); one whose tool is not there is left out. Whole files count, headers included. Times are those of
the process, there and back, without the first use's compiling. Pictures that are in the JSON file are not measured again.

Near-lossless (`near`): ours for two qualities, and JB2's lossy mode for two levels at 240 pixels an inch, where its cleaning
takes specks of one pixel only; bytes, how many pixels differ, and how many pieces of ink there are less, or more (-).
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vlae_codec import zoo
from vlae_codec.codec import decode, encode, encode_views
from vlae_codec.family import Ask
from vlae_codec.picture.raster import Raster
from vlae_codec.picture.reading import read_picture

TOOLS = {
    "jbig1": ("pbmtojbg", ("-q", "{source}", "{target}")),
    "jb2": ("cjb2", ("{source}", "{target}")),
    "jxl": ("cjxl", ("-d", "0", "-e", "9", "--quiet", "{png}", "{target}")),
}
QUALITIES, LEVELS = (0, 50), (100, 200)
PILLOW: dict[str, tuple[str, dict[str, Any]]] = {
    "g4": ("TIFF", {"compression": "group4"}),
    "webp": ("WEBP", {"lossless": True, "method": 6, "quality": 100}),
    "png": ("PNG", {"optimize": True}),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="the folder of pages")
    parser.add_argument("--drawings", type=Path, help="a folder of icons, codes and signatures")
    parser.add_argument("--json", type=Path, default=Path("results/pages.json"))
    arguments = parser.parse_args()
    pages = sorted(held_out(arguments.data), key=lambda path: path.stat().st_size)
    drawings = sorted(arguments.drawings.glob("*.png")) if arguments.drawings else []
    rows = json.loads(arguments.json.read_text())["pictures"] if arguments.json.exists() else []
    for kind, path in [*(("drawing", path) for path in drawings), *(("page", path) for path in pages)]:
        if path.name not in {row["name"] for row in rows}:
            rows.append(measured(path, kind))
            arguments.json.write_text(json.dumps({"pictures": rows}, indent=1) + "\n")


def held_out(folder: Path) -> list[Path]:
    """The pages of documents that the released model was not trained on."""
    valid = tuple(json.loads((zoo.folder_of(zoo.INK) / "model.json").read_text())["experiment"]["data"]["valid"])
    return [path for path in folder.glob("*.png") if path.name.startswith(valid)]


def measured(path: Path, kind: str) -> dict[str, Any]:
    """Sizes of a picture in bytes by codec, and seconds of ours."""
    two = read_picture(path.read_bytes(), path.name).raster.in_two()
    assert two is not None
    square = np.pad(np.ones((60, 60, 1), np.uint8), ((20, 20), (20, 20), (0, 0)))
    ours_near(Raster(square, two.format))
    started = time.process_time()
    (file,) = encode([two], zoo.named(zoo.INK), lossless=True)
    middle = time.process_time()
    (found,) = decode([file.data])
    ended = time.process_time()
    assert np.array_equal(found.raster.samples, two.samples)
    height, width = two.samples.shape[:2]
    row = {
        "name": path.name,
        "kind": kind,
        "width": width,
        "height": height,
        "bytes": {"ink": len(file.data), **others(two)},
        "near": {**ours_near(two), **jb2_near(two)},
    }
    print(row["name"], row["bytes"], row["near"], flush=True)
    return {**row, "seconds": [round(middle - started, 2), round(ended - middle, 2)]}


def others(picture: Raster) -> dict[str, int]:
    """Of each other codec that is there."""
    image = Image.fromarray(255 * (1 - picture.two_levels())).convert("1")
    found = {}
    for name, (kind, options) in PILLOW.items():
        out = io.BytesIO()
        (image.convert("RGB") if kind == "WEBP" else image).save(out, kind, **options)
        found[name] = out.tell()
    with tempfile.TemporaryDirectory() as folder:
        files = {"source": f"{folder}/page.pbm", "png": f"{folder}/page.png"}
        image.save(files["source"])
        image.save(files["png"])
        for name, (tool, options) in TOOLS.items():
            if shutil.which(tool):
                target = Path(folder) / name
                command = [tool, *(option.format(target=target, **files) for option in options)]
                subprocess.run(command, check=True, capture_output=True)
                found[name] = target.stat().st_size
    return found


def ours_near(picture: Raster) -> dict[str, Any]:
    """Near-lossless files by quality, and seconds of the encoder."""
    model, found = zoo.named(zoo.INK), {}
    for quality in QUALITIES:
        ask = Ask(quality=quality)
        started = time.process_time()
        (file,) = encode_views([model.view(picture, ask)], model, ask)
        seconds = round(time.process_time() - started, 2)
        made = decode([file.data])[0].raster.two_levels()
        found[f"quality {quality}"] = {"bytes": len(file.data), **_against(picture, made), "seconds": seconds}
    return found


def jb2_near(picture: Raster) -> dict[str, Any]:
    """Lossy files of cjb2 by level; none without the tools."""
    found = dict[str, Any]()
    if not (shutil.which("cjb2") and shutil.which("ddjvu")):
        return found
    with tempfile.TemporaryDirectory() as folder:
        source, target, back = (f"{folder}/{name}" for name in ("page.pbm", "page.djvu", "back.pbm"))
        Image.fromarray(255 * (1 - picture.two_levels())).convert("1").save(source)
        for level in LEVELS:
            command = ["cjb2", "-dpi", "240", "-losslevel", str(level), source, target]
            subprocess.run(command, check=True, capture_output=True)
            subprocess.run(["ddjvu", "-format=pbm", target, back], check=True, capture_output=True)
            made = (~np.asarray(Image.open(back))).astype(np.uint8)
            found[f"jb2 {level}"] = {"bytes": Path(target).stat().st_size, **_against(picture, made)}
    return found


def _against(picture: Raster, made: npt.NDArray[np.uint8]) -> dict[str, int]:
    """How many pixels differ, and by how many the pieces of ink are fewer."""
    source = picture.two_levels()
    return {"changed": int((source != made).sum()), "pieces_lost": _pieces(source) - _pieces(made)}


def _pieces(bits: npt.NDArray[np.uint8]) -> int:
    """Pieces of ink, joined over corners too: runs of rows, less those that are joined to one above (union-find)."""
    wide = np.pad(bits.astype(np.int8), ((0, 0), (1, 1)))
    starts, ends = np.argwhere(np.diff(wide) == 1), np.argwhere(np.diff(wide) == -1)
    parent, count = list(range(len(starts))), len(starts)
    runs = [*zip(starts[:, 0].tolist(), starts[:, 1].tolist(), ends[:, 1].tolist(), strict=True)]
    above = 0
    for here, (row, start, end) in enumerate(runs):
        while runs[above][0] < row - 1 or (runs[above][0] == row - 1 and runs[above][2] < start):
            above += 1
        other = above
        while other < here and runs[other][0] == row - 1 and runs[other][1] <= end:
            one, two = _root(parent, here), _root(parent, other)
            parent[one], count = two, count - (one != two)
            other += 1
    return count


def _root(parent: list[int], at: int) -> int:
    while parent[at] != at:
        parent[at] = at = parent[parent[at]]
    return at


if __name__ == "__main__":
    main()
