"""compress, decompress, test, info, models."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import click

from vlae_codec import codec, container, many, registry, zoo
from vlae_codec.errors import OutputError, VlaeError, named
from vlae_codec.exact.random_words import SEED_LIMIT
from vlae_codec.family import DEFAULT_EFFORT, Banded, Coder, Decoded, Sampling
from vlae_codec.files import legible, whole
from vlae_codec.picture.drawing import Drawing
from vlae_codec.picture.images import is_exact, picture_bytes, picture_suffixes, png_bytes
from vlae_codec.picture.raster import Geometry
from vlae_codec.picture.sheets import check_sheet, contact_sheet, square
from vlae_codec.reason import Reason

from .files import (
    RESAMPLED,
    PathName,
    PlaceName,
    ProgressLine,
    Targets,
    check_stdin_once,
    counted,
    expanded,
    is_stdout,
    opened,
    output_for,
    read_bytes,
    read_rest,
    say,
    share_text,
    workers,
    write,
)
from .help import examples
from .options import (
    CHOSEN_MODEL,
    FORCE,
    JSON,
    KEPT,
    MADE_WITH,
    MAX_BYTES,
    QUIET,
    SCHEDULER,
    SEED,
    TEMPERATURE,
    THRESHOLD,
    ByteSize,
    Number,
    Region,
    given,
    in_vain,
)
from .words import as_options

_INPUT = PathName(path_type=Path, allow_dash=True, readable=False)  # what is not is told of, and the others are read


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every command which writes files has."""
    options = [
        click.option("-o", "--output", "out", metavar="PATH", help="File or folder to write; - is stdout."),
        click.option("-r", "--recursive", is_flag=True, help="All that is in folders; OUT mirrors their trees."),
        click.option(
            "--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes of one thread each."
        ),
        FORCE,
        QUIET,
        JSON,
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command(epilog=examples("compress"))
@click.argument("images", nargs=-1, required=True, type=_INPUT)
@_common
@CHOSEN_MODEL
@click.option("--lossless", is_flag=True, help="Keep every pixel.")
@click.option(
    "--lossy", is_flag=True, help="Sample drawings even if no model knows their like, and keep nothing exactly."
)
@click.option(
    "-Q",
    "--quality",
    type=Number(0.0, 100.0),
    help="Of a lossy photo: 0 smallest, 100 best; 55 of itself. In two colours below 100 pixels on edges change.",
)
@click.option("--bpp", type=Number(min=0.0, min_open=True), help="At most so many bits a pixel, instead of -Q.")
@click.option(
    "--size", "size_bytes", type=ByteSize(), help="A file of at most so many bytes (20k, 1.5M), instead of -Q."
)
@click.option("--keep-metadata", is_flag=True, help="Keep EXIF and XMP, too: they may hold places and names.")
@click.option("--strip", is_flag=True, help="Keep no metadata, not even the colour profile.")
@click.option(
    "--effort",
    type=click.IntRange(0, 9),
    default=DEFAULT_EFFORT,
    show_default=True,
    help="How long to search: 0 is fastest.",
)
@THRESHOLD
@click.option(
    "--page", type=click.IntRange(1), metavar="N", help="Of a file of several images, the one of that number."
)
@click.option("--verify", is_flag=True, help="Decompress again and compare.")
def compress(
    images: tuple[Path, ...], out: str | None, recursive: bool, jobs: int, force: bool, quiet: bool, as_json: bool,
    model_name: str, lossless: bool, lossy: bool, quality: float | None, bpp: float | None, size_bytes: int | None,
    keep_metadata: bool, strip: bool, effort: int, threshold: int | None, page: int | None, verify: bool,
) -> None:  # fmt: skip
    """Compress IMAGES: img.png becomes img.vlz. Lossy unless --lossless; prints where the bits went.

    A drawing in two colours that the lossy models do not know is kept exactly, and so is a picture whose exact file is no
    larger.
    """
    _check_goals(lossless, lossy, quality, bpp, size_bytes, keep_metadata and strip)
    model = model_name if model_name == zoo.AUTO else zoo.named(model_name)
    failures, to_stdout = _Failures(), is_stdout(out, images)
    found = expanded(images, picture_suffixes() if recursive else None, failures.of)
    targets = _targets(found, out, ".vlz", force, failures)
    report, progress = list[dict[str, Any]](), ProgressLine(quiet or (as_json and to_stdout))
    for one in many.compress_files(
        [*targets], lossless=lossless, lossy=lossy, effort=effort, quality=quality, bpp=bpp, size_bytes=size_bytes,
        model=model, threshold=threshold, keep=KEPT[keep_metadata, strip], page=page, verify=verify, jobs=jobs,
        read=read_bytes, progress=progress,
    ):  # fmt: skip
        with failures.of(one.path):
            encoded, target = one.result(), targets[one.path]
            write(target, encoded.data, force)
            row = {"input": str(one.path), "output": str(target), **dataclasses.asdict(encoded.ledger)}
            report.append({**row, "input_bytes": one.source_bytes, "why_larger": one.why_larger})
    if as_json:
        say(json.dumps(report, indent=2), err=to_stdout)
    elif not quiet:
        _say_ledgers(report, to_stdout, len(found) if verify else 0)
    failures.finish()


def _check_goals(
    lossless: bool, lossy: bool, quality: float | None, bpp: float | None, size: int | None, both: bool
) -> None:
    """Raises UsageError if options contradict each other; `both` says whether metadata are to be kept and to go."""
    if lossless and lossy:
        raise click.UsageError("give --lossless or --lossy, not both")
    goals = [name for name, goal in (("-Q", quality), ("--bpp", bpp), ("--size", size)) if goal is not None]
    if len(goals) > 1:
        raise click.UsageError(f"give one of {' and '.join(goals)}, not both")
    if goals and lossless:
        raise click.UsageError(f"{goals[0]} is for lossy files, and --lossless keeps everything")
    if both:
        raise click.UsageError("--keep-metadata and --strip contradict each other")


def _say_ledgers(report: list[dict[str, Any]], to_stdout: bool, verified: int) -> None:
    """What became of each picture; `verified` is how many there were, if they were decoded again."""
    report = _legible(report)
    for row in report:
        say(_ledger_line(row), err=to_stdout)
    if verified and report:
        say(f"verified: {len(report)} of {verified} files decode to what is said here", err=True)
    _note_losses(report)


def _legible(report: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, their names as they can be shown on a line."""
    return [{**row, **{key: legible(row[key]) for key in ("input", "output")}} for row in report]


def _note_losses(report: list[dict[str, Any]]) -> None:
    for row in report:
        if row["changed_pixels"]:
            say(f"{row['input']}: {_changed(row)}", err=True)
        if row["kept_exactly"] and row["why"] != Reason.NO_LARGER.told():
            say(f"{row['input']}: kept exactly, since {row['why']} (--lossy samples it anyway)", err=True)
        if row["known"] is False:
            what = f"{_differing(row) or 'no pixel differs'}: it is unlike what the model {row['model']} was trained on"
            say(f"warning: {row['input']}: {what}", err=True)
        if row["known"] is None and row["family"] == "field" and (differing := _differing(row)):
            what = f"{differing}: nothing is known of what the model {row['model']} was trained on"
            say(f"warning: {row['input']}: {what}, so it takes whatever it is given", err=True)
        if row["why_larger"]:
            say(f"note: {row['output']} is larger than {row['input']}: {row['why_larger']}", err=True)
    drawings = [row for row in report if row["family"] == "field" and not row["kept_exactly"]]
    if unlike := sum(row["unlike_fields"] for row in drawings):
        every, names = sum(row["fields"] for row in drawings), sorted({row["model"] for row in drawings})
        text = f"{unlike} of {every} fields of 28x28 are unlike what the model {' or '.join(names)} was trained on"
        say(f"note: {text}: they cost more, and look stranger if lossy", err=True)
    if any(row["differing_pixels"] for row in drawings):
        say(f"note: lossy, so on decompression {RESAMPLED}", err=True)


def _targets(
    found: Sequence[tuple[Path, Path | None]], out: str | None, suffix: str, force: bool, failures: _Failures
) -> dict[Path, Path]:
    """Where the result of each input goes, of those that can have one."""
    claims, targets = Targets(force, [source for source, _ in found]), dict[Path, Path]()
    for source, folder in found:
        with failures.of(source):
            targets[source] = claims.claim(output_for(source, out, suffix, len(found) > 1, folder))
    return targets


def _ledger_line(row: dict[str, Any]) -> str:
    if row["family"] != "field":
        return _photo_line(row)
    note = f"; {row['note']}" if row["note"] else ""
    return (
        f"{row['input']} -> {row['output']}: KL {row['kl_bits']:.1f}, ideal {row['ideal_bits']:.1f}, "
        f"coded {row['coded_bits']:.0f} bits; + container {row['container_bytes']:.1f} bytes "
        f"= {_size(row)}, {row['bits_per_pixel']:.3f} bits/pixel; {_differing(row) or 'exact'}{note}"
    )


def _differing(row: dict[str, Any]) -> str:
    """How many pixels differ; nothing if none does."""
    if not row["differing_pixels"]:
        return ""
    differ = "differs" if row["differing_pixels"] == 1 else "differ"
    share = row["differing_pixels"] / row["width"] / row["height"]
    return f"{counted(row['differing_pixels'], 'pixel')} {differ} ({share:.1%})"


def _changed(row: dict[str, Any]) -> str:
    """How many pixels of a picture in two colours were given up."""
    share = row["changed_pixels"] / row["width"] / row["height"]
    noun = "pixel" if row["changed_pixels"] == 1 else "pixels"
    return f"{row['changed_pixels']:,} {noun} on edges changed ({100 * share:.2f} %)"


def _size(row: dict[str, Any]) -> str:
    """The file's size, as a share of the picture file that it was made of."""
    of = f", {share_text(row['total_bytes'], row['input_bytes'])} of {row['input']}" if row["input_bytes"] else ""
    return f"{row['total_bytes']} bytes{of}"


def _photo_line(row: dict[str, Any]) -> str:
    how = "exact" if row["psnr_db"] is None else f"PSNR {row['psnr_db']:.2f} dB"
    how = "near-lossless" if row["changed_pixels"] else how
    codes = f"KL {row['kl_bits'] / 8:.0f}, " if row["kl_bits"] else ""
    opacity = f" + opacity {row['opacity_bytes']:.0f}" if row["opacity_bytes"] else ""
    return (
        f"{row['input']} -> {row['output']}: {codes}ideal {row['ideal_bits'] / 8:.0f}, coded {row['coded_bits'] / 8:.0f}"
        f"{opacity} + container {row['container_bytes']:.0f} = {_size(row)}, {row['bits_per_pixel']:.3f} bits/pixel; "
        f"{how}{'; ' + row['note'] if row['note'] else ''}"
    )


@click.command(epilog=examples("decompress"))
@click.argument("files", nargs=-1, required=True, type=_INPUT)
@_common
@MADE_WITH
@SEED
@click.option(
    "--samples", type=click.IntRange(1, 1024), help="Of a lossy drawing, write a sheet of this many re-samplings."
)
@TEMPERATURE
@MAX_BYTES
@click.option("--partial", is_flag=True, help="Decode a file that is cut short, as far as it goes.")
@click.option("--preview", is_flag=True, help="Only the coarse picture that a photo's first bytes hold: far sooner.")
@click.option("--crop", type=Region(), help="Only a region of a photo: left, top, width, height.")
def decompress(
    files: tuple[Path, ...], out: str | None, recursive: bool, jobs: int, force: bool, quiet: bool, as_json: bool,
    model_name: str | None, seed: int, samples: int | None, temperature: float | None, max_bytes: int, partial: bool,
    preview: bool, crop: tuple[int, int, int, int] | None,
) -> None:  # fmt: skip
    """Decompress FILES: img.vlz becomes img.png. Same file, same picture, on every machine."""
    model = zoo.named(model_name) if model_name else None
    if seed + (samples or 1) > SEED_LIMIT:
        raise click.UsageError(f"--samples {samples} from seed {seed} on are more than there are seeds")
    failures, to_stdout = _Failures(), is_stdout(out, files)
    found = expanded(files, {".vlz"} if recursive else None, failures.of)
    targets = _targets(found, out, ".png", force, failures)
    for file in [*targets] if samples else ():
        with failures.of(file):
            _check_sheet_name(targets, file)
    samplings = [Sampling(one, temperature, preview=preview, crop=crop) for one in range(seed, seed + (samples or 1))]
    report, progress = list[dict[str, Any]](), ProgressLine(quiet or (as_json and to_stdout))
    asked = given("seed", "temperature", "preview", "samples", model="model_name")
    for one in many.decompress_files(
        [*targets],
        samplings,
        partial=partial,
        model=model,
        in_bands=True,
        jobs=jobs,
        read=_reader(targets, samples, max_bytes, whole=not (preview or crop)),
        progress=progress,
    ):
        with failures.of(one.path):
            row = _written(one, targets[one.path], bool(samples), force)
            report.append({**row, "notes": [*row["notes"], *in_vain(one.unused & asked)]})
    if as_json:
        say(json.dumps(report, indent=2), err=to_stdout)
    elif not quiet:
        _say_pictures(report, to_stdout)
    failures.finish()


def _check_sheet_name(targets: dict[Path, Path], file: Path) -> None:
    """Takes a file off the list whose sheet could not have that name.

    Raises:
        OutputError: it is such.
    """
    if targets[file].suffix.lower() not in ("", ".png"):
        raise OutputError(f"{targets.pop(file)}: a sheet of samples is a PNG file, so name it .png")


def _reader(targets: dict[Path, Path], samples: int | None, max_bytes: int, whole: bool) -> Callable[[Path], bytes]:
    """Reads a file; refuses, before anything is decoded, what claims too many bytes of pixels, or cannot be written.

    samples: how many are on its sheet, if that is wanted. whole: the picture will have the size that the file says.
    """

    def read(path: Path) -> bytes:
        data = read_bytes(path)
        container.check_claim(codec.claimed_bytes(data), max_bytes)
        if samples:
            _check_sampled(path, data, samples)
        else:
            _check_named(targets[path], data, whole)
        return data

    return read


def _check_sampled(path: Path, data: bytes, samples: int) -> None:
    """Raises OutputError if a file has no such sheet of samples, ImageError if the sheet would be too large."""
    geometry, metadata = codec.heading(data)
    check_sheet(samples, geometry.width, geometry.height)
    if metadata is not None:
        raise OutputError(f"{path} is not a drawing: --samples is for drawings; --seed gives another texture")


def _check_named(target: Path, data: bytes, whole: bool) -> None:
    """Raises OutputError or ImageError if the format that a picture's name says cannot hold it, as far as its file tells."""
    suffix, (geometry, metadata) = target.suffix or ".png", codec.heading(data)
    if metadata is None and not is_exact(suffix):
        raise OutputError(_CANNOT_HOLD.format(target))
    if metadata is not None and suffix.lower() != ".png":
        from vlae_codec.picture.writing import OF_FEW_COLOURS, check_can_hold  # drawings are decoded sooner without

        size = geometry if whole else replace(geometry, width=1, height=1)
        grain = suffix.lower() in OF_FEW_COLOURS and codec.inspect(data)["kind"] == "lossy"
        check_can_hold(suffix, size, grain)


def _written(one: many.Decompressed, target: Path, as_sheet: bool, force: bool) -> dict[str, Any]:
    """Writes the picture of a file, or the sheet of its samples: a row of the report."""
    if one.banded and str(target) != "-" and target.suffix.lower() in ("", ".png"):
        return _written_in_bands(one.path, one.banded, target, force)
    decoded = one.result()
    first = decoded[0]
    if first.metadata is not None:
        return _written_photo(one.path, first, target, force)
    picture = contact_sheet(square([sample.drawing for sample in decoded])) if as_sheet else first.picture
    write(target, png_bytes(picture) if as_sheet else _as_named(first.drawing, target), force)
    return {
        "input": str(one.path),
        "output": str(target),
        "width": picture.width,
        "height": picture.height,
        "exact_pixels": first.exact_samples,
        "sampled_pixels": first.sampled_samples,
        "whole": first.whole,
        "notes": [],
    }


def _written_photo(path: Path, decoded: Decoded, target: Path, force: bool) -> dict[str, Any]:
    """Writes a picture as it came, with its metadata: a row of the report."""
    from vlae_codec.picture.writing import write_picture  # drawings are decoded sooner without

    made = write_picture(decoded.raster, target.suffix or ".png", decoded.metadata, lossy=True)
    write(target, made.data, force)
    return _photo_row(path, target, decoded.raster.geometry, decoded, made.notes)


def _written_in_bands(path: Path, banded: Banded, target: Path, force: bool) -> dict[str, Any]:
    """The same of a large picture, rows as they are decoded."""
    from vlae_codec.picture.png import write_png_bands

    with whole(target, force) as out:
        write_png_bands(out, banded.geometry, banded.bands, banded.metadata)
    return _photo_row(path, target, banded.geometry, banded, ())


def _photo_row(
    path: Path, target: Path, geometry: Geometry, decoded: Decoded | Banded, notes: Sequence[str]
) -> dict[str, Any]:
    channels = max(1, geometry.format.channels - geometry.format.alpha)
    return {
        "input": str(path),
        "output": str(target),
        "width": geometry.width,
        "height": geometry.height,
        "exact_pixels": decoded.exact_samples // channels,
        "sampled_pixels": decoded.sampled_samples // channels,
        "whole": decoded.whole,
        "photo": True,
        "notes": [*filter(None, [decoded.note]), *notes],
    }


def _say_pictures(report: list[dict[str, Any]], to_stdout: bool) -> None:
    for row in _legible(report):
        exact = "exact" if row["whole"] else "read"
        how = f"{counted(row['exact_pixels'], 'pixel')} {exact}, {row['sampled_pixels']} re-sampled"
        if row.get("photo"):
            share = row["exact_pixels"] / row["width"] / row["height"]
            exactly = f"{share:.0%}" if share < _ALMOST else f"{100 * share:.2f} %"
            how = "exact" if share == 1 else f"lossy, {exactly} of its pixels exact" if share else "lossy"
            how += ", with drawn texture" if row["sampled_pixels"] else ""
        say(f"{row['input']} -> {row['output']}: {row['width']}x{row['height']}, {how}", err=to_stdout)
        for note in row["notes"]:
            say(f"note: {row['output']}: {note}", err=True)
        if not row["whole"] and row.get("photo"):
            say(f"note: {row['input']} is cut short: this is what is there of it", err=True)
        elif not row["whole"]:
            say(f"note: {row['input']} {_BROKEN[row['sampled_pixels'] > 0]}", err=True)
    if any(row["sampled_pixels"] for row in report if not row.get("photo")):
        say(f"note: {RESAMPLED}", err=True)


_ALMOST = 0.99
_BROKEN = (
    "is damaged, or cut within its check: that fails, and any pixel may be wrong",
    "is cut short, or damaged: its check fails, and the pixels read are exact only if it was cut",
)
"""What is to be known of a file whose check fails: if all of its pixels were read, if others were not."""


def _as_named(drawing: Drawing, target: Path) -> bytes:
    """The picture in the format that its file's name says, PNG if it says none.

    Raises:
        OutputError: that format would lose some of it.
    """
    data = picture_bytes(drawing, target.suffix or ".png")
    if data is None:
        raise OutputError(_CANNOT_HOLD.format(target))
    return data


_CANNOT_HOLD = "{} names a format that is unknown, or cannot hold the picture exactly: name it .png"


@click.command()
@click.argument("files", nargs=-1, required=True, type=PlaceName(path_type=Path, allow_dash=True, readable=False))
@SCHEDULER
@QUIET
@JSON
@MADE_WITH
@MAX_BYTES
def test(
    files: tuple[Path | str, ...], scheduler: str | None, quiet: bool, as_json: bool, model_name: str | None,
    max_bytes: int,
) -> None:  # fmt: skip
    """Check the integrity of FILES, images, archives and sets, 'set-*.vlz', without writing anything."""
    model = zoo.named(model_name) if model_name else None
    check_stdin_once(file for file in files if isinstance(file, Path))
    failures, report = _Failures(), list[dict[str, Any]]()
    for file in files:
        before = len(failures.texts)
        with failures.of(file):
            if scheduler or isinstance(file, str):
                from . import sharded

                found: Iterable[str] = sharded.problems(str(file), scheduler, quiet, model_name, max_bytes)
            else:
                found = _problems(file, model, quiet, max_bytes)
            for problem in found:
                failures.tell(problem)
        problems = failures.texts[before:]
        report.append({"input": str(file), "problems": problems})
        if not (problems or quiet or as_json):
            say(f"{file}: ok")
    if as_json:
        say(json.dumps(report, indent=2))
    failures.finish()


def _problems(file: Path, model: Coder | None, quiet: bool, max_bytes: int) -> list[str]:
    """What is damaged or lost in an archive.

    Raises:
        VlaeError, OSError: it cannot be read; or it is not an archive, but a damaged image.
    """
    with opened(file) as stream:
        start = stream.read(2)
        if not _is_archive(start, stream):
            data = start + read_rest(stream, file)
            container.check_claim(codec.claimed_bytes(data), max_bytes)
            codec.decode([data], model=model, progress=ProgressLine(quiet))
            return []
        from vlae_codec.archive import unpack
        from vlae_codec.archive.opened import Opened

        how: dict[str, Any] = {"jobs": workers(None, quiet), "most_bytes": max_bytes, "progress": ProgressLine(quiet)}
        return unpack.verify(Opened(stream), model=model, **how)


@click.command()
@click.argument("file", type=_INPUT)
@JSON
@MADE_WITH
def info(file: Path, as_json: bool, model_name: str | None) -> None:
    """Say what FILE holds, an image or an archive."""
    model = zoo.named(model_name) if model_name else None
    with opened(file) as stream:
        start = stream.read(2)
        if _is_archive(start, stream):
            from vlae_codec.archive import unpack
            from vlae_codec.archive.opened import Opened

            about = unpack.inspect(Opened(stream))
        else:
            about = codec.inspect(start + read_rest(stream, file), model)
    if as_json:
        say(json.dumps(about, indent=2))
    else:
        shares = {"bytes": share_text(about["bytes"], about["sample_bytes"])} if about.get("sample_bytes") else {}
        for key, value in about.items():
            if key not in (_FOR_PROGRAMS if about.get("why") else _OF_REASONS | _FOR_PROGRAMS):
                share = f", {shares[key]} of {about['sample_bytes']} bytes of samples" if key in shares else ""
                say(as_options(f"{key.replace('_', ' '):16} {_shown(value)}{share}"))
    for damage in about.get("damages", ()):
        say(f"Error: {file}: {damage}", err=True)
    if about.get("damages"):
        raise SystemExit(1)


def _shown(value: object) -> str:
    """A value for people: yes or no for True or False, lines of a list below each other, but of numbers the first few."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, list | tuple):
        return "none" if value is None else str(value)
    if any(isinstance(one, str) for one in value):
        return f"\n{'':17}".join(value)
    more = f", ... {len(value)} in all" if len(value) > _NUMBERS else ""
    return ", ".join(map(str, value[:_NUMBERS])) + more if value else "none"


_NUMBERS = 8
_FOR_PROGRAMS = frozenset({"damages", "sample_bytes", "quality_level", "tiles_begin_at_byte"})
"""What `info` tells with --json alone, or elsewhere."""
_OF_REASONS = frozenset({"kept_exactly", "why"})
"""What it tells only of files that are exact though that was not asked for."""


def _is_archive(start: bytes, file: BinaryIO) -> bool:
    """Whether a file is an archive: by its first bytes or, if those are damaged, by its last."""
    from vlae_codec.archive import frame

    return container.is_archive(start) or frame.has_index(file)


@click.command(name="models")
@JSON
def list_models(as_json: bool) -> None:
    """List the released models: what each knows, its size, and the bits that an image of its test set takes."""
    rows = []
    for folder in zoo.released():
        said = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        digest = bytes.fromhex(said["sha256"])
        identity = {"name": folder.name, "number": registry.number_of(digest), "sha256": said["sha256"]}
        known = {
            "knows": registry.about(digest).get("knows"),
            "takes": registry.about(digest).get("takes"),
            "chosen_by_auto": folder.name in (*zoo.drawers(), zoo.PHOTO, zoo.INK),
        }
        standing = {"default": folder.name == zoo.DEFAULT, "bytes": (folder / "weights.npz").stat().st_size}
        rows.append({**identity, **known, **standing, **said.get("figures", {})})
    if as_json:
        say(json.dumps(rows, indent=2))
        return
    for row in rows:
        say(f"{row['name']}: {row['knows']}")
        what = [f"number {row['number']}", f"{row['bytes']} bytes", f"sha256 {row['sha256'][:16]}..."]
        bits = [f"{row[key]:.1f} bits an image {kind}" for key, kind in _MODEL_FIGURES.items() if key in row]
        say("    " + ", ".join([*what, *bits, *filter(None, [row["takes"]])]))


_MODEL_FIGURES = {"nll_bits": "exact", "kl_bits": "lossy"}
"""What a model's figures are called in theory: an exact file is a little larger than the one, a lossy one than the other."""


class _Failures:
    """Collects the errors of single inputs, so that one bad file does not stop the others."""

    def __init__(self) -> None:
        self.texts = list[str]()

    def of(self, path: Path | str) -> _Failures:
        """`with failures.of(path):` reports an error within as one line about `path`."""
        self._path = path
        return self

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, BrokenPipeError) or not isinstance(error, VlaeError | OSError):
            return False
        self.tell(str(error) if isinstance(error, VlaeError) else str(error.strerror or error))
        return True

    def tell(self, text: str) -> None:
        """Reports an error about the path given last."""
        self.texts.append(" ".join(named(text, str(self._path)).splitlines()))
        say(f"Error: {self.texts[-1]}", err=True)

    def finish(self) -> None:
        """Exits with 1 if anything failed."""
        if self.texts:
            raise SystemExit(1)


COMMANDS = (compress, decompress, test, info, list_models)
