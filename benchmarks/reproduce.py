"""The paper's systems, one after the other: trained, evaluated, and reported beside the paper's figures.

    python benchmarks/reproduce.py --data DIR                # what is missing, in order of importance; stops and resumes
    python benchmarks/reproduce.py --data DIR --only plain-vae
    python benchmarks/reproduce.py --report                  # RESULTS.md from results/*.json, nothing else

Each experiment of `models/experiments` becomes a run in `runs/NAME` and figures in `results/evaluate-NAME.json`. The
released models are trained and evaluated by hand (their cards say how) and only reported here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from vlae_codec.models import config as configs
from vlae_codec.models import data, train
from vlae_codec.models.evaluate import Evaluator

ROOT = Path(__file__).parent.parent
Table = dict[str, Any]


@dataclass(frozen=True)
class System:
    """One row: an experiment, what it is, and the paper's NLL in nats (Tables 1-4), if it has one."""

    experiment: str
    what: str
    paper_nats: float | None = None


SYSTEMS = {
    "Statically binarised MNIST": [
        System("mnist", "2. VLAE, the codec's prior: released", 79.03),
        System("vlae-flow", "1. VLAE, autoregressive-flow prior", 79.03),
        System("vlae-mixture", "2. VLAE, the codec's prior, budget of the comparisons", 79.03),
        System("af-vae", "3. factorised decoder, autoregressive-flow prior", 79.30),
        System("iaf-vae", "4. factorised decoder, inverse-autoregressive-flow posterior", 79.88),
        System("plain-vae", "5. factorised decoder, Gaussian posterior, standard-normal prior"),
        System("vlae-normal", "6. VLAE, standard-normal prior"),
        System("unconditional", "7. PixelCNN without latents"),
        System("window-1", "8. window of one masked layer"),
        System("window-2", "8. window of two"),
        System("window-4", "8. window of four"),
        System("window-dilated", "8. window of six that see every second pixel"),
    ],
    "Dynamically binarised MNIST": [
        System("mnist-dynamic", "2. VLAE, the codec's prior: released", 78.53),
        System("dynamic-flow", "1. VLAE, autoregressive-flow prior", 78.53),
        System("dynamic-mixture", "2. VLAE, the codec's prior, budget of the comparisons", 78.53),
        System("dynamic-unconditional", "7. PixelCNN without latents", 87.55),
    ],
    "OMNIGLOT (derived: not the paper's file, so figures compare with each other only)": [
        System("omniglot-flow", "1. VLAE, autoregressive-flow prior"),
        System("omniglot-mixture", "2. VLAE, the codec's prior"),
        System("omniglot-unconditional", "7. PixelCNN without latents"),
        System("omniglot-window-2", "9. window of two masked layers"),
    ],
    "Caltech-101 Silhouettes": [
        System("caltech101-flow", "1. VLAE, autoregressive-flow prior", 77.36),
        System("caltech101-mixture", "2. VLAE, the codec's prior", 77.36),
        System("caltech101-unconditional", "7. PixelCNN without latents", 89.26),
    ],
}
_BY_HAND = ("mnist", "mnist-dynamic")


@click.command()
@click.option("--data", "data_folder", type=click.Path(path_type=Path), envvar="VLAE_DATA", default=Path("data"))
@click.option("--only", multiple=True, help="This experiment; may be repeated.")
@click.option("--threads", type=click.IntRange(1))
@click.option("--report", is_flag=True, help="Only write RESULTS.md.")
def main(data_folder: Path, only: tuple[str, ...], threads: int | None, report: bool) -> None:
    """Trains and evaluates what has no figures yet, then writes RESULTS.md."""
    names = [system.experiment for systems in SYSTEMS.values() for system in systems]
    for name in only or [name for name in names if name not in _BY_HAND]:
        if not report and figures(name) is None:
            measure(name, data_folder, threads)
    (ROOT / "RESULTS.md").write_text(rendered(), encoding="utf-8")


def measure(name: str, data_folder: Path, threads: int | None) -> None:
    """Trains one experiment to its end and evaluates it on the whole test set."""
    run = ROOT / "runs" / name
    config = configs.load(configs.locate(Path(name)))
    click.echo(f"{name}: training")
    train.train(config, run, data_folder, threads=threads, report=click.echo)
    trained = train.load_average(run)
    images = data.load(config.data.name, ["test"], data_folder)
    store = run / f"evaluation-step{trained.step}-test-{len(images)}"
    found = Evaluator(trained.model).figures(images, store=store)
    table = {"data": config.data.name, "part": "test", "epochs": config.train.epochs, **found.as_dict()}
    table["hours"] = round(trained.seconds / 3600, 2)
    path = ROOT / "results" / f"evaluate-{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


def figures(name: str) -> Table | None:
    """What was measured of an experiment, if it was."""
    path = ROOT / "results" / f"evaluate-{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def rendered() -> str:
    """RESULTS.md."""
    lines = ["# The paper's systems, trained here", ""]
    lines += [
        "Chen et al. 2016 (arXiv 1611.02731), reproduced by `python benchmarks/reproduce.py`. Nats unless said otherwise,"
    ]
    lines += ["± standard errors over the test set. A dash: not trained yet.", ""]
    head = "| system | epochs | NLL | −ELBO | KL | KL, bits | distortion | the paper's NLL |"
    for title, systems in SYSTEMS.items():
        lines += [f"## {title}", "", head, "|---|---:|---:|---:|---:|---:|---:|---:|"]
        lines += [row(system) for system in systems]
        lines.append("")
    return "\n".join(lines)


def row(system: System) -> str:
    """One system of a table."""
    found, paper = figures(system.experiment), "" if system.paper_nats is None else f"{system.paper_nats:.2f}"
    epochs = configs.load(configs.locate(Path(system.experiment))).train.epochs
    if found is None:
        return f"| {system.what} | {epochs} | – | – | – | – | – | {paper} |"
    cells = [
        f"{found['nll_nats']:.2f} ± {found['nll_nats_se']:.2f}",
        f"{-found['elbo_nats']:.2f}",
        f"{found['kl_nats']:.2f}",
        f"{found['kl_bits']:.1f}",
        f"{found['distortion_nats']:.2f}",
        paper,
    ]
    return f"| {system.what} | {found.get('epochs', epochs)} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
