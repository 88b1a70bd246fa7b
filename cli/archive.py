"""pack, unpack, list."""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import click

from vlae_codec.archive import api
from vlae_codec.archive import unpack as unpacking
from vlae_codec.archive.chunks import CHUNK, ArchiveLedger
from vlae_codec.archive.heads import LARGEST_CHUNK
from vlae_codec.archive.opened import Opened
from vlae_codec.errors import OutputError, UnsuitableError, VlaeError
from vlae_codec.family import DEFAULT_EFFORT
from vlae_codec.report.tables import paired

from .files import (
    RESAMPLED,
    PlaceName,
    ProgressLine,
    check_no_terminal,
    counted,
    default_output,
    opened,
    say,
    share_text,
    workers,
)
from .help import examples
from .options import (
    FORCE,
    JSON,
    KEPT,
    MADE_WITH,
    MAX_BYTES,
    MODEL,
    MOST_SHARDS,
    QUIET,
    SCHEDULER,
    SEED,
    TEMPERATURE,
    THRESHOLD,
    Number,
    given,
    in_vain,
)

_ARCHIVE = PlaceName(path_type=Path, allow_dash=True, readable=False)
_MOST_NAMES = 1 << 22  # in memory
_JOBS = click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    help="Processes of one thread each, or threads for a single chunk.  [default: one a core]",
)


@click.command(epilog=examples("pack"))
@click.argument("sources", nargs=-1, required=True)
@click.option("-o", "--output", "out", metavar="FILE", help="The archive; - is stdout.  [default: SOURCE.vlz]")
@click.option(
    "--lossless/--lossy",
    default=None,
    help="Every pixel, which is the default; or of drawings the structure only, and photos as -Q says.",
)
@click.option(
    "-Q",
    "--quality",
    type=Number(0.0, 100.0),
    help="Of lossy photos: 0 smallest, 100 best; 55 of itself. In two colours below 100 pixels on edges change.",
)
@click.option(
    "--keep-metadata", is_flag=True, help="Keep EXIF and XMP of pictures, too: they may hold places and names."
)
@click.option("--strip", is_flag=True, help="Keep no metadata, not even colour profiles.")
@click.option("--unordered", is_flag=True, help="Order and names do not matter: saves log2(n!) bits.")
@click.option("--chunk", type=click.IntRange(1, LARGEST_CHUNK),
              help="Images that are coded together; one image is taken out at the price of its chunk.  "
              f"[default: {CHUNK}; with --unordered, as many as there are]")  # fmt: skip
@click.option("--effort", type=click.IntRange(0, 9),
              help="Lossless: 2^EFFORT samples of the posterior for each image, at most 32.  [default: 0]  Lossy: size of "
              f"the search.  [default: {DEFAULT_EFFORT}]")  # fmt: skip
