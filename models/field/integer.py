"""A float VLAE as the arrays of an integer model, and back: one description of where each weight goes, read both ways.

Float weights are rounded to the finest power-of-two grid on which they fit int16, a grid per layer; biases to the grid of
the products. Latents that training switched off are dropped from encoder, prior and decoder, and so are the hidden units
of the prior that no remaining latent reads. No quantisation-aware training is needed (see `docs/exactness.md`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vlae_codec import zoo
from vlae_codec.errors import ConfigError
from vlae_codec.exact.fixed import ACTIVATION_BITS, LATENT_BITS
from vlae_codec.field.coder import FAMILY, FieldCoder
from vlae_codec.field.model import Model
from vlae_codec.models.config import Config, ModelConfig
from vlae_codec.models.layers import CausalConv, Conv, Linear, blocks_of

from .priors import Made, MaskedLinear, MixturePrior, hidden_degrees
from .vlae import VLAE, PixelCNN

Arrays = dict[str, Any]  # name -> numpy array
Layer = Conv | CausalConv | Linear | MaskedLinear
Arrange = Callable[[Tensor], Tensor]


def _as_is(x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True)
class _Place:
    """Where a layer stands: under `name`, its weight of any shape as (K, O), its bias as (O,).

    Both arrangements move or leave out elements, and do nothing else: applied to indices, they can be undone.
    """

    name: str
    layer: Layer
    weight: Arrange
    bias: Arrange = field(default=_as_is)
    input_bits: int = ACTIVATION_BITS
    output_bits: int = ACTIVATION_BITS

    def rounded(self) -> Arrays:
        """The layer's arrays."""
        weight, bias = (part.detach().double() for part in self.layer.effective())
        w, b = self.weight(weight).numpy(), self.bias(bias).numpy()
        weight_bits = int(np.floor(np.log2(32767 / np.abs(w).max(initial=1e-6))))
        weight_bits = max(weight_bits, self.output_bits - self.input_bits)
        return {
            f"{self.name}.weight": np.floor(w * 2.0**weight_bits + 0.5).astype(np.int16),
            f"{self.name}.bias": np.floor(b * 2.0 ** (weight_bits + self.input_bits) + 0.5).astype(np.int64),
            f"{self.name}.shift": np.array(weight_bits + self.input_bits - self.output_bits, np.int64),
        }

    def restore(self, model: Model) -> None:
        """Gives the layer the weights that were rounded to these arrays; what was left out is zero."""
        shift = int(model.array(f"{self.name}.shift"))
        weight, bias = self.layer.effective()
        weight_bits = self.output_bits - self.input_bits + shift
        w = _unarranged(model.array(f"{self.name}.weight"), weight_bits, weight, self.weight)
        b = _unarranged(model.array(f"{self.name}.bias"), weight_bits + self.input_bits, bias, self.bias)
        self.layer.become(w, b)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the layer's arrays, by name."""
        weight, bias = self.layer.effective()
        return {f"{self.name}.weight": (*self.weight(weight).shape,), f"{self.name}.bias": (*self.bias(bias).shape,)}


def _unarranged(stored: npt.NDArray[Any], bits: int, like: Tensor, arrange: Arrange) -> Tensor:
    """Integers in units of 2^-bits, as a tensor of the shape of `like`."""
    places = arrange(torch.arange(like.numel()).view(like.shape))
    flat = torch.zeros(like.numel())
    flat[places.flatten()] = torch.from_numpy(stored.astype(np.float64) * 2.0**-bits).float().flatten()
    return flat.view(like.shape)


def load(folder: Path) -> FieldCoder:
    """The integer model in a folder.

    Raises:
        ModelError: there is none, or it is damaged.
        ConfigError: it is of another family.
    """
    model = zoo.load(folder)
    if not isinstance(model, FieldCoder):
        raise ConfigError(f"{folder} holds a model of the family {model.family}, not of {FAMILY.name}")
    return model


