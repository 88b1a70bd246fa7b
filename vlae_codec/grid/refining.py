"""Where the decoder would rather have its latents: the gradient of its squared error, for searches of the encoder.

The transforms are nearly orthonormal, and so a latent is first rounded as if its error stood alone. But errors of neighbours
meet in the same pixels. A step of Newton's method, with the curvature of an orthonormal transform, says where each latent
would be best given how all others were rounded.

This is ordinary floating point, in float32 without any rounding of activations: nothing that a decoder recomputes depends
on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.exact.fixed import Affine

from .network import (
    BITS,
    PATCH,
    Decoder,
    ResidualBlock,
    between,
    convolve,
    exponentials,
    pixels_of,
    pointwise,
    shuffle,
    unshuffle,
)

Reals = npt.NDArray[np.floating[Any]]
_SITES = 96, 64  # of a region whose gradient is computed at once, each way; and of a picture of many
_SLOPE = 0.125


@dataclass(frozen=True)
class Real:
    """A layer of the network in float32, without rounding: y = x W + b."""

    weight: Reals
    bias: Reals

    @classmethod
    def of(cls, layer: Affine) -> Real:
        """That of an integer layer."""
        scale = 0.5**layer.shift
        return cls((layer.weight * scale).astype(np.float32), (layer.bias * scale).astype(np.float32))

    @property
    def back(self) -> Real:
        """What takes gradients of outputs to gradients of inputs; of a 1x1 layer."""
        return Real(np.ascontiguousarray(self.weight.T), np.zeros(len(self.weight), np.float32))

    @property
    def back3(self) -> Real:
        """The same of a 3x3 layer, itself a 3x3 layer."""
        taps = self.weight.reshape(3, 3, -1, self.weight.shape[1])
        channels = taps.shape[2]
        turned = taps[::-1, ::-1].transpose(0, 1, 3, 2).reshape(-1, channels)
        return Real(np.ascontiguousarray(turned), np.zeros(channels, np.float32))

    def linear(self, x: Reals) -> Reals:
        """The map itself."""
        inputs, outputs = self.weight.shape
        return (x.reshape(-1, inputs) @ self.weight + self.bias).reshape(*x.shape[:-1], outputs)


@dataclass(frozen=True)
class RealBlock:
    """A residual block, and the way back through it."""

    first: Real
    second: Real
    first_back: Real
    second_back: Real

    @classmethod
    def of(cls, block: ResidualBlock) -> RealBlock:
        """That of an integer block."""
        first, second = Real.of(block.first), Real.of(block.second)
        return cls(first, second, first.back3, second.back3)

    def forward(self, x: Reals) -> tuple[Reals, Reals]:
        """Its output, and what its activation saw."""
        inner = convolve(x, self.first)
        return x + convolve(_leaky(inner), self.second), inner

    def backward(self, gradient: Reals, inner: Reals) -> Reals:
        """The gradient to its input."""
        through = convolve(gradient, self.second_back) * _slopes(inner)
        return gradient + convolve(through, self.first_back)


@dataclass(frozen=True)
class Gradient:
    """Of the squared error of the decoded picture."""

    decoder: Decoder

    @cached_property
    def _blocks(self) -> list[RealBlock]:
        return [RealBlock.of(block) for block in self.decoder.blocks]

    @cached_property
    def _fine(self) -> list[RealBlock]:
        return [RealBlock.of(block) for block in self.decoder.fine]

    @cached_property
    def _layers(self) -> dict[str, Real]:
        return {name: Real.of(getattr(self.decoder, name)) for name in ("input", "linear", "up", "output")}

    def regions(
        self,
        z: npt.NDArray[np.signedinteger],
        picture: npt.NDArray[np.uint8],
        quality: int,
        rows: slice | None = None,
        many: bool = False,
    ) -> Iterator[tuple[tuple[slice, slice], Reals]]:
        """Rows and columns of regions, and there the gradient (h', w', C) of the error: summed over pixels, the mean square
        over R, G, B of 8 bits.

        z (h, w, C): latents; picture (H, W, 3): the source. rows: those asked for. many: memory is dearer than time.
        At the borders of regions what lies beyond the halo is not seen.
        """
        height, width, _ = z.shape
        halo, sites, asked = self.decoder.halo, _SITES[many], rows or slice(0, height)
        for top in range(asked.start, asked.stop, sites):
            for left in range(0, width, sites):
                far_top, far_left = max(top - halo, 0), max(left - halo, 0)
                seen = slice(far_top, min(top + sites + halo, height)), slice(far_left, min(left + sites + halo, width))
                found = self._region(z[seen], pixels_of(picture, *seen), quality)
                own = slice(top, min(top + sites, asked.stop)), slice(left, min(left + sites, width))
                inner = found[top - far_top :, left - far_left :]
                yield own, inner[: own[0].stop - top, : own[1].stop - left]

    def _region(self, z: npt.NDArray[np.signedinteger], picture: npt.NDArray[np.uint8], quality: int) -> Reals:
        layers = self._layers
        steps = exponentials(between(self.decoder.log_step, quality)).astype(np.float32)
        h, inners = _through(pointwise(z.astype(np.float32) * steps, layers["input"]), self._blocks)
        fine, fine_inners = _through(shuffle(pointwise(h, layers["up"]), PATCH // 2), self._fine)
        made = shuffle(pointwise(h, layers["linear"]), PATCH) + shuffle(convolve(_leaky(fine), layers["output"]), 2)
        unit = np.float32(255 * 0.5**BITS)
        error = np.clip((made + np.float32(2.0 ** (BITS - 1))) * unit, 0, 255) - picture
        gradient = error.astype(np.float32) * (2 / 3 * unit)
        of_fine = convolve(unshuffle(gradient, 2), layers["output"].back3) * _slopes(fine)
        of_up = unshuffle(_back(of_fine, self._fine, fine_inners), PATCH // 2)
        back = pointwise(of_up, layers["up"].back) + pointwise(unshuffle(gradient, PATCH), layers["linear"].back)
        return pointwise(_back(back, self._blocks, inners), layers["input"].back) * steps


def _through(x: Reals, blocks: list[RealBlock]) -> tuple[Reals, list[Reals]]:
    """The output of blocks one after another, and what their activations saw."""
    inners = []
    for block in blocks:
        x, inner = block.forward(x)
        inners.append(inner)
    return x, inners


def _back(gradient: Reals, blocks: list[RealBlock], inners: list[Reals]) -> Reals:
    """The gradient to their input."""
    for block, inner in zip(reversed(blocks), reversed(inners), strict=True):
        gradient = block.backward(gradient, inner)
    return gradient


def _leaky(x: Reals) -> Reals:
    out: Reals = np.maximum(x, x * np.float32(_SLOPE))
    return out


def _slopes(x: Reals) -> Reals:
    return np.where(x > 0, np.float32(1), np.float32(_SLOPE))
