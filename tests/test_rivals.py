"""What the rivals promise: every one gives the pixels back, and its payload is no more than its file."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from vlae_codec import rivals
from vlae_codec.pixels import Drawing, demo_digits

DIGITS = demo_digits()[:12]
NOISE = np.random.default_rng(0).integers(0, 2, (61, 93), np.uint8)
DRAWINGS = [
    *DIGITS,
    Drawing(1 - DIGITS[0].bits),
    Drawing(NOISE),
    Drawing(np.zeros((28, 28), np.uint8)),
    Drawing(np.ones((5, 300), np.uint8)),
    Drawing(np.eye(1, dtype=np.uint8)),
]


@pytest.mark.parametrize("rival", rivals.rivals(), ids=lambda rival: rival.key)
def test_every_rival_is_lossless(rival):
    for drawing in DRAWINGS:
        data = rival.encode(drawing)
        assert np.array_equal(rival.decode(data, drawing.bits.shape), drawing.bits)
        assert 0 < rival.payload_bytes(data) <= len(data)
        assert rival.encode(drawing) == data


@pytest.mark.parametrize("rival", rivals.set_codecs(), ids=lambda rival: rival.name)
@pytest.mark.parametrize("drawings", [DRAWINGS, DIGITS, []], ids=["mixed", "digits", "none"])
def test_every_set_rival_is_lossless(rival, drawings):
    data = rivals.packed(drawings)
    file, stream = rival.encode(data), rival.push(data)
    assert rival.decode(file) == data
    assert rival.pop(stream) == data
    assert len(stream) <= len(file)


def test_the_payload_is_what_the_format_says():
    of = {rival.key: rival for rival in rivals.rivals()}
    png = of["png"].encode(DIGITS[0])
    assert len(png) - of["png"].payload_bytes(png) == 8 + 25 + 12 + 12  # signature, IHDR, IDAT's frame, IEND
    if "webp" in of:
        webp = of["webp"].encode(DIGITS[0])
        assert len(webp) - of["webp"].payload_bytes(webp) in (20, 21)  # RIFF and VP8L headers, and padding to even
    g4 = of["g4"].encode(DIGITS[0])
    assert of["g4"].payload_bytes(g4) < len(g4) - 8
    raw = of["raw"].encode(DIGITS[0])
    assert of["raw"].payload_bytes(raw) == len(raw) == 98


def test_boxes_of_every_size_field_are_read():
    small = struct.pack(">I4s", 11, b"ftyp") + b"abc"
    large = struct.pack(">I4sQ", 1, b"mdat", 18) + b"de"
    last = struct.pack(">I4s", 0, b"mdat") + b"fghi"
    assert list(rivals._boxes(small + large + last)) == [(b"ftyp", 3), (b"mdat", 2), (b"mdat", 4)]


def test_columns_are_bits_of_each_drawing():
    table = rivals.columns(DIGITS)
    assert (table["raw_bits"] == 784).all()
    assert all(column.shape == (len(DIGITS),) for column in table.values())
    assert (table["png_payload_bits"] < table["png_bits"]).all()
    assert "raw_payload_bits" not in table
    for rival in rivals.rivals():
        assert table[f"{rival.key}_bits"][3] == 8 * len(rival.encode(DIGITS[3]))


def test_sets_of_images_are_measured_as_one_stream():
    sizes = rivals.set_rivals(DIGITS)
    assert {"xz", "bzip2"} <= set(sizes)
    assert all(size["payload_bytes"] <= size["bytes"] for size in sizes.values())
    assert sizes["xz"]["payload_bytes"] < sizes["xz"]["bytes"]
    for rival in rivals.set_codecs():
        files = {layout: len(rival.encode(laid_out(DIGITS))) for layout, laid_out in rivals.LAYOUTS.items()}
        assert sizes[rival.name]["bytes"] == min(files.values()) == files[sizes[rival.name]["layout"]]


def test_layouts_keep_every_pixel():
    bits, count = np.stack([digit.bits for digit in DIGITS]), len(DIGITS)
    of = {layout: np.frombuffer(laid_out(DIGITS), np.uint8) for layout, laid_out in rivals.LAYOUTS.items()}
    assert np.array_equal(np.unpackbits(of["packed bits"]).reshape(bits.shape), bits)
    assert np.array_equal(np.unpackbits(of["rows padded to bytes"].reshape(count, 28, 4), axis=2, count=28), bits)
    assert np.array_equal(of["one byte a pixel"].reshape(bits.shape), bits)


def test_what_is_missing_is_said(monkeypatch):
    assert any("JBIG2" in line for line in rivals.unavailable())
    monkeypatch.setattr(rivals, "_library", lambda name: None)
    monkeypatch.setattr(rivals.features, "get_supported", list)
    assert [rival.key for rival in rivals.rivals()] == ["raw", "png", "g4"]
    assert [rival.name for rival in rivals.set_codecs()] == ["xz", "bzip2"]
    missing = [line.partition(":")[0] for line in rivals.unavailable()]
    assert missing == ["WebP", "AVIF", "JPEG XL", "zstd", "JBIG2"]


@pytest.mark.parametrize("name", ["zstandard", "compression.zstd"])
def test_either_zstd_library_serves(monkeypatch, name):
    module = rivals._library(name)
    if module is None:
        pytest.skip(f"{name} is not installed")
    monkeypatch.setattr(rivals, "_library", lambda wanted: module if wanted == name else None)
    (rival,) = [rival for rival in rivals.set_codecs() if rival.name == "zstd"]
    data = rivals.packed(DIGITS)
    assert rival.decode(rival.encode(data)) == rival.pop(rival.push(data)) == data
    assert len(rival.push(data)) == len(rival.encode(data)) - 4
