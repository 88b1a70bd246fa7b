"""The pixels of the family grid, read and drawn, from FORMAT.md, section 11.

Areas are half open: (top, left, bottom, right).
"""

from __future__ import annotations

from itertools import accumulate
from math import comb
from operator import mul

from reference import each
from reference_coding import (
    TOP,
    Mixture,
    Stream,
    act,
    bisect,
    bracket,
    exp12,
    inverse_scale,
    normalised,
    s,
    shares,
    soft,
    within,
)
from reference_layers import border, plus, shuffle

PASSES = 3


class Texture:
    """A PixelCNN (`texture` or `grain`) over a decoded picture D in Y, Co, Cg."""

    def __init__(self, layers, name, d, hidden, quality, size, channels):
        self.layers, self.name, self.channels = layers, name, channels
        self.code = self.codes(d, hidden, quality)
        self.d = [row[: size[1]] for row in d[: size[0]]]

    def codes(self, d, hidden, quality):
        bound = lambda v: within(v, -2047, 2047)  # noqa: E731
        features = self.layers.conv(f"{self.name}.features", each(lambda v: bound(v >> 5), hidden))
        features = each(bound, shuffle(features, 2))
        image = []
        for row, line in enumerate(d):
            image.append([])
            for col, pixel in enumerate(line):
                left, above = border(d, row, col - 1), border(d, row - 1, col)
                image[-1].append(
                    [*features[row][col], *pixel, *differences(pixel, left, 8), *differences(pixel, above, 8)]
                )
        image = each(act, self.layers.conv(f"{self.name}.around", image))
        level = self.layers.level(f"{self.name}.level", quality)
        return [[plus(p, level) for p in row] for row in self.layers.conv(f"{self.name}.context", image)]

    def walk(self, area, choose):
        """All pixels of an area, by place: choose(channel, pixels) gives the values of pixels that are coded together."""
        top, left, bottom, right = area
        tile = Tile(self, area)
        for t in range(right - left + 2 * (bottom - top)):
            places = [(row, left + t - 2 * (row - top)) for row in range(top, bottom)]
            pixels = [tile.pixel(*place) for place in places if left <= place[1] < right]
            for channel in range(self.channels):
                for pixel, value in zip(pixels, choose(channel, pixels), strict=True):
                    pixel.know(channel, value)
            for pixel in pixels:
                tile.known[pixel.place] = pixel.values + [0] * (3 - self.channels)
        return [[tile.known[row, col] for col in range(left, right)] for row in range(top, bottom)]


def differences(one, other, k):
    return [soft(a - b, k) for a, b in zip(one, other, strict=True)]


def predicted(get, row, col):
    """The prediction of a pixel from W, N and A."""
    found = zip(get(row, col - 1), get(row - 1, col), get(row - 1, col - 1), strict=True)
    return [within(w + n - a, min(w, n), max(w, n)) for w, n, a in found]


class Tile:
    """The pixels of an area that are known so far, in surroundings of D."""

    def __init__(self, texture, area):
        self.texture, self.area, self.known, self.shows, self.acts = texture, area, {}, {}, {}

    def outside(self, row, col):
        return border(self.texture.d, row, col)

    def value(self, row, col):
        top, left, bottom, right = self.area
        inside = top <= row < bottom and left <= col < right
        return self.known[row, col] if inside else self.outside(row, col)

    def show(self, row, col):
        """The 15 numbers that a known pixel shows."""
        if (row, col) not in self.shows:
            get = self.value if (row, col) in self.known else self.outside
            x, d = get(row, col), self.outside(row, col)
            high = [within(8 * (a - b), -8 * 127, 8 * 127) for a, b in zip(x, predicted(get, row, col), strict=True)]
            near = differences(x, get(row, col - 1), 8) + differences(x, get(row - 1, col), 8)
            self.shows[row, col] = [*high, *near, *x, *differences(x, d, 16)]
        return self.shows[row, col]

    def pixel(self, row, col):
        layers, name = self.texture.layers, self.texture.name
        seen = [
            self.show(row - up, col - 3 + i) for up, count in ((3, 7), (2, 7), (1, 5), (0, 3)) for i in range(count)
        ]
        window = [v for shown in seen for v in shown]
        prediction, d = predicted(self.value, row, col), self.outside(row, col)
        window += differences(d, prediction, 16) + differences(d, prediction, 3)
        h = plus(layers.affine(f"{name}.window", window), self.texture.code[row][col])
        for index in range(layers.arrays[f"{name}.layers"]):
            self.acts[index, row, col] = [act(v) for v in h]
            places = [(row - 1, col - 1), (row - 1, col), (row - 1, col + 1), (row, col - 1), (row, col)]
            taps = [v for place in places for v in self.acts.get((index, *place), [0] * len(h))]
            inner = [act(v) for v in layers.affine(f"{name}.causal.{index}", taps)]
            h = plus(h, layers.affine(f"{name}.pointwise.{index}", inner))
        h = plus(h, layers.affine(f"{name}.last", [act(v) for v in h]))
        return Pixel((row, col), layers.affine(f"{name}.output", [act(v) for v in h]), prediction)


def tanh12(v):
    """T(v)."""
    return s(2 * v) - (1 << 23) >> 11


