"""Bits-back coding of a chain of fields, the content of a lossless archive (Chen et al. 2016, Section 2.2 and Eq. 5-7).

    push:  pop k ~ q(k|x),  push x with p(x|k),  push k with p(k)            for a batch of fields x
    pop:   pop k with p(k),  pop x with p(x|k),  push k back with q(k|x)     in reverse, batch by batch

A field thus costs KL(q || p) - log2 p(x|k), minus the ELBO, on a real stack (BB-ANS, Townsend et al. 2019). Twists:

- No borrowed bits. The first `start` fields are coded without popping, as in a single file; batches then grow with the
  stack (`schedule`). If one pops more than there is, `start` is doubled and the chain begun anew.
- Fields without ink, and fields on which the model does worse than a bit a pixel, are told apart by `Kind`.
- The word at the bottom is a CRC of the fields' pixels: it pays for the start of the stack, and checks everything.
- Several samples of q for each field recover part of what the ELBO leaves (Ruan et al. 2021, "Improving lossless compression
  rates via Monte Carlo bits-back coding", BB-IS): pop k_1 .. k_N, pop one of them by its weight w_i = p(x, k_i) / q(k_i|x),
  push the others back, and a number below N: the cost is -log2 of the mean weight.
- A set without order gets log2(n!) bits back, for which field comes next is popped too: see `_Remaining`.
"""

from __future__ import annotations

import bisect
import enum
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import fields as entries
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from . import latents
from .cells import Counts, Latents
from .codebook import Posterior
from .entropy import Stack
from .errors import FormatError
from .fixed import COUNT_BITS, LATENT_BITS, Integers, choice_counts, code_length_bits, ink_counts, log2_counts
from .latents import BLANK, LATTICE, Blank, Lattice, Number, PrefixCode
from .model import Model
from .network import SIDE, WAVEFRONT, Bits
from .posterior import posterior_counts
from .prior import Conditional
from .search import choose
from .texture import PIECE
from .threads import in_pieces

BATCH = 128
"""Most fields of a batch; part of the format."""
_START_EFFORT = 0
_HALF = 1 << COUNT_BITS - 1
_PIXELS = SIDE * SIDE
Inside = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
_Value = TypeVar("_Value", bound=np.generic)
Done = Callable[[int], None]
"""Told how many fields were coded since it was last told."""


class Kind(enum.IntEnum):
    """How a field is coded: by the model, not at all since it has no ink, or one bit a pixel."""

    CODED = 0
    BLANK = 1
    RAW = 2


@dataclass
class Tally:
    """Where the bits of a chain went, measured on the stack: they add up to eight times its bytes.

    popped_bits (negative): popped with q(k|x), and by weight, less what was pushed back. latent_bits, pixel_bits: pushed
    with p(k), and with the number of samples; and with p(x|k). start_bits: latents of
    the fields at the start. order_bits (negative): popped by a set without order. raw_bits, kind_bits: raw
    pixels, and which field is of which kind. bottom_bits: the word at the bottom. rounding_bits: to whole bytes.
    """

    popped_bits: float = 0.0
    latent_bits: float = 0.0
    pixel_bits: float = 0.0
    start_bits: float = 0.0
    order_bits: float = 0.0
    raw_bits: float = 0.0
    kind_bits: float = 0.0
    bottom_bits: float = 0.0
    rounding_bits: float = 0.0

    def total_bits(self) -> float:
        """The sum of all."""
        return float(sum(getattr(self, entry.name) for entry in entries(self)))

    @contextmanager
    def counting(self, name: str, stack: Stack) -> Iterator[None]:
        """Books what the stack gains within the context."""
        before = stack.bits
        yield
        setattr(self, name, getattr(self, name) + stack.bits - before)


@dataclass(frozen=True)
class Costs:
    """Per field, in coding order, (n,) bits: what the stack gained; in theory, KL(q || p) over cells, and -log2 p(x|k).

    The last is the mean over all samples.
    """

    net_bits: Floats
    kl_bits: Floats
    distortion_bits: Floats

    @classmethod
    def joined(cls, parts: list[Costs]) -> Costs:
        """One after the other."""
        return cls(*(np.concatenate([np.zeros(0), *(getattr(p, e.name) for p in parts)]) for e in entries(cls)))


