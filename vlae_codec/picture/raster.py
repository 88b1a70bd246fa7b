"""The currency: a picture as samples and what it takes to write it again as it came.

A `Raster` is what readers give, families code and writers take: samples (H, W, C), and a `PixelFormat` that says what they
mean and how the source stored them.

Twists to know first: samples always span their type's whole range. A source of 2 bits has the levels 0, 85, 170, 255 in
uint8; `depth` only says how few bits would do. Samples of a palette are indices, (H, W, 1). A picture of two pixel values
can be brought into a form of its own (`in_two`): samples 0 (background) and 1 (foreground), and the `pair` of values that
stand for them, whatever the source was; `as_stored` undoes that.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from vlae_codec.coding.bits import read_varint, varint
from vlae_codec.errors import FormatError, ImageError, TruncatedError
from vlae_codec.picture.palette import read_entries, write_entries

Samples: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Pixel: TypeAlias = tuple[int, ...]

MOST_PIXELS = 1 << 28
SIZES = "at least 1x1, at most 2^28 pixels"
_DEPTHS = (1, 2, 4, 8, 16)


class Kind(enum.IntEnum):
    """What a source stores for a pixel: a gray level, a colour, or the number of one in a palette."""

    GRAY = 0
    RGB = 1
    PALETTE = 2


@dataclass(frozen=True)
class PixelFormat:
    """What samples mean, and how the source stored them.

    depth: bits of a sample in the source (1, 2, 4, 8 or 16), with a palette of an index (1 to 8). RGB and whatever has
    alpha beside its samples has 8 or 16.
    alpha: samples end with opacity; with a palette, its entries do.
    palette: the entries, each of 3 samples of 8 bits, or 4 with alpha; empty for other kinds.
    pair: None, or the pixel values (samples, or an index) that the samples 0 and 1 stand for: a picture in two colours.
    """

    kind: Kind = Kind.GRAY
    depth: int = 8
    alpha: bool = False
    palette: tuple[Pixel, ...] = ()
    pair: tuple[Pixel, Pixel] | None = None

    def __post_init__(self) -> None:
        """Raises ValueError unless the fields fit each other."""
        indexed = self.kind == Kind.PALETTE
        if self.depth not in _DEPTHS or (indexed and self.depth > 8):
            raise ValueError(f"a picture's depth is one of {_DEPTHS}, of a palette's at most 8, not {self.depth}")
        if self.depth < 8 and not indexed and (self.kind == Kind.RGB or self.alpha):
            raise ValueError(f"colours and pixels with alpha have 8 or 16 bits a sample, not {self.depth}")
        if indexed != bool(self.palette) or len(self.palette) > 1 << self.depth:
            raise ValueError(f"a palette of {self.depth} bits cannot have {len(self.palette)} entries")
        samples = 4 if self.alpha else 3
        if any(len(entry) != samples or not all(0 <= value <= 255 for value in entry) for entry in self.palette):
            raise ValueError(f"an entry of this palette is {samples} samples of 0..255")
        if self.pair is not None and not all(map(self._is_value, self.pair)):
            raise ValueError(f"{self.pair} are not two pixel values of this format")

    def _is_value(self, pixel: Pixel) -> bool:
        if self.kind == Kind.PALETTE:
            return len(pixel) == 1 and 0 <= pixel[0] < len(self.palette)
        step = self.top // ((1 << self.depth) - 1)
        return len(pixel) == self.stored_channels and all(0 <= v <= self.top and v % step == 0 for v in pixel)

    @property
    def channels(self) -> int:
        """Samples of a pixel in a `Raster`: 1 to 4."""
        return 1 if self.pair else self.stored_channels

    @property
    def stored_channels(self) -> int:
        """Samples of a pixel in the source: 1 to 4."""
        return 1 if self.kind == Kind.PALETTE else (3 if self.kind == Kind.RGB else 1) + self.alpha

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """The type of a `Raster`'s samples."""
        return np.uint16 if self.depth == 16 and not self.pair else np.uint8

    @property
    def top(self) -> int:
        """The largest sample of a gray or RGB source: 255, or 65535."""
        return 0xFFFF if self.depth == 16 else 0xFF


