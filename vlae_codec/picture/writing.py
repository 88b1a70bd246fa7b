"""Pictures out: a `Raster` as a Pillow image, or as the bytes of a file, of its own kind and depth where that can be.

A file that would not hold every pixel is refused unless lossy formats are allowed: what was written is read again to tell.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vlae_codec.errors import ImageError

from .images import EXACT_FORMATS, MOST_SIDE
from .metadata import Metadata
from .png import write_png
from .raster import MOST_PIXELS, Geometry, Kind, PixelFormat, Raster, Samples

_LOSSY_FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".jpg": ("JPEG", {"quality": 92}),
    ".jpeg": ("JPEG", {"quality": 92}),
    ".avif": ("AVIF", {"quality": 85}),
}
OF_FEW_COLOURS = {".pbm": 2, ".gif": 256}
"""Suffix -> how many colours a picture of that format has at most."""
_WITH_ALPHA = frozenset({"AVIF"})
"""Those lossy formats that have transparency."""
_SAYS = {
    "JPEG": {"icc_profile", "dpi", "exif", "xmp"},
    "WEBP": {"icc_profile", "exif", "xmp"},
    "AVIF": {"icc_profile", "exif", "xmp"},
    "TIFF": {"icc_profile", "dpi"},
    "BMP": {"dpi"},
}
"""Pillow's format -> what it writes beside pixels."""


@dataclass(frozen=True)
class Written:
    """A picture file. notes: what it does not hold of the picture."""

    data: bytes
    notes: tuple[str, ...] = ()


def write_picture(raster: Raster, suffix: str, metadata: Metadata | None = None, *, lossy: bool = False) -> Written:
    """The picture as a file of the format that `suffix` (".png", ".tif", ...) names; `lossy` allows JPEG and its like.

    Raises:
        ImageError: there is no such format, or it does not hold every pixel and `lossy` is not given.
    """
    suffix, said = suffix.lower(), metadata or Metadata()
    check_can_hold(suffix, raster.geometry)
    if suffix == ".png":
        return Written(write_png(raster, said))
    if suffix in EXACT_FORMATS:
        return _exact(raster, suffix, said)
    if not lossy:
        raise ImageError(f"{suffix} changes pixels: write it as .png, or allow a lossy format")
    return _lossy(raster, suffix, said)


def check_can_hold(suffix: str, geometry: Geometry, grain: bool = False) -> None:
    """Refuses what is known not to fit before there are pixels; with `grain` there will be all levels of gray or colour.

    Raises:
        ImageError: there is no such format, or none of such pictures.
    """
    suffix, form = suffix.lower(), geometry.format
    if suffix not in EXACT_FORMATS and suffix not in _LOSSY_FORMATS:
        known = ", ".join((*EXACT_FORMATS, *_LOSSY_FORMATS))
        raise ImageError(f"pictures are not written as {suffix or 'a file without a suffix'}, but as one of {known}")
    if max(geometry.width, geometry.height) > (most := MOST_SIDE.get(suffix, MOST_PIXELS)):
        raise ImageError(f"{suffix} holds pictures of {most} pixels a side at most: write it as .png")
    deep_colours = form.depth == 16 and form.channels > 1 and suffix in EXACT_FORMATS and suffix != ".png"
    levels = 256 if form.kind == Kind.GRAY else 1 << 24
    if deep_colours or (grain and OF_FEW_COLOURS.get(suffix, levels) < levels):
        raise ImageError(f"{suffix} does not hold every pixel of this picture: write it as .png")


def to_pillow(raster: Raster, metadata: Metadata | None = None) -> Image.Image:
    """The picture as a Pillow image of mode 1, L, LA, P, RGB, RGBA or I;16, with its metadata in `info` as Pillow has them.

    Raises:
        ImageError: it is in 16-bit colours, or 16-bit gray with transparency, which Pillow does not have.
    """
    image = _image(raster.as_stored())
    said = metadata or Metadata()
    dots = said.resolution.dots_per_inch if said.resolution else None
    wanted = {"icc_profile": said.icc, "dpi": dots, "exif": said.exif and b"Exif\0\0" + said.exif, "xmp": said.xmp}
    image.info.update({key: value for key, value in wanted.items() if value})
    return image


def check_pillow_has(form: PixelFormat) -> None:
    """Refuses a format that Pillow would keep 8 of 16 bits of.

    Raises:
        ImageError: it is one.
    """
    if form.depth == 16 and form.channels > 1:
        raise ImageError("Pillow has no images of 16-bit colours: take the samples as an array, or write a PNG file")


