"""What does each part of the photo model bring? Small trainings of equal length, one a system.

    python benchmarks/ablations.py --data DIR --runs runs/ablations --json results/ablations.json

DIR has the folders of training pictures that `vlae-codec train photo` asks for. Each system trains all of its parts
together on the same crops in the same order, `--steps` steps of 8 crops of 64x64, and is then measured on the middles
(256x256) of the validation pictures, one rounded z in all terms. That is far from convergence: compare rows with each
other, not with a released model. A system's run has its log and checkpoint in `--runs`; what was trained is not again.

    pixels      p(x), the PixelCNN alone, with 0 to 4 masked layers: what a window knows without a code
    placed      with z, and the term that places information in it: a bound on -log p(x), whatever the place
    free        with z, without that term: what goes into z of itself, above the free bits, by window (Section 3.1)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch

from vlae_codec.models.grid.config import PhotoData
from vlae_codec.models.grid.joint import Joint, JointConfig, fit, measured, standard_error
from vlae_codec.models.grid.pictures import Crops, Pictures
from vlae_codec.models.grid.run import Run, Schedule
from vlae_codec.models.grid.train import exact_sources
from vlae_codec.picture.scaling import read_rgb

Table = dict[str, Any]
KINDS = "pixels", "placed", "free"
MASKED_LAYERS = range(5)
_MIDDLE = slice(128, 384)


@dataclass(frozen=True)
class System:
    """One row."""

    kind: str
    masked_layers: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.kind}-{self.masked_layers}"

    @property
    def config(self) -> JointConfig:
        """Its model and loss."""
        return JointConfig(code=self.kind != "pixels", placed=self.kind == "placed", masked_layers=self.masked_layers)


@click.command()
@click.option(
    "--data", "folder", type=click.Path(path_type=Path, exists=True), required=True, help="Training pictures."
)
@click.option("--runs", type=click.Path(path_type=Path), required=True, help="Where the trainings are.")
@click.option("--steps", default=600, show_default=True, help="Of each.")
@click.option("--only", type=click.Choice(KINDS), multiple=True, default=KINDS, show_default=True)
@click.option("--layers", type=int, multiple=True, default=MASKED_LAYERS, show_default=True, help="Masked ones.")
@click.option("--threads", default=1, show_default=True)
@click.option(
    "--json", "out", type=click.Path(path_type=Path), help="Write the figures here, and keep those of others."
)
def main(
    folder: Path, runs: Path, steps: int, only: tuple[str, ...], layers: tuple[int, ...], threads: int, out: Path | None
) -> None:
    """Trains and measures what is asked for."""
    torch.set_num_threads(threads)
    sources, held_out = exact_sources(PhotoData(), folder)
    pictures = [read_rgb(path)[_MIDDLE, _MIDDLE] for path in held_out]
    schedule = Schedule(steps, batch=8, crop=64, muon=0.001, adam=0.001, warm_up=50, decay_from=0.5, average=0.98)
    table: Table = json.loads(out.read_text(encoding="utf-8")) if out and out.exists() else {}
    table = {"steps": steps, "pictures": len(pictures), "systems": table.get("systems", {})}

    def crops(run: Run) -> Iterator[Crops]:
        return iter(Pictures(sources, schedule.crop, schedule.batch, schedule.seed + run.step))

    for system in (System(kind, masked) for kind in only for masked in layers):
        run = runs / system.name
        model = fit(system.config, schedule, run, crops, lambda one, step: "", lambda text: click.echo(text, err=True))
        table["systems"][system.name] = {"kind": system.kind, "masked_layers": system.masked_layers} | row(
            model, pictures
        )
        table["systems"][system.name]["log"] = [json.loads(line) for line in (run / "log.jsonl").open(encoding="utf-8")]
        click.echo(f"{system.name}: {table['systems'][system.name]['bpd']:.4f} bits/dim", err=True)
        if out:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    click.echo(json.dumps(table, indent=2))


def row(model: Joint, pictures: list[npt.NDArray[np.uint8]]) -> Table:
    """Means over pictures, and the standard error of the sum."""
    found = measured(model, pictures)
    names = "code_bpd", "pixels_bpd", "psnr_db", "bpd"
    means = {name: float(getattr(found, name).mean()) for name in names}
    return {**means, "bpd_se": standard_error(found.bpd)}


if __name__ == "__main__":
    main()
