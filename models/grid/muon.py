"""Muon: momentum whose matrix is made orthogonal before it is applied (Jordan et al. 2024).

For weights of two dimensions and more; others are for Adam. At equal steps it trained the transforms of photographs a
decibel further than Adam (docs/training.md).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

_NEWTON_SCHULZ = 3.4445, -4.7750, 2.0315
_STEPS = 5


class Muon(torch.optim.Optimizer):
    """weight -= rate * 0.2 * sqrt(longer side) * orthogonalised momentum."""

    def __init__(self, weights: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Applies one update to every weight that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "average" not in state:
                    state["average"] = torch.zeros_like(weight)
                average = state["average"].lerp_(weight.grad, 1 - group["momentum"])
                update = orthogonal(weight.grad.lerp(average, group["momentum"]).flatten(1))
                weight.add_(update.view_as(weight), alpha=-group["lr"] * 0.2 * max(update.shape) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """Nearly U V of the matrix's singular value decomposition U S V, by Newton-Schulz steps: (R, C)."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = (x / (x.norm() + 1e-7)).bfloat16()  # twice as fast, and precise enough for a direction
    a, b, c = _NEWTON_SCHULZ
    for _ in range(_STEPS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if tall else x).to(matrix.dtype)
