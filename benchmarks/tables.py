"""Puts measured figures into README.md and docs: each block between `<!-- table NAME -->` and `<!-- end -->` is rewritten.

    python benchmarks/tables.py            # rewrite
    python benchmarks/tables.py --check    # exit 1 if they are not what results/*.json make of them
    python benchmarks/tables.py NAME ...   # print tables

Nothing in those blocks is typed by hand. One whose figures were not measured yet stays as it is, and `main` says so.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import systems

from vlae_codec.archive.chunks import CHUNK
from vlae_codec.family import DEFAULT_EFFORT
from vlae_codec.models.data import titled
from vlae_codec.report import rates as curves

ROOT = Path(__file__).parent.parent
Table = dict[str, Any]


PAGES = "README.md", "docs/drawings.md", "docs/photos.md", "docs/python.md", "docs/scale.md"
"""The pages that have tables."""


def main() -> None:
    """Rewrites, checks, or prints."""
    names = [name for name in sys.argv[1:] if not name.startswith("-")]
    if names:
        print("\n\n".join(TABLES[name]() for name in names))
        return
    missing = set[str]()
    for page in PAGES:
        old = (ROOT / page).read_text(encoding="utf-8")
        new = rendered(old, page, missing)
        if "--check" in sys.argv and (missing or old != new):
            raise SystemExit(1)
        (ROOT / page).write_text(new, encoding="utf-8")
    if missing:
        print(f"not measured yet: {', '.join(sorted(missing))}", file=sys.stderr)


class NotMeasuredError(Exception):
    """The figures of a table are not there yet."""


def rendered(text: str, page: str = "README.md", missing: set[str] | None = None) -> str:
    """The text of a page with every block made anew; `missing` is told of tables whose figures are not there yet."""
    up = "../" * page.count("/")

    def block(match: re.Match[str]) -> str:
        try:
            table = re.sub(r"\]\((?!http)", f"]({up}", TABLES[match[1]]())
        except NotMeasuredError:
            (set() if missing is None else missing).add(match[1])
            return match[0]
        return f"<!-- table {match[1]} -->\n{table}\n<!-- end -->"

    return re.sub(r"<!-- table (\w+) -->\n.*?<!-- end -->", block, text, flags=re.DOTALL)


def result(name: str) -> Table:
    """results/NAME.json."""
    table: Table = json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return table


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table, its first column text and the others figures."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def first() -> str:
    """What the first screen shows, in bytes, from `benchmarks/first_screen.py`."""
    made = result("demo")
    digit = made["digit"]
    (signature,) = (one for one in made["drawings"] if one["name"] == "signature")
    (photo,) = (one for one in made["photos"] if one["name"] == made["first_photo"])
    header = ["bytes", "a digit, 28×28"]
    for what, one in (("a signature", signature), ("a photograph", photo)):
        header.append(f"{what}, {one['width']}×{one['height']}")
    kept = signature["bytes"] - 1  # without the byte that says why it is exact
    rows = [
        ["`compress`", f"**{digit['lossy_bytes']:,}**", f"**{signature['bytes']:,}**", f"**{photo['lossy_bytes']:,}**"],
        ["`compress --lossless`", f"{digit['exact_bytes']:,}", f"{kept:,}", f"{photo['exact_bytes']:,}"],
        ["first bytes that show it", "", "", f"{photo['preview_bytes']:,}"],
        ["PNG", *(f"{one['png_bytes']:,}" for one in (digit, signature, photo))],
    ]
    return markdown(header, rows)


def demo_photos() -> str:
    """The photographs that ship, in bytes."""
    columns = {"first bytes": "preview_bytes", "lossy": "lossy_bytes", "exact": "exact_bytes", "PNG": "png_bytes"}
    rows = [
        [f"{one['name']}, {one['width']}×{one['height']}", *(f"{one[key]:,}" for key in columns.values())]
        for one in result("demo")["photos"]
    ]
    return markdown(["bytes", *columns], rows)


def demo_drawings() -> str:
    """The drawings in two colours that ship, in bytes."""
    columns = {"vlae-codec, exact": "bytes", "CCITT G4": "g4_bytes", "lossless WebP": "webp_bytes", "PNG": "png_bytes"}
    rows = [
        [f"{one['name']}, {one['width']}×{one['height']}", *(f"{one[key]:,}" for key in columns.values())]
        for one in result("demo")["drawings"]
    ]
    return markdown(["bytes", *columns], rows)


def models() -> str:
    """The released models on each set that they were measured on, from `benchmarks/reproduce.py`."""
    rows = []
    shipped = [system for system in systems.SYSTEMS.values() if system.released]
    for system in sorted(shipped, key=lambda system: (system.released, system.on == "")):
        figures, folder = result(f"systems/{system.name}"), ROOT / "vlae_codec" / "released" / system.released
        size = (folder / "weights.npz").stat().st_size
        rows.append(
            [
                f"[{folder.name}](vlae_codec/released/{folder.name}/card.md)",
                f"{titled(figures['data'])}, {figures['images']:,}",
                _nats(figures, "nll", 2),
                f"{-figures['elbo_nats']:.2f}",
                f"{figures['kl_bits']:.1f}",
                f"{size / 1e6:.1f} MB",
            ]
        )
    return markdown(["`--model`", "test images", "NLL, nats", "−ELBO, nats", "KL, bits", "size"], rows)


def model() -> str:
    """The float models of MNIST on the same test images, from `benchmarks/reproduce.py`."""
    found = [result(f"systems/{name}") for name in ("mnist-dynamic-2-on-mnist_static", "mnist-4")]
    for e in found:
        e["better_nats"], e["better_nats_se"] = systems.best_nll(e)
    e = found[0]
    few, many = e["samples"], e["paired_samples"]
    lines = [
        (f"NLL, {few} importance samples, all {e['images']:,} images", "nll", 2, ""),
        (f"{many} samples less {few}, paired, on {e['paired_images']:,} images", "paired_difference", 3, ""),
        (f"hence NLL, {many} samples", "better", 2, "79.03"),
        ("−ELBO", "elbo", 2, ""),
        ("rate: KL(q(z\\|x) ‖ p(z))", "kl", 2, "13.3"),
        ("distortion: −log p(x\\|z)", "distortion", 2, ""),
    ]
    rows = [[what, *(_nats(e, key, places) for e in found), paper] for what, key, places, paper in lines]
    return markdown(["statically binarised MNIST, test, nats", "`mnist-dynamic`", "`mnist`", "paper"], rows)


def _nats(figures: Table, key: str, places: int) -> str:
    """One figure with its standard error, if it has one; of the ELBO, minus it."""
    value, error = figures[f"{key}_nats"], figures.get(f"{key}_nats_se")
    shown = f"{-value if key == 'elbo' else value:.{places}f}"
    return shown if error is None else f"{shown} ± {error:.{places}f}"


def quality() -> str:
    """Files, from `benchmarks/quality.py`."""
    q = result("quality")
    theory, lossless = q["theory"], q["lossless"]
    rows = [
        [
            f"lossy, effort {row['effort']}",
            f"{theory['kl_bits']:.1f}",
            f"{row['coded_bits']:.1f}",
            f"{row['total_bytes']:.2f}",
            f"{row['coding_gap_bits']:+.2f}",
            f"{row['differing_pixels_share']:.1%}",
            f"{row['classified_right']:.1%}",
        ]
        for row in q["lossy"]
    ]
    exact = [
        f"lossless, effort {DEFAULT_EFFORT}",
        f"{theory['negative_elbo_bits']:.1f}",
        f"{lossless['coded_bits']:.1f}",
        f"{lossless['total_bytes']:.2f}",
        f"{lossless['coded_minus_negative_elbo_bits']:+.2f}",
        "0 %",
        f"{q['originals_classified_right']:.1%}",
    ]
    header = ["", "theory, bits", "coded, bits", "file, bytes", "gap, bits", "pixels that differ", "same digit read"]
    return markdown(header, [*rows, exact])


def speed() -> str:
    """Times, from `benchmarks/speed.py`."""
    s = result("speed")
    rows = [
        [f"`{name}`, one process", f"{row['seconds']:.2f} s", f"{row['ratio']:.1f} × the bare imports"]
        for name, row in s["processes"].items()
    ]
    batch = s["batches"]
    rows += [
        [f"{name}, batch", f"{rate:.0f} images/s", f"{s['cores']} cores"]
        for name, rate in batch["images_per_second"].items()
    ]
    macs, share = batch["decompression_macs_per_image"], batch["decompression_share_of_peak"]
    rows.append(
        [
            "decompress, arithmetic",
            f"{macs / 1e6:.1f} M multiply-accumulates an image",
            f"{share:.0%} of the float64 peak",
        ]
    )
    return markdown(["", "", ""], rows)


def flow() -> str:
    """What the flow of bytes takes, before and after the house, from `benchmarks/flow.py`."""
    both = result("flow")
    before, after = both["before"], both["after"]

    def taken(*path: str) -> list[str]:
        return [_seconds_at(table, path) for table in (before, after)]

    pages = [
        f"{_seconds_at(table, ('page', 'compress'))}, {table['page']['bytes']:,} bytes" for table in (before, after)
    ]
    size, held = "{width}×{height}".format(**after["page"]), [before["stream"], after["stream"]]
    some, archive = after["samples"]["samples"], after["archive"]
    reads = f"{archive['read']:,} of {archive['images']:,} images of an archive at random, chunks of {archive['chunk']}"
    one_by_one, together = _seconds_at(before, ("samples", "one by one")), _seconds_at(after, ("samples", "together"))
    rows = [
        ["`import vlae_codec`, `vlae_codec.decompress`", *taken("start", "import")],
        ["`vlae-codec decompress` of a drawing, from start to end", *taken("start", "decompress")],
        [f"{some} pictures of one lossy file", one_by_one, together],
        [f"the end of a stream of {after['stream']['decisions'] / 1e6:.0f} million decisions", *taken("stream", "end")],
        ["what the coder holds until then", *(f"{one['held_bytes'] / 1e6:.1f} MB" for one in held)],
        [f"a page of {size} full of digits, one exact file, effort 0", *pages],
        [f"{reads}: first time", "", _seconds_at(after, ("archive", "first epoch"))],
        ["the same in another order", "", _seconds_at(after, ("archive", "second epoch"))],
    ]
    return markdown(["one thread", "drawings alone", "now"], rows)


def _seconds_at(table: Table, path: Sequence[str]) -> str:
    """What a part of the flow took of the processor."""
    for name in path:
        table = table[name]
    seconds = table["processor_seconds"]
    return f"{seconds:.3f} s" if seconds < 1 else f"{seconds:.1f} s"


def archives() -> str:
    """Archives of the whole test set, from `benchmarks/sizes.py`."""
    rows = []
    for name, row in result("sizes")["archives"].items():
        theory = f"{row['negative_elbo_bits']:.2f}" + ("" if row["ordered"] else " − log₂ n! / n")
        bits = row["bits_per_image"]
        rows.append([name, theory, f"{bits:.2f}", f"{bits / 784:.4f}", f"{row['bytes']:,}"])
    return markdown(["lossless archive", "−ELBO, bits an image", "file, bits an image", "bits a pixel", "bytes"], rows)


def ledger() -> str:
    """Theory beside bytes for archives as `pack` makes them, from `benchmarks/sizes.py`."""
    row = result("sizes")["archives"]["chunks of 1,000"]
    bits = row["ledger_bits"]
    frame_bits = bits["header_bits"] + bits["chunk_head_bits"] + bits["index_bits"]
    rows = [
        [
            "KL(q ‖ p)",
            row["kl_bits"],
            "pushed with p(k), popped with q(k\\|x)",
            bits["latent_bits"] + bits["popped_bits"],
        ],
        ["−log₂ p(x\\|k)", row["negative_elbo_bits"] - row["kl_bits"], "pushed with p(x\\|k)", bits["pixel_bits"]],
        ["", None, "latents at the start of each chunk", bits["start_bits"]],
        ["", None, "checks inside the stacks, rounding", bits["bottom_bits"] + bits["rounding_bits"]],
        ["", None, "header, heads of chunks, index, checks", frame_bits],
        ["**−ELBO**", row["negative_elbo_bits"], "**file, 8 × bytes / images**", row["bits_per_image"]],
    ]
    shown = [
        [left, "" if theory is None else f"{theory:.3f}", right, f"{held:.3f}"] for left, theory, right, held in rows
    ]
    return markdown(["theory", "bits an image", "file", "bits an image"], shown)


def archive_speed() -> str:
    """Throughput of whole processes, from `benchmarks/archives.py`."""
    a = result("archives")
    rows, ways = [], ("pack", "unpack")
    for jobs, row in a["jobs"].items():
        rates = [
            f"{row[way]['images_per_second']:.0f} images/s, "
            f"{row[way]['images_per_second'] / a['jobs']['1'][way]['images_per_second']:.2f} ×"
            for way in ways
        ]
        rows.append([f"{a['images']:,} images, {jobs} process{'es' * (jobs != '1')}", *rates, _peak(row)])
    single = [a["one_by_one"][f"{way}_images_per_second"] for way in ("compress", "decompress")]
    ratios = [rate / a["jobs"]["1"][way]["images_per_second"] for rate, way in zip(single, ways, strict=True)]
    slow = [f"{rate:.0f} images/s, {ratio:.2f} ×" for rate, ratio in zip(single, ratios, strict=True)]
    rows.append(["lossless single files, one by one", *slow, ""])
    for size, row in a["sizes"].items():
        spent = [f"{row[way]['milliseconds_per_image']:.2f} ms an image" for way in ways]
        workers = "processes" if int(size) > CHUNK else "threads"
        rows.append([f"{int(size):,} images, {a['cores']} {workers}", *spent, _peak(row)])
    return markdown(["lossless archives", "pack", "unpack", "largest process"], rows)


def _peak(row: Table) -> str:
    return f"{max(row[what]['peak_bytes'] for what in ('pack', 'unpack')) / 1e6:.0f} MB"


def baselines() -> str:
    """Other codecs on the same images, from `vlae-codec measure`."""
    m = result("measure")
    columns = {key: row["mean"] for key, row in m["columns"].items()}
    rows = [["vlae-codec, lossless file", f"{columns['lossless_file_bits'] / 8:.1f}", ""]]
    for key in sorted(columns, key=columns.__getitem__):
        payload = columns.get(key.replace("_bits", "_payload_bits"))
        if key in _RIVALS:
            rows.append([_RIVALS[key], f"{columns[key] / 8:.1f}", "" if payload is None else f"{payload / 8:.1f}"])
    rows.append(["vlae-codec, lossless archive", f"{columns['archive_lossless_bits'] / 8:.1f}", ""])
    for name, row in sorted(m["sets"].items()):
        sizes = [f"{row[key] / m['images']:.1f}" for key in ("bytes", "payload_bytes")]
        rows.append([f"{name}, all images at once", *sizes])
    return markdown(["bytes an image", "file", "without its container"], rows)


def photos(*parts: str) -> Table:
    """results/photos.json, if these parts of what it says of a model are there.

    Raises:
        NotMeasuredError: they are not.
    """
    if not (ROOT / "results" / "photos.json").exists():
        raise NotMeasuredError("results/photos.json")
    p = result("photos")
    if missing := [part for part in parts if part not in p.get("ours", {})]:
        raise NotMeasuredError(f"{missing[0]} in results/photos.json")
    return p


def photos_lossless() -> str:
    """Exact files of photographs, from `benchmarks/photos.py`."""
    p = photos("lossless")
    named = {key: (row["name"], row) for key, row in p["baselines"]["lossless"].items()}
    named["ours"] = "**vlae-codec, --lossless**", p["ours"]["lossless"]
    best = named["jxl_9"][1]["bpd"]
    rows = [
        [
            name,
            _with_error(row, "bpd", 3),
            f"{sum(row['bytes']) / len(row['bytes']) / 1000:.1f}",
            _percent(row["bpd"] / best),
        ]
        for name, row in sorted(named.values(), key=lambda one: one[1]["bpd"])
    ]
    return markdown(
        [f"{p['data']['pictures']} photographs, exact", "bits/dim", "kB", "against JPEG XL, effort 9"], rows
    )


def photos_parts() -> str:
    """What is in exact files of photographs, beside theory, from `benchmarks/photos.py`."""
    e = photos("lossless")["ours"]["lossless"]
    rows = [
        ["−log₂ P(z), of the whole numbers z", e["ideal_bpd"] - e["distortion_bpd"], "latents: all of a lossy file"],
        ["−log₂ p(x\\|z), of the same z", e["distortion_bpd"], "pixels"],
        ["", None, "header, sizes, checks"],
        ["**together**", e["ideal_bpd"], "**file**"],
    ]
    held = [e[f"{part}_bpd"] for part in ("latent", "pixel", "container")]
    shown = [
        [left, "" if ideal is None else f"{ideal:.4f}", right, f"{bpd:.4f}"]
        for (left, ideal, right), bpd in zip(rows, [*held, e["bpd"]], strict=True)
    ]
    dithered = [["KL(q ‖ p), of the dithered code, which no file holds", f"{e['kl_bpd']:.4f}", "", ""]]
    return markdown(["information", "bits/dim", "file", "bits/dim"], shown + dithered)


def many_pages() -> str:
    """What an archive makes of several pages, from `benchmarks/many_pages.py`."""
    rows = []
    for one in known_result("many_pages")["documents"]:
        files = sum(one["files"])
        name = one["name"] + ("" if one["held_out"] else " (seen in training)")
        rows.append([name, str(one["pages"]), f"{files:,}", f"{one['archive']:,}", _percent(one["archive"] / files)])
    return markdown(["cuts of 900×1200", "pages", "as files", "as an archive", ""], rows)


def page_times() -> str:
    """What a page of 1728x2376 takes, from `benchmarks/page_times.py`."""
    pages = known_result("page_times")["pages"]
    middles = [one for one in pages if one["cut"] == "middle"]
    shown = {
        f"the middles of {len(middles)} scans, median": median,
        "the middle that takes most": max,
    }
    rows = [_page_row(name, middles, of) for name, of in shown.items()]
    others = {
        "densest": "of all scans the densest cut",
        "huge": "16384×16384, a line of words every 500 rows",
        "huge, -Q 50": "the same, `-Q 50`",
        "noise": "noise, 4000×4000",
        "icon": "an icon of 200×200",
        "digit": "a digit of 28×28, as lossy",
    }
    rows += [_page_row(name, [one for one in pages if one["cut"] == cut], max) for cut, name in others.items()]
    seen = [f"{what}, {unit}" for what in ("compress", "decompress") for unit in ("seconds of one core", "MB")]
    return markdown(["a page of 1728×2376", *seen], rows)


def _page_row(name: str, pages: list[Table], of: Callable[[list[float]], float]) -> list[str]:
    row = [name]
    for what in ("compress", "decompress"):
        seconds = of([one[what]["seconds"] for one in pages])
        row.append(f"{seconds:.{1 if seconds >= 1 else 2}f}")
        row.append(f"{of([one[what]['peak_bytes'] for one in pages]) / 1e6:.0f}")
    return row


def photos_efforts() -> str:
    """What levels of effort gain and take, from `benchmarks/efforts.py`."""
    table = known_result("efforts")
    anchor, shown = table["exact"]["0"]["bpd"], []
    for effort, row in table["lossy"].items():
        gain = "" if effort == "1" else _with_error(row, "bd_rate_percent", 1).replace("-", "−") + " %"
        exact = table["exact"].get(effort)
        of_exact = ["", ""] if exact is None else [_percent(exact["bpd"] / anchor), f"{exact['core_seconds']:.1f} s"]
        shown.append([effort, gain, f"{row['core_seconds']:.1f} s", *of_exact])
    header = ["effort", "lossy, BD-rate to effort 1", "a picture", "exact, bits/dim to effort 0", "a picture"]
    return markdown(header, shown)


def photos_preview() -> str:
    """How few bytes show a picture, from `benchmarks/photos.py`."""
    seen = photos("lossless")["ours"]["lossless"]["preview"]
    what = f"until a picture of {seen['db']:.0f} dB decodes"
    return markdown(["first bytes of an exact file", "mean"], [[what, _with_error(seen, "mean_bytes", 0)]])


def photos_realism() -> str:
    """Kernel inception distances, from `benchmarks/realism.py`."""
    r = known_result("realism")
    rows = []
    for way, name in _WAYS.items():
        row = r["coded"][way]
        rates = [f"{row['mean_bpp']:.3f}", f"{row['mean_psnr_db']:.2f}"]
        kids = [row["kid"][to] for to in ("originals", "other photographs")]
        rows.append(
            [name, *rates, *(_with_error(kid, "kid", 3) for kid in kids), _with_error(kids[0], "ratio_to_avif", 2)]
        )
    rows.append(["the originals", "", "", "", _with_error(r["originals_to_other_photographs"], "kid", 3), ""])
    header = ["", "bpp", "PSNR, dB", "KID to the originals", "KID to other photographs", "of AVIF's"]
    return markdown(header, rows)


_WAYS = {
    "at_default": "**vlae-codec**, as it decodes by default",
    "at_zero": "**vlae-codec, `--temperature 0`**",
    "avif": "AVIF, speed 4",
}


def photos_passes() -> str:
    """What drawing texture again and again brings, from `benchmarks/temperatures.py --passes`, one table a number."""
    rows = []
    for table in known_result("passes"):
        (level,) = table["levels"]
        zero, *drawn = level["temperatures"]
        cells = [
            f"{_with_error(row, 'kid', 3)}, {row['ssimulacra2'] - zero['ssimulacra2']:.1f}".replace("-", "−")
            for row in drawn
            if row["temperature"] >= 0.5
        ]
        rows.append([str(table["passes"]), _with_error(zero, "kid", 3), *cells])
    header = ["passes", "temperature 0", "0.5", "0.75", "1"]
    return markdown(header, rows)


def photos_rates() -> str:
    """PSNR at some rates, from `benchmarks/photos.py`."""
    p = photos("lossy")
    ways = [
        ("**vlae-codec, `--temperature 0`**", p["ours"]["lossy"]["at_zero"]["points"]),
        ("**vlae-codec**, as it decodes by default", p["ours"]["lossy"]["at_default"]["points"]),
        *((row["name"], row["points"]) for row in p["baselines"]["lossy"].values()),
    ]
    rows = []
    for name, points in ways:
        curve = curves.means(points, "psnr_db", p["data"]["pixels"])
        values = [curves.at_rate(curve, bpp) for bpp in _RATES_BPP]
        rows.append([name, *("" if value is None else f"{value:.2f}" for value in values)])
    return markdown(["mean PSNR in RGB, dB", *(f"{bpp} bpp" for bpp in _RATES_BPP)], rows)


_RATES_BPP = 0.1, 0.2, 0.4, 0.8


def photos_bd_rate() -> str:
    """BD-rates, from `benchmarks/photos.py`."""
    p = photos("lossy")
    zero, default = (p["bd_rate"][way] for way in ("at_zero", "at_default"))
    columns = [("PSNR, `--temperature 0`", zero, "psnr_db"), ("PSNR, by default", default, "psnr_db")]
    for metric, title in (("ms_ssim_db", "MS-SSIM, by default"), ("ssimulacra2", "SSIMULACRA 2, by default")):
        if all(metric in row for row in default.values()):
            columns.append((title, default, metric))
    rows = [
        [row["name"], *(_bd_rate(table[key][metric]) for _, table, metric in columns)]
        for key, row in p["baselines"]["lossy"].items()
    ]
    low, high = curves.LEAST_BPP, curves.MOST_BPP
    return markdown(
        [f"bytes at equal quality, {low} to {high} bpp, against", *(title for title, _, _ in columns)], rows
    )


def photos_speed() -> str:
    """Times of whole commands on photographs, from `benchmarks/photos.py`."""
    o = photos("speed")["ours"]
    rows = []
    for part in ("speed", "large", "huge", "huge-exact"):
        for name, row in o.get(part, {}).get("commands", {}).items():
            size = f"{o[part]['pixels'] / 1e6:.2f} megapixels"
            macs = f"{row['macs_per_pixel']:,.0f}" if "macs_per_pixel" in row else ""
            share = f"{row['share_of_peak']:.0%}" if "share_of_peak" in row else ""
            rows.append(
                [f"{name}, {size}", f"{row['seconds']:.1f} s", f"{row['peak_bytes'] / 1e6:.0f} MB", macs, share]
            )
    header = [
        f"one command, {o['speed']['cores']} core{'s' * (o['speed']['cores'] > 1)}",
        "time",
        "memory",
        "multiply-accumulates a pixel",
        "of the float32 peak",
    ]
    return markdown(header, rows)


def photos_ablations() -> str:
    """What window, code and placement bring, from `benchmarks/ablations.py`."""
    systems = known_result("ablations")["systems"].values()
    alone = {row["masked_layers"]: row["bpd"] for row in systems if row["kind"] == "pixels"}
    rows = []
    for kind, name in _SYSTEMS.items():
        for row in (one for one in systems if one["kind"] == kind):
            layers, figures = row["masked_layers"], ["", "", _with_error(row, "bpd", 3), "", ""]
            if kind != "pixels":
                figures[:2] = [f"{row[key]:.3f}" for key in ("code_bpd", "pixels_bpd")]
                figures[3] = _percent(row["bpd"] / alone[layers])
            if kind == "placed":
                figures[4] = f"{row['psnr_db']:.1f}"
            rows.append([name, str(layers), *figures])
    seen = ["z, bits/dim", "pixels given z", "together", "against p(x) alone", "decoded picture, dB"]
    return markdown(["", "masked layers", *seen], rows)


def photos_progressive() -> str:
    """What the code in front costs the exact file, by steps of training, from two runs of `benchmarks/ablations.py`."""
    rows, layers = [], 4
    for table in (known_result("ablations"), known_result("progressive")):
        alone, placed = (table["systems"][f"{kind}-{layers}"] for kind in ("pixels", "placed"))
        found = [_with_error(row, "bpd", 3) for row in (alone, placed)]
        rows.append(
            [f"{table['steps']:,}", *found, f"{placed['code_bpd']:.3f}", _percent(placed["bpd"] / alone["bpd"])]
        )
    header = ["steps", "the PixelCNN alone", "with z, placed by distortion", "of that z", "with z, against alone"]
    return markdown(header, rows)


def photos_bits_back() -> str:
    """What bits-back coding would save, from `benchmarks/bits_back.py`."""
    found = known_result("bits_back")
    rows = [["rounded, as files have them", "", "", *_bits_back_row(found["rounded"]), ""]]
    for one in found["posteriors"]:
        name = "a Gaussian" if one["gaussian"] else "a box"
        saved = f"{one['saved_percent']:+.2f} %".replace("-", "−")
        rows.append([name, f"{one['width']}", f"{one['scale']:.0f}", *_bits_back_row(one), saved])
    header = ["posterior", "width, steps", "of priors wider than", "latents, bits/dim", "pixels", "together", "saves"]
    return markdown(header, rows)


def _bits_back_row(row: Table) -> list[str]:
    return [f"{row['latents_bpd']:.4f}", f"{row['pixels_bpd']:.4f}", f"{row['bpd']:.4f}"]


_SYSTEMS = {
    "pixels": "the PixelCNN alone, p(x)",
    "free": "with z, free bits, no placement",
    "placed": "with z, placed by distortion",
}


def photos_cifar() -> str:
    """The learning curve on 32x32 images, from `benchmarks/cifar.py`."""
    found = known_result("cifar")
    rows = [
        [f"{point['step']:,}", f"{point['code_bpd']:.3f}", f"{point['pixels_bpd']:.3f}", _with_error(point, "bpd", 3)]
        for point in found["curve"]
    ]
    return markdown(["steps", "z, bits/dim", "pixels given z", f"together, {found['images']:,} images"], rows)


def known_result(name: str) -> Table:
    """results/NAME.json.

    Raises:
        NotMeasuredError: it is not there.
    """
    if not (ROOT / "results" / f"{name}.json").exists():
        raise NotMeasuredError(f"results/{name}.json")
    return result(name)


def _bd_rate(row: Table) -> str:
    if row["bd_rate_percent"] is None:
        return ""
    error = "" if row["bd_rate_percent_se"] is None else f" ± {row['bd_rate_percent_se']:.1f}"
    return f"{row['bd_rate_percent']:+.1f}{error} %".replace("-", "−")


def _with_error(row: Table, key: str, places: int) -> str:
    error = row[f"{key}_se"]
    return f"{row[key]:.{places}f}" + ("" if error is None else f" ± {error:.{places}f}")


def _percent(ratio: float) -> str:
    return f"{ratio - 1:+.1%}".replace("%", " %").replace("-", "−")


_RIVALS = {
    "jxl_bits": "JPEG XL",
    "webp_bits": "WebP lossless",
    "avif_bits": "AVIF lossless",
    "png_bits": "PNG, optimised",
    "g4_bits": "CCITT G4 in TIFF",
    "raw_bits": "one bit a pixel",
}


def drawings_own() -> str:
    """What the drawing models take of images of their own kinds, from `benchmarks/drawings.py`."""
    rows = []
    for title, one in result("drawings")["own"].items():
        models = ", ".join(
            f"{name} {count}" for name, count in sorted(one["by_model"].items(), key=lambda pair: -pair[1])
        )
        rows.append([title, f"{one['images']:,}", f"{one['lossy'] / one['images']:.1%}", models, f"{one['bytes']:.1f}"])
    return markdown(["test images", "images", "taken as lossy", "by", "bytes"], rows)


def drawings_foreign() -> str:
    """What becomes of foreign drawings, from `benchmarks/drawings.py`."""
    measured, rows = result("drawings"), []
    parts = {"tuning": "looked at while tuning", "held": "only measured"}
    titled = {f"drawn by code, {title}": measured["foreign"][part] for part, title in parts.items()}
    titled |= {f"icons and symbols of eight sizes, {title}": measured["found"][part] for part, title in parts.items()}
    both = [measured[key]["held"] for key in ("foreign", "found")]
    titled["all of these, only measured"] = {key: sum(one[key] for one in both) for key in ("exact", "slight", "wrong")}
    titled |= {f"icons and symbols of 28×28, {title}": measured["found_of_28"][part] for part, title in parts.items()}
    titled |= {f"of the last, {name}": one for name, one in measured["found_of_28"]["held"]["kinds"].items()}
    for title, one in titled.items():
        total = sum(one[key] for key in ("exact", "slight", "wrong"))
        counts = [f"{one[key] / total:.1%}" for key in ("exact", "slight", "wrong")]
        rows.append([title, f"{total:,}", *counts])
    return markdown(["foreign drawings", "drawings", "kept exactly", "sampled, at most 2 % change", "wrong"], rows)


def scale() -> Table:
    """What sets cost, from `benchmarks/scale.py`.

    Raises:
        NotMeasuredError: that was not run.
    """
    try:
        return result("scale")
    except FileNotFoundError as error:
        raise NotMeasuredError from error


def scale_speed() -> str:
    """Images a second of each engine."""
    measured, rows = scale(), []
    for workers, one in measured["speed"].items():
        rates = [f"{one['images_per_second'][kind]:,.0f}" for kind in ("plain", "processes", "dask")]
        over = [f"{one['dask_time_over'][kind] - 1:+.1%}" for kind in ("plain", "processes")]
        rows.append([workers, *rates, *over])
    cores = f"{measured['cores']} core" + "s" * (measured["cores"] > 1)
    what = f"a shard of {measured['images_per_shard']:,} digits each, on {cores}"
    header = [f"workers ({what})", "`--jobs`", "`--shards`", "`--scheduler`", "over `--jobs`", "over `--shards`"]
    return markdown(header, rows)


def scale_memory() -> str:
    """Peak memory over the number of shards."""
    rows = []
    for shards, one in scale()["memory"].items():
        megabytes = [f"{one[key] / 1e6:.0f} MB" for key in ("client_bytes", "worker_bytes")]
        rows.append([f"{int(shards):,}", f"{one['images']:,}", *megabytes])
    return markdown(["shards", "images", "client", "worker"], rows)


def scale_constants() -> str:
    """What a simulation needs to know."""
    measured = scale()
    last = [*measured["memory"].values()][-1]
    sent = measured["sent"]
    rows = [
        ["tasks that do nothing, a second, one worker", f"{measured['tasks']['dask_per_second']:,.0f}"],
        [
            "sent to a worker, bytes a shard of an array",
            f"{sent['array']['shared_bytes'] + sent['array']['task_bytes']:,}",
        ],
        ["sent, bytes a loose picture", f"{sent['loose_pictures']['task_bytes_per_image']:.1f}"],
        ["in the manifest, bytes a shard", f"{last['manifest_bytes_per_shard']:.0f}"],
        ["to list a loose picture, microseconds", f"{measured['listing']['list_microseconds']:.0f}"],
        ["to weigh one, microseconds", f"{measured['listing']['weigh_microseconds']:.0f}"],
        [
            "to find a shard whole when a run goes on, milliseconds",
            f"{measured['restart']['milliseconds_per_shard']:.1f}",
        ],
        ["in an archive's index, bytes a chunk", f"{measured['restart']['index_bytes_per_chunk']:.0f}"],
        ["held by the client of one, bytes", f"{measured['listing']['held_bytes']:.0f}"],
    ]
    return markdown(["measured", ""], rows)


_MANY, _WORKERS = 10**9, 1000


def scale_simulation() -> str:
    """10^9 digits in an array of many files, by 1,000 workers: what follows from the constants, by the size of a shard."""
    measured = scale()
    rate = measured["speed"]["1"]["images_per_second"]["plain"]
    task = measured["sent"]["array"]["shared_bytes"] + measured["sent"]["array"]["task_bytes"]
    entry = [*measured["memory"].values()][-1]["manifest_bytes_per_shard"]
    most, index = measured["tasks"]["dask_per_second"], measured["restart"]["index_bytes_per_chunk"]
    check = measured["restart"]["milliseconds_per_shard"] / 1e3
    rows = []
    for size in (10**3, 10**4, 10**5, 10**6):
        shards, seconds = _MANY // size, size / rate
        rows.append(
            [
                f"{size:,}",
                f"{shards:,}",
                _duration(seconds),
                f"{_WORKERS / seconds:.3g}",
                f"{_WORKERS / seconds / most:.2%}",
                f"{shards * task / 1e6:,.0f} MB",
                f"{shards * entry / 1e6:,.1f} MB",
                f"{_MANY / min(size, 1000) * index / 1e6:,.0f} MB",
                _duration(seconds),
                _duration(
                    max(shards / min(64, -(-shards // 1024)) / most, shards * check / _WORKERS)
                ),  # as of cluster.api
            ]
        )
    header = [
        "images a shard",
        "shards",
        "one takes",
        "tasks a second",
        "of the scheduler's",
        "sent",
        "manifest",
        "indices",
    ]
    total = f"all of it: {_duration(_MANY / rate / _WORKERS)}"
    return (
        markdown([*header, "redone after a kill, at most", "a restart, all there"], rows)
        + f"\n\n*{_WORKERS:,} workers, {total}.*"
    )


def _duration(seconds: float) -> str:
    """For people."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


