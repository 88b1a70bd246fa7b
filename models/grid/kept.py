"""Networks as a run keeps them, or an exported model: what an evaluation measures, an export writes, a new run begins with.

Of an exported model weights come back as they were rounded, so what is exported of them anew is the same.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vlae_codec.errors import ConfigError
from vlae_codec.grid.mixtures import OUTPUT_BITS
from vlae_codec.grid.network import BITS, Arrays
from vlae_codec.grid.texture import INPUT_BITS, PLANES, RUNS
from vlae_codec.models import ranks
from vlae_codec.models.config import build
from vlae_codec.models.families import locate

from .config import PhotoConfig
from .integers import wide_layers
from .run import average_of
from .texture import GIVEN, Causal, Texture, TextureConfig
from .vlae import TransformConfig, Transforms

STAGES = "transforms", "texture", "grain"
_CONFIG = Path("texture") / "config.json"
_INITIAL = "initial.json"
"""In a run's folder, how the model that it began with came about: that one may be another by the time it ends."""
_SENSELESS = (OSError, LookupError, ValueError, TypeError, RuntimeError, EOFError, UnpicklingError, BadZipFile)
"""What is raised of files that are no run's, or of another shape."""


class Kept(NamedTuple):
    """A photo model in floats. grain: the PixelCNN that draws, if there is one."""

    config: PhotoConfig
    transforms: Transforms
    texture: Texture
    grain: Texture | None


def kept(folder: Path) -> Kept:
    """The averaged weights of a run, or those of an exported model.

    Raises:
        ConfigError: there are none; of a run, it has not come as far as its PixelCNN; or they are damaged.
    """
    try:
        return _exported(folder) if is_exported(folder) else _of_run(folder)
    except _SENSELESS as error:
        raise ConfigError(
            f"{folder} holds no photo model that has been trained as far as its PixelCNN: {error}"
        ) from error


def is_exported(folder: Path) -> bool:
    """Whether the folder is an exported model's, and not a run's."""
    return (folder / "weights.npz").exists()


def is_run(folder: Path) -> bool:
    """Whether the folder is a run's that has come as far as its PixelCNN."""
    return (folder / _CONFIG).exists()


def config_of(run: Path) -> PhotoConfig:
    """What the run of a folder was asked for.

    Raises:
        OSError, ValueError, ConfigError: the folder does not say so.
    """
    config: PhotoConfig = build(PhotoConfig, json.loads((run / _CONFIG).read_text("utf-8")))
    return config


def _of_run(folder: Path) -> Kept:
    config = config_of(folder)
    weights = {stage: average_of(folder / stage) for stage in STAGES if (folder / stage / "checkpoint.pt").exists()}
    transforms, texture = Transforms(config.model), Texture(config.pixels)
    transforms.load_state_dict(weights["transforms"])
    texture.load_state_dict(weights["texture"])
    grain = None
    if "grain" in weights:
        grain = Texture(_shape_of(weights["grain"], config.pixels))
        grain.load_state_dict(weights["grain"])
    return Kept(config, transforms.eval(), texture.eval(), grain and grain.eval())


def _exported(folder: Path) -> Kept:
    about = json.loads((folder / "model.json").read_text("utf-8"))
    config: PhotoConfig = build(PhotoConfig, about["experiment"])
    arrays = _arrays(folder)
    grain = texture_of(arrays, "grain") if "grain.layers" in arrays else None
    return Kept(config, transforms_of(arrays, config.model), texture_of(arrays, "texture"), grain)


def history(folder: Path) -> dict[str, Any]:
    """How the model of a run, or an exported one, came about: its `experiment`, what of each stage was `trained`, and the
    same of the `initial` model, if it had one.

    Raises:
        ConfigError: the folder does not say so.
    """
    try:
        if (folder / "model.json").exists():
            about = json.loads((folder / "model.json").read_text("utf-8"))
            return {key: about[key] for key in ("experiment", "trained", "initial") if key in about}
        config = config_of(folder)
        found = {"experiment": asdict(config), "trained": {stage: _last_line(folder / stage) for stage in STAGES}}
        return found | ({"initial": json.loads((folder / _INITIAL).read_text("utf-8"))} if config.initial else {})
    except _SENSELESS as error:
        raise ConfigError(f"{folder} does not say how its model was trained: {error}") from error


