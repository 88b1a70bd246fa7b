"""Values of pixels to bytes and back, in the ways of several libraries. Each way is a pair, and a class of its own.

All take values (H, W, C), uint8 or uint16, below 2^depth; a depth below 8 has one channel. `encode` gives None where a way
cannot code such values. `decode` gives exactly what was encoded, or raises FormatError; it allocates no more than some
times the values it is asked for, whatever its bytes say.
"""

from __future__ import annotations

import io
import lzma
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin, WebPImagePlugin

from vlae_codec.coding.deflate import deflate, inflate
from vlae_codec.errors import FormatError
from vlae_codec.picture import rows
from vlae_codec.picture.opening import our_settings
from vlae_codec.picture.rows import Rows, Values

DEFAULT_EFFORT, MOST_EFFORT = 5, 9
_LARGEST_WEBP_SIDE, _LARGEST_WEBP = 16383, 1 << 26  # pixels: its decoder holds three pictures at 4 bytes a pixel
_WEBP_HEADER = 5  # RFC 9649, 3.4: signature, then width - 1 and height - 1 (14 bits each), alpha (1), version (3)
_LARGEST_DICTIONARY = 1 << 23
_EOFB = 0x001001  # ITU-T T.6, 2.4.1.1
_EOFB_BITS = 24
_STRIP_PIXELS = 1 << 22


def affordable(steps: int, effort: int) -> bool:
    """Whether an effort allows that many steps, of about a microsecond each: a second at 5, four times as long at 6."""
    return steps <= 1 << 20 + 2 * (effort - DEFAULT_EFFORT)


@dataclass(frozen=True)
class Shape:
    """Of the values that a stream codes."""

    height: int
    width: int
    channels: int
    depth: int

    @property
    def rows(self) -> tuple[int, int, int]:
        """How many rows there are, of how many bytes, and the bytes of a pixel."""
        width = rows.row_bytes(self.width, self.channels, self.depth)
        return self.height, width, max(1, self.channels * self.depth // 8)


class Way(Protocol):
    """One way of coding values."""

    def encode(self, values: Values, shape: Shape, effort: int) -> Iterator[bytes]:
        """The values' bytes, in as many variants as the effort (0 to 9) allows; none if it cannot code such values."""

    def decode(self, data: bytes, shape: Shape) -> Values:
        """The values.

        Raises:
            FormatError: the data are damaged.
        """


@runtime_checkable
class InStrips(Protocol):
    """A way whose values need not all be there at once."""

    def strips(self, data: bytes, shape: Shape) -> Iterator[tuple[slice, Values]]:
        """The values of some rows after the other, and which; errors as of `Way.decode`."""


def _unpacked(packed: Rows, shape: Shape) -> Values:
    return rows.unpack(packed, shape.width, shape.channels, shape.depth)


class Plain:
    """Packed rows as they are."""

    def encode(self, values: Values, shape: Shape, effort: int) -> Iterator[bytes]:
        yield rows.pack(values, shape.depth).tobytes()

    def decode(self, data: bytes, shape: Shape) -> Values:
        height, width, _ = shape.rows
        if len(data) != height * width:
            raise FormatError(f"the pixels have {len(data)} bytes, not {height * width}: the file is damaged")
        return _unpacked(np.frombuffer(data, np.uint8).reshape(height, width), shape)


class DeflateFiltered:
    """Filtered rows, deflated: what a PNG file has in its IDAT chunks."""

    def encode(self, values: Values, shape: Shape, effort: int) -> Iterator[bytes]:
        packed, step = rows.pack(values, shape.depth), shape.rows[2]
        tried = rows.FILTERS if affordable(packed.size, effort) else (rows.UP,)
        yield rows.smallest_deflate(packed, step, tried)[1]

    def decode(self, data: bytes, shape: Shape) -> Values:
        height, width, step = shape.rows
        lines = inflate(data, height * (1 + width), "the pixel section")
        return _unpacked(rows.unfiltered(lines, height, width, step), shape)


class Deflate:
    """Rows as they are, deflated."""

    def encode(self, values: Values, shape: Shape, effort: int) -> Iterator[bytes]:
        yield deflate(rows.pack(values, shape.depth).tobytes())

    def decode(self, data: bytes, shape: Shape) -> Values:
        height, width, _ = shape.rows
        lines = np.frombuffer(inflate(data, height * width, "the pixel section"), np.uint8)
        return _unpacked(lines.reshape(height, width), shape)


class Lzma:
    """Rows as LZMA2 (.xz file format 1.2.1, 5.3.1), whose dictionary is as large as they, but 2^12 to 2^23 bytes.

    `filtering` says whether they are filtered as for deflate.
    """

    def __init__(self, filtering: bool) -> None:
        self._filtering = filtering

    def encode(self, values: Values, shape: Shape, effort: int) -> Iterator[bytes]:
        packed, step = rows.pack(values, shape.depth), shape.rows[2]
        data = (rows.adaptively_filtered(packed, step) if self._filtering else packed).tobytes()
        for context in self._contexts(shape, affordable(len(data), effort)):
            chain = _lzma2(len(data)) | {"preset": 9 | lzma.PRESET_EXTREME} | context
            yield lzma.compress(data, lzma.FORMAT_RAW, filters=[chain])

    def _contexts(self, shape: Shape, all_of_them: bool) -> list[dict[str, int]]:
        """What LZMA looks at: high bits of the byte before, and low bits of the position."""
        usual = {"lc": 0, "lp": 1, "pb": 1} if shape.depth == 16 else {"lc": 3, "lp": 0, "pb": 2}
        return [usual, {"lc": 0, "lp": 0, "pb": 0}, {"lc": 4, "lp": 0, "pb": 0}] if all_of_them else [usual]

    def decode(self, data: bytes, shape: Shape) -> Values:
        height, width, step = shape.rows
        size = height * (width + self._filtering)
        try:
            reader = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[_lzma2(size)])
            lines = reader.decompress(data, size + 1)
        except (lzma.LZMAError, EOFError) as error:
            raise FormatError(f"the pixel section is damaged: {error}") from error
        if len(lines) != size or not reader.eof or reader.unused_data:
            raise FormatError(f"the pixel section has not the {size} bytes that the file says: it is damaged")
        if self._filtering:
            return _unpacked(rows.unfiltered(lines, height, width, step), shape)
        return _unpacked(np.frombuffer(lines, np.uint8).reshape(height, width), shape)


