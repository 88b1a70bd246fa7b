"""The photographs that ship, for the demo: each as preview, lossy and exact, side by side.

They are three pictures of the Kodak set, which Eastman Kodak released for unrestricted use, scaled down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vlae_codec import codec, zoo
from vlae_codec.errors import Progress
from vlae_codec.family import Ask, Sampling
from vlae_codec.picture.raster import Raster
from vlae_codec.picture.reading import Reading, read_picture

_GAP = 6  # pixels


@dataclass(frozen=True)
class Shown:
    """One photograph: its exact and its lossy file, and what they decode to.

    preview_bytes: how much of the exact file the preview needs.
    """

    name: str
    exact: codec.Encoded
    lossy: codec.Encoded
    preview_bytes: int
    pictures: Sequence[Raster]


def demo_photos() -> list[tuple[str, Reading]]:
    """The photographs by name."""
    folder = Path(__file__).parent.parent / "pictures"
    return [
        (path.stem, read_picture(path.read_bytes(), path.name, exact=True)) for path in sorted(folder.glob("*.webp"))
    ]


def shown(progress: Progress | None = None) -> list[Shown]:
    """All photographs, coded and decoded again."""
    coder = zoo.named(zoo.PHOTO)
    found = []
    for name, reading in demo_photos():
        made = []
        for ask in (Ask(lossless=True), Ask()):
            view = coder.view(reading.raster, ask)
            made.append(codec.encode_views([view], coder, ask, progress)[0])
        exact, lossy = made
        end = int(codec.inspect(exact.data)["preview_ends_at_byte"])
        cut = codec.decode([exact.data[:end]], Sampling(partial=True))[0].raster
        decoded = [one.raster for one in codec.decode([lossy.data, exact.data])]
        found.append(Shown(name, exact, lossy, end, [reading.raster, cut, *decoded]))
    return found


def sheet(rows: Sequence[Shown]) -> Raster:
    """Original, preview, lossy and exact picture of each photograph in a row."""
    lines = []
    for row in rows:
        gap = np.full((row.pictures[0].samples.shape[0], _GAP, 3), 255, np.uint8)
        line = [part for picture in row.pictures for part in (picture.samples, gap)][:-1]
        lines += [np.concatenate(line, 1), np.full((_GAP, np.concatenate(line, 1).shape[1], 3), 255, np.uint8)]
    return Raster(np.concatenate(lines[:-1]), rows[0].pictures[0].format)
