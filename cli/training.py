"""train, evaluate, export: the commands that need torch, imported only when they run."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from vlae_codec.errors import ConfigError

from . import completing, options
from .files import PathName, ProgressLine, check_free, read_bytes, say, write

_DATA = options.data_folder("--data")
_MOST_SAMPLES = 1 << 16  # of one image, whose latents are drawn all at once
_DEVICE = click.option("--device", default="cpu", show_default=True, help="Torch device, such as cuda.")


def _need_torch() -> None:
    if importlib.util.find_spec("torch") is None:
        raise ConfigError("this command needs torch: pip install 'vlae-codec[train]'")


@click.command()
@click.argument("experiment", type=PathName(path_type=Path), shell_complete=completing.experiments)
@click.option("-o", "--output", "run", type=options.FOLDER, help="Folder of the run.  [default: runs/NAME]")
@_DATA
@_DEVICE
@click.option("--threads", type=click.IntRange(1), help="CPU threads.")
def train(experiment: Path, run: Path | None, data_folder: Path, device: str, threads: int | None) -> None:
    """Train the EXPERIMENT, a TOML file or the name of one that ships; resumes if its run has begun."""
    _need_torch()
    from vlae_codec.models import config, families

    family, table = families.of_experiment(config.locate(experiment))
    run = run or Path("runs") / experiment.stem
    try:
        family.train(table, run, data_folder, device, threads, say)
    except (KeyboardInterrupt, SystemExit):
        say(f"stopped: the same command goes on from what is in {run}", err=True)
        raise


@click.command()
@click.argument("run", metavar="RUN|released:NAME")
@_DATA
@_DEVICE
@click.option(
    "--on", "name", metavar="SET", help="Another data set than the one it was trained on; `data list` shows them."
)
@click.option("--part", default="test", show_default=True, help="Part of the data set.")
@click.option("--images", type=click.IntRange(1), help="Only a fixed random part of this many.")
@click.option(
    "--samples", type=click.IntRange(1, _MOST_SAMPLES), default=128, show_default=True, help="Importance samples."
)
@click.option(
    "--paired-images",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Images on which the NLL is estimated with more samples, too; the mean difference is told.",
)
@click.option(
    "--paired-samples", type=click.IntRange(2, _MOST_SAMPLES), default=4096, show_default=True, help="How many."
)
@click.option(
    "-o",
    "--output",
    "out",
    type=PathName(path_type=Path),
    help="Also write the figures to this JSON file; `-`: as --json.",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite it.")
@options.JSON
def evaluate(
    run: str, data_folder: Path, device: str, name: str | None, part: str, images: int | None, samples: int,
    paired_images: int, paired_samples: int, out: Path | None, force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Evaluate a model: ELBO, rate (KL), distortion and importance-sampled NLL, in nats, bits and bits/dim.

    RUN is the folder of a training run or of an exported model; released:NAME is a model that ships. Resumes where it was
    stopped.

    Of a photo model SET is a folder of pictures: rate and distortion of the dithered code
    (minus the ELBO) and of the rounded one (what a file holds), in bits and bits/dim.
    """
    _need_torch()
    from vlae_codec.models import families

    if out and str(out) == "-":
        out, as_json = None, True
    if out:
        check_free(out, force)
    family, progress = families.of_run(run), ProgressLine(quiet=False)
    if hasattr(family, "evaluate"):
        _refuse_given("part", "samples", "paired_images", "paired_samples")
        table = family.evaluate(
            families.locate(run, Path()), data_folder, Path(name) if name else None, images, progress
        )
        lines = _photo_lines(table)
    else:
        table = _evaluated_drawings(
            run, data_folder, device, name, part, images, samples, paired_images, paired_samples
        )
        lines = _lines(table)
    if out:
        write(out, (json.dumps(table, indent=2) + "\n").encode(), force)
    for line in [json.dumps(table, indent=2)] if as_json else lines:
        say(line)


