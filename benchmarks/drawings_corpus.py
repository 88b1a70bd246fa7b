"""Foreign drawings: pictures in two colours that no model of 28x28 drawings was trained on, made by code with fixed seeds.

    python benchmarks/drawings_corpus.py FOLDER     # writes them as PNG files: KIND-NUMBER-WxH.png

`corpus(part)` gives those of a part: `tuning`, which was looked at while what `vlae_codec/registry.py` says of knowing was
chosen, and `held`, which was only measured. Half of them are of 28x28 or of several such fields. `fields` gives others, all
of 28x28, from which it was fitted. What is drawn: `drawings_kinds`.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from drawings_kinds import KINDS
from drawings_pen import Bits
from PIL import Image

PARTS = {"tuning": 1, "held": 2}
"""Each part, and its seed."""
_FIELDS_SEED = 3
_WIDE = {"signature", "sheet"}
"""Kinds that have no pictures of a single field."""
PER_KIND = 24
_FIELDS = ((28, 28), (28, 28), (28, 28), (56, 56), (84, 28), (112, 112), (140, 84), (280, 112))
_OTHERS = ((16, 16), (24, 24), (32, 32), (48, 48), (64, 64), (100, 60), (200, 200), (300, 120))


@dataclass(frozen=True)
class Foreign:
    """One drawing: its kind, its number among them, and its pixels, 1 = ink, (H, W)."""

    kind: str
    number: int
    bits: Bits


def corpus(part: str) -> Iterator[Foreign]:
    """The drawings of a part: `PER_KIND` of each kind, the same on every machine with the same Pillow."""
    for kind, draw in KINDS.items():
        for number in range(PER_KIND):
            rng = np.random.default_rng([PARTS[part], zlib.crc32(kind.encode()), number])
            sizes = _FIELDS if number % 2 else _OTHERS
            sizes = sizes[3:] if kind in _WIDE else sizes
            width, height = sizes[int(rng.integers(len(sizes)))]
            bits = draw(rng, width, height)
            yield Foreign(kind, number, bits if bits.any() else 1 - bits)


def fields(per_kind: int = 90) -> Iterator[Foreign]:
    """Drawings of 28x28, of every kind that has such."""
    for kind, draw in KINDS.items():
        for number in range(per_kind if kind not in _WIDE else 0):
            rng = np.random.default_rng([_FIELDS_SEED, zlib.crc32(kind.encode()), number])
            yield Foreign(kind, number, draw(rng, 28, 28))


def main() -> None:
    """Writes all of them."""
    folder = Path(sys.argv[1])
    for part in PARTS:
        (folder / part).mkdir(parents=True, exist_ok=True)
        for one in corpus(part):
            height, width = one.bits.shape
            name = f"{one.kind}-{one.number:02}-{width}x{height}.png"
            Image.fromarray(one.bits == 0).save(folder / part / name, optimize=True)


if __name__ == "__main__":
    main()
