"""Pictures of more than 2^25 pixels as strips of rows, each a stream of its own: they decode apart, and in any order.

A strip begins to learn anew, so smaller pictures are one. Its rows are as many as have at most 2^25 pixels, at least one.

    .     of more than one strip the length of each one's stream but the last, and 1, as varints
    .     the streams
"""

from __future__ import annotations

import itertools

import numpy as np

from vlae_codec.coding.bits import read_varint, varint
from vlae_codec.errors import FormatError

from . import stream
from .hands import Hand
from .state import Start
from .stream import Bits, Told

MOST_PIXELS = 1 << 25


def rows_of(height: int, width: int) -> int:
    """Rows of each strip but the last, which may have fewer."""
    return max(1, min(height, MOST_PIXELS // width))


def encode(start: Start, bits: Bits, told: Told | None = None, hand: Hand | None = None) -> bytes | None:
    """The streams of a picture (H, W) of 0 and 1; None once they are longer than the pixels so far, eight a byte."""
    height, width = bits.shape
    rows, made = rows_of(height, width), list[bytes]()
    for top in range(0, height, rows):
        part = bits[top : top + rows]
        one = stream.encode(start, part, _after(told, top), hand)
        if one is None:
            return None
        made.append(one)
    return b"".join([*(varint(len(one) + 1) for one in made[:-1]), *made])


def decode(
    start: Start,
    content: bytes,
    height: int,
    width: int,
    told: Told | None = None,
    hand: Hand | None = None,
    within: tuple[int, int] | None = None,
) -> Bits:
    """The inverse: (height, width); of strips that have no row of `within`, first and beyond, all pixels are 0.

    Raises:
        FormatError: as of `parts`.
    """
    rows, (first, beyond) = rows_of(height, width), within or (0, height)
    if rows == height:
        return stream.decode(start, content, height, width, told, hand)
    found = np.zeros((height, width), np.uint8)
    for top, part in zip(range(0, height, rows), parts(content, -(-height // rows)), strict=True):
        bottom = min(top + rows, height)
        if top < beyond and bottom > first:
            found[top:bottom] = stream.decode(start, part, bottom - top, width, _after(told, top), hand)
    return found


def parts(content: bytes, count: int) -> list[bytes]:
    """The streams of so many strips.

    Raises:
        FormatError: they are not as long as they say, or one ends in a zero byte.
    """
    lengths, at = list[int](), 0
    for _ in range(count - 1):
        more, at = read_varint(content, at)
        lengths.append(more - 1)
    ends = [at + end for end in itertools.accumulate(lengths, initial=0)]
    if ends[-1] > len(content) or min(lengths, default=0) < 0:
        raise FormatError(f"{count} strips of the picture are not as long as they say: the file is damaged")
    found = [content[start:end] for start, end in zip(ends, [*ends[1:], len(content)], strict=True)]
    if any(one.endswith(b"\0") for one in found):
        raise FormatError("the stream of a strip ends in a zero byte: the file is damaged")
    return found


def _after(told: Told | None, top: int) -> Told | None:
    return None if told is None else lambda done: told(top + done)
