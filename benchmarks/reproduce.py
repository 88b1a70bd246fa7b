"""The paper's systems, one after the other: trained, and measured on the whole test set.

    python benchmarks/reproduce.py --data DIR                # what has no figures yet, in order; stops and resumes
    python benchmarks/reproduce.py --data DIR --again        # everything, trained anew where there is no run
    python benchmarks/reproduce.py --data DIR --only plain-vae
    python benchmarks/reproduce.py --data DIR --no-training --only mnist-4   # of the released model, without its run

Each experiment becomes a run in `runs/NAME`, for which an exported model in that folder will do; each system a
`results/systems/NAME.json`. `results_page.py` makes RESULTS.md of them.
"""

from __future__ import annotations

import hashlib
import json
import math
from functools import cache
from pathlib import Path

import click
import numpy as np
import torch
from results_page import write_page
from systems import FOLDER, ROOT, SYSTEMS, System, Table, pack_fields, pack_nats, read

from vlae_codec import files
from vlae_codec.models import classifier, data, families, train
from vlae_codec.models import config as configs
from vlae_codec.models.classifier import Classifier
from vlae_codec.models.evaluate import Evaluator, binarised, standard_error, store_of, weights_digest
from vlae_codec.models.field import drawing

RUNS = ROOT / "runs"
PAIRED_IMAGES = 1000
DRAWN, DRAWS, DRAWN_SAMPLES = 500, 3, 32  # images that are binarised so often, and measured with so many samples
SHOWN = 40  # images on a sheet
READ = 1000  # re-samplings that a classifier reads
_KEPT = ("epoch", "seconds", "train_elbo_nats", "train_kl_nats", "valid_elbo_nats", "valid_kl_nats")


@click.command()
@click.option("--data", "folder", type=click.Path(path_type=Path), envvar="VLAE_DATA", default=Path("data"))
@click.option("--only", multiple=True, type=click.Choice(sorted(SYSTEMS)), help="This system; may be repeated.")
@click.option("--again", is_flag=True, help="What has figures, too.")
@click.option("--threads", type=click.IntRange(1))
@click.option("--no-training", is_flag=True, help="Only measure: runs that have ended, else released models.")
def main(folder: Path, only: tuple[str, ...], again: bool, threads: int | None, no_training: bool) -> None:
    """Trains and measures what has no figures yet, or what is named."""
    if threads:
        torch.set_num_threads(threads)
    for name in only or [name for name in SYSTEMS if again or read(name) is None]:
        torch.compiler.reset()  # it compiles a few models of one class, and runs any more of them uncompiled
        experiment = SYSTEMS[name].experiment
        if not no_training:
            train_to_the_end(experiment, folder, threads)
        elif not (has_ended(experiment) or train.is_model(RUNS / experiment) or SYSTEMS[name].released):
            click.echo(f"{name}: its training has not ended")
            continue
        click.echo(f"{name}: measuring")
        FOLDER.mkdir(parents=True, exist_ok=True)
        table = measured(SYSTEMS[name], folder)
        files.write(FOLDER / f"{name}.json", (json.dumps(table, indent=1) + "\n").encode(), force=True)
        write_page()


def train_to_the_end(experiment: str, folder: Path, threads: int | None) -> None:
    """Trains an experiment to its end, and before it those from whose weights it starts; an exported model has been."""
    if train.is_model(RUNS / experiment):
        return
    config = configs.load(configs.locate(Path(experiment)))
    initial = config.train.initial
    if initial and not initial.startswith(families.RELEASED):
        train_to_the_end(initial, folder, threads)
    click.echo(f"{experiment}: training")
    train.train(config, RUNS / experiment, folder, threads=threads, report=click.echo)


def has_ended(experiment: str) -> bool:
    """Whether the run of an experiment has come to the end of its schedule, and saved its weights."""
    epochs, run = configs.load(configs.locate(Path(experiment))).train.epochs, RUNS / experiment
    lines = logged(run) if (run / "log.jsonl").exists() else []
    if not lines or lines[-1]["epoch"] != epochs:
        return False
    return train.load_average(run).rounds[-1].steps >= lines[-1]["step"]


