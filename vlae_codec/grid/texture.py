"""p(x|z) in exact integer arithmetic, as `models/grid/texture.py` defines it: the PixelCNN of a tile of pixels.

It runs two ways with equal results: here it sees a whole tile that is known, for encoding and for texture; in `wavefront`
pixel by pixel.

Twists:
- Numbers are small enough for float32: activations of 7 fraction bits below 2^11, weights chosen so that no partial sum
  reaches 2^24. A layer whose sums might is computed in float64, with the same result.
- Weights are divided by the power of two that a layer's result is shifted by, which changes no digit of any sum. Then
  rounding, the slope of what is negative and limits are one floor and one clip: floor(max(x, x / 8)).
- A known tile goes through all layers in bands of rows that stay in the cache; each layer keeps a band's last row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

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
TAPS = sum(RUNS) * PLANES + 6
"""Numbers that the first layer sees of a pixel."""
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
    room = np.empty_like(x)
    return _activated(x, room, room)


def _within(x: Numbers) -> Numbers:
    """Within INPUT_LIMIT, in place."""
    return np.clip(x, 1 - INPUT_LIMIT, INPUT_LIMIT - 1, out=x)


def _activated(x: Numbers, room: Numbers, out: Numbers) -> Numbers:
    """`activated` of what is not rounded yet."""
    np.multiply(x, x.dtype.type(0.125), out=room)
    np.maximum(x, room, out=room)
    np.floor(room, out=room)
    return np.clip(room, 1 - INPUT_LIMIT, INPUT_LIMIT - 1, out=out)


Near = Callable[[int, Numbers], Numbers]
"""Of a causal layer's number and its activations at n pixels, (n, C): those above left, above, above right, on the left and
at the pixels themselves, (n, 5 C)."""


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
    """A batch of tiles of one height, to be walked or seen: decoded (T, H + 4, W + 8, 3), code (T, H, W, C), whole numbers.

    `decoded` reaches EDGE pixels beyond a tile above, to the left and to the right: of the decoded picture there. widths: of
    the tiles, at most W; what lies beyond them is outside.
    """

    decoded: Planes
    code: npt.NDArray[Any]
    widths: tuple[int, ...]

    @property
    def steps(self) -> int:
        """Of the wavefront, t = column + 2 row."""
        _, height, width, _ = self.code.shape
        return Wavefront(height, width).steps

    def part(self, rows: slice, columns: slice) -> Tiles:
        """Some rows and columns of each tile, as if they were a tile: what lies beside them is the decoded picture's."""
        decoded = self.decoded[:, rows.start : rows.stop + EDGE, columns.start : columns.stop + 2 * EDGE]
        return Tiles(decoded, self.code[:, rows, columns], (columns.stop - columns.start,) * len(self.widths))


