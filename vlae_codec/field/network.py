"""The networks in exact integer arithmetic: encoder, decoder and PixelCNN, as `models/field/vlae.py` defines them.

Arrays are channels-last, as in `exact.layers`. Any batch size gives the same integers; batches are cut into
cache-sized pieces.

The PixelCNN runs two ways with equal results. `logits` sees the whole image and is for encoding. `draw` is the
wavefront: with 3x3 causal kernels pixel (row, col) depends on pixels whose t = col + 2 row is smaller, so all pixels of
equal t, in all images of the batch, advance together: 82 steps for 28x28. Both visit pixels in `CODING_ORDER`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vlae_codec.exact.fixed import LATENT_BITS, Affine, Integers, elu
from vlae_codec.exact.layers import ResidualBlock, causal_patches, depth_to_space, patches, space_to_depth
from vlae_codec.picture.fields import CODING_ORDER, SIDE, WAVEFRONT, Bits

_PIECE = 8  # fields whose activations fit a core's cache

LOG_SIGMAS = -7, 2
"""The log sigma of the posterior saturates at these."""


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
"""What the wavefront asks at each step: (the step's slice of CODING_ORDER, logits (n, B)) -> pixels (n, B)."""


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
        ordered = np.ascontiguousarray(context.reshape(batch, -1, channels)[:, CODING_ORDER].transpose(1, 0, 2))
        image = _Ring(batch, 1)
        rings = [_Ring(batch, channels) for _ in self.blocks]
        drawn = np.zeros((SIDE * SIDE, batch), np.uint8)
        done = 0
        for t, rows in WAVEFRONT:
            first, last = rows[0], rows[-1]
            step = slice(done, done + len(rows))
            h = ordered[step] + self.input.linear(image.taps(t, first, last))
            for ring, (causal, pointwise) in zip(rings, self.blocks, strict=True):
                ring.put(t, first, last, elu(h))
                h += pointwise.linear(causal.elu(ring.taps(t, first, last, centre=True)))
            drawn[step] = decide(step, self.output.linear(elu(h))[..., 0])
            image.put(t, first, last, drawn[step, :, None])
            done = step.stop
        fields = np.zeros((batch, SIDE * SIDE), np.uint8)
        fields[:, CODING_ORDER] = drawn.T
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