def _last_line(stage: Path) -> dict[str, Any]:
    """The last line of a stage's log; a stage that kept what it was given has none."""
    if not (stage / "log.jsonl").exists():
        return {"step": 0, "seconds": 0}
    line: dict[str, Any] = json.loads((stage / "log.jsonl").read_text("utf-8").splitlines()[-1])
    return line


def fitted_of(folder: Path) -> Arrays:
    """What was fitted of an exported model, then or later: how strong it draws, how warm, and what its coarse picture is.

    Raises:
        ConfigError: it is none.
    """
    try:
        arrays = _arrays(folder)
        coarse = (f"decoder.coarse.{part}" for part in ("weight", "bias", "shift"))
        return {name: arrays[name] for name in ("grain.strengths", "grain.temperatures", *coarse)}
    except _SENSELESS as error:
        raise ConfigError(f"{folder} is no exported photo model that draws: {error}") from error


def _arrays(folder: Path) -> Arrays:
    with np.load(folder / "weights.npz", allow_pickle=False) as file:
        return dict(file)


def _shape_of(weights: dict[str, Tensor], like: TextureConfig) -> TextureConfig:
    """That of a PixelCNN's weights, which may have other channels and layers than another one."""
    layers = sum(name.startswith("pointwise.") and name.endswith(".bias") for name in weights)
    return replace(like, channels=weights["level"].shape[1], layers=layers)


def begun(config: PhotoConfig, folder: Path) -> tuple[Transforms, Texture, Texture | None]:
    """What the run of a folder begins with: noise, or its `initial`, which may be a folder beside. The last is what draws,
    if it does not begin as what codes.

    Raises:
        ConfigError: there is no such model, or it is of another shape.
    """
    if not config.initial:
        torch.manual_seed(config.transforms.seed)
        transforms = Transforms(config.model)
        torch.manual_seed(config.texture.seed)
        return transforms, Texture(config.pixels), None
    place = locate(config.initial, folder.parent)
    initial = kept(place)
    if initial.config.model != config.model:
        raise ConfigError(f"{config.initial} has transforms of another shape than the experiment's")
    torch.manual_seed(config.texture.seed)
    texture = grown(initial.texture, config.pixels)
    if ranks.rank() == 0 and not (folder / _INITIAL).exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _INITIAL).write_text(json.dumps(history(place), indent=2) + "\n", encoding="utf-8")
    return initial.transforms.train(), texture.train(), initial.grain and initial.grain.train()


@torch.no_grad()
def grown(model: Texture, shape: TextureConfig) -> Texture:
    """A PixelCNN that computes what a smaller one did (Net2Net: Chen, Goodfellow & Shlens 2016, Section 2.2): channels that
    are new are random features, which the old ones do not hear at first; layers that are new add nothing at first.

    Raises:
        ConfigError: it is not larger, or another size than these is another.
    """
    before = model.config
    if shape != replace(before, channels=max(before.channels, shape.channels), layers=max(before.layers, shape.layers)):
        raise ConfigError(f"a PixelCNN of the shape {before} cannot grow into {shape}")
    large, old = Texture(shape), model.state_dict()

    def filled(name: str, new: Tensor) -> Tensor:
        if name not in old:
            return torch.zeros_like(new) if name.startswith("pointwise.") else new
        if new.ndim > 1:
            new[: old[name].shape[0], old[name].shape[1] :] = 0
        new[tuple(slice(size) for size in old[name].shape)] = old[name]
        return new

    large.load_state_dict({name: filled(name, new) for name, new in large.state_dict().items()})
    return large


def transforms_of(arrays: Arrays, shape: TransformConfig) -> Transforms:
    """Encoder, decoder and prior.

    Raises:
        LookupError, RuntimeError: the arrays are not of this shape.
    """
    model = Transforms(shape)
    tables = {
        "encoder.log_gain": model.encoder.log_gain,
        "decoder.log_step": model.decoder.log_step,
        **{f"prior.{name}": one for name, one in model.prior.named_parameters() if name.endswith((".level", ".step"))},
    }
    with torch.no_grad():
        for name, table in tables.items():
            table.copy_(_real(arrays[name], BITS))
        for name, layer in wide_layers(model).items():
            _fill(layer, arrays, name, BITS, BITS)
    return model.eval()


