"""What is seen of a field without a model: how long, how angular, how large and how solid what is drawn on it is.

All take fields (n, 28, 28) of 0 and 1 and give (n,). But for `extents` it makes little difference which level is ink.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vlae_codec.picture.fields import SIDE, Bits

Floats = npt.NDArray[np.float64]


def rarer_ink(fields: Bits) -> Bits:
    """The same, each field with its rarer level as ink."""
    return np.where(2 * fields.sum(axis=(1, 2), keepdims=True) > SIDE * SIDE, 1 - fields, fields).astype(np.uint8)


def edges(fields: Bits) -> Floats:
    """Pairs of neighbours that differ."""
    down, across = fields[:, 1:] != fields[:, :-1], fields[:, :, 1:] != fields[:, :, :-1]
    return _summed(down) + _summed(across)


def corners(fields: Bits) -> Floats:
    """Where the border of the ink turns: squares of 2x2 with an odd pixel, and twice those of two diagonal ones."""
    ink, diagonal = _squares(np.pad(fields, ((0, 0), (1, 1), (1, 1)), "edge"))
    return _summed(ink % 2 == 1) + 2 * _summed(diagonal)


def euler(fields: Bits) -> Floats:
    """Pieces of ink less holes in them, ink joined across corners (Gray 1971)."""
    ink, diagonal = _squares(np.pad(fields, ((0, 0), (1, 1), (1, 1))))
    return (_summed(ink == 1) - _summed(ink == 3) - 2 * _summed(diagonal)) / 4


def solid(fields: Bits) -> Floats:
    """Squares of 3x3 that are ink all over."""
    rows = fields[:, :-2] & fields[:, 1:-1] & fields[:, 2:]
    return _summed(rows[:, :, :-2] & rows[:, :, 1:-1] & rows[:, :, 2:])


def extents(fields: Bits) -> tuple[Floats, Floats]:
    """The longer and the shorter side of the box around the ink, or around the paper if that box is the smaller."""
    ink, paper = _box(fields), _box(1 - fields)
    sides = np.where(ink.sum(axis=0) > paper.sum(axis=0), paper, ink)
    return sides.max(axis=0), sides.min(axis=0)


def _box(fields: Bits) -> Floats:
    """Height and width of the box around the ink: (2, n)."""
    found = []
    for axis in (2, 1):
        there: npt.NDArray[np.bool_] = np.asarray(fields.any(axis=axis))
        length = SIDE - there[:, ::-1].argmax(axis=1) - there.argmax(axis=1)
        found.append(np.where(there.any(axis=1), length, 0))
    return np.stack(found).astype(np.float64)


def _squares(padded: Bits) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Of all squares of 2x2 how many pixels are ink, and whether these are two on a diagonal."""
    a, b, c, d = padded[:, :-1, :-1], padded[:, :-1, 1:], padded[:, 1:, :-1], padded[:, 1:, 1:]
    ink = a + b + c + d
    return ink, (ink == 2) & (a == d)


def _summed(found: npt.NDArray[np.generic]) -> Floats:
    total: Floats = found.sum(axis=(1, 2), dtype=np.float64)
    return total
