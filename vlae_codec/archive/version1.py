"""Header and heads of archives of version 1: one model for all, drawings that are coded together (FORMAT.md, section 8)."""

from __future__ import annotations

from vlae_codec.coding.bits import varint
from vlae_codec.container import Kind, read_look, read_start, write_look, write_start
from vlae_codec.errors import FormatError
from vlae_codec.picture.drawing import fits, format_of, look_of
from vlae_codec.picture.raster import Geometry

from . import manifests
from .heads import (
    LARGEST_CHUNK,
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

CHUNK_MARKER, INDEX_MARKER = b"\xd7vlC", b"\xd7vlI"
_STATE_NUMBERS = 3  # of a chunk's state: so many varints


def write_header(header: Header) -> bytes:
    """The header's bytes.

    Raises:
        ImageError: as of `manifests.write`.
    """
    assert header.model is not None
    return manifests.write(write_start(Kind.ARCHIVE, header.model), header)


def read_header(data: bytes) -> tuple[Header, int]:
    """The header and the index after it.

    Raises:
        FormatError: it is not one, or it is damaged.
    """
    kind, model, at = read_start(data)
    if kind != Kind.ARCHIVE:
        raise FormatError("this is a single image, not an archive: use decompress")
    if data[1] & 2:
        raise FormatError("an archive has no width and height of its own, and this one claims to: it is damaged")
    return manifests.read(model, data, at)


def write_head(head: Head) -> bytes:
    """The head's bytes, with marker and check.

    Raises:
        ImageError: the names are too long for one head.
    """
    forms = list(dict.fromkeys(form for form, _ in head.runs))
    out = [varint(head.numbers.first), head.state, varint(len(forms)), *map(_write_form, forms)]
    out.append(varint(len(head.runs)))
    out += [varint(forms.index(form)) + varint(count) for form, count in head.runs]
    text = packed_names(head.names)
    out += [varint(len(text)), text, varint(head.payload_bytes)]
    return framed(CHUNK_MARKER + b"".join(out))


def parse_head(cursor: Cursor) -> Head:
    """The head that begins where the cursor stands, which then stands behind it.

    Raises:
        FormatError: it is damaged.
    """
    cursor.skip(CHUNK_MARKER)
    first, start = cursor.next(), cursor.at
    for _ in range(_STATE_NUMBERS):
        cursor.next()
    state = cursor.data[start : cursor.at]
    forms = [_read_form(cursor) for _ in range(cursor.bounded())]
    runs, text = read_runs(cursor, forms), read_names(cursor)
    payload_bytes = cursor.next()
    cursor.checked("chunk")
    images = sum(count for _, count in runs)
    head = Head(Numbers.between(first, images), inflated_names(text), runs, state, payload_bytes)
    if not 0 < images <= LARGEST_CHUNK or head.fields > LARGEST_CHUNK:
        raise FormatError(f"a chunk of the archive claims {images} images of {head.fields} fields: it is damaged")
    return head


def write_row(length: int, numbers: Numbers) -> bytes:
    """What the index says of a chunk of so many bytes."""
    return varint(length) + varint(numbers.images)


def read_row(cursor: Cursor, done: int) -> tuple[int, Numbers] | None:
    """The inverse of `write_row`, after `done` images; None if no chunk is such."""
    length, images = cursor.next(), cursor.next()
    return (length, Numbers.between(done, images)) if 0 < images <= LARGEST_CHUNK else None


def pieces(lost: Numbers) -> list[Numbers]:
    """Images that are lost, as they are told of: run by run."""
    return [Numbers((run,)) for run in lost.runs]


def _write_form(form: Geometry) -> bytes:
    look = look_of(form.format)
    assert look is not None  # only pictures in two colours are coded together
    return varint(form.width) + varint(form.height) + write_look(look)


def _read_form(cursor: Cursor) -> Geometry:
    width, height = cursor.next(), cursor.next()
    if not fits(width, height):
        raise FormatError(f"the archive claims an image of {width}x{height} pixels, beyond what any holds")
    look, cursor.at = read_look(cursor.data, cursor.at)
    return Geometry(width, height, format_of(look))
