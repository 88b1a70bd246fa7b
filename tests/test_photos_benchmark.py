"""What the benchmark of photographs computes from what it measures."""

from __future__ import annotations

import hashlib
import json

import click
import numpy as np
import pytest
from conftest import HERE

from vlae_codec import zoo
from vlae_codec.errors import TruncatedError
from vlae_codec.report import quality
from vlae_codec.report import rates as curves

PIXELS = [1 << 16] * 3


def curve(rates_bpp, gain=1.0, lost_db=0.0):
    """Three pictures whose PSNR rises by 6 dB when the rate doubles, at `gain` times the rate."""
    names = ("setting", "bytes", "psnr_db")
    size = PIXELS[0] / 8
    rows = [
        (
            bpp,
            [bpp * gain * size * (1 + i / 10) for i in range(3)],
            [40 + 6 * np.log2(bpp) - lost_db + i for i in range(3)],
        )
        for bpp in rates_bpp
    ]
    return [dict(zip(names, row, strict=True)) for row in rows]


RATES = np.geomspace(0.04, 1.6, 9)


def test_equal_curves_do_not_differ_and_half_the_rate_is_minus_fifty_per_cent():
    pytest.importorskip("bjontegaard")
    found = curves.compared(curve(RATES), curve(RATES), "psnr_db", PIXELS)
    assert found["bd_rate_percent"] == pytest.approx(0, abs=1e-9)
    assert found["bd_rate_percent_se"] == pytest.approx(0, abs=1e-9)
    found = curves.compared(curve(RATES), curve(RATES, gain=0.5), "psnr_db", PIXELS)
    assert found["bd_rate_percent"] == pytest.approx(-50, abs=0.1)
    found = curves.compared(curve(RATES), curve(RATES, lost_db=6), "psnr_db", PIXELS)
    assert found["bd_rate_percent"] == pytest.approx(100, abs=0.1)


def test_curves_are_compared_between_two_rates_only():
    pytest.importorskip("bjontegaard")
    low, high = curves.LEAST_BPP, curves.MOST_BPP
    rates, values = curves.cut(curves.means(curve(RATES), "psnr_db", PIXELS))
    assert (rates[0], rates[-1]) == pytest.approx((low, high))
    assert values[0] == pytest.approx(41 + 6 * np.log2(low / 1.1), abs=0.01)
    beyond = [dict(one) for one in curve(RATES)]
    for one in beyond:
        if one["setting"] > 1.0 or one["setting"] < 0.06:
            one["psnr_db"] = [value + 100 * (one["setting"] > 1.0) for value in one["psnr_db"]]
    found = curves.compared(curve(RATES), beyond, "psnr_db", PIXELS)
    assert abs(found["bd_rate_percent"]) < 5, "what lies beyond the rates says nothing"


def test_curves_that_share_no_quality_are_not_compared():
    pytest.importorskip("bjontegaard")
    found = curves.compared(curve(RATES), curve(RATES, lost_db=60), "psnr_db", PIXELS)
    assert set(found.values()) == {None}
    assert set(curves.compared(curve(RATES), curve([2.0, 3.0]), "psnr_db", PIXELS).values()) == {None}


def test_psnr():
    original = np.full((8, 8, 3), 100, np.uint8)
    assert quality.psnr_db(original, original + np.uint8(1)) == pytest.approx(20 * np.log10(255))
    assert quality.psnr_db(original, original) == 99


def test_the_shortest_prefix_is_found(monkeypatch):
    monkeypatch.syspath_prepend(HERE.parent / "benchmarks")
    import photo_ours

    class Model(photo_ours.PhotoModel):
        def decode(self, data, samplings):
            if len(data) < 20:
                raise TruncatedError("the file ends within its header")
            assert samplings[0].partial
            return [np.full((1, 1, 3), len(data) >> 8, np.uint8)]

    for wanted in (5, 120, 255):
        model = Model(HERE, None)
        assert model.least_prefix_bytes(bytes(65535), lambda seen, at=wanted: seen.max() >= at) == wanted << 8
    assert model.least_prefix_bytes(bytes(700), lambda seen: True) == 20


def test_results_are_kept_unless_they_are_of_other_pictures(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(HERE.parent / "benchmarks")
    photos = pytest.importorskip("photos", exc_type=ImportError)
    pictures = [np.full((4, 5, 3), level, np.uint8) for level in (1, 2)]
    first = photos.Results(tmp_path / "photos.json", pictures)
    first.section("baselines")["measured"] = [1, 2]
    first.keep("first")
    assert json.loads(first.text)["baselines"] == photos.Results(first.path, pictures).table["baselines"]
    assert "[ 1, 2 ]" in first.text
    for others in (pictures[::-1], pictures[:1]):
        with pytest.raises(click.UsageError, match="other pictures"):
            photos.Results(first.path, others)


def test_a_large_picture_is_made_of_all_of_them(monkeypatch):
    monkeypatch.syspath_prepend(HERE.parent / "benchmarks")
    photos = pytest.importorskip("photos", exc_type=ImportError)
    pictures = [np.full((4, 6, 3), 0, np.uint8), np.full((6, 4, 3), 1, np.uint8), np.full((4, 6, 3), 2, np.uint8)]
    found = photos.mosaic(pictures, 7, 10)
    assert found.shape == (7, 10, 3)
    assert [found[0, 0, 0], found[0, 9, 0], found[6, 0, 0], found[6, 9, 0]] == [0, 1, 2, 0]


def test_kernel_distances_are_those_of_all_pairs(monkeypatch):
    monkeypatch.syspath_prepend(HERE.parent / "benchmarks")
    realism = pytest.importorskip("realism", exc_type=ImportError)
    rng = np.random.default_rng(0)
    first = [rng.standard_normal((count, 5)) for count in (3, 4)]
    second = [rng.standard_normal((count, 5)) + 1 for count in (3, 4)]
    x, y = np.concatenate(first), np.concatenate(second)

    def mean(a, b, apart):
        kernel = (a @ b.T / 5 + 1) ** 3
        return kernel[~np.eye(7, dtype=bool)].mean() if apart else kernel.mean()

    for shared in (False, True):
        found = realism.resampled(realism.Sums.of(first, second, shared))
        assert found[0] == pytest.approx(mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, shared))
        assert np.isfinite(found).all()
    equal = realism.resampled(realism.Sums.of(first, first, True))
    assert equal == pytest.approx(0, abs=1e-12), "pictures are as real as themselves"


