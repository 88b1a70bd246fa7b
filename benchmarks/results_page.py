"""RESULTS.md and its figures in `docs/figures`, from `results/systems/*.json` alone.

python benchmarks/results_page.py            # rewrite
python benchmarks/results_page.py --check    # exit 1 if RESULTS.md is not what the files make of it
"""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from systems import (
    CLAIMS,
    DATA_SETS,
    ROOT,
    SYSTEMS,
    TARGETS,
    WINDOWS,
    DataSet,
    System,
    Table,
    Target,
    best_nll_nats,
    read,
    unpack_fields,
    unpack_nats,
)
from tables import markdown

from vlae_codec.models import config as configs
from vlae_codec.models.config import Config
from vlae_codec.models.evaluate import standard_error
from vlae_codec.pixels import Drawing, contact_sheet, png_bytes

PAGE = ROOT / "RESULTS.md"
FIGURES = ROOT / "docs" / "figures"
_ACROSS = 8  # originals in a row of a sheet
_SHEET_ROWS = 4
_LN2 = math.log(2)

INTRODUCTION = """# The paper's systems, trained here

What Chen et al. 2016 (arXiv 1611.02731) built and measured, trained and measured by `python benchmarks/reproduce.py
--data DIR` on two CPU cores; this page is made by `python benchmarks/results_page.py` from `results/systems/*.json`.

Systems of one data set see the same test images, all of them. NLL is importance-sampled with 128 samples (without
latents it is exact); ± is its standard error over the images, which mostly says that images differ: two systems are
told apart by their paired differences, below. "4096" adds the mean paired difference between 4096 and 128 samples on a
fixed random 1,000 images. −ELBO = KL + distortion. All are in nats unless said otherwise. *Read* is the share of re-
sampled images (z from the posterior, pixels anew) that a classifier still reads as what they were, out of 1,000; of the
originals it reads as many as the heading says, and *kept* is the share of those alone. Epochs are of all rounds; hours
are wall-clock hours of one or two threads, often beside other work. A dash: not trained yet.

Each was trained once, from one seed. Schedules and regularisation were settled beforehand or on validation images, but
for the later rounds of `mnist`, `mnist-dynamic` and `omniglot`: that these exist, and their dropout and size, was decided
by figures of test images ([docs/training.md](docs/training.md)), as was which of the first two is the codec's default.
"""


