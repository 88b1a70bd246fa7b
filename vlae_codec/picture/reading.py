"""Pictures in: the bytes of a picture file, a Pillow image or an array, as a `Raster` and what is said beside its pixels.

With `exact` nothing is lost or changed, or the picture is refused; without, it is converted, and a note says so. A palette
stays one, and few bits stay few. A picture is turned upright as its EXIF says, unless told not to.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vlae_codec.errors import FormatError, ImageError

from . import checks
from .drawing import drawing_of, raster_of
from .images import Picture, read_raster, samples_of, to_raster
from .metadata import MOST_BYTES, Metadata, Resolution, Unit
from .npy import MAGIC, read_npy
from .opening import LOSING, check_kept, check_transparent_gray, clear_errors, opened, our_settings
from .png import png_metadata, read_deep_png
from .profiles import is_srgb
from .raster import Kind, Pixel, PixelFormat, Raster, check_size

_AS_THEY_ARE = {
    "L": PixelFormat(),
    "LA": PixelFormat(alpha=True),
    "RGB": PixelFormat(Kind.RGB),
    "RGBA": PixelFormat(Kind.RGB, alpha=True),
}
_ARRAYS = {1: (Kind.GRAY, False), 2: (Kind.GRAY, True), 3: (Kind.RGB, False), 4: (Kind.RGB, True)}
_TURNS: dict[int, Any] = {
    2: lambda array: array[:, ::-1],
    3: lambda array: array[::-1, ::-1],
    4: lambda array: array[::-1],
    5: lambda array: array.swapaxes(0, 1),
    6: lambda array: array[::-1].swapaxes(0, 1),
    7: lambda array: array[::-1, ::-1].swapaxes(0, 1),
    8: lambda array: array[:, ::-1].swapaxes(0, 1),
}
"""What turns samples (H, W, C) of EXIF's orientation upright."""
_TURNED = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)([1-8])""")


@dataclass(frozen=True)
class Reading:
    """A picture as read. notes: what was changed, or is to be known. kind: Pillow's name of its format; empty if none."""

    raster: Raster
    metadata: Metadata = Metadata()
    notes: tuple[str, ...] = ()
    kind: str = ""


@dataclass(frozen=True)
class Readable:
    """A picture that is to be read: as drawings are read, with what was lost; and as it is."""

    drawing: Callable[[], tuple[Raster, str | None]]
    picture: Callable[[], Reading]

    def two_levels(self, threshold: int | None = None, exact: bool = False) -> tuple[Raster, str | None]:
        """The picture in two colours, as of `drawing.drawing_of`, and what was lost on the way.

        Raises:
            ImageError: it cannot be read, or cannot be had in two colours.
        """
        raster, lost = self.drawing()
        drawing = drawing_of(raster, threshold, exact)
        return raster_of(drawing), "; ".join(filter(None, (drawing.note, lost))) or None

    @classmethod
    def of_file(
        cls, data: bytes, name: str, *, exact: bool = False, threshold: int | None = None, page: int | None = None
    ) -> Readable:
        """A picture file's bytes, or an npy file's; arguments as of `read_picture`.

        What a threshold binarises need not be exact.
        """
        if data.startswith(MAGIC):
            return cls.of_given(read_npy(data, name), exact=exact, threshold=threshold)
        return cls(
            lambda: read_raster(data, name, exact=exact and threshold is None, page=page),
            lambda: read_picture(data, name, exact=exact, page=page),
        )

    @classmethod
    def of_given(cls, picture: Picture, *, exact: bool = False, threshold: int | None = None) -> Readable:
        """A Pillow image or an array."""
        return cls(
            lambda: (to_raster(picture, exact=exact and threshold is None), None),
            lambda: read_given(picture, exact=exact),
        )

    @classmethod
    def of_raster(cls, raster: Raster, note: str | None = None) -> Readable:
        """Samples that are here already."""
        return cls(lambda: (raster, note), lambda: Reading(raster, notes=(note,) if note else ()))