@dataclass(frozen=True)
class Geometry:
    """A picture's size and pixel format: at least 1x1 and at most 2^28 pixels."""

    width: int
    height: int
    format: PixelFormat = PixelFormat()

    def __post_init__(self) -> None:
        """Raises ValueError if there may be no such picture."""
        if not fits(self.width, self.height):
            raise ValueError(f"no picture has {self.width}x{self.height} pixels: {SIZES}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the samples: (H, W, C)."""
        return self.height, self.width, self.format.channels

    @property
    def sample_bytes(self) -> int:
        """How many bytes the samples of the source have: a sample takes one, or two if there are 16 bits of it."""
        return self.width * self.height * self.format.stored_channels * (2 if self.format.depth == 16 else 1)


@dataclass(frozen=True)
class Raster:
    """A picture: samples (H, W, C), uint8 or uint16 as of its format."""

    samples: Samples
    format: PixelFormat

    def __post_init__(self) -> None:
        """Raises ImageError if the samples are not of the format's type and number, or too many or none."""
        expected = (self.format.channels, np.dtype(self.format.dtype))
        if self.samples.ndim != 3 or (self.samples.shape[2], self.samples.dtype) != expected:
            raise ImageError(
                f"samples of this format are (H, W, {expected[0]}) {expected[1]}, "
                f"not {self.samples.shape} {self.samples.dtype}"
            )
        check_size(self.samples.shape[1], self.samples.shape[0])

    @property
    def geometry(self) -> Geometry:
        """Size and format."""
        return Geometry(self.samples.shape[1], self.samples.shape[0], self.format)

    def as_stored(self) -> Raster:
        """The same picture with the samples that its source has: of a `pair`, what its two values stand for."""
        pair = self.format.pair
        if pair is None:
            return self
        stored = replace(self.format, pair=None)
        values: npt.NDArray[Any] = np.array(pair, stored.dtype)
        return Raster(values[self.samples[..., 0]], stored)

    def in_two(self) -> Raster | None:
        """The same picture as samples 0 and 1 and the pair they stand for, or None if it has more than two pixel values.

        The rarer value is the foreground, on a tie the one with the larger sum; a picture of one value is all background.
        """
        if self.format.pair is not None:
            return self
        return _in_two(self)

    def two_levels(self) -> npt.NDArray[np.uint8]:
        """Of a picture in two colours, which of its pixels are foreground: (H, W) of 0 and 1."""
        assert self.format.pair is not None
        return self.samples[..., 0].astype(np.uint8, copy=False)

    def colours(self) -> Samples:
        """The colours of all pixels, palettes resolved: (H, W, C) with C = 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA."""
        stored = self.as_stored()
        if stored.format.kind != Kind.PALETTE:
            return stored.samples
        return np.array(stored.format.palette, np.uint8)[stored.samples[..., 0]]


def fits(width: int, height: int) -> bool:
    """Whether a picture may have that size: SIZES says which may."""
    return 0 < width <= MOST_PIXELS and 0 < height <= MOST_PIXELS and width * height <= MOST_PIXELS


def check_size(width: int, height: int) -> None:
    """Refuses a picture of a size that none may have.

    Raises:
        ImageError: it has none, or too many pixels.
    """
    if not fits(width, height):
        raise ImageError(f"a picture of {width}x{height} pixels cannot be coded: {SIZES}")


_STRIP_PIXELS = 1 << 22


def strips(samples: npt.NDArray[Any]) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
    """Samples (H, W, ...) in strips of rows, each with where it is: what is computed of a huge picture stays small so."""
    count = max(1, _STRIP_PIXELS // samples.shape[1])
    for top in range(0, len(samples), count):
        where = slice(top, min(top + count, len(samples)))
        yield where, samples[where]


def is_plain(samples: npt.NDArray[Any]) -> bool:
    """Whether all pixels are the same."""
    return all(bool((strip == samples[0, 0]).all()) for _, strip in strips(samples))


def _in_two(raster: Raster) -> Raster | None:
    samples, first, second = raster.samples, raster.samples[0, 0], None
    bits = np.zeros((*samples.shape[:2], 1), np.uint8)
    for where, strip in strips(samples):
        other = (strip != first).any(axis=2)
        if not other.any():
            continue
        if second is None:
            second = strip[other][0]
        if not (strip[other] == second).all():
            return None
        bits[where, :, 0] = other
    one = tuple(int(value) for value in first)
    if second is None:
        return Raster(bits, replace(raster.format, pair=(one, one)))
    two, count = tuple(int(value) for value in second), 2 * int(np.count_nonzero(bits))
    pair = one, two
    if count > bits.size or (count == bits.size and sum(two) < sum(one)):
        bits ^= 1
        pair = two, one
    return Raster(bits, replace(raster.format, pair=pair))


# The bytes of a geometry
#
#     1        format: kind (2 bits), alpha (1), log2 of depth (3), pair (2: `_Pair`)
#     .        varint width, varint height
#     .        kind PALETTE: entries (see `palette`), 3 or 4 bytes each
#     .        an explicit pair: the two values, a sample a byte, or two big-endian if the depth is 16


class _Pair(enum.IntEnum):
    NONE = 0
    EXPLICIT = 1
    RISING = 2  # all samples 0 and all at their top, alpha always at its top; indices 0 and 1
    FALLING = 3


def write_geometry(geometry: Geometry) -> bytes:
    """The geometry's bytes, as `FORMAT.md` has them."""
    form = geometry.format
    pairs = [None, form.pair, *_usual_pairs(form)]
    pair = _Pair.NONE if form.pair is None else _Pair(max(i for i, known in enumerate(pairs) if known == form.pair))
    code = form.kind << 6 | form.alpha << 5 | _DEPTHS.index(form.depth) << 2 | pair
    out = bytes([code]) + varint(geometry.width) + varint(geometry.height)
    if form.palette:
        out += write_entries(np.array(form.palette, np.uint8))
    if form.pair is not None and pair == _Pair.EXPLICIT:
        size = 2 if form.depth == 16 else 1
        out += b"".join(value.to_bytes(size, "big") for pixel in form.pair for value in pixel)
    return out


def read_geometry(data: bytes, at: int) -> tuple[Geometry, int]:
    """The geometry at `at`, and the index after it.

    Raises:
        TruncatedError: the data end within it.
        FormatError: no picture has such a geometry.
    """
    (code,), at = _take(data, at, 1)
    width, at = read_varint(data, at)
    height, at = read_varint(data, at)
    if not fits(width, height):
        raise FormatError(f"the file claims a picture of {width}x{height} pixels, beyond what any file holds")
    try:
        form, at = _read_format(code, data, at)
    except ValueError as error:
        raise FormatError(f"the file has a pixel format that does not exist, so it is damaged: {error}") from error
    return Geometry(width, height, form), at


def _read_format(code: int, data: bytes, at: int) -> tuple[PixelFormat, int]:
    """Raises ValueError if there is no such format."""
    kind, alpha, log_depth = Kind(code >> 6), bool(code & 32), code >> 2 & 7
    if log_depth >= len(_DEPTHS):
        raise ValueError(f"no sample has 2^{log_depth} bits")
    palette: tuple[Pixel, ...] = ()
    if kind == Kind.PALETTE:
        entries, at = read_entries(data, at, 4 if alpha else 3)
        palette = tuple(tuple(entry) for entry in entries.tolist())
    form = PixelFormat(kind, _DEPTHS[log_depth], alpha, palette)
    pair = _Pair(code & 3)
    if pair == _Pair.NONE:
        return form, at
    if pair != _Pair.EXPLICIT:
        return replace(form, pair=_usual_pairs(form)[pair - _Pair.RISING]), at
    size = 2 if form.depth == 16 else 1
    stored, at = _take(data, at, 2 * form.stored_channels * size)
    values = [int.from_bytes(stored[i : i + size], "big") for i in range(0, len(stored), size)]
    both = tuple(values[: form.stored_channels]), tuple(values[form.stored_channels :])
    return replace(form, pair=both), at


def _usual_pairs(form: PixelFormat) -> tuple[tuple[Pixel, Pixel], tuple[Pixel, Pixel]]:
    """The pairs that need no bytes."""
    opaque = (form.top,) * form.alpha
    colours = form.stored_channels - form.alpha
    low, high = (0,) * colours + opaque, (form.top,) * colours + opaque
    if form.kind == Kind.PALETTE:
        low, high = (0,), (1,)
    return (low, high), (high, low)


def _take(data: bytes, at: int, count: int) -> tuple[bytes, int]:
    if len(data) - at < count:
        raise TruncatedError("the file ends within its header; nothing of it can be decoded")
    return data[at : at + count], at + count