@torch.no_grad()
def to_arrays(model: VLAE) -> Arrays:
    """The arrays of all networks.

    Raises:
        ConfigError: the model is not one that the codec knows.
    """
    check_kind(model)
    assert isinstance(model.prior, MixturePrior)
    assert isinstance(model.pixels, PixelCNN)
    active = torch.nonzero(model.active)[:, 0]
    folded, degrees = _folded(model.prior.made, active), _degrees(model.prior.made.degrees, active)
    arrays: Arrays = {}
    for place in _places(model, folded, active):
        arrays.update(place.rounded())
    arrays["prior.layers"] = np.array(len(folded.masked) - 1, np.int64)
    arrays["prior.degrees"] = degrees[_used(degrees, len(active))].numpy()
    arrays["pixels.layers"] = np.array(len(blocks_of(model.pixels.blocks)), np.int64)
    return arrays


def check_kind(model: VLAE) -> None:
    """Refuses models that the codec does not know.

    Raises:
        ConfigError: it is of another kind, or all its latents are switched off.
    """
    _check_config(model.config)
    if not model.active.any():
        raise ConfigError("all latents are switched off: there would be nothing to code")


def _check_config(c: ModelConfig) -> None:
    if c.prior != "mixture":
        raise ConfigError("only a model with prior = 'mixture' can be integer: no other has exact cell masses")
    if c.decoder != "pixelcnn" or c.dilation != 1 or c.posterior != "gaussian":
        raise ConfigError("only a model with a Gaussian posterior and an undilated PixelCNN can be integer")


@torch.no_grad()
def to_float(model: Model, *rounds: Config) -> VLAE:
    """The inverse of `to_arrays`: the VLAE of which `model` was made by training in these rounds, but for the rounding.

    Raises:
        ConfigError: the arrays are not of such a model.
        ModelError: some are missing.
    """
    config = rounds[-1]
    _check_config(config.model)
    degrees = torch.from_numpy(model.array("prior.degrees").astype(np.int64))
    count = len(model.array("prior.steps"))
    sizes = (size for one in reversed(rounds) for size in (one.train.keep_latents, one.model.latents))
    for latents in dict.fromkeys(sizes):
        active = _active(degrees, count, hidden_degrees(latents, config.model.prior_hidden))
        if active is not None:
            break
    else:
        raise ConfigError(f"the prior of the model {model.name} is not of the shape that its configuration asks for")
    with torch.device("meta"):  # takes no memory for what only the configuration claims
        shapes = VLAE(config.model, latents)
    _check_shapes(model, shapes, active)
    restored = VLAE(config.model, latents)
    assert isinstance(restored.prior, MixturePrior)
    for place in _places(restored, restored.prior.made, active):
        place.restore(model)
    restored.active.zero_()[active] = 1.0
    return restored.eval()


def _check_shapes(model: Model, like: VLAE, active: Tensor) -> None:
    """Compares the arrays with the layers of `like`, which hold no values.

    Raises:
        ConfigError: they differ in number or shape.
    """
    assert isinstance(like.prior, MixturePrior)
    asked: dict[str, tuple[int, ...]] = {}
    for place in _places(like, like.prior.made, active):
        asked.update(place.shapes())
    stored = {name: array.shape for name, array in model.arrays.items() if name.endswith((".weight", ".bias"))}
    for name in sorted(asked.keys() | stored.keys()):
        if asked.get(name) != stored.get(name):
            sizes = " and ".join(str(table.get(name, "absent")) for table in (stored, asked))
            raise ConfigError(f"{name} of the model {model.name} is not as its configuration asks for: {sizes}")


