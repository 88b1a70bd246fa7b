"""data prepare, collect, list: the archives that training reads, of public originals or of one's own. Without torch."""

from __future__ import annotations

from pathlib import Path

import click

from vlae_codec.sets.sources import gather

from . import options
from .files import PathName, ProgressLine, check_free, check_not_input, counted, say, write
from .help import Sectioned

_FILE = PathName(path_type=Path)


@click.group(cls=Sectioned)
def data() -> None:
    """Prepare the data sets that `train` and `evaluate` read, and list them."""


@data.command()
@click.argument("name")
@click.option("--from", "first", type=_FILE, metavar="FILES...", required=True, multiple=True, help="The originals.")
@click.argument("others", nargs=-1, type=_FILE, metavar="")
@options.data_folder("-o", "--output")
@click.option("-f", "--force", is_flag=True, help="Overwrite the archive.")
@click.option("--unverified", is_flag=True, help="Accept other content than the published one.")
def prepare(
    name: str, first: tuple[Path, ...], others: tuple[Path, ...], data_folder: Path, force: bool, unverified: bool
) -> None:
    """Make the archive of the data set NAME from its public originals; `data list` says which, and where they are.

    FILES are the originals under their public names, or folders that hold them.

    Example: vlae-codec data prepare mnist_static --from binarized_mnist_*.amat
    """
    from vlae_codec.models import prepare as preparing

    preparing.find(name)  # before a name becomes part of a path
    path = data_folder / f"{name}.npz"
    check_free(path, force)
    check_not_input(path, [*first, *others])
    prepared = preparing.prepare(name, [*first, *others], unverified)
    write(path, prepared.archive(), force)
    shapes = ", ".join(f"{key} {array.shape}" for key, array in prepared.arrays.items())
    say(f"{path}: {shapes}" + ("" if prepared.unverified else "; content as published"))
    if prepared.unverified:
        say(f"note: {', '.join(prepared.unverified)} not as published: figures are not comparable", err=True)


@data.command()
@click.argument("name")
@click.argument("sources", nargs=-1, required=True)
@options.THRESHOLD
@options.data_folder("-o", "--output")
@options.FORCE
@options.QUIET
def collect(
    name: str, sources: tuple[str, ...], threshold: int | None, data_folder: Path, force: bool, quiet: bool
) -> None:
    """Make a data set NAME of your own images, to train on. SOURCES are those of `pack`.

    One in ten is set aside for validation, one in ten for the test.

    Example: vlae-codec data collect own my_drawings/
    """
    from vlae_codec.models import collect as collecting

    collecting.check_name(name)
    path = data_folder / f"{name}.npz"
    check_free(path, force)
    with gather(sources, threshold, exact=False) as gathered:
        check_not_input(path, gathered.files())
        for note in gathered.notes:
            say(f"note: {note}", err=True)
        line = ProgressLine(quiet)
        collected = collecting.collect(gathered.sources, lambda done, total: line("reading", done, total))
    for note, pictures in collected.notes.items():
        say(f"note: {note}: {counted(pictures, 'picture')}", err=True)
    write(path, collected.archive(), force)
    counts = ", ".join(f"{part} {len(fields)}" for part, fields in collected.parts.items())
    if not quiet:
        say(f"{path}: fields of 28x28, {counts}; {collected.blank_fields} without ink are left out")


@data.command("list")
@options.data_folder("--data")
def list_sets(data_folder: Path) -> None:
    """List the data sets: what they are, where their originals come from, and whether they are in the folder."""
    from vlae_codec.models import collect as collecting
    from vlae_codec.models import prepare as preparing

    for name, known in preparing.SETS.items():
        say(f"{name}: {known.what}")
        say(f"  archive    {data_folder / f'{name}.npz'}: {preparing.status(name, data_folder)}")
        say(f"  originals  {', '.join(known.files)}")
        say(f"  source     {known.source}")
    for path in collecting.own(data_folder):
        say(f"{path.stem}: your own\n  archive    {path}")


COMMANDS = (data,)
