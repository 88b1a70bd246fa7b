"""p(x|z) in exact integer arithmetic, as `models/grid/texture.py` defines it: the PixelCNN of a tile of pixels.

It runs two ways with equal results. `parameters` sees a whole tile and is for encoding. `walk` is the wavefront: a pixel
needs only those with a smaller t = column + 2 row, so all pixels of equal t, in all tiles of a batch, advance together.

Twists:
- Numbers are small enough for float32: activations of 7 fraction bits below 2^11, weights chosen so that no partial sum
  reaches 2^24. A layer whose sums might is computed in float64, with the same result.
- On a wavefront, pixels lie on a line of constant stride, so that what they need are views, not gathers. Hidden layers
  live in a ring of four steps, by row: left is one step ago, above is two ago and one row up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.exact import logistics
from vlae_codec.exact.fixed import COUNT_BITS, Affine, sigmoid_table
from vlae_codec.exact.logistics import Logistics, Whole

from .colour import Planes
from .network import BITS, Arrays, Numbers, affine, between, convolve, in_bands, shuffle

INPUT_BITS = 7
"""Fraction bits of all that the layers see."""
OUTPUT_BITS = logistics.LOG_BITS
INPUT_LIMIT = 2.0**11
REACH = 3
"""How far the window reaches: up, to the left, and to the right of where it is above."""
EDGE = REACH + 1
RUNS = 7, 7, 5, 3
"""Pixels of the window in each of its rows, from the top, all from column -3 on."""
PLANES = 15
LOG_SCALES = -3, 6
"""What log scales saturate at; the lower one at -2.5."""
RANGES = (0, 255), (-255, 255), (-255, 255)
"""The values of luma and of the two chromas."""
_FLOAT32 = 2.0**24
_LEAST_LOG = -(5 << OUTPUT_BITS - 1)
_WIDEST = 6

Array = npt.NDArray[Any]


def narrow(layer: Affine) -> Affine:
    """A layer of inputs below INPUT_LIMIT in float32 if that is exact, else in float64."""
    worst = float((np.abs(layer.weight).sum(0) * INPUT_LIMIT + np.abs(layer.bias)).max())
    if worst >= _FLOAT32:
        return layer
    return Affine(layer.weight.astype(np.float32), layer.bias.astype(np.float32), layer.shift, layer.limit)


def activated(x: Numbers) -> Numbers:
    """max(x, floor(x / 8)), within INPUT_LIMIT."""
    eighth = x * np.float32(0.125)
    np.floor(eighth, out=eighth)
    np.maximum(x, eighth, out=eighth)
    return np.clip(eighth, 1 - INPUT_LIMIT, INPUT_LIMIT - 1, out=eighth)


@cache
def _softsign_table(scale: int) -> npt.NDArray[np.float32]:
    """n / (scale + |n|) at INPUT_BITS, rounded, for n in -1024 .. 1024."""
    n = np.arange(1025)
    upper = ((2 * n << INPUT_BITS) + scale + n) // (2 * (scale + n))
    return np.concatenate([-upper[:0:-1], upper]).astype(np.float32)


def softsign(n: Planes, scale: int) -> npt.NDArray[np.float32]:
    """n / (scale + |n|) at INPUT_BITS, elementwise."""
    return _softsign_table(scale).take(n + 1024, mode="clip")


def med(west: Planes, north: Planes, north_west: Planes) -> Planes:
    """The MED prediction (Weinberger et al. 2000), elementwise."""
    low, high = np.minimum(west, north), np.maximum(west, north)
    predicted: Planes = np.minimum(np.maximum(west + north - north_west, low), high)
    return predicted


def _seen(here: Planes, west: Planes, north: Planes, predicted: Planes, decoded: Planes) -> npt.NDArray[np.float32]:
    """What the window sees of pixels (..., 3): (..., 15)."""
    out = np.empty((*here.shape[:-1], PLANES), np.float32)
    np.multiply(np.clip(here - predicted, -127, 127), 8, out=out[..., 0:3], casting="unsafe")
    out[..., 3:6] = softsign(here - west, 8)
    out[..., 6:9] = softsign(here - north, 8)
    out[..., 9:12] = here
    out[..., 12:15] = softsign(here - decoded, 16)
    return out


def _given(decoded: Planes, predicted: Planes) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    ahead = decoded - predicted
    return softsign(ahead, 16), softsign(ahead, 3)


@dataclass(frozen=True)
class Tiles:
    """A batch of tiles of one size, to be walked or seen: decoded (T, H + 4, W + 8, 3), code (T, H, W, C).

    `decoded` reaches EDGE pixels beyond a tile above, to the left and to the right: of the decoded picture there.
    """

    decoded: Planes
    code: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Pixels:
    """The mixtures of n pixels: what the PixelCNN says, (n, 10, K) at OUTPUT_BITS, and predictions (n, 3)."""

    outputs: Whole
    predicted: Planes

    def begin(self) -> Whole:
        """The weights of the components before any sample is known: (n, K)."""
        return logistics.shares(self.outputs[:, 0])

    def sample(self, channel: int, weights: Whole, known: Sequence[Whole]) -> tuple[Logistics, Whole, Whole]:
        """Distribution, centres and brackets of a sample, given weights and the samples (n,) before it."""
        means, log_scales = self.logistics(channel, known)
        mixture = Logistics(weights, means, logistics.inverse_scales(log_scales, *LOG_SCALES), *RANGES[channel])
        centre = ((weights * means).sum(1) >> COUNT_BITS) + (1 << logistics.MEAN_BITS - 1) >> logistics.MEAN_BITS
        return mixture, centre, logistics.brackets((weights * log_scales).sum(1) >> COUNT_BITS, _WIDEST)

    def logistics(self, channel: int, known: Sequence[Whole]) -> tuple[Whole, Whole]:
        """Means and log scales (n, K) of a sample's components, given the samples (n,) before it."""
        o = self.outputs
        shift = OUTPUT_BITS - logistics.MEAN_BITS - 2  # means are in units of four
        means = o[:, (1, 2, 4)[channel]] >> shift
        for place, sample in zip(((), (3,), (5, 6))[channel], enumerate(known), strict=True):
            before, value = sample
            residual = (value - self.predicted[:, before])[:, None]
            means = means + (residual * _tanh(o[:, place]) >> OUTPUT_BITS - logistics.MEAN_BITS)
        means = means + (self.predicted[:, channel].astype(np.int64) << logistics.MEAN_BITS)[:, None]
        return means, np.maximum(o[:, 7 + channel] + (1 << OUTPUT_BITS), _LEAST_LOG)


