"""How long are archives? The whole statically binarised MNIST test set, theory beside bytes.

    python benchmarks/sizes.py --data DIR --json results/sizes.json

Each archive is written, unpacked again and compared; its ledger is measured on the bit stack itself. Everything is counted:
headers, index, checks, the start of each chain.
"""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from vlae_codec import zoo
from vlae_codec.archive import pack, unpack
from vlae_codec.archive.chunks import Settings
from vlae_codec.archive.heads import LARGEST_CHUNK
from vlae_codec.archive.opened import Opened
from vlae_codec.exact.threads import cores
from vlae_codec.field.coder import FieldCoder
from vlae_codec.models import data
from vlae_codec.picture.drawing import Drawing
from vlae_codec.sets.sources import Memory

ARCHIVES = {
    "chunks of 100": Settings(chunk=100),
    "chunks of 1,000": Settings(),
    "chunks of 1,000, 8 samples": Settings(effort=3),
    "one chunk": Settings(chunk=LARGEST_CHUNK),
    "without order": Settings(ordered=False),
    "without order, 8 samples": Settings(ordered=False, effort=3),
}
Table = dict[str, Any]


@click.command()
@click.option("--data", "data_folder", type=click.Path(path_type=Path), envvar="VLAE_DATA", default=Path("data"))
@click.option("--model", "name", default=zoo.DEFAULT, show_default=True)
@click.option("--images", type=click.IntRange(1), help="Only a fixed random part of this many.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the figures here.")
def main(data_folder: Path, name: str, images: int | None, out: Path | None) -> None:
    """Packs the test set in several ways."""
    model = zoo.named(name)
    every = data.load("mnist_static", ["test"], data_folder)
    every = every if images is None else data.shuffled_part(every, images, 0)
    drawings = [Drawing((image > 0).astype(np.uint8)) for image in every]
    table: Table = {
        "model": model.name,
        "sha256": model.digest.hex(),
        "data": "mnist_static test",
        "images": len(drawings),
    }
    table["archives"] = {}
    for what, settings in ARCHIVES.items():
        table["archives"][what] = packed(model, drawings, settings)
        click.echo(f"{what}: {table['archives'][what]['bits_per_image']:.3f} bits an image", err=True)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(table, indent=2) + "\n")
    click.echo(json.dumps(table, indent=2))


def packed(model: FieldCoder, drawings: list[Drawing], settings: Settings) -> Table:
    """One archive: bytes, the ledger, theory, and images a second each way."""
    jobs = cores()
    file, began = io.BytesIO(), time.perf_counter()
    ledger = pack.pack([Memory(drawings)], file, model, settings, jobs=jobs)
    packed_at = time.perf_counter()
    pieces = unpack.unpack(Opened(file), model=model, jobs=jobs)
    restored = [picture.drawing.bits.tobytes() for piece in pieces for picture in piece.pictures]
    unpacked_at = time.perf_counter()
    originals = [drawing.bits.tobytes() for drawing in drawings]
    assert restored == originals if settings.ordered else sorted(restored) == sorted(originals)
    total_bits = 8 * len(file.getvalue())
    assert abs(sum(ledger.bits.values()) - total_bits) < 1e-3
    return {
        "chunk": settings.chunk_images,
        "ordered": settings.ordered,
        "samples": settings.samples,
        "bytes": total_bits // 8,
        "bits_per_image": total_bits / len(drawings),
        "kl_bits": ledger.kl_bits / len(drawings),
        "negative_elbo_bits": ledger.negative_elbo_bits / len(drawings),
        "ledger_bits": {key: bits / len(drawings) for key, bits in ledger.bits.items()},
        "pack_images_per_second": len(drawings) / (packed_at - began),
        "unpack_images_per_second": len(drawings) / (unpacked_at - packed_at),
    }


if __name__ == "__main__":
    main()
