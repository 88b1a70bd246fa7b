"""A trained network as integers, and the weights that mixers begin with: the released model."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from vlae_codec.errors import ConfigError
from vlae_codec.files import write
from vlae_codec.ink.network import BITS
from vlae_codec.ink.state import SIMILAR
from vlae_codec.ink.window import PLACES
from vlae_codec.models import config
from vlae_codec.picture.scaling import read_rgb

from .mixers import Arrays, begin, begun
from .pages import Bits, bits_of, files_of
from .train import InkConfig

FILES = "card.md", "model.json", "weights.npz"
_CROP, _SMALL, _ROUNDS = 480, 200, 2
_LEAST_OUTPUT = 1e-3


def export_run(run: Path, folder: Path, name: str, data_folder: Path) -> str:
    """Writes the model of a run, of its averaged weights: `weights.npz`, `model.json` and `card.md`.

    Raises:
        ConfigError: the run has no checkpoint, or its pictures are not there.
    """
    try:
        table = json.loads((run / "config.json").read_text(encoding="utf-8"))
        average = torch.load(run / "checkpoint.pt", weights_only=True)["average"]
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ConfigError(f"no run of an ink model in {run}: {error}") from error
    experiment: InkConfig = config.build(InkConfig, table)
    arrays = {**begin(), **network_arrays(average)}
    crops = crops_of(experiment, data_folder)
    for _ in range(_ROUNDS):
        arrays.update(begun(arrays, crops))
    packed = io.BytesIO()
    np.savez_compressed(packed, **cast(Any, {"family": np.array("ink"), **arrays}))
    data = packed.getvalue()
    about = {"name": name, "sha256": hashlib.sha256(data).hexdigest(), "experiment": table}
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "weights.npz", data, force=True)
    write(folder / "model.json", (json.dumps(about, indent=2) + "\n").encode(), force=True)
    write(folder / "card.md", card(about, arrays, run).encode(), force=True)
    return f"{len(data)} bytes, {sum(array.size for array in arrays.values())} integers"


def network_arrays(weights: dict[str, Tensor]) -> Arrays:
    """The layers in integers, the units of the second so large that the last layer's weights are 1 or -1.

    So a unit is what it adds to the logit, which is what the rate at which that layer goes on learning is for.
    """
    arrays: Arrays = {}
    size = weights["output.weight"][0].abs().clamp(min=_LEAST_OUTPUT)
    weights = {
        **weights,
        "second.weight": weights["second.weight"] * size[:, None],
        "second.bias": weights["second.bias"] * size,
        "output.weight": weights["output.weight"] / size,
    }
    for layer in ("first", "second", "output"):
        weight, bias = (weights[f"{layer}.{part}"].double().numpy() for part in ("weight", "bias"))
        weight = weight[0] if layer == "output" else weight.T
        arrays[f"network.{layer}.weight"] = np.rint(weight * (1 << BITS)).clip(-(2**15) + 1, 2**15 - 1).astype(np.int16)
        arrays[f"network.{layer}.bias"] = np.rint(bias * (1 << BITS)).astype(np.int32)
    return arrays


def crops_of(experiment: InkConfig, data_folder: Path) -> list[Bits]:
    """Of each training page the crop with the most ink of four, and some small drawings as they are."""
    pages = [
        one for one in files_of(data_folder / experiment.data.pages) if not one.name.startswith(experiment.data.valid)
    ]
    found = [_crop(bits_of(read_rgb(page))) for page in pages]
    found += [bits_of(read_rgb(one))[:_SMALL, :_SMALL] for one in files_of(data_folder / experiment.data.rendered)[::6]]
    if not pages:
        raise ConfigError(f"no pages in {data_folder / experiment.data.pages}")
    return found


def _crop(bits: Bits) -> Bits:
    height, width = bits.shape
    crops = [
        bits[row : row + _CROP, column : column + _CROP]
        for row in (height // 6, height // 2)
        for column in (width // 6, width // 2)
    ]
    return max(crops, key=lambda crop: int(crop.sum()))


_CARD = """# {name}

Two-level pictures of any size, exactly: pages, line art, icons, codes (family `ink`).

A network of {first} and {second} hidden units looks at the {places} pixels before each in a window of nine rows, and at
what is around the {similar} most similar places of the same picture; contexts of {contexts} pixels, and of such places,
adapt; mixers weigh them all online. {parameters:,} integers.
SHA-256 of `weights.npz`: `{sha256}`.

Trained on scanned pages (Leptonica's test images, BSD-2-Clause; the documents {valid} were held out) and on drawings that
`benchmarks/ink_drawings.py` renders:

    python benchmarks/ink_drawings.py DATA
    vlae-codec train ink --data DATA -o RUN --threads 1        # {steps} steps, {minutes:.0f} minutes
    vlae-codec export RUN --data DATA -o {name} -f

What it is worth: [docs/drawings.md](../../../docs/drawings.md).
"""


def card(about: dict[str, Any], arrays: Arrays, run: Path) -> str:
    """What a model's card says: how it was made, and on what."""
    experiment: InkConfig = config.build(InkConfig, about["experiment"])
    last = json.loads((run / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    weight = arrays["network.first.weight"]
    return _CARD.format(
        name=about["name"],
        first=weight.shape[1],
        second=len(arrays["network.second.bias"]),
        places=PLACES,
        similar=SIMILAR,
        contexts=", ".join(map(str, arrays["contexts"])),
        parameters=sum(array.size for array in arrays.values()),
        sha256=about["sha256"],
        valid=", ".join(experiment.data.valid),
        steps=last["step"],
        minutes=last["seconds"] / 60,
    )