def updated(weights: Whole, mixture: Logistics, values: Whole) -> Whole:
    """The weights of the components when a sample is known: in proportion to what they gave it."""
    return logistics.normalised((weights * (mixture.masses(values) + 1) >> 12) + 1)


def _tanh(x: Whole) -> Whole:
    """tanh at OUTPUT_BITS, of x at OUTPUT_BITS."""
    table = sigmoid_table()
    half = len(table) // 2
    return table.take(2 * x + half, mode="clip") - (1 << COUNT_BITS - 1) >> COUNT_BITS - 1 - OUTPUT_BITS


Places = npt.NDArray[np.intp]
Decide = Callable[[Pixels, Places, Places], Planes]
"""What the wavefront asks at each step, of the pixels of all tiles, tile by tile, row by row, and of their rows (n,) and
columns (n,): (T n) pixels -> (T n, 3)."""


@dataclass(frozen=True)
class Texture:
    """The PixelCNN of a model."""

    level: npt.NDArray[np.int64]
    features: Affine
    around: Affine
    context: Affine
    window: Affine
    causal: tuple[Affine, ...]
    pointwise: tuple[Affine, ...]
    last: Affine
    output: Affine

    @classmethod
    def of(cls, arrays: Arrays, name: str = "texture") -> Texture:
        """The PixelCNN of a model's arrays."""
        parts = ("features", "around", "context", "window", "last", "output")

        def layer(key: str) -> Affine:
            return narrow(affine(arrays, f"{name}.{key}", INPUT_LIMIT))

        part = {key: layer(key) for key in parts}
        layers = range(int(arrays[f"{name}.layers"]))
        causal = tuple(layer(f"causal.{index}") for index in layers)
        pointwise = tuple(layer(f"pointwise.{index}") for index in layers)
        return cls(level=arrays[f"{name}.level"].astype(np.int64), causal=causal, pointwise=pointwise, **part)

    def code(self, decoded: Planes, hidden: Numbers, quality: int) -> npt.NDArray[np.float32]:
        """What the code says at every pixel: decoded (H, W, 3), hidden (H/2, W/2, F) at BITS -> (H, W, C)."""
        inner = np.floor(hidden * 0.5 ** (BITS - INPUT_BITS)).clip(1 - INPUT_LIMIT, INPUT_LIMIT - 1).astype(np.float32)
        features = shuffle(convolve(inner, self.features), 2)
        level = between(self.level, quality).astype(np.float32)
        count = features.shape[2]
        seen = np.empty((*decoded.shape[:2], count + 9), np.float32)
        np.clip(features, 1 - INPUT_LIMIT, INPUT_LIMIT - 1, out=seen[..., :count])
        seen[..., count : count + 3] = decoded
        padded = np.pad(decoded, ((1, 0), (1, 0), (0, 0)), mode="edge")
        seen[..., count + 3 : count + 6] = softsign(decoded - padded[1:, :-1], 8)
        seen[..., count + 6 :] = softsign(decoded - padded[:-1, 1:], 8)

        def of(part: Numbers) -> Numbers:
            return convolve(activated(convolve(part, self.around)), self.context) + level

        return in_bands(of, seen, 2, len(level), np.float32)

    def _hidden(self, h: Numbers, layer: int, taps: Numbers) -> Numbers:
        inner = activated(self.causal[layer].linear(taps))
        return h + self.pointwise[layer].linear(inner)

    def _inner(self, h: Numbers) -> Numbers:
        return activated(h + self.last.linear(activated(h)))

    def _outputs(self, inner: Numbers) -> Whole:
        return self.output.linear(inner).astype(np.int64).reshape(len(inner), 10, -1)

    def parameters(self, x: Planes, tile: Tiles) -> Pixels:
        """The mixtures of all pixels of one known tile x (H, W, 3), in raster order; `tile` is a batch of one."""
        inner, predicted = self.inner(x, tile)
        return Pixels(self._outputs(inner), predicted)

    def inner(self, x: Planes, tile: Tiles) -> tuple[Numbers, Planes]:
        """What the last layer sees of all pixels of one known tile, (n, C) at INPUT_BITS, and their predictions (n, 3)."""
        height, width, _ = x.shape
        around = tile.decoded[0]
        wide = around.copy()
        wide[EDGE:, EDGE:-EDGE] = x
        planes, _ = _planes(around, around)
        inside, predicted = _planes(wide, around)
        planes[REACH:, REACH:-REACH] = inside[REACH:, REACH:-REACH]
        predicted = predicted[REACH:, REACH:-REACH]
        given = np.concatenate(_given(around[EDGE:, EDGE:-EDGE], predicted), 2)
        h: Numbers = np.empty((height, width, tile.code.shape[3]), np.float32)
        rows = 16
        for top in range(0, height, rows):
            count = min(rows, height - top)
            runs = []
            for row, run in enumerate(RUNS):
                part = planes[top + row :]
                down, right, across = part.strides
                view = np.lib.stride_tricks.as_strided(part, (count, width, run * PLANES), (down, right, across))
                runs.append(view)
            taps = np.concatenate([*runs, given[top : top + count]], 2)
            h[top : top + count] = self.window.linear(taps) + tile.code[0, top : top + count]
        for layer in range(len(self.causal)):
            h = self._layer(h, layer)
        return self._inner(h.reshape(height * width, -1)), predicted.reshape(-1, 3)

    def _layer(self, h: Numbers, layer: int) -> Numbers:
        height, width, channels = h.shape
        padded = np.zeros((height + 1, width + 2, channels), np.float32)
        padded[1:, 1:-1] = activated(h)
        out = np.empty_like(h)
        down, right, across = padded.strides
        rows = 32
        for top in range(0, height, rows):
            count = min(rows, height - top)
            views = np.lib.stride_tricks.as_strided
            above = views(padded[top:], (count, width, 3 * channels), (down, right, across))
            beside = views(padded[top + 1 :], (count, width, 2 * channels), (down, right, across))
            out[top : top + count] = self._hidden(h[top : top + count], layer, np.concatenate([above, beside], 2))
        return out

    def walk(self, tiles: Tiles, decide: Decide) -> Planes:
        """Tiles pixel by pixel, each decided when those before it are known: (T, H, W, 3)."""
        count, height, width, channels = tiles.code.shape
        around = tiles.decoded
        wide = around.copy()
        planes = np.stack([_planes(one, one)[0] for one in around])  # (T, H + 3, W + 6, 15)
        rings = [np.zeros((4, count, height + 1, channels), np.float32) for _ in self.causal]
        for t in range(width + 2 * (height - 1)):
            first, last = max(0, (t - width + 2) // 2), min(height - 1, t // 2)
            rows = last - first + 1
            if rows <= 0:
                continue
            column = t - 2 * first
            n = count * rows
            west, north, north_west = (
                _diagonal(wide, first + EDGE - up, column + EDGE - left, rows) for up, left in ((0, 1), (1, 0), (1, 1))
            )
            own = _diagonal(around, first + EDGE, column + EDGE, rows)
            predicted = med(west, north, north_west)
            runs = [_diagonal(planes, first + row, column, rows, run) for row, run in enumerate(RUNS)]
            taps = np.concatenate([*runs, *_given(own, predicted)], 2)
            h = self.window.linear(taps.reshape(n, -1)) + _diagonal(tiles.code, first, column, rows).reshape(n, -1)
            for layer, ring in enumerate(rings):
                now = ring[t % 4]
                now[:] = 0
                now[:, first + 1 : last + 2] = activated(h).reshape(count, rows, channels)
                above = [ring[(t - ago) % 4][:, first : last + 1] for ago in (3, 2, 1)]
                left = ring[(t - 1) % 4][:, first + 1 : last + 2]
                near = np.concatenate([*above, left, now[:, first + 1 : last + 2]], 2)
                h = self._hidden(h, layer, near.reshape(n, -1))
            places = np.arange(first, last + 1)
            found = Pixels(self._outputs(self._inner(h)), predicted.reshape(n, 3))
            x = decide(found, places, t - 2 * places).reshape(count, rows, 3)
            _diagonal(wide, first + EDGE, column + EDGE, rows)[...] = x
            _diagonal(planes, first + REACH, column + REACH, rows)[...] = _seen(x, west, north, predicted, own)
        return wide[:, EDGE:, EDGE:-EDGE]


def _planes(wide: Planes, decoded: Planes) -> tuple[npt.NDArray[np.float32], Planes]:
    """Planes and predictions of all but the first row, and the first and last column."""
    here, west, north = wide[1:, 1:-1], wide[1:, :-2], wide[:-1, 1:-1]
    predicted = med(west, north, wide[:-1, :-2])
    return _seen(here, west, north, predicted, decoded[1:, 1:-1]), predicted


def _diagonal(array: Array, row: int, column: int, rows: int, taps: int = 1) -> Array:
    """A view of `taps` neighbours from (row, column) on, then one row down and two columns left, ...: (T, rows, taps C)."""
    tile, down, right, across = array.strides
    start = array[:, row, column:]
    return np.lib.stride_tricks.as_strided(
        start, (len(array), rows, taps * array.shape[3]), (tile, down - 2 * right, across), writeable=True
    )
