"""A slow reader of the family ink, written from FORMAT.md, section 13, and not from the code, in Python's integers."""

from __future__ import annotations

import zlib
from functools import cache

from reference2 import varint
from reference_coding import s as sigmoid

MULTIPLIERS = [
    0x2545F491,
    0x1B873593,
    0x3C6EF372,
    0x27D4EB2F,
    0x165667B1,
    0x2C1B3C6D,
    0x297A2D39,
    0x31848BAB,
    0x15A4E35D,
]
HASH = 0x2F0B4C47


def clamp(v, most):
    return max(-most, min(most, v))


@cache
def squash(x):
    return max(1, min((1 << 16) - 1, sigmoid(16 * x) >> 8))


SQUASHED = [squash(x) for x in range(-3072, 3073)]


@cache
def stretch(c):
    return next((x - 3072 for x, chance in enumerate(SQUASHED) if chance >= c), 3072)


def log(d):
    j = d.bit_length() - 1
    return d if d < 4 else 2 * j + (d >> j - 1 & 1)


class Counter:
    def __init__(self, p=1 << 21):
        self.p, self.n = p, 0

    @property
    def chance(self):
        return max(1, self.p >> 6)

    def learn(self, b):
        self.p += (b * ((1 << 22) - 1) - self.p) * (655360 // (10 * self.n + 16)) >> 16
        self.n += self.n < 250


class Table(dict):
    """Rows that are made when they are first met."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def __missing__(self, key):
        self[key] = self.make()
        return self[key]


class Coder:
    def __init__(self, stream):
        self.bytes = iter(stream)
        self.range, self.code = (1 << 32) - 1, 0
        for _ in range(4):
            self.code = self.code << 8 | next(self.bytes, 0)

    def bit(self, c):
        bound = (self.range >> 16) * c
        found = int(self.code < bound)
        self.range = bound if found else self.range - bound
        self.code -= 0 if found else bound
        while self.range < 1 << 24:
            self.range <<= 8
            self.code = self.code << 8 | next(self.bytes, 0)
        return found


class Reader:
    def __init__(self, arrays, width, height):
        self.given, self.arrays = arrays, {name: array.tolist() for name, array in arrays.items()}
        self.width, self.height = width, height
        self.ink = set()
        self.sizes = self.arrays["contexts"]
        self.kinds = len(self.sizes)
        window = [(k, dx) for k in range(8, -1, -1) for dx in range(-8, 9 if k else 0)]
        self.window = window
        window = sorted(window, key=lambda at: at[0] ** 2 + at[1] ** 2)
        self.masks = [[self.mask(window[:size], k) for k in range(9)] for size in self.sizes]
        self.bits = max(12, min(21, (width * height).bit_length()))
        self.blank, self.was_blank = [1 << 15, 1 << 15], 1
        self.up = [255] * width
        self.starts = self.before = self.long = 0
        self.calm_weights = Table(lambda: list(self.arrays["calm"]))
        self.calm_counters = Table(lambda: Counter(200))
        self.counters = Table(Counter)
        self.likely = Table(lambda: Counter(3 << 20))
        self.mixers = [Table(lambda own=own: list(own)) for own in self.arrays["mixers"]]
        self.visits = Table(int)
        self.finals = Table(lambda: list(self.arrays["finals"]))
        self.refined = Table(lambda: [squash(256 * j - 3072) for j in range(25)])
        self.seen = Table(list)
        self.back = {}
        self.kept = []
        self.hits = 0
        self.learned = [w << 6 for w in self.arrays.get("network.output.weight", [])]
        self.learned_bias = self.arrays.get("network.output.bias", [0])[0] << 6

    def mask(self, places, k):
        return sum(1 << (8 - dx if k else -1 - dx) for above, dx in places if above == k)

    def pixel(self, y, x):
        return int((y, x) in self.ink)

    def row(self, y, first, last):
        value = 0
        for x in range(first, last + 1):
            value = 2 * value + self.pixel(y, x)
        return value

    def registers(self, y, x):
        return [self.row(y, x - 8, x - 1)] + [self.row(y - k, x - 8, x + 8) for k in range(1, 9)]

    def strips(self, payload, most=1 << 25):
        """The pixels of a picture of more than so many pixels."""
        assert payload[0] == 0
        assert zlib.crc32(payload[:1] + payload[5:]).to_bytes(4, "big") == payload[1:5]
        rows, left, lengths, at = max(1, most // self.width), self.height, [], 5
        while left > rows:
            length, at = varint(payload, at)
            lengths.append(length - 1)
            left -= rows
        found = []
        for height, length in [*((rows, length) for length in lengths), (left, len(payload) - at - sum(lengths))]:
            part, at = b"\0" + payload[at : at + length], at + length
            check = zlib.crc32(part).to_bytes(4, "big")
            found += Reader(self.given, self.width, height).picture(part[:1] + check + part[1:])
        return found

    def picture(self, payload):
        """The pixels, row by row."""
        way, check, content = payload[0], payload[1:5], payload[5:]
        assert zlib.crc32(payload[:1] + content).to_bytes(4, "big") == check
        if way & 128:
            content = content[next(at for at, byte in enumerate(content) if byte < 128) + 1 :]
            way &= 127
        if way == 1:
            flat = [byte >> 7 - bit & 1 for byte in content for bit in range(8)][: self.width * self.height]
            return [flat[y * self.width : (y + 1) * self.width] for y in range(self.height)]
        assert way == 0
        self.coder = Coder(content)
        for y in range(self.height):
            self.read_row(y)
        return [[self.pixel(y, x) for x in range(self.width)] for y in range(self.height)]

    def read_row(self, y):
        self.long, self.before, self.starts = (self.long + self.before + 1) >> 1, self.starts, 0
        right, near = [], 255
        for x in reversed(range(self.width)):
            near = 0 if self.up[x] < 8 else min(near + 1, 255)
            right.insert(0, near)
        c = self.blank[self.was_blank]
        blank = self.coder.bit(c)
        self.blank[self.was_blank] = max(32, min((1 << 16) - 32, c + (blank * ((1 << 16) - 1) - c >> 4)))
        self.was_blank = blank
        self.kept = []
        self.hits, since, new_back = 0, 255, {}
        self.edge = self.moved = 0
        for x in range(0 if blank else self.width):
            r = self.registers(y, x)
            if any(r):
                b = self.lively(y, x, r, since, new_back)
            else:
                b = self.calm(x, since, right[x])
                self.kept = []
                self.hits = 0
            if b:
                self.ink.add((y, x))
            alike = b == self.pixel(y, x - 1) and self.pixel(y - 1, x) == self.pixel(y - 1, x - 1)
            self.edge = min(255, self.edge + 1) if alike else 1
            self.moved = min(3, self.moved + (b != self.pixel(y - 1, x)))
            since = 0 if b else min(since + 1, 255)
        self.up = [0 if self.pixel(y, x) else min(self.up[x] + 1, 255) for x in range(self.width)]
        self.back = new_back

    def calm(self, x, since, right):
        starts, before = self.starts, self.before
        contexts = [
            since,
            min(starts, 7) + (min(before, 7) << 3) + (log(since) << 6) + (min(self.long, 3) << 10),
            self.up[x] + (min(starts, 3) << 8) + (min(before, 3) << 10),
            right + (min(starts, 3) << 8) + (min(before, 3) << 10),
            log(since) + (log(self.up[x]) << 4) + (log(right) << 8),
            min(starts, 15) + (log(right) << 4) + (min(before, 15) << 8),
        ]
        counters = [self.calm_counters[one] for one in enumerate(contexts)]
        inputs = []
        for one in counters:
            inputs += [stretch(one.chance), stretch(one.chance) * min(one.n, 64) >> 6]
        inputs.append(256)
        w = self.calm_weights[min(starts, 3), min(before, 3), log(right) >> 1]
        c = squash(clamp(sum(a * i for a, i in zip(w, inputs, strict=True)) >> 16, 3072))
        b = self.coder.bit(c)
        for at, i in enumerate(inputs):
            w[at] += i * ((b << 16) - c) * 3 + (1 << 19) >> 20
        for one in counters:
            one.learn(b)
        self.starts += b
        return b

    def standing(self, y, x):
        rows = 0
        while rows < min(y, 255) and self.pixel(y - 1 - rows, x) == self.pixel(y - 1, x):
            rows += 1
        return rows

    def number(self, q):
        q ^= q >> 23
        return (q % (1 << 31) * HASH >> 20) % (1 << self.bits)

    def unlike(self, place, r):
        other = self.registers(*place)
        differing = [a ^ b for a, b in zip(r, other, strict=True)]
        twice = [differing[0] & 15] + [d & 0b1111111110000 for d in differing[1:5]]
        return sum(bin(d).count("1") for d in differing + twice)

    def candidates(self, y, x, numbers):
        yield from self.kept
        for a in (0, 2, 4):
            back = self.back.get(x + a)
            place = None if back is None else divmod(self.numbered(y, x) - back, 1 << self.width.bit_length())
            yield place if place and place[0] >= 0 and place[1] < self.width else None
        for k in (1, 2, 3):
            kind = self.kinds - k
            latest = self.seen[kind, numbers[kind] % (1 << 18)][-4:]
            yield from reversed(latest)

    def find(self, y, x, r, numbers):
        first, found = self.place(0), []
        for place in self.candidates(y, x, numbers):
            if place is None or place in [p for _, p in found] or self.numbered(*place) > self.numbered(y, x) - 13:
                continue
            unlike = self.unlike(place, r)
            if unlike <= 40:
                found.insert(sum(other <= unlike for other, _ in found), (unlike, place))
                found = found[:4]
        self.kept = [place for _, place in found]
        if self.place(0) != first:
            self.hits = 0
        return [unlike for unlike, _ in found]

    def numbered(self, y, x):
        return (y << self.width.bit_length()) + x

    def place(self, number):
        return self.kept[number] if number < len(self.kept) else None

    def nine(self, place):
        if place is None:
            return 0
        y, x = place
        return sum(self.row(y + dy, x - 1, x + 1) << 3 * at for at, dy in enumerate((-1, 0, 1)))

    def wide(self, place):
        if place is None:
            return 0
        y, x = place
        value = sum(self.row(y + dy, x - 2, x + 2) << 5 * at for at, dy in enumerate((-1, 0, 1)))
        return value + (self.row(y + 2, x - 1, x + 1) << 15) + (self.row(y - 2, x - 1, x + 1) << 18)

    def looks(self, r, unlikes):
        bits = [r[0] >> bit & 1 for bit in range(8)]
        bits += [number >> bit & 1 for number in r[1:] for bit in range(17)]
        for number in range(4):
            place = self.place(number)
            for dy in range(-3, 4):
                for dx in range(3, -4, -1):
                    bits.append(0 if place is None else self.pixel(place[0] + dy, place[1] + dx))
            kind = 21 if place is None else unlikes[number] >> 1
            bits += [int(one == kind) for one in range(22)]
        return bits + [int(one == min(7, self.hits.bit_length())) for one in range(8)]

    def network(self, r, unlikes):
        """Hidden units of the second layer, and what both last layers say."""
        if "network.first.weight" not in self.arrays:
            return [], [0, 0]
        layer = {name.removeprefix("network."): value for name, value in self.arrays.items()}
        h = list(layer["first.bias"])
        for bit, weights in zip(self.looks(r, unlikes), layer["first.weight"], strict=True):
            if bit:
                h = [a + b for a, b in zip(h, weights, strict=True)]
        g = [0] * len(layer["second.bias"])
        for value, weights in zip(h, layer["second.weight"], strict=True):
            value = min(max(value, 0), (1 << 15) - 1)
            g = [a + value * b for a, b in zip(g, weights, strict=True)]
        g = [max(b + (v >> 10), 0) >> 2 for v, b in zip(g, layer["second.bias"], strict=True)]
        lasts = (
            ([w << 6 for w in layer["output.weight"]], layer["output.bias"][0] << 6),
            (self.learned, self.learned_bias),
        )
        return g, [clamp(sum(a * w for a, w in zip(g, ws, strict=True)) + 256 * b >> 16, 3072) for ws, b in lasts]

    def lively(self, y, x, r, since, new_back):
        close = r[0] & 3 | (r[1] >> 6 & 31) << 2 | (r[2] >> 6 & 31) << 7
        closest = r[0] & 3 | (r[1] >> 7 & 7) << 2 | (r[2] >> 8 & 1) << 5
        numbers = [
            self.number(sum((a & m) * f for a, m, f in zip(r, mask, MULTIPLIERS, strict=True))) for mask in self.masks
        ]
        unlikes = self.find(y, x, r, numbers)
        first, unlike = self.place(0), unlikes[0] if unlikes else 41
        a, wide = self.nine(first), self.wide(first)
        alike = 0 if first is None else 1 + (unlike > 3) + (unlike > 7)
        m = MULTIPLIERS
        keys = [
            (a + (closest << 9) + (alike << 15)) * m[0],
            wide + (alike << 21) + (close % 128 << 23),
            wide * m[1] + close * m[0] + (r[3] >> 6 & 31) * m[4] + alike,
            a + (closest << 9) + (self.nine(self.place(1)) << 15) + (alike << 24),
            (self.edge + (self.moved << 8) + (closest << 10)) * m[0],
            (self.edge + (self.standing(y, x) << 8) + ((closest >> 2 & 7) << 16) + ((closest & 1) << 19)) * m[0],
        ]
        numbers += [self.number(key) for key in keys]
        counters = [self.counters[one] for one in enumerate(numbers)]
        inputs = []
        for one in counters:
            inputs += [stretch(one.chance) if one.n else 0, (one.chance - (1 << 15)) * min(one.n, 32) >> 9]
        g, said_by_network = self.network(r, unlikes)
        inputs += [*said_by_network, 77]
        expected = a >> 4 & 1
        if first is None:
            hit = said = None
            inputs += [0, 0]
        else:
            hit = self.likely["hit", min(self.hits, 31), min(unlike, 31)]
            said = self.likely["said", closest, expected, alike, min(self.hits >> 2, 3)]
            inputs += [stretch(hit.chance) * (1 if expected else -1), stretch(said.chance)]
        known = sum(min(counters[self.kinds - 1 - j].n, 3) << 2 * j for j in range(3))
        rows = [
            close % 1024,
            r[0] % 4 if first is None else (alike << 9) + a,
            known + (self.moved << 6),
            alike + 4 * (said_by_network[0] + 3072 >> 8),
        ]
        f = self.finals[closest]
        weights = [mixer[row] for mixer, row in zip(self.mixers, rows, strict=True)]
        o = [clamp(sum(w * i for w, i in zip(own, inputs, strict=True)) >> 16, 3072) for own in weights]
        average = clamp(sum(x * y for x, y in zip(f, o, strict=True)) >> 16, 3072)
        c = squash(average)
        similar = 1 << 12 if first is None else (expected << 12) + (min(self.hits >> 1, 7) << 13)
        tables = [self.refined[0, numbers[0] % (1 << 16)], self.refined[1, close + similar]]
        j, part = divmod(average + 3072, 256)
        if j == 24:
            j, part = 23, 256
        total = 2 * c + sum(t[j] * (256 - part) + t[j + 1] * part >> 8 for t in tables)
        b = self.coder.bit(max(1, min((1 << 16) - 1, total >> 2)))
        for at, t in enumerate(tables):
            t[j] += (b * ((1 << 16) - 1) - t[j]) * (256 - part) >> 13 + at
            t[j + 1] += (b * ((1 << 16) - 1) - t[j + 1]) * part >> 13 + at
        for at in range(4):
            f[at] = clamp(f[at] + (o[at] * ((b << 16) - c) * 4 + (1 << 19) >> 20), 1 << 22)
            v = self.visits[at, rows[at]]
            e = ((b << 16) - squash(o[at])) * (4 + 2048 // (v + 16))
            self.visits[at, rows[at]] = min(v + 1, (1 << 16) - 1)
            own = weights[at]
            own[:] = [clamp(w + (i * e + (1 << 19) >> 20), 1 << 22) for w, i in zip(own, inputs, strict=True)]
        for one in counters:
            if one.n == 0:
                one.p = c << 6
            one.learn(b)
        if first is not None:
            hit.learn(int(expected == b))
            said.learn(b)
            self.hits = self.hits + 1 if expected == b else 0
        for k in (1, 2, 3):
            self.seen[self.kinds - k, numbers[self.kinds - k] % (1 << 18)].append((y, x))
        if first is not None and first[1] + 1 < self.width:
            new_back[x] = self.numbered(y, x) - self.numbered(*first)
        self.kept = [(place[0], place[1] + 1) if place[1] + 1 < self.width else None for place in self.kept]
        e = 3 * ((b << 16) - squash(said_by_network[1]))
        self.learned = [clamp(w + (one * e + (1 << 19) >> 20), 1 << 22) for w, one in zip(self.learned, g, strict=True)]
        self.learned_bias = clamp(self.learned_bias + (256 * e + (1 << 19) >> 20), 1 << 22)
        return b
