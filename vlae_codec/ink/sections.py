"""The payload of a file of `ink`: what stands where. `FORMAT.md` is normative.

1       way: 0 the model's stream, 1 plain: the pixels in raster order, eight a byte; plus 128 if pixels were changed
4       CRC-32 of the way and of all that follows
.       a varint, if pixels were changed: how many
.       the stream, or the pixels, to the end
"""

from __future__ import annotations

import enum
import zlib

from vlae_codec.coding.bits import read_varint, varint
from vlae_codec.errors import FormatError, TruncatedError

_CHECK_BYTES = 4
_NEAR = 128


class Way(enum.IntEnum):
    """How the pixels are coded: permanent numbers."""

    MODEL = 0
    PLAIN = 1


def write(way: Way, content: bytes, changed: int = 0) -> bytes:
    """The payload of a picture of which so many pixels were changed before."""
    head = bytes([way | _NEAR if changed else way])
    content = varint(changed) + content if changed else content
    return head + zlib.crc32(head + content).to_bytes(_CHECK_BYTES, "big") + content


def read(data: bytes, pixels: int) -> tuple[Way, bytes, int]:
    """The way, the stream or pixels, and how many pixels were changed, of a payload of a picture of so many pixels.

    Raises:
        TruncatedError: it ends before its stream.
        FormatError: it is damaged, or coded in a way that is not known.
    """
    if len(data) < 1 + _CHECK_BYTES:
        raise TruncatedError("the file ends before its pixels")
    check, content = data[1 : 1 + _CHECK_BYTES], data[1 + _CHECK_BYTES :]
    if zlib.crc32(data[:1] + content).to_bytes(_CHECK_BYTES, "big") != check:
        raise FormatError("the check of the pixels fails: the file is damaged or not whole")
    number, changed = data[0] & ~_NEAR, 0
    if number > max(Way):
        raise FormatError(f"the pixels are coded in way {data[0]}, which is not known here: upgrade vlae-codec")
    way = Way(number)
    if data[0] & _NEAR:
        changed, at = read_varint(content, 0)
        content = content[at:]
        if not 0 < changed <= pixels:
            raise FormatError(f"the file says that {changed} of {pixels} pixels were changed: it is damaged")
    if way == Way.MODEL and content.endswith(b"\0"):
        raise FormatError("the stream of the pixels ends in a zero byte: the file is damaged")
    if way == Way.PLAIN and (len(content) != -(-pixels // 8) or content[-1] & (1 << -pixels % 8) - 1):
        raise FormatError(f"the file has {len(content)} bytes for {pixels} pixels: it is damaged")
    return way, content, changed
