"""What pack, unpack, list, test and measure do with sets of archives, and with URLs."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import click

from vlae_codec import cluster, places
from vlae_codec.archive import unpack as unpacking
from vlae_codec.archive.opened import Opened
from vlae_codec.cluster.progress import Tally
from vlae_codec.errors import FormatError
from vlae_codec.sets import shards as sets

from .archive import ledger_text
from .files import RESAMPLED, ProgressLine, counted, say, workers
from .options import given, in_vain


class SetProgress:
    """Tells of a whole set on stderr, as `ProgressLine` does: images, shards, bytes, time left."""

    def __init__(self, quiet: bool) -> None:
        self._line = ProgressLine(quiet)

    def __call__(self, tally: Tally) -> None:
        """How far it is."""
        more = f"{tally.shards} of {counted(tally.of_shards, 'shard')}, {tally.bytes} bytes"
        self._line(tally.what, tally.images, tally.of_images, more if tally.of_shards else "")


@contextlib.contextmanager
def client_of(scheduler: str | None) -> Iterator[Any]:
    """The client of a scheduler, or None without one."""
    if scheduler is None:
        yield None
        return
    from vlae_codec.cluster.dask import connected

    with connected(scheduler) as client:
        yield client


def pack(
    sources: Sequence[str],
    out: str | None,
    shards: int | None,
    scheduler: str | None,
    jobs: int | None,
    quiet: bool,
    as_json: bool,
    coding: dict[str, Any],
) -> None:
    """Packs a set; `coding` says how, as of `cluster.pack`."""
    if shards is None or out is None:
        raise click.UsageError("a set needs --shards N, and names with a number in them: -o 'set-{shard:05d}.vlz'")
    with client_of(scheduler) as client:
        packed = cluster.pack(
            sources,
            out,
            shards,
            client=client,
            jobs=1 if client else workers(jobs, quiet),
            progress=SetProgress(quiet),
            **coding,
        )
    for note in packed.left_out if not quiet else ():
        say(f"note: {note}", err=True)
    for problem in (*packed.unsuitable, *packed.failures):
        say(f"Error: {problem}", err=True)
    if as_json:
        say(json.dumps(dataclasses.asdict(packed) | {"ledger": packed.ledger.as_dict()}, indent=2))
    elif not quiet and packed.ledger.images:
        kept = f", {packed.kept} of them from an earlier run" * bool(packed.kept)
        say(f"{packed.manifest}: {counted(packed.shards - len(packed.failures), 'shard')}{kept}")
        say(ledger_text(out, packed.ledger))
    if packed.failures or packed.unsuitable:
        if packed.failures:
            say(f"{len(packed.failures)} of {packed.shards} shards failed; the same command tries them again", err=True)
        raise SystemExit(1)


def unpack(
    pattern: str,
    folder: str | None,
    scheduler: str | None,
    jobs: int | None,
    quiet: bool,
    as_json: bool,
    how: dict[str, Any],
) -> None:
    """Unpacks a set; `how`, as of `cluster.unpack`."""
    if folder is None:
        raise click.UsageError("a set is unpacked into a folder that you name: -o DIR")
    with client_of(scheduler) as client:
        found = cluster.unpack(
            pattern,
            folder,
            client=client,
            jobs=1 if client else workers(jobs, quiet),
            progress=SetProgress(quiet),
            **how,
        )
    notes = [*found.notes, *in_vain(found.unused & given("seed", "temperature"))]
    for problem in found.problems:
        say(f"Error: {problem}", err=True)
    for note in notes if not quiet else ():
        say(f"note: {note}", err=True)
    if as_json:
        about = dataclasses.asdict(found) | {"notes": notes}
        say(json.dumps({key: value for key, value in about.items() if key != "unused"}, indent=2))
    elif not quiet:
        say(f"wrote {counted(found.written, 'file')} into {folder}")
        if found.sampled:
            say(f"note: {RESAMPLED}", err=True)
    if found.problems:
        raise SystemExit(1)


def problems(pattern: str, scheduler: str | None, quiet: bool, model: str | None, max_bytes: int) -> tuple[str, ...]:
    """What is damaged or lost in a set."""
    with client_of(scheduler) as client:
        jobs = 1 if client else workers(None, quiet)
        tested = cluster.test(
            pattern, client=client, jobs=jobs, model=model, max_bytes=max_bytes, progress=SetProgress(quiet)
        )
        return tested.problems


def measured(
    sources: Sequence[str], scheduler: str | None, jobs: int | None, quiet: bool, photographs: bool, how: dict[str, Any]
) -> Any:
    """What images cost, measured by workers; `how`, as of `cluster.measure` or `cluster.measure_photographs`."""
    work = cluster.measure_photographs if photographs else cluster.measure
    with client_of(scheduler) as client:
        return work(
            sources, client=client, jobs=1 if client else workers(jobs, quiet), progress=SetProgress(quiet), **how
        )


def show(pattern: str, names: bool, as_json: bool, most_names: int) -> None:
    """Says what a set holds, without decoding it."""
    about, damages, listed = _about(pattern), list[str](), list[str]()
    for shard in about.pop("places"):
        with places.open_read(shard) as file:
            opened = Opened(file)
            damages += [f"{shard}: {damage}" for damage in unpacking.inspect(opened)["damages"]]
            found = unpacking.names(opened) if names else iter(())
            if as_json:
                listed += itertools.islice(found, most_names + 1 - len(listed))
            else:
                for name in found:
                    say(name)
    if len(listed) > most_names:
        raise FormatError(f"the set has more than {most_names} names: list them without --json")
    if as_json:
        say(json.dumps({**about, "damages": damages, **({"names": listed} if names else {})}, indent=2))
    for damage in damages:
        say(f"Error: {damage}", err=True)
    if damages:
        raise SystemExit(1)
    if not (as_json or names):
        each = 8 * about["bytes"] / max(1, about["images"])
        say(f"{counted(about['images'], 'image')} in {counted(about['shards'], 'shard')}, model {about['model']}")
        say(f"{about['bytes']} bytes, {each:.2f} bits an image")


def _about(pattern: str) -> dict[str, Any]:
    """What a set says of itself."""
    found = sets.find(pattern)
    images = size = 0
    models = set[str]()
    for shard in found:
        with places.open_read(shard.place) as file:
            try:
                about = unpacking.inspect(Opened(file))
            except FormatError as error:
                raise FormatError(f"{shard.place}: {error}") from error
        images, size = images + about["images"], size + about["bytes"]
        models |= {*about["model"].split(", ")}
    return {
        "shards": len(found),
        "images": images,
        "bytes": size,
        "model": ", ".join(sorted(models)),
        "places": [shard.place for shard in found],
    }
