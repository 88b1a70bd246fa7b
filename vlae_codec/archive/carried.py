"""Pages that carry on what a model learned of those before: one above the other they are one picture, and are coded as that.

Each begins on the left; right of narrower ones there is background. One page alone cannot be had then: it takes all that
precede it in its chunk.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vlae_codec.errors import FormatError
from vlae_codec.picture.raster import Geometry, PixelFormat, Raster, fits

_FORM = PixelFormat(pair=((0,), (255,)))


def stacked(pictures: Sequence[Raster]) -> Raster:
    """Pictures in two colours as one."""
    form = geometry_of([picture.geometry for picture in pictures])
    samples = np.zeros(form.shape, np.uint8)
    for top, picture in zip(_tops([one.geometry for one in pictures]), pictures, strict=True):
        height, width = picture.samples.shape[:2]
        samples[top : top + height, :width] = picture.samples
    return Raster(samples, _FORM)


def apart(samples: npt.NDArray[np.uint8], geometries: Sequence[Geometry]) -> list[Raster]:
    """The inverse: samples (H, W, 1) of all as each of them."""
    return [
        Raster(samples[top : top + form.height, : form.width].copy(), form.format)
        for top, form in zip(_tops(geometries), geometries, strict=True)
    ]


def geometry_of(geometries: Sequence[Geometry]) -> Geometry:
    """Of all as one.

    Raises:
        FormatError: one has more than two colours, or there are too many pixels.
    """
    width, height = max(form.width for form in geometries), sum(form.height for form in geometries)
    if any(form.format.pair is None for form in geometries) or not fits(width, height):
        raise FormatError("a chunk has pictures that cannot be coded one above the other: the file is damaged")
    return Geometry(width, height, _FORM)


def _tops(geometries: Sequence[Geometry]) -> list[int]:
    """The first row of each."""
    return [*np.cumsum([0, *(form.height for form in geometries[:-1])]).tolist()]
