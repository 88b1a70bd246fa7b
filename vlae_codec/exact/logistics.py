"""Mixtures of logistics over the integers, as CDFs out of 2^24 that never fall.

    F(x) = (sum over k of w_k S((2 x - 1) / 2 - m_k) / s_k)) / 2^24,   w_k summing to 2^24

with S the sigmoid of `fixed.sigmoid_table`. F(x) is the mass below x; below the least value it is 0, above the largest 2^24.

A mixture may be `even`: of n values, each has one of the 2^24 for itself, and none costs more than 24 bits. Then
F(x) - F(x) n / 2^24 + x - least stands for F(x).

Twist: what belongs to one component lies together, (K, n) for K components of n mixtures: sums over components are then
sums of long rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

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
LOG2_E = 5909
"""At LOG_BITS."""
_SHIFT = MEAN_BITS + 1 + INVERSE_BITS - EXP_STEP_BITS


@dataclass(frozen=True)
class Logistics:
    """One mixture for each of n lanes. weights, means, inverses: (K, n) int64, at 24, MEAN_BITS and INVERSE_BITS; weights
    sum to 2^24. A lane's values are least .. most, the same for all; even: see above."""

    weights: Whole
    means: Whole
    inverses: Whole
    least: int
    most: int
    even: bool = False

    def __len__(self) -> int:
        """How many lanes."""
        return len(self.means.T)

    def part(self, lanes: slice) -> Logistics:
        """The mixtures of some lanes."""
        weights, means, inverses = (one[:, lanes] for one in (self.weights, self.means, self.inverses))
        return Logistics(weights, means, inverses, self.least, self.most, self.even)

    def of(self, lanes: Whole) -> Logistics:
        """The mixtures of these lanes."""
        weights, means, inverses = (one.take(lanes, 1) for one in (self.weights, self.means, self.inverses))
        return Logistics(weights, means, inverses, self.least, self.most, self.even)

    def cell_bits(self, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """-log2 of the mass of x - 1/2 .. x + 1/2, for real x (n,), at most 24 each. For reports, never for decoding."""
        fixed = np.floor(x * (1 << MEAN_BITS) + 0.5).astype(np.int64)
        masses = (self.weights * self._masses(fixed)).sum(0) >> COUNT_BITS
        bits: npt.NDArray[np.float64] = COUNT_BITS - np.log2(np.maximum(masses, 1))
        return bits

    def below(self, x: Whole) -> Whole:
        """F(x): the mass below x (n,), of lanes that have values on both sides of x: (n,) out of 2^24."""
        place = (2 * x - 1 << MEAN_BITS) - 2 * self.means
        place *= self.inverses
        place >>= _SHIFT
        place += SIGMOID_LIMIT << EXP_STEP_BITS
        parts = sigmoid_table().take(place, mode="clip")
        parts *= self.weights
        mass: Whole = parts.sum(0)
        mass >>= COUNT_BITS
        if self.even:
            mass -= mass * (self.most - self.least + 1) >> COUNT_BITS
            mass += x - self.least
        return mass

    def expected(self) -> Whole:
        """The expectation of a value (n,), at MEAN_BITS: the mean of the first logistic, or where this is narrower than a
        cell, what a value within two of it is on average."""
        centre = self.means[0] + (1 << MEAN_BITS - 1) >> MEAN_BITS
        above = 2 * _TOTAL - sum(self.below(centre + place) for place in (-1, 0, 1, 2))
        near: Whole = (centre << MEAN_BITS) + (above >> COUNT_BITS - MEAN_BITS)
        return np.where(self.inverses[0] > 1 << INVERSE_BITS, near, self.means[0])

    def masses(self, x: Whole) -> Whole:
        """The mass of each component in the cell of x (n,): (K, n) out of 2^24."""
        return self._masses(x << MEAN_BITS)

    def _masses(self, x: Whole) -> Whole:
        away = 2 * (x - self.means)
        limit, half = SIGMOID_LIMIT << EXP_STEP_BITS, 1 << MEAN_BITS
        table = sigmoid_table()
        upper = table.take(((away + half) * self.inverses >> _SHIFT) + limit, mode="clip")
        return upper - table.take(((away - half) * self.inverses >> _SHIFT) + limit, mode="clip")


def inverse_scales(log_scales: Whole, least: int, most: int) -> Whole:
    """exp(-log scale) at INVERSE_BITS, of log scales at LOG_BITS; these saturate at least .. most, whole numbers."""
    return _inverse_scale_table(least, most).take(log_scales - (least << LOG_BITS), mode="clip")


@cache
def _inverse_scale_table(least: int, most: int) -> Whole:
    """`inverse_scales` of least .. most, in steps of LOG_BITS."""
    steps = (most - least << LOG_BITS) + 1
    table: Whole = exp_table()[:steps] * exp_integer(-least, INVERSE_BITS) >> EXP_BITS
    return table


def shares(logits: Whole) -> Whole:
    """Weights out of 2^24, in proportion to exp(logit), logits (K, n) at LOG_BITS; the first takes what rounding leaves."""
    return normalised(exp_table().take(logits.max(0) - logits, mode="clip"))


def normalised(masses: Whole) -> Whole:
    """Weights out of 2^24 in proportion to masses (K, n) below 2^38, whose columns do not sum to 0."""
    weights: Whole = (masses << COUNT_BITS) // masses.sum(0)
    weights[0] = _TOTAL - weights[1:].sum(0)
    return weights


def brackets(log_scales: Whole, most: int) -> Whole:
    """The power of two nearest to the scale, 1 .. 2^most, of log scales at LOG_BITS: where half of a side's mass is."""
    octaves = (log_scales * LOG2_E >> LOG_BITS) + (1 << LOG_BITS - 1) >> LOG_BITS
    widths: Whole = 1 << np.clip(octaves, 0, most)
    return widths
