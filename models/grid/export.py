"""A trained photo VLAE as the arrays of the integer model that the codec runs (see `vlae_codec/grid`).

Weights of the transforms and the prior are rounded to 16 bits, those of the PixelCNN to as many as keep its sums below
2^24, so that float32 computes them exactly.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vlae_codec.errors import ConfigError
from vlae_codec.files import write
from vlae_codec.grid import network
from vlae_codec.grid.grain import STRENGTH_BITS
from vlae_codec.grid.mixtures import OUTPUT_BITS
from vlae_codec.grid.network import BITS
from vlae_codec.grid.texture import INPUT_BITS, INPUT_LIMIT, RUNS
from vlae_codec.models.config import build

from .calibration import strengths
from .prior import Group
from .run import average_of
from .texture import Causal, Texture
from .train import PhotoConfig, middles
from .transforms import ResidualBlock
from .vlae import Transforms

Arrays = dict[str, npt.NDArray[Any]]
_MOST_BITS = 13
_MOST_NARROW_BITS = 10
_FLOAT32 = 2.0**24
_TEMPERATURE = 0.5
_CALIBRATED = 192  # pixels each way


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
    encoder, decoder = transforms.encoder, transforms.decoder
    wide: dict[str, nn.Conv2d] = {
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
        arrays[f"{name}.level"], arrays[f"{name}.step"] = _fixed(group.level, BITS), _fixed(group.step, BITS)
        for part in ("coarser", "around", "first", "second", "output"):
            if getattr(group, part) is not None:
                wide[f"{name}.{part}"] = getattr(group, part)
        for sort, phases in enumerate(group.window):
            assert isinstance(phases, nn.ModuleList)
            for phase, layer in enumerate(phases):
                wide[f"{name}.window.{sort}.{phase}"] = _conv(layer)
    for name, layer in wide.items():
        arrays.update(_layer(name, _taps(layer.weight), layer.bias, BITS, BITS))
    arrays.update(texture_arrays(texture, "texture"))
    if grain is not None:
        arrays.update(texture_arrays(grain, "grain"))
        unit, levels = 1 << STRENGTH_BITS, transforms.config.levels
        arrays["grain.strengths"] = np.full((levels, 2), unit, np.int64)
        arrays["grain.temperatures"] = np.full((levels, 1), round(_TEMPERATURE * unit), np.int64)
    return arrays


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


FILES = "card.md", "model.json", "weights.npz"
"""Of a model's folder."""
STAGES = "transforms", "texture", "grain"


def export_run(run: Path, folder: Path, name: str, data_folder: Path) -> str:
    """Writes the model of a run, of its averaged weights: `weights.npz`, `model.json` and `card.md`.

    data_folder: of the training pictures, whose sources the card lists.

    Returns:
        One line on how large it is.

    Raises:
        ConfigError: a stage of the run is missing, or its checkpoint is not one of photos.
    """
    try:
        config = config_of(run)
        transforms, texture = Transforms(config.model), Texture(config.pixels)
        transforms.load_state_dict(average_of(run / "transforms"))
        grain = Texture(config.pixels)
        texture.load_state_dict(average_of(run / "texture"))
        grain.load_state_dict(average_of(run / "grain"))
        trained = {stage: last_line(run / stage) for stage in STAGES}
    except (OSError, LookupError, ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(f"no photo model in {run}: {error}") from error
    sources = sources_of([data_folder / config.data.scaled, data_folder / config.data.plain])
    arrays = to_arrays(transforms.eval(), texture.eval(), config.level, grain.eval())
    arrays["grain.strengths"] = strengths(arrays, middles(data_folder / config.data.valid, _CALIBRATED))
    packed = io.BytesIO()
    np.savez_compressed(packed, **cast(Any, arrays))
    data = packed.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    about = {"name": name, "sha256": digest, "experiment": asdict(config), "trained": trained}
    parameters = sum(array.size for array in arrays.values())
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "weights.npz", data, force=True)
    write(folder / "model.json", (json.dumps(about, indent=2) + "\n").encode(), force=True)
    write(folder / "card.md", card(name, about, parameters, sources).encode(), force=True)
    return f"{name}: {parameters:,} integers, {len(data) / 1e6:.1f} MB, sha256 {digest[:16]}..."


def config_of(run: Path) -> PhotoConfig:
    """The configuration of a run, as its last stage has it."""
    config: PhotoConfig = build(PhotoConfig, json.loads((run / "texture" / "config.json").read_text()))
    return config


def last_line(run: Path) -> dict[str, Any]:
    """The last line of a stage's log."""
    line: dict[str, Any] = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    return line


def sources_of(folders: Sequence[Path]) -> str:
    """A table of where training pictures came from: of each folder's SOURCES.tsv, those files that are there.

    Raises:
        ConfigError: a folder has no such list, or it lacks a column.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for folder in folders:
        listing = next(
            (place / "SOURCES.tsv" for place in (folder, folder.parent) if (place / "SOURCES.tsv").is_file()), None
        )
        if listing is None:
            raise ConfigError(f"{folder} has no SOURCES.tsv that says where its pictures came from")
        with listing.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                if (folder / row["file"]).is_file():
                    counts[row["repo_or_package"], row["licence_as_stated"]] += 1
    rows = "\n".join(f"| {source} | {licence} | {count} |" for (source, licence), count in sorted(counts.items()))
    return f"| source | licence as stated there | pictures |\n| --- | --- | ---: |\n{rows}"


_CARD = """# {name}

Photographs, gray or colour, of any size: a VLAE over a grid of latents at 1/8 of the resolution, and a PixelCNN of small
window over the pixels given it. {parameters:,} integers. SHA-256 of `weights.npz`: `{sha256}`.

## How it was made

    vlae-codec train photo --data DIR
    vlae-codec export runs/photo --data DIR -o {name}
    python benchmarks/temperatures.py --data VALID --model {name} --write

The last line, in a checkout of the sources, chooses each level's temperature on validation pictures; until then it is 0.5.

| stage | steps | hours on one core | figures at the end |
| --- | ---: | ---: | --- |
{rows}

Below `DIR`: `{scaled}`, photographs that are scaled by 0.4 to 0.75 anew at each look; `{plain}`, lossless pictures at their
own size, of which those whose number is divisible by {leave_out} are left out for validation; `{valid}`, for validation.

## What it has seen

No training picture, whole or in part, is in this package. The Kodak pictures were never trained on.

{sources}
"""


def card(name: str, about: dict[str, Any], parameters: int, sources: str) -> str:
    """What a model's card says: how it was made, and on what."""
    rows = "\n".join(_row(stage, dict(line)) for stage, line in about["trained"].items())
    data = about["experiment"]["data"]
    return _CARD.format(name=name, parameters=parameters, sha256=about["sha256"], rows=rows, sources=sources, **data)


def _row(stage: str, line: dict[str, Any]) -> str:
    steps, hours = line.pop("step"), line.pop("seconds") / 3600
    return f"| {stage} | {steps:,} | {hours:.2f} | {', '.join(f'{key} {value:.4f}' for key, value in line.items())} |"
