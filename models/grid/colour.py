"""YCoCg-R, the reversible colours of 8-bit RGB (Malvar & Sullivan 2003), for tensors of integers."""

from __future__ import annotations

import torch
from torch import Tensor


def to_ycocg(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) of 0 .. 255 -> luma 0 .. 255 and two chromas -255 .. 255."""
    red, green, blue = rgb.unbind(1)
    co = red - blue
    middle = blue + torch.floor(co / 2)
    cg = green - middle
    return torch.stack([middle + torch.floor(cg / 2), co, cg], 1)


def to_rgb(ycocg: Tensor) -> Tensor:
    """The inverse of `to_ycocg`; of other triples, values that may lie outside 0 .. 255."""
    y, co, cg = ycocg.unbind(1)
    middle = y - torch.floor(cg / 2)
    blue = middle - torch.floor(co / 2)
    return torch.stack([blue + co, cg + middle, blue], 1)
