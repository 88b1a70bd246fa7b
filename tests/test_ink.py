"""The family ink: exact, the same compiled and as Python, as FORMAT.md says, and hard to fool."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tracemalloc
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_golden_ink import FORM, coded, digest, drawing
from reference_ink import Reader

from vlae_codec import zoo
from vlae_codec.codec import compress, decode, inspect
from vlae_codec.coding.bits import varint
from vlae_codec.container2 import read_file2
from vlae_codec.errors import FormatError, ImageError, ModelError, VlaeError
from vlae_codec.exact import compiled
from vlae_codec.family import Ask, Identity, Sampling
from vlae_codec.ink import sections, stream, strips
from vlae_codec.ink.coder import InkFamily
from vlae_codec.ink.model import start_of
from vlae_codec.ink.sections import Way
from vlae_codec.picture.raster import PixelFormat, Raster
from vlae_codec.reason import Reason

GOLDEN = json.loads((Path(__file__).parent / "golden" / "version2" / "ink.json").read_text())


@cache
def ink():
    return zoo.named("ink")


def raster(bits):
    return Raster(np.asarray(bits, np.uint8)[..., None], FORM)


def restored(data):
    return decode([data])[0].raster.samples[..., 0]


@pytest.mark.parametrize(
    "bits",
    [
        drawing(90, 131),  # which compiles, and the others are soon done
        np.zeros((1, 1)),
        np.ones((1, 1)),
        np.zeros((40, 70)),
        np.ones((40, 70)),
        np.eye(1, 2000, 1999),
        np.eye(2000, 1),
        np.indices((64, 64)).sum(0) // 8 % 2,
        drawing(33, 32),
        drawing(64, 8),
    ],
    ids=lambda bits: f"{bits.shape}, {int(bits.sum())} ink",
)
def test_every_pixel_comes_back(bits):
    assert np.array_equal(restored(coded(bits)), bits)


@given(st.integers(1, 40), st.integers(1, 70), st.integers(0, 1 << 30), st.floats(0, 0.6))
@settings(max_examples=30, deadline=None)
def test_every_picture_comes_back(height, width, seed, ink_share):
    bits = (np.random.default_rng(seed).random((height, width)) < ink_share).astype(np.uint8)
    assert np.array_equal(restored(coded(bits)), bits)


def test_noise_takes_what_its_pixels_take():
    bits = np.random.default_rng(0).integers(0, 2, (400, 700)).astype(np.uint8)
    data = coded(bits)
    assert len(data) < bits.size / 8 + 20
    assert np.array_equal(restored(data), bits)


def test_blank_pages_take_nothing():
    assert len(coded(np.zeros((2000, 1500)))) < 40


def test_a_shape_that_comes_again_costs_less():
    rng = np.random.default_rng(1)
    shape = np.kron(rng.integers(0, 2, (7, 7)), np.ones((3, 3), int))
    once = np.zeros((60, 400), np.uint8)
    once[10:31, 10:31] = shape
    often = once.copy()
    for column in range(50, 370, 40):
        often[12:33, column : column + 21] = shape
    assert len(coded(often)) - len(coded(once)) < 8 * (len(coded(once)) - len(coded(np.zeros_like(once)))) / 2


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_files_decode_to_what_they_did(name):
    file, said = GOLDEN[name]
    assert digest(restored(base64.b64decode(file))) == said


@pytest.mark.parametrize(
    "bits",
    [drawing(24, 45), drawing(3, 40), np.eye(20), np.zeros((5, 9)), drawing(16, 31), drawing(12, 63), drawing(24, 60)],
    ids=lambda bits: f"{bits.shape}, {int(bits.sum())} ink",
)
def test_reads_as_the_format_says(bits):
    """Of widths, too, just below a power of two, where the end of a row is near the beginning of the next."""
    data = coded(bits)
    contents = read_file2(data)
    height, width = bits.shape
    made = Reader(ink().arrays, width, height).picture(data[contents.start : contents.end])
    assert np.array_equal(made, bits)


@pytest.fixture
def small_strips(monkeypatch):
    """Strips of pictures that have more than 450 pixels."""
    monkeypatch.setattr(strips, "MOST_PIXELS", 450)


@pytest.mark.parametrize("bits", [drawing(24, 45), np.zeros((31, 40)), np.vstack([np.eye(20), np.zeros((60, 20))])])
def test_strips_read_as_the_format_says(bits, small_strips):
    data = coded(bits)
    contents = read_file2(data)
    height, width = bits.shape
    assert np.array_equal(restored(data), bits)
    made = Reader(ink().arrays, width, height).strips(data[contents.start : contents.end], 450)
    assert np.array_equal(made, bits)
    assert not data.endswith(b"\0")


def test_a_region_needs_its_strips_alone(small_strips, monkeypatch):
    bits, rows, decode_one = drawing(50, 45), [], stream.decode

    def counting(start, content, height, *rest):
        rows.append(height)
        return decode_one(start, content, height, *rest)

    data = coded(bits)
    monkeypatch.setattr(stream, "decode", counting)
    (found,) = decode([data], Sampling(crop=(3, 12, 40, 31)))
    assert np.array_equal(found.raster.samples[..., 0], bits[12:31, 3:40])
    assert rows == [10, 10, 10]


@given(st.binary(max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_strips_or_damaged(content):
    try:
        found = strips.parts(content, 4)
    except FormatError as error:
        assert "\n" not in str(error)
    else:
        head = b"".join(varint(len(one) + 1) for one in found[:-1])
        assert head + b"".join(found) == content


def test_a_picture_too_large_for_models_of_drawings_is_a_page():
    """Of 67 megapixels of two colours, of which few are ink: not a photograph, and five bytes a pixel at most."""
    bits = np.zeros((8200, 8200), np.uint8)
    bits[4000:4024, 5000:5045] = drawing(24, 45)
    tracemalloc.start()
    data = compress(bits * np.uint8(255))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    about = inspect(data)
    assert (about["model"], about["why"]) == ("ink", Reason.UNLIKE.told())
    assert len(data) < 200
    assert peak < 5 * bits.size
    (found,) = decode([data], Sampling(crop=(5000, 4000, 5045, 4024)))
    assert np.array_equal(found.raster.samples[..., 0], drawing(24, 45))


def test_plain_pixels_read_as_the_format_says():
    bits = np.random.default_rng(0).integers(0, 2, (90, 91)).astype(np.uint8)
    data = coded(bits)
    contents = read_file2(data)
    assert data[contents.start] == 1
    assert np.array_equal(Reader(ink().arrays, 91, 90).picture(data[contents.start : contents.end]), bits)


def test_a_model_without_a_network_codes_too():
    arrays = {name: array for name, array in ink().arrays.items() if not name.startswith("network.")}
    start, bits = start_of(arrays), drawing(30, 50)
    data = stream.encode(start, bits)
    assert np.array_equal(stream.decode(start, data, 30, 50), bits)
    assert np.array_equal(Reader(arrays, 50, 30).picture(sections.write(Way.MODEL, data)), bits)


def test_compiled_or_not_makes_the_same_file():
    script = (
        "import sys; sys.modules['numba'] = None\n"
        "sys.path.insert(0, 'tests')\n"
        "from test_ink import compiled, coded, drawing, restored\n"
        "assert not compiled.available()\n"
        "data = coded(drawing(24, 45)); assert (restored(data) == drawing(24, 45)).all()\n"
        "print(data.hex())"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent
    )
    assert run.stdout.strip() == coded(drawing(24, 45)).hex()


def test_what_numba_knows_is_compiled():
    assert (find_spec("numba") is not None) == compiled.available()


def in_python(script, **environment):
    """What a script says, run in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-c", "import sys; sys.path.insert(0, 'tests')\n" + script],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent, env={**os.environ, **environment},
    )  # fmt: skip
    return run.stdout.splitlines()


