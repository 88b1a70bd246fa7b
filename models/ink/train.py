"""Trains the network of `ink` on what it is given at pixels of pages; stops and resumes at any moment."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vlae_codec.errors import ConfigError
from vlae_codec.ink.model import start_of
from vlae_codec.models.grid.run import CHECKPOINT_SECONDS, Run, Schedule

from .mixers import begin
from .network import Network, NetworkConfig, seen
from .pages import Page, files_of, places, read

_REPORTED, _EVALUATED, _VALIDATED = 200, 2000, 1 << 17
_PAGES_A_BATCH = 16


@dataclass(frozen=True)
class PageData:
    """Folders of two-level pictures, below the folder of the data sets; one that is not there is left out.

    valid: how the names of documents begin that are never trained on: a third of them. rendered_share: of the looks.
    """

    pages: str = "pages"
    rendered: str = "rendered"
    valid: tuple[str, ...] = ("boismort", "copernicus", "keystone", "patent", "table", "witten", "words")
    rendered_share: float = 0.3


@dataclass(frozen=True)
class InkConfig:
    """One experiment."""

    model: NetworkConfig = field(default_factory=NetworkConfig)
    data: PageData = field(default_factory=PageData)
    schedule: Schedule = field(
        default_factory=lambda: Schedule(30000, 8192, 1, 0.003, 0.002, 500, decay_from=0.4, average=0.998)
    )


def train(
    config: InkConfig,
    folder: Path,
    data_folder: Path,
    device: str = "cpu",
    threads: int | None = None,
    report: Callable[[str], None] = print,
) -> None:
    """Trains to the end of the schedule, from the folder's checkpoint if there is one.

    Raises:
        ConfigError: there are no pictures, a checkpoint is damaged, or training diverged.
    """
    if threads:
        torch.set_num_threads(threads)
    schedule = config.schedule
    torch.manual_seed(schedule.seed)
    network = Network(config.model).to(device)
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(network, schedule, folder, ("output.weight",))
    (folder / "config.json").write_text(json.dumps(asdict(config), indent=2) + "\n")
    scans = files_of(data_folder / config.data.pages)
    start = start_of(begin())
    valid = read(start, [one for one in scans if one.name.startswith(config.data.valid)], schedule.seed, report)
    scanned = read(start, [one for one in scans if not one.name.startswith(config.data.valid)], schedule.seed, report)
    rendered_files = files_of(data_folder / config.data.rendered)
    rendered = read(start, rendered_files, schedule.seed, report) if rendered_files else []
    sources = [(scanned, 1.0 - config.data.rendered_share * bool(rendered)), (rendered, config.data.rendered_share)]
    held = _batch(valid, _VALIDATED, np.random.default_rng(1), len(valid))
    rng = np.random.default_rng([schedule.seed, run.step])
    started = saved = time.monotonic()
    bits = list[float]()
    for inputs, pixel in _batches(sources, schedule.batch, rng):
        if run.step >= schedule.steps:
            break
        loss = F.binary_cross_entropy_with_logits(network(inputs.to(device)), pixel.to(device))
        bits.append(loss.item() / math.log(2))
        run.update(loss)
        now, ended = time.monotonic(), run.step >= schedule.steps
        if run.step % _REPORTED == 0 or ended:
            if not math.isfinite(sum(bits)):
                raise ConfigError(f"training diverged at step {run.step}: try lower learning rates")
            run.seconds, started = run.seconds + now - started, now
            run.log({"bits": sum(bits) / len(bits)})
            report(f"step {run.step} of {schedule.steps}: {sum(bits) / len(bits):.4f} bits; {run.seconds:.0f} s")
            bits = []
        if run.step % _EVALUATED == 0 or ended:
            report(f"held-out documents: {_evaluated(run, config, *held):.4f} bits a lively pixel")
        if now - saved > CHECKPOINT_SECONDS or ended:
            run.save()
            saved = now


def _batches(
    sources: Sequence[tuple[list[Page], float]], batch: int, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        made = [_batch(pages, round(share * batch), rng, _PAGES_A_BATCH) for pages, share in sources if pages and share]
        yield torch.cat([inputs for inputs, _ in made]), torch.cat([pixel for _, pixel in made])


def _batch(pages: list[Page], count: int, rng: np.random.Generator, looked_at: int) -> tuple[Tensor, Tensor]:
    """What is seen, (B, SEEN), and pixels (B,) of some pages."""
    chosen = rng.permutation(len(pages))[:looked_at]
    found = [places(pages[one], count // len(chosen) + 1, rng) for one in chosen]
    inputs, pixels = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return seen(inputs), torch.from_numpy(pixels).float()


@torch.no_grad()
def _evaluated(run: Run, config: InkConfig, inputs: Tensor, pixel: Tensor) -> float:
    averaged = Network(config.model)
    averaged.load_state_dict(run.average)
    return F.binary_cross_entropy_with_logits(averaged(inputs), pixel).item() / math.log(2)
