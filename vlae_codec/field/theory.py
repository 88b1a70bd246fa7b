"""What fields cost in theory, by the integer model with its lattice latents."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vlae_codec.errors import Progress
from vlae_codec.picture.fields import Bits

from .model import Model
from .posterior import Floats, Posterior
from .search import distortion_bits

_SAMPLES = 8  # of E_q D
_KL_SAMPLES = 8


def theory_bits(
    model: Model, fields: Bits, inside: npt.NDArray[np.bool_], samples: int = _SAMPLES, progress: Progress | None = None
) -> tuple[Floats, Floats]:
    """KL(q || p) and E_q[-log2 p(x|z)] of fields (n, 28, 28), by the integer model with its lattice latents: (n,) bits each.

    The latter is a mean of `samples` draws over the pixels inside. A field without ink costs nothing of either.
    """
    kl_bits, mean_bits = np.zeros((2, len(fields)))
    inked = np.flatnonzero(fields.any(axis=(1, 2)))
    if not len(inked):
        return kl_bits, mean_bits
    fields, inside = fields[inked], inside[inked]
    posterior, rng = Posterior.of(model, fields), np.random.default_rng(1)
    for done in range(samples):
        mean_bits[inked] += distortion_bits(model, fields, inside, posterior.sample(rng)) / samples
        if progress:
            progress("distortion", done + 1, samples)
    kl_bits[inked] = posterior.rate_bits(_KL_SAMPLES)
    return kl_bits, mean_bits