SMALL = "from test_ink import coded, drawing; print(coded(drawing(24, 45)).hex()); print('numba' in sys.modules)"


def test_few_pixels_need_no_compiling_and_make_the_same_file(tmp_path):
    """Unless machine code was kept by an earlier process: then it is used."""
    hexadecimal, imported = in_python(SMALL, VLAE_CACHE=str(tmp_path))
    assert (hexadecimal, imported) == (coded(drawing(24, 45)).hex(), "False")
    assert not [*tmp_path.iterdir()]


@pytest.mark.skipif(find_spec("numba") is None, reason="numba is not there")
def test_what_was_compiled_is_kept_read_again_and_may_be_damaged(tmp_path):
    script = (
        "import numpy as np\nfrom test_ink import ink, drawing, raster\nfrom vlae_codec.family import Ask\n"
        "told = []\nviews = [ink().view(raster(np.tile(drawing(24, 45), (2, 2))), Ask(lossless=True))]\n"
        "print(ink().encode(views, Ask(lossless=True), lambda *one: told.append(one))[0].data.hex())\n"
        "print([one for one in told if one[0] != 'rows'], 'numba' in sys.modules)"
    )
    first = in_python(script, VLAE_CACHE=str(tmp_path))
    assert first[1] == "[('compiling, once', 0, 1), ('compiling, once', 1, 1)] True"
    kept = [*tmp_path.rglob("*.o")]
    assert len(kept) == 3
    assert in_python(script, VLAE_CACHE=str(tmp_path)) == [first[0], "[] False"]
    kept[0].write_bytes(b"nonsense")
    assert in_python(script, VLAE_CACHE=str(tmp_path)) == first
    assert in_python(script, VLAE_CACHE=str(tmp_path)) == [first[0], "[] False"]


