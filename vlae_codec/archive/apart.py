"""A chunk of pictures apart: one after the other, each as the sections of a file, so that each decodes on its own.

    sections of the first picture, of the second, ...; then metadata that pictures share, each followed by its CRC-32

There is no check of all of it: sections have their own, and a damaged picture costs only itself. Pages may be *carried*: see
that module; then one costs all.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from vlae_codec.errors import FormatError, VlaeError
from vlae_codec.family import OF_SAMPLING, Coder, Decoded, Done, Sampling
from vlae_codec.picture.metadata import Metadata, read_metadata, write_metadata
from vlae_codec.picture.raster import Geometry
from vlae_codec.sets.manifest import Forms

from . import carried
from .heads import CHECK_BYTES, Apart, Head
from .numbers import Numbers
from .pieces import Piece, each_name, lost


@dataclass(frozen=True)
class Picture:
    """A picture as coded: its number and name, and what its file would hold."""

    number: int
    name: str | None
    geometry: Geometry
    sections: bytes
    metadata: Metadata


def write(pictures: Sequence[Picture], model: int | bytes, together: bytes | None = None) -> tuple[Head, bytes]:
    """Head and payload of a chunk of pictures, in ascending order of their numbers.

    together: the sections of all as one picture, in place of those of each.
    """
    beside = [write_metadata(picture.metadata) for picture in pictures]
    order = {said: number for number, said in enumerate(dict.fromkeys(filter(None, beside)), 1)}
    numbers_of = tuple(order.get(said, 0) for said in beside)
    sections = [picture.sections for picture in pictures]
    if together is not None:
        sections = [together, *[b""] * (len(pictures) - 1)]
    apart = Apart(tuple(map(len, sections)), numbers_of, tuple(map(len, order)), together is not None)
    payload = b"".join(sections) + b"".join(one + _check(one) for one in order)
    runs = tuple((form, len(list(group))) for form, group in groupby(picture.geometry for picture in pictures))
    names = tuple(picture.name for picture in pictures if picture.name is not None)
    numbers = Numbers.of(picture.number for picture in pictures)
    return Head(numbers, names, runs, b"", len(payload), model, apart), payload


def read(coder: Coder, head: Head, forms: Forms, payload: bytes, sampling: Sampling, done: Done) -> list[Piece]:
    """The pictures of a chunk: a piece of those that are whole, and one for those that are damaged in the same way."""
    if head.apart is not None and head.apart.carried:
        return [_carried(coder, head, payload, done)]
    whole, damaged = list[tuple[int, str | None, Decoded]](), dict[str, list[tuple[int, str | None]]]()
    names = each_name(head.numbers.parts(forms), head.names)
    for index, (number, name, form) in enumerate(zip(head.numbers, names, head.geometries(), strict=True)):
        try:
            whole.append((number, name, _decoded(coder, head, index, form, payload, sampling)))
        except VlaeError as error:
            damaged.setdefault(str(error), []).append((number, name))
        done(1)
    pieces = [lost(Numbers.of(number for number, _ in some), _known(some), why) for why, some in damaged.items()]
    if whole:
        found = [picture for _, _, picture in whole]
        named = [(number, name) for number, name, _ in whole]
        pieces.insert(0, Piece(Numbers.of(number for number, _ in named), _known(named), found))
    return pieces


def _carried(coder: Coder, head: Head, payload: bytes, done: Done) -> Piece:
    """All pictures of a chunk, one above the other; or that they are lost."""
    assert head.apart is not None
    geometries, data = head.geometries(), payload[head.apart.span(0)]
    try:
        form = carried.geometry_of(geometries)
        _check_size(coder, form, data, head.apart.sizes[0])
        (made,) = coder.decode([coder.parse(form, data, 0)], [Sampling()])[0]
        rasters = carried.apart(made.raster.two_levels()[..., None], geometries)
        found = [
            Decoded(raster, raster.samples.size, 0, metadata=_metadata_of(head, index, payload), unused=OF_SAMPLING)
            for index, raster in enumerate(rasters)
        ]
    except VlaeError as error:
        return lost(head.numbers, head.names, str(error))
    finally:
        done(head.images)
    return Piece(head.numbers, head.names, found)


def _metadata_of(head: Head, index: int, payload: bytes) -> Metadata:
    assert head.apart is not None
    span = head.apart.metadata_span(index)
    return _metadata(payload[span]) if span else Metadata()


def _check_size(coder: Coder, form: Geometry, data: bytes, size: int) -> None:
    """Refuses sections that are not all there, or of a model that has none."""
    if coder.version != 2:
        raise FormatError("a chunk names a model that codes pictures only together: the file is damaged")
    if len(data) < size or 8 * size < coder.least_bits(form):
        raise FormatError(f"a picture of {form.width}x{form.height} pixels is cut short: it has {len(data)} bytes")


def _known(named: Sequence[tuple[int, str | None]]) -> tuple[str, ...]:
    return tuple(name for _, name in named if name is not None)


def _decoded(coder: Coder, head: Head, index: int, form: Geometry, payload: bytes, sampling: Sampling) -> Decoded:
    """Picture `index` of a chunk.

    Raises:
        FormatError: it is damaged, or the model codes no such pictures.
    """
    assert head.apart is not None
    data = payload[head.apart.span(index)]
    _check_size(coder, form, data, head.apart.sizes[index])
    (made,) = coder.decode([coder.parse(form, data, 0)], [sampling])[0]
    return replace(made, metadata=_metadata_of(head, index, payload))


def _metadata(data: bytes) -> Metadata:
    said, check = data[:-CHECK_BYTES], data[-CHECK_BYTES:]
    if not said or _check(said) != check:
        raise FormatError("the check of a picture's metadata fails: it is damaged")
    return read_metadata(said)


def _check(said: bytes) -> bytes:
    return zlib.crc32(said).to_bytes(CHECK_BYTES, "big")
