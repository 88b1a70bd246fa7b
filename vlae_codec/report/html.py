"""One self-contained HTML page of a `Measurement`: tables, plots, contact sheets, and the words explained.

It needs no other file, no network and no script. Strings of a measurement may be file names, so they are hostile: `safe`
is the only way for any of them into the page.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape

from vlae_codec.errors import VlaeError

from . import plots
from .plots import Panel
from .tables import (
    Measurement,
    Row,
    Table,
    facts,
    joint_tables,
    keys_of,
    missing,
    number,
    plain,
    provenance,
    single_tables,
    title_of,
)

_RESAMPLED = (
    "Lossy means re-sampled: what a lossy file decompresses to is a new picture with the same structure, not the one "
    "that went in. A digit may come back as another digit. Where every pixel matters, use lossless files."
)


def html(measurement: Measurement, sheets: Sequence[tuple[str, bytes]] = ()) -> str:
    """One page that needs nothing else; `sheets` are contact sheets: (caption, bytes of a PNG).

    Without matplotlib the page says so in place of the plots.
    """
    title = safe(f"What {measurement.model} makes of {measurement.source}")
    single, together = (map(table, made(measurement)) for made in (single_tables, joint_tables))
    body = [
        f"<header><h1>{title}</h1>",
        f"<p>{measurement.images:,} images, {measurement.pixels:,} pixels in all.</p></header>",
        _tiles(measurement),
        _warning(measurement),
        section("Pictures", [_sheet(caption, data) for caption, data in sheets]),
        section("The words used here", [_glossary()]),
        section("Bits an image", [*single, _plots(measurement)]),
        section("Many images together", together),
        section("Also to know", [points([*missing(measurement), *measurement.notes, provenance(measurement)])]),
    ]
    return whole(title, body)


def whole(title: str, body: Iterable[str]) -> str:
    """A page of a title and its parts, which are HTML already."""
    top, bottom = _PAGE.replace("{title}", title).split("{body}")
    return top + "\n".join(part for part in body if part) + bottom


def safe(words: str) -> str:
    """Words of anybody as HTML."""
    return escape(plain(words))


def section(title: str, parts: Iterable[str]) -> str:
    """A heading and what stands below; nothing if that is nothing."""
    inside = "\n".join(part for part in parts if part)
    return f"<section><h2>{title}</h2>\n{inside}\n</section>" if inside else ""


def points(lines: Sequence[str]) -> str:
    """A list."""
    return "<ul>" + "".join(f"<li>{safe(line)}</li>" for line in lines) + "</ul>"


def _tiles(measurement: Measurement) -> str:
    """The figures to remember."""
    keys = ["lossy_file_bits", "lossless_file_bits", "archive_lossy_bits", "archive_lossless_bits"]
    baselines = [key for key in keys_of(measurement, "Baselines") if not key.endswith("_payload_bits")]
    best = min(baselines, key=lambda key: float(measurement.per_image[key].mean()), default="")
    labels = {best: f"{title_of(best)}, the smallest baseline file"}
    tiles = [
        f"<li><b>{number(mean / 8, 1)}</b><span>bytes an image</span><br>{safe(labels.get(key, title_of(key)))}</li>"
        for key in [*keys, best]
        if (mean := measurement.mean(key)) is not None
    ]
    return f'<ul class="tiles">{"".join(tiles)}</ul>' if tiles else ""


def _warning(measurement: Measurement) -> str:
    head, _, rest = _RESAMPLED.partition(":")
    known = " ".join(facts(measurement))
    return f'<p class="warning"><strong>{safe(head)}:</strong>{safe(rest)} {safe(known)}</p>'


def _sheet(caption: str, data: bytes) -> str:
    image = f'<img class="pixels" src="{data_uri(data)}" alt="{safe(caption)}">'
    return f"<figure>{image}<figcaption>{safe(caption)}</figcaption></figure>"


def _plots(measurement: Measurement) -> str:
    try:
        return '<div class="plots">' + "".join(_plot_figure(measurement, panel) for panel in plots.PANELS) + "</div>"
    except VlaeError as error:  # the numbers are worth a page without them
        return f"<p>There are no plots here: {safe(str(error))}</p>"


def _plot_figure(measurement: Measurement, panel: Panel) -> str:
    light, dark = (plots.drawn(measurement, [panel], theme, "png") for theme in (plots.LIGHT, plots.DARK))
    return figure(light, dark, panel.caption)


def figure(light: bytes, dark: bytes, caption: str) -> str:
    """A plot, as PNG for light and for dark screens."""
    source = f'<source media="screen and (prefers-color-scheme: dark)" srcset="{data_uri(dark)}">'
    image = f'<img src="{data_uri(light)}" alt="{safe(caption)}">'
    return f"<figure><picture>{source}{image}</picture><figcaption>{safe(caption)}</figcaption></figure>"


def data_uri(png: bytes) -> str:
    """A picture within the page."""
    return "data:image/png;base64," + b64encode(png).decode("ascii")


def table(one: Table) -> str:
    """A table as HTML."""
    head = "".join(f'<th scope="col"{_kind(one, i)}>{safe(cell)}</th>' for i, cell in enumerate(one.head))
    parts = [f"<caption>{safe(one.caption)}</caption><thead><tr>{head}</tr></thead>"]
    for group, rows in one.groups:
        span = f'<tr><th class="group" scope="rowgroup" colspan="{len(one.head)}">{safe(group)}</th></tr>'
        parts.append(f"<tbody>{span if group else ''}{''.join(_html_row(one, row) for row in rows)}</tbody>")
    if one.total:
        parts.append(f"<tfoot>{_html_row(one, one.total)}</tfoot>")
    return f'<div class="scroll"><table>{"".join(parts)}</table></div>'


def _html_row(table: Table, row: Row) -> str:
    first = f'<th scope="row">{safe(row[0])}</th>'
    return f"<tr>{first}{''.join(f'<td{_kind(table, i)}>{safe(row[i])}</td>' for i in range(1, len(row)))}</tr>"


def _kind(table: Table, column: int) -> str:
    return ' class="words"' if column in table.words else ""


def _glossary() -> str:
    return "<dl>" + "".join(f"<dt>{safe(word)}</dt><dd>{safe(said)}</dd>" for word, said in _WORDS.items()) + "</dl>"


_WORDS = {
    "Latent code": "A few numbers that say what an image is like as a whole: which digit it is, how it leans, how thick "
    "its strokes are. A neural network finds them. They are what a lossy file stores.",
    "Re-sampling": "A lossy file holds no pixels. To open it, a second network draws every pixel anew, by chance, but as "
    "the latent code and the pixels already drawn make it likely. Structure stays; texture is new.",
    "KL": "What the latent code costs in theory, in bits: how much more is known once this image was seen than could be "
    "guessed of any image. Its full name is Kullback-Leibler divergence. Compare it with lossy files.",
    "−ELBO": "What the exact pixels cost in theory, in bits: the KL, and then what the pixels still cost when the code is "
    "known. Its full name is negative evidence lower bound. Compare it with lossless files.",
    "Bits-back": "Many latent codes fit one image almost equally well, and which of them is taken can itself carry data. "
    "A lossless archive lets it carry bits of other images, which the reader gets back. They count as negative below.",
    "Above theory": "What a file costs beyond the theory: headers, checks, whole bytes, and choices that were not perfect. "
    "A lossy file is held against the KL alone; it can fall below it where a cheaper code was taken that fits the image "
    "a little less.",
    "Coding gap": "That bargain, made fair: the bits of the code that was taken and of the pixels given it, less what both "
    "cost in theory. It is an average of both signs: on a single image the code taken may beat the average one.",
    "Payload": "A baseline's file without what merely frames it, such as signatures, sizes and checksums. "
    "That is kinder to the baseline than any file it can write.",
    "5 % and 95 %": "Of all images, one in twenty costs less than the first, and one in twenty more than the second.",
}

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root { --paper: #ffffff; --ink: #1f2328; --soft: #59636e; --line: #d5d9de; --tint: #f4f6f8;
  --warn: #fff4e5; --edge: #d55e00; }
@media screen and (prefers-color-scheme: dark) {
  :root { --paper: #14171b; --ink: #e6e8ea; --soft: #9aa3ac; --line: #3a4149; --tint: #1b1f24;
    --warn: #33240f; --edge: #f0883e; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 3rem) 3rem; max-width: 70rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: clamp(1.5rem, 4vw, 2.1rem); line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .75rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
header p, figcaption { color: var(--soft); }
.tiles { list-style: none; margin: 1.5rem 0; padding: 0; display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); }
.tiles li { background: var(--tint); border-radius: .5rem; padding: .8rem 1rem; font-size: .9rem; color: var(--soft); }
.tiles b { display: block; font-size: 1.9rem; line-height: 1.25; color: var(--ink); font-variant-numeric: tabular-nums; }
.warning { background: var(--warn); border-left: .3rem solid var(--edge); border-radius: .25rem; padding: .8rem 1rem; }
figure { margin: 1rem 0; }
figcaption { font-size: .9rem; margin-top: .4rem; }
img { max-width: 100%; height: auto; display: block; }
.pixels { image-rendering: pixelated; min-width: min(100%, 24rem); }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
.crops { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); }
.crops figure { margin: 0; }
.crops img { width: 100%; }
.plots { display: grid; gap: 1.5rem; max-width: 50rem; }
.plots img { width: 100%; border: 1px solid var(--line); border-radius: .5rem; }
dl { display: grid; grid-template-columns: minmax(7rem, auto) 1fr; gap: .6rem 1.25rem; margin: 0; }
dt { font-weight: 600; }
dd { margin: 0; max-width: 46rem; }
.scroll { overflow-x: auto; margin: 1.25rem 0 2rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: .5rem; }
th, td { padding: .3rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { font-weight: 500; }
thead th { color: var(--soft); font-size: .85rem; border-bottom: 2px solid var(--line); vertical-align: bottom; }
tbody th, tfoot th, .words { text-align: left; }
tr > .words:not(:first-child) { padding-left: 2rem; }
.group { font-weight: 600; padding-top: .9rem; background: var(--tint); }
tfoot th, tfoot td { font-weight: 600; border-top: 2px solid var(--line); border-bottom: 0; }
@media (max-width: 36rem) { dl { grid-template-columns: 1fr; gap: .1rem; } dd { margin-bottom: .8rem; } }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  h2, caption { break-after: avoid; }
  figure, tr, .tiles li, .warning, dd { break-inside: avoid; }
  .scroll { overflow: visible; }
  * { print-color-adjust: exact; }
}
</style>
</head>
<body>
{body}
</body>
</html>
"""
