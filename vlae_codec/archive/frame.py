"""The archive: a header, chunks of images that decode on their own, and an index (FORMAT.md, section 8).

    header   D7, version and kind 3, model (as in `container`); one byte of options; what the sources were; CRC-32
    chunk    marker; head: which images, their sizes, looks and names, how they are coded; CRC-32; payload; CRC-32
    index    marker; length and images of each chunk; the header again; CRC-32; its own length in 4 bytes

Everything stands twice or can be found again: a damaged header is in the index, a damaged index is made anew by looking for
chunks, and a damaged chunk costs only itself. Sizes are checked before anything is allocated.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from vlae_codec.coding.bits import read_varint, varint
from vlae_codec.container import Kind, read_look, read_start, write_look, write_start
from vlae_codec.errors import FormatError, ImageError, TruncatedError
from vlae_codec.picture.drawing import Look, fits, format_of
from vlae_codec.picture.fields import field_count
from vlae_codec.picture.raster import Geometry
from vlae_codec.sets import manifest
from vlae_codec.sets.manifest import Forms

LARGEST_CHUNK = 1 << 17
"""Most fields, and most images, of a chunk."""
CHUNK_MARKER, INDEX_MARKER = b"\xd7vlC", b"\xd7vlI"
DICTIONARY = (
    b'[{"kind":"idx","file":"train-images-idx3-ubyte","gz":true,"packed":false},{"kind":"npy","file":"images.npy",'
    b'"dtype":"|b1","shape":[60000,28,28],"paper":0,"ink":1,"packed":false},{"kind":"files","count":100}]'
    b'[{"kind":"npz","file":"mnist.npz","dtype":"|u1","shape":[10000,98],"paper":0,"ink":255,"key":"test","packed":true}]'
)
"""What manifests are likely to contain."""
_LOSSY, _SET, _SAMPLES_SHIFT = 1, 2, 2
MOST_SAMPLES = 32
"""Of q for each field of a lossless archive."""
_LARGEST_TEXT, LARGEST_MANIFEST = 1 << 26, 1 << 22  # inflated: of names, and as JSON, which takes far more when parsed
_LARGEST_HEADER, _SHORT_HEAD, _SHORTEST_HEAD = 1 << 24, 1 << 14, 1 << 8
_LEAST_WORK, _NUMBER_WORK = 1 << 26, 1 << 10  # bytes read in vain in any file; a number counts as so many of them
_CHECK_BYTES = 4
_STATE_NUMBERS = 3  # of a chunk's state: so many varints
_SMALLEST_CHUNK = len(CHUNK_MARKER) + 2 * _CHECK_BYTES  # all that every chunk has, whatever is in it


@dataclass(frozen=True)
class Header:
    """What all chunks share. `forms` say what the sources were: see `manifest`; `samples`: see `chain.push`."""

    model: int | bytes
    lossy: bool
    ordered: bool
    forms: Forms
    samples: int = 1

    def write(self) -> bytes:
        """The header's bytes.

        Raises:
            ImageError: the forms are too many for one header.
        """
        manifests = json.dumps([form.manifest() for form in self.forms], ensure_ascii=False, separators=(",", ":"))
        if len(manifests.encode()) > LARGEST_MANIFEST:
            raise ImageError(f"{len(self.forms)} sources are too many for one archive: pack them in several")
        text = deflate(manifests.encode(), DICTIONARY)
        options = self.lossy * _LOSSY | (not self.ordered) * _SET | self.samples.bit_length() - 1 << _SAMPLES_SHIFT
        return _frame(write_start(Kind.ARCHIVE, self.model) + bytes([options]) + varint(len(text)) + text)


@dataclass(frozen=True)
class Format:
    """Size and look that images share."""

    width: int
    height: int
    look: Look = Look()

    @property
    def geometry(self) -> Geometry:
        """The same as families know it."""
        return Geometry(self.width, self.height, format_of(self.look))

    @property
    def sample_bytes(self) -> int:
        """How many bytes of samples such an image has."""
        return self.width * self.height * len(self.look.ink) * (2 if self.look.deep else 1)

    @property
    def fields(self) -> int:
        """How many 28x28 fields cover such an image."""
        return field_count(self.height, self.width)


@dataclass(frozen=True)
class Head:
    """What a chunk says of itself. `names`: of its images that are loose files; `runs`: (format, how many images).

    `state` is what the model's family has to know beside the payload: three numbers in version 1.
    """

    first: int
    names: tuple[str, ...]
    runs: tuple[tuple[Format, int], ...]
    state: bytes
    payload_bytes: int

    @property
    def images(self) -> int:
        """How many images the chunk holds."""
        return sum(count for _, count in self.runs)

    @property
    def fields(self) -> int:
        """How many fields they have."""
        return sum(form.fields * count for form, count in self.runs)

    def write(self) -> bytes:
        """The head's bytes, with marker and check.

        Raises:
            ImageError: the names are too long for one head.
        """
        forms = list(dict.fromkeys(form for form, _ in self.runs))
        out = [varint(self.first), self.state, varint(len(forms))]
        out += [varint(form.width) + varint(form.height) + write_look(form.look) for form in forms]
        out.append(varint(len(self.runs)))
        out += [varint(forms.index(form)) + varint(count) for form, count in self.runs]
        text = self.packed_names()
        out += [varint(len(text)), text, varint(self.payload_bytes)]
        return _frame(CHUNK_MARKER + b"".join(out))

    def packed_names(self) -> bytes:
        """The names, a line each, deflated; nothing if there are none.

        Raises:
            ImageError: they are longer than any reader takes.
        """
        text = "\n".join(self.names).encode()
        if len(text) > _LARGEST_TEXT:
            raise ImageError(
                f"the names of {len(self.names)} images are too long for one chunk: give a smaller --chunk"
            )
        return deflate(text) if text else b""


def _frame(data: bytes) -> bytes:
    """A header or a head with its check, of a size that a reader takes."""
    if len(data) + _CHECK_BYTES > _LARGEST_HEADER:
        raise ImageError("the names and forms of these images are too long for one chunk: give a smaller --chunk")
    return checked(data)


@dataclass(frozen=True)
class Place:
    """Where a chunk stands: offset and length in bytes, first image and how many. A lost chunk has no length."""

    offset: int
    length: int
    first: int
    images: int


@dataclass(frozen=True)
class Contents:
    """An archive as opened: header, places of all chunks, and what of the frame is damaged."""

    header: Header
    places: tuple[Place, ...]
    damages: tuple[str, ...]


def write_index(header: bytes, chunks: Sequence[tuple[int, int]]) -> bytes:
    """The index of chunks given as (bytes, images)."""
    rows = b"".join(varint(length) + varint(images) for length, images in chunks)
    index = checked(INDEX_MARKER + varint(len(chunks)) + rows + header)
    return index + len(index).to_bytes(4, "big")


def read_contents(file: BinaryIO) -> Contents:
    """The frame of an archive; what is damaged is found again where it can be.

    Raises:
        FormatError: it is no archive, or neither header nor index is whole.
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
        places = _scan(file, size, header.forms.images)
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
        FormatError: it is none, or it is damaged.
    """
    kind, model, at = read_start(data)
    if kind != Kind.ARCHIVE:
        raise FormatError("this is a single image, not an archive: use decompress")
    if data[1] & 2:
        raise FormatError("an archive has no width and height of its own, and this one claims to: it is damaged")
    if len(data) <= at:
        raise TruncatedError("the archive ends within its header")
    options = data[at]
    length, at = read_varint(data, at + 1)
    text, end = data[at : at + length], at + length
    read_checked(data, end, "header")
    samples = 1 << (options >> _SAMPLES_SHIFT)
    if samples > MOST_SAMPLES or (options & _LOSSY and options != _LOSSY):
        raise FormatError("the archive has options that this version does not know; upgrade vlae-codec")
    try:
        manifests = json.loads(inflate(text, DICTIONARY, LARGEST_MANIFEST).decode())
    except (ValueError, RecursionError):
        manifests = None
    if not isinstance(manifests, list) or not manifests:
        raise FormatError("the archive does not say what its sources were: it is damaged")
    forms = Forms(map(manifest.read, manifests))
    return Header(model, bool(options & _LOSSY), not options & _SET, forms, samples), end + _CHECK_BYTES


def read_head(file: BinaryIO, place: Place) -> tuple[Head, int]:
    """The head of the chunk at a place, and its length in bytes.

    Raises:
        FormatError: it is damaged.
    """
    if not place.length:
        raise FormatError("no chunk with these images was found")
    head, head_bytes = _head_at(file, place.offset, min(place.length, _LARGEST_HEADER))
    if isinstance(head, FormatError):
        raise head
    whole = head_bytes + head.payload_bytes + _CHECK_BYTES
    if (whole, head.first, head.images) != (place.length, place.first, place.images):
        raise FormatError("a chunk is not the one that the archive's index says: it is damaged")
    return head, head_bytes


def read_payload(file: BinaryIO, place: Place, head_bytes: int, head: Head) -> bytes:
    """The payload of a chunk.

    Raises:
        FormatError: it is damaged.
    """
    data = _read(file, place.offset + head_bytes, head.payload_bytes + _CHECK_BYTES)
    read_checked(data, head.payload_bytes, "chunk")
    return data[: head.payload_bytes]


def checked(data: bytes) -> bytes:
    """The data, followed by their CRC-32."""
    return data + zlib.crc32(data).to_bytes(_CHECK_BYTES, "big")


def read_checked(data: bytes, end: int, what: str) -> None:
    """Verifies the CRC-32 that stands at `end`, over all before it.

    Raises:
        FormatError: it is not there, or is another.
    """
    if data[end : end + _CHECK_BYTES] != zlib.crc32(data[:end]).to_bytes(_CHECK_BYTES, "big"):
        raise FormatError(f"the check of the archive's {what} fails: it is damaged or cut short")


def deflate(data: bytes, dictionary: bytes = b"") -> bytes:
    """Raw deflate (RFC 1951), as if the dictionary had come before."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=dictionary)
    return packer.compress(data) + packer.flush()


