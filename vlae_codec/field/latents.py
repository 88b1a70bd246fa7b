"""Latent codes, one per field, and the latent section of a file.

A field's code is one of
- `Number(n)`: codeword n >= 1 of the model's codebook, whose words are looked up in the prior's CDFs;
- `Lattice(k)`: the lattice coordinates themselves, for a field that no codeword fits;
- `Blank()`: a field without ink; no latents, no pixels.

Section: one prefix-coded symbol per field, most significant bit first. The bits left of the last byte are zero, or in a
lossless file the first of its pixels. Symbols
0 .. OCTAVES - 1 are followed by that many bits: number 2^octave + bits. LATTICE and BLANK stand alone. If there are lattice
fields, then a varint length and one range-coded stream of all their coordinates.

Nothing but the prefix code is decoded before the section's check has been verified: see `Section`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from vlae_codec.coding.bits import LONGEST_SYMBOL_BITS, BitReader, BitWriter, PrefixCode, Stream, read_varint, varint
from vlae_codec.coding.entropy import Decoder, Encoder
from vlae_codec.errors import FormatError, Progress, TruncatedError
from vlae_codec.exact.bins import Latents as Coordinates
from vlae_codec.exact.random_words import codeword_words

from .prior import Conditional, Prior

OCTAVES = 30
LATTICE = OCTAVES
BLANK = OCTAVES + 1
SYMBOLS = OCTAVES + 2
LATTICE_GROUP = 64


@dataclass(frozen=True)
class Number:
    """Codeword number n, 1 <= n < 2^30."""

    n: int

    @property
    def identity(self) -> int:
        """What keys the pixel words of this field, 64 bits with the field's index."""
        return self.n


@dataclass(frozen=True)
class Lattice:
    """Lattice coordinates k, one per latent."""

    k: tuple[int, ...]

    @property
    def identity(self) -> int:
        """See `Number.identity`; beyond all numbers."""
        return 1 << 32 | zlib.crc32(struct.pack(f"<{len(self.k)}h", *self.k))


@dataclass(frozen=True)
class Blank:
    """A field without ink."""

    identity = 0


Code = Number | Lattice | Blank


def coordinates(codes: Sequence[Number | Lattice], prior: Prior) -> Coordinates:
    """The lattice coordinates that the codes stand for: (B, D) int64."""
    k = np.zeros((len(codes), prior.latents), np.int64)
    numbered = [i for i, code in enumerate(codes) if isinstance(code, Number)]
    if numbered:
        words = [codeword_words(code.n, prior.latents, prior.split) for code in codes if isinstance(code, Number)]
        k[numbered] = prior.sample(np.stack(words))
    for i, code in enumerate(codes):
        if isinstance(code, Lattice):
            k[i] = code.k
    return k


def write(codes: Sequence[Code], prefix: PrefixCode, prior: Prior, padding: int = 0) -> bytes:
    """The latent section of a file; `padding` is what its `padding_length` bits hold, as a number."""
    bits = BitWriter()
    for code in codes:
        symbol = _symbol(code)
        bits.put(*prefix.words[symbol])
        if isinstance(code, Number):
            bits.put(code.n - (1 << symbol), symbol)
    section = bits.getvalue(padding)
    if lattice := [code for code in codes if isinstance(code, Lattice)]:
        coded = write_coordinates(np.array([code.k for code in lattice]), prior)
        section += varint(len(coded)) + coded
    return section


def coded_bits(section: bytes, codes: Sequence[Code], prefix: PrefixCode) -> int:
    """What a latent section holds without its padding: the symbols, the bits behind them, and the lattice stream."""
    return 8 * len(section) - padding_length(codes, prefix)


def padding_length(codes: Sequence[Code], prefix: PrefixCode) -> int:
    """The bits that a latent section leaves of the last byte of its symbols."""
    symbols = [_symbol(code) for code in codes]
    return -sum(prefix.lengths[symbol] + (symbol if symbol < OCTAVES else 0) for symbol in symbols) % 8