def _evaluated_drawings(
    run: str, data_folder: Path, device: str, name: str | None, part: str, images: int | None, samples: int,
    paired_images: int, paired_samples: int,
) -> dict[str, Any]:  # fmt: skip
    """The figures of a model of drawings on a part of a set."""
    from vlae_codec.models import data
    from vlae_codec.models.evaluate import Evaluator, store_of
    from vlae_codec.models.families import locate
    from vlae_codec.models.train import load_average

    trained = load_average(locate(run, Path()))
    name = name or trained.config.data.name
    whole = data.load(name, [part], data_folder)
    chosen = data.shuffled_part(whole, images, seed=0) if images and images < len(whole) else whole
    store, progress = store_of(trained, name, part, chosen), ProgressLine(quiet=False)

    def report(done: int, total: int) -> None:
        progress("evaluating", done, total)

    evaluator = Evaluator(trained.model, device)
    figures = evaluator.evaluate(chosen, samples, paired_images, paired_samples, store, report).figures()
    return {"data": name, "part": part, "part_images": len(whole), **figures.as_dict()}


def _refuse_given(*names: str) -> None:
    """Raises UsageError for options that say nothing of a photo model."""
    asked = options.given(*names)
    for name in names:
        if name in asked:
            raise click.UsageError(f"--{name.replace('_', '-')} is for models of drawings")


def _lines(table: dict[str, Any]) -> Iterator[str]:
    """What was estimated of drawings."""
    from vlae_codec.models import data

    yield f"{data.titled(table['data'])}, {table['part']}, {table['images']} images   nats     bits     bits/dim"
    for key in ("elbo", "kl", "distortion", "nll", *["paired_difference"] * bool(table["paired_images"])):
        nats, bits, bpd = (table[f"{key}_{unit}"] for unit in ("nats", "bits", "bpd"))
        error = table.get(f"{key}_nats_se")
        yield f"{key:30} {nats:8.3f} {bits:8.3f} {bpd:8.5f}" + (f"  +- {error:.3f} nats" if error is not None else "")


def _photo_lines(table: dict[str, Any]) -> Iterator[str]:
    """What was measured of pictures."""
    yield f"{table['data']}, {table['images']} pictures".ljust(44) + "        bits  bits/dim"
    for code, named in (("dithered", "KL(q || p)"), ("rounded", "-log2 P(z)")):
        for key, what in (("rate", named), ("distortion", "-log2 p(x|z)"), ("total", "together")):
            row = table[code]
            error = f" +- {row[f'{key}_bpd_se']:.4f}"
            yield f"{code + ': ' + what:44} {row[f'{key}_bits']:11.0f} {row[f'{key}_bpd']:9.4f}{error}"


@click.command()
@click.argument("run", metavar="RUN|released:NAME")
@click.option("-o", "--output", "folder", type=options.FOLDER, required=True, help="Folder of the integer model.")
@click.option("--name", help="Its name.  [default: the folder's]")
@click.option(
    "--step",
    type=options.Number(0.0, 16.0, min_open=True),
    default=0.5,
    show_default=True,
    help="Lattice step over the posterior's deviation.",
)
@_DATA
@click.option("-f", "--force", is_flag=True, help="Overwrite it.")
def export(
    run: str,
    folder: Path,
    name: str | None,
    step: float,
    data_folder: Path,
    force: bool,
) -> None:
    """Turn the trained model of RUN into an integer model for the codec, and check that the two agree.

    RUN is the folder of a training run or of an exported model; released:NAME is a model that ships.
    """
    _need_torch()
    from vlae_codec.models import families

    family = families.of_run(run)
    for file in family.FILES:
        check_free(folder / file, force)
    progress = ProgressLine(quiet=False)
    say(family.export(run, folder, name or folder.resolve().name, step, data_folder, progress))


@click.command()
@click.argument("folder", type=options.FOLDER)
@click.argument("figures", type=PathName(path_type=Path))
def card(folder: Path, figures: Path) -> None:
    """Write the FIGURES that `evaluate -o` measured of an exported model's run onto the card of the model in FOLDER."""
    _need_torch()
    from vlae_codec.models.field import export as exporting

    try:
        measured = json.loads(read_bytes(figures))
        if not isinstance(measured, dict):
            raise ValueError("no table")
        exporting.describe(folder, measured)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ConfigError(f"{figures} or {folder}/model.json is not what `evaluate` and `export` write") from error


COMMANDS = (train, evaluate, export, card)
