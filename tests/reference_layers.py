"""Layers of the family grid, from FORMAT.md, sections 4 and 11, over images as nested lists, [row][column][channel]."""

from __future__ import annotations

from operator import mul

from reference import add, at, each
from reference_coding import clip, leaky, within


class Layers:
    """Layer arithmetic over a model's arrays."""

    def __init__(self, arrays):
        self.arrays = {name: value.tolist() for name, value in arrays.items()}
        self.columns = {name: list(zip(*w, strict=True)) for name, w in self.arrays.items() if name.endswith(".weight")}

    def corrected(self, name, table, n):
        """The same with corrections of a layer, one row more than it has inputs."""
        new = object.__new__(Layers)
        new.arrays, new.columns = dict(self.arrays), dict(self.columns)
        u = self.arrays[f"{name}.shift"] + 12 - 7
        weight = [
            [w + (c << u - n) for w, c in zip(*rows, strict=True)]
            for rows in zip(self.arrays[f"{name}.weight"], table[:-1], strict=True)
        ]
        new.columns[f"{name}.weight"] = list(zip(*weight, strict=True))
        biases = zip(self.arrays[f"{name}.bias"], table[-1], strict=True)
        new.arrays[f"{name}.bias"] = [b + (c << u - n + 7) for b, c in biases]
        return new

    def level(self, name, quality):
        """A table at Q."""
        table, (row, m) = self.arrays[name], divmod(quality, 32)
        one, other = table[row], table[min(row + 1, len(table) - 1)]
        return [(a * (32 - m) + b * m + 16) // 32 for a, b in zip(one, other, strict=True)]

    def affine(self, name, x):
        shift = self.arrays[f"{name}.shift"]
        half = 1 << shift >> 1
        sums = zip(self.columns[f"{name}.weight"], self.arrays[f"{name}.bias"], strict=True)
        return [(sum(map(mul, x, column)) + bias + half) >> shift for column, bias in sums]

    def pointwise(self, name, image):
        return [[self.affine(name, pixel) for pixel in row] for row in image]

    def conv(self, name, image):
        """3x3, zeros beyond the border."""
        taps = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        return [
            [
                self.affine(name, [v for i, j in taps for v in at(image, row + i, col + j)])
                for col in range(len(image[0]))
            ]
            for row in range(len(image))
        ]

    def block(self, name, image):
        inner = each(leaky, each(clip, self.conv(f"{name}.first", image)))
        return each(clip, add(image, self.conv(f"{name}.second", inner)))


def plus(*vectors):
    return [sum(values) for values in zip(*vectors, strict=True)]


def border(image, row, col):
    return image[within(row, 0, len(image) - 1)][within(col, 0, len(image[0]) - 1)]


def shuffle(image, factor):
    channels = range(len(image[0][0]) // factor**2)
    return [
        [
            [image[r // factor][q // factor][(c * factor + r % factor) * factor + q % factor] for c in channels]
            for q in range(len(image[0]) * factor)
        ]
        for r in range(len(image) * factor)
    ]