def _lzma2(size: int) -> dict[str, Any]:
    return {"id": lzma.FILTER_LZMA2, "dict_size": min(max(size, 1 << 12), _LARGEST_DICTIONARY)}


class Webp:
    """Lossless WebP (RFC 9649, 3), less the five bytes of its header: 1 channel is gray, 2 are gray and alpha."""

    # quality and method of libwebp, which say how it searches, as all is lossless -> microseconds a pixel: at least, and for
    # every byte that a pixel takes so many more; it packs few colours as `pack` does
    _SETTINGS = ((80, 4, 0.0, 0.0), (50, 6, 1.0, 0.0), (100, 5, 0.5, 3.5), (100, 6, 2.5, 20.0))

    def encode(self, values: Values, shape: Shape, effort: int) -> Iterator[bytes]:
        if not self._fits(shape):
            return
        flat = values[..., 0] if shape.channels == 1 else values
        picture = Image.fromarray(flat).convert("RGB" if shape.channels in (1, 3) else "RGBA")
        pixels, size = shape.height * rows.row_bytes(shape.width, 1, shape.depth), 0
        for quality, method, least, more in self._SETTINGS:
            if not affordable(round(least * pixels + more * min(size, pixels)), effort):
                continue
            out = io.BytesIO()
            picture.save(out, "WEBP", lossless=True, exact=True, quality=quality, method=method)
            stream = _vp8l(out.getvalue())[_WEBP_HEADER:]
            size = size or len(stream)
            yield stream

    def decode(self, data: bytes, shape: Shape) -> Values:
        if not self._fits(shape):
            raise FormatError("the file has a picture as WebP that is too large for it: it is damaged")
        alpha = shape.channels in (2, 4)
        head = struct.pack("<BI", 0x2F, shape.width - 1 | (shape.height - 1) << 14 | alpha << 28)
        stream = head + data
        chunk = b"WEBPVP8L" + struct.pack("<I", len(stream)) + stream + b"\0" * (len(stream) % 2)
        got = _opened(WebPImagePlugin.WebPImageFile, b"RIFF" + struct.pack("<I", len(chunk)) + chunk)
        expected = (shape.height, shape.width, 4 if alpha else 3)
        if got.shape != expected:
            raise FormatError(f"the pixel section has a WebP picture of {got.shape}, not {expected}: it is damaged")
        return got[..., {1: [1], 2: [1, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[shape.channels]]

    def _fits(self, shape: Shape) -> bool:
        side, pixels = max(shape.width, shape.height), shape.width * shape.height
        return shape.depth <= 8 and side <= _LARGEST_WEBP_SIDE and pixels <= _LARGEST_WEBP


def _vp8l(file: bytes) -> bytes:
    """The data of a WebP file's VP8L chunk: chunks are type, u32 size, data padded to even."""
    at = 12
    while file[at : at + 4] != b"VP8L":
        at += 8 + (size := int.from_bytes(file[at + 4 : at + 8], "little")) + size % 2
    return file[at + 8 : at + 8 + int.from_bytes(file[at + 4 : at + 8], "little")]


class G4:
    """ITU-T T.6 (fax group 4) without the marker at its end; `black` is the bit that its black runs stand for."""

    def __init__(self, black: int) -> None:
        self._black = black

    def encode(self, values: Values, shape: Shape, effort: int) -> Iterator[bytes]:
        if shape.depth != 1 or shape.channels != 1:
            return
        packed = rows.pack(values, 1)
        white = packed if self._black else ~packed
        out, picture = io.BytesIO(), Image.frombytes("1", (shape.width, shape.height), white.tobytes())
        strip = shape.height * shape.rows[1]
        picture.save(out, "TIFF", compression="group4", strip_size=strip)
        with TiffImagePlugin.TiffImageFile(io.BytesIO(out.getvalue())) as written:
            ((start, size),) = zip(written.tag_v2[273], written.tag_v2[279], strict=True)
        yield _without_marker(out.getvalue()[start : start + size])

    def decode(self, data: bytes, shape: Shape) -> Values:
        picture = self._picture(data, shape)
        bits = np.empty((shape.height, shape.width, 1), np.uint8)
        for where, strip in self._strips(picture):
            bits[where] = strip
        return bits

    def strips(self, data: bytes, shape: Shape) -> Iterator[tuple[slice, Values]]:
        """See `InStrips`."""
        yield from self._strips(self._picture(data, shape))

    def _strips(self, picture: Image.Image) -> Iterator[tuple[slice, Values]]:
        count = max(1, _STRIP_PIXELS // picture.width)
        for top in range(0, picture.height, count):
            bottom = min(top + count, picture.height)
            white = np.asarray(picture.crop((0, top, picture.width, bottom)))
            yield slice(top, bottom), (white == bool(self._black)).astype(np.uint8)[..., None]

    def _picture(self, data: bytes, shape: Shape) -> Image.Image:
        """Black and white as Pillow has them, a byte a pixel."""
        if shape.depth != 1 or shape.channels != 1:
            raise FormatError("the file has a picture as fax that is not one of two colours: it is damaged")
        strip = data + _EOFB.to_bytes(3, "big")
        tags = [(256, shape.width), (257, shape.height), (258, 1), (259, 4), (262, 1), (273, 8)]
        tags += [(277, 1), (278, shape.height), (279, len(strip))]
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
        start = 8 + len(strip) + len(strip) % 2
        head = struct.pack("<2sHI", b"II", 42, start) + strip + b"\0" * (len(strip) % 2)
        file = head + struct.pack("<H", len(tags)) + entries + bytes(4)
        picture = _loaded(TiffImagePlugin.TiffImageFile, file)
        if picture.size != (shape.width, shape.height):
            raise FormatError("the pixel section has a fax of another size than the file says: it is damaged")
        return picture


def _without_marker(strip: bytes) -> bytes:
    """The strip's bits up to its last EOFB, filled up with zero bits to whole bytes, and without zero bytes at the end."""
    tail = int.from_bytes(strip[-8:], "big")
    zeros = (tail & -tail).bit_length() - 1
    assert tail >> zeros & (1 << _EOFB_BITS) - 1 == _EOFB, "libtiff ends a strip with EOFB"
    kept = tail >> zeros + _EOFB_BITS << zeros + _EOFB_BITS
    return (strip[:-8] + kept.to_bytes(min(8, len(strip)), "big")).rstrip(b"\0")


def _opened(plugin: Any, file: bytes) -> npt.NDArray[Any]:
    """The samples that a Pillow plug-in reads from a file; errors as of `_loaded`."""
    return np.asarray(_loaded(plugin, file))


def _loaded(plugin: Any, file: bytes) -> Image.Image:
    """What a Pillow plug-in reads from a file of our own making: its size is known, so nothing else has to be checked."""
    try:
        with our_settings():
            picture: Image.Image = plugin(io.BytesIO(file))
            picture.load()
            return picture
    except Exception as error:  # Pillow's plug-ins raise all sorts on damaged data
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise FormatError(f"the pixel section is damaged: {reason}") from error