def inflate(data: bytes, dictionary: bytes = b"", most: int = _LARGEST_TEXT) -> bytes:
    """The inverse of `deflate`.

    Raises:
        FormatError: it is no such data, or inflates to more than `most` bytes.
    """
    unpacker = zlib.decompressobj(-15, zdict=dictionary)
    try:
        text = unpacker.decompress(data, most)
    except zlib.error as error:
        raise FormatError("a text in the archive cannot be inflated: it is damaged") from error
    if not unpacker.eof or unpacker.unused_data:
        raise FormatError("a text in the archive is cut short or longer than any: it is damaged")
    return text


def _read(file: BinaryIO, offset: int, count: int) -> bytes:
    """So many bytes, or those that there are: no memory is taken for others."""
    left = file.seek(0, 2) - offset
    file.seek(offset)
    return file.read(max(0, min(count, left)))


def _front(file: BinaryIO, size: int) -> Header | FormatError:
    """The header at the front, or what is wrong with it."""
    try:
        return read_header(_read(file, 0, min(size, _LARGEST_HEADER)))[0]
    except FormatError as error:
        return error


def _read_index(file: BinaryIO, size: int) -> tuple[Header, list[Place] | None] | None:
    """Header and places by the index; None if it is damaged. No places if the file has not the length that it says."""
    length = int.from_bytes(_read(file, max(0, size - 4), 4), "big")
    if not len(INDEX_MARKER) <= length <= size - 4:
        return None
    data = _read(file, size - 4 - length, length)
    try:
        read_checked(data, length - _CHECK_BYTES, "index")
        if not data.startswith(INDEX_MARKER):
            return None
        count, at = read_varint(data, len(INDEX_MARKER))
        rows = []
        for _ in range(min(count, length)):
            chunk_bytes, at = read_varint(data, at)
            images, at = read_varint(data, at)
            rows.append((chunk_bytes, images))
        copy = data[at : length - _CHECK_BYTES]
        header, header_bytes = read_header(copy)
    except FormatError:
        return None
    places, offset, first = [], header_bytes, 0
    for chunk_bytes, images in rows:
        places.append(Place(offset, chunk_bytes, first, images))
        offset, first = offset + chunk_bytes, first + images
    sound = all(chunk_bytes >= _SMALLEST_CHUNK and 0 < images <= LARGEST_CHUNK for chunk_bytes, images in rows)
    if first != header.forms.images or header_bytes != len(copy) or not sound:
        return None
    return header, places if offset == size - 4 - length else None


