"""A plug-in for Pillow: `import vlae_codec.pillow`, and it reads and writes vlz files as it does others.

    Image.open("x.vlz")                            # size, mode and metadata by the header; pixels when they are needed
    image.save("x.vlz")                            # lossy, as `vlae_codec.compress`
    image.save("x.vlz", lossless=True)             # every pixel that the image has
    image.save("x.vlz", quality=70, effort=9)      # and bpp, size_bytes, threshold, model

A file of a model of one's own needs `opened.model = "FOLDER"` before its pixels do, or `VlzImageFile.model` for all files.

As of other plug-ins: the colour profile and the resolution of an image are kept, but for single drawings, EXIF and XMP if
they are given (`exif=`, `xmp=`); an image is not turned as its EXIF says; what is wrong with a file or an image is an
OSError, options out of their range are a ValueError. A file holds one picture: archives are for `vlae_codec.open_archive`,
and sequences are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile

from . import codec, container
from .choose import chooser
from .errors import FormatError, OptionError, VlaeError
from .family import Ask, Coder
from .picture.images import OURS, picture_of, to_raster
from .picture.metadata import Metadata
from .picture.raster import Geometry, Raster
from .picture.reading import Readable, read_given
from .picture.writing import to_pillow

__all__ = ["VlzImageFile"]

_VERSIONS = (1, 2)
_ASKED = ("lossless", "effort", "quality", "bpp", "size_bytes", "threshold")  # options that `Ask` has, too


class VlzImageFile(ImageFile.ImageFile):
    """A vlz file as Pillow has files."""

    format = OURS
    format_description = "vlae-codec"
    model: Coder | str | None = None  # for files that name no released one: a model that was loaded, or its folder
    _data = b""

    def _open(self) -> None:
        """Takes size, mode and metadata from the header."""
        assert self.fp is not None
        data = self.fp.read()
        if container.is_archive(data[:2]):
            raise OSError("this is an archive of many images: open it with vlae_codec.open_archive")
        try:
            geometry, metadata = codec.heading(data)
        except FormatError as error:
            raise SyntaxError(str(error)) from error  # which tells Pillow that it is not ours
        with _as_os_error():
            sample = _sample(geometry, metadata)
        self._size, self._mode = (geometry.width, geometry.height), sample.mode
        self.info.update(sample.info)
        self.palette = sample.palette
        self._data = data

    def load(self) -> Any:
        """Decodes the picture, once."""
        if self._data:
            with _as_os_error():
                decoded = codec.decode([self._data], model=self.model)[0]
                image = decoded.picture if decoded.metadata is None else to_pillow(decoded.raster)
            self.im, self.palette, self._data = image.im, image.palette, b""
            if self.fp and self._exclusive_fp:
                self.fp.close()
            self.fp = None
        return Image.Image.load(self)


def _sample(geometry: Geometry, metadata: Metadata | None) -> Image.Image:
    """A picture of one pixel that is in all else as that of a file.

    Raises:
        ImageError: Pillow has no such images.
    """
    form = geometry.format
    samples: Any = np.zeros((1, 1, form.channels), form.dtype)
    raster = Raster(samples, form)
    return picture_of(raster) if metadata is None else to_pillow(raster, metadata)


def _accept(prefix: bytes) -> bool:
    """Whether a file may be ours by its first bytes; others begin with the first one, too."""
    return len(prefix) > 1 and prefix[0] == container.MAGIC and prefix[1] >> 4 in _VERSIONS


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Writes one image."""
    options = image.encoderinfo
    if options.get("append_images"):
        _refuse(image, file, filename)
    asked: dict[str, Any] = {name: options[name] for name in _ASKED if name in options}
    ask = Ask(**asked)
    exact, given = ask.lossless and ask.threshold is None, _described(image, options)
    readable = Readable(
        lambda: (to_raster(given, exact=exact), None), lambda: read_given(given, exact=ask.lossless, upright=False)
    )
    with _as_os_error():
        choice = chooser(ask, options.get("model"), Metadata.all)
        file.write(codec.kept(codec.smallest(choice, [choice.see(readable)])[0]).encoded.data)


def _described(image: Image.Image, options: dict[str, Any]) -> Image.Image:
    """The image as it is in memory, saying of itself what is to be kept."""
    given = image.copy()
    said = {key: value for key, value in image.info.items() if key not in ("exif", "xmp")}
    said |= {key: options[key] for key in ("icc_profile", "dpi", "exif", "xmp") if options.get(key) is not None}
    if isinstance(exif := said.get("exif"), Image.Exif):
        said["exif"] = exif.tobytes()
    if isinstance(xmp := said.get("xmp"), str):
        said["xmp"] = xmp.encode()
    given.info = said
    return given


def _refuse(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Raises OSError: sequences are not written."""
    raise OSError("a vlz file holds one picture, not a sequence: save frames one by one, or vlae_codec.pack many files")


@contextmanager
def _as_os_error() -> Iterator[None]:
    try:
        yield
    except OptionError:  # which is a ValueError
        raise
    except VlaeError as error:
        raise OSError(str(error)) from error


Image.register_open(OURS, VlzImageFile, _accept)
Image.register_save(OURS, _save)
Image.register_save_all(OURS, _refuse)
Image.register_extension(OURS, ".vlz")
Image.register_mime(OURS, "image/x-vlz")
