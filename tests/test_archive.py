"""Laws of archives: what comes out is what went in, damage costs one chunk and is told, and no claim is believed."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import HERE, TINY, drawings_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from make_golden import content_of
from PIL import Image
from test_sources import HOSTILE_NAMES, same_pictures

import vlae_codec
from vlae_codec import codec, zoo
from vlae_codec.archive import frame, heads, pack, unpack
from vlae_codec.archive.chunks import Settings
from vlae_codec.archive.heads import LARGEST_CHUNK, Cursor, Head, Header, checked, deflate
from vlae_codec.archive.manifests import DICTIONARY
from vlae_codec.archive.numbers import Numbers
from vlae_codec.archive.opened import Opened
from vlae_codec.archive.version1 import CHUNK_MARKER, INDEX_MARKER, parse_head, write_head, write_header
from vlae_codec.coding.bits import varint
from vlae_codec.container import Kind, write_start
from vlae_codec.errors import FormatError, ImageError, ModelError, VlaeError
from vlae_codec.family import Sampling
from vlae_codec.field import chain
from vlae_codec.field.bitsback import Counted
from vlae_codec.field.chaining import write_state
from vlae_codec.picture.drawing import Drawing, Look, format_of
from vlae_codec.picture.fields import to_fields
from vlae_codec.picture.images import png_bytes, to_drawing, to_picture
from vlae_codec.picture.raster import Geometry
from vlae_codec.sets.manifest import ArrayForm, FilesForm, Forms
from vlae_codec.sets.restore import Restorer
from vlae_codec.sets.sources import gather

NOISE = np.random.default_rng(2).integers(0, 2, (28, 28), np.uint8)
HUGE = 1 << 40
GOLDEN = sorted((HERE / "golden").glob("*.json"))


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def save(path, drawing):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png_bytes(to_picture(drawing)))


@pytest.fixture
def album(digits):
    """A folder of pictures of several sizes and looks, arrays of each kind, as paths in the order in which they go in."""
    page = np.zeros((61, 40), np.uint8)
    page[3:31, 5:33] = digits[3].bits
    drawings = {
        "a": digits[0],
        "b": Drawing(digits[14].bits, Look((255,), (0,))),
        "blank": Drawing(np.zeros((28, 28), np.uint8)),
        "deep/deep": Drawing(digits[9].bits, Look((3,), (60000,), deep=True)),
        "deep/glass": Drawing(digits[8].bits, Look((0, 0, 0, 0), (9, 8, 7, 255))),
        "noise": Drawing(NOISE),
        "page": Drawing(page, Look((0, 0, 255), (255, 200, 0))),
        "thin": Drawing(np.eye(2, 70, dtype=np.uint8)),
    }
    for name, drawing in drawings.items():
        save(f"album/{name}.png", drawing)
    bits = np.stack([digit.bits for digit in digits[20:27]])
    np.save("bytes.npy", bits * np.uint8(255))
    np.savez("two.npz", small=bits[:2, 4:20, 9:17].astype(bool), packed=np.packbits(bits.reshape(7, -1), axis=1))
    return ["album", "bytes.npy", "two.npz"]


def packed(model, *paths, jobs=1, **options):
    """The archive of some sources."""
    out = io.BytesIO()
    with gather([str(path) for path in paths], exact=options.get("lossless", True)) as gathered:
        ledger = pack.pack(gathered.sources, out, model, Settings(**{"effort": 0, **options}), jobs=jobs)
    assert ledger.total_bytes == len(out.getvalue())
    assert sum(ledger.bits.values()) == pytest.approx(8 * ledger.total_bytes)
    return out.getvalue()


def restored(data, model, folder, jobs=1, force=False, **sampling):
    """What `unpack` does with a whole archive: the names of the files, and what was lost."""
    file = io.BytesIO(data)
    opened = Opened(file)
    with Restorer(Path(folder), opened.header.forms, force) as restorer:
        done = unpack.restore(opened, restorer, Sampling(**sampling), model=model, jobs=jobs)
    return [str(path.relative_to(folder)) for path in done.written], [*opened.damages, *done.lost]


def images(data, model, jobs=1):
    """The images that an archive still holds, by number, as (name, colours, pixels); and what it says is wrong."""
    file = io.BytesIO(data)
    opened = Opened(file)
    found, problems = {}, list(opened.damages)
    for piece in unpack.unpack(opened, model=model, jobs=jobs):
        problems += [piece.error] * (piece.error is not None)
        for name, index, picture in zip(opened.names(piece), piece.numbers, piece.pictures, strict=False):
            drawing = picture.drawing
            found[index] = name, drawing.look, drawing.bits.shape, drawing.bits.tobytes()
    return found, problems


def check_round_trip(model, paths, folder="out", jobs=1, **options):
    """Pictures and arrays come back as they were, and nothing else."""
    data = packed(model, *paths, jobs=jobs, **options)
    written, lost = restored(data, model, folder, jobs)
    assert lost == []
    assert unpack.verify(Opened(io.BytesIO(data)), model=model) == []
    assert sorted(written) == sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())
    for path in map(Path, paths):
        if path.is_dir():
            same_pictures(path, Path(folder) / path)
        else:
            same_arrays(path, Path(folder) / path)
    return data


def same_arrays(path, other):
    if path.suffix == ".npz":
        with np.load(path) as one, np.load(other) as two:
            assert one.files == two.files
            assert all(same_array(one[key], two[key]) for key in one.files)
    else:
        assert same_array(np.load(path), np.load(other))


def same_array(one, two):
    return one.dtype == two.dtype and np.array_equal(one, two)


# Round trips


@pytest.mark.parametrize(("chunk", "effort"), [(1, 0), (3, 2), (1000, 4)])
def test_archives_round_trip_whatever_the_chunks(tiny, album, chunk, effort):
    data = check_round_trip(tiny, album, chunk=chunk, effort=effort)
    contents = frame.read_contents(io.BytesIO(data))
    assert sum(place.images for place in contents.places) == contents.header.forms.images == 24
    assert len(contents.places) == -(-24 // chunk)
    assert contents.damages == ()


def test_any_number_of_jobs_gives_the_same_bytes_and_images(tiny, album):
    one = packed(tiny, *album, chunk=7)
    assert packed(tiny, *album, chunk=7, jobs=2) == one
    assert images(one, tiny, jobs=2) == images(one, tiny)


def test_an_image_is_taken_by_its_name(tiny, album):
    data = packed(tiny, *album, chunk=5)
    opened = Opened(io.BytesIO(data))
    found, _ = images(data, tiny)
    names = list(unpack.names(opened))
    assert names == [name for name, *_ in found.values()]
    assert names[:3] + names[-1:] == ["album/a.png", "album/b.png", "album/blank.png", "two.npz/packed/6"]
    for name, *expected in found.values():
        (taken,) = unpack.take(opened, [name], model=tiny)
        drawing = taken.picture.drawing
        assert [drawing.look, drawing.bits.shape, drawing.bits.tobytes()] == expected
    for name in ("a.png", "bytes.npy/7", "bytes.npy/-1", "bytes.npy/x", "bytes.npy/" + "9" * 5000, "", "/"):
        (taken,) = unpack.take(opened, [name], model=tiny)
        assert taken.picture is None
        assert "no image named" in taken.error


def test_images_are_taken_by_patterns_and_each_chunk_is_decoded_once(tiny, album, monkeypatch):
    opened = Opened(io.BytesIO(packed(tiny, *album, chunk=5)))
    decoded, unmake = [], unpack.chunks.unmake

    def counting(shared, stored, done):
        decoded.append(stored.place.first)
        return unmake(shared, stored, done)

    monkeypatch.setattr(unpack.chunks, "unmake", counting)
    names = list(unpack.names(opened))
    for patterns, expected in (
        (["album/*"], names[:8]),
        (["two.npz/small/?", "album/[ab].png", "album/a.png"], ["album/a.png", "album/b.png", *names[15:17]]),
        (["*"], names),
        (["bytes.npy/6", "bytes.npy/5"], ["bytes.npy/5", "bytes.npy/6"]),
    ):
        decoded.clear()
        taken = [*unpack.take(opened, patterns, model=tiny)]
        assert [one.name for one in taken] == expected
        assert all(one.picture is not None for one in taken)
        assert decoded == sorted({names.index(name) // 5 * 5 for name in expected})
    found = [*unpack.take(opened, ["album/a.png", "nothing*", "[x", "bytes.npy/9"], model=tiny)]
    assert [(one.name, one.picture is None) for one in found] == [
        ("album/a.png", False),
        ("nothing*", True),
        ("[x", True),
        ("bytes.npy/9", True),
    ]


def test_a_pattern_tells_of_images_whose_names_are_lost(tiny, album):
    data = bytearray(packed(tiny, *album, chunk=4))
    place = frame.read_contents(io.BytesIO(bytes(data))).places[1]
    data[place.offset + 6] ^= 1
    opened = Opened(io.BytesIO(bytes(data)))
    for patterns, count in ((["album/*"], 4), (["bytes.npy/3", "*/a.png"], 2)):
        taken = [*unpack.take(opened, patterns, model=tiny)]
        assert [one.error for one in taken if one.picture is not None] == [None] * count
        (lost,) = (one.error for one in taken if one.picture is None)
        assert lost.startswith("lost images 4 to 7 of the archive: ")
    assert [one.name for one in unpack.take(opened, ["bytes.npy/3"], model=tiny)] == ["bytes.npy/3"]


def test_an_archive_is_read_once_however_often_it_is_asked(tiny, album, read_bytes):
    data = packed(tiny, *album, chunk=5)
    opened = Opened(io.BytesIO(data))
    unpack.inspect(opened)
    known = len(read_bytes)
    assert len([*unpack.names(opened)]) == 24
    unpack.inspect(opened)
    assert len(read_bytes) == known
    assert len([*unpack.unpack(opened, model=tiny)]) == 5
    assert len(read_bytes) == known + 5, "of each chunk nothing but its payload"


def test_inspect_says_what_there_is(tiny, album):
    data = packed(tiny, *album, chunk=10)
    about = unpack.inspect(Opened(io.BytesIO(data)))
    assert (about["bytes"], about["images"], about["chunks"]) == (len(data), 24, 3)
    assert (about["lossless"], about["ordered"], about["damages"]) == (True, True, [])
    assert about["sources"][0] == "8 loose pictures"
    assert "28x28" in about["sources"][1]


def test_lossy_archives_hold_the_codes_of_single_files(tiny, album):
    """So that an image decodes to the same picture, for every seed."""
    data = packed(tiny, *album, lossless=False, chunk=9)
    with gather(album, exact=False) as gathered:
        drawings = [one for source in gathered.sources for one in drawings_of(source)]
    single = [one.data for one in codec.encode(drawings, tiny, effort=0)]
    for seed in (0, 5):
        file = io.BytesIO(data)
        pieces = unpack.unpack(Opened(file), None, Sampling(seed, 0.9), model=tiny)
        found = [picture.drawing for piece in pieces for picture in piece.pictures]
        decoded = [one.drawing for one in codec.decode(single, Sampling(seed, 0.9), model=tiny)]
        assert all(np.array_equal(one.bits, two.bits) for one, two in zip(found, decoded, strict=True))
        assert [one.look for one in found] == [one.look for one in drawings]


def test_a_set_without_order_keeps_all_but_the_order(tiny, digits):
    shown = [*digits[:12], digits[3], digits[3]]
    for i, digit in enumerate(shown):
        save(f"in/{i:02}.png", digit)
    data = packed(tiny, "in", ordered=False)
    written, lost = restored(data, tiny, "out")
    assert (lost, sorted(written)) == ([], [f"{i:02}.png" for i in range(14)])
    found = [to_drawing(Image.open(path)).bits.tobytes() for path in Path("out").iterdir()]
    assert Counter(found) == Counter(digit.bits.tobytes() for digit in shown)
    array = np.stack([digit.bits for digit in shown])
    np.save("x.npy", array)
    data = packed(tiny, "x.npy", ordered=False)
    assert len(data) < len(packed(tiny, "x.npy"))
    assert restored(data, tiny, "out") == (["x.npy"], [])
    back = np.load("out/x.npy")
    assert (back.shape, back.dtype) == (array.shape, array.dtype)
    assert Counter(map(np.ndarray.tobytes, back)) == Counter(map(np.ndarray.tobytes, array))
    (taken,) = unpack.take(Opened(io.BytesIO(data)), ["x.npy/13"], model=tiny)
    assert np.array_equal(taken.picture.drawing.bits, back[13])


def test_a_set_of_several_sizes_or_looks_or_a_lossy_one_is_refused(tiny, digits):
    save("a.png", digits[0])
    for i, odd in enumerate([Drawing(NOISE[:20]), Drawing(NOISE, Look((1,), (2,))), Drawing(NOISE.repeat(2, 0))]):
        save(f"odd{i}.png", odd)
        for paths in (["a.png", f"odd{i}.png"], [f"odd{i}.png", "a.png"]):
            with pytest.raises(ImageError, match=r"one size, 28x28|same paper and ink"):
                packed(tiny, *paths, ordered=False)
    with pytest.raises(ValueError, match="lossless"):
        Settings(lossless=False, ordered=False)


def test_an_image_of_many_fields_ends_its_chunk(tiny):
    wide = np.zeros((28 * 70, 28 * 70), np.uint8)
    np.save("x.npy", np.stack([wide] * 3))
    data = check_round_trip(tiny, ["x.npy"])
    assert [place.images for place in frame.read_contents(io.BytesIO(data)).places] == [1, 1, 1]


def test_files_cost_their_fields_and_little_more(tiny, digits):
    np.save("x.npy", np.stack([digit.bits for digit in digits]))
    data = packed(tiny, "x.npy")
    fields = np.stack([digit.bits for digit in digits])
    assert len(data) - len(chain.push(tiny, fields, np.ones(fields.shape, bool)).data) < 300


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_archives_decode_to_their_content(tiny, path):
    golden = json.loads(path.read_text(encoding="utf-8"))
    model = tiny if path.stem == "tiny" else zoo.named(path.stem)
    assert golden["archives"]
    for case in golden["archives"]:
        assert content_of(base64.b64decode(case["file"]), model) == case["content"], case["name"]


# Damage


@pytest.fixture
def small(tiny, digits):
    """An archive of three chunks: two digits; noise and a blank picture; two rows of an array."""
    for name, drawing in {
        "a": digits[0],
        "b": digits[31],
        "c": Drawing(NOISE[:9, :9]),
        "d": Drawing(np.zeros((3, 3), np.uint8), Look((5,), (6,))),
    }.items():
        save(f"{name}.png", drawing)
    np.save("x.npy", np.stack([digits[7].bits, digits[8].bits]))
    return packed(tiny, "a.png", "b.png", "c.png", "d.png", "x.npy", chunk=2)


def check_damaged(data, model, whole, places):
    """Nothing wrong comes out, all of the chunks that are whole does, and something is said."""
    found, problems = images(data, model)
    assert found.items() <= whole.items()
    assert {i for place in places for i in range(place.first, place.first + place.images)} <= found.keys()
    assert problems
    return found


def test_a_flipped_bit_anywhere_costs_no_more_than_its_chunk(tiny, small):
    whole, _ = images(small, tiny)
    assert len(whole) == 6
    places = frame.read_contents(io.BytesIO(small)).places
    for position in range(len(small)):
        damaged = bytearray(small)
        damaged[position] ^= 1 << position % 8
        hit = [place for place in places if place.offset <= position < place.offset + place.length]
        found = check_damaged(bytes(damaged), tiny, whole, set(places) - set(hit))
        assert len(found) == 6 - sum(place.images for place in hit)


@pytest.mark.parametrize("change", [lambda left, right: left + right[1:], lambda left, right: left + b"\x5a" + right])
def test_a_byte_too_few_or_too_many_costs_no_more_than_its_chunk(tiny, small, change):
    whole, _ = images(small, tiny)
    places = frame.read_contents(io.BytesIO(small)).places
    for position in range(len(small)):
        rest = [place for place in places if not place.offset <= position < place.offset + place.length]
        check_damaged(change(small[:position], small[position:]), tiny, whole, rest)


def test_a_cut_archive_keeps_the_chunks_before_the_cut(tiny, small):
    whole, _ = images(small, tiny)
    places = frame.read_contents(io.BytesIO(small)).places
    for cut in range(len(small)):
        if cut < places[0].offset:
            with pytest.raises(FormatError):
                frame.read_contents(io.BytesIO(small[:cut]))
        else:
            here = [place for place in places if place.offset + place.length <= cut]
            assert len(check_damaged(small[:cut], tiny, whole, here)) == 2 * len(here)


@pytest.mark.parametrize("options", [{"lossless": False}, {"ordered": False}])
def test_damage_of_lossy_archives_and_sets_is_found(tiny, digits, options):
    np.save("x.npy", np.stack([digit.bits for digit in digits[:6]]))
    data = packed(tiny, "x.npy", chunk=3, **options)
    whole, _ = images(data, tiny)
    for position in range(0, len(data), 3):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        check_damaged(bytes(damaged), tiny, whole, [])


def test_with_header_and_index_damaged_it_is_no_archive(tiny, small):
    damaged = bytearray(small)
    damaged[20] ^= 1
    damaged[-30] ^= 1
    with pytest.raises(FormatError, match="header"):
        frame.read_contents(io.BytesIO(bytes(damaged)))


def test_chunks_are_found_wherever_they_are(tiny, small):
    """Without an index: out of order, twice, behind rubbish, and beside some that do not belong."""
    whole, _ = images(small, tiny)
    contents = frame.read_contents(io.BytesIO(small))
    header = small[: contents.places[0].offset]
    one, two, three = (small[place.offset : place.offset + place.length] for place in contents.places)
    for chunks in ([three, b"rubbish" + CHUNK_MARKER, two, two, one], [one + one, CHUNK_MARKER * 3, three, two]):
        found, problems = images(header + b"".join(chunks), tiny)
        assert (found, len(problems)) == (whole, 1)
    found, problems = images(header + two, tiny)
    assert (found.keys(), len(problems)) == ({2, 3}, 3)
    beyond = chunk_of(tiny, Drawing(NOISE[:5, :5]), first=6)
    overlapping = chunk_of(tiny, Drawing(NOISE[:5, :5]), first=3)
    assert images(header + one + two + three + beyond + overlapping, tiny)[0] == whole


def test_what_is_lost_is_named(tiny, small):
    places = frame.read_contents(io.BytesIO(small)).places
    damaged = bytearray(small)
    damaged[places[0].offset + places[0].length - 6] ^= 1  # a payload
    damaged[places[1].offset + 6] ^= 1  # a head
    written, lost = restored(bytes(damaged), tiny, "out")
    assert (written, len(lost)) == (["x.npy"], 2)
    assert "lost a.png, b.png: " in lost[0]
    assert "lost images 2 to 3 of the archive: " in lost[1]
    for problem in (*lost, *unpack.verify(Opened(io.BytesIO(bytes(damaged))), model=tiny)):
        assert "damaged" in problem
    opened = Opened(io.BytesIO(bytes(damaged)))
    assert list(unpack.names(opened)) == ["a.png", "b.png", "x.npy/0", "x.npy/1"]
    assert len(unpack.inspect(opened)["damages"]) == 1
    (taken,) = unpack.take(opened, ["a.png"], model=tiny)
    assert "lost a.png" in taken.error


def test_an_array_of_which_hardly_anything_is_left_is_not_written(tiny, digits):
    np.save("x.npy", np.stack([digit.bits for digit in digits[:4]]))
    np.save("y.npy", np.stack([digit.bits for digit in digits[:2]]))
    data = packed(tiny, "x.npy", "y.npy", chunk=2)
    places = frame.read_contents(io.BytesIO(data)).places
    written, lost = restored(data[: places[1].offset], tiny, "out")
    assert written == ["x.npy"]
    assert not np.load("out/x.npy")[2:].any()
    assert len(lost) == 4
    assert lost[-2:] == [
        "what is lost of x.npy is blank in it",
        "y.npy is not written: hardly any of its images were restored",
    ]


# Hostile archives


def forged(model, manifests, *chunks, rows=(), options=0, text=None):
    """An archive whose checks hold: its manifest may be any text, its index is there if it has rows."""
    text = deflate(json.dumps(manifests).encode(), DICTIONARY) if text is None else text
    header = checked(write_start(Kind.ARCHIVE, model.identity) + bytes([options]) + varint(len(text)) + text)
    numbers, done = [], 0
    for length, count in rows:
        numbers.append((length, Numbers((range(done, done + count),))))
        done += count
    index = frame.write_index(header, numbers) if rows else b""
    return header + b"".join(chunks) + index


def chunk_of(model, drawing, first=0, names=()):
    return b"".join(map(checked, unchecked_chunk_of(model, drawing, first, names)))


def unchecked_chunk_of(model, drawing, first=0, names=()):
    """Head and payload of a chunk with one image of one field."""
    height, width = drawing.bits.shape
    field, inside = to_fields(drawing.bits)
    pushed = chain.push(model, field, inside)
    head = head_of(first, names, [(form(width, height, drawing.look), 1)], pushed.counted, len(pushed.data))
    return head[:-4], pushed.data


def form(width, height, look=Look()):
    return Geometry(width, height, format_of(look))


def head_of(first, names, runs, counted, payload_bytes):
    """A head as bytes."""
    numbers = Numbers.between(first, sum(count for _, count in runs))
    return write_head(Head(numbers, names, tuple(runs), write_state(counted), payload_bytes))


def files_form(count):
    return [{"kind": "files", "count": count}]


def array_form(count, side=28):
    return [ArrayForm("npy", "x.npy", "|u1", (count, side, side), 0, 255).manifest()]


@pytest.mark.parametrize("manifests", [files_form(HUGE), array_form(HUGE // 784), array_form(1 << 26, 128)])
@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("options", [0, 1, 2])
def test_claims_of_any_number_of_images_cost_nothing(tiny, manifests, count, options):
    """And no array of padding is written."""
    side = manifests[0].get("shape", [0, 9, 9])[1]
    names = ("a.png",) if manifests[0]["kind"] == "files" and options == 0 else ()
    chunks = [chunk_of(tiny, Drawing(NOISE[:9, :9]), 77, names)] * (count if side == 9 else 0)
    data = forged(tiny, manifests, *chunks, options=options)
    tracemalloc.start()
    written, lost = restored(data, tiny, "out")
    about, named = unpack.inspect(Opened(io.BytesIO(data))), sum(1 for _ in unpack.names(Opened(io.BytesIO(data))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert written == ["a.png"] * len(chunks) * (options == 0)
    assert lost
    assert len(about["damages"]) <= 3
    assert named <= len(chunks)
    assert peak < 1 << 24
    assert sum(path.stat().st_size for path in Path("out").iterdir()) < 1000


@pytest.mark.parametrize("rows", [[(40, 1 << 35)] * 3, [(40, HUGE)], [(40, 0), (40, 3)], [(1 << 34, 3)], [(40, 2)]])
def test_an_index_of_impossible_chunks_is_damaged(tiny, rows):
    total = sum(images for _, images in rows)
    data = forged(tiny, array_form(min(total, HUGE // 784)), bytes(40) * len(rows), rows=rows)
    found, problems = images(data, tiny)
    assert found == {}
    assert problems


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, "ok.png\nb.png"])
def test_hostile_names_write_nothing(tiny, tmp_path, name):
    if "\udcff" in name:
        pytest.skip("no UTF-8 spells it")
    data = forged(tiny, files_form(1), chunk_of(tiny, Drawing(NOISE), names=(name,)))
    written, lost = restored(data, tiny, tmp_path / "deep" / "out")
    assert written == []
    assert len(lost) == 2
    assert all(line.isprintable() for line in (*lost, *unpack.inspect(Opened(io.BytesIO(data)))["damages"]))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_name_that_is_no_text_is_refused(tiny):
    text = deflate(b"\xff.png")
    head = bytes([0, 0, 0, 1, 1, 28, 28, 0, 1, 0, 1, len(text)]) + text + varint(5)
    found, problems = images(forged(tiny, files_form(1), checked(CHUNK_MARKER + head) + checked(b"hello")), tiny)
    assert (found, len(problems)) == ({}, 2)


@pytest.mark.parametrize("names", [(), ("a.png", "b.png"), ("a.png", "a.png", "c.png")])
def test_a_wrong_number_of_names_is_refused(tiny, names):
    data = forged(tiny, files_form(1), chunk_of(tiny, Drawing(NOISE), names=names))
    assert restored(data, tiny, "out")[0] == []
    assert any("names for 1 loose" in line for line in unpack.verify(Opened(io.BytesIO(data)), model=tiny))
    data = forged(tiny, array_form(1), chunk_of(tiny, Drawing(NOISE), names=("a.png",)))
    assert restored(data, tiny, "out")[0] == []


def test_what_does_not_fit_the_header_is_refused(tiny):
    noise = chunk_of(tiny, Drawing(NOISE))
    data = forged(tiny, array_form(1, 27), noise)
    assert any("not of its size" in line for line in unpack.verify(Opened(io.BytesIO(data)), model=tiny))
    for options in (1, 2):  # a chain with a raw field is neither a lossy archive's nor a set's
        data = forged(tiny, array_form(1), noise, options=options)
        assert any("of a kind" in line for line in unpack.verify(Opened(io.BytesIO(data)), model=tiny))
    two = head_of(0, (), [(form(28, 28), 1), (form(27, 28), 1)], Counted(1), 5) + checked(b"hello")
    data = forged(tiny, files_form(2), two, options=2)
    assert any("several sizes" in line for line in unpack.verify(Opened(io.BytesIO(data)), model=tiny))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        deflate(b""),
        deflate(b"{}"),
        deflate(b"[]"),
        deflate(b"5"),
        deflate(b"[5]"),
        deflate(b"[null]"),
        deflate(b'[{"kind": "files"}]'),
        deflate(b'[{"kind": "files", "count": 1e3}]'),
        deflate(b'[{"kind": "files", "count": 0}]'),
        deflate(b'[{"kind": "files", "count": %d}]' % (HUGE + 1)),
        deflate(b'[{"kind": "files", "count": ' + b"9" * 5000 + b"}]"),
        deflate(b"\xff"),
        deflate('[{"kind": "files", "count": 1}]'.encode("utf-16")),
        deflate(b"[" * 100_000),
        deflate(b'[{"kind":' * 1000),
        deflate(b'[{"kind": "files", "count": 1}]') + b"x",
        deflate(b'[{"kind": "files", "count": 1}]')[:-1],
        deflate(b" " * ((1 << 26) + 1)),
    ],
    ids=lambda text: text[:12].hex(),
)
def test_manifests_that_are_none_are_refused(tiny, text):
    with pytest.raises(FormatError) as caught:
        frame.read_contents(io.BytesIO(forged(tiny, None, text=text)))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_names_that_inflate_beyond_measure_are_refused(tiny):
    for text in (deflate(b"\n" * (1 << 26)), deflate(b"a" * ((1 << 26) + 1))):
        head = bytes([0, 0, 0, 1, 1, 28, 28, 0, 1, 0, 1]) + varint(len(text)) + text + varint(5)
        with pytest.raises(FormatError, match=r"names|longer"):
            parse_head(Cursor(checked(CHUNK_MARKER + head)))


@pytest.mark.parametrize("options", [3, 5, 24, 32, 128, 255])
def test_unknown_options_are_refused(tiny, options):
    with pytest.raises(FormatError, match="upgrade"):
        frame.read_contents(io.BytesIO(forged(tiny, files_form(1), options=options)))


def test_an_archive_of_one_size_or_of_no_version_is_refused(tiny):
    header = forged(tiny, files_form(1))[:-4]
    for flags, message in ((0x1F, "width"), (0x2D, "version 2"), (0x11, "single image")):
        with pytest.raises(FormatError, match=message):
            frame.read_contents(io.BytesIO(checked(header[:1] + bytes([flags]) + header[2:])))


def test_a_header_and_an_index_that_disagree_are_told(tiny):
    chunk = chunk_of(tiny, Drawing(NOISE), names=("a.png",))
    inner = forged(tiny, files_form(1), chunk, rows=[(len(chunk), 1)])
    outer = forged(tiny, array_form(1))
    length = len(forged(tiny, files_form(1)))
    assert len(frame.read_contents(io.BytesIO(inner)).damages) == 0
    mixed = outer.ljust(length, b"\0")[:length] + inner[length:]
    assert len(frame.read_contents(io.BytesIO(mixed)).damages) == 1


@pytest.mark.parametrize(
    "head",
    [
        bytes([0, 0, 0, 0, 0, 0, 0, 0]),  # no images
        bytes([0, 0, 0, 0, 1, 28, 28, 0, 1, 0, 0, 0, 0]),  # a run of none
        bytes([0, 0, 0, 0, 1, 28, 28, 0, 1, 1, 1, 0, 0]),  # a format that is not there
        bytes([0, 0, 0, 0, 1, 0, 28, 0, 1, 0, 1, 0, 0]),  # no width
        bytes([0, 0, 0, 0, 1, 28, 28, 9, 1, 0, 1, 0, 0]),  # no such look
        bytes([0, 0, 0, 0, 1, 28, 28, 0, 1, 0, *varint((1 << 17) + 1), 0, 0]),
        bytes([0, 0, 0, 0, 1, *varint(65535), *varint(1000), 0, 1, 0, 9, 0, 0]),  # too many fields
        bytes([0, 0, 0, 0, 1, *varint(65535), *varint(65535), 0, 1, 0, 1, 0, 0]),
        bytes([*varint((1 << 35) - 1)] * 9),
        b"\xff" * 60,
        b"\x80" * 60,
        b"",
    ],
    ids=lambda head: head[:12].hex(),
)
def test_chunks_that_are_none_are_refused(tiny, head):
    with pytest.raises(FormatError):
        parse_head(Cursor(checked(CHUNK_MARKER + head)))
    found, problems = images(forged(tiny, files_form(1), checked(CHUNK_MARKER + head) + checked(b"hello")), tiny)
    assert found == {}
    assert problems


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_bytes_behind_good_checks_never_do_worse_than_a_clean_error(tiny, data):
    """An attacker can compute checksums: everything behind them must hold too."""
    head, payload = unchecked_chunk_of(tiny, Drawing(NOISE[:4, :4], Look((9,), (7,))), names=("a.png",))
    text = deflate(json.dumps(files_form(1)).encode(), DICTIONARY)
    parts = [bytearray(part) for part in (head, payload, text)]
    for part in parts:
        for _ in range(data.draw(st.integers(0, 3))):
            part[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(0, 255))
    head, payload, text = map(bytes, parts)
    whole = checked(head) + checked(payload)
    others = data.draw(st.lists(st.tuples(st.integers(0, (1 << 35) - 1), st.integers(0, 9)), max_size=2))
    rows = data.draw(st.sampled_from([[], [(len(whole), 1)], [*others, (len(whole), 1)]]))
    forgery = forged(tiny, None, whole, text=text, rows=rows)
    try:
        if fields_of(forgery) < 2000:
            images(forgery, tiny)
        assert len(json.dumps(unpack.inspect(Opened(io.BytesIO(forgery))))) < 1 << 16
        assert sum(len(name) for name in unpack.names(Opened(io.BytesIO(forgery)))) < 1 << 24
    except VlaeError as error:
        assert str(error).isprintable()


def fields_of(data):
    """How many fields an archive claims to hold: a few bytes may claim many blank ones, and those take their time."""
    file = io.BytesIO(data)
    places = frame.read_contents(file).places
    found = [head for place in places for head, _ in [read_head(file, place)] if head]
    return sum(head.fields for head in found)


def read_head(file, place):
    try:
        return frame.read_head(file, frame.read_contents(file).header, place)
    except FormatError:
        return None, 0


@pytest.fixture
def read_bytes(monkeypatch):
    """How much of an archive is read, each time that some of it is."""
    found, read = [], frame._read

    def counting(file, offset, count):
        found.append(len(data := read(file, offset, count)))
        return data

    monkeypatch.setattr(frame, "_read", counting)
    return found


@pytest.mark.parametrize("claim", [b"\0\1\0\0\1" + varint(LARGEST_CHUNK), b"\0\1\0\0\1" + varint(HUGE)])
def test_a_file_full_of_markers_is_read_in_proportion_to_it(tiny, claim, read_bytes):
    forgery = forged(tiny, files_form(1)) + 20000 * (CHUNK_MARKER + claim + b"\x1c\x1c\0" + varint(LARGEST_CHUNK))
    assert [place.length for place in frame.read_contents(io.BytesIO(forgery)).places] == [0]
    assert sum(read_bytes) < frame._LEAST_WORK + 400 * len(forgery)


def test_heads_that_go_on_and_on_are_read_in_proportion_to_the_file(tiny, monkeypatch):
    found, read_varint = 0, heads.read_varint

    def counting(data, at):
        nonlocal found
        found += 1
        return read_varint(data, at)

    period = CHUNK_MARKER + b"\1\1\1\1" + varint(16383) + bytes([1, 1, 2, 1, 1, 1, 1, 5])  # sizes, from any marker on
    forgery = forged(tiny, files_form(4)) + 3000 * period
    monkeypatch.setattr(heads, "read_varint", counting)
    assert [place.length for place in frame.read_contents(io.BytesIO(forgery)).places] == [0]
    work = frame._LEAST_WORK + (len(forgery) << 8)
    assert 3 * frame._SHORTEST_HEAD < found < 2 * work // frame._NUMBER_WORK + 20 * len(forgery)


def test_an_index_of_chunks_that_are_none_is_read_in_proportion_to_the_file(tiny, read_bytes):
    count = 20000
    rows = [(frame._SMALLEST_CHUNK, 1)] * count
    forgery = forged(tiny, files_form(count), CHUNK_MARKER * 3 * count, rows=rows)
    assert len(unpack.inspect(Opened(io.BytesIO(forgery)))["damages"]) == count
    assert sum(read_bytes) < 10 * len(forgery)
    smaller = forged(tiny, files_form(count), rows=[(0, 1)] * count)
    assert unpack.inspect(Opened(io.BytesIO(smaller)))["chunks"] == 1


def test_a_payload_beyond_the_file_costs_nothing(tiny):
    class Counting(io.BytesIO):
        largest = 0

        def read(self, count=-1):
            self.largest = max(self.largest, count)
            return super().read(count)

    head = head_of(0, ("x.png",), [(form(28, 28), 1)], Counted(0), (1 << 35) - 1)
    file = Counting(forged(tiny, files_form(1), head))
    assert "lost x.png" in unpack.verify(Opened(file), model=tiny)[-1]
    assert 0 < file.largest <= len(file.getvalue())


@pytest.mark.parametrize("counts", [[], [3], [2, 0, 5, 1, 0, 0, 4], [1] * 9, [0, 0]])
def test_parts_are_those_of_a_walk_over_all_sources(counts):
    class Asked(FilesForm):
        asked = 0

        def __getattribute__(self, name):
            Asked.asked += name == "count"
            return super().__getattribute__(name)

    forms = Forms(map(Asked, counts))
    assert forms.images == sum(counts)
    every = [(number, index) for number, count in enumerate(counts) for index in range(count)]
    numbers = {id(form): number for number, form in enumerate(forms)}
    for first in range(len(every) + 1):
        for images in range(len(every) + 2 - first):
            found = [(numbers[id(form)], index) for form, own in forms.parts(first, images) for index in own]
            assert found == every[first : first + images]
    assert [forms.at(index) for index in range(len(every))] == every
    forms = Forms(map(Asked, [1] * 1000))
    Asked.asked = 0
    for first in range(1000):
        assert len(list(forms.parts(first, 1))) == 1
    assert Asked.asked < 10 * 1000, "a chunk must not cost a walk over all sources"


def test_a_lossy_chunk_has_a_bit_at_least_for_each_field(tiny, monkeypatch):
    head = head_of(0, (), [(form(28, 28), 1 << 17)], Counted(0), 1)
    data = forged(tiny, array_form(1 << 17), head + checked(b"\0"), options=1)
    monkeypatch.setattr("vlae_codec.field.chaining.pixels_inside", None)  # nothing of the size of the claim is made
    assert "131072 fields in 1 bytes" in unpack.verify(Opened(io.BytesIO(data)), model=tiny)[-1]


@pytest.mark.parametrize("nested", ["[]", '{"":0}'])
def test_a_manifest_that_inflates_without_end_is_refused(tiny, nested):
    text = f"[{','.join([nested] * (1 << 21))}]".encode()
    with pytest.raises(FormatError, match="longer than any"):
        frame.read_header(forged(tiny, None, text=deflate(text, DICTIONARY)))
    form = ArrayForm("npz", f"{'x' * 200}.npz", "|u1", (1, 28, 28), 0, 255, "key")
    with pytest.raises(ImageError, match="in several"):
        write_header(Header(1, False, True, Forms((form,) * (1 << 14))))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=60),
    marker=st.sampled_from([b"", CHUNK_MARKER, INDEX_MARKER]),
    start=st.sampled_from(["", "start", "header"]),
)
def test_random_bytes_never_do_worse_than_a_clean_error(tiny, body, marker, start):
    header = forged(tiny, files_form(1)) if start == "header" else write_start(Kind.ARCHIVE, tiny.identity)
    forgery = (header if start else b"") + checked(marker + body)
    try:
        if fields_of(forgery) < 2000:
            images(forgery, tiny)
    except VlaeError as error:
        assert "\n" not in str(error)


def test_another_model_is_asked_for(tiny, small):
    with pytest.raises(ModelError, match="model=DIR"):
        images(small, None)
    assert "digest" in unpack.inspect(Opened(io.BytesIO(small)))["model"]


def test_single_images_and_archives_are_told_apart(tiny, small, digits):
    single = codec.encode(digits[:1], tiny, effort=0)[0].data
    with pytest.raises(FormatError, match="use decompress"):
        frame.read_contents(io.BytesIO(single))
    with pytest.raises(FormatError, match="use unpack"):
        vlae_codec.decompress(small)


# The command line


@pytest.fixture
def folder(digits):
    for i, digit in enumerate(digits[:5]):
        save(f"digits/{i}.png", digit)
    return Path("digits")


def listing(path="."):
    return sorted(os.listdir(path))


def test_there_and_back_with_default_names(run, folder):
    result = run("pack", folder, "-o", "x.vlz", "--chunk", 2)
    assert "5 images" in result.stdout
    run("unpack", "x.vlz", "--jobs", 1)
    same_pictures(folder, Path("x/digits"))
    run("pack", folder, "-q")
    assert listing() == ["digits", "digits.vlz", "x", "x.vlz"]
    np.save("y.npy", NOISE[None])
    assert run("pack", "y.npy", "-q").output == ""
    run("unpack", "y.vlz", "-o", "new", "-q")
    assert same_array(np.load("new/y.npy"), NOISE[None])
    assert listing() == ["digits", "digits.vlz", "new", "x", "x.vlz", "y.npy", "y.vlz"]


def test_stdin_and_stdout(run, folder):
    data = run("pack", folder, "-o", "-", "-q").stdout_bytes
    assert run("pack", folder, "-o", "-", "--json").stdout_bytes == data
    assert json.loads(run("list", "-", "--json", stdin=data).stdout)["images"] == 5
    assert "ok" in run("test", "-", stdin=data).stdout
    assert json.loads(run("info", "-", "--json", stdin=data).stdout)["images"] == 5
    run("unpack", "-", stdin=data)
    same_pictures(folder, Path("unpacked/digits"))


def test_no_source_is_replaced_by_its_archive(run, folder):
    np.savez("set.npz", test=NOISE[None])
    for source, target in (("digits", "digits/3.png"), ("digits/0.png", "digits/0.png"), ("set.npz:test", "set.npz")):
        before = Path(target).read_bytes()
        assert "own result" in run("pack", source, "-o", target, "-f", expect=1).stderr
        assert Path(target).read_bytes() == before
    assert listing() == ["digits", "set.npz"]


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on open files")
def test_there_may_be_more_arrays_than_open_files(run):
    import resource

    np.savez("set.npz", **{f"a{i}": NOISE[None] for i in range(100)})
    run("pack", "set.npz", "--model", "mnist-dynamic")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) + 30, before[1]))
    try:
        run("unpack", "set.vlz", "-o", "out", "--jobs", 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    with np.load("out/set.npz") as arrays:
        assert len(arrays) == 100
        assert all(same_array(arrays[key], NOISE[None]) for key in arrays)


def test_an_image_that_is_not_there_leaves_no_folder(run, folder):
    run("pack", folder)
    assert "no image named" in run("unpack", "digits.vlz", "--only", "nope", "-o", "out", expect=1).stderr
    assert listing() == ["digits", "digits.vlz"]


def test_names_beyond_the_encoding_of_stdout_are_spelled_out(run, folder):
    (folder / "0.png").rename(folder / "\u4e2d.png")
    run("pack", folder)
    result = subprocess.run(
        [sys.executable, "-m", "vlae_codec", "list", "--names", "digits.vlz"],
        capture_output=True, check=True, text=True, env={**os.environ, "PYTHONIOENCODING": "latin-1:strict"},
    )  # fmt: skip
    assert "digits/\\u4e2d.png" in result.stdout


def test_a_picture_whose_format_cannot_hold_it_stands_in_the_way_of_none(run, folder, digits):
    Image.fromarray(digits[0].bits * np.uint8(255)).save("digits/a.jpg", quality=100)
    run("pack", folder, "--threshold", 128)
    Path("out/digits").mkdir(parents=True)
    Path("out/digits/a.jpg").write_bytes(b"x")
    run("unpack", "digits.vlz", "-o", "out")
    assert "a.jpg.png" in listing("out/digits")
    for path in Path("out/digits").glob("[0-9].png"):
        path.unlink()
    assert "a.jpg.png exists" in run("unpack", "digits.vlz", "-o", "out", expect=1).stderr


def test_a_file_that_exists_is_told_before_any_is_written(run, folder):
    run("pack", folder)
    save("new/digits/3.png", Drawing(NOISE))
    before = Path("new/digits/3.png").read_bytes()
    assert "3.png exists: -f overwrites it" in run("unpack", "digits.vlz", "-o", "new", expect=1).stderr
    assert listing("new/digits") == ["3.png"]
    assert Path("new/digits/3.png").read_bytes() == before


def test_what_is_there_is_not_mixed_with_an_archive_that_happens_to_have_its_name(run, folder):
    run("pack", folder, "--model", TINY)
    before = listing("digits")
    unpack = ["unpack", "digits.vlz", "--model", TINY]
    assert "digits is there, and not empty" in run(*unpack, expect=1).stderr
    assert listing("digits") == before
    run(*unpack, "--only", "digits/0.png")
    assert run(*unpack, "-f").stdout.strip() == "wrote 5 files into digits"
    assert listing("digits/digits") == before
    Path("empty").mkdir()
    Path("digits.vlz").rename("empty.vlz")
    assert "wrote 5 files into empty" in run("unpack", "empty.vlz", "--model", TINY).stdout


def test_names_that_a_file_system_cannot_have_cost_only_themselves(run):
    long, deep, out = "b" * 251 + ".jpg", "/".join(["d" * 200] * 5) + "/a.png", "/".join(["o" * 203] * 15)
    with zipfile.ZipFile("x.zip", "w") as archive:
        for name in (deep, long, "z.png"):
            archive.writestr(name, png_bytes(to_picture(Drawing(NOISE))))
    run("pack", "x.zip")
    errors = run("unpack", "x.vlz", "-o", out, expect=1).stderr.splitlines()
    assert len([line for line in errors if line.startswith("Error: ")]) == 1
    assert "too long" in errors[-1]
    assert sorted(path.name for path in Path(out).iterdir() if path.is_file()) == ["b" * 251 + ".png", "z.png"]


def test_nothing_is_overwritten_without_force(run, folder):
    Path("digits.vlz").write_bytes(b"mine")
    assert "exists" in run("pack", folder, expect=1).stderr
    assert Path("digits.vlz").read_bytes() == b"mine"
    run("pack", folder, "-f")
    for path in folder.iterdir():
        path.write_bytes(b"mine")
    assert "exists" in run("unpack", "digits.vlz", "-o", ".", expect=1).stderr
    assert {path.read_bytes() for path in folder.iterdir()} == {b"mine"}
    run("unpack", "digits.vlz", "-o", ".", "-f")
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in folder.iterdir())


def test_json_is_json(run, folder):
    report = json.loads(run("pack", folder, "--json").stdout)
    assert report["output"] == "digits.vlz"
    assert report["total_bytes"] == Path("digits.vlz").stat().st_size
    assert len(report["image_bits"]) == report["images"] == 5
    assert "names" not in json.loads(run("list", "digits.vlz", "--json").stdout)
    about = json.loads(run("list", "digits.vlz", "--json", "--names").stdout)
    assert about["names"] == [f"digits/{i}.png" for i in range(5)]
    report = json.loads(run("unpack", "digits.vlz", "-o", "out", "--json").stdout)
    assert (len(report["written"]), report["problems"]) == (5, [])
    assert json.loads(run("info", "digits.vlz", "--json").stdout)["lossless"] is True


def test_list_shows_names_on_demand(run, folder):
    run("pack", folder)
    assert "digits/3.png" not in run("list", "digits.vlz").stdout
    assert "digits/3.png\n" in run("list", "digits.vlz", "--names").stdout
    assert "5 images" in run("info", "digits.vlz").stdout or "images           5" in run("info", "digits.vlz").stdout


def test_only_some(run, folder):
    run("pack", folder)
    run("unpack", "digits.vlz", *("--only", "digits/3.png") * 2, "--only", "digits/4.png", "-o", "some")
    assert listing("some/digits") == ["3.png", "4.png"]
    levels = [np.asarray(Image.open(path).convert("L")) for path in ("some/digits/3.png", "digits/3.png")]
    assert np.array_equal(*levels)
    result = run("unpack", "digits.vlz", "--only", "9", "--only", "digits/0.png", "-o", "some", expect=1)
    assert "no image named 9" in result.stderr
    assert listing("some/digits") == ["0.png", "3.png", "4.png"]


def test_lossy_seeds_and_sets(run, folder):
    assert "re-sampled" in run("pack", folder, "--lossy", "--effort", 0, "-o", "lossy.vlz").stderr
    for seed in (0, 1):
        unpacked = run("unpack", "lossy.vlz", "--seed", seed, "-o", f"seed{seed}", "--temperature", 0.9)
        assert "re-sampled" in unpacked.stderr
    assert Path("seed0/digits/3.png").read_bytes() != Path("seed1/digits/3.png").read_bytes()
    run("pack", folder, "--unordered", "-o", "set.vlz")
    assert "a set without order" in run("list", "set.vlz").stdout
    run("unpack", "set.vlz")
    assert listing("set") == [f"{i}.png" for i in range(5)]


def test_options_without_effect_on_an_archive_are_told_of(run, folder):
    vain = "nothing of it is drawn at random, so --seed and --temperature changed nothing"
    options = "--seed", 1, "--temperature", 0.5
    for lossy in [], ["--lossy", "--model", "mnist-dynamic"]:
        run("pack", folder, *lossy, "--effort", 0, "-o", "set.vlz", "-f")
        for some in [], ["--only", "digits/3.png"]:
            told = run("unpack", "set.vlz", "-o", "out", "-f", *options, *some)
            assert (f"note: {vain}" in told.stderr) == (not lossy)
            about = json.loads(run("unpack", "set.vlz", "-o", "out", "-f", "--json", *options, *some).stdout)
            assert about["notes"] == ([] if lossy else [vain])
            assert "changed nothing" not in run("unpack", "set.vlz", "-o", "out", "-f", *some).stderr


def test_a_folder_with_a_dot_gives_its_archive_the_whole_name(run, folder):
    folder.rename("v1.2")
    run("pack", "v1.2/", "-q")
    assert listing() == ["v1.2", "v1.2.vlz"]


def test_usage_errors_exit_2(run, folder):
    for arguments in (
        ["pack"],
        ["pack", folder, folder],
        ["pack", "."],
        ["pack", ".."],
        ["pack", folder, "--unordered", "--lossy"],
        ["pack", folder, "--chunk", 0],
        ["pack", folder, "--jobs", 0],
        ["unpack"],
        ["list"],
    ):
        run(*arguments, expect=2)
    assert listing() == ["digits"]


@pytest.mark.parametrize("source", ["missing.png", "empty", "bad"])
def test_bad_sources_leave_no_half_archive(run, folder, source):
    Path("empty").mkdir()
    save("bad/a.png", Drawing(NOISE))
    Path("bad/b.png").write_bytes(b"\x89PNG no more")
    result = run("pack", folder, source, "-o", "x.vlz", "--chunk", 1, "--jobs", 1, expect=1)
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert listing() == ["bad", "digits", "empty"]


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
@pytest.mark.parametrize(("number", "written"), [("SIGTERM", 1), ("SIGHUP", 1), ("SIGHUP", 0), ("SIGINT", 0)])
def test_a_pack_that_is_terminated_leaves_nothing_and_says_no_more_than_that(tmp_path, number, written):
    """With all of its processes, as a terminal does, when it has begun or when it has written something."""
    number = getattr(signal, number)
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).integers(0, 2, (30_000, 28, 28), np.uint8))
    command = [
        sys.executable,
        "-m",
        "vlae_codec",
        "pack",
        "noise.npy",
        "--model",
        TINY,
        "--jobs",
        "2",
        "--chunk",
        "100",
    ]
    before = signal.signal(number, signal.SIG_DFL)  # under nohup it is ignored, which processes inherit
    process = subprocess.Popen(
        [*command, "-o", "sets/set.vlz"], cwd=tmp_path, start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    signal.signal(number, before)
    while not any(path.stat().st_size >= written for path in tmp_path.glob("sets/.vlae-*")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, number)
    said = process.communicate()[1]
    assert process.returncode == 128 + number
    told = ["Interrupted; no half-written file was kept."] if number == signal.SIGINT else []
    assert [line for line in said.splitlines() if line not in ("packing...", "")] == told
    assert list(tmp_path.glob("sets/*")) == []
    assert _ended(process.pid)


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_an_interrupt_while_modules_load_ends_as_any_other(tmp_path):
    """Classes are then made by `exec`, of which Python remembers that it was interrupted, though that was caught."""
    (tmp_path / "interrupted.py").write_text(
        "import signal\n\nfrom vlae_codec.cli.main import _foreseen\n\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "with _foreseen():\n    exec('import signal; signal.raise_signal(signal.SIGINT)')\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "interrupted"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (128 + signal.SIGINT, "\nInterrupted; no half-written file was kept.\n")


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_processes_end_with_one_that_was_killed(tmp_path):
    work = "import time\n\ndef work(shared, item, done):\n    print(item, flush=True)\n    time.sleep(1000)\n"
    main = "from work import work\nfrom vlae_codec.archive.jobs import spread\n\n"
    main += "class Item:\n    images = 1\n\n"
    main += "if __name__ == '__main__':\n    list(spread(work, [Item(), Item()], None, 2, print))\n"
    (tmp_path / "work.py").write_text(work)
    (tmp_path / "run.py").write_text(main)
    process = subprocess.Popen([sys.executable, "run.py"], cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline()
    process.kill()
    process.communicate()
    assert _ended(process.pid)


def test_of_large_items_one_more_than_processes_is_held(tmp_path):
    (tmp_path / "work.py").write_text(
        "class Item:\n    images = 1 << 17\n\ndef work(shared, item, done):\n    return shared\n"
    )
    script = """
        from work import Item, work
        from vlae_codec.archive.jobs import spread

        def items():
            for number in range(7):
                taken.append(number)
                yield Item()

        if __name__ == "__main__":
            taken = []
            held = [len(taken) - done for done, _ in enumerate(spread(work, items(), None, 2, lambda images: None))]
            print(max(held), len(held))
    """
    (tmp_path / "run.py").write_text(textwrap.dedent(script))
    run = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["3", "7"]


def _ended(group: int) -> bool:
    """Whether all processes of a group end soon."""
    for _ in range(600):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_gray_pictures_are_drawings_by_a_threshold_or_for_a_model_of_drawings_none(run):
    Path("in").mkdir()
    Image.fromarray(np.linspace(0, 255, 784).reshape(28, 28).astype(np.uint8)).save("in/gray.png")
    assert "--threshold" in run("pack", "in", "--model", TINY, expect=1).stderr
    assert "binarised at gray level 100: 1 of 1 images" in run("pack", "in", "--threshold", 100).stderr
    assert listing() == ["in", "in.vlz"]


def test_damage_is_told_and_the_rest_is_restored(run, folder):
    run("pack", folder, "--chunk", 2)
    data = bytearray(Path("digits.vlz").read_bytes())
    places = frame.read_contents(io.BytesIO(bytes(data))).places
    data[places[1].offset + places[1].length - 7] ^= 4
    Path("bad.vlz").write_bytes(data)
    result = run("unpack", "bad.vlz", "--jobs", 1, expect=1)
    assert result.stderr.splitlines()[-1].startswith("Error: bad.vlz: lost digits/2.png, digits/3.png: ")
    assert listing("bad/digits") == ["0.png", "1.png", "4.png"]
    result = run("test", "bad.vlz", "digits.vlz", expect=1)
    assert "digits.vlz: ok" in result.stdout
    assert "Error: bad.vlz: lost digits/2.png" in result.stderr
    run("list", "bad.vlz")  # nothing is decoded
    Path("cut.vlz").write_bytes(data[:-9])
    for command in ("list", "test", "info"):
        assert "Error: cut.vlz: the index is damaged" in run(command, "cut.vlz", expect=1).stderr
    Path("front.vlz").write_bytes(b"W" + data[1:])
    assert "the header is damaged" in run("test", "front.vlz", expect=1).stderr
    assert "the header is damaged" in run("info", "front.vlz", expect=1).stderr
    Path("short.vlz").write_bytes(data[:9])
    for command in ("list", "test", "info", "unpack"):
        assert run(command, "short.vlz", expect=1).stderr.startswith("Error: ")


@pytest.mark.parametrize("command", ["unpack", "list"])
@pytest.mark.parametrize(
    "content", [b"", b"\xd7", b"\xd7\x1c", b"\xd7\x1c\x01", bytes(range(7, 7 + 40)), b"\xd7\x10\x01abc"]
)
def test_what_is_no_archive_gives_one_line_and_exit_1(run, command, content):
    Path("x.vlz").write_bytes(content)
    result = run(command, "x.vlz", expect=1)
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert listing() == ["x.vlz"]


def test_folders_missing_files_and_unwritable_places(run, folder):
    for command in ("unpack", "list"):
        for path in (".", "missing.vlz"):
            assert run(command, path, expect=1).stderr.startswith("Error: ")
    Path("file").write_text("x")
    for output in ("file/x.vlz", "file/"):
        assert "file" in run("pack", folder, "-o", output, expect=1).stderr
    run("pack", folder)
    assert "file" in run("unpack", "digits.vlz", "-o", "file", expect=2).stderr
    assert "file" in run("unpack", "digits.vlz", "-o", "file/x", expect=1).stderr
    assert listing() == ["digits", "digits.vlz", "file"]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="no folder is read-only to root")
def test_a_folder_that_is_read_only(run, folder):
    run("pack", folder)
    folder.chmod(0o555)
    assert run("pack", folder, "-o", "digits/x.vlz", expect=1).stderr.startswith("Error: ")
    assert run("unpack", "digits.vlz", "-o", "digits", expect=1).stderr.startswith("Error: ")
    folder.chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
@pytest.mark.parametrize(
    "command", ["pack digits -o x.vlz --chunk 1", "unpack digits.vlz -o out", "unpack array.vlz -o out"]
)
def test_a_disk_that_is_full(run, folder, command):
    """As if the disk ended: no file may grow beyond a few bytes."""
    np.save("array.npy", NOISE[None])
    run("pack", folder)
    run("pack", "array.npy")
    before = {*Path().rglob("*")}
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))\n"
        "from vlae_codec.cli.main import main; sys.exit(main())"
    )
    result = subprocess.run(
        [sys.executable, "-B", "-c", limited, *command.split()], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if not line.endswith("...")]
    assert len(lines) == 1
    assert lines[0].startswith("Error: cannot write")
    assert [path for path in {*Path().rglob("*")} - before if path.is_file()] == []


def test_a_model_that_is_not_here(run, folder):
    run("pack", folder, "--model", TINY)
    for command in (["unpack", "-o", "new"], ["test"]):
        assert "--model DIR" in run(*command, "digits.vlz", expect=1).stderr
    assert listing() == ["digits", "digits.vlz"]
    assert "ok" in run("test", "digits.vlz", "--model", TINY).stdout
    run("unpack", "digits.vlz", "-o", "out", "--model", TINY)
    same_pictures(folder, Path("out/digits"))


def test_sources_in_order_say_which_holds_an_image_and_what_it_is_called():
    forms = Forms([FilesForm(3), ArrayForm("npy", "x.npy", "|u1", (4, 5, 5), 0, 1), FilesForm(2)])
    names = ["a", "b", "c", "x.npy/0", "x.npy/1", "x.npy/2", "x.npy/3", "d", "e"]
    for first in range(9):
        for count in range(10 - first):
            own = names[first : first + count]
            assert [*forms.names(first, count, [name for name in own if "/" not in name])] == own
    assert [*forms.names(2, 6, ["c"])] == [*names[2:7], None]
    assert [forms.find(name) for name in (*names, "x.npy/4", "x.npy/01", "x.npy/٣", "x.npy/", "y/0")] == [
        *[None] * 3,
        *range(3, 7),
        *[None] * 7,
    ]


def test_a_released_model_is_found_by_its_identity():
    assert zoo.find(zoo.named("mnist").identity, version=1).name == "mnist"
