"""Near-lossless pictures: what an encoder may change on edges, and what it never does; what files and commands say of it."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import reference_near
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from make_golden_ink import FORM, drawing
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from reference_ink import Reader

import vlae_codec
from vlae_codec import zoo
from vlae_codec.choose import chooser
from vlae_codec.cli.main import main
from vlae_codec.codec import decode, encode_views, inspect, kept, smallest
from vlae_codec.coding.bits import varint
from vlae_codec.container2 import read_file2
from vlae_codec.errors import FormatError, ImageError
from vlae_codec.family import Ask, Sampling
from vlae_codec.ink import edges, sections, strips
from vlae_codec.ink.near import smoothed, worth_bits
from vlae_codec.ink.sections import Way
from vlae_codec.picture.raster import Kind, PixelFormat, Raster
from vlae_codec.picture.reading import Readable

CASES = Path(__file__).parents[2] / "shared" / "cases" / "drawings"


def text(seed, size=40, noise=0.002, width=400):
    """Lines of text as a scanner sees them: gray noise, a threshold, specks."""
    rng = np.random.default_rng(seed)
    page = Image.new("L", (width, 5 * size), 255)
    for line in range(4):
        words = "".join(rng.choice([*"abcdefghijklmnopqrstuvwxyz  ,.:-"], 60))
        ImageDraw.Draw(page).text((5, (5 * line + 1) * size // 4), words, 0, ImageFont.load_default(size))
    gray = np.asarray(page.filter(ImageFilter.GaussianBlur(1)), float) / 255 + rng.normal(0, 0.15, page.size[::-1])
    return ((gray < 0.5) ^ (rng.random(gray.shape) < noise)).astype(np.uint8)


def blobs(height, width, seed, reach):
    """Noise, smoothed: pieces and holes of all sizes."""
    noise = np.random.default_rng(seed).random((height + reach, width + reach))
    total = sum(noise[down : down + height, right : right + width] for down in range(reach) for right in range(reach))
    return (total > np.median(total)).astype(np.uint8)


@cache
def page():
    return text(3, size=30, width=200)


def near_file(bits, quality=0.0):
    view = zoo.named("ink").view(Raster(bits[..., None], FORM), Ask(quality=quality))
    (file,) = encode_views([view], zoo.named("ink"), Ask(quality=quality))
    return file


def restored(data):
    return decode([data])[0].raster.samples[..., 0]


@given(st.integers(1, 40), st.integers(1, 70), st.integers(0, 1 << 30), st.integers(1, 5), st.sampled_from([0, 50, 99]))
@settings(max_examples=40, deadline=None)
def test_blobs_keep_what_they_are(height, width, seed, reach, quality):
    bits = blobs(height, width, seed, reach)
    reference_near.check(bits, smoothed(bits, quality))


@pytest.mark.parametrize("seed", range(6))
def test_text_keeps_what_it_is_and_costs_less(seed):
    bits = text(seed, size=20 + 5 * seed, width=250)
    made = smoothed(bits, 0)
    assert (made != bits).any()
    reference_near.check(bits, made)
    assert len(near_file(bits).data) < len(near_file(bits, 100).data)


@pytest.mark.parametrize("seed", range(4))
def test_a_small_picture_never_takes_more_than_exactly(seed):
    bits = text(seed, size=8 + 2 * seed, noise=0.1, width=100)
    assert len(near_file(bits).data) <= len(near_file(bits, 100).data)


@pytest.mark.parametrize("quality", [0, 60, 100])
def test_of_a_quality_no_file_is_larger_than_the_exact_one(quality, digits):
    """But for two bytes, which say why it is exact."""
    noise = np.random.default_rng(2).random((24, 24)) < 0.5
    drawings = [
        *(one.bits for one in digits[:3]),
        np.hstack([one.bits for one in digits[3:6]]),
        noise,
        np.eye(9),
        page(),
    ]
    for bits in drawings:
        picture = Image.fromarray(np.asarray(bits) == 0)
        exact, made = vlae_codec.compress(picture, lossless=True), vlae_codec.compress(picture, quality=quality)
        about = inspect(made)
        assert len(made) <= len(exact) + (2 if about["kept_exactly"] else 0)
        assert quality < 100 or (len(made), about["kept_exactly"], about["why"]) == (len(exact), False, None)


@pytest.mark.parametrize("quality", [0, 60, 100])
def test_of_a_quality_all_is_kept_that_the_exact_file_keeps(quality):
    """Colours of 16 bits, opacity, resolution: whatever a model of single drawings does not hold is none of its."""
    bits = np.zeros((28, 28), np.uint8)
    bits[6:20, 12:14] = 1
    deep = np.where(bits[..., None], np.uint16([1000, 2000, 3000]), np.uint16([1001, 2001, 3001]))
    clear = np.dstack([100 + 50 * bits, 255 - 55 * bits]).astype(np.uint8)
    for picture in (deep, clear):
        form = PixelFormat(Kind.RGB if picture is deep else Kind.GRAY, 8 * picture.itemsize, alpha=picture is clear)
        readable = Readable.of_raster(Raster(picture, form))
        choice = chooser(Ask(quality=quality))
        (made,) = smallest(choice, [choice.see(readable)])
        (back,) = decode([kept(made).encoded.data])
        assert back.raster.colours().dtype == picture.dtype
        assert np.array_equal(back.raster.colours(), picture)


def test_of_a_quality_a_resolution_is_kept_and_what_was_converted_is_told_of(tmp_path, monkeypatch, digits):
    monkeypatch.chdir(tmp_path)
    digit = Image.fromarray(digits[0].bits == 0)
    digit.save("scan.png", dpi=(300, 300))
    digit.convert("CMYK").save("print.tif")
    for name in ("scan.png", "print.tif"):
        (row,) = json.loads(run("compress", name, "-Q", 60, "-f", "--json").stdout)
        assert row["family"] == "ink"
        assert not row["kept_exactly"]
        assert (row["note"] or "") == ("its colours were converted from CMYK to RGB" if name == "print.tif" else "")


@pytest.mark.parametrize("path", sorted(CASES.glob("*.png")), ids=lambda path: path.stem)
def test_pictures_of_users_keep_what_they_are(path):
    bits = (np.asarray(Image.open(path).convert("L")) < 128).astype(np.uint8)[:400, :400]
    reference_near.check(bits, smoothed(bits, 0))


@pytest.mark.parametrize(
    "bits",
    [
        np.eye(40, dtype=np.uint8),
        np.eye(40, dtype=np.uint8) | np.eye(40, k=1, dtype=np.uint8),
        1 - np.eye(40, dtype=np.uint8),
        np.indices((40, 40)).sum(0).astype(np.uint8) % 2,
        (np.indices((40, 40)).max(0) % 2).astype(np.uint8),
        np.zeros((40, 40), np.uint8),
        np.ones((40, 40), np.uint8),
        np.ones((1, 1), np.uint8),
        np.ones((2, 900), np.uint8),
    ],
    ids=["line", "stairs", "line of paper", "board", "angles", "blank", "ink", "pixel", "band"],
)
def test_lines_and_plain_areas_stay(bits):
    assert np.array_equal(smoothed(bits, 0), bits)


def test_specks_stay_and_bumps_go():
    bits = np.zeros((60, 400), np.uint8)
    bits[20:40, 5:-5] = 1
    specks = [(5, 17 * place) for place in range(1, 20)]
    bumps = [(19, 37 * place) for place in range(1, 10)]
    for place in specks + bumps:
        bits[place] = 1
    made = smoothed(bits, 0)
    assert all(made[place] for place in specks)
    assert not any(made[place] for place in bumps)


def test_a_pixel_is_simple_where_a_flip_changes_no_piece():
    for neighbours in range(256):
        bits = np.zeros((3, 3), np.uint8)
        for bit, (down, right) in enumerate(edges._AROUND):
            bits[1 + down, 1 + right] = neighbours >> bit & 1
        both = []
        for own in (0, 1):
            bits[1, 1] = own
            number, _ = reference_near.pieces(bits)
            beside = [(1 + down, 1 + right) for down, right in reference_near.SIDES]
            corners = [(1 + down, 1 + right) for down, right in reference_near.CORNERS]
            both.append(({number[at] for at in corners if bits[at]}, {number[at] for at in beside if not bits[at]}))
        assert edges.simple()[neighbours] == (len(both[0][0]) == 1 and len(both[1][1]) == 1)


def test_quality_says_what_a_pixel_is_worth():
    changed = [int((smoothed(page(), quality) != page()).sum()) for quality in (0, 30, 60, 99, 100)]
    assert changed == sorted(changed, reverse=True)
    assert changed[0] > changed[3] > changed[4] == 0
    assert worth_bits(0) < worth_bits(50) < worth_bits(100)


def test_compiled_or_not_changes_the_same_pixels():
    script = (
        "import sys; sys.modules['numba'] = None\n"
        "sys.path.insert(0, 'tests')\n"
        "from test_near import smoothed, text\n"
        "print(smoothed(text(1, width=60), 10).tobytes().hex())"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent
    )
    made = smoothed(text(1, width=60), 10)
    assert (made != text(1, width=60)).any()
    assert run.stdout.strip() == made.tobytes().hex()


def test_files_say_how_many_pixels_changed():
    file, made = near_file(page()), smoothed(page(), 0)
    changed = int((made != page()).sum())
    assert np.array_equal(restored(file.data), made)
    about = inspect(file.data)
    assert (about["kind"], about["changed_pixels"], about["kept_exactly"]) == ("lossy", changed, False)
    assert (file.ledger.changed_pixels, file.ledger.differing_pixels) == (changed, changed)
    assert f"{changed:,} pixels" in decode([file.data])[0].note


def test_the_best_quality_is_the_exact_file():
    view = zoo.named("ink").view(Raster(page()[..., None], FORM), Ask(lossless=True))
    (exact,) = encode_views([view], zoo.named("ink"), Ask(lossless=True))
    assert near_file(page(), 100).data == exact.data
    assert "changed_pixels" not in inspect(near_file(page(), 100).data)


def test_reads_as_the_format_says():
    bits = text(1, size=24, width=90)
    data = near_file(bits).data
    assert inspect(data)["changed_pixels"]
    contents = read_file2(data)
    made = Reader(zoo.named("ink").arrays, 90, 120).picture(data[contents.start : contents.end])
    assert np.array_equal(made, smoothed(bits, 0))


@pytest.mark.parametrize("changed", [1, 127, 128, 2000])
def test_changed_pixels_are_read_back(changed):
    content = bytes(249) + b"\x10"
    assert sections.read(sections.write(Way.PLAIN, content, changed), 2000) == (Way.PLAIN, content, changed)
    assert sections.read(sections.write(Way.MODEL, content, changed), 2000) == (Way.MODEL, content, changed)


@pytest.mark.parametrize("changed", [0, 2001])
def test_impossible_numbers_of_changed_pixels_are_refused(changed):
    data = bytearray(sections.write(Way.MODEL, b"\x10", 5))
    said = varint(changed) + b"\x10"
    data[1:] = zlib.crc32(bytes(data[:1]) + said).to_bytes(4, "big") + said
    with pytest.raises(FormatError, match="damaged"):
        sections.read(bytes(data), 2000)


def test_a_region_is_cut_out():
    made = smoothed(page(), 0)
    (found,) = decode([near_file(page()).data], Sampling(crop=(5, 7, 40, 31)))
    assert np.array_equal(found.raster.samples[..., 0], made[7:31, 5:40])


def test_rates_are_refused():
    with pytest.raises(ImageError, match="nearly"):
        zoo.named("ink").view(Raster(page()[..., None], FORM), Ask(bpp=0.1))


# Commands


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "page.png"
    Image.fromarray(255 * (1 - page())).convert("1").save(path)
    return path


def run(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)])


def test_compress_says_what_changed(scan):
    changed = int((smoothed(page(), 20) != page()).sum())
    said = run("compress", scan, "-Q", 20, "--verify")
    assert said.exit_code == 0, said.output
    assert f"{scan}: {changed:,} pixels on edges changed ({100 * changed / page().size:.2f} %)" in said.output
    about = json.loads(run("info", scan.with_suffix(".vlz"), "--json").output)
    assert (about["model"], about["changed_pixels"]) == ("ink", changed)
    assert f"changed pixels   {changed}" in run("info", scan.with_suffix(".vlz")).output
    (row,) = json.loads(run("compress", scan, "-Q", 20, "-f", "--json").stdout)
    assert (row["changed_pixels"], row["kept_exactly"]) == (changed, False)
    assert run("decompress", scan.with_suffix(".vlz"), "-o", scan.with_name("back.png")).exit_code == 0
    back = np.asarray(Image.open(scan.with_name("back.png")).convert("L")) == 0
    assert np.array_equal(back, smoothed(page(), 20) == 1)


def test_pages_are_exact_at_the_best_quality_and_if_nothing_is_asked_for(scan):
    for options in (("--model", "ink", "--lossless"), ("-Q", 100)):
        (row,) = json.loads(run("compress", scan, "-f", "--json", *options).stdout)
        assert (row["changed_pixels"], row["differing_pixels"]) == (0, 0)
        assert np.array_equal(restored(scan.with_suffix(".vlz").read_bytes()), page())
    assert run("compress", scan, "-f", "--lossless", "-Q", 50).exit_code == 2


def test_a_threshold_makes_two_colours_of_a_gray_scan(scan):
    gray = scan.with_name("gray.png")
    Image.fromarray(200 - 150 * page() + page()[::-1] * 9).save(gray)
    (row,) = json.loads(run("compress", gray, "--threshold", 128, "-Q", 20, "--json").stdout)
    assert (row["model"], row["changed_pixels"]) == ("ink", (smoothed(page(), 20) != page()).sum())
    assert np.array_equal(restored(gray.with_suffix(".vlz").read_bytes()), smoothed(page(), 20))


def test_archives_change_edges_for_a_quality_too(scan, tmp_path):
    out = tmp_path / "all.vlz"
    packed = run("pack", scan, "-o", out, "-Q", 0, "--json")
    assert packed.exit_code == 0, packed.output
    changed = int((smoothed(page(), 0) != page()).sum())
    assert json.loads(packed.stdout)["changed_pixels"] == changed
    with vlae_codec.open_archive(out) as archive:
        assert np.array_equal(np.asarray(archive[0]).squeeze() == 0, smoothed(page(), 0) == 1)


def test_python_takes_a_quality(scan):
    data = vlae_codec.compress(Image.open(scan), quality=20)
    assert inspect(data)["changed_pixels"] == (smoothed(page(), 20) != page()).sum()


def test_plain_pixels_carry_the_number_too():
    bits = drawing(9, 9)
    data = sections.write(Way.PLAIN, np.packbits(bits).tobytes(), 3)
    assert np.array_equal(Reader(zoo.named("ink").arrays, 9, 9).picture(data), bits)


def test_strips_keep_what_pages_are(monkeypatch):
    whole = smoothed(page(), 0)
    monkeypatch.setattr(strips, "MOST_PIXELS", 40 * page().shape[1])
    made = smoothed(page(), 0)
    reference_near.check(page(), made)
    assert (made != page()).any()
    assert (made != whole).any()
