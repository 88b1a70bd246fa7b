"""Laws of decisions by machine code: the same streams, the same pixels and the same refusals as by numpy."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from grid_models import coder
from photographs import FORMS, picture

from vlae_codec.errors import FormatError
from vlae_codec.family import Ask, Sampling
from vlae_codec.grid import coder as coders
from vlae_codec.grid import colour, decisions, decoding, pixels, tiles
from vlae_codec.grid.mixtures import Pixels

pytestmark = pytest.mark.skipif(find_spec("numba") is None, reason="numba is not there")


def tile_of(samples: np.ndarray, *boxes: tiles.Box) -> tiles.Tiles:
    """Boxes of a picture whose latents are all 0."""
    height, width = samples.shape[:2]
    z = np.zeros((-(-height // 8), -(-width // 8), 16), np.int32)
    region = tiles.decode_block(coder().model.decoder, z, 5, tiles.Box(0, 0, height, width), False)
    return region.tiles(coder().model.texture, boxes, width)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (2, 2), (24, 40), (37, 19)], ids=str)
def test_streams_and_pixels_are_those_of_numpy(size: tuple[int, int], channels: int) -> None:
    samples = np.concatenate([picture(*size).samples, np.full((*size, 3), 77, np.uint8)], axis=1)
    x = colour.to_ycocg(samples) * (np.arange(3) < channels)
    boxes = [tiles.Box(0, left, size[0], left + size[1]) for left in (0, size[1])]
    texture, streams = coder().model.texture, list[bytes]()
    for box in boxes:
        own = x[:, box.left : box.right]
        said = texture.parameters(own, tile_of(samples, box))
        slow, fast = (pixels.write(said, own, channels, by_machine) for by_machine in (False, True))
        assert fast == slow
        streams.append(fast.stream)
    read = pixels.read(texture, tile_of(samples, *boxes), streams, channels, fast=True)
    assert np.array_equal(np.concatenate([*read], axis=1), x)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_the_network_says(seed: int) -> None:
    """Outputs as large as they can be, wherever tables end, and samples at both ends of their ranges."""
    rng = np.random.default_rng(seed)
    height, width, components = (int(rng.integers(1, 9)) for _ in range(3))
    outputs = rng.normal(0, 10.0 ** rng.uniform(2, 6, (10, 1, 1)), (10, components, height * width)).astype(np.int64)
    pixel = Pixels(outputs, rng.integers(-255, 256, (3, height * width)))
    x = rng.integers(-255, 256, (height, width, 3)).astype(np.int32)
    x[rng.random((height, width)) < 0.4] = rng.choice([-255, 255, 0])
    x[..., 0] = abs(x[..., 0])
    for channels in (1, 3):
        slow, fast = pixels._decisions(pixel, x, channels), decisions.decisions_of(pixel, x, channels)
        assert all(np.array_equal(one, other) for one, other in zip(slow, fast, strict=True))


def test_damaged_streams_are_refused_alike() -> None:
    samples = picture(9, 11).samples
    box, texture = tiles.Box(0, 0, 9, 11), coder().model.texture
    tile = tile_of(samples, box)
    x = colour.to_ycocg(samples)
    whole = pixels.write(texture.parameters(x, tile), x, 3).stream
    refused = 0
    cut = [whole[:size] for size in range(0, len(whole), 3)]
    flipped = [whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :] for at in range(0, len(whole), 2)]
    for stream in [*cut, *flipped, b"\xff" * 40]:
        found = []
        for fast in (False, True):
            try:
                found.append(pixels.read(texture, tile, [stream], 3, fast).tobytes())
            except FormatError:
                found.append(b"")
        assert found[0] == found[1]
        refused += not found[0]
    assert refused


@pytest.mark.parametrize("form", [FORMS[0], FORMS[2]], ids=str)
def test_files_are_the_same_and_read_in_parts_by_all_cores(form, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "TILE", 16)
    monkeypatch.setattr(decoding, "TILE", 16)
    monkeypatch.setenv("VLAE_THREADS", "3")
    raster, ask, files = picture(40, 90, form), Ask(lossless=True), []
    view = coder().view(raster, ask)
    for fast in (False, True):
        for module in (coders, decoding):
            monkeypatch.setattr(module, "by_machine", lambda pixels, progress=None, fast=fast: fast)
        files.append(coder().encode([view], ask)[0].data)
        parsed = coder().parse(view.geometry, files[0], 0)
        for crop in (None, (20, 10, 70, 33)):
            made = coder().decode([parsed], [Sampling(crop=crop)])[0][0].raster.samples
            left, top, right, bottom = crop or (0, 0, 90, 40)
            assert np.array_equal(made, raster.samples[top:bottom, left:right])
    assert files[0] == files[1]


def test_only_a_large_picture_waits_for_compiling_and_that_once(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int, int]] = []
    monkeypatch.setattr(decisions, "is_kept", lambda function: False)
    assert not decisions.by_machine(decisions.WORTH_PIXELS - 1, lambda *one: told.append(one))
    assert not told
    assert decisions.by_machine(decisions.WORTH_PIXELS, lambda *one: told.append(one))
    assert told == [("compiling, once", 0, 1), ("compiling, once", 1, 1)]
    monkeypatch.setattr(decisions, "available", lambda: False)
    assert not decisions.by_machine(decisions.WORTH_PIXELS)
    monkeypatch.setattr(decisions, "is_kept", lambda function: True)
    assert decisions.by_machine(1)
