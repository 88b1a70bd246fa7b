"""Arrays of an npz file, read with zlib alone, so that a decoder starts fast; no code that a file names is loaded.

`zipfile` would load all compressors that Python has. A zip file, as numpy writes them (APPNOTE.TXT of
PKWARE, 4.3): members, each a local header, its name and data; a directory of them; and an end that says where that is.
Nothing is inflated beyond what the directory claims, and nothing at all if that is more than is allowed.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

_END = struct.Struct("<4s4x2H2LH")  # of the file: members on this disk and in all, bytes of the directory and before it
_ENTRY = struct.Struct("<4s4x2H4x3L3H8xL")  # of the directory: flags, method, CRC, sizes, lengths, place
_LOCAL = struct.Struct("<4s22x2H")  # before a member's data: how long its name and its extra field are
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(?s:..)\{'descr': '([<|][iu][1248])', 'fortran_order': False, 'shape': \(([\d, ]*)\), \} *\n"
)
"""Of an npy file of integers as numpy writes it, up to its first number."""


class _Member(NamedTuple):
    """A row of the directory: sizes in bytes, deflated and whole; at: where its local header is."""

    name: str
    method: int
    crc: int
    deflated: int
    size: int
    at: int


def read(data: bytes, most_bytes: int) -> dict[str, npt.NDArray[Any]]:
    """The arrays, by name; at most so many bytes of them.

    Raises:
        ValueError: it is not such a file, is damaged, or has more; pickled objects are not read.
    """
    try:
        members = [*_directory(data)]
        if sum(member.size for member in members) > most_bytes:
            raise ValueError(f"it has more than {most_bytes} bytes of arrays")
        return {member.name.removesuffix(".npy"): _array(_content(data, member)) for member in members}
    except (struct.error, UnicodeDecodeError, zlib.error) as error:
        raise ValueError(f"it is damaged ({error})") from error


def _directory(data: bytes) -> Iterator[_Member]:
    at = data.rfind(b"PK\5\6")
    if at < 0:
        raise ValueError("it is not an npz file")
    _, _, count, _, at, _ = _END.unpack_from(data, at)
    for _ in range(count):
        mark, flags, method, crc, deflated, size, named, extra, comment, start = _ENTRY.unpack_from(data, at)
        if mark != b"PK\1\2" or flags & _ENCRYPTED or method not in (_STORED, _DEFLATED):
            raise ValueError("it is damaged, or of a kind that numpy does not write")
        at += _ENTRY.size
        yield _Member(data[at : at + named].decode(), method, crc, deflated, size, start)
        at += named + extra + comment


def _content(data: bytes, member: _Member) -> bytes:
    mark, named, extra = _LOCAL.unpack_from(data, member.at)
    start = member.at + _LOCAL.size + named + extra
    content = data[start : start + member.deflated]
    if member.method == _DEFLATED:
        content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, member.size + 1)
    if mark != b"PK\3\4" or len(content) != member.size or zlib.crc32(content) != member.crc:
        raise ValueError(f"{member.name!a} is damaged")
    return content


def _array(content: bytes) -> npt.NDArray[Any]:
    """The array of an npy file: numpy takes ten times as long for the header, which it parses as Python source."""
    array: npt.NDArray[Any]
    if (header := _HEADER.match(content)) and header.end() == 10 + int.from_bytes(content[8:10], "little"):
        shape = [int(size) for size in header[2].split(b",") if size.strip()]
        array = np.frombuffer(content, header[1].decode(), offset=header.end()).reshape(shape)
    else:
        array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    return array
