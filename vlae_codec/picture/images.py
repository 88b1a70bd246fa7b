"""Pictures in and out, by Pillow: files and arrays in, drawings of two levels out, and back.

Pictures of two colours are kept exactly; others are binarised when they are clearly drawings, or when a threshold says
how.
"""

from __future__ import annotations

import io
from dataclasses import replace
from functools import cache
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vlae_codec.errors import ImageError
from vlae_codec.options import check_switches, check_whole

from .checks import check_file_size, png_size
from .drawing import LARGEST_THRESHOLD, Drawing, check_size, drawing_of
from .opening import DRAWN, KEPT, LOSING, check_kept, check_transparent_gray, clear_errors, opened, our_settings
from .raster import MOST_PIXELS, Kind, PixelFormat, Raster

EXACT_FORMATS: dict[str, tuple[str, str | None, dict[str, Any]]] = {
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
MOST_SIDE = {".gif": 0xFFFF, ".webp": 16383, ".jpg": 65500, ".jpeg": 65500, ".avif": 1 << 16}
"""Suffix -> how wide and high pictures are at most in that format, where its definition or its library says so."""

OURS = "VLZ"
"""Pillow's name of our own format, if the plug-in `vlae_codec.pillow` is there: none of pictures that are to be coded."""
_IN_ONE_BIT = frozenset({"PNG", "TIFF", "BMP"})

PillowImage = Image.Image
Picture = PillowImage | npt.NDArray[np.generic]


def read_drawing(
    data: bytes,
    name: str = "the input",
    threshold: int | None = None,
    exact: bool = False,
    page: int | None = None,
) -> Drawing:
    """Two-level form of an image file's bytes; `name` is what errors call it, all else is as of `to_drawing`.

    Raises:
        ImageError: see `open_picture` and `to_drawing`.
    """
    found = opened(data, name, exact and threshold is None, page, check_size)
    try:
        drawing = to_drawing(found.upright(), threshold, exact)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    return replace(drawing, note="; ".join(filter(None, (drawing.note, found.note))) or None)


def read_raster(
    data: bytes, name: str = "the input", exact: bool = False, page: int | None = None
) -> tuple[Raster, str | None]:
    """The samples of an image file's bytes, and what is to be known of them; all else is as of `to_raster`.

    Raises:
        ImageError: see `open_picture` and `to_raster`; it calls the file `name`.
    """
    found = opened(data, name, exact, page, check_size)
    try:
        return to_raster(found.upright(), exact), found.note
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error


def open_picture(data: bytes, name: str = "the input", exact: bool = False, page: int | None = None) -> Image.Image:
    """The picture in an image file's bytes; `name` is what errors call it, `page` counts its frames from 1.

    Raises:
        ImageError: it is too large, damaged, animated though no page is given, or no image that Pillow reads; with `exact`,
            its colours cannot be kept.
    """
    return opened(data, name, exact, page, check_size).upright()


def check_beginning(file: IO[bytes], size: int, name: str) -> None:
    """Judges a picture file of so many bytes by its beginning; little of it is read.

    Raises:
        ImageError: it is not a picture, or one of too many pixels, or has far more bytes than its pixels need.
    """
    with clear_errors(name), our_settings():
        width, height = png_size(file.read(24)) or Image.open(file).size
        check_size(width, height)
        check_file_size(size, width * height, name)


def to_drawing(picture: Picture, threshold: int | None = None, exact: bool = False) -> Drawing:
    """Two-level form of a Pillow image or of an array (H, W), (H, W, 3) or (H, W, 4).

    Gray levels are binarised at the middle of their range if few of them are middle grays, or at `threshold` (0 to 254:
    a luminance above it is the light level). Ink is the rarer level; on a tie the lighter.

    Raises:
        OptionError: the threshold is not 0 to 254, or an option is of another type.
        ImageError: the image is empty or too large, or has more than two colours and neither is it clearly a drawing nor
            is there a threshold; with `exact` and no threshold, if it has more than two colours, or such as cannot be kept.
    """
    check_whole("threshold", threshold, 0, LARGEST_THRESHOLD, optional=True)
    check_switches(exact=exact)
    exact = exact and threshold is None  # what a threshold binarises need not be
    return drawing_of(to_raster(picture, exact), threshold, exact)


def to_raster(picture: Picture, exact: bool = False) -> Raster:
    """The samples of a Pillow image or of an array (H, W), (H, W, 3) or (H, W, 4).

    Of a Pillow image, colours that are all gray become gray, and an alpha channel that is opaque everywhere goes.

    Raises:
        ImageError: the image is empty or too large, or of a kind that is not supported; with `exact`, if its samples cannot
            be kept.
    """
    if isinstance(picture, Image.Image):
        check_transparent_gray(picture, "the picture")
        if exact:
            check_kept(picture, "the picture")
    samples = _samples(picture)
    kind, depth = Kind.GRAY if samples.shape[2] == 1 else Kind.RGB, 8 * samples.dtype.itemsize
    return Raster(samples, PixelFormat(kind, depth, alpha=samples.shape[2] == 4))


def picture_of(raster: Raster) -> Image.Image:
    """The image: mode L or LA for grays, I;16 for deep ones, RGB or RGBA for colours, of which it keeps 8 bits a sample."""
    samples = raster.colours()
    if samples.dtype == np.uint16 and samples.shape[2] > 1:
        samples = (samples >> 8).astype(np.uint8)
    return Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)


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
    return suffix.lower() in EXACT_FORMATS


