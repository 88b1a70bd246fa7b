"""What Pillow does not look at in picture files, or takes for something else: judged here, before and after it reads them.

`mended` takes a file's bytes before Pillow sees them: of a PNG only what its pixels need, with every check verified, so that
no metadata can keep a picture from being read. `check_stored` refuses what would be read wrongly, or in part only.
`corrected` turns what was read into what the file says.

Which formats are read right was found out with files written by hand from the formats' definitions
(`tests/picture_files.py`), and once with netpbm as a judge.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vlae_codec.errors import ImageError

from .chunks import SIGNATURE, png_file

_PIXEL_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf", b"acTL", b"fcTL", b"fdAT"})
_METADATA_CHUNKS = frozenset(
    {
        b"eXIf",
        b"tEXt",
        b"zTXt",
        b"iTXt",
        b"iCCP",
        b"cICP",
        b"gAMA",
        b"cHRM",
        b"sRGB",
        b"sBIT",
        b"pHYs",
        b"tIME",
        b"bKGD",
    }
)
"""Those that may be damaged: no one bit makes another of tRNS."""
_PALETTE = 3  # of a PNG's types of colour
_CHANNELS = {0: 1, 2: 3, _PALETTE: 1, 4: 2, 6: 4}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Left, top, steps right and down of a PNG's passes."""
_BLOCK_BYTES, _SPARE_BYTES = 1 << 16, 1 << 16
_MOST_PER_PIXEL, _MOST_BESIDE = 16, 1 << 26  # bytes of a file of which the pixels are known


def mended(data: bytes, name: str) -> bytes:
    """The file as Pillow should read it: see above.

    Raises:
        ImageError: it is a PNG, and damaged.
    """
    if data.startswith(SIGNATURE):
        return _mended_png(data, name)
    if data.startswith(b"BM"):
        return _mended_bmp(data, 14)
    if data[:4] in _DIB_SIZES:
        return _mended_bmp(data, 0)
    return data


def check_stored(picture: Image.Image, data: bytes, name: str, exact: bool) -> None:
    """Refuses what an opened picture, not yet loaded, would be read as wrongly; with `exact`, also what would lose samples.

    Raises:
        ImageError: it is such.
    """
    if picture.format == "PPM":
        _check_netpbm(data, picture, name)
    if picture.format == "PCX":
        _check_pcx(data, name)
    if picture.format == "TIFF":
        _check_tiff(_tiff_tags(data, _tiff_offset(picture), name), len(data), name, exact)
    count = _images(picture, data)
    if count > 1:
        raise ImageError(f"{name} holds {count} images: save the one you mean as a picture of its own")


def check_unread(data: bytes, name: str) -> None:
    """Says what is wrong with a file that Pillow does not take for a picture, if that can be told.

    Raises:
        ImageError: it is a TIFF that is damaged, or of a kind that is not read.
    """
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return
    tags = _tiff_tags(data, None, name)
    bits, channels = tags.all(_BITS) or (1,), tags.one(_CHANNELS_TAG, 1)
    if tags.one(_WIDTH, 0) and tags.one(_HEIGHT, 0):
        kind = f"{channels} {'sample' if channels == 1 else 'samples'} of {max(bits)} bits a pixel"
        raise ImageError(f"{name} is a TIFF of a kind that is not read, {kind}: save it as PNG")


def corrected(picture: Image.Image, data: bytes) -> Image.Image:
    """A loaded picture as its file says that it is; `data` are the file's bytes before they were mended."""
    if picture.format == "XBM":  # a set bit is black
        return picture.point(lambda value: 255 - value)
    if picture.format in ("BMP", "DIB") and picture.mode == "P" and mended(data, "it") is not data:
        picture.putpalette([0, 0, 0, *(picture.getpalette() or [])[3:]])
    if picture.format == "TIFF" and picture.mode == "I;16":
        white_is_0 = _tiff_tags(data, _tiff_offset(picture), "it").one(_PHOTOMETRIC, 1) == 0
        return Image.fromarray(np.uint16(0xFFFF) - np.asarray(picture)) if white_is_0 else picture
    return picture


def levels_that_must_be_at_their_ends(picture: Image.Image, data: bytes) -> bool:
    """Whether 8 or 16 bits hold no other levels of a file exactly than the lowest and the highest."""
    if picture.format == "PPM" and data[:2] not in (b"P1", b"P4"):
        top = _netpbm_top(data)
        return top is not None and (0xFFFF if top > 0xFF else 0xFF) % top != 0
    stored = [str(tile[3][0] if isinstance(tile[3], tuple) else tile[3]) for tile in getattr(picture, "tile", ())]
    return any(raw.startswith(("BGR;5", "BGR;15", "BGR;16", "BGRA;15")) for raw in stored)


