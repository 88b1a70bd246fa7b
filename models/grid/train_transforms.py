"""Trains encoder, decoder and prior for all rates at once; stops and resumes at any moment."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vlae_codec.picture.scaling import read_rgb, scaled

from .muon import Muon
from .pictures import Pictures, Source, source
from .vlae import TransformConfig, Transforms

CHECKPOINT_SECONDS = 180.0


@dataclass(frozen=True)
class Schedule:
    """How long, and how fast. `decay_from` is the share of the steps after which the rates fall in a cosine to nothing."""

    steps: int
    batch: int = 8
    crop: int = 128
    muon: float = 0.0015
    adam: float = 0.001
    warm_up: int = 300
    decay_from: float = 0.5
    average: float = 0.997
    seed: int = 0

    def factor(self, step: int) -> float:
        """Of the learning rates at a step."""
        share = step / self.steps
        decay = (
            1.0
            if share < self.decay_from
            else 0.5 * (1 + math.cos(math.pi * (share - self.decay_from) / (1 - self.decay_from)))
        )
        return min(1.0, (step + 1) / self.warm_up) * max(0.01, decay)


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


class Run:
    """A training: model, average, optimisers, step; kept in one checkpoint, replaced as a whole."""

    def __init__(self, model: nn.Module, schedule: Schedule, folder: Path, tables: Sequence[str]) -> None:
        self.model, self.schedule, self.folder = model, schedule, folder
        self.optimizers = optimizers(model, schedule, tables)
        self.average = {name: value.clone() for name, value in model.state_dict().items()}
        self.step, self.seconds = 0, 0.0
        path = folder / "checkpoint.pt"
        if path.exists():
            kept = torch.load(path, weights_only=True)
            model.load_state_dict(kept["model"])
            self.average = kept["average"]
            for one, state in zip(self.optimizers, kept["optimizers"], strict=True):
                one.load_state_dict(state)
            self.step, self.seconds = kept["step"], kept["seconds"]

    def save(self) -> None:
        """Replaces the checkpoint."""
        self.folder.mkdir(parents=True, exist_ok=True)
        kept: dict[str, Any] = {
            "model": self.model.state_dict(),
            "average": self.average,
            "step": self.step,
            "seconds": self.seconds,
            "optimizers": [one.state_dict() for one in self.optimizers],
        }
        torch.save(kept, self.folder / "checkpoint.new")
        os.replace(self.folder / "checkpoint.new", self.folder / "checkpoint.pt")

    def update(self, loss: Tensor, clip: float) -> None:
        """One step of the optimisers down the gradient of a loss."""
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), clip)
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

    def log(self, line: dict[str, Any]) -> None:
        """Appends to log.jsonl."""
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps({"step": self.step, "seconds": round(self.seconds), **line}) + "\n")


def train(
    config: TransformConfig,
    schedule: Schedule,
    sources: Sequence[Source],
    folder: Path,
    validation: Sequence[Path],
    initial: Path | None = None,
    report: Callable[[str], None] = print,
) -> None:
    """Trains to the end of the schedule, from the folder's checkpoint if there is one."""
    torch.manual_seed(schedule.seed)
    model = Transforms(config)
    if initial is not None:
        model.load_state_dict(torch.load(initial, weights_only=True)["average"])
    run = Run(model, schedule, folder, ("log_gain", "log_step", "level", ".step"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model": asdict(config), "schedule": asdict(schedule)}, indent=2))
    torch.manual_seed(schedule.seed + run.step)
    rng = np.random.default_rng([schedule.seed, run.step])
    pictures = Pictures(sources, schedule.crop, schedule.batch, schedule.seed * 1000003 + run.step)
    model.encoder.compile()  # the prior's many small steps take minutes to compile, and gain little
    model.decoder.compile()
    started = saved = time.monotonic()
    sums = np.zeros(3)
    for crops in pictures:
        if run.step >= schedule.steps:
            break
        x = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255 - 0.5
        levels = torch.from_numpy(rng.uniform(0, config.levels - 1, len(x)).astype(np.float32))
        rate_bits, error, _, _ = model(x, levels)
        lambdas = model.lambdas(levels)
        bpp = rate_bits / (x.shape[2] * x.shape[3])
        loss = ((bpp + lambdas * error) / lambdas.sqrt()).mean()
        run.update(loss * 0.05, 1.0)
        sums += bpp.mean().item(), error.mean().item(), loss.item()
        now = time.monotonic()
        if run.step % 250 == 0:
            run.seconds += now - started
            started = now
            bpp_mean, error_mean, loss_mean = sums / 250
            run.log({"bpp": bpp_mean, "error": error_mean, "loss": loss_mean})
            report(
                f"step {run.step} of {schedule.steps}: {bpp_mean:.3f} bits a pixel, error {error_mean:.1f}, "
                f"loss {loss_mean:.4f}, {run.seconds:.0f} s"
            )
            sums[:] = 0
        if now - saved > CHECKPOINT_SECONDS:
            run.save()
            saved = now
        if run.step % 2500 == 0 or run.step == schedule.steps:
            averaged = Transforms(config)
            averaged.load_state_dict(run.average)
            report(evaluate(averaged, validation))
    pictures.close()
    run.save()


@torch.no_grad()
def evaluate(model: Transforms, files: Sequence[Path]) -> str:
    """Rate of the rounded code and PSNR of each level, means over pictures scaled to a short side of 512."""
    rows = []
    for level in range(model.config.levels):
        figures = []
        for path in files:
            picture = read_rgb(path)
            scale = 512 / min(picture.shape[:2])
            height, width = (round(side * scale) // 8 * 8 for side in picture.shape[:2])
            picture = scaled(picture, height, width)
            x = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255 - 0.5
            bits, _, decoded, _ = model.coded(x, torch.tensor([float(level)]))
            error = (((decoded + 0.5) * 255).round().clamp(0, 255) - (x + 0.5) * 255).square().mean().item()
            figures.append((bits.item() / x[0, 0].numel(), 10 * math.log10(255**2 / error)))
        bpp, psnr = np.mean(figures, axis=0)
        rows.append(f"{bpp:.3f} {psnr:.2f}")
    return "validation, bits a pixel and dB by level: " + " | ".join(rows)


if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--initial", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given_sources = [
        source(given.photos / "train", 0.75, True),
        source(given.photos / "cid22", 0.25, False, leave_out=8),
    ]
    held_out = sorted((given.photos / "valid").glob("*.webp"))[::9]
    train(TransformConfig(), Schedule(given.steps), given_sources, given.folder, held_out, given.initial)
