"""Sets of archives: what is in them, whatever wrote them, and that nothing half-written is taken for whole."""

from __future__ import annotations

import gc
import gzip
import importlib
import json
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import tarfile
import tracemalloc
import typing
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, levels_of
from PIL import Image

from vlae_codec import cluster, places, zoo
from vlae_codec.archive.options import Options
from vlae_codec.cluster import dask as dask_module
from vlae_codec.cluster import survey, tasks
from vlae_codec.cluster.engine import Local
from vlae_codec.cluster.pattern import Pattern
from vlae_codec.cluster.record import locked
from vlae_codec.errors import FormatError, ImageError, ModelError, OutputError, PlaceError, VlaeError
from vlae_codec.picture.images import picture_of, png_bytes, to_picture
from vlae_codec.sets import shards as sets

OUT, ALL = "set-{shard:05d}.vlz", "set-*.vlz"
OPTIONS = {"model": str(TINY), "jobs": 1}


@pytest.fixture
def sources(tmp_path, monkeypatch, digits, fields):
    """A folder of 12 digits and an array of 20."""
    monkeypatch.chdir(tmp_path)
    Path("digits").mkdir()
    for i, digit in enumerate(digits[:12]):
        Path(f"digits/{i:02}.png").write_bytes(png_bytes(to_picture(digit)))
    np.save("more.npy", fields[20:40])
    return ["digits", "more.npy"]


def written(pattern=ALL):
    """The bytes of each shard."""
    return [Path(shard.place).read_bytes() for shard in sets.find(pattern)]


def check_unpacked(folder, digits, fields):
    """That a folder has what `sources` has; an array that was divided is in the parts that shards had."""
    for i, digit in enumerate(digits[:12]):
        assert np.array_equal(levels_of(f"{folder}/digits/{i:02}.png"), np.asarray(to_picture(digit)))
    parts = sorted(Path(folder).glob("more*.npy"))
    assert np.array_equal(np.concatenate([np.load(path) for path in parts]), fields[20:40])


def test_shards_have_about_equal_numbers_of_pixels_and_none_is_empty():
    rng = np.random.default_rng(0)
    for count, shards in ((1, 1), (7, 7), (8, 3), (1000, 16), (50, 49)):
        pixels = rng.integers(1, 1000, count)
        images = survey.cut(pixels, shards)
        assert sum(images) == count
        assert len(images) == shards
        assert min(images) > 0
        sums = np.add.reduceat(pixels, np.cumsum([0, *images[:-1]]))
        if shards * 4 <= count:
            assert np.abs(sums - pixels.sum() / shards).max() <= pixels.max()
    assert survey.cut(np.array([10**6, *[1] * 9]), 3) == (1, 1, 8), "one large picture fills its shard"
    with pytest.raises(OutputError, match="only 2 images for 3 shards"):
        survey.cut(np.array([1, 1]), 3)


@pytest.mark.parametrize(
    "text", ["set.vlz", "{shard}/a.vlz", "{shard}{shard}.vlz", "{n}-{shard}.vlz", "*{shard}.vlz", "{shard:x}"]
)
def test_a_pattern_names_each_shard_once(text):
    with pytest.raises(OutputError, match="has no place for a shard's number"):
        Pattern.of(text)


def test_patterns_and_what_stands_beside_them():
    pattern = Pattern.of("a/set-{shard:05d}.vlz")
    assert pattern.place(7) == "a/set-00007.vlz"
    assert (pattern.wildcard, pattern.manifest) == ("a/set-*.vlz", "a/set-manifest.json")
    assert Pattern.of("{shard}.vlz").place(12) == "12.vlz"
    assert Pattern.of("s3://a/b-{shard:3}.vlz").place(1) == "s3://a/b-  1.vlz"


def test_a_set_holds_what_was_packed(sources, digits, fields):
    tallies = []
    packed = cluster.pack(sources, OUT, 3, progress=tallies.append, **OPTIONS)
    assert (packed.shards, packed.failures, packed.ledger.images) == (3, (), 32)
    assert [tally.images for tally in tallies][-1] == 32
    assert tallies[-1].bytes == sum(map(len, written())) == packed.ledger.total_bytes
    assert sorted(os.listdir()) == ["digits", "more.npy", *(f"set-{i:05d}.vlz" for i in range(3)), "set-manifest.json"]
    tested = cluster.test(ALL, **OPTIONS)
    assert (tested.shards, tested.images, tested.problems) == (3, 32, ())
    assert cluster.unpack(ALL, "out", **OPTIONS).problems == ()
    check_unpacked("out", digits, fields)
    with pytest.raises(OutputError, match="is complete"):
        cluster.pack(sources, OUT, 3, **OPTIONS)
    cluster.pack(sources, OUT, 2, force=True, **OPTIONS)
    assert len(written()) == 2, "what there was of another set is gone"


