"""What a picture file says beside its pixels: how colours are meant, how large it is in print, where it was taken.

`write_metadata` and `read_metadata` are its bytes in a file of ours. Colours (ICC profile, cICP, gamma, sRGB) and the
resolution are kept by default; EXIF and XMP, which can hold places and names, only when asked: see `plain`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from vlae_codec.coding.bits import read_varint, varint
from vlae_codec.coding.deflate import deflate, inflate_at_most
from vlae_codec.errors import FormatError, TruncatedError

MOST_BYTES = 1 << 24
"""What the metadata of a picture may take, inflated."""


class Unit(enum.IntEnum):
    """Of a resolution's two numbers: a ratio of sides only, pixels per metre, or thousandths of pixels per inch."""

    RATIO = 0
    METRE = 1
    MILLI_INCH = 2


@dataclass(frozen=True)
class Resolution:
    """How many pixels go into a length, across and down; each number 1 to 2^32 - 1."""

    x: int
    y: int
    unit: Unit = Unit.METRE

    def __post_init__(self) -> None:
        """Raises ValueError unless both numbers are in their range."""
        if not (0 < self.x < 1 << 32 and 0 < self.y < 1 << 32):
            raise ValueError(f"a resolution has two numbers of 1..2^32 - 1, not {self.x} and {self.y}")

    @property
    def dots_per_inch(self) -> tuple[float, float] | None:
        """Across and down, or None if there is only a ratio."""
        if self.unit == Unit.RATIO:
            return None
        scale = 0.0254 if self.unit == Unit.METRE else 0.001
        return self.x * scale, self.y * scale


@dataclass(frozen=True)
class Metadata:
    """icc, exif (from its TIFF header on) and xmp: as bytes, empty if there is none.

    gamma: as PNG's gAMA, the exponent times 100000, 0 if there is none. cicp: the four bytes of PNG's cICP.
    srgb: 1 + PNG's rendering intent if the colours are said to be sRGB's, else 0.
    """

    icc: bytes = b""
    resolution: Resolution | None = None
    gamma: int = 0
    cicp: bytes = b""
    srgb: int = 0
    exif: bytes = b""
    xmp: bytes = b""

    def plain(self) -> Metadata:
        """Without what can tell of persons and places: EXIF and XMP."""
        return replace(self, exif=b"", xmp=b"")

    def all(self) -> Metadata:
        """All of it."""
        return self

    def nothing(self) -> Metadata:
        """None of it."""
        return Metadata()


class _Tag(enum.IntEnum):
    SRGB = 1
    GAMMA = 2
    CICP = 3
    RESOLUTION = 4
    ICC = 5
    EXIF = 6
    XMP = 7


# The bytes of metadata: how they are stored (0 as they are, 1 as raw deflate), then for each item, in ascending order of
# tags: tag (1 byte), varint length, and that many bytes.


def write_metadata(metadata: Metadata) -> bytes:
    """The metadata's bytes; none if there is nothing to say.

    Raises:
        ValueError: they are more than 2^24.
    """
    place = metadata.resolution
    items = {
        _Tag.SRGB: bytes([metadata.srgb - 1]) if metadata.srgb else b"",
        _Tag.GAMMA: metadata.gamma.to_bytes(4, "big") if metadata.gamma else b"",
        _Tag.CICP: metadata.cicp,
        _Tag.RESOLUTION: bytes([place.unit]) + varint(place.x) + varint(place.y) if place else b"",
        _Tag.ICC: metadata.icc,
        _Tag.EXIF: metadata.exif,
        _Tag.XMP: metadata.xmp,
    }
    plain = b"".join(bytes([tag]) + varint(len(item)) + item for tag, item in items.items() if item)
    if len(plain) > MOST_BYTES:
        raise ValueError(f"the metadata have {len(plain)} bytes, more than 2^24: drop the profile, EXIF or XMP")
    if not plain:
        return b""
    packed = deflate(plain)
    return b"\1" + packed if len(packed) < len(plain) else b"\0" + plain


def read_metadata(data: bytes) -> Metadata:
    """What `write_metadata` gave these bytes for.

    Raises:
        FormatError: they are not such.
    """
    if not data:
        return Metadata()
    if data[0] > 1:
        raise FormatError("the metadata are stored in a way that does not exist: the file is damaged")
    plain = inflate_at_most(data[1:], MOST_BYTES, "the metadata section") if data[0] else data[1:]
    if len(plain) > MOST_BYTES:
        raise FormatError("the metadata have more than 2^24 bytes: the file is damaged")
    try:
        return _from_items(_read_items(plain))
    except (TruncatedError, ValueError) as error:
        raise FormatError(f"the metadata are damaged: {error}") from error


def _read_items(plain: bytes) -> dict[_Tag, bytes]:
    """Raises ValueError or TruncatedError if they are not a list of items."""
    items, at, before = dict[_Tag, bytes](), 0, 0
    while at < len(plain):
        tag = _Tag(plain[at])
        length, at = read_varint(plain, at + 1)
        if tag <= before or not 0 < length <= len(plain) - at:
            raise ValueError(f"item {tag.name} is out of order, empty, or ends too late")
        items[tag], at, before = plain[at : at + length], at + length, tag
    return items


def _from_items(items: dict[_Tag, bytes]) -> Metadata:
    """Raises ValueError or TruncatedError if one of them is impossible."""
    sizes = {_Tag.SRGB: 1, _Tag.GAMMA: 4, _Tag.CICP: 4}
    for tag, size in sizes.items():
        if tag in items and len(items[tag]) != size:
            raise ValueError(f"item {tag.name} has {len(items[tag])} bytes, not {size}")
    srgb = items[_Tag.SRGB][0] + 1 if _Tag.SRGB in items else 0
    gamma = int.from_bytes(items.get(_Tag.GAMMA, b""), "big")
    if srgb > 4 or (_Tag.GAMMA in items and not gamma):
        raise ValueError("no rendering intent is above 3, and no gamma is 0")
    return Metadata(
        items.get(_Tag.ICC, b""),
        _read_resolution(items[_Tag.RESOLUTION]) if _Tag.RESOLUTION in items else None,
        gamma,
        items.get(_Tag.CICP, b""),
        srgb,
        items.get(_Tag.EXIF, b""),
        items.get(_Tag.XMP, b""),
    )


def _read_resolution(item: bytes) -> Resolution:
    """Raises ValueError or TruncatedError if it is not one."""
    x, at = read_varint(item, 1)
    y, at = read_varint(item, at)
    if at != len(item):
        raise ValueError("the resolution has bytes to spare")
    return Resolution(x, y, Unit(item[0]))
