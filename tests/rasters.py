"""Rasters of every pixel format, for tests."""

from __future__ import annotations

import numpy as np

from vlae_codec.picture.raster import Kind, PixelFormat, Raster

_RNG = np.random.default_rng(0)
_COLOURS = tuple(tuple(int(v) for v in row) for row in _RNG.integers(0, 256, (200, 4)))
_RAMP = tuple((v, v, v) for v in range(256))

FORMATS = {
    "gray 1": PixelFormat(depth=1),
    "gray 2": PixelFormat(depth=2),
    "gray 4": PixelFormat(depth=4),
    "gray 8": PixelFormat(),
    "gray 16": PixelFormat(depth=16),
    "gray 8 alpha": PixelFormat(alpha=True),
    "gray 16 alpha": PixelFormat(depth=16, alpha=True),
    "rgb 8": PixelFormat(Kind.RGB),
    "rgb 16": PixelFormat(Kind.RGB, 16),
    "rgb 8 alpha": PixelFormat(Kind.RGB, alpha=True),
    "rgb 16 alpha": PixelFormat(Kind.RGB, 16, True),
    "palette 1": PixelFormat(Kind.PALETTE, 1, palette=_RAMP[7:9]),
    "palette 2": PixelFormat(Kind.PALETTE, 2, palette=_RAMP[100:103]),
    "palette 4 alpha": PixelFormat(Kind.PALETTE, 4, True, _COLOURS[:11]),
    "palette 8": PixelFormat(Kind.PALETTE, 8, palette=_RAMP),
    "palette 8 alpha": PixelFormat(Kind.PALETTE, 8, True, _COLOURS),
    "two of gray 1": PixelFormat(depth=1, pair=((0,), (255,))),
    "two of gray 1 inverted": PixelFormat(depth=1, pair=((255,), (0,))),
    "two of gray 16": PixelFormat(depth=16, pair=((3,), (40000,))),
    "two of rgb 8": PixelFormat(Kind.RGB, pair=((1, 2, 3), (200, 0, 9))),
    "two of rgb 16 alpha": PixelFormat(Kind.RGB, 16, True, pair=((0, 0, 0, 65535), (65535,) * 4)),
    "two of palette 8": PixelFormat(Kind.PALETTE, 8, palette=_RAMP, pair=((70,), (9,))),
}


def raster(form: PixelFormat, height: int, width: int, seed: int = 0, smooth: bool = True) -> Raster:
    """A picture of that format: of noise, or smooth with some grain."""
    rng = np.random.default_rng(seed)
    if form.pair:
        top, step = 1, 1
    elif form.kind == Kind.PALETTE:
        top, step = len(form.palette) - 1, 1
    else:
        top, step = form.top, form.top // ((1 << form.depth) - 1)
    shape = height, width, form.channels
    if smooth:
        rows, columns = np.mgrid[:height, :width]
        waves = np.sin(rows / 9 + seed)[..., None] + np.cos(
            columns / 7 + np.arange(form.channels)[:, None, None]
        ).T.swapaxes(0, 1)
        levels = (waves / 4 + 0.5) * (top // step) + rng.integers(-1, 2, shape)
    else:
        levels = rng.integers(0, top // step + 1, shape)
    return Raster((np.clip(np.round(levels), 0, top // step) * step).astype(form.dtype), form)


def of_colours(colours: np.ndarray) -> Raster:
    """The raster of colours (H, W, C)."""
    kind = Kind.RGB if colours.shape[2] > 2 else Kind.GRAY
    return Raster(colours, PixelFormat(kind, 8 * colours.dtype.itemsize, colours.shape[2] in (2, 4)))