def test_compressed_sources_are_read_once_into_copies_that_go(sources, fields):
    with tarfile.open("d.tar.gz", "w:gz") as archive:
        archive.add("digits")
    Path("x-idx3-ubyte.gz").write_bytes(
        gzip.compress(
            bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (20, 28, 28)) + fields[:20].tobytes()
        )
    )
    np.savez_compressed("z.npz", a=fields[40:60], b=fields[60:63])
    given = ["d.tar.gz", "x-idx3-ubyte.gz", "z.npz"]
    copies = survey.Looking(None, True, str(Path("copies").absolute()))
    found = survey.listed(Local(1), given, copies)
    assert len(os.listdir("copies")) == 4
    assert all(source.stored.is_direct for source in found.sources[1:])
    cluster.pack(given, OUT, 4, **OPTIONS)
    assert "set-manifest.run" not in os.listdir()
    assert cluster.unpack(ALL, "out", **OPTIONS).problems == ()
    for name in ("digits/03.png", "digits/11.png"):
        assert np.array_equal(levels_of(f"out/{name}"), levels_of(name))
    idx = b"".join(gzip.decompress(path.read_bytes())[16:] for path in sorted(Path("out").glob("x-idx3-ubyte*.gz")))
    assert idx == fields[:20].tobytes()
    parts = [np.load(path) for path in sorted(Path("out").glob("z*.npz"))]
    assert np.array_equal(np.concatenate([part["a"] for part in parts if "a" in part]), fields[40:60])
    assert np.array_equal(np.concatenate([part["b"] for part in parts if "b" in part]), fields[60:63])


def stop_after(shards):
    """A progress that is interrupted when so many shards are done."""

    def tell(tally):
        if tally.shards >= shards:
            raise KeyboardInterrupt

    return tell


def test_a_run_that_was_stopped_goes_on(sources):
    cluster.pack(sources, "other-{shard:05d}.vlz", 4, **OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        cluster.pack(sources, OUT, 4, progress=stop_after(2), **OPTIONS)
    with pytest.raises(FormatError, match=r"lacks set-00002\.vlz, set-00003\.vlz"):
        sets.find(ALL)
    assert "set-manifest.lock" not in os.listdir()
    before = [os.stat(f"set-0000{i}.vlz").st_mtime_ns for i in range(2)]
    packed = cluster.pack(sources, OUT, 4, **OPTIONS)
    assert packed.kept == 2
    assert packed.ledger.images == 32
    assert [os.stat(f"set-0000{i}.vlz").st_mtime_ns for i in range(2)] == before
    assert written() == written("other-*.vlz")


@pytest.mark.parametrize("most", [1, 1024])
def test_only_whole_shards_are_kept(sources, monkeypatch, most):
    monkeypatch.setattr(
        "vlae_codec.cluster.api._MOST_TASKS", most
    )  # of checking: all shards by one, or each by its own
    cluster.pack(sources, "other-{shard:05d}.vlz", 4, **OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        cluster.pack(sources, OUT, 4, progress=stop_after(3), **OPTIONS)
    Path("set-00000.vlz").write_bytes(Path("set-00000.vlz").read_bytes()[:-1])
    Path("set-manifest.run/00001.json").unlink()
    assert cluster.pack(sources, OUT, 4, **OPTIONS).kept == 1
    assert written() == written("other-*.vlz")


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("other options", {"effort": 1}),
        ("other images", {"sources": ["more.npy"]}),
        ("4 shards", {"shards": 5}),
    ],
)
def test_a_run_goes_on_as_it_began(sources, what, change):
    with pytest.raises(KeyboardInterrupt):
        cluster.pack(sources, OUT, 4, progress=stop_after(1), **OPTIONS)
    given = {"sources": sources, "out": OUT, "shards": 4, **OPTIONS}
    with pytest.raises(OutputError, match=what):
        cluster.pack(**{**given, **change})


