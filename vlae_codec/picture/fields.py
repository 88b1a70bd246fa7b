"""Fields: the 28x28 pieces that a two-level picture is cut into, and the order in which their pixels are coded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from vlae_codec.exact.wavefront import Wavefront

SIDE = 28
"""Height and width of a field, pixels."""
_Value = TypeVar("_Value", bound=np.generic)
Bits = npt.NDArray[np.uint8]
"""Fields of pixels, 1 = ink: (B, 28, 28) uint8."""


WAVEFRONT = Wavefront(SIDE, SIDE)
"""The pixels that advance together."""
CODING_ORDER = WAVEFRONT.order()
"""Raster indices (784,), sorted by t = col + 2 row, then by row."""


def in_coding_order(fields: npt.NDArray[_Value]) -> npt.NDArray[_Value]:
    """Pixels in the order of the wavefront: (B, 28, 28) or (B, 784) -> (784, B)."""
    return fields.reshape(len(fields), SIDE * SIDE)[:, CODING_ORDER].T


def to_fields(bits: Bits) -> tuple[Bits, npt.NDArray[np.bool_]]:
    """Cuts (H, W) into fields in raster order, and says which pixels lie inside: both (F, 28, 28)."""
    height, width = bits.shape
    rows, cols = field_grid(height, width)
    padded = np.zeros((2, rows * SIDE, cols * SIDE), np.uint8)
    padded[0, :height, :width] = bits
    padded[1, :height, :width] = 1
    cut = padded.reshape(2, rows, SIDE, cols, SIDE).transpose(0, 1, 3, 2, 4).reshape(2, -1, SIDE, SIDE)
    return cut[0], cut[1].astype(bool)


def cut_fields(pictures: Sequence[Bits]) -> tuple[Bits, npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Fields of all pictures, which of their pixels are inside, (n, 28, 28), and the place of each in its picture, (n,)."""
    parts = [to_fields(bits) for bits in pictures]
    fields, inside = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    return fields, inside, np.concatenate([np.arange(len(part[0])) for part in parts])


def pixels_inside(height: int, width: int) -> npt.NDArray[np.bool_]:
    """Which pixels of the fields of a picture of that size lie in it: (F, 28, 28)."""
    return to_fields(np.zeros((height, width), np.uint8))[1]


def from_fields(fields: Bits, height: int, width: int) -> Bits:
    """The inverse of `to_fields`: (F, 28, 28) -> (height, width)."""
    rows, cols = field_grid(height, width)
    whole = fields.reshape(rows, cols, SIDE, SIDE).transpose(0, 2, 1, 3).reshape(rows * SIDE, cols * SIDE)
    return whole[:height, :width]


def field_grid(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of fields."""
    return -(-height // SIDE), -(-width // SIDE)


def field_count(height: int, width: int) -> int:
    """How many 28x28 fields cover a picture of that size."""
    rows, cols = field_grid(height, width)
    return rows * cols


def crossing(bits: Bits) -> float:
    """Pairs of ink across a border of two fields, in the mean over all borders: of (H, W)."""
    above, left = slice(SIDE - 1, -1, SIDE), slice(SIDE, None, SIDE)
    pairs = int((bits[above] & bits[left]).sum()) + int((bits[:, above] & bits[:, left]).sum())
    rows, columns = field_grid(*bits.shape)
    borders = (rows - 1) * columns + rows * (columns - 1)
    return float(pairs / max(1, borders))
