"""Near-lossless pictures: pixels on edges are flipped where that saves bits; then the picture is coded exactly.

What a flip saves is estimated by contexts of the nearest pixels, a large one as far as it is known, and a small one: the
bits of the pixel itself, and of those in whose contexts it is. Counts are those of the whole picture, as it is at the time;
`edges` says which pixels may change. Sweeps over all of these take first what saves most; a pixel has to save `worth_bits`.

The decoder knows nothing of all this: another encoder may choose other pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vlae_codec.exact.compiled import compiled, flat, machine, runs
from vlae_codec.exact.fixed import LOG_BITS, log2_counts

from .edges import Bits, around, free, simple, stays_near
from .hands import FEW
from .state import Ints
from .strips import rows_of
from .window import places

LARGE, SMALL = 22, 14
"""Pixels of the two contexts."""
_TRUST = 8
"""How often a large context was seen when it is believed as much as the small one in it."""
_SWEEPS = 6, 3, 1, 0
"""Bits that a flip has to save, sweep by sweep, beyond those that it is worth."""
_LEAST_BITS, _STEEPNESS = 0.5, 2500
_MARGIN = 8
_BITS = 8
"""Fraction bits of costs."""
_SIMPLE = (1 << 16) + 1
_OFFSETS = _SIMPLE + 256
_LARGE_COUNTS = 2 << SMALL


def worth_bits(quality: float) -> float:
    """The bits that a changed pixel has to save, for a quality of 0 to 100: 0.5 at 0, 1.5 at 50, 3.7 at 90."""
    return _LEAST_BITS + quality**2 / _STEEPNESS


class _Page(NamedTuple):
    """What compiled functions are given: flat arrays.

    pixels, source: with a margin. tables: log2 of chances, the simple neighbourhoods, and where the pixels of a context are.
    counts: of paper and ink in each small context, then in each large one. places: of the pixels that may change.
    """

    pixels: Ints
    source: Ints
    tables: Ints
    counts: Ints
    places: Ints


_Swept = Callable[[_Page, int, int, int], None]


def smoothed(bits: Bits, quality: float, fast: bool | None = None) -> Bits:
    """A picture (H, W) of 0 and 1 with pixels on edges flipped, for a quality of 0 to 100; at 100 with none.

    fast: by machine code; of itself where that is worth it.
    """
    rows = rows_of(*bits.shape)
    if rows >= len(bits):
        return _smoothed_strip(bits, quality, fast)
    found = np.empty_like(bits)
    for top in range(0, len(bits), rows):
        found[top : top + rows] = _smoothed_strip(bits[top : top + rows], quality, fast)
    return found


def _smoothed_strip(bits: Bits, quality: float, fast: bool | None) -> Bits:
    may = free(bits)
    if quality >= 100 or not may.any():
        return bits
    if fast is None:
        fast = runs((_swept,), bits.size, FEW, _sweep_one)
    page, stride = _page(bits, may, fast), bits.shape[1] + 2 * _MARGIN
    swept: _Swept = machine(_swept) if fast else _swept
    for more_bits in _SWEEPS:
        page = page._replace(counts=_no_counts(fast))
        swept(page, bits.shape[0], bits.shape[1], round((worth_bits(quality) + more_bits) * (1 << _BITS)))
    pixels: Any = page.pixels
    found: Bits = np.frombuffer(pixels, np.uint8).reshape(-1, stride)[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN].copy()
    return found


def _sweep_one() -> None:
    """Sweeps over a pixel by machine code."""
    blank = np.zeros((1, 1), np.uint8)
    machine(_swept)(_page(blank, blank == 1, True), 1, 1, 0)


def _page(bits: Bits, may: npt.NDArray[np.bool_], fast: bool) -> _Page:
    wide = np.pad(bits, _MARGIN)
    logs = log2_counts(np.arange(1, (1 << 16) + 1)) >> LOG_BITS - _BITS
    offsets = [right - above * wide.shape[1] for above, right in places()[:LARGE]]
    values = (
        wide.ravel(),
        wide.ravel().copy(),
        np.concatenate([[0], logs, simple(), offsets]),
        np.flatnonzero(np.pad(may, _MARGIN)),
    )
    pixels, source, tables, free_places = (flat(value, fast) for value in values)
    return _Page(pixels, source, tables, _no_counts(fast), free_places)


def _no_counts(fast: bool) -> Any:
    return flat(np.zeros(_LARGE_COUNTS + (2 << LARGE), np.int32), fast)


@compiled
def _swept(page: _Page, height: int, width: int, least: int) -> None:
    """Counts, then flips what saves at least so much, in 2^-8 bits."""
    stride = width + 2 * _MARGIN
    _learn(page, height, width, stride)
    _sweep(page, stride, least)


@compiled
def _learn(page: _Page, height: int, width: int, stride: int) -> None:
    """Counts paper and ink in all contexts."""
    for row in range(_MARGIN, _MARGIN + height):
        for at in range(row * stride + _MARGIN, row * stride + _MARGIN + width):
            key, bit = _context(page, at), page.pixels[at]
            page.counts[2 * (key >> LARGE - SMALL) + bit] += 1
            page.counts[_LARGE_COUNTS + 2 * key + bit] += 1


@compiled
def _sweep(page: _Page, stride: int, least: int) -> None:
    """Flips every pixel that may change, and saves at least so much."""
    for place in range(len(page.places)):
        at = page.places[place]
        if page.pixels[at] != page.source[at] or not page.tables[_SIMPLE + around(page.pixels, at, stride)]:
            continue
        if stays_near(page.pixels, page.source, at, stride) and _saved(page, at) >= least:
            page.pixels[at] = 1 - page.pixels[at]


@compiled
def _context(page: _Page, at: int) -> int:
    """The nearest pixels before a pixel, the nearest one as the highest bit."""
    key = 0
    for index in range(LARGE):
        key = key << 1 | page.pixels[at + page.tables[_OFFSETS + index]]
    return key


@compiled
def _saved(page: _Page, at: int) -> int:
    """What a flip of the pixel saves: its own cost, and that of all pixels in whose contexts it is."""
    key = _context(page, at)
    total = _cost(page, key, page.pixels[at]) - _cost(page, key, 1 - page.pixels[at])
    for index in range(LARGE):
        other = at - page.tables[_OFFSETS + index]
        key, bit = _context(page, other), page.pixels[other]
        total += _cost(page, key, bit) - _cost(page, key ^ 1 << LARGE - 1 - index, bit)
    return total


@compiled
def _cost(page: _Page, key: int, bit: int) -> int:
    """About what a pixel takes, in 2^-8 bits."""
    small, large = 2 * (key >> LARGE - SMALL), _LARGE_COUNTS + 2 * key
    ink, seen = page.counts[small + 1], page.counts[small] + page.counts[small + 1]
    expected = (2 * ink + 1 << 16) // (2 * seen + 2)
    ink, seen = page.counts[large + 1], page.counts[large] + page.counts[large + 1]
    chance = ((ink << 16) + _TRUST * expected) // (seen + _TRUST)
    chance = min(max(chance, 1), (1 << 16) - 1)
    return page.tables[1 << 16] - page.tables[chance if bit else (1 << 16) - chance]
