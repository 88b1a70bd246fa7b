"""A slow reader of photographs: the family grid once more, written from FORMAT.md, section 11, and not from the code.

Python's integers throughout. Images are nested lists, [row][column][channel]; areas are top, left, bottom, right, half open.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import reference2
from reference import add, each
from reference2 import crc16, varint
from reference_coding import CutStream, Mixture, Stream, bisect, clip, exp12, inverse_scale, leaky, within
from reference_latents import Prior
from reference_layers import shuffle
from reference_texture import Texture, read_tile, textured

TILE = 256


def decoded_picture(layers, z, quality):
    """RGB samples of the padded picture, and `hidden`; z in 2^-8."""
    steps = [exp12(v) for v in layers.level("decoder.log_step", quality)]
    h = [[[clip(v * step + (1 << 7) >> 8) for v, step in zip(site, steps, strict=True)] for site in row] for row in z]
    h = each(clip, layers.pointwise("decoder.input", h))
    h = blocks(layers, "decoder.blocks", h)
    hidden = each(clip, shuffle(layers.pointwise("decoder.up", h), 4))
    hidden = each(leaky, blocks(layers, "decoder.fine", hidden))
    p = shuffle(layers.pointwise("decoder.linear", h), 8)
    p = add(p, shuffle(layers.conv("decoder.output", hidden), 2))
    return each(lambda v: within((v + (1 << 11)) * 255 + (1 << 11) >> 12, 0, 255), p), hidden


def coarse_picture(layers, z, quality):
    """RGB samples of the padded picture from the latents of the first two groups, in 2^-8."""
    count = sum(layers.arrays["prior.groups"][:2])
    steps = [exp12(v) for v in layers.level("decoder.log_step", quality)[:count]]
    seen = [
        [[clip(v * s + (1 << 7) >> 8) for v, s in zip(site[:count], steps, strict=True)] for site in row] for row in z
    ]
    colours = each(lambda v: within(v, -(1 << 13), 1 << 13), layers.pointwise("decoder.coarse", seen))
    height, width = len(colours), len(colours[0])

    def taps(at, count):
        site, i = divmod(at, 8)
        t = (2 * i - 7) % 16
        outer = -(t**3) + 32 * t**2 - 256 * t, t**3 - 16 * t**2
        weights = outer[0], 3 * t**3 - 80 * t**2 + 8192, -3 * t**3 + 64 * t**2 + 256 * t, outer[1]
        first = site - 2 if i < 4 else site - 1
        return [(within(first + tap, 0, count - 1), weight) for tap, weight in enumerate(weights)]

    def sample(row, column, channel):
        p = sum(
            down * across * colours[i][j][channel] for i, down in taps(row, height) for j, across in taps(column, width)
        )
        return within((p + (1 << 37)) * 255 + (1 << 37) >> 38, 0, 255)

    return [[[sample(row, column, c) for c in range(3)] for column in range(8 * width)] for row in range(8 * height)]


def blocks(layers, name, image):
    """`name`.0, `name`.1, ... one after the other."""
    index = 0
    while f"{name}.{index}.first.weight" in layers.arrays:
        image = layers.block(f"{name}.{index}", image)
        index += 1
    return image


@dataclass
class Payload:
    """streams: a Stream of each group, or a CutStream. tiles: the check and the stream of each, None of one not there."""

    quality: int
    streams: list
    tiles: list
    alpha: bytes | None = None
    corrections: bytes = b""


def parse(about, data, groups):
    """The parts of a payload, which may be cut behind its first check."""
    exact, quality, at = data[0], data[1], 2
    lengths, at = varints(data, at, groups)
    assert crc16(data[:at]) == int.from_bytes(data[at : at + 2], "big")
    start, end = at + 2, at + 2 + sum(lengths)
    payload, at = Payload(quality, [], [None] * len(areas(about))), start
    for length in lengths:
        found = data[at : at + length]
        payload.streams.append(Stream(found) if len(found) == length else CutStream(found))
        at += length
    try:
        check, at = take(data, end, 4)
        assert zlib.crc32(data[start:end]) == int.from_bytes(check, "big")
        if about["alpha"]:
            (length,), at = varints(data, at, 1)
            check, at = take(data, at, 4)
            payload.alpha, at = take(data, at, length)
            assert zlib.crc32(payload.alpha) == int.from_bytes(check, "big")
        if exact:
            at = parse_tiles(payload, data, at)
        assert at == len(data)
    except IndexError:
        pass  # the payload is cut here
    return payload


def parse_tiles(payload, data, at):
    start = at
    (length,), at = varints(data, at, 1)
    payload.corrections, at = take(data, at, length)
    lengths, at = varints(data, at, len(payload.tiles))
    checked = data[start:at]
    check, at = take(data, at, 2)
    assert crc16(checked) == int.from_bytes(check, "big")
    for index, length in enumerate(lengths):
        check, at = take(data, at, 4)
        stream, at = take(data, at, length)
        payload.tiles[index] = int.from_bytes(check, "big"), stream
    return at


def varints(data, at, count):
    found = []
    for _ in range(count):
        value, at = varint(data, at)
        found.append(value)
    return found, at


def take(data, at, count):
    if at + count > len(data):
        raise IndexError
    return data[at : at + count], at + count


def areas(about):
    """The tiles."""
    height, width = about["height"], about["width"]
    return [
        (top, left, min(top + TILE, height), min(left + TILE, width))
        for top in range(0, height, TILE)
        for left in range(0, width, TILE)
    ]


def corrected(layers, data):
    """The layers with a file's corrections."""
    if not data:
        return layers
    n, t, stream = data[0], data[1], Stream(data[2:])
    rows, columns = len(layers.arrays["texture.output.weight"]) + 1, len(layers.arrays["texture.output.bias"])
    log_scale = (t << 8) - (1 << 14)
    inverses = [inverse_scale(log_scale, -4, 8), inverse_scale(log_scale + (1 << 13), -4, 8)]
    c = bisect(stream, [Mixture(-127, 127, [1 << 23] * 2, [0, 0], inverses, 0, 1)] * (rows * columns))
    return layers.corrected("texture.output", [c[i * columns : (i + 1) * columns] for i in range(rows)], n)


