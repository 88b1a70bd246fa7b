"""Sources and results by URL, patterns, and the pictures of WebDataset shards and of Parquet files."""

from __future__ import annotations

import io
import socket
import tarfile
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from conftest import drawings_of

from vlae_codec import places
from vlae_codec.errors import ImageError, OutputError
from vlae_codec.picture.images import png_bytes, to_picture
from vlae_codec.sets.sources import gather

pytest.importorskip("fsspec")


def drawn(paths):
    """The name and pixels of all images at places."""
    with gather(paths) as gathered:
        return [
            (source.name(at), drawing.bits.tobytes())
            for source in gathered.sources
            for at, drawing in enumerate(drawings_of(source))
        ]


def tar_of(digits, first, count, mode="w"):
    """A tar as WebDataset has them: for each picture its class, and what is said of it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for i in range(first, first + count):
            for suffix, data in ((".png", png_bytes(to_picture(digits[i]))), (".cls", b"7"), (".json", b"{}")):
                info = tarfile.TarInfo(f"{i:06d}{suffix}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def put(tmp_path, name, data):
    """The same file as a path and as a URL."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(data)
    places.write(f"memory://{tmp_path}/{name}", data, force=True)


def test_what_is_read_by_url_is_what_is_read_by_path(tmp_path, digits, fields):
    pictures = [png_bytes(to_picture(digit)) for digit in digits[:4]]
    for i, data in enumerate(pictures):
        put(tmp_path, f"set/{i}.png", data)
    put(tmp_path, "set/notes.txt", b"no picture")
    put(tmp_path, "set/.hidden.png", pictures[0])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for i, data in enumerate(pictures):
            archive.writestr(f"z{i}.png", data)
    put(tmp_path, "z.zip", packed.getvalue())
    put(tmp_path, "t.tar", tar_of(digits, 4, 3))
    put(tmp_path, "t.tar.gz", tar_of(digits, 7, 3, "w:gz"))
    array, arrays = io.BytesIO(), io.BytesIO()
    np.save(array, fields[:5])
    np.savez_compressed(arrays, a=fields[5:8])
    put(tmp_path, "a.npy", array.getvalue())
    put(tmp_path, "a.npz", arrays.getvalue())
    put(tmp_path, "x-idx3-ubyte", bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28]) + fields[:2].tobytes())
    names = ["set", "set/0.png", "z.zip", "t.tar", "t.tar.gz", "a.npy", "a.npz", "a.npz:a", "x-idx3-ubyte"]
    for name in names:
        expected = drawn([str(tmp_path / name)])
        assert expected
        assert drawn([f"memory://{tmp_path}/{name}"]) == expected, name
        assert drawn([(tmp_path / name).as_uri()]) == expected, name


def test_patterns(tmp_path, monkeypatch, digits):
    monkeypatch.chdir(tmp_path)
    for i in range(3):
        put(tmp_path, f"shard-{i:04d}.tar", tar_of(digits, 2 * i, 2))
    every = drawn([f"shard-{i:04d}.tar" for i in range(3)])
    assert [name for name, _ in every] == [f"{i:06d}.png" for i in range(6)]
    for pattern in ("shard-{0000..0002}.tar", "shard-*.tar", f"memory://{tmp_path}/shard-*.tar"):
        assert drawn([pattern]) == every
        assert places.is_pattern(pattern)
    assert places.expanded("memory://a/{1..2}-{08..10}") == [
        f"memory://a/{i}-{j}" for i in (1, 2) for j in ("08", "09", "10")
    ]
    Path("[1].png").write_bytes(png_bytes(to_picture(digits[0])))
    assert not places.is_pattern("[1].png")
    assert len(drawn(["[1].png"])) == 1
    with pytest.raises(ImageError, match=r"no-\*\.tar does not exist"):
        drawn(["no-*.tar"])


