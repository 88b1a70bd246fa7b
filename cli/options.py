"""The options that several commands share, each spelled once."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from vlae_codec.exact.random_words import SEED_LIMIT
from vlae_codec.picture.drawing import LARGEST_THRESHOLD

Command = TypeVar("Command", bound=Callable[..., Any])


class Number(click.FloatRange):
    """A float range that has no place for nan."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        return self.fail(f"{value!r} is no number.", param, ctx) if math.isnan(number) else number


FOLDER = click.Path(path_type=Path, file_okay=False)
MODEL = click.option("--model", "model_name", metavar="NAME|DIR", help="A released model or a model's folder.")
MADE_WITH = click.option(
    "--model", "model_name", metavar="NAME|DIR", help="The model of files that name none of those released."
)
FORCE = click.option("-f", "--force", is_flag=True, help="Overwrite existing files.")
QUIET = click.option("-q", "--quiet", is_flag=True, help="Only errors.")
SEED = click.option(
    "--seed",
    type=click.IntRange(0, SEED_LIMIT - 1),
    default=0,
    show_default=True,
    help="Draws another texture, where it is re-sampled.",
)
TEMPERATURE = click.option(
    "--temperature", type=Number(0.0, 16.0), default=1.0, show_default=True, help="Of that texture."
)
THRESHOLD = click.option(
    "--threshold",
    type=click.IntRange(0, LARGEST_THRESHOLD),
    help="Binarise: luminance above this is the light level.",
)
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
