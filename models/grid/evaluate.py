"""What a photo model is worth on pictures: two figures of each, and in each of them one z in all terms.

dithered    z = mu + u with u ~ U(-1/2, 1/2), which is a sample of q(z|x). Its density is 1, so KL(q || p) is the mean of
            -log2 p(z), where p is the prior convolved with the box. With -log2 p(x|z) it makes minus the ELBO.
rounded     z = the whole numbers nearest to mu, which a file holds: -log2 P(z) - log2 p(x|z), a code of two parts.

The dithered code is what bits-back coding would pay; the rounded one is shorter by what noise costs at the border of a cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vlae_codec.errors import ConfigError, Progress
from vlae_codec.picture.scaling import read_rgb

from .joint import standard_error
from .kept import kept
from .texture import Texture
from .train import exact_sources, terms
from .transforms import PATCH
from .vlae import Transforms

Bits = npt.NDArray[np.float64]
CODES = "dithered", "rounded"


@dataclass(frozen=True)
class Terms:
    """Of pictures, bits (N,): of the latents, and of the pixels given the same latents."""

    rate_bits: Bits
    distortion_bits: Bits


@dataclass(frozen=True)
class Evaluation:
    """Of pictures with so many samples each, (N,): the terms of each of `CODES`."""

    dims: Bits
    codes: dict[str, Terms]

    def as_dict(self) -> dict[str, Any]:
        """Means over pictures in bits and in bits/dim, these with their standard errors (`_se`)."""
        found: dict[str, Any] = {"images": len(self.dims)}
        for code, own in self.codes.items():
            row: dict[str, float] = {}
            parts = {"rate": own.rate_bits, "distortion": own.distortion_bits}
            for name, bits in {**parts, "total": own.rate_bits + own.distortion_bits}.items():
                bpd = bits / self.dims
                row[f"{name}_bits"], row[f"{name}_bpd"] = float(bits.mean()), float(bpd.mean())
                row[f"{name}_bpd_se"] = standard_error(bpd) if len(bpd) > 1 else 0.0
            found[code] = row
        return found


@torch.inference_mode()
def evaluated(
    transforms: Transforms, texture: Texture, level: float, pictures: Sequence[Path], progress: Progress | None = None
) -> Evaluation:
    """Both codes of pictures, each cut off to sides that 8 divides, at a level of lambda.

    Raises:
        ImageError: as of `read_rgb`.
    """
    levels, generator = torch.tensor([level]), torch.Generator().manual_seed(0)
    dims, rows = list[int](), {code: list[tuple[float, float]]() for code in CODES}
    for place, path in enumerate(pictures):
        picture = read_rgb(path)
        height, width = (side // PATCH * PATCH for side in picture.shape[:2])
        rgb = torch.from_numpy(picture[:height, :width].copy()).permute(2, 0, 1)[None].float()
        mu = transforms.encoder(rgb / 255 - 0.5, levels)
        noise = torch.rand(mu.shape, generator=generator) - 0.5
        for code, z in zip(CODES, (mu + noise, torch.round(mu)), strict=True):
            rows[code].append(terms(transforms, texture, rgb, z, levels))
        dims.append(rgb.numel())
        if progress:
            progress("evaluating", place + 1, len(pictures))
    return Evaluation(np.array(dims, np.float64), {code: Terms(*np.array(found).T) for code, found in rows.items()})


def evaluate_run(
    run: Path, data_folder: Path, on: Path | None = None, images: int | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """The weights of a run or an exported model, at the level of exact files: `Evaluation.as_dict`, and which pictures.

    on: a folder of pictures, below the folder of the data sets or anywhere; without, the lossless ones that the run kept for
    validation. images: only so many, spread evenly.

    Raises:
        ConfigError: there are no weights yet, or there are no pictures.
        ImageError: one cannot be read.
    """
    shape, transforms, texture, _ = kept(run)
    pictures = exact_sources(shape.data, data_folder)[1] if on is None else _pictures(data_folder, on)
    pictures = pictures[:: -(-len(pictures) // images)] if images else pictures
    found = evaluated(transforms, texture, shape.level, pictures, progress)
    return {"data": str(on or f"{shape.data.plain}, kept for validation"), **found.as_dict()}


def _pictures(data_folder: Path, on: Path) -> list[Path]:
    folder = on if on.is_dir() else data_folder / on
    found = sorted(one for one in folder.glob("*") if one.suffix.lower() in (".png", ".webp", ".tif", ".tiff", ".bmp"))
    if not found:
        raise ConfigError(f"{folder} has no pictures that are kept without loss: PNG, WebP, TIFF or BMP")
    return found
