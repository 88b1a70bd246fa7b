"""Turns a trained VLAE into the integer model that the codec runs: weights to 16 bits, latents to a lattice.

Float weights are rounded to the finest power-of-two grid on which they fit int16, a grid per layer; biases to the grid of
the products. Latents that training switched off are dropped from encoder, prior and decoder, and so are the hidden units
of the prior that no remaining latent reads. No quantisation-aware training is needed (see `docs/exactness.md`).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vlae_codec.errors import ConfigError
from vlae_codec.fixed import ACTIVATION_BITS, LATENT_BITS

from . import config as configs
from .config import Config
from .layers import _WeightNormed
from .priors import MixturePrior
from .vlae import VLAE

Arrays = dict[str, npt.NDArray[Any]]
CELLS = 256
"""Lattice points per latent: the support is 256 steps wide."""


@torch.no_grad()
def export(model: VLAE, steps: npt.NDArray[np.int64], octave_lengths: list[int]) -> Arrays:
    """All arrays of the integer model. `steps` (D,): the lattice step of each active latent, in units of 2^-12.

    Raises:
        ConfigError: the prior is not the mixture prior; no other has exact cell masses.
    """
    if not isinstance(model.prior, MixturePrior):
        raise ConfigError("only a model with prior = 'mixture' can be exported: no other has exact cell masses")
    active = torch.nonzero(model.active)[:, 0]
    arrays: Arrays = {"octave_lengths": np.array(octave_lengths, np.uint8)}
    _encoder(arrays, model, active)
    _prior(arrays, model.prior, active, steps)
    _decoder(arrays, model, active)
    _pixels(arrays, model)
    return arrays


def save(folder: Path, arrays: Arrays, name: str, number: int | None, config: Config) -> None:
    """Writes `weights.npz` and `model.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "weights.npz"
    np.savez(weights, allow_pickle=False, **arrays)
    about = {
        "name": name,
        "number": number,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "config": configs.to_dict(config),
    }
    (folder / "model.json").write_text(json.dumps(about, indent=2) + "\n")


def _encoder(arrays: Arrays, model: VLAE, active: Tensor) -> None:
    encoder = model.encoder
    _conv(arrays, "encoder.input", encoder.input, input_bits=0)
    _residual(arrays, "encoder.top", encoder.top)
    _conv(arrays, "encoder.down", encoder.down)
    _residual(arrays, "encoder.bottom", encoder.bottom)
    weight = _grid_last(encoder.dense.weight().T, model.config.bottom_channels, axis=0)
    _affine(arrays, "encoder.dense", weight, encoder.dense.b)
    rows = torch.cat([active, model.latents + active])
    head = encoder.posterior
    _affine(arrays, "encoder.posterior", head.weight()[rows].T, head.b[rows], output_bits=LATENT_BITS)


def _decoder(arrays: Arrays, model: VLAE, active: Tensor) -> None:
    decoder, channels = model.decoder, model.config.bottom_channels
    _affine(arrays, "decoder.dense", decoder.dense.weight()[:, active].T, decoder.dense.b, input_bits=LATENT_BITS)
    weight = _grid_last(decoder.expand.weight().T, channels, axis=1)
    _affine(arrays, "decoder.expand", weight, _grid_last(decoder.expand.b, channels, axis=0))
    _residual(arrays, "decoder.bottom", decoder.bottom)
    _conv(arrays, "decoder.up", decoder.up)
    _residual(arrays, "decoder.top", decoder.top)
    _conv(arrays, "decoder.output", decoder.output)


def _pixels(arrays: Arrays, model: VLAE) -> None:
    pixels = model.pixels
    _affine(arrays, "pixels.input", _causal(pixels.input, taps=4), pixels.input.b, input_bits=0)
    for i, block in enumerate(pixels.blocks):
        _affine(arrays, f"pixels.blocks.{i}.first", _causal(block.first, taps=5), block.first.b)
        _conv(arrays, f"pixels.blocks.{i}.second", block.second)
    _conv(arrays, "pixels.output", pixels.output)
    arrays["pixels.layers"] = np.array(len(pixels.blocks), np.int64)


def _prior(arrays: Arrays, prior: MixturePrior, active: Tensor, steps: npt.NDArray[np.int64]) -> None:
    made, count = prior.made, len(active)
    # Degree d stands for "sees the first d latents": among the active ones, those are the active below d.
    degrees = (active[None, :] < made.degrees[:, None]).sum(1)
    used = torch.nonzero((degrees >= 1) & (degrees < count))[:, 0]
    outputs = (active[:, None] * made.outputs + torch.arange(made.outputs)).flatten()
    rows = [active] + [used] * (len(made.layers) - 1)
    columns = [used] * (len(made.layers) - 1) + [outputs]
    # A unit of degree 0 sees no active latent: it is a constant, folded into the biases behind it.
    constant = torch.zeros(made.latents)
    for index, layer in enumerate(made.layers):
        weight = layer.weight * layer.mask
        bias = layer.bias + weight @ constant
        constant = torch.relu(bias) * (degrees == 0) if len(bias) == len(degrees) else constant
        last = index == len(made.layers) - 1
        name = "prior.output" if last else f"prior.hidden.{index}"
        chosen = weight[columns[index]][:, rows[index]].T
        _affine(arrays, name, chosen, bias[columns[index]], input_bits=LATENT_BITS, output_bits=LATENT_BITS)
    arrays["prior.layers"] = np.array(len(made.layers) - 1, np.int64)
    arrays["prior.degrees"] = degrees[used].numpy()
    arrays["prior.steps"] = steps
    arrays["prior.lowest"] = np.full(count, -CELLS // 2, np.int64)
    arrays["prior.cells"] = np.array(CELLS, np.int64)


def _residual(arrays: Arrays, name: str, stack: nn.Sequential) -> None:
    for i, block in enumerate(stack):
        _conv(arrays, f"{name}.{i}.first", block.first)
        _conv(arrays, f"{name}.{i}.second", block.second)


def _conv(arrays: Arrays, name: str, layer: _WeightNormed, input_bits: int = ACTIVATION_BITS) -> None:
    weight = layer.weight().permute(2, 3, 1, 0).flatten(0, 2)  # (kh, kw, in, out) -> (taps * in, out)
    _affine(arrays, name, weight, layer.b, input_bits)


def _causal(layer: _WeightNormed, taps: int) -> Tensor:
    """The taps up-left, up, up-right, left, centre of a masked 3x3 kernel: (taps * in, out)."""
    return layer.weight().flatten(2)[:, :, :taps].permute(2, 1, 0).flatten(0, 1)


def _grid_last(x: Tensor, channels: int, axis: int) -> Tensor:
    """Reorders an axis from (channel, row, col) to (row, col, channel)."""
    split = x.unflatten(axis, (channels, -1))
    return split.movedim(axis, axis + 1).flatten(axis, axis + 1)


def _affine(
    arrays: Arrays,
    name: str,
    weight: Tensor,
    bias: Tensor,
    input_bits: int = ACTIVATION_BITS,
    output_bits: int = ACTIVATION_BITS,
) -> None:
    """Rounds one layer; weight (K, O), bias (O,)."""
    w = weight.double().numpy()
    weight_bits = int(np.floor(np.log2(32767 / max(np.abs(w).max(), 1e-6))))
    weight_bits = max(weight_bits, output_bits - input_bits)
    arrays[f"{name}.weight"] = np.floor(w * 2.0**weight_bits + 0.5).astype(np.int16)
    arrays[f"{name}.bias"] = np.floor(bias.double().numpy() * 2.0 ** (weight_bits + input_bits) + 0.5).astype(np.int64)
    arrays[f"{name}.shift"] = np.array(weight_bits + input_bits - output_bits, np.int64)
