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

from vlae_codec.errors import ConfigError

from . import config

FAMILIES = {
    "field": "vlae_codec.models.field.experiment",
    "grid": "vlae_codec.models.grid.experiment",
    "ink": "vlae_codec.models.ink.experiment",
}
"""Where each family's `train` and `export` are."""


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
    """The module of the family whose training a folder holds; of other folders, that of drawings."""
    folder = Path(name)
    if (folder / "transforms" / "config.json").is_file():
        return import_module(FAMILIES["grid"])
    return import_module(FAMILIES["ink" if _is_of_ink(folder) else "field"])


def _is_of_ink(folder: Path) -> bool:
    """Whether it holds a run whose configuration has a schedule, which that of drawings has not."""
    try:
        return "schedule" in json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False
