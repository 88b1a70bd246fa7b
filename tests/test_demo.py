"""The demo makes what the README shows, and the drawings in it are those that a script of ours draws."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import HERE
from PIL import Image

from vlae_codec import zoo

ROOT = HERE.parent
SHOWN = json.loads((ROOT / "results" / "demo.json").read_text(encoding="utf-8"))
REMAKE = "run python benchmarks/first_screen.py"


def sizes(found):
    """What is the same with every version of the libraries: our own sizes."""
    ours = "name", "width", "height", "bytes", "preview_bytes", "lossy_bytes", "exact_bytes"
    return [{key: one[key] for key in ours if key in one} for one in found]


def test_the_demo_makes_what_the_readme_shows(run, tmp_path):
    said = json.loads(run("demo", "-o", "out", "--json").stdout)
    assert said["sha256"] == SHOWN["sha256"], REMAKE
    for key in ("drawings", "photos"):
        assert sizes(said[key]) == sizes(SHOWN[key]), REMAKE
    assert sizes([said["digit"]]) == sizes([SHOWN["digit"]])
    assert said["digits"] == SHOWN["digits"]
    assert len([*(tmp_path / "out").glob("*.vlz")]) == 102
    for name in ("first", "sheet"):
        with Image.open(tmp_path / "out" / f"{name}.png") as made, Image.open(ROOT / "docs" / f"{name}.png") as shown:
            assert np.array_equal(np.asarray(made), np.asarray(shown)), REMAKE
    run("demo", "-o", "out", expect=1)
    run("decompress", "out/page.vlz")
    with (
        Image.open(tmp_path / "out" / "page.png") as page,
        Image.open(zoo.RELEASED.parent / "pictures/page.png") as own,
    ):
        assert np.array_equal(np.asarray(page), np.asarray(own))


@pytest.mark.parametrize("name", ["signature", "page"])
def test_the_drawings_that_ship_are_as_the_script_draws_them(name, monkeypatch):
    """But for what versions of Pillow differ in."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import demo_drawings

    path = demo_drawings.FOLDER / f"{name}.png"
    drawn = getattr(demo_drawings, name)()
    with Image.open(path) as picture:
        bits = (np.asarray(picture) == 0).astype(np.uint8)
    assert (bits != drawn).mean() < 0.02
    assert path.stat().st_size < 5000


def test_drawings_take_less_than_other_codecs():
    for one in SHOWN["drawings"]:
        assert one["bytes"] < 0.8 * min(one["png_bytes"], one["g4_bytes"], one["webp_bytes"])
