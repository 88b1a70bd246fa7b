"""The codecs a user would pick instead, on the same two-level images, with and without their container.

The second door to Pillow, beside `picture`: that one reads what users bring, this one only measures, and nothing here is
on the way of a compressed picture. Drawings go in, files come out, and every baseline gives the bits (H, W) back exactly.

Twists to know first: each baseline is set to its smallest file, however slow. It stores the bits as black and white, so
colours (`Look`) cost it nothing. Its *payload* is the file less what only frames it: PNG's IDAT data, WebP's VP8L data,
AVIF's mdat, the strips of a TIFF; sizes and tables that stand inside the payload are counted.
"""

from __future__ import annotations

import bz2
import io
import lzma
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin, features

from vlae_codec.picture.drawing import Drawing
from vlae_codec.picture.fields import Bits

Shape = tuple[int, int]
Coder = Callable[[bytes], bytes]

_LZMA_PRESET = 9 | lzma.PRESET_EXTREME
_LZMA_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": _LZMA_PRESET}]
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_LEVEL = 22
_STRIP_BYTE_COUNTS = 279  # TIFF 6.0, page 40


@dataclass(frozen=True)
class Baseline:
    """A lossless codec for one image.

    `key` starts its columns in a report (`png_bits`). `decode` is told the shape (H, W), which not every format stores.
    `payload_bytes` counts what a file of `encode` holds beside its container; `len` means that there is none.
    """

    key: str
    name: str
    encode: Callable[[Drawing], bytes]
    decode: Callable[[bytes, Shape], Bits]
    payload_bytes: Callable[[bytes], int]


@dataclass(frozen=True)
class SetBaseline:
    """A general compressor for many images at once: `encode` and `decode` its file, `push` and `pop` its naked stream."""

    name: str
    encode: Coder
    decode: Coder
    push: Coder
    pop: Coder


def image_codecs() -> list[Baseline]:
    """The baselines that are available here, in a fixed order."""
    found = [
        Baseline("raw", "raw, 1 bit a pixel", _write_raw, _read_raw, len),
        Baseline("png", "PNG", _write_png, _read_picture, _png_payload),
        Baseline("g4", "CCITT G4 in TIFF", _write_g4, _read_picture, _tiff_payload),
    ]
    supported = features.get_supported()
    if "webp" in supported:
        found.append(Baseline("webp", "WebP lossless", _write_webp, _read_picture, _webp_payload))
    if "avif" in supported:
        found.append(Baseline("avif", "AVIF lossless", _write_avif, _read_picture, _avif_payload))
    if _library("imagecodecs"):
        found.append(Baseline("jxl", "JPEG XL lossless", _write_jxl, _read_jxl, len))
    return found


def unavailable() -> list[str]:
    """One line for each baseline that cannot be measured here: its name, why, and what to install."""
    supported = features.get_supported()
    here = {
        "WebP: this Pillow was built without it": "webp" in supported,
        "AVIF: this Pillow was built without it (pip install 'pillow>=11.3')": "avif" in supported,
        "JPEG XL: no library for it is installed (pip install imagecodecs)": _library("imagecodecs") is not None,
        "zstd: no library for it is installed (pip install zstandard)": _zstd() is not None,
        "JBIG2: no Python library encodes it": False,
    }
    return [line for line, present in here.items() if not present]


def columns(drawings: Sequence[Drawing]) -> dict[str, npt.NDArray[np.float64]]:
    """Bits of each drawing's file under `png_bits` and so on, and of its payload under `png_payload_bits`: (n,) each.

    A baseline without a container has no payload column.
    """
    table: dict[str, npt.NDArray[np.float64]] = {}
    for baseline in image_codecs():
        files = [baseline.encode(drawing) for drawing in drawings]
        table[f"{baseline.key}_bits"] = np.array([8.0 * len(data) for data in files])
        if baseline.payload_bytes is not len:
            table[f"{baseline.key}_payload_bits"] = np.array([8.0 * baseline.payload_bytes(data) for data in files])
    return table


def set_codecs() -> list[SetBaseline]:
    """The general compressors that are available here. bzip2 has no naked stream: its file stands in for it."""
    found = [
        SetBaseline("xz", _write_xz, lzma.decompress, _push_lzma, _pop_lzma),
        SetBaseline("bzip2", bz2.compress, bz2.decompress, bz2.compress, bz2.decompress),
    ]
    zstd = _zstd()
    if zstd:
        write, read = zstd
        found.append(
            SetBaseline(
                "zstd",
                write,
                read,
                push=lambda data: write(data).removeprefix(_ZSTD_MAGIC),
                pop=lambda stream: read(_ZSTD_MAGIC + stream),
            )
        )
    return found


def of_sets(drawings: Sequence[Drawing]) -> dict[str, dict[str, Any]]:
    """All drawings in one stream, by compressor, laid out as suits it best.

    `bytes` of its file, `payload_bytes` of its naked stream, and `layout`, one of `LAYOUTS`.
    """
    streams = {layout: laid_out(drawings) for layout, laid_out in LAYOUTS.items()}
    found = {}
    for baseline in set_codecs():
        sizes = {layout: len(baseline.encode(data)) for layout, data in streams.items()}
        layout = min(sizes, key=sizes.__getitem__)
        payload_bytes = len(baseline.push(streams[layout]))
        found[baseline.name] = {"bytes": sizes[layout], "payload_bytes": payload_bytes, "layout": layout}
    return found


def packed(drawings: Sequence[Drawing]) -> bytes:
    """The bits of all drawings, 8 a byte, most significant first and row-major; each drawing starts a new byte."""
    return b"".join(_write_raw(drawing) for drawing in drawings)


