"""Rounding with a gradient that has something to say: that of the mean over a random rounding.

Rounding is flat, and its gradient zero. Noise in its place (Balle et al. 2017) has one, but noisy latents cost up to three
times what rounded ones do, where nearly all are zero: training would balance distortion against a rate that no file pays.
So values are those of rounded latents, and the gradient is of latents y rounded up with probability w(y), else down:

    d rate / dy = w'(y) (bits of the number above - bits of the number below)

w rises from 0 to 1 between whole numbers, most steeply in the middle, as in the soft rounding of Agustsson & Theis 2020. To
the decoder's gradient rounding is the identity (Minnen & Singh 2020).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_SHARPNESS = 3.0


@dataclass(frozen=True)
class Rounded:
    """Latents y, rounded.

    z: whole numbers, whose gradient is y's. below: the whole numbers below y. share: w(y), which
    has a gradient; all of y's shape.
    """

    z: Tensor
    below: Tensor
    share: Tensor

    @classmethod
    def of(cls, y: Tensor) -> Rounded:
        """y rounded to the nearest whole numbers."""
        below = y.detach().floor()
        share = 0.5 + torch.tanh(_SHARPNESS * (y - below - 0.5)) / (2 * math.tanh(_SHARPNESS / 2))
        return cls(y + (torch.round(y) - y).detach(), below, share)
