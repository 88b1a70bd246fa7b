"""Two plots of a `Measurement`: what images cost, and how far files are from the theory. The one door to matplotlib.

Numbers go in, bytes of a PNG, SVG or PDF come out, the same bytes each time. matplotlib is imported only to draw: pages
and tables do without it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlae_codec import files
from vlae_codec.errors import VlaeError

from .tables import GROUPS, Column, Measurement, group_of, keys_of, number, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot(measurement: Measurement, path: Path, force: bool = False) -> None:
    """Both panels side by side, as PNG, SVG or PDF by the path's suffix.

    Raises:
        VlaeError: matplotlib is missing, the suffix is none of these, or the file exists and `force` is not set.
    """
    files.write(path, drawn(measurement, PANELS, LIGHT, check(path)), force)


def check(path: Path) -> str:
    """The kind of file that a plot at `path` is, "png", "svg" or "pdf": refuses early what `plot` would.

    Raises:
        VlaeError: matplotlib is missing, or the suffix is none of these.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in _METADATA:
        raise VlaeError(f"plots are written as .png, .svg or .pdf, not {'.' + kind if kind else 'without a suffix'}")
    _matplotlib()
    return kind


@dataclass(frozen=True)
class Theme:
    """Colours of one plot; those of the data are Okabe and Ito's, told apart by colour-blind readers."""

    paper: str
    ink: str
    faint: str
    groups: dict[str, str]


LIGHT = Theme(
    "#ffffff",
    "#1f2328",
    "#d5d9de",
    {"theory": "#009e73", "lossy": "#d55e00", "lossless": "#0072b2", "baselines": "#7a828a"},
)
DARK = Theme(
    "#1b1f24",
    "#e6e8ea",
    "#3a4149",
    {"theory": "#2fc79b", "lossy": "#f0883e", "lossless": "#56b4e9", "baselines": "#9aa3ac"},
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


def drawn(measurement: Measurement, panels: Sequence[Panel], theme: Theme, kind: str) -> bytes:
    """The panels side by side as a file of one kind, "png", "svg" or "pdf", drawn by Agg without any display.

    Raises:
        VlaeError: matplotlib is missing.
    """
    return _saved(lambda: _figure(measurement, panels, theme), theme, kind)


def _saved(make: Callable[[], Figure], theme: Theme, kind: str) -> bytes:
    """A figure that is drawn as a theme looks, and nobody's settings."""
    mpl, out = _matplotlib(), io.BytesIO()
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_look(theme))
        make().savefig(out, format=kind, metadata=_METADATA[kind])
    return out.getvalue()


@dataclass(frozen=True)
class Series:
    """A curve: rates, bits a pixel, and what is measured at each."""

    name: str
    rates: Sequence[float]
    values: Sequence[float]
    ours: bool


def curves(series: Sequence[Series], what: str, theme: Theme) -> bytes:
    """Curves of quality over rate, ours thicker than others, as PNG.

    Raises:
        VlaeError: matplotlib is missing.
    """
    return _saved(lambda: _curves(series, what, theme), theme, "png")


def _curves(series: Sequence[Series], what: str, theme: Theme) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 5.0), layout="constrained")
    axes = figure.subplots()
    hues, marks = iter([theme.groups["lossy"], theme.groups["lossless"]]), iter("sD^vPX*")
    for one in series:
        if one.ours:
            axes.plot(one.rates, one.values, "o-", color=next(hues), lw=2.2, ms=4, label=one.name, zorder=3)
        else:
            axes.plot(
                one.rates, one.values, f"{next(marks)}-", color=theme.groups["baselines"], lw=1, ms=4, label=one.name
            )
    _log_axis(axes, "x", "{:g}")
    axes.set(xlabel="bits a pixel (logarithmic)", ylabel=what, title=what)
    axes.grid(lw=0.8)
    axes.legend(loc="lower right", fontsize=9)
    return figure


def _matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise VlaeError("plots need matplotlib: pip install 'vlae-codec[plot]'") from error
    return matplotlib


def _look(theme: Theme) -> Any:
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


def _figure(measurement: Measurement, panels: Sequence[Panel], theme: Theme) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2 * len(panels), 5.8), layout="constrained")
    for panel, axes in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
        panel.draw(axes, measurement, theme)
    return figure


def _hue(key: str, theme: Theme) -> str:
    group = group_of(key)
    if group != GROUPS[1]:
        return theme.groups["theory" if group == GROUPS[0] else "baselines"]
    return theme.groups["lossless" if "lossless" in key else "lossy"]


