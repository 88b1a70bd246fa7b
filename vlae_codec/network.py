"""The networks in exact integer arithmetic: encoder, decoder and PixelCNN, as `models/vlae.py` defines them.

Arrays are channels-last: (B, H, W, C) integers at ACTIVATION_BITS (see `fixed`). A 3x3 convolution is a gather of
patches and one matrix product. Any batch size gives the same integers; batches are cut into cache-sized pieces.

The PixelCNN runs two ways with equal results. `logits` sees the whole image and is for encoding. `draw` is the
wavefront: with 3x3 causal kernels pixel (row, col) depends on pixels whose t = col + 2 row is smaller, so all pixels of
equal t, in all images of the batch, advance together: 82 steps for 28x28. Both visit pixels in `WAVEFRONT` order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from .fixed import LATENT_BITS, Affine, Integers, elu

SIDE = 28
"""Height and width of a field, pixels."""
STEPS = 3 * SIDE - 2
"""Wavefront steps of a field."""
_PIECE = 8  # fields whose activations fit a core's cache

LOG_SIGMAS = -7, 2
"""The log sigma of the posterior saturates at these."""

_Value = TypeVar("_Value", bound=np.generic)
Bits = npt.NDArray[np.uint8]
"""Fields of pixels, 1 = ink: (B, 28, 28) uint8."""


def _wavefront() -> npt.NDArray[np.intp]:
    row, col = np.divmod(np.arange(SIDE * SIDE), SIDE)
    return np.lexsort((row, col + 2 * row))


WAVEFRONT = _wavefront()
"""The coding order: raster indices (784,), sorted by t = col + 2 row, then by row."""


def in_coding_order(fields: npt.NDArray[_Value]) -> npt.NDArray[_Value]:
    """Pixels in the order of the wavefront: (B, 28, 28) or (B, 784) -> (784, B)."""
    return fields.reshape(len(fields), SIDE * SIDE)[:, WAVEFRONT].T


@dataclass(frozen=True)
class ResidualBlock:
    """x + second(elu(first(elu(x)))) with 3x3 convolutions."""

    first: Affine
    second: Affine

    def __call__(self, x: Integers) -> Integers:
        return x + self.second.linear(patches(self.first.elu(patches(elu(x)))))


@dataclass(frozen=True)
class Encoder:
    """q(z|x): fields (B, 28, 28) -> mu, log_sigma at LATENT_BITS, each (B, D) integers."""

    input: Affine
    top: tuple[ResidualBlock, ...]
    down: Affine
    bottom: tuple[ResidualBlock, ...]
    dense: Affine
    posterior: Affine

    def __call__(self, fields: Bits) -> tuple[Integers, Integers]:
        pieces = [self._piece(fields[i : i + _PIECE]) for i in range(0, len(fields), _PIECE)]
        mu, log_sigma = np.split(np.concatenate(pieces), 2, axis=1)
        lowest, highest = (end << LATENT_BITS for end in LOG_SIGMAS)
        return mu, log_sigma.clip(lowest, highest)

    def _piece(self, fields: Bits) -> Integers:
        h = self.input.linear(patches(space_to_depth(fields[..., None].astype(np.float64))))
        for block in self.top:
            h = block(h)
        h = self.down.linear(patches(elu(h), stride=2))
        for block in self.bottom:
            h = block(h)
        return self.posterior.linear(self.dense.elu(elu(h).reshape(len(h), -1)))


@dataclass(frozen=True)
class Decoder:
    """z (B, D) at LATENT_BITS -> context (B, 28, 28, C)."""

    dense: Affine
    expand: Affine
    bottom: tuple[ResidualBlock, ...]
    up: Affine
    top: tuple[ResidualBlock, ...]
    output: Affine

    def __call__(self, z: Integers) -> Integers:
        return np.concatenate([self._piece(z[i : i + _PIECE]) for i in range(0, len(z), _PIECE)])

    def _piece(self, z: Integers) -> Integers:
        side = SIDE // 4
        h = self.expand.linear(self.dense.elu(z)).reshape(len(z), side, side, -1)
        for block in self.bottom:
            h = block(h)
        h = depth_to_space(self.up.linear(elu(h)))
        for block in self.top:
            h = block(h)
        return depth_to_space(self.output.linear(elu(h)))


Decide = Callable[[slice, Integers], Bits]
"""What the wavefront asks at each step: (the step's slice of WAVEFRONT, logits (n, B)) -> pixels (n, B)."""


@dataclass(frozen=True)
class PixelCNN:
    """p(x|z): logits of ink, at ACTIVATION_BITS. `blocks` are pairs of a causal 3x3 layer and a 1x1 layer.

    A causal layer's weight has its taps in the order up-left, up, up-right, left and, with mask B, centre.
    """

    input: Affine
    blocks: tuple[tuple[Affine, Affine], ...]
    output: Affine

    def logits(self, fields: Bits, context: Integers) -> Integers:
        """All logits of known fields (B, 28, 28): (B, 784) in raster order."""
        pieces = range(0, len(fields), _PIECE)
        return np.concatenate([self._logits(fields[i : i + _PIECE], context[i : i + _PIECE]) for i in pieces])

    def _logits(self, fields: Bits, context: Integers) -> Integers:
        h = context + self.input.linear(causal_patches(fields[..., None].astype(context.dtype), centre=False))
        for causal, pointwise in self.blocks:
            h += pointwise.linear(causal.elu(causal_patches(elu(h), centre=True)))
        return self.output.linear(elu(h)).reshape(len(fields), -1)

    def draw(self, context: Integers, decide: Decide) -> Bits:
        """Pixels in wavefront order, each step decided by `decide` from its logits: (B, 28, 28)."""
        batch, channels = len(context), context.shape[-1]
        ordered = np.ascontiguousarray(context.reshape(batch, -1, channels)[:, WAVEFRONT].transpose(1, 0, 2))
        image = _Ring(batch, 1)
        rings = [_Ring(batch, channels) for _ in self.blocks]
        drawn = np.zeros((SIDE * SIDE, batch), np.uint8)
        done = 0
        for t in range(STEPS):
            first, last = max(0, (t - SIDE + 2) // 2), min(SIDE - 1, t // 2)
            step = slice(done, done + last - first + 1)
            h = ordered[step] + self.input.linear(image.taps(t, first, last))
            for ring, (causal, pointwise) in zip(rings, self.blocks, strict=True):
                ring.put(t, first, last, elu(h))
                h += pointwise.linear(causal.elu(ring.taps(t, first, last, centre=True)))
            drawn[step] = decide(step, self.output.linear(elu(h))[..., 0])
            image.put(t, first, last, drawn[step, :, None])
            done = step.stop
        fields = np.zeros((batch, SIDE * SIDE), np.uint8)
        fields[:, WAVEFRONT] = drawn.T
        return fields.reshape(batch, SIDE, SIDE)


class _Ring:
    """One layer's input on the last four wavefronts: by step modulo 4, then row, then field and channel.

    Pixel (row - 1, col + d) lies on wavefront t - 2 + d, pixel (row, col - 1) on t - 1; outside the image all is 0.
    """

    def __init__(self, batch: int, channels: int) -> None:
        self.values = np.zeros((4, SIDE + 1, batch, channels))  # row r is at index r + 1

    def put(self, t: int, first: int, last: int, values: npt.NDArray[np.generic]) -> None:
        """Stores rows first .. last of wavefront t."""
        slot = self.values[t % 4]
        slot[:] = 0.0
        slot[first + 1 : last + 2] = values

    def taps(self, t: int, first: int, last: int, centre: bool = False) -> Integers:
        """What a causal 3x3 layer sees at rows first .. last of wavefront t: (n, B, taps * C)."""
        above, here = slice(first, last + 1), slice(first + 1, last + 2)
        v = self.values
        seen = [v[(t - 3) % 4, above], v[(t - 2) % 4, above], v[(t - 1) % 4, above], v[(t - 1) % 4, here]]
        return np.concatenate(seen + [v[t % 4, here]] * centre, axis=-1)


def patches(x: Integers, stride: int = 1) -> Integers:
    """3x3 neighbourhoods, zero beyond the border: (B, H, W, C) -> (B, H/stride, W/stride, 9C)."""
    b, h, w, c = x.shape
    padded = np.zeros((b, h + 2, w + 2, c), x.dtype)
    padded[:, 1:-1, 1:-1] = x
    sb, sh, sw, sc = padded.strides  # three neighbours in a row are contiguous: 3C values
    shape, strides = (b, h // stride, w // stride, 3, 3 * c), (sb, sh * stride, sw * stride, sh, sc)
    return np.lib.stride_tricks.as_strided(padded, shape, strides).reshape(*shape[:3], 9 * c)


def causal_patches(x: Integers, centre: bool) -> Integers:
    """The taps up-left, up, up-right, left (and centre): (B, H, W, C) -> (B, H, W, 4C or 5C)."""
    b, h, w, c = x.shape
    padded = np.zeros((b, h + 1, w + 2, c), x.dtype)
    padded[:, 1:, 1:-1] = x
    sb, sh, sw, sc = padded.strides
    beside = 1 + centre
    taps = np.empty((b, h, w, (3 + beside) * c), x.dtype)
    windows = np.lib.stride_tricks.as_strided
    taps[..., : 3 * c] = windows(padded, (b, h, w, 3 * c), (sb, sh, sw, sc))
    taps[..., 3 * c :] = windows(padded[:, 1:], (b, h, w, beside * c), (sb, sh, sw, sc))
    return taps


def space_to_depth(x: Integers) -> Integers:
    """(B, 2H, 2W, C) -> (B, H, W, 4C), channel (2 * row + col) * C + c."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(b, h // 2, w // 2, 4 * c)


def depth_to_space(x: Integers) -> Integers:
    """The inverse of `space_to_depth`."""
    b, h, w, c = x.shape
    return x.reshape(b, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, c // 4)