def _scan(file: BinaryIO, size: int, images: int) -> list[Place]:
    """Chunks by their markers: those whose head is whole, in order, none twice. Gaps are places without length.

    Where a chunk is not followed as it should be, bytes may be missing in it: then the next is looked for within it. A file
    full of markers takes no longer: what may be read in vain is in proportion to the file, and no head is looked for that is
    longer than what is left of that.
    """
    found, offset, spare = [], 0, _LEAST_WORK + (size << 8)
    while (offset := _find(file, offset, size)) < size:
        head, cost = _head_at(file, offset, min(max(spare, _SHORTEST_HEAD), _LARGEST_HEADER))
        if isinstance(head, FormatError):
            offset, spare = offset + 1, spare - cost
            continue
        length = cost + head.payload_bytes + _CHECK_BYTES
        found.append(Place(offset, length, head.first, head.images))
        offset += length if _is_end(file, offset + length, size) else cost
    places, done = [], 0
    for place in [*sorted(found, key=lambda place: place.first), Place(size, 0, images, 0)]:
        if done <= place.first <= images - place.images:
            places += [Place(size, 0, done, place.first - done)] * (done < place.first)
            places.append(place)
            done = place.first + place.images
    return places[:-1]


def _is_end(file: BinaryIO, offset: int, size: int) -> bool:
    """Whether a chunk may end there: at the end of the file, or before the next one or the index."""
    return offset == size or _read(file, offset, len(CHUNK_MARKER)) in (CHUNK_MARKER, INDEX_MARKER)


