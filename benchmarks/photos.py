"""How good is the photo family? Photographs there and back, beside the codecs that a user would pick instead.

    python benchmarks/photos.py --data DIR --json results/photos.json               # everything but large pictures
    python benchmarks/photos.py --data DIR --json results/photos.json --only ours   # a new model, the others as before

DIR holds pictures as PNG: the 24 of the Kodak set for the tables of the README. `--model` is a released one (by itself the
photo model), or a folder. What is measured, and can be named by `--only`, more than once:

    baselines   lossless sizes and lossy curves of other codecs; kept in the JSON, and measured anew only if the libraries
                or the pictures are others (`--again`: in any case)
    lossless    whole exact files, decoded and compared; what their parts take; how few bytes show a picture
    lossy       curves at --temperature 0 and at the model's default, and BD-rates to the baselines
    speed       whole commands on one picture, their memory, and multiply-accumulates; once the code of a large picture was
                compiled, and before
    large       the same of one of 12 megapixels made of those in DIR, and of a preview and a region; only if it is named
    huge        lossy, of 100 megapixels: half an hour; only if it is named. huge-exact: the same, exact

`ours` is lossless, lossy and speed. `--metrics` measures MS-SSIM and SSIMULACRA 2 of all points beside PSNR, baselines
included. `--pictures N` takes some N of the pictures, to try things. Everything is counted: whole files.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import click
import numpy as np
from archives import TOOL, measured
from photo_ours import AT_DEFAULT, AT_ZERO, PhotoModel, counted_macs
from PIL import Image
from speed import peak_macs_per_second

from vlae_codec import zoo
from vlae_codec.exact.threads import cores
from vlae_codec.family import Arrays, Ask
from vlae_codec.grid.decisions import WORTH_PIXELS, by_machine
from vlae_codec.report import photo_codecs
from vlae_codec.report.photo_codecs import Baseline
from vlae_codec.report.quality import METRICS, Samples, psnr_db
from vlae_codec.report.rates import MOST_BPP, compared, known, point

Table = dict[str, Any]
OURS = "lossless", "lossy", "speed"
LARGE = {
    "large": (3000, 4000, ("lossy", "lossless")),
    "huge": (8660, 11547, ("lossy",)),
    "huge-exact": (8660, 11547, ("lossless",)),
}
"""Rows and columns of large pictures, and how they are coded."""
PARTS = "baselines", "ours", *OURS, *LARGE
QUALITIES = range(0, 101, 10)
DRAWN = 20
"""At multiples of this quality pictures are decoded with drawn texture, too, which takes several times as long."""
PREVIEW_DB = 20.0
_REGION = "decompress --crop 1000,1000,512,512"


@click.command()
@click.option("--data", "folder", type=click.Path(path_type=Path, exists=True), required=True, help="Pictures, as PNG.")
@click.option("--model", default=zoo.PHOTO, show_default=True, help="A released model, or a model's folder.")
@click.option("--only", type=click.Choice(PARTS), multiple=True, default=("baselines", "ours"), show_default=True)
@click.option("--runs", default=3, show_default=True, help="Times are medians of so many.")
@click.option("--metrics", "every", is_flag=True, help="MS-SSIM and SSIMULACRA 2, too.")
@click.option("--pictures", "count", type=click.IntRange(1), help="Only so many of them.")
@click.option("--again", is_flag=True, help="Measure baselines even if they are known.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the figures here, and read those to keep.")
def main(
    folder: Path,
    model: str,
    only: tuple[str, ...],
    runs: int,
    every: bool,
    count: int | None,
    again: bool,
    out: Path | None,
) -> None:
    """Measures what is asked for and keeps the rest."""
    names = sorted(folder.glob("*.png"))
    names = names[:: -(-len(names) // count)] if count else names
    pictures = [read(name) for name in names]
    results = Results(out, pictures)
    metrics = list(METRICS) if every else list(METRICS)[:1]
    parts = {part for name in only for part in (OURS if name == "ours" else (name,))}
    if "baselines" in parts:
        baselines(results, pictures, metrics, again)
    if parts - {"baselines"}:
        ours(results, PhotoModel.named(model), pictures, parts, metrics, runs)
    compare(results)
    click.echo(results.text)


class Results:
    """The table, written after each step, so that what was measured is kept whatever happens."""

    def __init__(self, path: Path | None, pictures: Sequence[Samples]) -> None:
        """Reads what there is.

        Raises:
            UsageError: it is of other pictures.
        """
        self.path, self.pixels = path, [x.shape[0] * x.shape[1] for x in pictures]
        said = {"pictures": len(pictures), "sha256": digest(pictures), "pixels": self.pixels}
        old: Table = json.loads(path.read_text(encoding="utf-8")) if path and path.exists() else {}
        if old and old["data"] != said:
            raise click.UsageError(f"{path} is of other pictures: name another file, or remove it")
        self.table = old or {"data": said}

    def section(self, name: str) -> Table:
        """One part of the table; what is put into it stays."""
        found: Table = self.table.setdefault(name, {})
        return found

    def keep(self, what: str) -> None:
        """Says what was measured, and writes everything."""
        click.echo(what, err=True)
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(self.text + "\n", encoding="utf-8")

    @property
    def text(self) -> str:
        """The table as JSON, a list of numbers on one line."""
        text = json.dumps(self.table, indent=2)
        return re.sub(r"\[[^][{}\"]*\]", lambda found: " ".join(found[0].split()), text)


def read(path: Path) -> Samples:
    """A picture in RGB."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def digest(pictures: Sequence[Samples]) -> str:
    """SHA-256 of all samples and shapes, in order."""
    found = hashlib.sha256()
    for picture in pictures:
        found.update(f"{picture.shape}".encode() + picture.tobytes())
    return found.hexdigest()