def picture_bytes(drawing: Drawing, suffix: str) -> bytes | None:
    """The picture as a file of the format that `suffix` (".png", ".tif", ...) names, or None if that loses anything."""
    if not is_exact(suffix) or max(drawing.bits.shape) > MOST_SIDE.get(suffix.lower(), MOST_PIXELS):
        return None
    kind, mode, options = EXACT_FORMATS[suffix.lower()]
    picture, out = to_picture(drawing), io.BytesIO()
    if kind in _IN_ONE_BIT and (few := _in_one_bit(drawing, kind)):
        stored, options = few, options | ({"compression": "group4"} if kind == "TIFF" else {})
    else:
        stored = picture.convert(mode, dither=Image.Dither.NONE) if mode else picture
    try:
        stored.save(out, kind, **options)
        again = read_drawing(out.getvalue(), exact=True)
    except (ImageError, OSError, ValueError):  # no such picture in this format
        return None
    was = to_drawing(picture, exact=True)
    return out.getvalue() if again.look == was.look and np.array_equal(again.bits, was.bits) else None


def _in_one_bit(drawing: Drawing, kind: str) -> Image.Image | None:
    """The picture with a bit a pixel, black and white or with a palette; None if there is no such for its colours."""
    look = drawing.look
    if {look.paper, look.ink} == {(0,), (255,)} and not look.deep:
        return Image.fromarray((drawing.bits == 1) == (look.ink == (255,)))
    if look.deep or kind != "PNG":
        return None
    picture = Image.fromarray(drawing.bits)
    picture.putpalette([value for colour in (look.paper, look.ink) for value in (colour[:3] * 3)[:3]])
    if len(look.ink) == 4:
        picture.info["transparency"] = bytes([look.paper[3], look.ink[3]])
    return picture


@cache
def picture_suffixes() -> frozenset[str]:
    """What the names of pictures may end in, in lower case: ".png", ".jpeg", ..."""
    known = Image.registered_extensions()
    return frozenset(suffix for suffix, kind in known.items() if kind in Image.OPEN.keys() - DRAWN - {OURS})


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
    array = _clear_black_and_white(picture) if mode == "1" and "transparency" in picture.info else _converted(picture)
    if array.shape[2] == 4 and bool((array[..., 3] == 255).all()):
        array = array[..., :3]
    if array.shape[2] == 3 and all(bool((array[..., 0] == array[..., other]).all()) for other in (1, 2)):
        array = array[..., :1]
    return array


def _converted(picture: Image.Image) -> npt.NDArray[np.uint8]:
    picture = picture.convert("LA") if picture.mode == "La" else picture  # Pillow converts it to nothing else
    mode = picture.mode
    taken = "RGBA" if picture.has_transparency_data else (KEPT | LOSING).get(mode, "RGB")
    return samples_of(picture, taken)


_STRIP_PIXELS = 1 << 22


def samples_of(picture: Image.Image, mode: str) -> npt.NDArray[np.uint8]:
    """The samples (H, W, C) of a loaded picture as one of L, LA, RGB or RGBA, a strip of rows at a time.

    Pillow makes a copy of what it converts, and two of what becomes an array.
    """
    width, height = picture.size
    samples = np.empty((height, width, len(mode)), np.uint8)
    rows = max(1, _STRIP_PIXELS // max(1, width))
    with our_settings():  # older versions of Pillow look at what they crop
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            part = picture.crop((0, top, width, bottom))
            strip = np.asarray(part if part.mode == mode else part.convert(mode))
            samples[top:bottom] = strip.reshape(bottom - top, width, len(mode))
    return samples


def _clear_black_and_white(picture: Image.Image) -> npt.NDArray[np.uint8]:
    """Black and white, one of them transparent: some versions of Pillow forget that when they convert it."""
    light = np.asarray(picture.convert("L"))[..., None]
    opaque = (light != (255 if picture.info["transparency"] else 0)) * np.uint8(255)
    return np.concatenate([light, light, light, opaque], axis=2)
