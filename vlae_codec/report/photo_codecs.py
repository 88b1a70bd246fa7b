"""The codecs that a user would pick for photographs instead, each as its library writes it.

Every one runs on one thread, so that its files do not depend on the machine. Lossy ones come with the settings that span
the rates of the table on photographs. JPEG XL is imagecodecs', which is imported only to be used.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import PIL
from PIL import Image, features

from .quality import Samples


@dataclass(frozen=True)
class Baseline:
    """A codec: `encode` is told a setting, one of `settings`; a lossless one has none, and is told 0."""

    key: str
    name: str
    encode: Callable[[Samples, float], bytes]
    decode: Callable[[bytes], Samples]
    settings: tuple[float, ...] = (0,)
    fine: tuple[float, ...] = tuple(range(101))
    """All settings worth a try, from small files to large ones."""

    def within(self, samples: Samples, most_bytes: int) -> bytes | None:
        """The largest file of a picture of at most so many bytes; None if there is none."""
        found, low, high = None, 0, len(self.fine)  # those below low are small enough, those from high on are not
        while low < high:
            middle = low + high >> 1
            data = self.encode(samples, self.fine[middle])
            if len(data) <= most_bytes:
                found, low = data, middle + 1
            else:
                high = middle
        return found


def versions() -> dict[str, str | None]:
    """Of the libraries that the figures depend on; None of those that are not there."""
    jxl = _jpegxl()
    return {
        "pillow": PIL.__version__,
        "imagecodecs": jxl and jxl.__version__,
        "libavif": features.version("avif"),
        "libwebp": features.version("webp"),
        "libjpeg-turbo": features.version("libjpeg_turbo"),
        "libjxl": jxl and jxl.jpegxl_version().removeprefix("libjxl "),
    }


def unavailable() -> list[str]:
    """What is missing here, and so the codecs that are not measured, in words."""
    missing = [] if features.check("avif") else ["AVIF (Pillow 11.3 or later has it)"]
    return missing + ([] if _jpegxl() else ["JPEG XL: pip install 'vlae-codec[baselines]'"])


def available(codecs: Sequence[Baseline]) -> list[Baseline]:
    """Those whose libraries are there."""
    missing = {*([] if features.check("avif") else ["avif"]), *([] if _jpegxl() else ["jxl"])}
    return [codec for codec in codecs if codec.key.partition("_")[0] not in missing]


def _jpegxl() -> Any:
    """imagecodecs, if it is there and has JPEG XL."""
    try:
        imagecodecs = import_module("imagecodecs")
    except ImportError:
        return None
    return imagecodecs if imagecodecs.JPEGXL.available else None


def _pillow(**options: Any) -> Callable[[Samples, float], bytes]:
    """An encoder of Pillow; its quality is the setting, unless the options say it."""

    def encode(samples: Samples, setting: float) -> bytes:
        out = io.BytesIO()
        Image.fromarray(samples).save(out, **{"quality": int(setting)} | options)
        return out.getvalue()

    return encode


def _read(data: bytes) -> Samples:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


def _jxl_lossless(effort: int) -> Callable[[Samples, float], bytes]:
    """A naked codestream, whatever the setting."""

    def encode(samples: Samples, _: float) -> bytes:
        return bytes(_jpegxl().jpegxl_encode(samples, lossless=True, effort=effort, usecontainer=False, numthreads=1))

    return encode


def _jxl(samples: Samples, distance: float) -> bytes:
    return bytes(_jpegxl().jpegxl_encode(samples, distance=distance, effort=7, usecontainer=False, numthreads=1))


def _read_jxl(data: bytes) -> Samples:
    return np.asarray(_jpegxl().jpegxl_decode(data, numthreads=1))


LOSSLESS = (
    Baseline("jxl_9", "JPEG XL, effort 9", _jxl_lossless(9), _read_jxl),
    Baseline("jxl_7", "JPEG XL, effort 7", _jxl_lossless(7), _read_jxl),
    Baseline("webp", "WebP, method 6", _pillow(format="WEBP", lossless=True, quality=100, method=6), _read),
    Baseline("png", "PNG, optimised", _pillow(format="PNG", optimize=True, compress_level=9), _read),
)
_AVIF: dict[str, Any] = {"format": "AVIF", "speed": 4, "max_threads": 1}
_AVIF_PSNR = _AVIF | {"subsampling": "4:4:4", "advanced": {"tune": "psnr"}}
_DISTANCES = tuple(round(25 * 0.92**step, 3) for step in range(50))
LOSSY = (
    Baseline("avif", "AVIF, speed 4", _pillow(**_AVIF), _read, (7, 15, 24, 35, 48, 62)),
    Baseline("avif_psnr", "AVIF, speed 4, 4:4:4, tuned for PSNR", _pillow(**_AVIF_PSNR), _read, (3, 9, 17, 27, 39, 53)),
    Baseline("webp", "WebP, method 6", _pillow(format="WEBP", method=6), _read, (0, 3, 9, 20, 40, 60, 75)),
    Baseline(
        "jpeg",
        "JPEG, optimised, progressive",
        _pillow(format="JPEG", optimize=True, progressive=True),
        _read,
        (1, 4, 8, 14, 25, 40, 60),
    ),
    Baseline("jxl", "JPEG XL, effort 7", _jxl, _read_jxl, (25, 16, 10, 7, 4.5, 3, 2), _DISTANCES),
)
