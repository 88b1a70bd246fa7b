"""Pages to train on: what the network is given at pixels of two-level pictures, and the pixels.

A picture is looked at as a codec does, the rarer of its two levels as ink, at its own size and, if it is large, at smaller
ones. Places where all that is near is alike teach little, and are looked at rarely; that depends on the window alone, so
that what is learned of a pixel given its window stays true. Nothing else depends on a model but its contexts, since they
find similar places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vlae_codec.errors import ConfigError
from vlae_codec.ink.looks import looks
from vlae_codec.ink.state import Start
from vlae_codec.ink.window import ABOVE, ASIDE
from vlae_codec.picture.scaling import read_rgb, scaled

Bits = npt.NDArray[np.uint8]
_LARGE = 2400
_SCALES = 0.66, 0.5
_CALM = 0.02  # of calm places, as many are looked at
_LEAST_INK = 0.002
_MOST_PLACES = 1 << 18
_REPORTED = 20


@dataclass(frozen=True)
class Page:
    """What the network is given at some pixels of a picture, (N, LOOKED), and these pixels, (N,)."""

    looks: npt.NDArray[np.int16]
    pixels: Bits


def page_of(start: Start, bits: Bits, rng: np.random.Generator) -> Page:
    """The picture as it is looked at."""
    wanted = _lively(bits, rng)
    wanted &= rng.random(bits.shape) < _MOST_PLACES / max(1, wanted.sum())
    return Page(*looks(start, bits, wanted))


def _lively(bits: Bits, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Pixels near to which there is ink and paper, and some others: (H, W)."""
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
    return np.asarray(lively)


def files_of(folder: Path) -> list[Path]:
    """The pictures of a folder."""
    return sorted(path for path in folder.glob("*") if path.suffix in (".png", ".tif", ".pbm"))


def bits_of(picture: Bits) -> Bits:
    """A picture (H, W, 3) in two levels, the rarer one as ink: (H, W)."""
    bits = (picture[..., 1] < 128).astype(np.uint8)
    return bits if bits.mean() <= 0.5 else 1 - bits


def read(start: Start, files: Sequence[Path], seed: int, report: Callable[[str], None]) -> list[Page]:
    """The pages of files, and smaller copies of large ones; about 100 bytes a place, and half a minute for ten pages.

    Raises:
        ConfigError: none of them has ink.
    """
    rng, found = np.random.default_rng(seed), []
    for number, file in enumerate(files):
        if number % _REPORTED == 0:
            report(f"looking at {file.parent.name}: {number} of {len(files)}")
        rgb = read_rgb(file)
        sizes = [rgb.shape[:2]]
        if max(sizes[0]) > _LARGE:
            sizes += [(round(scale * rgb.shape[0]), round(scale * rgb.shape[1])) for scale in _SCALES]
        for height, width in sizes:
            seen = rgb if (height, width) == rgb.shape[:2] else scaled(rgb, height, width, area=True)
            bits = bits_of(seen)
            if bits.mean() > _LEAST_INK:
                found.append(page_of(start, bits, rng))
    found = [page for page in found if len(page.pixels)]
    if not found:
        raise ConfigError("no picture to train on has ink")
    return found


def places(page: Page, count: int, rng: np.random.Generator) -> tuple[npt.NDArray[np.int16], Bits]:
    """So many of its looks (N, LOOKED), any of them, and pixels (N,)."""
    chosen = rng.integers(len(page.pixels), size=count)
    return page.looks[chosen], page.pixels[chosen]