@dataclass(frozen=True)
class Counted:
    """What a decoder has to know beside the bytes: how many fields stand at the start, are blank, and are raw."""

    start: int
    blank: int = 0
    raw: int = 0


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
            counts = _kind_counts(len(self.kinds), self.counted)
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
    coder = _Coder(model, Stack.read(data), Tally())
    kinds = coder.pop_kinds(len(inside), counted)
    fields = np.zeros(inside.shape, np.uint8)
    at = coded = np.flatnonzero(kinds == Kind.CODED)
    if not min(1, len(coded)) <= counted.start <= len(coded):
        raise FormatError("the archive claims more fields at the start of a chain than it has: it is damaged")
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
        remaining = _Remaining([bits.tobytes() for bits in np.packbits(fields.reshape(len(fields), -1), axis=1)])
        coder = _Coder(model, Stack(_checksum(remaining.fields())), Tally())
        coder.tally.bottom_bits = coder.stack.bits
        first = _unpacked([remaining.last() for _ in range(min(start, len(fields)))])
        parts = [coder.push_first(field, inside) for field in first]
        for size, few in schedule(len(fields), len(first), samples):
            with coder.tally.counting("order_bits", coder.stack):
                batch = _unpacked([remaining.pick(coder.stack) for _ in range(size)])
            parts.append(coder.push_batch(batch, np.broadcast_to(inside, batch.shape), few))
            if coder.stack.exhausted:
                break
            if done:
                done(size)
        else:
            return coder.finish(Counted(len(first)), parts, np.full(len(fields), Kind.CODED, np.int64))
        start *= 2


def pop_set(
    model: Model, data: bytes, count: int, start: int, inside: Inside, done: Done | None = None, samples: int = 1
) -> Bits:
    """The inverse of `push_set`, sorted: (count, 28, 28).

    Raises:
        FormatError: the bytes are not a chain of such fields.
    """
    if not min(1, count) <= start <= count:
        raise FormatError("the archive claims more fields at the start of a chain than it has: it is damaged")
    coder, remaining = _Coder(model, Stack.read(data), Tally()), _Remaining([])
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
        coder = _Coder(model, Stack(_checksum(fields)), Tally())
        coder.tally.bottom_bits = coder.stack.bits
        coder.push_raw(fields[raw], inside[raw])
        first, rest = coded[:start], coded[start:]
        parts = [coder.push_first(fields[place], inside[place]) for place in first]
        for size, few in schedule(len(coded), len(first), samples):
            batch, rest = rest[:size], rest[size:]
            parts.append(coder.push_batch(fields[batch], inside[batch], few))
            if coder.stack.exhausted:
                break
            if done:
                done(size)
        else:
            counted = Counted(len(first), int((kinds == Kind.BLANK).sum()), int(raw.sum()))
            coder.push_kinds(kinds, counted)
            return coder.finish(counted, parts, kinds)
        start *= 2


