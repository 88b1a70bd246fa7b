"""The options that several commands share, each spelled once."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from vlae_codec import zoo
from vlae_codec.container import MOST_BYTES
from vlae_codec.exact.random_words import SEED_LIMIT
from vlae_codec.picture.drawing import LARGEST_THRESHOLD
from vlae_codec.picture.metadata import Metadata

from . import completing
from .files import PathName

Command = TypeVar("Command", bound=Callable[..., Any])


class Number(click.FloatRange):
    """A float range that has no place for nan and infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        return number if math.isfinite(number) else self.fail(f"{value!r} is not a number.", param, ctx)


class ByteSize(click.ParamType):  # type: ignore[type-arg]
    """A number of bytes, with k or M behind it for thousands or millions."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text, unit = str(value).strip(), 1
        if text[-1:].lower() in _UNITS:
            text, unit = text[:-1], _UNITS[text[-1].lower()]
        try:
            size = round(float(text) * unit)
        except (ValueError, OverflowError):
            size = 0
        if not 0 < size < 1 << 40:
            self.fail(f"{value!r} is not a size: give bytes as in 800, 20k or 1.5M.", param, ctx)
        return size


_UNITS = {"k": 1000, "m": 1000000}


class Region(click.ParamType):  # type: ignore[type-arg]
    """X,Y,W,H in pixels, as left, top, right and bottom."""

    name = "X,Y,W,H"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int, int, int]:
        if isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        if len(parts) != 4 or not all(part.strip().isdecimal() and len(part) < 10 for part in parts):
            self.fail(f"{value!r} is not a region: give left, top, width and height, as in 0,0,200,100.", param, ctx)
        left, top, width, height = map(int, parts)
        if not (width and height):
            self.fail(f"{value!r} is a region without a pixel.", param, ctx)
        return left, top, left + width, top + height


KEPT: dict[tuple[bool, bool], Callable[[Metadata], Metadata]] = {
    (False, False): Metadata.plain,
    (True, False): Metadata.all,
    (False, True): Metadata.nothing,
}
"""What a file keeps of a picture's metadata, by --keep-metadata and --strip."""
FOLDER = PathName(path_type=Path, file_okay=False)
MODEL = click.option(
    "--model",
    "model_name",
    metavar="NAME|DIR",
    help="A released model or a model's folder.",
    shell_complete=completing.models,
)
CHOSEN_MODEL = click.option(
    "--model",
    "model_name",
    metavar="auto|NAME|DIR",
    default=zoo.AUTO,
    show_default=True,
    help="A released model or a model's folder; auto is the one that suits each picture.",
    shell_complete=completing.models,
)
MADE_WITH = click.option(
    "--model",
    "model_name",
    metavar="NAME|DIR",
    help="The model of files that name none of those released.",
    shell_complete=completing.models,
)
MAX_BYTES = click.option(
    "--max-bytes",
    type=click.IntRange(1),
    default=MOST_BYTES,
    metavar="N",
    help="Refuse files that claim more bytes of pixels than this.  [default: 2^29]",
)
FORCE = click.option("-f", "--force", is_flag=True, help="Overwrite existing files.")
QUIET = click.option("-q", "--quiet", is_flag=True, help="Only errors.")
SCHEDULER = click.option(
    "--scheduler",
    metavar="ADDRESS|local:N",
    help="The workers of this Dask scheduler, as tcp://HOST:PORT, or of a cluster of N processes here, do the work.",
)
MOST_SHARDS = 1 << 20
SEED = click.option(
    "--seed",
    type=click.IntRange(0, SEED_LIMIT - 1),
    default=0,
    show_default=True,
    help="Number of the texture that is sampled; another number gives another texture.",
)
TEMPERATURE = click.option(
    "--temperature",
    type=Number(0.0, 16.0),
    help="Of drawings, how freely they are sampled: below 1 only what is likely, above 1 the unlikely, too (default: 1). Of "
    "photos, how much texture is added to their mean: 0 none, 1 all of it (default: as the model has it for each quality).",
)
THRESHOLD = click.option(
    "--threshold",
    type=click.IntRange(0, LARGEST_THRESHOLD),
    help="Binarise: luminance above this is the light level.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Report as JSON.")


def given(*names: str, **parameters: str) -> frozenset[str]:
    """Which options stand on the command line; `parameters` are those whose parameters have other names."""
    context, named = click.get_current_context(), {**{name: name for name in names}, **parameters}
    return frozenset(
        name
        for name, parameter in named.items()
        if context.get_parameter_source(parameter) == ParameterSource.COMMANDLINE
    )


_IN_VAIN = (  # with the names of `many.Decompressed.unused`
    (("seed", "temperature"), "nothing of it is drawn at random, so {} changed nothing"),
    (("samples",), "nothing of it is drawn at random, so {} shows the same picture every time"),
    (("preview",), "its file has no coarse picture in front, so {} gave all of it"),
    (("model",), "its file does not need that model, so {} was not used"),
)


def in_vain(unused: frozenset[str]) -> list[str]:
    """What is said of options that have no say in a picture."""
    found = [(" and ".join(f"--{name}" for name in names if name in unused), text) for names, text in _IN_VAIN]
    return [text.format(options) for options, text in found if options]


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
