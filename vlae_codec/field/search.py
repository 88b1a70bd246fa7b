"""Choosing each field's code: the codewords that `codebook` ranks best are decoded, scored, and one is taken.

In: fields (B, 28, 28) and which of their pixels lie inside the picture. Out: a `Choice` per field, the code of least
    J = L(code) - log2 p(x|z)
or, for a lossy file, where a bit of the code weighs a little more than one of the distortion, a code of nearly the least
J whose picture, the very one a decoder will draw, is closest to the original.
Lossless files are whole bytes, and which code makes the shortest is known only when its pixels are coded: their choices
come with runners-up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vlae_codec.coding.bits import PrefixCode
from vlae_codec.errors import Progress
from vlae_codec.exact.bins import Latents as Coordinates
from vlae_codec.exact.fixed import Integers, code_length_bits, ink_counts
from vlae_codec.exact.random_words import codeword_words
from vlae_codec.exact.threads import in_pieces
from vlae_codec.family import Sampling
from vlae_codec.picture.fields import Bits

from . import latents
from .codebook import Size, rank
from .latents import Blank, Code, Lattice, Number
from .memory import Found
from .model import Model
from .posterior import Posterior
from .texture import DRAW_PIECE, GROUP, PIECE, divisor, field_words, pixel_bits, sample_fields

_LATTICE_OVERHEAD_BITS = 16.0  # its length and the end of its stream
_RUNNERS_UP_BITS = 8.0  # of J, more than the least
_LOSSY_RATE_WEIGHT = 9 / 8  # codes a third of a bit shorter, for 0.02 bit more of code and distortion together


class Effort(NamedTuple):
    """A size of search, and how many of the codewords that it ranks best are decoded and `scored`.

    Among those whose J is within `slack_bits` of the best, a lossy file takes the one whose picture is closest.
    """

    size: Size
    scored: int
    slack_bits: float


EFFORTS = (
    Effort(Size(12), 2, 0.0),
    Effort(Size(14), 4, 0.5),
    Effort(Size(16), 8, 0.5),
    Effort(Size(17), 12, 0.5),
    Effort(Size(17, 500), 16, 0.5),
    Effort(Size(17, 1500), 24, 1.0),
    Effort(Size(17, 3000), 32, 1.0),
    Effort(Size(17, 6000), 48, 1.0),
    Effort(Size(17, 12000), 64, 1.0),
    Effort(Size(17, 30000), 128, 1.0),
)
"""By effort 0..9."""


@dataclass(frozen=True)
class Choice:
    """The code chosen for a field, with its cost: bits of the code, -log2 p(x|z) to 0.01 bit, and the KL.

    `runners_up`, for a lossless file, are others of little more J, in its order.
    """

    code: Code
    code_bits: float
    distortion_bits: float
    kl_bits: float
    differing: int = 0
    runners_up: tuple[Choice, ...] = ()


@dataclass(frozen=True)
class Search:
    """A way to choose codes: of which model, at which effort, 0 to 9, and whether for a lossy file."""

    model: Model
    effort: int
    lossy: bool

    @cached_property
    def prefix(self) -> PrefixCode:
        """The model's prefix code."""
        return PrefixCode(self.model.octave_lengths)

    def choices(
        self,
        fields: Bits,
        inside: npt.NDArray[np.bool_],
        index: npt.NDArray[np.int64],
        progress: Progress | None = None,
    ) -> list[Choice]:
        """The codes of fields (n, 28, 28); `index` is each field's place in its picture.

        They are searched for group by group, so that memory stays small.
        """
        found: list[Choice] = []
        for start in range(0, len(fields), GROUP):
            if progress and len(fields) > 1:
                progress("compressing", len(found), len(fields))
            group = slice(start, start + GROUP)
            found += self._group(fields[group], inside[group], index[group], progress)
        if progress and len(fields) > 1:
            progress("compressing", len(found), len(fields))
        return found

    def _group(
        self,
        fields: Bits,
        inside: npt.NDArray[np.bool_],
        index: npt.NDArray[np.int64],
        progress: Progress | None,
    ) -> list[Choice]:
        model, prefix = self.model, self.prefix
        choices = [Choice(Blank(), prefix.lengths[latents.BLANK], 0.0, 0.0)] * len(fields)
        inked = np.flatnonzero(fields.any(axis=(1, 2)))
        if not len(inked):
            return choices
        fields, inside = fields[inked], inside[inked]
        posterior = Posterior.of(model, fields)
        _, best, slack_bits = EFFORTS[self.effort]
        find = partial(self._find, progress)
        found = model.memory.found(self.effort, fields, inside, find) if model.memory else find(fields, inside)
        numbers, lattice, k, code_bits, distortion = found
        total = (_LOSSY_RATE_WEIGHT if self.lossy else 1) * code_bits + distortion
        total[:, best] += _LATTICE_OVERHEAD_BITS

        def code(row: int, column: int) -> Number | Lattice:
            return Number(int(numbers[row, column])) if column < best else Lattice(tuple(lattice[row].tolist()))

        chosen, differing = total.argmin(axis=1), np.zeros(len(fields), np.int64)
        if self.lossy:
            close = total <= total.min(axis=1, keepdims=True) + slack_bits
            chosen, differing = _closest(posterior, code, k, close, fields, inside, index[inked])
        kl_bits = posterior.rate_bits()

        def choice(row: int, column: int, runners_up: tuple[Choice, ...] = ()) -> Choice:
            costs_bits = float(code_bits[row, column]), float(distortion[row, column]), float(kl_bits[row])
            return Choice(code(row, column), *costs_bits, int(differing[row]), runners_up)

        def runners_up(row: int) -> tuple[Choice, ...]:
            near = int((total[row] <= total[row].min() + _RUNNERS_UP_BITS).sum())
            return tuple(choice(row, column) for column in total[row].argsort(kind="stable").tolist()[1:near])

        for row, (place, column) in enumerate(zip(inked, chosen.tolist(), strict=True)):
            choices[place] = choice(row, column, () if self.lossy else runners_up(row))
        return choices

    def _find(self, progress: Progress | None, fields: Bits, inside: npt.NDArray[np.bool_]) -> Found:
        """The candidates for fields with ink, and what they cost: the same for lossy files and for lossless ones."""
        model, (size, best, _) = self.model, EFFORTS[self.effort]
        posterior = Posterior.of(model, fields)
        numbers, lattice = rank(self.prefix, posterior, size, best, progress), posterior.nearest()
        k = np.concatenate([_codewords(model, numbers), lattice[:, None]], axis=1)
        lattice_bits = _lattice_bits(model, self.prefix, lattice)
        code_bits = np.concatenate([self.prefix.number_bits(numbers), lattice_bits[:, None]], axis=1)
        return Found(numbers, lattice, k, code_bits, _distortions(model, fields, inside, k, code_bits))


