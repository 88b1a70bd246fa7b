"""The decoded picture region by region, and the tiles in which its pixels are coded.

A picture is cut into tiles of 256x256 pixels, in raster order; those at the right and lower border are smaller. The
transforms run on blocks of 4x4 tiles, with as many sites around them as their pixels depend on, so memory does not grow
with the picture, and any region comes out as it would of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.exact.logistics import MEAN_BITS

from .colour import Planes, to_ycocg
from .network import PATCH, Decoder, Latents
from .texture import EDGE, Texture, Tiles

TILE = 256
"""Pixels of a tile, each way."""
_BLOCK = 4  # tiles of a block, each way
_SHORT = 1 << 15  # whole numbers below, either way, are kept in 16 bits
CODE_HALO = 6
"""Pixels beyond a box that what the code says there depends on."""


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

    def reaching(self, pixels: int, width: int) -> Box:
        """With so many pixels above and on both sides, as far as a picture of that width has any."""
        return Box(max(self.top - pixels, 0), max(self.left - pixels, 0), self.bottom, min(self.right + pixels, width))

    def within(self, other: Box) -> tuple[slice, slice]:
        """Its rows and columns as those of a box around it."""
        rows = slice(self.top - other.top, self.bottom - other.top)
        return rows, slice(self.left - other.left, self.right - other.left)

    def common(self, other: Box) -> Box:
        """What it has in common with another that it meets."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        return Box(top, left, min(self.bottom, other.bottom), min(self.right, other.right))

    def joined(self, other: Box) -> Box:
        """The smallest box around both."""
        top, left = min(self.top, other.top), min(self.left, other.left)
        return Box(top, left, max(self.bottom, other.bottom), max(self.right, other.right))

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
    """A block of a picture, decoded: all but `box` is of `around`, which reaches beyond it.

    decoded (H, W, 3): RGB; planes (H, W, 3): the same in YCoCg-R; hidden (H / 2, W / 2, F): what the code says besides.
    """

    box: Box
    around: Box
    quality: int
    decoded: npt.NDArray[np.uint8]
    planes: Planes
    hidden: npt.NDArray[np.float32]

    def picture(self) -> npt.NDArray[np.uint8]:
        """The decoded picture of the box: (H, W, 3)."""
        return self.decoded[self.box.within(self.around)]

    def planes_of(self, box: Box) -> Planes:
        """The decoded picture of a box within `around`, in YCoCg-R."""
        return self.planes[box.within(self.around)]

    def tiles(self, texture: Texture, boxes: Sequence[Box], width: int) -> Tiles:
        """Boxes of one height in a picture of that width, as a batch, with what a PixelCNN needs of their surroundings."""
        shape = len(boxes), boxes[0].height, max(box.width for box in boxes)
        code: npt.NDArray[Any] = np.zeros((*shape, texture.channels), np.int16)
        decoded = np.zeros((shape[0], shape[1] + EDGE, shape[2] + 2 * EDGE, 3), np.int32)
        for top in {box.top for box in boxes}:
            row = [(at, box) for at, box in enumerate(boxes) if box.top == top]
            left, right = min(box.left for _, box in row), max(box.right for _, box in row)
            found = self._code(texture, Box(top, left, top + shape[1], right))
            if code.dtype == np.int16 and max(found.max(), -found.min()) >= _SHORT:  # which hardly ever is
                code = code.astype(np.float32)
            for at, box in row:
                code[at, :, : box.width] = found[:, box.left - left : box.right - left]
                decoded[at, :, : box.width + 2 * EDGE] = self._surrounded(box, width)
        return Tiles(decoded, code, tuple(box.width for box in boxes))

    def _surrounded(self, box: Box, width: int) -> Planes:
        """The decoded picture of a box and EDGE pixels above, to the left and to the right."""
        top, left = max(box.top - EDGE, 0), max(box.left - EDGE, 0)
        wide = Box(top, left, box.bottom, min(box.right + EDGE, width))
        missing = EDGE - (box.top - top), 0
        beside = EDGE - (box.left - left), EDGE - (wide.right - box.right)
        return np.pad(self.planes_of(wide), (missing, beside, (0, 0)), mode="edge")

    def _code(self, texture: Texture, box: Box) -> npt.NDArray[np.float32]:
        """What the code says at the pixels of a box: (H, W, C)."""
        top = max((box.top - CODE_HALO) // 2 * 2, self.around.top)
        left = max((box.left - CODE_HALO) // 2 * 2, self.around.left)
        bottom = min((box.bottom + CODE_HALO + 1) // 2 * 2, self.around.bottom)
        right = min((box.right + CODE_HALO + 1) // 2 * 2, self.around.right)
        rows, columns = Box(top, left, bottom, right).within(self.around)
        half = slice(rows.start // 2, rows.stop // 2), slice(columns.start // 2, columns.stop // 2)
        found = texture.code(self.planes[rows, columns], self.hidden[half], self.quality)
        return found[box.top - top : box.bottom - top, box.left - left : box.right - left]


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


def decode_block(decoder: Decoder, z: Latents, quality: int, block: Box, gray: bool, margin: int = 1) -> Region:
    """A block of the decoded picture, and what a PixelCNN needs of it. Gray has no chroma.

    z: latents (h, w, C) at MEAN_BITS. margin: sites beyond the block that are decoded, at least CODE_HALO pixels.
    """
    rows, columns = z.shape[:2]
    height, width = rows * PATCH, columns * PATCH
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
    picture = in_gray(picture) if gray else picture
    hidden = hidden[_scaled(sites[0], PATCH // 2), _scaled(sites[1], PATCH // 2)]
    return Region(block, around, quality, picture, to_ycocg(picture), hidden)


def in_gray(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """RGB (H, W, 3) without its chroma."""
    return np.repeat(to_ycocg(picture)[..., :1].astype(np.uint8), 3, axis=2)


def _scaled(part: slice, factor: int) -> slice:
    return slice(part.start * factor, part.stop * factor)
