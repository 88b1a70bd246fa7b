"""Pages and drawings in two colours: exact bytes of `ink` beside other codecs, page by page.

    python benchmarks/pages.py --data DIR/pages --drawings FOLDER --json results/pages.json

Of the pages only the documents that the released model was not trained on; every picture in FOLDER. Others: JBIG1 (pbmtojbg,
of Debian's jbigkit-bin), JB2 without loss (cjb2, of djvulibre-bin), CCITT G4, lossless WebP, optimised PNG, JPEG XL (cjxl
-d 0 -e 9, of libjxl-tools); one whose tool is not there is left out. Whole files count, headers included. Times are those of
the process, there and back, without the first use's compiling. Pictures that are in the JSON file are not measured again.
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
from PIL import Image

from vlae_codec import zoo
from vlae_codec.codec import decode, encode
from vlae_codec.picture.raster import Raster
from vlae_codec.picture.reading import read_picture

TOOLS = {
    "jbig1": ("pbmtojbg", ("-q", "{source}", "{target}")),
    "jb2": ("cjb2", ("{source}", "{target}")),
    "jxl": ("cjxl", ("-d", "0", "-e", "9", "--quiet", "{png}", "{target}")),
}
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
    valid = tuple(json.loads((zoo.folder_of(zoo.INK) / "model.json").read_text())["experiment"]["data"]["valid"])
    pages = [path for path in arguments.data.glob("*.png") if path.name.startswith(valid)]
    pages.sort(key=lambda path: path.stat().st_size)
    drawings = sorted(arguments.drawings.glob("*.png")) if arguments.drawings else []
    rows = json.loads(arguments.json.read_text())["pictures"] if arguments.json.exists() else []
    for kind, path in [*(("drawing", path) for path in drawings), *(("page", path) for path in pages)]:
        if path.name not in {row["name"] for row in rows}:
            rows.append(measured(path, kind))
            arguments.json.write_text(json.dumps({"pictures": rows}, indent=1) + "\n")


def measured(path: Path, kind: str) -> dict[str, Any]:
    """Sizes of a picture in bytes by codec, and seconds of ours."""
    two = read_picture(path.read_bytes(), path.name).raster.in_two()
    assert two is not None
    warm = Raster(two.samples[:1, :1], two.format)
    (file,) = encode([warm], zoo.named(zoo.INK), lossless=True)
    decode([file.data])
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
    }
    print(row["name"], row["bytes"], flush=True)
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


if __name__ == "__main__":
    main()
