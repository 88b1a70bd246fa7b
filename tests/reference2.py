"""A slow reader of files of version 2 of the family raw, written from FORMAT.md, sections 9 and 10, and not from the code.

Streams of LZMA2, WebP and T.6 are left to libraries; everything else is in plain Python. Pixels come as a list of rows, of
lists of pixels, of lists of samples as the geometry has them: of a palette numbers, of a pair bits.
"""

from __future__ import annotations

import io
import lzma
import zlib

from PIL import Image


def crc16(data):
    register = 0xFFFF
    for byte in data:
        register ^= byte << 8
        for _ in range(8):
            register = (register << 1 ^ (0x1021 if register & 0x8000 else 0)) & 0xFFFF
    return register


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def entries(data, at, size):
    count = data[at] + 1
    length, at = varint(data, at + 1)
    if not length:
        stored, at = data[at : at + count * size], at + count * size
        return [list(stored[i : i + size]) for i in range(0, len(stored), size)], at
    steps, values = zlib.decompress(data[at : at + length], -15), []
    for step in steps:
        values.append((step + (values[-1] if values else 0)) % 256)
    return [[values[sample * count + entry] for sample in range(size)] for entry in range(count)], at + length


def read(data):
    """Geometry (a dictionary), metadata (bytes by tag) and pixels."""
    assert data[0] == 0xD7
    assert data[1] & 0xFC == 0x20, "version 2, no model"
    about, at = geometry(data, 3 if data[1] & 1 else 2)
    if data[1] & 1:
        about["reason"] = data[2] & 15
        assert about["reason"] in (1, 2, 3)
        assert data[2] >> 4 == 15 - about["reason"]
    lengths = None
    if data[1] & 2:
        payload, at = varint(data, at)
        said, at = varint(data, at)
        lengths = payload, said
    assert crc16(data[:at]) == int.from_bytes(data[at : at + 2], "big")
    at += 2
    if lengths is None:
        return about, {}, pixels(about, data[at:])
    end = at + lengths[0]
    said = data[end : end + lengths[1]]
    assert data[end + lengths[1] :] == zlib.crc32(said).to_bytes(4, "big")
    return about, metadata(said), pixels(about, data[at:end])


def unexplained(data):
    """The reason of a file of version 1 that says why it is exact, and the file."""
    assert data[:2] == b"\xd7\x2d"
    assert data[2] >> 4 == 15 - (data[2] & 15)
    return data[2] & 15, data[:1] + data[3:]


def geometry(data, at):
    code = data[at]
    width, at = varint(data, at + 1)
    height, at = varint(data, at)
    about = {"kind": ["gray", "rgb", "palette"][code >> 6], "alpha": code >> 5 & 1, "depth": 1 << (code >> 2 & 7)}
    about |= {"width": width, "height": height, "pair": None, "palette": None}
    if about["kind"] == "palette":
        about["palette"], at = entries(data, at, 3 + about["alpha"])
    channels = {"gray": 1, "rgb": 3, "palette": 1}[about["kind"]] + (
        about["alpha"] if about["kind"] != "palette" else 0
    )
    about["channels"] = channels
    top = 65535 if about["depth"] == 16 else 255
    if code & 3 == 1:
        size = 2 if about["depth"] == 16 else 1
        values = [int.from_bytes(data[at + i * size : at + (i + 1) * size], "big") for i in range(2 * channels)]
        about["pair"], at = [values[:channels], values[channels:]], at + 2 * channels * size
    elif code & 3:
        low, high = [0] * channels, [top] * channels
        if about["alpha"] and about["kind"] != "palette":
            low[-1] = top
        if about["kind"] == "palette":
            low, high = [0], [1]
        about["pair"] = [low, high] if code & 3 == 2 else [high, low]
    return about, at


def metadata(said):
    plain = zlib.decompress(said[1:], -15) if said[0] else said[1:]
    items, at = {}, 0
    while at < len(plain):
        length, start = varint(plain, at + 1)
        items[plain[at]], at = plain[start : start + length], start + length
    return items