def test_files_of_strangers_stay(sources):
    Path("set-00001.vlz").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"set-00001\.vlz exists"):
        cluster.pack(sources, OUT, 2, **OPTIONS)
    assert Path("set-00001.vlz").read_bytes() == b"mine"


def test_a_bad_picture_costs_its_shard_until_it_is_mended(sources, run, digits, monkeypatch, tmp_path):
    good = Path("digits/05.png").read_bytes()
    Path("digits/05.png").write_bytes(good[:60])
    command = ["pack", *sources, "-o", OUT, "--shards", 3, "--model", TINY, "--jobs", 1]
    said = run(*command, expect=1).output
    assert "set-00001.vlz was not made" in said or "set-00000.vlz was not made" in said
    assert "digits/05.png" in said
    assert "1 of 3 shards failed" in said
    assert len([*Path().glob("set-0*.vlz")]) == 2
    Path("digits/05.png").write_bytes(good)
    assert "2 of them from an earlier run" in run(*command).output
    run("test", ALL, "--model", TINY)


def test_a_task_is_tried_three_times():
    tried = []

    def work(fails, item):
        tried.append(item)
        if len(tried) <= fails:
            raise OSError(f"no answer {len(tried)}")
        return "done"

    item = survey.Part(7, 1, survey.Packed(b""))
    assert [one.result for one in Local(1).run("try", work, [item], 2)] == ["done"]
    tried.clear()
    (outcome,) = Local(1).run("try", work, [item], 3)
    assert (outcome.result, outcome.error) == (None, "no answer 3")
    assert tried == [item] * 3


def test_a_model_that_is_another_one_on_a_worker_is_refused():
    with pytest.raises(ModelError, match="is another one here"):
        tasks.coder_of(tasks.Named(str(TINY), "00" * 32))


def test_a_missing_source_is_named_before_anything_is_written(sources):
    with pytest.raises(ImageError, match=r"no\.png does not exist; .*neither\.tar does not exist"):
        cluster.pack(["no.png", "digits", "neither.tar"], OUT, 2, **OPTIONS)
    assert not [*Path().glob("set-*")]


def test_one_run_at_a_time(sources):
    pattern = Pattern.of(OUT)
    with locked(pattern, "first"), pytest.raises(OutputError, match=f"another run, process {os.getpid()} on"):
        cluster.pack(sources, OUT, 2, **OPTIONS)
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    holder = {"run": "old", "host": socket.gethostname(), "process": int(gone.stdout)}
    Path(pattern.lock).write_text(json.dumps(holder))
    assert cluster.pack(sources, OUT, 2, **OPTIONS).shards == 2, "the lock of a process that is gone"
    Path(pattern.lock).write_text(json.dumps({**holder, "host": "elsewhere"}))
    with pytest.raises(OutputError, match=r"on elsewhere, writes set-.*: wait for it; if it has ended, remove"):
        cluster.pack(sources, OUT, 2, force=True, **OPTIONS)


def test_a_run_that_lost_its_lock_publishes_nothing(sources):
    def take_over(_tally):
        Path("set-manifest.lock").write_text(json.dumps({"run": "another"}))

    packed = cluster.pack(sources, OUT, 2, progress=take_over, **OPTIONS)
    assert len(packed.failures) == 2
    assert "another one has taken over" in packed.failures[0]
    assert not [*Path().glob("set-0*.vlz")]


def test_sets_by_url(sources, digits, fields):
    memory = "memory://bucket/deep/set-{shard:02d}.vlz"
    for i in range(12):
        places.write(f"memory://in/digits/{i:02}.png", Path(f"digits/{i:02}.png").read_bytes(), force=True)
    places.write("memory://in/more.npy", Path("more.npy").read_bytes(), force=True)
    given = ["memory://in/digits", Path("more.npy").absolute().as_uri()]
    assert cluster.pack(given, memory, 3, **OPTIONS).failures == ()
    assert places.below("memory://bucket/deep") == [*(f"set-0{i}.vlz" for i in range(3)), "set-manifest.json"]
    every = "memory://bucket/deep/set-*.vlz"
    assert cluster.test(every, **OPTIONS).problems == ()
    assert cluster.unpack(every, "out", **OPTIONS).problems == ()
    check_unpacked("out", digits, fields)
    assert cluster.unpack(every, "memory://bucket/out", **OPTIONS).problems == ()
    assert places.read("memory://bucket/out/digits/04.png") is not None
    places.write("memory://bucket/deep/set-01.vlz", b"", force=True)
    (problem,) = cluster.test(every, **OPTIONS).problems
    assert problem.startswith("memory://bucket/deep/set-01.vlz: ")


