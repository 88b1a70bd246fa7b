"""q(z|x) on the lattice, exactly: what a bits-back coder pops, and what its decoder pushes back.

The encoder network's N(mu, sigma), integrated over the cells of the lattice by a table of the normal CDF, all in integers:
the decoder of an archive evaluates it again from the image that it has decoded, on another machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .cells import INVERSE_BITS, Cells, Counts, inverse_scales
from .fixed import LATENT_BITS, NORMAL_LIMIT, NORMAL_STEP_BITS, Integers, normal_table
from .model import Model
from .network import LOG_SIGMAS, Bits
from .threads import in_pieces

PIECE = 8
"""Fields that a thread encodes at a time."""


@dataclass(frozen=True)
class Gaussian(Cells):
    """q(z_i|x) for a batch: mu and inverse sigma, each (B,) integers."""

    mu: Integers
    inverse_sigma: Integers

    def cdf(self, edges: Integers) -> Integers:
        """The normal CDF at (edge - mu) / sigma, taken down to 2^-10; see `Cells.cdf`."""
        argument = (edges - 2 * self.mu[:, None]) * self.inverse_sigma[:, None]
        argument = np.floor(argument * 0.5 ** (LATENT_BITS + 1 + INVERSE_BITS - NORMAL_STEP_BITS)) + NORMAL_LIMIT
        return normal_table().take(argument.clip(0, 2 * NORMAL_LIMIT).astype(np.intp)).astype(np.float64)


def posterior_counts(model: Model, fields: Bits) -> Counts:
    """The counts of all cells of q(z|x) for fields (B, 28, 28): (D, B, cells)."""
    prior = model.prior
    mu, log_sigma = np.split(
        in_pieces(PIECE, lambda part: np.concatenate(model.encoder(part), axis=1), fields), 2, axis=1
    )
    inverse_sigma = inverse_scales(log_sigma, *LOG_SIGMAS)
    latents = zip(prior.steps.tolist(), prior.lowest.tolist(), mu.T, inverse_sigma.T, strict=True)
    return np.stack([Gaussian(step, low, prior.cells, *q).all_counts() for step, low, *q in latents])