def test_crops_cover_a_picture(monkeypatch):
    monkeypatch.syspath_prepend(HERE.parent / "benchmarks")
    realism = pytest.importorskip("realism", exc_type=ImportError)
    picture = np.arange(192 * 256 * 3).reshape(192, 256, 3).astype(np.uint8)
    found = realism.crops(picture)
    assert found.shape == (2 * 3, 128, 128, 3)
    assert (found[-1] == picture[64:, 128:]).all()


def test_what_is_not_measured_yet_is_left_and_told_of(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(HERE.parent / "benchmarks")
    import tables

    monkeypatch.setattr(tables, "ROOT", tmp_path)
    page, missing = "<!-- table photos_speed -->\n<!-- end -->", set()
    assert tables.rendered(page, missing=missing) == page
    assert missing == {"photos_speed"}
    (tmp_path / "results").mkdir()
    seen = {"db": 20.0, "mean_bytes": 1234.4, "mean_bytes_se": 5.6}
    (tmp_path / "results" / "photos.json").write_text(json.dumps({"ours": {"lossless": {"preview": seen}}}))
    assert tables.rendered(page) == page
    assert tables.photos_preview().splitlines()[-1] == "| until a picture of 20 dB decodes | 1234 ± 6 |"


def test_the_temperature_of_least_distance_that_loses_little_is_chosen(monkeypatch):
    monkeypatch.syspath_prepend(HERE.parent / "benchmarks")
    import temperatures

    def rows(*kids, lost=(0, 1, 2, 4)):
        return [
            {"temperature": at / 4, "kid": kid, "kid_se": 0.01, "ssimulacra2": 60 - less}
            for at, (kid, less) in enumerate(zip(kids, lost, strict=True))
        ]

    assert temperatures.chosen(rows(0.5, 0.4, 0.3, 0.1), 3) == 0.5, "the last one loses too much"
    assert temperatures.chosen(rows(0.5, 0.4, 0.3, 0.1), 5) == 0.75
    assert temperatures.chosen(rows(0.5, 0.3005, 0.3, 0.4), 5) == 0.25, "as good, and lower"
    assert temperatures.chosen(rows(0.1, 0.2, 0.3, 0.4), 5) == 0


def test_the_temperatures_tried_are_those_of_the_results_and_of_the_docs(monkeypatch):
    monkeypatch.syspath_prepend(HERE.parent / "benchmarks")
    import temperatures

    (asked,) = [option.default for option in temperatures.main.params if option.name == "asked"]
    table = json.loads((HERE.parent / "results" / "temperatures.json").read_text())
    for level in table["levels"]:
        assert [row["temperature"] for row in level["temperatures"]] == [0.0, *asked]
    page = " ".join((HERE.parent / "docs" / "photos.md").read_text(encoding="utf-8").split())
    assert f"among 0, {', '.join(f'{one:g}' for one in asked[:-1])} and {asked[-1]:g}." in page
    assert sum(level["chosen"] == asked[-1] for level in table["levels"]) == 5
    assert "the largest won at five of the eight levels" in page


def test_the_docs_say_how_long_the_released_model_was_trained():
    page = (HERE.parent / "docs" / "photos.md").read_text(encoding="utf-8")
    about = json.loads((zoo.RELEASED / zoo.PHOTO / "model.json").read_text())
    rounds = [about["trained"]]
    while about := about.get("initial"):
        rounds.insert(0, about["trained"])
    steps, seconds = np.cumsum(
        [[[one[key] for one in own.values()] for own in rounds] for key in ("step", "seconds")], 1
    )
    for number, (own_steps, own_seconds) in enumerate(zip(steps, seconds, strict=True), 4):
        row = " | ".join(f"{step:,} | {spent / 3600:.2f}" for step, spent in zip(own_steps, own_seconds, strict=True))
        assert f"| {number} | {row} |" in page
    assert f"{seconds[-1].sum() / 3600:.1f} hours together" in page


def test_chosen_temperatures_are_put_into_a_model(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(HERE.parent / "benchmarks")
    import temperatures

    given = {"grain.temperatures": np.full((3, 1), 128), "other": np.arange(5, dtype=np.int16)}
    np.savez_compressed(tmp_path / "weights.npz", **given)
    before = hashlib.sha256((tmp_path / "weights.npz").read_bytes()).hexdigest()
    for name in ("model.json", "card.md"):
        (tmp_path / name).write_text(f"about {before}.")
    temperatures.put(tmp_path, [0, 64, 256])
    after = hashlib.sha256((tmp_path / "weights.npz").read_bytes()).hexdigest()
    assert (tmp_path / "card.md").read_text() == (tmp_path / "model.json").read_text() == f"about {after}."
    with np.load(tmp_path / "weights.npz") as found:
        assert found["grain.temperatures"].tolist() == [[0], [64], [256]]
        assert np.array_equal(found["other"], given["other"])
