"""The PixelCNN pixel by pixel: those of equal t = column + 2 row, in all tiles of a batch, advance together.

A pixel needs only those of smaller t. `Texture.parameters` says the same of a tile that is known.

Twists:
- All arrays are seen through views in which the pixels of a step stand in one column (`skewed`): what a step needs are
  slices, not gathers.
- A pixel's three samples are four numbers of 16 bits, moved as one of 64.
- Hidden layers live in rings of four steps: left is one step ago, above is two ago and one row up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.exact.logistics import Whole
from vlae_codec.exact.wavefront import Wavefront

from .colour import Planes
from .mixtures import Pixels
from .texture import EDGE, PLANES, REACH, RUNS, TAPS, Layers, Texture, Tiles, med, seen_of, softsign

Array = npt.NDArray[Any]
Shorts = npt.NDArray[np.int16]
Decide = Callable[[Pixels, slice, int], Whole]
"""What the wavefront asks at each step, of the pixels of all tiles, tile by tile, row by row, of these rows at t = column +
2 row: n pixels -> (3, n)."""

Beyond = Sequence[tuple[int, int]]
"""Of tiles that are narrower than others of their batch: how many of a step's first pixels lie beyond them."""

_LARGEST = 512  # differences of samples are smaller
_SECTION = 2 * _LARGEST + 1


