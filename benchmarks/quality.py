"""How good are the files? Coding gap, rates, sizes, and what an independent classifier reads in decompressed digits.

    python benchmarks/quality.py --data DIR --images 1000 --efforts 0,5,9 --json results/quality.json

On a fixed random part of the statically binarised MNIST test set. The coding gap of a lossy file (`docs/codebook.md`) is

    [coded bits + D(file)] - [KL + E_q D],    D = -log2 p(x|z),

all by the integer model on the same images. The classifier is `models/classifier.py`, trained first if it is not there.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from vlae_codec import codec, zoo
from vlae_codec.field.coder import FieldCoder
from vlae_codec.field.theory import theory_bits
from vlae_codec.models import classifier, data
from vlae_codec.picture.drawing import Drawing

Table = dict[str, Any]


@click.command()
@click.option("--data", "data_folder", type=click.Path(path_type=Path), envvar="VLAE_DATA", default=Path("data"))
@click.option("--part", default="test", show_default=True)
@click.option("--images", default=1000, show_default=True)
@click.option("--efforts", default="0,5,9", show_default=True)
@click.option("--model", "name", default=zoo.DEFAULT, show_default=True)
@click.option("--classifier", "judge_path", type=click.Path(path_type=Path), default=Path("runs/classifier.pt"))
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the figures here.")
def main(
    data_folder: Path, part: str, images: int, efforts: str, name: str, judge_path: Path, out: Path | None
) -> None:
    """Measures lossy files at several efforts, and lossless ones at the default."""
    judge = classifier.digits(judge_path, data_folder, lambda line: click.echo(line, err=True))
    every = data.load("mnist_static", [part], data_folder)
    chosen = np.random.default_rng(0).permutation(len(every))[:images]
    fields = (every[chosen] > 0).astype(np.uint8)
    labels = data.static_test_labels(data_folder)[chosen] if part == "test" else classifier.classify(judge, fields)
    model = zoo.named(name)
    table: Table = {"model": model.name, "sha256": model.digest.hex(), "data": f"mnist_static {part}", "images": images}
    table["theory"] = theory(model, fields)
    table["originals_classified_right"] = right(judge, fields, labels)
    table["lossy"] = []
    drawings = [Drawing(bits) for bits in fields]
    for effort in map(int, efforts.split(",")):
        table["lossy"].append({"effort": effort, **lossy(model, drawings, effort, table["theory"], judge, labels)})
        click.echo(json.dumps(table["lossy"][-1]), err=True)
    table["lossless"] = lossless(model, drawings, table["theory"])
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(table, indent=2) + "\n")
    click.echo(json.dumps(table, indent=2))


def theory(model: FieldCoder, fields: npt.NDArray[np.uint8], samples: int = 8) -> Table:
    """KL, E_q D and -ELBO of the integer model with its lattice latents, mean bits an image."""
    found = theory_bits(model, fields, np.ones(fields.shape, bool), samples)
    kl_bits, distortion = (float(bits.mean()) for bits in found)
    return {"kl_bits": kl_bits, "distortion_bits": distortion, "negative_elbo_bits": kl_bits + distortion}


def lossy(
    model: FieldCoder,
    drawings: list[Drawing],
    effort: int,
    ideal: Table,
    judge: classifier.Classifier,
    labels: npt.NDArray[np.generic],
) -> Table:
    """Means over lossy files at one effort."""
    codec.encode(drawings[:2], model, effort=effort)  # the codebook is built outside the timing
    started = time.perf_counter()
    encoded = codec.encode(drawings, model, effort=effort)
    encoded_at = time.perf_counter()
    decoded = codec.decode([result.data for result in encoded], model=model)
    decoded_at = time.perf_counter()
    row = {
        key: mean(encoded, key)
        for key in ("coded_bits", "distortion_bits", "container_bytes", "total_bytes", "differing_pixels")
    }
    gap_bits = row["coded_bits"] + row["distortion_bits"] - ideal["negative_elbo_bits"]
    pictures = np.stack([result.drawing.bits for result in decoded])
    return {
        **row,
        "coding_gap_bits": gap_bits,
        "coded_minus_kl_bits": row["coded_bits"] - ideal["kl_bits"],
        "differing_pixels_share": row["differing_pixels"] / 784,
        "classified_right": right(judge, pictures, labels),
        "compress_images_per_second": len(drawings) / (encoded_at - started),
        "decompress_images_per_second": len(drawings) / (decoded_at - encoded_at),
    }


def lossless(model: FieldCoder, drawings: list[Drawing], ideal: Table) -> Table:
    """Means over lossless files at the default effort; every picture is decoded and compared."""
    encoded = codec.encode(drawings, model, lossless=True)
    decoded = codec.decode([result.data for result in encoded], model=model)
    assert all((a.drawing.bits == b.bits).all() for a, b in zip(decoded, drawings, strict=True))
    row = {key: mean(encoded, key) for key in ("coded_bits", "ideal_bits", "container_bytes", "total_bytes")}
    return {
        **row,
        "coded_minus_negative_elbo_bits": row["coded_bits"] - ideal["negative_elbo_bits"],
        "ideal_minus_negative_elbo_bits": row["ideal_bits"] - ideal["negative_elbo_bits"],
    }


def mean(encoded: list[codec.Encoded], key: str) -> float:
    """The mean of one entry of the ledgers."""
    return float(np.mean([getattr(result.ledger, key) for result in encoded]))


def right(judge: classifier.Classifier, fields: npt.NDArray[np.uint8], labels: npt.NDArray[np.generic]) -> float:
    """The share of pictures in which the classifier reads the label."""
    return float((classifier.classify(judge, fields) == labels).mean())


if __name__ == "__main__":
    main()
