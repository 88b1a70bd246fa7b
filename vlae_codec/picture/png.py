"""PNG files (W3C PNG, third edition) where Pillow does not do: every kind of raster written as it came, and metadata.

Pillow writes neither gray of 2 and 4 bits nor 16-bit colours, and reads the latter as 8 bits; nor does it write a picture
before all of it is there. `write_png`, `write_png_bands` and `read_deep_png` do. `png_metadata` reads what is said beside
the pixels, and ignores what is damaged of it.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import IO

import numpy as np

from vlae_codec.coding.deflate import inflate_at_most
from vlae_codec.errors import FormatError

from . import rows
from .chunks import SIGNATURE, png_chunk, png_file
from .metadata import MOST_BYTES, Metadata, Resolution, Unit
from .raster import Geometry, Kind, PixelFormat, Raster, strips
from .rows import Rows

_THOROUGH_BYTES = 1 << 18
"""Rows of at most so many bytes are deflated in every way that is known; of more only in that which is usual."""
_PIECE_BYTES = 1 << 20
"""What a chunk of pixels has at least, unless it is the last one."""
_COLOUR_TYPES = {(Kind.GRAY, False): 0, (Kind.GRAY, True): 4, (Kind.RGB, False): 2, (Kind.RGB, True): 6}
_INDEXED = 3
_XMP = b"XML:com.adobe.xmp\0"


# Writing


def write_png(raster: Raster, metadata: Metadata | None = None) -> bytes:
    """The picture as a PNG file of its own kind and depth."""
    out = io.BytesIO()
    write_png_bands(out, raster.geometry, [raster], metadata)
    return out.getvalue()


def write_png_bands(
    out: IO[bytes], geometry: Geometry, bands: Iterable[Raster], metadata: Metadata | None = None
) -> None:
    """Writes a picture that comes in bands of rows, from the top, as a PNG file of its own kind and depth."""
    form = replace(geometry.format, pair=None)
    colour_type = _INDEXED if form.kind == Kind.PALETTE else _COLOUR_TYPES[form.kind, form.alpha]
    header = struct.pack(">IIBBBBB", geometry.width, geometry.height, form.depth, colour_type, 0, 0, 0)
    said = list(_written_metadata(metadata or Metadata()))
    chunks = [(b"IHDR", header), *((name, body) for name, body in said if name != b"eXIf")]
    if form.palette:
        chunks.append((b"PLTE", bytes(value for entry in form.palette for value in entry[:3])))
    if form.palette and form.alpha:
        chunks.append((b"tRNS", bytes(entry[3] for entry in form.palette).rstrip(b"\xff") or b"\xff"))
    out.write(png_file(chunks))
    for stream in _deflated(_packed(bands), geometry, form):
        out.write(png_chunk(b"IDAT", stream))
    for name, body in said:
        if name == b"eXIf":
            out.write(png_chunk(name, body))
    out.write(png_chunk(b"IEND", b""))


def _packed(bands: Iterable[Raster]) -> Iterator[Rows]:
    """Rows as they are stored (h, R), a strip at a time: samples of a page take eight times as much."""
    for band in bands:
        for _, strip in strips(band.samples):
            stored = Raster(strip, band.format).as_stored()
            form, values = stored.format, stored.samples
            if form.kind == Kind.GRAY and form.depth < 8:
                values = values // np.uint8(255 // ((1 << form.depth) - 1))
            yield rows.pack(values, form.depth)


def _deflated(packed: Iterator[Rows], geometry: Geometry, form: PixelFormat) -> Iterator[bytes]:
    """The zlib stream of filtered rows, in pieces: small pictures in every way that is known, and in one piece."""
    step = max(1, form.channels * form.depth // 8)
    if geometry.height * rows.row_bytes(geometry.width, form.channels, form.depth) <= _THOROUGH_BYTES:
        lines, stream = rows.smallest_deflate(np.concatenate(list(packed)), step)
        yield b"\x78\xda" + stream + zlib.adler32(lines).to_bytes(4, "big")
        return
    level, above = form.depth >= 8 and form.kind != Kind.PALETTE, None
    deflater, held = zlib.compressobj(6), bytearray()
    for strip in packed:
        kept = rows.adaptively_filtered(strip, step, above) if level else rows.filtered(strip, step, rows.NO_FILTER)
        held += deflater.compress(kept.tobytes())
        above = strip[-1:]
        if len(held) >= _PIECE_BYTES:
            yield bytes(held)
            held.clear()
    yield bytes(held + deflater.flush())


def _written_metadata(metadata: Metadata) -> Iterator[tuple[bytes, bytes]]:
    if metadata.cicp:
        yield b"cICP", metadata.cicp
    if metadata.icc:
        yield b"iCCP", b"icc\0\0" + zlib.compress(metadata.icc, 9)
    if metadata.srgb and not metadata.icc:
        yield b"sRGB", bytes([metadata.srgb - 1])
    if metadata.gamma:
        yield b"gAMA", struct.pack(">I", metadata.gamma)
    if metadata.resolution:
        yield b"pHYs", _written_resolution(metadata.resolution)
    if metadata.xmp:
        yield b"iTXt", _XMP + b"\0\0\0\0" + metadata.xmp
    if metadata.exif:
        yield b"eXIf", metadata.exif


def _written_resolution(place: Resolution) -> bytes:
    if place.unit == Unit.RATIO:
        return struct.pack(">IIB", place.x, place.y, 0)
    x, y = (round(value / 0.0254) for value in place.dots_per_inch or (1, 1))
    if place.unit == Unit.METRE:
        x, y = place.x, place.y
    return struct.pack(">IIB", min(max(x, 1), 0x7FFFFFFF), min(max(y, 1), 0x7FFFFFFF), 1)


# Reading


def read_deep_png(data: bytes) -> Raster | None:
    """The picture in a sound PNG file of 16-bit samples, one row after the other; None if the file is another.

    Raises:
        FormatError: its rows are damaged.
    """
    chunks = list(_chunks(data))
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        return None
    width, height, depth, colour_type, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    kinds = {number: kind for kind, number in _COLOUR_TYPES.items()}
    if depth != 16 or colour_type not in kinds or interlaced or any(name == b"tRNS" for name, _ in chunks):
        return None
    form = PixelFormat(kinds[colour_type][0], 16, kinds[colour_type][1])
    line, step = rows.row_bytes(width, form.channels, 16), 2 * form.channels
    size = height * (1 + line)
    reader = zlib.decompressobj()
    try:
        lines = reader.decompress(b"".join(body for name, body in chunks if name == b"IDAT"), size + 1)
    except zlib.error as error:
        raise FormatError(f"its rows cannot be inflated ({error})") from error
    if len(lines) != size:
        raise FormatError("its rows have not the size that its header says")
    return Raster(rows.unpack(rows.unfiltered(lines, height, line, step), width, form.channels, 16), form)


def png_metadata(data: bytes) -> Metadata:
    """What a PNG file says beside its pixels; what is damaged, twice there or too large is left out."""
    found: dict[bytes, bytes] = {}
    for name, body in _chunks(data):
        if name == b"iTXt" and not body.startswith(_XMP):
            continue
        if name in (b"iCCP", b"iTXt", b"pHYs", b"gAMA", b"cICP", b"sRGB", b"eXIf"):
            found.setdefault(name, body)
    intent = found.get(b"sRGB", b"")
    return Metadata(
        icc=_read_profile(found.get(b"iCCP", b"")),
        resolution=_read_resolution(found.get(b"pHYs", b"")),
        gamma=int.from_bytes(found.get(b"gAMA", b"")[:4], "big"),
        cicp=found.get(b"cICP", b"") if len(found.get(b"cICP", b"")) == 4 else b"",
        srgb=intent[0] + 1 if len(intent) == 1 and intent[0] <= 3 else 0,
        exif=found.get(b"eXIf", b""),
        xmp=_read_text(found.get(b"iTXt", b"")),
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each chunk whose check holds."""
    at = len(SIGNATURE) if data.startswith(SIGNATURE) else len(data)
    while at + 12 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        body, check = data[at + 8 : at + 8 + size], data[at + 8 + size : at + 12 + size]
        if check == zlib.crc32(body, zlib.crc32(name)).to_bytes(4, "big"):
            yield name, body
        at += 12 + size


def _read_profile(body: bytes) -> bytes:
    """Name, 0, method 0, and a zlib stream."""
    _, _, rest = body.partition(b"\0")
    return _inflated(rest[1:])


def _inflated(stream: bytes) -> bytes:
    """What a zlib stream holds, nothing if it is damaged or holds too much; its check is not looked at."""
    try:
        return inflate_at_most(stream[2:-4], MOST_BYTES // 2, "it") if len(stream) > 6 else b""
    except FormatError:
        return b""


def _read_resolution(body: bytes) -> Resolution | None:
    if len(body) != 9:
        return None
    x, y, unit = struct.unpack(">IIB", body)
    return Resolution(x, y, Unit(unit)) if x and y and unit in (0, 1) else None


def _read_text(body: bytes) -> bytes:
    """Keyword, 0, whether it is compressed, method, language, 0, translated keyword, 0, text."""
    compressed, rest = body[len(_XMP) : len(_XMP) + 1], body[len(_XMP) + 2 :].split(b"\0", 2)[2:]
    if not rest:
        return b""
    return _inflated(rest[0]) if compressed == b"\1" else rest[0]
