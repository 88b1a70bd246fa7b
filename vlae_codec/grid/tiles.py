"""The decoded picture region by region, and the tiles in which its pixels are coded.

A picture is cut into tiles of 256x256 pixels, in raster order; those at the right and lower border are smaller. The
transforms run on blocks of 4x4 tiles, with as many sites around them as their pixels depend on, so memory does not grow
with the picture, and any region comes out as it would of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vlae_codec.exact.logistics import MEAN_BITS

from .colour import Planes, to_ycocg
from .network import PATCH, Decoder, Latents
from .texture import EDGE, Texture, Tiles

TILE = 256
"""Pixels of a tile, each way."""
_BLOCK = 4  # tiles of a block, each way
_MARGIN = (
    3  # sites beyond a region of which the code is known: of pixels that are drawn early, and what theirs depends on
)


@dataclass(frozen=True)
class Box:
    """Rows top .. bottom - 1 and columns left .. right - 1."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Its rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Its columns."""
        return self.right - self.left

    def grown(self, pixels: int, height: int, width: int) -> Box:
        """With so many pixels on all sides, as far as a picture of that size has any."""
        top, left = max(self.top - pixels, 0), max(self.left - pixels, 0)
        return Box(top, left, min(self.bottom + pixels, height), min(self.right + pixels, width))

    def meets(self, other: Box) -> bool:
        """Whether they have a pixel in common."""
        return (
            self.top < other.bottom and other.top < self.bottom and self.left < other.right and other.left < self.right
        )


def boxes(height: int, width: int, size: int) -> list[Box]:
    """Squares of that size that cover a picture, in raster order, cut off at its border."""
    return [
        Box(top, left, min(top + size, height), min(left + size, width))
        for top in range(0, height, size)
        for left in range(0, width, size)
    ]


def tile_count(height: int, width: int) -> int:
    """How many tiles a picture has."""
    return -(-height // TILE) * -(-width // TILE)


@dataclass(frozen=True)
class Region:
    """A block of a picture, decoded: `decoded` and `code` are those of `around`, which reaches beyond `box`."""

    box: Box
    around: Box
    decoded: npt.NDArray[np.uint8]
    planes: Planes | None
    code: npt.NDArray[np.float32] | None

    def picture(self) -> npt.NDArray[np.uint8]:
        """The decoded picture of the box: (H, W, 3)."""
        return self.decoded[self._inner(self.box)]

    def planes_of(self, box: Box) -> Planes:
        """The decoded picture of a box within `around`, in YCoCg-R."""
        assert self.planes is not None
        return self.planes[self._inner(box)]

    def tile(self, box: Box, width: int) -> Tiles:
        """A tile of the block in a picture of that width, as a batch of one, with what it needs of its surroundings."""
        assert self.code is not None
        top, left = max(box.top - EDGE, 0), max(box.left - EDGE, 0)
        wide = Box(top, left, box.bottom, min(box.right + EDGE, width))
        missing = EDGE - (box.top - top), 0
        beside = EDGE - (box.left - left), EDGE - (wide.right - box.right)
        decoded = np.pad(self.planes_of(wide), (missing, beside, (0, 0)), mode="edge")
        return Tiles(decoded[None], np.ascontiguousarray(self.code[self._inner(box)])[None])

    def _inner(self, box: Box) -> tuple[slice, slice]:
        top, left = self.around.top, self.around.left
        return slice(box.top - top, box.bottom - top), slice(box.left - left, box.right - left)


def blocks(height: int, width: int, crop: Box | None = None) -> list[Box]:
    """The blocks of a picture, or those that meet a region of it."""
    found = boxes(height, width, TILE * _BLOCK)
    return [box for box in found if crop is None or box.meets(crop)]


def tiles_of(block: Box) -> Iterator[Box]:
    """The tiles of a block, in raster order."""
    for box in boxes(block.height, block.width, TILE):
        yield Box(box.top + block.top, box.left + block.left, box.bottom + block.top, box.right + block.left)


def spread(block: Box, count: int, size: int) -> list[Box]:
    """About so many squares of that size, spread evenly over a block; all of it if it is small."""
    if block.height * block.width <= count * size**2:
        return list(tiles_of(block))
    down = max(1, min(block.height // size, round((count * block.height / block.width) ** 0.5)))
    across = max(1, min(block.width // size, round(count / down)))
    height, width = min(size, block.height), min(size, block.width)
    tops = [block.top + (block.height * (2 * row + 1) // down - height) // 2 for row in range(down)]
    lefts = [block.left + (block.width * (2 * column + 1) // across - width) // 2 for column in range(across)]
    return [Box(top, left, top + height, left + width) for top in tops for left in lefts]


def tile_number(box: Box, width: int) -> int:
    """The place of a tile among all of a picture, in raster order."""
    return box.top // TILE * -(-width // TILE) + box.left // TILE


def decode_block(decoder: Decoder, texture: Texture | None, z: Latents, quality: int, block: Box, gray: bool) -> Region:
    """A block of the decoded picture; with `texture`, also what the code says at each of its pixels. Gray has no chroma.

    z: latents (h, w, C) at MEAN_BITS.
    """
    rows, columns = z.shape[:2]
    height, width = rows * PATCH, columns * PATCH
    margin = _MARGIN if texture else 0
    top, left = max(block.top // PATCH - margin, 0), max(block.left // PATCH - margin, 0)
    bottom = min(-(-block.bottom // PATCH) + margin, rows)
    right = min(-(-block.right // PATCH) + margin, columns)
    halo = decoder.halo
    far_top, far_left = max(top - halo, 0), max(left - halo, 0)
    part = z[far_top : min(bottom + halo, rows), far_left : min(right + halo, columns)]
    hidden, picture = decoder(part * 2.0**-MEAN_BITS, quality)
    row, column = top - far_top, left - far_left
    sites = slice(row, row + bottom - top), slice(column, column + right - left)
    around = Box(top * PATCH, left * PATCH, min(bottom * PATCH, height), min(right * PATCH, width))
    picture = picture[_scaled(sites[0], PATCH), _scaled(sites[1], PATCH)]
    if gray:
        picture = np.repeat(to_ycocg(picture)[..., :1].astype(np.uint8), 3, axis=2)
    if texture is None:
        return Region(block, around, picture, None, None)
    planes = to_ycocg(picture)
    half = PATCH // 2
    code = texture.code(planes, hidden[_scaled(sites[0], half), _scaled(sites[1], half)], quality)
    return Region(block, around, picture, planes, code)


def _scaled(part: slice, factor: int) -> slice:
    return slice(part.start * factor, part.stop * factor)
