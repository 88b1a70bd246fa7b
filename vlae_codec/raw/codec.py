"""The family without a model: a picture's samples as the smallest of several libraries' streams.

    1       method: what is left out (high 4 bits, `forms.Less`), way of coding (low 4 bits, `Coder`)
    4       CRC-32 of the method and of all that follows
    .       a palette of the values that occur, if the method says so (see `picture.palette`)
    .       the stream, to the end

A picture of one pixel value has that value in place of a stream.
"""

from __future__ import annotations

import enum
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.errors import FormatError, ImageError, Progress, TruncatedError
from vlae_codec.picture.raster import Geometry, Kind, PixelFormat, Raster, Samples, is_plain, strips
from vlae_codec.picture.rows import Values

from .forms import Form, Less, forms, read_form, restored
from .streams import DEFAULT_EFFORT, G4, Deflate, DeflateFiltered, InStrips, Lzma, Plain, Way, Webp

CHECK_BYTES = 4
SAMPLE_BYTES, _BANDS = 1 << 17, 4
_MUCH_WORSE = 1.25
Plane = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


class Coder(enum.IntEnum):
    """How the values of a picture are coded: permanent numbers."""

    BLANK = 0  # one pixel value, in place of a stream
    PLAIN = 1
    DEFLATE = 2
    DEFLATE_FILTERED = 3
    LZMA = 4
    LZMA_FILTERED = 5
    WEBP = 6
    G4_ONES = 7
    G4_ZEROS = 8


WAYS: dict[Coder, Way] = {
    Coder.PLAIN: Plain(),
    Coder.DEFLATE: Deflate(),
    Coder.DEFLATE_FILTERED: DeflateFiltered(),
    Coder.LZMA: Lzma(filtering=False),
    Coder.LZMA_FILTERED: Lzma(filtering=True),
    Coder.WEBP: Webp(),
    Coder.G4_ONES: G4(black=1),
    Coder.G4_ZEROS: G4(black=0),
}


def encode(raster: Raster, effort: int = DEFAULT_EFFORT, progress: Progress | None = None) -> bytes:
    """The picture's samples; its geometry is not among them.

    effort: how much is tried, 0 to 9; every step more may take up to four times as long.

    Raises:
        ImageError: samples are not of the levels or entries that the format has.
    """
    pixel = raster.samples[0, 0]
    if is_plain(raster.samples):
        return _checked(Coder.BLANK, Less(0), pixel.astype(pixel.dtype.newbyteorder(">")).tobytes())
    _check_samples(raster)
    for less, coder, data in sorted(_streams(raster, effort, progress), key=lambda candidate: len(candidate[2])):
        payload = _checked(coder, less, data)
        if _holds(payload, raster):
            return payload
    raise AssertionError("plain rows hold every picture")


def _holds(payload: bytes, raster: Raster) -> bool:
    """Whether it is that picture: libraries of all versions are trusted to decode, none to have encoded."""
    try:
        return all(np.array_equal(strip, raster.samples[where]) for where, strip in _strips(raster.geometry, payload))
    except FormatError:
        return False


def _strips(geometry: Geometry, payload: bytes) -> Iterator[tuple[slice, Samples]]:
    """The picture's samples, as many rows at a time as its way of coding allows; errors as of `decode`."""
    coder, less, content = _verified(payload)
    way = WAYS.get(coder)
    if not isinstance(way, InStrips):
        yield from strips(decode(geometry, payload).samples)
        return
    shape, meaning, at = read_form(geometry, less, content, 0)
    for where, values in way.strips(content[at:], shape):
        part = Geometry(geometry.width, len(values), geometry.format)
        yield where, restored(part, less, meaning, values).samples


def verify(geometry: Geometry, data: bytes) -> None:
    """Refuses a payload whose check fails, or that no picture of that geometry has; no pixel is decoded.

    Raises:
        TruncatedError, FormatError: as of `decode`.
    """
    coder, less, content = _verified(data)
    if coder != Coder.BLANK:
        read_form(geometry, less, content, 0)


def decode(geometry: Geometry, data: bytes) -> Raster:
    """The inverse of `encode`: the picture of that geometry.

    Raises:
        TruncatedError: the data end before their check.
        FormatError: they are damaged, or those of a picture of another geometry.
    """
    coder, less, content = _verified(data)
    if coder == Coder.BLANK:
        return _blank(geometry, less, content)
    shape, meaning, at = read_form(geometry, less, content, 0)
    values = WAYS[coder].decode(content[at:], shape)
    return restored(geometry, less, meaning, values)


