"""What of a picture needs coding: a palette in place of few colours, no channels that say nothing, no bits that do not.

`forms` and `restored` undo each other, between samples as a format has them and values as streams code them.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.errors import FormatError
from vlae_codec.picture.palette import Entries, in_order, read_entries, write_entries
from vlae_codec.picture.raster import Geometry, Kind, PixelFormat, Raster, Samples, strips
from vlae_codec.picture.rows import Values

from .streams import Shape

_MOST_COLOURS = 256


class Less(enum.IntFlag):
    """What is left out, in this order; the bits of a method byte."""

    COLOUR = 0x10  # red, green and blue are the same
    ORDER = 0x10  # of numbers of palette entries: that of `palette.in_order` stands for it
    ALPHA = 0x20  # always at its top
    LOW_BYTE = 0x40  # of 16-bit samples, as it is the same as the high one
    UNUSED = 0x80  # values that do not occur: a palette follows


@dataclass(frozen=True)
class Form:
    """Values (H, W, C) below 2^depth, what is left out of them, and the bytes that say which values they stand for."""

    less: Less
    table: bytes
    values: Values
    depth: int

    @property
    def shape(self) -> Shape:
        """Of the values."""
        height, width, channels = self.values.shape
        return Shape(height, width, channels, self.depth)


def forms(raster: Raster) -> Iterator[Form]:
    """The forms of a picture that are worth trying."""
    plain = _reduced(raster)
    indexed = _indexed(plain)
    if indexed is not None:
        yield indexed
    yield plain
    if raster.format.kind == Kind.PALETTE and not raster.format.pair:
        palette = np.array(raster.format.palette, np.uint8)
        used = np.bincount(raster.samples.reshape(-1), minlength=len(palette)).nonzero()[0].astype(np.uint8)
        yield _ordered(raster, palette, used)


def value_depth(form: PixelFormat) -> int:
    """Bits of a value of that format when nothing is left out."""
    return 1 if form.pair else form.depth


def _reduced(raster: Raster) -> Form:
    """The picture without channels and bytes that say nothing."""
    form, less = raster.format, Less(0)
    values: npt.NDArray[Any] = raster.samples
    depth = value_depth(form)
    if form.depth < 8 and form.kind == Kind.GRAY and not form.pair:
        values = _levels(values, depth)
    sampled = form.kind != Kind.PALETTE and not form.pair
    if sampled and form.kind == Kind.RGB and _always(values, lambda some: some[..., :3] == some[..., :1]):
        values, less = np.ascontiguousarray(values[..., [0, 3] if form.alpha else [0]]), less | Less.COLOUR
    if sampled and form.alpha and _always(values, lambda some: some[..., -1] == form.top):
        values, less = np.ascontiguousarray(values[..., :-1]), less | Less.ALPHA
    if sampled and depth == 16 and _always(values, lambda some: some & 0xFF == some >> 8):
        values, depth, less = (values >> 8).astype(np.uint8), 8, less | Less.LOW_BYTE
    return Form(less, b"", values, depth)


def _always(values: Values, holds: Callable[[Values], npt.NDArray[np.bool_]]) -> bool:
    """Whether something holds for all values, of which some rows are looked at together."""
    return all(bool(holds(strip).all()) for _, strip in strips(values))


def _levels(samples: Samples, depth: int) -> Values:
    """Gray of few bits as numbers of levels.

    Raises:
        ValueError: a sample is not one of the levels.
    """
    step = 255 // ((1 << depth) - 1)
    if (samples % step).any():
        raise ValueError(f"a gray sample is not one of the {1 << depth} levels of its format")
    return samples // np.uint8(step)


def _indexed(form: Form) -> Form | None:
    """The same with a palette of the values that occur, or None if they are too many, or are coded with no more bits."""
    if form.depth == 1:
        return None
    colours, numbers = _colours(form.values)
    if colours is None or numbers is None:
        return None
    depth = depth_of(len(colours))
    if depth >= form.depth * form.values.shape[2]:
        return None
    table = write_entries(_entries(colours))
    return Form(form.less | Less.UNUSED, table, numbers[..., None], depth)


def _ordered(raster: Raster, palette: Entries, used: npt.NDArray[np.uint8]) -> Form:
    """Numbers of palette entries in the order of `in_order`, of those that are used if that saves bits."""
    depth, less, table = raster.format.depth, Less.ORDER, b""
    if depth_of(len(used)) < depth:
        depth, less, table = depth_of(len(used)), Less.ORDER | Less.UNUSED, write_entries(used[:, None])
    else:
        used = np.arange(len(palette), dtype=np.uint8)
    number = np.zeros(len(palette), np.uint8)
    number[used[in_order(palette[used])]] = np.arange(len(used))
    return Form(less, table, number[raster.samples], depth)


def _colours(values: Values) -> tuple[Values, npt.NDArray[np.uint8]] | tuple[None, None]:
    """The distinct values, (n, C), neighbours alike, and the number of each pixel's, (H, W); at most 256."""
    known = np.unique(_keys(values[:: max(1, len(values) // 64)]))
    for _, strip in strips(values):
        if len(known) > _MOST_COLOURS:
            return None, None
        known = np.union1d(known, _keys(strip))
    if len(known) > _MOST_COLOURS:
        return None, None
    channels = [known >> np.uint64(16 * (values.shape[2] - 1 - channel)) for channel in range(values.shape[2])]
    colours: npt.NDArray[Any] = np.stack(channels, axis=1).astype(values.dtype)
    deep = colours.dtype == np.uint16
    order = np.argsort(colours.sum(axis=1, dtype=np.int64)) if deep else in_order(colours.astype(np.uint8))
    rank = np.empty(len(known), np.uint8)
    numbers: npt.NDArray[np.uint8] = np.empty(values.shape[:2], np.uint8)
    rank[order] = np.arange(len(known))
    for where, strip in strips(values):
        numbers[where] = rank[np.searchsorted(known, _keys(strip))]
    return colours[order], numbers


def _keys(values: Values) -> npt.NDArray[np.uint64]:
    """A number for each pixel of (h, W, C), the same for the same values: (h, W)."""
    keys = np.zeros(values.shape[:2], np.uint64)
    for channel in range(values.shape[2]):
        keys = keys << np.uint64(16) | values[..., channel].astype(np.uint64)
    return keys


def _entries(colours: Values) -> Entries:
    return (
        np.ascontiguousarray(colours, ">u2").view(np.uint8) if colours.dtype == np.uint16 else colours.astype(np.uint8)
    )


def depth_of(count: int) -> int:
    """The bits that numbers below `count`, at most 256, are coded with."""
    return next(depth for depth in (1, 2, 4, 8) if count <= 1 << depth)


def read_form(geometry: Geometry, less: Less, data: bytes, at: int) -> tuple[Shape, Values | None, int]:
    """The shape of the values that a stream has; the samples they stand for, (n, C), if not for themselves; the index after.

    Raises:
        FormatError: there is no such form of a picture of that geometry.
    """
    form = geometry.format
    indexed = form.kind == Kind.PALETTE and not form.pair
    _check_form(form, less)
    channels, depth = form.channels, value_depth(form)
    if not indexed:
        channels -= 2 * (Less.COLOUR in less) + (Less.ALPHA in less)
        depth = 8 if Less.LOW_BYTE in less else depth
    meaning: Values | None = None
    if Less.UNUSED in less:
        meaning, at = _read_table(data, at, channels, depth)
        channels, depth = 1, depth_of(len(meaning))
    if indexed and Less.ORDER in less:
        meaning = _in_order(form, meaning)
    return Shape(geometry.height, geometry.width, channels, depth), meaning, at


def _check_form(form: PixelFormat, less: Less) -> None:
    """Raises FormatError unless a picture of that format has what is left out."""
    depth = value_depth(form)
    possible = Less.UNUSED if depth > 1 else Less(0)
    if form.kind == Kind.PALETTE and not form.pair:
        possible |= Less.ORDER
    elif not form.pair:
        possible |= Less.COLOUR if form.kind == Kind.RGB else Less(0)
        possible |= Less.ALPHA if form.alpha else Less(0)
        possible |= Less.LOW_BYTE if depth == 16 else Less(0)
    if less & ~possible:
        raise FormatError("the pixel section leaves something out that the picture does not have: the file is damaged")


def _read_table(data: bytes, at: int, channels: int, depth: int) -> tuple[Values, int]:
    entries, at = read_entries(data, at, channels * (2 if depth == 16 else 1))
    table: Values = np.ascontiguousarray(entries)
    if depth == 16:
        return table.view(">u2").astype(np.uint16), at
    if (table >> np.uint8(depth - 1) > 1).any():
        raise FormatError(
            f"the palette of the pixel section has a value of more than {depth} bits: the file is damaged"
        )
    return table, at


def _in_order(form: PixelFormat, used: Values | None) -> Values:
    """The numbers of palette entries, (n, 1), those that are used or all, in the order of `in_order`."""
    palette = np.array(form.palette, np.uint8)
    numbers = np.arange(len(palette), dtype=np.uint8) if used is None else used[:, 0].astype(np.uint8)
    if numbers.max() >= len(palette):
        raise FormatError("the pixel section names a colour that the palette does not have: the file is damaged")
    return numbers[in_order(palette[numbers])][:, None]


def restored(geometry: Geometry, less: Less, meaning: Values | None, values: Values) -> Raster:
    """The picture of which a stream gave these values; `meaning` is that of `read_form`.

    Raises:
        FormatError: they are not of its format.
    """
    form = geometry.format
    if meaning is not None:
        if values.max() >= len(meaning):
            raise FormatError("a pixel has a colour that its palette does not have: the file is damaged")
        values = meaning[values[..., 0]]
    if form.kind == Kind.PALETTE and not form.pair:
        if values.max() >= len(form.palette):
            raise FormatError("a pixel has a colour that the palette does not have: the file is damaged")
        return Raster(np.ascontiguousarray(values, np.uint8), form)
    samples: npt.NDArray[Any] = values
    if Less.LOW_BYTE in less:
        samples = samples.astype(np.uint16) * np.uint16(257)
    if Less.ALPHA in less:
        samples = np.concatenate([samples, np.full((*samples.shape[:2], 1), form.top, samples.dtype)], axis=2)
    if Less.COLOUR in less:
        samples = samples[..., [0, 0, 0, 1] if form.alpha else [0, 0, 0]]
    if form.kind == Kind.GRAY and form.depth < 8 and not form.pair:
        samples = samples * np.uint8(255 // ((1 << form.depth) - 1))
    whole: npt.NDArray[Any] = np.ascontiguousarray(samples, form.dtype)
    return Raster(whole, form)
