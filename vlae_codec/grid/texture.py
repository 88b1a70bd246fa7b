"""p(x|z) in exact integer arithmetic, as `models/grid/texture.py` defines it: the PixelCNN of a tile of pixels.

It runs two ways with equal results: here it sees a whole tile that is known, for encoding; in `wavefront` pixel by pixel.

Twist: numbers are small enough for float32: activations of 7 fraction bits below 2^11, weights chosen so that no partial sum
reaches 2^24. A layer whose sums might is computed in float64, with the same result.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from vlae_codec.exact.fixed import Affine
from vlae_codec.exact.logistics import Whole
from vlae_codec.exact.wavefront import Wavefront

from .colour import Planes
from .mixtures import Pixels
from .network import BITS, Arrays, Numbers, affine, between, convolve, in_bands, shuffle

INPUT_BITS = 7
"""Fraction bits of all that the layers see."""
INPUT_LIMIT = 2.0**11
REACH = 3
"""How far the window reaches: up, to the left, and to the right of where it is above."""
EDGE = REACH + 1
RUNS = 7, 7, 5, 3
"""Pixels of the window in each of its rows, from the top, all from column -3 on."""
PLANES = 15
_FLOAT32 = 2.0**24
_TOGETHER = 1 << 10  # pixels that go through a layer at once


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
    return _within(eighth)


def _within(x: Numbers) -> Numbers:
    """Within INPUT_LIMIT, in place."""
    return np.clip(x, 1 - INPUT_LIMIT, INPUT_LIMIT - 1, out=x)


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
    """A batch of tiles of one height, to be walked or seen: decoded (T, H + 4, W + 8, 3), code (T, H, W, C).

    `decoded` reaches EDGE pixels beyond a tile above, to the left and to the right: of the decoded picture there. widths: of
    the tiles, at most W; what lies beyond them is outside.
    """

    decoded: Planes
    code: npt.NDArray[np.float32]
    widths: tuple[int, ...]

    @property
    def steps(self) -> int:
        """Of the wavefront, t = column + 2 row."""
        _, height, width, _ = self.code.shape
        return Wavefront(height, width).steps


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

    @property
    def channels(self) -> int:
        """Of hidden layers, and of what the code says at each pixel."""
        return len(self.level[0])

    def code(self, decoded: Planes, hidden: Numbers, quality: int) -> npt.NDArray[np.float32]:
        """What the code says at every pixel: decoded (H, W, 3), hidden (H/2, W/2, F) at BITS -> (H, W, C)."""
        inner = np.floor(hidden * np.float32(0.5 ** (BITS - INPUT_BITS)))
        features = shuffle(convolve(_within(inner), self.features, lambda made, rows: _within(made)), 2)
        level = between(self.level, quality).astype(np.float32)
        count = features.shape[2]
        seen = np.empty((*decoded.shape[:2], count + 9), np.float32)
        seen[..., :count] = features
        seen[..., count : count + 3] = decoded
        padded = np.pad(decoded, ((1, 0), (1, 0), (0, 0)), mode="edge")
        seen[..., count + 3 : count + 6] = softsign(decoded - padded[1:, :-1], 8)
        seen[..., count + 6 :] = softsign(decoded - padded[:-1, 1:], 8)

        def of(part: Numbers) -> Numbers:
            inner = convolve(part, self.around, lambda made, rows: activated(made))
            return convolve(inner, self.context, lambda made, rows: np.add(made, level, out=made))

        return in_bands(of, seen, 2, len(level), np.float32)

    def _hidden(self, h: Numbers, layer: int, taps: Numbers) -> Numbers:
        inner = activated(self.causal[layer].linear(taps))
        return h + self.pointwise[layer].linear(inner)

    def _inner(self, h: Numbers) -> Numbers:
        return activated(h + self.last.linear(activated(h)))

    def _outputs(self, inner: Numbers) -> Whole:
        said: Whole = self.output.linear(inner).T.astype(np.int64, order="C")
        return said.reshape(10, -1, len(inner))

    def parameters(self, x: Planes, tile: Tiles) -> Pixels:
        """The mixtures of all pixels of one known tile x (H, W, 3), in raster order; `tile` is a batch of one."""
        inner, predicted = self.inner(x, tile)
        return Pixels(self._outputs(inner), predicted.T.astype(np.int64, order="C"))

    def inner(self, x: Planes, tile: Tiles) -> tuple[Numbers, Planes]:
        """What the last layer sees of all pixels of one known tile, (n, C) at INPUT_BITS, and their predictions (n, 3)."""
        height, width, _ = x.shape
        around = tile.decoded[0]
        wide = around.copy()
        wide[EDGE:, EDGE:-EDGE] = x
        planes, _ = seen_of(around, around)
        inside, predicted = seen_of(wide, around)
        planes[REACH:, REACH:-REACH] = inside[REACH:, REACH:-REACH]
        predicted = predicted[REACH:, REACH:-REACH]
        given = np.concatenate(_given(around[EDGE:, EDGE:-EDGE], predicted), 2)
        h: Numbers = np.empty((height, width, tile.code.shape[3]), np.float32)
        rows = max(1, _TOGETHER // width)
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
        out = np.empty_like(h)
        down, right, across = padded.strides
        rows = max(1, _TOGETHER // width)
        for top in range(0, height, rows):
            count = min(rows, height - top)
            padded[top + 1 : top + 1 + count, 1:-1] = activated(h[top : top + count])
            views = np.lib.stride_tricks.as_strided
            above = views(padded[top:], (count, width, 3 * channels), (down, right, across))
            beside = views(padded[top + 1 :], (count, width, 2 * channels), (down, right, across))
            out[top : top + count] = self._hidden(h[top : top + count], layer, np.concatenate([above, beside], 2))
        return out


def seen_of(wide: Planes, decoded: Planes) -> tuple[npt.NDArray[np.float32], Planes]:
    """What the window sees of all pixels (H, W, 3) but the first row, and the first and last column; their predictions."""
    here, west, north = wide[1:, 1:-1], wide[1:, :-2], wide[:-1, 1:-1]
    predicted = med(west, north, wide[:-1, :-2])
    return _seen(here, west, north, predicted, decoded[1:, 1:-1]), predicted
