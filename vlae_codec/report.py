"""What was measured, as a table, CSV, plots, and one self-contained HTML page.

A `Measurement` goes in, filled by whoever ran the codec; text or a picture comes out. Nothing here codes anything, and
the same measurement always gives the same bytes. Rates are bits an image, in columns (n,) float64.

Twists to know first: a column's group (theory, this codec, rivals, other) and its title follow from its key, and an
unknown key is shown under its own name. Strings of a measurement may be file names, so they are hostile: control
characters go in `_plain`, markup in `_safe`, and no other way leads to a page. matplotlib is imported only to draw.
"""

from __future__ import annotations

import csv
import io
import math
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .errors import VlaeError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Column = npt.NDArray[np.float64]
Archive = dict[str, Any]
Row = Sequence[str]

_THEORY = ("kl_bits", "distortion_bits", "negative_elbo_bits")
_OURS = ("coded_", "lossy_", "lossless_", "archive_")
_GROUPS = ("Theory", "This codec", "Rivals", "Other, not in bits")
_BOUND = {  # the theory that a column is held against
    "coded_latents_bits": "kl_bits",
    "lossy_file_bits": "kl_bits",
    "archive_lossy_bits": "kl_bits",
    "lossless_file_bits": "negative_elbo_bits",
    "archive_lossless_bits": "negative_elbo_bits",
}
_TITLES = {
    "kl_bits": "KL: the latent code",
    "distortion_bits": "distortion: the pixels, given the code",
    "negative_elbo_bits": "−ELBO: the exact pixels",
    "coded_latents_bits": "latent code, as coded",
    "lossy_file_bits": "lossy file",
    "lossless_file_bits": "lossless file",
    "archive_lossy_bits": "lossy, in an archive",
    "archive_lossless_bits": "lossless, in an archive",
    "differing_pixels": "pixels that differ (lossy)",
    "raw_bits": "raw, 1 bit a pixel",
    "png_bits": "PNG",
    "webp_bits": "WebP lossless",
    "avif_bits": "AVIF lossless",
    "jxl_bits": "JPEG XL lossless",
    "g4_bits": "CCITT G4 in TIFF",
}
_LEDGER_HEAD = ("in theory", "bits an image", "in the file", "bits", "bits an image")
_RESAMPLED = (
    "Lossy means re-sampled: what a lossy file decompresses to is a new picture with the same structure, not the one "
    "that went in. A digit may come back as another digit. Where every pixel matters, use lossless files."
)


@dataclass(frozen=True)
class Measurement:
    """What was measured on `images` images of `pixels` pixels in all.

    source: where the images came from. model, sha256: what coded them.
    per_image: columns (images,) float64; a key ends in `_bits` if it counts bits.
    archives: each with kind ("lossless" or "lossy"), order ("kept" or "unordered"), chunk (images that are coded
        together), bytes (all of it), bits_per_image, and ledger, named bits that sum to 8 * bytes (had back: negative).
    sets: general compressors on all images at once, by name: bytes, and payload_bytes without the container.
    classified: of `images` images, how many a classifier reads right: originals_right, lossy_right.
    unavailable: rivals that could not be measured. notes: whatever else a reader must know.

    Raises:
        ValueError: there is no image, or a column is not (images,) of finite numbers.
    """

    source: str
    model: str
    sha256: str
    images: int
    pixels: int
    per_image: dict[str, Column]
    archives: list[Archive] = field(default_factory=list)
    sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    classified: dict[str, Any] | None = None
    unavailable: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.images < 1 or self.pixels < self.images:
            raise ValueError(f"a measurement needs images and their pixels, not {self.images} and {self.pixels}")
        for key, column in self.per_image.items():
            if column.shape != (self.images,) or not np.isfinite(column).all():
                raise ValueError(f"column {key} must be ({self.images},) finite numbers, not {column.shape}")

    def mean(self, key: str) -> float | None:
        """A column's mean, or None if it was not measured."""
        return float(self.per_image[key].mean()) if key in self.per_image else None


