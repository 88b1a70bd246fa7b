"""The transforms in exact integer arithmetic, as `models/grid/transforms.py` defines them.

    encoder    picture (8 h, 8 w, 3) uint8 -> latents z (h, w, C)
    decoder    latents z (h, w, C)         -> hidden (4 h, 4 w, F) and the decoded picture (8 h, 8 w, 3) uint8

Arrays are channels-last integers of BITS fraction bits, carried in float64 (see `exact.fixed`). Convolutions run in bands
of rows, on all cores, so that patches never need more than a few megabytes.

Twist: what a file can make large is clipped, at the latents and behind each residual block, so that no sum leaves the
range in which float64 is exact, whatever the latents are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vlae_codec.exact.fixed import EXP_BITS, Affine, Integers, exp_integer, exp_table
from vlae_codec.exact.threads import in_pieces

BITS = 12
"""Fraction bits of activations in transforms and prior."""
LIMIT = 2.0**20
"""Activations are clipped to this, 256.0."""
PATCH = 8
"""Pixels of a site, each way."""
LEVEL_STEPS = 32
"""Qualities between two levels."""
LARGEST_LATENT = 1 << 15
_BAND = 1 << 19  # numbers in the patches of a band
_BAND_NUMBERS = 1 << 21  # in what is made of a band
_ROWS = 16  # of sites whose pixels are decoded at once
_EXACT = 2.0**24  # below, whole numbers are the same in float32

Latents = npt.NDArray[np.int32]
"""Latents of all sites: (h, w, C) int32."""
Arrays = Mapping[str, npt.NDArray[Any]]
Numbers = npt.NDArray[Any]
"""Integers in float64, or in float32 where that is exact."""


def leaky(x: Numbers) -> Numbers:
    """max(x, floor(x / 8)), elementwise."""
    eighth = x * 0.125
    np.floor(eighth, out=eighth)
    return np.maximum(x, eighth, out=eighth)


def clipped(x: Integers) -> Integers:
    """Within LIMIT, in place."""
    return np.clip(x, -LIMIT, LIMIT, out=x)


def affine(arrays: Arrays, name: str, limit: float = 9 * LIMIT) -> Affine:
    """A layer of a model's arrays: `name`.weight (K, O), .bias (O,) and .shift."""
    shift = int(arrays[f"{name}.shift"])
    return Affine.rounding(arrays[f"{name}.weight"], arrays[f"{name}.bias"], shift, limit)


class Linear(Protocol):
    """A layer: what it needs of its weights is their shape (K, O)."""

    @property
    def weight(self) -> npt.NDArray[Any]:
        """(K, O)."""

    def linear(self, x: Any) -> Any:
        """(..., K) -> (..., O)."""


