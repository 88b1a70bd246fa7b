"""What each level of effort gains and takes, of photographs: BD-rate and seconds of lossy files, bits/dim of exact ones.

    python benchmarks/efforts.py --data DIR --json results/efforts.json

Lossy files are decoded at temperature 0. The effort of exact files is that of their pixels: whether the PixelCNN is told
what is peculiar to a picture's noise.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from photo_ours import AT_ZERO, PhotoModel
from photos import digest, lossy_digest, read

from vlae_codec import zoo
from vlae_codec.family import Ask
from vlae_codec.report import rates

LOSSY, EXACT, ANCHOR = (0, 1, 5, 6, 9), (0, 5), 1
QUALITIES = 15, 35, 55, 75


@click.command()
@click.option("--data", "folder", type=click.Path(path_type=Path, exists=True), required=True, help="Pictures, as PNG.")
@click.option("--pictures", "count", default=8, show_default=True, help="Only so many of them.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the figures here.")
@click.option("--only-exact", is_flag=True, help="Measure exact files; what the JSON has of lossy ones stays.")
def main(folder: Path, count: int, out: Path | None, only_exact: bool) -> None:
    """Measures all levels on the same pictures."""
    names = sorted(folder.glob("*.png"))
    pictures = [read(name) for name in names[:: -(-len(names) // count)]]
    pixels, model = [x.shape[0] * x.shape[1] for x in pictures], PhotoModel.named(zoo.PHOTO)
    said = {
        "data": {"pictures": len(pictures), "sha256": digest(pictures), "pixels": pixels},
        "lossy_sha256": lossy_digest(model.coder.arrays),
    }
    before = json.loads(out.read_text(encoding="utf-8")) if only_exact and out else None
    if before and any(before[key] != said[key] for key in said):
        raise click.UsageError(f"{out} has lossy files of other pictures, or of a model that makes others")
    table: dict[str, Any] = {
        **said,
        "sha256": model.coder.digest.hex(),
        "lossy": before["lossy"] if before else lossy(model, pictures, pixels),
        "exact": {str(effort): exact(model, pictures, effort) for effort in EXACT},
    }
    text = json.dumps(table, indent=2)
    click.echo(text)
    if out:
        out.write_text(text + "\n", encoding="utf-8")


def lossy(model: PhotoModel, pictures: list[Any], pixels: list[int]) -> dict[str, Any]:
    """BD-rate of each level, and the time that a file takes."""
    curves, seconds = dict[int, list[rates.Point]](), dict[int, list[float]]()
    for effort in LOSSY:
        curves[effort], seconds[effort] = [], []
        for quality in QUALITIES:
            files = []
            for picture in pictures:
                started = time.process_time()
                files.append(model.encode(picture, Ask(quality=quality, effort=effort))[0])
                seconds[effort].append(time.process_time() - started)
            shown = [model.decode(data, [AT_ZERO])[0] for data in files]
            curves[effort].append(rates.point(quality, files, pictures, shown, ["psnr_db"]))
        click.echo(f"effort {effort}: {np.median(seconds[effort]):.2f} s of a core", err=True)
    return {
        str(effort): {
            **rates.compared(curves[ANCHOR], curves[effort], "psnr_db", pixels),
            "core_seconds": float(np.median(seconds[effort])),
        }
        for effort in LOSSY
    }


def exact(model: PhotoModel, pictures: list[Any], effort: int) -> dict[str, float]:
    """The mean rate of exact files, and the time that one takes."""
    bpd, seconds = [], []
    for picture in pictures:
        started = time.process_time()
        data = model.encode(picture, Ask(lossless=True, effort=effort))[0]
        seconds.append(time.process_time() - started)
        bpd.append(8 * len(data) / picture.size)
    return {"bpd": float(np.mean(bpd)), "core_seconds": float(np.median(seconds))}


if __name__ == "__main__":
    main()
