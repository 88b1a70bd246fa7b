"""What the README shows first: what goes in above what comes out, of several pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.picture.images import picture_of
from vlae_codec.picture.raster import Kind, PixelFormat, Raster

_GAP, _PAPER = 12, 255


def side_by_side(columns: Sequence[tuple[Raster, Raster]], scales: Sequence[int]) -> Raster:
    """Pairs, one above the other, each picture enlarged by the scale of its column, in the middle of its place."""
    pairs = [
        [np.kron(_rgb(one), np.ones((scale, scale, 1), np.uint8)) for one in pair]
        for pair, scale in zip(columns, scales, strict=True)
    ]
    height = max(len(one) for pair in pairs for one in pair)
    strips = [np.concatenate([_placed(one, height) for one in pair]) for pair in pairs]
    gap = np.full((len(strips[0]), _GAP, 3), _PAPER, np.uint8)
    samples = np.concatenate([part for strip in strips for part in (gap, strip)] + [gap], 1)
    return Raster(samples, PixelFormat(Kind.RGB))


def _placed(picture: npt.NDArray[Any], height: int) -> npt.NDArray[Any]:
    """In the middle of so many rows, with a gap above and below."""
    above = _GAP + (height - len(picture)) // 2
    below = 2 * _GAP + height - len(picture) - above
    return np.pad(picture, ((above, below), (0, 0), (0, 0)), constant_values=_PAPER)


def _rgb(raster: Raster) -> npt.NDArray[np.uint8]:
    return np.asarray(picture_of(raster).convert("RGB"))
