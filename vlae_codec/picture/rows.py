"""Rows of bytes, as PNG has them (W3C PNG, third edition, sections 7 and 9): samples packed, and filtered for deflate.

`pack` and `unpack`, `filtered` and `unfiltered` undo each other. A row is its pixels' samples one after the other, 1, 2 or 4
bits each, most significant first, zero bits up to a whole byte; a byte; or two bytes, big-endian. A filtered row begins
with the number of its filter.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import PngImagePlugin

from vlae_codec.coding.deflate import deflate
from vlae_codec.errors import FormatError

from .chunks import png_file

Rows = npt.NDArray[np.uint8]
Values = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

NO_FILTER, SUB, UP, AVERAGE, PAETH = range(5)
FILTERS = (NO_FILTER, SUB, UP, AVERAGE, PAETH)
_STRIP_BYTES = 1 << 22
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""Bytes of a pixel -> PNG's colour type of so many samples."""


def row_bytes(width: int, channels: int, depth: int) -> int:
    """Bytes of a packed row."""
    return -(-width * channels * depth // 8)


def pack(values: Values, depth: int) -> Rows:
    """(H, W, C) of values below 2^depth -> (H, R) bytes."""
    height = len(values)
    if depth == 16:
        return np.ascontiguousarray(values, ">u2").view(np.uint8).reshape(height, -1)
    flat: Rows = values.reshape(height, -1).astype(np.uint8, copy=False)
    if depth == 1:
        return np.packbits(flat, axis=1)
    if depth == 8:
        return flat
    count = 8 // depth
    padded = np.zeros((height, -(-flat.shape[1] // count) * count), np.uint8)
    padded[:, : flat.shape[1]] = flat
    packed = padded[:, ::count] << np.uint8(8 - depth)
    for i in range(1, count):
        packed |= padded[:, i::count] << np.uint8(8 - depth * (i + 1))
    return packed


def unpack(rows: Rows, width: int, channels: int, depth: int) -> Values:
    """The inverse of `pack`: (H, R) bytes -> (H, W, C) uint8, or uint16 if the depth is 16.

    Raises:
        FormatError: bits that fill up a row are not zero.
    """
    height = len(rows)
    if depth == 16:
        return rows.reshape(-1).view(">u2").astype(np.uint16).reshape(height, width, channels)
    if depth == 8:
        return rows.reshape(height, width, channels)
    spare = 8 * rows.shape[1] - width * channels * depth
    if (rows[:, -1] & ((1 << spare) - 1)).any():
        raise FormatError("the bits that fill up a row of pixels are not zero: the file is damaged")
    if depth == 1:
        return np.unpackbits(rows, axis=1, count=width * channels).reshape(height, width, channels)
    shifts = np.arange(8 - depth, -1, -depth, dtype=np.uint8)
    values = (rows[:, :, None] >> shifts) & np.uint8((1 << depth) - 1)
    return values.reshape(height, -1)[:, : width * channels].reshape(height, width, channels)


def filtered(rows: Rows, step: int, kind: int, above: Rows | None = None) -> Rows:
    """All rows with one filter: (H, R) -> (H, 1 + R). `step` is the bytes of a pixel, at least 1.

    above (1, R): the row above the first, if there is one.
    """
    out = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    out[:, 0] = kind
    for at, strip, over in _strips(rows, above):
        out[at : at + len(strip), 1:] = strip if kind == NO_FILTER else strip - _predicted(strip, over, step, kind)
    return out


def _strips(rows: Rows, first: Rows | None = None) -> Iterator[tuple[int, Rows, Rows]]:
    """First row, rows, and the rows above them, of strips of bounded size."""
    count = max(1, _STRIP_BYTES // rows.shape[1])
    before: Rows = np.zeros((1, rows.shape[1]), np.uint8) if first is None else first
    for at in range(0, len(rows), count):
        strip = rows[at : at + count]
        yield at, strip, np.concatenate([before, strip[:-1]])
        before = strip[-1:]


def _predicted(rows: Rows, above: Rows, step: int, kind: int) -> Rows:
    if kind == UP:
        return above
    left = np.zeros_like(rows)
    left[:, step:] = rows[:, :-step]
    if kind == SUB:
        return left
    if kind == AVERAGE:
        return (left & above) + ((left ^ above) >> 1)
    corner = np.zeros_like(rows)
    corner[:, step:] = above[:, :-step]
    return _paeth(left.astype(np.int16), above.astype(np.int16), corner.astype(np.int16))


def _paeth(left: npt.NDArray[np.int16], above: npt.NDArray[np.int16], corner: npt.NDArray[np.int16]) -> Rows:
    to_left, to_above = np.abs(above - corner), np.abs(left - corner)
    to_corner = np.abs(left + above - 2 * corner)
    chosen = np.where(to_above <= to_corner, above, corner)
    chosen = np.where((to_left <= to_above) & (to_left <= to_corner), left, chosen)
    return chosen.astype(np.uint8)


def adaptively_filtered(rows: Rows, step: int, above: Rows | None = None) -> Rows:
    """Each row with the filter that leaves the least sum of its bytes' sizes as signed numbers: (H, R) -> (H, 1 + R).

    above: as of `filtered`.
    """
    out = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    for at, strip, over in _strips(rows, above):
        least = np.full(len(strip), np.iinfo(np.int64).max)
        here = out[at : at + len(strip)]
        for kind in FILTERS:
            line = strip if kind == NO_FILTER else strip - _predicted(strip, over, step, kind)
            cost = np.abs(line.view(np.int8).astype(np.int16)).sum(axis=1, dtype=np.int64)
            better = cost < least
            here[better, 0], here[better, 1:], least[better] = kind, line[better], cost[better]
    return out


def unfiltered(data: bytes, height: int, width: int, step: int) -> Rows:
    """The inverse: height * (1 + width) bytes of filtered rows of `width` bytes, `step` a pixel -> (H, R).

    Raises:
        FormatError: a filter has a number that none has.
    """
    lines: Rows = np.frombuffer(data, np.uint8).reshape(height, width + 1)
    if (lines[:, 0] > PAETH).any():
        raise FormatError("a row of pixels has a filter that does not exist: the file is damaged")
    if not lines[:, 0].any():
        return lines[:, 1:]
    out = np.empty((height, width), np.uint8)
    count = max(1, _STRIP_BYTES // width)
    for at in range(0, height, count):
        strip, above = lines[at : at + count], out[at - 1 : at]  # none above the first
        kinds = np.concatenate([np.zeros(len(above), np.uint8), strip[:, 0]])
        pixels = np.concatenate([above, strip[:, 1:]]).reshape(len(kinds), -1, step)
        for first in range(0, step, 4):  # bytes of a pixel do not see each other
            some = pixels[..., first : first + 4]
            out[at : at + count].reshape(len(strip), -1, step)[..., first : first + 4] = _decoded(kinds, some)[
                len(above) :
            ]
    return out


def _decoded(kinds: Rows, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Filtered pixels (H, W, 1 to 4), with a filter a row, undone by Pillow's PNG decoder."""
    height, width, step = pixels.shape
    lines = np.concatenate([kinds[:, None], pixels.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[step], 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 0)), (b"IEND", b"")]
    with PngImagePlugin.PngImageFile(io.BytesIO(png_file(parts))) as picture:
        picture.load()
        whole: npt.NDArray[Any] = np.asarray(picture)
    return whole.reshape(height, width, step)


def smallest_deflate(rows: Rows, step: int, filters: tuple[int, ...] = FILTERS) -> tuple[bytes, bytes]:
    """Filtered rows, with one filter for all or one that adapts, and their smallest deflate stream."""
    lines = [filtered(rows, step, kind).tobytes() for kind in filters]
    adapted = adaptively_filtered(rows, step).tobytes()
    found = [(data, deflate(data)) for data in (*lines, adapted)]
    return min([*found, (adapted, deflate(adapted, zlib.Z_FILTERED))], key=lambda pair: len(pair[1]))
