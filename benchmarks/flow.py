"""What the flow of bytes costs: starting, the end of a stream, a page as one lossless file, many samples of one file, images
of an archive at random.

    python benchmarks/flow.py after -o results/flow.json

It uses little but the package's public names, so that the same file measures an older checkout (`PYTHONPATH=OLD ... before`)
into another entry of the same results; what that does not have is left out. Starts of both are measured in turn, since a
machine's speed drifts by more than they differ, with the older package installed beside ours: `--beside OLD/bin/python`.
Seconds are of one thread; the processor's say more than the clock's on a machine that others use. Images are the 100 digits
that ship with the package, shifted about.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ["VLAE_THREADS"] = "1"

import click
import numpy as np
import numpy.typing as npt

import vlae_codec

Bits = npt.NDArray[np.uint8]
DECISIONS, SAMPLES, IMAGES, READ, CHUNK, STARTS = 10_000_000, 16, 10_000, 2_000, 100, 60


@click.command()
@click.argument("entry", type=click.Choice(["before", "after"]))
@click.option(
    "-o", "--output", "out", type=click.Path(path_type=Path, dir_okay=False), help="JSON to add the entry to."
)
@click.option(
    "--page", nargs=2, type=int, default=(1700, 2200), show_default=True, help="Its width and height; 0 0: none."
)
@click.option("--archive/--no-archive", "archives", default=True, show_default=True)
@click.option("--only", help="Measure this part alone: start, samples, stream, page or archive.")
@click.option("--beside", metavar="PYTHON", help="Whose starts are measured in turn with ours: of the entry before.")
def main(
    entry: str, out: Path | None, page: tuple[int, int], archives: bool, only: str | None, beside: str | None
) -> None:
    """Measure the flow: ENTRY is what the results call this checkout."""
    pythons = {entry: sys.executable} | ({"before": beside} if beside else {})
    parts: dict[str, Callable[[Bits], Any]] = {"start": partial(starts, pythons), "samples": samples, "stream": stream}
    if all(page):
        parts["page"] = partial(one_page, *page)
    if archives and hasattr(vlae_codec, "open_archive"):
        parts["archive"] = archive
    table = json.loads(out.read_text()) if out and out.exists() else {}
    for name, measure in parts.items() if only is None else [(only, parts[only])]:
        found = measure(digits())
        for one, value in found.items() if name == "start" else [(entry, found)]:
            table.setdefault(one, {})[name] = value
        if out:
            out.write_text(json.dumps(table, indent=2) + "\n")
    click.echo(json.dumps(table[entry], indent=2))


def digits() -> Bits:
    """The digits that ship with the package: (100, 28, 28)."""
    packed = np.load(Path(vlae_codec.__file__).parent / "digits.npz")["test"]
    return np.unpackbits(packed, axis=1)[:, :784].reshape(-1, 28, 28)


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What the work gives, and what it takes."""
    clock, processor = time.perf_counter(), time.process_time()
    result = work()
    return result, {"seconds": time.perf_counter() - clock, "processor_seconds": time.process_time() - processor}


