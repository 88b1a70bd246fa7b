"""A chain of fields on one bit stack, the content of a lossless archive: see `bitsback` for a single step. Twists:

- No borrowed bits. The first `start` fields are coded without popping, as in a single file; batches then grow with the
  stack (`schedule`). If one pops more than there is, `start` is doubled and the chain begun anew.
- Fields without ink, and fields on which the model does worse than a bit a pixel, are told apart by `Kind`.
- The word at the bottom is a CRC of the fields' pixels: it pays for the start of the stack, and checks everything.
- A set without order gets log2(n!) bits back: see `multiset`.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vlae_codec.coding.entropy import Stack
from vlae_codec.errors import FormatError
from vlae_codec.exact.fixed import code_length_bits
from vlae_codec.picture.fields import SIDE, Bits

from .bitsback import Coder, Costs, Counted, Floats, Inside, Kind, Tally, kind_counts
from .model import Model
from .multiset import Remaining, unpacked

BATCH = 128
"""Most fields of a batch; part of the format."""
Done = Callable[[int], None]
"""Told how many fields were coded since it was last told."""
Take = Callable[[int], tuple[Bits, Inside]]
"""The next so many fields, and which of their pixels are inside."""


@dataclass(frozen=True)
class Pushed:
    """A chain, where its bits went, what its coded fields cost, and the `Kind` of each field, (n,)."""

    data: bytes
    counted: Counted
    tally: Tally
    costs: Costs
    kinds: npt.NDArray[np.int64]

    def field_bits(self, inside: Inside) -> Floats:
        """What each field added to the chain, (n,) bits, given which of its pixels are inside; of an ordered chain only."""
        bits = np.zeros(len(self.kinds))
        bits[self.kinds == Kind.CODED] = self.costs.net_bits
        raw = self.kinds == Kind.RAW
        bits[raw] = inside[raw].sum(axis=(1, 2))
        if self.counted.blank or self.counted.raw:
            counts = kind_counts(len(self.kinds), self.counted)
            bits += code_length_bits(np.take_along_axis(counts, self.kinds[:, None], axis=1)[:, 0])
        return bits


class Batch(NamedTuple):
    """So many fields, and samples of q for each."""

    size: int
    samples: int


def schedule(fields: int, start: int, samples: int = 1) -> list[Batch]:
    """The batches behind the first `start` fields, never to pop more than half of what the fields before them pushed.

    Samples are a power of two, at most `samples` and half the fields before; fields at most BATCH.
    """
    batches, done = [], start
    while done < fields:
        few = min(samples, 1 << max(1, done // 2).bit_length() - 1)
        size = min(max(1, done // (2 * few)), BATCH, fields - done)
        batches.append(Batch(size, few))
        done += size
    return batches


def push(model: Model, fields: Bits, inside: Inside, done: Done | None = None, samples: int = 1) -> Pushed:
    """A chain of fields (n, 28, 28), of whose pixels those `inside` are coded and the others are 0.

    Args:
        samples: of q for each field, a power of two; they cost time in proportion.
    """
    kinds = np.where(fields.any(axis=(1, 2)), Kind.CODED, Kind.BLANK)
    pushed = _push_kinds(model, fields, inside, kinds, done, samples)
    coded = np.flatnonzero(kinds == Kind.CODED)
    worse = coded[pushed.costs.net_bits > inside[coded].sum(axis=(1, 2))]
    if not len(worse):
        return pushed
    kinds[worse] = Kind.RAW
    return _push_kinds(model, fields, inside, kinds, None, samples)


def pop(
    model: Model, data: bytes, counted: Counted, inside: Inside, done: Done | None = None, samples: int = 1
) -> Bits:
    """The inverse of `push`, given which pixels are inside, (n, 28, 28).

    Raises:
        FormatError: the bytes are not a chain of such fields.
    """
    coder = Coder(model, Stack.read(data), Tally())
    kinds = coder.pop_kinds(len(inside), counted)
    fields = np.zeros(inside.shape, np.uint8)
    at = coded = np.flatnonzero(kinds == Kind.CODED)
    _check_start(counted.start, len(coded))
    for size, few in reversed(schedule(len(coded), counted.start, samples)):
        at, batch = at[:-size], at[-size:]
        fields[batch] = coder.pop_batch(inside[batch], few)
        if done:
            done(size)
    for place in reversed(at):
        fields[place] = coder.pop_first(inside[place])
    raw = kinds == Kind.RAW
    fields[raw] = coder.pop_raw(inside[raw])
    _check_bottom(coder.stack, fields)
    return fields


def push_set(model: Model, fields: Bits, inside: Inside, done: Done | None = None, samples: int = 1) -> Pushed:
    """A chain of fields whose order does not matter; the pixels `inside` (28, 28) are the same in all."""
    start = 1
    while True:
        remaining = Remaining([bits.tobytes() for bits in np.packbits(fields.reshape(len(fields), -1), axis=1)])
        coder = _begin(model, remaining.fields())
        first = unpacked([remaining.last() for _ in range(min(start, len(fields)))])

        def take(size: int, coder: Coder = coder, remaining: Remaining = remaining) -> tuple[Bits, Inside]:
            with coder.tally.counting("order_bits", coder.stack):
                batch = unpacked([remaining.pick(coder.stack) for _ in range(size)])
            return batch, np.broadcast_to(inside, batch.shape)

        parts = _push_fields(coder, len(fields), first, np.broadcast_to(inside, first.shape), take, done, samples)
        if parts is not None:
            return _finish(coder, Counted(len(first)), parts, np.full(len(fields), Kind.CODED, np.int64))
        start *= 2


def pop_set(
    model: Model, data: bytes, count: int, start: int, inside: Inside, done: Done | None = None, samples: int = 1
) -> Bits:
    """The inverse of `push_set`, sorted: (count, 28, 28).

    Raises:
        FormatError: the bytes are not a chain of such fields.
    """
    _check_start(start, count)
    coder, remaining = Coder(model, Stack.read(data), Tally()), Remaining([])
    for size, few in reversed(schedule(count, start, samples)):
        batch = coder.pop_batch(np.broadcast_to(inside, (size, SIDE, SIDE)), few)
        for bits in reversed(np.packbits(batch.reshape(size, -1), axis=1)):
            remaining.put_back(coder.stack, bits.tobytes())
        if done:
            done(size)
    for _ in range(start):
        remaining.insert(np.packbits(coder.pop_first(inside)).tobytes())
    fields = remaining.fields()
    _check_bottom(coder.stack, fields)
    return fields


def _push_kinds(
    model: Model, fields: Bits, inside: Inside, kinds: npt.NDArray[np.int64], done: Done | None, samples: int
) -> Pushed:
    """Tries with more and more fields at the start, until no batch pops more than there is."""
    coded, raw = np.flatnonzero(kinds == Kind.CODED), kinds == Kind.RAW
    start = 1
    while True:
        coder = _begin(model, fields)
        coder.push_raw(fields[raw], inside[raw])
        first, rest = coded[:start], iter(coded[start:])

        def take(size: int, rest: Iterator[np.intp] = rest) -> tuple[Bits, Inside]:
            batch = list(itertools.islice(rest, size))
            return fields[batch], inside[batch]

        parts = _push_fields(coder, len(coded), fields[first], inside[first], take, done, samples)
        if parts is not None:
            counted = Counted(len(first), int((kinds == Kind.BLANK).sum()), int(raw.sum()))
            coder.push_kinds(kinds, counted)
            return _finish(coder, counted, parts, kinds)
        start *= 2


def _begin(model: Model, fields: Bits) -> Coder:
    """A coder on a stack that begins with the checksum of the fields."""
    coder = Coder(model, Stack(_checksum(fields)), Tally())
    coder.tally.bottom_bits = coder.stack.bits
    return coder


def _push_fields(
    coder: Coder, count: int, first: Bits, inside: Inside, take: Take, done: Done | None, samples: int
) -> list[Costs] | None:
    """The first fields without popping, then all others of `count` by `take`; None if a batch popped more than there is."""
    parts = [coder.push_first(*one) for one in zip(first, inside, strict=True)]
    for size, few in schedule(count, len(first), samples):
        parts.append(coder.push_batch(*take(size), few))
        if coder.stack.exhausted:
            return None
        if done:
            done(size)
    return parts


def _check_start(start: int, count: int) -> None:
    """Refuses a number of fields at the start that no chain of `count` coded fields has."""
    if not min(1, count) <= start <= count:
        raise FormatError("the archive claims more fields at the start of a chain than it has: it is damaged")


def _finish(coder: Coder, counted: Counted, parts: list[Costs], kinds: npt.NDArray[np.int64]) -> Pushed:
    data, held_bits = coder.stack.write(), coder.stack.bits
    coder.tally.rounding_bits = 8 * len(data) - held_bits
    return Pushed(data, counted, coder.tally, Costs.joined(parts), kinds)


def _checksum(fields: Bits) -> int:
    """CRC-32 of the fields' pixels, packed; its lower 31 bits."""
    return zlib.crc32(np.packbits(fields).tobytes()) & 0x7FFFFFFF


def _check_bottom(stack: Stack, fields: Bits) -> None:
    if stack.bottom != _checksum(fields):
        raise FormatError(
            "what a chain decodes to fails its check: the file is damaged, or was made with another model"
        )