def summary(measurement: Measurement) -> dict[str, Any]:
    """All but the single images, ready for JSON: by column mean, median, p05, p95, and bits_per_pixel if it is bits."""
    return {
        "source": measurement.source,
        "model": measurement.model,
        "sha256": measurement.sha256,
        "images": measurement.images,
        "pixels": measurement.pixels,
        "columns": {key: _statistics(measurement, key) for key in measurement.per_image},
        "archives": measurement.archives,
        "sets": measurement.sets,
        "classified": measurement.classified,
        "unavailable": measurement.unavailable,
        "notes": measurement.notes,
    }


def text(measurement: Measurement) -> str:
    """Aligned tables for a terminal: theory, files, rivals, sets, archives, and the ledger of each archive."""
    head = f"{measurement.source}: {measurement.images:,} images, {measurement.pixels:,} pixels"
    parts = [f"{_plain(head)}\n{_plain(_provenance(measurement))}"]
    parts += [_aligned(table) for table in _tables(measurement)]
    remarks = [*_facts(measurement), *_missing(measurement), *measurement.notes]
    parts.append("\n".join(_plain(remark) for remark in remarks))
    return "\n\n".join(parts) + "\n"


def csv_text(measurement: Measurement) -> str:
    """One line an image under the columns' keys; every number reads back as the same float."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["image", *measurement.per_image])
    columns = [column.tolist() for column in measurement.per_image.values()]
    writer.writerows([i, *(column[i] for column in columns)] for i in range(measurement.images))
    return out.getvalue()


def plot(measurement: Measurement, path: Path) -> None:
    """Both panels side by side, as PNG, SVG or PDF by the path's suffix.

    Raises:
        VlaeError: matplotlib is missing, or the suffix is none of these.
    """
    path.write_bytes(_drawn(measurement, _PANELS, _LIGHT, path.suffix.lower().removeprefix(".")))


def html(measurement: Measurement, sheets: Sequence[tuple[str, bytes]] = ()) -> str:
    """One page that needs nothing else; `sheets` are contact sheets: (caption, bytes of a PNG).

    Without matplotlib the page says so in place of the plots.
    """
    title = _safe(f"What {measurement.model} makes of {measurement.source}")
    single, *together = map(_html_table, _tables(measurement))
    body = [
        f"<header><h1>{title}</h1>",
        f"<p>{measurement.images:,} images, {measurement.pixels:,} pixels in all.</p></header>",
        _tiles(measurement),
        _warning(measurement),
        _section("Pictures", [_sheet(caption, data) for caption, data in sheets]),
        _section("The words used here", [_glossary()]),
        _section("Bits an image", [single, _plots(measurement)]),
        _section("Many images together", together),
        _section("Also to know", [_list([*_missing(measurement), *measurement.notes, _provenance(measurement)])]),
    ]
    top, bottom = _PAGE.replace("{title}", title).split("{body}")
    return top + "\n".join(part for part in body if part) + bottom


# What the columns say


def _statistics(measurement: Measurement, key: str) -> dict[str, float]:
    column = measurement.per_image[key]
    median, p05, p95 = (float(value) for value in np.percentile(column, [50, 5, 95]))
    found = {"mean": float(column.mean()), "median": median, "p05": p05, "p95": p95}
    if key.endswith("_bits"):
        found["bits_per_pixel"] = float(column.sum()) / measurement.pixels
    return found


def _group(key: str) -> str:
    theory, ours, rivals, other = _GROUPS
    if not key.endswith("_bits"):
        return other
    return theory if key in _THEORY else ours if key.startswith(_OURS) else rivals


def _keys(measurement: Measurement, group: str) -> list[str]:
    return [key for key in measurement.per_image if _group(key) == group]


def _title(key: str) -> str:
    if key.endswith("_payload_bits"):
        return _title(key.removesuffix("_payload_bits") + "_bits") + ", payload"
    return _TITLES.get(key) or _plain(key.removesuffix("_bits").replace("_", " "))


def _above(measurement: Measurement, key: str) -> float | None:
    """The coding gap: how much a column's mean lies above its theory, bits an image."""
    mean, bound = measurement.mean(key), measurement.mean(_BOUND.get(key, ""))
    return None if mean is None or bound is None else mean - bound


