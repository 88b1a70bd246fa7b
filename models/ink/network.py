"""The network of `ink`: a window of pixels -> the logit of ink, with two hidden layers, in the units of the integer one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vlae_codec.ink.window import PLACES


@dataclass(frozen=True)
class NetworkConfig:
    """Units of the two hidden layers."""

    first: int = 64
    second: int = 32


class Network(nn.Module):
    """p(pixel | window): (B, PLACES) of 0 and 1 -> (B,) logits."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.first = nn.Linear(PLACES, config.first)
        self.second = nn.Linear(config.first, config.second)
        self.output = nn.Linear(config.second, 1)

    def forward(self, window: Tensor) -> Tensor:
        hidden = torch.relu(self.first(window))
        hidden = torch.relu(self.second(hidden))
        logits: Tensor = self.output(hidden)[:, 0]
        return logits
