"""Pictures in and out: the one module that knows Pillow.

A `Drawing` is a two-level image: bits (H, W), 1 = ink, and a `Look` that says which two colours they are. Pictures of
two colours are kept exactly; others are binarised when they are clearly drawings, or when a threshold says how.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from .errors import ImageError
from .network import SIDE

_LARGEST_SIDE = 1 << 16
_LARGEST_PIXELS = 1 << 26
SIZES = "1x1 to 65535x65535, at most 2^26 pixels"
_MIDDLE_SHARE = 0.25
"""A drawing has at most this share of its pixels in the middle half of its range of grays."""

LARGEST_THRESHOLD = 254
"""Above 254 is no level but 255, and above that none."""
_WEIGHTS = np.array([19595, 38470, 7471]) / 65536
"""Of red, green and blue: those of ITU-R 601, rounded as Pillow's. They add up to 1 exactly."""
_STRIP_PIXELS = 1 << 20

_KEPT = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB", "RGBX": "RGB", "LA": "RGBA", "PA": "RGBA", "RGBA": "RGBA"}
"""Pillow's mode -> the one whose samples are taken, of all of up to 8 bits a sample that lose nothing by it."""
_LOSING = {"La": "RGBA", "RGBa": "RGBA"}
"""The same of modes that do, unless it is RGB."""
_DEEP = re.compile(".*;16[BLN]")
"""Pillow's names for stored samples of 16 bits."""
_WHOLE = frozenset({"BMP", "DIB", "GIF", "JPEG", "MSP", "PCX", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP", "XBM"})
"""Formats of which Pillow reads every bit, or says by the names of what is stored that it does not."""
_DRAWN = frozenset({"EPS", "WMF"})
"""Formats that Pillow has another program draw: they are programs themselves, which may never end."""
_EXACT_FORMATS: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    ".png": ("PNG", None, {"optimize": True}),
    ".bmp": ("BMP", None, {}),
    ".tif": ("TIFF", None, {"compression": "tiff_adobe_deflate"}),
    ".tiff": ("TIFF", None, {"compression": "tiff_adobe_deflate"}),
    ".gif": ("GIF", None, {}),
    ".webp": ("WEBP", None, {"lossless": True, "exact": True}),
    ".pbm": ("PPM", "1", {}),
    ".pgm": ("PPM", None, {}),
    ".ppm": ("PPM", "RGB", {}),
    ".pnm": ("PPM", None, {}),
}
"""Suffix -> Pillow's format, the mode it needs, if any, and options: written so, most drawings keep every pixel."""

Bits = npt.NDArray[np.uint8]
PillowImage = Image.Image
Picture = PillowImage | npt.NDArray[np.generic]


@dataclass(frozen=True)
class Look:
    """The colours of paper and ink, each a tuple of samples: 1 gray, 3 RGB, 4 RGBA; `deep` means 16-bit gray."""

    paper: tuple[int, ...] = (0,)
    ink: tuple[int, ...] = (255,)
    deep: bool = False


@dataclass(frozen=True)
class Drawing:
    """bits (H, W) uint8 in {0, 1}; `note` says what was lost on the way in, if anything."""

    bits: Bits
    look: Look = Look()
    note: str | None = None


def read_drawing(data: bytes, name: str = "the input", threshold: int | None = None, exact: bool = False) -> Drawing:
    """Two-level form of an image file's bytes; `name` is what errors call it, all else is as of `to_drawing`.

    Raises:
        ImageError: see `open_picture` and `to_drawing`.
    """
    picture = open_picture(data, name, exact=exact and threshold is None)
    try:
        return to_drawing(picture, threshold, exact)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error


def open_picture(data: bytes, name: str = "the input", exact: bool = False) -> Image.Image:
    """The picture in an image file's bytes; `name` is what errors call it.

    Raises:
        ImageError: it is too large, damaged, animated, or no image that Pillow reads; with `exact`, its colours cannot be
            kept.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data))
            if picture.format in _DRAWN:
                raise ImageError(f"{name} is {picture.format}, which a program has to draw: save it as PNG")
            _check_size(*picture.size)
            if getattr(picture, "n_frames", 1) > 1:
                raise ImageError(f"{name} has several frames; save the one you mean as a picture of its own")
            if exact:
                _check_kept(picture, name)
            _check_transparent_gray(picture, name)
            picture.load()
            return ImageOps.exif_transpose(picture)
    except ImageError:
        raise
    except (UnidentifiedImageError, SyntaxError) as error:
        raise ImageError(f"{name} is not an image, or a damaged one") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name} has too many pixels to be coded: {SIZES}") from error
    except Exception as error:  # Pillow's plug-ins raise all sorts on damaged files
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ImageError(f"{name} is a damaged image: {reason}") from error


def _check_kept(picture: Image.Image, name: str) -> None:
    """Refuses what would not be kept exactly.

    Raises:
        ImageError: its colours have to be converted, or it is of a file of which Pillow will not read all bits.
    """
    if picture.format and picture.format not in _WHOLE:
        raise ImageError(f"lossless cannot tell what {name} loses when read, as it is {picture.format}: save it as PNG")
    if not picture.mode.startswith(("I", "F")) and picture.mode not in _KEPT:
        raise ImageError(f"lossless keeps gray and RGB, and {name} is in {picture.mode}: convert it to RGB")
    if isinstance(picture, ImageFile.ImageFile) and _loses_bits(picture):
        raise ImageError(
            f"{name} has colours or transparency in 16 bits a sample, of which only 8 can be kept: save it with 8, or "
            "binarise it with --threshold N"
        )


def _check_transparent_gray(picture: Image.Image, name: str) -> None:
    """Refuses gray of 2 or 4 bits with a transparent level: Pillow widens the levels, but not that one.

    Raises:
        ImageError: it is such.
    """
    if "transparency" in picture.info and any(tile[3] in ("L;2", "L;4") for tile in getattr(picture, "tile", ())):
        raise ImageError(f"{name} is gray of 2 or 4 bits with a transparent level: save it with 8 bits")


def _loses_bits(picture: ImageFile.ImageFile) -> bool:
    """Whether Pillow will drop bits of the samples in a file, if it did not yet: it keeps 16 of plain gray only."""
    if picture.mode.startswith("I"):
        return False
    for codec, _, _, args in picture.tile:
        stored, *rest = args if isinstance(args, tuple) else (args,)
        if _DEEP.fullmatch(str(stored)) or (codec.startswith("ppm") and rest and rest[0] > 0xFF):
            return True
    return False


def to_drawing(picture: Picture, threshold: int | None = None, exact: bool = False) -> Drawing:
    """Two-level form of a Pillow image or of an array (H, W), (H, W, 3) or (H, W, 4).

    Gray levels are binarised at the middle of their range if few of them are middle grays, or at `threshold` (0 to 254:
    a luminance above it is the light level). Ink is the rarer level; on a tie the lighter.

    Raises:
        ValueError: the threshold is not 0 to 254.
        ImageError: the image is empty or too large, or has more than two colours and neither is it clearly a drawing nor
            is there a threshold; with `exact` and no threshold, if it has more than two colours, or such as cannot be kept.
    """
    if threshold is not None and not 0 <= threshold <= LARGEST_THRESHOLD:
        raise ValueError(f"a threshold must be 0 to {LARGEST_THRESHOLD}, not {threshold}")
    exact = exact and threshold is None  # what a threshold binarises need not be
    if isinstance(picture, Image.Image):
        _check_transparent_gray(picture, "the picture")
        if exact:
            _check_kept(picture, "the picture")
    samples = _samples(picture)
    height, width = samples.shape[:2]
    _check_size(width, height)
    two_level = None if threshold is not None else _two_colours(samples)
    if two_level is not None:
        return two_level
    if exact:
        raise ImageError(
            "lossless needs an image of two colours, and this one has more: binarise it with --threshold N"
        )
    light = _luminance(samples)
    level = _middle(light) if threshold is None else float(threshold)
    return _with_rarer_ink(light > level, (0,), (255,), deep=False, note=f"binarised at gray level {level:.4g}")


def to_picture(drawing: Drawing) -> Image.Image:
    """The image: mode L for grays, I;16 for deep grays, RGB or RGBA for colours."""
    look = drawing.look
    if look.deep:
        deep = np.where(drawing.bits == 1, np.uint16(look.ink[0]), np.uint16(look.paper[0]))
        return Image.fromarray(deep)
    levels = np.array([look.paper, look.ink], np.uint8)[drawing.bits]  # (H, W, samples)
    return Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)


def png_bytes(picture: Image.Image) -> bytes:
    """The image as an optimised PNG file."""
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


def is_exact(suffix: str) -> bool:
    """Whether `suffix` (".png", ".tif", ...) names a format that can hold drawings exactly."""
    return suffix.lower() in _EXACT_FORMATS


def picture_bytes(drawing: Drawing, suffix: str) -> bytes | None:
    """The picture as a file of the format that `suffix` (".png", ".tif", ...) names, or None if that loses anything."""
    if not is_exact(suffix):
        return None
    kind, mode, options = _EXACT_FORMATS[suffix.lower()]
    picture, out = to_picture(drawing), io.BytesIO()
    try:
        (picture.convert(mode, dither=Image.Dither.NONE) if mode else picture).save(out, kind, **options)
        again = read_drawing(out.getvalue(), exact=True)
    except (ImageError, OSError, ValueError):  # no such picture in this format
        return None
    was = to_drawing(picture, exact=True)
    return out.getvalue() if again.look == was.look and np.array_equal(again.bits, was.bits) else None


@cache
def picture_suffixes() -> frozenset[str]:
    """What the names of pictures may end in, in lower case: ".png", ".jpeg", ..."""
    known = Image.registered_extensions()
    return frozenset(suffix for suffix, kind in known.items() if kind in Image.OPEN.keys() - _DRAWN)


def to_fields(bits: Bits) -> tuple[Bits, npt.NDArray[np.bool_]]:
    """Cuts (H, W) into fields in raster order, and says which pixels lie inside: both (F, 28, 28)."""
    height, width = bits.shape
    rows, cols = grid(height, width)
    padded = np.zeros((2, rows * SIDE, cols * SIDE), np.uint8)
    padded[0, :height, :width] = bits
    padded[1, :height, :width] = 1
    cut = padded.reshape(2, rows, SIDE, cols, SIDE).transpose(0, 1, 3, 2, 4).reshape(2, -1, SIDE, SIDE)
    return cut[0], cut[1].astype(bool)


def cut(drawings: Sequence[Drawing]) -> tuple[Bits, npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Fields of all drawings, which of their pixels are inside, (n, 28, 28), and the place of each in its drawing, (n,)."""
    parts = [to_fields(drawing.bits) for drawing in drawings]
    fields, inside = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    return fields, inside, np.concatenate([np.arange(len(part[0])) for part in parts])


def inside(height: int, width: int) -> npt.NDArray[np.bool_]:
    """Which pixels of the fields of a picture of that size lie in it: (F, 28, 28)."""
    return to_fields(np.zeros((height, width), np.uint8))[1]


def from_fields(fields: Bits, height: int, width: int) -> Bits:
    """The inverse of `to_fields`: (F, 28, 28) -> (height, width)."""
    rows, cols = grid(height, width)
    whole = fields.reshape(rows, cols, SIDE, SIDE).transpose(0, 2, 1, 3).reshape(rows * SIDE, cols * SIDE)
    return whole[:height, :width]


def grid(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of fields."""
    return -(-height // SIDE), -(-width // SIDE)


def field_count(height: int, width: int) -> int:
    """How many 28x28 fields cover a picture of that size."""
    rows, cols = grid(height, width)
    return rows * cols


def fits(width: int, height: int) -> bool:
    """Whether a picture may have that size: SIZES says which may."""
    return 0 < width < _LARGEST_SIDE and 0 < height < _LARGEST_SIDE and width * height <= _LARGEST_PIXELS


def _check_size(width: int, height: int) -> None:
    if not fits(width, height):
        raise ImageError(f"a picture of {width}x{height} pixels cannot be coded: {SIZES}")


def _samples(picture: Picture) -> npt.NDArray[np.uint16] | npt.NDArray[np.uint8]:
    """(H, W, samples) uint8, or (H, W, 1) uint16 for deep grays."""
    if isinstance(picture, Image.Image):
        return _picture_samples(picture)
    given: npt.NDArray[Any] = np.asarray(picture)
    array = given[..., None] if given.ndim == 2 else given
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or array.dtype not in (np.bool_, np.uint8, np.uint16):
        raise ImageError(
            f"an array must be (H, W), (H, W, 3) or (H, W, 4) of bool, uint8 or uint16, not {given.shape} {given.dtype}"
        )
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16 and array.shape[2] > 1:
        raise ImageError("colour arrays must be uint8")
    samples: npt.NDArray[np.uint16] | npt.NDArray[np.uint8] = array
    return samples


def _picture_samples(picture: Image.Image) -> npt.NDArray[np.uint16] | npt.NDArray[np.uint8]:
    mode = picture.mode
    if mode.startswith("I"):
        if "transparency" in picture.info:
            raise ImageError("16-bit gray with a transparent level is not supported: save it without, or with 8 bits")
        deep = np.asarray(picture).astype(np.int64)
        if deep.min(initial=0) < 0 or deep.max(initial=0) > 0xFFFF:
            raise ImageError(f"gray levels of a mode {mode} image must be within 0..65535")
        return deep.astype(np.uint16)[..., None]
    if mode == "F":
        raise ImageError("images of floating-point samples are not supported: save it with 8 or 16 bits a sample")
    taken = "RGBA" if picture.has_transparency_data else (_KEPT | _LOSING).get(mode, "RGB")
    array = np.asarray(picture if mode == taken else picture.convert(taken))
    array = array if array.ndim == 3 else array[..., None]
    if array.shape[2] == 4 and bool((array[..., 3] == 255).all()):
        array = array[..., :3]
    if array.shape[2] == 3 and bool((array == array[..., :1]).all()):
        array = array[..., :1]
    return array


def _two_colours(samples: npt.NDArray[np.generic]) -> Drawing | None:
    """The exact drawing if there are at most two colours, else None."""
    first = samples[0, 0]
    other = (samples != first).any(axis=2)
    where = int(other.argmax())
    deep = samples.dtype == np.uint16
    one = tuple(int(value) for value in first)
    if not other.flat[where]:  # a single colour: all paper; what ink would be does not matter
        return Drawing(np.zeros(other.shape, np.uint8), Look(one, _opposite(one, deep), deep))
    second = samples.reshape(-1, samples.shape[2])[where]
    if not (samples[other] == second).all():
        return None
    two = tuple(int(value) for value in second)
    (dark, light), bright = ((one, two), other) if sum(one) <= sum(two) else ((two, one), ~other)
    return _with_rarer_ink(bright, dark, light, deep, note=None)


def _opposite(colour: tuple[int, ...], deep: bool) -> tuple[int, ...]:
    """For a picture of one colour: an ink that makes the look a short one."""
    top = 0xFFFF if deep else 0xFF
    return tuple(top - value for value in colour[:3]) + colour[3:]


def _with_rarer_ink(
    bright: npt.NDArray[np.bool_], dark: tuple[int, ...], light: tuple[int, ...], deep: bool, note: str | None
) -> Drawing:
    if 2 * int(bright.sum()) <= bright.size:
        return Drawing(bright.astype(np.uint8), Look(dark, light, deep), note)
    return Drawing((~bright).astype(np.uint8), Look(light, dark, deep), note)


def _middle(light: npt.NDArray[np.float32]) -> float:
    """The middle of the range of luminances.

    Raises:
        ImageError: more of them are middle grays than a drawing has.
    """
    low, high = float(light.min()), float(light.max())
    middle, quarter = (low + high) / 2, (high - low) / 4
    if ((light > middle - quarter) & (light < middle + quarter)).mean() > _MIDDLE_SHARE:
        raise ImageError("this is a continuous-tone image, not a drawing in two levels: binarise it with --threshold N")
    return middle


def _luminance(samples: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Luminance 0..255 (H, W), over white where transparent; exact where it is not. A strip of rows at a time."""
    light = np.empty(samples.shape[:2], np.float32)
    rows = max(1, _STRIP_PIXELS // samples.shape[1])
    for top in range(0, len(samples), rows):
        light[top : top + rows] = _strip_luminance(samples[top : top + rows])
    return light


def _strip_luminance(samples: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    values = samples.astype(np.float64)
    if samples.dtype == np.uint16:
        return values[..., 0] / 257.0
    if values.shape[2] == 4:
        alpha = values[..., 3:] / 255.0
        values = values[..., :3] * alpha + 255.0 * (1.0 - alpha)
    if values.shape[2] == 1:
        return values[..., 0]
    light: npt.NDArray[np.float64] = values @ _WEIGHTS
    return light


def check_sheet(count: int, width: int, height: int) -> None:
    """Refuses a sheet of so many drawings that has more pixels than a picture may have.

    Raises:
        ImageError: it has.
    """
    if count * width * height > _LARGEST_PIXELS:
        raise ImageError(
            f"{count} pictures of {width}x{height} pixels are too many for one sheet: give fewer --samples"
        )


def contact_sheet(rows: list[list[Drawing]], scale: int = 1, group: int = 0) -> Image.Image:
    """Drawings of one size in a grid on gray, each enlarged by `scale`; a wider gap after every `group` columns."""
    height, width = (int(side) * scale for side in rows[0][0].bits.shape)
    gap, columns = 2 * scale, max(map(len, rows))

    def left(column: int) -> int:
        return gap + column * (width + gap) + (2 * gap * (column // group) if group else 0)

    sheet = Image.new("RGB", (left(columns - 1) + width + gap, gap + len(rows) * (height + gap)), (128, 128, 128))
    for row, line in enumerate(rows):
        for column, drawing in enumerate(line):
            tile = _on_gray(drawing).resize((width, height), Image.Resampling.NEAREST)
            sheet.paste(tile, (left(column), gap + row * (height + gap)))
    return sheet.convert("L") if all(len(d.look.ink) == 1 for row in rows for d in row) else sheet


def _on_gray(drawing: Drawing) -> Image.Image:
    """The picture in RGB as a viewer shows it, over mid-gray where transparent."""
    look = drawing.look
    if look.deep:
        shown = Look((look.paper[0] >> 8,), (look.ink[0] >> 8,))
        return to_picture(Drawing(drawing.bits, shown)).convert("RGB")
    picture = to_picture(drawing).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, (128, 128, 128, 255)), picture).convert("RGB")


def square(drawings: list[Drawing]) -> list[list[Drawing]]:
    """The drawings in rows of a nearly square grid."""
    columns = int(np.ceil(np.sqrt(len(drawings))))
    return [drawings[i : i + columns] for i in range(0, len(drawings), columns)]


def demo_digits() -> list[Drawing]:
    """The 100 digits of the statically binarised MNIST test set that ship with the package, ten of each class."""
    with np.load(Path(__file__).parent / "digits.npz", allow_pickle=False) as stored:
        packed = stored["test"]
    return [Drawing(bits) for bits in np.unpackbits(packed, axis=1)[:, : SIDE * SIDE].reshape(-1, SIDE, SIDE)]
