"""The options that several commands share, each spelled once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

FOLDER = click.Path(path_type=Path, file_okay=False)
MODEL = click.option("--model", "model_name", metavar="NAME|DIR", help="A released model or a model's folder.")
FORCE = click.option("-f", "--force", is_flag=True, help="Overwrite existing files.")
QUIET = click.option("-q", "--quiet", is_flag=True, help="Only errors.")
JSON = click.option("--json", "as_json", is_flag=True, help="Report as JSON.")


def data_folder(*flags: str) -> Callable[[Command], Command]:
    """The folder of the data sets, as `data_folder`."""
    return click.option(
        *flags,
        "data_folder",
        type=FOLDER,
        envvar="VLAE_DATA",
        default=Path("data"),
        show_default=True,
        help="Folder of the data sets.",
    )
