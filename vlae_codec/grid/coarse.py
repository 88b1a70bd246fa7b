"""The coarse picture of a file: what the means of luma and chroma show, its first groups of latents, without the decoder.

A site's colour is an affine function of these; between the centres of sites it is interpolated by cubic convolution (Keys
1981, a = -1/2), whose weights at an eighth of a site are whole numbers of 2^-13. So it takes little time, and is as exact
as all else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vlae_codec.exact.fixed import Affine
from vlae_codec.exact.logistics import MEAN_BITS

from .network import BITS, PATCH, Arrays, Latents, affine, between, clipped, exponentials, shuffle
from .tiles import Box

_WEIGHT_BITS = 13
_BRIGHTEST = 2.0**13  # a colour is within this, at BITS, so that float64 is exact
_REACH = 2  # sites around one that its pixels depend on
_NEAR = 2 * _REACH + 1


def _weights() -> npt.NDArray[np.float64]:
    """What each of five sites gives to the eight pixels of the middle one, at _WEIGHT_BITS: (5, 8)."""
    found = np.zeros((_NEAR, PATCH))
    for pixel in range(PATCH):
        t = (2 * pixel - 7) % 16  # sixteenths of a site behind the second of the four that matter
        first = 0 if pixel < PATCH // 2 else 1
        found[first : first + 4, pixel] = (
            -(t**3) + 32 * t**2 - 256 * t,
            3 * t**3 - 80 * t**2 + 8192,
            -3 * t**3 + 64 * t**2 + 256 * t,
            t**3 - 16 * t**2,
        )
    return found


_PRODUCTS = np.einsum("ai,bj->abij", _weights(), _weights()).reshape(_NEAR**2, PATCH**2)
"""What each of 5x5 sites gives to the 8x8 pixels of the middle one."""


@dataclass(frozen=True)
class Coarse:
    """log_step (L, n): of the latents that are seen; colour: what they say of a site's, red, green and blue at BITS."""

    log_step: npt.NDArray[np.int64]
    colour: Affine

    @classmethod
    def of(cls, arrays: Arrays) -> Coarse:
        """That of a model's arrays."""
        colour = affine(arrays, "decoder.coarse")
        return cls(arrays["decoder.log_step"][:, : len(colour.weight)].astype(np.int64), colour)

    def picture(self, z: Latents, quality: int, box: Box) -> npt.NDArray[np.uint8]:
        """A box of the picture, (H, W, 3), of latents (h, w, n) at MEAN_BITS; the border's sites go on beyond it."""
        sides = (box.top, box.bottom, len(z)), (box.left, box.right, z.shape[1])
        sites = [(first // PATCH - _REACH, -(-last // PATCH) + _REACH, count) for first, last, count in sides]
        rows, columns = (np.arange(first, last).clip(0, count - 1) for first, last, count in sites)
        steps = exponentials(between(self.log_step, quality)) * 2.0**-MEAN_BITS
        seen = clipped(np.floor(z[np.ix_(rows, columns)] * steps + 0.5))
        colours = np.clip(self.colour.linear(seen), -_BRIGHTEST, _BRIGHTEST)
        near = np.lib.stride_tricks.sliding_window_view(colours, (_NEAR, _NEAR), axis=(0, 1))  # (h, w, 3, 5, 5)
        p = near.reshape(-1, _NEAR**2) @ _PRODUCTS
        p *= 255 * 0.5 ** (2 * _WEIGHT_BITS + BITS)
        p += 128
        samples = np.clip(np.floor(p, out=p), 0, 255, out=p).astype(np.uint8)
        whole = shuffle(samples.reshape(*near.shape[:2], -1), PATCH)
        top, left = box.top % PATCH, box.left % PATCH
        return whole[top : top + box.height, left : left + box.width]
