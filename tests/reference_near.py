"""What a near-lossless picture must keep of its source, pixel by pixel and piece by piece: slow, and plain to see."""

from __future__ import annotations

import numpy as np

CORNERS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]
SIDES = [(down, right) for down, right in CORNERS if not (down and right)]


def check(source, made):
    """Raises AssertionError unless all laws hold for pictures (H, W) of 0 and 1."""
    same_pieces(np.pad(source, 1), np.pad(made, 1))
    same_pieces(source, made)
    same_tree(np.pad(source, 1), np.pad(made, 1))
    edges_within_one(source, made)
    lines_untouched(source, made)


def pieces(bits):
    """The number of each pixel's piece, and how many there are: ink is joined over corners, paper over sides."""
    height, width = bits.shape
    number, count = np.full((height, width), -1), 0
    for start in np.ndindex(height, width):
        if number[start] >= 0:
            continue
        number[start], left = count, [start]
        while left:
            row, column = left.pop()
            for down, right in CORNERS if bits[start] else SIDES:
                place = row + down, column + right
                inside = 0 <= place[0] < height and 0 <= place[1] < width
                if inside and number[place] < 0 and bits[place] == bits[start]:
                    number[place] = count
                    left.append(place)
        count += 1
    return number, count


def same_pieces(source, made):
    """A piece of one picture is a piece of the other: the pixels that did not change say which, and none is left over."""
    (before, count), (after, counted) = pieces(source), pieces(made)
    assert count == counted
    kept = source == made
    pairs = {*zip(before[kept].tolist(), after[kept].tolist(), strict=True)}
    assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})


def same_tree(source, made):
    """What is inside what: as nested sorted tuples, from the paper outside on."""
    assert tree(source) == tree(made)


def tree(bits):
    number, count = pieces(bits)
    beside = {piece: set() for piece in range(count)}
    for down, right in ((0, 1), (1, 0)):
        first, second = number[: bits.shape[0] - down, : bits.shape[1] - right], number[down:, right:]
        for one, other in {*zip(first.ravel().tolist(), second.ravel().tolist(), strict=True)}:
            if one != other:
                beside[one].add(other)
                beside[other].add(one)
    order, parent = [0], {0: None}
    for piece in order:  # grows; paper and ink of a picture with a margin make a tree
        for other in sorted(beside[piece] - {parent[piece]}):
            assert other not in parent
            parent[other] = piece
            order.append(other)
    found = {piece: [] for piece in order}
    for piece in reversed(order[1:]):
        found[parent[piece]].append(tuple(sorted(found[piece])))
    return tuple(sorted(found[0]))


def edges_within_one(source, made):
    """Wherever a colour is in one picture it is in the other, at most a pixel away; what is at the border stays."""
    height, width = source.shape
    for row, column in np.argwhere(source != made):
        assert 0 < row < height - 1
        assert 0 < column < width - 1
        around = slice(row - 1, row + 2), slice(column - 1, column + 2)
        assert (source[around] == made[row, column]).any()
        assert (made[around] == source[row, column]).any()


def lines_untouched(source, made):
    """No pixel of a line one pixel wide changed, of ink or of paper, nor one beside it."""
    for value in (0, 1):
        thin = {tuple(place) for place in np.argwhere(source == value).tolist() if not in_square(source, *place)}
        for row, column in thin:
            if any((row + down, column + right) in thin for down, right in CORNERS):
                around = slice(max(0, row - 1), row + 2), slice(max(0, column - 1), column + 2)
                assert np.array_equal(source[around], made[around])


def in_square(bits, row, column):
    """Whether a pixel is in a square of four of its colour."""
    for top in (row - 1, row):
        for left in (column - 1, column):
            square = bits[top : top + 2, left : left + 2] if top >= 0 and left >= 0 else bits[:0]
            if square.shape == (2, 2) and (square == bits[row, column]).all():
                return True
    return False