def to_luma(pixel):
    """Y, Co, Cg."""
    red, green, blue = pixel
    orange = red - blue
    t = blue + (orange >> 1)
    return [t + (green - t >> 1), orange, green - t]


def to_rgb(pixel):
    luma, orange, green = pixel
    t = luma - (green >> 1)
    blue = t - (orange >> 1)
    return [orange + blue, green + t, blue]


class Reader:
    """A file's latents, in 2^-8, its decoded picture D, and its pixels; about: its geometry, as `reference2` has it."""

    def __init__(self, layers, about, data):
        self.layers, self.about = layers, about
        self.payload = parse(about, data, len(layers.arrays["prior.groups"]))
        sites = -(-about["height"] // 8), -(-about["width"] // 8)
        self.latents = Prior(layers, *sites, self.payload.quality).read(self.payload.streams)
        rgb, self.hidden = decoded_picture(layers, self.latents, self.payload.quality)
        self.gray = about["kind"] == "gray"
        self.decoded = [[to_luma(pixel) for pixel in row] for row in rgb]
        if self.gray:
            self.decoded = [[[luma, 0, 0] for luma, _, _ in row] for row in self.decoded]

    def preview(self):
        """The coarse picture, as `picture` has it."""
        rgb = coarse_picture(self.layers, self.latents, self.payload.quality)
        image = [[to_luma(pixel)[:1] if self.gray else pixel for pixel in row] for row in rgb]
        rows, columns = slice(self.about["height"]), slice(self.about["width"])
        return self.finished([row[columns] for row in image[rows]])

    def picture(self, seed=0, temperature=None):
        """[row][column][sample] as the geometry has them; temperature in 1/256, None for the model's own."""
        image = [[None] * self.about["width"] for _ in range(self.about["height"])]
        for (top, left, bottom, right), tile in zip(areas(self.about), self.tiles(seed, temperature), strict=True):
            for row in range(top, bottom):
                image[row][left:right] = tile[row - top]
        kept = slice(0, 1 if self.gray else 3)
        return self.finished([[self.colours(pixel)[kept] for pixel in row] for row in image])

    def finished(self, image):
        """At the levels that the geometry has, with opacity."""
        levels = min((1 << self.about["depth"]) - 1, 255)
        image = each(lambda v: (2 * levels * within(v, 0, 255) + 255) // 510 * (255 // levels), image)
        return self.with_alpha(image) if self.about["alpha"] else image

    def tiles(self, seed, temperature):
        """Y, Co, Cg of each tile: read, drawn, or decoded."""
        whole = all(isinstance(stream, Stream) for stream in self.payload.streams)
        draws = whole and temperature != 0 and "grain.layers" in self.layers.arrays
        others, texture = self.decoded, None
        if draws and None in self.payload.tiles:
            others = textured(self.texture("grain", self.layers), self.payload.quality, seed, temperature)
        for area, stored in zip(areas(self.about), self.payload.tiles, strict=True):
            top, left, bottom, right = area
            if stored:
                texture = texture or self.texture("texture", corrected(self.layers, self.payload.corrections))
                yield self.read(texture, area, *stored)
            else:
                yield [row[left:right] for row in others[top:bottom]]

    def texture(self, name, layers):
        size = self.about["height"], self.about["width"]
        return Texture(layers, name, self.decoded, self.hidden, self.payload.quality, size, 1 if self.gray else 3)

    def read(self, texture, area, check, data):
        tile = read_tile(texture, area, data)
        assert zlib.crc32(bytes(v for row in tile for pixel in row for v in self.colours(pixel))) == check
        return tile

    def colours(self, pixel):
        """Red, green, blue; of gray three times the level."""
        return [pixel[0]] * 3 if self.gray else to_rgb(pixel)

    def with_alpha(self, image):
        """Opacity is at its top where the file was cut before it."""
        if self.payload.alpha is None:
            return [[[*pixel, 255] for pixel in row] for row in image]
        plane = self.about | {"kind": "gray", "alpha": 0, "channels": 1, "depth": 8, "pair": None}
        alpha = reference2.pixels(plane, self.payload.alpha)
        return [[p + a for p, a in zip(*rows, strict=True)] for rows in zip(image, alpha, strict=True)]
