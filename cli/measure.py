"""measure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from vlae_codec import files, zoo
from vlae_codec.family import DEFAULT_EFFORT, Coder, Rated
from vlae_codec.report import html, judge, measure, photo_measure, photo_page, photo_tables, plots, samples, tables

from .files import PathName, ProgressLine, check_not_input, say, workers
from .help import examples
from .options import FORCE, JSON, MODEL, THRESHOLD

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
@MODEL
@FORCE
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def measure_images(
    sources: tuple[str, ...], count: int | None, effort: int, threshold: int | None, no_baselines: bool,
    as_json: bool, csv_file: Path | None, plot_file: Path | None, page_file: Path | None, labels: str | None,
    classifier: Path, jobs: int | None, model_name: str | None, force: bool, quiet: bool,
) -> None:  # fmt: skip
    """Measure the codec on your own images: theory, files, archives, baselines. SOURCES are those of `pack`.

    Of photographs: exact files and times, and quality over size beside JPEG, WebP, AVIF and JPEG XL. Everything is coded
    for real and decoded again; nothing but the reports asked for is kept. Resumes where it was stopped.
    """
    reports = _Reports(csv_file, plot_file, page_file, as_json, force, quiet)
    reports.check()
    model = zoo.named(model_name) if model_name else None
    if threshold is None and (isinstance(model, Rated) if model else samples.are_photographs(sources)):
        if labels or plot_file:
            raise click.UsageError("--labels and --plot are for drawings; --report has the plots of photographs")
        _measure_photographs(sources, count, model or zoo.named(zoo.PHOTO), effort, not no_baselines, reports)
        return
    settled = measure.Settled(effort, workers(jobs, quiet), not no_baselines, classifier)
    images = samples.sample(sources, count, threshold, labels)
    reports.check_not_input(images.files)
    with _resuming():
        measured = measure.measure(images, model or zoo.named(zoo.DEFAULT), settled, progress=ProgressLine(quiet))
    found = measured.measurement
    if plot_file:
        plots.plot(found, plot_file, force)
    reports.write(
        lambda: tables.csv_text(found),
        lambda: html.html(found, measured.sheets),
        json.dumps(tables.summary(found), indent=2) if as_json else tables.text(found),
    )


def _measure_photographs(
    sources: tuple[str, ...], count: int | None, model: Coder, effort: int, baselines: bool, reports: _Reports
) -> None:
    given = samples.photographs(sources, count)
    with _resuming():
        found = photo_measure.measure(given, model, effort, baselines, progress=ProgressLine(reports.quiet))
    reports.write(
        lambda: photo_tables.csv_text(found),
        lambda: photo_page.page(found),
        json.dumps(photo_measure.summary(found), indent=2) if reports.as_json else photo_tables.text(found),
    )


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
