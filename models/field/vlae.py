"""A Variational Lossy Autoencoder, top-down (Chen et al. 2016, arXiv 1611.02731, Section 3 and Appendix A).

    x (B, 1, 28, 28) in {0, 1}  --Encoder-->  q(z|x) = N(mu, sigma)  --z (B, D)-->  Decoder  --context-->  PixelCNN

The encoder and the decoder work at half resolution between a pixel-unshuffle and a pixel-shuffle, which learns as well
per epoch as full resolution and costs a third less. The PixelCNN sees the decoder's context everywhere, and of the image
only a small causal window: what does not fit the window must go through z.

Twist: networks run in whatever autocast gives; KL and log-likelihood are always float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlae_codec.field.network import LOG_SIGMAS
from vlae_codec.models.config import ModelConfig
from vlae_codec.models.layers import (
    CausalConv,
    Conv,
    Dropout,
    Linear,
    ResidualBlock,
    depth_to_space,
    elu,
    residual_stack,
    space_to_depth,
)

from .priors import InverseFlow, build_prior

SIDE = 28
_BOTTOM = SIDE // 4


class Encoder(nn.Module):
    """q(z|x): (B, 1, 28, 28) -> mu, log_sigma, each (B, D)."""

    def __init__(self, c: ModelConfig, latents: int) -> None:
        super().__init__()
        self.input = Conv(4, c.channels)
        self.top = residual_stack(c.channels, c.blocks, c.dropout)
        self.down = Conv(c.channels, c.bottom_channels, stride=2)
        self.bottom = residual_stack(c.bottom_channels, c.bottom_blocks, c.dropout)
        self.dropout = Dropout(c.dense_dropout)
        self.dense = Linear(c.bottom_channels * _BOTTOM**2, c.dense)
        self.posterior = Linear(c.dense, 2 * latents, init_scale=0.1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.head(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        """What the posterior is read from: (B, dense)."""
        h = self.top(self.input(space_to_depth(x)))
        h = self.bottom(self.down(elu(h)))
        return elu(self.dense(self.dropout(elu(h).flatten(1))))

    def head(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """mu, log_sigma of the features."""
        mu, log_sigma = self.posterior(features).float().chunk(2, dim=1)
        return mu, log_sigma.clamp(*LOG_SIGMAS)


class Decoder(nn.Module):
    """z (B, D) -> context (B, pixel_channels, 28, 28)."""

    def __init__(self, c: ModelConfig, latents: int) -> None:
        super().__init__()
        self.bottom_shape = (c.bottom_channels, _BOTTOM, _BOTTOM)
        self.dense = Linear(latents, c.dense)
        self.dropout = Dropout(c.dense_dropout)
        self.expand = Linear(c.dense, c.bottom_channels * _BOTTOM**2)
        self.bottom = residual_stack(c.bottom_channels, c.bottom_blocks, c.dropout)
        self.up = Conv(c.bottom_channels, 4 * c.channels, kernel=1)
        self.top = residual_stack(c.channels, c.blocks, c.dropout)
        self.output = Conv(c.channels, 4 * c.pixel_channels, kernel=1)

    def forward(self, z: Tensor) -> Tensor:
        h = self.expand(self.dropout(elu(self.dense(z)))).view(-1, *self.bottom_shape)
        h = self.up(elu(self.bottom(h)))
        h = self.top(depth_to_space(h))
        return depth_to_space(self.output(elu(h)))


class PixelCNN(nn.Module):
    """p(x|z) = prod p(x_i | window of x_<i, context): logits (B, 1, 28, 28).

    `masked_layers` causal 3x3 layers: the first with mask A on the image, each further one with mask B in a residual
    block, followed there by a 1x1 layer.
    """

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        n = c.pixel_channels
        self.input = CausalConv(1, n, False, c.dilation)
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(CausalConv(n, n, True, c.dilation), Conv(n, n, kernel=1, init_scale=0.3))
                for _ in range(c.masked_layers - 1)
            )
        )
        self.output = Conv(n, 1, kernel=1)
        self.reach = c.masked_layers * c.dilation
        """How many rows above a pixel its window has."""

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        logits: Tensor = self.output(elu(self.blocks(context + self.input(x))))
        return logits


class Factorised(nn.Module):
    """p(x|z) = prod p(x_i | context_i), the decoder of a plain VAE: logits (B, 1, 28, 28)."""

    reach = 0

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.output = Conv(c.pixel_channels, 1, kernel=1)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        logits: Tensor = self.output(elu(context))
        return logits


@dataclass(frozen=True)
class Terms:
    """The loss in the paper's order (Eq. 4), nats: log_likelihood_nats (B * S,), kl_nats (B * S, D)."""

    log_likelihood_nats: Tensor
    kl_nats: Tensor

    def elbo_nats(self) -> Tensor:
        """log p(x|z) - (log q(z|x) - log p(z)), (B * S,)."""
        return self.log_likelihood_nats - self.kl_nats.sum(1)


