"""p(z) in exact integer arithmetic, as `models/grid/prior.py` defines it: groups coarse to fine, in phases.

What a step (one phase of one pass of one group) is given is known before it begins, so all of its sites are coded at once.
A step's lanes are its sites in raster order, and of each site the group's channels; they are coded in runs of LANES.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.coding.bisection import Answer, bisect
from vlae_codec.exact import logistics
from vlae_codec.exact.fixed import Affine, Integers, exp_integer
from vlae_codec.exact.logistics import Logistics, Whole
from vlae_codec.exact.threads import in_pieces

from .network import (
    BITS,
    LARGEST_LATENT,
    Arrays,
    Latents,
    Numbers,
    affine,
    band_rows,
    bands,
    between,
    clipped,
    convolve,
    leaky,
)

STRIDES = (16, 8, 4, 2, 1)
"""Passes of a hierarchical group; the sites at every 32nd row and column come first."""
PHASES = ((0, 0), (1, 1), (0, 1), (1, 0))
"""Parity of row and column of the sites of each phase."""
LANES = 1 << 12
"""Latents whose decisions are coded together."""
LOG_SCALES = -4, 5
_NEAREST = {
    1: ((0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)),
    2: ((0, 0, 0), (0, 0, 1), (1, -1, 0), (1, 0, 0)),
    3: ((0, 0, 0), (0, 1, 0), (1, 0, -1), (1, 0, 0)),
}
"""Of the sites of a phase: (phase, row, column) of the four nearest known ones, in their planes."""
_WIDER = exp_integer(Decimal("-1.5"), 20)
_WIDEST = 7  # log2 of the widest first bracket
_WEIGHT_BIAS = -2 << BITS
_BAND = 1 << 19
_TOGETHER = 1 << 17  # lanes whose distributions are held at once: whole runs
_HELD = 1 << 26  # numbers of contexts that are held at once, if they are of more than one phase
_HALO = 3  # rows of sites above and below that a context depends on
Grid = npt.NDArray[Any]
"""Latents of all sites (h, w, C), in any kind of number; while they are visited, of the sites that were."""


@cache
def _squash_table(unit: int) -> npt.NDArray[np.float64]:
    """v / (1 + |v| / 10) at BITS, rounded, for v = n / unit, n in -2^17 .. 2^17."""
    n = np.arange(1 << 17, dtype=np.int64)
    scaled = 10 * n << BITS
    upper = (2 * scaled + 10 * unit + n) // (2 * (10 * unit + n))
    return np.concatenate([[-upper[-1]], -upper[:0:-1], upper]).astype(np.float64)


def squash(n: npt.NDArray[np.signedinteger], unit: int) -> Integers:
    """v / (1 + |v| / 10) at BITS, of integers v = n / unit; elementwise."""
    return _squash_table(unit).take(n.astype(np.int64) + (1 << 17), mode="clip")


def plane(grid: npt.NDArray[Any], stride: int, phase: int) -> npt.NDArray[Any]:
    """The sites of one phase of a grid (h, w, n) at a stride: a view (about h / 2 stride, about w / 2 stride, n)."""
    row, column = PHASES[phase]
    return grid[row * stride :: 2 * stride, column * stride :: 2 * stride]


@dataclass(frozen=True)
class Group:
    """p(z of one group | coarser groups)."""

    channels: int
    hierarchical: bool
    level: Whole
    step: Whole
    coarser: Affine | None
    around: Affine | None
    window: tuple[tuple[Affine, ...], ...]
    first: Affine
    second: Affine
    output: Affine

    @property
    def strides(self) -> tuple[int, ...]:
        """Of its passes."""
        return STRIDES if self.hierarchical else (1,)

    def steps(self, height: int, width: int) -> Iterator[tuple[int, int]]:
        """(stride, phase) of every step, in coding order, that has sites in a grid of that size."""
        yield self.strides[0], 0
        for stride in self.strides:
            for phase in (1, 2, 3):
                row, column = PHASES[phase]
                if row * stride < height and column * stride < width:
                    yield stride, phase

    def context(self, z: Grid, before: Sequence[Group], quality: int, phases: Sequence[int]) -> list[Numbers]:
        """What the groups before say of the sites of some phases of stride 1, of z (h, w, C): each (h', w', hidden)."""
        height, width = z.shape[:2]
        level = between(self.level, quality).astype(np.float64)
        shapes = [(*plane(z, 1, phase).shape[:2], len(level)) for phase in phases]
        coarser, around = self.coarser, self.around
        if coarser is None or around is None:
            return [np.broadcast_to(level, shape) for shape in shapes]
        edges = [0, *accumulate(group.channels for group in before)]
        found = [np.empty(shape, np.float32) for shape in shapes]  # what is clipped has at most 21 bits
        for own, part, inner in bands(height, band_rows(width, len(level), _HALO), _HALO):
            known = z[part, :, : edges[-1]].astype(np.int32)
            parts = zip(before, pairwise(edges), strict=True)
            seen = np.concatenate([group.seen(known[:, :, start:end]) for group, (start, end) in parts], 2)
            h = convolve(seen, coarser, lambda made, rows: clipped(np.add(made, level, out=made)))
            inputs = leaky(h)
            for phase, out in zip(phases, found, strict=True):
                row, column = PHASES[phase]
                sites = slice(inner.start + row, inner.stop, 2), slice(column, None, 2)
                made = _added(h[sites], inputs, around, sites)
                out[own.start // 2 :][: len(made)] = made
        return found

    def lanes(self, z: Grid, said: Numbers, stride: int, phase: int, rows: slice) -> Lanes:
        """What the network says of the lanes in some rows of a step's sites; z (h, w, n) holds what is known before it.

        said (h', w', hidden): what the groups before say of the step's sites.
        """
        count, columns = rows.stop - rows.start, plane(z, stride, phase).shape[1]
        planes = [plane(z, stride, before) for before in range(phase)]
        planes = [one if one.size else planes[0] for one in planes]  # a grid of one row has none below
        near = [_around(one, rows, columns) for one in planes]
        base4 = np.zeros((count, columns, self.channels), np.int64)
        if phase and self.hierarchical:
            for which, row, column in _NEAREST[phase]:
                base4 += near[which][1 + row : 1 + row + count, 1 + column : 1 + column + columns]
        own = said[rows]
        bias = self.step[4 * self.strides.index(stride) + phase].astype(np.float64)
        window = self.window[int(stride > 1)][phase - 1] if phase else None
        hidden = len(bias)

        def band(base: npt.NDArray[np.int64], starts: npt.NDArray[np.intp]) -> Integers:
            at, count = int(starts[0]), len(base)
            h = own[at : at + count] + bias
            if window is not None:
                taps = [
                    one[at + i : at + i + count, j : j + columns] for one in near for i in range(4) for j in range(4)
                ]
                known = np.concatenate(taps, 2).astype(np.int64)  # (count, columns, 16 n phase)
                if self.hierarchical:
                    n = 4 * known.reshape(count, columns, -1, self.channels) - base[:, :, None]
                    h = h + window.linear(squash(n.reshape(count, columns, -1), 4))
                else:
                    h = h + window.linear(squash(known, 1))
            h = clipped(np.broadcast_to(h, (count, columns, hidden)).copy())
            h = clipped(h + self.first.linear(leaky(h)))
            h = clipped(h + self.second.linear(leaky(h)))
            return self.output.linear(leaky(h)).astype(np.int32)

        rows_of_band = max(1, _BAND // (columns * max(hidden, 16 * self.channels * phase)))
        outputs = in_pieces(rows_of_band, band, base4, np.arange(count))
        mean, log_scale, wider = outputs.reshape(-1, 3, self.channels).transpose(1, 0, 2).reshape(3, -1)
        return Lanes(mean, log_scale, wider, base4.reshape(-1))

    def seen(self, z: Latents) -> Integers:
        """What finer groups see of this one: (h, w, n) -> (h, w, n or 2 n)."""
        if not self.hierarchical:
            return squash(z, 1)
        padded = np.pad(z, ((1, 1), (1, 1), (0, 0)), mode="edge")
        around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
        return np.concatenate([squash(4 * z - around, 4), squash(z, 8)], 2)


def _added(own: Numbers, inputs: Numbers, layer: Affine, sites: tuple[slice, slice]) -> Numbers:
    """own (h', w', O) and a 3x3 convolution of inputs (h, w, C) at these sites, clipped; there may be none."""
    if not own.size:
        return own
    return convolve(inputs, layer, lambda made, rows: clipped(np.add(made, own[rows], out=made)), sites)


def _around(known: npt.NDArray[Any], rows: slice, columns: int) -> npt.NDArray[Any]:
    """What windows, rows and columns -1 .. 2 around the sites of some rows, see of a parity plane; its edge is repeated."""
    height, width, _ = known.shape
    down = np.arange(rows.start - 1, rows.stop + 2).clip(0, height - 1)
    near: npt.NDArray[Any] = known[down][:, np.arange(-1, columns + 2).clip(0, width - 1)]
    return near.astype(np.int32, copy=False)


class _Contexts:
    """What the groups before say of the sites of a group's steps, of as many phases of stride 1 at once as may be held.

    Wider strides have their sites in the first of these phases.
    """

    def __init__(self, group: Group, z: Grid, before: Sequence[Group], quality: int) -> None:
        numbers = z.shape[0] * z.shape[1] * group.level.shape[1]
        self._together = max(1, 4 * _HELD // numbers)
        self._of = partial(group.context, z, before, quality)
        self._held: dict[int, Numbers] = {}

    def at(self, stride: int, phase: int) -> Numbers:
        """Of the sites of a step: (h', w', hidden); steps come in coding order."""
        wanted = phase if stride == 1 else 0
        if wanted not in self._held:
            self._held.clear()  # before others are made
            phases = range(wanted, min(wanted + self._together, len(PHASES)))
            self._held.update(zip(phases, self._of(phases), strict=True))
        return self._held[wanted] if stride == 1 else plane(self._held[0], stride // 2, phase)


def taken(sites: npt.NDArray[Any], lanes: slice) -> npt.NDArray[Any]:
    """What the sites of a step (h', w', n) have in some lanes."""
    rows, part = _rows_of(sites, lanes)
    return sites[rows].reshape(-1)[part]


def put(sites: npt.NDArray[Any], lanes: slice, values: npt.NDArray[Any]) -> None:
    """Gives the sites of a step (h', w', n) values in some lanes."""
    rows, part = _rows_of(sites, lanes)
    some = sites[rows]
    flat = some.reshape(-1)
    flat[part] = values
    some[...] = flat.reshape(some.shape)


def _rows_of(sites: npt.NDArray[Any], lanes: slice) -> tuple[slice, slice]:
    """The rows of a step's sites that some lanes lie in, and where in these."""
    _, columns, channels = sites.shape
    row = columns * channels
    rows = slice(lanes.start // row, -(-lanes.stop // row))
    return rows, slice(lanes.start - rows.start * row, lanes.stop - rows.start * row)


@dataclass(frozen=True)
class Lanes:
    """What the network says of a step's lanes: means less their bases, log scales, logits of the wider logistic, at BITS,
    and four times the bases; all (n,)."""

    means: npt.NDArray[np.int32]
    log_scales: npt.NDArray[np.int32]
    wider: npt.NDArray[np.int32]
    bases4: Whole

    def logistics(self, part: slice) -> tuple[Logistics, Whole, Whole]:
        """The two logistics of some lanes, their centres and brackets."""
        mean = self.means[part] + (self.bases4[part] << BITS - 2)
        mean = np.clip(mean, -LARGEST_LATENT << BITS, LARGEST_LATENT << BITS)
        log_scales, wider = self.log_scales[part].astype(np.int64), self.wider[part].astype(np.int64)
        inverse = logistics.inverse_scales(log_scales, *LOG_SCALES)
        inverses = np.stack([inverse, inverse * _WIDER >> 20])
        logits = np.stack([np.zeros_like(wider), wider + _WEIGHT_BIAS])
        means = mean >> BITS - logistics.MEAN_BITS
        mixture = Logistics(
            logistics.shares(logits), np.stack([means, means]), inverses, -LARGEST_LATENT, LARGEST_LATENT
        )
        return mixture, mean + (1 << BITS - 1) >> BITS, logistics.brackets(log_scales, _WIDEST)


class UnknownError(Exception):
    """What an answer raises that cannot be given: the file ends before it."""


@dataclass(frozen=True)
class Step:
    """Some lanes of one phase of one pass of one group, one after the other, and their distribution."""

    group: int
    stride: int
    phase: int
    lanes: slice
    mixture: Logistics


Answers = Callable[[slice], Answer]
"""A run of these lanes -> what answers for them."""


@dataclass(frozen=True)
class Prior:
    """p(z) over groups of latents."""

    groups: tuple[Group, ...]

    @classmethod
    def of(cls, arrays: Arrays) -> Prior:
        """The prior of a model's arrays."""
        groups = []
        sizes, hierarchical = arrays["prior.groups"].tolist(), int(arrays["prior.hierarchical"])
        for index, channels in enumerate(sizes):
            name = f"prior.groups.{index}"
            sorts = 2 if index < hierarchical else 1
            group = Group(
                channels,
                hierarchical=index < hierarchical,
                level=arrays[f"{name}.level"].astype(np.int64),
                step=arrays[f"{name}.step"].astype(np.int64),
                coarser=affine(arrays, f"{name}.coarser") if index else None,
                around=affine(arrays, f"{name}.around") if index else None,
                window=tuple(
                    tuple(affine(arrays, f"{name}.window.{sort}.{phase}") for phase in range(3))
                    for sort in range(sorts)
                ),
                first=affine(arrays, f"{name}.first"),
                second=affine(arrays, f"{name}.second"),
                output=affine(arrays, f"{name}.output"),
            )
            groups.append(group)
        return cls(tuple(groups))

    def of_first(self, count: int) -> Prior:
        """That of the first so many groups alone, which depend on no others."""
        return Prior(self.groups[:count])

    @property
    def edges(self) -> list[int]:
        """Where each group begins among the channels, and where the last one ends."""
        return [0, *accumulate(group.channels for group in self.groups)]

    def visit(self, z: Grid, quality: int, answers: Callable[[Step], Answers | Whole | None]) -> None:
        """Goes through all steps in coding order and sets z (h, w, C), in place, to what the answers lead to.

        answers: what answers for the runs of a step, or its values themselves, lane by lane; None leaves all of them at
        their centres, as a run is left that raises `UnknownError`.
        """
        for index, (group, (start, end)) in enumerate(zip(self.groups, pairwise(self.edges), strict=True)):
            own = z[:, :, start:end]
            contexts = _Contexts(group, z, self.groups[:index], quality)
            for stride, phase in group.steps(*z.shape[:2]):
                sites = plane(own, stride, phase)
                for at in range(0, sites.size, _TOGETHER):
                    lanes = slice(at, min(at + _TOGETHER, sites.size))
                    rows, part = _rows_of(sites, lanes)
                    found = group.lanes(own, contexts.at(stride, phase), stride, phase, rows)
                    mixture, centres, brackets = found.logistics(part)
                    answer_of = answers(Step(index, stride, phase, lanes, mixture))
                    if not isinstance(answer_of, np.ndarray):
                        answer_of = _answered(answer_of, mixture, centres, brackets)
                    put(sites, lanes, answer_of)


def _answered(answers: Answers | None, mixture: Logistics, centres: Whole, brackets: Whole) -> Whole:
    """The values that the answers lead to, run by run; the centres where there are none."""
    found = centres.clip(-LARGEST_LATENT, LARGEST_LATENT)
    for at in range(0, len(found) if answers else 0, LANES):
        run = slice(at, at + LANES)
        try:
            assert answers
            found[run] = bisect(mixture.part(run), centres[run], brackets[run], answers(run))
        except UnknownError:
            continue
    return found
