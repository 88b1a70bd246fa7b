"""Entropy coding of symbols with integer counts: the one module that knows `constriction`.

A range coder (a queue), so that a prefix of the bytes decodes to a prefix of the symbols. Two things are our own:

- The end. The encoder's string is cut to the shortest one that, continued with zero bytes, still decodes.
- `PrefixDecoder`, for a string of which only a beginning is there: it decodes twice, continued with 00... and with FF...;
  by monotonicity a symbol on which both agree (as on all before it) is the symbol, whatever the missing bytes are.

Twist: a count of c out of 2^24 reaches constriction as the weight c - 1 among weights that sum to 2^24 - N for N symbols.
Then its fixed-point scale is exactly 1 and nothing is rounded; golden words in the tests pin it.
"""

from __future__ import annotations

from collections.abc import Callable

import constriction
import numpy as np
import numpy.typing as npt

from .errors import FormatError
from .fixed import COUNT_BITS

Counts = npt.NDArray[np.int64]

_TOTAL = 1 << COUNT_BITS
_Binary = constriction.stream.model.Categorical(perfect=False)


def _binary_weights(ink: Counts) -> npt.NDArray[np.float64]:
    """Weights of (paper, ink) for the count of ink: (n, 2)."""
    return np.stack([_TOTAL - ink - 1, ink - 1], axis=1).astype(np.float64)


def _cells(counts: Counts) -> constriction.stream.model.Categorical:
    return constriction.stream.model.Categorical((counts - 1).astype(np.float64), perfect=False)


class Encoder:
    """Collects symbols; `finish` gives the shortest byte string that decodes to them."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()
        self._replay: list[Callable[[Decoder], bool]] = []

    def put_bits(self, bits: npt.NDArray[np.uint8], ink: Counts) -> None:
        """Binary symbols (n,) with the counts of a 1 (n,), each in 1 .. 2^24 - 1."""
        if len(bits):
            self._coder.encode(bits.astype(np.int32), _Binary, _binary_weights(ink))
            self._replay.append(lambda decoder: np.array_equal(decoder.get_bits(ink), bits))

    def put_symbol(self, symbol: int, counts: Counts) -> None:
        """One symbol with the counts of all symbols, each >= 1, summing to 2^24."""
        self._coder.encode(symbol, _cells(counts))
        self._replay.append(lambda decoder: decoder.get_symbol(counts) == symbol)

    def finish(self) -> bytes:
        """The code: shortest first, found by trying."""
        full: bytes = self._coder.get_compressed().astype(">u4").tobytes()
        best = full
        for length in range(len(full), -1, -1):
            shorter = [c for c in (_cut(full, length, up) for up in (0, 1)) if c is not None and self._decodes(c)]
            if not shorter:
                break
            best = shorter[0]
        return best.rstrip(b"\0")

    def _decodes(self, data: bytes) -> bool:
        decoder = Decoder(data)
        try:
            return all(replay(decoder) for replay in self._replay)
        except FormatError:
            return False


def _cut(data: bytes, length: int, up: int) -> bytes | None:
    """The first `length` bytes as a number, plus `up`; None if that overflows."""
    value = int.from_bytes(data[:length], "big") + up
    return value.to_bytes(length, "big") if value < 1 << 8 * length else None


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
        if not len(ink):
            return np.zeros(0, np.uint8)
        try:
            bits: npt.NDArray[np.uint8] = self._coder.decode(_Binary, _binary_weights(ink)).astype(np.uint8)
        except (ValueError, AssertionError) as error:
            raise FormatError("the entropy-coded bytes are not a code of any symbols") from error
        return bits

    def get_symbol(self, counts: Counts) -> int:
        """One symbol, given the counts of all symbols."""
        try:
            return int(self._coder.decode(_cells(counts)))
        except (ValueError, AssertionError) as error:
            raise FormatError("the entropy-coded bytes are not a code of any symbols") from error


class PrefixDecoder:
    """Reads the bits that a prefix of a code determines; from the first that it does not on, none."""

    def __init__(self, data: bytes) -> None:
        self._low, self._high = Decoder(data), Decoder(data, b"\xff")
        self._known = True

    def get_bits(self, ink: Counts) -> npt.NDArray[np.uint8]:
        """The next bits, as many as are determined, given the counts of a 1: (n,) -> (up to n,) uint8."""
        if not self._known:
            return np.zeros(0, np.uint8)
        before = self._low.copy(), self._high.copy()
        try:
            low, high = self._low.get_bits(ink), self._high.get_bits(ink)
        except FormatError:  # one of the two ran into bytes that are no code: find where
            if len(ink) == 1:
                self._known = False
                return np.zeros(0, np.uint8)
            self._low, self._high = before
            half = len(ink) // 2
            return np.concatenate([self.get_bits(ink[:half]), self.get_bits(ink[half:])])
        differs = np.flatnonzero(low != high)
        self._known = not len(differs)
        return low if self._known else low[: differs[0]]
