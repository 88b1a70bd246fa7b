"""A made-up measurement, shown in every form: the same numbers everywhere, and nothing hostile gets through."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from vlae_codec.errors import VlaeError
from vlae_codec.picture.drawing import Drawing, demo_digits
from vlae_codec.picture.images import png_bytes
from vlae_codec.picture.sheets import contact_sheet
from vlae_codec.report import html as pages
from vlae_codec.report import plots, sheets, tables

VOID = {"br", "img", "meta", "source"}
HOSTILE = "<script>alert('\"&$^$')</script>\x1b[2J\u202e\udc80"
N = 40
SHEET = png_bytes(contact_sheet([demo_digits()[:3]]))


def made_up():
    rng = np.random.default_rng(0)
    kl = rng.gamma(20, 0.9, N)
    per_image = {
        "kl_bits": kl,
        "negative_elbo_bits": kl + rng.gamma(40, 2.5, N),
        "coded_latents_bits": kl + rng.normal(1, 2, N),
        "coding_gap_bits": rng.normal(1, 4, N),
        "lossy_file_bits": np.ceil((kl + 40) / 8) * 8,
        "lossless_file_bits": np.ceil(kl + 140) * 8 / 8,
        "archive_lossless_bits": kl + 101.25,
        "differing_pixels": rng.poisson(53, N).astype(float),
        "raw_bits": np.full(N, 784.0),
        "png_bits": rng.integers(90, 140, N) * 8.0,
        "png_payload_bits": rng.integers(40, 80, N) * 8.0,
        "novel_codec_bits": rng.integers(40, 80, N) * 8.0,
    }
    ledger = {"popped_bits": -1234.5, "pixel_bits": 4000.25, "latent_bits": 1800.25, "header_bits": 88.0}
    ledger["rounding_bits"] = 8 * 588 - sum(ledger.values())
    archives = [
        {
            "kind": "lossless",
            "order": "kept",
            "chunk": N,
            "samples": 8,
            "bytes": 588,
            "bits_per_image": 117.6,
            "median": 110.0,
            "p05": 90.0,
            "p95": 150.0,
            "theory": {"kl_bits": 560.0, "distortion_bits": 3990.0},
            "ledger": ledger,
        },
        {
            "kind": "lossy",
            "order": "unordered",
            "chunk": 16,
            "samples": 1,
            "bytes": 77,
            "bits_per_image": 15.4,
            "theory": {"kl_bits": 590.0},
            "ledger": {"a_bits": 600},
        },
    ]
    return tables.Measurement(
        source="made up",
        model="tiny",
        sha256="5a" * 32,
        images=N,
        pixels=N * 784,
        per_image=per_image,
        archives=archives,
        sets={"xz": {"bytes": 1520, "payload_bytes": 1463, "layout": "packed bits"}},
        classified={"originals_right": 39, "lossy_right": 38, "images": N},
        unavailable=["JBIG2: no Python library encodes it"],
        notes=["a note"],
    )


MADE_UP = made_up()


class Page(HTMLParser):
    """Checks that tags nest, and gathers words, tags, addresses and rows of cells."""

    def __init__(self, page):
        super().__init__()
        self.open, self.words, self.tags, self.addresses, self.rows = [], [], [], [], []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def page():
    return pages.html(MADE_UP, [("originals & copies", SHEET)])


def test_the_summary_is_numpys_and_json():
    found = json.loads(json.dumps(tables.summary(MADE_UP), allow_nan=False))
    for key, column in MADE_UP.per_image.items():
        statistics = found["columns"][key]
        assert statistics["mean"] == pytest.approx(column.mean())
        assert statistics["median"] == pytest.approx(np.median(column))
        assert [statistics["p05"], statistics["p95"]] == pytest.approx(np.percentile(column, [5, 95]).tolist())
        assert ("bits_per_pixel" in statistics) == key.endswith("_bits")
    assert found["columns"]["raw_bits"]["bits_per_pixel"] == pytest.approx(1.0)
    assert found["archives"] == MADE_UP.archives
    assert {"source", "model", "sha256", "images", "pixels", "sets", "classified", "unavailable", "notes"} <= set(found)


def test_csv_reads_back_to_the_same_numbers():
    rows = list(csv.DictReader(io.StringIO(tables.csv_text(MADE_UP))))
    assert [row["image"] for row in rows] == [str(i) for i in range(N)]
    for key, column in MADE_UP.per_image.items():
        assert [float(row[key]) for row in rows] == column.tolist()


def test_text_and_page_hold_every_mean(page):
    shown, cells = tables.text(MADE_UP), {cell for row in Page(page).rows for cell in row}
    for key, column in MADE_UP.per_image.items():
        mean = f"{column.mean():,.2f}"
        assert mean in shown, key
        assert mean in cells, key
    assert "novel codec" in shown
    assert "PNG, payload" in cells


def test_text_goes_from_theory_to_baselines_in_aligned_lines():
    shown = tables.text(MADE_UP)
    places = [
        shown.index(word) for word in ("\nTheory", "\nThis codec", "\nBaselines", "\nOther", "\nAll 40", "\nArchives")
    ]
    assert places == sorted(places)
    lines = shown[places[0] : places[3]].splitlines()
    means = [line for line in lines if line.startswith("  ")]
    assert len({line.index(".") for line in means if "," not in line[:30]}) == 1
    assert "97.5% of 40 originals" in shown
    assert "JBIG2" in shown


def test_columns_are_held_against_the_right_theory():
    means = {key: column.mean() for key, column in MADE_UP.per_image.items()}
    rows = {row[0]: row for row in tables._columns_table(MADE_UP).groups[1][1]}
    lossy, lossless = (
        means["lossy_file_bits"] - means["kl_bits"],
        means["lossless_file_bits"] - means["negative_elbo_bits"],
    )
    assert rows["lossy file"][-1] == f"+{lossy:.2f}"
    assert rows["lossless file"][-1] == f"{lossless:+.2f}".replace("-", "−")


def test_ledgers_sum_to_the_bytes(page):
    rows = Page(page).rows
    for archive in MADE_UP.archives:
        total = next(row for row in rows if row[2:3] == [f"8 × {archive['bytes']:,} bytes"])
        assert total[3] == f"{8 * archive['bytes']:,}"
        assert total[4] == f"{archive['bits_per_image']:,.2f}"
    table = tables._ledger_table(MADE_UP, MADE_UP.archives[0])
    whole = [row for row in table.groups[0][1] if not row[2].startswith("  ") and row[2] != "together"]
    parts = [float(row[3].replace(",", "").replace("−", "-")) for row in whole]
    assert sum(parts) == pytest.approx(8 * 588, abs=0.05 * len(parts) + 0.01)
    short = tables._ledger_table(MADE_UP, MADE_UP.archives[1])
    assert ("not in the ledger", "16") in [tuple(row[2:4]) for row in short.groups[0][1]]


def test_each_term_of_theory_stands_beside_what_pays_for_it():
    theory = {"kl_bits": 5.0, "distortion_bits": 40.0, "order_bits": -9.0}
    ledger = {"popped_bits": -100.0, "latent_bits": 106.0, "pixel_bits": 41.0, "order_bits": -8.5, "header_bits": 3.0}
    assert tables.paired(theory, ledger) == [
        ("KL: the latents", 5.0, "latents, net", 6.0),
        ("", None, "  pushed with p(z)", 106.0),
        ("", None, "  popped with q(z|x)", -100.0),
        ("distortion: the pixels", 40.0, "pixels", 41.0),
        ("order given up", -9.0, "order, had back", -8.5),
        ("together", 36.0, "together", 38.5),
        ("", None, "header", 3.0),
    ]


def test_the_page_stands_alone(page):
    parsed = Page(page)
    assert parsed.tags.count("img") == 3
    assert all(address.startswith("data:image/png;base64,") for address in parsed.addresses)
    assert not {"script", "link", "iframe", "object"} & set(parsed.tags)
    assert "http" not in page
    assert "@import" not in page
    words = " ".join(parsed.words)
    for word in (
        "Latent code",
        "Re-sampling",
        "KL",
        "−ELBO",
        "Bits-back",
        "Above theory",
        "Coding gap",
        "Lossy means re-sampled",
    ):
        assert word in words
    assert parsed.tags.count("caption") == parsed.tags.count("table")


def test_the_same_measurement_gives_the_same_page(page):
    assert pages.html(made_up(), [("originals & copies", SHEET)]) == page


def test_hostile_names_are_shown_and_do_nothing():
    hostile = dataclasses.replace(
        MADE_UP,
        source=HOSTILE,
        model=HOSTILE,
        sha256=HOSTILE,
        per_image={**MADE_UP.per_image, HOSTILE: MADE_UP.per_image["kl_bits"], f"{HOSTILE}_bits": np.ones(N)},
        archives=[{**MADE_UP.archives[0], "kind": HOSTILE, "order": HOSTILE, "ledger": {HOSTILE: 1.0}}],
        sets={HOSTILE: {"bytes": 1, "payload_bytes": 1, "layout": HOSTILE}},
        unavailable=[HOSTILE],
        notes=[HOSTILE, "{body} {title}"],
    )
    page = pages.html(hostile, [(HOSTILE, SHEET)])
    assert "<script" not in page
    assert "script" not in Page(page).tags
    assert page.count("&lt;script&gt;") > 8
    assert "{body} {title}" in page
    for shown in (page, tables.text(hostile)):
        shown.encode("utf-8")
        assert not {"\x1b", "\u202e"} & set(shown)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_plots_are_files_and_the_same_each_time(tmp_path, suffix):
    plots.plot(MADE_UP, tmp_path / f"a{suffix}")
    plots.plot(made_up(), tmp_path / f"b{suffix}")
    data = (tmp_path / f"a{suffix}").read_bytes()
    assert data == (tmp_path / f"b{suffix}").read_bytes()
    assert data.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix])


def test_a_plot_of_another_kind_is_refused(tmp_path):
    for name in ("plot.bmp", "plot"):
        with pytest.raises(VlaeError, match=r"\.png, \.svg or \.pdf"):
            plots.plot(MADE_UP, tmp_path / name)


def test_without_matplotlib_there_are_numbers_but_no_plots(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(VlaeError, match=r"pip install 'vlae-codec\[plot\]'"):
        plots.plot(MADE_UP, tmp_path / "plot.png")
    assert not (tmp_path / "plot.png").exists()
    page = pages.html(MADE_UP)
    assert Page(page).tags.count("img") == 0
    assert "There are no plots here" in page


def test_little_can_be_measured():
    bare = tables.Measurement("one", "tiny", "00", 1, 784, {"lossy_file_bits": np.array([0.0])})
    assert "lossy file" in tables.text(bare)
    Page(pages.html(bare))
    Page(pages.html(dataclasses.replace(bare, per_image={}, archives=MADE_UP.archives)))
    assert tables.csv_text(bare) == "image,lossy_file_bits\n0,0.0\n"


@pytest.mark.parametrize("column", [np.ones(N - 1), np.ones((N, 1)), np.full(N, np.nan)], ids=["short", "deep", "nan"])
def test_columns_must_fit(column):
    with pytest.raises(ValueError, match="kl_bits"):
        dataclasses.replace(MADE_UP, per_image={"kl_bits": column})
    with pytest.raises(ValueError, match="needs images"):
        dataclasses.replace(MADE_UP, images=0, per_image={})


def test_numbers_on_an_axis_do_not_run_into_each_other():
    """Whatever the range: on both axes of both plots."""
    pytest.importorskip("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    for span in (1.5, 4, 20, 300, 4_000, 200_000, 3e7):
        figure = Figure(figsize=(7.2, 5.8), layout="constrained")
        canvas, axes = FigureCanvasAgg(figure), figure.subplots()
        axes.plot([10, 10 * span], [10, 10 * span])
        for direction, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
            plots._log_axis(axes, direction)
            canvas.draw()
            low, high = axis.get_view_interval()
            ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
            shown = [label.get_window_extent() for place, label in ticks if low <= place <= high]
            for one, other in itertools.pairwise(shown):
                assert one.x1 < other.x0 if direction == "x" else one.y1 <= other.y0, span


def test_sheets_show_all_of_few_pictures_whatever_their_sizes_and_the_worst_of_many():
    sizes = [Drawing(np.zeros((5 + n, 9), np.uint8)) for n in range(14)]
    assert sheets._chosen(sizes, np.arange(14.0)) == [*range(14)]
    many = [Drawing(np.zeros((9, 9), np.uint8))] * 500
    costs = np.zeros(500)
    costs[[3, 77, 123, 401, 402]] = 1
    chosen = sheets._chosen(many, costs)
    assert {3, 77, 123, 401, 402} <= {*chosen}
    assert 45 <= len(chosen) <= 50


def test_a_sheet_of_pictures_of_several_sizes_keeps_each_as_it_is():
    small, large = Drawing(np.ones((2, 3), np.uint8)), Drawing(np.ones((6, 9), np.uint8))
    shown = np.asarray(contact_sheet([[small, large]], scale=2))
    assert (shown == 255).sum() == 4 * (6 + 54)
