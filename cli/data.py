"""data prepare, data list: the archives that training reads, made from their public originals. Without torch."""

from __future__ import annotations

from pathlib import Path

import click

from . import options
from .files import check_free, write

_FILE = click.Path(path_type=Path)


@click.group()
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
    prepared = preparing.prepare(name, [*first, *others], unverified)
    write(path, prepared.archive(), force)
    shapes = ", ".join(f"{key} {array.shape}" for key, array in prepared.arrays.items())
    click.echo(f"{path}: {shapes}" + ("" if prepared.unverified else "; content as published"))
    if prepared.unverified:
        click.echo(f"note: {', '.join(prepared.unverified)} not as published: figures are not comparable", err=True)


@data.command("list")
@options.data_folder("--data")
def list_sets(data_folder: Path) -> None:
    """List the data sets: what they are, where their originals come from, and whether they are in the folder."""
    from vlae_codec.models import prepare as preparing

    for name, known in preparing.SETS.items():
        click.echo(f"{name}: {known.what}")
        click.echo(f"  archive    {data_folder / f'{name}.npz'}: {preparing.status(name, data_folder)}")
        click.echo(f"  originals  {', '.join(known.files)}")
        click.echo(f"  source     {known.source}")


COMMANDS = (data,)
