"""The pixels of fields given their latents: stored ones read, others drawn, and stored ones written.

All visit pixels in `WAVEFRONT` order, fields in groups of 64. A pixel that a file does not hold is ink if its shared
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
from vlae_codec.exact.random_words import SEED_LIMIT, pixel_words
from vlae_codec.exact.threads import in_pieces
from vlae_codec.picture.fields import SIDE, Bits, in_coding_order

from . import latents
from .latents import Blank, Code, Lattice, Number
from .model import Model

GROUP = 64
"""Fields that are coded together; part of the format."""
PIECE, DRAW_PIECE = 8, 64
"""Fields that a thread scores, and draws, at a time."""
_HOTTEST = 16.0
_FARTHEST = 2.0**20  # logits beyond this are certain at any temperature


@dataclass(frozen=True)
class Sampling:
    """How pixels that a file does not hold are drawn: texture seed and temperature (0: the likelier value).

    Raises:
        ValueError: the seed is not in 0 .. 2^63 - 2, or the temperature not in 0 .. 16.
    """

    seed: int = 0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < SEED_LIMIT:
            raise ValueError(f"a seed must be 0 to 2^63 - 2, not {self.seed}")
        if not 0.0 <= self.temperature <= _HOTTEST:
            raise ValueError(f"a temperature must be 0 to {_HOTTEST:.0f}, not {self.temperature}")

    def ink_counts(self, logits: Integers) -> npt.NDArray[np.int64]:
        """Counts of ink of pixels that are drawn. The temperature is taken in 1/256."""
        if self.temperature == 1.0:
            return ink_counts(logits)
        divisor = round(self.temperature * 256)
        if divisor == 0:
            return ink_counts(np.sign(logits) * _FARTHEST)
        return ink_counts(np.floor(logits * 256.0 / divisor).clip(-_FARTHEST, _FARTHEST))


def field_words(sampling: Sampling, code: Code, index: int) -> npt.NDArray[np.int64]:
    """The words that draw the pixels of field `index`, in raster order: (784,)."""
    return pixel_words(sampling.seed, code.identity << 24 | index, SIDE * SIDE)


def sample_fields(
    model: Model, sampling: Sampling, z: Integers, words: npt.NDArray[np.int64], inside: npt.NDArray[np.bool_]
) -> Bits:
    """Fields drawn given z (B, D), with words (B, 784); pixels outside the picture are paper: (B, 28, 28)."""
    ordered, mask = in_coding_order(words), in_coding_order(inside)

    def decide(step: slice, logits: Integers) -> Bits:
        return ((ordered[step] < sampling.ink_counts(logits)) & mask[step]).astype(np.uint8)

    return model.pixels.draw(model.decoder(z), decide)


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
    """Where the pixels of fields are stored: `owner` (B,) is the place of each field's reader."""

    readers: Sequence[PixelReader]
    owner: npt.NDArray[np.intp]


def decode_fields(
    model: Model,
    sampling: Sampling,
    codes: Sequence[Code],
    index: npt.NDArray[np.int64],
    inside: npt.NDArray[np.bool_],
    stored: Stored | None = None,
) -> Bits:
    """The fields of codes, pixels that are `stored` read and all others drawn: (B, 28, 28).

    `index` is the place of each field in its picture, `inside` which of its pixels lie in it.
    """
    fields = np.zeros((len(codes), SIDE, SIDE), np.uint8)
    inked = np.array([not isinstance(code, Blank) for code in codes], np.bool_)
    if not inked.any():
        return fields
    coded, inside = [code for code in codes if not isinstance(code, Blank)], inside[inked]
    places, z = index[inked].tolist(), _values(model, coded)

    def draw(some: npt.NDArray[np.int64], z: Integers, inside: npt.NDArray[np.bool_]) -> Bits:
        words = np.stack([field_words(sampling, coded[n], places[n]) for n in some.tolist()])
        if stored is None:
            return sample_fields(model, sampling, z, words, inside)
        return _read_fields(model, sampling, Stored(stored.readers, stored.owner[inked]), z, words, inside)

    together = len(coded) if stored else DRAW_PIECE  # what readers hand out has an order
    fields[inked] = in_pieces(together, draw, np.arange(len(coded)), z, inside)
    return fields


def _read_fields(
    model: Model,
    sampling: Sampling,
    stored: Stored,
    z: Integers,
    words: npt.NDArray[np.int64],
    inside: npt.NDArray[np.bool_],
) -> Bits:
    """As `sample_fields`, with what the readers have stored."""
    ordered, mask = in_coding_order(words), in_coding_order(inside)
    columns = [np.flatnonzero(stored.owner == n) for n in range(len(stored.readers))]

    def decide(step: slice, logits: Integers) -> Bits:
        bits = np.zeros(logits.shape, np.uint8)
        ink, drawn = ink_counts(logits), (ordered[step] < sampling.ink_counts(logits)).astype(np.uint8)
        for reader, own in zip(stored.readers, columns, strict=True):
            coded = mask[step][:, own]
            part = np.zeros(coded.shape, np.uint8)
            part[coded] = reader.read(ink[:, own][coded], drawn[:, own][coded])
            bits[:, own] = part
        return bits

    return model.pixels.draw(model.decoder(z), decide)


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
