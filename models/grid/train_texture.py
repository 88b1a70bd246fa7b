"""Trains the PixelCNN given the code of transforms that are trained and stay as they are."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vlae_codec.picture.scaling import read_rgb

from .colour import to_ycocg
from .pictures import Pictures, Source, source
from .texture import Texture, TextureConfig, pixel_bits
from .train_transforms import CHECKPOINT_SECONDS, Run, Schedule
from .transforms import PATCH
from .vlae import TransformConfig, Transforms


@torch.no_grad()
def decoded_of(transforms: Transforms, x: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """The decoded picture in YCoCg-R, and the decoder's features, of 8-bit RGB (B, 3, H, W), sides divisible by 8."""
    z = torch.round(transforms.encoder(x / 255 - 0.5, levels))
    hidden, picture = transforms.decoder(z, levels)
    return to_ycocg(((picture.float() + 0.5) * 255).round().clamp(0, 255)), hidden.float()


def load_transforms(path: Path) -> Transforms:
    """The averaged transforms of a checkpoint whose folder has its configuration."""
    given = json.loads((path / "config.json").read_text())["model"]
    model = Transforms(TransformConfig(**{**given, "groups": tuple(given["groups"])}))
    model.load_state_dict(torch.load(path / "checkpoint.pt", weights_only=True)["average"])
    return model.eval().requires_grad_(False)


def load_texture(path: Path) -> tuple[Texture, float]:
    """The averaged PixelCNN of a checkpoint whose folder has its configuration, and the level that it was trained for."""
    given = json.loads((path / "config.json").read_text())
    model = Texture(TextureConfig(**given["model"]))
    model.load_state_dict(torch.load(path / "checkpoint.pt", weights_only=True)["average"])
    return model.eval().requires_grad_(False), float(given["level"])


def train(
    config: TextureConfig,
    schedule: Schedule,
    transforms: Transforms,
    level: float,
    sources: Sequence[Source],
    folder: Path,
    validation: Sequence[Path],
    report: Callable[[str], None] = print,
) -> None:
    """Trains to the end of the schedule, on the code of one level, from the folder's checkpoint if there is one."""
    torch.manual_seed(schedule.seed)
    model = Texture(config)
    run = Run(model, schedule, folder, ("level",))
    folder.mkdir(parents=True, exist_ok=True)
    about = {"model": asdict(config), "schedule": asdict(schedule), "level": level}
    (folder / "config.json").write_text(json.dumps(about, indent=2))
    torch.manual_seed(schedule.seed + run.step)
    rng = np.random.default_rng([schedule.seed, run.step])
    pictures = Pictures(sources, schedule.crop, schedule.batch, schedule.seed * 1000003 + run.step)
    given = torch.compile(decoded_of)
    margin = PATCH

    @torch.compile
    def bits(x: Tensor, decoded: Tensor, hidden: Tensor, levels: Tensor) -> Tensor:
        parameters, predicted = model(x, decoded, model.given_code(decoded, hidden, levels))
        return pixel_bits(parameters, x - predicted, config.mixtures)[:, :-margin, margin:-margin].mean((1, 2))

    started = saved = time.monotonic()
    total = 0.0
    for crops in pictures:
        if run.step >= schedule.steps:
            break
        rgb = torch.from_numpy(crops).permute(0, 3, 1, 2).float()
        spread = rng.uniform(-0.5, 0.5, len(rgb)) if rng.random() < 0.5 else np.zeros(len(rgb))
        levels = torch.from_numpy((level + spread).clip(0, config.levels - 1).astype(np.float32))
        with torch.autocast("cpu", torch.bfloat16):
            decoded, hidden = given(transforms, rgb, levels)
            loss = bits(to_ycocg(rgb), decoded, hidden, levels).mean() / 3
        run.update(loss, 2.0)
        total += loss.item()
        now = time.monotonic()
        if run.step % 250 == 0:
            run.seconds += now - started
            started = now
            run.log({"bpd": total / 250})
            report(f"step {run.step} of {schedule.steps}: {total / 250:.4f} bits/dim of pixels, {run.seconds:.0f} s")
            total = 0.0
        if now - saved > CHECKPOINT_SECONDS:
            run.save()
            saved = now
        if run.step % 2500 == 0 or run.step == schedule.steps:
            averaged = Texture(config)
            averaged.load_state_dict(run.average)
            report(evaluate(averaged, transforms, level, validation))
    pictures.close()
    run.save()


@torch.no_grad()
def evaluate(model: Texture, transforms: Transforms, level: float, files: Sequence[Path]) -> str:
    """Bits/dim of pixels and of the code, means over crops of 256x256 in the middle of the pictures."""
    rows = []
    for path in files:
        rgb = torch.from_numpy(read_rgb(path)[128:384, 128:384].copy()).permute(2, 0, 1)[None].float()
        levels = torch.tensor([level])
        decoded, hidden = decoded_of(transforms, rgb, levels)
        x = to_ycocg(rgb)
        parameters, predicted = model(x, decoded, model.given_code(decoded, hidden, levels))
        pixels = pixel_bits(parameters, x - predicted, model.config.mixtures).mean().item() / 3
        code = transforms.coded(rgb / 255 - 0.5, levels)[0].item() / rgb.numel()
        rows.append((pixels, code))
    pixels, code = np.mean(rows, axis=0)
    return f"validation, bits/dim: pixels {pixels:.4f} + code {code:.4f} = {pixels + code:.4f}"


if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--transforms", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--level", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--channels", type=int, default=40)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    chosen = [
        source(arguments.photos / "train", 0.4, True),
        source(arguments.photos / "cid22", 0.6, False, leave_out=8),
    ]
    held_out = [
        path for path in sorted((arguments.photos / "cid22").glob("*[0-9].webp")) if int(path.stem[:3]) % 8 == 0
    ]
    schedule = Schedule(
        arguments.steps, batch=12, crop=72, muon=0.003, adam=0.002, warm_up=200, decay_from=0.4, average=0.996
    )
    train(
        TextureConfig(channels=arguments.channels),
        schedule,
        load_transforms(arguments.transforms),
        arguments.level,
        chosen,
        arguments.folder,
        held_out,
    )
