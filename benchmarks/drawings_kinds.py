"""Kinds of foreign drawings: each is drawn by a function of its name, from random numbers, in any size.

None is a single character, a bare stroke or a filled outline of a thing: these are what the models know.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from drawings_pen import Bits, Pen, Rng, centred, curve, ring
from PIL import Image


def signature(rng: Rng, width: int, height: int) -> Bits:
    """One or two strokes across the picture."""
    pen = Pen(width, height)
    pen.line(curve(rng, int(rng.integers(9, 16))), rng.uniform(1, 2))
    if rng.random() < 0.6:
        pen.line(curve(rng, 4), rng.uniform(1, 2))
    return pen.bits()


def matrix_code(rng: Rng, width: int, height: int) -> Bits:
    """Random modules with three finders and a border."""
    side = int(rng.choice([21, 25, 29]) if min(width, height) >= 29 else 21)
    modules = rng.integers(0, 2, (side, side)).astype(np.uint8)
    finder = np.ones((7, 7), np.uint8)
    finder[1:6, 1:6], finder[2:5, 2:5] = 0, 1
    for top, left in ((0, 0), (0, side - 7), (side - 7, 0)):
        modules[max(0, top - 1) : top + 8, max(0, left - 1) : left + 8] = 0
        modules[top : top + 7, left : left + 7] = finder
    scale = max(1, min(width, height) // side)
    return centred(np.kron(modules, np.ones((scale, scale), np.uint8)), width, height)


def bars(rng: Rng, width: int, height: int) -> Bits:
    """A bar code."""
    row = np.repeat(rng.integers(0, 2, width), rng.integers(1, 4, width))[:width].astype(np.uint8)
    out = np.zeros((height, width), np.uint8)
    out[2:-2, 2:-2] = row[2:-2]
    return out


def board(rng: Rng, width: int, height: int) -> Bits:
    """A chess board, some with men."""
    square = int(rng.choice([s for s in (2, 4, 7, 8, 14, 25) if s <= min(width, height) // 3]))
    rows, columns = np.indices((height, width)) // square
    checks: Bits = ((rows + columns) % 2).astype(np.uint8)
    if square < 14:
        return checks
    pen = Pen(width, height)
    for row in range(0, height // square):
        for column in rng.permutation(width // square)[:3].tolist():
            man = chr(0x2654 + int(rng.integers(12)))
            pen.text((column + 0.5) * square / width, (row + 0.5) * square / height, man, square * 0.9)
    return checks ^ pen.bits()


def plan(rng: Rng, width: int, height: int) -> Bits:
    """Borders of the cells around random points, as on a map, with places."""
    count = int(rng.integers(6, 20))
    points = rng.uniform(0, 1, (count, 2)) * (height, width)
    rows, columns = np.indices((height, width))
    nearest = ((rows[..., None] - points[:, 0]) ** 2 + (columns[..., None] - points[:, 1]) ** 2).argmin(axis=2)
    out = np.zeros((height, width), np.uint8)
    out[1:] |= nearest[1:] != nearest[:-1]
    out[:, 1:] |= nearest[:, 1:] != nearest[:, :-1]
    pen = Pen(width, height)
    for y, x in points[: count // 2]:
        pen.oval(x / width, y / height, 2 / width, 2 / height)
    return out | pen.bits()


def contours(rng: Rng, width: int, height: int) -> Bits:
    """Lines of equal height of smooth hills."""
    rows, columns = np.indices((height, width)) / max(width, height)
    hills = np.zeros((height, width))
    for _ in range(6):
        y, x, steep = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(3, 12)
        hills += rng.uniform(-1, 1) * np.exp(-steep * ((rows - y) ** 2 + (columns - x) ** 2))
    levels = np.floor(hills * rng.uniform(6, 14))
    out = np.zeros((height, width), np.uint8)
    out[1:] |= levels[1:] != levels[:-1]
    out[:, 1:] |= levels[:, 1:] != levels[:, :-1]
    return out


def icon(rng: Rng, width: int, height: int) -> Bits:
    """A thing as user interfaces show it, of several parts."""
    pen, fill, thick = Pen(width, height), bool(rng.integers(2)), rng.uniform(1.5, 2.5)
    _ICONS[int(rng.integers(len(_ICONS)))](pen, fill, thick)
    return pen.bits()


def _house(pen: Pen, fill: bool, thick: float) -> None:
    pen.polygon([(0.05, 0.5), (0.5, 0.08), (0.95, 0.5)], fill, thick)
    pen.box(0.18, 0.5, 0.82, 0.92, fill, thick)
    pen.box(0.42, 0.62, 0.58, 0.92, True, ink=0 if fill else 255)


def _envelope(pen: Pen, fill: bool, thick: float) -> None:
    pen.box(0.06, 0.2, 0.94, 0.8, fill, thick)
    pen.line([(0.06, 0.22), (0.5, 0.56), (0.94, 0.22)], thick, 0 if fill else 255)


def _lens(pen: Pen, fill: bool, thick: float) -> None:
    pen.oval(0.4, 0.4, 0.3, 0.3, False, thick)
    pen.oval(0.4, 0.4, 0.15, 0.15, fill, 1)
    pen.line([(0.62, 0.62), (0.93, 0.93)], 2 * thick)


def _gear(pen: Pen, fill: bool, thick: float) -> None:
    pen.polygon(ring(8, 0.46, 0.34), fill, thick)
    pen.oval(0.5, 0.5, 0.14, 0.14, True, ink=0 if fill else 255)


def _clock(pen: Pen, fill: bool, thick: float) -> None:
    pen.oval(0.5, 0.5, 0.44, 0.44, fill, thick)
    pen.line([(0.5, 0.2), (0.5, 0.5), (0.72, 0.62)], thick, 0 if fill else 255)


def _page(pen: Pen, fill: bool, thick: float) -> None:
    pen.polygon([(0.18, 0.06), (0.62, 0.06), (0.84, 0.28), (0.84, 0.94), (0.18, 0.94)], fill, thick)
    for y in (0.4, 0.56, 0.72):
        pen.line([(0.3, y), (0.72, y)], thick, 0 if fill else 255)


def _lock(pen: Pen, fill: bool, thick: float) -> None:
    pen.oval(0.5, 0.36, 0.24, 0.28, False, thick)
    pen.box(0.16, 0.44, 0.84, 0.92, True, ink=255 if fill else 0)
    pen.box(0.16, 0.44, 0.84, 0.92, False, thick)
    pen.oval(0.5, 0.66, 0.08, 0.08, True, ink=0 if fill else 255)


def _face(pen: Pen, fill: bool, thick: float) -> None:
    pen.oval(0.5, 0.5, 0.45, 0.45, fill, thick)
    ink = 0 if fill else 255
    for x in (0.34, 0.66):
        pen.oval(x, 0.38, 0.06, 0.06, True, ink=ink)
    pen.line([(0.28, 0.6), (0.38, 0.72), (0.5, 0.76), (0.62, 0.72), (0.72, 0.6)], thick, ink)


def _bars_icon(pen: Pen, fill: bool, thick: float) -> None:
    for x, top in ((0.1, 0.6), (0.4, 0.3), (0.7, 0.1)):
        pen.box(x, top, x + 0.2, 0.92, fill, thick)


def _menu(pen: Pen, fill: bool, thick: float) -> None:
    for y in (0.2, 0.5, 0.8):
        pen.line([(0.3 if fill else 0.1, y), (0.92, y)], thick * 1.3)
        if fill:
            pen.oval(0.12, y, 0.06, 0.06)


def _picture(pen: Pen, fill: bool, thick: float) -> None:
    pen.box(0.06, 0.14, 0.94, 0.86, False, thick)
    pen.polygon([(0.1, 0.8), (0.38, 0.4), (0.6, 0.66), (0.72, 0.54), (0.9, 0.8)], fill, thick)
    pen.oval(0.7, 0.32, 0.08, 0.08, fill, thick)


def _phone(pen: Pen, fill: bool, thick: float) -> None:
    pen.box(0.26, 0.04, 0.74, 0.96, fill, thick)
    pen.box(0.32, 0.14, 0.68, 0.76, True, ink=0)
    pen.box(0.32, 0.14, 0.68, 0.76, False, 1)
    pen.oval(0.5, 0.86, 0.05, 0.04, True, ink=0 if fill else 255)


_ICONS = (_house, _envelope, _lens, _gear, _clock, _page, _lock, _face, _bars_icon, _menu, _picture, _phone)


def chart(rng: Rng, width: int, height: int) -> Bits:
    """Axes with bars, a curve or points."""
    pen, style, count = Pen(width, height), int(rng.integers(3)), int(rng.integers(4, 9))
    pen.line([(0.08, 0.05), (0.08, 0.92), (0.96, 0.92)], 1)
    x, y = np.linspace(0.15, 0.88, count), rng.uniform(0.1, 0.8, count)
    if style == 0:
        for at, top in zip(x, y, strict=True):
            pen.box(at - 0.3 / count, top, at + 0.3 / count, 0.92, bool(rng.integers(2)))
    elif style == 1:
        pen.line(np.stack([x, y], axis=1), 1.3)
    for at, top in zip(x, y, strict=True) if style else ():
        pen.oval(at, top, 1.5 / width, 1.5 / height)
    return pen.bits()


def shapes(rng: Rng, width: int, height: int) -> Bits:
    """Several plain shapes, filled or not, side by side or across each other; where two meet, ink is paper."""
    out = np.zeros((height, width), np.uint8)
    for place in range(int(rng.integers(2, 5))):
        corners, small = int(rng.choice([3, 4, 5, 6, 40])), rng.uniform(0.15, 0.3)
        x, y = rng.uniform(0.25, 0.75, 2) if place else (0.5, 0.5)
        at = ring(corners, small if place else 0.42, turn=rng.uniform(0, 6)) + np.array([x - 0.5, y - 0.5])
        pen = Pen(width, height)
        pen.polygon(at, bool(rng.integers(2)), rng.uniform(1, 3))
        out ^= pen.bits()
    return out


def frames(rng: Rng, width: int, height: int) -> Bits:
    """One shape within another, as on signs."""
    outer, inner = Pen(width, height), Pen(width, height)
    corners, turn = int(rng.choice([3, 4, 6, 8, 40])), float(rng.choice([0, np.pi / 4]))
    outer.polygon(ring(corners, 0.48, turn=turn), bool(rng.integers(2)), rng.uniform(1, 3))
    star = 0.11 if rng.random() < 0.5 else None
    inner.polygon(ring(int(rng.choice([3, 4, 5])), 0.25, star), bool(rng.integers(2)))
    return outer.bits() ^ inner.bits()


_SYMBOLS = [
    *range(0x2600, 0x2638),
    *range(0x2654, 0x2670),
    *range(0x2690, 0x26A2),
    *range(0x2701, 0x2760),
    *range(0x2794, 0x27BF),
]
_SYMBOLS = [code for code in _SYMBOLS if code not in {*range(0x2715, 0x271E), *range(0x2758, 0x275F), 0x2610, 0x2757}]


def symbol(rng: Rng, width: int, height: int) -> Bits:
    """A pictograph of DejaVu Sans: weather, chess, zodiac, scissors, stars, flowers, arrows."""
    pen = Pen(width, height)
    pen.text(0.5, 0.5, chr(int(rng.choice(_SYMBOLS))), min(width, height) * rng.uniform(0.8, 1.1))
    return pen.bits()


_WORDS = [
    *("the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "seven"),
    *("wizards", "brew", "hot", "coffee", "in", "Quebec"),
]


def text(rng: Rng, width: int, height: int) -> Bits:
    """Words in lines."""
    pen, pixels = Pen(width, height), float(rng.choice([7, 9, 11, 14]))
    lines = max(2, int(height / pixels / 1.15)) if height > 30 or pixels < 14 else 2
    for line in range(lines):
        said = " ".join(rng.choice(_WORDS, max(1, round(width / pixels / 2.5))))
        pen.text(
            0.5, (line + 0.5) / lines, said[: max(3, int(width / pixels * 1.7))], min(pixels, 0.9 * height / lines)
        )
    return pen.bits()


def halftone(rng: Rng, width: int, height: int) -> Bits:
    """A smooth picture, dithered."""
    rows, columns = np.indices((height, width)) / max(width, height)
    tone = 0.5 + 0.5 * np.sin(rng.uniform(2, 8) * rows + rng.uniform(0, 6)) * np.cos(rng.uniform(2, 8) * columns)
    if rng.random() < 0.5:
        return np.asarray(Image.fromarray((255 * tone).astype(np.uint8)).convert("1")).astype(np.uint8)
    matrix = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16 + 1 / 32
    tiled = np.tile(matrix, (-(-height // 4), -(-width // 4)))[:height, :width]
    return (tone > tiled).astype(np.uint8)


def noise(rng: Rng, width: int, height: int) -> Bits:
    """Pixels at random, single or in clumps."""
    clump = int(rng.choice([1, 2, 3]))
    small = rng.random((-(-height // clump), -(-width // clump))) < rng.uniform(0.05, 0.5)
    return np.kron(small.astype(np.uint8), np.ones((clump, clump), np.uint8))[:height, :width]


def maze(rng: Rng, width: int, height: int) -> Bits:
    """Walls of a random labyrinth."""
    scale = int(rng.choice([1, 2]))
    rows, columns = (height // scale - 1) // 2, (width // scale - 1) // 2
    walls = np.ones((2 * rows + 1, 2 * columns + 1), np.uint8)
    seen, path = np.zeros((rows, columns), bool), [(0, 0)]
    seen[0, 0], walls[1, 1] = True, 0
    while path:
        row, column = path[-1]
        near = [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
        free = [(r, c) for r, c in near if 0 <= r < rows and 0 <= c < columns and not seen[r, c]]
        if not free:
            path.pop()
            continue
        r, c = free[int(rng.integers(len(free)))]
        seen[r, c], walls[2 * r + 1, 2 * c + 1], walls[r + row + 1, c + column + 1] = True, 0, 0
        path.append((r, c))
    return centred(np.kron(walls, np.ones((scale, scale), np.uint8)), width, height)


def form(rng: Rng, width: int, height: int) -> Bits:
    """A table with entries, a crossword or a calendar."""
    rows, columns = max(2, min(8, height // 8)), max(2, min(8, width // 8))
    pen = Pen(width, height)
    for row in range(rows + 1):
        pen.line([(0.03, 0.03 + 0.94 * row / rows), (0.97, 0.03 + 0.94 * row / rows)])
    for column in range(columns + 1):
        pen.line([(0.03 + 0.94 * column / columns, 0.03), (0.03 + 0.94 * column / columns, 0.97)])
    for row in range(rows):
        for column in range(columns):
            x, y = 0.03 + 0.94 * (column + 0.5) / columns, 0.03 + 0.94 * (row + 0.5) / rows
            if (kind := rng.random()) < 0.3:
                pen.box(x - 0.47 / columns, y - 0.47 / rows, x + 0.47 / columns, y + 0.47 / rows)
            elif kind < 0.6:
                pen.text(x, y, str(rng.integers(1, 32)), 0.6 * min(width / columns, height / rows))
    return pen.bits()


def sprite(rng: Rng, width: int, height: int) -> Bits:
    """A symmetric creature of large pixels."""
    side = int(rng.choice([8, 12, 14]))
    half = (rng.random((side, side // 2)) < 0.5).astype(np.uint8)
    scale = max(1, min(width, height) // side)
    return centred(
        np.kron(np.concatenate([half, half[:, ::-1]], axis=1), np.ones((scale, scale), np.uint8)), width, height
    )


def automaton(rng: Rng, width: int, height: int) -> Bits:
    """An elementary cellular automaton, a step a row."""
    rule, row = int(rng.choice([30, 45, 73, 90, 105, 110, 150])), rng.integers(0, 2, width).astype(np.uint8)
    if rng.random() < 0.5:
        row[:] = 0
        row[width // 2] = 1
    out = np.empty((height, width), np.uint8)
    for at in range(height):
        out[at] = row
        row = (rule >> (4 * np.roll(row, 1) + 2 * row + np.roll(row, -1)) & 1).astype(np.uint8)
    return out


def hatching(rng: Rng, width: int, height: int) -> Bits:
    """Stripes, grids, dots, bricks and waves."""
    rows, columns = np.indices((height, width))
    period, style = int(rng.integers(3, 9)), int(rng.integers(5))
    if style == 0:
        return ((rows + int(rng.choice([-1, 0, 1])) * columns) % period < 1 + period // 3).astype(np.uint8)
    if style == 1:
        return ((rows % period == 0) | (columns % period == 0)).astype(np.uint8)
    if style == 2:
        return (((rows + period // 2) % period < 2) & ((columns + period // 2) % period < 2)).astype(np.uint8)
    if style == 3:
        brick = (columns + (rows // period % 2) * period) % (2 * period) == 0
        return ((rows % period == 0) | brick).astype(np.uint8)
    return (np.sin(2 * np.pi * (rows / period + 0.3 * np.sin(columns / period))) > 0.4).astype(np.uint8)


def tree(rng: Rng, width: int, height: int) -> Bits:
    """A branching plant, or a family tree of boxes."""
    pen = Pen(width, height)

    def grow(x: float, y: float, angle: float, length: float, depth: int) -> None:
        to = x + length * np.sin(angle), y - length * np.cos(angle)
        pen.line([(x, y), to], max(1.0, depth * 0.6))
        for turn in rng.uniform(0.2, 0.7, 2) * (-1, 1) if depth else ():
            grow(*to, angle + turn, length * rng.uniform(0.65, 0.85), depth - 1)

    grow(0.5, 0.97, rng.normal(0, 0.1), 0.27, int(rng.integers(4, 7)))
    return pen.bits()


def circuit(rng: Rng, width: int, height: int) -> Bits:
    """Boxes wired by lines of right angles."""
    pen = Pen(width, height)
    points = rng.uniform(0.12, 0.88, (int(rng.integers(4, 8)), 2))
    for (x, y), (u, v) in itertools.pairwise(points):
        pen.line([(x, y), (u, y), (u, v)], 1)
    for x, y in points:
        size = rng.uniform(0.05, 0.11)
        pen.box(x - size, y - size, x + size, y + size, True, ink=0)
        pen.box(x - size, y - size, x + size, y + size, bool(rng.integers(2)), 1)
    return pen.bits()


def staff(rng: Rng, width: int, height: int) -> Bits:
    """Music: lines and notes."""
    pen = Pen(width, height)
    for line in range(5):
        pen.line([(0.02, 0.25 + 0.12 * line), (0.98, 0.25 + 0.12 * line)], 1)
    for x in np.arange(0.1, 0.95, max(0.06, 10 / width)):
        y = 0.25 + 0.06 * int(rng.integers(0, 9))
        pen.oval(x, y, 2.4 / width, 0.05, bool(rng.integers(2)), 1)
        pen.line([(x + 2 / width, y), (x + 2 / width, y - 0.3)], 1)
    return pen.bits()


def sheet(rng: Rng, width: int, height: int) -> Bits:
    """Fields of 28x28, each a symbol or an icon, as sheets of digits have them."""
    rows, columns = max(1, height // 28), max(2, width // 28)
    draw = (symbol, icon, shapes, frames)
    cells = [[draw[int(rng.integers(4))](rng, 28, 28) for _ in range(columns)] for _ in range(rows)]
    return np.block(cells)


KINDS: dict[str, Callable[[Rng, int, int], Bits]] = {
    one.__name__: one
    for one in (
        signature, matrix_code, bars, board, plan, contours, icon, chart, shapes, frames, symbol, text, halftone, noise,
        maze, form, sprite, automaton, hatching, tree, circuit, staff, sheet,
    )
}  # fmt: skip
"""What draws each kind: (rng, width, height) -> (H, W)."""
