"""A range coder of single bits with chances of 16 bits, which compiled functions can call: 32-bit range, a byte at a time.

    bound = (range >> 16) * chance;  1 takes what is below the bound, 0 the rest;  range < 2^24: a byte more

The encoder adds up `low` and carries into what it has written; the decoder keeps how far its code is above the encoder's
low. Beyond its end a stream is zero bytes, so those at its end are left out.
"""

from __future__ import annotations

from vlae_codec.exact.compiled import compiled

from .state import AT, CODE, LOW, RANGE, Ints

_WORD = (1 << 32) - 1
_LEAST = 1 << 24


@compiled
def begin(coder: Ints, stream: Ints, size: int) -> None:
    """Before the first bit; of a stream that is read, `size` bytes, else 0."""
    coder[LOW] = 0
    coder[RANGE] = _WORD
    coder[CODE] = 0
    coder[AT] = 0
    for _ in range(4):
        _take(coder, stream, size)
    if size == 0:
        coder[AT] = 0


@compiled
def _take(coder: Ints, stream: Ints, size: int) -> None:
    at = coder[AT]
    coder[CODE] = coder[CODE] << 8 | (stream[at] if at < size else 0)
    coder[AT] = at + 1


@compiled
def write(coder: Ints, stream: Ints, bit: int, chance: int) -> None:
    """Appends a bit whose chance of 1 is 1 .. 2^16 - 1."""
    bound = (coder[RANGE] >> 16) * chance
    if bit:
        coder[RANGE] = bound
    else:
        coder[RANGE] -= bound
        coder[LOW] += bound
        if coder[LOW] > _WORD:
            coder[LOW] &= _WORD
            _carry(coder, stream)
    while coder[RANGE] < _LEAST:
        coder[RANGE] <<= 8
        stream[coder[AT]] = coder[LOW] >> 24
        coder[AT] += 1
        coder[LOW] = coder[LOW] << 8 & _WORD


@compiled
def _carry(coder: Ints, stream: Ints) -> None:
    at = coder[AT] - 1
    while stream[at] == 255:
        stream[at] = 0
        at -= 1
    stream[at] += 1


@compiled
def read(coder: Ints, stream: Ints, size: int, chance: int) -> int:
    """The next bit, whose chance of 1 is 1 .. 2^16 - 1."""
    bound = (coder[RANGE] >> 16) * chance
    if coder[CODE] < bound:
        bit = 1
        coder[RANGE] = bound
    else:
        bit = 0
        coder[RANGE] -= bound
        coder[CODE] -= bound
    while coder[RANGE] < _LEAST:
        coder[RANGE] <<= 8
        _take(coder, stream, size)
    return bit


@compiled
def finish(coder: Ints, stream: Ints) -> int:
    """Ends a stream that is written; how many bytes it has. Of all codes that say the same, the one that is shortest."""
    low, above = coder[LOW], coder[LOW] + coder[RANGE]
    code, kept = low, 32
    for bits in range(33):
        rounded = (low + (1 << bits) - 1) >> bits << bits
        if rounded < above:
            code, kept = rounded, 32 - bits
    if code > _WORD:
        code &= _WORD
        _carry(coder, stream)
    at = coder[AT]
    for place in range(4):
        stream[at + place] = code >> 24 - 8 * place & 255
    at += (kept + 7) // 8
    while at > 0 and stream[at - 1] == 0:
        at -= 1
    return at
