"""A trained photo VLAE as the arrays of the integer model that the codec runs (see `vlae_codec/grid`).

Weights of the transforms and the prior are rounded to 16 bits, those of the PixelCNN to as many as keep its sums below
2^24, so that float32 computes them exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vlae_codec.grid import network
from vlae_codec.grid.coder import PREVIEW_GROUPS
from vlae_codec.grid.grain import STRENGTH_BITS
from vlae_codec.grid.mixtures import OUTPUT_BITS
from vlae_codec.grid.network import BITS
from vlae_codec.grid.texture import INPUT_BITS, INPUT_LIMIT, RUNS

from .prior import Group
from .texture import Causal, Texture
from .transforms import ResidualBlock
from .vlae import Transforms

Arrays = dict[str, npt.NDArray[Any]]
_MOST_BITS = 13
_MOST_NARROW_BITS = 10
_FLOAT32 = 2.0**24
_TEMPERATURE = 0.5


def to_arrays(transforms: Transforms, texture: Texture, exact_level: float, grain: Texture | None = None) -> Arrays:
    """All arrays of the integer model.

    exact_level: the level of the code in exact files. grain: the PixelCNN that draws, if there is one, at a strength of 1.
    """
    arrays: Arrays = {
        "family": np.array("grid"),
        "exact_quality": np.array(round(exact_level * network.LEVEL_STEPS), np.int64),
        "levels": np.array(transforms.config.levels, np.int64),
        "lambdas": _fixed(transforms.lambdas(torch.arange(transforms.config.levels)), 24),
        "encoder.log_gain": _fixed(transforms.encoder.log_gain, BITS),
        "decoder.log_step": _fixed(transforms.decoder.log_step, BITS),
        "prior.groups": np.array(transforms.config.groups, np.int64),
        "prior.hierarchical": np.array(transforms.config.hierarchical, np.int64),
    }
    for index, group in enumerate(transforms.prior.groups):
        assert isinstance(group, Group)
        name = f"prior.groups.{index}"
        arrays[f"{name}.level"], arrays[f"{name}.step"] = _fixed(group.level, BITS), _fixed(group.step, BITS)
    arrays.update(coarse_layer(*_coarse_of(transforms)))
    for name, layer in wide_layers(transforms).items():
        arrays.update(_layer(name, _taps(layer.weight), layer.bias, BITS, BITS))
    arrays.update(texture_arrays(texture, "texture"))
    if grain is not None:
        arrays.update(texture_arrays(grain, "grain"))
        unit, levels = 1 << STRENGTH_BITS, transforms.config.levels
        arrays["grain.strengths"] = np.full((levels, 2), unit, np.int64)
        arrays["grain.temperatures"] = np.full((levels, 1), round(_TEMPERATURE * unit), np.int64)
    return arrays


def coarse_layer(weight: Tensor, bias: Tensor) -> Arrays:
    """What the first groups' latents say of a site's colour, without the networks: weight (n, 3), bias (3,)."""
    return _layer("decoder.coarse", weight, bias, BITS, BITS)


def _coarse_of(transforms: Transforms) -> tuple[Tensor, Tensor]:
    """The same of the decoder's linear layers alone."""
    decoder, count = transforms.decoder, sum(transforms.config.groups[:PREVIEW_GROUPS])
    linear, own = _bias(decoder.linear).view(3, -1).mean(1), _bias(decoder.input)
    means = decoder.linear.weight.flatten(1).view(3, -1, len(own)).mean(1)
    return (means @ decoder.input.weight.flatten(1)[:, :count]).T, means @ own + linear


def wide_layers(transforms: Transforms) -> dict[str, nn.Conv2d]:
    """The convolutions of encoder, decoder and prior by the names of their arrays."""
    encoder, decoder = transforms.encoder, transforms.decoder
    found: dict[str, nn.Conv2d] = {
        "encoder.input": encoder.input,
        "encoder.output": encoder.output,
        **_blocks("encoder.blocks", encoder.blocks),
        "decoder.input": decoder.input,
        "decoder.linear": decoder.linear,
        "decoder.up": decoder.up,
        "decoder.output": decoder.output,
        **_blocks("decoder.blocks", decoder.blocks),
        **_blocks("decoder.fine", decoder.fine),
    }
    for index, group in enumerate(transforms.prior.groups):
        assert isinstance(group, Group)
        name = f"prior.groups.{index}"
        for part in ("coarser", "around", "first", "second", "output"):
            if getattr(group, part) is not None:
                found[f"{name}.{part}"] = getattr(group, part)
        for sort, phases in enumerate(group.window):
            assert isinstance(phases, nn.ModuleList)
            for phase, layer in enumerate(phases):
                found[f"{name}.window.{sort}.{phase}"] = _conv(layer)
    return found


