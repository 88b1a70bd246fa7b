"""How fast is it? Whole processes beside the bare imports, and batches through the Python API.

    python benchmarks/speed.py --json results/speed.json

Processes: one 28x28 PNG, medians of runs taken in turn, as ratios to `python -c "import numpy, PIL.Image, constriction,
click"`. Batches: images a second; the multiply-accumulates that an image takes, and what share of the machine's float64
matrix-product peak they reach while a batch is decompressed.
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
from vlae_codec.exact.fixed import Affine
from vlae_codec.exact.threads import cores
from vlae_codec.field.coder import FieldCoder
from vlae_codec.picture.drawing import demo_digits
from vlae_codec.picture.fields import SIDE
from vlae_codec.picture.images import png_bytes, to_picture

Table = dict[str, Any]
BASELINE = [sys.executable, "-c", "import numpy, PIL.Image, constriction, click"]


@click.command()
@click.option("--runs", default=9, show_default=True)
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the figures here.")
def main(runs: int, out: Path | None) -> None:
    """Measures processes, then batches."""
    model = zoo.named(zoo.DEFAULT)
    table = {"model": model.name, "sha256": model.digest.hex(), "cores": cores()}
    table |= {"processes": processes(runs), "batches": batches(model)}
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(table, indent=2) + "\n")
    click.echo(json.dumps(table, indent=2))


def processes(runs: int) -> Table:
    """Median wall seconds of each command, and its ratio to the baseline, pair by pair."""
    with tempfile.TemporaryDirectory() as folder:
        image, file = Path(folder) / "img.png", Path(folder) / "img.vlz"
        image.write_bytes(png_bytes(to_picture(demo_digits()[31])))
        tool = [sys.executable, "-m", "vlae_codec"]
        commands = {
            "compress --effort 0": [*tool, "compress", "-f", "-q", "--effort", "0", str(image)],
            "decompress": [*tool, "decompress", "-f", "-q", str(file), "-o", str(Path(folder) / "new.png")],
            "compress": [*tool, "compress", "-f", "-q", str(image)],
        }
        for command in (BASELINE, *commands.values()):
            seconds(command)
        table: Table = {}
        for name, command in commands.items():
            pairs = [(seconds(BASELINE), seconds(command)) for _ in range(runs)]
            table[name] = {
                "baseline_seconds": statistics.median(pair[0] for pair in pairs),
                "seconds": statistics.median(pair[1] for pair in pairs),
                "ratio": statistics.median(pair[1] / pair[0] for pair in pairs),
                "seconds_more": statistics.median(pair[1] - pair[0] for pair in pairs),
            }
        return table


def seconds(command: list[str]) -> float:
    """The wall time of one run."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def batches(model: FieldCoder) -> Table:
    """Images a second: the 100 demo digits, repeated; medians of three."""
    digits = demo_digits() * 5
    files = [result.data for result in codec.encode(digits, model, effort=0)]
    exact = [result.data for result in codec.encode(digits, model, effort=0, lossless=True)]
    rates = {
        "decompress": rate(len(digits), lambda: codec.decode(files, model=model)),
        "decompress lossless": rate(len(digits), lambda: codec.decode(exact, model=model)),
        "compress --effort 0": rate(len(digits), lambda: codec.encode(digits, model, effort=0)),
        "compress": rate(100, lambda: codec.encode(digits[:100], model)),
    }
    macs, peak = decompression_macs(model), peak_macs_per_second()
    return {
        "images_per_second": rates,
        "decompression_macs_per_image": macs,
        "float64_peak_macs_per_second_per_core": peak,
        "decompression_share_of_peak": rates["decompress"] * macs / peak / cores(),
    }


def rate(count: int, call: Callable[[], object]) -> float:
    """Images a second, the median of three calls after one."""
    call()
    times = []
    for _ in range(3):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return count / statistics.median(times)


def decompression_macs(model: FieldCoder) -> int:
    """Multiply-accumulates of prior, decoder and PixelCNN for one field."""
    decoder, cnn, prior = model.decoder, model.pixels, model.prior

    def at(places: int, *layers: Affine) -> int:
        return places * sum(layer.weight.size for layer in layers)

    pairs = [(block.first, block.second) for block in decoder.bottom]
    tops = [(block.first, block.second) for block in decoder.top]
    total = at(1, decoder.dense, decoder.expand) + at(49, decoder.up, *(layer for pair in pairs for layer in pair))
    total += at(196, decoder.output, *(layer for pair in tops for layer in pair))
    total += at(SIDE * SIDE, cnn.input, cnn.output, *(layer for block in cnn.blocks for layer in block))
    return total + at(1, *prior.outputs, *(unit for layer in prior.hidden for unit in layer))


def peak_macs_per_second(kind: npt.DTypeLike = np.float64) -> float:
    """The best of square matrix products in float64, or in float32, on one core."""
    from threadpoolctl import threadpool_limits

    side = 768
    a = np.random.default_rng(0).standard_normal((side, side)).astype(kind)
    best = 0.0
    with threadpool_limits(1, "blas"):
        for _ in range(7):
            started = time.perf_counter()
            a @ a
            best = max(best, side**3 / (time.perf_counter() - started))
    return best


if __name__ == "__main__":
    main()
