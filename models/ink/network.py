"""The network of `ink`: looks at a pixel -> the logit of ink, with two hidden layers, in the units of the integer one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vlae_codec.ink.network import LOOKED_AT, SEEN


@dataclass(frozen=True)
class NetworkConfig:
    """Units of the two hidden layers."""

    first: int = 128
    second: int = 32


class Network(nn.Module):
    """p(pixel | what is seen): (B, SEEN) of 0 and 1 -> (B,) logits."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.first = nn.Linear(SEEN, config.first)
        self.second = nn.Linear(config.first, config.second)
        self.output = nn.Linear(config.second, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.relu(self.first(inputs))
        hidden = torch.relu(self.second(hidden))
        logits: Tensor = self.output(hidden)[:, 0]
        return logits


def seen(looks: npt.NDArray[np.int16]) -> Tensor:
    """Looks, as rows of the first layer's tables (B, LOOKED), as the numbers 0 and 1 that they stand for: (B, SEEN)."""
    found = np.empty((len(looks), SEEN), np.float32)
    row = start = 0
    for number, look in enumerate(LOOKED_AT):
        value, bits = looks[:, number, None] - row, np.arange(look.seen, dtype=np.int16)
        found[:, start : start + look.seen] = value == bits if look.kinds else value >> bits & 1
        row, start = row + look.rows, start + look.seen
    return torch.from_numpy(found)
