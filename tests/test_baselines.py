"""What the baselines promise: every one gives the pixels back, and its payload is no more than its file."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from vlae_codec.picture.drawing import Drawing, demo_digits
from vlae_codec.report import baselines

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


@pytest.mark.parametrize("baseline", baselines.image_codecs(), ids=lambda baseline: baseline.key)
def test_every_baseline_is_lossless(baseline):
    for drawing in DRAWINGS:
        data = baseline.encode(drawing)
        assert np.array_equal(baseline.decode(data, drawing.bits.shape), drawing.bits)
        assert 0 < baseline.payload_bytes(data) <= len(data)
        assert baseline.encode(drawing) == data


@pytest.mark.parametrize("baseline", baselines.set_codecs(), ids=lambda baseline: baseline.name)
@pytest.mark.parametrize("drawings", [DRAWINGS, DIGITS, []], ids=["mixed", "digits", "none"])
def test_every_set_baseline_is_lossless(baseline, drawings):
    data = baselines.packed(drawings)
    file, stream = baseline.encode(data), baseline.push(data)
    assert baseline.decode(file) == data
    assert baseline.pop(stream) == data
    assert len(stream) <= len(file)


def test_the_payload_is_what_the_format_says():
    of = {baseline.key: baseline for baseline in baselines.image_codecs()}
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
    assert list(baselines._boxes(small + large + last)) == [(b"ftyp", 3), (b"mdat", 2), (b"mdat", 4)]


def test_columns_are_bits_of_each_drawing():
    table = baselines.columns(DIGITS)
    assert (table["raw_bits"] == 784).all()
    assert all(column.shape == (len(DIGITS),) for column in table.values())
    assert (table["png_payload_bits"] < table["png_bits"]).all()
    assert "raw_payload_bits" not in table
    for baseline in baselines.image_codecs():
        assert table[f"{baseline.key}_bits"][3] == 8 * len(baseline.encode(DIGITS[3]))


def test_sets_of_images_are_measured_as_one_stream():
    sizes = baselines.of_sets(DIGITS)
    assert {"xz", "bzip2"} <= set(sizes)
    assert all(size["payload_bytes"] <= size["bytes"] for size in sizes.values())
    assert sizes["xz"]["payload_bytes"] < sizes["xz"]["bytes"]
    for baseline in baselines.set_codecs():
        files = {layout: len(baseline.encode(laid_out(DIGITS))) for layout, laid_out in baselines.LAYOUTS.items()}
        assert sizes[baseline.name]["bytes"] == min(files.values()) == files[sizes[baseline.name]["layout"]]


def test_layouts_keep_every_pixel():
    bits, count = np.stack([digit.bits for digit in DIGITS]), len(DIGITS)
    of = {layout: np.frombuffer(laid_out(DIGITS), np.uint8) for layout, laid_out in baselines.LAYOUTS.items()}
    assert np.array_equal(np.unpackbits(of["packed bits"]).reshape(bits.shape), bits)
    assert np.array_equal(np.unpackbits(of["rows padded to bytes"].reshape(count, 28, 4), axis=2, count=28), bits)
    assert np.array_equal(of["one byte a pixel"].reshape(bits.shape), bits)


def test_what_is_missing_is_said(monkeypatch):
    assert any("JBIG2" in line for line in baselines.unavailable())
    monkeypatch.setattr(baselines, "_library", lambda name: None)
    monkeypatch.setattr(baselines.features, "get_supported", list)
    assert [baseline.key for baseline in baselines.image_codecs()] == ["raw", "png", "g4"]
    assert [baseline.name for baseline in baselines.set_codecs()] == ["xz", "bzip2"]
    missing = [line.partition(":")[0] for line in baselines.unavailable()]
    assert missing == ["WebP", "AVIF", "JPEG XL", "zstd", "JBIG2"]


@pytest.mark.parametrize("name", ["zstandard", "compression.zstd"])
def test_either_zstd_library_serves(monkeypatch, name):
    module = baselines._library(name)
    if module is None:
        pytest.skip(f"{name} is not installed")
    monkeypatch.setattr(baselines, "_library", lambda wanted: module if wanted == name else None)
    (baseline,) = [baseline for baseline in baselines.set_codecs() if baseline.name == "zstd"]
    data = baselines.packed(DIGITS)
    assert baseline.decode(baseline.encode(data)) == baseline.pop(baseline.push(data)) == data
    assert len(baseline.push(data)) == len(baseline.encode(data)) - 4