def _facts(measurement: Measurement) -> list[str]:
    """What the lossy pictures are like, as sentences."""
    differing, seen = measurement.mean("differing_pixels"), measurement.classified
    facts = []
    if differing is not None:
        share = differing * measurement.images / measurement.pixels
        facts.append(f"After a lossy file {share:.1%} of the pixels differ.")
    if seen:
        before, after = (seen[key] / seen["images"] for key in ("originals_right", "lossy_right"))
        facts.append(
            f"A classifier reads {before:.1%} of {seen['images']:,} originals right, and {after:.1%} of what their "
            "lossy files decompress to."
        )
    return facts


def _missing(measurement: Measurement) -> list[str]:
    return [f"Not measured: {line}" for line in measurement.unavailable]


def _provenance(measurement: Measurement) -> str:
    return f"model {measurement.model}, SHA-256 {measurement.sha256}"


# Tables: rows of strings, which text and HTML show alike


@dataclass(frozen=True)
class _Table:
    """Named groups of rows under a head; the columns in `words` hold words, the others numbers."""

    caption: str
    head: Row
    groups: Sequence[tuple[str, Sequence[Row]]]
    words: tuple[int, ...] = (0,)
    total: Row | None = None


def _number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:,.{digits}f}".replace("-", "−")


def _count(bits: float) -> str:
    return _number(bits, 0 if float(bits).is_integer() else 1)


def _signed(value: float | None) -> str:
    return _number(value) if value is None or value < 0 else "+" + _number(value)


def _tables(measurement: Measurement) -> list[_Table]:
    """The first is of single images; all others are of many together."""
    tables = [_columns_table(measurement)]
    if measurement.sets:
        tables.append(_sets_table(measurement))
    if measurement.archives:
        tables.append(_archives_table(measurement))
    return tables + [_ledger_table(measurement, archive) for archive in measurement.archives]


def _columns_table(measurement: Measurement) -> _Table:
    head = ("bits an image", "mean", "median", "5 %", "95 %", "bits a pixel", "above theory")
    groups = [
        (group, [_column_row(measurement, key) for key in keys])
        for group in _GROUPS
        if (keys := _keys(measurement, group))
    ]
    return _Table("One image to a file, or on average one of an archive", head, groups)


def _column_row(measurement: Measurement, key: str) -> Row:
    found = _statistics(measurement, key)
    numbers = [_number(found[name]) for name in ("mean", "median", "p05", "p95")]
    return [_title(key), *numbers, _number(found.get("bits_per_pixel"), 4), _signed(_above(measurement, key))]


def _sets_table(measurement: Measurement) -> _Table:
    head = ("general compressor", "bytes", "bits an image", "payload, bytes", "payload, bits an image")
    rows = [
        [name, *(cell for size in (found["bytes"], found["payload_bytes"]) for cell in _size(size, measurement.images))]
        for name, found in measurement.sets.items()
    ]
    return _Table(f"All {measurement.images:,} images as one stream of bits", head, [("", rows)])


def _size(size: int, images: int) -> tuple[str, str]:
    return f"{size:,}", _number(8 * size / images)


def _archives_table(measurement: Measurement) -> _Table:
    head = ("archive", "order", "images together", "bytes", "bits an image", "theory", "above theory")
    return _Table("Archives", head, [("", [_archive_row(measurement, a) for a in measurement.archives])], (0, 1))


def _archive_row(measurement: Measurement, archive: Archive) -> Row:
    theory, cost = _total(_archive_theory(measurement, archive)), float(archive["bits_per_image"])
    return [
        str(archive["kind"]),
        str(archive["order"]),
        f"{archive['chunk']:,}",
        f"{archive['bytes']:,}",
        _number(cost),
        _number(theory),
        _signed(None if theory is None else cost - theory),
    ]


