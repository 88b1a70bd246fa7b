"""Pictures as plain RGB, and scaled: what training and reports look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from .reading import read_picture

Rgb = npt.NDArray[np.uint8]
"""Samples of 8 bits: (H, W, 3)."""


def read_rgb(path: Path) -> Rgb:
    """The picture of a file, gray as three equal channels, without what it has of opacity.

    Raises:
        ImageError: it cannot be read.
        OSError: neither can the file.
    """
    samples = read_picture(path.read_bytes(), str(path)).raster.colours()
    opaque = samples[..., : 3 if samples.shape[2] > 2 else 1]
    deep = opaque.dtype == np.uint16
    return np.repeat((opaque >> 8 if deep else opaque).astype(np.uint8), 3 // opaque.shape[2], axis=2)


def scaled(picture: Rgb, height: int, width: int, area: bool = False) -> Rgb:
    """The picture at another size, by Lanczos' filter or, with `area`, by means over areas."""
    kind = Image.Resampling.BOX if area else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize((width, height), kind))


def grayed(picture: Rgb) -> Rgb:
    """The picture without its colours: three equal channels."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).convert("L").convert("RGB"))