def texture_arrays(model: Texture, name: str) -> Arrays:
    """The arrays of a PixelCNN."""
    arrays: Arrays = {
        f"{name}.level": _fixed(model.level, INPUT_BITS),
        f"{name}.layers": np.array(len(model.causal), np.int64),
    }
    window = model.window.layer.weight * model.window.mask
    runs = [window[:, :, row, :run].permute(2, 1, 0).flatten(0, 1) for row, run in enumerate(RUNS)]
    assert all(model.window.mask[row].sum() == run for row, run in enumerate(RUNS))
    runs.append(_taps(model.given.weight))
    seen = {
        "window": torch.cat(runs),
        "features": _taps(model.features.weight),
        "around": _taps(model.around.weight),
        "context": _taps(model.context.weight),
        "last": _taps(model.last.weight),
    }
    biases = {
        "window": _bias(model.window.layer) + _bias(model.given),
        "features": model.features.bias,
        "around": model.around.bias,
        "context": model.context.bias,
        "last": model.last.bias,
    }
    for layer, (causal, pointwise) in enumerate(zip(model.causal, model.pointwise, strict=True)):
        assert isinstance(causal, Causal)
        taps = causal.layer.weight.permute(2, 3, 1, 0).flatten(0, 1)[:5].flatten(0, 1)
        seen[f"causal.{layer}"], biases[f"causal.{layer}"] = taps, _bias(causal.layer)
        seen[f"pointwise.{layer}"], biases[f"pointwise.{layer}"] = _taps(_conv(pointwise).weight), _bias(pointwise)
    for part, weight in seen.items():
        arrays.update(_narrow(f"{name}.{part}", weight, biases[part], INPUT_BITS))
    arrays.update(_narrow(f"{name}.output", _taps(model.output.weight), model.output.bias, OUTPUT_BITS))
    return arrays


def _blocks(name: str, blocks: nn.Sequential) -> dict[str, nn.Conv2d]:
    found: dict[str, nn.Conv2d] = {}
    for index, block in enumerate(blocks):
        assert isinstance(block, ResidualBlock)
        found |= {f"{name}.{index}.first": block.first, f"{name}.{index}.second": block.second}
    return found


def _conv(layer: nn.Module) -> nn.Conv2d:
    assert isinstance(layer, nn.Conv2d)
    return layer


def _bias(layer: nn.Module) -> Tensor:
    bias = _conv(layer).bias
    assert bias is not None
    return bias


def _taps(weight: Tensor) -> Tensor:
    """(O, I, kh, kw) -> (kh kw I, O): taps in raster order, then channel."""
    return weight.permute(2, 3, 1, 0).flatten(0, 2)


def _fixed(table: Tensor, bits: int) -> npt.NDArray[np.int32]:
    return np.floor(table.detach().double().numpy() * 2.0**bits + 0.5).astype(np.int32)


def _layer(
    name: str, weight: Tensor, bias: Tensor | None, input_bits: int, output_bits: int, bits: int = _MOST_BITS
) -> Arrays:
    assert bias is not None
    w, b = weight.detach().double().numpy(), bias.detach().double().numpy()
    bits = min(bits, int(np.floor(np.log2(32767 / np.abs(w).max(initial=1e-6)))))
    return {
        f"{name}.weight": np.floor(w * 2.0**bits + 0.5).astype(np.int16),
        f"{name}.bias": np.floor(b * 2.0 ** (bits + input_bits) + 0.5).astype(np.int64),
        f"{name}.shift": np.array(bits + input_bits - output_bits, np.int64),
    }


def _narrow(name: str, weight: Tensor, bias: Tensor | None, output_bits: int) -> Arrays:
    """With the most fraction bits for which no sum reaches 2^24."""
    assert bias is not None
    worst = (weight.abs().sum(0) * INPUT_LIMIT + bias.abs() * 2**INPUT_BITS).max().item()
    bits = min(_MOST_NARROW_BITS, int(np.floor(np.log2(0.98 * _FLOAT32 / worst))))
    return _layer(name, weight, bias, INPUT_BITS, output_bits, max(bits, output_bits - INPUT_BITS))