_CODECS = {
    "ink": "**vlae-codec, exact**",
    "jb2": "JB2, lossless",
    "jbig1": "JBIG1",
    "jxl": "JPEG XL, effort 9",
    "webp": "WebP, lossless",
    "g4": "CCITT G4",
    "png": "PNG, optimised",
}


def pages() -> str:
    """Bytes of held-out pages and of small drawings by codec, from `benchmarks/pages.py`."""
    found = known_result("pages")["pictures"]
    kinds = {kind: [one["bytes"] for one in found if one["kind"] == kind] for kind in ("page", "drawing")}
    rows = []
    for codec, title in _CODECS.items():
        if not all(codec in one for one in kinds["page"]):
            continue
        cells = []
        for sizes in kinds.values():
            ours, theirs = (sum(one[name] for one in sizes) for name in ("ink", codec))
            cells += [f"{theirs:,}", "" if codec == "ink" else _percent(ours / theirs)]
        rows.append([title, *cells])
    pages, drawings = (len(sizes) for sizes in kinds.values())
    return markdown(["exact", f"{pages} pages, bytes", "ours against it", f"{drawings} drawings, bytes", "ours"], rows)


_NEAR = {
    "quality 50": "**vlae-codec, `-Q 50`**",
    "quality 0": "**vlae-codec, `-Q 0`**",
    "jb2 100": "JB2, lossy, level 100",
    "jb2 200": "JB2, lossy, level 200",
}


