"""Bits and bytes without a model: numbers of variable length, prefix codes, a reader and a writer of single bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vlae_codec.errors import FormatError, TruncatedError

LONGEST_SYMBOL_BITS = 15


@dataclass(frozen=True)
class Stream:
    """A code as a file holds it: `lead` bits, fewer than eight, as the number `first`, that fill up a byte; then bytes."""

    rest: bytes
    first: int = 0
    lead: int = 0

    def joined(self, fill: int = 0) -> bytes:
        """All its bits in order, and bits `fill` up to a byte."""
        spare = -self.lead % 8
        value = (self.first << 8 * len(self.rest) | int.from_bytes(self.rest, "big")) << spare
        return (value | fill * ((1 << spare) - 1)).to_bytes(len(self.rest) + (self.lead > 0), "big")


class PrefixCode:
    """A canonical Huffman code, given by its code lengths (RFC 1951, 3.2.2: shorter first, then by symbol)."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = lengths
        ranked = sorted((length, symbol) for symbol, length in enumerate(lengths))
        code, previous = -1, 0
        self.words: dict[int, tuple[int, int]] = {}  # symbol -> (code word, its length)
        for length, symbol in ranked:
            code, previous = (code + 1) << length - previous, length
            self.words[symbol] = (code, length)
        self.symbols = {word: symbol for symbol, word in self.words.items()}

    def number_bits(self, n: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """L(n): the lengths of numbers n >= 1, bits; elementwise."""
        octaves = np.frexp(n)[1] - 1
        bits: npt.NDArray[np.float64] = (np.array(self.lengths)[octaves] + octaves).astype(np.float64)
        return bits


class BitWriter:
    """Bits, most significant first."""

    def __init__(self) -> None:
        self._bits: list[str] = []

    def put(self, value: int, length: int) -> None:
        """The `length` low bits of value."""
        if length:
            self._bits.append(f"{value:0{length}b}")

    def getvalue(self, padding: int = 0) -> bytes:
        """All bits, padded to a byte with the low ones of `padding`."""
        bits = "".join(self._bits)
        count = -(-len(bits) // 8)
        return (int(bits or "0", 2) << 8 * count - len(bits) | padding).to_bytes(count, "big")


class BitReader:
    """Reads what `BitWriter` wrote, from `start` on."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data, self._position = data, 8 * start

    def get(self, length: int) -> int:
        """The next `length` bits."""
        value = 0
        for _ in range(length):
            if self._position >= 8 * len(self._data):
                raise TruncatedError("the file ends within its latent section; nothing of it can be decoded")
            value = value << 1 | self._data[self._position >> 3] >> 7 - (self._position & 7) & 1
            self._position += 1
        return value

    def align(self) -> tuple[Stream, int]:
        """The bits that are left of the last byte, and the index of the next one."""
        count = -self._position % 8
        return Stream(b"", self.get(count), count), self._position // 8


def varint(value: int) -> bytes:
    """LEB128: seven bits a byte, least significant first, the top bit set on all but the last."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def read_varint(data: bytes, start: int) -> tuple[int, int]:
    """The varint at `start`, at most 35 bits, and the index after it."""
    value = 0
    for count in range(5):
        if start + count >= len(data):
            raise TruncatedError("the file ends within its header or latent section; nothing of it can be decoded")
        byte = data[start + count]
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            if count and not byte:
                break
            return value, start + count + 1
    raise FormatError("a number in the file is not in its shortest form: the file is damaged")