@pytest.mark.parametrize("kind", ["bytes", "structures", "structures without names"])
def test_pictures_in_parquet_files(tmp_path, digits, kind):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    pictures = [png_bytes(to_picture(digit)) for digit in digits[:12]]
    names = [f"deep/p{i}.png" if kind == "structures" else None for i in range(12)]
    column = pictures if kind == "bytes" else [{"bytes": a, "path": b} for a, b in zip(pictures, names, strict=True)]
    types = arrow.binary() if kind == "bytes" else arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    table = arrow.table({"label": [1] * 12, "image": arrow.array(column, types)})
    parquet.write_table(table, tmp_path / "d.parquet", row_group_size=5)
    found = drawn([str(tmp_path / "d.parquet")])
    assert [name for name, _ in found] == [
        f"d/p{i}.png" if kind == "structures" else f"d/{i:02d}.png" for i in range(12)
    ]
    assert [bits for _, bits in found] == [digit.bits.tobytes() for digit in digits[:12]]
    two = table.append_column("other", table["image"])
    parquet.write_table(two, tmp_path / "two.parquet")
    with pytest.raises(ImageError, match=r"has pictures in image, other: name one, such as .*two\.parquet:image"):
        drawn([str(tmp_path / "two.parquet")])
    assert len(drawn([str(tmp_path / "two.parquet:other")])) == 12
    (tmp_path / "bad.parquet").write_bytes((tmp_path / "d.parquet").read_bytes()[:-9])
    with pytest.raises(ImageError, match=r"cannot read .*bad\.parquet"):
        drawn([str(tmp_path / "bad.parquet")])
    parquet.write_table(table.select(["label"]), tmp_path / "none.parquet")
    with pytest.raises(ImageError, match="has no column of pictures"):
        drawn([str(tmp_path / "none.parquet")])


@pytest.mark.parametrize("command", ["compress", "decompress", "info"])
def test_a_command_that_takes_files_of_this_machine_says_so(run, command):
    said = run(command, "memory://set/0.png", expect=2).output
    assert "memory://set/0.png is a URL: name a file here; pack, unpack, list and test take URLs" in said


def test_a_result_is_whole_or_not_there():
    place = "memory://whole/a"

    def write_half():
        with places.whole(place, force=False) as out:
            out.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert not places.exists(place)
    places.write(place, b"whole", force=False)
    with pytest.raises(OutputError, match="exists: force=True overwrites it"):
        places.write(place, b"other", force=False)
    assert places.read(place) == b"whole"
    assert places.create("memory://whole/lock", b"1")
    assert not places.create("memory://whole/lock", b"2")
    assert places.read("memory://whole/lock") == b"1"


def test_what_arrived_of_a_transfer_that_broke_is_removed(monkeypatch):
    import fsspec

    system = fsspec.filesystem("memory")

    def put_half(here, there):
        system.pipe_file(there, Path(here).read_bytes()[:2])
        raise ConnectionError("the network is gone")

    monkeypatch.setattr(type(system), "put_file", lambda _self, here, there: put_half(here, there))
    with pytest.raises(OutputError, match="cannot write memory://broken/a: the network is gone"):
        places.write("memory://broken/a", b"whole", force=False)
    assert not places.exists("memory://broken/a")


@pytest.fixture
def server(tmp_path):
    """A web server of a folder that sends files from their beginnings only, and says nothing."""

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=tmp_path)) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


def test_a_web_server_that_sends_no_parts_of_files(tmp_path, server, digits, fields):
    pytest.importorskip("aiohttp")
    pictures = [png_bytes(to_picture(digit)) for digit in digits[:4]]
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        for i, data in enumerate(pictures):
            archive.writestr(f"z{i}.png", data)
    (tmp_path / "t.tar").write_bytes(tar_of(digits, 4, 3))
    (tmp_path / "t.tar.gz").write_bytes(tar_of(digits, 7, 3, "w:gz"))
    np.save(tmp_path / "a.npy", fields[:5])
    np.savez_compressed(tmp_path / "a.npz", a=fields[5:8])
    for name in ("z.zip", "t.tar", "t.tar.gz", "a.npy", "a.npz"):
        assert drawn([f"{server}/{name}"]) == drawn([str(tmp_path / name)]), name
    everything = np.random.default_rng(0).bytes(1 << 20)
    (tmp_path / "any").write_bytes(everything)
    with places.open_read(f"{server}/any") as file:
        for at, count in ((0, 10), (1 << 19, 100), (5, 1 << 19), ((1 << 20) - 3, 9)):
            file.seek(at)
            assert file.read(count) == everything[at : at + count]
            assert file.tell() == min(at + count, len(everything))
        assert file.seek(-2, 2) == len(everything) - 2
        assert file.read() == everything[-2:]
    with pytest.raises(FileNotFoundError) as found:
        places.open_read(f"{server}/none")
    assert found.value.filename == f"{server}/none"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/x.tar"
    with pytest.raises(ImageError, match=f"cannot read {nobody}: .*onnect"):
        drawn([nobody])
