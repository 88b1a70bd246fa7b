"""Made-up photographs of every format that the photo family takes, for tests."""

from __future__ import annotations

import numpy as np

from vlae_codec.picture.raster import Kind, PixelFormat, Raster

FORMS = [
    PixelFormat(Kind.RGB),
    PixelFormat(Kind.RGB, alpha=True),
    PixelFormat(Kind.GRAY),
    PixelFormat(Kind.GRAY, alpha=True),
    PixelFormat(Kind.GRAY, 2),
]


def picture(height: int, width: int, form: PixelFormat = FORMS[0], seed: int = 0) -> Raster:
    """Smooth shapes with some noise, in all levels that the format has."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    waves = [127 + 90 * np.sin(rows / rng.uniform(3, 20) + columns / rng.uniform(3, 20)) for _ in range(form.channels)]
    samples = (np.stack(waves, 2) + rng.normal(0, 6, (height, width, form.channels))).clip(0, 255)
    step = 255 // ((1 << form.depth) - 1)
    return Raster((samples // step * step).astype(np.uint8), form)
