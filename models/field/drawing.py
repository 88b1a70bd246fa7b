"""Pictures drawn from a trained model: new versions of given images, and samples of the prior.

Plain ancestral sampling, pixel after pixel: slow and obvious, and good for every system of the paper. The codec, which
draws the same way from the integer model, has an engine of its own.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .vlae import SIDE, VLAE

Bits = npt.NDArray[np.uint8]
_BATCH = 250


@torch.no_grad()
def resamplings(model: VLAE, fields: Bits, seed: int) -> Bits:
    """x' ~ p(x'|z) with z ~ q(z|x), for each of the fields (B, 28, 28): what the lossy code keeps of them."""
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for start in range(0, len(fields), _BATCH):
        x = torch.from_numpy(fields[start : start + _BATCH, None].astype(np.float32))
        noise = torch.randn(len(x), 1, model.latents, generator=generator)
        drawn.append(_pixels(model, model.posterior(x, noise)[0][:, 0], generator))
    return np.concatenate(drawn)


@torch.no_grad()
def samples(model: VLAE, count: int, seed: int) -> Bits:
    """x ~ p(x): (count, 28, 28)."""
    generator = torch.Generator().manual_seed(seed)
    z = model.prior.sample(count, model.active, generator)
    return _pixels(model, z, generator)


@torch.no_grad()
def _pixels(model: VLAE, z: Tensor, generator: torch.Generator) -> Bits:
    """x ~ p(x|z) for latents (B, D): (B, 28, 28). A row of pixels needs no more of the image than its window."""
    context, x = model.context(z), torch.zeros(len(z), 1, SIDE, SIDE)
    for row in range(SIDE):
        seen = slice(max(0, row - model.pixels.reach), row + 1)
        for col in range(SIDE):
            logits = model.pixels(x[:, :, seen], context[:, :, seen])[:, 0, -1, col]
            x[:, 0, row, col] = torch.bernoulli(torch.sigmoid(logits), generator=generator)
    return x[:, 0].numpy().astype(np.uint8)
