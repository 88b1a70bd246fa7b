"""Laws of polarity: the picture stays what it is, and is coded the way that costs the model less."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vlae_codec import codec, pack, pixels
from vlae_codec import model as models
from vlae_codec.chunks import Settings
from vlae_codec.pixels import Drawing
from vlae_codec.polarity import inverted, suited, suited_source
from vlae_codec.sources import Memory, gather


@pytest.fixture(scope="module")
def silhouettes() -> models.Model:
    """A model whose training images are mostly ink, on more than half of them."""
    model = models.named("caltech101")
    assert 0.5 < model.mostly_ink < 0.8
    return model


@pytest.fixture(scope="module")
def blobs() -> np.ndarray:
    """Forty dark ellipses of all sizes on a light ground: (40, 28, 28) of 0 and 255."""
    rows, cols = np.indices((28, 28))
    tall, wide = np.random.default_rng(3).uniform(4, 15, (2, 40, 1, 1))
    inside = ((rows - 13.5) / tall) ** 2 + ((cols - 13.5) / wide) ** 2 < 1
    return np.where(inside, 0, 255).astype(np.uint8)


def same_picture(a: Drawing, b: Drawing) -> bool:
    return np.array_equal(np.asarray(pixels.to_picture(a)), np.asarray(pixels.to_picture(b)))


def test_turning_a_drawing_keeps_the_picture(digits):
    for drawing in digits[:10]:
        turned = inverted(drawing)
        assert same_picture(drawing, turned)
        assert not np.array_equal(turned.bits, drawing.bits)
        again = inverted(turned)
        assert again.look == drawing.look
        assert np.array_equal(again.bits, drawing.bits)
    blank = Drawing(np.zeros((28, 28), np.uint8))
    assert inverted(blank) is blank


def test_a_model_of_strokes_takes_a_drawing_as_it_is(tiny, digits):
    odd = inverted(digits[0])
    assert suited([odd], tiny)[0] is odd
    source = Memory([odd])
    assert suited_source(source, tiny) is source


def test_the_way_that_costs_less_is_taken_whichever_way_it_came(tiny, digits):
    both_ways = replace(tiny, mostly_ink=0.5)
    for came in (digits[:20], [*map(inverted, digits[:20])]):
        for digit, taken in zip(digits, suited(came, both_ways), strict=False):
            assert np.array_equal(taken.bits, digit.bits)
            assert same_picture(taken, digit)
    assert suited([], both_ways) == []
    blank = Drawing(np.zeros((28, 28), np.uint8))
    assert suited([blank], both_ways) == [blank]


def test_silhouettes_cost_what_the_cheaper_way_does(silhouettes, blobs):
    drawings = [pixels.to_drawing(blob) for blob in blobs[:8]]
    sizes = [
        [len(one.data) for one in codec.encode(way, silhouettes, lossless=True, effort=0)]
        for way in (suited(drawings, silhouettes), drawings, [*map(inverted, drawings)])
    ]
    chosen, least = sum(sizes[0]), sum(map(min, zip(*sizes[1:], strict=True)))
    assert chosen <= least + 2 * len(drawings)
    assert chosen < min(map(sum, sizes[1:]))


def archive_of(paths, model, **settings):
    out = io.BytesIO()
    with gather([str(path) for path in paths]) as gathered:
        pack.pack(gathered.sources, out, model, Settings(**settings))
    return out.getvalue()


@pytest.mark.parametrize("ordered", [True, False])
def test_an_array_is_turned_as_a_whole_and_comes_back_as_it_was(silhouettes, blobs, run, tmp_path, ordered):
    np.save("blobs.npy", blobs)
    data = archive_of(["blobs.npy"], silhouettes, ordered=ordered)
    assert len(data) < 0.8 * len(archive_of(["blobs.npy"], replace(silhouettes, mostly_ink=0.0), ordered=ordered))
    (tmp_path / "a.vlz").write_bytes(data)
    run("unpack", "a.vlz", "-o", "back")
    back = np.load("back/blobs.npy")
    assert sorted(blob.tobytes() for blob in back) == sorted(blob.tobytes() for blob in blobs)
    assert np.array_equal(back, blobs) or not ordered


def test_loose_pictures_are_turned_one_by_one_and_come_back_as_they_were(silhouettes, blobs, run, tmp_path):
    (tmp_path / "set").mkdir()
    for i, blob in enumerate(blobs):
        Image.fromarray(blob).save(tmp_path / "set" / f"{i:02}.png")
    run("pack", "set", "--model", "caltech101", "-o", "a.vlz")
    assert (tmp_path / "a.vlz").stat().st_size < 0.9 * len(archive_of(["set"], replace(silhouettes, mostly_ink=0.0)))
    run("unpack", "a.vlz", "-o", "back")
    run("compress", "set/03.png", "--lossless", "--verify", "--model", "caltech101", "-o", "3.vlz")
    run("decompress", "3.vlz", "-o", "3.png")
    for i, blob in enumerate(blobs):
        assert np.array_equal(np.asarray(Image.open(tmp_path / "back" / "set" / f"{i:02}.png")), blob)
    assert np.array_equal(np.asarray(Image.open("3.png")), blobs[3])


def test_what_is_measured_is_what_is_packed(silhouettes, blobs, run):
    np.save("images.npy", blobs[:12])
    table = json.loads(run("measure", "images.npy", "--model", "caltech101", "--no-rivals", "--json", "-q").stdout)
    (measured,) = (
        one for one in table["archives"] if (one["kind"], one["order"], one["samples"]) == ("lossless", "kept", 1)
    )
    assert measured["bytes"] == len(archive_of(["images.npy"], silhouettes))
