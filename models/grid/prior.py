"""p(z): group by group from coarse to fine, and within a group phase by phase, each given all phases before it.

Latents are in groups of rising frequency. A group's sites are split by the parity of row and column, and coded in four
phases, (even, even), (odd, odd), (even, odd), (odd, even): all sites of a phase at once, so that nothing is sequential
but 4 phases a group. Each is given the phases before (a 4x4 window of every parity plane), and all coarser groups (a
window of 5x5). A `hierarchical` group, of means of luma or chroma, is coded in passes of halving stride, each pass the
last three phases of the grid that is left at its stride; so a prefix of its code is a smaller picture.

Twists:
- In a hierarchical group the window, and the mean of the distribution, are differences to the mean of the four nearest
  known sites: the level of brightness does not matter.
- A latent is a logistic, and a wider one with a weight of its own, over the unit cells of the lattice. In training the
  rate is that of rounded latents, what a file pays, with the gradient of `rounding`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .rounding import Rounded
from .transforms import knots, leaky, per_channel

STRIDES = (16, 8, 4, 2, 1)
"""Passes of a hierarchical group; the sites at every 32nd row and column come first."""
PHASES = ((0, 0), (1, 1), (0, 1), (1, 0))
"""Parity of row and column of the sites of each phase."""
WIDER = 1.5
"""The second logistic's scale is e^1.5 times the first's."""
LOG_SCALES = -4.0, 5.0
_NEAREST = {
    1: ((0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)),
    2: ((0, 0, 0), (0, 0, 1), (1, -1, 0), (1, 0, 0)),
    3: ((0, 0, 0), (0, 1, 0), (1, 0, -1), (1, 0, 0)),
}
"""Of the sites of a phase: (phase, row, column) of the four nearest known ones, in their planes."""


def squash(z: Tensor) -> Tensor:
    """z / (1 + |z| / 10): latents as the networks see them."""
    return z / (1 + z.abs() * 0.1)


@dataclass(frozen=True)
class Step:
    """One phase of one pass: what is coded at once. `stride` is 0 for the sites that come before all passes."""

    group: int
    stride: int
    phase: int


def plane(grid: Tensor, stride: int, phase: int) -> Tensor:
    """The sites of one phase of a grid (B, n, h, w) at a stride: (B, n, about h / 2 stride, about w / 2 stride)."""
    row, column = PHASES[phase]
    return grid[:, :, row * stride :: 2 * stride, column * stride :: 2 * stride]


_Pick = Callable[[Tensor], Tensor]
_Distribution = tuple[Tensor, Tensor, Tensor]


class Group(nn.Module):
    """p(z of one group | coarser groups): `window` sees the phases before, `coarser` the groups before."""

    def __init__(self, channels: int, before: int, hidden: int, levels: int, hierarchical: bool) -> None:
        super().__init__()
        self.channels, self.hierarchical = channels, hierarchical
        self.strides = STRIDES if hierarchical else (1,)
        self.level = nn.Parameter(torch.zeros(levels, hidden))
        self.step = nn.Parameter(torch.zeros(len(self.strides) * 4, hidden))
        self.coarser = nn.Conv2d(before, hidden, 3, padding=1) if before else None
        self.around = nn.Conv2d(hidden, hidden, 3, padding=1) if before else None
        sorts = 2 if hierarchical else 1  # of windows: at stride 1, and at all others
        self.window = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(16 * channels * phase, hidden, 1) for phase in (1, 2, 3)) for _ in range(sorts)
        )
        self.first, self.second = nn.Conv2d(hidden, hidden, 1), nn.Conv2d(hidden, hidden, 1)
        self.output = nn.Conv2d(hidden, 3 * channels, 1)
        with torch.no_grad():
            self.output.weight.mul_(0.3)

    def context(self, coarser: Tensor | None, levels: Tensor) -> Tensor:
        """What the groups before say of every site: (B, before, h, w) -> (B, hidden, h, w), or (B, hidden, 1, 1)."""
        level = per_channel(knots(levels, self.level))
        if self.coarser is None or self.around is None:
            return level
        assert coarser is not None
        h: Tensor = self.coarser(coarser) + level
        return h + self.around(leaky(h))

    def steps(self, height: int, width: int) -> Iterator[tuple[int, int]]:
        """(stride, phase) of every step, in coding order, that has sites in a grid of that size."""
        yield self.strides[0], 0
        for stride in self.strides:
            for phase in (1, 2, 3):
                row, column = PHASES[phase]
                if row * stride < height and column * stride < width:
                    yield stride, phase

    def parameters_of(self, z: Tensor, context: Tensor, stride: int, phase: int) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, log scale and logit of the wider logistic of a step's sites, each (B, n, h', w')."""
        target = plane(z, stride, phase)
        h = plane(context, stride, phase) if context.shape[2:] == z.shape[2:] else context
        index = self.strides.index(stride)
        h = h + self.step[4 * index + phase][:, None, None]
        base = torch.zeros_like(target[:, :1])
        if phase:
            planes = [plane(z, stride, before) for before in range(phase)]
            planes = [one if one.numel() else planes[0] for one in planes]  # a grid of one row has none below
            if self.hierarchical:
                base = _nearest(planes, phase, target.shape[2:])
            known = torch.cat([_window(one, target.shape[2:]) for one in planes], 1)
            if self.hierarchical:  # (B, phase * 16 * n, h', w'), n innermost
                b, _, rows, columns = known.shape
                known = (known.view(b, -1, self.channels, rows, columns) - base[:, None]).view(b, -1, rows, columns)
            phases = self.window[int(stride > 1)]
            assert isinstance(phases, nn.ModuleList)
            h = h + phases[phase - 1](squash(known))
        h = h + self.first(leaky(h))
        h = h + self.second(leaky(h))
        mean, log_scale, wider = self.output(leaky(h)).float().expand(-1, -1, *target.shape[2:]).chunk(3, 1)
        return mean + base, log_scale.clamp(*LOG_SCALES), wider - 2.0

    def seen(self, z: Tensor) -> Tensor:
        """What finer groups see of this one: (B, n or 2 n, h, w)."""
        if not self.hierarchical:
            return squash(z)
        padded = F.pad(z, (1, 1, 1, 1), mode="replicate")
        around = padded[:, :, :-2, 1:-1] + padded[:, :, 2:, 1:-1] + padded[:, :, 1:-1, :-2] + padded[:, :, 1:-1, 2:]
        return torch.cat([squash(z - around / 4), squash(z / 8)], 1)


