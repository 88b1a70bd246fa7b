"""Laws of data sets of one's own: every picture is in one part, as the codec sees it."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import drawings_of
from PIL import Image

from vlae_codec.errors import ConfigError
from vlae_codec.models import collect, data, families, train
from vlae_codec.models import config as configs
from vlae_codec.picture.fields import cut_fields
from vlae_codec.sets.sources import gather

PARTS = ("train", "valid", "test")


@pytest.fixture
def mixed(tmp_path, fields):
    """Fifty digits of an array and a folder of five pictures of 68x28: two fields with ink, and one without."""
    (tmp_path / "set").mkdir()
    np.save(tmp_path / "digits.npy", fields[:50])
    for i, digit in enumerate(fields[50:55]):
        wide = np.zeros((28, 68), np.uint8)
        wide[:, :28] = digit * np.uint8(255)
        wide[5, 60 + i] = 255
        Image.fromarray(wide).save(tmp_path / "set" / f"{i}.png")
    return [str(tmp_path / "digits.npy"), str(tmp_path / "set")]


def rows(images):
    return sorted(image.tobytes() for image in images)


def test_every_picture_is_in_one_part_as_the_codec_sees_it(mixed, run, tmp_path):
    text = run("data", "collect", "own", *mixed, "-o", tmp_path).output
    assert "5 without ink are left out" in text
    parts = {part: data.load("own", [part], tmp_path) for part in PARTS}
    with gather(mixed) as gathered:
        drawings = [one for source in gathered.sources for one in drawings_of(source)]
    every = cut_fields([drawing.bits for drawing in drawings])[0] * np.uint8(255)
    every = every[every.any(axis=(1, 2))]
    assert len(every) == 60
    assert rows(every) == rows(np.concatenate([*parts.values()]))
    seen = {part: set(rows(images)) for part, images in parts.items()}
    for i in range(50, 60, 2):
        assert sum({every[i].tobytes(), every[i + 1].tobytes()} <= seen[part] for part in PARTS) == 1
    assert min(map(len, parts.values())) >= 5
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    (tmp_path / "damaged.npz").write_bytes(b"PK")
    text = run("data", "list", "--data", tmp_path).output
    assert "own: your own" in text
    assert "other" not in text
    assert "damaged" not in text


def test_the_same_pictures_make_the_same_archive(mixed, run, tmp_path):
    for name in ("one", "two"):
        run("data", "collect", name, *mixed, "-o", tmp_path)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    run("data", "collect", "one", *mixed, "-o", tmp_path, expect=1)
    run("data", "collect", "one", *mixed, "-o", tmp_path, "-f")


def test_what_cannot_be_collected_is_refused(mixed, run, tmp_path, fields):
    np.save(tmp_path / "few.npy", np.concatenate([fields[: collect.FEWEST - 1], np.zeros((9, 28, 28), np.uint8)]))
    assert "at least 50" in run("data", "collect", "own", tmp_path / "few.npy", expect=1).output
    assert "published" in run("data", "collect", "omniglot28", *mixed, expect=1).output
    for name in ("a/b", "..", "", "a.b"):
        assert "letters" in run("data", "collect", name, *mixed, expect=1).output
    photo = np.add.outer(np.arange(28), np.arange(28)).astype(np.uint8)
    Image.fromarray(photo).save(tmp_path / "set" / "photo.png")
    assert "--threshold" in run("data", "collect", "own", *mixed, expect=1).output
    assert not (tmp_path / "data").exists()
    assert "at least 50" in run("data", "collect", "own", tmp_path / "set", "--threshold", 20, expect=1).output


def test_binarising_is_told(run, tmp_path, fields):
    np.save(
        tmp_path / "gray.npy",
        np.where(fields, 200, 30).astype(np.uint8) + np.arange(100, dtype=np.uint8)[:, None, None] % 9,
    )
    text = run("data", "collect", "own", tmp_path / "gray.npy", "--threshold", 100).output
    assert "note: binarised at gray level 100: 100 pictures" in text
    loaded = np.concatenate([data.load("own", [part], tmp_path / "data") for part in PARTS])
    assert rows(loaded) == rows(fields * np.uint8(255))


def test_a_set_that_is_nowhere_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no data set 'own'.*data collect.*--data"):
        data.load("own", ["train"], tmp_path)
    np.savez(tmp_path / "own.npz", train=np.zeros((3, 98), np.uint8))
    with pytest.raises(ConfigError, match="cannot read"):
        data.load("own", ["test"], tmp_path)
    with pytest.raises(ConfigError, match="no part 'rest'"):
        data.load("own", ["rest"], tmp_path)


def test_arrays_of_another_layout_are_refused(tmp_path):
    bits = np.ones((3, 28, 28), np.uint8)
    for wrong in (bits, bits > 0, bits.astype(np.float32), np.zeros((784, 5, 7), np.uint8), bits[:0] + np.uint8(255)):
        np.savez(tmp_path / "own.npz", train=wrong, valid=wrong, test=wrong)
        with pytest.raises(ConfigError, match="must be uint8"):
            data.load("own", ["test"], tmp_path)
    np.savez(tmp_path / "own.npz", train=bits * np.uint8(128))
    assert data.load("own", ["train"], tmp_path).max() == 128


def test_the_experiment_for_it_starts_from_a_model_that_ships(tmp_path):
    config = configs.load(configs.locate(configs.Path("own")))
    assert config.data.name == "own"
    begun = train._grown(config, train.load_average(families.locate(config.train.initial, tmp_path)))
    assert begun.active.sum() == 32