def write_page() -> None:
    """Writes RESULTS.md and its figures."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    for name, drawn in figures():
        (FIGURES / name).write_bytes(drawn)
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """RESULTS.md."""
    parts = [INTRODUCTION, targets(), *map(section, DATA_SETS), claims(), windows(), pictures()]
    return "\n".join(part for part in parts if part)


def section(data_set: DataSet) -> str:
    """One data set: our systems, then what was published of others."""
    rates = ["NLL", "4096", "−ELBO", "KL", "KL, bits", "distortion"]
    header = ["system", "trained on", "epochs", "hours", *rates, "read", "kept", "paper: NLL"]
    rows = [row(system) for system in data_set.systems]
    rows += [[f"*published: {name}*"] + [""] * (len(header) - 2) + [nats] for name, nats in data_set.published]
    rounded = [system for system in data_set.systems if (read(system.name) or {}).get("weights") == "16 bits"]
    weights = (
        f"Measured with the 16-bit weights that ship: {', '.join(one.what for one in rounded)}." if rounded else ""
    )
    known = [table for system in data_set.systems if (table := read(system.name)) and table["reading"]]
    right = f"Originals read right: {known[0]['reading']['originals_right']:.1%}." if known else ""
    compared = [read(one.name) or {} for one in data_set.systems if one.paper_nats is not None]
    draws = [found["draw_nats_se"] for found in compared if found.get("draw_nats_se")]
    draw = (
        "All of ours see the same draw of the binarisations, the paper's was another: for that alone each mean is uncertain "
        f"by {max(draws):.2f} nats when compared with the paper's."
        if draws
        else ""
    )
    notes = " ".join(filter(None, (data_set.note, draw, right, weights)))
    return "\n\n".join(filter(None, (f"## {data_set.title}", notes, markdown(header, rows)))) + "\n"


def row(system: System) -> list[str]:
    """One system of a table."""
    paper = "" if system.paper_nats is None else f"{system.paper_nats:.2f}"
    found, rounds = read(system.name), planned(system.experiment)
    made = [system.what, " + ".join(rounds[-1].data.parts), str(sum(config.train.epochs for config in rounds))]
    if found is None:
        return [*made, *["–"] * 9, paper]
    reading = found["reading"] or {}
    return [
        *made,
        f"{found['hours']:.1f}",
        f"{found['nll_nats']:.2f} ± {found['nll_nats_se']:.2f}",
        f"{best_nll_nats(found):.2f}" if found["paired_images"] else "",
        f"{-found['elbo_nats']:.2f}",
        f"{found['kl_nats']:.2f}",
        f"{found['kl_bits']:.1f}",
        f"{found['distortion_nats']:.2f}",
        f"{reading['resampled_right']:.1%}" if reading else "",
        f"{reading['kept']:.1%} ± {reading['kept_se']:.1%}" if "kept" in reading else "",
        paper,
    ]


def planned(experiment: str) -> list[Config]:
    """The rounds of an experiment, the first first."""
    config = configs.load(configs.locate(Path(experiment)))
    return [*(planned(config.train.initial) if config.train.initial else []), config]


def targets() -> str:
    """What was aimed at, and whether it was reached."""
    header = ["aim", "limit", "here", ""]
    text = "What was tried for those that were not reached stands in [docs/training.md](docs/training.md)."
    return f"## Aims\n\n{markdown(header, [_target_row(target) for target in TARGETS])}\n\n{text}\n"


def _target_row(target: Target) -> list[str]:
    limit = f"{'> ' if target.above else '≤ ' if target.key == 'kl_bits' else '< '}{target.limit:g}"
    tables = [read(name) for name in (target.system, target.other) if name]
    if None in tables:
        return [target.what, limit, "–", ""]
    values = [best_nll_nats(table) if target.key == "nll_nats" else table[target.key] for table in tables if table]
    value = values[0] - sum(values[1:])
    reached = value > target.limit if target.above else value < target.limit
    return [target.what, limit, f"{value:.2f}", "reached" if reached else "not reached"]


def claims() -> str:
    """What the paper orders, and what came out here, on the same images."""
    rows = []
    for claim, first, second in CLAIMS:
        tables = read(first), read(second)
        if tables[0] is None or tables[1] is None:
            rows.append([claim, "–", "–"])
            continue
        difference = np.subtract(*(unpack_nats(table["image_nll"]) for table in tables if table))
        fewer = [table["paired_difference_nats"] for table in tables if table]
        mean = float(difference.mean()) + fewer[0] - fewer[1]
        error = math.hypot(
            standard_error(difference), *(table["paired_difference_nats_se"] for table in tables if table)
        )
        verdict = "holds" if mean < -2 * error else "does not hold" if mean > 2 * error else "cannot be told"
        rows.append([claim, f"{mean:+.2f} ± {error:.2f}", verdict])
    header = ["NLL of the first less that of the second, same images, same budget", "nats", "here"]
    text = (
        "With 128 samples of all images, and the mean paired difference to 4096; ± is of the images, for one training "
        "run each. Without latents the NLL is exact, which favours the PixelCNN alone."
    )
    return f"## The paper's orderings\n\n{text}\n\n{markdown(header, rows)}\n"


def windows() -> str:
    """What goes to z as the PixelCNN's window grows (Section 3.1 of the paper)."""
    known = [(layers, table) for name, layers in WINDOWS if (table := read(name))]
    if len(known) < 2:
        return ""
    rows = [
        [layers, f"{t['kl_bits']:.1f}", f"{t['distortion_bits']:.1f}", f"{t['reading']['resampled_right']:.1%}"]
        for layers, t in known
    ]
    table = markdown(["masked layers", "KL, bits", "distortion, bits", "read"], rows)
    text = (
        "What the window holds, the PixelCNN models; what is beyond it must go through z. The window is the knob of the "
        "code's length."
    )
    picture = "![KL and distortion by window](docs/figures/windows.svg)"
    return f"## What goes to z, by window\n\n{text}\n\n{table}\n\n{picture}\n"


