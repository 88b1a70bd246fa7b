"""A decoder of single files of version 1 once more: slowly, obviously, with Python's integers and no numpy arithmetic.

Written from FORMAT.md, sections 1 to 6, not from the code; the networks and the prior are those of `reference`.

    python tests/reference1.py        holds it against all golden files, which takes some minutes
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path

from reference import Layers, elu, sigmoid24

from vlae_codec import zoo

HERE = Path(__file__).parent
ORDER = sorted(((r, c) for r in range(28) for c in range(28)), key=lambda place: (place[1] + 2 * place[0], place[0]))
LOOKS = {0: (b"\0", b"\xff"), 1: (b"\xff", b"\0")}
SAMPLE_BYTES = {2: 1, 3: 2, 4: 3, 5: 4}
LOSSY, LOSSLESS, RAW = range(3)


class RefusedError(Exception):
    """It is not a file of version 1."""


def check16(data: bytes) -> int:
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xFFFF
    return crc


# Section 3: random words


def philox(counter: int, key: tuple[int, int]) -> list[int]:
    """Philox4x64-10: four 64-bit outputs."""
    mask = (1 << 64) - 1
    c, (k0, k1) = [counter >> 64 * i & mask for i in range(4)], key
    for _ in range(10):
        one, two = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [two >> 64 ^ c[1] ^ k0, two & mask, one >> 64 ^ c[3] ^ k1, one & mask]
        k0, k1 = k0 + 0x9E3779B97F4A7C15 & mask, k1 + 0xBB67AE8584CAA73B & mask
    return c


def block(number: int, key: tuple[int, int]) -> list[int]:
    """The eight words of a block."""
    return [half >> 8 for out in philox(number + 1, key) for half in (out & 0xFFFFFFFF, out >> 32)]


def codeword(n: int, latents: int, split: int) -> list[int]:
    s, r = divmod(n, 1 << 17)
    blocks = -(-latents // 8)
    words = sum((block(r * blocks + i, (0, 0)) for i in range(blocks)), [])[:latents]
    if s:
        own = sum((block(((r << 13) + s) * blocks + i, (1, 0)) for i in range(blocks)), [])
        words[split:] = own[split:latents]
    return words


# Section 5: range coding


class Range:
    """A stream of symbols, in a text of bits that goes on with `fill` for ever."""

    def __init__(self, bits: str, fill: str = "0") -> None:
        self.bits, self.fill, self.place = bits, fill, 0
        self.lower, self.range, self.point = 0, (1 << 64) - 1, self.word() << 32 | self.word()

    def word(self) -> int:
        bits = self.bits[self.place : (end := self.place + 32)]
        self.place = end
        return int(bits.ljust(32, self.fill), 2)

    def symbol(self, counts: list[int]) -> int:
        mask = (1 << 64) - 1
        scale = self.range >> 24
        quantile = (self.point - self.lower & mask) // scale
        if quantile >= 1 << 24:
            raise RefusedError("not a code")
        symbol = cum = 0
        while quantile >= cum + counts[symbol]:
            cum += counts[symbol]
            symbol += 1
        self.lower, self.range = self.lower + scale * cum & mask, scale * counts[symbol]
        if self.range < 1 << 32:
            self.lower, self.range = self.lower << 32 & mask, self.range << 32
            self.point = (self.point << 32 | self.word()) & mask
        return symbol


def bits_of(data: bytes) -> str:
    return "".join(f"{byte:08b}" for byte in data)


# Sections 1 to 3: a file taken apart


class File:
    """Header, codes of the fields (a number, a list of coordinates, or None where blank), and the pixels' bits."""

    def __init__(self, data: bytes, layers: Layers) -> None:
        self.data, self.at, self.layers = data, 0, layers
        magic, flags = self.take(2)
        if magic != 0xD7 or flags >> 4 != 1 or flags >> 2 & 3 == 3:
            raise RefusedError("not a single file of version 1")
        self.kind = flags >> 2 & 3
        self.model = self.take(8 if flags & 1 else 1)
        self.width = self.height = 28
        self.look, (self.paper, self.ink) = 0, LOOKS[0]
        if flags & 2:
            self.width, self.height, self.look = self.varint(), self.varint(), self.take(1)[0]
            size = SAMPLE_BYTES.get(self.look, 0)
            self.paper, self.ink = LOOKS.get(self.look) or (self.take(size), self.take(size))
        self.columns = -(-self.width // 28)
        self.fields = -(-self.height // 28) * self.columns
        self.bits = ""
        self.codes = self.latent_section() if self.kind != RAW else []
        self.verify(self.data[: self.at])
        self.whole = True
        if self.kind != LOSSY:
            check, stored = self.take(2), self.data[self.at :]
            self.whole = int.from_bytes(check, "big") == check16(stored)
            self.bits += bits_of(stored)
        elif self.at != len(self.data) or "1" in self.bits:
            raise RefusedError("more follows")

    def take(self, count: int) -> bytes:
        taken = self.data[self.at : self.at + count]
        if len(taken) < count:
            raise RefusedError("too short")
        self.at += count
        return taken

    def varint(self) -> int:
        value = 0
        for shift in range(0, 35, 7):
            (byte,) = self.take(1)
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise RefusedError("no varint")

    def verify(self, before: bytes) -> None:
        if int.from_bytes(self.take(2), "big") != check16(before):
            raise RefusedError("check")

    def latent_section(self) -> list[int | list[int] | None]:
        words = prefix_code(self.layers.arrays["octave_lengths"])
        bits, place, codes = bits_of(self.data[self.at :]), 0, []
        for _ in range(self.fields):
            length = next(n for n in range(1, 16) if bits[place : place + n] in words)
            symbol = words[bits[place : (place := place + length)]]
            if symbol < 30:
                low = bits[place : (place := place + symbol)]
                codes.append((1 << symbol) + int("0" + low, 2))
            else:
                codes.append([] if symbol == 30 else None)
        self.at += -(-place // 8)
        self.bits = bits[place : place + -place % 8]
        if lattice := [index for index, code in enumerate(codes) if code == []]:
            stream = Range(bits_of(self.take(self.varint())))
            for start in range(0, len(lattice), 64):
                self.read_coordinates(stream, [codes[index] for index in lattice[start : start + 64]])
        return codes

    def read_coordinates(self, stream: Range, group: list[list[int]]) -> None:
        lowest = self.layers.arrays["prior.lowest"]
        for i, low in enumerate(lowest):
            for k in group:
                counts = self.layers.latent_counts(k + [0] * (len(lowest) - i), i)
                k.append(low + stream.symbol(counts))

    def inside(self, field: int, row: int, column: int) -> bool:
        return self.place(field, row, column)[0] < self.height and self.place(field, row, column)[1] < self.width

    def place(self, field: int, row: int, column: int) -> tuple[int, int]:
        """Of a field's pixel in the picture."""
        down, across = divmod(field, self.columns)
        return 28 * down + row, 28 * across + column


def prefix_code(lengths: list[int]) -> dict[str, int]:
    """Code word -> symbol: canonical, as in RFC 1951."""
    code, before, words = 0, 0, {}
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths)):
        code <<= length - before
        words[f"{code:0{length}b}"] = symbol
        code, before = code + 1, length
    return words


# Sections 4 to 6: pixels


class Field:
    """One field on its way: its context, the pixels so far, and the layers' values at them."""

    def __init__(self, layers: Layers, number: int, code: int | list[int], seed: int) -> None:
        a, self.layers = layers.arrays, layers
        k = self.sampled(code) if isinstance(code, int) else code
        small = b"".join((value & 0xFFFF).to_bytes(2, "little") for value in k)
        identity = code if isinstance(code, int) else (1 << 32) + zlib.crc32(small)
        self.key = (identity << 24) + number & (1 << 64) - 1, 1 + seed
        self.context = layers.decode([step * value for step, value in zip(a["prior.steps"], k, strict=True)])
        self.number, self.pixels = number, [[[0] for _ in range(28)] for _ in range(28)]
        self.active = [[[[] for _ in range(28)] for _ in range(28)] for _ in range(a["pixels.layers"])]
        self.words: dict[int, list[int]] = {}

    def sampled(self, n: int) -> list[int]:
        """Coordinates by inverse-CDF sampling."""
        a, k = self.layers.arrays, []
        lowest = a["prior.lowest"]
        for i, word in enumerate(codeword(n, len(lowest), a["prior.split"])):
            counts, cum, cell = self.layers.latent_counts(k + [0] * (len(lowest) - i), i), 0, 0
            while word >= cum + counts[cell]:
                cum += counts[cell]
                cell += 1
            k.append(lowest[i] + cell)
        return k

    def logit(self, row: int, column: int) -> int:
        """Given all pixels before it."""
        layers = self.layers
        h = layers.causal("pixels.input", self.pixels, row, column, False)
        h = [one + other for one, other in zip(self.context[row][column], h, strict=True)]
        for i, active in enumerate(self.active):
            active[row][column] = [elu(v) for v in h]
            width = len(h)
            taps = [self.known(active, row - 1, column + d, width) for d in (-1, 0, 1)]
            taps += [self.known(active, row, column - 1, width), active[row][column]]
            inner = layers.affine(f"pixels.blocks.{i}.first", sum(taps, []))
            inner = layers.affine(f"pixels.blocks.{i}.second", [elu(v) for v in inner])
            h = [one + other for one, other in zip(h, inner, strict=True)]
        return layers.affine("pixels.output", [elu(v) for v in h])[0]

    def known(self, active: list, row: int, column: int, width: int) -> list[int]:
        return active[row][column] if 0 <= row < 28 and 0 <= column < 28 else [0] * width

    def word(self, row: int, column: int) -> int:
        number, which = divmod(28 * row + column, 8)
        if number not in self.words:
            self.words[number] = block(number, self.key)
        return self.words[number][which]


def ink_count(logit: int) -> int:
    return max(1, min((1 << 24) - 1, sigmoid24(4 * logit, 12)))


def heated(logit: int, temperature: float) -> int:
    t = round(256 * temperature)
    return 256 * logit // t if t else (1 << 20) * ((logit > 0) - (logit < 0))


class Stored:
    """The pixels' stream, as far as it is known: of a cut one, decoded with zeros behind it and with ones."""

    def __init__(self, file: File) -> None:
        fills = ("0",) if file.whole else ("0", "1")
        self.streams = [Range(file.bits, fill) for fill in fills] if file.kind == LOSSLESS else []

    def pixel(self, ink: int) -> int | None:
        try:
            found = {stream.symbol([(1 << 24) - ink, ink]) for stream in self.streams}
        except RefusedError:
            found = set()
        if len(found) != 1:
            self.streams = []
            return None
        return found.pop()


def decode(data: bytes, layers: Layers, seed: int = 0, temperature: float = 1.0, partial: bool = False) -> dict:
    """A file's picture as golden files have it: shape, look, and bits, eight a byte, in hexadecimal."""
    file = File(data, layers)
    if not file.whole and not partial:
        raise RefusedError("cut")
    picture = [[0] * file.width for _ in range(file.height)]
    if file.kind == RAW:
        for index, bit in enumerate(file.bits[: file.width * file.height]):
            picture[index // file.width][index % file.width] = int(bit)
    stored = Stored(file)
    for start in range(0, len(file.codes), 64):
        coded = [(start + i, code) for i, code in enumerate(file.codes[start : start + 64]) if code is not None]
        group = [Field(layers, number, code, seed) for number, code in coded]
        for row, column in ORDER:
            for field in group:
                pixel(file, field, row, column, stored, temperature, picture)
    text = "".join(str(bit) for line in picture for bit in line)
    packed = int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")
    deep = file.look == 3
    samples = [[int.from_bytes(one, "big")] if deep else [*one] for one in (file.paper, file.ink)]
    return {"shape": [file.height, file.width], "look": [*samples, deep], "bits": packed.hex()}


def pixel(
    file: File, field: Field, row: int, column: int, stored: Stored, temperature: float, picture: list[list[int]]
) -> None:
    """Reads or draws one pixel of a field. Those outside the picture are 0, and the networks see them."""
    logit = field.logit(row, column)
    if file.inside(field.number, row, column):
        value = stored.pixel(ink_count(logit))
        if value is None:
            value = int(field.word(row, column) < ink_count(heated(logit, temperature)))
        field.pixels[row][column] = [value]
        down, across = file.place(field.number, row, column)
        picture[down][across] = value


def check(layers: Layers, case: dict) -> None:
    """Decodes a golden file, and holds it against its picture."""
    options = {key: case[key] for key in ("seed", "temperature", "partial") if key in case}
    assert decode(bytes.fromhex(case["file"]), layers, **options) == case["picture"], case["name"]


def goldens() -> Iterator[tuple[str, Layers, list[dict]]]:
    """Of each model with golden files: its name, its layers, and the files."""
    for path in sorted((HERE / "golden").glob("*.json")):
        model = zoo.load(HERE / path.stem) if path.stem == "tiny" else zoo.named(path.stem)
        yield path.stem, Layers(model.arrays), json.loads(path.read_text())["cases"]


if __name__ == "__main__":
    for name, layers, cases in goldens():
        for case in cases:
            check(layers, case)
        print(f"{name}: {len(cases)} files decode as golden", flush=True)
