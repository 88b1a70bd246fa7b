"""The payload of a photo's file: what stands where. `FORMAT.md` is normative.

    1       kind: 0 lossy, 1 exact
    1       quality, 0 .. 32 (levels - 1)
    .       a varint for each group: bytes of its stream
    2       CRC-16 of the payload so far
    .       the groups' streams, coarse to fine
    4       CRC-32 of the groups' streams
    .       alpha: varint bytes, CRC-32, and that many bytes of the family `raw`     } of pictures with alpha
    .       varint bytes of corrections of the PixelCNN, and these (see `adaptation`) } of exact files
    .       a varint for each tile: bytes of its stream; CRC-16 from the corrections on
    .       for each tile CRC-32 of its pixels, and its stream                       }

Any prefix from the first stream on is a picture: a coarse one, then the lossy one, then exact tiles among decoded ones.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

from vlae_codec.coding.bits import read_varint, varint
from vlae_codec.errors import FormatError, TruncatedError

LOSSY, EXACT = 0, 1
_LONG, _SHORT = 4, 2


@dataclass(frozen=True)
class Content:
    """What a payload holds.

    alpha: None if the picture has none. tiles: (check of the pixels, stream) of each; None of a lossy file. corrections: as
    `adaptation.write` gives them, or nothing.
    """

    quality: int
    groups: Sequence[bytes]
    alpha: bytes | None
    tiles: Sequence[tuple[bytes, bytes]] | None
    corrections: bytes = b""


@dataclass(frozen=True)
class Begins:
    """Where in a payload begins what stands behind its latents: None of what it has not, or where that is cut off."""

    alpha: int | None = None
    corrections: int | None = None
    tiles: Sequence[int] = ()


@dataclass(frozen=True)
class Found:
    """A payload as read.

    whole: of each group, whether all of its stream is there. tiles: None of a lossy file; a tile that is not all there is
    None. ends: where the first group begins in the payload, and where each of them ends. complete: nothing is missing.
    """

    exact: bool
    quality: int
    groups: Sequence[bytes]
    whole: Sequence[bool]
    alpha: bytes | None
    tiles: Sequence[tuple[bytes, bytes] | None] | None
    ends: Sequence[int]
    complete: bool
    corrections: bytes = b""
    begins: Begins = Begins()


def write(content: Content) -> bytes:
    """The payload."""
    head = bytes([EXACT if content.tiles is not None else LOSSY, content.quality])
    head += b"".join(varint(len(group)) for group in content.groups)
    groups = b"".join(content.groups)
    out = head + _short(head) + groups + long_check(groups)
    if content.alpha is not None:
        out += varint(len(content.alpha)) + long_check(content.alpha) + content.alpha
    if content.tiles is not None:
        sizes = varint(len(content.corrections)) + content.corrections
        sizes += b"".join(varint(len(stream)) for _, stream in content.tiles)
        out += sizes + _short(sizes) + b"".join(check + stream for check, stream in content.tiles)
    return out


def read(data: bytes, first: int, groups: int, qualities: int, tiles: int, alpha: bool, partial: bool) -> Found:
    """Takes the payload apart that begins at `first`.

    groups, qualities: of the model; tiles: of the picture, if the file is exact; alpha: whether it has any.

    Raises:
        FormatError: it is damaged.
        TruncatedError: it ends early and `partial` is not set, or before its first latents.
    """
    kind, quality = _take(data, first, 2)
    at, sizes = first + 2, []
    for _ in range(groups):
        size, at = read_varint(data, at)
        sizes.append(size)
    at = _checked(data, first, at, "sizes of its latents")
    if kind not in (LOSSY, EXACT) or quality >= qualities:
        raise FormatError("the file is of a kind or quality that does not exist: it is damaged")
    ends = [at]
    for size in sizes:
        ends.append(ends[-1] + size)
    streams = [data[start:end] for start, end in pairwise(ends)]
    whole = [end <= len(data) for end in ends[1:]]
    start, end = ends[0], ends[-1]
    ends = [one - first for one in ends]
    exact, at = kind == EXACT, end + _LONG
    begins = Begins(at - first if alpha else None, at - first if exact and not alpha else None)
    if len(data) < at:
        if not partial:
            raise TruncatedError("the file ends within its latents; decode it as partial to see what is there")
        there = sum(map(bool, streams))
        nothing = [None] * tiles if exact else None
        return Found(exact, quality, streams[:there], whole[:there], None, nothing, ends, False, begins=begins)
    if long_check(data[start:end]) != data[end:at]:
        raise FormatError("the check of the latents fails: the file is damaged")
    stored, corrections = None, b""
    found: _Tiles | Sequence[None] | None = None
    try:
        if alpha:
            stored, at = _read_alpha(data, at)
        if exact:
            begins = replace(begins, corrections=at - first)
            found, corrections, at = _read_tiles(data, at, tiles, partial)
            begins = replace(begins, tiles=[one - first for one in found.begins])
    except TruncatedError:
        if not partial:
            raise
        found = [None] * tiles if exact else None
        return Found(exact, quality, streams, whole, stored, found, ends, False, begins=begins)
    if at < len(data):
        raise FormatError(f"{len(data) - at} bytes follow the end of the file's content: it is damaged")
    complete = found is None or None not in found
    return Found(exact, quality, streams, whole, stored, found, ends, complete, corrections, begins)


def _read_alpha(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = read_varint(data, at)
    check = _take(data, at, _LONG)
    stored = _take(data, at + _LONG, size)
    if long_check(stored) != check:
        raise FormatError("the check of the opacity fails: the file is damaged")
    return stored, at + _LONG + size


@dataclass(frozen=True)
class _Tiles(Sequence[tuple[bytes, bytes] | None]):
    """The tiles of a file, which stay where they are until they are asked for: where the check of each begins, and its
    stream ends; None of those that are not all there. begins: where each does, or would.
    """

    data: bytes
    places: Sequence[tuple[int, int] | None]
    begins: Sequence[int]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> Any:
        place = self.places[index]
        return place and (self.data[place[0] : place[0] + _LONG], self.data[place[0] + _LONG : place[1]])


def _read_tiles(data: bytes, at: int, tiles: int, partial: bool) -> tuple[_Tiles, bytes, int]:
    """The tiles, the corrections before them, and where they end."""
    start, sizes = at, []
    size, at = read_varint(data, at)
    corrections = _take(data, at, size)
    at += size
    if tiles > len(data) - at and not partial:
        raise TruncatedError(f"the file has {tiles} tiles, and {len(data) - at} bytes for them")
    for _ in range(tiles):
        size, at = read_varint(data, at)
        sizes.append(size)
    at = _checked(data, start, at, "sizes of its tiles")
    ends = list(accumulate((_LONG + size for size in sizes), initial=at))
    if ends[-1] > len(data) and not partial:
        raise TruncatedError("the file ends within its pixels; decode it as partial to see what is there")
    places = [place if place[1] <= len(data) else None for place in pairwise(ends)]
    return _Tiles(data, places, ends[:-1]), corrections, min(ends[-1], len(data))


def long_check(data: bytes) -> bytes:
    """CRC-32 (that of zlib), big-endian."""
    return zlib.crc32(data).to_bytes(_LONG, "big")


def _short(data: bytes) -> bytes:
    return binascii.crc_hqx(data, 0xFFFF).to_bytes(_SHORT, "big")


def _checked(data: bytes, start: int, end: int, what: str) -> int:
    if _take(data, end, _SHORT) != _short(data[start:end]):
        raise FormatError(f"the check of the {what} fails: the file is damaged")
    return end + _SHORT


def _take(data: bytes, at: int, count: int) -> bytes:
    if len(data) - at < count:
        raise TruncatedError("the file ends before its first latents; nothing of it can be decoded")
    return data[at : at + count]
