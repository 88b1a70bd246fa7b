"""q(z|x): what a codeword is searched with, and, exactly, what a bits-back coder pops and its decoder pushes back.

The encoder network gives the mean and log sigma of each latent, in integers: the decoder of an archive evaluates it again
from the image that it has decoded, on another machine. Cells of the lattice are integrated by a table of the normal CDF.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vlae_codec.exact.bins import INVERSE_BITS, Cells, Counts, Latents, inverse_scales
from vlae_codec.exact.fixed import COUNT_BITS, LATENT_BITS, NORMAL_LIMIT, NORMAL_STEP_BITS, Integers, normal_table
from vlae_codec.exact.threads import in_pieces
from vlae_codec.picture.fields import Bits

from .model import Model
from .network import LOG_SIGMAS
from .prior import Conditional

Floats = npt.NDArray[np.float64]
_PIECE, _RATE_PIECE = 8, 64  # fields that a thread encodes, and finds the rates of, at a time


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


@dataclass(frozen=True)
class Posterior:
    """q(z|x) = N(mu, sigma), diagonal, for a batch: mu and log sigma as the encoder gives them, (B, D) at LATENT_BITS."""

    model: Model
    mean: Integers
    log_sigma: Integers

    @classmethod
    def of(cls, model: Model, fields: Bits) -> Posterior:
        """The encoder's posterior of the fields (B, 28, 28)."""
        stacked = in_pieces(_PIECE, lambda part: np.concatenate(model.encoder(part), axis=1), fields)
        return cls(model, *np.split(stacked, 2, axis=1))

    @property
    def mu(self) -> Floats:
        """In units of z: (B, D)."""
        return self.mean * 2.0**-LATENT_BITS

    @property
    def sigma(self) -> Floats:
        """In units of z: (B, D)."""
        sigma: Floats = np.exp(self.log_sigma * 2.0**-LATENT_BITS)
        return sigma

    def counts(self) -> Counts:
        """The counts of all cells: (D, B, cells)."""
        prior, inverse_sigma = self.model.prior, inverse_scales(self.log_sigma, *LOG_SIGMAS)
        latents = zip(prior.steps.tolist(), prior.lowest.tolist(), self.mean.T, inverse_sigma.T, strict=True)
        return np.stack([Gaussian(step, low, prior.cells, *q).all_counts() for step, low, *q in latents])

    def nearest(self) -> Latents:
        """The lattice points nearest to the means: (B, D)."""
        return self.model.prior.nearest(self.mean)

    def sample(self, rng: np.random.Generator) -> Latents:
        """One draw, rounded to the lattice: (B, D)."""
        return self._at(rng.standard_normal(self.mean.shape))

    def natural(self) -> npt.NDArray[np.float32]:
        """What (z^2, z) is multiplied with for log2 q(z|x), up to a constant: (B, 2D)."""
        inverse = 1.0 / self.sigma**2
        parameters: Floats = np.concatenate([-0.5 * inverse, self.mu * inverse], axis=1) / np.log(2)
        single: npt.NDArray[np.float32] = parameters.astype(np.float32)
        return single

    def rate_bits(self, samples: int = 2) -> Floats:
        """KL(q || p) on the lattice: (B,) bits, an unbiased estimate from (even) antithetic samples.

        Each latent's part is summed over all its cells, given samples of those before it: two samples leave a deviation of
        some 0.9 bits. A field has noise of its own, the same whatever else is in the batch.
        """

        def piece(mean: Integers, log_sigma: Integers) -> Floats:
            return Posterior(self.model, mean, log_sigma)._rate_bits(samples)

        return in_pieces(_RATE_PIECE, piece, self.mean, self.log_sigma)

    def _rate_bits(self, samples: int) -> Floats:
        q, total = self.counts() * 0.5**COUNT_BITS, np.zeros(len(self.mean))
        own = self.mean.astype(np.int32).view(np.uint32)
        noise = np.stack([np.random.default_rng(row).standard_normal((samples // 2, len(row))) for row in own], axis=1)
        for k in map(self._at, (*noise, *-noise)):

            def look(i: int, p: Conditional, k: Latents = k) -> Latents:
                total[:] += (q[i] * np.log2(q[i] / (p.all_counts() * 0.5**COUNT_BITS))).sum(axis=1)
                return k[:, i]

            self.model.prior.walk(len(k), look)
        return total / samples

    def _at(self, noise: Floats) -> Latents:
        return self.model.prior.nearest(self.mean + noise * self.sigma * 2.0**LATENT_BITS)
