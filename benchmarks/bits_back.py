"""What would bits-back coding save in archives of photographs? An estimate, on real pictures, before anyone builds it.

    python benchmarks/bits_back.py --data DIR --json results/bits_back.json

DIR holds pictures that were kept exactly (PNG, lossless WebP). An exact file holds rounded latents: a code in two parts.
With bits-back a latent would be drawn from a posterior q around its mean, and what the draw says of other pictures is had
back, so it costs log q(z) - log p(z); the pixels are coded given the drawn latents. Wide posteriors are cheap and tell the
decoder less.

q is a box, U(m - w/2, m + w/2), or a Gaussian of the same spread, for latents whose prior is wider than some threshold, in
steps of the lattice; all others stay rounded. The prior sees drawn latents rounded, as it would have to. Pixels of the
middle of each picture are counted, without the corrections that a file fits, and without what a stack costs beside.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from PIL import Image

from vlae_codec import zoo
from vlae_codec.exact.logistics import INVERSE_BITS, MEAN_BITS, Logistics
from vlae_codec.grid import latents
from vlae_codec.grid.choosing import Search
from vlae_codec.grid.coder import GridCoder
from vlae_codec.grid.colour import to_ycocg
from vlae_codec.grid.mixtures import updated
from vlae_codec.grid.prior import Step
from vlae_codec.grid.tiles import Box, decode_block

Samples = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]
Table = dict[str, Any]
SIDE = 192
WIDTHS, SCALES = (0.5, 1.0, 1.5), (1.0, 2.0)


@dataclass(frozen=True)
class Posterior:
    """Of latents whose prior has at least this scale, in steps: a box of that width, or a Gaussian of its spread."""

    gaussian: bool
    width: float
    scale: float

    def draw(self, rng: np.random.Generator, count: int) -> Reals:
        """Away from the mean: (count,)."""
        spread = self.width / 12**0.5
        return rng.normal(0, spread, count) if self.gaussian else rng.uniform(-self.width / 2, self.width / 2, count)

    def log2_density(self, away: Reals) -> Reals:
        """Of draws so far from the mean: (n,)."""
        if not self.gaussian:
            return np.full(len(away), -np.log2(self.width))
        variance = self.width**2 / 12
        return -(away**2) / (2 * variance * np.log(2)) - 0.5 * np.log2(2 * np.pi * variance)


@click.command()
@click.option("--data", "folder", type=click.Path(path_type=Path, exists=True), required=True, help="Exact pictures.")
@click.option("--model", "name", default=zoo.PHOTO, show_default=True, help="A released model, or a model's folder.")
@click.option("--pictures", "count", default=8, show_default=True, help="Only so many pictures.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the figures here.")
def main(folder: Path, name: str, count: int, out: Path | None) -> None:
    """Measures all posteriors on all pictures."""
    coder = zoo.named(name)
    if not isinstance(coder, GridCoder):
        raise click.UsageError(f"{name} is not a photo model")
    pictures = read(folder, count)
    samples = sum(x.size for x in pictures)
    posteriors = [Posterior(kind, width, scale) for kind in (False, True) for width in WIDTHS for scale in SCALES]
    rounded = np.array([bits(coder, x, None, seed) for seed, x in enumerate(pictures)])
    table: Table = {"model": coder.name, "sha256": coder.digest.hex(), "pictures": len(pictures), "samples": samples}
    table["rounded"] = row(rounded, samples)
    table["posteriors"] = []
    for one in posteriors:
        made = np.array([bits(coder, x, one, seed) for seed, x in enumerate(pictures)])
        found = {**vars(one), **row(made, samples), "saved_percent": float(100 * (1 - made.sum() / rounded.sum()))}
        table["posteriors"].append(found)
        click.echo(f"{found}", err=True)
    table["most_saved_percent"] = max(found["saved_percent"] for found in table["posteriors"])
    text = json.dumps(table, indent=2)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n", encoding="utf-8")
    click.echo(text)


def read(folder: Path, count: int) -> list[Samples]:
    """The middles of some pictures of a folder, evenly spaced."""
    names = sorted(path for path in folder.iterdir() if path.suffix in (".png", ".webp"))
    found = []
    for path in names[:: -(-len(names) // count)]:
        with Image.open(path) as picture:
            samples = np.asarray(picture.convert("RGB"))
        top, left = ((size - SIDE) // 2 for size in samples.shape[:2])
        found.append(np.ascontiguousarray(samples[top : top + SIDE, left : left + SIDE]))
    return found


def row(made: Reals, samples: int) -> Table:
    """Bits a sample of latents and pixels, of (pictures, 2)."""
    latent, pixel = made.sum(0) / samples
    return {"latents_bpd": float(latent), "pixels_bpd": float(pixel), "bpd": float(latent + pixel)}


def bits(coder: GridCoder, picture: Samples, posterior: Posterior | None, seed: int) -> tuple[float, float]:
    """What latents and pixels of a picture cost, with latents drawn, or rounded as files have them."""
    quality = int(coder.arrays["exact_quality"])
    search = Search(coder.model, picture)
    z = search.chosen(quality, 1).z
    latent_bits, fine = drawn(coder, z, search._means(quality), posterior, quality, seed)
    return latent_bits, pixel_bits(coder, picture, fine, quality)


def drawn(
    coder: GridCoder, z: latents.Latents, means: npt.NDArray[Any], posterior: Posterior | None, quality: int, seed: int
) -> tuple[float, latents.Latents]:
    """The net cost of latents, and their values in 2^-MEAN_BITS."""
    prior, rng, total = coder.model.prior, np.random.default_rng(seed), 0.0
    fine = z << MEAN_BITS

    def answers(step: Step) -> npt.NDArray[np.int64]:
        nonlocal total
        own = latents._own(prior, z, step).astype(np.int64)
        costs = step.mixture.cell_bits(own.astype(np.float64))
        if posterior:
            wide = (1 << INVERSE_BITS) / step.mixture.inverses[0] >= posterior.scale
            away = posterior.draw(rng, len(own))
            value = latents._own(prior, means, step) + away
            net = posterior.log2_density(away) - np.log2(density(step.mixture, value))
            costs = np.where(wide, net, costs)
            whole = np.rint(value * (1 << MEAN_BITS)).astype(np.int64)
            latents._place(prior, fine, step, np.where(wide, whole, own << MEAN_BITS))
            own = np.where(wide, np.rint(value).astype(np.int64), own)
        total += float(costs.sum())
        return own

    prior.visit(z, quality, answers)
    return total, fine


def density(mixture: Logistics, value: Reals) -> Reals:
    """Of a mixture as a distribution of real numbers."""
    inverse = mixture.inverses / (1 << INVERSE_BITS)
    away = np.clip((value - mixture.means / (1 << MEAN_BITS)) * inverse, -40, 40)
    below = 1 / (1 + np.exp(-away))
    found: Reals = (mixture.weights * 2.0**-24 * inverse * below * (1 - below)).sum(0)
    return np.maximum(found, 2.0**-24)


def pixel_bits(coder: GridCoder, picture: Samples, z: latents.Latents, quality: int) -> float:
    """The information in the pixels, given latents in 2^-MEAN_BITS."""
    texture, box = coder.model.texture, Box(0, 0, *picture.shape[:2])
    region = decode_block(coder.model.decoder, z, quality, box, gray=False)
    x = to_ycocg(picture)
    pixels = texture.parameters(x, region.tiles(texture, [box], box.width))
    weights, known, total = pixels.begin(), list[npt.NDArray[np.int64]](), 0.0
    for channel in range(3):
        values = x[..., channel].reshape(-1).astype(np.int64)
        mixture, _, _ = pixels.sample(channel, weights, known)
        total += float(mixture.cell_bits(values.astype(np.float64)).sum())
        weights = updated(weights, mixture, values)
        known.append(values)
    return total


if __name__ == "__main__":
    main()
