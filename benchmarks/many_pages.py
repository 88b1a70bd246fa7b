"""What an archive saves by coding pages one after the other with what was learned of those before.

    python benchmarks/many_pages.py --data DIR --json results/many_pages.json

Cuts of up to four pages of a document: in one archive, and each as a file of its own. `held_out` are documents that the
released model was not trained on.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pages import held_out
from PIL import Image

import vlae_codec

HEIGHT, WIDTH, MOST_PAGES = 1200, 900, 4


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="the folder of pages")
    parser.add_argument("--json", type=Path, default=Path("results/many_pages.json"))
    arguments = parser.parse_args()
    documents = dict[str, list[Path]]()
    new = {*held_out(arguments.data)}
    for path in sorted(arguments.data.glob("*.png")):
        documents.setdefault(re.split(r"[-.0-9]", path.name)[0], []).append(path)
    several = {name: paths[:MOST_PAGES] for name, paths in documents.items() if len(paths) > 1}
    rows = [{**measured(name, paths), "held_out": paths[0] in new} for name, paths in several.items()]
    arguments.json.write_text(json.dumps({"documents": rows}, indent=1) + "\n")


def measured(name: str, paths: list[Path]) -> dict[str, Any]:
    """Bytes of cuts of a document's pages, each as a file, and all as an archive."""
    cuts, archive = [Image.fromarray(cut(path)) for path in paths], io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        for number, one in enumerate(cuts):
            one.save(Path(folder) / f"{number}.png")
        vlae_codec.pack(folder, archive, model="ink")
    files = [len(vlae_codec.compress(one, model="ink", lossless=True)) for one in cuts]
    row = {"name": name, "pages": len(cuts), "files": files, "archive": len(archive.getvalue())}
    print(row, flush=True)
    return row


def levels_of(path: Path) -> npt.NDArray[np.uint8]:
    """A page, (H, W), 0 is ink."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"))


def cut(path: Path) -> npt.NDArray[np.uint8]:
    """The middle of a page, black and white, (HEIGHT, WIDTH) uint8; paper where the page is smaller."""
    page = levels_of(path)
    out = np.full((HEIGHT, WIDTH), 255, np.uint8)
    top, left = (max(0, (side - most) // 2) for side, most in zip(page.shape, out.shape, strict=True))
    part = page[top : top + HEIGHT, left : left + WIDTH]
    out[: part.shape[0], : part.shape[1]] = part
    return np.where(out < 128, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
