"""What exact files take by kind of drawing: every image is of one kind, and what kinds take is what columns say."""

from __future__ import annotations

import numpy as np
import pytest
from make_golden_ink import drawing

from vlae_codec import zoo
from vlae_codec.picture.drawing import Drawing
from vlae_codec.report import html, kinds, page_codecs, tables
from vlae_codec.report.kinds import OURS, DrawingKind, OfKind

NAMES = ["icons/a.png", "icons/b.png", "pages/one/a.png", "alone.png"]
PIXELS = [10, 20, 30, 40]
COLUMNS = {
    "kept_file_bits": np.array([80.0, 160, 8, 16]),
    "lossless_file_bits": np.array([8000.0] * 4),
    "png_bits": np.array([800.0, 80, 8, 24]),
    "png_payload_bits": np.ones(4),
    "jb2_bits": np.array([240.0, 160, 16, 8]),
    "raw_bits": np.ones(4),
}
KNOWN = kinds.kinds_of(NAMES, ["", "digits", "", ""], ["ink", "ink", "ink", ""])


def test_every_image_is_of_one_kind():
    found = kinds.by_kind(KNOWN, PIXELS, COLUMNS)
    assert [one.kind for one in found] == sorted({*KNOWN}, key=lambda kind: (kind.folder, kind.known_to))
    assert sum(one.images for one in found) == len(NAMES)
    assert sum(one.pixels for one in found) == sum(PIXELS)
    for codec, key in ((OURS, "kept_file_bits"), ("png", "png_bits"), ("jb2", "jb2_bits")):
        assert sum(one.bytes[codec] for one in found) == COLUMNS[key].sum() / 8
    assert all([*one.bytes] == [OURS, "png", "jb2"] for one in found)


def test_the_smallest_other_is_what_ours_is_held_against():
    alone, kept, _, page = kinds.by_kind(KNOWN, PIXELS, COLUMNS)
    assert (alone.smallest, alone.excess) == ("jb2", pytest.approx(1.0))
    assert (kept.smallest, kept.excess) == ("jb2", pytest.approx(10 / 30 - 1))
    assert (page.smallest, page.excess) == ("png", 0)
    assert kinds.by_kind(KNOWN, PIXELS, {"kept_file_bits": np.ones(4)})[0].excess is None


def test_without_a_look_at_who_knows_them_kinds_are_folders():
    found = kinds.by_kind(kinds.kinds_of(NAMES), PIXELS, {"lossless_file_bits": COLUMNS["lossless_file_bits"]})
    assert [(one.kind.folder, one.bytes[OURS]) for one in found] == [("", 1000), ("icons", 2000), ("pages/one", 1000)]


def test_parts_add_up_to_the_whole():
    whole = kinds.by_kind(KNOWN, PIXELS, COLUMNS)
    parts = [
        kinds.by_kind(KNOWN[at], PIXELS[at], {key: column[at] for key, column in COLUMNS.items()})
        for at in (slice(0, 3), slice(3, 4))
    ]
    assert kinds.together(parts) == whole


def measurement(of_kinds):
    return tables.Measurement("drawings", "tiny", "00", 4, 100, COLUMNS, kinds=of_kinds)


def test_text_json_and_page_have_a_row_a_kind():
    found = measurement(kinds.by_kind(KNOWN, PIXELS, COLUMNS))
    said, page = tables.text(found), html.html(found)
    for words in ("kept exactly, ink", "kept exactly, no model", "sampled by digits; exactly, ink"):
        assert words in said
        assert words in page
    assert tables.summary(found)["kinds"][2] == {
        "folder": "icons", "known_to": "digits", "kept_by": "ink", "images": 1, "pixels": 20,
        "bytes": {"vlae": 20, "png": 10, "jb2": 20}, "smallest_other": "png",
    }  # fmt: skip
    assert tables.summary(found)["kinds"][0]["known_to"] is None


def test_one_folder_is_no_table():
    found = measurement(kinds.by_kind([DrawingKind("digits")] * 4, PIXELS, COLUMNS))
    assert "by kind" not in tables.text(found)
    assert tables.summary(found)["kinds"] == [
        {"folder": "digits", "images": 4, "pixels": 100, "bytes": {"vlae": 33, "png": 114, "jb2": 53}}
        | {"smallest_other": "jb2"}
    ]


def test_folders_of_anybody_are_shown_harmlessly():
    hostile = DrawingKind("<script>\x1b[2J", "", "ink")
    found = measurement([OfKind(hostile, 4, 100, {OURS: 1, "png": 2})])
    assert "\x1b" not in tables.text(found)
    assert "<script>" not in html.html(found)


def test_who_knows_a_drawing_is_who_compress_would_sample_it_by(digits):
    found = page_codecs.columns([Drawing(drawing(60, 131)), digits[0]])
    assert found["known_to"].tolist() == ["", zoo.DEFAULT]
    assert found["kept_by"].tolist()[0] == "ink"
