"""What an archive's chunk holds of drawings: a chain, a chain without order, or codes; and back.

The state, what a decoder has to know beside the payload, is `bitsback.Counted`: three numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from dataclasses import fields as entries

import numpy as np
import numpy.typing as npt

from vlae_codec.coding.bits import PrefixCode, read_varint, varint
from vlae_codec.errors import FormatError, ImageError
from vlae_codec.family import Chain, Chaining, Done, Sampling
from vlae_codec.picture.drawing import Drawing, raster_of
from vlae_codec.picture.fields import SIDE, Bits, cut_fields, field_count, from_fields, pixels_inside
from vlae_codec.picture.raster import Geometry, Raster

from . import chain, latents
from .bitsback import Counted, Inside, Tally
from .model import Model
from .search import Search
from .texture import decode_fields

_TOGETHER = 512  # fields of a lossy chunk that are drawn at once


def push(model: Model, drawings: Sequence[Drawing], chaining: Chaining, done: Done | None) -> Chain:
    """Codes drawings together.

    Raises:
        ImageError: a set without order has images of several sizes.
    """
    fields, inside, index = cut_fields([drawing.bits for drawing in drawings])
    told = _per_picture(done, len(drawings), len(fields))
    geometries = [raster_of(drawing).geometry for drawing in drawings]
    if not chaining.lossless:
        return _push_codes(model, geometries, fields, inside, index, chaining.effort, told)
    if not chaining.ordered:
        _check_alike(geometries)
        return _chain(geometries, chain.push_set(model, fields, inside[0], told, chaining.samples), [])
    pushed = chain.push(model, fields, inside, told, chaining.samples)
    return _chain(geometries, pushed, _by_picture(pushed.field_bits(inside), index))


def pop(
    model: Model,
    payload: bytes,
    state: bytes,
    geometries: Sequence[Geometry],
    chaining: Chaining,
    sampling: Sampling,
    done: Done | None,
) -> list[Raster]:
    """The inverse of `push`.

    Raises:
        FormatError: payload or state are damaged.
    """
    counted, count = _read_state(state, chaining), sum(map(_fields_of, geometries))
    told = _per_picture(done, len(geometries), count)
    if not chaining.lossless and count > 8 * len(payload):  # no code is shorter than a bit
        raise FormatError(f"a chunk claims {count} fields in {len(payload)} bytes: the file is damaged")
    inside = _insides(geometries)
    if not chaining.lossless:
        fields = _pop_codes(model, sampling, geometries, payload, inside, told)
    elif chaining.ordered:
        fields = chain.pop(model, payload, counted, inside, told, chaining.samples)
    else:
        if len(set(geometries)) != 1 or count != len(geometries):
            raise FormatError("a set without order claims images of several sizes: the file is damaged")
        fields = chain.pop_set(model, payload, count, counted.start, inside[0], told, chaining.samples)
    rasters, at = [], 0
    for one in geometries:
        own = fields[at : (at := at + _fields_of(one))]
        rasters.append(Raster(from_fields(own, one.height, one.width)[..., None], one.format))
    return rasters


def write_state(counted: Counted) -> bytes:
    """The counts as three numbers of variable length."""
    return b"".join(map(varint, astuple(counted)))


def _read_state(state: bytes, chaining: Chaining) -> Counted:
    """The inverse of `write_state`, if chains like this have such counts."""
    numbers, at = [], 0
    for _ in entries(Counted):
        number, at = read_varint(state, at)
        numbers.append(number)
    counted = Counted(*numbers)
    few = not (chaining.lossless and chaining.ordered)
    if at != len(state) or (counted.start and not chaining.lossless) or (few and (counted.blank or counted.raw)):
        raise FormatError("a chunk counts fields of a kind that archives like this do not have: the file is damaged")
    return counted


def _fields_of(geometry: Geometry) -> int:
    return field_count(geometry.height, geometry.width)


def _chain(geometries: Sequence[Geometry], pushed: chain.Pushed, picture_bits: Sequence[float]) -> Chain:
    kl_bits = float(pushed.costs.kl_bits.sum())
    return Chain(
        pushed.data,
        write_state(pushed.counted),
        geometries,
        {entry.name: getattr(pushed.tally, entry.name) for entry in entries(Tally)},
        kl_bits,
        kl_bits + float(pushed.costs.distortion_bits.sum()),
        picture_bits,
    )


def _push_codes(
    model: Model,
    geometries: Sequence[Geometry],
    fields: Bits,
    inside: Inside,
    index: npt.NDArray[np.int64],
    effort: int,
    told: chain.Done,
) -> Chain:
    """Of a lossy archive: the latent section of a single file."""
    search, last = Search(model, effort, lossy=True), 0

    def progress(_what: str, now: int, _total: int) -> None:
        nonlocal last
        told(max(0, now - last))
        last = now

    choices = search.choices(fields, inside, index, progress)
    payload = latents.write([choice.code for choice in choices], search.prefix, model.prior)
    code_bits = sum(choice.code_bits for choice in choices)
    return Chain(
        payload,
        write_state(Counted(0)),
        geometries,
        {"code_bits": code_bits, "rounding_bits": 8 * len(payload) - code_bits},
        sum(choice.kl_bits for choice in choices),
        0.0,
        _by_picture(np.array([choice.code_bits for choice in choices]), index),
    )


def _pop_codes(
    model: Model,
    sampling: Sampling,
    geometries: Sequence[Geometry],
    payload: bytes,
    inside: Inside,
    told: chain.Done | None,
) -> Bits:
    """The inverse of `_push_codes`, with pixels drawn as a single file's are."""
    section = latents.read(payload, 0, len(inside), PrefixCode(model.octave_lengths))
    section.check_padding()
    if section.end != len(payload):
        raise FormatError(f"{len(payload) - section.end} bytes follow the codes of a chunk: the file is damaged")
    index = np.concatenate([np.arange(_fields_of(one)) for one in geometries])
    codes, fields = section.codes(model.prior), np.zeros(inside.shape, np.uint8)
    for start in range(0, len(codes), _TOGETHER):
        own = slice(start, start + _TOGETHER)
        fields[own] = decode_fields(model, [sampling], codes[own], index[own], inside[own])[:, 0]
        if told:
            told(len(codes[own]))
    return fields