def _distortions(
    model: Model,
    fields: Bits,
    inside: npt.NDArray[np.bool_],
    k: Coordinates,
    code_bits: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """-log2 p(x|z) of candidates k (B, N, D), the last of them the lattice code, to 0.01 bit: (B, N).

    The lattice code's is infinite, and not computed, where it would lose with half the distortion of the best number: it
    never gets much below that.
    """

    def score(rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        return distortion_bits(model.rough, fields[rows], inside[rows], k[rows, columns])

    found = np.full(code_bits.shape, np.inf)
    rows, columns = np.indices((len(k), k.shape[1] - 1)).reshape(2, -1)
    found[rows, columns] = score(rows, columns)
    least_bits = code_bits[:, -1] + found.min(axis=1) / 2
    unfit = np.flatnonzero(least_bits < (code_bits + found).min(axis=1))
    if len(unfit):
        found[unfit, -1] = score(unfit, np.full_like(unfit, -1))
    return found


def _codewords(model: Model, numbers: npt.NDArray[np.int64]) -> Coordinates:
    """The lattice coordinates of numbers (B, N): (B, N, D)."""
    prior = model.prior
    words = np.stack([codeword_words(n, prior.latents, prior.split) for n in numbers.ravel().tolist()])
    return in_pieces(256, prior.sample, words).reshape(*numbers.shape, -1)


def _lattice_bits(model: Model, prefix: PrefixCode, k: Coordinates) -> npt.NDArray[np.float64]:
    """The information in lattice codes: (B, D) -> (B,) bits."""
    bits: npt.NDArray[np.float64] = code_length_bits(model.prior.counts(k)).sum(axis=1)
    return bits + prefix.lengths[latents.LATTICE]


def distortion_bits(
    model: Model, fields: Bits, inside: npt.NDArray[np.bool_], k: Coordinates
) -> npt.NDArray[np.float64]:
    """-log2 p(x|z) over the pixels inside, for fields (B, 28, 28) and lattice coordinates (B, D): (B,) bits."""

    def piece(bits: Bits, mask: npt.NDArray[np.bool_], z: Integers) -> npt.NDArray[np.float64]:
        return pixel_bits(ink_counts(model.pixels.logits(bits, model.decoder(z))), bits, mask)

    return in_pieces(PIECE, piece, fields, inside, model.prior.values(k))


def _closest(
    posterior: Posterior,
    code: Callable[[int, int], Number | Lattice],
    k: Coordinates,
    close: npt.NDArray[np.bool_],
    fields: Bits,
    inside: npt.NDArray[np.bool_],
    index: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64]]:
    """Of the candidates marked in `close` (B, N), the column whose picture is closest, and its differing pixels.

    Closest as the encoder sees it: the picture's posterior mean is held against the field's own, in units of its sigma.
    """
    model, (rows, columns) = posterior.model, np.nonzero(close)
    first = Sampling()
    words = [
        field_words(first, code(row, column), int(index[row]))
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    ]
    z = model.prior.values(k[rows, columns])
    divisors = np.full(len(z), divisor(first))

    def draw(z: Integers, *given: npt.NDArray[Any]) -> Bits:
        return sample_fields(model, model.decoder(z), *given)

    drawn = in_pieces(DRAW_PIECE, draw, z, divisors, np.stack(words), inside[rows])
    distance, differing = np.where(close, 0.0, np.inf), np.zeros(close.shape, np.int64)
    differing[rows, columns] = (drawn != fields[rows]).sum(axis=(1, 2))
    if len(torn := np.flatnonzero(close.sum(axis=1)[rows] > 1)):
        own = rows[torn]
        off = (Posterior.of(model, drawn[torn]).mu - posterior.mu[own]) / posterior.sigma[own]
        distance[own, columns[torn]] = (off**2).sum(axis=1)
    best = distance.argmin(axis=1)
    return best, differing[np.arange(len(best)), best]
