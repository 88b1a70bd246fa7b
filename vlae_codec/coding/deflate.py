"""Deflate (RFC 1951) as our files hold it: without zlib's header and check, and inflated only as far as it may go."""

from __future__ import annotations

import zlib

from vlae_codec.errors import FormatError

_RAW = -15
_MOST_RATIO = 1032
"""What deflate can make of a byte at most."""


def deflate(data: bytes, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> bytes:
    """The data as a deflate stream, as small as zlib makes it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, _RAW, 9, strategy)
    return packer.compress(data) + packer.flush()


def inflate(stream: bytes, size: int, what: str) -> bytes:
    """Exactly `size` bytes, of which the stream must hold neither more nor less; `what` is what errors call it.

    Raises:
        FormatError: it does not.
    """
    if size > _MOST_RATIO * len(stream):
        raise FormatError(f"{what} cannot have {size} bytes, deflated into {len(stream)}: the file is damaged")
    data, rest = _inflate(stream, size, what)
    if len(data) != size or rest:
        raise FormatError(f"{what} has not the {size} bytes that the file says: it is damaged")
    return data


def inflate_at_most(stream: bytes, most: int, what: str) -> bytes:
    """All that a stream holds, which may be `most` bytes.

    Raises:
        FormatError: it is more, or the stream is damaged.
    """
    data, rest = _inflate(stream, most, what)
    if rest:
        raise FormatError(f"{what} has more than {most} bytes: the file is damaged")
    return data


def _inflate(stream: bytes, most: int, what: str) -> tuple[bytes, bool]:
    """At most `most` bytes, and whether there is more."""
    reader = zlib.decompressobj(_RAW)
    try:
        data = reader.decompress(stream, most + 1)
    except zlib.error as error:
        raise FormatError(f"{what} is damaged: {error}") from error
    if len(data) > most:
        return data[:most], True
    if not reader.eof or reader.unused_data:
        raise FormatError(f"{what} does not end where its stream does: the file is damaged")
    return data, False