def _archive_theory(measurement: Measurement, archive: Archive) -> list[tuple[str, float]]:
    """The terms of what an archive must cost, bits an image; none if the theory was not measured."""
    kl_bits, elbo_bits = measurement.mean("kl_bits"), measurement.mean("negative_elbo_bits")
    if kl_bits is None or elbo_bits is None:
        return []
    terms = [("KL: the latent codes", kl_bits)]
    if archive["kind"] == "lossless":
        terms.append(("distortion: the pixels", elbo_bits - kl_bits))
    if archive["order"] == "unordered":
        terms.append(("order given up", -_order_bits(measurement.images, archive["chunk"]) / measurement.images))
    return terms


def _order_bits(images: int, chunk: int) -> float:
    """log2 of the number of orders that the images can have within their chunks."""
    full, rest = divmod(images, chunk)
    return (full * math.lgamma(chunk + 1) + math.lgamma(rest + 1)) / math.log(2)


def _total(terms: list[tuple[str, float]]) -> float | None:
    return sum(bits for _, bits in terms) if terms else None


def _ledger_table(measurement: Measurement, archive: Archive) -> _Table:
    """Theory on the left, bytes on the right. What the ledger leaves out gets a row: the total is always the file's."""
    terms, ledger, bits = _archive_theory(measurement, archive), dict(archive["ledger"]), 8 * archive["bytes"]
    if abs(left_out := bits - sum(ledger.values())) > 1e-3:
        ledger["not in the ledger"] = left_out
    share = archive["bits_per_image"] / bits
    theory = [(name, _number(term)) for name, term in terms]
    stored = [(_title(key), _count(part), _number(part * share)) for key, part in ledger.items()]
    height = max(len(theory), len(stored))
    rows = [(*left, *right) for left, right in zip(_padded(theory, height, 2), _padded(stored, height, 3), strict=True)]
    total = ("theory", _number(_total(terms)), f"8 × {archive['bytes']:,} bytes", _count(bits), _number(bits * share))
    order = "order kept" if archive["order"] == "kept" else str(archive["order"])
    caption = f"Where the bits went: {archive['kind']} archive, {order}, {archive['chunk']:,} images together"
    return _Table(caption, _LEDGER_HEAD, [("", rows)], (0, 2), total)


def _padded(rows: Sequence[tuple[str, ...]], height: int, width: int) -> list[tuple[str, ...]]:
    return [*rows, *[("",) * width] * (height - len(rows))]


# Text


def _plain(words: str) -> str:
    """Without what could move a terminal's cursor, turn the direction of text, or not be encoded."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in words)


def _aligned(table: _Table) -> str:
    indented = [[f"  {row[0]}" if group else row[0], *row[1:]] for group, rows in table.groups for row in rows]
    total = [table.total] if table.total else []
    cells = [[_plain(cell) for cell in row] for row in [table.head, *indented, *total]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = iter([_line(row, widths, table.words) for row in cells])
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    out = [_plain(table.caption), "", next(lines), rule]
    for group, rows in table.groups:
        out += [group] if group else []
        out += [next(lines) for _ in rows]
    return "\n".join([*out, *([rule, next(lines)] if total else [])])


def _line(row: Row, widths: Sequence[int], words: Sequence[int]) -> str:
    cells = [
        c.ljust(width) if i in words else c.rjust(width) for i, (c, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


# Plots


@dataclass(frozen=True)
class _Theme:
    """Colours of one plot; those of the data are Okabe and Ito's, told apart by colour-blind readers."""

    paper: str
    ink: str
    faint: str
    groups: dict[str, str]