def near() -> str:
    """Near-lossless files of held-out pages, from `benchmarks/pages.py`."""
    if not (ROOT / "results" / "pages.json").exists():
        raise NotMeasuredError("results/pages.json")
    pages = [one for one in result("pages")["pictures"] if one["kind"] == "page"]
    if not all("near" in one for one in pages):
        raise NotMeasuredError("near in results/pages.json")
    exact, pixels = sum(one["bytes"]["ink"] for one in pages), sum(one["width"] * one["height"] for one in pages)
    rows = [["vlae-codec, exact", f"{exact:,}", "", "", ""]]
    for name, title in _NEAR.items():
        found = [one["near"][name] for one in pages if name in one["near"]]
        if len(found) == len(pages):
            size, changed, lost = (sum(one[key] for one in found) for key in ("bytes", "changed", "pieces_lost"))
            rows.append([title, f"{size:,}", _percent(size / exact), f"{100 * changed / pixels:.2f} %", f"{lost:,}"])
    return markdown([f"{len(pages)} pages", "bytes", "against exact", "pixels changed", "pieces of ink lost"], rows)


_PARTS = {
    "all": "**all parts**",
    "network": "without the network",
    "places in the network": "a network that sees no similar places",
    "last layer": "a last layer that does not go on learning",
    "more contexts": "contexts of 12, 22, 40 and 52 pixels, too",
    "contexts": "contexts of 1, 2 and 3 pixels in place of all three",
    "edges": "without contexts of edges",
    "similar places": "without similar places",
    "other places": "with the most similar place alone",
    "three mixers": "one mixer in place of four",
    "average": "the average of mixers fixed",
    "refining": "without the refining tables",
    "learning": "mixers that do not learn from the page",
    "teaching": "mixers that begin untrained",
    "calm": "blank windows mixed as all others",
    "blank rows": "without a bit for blank rows",
    "quality 50": "all parts, `-Q 50`",
    "quality 0": "all parts, `-Q 0`",
}


