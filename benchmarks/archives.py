"""How fast are archives? Whole processes that pack and unpack the statically binarised MNIST test set.

    python benchmarks/archives.py --data DIR --json results/archives.json

Throughput at one and two jobs beside that of single files made one by one; seconds an image over a hundredfold range of
sizes, the test set repeated; and the peak memory of the largest process, which should not grow with the archive.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from vlae_codec import codec, zoo
from vlae_codec.exact.threads import cores
from vlae_codec.field.coder import FieldCoder
from vlae_codec.models import data
from vlae_codec.picture.drawing import Drawing

Table = dict[str, Any]
TOOL = [sys.executable, "-m", "vlae_codec"]
JOBS = 1, 2
SIZES = 1_000, 3_000, 10_000, 30_000, 100_000
RUN = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
subprocess.run(sys.argv[1:], check=True)
seconds = time.perf_counter() - started
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024]))
"""
"""A process of its own for each command, so that one command's peak does not hide another's."""


@click.command()
@click.option("--data", "data_folder", type=click.Path(path_type=Path), envvar="VLAE_DATA", default=Path("data"))
@click.option("--model", "name", default=zoo.DEFAULT, show_default=True)
@click.option("--runs", default=3, show_default=True, help="Medians of so many.")
@click.option("--quick", is_flag=True, help="A tenth of the images, and no more than 3,000.")
@click.option("--largest", default=SIZES[-1], show_default=True, help="The most images.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the figures here.")
def main(data_folder: Path, name: str, runs: int, quick: bool, largest: int, out: Path | None) -> None:
    """Measures throughput, then sizes, then single files."""
    model = zoo.named(name)
    every = (data.load("mnist_static", ["test"], data_folder) > 0).astype(np.uint8)
    every = data.shuffled_part(every, len(every), 0)
    images = every[:1_000] if quick else every
    table: Table = {"model": model.name, "sha256": model.digest.hex(), "cores": cores(), "images": len(images)}
    table["jobs"] = {jobs: there_and_back(images, name, jobs, runs) for jobs in JOBS}
    sizes = [size for size in SIZES if size <= (3_000 if quick else largest)]
    table["sizes"] = {size: there_and_back(np.resize(every, (size, 28, 28)), name, None, 1) for size in sizes}
    table["one_by_one"] = one_by_one(images[: 20 if quick else 100], model, runs)
    table["ratios"] = {
        "pack": table["jobs"][1]["pack"]["images_per_second"] / table["one_by_one"]["compress_images_per_second"],
        "unpack": table["jobs"][1]["unpack"]["images_per_second"] / table["one_by_one"]["decompress_images_per_second"],
        "bytes": table["jobs"][1]["bytes_per_image"] / table["one_by_one"]["bytes_per_image"],
    }
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(table, indent=2) + "\n")
    click.echo(json.dumps(table, indent=2))


def there_and_back(images: npt.NDArray[np.uint8], name: str, jobs: int | None, runs: int) -> Table:
    """Packs (n, 28, 28) and unpacks again; refuses to time what does not come back."""
    with tempfile.TemporaryDirectory() as folder:
        array, file, back = (Path(folder) / part for part in ("images.npy", "images.vlz", "back"))
        np.save(array, images)
        shared = ["-f", "-q", "--model", name, *(["--jobs", str(jobs)] if jobs else [])]
        commands = {
            "pack": [*TOOL, "pack", str(array), "-o", str(file), *shared],
            "unpack": [*TOOL, "unpack", str(file), "-o", str(back), *shared],
        }
        table = {what: measured(command, len(images), runs) for what, command in commands.items()}
        if not np.array_equal(np.load(back / array.name), images):
            raise click.ClickException("the images did not come back as they were")
        table["bytes_per_image"] = file.stat().st_size / len(images)
        click.echo(f"{len(images)} images, {jobs or 'default'} jobs: {json.dumps(table)}", err=True)
        return table


def measured(command: list[str], images: int, runs: int) -> Table:
    """Wall time, the median, and the largest peak of memory of any one process."""
    found = [json.loads(subprocess.check_output([sys.executable, "-c", RUN, *command])) for _ in range(runs)]
    seconds = statistics.median(run[0] for run in found)
    return {
        "seconds": seconds,
        "images_per_second": images / seconds,
        "milliseconds_per_image": 1000 * seconds / images,
        "peak_bytes": max(run[1] for run in found),
    }


def one_by_one(images: npt.NDArray[np.uint8], model: FieldCoder, runs: int) -> Table:
    """Lossless single files through the Python API: a loop, as a dataset would be kept without archives."""
    drawings = [Drawing(bits) for bits in images]
    files = [codec.encode([drawing], model, lossless=True)[0].data for drawing in drawings]
    encoding = median_seconds(runs, lambda: [codec.encode([one], model, lossless=True) for one in drawings])
    decoding = median_seconds(runs, lambda: [codec.decode([one], model=model) for one in files])
    return {
        "compress_images_per_second": len(images) / encoding,
        "decompress_images_per_second": len(images) / decoding,
        "bytes_per_image": sum(map(len, files)) / len(images),
    }


def median_seconds(runs: int, call: Callable[[], object]) -> float:
    """Wall time of a call, the median."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    main()