def test_a_url_whose_driver_is_missing_says_what_to_install(sources, run):
    pytest.importorskip("fsspec")
    if not any(Path(folder, "s3fs").exists() for folder in sys.path):
        assert "pip install s3fs" in run("pack", "digits", "-o", f"s3://bucket/{OUT}", "--shards", 2, expect=1).output
    with pytest.raises(PlaceError, match="foo:// is not known"):
        places.open_read("foo://bucket/a")


@pytest.mark.parametrize(
    ("arguments", "expect", "said"),
    [
        (["-o", "set.vlz", "--shards", "2"], 1, "has no place for a shard's number"),
        (["-o", OUT], 2, "a set needs --shards N"),
        (["--shards", "2"], 2, "a set needs --shards N"),
        (["-o", OUT, "--shards", "2", "--scheduler", "local:many"], 1, "local:4 begins four processes"),
        (["-o", OUT, "--shards", "99"], 1, "only 32 images for 99 shards"),
    ],
)
def test_clear_words(sources, run, arguments, expect, said):
    output = run("pack", *sources, *arguments, "--jobs", 1, expect=expect).output
    assert said in output
    assert len([line for line in output.splitlines() if line.startswith("Error")]) == 1


def test_a_measurement_in_parts_is_that_of_the_whole(sources, monkeypatch):
    how = {"model": str(TINY), "jobs": 1, "effort": 0, "baselines": False}
    whole = cluster.measure(sources, **how)
    monkeypatch.setattr("vlae_codec.cluster.measuring.EACH", 10)
    parts = cluster.measure(sources, **how)
    assert (parts.images, parts.names, parts.source) == (32, whole.names, "digits, more.npy")
    for key in ("kl_bits", "lossless_file_bits", "lossy_file_bits"):
        assert np.array_equal(parts.per_image[key], whole.per_image[key]), key
    assert parts.mean("negative_elbo_bits") == pytest.approx(whole.mean("negative_elbo_bits"), rel=0.05), (
        "of other samples"
    )
    for one in parts.archives:
        assert sum(one["ledger"].values()) == pytest.approx(8 * one["bytes"])
    assert whole.archives[0]["bytes"] < parts.archives[0]["bytes"] < 2 * whole.archives[0]["bytes"], (
        "heads of their own"
    )
    some = cluster.measure(sources, count=5, **how)
    assert some.images == 5
    assert set(some.names) < set(whole.names)
    chosen = [whole.names.index(name) for name in some.names]
    assert np.array_equal(some.per_image["kl_bits"], whole.per_image["kl_bits"][chosen])


def test_what_claims_more_than_it_may_is_no_more_tested_than_it_is_decoded(sources, run):
    Path("gray.png").write_bytes(png_bytes(Image.fromarray(np.arange(0, 240, 5, np.uint8).reshape(6, 8))))
    run("compress", "gray.png", "--lossless", "-o", "a.vlz")
    run("pack", "gray.png", "-o", "b.vlz")
    run("pack", "gray.png", "-o", "c-{shard}.vlz", "--shards", 1, "--jobs", 1)
    for name in ("a.vlz", "b.vlz", "c-*.vlz"):
        assert "--max-bytes 48" in run("test", name, "--max-bytes", 40, expect=1).output
        run("test", name, "--max-bytes", 48)


def test_photographs_are_measured_in_parts_as_one_by_one(tmp_path, monkeypatch):
    from photographs import picture

    from vlae_codec.report import photo_measure, samples

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(photo_measure, "QUALITIES", (30, 60))
    monkeypatch.setattr("vlae_codec.cluster.measuring.EACH_PHOTOGRAPHS", 1)
    Path("in").mkdir()
    for seed, size in enumerate(((40, 48), (56, 40), (48, 48))):
        Path(f"in/{seed}.png").write_bytes(png_bytes(picture_of(picture(*size, seed=seed))))
    how = {"effort": 0, "baselines": False}
    parts = cluster.measure_photographs("in", jobs=1, **how)
    model = zoo.named(zoo.PHOTO)
    whole = photo_measure.measure(samples.photographs(["in"]), model, 0, with_baselines=False)
    assert (parts.names, parts.pixels, parts.source) == (["in/0.png", "in/1.png", "in/2.png"], whole.pixels, "in")
    assert parts.exact["ours"]["bytes"] == whole.exact["ours"]["bytes"]
    for key, row in whole.lossy.items():
        assert len(parts.lossy[key]["points"]) == len(row["points"]) == 2
        for one, other in zip(parts.lossy[key]["points"], row["points"], strict=True):
            assert one.keys() == other.keys()
            assert one["bpp"] == pytest.approx(other["bpp"])
            assert all(one[name] == other[name] for name in ("setting", "bytes", *parts.metrics))
    assert len(parts.crops) == 3
    assert cluster.measure_photographs("in", jobs=1, count=1, **how).pixels[0] in whole.pixels