def read_picture(
    data: bytes, name: str = "the input", *, exact: bool = False, page: int | None = None, upright: bool = True
) -> Reading:
    """The picture in a file's bytes; `name` is what errors call it, `page` counts its frames from 1.

    Raises:
        ImageError: it is too large, damaged, animated though no page is given, or no picture that can be read; with
            `exact`, it would not be kept exactly.
    """
    deep = _deep(data, name) if exact else None
    if deep is not None:
        metadata = png_metadata(data)
        return _finished(deep, metadata, [], "PNG", orientation(metadata) if upright else 1)
    found = opened(data, name, exact, page, check_size)
    with clear_errors(name), our_settings():
        raster, notes = _from_pillow(found.picture, found.stored or found.kind, name)
    metadata = png_metadata(data) if found.kind == "PNG" else _metadata(found.picture, found.kind)
    notes += [found.note] if found.note else []
    notes += ["its 16 bits a sample were reduced to 8"] if found.deep else []
    return _finished(raster, metadata, notes, found.kind, found.orientation if upright else 1)


def _finished(raster: Raster, metadata: Metadata, notes: list[str], kind: str, turn: int) -> Reading:
    """Turned from that orientation, and without metadata that are too large or say what a few bytes can."""
    if turn != 1:
        raster = Raster(np.ascontiguousarray(_TURNS[turn](raster.samples)), raster.format)
        metadata = _upright(metadata)
    metadata, more = _bounded(metadata)
    if is_srgb(metadata.icc):  # three bytes say as much
        metadata = replace(metadata, icc=b"", srgb=metadata.srgb or 1)
    return Reading(raster, metadata, (*notes, *more), kind)


def read_given(picture: Picture, *, exact: bool = False, upright: bool = True) -> Reading:
    """A Pillow image, or an array (H, W) or (H, W, C) of bool, uint8 or uint16, with C = 1 gray, 2 gray and alpha, 3 or 4.

    Raises:
        ImageError: as of `read_picture`, or the array is another.
    """
    if not isinstance(picture, Image.Image):
        return Reading(_from_array(np.asarray(picture)))
    name = "the picture"
    check_size(*picture.size)
    check_transparent_gray(picture, name)
    if exact:
        check_kept(picture, name)
    with clear_errors(name), our_settings():
        picture.load()
        raster, notes = _from_pillow(picture, "", name)
        turn = checks.orientation(picture) if upright else 1
    kind = picture.format or ""
    return _finished(raster, _metadata(picture, kind), notes, kind, turn)


def _deep(data: bytes, name: str) -> Raster | None:
    """A PNG file of 16-bit samples, which Pillow would read as 8 bits unless they are plain gray; None if it is another."""
    if data[:8] + data[12:16] != b"\x89PNG\r\n\x1a\nIHDR" or data[24:26] not in (b"\x10\2", b"\x10\4", b"\x10\6"):
        return None
    check_size(*struct.unpack_from(">II", data, 16))
    mended = checks.mended(data, name)
    if b"acTL" in mended[:1024]:
        return None
    try:
        return read_deep_png(mended)
    except FormatError as error:
        raise ImageError(f"{name} is a damaged image: {error}") from error


# Samples


def _from_array(array: npt.NDArray[Any]) -> Raster:
    given = array[..., None] if array.ndim == 2 else array
    if given.ndim != 3 or given.shape[2] not in _ARRAYS or given.dtype not in (np.bool_, np.uint8, np.uint16):
        raise ImageError(
            "an array must be (H, W) or (H, W, C) with 1 to 4 samples a pixel, of bool, uint8 or uint16, "
            f"not {array.shape} {array.dtype}"
        )
    if given.dtype == np.bool_ and given.shape[2] > 1:
        raise ImageError("an array of bool must be (H, W): colours are uint8 or uint16")
    kind, alpha = _ARRAYS[given.shape[2]]
    if given.dtype == np.bool_:
        return Raster(given.astype(np.uint8) * np.uint8(255), PixelFormat(depth=1))
    return Raster(given, PixelFormat(kind, 8 * given.dtype.itemsize, alpha))


