"""The picture of a file, block by block: decoded, with drawn texture, and exact where its tiles are stored."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.errors import FormatError, Progress
from vlae_codec.exact.memory import give_back
from vlae_codec.exact.threads import cores, in_threads

from . import pixels
from .colour import Planes, to_rgb, to_ycocg
from .decisions import by_machine
from .grain import Drawing
from .model import Model
from .network import Latents
from .texture import Texture, Tiles
from .tiles import TILE, Box, Region, blocks, boxes, decode_block, in_gray, tile_count, tile_number, tiles_of

Samples = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Painter:
    """What the picture of a file is made of.

    z: its latents (h, w, C) at MEAN_BITS, at `quality`. coarse: they are those of the first groups, for the coarse picture
    alone. tiles: (check, stream) of each, None of those that are not there;
    `texture` reads them. temperature: of texture that is drawn where no tile is, with this seed; 0 for none.
    """

    model: Model
    height: int
    width: int
    gray: bool
    z: Latents
    quality: int
    texture: Texture
    tiles: Sequence[tuple[bytes, bytes] | None]
    temperature: int
    seed: int
    coarse: bool = False

    def bands(self, crop: Box, progress: Progress | None) -> Iterator[Samples]:
        """A region of the picture, from the top: rows of blocks, as far as they lie in it, (h, W, 3) each.

        Raises:
            FormatError: a tile is damaged.
        """
        done, count = 0, tile_count(self.height, self.width)
        fast = bool(self.tiles) and by_machine(crop.height * crop.width, progress)
        for _, row in groupby(blocks(self.height, self.width, crop), lambda block: block.top):
            own = list(row)
            band = own[0].joined(own[-1]).common(crop)
            out = np.empty((band.height, band.width, 3), np.uint8)
            for block in own:
                for what in self._parts(out, band, block, fast):
                    done += 1
                    if progress:
                        progress(what, done, count)
                give_back()
            yield out

    def counts(self, crop: Box) -> tuple[int, int]:
        """How many pixels of a region are exact, and how many have drawn texture."""
        exact, others = 0, 0
        for box in boxes(self.height, self.width, TILE):
            if box.meets(crop):
                own = box.common(crop)
                pixels = own.height * own.width
                exact, others = (exact + pixels, others) if self._stored(box) else (exact, others + pixels)
        return exact, others if self.model.grain and self.temperature else 0

    def _parts(self, out: Samples, crop: Box, block: Box, fast: bool) -> Iterator[str]:
        """Puts a block into the picture of a crop; of each tile with pixels of its own, what was done."""
        wanted = [box for box in tiles_of(block) if box.meets(crop)]
        if self.coarse:
            own = block.common(crop)
            picture = self.model.coarse.picture(self.z, self.quality, own)
            place(out, crop, own, in_gray(picture) if self.gray else picture)
            return
        stored = [box for box in wanted if self._stored(box)]
        others = [box for box in wanted if box not in stored] if self.model.grain and self.temperature else []
        margin = self.model.grain.margin if self.model.grain and others else 1
        needed = block.common(crop)
        for box in stored:
            needed = needed.joined(box)
        region = decode_block(self.model.decoder, self.z, self.quality, needed, self.gray, margin)
        give_back()
        place(out, crop, needed, region.picture())
        for box, part in self._read(region, stored, fast):
            place(out, crop, box, part)
            yield "decompressing"
        for box, part in self._draw(region, others, crop):
            place(out, crop, box, part)
            yield "drawing texture"

    def _stored(self, box: Box) -> tuple[bytes, bytes] | None:
        return self.tiles[tile_number(box, self.width)] if self.tiles else None

    @property
    def _channels(self) -> int:
        return 1 if self.gray else 3

    def _read(self, region: Region, boxes: Sequence[Box], fast: bool) -> Iterator[tuple[Box, Samples]]:
        """The tiles of a region that are stored: those of one size advance together, by machine code a batch on each core.

        Their surroundings are made for one batch after the other, by all cores: at once they would take twice the room.
        """

        def read(given: tuple[Sequence[Box], Tiles]) -> list[tuple[Box, Samples]]:
            batch, tiles = given
            found = [one for box in batch if (one := self._stored(box))]
            x = pixels.read(self.texture, tiles, [stream for _, stream in found], self._channels, fast)
            parts = [colours(planes, self.gray) for planes in x]
            if any(pixel_check(part) != check for part, (check, _) in zip(parts, found, strict=True)):
                raise FormatError("the check of a tile's pixels fails: the file is damaged")
            return list(zip(batch, parts, strict=True))

        sizes: dict[tuple[int, int], list[Box]] = {}
        for box in boxes:
            sizes.setdefault((box.height, box.width), []).append(box)
        batches = [part for batch in sizes.values() for part in (_parted(batch, cores()) if fast else [batch])]
        given = [(batch, region.tiles(self.texture, batch, self.width)) for batch in batches]
        return chain.from_iterable(in_threads(read, given))

    def _draw(self, region: Region, boxes: Sequence[Box], crop: Box) -> Iterator[tuple[Box, Samples]]:
        """What a crop has of tiles of a region, with drawn texture; those of a row are drawn as one."""

        def draw(row: Sequence[Box]) -> list[tuple[Box, Samples]]:
            grain = self.model.grain
            assert grain
            whole = row[0].joined(row[-1]).common(crop)
            drawing = Drawing(self.seed, self.temperature, self._channels)
            planes = grain.textured(region, whole, (self.height, self.width), drawing)
            own = [box.common(crop) for box in row]
            return [(box, nearest_colours(planes[box.within(whole)], self.gray)) for box in own]

        rows = [list(row) for _, row in groupby(boxes, lambda box: box.top)]
        return chain.from_iterable(in_threads(draw, rows))


def _parted(boxes: list[Box], parts: int) -> list[list[Box]]:
    """The boxes in order, in at most so many parts of nearly equal length."""
    ends = [len(boxes) * part // parts for part in range(parts + 1)]
    return [boxes[start:end] for start, end in pairwise(ends) if start < end]


def planes_of(samples: Samples, gray: bool) -> Planes:
    """YCoCg-R of RGB samples (H, W, 3); of gray ones the level, and no chroma."""
    if not gray:
        return to_ycocg(samples)
    planes = np.zeros(samples.shape, np.int32)
    planes[..., 0] = samples[..., 0]
    return planes


def colours(planes: Planes, gray: bool) -> Samples:
    """The inverse of `planes_of`.

    Raises:
        FormatError: a pixel is not a colour of 8 bits.
    """
    rgb = _rgb(planes, gray)
    if rgb.min() < 0 or rgb.max() > 255:
        raise FormatError("a tile holds pixels that are not colours: the file is damaged")
    return rgb.astype(np.uint8)


def nearest_colours(planes: Planes, gray: bool) -> Samples:
    """Samples of 8 bits, those beyond their range at its end."""
    return _rgb(planes, gray).clip(0, 255).astype(np.uint8)


def _rgb(planes: Planes, gray: bool) -> npt.NDArray[Any]:
    return np.repeat(planes[..., :1], 3, axis=2) if gray else to_rgb(planes)


def pixel_check(part: Samples) -> bytes:
    """CRC-32 of a tile's samples."""
    return zlib.crc32(np.ascontiguousarray(part).tobytes()).to_bytes(4, "big")


def place(out: Samples, crop: Box, box: Box, part: Samples) -> None:
    """Puts what a box has in common with the crop into its picture."""
    own = box.common(crop)
    out[own.within(crop)] = part[own.within(box)]
