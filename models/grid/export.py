"""A photo model's folder from a run: `weights.npz`, the arrays of `integers`, `model.json` and `card.md`."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from vlae_codec.errors import ConfigError
from vlae_codec.files import write
from vlae_codec.models.families import locate

from .calibration import coarse_fit, strengths
from .config import PhotoConfig
from .integers import coarse_layer, to_arrays
from .kept import config_of, fitted_of, history, is_exported, is_run, kept
from .train import middles

_CALIBRATED = 192  # pixels each way

FILES = "card.md", "model.json", "weights.npz"
"""Of a model's folder."""


def export_run(run: Path, folder: Path, name: str, data_folder: Path) -> str:
    """Writes the model of a run, of its averaged weights: `weights.npz`, `model.json` and `card.md`.

    data_folder: of the training pictures, whose sources the card lists.

    Returns:
        One line on how large it is.

    Raises:
        ConfigError: a stage of the run is missing, or its checkpoint is not one of photos.
    """
    model, about = kept(run), history(run)
    config = model.config
    if model.grain is None:
        raise ConfigError(f"the PixelCNN that draws is missing in {run}: train it to the end first")
    sources = sources_of([data_folder / config.data.scaled, data_folder / config.data.plain])
    arrays = to_arrays(model.transforms, model.texture, config.level, model.grain)
    if same := _fitted_before(run, config):
        arrays |= fitted_of(same)
    else:
        validation = middles(data_folder / config.data.valid, _CALIBRATED)
        arrays |= coarse_layer(*coarse_fit(arrays, validation))
        arrays["grain.strengths"] = strengths(arrays, validation)
    packed = io.BytesIO()
    np.savez_compressed(packed, **cast(Any, arrays))
    data = packed.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    about = {"name": name, "sha256": digest, **about}
    parameters = sum(array.size for array in arrays.values())
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "weights.npz", data, force=True)
    write(folder / "model.json", (json.dumps(about, indent=2) + "\n").encode(), force=True)
    write(folder / "card.md", card(about, parameters, sources).encode(), force=True)
    return f"{name}: {parameters:,} integers, {len(data) / 1e6:.1f} MB, sha256 {digest[:16]}..."


def _fitted_before(run: Path, config: PhotoConfig) -> Path | None:
    """The exported model whose fits hold here, too: this one, or the one it goes back to by training only what codes."""
    if is_exported(run):
        return run
    if not config.initial or config.transforms.steps or config.grain.steps:
        return None
    initial = locate(config.initial, run.parent)
    if is_run(initial):
        return _fitted_before(initial, config_of(initial))
    return initial if is_exported(initial) else None


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


_BEGUN = """    vlae-codec train photo --data DIR
    vlae-codec export runs/photo --data DIR -o {name}"""
_WENT_ON = """In several rounds, each of which went on from the one before; the last:

    vlae-codec train EXPERIMENT --data DIR
    vlae-codec export runs/EXPERIMENT --data DIR -o {name}"""
_CARD = """# {name}

Photographs, gray or colour, of any size: a VLAE over a grid of latents at 1/8 of the resolution, and a PixelCNN of small
window over the pixels given it. {parameters:,} integers. SHA-256 of `weights.npz`: `{sha256}`.

## How it was made

{commands}

A stage that has no row in a round is as it was before. In a checkout of the sources `python benchmarks/temperatures.py
--data VALID --model {name} --write` chooses each level's temperature on validation pictures; until then it is 0.5.

| round | stage | steps | hours on one core | figures at the end |
| --- | --- | ---: | ---: | --- |
{rows}

Below `DIR`: `{scaled}`, photographs that are scaled by 0.4 to 0.75 anew at each look; `{plain}`, lossless pictures at their
own size, of which those whose number is divisible by {leave_out} are left out for validation; `{valid}`, for validation.

## What it has seen

No training picture, whole or in part, is in this package. The Kodak pictures were never trained on.

{sources}
"""


def card(about: dict[str, Any], parameters: int, sources: str) -> str:
    """What a model's card says: how it was made, and on what."""
    rounds = [about]
    while "initial" in rounds[0]:
        rounds.insert(0, rounds[0]["initial"])
    rows = [
        _row(number + 1, stage, dict(line))
        for number, one in enumerate(rounds)
        for stage, line in one["trained"].items()
        if line["step"]
    ]
    return _CARD.format(
        name=about["name"],
        parameters=parameters,
        sha256=about["sha256"],
        rows="\n".join(rows),
        sources=sources,
        commands=(_WENT_ON if len(rounds) > 1 else _BEGUN).format(name=about["name"]),
        **about["experiment"]["data"],
    )


def _row(number: int, stage: str, line: dict[str, Any]) -> str:
    steps, hours = line.pop("step"), line.pop("seconds") / 3600
    figures = ", ".join(f"{key} {value:.4f}" for key, value in line.items())
    return f"| {number} | {stage} | {steps:,} | {hours:.2f} | {figures} |"
