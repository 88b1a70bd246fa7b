"""Laws of reading archives at random: what is read is what was packed, in any order, and each chunk is decoded once."""

from __future__ import annotations

import io
import multiprocessing
import pickle
import re
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import HERE, TINY
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import vlae_codec
from vlae_codec.archive import chunks, reader
from vlae_codec.archive.heads import Header
from vlae_codec.archive.version1 import write_header
from vlae_codec.errors import FormatError, ImageError, OutputError, VlaeError
from vlae_codec.picture.images import picture_bytes, to_picture
from vlae_codec.sets.manifest import ArrayForm, Forms

DOCS = HERE.parent / "docs" / "python.md"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def packed(digits):
    """An archive of arrays of each kind and of loose pictures, in chunks of 7; its images, and their names."""
    bits = np.stack([digit.bits for digit in digits[:30]])
    arrays = {
        "floats.npy": np.where(bits[:9], np.float32(0.5), np.float32(-1)),
        "deep.npy": np.where(bits[:5, :, :20, None], 9, 60000).astype(">u2"),
        "bools.npy": bits[:11].astype(bool),
        "packed.npy": np.packbits(bits[:3].reshape(3, -1), axis=1),
    }
    images, names = [], []
    for name, array in arrays.items():
        np.save(name, array)
        images += list(array if array.ndim > 2 else bits[:3])
        names += [f"{name}/{i}" for i in range(len(array))]
    Path("loose").mkdir()
    for i, digit in enumerate(digits[:4]):
        Path(f"loose/{i}.png").write_bytes(picture_bytes(digit, ".png"))
        images.append(np.asarray(to_picture(digit)))
        names.append(f"loose/{i}.png")
    vlae_codec.pack([*arrays, "loose"], "set.vlz", chunk=7, model=str(TINY))
    return images, names


@pytest.fixture(scope="module")
def small(digits, tmp_path_factory):
    """The bytes of a small archive of an array and loose pictures, its images, and their names."""
    folder = tmp_path_factory.mktemp("small")
    bits = np.stack([digit.bits for digit in digits[:3]])
    np.save(folder / "x.npy", bits)
    (folder / "a.png").write_bytes(picture_bytes(digits[9], ".png"))
    vlae_codec.pack([folder / "x.npy", folder / "a.png"], folder / "set.vlz", chunk=2, model=str(TINY))
    images = [*bits, np.asarray(to_picture(digits[9]))]
    return (folder / "set.vlz").read_bytes(), images, ["x.npy/0", "x.npy/1", "x.npy/2", "a.png"]


@pytest.fixture
def decoded(monkeypatch):
    """The first images of all chunks that are decoded, in order."""
    found, unmake = [], chunks.unmake

    def counting(shared, stored, done):
        found.append(stored.place.first)
        return unmake(shared, stored, done)

    monkeypatch.setattr(chunks, "unmake", counting)
    return found


def opened(**options):
    return vlae_codec.open_archive("set.vlz", model=str(TINY), **options)


def same(found, expected):
    return found.dtype == expected.dtype and np.array_equal(found, expected)


def test_an_archive_is_a_sequence_of_what_was_packed(packed):
    images, names = packed
    with opened() as archive:
        assert (len(archive), list(archive.names), archive.lossy, archive.damages) == (32, names, False, ())
        for i in (*range(32), *range(-32, 0), np.int64(5)):
            assert same(archive[i], images[i])
            assert archive[i].flags.writeable
            assert archive.names[i] == names[i]
        for part in (slice(None), slice(3, 20, 4), slice(-5, None), slice(None, None, -7), slice(9, 2)):
            found = archive[part]
            assert len(found) == len(images[part])
            assert all(map(same, found, images[part]))
            assert archive.names[part] == names[part]
        assert all(map(same, archive, images))
        assert all(map(same, reversed(archive), images[::-1]))
        for i in (32, -33):
            with pytest.raises(IndexError, match="32 images"):
                archive[i]
            with pytest.raises(IndexError):
                archive.names[i]
        with pytest.raises(TypeError):
            archive["0"]
        assert [archive.find(name) for name in names] == list(range(32))
        for name in ("floats.npy/9", "loose/4.png", "", "loose"):
            with pytest.raises(ImageError, match="no image named"):
                archive.find(name)
        assert isinstance(archive.picture(-1), Image.Image)
        assert same(np.asarray(archive.picture(-1)), images[-1])


