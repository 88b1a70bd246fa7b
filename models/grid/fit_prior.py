"""Fits the prior to the rounded latents of transforms that are trained and stay as they are.

The transforms train with noisy latents, whose rate has a gradient; what a file holds are rounded ones. Noise at the border
of a cell is dear where nearly all latents are zero, so a prior that was trained on it is too sure of them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from .pictures import Pictures, Source, source
from .train_texture import load_transforms
from .train_transforms import CHECKPOINT_SECONDS, Run, Schedule, evaluate
from .vlae import Transforms


def fit(
    transforms: Transforms,
    schedule: Schedule,
    sources: Sequence[Source],
    folder: Path,
    validation: Sequence[Path],
    report: Callable[[str], None] = print,
) -> None:
    """Trains the prior to the end of the schedule, from the folder's checkpoint if there is one."""
    torch.manual_seed(schedule.seed)
    prior = transforms.prior.requires_grad_(True)
    run = Run(prior, schedule, folder, ("level", ".step"))
    folder.mkdir(parents=True, exist_ok=True)
    about = {"model": asdict(transforms.config), "schedule": asdict(schedule)}
    (folder / "config.json").write_text(json.dumps(about, indent=2))
    rng = np.random.default_rng([schedule.seed, run.step])
    pictures = Pictures(sources, schedule.crop, schedule.batch, schedule.seed * 1000003 + run.step, 1 << 30)
    started = saved = time.monotonic()
    total = 0.0
    for crops in pictures:
        if run.step >= schedule.steps:
            break
        x = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255 - 0.5
        levels = torch.from_numpy(rng.uniform(0, transforms.config.levels - 1, len(x)).astype(np.float32))
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                z = torch.round(transforms.encoder(x, levels))
            bits = prior.bits(z, z, levels)
        bpp = bits / (x.shape[2] * x.shape[3])
        run.update((bpp / transforms.lambdas(levels).sqrt()).mean() * 0.05, 1.0)
        total += bpp.mean().item()
        now = time.monotonic()
        if run.step % 100 == 0:
            run.seconds += now - started
            started = now
            run.log({"bpp": total / 100})
            report(f"step {run.step} of {schedule.steps}: {total / 100:.4f} bits a pixel, {run.seconds:.0f} s")
            total = 0.0
        if now - saved > CHECKPOINT_SECONDS:
            run.save()
            saved = now
    pictures.close()
    run.save()
    prior.load_state_dict(run.average)
    report(evaluate(transforms, validation))


def load_prior(transforms: Transforms, path: Path) -> None:
    """Gives transforms the averaged prior of a checkpoint."""
    transforms.prior.load_state_dict(torch.load(path / "checkpoint.pt", weights_only=True)["average"])


if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--transforms", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given_sources = [
        source(given.photos / "train", 0.6, True),
        source(given.photos / "cid22", 0.4, False, leave_out=8),
    ]
    held_out = sorted((given.photos / "valid").glob("*.webp"))[::9]
    chosen = Schedule(given.steps, warm_up=100, decay_from=0.3)
    fit(load_transforms(given.transforms), chosen, given_sources, given.folder, held_out)
