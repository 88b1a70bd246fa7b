"""YCoCg-R, the reversible colours of 8-bit RGB (Malvar & Sullivan 2003): luma 0 .. 255, two chromas -255 .. 255."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Planes = npt.NDArray[np.int32]
"""Samples as signed integers: (..., 3) int32."""


def to_ycocg(rgb: npt.NDArray[np.uint8]) -> Planes:
    """RGB (..., 3) -> Y, Co, Cg (..., 3)."""
    red, green, blue = np.moveaxis(rgb.astype(np.int32), -1, 0)
    co = red - blue
    middle = blue + (co >> 1)
    cg = green - middle
    return np.stack([middle + (cg >> 1), co, cg], -1)


def to_rgb(planes: Planes) -> Planes:
    """The inverse of `to_ycocg`; of other triples, values that may lie outside 0 .. 255."""
    y, co, cg = np.moveaxis(planes, -1, 0)
    middle = y - (cg >> 1)
    blue = middle - (co >> 1)
    return np.stack([blue + co, cg + middle, blue], -1)