def pictures() -> str:
    """The figures that are not of one section."""
    lines = ["## Figures", ""]
    for name, caption in (
        ("latents.svg", "KL of each latent dimension, sorted (of flows only the sum is one)"),
        ("curves.svg", "Learning curves: ELBO of held-out or else training images"),
    ):
        if (FIGURES / name).exists():
            lines += [f"{caption}:", "", f"![{caption}](docs/figures/{name})", ""]
    for system in SYSTEMS.values():
        if system.resampled and read(system.name):
            name = system.name
            lines += [
                f"**{name}** ({system.what}): originals, each beside two re-samplings; then samples of the prior.",
                "",
            ]
            lines += [f"![re-samplings](docs/figures/resampled-{name}.png)", ""]
            lines += [f"![samples](docs/figures/samples-{name}.png)", ""]
            if (FIGURES / f"changed-{name}.png").exists():
                lines += ["Originals that the classifier reads right, each beside a re-sampling that it does not:", ""]
                lines += [f"![changed](docs/figures/changed-{name}.png)", ""]
    return "\n".join(lines)


def figures() -> Iterator[tuple[str, bytes]]:
    """(file name, its bytes) of every figure that there are data for."""
    found = {name: table for name in SYSTEMS if (table := read(name))}
    for name, table in found.items():
        if SYSTEMS[name].resampled:
            yield f"resampled-{name}.png", _resampled(table["sheet"])
            yield f"samples-{name}.png", _samples(table)
            if changed := (table["reading"] or {}).get("changed"):
                yield f"changed-{name}.png", _resampled(changed)
    if any(table["latent_kl_nats"] for table in found.values()):
        yield "latents.svg", _latents(found)
        yield "curves.svg", _curves(found)
    known = [(layers, found[name]) for name, layers in WINDOWS if name in found]
    if len(known) > 1:
        yield "windows.svg", _windows(known)


def _resampled(sheet: Table) -> bytes:
    columns = [_drawings(sheet["originals"]), *map(_drawings, sheet["resamplings"])]
    groups = list(zip(*columns, strict=True))[: _ACROSS * _SHEET_ROWS]
    rows = [[one for group in groups[i : i + _ACROSS] for one in group] for i in range(0, len(groups), _ACROSS)]
    return png_bytes(contact_sheet(rows, scale=1, group=len(columns)))


def _samples(table: Table) -> bytes:
    drawn = _drawings(table["sheet"]["samples"])
    return png_bytes(contact_sheet([drawn[i : i + 20] for i in range(0, len(drawn), 20)], scale=1))


def _drawings(text: str) -> list[Drawing]:
    return [Drawing(bits) for bits in unpack_fields(text)]


def _latents(found: dict[str, Table]) -> bytes:
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for name, table in found.items():
        model = planned(SYSTEMS[name].experiment)[-1].model
        flows = model.prior == "flow" or model.posterior == "iaf"  # of theirs only the sum is a KL
        if table["latent_kl_nats"] and not name.startswith("window") and not flows:
            axes.plot(np.sort(table["latent_kl_nats"])[::-1] / _LN2, marker=".", lw=1, label=name)
    axes.set(xlabel="latent dimension, by rank", ylabel="KL, bits")
    axes.legend(fontsize="small", ncols=2)
    return _svg(figure)


def _curves(found: dict[str, Table]) -> bytes:
    figure = Figure(figsize=(10, 7), layout="constrained")
    panels = figure.subplots(2, 2).flat
    for axes, data_set in zip(panels, DATA_SETS, strict=True):
        for system in data_set.systems:
            curve = found.get(system.name, {}).get("curve", [])
            values = [(line["epoch"], line.get("valid_elbo_nats", line["train_elbo_nats"])) for line in curve]
            if values:
                axes.plot(*np.transpose(values), lw=1, label=system.name)
        axes.set(title=data_set.title, xlabel="epoch of the last round", ylabel="ELBO, nats")
        if axes.lines:
            last = [line.get_ydata()[-1] for line in axes.lines]
            axes.set_ylim(min(last) - 8, max(last) + 1)
            axes.legend(fontsize="x-small")
    return _svg(figure)


def _windows(known: list[tuple[str, Table]]) -> bytes:
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    places, labels = np.arange(len(known)), [layers for layers, _ in known]
    for axes, key, what in zip(
        figure.subplots(1, 2), ("kl_bits", "distortion_bits"), ("KL", "distortion"), strict=True
    ):
        axes.plot(places, [table[key] for _, table in known], marker="o")
        axes.set(xlabel="masked layers of the window", ylabel=f"{what}, bits", ylim=(0, None))
        axes.set_xticks(places, labels)
    return _svg(figure)


def _svg(figure: Figure) -> bytes:
    """The same figure is the same file: no date, no random names."""
    out = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "vlae", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


if __name__ == "__main__":
    if "--check" in sys.argv:
        raise SystemExit(PAGE.read_text(encoding="utf-8") != page())
    write_page()