def starts(pythons: dict[str, str], bits: Bits) -> dict[str, Any]:
    """Importing the package, and one `decompress` of a lossy digit by command, by entry: medians of processes, in turn.

    Before, each is done once, so that what Python keeps of modules and we of models is there. What is
    beside the first entry has the median of its ratios to that, turn by turn.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a.vlz").write_bytes(vlae_codec.compress(bits[7], effort=0))
        command = ["-m", "vlae_codec", "decompress", f"{folder}/a.vlz", "-o", f"{folder}/a.png", "-f", "-q"]
        names = "import vlae_codec; vlae_codec.decompress"
        runs = {"python alone": ["-c", ""], "import": ["-c", names], "decompress": command}
        found: dict[str, Any] = {entry: {} for entry in pythons}
        for name, arguments in runs.items():
            turns = [[_of_process([one, *arguments], folder) for one in pythons.values()] for _ in range(STARTS + 1)][
                1:
            ]
            for place, entry in enumerate(pythons):
                own = {key: statistics.median(turn[place][key] for turn in turns) for key in turns[0][0]}
                ratio = statistics.median(
                    turn[place]["processor_seconds"] / turn[0]["processor_seconds"] for turn in turns
                )
                found[entry][name] = own | ({"processor_ratio": ratio} if place else {})
    return found


def _of_process(command: list[str], folder: str) -> dict[str, float]:
    """What a process takes, and its own children; it runs in the folder, so that it has its installed package."""
    clock, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, cwd=folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": time.perf_counter() - clock, "processor_seconds": processor}


def samples(bits: Bits) -> dict[str, Any]:
    """Re-samplings of one lossy digit."""
    data = vlae_codec.compress(bits[7], effort=0)
    seeds = [vlae_codec.Sampling(seed) for seed in range(SAMPLES)]
    vlae_codec.decode([data])  # loads the model
    apart, one_by_one = timed(lambda: [vlae_codec.decode([data], seed)[0].drawing.bits for seed in seeds])
    found: dict[str, Any] = {"samples": SAMPLES, "one by one": one_by_one}
    if hasattr(vlae_codec, "decode_samples"):
        together, found["together"] = timed(lambda: vlae_codec.decode_samples([data], seeds)[0])
        assert all(np.array_equal(one, other.drawing.bits) for one, other in zip(apart, together, strict=True))
    return found


def stream(_bits: Bits) -> dict[str, Any]:
    """The range coder's stream of ten million decisions, and what its end costs: in time, and in memory held until then."""
    try:
        from vlae_codec.coding.entropy import Encoder
    except ImportError:  # an older checkout
        from vlae_codec.entropy import Encoder  # type: ignore[import-not-found,no-redef]

    rng = np.random.default_rng(2)
    ink = rng.integers(1, 1 << 24, DECISIONS // 100)
    decided = (rng.integers(0, 1 << 24, len(ink)) < ink).astype(np.uint8)
    encoder, before = Encoder(), memory_bytes()

    def put() -> None:
        for _ in range(DECISIONS // len(ink)):
            encoder.put_bits(decided.copy(), ink.copy())

    _, putting = timed(put)
    held = memory_bytes() - before
    code, ending = timed(encoder.finish)
    return {"decisions": DECISIONS, "bytes": len(code.rest), "put": putting, "end": ending, "held_bytes": held}


def memory_bytes() -> int:
    """What this process holds in memory, where the system tells; else 0."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if status.exists() else 0


def one_page(width: int, height: int, bits: Bits) -> dict[str, Any]:
    """A page full of digits as one lossless file, with as little search as there can be: coding is what is measured."""
    page = np.zeros((height, width), np.uint8)
    rng = np.random.default_rng(0)
    for top in range(50, height - 80, 34):
        for left in range(50, width - 80, 26):
            if rng.random() < 0.85:
                page[top : top + 28, left : left + 28] |= bits[rng.integers(len(bits))]
    data, coding = timed(lambda: vlae_codec.compress(page * np.uint8(255), lossless=True, effort=0))
    return {"width": width, "height": height, "bytes": len(data), "compress": coding}


def archive(bits: Bits) -> dict[str, Any]:
    """Images of an archive read at random, as a data loader does: two epochs of the same images in other orders."""
    rng = np.random.default_rng(1)
    shifts = rng.integers(-3, 4, (IMAGES, 2))
    images = np.stack([np.roll(bits[i % len(bits)], shift, (0, 1)) for i, shift in enumerate(shifts)])
    chosen = rng.choice(IMAGES, READ, replace=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "set.vlz")
        _, packing = timed(lambda: vlae_codec.pack(images, path, chunk=CHUNK))
        found: dict[str, Any] = {
            "images": IMAGES,
            "chunk": CHUNK,
            "bytes": path.stat().st_size,
            "read": READ,
            "pack": packing,
        }
        with vlae_codec.open_archive(path) as opened:
            _, found["open and name"] = timed(lambda: [opened.names[i] for i in (0, -1)])
            _, found["first image"] = timed(lambda: opened[int(chosen[0])])
            for epoch in ("first epoch", "second epoch"):
                order = rng.permutation(chosen).tolist()
                read, found[epoch] = timed(lambda order=order: [opened[i] for i in order])
                assert all(np.array_equal(image, images[i]) for image, i in zip(read, order, strict=True))
    return found


if __name__ == "__main__":
    main()
