"""How long does a training step take?

    python benchmarks/training_step.py --threads 2

A new run of an experiment on random images, one step as `train` takes it; the median of 20.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import torch

from vlae_codec.models import config as configs
from vlae_codec.models import memory
from vlae_codec.models.layers import compiled
from vlae_codec.models.train import Trainer, start

_WARM_STEPS = 3


@click.command()
@click.option("--experiment", default="mnist", show_default=True)
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True)
@click.option("--steps", type=click.IntRange(1), default=20, show_default=True)
def main(experiment: str, threads: int, steps: int) -> None:
    """Prints milliseconds a step and an image, and the parameters of the model."""
    memory.keep_freed()
    torch.set_num_threads(threads)
    config = configs.load(configs.locate(Path(experiment)))
    config = replace(config, train=replace(config.train, initial=""))
    batch = config.train.batch_size
    rng = np.random.default_rng(0)
    images = np.uint8(255) * (rng.random((batch * (1 + _WARM_STEPS + steps), 28, 28)) < 0.13)
    trainer, run = Trainer(config, Path(), images, None, "cpu", print), start(config, images, "cpu", Path())
    forward = compiled(run.model)

    def seconds(index: int) -> float:
        started = time.perf_counter()
        trainer.step(run, forward, np.arange(len(images)), 0, index)
        return time.perf_counter() - started

    first_seconds, *others = (seconds(index) for index in range(1 + _WARM_STEPS + steps))
    median = statistics.median(others[_WARM_STEPS:])
    parameters = sum(parameter.numel() for parameter in run.model.parameters())
    table = {"threads": threads, "batch": batch, "parameters": parameters, "compilation_seconds": first_seconds}
    click.echo(json.dumps({**table, "step_ms": 1e3 * median, "image_ms": 1e3 * median / batch}, indent=2))


if __name__ == "__main__":
    main()
