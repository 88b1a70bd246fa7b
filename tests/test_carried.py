"""Pages of an archive that carry on what was learned of those before: exact, smaller, read in any order, damaged at once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from make_golden_ink import drawing
from PIL import Image
from reference_ink import Reader

from vlae_codec import open_archive, zoo
from vlae_codec.archive import carried
from vlae_codec.archive.opened import Opened
from vlae_codec.container import MAGIC
from vlae_codec.errors import FormatError, VlaeError
from vlae_codec.picture.raster import Geometry, Kind, PixelFormat, Raster

PAGES = [drawing(110, 131), drawing(90, 120), drawing(121, 100)]
DPI = (300, 300), (300, 300), (200, 200)


@pytest.fixture
def archive(run, tmp_path):
    """Three pages of the same shapes, two of one resolution, and what each takes alone."""
    for number, (bits, dpi) in enumerate(zip(PAGES, DPI, strict=True)):
        Image.fromarray(bits == 0).save(f"{number}.png", dpi=dpi)
    names = [f"{number}.png" for number in range(len(PAGES))]
    (report,) = [json.loads(run("pack", *names, "-o", "pages.vlz", "--jobs", 1, "--json", "-q").stdout)]
    run("compress", *names, "--lossless", "-o", "alone/")
    return report, [path.stat().st_size for path in sorted(Path("alone").iterdir())]


def head_of(path):
    with path.open("rb") as file:
        opened = Opened(file)
        (place,) = opened.places
        head, size = opened.head(place)
        return head, place, size


def test_pages_carry_on_what_was_learned(archive, run, tmp_path):
    report, alone = archive
    head, _, _ = head_of(tmp_path / "pages.vlz")
    assert head.apart.carried
    assert report["bits"]["pixel_bits"] == 8 * head.apart.sizes[0]
    assert "without_model_bits" not in report["bits"], "there is one"
    assert head.apart.sizes[1:] == (0, 0)
    assert head.apart.sizes[0] < 0.95 * sum(alone)
    run("test", "pages.vlz")
    run("unpack", "pages.vlz", "-o", "out")
    for number, (bits, dpi) in enumerate(zip(PAGES, DPI, strict=True)):
        with Image.open(tmp_path / "out" / f"{number}.png") as page:
            assert np.array_equal(np.asarray(page) == 0, bits == 1)
            assert page.info["dpi"] == pytest.approx(dpi, abs=0.01)


def test_they_are_read_in_any_order(archive, run):
    with open_archive("pages.vlz") as pages:
        for number in (2, 0, 1, 2):
            assert np.array_equal(np.asarray(pages[number]).squeeze() == 0, PAGES[number] == 1)
    run("unpack", "pages.vlz", "-o", "one", "--only", "1.png")
    assert [path.name for path in Path("one").iterdir()] == ["1.png"]
    with Image.open("one/1.png") as page:
        assert np.array_equal(np.asarray(page) == 0, PAGES[1] == 1)


def test_the_format_says_how(run, tmp_path):
    """By the slow reader, of two small pages that have something in common."""
    pages = [PAGES[0][:40, :60], PAGES[0][4:44, 3:53]]
    for number, bits in enumerate(pages):
        Image.fromarray(bits == 0).save(f"{number}.png")
    run("pack", "0.png", "1.png", "-o", "pages.vlz")
    head, place, size = head_of(tmp_path / "pages.vlz")
    assert head.apart.carried
    data = (tmp_path / "pages.vlz").read_bytes()
    payload = data[place.offset + size :][: head.apart.sizes[0]]
    width, height = max(one.shape[1] for one in pages), sum(len(one) for one in pages)
    expected, top = np.zeros((height, width), np.uint8), 0
    for bits in pages:
        expected[top : top + len(bits), : bits.shape[1]] = bits
        top += len(bits)
    made = Reader(zoo.named("ink").arrays, width, height).picture(payload)
    assert np.array_equal(made, expected)


def test_a_damaged_chunk_is_lost_in_a_line_and_no_other(archive, run, tmp_path):
    run("pack", *(f"{number}.png" for number in range(3)), "-o", "two.vlz", "--chunk", 2, "--jobs", 1, "-q")
    data = bytearray((tmp_path / "two.vlz").read_bytes())
    with (tmp_path / "two.vlz").open("rb") as file:
        opened = Opened(file)
        place = opened.places[0]
        head, size = opened.head(place)
    assert head.apart.carried
    data[place.offset + size + 30] ^= 1
    (tmp_path / "two.vlz").write_bytes(data)
    said = run("unpack", "two.vlz", "-o", "left", expect=1).stderr
    assert "the check of the pixels fails" in said
    assert [path.name for path in (tmp_path / "left").iterdir()] == ["2.png"]
    assert data[0] == MAGIC


def test_any_flipped_bit_of_a_head_is_found(archive, run, tmp_path):
    _, place, size = head_of(tmp_path / "pages.vlz")
    data = (tmp_path / "pages.vlz").read_bytes()
    for at in range(place.offset, place.offset + size, 3):
        damaged = bytearray(data)
        damaged[at] ^= 2
        (tmp_path / "bad.vlz").write_bytes(damaged)
        assert "Error: " in run("test", "bad.vlz", expect=1).stderr


def test_unlike_pages_stay_apart(run, tmp_path):
    """Noise gains nothing from other noise, so each page is read without the others."""
    for number in range(2):
        bits = np.random.default_rng(number).random((61, 47)) < 0.5
        Image.fromarray(bits).save(f"{number}.png")
    run("pack", "0.png", "1.png", "-o", "noise.vlz", "--model", "ink", "--jobs", 1, "-q")
    head, _, _ = head_of(tmp_path / "noise.vlz")
    assert head.is_divided


def test_what_cannot_stand_one_above_the_other_is_refused():
    two, rgb = PixelFormat(pair=((0,), (255,))), PixelFormat(Kind.RGB)
    with pytest.raises(FormatError, match="one above the other"):
        carried.geometry_of([Geometry(3, 4, two), Geometry(3, 4, rgb)])
    with pytest.raises(FormatError, match="one above the other"):
        carried.geometry_of([Geometry(1 << 14, 1 << 13, two)] * 3)
    pictures = [Raster(bits[..., None], two) for bits in PAGES]
    back = carried.apart(carried.stacked(pictures).samples, [one.geometry for one in pictures])
    assert all(np.array_equal(one.samples, other.samples) for one, other in zip(back, pictures, strict=True))
    assert issubclass(FormatError, VlaeError)