def _places(model: VLAE, made: Made, active: Tensor) -> Iterator[_Place]:
    """All layers, with the network `made` of the prior; of the latents only the active."""
    encoder, decoder, pixels, channels = model.encoder, model.decoder, model.pixels, model.config.bottom_channels
    assert isinstance(pixels, PixelCNN)
    yield _Place("encoder.input", encoder.input, _taps, input_bits=0)
    yield from _stack("encoder.top", encoder.top)
    yield _Place("encoder.down", encoder.down, _taps)
    yield from _stack("encoder.bottom", encoder.bottom)
    yield _Place("encoder.dense", encoder.dense, lambda w: _grid_last(w.T, channels, axis=0))
    rows = torch.cat([active, model.latents + active])
    yield _Place(
        "encoder.posterior", encoder.posterior, lambda w: w[rows].T, lambda b: b[rows], output_bits=LATENT_BITS
    )

    degrees = hidden_degrees(model.latents, model.config.prior_hidden)
    used = _used(_degrees(degrees, active), len(active))
    outputs = (active[:, None] * made.outputs + torch.arange(made.outputs)).flatten()
    seen = active
    for i, layer in enumerate(made.masked):
        last = i == len(made.masked) - 1
        name, units = ("prior.output", outputs) if last else (f"prior.hidden.{i}", used)
        yield _Place(name, layer, _chosen(units, seen), _chosen(units), LATENT_BITS, LATENT_BITS)
        seen = units

    yield _Place("decoder.dense", decoder.dense, lambda w: w[:, active].T, input_bits=LATENT_BITS)
    yield _Place(
        "decoder.expand",
        decoder.expand,
        lambda w: _grid_last(w.T, channels, axis=1),
        lambda b: _grid_last(b, channels, axis=0),
    )
    yield from _stack("decoder.bottom", decoder.bottom)
    yield _Place("decoder.up", decoder.up, _taps)
    yield from _stack("decoder.top", decoder.top)
    yield _Place("decoder.output", decoder.output, _taps)

    yield _Place("pixels.input", pixels.input, lambda w: _causal_taps(w, 4), input_bits=0)
    for i, block in enumerate(blocks_of(pixels.blocks)):
        yield _Place(f"pixels.blocks.{i}.first", block.first, lambda w: _causal_taps(w, 5))
        yield _Place(f"pixels.blocks.{i}.second", block.second, _taps)
    yield _Place("pixels.output", pixels.output, _taps)


def _stack(name: str, stack: nn.Sequential) -> Iterator[_Place]:
    for i, block in enumerate(blocks_of(stack)):
        yield _Place(f"{name}.{i}.first", block.first, _taps)
        yield _Place(f"{name}.{i}.second", block.second, _taps)


def _taps(weight: Tensor) -> Tensor:
    """(out, in, kh, kw) -> (taps * in, out)."""
    return weight.permute(2, 3, 1, 0).flatten(0, 2)


def _causal_taps(weight: Tensor, taps: int) -> Tensor:
    """The taps up-left, up, up-right, left, centre of a masked 3x3 kernel: (taps * in, out)."""
    return weight.flatten(2)[:, :, :taps].permute(2, 1, 0).flatten(0, 1)


def _grid_last(x: Tensor, channels: int, axis: int) -> Tensor:
    """Reorders an axis from (channel, row, col) to (row, col, channel)."""
    split = x.unflatten(axis, (channels, -1))
    return split.movedim(axis, axis + 1).flatten(axis, axis + 1)


def _chosen(units: Tensor, seen: Tensor | None = None) -> Arrange:
    """Of a dense layer these units, and of what they see this."""
    return lambda x: x[units] if seen is None else x[units][:, seen].T


def _degrees(degrees: Tensor, active: Tensor) -> Tensor:
    """How many active latents a hidden unit sees: degree d stands for the first d of all."""
    return (active[None, :] < degrees[:, None]).sum(1)


def _used(degrees: Tensor, count: int) -> Tensor:
    """The units that see an active latent and serve another."""
    return torch.nonzero((degrees >= 1) & (degrees < count))[:, 0]


def _folded(made: Made, active: Tensor) -> Made:
    """The same network without the units that see no active latent: these are constants, and go into later biases."""
    folded, unseeing = copy.deepcopy(made), _degrees(made.degrees, active) == 0
    constant = torch.zeros(made.latents)
    for layer in folded.masked:
        layer.bias.add_(layer.effective()[0] @ constant)
        constant = torch.relu(layer.bias) * unseeing if len(layer.bias) == len(unseeing) else constant
    return folded


def _active(degrees: Tensor, count: int, all_degrees: Tensor) -> Tensor | None:
    """Which latents are active, (count,), if of the units of `all_degrees` the used ones see as many as `degrees` says."""
    first = torch.searchsorted(degrees, torch.arange(1, count + 1))  # of the used units the first that sees as many
    extended = torch.cat([all_degrees, all_degrees[-1:] + 1])
    # those that see no active latent are all units of the first few degrees
    starts = [0, *(torch.nonzero(extended.diff())[:, 0] + 1).tolist()]
    for unseeing in (start for start in starts if start <= len(all_degrees) - len(degrees)):
        active = extended[unseeing + first] - 1
        found = _degrees(all_degrees, active)
        if torch.equal(found[_used(found, count)], degrees):
            return active
    return None
