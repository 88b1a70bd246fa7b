"""The archive: a header, chunks of images that decode on their own, and an index (FORMAT.md, sections 8 and 12).

    header   D7, version and kind 3, model (version 1); how and what was packed (see `manifests`); CRC-32
    chunk    marker; head: which images, their sizes, colours and names, how they are coded; CRC-32; payload
    index    marker; length and images of each chunk; the header again; CRC-32; its own length in 4 bytes

What a version has of its own is in `version1` and `version2`. Everything stands twice or can be found again: a damaged
header is in the index, a damaged index is made anew by looking for chunks, and a damaged chunk costs only itself. Sizes are
checked before anything is allocated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from vlae_codec.coding.bits import varint
from vlae_codec.container import MAGIC
from vlae_codec.errors import FormatError

from . import version1, version2
from .heads import CHECK_BYTES, LARGEST_HEADER, Cursor, Head, Header, Place, checked, read_checked
from .numbers import Numbers, Taken, missing

_SHORT_HEAD, _SHORTEST_HEAD = 1 << 14, 1 << 8
_LEAST_WORK, _NUMBER_WORK = 1 << 26, 1 << 10  # bytes read in vain in any file; a number counts as so many of them
_SMALLEST_CHUNK = 4 + 2 * CHECK_BYTES  # marker, and what every chunk has at least, whatever is in it


class Version(Protocol):
    """What a version of the format has of its own; errors as of the functions of this module."""

    CHUNK_MARKER: bytes
    INDEX_MARKER: bytes

    def write_header(self, header: Header) -> bytes:
        """The header's bytes."""

    def read_header(self, data: bytes) -> tuple[Header, int]:
        """The header and the index after it."""

    def write_head(self, head: Head) -> bytes:
        """The head's bytes, with marker and check."""

    def parse_head(self, cursor: Cursor) -> Head:
        """The head that begins where the cursor stands, which then stands behind it."""

    def write_row(self, length: int, numbers: Numbers) -> bytes:
        """What the index says of a chunk of so many bytes."""

    def read_row(self, cursor: Cursor, done: int) -> tuple[int, Numbers] | None:
        """The inverse of `write_row`, after `done` images; None if no chunk is such."""

    def pieces(self, lost: Numbers) -> list[Numbers]:
        """Images that are lost, as they are told of."""


_VERSIONS: dict[int, Version] = {1: version1, 2: version2}


def version(header: Header) -> Version:
    """What writes and reads archives with that header."""
    return _VERSIONS[header.version]


@dataclass(frozen=True)
class Contents:
    """An archive as opened: header, places of all chunks, and what of the frame is damaged."""

    header: Header
    places: tuple[Place, ...]
    damages: tuple[str, ...]


def write_index(header: bytes, chunks: Sequence[tuple[int, Numbers]]) -> bytes:
    """The index of chunks, given as bytes and images of each, of an archive with that header."""
    layout = _layout(header)
    rows = b"".join(layout.write_row(length, numbers) for length, numbers in chunks)
    index = checked(layout.INDEX_MARKER + varint(len(chunks)) + rows + header)
    return index + len(index).to_bytes(4, "big")


def read_contents(file: BinaryIO) -> Contents:
    """The frame of an archive; what is damaged is found again where it can be.

    Raises:
        FormatError: it is not an archive, or neither header nor index is whole.
    """
    size = file.seek(0, 2)
    front, index, damages = _front(file, size), _read_index(file, size), list[str]()
    places: Sequence[Place] | None = None
    if index is not None:
        header, places = index
        if front != header:
            damages.append("the header is damaged; its copy in the index was used")
        if places is None:
            damages.append("bytes are missing, or too many; chunks were looked for")
    elif isinstance(front, FormatError):
        raise front
    else:
        header = front
        damages.append("the index is damaged or cut off; chunks were looked for")
    if places is None:
        places = _scan(file, size, header)
    return Contents(header, tuple(places), tuple(damages))


def has_index(file: BinaryIO) -> bool:
    """Whether a file ends as an archive does, whatever it begins with. The position in it stays."""
    if not file.seekable():
        return False
    here = file.tell()
    found = _read_index(file, file.seek(0, 2)) is not None
    file.seek(here)
    return found


def read_header(data: bytes) -> tuple[Header, int]:
    """The header and the index after it.

    Raises:
        FormatError: it is not one, or it is damaged.
    """
    return _layout(data).read_header(data)


def _layout(header: bytes) -> Version:
    """What reads a header that begins so; that of version 1 says what is wrong with those of none."""
    return _VERSIONS[2 if header[:1] == bytes([MAGIC]) and header[1:2] and header[1] >> 4 == 2 else 1]


def read_head(file: BinaryIO, header: Header, place: Place) -> tuple[Head, int]:
    """The head of the chunk at a place, and its length in bytes.

    Raises:
        FormatError: it is damaged.
    """
    if not place.length:
        raise FormatError("no chunk with these images was found")
    layout = version(header)
    head, head_bytes = _head_at(layout, file, place.offset, min(place.length, LARGEST_HEADER))
    if isinstance(head, FormatError):
        raise head
    if (head_bytes + head.stored_bytes, head.numbers) != (place.length, place.numbers):
        raise FormatError("a chunk is not the one that the archive's index says: it is damaged")
    return head, head_bytes


def read_payload(file: BinaryIO, place: Place, head_bytes: int, head: Head) -> bytes:
    """The payload of a chunk; that of pictures apart has no check but theirs, and may be cut short.

    Raises:
        FormatError: it is damaged.
    """
    data = _read(file, place.offset + head_bytes, head.stored_bytes)
    if head.apart is None:
        read_checked(data, head.payload_bytes, "chunk")
    return data[: head.payload_bytes]


