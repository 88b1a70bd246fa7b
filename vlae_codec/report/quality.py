"""How like a decoded picture is to its original: squared error, structure, and what people see.

psnr_db       peak signal-to-noise ratio over all samples in RGB
ms_ssim_db    -10 log10(1 - MS-SSIM), the latter as of the package pytorch-msssim (Wang, Simoncelli & Bovik 2003)
ssimulacra2   SSIMULACRA 2, at most 100, as of the package of that name, which has to be there
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from vlae_codec.errors import VlaeError

Samples = npt.NDArray[np.uint8]
"""A picture in RGB: (H, W, 3) uint8."""
Planes = npt.NDArray[np.float32]
Metric = Callable[[Samples, Samples], float]

EQUAL_DB = 99.0
"""Said of equal pictures."""
_BELL = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
_WINDOW = (_BELL / _BELL.sum()).astype(np.float32)
_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SMALLEST_SIDE = (len(_WINDOW) - 1) * 2 ** (len(_SCALES) - 1) + 1
"""Pixels of a picture, each way, that MS-SSIM needs."""
_LEAST_LIGHT, _LEAST_CONTRAST = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr_db(original: Samples, decoded: Samples) -> float:
    """Peak signal-to-noise ratio over all samples in RGB."""
    error = np.square(original.astype(np.float64) - decoded).mean()
    return float(10 * np.log10(255**2 / error)) if error else EQUAL_DB


def ms_ssim_db(original: Samples, decoded: Samples) -> float:
    """-10 log10(1 - MS-SSIM), the mean over the three channels.

    Raises:
        VlaeError: the picture is too small for its five scales.
    """
    if min(original.shape[:2]) < SMALLEST_SIDE:
        raise VlaeError(f"MS-SSIM needs pictures of at least {SMALLEST_SIDE} pixels each way")
    x, y = original.astype(np.float32), decoded.astype(np.float32)
    found = np.ones(3)
    for scale, weight in enumerate(_SCALES):
        structure, whole = _similarity(x, y)
        last = scale == len(_SCALES) - 1
        found *= np.maximum(whole if last else structure, 0) ** weight
        x, y = _halved(x), _halved(y)
    return float(-10 * np.log10(max(10 ** (-EQUAL_DB / 10), 1 - found.mean())))


def _similarity(x: Planes, y: Planes) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Contrast and structure, and with light besides: means over the picture (3,) each."""
    mean_x, mean_y = _blurred(x), _blurred(y)
    spread = _blurred(x * x) - mean_x * mean_x + _blurred(y * y) - mean_y * mean_y
    together = _blurred(x * y) - mean_x * mean_y
    structure = (2 * together + _LEAST_CONTRAST) / (spread + _LEAST_CONTRAST)
    light = (2 * mean_x * mean_y + _LEAST_LIGHT) / (mean_x * mean_x + mean_y * mean_y + _LEAST_LIGHT)
    means = [part.astype(np.float64).mean((0, 1)) for part in (structure, light * structure)]
    return means[0], means[1]


def _blurred(x: Planes) -> Planes:
    """Where the whole window fits."""
    for axis in (0, 1):
        turned = np.moveaxis(x, axis, 0)
        size = len(turned) - len(_WINDOW) + 1
        total = np.zeros((size, *turned.shape[1:]), np.float32)
        for at, tap in enumerate(_WINDOW):
            total += tap * turned[at : at + size]
        x = np.moveaxis(total, 0, axis)
    return x


def _halved(x: Planes) -> Planes:
    """Means of 2x2 pixels; an odd side has a line of zeros before and after it."""
    for axis in (0, 1):
        turned = np.moveaxis(x, axis, 0)
        if len(turned) % 2:
            turned = np.pad(turned, [(1, 1), *[(0, 0)] * (turned.ndim - 1)])
        pairs = turned[: len(turned) // 2 * 2]
        x = np.moveaxis((pairs[::2] + pairs[1::2]) * np.float32(0.5), 0, axis)
    return x


def ssimulacra2(original: Samples, decoded: Samples) -> float:
    """SSIMULACRA 2, at most 100; the package reads files.

    Raises:
        VlaeError: it is not installed.
    """
    try:
        from ssimulacra2 import compute_ssimulacra2
    except ImportError as error:
        raise VlaeError("SSIMULACRA 2 needs a package: pip install 'vlae-codec[baselines]'") from error
    files = io.BytesIO(), io.BytesIO()
    for file, samples in zip(files, (original, decoded), strict=True):
        Image.fromarray(samples).save(file, format="BMP")
    return float(compute_ssimulacra2(*files))


METRICS: dict[str, Metric] = {"psnr_db": psnr_db, "ms_ssim_db": ms_ssim_db, "ssimulacra2": ssimulacra2}
"""By their name in tables."""
