"""The file: header, latent section, check, and for a lossless file check of the pixels and pixel section.

    offset  size  what
    0       1     magic 0xD7
    1       1     version (high 4 bits, 1), kind (2 bits), geometry given (1 bit), model by digest (1 bit)
    2       1     model number;  or 8 bytes: the first of the model's digest
    .       .     if geometry is given: varint width, varint height, look (`_LOOKS`)
    .       .     latent section (see `latents`); empty in a raw file
    .       2     CRC-16 of everything before it
    .       2     CRC-16 of the pixel section            } lossless and raw files only
    .       .     pixel section, to the end of the file  }

Without given geometry the picture is 28x28, black paper and white ink. `FORMAT.md` is normative. Sizes are checked
before anything is allocated: every field takes at least one bit of latent section, every raw pixel one of pixel section.
"""

from __future__ import annotations

import binascii
import enum
from dataclasses import dataclass

from .coding.bits import read_varint, varint
from .errors import FormatError, TruncatedError
from .picture.drawing import Look, fits, format_of
from .picture.fields import SIDE, field_count
from .picture.raster import Geometry

MAGIC = 0xD7
VERSION = 1
CHECK_BYTES = 2
DIGEST_BYTES = 8
MOST_BYTES = 1 << 29
"""Of samples that are written of one file, unless told otherwise: a few bytes may claim very many."""


class Kind(enum.IntEnum):
    """What a file holds: latents; latents and pixels given them; the pixels as they are; or many images (see `archive`)."""

    LOSSY = 0
    LOSSLESS = 1
    RAW = 2
    ARCHIVE = 3


# (look code) -> samples a colour, deep; codes 0 and 1 are the two fixed looks
_FIXED_LOOKS = (Look((0,), (255,)), Look((255,), (0,)))
_LOOKS = {2: (1, False), 3: (1, True), 4: (3, False), 5: (4, False)}


@dataclass(frozen=True)
class Header:
    """The fixed part of a file. `model` is the registered number or the first 8 bytes of the digest."""

    kind: Kind
    model: int | bytes
    width: int = SIDE
    height: int = SIDE
    look: Look = Look()

    @property
    def geometry(self) -> Geometry:
        """Size and colours."""
        return Geometry(self.width, self.height, format_of(self.look))

    @property
    def fields(self) -> int:
        """How many 28x28 fields cover the picture."""
        return field_count(self.height, self.width)

    def write(self) -> bytes:
        """The header's bytes."""
        plain = (self.width, self.height, self.look) == (SIDE, SIDE, Look())
        geometry = b"" if plain else varint(self.width) + varint(self.height) + write_look(self.look)
        return write_start(self.kind, self.model, not plain) + geometry


def write_start(kind: Kind, model: int | bytes, geometry: bool = False) -> bytes:
    """What every file begins with: magic, version, kind, and model."""
    by_digest = isinstance(model, bytes)
    flags = VERSION << 4 | kind << 2 | geometry << 1 | by_digest
    return bytes([MAGIC, flags]) + (model if isinstance(model, bytes) else bytes([model]))


def read_header(data: bytes) -> tuple[Header, int]:
    """The header and the index after it.

    Raises:
        TruncatedError: the data end within the header.
        FormatError: not a file of ours, of a newer version, or with impossible sizes.
    """
    kind, model, at = read_start(data)
    if kind == Kind.ARCHIVE:
        raise FormatError("this is an archive of many images: use unpack or list")
    if kind == Kind.RAW and model != 0:
        raise FormatError("a raw file names no model, and this one does: it is damaged")
    if not data[1] & 2:
        return Header(kind, model), at
    width, at = read_varint(data, at)
    height, at = read_varint(data, at)
    if not fits(width, height):
        raise FormatError(f"the file claims a picture of {width}x{height} pixels, beyond what any file holds")
    look, at = read_look(data, at)
    header = Header(kind, model, width, height, look)
    _check_size(header, len(data) - at)
    return header, at