_LIGHT = _Theme(
    "#ffffff",
    "#1f2328",
    "#d5d9de",
    {"theory": "#009e73", "lossy": "#d55e00", "lossless": "#0072b2", "rivals": "#7a828a"},
)
_DARK = _Theme(
    "#1b1f24",
    "#e6e8ea",
    "#3a4149",
    {"theory": "#2fc79b", "lossy": "#f0883e", "lossless": "#56b4e9", "rivals": "#9aa3ac"},
)
_METADATA: dict[str, dict[str, None]] = {  # no dates and no versions: the same plot is the same file
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
_SERIES = (
    ("kl_bits", "lossy_file_bits", "o"),
    ("kl_bits", "archive_lossy_bits", "^"),
    ("negative_elbo_bits", "lossless_file_bits", "s"),
    ("negative_elbo_bits", "archive_lossless_bits", "D"),
)
_MOST_POINTS = 2000
"""A scatter plot of more is a blot: of more images, evenly spaced ones are shown."""


def _drawn(measurement: Measurement, panels: Sequence[_Panel], theme: _Theme, kind: str) -> bytes:
    """The panels side by side as a file of one kind, drawn by Agg without any display."""
    if kind not in _METADATA:
        raise VlaeError(f"plots are written as .png, .svg or .pdf, not {'.' + kind if kind else 'without a suffix'}")
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise VlaeError("plots need matplotlib: pip install 'vlae-codec[plot]'") from error
    out = io.BytesIO()
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_look(theme))
        _figure(measurement, panels, theme).savefig(out, format=kind, metadata=_METADATA[kind])
    return out.getvalue()


def _look(theme: _Theme) -> Any:
    inks = ("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.labelcolor", "ytick.labelcolor")
    papers = ("figure.facecolor", "savefig.facecolor", "axes.facecolor")
    faints = ("axes.edgecolor", "grid.color", "xtick.color", "ytick.color")
    colours = {
        **dict.fromkeys(inks, theme.ink),
        **dict.fromkeys(papers, theme.paper),
        **dict.fromkeys(faints, theme.faint),
    }
    plain = {"axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "legend.frameon": False}
    sizes = {
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "axes.titlepad": 10,
        "savefig.dpi": 144,
    }
    return {
        **colours,
        **plain,
        **sizes,
        **dict.fromkeys(("figure.constrained_layout.w_pad", "figure.constrained_layout.h_pad"), 0.12),
        "svg.hashsalt": "vlae-codec",
        "text.parse_math": False,  # a name may hold dollar signs
    }


def _figure(measurement: Measurement, panels: Sequence[_Panel], theme: _Theme) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2 * len(panels), 5.8), layout="constrained")
    for panel, axes in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
        panel.draw(axes, measurement, theme)
    return figure


def _hue(key: str, theme: _Theme) -> str:
    group = _group(key)
    if group != _GROUPS[1]:
        return theme.groups["theory" if group == _GROUPS[0] else "rivals"]
    return theme.groups["lossless" if "lossless" in key else "lossy"]


def _draw_spread(axes: Axes, measurement: Measurement, theme: _Theme) -> None:
    """A row for each column, groups apart: 5 % to 95 %, middle half, mean; a rival's payload is a diamond."""
    whole = [key for group in _GROUPS[:3] for key in _keys(measurement, group) if not key.endswith("_payload_bits")]
    rows = [i + 0.6 * _GROUPS.index(_group(key)) for i, key in enumerate(whole)]
    for row, key in zip(rows, whole, strict=True):
        hue, payload = _hue(key, theme), measurement.mean(key.removesuffix("_bits") + "_payload_bits")
        _draw_row(axes, row, measurement.per_image[key], hue, theme)
        if payload is not None:
            axes.plot([payload], [row], "D", ms=6, mfc=theme.paper, mec=hue, mew=1.4, zorder=5)
    axes.set_yticks(rows, [_title(key) for key in whole])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    _log_axis(axes, "x")
    axes.grid(axis="x", lw=0.8)
    axes.tick_params(axis="y", length=0)
    axes.set(title="What one image costs", xlabel="bits an image (logarithmic)")
    _spread_legend(axes, theme)


def _draw_row(axes: Axes, row: float, column: Column, hue: str, theme: _Theme) -> None:
    mean = float(column.mean())
    low, left, right, high = np.maximum(np.percentile(column, [5, 25, 75, 95]), 1.0)  # the axis is logarithmic
    axes.plot([low, high], [row, row], color=hue, lw=1.8, solid_capstyle="butt", zorder=2)
    axes.plot([left, right], [row, row], color=hue, lw=8, solid_capstyle="butt", zorder=3)
    axes.plot([max(mean, 1.0)], [row], "o", ms=5.5, mfc=theme.paper, mec=hue, mew=1.6, zorder=4)
    label, end = _number(mean, 1 if mean < 100 else 0), max(high, mean)
    axes.annotate(label, (end, row), (8, 0), textcoords="offset points", va="center", fontsize=9)


