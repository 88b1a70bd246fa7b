"""A set of archives read as one sequence, and divided among the readers of a training."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import HERE, TINY

import vlae_codec
from vlae_codec import cluster, places
from vlae_codec.errors import FormatError, ImageError

ALL = "set-*.vlz"
OPTIONS = {"model": str(TINY)}


@pytest.fixture(scope="module")
def packed(tmp_path_factory, fields):
    """40 digits in 5 shards of chunks of 4."""
    folder = tmp_path_factory.mktemp("sets")
    np.save(folder / "a.npy", fields[:40])
    cluster.pack(str(folder / "a.npy"), str(folder / "set-{shard:05d}.vlz"), 5, jobs=1, chunk=4, **OPTIONS)
    return folder


@pytest.fixture
def archives(packed, monkeypatch):
    monkeypatch.chdir(packed)
    with vlae_codec.open_archive(ALL, **OPTIONS) as found:
        yield found


def test_a_set_is_one_sequence(archives, fields):
    assert len(archives) == 40
    for index in (0, 7, 8, 39, -1, -40):
        assert np.array_equal(archives[index], fields[:40][index])
    assert np.array_equal(np.stack(archives[6:20:3]), fields[6:20:3])
    assert np.array_equal(np.stack([*archives]), fields[:40])
    assert np.array_equal(np.stack([*reversed(archives)]), fields[:40][::-1])
    assert archives.names[9] == "a.00001.npy/1"
    assert archives.find("a.00004.npy/7") == 39
    assert archives.picture(3).size == (28, 28)
    assert archives.metadata(3) == vlae_codec.Metadata()
    assert [Path(place).name for place in archives.shards] == [f"set-{i:05d}.vlz" for i in range(5)]
    with pytest.raises(IndexError, match="has 40 images, and no image 40"):
        archives[40]
    with pytest.raises(ImageError, match="no image named b"):
        archives.find("b")


def test_parts_have_each_image_once(archives, fields):
    for of in (1, 2, 3, 7):
        parts = [[image.tobytes() for image in archives.part(index, of)] for index in range(of)]
        assert sorted(sum(parts, [])) == sorted(image.tobytes() for image in fields[:40])
        assert [len(part) for part in parts] == [8 * len(range(index, 5, of)) for index in range(of)]
    with pytest.raises(ValueError, match="no part 2"):
        archives.part(2, 2)


def test_few_shards_are_open_and_a_set_can_be_pickled_and_closed(archives, fields, monkeypatch):
    monkeypatch.setattr("vlae_codec.archive.sharded._MOST_OPEN", 2)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    assert all(np.array_equal(archives[8 * i], fields[8 * i]) for i in (0, 1, 2, 3, 4, 0))
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before + 2
    with pickle.loads(pickle.dumps(archives)) as other:
        assert np.array_equal(other[17], fields[17])
    other.close()
    with pytest.raises(ValueError, match="is closed"):
        other[0]


def test_shards_without_a_manifest_are_in_the_order_of_their_numbers(packed, tmp_path, fields):
    for i in range(5):
        (tmp_path / f"s{9 + i}.vlz").write_bytes((packed / f"set-{i:05d}.vlz").read_bytes())
    with vlae_codec.open_archive(tmp_path / "s*.vlz", **OPTIONS) as found:
        assert np.array_equal(np.stack([*found]), fields[:40])
    with pytest.raises(FormatError, match="no archive matches"):
        vlae_codec.open_archive(str(tmp_path / "t*.vlz"))


def test_a_shard_that_is_missing_or_damaged_is_named(packed, tmp_path):
    for path in packed.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    pattern, third = str(tmp_path / ALL), tmp_path / "set-00003.vlz"
    data = third.read_bytes()
    third.write_bytes(data[: len(data) // 2] + b"damage" + data[len(data) // 2 + 6 :])
    with vlae_codec.open_archive(pattern, **OPTIONS) as found:
        assert found[0].shape == (28, 28)
        with pytest.raises(FormatError, match=r"set-00003\.vlz: "):
            found[24:32]
    assert len(cluster.test(pattern, jobs=1, **OPTIONS).problems) >= 1
    third.unlink()
    with pytest.raises(FormatError, match=r"lacks .*set-00003\.vlz"):
        vlae_codec.open_archive(pattern)


def test_archives_by_url(packed, fields):
    pytest.importorskip("fsspec")
    for path in packed.glob("set-*"):
        places.write(f"memory://url/{path.name}", path.read_bytes(), force=True)
    with vlae_codec.open_archive("memory://url/set-*.vlz", **OPTIONS) as found:
        assert np.array_equal(found[33], fields[33])
    with vlae_codec.open_archive("memory://url/set-00002.vlz", **OPTIONS) as found:
        assert np.array_equal(found[-1], fields[23])
    with vlae_codec.open_archive((packed / "set-00002.vlz").as_uri(), **OPTIONS) as found:
        assert np.array_equal(found[-1], fields[23])


def test_commands_take_sets(packed, run, fields):
    pattern = packed / ALL
    assert "40 images in 5 shards, model of digest" in run("list", pattern).output
    assert run("list", pattern, "--names").output.splitlines()[8] == "a.00001.npy/0"
    assert '"images": 40' in run("list", pattern, "--json").output
    assert "ok" in run("test", pattern, "--model", TINY).output
    run("unpack", pattern, "-o", "out", "--only", "a.00003.npy/5", "--only", "*4.npy/[01]", "--model", TINY)
    assert sorted(str(path) for path in Path("out").rglob("*.png")) == [
        "out/a.00003.npy/5.png",
        "out/a.00004.npy/0.png",
        "out/a.00004.npy/1.png",
    ]
    said = run("unpack", pattern, "-o", "none", "--only", "b", "--model", TINY, expect=1).output
    assert "no shard has an image named b" in said
    run("unpack", pattern, "-o", "all", "--model", TINY, "--jobs", 1)
    parts = [np.load(path) for path in sorted(Path("all").iterdir())]
    assert np.array_equal(np.concatenate(parts), fields[:40])
    assert "not empty" in run("unpack", pattern, "-o", "all", "--model", TINY, expect=1).output
    assert "name: -o DIR" in run("unpack", pattern, expect=2).output
    assert "no archive matches" in run("list", "x*.vlz", expect=1).output


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_the_documented_set_works(tmp_path, monkeypatch, fields):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", fields[:8])
    cluster.pack("a.npy", "set-{shard:05d}.vlz", 2, jobs=1)  # by the default model, as the page has it
    page = (HERE.parent / "docs" / "python.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n([^`]*ShardedImages.*?)```", page, re.DOTALL)
    names = {}
    exec(block, names)
    assert len(names["batch"]) == 4
    names["images"].archives.close()


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize(("workers", "ranks"), [(0, 1), (2, 1), (0, 2), (2, 2)])
def test_a_loader_sees_each_image_once(packed, fields, monkeypatch, workers, ranks):
    torch = pytest.importorskip("torch")
    from vlae_codec.models import shards

    seen = []
    for rank in range(ranks):
        monkeypatch.setattr(shards.distributed, "is_initialized", lambda: ranks > 1)
        monkeypatch.setattr(shards.distributed, "get_world_size", lambda: ranks)
        monkeypatch.setattr(shards.distributed, "get_rank", lambda rank=rank: rank)
        images = shards.ShardedImages(str(packed / ALL), shuffle=True, **OPTIONS)
        images.set_epoch(3)
        loader = torch.utils.data.DataLoader(images, batch_size=4, num_workers=workers)
        seen.append([image.numpy().tobytes() for batch in loader for image in batch])
        images.archives.close()
    assert sorted(sum(seen, [])) == sorted(image.tobytes() for image in fields[:40])
    assert all(seen), "each rank has some"
