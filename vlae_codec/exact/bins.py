"""Distributions over the cells of the lattice of one latent, as integer counts out of 2^24.

Cell k is [(k - 1/2) step, (k + 1/2) step], for `cells` values of k from `lowest` on; the end cells take the tails. Its count
is a difference of one rounded, monotone CDF, so that counts telescope to 2^24, and each is at least 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from .fixed import COUNT_BITS, EXP_BITS, LATENT_BITS, Integers, exp_integer, exp_table

Latents = npt.NDArray[np.int64]
"""Lattice coordinates k: (B, D) int64."""
Counts = npt.NDArray[np.int64]
"""Counts, or sums of counts, out of 2^24."""

INVERSE_BITS = 16
"""Fraction bits of inverse scales."""


@dataclass(frozen=True)
class Cells(ABC):
    """A distribution for each of a batch of B. `step` is at LATENT_BITS."""

    step: int
    lowest: int
    cells: int

    @abstractmethod
    def cdf(self, edges: Integers) -> Integers:
        """The CDF times 2^24, floored and never falling, at edges (B or 1, n) at LATENT_BITS + 1: (B, n)."""

    def cumulative(self, k: Latents) -> Counts:
        """C(k): the counts of all cells below lattice point k, for lowest <= k <= lowest + cells; (B,) -> (B,)."""
        return self._cumulative(k[:, None])[:, 0]

    def all_counts(self) -> Counts:
        """The counts of all cells: (B, cells), each >= 1, summing to 2^24."""
        edges = np.arange(self.lowest, self.lowest + self.cells + 1)
        return np.diff(self._cumulative(edges[None]), axis=1)

    def locate(self, word: Counts) -> Latents:
        """The k whose cell holds the count `word`, 0 <= word < 2^24: C(k) <= word < C(k + 1); (B,) -> (B,)."""
        low = np.full(len(word), self.lowest)
        size = self.cells
        while size > 1:  # the cell is in low .. low + size - 1
            half = size // 2
            low = np.where(self.cumulative(low + half) <= word, low + half, low)
            size -= half
        return low

    def _cumulative(self, k: Latents) -> Counts:
        """C(k) of k (B or 1, n): (B, n)."""
        cdf = self.cdf(((2 * k - 1) * self.step).astype(np.float64))
        below = np.floor(cdf * ((1 << COUNT_BITS) - self.cells) * 0.5**COUNT_BITS).astype(np.int64) + k - self.lowest
        below = np.where(k <= self.lowest, 0, below)
        return np.where(k >= self.lowest + self.cells, 1 << COUNT_BITS, below)


def inverse_scales(log_scale: Integers, lowest: int, highest: int) -> Integers:
    """exp(-log_scale) at INVERSE_BITS, for log scales at LATENT_BITS, which saturate at lowest and highest."""
    lifted = (log_scale - (lowest << LATENT_BITS)).astype(np.intp)
    return _inverse_scale_table(lowest, highest).take(lifted, mode="clip")


@cache
def _inverse_scale_table(lowest: int, highest: int) -> npt.NDArray[np.float64]:
    largest = exp_integer(-lowest, INVERSE_BITS)
    table = exp_table()[: (highest - lowest << LATENT_BITS) + 1]
    return ((table * largest) >> EXP_BITS).astype(np.float64)