class VLAE(nn.Module):
    """Encoder, prior, decoder and PixelCNN over `latents` dimensions; `active` (D,) marks those in use.

    A pruned dimension is always 0 and carries no KL; the export drops it.
    """

    active: Tensor

    def __init__(self, config: ModelConfig, latents: int | None = None) -> None:
        super().__init__()
        self.config = config
        self.latents = latents or config.latents
        self.encoder = Encoder(config, self.latents)
        self.decoder = Decoder(config, self.latents)
        self.pixels = PixelCNN(config) if config.decoder == "pixelcnn" else Factorised(config)
        self.prior = build_prior(config, self.latents)
        self.flow = InverseFlow(config, self.latents) if config.posterior == "iaf" else None
        self.constant = None if self.latents else nn.Parameter(torch.zeros(1, config.pixel_channels, SIDE, SIDE))
        """Without latents, what the PixelCNN is told instead: of each place the same in all images, and learned."""
        self.register_buffer("active", torch.ones(self.latents))

    def posterior(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Samples of q(z|x) for images (B, 1, 28, 28) and noise (B, S, D) ~ N(0, 1): z, and log q of each, (B, S, D)."""
        if not self.latents:
            return noise, noise
        h = self.encoder.features(x)
        mu, log_sigma = (part[:, None] for part in self.encoder.head(h))
        z = mu + noise * log_sigma.exp()
        if self.flow is not None:
            with torch.autocast(x.device.type, enabled=False):
                context = h.float().repeat_interleave(noise.shape[1], dim=0)
                z = self.flow(z.flatten(0, 1), context, self.active).view_as(z)
        log_q = -0.5 * (noise * noise + math.log(2 * math.pi)) - log_sigma
        return z * self.active, log_q

    def kl(self, z: Tensor, log_q: Tensor) -> Tensor:
        """log q(z|x) - log p(z) of each dimension, nats: (B, S, D) -> (B, S, D); of a flow, only the sum is a KL."""
        with torch.autocast(z.device.type, enabled=False):
            log_p = self.prior.log_prob(z.flatten(0, 1)).view_as(z)
            return (log_q - log_p) * self.active

    def context(self, z: Tensor) -> Tensor:
        """What the PixelCNN is told of the latents (B, D): (B, pixel_channels, 28, 28); if there are none, of the place."""
        context: Tensor = self.decoder(z) if self.constant is None else self.constant.expand(len(z), -1, -1, -1)
        return context

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) in nats, (B,)."""
        logits = self.pixels(x, self.context(z)).float()
        return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """One-sample terms for images (B, 1, 28, 28) and noise (B * S, D) ~ N(0, 1), S rows of each image: see `Terms`."""
        samples = len(noise) // len(x)
        z, log_q = self.posterior(x, noise.view(len(x), samples, self.latents))
        rows = x.repeat_interleave(samples, dim=0)
        return self.log_likelihood(rows, z.flatten(0, 1)), self.kl(z, log_q).flatten(0, 1)

    @torch.no_grad()
    def with_latents(self, order: Tensor) -> VLAE:
        """The same model over the latents `order` (K,) only, in that order, with a prior that starts anew; what is switched
        off stays so."""
        new = VLAE(self.config, len(order)).to(order.device)
        for name, parameter in self.named_parameters():
            target = new.get_parameter(name)
            if target.shape == parameter.shape and not name.startswith(("prior.", "flow.")):
                target.copy_(parameter)
        rows = torch.cat([order, self.latents + order])
        for name in ("v", "g", "b"):
            getattr(new.encoder.posterior, name).copy_(getattr(self.encoder.posterior, name)[rows])
        old, dense = self.decoder.dense, new.decoder.dense
        dense.v.copy_(old.v[:, order])
        dense.g.copy_(old.g * dense.v.norm(dim=1) / old.v.norm(dim=1))  # keeps the effective weights
        new.active.copy_(self.active[order])
        return new
