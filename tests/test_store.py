"""Sets in an object store: what is read from a local server that speaks S3, what is written, and what dies meanwhile.

pip install s3fs 'moto[server]' && pytest tests/test_store.py
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, drawings_of

import vlae_codec
from vlae_codec import cluster, places
from vlae_codec.cluster.dask import connected
from vlae_codec.cluster.pattern import Pattern
from vlae_codec.cluster.record import locked
from vlae_codec.errors import ImageError, OutputError
from vlae_codec.picture.images import png_bytes, to_picture
from vlae_codec.sets.sources import gather

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("s3fs")
pytest.importorskip("moto")

OPTIONS = {"model": str(TINY), "jobs": 1}


@pytest.fixture(scope="module")
def server():
    """An S3 server in a process of its own, and what tells drivers of it, here and in workers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", port]
    with pytest.MonkeyPatch.context() as patch, open(os.devnull, "wb") as nowhere:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        process = subprocess.Popen(command, stdout=nowhere, stderr=nowhere)
        try:
            for _ in range(600):
                with socket.socket() as client:
                    if not client.connect_ex(("127.0.0.1", int(port))):
                        break
                time.sleep(0.1)
            yield fsspec.filesystem("s3")
        finally:
            process.terminate()
            process.wait()


@pytest.fixture
def bucket(server, tmp_path, monkeypatch):
    """A bucket of its own."""
    monkeypatch.chdir(tmp_path)
    name = f"bucket-{os.urandom(8).hex()}"
    server.mkdir(name)
    return f"s3://{name}"


@pytest.fixture
def sources(bucket, digits, fields):
    """A folder of 12 digits and an array of 20, in the bucket."""
    for i, digit in enumerate(digits[:12]):
        places.write(f"{bucket}/in/digits/{i:02}.png", png_bytes(to_picture(digit)), force=True)
    out = io.BytesIO()
    np.save(out, fields[20:40])
    places.write(f"{bucket}/in/more.npy", out.getvalue(), force=True)
    return [f"{bucket}/in/digits", f"{bucket}/in/more.npy"]


def drawn(*given):
    """The name and pixels of all images at places."""
    with gather(given) as gathered:
        return [
            (source.name(at), drawing.bits.tobytes())
            for source in gathered.sources
            for at, drawing in enumerate(drawings_of(source))
        ]