def _from_pillow(picture: Image.Image, stored: str, name: str) -> tuple[Raster, list[str]]:
    """The samples of a loaded picture, and what of them had to be changed.

    stored: Pillow's name for how its file stores them; if it has none, that of the file's format; empty if there is no file.
    """
    mode = picture.mode
    if mode == "F":
        raise ImageError(f"{name} has floating-point samples, which are not supported: save it with 8 or 16 bits each")
    if mode.startswith("I"):
        return _deep_gray(picture, name), []
    if mode == "P":
        return _palette(picture, stored), []
    if "transparency" in picture.info and mode in ("1", "L", "RGB"):
        return _with_clear_colour(picture), []
    if mode == "1":
        return Raster(samples_of(picture, "L"), PixelFormat(depth=1)), []
    taken = LOSING.get(mode, {"PA": "RGBA"}.get(mode, mode if mode in _AS_THEY_ARE else "RGB"))
    notes = [] if mode in ("PA", "RGBX", taken) else [f"its colours were converted from {mode} to {taken}"]
    if notes and mode in _OTHER_COLOURS and picture.info.get("icc_profile"):
        notes = [f"{notes[0]}, so its colour profile was dropped"]
    raster = Raster(samples_of(picture, taken), _AS_THEY_ARE[taken])
    few = re.fullmatch(r"L;([24])[A-Z]*", stored)
    return (_of_few_bits(raster, int(few[1])) if few and taken == "L" else raster), notes