def page_parts() -> str:
    """What a page costs without each part of `ink`, from `benchmarks/page_parts.py`."""
    found = known_result("page_parts")
    if not {*_PARTS} <= {*found["parts"]}:
        raise NotMeasuredError("all of results/page_parts.json")
    whole, rows = found["parts"]["all"], []
    for name, title in _PARTS.items():
        part = found["parts"][name]
        cells = []
        for kind in ("pages", "drawings"):
            cells += [f"{part[kind]:,}", "" if name == "all" else _percent(part[kind] / whole[kind])]
        rows.append([title, *cells, f"{part['seconds']:.1f} s"])
    pages, drawings = (len(found[kind]) for kind in ("pages", "drawings"))
    head = ["", f"{pages} middles of pages, bytes", "against all", f"{drawings} drawings, bytes", "against all"]
    return markdown([*head, "pages take"], rows)


TABLES: dict[str, Callable[[], str]] = {
    "scale_speed": scale_speed,
    "scale_memory": scale_memory,
    "scale_constants": scale_constants,
    "scale_simulation": scale_simulation,
    "drawings_own": drawings_own,
    "drawings_foreign": drawings_foreign,
    "pages": pages,
    "page_parts": page_parts,
    "near": near,
    "first": first,
    "demo_photos": demo_photos,
    "demo_drawings": demo_drawings,
    "models": models,
    "model": model,
    "quality": quality,
    "flow": flow,
    "archives": archives,
    "ledger": ledger,
    "archive_speed": archive_speed,
    "baselines": baselines,
    "speed": speed,
    "photos_lossless": photos_lossless,
    "photos_parts": photos_parts,
    "photos_efforts": photos_efforts,
    "many_pages": many_pages,
    "page_times": page_times,
    "photos_preview": photos_preview,
    "photos_realism": photos_realism,
    "photos_passes": photos_passes,
    "photos_rates": photos_rates,
    "photos_bd_rate": photos_bd_rate,
    "photos_speed": photos_speed,
    "photos_ablations": photos_ablations,
    "photos_progressive": photos_progressive,
    "photos_bits_back": photos_bits_back,
    "photos_cifar": photos_cifar,
}

if __name__ == "__main__":
    main()
