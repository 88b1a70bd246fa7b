"""measure."""

from __future__ import annotations

import json
from pathlib import Path

import click

from vlae_codec import files, zoo
from vlae_codec.family import DEFAULT_EFFORT
from vlae_codec.report import html, judge, measure, plots, samples, tables

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

    Everything is coded for real and decoded again; nothing but the reports asked for is kept. Resumes where it was
    stopped.
    """
    reports = [path for path in (csv_file, plot_file, page_file) if path]
    _check_free(reports, force)
    if plot_file:
        plots.check(plot_file)
    model = zoo.named(model_name or zoo.DEFAULT)
    settled = measure.Settled(effort, workers(jobs, quiet), not no_baselines, classifier)
    images = samples.sample(sources, count, threshold, labels)
    for path in reports:
        check_not_input(path, images.files)
    try:
        measured = measure.measure(images, model, settled, progress=ProgressLine(quiet))
    except (KeyboardInterrupt, SystemExit):
        say("stopped: the same command goes on from what is done", err=True)
        raise
    found = measured.measurement
    _write_reports(measured, csv_file, plot_file, page_file, force)
    say(json.dumps(tables.summary(found), indent=2) if as_json else tables.text(found), nl=as_json)
    if reports and not quiet:
        say(f"wrote {', '.join(map(str, reports))}", err=True)


def _write_reports(
    measured: measure.Measured, csv_file: Path | None, plot_file: Path | None, page_file: Path | None, force: bool
) -> None:
    found = measured.measurement
    if csv_file:
        files.write(csv_file, tables.csv_text(found).encode(), force)
    if plot_file:
        plots.plot(found, plot_file, force)
    if page_file:
        files.write(page_file, html.html(found, measured.sheets).encode(), force)


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