def packed_rows(drawings: Sequence[Drawing]) -> bytes:
    """As `packed`, but each row starts a new byte: what lies above each other is a whole number of bytes apart."""
    return b"".join(np.packbits(drawing.bits, axis=1).tobytes() for drawing in drawings)


def unpacked(drawings: Sequence[Drawing]) -> bytes:
    """One byte a pixel, 0 or 1."""
    return b"".join(drawing.bits.tobytes() for drawing in drawings)


LAYOUTS: dict[str, Callable[[Sequence[Drawing]], bytes]] = {
    "packed bits": packed,
    "rows padded to bytes": packed_rows,
    "one byte a pixel": unpacked,
}
"""How images are laid out for general compressors, which see bytes, and of which each likes another layout best."""


def _library(name: str) -> Any | None:
    """An optional module, or None: what is absent is left out and listed by `unavailable`."""
    try:
        return import_module(name)
    except ImportError:
        return None


# One image: write, read, payload


def _write_raw(drawing: Drawing) -> bytes:
    return np.packbits(drawing.bits).tobytes()


def _read_raw(data: bytes, shape: Shape) -> Bits:
    return np.unpackbits(np.frombuffer(data, np.uint8), count=shape[0] * shape[1]).reshape(shape)


def _saved(drawing: Drawing, mode: str, **options: Any) -> bytes:
    """Pillow's file of the drawing, ink white: G4 takes it for black, whose short runs have the short codes."""
    out = io.BytesIO()
    Image.fromarray(drawing.bits * np.uint8(255)).convert(mode).save(out, **options)
    return out.getvalue()


def _read_picture(data: bytes, shape: Shape) -> Bits:
    with Image.open(io.BytesIO(data)) as picture:
        bits = (np.asarray(picture.convert("L")) > 127).astype(np.uint8)
    assert bits.shape == shape
    return bits


def _write_png(drawing: Drawing) -> bytes:
    return _saved(drawing, "1", format="PNG", optimize=True, compress_level=9)


def _png_payload(data: bytes) -> int:
    return sum(size for kind, size in _png_chunks(data) if kind == b"IDAT")


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Type and size of each chunk: after 8 bytes of signature, u32 size, type, data, u32 CRC."""
    at = 8
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, size
        at += 12 + size


def _write_webp(drawing: Drawing) -> bytes:
    return _saved(drawing, "RGB", format="WEBP", lossless=True, method=6, quality=100)


def _webp_payload(data: bytes) -> int:
    return sum(size for kind, size in _riff_chunks(data) if kind == b"VP8L")


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Type and size of each chunk: after RIFF, u32 size and WEBP, type, u32 size, data padded to even."""
    at = 12
    while at < len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        yield kind, size
        at += 8 + size + size % 2


def _write_avif(drawing: Drawing) -> bytes:
    """Luma alone at quality 100, which libavif codes without loss."""
    return _saved(drawing, "L", format="AVIF", quality=100, speed=0, subsampling="4:0:0", max_threads=1)


def _avif_payload(data: bytes) -> int:
    return sum(size for kind, size in _boxes(data) if kind == b"mdat")


def _boxes(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Type and content size of each top-level box (ISO 14496-12, 4.2): u32 size with header, type, u64 size if 1."""
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        header = 8
        if size == 1:
            (size,), header = struct.unpack_from(">Q", data, at + 8), 16
        size = size or len(data) - at  # 0: to the end of the file
        yield kind, size - header
        at += size


def _write_g4(drawing: Drawing) -> bytes:
    return _saved(drawing, "1", format="TIFF", compression="group4")


def _tiff_payload(data: bytes) -> int:
    with TiffImagePlugin.TiffImageFile(io.BytesIO(data)) as picture:
        return int(sum(picture.tag_v2[_STRIP_BYTE_COUNTS]))


def _write_jxl(drawing: Drawing) -> bytes:
    """The naked codestream of an image of one bit a sample."""
    jxl: Any = _library("imagecodecs")
    data: bytes = jxl.jpegxl_encode(drawing.bits, lossless=True, effort=10, bitspersample=1, usecontainer=False)
    return data


def _read_jxl(data: bytes, shape: Shape) -> Bits:
    jxl: Any = _library("imagecodecs")
    return (np.asarray(jxl.jpegxl_decode(data)).reshape(shape) > 0).astype(np.uint8)


# Sets of images


def _write_xz(data: bytes) -> bytes:
    return lzma.compress(data, preset=_LZMA_PRESET)


def _push_lzma(data: bytes) -> bytes:
    return lzma.compress(data, lzma.FORMAT_RAW, filters=_LZMA_FILTERS)


def _pop_lzma(stream: bytes) -> bytes:
    return lzma.decompress(stream, lzma.FORMAT_RAW, filters=_LZMA_FILTERS)


def _zstd() -> tuple[Coder, Coder] | None:
    """Writer and reader of zstd frames without checksum and content size, by the first library that is there."""
    package, standard = _library("zstandard"), _library("compression.zstd")
    if package:
        options = package.ZstdCompressionParameters.from_level(_ZSTD_LEVEL, write_checksum=0, write_content_size=0)
        return (
            lambda data: package.ZstdCompressor(compression_params=options).compress(data),
            lambda frame: package.ZstdDecompressor().decompressobj().decompress(frame),
        )
    if standard:  # Python 3.14
        name = standard.CompressionParameter
        flags = {name.compression_level: _ZSTD_LEVEL, name.checksum_flag: 0, name.content_size_flag: 0}
        return lambda data: standard.compress(data, options=flags), standard.decompress
    return None
