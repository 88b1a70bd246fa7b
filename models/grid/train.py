"""Trains a photo model in three stages, each in a folder of its run; stops and resumes at any moment.

transforms    encoder, decoder and prior, for all rates at once: KL(q || p) + lambda |x - decoded|^2
texture       the PixelCNN, -log p(x|z), given the code of the level that exact files begin with
grain         a copy of it that draws the texture of lossy pictures, at all levels
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vlae_codec.errors import ConfigError
from vlae_codec.models import ranks
from vlae_codec.models.layers import compiled
from vlae_codec.picture.scaling import read_rgb, scaled

from .colour import to_ycocg
from .config import PhotoConfig, PhotoData
from .grain import own_context
from .kept import begun
from .pictures import Pictures, Source
from .run import Run, advance
from .texture import Texture, TextureConfig, pixel_bits
from .transforms import PATCH
from .vlae import Transforms

_VALIDATED = 12  # pictures
_SHORT_SIDE = 512  # of pictures for rates and distortions
_DRAWN = 4  # times over that a context is drawn, at most
_CROP = slice(128, 384)  # rows and columns of pictures for exact rates


def train(
    config: PhotoConfig,
    folder: Path,
    data_folder: Path,
    device: str = "cpu",
    threads: int | None = None,
    report: Callable[[str], None] = print,
) -> None:
    """Trains all stages to their ends, from the folder's checkpoints where there are some, alone or as one of the `ranks`.

    Raises:
        ConfigError: a folder of pictures is missing or empty, a checkpoint is damaged, training diverged, or processes do
            not find each other.
    """
    if threads:
        torch.set_num_threads(threads)
    with ranks.joined(device):
        _train(config, folder, data_folder, device, report if ranks.rank() == 0 else lambda _: None)


def _train(config: PhotoConfig, folder: Path, data_folder: Path, device: str, report: Callable[[str], None]) -> None:
    valid = _validated(data_folder / config.data.valid)
    lossy, _ = _sources(config.data, data_folder, config.data.scaled_share)
    exact, held_out = exact_sources(config.data, data_folder)
    transforms, texture, grain = begun(config, folder)
    _train_transforms(transforms.to(device), config, folder / "transforms", lossy, valid, device, report)
    _train_texture(texture.to(device), transforms, config, folder / "texture", exact, held_out, device, report)
    _train_grain((grain or texture).to(device), transforms, config, folder / "grain", exact, held_out, device, report)


def exact_sources(data: PhotoData, folder: Path) -> tuple[list[Source], list[Path]]:
    """What a PixelCNN learns from, below the folder of the data sets, and the lossless pictures that are for validation.

    Raises:
        ConfigError: a folder of pictures is missing or empty.
    """
    return _sources(data, folder, data.texture_share)


def _sources(data: PhotoData, folder: Path, share: float) -> tuple[list[Source], list[Path]]:
    scaled_ones, plain = _files(folder / data.scaled), _files(folder / data.plain)
    held_out = [one for one in plain if not _number(one) % data.leave_out]
    learned = [one for one in plain if _number(one) % data.leave_out]
    return [Source(tuple(scaled_ones), share, True), Source(tuple(learned), 1 - share, False)], held_out


def _train_transforms(
    model: Transforms,
    config: PhotoConfig,
    folder: Path,
    sources: Sequence[Source],
    valid: Sequence[Path],
    device: str,
    report: Callable[[str], None],
) -> None:
    run = Run(model, config.transforms, folder, ("log_gain", "log_step", "level", ".step"))
    encoder, decoder = compiled(model.encoder), compiled(model.decoder)  # the prior's small steps gain little by it

    def loss(rgb: Tensor, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        levels = _levels(rng, config.transforms.batch, config.model.levels, device)
        terms = model.terms(rgb / 255 - 0.5, levels, encoder, decoder)
        lambdas = model.lambdas(levels)
        bpp = terms.rate_bits / (rgb.shape[2] * rgb.shape[3])
        value = ((bpp + lambdas * terms.error) / lambdas.sqrt()).mean()
        return value * 0.05, {"bpp": bpp.mean().item(), "error": terms.error.mean().item(), "loss": value.item()}

    def evaluated(average: dict[str, Tensor]) -> str:
        averaged = Transforms(config.model)
        averaged.load_state_dict(average)
        return rates(averaged, valid)

    advance(run, _crops(run, sources), asdict(config), loss, evaluated, device, report)
    model.load_state_dict(run.average)
    model.eval().requires_grad_(False)


def _train_texture(
    model: Texture,
    transforms: Transforms,
    config: PhotoConfig,
    folder: Path,
    sources: Sequence[Source],
    held_out: Sequence[Path],
    device: str,
    report: Callable[[str], None],
) -> None:
    run = Run(model, config.texture, folder, ("level",))
    given, bits = compiled(decoded_of), compiled(_bits_given)

    def loss(rgb: Tensor, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        count = config.texture.batch
        spread = rng.uniform(-0.5, 0.5, count) if rng.random() < 0.5 else np.zeros(count)
        near = (config.level + spread).clip(0, config.model.levels - 1).astype(np.float32)
        levels = torch.from_numpy(near[ranks.rows(count)]).to(device)
        with torch.autocast(rgb.device.type, torch.bfloat16):
            decoded, hidden = given(transforms, rgb, levels)
            x = to_ycocg(rgb)
            value = bits(model, x, x, decoded, hidden, levels)
        return value, {"bpd": value.item()}

    def evaluated(average: dict[str, Tensor]) -> str:
        return _exact_rates_of(average, model.config, transforms, config, held_out)

    advance(run, _crops(run, sources), asdict(config), loss, evaluated, device, report)
    model.load_state_dict(run.average)


def _train_grain(
    model: Texture,
    transforms: Transforms,
    config: PhotoConfig,
    folder: Path,
    sources: Sequence[Source],
    held_out: Sequence[Path],
    device: str,
    report: Callable[[str], None],
) -> None:
    run = Run(model, config.grain, folder, ("level",))
    given, draw, bits = compiled(decoded_of), compiled(own_context), compiled(_bits_given)

    def loss(rgb: Tensor, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        levels = _levels(rng, config.grain.batch, config.model.levels, device)
        with torch.autocast(rgb.device.type, torch.bfloat16):
            decoded, hidden = given(transforms, rgb, levels)
            with torch.no_grad():
                code = model.given_code(decoded, hidden, levels)
            context = to_ycocg(rgb)
            for _ in range(int(rng.integers(_DRAWN + 1))):
                context = draw(model, context, decoded, code)
            value = bits(model, to_ycocg(rgb), context, decoded, hidden, levels)
        return value, {"bpd": value.item()}

    def evaluated(average: dict[str, Tensor]) -> str:
        return "of true contexts: " + _exact_rates_of(average, model.config, transforms, config, held_out)

    advance(run, _crops(run, sources), asdict(config), loss, evaluated, device, report)


def _exact_rates_of(
    average: dict[str, Tensor],
    shape: TextureConfig,
    transforms: Transforms,
    config: PhotoConfig,
    held_out: Sequence[Path],
) -> str:
    """`exact_rates` of averaged weights of a PixelCNN, on the CPU."""
    averaged, parts = Texture(shape), Transforms(config.model)
    averaged.load_state_dict(average)
    parts.load_state_dict(transforms.state_dict())
    return exact_rates(averaged, parts, config.level, held_out)


def _bits_given(model: Texture, x: Tensor, context: Tensor, decoded: Tensor, hidden: Tensor, levels: Tensor) -> Tensor:
    """Bits/dim of x (B, 3, H, W) when its pixels are seen in another picture, the context."""
    parameters, predicted = model(context, decoded, model.given_code(decoded, hidden, levels))
    bits = pixel_bits(parameters, x - predicted, model.config.mixtures)
    return bits[:, :-PATCH, PATCH:-PATCH].mean() / 3  # what lies at a crop's border sees less than in a picture


@torch.no_grad()
def decoded_of(transforms: Transforms, rgb: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """The decoded picture in YCoCg-R, and the decoder's features, of 8-bit RGB (B, 3, H, W), sides divisible by 8."""
    return decoded_from(transforms, torch.round(transforms.encoder(rgb / 255 - 0.5, levels)), levels)


