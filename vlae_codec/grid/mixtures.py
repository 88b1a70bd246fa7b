"""What the PixelCNN says of pixels: mixtures of logistics for luma and, given what is known by then, for both chromas.

A mixture's components have one weight each for all three samples of a pixel; a sample that becomes known moves the weights
towards the components that gave it much. Means are relative to the prediction of the pixel, and chromas depend linearly on
the samples before them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from vlae_codec.exact import logistics
from vlae_codec.exact.fixed import COUNT_BITS, sigmoid_table
from vlae_codec.exact.logistics import Logistics, Whole

OUTPUT_BITS = logistics.LOG_BITS
"""Fraction bits of what the PixelCNN says."""
LOG_SCALES = -3, 6
"""What log scales saturate at; the lower one at -2.5."""
RANGES = (0, 255), (-255, 255), (-255, 255)
"""The values of luma and of the two chromas."""
LEAST_LOG = -(5 << OUTPUT_BITS - 1)
"""That lower one, at OUTPUT_BITS."""
WIDEST = 6
"""log2 of the widest first bracket."""


@dataclass(frozen=True)
class Pixels:
    """The mixtures of n pixels: what the PixelCNN says, (10, K, n) at OUTPUT_BITS, and predictions (3, n)."""

    outputs: Whole
    predicted: Whole

    def begin(self) -> Whole:
        """The weights of the components before any sample is known: (K, n)."""
        return logistics.shares(self.outputs[0])

    def sample(self, channel: int, weights: Whole, known: Sequence[Whole]) -> tuple[Logistics, Whole, Whole]:
        """Distribution, centres and brackets of a sample, given weights and the samples (n,) before it."""
        means, log_scales = self.means(channel, known), self.log_scales(channel)
        inverses = logistics.inverse_scales(log_scales, *LOG_SCALES)
        mixture = Logistics(weights, means, inverses, *RANGES[channel], even=True)
        centre = ((weights * means).sum(0) >> COUNT_BITS) + (1 << logistics.MEAN_BITS - 1) >> logistics.MEAN_BITS
        return mixture, centre, logistics.brackets((weights * log_scales).sum(0) >> COUNT_BITS, WIDEST)

    def means(self, channel: int, known: Iterable[Whole]) -> Whole:
        """Means (K, n) of a sample's components, given the samples (n,) before it."""
        o = self.outputs
        shift = OUTPUT_BITS - logistics.MEAN_BITS - 2  # means are in units of four
        means: Whole = o[(1, 2, 4)[channel]] >> shift
        means += self.predicted[channel] << logistics.MEAN_BITS
        for place, sample in zip(((), (3,), (5, 6))[channel], enumerate(known), strict=True):
            before, value = sample
            residual = value - self.predicted[before]
            means += residual * tanh(o[place]) >> OUTPUT_BITS - logistics.MEAN_BITS
        return means

    def log_scales(self, channel: int | slice) -> Whole:
        """Log scales (K, n) of a sample's components, or of those of several samples."""
        found: Whole = np.maximum(self.outputs[7:][channel] + (1 << OUTPUT_BITS), LEAST_LOG)
        return found


def updated(weights: Whole, mixture: Logistics, values: Whole) -> Whole:
    """The weights of the components when a sample is known: in proportion to what they gave it."""
    return logistics.normalised((weights * (mixture.masses(values) + 1) >> 12) + 1)


def tanh(x: Whole) -> npt.NDArray[np.int16]:
    """tanh at OUTPUT_BITS, of x at OUTPUT_BITS."""
    table = tanh_table()
    return table.take(x + len(table) // 2, mode="clip")


@cache
def tanh_table() -> npt.NDArray[np.int16]:
    """2 sigmoid(2 x) - 1, for x in -8 .. 8."""
    return (sigmoid_table()[::2] - (1 << COUNT_BITS - 1) >> COUNT_BITS - 1 - OUTPUT_BITS).astype(np.int16)
