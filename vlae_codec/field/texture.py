"""The pixels of fields given their latents: stored ones read, others drawn, and stored ones written.

All visit pixels in `CODING_ORDER`, fields in groups of 64. A pixel that a file does not hold is ink if its shared
pseudo-random word is below its count of ink: the same file gives the same picture everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vlae_codec.coding.bits import Stream
from vlae_codec.coding.entropy import Decoder, Encoder, PrefixDecoder
from vlae_codec.exact.fixed import COUNT_BITS, Integers, code_length_bits, ink_counts
from vlae_codec.exact.random_words import pixel_words
from vlae_codec.exact.threads import in_pieces
from vlae_codec.family import Sampling
from vlae_codec.picture.fields import SIDE, Bits, in_coding_order

from . import latents
from .latents import Blank, Code, Lattice, Number
from .model import Model

GROUP = 64
"""Fields that are coded together; part of the format."""
PIECE, DRAW_PIECE = 8, 64
"""Fields that a thread scores, and draws, at a time."""
_UNIT = 256.0  # of divisors: a temperature of 1
_FARTHEST = 2.0**20  # logits beyond this are certain at any temperature


def divisor(sampling: Sampling) -> int:
    """The temperature in 1/256, as logits are divided by it; 1 unless one is asked for."""
    return round((1.0 if sampling.temperature is None else sampling.temperature) * _UNIT)


def drawn_counts(logits: Integers, divisors: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Counts of ink of pixels that are drawn, given logits (n, B) and the `divisor` of each field's sampling (B,)."""
    if (divisors == _UNIT).all():
        return ink_counts(logits)
    likelier = np.sign(logits) * _FARTHEST
    cooled = np.floor(logits * _UNIT / divisors.clip(1)).clip(-_FARTHEST, _FARTHEST)
    return ink_counts(np.where(divisors, cooled, likelier))


def field_words(sampling: Sampling, code: Code, index: int) -> npt.NDArray[np.int64]:
    """The words that draw the pixels of field `index`, in raster order: (784,)."""
    return pixel_words(sampling.seed, code.identity << 24 | index, SIDE * SIDE)


def sample_fields(
    model: Model,
    context: Integers,
    divisors: npt.NDArray[np.int64],
    words: npt.NDArray[np.int64],
    inside: npt.NDArray[np.bool_],
) -> Bits:
    """Fields drawn given the decoder's context (B, 28, 28, C), with words (B, 784): (B, 28, 28).

    Pixels outside the picture are paper. `divisors` (B,) are those of each field's sampling.
    """
    ordered, mask = in_coding_order(words), in_coding_order(inside)

    def decide(step: slice, logits: Integers) -> Bits:
        return ((ordered[step] < drawn_counts(logits, divisors)) & mask[step]).astype(np.uint8)

    return model.pixels.draw(context, decide)


class PixelReader:
    """Hands out a file's stored pixels in coding order; `exact` counts them.

    Args:
        stored: the pixels' stream, or None for a lossy file, which has none.
        whole: that the section is all there. If not, pixels that its beginning does not determine are drawn.
    """

    def __init__(self, stored: Stream | None, whole: bool) -> None:
        self.exact = 0
        self.empty = stored is None
        stream = stored or Stream(b"")
        self._decoder = Decoder(stream.joined()) if whole else PrefixDecoder(stream)

    def read(self, ink: npt.NDArray[np.int64], drawn: Bits) -> Bits:
        """The next pixels (n,), given their counts of ink: stored ones, then those in `drawn`."""
        if self.empty:
            return drawn
        known = self._decoder.get_bits(ink)
        self.exact += len(known)
        return np.concatenate([known, drawn[len(known) :]])


@dataclass(frozen=True)
class Stored:
    """Where the pixels of fields are stored: `owner` (B, S) is the place of each field's reader for each sampling."""

    readers: Sequence[PixelReader]
    owner: npt.NDArray[np.intp]


def decode_fields(
    model: Model,
    samplings: Sequence[Sampling],
    codes: Sequence[Code],
    index: npt.NDArray[np.int64],
    inside: npt.NDArray[np.bool_],
    stored: Stored | None = None,
) -> Bits:
    """The fields of B codes for each of S samplings, pixels that are `stored` read and all others drawn: (B, S, 28, 28).

    `index` is the place of each field in its picture, `inside` which of its pixels lie in it.
    """
    many = len(samplings)
    fields = np.zeros((len(codes), many, SIDE, SIDE), np.uint8)
    inked = np.array([not isinstance(code, Blank) for code in codes], np.bool_)
    if not inked.any():
        return fields
    coded, inside = [code for code in codes if not isinstance(code, Blank)], inside[inked]
    places, z = index[inked].tolist(), _values(model, coded)
    divisors = np.array([divisor(sampling) for sampling in samplings])

    def draw(some: npt.NDArray[np.int64]) -> Bits:
        own, by = np.divmod(some, many)
        words = [field_words(samplings[s], coded[n], places[n]) for n, s in zip(own.tolist(), by.tolist(), strict=True)]
        first = own[0]  # the context of a field is worked out once, however many pictures are drawn from it
        context = model.decoder(z[first : own[-1] + 1])[own - first]
        if stored is None:
            return sample_fields(model, context, divisors[by], np.stack(words), inside[own])
        owner = stored.owner[inked].ravel()
        return _read_fields(model, context, divisors[by], Stored(stored.readers, owner), np.stack(words), inside[own])

    together = len(coded) * many if stored else DRAW_PIECE  # what readers hand out has an order
    fields[inked] = in_pieces(together, draw, np.arange(len(coded) * many)).reshape(-1, many, SIDE, SIDE)
    return fields