def convolve(
    x: Numbers,
    layer: Linear,
    then: Callable[[Numbers, slice], Numbers] | None = None,
    sites: tuple[slice, slice] = (slice(None), slice(None)),
) -> Numbers:
    """A 3x3 convolution with zeros beyond the border, taps in raster order, then channel: (H, W, C) -> (H, W, O).

    then: what is done to rows of the result, and which ones these are: cheaper while they are near. sites: the rows and
    columns that are wanted, if not all.
    """
    height, width, channels = x.shape
    padded = np.zeros((height + 2, width + 2, channels), x.dtype)
    padded[1:-1, 1:-1] = x
    below, across = range(height)[sites[0]], range(width)[sites[1]]
    rows = max(1, _BAND // (9 * channels * len(across)))

    def band(starts: npt.NDArray[np.intp]) -> Integers:
        own = slice(int(starts[0]), min(int(starts[0]) + rows, len(below)))
        part = padded[below[own.start] :, across.start :]
        down, right, deep = part.strides
        shape = (own.stop - own.start, len(across), 3, 3 * channels)
        taps = np.lib.stride_tricks.as_strided(part, shape, (below.step * down, across.step * right, down, deep))
        made: Integers = layer.linear(taps.reshape(*shape[:2], 9 * channels))
        return then(made, own) if then else made

    return in_pieces(1, band, np.arange(0, len(below), rows))


def in_bands(
    function: Callable[[Numbers], Numbers], x: Numbers, halo: int, channels: int, kind: npt.DTypeLike
) -> Numbers:
    """function(x), of rows of sites (h, w, C), computed in bands of them so that its intermediates stay small.

    halo: how many rows above and below a row of the result (h, w, channels) depends on. kind: what its numbers are kept as.
    """
    height, width = x.shape[:2]
    out = np.empty((height, width, channels), kind)
    for own, part, inner in bands(height, band_rows(width, channels, halo), halo):
        out[own] = function(x[part])[inner]
    return out


def band_rows(width: int, channels: int, halo: int) -> int:
    """How many rows of sites a band has, of which so many channels are computed: an even number."""
    rows = max(halo, _BAND_NUMBERS // (width * channels), 1)
    return rows + rows % 2


def bands(height: int, rows: int, halo: int) -> Iterator[tuple[slice, slice, slice]]:
    """Bands of so many rows: which rows each one is, which ones it is computed from, and where it lies among these."""
    for top in range(0, height, rows):
        start, bottom = max(top - halo, 0), min(top + rows, height)
        yield slice(top, bottom), slice(start, min(bottom + halo, height)), slice(top - start, bottom - start)


def pixels_of(picture: npt.NDArray[np.uint8], rows: slice, columns: slice) -> npt.NDArray[np.uint8]:
    """The pixels of some sites of a picture (H, W, 3), its border repeated where it ends within a site: (8 h, 8 w, 3)."""
    part = picture[_times(rows, PATCH), _times(columns, PATCH)]
    missing = (
        (0, PATCH * (sites.stop - sites.start) - size)
        for sites, size in zip((rows, columns), part.shape[:2], strict=True)
    )
    return np.pad(part, (*missing, (0, 0)), mode="edge")


def pointwise(x: Numbers, layer: Linear) -> Numbers:
    """A layer applied to every site: (H, W, C) -> (H, W, O)."""
    return in_pieces(max(1, _BAND // (x.shape[1] * x.shape[2])), layer.linear, x)


def shuffle(x: Numbers, factor: int) -> Numbers:
    """Depth to space, channel (c factor + i) factor + j to row i, column j: (H, W, C f f) -> (f H, f W, C)."""
    height, width, depth = x.shape
    channels = depth // factor**2
    parts = x.reshape(height, width, channels, factor, factor).transpose(0, 3, 1, 4, 2)
    return parts.reshape(factor * height, factor * width, channels)


def unshuffle(x: Numbers, factor: int) -> Numbers:
    """The inverse of `shuffle`."""
    height, width, channels = x.shape[0] // factor, x.shape[1] // factor, x.shape[2]
    parts = x.reshape(height, factor, width, factor, channels).transpose(0, 2, 4, 1, 3)
    return parts.reshape(height, width, channels * factor**2)


@dataclass(frozen=True)
class ResidualBlock:
    """x + second(leaky(first(x))), 3x3 convolutions, clipped."""

    first: Affine
    second: Affine

    def __call__(self, x: Integers) -> Integers:
        inner = convolve(x, self.first, lambda made, rows: leaky(clipped(made)))
        return convolve(inner, self.second, lambda made, rows: clipped(np.add(made, x[rows], out=made)))


def blocks(arrays: Arrays, name: str) -> tuple[ResidualBlock, ...]:
    """Blocks `name`.0, `name`.1, ... as many as there are."""
    found = list[ResidualBlock]()
    while f"{name}.{len(found)}.first.weight" in arrays:
        part = f"{name}.{len(found)}"
        found.append(ResidualBlock(affine(arrays, f"{part}.first"), affine(arrays, f"{part}.second")))
    return tuple(found)


def between(table: npt.NDArray[np.int64], quality: int) -> npt.NDArray[np.int64]:
    """The row of a table (L, C) at a quality, 0 .. (L - 1) LEVEL_STEPS, interpolated: (C,)."""
    level, part = divmod(quality, LEVEL_STEPS)
    below, above = table[level], table[min(level + 1, len(table) - 1)]
    row: npt.NDArray[np.int64] = (below * (LEVEL_STEPS - part) + above * part + LEVEL_STEPS // 2) // LEVEL_STEPS
    return row


def exponentials(logs: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """exp(log) at BITS, of logs at BITS, at most 8; elementwise."""
    return _exponential_table().take((8 << BITS) - logs, mode="clip")


@cache
def _exponential_table() -> npt.NDArray[np.int32]:
    """exp(8 - i / 2^BITS) at BITS."""
    return (exp_table() * exp_integer(8, BITS) >> EXP_BITS).astype(np.int32)


@dataclass(frozen=True)
class Encoder:
    """The rounded means of q(z|x)."""

    input: Affine
    blocks: tuple[ResidualBlock, ...]
    output: Affine
    log_gain: npt.NDArray[np.int64]

    @classmethod
    def of(cls, arrays: Arrays) -> Encoder:
        """The encoder of a model's arrays."""
        input_, output = affine(arrays, "encoder.input"), affine(arrays, "encoder.output")
        return cls(input_, blocks(arrays, "encoder.blocks"), output, arrays["encoder.log_gain"].astype(np.int64))

    def means(self, picture: npt.NDArray[np.uint8], quality: int) -> Numbers:
        """Means of q(z|x) in steps of the lattice, in 2^-BITS, of a picture (H, W, 3): (h, w, C)."""
        return self.scaled(self.transformed(picture), quality)

    def scaled(self, transformed: npt.NDArray[np.float32], quality: int) -> Numbers:
        """Means of q(z|x) in steps of the lattice of a quality: in the same memory, unless float32 does not hold them."""
        scales = self.gains(quality) * 0.5**BITS
        largest = (scales * np.maximum(transformed.max((0, 1)), -transformed.min((0, 1)))).max()
        means: Numbers = transformed if largest < _EXACT - 1 else np.empty(transformed.shape, np.float64)
        for row, own in zip(means, transformed, strict=True):  # row by row, so that nothing else is as large
            row[...] = np.floor(own * scales + 0.5)
        return means

    def transformed(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Means of q(z|x) before they are scaled for a quality, at BITS, of a picture (H, W, 3): (h, w, C)."""
        height, width = (-(-size // PATCH) for size in picture.shape[:2])
        channels, halo = self.log_gain.shape[1], 2 * len(self.blocks)
        out = np.empty((height, width, channels), np.float32)
        for own, part, inner in bands(height, band_rows(width, channels, halo), halo):
            samples = unshuffle(pixels_of(picture, part, slice(0, width)), PATCH)
            x = np.floor((samples * 2.0 - 255) * (2.0 ** (BITS - 1) / 255) + 0.5)
            h = clipped(pointwise(x, self.input))
            for block in self.blocks:
                h = block(h)
            out[own] = clipped(pointwise(h, self.output))[inner]  # of at most 21 bits
        return out

    def gains(self, quality: int) -> Integers:
        """How many steps of the lattice a unit of each latent is, in 2^-BITS: (C,)."""
        return exponentials(between(self.log_gain, quality)).astype(np.float64)


@dataclass(frozen=True)
class Decoder:
    """Hidden features and the decoded picture."""

    log_step: npt.NDArray[np.int64]
    input: Affine
    blocks: tuple[ResidualBlock, ...]
    linear: Affine
    up: Affine
    fine: tuple[ResidualBlock, ...]
    output: Affine

    @classmethod
    def of(cls, arrays: Arrays) -> Decoder:
        """The decoder of a model's arrays."""
        part = {name: affine(arrays, f"decoder.{name}") for name in ("input", "linear", "up", "output")}
        coarse, fine = blocks(arrays, "decoder.blocks"), blocks(arrays, "decoder.fine")
        return cls(log_step=arrays["decoder.log_step"].astype(np.int64), blocks=coarse, fine=fine, **part)

    @property
    def halo(self) -> int:
        """Sites around a region that its pixels depend on, each way."""
        return 2 * len(self.blocks) + self._fine_halo

    @property
    def _fine_halo(self) -> int:
        return -(-(2 * len(self.fine) + 1) * 2 // PATCH)

    def __call__(self, z: npt.NDArray[Any], quality: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """Hidden (4 h, 4 w, F) and picture (8 h, 8 w, 3) of latents (h, w, C), or of what stands for them in 2^-8.

        Exact `halo` sites away from a cut border.
        """
        steps = exponentials(between(self.log_step, quality))
        h = clipped(pointwise(clipped(np.floor(z * steps + 0.5)), self.input))
        for block in self.blocks:
            h = block(h)
        height, width, half = len(h), h.shape[1], PATCH // 2
        hidden = np.empty((half * height, half * width, self.output.weight.shape[0] // 9), np.float32)
        picture = np.empty((PATCH * height, PATCH * width, 3), np.uint8)
        for own, part, inner in bands(height, _ROWS, self._fine_halo):
            fine, shown = self._pixels(h[part])
            hidden[_times(own, half)] = fine[_times(inner, half)]
            picture[_times(own, PATCH)] = shown[_times(inner, PATCH)]
        return hidden, picture

    def _pixels(self, h: Integers) -> tuple[Integers, npt.NDArray[np.uint8]]:
        """Hidden and picture of rows of sites; exact some sites away from a cut border."""
        hidden = shuffle(clipped(pointwise(h, self.up)), PATCH // 2)
        for block in self.fine:
            hidden = block(hidden)
        hidden = leaky(hidden)
        picture = shuffle(pointwise(h, self.linear), PATCH)
        picture += shuffle(convolve(hidden, self.output), 2)
        picture += 2.0 ** (BITS - 1)
        picture *= 255 * 0.5**BITS
        picture += 0.5
        return hidden, np.clip(np.floor(picture, out=picture), 0, 255, out=picture).astype(np.uint8)


def _times(rows: slice, factor: int) -> slice:
    return slice(rows.start * factor, rows.stop * factor)
