"""Picture files opened by Pillow: nothing is decoded before its size and kind are known, and every failure is one line.

What Pillow does not look at, or takes for something else, `checks` judges; what is lost when it reads is told by
`check_kept`. What comes of a picture then, a `Drawing` or a `Raster`, is for others to say.
"""

from __future__ import annotations

import io
import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import IO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from vlae_codec.errors import ImageError

from . import checks
from .raster import MOST_PIXELS, SIZES

KEPT = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB", "RGBX": "RGB", "LA": "RGBA", "PA": "RGBA", "RGBA": "RGBA"}
"""Pillow's mode -> the one whose samples are taken, of all of up to 8 bits a sample that lose nothing by it."""
LOSING = {"La": "LA", "RGBa": "RGBA"}
"""The same of modes that do, unless it is RGB."""
_NOT_READ = re.compile("unsupported|unknown (?!error)|cannot handle", re.IGNORECASE)
"""How Pillow begins to say that it does not know what a file's header tells."""
_NUMBERED = re.compile(r"decoder error -?\d+|image file is truncated \(0 bytes not processed\)")
"""What Pillow says where it does not say why."""
_DEEP = re.compile(".*;16[BLN]")
"""Pillow's names for stored samples of 16 bits."""
WHOLE = frozenset({"BMP", "DIB", "GIF", "JPEG", "MPO", "MSP", "PCX", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP", "XBM"})
"""Formats of which Pillow reads every bit, or says by the names of what is stored that it does not."""
_TURNS = dict(
    zip(
        range(2, 9),
        (
            Image.Transpose.FLIP_LEFT_RIGHT,
            Image.Transpose.ROTATE_180,
            Image.Transpose.FLIP_TOP_BOTTOM,
            Image.Transpose.TRANSPOSE,
            Image.Transpose.ROTATE_270,
            Image.Transpose.TRANSVERSE,
            Image.Transpose.ROTATE_90,
        ),
        strict=True,
    )
)
"""What turns a picture of EXIF's orientation upright."""
DRAWN = frozenset({"EPS", "WMF"})
"""Formats that Pillow has another program draw: they are programs themselves, which may never end."""
CheckSize = Callable[[int, int], None]
"""Raises ImageError for a width and height that are not taken."""
logging.getLogger("PIL").addHandler(logging.NullHandler())  # what it logs is for programs that ask, not for stderr
_HEIC = re.compile(rb"....ftyp(heic|heix|hevc|hevx|heim|heis|mif1|msf1)", re.DOTALL)


@dataclass(frozen=True)
class Opened:
    """A picture as read, and what its file said of it.

    kind: Pillow's name of the file's format. stored: Pillow's name for how samples are stored ("L;2", "P;4"), empty if
    it has none. deep: samples had 16 bits, of which 8 were read. orientation: EXIF's.
    note: what is to be known of it.
    """

    picture: Image.Image
    kind: str
    stored: str
    deep: bool
    orientation: int
    note: str | None

    def upright(self) -> Image.Image:
        """The picture as its EXIF says that it is to be seen."""
        turn = _TURNS.get(self.orientation)
        return self.picture if turn is None else self.picture.transpose(turn)


def opened(data: bytes, name: str, exact: bool, page: int | None, check_size: CheckSize) -> Opened:
    """The picture in an image file's bytes; `name` is what errors call it, `page` counts its frames from 1.

    Raises:
        ImageError: `check_size` refuses its width and height; it is damaged, animated though no page is given, or no image
            that Pillow reads; with `exact`, its colours cannot be kept.
    """
    if not data:
        raise ImageError(f"{name} is empty")
    with clear_errors(name), our_settings():
        given, data = data, checks.mended(data, name)
        if _HEIC.match(data):
            _register_heic(name)
        picture = _identified(data, name)
        if picture.format in DRAWN:
            raise ImageError(f"vector format {picture.format} is not supported: convert {name} to PNG")
        note = _turn_to(picture, page, name)
        check_size(*picture.size)
        checks.check_size_of(len(data), picture, name)
        checks.check_stored(picture, data, name, exact)
        if exact:
            check_kept(picture, name)
        check_transparent_gray(picture, name)
        ends_only = exact and checks.levels_that_must_be_at_their_ends(picture, data)
        stored, deep = _stored_as(picture), loses_bits(picture)
        picture.load()
        read = checks.corrected(picture, given)
        if ends_only and not _at_ends(read):
            raise ImageError(f"{name} has levels that 8 or 16 bits a sample do not hold exactly: save it with 8")
        return Opened(read, picture.format or "", stored, deep, checks.orientation(picture), note)


def _identified(data: bytes, name: str) -> ImageFile.ImageFile:
    try:
        return Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        checks.check_unread(data, name)
        raise


def pixel_count(file: IO[bytes]) -> int:
    """How many pixels a picture file claims by its beginning; 0 if it is not one, which whoever reads it will say."""
    try:
        with our_settings():
            width, height = Image.open(file).size
    except Exception:
        return 0
    return width * height


_lock = threading.Lock()
_users = 0
_given = ExitStack()


@contextmanager
def our_settings() -> Iterator[None]:
    """Within the context Pillow refuses only what is beyond our sizes, and warns of nothing.

    Both are settings of the process, and calls overlap: the first one makes them, the last one gives back what was there.
    """
    global _users  # noqa: PLW0603
    with _lock:
        _users += 1
        if _users == 1:
            _given.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
            Image.MAX_IMAGE_PIXELS = MOST_PIXELS
            _given.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _given.close()


@contextmanager
def clear_errors(name: str) -> Iterator[None]:
    """Says in one line what Pillow found wrong with `name`.

    Raises:
        ImageError: it found something wrong.
    """
    try:
        yield
    except ImageError:
        raise
    except (UnidentifiedImageError, SyntaxError) as error:
        raise ImageError(f"{name} is not an image, or a damaged one") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} cannot be coded: {SIZES}") from error
    except Exception as error:  # Pillow's plug-ins raise all sorts on damaged files
        reason = _reason(error)
        if _NOT_READ.match(reason):
            raise ImageError(f"{name} is of a kind that is not read ({reason}): save it as PNG") from error
        raise ImageError(f"{name} is a damaged image: {reason}") from error


def _reason(error: Exception) -> str:
    """What Pillow says, in words."""
    said = str(error).partition("\n")[0]
    if quoted := re.fullmatch(r"b(['\"])(.*)\1", said):  # it does not decode what it says
        said = quoted[2]
    return "its pixels cannot be decoded" if _NUMBERED.fullmatch(said) else said or type(error).__name__


def _register_heic(name: str) -> None:
    try:
        import_module("pillow_heif").register_heif_opener()
    except ImportError as error:
        raise ImageError(f"{name} is HEIC: install pillow-heif to read it, or save it as PNG or JPEG") from error


def _stored_as(picture: ImageFile.ImageFile) -> str:
    names = [tile[3][0] if isinstance(tile[3], tuple) and tile[3] else tile[3] for tile in picture.tile]
    return names[0] if names and isinstance(names[0], str) else ""


def _turn_to(picture: Image.Image, page: int | None, name: str) -> str | None:
    """Shows the page that is asked for; what is to be known of the others.

    Raises:
        ImageError: there is no such page, or there are several and none is asked for.
    """
    pages: int = getattr(picture, "n_frames", 1)
    if page is not None:
        if not 1 <= page <= pages:
            raise ImageError(f"{name} has {pages} {'page' if pages == 1 else 'pages'}, and no page {page}")
        picture.seek(page - 1)
        return None
    if pages > 1 and picture.format != "MPO":
        raise ImageError(f"{name} has several frames: choose one with page=N, or save it as a picture of its own")
    return None if pages == 1 else f"the first of {pages} frames, as phones store previews behind it"


def _at_ends(picture: Image.Image) -> bool:
    samples = np.asarray(picture)
    top = 0xFFFF if picture.mode.startswith("I") else 0xFF
    return bool(((samples == 0) | (samples == top)).all())


def check_kept(picture: Image.Image, name: str) -> None:
    """Refuses what would not be kept exactly.

    Raises:
        ImageError: its colours have to be converted, or it is of a file of which Pillow will not read all bits.
    """
    if picture.format and picture.format not in WHOLE:
        raise ImageError(f"cannot guarantee a lossless read of {name}, as it is {picture.format}: save it as PNG")
    if not picture.mode.startswith(("I", "F")) and picture.mode not in KEPT:
        raise ImageError(f"lossless keeps gray and RGB, and {name} is in {picture.mode}: convert it to RGB")
    if isinstance(picture, ImageFile.ImageFile) and loses_bits(picture):
        how = "with 8" if picture.format == "PNG" else "as PNG"  # of which some models keep all 16
        raise ImageError(
            f"{name} has colours or transparency in 16 bits a sample, of which 8 would be lost: save it {how}"
        )


def check_transparent_gray(picture: Image.Image, name: str) -> None:
    """Refuses gray of 2 or 4 bits with a transparent level: Pillow widens the levels, but not that one.

    Raises:
        ImageError: it is such.
    """
    if "transparency" in picture.info and any(tile[3] in ("L;2", "L;4") for tile in getattr(picture, "tile", ())):
        raise ImageError(f"{name} is gray of 2 or 4 bits with a transparent level: save it with 8 bits")


def loses_bits(picture: ImageFile.ImageFile) -> bool:
    """Whether Pillow will drop bits of the samples in a file, if it did not yet: it keeps 16 of plain gray only."""
    if picture.mode.startswith("I"):
        return False
    for codec, _, _, args in picture.tile:
        stored, *rest = args if isinstance(args, tuple) else (args,)
        if _DEEP.fullmatch(str(stored)) or (codec.startswith("ppm") and rest and rest[0] > 0xFF):
            return True
    return False