def test_each_chunk_is_decoded_once_in_any_order(packed, decoded):
    images, _ = packed
    order = np.random.default_rng(0).permutation(32).tolist()
    with opened() as archive:
        assert decoded == []
        assert all(same(archive[i], images[i]) for i in order * 2)
        assert sorted(decoded) == [0, 7, 14, 21, 28]


def test_what_is_kept_is_bounded_by_bytes(packed, decoded):
    images, _ = packed
    with opened(cache_bytes=1) as archive:
        for i in (0, 1, 6, 0, 7, 8, 0):
            assert same(archive[i], images[i])
        assert decoded == [0, 7, 0], "the chunk decoded last is kept in any case"
    decoded.clear()
    with opened(cache_bytes=2 * 7 * (28 * 28 + reader._IMAGE_BYTES)) as archive:
        for i in (0, 7, 0, 20, 0, 7):
            assert same(archive[i], images[i])
        assert decoded == [0, 7, 14, 7], "what was not asked for the longest goes first"


def test_threads_may_read_at_once(packed, decoded):
    images, _ = packed
    order = np.random.default_rng(1).integers(0, 32, 300).tolist()
    with opened() as archive, ThreadPoolExecutor(8) as pool:
        ready = threading.Barrier(8)

        def read(part):
            ready.wait()
            return [same(archive[i], images[i]) for i in part]

        assert all(map(all, pool.map(read, [order[i::8] for i in range(8)])))
    assert sorted(decoded) == [0, 7, 14, 21, 28]


def test_a_pickled_archive_is_its_path_and_options(packed, monkeypatch, tmp_path):
    images, _ = packed
    with opened(seed=3, temperature=0.5, cache_bytes=99) as archive:
        data = pickle.dumps(archive)
        assert len(data) < 1000
    monkeypatch.chdir(tmp_path.parent)
    named = vlae_codec.zoo.named
    monkeypatch.setattr(vlae_codec.zoo, "named", lambda name: named(tmp_path / name))
    with pickle.loads(data) as again:
        assert again.path == tmp_path / "set.vlz"
        assert (again._sampling.seed, again._sampling.temperature, again._cache_bytes) == (3, 0.5, 99)
        assert same(again[31], images[31])


def read_all(archive, results):
    results.put([image.tobytes() for image in archive])


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no processes are forked here")
def test_forked_processes_read_on_their_own(packed):
    images, _ = packed
    context = multiprocessing.get_context("fork")
    with opened() as archive:
        archive[0]
        results = context.Queue()
        readers = [context.Process(target=read_all, args=(archive, results)) for _ in range(2)]
        for one in readers:
            one.start()
        found = [results.get(timeout=60) for _ in readers]
        for one in readers:
            one.join()
        assert found == [[image.tobytes() for image in images]] * 2
        assert same(archive[31], images[31])


def test_a_damaged_chunk_costs_only_its_images_and_names_them(packed):
    images, names = packed
    data = bytearray(Path("set.vlz").read_bytes())
    places = reader.Opened(io.BytesIO(bytes(data))).places
    data[places[1].offset + places[1].length - 9] ^= 1  # a payload
    data[places[4].offset + 6] ^= 1  # a head, and so the names of loose pictures
    Path("set.vlz").write_bytes(data)
    with opened() as archive:
        for i in (0, 6, 14, 27):
            assert same(archive[i], images[i])
        with pytest.raises(FormatError, match=re.escape(f"lost {names[8]}")):
            archive[8]
        with pytest.raises(FormatError, match="lost image 29"):
            archive[29]
        assert archive.names[8] == names[8]
        assert archive.names[29] is None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.integers(1, 255), st.booleans())
