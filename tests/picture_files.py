"""Small picture files, written by hand from the formats' own definitions, so that what reads them is judged by none of it.

`every_file` gives files of every format that lossless trusts, at every depth and kind of colour, and what their pixels are:
two colours each. `of_many_colours` gives the same of photographs; JPEG and WebP are written by Pillow.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 21, 9  # a width that fills up no byte
_SHAPE = np.random.default_rng(7).random((HEIGHT, WIDTH)) < 0.3
_SHAPE[0, 0], _SHAPE[-1, -1] = True, False


class PictureFile(NamedTuple):
    """A file of a format, its depth and kind of colour; `truth`: colours (H, W, C), C = 1 gray, 3 RGB, 4 RGBA."""

    format: str
    depth: str
    kind: str
    data: bytes
    truth: np.ndarray

    @property
    def title(self) -> str:
        return f"{self.format}, {self.depth}, {self.kind}"


def _pair(one, other, dtype=np.uint8):
    """The picture whose pixels are `other` where the shape is, else `one`: (H, W, C)."""
    return np.array([np.atleast_1d(one), np.atleast_1d(other)], dtype)[_SHAPE.astype(int)]


def _indices(zero=0, one=1):
    return np.where(_SHAPE, one, zero).astype(np.uint8)


def _packed(values, bits, least_first=False):
    """Rows of samples below 2^bits, packed into bytes."""
    planes = (values[..., None].astype(int) >> np.arange(bits)[::-1] & 1).reshape(len(values), -1).astype(np.uint8)
    return np.packbits(planes, axis=1, bitorder="little" if least_first else "big").tobytes()


def _rows(data, height=HEIGHT):
    size = len(data) // height
    return [data[i * size : (i + 1) * size] for i in range(height)]


# PNG


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(depth, colour, rows, extra=b"", size=(WIDTH, HEIGHT), before=b"", interlaced=0):
    """A PNG of rows of bytes without filters."""
    head = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlaced)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", head)
        + before
        + extra
        + png_chunk(b"IDAT", data)
        + png_chunk(b"IEND", b"")
    )


def _adam7(values, bits):
    """The rows of an interlaced PNG of samples (H, W)."""
    starts = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    for left, top, across, down in starts:
        part = values[top::down, left::across]
        if part.size:
            yield from _rows(_packed(part, bits), len(part))


def _png_files() -> Iterator[PictureFile]:
    for depth in (1, 2, 4, 8, 16):
        top, full = (1 << depth) - 1, 0xFFFF if depth == 16 else 0xFF
        dtype = ">u2" if depth == 16 else np.uint8

        def packed(values, depth=depth):
            return _rows(_packed(values, depth))

        for low, high in ((0, top), (top, 0), *([(1, 2)] if depth > 1 else [])):
            levels = np.where(_SHAPE, high, low)
            scaled = _pair(low * full // top, high * full // top, np.uint16 if depth == 16 else np.uint8)
            yield PictureFile("PNG", str(depth), f"gray {low} and {high}", png(depth, 0, packed(levels)), scaled)
            if low == 0:
                data = png(depth, 0, _adam7(levels, depth), interlaced=1)
                yield PictureFile("PNG", str(depth), "gray, interlaced", data, scaled)
                clear = png_chunk(b"tRNS", struct.pack(">H", high))
                truth = _pair([0, 0, 0, 255], [high * 255 // top] * 3 + [0])
                data = png(depth, 0, packed(levels), clear)
                yield PictureFile("PNG", str(depth), "gray, one level transparent", data, truth)
        if depth < 16:
            for entries, clear in (
                (([10, 20, 30], [200, 100, 0]), ()),
                (([0, 0, 0], [255, 255, 255]), ()),
                (([255, 255, 255], [0, 0, 0]), ()),
                (([9, 9, 9], [255, 0, 0]), (77,)),
            ):
                before = png_chunk(b"PLTE", bytes(sum(entries, [])))
                extra = png_chunk(b"tRNS", bytes(clear)) if clear else b""
                truth = _pair(*entries)
                if clear:
                    truth = _pair([*entries[0], clear[0]], [*entries[1], 255])
                kind = f"palette {entries[0]} {entries[1]}" + ", transparent" * bool(clear)
                data = png(depth, 3, packed(_indices()), extra, before=before)
                yield PictureFile("PNG", str(depth), kind, data, truth)
        if depth >= 8:
            scale = 257 if depth == 16 else 1
            for colour, kind, pair in (
                (2, "RGB", ([1, 2, 3], [250, 0, 9])),
                (4, "gray and alpha", ([7, 255], [200, 40])),
                (6, "RGBA", ([1, 2, 3, 255], [250, 0, 9, 33])),
            ):
                rows = _rows((_pair(*pair, dtype=np.uint16) * scale).astype(dtype).tobytes())
                truth = _pair(*([*one[:1] * 3, one[1]] if colour == 4 else one for one in pair))
                yield PictureFile("PNG", str(depth), kind, png(depth, colour, rows), truth)
            if depth == 16:
                rows = _rows(_pair([0x0102, 3, 4], [0x0103, 3, 4], np.uint16).astype(">u2").tobytes())
                truth = _pair([0x0102, 3, 4], [0x0103, 3, 4], np.uint16)
                yield PictureFile("PNG", "16", "RGB that 8 bits do not tell apart", png(16, 2, rows), truth)
            else:
                rows = _rows(_pair([1, 2, 3], [250, 0, 9]).tobytes())
                clear = png_chunk(b"tRNS", struct.pack(">HHH", 250, 0, 9))
                truth = _pair([1, 2, 3, 255], [250, 0, 9, 0])
                yield PictureFile("PNG", "8", "RGB, one colour transparent", png(8, 2, rows, clear), truth)


# TIFF


def tiff(tags, data, order="<"):
    """A TIFF of one strip; `tags`: number -> (type 3 or 4, values)."""
    tags = {256: (4, [WIDTH]), 257: (4, [HEIGHT]), 259: (3, [1]), 278: (4, [HEIGHT]), **tags}
    tags |= {273: (4, [8]), 279: (4, [len(data)])}
    at, body, rows = 8 + len(data) + len(data) % 2, b"", []
    start = at
    extra_at = start + 2 + 12 * len(tags) + 4
    for number, (kind, values) in sorted(tags.items()):
        stored = struct.pack(f"{order}{len(values)}{'HI'[kind - 3]}", *values)
        if len(stored) > 4:
            field = struct.pack(f"{order}I", extra_at + len(body))
            body += stored
        else:
            field = stored.ljust(4, b"\0")
        rows.append(struct.pack(f"{order}HHI", number, kind, len(values)) + field)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", start)
    return (
        head + data + b"\0" * (len(data) % 2) + struct.pack(f"{order}H", len(rows)) + b"".join(rows) + bytes(4) + body
    )


def _tiff_files() -> Iterator[PictureFile]:
    for order, ends in (("<", "little-endian"), (">", "big-endian")):
        for depth in (1, 2, 4, 8, 16):
            top = (1 << depth) - 1
            full = 0xFFFF if depth == 16 else 0xFF
            truth = _pair(0, full, np.uint16 if depth == 16 else np.uint8)
            for white_is, name in ((0, "0 is white"), (1, "0 is black")):
                for fill in (1, 2) if depth == 1 else (1,):
                    levels = np.where(_SHAPE, top, 0) if white_is else np.where(_SHAPE, 0, top)
                    data = (
                        levels.astype(f"{order}u2").tobytes()
                        if depth == 16
                        else _packed(levels, depth, least_first=fill == 2)
                    )
                    base = {258: (3, [depth]), 262: (3, [white_is]), 277: (3, [1]), 266: (3, [fill])}
                    kind = f"gray, {name}, {ends}" + ", least bit first" * (fill == 2)
                    yield PictureFile("TIFF", str(depth), kind, tiff(base, data, order), truth)
                    if depth in (8, 16) or fill == 1:
                        packed = zlib.compress(data)
                        kind += ", deflate"
                        yield PictureFile("TIFF", str(depth), kind, tiff({**base, 259: (3, [8])}, packed, order), truth)
        for depth in (1, 2, 4, 8):
            palette = [0] * (3 << depth)
            for index, entry in enumerate(([10, 20, 30], [200, 100, 0])):
                for channel in range(3):
                    palette[(channel << depth) + index] = entry[channel] * 257
            base = {258: (3, [depth]), 262: (3, [3]), 277: (3, [1]), 320: (3, palette)}
            data, truth = _packed(_indices(), depth), _pair([10, 20, 30], [200, 100, 0])
            yield PictureFile("TIFF", str(depth), f"palette, {ends}", tiff(base, data, order), truth)
        for depth, scale, dtype in ((8, 1, np.uint8), (16, 257, f"{order}u2")):
            for kind, photometric, extra, pair in (
                ("RGB", 2, [], ([1, 2, 3], [250, 0, 9])),
                ("RGBA", 2, [2], ([1, 2, 3, 255], [250, 0, 9, 33])),
                ("gray and alpha", 1, [2], ([7, 255], [200, 40])),
                ("white-is-0 gray and alpha", 0, [2], ([7, 255], [200, 40])),
            ):
                values = _pair(*pair, dtype=np.uint16) * scale
                stored = values.copy()
                if photometric == 0:
                    stored[..., 0] = 255 * scale - stored[..., 0]
                channels = len(pair[0])
                base = {258: (3, [depth] * channels), 262: (3, [photometric]), 277: (3, [channels])}
                if extra:
                    base[338] = (3, extra)
                truth = _pair(*([*one[:1] * 3, one[1]] if channels == 2 else one for one in pair))
                data = tiff(base, stored.astype(dtype).tobytes(), order)
                yield PictureFile("TIFF", str(depth), f"{kind}, {ends}", data, truth)
                planes = b"".join(stored[..., i].astype(dtype).tobytes() for i in range(channels))
                size = len(planes) // channels
                separate = _tiff_planes(base, planes, size, channels, order)
                yield PictureFile("TIFF", str(depth), f"{kind}, {ends}, in planes", separate, truth)
        signed = {258: (3, [16]), 262: (3, [1]), 277: (3, [1]), 339: (3, [2])}
        data = np.where(_SHAPE, -5, 100).astype(f"{order}i2").tobytes()
        truth = _pair(100, -5, np.int64)
        yield PictureFile("TIFF", "16", f"signed gray, {ends}", tiff(signed, data, order), truth)
        float32 = {258: (3, [32]), 262: (3, [1]), 277: (3, [1]), 339: (3, [3])}
        data = np.where(_SHAPE, 1.0, 0.0).astype(f"{order}f4").tobytes()
        yield PictureFile("TIFF", "32", f"float, {ends}", tiff(float32, data, order), _pair(0, 1, np.int64))
        deep = {258: (3, [32]), 262: (3, [1]), 277: (3, [1]), 339: (3, [1])}
        data = np.where(_SHAPE, 1 << 31, 70000).astype(f"{order}u4").tobytes()
        yield PictureFile("TIFF", "32", f"gray, {ends}", tiff(deep, data, order), _pair(70000, 1 << 31, np.int64))


def _tiff_planes(tags, data, size, channels, order):
    tags = {**tags, 284: (3, [2]), 273: (4, [8 + i * size for i in range(channels)]), 279: (4, [size] * channels)}
    return _tiff_of(tags, data, order)


def _tiff_of(tags, data, order):
    strips, lengths = tags.pop(273), tags.pop(279)
    whole = tiff({**tags, 60000: (4, strips[1]), 60001: (4, lengths[1])}, data, order)
    return _as_tags(whole, order, {60000: 273, 60001: 279})


def _as_tags(data, order, renamed):
    """The file with those tags instead of the ones of that number, in order."""
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, at)
    rows = [data[at + 2 + 12 * i : at + 14 + 12 * i] for i in range(count)]
    rows = [row for row in rows if struct.unpack_from(f"{order}H", row)[0] not in renamed.values()]
    new = []
    for row in rows:
        (number,) = struct.unpack_from(f"{order}H", row)
        new.append(struct.pack(f"{order}H", renamed.get(number, number)) + row[2:])
    new.sort(key=lambda row: struct.unpack_from(f"{order}H", row)[0])
    table = struct.pack(f"{order}H", len(new)) + b"".join(new)
    return data[:at] + table.ljust(2 + 12 * count, b"\0") + data[at + 2 + 12 * count :]


# BMP


def bmp(bits, rows, palette=(), compression=0, masks=b"", top_down=False, header=40):
    """A BMP of rows of bytes, from the top."""
    padded = [row + bytes(-len(row) % 4) for row in rows]
    data = b"".join(padded if top_down else padded[::-1])
    return bmp_of(bits, data, palette, compression, masks, top_down, header)


def bmp_of(bits, data, palette=(), compression=0, masks=b"", top_down=False, header=40):
    entries = b"".join(bytes([b, g, r, 0][: 3 if header == 12 else 4]) for r, g, b in palette)
    if header == 12:
        info = struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, bits)
    else:
        height = -HEIGHT if top_down else HEIGHT
        info = struct.pack(
            "<IiiHHIIiiII", header, WIDTH, height, 1, bits, compression, len(data), 2835, 2835, len(palette), 0
        )
        if header > 40:
            info += masks + bytes(header - 40 - len(masks))
            masks = b""
    at = 14 + len(info) + len(masks) + len(entries)
    return struct.pack("<2sIHHI", b"BM", at + len(data), 0, 0, at) + info + masks + entries + data


def _rle(values, absolute=False):
    out = b""
    for row in values[::-1].tolist():
        if absolute:
            out += bytes([0, len(row), *row]) + bytes(len(row) % 2)
        else:
            out += b"".join(bytes([1, value]) for value in row)
        out += b"\0\0"
    return out + b"\0\1"


def _bmp_files() -> Iterator[PictureFile]:
    colours = [10, 20, 30], [200, 100, 0]
    for bits in (1, 4, 8):
        rows = _rows(_packed(_indices(), bits))
        for palette, kind in (
            (colours, "palette"),
            (([0] * 3, [255] * 3), "palette, black and white"),
            (([255] * 3, [0] * 3), "palette, white and black"),
        ):
            yield PictureFile("BMP", str(bits), kind, bmp(bits, rows, palette), _pair(*palette))
        yield PictureFile(
            "BMP", str(bits), "palette, from the top", bmp(bits, rows, colours, top_down=True), _pair(*colours)
        )
        full = [*colours, *[[0, 0, 0]] * ((1 << bits) - 2)]
        yield PictureFile("BMP", str(bits), "palette, OS/2", bmp(bits, rows, full, header=12), _pair(*colours))
    for absolute in (False, True):
        data = bmp_of(8, _rle(_indices(), absolute), colours, compression=1)
        yield PictureFile("BMP", "8", "palette, run lengths" + ", absolute" * absolute, data, _pair(*colours))
    rgb = [1, 2, 3], [250, 0, 9]
    bgr = _pair(rgb[0][::-1], rgb[1][::-1])
    yield PictureFile("BMP", "24", "RGB", bmp(24, _rows(bgr.tobytes())), _pair(*rgb))
    yield PictureFile("BMP", "24", "RGB, from the top", bmp(24, _rows(bgr.tobytes()), top_down=True), _pair(*rgb))
    unused = _pair([*rgb[0][::-1], 0], [*rgb[1][::-1], 0])
    yield PictureFile("BMP", "32", "RGB", bmp(32, _rows(unused.tobytes())), _pair(*rgb))
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    alpha = _pair([*rgb[0][::-1], 255], [*rgb[1][::-1], 33])
    data = bmp(32, _rows(alpha.tobytes()), compression=3, masks=masks, header=108)
    yield PictureFile("BMP", "32", "RGBA, masks", data, _pair([*rgb[0], 255], [*rgb[1], 33]))
    for name, masks16, shifts in (("555", None, (10, 5, 0)), ("565", (0xF800, 0x7E0, 0x1F), (11, 5, 0))):
        low, high = (3, 9, 21), (31, 0, 30)
        pixel = [sum(value << shift for value, shift in zip(one, shifts, strict=True)) for one in (low, high)]
        data = _pair(*pixel, dtype="<u2").tobytes()
        green = 6 if name == "565" else 5
        truth = _pair(
            *([round(v * 255 / ((1 << n) - 1)) for v, n in zip(one, (5, green, 5), strict=True)] for one in (low, high))
        )
        made = bmp(
            16, _rows(data), compression=3 * bool(masks16), masks=struct.pack("<III", *masks16) if masks16 else b""
        )
        yield PictureFile("BMP", "16", f"RGB {name}", made, truth)


# Netpbm


def _netpbm_files() -> Iterator[PictureFile]:
    head = f"{WIDTH} {HEIGHT}\n"
    ink = _indices().tolist()
    plain = "".join(" ".join(map(str, row)) + "\n" for row in ink)
    white = _pair(255, 0)
    yield PictureFile("PBM", "1", "plain", f"P1\n{head}{plain}".encode(), white)
    yield PictureFile("PBM", "1", "raw", f"P4\n{head}".encode() + _packed(_indices(), 1), white)
    for top in (1, 15, 255, 1000, 65535):
        full = 65535 if top > 255 else 255
        dtype = np.uint16 if top > 255 else np.uint8
        stored = ">u2" if top > 255 else np.uint8
        values = _pair(0, top, np.uint16)[..., 0]
        text = "".join(" ".join(map(str, row)) + "\n" for row in values.tolist())
        yield PictureFile("PGM", str(top), "plain", f"P2\n{head}{top}\n{text}".encode(), _pair(0, full, dtype))
        data = f"P5\n{head}{top}\n".encode() + values.astype(stored).tobytes()
        yield PictureFile("PGM", str(top), "raw", data, _pair(0, full, dtype))
        rgb = _pair([0, 0, 0], [top, 0, top], np.uint16)
        truth = _pair([0, 0, 0], [255, 0, 255])
        text = "".join(" ".join(map(str, row)) + "\n" for row in rgb.reshape(HEIGHT, -1).tolist())
        yield PictureFile("PPM", str(top), "plain", f"P3\n{head}{top}\n{text}".encode(), truth)
        yield PictureFile("PPM", str(top), "raw", f"P6\n{head}{top}\n".encode() + rgb.astype(stored).tobytes(), truth)


# PCX, TGA, XBM, MSP, QOI, GIF


def _pcx(bits, planes, rows, palette16=bytes(48), palette256=b"", version=5):
    """Rows of bytes, one after the other of all planes."""
    stride = len(rows[0]) // planes + len(rows[0]) // planes % 2
    head = struct.pack(
        "<BBBB6H48sBBHH", 10, version, 1, bits, 0, 0, WIDTH - 1, HEIGHT - 1, 72, 72, palette16, 0, planes, stride, 1
    ).ljust(128, b"\0")
    size, data = len(rows[0]) // planes, b""
    for row in rows:
        for plane in range(planes):
            line = row[plane * size : (plane + 1) * size].ljust(stride, b"\0")
            data += b"".join(bytes([0xC1, byte]) if byte >= 0xC0 else bytes([byte]) for byte in line)
    return head + data + palette256


def _pcx_files() -> Iterator[PictureFile]:
    rows = _rows(_packed(_indices(), 1))
    black_white = bytes([0, 0, 0, 255, 255, 255]).ljust(48, b"\0")
    yield PictureFile("PCX", "1", "black and white", _pcx(1, 1, rows, black_white), _pair(0, 255))
    white_black = bytes([255, 255, 255, 0, 0, 0]).ljust(48, b"\0")
    yield PictureFile("PCX", "1", "white and black", _pcx(1, 1, rows, white_black), _pair(255, 0))
    colours = bytes([10, 20, 30, 200, 100, 0]).ljust(48, b"\0")
    yield PictureFile("PCX", "1", "two colours", _pcx(1, 1, rows, colours), _pair([10, 20, 30], [200, 100, 0]))
    planes = [a + bytes(len(a)) * 3 for a in rows]
    yield PictureFile(
        "PCX", "4", "planes of a palette", _pcx(1, 4, planes, colours), _pair([10, 20, 30], [200, 100, 0])
    )
    packed = _rows(_packed(_indices(), 4))
    yield PictureFile("PCX", "4", "palette", _pcx(4, 1, packed, colours), _pair([10, 20, 30], [200, 100, 0]))
    rows8 = _rows(_indices().tobytes())
    palette = b"\x0c" + bytes([10, 20, 30, 200, 100, 0]).ljust(768, b"\0")
    yield PictureFile("PCX", "8", "palette", _pcx(8, 1, rows8, palette256=palette), _pair([10, 20, 30], [200, 100, 0]))
    gray = b"\x0c" + bytes(value for level in range(256) for value in [level] * 3)
    rows = _rows(_indices(7, 200).tobytes())
    yield PictureFile("PCX", "8", "gray palette", _pcx(8, 1, rows, palette256=gray), _pair(7, 200))
    rgb = _pair([1, 2, 3], [250, 0, 9])
    rows = [b"".join(rgb[r, :, c].tobytes() for c in range(3)) for r in range(HEIGHT)]
    yield PictureFile("PCX", "24", "RGB", _pcx(8, 3, rows), rgb)


def _tga(kind, bits, data, palette=(), origin=0x20, alpha=0):
    entries = b"".join(bytes([b, g, r]) for r, g, b in palette)
    head = struct.pack(
        "<BBBHHBHHHHBB",
        0,
        bool(palette),
        kind,
        0,
        len(palette),
        24 if palette else 0,
        0,
        0,
        WIDTH,
        HEIGHT,
        bits,
        origin | alpha,
    )
    return head + entries + data


def _tga_runs(values):
    """Packets of one pixel each, (H, W, bytes)."""
    return b"".join(b"\x80" + bytes(pixel) for row in values.tolist() for pixel in row)


def _tga_files() -> Iterator[PictureFile]:
    colours = [10, 20, 30], [200, 100, 0]
    rgb = [1, 2, 3], [250, 0, 9]
    for origin, where in (
        (0x20, "from the top"),
        (0, "from the bottom"),
        (0x30, "from the right"),
        (0x10, "from below right"),
    ):

        def turned(values, origin=origin):
            values = values if origin & 0x20 else values[::-1]
            return values[:, ::-1] if origin & 0x10 else values

        indices = turned(_indices()[..., None])
        gray = turned(_pair(7, 200))
        bgr = turned(_pair(rgb[0][::-1], rgb[1][::-1]))
        bgra = turned(_pair([*rgb[0][::-1], 255], [*rgb[1][::-1], 33]))
        with_alpha = _pair([*rgb[0], 255], [*rgb[1], 33])
        for runs, how in ((0, ""), (8, ", run lengths")):
            data = _tga_runs if runs else np.ndarray.tobytes
            yield PictureFile(
                "TGA", "8", f"palette, {where}{how}", _tga(1 + runs, 8, data(indices), colours, origin), _pair(*colours)
            )
            yield PictureFile(
                "TGA", "8", f"gray, {where}{how}", _tga(3 + runs, 8, data(gray), origin=origin), _pair(7, 200)
            )
            yield PictureFile(
                "TGA", "24", f"RGB, {where}{how}", _tga(2 + runs, 24, data(bgr), origin=origin), _pair(*rgb)
            )
            yield PictureFile(
                "TGA", "32", f"RGBA, {where}{how}", _tga(2 + runs, 32, data(bgra), origin=origin, alpha=8), with_alpha
            )
    low, high = (3, 9, 21), (31, 0, 30)
    pixel = [r << 10 | g << 5 | b for r, g, b in (low, high)]
    truth = _pair(*([round(v * 255 / 31) for v in one] for one in (low, high)))
    yield PictureFile("TGA", "16", "RGB", _tga(2, 16, _pair(*pixel, dtype="<u2").tobytes()), truth)
    one_bit = _tga(3, 1, _packed(_indices(), 1))
    yield PictureFile("TGA", "1", "gray", one_bit, _pair(0, 255))


def _xbm_files() -> Iterator[PictureFile]:
    data = _packed(_indices(), 1, least_first=True)
    text = ", ".join(f"0x{byte:02x}" for byte in data)
    head = f"#define p_width {WIDTH}\n#define p_height {HEIGHT}\nstatic unsigned char p_bits[] = {{\n"
    yield PictureFile("XBM", "1", "black and white", f"{head}{text}}};\n".encode(), _pair(255, 0))


def _msp_files() -> Iterator[PictureFile]:
    for magic, kind in ((b"DanM", "as it is"), (b"LinS", "run lengths")):
        head = bytearray(magic + struct.pack("<12H", WIDTH, HEIGHT, 1, 1, 1, 1, WIDTH, HEIGHT, 0, 0, 0, 0) + bytes(4))
        check = 0
        for value in struct.unpack("<16H", head):
            check ^= value
        struct.pack_into("<H", head, 24, check)
        rows = _rows(_packed(_indices(), 1))
        if magic == b"DanM":
            data = b"".join(rows)
        else:
            coded = [bytes([len(row)]) + row for row in rows]
            data = struct.pack(f"<{HEIGHT}H", *map(len, coded)) + b"".join(coded)
        yield PictureFile("MSP", "1", kind, bytes(head) + data, _pair(0, 255))


def _qoi_files() -> Iterator[PictureFile]:
    for channels, pair in ((3, ([1, 2, 3], [250, 0, 9])), (4, ([1, 2, 3, 255], [250, 0, 9, 33]))):
        tag = b"\xfe" if channels == 3 else b"\xff"
        pixels = b"".join(tag + bytes(pixel) for pixel in _pair(*pair).reshape(-1, channels).tolist())
        data = b"qoif" + struct.pack(">IIBB", WIDTH, HEIGHT, channels, 0) + pixels + bytes(7) + b"\1"
        yield PictureFile("QOI", str(8 * channels), "RGB" + "A" * (channels == 4), data, _pair(*pair))


def gif(values, palette, clear=None, frames=1):
    """A GIF of indices below 4, in codes that never grow: a clear code after each two."""
    codes = []
    for start in range(0, values.size, 2):
        codes += [4, *values.ravel()[start : start + 2].tolist()]
    codes.append(5)
    bits = "".join(f"{code:03b}"[::-1] for code in codes)
    data = bytes(int(bits[i : i + 8].ljust(8, "0")[::-1], 2) for i in range(0, len(bits), 8))
    blocks = b"".join(bytes([len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255)) + b"\0"
    height, width = values.shape
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x81, 0, 0)
    entries = b"".join(map(bytes, palette)).ljust(12, b"\0")
    control = b"" if clear is None else bytes([0x21, 0xF9, 4, 1, 0, 0, clear, 0])
    frame = control + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\2" + blocks
    return head + entries + frame * frames + b";"


def _gif_files() -> Iterator[PictureFile]:
    colours = [10, 20, 30], [200, 100, 0]
    yield PictureFile("GIF", "2", "palette", gif(_indices(), colours), _pair(*colours))
    for pair in (([0] * 3, [255] * 3), ([255] * 3, [0] * 3)):
        yield PictureFile("GIF", "2", f"gray {pair[0][0]} and {pair[1][0]}", gif(_indices(), pair), _pair(*pair))
    truth = _pair([*colours[0], 255], [*colours[1], 0])
    yield PictureFile("GIF", "2", "palette, one colour transparent", gif(_indices(), colours, clear=1), truth)


# Many colours


def _many(channels, top):
    """Levels 0 to `top`, (H, W, C), the first of all channels the top."""
    levels = np.random.default_rng(8).integers(0, top + 1, (HEIGHT, WIDTH, channels))
    levels[0, 0] = top
    return levels


def _rgba_of(levels):
    """Gray and opacity as RGBA, else the same."""
    return levels[..., [0, 0, 0, 1]] if levels.shape[2] == 2 else levels


_OTHER = np.empty(0)
"""The truth of what no raster holds exactly."""


def _many_in_png() -> Iterator[PictureFile]:
    for depth in (2, 4, 8, 16):
        top, stored = (1 << depth) - 1, np.uint16 if depth == 16 else np.uint8
        levels = _many(1, top)
        truth = (levels * (1 if depth >= 8 else 255 // top)).astype(stored)
        rows = _rows(_packed(levels[..., 0], depth))
        yield PictureFile("PNG", str(depth), "gray, many levels", png(depth, 0, rows), truth)
        if depth < 16:
            entries = np.random.default_rng(9).integers(0, 256, (top + 1, 3)).astype(np.uint8)
            data = png(depth, 3, rows, before=png_chunk(b"PLTE", entries.tobytes()))
            yield PictureFile("PNG", str(depth), "palette, many colours", data, entries[levels[..., 0]])
        for colour, kind, channels in ((2, "RGB", 3), (4, "gray and alpha", 2), (6, "RGBA", 4)) if depth >= 8 else ():
            levels = _many(channels, top)
            rows = _rows(levels.astype(">u2" if depth == 16 else np.uint8).tobytes())
            truth = _rgba_of(levels).astype(stored)
            yield PictureFile("PNG", str(depth), f"{kind}, many colours", png(depth, colour, rows), truth)


def _many_in_tiff() -> Iterator[PictureFile]:
    for depth in (2, 4, 8, 16, 32):
        top = (1 << min(depth, 16)) - 1
        levels = _many(1, top)
        dtype = {16: "<u2", 32: "<u4"}.get(depth)
        data = levels.astype(dtype).tobytes() if dtype else _packed(levels[..., 0], depth)
        truth = (levels * (1 if depth >= 8 else 255 // top)).astype(np.uint16 if dtype else np.uint8)
        kind = "gray, many levels" + ", none above 65535" * (depth == 32)
        yield PictureFile("TIFF", str(depth), kind, tiff(_tiff_tags(depth, 1, 1), data), truth)
    for depth, kind, photometric, channels in (
        (8, "RGB", 2, 3),
        (8, "RGBA", 2, 4),
        (8, "gray and alpha", 1, 2),
        (16, "RGB", 2, 3),
        (16, "RGBA", 2, 4),
        (8, "CMYK", 5, 4),
        (8, "YCbCr", 6, 3),
        (8, "LAB", 8, 3),
    ):
        levels, dtype = _many(channels, (1 << depth) - 1), np.uint8 if depth == 8 else np.uint16
        tags = _tiff_tags(depth, photometric, channels) | ({530: (3, [1, 1])} if photometric == 6 else {})
        tags |= {338: (3, [2])} if kind in ("RGBA", "gray and alpha") else {}
        truth = _rgba_of(levels).astype(dtype) if photometric <= 2 else _OTHER
        data = tiff(tags, levels.astype(dtype).tobytes())
        yield PictureFile("TIFF", str(depth), f"{kind}, many colours", data, truth)


def _tiff_tags(depth, photometric, channels):
    return {258: (3, [depth] * channels), 262: (3, [photometric]), 277: (3, [channels])}


def _many_elsewhere() -> Iterator[PictureFile]:
    rgb = _many(3, 255).astype(np.uint8)
    yield PictureFile(
        "BMP", "2", "palette, many colours", bmp(2, _rows(_packed(rgb[..., 0] >> 6, 2)), rgb[0, :4]), _OTHER
    )
    yield PictureFile("BMP", "24", "RGB, many colours", bmp(24, _rows(rgb[..., ::-1].tobytes())), rgb)
    for top in (15, 255, 1000, 65535):
        for magic, kind, channels in (("P5", "PGM", 1), ("P6", "PPM", 3)):
            levels, dtype = _many(channels, top), ">u2" if top > 255 else np.uint8
            data = f"{magic}\n{WIDTH} {HEIGHT}\n{top}\n".encode() + levels.astype(dtype).tobytes()
            full = 65535 if top > 255 else 255
            truth = (levels * full // top).astype(np.uint16 if top > 255 else np.uint8)
            yield PictureFile(kind, str(top), "many levels", data, truth)
    yield PictureFile("TGA", "24", "RGB, many colours", _tga(2, 24, rgb[..., ::-1].tobytes()), rgb)
    entries = [[1, 2, 3], [250, 0, 9], [30, 40, 50], [7, 7, 7]]
    indices = _many(1, 3)[..., 0].astype(np.uint8)
    yield PictureFile("GIF", "2", "palette, four colours", gif(indices, entries), np.array(entries, np.uint8)[indices])


def _many_by_pillow() -> Iterator[PictureFile]:
    rgb, alpha = _many(3, 255).astype(np.uint8), _many(1, 255).astype(np.uint8)
    for kind, colour, pixels, options in (
        ("JPEG", "gray", alpha[..., 0], {}),
        ("JPEG", "RGB", rgb, {}),
        ("WEBP", "RGB", rgb, {"lossless": True}),
        ("WEBP", "RGBA", np.concatenate([rgb, alpha], axis=2), {"lossless": True, "exact": True}),
        ("WEBP", "RGB, lossy", rgb, {}),
    ):
        data = _saved(Image.fromarray(pixels), kind, **options)
        with Image.open(io.BytesIO(data)) as found:
            truth = np.asarray(found)
        yield PictureFile(kind, "8", f"{colour}, many colours", data, truth if truth.ndim == 3 else truth[..., None])
    yield PictureFile("JPEG", "8", "CMYK, many colours", _saved(Image.fromarray(rgb).convert("CMYK"), "JPEG"), _OTHER)


def _saved(picture, kind, **options):
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def of_many_colours() -> Iterator[PictureFile]:
    """Photographs of every kind."""
    for files in (_many_in_png, _many_in_tiff, _many_elsewhere, _many_by_pillow):
        yield from files()


def every_file() -> Iterator[PictureFile]:
    """All of them in two colours."""
    for files in (
        _png_files,
        _tiff_files,
        _bmp_files,
        _netpbm_files,
        _pcx_files,
        _tga_files,
        _xbm_files,
        _msp_files,
        _qoi_files,
        _gif_files,
    ):
        yield from files()


def luminance_of(colours):
    """How light each pixel is, over white where it is transparent: (H, W)."""
    values = colours.astype(float)
    if values.shape[2] == 4:
        alpha = values[..., 3:] / 255
        values = values[..., :3] * alpha + 255 * (1 - alpha)
    return values.sum(axis=2)