def walk(texture: Texture, tiles: Tiles, decide: Decide) -> Planes:
    """Tiles pixel by pixel, each decided when those before it are known: (T, H, W, 3).

    What is decided of pixels beyond a tile's width does not matter.
    """
    count, height, width, _ = tiles.code.shape
    most = count * min(height, (width + 1) // 2)
    seen, network = _Seen.of(tiles, most), _Network.of(texture, tiles, most)
    narrow = [(tile, own) for tile, own in enumerate(tiles.widths) if own < width]
    for t, rows in Wavefront(height, width):
        first, last = rows[0], rows[-1]
        beyond = [(tile, many) for tile, own in narrow if (many := min(last, (t - own) // 2) - first + 1) > 0]
        taps, predicted = seen.look(t, first, last)
        outputs = network.outputs(taps, t, first, last, beyond)
        seen.put(decide(Pixels(outputs, predicted), slice(first, last + 1), t), t, first, last, beyond)
    return seen.pixels()


def skewed(array: Array, steps: int, across: int = 1) -> Array:
    """A view (T, rows, steps ...) of a batch (T, rows, columns, ...) in which column c of row r is at c + 2 r.

    across: how many of what lies in a row are one step. Only places that there are in the batch may be looked at.
    """
    tile, down, right = array.strides[:3]
    shape, strides = (*array.shape[:2], steps * across, *array.shape[3:]), (tile, down - 2 * across * right, right)
    return np.lib.stride_tricks.as_strided(array, shape, (*strides, *array.strides[3:]))


@cache
def _tables() -> npt.NDArray[np.float32]:
    """What the window sees of differences -512 .. 512: a section for each of five, and two for the decoded picture's."""
    n = np.arange(-_LARGEST, _LARGEST + 1, dtype=np.int32)
    near, far, wide = (softsign(n, scale) for scale in (8, 16, 3))
    return np.concatenate([8 * np.clip(n, -127, 127), near, near, n, far, far, wide]).astype(np.float32)


def _sections(first: int, count: int) -> Shorts:
    """Where the difference 0 is in so many sections of the tables: (count, 1)."""
    return (np.arange(first, first + count, dtype=np.int16) * np.int16(_SECTION) + np.int16(_LARGEST))[:, None]


_OF_PIXEL, _AHEAD = _sections(0, 5), _sections(5, 2)


@dataclass(frozen=True)
class _Seen:
    """The samples of a batch, D where they are not known, and what the window sees of them.

    wide (T, H + 4, W + 8, 4): samples as in `Tiles.decoded`; planes (T, H + 3, W + 6, 15); both as `skewed` views, too.
    near (6, n): of the pixels of a step prediction, left, above, nothing, D, and above left, four numbers in one.
    """

    wide: Shorts
    samples: npt.NDArray[np.int64]
    planes: npt.NDArray[np.float32]
    runs: npt.NDArray[np.float32]
    near: npt.NDArray[np.int64]
    taps: npt.NDArray[np.float32]

    @classmethod
    def of(cls, tiles: Tiles, most: int) -> _Seen:
        """That of a batch of which nothing is known; a step has at most so many pixels."""
        steps = tiles.steps + 16
        wide = np.zeros((*tiles.decoded.shape[:3], 4), np.int16)
        wide[..., :3] = tiles.decoded
        count, height, width, _ = wide.shape
        planes = np.empty((count, height - 1, width - 2, PLANES), np.float32)
        for own, decoded in zip(planes, tiles.decoded, strict=True):
            own[...] = seen_of(decoded, decoded)[0]
        flat = planes.reshape(*planes.shape[:2], -1)
        return cls(
            wide,
            skewed(wide.view(np.int64)[..., 0], steps),
            planes,
            skewed(flat, steps, PLANES),
            np.zeros((6, most), np.int64),
            np.empty((most, TAPS), np.float32),
        )

    def look(self, t: int, first: int, last: int) -> tuple[npt.NDArray[np.float32], Whole]:
        """What the window sees of the pixels of a step (n, 336), and their predictions (3, n)."""
        count, rows = len(self.wide), last - first + 1
        n = count * rows
        predicted, west, north, _, own, north_west = self.near[:, :n]
        here = t + EDGE * 3
        above = self.samples[:, first + EDGE - 1 : last + EDGE]
        beside = self.samples[:, first + EDGE : last + EDGE + 1]
        west.reshape(count, rows)[...] = beside[:, :, here - 1]
        own.reshape(count, rows)[...] = beside[:, :, here]
        north.reshape(count, rows)[...] = above[:, :, here - 2]
        north_west.reshape(count, rows)[...] = above[:, :, here - 3]
        shorts = predicted.view(np.int16)
        shorts[...] = med(west.view(np.int16), north.view(np.int16), north_west.view(np.int16))
        taps = self.taps[:n]
        at = 0
        for row, run in enumerate(RUNS):
            start, size = (t + 2 * row) * PLANES, run * PLANES
            part = self.runs[:, first + row : last + row + 1, start : start + size]
            taps[:, at : at + size].reshape(count, rows, size)[...] = part
            at += size
        ahead = _tables().take(own.view(np.int16) - shorts + _AHEAD, mode="clip")
        taps[:, at:].reshape(n, 2, 3)[...] = ahead.reshape(2, n, 4).transpose(1, 0, 2)[..., :3]
        return taps, shorts.reshape(n, 4)[:, :3].T.astype(np.int64)

    def put(self, x: Whole, t: int, first: int, last: int, beyond: Beyond) -> None:
        """The samples (3, n) of the pixels of the step that was looked at are known."""
        count, rows = len(self.wide), last - first + 1
        n = count * rows
        packed = np.zeros((n, 4), np.int16)
        packed[:, :3] = x.T
        index = packed.reshape(-1) - self.near[:5, :n].view(np.int16)
        index += _OF_PIXEL
        known = _tables().take(index, mode="clip").reshape(5, count, rows, 4)
        start = (t + REACH * 3) * PLANES
        target = self.runs[:, first + REACH : last + REACH + 1, start : start + PLANES]
        kept = [target[tile, :outside].copy() for tile, outside in beyond]
        target.reshape(count, rows, 5, 3)[...] = known.transpose(1, 2, 0, 3)[..., :3]
        new = packed.view(np.int64).reshape(count, rows)
        for (tile, outside), planes in zip(beyond, kept, strict=True):
            target[tile, :outside] = planes
            new[tile, :outside] = self.near[4, tile * rows : tile * rows + outside]
        self.samples[:, first + EDGE : last + EDGE + 1, t + EDGE * 3] = new

    def pixels(self) -> Planes:
        """All samples: (T, H, W, 3)."""
        return self.wide[:, EDGE:, EDGE:-EDGE, :3].astype(np.int32)


@dataclass(frozen=True)
class _Network:
    """The layers of a PixelCNN, what hidden ones know, and room for what each step needs."""

    layers: Layers
    code: npt.NDArray[np.float32]
    rings: Array
    near: Array
    rooms: Array

    @classmethod
    def of(cls, texture: Texture, tiles: Tiles, most: int) -> _Network:
        """That of a batch; a step has at most so many pixels."""
        count, height, _, channels = tiles.code.shape
        layers, half = texture.layers, len(texture.causal)
        return cls(
            layers,
            skewed(tiles.code, tiles.steps),
            np.zeros((half, 4, count, height + 4, channels), layers.kind),
            np.empty((most, 5 * channels), layers.kind),
            np.empty((3, most, channels), layers.kind),
        )

    def outputs(self, taps: Array, t: int, first: int, last: int, beyond: Beyond) -> Whole:
        """What the PixelCNN says of the pixels of a step: (10, K, n)."""
        code = self.code[:, first : last + 1, t]
        inner = self.layers.inner(
            taps,
            code,
            lambda layer, h: self._near(self.rings[layer], h, t, first, last, beyond),
            self.rooms[:, : len(taps)],
        )
        return self.layers.outputs(inner)

    def _near(self, ring: Array, h: Array, t: int, first: int, last: int, beyond: Beyond) -> Array:
        """`Near` of the pixels of a step. The ring's row r + 1 is row r; what lies outside of the tile is 0."""
        n, channels = h.shape
        count, rows = ring.shape[1], last - first + 1
        now = ring[t % 4]
        now[:, first] = 0
        now[:, last + 2 : last + 4] = 0
        here = now[:, first + 1 : last + 2]
        here[...] = h.reshape(here.shape)
        for tile, outside in beyond:
            here[tile, :outside] = 0
        near = self.near[:n]
        parts = near.reshape(count, rows, 5, channels)
        for place, ago in enumerate((3, 2, 1)):
            parts[:, :, place] = ring[(t - ago) % 4, :, first : last + 1]
        parts[:, :, 3] = ring[(t - 1) % 4, :, first + 1 : last + 2]
        parts[:, :, 4] = here
        return near