def _image(stored: Raster) -> Image.Image:
    """Errors as of `to_pillow`."""
    form, samples = stored.format, stored.samples
    check_pillow_has(form)
    if form.kind != Kind.PALETTE:
        image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
        return image.convert("1", dither=Image.Dither.NONE) if form.depth == 1 else image
    image = Image.frombytes("P", samples.shape[1::-1], samples.tobytes())
    image.putpalette([value for entry in form.palette for value in entry[:3]])
    if form.alpha:
        opacity = bytes(entry[3] for entry in form.palette)
        one_clear = opacity.count(0) == 1 and opacity.count(255) == len(opacity) - 1
        image.info["transparency"] = opacity.index(0) if one_clear else opacity
    return image


def _exact(raster: Raster, suffix: str, said: Metadata) -> Written:
    from .reading import read_picture

    kind, mode, options = EXACT_FORMATS[suffix]
    for image in _images(raster, mode):
        out = io.BytesIO()
        try:
            image.save(out, kind, **options, **_beside(said, kind))
            again = read_picture(out.getvalue(), exact=True).raster
        except (ImageError, OSError, ValueError):  # there are no such pictures in this format
            continue
        if same_colours(raster, again):
            return Written(out.getvalue(), _left_out(said, kind))
    raise ImageError(f"{suffix} does not hold every pixel of this picture: write it as .png")


def _images(raster: Raster, mode: str | None) -> Iterator[Image.Image]:
    """The picture as it came, with its palette resolved, and without transparency if nothing is transparent."""
    colours: npt.NDArray[Any] = raster.colours()
    if colours.dtype == np.uint16 and colours.shape[2] > 1:
        return
    if raster.format.alpha and bool((colours[..., -1] == 255).all()):
        colours = np.ascontiguousarray(colours[..., :-1])
    resolved = to_pillow(_of_colours(colours))
    if mode:
        yield resolved.convert(mode, dither=Image.Dither.NONE)
    else:
        as_it_came = to_pillow(raster)
        if not isinstance(as_it_came.info.get("transparency"), bytes):  # which PNG alone has
            yield as_it_came
        yield resolved


def _of_colours(colours: Samples) -> Raster:
    channels = colours.shape[2]
    kind = Kind.RGB if channels > 2 else Kind.GRAY
    return Raster(colours, PixelFormat(kind, 8 * colours.dtype.itemsize, alpha=channels in (2, 4)))


def same_colours(one: Raster, other: Raster) -> bool:
    """Whether both show the same: the same colours at every pixel, however they are stored."""
    own, others = one.colours(), other.colours()
    if own.dtype != others.dtype or own.shape != others.shape:
        own, others = _wide(own), _wide(others)
    return np.array_equal(own, others)


def _wide(colours: Samples) -> npt.NDArray[np.uint16]:
    """As RGBA of 16 bits."""
    deep = colours if colours.dtype == np.uint16 else colours.astype(np.uint16) * np.uint16(257)
    channels = deep.shape[2]
    alpha = deep[..., -1:] if channels in (2, 4) else np.full_like(deep[..., :1], 0xFFFF)
    whole: npt.NDArray[Any] = np.concatenate([deep[..., [0, 0, 0] if channels < 3 else [0, 1, 2]], alpha], axis=2)
    return whole


def _lossy(raster: Raster, suffix: str, said: Metadata) -> Written:
    kind, options = _LOSSY_FORMATS[suffix]
    colours, notes = raster.colours(), ["its pixels are only near those of the picture"]
    if colours.dtype == np.uint16:
        colours = (colours >> 8).astype(np.uint8)
        notes.append("its 16 bits a sample were reduced to 8")
    if colours.shape[2] in (2, 4) and kind not in _WITH_ALPHA:
        clear = bool((colours[..., -1] < 255).any())
        colours, notes = _over_white(colours), notes + ["what was transparent is white"] * clear
    out = io.BytesIO()
    try:
        to_pillow(_of_colours(colours)).save(out, kind, **options, **_beside(said, kind))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ImageError(f"the picture cannot be written as {suffix}: {reason}") from error
    return Written(out.getvalue(), (*notes, *_left_out(said, kind)))


def _over_white(colours: Samples) -> Samples:
    wide, alpha = colours[..., :-1].astype(np.uint32), colours[..., -1:].astype(np.uint32)
    return ((wide * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _beside(said: Metadata, kind: str) -> dict[str, Any]:
    """What Pillow is to write beside the pixels."""
    exif = b"Exif\0\0" + said.exif if said.exif else b""
    dots = said.resolution.dots_per_inch if said.resolution else None
    wanted = {"icc_profile": said.icc, "exif": exif, "xmp": said.xmp, "dpi": dots}
    return {key: value for key, value in wanted.items() if value and key in _SAYS.get(kind, ())}


def _left_out(said: Metadata, kind: str) -> tuple[str, ...]:
    there = {"icc_profile": said.icc, "exif": said.exif, "xmp": said.xmp}
    names = {"icc_profile": "colour profile", "exif": "EXIF", "xmp": "XMP"}
    lost = [names[key] for key, value in there.items() if value and key not in _SAYS.get(kind, ())]
    return (f"{kind} files hold no {' and no '.join(lost)}",) if lost else ()