def encode_plane(plane: Plane, effort: int = DEFAULT_EFFORT) -> bytes:
    """One plane of samples, (H, W) uint8 or uint16."""
    return encode(Raster(plane[..., None], _plane_format(plane.dtype)), effort)


def decode_plane(height: int, width: int, dtype: npt.DTypeLike, data: bytes) -> Plane:
    """The inverse of `encode_plane`: (height, width) of that type, uint8 or uint16.

    Raises:
        FormatError: as of `decode`.
    """
    return decode(Geometry(width, height, _plane_format(np.dtype(dtype))), data).samples[..., 0]


def _plane_format(dtype: np.dtype[np.generic]) -> PixelFormat:
    return PixelFormat(Kind.GRAY, 16 if dtype == np.uint16 else 8)


def _check_samples(raster: Raster) -> None:
    """Raises ImageError unless the samples are of the levels or entries that the format has."""
    form, samples = raster.format, raster.samples
    if form.pair or form.kind == Kind.PALETTE:
        most = 1 if form.pair else len(form.palette) - 1
        if samples.max() > most:
            raise ImageError(f"a pixel is number {samples.max()} of a palette whose last entry is number {most}")
    elif form.depth < 8 and (samples % (255 // ((1 << form.depth) - 1))).any():
        raise ImageError(f"a gray sample is not one of the {1 << form.depth} levels that its format has")


def _streams(raster: Raster, effort: int, progress: Progress | None) -> Iterator[tuple[Less, Coder, bytes]]:
    """What each way that is worth it makes of the values in each form, the table in front."""
    tries = [(form, coder) for form in forms(raster) for coder in _promising(form, effort)]
    for tried, (form, coder) in enumerate(tries, 1):
        for stream in WAYS[coder].encode(form.values, form.shape, effort):
            yield form.less, coder, form.table + stream
        if progress:
            progress("compressing", tried, len(tries))


def _promising(form: Form, effort: int) -> list[Coder]:
    """All ways; of many values WebP, and those that are not much worse than another on a sample of rows."""
    if form.values.nbytes <= SAMPLE_BYTES << max(0, effort - 3):
        return list(WAYS)
    sample = replace(form, values=bands(form.values, SAMPLE_BYTES))
    sizes = {coder: min(map(len, way.encode(sample.values, sample.shape, 0)), default=0) for coder, way in WAYS.items()}
    least = min(size for size in sizes.values() if size)
    return [coder for coder, size in sizes.items() if size and (size <= _MUCH_WORSE * least or coder == Coder.WEBP)]


def bands(values: Values, size: int) -> Values:
    """Some rows, in a few bands that are spread over the picture: at most so many bytes of them, but a row a band."""
    height = len(values)
    count = max(1, size // _BANDS // values[0].nbytes)
    starts = [band * height // _BANDS for band in range(_BANDS)]
    return np.concatenate(
        [values[start : min(start + count, (band + 1) * height // _BANDS)] for band, start in enumerate(starts)]
    )


def _checked(coder: Coder, less: Less, content: bytes) -> bytes:
    method = bytes([less | coder])
    return method + zlib.crc32(method + content).to_bytes(CHECK_BYTES, "big") + content


def _verified(data: bytes) -> tuple[Coder, Less, bytes]:
    if len(data) <= CHECK_BYTES:
        raise TruncatedError("the file ends before its pixels")
    method, check, content = data[:1], data[1 : 1 + CHECK_BYTES], data[1 + CHECK_BYTES :]
    if zlib.crc32(method + content).to_bytes(CHECK_BYTES, "big") != check:
        raise FormatError("the check of the pixels fails: the file is damaged or not whole")
    if method[0] & 0x0F > max(Coder):
        raise FormatError(f"the pixels are coded in way {method[0] & 0x0F}, which is not known: the file is damaged")
    return Coder(method[0] & 0x0F), Less(method[0] & 0xF0), content


def _blank(geometry: Geometry, less: Less, content: bytes) -> Raster:
    form = geometry.format
    size = np.dtype(form.dtype).itemsize
    if less or len(content) != form.channels * size:
        raise FormatError("the one colour of the picture is damaged")
    pixel = np.frombuffer(content, np.dtype(form.dtype).newbyteorder(">"))
    samples: npt.NDArray[Any] = np.tile(pixel.astype(form.dtype), (geometry.height, geometry.width, 1))
    raster = Raster(samples, form)
    try:
        _check_samples(raster)
    except ImageError as error:
        raise FormatError(f"the one colour of the picture is damaged: {error}") from error
    return raster
