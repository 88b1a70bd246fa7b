"""Foreign drawings: pictures in two colours that no model of 28x28 drawings was trained on, made with fixed seeds.

    python benchmarks/drawings_corpus.py FOLDER [PACKAGES]     # writes them as PNG files: KIND-NUMBER-WxH.png

`corpus(part)` gives those of a part: `tuning`, which was looked at while what `vlae_codec/registry.py` says of knowing was
chosen, and `held`, which was only measured. Half of them are of 28x28 or of several such fields. Those that others made
(`found`) are of the sizes that icons have, of which 28x28 is one (`SIZES`), or all of it: these are hard to tell from
characters. `fields` gives others, all of 28x28, from which it was fitted. What is drawn: `drawings_kinds`, by code, and
`drawings_found`, from packages and faces, of which whole ones are kept for the held part.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import drawings_found
import numpy as np
from drawings_found import INSTALLED
from drawings_kinds import KINDS
from drawings_pen import Bits
from PIL import Image

PARTS = {"tuning": 1, "held": 2}
"""Each part, and its seed."""
_FIELDS_SEED = 3
WIDE = {"signature", "sheet"}
"""Kinds that have no pictures of a single field."""
PER_KIND = 24
PER_SOURCE = 80
FIELD = 28, 28
SIZES = (16, 16), (20, 20), (22, 22), (24, 24), FIELD, (32, 32), (48, 48), (64, 64)
"""Of icons and symbols, in turn."""
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
            sizes = sizes[3:] if kind in WIDE else sizes
            width, height = sizes[int(rng.integers(len(sizes)))]
            bits = draw(rng, width, height)
            yield Foreign(kind, number, bits if bits.any() else 1 - bits)


def found(part: str, packages: Path = INSTALLED, sizes: Sequence[tuple[int, int]] = SIZES) -> Iterator[Foreign]:
    """Icons and symbols that others made: `PER_SOURCE` of each source of a part, of such sizes in turn."""
    for source in drawings_found.SOURCES[part]:
        made = drawings_found.drawings(source, PER_SOURCE, PARTS[part], packages, sizes)
        yield from (Foreign(source.name, number, bits) for number, bits in enumerate(made))


def fields_found(packages: Path = INSTALLED, per_source: int = 250) -> Iterator[Foreign]:
    """Icons and symbols of 28x28, of sources from which it was fitted."""
    for source in drawings_found.SOURCES["tuning"]:
        made = drawings_found.drawings(source, per_source, _FIELDS_SEED, packages, (FIELD,))
        yield from (Foreign(source.name, number, bits) for number, bits in enumerate(made))


def fields(per_kind: int = 90) -> Iterator[Foreign]:
    """Drawings of 28x28, of every kind that has such."""
    for kind, draw in KINDS.items():
        for number in range(per_kind if kind not in WIDE else 0):
            rng = np.random.default_rng([_FIELDS_SEED, zlib.crc32(kind.encode()), number])
            yield Foreign(kind, number, draw(rng, 28, 28))


def main() -> None:
    """Writes all of them."""
    folder = Path(sys.argv[1])
    packages = Path(sys.argv[2]) if len(sys.argv) > 2 else INSTALLED
    for part in PARTS:
        (folder / part).mkdir(parents=True, exist_ok=True)
        for one in (*corpus(part), *found(part, packages)):
            height, width = one.bits.shape
            name = f"{one.kind}-{one.number:02}-{width}x{height}.png"
            Image.fromarray(one.bits == 0).save(folder / part / name, optimize=True)


if __name__ == "__main__":
    main()