def _of_few_bits(gray: Raster, depth: int) -> Raster:
    """The same with that depth, if all its samples are of its levels."""
    on_levels = not (gray.samples % (255 // ((1 << depth) - 1))).any()
    return Raster(gray.samples, PixelFormat(depth=depth)) if on_levels else gray


def _deep_gray(picture: Image.Image, name: str) -> Raster:
    if "transparency" in picture.info:
        raise ImageError(f"{name} is 16-bit gray with a transparent level: save it without, or with 8 bits")
    deep = np.asarray(picture).astype(np.int64)
    if deep.min() < 0 or deep.max() > 0xFFFF:
        raise ImageError(f"{name} has gray levels beyond 0..65535: save it with 16 bits a sample")
    return Raster(deep.astype(np.uint16)[..., None], PixelFormat(depth=16))


def _with_clear_colour(picture: Image.Image) -> Raster:
    """Gray or colours of which one is transparent, which `info` names."""
    samples: npt.NDArray[Any] = np.asarray(picture.convert("L") if picture.mode == "1" else picture)
    samples = samples if samples.ndim == 3 else samples[..., None]
    clear = np.array(picture.info["transparency"], np.int64).reshape(-1)
    clear = np.where(clear > 0, 255, 0) if picture.mode == "1" else clear
    alpha = np.where((samples == clear).all(axis=2, keepdims=True), np.uint8(0), np.uint8(255))
    return Raster(np.concatenate([samples, alpha], axis=2), _AS_THEY_ARE["RGBA" if samples.shape[2] == 3 else "LA"])


def _palette(picture: Image.Image, stored: str) -> Raster:
    numbers: npt.NDArray[np.uint8] = np.asarray(picture)[..., None]
    count, entries = int(numbers.max()) + 1, _entries(picture)
    entries += [(0, 0, 0, 255)] * (count - len(entries))  # Pillow shows what is not there as black
    few = re.fullmatch(r"P;([124])[A-Z]*", stored)
    depth = int(few[1]) if few else 8
    if stored == "GIF" or count > 1 << depth:
        depth = next(bits for bits in (1, 2, 4, 8) if max(count, len(entries)) <= 1 << bits)
    alpha = any(entry[3] < 255 for entry in entries) or "transparency" in picture.info
    palette = tuple(entry if alpha else entry[:3] for entry in entries[: 1 << depth])
    return Raster(numbers, PixelFormat(Kind.PALETTE, depth, alpha, palette))


def _entries(picture: Image.Image) -> list[Pixel]:
    """The entries of a palette, each red, green, blue, opacity."""
    colours = np.array(picture.getpalette("RGB") or [], np.int64).reshape(-1, 3)
    opacity = np.full(len(colours), 255)
    said = picture.info.get("transparency")
    if picture.palette is not None and picture.palette.mode.endswith("A"):
        opacity = np.array(picture.getpalette("RGBA"), np.int64).reshape(-1, 4)[: len(colours), 3]
    if isinstance(said, bytes):
        opacity[: len(said)] = list(said[: len(opacity)])
    elif isinstance(said, int) and said < len(opacity):
        opacity[said] = 0
    return [tuple(entry) for entry in np.column_stack([colours, opacity]).tolist()]


# What is said beside the pixels


_OTHER_COLOURS = "CMYK", "LAB"
"""Modes whose profiles say nothing of the colours that they are converted to."""


def _metadata(picture: Image.Image, kind: str) -> Metadata:
    """Of a picture of any other kind than PNG, and of a Pillow image."""
    info = picture.info
    exif, xmp = info.get("exif"), info.get("xmp")
    icc = info.get("icc_profile")
    return Metadata(
        icc=icc if isinstance(icc, bytes) and picture.mode not in _OTHER_COLOURS else b"",
        resolution=_resolution(info, kind),
        exif=exif.removeprefix(b"Exif\0\0") if isinstance(exif, bytes) else b"",
        xmp=xmp if isinstance(xmp, bytes) else b"",
    )


def _resolution(info: dict[Any, Any], kind: str) -> Resolution | None:
    """Pillow's dots per inch; JPEG's ratio where it has no unit."""
    unit, scale = (Unit.METRE, 1 / 0.0254) if kind in ("PNG", "BMP", "DIB") else (Unit.MILLI_INCH, 1000.0)
    pair = info.get("dpi")
    if pair is None and info.get("jfif_unit") == 0:
        unit, scale, pair = Unit.RATIO, 1.0, info.get("jfif_density")
    if not isinstance(pair, Sequence) or len(pair) != 2:
        return None
    try:
        x, y = (round(float(value) * scale) for value in pair)
        nothing = (x, y) == (1, 1) or (kind == "TIFF" and "resolution" in info)  # which has no unit
        return None if nothing else Resolution(x, y, unit)
    except (TypeError, ValueError, OverflowError):
        return None


def _bounded(metadata: Metadata) -> tuple[Metadata, list[str]]:
    """Without what is too large to be kept."""
    most = MOST_BYTES // 4
    sizes = {"colour profile": len(metadata.icc), "EXIF": len(metadata.exif), "XMP": len(metadata.xmp)}
    kept = replace(
        metadata,
        icc=metadata.icc if len(metadata.icc) <= most else b"",
        exif=metadata.exif if len(metadata.exif) <= most else b"",
        xmp=metadata.xmp if len(metadata.xmp) <= most else b"",
    )
    return kept, [f"its {what} is too large to be kept" for what, size in sizes.items() if size > most]


def orientation(metadata: Metadata) -> int:
    """How a picture is to be turned, 1 to 8 as of EXIF: what EXIF says, else XMP; 1 if neither does."""
    order, places = _orientations(metadata.exif)
    said = [struct.unpack_from(f"{order}H", metadata.exif, at)[0] for at in places]
    said += [int(number) for _, number in _TURNED.findall(metadata.xmp)]
    return said[0] if said and 1 <= said[0] <= 8 else 1


def _upright(metadata: Metadata) -> Metadata:
    """What says how a picture is turned, for one that has been turned."""
    return replace(metadata, exif=_upright_exif(metadata.exif), xmp=_TURNED.sub(rb"\g<1>1", metadata.xmp))


def _upright_exif(exif: bytes) -> bytes:
    out = bytearray(exif)
    order, places = _orientations(exif)
    for at in places:
        struct.pack_into(f"{order}H", out, at, 1)
    return bytes(out)


def _orientations(exif: bytes) -> tuple[str, list[int]]:
    """The order of bytes, and where tag 0x112 has its short in the first directory (Exif 2.32, 4.6.2 and 4.6.4)."""
    order = "<" if exif[:2] == b"II" else ">"
    places = []
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, _, _ = struct.unpack_from(f"{order}HHIH", exif, at)
            places += [at + 8] if (tag, kind) == (0x112, 3) else []
    except struct.error:
        pass  # it ends early: what was found is right
    return order, places