class Pixel:
    """A pixel's mixtures, given its samples so far."""

    def __init__(self, place, out, prediction):
        size = len(out) // 10
        self.place, self.prediction, self.values = place, prediction, []
        self.o = [out[i * size : (i + 1) * size] for i in range(10)]
        self.weights = self.first_weights = shares(self.o[0])

    def means(self, channel):
        found = [(v >> 2) + (self.prediction[channel] << 8) for v in self.o[(1, 2, 4)[channel]]]
        for earlier, row in zip(range(channel), ((), (3,), (5, 6))[channel], strict=True):
            above = self.values[earlier] - self.prediction[earlier]
            found = [m + (above * tanh12(v) >> 4) for m, v in zip(found, self.o[row], strict=True)]
        return found

    def log_scales(self, channel):
        return [max(v + (1 << 12), -5 << 11) for v in self.o[7 + channel]]

    def mixture(self, channel):
        means, logs = self.means(channel), self.log_scales(channel)
        centre = (sum(map(mul, self.weights, means)) >> 24) + (1 << 7) >> 8
        inverses = [inverse_scale(t, -3, 6) for t in logs]
        step = bracket(sum(map(mul, self.weights, logs)) >> 24, 6)
        return Mixture(-255 if channel else 0, 255, self.weights, means, inverses, centre, step, even=True)

    def know(self, channel, value):
        mixture = self.mixture(channel)
        masses = zip(self.weights, mixture.edges(value + 1), mixture.edges(value), strict=True)
        self.weights = normalised([(w * (upper - lower + 1) >> 12) + 1 for w, upper, lower in masses])
        self.values.append(value)


def read_tile(texture, area, data):
    """Y, Co, Cg of a tile from its stream."""
    stream = Stream(data)
    return texture.walk(area, lambda channel, pixels: bisect(stream, [pixel.mixture(channel) for pixel in pixels]))


def philox(counter, key):
    """Philox4x64-10: four 64-bit words."""
    mask = (1 << 64) - 1
    x = [counter >> 64 * i & mask for i in range(4)]
    for index in range(10):
        one, other = x[0] * 0xD2E7470EE14C6C93, x[2] * 0xCA5A826395121157
        keys = (key[0] + index * 0x9E3779B97F4A7C15) & mask, (key[1] + index * 0xBB67AE8584CAA73B) & mask
        x = [other >> 64 ^ x[1] ^ keys[0], other & mask, one >> 64 ^ x[3] ^ keys[1], one & mask]
    return x


def word(index, key, start):
    """Word `index` of the blocks from `start` on."""
    block, place = divmod(index, 8)
    output = philox(start + block + 1, key)[place // 2]
    return (output >> 32 if place % 2 else output & 0xFFFFFFFF) >> 8


def largest(u):
    """The largest l with S(l) at most u."""
    low, high = -65536, 65537
    while high - low > 1:
        middle = low + high >> 1
        low, high = (middle, high) if s(middle) <= u else (low, middle)
    return low


def draw(texture, seed):
    """Y, Co, Cg of the picture, drawn: each time in the context of the picture before."""

    def drawn(channel, pixel):
        row, col = pixel.place
        words = [word(4 * col + i, (0, 1 + seed), row << 40) for i in (0, channel + 1)]
        k = next(k for k, total in enumerate(accumulate(pixel.first_weights)) if total > words[0])
        least = TOP * 6 // 100
        u = least + (words[1] * (TOP - 2 * least) >> 24)
        m, t = pixel.means(channel)[k], pixel.log_scales(channel)[k]
        return within(m + (exp12(t) * largest(u) >> 16) + (1 << 7) >> 8, -255 if channel else 0, 255)

    def again(tile, place):
        pixel = tile.pixel(*place)
        for channel in range(texture.channels):
            pixel.know(channel, drawn(channel, pixel))
        return pixel.values + [0] * (3 - texture.channels)

    height, width = len(texture.d), len(texture.d[0])
    places = [(row, col) for row in range(height) for col in range(width)]
    known = {(row, col): texture.d[row][col] for row, col in places}
    for _ in range(PASSES):
        tile = Tile(texture, (0, 0, height, width))
        tile.known = known
        known = {place: again(tile, place) for place in places}
    return [[known[row, col] for col in range(width)] for row in range(height)]


def low_frequencies(g):
    """At 8 fraction bits."""
    places = [[(row, col) for col in range(len(g[0]))] for row in range(len(g))]
    along_columns = [
        [filtered([border(g, row + i, col) for i in range(-8, 9)]) for row, col in line] for line in places
    ]
    sums = [
        [filtered([border(along_columns, row, col + i) for i in range(-8, 9)]) for row, col in line] for line in places
    ]
    return each(lambda v: v + (1 << 23) >> 24, sums)


def filtered(near):
    """Binomial sums of 17 pixels, times 2^16."""
    return plus(*([comb(16, i) * v for v in pixel] for i, pixel in enumerate(near)))


def textured(texture, quality, seed, temperature):
    """Y, Co, Cg of the picture: D and texture; temperature in 1/256, None for the model's own."""
    g = [
        [[a - b for a, b in zip(pixel, d, strict=True)] for pixel, d in zip(*lines, strict=True)]
        for lines in zip(draw(texture, seed), texture.d, strict=True)
    ]
    low = low_frequencies(g)
    luma, chroma = texture.layers.level(f"{texture.name}.strengths", quality)
    if temperature is None:
        (temperature,) = texture.layers.level(f"{texture.name}.temperatures", quality)

    def pixel(row, col):
        parts = zip(texture.d[row][col], g[row][col], low[row][col], (luma, chroma, chroma), strict=True)
        return [d + (((v << 8) - smooth) * temperature * a + (1 << 23) >> 24) for d, v, smooth, a in parts]

    return [[pixel(row, col) for col in range(len(line))] for row, line in enumerate(g)]
