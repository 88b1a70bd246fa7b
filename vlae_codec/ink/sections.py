"""The payload of a file of `ink`: what stands where. `FORMAT.md` is normative.

1       way: 0 the model's stream, 1 plain: the pixels in raster order, eight a byte
4       CRC-32 of the way and of all that follows
.       the stream, or the pixels, to the end
"""

from __future__ import annotations

import enum
import zlib

from vlae_codec.errors import FormatError, TruncatedError

_CHECK_BYTES = 4


class Way(enum.IntEnum):
    """How the pixels are coded: permanent numbers."""

    MODEL = 0
    PLAIN = 1


def write(way: Way, content: bytes) -> bytes:
    """The payload."""
    head = bytes([way])
    return head + zlib.crc32(head + content).to_bytes(_CHECK_BYTES, "big") + content


def read(data: bytes, pixels: int) -> tuple[Way, bytes]:
    """The way, and the stream or pixels, of a payload of a picture of so many pixels.

    Raises:
        TruncatedError: it ends before its stream.
        FormatError: it is damaged, or coded in a way that is not known.
    """
    if len(data) < 1 + _CHECK_BYTES:
        raise TruncatedError("the file ends before its pixels")
    check, content = data[1 : 1 + _CHECK_BYTES], data[1 + _CHECK_BYTES :]
    if zlib.crc32(data[:1] + content).to_bytes(_CHECK_BYTES, "big") != check:
        raise FormatError("the check of the pixels fails: the file is damaged or not whole")
    if data[0] > max(Way):
        raise FormatError(f"the pixels are coded in way {data[0]}, which is not known here: upgrade vlae-codec")
    way = Way(data[0])
    if way == Way.MODEL and content.endswith(b"\0"):
        raise FormatError("the stream of the pixels ends in a zero byte: the file is damaged")
    if way == Way.PLAIN and (len(content) != -(-pixels // 8) or content[-1] & (1 << -pixels % 8) - 1):
        raise FormatError(f"the file has {len(content)} bytes for {pixels} pixels: it is damaged")
    return way, content
