"""Which pixels on edges an encoder may change, so that what is drawn stays what it is: the laws of near-lossless files.

Pixels change one after the other, each at most once. One may if

- it is *simple* (Rosenfeld 1970, "Connectivity in digital pictures"): no piece of ink, joined over corners too, and no piece
  of paper, joined over sides, is parted, joined to another, begun or ended, and so no hole either;
- before, there was a pixel of the other colour among its eight neighbours; and every pixel around it that had its colour
  before still has such a pixel as a neighbour: so every edge stays within one pixel of where it was;
- it is neither of a line one pixel wide, of ink or of paper, nor beside one; nor in the first and last two rows, nor in the
  first and last column: so strips of rows can be looked at apart.

Pictures are flat, with a margin of paper around them; `at` is a pixel's place in one.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from vlae_codec.exact.compiled import compiled

from .state import Ints, Numbers

Bits = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
_AROUND = (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)
"""The eight neighbours, from the one above on, clockwise: bit 0 to 7 of `around`."""


@cache
def simple() -> Numbers:
    """1 for those of 2^8 neighbourhoods in which a pixel is simple: (256,)."""
    return np.array([_is_simple(neighbours) for neighbours in range(256)], np.int64)


def _is_simple(neighbours: int) -> bool:
    ink = [place for bit, place in enumerate(_AROUND) if neighbours >> bit & 1]
    paper = [place for bit, place in enumerate(_AROUND) if not neighbours >> bit & 1]
    beside = [piece for piece in _pieces(paper, 1) if any(abs(row) + abs(column) == 1 for row, column in piece)]
    return len(_pieces(ink, 2)) == 1 and len(beside) == 1


def _pieces(places: list[tuple[int, int]], reach: int) -> list[list[tuple[int, int]]]:
    """Pieces of places that are joined over sides, or with a reach of 2 over corners, too."""
    left, found = [*places], list[list[tuple[int, int]]]()
    while left:
        piece = [left.pop()]
        for row, column in piece:
            near = [place for place in left if (place[0] - row) ** 2 + (place[1] - column) ** 2 <= reach]
            piece += near
            left = [place for place in left if place not in near]
        found.append(piece)
    return found


def free(bits: Bits) -> Mask:
    """The pixels of a picture (H, W) that have a neighbour of the other colour, and are not protected: (H, W)."""
    edge = grown(bits == 1) & grown(bits == 0)
    found: Mask = edge & ~(grown(lines(bits == 1)) | grown(lines(bits == 0)))
    found[:2] = found[-2:] = found[:, :1] = found[:, -1:] = False
    return found


def lines(mask: Mask) -> Mask:
    """The pixels of lines one pixel wide: those in no square of four, beside another such (a single one is a bump)."""
    wide = np.pad(mask, 1)
    squares = wide[1:, 1:] & wide[1:, :-1] & wide[:-1, 1:] & wide[:-1, :-1]
    thin = mask & ~(squares[1:, 1:] | squares[1:, :-1] | squares[:-1, 1:] | squares[:-1, :-1])
    return thin & grown(thin, itself=False)


def grown(mask: Mask, itself: bool = True) -> Mask:
    """The pixels that have one of the mask among their eight neighbours, or, unless told otherwise, are of it."""
    height, width = mask.shape
    wide = np.pad(mask, 1)
    found = mask.copy() if itself else np.zeros_like(mask)
    for down, right in _AROUND:
        found |= wide[1 + down : 1 + down + height, 1 + right : 1 + right + width]
    return found


@compiled
def around(pixels: Ints, at: int, stride: int) -> int:
    """The neighbours as a number of 8 bits."""
    above = pixels[at - stride] | pixels[at - stride + 1] << 1 | pixels[at - stride - 1] << 7
    below = pixels[at + stride + 1] << 3 | pixels[at + stride] << 4 | pixels[at + stride - 1] << 5
    return above | below | pixels[at + 1] << 2 | pixels[at - 1] << 6


@compiled
def stays_near(pixels: Ints, source: Ints, at: int, stride: int) -> bool:
    """Whether every pixel around that had this one's colour in the source still has one of it beside it, after a flip."""
    value = pixels[at]
    for row in range(at - stride, at + stride + 1, stride):
        for place in range(row - 1, row + 2):
            if source[place] == value and pixels[place] != value and not _has_beside(pixels, place, stride, at):
                return False
    return True


@compiled
def _has_beside(pixels: Ints, place: int, stride: int, at: int) -> bool:
    """Whether a pixel around a place, other than `at`, has the value that is at `at`."""
    for row in range(place - stride, place + stride + 1, stride):
        for other in range(row - 1, row + 2):
            if other != at and pixels[other] == pixels[at]:
                return True
    return False