def pixels(about, payload):
    method, check, data = payload[0], payload[1:5], payload[5:]
    assert check == zlib.crc32(payload[:1] + data).to_bytes(4, "big")
    unused, low_byte, no_alpha, colour = (method >> bit & 1 for bit in (7, 6, 5, 4))
    width, height, depth, channels = about["width"], about["height"], about["depth"], about["channels"]
    indexed, pair = about["kind"] == "palette", about["pair"]
    if pair:
        depth = channels = 1
    if method & 15 == 0:
        assert method == 0
        size = 2 if depth == 16 else 1
        one = [int.from_bytes(data[i * size : (i + 1) * size], "big") for i in range(channels)]
        return [[one] * width for _ in range(height)]
    if not indexed and not pair:
        channels -= 2 * colour + no_alpha
        depth = 8 if low_byte else depth
    at, table = 0, None
    if unused:
        table, at = entries(data, 0, channels * (2 if depth == 16 else 1))
        if depth == 16:
            table = [[entry[i] << 8 | entry[i + 1] for i in range(0, len(entry), 2)] for entry in table]
        channels, depth = 1, next(bits for bits in (1, 2, 4, 8) if len(table) <= 1 << bits)
    if indexed and not pair and colour:
        listed = [entry[0] for entry in table] if table else list(range(len(about["palette"])))
        table = [[listed[i]] for i in near_order([about["palette"][number] for number in listed])]
    values = stream(method & 15, data[at:], width, height, channels, depth)
    if table:
        values = [[table[pixel[0]] for pixel in row] for row in values]
    if indexed or pair:
        return values
    return [[whole(about, pixel, low_byte, no_alpha, colour) for pixel in row] for row in values]


