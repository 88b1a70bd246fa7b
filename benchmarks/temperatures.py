"""Which temperature should a photo model have by default, level by level? That whose texture looks most like photographs.

    python benchmarks/temperatures.py --data DIR --json temperatures.json [--model FOLDER] [--write]

DIR holds validation pictures, as PNG or WebP: never those of the tables. At each level of the model they are coded, and
decoded at every temperature; of each the KID of their crops to those of the originals is measured (see `realism.py`), and
the mean SSIMULACRA 2. Chosen is the temperature of least KID among those whose SSIMULACRA 2 is at most `--lost` below that
of 0; of KIDs within a tenth of their error of each other the lower temperature's.

`--write` puts them into the model's folder: `grain.temperatures` of weights.npz, in 1/256, and the digest where it is named.
The texture is drawn once a picture, and scaled: a temperature more costs its features and its SSIMULACRA 2.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from realism import Features, Floats, Sums, Table, estimate, read_all, resampled

from vlae_codec import zoo
from vlae_codec.family import Ask
from vlae_codec.grid import latents
from vlae_codec.grid.coder import GridCoder
from vlae_codec.grid.decoding import nearest_colours
from vlae_codec.grid.grain import STRENGTH_BITS, Drawing
from vlae_codec.grid.network import LEVEL_STEPS, PATCH
from vlae_codec.grid.tiles import Box, decode_block
from vlae_codec.picture.raster import Kind, PixelFormat, Raster
from vlae_codec.report.quality import ssimulacra2

Samples = npt.NDArray[np.uint8]
FULL = 1 << STRENGTH_BITS


@click.command()
@click.option(
    "--data", "folder", type=click.Path(path_type=Path, exists=True), required=True, help="Validation pictures."
)
@click.option("--model", "name", default=zoo.PHOTO, show_default=True, help="A released model, or a model's folder.")
@click.option(
    "--temperature",
    "asked",
    type=float,
    multiple=True,
    default=(0.3, 0.4, 0.5, 0.6, 0.75),
    show_default=True,
    help="Beside 0.",
)
@click.option("--lost", default=3.0, show_default=True, help="Points of SSIMULACRA 2 that texture may cost.")
@click.option("--effort", default=1, show_default=True, help="Of coding.")
@click.option(
    "--side", default=512, show_default=True, help="Pictures are cropped to so many pixels each way, at most."
)
@click.option("--pictures", "count", type=click.IntRange(2), help="Only so many pictures.")
@click.option("--level", "only", type=int, multiple=True, help="Only these levels of the model.")
@click.option("--passes", type=click.IntRange(1), help="Draw so many times over: an experiment.")
@click.option("--write", is_flag=True, help="Put what was chosen into the model's folder.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the figures here.")
def main(
    folder: Path,
    name: str,
    asked: tuple[float, ...],
    lost: float,
    effort: int,
    side: int,
    count: int | None,
    only: tuple[int, ...],
    passes: int | None,
    write: bool,
    out: Path | None,
) -> None:
    """Measures all levels, and chooses."""
    coder, network = zoo.named(name), Features()
    if not isinstance(coder, GridCoder) or not coder.model.grain:
        raise click.UsageError(f"{name} is not a photo model that draws texture")
    if write and not (Path(name) / "weights.npz").is_file():
        raise click.UsageError("--write needs a model's folder, as --model")
    if write and (only or passes):
        raise click.UsageError("--write needs all levels, drawn as files are")
    if passes:
        vars(coder.model)["grain"] = replace(coder.model.grain, passes=passes)  # in place of the cached property
    pictures = [middle(one, side) for one in read_all(folder, count)]
    references = network.of(pictures)
    temperatures = sorted({0.0, *asked})
    table: Table = {"model": coder.name, "sha256": coder.digest.hex(), "pictures": len(pictures), "levels": []}
    table["passes"] = coder.model.grain.passes
    for level in only or range(int(coder.arrays["levels"])):
        row = measured(coder, network, pictures, references, level * LEVEL_STEPS, temperatures, effort)
        row["chosen"] = chosen(row["temperatures"], lost)
        table["levels"].append({"level": level, **row})
        click.echo(f"level {level}: {json.dumps(row)}", err=True)
        keep(out, table)
    table["temperatures"] = [round(row["chosen"] * FULL) for row in table["levels"]]
    keep(out, table)
    if write:
        put(Path(name), table["temperatures"])
    click.echo(json.dumps(table, indent=2))


def keep(out: Path | None, table: Table) -> None:
    """Writes what is known so far."""
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


def middle(picture: Samples, side: int) -> Samples:
    """The middle of a picture, sides divisible by those of a site."""
    height, width = (min(side, size) // PATCH * PATCH for size in picture.shape[:2])
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return picture[top : top + height, left : left + width]


def measured(
    coder: GridCoder,
    network: Features,
    pictures: Sequence[Samples],
    references: Sequence[Floats],
    quality: int,
    temperatures: Sequence[float],
    effort: int,
) -> Table:
    """What every temperature gives at a quality."""
    shown: dict[float, list[Samples]] = {temperature: [] for temperature in temperatures}
    rates = []
    for seed, picture in enumerate(pictures):
        size, decoded = textured(coder, picture, quality, temperatures, effort, seed)
        rates.append(8 * size / (picture.size // 3))
        for temperature, samples in zip(temperatures, decoded, strict=True):
            shown[temperature].append(samples)
    rows = []
    for temperature, seen in shown.items():
        kids = resampled(Sums.of(network.of(seen), references, True))
        alike = float(np.mean([ssimulacra2(x, y) for x, y in zip(pictures, seen, strict=True)]))
        rows.append({"temperature": temperature, **estimate("kid", kids), "ssimulacra2": alike})
    return {"mean_bpp": float(np.mean(rates)), "temperatures": rows}


def textured(
    coder: GridCoder, picture: Samples, quality: int, temperatures: Sequence[float], effort: int, seed: int
) -> tuple[int, list[Samples]]:
    """Bytes of a picture's payload, and what it decodes to at each temperature."""
    model, raster = coder.model, Raster(picture, PixelFormat(Kind.RGB))
    grain = model.grain
    assert grain
    ask = Ask(quality=100 * quality / (model.qualities - 1), effort=effort)
    (made,) = coder.encode([coder.view(raster, ask)], ask)
    found = coder.parse(raster.geometry, made.data, 0).found
    assert found.quality == quality
    height, width, _ = picture.shape
    box, shape = Box(0, 0, height, width), (height // PATCH, width // PATCH)
    z, _ = latents.read(model.prior, found.groups, found.whole, shape, quality)
    region = decode_block(model.decoder, z, quality, box, gray=False)
    drawn = grain.draw(region, box, (height, width), Drawing(seed, 0, 3))
    added = (grain.added(region.planes, drawn, quality, round(t * FULL)) for t in temperatures)
    return len(made.data), [nearest_colours(planes, gray=False) for planes in added]


_SAME = 0.1  # of an error, within which KIDs count as equal


def chosen(rows: Sequence[Table], lost: float) -> float:
    """The lowest temperature that is as good as the best of those that lose no more."""
    least = rows[0]["ssimulacra2"] - lost
    allowed = [row for row in rows if row["ssimulacra2"] >= least]
    best = min(allowed, key=lambda row: float(row["kid"]))
    return float(next(row["temperature"] for row in allowed if row["kid"] <= best["kid"] + _SAME * best["kid_se"]))


def put(folder: Path, temperatures: Sequence[int]) -> None:
    """Gives a model's folder these default temperatures; its digest changes."""
    path = folder / "weights.npz"
    old = path.read_bytes()
    arrays: dict[str, Any] = dict(np.load(io.BytesIO(old), allow_pickle=False))
    arrays["grain.temperatures"] = np.array(temperatures, arrays["grain.temperatures"].dtype)[:, None]
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    path.write_bytes(packed.getvalue())
    before, after = (hashlib.sha256(data).hexdigest() for data in (old, packed.getvalue()))
    for name in ("model.json", "card.md"):
        said = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(said.replace(before, after), encoding="utf-8")
    click.echo(f"{folder}: sha256 {after}", err=True)


if __name__ == "__main__":
    main()
