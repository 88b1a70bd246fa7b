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
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from systems import (
    CLAIMS,
    DATA_SETS,
    IDLE_NATS,
    MNIST_WINDOWS,
    OMNIGLOT_WINDOWS,
    RELATIONS,
    ROOT,
    SEEDS,
    SYSTEMS,
    TARGETS,
    DataSet,
    System,
    Table,
    Target,
    best_nll,
    read,
    unpack_fields,
)
from tables import markdown

from vlae_codec.models import config as configs
from vlae_codec.models import data
from vlae_codec.models.config import Config
from vlae_codec.models.families import RELEASED
from vlae_codec.picture.drawing import Drawing
from vlae_codec.picture.images import png_bytes
from vlae_codec.picture.sheets import contact_sheet

PAGE = ROOT / "RESULTS.md"
FIGURES = ROOT / "docs" / "figures"
_ACROSS = 8  # originals in a row of a sheet
_SHEET_ROWS = 4
_LN2 = math.log(2)
_WINDOWS_FIGURE = "docs/figures/windows.svg"

INTRODUCTION = """# The paper's systems, trained here

What Chen et al. 2016 (arXiv 1611.02731) built and measured, trained and measured by `python benchmarks/reproduce.py
--data DIR` on two CPU cores; this page is made by `python benchmarks/results_page.py` from `results/systems/*.json`.

Systems of one data set see the same test images, all of them. NLL is importance-sampled with 128 samples (without
latents it is exact); *to 4096* is the mean paired difference between 4096 and 128 samples on a fixed random 1,000 images,
and *NLL, 4096* their sum, which is what compares with the paper's NLL. −ELBO = KL + distortion. All are in nats unless
said otherwise. ± is the standard error over the images, which mostly says that images differ: two systems are told apart
by their paired differences, below. *Read* is the share of re-sampled images (z from the posterior, pixels anew) that a
classifier still reads as what they were, out of 1,000; of the originals it reads as many as the heading says, and *kept*
is the share of those alone. Epochs are of all rounds; hours are wall-clock hours of one or two threads, often beside other
work.{dash}

The networks are not quite the paper's: encoder and decoder work at 14×14 instead of 28×28; the PixelCNN has 16
channels, or 32 in `mnist-dynamic-5` and the rounds after it (the paper's has 12, in layers that share their weights,
and four more blocks of 1×1 layers). Without latents, it is told of places by a context that is learned and the same for
all images, which helps it. Free bits are 0.01 nats per latent dimension, at most 0.64 in all, where the paper has 0.01
per data dimension, 7.8 in all; on OMNIGLOT and Caltech-101 the KL's weight rises at first, too. Training runs in
bfloat16. Rows of 40 epochs (MNIST), 100 (OMNIGLOT) and 200 (Caltech-101) are there to be compared with each other. Each
round of training was run once, from one seed, and two systems once more, from another. Schedules and regularisation
were settled beforehand or on validation images, of which OMNIGLOT has none; but for the later rounds, of more than
those epochs: that these exist, their dropout and size, and that images are warped, was decided by figures of test
images, of their own first rounds or of another system's ([docs/training.md](docs/training.md)), as was that
`mnist-dynamic` is the codec's default and not `mnist`.
"""
DASH = " A dash: not trained yet."
AIMS_NOTE = """± is of the images. Those of static MNIST and Caltech-101 are the paper's own, so that it says little
of how far it is to a limit that the paper reached on them. On dynamic MNIST the paper's draw of the binarisations was
another, which alone leaves ± {draw:.2f} open; ours is {below:.2f} below it, so that it cannot be told from the
paper's. It is the best of several below, and does not ship. Rounds were begun when the test figures of those
before were known, which flatters the last of them: on static MNIST they went {static}; on dynamic MNIST {dynamic}.
The difference on OMNIGLOT is of two second rounds; with the paper's prior it is {first} of first ones, and
{second} of second ones."""
_AIMED = "mnist-dynamic-7"
_STATIC_ROUNDS = "mnist-2", "mnist-3", "mnist-4"
_DYNAMIC_ROUNDS = "mnist-dynamic-2", "mnist-dynamic-3", "mnist-dynamic-4", "mnist-dynamic-7"
_FIRST = "omniglot-flow", "omniglot-unconditional"
_SECOND = "omniglot-flow-2", "omniglot-unconditional-2"


