"""Drawings to train `ink` on beside scanned pages: made by code with fixed seeds, others than those of `drawings_corpus`.

    python benchmarks/ink_drawings.py FOLDER     # FOLDER/rendered/*.png; train with --data FOLDER

Two thirds are of its kinds, at sizes up to 640; the others are pages of text in the faces that this machine has (on Debian:
fonts-dejavu, fonts-urw-base35, fonts-noto-mono), slanted and rough as scanners leave them, or clean as programs do.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from drawings_corpus import KINDS
from PIL import Image, ImageDraw, ImageFont

Bits = npt.NDArray[np.uint8]
_SEED = 4
_PER_KIND, _PAGES = 24, 240
_LETTERS = "etaoinshrdlucmfwypvbgkjqxz"
_FACES = "/usr/share/fonts"
_EXCLUDED = {"noise"}  # nothing is to be learned of it


def rendered() -> list[tuple[str, Bits]]:
    """Names and drawings, 1 = ink."""
    found = []
    for number, (kind, draw) in enumerate(KINDS.items()):
        for turn in range(_PER_KIND if kind not in _EXCLUDED else 0):
            rng = np.random.default_rng([_SEED, number, turn])
            width, height = (int(side) for side in np.exp(rng.uniform(np.log(24), np.log(640), 2)))
            found.append((f"{kind}-{turn}", draw(rng, max(width, height // 4), max(height, width // 4))))
    faces = sorted([*Path(_FACES).rglob("*.ttf"), *Path(_FACES).rglob("*.otf")])
    for turn in range(_PAGES):
        rng = np.random.default_rng([_SEED, 1000, turn])
        found.append((f"page-{turn}", page(rng, faces[int(rng.integers(len(faces)))])))
    return found


def page(rng: np.random.Generator, face: Path, width: int = 560, height: int = 420) -> Bits:
    """Lines of letters in a face, about as often as in prose."""
    scale = 2
    font = ImageFont.truetype(str(face), int(scale * rng.uniform(9, 60)))
    image = Image.new("L", (width * scale, height * scale))
    draw, top, step = ImageDraw.Draw(image), 0.0, font.size * rng.uniform(1.1, 1.5)
    while top < height * scale:
        draw.text((rng.uniform(0, 40), top), _prose(rng, 160), 255, font)
        top += step
    image = image.rotate(rng.normal(0, 0.6), Image.Resampling.BICUBIC).resize((width, height), Image.Resampling.BOX)
    levels = np.asarray(image).astype(float)
    if rng.random() < 0.6:  # scanned: uneven edges, and specks
        levels += rng.normal(0, rng.uniform(5, 40), levels.shape)
    return (levels > rng.uniform(90, 170)).astype(np.uint8)


def _prose(rng: np.random.Generator, letters: int) -> str:
    shares = 1 / (2 + np.arange(len(_LETTERS)))
    text, at = [*rng.choice([*_LETTERS], letters, p=shares / shares.sum())], 0
    while at < letters:
        if rng.random() < 0.15:
            text[at] = text[at].upper()
        at += int(rng.integers(2, 10))
        if at < letters:
            text[at] = str(rng.choice([" ", ", ", ". ", " 1", " 27 "]))
            at += 1
    return "".join(text)


def main() -> None:
    folder = Path(sys.argv[1]) / "rendered"
    folder.mkdir(parents=True, exist_ok=True)
    for name, bits in rendered():
        Image.fromarray(255 * (1 - bits)).convert("1").save(folder / f"{name}.png")


if __name__ == "__main__":
    main()
