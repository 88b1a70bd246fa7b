"""The file, version 2: what all families share. Everything between header and metadata belongs to the family.

    offset  size  what
    0       1     magic 0xD7
    1       1     version (high 4 bits, 2), model (2 bits: `_Named`), metadata follow the payload (1 bit), reason (1 bit)
    2       .     a byte, if the file says why it is exact (see `reason`)
    .       .     the model: nothing, its number (1 byte), or the first 8 bytes of its digest
    .       .     geometry (see `picture.raster`)
    .       .     varint length of the payload, varint length of the metadata, if metadata follow
    .       2     CRC-16 of everything before it
    .       .     payload: the family's, with checks of its own; to the end of the file if no metadata follow
    .       .     metadata (see `picture.metadata`)  } if they are given
    .       4     CRC-32 of the metadata             }

Metadata stand last so that the first bytes of a file show a picture, not a colour profile. Files of version 1 have no place
for a reason: one that has a reason stands, without its first byte, behind three bytes of version 2 (see `explained`).
`FORMAT.md` is normative.
"""

from __future__ import annotations

import enum
import zlib
from dataclasses import dataclass

from .coding.bits import read_varint, varint
from .container import CHECK_BYTES, DIGEST_BYTES, MAGIC, check
from .errors import FormatError, TruncatedError
from .picture.metadata import Metadata, read_metadata, write_metadata
from .picture.raster import Geometry, read_geometry, write_geometry
from .reason import Reason, read_reason

VERSION = 2
NO_MODEL = 0
_CHECK_BYTES = 4  # of metadata; the header's check is that of version 1


class _Named(enum.IntEnum):
    """How a file names its model; the fourth value is an archive's or, with a reason, that of a file of version 1."""

    NOT = 0
    BY_NUMBER = 1
    BY_DIGEST = 2


_EXPLAINED = bytes([MAGIC, VERSION << 4 | (max(_Named) + 1) << 2 | 1])
"""What a file of version 1 begins with that has a reason, which follows."""


@dataclass(frozen=True)
class Header2:
    """What every file of version 2 says first.

    model: a registered number, 1 to 255; the first 8 bytes of a digest; or `NO_MODEL`, which is the family `raw`. reason:
    why it is exact, if that was not asked for.
    """

    model: int | bytes
    geometry: Geometry
    reason: Reason | None = None

    def __post_init__(self) -> None:
        """Raises ValueError if no model can be named so."""
        if len(self.model) != DIGEST_BYTES if isinstance(self.model, bytes) else not 0 <= self.model <= 255:
            raise ValueError(f"a model is named by a number of 0..255 or {DIGEST_BYTES} bytes, not {self.model!r}")


@dataclass(frozen=True)
class Contents2:
    """A file of version 2 as read: its payload is `data[start:end]`, which no check of this module covers.

    metadata: None if the file was cut before their end, or before that of its payload.
    """

    header: Header2
    metadata: Metadata | None
    start: int
    end: int


def write_file2(header: Header2, metadata: Metadata, payload: bytes) -> bytes:
    """The file.

    Raises:
        ValueError: the metadata have more than 2^24 bytes.
    """
    head, tail = _around(header, metadata, len(payload))
    return head + payload + tail


def around_bytes(header: Header2, metadata: Metadata, payload_bytes: int) -> int:
    """What a file takes beside a payload of so many bytes; errors as of `write_file2`."""
    return sum(map(len, _around(header, metadata, payload_bytes)))


def _around(header: Header2, metadata: Metadata, payload_bytes: int) -> tuple[bytes, bytes]:
    """What stands before and after a payload of so many bytes."""
    said = write_metadata(metadata)
    named, name = _name(header.model)
    flags = VERSION << 4 | named << 2 | bool(said) << 1 | (header.reason is not None)
    why = header.reason.write() if header.reason else b""
    head = bytes([MAGIC, flags]) + why + name + write_geometry(header.geometry)
    head += varint(payload_bytes) + varint(len(said)) if said else b""
    return head + check(head), said + _metadata_check(said) if said else b""