def tar_of(pictures, mode="w"):
    """A tar as WebDataset has them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, data in pictures.items():
            for path, content in ((name, data), (name.replace(".png", ".cls"), b"7")):
                info = tarfile.TarInfo(path)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def every_kind(pictures, fields):
    """Files of all kinds of sources, by name."""
    packed, array, arrays, table = io.BytesIO(), io.BytesIO(), io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in pictures.items():
            archive.writestr(name, data)
    np.save(array, fields[:5])
    np.savez_compressed(arrays, a=fields[5:8], b=fields[8:9])
    found = {"z.zip": packed, "a.npy": array, "a.npz": arrays}
    arrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(
        arrow.table({"image": [*pictures.values()]}), table, row_group_size=3
    )
    return {name: one.getvalue() for name, one in {**found, "d.parquet": table}.items()} | {
        "web-0000.tar": tar_of(pictures),
        "web-0001.tar": tar_of({f"2{name}": data for name, data in pictures.items()}),
        "t.tar.gz": tar_of(pictures, "w:gz"),
        "x-idx3-ubyte": bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28]) + fields[:2].tobytes(),
    }


def test_sources_are_read_from_a_store_as_from_a_disk(bucket, tmp_path, digits, fields):
    pictures = {f"{i}.png": png_bytes(to_picture(digit)) for i, digit in enumerate(digits[:5])}
    for name, data in {
        **every_kind(pictures, fields),
        **{f"loose/{key}": one for key, one in pictures.items()},
    }.items():
        places.write(name, data, force=True)
        places.write(f"{bucket}/{name}", data, force=True)
    for name in ("loose", "z.zip", "web-*.tar", "web-{0000..0001}.tar", "t.tar.gz", "a.npy", "a.npz", "d.parquet"):
        expected = drawn(name)
        assert expected
        assert drawn(f"{bucket}/{name}") == expected, name


def test_a_set_in_a_store(bucket, sources, run, fields):
    out, every = f"{bucket}/deep/set-{{shard:05d}}.vlz", f"{bucket}/deep/set-*.vlz"
    command = ["pack", *sources, "-o", out, "--shards", 3, "--model", TINY, "--jobs", 1]
    assert "3 shards" in run(*command).output
    assert places.below(f"{bucket}/deep") == [*(f"set-{i:05d}.vlz" for i in range(3)), "set-manifest.json"]
    assert "is complete" in run(*command, expect=1).output
    assert "32 images in 3 shards" in run("list", every).output
    assert "ok" in run("test", every, "--model", TINY).output
    run("unpack", every, "-o", "some", "--only", "*/07.png", "--model", TINY)
    assert [path.name for path in Path("some").rglob("*.*")] == ["07.png"]
    run("unpack", every, "-o", f"{bucket}/some", "--only", "*/07.png", "--model", TINY)
    assert places.read(f"{bucket}/some/digits/07.png") == Path("some/digits/07.png").read_bytes()
    with vlae_codec.open_archive(every, model=str(TINY)) as images:
        assert len(images) == 32
        assert np.array_equal(np.stack(images[12:]), fields[20:40])
        assert images.find("digits/07.png") == 7


def test_what_others_write_is_seen_at_once(bucket, sources, digits, server):
    """Drivers remember listings: a process that has looked at a folder must see what came there since."""
    assert not places.exists(f"{bucket}/in/new.png")
    assert len(places.expanded(f"{bucket}/in/*")) == 2
    script = "import sys; from vlae_codec import places; places.write(sys.argv[1], sys.stdin.buffer.read(), force=True)"
    for digit in digits[:2]:
        data = png_bytes(to_picture(digit)) + b"\0" * 100 * digit.bits[14, 14]
        subprocess.run([sys.executable, "-c", script, f"{bucket}/in/new.png"], input=data, check=True)
        assert places.read(f"{bucket}/in/new.png") == data
        assert places.size(f"{bucket}/in/new.png") == len(data)
        assert places.exists(f"{bucket}/in/new.png")


def test_two_runs_into_one_place_of_a_store(bucket, sources):
    out = f"{bucket}/set-{{shard:05d}}.vlz"
    with locked(Pattern.of(out), "first"), pytest.raises(OutputError, match="another run, process"):
        cluster.pack(sources, out, 2, **OPTIONS)
    assert cluster.pack(sources, out, 2, **OPTIONS).failures == ()


def test_what_cannot_be_written_or_read(bucket, sources, run):
    def said(*command):
        (line,) = (line for line in run(*command, expect=1).output.splitlines() if line.startswith("Error"))
        return line

    elsewhere = "s3://no-such-bucket-anywhere/set-{shard}.vlz"
    assert "cannot write s3://no-such-bucket-anywhere/" in said("pack", *sources, "-o", elsewhere, "--shards", 2)
    assert not places.exists("s3://no-such-bucket-anywhere"), "a bucket is made by nobody"
    assert "does not exist" in said("pack", f"{bucket}/no", "-o", "set-{shard}.vlz", "--shards", 2)
    assert "no archive matches" in said("test", f"{bucket}/no-*.vlz")
    assert "no.vlz" in said("test", f"{bucket}/no.vlz")
    with pytest.raises(ImageError, match=r"no\.png does not exist"):
        cluster.pack([f"{bucket}/no.png"], "set-{shard}.vlz", 1, **OPTIONS)


def test_workers_that_die_and_a_run_that_goes_on(bucket, sources):
    """In one folder with the sources, of which workers have seen listings: so they see the lock of a later run as well."""
    here, there = "set-{shard:05d}.vlz", f"{bucket}/in/set-{{shard:05d}}.vlz"
    cluster.pack(sources, here, 6, **OPTIONS)
    expected = [Path(f"set-{i:05d}.vlz").read_bytes() for i in range(6)]
    with connected("local:2") as client:
        processes, killed = client.run(os.getpid), []

        def kill_then_stop(tally):
            if tally.shards == 1 and not killed:
                (worker,) = [*client.processing()][:1]
                os.kill(processes[worker], signal.SIGKILL)
                killed.append(worker)
            if tally.shards >= 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            cluster.pack(sources, there, 6, client=client, progress=kill_then_stop, **OPTIONS)
        assert killed
        packed = cluster.pack(sources, there, 6, client=client, **OPTIONS)
        assert packed.kept >= 3
        assert (packed.shards, packed.failures) == (6, ())
        assert [places.read(f"{bucket}/in/set-{i:05d}.vlz") for i in range(6)] == expected
        assert cluster.test(f"{bucket}/in/set-*.vlz", client=client, **OPTIONS).problems == ()
    assert places.below(f"{bucket}/in") == [
        *(f"digits/{i:02}.png" for i in range(12)),
        "more.npy",
        *(f"set-{i:05d}.vlz" for i in range(6)),
        "set-manifest.json",
    ]
    assert json.loads(places.read(f"{bucket}/in/set-manifest.json"))["complete"]
