"""Which family an experiment or a run is of: each knows how it is trained and exported.

Training: train(table, folder, data_folder, device, threads, report), with the experiment's TOML table less its `family`
Exporting: export(run, folder, name, step, data_folder, progress) -> a line on how it went
Evaluating, of a family of photographs: evaluate(run, data_folder, on, images, progress) -> a table of figures
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from vlae_codec import zoo
from vlae_codec.errors import ConfigError

from . import config

FAMILIES = {
    "field": "vlae_codec.models.field.experiment",
    "grid": "vlae_codec.models.grid.experiment",
    "ink": "vlae_codec.models.ink.experiment",
}
"""Where each family's `train` and `export` are."""


RELEASED = "released:"
"""Before the name of a model that ships, where that of a run is asked for."""


def locate(name: str, beside: Path) -> Path:
    """The folder `name` in `beside`, or of `released:NAME` that of the model which ships.

    Raises:
        ModelError: there is no such model.
    """
    return zoo.folder_of(name.removeprefix(RELEASED)) if name.startswith(RELEASED) else beside / name


def of_experiment(path: Path) -> tuple[Any, dict[str, Any]]:
    """The module of the family of an experiment file, and the rest of its table.

    Raises:
        ConfigError: the file cannot be read, or names no family that is known.
    """
    table = config.read_table(path)
    name = table.pop("family", "field")
    if name not in FAMILIES:
        raise ConfigError(f"{path} is of the family {name!r}: known are {', '.join(FAMILIES)}")
    return import_module(FAMILIES[name]), table


def of_run(name: str) -> Any:
    """The module of the family of a run's folder, of an exported model's or of `released:NAME`; of other folders, that of
    drawings.

    Raises:
        ModelError: there is no such released model.
    """
    return import_module(FAMILIES[_family_of(locate(name, Path()))])


def _family_of(folder: Path) -> str:
    if (folder / "transforms" / "config.json").is_file():
        return "grid"
    try:
        with np.load(folder / "weights.npz", allow_pickle=False) as arrays:
            named = str(arrays["family"])
            return named if named in FAMILIES else "field"
    except (OSError, LookupError, ValueError, TypeError, EOFError, BadZipFile):
        return "ink" if _is_of_ink(folder) else "field"


def _is_of_ink(folder: Path) -> bool:
    """Whether it holds a run whose configuration has a schedule, which that of drawings has not."""
    try:
        return "schedule" in json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False