def measured(system: System, folder: Path) -> Table:
    """All figures of a trained system, and the pictures that its sheets show."""
    run, ended = RUNS / system.experiment, has_ended(system.experiment)
    if not ended and not train.is_model(run):
        run = families.locate(f"released:{system.released}", RUNS)
    trained = train.load_average(run)
    if trained.rounds[-1].run != system.experiment:
        raise click.ClickException(f"{run} was made by {trained.rounds[-1].run}, not by {system.experiment}")
    name = system.on or trained.config.data.name
    images = data.load(name, ["test"], folder)
    store = store_of(trained, name, "test", images)
    evaluator = Evaluator(trained.model)
    found = evaluator.evaluate(images, paired_images=PAIRED_IMAGES if system.headline else 0, store=store)
    x = binarised(images)
    order = np.random.default_rng(0).permutation(len(images))
    shown = x[order[:SHOWN], 0].astype(np.uint8)
    return {
        "data": name,
        "part": "test",
        "images_sha256": data.digest(images),
        "weights_sha256": weights_digest(trained.model),
        "weights": "float32" if ended else "16 bits",
        "rounds": [configs.round_to_dict(one) for one in trained.rounds],
        "epochs": sum(epochs(one, folder) for one in trained.rounds),
        "hours": round(sum(one.hours for one in trained.rounds), 2),
        "active_latents": int(trained.model.active.sum()),
        **found.figures().as_dict(),
        "draw_nats_se": draw_error(evaluator, images[order[:DRAWN]], len(images)),
        "latent_kl_nats": [round(nats, 5) for nats in evaluator.latent_kl_nats(images).tolist()],
        "reading": reading(trained.model, x[:, 0].astype(np.uint8), order[:READ], name, folder),
        "curve": curve(run) if (run / "log.jsonl").exists() else (read(system.name) or {}).get("curve", []),
        "sheet": {
            "originals": pack_fields(shown),
            "resamplings": [pack_fields(drawing.resamplings(trained.model, shown, seed)) for seed in (0, 1)],
            "samples": pack_fields(drawing.samples(trained.model, SHOWN, seed=0)),
        },
        "image_nll": pack_nats(found.nll_nats),
        "paired_image_nll": [pack_nats(found.few_nll_nats), pack_nats(found.many_nll_nats)],
    }


def draw_error(evaluator: Evaluator, images: data.Images, count: int) -> float:
    """What the NLL's mean over `count` images owes to the draw that binarised them, nats, judged by some of them."""
    if np.isin(images, (0, 255)).all():
        return 0.0
    drawn = [torch.from_numpy(binarised(images, draw)) for draw in range(DRAWS)]
    nll_nats = np.stack([evaluator.estimates(x, DRAWN_SAMPLES, seed=0)[2] for x in drawn])
    return math.sqrt(float(nll_nats.var(axis=0, ddof=1).mean()) / count)


def epochs(one: configs.Round, folder: Path) -> int:
    """How often a round of training has looked at each image."""
    config = one.config
    return one.steps // (len(data.load(config.data.name, config.data.parts, folder)) // config.train.batch_size)


def curve(run: Path) -> list[Table]:
    """What the log says of each epoch."""
    return [{key: line[key] for key in _KEPT if key in line} for line in logged(run)]


def logged(run: Path) -> list[Table]:
    """The lines of a run's log."""
    return [*map(json.loads, (run / "log.jsonl").read_text(encoding="utf-8").splitlines())]


def reading(model: torch.nn.Module, images: drawing.Bits, chosen: np.ndarray, name: str, folder: Path) -> Table | None:
    """How many of the chosen images a classifier reads right, and how many after a re-sampling of each; None if it can't.

    kept: of those that it reads right, how many it still does; changed: some of those that it does not, and of what.
    nearest: of the re-samplings, how many are of the class of that of all the images to which they are nearest, which is
    mostly the original itself.
    """
    found = _judge(name, folder) if model.latents else None
    if found is None:
        return None
    judge, labels, digest = found
    fields, truth = images[chosen], labels[chosen]
    before = classifier.classify(judge, fields)
    resampled = drawing.resamplings(model, fields, seed=0)
    after = classifier.classify(judge, resampled)
    right = before == truth
    nearest = classifier.nearest(resampled, images, labels) == truth
    changed = np.flatnonzero(right & (after != truth))[:SHOWN]
    return {
        "images": len(fields),
        "classifier_sha256": digest,
        "originals_right": float(right.mean()),
        "resampled_right": float((after == truth).mean()),
        "resampled_right_se": standard_error((after == truth).astype(np.float64)),
        "read_alike": float((after == before).mean()),
        "kept": float((after == truth)[right].mean()),
        "kept_se": standard_error((after == truth)[right].astype(np.float64)),
        "nearest": float(nearest.mean()),
        "nearest_se": standard_error(nearest.astype(np.float64)),
        "changed": {"originals": pack_fields(fields[changed]), "resamplings": [pack_fields(resampled[changed])]},
    }


@cache
def _judge(name: str, folder: Path) -> tuple[Classifier, np.ndarray, str] | None:
    """A classifier of the images of a set, the classes of its test part, where there are labels, and its file's SHA-256."""
    if name in ("mnist_static", "mnist_gray"):
        labels = data.static_test_labels(folder) if name == "mnist_static" else data.labels("test", folder)
        path, trained = RUNS / "classifier.pt", classifier.digits
    elif name == "omniglot28":
        labels, path, trained = data.characters("test"), RUNS / "characters.pt", classifier.characters
    else:
        return None
    return trained(path, folder, click.echo), labels, hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
