"""Entropy coding of symbols with integer counts: the one module that knows `constriction`.

Single files use a range coder (a queue), so that a prefix of the bytes decodes to a prefix of the symbols. Two things are
our own:

- The end: the shortest string that, continued with zero bits, lies in the encoder's final interval, so that it decodes.
- `PrefixDecoder`, for a string of which only a beginning is there: it decodes twice, continued with 00... and with FF...;
  by monotonicity a symbol on which both agree (as on all before it) is the symbol, whatever the missing bytes are.

Archives use a `Stack`, since bits-back coding pops what others have pushed: asymmetric numeral systems (Duda 2013).

Twist: a count of c out of 2^24 reaches constriction as the weight c - 1 among weights that sum to 2^24 - N for N symbols.
Then its fixed-point scale is exactly 1 and nothing is rounded; golden words in the tests pin it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import constriction
import numpy as np
import numpy.typing as npt

from vlae_codec.errors import FormatError
from vlae_codec.exact.fixed import COUNT_BITS

from .bits import Stream

Counts = npt.NDArray[np.int64]

_TOTAL = 1 << COUNT_BITS
_WORD = 32  # bits; the coder's state is two words: where its interval begins, and how long it is
_PIECE = 1 << 16  # symbols handed to constriction at a time, which bounds the memory of their weights
_Categorical = constriction.stream.model.Categorical(perfect=False)


def _binary_weights(ink: Counts) -> npt.NDArray[np.float64]:
    """Weights of (paper, ink) for the count of ink: (n, 2)."""
    weights = np.empty((len(ink), 2))
    np.subtract(_TOTAL - 1, ink, out=weights[:, 0])
    np.subtract(ink, 1, out=weights[:, 1])
    return weights


def _pieces(symbols: int) -> Iterator[slice]:
    return (slice(start, start + _PIECE) for start in range(0, symbols, _PIECE))


def _weights(counts: Counts) -> npt.NDArray[np.float64]:
    """Weights of many distributions, a row each; constriction reads memory row by row whatever the strides say."""
    return (counts - 1).astype(np.float64, order="C")


def _cells(counts: Counts) -> constriction.stream.model.Categorical:
    return constriction.stream.model.Categorical((counts - 1).astype(np.float64), perfect=False)


class Encoder:
    """Collects symbols; `finish` gives the shortest stream that decodes to them. Keeps the code so far, no symbols."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()

    def put_bits(self, bits: npt.NDArray[np.uint8], ink: Counts) -> None:
        """Binary symbols (n,) with the counts of a 1 (n,), each in 1 .. 2^24 - 1."""
        for some in _pieces(len(bits)):
            self._coder.encode(bits[some].astype(np.int32), _Categorical, _binary_weights(ink[some]))

    def put_symbol(self, symbol: int, counts: Counts) -> None:
        """One symbol with the counts of all symbols, each >= 1, summing to 2^24."""
        self._coder.encode(symbol, _cells(counts))

    def finish(self, lead: int = 0) -> Stream:
        """The shortest code: `lead` bits, then bytes. Takes time in proportion to the length of the code.

        The numbers that decode to the symbols form one interval. The coder tells the lower 64 bits of its first number and
        how many there are; the words above are those of the coder's own code, a number in the interval. A code is
        continued with zero bits, so the shortest one is the number that ends in the most zeros; of two equally short ones
        it is the one at or below the coder's own.
        """
        position, (lower, length) = self._coder.pos()
        code = self._coder.get_compressed().astype(">u4").tobytes()
        bits = _WORD * (position + 2)
        own = int.from_bytes(code, "big") << bits - 8 * len(code)
        first = own - (own - lower) % (1 << 2 * _WORD)
        zeros = _most_zeros(first, first + length - 1, bits)
        size = max(0, -(-(bits - zeros - lead) // 8))
        zeros = bits - lead - 8 * size
        value = own >> zeros
        value += value << zeros < first
        rest = (value & (1 << 8 * size) - 1).to_bytes(size, "big")
        return Stream(rest.rstrip(b"\0"), value >> 8 * size, lead)


def _most_zeros(first: int, last: int, bits: int) -> int:
    """The most zeros that a number of `bits` bits in first .. last ends in."""
    return ((first - 1) ^ last).bit_length() - 1 if first else bits


class Decoder:
    """Reads symbols from a complete code, as if continued with `fill` bytes."""

    def __init__(self, data: bytes, fill: bytes = b"\0") -> None:
        words = np.frombuffer(data + fill * (12 - len(data) % 4), ">u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)

    def copy(self) -> Decoder:
        """A decoder that goes on independently from here."""
        other = Decoder(b"")
        other._coder = self._coder.clone()
        return other

    def get_bits(self, ink: Counts) -> npt.NDArray[np.uint8]:
        """Binary symbols, given the counts of a 1: (n,) -> (n,) uint8."""
        bits = np.zeros(len(ink), np.uint8)
        try:
            for some in _pieces(len(ink)):
                bits[some] = self._coder.decode(_Categorical, _binary_weights(ink[some]))
        except (ValueError, AssertionError) as error:
            raise FormatError("the entropy-coded bytes are not a code of any symbols") from error
        return bits

    def get_symbol(self, counts: Counts) -> int:
        """One symbol, given the counts of all symbols."""
        try:
            return int(self._coder.decode(_cells(counts)))
        except (ValueError, AssertionError) as error:
            raise FormatError("the entropy-coded bytes are not a code of any symbols") from error


def read_bits(decoders: Sequence[Decoder], ends: Sequence[int], ink: Counts) -> npt.NDArray[np.bool_]:
    """The next bits of several decoders at once: those of decoder i end at ends[i], given the counts of a 1; (n,) bool.

    Raises:
        FormatError: one of the codes is not valid.
    """
    weights, bits = _binary_weights(ink), np.empty(len(ink), np.bool_)
    start = 0
    try:
        for decoder, end in zip(decoders, ends, strict=True):
            if start < end:
                bits[start:end] = decoder._coder.decode(_Categorical, weights[start:end])
            start = end
    except (ValueError, AssertionError) as error:
        raise FormatError("the entropy-coded bytes are not a code of any symbols") from error
    return bits


class PrefixDecoder:
    """Reads the bits that a prefix of a code determines; from the first that it does not on, none."""

    def __init__(self, stream: Stream) -> None:
        self._low, self._high = Decoder(stream.joined()), Decoder(stream.joined(1), b"\xff")
        self._known = True

    def get_bits(self, ink: Counts) -> npt.NDArray[np.uint8]:
        """The next bits, as many as are determined, given the counts of a 1: (n,) -> (up to n,) uint8."""
        if not self._known:
            return np.zeros(0, np.uint8)
        before = self._low.copy(), self._high.copy()
        try:
            low, high = self._low.get_bits(ink), self._high.get_bits(ink)
        except FormatError:  # one of the two ran into bytes that are not a code: find where
            if len(ink) == 1:
                self._known = False
                return np.zeros(0, np.uint8)
            self._low, self._high = before
            half = len(ink) // 2
            return np.concatenate([self.get_bits(ink[:half]), self.get_bits(ink[half:])])
        differs = np.flatnonzero(low != high)
        self._known = not len(differs)
        return low if self._known else low[: differs[0]]


class Stack:
    """A stack of symbols: the last one pushed is the first one popped, and popping is sampling.

    `push_...` and `pop_...` undo each other exactly. Symbols of one call are pushed last first, so that they pop in order.
    A stack begins with a word of 31 bits that has to be somewhere anyway, and its owner finds it again at the bottom: an
    empty coder would cost 20 bits for nothing. (State: 64 bits, in [2^32, 2^64) while words of 32 bits lie below it.)
    """

    def __init__(self, bottom: int) -> None:
        self._coder = constriction.stream.stack.AnsCoder(np.array([1 << 31 | bottom], np.uint32))

    @classmethod
    def read(cls, data: bytes) -> Stack:
        """The stack that `write` gave as bytes.

        Raises:
            FormatError: no stack is written like this.
        """
        if not data or data[-1] == 0:
            raise FormatError("the bit stack is empty or ends in a zero byte, as none does: the file is damaged")
        stack = cls(0)
        words = np.frombuffer(data + bytes(-len(data) % 4), "<u4").astype(np.uint32)
        stack._coder = constriction.stream.stack.AnsCoder(words)
        return stack

    def write(self) -> bytes:
        """The shortest bytes that hold the stack."""
        words: npt.NDArray[np.uint32] = self._coder.get_compressed()
        return words.astype("<u4").tobytes().rstrip(b"\0")

    @property
    def bits(self) -> float:
        """How much it holds, bits, to a fraction."""
        words, state = self._coder.pos()
        return float(32 * words + np.log2(state)) if state else 0.0

    @property
    def bottom(self) -> int | None:
        """The word that it began with, if nothing lies above it."""
        words, state = self._coder.pos()
        return state - (1 << 31) if words == 0 and 1 << 31 <= state < 1 << 32 else None

    @property
    def exhausted(self) -> bool:
        """Whether more was popped than pushed: what was popped then is not a fair sample, though pushing still undoes it."""
        words, state = self._coder.pos()
        return bool(words == 0 and state < 1 << 31)

    def push_bits(self, bits: npt.NDArray[np.uint8], ink: Counts) -> None:
        """Binary symbols (n,) with the counts of a 1 (n,), each in 1 .. 2^24 - 1."""
        if len(bits):
            self._coder.encode_reverse(bits.astype(np.int32), _Categorical, _binary_weights(ink))

    def pop_bits(self, ink: Counts) -> npt.NDArray[np.uint8]:
        """The inverse of `push_bits`: (n,) uint8."""
        if not len(ink):
            return np.zeros(0, np.uint8)
        bits: npt.NDArray[np.uint8] = self._coder.decode(_Categorical, _binary_weights(ink)).astype(np.uint8)
        return bits

    def push_symbols(self, symbols: npt.NDArray[np.int64], counts: Counts) -> None:
        """Symbols (n,) with the counts of all N symbols (n, N), each >= 1, rows summing to 2^24."""
        if len(symbols):
            self._coder.encode_reverse(symbols.astype(np.int32), _Categorical, _weights(counts))

    def pop_symbols(self, counts: Counts) -> npt.NDArray[np.int64]:
        """The inverse of `push_symbols`: (n,) int64."""
        if not len(counts):
            return np.zeros(0, np.int64)
        symbols: npt.NDArray[np.int64] = self._coder.decode(_Categorical, _weights(counts)).astype(np.int64)
        return symbols

    def push_uniform(self, value: int, size: int) -> None:
        """One of `size` equally likely values, 1 <= size <= 2^23."""
        if size > 1:
            self._coder.encode_reverse(value, constriction.stream.model.Uniform(size))

    def pop_uniform(self, size: int) -> int:
        """The inverse of `push_uniform`."""
        return int(self._coder.decode(constriction.stream.model.Uniform(size))) if size > 1 else 0
