"""p(x|z): a PixelCNN of small window over x in YCoCg-R, given the decoded picture and the decoder's hidden features.

What it sees of the picture are differences, so that the level of brightness does not matter: to the decoded picture, to
the MED predictor (Weinberger et al. 2000), to the pixel on the left, to the one above. A pixel is a mixture of K logistics
that its three samples share (Salimans et al. 2017): Co is given Y, and Cg given both, linearly.

Twists:
- Outside of the tile that is coded, above and beside it, the picture is taken to be the decoded one.
- The window is such that a pixel needs only those with a smaller column + 2 row: the wavefront has slope 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlae_codec.grid.texture import INPUT_BITS, INPUT_LIMIT

from .transforms import knots, leaky, per_channel

REACH = 3
"""How far the window reaches: up, to the left, and to the right of where it is above."""
PLANES = 15
"""Of differences that the window sees at each pixel."""
GIVEN = 6
"""Of differences between the decoded picture and the prediction, at the pixel itself."""
AROUND = 9
"""Planes of the decoded picture."""
LOG_SCALES = -2.5, 6.0
LARGEST = (INPUT_LIMIT - 1) * 2.0**-INPUT_BITS
"""What a layer sees is within this, so that the integer model's numbers are small: see `vlae_codec/grid/texture.py`."""
_LN2 = math.log(2.0)


@dataclass(frozen=True)
class TextureConfig:
    """The shape of the PixelCNN. hidden: channels of the decoder's features; levels: of the transforms."""

    channels: int = 40
    layers: int = 3
    mixtures: int = 3
    features: int = 8
    around: int = 24
    hidden: int = 24
    levels: int = 8


def softsign(x: Tensor, scale: int) -> Tensor:
    """x / (scale + |x|)."""
    return x / (scale + x.abs())


def within(x: Tensor) -> Tensor:
    """Within `LARGEST`."""
    return x.clamp(-LARGEST, LARGEST)


def active(x: Tensor) -> Tensor:
    """max(x, x / 8), within `LARGEST`."""
    return within(leaky(x))


def med(x: Tensor) -> Tensor:
    """The MED prediction of all but the first row, and the first and last column: (B, 3, H, W) -> (B, 3, H-1, W-2)."""
    west, north, north_west = x[:, :, 1:, :-2], x[:, :, :-1, 1:-1], x[:, :, :-1, :-2]
    low, high = torch.minimum(west, north), torch.maximum(west, north)
    return (west + north - north_west).clamp(min=low, max=high)


def seen(x: Tensor, decoded: Tensor) -> tuple[Tensor, Tensor]:
    """What the window sees of a tile x, both (B, 3, H, W): planes (B, 15, H + 3, W + 6), predictions (B, 3, H, W)."""
    reach = REACH + 1
    outside = F.pad(decoded, (reach, reach, reach, 0), mode="replicate")
    wide = outside.clone()
    wide[:, :, reach:, reach:-reach] = x
    planes, _ = _planes(outside, outside)
    inside, predicted = _planes(wide, outside)
    planes[:, :, REACH:, REACH:-REACH] = inside[:, :, REACH:, REACH:-REACH]
    return planes, predicted[:, :, REACH:, REACH:-REACH]


def _planes(wide: Tensor, decoded: Tensor) -> tuple[Tensor, Tensor]:
    """Planes and predictions of all but the first row, and the first and last column."""
    here = wide[:, :, 1:, 1:-1]
    predicted = med(wide)
    planes = torch.cat(
        [
            (here - predicted).clamp(-127, 127) / 16,
            softsign(here - wide[:, :, 1:, :-2], 8),
            softsign(here - wide[:, :, :-1, 1:-1], 8),
            here / 128,
            softsign(here - decoded[:, :, 1:, 1:-1], 16),
        ],
        1,
    )
    return planes, predicted


class Window(nn.Module):
    """The causal window of the first layer: rows -3 .. 0, columns -3 .. 3, less what a wavefront of slope 2 cannot know."""

    mask: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(inputs, outputs, (REACH + 1, 2 * REACH + 1))
        mask = torch.zeros(REACH + 1, 2 * REACH + 1)
        for above in range(REACH + 1):
            mask[REACH - above, : min(REACH + 2 * above, 2 * REACH + 1)] = 1
        self.register_buffer("mask", mask, persistent=False)
        with torch.no_grad():
            self.layer.weight.mul_((mask.numel() / mask.sum()).sqrt())

    def forward(self, planes: Tensor) -> Tensor:
        return F.conv2d(planes, self.layer.weight * self.mask, self.layer.bias)