def decoded_from(transforms: Transforms, z: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """The same of latents z (B, C, h, w)."""
    hidden, picture = transforms.decoder(z, levels)
    return to_ycocg(((picture.float() + 0.5) * 255).round().clamp(0, 255)), hidden.float()


@torch.no_grad()
def rates(model: Transforms, files: Sequence[Path]) -> str:
    """Rate of the rounded code and PSNR of each level, means over pictures scaled to a short side of 512."""
    rows = []
    pictures = [_halved(read_rgb(path)) for path in files]
    for level in range(model.config.levels):
        figures = []
        for picture in pictures:
            x = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float()
            bits, _, decoded, _ = model.coded(x / 255 - 0.5, torch.tensor([float(level)]))
            error = (((decoded + 0.5) * 255).round().clamp(0, 255) - x).square().mean().item()
            figures.append((bits.item() / x[0, 0].numel(), 10 * np.log10(255**2 / max(error, 1e-9))))
        bpp, psnr = np.mean(figures, axis=0)
        rows.append(f"{bpp:.3f} {psnr:.2f}")
    return "validation, bits a pixel and dB by level: " + " | ".join(rows)


@torch.no_grad()
def terms(transforms: Transforms, texture: Texture, rgb: Tensor, z: Tensor, levels: Tensor) -> tuple[float, float]:
    """Bits of latents z (1, C, h, w) and, given them, of 8-bit RGB (1, 3, H, W)."""
    decoded, hidden = decoded_from(transforms, z, levels)
    x = to_ycocg(rgb)
    parameters, predicted = texture(x, decoded, texture.given_code(decoded, hidden, levels))
    pixels = pixel_bits(parameters, x - predicted, texture.config.mixtures)
    return transforms.prior.bits(z, levels).item(), pixels.double().sum().item()


@torch.no_grad()
def exact_rates(model: Texture, transforms: Transforms, level: float, files: Sequence[Path]) -> str:
    """Bits/dim of pixels and of the code, means over crops of 256x256 in the middle of the pictures."""
    rows, levels = [], torch.tensor([level])
    for path in files:
        rgb = torch.from_numpy(read_rgb(path)[_CROP, _CROP].copy()).permute(2, 0, 1)[None].float()
        z = torch.round(transforms.encoder(rgb / 255 - 0.5, levels))
        rows.append([bits / rgb.numel() for bits in terms(transforms, model, rgb, z, levels)])
    code, pixels = np.mean(rows, axis=0)
    return f"validation, bits/dim: pixels {pixels:.4f} + code {code:.4f} = {pixels + code:.4f}"


def _halved(picture: np.ndarray) -> np.ndarray:
    scale = _SHORT_SIDE / min(picture.shape[:2])
    height, width = (max(PATCH, round(side * scale) // PATCH * PATCH) for side in picture.shape[:2])
    return scaled(picture, height, width)


def middles(folder: Path, size: int) -> list[np.ndarray]:
    """The middles of validation pictures scaled to a short side of 512, (size, size, 3) each.

    Raises:
        ConfigError: there are none.
    """
    found = []
    for path in _validated(folder):
        picture = _halved(read_rgb(path))
        top, left = (side - size >> 1 for side in picture.shape[:2])
        found.append(picture[top : top + size, left : left + size])
    return found


def _validated(folder: Path) -> list[Path]:
    files = _files(folder)
    return files[:: -(-len(files) // _VALIDATED)]


def _crops(run: Run, sources: Sequence[Source]) -> Pictures:
    """What a run sees next."""
    schedule = run.schedule
    return Pictures(sources, schedule.crop, schedule.batch, schedule.seed * 1000003 + run.step)


def _levels(rng: np.random.Generator, batch: int, levels: int, device: str) -> Tensor:
    """A level for each of this process's rows of a batch."""
    drawn = rng.uniform(0, levels - 1, batch).astype(np.float32)
    return torch.from_numpy(drawn[ranks.rows(batch)]).to(device)


_SUFFIXES = {".png", ".webp", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".ppm"}


def _files(folder: Path) -> list[Path]:
    """The pictures of a folder, in order of their names.

    Raises:
        ConfigError: there are none.
    """
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in _SUFFIXES)
    if not found:
        raise ConfigError(f"there are no pictures in {folder}: --data names the folder that it is in")
    return found


def _number(path: Path) -> int:
    return int("".join(character for character in path.stem if character.isdigit()) or 0)