def _window(known: Tensor, size: torch.Size) -> Tensor:
    """4x4 windows of a parity plane, rows and columns -1 .. 2 around each site: (B, n, ...) -> (B, 16 n, *size)."""
    b, n = known.shape[:2]
    rows, columns = size
    padded = F.pad(known, (1, 2 + columns - known.shape[3], 1, 2 + rows - known.shape[2]), mode="replicate")
    taps = [padded[:, :, i : i + rows, j : j + columns] for i in range(4) for j in range(4)]
    return torch.stack(taps, 1).view(b, 16 * n, rows, columns)


def _nearest(planes: list[Tensor], phase: int, size: torch.Size) -> Tensor:
    """The mean of the four nearest known sites, those beyond the border replaced by the last: (B, n, *size)."""
    rows, columns = size
    total = None
    for which, row, column in _NEAREST[phase]:
        known = planes[which]
        padded = F.pad(known, (1, 1 + columns - known.shape[3], 1, 1 + rows - known.shape[2]), mode="replicate")[
            :, :, 1 + row : 1 + row + rows, 1 + column : 1 + column + columns
        ]
        total = padded if total is None else total + padded
    assert total is not None
    return total / 4


class Prior(nn.Module):
    """p(z) over groups of latents, coarse to fine; the first `hierarchical` ones in passes of halving stride."""

    def __init__(self, groups: tuple[int, ...], hierarchical: int, hidden: int, levels: int) -> None:
        super().__init__()
        self.sizes = groups
        self.groups = nn.ModuleList()
        before = 0
        for index, channels in enumerate(groups):
            self.groups.append(Group(channels, before, hidden, levels, index < hierarchical))
            before += channels * (2 if index < hierarchical else 1)

    def bits(self, z: Tensor, levels: Tensor) -> Tensor:
        """-log2 p of rounded latents z (B, C, h, w): (B,)."""
        return self._sum(z, levels, lambda step, of: cell_bits(step(z), *of))

    def rounded_bits(self, rounded: Rounded, levels: Tensor) -> Tensor:
        """-log2 p of latents that know how they were rounded: (B,). The gradient to them is that of `Rounded`."""
        return self._sum(
            rounded.z,
            levels,
            lambda step, of: _expected_bits(step(rounded.z), step(rounded.below), step(rounded.share), of),
        )

    def _sum(self, z: Tensor, levels: Tensor, bits_of: Callable[[_Pick, _Distribution], Tensor]) -> Tensor:
        """What `bits_of` says of each step, given what picks a step's sites, and the distribution there: (B,)."""
        total = torch.zeros(len(z), device=z.device)
        seen: list[Tensor] = []
        at = 0
        for group, own in zip(self.groups, z.split(self.sizes, 1), strict=True):
            assert isinstance(group, Group)
            channels, at = slice(at, at + group.channels), at + group.channels
            context = group.context(torch.cat(seen, 1) if seen else None, levels)
            for stride, phase in group.steps(*z.shape[2:]):

                def pick(grid: Tensor, channels: slice = channels, stride: int = stride, phase: int = phase) -> Tensor:
                    return plane(grid[:, channels], stride, phase)

                total = total + bits_of(pick, group.parameters_of(own, context, stride, phase)).sum((1, 2, 3))
            seen.append(group.seen(own))
        return total


def _expected_bits(z: Tensor, below: Tensor, share: Tensor, of: _Distribution) -> Tensor:
    """Bits of z; the gradient to `share` is what the whole number above costs more than the one below."""
    with torch.no_grad():
        more = cell_bits(below + 1, *of) - cell_bits(below, *of)
    return cell_bits(z.detach(), *of) + (share - share.detach()) * more


def cell_bits(value: Tensor, mean: Tensor, log_scale: Tensor, wider: Tensor) -> Tensor:
    """-log2 of the mass of value - 1/2 .. value + 1/2 under the two logistics, elementwise."""
    weight = torch.sigmoid(wider)
    distance = -(value - mean).abs()  # in the lower tail, where differences of sigmoids keep their digits
    mass = torch.zeros_like(value)
    for share, scale in ((1 - weight, torch.exp(-log_scale)), (weight, torch.exp(-log_scale - WIDER))):
        mass = mass + share * (torch.sigmoid((distance + 0.5) * scale) - torch.sigmoid((distance - 0.5) * scale))
    return -torch.log(mass.clamp(min=1e-7)) / math.log(2.0)