def is_version2(data: bytes) -> bool:
    """Whether a file that begins with these bytes says that it is of version 2, and not one of version 1 with a reason."""
    return len(data) > 1 and data[0] == MAGIC and data[1] >> 4 == VERSION and data[:2] != _EXPLAINED


def explained(data: bytes, reason: Reason) -> bytes:
    """A file of version 1 that says why it is exact."""
    return _EXPLAINED + reason.write() + data[1:]


def unexplained(data: bytes) -> tuple[Reason | None, bytes]:
    """The inverse: of a file of version 1 the reason, if there is one, and the file without it; of others the file itself.

    Raises:
        TruncatedError, FormatError: the reason is cut off, or damaged.
    """
    if data[:2] != _EXPLAINED:
        return None, data
    return read_reason(data, 2), data[:1] + data[3:]


def read_file2(data: bytes) -> Contents2:
    """Header and metadata of a file, and where its payload is; the file may be cut anywhere behind its header.

    Raises:
        TruncatedError: the data end within the header.
        FormatError: not such a file, or header or metadata are damaged.
    """
    flags, reason, model, at = _read_start(data)
    geometry, at = read_geometry(data, at)
    length, said_length = 0, 0
    if flags & 2:
        length, at = read_varint(data, at)
        said_length, at = read_varint(data, at)
    start = _read_header_check(data, at)
    header = Header2(model, geometry, reason)
    if not flags & 2:
        return Contents2(header, Metadata(), start, len(data))
    end = start + length
    missing = end + said_length + _CHECK_BYTES - len(data)
    if missing > 0:
        return Contents2(header, None, start, min(end, len(data)))
    if missing < 0:
        raise FormatError(f"{-missing} bytes follow the end of the file's content: it is damaged")
    said = data[end : end + said_length]
    if not said or _metadata_check(said) != data[-_CHECK_BYTES:]:
        raise FormatError("the check of the metadata fails: the file is damaged")
    return Contents2(header, read_metadata(said), start, end)


def _read_start(data: bytes) -> tuple[int, Reason | None, int | bytes, int]:
    """Flags, reason, model, and the index after them."""
    if not data:
        raise FormatError("the file is empty")
    if data[0] != MAGIC:
        raise FormatError(f"not a vlz file: it begins with byte 0x{data[0]:02x}, not 0x{MAGIC:02x}")
    (flags,), at = _take(data, 1, 1)
    if flags >> 4 != VERSION:
        raise FormatError(f"the file is of format version {flags >> 4}, not {VERSION}")
    named = flags >> 2 & 3
    if named > max(_Named):
        raise FormatError("this is an archive of many images: use unpack or list")
    reason = read_reason(data, at) if flags & 1 else None
    at += reason is not None
    if named == _Named.NOT:
        return flags, reason, NO_MODEL, at
    name, at = _take(data, at, 1 if named == _Named.BY_NUMBER else DIGEST_BYTES)
    if name == bytes([NO_MODEL]):
        raise FormatError("the file names model 0, and there is none: it is damaged")
    return flags, reason, name[0] if named == _Named.BY_NUMBER else name, at


def _read_header_check(data: bytes, start: int) -> int:
    """Verifies the check at `start`, over all before it; the index after it."""
    stored, end = _take(data, start, CHECK_BYTES)
    if stored != check(data[:start]):
        raise FormatError("the check of the header fails: the file is damaged")
    return end


def _name(model: int | bytes) -> tuple[_Named, bytes]:
    if isinstance(model, bytes):
        return _Named.BY_DIGEST, model
    return (_Named.BY_NUMBER, bytes([model])) if model != NO_MODEL else (_Named.NOT, b"")


def _metadata_check(said: bytes) -> bytes:
    return zlib.crc32(said).to_bytes(_CHECK_BYTES, "big")


def _take(data: bytes, at: int, count: int) -> tuple[bytes, int]:
    if len(data) - at < count:
        raise TruncatedError("the file ends within its header; nothing of it can be decoded")
    return data[at : at + count], at + count