@dataclass(frozen=True)
class _Coder:
    """Pairs of steps that undo each other on one stack."""

    model: Model
    stack: Stack
    tally: Tally

    def push_batch(self, fields: Bits, inside: Inside, samples: int = 1) -> Costs:
        """Fields (B, 28, 28), bits-back: what each costs. If the stack is exhausted half-way, all stops there."""
        q = posterior_counts(self.model, fields)
        with self.tally.counting("popped_bits", self.stack):
            every = [self._pop_cells(q) for _ in range(samples)]
            if self.stack.exhausted:
                return Costs.joined([])
            trials = self._trials(fields, inside, every, q)
            chosen = self.stack.pop_symbols(trials.counts) if samples > 1 else np.zeros(len(fields), np.int64)
            for k in reversed(_others(every, chosen)):
                self._push_cells(k, q)
        rows = np.arange(len(fields))
        with self.tally.counting("pixel_bits", self.stack):
            self._push_pixels(fields, inside, trials.ink[chosen, rows])
        with self.tally.counting("latent_bits", self.stack):
            self._push_cells(np.stack(every)[chosen, rows], trials.p[chosen, :, rows].transpose(1, 0, 2))
            self._push_number(chosen, samples)
        return trials.costs

    def pop_batch(self, inside: Inside, samples: int = 1) -> Bits:
        """The inverse of `push_batch`."""
        chosen = self._pop_number(len(inside), samples)
        k = self._pop_latents(len(inside))
        fields = self._pop_pixels(k, inside)
        q = posterior_counts(self.model, fields)
        every = _with_picked([self._pop_cells(q) for _ in range(samples - 1)], k, chosen)
        if samples > 1:
            self.stack.push_symbols(chosen, self._trials(fields, inside, every, q).counts)
        for k in reversed(every):
            self._push_cells(k, q)
        return fields

    def push_first(self, field: Bits, inside: Inside) -> Costs:
        """One field (28, 28) with the code of a single file; one without ink, as only sets have here, with a lattice's."""
        prefix, one, prior = PrefixCode(self.model.octave_lengths), (field[None], inside[None]), self.model.prior
        code = choose(self.model, prefix, *one, np.zeros(1, np.int64), _START_EFFORT, False, None)[0].code
        posterior, before = Posterior.of(self.model, field[None]), self.stack.bits
        if isinstance(code, Blank):
            code = Lattice(tuple(prior.nearest(posterior.mu * 2.0**LATENT_BITS)[0].tolist()))
        with self.tally.counting("pixel_bits", self.stack):
            ink = self._ink(field[None], latents.coordinates([code], prior))
            self._push_pixels(*one, ink)
        with self.tally.counting("start_bits", self.stack):
            self._push_code(prefix, code)
        return Costs(np.array([self.stack.bits - before]), posterior.rate_bits(self.model), _distortion_bits(*one, ink))

    def pop_first(self, inside: Inside) -> Bits:
        """The inverse of `push_first`."""
        code = self._pop_code(PrefixCode(self.model.octave_lengths))
        field: Bits = self._pop_pixels(latents.coordinates([code], self.model.prior), inside[None])[0]
        return field

    def push_raw(self, fields: Bits, inside: Inside) -> None:
        """Pixels at one bit each."""
        with self.tally.counting("raw_bits", self.stack):
            self.stack.push_bits(fields[inside], np.full(int(inside.sum()), _HALF))

    def pop_raw(self, inside: Inside) -> Bits:
        """The inverse of `push_raw`."""
        fields = np.zeros(inside.shape, np.uint8)
        fields[inside] = self.stack.pop_bits(np.full(int(inside.sum()), _HALF))
        return fields

    def push_kinds(self, kinds: npt.NDArray[np.int64], counted: Counted) -> None:
        """Which field is of which kind, at the rate of their shares."""
        with self.tally.counting("kind_bits", self.stack):
            if counted.blank or counted.raw:
                self.stack.push_symbols(kinds, _kind_counts(len(kinds), counted))

    def pop_kinds(self, count: int, counted: Counted) -> npt.NDArray[np.int64]:
        """The inverse of `push_kinds`."""
        if counted.blank + counted.raw > count:
            raise FormatError("the archive claims more fields of a kind than there are: it is damaged")
        if not (counted.blank or counted.raw):
            return np.full(count, Kind.CODED, np.int64)
        return self.stack.pop_symbols(_kind_counts(count, counted))

    def finish(self, counted: Counted, parts: list[Costs], kinds: npt.NDArray[np.int64]) -> Pushed:
        """The chain as it is now."""
        data, held_bits = self.stack.write(), self.stack.bits
        self.tally.rounding_bits = 8 * len(data) - held_bits
        return Pushed(data, counted, self.tally, Costs.joined(parts), kinds)

    def _push_cells(self, k: Latents, counts: Counts) -> None:
        """Lattice coordinates (B, D) with the counts of all cells (D, B, cells)."""
        self.stack.push_symbols(self._cell(k).ravel(), counts.reshape(-1, counts.shape[2]))

    def _pop_cells(self, counts: Counts) -> Latents:
        """The inverse of `_push_cells`."""
        symbols = self.stack.pop_symbols(counts.reshape(-1, counts.shape[2])).reshape(counts.shape[:2])
        return symbols.T + self.model.prior.lowest

    def _pop_latents(self, batch: int) -> Latents:
        """Lattice coordinates that were pushed with the prior's counts: (B, D)."""
        return self.model.prior.walk(
            batch, lambda i, conditional: self.stack.pop_symbols(conditional.all_counts()) + conditional.lowest
        )

    def _prior_counts(self, k: Latents) -> Counts:
        """The counts of all cells of p(k_i | k_<i) for k (B, D): (D, B, cells)."""
        found: list[Counts] = []

        def look(i: int, conditional: Conditional) -> Latents:
            found.append(conditional.all_counts())
            return k[:, i]

        self.model.prior.walk(len(k), look)
        return np.stack(found)

    def _cell(self, k: Latents) -> Latents:
        """Numbers of cells from 0: (D, B, 1)."""
        return (k - self.model.prior.lowest).T[..., None]

    def _push_number(self, chosen: npt.NDArray[np.int64], samples: int) -> None:
        """Which sample was chosen for each field, uniformly."""
        if samples > 1:
            self.stack.push_symbols(chosen, np.full((len(chosen), samples), (1 << COUNT_BITS) // samples))

    def _pop_number(self, batch: int, samples: int) -> npt.NDArray[np.int64]:
        """The inverse of `_push_number`."""
        if samples == 1:
            return np.zeros(batch, np.int64)
        return self.stack.pop_symbols(np.full((batch, samples), (1 << COUNT_BITS) // samples))

    def _trials(self, fields: Bits, inside: Inside, every: list[Latents], q: Counts) -> _Trials:
        """What each sample of latents is worth for the fields."""
        ink = np.stack([self._ink(fields, k) for k in every])
        p = np.stack([self._prior_counts(k) for k in every])
        cells = np.stack([self._cell(k) for k in every])  # (N, D, B, 1)
        shown = np.where(fields.reshape(ink.shape[1:]) == 1, ink, (1 << COUNT_BITS) - ink)
        shown = np.where(inside.reshape(ink.shape[1:]), shown, 1 << COUNT_BITS)  # (N, B, 784)
        chosen_p = np.take_along_axis(p, cells, axis=3)[..., 0]  # (N, D, B)
        chosen_q = np.take_along_axis(np.broadcast_to(q, p.shape), cells, axis=3)[..., 0]
        logs = log2_counts(shown).sum(axis=2) + (log2_counts(chosen_p) - log2_counts(chosen_q)).sum(axis=1)
        distortion_bits = code_length_bits(shown).sum(axis=2)  # (N, B)
        net_bits = distortion_bits + np.log2(chosen_q / chosen_p).sum(axis=1)
        kl_bits = [np.einsum("dbn,dbn->b", q * 0.5**COUNT_BITS, np.log2(q / one)) for one in p]
        mean_bits = np.log2(len(every)) - np.logaddexp2.reduce(-net_bits, axis=0)
        return _Trials(
            ink, p, choice_counts(logs.T), Costs(mean_bits, np.mean(kl_bits, axis=0), distortion_bits.mean(0))
        )

    def _ink(self, fields: Bits, k: Latents) -> Counts:
        """Counts of ink of all pixels of fields given their latents: (B, 784)."""

        def piece(bits: Bits, z: Integers) -> Counts:
            return ink_counts(self.model.pixels.logits(bits, self.model.decoder(z)))

        return in_pieces(PIECE, piece, fields, self.model.prior.values(k))

    def _push_pixels(self, fields: Bits, inside: Inside, ink: Counts) -> None:
        """Pixels of fields given their counts of ink (B, 784), in coding order, field by field at each pixel."""
        mask = _in_coding_order(inside)
        self.stack.push_bits(_in_coding_order(fields)[mask], _in_coding_order(ink)[mask])

    def _pop_pixels(self, k: Latents, inside: Inside) -> Bits:
        """The inverse of `_push_pixels`."""
        mask = _in_coding_order(inside)

        def decide(step: slice, logits: Integers) -> Bits:
            drawn = np.zeros(logits.shape, np.uint8)
            drawn[mask[step]] = self.stack.pop_bits(ink_counts(logits)[mask[step]])
            return drawn

        return self.model.pixels.draw(self.model.decoder(self.model.prior.values(k)), decide)

    def _push_code(self, prefix: PrefixCode, code: Number | Lattice) -> None:
        """A number or lattice coordinates, at the length that they have in a single file."""
        symbol = LATTICE
        if isinstance(code, Lattice):
            k = np.array([code.k])
            self._push_cells(k, self._prior_counts(k))
        else:
            symbol = code.n.bit_length() - 1
            behind = code.n - (1 << symbol)
            self.stack.push_uniform(behind & 0x7FFF, 1 << min(symbol, 15))
            self.stack.push_uniform(behind >> 15, 1 << max(symbol - 15, 0))
        self.stack.push_symbols(np.array([symbol]), _symbol_counts(prefix))

    def _pop_code(self, prefix: PrefixCode) -> Number | Lattice:
        """The inverse of `_push_code`."""
        symbol = int(self.stack.pop_symbols(_symbol_counts(prefix))[0])
        if symbol == BLANK:
            raise FormatError("a chain begins with a blank field, as none does: the file is damaged")
        if symbol == LATTICE:
            return Lattice(tuple(self._pop_latents(1)[0].tolist()))
        upper = self.stack.pop_uniform(1 << max(symbol - 15, 0))
        return Number(1 << symbol | upper << 15 | self.stack.pop_uniform(1 << min(symbol, 15)))


@dataclass(frozen=True)
class _Trials:
    """Of N samples of latents for B fields: counts of ink (N, B, 784), of all cells of p (N, D, B, cells), and in
    proportion to the weights (B, N); and what each field costs.
    """

    ink: Counts
    p: Counts
    counts: Counts
    costs: Costs


def _others(every: list[Latents], chosen: npt.NDArray[np.int64]) -> list[Latents]:
    """The samples that were not chosen, in order: N - 1 of (B, D)."""
    kept = np.arange(len(every) - 1)[:, None] + (np.arange(len(every) - 1)[:, None] >= chosen)  # (N - 1, B)
    return [*np.stack(every)[kept, np.arange(len(chosen))]]


def _with_picked(others: list[Latents], k: Latents, chosen: npt.NDArray[np.int64]) -> list[Latents]:
    """The inverse of `_others`, given the samples that were chosen (B, D)."""
    number = np.arange(len(others) + 1)[:, None]
    place = number - (number > chosen)  # (N, B); of the chosen one it is not used
    behind = np.stack([*others, k])[np.minimum(place, len(others)), np.arange(len(k))]
    return [*np.where((number == chosen)[..., None], k, behind)]


class _Remaining:
    """A multiset, sorted, of which one is taken after the other ("Compressing multisets with large alphabets using bits-back
    coding", Severo et al. 2022): taking pops log2(size / multiplicity) bits, putting back pushes them.
    """

    def __init__(self, values: list[bytes]) -> None:
        self._values = sorted(values)

    def pick(self, stack: Stack) -> bytes:
        """Removes one, chosen by bits of the stack."""
        place = stack.pop_uniform(len(self._values))
        value = self._values[place]
        first, end = self._run(value)
        stack.push_uniform(place - first, end - first)
        del self._values[place]
        return value

    def put_back(self, stack: Stack, value: bytes) -> None:
        """The inverse of `pick`."""
        self.insert(value)
        first, end = self._run(value)
        place = first + stack.pop_uniform(end - first)
        stack.push_uniform(place, len(self._values))

    def last(self) -> bytes:
        """Removes the last."""
        return self._values.pop()

    def insert(self, value: bytes) -> None:
        """Adds one."""
        bisect.insort(self._values, value)

    def fields(self) -> Bits:
        """All, sorted: (n, 28, 28)."""
        return _unpacked(self._values)

    def _run(self, value: bytes) -> tuple[int, int]:
        return bisect.bisect_left(self._values, value), bisect.bisect_right(self._values, value)


def _in_coding_order(fields: npt.NDArray[_Value]) -> npt.NDArray[_Value]:
    """Pixels in the order of the wavefront: (B, 28, 28) or (B, 784) -> (784, B)."""
    return fields.reshape(len(fields), _PIXELS)[:, WAVEFRONT].T


def _unpacked(values: list[bytes]) -> Bits:
    packed = np.frombuffer(b"".join(values), np.uint8).reshape(len(values), _PIXELS // 8)
    return np.unpackbits(packed, axis=1).reshape(-1, SIDE, SIDE)


def _distortion_bits(fields: Bits, inside: Inside, ink: Counts) -> Floats:
    """-log2 p(x|z) from counts of ink (B, 784): (B,)."""
    costs = code_length_bits(np.where(fields.reshape(ink.shape) == 1, ink, (1 << COUNT_BITS) - ink))
    bits: Floats = (costs * inside.reshape(ink.shape)).sum(axis=1)
    return bits


def _kind_counts(count: int, counted: Counted) -> Counts:
    """Counts of the kinds by their shares, for `count` symbols: (count, 3)."""
    shares = np.array([counted.blank, counted.raw]) * ((1 << COUNT_BITS) - 3) // count + 1
    return np.tile([(1 << COUNT_BITS) - int(shares.sum()), *shares], (count, 1))


def _symbol_counts(prefix: PrefixCode) -> Counts:
    """The lengths of a prefix code as counts: (1, symbols)."""
    return (1 << COUNT_BITS - np.array([prefix.lengths], np.int64)).astype(np.int64)


def _checksum(fields: Bits) -> int:
    """CRC-32 of the fields' pixels, packed; its lower 31 bits."""
    return zlib.crc32(np.packbits(fields).tobytes()) & 0x7FFFFFFF


def _check_bottom(stack: Stack, fields: Bits) -> None:
    if stack.bottom != _checksum(fields):
        raise FormatError(
            "what a chain decodes to fails its check: the file is damaged, or was made with another model"
        )
