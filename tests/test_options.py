"""Options of wrong types or values: each call says in one line which one it is, and what it may be."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY
from PIL import Image

import vlae_codec
import vlae_codec.pillow
from vlae_codec import OptionError, Sampling, cluster, codec
from vlae_codec.report import measure

PHOTO = np.arange(24 * 40 * 3, dtype=np.uint8).reshape(24, 40, 3)
DATA = vlae_codec.compress(PHOTO, effort=0)
EFFORTS = [("effort", wrong) for wrong in (3.5, 3.0, "5", None, True, 10, -1)]
SWITCHES = "yes", None, 1
SAMPLINGS = [("seed", wrong) for wrong in (-1, 1.5, True, "3", None, 1 << 63)]
SAMPLINGS += [("temperature", wrong) for wrong in ("x", True, float("nan"), float("inf"), -0.5, 17, 1j)]
GOALS = [("quality", wrong) for wrong in ("high", True, 101, float("nan"), [50])]
GOALS += [("bpp", wrong) for wrong in ("1", 0, -1.0, float("inf"), True)]
GOALS += [("size_bytes", wrong) for wrong in ([1], 1000.5, 0, "20k", np.zeros((9, 9)))]
THRESHOLDS = [("threshold", wrong) for wrong in ("x", 127.5, 255, -1, False)]
MODELS = [("model", wrong) for wrong in (3, b"photo", Path("photo"), ["photo"], object())]
JOBS = [("jobs", wrong) for wrong in ("2", 1.5, 0, True)]
CALLS = {
    "compress": (
        lambda **options: vlae_codec.compress(PHOTO, **options),
        [*EFFORTS, *GOALS, *THRESHOLDS, *MODELS, *((name, one) for name in ("lossless", "lossy") for one in SWITCHES)],
    ),
    "encode": (
        lambda **options: vlae_codec.encode([], **{"model": "photo", **options}),
        [*EFFORTS, *MODELS, ("lossless", "no")],
    ),
    "decompress": (
        lambda **options: vlae_codec.decompress(DATA, **options),
        [*SAMPLINGS, *MODELS, *(("partial", one) for one in SWITCHES)],
    ),
    "decode": (
        lambda **options: vlae_codec.decode([DATA], **options),
        [*MODELS, ("partial", "x"), ("sampling", 3), ("sampling", None)],
    ),
    "decode_bands": (
        lambda **options: vlae_codec.decode_bands(DATA, **options),
        [*MODELS, ("partial", "x"), ("sampling", "x")],
    ),
    "inspect": (lambda **options: vlae_codec.inspect(DATA, **options), MODELS),
    "Sampling": (
        Sampling,
        [
            *SAMPLINGS,
            *(
                ("crop", one)
                for one in ((1, 2, 3), "abcd", [0, 0, 2, 2], (0, 0, 1.5, 2), (0, 0, 0, 2), (-1, 0, 2, 2), 7)
            ),
            *((name, one) for name in ("partial", "preview") for one in SWITCHES),
        ],
    ),
    "compress_files": (
        lambda **options: [*vlae_codec.compress_files([], **options)],
        [*EFFORTS, *GOALS, *THRESHOLDS, *MODELS, *JOBS, ("page", 0), ("page", "1"), ("verify", 1), ("lossy", "x")],
    ),
    "decompress_files": (
        lambda **options: [*vlae_codec.decompress_files([], **options)],
        [*MODELS, *JOBS, ("partial", 1), ("in_bands", "x"), ("samplings", 3)],
    ),
    "decode_samples": (
        lambda **options: vlae_codec.decode_samples([DATA], **options),
        [("samplings", 3), ("samplings", None)],
    ),
    "pack": (
        lambda **options: vlae_codec.pack(PHOTO[None], "a.vlz", **options),
        [
            *(one for one in EFFORTS if one[1] is not None),
            *(("quality", one) for one in ("high", True, 101)),
            *((name, one) for name in ("lossless", "ordered", "force", "skip_unsuitable") for one in SWITCHES),
            *(("chunk", one) for one in (0, "9", 1.5)),
            ("keep", "x"),
            *THRESHOLDS,
            *MODELS,
            *JOBS,
        ],
    ),
    "unpack": (
        lambda **options: vlae_codec.unpack(io.BytesIO(DATA), "out", **options),
        [*SAMPLINGS, *MODELS, *JOBS, *(("only", one) for one in ("*.png", [1], 3)), ("force", 1), ("max_bytes", "9")],
    ),
    "open_archive": (
        lambda **options: vlae_codec.open_archive("none.vlz", **options),
        [*SAMPLINGS, *MODELS, *((name, one) for name in ("cache_bytes", "max_bytes") for one in ("1", 1.5, -1, None))],
    ),
    "to_drawing": (lambda **options: vlae_codec.to_drawing(PHOTO, **options), [*THRESHOLDS, ("exact", 1)]),
    "cluster.pack": (
        lambda **options: cluster.pack("none", "s-{shard}.vlz", **{"shards": 2, **options}),
        [("shards", 0), ("shards", "2"), ("model", 3), ("effort", "5"), ("chunk", 0), ("force", 1), *JOBS],
    ),
    "cluster.test": (lambda **options: cluster.test("s-*.vlz", **options), [("max_bytes", "1"), *JOBS]),
    "cluster.unpack": (
        lambda **options: cluster.unpack("s-*.vlz", "out", **options),
        [*SAMPLINGS, *JOBS, ("only", "x"), ("max_bytes", 0), ("force", "no")],
    ),
    "cluster.measure": (
        lambda **options: cluster.measure("none", **options),
        [*EFFORTS, ("count", 0), ("count", "9"), ("baselines", 1), ("model", 3), *JOBS],
    ),
    "Settled": (measure.Settled, [*EFFORTS, *JOBS, ("baselines", 1)]),
    "Image.save": (
        lambda **options: Image.fromarray(PHOTO).save("x.vlz", **options),
        [("quality", "best"), *EFFORTS, *GOALS, *THRESHOLDS, *MODELS, ("lossless", "yes")],
    ),
}
CASES = [
    pytest.param(call, name, value, id=f"{called}-{name}-{number}")
    for called, (call, wrong) in CALLS.items()
    for number, (name, value) in enumerate(wrong)
]


@pytest.mark.parametrize(("call", "name", "value"), CASES)
def test_an_option_that_is_wrong_is_named_in_one_line(call, name, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match=rf"^(a )?{name} must be .*, not .+$") as caught:
        call(**{name: value})
    assert isinstance(caught.value, ValueError), "as Pillow's users, and earlier versions, expect"
    assert len(str(caught.value)) < 200
    assert not [*tmp_path.iterdir()], "and nothing is written"


def test_numbers_may_be_those_of_numpy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = vlae_codec.compress(PHOTO, effort=1, quality=40)
    assert vlae_codec.compress(PHOTO, effort=np.int64(1), quality=np.float32(40)) == expected
    assert vlae_codec.compress(PHOTO, effort=1, quality=Fraction(40), lossless=np.False_) == expected
    Image.fromarray(PHOTO).save("x.vlz", effort=np.uint8(1), quality=np.int32(40))
    assert Path("x.vlz").read_bytes() == expected
    for rate in (0.5, 1):  # in numbers that would overflow
        rated = vlae_codec.compress(PHOTO, bpp=rate, effort=0)
        kind = np.float16 if rate < 1 else np.uint8
        assert vlae_codec.compress(PHOTO, bpp=kind(rate), effort=0) == rated
    codec.decode([expected], Sampling(0, np.uint8(1)))
    codec.decode([expected], Sampling(np.int64(3), np.float32(1), crop=(np.int64(0), 0, 9, 9)))


def test_a_model_may_be_named_wherever_one_is_taken(digits):
    (made,) = vlae_codec.encode(digits[:1], str(TINY), effort=0)
    assert vlae_codec.inspect(made.data, str(TINY))["model"] == "tiny"
    (found,) = vlae_codec.decode([made.data], model=str(TINY))
    assert np.array_equal(np.asarray(found.picture), np.asarray(vlae_codec.decompress(made.data, model=str(TINY))))


@pytest.mark.parametrize("wrong", [3, b"tiny"])
def test_a_model_that_is_wrong_is_told_of_when_pillow_opens_a_file(wrong):
    with Image.open(io.BytesIO(DATA)) as opened:
        opened.model = wrong
        with pytest.raises(OptionError, match="model must be"):
            opened.load()
