"""The lossy half of the photo VLAE: encoder, decoder and prior, with the paper's terms beside the placement term.

    loss = KL(q(z|x) || p(z)) + lambda * |x - decoded(z)|^2        [ - log p(x|z), which `texture` adds ]

The posterior is trained as what a file makes of it, a point of the lattice: then KL is -log p(z).

A VLAE puts into z what its decoder cannot model locally (Chen et al. 2016, Section 3.1). In photographs a window of a few
pixels explains nearly all, and z would stay idle; so lambda, the place of the information, is chosen for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .prior import Prior
from .rounding import Rounded
from .transforms import Decoder, Encoder

Mean = Callable[[Tensor, Tensor], Tensor]
Decode = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class TransformConfig:
    """The shape of encoder, decoder and prior, and the range of lambda (squared error of 8-bit RGB, bits a pixel)."""

    channels: int = 96
    groups: tuple[int, ...] = (1, 2, 13, 32, 48)
    hierarchical: int = 2
    encoder_blocks: int = 4
    decoder_blocks: int = 5
    fine: int = 24
    fine_blocks: int = 2
    hidden: int = 96
    levels: int = 8
    least_lambda: float = 0.0003
    most_lambda: float = 0.088

    @property
    def latents(self) -> int:
        """Latents a site."""
        return sum(self.groups)


@dataclass(frozen=True)
class Terms:
    """Of a batch: rate_bits (B,) of the rounded latents, error (B,) the mean squared error of 8-bit RGB."""

    rate_bits: Tensor
    error: Tensor


class Transforms(nn.Module):
    """q(z|x), p(z) and the decoded picture."""

    def __init__(self, config: TransformConfig) -> None:
        super().__init__()
        self.config = config
        c = config
        lambdas = self.lambdas(torch.arange(c.levels))
        gains = 255 / torch.sqrt(26 / lambdas)  # the step that high-rate theory asks for at that lambda
        self.encoder = Encoder(c.channels, c.latents, c.encoder_blocks, gains)
        self.decoder = Decoder(c.channels, c.latents, c.decoder_blocks, c.fine, c.fine_blocks, gains)
        self.prior = Prior(c.groups, c.hierarchical, c.hidden, c.levels)

    def lambdas(self, levels: Tensor) -> Tensor:
        """Lambda of real-valued levels 0 .. levels - 1: (B,)."""
        c = self.config
        return c.least_lambda * torch.exp(levels / (c.levels - 1) * math.log(c.most_lambda / c.least_lambda))

    def terms(self, x: Tensor, levels: Tensor, encoder: Mean, decoder: Decode) -> Terms:
        """x (B, 3, H, W) in -1/2 .. 1/2; encoder and decoder are the model's own, or what was compiled of them.

        Both are those of rounded latents, which a file holds, with the gradient of `rounding`.
        """
        with torch.autocast(x.device.type, torch.bfloat16):
            mu = encoder(x, levels)
        rounded = Rounded.of(mu)
        with torch.autocast(x.device.type, torch.bfloat16):
            rate_bits = self.prior.rounded_bits(rounded, levels)
            _, picture = decoder(rounded.z, levels)
        return Terms(rate_bits, ((picture - x) ** 2).mean((1, 2, 3)) * 255**2)

    @torch.no_grad()
    def coded(self, x: Tensor, levels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of the code that a file holds: bits (B,) of the rounded latents, these, the decoded picture, hidden features."""
        z = torch.round(self.encoder(x, levels))
        hidden, picture = self.decoder(z, levels)
        return self.prior.bits(z, levels), z, picture, hidden