@pytest.fixture(scope="module")
def dask():
    """A client of two worker processes."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 60}
    sooner = importlib.import_module("dask.config").set(
        {"distributed.comm.timeouts.connect": "2s"}
    )  # it is gone in the end
    with sooner, distributed.LocalCluster(**options) as local, distributed.Client(local) as client:
        yield client


def test_workers_write_what_this_process_would(dask, sources, digits, fields):
    cluster.pack(sources, "here-{shard:05d}.vlz", 5, **OPTIONS)
    packed = cluster.pack(sources, OUT, 5, client=dask, **OPTIONS)
    assert (packed.failures, packed.ledger.images) == ((), 32)
    assert written() == written("here-*.vlz")
    assert cluster.test(ALL, client=dask, **OPTIONS).problems == ()
    assert cluster.unpack(ALL, "out", client=dask, **OPTIONS).problems == ()
    check_unpacked("out", digits, fields)


def test_the_command_line_measures_by_workers(dask, sources, run):
    arguments = ("more.npy", "--no-baselines", "--effort", 0, "--model", TINY, "--n", 4)
    where = dask.scheduler.address
    found = json.loads(run("measure", *arguments, "--scheduler", where, "--json", "--csv", "a.csv").stdout)
    here = json.loads(run("measure", *arguments, "--json").stdout)
    assert found["images"] == here["images"] == 4
    assert found["columns"]["lossless_file_bits"] == here["columns"]["lossless_file_bits"]
    assert len(Path("a.csv").read_text().splitlines()) == 5
    said = run("measure", *arguments, "--scheduler", where, "--labels", "more.npy", expect=2).output
    assert "leave out --scheduler" in said


def test_a_worker_that_is_killed_costs_time_only(dask, sources):
    processes, killed, names = dask.run(os.getpid), [], []

    def kill(tally):
        if tally.shards == 1 and not killed:
            names.extend(name for some in dask.processing().values() for name in some)
            (worker,) = [*dask.processing()][:1]
            os.kill(processes[worker], signal.SIGKILL)
            killed.append(worker)

    packed = cluster.pack(sources, OUT, 6, client=dask, progress=kill, **OPTIONS)
    assert killed
    assert {name[:16] for name in names} <= {f"pack-shard-0000{i}" for i in range(6)}, "as the dashboard has them"
    assert (packed.shards, packed.failures) == (6, ())
    cluster.pack(sources, "here-{shard:05d}.vlz", 6, **OPTIONS)
    assert written() == written("here-*.vlz")


def test_a_run_by_workers_that_was_stopped_goes_on(dask, sources):
    with pytest.raises(KeyboardInterrupt):
        cluster.pack(sources, OUT, 6, client=dask, progress=stop_after(2), **OPTIONS)
    with (
        locked(Pattern.of(str(Path(OUT).absolute())), "other"),
        pytest.raises(OutputError, match="another run, process"),
    ):
        cluster.pack(sources, OUT, 6, client=dask, **OPTIONS)
    packed = cluster.pack(sources, OUT, 6, client=dask, **OPTIONS)
    assert packed.kept >= 2
    assert (packed.ledger.images, packed.failures) == (32, ())
    cluster.pack(sources, "here-{shard:05d}.vlz", 6, **OPTIONS)
    assert written() == written("here-*.vlz")


def loads():
    """How often a process has loaded the weights of a model that was asked for."""
    return tasks._loaded.cache_info().misses


def test_a_worker_loads_a_model_once(dask, sources):
    before = dask.run(loads)
    cluster.pack(sources, OUT, 8, client=dask, **OPTIONS)
    cluster.test(ALL, client=dask, **OPTIONS)
    assert all(before[worker] <= count <= 1 for worker, count in dask.run(loads).items())
    assert any(dask.run(loads).values())


def test_what_is_sent_is_small(sources, fields):
    """Paths and places in files, never a pixel: an array is two numbers, a loose picture some bytes of its name."""
    looking = survey.Looking(None, True, str(Path("copies").absolute()))
    np.save("large.npy", np.resize(fields, (400, 28, 28)))
    found = survey.listed(Local(1), ["large.npy"], looking)
    few, many = (next(survey.parts(found.sources, [n, 400 - n])) for n in (10, 300))
    assert len(pickle.dumps(many)) <= len(pickle.dumps(few)) + 20 < 1000
    folder = Path("pictures")
    folder.mkdir()
    for i in range(2000):
        (folder / f"{i:08d}.png").touch()
    loose = survey.listed(Local(1), ["pictures"], looking)
    assert len(pickle.dumps(next(survey.parts(loose.sources, [2000])))) < 2000 * 20
    packing = tasks.Packing(Pattern.of(OUT), "run", "plan", Options(), tasks.Named.of(str(TINY), str))
    with locked(packing.pattern, "run"):
        receipts = [tasks.pack(packing, part) for part in survey.parts(found.sources, [10, 100, 290])][:2]
    small, large = (len(pickle.dumps(receipt)) for receipt in receipts)
    assert large <= small + 100 < 3000


def test_a_worker_holds_one_chunk(tmp_path, monkeypatch, fields):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vlae_codec.sets.arrays.BLOCK_BYTES", 20 * 784)  # what is read at once
    np.save("many.npy", np.resize(fields, (400, 28, 28)))
    found = survey.listed(Local(1), ["many.npy"], survey.Looking(None, True, None))
    packing = tasks.Packing(Pattern.of(OUT), "run", "plan", Options(chunk=20), tasks.Named.of(str(TINY), str))
    peaks: dict[int, list[int]] = {20: [], 100: [], 380: []}
    with locked(packing.pattern, "run"):
        for images in (20, *(100, 380) * 3):  # the first loads what is loaded once
            (part, _) = survey.parts(found.sources, [images, 400 - images])
            gc.collect()
            tracemalloc.start()
            tasks.pack(packing, part)
            peaks[images].append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    more = min(peaks[380]) - min(peaks[100])  # the least of several: what else lives in this process comes and goes
    assert more < 280 * 300, "of 280 images more some numbers each, and not their 784 pixels"


def test_a_store_that_creates_no_files_exclusively(sources):
    """Then a lock is written where there is none, and who publishes a shard looks whose it is."""
    fsspec = pytest.importorskip("fsspec")
    memory = importlib.import_module("fsspec.implementations.memory").MemoryFileSystem

    class Plain(memory):
        protocol = "plain"
        store: typing.ClassVar = {}
        pseudo_dirs: typing.ClassVar = [""]

        @classmethod
        def _strip_protocol(cls, path):
            return super()._strip_protocol(path.removeprefix("plain://"))

        def pipe_file(self, path, value):
            return super().pipe_file(path, value)

    fsspec.register_implementation("plain", Plain, clobber=True)
    out = "plain://bucket/set-{shard:05d}.vlz"
    with pytest.raises(NotImplementedError):
        places.create("plain://bucket/a", b"")
    with locked(Pattern.of(out), "first"), pytest.raises(OutputError, match="another run, process"):
        cluster.pack(sources, out, 2, **OPTIONS)

    def overwrite(_tally):
        places.write(Pattern.of(out).lock, json.dumps({"run": "another"}).encode(), force=True)

    failures = cluster.pack(sources, out, 2, progress=overwrite, **OPTIONS).failures
    assert len(failures) == 2
    assert "another one has taken over" in failures[0]
    places.remove(Pattern.of(out).lock)
    assert cluster.pack(sources, out, 2, **OPTIONS).failures == ()
    assert cluster.test("plain://bucket/set-*.vlz", **OPTIONS).problems == ()


def test_a_terminal_tells_of_the_whole(sources):
    pty = pytest.importorskip("pty")
    terminal, other = pty.openpty()
    command = [sys.executable, "-m", "vlae_codec", "pack", *sources, "-o", OUT, "--shards", "4", "--jobs", "1"]
    subprocess.run([*command, "--model", TINY], stdout=subprocess.DEVNULL, stderr=other, check=True)
    os.close(other)
    said = os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    assert "weighing: 12/12" in said
    images, shards, size = re.search(
        r"packing: (\d+)/32, (\d) of 4 shards, (\d+) bytes, .*/s, \d+ (?:s|min) left", said
    ).groups()
    assert int(images) == 8 * int(shards)
    assert int(size) > 0
    total = sum(map(len, written()))
    assert f"packing: 32/32, 4 of 4 shards, {total} bytes" in said


def test_a_bad_source_stops_no_other_shard(dask, sources):
    Path("digits/05.png").write_bytes(b"no picture")
    packed = cluster.pack(sources, OUT, 4, client=dask, **OPTIONS)
    assert len(packed.failures) == 1
    assert "digits/05.png" in packed.failures[0]
    assert len([*Path().glob("set-0*.vlz")]) == 3


def deadly(shared, item):
    """A task that ends its worker if it has a certain number."""
    if item.number == shared:
        os.kill(os.getpid(), signal.SIGKILL)
    return item.number


def test_a_task_that_kills_its_workers_stops_no_other():
    pytest.importorskip("distributed")
    items = [survey.Part(number, 1, survey.Packed(b"")) for number in range(6)]
    with dask_module.connected("local:1") as client:
        outcomes = {one.item.number: one for one in dask_module.Dask(client).run("deadly", deadly, items, 2)}
    assert outcomes.pop(2).error == "3 workers died while they worked on it, perhaps for lack of memory"
    assert {number: one.result for number, one in outcomes.items()} == {n: n for n in (0, 1, 3, 4, 5)}


def test_workers_of_another_version_are_refused(dask, sources):
    def become(version):
        import vlae_codec

        before, vlae_codec.__version__ = vlae_codec.__version__, version
        return before

    def retrain(digest):
        from vlae_codec.cluster import identity

        if not hasattr(identity, "kept"):
            identity.kept = identity._models
        (name, own), *rest = identity.kept()
        identity._models = lambda: ((name, digest or own), *rest)

    worker = sorted(dask.nthreads())[0]
    dask.run(retrain, "0" * 64, workers=[worker])
    try:
        with pytest.raises(VlaeError, match=f"{worker} has other weights of the model "):
            cluster.pack(sources, OUT, 2, client=dask, **OPTIONS)
    finally:
        dask.run(retrain, None, workers=[worker])
    before = dask.run(become, "0.0.9", workers=[worker])[worker]
    try:
        with pytest.raises(VlaeError, match=f"{worker} has vlae-codec 0.0.9, and here it is {before}"):
            cluster.pack(sources, OUT, 2, client=dask, **OPTIONS)
    finally:
        dask.run(become, before, workers=[worker])
    assert not [*Path().glob("set-*")]


def objects():
    """How many objects a process holds, of those that can hold others."""
    gc.collect()
    return len(gc.get_objects())


def test_a_worker_holds_nothing_of_shards_that_it_has_packed(tmp_path, monkeypatch, fields):
    pytest.importorskip("distributed")
    monkeypatch.chdir(tmp_path)
    np.save("many.npy", fields[np.arange(300) % len(fields)])
    with dask_module.connected("local:1") as client:
        held = {}

        def count(tally):
            if tally.shards in (120, 300):
                (held[tally.shards],) = client.run(objects).values()

        assert not cluster.pack("many.npy", OUT, 300, client=client, progress=count, **OPTIONS).failures
    assert held[300] - held[120] < 90, "less than an object for two shards"


def test_the_command_line_says_who_does_not_answer(sources, run, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("vlae_codec.cluster.dask.CONNECT_SECONDS", 0.1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    said = run("pack", *sources, "-o", OUT, "--shards", 2, "--scheduler", where, expect=1).output
    assert f"Error: no Dask scheduler answers at {where}" in said


def test_a_scheduler_that_goes_away(dask, sources):
    """The last test, since nothing is left of the cluster."""

    def leave(tally):
        if tally.shards == 1:
            dask.cluster.loop.add_callback(dask.cluster.scheduler.close)

    with pytest.raises(VlaeError, match="is gone: what is finished was kept"):
        cluster.pack(sources, OUT, 6, client=dask, progress=leave, **OPTIONS)
    packed = cluster.pack(sources, OUT, 6, **OPTIONS)
    assert packed.kept >= 1
    cluster.pack(sources, "here-{shard:05d}.vlz", 6, **OPTIONS)
    assert written() == written("here-*.vlz")
