"""Analysis and synthesis transforms: a picture to a grid of latents at 1/8 of its resolution, and back.

    encoder    x (B, 3, H, W) in -1/2 .. 1/2 -> means of q(z|x), (B, C, H/8, W/8), in steps of the lattice
    decoder    z (B, C, H/8, W/8) integers   -> hidden (B, F, H/2, W/2) and the decoded picture (B, 3, H, W)

The posterior is a box, q(z|x) = U(mu - 1/2, mu + 1/2), on a lattice scaled by learned gains (Balle et al. 2017): the
rate of a dithered code is KL(q || p), and that of the rounded code, which a file holds, is within a per cent of it.

Twists:
- Both begin as an orthonormal 8x8 DCT of luma and two chromas: at step 0 this is a JPEG without its entropy coder.
- One model for all rates: the gains have a knot for each level of lambda, and between knots are interpolated in the log.
- Every activation is a leaky ReLU of slope 1/8, which in integers is a shift.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.125
"""Of every leaky ReLU below zero."""
PATCH = 8
"""Pixels of a site, each way."""


def leaky(x: Tensor) -> Tensor:
    """max(x, x / 8)."""
    return F.leaky_relu(x, SLOPE)


def knots(levels: Tensor, table: Tensor) -> Tensor:
    """Rows of a table (L, C) at real-valued levels (B,) in 0 .. L - 1, interpolated linearly: (B, C)."""
    below = levels.floor().clamp(0, len(table) - 2).long()
    return torch.lerp(table[below], table[below + 1], (levels - below)[:, None])


def per_channel(values: Tensor) -> Tensor:
    """(B, C) -> (B, C, 1, 1)."""
    return values[:, :, None, None]


class ResidualBlock(nn.Module):
    """x + second(leaky(first(x))), 3x3 convolutions; near the identity at first."""

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():
            self.second.weight.mul_(scale)
            if self.second.bias is not None:
                self.second.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(leaky(self.first(x)))
        return x + y


class Encoder(nn.Module):
    """The means of q(z|x), scaled so that the lattice's step is one."""

    def __init__(self, channels: int, latents: int, blocks: int, gains: Tensor) -> None:
        super().__init__()
        self.input = nn.Conv2d(3 * PATCH**2, channels, 1)
        self.blocks = nn.Sequential(*(ResidualBlock(channels, 0.03) for _ in range(blocks)))
        self.output = nn.Conv2d(channels, latents, 1)
        self.log_gain = nn.Parameter(gains.log()[:, None].repeat(1, latents))
        basis = dct_basis(min(channels, 3 * PATCH**2))
        _become(self.input, F.pad(basis, (0, 0, 0, channels - len(basis))))
        _become(self.output, torch.eye(latents, channels))

    def forward(self, x: Tensor, levels: Tensor) -> Tensor:
        mu: Tensor = self.output(self.blocks(self.input(F.pixel_unshuffle(x, PATCH))))
        return mu.float() * per_channel(knots(levels, self.log_gain).exp())


class Decoder(nn.Module):
    """The decoded picture: an inverse DCT of the hidden grid, plus what a small branch at half resolution adds."""

    def __init__(self, channels: int, latents: int, blocks: int, fine: int, fine_blocks: int, gains: Tensor) -> None:
        super().__init__()
        self.log_step = nn.Parameter(-gains.log()[:, None].repeat(1, latents))
        self.input = nn.Conv2d(latents, channels, 1)
        self.blocks = nn.Sequential(*(ResidualBlock(channels, 0.03) for _ in range(blocks)))
        self.linear = nn.Conv2d(channels, 3 * PATCH**2, 1)
        self.up = nn.Conv2d(channels, fine * PATCH**2 // 4, 1)
        self.fine = nn.Sequential(*(ResidualBlock(fine, 0.3) for _ in range(fine_blocks)))
        self.output = nn.Conv2d(fine, 12, 3, padding=1)
        basis = dct_basis(min(channels, 3 * PATCH**2))
        _become(self.input, torch.eye(channels, latents))
        _become(self.linear, F.pad(basis.T, (0, channels - len(basis))))
        with torch.no_grad():
            self.output.weight.mul_(0.05)

    def forward(self, z: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
        h = self.blocks(self.input(z * per_channel(knots(levels, self.log_step).exp())))
        hidden = leaky(self.fine(F.pixel_shuffle(self.up(h), PATCH // 2)))
        picture = F.pixel_shuffle(self.linear(h), PATCH) + F.pixel_shuffle(self.output(hidden), 2)
        return hidden, picture.float()


def dct_basis(count: int) -> Tensor:
    """The first `count` rows of the orthonormal 8x8 DCT of luma and two chromas, on `pixel_unshuffle`'s channels.

    The first three are the means of luma and of the two chromas; then by frequency, chroma two steps behind luma:
    (count, 192).
    """
    colours = np.array([[1, 1, 1], [1, 0, -1], [-0.5, 1, -0.5]])
    colours /= np.linalg.norm(colours, axis=1, keepdims=True)
    n = np.arange(PATCH)
    dct = np.sqrt(2 / PATCH) * np.cos(math.pi * (2 * n + 1) * n[:, None] / (2 * PATCH))
    dct[0] /= math.sqrt(2)
    rows: list[tuple[int, npt.NDArray[np.float64]]] = []
    for chroma, colour in enumerate(colours):
        for i, j in sorted(np.ndindex(PATCH, PATCH), key=lambda place: (place[0] + place[1], place[0])):
            behind = -1 if i + j == 0 else i + j + 2 * (chroma > 0)
            rows.append((behind, np.einsum("c,y,x->cyx", colour, dct[i], dct[j]).ravel()))
    rows.sort(key=lambda row: row[0])
    return torch.tensor(np.array([row for _, row in rows[:count]]), dtype=torch.float32)


@torch.no_grad()
def _become(layer: nn.Conv2d, weight: Tensor) -> None:
    """Gives a 1x1 layer this weight (O, I), and what it has from chance at a tenth where that is zero."""
    assert layer.bias is not None
    layer.weight.mul_(0.02)
    layer.weight.add_(weight[:, :, None, None])
    layer.bias.zero_()