def whole(about, pixel, low_byte, no_alpha, colour):
    depth = about["depth"]
    pixel = [value * 257 for value in pixel] if low_byte else list(pixel)
    if depth < 8:
        pixel = [value * 255 // ((1 << depth) - 1) for value in pixel]
    if no_alpha:
        pixel.append(65535 if depth == 16 else 255)
    return [pixel[0], pixel[0], *pixel] if colour else pixel


def near_order(colours):
    left, last, order = list(range(len(colours))), [0] * len(colours[0]), []
    while left:
        nearest = min(left, key=lambda i: (distance(colours[i], last), i))
        left.remove(nearest)
        order.append(nearest)
        last = colours[nearest]
    return order


def distance(one, other):
    steps = [min((a - b) % 256, (b - a) % 256) for a, b in zip(one, other, strict=True)]
    return sum(9 * step for step in steps[:3]) + sum(steps[3:])


def stream(way, data, width, height, channels, depth):
    """Values [row][pixel][channel]."""
    if way == 6:
        return webp(data, width, height, channels)
    if way in (7, 8):
        return fax(data, width, height, black=1 if way == 7 else 0)
    line = -(-width * channels * depth // 8)
    filters = way in (3, 5)
    if way in (2, 3):
        data = zlib.decompress(data, -15)
    if way in (4, 5):
        size = min(max(height * (line + filters), 1 << 12), 1 << 23)
        data = lzma.decompress(data, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": size}])
    assert len(data) == height * (line + filters)
    lines = [data[i : i + line + filters] for i in range(0, len(data), line + filters)]
    if filters:
        lines = unfiltered(lines, max(1, channels * depth // 8))
    return [unpacked(bytes(row), width, channels, depth) for row in lines]


def unpacked(row, width, channels, depth):
    bits = int.from_bytes(row, "big")
    total, count = 8 * len(row), width * channels
    assert bits & ((1 << total - count * depth) - 1) == 0
    values = [bits >> total - (i + 1) * depth & (1 << depth) - 1 for i in range(count)]
    return [values[i : i + channels] for i in range(0, count, channels)]


def unfiltered(lines, step):
    above, out = [0] * (len(lines[0]) - 1), []
    for line in lines:
        row = []
        for x, value in enumerate(line[1:]):
            left = row[x - step] if x >= step else 0
            up, corner = above[x], above[x - step] if x >= step else 0
            estimate = left + up - corner
            paeth = min((left, up, corner), key=lambda near: abs(estimate - near))  # the first of the nearest
            row.append((value + [0, left, up, (left + up) // 2, paeth][line[0]]) % 256)
        out.append(row)
        above = row
    return out


def webp(data, width, height, channels):
    alpha = channels in (2, 4)
    head = b"\x2f" + (width - 1 | height - 1 << 14 | alpha << 28).to_bytes(4, "little")
    chunk = head + data
    body = b"WEBPVP8L" + len(chunk).to_bytes(4, "little") + chunk + bytes(len(chunk) % 2)
    with Image.open(io.BytesIO(b"RIFF" + len(body).to_bytes(4, "little") + body)) as picture:
        flat = picture.convert("RGBA").tobytes()
    taken = {1: [1], 2: [1, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]
    found = [[flat[i + channel] for channel in taken] for i in range(0, len(flat), 4)]
    return [found[i : i + width] for i in range(0, len(found), width)]


# ITU-T T.6: runs have the codes of T.4, tables 2 and 3


_WHITE = (
    "00110101 000111 0111 1000 1011 1100 1110 1111 10011 10100 00111 01000 001000 000011 110100 110101 101010 101011 "
    "0100111 0001100 0001000 0010111 0000011 0000100 0101000 0101011 0010011 0100100 0011000 00000010 00000011 00011010 "
    "00011011 00010010 00010011 00010100 00010101 00010110 00010111 00101000 00101001 00101010 00101011 00101100 00101101 "
    "00000100 00000101 00001010 00001011 01010010 01010011 01010100 01010101 00100100 00100101 01011000 01011001 01011010 "
    "01011011 01001010 01001011 00110010 00110011 00110100"
)
_BLACK = (
    "0000110111 010 11 10 011 0011 0010 00011 000101 000100 0000100 0000101 0000111 00000100 00000111 000011000 "
    "0000010111 0000011000 0000001000 00001100111 00001101000 00001101100 00000110111 00000101000 00000010111 "
    "00000011000 000011001010 000011001011 000011001100 000011001101 000001101000 000001101001 000001101010 "
    "000001101011 000011010010 000011010011 000011010100 000011010101 000011010110 000011010111 000001101100 "
    "000001101101 000011011010 000011011011 000001010100 000001010101 000001010110 000001010111 000001100100 "
    "000001100101 000001010010 000001010011 000000100100 000000110111 000000111000 000000100111 000000101000 "
    "000001011000 000001011001 000000101011 000000101100 000001011010 000001100110 000001100111"
)
_RUNS = [
    {code: run for run, code in enumerate(codes.split())} for codes in (_WHITE, _BLACK)
]  # up to 63: enough for tests
_MODES = {"0001": "pass", "001": "across", "1": 0, "011": 1, "000011": 2, "0000011": 3, "010": -1, "000010": -2}
_MODES["0000010"] = -3


def fax(data, width, height, black):
    """Pictures of at most 63 pixels a row."""
    assert width < 64
    bits = iter("".join(f"{byte:08b}" for byte in data) + "0" * 64)

    def symbol(codes):
        word = ""
        while word not in codes:
            word += next(bits)
        return codes[word]

    above, rows = [0] * width, []
    for _ in range(height):
        row, colour, start = [], 0, True
        while len(row) < width:
            at = len(row)  # the place of a0, which begins just before the first pixel
            edges = [x for x in range(0 if start else at + 1, width) if above[x] != (above[x - 1] if x else 0)]
            first = next((x for x in edges if above[x] != colour), width)
            second = next((x for x in range(first + 1, width) if above[x] == colour), width)
            mode = symbol(_MODES)
            if mode == "pass":
                row += [colour] * (second - at)
            elif mode == "across":
                row += [colour] * symbol(_RUNS[colour])
                row += [1 - colour] * symbol(_RUNS[1 - colour])
            else:
                row += [colour] * (first + mode - at)
                colour = 1 - colour
            start = start and not row
        rows.append(row)
        above = row
    return [[[1 - value if black == 0 else value] for value in row] for row in rows]