def baselines(results: Results, pictures: Sequence[Samples], metrics: Sequence[str], again: bool) -> None:
    """Sizes and curves of other codecs, those that are not known yet."""
    table, versions = results.section("baselines"), photo_codecs.versions()
    if again or table.get("versions") != versions:
        table.clear()
    table.update({"versions": versions, "lossy": table.get("lossy", {}), "lossless": table.get("lossless", {})})
    for codec in photo_codecs.LOSSY:
        row = table["lossy"].setdefault(codec.key, {"points": []})
        points = [one for one in row["points"] if one["setting"] in codec.settings and known([one], metrics)]
        row.update({"name": codec.name, "points": points})
        for setting in sorted(set(codec.settings) - {one["setting"] for one in points}):
            files = [codec.encode(picture, setting) for picture in pictures]
            new = point(setting, files, pictures, list(map(codec.decode, files)), metrics)
            points.append(new)
            points.sort(key=lambda one: one["bpp"])
            results.keep(f"{codec.name}, {setting}: {np.mean(new['psnr_db']):.2f} dB at {new['bpp']:.3f} bpp")
    for codec in photo_codecs.LOSSLESS:
        if codec.key not in table["lossless"]:
            sizes = [len(there_and_back(codec, picture)) for picture in pictures]
            table["lossless"][codec.key] = {
                "name": codec.name,
                "bytes": sizes,
                **mean(bpd(sizes, results.pixels), "bpd"),
            }
            results.keep(f"{codec.name}: {table['lossless'][codec.key]['bpd']:.4f} bits/dim")


def there_and_back(codec: Baseline, picture: Samples) -> bytes:
    """The file of a lossless codec, which gives the picture back."""
    data = codec.encode(picture, 0)
    assert np.array_equal(codec.decode(data), picture), f"{codec.name} is not lossless"
    return data


def bpd(sizes: Sequence[float], pixels: Sequence[int]) -> Sequence[float]:
    """Bytes as bits a sample."""
    return [8 * size / (3 * count) for size, count in zip(sizes, pixels, strict=True)]


def mean(values: Sequence[float], key: str) -> Table:
    """The mean over pictures under `key`, and its standard error."""
    error = float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
    return {key: float(np.mean(values)), f"{key}_se": error}


