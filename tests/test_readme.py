"""What the README promises: its Python runs, its tables are the measured ones, its files exist."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import make_api
import numpy as np
import pytest
from conftest import HERE
from PIL import Image

import vlae_codec
from vlae_codec import zoo
from vlae_codec.picture.images import png_bytes, to_picture

ROOT = HERE.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "RESULTS.md").read_text(encoding="utf-8")


def test_python_blocks_run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(block, {})


def test_python_page_runs(monkeypatch, tmp_path, digits):
    """All of its blocks in order, but for the data set for torch, which `test_reader` runs."""
    monkeypatch.chdir(tmp_path)
    Path("digits").mkdir()
    for i, name in enumerate(["digit", "a", "b", *(f"digits/{i:02}" for i in range(12))]):
        Path(f"{name}.png").write_bytes(png_bytes(to_picture(digits[i])))
    Path("photo.png").write_bytes(png_bytes(Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))))
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "torch" not in block]
    names = {}
    for block in blocks:
        exec(block, names)
    assert np.array_equal(names["image"], np.asarray(to_picture(digits[3])))
    assert names["number"] == 0
    assert len(names["several"]) == 16
    assert sorted(path.name for path in Path("out").rglob("*.png")) == ["01.png", "11.png"]
    assert Path("a.vlz").exists()


def test_api_page_runs_and_describes_every_name_as_it_is(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    page, names = make_api.PAGE.read_text(encoding="utf-8"), {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, names)
    assert sorted(make_api.names(page)) == sorted(vlae_codec.__all__)
    assert make_api.rendered(page) == page, "run python tests/make_api.py"


def test_tables_are_those_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import tables

    for page in tables.PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert tables.rendered(text, page) == text, "run python benchmarks/tables.py"
    assert "tables" in sys.modules


@pytest.mark.parametrize("name", ["quality", "sizes", "measure", "archives"])
def test_what_the_readme_shows_was_measured_of_the_default_model(name):
    measured = json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))
    assert measured["sha256"] == zoo.named(zoo.DEFAULT).digest.hex(), "docs/releasing.md says how to measure anew"


def test_results_page_is_that_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import results_page

    assert results_page.page() == RESULTS, "run python benchmarks/results_page.py"
    drawn = dict(results_page.figures())
    assert drawn.keys() == {path.name for path in (ROOT / "docs" / "figures").iterdir()}
    shown = re.findall(r"docs/figures/([\w.-]+)", RESULTS)
    assert drawn.keys() == set(shown), "every figure is shown"


def test_two_systems_are_compared_image_by_image(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import systems

    first, second = (systems.read(name) for name in ("vlae-flow", "af-vae"))
    assert systems.best_nll(first, first) == (0.0, 0.0)
    (one, one_error), (other, other_error) = map(systems.best_nll, (first, second))
    assert one == pytest.approx(first["nll_nats"] + first["paired_difference_nats"], abs=1e-3)
    difference, error = systems.best_nll(first, second)
    assert difference == pytest.approx(one - other)
    assert error < 0.5 * min(one_error, other_error), "what images have in common is no uncertainty of the difference"
    mean = systems.best_nll(first, {**second, "paired_images": 0})[0]
    assert mean == pytest.approx(first["nll_nats"] - second["nll_nats"], abs=1e-3), "of one alone it would not be fair"
    with pytest.raises(ValueError, match="same images"):
        systems.best_nll({**first, "images_sha256": "one"}, {**second, "images_sha256": "other"})
    exact = systems.best_nll(first, systems.read("unconditional"))[0]
    assert exact == pytest.approx(one - systems.read("unconditional")["nll_nats"], abs=1e-3)


def test_the_error_of_a_sum_of_two_means_counts_that_they_share_images(monkeypatch):
    """Of many such samples, the spread of the estimate is what the mean of the errors says."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import systems

    rng, found = np.random.default_rng(0), []
    for _ in range(400):
        nll = 80 + 10 * rng.standard_normal(400)
        gain = 0.4 * (nll - 80)[systems.paired_part(400, 100)] + rng.standard_normal(100)
        few = np.full(100, 200.0)
        table = {"images_sha256": "one", "samples": 128, "paired_images": 100, "image_nll": systems.pack_nats(nll)}
        table["paired_image_nll"] = [*map(systems.pack_nats, (few, few + gain))]
        found.append(systems.best_nll(table))
    means, errors = np.transpose(found)
    assert means.std() == pytest.approx(errors.mean(), rel=0.1)


def test_it_is_a_page_and_the_rest_are_links():
    assert len(README.splitlines()) <= 150


def test_named_files_exist():
    for folder, name in re.findall(r"`((?:vlae_codec|models|cli|docs)/)([\w./]+\.(?:py|toml|md))", README):
        assert (ROOT / folder / name).exists(), folder + name
    for link in re.findall(r"\]\(([\w./-]+)\)", README + RESULTS):
        assert (ROOT / link).exists(), link
