"""The paper's colour row: bits/dim of CIFAR-10 under a photo VLAE of 32x32 images, trained on what is at hand.

    python benchmarks/cifar.py --data DIR --run runs/cifar [--initial runs/photo] --json results/cifar.json

DIR has cifar10/train_*.png and cifar10/heldout_1000.png, one image a row of 1,024 RGB pixels, and photos/train. CIFAR's
images are lossless ones of its training part, 3,000 to learn from; half of what the model sees are photographs scaled down
to a few dozen pixels. All parts train together; `--initial` begins with the weights of a photo model.

Measured are 1,000 images that it never saw, which are of CIFAR's training part as well: not its test set. One rounded z is
in both terms, so the sum is a bound on -log p(x), and what a file would hold. The learning curve is that of these images,
too; nothing was chosen by it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from PIL import Image

from vlae_codec.models.families import locate
from vlae_codec.models.grid.joint import Joint, JointConfig, fit, measured, standard_error
from vlae_codec.models.grid.pictures import Crops
from vlae_codec.models.grid.run import Run, Schedule
from vlae_codec.picture.scaling import read_rgb, scaled

Table = dict[str, Any]
SIDE = 32
_SHORT_SIDES = 36, 52, 76, 110
_BATCH = 100  # images measured at once


@click.command()
@click.option("--data", "folder", type=click.Path(path_type=Path, exists=True), required=True, help="The data sets.")
@click.option("--run", "run_folder", type=click.Path(path_type=Path), required=True, help="Where the training is.")
@click.option("--initial", metavar="RUN|released:NAME", help="A photo model to begin with.")
@click.option("--steps", default=3000, show_default=True, help="Of the training, in all.")
@click.option("--every", default=500, show_default=True, help="Steps between points of the learning curve.")
@click.option("--threads", default=1, show_default=True)
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the figures here.")
def main(
    folder: Path, run_folder: Path, initial: str | None, steps: int, every: int, threads: int, out: Path | None
) -> None:
    """Trains, and measures on the way."""
    torch.set_num_threads(threads)
    learned = np.concatenate([read_images(path) for path in sorted((folder / "cifar10").glob("train_*.png"))])
    held_out = list(read_images(folder / "cifar10" / "heldout_1000.png"))
    photographs = small_ones(folder / "photos" / "train")
    config = JointConfig(whole=True)
    schedule = Schedule(steps, batch=24, crop=SIDE, muon=0.001, adam=0.001, warm_up=100, decay_from=0.4, average=0.995)
    curve: list[Table] = []

    def evaluate(model: Joint, step: int) -> str:
        curve.append({"step": step} | row(model, held_out))
        return f"held-out images: {curve[-1]['bpd']:.4f} bits/dim"

    def crops(run: Run) -> Iterator[Crops]:
        return looks(learned, photographs, schedule.batch, np.random.default_rng([schedule.seed, run.step]))

    def say(text: str) -> None:
        click.echo(text, err=True)

    model = fit(config, schedule, run_folder, crops, evaluate, say, locate(initial, Path()) if initial else None, every)
    table: Table = {"images": len(held_out), "learned_from": len(learned), "steps": steps} | row(model, held_out)
    kept = json.loads(out.read_text(encoding="utf-8")).get("curve", []) if out and out.exists() else []
    table["curve"] = [point for point in kept if not curve or point["step"] < curve[0]["step"]] + curve
    text = json.dumps(table, indent=2)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n", encoding="utf-8")
    click.echo(text)


def read_images(path: Path) -> Crops:
    """The images of a picture that has one in each row: (N, 32, 32, 3)."""
    with Image.open(path) as picture:
        rows = np.asarray(picture.convert("RGB"))
    return rows.reshape(len(rows), SIDE, SIDE, 3)


def small_ones(folder: Path) -> list[Crops]:
    """The photographs of a folder, each at several small sizes."""
    found = []
    for path in sorted(folder.glob("*.webp")):
        picture = read_rgb(path)
        for short_side in _SHORT_SIDES:
            height, width = (round(side * short_side / min(picture.shape[:2])) for side in picture.shape[:2])
            found.append(scaled(picture, height, width, area=True))
    return found


def looks(learned: Crops, photographs: list[Crops], batch: int, rng: np.random.Generator) -> Iterator[Crops]:
    """Batches without end: half images of the set, half crops of small photographs, turned left to right or not."""
    while True:
        found = list(learned[rng.integers(len(learned), size=batch // 2)])
        while len(found) < batch:
            picture = photographs[rng.integers(len(photographs))]
            top, left = (rng.integers(side - SIDE + 1) for side in picture.shape[:2])
            found.append(picture[top : top + SIDE, left : left + SIDE])
        yield np.stack([one[:, ::-1] if rng.random() < 0.5 else one for one in found])


def row(model: Joint, images: list[Crops]) -> Table:
    """Means over images, and the standard error of the sum."""
    found = measured(model, images, _BATCH)
    means = {name: float(getattr(found, name).mean()) for name in ("code_bpd", "pixels_bpd", "bpd")}
    return {**means, "bpd_se": standard_error(found.bpd)}


if __name__ == "__main__":
    main()