def write_page() -> None:
    """Writes RESULTS.md and its figures."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    for name, drawn in figures():
        (FIGURES / name).write_bytes(drawn)
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """RESULTS.md."""
    missing = any(read(name) is None for name in SYSTEMS)
    introduction = INTRODUCTION.format(dash=DASH if missing else "")
    parts = [introduction, targets(), *map(section, DATA_SETS), claims(), *windows(), pictures()]
    return "\n".join(part for part in parts if part)


def section(data_set: DataSet) -> str:
    """One data set: our systems, then what was published of others."""
    rates = ["NLL", "to 4096", "NLL, 4096", "−ELBO", "KL", "KL, bits", "distortion"]
    header = ["system", "trained on", "epochs", "hours", *rates, "read", "kept", "paper: NLL", "paper: KL, bits"]
    rows = [row(system) for system in data_set.systems]
    rows += [[f"*published: {name}*"] + [""] * (len(header) - 3) + [nats, ""] for name, nats in data_set.published]
    rounded = [f"`{one.experiment}`" for one in data_set.systems if (read(one.name) or {}).get("weights") == "16 bits"]
    weights = f"Measured with weights of 16 bits, as exported: {', '.join(rounded)}." if rounded else ""
    right = _originals_read(data_set)
    compared = [read(one.name) or {} for one in data_set.systems if one.paper_nats is not None]
    draws = [found["draw_nats_se"] for found in compared if found.get("draw_nats_se")]
    draw = (
        "All of ours see the same draw of the binarisations, the paper's was another: for that alone, the difference of a "
        f"mean of ours to one of the paper's has a standard error of up to {math.sqrt(2) * max(draws):.2f} nats."
        if draws
        else ""
    )
    notes = " ".join(filter(None, (data_set.note, draw, right, weights)))
    return "\n\n".join(filter(None, (f"## {data_set.title}", notes, markdown(header, rows)))) + "\n"


def _originals_read(data_set: DataSet) -> str:
    """How many of the originals the classifier reads; if it was trained more than once, whom each but the first read."""
    readers: dict[str, list[str]] = {}
    for system in data_set.systems:
        if reading := (read(system.name) or {}).get("reading"):
            readers.setdefault(f"{reading['originals_right']:.1%}", []).append(f"`{system.experiment}`")
    first, *others = sorted(readers, key=lambda share: -len(readers[share])) or [""]
    rest = [
        f"{share} by another training of the classifier, which read {', '.join(readers[share])}" for share in others
    ]
    return f"Originals read right: {'; '.join([first, *rest])}." if first else ""


def row(system: System) -> list[str]:
    """One system of a table."""
    name = f"[`{system.experiment}`](models/experiments/{system.experiment}.toml) {system.what}"
    paper = [
        "" if system.paper_nats is None else f"{system.paper_nats:.2f}",
        "" if system.paper_kl_nats is None else f"{system.paper_kl_nats / _LN2:.1f}",
    ]
    found = read(system.name)
    rounds = rounds_of(system, found)
    parts = ", then ".join(dict.fromkeys(" + ".join(config.data.parts) for config in rounds))
    if found is None:
        epochs = sum(config.train.epochs for config in rounds)
        return [name, parts, str(epochs), *["–"] * 10, *paper]
    reading = found["reading"] or {}
    return [
        name,
        parts,
        str(found["epochs"]),
        f"{found['hours']:.1f}",
        _with_error(found, "nll"),
        _with_error(found, "paired_difference", 3) if found["paired_images"] else "",
        "{:.2f} ± {:.2f}".format(*best_nll(found)) if found["paired_images"] else "",
        _with_error(found, "elbo", sign=-1),
        _with_error(found, "kl"),
        f"{found['kl_bits']:.1f}",
        _with_error(found, "distortion"),
        _share(reading, "resampled_right"),
        _share(reading, "kept"),
        *paper,
    ]


def _share(reading: Table, key: str) -> str:
    """A share of the images read, with its standard error; nothing if it was not measured."""
    return f"{reading[key]:.1%} ± {reading[f'{key}_se']:.1%}" if key in reading else ""


def _with_error(found: Table, key: str, places: int = 2, sign: int = 1) -> str:
    """A figure in nats, with its standard error where that was measured, too."""
    error = found.get(f"{key}_nats_se")
    shown = f"{sign * found[f'{key}_nats']:.{places}f}"
    return shown if error is None else f"{shown} ± {error:.{places}f}"


def rounds_of(system: System, found: Table | None) -> list[Config]:
    """The rounds of its training, the first first: as they were, if its figures say so, else as its experiment has them."""
    if rounds := (found or {}).get("rounds"):
        return [configs.round_from_dict(one).config for one in rounds]
    return planned(system.experiment)


def planned(experiment: str) -> list[Config]:
    """The rounds of an experiment, the first first."""
    config = configs.load(configs.locate(Path(experiment)))
    initial = config.train.initial
    if initial.startswith(RELEASED):
        initial = next(one.experiment for one in SYSTEMS.values() if one.released == initial.removeprefix(RELEASED))
    return [*(planned(initial) if initial else []), config]


def targets() -> str:
    """What was aimed at, and whether it was reached."""
    rows = [*map(_target_row, TARGETS)]
    text = "What was tried for those that were not reached, and how far more of it would go, stands in "
    missed = any(line[-1] == "not reached" for line in rows)
    parts = [
        "## Aims",
        markdown(["aim", "limit", "system", "here", ""], rows),
        _aims_note(),
    ]
    return "\n\n".join(filter(None, parts + [f"{text}[docs/training.md](docs/training.md)."] * missed)) + "\n"


def _aims_note() -> str:
    """AIMS_NOTE with its figures, if all were measured."""
    found = {name: read(name) for name in (_AIMED, *_STATIC_ROUNDS, *_DYNAMIC_ROUNDS, *_FIRST, *_SECOND)}
    if None in found.values():
        return ""

    def less(first: str, second: str) -> str:
        return "{:.2f} ± {:.2f}".format(*best_nll(found[first], found[second]))

    limit = next(one.limit for one in TARGETS if one.system == _AIMED)
    return AIMS_NOTE.format(
        draw=math.sqrt(2) * found[_AIMED]["draw_nats_se"],
        below=limit - best_nll(found[_AIMED])[0],
        static=", ".join(f"{best_nll(found[name])[0]:.2f}" for name in _STATIC_ROUNDS),
        dynamic=", ".join(f"{best_nll(found[name])[0]:.2f}" for name in _DYNAMIC_ROUNDS),
        first=less(*_FIRST),
        second=less(*_SECOND),
    )


def _target_row(target: Target) -> list[str]:
    limit = f"{target.relation} {target.limit:g}"
    named = " less ".join(f"`{name}`" for name in (target.system, target.other) if name)
    first, second = (read(name) if name else None for name in (target.system, target.other))
    if first is None or (target.other and second is None):
        return [target.what, limit, named, "–", ""]
    if target.key == "nll":
        value, error = best_nll(first, second)
    else:
        value, error = first[f"{target.key}_bits"], first.get(f"{target.key}_nats_se", math.nan) / _LN2
    reached = RELATIONS[target.relation](value, target.limit)
    shown = f"{value:.2f}" if math.isnan(error) else f"{value:.2f} ± {error:.2f}"
    return [target.what, limit, named, shown, "reached" if reached else "not reached"]


def claims() -> str:
    """What the paper orders, and what came out here, on the same images."""
    rows = []
    for claim in CLAIMS:
        paper = "" if claim.paper_nats is None else f"{claim.paper_nats:+.2f}"
        first, second = read(claim.first), read(claim.second)
        if first is None or second is None:
            rows.append([claim.what, "–", paper, "–"])
            continue
        if claim.key == "nll":
            mean, error = best_nll(first, second)
        else:
            mean = first[f"{claim.key}_nats"] - second[f"{claim.key}_nats"]
            error = math.hypot(*(table[f"{claim.key}_nats_se"] for table in (first, second)))
        verdict = "holds" if mean < -2 * error else "does not hold" if mean > 2 * error else "cannot be told"
        rows.append([claim.what, f"{mean:+.2f} ± {error:.2f}", paper, verdict])
    header = ["the first less the second, same images, same budget", "nats", "paper", "here"]
    text = (
        "NLL with 128 samples of all images and, where both files keep it by image, the mean paired difference to 4096; ± "
        f"is of the images, for one training run each, and of the KL it is not paired.{_seeds()} Without latents the NLL "
        "is exact, which favours the PixelCNN alone; of the others it is a bound, the looser the larger the KL, which "
        "favours a VLAE over the AF VAE. On dynamic MNIST the paper's VLAE is here that of its ablation (that of its "
        "Table 2 is 9.02 below its PixelCNN alone); that our difference is the larger says that our PixelCNN alone is the "
        "weaker: more epochs bring some of that, and the rest is not explained ([docs/training.md](docs/training.md)). "
        "AF, IAF and VLAE are about three times as far apart as the paper's: all three had 40 epochs, and whether more "
        f"would bring them together was not tried.{_idle()} The last three are not the paper's, and those two systems "
        "differ in more than the prior: the codec's has one order, for which latents are sorted and cut while it is "
        "trained, and a hidden layer less."
    )
    return f"## The paper's orderings\n\n{text}\n\n{markdown(header, rows)}\n"


def _seeds() -> str:
    """What another seed changes, of the systems that were trained from two."""
    pairs = [(first, read(first), read(second)) for first, second in SEEDS]
    if not all(one and other for _, one, other in pairs):
        return " What another seed would change was not measured: a difference of a tenth of a nat or two says little."
    changes = [
        "that of `{}` by {:+.2f} ± {:.2f} nats (its KL by {:+.2f})".format(
            name, *best_nll(other, one), other["kl_nats"] - one["kl_nats"]
        )
        for name, one, other in pairs
    ]
    return (
        f" Another seed changes the NLL, with 128 samples, too: {', '.join(changes)}. A difference of that size may be no "
        "more than the seed's."
    )


def _idle() -> str:
    """What the latents of the system with a normal prior cost that carry next to nothing: all of them are kept."""
    found = read("vlae-normal")
    if found is None:
        return ""
    idle = [nats for nats in found["latent_kl_nats"] if nats < IDLE_NATS]
    return (
        f" Of the KL with the standard-normal prior {sum(idle):.2f} nats are of {len(idle)} latents below {IDLE_NATS} each, "
        "which free bits leave idle and nothing switches off."
    )


def windows() -> Iterator[str]:
    """What goes to z as the PixelCNN's window grows (Section 3.1 of the paper), and what is kept of characters."""
    text = (
        "What the window holds, the PixelCNN models; what is beyond it must go through z. The window is the knob of the "
        "code's length. Dilated layers look past the nearest pixels, so that texture, too, goes through z. A smaller dense "
        "window is a shallower PixelCNN, too. The NLL, of 128 samples, is the looser a bound the larger the KL."
    )
    table = _window_table(MNIST_WINDOWS)
    yield f"## What goes to z, by window\n\n{text}\n\n{table}\n\n![KL and distortion by window]({_WINDOWS_FIGURE})\n"
    text = (
        "On OMNIGLOT the paper's lossy code sometimes changed the character. Here re-samplings of 1,000 drawings of "
        f"{data.CHARACTERS:,} characters are read twice (one in {data.CHARACTERS:,} would be right by chance). *Kept* is by "
        "a classifier, of those that it reads right before: trained on fifteen drawings of each character and on no "
        "re-sampling, it errs where an eye may not, so that this is rather less than is kept. *Nearest* needs no training: "
        "of all the re-samplings, those that differ in fewer pixels from their original, or another drawing of its "
        "character, than from any drawing of any other; it forgives a stroke that is missing, and not one that has moved. "
        "By both, dense windows change most characters, which the paper, by eye, saw sometimes, and the dilated one keeps "
        "most, at a price: a longer code, and a higher NLL (a looser bound, too: see above). The 32 latents that training "
        "leaves of 64, enough for digits, are all in use here, in the dense rows, too, which may cut codes short; in the "
        "last row it cuts none."
    )
    table = _window_table(OMNIGLOT_WINDOWS, nearest=True)
    yield f"## What is kept of a character, by window\n\n{text}\n\n{table}\n"


