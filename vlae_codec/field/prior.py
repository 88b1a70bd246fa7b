"""The prior on the lattice: p(z) = prod_i p(z_i | z_<i), each conditional a mixture of logistics, as integer counts.

Latent i lives on the lattice z_i = step_i * k_i, lowest_i <= k_i < lowest_i + cells. Cell k has the count
C(k + 1) - C(k) out of 2^24, with C the rounded CDF at the cell's lower edge plus one count per cell below it; the
end cells take the tails. (Chen et al. 2016, Section 3.2, with a monotone mixture-CDF transformer in one order.)

The network is a MADE, evaluated incrementally: the hidden units of degree d are computed once, when z_0 .. z_{d-1} are
known, so that all latents together cost one forward pass. Everything is at LATENT_BITS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.exact.bins import INVERSE_BITS, Cells, Counts, Latents, inverse_scales
from vlae_codec.exact.fixed import (
    EXP_BITS,
    LATENT_BITS,
    SIGMOID_LIMIT,
    Affine,
    Integers,
    code_length_bits,
    exp_table,
    sigmoid_table,
)

_WEIGHT_BITS = 20
_LOGIT_LIMIT = 12  # a component more than 12 nats below the best has the weight of one 12 below
_LOG_SCALES = -6, 3
_PIECE = 1024
HIDDEN_LIMIT = float(1 << LATENT_BITS + 6)
"""Hidden units saturate at 64."""
MU_LIMIT = float(1 << LATENT_BITS + 5)
"""Component means saturate at +-32."""


@dataclass(frozen=True)
class Conditional(Cells):
    """p(z_i | z_<i) for a batch: weights, means and inverse scales, each (B, M) integers."""

    weight: Integers  # sums to 2^20 or a little less
    mu: Integers
    inverse_scale: Integers

    def cdf(self, edges: Integers) -> Integers:
        """The mixture's CDF: sum of weight * sigmoid((edge - mu) / scale); see `Cells.cdf`."""
        argument = (edges[..., None] - 2 * self.mu[:, None]) * self.inverse_scale[:, None]  # (B, n, M)
        argument *= 0.5 ** (INVERSE_BITS + 1)
        argument += SIGMOID_LIMIT << LATENT_BITS
        sigmoid = _sigmoid().take(argument.astype(np.intp), mode="clip")
        cdf: Integers = np.floor(np.einsum("bnm,bm->bn", sigmoid, self.weight) * 0.5**_WEIGHT_BITS)
        return cdf


Choose = Callable[[int, Conditional], Latents]
"""What the prior asks for latent i: (i, its conditional) -> k_i (B,)."""