@THRESHOLD
@click.option(
    "--skip-unsuitable", is_flag=True, help="Pack all but pictures that cannot be; name these, and exit with 1."
)
@_JOBS
@click.option("--shards", type=click.IntRange(1, MOST_SHARDS), help="Write so many archives, a set, in place of one.")
@SCHEDULER
@MODEL
@FORCE
@QUIET
@JSON
def pack(
    sources: tuple[str, ...], out: str | None, lossless: bool | None, quality: float | None, keep_metadata: bool,
    strip: bool, unordered: bool, chunk: int | None, effort: int | None, threshold: int | None, skip_unsuitable: bool,
    jobs: int | None, shards: int | None, scheduler: str | None, model_name: str | None, force: bool, quiet: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Pack many images into one archive: files, folders, zip and tar files, npy, npz and IDX arrays (FILE.npz:KEY is one).

    Lossless unless --lossy or -Q; drawings together, by bits-back coding, and photos one by one. With --shards a set of
    archives, -o 'set-{shard:05d}.vlz'; the same command goes on where one was stopped.
    """
    lossless = _is_lossless(lossless, quality, unordered, keep_metadata and strip)
    if "-" in sources:
        raise click.UsageError("sources are files and folders: an archive on stdin must be a file first")
    coding: dict[str, Any] = {
        "lossless": lossless,
        "ordered": not unordered,
        "effort": effort,
        "chunk": chunk,
        "quality": quality,
        "threshold": threshold,
        "keep": KEPT[keep_metadata, strip],
        "model": model_name,
        "force": force,
        "skip_unsuitable": skip_unsuitable,
    }
    if shards or scheduler or (out and "{shard" in out):
        sharded().pack(sources, out, shards, scheduler, jobs, quiet, as_json, coding)
        return
    target = out or _default_name(sources)
    alone = as_json and target == "-"  # the report, on stderr
    with _each_unsuitable(), _stdout() if target == "-" else contextlib.nullcontext(target) as file:
        progress = ProgressLine(quiet or alone)
        packed = api.pack(sources, file, jobs=workers(jobs, quiet), progress=progress, **coding)
    _say_packed(packed, target, lossless, quiet, as_json)
    if packed.unsuitable:
        raise SystemExit(1)


def sharded() -> Any:
    """What handles sets, which few commands need."""
    from . import sharded as found

    return found


def _say_packed(packed: api.Packed, target: str, lossless: bool, quiet: bool, as_json: bool) -> None:
    """What was left out, and where the bits of an archive went; on stderr, if it is on stdout itself."""
    if not (quiet or (as_json and target == "-")):
        _say_notes(packed)
    for problem in packed.unsuitable:
        say(f"Error: {problem}; it is not in {target}", err=True)
    if as_json:
        about = {"output": target, **packed.ledger.as_dict()}
        about |= {"left_out": packed.left_out, "unsuitable": packed.unsuitable}
        about |= {"source_bytes": packed.source_bytes, "why_larger": packed.why_larger}
        say(json.dumps(about, indent=2), err=target == "-")
    elif not quiet:
        say(ledger_text(target, packed.ledger, packed.source_bytes), err=target == "-")
        if packed.why_larger:
            say(f"note: {target} is larger than what it was made of: {packed.why_larger}", err=True)
        if not lossless and packed.ledger.bits.get("code_bits"):
            say(f"note: lossy, so on unpacking {RESAMPLED}", err=True)


def _is_lossless(lossless: bool | None, quality: float | None, unordered: bool, both: bool) -> bool:
    """Whether an archive is to be lossless: unless it is said, or a quality is asked for.

    Raises:
        UsageError: options contradict each other; `both` says whether metadata are to be kept and to go.
    """
    if lossless and quality is not None:
        raise click.UsageError("-Q is for lossy archives, and --lossless keeps everything")
    lossless = quality is None if lossless is None else lossless
    if unordered and not lossless:
        raise click.UsageError("--unordered is for lossless archives")
    if both:
        raise click.UsageError("--keep-metadata and --strip contradict each other")
    return lossless


@contextlib.contextmanager
def _each_unsuitable() -> Iterator[None]:
    """Tells of each picture that cannot be packed in a line of its own."""
    try:
        yield
    except UnsuitableError as error:
        for problem in error.problems:
            say(f"Error: {problem}", err=True)
        if len(error.problems) > 1:
            say("nothing was packed: --skip-unsuitable packs the others", err=True)
        raise SystemExit(1) from error


def _say_notes(packed: api.Packed) -> None:
    for note in packed.left_out:
        say(f"note: {note}", err=True)
    if changed := packed.ledger.changed_pixels:
        say(f"note: {changed:,} pixels on edges of pictures in two colours changed", err=True)
    for note, images in packed.ledger.notes.items():
        say(f"note: {note}: {images} of {packed.ledger.images} images", err=True)


@click.command(epilog=examples("unpack"))
@click.argument("file", type=_ARCHIVE)
@click.option(
    "-o",
    "--output",
    "out",
    type=PlaceName(path_type=Path, file_okay=False),
    help="Folder to unpack into.  [default: FILE without .vlz]",
)
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Only this image, as `list --names` has it, or those that match a pattern "
    "with *, ? or [abc]; may be repeated.",
)
@SEED
@TEMPERATURE
@_JOBS
@SCHEDULER
@MADE_WITH
@MAX_BYTES
@FORCE
@QUIET
@JSON
def unpack(
    file: Path | str, out: Path | str | None, only: tuple[str, ...], seed: int, temperature: float | None,
    jobs: int | None, scheduler: str | None, model_name: str | None, max_bytes: int, force: bool, quiet: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Unpack the archive FILE into a folder, or a set, 'set-*.vlz'. What is damaged is named, all else restored."""
    if str(out) == "-":
        raise click.UsageError("cannot unpack to stdout; name a folder with -o")
    how: dict[str, Any] = {"only": only, "seed": seed, "temperature": temperature, "model": model_name}
    how |= {"force": force, "max_bytes": max_bytes}
    if scheduler or isinstance(file, str) or isinstance(out, str):
        target = None if out is None else str(out)
        sharded().unpack(str(file), target, scheduler, jobs, quiet, as_json, how)
        return
    folder = out or _default_folder(file, force or bool(only))

    def announce(images: int, claimed: int) -> None:
        say(f"unpacking {counted(images, 'image')}, {claimed} bytes of pixels, into {folder}...", err=True)

    with opened(file) as stream:
        unpacked = api.unpack(
            stream,
            folder,
            jobs=workers(jobs, quiet),
            progress=ProgressLine(quiet),
            announce=None if quiet else announce,
            **how,
        )
    notes = [*unpacked.notes, *in_vain(unpacked.unused & given("seed", "temperature"))]
    _say_unpacked(replace(unpacked, notes=tuple(notes)), file, folder, quiet, as_json)
    if unpacked.problems:
        raise SystemExit(1)


def _say_unpacked(unpacked: api.Unpacked, file: Path, folder: Path, quiet: bool, as_json: bool) -> None:
    """What was written, and what is lost."""
    written, problems = unpacked.written, unpacked.problems
    for problem in problems:
        say(f"Error: {file}: {problem}", err=True)
    for note in unpacked.notes if not quiet else ():
        say(f"note: {note}", err=True)
    if as_json:
        about = {"written": [str(path) for path in written], "problems": problems, "notes": unpacked.notes}
        say(json.dumps(about, indent=2))
    elif not quiet:
        say(f"wrote {counted(len(written), 'file')}" + f" into {folder}" * bool(written))
        if unpacked.sampled:
            say(f"note: {RESAMPLED}", err=True)


@click.command(name="list")
@click.argument("file", type=_ARCHIVE)
@click.option("--names", is_flag=True, help="The name of every image.")
@JSON
def list_images(file: Path | str, names: bool, as_json: bool) -> None:
    """Say what the archive FILE holds, or a set, 'set-*.vlz', without decoding it."""
    if isinstance(file, str):
        sharded().show(file, names, as_json, _MOST_NAMES)
        return
    with opened(file) as stream:
        archive = Opened(stream)
        about, found = unpacking.inspect(archive), unpacking.names(archive) if names else iter(())
        if as_json:
            listed = [*itertools.islice(found, _MOST_NAMES)]
            if next(found, None) is not None:
                raise VlaeError(f"the archive claims more than {_MOST_NAMES} names: list them without --json")
            say(json.dumps(about | ({"names": listed} if names else {}), indent=2))
        else:
            for line in itertools.chain(_about_lines(about), found):
                say(line)
    for problem in about["damages"]:
        say(f"Error: {file}: {problem}", err=True)
    if about["damages"]:
        raise SystemExit(1)


def _about_lines(about: dict[str, Any]) -> Iterator[str]:
    kind = ("lossless" if about["lossless"] else "lossy") + (", a set without order" if not about["ordered"] else "")
    chunks = counted(about["chunks"], "chunk")
    yield f"{counted(about['images'], 'image')} in {chunks}, {kind}, model {about['model']}"
    yield f"{about['bytes']} bytes, {8 * about['bytes'] / max(1, about['images']):.2f} bits an image"
    for source in about["sources"]:
        yield f"  {source}"


def ledger_text(target: str, ledger: ArchiveLedger, source_bytes: int = 0) -> str:
    """Theory on the left, bytes on the right; the size as a share of that of the sources, if they were files."""
    images, total_bits = ledger.images, 8.0 * ledger.total_bytes
    rows = paired(ledger.theory_bits(), {name: bits for name, bits in ledger.bits.items() if bits})
    rows.append(("", None, "sum = 8 x bytes", total_bits))
    size = f"{ledger.total_bytes} bytes"
    size += f", {share_text(ledger.total_bytes, source_bytes)} of its sources" if source_bytes else ""
    head = f"{target}: {counted(images, 'image')}, {size}, {total_bits / images:.3f} bits an image"
    lines = [head]
    lines.append(f"{'theory':24}{'bits an image':>14}   {'the file':28}{'bits':>14}{'bits an image':>16}")
    for term, term_bits, name, bits in rows:
        theory = "" if term_bits is None else f"{term_bits / images:.3f}"
        lines.append(f"{term:24}{theory:>14}   {name:28}{bits:14.1f}{bits / images:16.3f}")
    return "\n".join(lines)


def _default_folder(file: Path, force: bool) -> Path:
    """Where an archive is unpacked if nothing is said: not among files that are there already, unless forced.

    Raises:
        OutputError: there are some.
    """
    folder = Path("unpacked") if str(file) == "-" else default_output(file, "")
    if not force and folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{folder} is there, and not empty: -o names a folder, and -f unpacks into this one")
    return folder


def _default_name(sources: tuple[str, ...]) -> str:
    path = Path(sources[0].split(".npz:")[0])
    if len(sources) > 1 or path.name in ("", ".."):
        raise click.UsageError("several sources, and folders without a name, need one for the archive: -o FILE")
    if path.suffix == ".vlz":
        raise click.UsageError(f"{path} is an archive already, or named like one: name another with -o FILE")
    return f"{path}.vlz" if path.is_dir() else str(path.with_suffix(".vlz"))


@contextlib.contextmanager
def _stdout() -> Iterator[IO[bytes]]:
    check_no_terminal()
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


COMMANDS = (pack, unpack, list_images)