def _window_table(names: tuple[str, ...], nearest: bool = False) -> str:
    header = [
        "masked layers",
        "they reach, pixels",
        "latents in use",
        "KL, bits",
        "distortion, bits",
        "NLL, nats",
        "kept",
        *["nearest"] * nearest,
    ]
    rows = []
    for name in names:
        found = read(name)
        model = rounds_of(SYSTEMS[name], found)[-1].model
        cells = [
            f"{model.masked_layers}{', dilated' if model.dilation > 1 else ''}",
            str(model.masked_layers * model.dilation),
        ]
        if found:
            reading = found["reading"]
            cells.append(f"{found['active_latents']} of {len(found['latent_kl_nats'])}")
            cells += [f"{found['kl_bits']:.1f}", f"{found['distortion_bits']:.1f}"]
            cells += [_with_error(found, "nll"), _share(reading, "kept")]
            cells += [_share(reading, "nearest")] * nearest
        rows.append(cells + ["–"] * (len(header) - len(cells)))
    return markdown(header, rows)


def pictures() -> str:
    """The figures that are not of one section."""
    lines = ["## Figures", ""]
    for name, caption in (
        ("latents.svg", "KL of each latent dimension, sorted (of flows only the sum is one)"),
        (
            "curves.svg",
            "Learning curves: ELBO of held-out images (solid), or where there are none of training images (dashed, with "
            "dropout, and warped for a while, where the round says so); rounds that are not shown left no log",
        ),
    ):
        if (FIGURES / name).exists():
            lines += [f"{caption}:", "", f"![{caption}](docs/figures/{name})", ""]
    lines += [
        "The paper's Figures 1 and 2 are sheets like the following, of its VLAE on static MNIST and on OMNIGLOT.",
        "",
    ]
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
    if any(name in found for name in MNIST_WINDOWS):
        yield "windows.svg", _windows(found)


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
    figure, panels = _panels()
    for axes, data_set in zip(panels, DATA_SETS, strict=True):
        for system in data_set.systems:
            table = found.get(system.name)
            if table is None or not table["latent_kl_nats"]:
                continue
            model = rounds_of(system, table)[-1].model
            if model.prior == "flow" or model.posterior == "iaf":
                continue  # of theirs only the sum is a KL
            axes.plot(np.sort(table["latent_kl_nats"])[::-1] / _LN2, marker=".", lw=1, label=system.name)
        axes.set(title=data_set.title, xlabel="latent dimension, by rank", ylabel="KL, bits")
        if axes.lines:
            axes.legend(fontsize="x-small")
    return _svg(figure)