def read_start(data: bytes) -> tuple[Kind, int | bytes, int]:
    """Kind, model, and the index after them.

    Raises:
        TruncatedError, FormatError: see `read_header`.
    """
    if not data:
        raise FormatError("the file is empty")
    if data[0] != MAGIC:
        raise FormatError(f"not a vlz file: it begins with byte 0x{data[0]:02x}, not 0x{MAGIC:02x}")
    flags, at = _take(data, 1, 1)
    version, kind = flags[0] >> 4, flags[0] >> 2 & 3
    if version != VERSION:
        newer = "newer than this program reads; upgrade vlae-codec" if version > VERSION else "not known"
        raise FormatError(f"the file is of format version {version}, which is {newer}")
    model, at = _take(data, at, DIGEST_BYTES if flags[0] & 1 else 1)
    return Kind(kind), model if flags[0] & 1 else model[0], at


def is_archive(start: bytes) -> bool:
    """Whether a file that begins with these bytes, at least two, says that it is an archive."""
    if start[:1] != bytes([MAGIC]) or len(start) < 2 or start[1] >> 2 & 3 != Kind.ARCHIVE:
        return False
    return start[1] >> 4 == VERSION or not start[1] & 1  # else it is a single file, see `container2.explained`


def _check_size(header: Header, left: int) -> None:
    """Refuses sizes that the rest of the file cannot hold."""
    if header.kind != Kind.RAW and header.fields > 8 * left:
        raise FormatError(
            f"the file claims {header.width}x{header.height} pixels, {header.fields} fields, but has {left} bytes for them"
        )


def check_claim(claimed: int, most: int) -> None:
    """Refuses what claims more bytes of samples than may be written.

    Raises:
        FormatError: it does.
    """
    if claimed > most:
        raise FormatError(
            f"it claims {claimed} bytes of pixels, and at most {most} are written unless told otherwise: if you trust it, "
            f"give max_bytes={claimed}"
        )


def write_look(look: Look) -> bytes:
    """The look's bytes."""
    if look in _FIXED_LOOKS:
        return bytes([_FIXED_LOOKS.index(look)])
    code = next(code for code, form in _LOOKS.items() if form == (len(look.ink), look.deep))
    size = 2 if look.deep else 1
    return bytes([code]) + b"".join(value.to_bytes(size, "big") for value in look.paper + look.ink)


def read_look(data: bytes, at: int) -> tuple[Look, int]:
    """The look at `at`, and the index after it."""
    (code,), at = _take(data, at, 1)
    if code < len(_FIXED_LOOKS):
        return _FIXED_LOOKS[code], at
    if code not in _LOOKS:
        raise FormatError(f"the file has look {code}, which is not known: it is damaged")
    samples, deep = _LOOKS[code]
    size = 2 if deep else 1
    stored, at = _take(data, at, 2 * samples * size)
    values = [int.from_bytes(stored[i : i + size], "big") for i in range(0, len(stored), size)]
    return Look(tuple(values[:samples]), tuple(values[samples:]), deep), at


def check(data: bytes) -> bytes:
    """CRC-16 (CCITT, initial value 0xFFFF), big-endian."""
    return binascii.crc_hqx(data, 0xFFFF).to_bytes(CHECK_BYTES, "big")


def read_check(data: bytes, start: int) -> int:
    """Verifies the check that stands at `start`, over all before it; the index after it."""
    stored, end = _take(data, start, CHECK_BYTES)
    if stored != check(data[:start]):
        raise FormatError("the check of header and latents fails: the file is damaged")
    return end


def is_whole_raw(header: Header, stored: bytes, checked: bool) -> bool:
    """Whether a raw pixel section is all there; `checked` says that its check holds.

    Raises:
        FormatError: it is too long, damaged though of the right length, or its padding is not zero.
    """
    missing = -(-header.width * header.height // 8) - len(stored)
    if missing < 0:
        raise FormatError(f"{-missing} bytes follow the end of the file's content: it is damaged")
    padding = -header.width * header.height % 8
    if missing == 0 and not (checked and (not stored or stored[-1] & (1 << padding) - 1 == 0)):
        raise FormatError("the raw pixels fail their check: the file is damaged")
    return missing == 0


def _take(data: bytes, at: int, count: int) -> tuple[bytes, int]:
    if len(data) - at < count:
        raise TruncatedError("the file ends within its header or latent section; nothing of it can be decoded")
    return data[at : at + count], at + count
