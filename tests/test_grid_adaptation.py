"""Laws of what an exact file says of its own picture's noise: when it pays, what comes back, what damage does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from grid_models import coder

from vlae_codec.errors import FormatError
from vlae_codec.family import Ask, Sampling
from vlae_codec.grid import adaptation, sections
from vlae_codec.grid.adaptation import Corrections, Mixtures
from vlae_codec.grid.mixtures import OUTPUT_BITS
from vlae_codec.grid.texture import INPUT_BITS
from vlae_codec.grid.tiles import Box, spread
from vlae_codec.models.grid.texture import pixel_bits
from vlae_codec.picture.raster import Kind, PixelFormat, Raster


def corrections(step_bits: int = 6, seed: int = 0) -> Corrections:
    inputs, outputs = coder().model.texture.output.weight.shape
    values = np.random.default_rng(seed).laplace(0, 1.5, (inputs + 1, outputs)).round().astype(np.int64)
    return Corrections(step_bits, values)


@pytest.mark.parametrize("seed", range(3))
def test_corrections_come_back(seed: int) -> None:
    made = corrections(5 + seed, seed)
    made.values[0, :2] = -adaptation.LARGEST, adaptation.LARGEST
    inputs, outputs = made.values.shape[0] - 1, made.values.shape[1]
    found = adaptation.read(adaptation.write(made), inputs, outputs)
    assert found.step_bits == made.step_bits
    assert np.array_equal(found.values, made.values)


def test_none_of_a_wrong_kind_are_taken() -> None:
    data = adaptation.write(corrections())
    inputs, outputs = coder().model.texture.output.weight.shape
    for wrong in (b"", data[:1], bytes([4]) + data[1:], bytes([9]) + data[1:], data[:1] + b"\xff" + data[2:]):
        with pytest.raises(FormatError):
            adaptation.read(wrong, inputs, outputs)


def test_a_corrected_layer_is_the_layer_plus_whole_steps() -> None:
    layer, made = coder().model.texture.output, corrections(5)
    found = adaptation.adapted(coder().model.texture, made).output
    x = np.random.default_rng(0).integers(-2047, 2048, (50, len(layer.weight))).astype(np.float32)
    bits = layer.shift + OUTPUT_BITS - INPUT_BITS - made.step_bits
    weight = layer.weight.astype(object) + made.values[:-1].astype(object) * 2**bits
    bias = layer.bias.astype(object) + made.values[-1].astype(object) * 2 ** (bits + INPUT_BITS)
    slow = (x.astype(object) @ weight + bias) // 2**layer.shift
    assert np.array_equal(found.linear(x).astype(object), slow)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_gradient_is_that_of_the_network_that_was_trained(channels: int) -> None:
    rng = np.random.default_rng(channels)
    outputs, residuals = rng.normal(0, 0.4, (10, 3, 200)), rng.normal(0, 4, (channels, 200)).round()  # no tails
    here = Mixtures.of(outputs, residuals)
    if channels == 1:  # of gray pictures the float network knows nothing: differences must do
        step = 1e-5 * rng.normal(size=outputs.shape)
        far, near = Mixtures.of(outputs + step, residuals), Mixtures.of(outputs - step, residuals)
        assert np.allclose((far.nats - near.nats) / 2, (here.gradient() * step).sum((0, 1)), rtol=1e-4, atol=1e-9)
        return
    parameters = torch.from_numpy(outputs.transpose(2, 0, 1).reshape(200, 30, 1, 1)).requires_grad_()
    bits = pixel_bits(parameters, torch.from_numpy(residuals.T.reshape(200, 3, 1, 1)), 3)
    (bits.sum() * np.log(2)).backward()
    assert np.allclose(here.nats, bits.detach().reshape(-1) * np.log(2), rtol=1e-3)
    assert np.allclose(here.gradient(), parameters.grad.reshape(200, 10, 3).numpy().transpose(1, 2, 0), atol=2e-3)


@pytest.mark.parametrize("kind", [Kind.RGB, Kind.GRAY])
def test_they_make_files_smaller_or_are_left_out(kind: Kind) -> None:
    rng = np.random.default_rng(0)
    form = PixelFormat(kind)
    for size, pays in (((8, 9), False), ((120, 200), True)):
        rows = np.arange(size[0])[:, None, None] // 2
        samples = (60 + rows + rng.integers(0, 3, (*size, form.channels))).astype(np.uint8)
        raster = Raster(samples, form)
        lengths = []
        for effort in (0, 3):
            ask = Ask(lossless=True, effort=effort)
            made = coder().encode([coder().view(raster, ask)], ask)[0]
            file = coder().parse(raster.geometry, made.data, 0)
            assert bool(file.found.corrections) == (pays and effort > 0)
            assert np.array_equal(coder().decode([file], [Sampling()])[0][0].raster.samples, samples)
            lengths.append(len(made.data))
        assert lengths[1] < 0.97 * lengths[0] if pays else lengths[1] <= lengths[0] + 2


def test_damage_to_them_is_seen_and_cut_files_show_the_lossy_picture() -> None:
    samples = np.random.default_rng(1).integers(100, 104, (64, 64, 3)).astype(np.uint8)
    raster = Raster(samples, PixelFormat(Kind.RGB))
    ask = Ask(lossless=True, effort=0)
    view = coder().view(raster, ask)
    found = coder().parse(raster.geometry, coder().encode([view], ask)[0].data, 0).found
    tiles = [tile for tile in found.tiles or () if tile]
    data = sections.write(sections.Content(found.quality, found.groups, None, tiles, adaptation.write(corrections())))
    start = data.index(adaptation.write(corrections()))
    for at in range(start - 1, start + len(adaptation.write(corrections()))):
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(FormatError):
            coder().parse(raster.geometry, bytes(damaged), 0)
    cut = coder().parse(raster.geometry, data[: start + 5], 0, partial=True)
    made = coder().decode([cut], [Sampling(partial=True)])[0][0]
    assert (made.exact_samples, made.whole) == (0, False)


def test_boxes_spread_over_a_block_lie_in_it_and_apart() -> None:
    for block in (Box(0, 0, 1024, 1024), Box(1024, 0, 1100, 900), Box(0, 0, 30, 4000), Box(5, 7, 25, 27)):
        found = spread(block, 16, 56)
        assert sum(box.height * box.width for box in found) >= min(block.height * block.width, 16 * 56**2) // 4
        for index, box in enumerate(found):
            assert block.top <= box.top < box.bottom <= block.bottom
            assert block.left <= box.left < box.right <= block.right
            assert not any(box.meets(other) for other in found[:index])