def test_of_a_damaged_archive_an_image_is_what_was_packed_or_an_error(small, place, flip, cut):
    data, images, names = small
    place %= len(data)
    Path("set.vlz").write_bytes(data[:place] if cut else data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :])
    try:
        archive = opened()
    except FormatError:
        return
    with archive:
        assert len(archive) == len(images)
        for i, (image, name) in enumerate(zip(images, names, strict=True)):
            assert archive.names[i] in (name, None)
            try:
                assert same(archive[i], image)
            except VlaeError as error:
                assert str(error).isprintable()


def test_an_archive_that_claims_very_many_images_takes_no_memory_for_them():
    header = Header(5, False, True, Forms([ArrayForm("npy", "x.npy", "|u1", (1 << 30, 28, 28), 0, 1)]), 1)
    Path("set.vlz").write_bytes(write_header(header))
    tracemalloc.start()
    try:
        with vlae_codec.open_archive("set.vlz") as archive:
            assert len(archive) == len(archive.names) == 1 << 30
            assert archive.names[-1] == f"x.npy/{(1 << 30) - 1}"
            assert archive.find("x.npy/77") == 77
            with pytest.raises(FormatError, match=r"lost x\.npy/123"):
                archive[123]
            with pytest.raises(ImageError):
                archive.find("y")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1 << 24


def test_a_closed_archive_says_so_and_what_is_none_is_refused(packed):
    archive = opened()
    archive.close()
    archive.close()
    for use in (len, lambda one: one[0], lambda one: one.names[0], lambda one: one.find("x"), list):
        with pytest.raises(ValueError, match="closed"):
            use(archive)
    assert "closed" in repr(archive)
    Path("none.vlz").write_bytes(b"no archive")
    with pytest.raises(FormatError):
        vlae_codec.open_archive("none.vlz")
    with pytest.raises(OSError, match="nothing"):
        vlae_codec.open_archive("nothing.vlz")
    with pytest.raises(ValueError, match="seed"):
        opened(seed=-1)


def test_pack_and_unpack_by_path(digits):
    array = np.stack([digit.bits for digit in digits[:6]]) * np.uint8(200)
    done = vlae_codec.pack(array, "set.vlz", model=str(TINY))
    assert done.ledger.total_bytes == Path("set.vlz").stat().st_size
    assert (done.ledger.images, done.left_out) == (6, ())
    with opened() as archive:
        assert all(map(same, archive, array))
    unpacked = vlae_codec.unpack("set.vlz", "out", model=str(TINY))
    assert (unpacked.written, unpacked.problems, unpacked.sampled) == ([Path("out/images.npy")], [], False)
    assert np.array_equal(np.load("out/images.npy"), array)
    some = vlae_codec.unpack("set.vlz", "some", only=["images.npy/[13]", "none"], model=str(TINY))
    assert [path.name for path in some.written] == ["1.png", "3.png"]
    assert len(some.problems) == 1
    with pytest.raises(OutputError, match="exists"):
        vlae_codec.pack("out", "set.vlz", model=str(TINY))
    with pytest.raises(OutputError, match="own result"):
        vlae_codec.pack(["out/images.npy"], "out/images.npy", force=True, model=str(TINY))
    for wrong in ({"chunk": 0}, {"effort": 10}, {"lossless": False, "ordered": False}):
        with pytest.raises(ValueError, match=r"chunk|effort|lossless"):
            vlae_codec.pack(array, "other.vlz", model=str(TINY), **wrong)
    assert not Path("other.vlz").exists()


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_the_documented_data_set_works_with_workers(digits):
    pytest.importorskip("torch")
    array = np.stack([digit.bits for digit in digits[:40]])
    vlae_codec.pack(array, "set.vlz", chunk=8)  # by the default model, as the page has it
    block, _of_sets = re.findall(r"```python\n(from torch.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    exec(block, names)  # the very lines of the page
    with names["loader"].dataset.archive:
        seen = [image for batch in names["loader"] for image in batch.numpy()]
    assert len(seen) == 40
    assert sorted(image.tobytes() for image in seen) == sorted(image.astype(np.float32).tobytes() for image in array)
