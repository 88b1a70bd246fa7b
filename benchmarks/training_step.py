"""How long does a training step take?

    python benchmarks/training_step.py --threads 2

The shipped `mnist` experiment on random images: bfloat16 autocast, `torch.compile`, Adamax; the median of 20 steps.
"""

from __future__ import annotations

import json
import statistics
import time

import click
import torch

from vlae_codec.models import config as configs
from vlae_codec.models import memory
from vlae_codec.models.layers import placed
from vlae_codec.models.vlae import VLAE, Terms


@click.command()
@click.option("--experiment", default="mnist", show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--steps", default=20, show_default=True)
def main(experiment: str, threads: int, steps: int) -> None:
    """Prints milliseconds a step and an image, and the parameters of the model."""
    memory.keep_freed()
    torch.set_num_threads(threads)
    config = configs.load(configs.locate(configs.Path(experiment)))
    batch = config.train.batch_size
    model = placed(VLAE(config.model), "cpu")
    compiled = torch.compile(model, dynamic=False)
    optimizer = torch.optim.Adamax(model.parameters(), lr=config.train.learning_rate, foreach=True)
    x = torch.bernoulli(torch.full((batch, 1, 28, 28), 0.13)).contiguous(memory_format=torch.channels_last)

    def step() -> float:
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            terms = Terms(*compiled(x, torch.randn(batch, model.latents)))
        optimizer.zero_grad()
        (-terms.elbo_nats().mean()).backward()
        optimizer.step()
        return time.perf_counter() - started

    first_seconds = step()
    median = statistics.median([step() for _ in range(steps + 3)][3:])
    parameters = sum(parameter.numel() for parameter in model.parameters())
    table = {"threads": threads, "batch": batch, "parameters": parameters, "compilation_seconds": first_seconds}
    click.echo(json.dumps({**table, "step_ms": 1e3 * median, "image_ms": 1e3 * median / batch}, indent=2))


if __name__ == "__main__":
    main()
