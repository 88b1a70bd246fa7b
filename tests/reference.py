"""The integer networks and the bit stack once more: slowly, obviously, with Python's integers and no numpy arithmetic.

Written from FORMAT.md's description of the computation, not from the code. Nested lists are indexed [row][col][channel].
"""

from __future__ import annotations

from decimal import Decimal, getcontext
from functools import cache
from itertools import accumulate, pairwise
from operator import mul

getcontext().prec = 40


def nearest(x: Decimal) -> int:
    return int((x).to_integral_value(rounding="ROUND_HALF_EVEN"))


@cache
def exp30(numerator: int, bits: int) -> int:
    """exp(-numerator / 2^bits) * 2^30, as the product of two rounded factors."""
    numerator <<= 12 - bits
    fine = numerator % 256
    return exp_factor(fine, 26) * exp_factor(numerator - fine, 36) >> 32


@cache
def exp_factor(part: int, scale: int) -> int:
    return nearest((Decimal(-part) / (1 << 12)).exp() * (1 << scale))


@cache
def elu(x: int) -> int:
    if x >= 0:
        return min(x, 65535 - 8192)
    x = max(x, -8192)
    return ((exp30(-x, 10) + (1 << 19)) >> 20) - 1024


def sigmoid24(x: int, bits: int) -> int:
    x = max(-(16 << bits), min(16 << bits, x))
    if x < 0:
        return (1 << 24) - sigmoid24(-x, bits)
    return (1 << 54) // ((1 << 30) + exp30(x, bits))


@cache
def normal_halves() -> list[int]:
    """H(0), H(1), ..., H(5792)."""
    density = [exp30((2 * j + 1) ** 2 + (1 << 10) >> 11, 12) >> 6 for j in range(5792)]
    return [0, *accumulate(density)]


def normal24(x: int) -> int:
    """The normal CDF at x / 2^10, times 2^24."""
    x = max(-5792, min(5792, x))
    if x < 0:
        return (1 << 24) - normal24(-x)
    halves = normal_halves()
    return (1 << 23) * (halves[-1] + halves[x]) // halves[-1]


def cell_counts(cdf, lowest: int, cells: int) -> list[int]:
    """The counts of all lattice points, given F(k)."""
    inner = [(cdf(lowest + i) * ((1 << 24) - cells) >> 24) + i for i in range(1, cells)]
    edges = [0, *inner, 1 << 24]
    return [upper - lower for lower, upper in pairwise(edges)]


def log2_16(count: int) -> int:
    """L(count): log2 at 16 fraction bits, of the middle of a 4096th."""
    s = count.bit_length() - 1
    i = (count - (1 << s) << 12) >> s
    middle = 1 + Decimal(2 * i + 1) / (1 << 13)
    return (s << 16) + nearest(middle.ln() / Decimal(2).ln() * (1 << 16))


