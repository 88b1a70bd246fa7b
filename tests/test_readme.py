"""What the README promises: its Python runs, its tables are the measured ones, its files exist."""

from __future__ import annotations

import json
import re
import sys

import pytest
from conftest import HERE

from vlae_codec import model as models

ROOT = HERE.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "RESULTS.md").read_text(encoding="utf-8")


def test_python_blocks_run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(block, {})


def test_tables_are_those_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import tables

    assert tables.rendered(README) == README, "run python benchmarks/tables.py"
    assert "tables" in sys.modules


@pytest.mark.parametrize("name", ["quality", "sizes", "measure", "archives"])
def test_what_the_readme_shows_was_measured_of_the_default_model(name):
    measured = json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))
    assert measured["sha256"] == models.named(models.DEFAULT).digest.hex(), "docs/releasing.md says how to measure anew"


def test_results_page_is_that_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import results_page

    assert results_page.page() == RESULTS, "run python benchmarks/results_page.py"
    drawn = dict(results_page.figures())
    assert drawn.keys() == {path.name for path in (ROOT / "docs" / "figures").iterdir()}
    shown = re.findall(r"docs/figures/([\w.-]+)", RESULTS)
    assert drawn.keys() == set(shown), "every figure is shown"


def test_named_files_exist():
    for folder, name in re.findall(r"`((?:vlae_codec|models|cli|docs)/)([\w./]+\.(?:py|toml|md))", README):
        assert (ROOT / folder / name).exists(), folder + name
    for link in re.findall(r"\]\(([\w./-]+)\)", README + RESULTS):
        assert (ROOT / link).exists(), link