def _find(file: BinaryIO, offset: int, size: int) -> int:
    """The next marker of a chunk from `offset` on; `size` if there is none. Little is read of what is behind it."""
    block = 1 << 8
    while offset < size:
        found = _read(file, offset, block + len(CHUNK_MARKER) - 1).find(CHUNK_MARKER)
        if found >= 0:
            return offset + found
        offset, block = offset + block, min(2 * block, 1 << 16)
    return size


def _head_at(file: BinaryIO, offset: int, longest: int) -> tuple[Head, int] | tuple[FormatError, int]:
    """The head that begins at an offset, and its length; or what is wrong with it, and what was read in vain, in bytes.

    Most are short: more and more is read, up to `longest` bytes.
    """
    most, work = min(longest, _SHORT_HEAD), 0
    while True:
        numbers = _Numbers(_read(file, offset, most))
        try:
            return _parse_head(numbers), numbers.at
        except FormatError as error:
            work += len(numbers.data) + _NUMBER_WORK * numbers.count
            if most >= longest or len(numbers.data) < most:
                return error, work
        most = min(4 * most, longest)


@dataclass
class _Numbers:
    """The numbers of a head: where their reading stands, and how many were read, which is the time that it took."""

    data: bytes
    at: int = 0
    count: int = 0

    def next(self) -> int:
        """The next one.

        Raises:
            FormatError: there is none.
        """
        value, self.at = read_varint(self.data, self.at)
        self.count += 1
        return value


def _parse_head(numbers: _Numbers) -> Head:
    """The head that the data begin with; its length is where the numbers then stand."""
    if not numbers.data.startswith(CHUNK_MARKER):
        raise FormatError("a chunk of the archive does not begin with its marker: it is damaged")
    numbers.at = len(CHUNK_MARKER)
    first, start = numbers.next(), numbers.at
    for _ in range(_STATE_NUMBERS):
        numbers.next()
    state = numbers.data[start : numbers.at]
    forms = [_read_format(numbers) for _ in range(_bounded(numbers.next()))]
    runs = []
    for _ in range(_bounded(numbers.next())):
        form_number, count = numbers.next(), numbers.next()
        if form_number >= len(forms):
            raise FormatError("a chunk of the archive names a size that it does not have: it is damaged")
        runs.append((forms[form_number], count))
    length = numbers.next()
    start, numbers.at = numbers.at, numbers.at + length
    text = numbers.data[start : numbers.at]
    payload_bytes = numbers.next()
    read_checked(numbers.data, numbers.at, "chunk")
    numbers.at += _CHECK_BYTES
    head = Head(first, _read_names(text), tuple(runs), state, payload_bytes)
    if not 0 < head.images <= LARGEST_CHUNK or head.fields > LARGEST_CHUNK:
        raise FormatError(f"a chunk of the archive claims {head.images} images of {head.fields} fields: it is damaged")
    return head


def _bounded(count: int) -> int:
    """A number of sizes, or of runs of images of one size, if a chunk may have so many.

    Raises:
        FormatError: it may not.
    """
    if count > LARGEST_CHUNK:
        raise FormatError(f"a chunk of the archive claims {count} sizes or runs: it is damaged")
    return count


def _read_names(text: bytes) -> tuple[str, ...]:
    lines = inflate(text) if text else b""
    if lines.count(b"\n") >= LARGEST_CHUNK:
        raise FormatError("a chunk of the archive has more names than it may have images: it is damaged")
    try:
        return tuple(map(manifest.check_name, lines.decode().split("\n"))) if text else ()
    except UnicodeDecodeError as error:
        raise FormatError("a name in the archive is no UTF-8 text: it is damaged") from error


def _read_format(numbers: _Numbers) -> Format:
    width, height = numbers.next(), numbers.next()
    if not fits(width, height):
        raise FormatError(f"the archive claims an image of {width}x{height} pixels, beyond what any holds")
    look, numbers.at = read_look(numbers.data, numbers.at)
    return Format(width, height, look)
