"""Mixtures of logistics over the integers, as CDFs out of 2^24 that never fall.

    F(x) = (sum over k of w_k S((2 x - 1) / 2 - m_k) / s_k)) / 2^24,   w_k summing to 2^24

with S the sigmoid of `fixed.sigmoid_table`. F(x) is the mass below x; below the least value it is 0, above the largest 2^24.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .fixed import COUNT_BITS, EXP_BITS, EXP_STEP_BITS, SIGMOID_LIMIT, exp_integer, exp_table, sigmoid_table

Whole = npt.NDArray[np.int64]

MEAN_BITS = 8
"""Fraction bits of means."""
INVERSE_BITS = 12
"""Fraction bits of inverse scales."""
LOG_BITS = EXP_STEP_BITS
"""Fraction bits of log scales, and of logits of weights."""
_TOTAL = 1 << COUNT_BITS
_LOG2_E = 5909  # at LOG_BITS
_SHIFT = MEAN_BITS + 1 + INVERSE_BITS - EXP_STEP_BITS


@dataclass(frozen=True)
class Logistics:
    """One mixture for each of n lanes. weights, means, inverses: (n, K) int64, at 24, MEAN_BITS and INVERSE_BITS; weights
    sum to 2^24. A lane's values are least .. most, the same for all."""

    weights: Whole
    means: Whole
    inverses: Whole
    least: int
    most: int

    def part(self, lanes: slice) -> Logistics:
        """The mixtures of some lanes."""
        return Logistics(self.weights[lanes], self.means[lanes], self.inverses[lanes], self.least, self.most)

    def cell_bits(self, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """-log2 of the mass of x - 1/2 .. x + 1/2, for real x (n,), at most 24 each. For reports, never for decoding."""
        fixed = np.floor(x * (1 << MEAN_BITS) + 0.5).astype(np.int64)
        masses = (self.weights * self._masses(fixed)).sum(1) >> COUNT_BITS
        bits: npt.NDArray[np.float64] = COUNT_BITS - np.log2(np.maximum(masses, 1))
        return bits

    def below(self, x: Whole, lanes: Whole | slice) -> Whole:
        """F(x): the mass below x (n,) of these lanes, of those that have values on both sides of x: (n,) out of 2^24."""
        away = ((2 * x - 1) << MEAN_BITS)[:, None] - 2 * self.means[lanes]
        place = (away * self.inverses[lanes] >> _SHIFT) + (SIGMOID_LIMIT << EXP_STEP_BITS)
        shares = sigmoid_table().take(place, mode="clip")
        mass: Whole = (self.weights[lanes] * shares).sum(1) >> COUNT_BITS
        return mass

    def masses(self, x: Whole) -> Whole:
        """The mass of each component in the cell of x (n,): (n, K) out of 2^24."""
        return self._masses(x << MEAN_BITS)

    def _masses(self, x: Whole) -> Whole:
        away = 2 * (x[:, None] - self.means)
        limit, half = SIGMOID_LIMIT << EXP_STEP_BITS, 1 << MEAN_BITS
        table = sigmoid_table()
        upper = table.take(((away + half) * self.inverses >> _SHIFT) + limit, mode="clip")
        return upper - table.take(((away - half) * self.inverses >> _SHIFT) + limit, mode="clip")


def inverse_scales(log_scales: Whole, least: int, most: int) -> Whole:
    """exp(-log scale) at INVERSE_BITS, of log scales at LOG_BITS; these saturate at least .. most, whole numbers."""
    lifted = np.clip(log_scales, least << LOG_BITS, most << LOG_BITS) - (least << LOG_BITS)
    inverses: Whole = exp_table()[lifted] * exp_integer(-least, INVERSE_BITS) >> EXP_BITS
    return inverses


def shares(logits: Whole) -> Whole:
    """Weights out of 2^24, in proportion to exp(logit), logits (n, K) at LOG_BITS; the first takes what rounding leaves."""
    behind = np.minimum(logits.max(1, keepdims=True) - logits, SIGMOID_LIMIT << LOG_BITS)
    return normalised(exp_table()[behind])


def normalised(masses: Whole) -> Whole:
    """Weights out of 2^24 in proportion to masses (n, K) below 2^38, whose rows do not sum to 0."""
    weights: Whole = (masses << COUNT_BITS) // masses.sum(1, keepdims=True)
    weights[:, 0] += _TOTAL - weights.sum(1)
    return weights


def brackets(log_scales: Whole, most: int) -> Whole:
    """The power of two nearest to the scale, 1 .. 2^most, of log scales at LOG_BITS: where half of a side's mass is."""
    octaves = (log_scales * _LOG2_E >> LOG_BITS) + (1 << LOG_BITS - 1) >> LOG_BITS
    widths: Whole = 1 << np.clip(octaves, 0, most)
    return widths