def _read_fields(
    model: Model,
    context: Integers,
    divisors: npt.NDArray[np.int64],
    stored: Stored,
    words: npt.NDArray[np.int64],
    inside: npt.NDArray[np.bool_],
) -> Bits:
    """As `sample_fields`, with what the readers have stored; here `stored.owner` is (B,)."""
    ordered, mask = in_coding_order(words), in_coding_order(inside)
    columns = [np.flatnonzero(stored.owner == n) for n in range(len(stored.readers))]

    def decide(step: slice, logits: Integers) -> Bits:
        bits = np.zeros(logits.shape, np.uint8)
        ink, drawn = ink_counts(logits), (ordered[step] < drawn_counts(logits, divisors)).astype(np.uint8)
        for reader, own in zip(stored.readers, columns, strict=True):
            coded = mask[step][:, own]
            part = np.zeros(coded.shape, np.uint8)
            part[coded] = reader.read(ink[:, own][coded], drawn[:, own][coded])
            bits[:, own] = part
        return bits

    return model.pixels.draw(context, decide)


def known_ink(model: Model, fields: Bits, z: Integers) -> npt.NDArray[np.int64]:
    """Counts of ink of all pixels of known fields given z (B, D): (B, 784) in raster order."""

    def piece(some: Bits, given: Integers) -> npt.NDArray[np.int64]:
        return ink_counts(model.pixels.logits(some, model.decoder(given)))

    return in_pieces(PIECE, piece, fields, z)


def shown_counts(ink: npt.NDArray[np.int64], fields: Bits, inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Counts of what fields (B, 28, 28) show, where counts of ink are (..., B, 784); all 2^24 for pixels outside."""
    bits, mask = fields.reshape(len(fields), -1), inside.reshape(len(inside), -1)
    return np.where(mask, np.where(bits == 1, ink, (1 << COUNT_BITS) - ink), 1 << COUNT_BITS)


def pixel_bits(ink: npt.NDArray[np.int64], fields: Bits, inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """-log2 p(x|z) over the pixels inside, from counts of ink (..., B, 784): (..., B)."""
    bits: npt.NDArray[np.float64] = code_length_bits(shown_counts(ink, fields, inside)).sum(axis=-1)
    return bits


def write_pixels(model: Model, codes: Sequence[Code], lead: int, fields: Bits, inside: npt.NDArray[np.bool_]) -> Stream:
    """Range-codes the pixels of all fields given their latents, as `decode_fields` reads them: `lead` bits, and bytes."""
    encoder = Encoder()
    for start in range(0, len(codes), GROUP):
        coded = [code for code in codes[start : start + GROUP] if not isinstance(code, Blank)]
        if not coded:
            continue
        inked = [start + i for i, code in enumerate(codes[start : start + GROUP]) if not isinstance(code, Blank)]
        _put_pixels(encoder, known_ink(model, fields[inked], _values(model, coded)), fields[inked], inside[inked])
    return encoder.finish(lead)


def write_shortest(
    model: Model,
    codes: Sequence[Number | Lattice],
    sizes_bits: npt.NDArray[np.int64],
    field: Bits,
    inside: npt.NDArray[np.bool_],
) -> tuple[int, Stream]:
    """The code (its index) that with the pixels of a field (1, 28, 28) makes the fewest bytes, and their stream.

    `sizes_bits` are those of the codes. They are tried in the order of the bytes that they and the pixels' information
    need: it takes no more, and at best one less.
    """
    ink = known_ink(model, field.repeat(len(codes), axis=0), _values(model, codes))
    needed = np.ceil((sizes_bits + pixel_bits(ink, field, inside)) / 8).astype(np.int64)
    best, shortest, stream = 0, 1 << 62, Stream(b"")
    for index in np.argsort(needed, kind="stable").tolist():
        if needed[index] > shortest:
            break
        encoder = Encoder()
        _put_pixels(encoder, ink[index : index + 1], field, inside)
        tried = encoder.finish(int(-sizes_bits[index] % 8))
        if (size := -(-int(sizes_bits[index]) // 8) + len(tried.rest)) < shortest:
            best, shortest, stream = index, size, tried
    return best, stream


def _values(model: Model, codes: Sequence[Number | Lattice]) -> Integers:
    return model.prior.values(latents.coordinates(codes, model.prior))


def _put_pixels(encoder: Encoder, ink: npt.NDArray[np.int64], fields: Bits, inside: npt.NDArray[np.bool_]) -> None:
    """Codes the pixels inside of fields (B, 28, 28) with their counts of ink (B, 784)."""
    mask = in_coding_order(inside)
    encoder.put_bits(in_coding_order(fields)[mask], in_coding_order(ink)[mask])