def ours(
    results: Results,
    model: PhotoModel,
    pictures: Sequence[Samples],
    parts: set[str],
    metrics: Sequence[str],
    runs: int,
) -> None:
    """The parts of the table that are about a model; those of another one go."""
    said, of_lossy = model.coder.digest.hex(), lossy_digest(model.coder.arrays)
    table = results.section("ours")
    if table.get("sha256") != said:
        kept = ("lossy", "huge") if table.get("lossy_sha256") == of_lossy else ()
        for part in table.keys() - {*kept}:
            del table[part]
    table.update({"model": model.coder.name, "sha256": said, "lossy_sha256": of_lossy})
    if "lossless" in parts:
        lossless(results, model, pictures)
    if "lossy" in parts:
        lossy(results, model, pictures, metrics)
    if "speed" in parts:
        speed(results, model, pictures[0], runs)
    for size in LARGE:
        if size in parts:
            large(results, model, pictures, size)


def lossy_digest(arrays: Arrays) -> str:
    """SHA-256 of all that lossy files depend on: the arrays of a model, less the PixelCNN of exact files and the preview."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        if not name.startswith(("texture.", "decoder.coarse.", "exact_quality")):
            digest.update(repr((name, arrays[name].dtype, arrays[name].shape)).encode() + arrays[name].tobytes())
    return digest.hexdigest()


def lossless(results: Results, model: PhotoModel, pictures: Sequence[Samples]) -> None:
    """Exact files: their length and that of their parts, and the shortest prefixes that show a picture."""
    rows: list[Table] = []
    for picture in pictures:
        data, sections = model.encode(picture, Ask(lossless=True))
        assert np.array_equal(model.decode(data, [AT_ZERO])[0], picture), "an exact file does not give its picture back"
        latent_bits = sections.figures["latent_bits"]
        rows.append(
            {
                "file": len(data),
                "latent": latent_bits / 8,
                "pixel": (sections.coded_bits - latent_bits) / 8,
                "container": len(data) - sections.coded_bits / 8,
                "kl": sections.kl_bits / 8,
                "distortion": sections.distortion_bits / 8,
                "ideal": sections.ideal_bits / 8,
                "coded": sections.coded_bits / 8,
                "preview": model.least_prefix_bytes(data, lambda seen, x=picture: psnr_db(x, seen) >= PREVIEW_DB),
            }
        )
        click.echo(f"exact: {rows[-1]}", err=True)
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    previews = columns.pop("preview")
    table: Table = {"bytes": columns["file"]}
    for key, sizes in columns.items():
        table |= mean(bpd(sizes, results.pixels), "bpd" if key == "file" else f"{key}_bpd")
    table["preview"] = {"db": PREVIEW_DB, "bytes": previews, **mean(previews, "mean_bytes")}
    results.section("ours")["lossless"] = table
    results.keep(f"exact: {table['bpd']:.4f} bits/dim, {PREVIEW_DB:.0f} dB after {np.mean(previews):.0f} bytes")


def lossy(results: Results, model: PhotoModel, pictures: Sequence[Samples], metrics: Sequence[str]) -> None:
    """Curves of the same files decoded at temperature 0 and at the model's default, to the first point beyond the range."""
    table: Table = {"at_zero": {"points": []}, "at_default": {"points": []}, "theory": []}
    results.section("ours")["lossy"] = table
    for quality in QUALITIES:
        files, sections = zip(*(model.encode(picture, Ask(quality=quality)) for picture in pictures), strict=True)
        ways = {"at_zero": AT_ZERO} | ({} if quality % DRAWN else {"at_default": AT_DEFAULT})
        decoded = zip(*(model.decode(data, [*ways.values()]) for data in files), strict=True)
        for way, shown in zip(ways, decoded, strict=True):
            table[way]["points"].append(point(quality, files, pictures, shown, metrics))
        rates = {
            f"{key}_bpp": float(np.mean([getattr(one, f"{key}_bits") for one in sections] / np.array(results.pixels)))
            for key in ("kl", "ideal", "coded")
        }
        table["theory"].append({"setting": quality, **rates})
        new = table["at_zero"]["points"][-1]
        results.keep(f"quality {quality}: {np.mean(new['psnr_db']):.2f} dB at {new['bpp']:.3f} bpp")
        if new["bpp"] > MOST_BPP:
            break


