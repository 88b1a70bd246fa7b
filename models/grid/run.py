"""One stage of a training: what a checkpoint restores, and the loop of all stages; stops and resumes at any moment."""

from __future__ import annotations

import json
import math
import os
import pickle
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vlae_codec.errors import ConfigError
from vlae_codec.models import ranks

from .muon import Muon
from .pictures import Crops

CHECKPOINT_SECONDS = 180.0
_REPORTED = 100  # steps
_DAMAGED = (OSError, RuntimeError, LookupError, TypeError, ValueError, EOFError, pickle.UnpicklingError)


@dataclass(frozen=True)
class Schedule:
    """How long, and how fast. `decay_from` is the share of the steps after which the rates fall in a cosine to nothing.

    crop: side of the square crops, pixels; muon, adam: learning rates; average: of the weights that are released; clip: the
    largest norm of a gradient.
    """

    steps: int
    batch: int = 8
    crop: int = 128
    muon: float = 0.0015
    adam: float = 0.001
    warm_up: int = 300
    decay_from: float = 0.5
    average: float = 0.997
    clip: float = 1.0
    seed: int = 0

    def factor(self, step: int) -> float:
        """Of the learning rates at a step."""
        behind = max(0.0, step / self.steps - self.decay_from) / (1 - self.decay_from)
        return min(1.0, (step + 1) / self.warm_up) * max(0.01, 0.5 * (1 + math.cos(math.pi * behind)))


class Run:
    """A stage of a training in its folder: model, average, optimisers and step are in one checkpoint, replaced as a whole.

    tables: how the names of parameters end that are tables of vectors, which are for Adam whatever their dimensions.

    Raises:
        ConfigError: the folder's checkpoint is damaged, or of another model.
    """

    def __init__(self, model: nn.Module, schedule: Schedule, folder: Path, tables: Sequence[str]) -> None:
        self.model, self.schedule, self.folder = model, schedule, folder
        self.optimizers = optimizers(model, schedule, tables)
        self.average = {name: value.clone() for name, value in model.state_dict().items()}
        self.step, self.seconds = 0, 0.0
        path = folder / "checkpoint.pt"
        if path.exists():
            try:
                self._restore(torch.load(path, weights_only=True))
            except _DAMAGED as error:
                raise ConfigError(f"{path} is damaged, or of another model: {error}") from error

    def _restore(self, kept: dict[str, Any]) -> None:
        self.model.load_state_dict(kept["model"])
        self.average = kept["average"]
        for one, state in zip(self.optimizers, kept["optimizers"], strict=True):
            one.load_state_dict(state)
        self.step, self.seconds = kept["step"], kept["seconds"]

    def save(self) -> None:
        """Replaces the checkpoint."""
        kept: dict[str, Any] = {
            "model": self.model.state_dict(),
            "average": self.average,
            "step": self.step,
            "seconds": self.seconds,
            "optimizers": [one.state_dict() for one in self.optimizers],
        }
        torch.save(kept, self.folder / "checkpoint.new")
        os.replace(self.folder / "checkpoint.new", self.folder / "checkpoint.pt")

    def update(self, loss: Tensor) -> None:
        """One step of the optimisers down the gradient of a loss, the mean of those of all processes."""
        loss.backward()
        ranks.average_gradients(self.model)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.schedule.clip)
        factor = self.schedule.factor(self.step)
        for one in self.optimizers:
            for group in one.param_groups:
                group["lr"] = group["base"] * factor
            one.step()
        self.model.zero_grad(set_to_none=True)
        self.step += 1
        keep = min(self.schedule.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1 - keep)

    def log(self, figures: dict[str, float]) -> None:
        """Appends to log.jsonl."""
        line = {"step": self.step, "seconds": round(self.seconds), **figures}
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


def average_of(stage: Path) -> dict[str, Tensor]:
    """The averaged weights in the checkpoint of a stage; its errors are those of `torch.load`."""
    average: dict[str, Tensor] = torch.load(stage / "checkpoint.pt", weights_only=True)["average"]
    return average


Loss = Callable[[Tensor, np.random.Generator], tuple[Tensor, dict[str, float]]]
"""RGB crops (B, 3, S, S) of 0 .. 255, and chance -> what is to fall, and figures for the log. Of several processes each sees
its own rows of a batch, and the same chance."""


def advance(
    run: Run,
    pictures: Iterable[Crops],
    about: dict[str, Any],
    loss: Loss,
    evaluate: Callable[[dict[str, Tensor]], str],
    device: str,
    report: Callable[[str], None],
    every: int = 2500,
) -> None:
    """Trains to the end of the schedule.

    pictures: an endless stream of batches of crops, which goes on where the run is. about: the configuration, for the
    config.json of the folder. evaluate: says in a line how good averaged weights are; asked every so many steps.

    Raises:
        ConfigError: training diverged; the last checkpoint stays.
    """
    schedule, name, first = run.schedule, run.folder.name, ranks.rank() == 0
    own = ranks.rows(schedule.batch)
    if first:
        run.folder.mkdir(parents=True, exist_ok=True)
        (run.folder / "config.json").write_text(json.dumps(about, indent=2) + "\n")
    ranks.wait()  # until all have read the checkpoint
    if run.step >= schedule.steps:
        if first and not run.step:  # a stage that keeps what it was given
            run.save()
        return
    torch.manual_seed(schedule.seed + run.step)
    rng = np.random.default_rng([schedule.seed, run.step])
    started = saved = time.monotonic()
    sums, count = dict[str, float](), 0
    for crops in pictures:
        value, figures = loss(torch.from_numpy(crops[own]).permute(0, 3, 1, 2).float().to(device), rng)
        run.update(value)
        count += 1
        for key, figure in figures.items():
            sums[key] = sums.get(key, 0.0) + figure
        now, ended = time.monotonic(), run.step >= schedule.steps
        if run.step % _REPORTED == 0 or ended:
            run.seconds, started = run.seconds + now - started, now
            means = ranks.mean(torch.tensor([*sums.values()], device=device) / count).tolist()
            if not all(map(math.isfinite, means)):
                raise ConfigError(f"training diverged at step {run.step} of {name}: try lower learning rates")
            if first:
                run.log(dict(zip(sums, means, strict=True)))
            said = ", ".join(f"{key.replace('_', ' ')} {mean:.4f}" for key, mean in zip(sums, means, strict=True))
            report(f"{name}, step {run.step} of {schedule.steps}: {said}; {run.seconds:.0f} s")
            sums, count = {}, 0
        if first and (now - saved > CHECKPOINT_SECONDS or ended):
            run.save()
            saved = now
        if first and (run.step % every == 0 or ended):
            report(f"{name}, {evaluate(run.average)}")
        if ended:
            break


def optimizers(model: nn.Module, schedule: Schedule, tables: Sequence[str]) -> list[torch.optim.Optimizer]:
    """Muon for matrices, Adam for vectors and for tables whose names end so."""
    matrices = [p for n, p in model.named_parameters() if p.ndim >= 2 and not n.endswith(tuple(tables))]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    made: list[torch.optim.Optimizer] = [Muon(matrices, schedule.muon), torch.optim.Adam(others, schedule.adam)]
    for one in made:
        for group in one.param_groups:
            group["base"] = group["lr"]
    return made
