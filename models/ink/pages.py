"""Windows of two-level pages to train on: what stands around a pixel before it is coded, and the pixel.

A picture is looked at as a codec does, the rarer of its two levels as ink, at its own size and, if it is large, at smaller
ones. Places where all that is near is alike teach little, and are looked at rarely; that depends on the window alone, so
that what is learned of a pixel given its window stays true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vlae_codec.errors import ConfigError
from vlae_codec.ink.window import ABOVE, ASIDE
from vlae_codec.picture.scaling import read_rgb, scaled

Bits = npt.NDArray[np.uint8]
_LARGE = 2400
_SCALES = 0.66, 0.5
_CALM = 0.02  # of calm places, as many are looked at
_LEAST_INK = 0.002


@dataclass(frozen=True)
class Page:
    """A picture with a border of paper, (H + ABOVE, W + 2 ASIDE), and the places worth looking at, as rows and columns."""

    padded: Bits
    places: npt.NDArray[np.int32]


def page_of(bits: Bits, rng: np.random.Generator) -> Page:
    """The picture as it is looked at."""
    padded = np.pad(bits, ((ABOVE, 0), (ASIDE, ASIDE)))
    total = np.pad(padded.cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32), ((1, 0), (1, 0)))
    height, width = bits.shape

    def ink(above: int, aside: int) -> npt.NDArray[np.int32]:
        """In rows above, and aside in both directions."""
        top, left = ABOVE - above, ASIDE - aside
        wide, rows = 2 * aside + 1, slice(top + above, top + above + height)
        inside = total[rows, left + wide : left + wide + width] - total[rows, left : left + width]
        first = slice(top, top + height)
        return np.asarray(inside - total[first, left + wide : left + wide + width] + total[first, left : left + width])

    before = padded[ABOVE:, ASIDE - 2 : ASIDE - 2 + width] + padded[ABOVE:, ASIDE - 1 : ASIDE - 1 + width]
    near = ink(2, 2) + before
    lively = (near > 0) & (near < 12)
    lively |= rng.random(bits.shape) < np.where(ink(ABOVE, ASIDE) > 0, _CALM, _CALM / 10)
    return Page(padded, np.argwhere(lively).astype(np.int32))


def files_of(folder: Path) -> list[Path]:
    """The pictures of a folder."""
    return sorted(path for path in folder.glob("*") if path.suffix in (".png", ".tif", ".pbm"))


def bits_of(picture: Bits) -> Bits:
    """A picture (H, W, 3) in two levels, the rarer one as ink: (H, W)."""
    bits = (picture[..., 1] < 128).astype(np.uint8)
    return bits if bits.mean() <= 0.5 else 1 - bits


def read(files: Sequence[Path], seed: int) -> list[Page]:
    """The pages of files, and smaller copies of large ones.

    Raises:
        ConfigError: none of them has ink.
    """
    rng, found = np.random.default_rng(seed), []
    for file in files:
        rgb = read_rgb(file)
        sizes = [rgb.shape[:2]]
        if max(sizes[0]) > _LARGE:
            sizes += [(round(scale * rgb.shape[0]), round(scale * rgb.shape[1])) for scale in _SCALES]
        for height, width in sizes:
            seen = rgb if (height, width) == rgb.shape[:2] else scaled(rgb, height, width, area=True)
            bits = bits_of(seen)
            page = page_of(bits, rng)
            if bits.mean() > _LEAST_INK and len(page.places):
                found.append(page)
    if not found:
        raise ConfigError("no picture to train on has ink")
    return found


def windows(page: Page, count: int, rng: np.random.Generator) -> tuple[Bits, Bits]:
    """Of so many places the window (N, ABOVE + 1, 2 ASIDE + 1), what is not known yet as 0, and the pixel (N,)."""
    row, column = page.places[rng.integers(len(page.places), size=count)].T
    view = np.lib.stride_tricks.sliding_window_view(page.padded, (ABOVE + 1, 2 * ASIDE + 1))
    window = view[row, column]
    pixel = window[:, ABOVE, ASIDE].copy()
    window[:, ABOVE, ASIDE:] = 0
    return window, pixel
