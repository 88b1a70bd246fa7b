"""What is counted of a field along its edges and strokes, by which what a hand drew differs from what a program drew.

Programs draw straight lines, even strokes and mirror images. So of each field are counted, all by logarithms: the kinds of
squares of 3x3 pixels, the same turned and mirrored being one; runs of edge, of ink and of paper, along rows and columns, by
length; how far the box around the ink is from its mirror images; and the ink.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from vlae_codec.picture.fields import SIDE, Bits

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_LENGTHS = np.array([1, 2, 3, 4, 5, 6, 8, 11, 15])
"""The shortest run of each class."""
_MIRRORED = 0.03  # of a mirror image, which no smaller share of the ink is said to be off


def counted(fields: Bits) -> Floats:
    """All that is counted, of fields (n, 28, 28) of 0 and 1 whose ink is the rarer level: (n, `COUNTED`)."""
    padded = np.pad(fields, ((0, 0), (1, 1), (1, 1))).astype(np.int8)
    turned = padded.transpose(0, 2, 1)
    edges = [np.diff(one, axis=1) == step for one in (padded, turned) for step in (1, -1)]
    ink = [padded == 1, turned == 1]
    paper = [one[:, 1:-1, 1:-1] == 0 for one in (padded, turned)]
    counts = [_squares(fields), *(sum(map(_runs, planes)) for planes in (edges, ink, paper))]
    off = np.array([_off_mirror(field) for field in fields]).reshape(-1, 4)
    whole = np.log(fields.sum(axis=(1, 2)) + 1.0)
    return np.column_stack([np.log1p(np.column_stack(counts)), np.log(off + _MIRRORED), whole])


def _squares(fields: Bits) -> npt.NDArray[np.int64]:
    """How many squares of 3x3 there are of each kind but the blank one: (n, 101)."""
    kinds, count = _square_kinds()
    padded = np.pad(fields, ((0, 0), (2, 2), (2, 2))).astype(np.int64)
    end = SIDE + 2
    codes = sum(
        padded[:, row : row + end, column : column + end] << 3 * row + column for row, column in np.ndindex(3, 3)
    )
    found = kinds[codes].reshape(len(fields), end * end) + count * np.arange(len(fields))[:, None]
    return np.bincount(found.ravel(), minlength=count * len(fields)).reshape(-1, count)[:, 1:]


@cache
def _square_kinds() -> tuple[npt.NDArray[np.int64], int]:
    """The kind of each of 512 squares, by its bits, and how many kinds there are; the blank one is 0."""
    bits = (np.arange(512)[:, None] >> np.arange(9) & 1).reshape(-1, 3, 3)
    both = [bits, bits.transpose(0, 2, 1)]
    same = [one[:, ::down, ::across] for one in both for down in (1, -1) for across in (1, -1)]
    least = np.min([(one.reshape(-1, 9) << np.arange(9)).sum(axis=1) for one in same], axis=0)
    kinds, where = np.unique(least, return_inverse=True)
    return where.astype(np.int64), len(kinds)


def _runs(planes: Flags) -> npt.NDArray[np.int64]:
    """How many runs of True there are along the last axis of (n, R, C), by class of length: (n, 9)."""
    steps = np.diff(np.pad(planes, ((0, 0), (0, 0), (1, 1))).astype(np.int8), axis=2)
    which, _, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[2]
    classes = np.searchsorted(_LENGTHS, ends - starts, side="right") - 1
    found = np.bincount(which * len(_LENGTHS) + classes, minlength=len(planes) * len(_LENGTHS))
    return found.reshape(-1, len(_LENGTHS))


def _off_mirror(field: Bits) -> tuple[float, float, float, float]:
    """The share of its ink by which a field is off its mirror images: left to right, top to bottom, both, and the least."""
    rows, columns = np.flatnonzero(field.any(axis=1)), np.flatnonzero(field.any(axis=0))
    if not len(rows):
        return 0.0, 0.0, 0.0, 0.0
    box = field[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    images = box[:, ::-1], box[::-1], box[::-1, ::-1]
    across, down, turned = (float((box != image).sum()) / (2 * int(box.sum())) for image in images)
    return across, down, turned, min(across, down, turned)


COUNTED = 101 + 3 * len(_LENGTHS) + 5
"""How many figures `counted` gives."""
