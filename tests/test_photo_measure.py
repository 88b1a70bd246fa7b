"""Measuring photographs: the metrics are what they say, and what is measured is what files are."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from grid_models import coder
from photographs import picture
from PIL import Image

from vlae_codec.errors import VlaeError
from vlae_codec.report import photo_codecs, photo_measure, photo_page, photo_tables, quality, samples
from vlae_codec.report.photo_measure import Photographs


def noisy(samples: np.ndarray, spread: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (samples + rng.normal(0, spread, samples.shape)).clip(0, 255).astype(np.uint8)


def test_metrics_order_what_is_alike() -> None:
    original = picture(170, 190).samples
    for name, metric in quality.METRICS.items():
        if name == "ssimulacra2":
            pytest.importorskip("ssimulacra2")
        found = [metric(original, noisy(original, spread)) for spread in (40, 10, 1)]
        assert found == sorted(found), name
        assert found[-1] < metric(original, original)


@pytest.mark.parametrize("size", [(161, 161), (179, 214)])
def test_ms_ssim_is_that_of_the_package(size: tuple[int, int]) -> None:
    torch, pytorch_msssim = pytest.importorskip("torch"), pytest.importorskip("pytorch_msssim")
    original = picture(*size).samples
    decoded = noisy(original, 12)
    tensors = [torch.from_numpy(one.transpose(2, 0, 1)[None].astype(np.float32)) for one in (original, decoded)]
    expected = -10 * np.log10(1 - pytorch_msssim.ms_ssim(*tensors, data_range=255).item())
    assert quality.ms_ssim_db(original, decoded) == pytest.approx(expected, abs=0.01)


def test_ms_ssim_of_a_uniform_shift_is_that_of_light_alone() -> None:
    """Contrast and structure are equal; what is left is the light of the coarsest scale, 2 a b + c over a^2 + b^2 + c."""
    light = (2 * 100 * 110 + 6.5025) / (100**2 + 110**2 + 6.5025)
    flat = np.full((176, 176, 3), 100, np.uint8)
    assert quality.ms_ssim_db(flat, flat + np.uint8(10)) == pytest.approx(-10 * np.log10(1 - light**0.1333), abs=0.01)
    with pytest.raises(VlaeError, match="at least 161"):
        quality.ms_ssim_db(flat[:160], flat[:160])


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Photographs:
    """Two pictures, and few settings of few codecs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(photo_measure, "QUALITIES", (0, 50, 100))
    kept = [replace(one, settings=(5, 30, 60, 90)) for one in photo_codecs.LOSSY if one.key in ("webp", "jpeg")]
    monkeypatch.setattr(photo_codecs, "LOSSY", kept)
    monkeypatch.setattr(photo_codecs, "LOSSLESS", [one for one in photo_codecs.LOSSLESS if one.key == "png"])
    return Photographs("here", ["a.png", "<b>.png"], [picture(48, 64).samples, picture(40, 56, seed=1).samples])


def test_what_is_measured_is_what_files_are(few: Photographs) -> None:
    pytest.importorskip("bjontegaard")
    told = list[int]()
    found = photo_measure.measure(few, coder(), 0, progress=lambda what, done, of: told.append(of - done))
    assert told == list(range(len(told)))[::-1]
    for row in found.lossy.values():
        sizes = [sum(point["bytes"]) for point in row["points"]]
        errors = [np.mean(point["psnr_db"]) for point in row["points"]]
        assert sizes == sorted(sizes)
        assert errors == sorted(errors)
    png = [len(one) for one in (pngs(x) for x in few.samples)]
    assert found.exact["png"]["bytes"] == png
    assert set(found.exact) == {"ours", "png"}
    assert set(found.bd_rate["ours"]["psnr_db"]) == {"webp", "jpeg"}
    for crop in found.crops:
        (_, none, original), (_, own, _), *others = crop.shown
        assert none is None
        assert original.shape[0] in (48, 40)
        assert all(size is not None and own is not None and size <= own for _, size, _ in others)
    said, page = photo_tables.text(found), photo_page.page(found)
    assert "MS-SSIM was not measured" in said
    assert "&lt;b&gt;.png" in page
    assert "<b>.png" not in page
    assert page.count("data:image/png") >= sum(len(crop.shown) for crop in found.crops)
    lines = photo_tables.csv_text(found).splitlines()
    assert len(lines) == 1 + 2 * (len(found.exact) + sum(len(row["points"]) for row in found.lossy.values()))
    assert json.loads(json.dumps(photo_measure.summary(found)))["names"] == few.names


def pngs(x: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(x).save(out, "PNG", optimize=True, compress_level=9)
    return out.getvalue()


def test_a_measurement_goes_on_where_it_was_stopped(few: Photographs) -> None:
    def stop(what: str, done: int, of: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        photo_measure.measure(few, coder(), 0, with_baselines=False, progress=stop)
    made = list[object]()
    model = coder()
    encode = type(model).encode

    class Counting(type(model)):  # type: ignore[misc]
        def encode(self, *arguments: object) -> object:
            made.append(arguments)
            return encode(self, *arguments)

    counting = Counting(model.identity, model.arrays)
    found = photo_measure.measure(few, counting, 0, with_baselines=False)
    assert len(made) == 2 * (1 + 3) - 5 + len(found.crops)
    assert found.bd_rate == {}


def test_photographs_are_told_from_drawings(tmp_path: Path) -> None:
    Image.fromarray(picture(20, 30).samples).save(tmp_path / "photo.png")
    Image.fromarray(np.eye(28, dtype=np.uint8) * 255).save(tmp_path / "drawing.png")
    assert samples.are_photographs([str(tmp_path / "photo.png")])
    assert not samples.are_photographs([str(tmp_path / "drawing.png")])
    given = samples.photographs([str(tmp_path / "photo.png")])
    assert np.array_equal(given.samples[0], picture(20, 30).samples)


def test_the_command_measures_photographs(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(photo_measure, "QUALITIES", (40,))
    Image.fromarray(picture(24, 32).samples).save("photo.png")
    options = "--no-baselines --effort 0 --csv r.csv --report r.html --json -q"
    made = run("measure", "photo.png", *options.split())
    assert json.loads(made.stdout)["lossy"]["ours"]["points"][0]["setting"] == 40
    assert Path("r.csv").read_text().count("\n") == 1 + 1 + 2
    assert "Side by side" in Path("r.html").read_text()
    refused = run("measure", "photo.png", "--labels", "x.npy", expect=2)
    assert "for drawings" in refused.output