def _spread_legend(axes: Axes, theme: _Theme) -> None:
    from matplotlib.lines import Line2D

    grey = theme.groups["rivals"]
    hollow: dict[str, Any] = {"ls": "", "mfc": theme.paper, "mew": 1.5}
    marks = [
        Line2D([], [], color=grey, lw=1.8, label="90 % of images"),
        Line2D([], [], color=grey, lw=8, label="middle half"),
        Line2D([], [], color=grey, marker="o", label="mean", **hollow),
        Line2D([], [], color=grey, marker="D", label="mean payload, no container", **hollow),
    ]
    axes.figure.legend(handles=marks, loc="outside lower left", ncols=4, fontsize=9, handlelength=1.4)


def _draw_scatter(axes: Axes, measurement: Measurement, theme: _Theme) -> None:
    """A mark for each image: theory across, file up; on the diagonal a file costs what the theory says."""
    pick = np.unique(np.linspace(0, measurement.images - 1, _MOST_POINTS).astype(int))
    seen: list[Column] = []
    for bound, key, marker in _SERIES:
        if bound in measurement.per_image and key in measurement.per_image:
            x, y = (np.maximum(measurement.per_image[name][pick], 1.0) for name in (bound, key))
            hue, archive = _hue(key, theme), key.startswith("archive_")
            face, edge = ("none", 0.9) if archive else (hue, 0.0)
            axes.plot(x, y, marker, ms=4, mfc=face, mec=hue, mew=edge, alpha=0.6, label=_title(key))
            seen += [x, y]
    _draw_diagonal(axes, np.concatenate(seen or [np.ones(1)]), theme)
    axes.set(title="Theory and file, image by image")
    axes.set(xlabel="theory, bits: KL for lossy, −ELBO for lossless", ylabel="file, bits")
    axes.grid(lw=0.8)
    if seen:
        axes.legend(loc="lower right", fontsize=9, markerscale=1.6)  # below the diagonal there are few files


def _draw_diagonal(axes: Axes, seen: Column, theme: _Theme) -> None:
    """Both axes over what is seen, and the line on which file and theory agree."""
    low, high = seen.min() / 1.3, seen.max() * 1.3
    axes.plot([low, high], [low, high], color=theme.ink, lw=1, zorder=1)
    middle = math.sqrt(low * high)
    turned: dict[str, Any] = {"rotation": 45.0, "rotation_mode": "anchor"}
    axes.annotate(
        "file = theory", (middle, middle), (7, -7), textcoords="offset points", ha="center", va="top", **turned
    )
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    for direction in ("x", "y"):
        _log_axis(axes, direction)