def _draw_spread(axes: Axes, measurement: Measurement, theme: Theme) -> None:
    """A row for each column, groups apart: 5 % to 95 %, middle half, mean; a baseline's payload is a diamond."""
    costs = [key for group in GROUPS[:3] for key in keys_of(measurement, group)]
    whole = [
        key for key in costs if not key.endswith("_payload_bits") and key != "coding_gap_bits"
    ]  # a gap is not a cost
    rows = [i + 0.6 * GROUPS.index(group_of(key)) for i, key in enumerate(whole)]
    for row, key in zip(rows, whole, strict=True):
        hue, payload = _hue(key, theme), measurement.mean(key.removesuffix("_bits") + "_payload_bits")
        _draw_row(axes, row, measurement.per_image[key], hue, theme)
        if payload is not None:
            axes.plot([payload], [row], "D", ms=6, mfc=theme.paper, mec=hue, mew=1.4, zorder=5)
    axes.set_yticks(rows, [title_of(key) for key in whole])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    _log_axis(axes, "x")
    axes.grid(axis="x", lw=0.8)
    axes.tick_params(axis="y", length=0)
    axes.set(title="What one image costs", xlabel="bits an image (logarithmic)")
    _spread_legend(axes, theme)


def _draw_row(axes: Axes, row: float, column: Column, hue: str, theme: Theme) -> None:
    mean = float(column.mean())
    low, left, right, high = np.maximum(np.percentile(column, [5, 25, 75, 95]), 1.0)  # the axis is logarithmic
    axes.plot([low, high], [row, row], color=hue, lw=1.8, solid_capstyle="butt", zorder=2)
    axes.plot([left, right], [row, row], color=hue, lw=8, solid_capstyle="butt", zorder=3)
    axes.plot([max(mean, 1.0)], [row], "o", ms=5.5, mfc=theme.paper, mec=hue, mew=1.6, zorder=4)
    label, end = number(mean, 1 if mean < 100 else 0), max(high, mean)
    axes.annotate(label, (end, row), (8, 0), textcoords="offset points", va="center", fontsize=9)


def _spread_legend(axes: Axes, theme: Theme) -> None:
    from matplotlib.lines import Line2D

    grey = theme.groups["baselines"]
    hollow: dict[str, Any] = {"ls": "", "mfc": theme.paper, "mew": 1.5}
    marks = [
        Line2D([], [], color=grey, lw=1.8, label="90 % of images"),
        Line2D([], [], color=grey, lw=8, label="middle half"),
        Line2D([], [], color=grey, marker="o", label="mean", **hollow),
        Line2D([], [], color=grey, marker="D", label="mean payload, no container", **hollow),
    ]
    axes.figure.legend(handles=marks, loc="outside lower left", ncols=4, fontsize=9, handlelength=1.4)


def _draw_scatter(axes: Axes, measurement: Measurement, theme: Theme) -> None:
    """A mark for each image: theory across, file up; on the diagonal a file costs what the theory says."""
    pick = np.unique(np.linspace(0, measurement.images - 1, _MOST_POINTS).astype(int))
    seen: list[Column] = []
    for bound, key, marker in _SERIES:
        if bound in measurement.per_image and key in measurement.per_image:
            x, y = (np.maximum(measurement.per_image[name][pick], 1.0) for name in (bound, key))
            hue, archive = _hue(key, theme), key.startswith("archive_")
            face, edge = ("none", 0.9) if archive else (hue, 0.0)
            axes.plot(x, y, marker, ms=4, mfc=face, mec=hue, mew=edge, alpha=0.6, label=title_of(key))
            seen += [x, y]
    _draw_diagonal(axes, np.concatenate(seen or [np.ones(1)]), theme)
    axes.set(title="Theory and file, image by image")
    axes.set(xlabel="theory, bits: KL for lossy, −ELBO for lossless", ylabel="file, bits")
    axes.grid(lw=0.8)
    if seen:
        axes.legend(loc="lower right", fontsize=9, markerscale=1.6)  # below the diagonal there are few files


def _draw_diagonal(axes: Axes, seen: Column, theme: Theme) -> None:
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


_MARKS: tuple[tuple[float, tuple[int, ...]], ...] = ((1.8, (1, 2, 5)), (3.0, (1, 3)))
"""Up to so many powers of ten along an axis, which of its numbers are written out: more would be printed over each other."""


def _log_axis(axes: Axes, direction: str, form: str = "{:,.0f}") -> None:
    """Logarithmic, with numbers as people write them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis = axes.xaxis if direction == "x" else axes.yaxis
    (axes.set_xscale if direction == "x" else axes.set_yscale)("log")
    low, high = axis.get_view_interval()
    decades = math.log10(max(high, 1e-9) / max(low, 1e-9))
    axis.set_major_locator(LogLocator(10, next((marks for most, marks in _MARKS if decades <= most), (1,))))
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value / 1e6:,.0f} M" if value >= 1e6 else form.format(value))
    )
    axis.set_minor_formatter(NullFormatter())
    axis.set_tick_params(which="minor", length=0)


@dataclass(frozen=True)
class Panel:
    """One plot: what it is called where it cannot be seen, and how it is drawn."""

    caption: str
    draw: Callable[[Axes, Measurement, Theme], None]


PANELS = (
    Panel(
        "How many bits images cost: a thin line spans 90 % of them, a bar the middle half, dot and number the mean.",
        _draw_spread,
    ),
    Panel(
        "Each mark is one image. Marks on the line cost what the theory says; how far above it they lie is what files add.",
        _draw_scatter,
    ),
)