def _insides(geometries: Sequence[Geometry]) -> Inside:
    """Which pixels of all fields lie in their pictures, (n, 28, 28); of small pictures of one size, held once for all."""
    sizes = {(one.height, one.width) for one in geometries}
    if len(sizes) == 1 and _fields_of(geometries[0]) == 1:
        return np.broadcast_to(pixels_inside(*sizes.pop())[0], (len(geometries), SIDE, SIDE))
    return np.concatenate([pixels_inside(one.height, one.width) for one in geometries])


def _by_picture(field_bits: npt.NDArray[np.float64], index: npt.NDArray[np.int64]) -> list[float]:
    """Sums over the fields of each picture, (n,) bits; `index` is each field's place in its picture."""
    sums: list[float] = np.add.reduceat(field_bits, np.flatnonzero(index == 0)).tolist()
    return sums


def _check_alike(geometries: Sequence[Geometry]) -> None:
    first = geometries[0]
    for one in geometries:
        if _fields_of(first) > 1 or (one.height, one.width) != (first.height, first.width):
            raise ImageError(
                f"a set without order needs images of one size, 28x28 at most, and one is {one.width}x{one.height}"
            )
        if one.format != first.format:
            raise ImageError(
                "a set without order needs images of the same paper and ink, and these have others: pack them in order"
            )


def _per_picture(done: Done | None, pictures: int, fields: int) -> chain.Done:
    return lambda count: done(count * pictures / fields) if done else None
