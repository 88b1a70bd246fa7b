"""Laws of polarity: the picture stays what it is, and is coded the way that costs the model less."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import levels_of
from PIL import Image

from vlae_codec import codec, zoo
from vlae_codec.archive import pack
from vlae_codec.archive.chunks import Settings
from vlae_codec.archive.polarity import suited_together
from vlae_codec.family import Ask
from vlae_codec.field.coder import FieldCoder
from vlae_codec.field.polarity import suited
from vlae_codec.picture.drawing import Drawing, Look, inverted, looking, raster_of
from vlae_codec.picture.images import to_drawing, to_picture
from vlae_codec.sets.sources import Memory, gather


@pytest.fixture(scope="module")
def silhouettes() -> FieldCoder:
    """A model whose training images are mostly ink, on more than half of them."""
    model = zoo.named("caltech101")
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
    return np.array_equal(np.asarray(to_picture(a)), np.asarray(to_picture(b)))


def test_turning_a_drawing_keeps_the_picture(digits):
    for drawing in digits[:10]:
        turned = inverted(drawing)
        assert same_picture(drawing, turned)
        assert not np.array_equal(turned.bits, drawing.bits)
        again = inverted(turned)
        assert again.look == drawing.look
        assert np.array_equal(again.bits, drawing.bits)
    blank = Drawing(np.zeros((28, 28), np.uint8))
    assert inverted(blank).bits.all()
    assert same_picture(blank, inverted(blank))


def test_a_drawing_is_looked_at_as_asked_if_it_can_be(digits):
    digit = digits[0]
    assert looking(digit, digit.look) is digit
    assert looking(digit, Look((1,), (2,))) is digit
    assert np.array_equal(looking(inverted(digit), digit.look).bits, digit.bits)


def test_a_model_of_strokes_takes_a_drawing_as_it_is(tiny, digits):
    odd = inverted(digits[0])
    assert suited([odd], tiny)[0] is odd
    source = Memory([odd])
    assert suited_together([source], tiny) == [source]


def test_the_way_that_costs_less_is_taken_whichever_way_it_came(tiny, digits):
    both_ways = replace(tiny, mostly_ink=0.5)
    for came in (digits[:20], [*map(inverted, digits[:20])]):
        for digit, taken in zip(digits[:20], suited(came, both_ways), strict=True):
            assert np.array_equal(taken.bits, digit.bits)
            assert same_picture(taken, digit)
    assert suited([], both_ways) == []
    blank = Drawing(np.zeros((28, 28), np.uint8))
    assert suited([blank], both_ways) == [blank]


def test_silhouettes_cost_what_the_cheaper_way_does(silhouettes, blobs):
    drawings = [to_drawing(blob) for blob in blobs[:8]]
    ask = Ask(lossless=True, effort=0, fixed=True)
    ways = [suited(drawings, silhouettes), drawings, [*map(inverted, drawings)]]
    views = [[silhouettes.view(raster_of(drawing), ask) for drawing in way] for way in ways]
    files = [[one.data for one in codec.encode_views(way, silhouettes, ask)] for way in views]
    for way in ways:
        assert [one.data for one in codec.encode(way, silhouettes, lossless=True, effort=0)] == files[0]
    sizes = [[*map(len, some)] for some in files]
    chosen, least = sum(sizes[0]), sum(map(min, zip(*sizes[1:], strict=True)))
    assert chosen <= least + len(drawings)
    assert chosen < min(map(sum, sizes[1:]))


def archive_of(paths, model, **settings):
    out = io.BytesIO()
    with gather([str(path) for path in paths]) as gathered:
        pack.pack(gathered.sources, out, model, Settings(**settings))
    return out.getvalue()


@pytest.fixture
def mixed(blobs) -> np.ndarray:
    """The blobs, one in three as a negative, and one blank of each colour."""
    images = blobs.copy()
    images[::3] = 255 - images[::3]
    images[1], images[2] = 0, 255
    return images


@pytest.mark.parametrize(("ordered", "lossless"), [(True, True), (False, True), (True, False)])
def test_an_array_is_turned_as_a_whole_and_comes_back_as_it_was(silhouettes, blobs, mixed, run, ordered, lossless):
    for images in (blobs, mixed) if lossless else (blobs,):
        np.save("images.npy", images)
        data = archive_of(["images.npy"], silhouettes, ordered=ordered, lossless=lossless)
        if images is blobs:
            one_way = archive_of(
                ["images.npy"], replace(silhouettes, mostly_ink=0.0), ordered=ordered, lossless=lossless
            )
            assert len(data) < 0.8 * len(one_way) or not lossless  # how a lossy one looks is what is gained
        Path("a.vlz").write_bytes(data)
        run("unpack", "a.vlz", "-o", "back", "-f")
        back = np.load("back/images.npy")
        if lossless:
            assert sorted(image.tobytes() for image in back) == sorted(image.tobytes() for image in images)
            assert np.array_equal(back, images) or not ordered
        else:
            assert (back != images).mean() < 0.2


def test_blank_images_speak_for_the_way_of_an_array_too(silhouettes, blobs, tmp_path):
    images = np.zeros((300, 28, 28), np.uint8)
    images[100:102] = blobs[:2]
    np.save(tmp_path / "images.npy", images)
    sizes = [len(archive_of([tmp_path / "images.npy"], replace(silhouettes, mostly_ink=hint))) for hint in (0.0, 0.5)]
    assert sizes[1] <= sizes[0]


def test_one_image_of_a_turned_array_is_the_same_picture(silhouettes, blobs, run):
    np.save("images.npy", blobs)
    for name, model in (("a", silhouettes), ("b", replace(silhouettes, mostly_ink=0.0))):
        Path(f"{name}.vlz").write_bytes(archive_of(["images.npy"], model))
        run("unpack", f"{name}.vlz", "--only", "images.npy/7", "-o", name)
    a, b = (levels_of(path) for name in "ab" for path in Path(name).rglob("*.png"))
    assert np.array_equal(a, b)


def test_loose_pictures_are_turned_one_by_one_and_come_back_as_they_were(silhouettes, mixed, run, tmp_path):
    (tmp_path / "set").mkdir()
    for i, image in enumerate(mixed):
        Image.fromarray(image).save(tmp_path / "set" / f"{i:02}.png")
    run("pack", "set", "--model", "caltech101", "-o", "a.vlz")
    assert (tmp_path / "a.vlz").stat().st_size < 0.9 * len(archive_of(["set"], replace(silhouettes, mostly_ink=0.0)))
    run("unpack", "a.vlz", "-o", "back")
    run("compress", "set/03.png", "--lossless", "--verify", "--model", "caltech101", "-o", "3.vlz")
    run("decompress", "3.vlz", "-o", "3.png")
    for i, image in enumerate(mixed):
        assert np.array_equal(levels_of(tmp_path / "back" / "set" / f"{i:02}.png"), image)
    assert np.array_equal(levels_of("3.png"), mixed[3])


def test_a_set_of_loose_pictures_is_turned_as_a_whole(silhouettes, blobs, run, tmp_path):
    mostly_light = [blob for blob in blobs if blob.mean() > 130]
    (tmp_path / "set").mkdir()
    for i, blob in enumerate(mostly_light):
        Image.fromarray(blob).save(tmp_path / "set" / f"{i:02}.png")
    data = archive_of(["set"], silhouettes, ordered=False)
    assert len(data) < 0.8 * len(archive_of(["set"], replace(silhouettes, mostly_ink=0.0), ordered=False))
    (tmp_path / "a.vlz").write_bytes(data)
    run("unpack", "a.vlz", "-o", "back")
    back = [levels_of(path) for path in sorted((tmp_path / "back").rglob("*.png"))]
    assert sorted(image.tobytes() for image in back) == sorted(blob.tobytes() for blob in mostly_light)


def test_a_page_that_is_mostly_blank_stays_as_it_is(silhouettes, digits):
    page = np.zeros((28 * 9, 28 * 9), np.uint8)
    page[28:56, 28:56] = digits[0].bits
    (taken,) = suited([Drawing(page)], silhouettes)
    assert taken.bits is page


def test_what_is_measured_is_what_is_packed(silhouettes, mixed, run):
    np.save("images.npy", mixed[:12])
    arguments = ("--model", "caltech101", "--no-baselines", "--effort", 0, "--json", "-q")
    table = json.loads(run("measure", "images.npy", *arguments).stdout)
    sizes = {
        one["order"]: one["bytes"] for one in table["archives"] if (one["kind"], one["samples"]) == ("lossless", 1)
    }
    for order, ordered in (("kept", True), ("unordered", False)):  # but for the name and the levels of the array
        assert abs(sizes[order] - len(archive_of(["images.npy"], silhouettes, ordered=ordered))) <= 8