def read_part(file: BinaryIO, place: Place, head_bytes: int, part: slice) -> bytes:
    """A part of a chunk's payload, as far as it is there."""
    return _read(file, place.offset + head_bytes + part.start, part.stop - part.start)


def _read(file: BinaryIO, offset: int, count: int) -> bytes:
    """So many bytes, or those that there are: no memory is taken for others."""
    left = file.seek(0, 2) - offset
    file.seek(offset)
    return file.read(max(0, min(count, left)))


def _front(file: BinaryIO, size: int) -> Header | FormatError:
    """The header at the front, or what is wrong with it."""
    try:
        return read_header(_read(file, 0, min(size, LARGEST_HEADER)))[0]
    except FormatError as error:
        return error


def _read_index(file: BinaryIO, size: int) -> tuple[Header, list[Place] | None] | None:
    """Header and places by the index; None if it is damaged. No places if the file has not the length that it says."""
    length = int.from_bytes(_read(file, max(0, size - 4), 4), "big")
    if not CHECK_BYTES < length <= size - 4:
        return None
    data = _read(file, size - 4 - length, length)
    layout = next((one for one in _VERSIONS.values() if data.startswith(one.INDEX_MARKER)), None)
    try:
        read_checked(data, length - CHECK_BYTES, "index")
        rows, at = _read_rows(layout, data) if layout else (None, 0)
        copy = data[at : length - CHECK_BYTES]
        header, header_bytes = read_header(copy)
    except FormatError:
        return None
    if rows is None or version(header) is not layout or header_bytes != len(copy):
        return None
    places = _places(rows, header_bytes, header.forms.images)
    if places is None:
        return None
    end = places[-1].offset + places[-1].length if places else header_bytes
    return header, _in_order(places) if end == size - 4 - length else None


def _places(rows: Sequence[tuple[int, Numbers]], offset: int, images: int) -> list[Place] | None:
    """Where chunks of so many bytes are, from an offset on; None if their images are not all there are, each once."""
    places, taken = list[Place](), Taken(images)
    for chunk_bytes, numbers in rows:
        if chunk_bytes < _SMALLEST_CHUNK or not taken.take(numbers):
            return None
        places.append(Place(offset, chunk_bytes, numbers))
        offset += chunk_bytes
    return places if sum(place.images for place in places) == images else None


def _read_rows(layout: Version, data: bytes) -> tuple[list[tuple[int, Numbers]] | None, int]:
    """Bytes and images of each chunk by the index, None if one is such as none can be; and the index after them.

    Raises:
        FormatError: they end early.
    """
    cursor, rows, done = Cursor(data, len(layout.INDEX_MARKER)), list[tuple[int, Numbers]](), 0
    for _ in range(min(cursor.next(), len(data))):
        row = layout.read_row(cursor, done)
        if row is None:
            return None, cursor.at
        rows.append(row)
        done += row[1].images
    return rows, cursor.at


def _scan(file: BinaryIO, size: int, header: Header) -> list[Place]:
    """Chunks by their markers: those whose head is whole, in order, none twice. What is lost are places without length.

    Where a chunk is not followed as it should be, bytes may be missing in it: then the next is looked for within it. A file
    full of markers takes no longer: what may be read in vain is in proportion to the file, and no head is looked for that is
    longer than what is left of that.
    """
    layout, found, offset, spare = version(header), list[Place](), 0, _LEAST_WORK + (size << 8)
    while (offset := _find(file, layout.CHUNK_MARKER, offset, size)) < size:
        head, cost = _head_at(layout, file, offset, min(max(spare, _SHORTEST_HEAD), LARGEST_HEADER))
        if isinstance(head, FormatError):
            offset, spare = offset + 1, spare - cost
            continue
        length = cost + head.stored_bytes
        found.append(Place(offset, length, head.numbers))
        offset += length if _is_end(layout, file, offset + length, size) else cost
    taken = Taken(header.forms.images)
    places = [place for place in _in_order(found) if taken.take(place.numbers)]
    lost = missing([place.numbers for place in places], header.forms.images)
    places += [Place(size, 0, numbers) for numbers in layout.pieces(lost)]
    return _in_order(places)


def _in_order(places: Sequence[Place]) -> list[Place]:
    return sorted(places, key=lambda place: place.first)


def _is_end(layout: Version, file: BinaryIO, offset: int, size: int) -> bool:
    """Whether a chunk may end there: at the end of the file, or before the next one or the index."""
    return offset == size or _read(file, offset, len(layout.CHUNK_MARKER)) in (layout.CHUNK_MARKER, layout.INDEX_MARKER)


def _find(file: BinaryIO, marker: bytes, offset: int, size: int) -> int:
    """The next marker from `offset` on; `size` if there is none. Little is read of what is behind it."""
    block = 1 << 8
    while offset < size:
        found = _read(file, offset, block + len(marker) - 1).find(marker)
        if found >= 0:
            return offset + found
        offset, block = offset + block, min(2 * block, 1 << 16)
    return size


def _head_at(layout: Version, file: BinaryIO, offset: int, longest: int) -> tuple[Head, int] | tuple[FormatError, int]:
    """The head that begins at an offset, and its length; or what is wrong with it, and what was read in vain, in bytes.

    Most are short: more and more is read, up to `longest` bytes.
    """
    most, work = min(longest, _SHORT_HEAD), 0
    while True:
        cursor = Cursor(_read(file, offset, most))
        try:
            return layout.parse_head(cursor), cursor.at
        except FormatError as error:
            work += len(cursor.data) + _NUMBER_WORK * cursor.count
            if most >= longest or len(cursor.data) < most:
                return error, work
        most = min(4 * most, longest)
