"""What a `PhotoMeasurement` says, as tables, as text for a terminal, and as a line for each file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np

from .photo_measure import OURS, PhotoMeasurement
from .rates import LEAST_BPP, MOST_BPP
from .tables import Table, aligned, number, plain, signed

METRIC_NAMES = {"psnr_db": "PSNR, dB", "ms_ssim_db": "MS-SSIM, dB", "ssimulacra2": "SSIMULACRA 2"}
"""What people call them."""


def tables(found: PhotoMeasurement) -> list[Table]:
    """Exact files; the curves, point by point; how many bytes more or fewer equal quality takes."""
    return [_exact(found), _curves(found), *_bd_rates(found)]


def text(found: PhotoMeasurement) -> str:
    """Aligned tables for a terminal, and what else there is to know."""
    parts = [f"{plain(title(found))}\n{plain(provenance(found))}", *map(aligned, tables(found))]
    parts.append("\n".join(map(plain, remarks(found))))
    return "\n\n".join(parts) + "\n"


def title(found: PhotoMeasurement) -> str:
    """Of what, and how much of it."""
    count = len(found.names)
    return f"{found.source}: {count:,} photograph{'s' * (count != 1)}, {sum(found.pixels):,} pixels"


def provenance(found: PhotoMeasurement) -> str:
    """What coded them."""
    return f"model {found.model}, SHA-256 {found.sha256}"


def remarks(found: PhotoMeasurement) -> list[str]:
    """What else a reader must know."""
    missing = [f"Not measured: {'; '.join(found.unavailable)}."] if found.unavailable else []
    return [*missing, *found.notes]


def csv_text(found: PhotoMeasurement) -> str:
    """A line for each file: picture, codec, setting (none of exact files), bytes, seconds, and each metric."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    keys = ["bytes", "encode_seconds", "decode_seconds"]
    writer.writerow(["picture", "codec", "kind", "setting", *keys, *found.metrics])
    for row in found.exact.values():
        for at, name in enumerate(found.names):
            writer.writerow(
                [name, row["name"], "exact", "", *(row[key][at] for key in keys), *("" for _ in found.metrics)]
            )
    for row in found.lossy.values():
        for point in row["points"]:
            for at, name in enumerate(found.names):
                figures = (point[key][at] for key in [*keys, *found.metrics])
                writer.writerow([name, row["name"], "lossy", point["setting"], *figures])
    return out.getvalue()


def _exact(found: PhotoMeasurement) -> Table:
    own = sum(found.exact["ours"]["bytes"])
    rows = []
    for row in found.exact.values():
        total = sum(row["bytes"])
        bits = np.mean([8 * size / (3 * count) for size, count in zip(row["bytes"], found.pixels, strict=True)])
        seconds = (number(float(np.mean(row[f"{way}_seconds"]))) for way in ("encode", "decode"))
        more = signed(100 * (total / own - 1)) if total != own else ""
        rows.append([row["name"], number(float(bits), 3), number(total / 1e3, 1), more, *seconds])
    head = ["", "bits a sample", "kB", "% more", "s to compress", "s to decompress"]
    return Table("Exact files", head, [("", rows)])


def _curves(found: PhotoMeasurement) -> Table:
    groups = []
    for row in found.lossy.values():
        lines = []
        for point in row["points"]:
            means = (number(float(np.mean(point[metric]))) for metric in found.metrics)
            seconds = (number(float(np.mean(point[f"{way}_seconds"]))) for way in ("encode", "decode"))
            lines.append([number(point["setting"], 1), number(point["bpp"], 3), *means, *seconds])
        groups.append((str(row["name"]), lines))
    metrics = [METRIC_NAMES[metric] for metric in found.metrics]
    head = ["setting", "bits a pixel", *metrics, "s to compress", "s to decompress"]
    return Table("Lossy files: means over all photographs", head, groups)


def _bd_rates(found: PhotoMeasurement) -> list[Table]:
    anchors = {key: row["name"] for key, row in found.lossy.items() if key not in OURS}
    if not found.bd_rate or not anchors:
        return []
    groups = []
    for ours, by_metric in found.bd_rate.items():
        rows = [
            [name, *(_percent(by_metric[metric][key]) for metric in found.metrics)] for key, name in anchors.items()
        ]
        groups.append((str(found.lossy[ours]["name"]), rows))
    caption = f"% more bytes at equal quality (BD-rate), {LEAST_BPP} to {MOST_BPP} bits a pixel, against"
    return [Table(caption, ["", *(METRIC_NAMES[metric] for metric in found.metrics)], groups)]


def _percent(row: dict[str, float | None]) -> str:
    value, error = row["bd_rate_percent"], row["bd_rate_percent_se"]
    if value is None:
        return "no quality in common"
    return signed(value) + (f" ± {number(error)}" if error is not None else "")


def curve_of(found: PhotoMeasurement, key: str, metric: str) -> tuple[Sequence[float], Sequence[float]]:
    """Rates and the metric's means of a codec."""
    points = found.lossy[key]["points"]
    return [point["bpp"] for point in points], [float(np.mean(point[metric])) for point in points]