@dataclass(frozen=True)
class Prior:
    """`hidden` holds, layer by layer, one Affine per degree d = 1 .. D-1; `outputs` one per latent.

    steps, lowest (D,) int64; cells: the same for every latent. `split`: the branches of a root in the codebook share the
    words of the latents before it.
    """

    hidden: tuple[tuple[Affine, ...], ...]
    outputs: tuple[Affine, ...]
    steps: npt.NDArray[np.int64]
    lowest: npt.NDArray[np.int64]
    cells: int
    split: int

    @property
    def latents(self) -> int:
        """D, the number of latent dimensions."""
        return len(self.steps)

    @property
    def kind(self) -> np.dtype[Any]:
        """What the network computes in: float64, or float32 if `approximate`, now and then a lattice point off."""
        return self.outputs[0].weight.dtype

    def walk(self, batch: int, choose: Choose, forks: Counts | None = None) -> Latents:
        """Visits the latents in order, asking `choose` for each: (B, D).

        At latent `split` row b is replaced by forks[b] copies of itself, (sum of forks, D) from there on: branches share
        what was computed for their root.
        """
        k = np.zeros((batch, self.latents), np.int64)
        z = np.zeros((batch, self.latents), self.kind)
        widths = [sum(affine.weight.shape[1] for affine in layer) for layer in self.hidden]
        units = [np.zeros((batch, width), self.kind) for width in widths]
        filled = [0] * len(units)
        for i in range(self.latents):
            if i == self.split and forks is not None:
                k, z, *units = (np.repeat(rows, forks, axis=0) for rows in (k, z, *units))
            if i:
                inputs = z[:, :i]
                for layer, affines in enumerate(self.hidden):
                    start, filled[layer] = filled[layer], filled[layer] + affines[i - 1].weight.shape[1]
                    fresh = affines[i - 1].linear(inputs)
                    units[layer][:, start : filled[layer]] = fresh.clip(0.0, HIDDEN_LIMIT)
                    inputs = units[layer][:, : filled[layer]]
            else:
                inputs = units[-1][:, :0]
            k[:, i] = choose(i, self._conditional(i, self.outputs[i].linear(inputs)))
            z[:, i] = k[:, i] * self.steps[i]
        return k

    def sample(self, words: Counts) -> Latents:
        """Latents at the counts `words` (B, D) in 0 .. 2^24 - 1: exact inverse-CDF sampling, (B, D)."""

        def piece(rows: Counts) -> Latents:
            return self.walk(len(rows), lambda i, conditional: conditional.locate(rows[:, i]))

        return np.concatenate([piece(words[j : j + _PIECE]) for j in range(0, len(words), _PIECE)])

    def sample_with_bits(self, words: Counts) -> npt.NDArray[np.float64]:
        """As `sample`, with -log2 p in bits of the latents before `split` and of all as two more columns: (B, D + 2)."""
        return self.sample_branches(words, words, np.ones(len(words), np.int64))

    def sample_branches(self, root_words: Counts, branch_words: Counts, forks: Counts) -> npt.NDArray[np.float64]:
        """Samples with the words of roots (B, D) before `split`, behind it with those of branches (sum of forks, D).

        Root b has forks[b] branches. Columns as in `sample_with_bits`.
        """
        before_bits, behind_bits = np.zeros(len(root_words)), np.zeros(len(branch_words))

        def choose(i: int, conditional: Conditional) -> Latents:
            words, bits = (root_words, before_bits) if i < self.split else (branch_words, behind_bits)
            k = conditional.locate(words[:, i])
            bits += code_length_bits(conditional.cumulative(k + 1) - conditional.cumulative(k))
            return k

        k = self.walk(len(root_words), choose, forks)
        shared_bits = np.repeat(before_bits, forks)
        return np.concatenate([k, np.stack([shared_bits, shared_bits + behind_bits], axis=1)], axis=1)

    def counts(self, k: Latents) -> Counts:
        """The count of each latent's cell given those before it: (B, D) -> (B, D)."""
        found = np.zeros_like(k)

        def look(i: int, conditional: Conditional) -> Latents:
            found[:, i] = conditional.cumulative(k[:, i] + 1) - conditional.cumulative(k[:, i])
            return k[:, i]

        self.walk(len(k), look)
        return found

    def values(self, k: Latents) -> Integers:
        """z = step * k at LATENT_BITS: (B, D)."""
        return (k * self.steps).astype(self.kind)

    def nearest(self, z: npt.NDArray[np.floating]) -> Latents:
        """The lattice points nearest to z (B, D), given at LATENT_BITS."""
        k = np.floor(z / self.steps + 0.5).astype(np.int64)
        return np.clip(k, self.lowest, self.lowest + self.cells - 1)

    def _conditional(self, i: int, outputs: Integers) -> Conditional:
        logits, mu, log_scale = np.split(outputs.astype(np.float64), 3, axis=1)
        behind = (logits.max(axis=1, keepdims=True) - logits).astype(np.intp)
        e = _softmax().take(behind, mode="clip")
        weight = np.floor(e * 2.0**_WEIGHT_BITS / e.sum(axis=1, keepdims=True))
        inverse_scale = inverse_scales(log_scale, *_LOG_SCALES)
        mu = mu.clip(-MU_LIMIT, MU_LIMIT)
        return Conditional(int(self.steps[i]), int(self.lowest[i]), self.cells, weight, mu, inverse_scale)


@cache
def _sigmoid() -> npt.NDArray[np.float64]:
    """sigmoid * 2^24, by argument + SIGMOID_LIMIT at LATENT_BITS."""
    return sigmoid_table().astype(np.float64)


@cache
def _softmax() -> npt.NDArray[np.float64]:
    """exp(-x) * 2^20, by x at LATENT_BITS."""
    return (exp_table()[: (_LOGIT_LIMIT << LATENT_BITS) + 1] >> EXP_BITS - _WEIGHT_BITS).astype(np.float64)