@dataclass(frozen=True)
class Layers:
    """The layers that see pixels, in floats of one kind, their numbers divided by 2^shift: what is left is to round down."""

    window: Affine
    causal: tuple[Affine, ...]
    pointwise: tuple[Affine, ...]
    last: Affine
    output: Affine

    @property
    def kind(self) -> npt.DTypeLike:
        """Of the floats of all but the output."""
        return self.window.weight.dtype

    def inner(self, taps: Numbers, code: Numbers, near: Near, rooms: Numbers) -> Numbers:
        """What the last layer sees of n pixels: (n, C) at INPUT_BITS, in one of the rooms (3, n, C).

        taps: (n, TAPS). code: (..., C), in the order of the pixels.
        """
        h, inner, room = rooms
        np.floor(self.window.product(taps, inner), out=h)
        here = h.reshape(code.shape)
        here += code
        for layer, (causal, pointwise) in enumerate(zip(self.causal, self.pointwise, strict=True)):
            seen = near(layer, _activated(h, room, room))
            np.floor(pointwise.product(_activated(causal.product(seen, inner), room, inner), room), out=room)
            h += room
        np.floor(self.last.product(_activated(h, room, inner), room), out=room)
        h += room
        return _activated(h, room, inner)

    def outputs(self, inner: Numbers) -> Whole:
        """What the PixelCNN says of n pixels, (10, K, n)."""
        said = np.floor(self.output.product(inner))
        return said.T.astype(np.int64, order="C").reshape(10, -1, len(inner))


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

    @cached_property
    def layers(self) -> Layers:
        """Those that see pixels."""
        hidden = (self.window, *self.causal, *self.pointwise, self.last)
        kind = np.result_type(*(layer.weight for layer in hidden))
        window, *inner, last = (layer.scaled(kind) for layer in hidden)
        half, output = len(self.causal), self.output.scaled(self.output.weight.dtype)
        return Layers(window, tuple(inner[:half]), tuple(inner[half:]), last, output)

    @property
    def reach(self) -> int:
        """How far a pixel sees others, up and to both sides."""
        return EDGE + len(self.causal)

    def parameters(self, x: Planes, tile: Tiles) -> Pixels:
        """The mixtures of all pixels of one known tile x (H, W, 3), in raster order; `tile` is a batch of one."""
        found = [(self.layers.outputs(inner), predicted) for _, inner, predicted in self.bands(x, tile)]
        outputs, predictions = zip(*found, strict=True)
        return Pixels(np.concatenate(outputs, 2), np.concatenate(predictions, 1))

    def inner(self, x: Planes, tile: Tiles) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]:
        """What the last layer sees of all pixels of one known tile, (n, C) at INPUT_BITS, and their predictions (n, 3)."""
        found = [(inner.astype(np.int16), predicted.T.astype(np.int16)) for _, inner, predicted in self.bands(x, tile)]
        seen, predictions = zip(*found, strict=True)
        return np.concatenate(seen), np.concatenate(predictions)

    def said(self, inner: npt.NDArray[np.int16], predictions: npt.NDArray[np.int16]) -> Pixels:
        """`parameters`, of what `inner` gave."""
        layers = self.layers
        outputs = [
            layers.outputs(inner[start : start + _TOGETHER].astype(layers.output.weight.dtype))
            for start in range(0, len(inner), _TOGETHER)
        ]
        return Pixels(np.concatenate(outputs, 2), predictions.T.astype(np.int64, order="C"))

    def bands(self, x: Planes, tile: Tiles) -> Iterator[tuple[slice, Numbers, Whole]]:
        """One known tile x (H, W, 3) in bands: which rows, what the last layer sees of their n pixels, (n, C) at INPUT_BITS
        until the next band is asked for, and their predictions (3, n)."""
        height, width, _ = x.shape
        planes, predicted, given = _known(x, tile.decoded[0])
        rows = min(height, max(1, _TOGETHER // width))
        layers, channels = self.layers, self.channels
        taps, around = np.empty((rows, width, TAPS), layers.kind), np.empty((rows, width, 5 * channels), layers.kind)
        kept = np.zeros((len(self.causal), rows + 1, width + 2, channels), layers.kind)
        rooms = np.empty((3, rows * width, channels), layers.kind)
        for top in range(0, height, rows):
            here = slice(top, min(top + rows, height))
            count = here.stop - top
            seen, near = _taps(planes, given, here, taps[:count]), partial(_near, kept, around[:count])
            inner = layers.inner(seen, tile.code[0, here], near, rooms[:, : count * width])
            yield here, inner, predicted[here].reshape(-1, 3).T.astype(np.int64, order="C")


def _known(x: Planes, around: Planes) -> tuple[npt.NDArray[np.float32], Planes, npt.NDArray[np.float32]]:
    """Of a known tile x (H, W, 3) in the decoded picture around it: planes (H + 3, W + 6, 15), predictions (H, W, 3), and
    what the decoded picture says beside them (H, W, 6)."""
    wide = around.copy()
    wide[EDGE:, EDGE:-EDGE] = x
    planes, _ = seen_of(around, around)
    inside, predicted = seen_of(wide, around)
    planes[REACH:, REACH:-REACH] = inside[REACH:, REACH:-REACH]
    predicted = predicted[REACH:, REACH:-REACH]
    return planes, predicted, np.concatenate(_given(around[EDGE:, EDGE:-EDGE], predicted), 2)


def _taps(planes: Numbers, given: Numbers, here: slice, out: Numbers) -> Numbers:
    """What the first layer sees of the pixels of some rows, in a room (H, W, TAPS): (n, TAPS)."""
    at = 0
    for row, run in enumerate(RUNS):
        size = run * PLANES
        out[..., at : at + size] = _runs(planes[here.start + row :], out.shape[:2], size)
        at += size
    out[..., at:] = given[here]
    return out.reshape(-1, TAPS)


def _near(kept: Numbers, out: Numbers, layer: int, h: Numbers) -> Numbers:
    """`Near` of a band, in a room (H, W, 5 C). kept (layers, H + 1, W + 2, C): each one's last row is the band's before."""
    height, width, channels = *out.shape[:2], h.shape[1]
    wide = kept[layer]
    wide[0] = wide[-1]
    wide[1 : height + 1, 1:-1] = h.reshape(height, width, channels)
    out[..., : 3 * channels] = _runs(wide, (height, width), 3 * channels)
    out[..., 3 * channels :] = _runs(wide[1:], (height, width), 2 * channels)
    return out.reshape(len(h), -1)


def _runs(array: Numbers, shape: tuple[int, ...], size: int) -> Numbers:
    """A view (rows, columns, size) of an array (H, W, C): from each place on so many of its row's numbers."""
    return np.lib.stride_tricks.as_strided(array, (*shape, size), array.strides)


def seen_of(wide: Planes, decoded: Planes) -> tuple[npt.NDArray[np.float32], Planes]:
    """What the window sees of all pixels (H, W, 3) but the first row, and the first and last column; their predictions."""
    here, west, north = wide[1:, 1:-1], wide[1:, :-2], wide[:-1, 1:-1]
    predicted = med(west, north, wide[:-1, :-2])
    return _seen(here, west, north, predicted, decoded[1:, 1:-1]), predicted