def texture_of(arrays: Arrays, name: str) -> Texture:
    """A PixelCNN, `texture` or `grain`, of the shape that it has there.

    Raises:
        LookupError, RuntimeError: the arrays are not those of one.
    """
    model = Texture(_shape_in(arrays, name))
    with torch.no_grad():
        model.level.copy_(_real(arrays[f"{name}.level"], INPUT_BITS))
        for part in ("features", "around", "context", "last"):
            _fill(getattr(model, part), arrays, f"{name}.{part}", INPUT_BITS, INPUT_BITS)
        _fill(model.output, arrays, f"{name}.output", INPUT_BITS, OUTPUT_BITS)
        for layer, (causal, pointwise) in enumerate(zip(model.causal, model.pointwise, strict=True)):
            assert isinstance(causal, Causal)
            assert isinstance(pointwise, nn.Conv2d)
            _fill(pointwise, arrays, f"{name}.pointwise.{layer}", INPUT_BITS, INPUT_BITS)
            taps, bias = _layer(arrays, f"{name}.causal.{layer}", INPUT_BITS, INPUT_BITS)
            channels = model.config.channels
            ahead = taps.new_zeros(channels, channels)  # the tap to the right, which is not known
            weight = torch.cat([taps, ahead]).view(2, 3, channels, channels)
            causal.layer.weight.copy_(weight.permute(3, 2, 0, 1))
            assert causal.layer.bias is not None
            causal.layer.bias.copy_(bias)
        _fill_window(model, *_layer(arrays, f"{name}.window", INPUT_BITS, INPUT_BITS))
    return model.eval()


def _shape_in(arrays: Arrays, name: str) -> TextureConfig:
    levels, channels = arrays[f"{name}.level"].shape
    hidden, features = arrays[f"{name}.features.weight"].shape
    return TextureConfig(
        channels=channels,
        layers=int(arrays[f"{name}.layers"]),
        mixtures=arrays[f"{name}.output.bias"].size // 10,
        features=features // 4,
        around=arrays[f"{name}.around.bias"].size,
        hidden=hidden // 9,
        levels=levels,
    )


def _fill_window(model: Texture, taps: Tensor, bias: Tensor) -> None:
    """The first layer's taps: of the window, row by row, and of what is given beside it; their biases are one."""
    *rows, given = taps.split([run * PLANES for run in RUNS] + [GIVEN])
    model.window.layer.weight.zero_()
    for row, (run, part) in enumerate(zip(RUNS, rows, strict=True)):
        model.window.layer.weight[:, :, row, :run] = part.view(run, PLANES, -1).permute(2, 1, 0)
    model.given.weight.copy_(given.T[:, :, None, None])
    for layer, own in ((model.window.layer, bias), (model.given, torch.zeros_like(bias))):
        assert layer.bias is not None
        layer.bias.copy_(own)


def _fill(layer: nn.Conv2d, arrays: Arrays, name: str, input_bits: int, output_bits: int) -> None:
    """A convolution of taps in raster order."""
    taps, bias = _layer(arrays, name, input_bits, output_bits)
    outputs, inputs, height, width = layer.weight.shape
    layer.weight.copy_(taps.view(height, width, inputs, outputs).permute(3, 2, 0, 1))
    assert layer.bias is not None
    layer.bias.copy_(bias)


def _layer(arrays: Arrays, name: str, input_bits: int, output_bits: int) -> tuple[Tensor, Tensor]:
    """Taps (kh kw I, O) and bias (O,)."""
    bits = int(arrays[f"{name}.shift"]) - input_bits + output_bits
    return _real(arrays[f"{name}.weight"], bits), _real(arrays[f"{name}.bias"], bits + input_bits)


def _real(table: npt.NDArray[Any], bits: int) -> Tensor:
    return torch.from_numpy(table.astype(np.float64) * 2.0**-bits).float()