def speed(results: Results, model: PhotoModel, picture: Samples, runs: int) -> None:
    """Whole commands on one picture, and the arithmetic of decompressing it; exact ones before anything is compiled, too."""
    by_machine(WORTH_PIXELS)  # from then on it is kept
    table: Table = {"pixels": picture.shape[0] * picture.shape[1], "cores": cores()}
    table["float32_peak_macs_per_second_per_core"] = peak_macs_per_second(np.float32)
    table["commands"] = dict(commands(model, picture, ("lossy", "lossless"), runs))
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, VLAE_CACHE=folder):
        found = commands(model, picture, ("lossless",), runs)
        table["commands"] |= {f"{name}, nothing compiled": row for name, row in found}
    for kind, ask in ("lossy", Ask()), ("lossless", Ask(lossless=True)):
        data = model.encode(picture, ask)[0]
        macs = counted_macs(lambda data=data: model.decode(data, [AT_DEFAULT]))
        row = table["commands"][f"decompress, {kind}"]
        peak = table["float32_peak_macs_per_second_per_core"] * cores()
        row |= {"macs_per_pixel": macs / table["pixels"], "share_of_peak": macs / row["seconds"] / peak}
    results.section("ours")["speed"] = table
    results.keep(f"commands: {table['commands']}")


def large(results: Results, model: PhotoModel, pictures: Sequence[Samples], size: str) -> None:
    """A file of a large picture, there and back, once."""
    height, width, kinds = LARGE[size]
    table: Table = {"pixels": height * width, "cores": cores()}
    table["commands"] = dict(commands(model, mosaic(pictures, height, width), kinds, 1, repeats=True))
    results.section("ours")[size] = table
    results.keep(f"{size}: {table}")


def mosaic(pictures: Sequence[Samples], height: int, width: int) -> Samples:
    """A picture of that size: these side by side, upright ones turned, again and again, cut off at its border."""
    lying = [np.rot90(one) if one.shape[0] > one.shape[1] else one for one in pictures]
    rows, columns = lying[0].shape[:2]
    across = -(-width // columns)
    bands = [
        np.concatenate([lying[(band * across + place) % len(lying)] for place in range(across)], 1)
        for band in range(-(-height // rows))
    ]
    return np.ascontiguousarray(np.concatenate(bands)[:height, :width])


def commands(
    model: PhotoModel, picture: Samples, kinds: Sequence[str], runs: int, repeats: bool = False
) -> Iterator[tuple[str, Table]]:
    """Seconds and peak memory of whole processes that compress and decompress; refuses to time what does not come back."""
    with tempfile.TemporaryDirectory() as folder:
        source, file, back = (Path(folder) / name for name in ("picture.png", "picture.vlz", "back.png"))
        Image.fromarray(picture).save(source)
        for kind in kinds:
            named = model.name != zoo.PHOTO or repeats  # what repeats itself would be kept without a model
            asked, exact = ["-f", "-q", *["--model", model.name] * named], ["--lossless"] * (kind == "lossless")
            ways = {
                "compress": [*TOOL, "compress", *asked, *exact, str(source), "-o", str(file)],
                "decompress": [*TOOL, "decompress", *asked, str(file), "-o", str(back)],
            }
            if repeats:
                back_to = [*TOOL, "decompress", *asked, str(file), "-o", str(back.with_stem("part"))]
                ways |= {"decompress --preview": [*back_to, "--preview"], _REGION: [*back_to, *_REGION.split()[1:]]}
            for way, command in ways.items():
                found = measured(command, 1, runs)
                yield f"{way}, {kind}", {key: found[key] for key in ("seconds", "peak_bytes")}
            if kind == "lossless":
                assert np.array_equal(read(back), picture), "an exact file does not give its picture back"


def compare(results: Results) -> None:
    """BD-rates of our curves, and of AVIF at its best, to the baselines, in every metric that is known of both."""
    curves = {key: row["points"] for key, row in results.table.get("baselines", {}).get("lossy", {}).items()}
    tests = {
        key: row["points"] for key, row in results.table.get("ours", {}).get("lossy", {}).items() if key != "theory"
    }
    tests["avif_psnr"] = curves.get("avif_psnr", [])
    results.table["bd_rate"] = {
        name: {
            anchor: {
                metric: compared(curve, test, metric, results.pixels)
                for metric in METRICS
                if known(curve, [metric]) and known(test, [metric]) and min(len(curve), len(test)) > 3
            }
            for anchor, curve in curves.items()
            if anchor != name
        }
        for name, test in tests.items()
    }
    results.keep("compared")


if __name__ == "__main__":
    main()
