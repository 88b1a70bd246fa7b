"""Laws of many files: results in order and as one by one, a bad input stops no other, whatever the jobs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import TINY
from photographs import picture
from PIL import Image

import vlae_codec
from vlae_codec import codec, many
from vlae_codec.errors import FormatError, ImageError, VlaeError
from vlae_codec.family import Sampling
from vlae_codec.picture.drawing import Drawing
from vlae_codec.picture.images import picture_bytes

FAST = {"effort": 0}


@pytest.fixture
def pictures(tmp_path, monkeypatch, digits):
    """Paths of pictures, and among them some that cannot be read."""
    monkeypatch.chdir(tmp_path)
    page = Drawing(np.concatenate([one.bits for one in digits[:3]], 1))
    paths = []
    for i, drawing in enumerate([*digits[:5], page, *digits[5:8]]):
        paths.append(Path(f"{i}.png"))
        paths[-1].write_bytes(picture_bytes(drawing, ".png"))
    Path("bad.png").write_bytes(b"no picture")
    return [paths[0], Path("missing.png"), *paths[1:4], Path("bad.png"), *paths[4:]]


def alone(path, tiny, **options):
    drawing = vlae_codec.to_drawing(vlae_codec.picture.images.open_picture(path.read_bytes()))
    return codec.encode([drawing], tiny, effort=0, **options)[0].data


@pytest.mark.parametrize(("lossless", "jobs"), [(False, 1), (True, 1), (True, 2)])
def test_files_are_those_of_one_by_one_in_order(tiny, pictures, lossless, jobs, monkeypatch):
    monkeypatch.setattr(many, "_BATCH", 3)
    told = []
    results = [
        *many.compress_files(
            pictures,
            lossless=lossless,
            effort=0,
            model=str(TINY),
            verify=True,
            jobs=jobs,
            progress=lambda *now: told.append(now),
        )
    ]
    assert [one.path for one in results] == pictures
    for one in results:
        if one.path.name in ("missing.png", "bad.png"):
            assert one.encoded is None
            with pytest.raises(ImageError if one.path.name == "bad.png" else VlaeError, match=str(one.path)):
                one.result()
        else:
            assert one.error is None
            assert one.result().data == alone(one.path, tiny, lossless=lossless)
    assert all(0 <= done <= total == len(pictures) for _, done, total in told)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_results_come_before_the_rest_is_read(pictures, monkeypatch):
    """So that what is finished stays when the rest is interrupted."""
    monkeypatch.setattr(many, "_BATCH", 2)
    read = []

    def reading(path):
        read.append(path)
        return many.read_file(path)

    results = many.compress_files(pictures, model=str(TINY), read=reading, **FAST)
    first = next(results)
    assert first.encoded is not None
    assert len(read) <= 3
    results.close()


def test_a_photograph_is_there_before_the_next_is_read(tmp_path):
    pictures = [tmp_path / f"{i}.png" for i in range(3)]
    for i, path in enumerate(pictures):
        Image.fromarray(picture(24, 40, seed=i).samples).save(path)
    read = []

    def reading(path):
        read.append(path)
        return many.read_file(path)

    for i, one in enumerate(many.compress_files(pictures, read=reading, **FAST)):
        assert one.result().ledger.family == "grid"
        assert len(read) <= i + 2  # the next one is read to see whether it goes into the same batch


@pytest.mark.parametrize("jobs", [1, 2])
def test_files_decode_as_one_by_one_for_every_sampling(tiny, pictures, jobs, monkeypatch):
    monkeypatch.setattr(many, "_BATCH", 4)
    monkeypatch.setattr(many, "_BATCH_APART", 4)
    paths = []
    for i, one in enumerate(many.compress_files(pictures, model=str(TINY), **FAST)):
        paths.append(Path(f"{i}.vlz"))
        paths[-1].write_bytes(one.encoded.data if one.encoded else b"\xd7 no file")
    samplings = [Sampling(seed, 0.9) for seed in (0, 5)]
    results = [*many.decompress_files([*paths, "gone.vlz"], samplings, model=str(TINY), jobs=jobs)]
    assert [one.path for one in results] == [*paths, Path("gone.vlz")]
    bad = [i for i, one in enumerate(results) if one.error is not None]
    assert bad == [1, 5, len(paths)]
    assert isinstance(results[1].error, FormatError)
    for i, one in enumerate(results):
        if i in bad:
            assert one.decoded == []
            continue
        for sampling, found in zip(samplings, one.result(), strict=True):
            (expected,) = codec.decode([paths[i].read_bytes()], sampling, model=tiny)
            assert np.array_equal(found.drawing.bits, expected.drawing.bits)


def test_what_cannot_be_asked_is_refused(pictures):
    for wrong in ({"effort": 10}, {"threshold": 255}):
        with pytest.raises(ValueError, match=r"effort|threshold"):
            next(many.compress_files(pictures, model=str(TINY), **wrong))
    assert [*many.compress_files([], model=str(TINY))] == []
    assert [*many.decompress_files([])] == []
