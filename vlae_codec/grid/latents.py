"""The latents of a picture as streams, one for each group: rounded and written, read as far as they go, and what theory says
of them.

Nothing is held twice: means become latents where they lie, step by step, since no step sees a site that was not visited.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.coding.bisection import Answer
from vlae_codec.coding.bits import Stream
from vlae_codec.coding.entropy import Decoder, Encoder, PrefixDecoder
from vlae_codec.exact.fixed import code_length_bits
from vlae_codec.exact.logistics import MEAN_BITS, Whole

from .network import LARGEST_LATENT, Latents
from .prior import Answers, Grid, Prior, Step, UnknownError, plane, put, taken

Bools = npt.NDArray[np.bool_]
Worth = npt.NDArray[np.float64]
Done = Callable[[int], None]
"""Told how many latents were done since it was last told."""


@dataclass(frozen=True)
class Coded:
    """Latents as streams, one a group.

    ideal_bits: the information in them under the prior. kl_bits: KL(q || p) of the box posterior around the means that
    were rounded, by one draw of its noise from a fixed seed; its context is the rounded code, as it is of the file.
    """

    streams: list[bytes]
    ideal_bits: float
    kl_bits: float


def write(
    prior: Prior, means: Grid, quality: int, bits_of_error: Worth | None = None, done: Done | None = None
) -> Coded:
    """Means (h, w, C) become latents as of `rounded`, in their own memory, and these are coded, group by group."""
    encoders = [Encoder() for _ in prior.groups]
    bits, kl_bits, rng = 0.0, 0.0, np.random.default_rng(0)

    def answers(step: Step) -> Answers:
        nonlocal kl_bits
        own = _own(prior, means, step)
        kl_bits += float(step.mixture.cell_bits(own + rng.uniform(-0.5, 0.5, len(own))).sum())
        values = nearest(own) if bits_of_error is None else _thinned(own, step, _worth(prior, bits_of_error, step))[0]
        if done:
            done(len(values))

        def of(run: slice) -> Answer:
            these = values[run]

            def answer(lanes: Whole, splits: Whole, below: Whole, counts: Whole) -> Bools:
                nonlocal bits
                above = these[lanes] >= splits
                encoders[step.group].put_bits(above.astype(np.uint8), counts)
                bits += information_bits(above, counts)
                return above

            return answer

        return of

    prior.visit(means, quality, answers)  # which finds these values
    return Coded([encoder.finish().rest for encoder in encoders], bits, kl_bits)


def information_bits(above: Bools, counts: Whole) -> float:
    """What decisions say, given the counts of "not below"."""
    return float(code_length_bits(np.where(above, counts, (1 << 24) - counts)).sum())


def _own(prior: Prior, grid: Grid, step: Step) -> npt.NDArray[Any]:
    """What a grid (h, w, C) has in the lanes of a step."""
    edges = prior.edges
    return taken(plane(grid[:, :, edges[step.group] : edges[step.group + 1]], step.stride, step.phase), step.lanes)


def rounded(
    prior: Prior, means: Grid, quality: int, bits_of_error: Worth | None, z: Grid, done: Done | None = None
) -> float:
    """Means (h, w, C) rounded to the lattice, into z, which may be their own memory; the information in what they become.

    bits_of_error (C,): what a squared step of each latent is worth, bits, for rounding with an eye to the rate: one step
    towards zero where that saves more than it costs. The transforms are nearly orthonormal, so that no pass through the
    decoder is needed. What is saved in the context of others is not seen.
    """
    total = 0.0

    def answers(step: Step) -> Whole:
        nonlocal total
        own = _own(prior, means, step)
        if bits_of_error is None:
            values = nearest(own)
            bits = step.mixture.cell_bits(values.astype(np.float64))
        else:
            values, bits = _thinned(own, step, _worth(prior, bits_of_error, step))
        total += float(bits.sum())
        if done:
            done(len(values))
        return values

    prior.visit(z, quality, answers)
    return total


def nearest(means: Grid) -> Whole:
    """Means (n,) at the nearest value that a latent may have."""
    return np.clip(np.floor(means + 0.5), -LARGEST_LATENT, LARGEST_LATENT).astype(np.int64)


def _thinned(own: Grid, step: Step, worth: Worth) -> tuple[Whole, Worth]:
    """The means (n,) of a step rounded with an eye to the rate, and the information in each."""
    values = nearest(own)
    bits = step.mixture.cell_bits(values.astype(np.float64))
    some = np.flatnonzero(values)
    mean, near = own[some], values[some]
    other = near - np.sign(near)
    other_bits = step.mixture.of(some).cell_bits(other.astype(np.float64))
    lost = worth[some] * ((mean - other) ** 2 - (mean - near) ** 2)
    moved = bits[some] - other_bits > lost
    values[some[moved]], bits[some[moved]] = other[moved], other_bits[moved]
    return values, bits


def _worth(prior: Prior, bits_of_error: Worth, step: Step) -> Worth:
    """What a squared step of each lane of a step is worth, bits: (n,)."""
    own = bits_of_error[prior.edges[step.group] : prior.edges[step.group + 1]]
    each: Worth = own[np.arange(step.lanes.start, step.lanes.stop) % len(own)]
    return each


def whole_numbers(z: Grid) -> Latents:
    """Latents (h, w, C) as int32: in their own memory, where that has room for them."""
    found: Latents = z.view(np.int32) if z.itemsize == np.dtype(np.int32).itemsize else np.empty(z.shape, np.int32)
    for row, own in zip(found, z, strict=True):  # row by row, so that nothing else is as large
        row[...] = own
    return found


def read(
    prior: Prior, streams: Sequence[bytes], whole: Sequence[bool], shape: tuple[int, int], quality: int
) -> tuple[Latents, int]:
    """Latents of streams that are there, in order; what they do not say is at its expectation.

    whole: of each stream, whether it is all there. Returns the latents (h, w, C) at MEAN_BITS, whole numbers where they were
    read, and how many were read.
    """
    z = np.zeros((*shape, prior.edges[-1]), np.int32)
    if len(streams) == len(prior.groups) and all(whole):
        complete = [Decoder(stream) for stream in streams]
        prior.visit(z, quality, lambda step: _answers_of(complete[step.group]))
        z <<= MEAN_BITS
        return z, z.size
    return _read_some(prior, z, streams, whole, quality)


def _answers_of(decoder: Decoder) -> Answers:
    def answer(lanes: Whole, splits: Whole, below: Whole, counts: Whole) -> Bools:
        return decoder.get_bits(counts).astype(np.bool_)

    return lambda run: answer


def _read_some(
    prior: Prior, z: Latents, streams: Sequence[bytes], whole: Sequence[bool], quality: int
) -> tuple[Latents, int]:
    """`read` of streams that are not all there, into z."""
    expected, known = np.zeros(z.shape, np.int32), np.zeros(z.shape, np.bool_)
    decoders = [
        Decoder(stream) if complete else PrefixDecoder(Stream(stream))
        for stream, complete in zip(streams, whole, strict=True)
    ]

    def answers(step: Step) -> Answers | None:
        if step.group >= len(decoders) or not whole[step.group]:
            _place(prior, expected, step, step.mixture.expected())
        if step.group >= len(decoders):
            return None
        decoder = decoders[step.group]
        read = np.ones(len(step.mixture), np.bool_)
        _place(prior, known, step, read)

        def of(run: slice) -> Answer:
            def answer(lanes: Whole, splits: Whole, below: Whole, counts: Whole) -> Bools:
                bits = decoder.get_bits(counts)
                if len(bits) < len(counts):
                    read[run.start :] = False
                    _place(prior, known, step, read)
                    raise UnknownError
                return bits.astype(np.bool_)

            return answer

        return of

    prior.visit(z, quality, answers)
    z <<= MEAN_BITS
    np.copyto(z, expected, where=~known)
    return z, int(known.sum())


def _place(prior: Prior, grid: Grid, step: Step, values: npt.NDArray[Any]) -> None:
    """The inverse of `_own`: gives a grid (h, w, C) values in the lanes of a step."""
    edges = prior.edges
    put(plane(grid[:, :, edges[step.group] : edges[step.group + 1]], step.stride, step.phase), step.lanes, values)
