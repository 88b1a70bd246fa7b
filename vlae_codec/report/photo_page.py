"""One self-contained HTML page of a `PhotoMeasurement`: crops side by side at equal size, curves, and tables."""

from __future__ import annotations

import numpy as np
from PIL import Image

from vlae_codec.errors import VlaeError
from vlae_codec.picture.images import png_bytes

from . import html, plots
from .photo_measure import OURS, Crop, PhotoMeasurement
from .photo_tables import METRIC_NAMES, curve_of, provenance, remarks, tables, title

_TWICE = 2  # as large as they are, so that pixels can be seen


def page(found: PhotoMeasurement) -> str:
    """One page that needs nothing else. Without matplotlib it says so in place of the plots."""
    heading = html.safe(f"What {found.model} makes of {found.source}")
    exact, *others = map(html.table, tables(found))
    body = [
        f"<header><h1>{heading}</h1>",
        f"<p>{html.safe(title(found))}.</p></header>",
        html.section("Side by side, in files of one size", [_crop(crop) for crop in found.crops]),
        html.section("Quality and size", [_curves(found), *others]),
        html.section("Exact", [exact]),
        html.section("Also to know", [html.points([*remarks(found), provenance(found)])]),
    ]
    return html.whole(heading, body)


def _crop(crop: Crop) -> str:
    """The middle of a picture as every codec shows it."""
    shown = []
    for name, size, samples in crop.shown:
        picture = Image.fromarray(np.repeat(np.repeat(samples, _TWICE, 0), _TWICE, 1))
        words = html.safe(name if size is None else f"{name}: {size:,} bytes")
        image = f'<img src="{html.data_uri(png_bytes(picture))}" alt="{words}">'
        shown.append(f"<figure>{image}<figcaption>{words}</figcaption></figure>")
    return f'<h3>{html.safe(crop.name)}</h3><div class="crops">{"".join(shown)}</div>'


def _curves(found: PhotoMeasurement) -> str:
    try:
        figures = []
        for metric in found.metrics:
            series = [
                plots.Series(row["name"], *curve_of(found, key, metric), ours=key in OURS)
                for key, row in found.lossy.items()
            ]
            caption = f"{METRIC_NAMES[metric]}, means over all photographs, of files of so many bits a pixel."
            light, dark = (plots.curves(series, METRIC_NAMES[metric], theme) for theme in (plots.LIGHT, plots.DARK))
            figures.append(html.figure(light, dark, caption))
        return f'<div class="plots">{"".join(figures)}</div>'
    except VlaeError as error:  # the numbers are worth a page without them
        return f"<p>There are no plots here: {html.safe(str(error))}</p>"
