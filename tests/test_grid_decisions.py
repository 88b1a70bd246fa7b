"""Laws of pixels that machine code reads: the same pixels and the same refusals as by numpy, whatever the network says."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from photographs import FORMS, picture

from vlae_codec import zoo
from vlae_codec.coding.entropy import Encoder
from vlae_codec.errors import FormatError
from vlae_codec.exact import compiled
from vlae_codec.family import Ask, Sampling
from vlae_codec.grid import colour, decisions, decoding, pixels, tiles
from vlae_codec.grid.mixtures import Pixels
from vlae_codec.grid.texture import Texture

pytestmark = pytest.mark.skipif(find_spec("numba") is None, reason="numba is not there")


def texture() -> Texture:
    """The PixelCNN of the released model."""
    return zoo.named(zoo.PHOTO).model.texture


def tile_of(samples: np.ndarray, *boxes: tiles.Box) -> tiles.Tiles:
    """Boxes of a picture whose latents are all 0."""
    height, width = samples.shape[:2]
    z = np.zeros((-(-height // 8), -(-width // 8), zoo.named(zoo.PHOTO).model.prior.edges[-1]), np.int32)
    region = tiles.decode_block(zoo.named(zoo.PHOTO).model.decoder, z, 5, tiles.Box(0, 0, height, width), False)
    return region.tiles(texture(), boxes, width)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (2, 2), (24, 40), (37, 19)], ids=str)
def test_streams_come_back(size: tuple[int, int], channels: int) -> None:
    samples = np.concatenate([picture(*size).samples, np.full((*size, 3), 77, np.uint8)], axis=1)
    x = colour.to_ycocg(samples) * (np.arange(3) < channels)
    boxes = [tiles.Box(0, left, size[0], left + size[1]) for left in (0, size[1])]
    parts = [x[:, box.left : box.right] for box in boxes]
    said = [texture().parameters(part, tile_of(samples, box)) for part, box in zip(parts, boxes, strict=True)]
    streams = [pixels.write(one, part, channels).stream for one, part in zip(said, parts, strict=True)]
    for fast in (False, True):
        read = pixels.read(texture(), tile_of(samples, *boxes), streams, channels, fast)
        assert np.array_equal(np.concatenate([*read], axis=1), x)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_the_network_says(seed: int) -> None:
    """Outputs as large as they can be, wherever tables end, and samples at both ends of their ranges, all in one step."""
    rng = np.random.default_rng(seed)
    components, many = int(rng.integers(1, 9)), int(rng.integers(1, 200))
    outputs = rng.normal(0, 10.0 ** rng.uniform(2, 6, (10, 1, 1)), (10, components, many)).astype(np.int64)
    pixel = Pixels(outputs, rng.integers(-255, 256, (3, many)))
    x = rng.integers(-255, 256, (many, 3)).astype(np.int32)
    x[rng.random(many) < 0.4] = rng.choice([-255, 255, 0])
    x[:, 0] = abs(x[:, 0])
    for channels in (1, 3):
        bits, counts = pixels._decisions(pixel, x[None], channels)
        order = order_in_a_step(pixel, x, channels)
        encoder = Encoder()
        encoder.put_bits(bits[order], counts[order])
        read = decisions.Reader([encoder.finish().rest], channels).read(pixel)
        assert np.array_equal(read[:channels], x.T[:channels])


def order_in_a_step(pixel: Pixels, x: np.ndarray, channels: int) -> np.ndarray:
    """Of decisions of pixels side by side, which come pixel by pixel: as they come of pixels that advance together."""
    numbers = list[tuple[int, int, int]]()
    for lane in range(len(x)):
        one = Pixels(pixel.outputs[:, :, lane : lane + 1], pixel.predicted[:, lane : lane + 1])
        before = 0
        for channel in range(channels):
            many = len(pixels._decisions(one, x[None, lane : lane + 1], channel + 1)[0]) - before
            numbers += [(channel, step, lane) for step in range(many)]
            before += many
    return np.array(sorted(range(len(numbers)), key=numbers.__getitem__))


def test_damaged_streams_are_refused_alike() -> None:
    samples = picture(9, 11).samples
    tile, x = tile_of(samples, tiles.Box(0, 0, 9, 11)), colour.to_ycocg(samples)
    whole = pixels.write(texture().parameters(x, tile), x, 3).stream
    refused = 0
    cut = [whole[:size] for size in range(0, len(whole), 9)]
    flipped = [whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :] for at in range(0, len(whole), 5)]
    for stream in [*cut, *flipped, b"\xff" * 40]:
        found = []
        for fast in (False, True):
            try:
                found.append(pixels.read(texture(), tile, [stream], 3, fast).tobytes())
            except FormatError:
                found.append(b"")
        assert found[0] == found[1]
        refused += not found[0]
    assert refused


@pytest.mark.parametrize("form", [FORMS[0], FORMS[2]], ids=str)
def test_tiles_are_read_in_parts_by_all_cores(form, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "TILE", 16)
    monkeypatch.setattr(decoding, "TILE", 16)
    monkeypatch.setenv("VLAE_THREADS", "3")
    raster, ask, model = picture(40, 90, form), Ask(lossless=True), zoo.named(zoo.PHOTO)
    view = model.view(raster, ask)
    parsed = model.parse(view.geometry, model.encode([view], ask)[0].data, 0)
    for fast in (False, True):
        monkeypatch.setattr(decoding, "by_machine", lambda pixels, progress=None, fast=fast: fast)
        for crop in (None, (20, 10, 70, 33)):
            made = model.decode([parsed], [Sampling(crop=crop)])[0][0].raster.samples
            left, top, right, bottom = crop or (0, 0, 90, 40)
            assert np.array_equal(made, raster.samples[top:bottom, left:right])


def test_only_many_pixels_wait_for_compiling_and_that_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int, int]] = []

    def tell(*one):
        told.append(one)

    monkeypatch.setattr(compiled, "_RUNS", {})
    monkeypatch.setattr(compiled, "are_kept", lambda functions: False)
    assert not decisions.by_machine(decisions.WORTH_PIXELS - 1, tell)
    assert not told
    assert decisions.by_machine(decisions.WORTH_PIXELS, tell)
    assert told == [("compiling, once", 0, 1), ("compiling, once", 1, 1)]
    assert decisions.by_machine(1, tell)
    assert len(told) == 2
    monkeypatch.setattr(compiled, "_RUNS", {})
    monkeypatch.setattr(compiled, "available", lambda: False)
    assert not decisions.by_machine(decisions.WORTH_PIXELS)
    monkeypatch.setattr(compiled, "are_kept", lambda functions: True)
    assert decisions.by_machine(1)


def test_where_machine_code_fails_numpy_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(function):
        raise RuntimeError("LLVM says no")

    monkeypatch.setattr(compiled, "_RUNS", {})
    monkeypatch.setattr(decisions, "machine", fails)
    assert not decisions.by_machine(decisions.WORTH_PIXELS)
    assert not decisions.by_machine(decisions.WORTH_PIXELS)
