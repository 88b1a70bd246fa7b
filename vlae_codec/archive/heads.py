"""What the header of an archive and the head of a chunk say, in all versions; and what all of them are made of."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

from vlae_codec.coding.bits import read_varint
from vlae_codec.errors import FormatError, ImageError
from vlae_codec.picture.fields import field_count
from vlae_codec.picture.raster import Geometry
from vlae_codec.sets import manifest
from vlae_codec.sets.manifest import Forms

from .numbers import Numbers

LARGEST_CHUNK = 1 << 17
"""Most images of a chunk; and most fields of pictures that are coded together."""
MOST_SAMPLES = 32
"""Of q for each field of a lossless archive."""
LARGEST_HEADER = 1 << 24
CHECK_BYTES = 4
Identity = int | bytes
"""What names a model: a registered number, 0 for none, or the first bytes of its digest."""
_LARGEST_TEXT = 1 << 26  # of names, inflated


@dataclass(frozen=True)
class Header:
    """What all chunks share. `forms` say what the sources were: see `manifest`; `samples`: see `chain.push`.

    model: of version 1, the one of all chunks; None of version 2, where each chunk names its own.
    """

    model: Identity | None
    lossy: bool
    ordered: bool
    forms: Forms
    samples: int = 1

    @property
    def version(self) -> int:
        """The version of the format."""
        return 2 if self.model is None else 1


@dataclass(frozen=True)
class Apart:
    """Pictures that stand one after the other, each as the sections of a file, and then what is said beside their samples.

    sizes: bytes of the sections of each. said: of each, which of the metadata are its own, from 1 on; 0 stands for none.
    metadata: bytes of each of these, without their check. carried: the sections of the first are those of all as one
    picture, and the others have none (see the module of that name).
    """

    sizes: tuple[int, ...]
    said: tuple[int, ...]
    metadata: tuple[int, ...] = ()
    carried: bool = False

    @property
    def payload_bytes(self) -> int:
        """How many bytes they are together."""
        return sum(self.sizes) + sum(size + CHECK_BYTES for size in self.metadata)

    @cached_property
    def _starts(self) -> list[int]:
        return [*accumulate((*self.sizes, *(size + CHECK_BYTES for size in self.metadata)), initial=0)]

    def span(self, index: int) -> slice:
        """Where the sections of picture `index` are in the payload."""
        return slice(self._starts[index], self._starts[index + 1])

    def metadata_span(self, index: int) -> slice | None:
        """Where the metadata of picture `index` are, with their check; None if it has none."""
        number = self.said[index]
        return None if not number else self.span(len(self.sizes) + number - 1)


@dataclass(frozen=True)
class Head:
    """What a chunk says of itself. `names`: of its images that are loose files; `runs`: (geometry, how many images).

    `state` is what the model's family has to know beside the payload of pictures coded together, three numbers in version 1;
    `apart` is given instead if they are not. `model`: None of version 1, where the header names it.
    """

    numbers: Numbers
    names: tuple[str, ...]
    runs: tuple[tuple[Geometry, int], ...]
    state: bytes
    payload_bytes: int
    model: Identity | None = None
    apart: Apart | None = None

    @property
    def images(self) -> int:
        """How many images the chunk holds."""
        return sum(count for _, count in self.runs)

    @property
    def fields(self) -> int:
        """How many fields of 28x28 cover them."""
        return sum(field_count(form.height, form.width) * count for form, count in self.runs)

    @property
    def sample_bytes(self) -> int:
        """How many bytes of samples they have."""
        return sum(form.sample_bytes * count for form, count in self.runs)

    @property
    def stored_bytes(self) -> int:
        """How many bytes follow the head: of pictures coded together their check, too; others have checks of their own."""
        return self.payload_bytes + (CHECK_BYTES if self.apart is None else 0)

    @property
    def is_divided(self) -> bool:
        """Whether each picture can be read without the others."""
        return self.apart is not None and not self.apart.carried

    def geometries(self) -> list[Geometry]:
        """Of each image."""
        return [form for form, count in self.runs for _ in range(count)]

    def geometry(self, index: int) -> Geometry:
        """Of image `index` of the chunk."""
        for form, count in self.runs:
            if index < count:
                return form
            index -= count
        raise IndexError(index)

    def alone(self, number: int, name: str | None) -> Head:
        """The head that the image of that number and name would have if it alone were in a chunk of pictures apart."""
        assert self.apart is not None
        index = self.numbers.position(number)
        size, said = self.apart.sizes[index], self.apart.said[index]
        beside = (self.apart.metadata[said - 1],) if said else ()
        apart = Apart((size,), (min(said, 1),), beside)
        runs, names = ((self.geometry(index), 1),), () if name is None else (name,)
        numbers = Numbers.between(number, 1)
        return replace(self, numbers=numbers, names=names, runs=runs, payload_bytes=apart.payload_bytes, apart=apart)


@dataclass(frozen=True)
class Place:
    """Where a chunk stands: offset and length in bytes, and which images it holds. A lost chunk has no length."""

    offset: int
    length: int
    numbers: Numbers

    @property
    def first(self) -> int:
        """The number of its first image."""
        return self.numbers.first

    @property
    def images(self) -> int:
        """How many images it holds."""
        return self.numbers.images


@dataclass
class Cursor:
    """Where the reading of a head stands, and how many numbers were read, which is the time that it took."""

    data: bytes
    at: int = 0
    count: int = 0

    def next(self) -> int:
        """The next number.

        Raises:
            FormatError: there is none.
        """
        value, self.at = read_varint(self.data, self.at)
        self.count += 1
        return value

    def take(self, count: int) -> bytes:
        """So many bytes, or those that there are."""
        start, self.at = self.at, self.at + count
        return self.data[start : self.at]

    def skip(self, marker: bytes) -> None:
        """Goes on behind the marker with which a chunk begins.

        Raises:
            FormatError: it does not stand there.
        """
        if not self.data.startswith(marker, self.at):
            raise FormatError("a chunk of the archive does not begin with its marker: it is damaged")
        self.at += len(marker)

    def bounded(self) -> int:
        """A number of what a chunk may have as many as images.

        Raises:
            FormatError: it is larger.
        """
        count = self.next()
        if count > LARGEST_CHUNK:
            raise FormatError(f"a chunk of the archive claims {count} sizes or runs: it is damaged")
        return count

    def checked(self, what: str) -> None:
        """Verifies the check of all so far, and goes on behind it.

        Raises:
            FormatError: it fails.
        """
        read_checked(self.data, self.at, what)
        self.at += CHECK_BYTES


def read_runs(cursor: Cursor, forms: list[Geometry]) -> tuple[tuple[Geometry, int], ...]:
    """A varint number of runs, and of each which form, and how many images.

    Raises:
        FormatError: a form is not there.
    """
    runs = []
    for _ in range(cursor.bounded()):
        form_number, count = cursor.next(), cursor.next()
        if form_number >= len(forms):
            raise FormatError("a chunk of the archive names a size that it does not have: it is damaged")
        runs.append((forms[form_number], count))
    return tuple(runs)


def read_names(cursor: Cursor) -> bytes:
    """A varint length, and that many bytes of names, still deflated."""
    return cursor.take(cursor.next())


def inflated_names(text: bytes) -> tuple[str, ...]:
    """The inverse of `packed_names`.

    Raises:
        FormatError: they are damaged, or too many.
    """
    lines = inflate(text) if text else b""
    if lines.count(b"\n") >= LARGEST_CHUNK:
        raise FormatError("a chunk of the archive has more names than it may have images: it is damaged")
    try:
        return tuple(map(manifest.check_name, lines.decode().split("\n"))) if text else ()
    except UnicodeDecodeError as error:
        raise FormatError("a name in the archive is not UTF-8 text: it is damaged") from error


def packed_names(names: tuple[str, ...]) -> bytes:
    """The names, a line each, deflated; nothing if there are none.

    Raises:
        ImageError: they are longer than any reader takes.
    """
    text = "\n".join(names).encode()
    if len(text) > _LARGEST_TEXT:
        raise ImageError(f"the names of {len(names)} images are too long for one chunk: ask for smaller chunks")
    return deflate(text) if text else b""


def framed(data: bytes) -> bytes:
    """A header or a head with its check, of a size that a reader takes."""
    if len(data) + CHECK_BYTES > LARGEST_HEADER:
        raise ImageError("the names and forms of these images are too long for one chunk: ask for smaller chunks")
    return checked(data)


def checked(data: bytes) -> bytes:
    """The data, followed by their CRC-32."""
    return data + zlib.crc32(data).to_bytes(CHECK_BYTES, "big")


def read_checked(data: bytes, end: int, what: str) -> None:
    """Verifies the CRC-32 that stands at `end`, over all before it.

    Raises:
        FormatError: it is not there, or is another.
    """
    if data[end : end + CHECK_BYTES] != zlib.crc32(data[:end]).to_bytes(CHECK_BYTES, "big"):
        raise FormatError(f"the check of the archive's {what} fails: it is damaged or cut short")


def deflate(data: bytes, dictionary: bytes = b"") -> bytes:
    """Raw deflate (RFC 1951), as if the dictionary had come before."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=dictionary)
    return packer.compress(data) + packer.flush()


def inflate(data: bytes, dictionary: bytes = b"", most: int = _LARGEST_TEXT) -> bytes:
    """The inverse of `deflate`.

    Raises:
        FormatError: it is not such data, or inflates to more than `most` bytes.
    """
    unpacker = zlib.decompressobj(-15, zdict=dictionary)
    try:
        text = unpacker.decompress(data, most)
    except zlib.error as error:
        raise FormatError("a text in the archive cannot be inflated: it is damaged") from error
    if not unpacker.eof or unpacker.unused_data:
        raise FormatError("a text in the archive is cut short or longer than any: it is damaged")
    return text
