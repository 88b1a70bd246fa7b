"""Header and heads of archives of version 2: a model for each chunk, pictures of any kind (FORMAT.md, section 12)."""

from __future__ import annotations

import enum

from vlae_codec.coding.bits import varint
from vlae_codec.container import DIGEST_BYTES, MAGIC
from vlae_codec.container2 import NO_MODEL, VERSION
from vlae_codec.errors import FormatError
from vlae_codec.picture.raster import read_geometry, write_geometry

from . import manifests
from .heads import (
    LARGEST_CHUNK,
    Apart,
    Cursor,
    Head,
    Header,
    framed,
    inflated_names,
    packed_names,
    read_names,
    read_runs,
)
from .numbers import Numbers

CHUNK_MARKER, INDEX_MARKER = b"\xd7v2C", b"\xd7v2I"
LARGEST_SAMPLES_BYTES = 1 << 26
"""Of all pictures of a chunk, unless it has only one."""
_START = bytes([MAGIC, VERSION << 4 | 3 << 2])
_TOGETHER, _CARRIED, _NAMED_SHIFT = 1, 2, 2


class _Named(enum.IntEnum):
    """How a chunk names its model, as single files do."""

    NOT = 0
    BY_NUMBER = 1
    BY_DIGEST = 2


def write_header(header: Header) -> bytes:
    """The header's bytes.

    Raises:
        ImageError: as of `manifests.write`.
    """
    return manifests.write(_START, header)


def read_header(data: bytes) -> tuple[Header, int]:
    """The header and the index after it.

    Raises:
        FormatError: it is not one, or it is damaged.
    """
    if data[1] >> 2 & 3 != _START[1] >> 2 & 3:
        raise FormatError("this is a single image, not an archive: use decompress")
    if not data.startswith(_START):
        raise FormatError("an archive of format version 2 has flags that are not known: it is damaged, or newer")
    header, at = manifests.read(None, data, len(_START))
    if not header.ordered:
        raise FormatError("an archive of format version 2 claims to be a set without order: it is damaged")
    return header, at


def write_head(head: Head) -> bytes:
    """The head's bytes, with marker and check.

    Raises:
        ImageError: the names or forms are too long for one head.
    """
    assert head.model is not None
    forms = {form: number for number, form in enumerate(dict.fromkeys(form for form, _ in head.runs))}
    way = _TOGETHER if head.apart is None else _CARRIED * head.apart.carried
    out = [head.numbers.write(), _write_model(head.model, way), varint(len(forms))]
    out += [*map(write_geometry, forms), varint(len(head.runs))]
    out += [varint(forms[form]) + varint(count) for form, count in head.runs]
    text = packed_names(head.names)
    out += [varint(len(text)), text]
    if head.apart is None:
        out += [varint(len(head.state)), head.state, varint(head.payload_bytes)]
    else:
        out += [*map(varint, head.apart.sizes), varint(len(head.apart.metadata)), *map(varint, head.apart.metadata)]
        out += map(varint, head.apart.said if head.apart.metadata else ())
    return framed(CHUNK_MARKER + b"".join(out))


def parse_head(cursor: Cursor) -> Head:
    """The head that begins where the cursor stands, which then stands behind it.

    Raises:
        FormatError: it is damaged.
    """
    cursor.skip(CHUNK_MARKER)
    numbers = _read_numbers(cursor)
    model, way = _read_model(cursor)
    forms = []
    for _ in range(cursor.bounded()):
        form, cursor.at = read_geometry(cursor.data, cursor.at)
        cursor.count += 3 + len(form.format.palette)
        forms.append(form)
    runs, text, state, apart = read_runs(cursor, forms), read_names(cursor), b"", None
    if way == _TOGETHER:
        state = cursor.take(cursor.next())
        payload_bytes = cursor.next()
    else:
        apart = _read_apart(cursor, numbers.images, way == _CARRIED)
        payload_bytes = apart.payload_bytes
    cursor.checked("chunk")
    head = Head(numbers, inflated_names(text), runs, state, payload_bytes, model, apart)
    if head.images != numbers.images or any(count == 0 for _, count in runs):
        raise FormatError(
            f"a chunk of the archive claims {head.images} images, and has {numbers.images}: it is damaged"
        )
    if (way == _TOGETHER and head.fields > LARGEST_CHUNK) or (
        head.sample_bytes > LARGEST_SAMPLES_BYTES and head.images > 1
    ):
        raise FormatError(f"a chunk of the archive claims {head.sample_bytes} bytes of samples: it is damaged")
    return head