def weights(logs: list[int]) -> list[int]:
    """The weights of a field's samples, as counts."""
    best = max(logs)
    e = [exp30(min((best - v) * 45426 >> 20, 65536), 12) for v in logs]
    counts = [v * ((1 << 24) - len(e)) // sum(e) + 1 for v in e]
    counts[logs.index(best)] += (1 << 24) - sum(counts)
    return counts


class Stack:
    """The stack of an archive."""

    def __init__(self, bottom: int) -> None:
        self.state, self.words = (1 << 31) + bottom, []

    @classmethod
    def read(cls, data: bytes) -> Stack:
        stack = cls(0)
        data += bytes(-len(data) % 4)
        words = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
        stack.state, stack.words = sum(word << 32 * i for i, word in enumerate(words[-2:])), words[:-2]
        return stack

    def write(self) -> bytes:
        words = [*self.words, self.state & 0xFFFFFFFF, self.state >> 32]
        return b"".join(word.to_bytes(4, "little") for word in words).rstrip(b"\0")

    def push_range(self, cum: int, count: int) -> None:
        if self.state >> 40 >= count:
            self.words.append(self.state & 0xFFFFFFFF)
            self.state >>= 32
        self.state = (self.state // count << 24) + self.state % count + cum

    def pop_range(self, cum: int, count: int) -> None:
        self.state = (self.state >> 24) * count + (self.state & 0xFFFFFF) - cum
        if self.state < 1 << 32 and self.words:
            self.state = self.state << 32 | self.words.pop()

    def push(self, symbol: int, counts: list[int]) -> None:
        self.push_range(sum(counts[:symbol]), counts[symbol])

    def pop(self, counts: list[int]) -> int:
        quantile, symbol, cum = self.state & 0xFFFFFF, 0, 0
        while quantile >= cum + counts[symbol]:
            cum += counts[symbol]
            symbol += 1
        self.pop_range(cum, counts[symbol])
        return symbol

    def push_uniform(self, value: int, size: int) -> None:
        if size > 1:
            self.push_range(value * ((1 << 24) // size), uniform_count(value, size))

    def pop_uniform(self, size: int) -> int:
        if size == 1:
            return 0
        value = min((self.state & 0xFFFFFF) // ((1 << 24) // size), size - 1)
        self.pop_range(value * ((1 << 24) // size), uniform_count(value, size))
        return value


def uniform_count(value: int, size: int) -> int:
    count = (1 << 24) // size
    return count if value < size - 1 else (1 << 24) - count * (size - 1)


class Layers:
    """Layer arithmetic over a model's arrays."""

    def __init__(self, arrays) -> None:
        self.arrays = {name: value.tolist() for name, value in arrays.items()}
        self.columns = {
            name: [*zip(*value, strict=True)] for name, value in self.arrays.items() if name.endswith(".weight")
        }

    def affine(self, name: str, x: list[int], columns=None) -> list[int]:
        weight, bias, shift = self.columns[f"{name}.weight"], self.arrays[f"{name}.bias"], self.arrays[f"{name}.shift"]
        half = 1 << (shift - 1) if shift else 0
        columns = range(len(bias)) if columns is None else columns
        return [(sum(map(mul, x, weight[o])) + bias[o] + half) >> shift for o in columns]

    def conv(self, name: str, image, stride: int = 1):
        height, width = len(image), len(image[0])
        if len(self.arrays[f"{name}.weight"]) == len(image[0][0]):
            return [[self.affine(name, pixel) for pixel in row] for row in image]
        out = []
        for row in range(0, height, stride):
            out.append([])
            for col in range(0, width, stride):
                taps = [at(image, row + dr, col + dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1)]
                out[-1].append(self.affine(name, sum(taps, [])))
        return out

    def causal(self, name: str, image, row: int, col: int, centre: bool) -> list[int]:
        taps = [at(image, row - 1, col + d) for d in (-1, 0, 1)] + [at(image, row, col - 1)]
        return self.affine(name, sum(taps, []) + (at(image, row, col) if centre else []))

    def block(self, name: str, image):
        y = self.conv(f"{name}.second", each(elu, self.conv(f"{name}.first", each(elu, image))))
        return add(image, y)

    def decode(self, z: list[int]):
        """Context of the latents z: [28][28][channels]."""
        h = self.affine("decoder.expand", [elu(v) for v in self.affine("decoder.dense", z)])
        channels = len(h) // 49
        image = [[h[(7 * r + c) * channels : (7 * r + c + 1) * channels] for c in range(7)] for r in range(7)]
        image = self.blocks("decoder.bottom", image)
        image = spread(self.conv("decoder.up", each(elu, image)))
        image = self.blocks("decoder.top", image)
        return spread(self.conv("decoder.output", each(elu, image)))

    def blocks(self, name: str, image):
        index = 0
        while f"{name}.{index}.first.bias" in self.arrays:
            image = self.block(f"{name}.{index}", image)
            index += 1
        return image

    def logits(self, field, context):
        """Logits of a whole field, in raster order."""
        pixels = [[[int(v)] for v in row] for row in field]
        size = len(pixels)
        places = [(r, c) for r in range(size) for c in range(size)]
        h = [[None] * size for _ in range(size)]
        for r, c in places:
            h[r][c] = [
                a + b for a, b in zip(context[r][c], self.causal("pixels.input", pixels, r, c, False), strict=True)
            ]
        for i in range(self.arrays["pixels.layers"]):
            active = each(elu, h)
            inner = [[None] * size for _ in range(size)]
            for r, c in places:
                inner[r][c] = self.causal(f"pixels.blocks.{i}.first", active, r, c, True)
            h = add(h, self.conv(f"pixels.blocks.{i}.second", each(elu, inner)))
        return [self.affine("pixels.output", [elu(v) for v in h[r][c]])[0] for r, c in places]

    def encode(self, field) -> tuple[list[int], list[int]]:
        """Means and log sigmas of q(z|x)."""
        h = self.conv("encoder.input", gather([[[int(v)] for v in row] for row in field]))
        h = self.blocks("encoder.top", h)
        h = self.blocks("encoder.bottom", self.conv("encoder.down", each(elu, h), stride=2))
        flat = [elu(v) for row in h for pixel in row for v in pixel]
        out = self.affine("encoder.posterior", [elu(v) for v in self.affine("encoder.dense", flat)])
        return out[: len(out) // 2], out[len(out) // 2 :]

    def posterior_counts(self, field) -> list[list[int]]:
        """The counts of all lattice points of each latent, of q(z|x)."""
        a, e7, found = self.arrays, nearest(Decimal(7).exp() * (1 << 16)), []
        lattice = zip(a["prior.steps"], a["prior.lowest"], *self.encode(field), strict=True)
        for step, lowest, m, s in lattice:
            inverse = exp30(max(0, min(9 << 12, s + (7 << 12))), 12) * e7 >> 30

            def cdf(k, step=step, m=m, inverse=inverse):
                return normal24(((2 * k - 1) * step - 2 * m) * inverse >> 19)

            found.append(cell_counts(cdf, lowest, a["prior.cells"]))
        return found

    def ink_counts(self, field, context) -> list[int]:
        """The count of ink of each pixel of a field, in raster order."""
        return [min(max(sigmoid24(4 * v, 12), 1), (1 << 24) - 1) for v in self.logits(field, context)]

    def prior_counts(self, k: list[int]) -> list[int]:
        """The count of each lattice coordinate given those before it."""
        lowest = self.arrays["prior.lowest"]
        return [counts[v - low] for v, low, counts in zip(k, lowest, self.all_prior_counts(k), strict=True)]

    def all_prior_counts(self, k: list[int]) -> list[list[int]]:
        """The counts of all lattice points of each latent given those before it."""
        return [self.latent_counts(k, i) for i in range(len(k))]

    def latent_counts(self, k: list[int], i: int) -> list[int]:
        """The counts of all lattice points of latent i given those before it; k holds anything from there on."""
        a = self.arrays
        step, degrees = a["prior.steps"][i], a["prior.degrees"]
        h = [step * value for step, value in zip(a["prior.steps"], k, strict=True)]
        seen = [j < i for j in range(len(h))]
        for layer in range(a["prior.layers"]):
            visible = [v if see else 0 for v, see in zip(h, seen, strict=True)]
            # a unit of degree d sees the inputs of degree <= d; only units of degree <= i matter here
            h = [max(0, min(1 << 18, v)) for v in self.affine(f"prior.hidden.{layer}", visible)]
            h = [v if d <= i else 0 for v, d in zip(h, degrees, strict=True)]
            seen = [d <= i for d in degrees]
        group = len(a["prior.output.bias"]) // len(k)
        out = self.affine("prior.output", h, range(i * group, (i + 1) * group))
        mixtures = group // 3
        logits, mu, log_s = (out[j * mixtures : (j + 1) * mixtures] for j in range(3))
        e = [exp30(min(max(logits) - v, 12 << 12), 12) >> 10 for v in logits]
        weights = [(v << 20) // sum(e) for v in e]
        mu = [max(-(1 << 17), min(1 << 17, v)) for v in mu]
        e6 = nearest(Decimal(6).exp() * (1 << 16))
        inverse = [exp30(max(0, min(9 << 12, v + (6 << 12))), 12) * e6 >> 30 for v in log_s]

        def cdf(c):
            edge = (2 * c - 1) * step
            arguments = [(edge - 2 * m) * s >> 17 for m, s in zip(mu, inverse, strict=True)]
            return sum(w * sigmoid24(v, 12) for w, v in zip(weights, arguments, strict=True)) >> 20

        return cell_counts(cdf, a["prior.lowest"][i], a["prior.cells"])


def at(image, row: int, col: int) -> list[int]:
    inside = 0 <= row < len(image) and 0 <= col < len(image[0])
    return image[row][col] if inside else [0] * len(image[0][0])


def each(function, image):
    return [[[function(v) for v in pixel] for pixel in row] for row in image]


def add(one, other):
    return [
        [[a + b for a, b in zip(p, q, strict=True)] for p, q in zip(r, s, strict=True)]
        for r, s in zip(one, other, strict=True)
    ]


def gather(image):
    """The inverse of `spread`."""
    return [
        [sum((image[2 * r + i][2 * c + j] for i in (0, 1) for j in (0, 1)), []) for c in range(len(image[0]) // 2)]
        for r in range(len(image) // 2)
    ]


def spread(image):
    """Depth to space: channel (2 row + col) * C + c."""
    channels = len(image[0][0]) // 4
    size = 2 * len(image)
    return [
        [image[r // 2][c // 2][(2 * (r % 2) + c % 2) * channels :][:channels] for c in range(size)] for r in range(size)
    ]
