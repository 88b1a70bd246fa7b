"""Drawings that are no single fields are measured beside codecs for pages, and by the model that suits them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from make_golden_ink import drawing
from PIL import Image

from vlae_codec.errors import VlaeError
from vlae_codec.picture.drawing import Drawing
from vlae_codec.report import page_codecs

DRAWINGS = [drawing(90, 131), drawing(33, 300), np.zeros((5, 9), np.uint8), np.ones((1, 1), np.uint8)]


def test_pages_are_what_is_not_made_of_whole_fields():
    assert page_codecs.are_pages([Drawing(drawing(28, 28)), Drawing(drawing(28, 29))])
    assert not page_codecs.are_pages([Drawing(drawing(56, 28))])


@pytest.mark.parametrize("key", page_codecs.TOOLS)
def test_tools_are_measured_or_said_to_be_missing(key, monkeypatch):
    tool = page_codecs.TOOLS[key]
    if key in page_codecs.available():
        sizes = [page_codecs.tool_bytes(tool, bits) for bits in DRAWINGS]
        assert all(size > 0 for size in sizes)
        assert sizes[0] > sizes[2]
    monkeypatch.setattr(page_codecs.shutil, "which", lambda name: None)
    assert page_codecs.available() == {}
    assert any(tool.package in line for line in page_codecs.unavailable())
    with pytest.raises(VlaeError, match="cannot be measured"):
        page_codecs.tool_bytes(page_codecs.Tool("odd", "none", ("no-such-tool",), ()), DRAWINGS[0])


def test_measure_has_them_beside_the_file_that_compress_makes(run, tmp_path):
    (tmp_path / "pages").mkdir()
    for number, bits in enumerate(DRAWINGS[:2]):
        Image.fromarray(bits == 0).save(tmp_path / "pages" / f"{number}.png")
    found = json.loads(run("measure", "pages", "--json", "--effort", 0, "--jobs", 1, "-q").stdout)
    columns = found["columns"]
    run("compress", "pages/0.png", "pages/1.png", "--lossless", "-o", "out/")
    sizes = [path.stat().st_size for path in (tmp_path / "out").iterdir()]
    assert columns["kept_file_bits"]["mean"] == pytest.approx(8 * sum(sizes) / 2)
    (kind,) = found["kinds"]
    assert (kind["folder"], kind["known_to"], kind["kept_by"], kind["images"]) == ("pages", None, "ink", 2)
    assert kind["bytes"]["vlae"] == sum(sizes)
    assert {f"{key}_bits" for key in page_codecs.available()} <= {*columns}
    assert columns["kept_file_bits"]["mean"] < columns["g4_bits"]["mean"]
