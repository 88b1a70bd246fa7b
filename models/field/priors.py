"""Priors over the latents, each with an exact density: `log_prob(z)` gives nats per dimension, (B, D) -> (B, D).

Source: Chen et al. 2016, Section 3.2 (an autoregressive-flow prior equals an IAF posterior along the encoder path);
masks as in MADE (Germain et al. 2015).

- `MixturePrior`: one order, conditionals that are mixtures of logistics. Closed-form conditional CDFs make lattice
  cells have exact masses, so this is the codec's prior.
- `FlowPrior`: the paper's four mean-only steps, order reversed between them.
- `NormalPrior`: for comparison.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlae_codec.models.config import ModelConfig


class MaskedLinear(nn.Linear):
    """A dense layer with a fixed 0/1 mask of shape (outputs, inputs) on its weight."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, *self.effective())

    def effective(self) -> tuple[Tensor, Tensor]:
        """The weight under its mask, and the bias."""
        return self.weight * self.mask, self.bias

    @torch.no_grad()
    def become(self, weight: Tensor, bias: Tensor) -> None:
        """The inverse of `effective`."""
        self.weight.copy_(weight)
        self.bias.copy_(bias)


class Made(nn.Module):
    """An autoregressive network: output group i, of `outputs` values, sees z_0 .. z_{i-1} only.

    A hidden unit of degree d (1 <= d <= D-1) sees z_0 .. z_{d-1} and serves the outputs i >= d. Units are ordered by
    degree, and the degrees are the same in each hidden layer: the incremental evaluation of the codec relies on both.
    All units may see `context` values more.
    """

    def __init__(self, latents: int, hidden: int, layers: int, outputs: int, context: int = 0) -> None:
        super().__init__()
        self.latents, self.outputs = latents, outputs
        self.degrees = hidden_degrees(latents, hidden)
        z = torch.arange(1, latents + 1)
        out = torch.arange(latents).repeat_interleave(outputs)
        masks = [self.degrees[:, None] >= z[None, :]]
        masks += [self.degrees[:, None] >= self.degrees[None, :]] * (layers - 1)
        masks += [out[:, None] >= self.degrees[None, :]]
        self.layers = nn.ModuleList(MaskedLinear(mask.float()) for mask in masks)
        self.context = nn.Linear(context, hidden, bias=False) if context else None
        with torch.no_grad():
            self.masked[-1].weight.mul_(0.1)
            self.masked[-1].bias.zero_()

    @property
    def masked(self) -> list[MaskedLinear]:
        """The layers, typed."""
        return [layer for layer in self.layers if isinstance(layer, MaskedLinear)]

    @torch.no_grad()
    def vanish(self) -> None:
        """Makes all outputs zero, which they need not stay."""
        self.masked[-1].weight.zero_()
        self.masked[-1].bias.zero_()

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, D), context (B, C) -> (B, D, outputs)."""
        first, *hidden, output = self.masked
        h = first(z)
        if self.context is not None:
            h = h + self.context(context)
        h = F.relu(h)
        for layer in hidden:
            h = F.relu(layer(h))
        y: Tensor = output(h)
        return y.view(-1, self.latents, self.outputs)


def hidden_degrees(latents: int, hidden: int) -> Tensor:
    """Degrees 1 .. D-1, evenly spread over the hidden units and ascending: (hidden,) int64."""
    return 1 + torch.arange(hidden) * max(latents - 1, 1) // hidden


class Prior(nn.Module, ABC):
    """A density over the latents."""

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """log p of each dimension given those before it, nats: (B, D) -> (B, D); of a flow, only the sum is log p."""

    @abstractmethod
    def sample(self, count: int, active: Tensor, generator: torch.Generator) -> Tensor:
        """z ~ p(z), (count, D), with 0 where `active` (D,) is 0: dimensions that were switched off."""


class MixturePrior(Prior):
    """p(z) = prod_i sum_m w_m Logistic(z_i; mu_m, s_m), with (w, mu, s) a function of z_<i."""

    def __init__(self, config: ModelConfig, latents: int) -> None:
        super().__init__()
        self.mixtures = config.mixtures
        self.made = Made(latents, config.prior_hidden, config.prior_layers, 3 * config.mixtures)
        with torch.no_grad():
            bias = self.made.masked[-1].bias.view(latents, 3, config.mixtures)
            bias[:, 1] = torch.linspace(-1.5, 1.5, config.mixtures)
            bias[:, 2] = -1.0

    def log_prob(self, z: Tensor) -> Tensor:
        logits, mu, log_s = self.made(z).view(*z.shape, 3, self.mixtures).unbind(2)
        a = (z[..., None] - mu) * torch.exp(-log_s)
        log_pdf = -a - 2.0 * F.softplus(-a) - log_s
        return torch.logsumexp(F.log_softmax(logits, dim=-1) + log_pdf, dim=-1)

    def sample(self, count: int, active: Tensor, generator: torch.Generator) -> Tensor:
        z = torch.zeros(count, len(active))
        for i in torch.nonzero(active)[:, 0].tolist():
            logits, mu, log_s = self.made(z)[:, i].view(count, 3, self.mixtures).unbind(1)
            chosen = torch.multinomial(logits.softmax(1), 1, generator=generator)
            uniform = torch.rand(count, 1, generator=generator).clamp(1e-6, 1 - 1e-6)
            z[:, i] = (mu.gather(1, chosen) + log_s.gather(1, chosen).exp() * uniform.logit())[:, 0]
        return z


class FlowPrior(Prior):
    """epsilon = f_4(...f_1(z)), each step epsilon_i = z_i - m_i(z_<i); volume-preserving, so log p(z) = log N(epsilon)."""

    def __init__(self, config: ModelConfig, latents: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList(
            Made(latents, config.prior_hidden, config.prior_layers, 1) for _ in range(config.flow_steps)
        )

    def log_prob(self, z: Tensor) -> Tensor:
        for step in self.steps:
            z = (z - step(z)[..., 0]).flip(1)
        return normal_log_prob(z)

    def sample(self, count: int, active: Tensor, generator: torch.Generator) -> Tensor:
        assert bool(active.all()), "a flow prior is of all dimensions or none"
        z = torch.randn(count, len(active), generator=generator)
        for step in reversed(self.steps):
            epsilon, z = z.flip(1), torch.zeros_like(z)
            for i in range(len(active)):
                z[:, i] = epsilon[:, i] + step(z)[:, i, 0]
        return z


class NormalPrior(Prior):
    """p(z) = N(0, 1) in each dimension."""

    def log_prob(self, z: Tensor) -> Tensor:
        return normal_log_prob(z)

    def sample(self, count: int, active: Tensor, generator: torch.Generator) -> Tensor:
        return torch.randn(count, len(active), generator=generator) * active


class InverseFlow(nn.Module):
    """An inverse autoregressive flow for the posterior (Kingma et al. 2016), the mirror image of `FlowPrior`.

    z_i <- z_i + m_i(z_<i, h), mean-only, the order reversed between steps. Volume-preserving: log q stays as it was.
    """

    def __init__(self, config: ModelConfig, latents: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList(
            Made(latents, config.prior_hidden, config.prior_layers, 1, config.dense) for _ in range(config.flow_steps)
        )

    def forward(self, z: Tensor, h: Tensor, active: Tensor) -> Tensor:
        """z (B, D), the encoder's features h (B, dense) -> z (B, D), with 0 where `active` (D,) is 0."""
        z = z * active
        for step in self.steps:
            z, active = (z + step(z, h)[..., 0] * active).flip(1), active.flip(0)
        return z if len(self.steps) % 2 == 0 else z.flip(1)

    def vanish(self) -> None:
        """Makes it the identity, which it need not stay."""
        for step in self.steps:
            assert isinstance(step, Made)
            step.vanish()


def normal_log_prob(z: Tensor) -> Tensor:
    """log N(z; 0, 1) in nats, elementwise."""
    return -0.5 * (z * z + math.log(2 * math.pi))


def build_prior(config: ModelConfig, latents: int) -> Prior:
    """The prior that `config.prior` names, over `latents` dimensions."""
    if config.prior == "mixture":
        return MixturePrior(config, latents)
    if config.prior == "flow":
        return FlowPrior(config, latents)
    return NormalPrior()
