"""Bits-back coding, step by step: pairs of functions that undo each other on one bit stack (Chen et al. 2016, Eq. 5-7).

    push_batch:  pop k ~ q(k|x),  push x with p(x|k),  push k with p(k)            for a batch of fields x
    pop_batch:   pop k with p(k),  pop x with p(x|k),  push k back with q(k|x)

A field thus costs KL(q || p) - log2 p(x|k), minus the ELBO, on a real stack (BB-ANS, Townsend et al. 2019). Several samples
of q for each field recover part of what the ELBO leaves (Ruan et al. 2021, "Improving lossless compression rates via Monte
Carlo bits-back coding", BB-IS): pop k_1 .. k_N, pop one of them by its weight w_i = p(x, k_i) / q(k_i|x), push the others
back, and a number below N: the cost is -log2 of the mean weight.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import fields as entries

import numpy as np
import numpy.typing as npt

from vlae_codec.coding.bits import PrefixCode
from vlae_codec.coding.entropy import Stack
from vlae_codec.errors import FormatError
from vlae_codec.exact.bins import Counts, Latents
from vlae_codec.exact.fixed import COUNT_BITS, Integers, choice_counts, code_length_bits, ink_counts, log2_counts
from vlae_codec.picture.fields import Bits, in_coding_order

from . import latents
from .latents import BLANK, LATTICE, Blank, Lattice, Number
from .model import Model
from .posterior import Posterior
from .prior import Conditional
from .search import Search
from .texture import known_ink, pixel_bits, shown_counts

_START_EFFORT = 0
_HALF = 1 << COUNT_BITS - 1
Inside = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


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
class Coder:
    """Pairs of steps that undo each other on one stack."""

    model: Model
    stack: Stack
    tally: Tally

    def push_batch(self, fields: Bits, inside: Inside, samples: int = 1) -> Costs:
        """Fields (B, 28, 28), bits-back: what each costs. If the stack is exhausted half-way, all stops there."""
        q = Posterior.of(self.model, fields).counts()
        with self.tally.counting("popped_bits", self.stack):
            every = [self._pop_cells(q) for _ in range(samples)]
            if self.stack.exhausted:
                return Costs.joined([])
            trials = self._trials(fields, inside, every, q)
            chosen = self.stack.pop_symbols(trials.counts) if samples > 1 else np.zeros(len(fields), np.int64)
            for k in reversed(_others(every, chosen)):
                self._push_cells(k, q)
            if self.stack.exhausted:  # as `pop_batch` will ask
                return Costs.joined([])
        rows = np.arange(len(fields))
        with self.tally.counting("pixel_bits", self.stack):
            self._push_pixels(fields, inside, trials.ink[chosen, rows])
        with self.tally.counting("latent_bits", self.stack):
            self._push_cells(np.stack(every)[chosen, rows], trials.p[chosen, :, rows].transpose(1, 0, 2))
            self._push_number(chosen, samples)
        return trials.costs

    def pop_batch(self, inside: Inside, samples: int = 1) -> Bits:
        """The inverse of `push_batch`.

        Raises:
            FormatError: the stack held less than what was popped, or is exhausted where `push_batch` asks whether it is.
        """
        chosen = self._pop_number(len(inside), samples)
        k = self._pop_latents(len(inside))
        fields = self._pop_pixels(k, inside)
        q = Posterior.of(self.model, fields).counts()
        every = _with_picked([self._pop_cells(q) for _ in range(samples - 1)], k, chosen)
        if samples > 1:
            self.stack.push_symbols(chosen, self._trials(fields, inside, every, q).counts)
            if (
                self.stack.exhausted
            ):  # symbols popped of nothing cost nothing, but pushed again they would make the stack grow
                raise _too_short()
        for k in reversed(every):
            self._push_cells(k, q)
        return fields

    def push_first(self, field: Bits, inside: Inside) -> Costs:
        """One field (28, 28) with the code of a single file; one without ink, as only sets have here, with a lattice's."""
        search, one, prior = (
            Search(self.model, _START_EFFORT, lossy=False),
            (field[None], inside[None]),
            self.model.prior,
        )
        code = search.choices(*one, np.zeros(1, np.int64))[0].code
        posterior, before = Posterior.of(self.model, field[None]), self.stack.bits
        if isinstance(code, Blank):
            code = Lattice(tuple(posterior.nearest()[0].tolist()))
        with self.tally.counting("pixel_bits", self.stack):
            ink = self._ink(field[None], latents.coordinates([code], prior))
            self._push_pixels(*one, ink)
        with self.tally.counting("start_bits", self.stack):
            self._push_code(search.prefix, code)
        return Costs(np.array([self.stack.bits - before]), posterior.rate_bits(), pixel_bits(ink, *one))

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
        """The inverse of `push_raw`.

        Raises:
            FormatError: the stack holds less.
        """
        count = int(inside.sum())
        if count > self.stack.bits:
            raise _too_short()
        fields = np.zeros(inside.shape, np.uint8)
        fields[inside] = self.stack.pop_bits(np.full(count, _HALF))
        return fields

    def push_kinds(self, kinds: npt.NDArray[np.int64], counted: Counted) -> None:
        """Which field is of which kind, at the rate of their shares."""
        with self.tally.counting("kind_bits", self.stack):
            if counted.blank or counted.raw:
                self.stack.push_symbols(kinds, kind_counts(len(kinds), counted))

    def pop_kinds(self, count: int, counted: Counted) -> npt.NDArray[np.int64]:
        """The inverse of `push_kinds`."""
        if counted.blank + counted.raw > count:
            raise FormatError("the archive claims more fields of a kind than there are: it is damaged")
        if not (counted.blank or counted.raw):
            return np.full(count, Kind.CODED, np.int64)
        return self.stack.pop_symbols(kind_counts(count, counted))

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

    def _trials(self, fields: Bits, inside: Inside, every: list[Latents], q: Counts) -> Trials:
        """What each sample of latents is worth for the fields."""
        ink = np.stack([self._ink(fields, k) for k in every])
        p = np.stack([self._prior_counts(k) for k in every])
        cells = np.stack([self._cell(k) for k in every])  # (N, D, B, 1)
        shown = shown_counts(ink, fields, inside)  # (N, B, 784)
        chosen_p = np.take_along_axis(p, cells, axis=3)[..., 0]  # (N, D, B)
        chosen_q = np.take_along_axis(np.broadcast_to(q, p.shape), cells, axis=3)[..., 0]
        logs = log2_counts(shown).sum(axis=2) + (log2_counts(chosen_p) - log2_counts(chosen_q)).sum(axis=1)
        distortion_bits = code_length_bits(shown).sum(axis=2)  # (N, B)
        net_bits = distortion_bits + np.log2(chosen_q / chosen_p).sum(axis=1)
        kl_bits = [np.einsum("dbn,dbn->b", q * 0.5**COUNT_BITS, np.log2(q / one)) for one in p]
        mean_bits = np.log2(len(every)) - np.logaddexp2.reduce(-net_bits, axis=0)
        return Trials(
            ink, p, choice_counts(logs.T), Costs(mean_bits, np.mean(kl_bits, axis=0), distortion_bits.mean(0))
        )

    def _ink(self, fields: Bits, k: Latents) -> Counts:
        """Counts of ink of all pixels of fields given their latents: (B, 784)."""
        return known_ink(self.model, fields, self.model.prior.values(k))

    def _push_pixels(self, fields: Bits, inside: Inside, ink: Counts) -> None:
        """Pixels of fields given their counts of ink (B, 784), in coding order, field by field at each pixel."""
        mask = in_coding_order(inside)
        self.stack.push_bits(in_coding_order(fields)[mask], in_coding_order(ink)[mask])

    def _pop_pixels(self, k: Latents, inside: Inside) -> Bits:
        """The inverse of `_push_pixels`.

        Raises:
            FormatError: the stack held less, so that what was popped is nobody's: a few bytes cannot claim many fields.
        """
        mask = in_coding_order(inside)

        def decide(step: slice, logits: Integers) -> Bits:
            drawn = np.zeros(logits.shape, np.uint8)
            drawn[mask[step]] = self.stack.pop_bits(ink_counts(logits)[mask[step]])
            return drawn

        fields = self.model.pixels.draw(self.model.decoder(self.model.prior.values(k)), decide)
        if self.stack.exhausted:
            raise _too_short()
        return fields

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
class Trials:
    """Of N samples of latents for B fields: counts of ink (N, B, 784), of all cells of p (N, D, B, cells), and in
    proportion to the weights (B, N); and what each field costs.
    """

    ink: Counts
    p: Counts
    counts: Counts
    costs: Costs


def _too_short() -> FormatError:
    return FormatError("a chain ends before the fields that the archive claims: the file is damaged")


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


def kind_counts(count: int, counted: Counted) -> Counts:
    """Counts of the kinds by their shares, for `count` symbols: (count, 3)."""
    blank, raw = (kind * ((1 << COUNT_BITS) - 3) // count + 1 for kind in (counted.blank, counted.raw))
    return np.tile(np.array([(1 << COUNT_BITS) - blank - raw, blank, raw], np.int64), (count, 1))


def _symbol_counts(prefix: PrefixCode) -> Counts:
    """The lengths of a prefix code as counts: (1, symbols)."""
    return (1 << COUNT_BITS - np.array([prefix.lengths], np.int64)).astype(np.int64)