class Causal(nn.Module):
    """A 3x3 layer that sees the pixel itself, the one on the left and the three above."""

    mask: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels, channels, (2, 3))
        mask = torch.ones(2, 3)
        mask[1, 2] = 0
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, h: Tensor) -> Tensor:
        return F.conv2d(F.pad(h, (1, 1, 1, 0)), self.layer.weight * self.mask, self.layer.bias)


class Texture(nn.Module):
    """Parameters of the mixture of every pixel: (B, 10 K, H, W)."""

    def __init__(self, config: TextureConfig) -> None:
        super().__init__()
        self.config = c = config
        self.level = nn.Parameter(torch.zeros(c.levels, c.channels))
        self.features = nn.Conv2d(c.hidden, 4 * c.features, 3, padding=1)
        self.around = nn.Conv2d(c.features + AROUND, c.around, 3, padding=1)
        self.context = nn.Conv2d(c.around, c.channels, 3, padding=1)
        self.window = Window(PLANES, c.channels)
        self.given = nn.Conv2d(GIVEN, c.channels, 1)
        self.causal = nn.ModuleList(Causal(c.channels) for _ in range(c.layers))
        self.pointwise = nn.ModuleList(nn.Conv2d(c.channels, c.channels, 1) for _ in range(c.layers))
        self.last = nn.Conv2d(c.channels, c.channels, 1)
        self.output = nn.Conv2d(c.channels, 10 * c.mixtures, 1)
        with torch.no_grad():
            self.output.weight.mul_(0.1)

    def given_code(self, decoded: Tensor, hidden: Tensor, levels: Tensor) -> Tensor:
        """What the code says at every pixel, seen on all sides: (B, channels, H, W).

        decoded: (B, 3, H, W) in YCoCg-R; hidden: (B, F, H/2, W/2).
        """
        padded = F.pad(decoded, (1, 0, 1, 0), mode="replicate")
        west, north = padded[:, :, 1:, :-1], padded[:, :, :-1, 1:]
        features = F.pixel_shuffle(within(self.features(within(hidden))), 2)
        seen_of = [features, decoded / 128, softsign(decoded - west, 8), softsign(decoded - north, 8)]
        h: Tensor = self.context(active(self.around(torch.cat(seen_of, 1))))
        return h + per_channel(knots(levels, self.level))

    def forward(self, x: Tensor, decoded: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        """x and decoded (B, 3, H, W) in YCoCg-R -> parameters (B, 10 K, H, W), MED predictions (B, 3, H, W)."""
        planes, predicted = seen(x, decoded)
        ahead = decoded - predicted
        h = self.window(planes) + self.given(torch.cat([softsign(ahead, 16), softsign(ahead, 3)], 1)) + code
        for causal, pointwise in zip(self.causal, self.pointwise, strict=True):
            h = h + pointwise(active(causal(active(h))))
        h = h + self.last(active(h))
        return self.output(active(h)).float(), predicted


def pixel_bits(parameters: Tensor, residual: Tensor, mixtures: int) -> Tensor:
    """-log2 p of pixels, residual (B, 3, H, W) to their predictions: (B, H, W)."""
    b, _, height, width = parameters.shape
    o = parameters.view(b, 10, mixtures, height, width)
    y, co, cg = residual.unsqueeze(2).unbind(1)  # (B, 1, H, W)
    means = (
        o[:, 1] * 4,
        o[:, 2] * 4 + y * torch.tanh(o[:, 3]),
        o[:, 4] * 4 + y * torch.tanh(o[:, 5]) + co * torch.tanh(o[:, 6]),
    )
    total = F.log_softmax(o[:, 0], 1)
    for sample, mean, log_scale in zip((y, co, cg), means, (o[:, 7], o[:, 8], o[:, 9]), strict=True):
        log_scale = (log_scale + 1).clamp(*LOG_SCALES)
        inverse = torch.exp(-log_scale)
        distance = -(sample - mean).abs()
        mass = torch.sigmoid((distance + 0.5) * inverse) - torch.sigmoid((distance - 0.5) * inverse)
        far = distance * inverse - log_scale  # in the tail the density will do
        total = total + torch.where(mass > 1e-5, torch.log(mass.clamp(min=1e-12)), far)
    return -torch.logsumexp(total, 1) / _LN2
