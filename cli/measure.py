"""measure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from vlae_codec import files, zoo
from vlae_codec.family import DEFAULT_EFFORT, Coder, Rated
from vlae_codec.report import html, judge, measure, photo_measure, photo_page, photo_tables, plots, samples, tables
from vlae_codec.report.photo_measure import PhotoMeasurement
from vlae_codec.report.tables import Measurement

from .archive import sharded
from .files import PathName, ProgressLine, check_not_input, say, workers
from .help import examples
from .options import FORCE, JSON, MODEL, SCHEDULER, THRESHOLD

_OUT = PathName(path_type=Path, dir_okay=False)


@click.command(name="measure", epilog=examples("measure"))
@click.argument("sources", nargs=-1, required=True)
@click.option("--n", "count", type=click.IntRange(1), metavar="N", help="Only N images, a random sample of fixed seed.")
@click.option("--effort", type=click.IntRange(0, 9), default=DEFAULT_EFFORT, show_default=True,
              help="Size of the search.")  # fmt: skip
@THRESHOLD
@click.option("--no-baselines", "--no-rivals", is_flag=True, help="Only this codec, not PNG and the others.")
@JSON
@click.option("--csv", "csv_file", type=_OUT, metavar="FILE", help="Write a line for each image.")
@click.option(
    "--plot", "plot_file", type=_OUT, metavar="FILE", help="Draw costs, and file against theory: PNG, SVG, PDF."
)
@click.option(
    "--report", "page_file", type=_OUT, metavar="FILE.html", help="Write a page with tables, plots, pictures."
)
@click.option(
    "--labels", metavar="FILE", help="The images' classes: FILE.npz:KEY, .npy or IDX.  [default: beside X_x, X_y]"
)
@click.option("--classifier", type=PathName(path_type=Path, dir_okay=False), default=judge.CLASSIFIER,
              show_default=True, help="Reads digits, before and after, if classes are known.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes, for archives.  [default: one a core]")
@SCHEDULER
@MODEL
@FORCE
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def measure_images(
    sources: tuple[str, ...], count: int | None, effort: int, threshold: int | None, no_baselines: bool,
    as_json: bool, csv_file: Path | None, plot_file: Path | None, page_file: Path | None, labels: str | None,
    classifier: Path, jobs: int | None, scheduler: str | None, model_name: str | None, force: bool, quiet: bool,
) -> None:  # fmt: skip
    """Measure the codec on your own images: theory, files, archives, baselines. SOURCES are those of `pack`.

    Of photographs: exact files and times, and quality over size beside JPEG, WebP, AVIF and JPEG XL. Everything is coded
    for real and decoded again; nothing but the reports asked for is kept. Resumes where it was stopped. With --scheduler
    images are measured in parts, by its workers.
    """
    reports = _Reports(csv_file, plot_file, page_file, as_json, force, quiet)
    reports.check()
    model = zoo.named(model_name) if model_name else None
    photographs = threshold is None and (isinstance(model, Rated) if model else samples.are_photographs(sources))
    if photographs and (labels or plot_file):
        raise click.UsageError("--labels and --plot are for drawings; --report has the plots of photographs")
    if scheduler and labels:
        raise click.UsageError("--labels are for images that are measured on this machine: leave out --scheduler")
    if scheduler:
        how: dict[str, Any] = {"count": count, "effort": effort, "baselines": not no_baselines}
        how |= {} if photographs else {"threshold": threshold}
        how |= {"model": model_name} if model_name else {}
        found = sharded().measured(sources, scheduler, jobs, quiet, photographs, how)
    elif photographs:
        found = _photographs(sources, count, model or zoo.named(zoo.PHOTO), effort, not no_baselines, quiet)
    else:
        settled = measure.Settled(effort, workers(jobs, quiet), not no_baselines, classifier)
        found = _drawings(samples.sample(sources, count, threshold, labels), model, settled, reports)
    reports.write_of(found)


def _photographs(
    sources: tuple[str, ...], count: int | None, model: Coder, effort: int, baselines: bool, quiet: bool
) -> PhotoMeasurement:
    given = samples.photographs(sources, count)
    with _resuming():
        return photo_measure.measure(given, model, effort, baselines, progress=ProgressLine(quiet))


def _drawings(
    images: samples.Sample, model: Coder | None, settled: measure.Settled, reports: _Reports
) -> measure.Measured:
    reports.check_not_input(images.files)
    with _resuming():
        chosen = model or zoo.named(zoo.DEFAULT)
        return measure.measure(images, chosen, settled, progress=ProgressLine(reports.quiet))


@contextmanager
def _resuming() -> Iterator[None]:
    """Says of what is stopped that it was not in vain."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        say("stopped: the same command goes on from what is done", err=True)
        raise


@dataclass(frozen=True)
class _Reports:
    """What is written besides, and how."""

    csv_file: Path | None
    plot_file: Path | None
    page_file: Path | None
    as_json: bool
    force: bool
    quiet: bool

    @property
    def paths(self) -> list[Path]:
        """All that were asked for."""
        return [path for path in (self.csv_file, self.plot_file, self.page_file) if path]

    def check(self) -> None:
        """Refuses early what could not be written after all the work."""
        _check_free(self.paths, self.force)
        if self.plot_file:
            plots.check(self.plot_file)

    def check_not_input(self, read: list[Path]) -> None:
        """Refuses to write over what was read."""
        for path in self.paths:
            check_not_input(path, read)

    def write_of(self, found: PhotoMeasurement | Measurement | measure.Measured) -> None:
        """Writes and says what was measured."""
        if isinstance(found, PhotoMeasurement):
            self.write(
                lambda: photo_tables.csv_text(found),
                lambda: photo_page.page(found),
                json.dumps(photo_measure.summary(found), indent=2) if self.as_json else photo_tables.text(found),
            )
            return
        measured, sheets = (found.measurement, found.sheets) if isinstance(found, measure.Measured) else (found, [])
        if self.plot_file:
            plots.plot(measured, self.plot_file, self.force)
        self.write(
            lambda: tables.csv_text(measured),
            lambda: html.html(measured, sheets),
            json.dumps(tables.summary(measured), indent=2) if self.as_json else tables.text(measured),
        )

    def write(self, csv_text: Callable[[], str], page: Callable[[], str], said: str) -> None:
        """Writes what was asked for, and says the rest."""
        if self.csv_file:
            files.write(self.csv_file, csv_text().encode(), self.force)
        if self.page_file:
            files.write(self.page_file, page().encode(), self.force)
        say(said, nl=self.as_json)
        if self.paths and not self.quiet:
            say(f"wrote {', '.join(map(str, self.paths))}", err=True)


def _check_free(wanted: list[Path], force: bool) -> None:
    """Refuses early what could not be written after all the work.

    Raises:
        OutputError: a file exists and `force` is not set, or there can be none in that place.
        UsageError: two reports would be one file.
    """
    if Path("-") in wanted:
        raise click.UsageError("--csv, --plot and --report need files; --json goes to stdout")
    if len({path.resolve() for path in wanted}) < len(wanted):
        raise click.UsageError("--csv, --plot and --report need files of their own")
    for path in wanted:
        files.check_free(path, force)


COMMANDS = (measure_images,)
