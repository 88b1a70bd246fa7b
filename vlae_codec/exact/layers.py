"""Layers that networks of any family share: patches, residual blocks, and shuffles between depth and space.

Arrays are channels-last: (B, H, W, C) integers at ACTIVATION_BITS (see `fixed`). A 3x3 convolution is a gather of patches
and one matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .fixed import Affine, Integers, elu


@dataclass(frozen=True)
class ResidualBlock:
    """x + second(elu(first(elu(x)))) with 3x3 convolutions."""

    first: Affine
    second: Affine

    def __call__(self, x: Integers) -> Integers:
        return x + self.second.linear(patches(self.first.elu(patches(elu(x)))))


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