def _panels() -> tuple[Figure, list[Axes]]:
    """A figure, and a place in it for each data set; no colour comes twice in one."""
    figure = Figure(figsize=(12, 10), layout="constrained")
    panels = list(figure.subplots(2, 2).flat)
    for axes in panels:
        axes.set_prop_cycle(color=matplotlib.colormaps["tab20"].colors)
    return figure, panels


def _curves(found: dict[str, Table]) -> bytes:
    figure, panels = _panels()
    for axes, data_set in zip(panels, DATA_SETS, strict=True):
        for system in data_set.systems:
            table = found.get(system.name, {})
            curve = table.get("curve", [])
            if not curve:
                continue
            before = sum(config.train.epochs for config in rounds_of(system, table)[:-1])
            held_out = "valid_elbo_nats" in curve[-1]
            elbo_nats = [line["valid_elbo_nats" if held_out else "train_elbo_nats"] for line in curve]
            epochs = [before + line["epoch"] for line in curve]
            axes.plot(epochs, elbo_nats, "-" if held_out else "--", lw=1, label=system.name)
        axes.set(title=data_set.title, xlabel="epoch, of all rounds", ylabel="ELBO, nats")
        if axes.lines:
            last = [line.get_ydata()[-1] for line in axes.lines]
            axes.set_ylim(min(last) - 8, max(last) + 1)
            axes.legend(fontsize="x-small", loc="lower right", ncols=2)
    return _svg(figure)


def _windows(found: dict[str, Table]) -> bytes:
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    known = {name: rounds_of(SYSTEMS[name], found[name])[-1].model for name in MNIST_WINDOWS if name in found}
    for axes, key, what in zip(
        figure.subplots(1, 2), ("kl_bits", "distortion_bits"), ("KL", "distortion"), strict=True
    ):
        for dilated, marker in ((False, "o-"), (True, "s")):
            names = [name for name, model in known.items() if (model.dilation > 1) == dilated]
            reach = [known[name].masked_layers * known[name].dilation for name in names]
            axes.plot(reach, [found[name][key] for name in names], marker, label="dilated" if dilated else "dense")
        axes.set(xlabel="reach of the window, pixels", ylabel=f"{what}, bits", xlim=(0, None), ylim=(0, None))
        axes.legend()
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