def _log_axis(axes: Axes, direction: str) -> None:
    """Logarithmic, with numbers as people write them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis = axes.xaxis if direction == "x" else axes.yaxis
    (axes.set_xscale if direction == "x" else axes.set_yscale)("log")
    axis.set_major_locator(LogLocator(10, (1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axis.set_minor_formatter(NullFormatter())
    axis.set_tick_params(which="minor", length=0)


@dataclass(frozen=True)
class _Panel:
    """One plot: what it is called where it cannot be seen, and how it is drawn."""

    caption: str
    draw: Callable[[Axes, Measurement, _Theme], None]


_PANELS = (
    _Panel(
        "How many bits images cost: a thin line spans 90 % of them, a bar the middle half, dot and number the mean.",
        _draw_spread,
    ),
    _Panel(
        "Each mark is one image. Marks on the line cost what the theory says; the distance above it is the coding gap.",
        _draw_scatter,
    ),
)


# HTML


def _safe(words: str) -> str:
    return escape(_plain(words))


def _section(title: str, parts: Iterable[str]) -> str:
    inside = "\n".join(part for part in parts if part)
    return f"<section><h2>{title}</h2>\n{inside}\n</section>" if inside else ""


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{_safe(line)}</li>" for line in lines) + "</ul>"


def _tiles(measurement: Measurement) -> str:
    """The figures to remember."""
    keys = ["lossy_file_bits", "lossless_file_bits", "archive_lossy_bits", "archive_lossless_bits"]
    rivals = [key for key in _keys(measurement, "Rivals") if not key.endswith("_payload_bits")]
    best = min(rivals, key=lambda key: float(measurement.per_image[key].mean()), default="")
    labels = {best: f"{_title(best)}, the smallest rival file"}
    tiles = [
        f"<li><b>{_number(mean / 8, 1)}</b><span>bytes an image</span><br>{_safe(labels.get(key, _title(key)))}</li>"
        for key in [*keys, best]
        if (mean := measurement.mean(key)) is not None
    ]
    return f'<ul class="tiles">{"".join(tiles)}</ul>' if tiles else ""


def _warning(measurement: Measurement) -> str:
    head, _, rest = _RESAMPLED.partition(":")
    facts = " ".join(_facts(measurement))
    return f'<p class="warning"><strong>{_safe(head)}:</strong>{_safe(rest)} {_safe(facts)}</p>'


def _sheet(caption: str, data: bytes) -> str:
    image = f'<img class="pixels" src="{_data_uri(data)}" alt="{_safe(caption)}">'
    return f"<figure>{image}<figcaption>{_safe(caption)}</figcaption></figure>"


def _plots(measurement: Measurement) -> str:
    try:
        return '<div class="plots">' + "".join(_plot_figure(measurement, panel) for panel in _PANELS) + "</div>"
    except VlaeError as error:  # the numbers are worth a page without them
        return f"<p>There are no plots here: {_safe(str(error))}</p>"


def _plot_figure(measurement: Measurement, panel: _Panel) -> str:
    light, dark = (_data_uri(_drawn(measurement, [panel], theme, "png")) for theme in (_LIGHT, _DARK))
    source = f'<source media="screen and (prefers-color-scheme: dark)" srcset="{dark}">'
    image = f'<img src="{light}" alt="{_safe(panel.caption)}">'
    return f"<figure><picture>{source}{image}</picture><figcaption>{_safe(panel.caption)}</figcaption></figure>"


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + b64encode(png).decode("ascii")


def _html_table(table: _Table) -> str:
    head = "".join(f'<th scope="col"{_kind(table, i)}>{_safe(cell)}</th>' for i, cell in enumerate(table.head))
    parts = [f"<caption>{_safe(table.caption)}</caption><thead><tr>{head}</tr></thead>"]
    for group, rows in table.groups:
        span = f'<tr><th class="group" scope="rowgroup" colspan="{len(table.head)}">{_safe(group)}</th></tr>'
        parts.append(f"<tbody>{span if group else ''}{''.join(_html_row(table, row) for row in rows)}</tbody>")
    if table.total:
        parts.append(f"<tfoot>{_html_row(table, table.total)}</tfoot>")
    return f'<div class="scroll"><table>{"".join(parts)}</table></div>'


def _html_row(table: _Table, row: Row) -> str:
    first = f'<th scope="row">{_safe(row[0])}</th>'
    return f"<tr>{first}{''.join(f'<td{_kind(table, i)}>{_safe(row[i])}</td>' for i in range(1, len(row)))}</tr>"


def _kind(table: _Table, column: int) -> str:
    return ' class="words"' if column in table.words else ""


def _glossary() -> str:
    return "<dl>" + "".join(f"<dt>{_safe(word)}</dt><dd>{_safe(said)}</dd>" for word, said in _WORDS.items()) + "</dl>"


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
    "Coding gap": "What a file costs above the theory: headers, checks, whole bytes, and choices that were not perfect. "
    "The tables call it “above theory”. A lossy file is held against the KL alone; it can fall below "
    "it where a cheaper code was taken that fits the image a little less.",
    "Payload": "A rival's file without what merely frames it, such as signatures, sizes and checksums. "
    "That is kinder to the rival than any file it can write.",
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
