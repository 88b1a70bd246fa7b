"""The frame of a PNG file (W3C PNG, third edition, section 5): its signature, and chunks with their lengths and checks."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Length, kind, content, and check."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def png_file(chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A file of chunks, each given as kind and content."""
    return SIGNATURE + b"".join(png_chunk(kind, body) for kind, body in chunks)