@dataclass(frozen=True)
class Section:
    """A latent section as read: None stands for a lattice field, whose coordinates are still coded in `lattice`.

    `padding` are the bits left of the last byte of symbols: those that a lossless file's pixels begin with.
    """

    symbols: list[Code | None]
    padding: Stream
    lattice: bytes
    end: int

    def check_padding(self) -> None:
        """Refuses padding that holds something, where it is nobody's.

        Raises:
            FormatError: it does.
        """
        if self.padding.first:
            raise FormatError("the padding of the latent section is not zero: the file is damaged")

    def codes(self, prior: Prior, progress: Progress | None = None) -> list[Code]:
        """The codes of all fields; decodes lattice coordinates, so call it once the section's check holds.

        Raises:
            FormatError: `lattice` is not a code of coordinates.
        """
        k = read_coordinates(self.lattice, self.symbols.count(None), prior, progress)
        rows = iter(k.tolist())
        return [Lattice(tuple(next(rows))) if symbol is None else symbol for symbol in self.symbols]


def read(data: bytes, start: int, fields: int, prefix: PrefixCode) -> Section:
    """The latent section that begins at `start`.

    Raises:
        TruncatedError: the data end within the section.
        FormatError: the section is not one that `write` makes.
    """
    bits = BitReader(data, start)
    symbols: list[Code | None] = []
    for _ in range(fields):
        symbol = _read_symbol(bits, prefix)
        if symbol < OCTAVES:
            symbols.append(Number(1 << symbol | bits.get(symbol)))
        else:
            symbols.append(Blank() if symbol == BLANK else None)
    padding, end = bits.align()
    lattice = b""
    if None in symbols:
        length, end = read_varint(data, end)
        if len(data) - end < length:
            raise TruncatedError("the file ends within its latent section; nothing of it can be decoded")
        lattice, end = data[end : end + length], end + length
        if lattice.endswith(b"\0"):
            raise FormatError("the lattice stream ends in a zero byte, which no stream does: the file is damaged")
    return Section(symbols, padding, lattice, end)


def _symbol(code: Code) -> int:
    if isinstance(code, Number):
        return code.n.bit_length() - 1
    return LATTICE if isinstance(code, Lattice) else BLANK


def _read_symbol(bits: BitReader, prefix: PrefixCode) -> int:
    word = 0
    for length in range(1, LONGEST_SYMBOL_BITS + 1):
        word = word << 1 | bits.get(1)
        if (word, length) in prefix.symbols:
            return prefix.symbols[word, length]
    raise FormatError("the latent section holds bits that are not a symbol: the file is damaged")


def write_coordinates(k: Coordinates, prior: Prior) -> bytes:
    """Range-codes lattice coordinates (B, D): in groups of LATTICE_GROUP fields, latent by latent, field by field."""
    encoder = Encoder()

    def put(rows: Coordinates, i: int, conditional: Conditional) -> Coordinates:
        for row, counts in enumerate(conditional.all_counts()):
            encoder.put_symbol(int(rows[row, i]) - conditional.lowest, counts)
        return rows[:, i]

    for start in range(0, len(k), LATTICE_GROUP):
        rows = k[start : start + LATTICE_GROUP]
        prior.walk(len(rows), partial(put, rows))
    return encoder.finish().rest


def read_coordinates(data: bytes, fields: int, prior: Prior, progress: Progress | None = None) -> Coordinates:
    """The inverse of `write_coordinates`: (fields, D)."""
    decoder, found = Decoder(data), np.zeros((fields, prior.latents), np.int64)

    def get(i: int, conditional: Conditional) -> Coordinates:
        return np.array([decoder.get_symbol(counts) + conditional.lowest for counts in conditional.all_counts()])

    for start in range(0, fields, LATTICE_GROUP):
        size = min(LATTICE_GROUP, fields - start)
        found[start : start + size] = prior.walk(size, get)
        if progress and fields > LATTICE_GROUP:
            progress("reading latents", start + size, fields)
    return found
