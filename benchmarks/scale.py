"""What do sets of archives cost? Images a second of each engine, side by side; bytes to workers; memory over many shards.

    python benchmarks/scale.py --data DIR --json results/scale.json

- Plain `pack --jobs` of one archive, `--shards` by processes, and `--shards` on a Dask cluster of as many workers, a shard
  for each, by turns and back, so that what else the machine does falls on all alike: medians of ratios within a turn.
- What an engine takes for tasks that do nothing, so how many a second a scheduler hands out.
- Bytes that tasks and results take as they are sent, an image and a shard.
- The peak memory of the client and of a worker for few shards and for many, of as many images each.
- Microseconds to list and to weigh a loose picture.
- What a run that goes on takes for each shard that is there, and bytes of an archive's index.

It needs two cores that nobody else uses, and then takes some fifteen minutes: half of it for speed, half for memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import click
import numpy as np

from vlae_codec import cluster, zoo
from vlae_codec.archive.options import Options
from vlae_codec.cluster import survey
from vlae_codec.cluster.engine import Local
from vlae_codec.cluster.tasks import Packing
from vlae_codec.models import data
from vlae_codec.picture.drawing import Drawing
from vlae_codec.picture.images import png_bytes, to_picture

Table = dict[str, Any]
WORKERS = 1, 2
PACK = """
import json, sys, time
import vlae_codec
from vlae_codec import cluster
if __name__ == "__main__":
    kind, source, out, model, shards, jobs = sys.argv[1:7]
    shards, jobs = int(shards), int(jobs)
    if kind == "plain":
        started = time.perf_counter()
        vlae_codec.pack(source, out + ".vlz", model=model, jobs=jobs, force=True)
    elif kind == "processes":
        started = time.perf_counter()
        cluster.pack(source, out + "-{shard:05d}.vlz", shards, model=model, jobs=jobs, force=True)
    else:
        from vlae_codec.cluster.dask import connected
        with connected(f"local:{jobs}") as client:
            client.run(lambda: __import__("vlae_codec.archive.api"))  # as workers that run already have it
            started = time.perf_counter()
            cluster.pack(source, out + "-{shard:05d}.vlz", shards, model=model, client=client, force=True)
            print(json.dumps(time.perf_counter() - started))
            sys.exit()
    print(json.dumps(time.perf_counter() - started))
"""
MEMORY = """
import json, sys
import numpy as np
from vlae_codec import cluster
from vlae_codec.cluster.dask import connected
if __name__ == "__main__":
    source, out, model, shards, workers = sys.argv[1:6]
    with connected(f"local:{workers}") as client:
        def peak():  # not ru_maxrss, which a process has from the one that began it
            (line,) = (one for one in open("/proc/self/status") if one.startswith("VmHWM"))
            return int(line.split()[1]) * 1024
        cluster.pack(source, out + "-{shard:05d}.vlz", int(shards), model=model, client=client, force=True)
        print(json.dumps({"client_bytes": peak(), "worker_bytes": max(client.run(peak).values())}))