def test_every_flipped_bit_is_found():
    bits = drawing(24, 45)
    data = coded(bits)
    for place in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[place // 8] ^= 0x80 >> place % 8
        try:
            decode([bytes(damaged)])
        except VlaeError as error:
            assert "\n" not in str(error)
        else:
            pytest.fail(f"bit {place} was flipped, and nobody said so")


def test_every_cut_file_is_found():
    data = coded(drawing(24, 45))
    for size in range(len(data)):
        with pytest.raises(FormatError):
            decode([data[:size]])


def test_other_pictures_and_asks_are_refused():
    gray = Raster(np.arange(64, dtype=np.uint8).reshape(8, 8, 1), PixelFormat())
    with pytest.raises(ImageError, match="two colours"):
        ink().view(gray, Ask(lossless=True))
    with pytest.raises(ImageError, match="exactly"):
        ink().view(raster(np.eye(8)), Ask())


def test_a_region_is_cut_out():
    bits = drawing(60, 70)
    (found,) = decode([coded(bits)], Sampling(crop=(5, 7, 40, 31)))
    assert np.array_equal(found.raster.samples[..., 0], bits[7:31, 5:40])
    with pytest.raises(ImageError, match="beyond"):
        decode([coded(bits)], Sampling(crop=(5, 7, 71, 31)))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("contexts", lambda array: array[::-1]),
        ("contexts", lambda array: array[:2]),
        ("contexts", lambda array: array + 100),
        ("mixers", lambda array: array[:, :-1]),
        ("mixers", lambda array: array + (1 << 23)),
        ("calm", lambda array: None),
        ("network.first.weight", lambda array: array[:-1]),
        ("network.output.bias", lambda array: np.array(5)),
        ("network.first.weight", lambda array: np.full_like(array, 32767)),
        ("network.second.weight", lambda array: np.full_like(array, 32767)),
    ],
)
def test_odd_models_are_refused(name, change):
    arrays = {**ink().arrays, name: change(ink().arrays[name])}
    odd = InkFamily().load(Identity("odd", bytes(32)), {key: one for key, one in arrays.items() if one is not None})
    with pytest.raises(ModelError):
        odd.check()