def write_row(length: int, numbers: Numbers) -> bytes:
    """What the index says of a chunk of so many bytes."""
    return varint(length) + numbers.write()


def read_row(cursor: Cursor, done: int) -> tuple[int, Numbers] | None:
    """The inverse of `write_row`; None if no chunk is such."""
    length = cursor.next()
    try:
        return length, _read_numbers(cursor)
    except FormatError:
        return None


def pieces(lost: Numbers) -> list[Numbers]:
    """Images that are lost, as they are told of: all together, since a chunk's may be anywhere."""
    return [lost] if lost.runs else []


def _read_numbers(cursor: Cursor) -> Numbers:
    """The inverse of `Numbers.write`.

    Raises:
        FormatError: there are none, too many, or they are not in their shortest form.
    """
    runs, done, images = list[range](), 0, 0
    for _ in range(cursor.bounded()):
        left_out, count = cursor.next(), cursor.next()
        images += count
        if count == 0 or images > LARGEST_CHUNK or (runs and not left_out):
            raise FormatError("a chunk of the archive has numbers of images that none can have: it is damaged")
        runs.append(range(done + left_out, done + left_out + count))
        done = runs[-1].stop
    if not runs:
        raise FormatError("a chunk of the archive has no images: it is damaged")
    return Numbers(tuple(runs))


def _write_model(model: int | bytes, way: int) -> bytes:
    if isinstance(model, bytes):
        named, name = _Named.BY_DIGEST, model
    else:
        named, name = (_Named.BY_NUMBER, bytes([model])) if model != NO_MODEL else (_Named.NOT, b"")
    return bytes([named << _NAMED_SHIFT | way]) + name


def _read_model(cursor: Cursor) -> tuple[int | bytes, int]:
    """The model, and how the pictures are coded: 0, `_TOGETHER` or `_CARRIED`."""
    way = cursor.take(1)
    named = way[0] >> _NAMED_SHIFT if way else 0
    if not way or named > max(_Named) or way[0] & 3 == 3:
        raise FormatError("a chunk of the archive is coded in a way that does not exist: it is damaged")
    size = {_Named.NOT: 0, _Named.BY_NUMBER: 1, _Named.BY_DIGEST: DIGEST_BYTES}[_Named(named)]
    name, how = cursor.take(size), way[0] & 3
    if len(name) < size or name == bytes([NO_MODEL]):
        raise FormatError("a chunk of the archive names model 0, or ends within its name: it is damaged")
    if named == _Named.NOT:
        return NO_MODEL, how
    return (name[0] if named == _Named.BY_NUMBER else name), how


def _read_apart(cursor: Cursor, images: int, carried: bool) -> Apart:
    sizes = tuple(cursor.next() for _ in range(images))
    metadata = tuple(cursor.next() for _ in range(cursor.bounded()))
    said = tuple(cursor.next() for _ in range(images)) if metadata else (0,) * images
    if max(said) > len(metadata):
        raise FormatError("a chunk of the archive names metadata that it does not have: it is damaged")
    if carried and any(sizes[1:]):
        raise FormatError("a chunk of the archive has pictures that carry on and are apart: it is damaged")
    return Apart(sizes, said, metadata, carried)