"""


@click.command()
@click.option("--data", "data_folder", type=click.Path(path_type=Path), envvar="VLAE_DATA", default=Path("data"))
@click.option("--model", "name", default=zoo.DEFAULT, show_default=True)
@click.option("--tiny", "tiny", type=click.Path(path_type=Path), default=Path("tests/tiny"), show_default=True,
              help="The model by which memory is measured: it is fast.")  # fmt: skip
@click.option("--images", default=10_000, show_default=True, help="Of each worker, and so of each shard that is timed.")
@click.option("--turns", default=2, show_default=True, help="Medians of so many.")
@click.option("--shards", "most", default=1000, show_default=True, help="The most shards whose memory is measured.")
@click.option("--each", default=1000, show_default=True, help="Images of each of these.")
@click.option("--workers", default=WORKERS[-1], show_default=True, help="The most workers.")
@click.option(
    "--only",
    type=click.Choice(["speed", "tasks", "sent", "listing", "restart", "memory"]),
    help="This part alone, again.",
)
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the figures here.")
def main(
    data_folder: Path,
    name: str,
    tiny: Path,
    images: int,
    turns: int,
    most: int,
    each: int,
    workers: int,
    only: str | None,
    out: Path | None,
) -> None:
    """Measures speed, then tasks, bytes, listing, a restart, and memory."""
    try:
        digits = (data.load("mnist_static", ["test"], data_folder) > 0).astype(np.uint8)
    except Exception:  # without the data set, the digits of the demo, again and again: as many, and as fast
        from vlae_codec.picture.drawing import demo_digits

        digits = np.stack([digit.bits for digit in demo_digits()])
    table: Table = {"model": name, "sha256": zoo.named(name).digest.hex(), "cores": len(os.sched_getaffinity(0))}
    table["images_per_shard"] = images
    if only and out and out.exists():
        before = json.loads(out.read_text())  # whose head says how speed was measured
        table = before | table if only == "speed" else table | before
    many = most // 100, most // 10, most
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for n in WORKERS if only in (None, "speed") else ():
            np.save(place / f"{n}.npy", np.resize(digits, (n * images, 28, 28)))
        for part, measured in (
            ("speed", lambda: {n: speed(place, name, images, n, turns) for n in WORKERS if n <= workers}),
            ("tasks", tasks),
            ("sent", lambda: sent(place, digits)),
            ("listing", lambda: listing(place, digits)),
            ("restart", lambda: restart(place, str(tiny.absolute()), digits)),
            ("memory", lambda: {n: memory(place, str(tiny.absolute()), digits, n, each, workers) for n in many if n}),
        ):
            if only not in (None, part):
                continue
            table[part] = measured()
            click.echo(f"{part}: {json.dumps(table[part])}", err=True)
            if out:
                out.parent.mkdir(parents=True, exist_ok=True)
                out.write_text(json.dumps(table, indent=2) + "\n")
    click.echo(json.dumps(table, indent=2))


def run(script: str, *arguments: object) -> Any:
    """What a script prints, in a process of its own."""
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(script)
        file.flush()
        command = [sys.executable, file.name, *map(str, arguments)]
        return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()[-1])


def speed(place: Path, name: str, images: int, workers: int, turns: int) -> Table:
    """Images a second of each engine with so many workers, and what Dask takes over the others: the median over turns."""
    seconds: dict[str, list[float]] = {"plain": [], "processes": [], "dask": []}
    for turn in range(turns):
        for kind in [*seconds][:: -1 if turn % 2 else 1]:
            seconds[kind].append(run(PACK, kind, place / f"{workers}.npy", place / kind, name, workers, workers))
    ratios = {
        other: statistics.median(a / b for a, b in zip(seconds["dask"], seconds[other], strict=True))
        for other in ("plain", "processes")
    }
    found = {kind: workers * images / statistics.median(some) for kind, some in seconds.items()}
    return {"images_per_second": found, "dask_time_over": ratios}


def nothing(_shared: None, item: Any) -> int:
    """A task."""
    return int(item.number)


def tasks(count: int = 500) -> Table:
    """Tasks a second that do nothing, by processes of this machine and by one Dask worker of them."""
    from vlae_codec.cluster.dask import Dask, connected

    items = [survey.Part(number, 1, survey.Packed(b"x" * 200)) for number in range(count)]
    with connected("local:1") as client:
        engine = Dask(client)
        list(engine.run("warm", nothing, items[:10], None))
        started = time.perf_counter()
        assert len(list(engine.run("nothing", nothing, items, None))) == count
        return {"dask_per_second": count / (time.perf_counter() - started)}


def pictures(place: Path, digits: np.ndarray) -> Path:
    """A folder of 1,000 loose pictures."""
    folder = place / "pictures"
    folder.mkdir(exist_ok=True)
    for number in range(1000):
        (folder / f"{number:08d}.png").write_bytes(png_bytes(to_picture(Drawing(digits[number % len(digits)]))))
    return folder


def sent(place: Path, digits: np.ndarray) -> Table:
    """Bytes of a task and of its result as they are pickled: of an array, and of loose pictures and their paths."""
    np.save(place / "sent.npy", np.resize(digits, (2000, 28, 28)))
    found: Table = {}
    for kind, source in (("array", place / "sent.npy"), ("loose_pictures", pictures(place, digits))):
        looking = survey.Looking(None, True, str(place / "copies"))
        sources = survey.listed(Local(1), [str(source)], looking).sources
        images = min(1000, sum(one.count for one in sources))
        rest = sum(one.count for one in sources) - images
        part = next(survey.parts(sources, [images, rest] if rest else [images]))
        packing = Packing(cluster.api.Pattern.of(str(place / "x-{shard}.vlz")), "0" * 32, "0" * 64, Options(), None)
        shared = len(pickle.dumps(packing))
        whole = len(pickle.dumps(part))
        found[kind] = {
            "images": images,
            "shared_bytes": shared,
            "task_bytes": whole,
            "task_bytes_per_image": whole / images,
        }
    return found


def memory(place: Path, model: str, digits: np.ndarray, shards: int, each: int, workers: int) -> Table:
    """Peak memory of a client and of its largest worker that pack so many shards."""
    source = place / "many.npy"
    many = np.lib.format.open_memmap(source, "w+", np.uint8, (shards * each, 28, 28))
    for first in range(0, len(many), each):
        many[first : first + each] = np.resize(digits, (each, 28, 28))
    many.flush()
    del many
    found = run(MEMORY, source, place / f"m{shards}", model, shards, workers)
    manifest = (place / f"m{shards}-manifest.json").stat().st_size
    return {"images": shards * each, **found, "manifest_bytes_per_shard": manifest / shards}


def restart(place: Path, model: str, digits: np.ndarray, shards: int = 200, each: int = 10) -> Table:
    """A run that is stopped when all shards are there, and goes on: milliseconds a shard; and bytes of an index a chunk."""
    np.save(place / "r.npy", np.resize(digits, (shards * each, 28, 28)))

    def pack(progress: Any = None) -> cluster.PackedSet:
        out = str(place / "r-{shard:05d}.vlz")
        return cluster.pack(str(place / "r.npy"), out, shards, jobs=1, model=model, progress=progress)

    def stop(tally: cluster.Tally) -> None:
        if tally.shards == shards:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        pack(stop)
    started = time.perf_counter()
    packed = pack()
    seconds = time.perf_counter() - started
    assert packed.kept == shards
    return {
        "milliseconds_per_shard": seconds * 1e3 / shards,
        "index_bytes_per_chunk": packed.ledger.bits["index_bits"] / 8 / shards,
    }


def listing(place: Path, digits: np.ndarray) -> Table:
    """Microseconds to list and to weigh one of 1,000 loose pictures, and bytes that the client keeps of one."""
    folder, found = pictures(place, digits), {}
    looking = survey.Looking(None, True, str(place / "copies"))
    started = time.perf_counter()
    listed = survey.listed(Local(1), [str(folder)], looking)
    found["list_microseconds"] = (time.perf_counter() - started) * 1e6 / listed.images
    started = time.perf_counter()
    survey.weighed(Local(1), listed.sources)
    found["weigh_microseconds"] = (time.perf_counter() - started) * 1e6 / listed.images
    sent = pickle.dumps(listed.sources)
    tracemalloc.start()
    copy = pickle.loads(sent)
    found["held_bytes"] = tracemalloc.get_traced_memory()[0] / listed.images
    tracemalloc.stop()
    assert copy
    return found


if __name__ == "__main__":
    main()