def check_size_of(size: int, picture: Image.Image, name: str) -> None:
    """Refuses a file that is far larger than its pixels; see `check_file_size`."""
    check_file_size(size, picture.size[0] * picture.size[1] * max(1, getattr(picture, "n_frames", 1)), name)


def check_file_size(size: int, pixels: int, name: str) -> None:
    """Refuses a file of so many bytes that is far larger than so many pixels can be.

    Raises:
        ImageError: it is.
    """
    if size > _MOST_BESIDE + _MOST_PER_PIXEL * pixels:
        raise ImageError(f"{name} has {size} bytes for {pixels} pixels, far more than any such picture")


def png_size(beginning: bytes) -> tuple[int, int] | None:
    """Width and height by the first 24 bytes of a PNG; None if it is another file."""
    if not beginning.startswith(SIGNATURE) or beginning[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", beginning[16:24])
    return width, height


def orientation(picture: Image.Image) -> int:
    """How the picture is to be turned, 1 to 8 as EXIF has it; 1 if what says so cannot be understood."""
    try:
        found = picture.getexif().get(0x112, 1)
    except Exception:  # it is not a TIFF, or whatever; the pixels are whole
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


# PNG


def _mended_png(data: bytes, name: str) -> bytes:
    kept, pixels, rest = list[tuple[bytes, bytes]](), zlib.decompressobj(), -1
    for kind, body in _png_chunks(data, name):
        if kind == b"IHDR":
            if kept:
                raise ImageError(f"{name} is a damaged image: it has two headers")
            rest = _png_bytes(body, name)
        elif not kept:
            raise ImageError(f"{name} is a damaged image: it does not begin with a header")
        if kind == b"IDAT":
            if kept[0][1][9] == _PALETTE and not any(one == b"PLTE" and len(entries) > 2 for one, entries in kept):
                raise ImageError(f"{name} is a damaged image: it has no palette")
            rest -= _inflated(pixels, body, rest + _SPARE_BYTES, name)
        if kind in _PIXEL_CHUNKS or kind[0] & 32 == 0 or (kind == b"iTXt" and _turns(body)):
            kept.append((kind, body))
    if not kept or rest > 0 or not pixels.eof:
        raise ImageError(f"{name} is a damaged image: its rows end early")
    return png_file(_with_clear_level_as_palette(kept))


def _png_chunks(data: bytes, name: str) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each chunk but those of metadata that are damaged.

    Raises:
        ImageError: another fails its check, or the file ends within one.
    """
    at = len(SIGNATURE)
    while True:
        head = data[at : at + 8]
        if len(head) < 8:
            raise ImageError(f"{name} is a damaged image: it ends early")
        size, kind = struct.unpack(">I4s", head)
        body, check = data[at + 8 : at + 8 + size], data[at + 8 + size : at + 12 + size]
        if len(check) < 4:
            raise ImageError(f"{name} is a damaged image: it ends early")
        sound = kind in _METADATA_CHUNKS or int.from_bytes(check, "big") == zlib.crc32(body, zlib.crc32(kind))
        if not sound:
            raise ImageError(f"{name} is a damaged image: the check of its {kind!r} fails".replace("b'", "'"))
        yield kind, body
        if kind == b"IEND":
            return
        at += 12 + size


def _turns(text: bytes) -> bool:
    """Whether it is XMP that may say how the picture is turned."""
    return text.startswith(b"XML:com.adobe.xmp\0\0") and b"Orientation" in text and len(text) <= _BLOCK_BYTES


def _png_bytes(header: bytes, name: str) -> int:
    """How many bytes the rows have, with their filters."""
    try:
        width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
        bits = depth * _CHANNELS[colour]
    except (struct.error, KeyError) as error:
        raise ImageError(f"{name} is a damaged image: its header is invalid") from error
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    sizes = [(-(-(width - left) // across), -(-(height - top) // down)) for left, top, across, down in passes]
    return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0 and rows > 0)


def _inflated(pixels: zlib._Decompress, body: bytes, most: int, name: str) -> int:
    """How many bytes a part of the stream inflates to; they are not kept."""
    count = 0
    try:
        while body and not pixels.eof:
            count += len(pixels.decompress(body, _BLOCK_BYTES))
            body = pixels.unconsumed_tail
            if count > most:
                raise ImageError(f"{name} is a damaged image: it goes on after its last row")
    except zlib.error as error:
        raise ImageError(f"{name} is a damaged image: its rows cannot be inflated ({error})") from error
    return count


def _with_clear_level_as_palette(chunks: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Gray of less than 8 bits with a transparent level as a palette of grays: some versions of Pillow lose that level."""
    header, clear = chunks[0][1], dict(chunks).get(b"tRNS")
    depth, colour = header[8], header[9]
    if colour != 0 or depth not in (1, 2, 4) or clear is None or len(clear) != 2:
        return chunks
    top, level = (1 << depth) - 1, int.from_bytes(clear, "big") & ((1 << depth) - 1)
    grays = b"".join(bytes([value * 255 // top] * 3) for value in range(top + 1))
    new = {b"IHDR": header[:9] + b"\3" + header[10:], b"tRNS": bytes(0 if v == level else 255 for v in range(top + 1))}
    kept = [(kind, new.get(kind, body)) for kind, body in chunks if kind != b"PLTE"]
    return [kept[0], (b"PLTE", grays), *kept[1:]]


# BMP


_DIB_SIZES = frozenset(struct.pack("<I", size) for size in (40, 52, 56, 64, 108, 124))


def _mended_bmp(data: bytes, start: int) -> bytes:
    """With the first entry of some palettes made blue: Pillow takes grays for no palette, whatever their depth is.

    The header of the bitmap begins at `start`.
    """
    if len(data) < start + 40 or data[start : start + 4] not in _DIB_SIZES:
        return data
    (size,) = struct.unpack_from("<I", data, start)
    bits, compression = struct.unpack_from("<HI", data, start + 14)
    (count,) = struct.unpack_from("<I", data, start + 32)
    colours, at = count or 1 << min(bits, 8), start + size
    levels = (0, 255) if colours == 2 else range(colours)
    if bits not in (4, 8) or colours > 256 or len(data) < at + 4 * colours or compression > 2:
        return data
    gray = all(data[at + 4 * i : at + 4 * i + 3] == bytes([level] * 3) for i, level in enumerate(levels))
    if not gray or (bits == 8 and colours > 2):
        return data
    return data[:at] + b"\1" + data[at + 1 :]


# Netpbm, PCX, and how many images there are


def _netpbm_numbers(data: bytes, count: int) -> tuple[list[int], int]:
    """The first numbers of a header, fewer if there are not so many, and where the data begin."""
    found, at = list[int](), 2
    while len(found) < count:
        while at < len(data) and (data[at : at + 1].isspace() or data[at : at + 1] == b"#"):
            at = (data.find(b"\n", at) if data[at : at + 1] == b"#" else at) + 1 or len(data)
        start = at
        while data[at : at + 1].isdigit():
            at += 1
        if at == start:
            break
        found.append(int(data[start:at]))
    return found, at + 1


def _netpbm_top(data: bytes) -> int | None:
    numbers, _ = _netpbm_numbers(data, 3)
    return numbers[2] if len(numbers) == 3 and 0 < numbers[2] <= 0xFFFF else None


def _check_netpbm(data: bytes, picture: Image.Image, name: str) -> None:
    """Raises ImageError if one image of bytes is followed by another."""
    channels = {b"P4": 0, b"P5": 1, b"P6": 3}.get(data[:2])
    if channels is None:
        return
    numbers, at = _netpbm_numbers(data, 3 if channels else 2)
    width, height = picture.size
    row = width * channels * (2 if channels and numbers[-1] > 0xFF else 1) if channels else -(-width // 8)
    behind = data[at + row * height : at + row * height + _BLOCK_BYTES].lstrip()
    if behind:
        what = "several images" if behind[:1] == b"P" else "bytes behind its pixels"
        raise ImageError(f"{name} has {what}: save the one you mean as a picture of its own")


def _check_pcx(data: bytes, name: str) -> None:
    bits, planes, version = data[3], data[65], data[1]
    first, second = data[16:19], data[19:22]
    if bits == planes == 1 and first != second and (first, second) != (bytes(3), b"\xff" * 3):
        raise ImageError(f"{name} is a PCX in two colours of its own, which are not read: save it as PNG")
    if version == 5 and bits == 8 and planes == 1 and data[-769:-768] != b"\x0c":
        raise ImageError(f"{name} is a damaged image: it ends without its palette")


def _images(picture: Image.Image, data: bytes) -> int:
    """How many images a file of a kind holds of which Pillow shows one only."""
    if picture.format in ("ICO", "CUR"):
        return int.from_bytes(data[4:6], "little")
    sizes = picture.info.get("sizes") if picture.format == "ICNS" else None
    return len(sizes) if sizes else 1


# TIFF

_BITS, _COMPRESSION, _PHOTOMETRIC, _CHANNELS_TAG, _PLANES = 258, 259, 262, 277, 284
_STRIPS, _STRIP_ROWS, _STRIP_BYTES, _EXTRA, _SAMPLE_FORMAT = 273, 278, 279, 338, 339
_WIDTH, _HEIGHT = 256, 257
_USED = frozenset({_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _CHANNELS_TAG, _PLANES})
_USED |= {_STRIPS, _STRIP_ROWS, _STRIP_BYTES, _EXTRA, _SAMPLE_FORMAT}
_SIZES = {1: "B", 3: "H", 4: "I", 16: "Q"}
_CONVERTED = {6: "YCbCr", 8: "LAB", 9: "LAB", 10: "LAB"}
"""Photometric interpretations that are not exact as RGB; Pillow converts some of them without a word."""
_MOST_VALUES = 1 << 20


@dataclass(frozen=True)
class _Tags:
    """The numbers of a TIFF's directory; tags of other types are left out."""

    values: dict[int, tuple[int, ...]]

    def one(self, tag: int, default: int) -> int:
        return self.values.get(tag, (default,))[0]

    def all(self, tag: int) -> tuple[int, ...]:
        return self.values.get(tag, ())


def _tiff_offset(picture: Image.Image) -> int | None:
    """Where the directory of the page that is shown begins, if Pillow says so."""
    offsets, frame = getattr(picture, "_frame_pos", None), picture.tell()
    return int(offsets[frame]) if offsets and frame < len(offsets) else None


def _tiff_tags(data: bytes, offset: int | None, name: str) -> _Tags:
    """What the directory that begins at an offset, else the first, says of how pixels are stored.

    Raises:
        ImageError: it is damaged.
    """
    order, big = "<" if data[:2] == b"II" else ">", data[2:4] in (b"\x2b\0", b"\0\x2b")
    found: dict[int, tuple[int, ...]] = {}
    try:
        at = offset or struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)[0]
        (count,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, at)
        at, entry = at + (8 if big else 2), 20 if big else 12
        if at + entry * count > len(data):
            raise ImageError(f"{name} is a damaged image: its directory ends early")
        for row in range(at, at + entry * min(count, 1 << 12), entry):
            tag, kind, number = struct.unpack_from(f"{order}HH{'Q' if big else 'I'}", data, row)
            letter = _SIZES.get(kind)
            if tag not in _USED or letter is None or number > _MOST_VALUES:
                continue
            stored, place = struct.calcsize(f"{order}{number}{letter}"), row + (12 if big else 8)
            if stored > (8 if big else 4):
                (place,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, place)
            found.setdefault(tag, struct.unpack_from(f"{order}{number}{letter}", data, place))
    except (struct.error, OverflowError) as error:
        raise ImageError(f"{name} is a damaged image: its directory ends early") from error
    return _Tags({tag: values for tag, values in found.items() if values})


def _check_tiff(tags: _Tags, size: int, name: str, exact: bool) -> None:
    bits, channels = tags.all(_BITS) or (1,), tags.one(_CHANNELS_TAG, 1)
    if any(kind != 1 for kind in tags.all(_SAMPLE_FORMAT)) and max(bits) <= 8:
        raise ImageError(f"{name} has samples with a sign: save it with samples from 0 on")
    if tags.one(_PLANES, 1) == 2 and max(bits) > 8:
        raise ImageError(f"{name} has samples of {max(bits)} bits in planes: save it with 8, or pixel by pixel")
    if any(depth not in (1, 2, 4, 8, 16, 32, 64) for depth in bits):
        raise ImageError(f"{name} has samples of {max(bits)} bits: save it with 8 or 16")
    if exact and (space := _CONVERTED.get(tags.one(_PHOTOMETRIC, 1))):
        raise ImageError(f"lossless keeps gray and RGB, and {name} is in {space}: convert it to RGB")
    colours = {2: 3, 5: 4}.get(tags.one(_PHOTOMETRIC, 1), 1)
    extra = tags.all(_EXTRA)[:channels]
    if exact and channels > colours and (channels - colours > 1 or extra not in ((), (2,))):
        raise ImageError(f"{name} has samples beside its colours that are not plain transparency: save it as PNG")
    if tags.one(_COMPRESSION, 1) == 1:
        _check_strips(tags, bits, channels, size, name)


def _check_strips(tags: _Tags, bits: tuple[int, ...], channels: int, size: int, name: str) -> None:
    """Raises ImageError if strips without compression do not hold their rows."""
    width, height, planar = tags.one(_WIDTH, 0), tags.one(_HEIGHT, 0), tags.one(_PLANES, 1) == 2
    offsets, counts, rows = tags.all(_STRIPS), tags.all(_STRIP_BYTES), min(tags.one(_STRIP_ROWS, height), height)
    if not (offsets and counts and rows and len(offsets) == len(counts)):
        return  # in tiles, or Pillow will tell
    row_bytes = -(-width * (bits[0] if planar else (sum(bits) if len(bits) == channels else bits[0] * channels)) // 8)
    each = -(-height // rows)
    for number, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        needed = row_bytes * min(rows, height - rows * (number % each))
        if count < needed or offset + needed > size:
            raise ImageError(f"{name} is a damaged image: one of its strips ends early")
