"""Sets of images on their way into an archive and out of it: what comes back is what came, and nothing lands outside."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import pickle
import stat
import struct
import tarfile
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import drawings_of, levels_of
from PIL import Image

from vlae_codec.archive.numbers import Numbers
from vlae_codec.errors import FormatError, ImageError, OutputError
from vlae_codec.family import Decoded
from vlae_codec.files import safe_name
from vlae_codec.picture.drawing import Drawing, Look, raster_of
from vlae_codec.picture.drawing import drawn as drawn_as
from vlae_codec.picture.images import png_bytes, to_drawing, to_picture
from vlae_codec.sets import arrays, manifest
from vlae_codec.sets.restore import Restorer
from vlae_codec.sets.sources import Array, Files, gather, pick

RANDOM = np.random.default_rng(0)
BITS = (RANDOM.random((23, 9, 12)) < 0.2).astype(np.uint8)
HOSTILE_NAMES = [
    "",
    "/etc/passwd",
    "../up.png",
    "a/../../up.png",
    "a//b.png",
    "a/",
    "./a.png",
    ".. /a.png",
    ".../a.png",
    "C:/a.png",
    "a/c:b.png",
    "..\\up.png",
    "a\\b.png",
    "a\0.png",
    "a\n.png",
    "a\x1b[2J.png",
    "a\x85.png",
    "\udcff.png",
    "x" * 256,
    "é" * 128,
    "/".join(["x" * 200] * 6),
]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def picture(bits, paper=0, ink=255):
    return Image.fromarray(np.array([paper, ink], np.uint8)[bits])


def save(path, bits=BITS[0], paper=0, ink=255, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(bits, paper, ink).save(path, **options)
    return str(path)


def png(bits=BITS[0]):
    return png_bytes(picture(bits))


def pbm(bits=BITS[0]):
    return b"P4\n%d %d\n" % bits.shape[::-1] + np.packbits(1 - bits, axis=1).tobytes()


def write_tar(path, members, compression=""):
    with tarfile.open(path, f"w:{compression}") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def idx(path, data=None, kind="idx"):
    data = BITS * np.uint8(255) if data is None else data
    raw = bytes([0, 0, 8, data.ndim]) + struct.pack(f">{data.ndim}I", *data.shape) + data.tobytes()
    path.write_bytes(gzip.compress(raw) if kind == "gz" else raw)
    return str(path)


def restorer_of(folder, manifests, force):
    """A restorer of sources given by their manifests."""
    return Restorer(Path(folder), manifest.Forms(map(manifest.read, manifests)), force)


def put(restorer, first, names, drawings):
    """Puts drawings, the first of which has that number."""
    pictures = [Decoded(raster_of(drawing), drawing.bits.size, 0) for drawing in drawings]
    restorer.put(Numbers.between(first, len(drawings)), names, pictures)


def there_and_back(folder, *paths, force=False, step=4, order=reversed, **options):
    """What `gather` reads, as an archive would keep it, put back in chunks that come in another order."""
    with gather([str(path) for path in paths], **options) as gathered:
        chunks, index = [], 0
        for source in gathered.sources:
            for start in range(0, source.count, step):
                stop = min(start + step, source.count)
                names = [source.name(i) for i in range(start, stop)] if isinstance(source, Files) else []
                chunks.append((index + start, names, drawings_of(source, start, stop)))
            index += source.count
        manifests = json.loads(json.dumps([source.manifest() for source in gathered.sources], allow_nan=False))
    with restorer_of(folder, manifests, force) as restorer:
        for chunk in order(chunks):
            put(restorer, *chunk)
        return restorer.finish()


def same_pictures(folder, other):
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    for name in names:
        with Image.open(folder / name) as one, Image.open(other / name) as two:
            assert np.array_equal(np.asarray(one.convert("RGBA")), np.asarray(two.convert("RGBA"))), name
            assert one.format == two.format


def drawn(source):
    return np.stack([drawing.bits for drawing in drawings_of(source)])


# Loose pictures


def test_a_folder_comes_back_as_it_was(tmp_path):
    folder = tmp_path / "set"
    save(folder / "b.png")
    save(folder / "a" / "z.bmp", BITS[1])
    save(folder / "a" / "y" / "x.gif", BITS[2], 255, 0)
    for number, suffix in enumerate(["tif", "tiff", "webp", "pgm", "pbm", "ppm", "pnm"]):
        mode = {"pbm": "1", "ppm": "RGB"}.get(suffix, "L")
        options = {"lossless": True} if suffix == "webp" else {}
        picture(BITS[number + 3]).convert(mode).save(folder / f"{number}.{suffix}", **options)
    Image.fromarray(np.array([[1, 2, 3, 0], [200, 100, 0, 255]], np.uint8)[BITS[3]]).save(folder / "colour.png")
    Image.fromarray(np.array([300, 65000], np.uint16)[BITS[4]]).save(folder / "deep.png")
    (folder / ".hidden.png").write_bytes(b"no picture")
    (folder / ".git").mkdir()
    (folder / ".git" / "a.png").write_bytes(b"no picture")
    with gather(["set"]) as gathered:
        assert gathered.notes == ("left out 2 of set, hidden: .hidden.png, .git/a.png",)
        (source,) = gathered.sources
        names = [source.name(i) for i in range(source.count)]
        assert names == sorted(names)
        assert names[0] == "set/0.tif"
        assert "set/a/y/x.gif" in names
        assert source.manifest() == {"kind": "files", "count": 12}
    written = there_and_back(tmp_path / "out", folder)
    assert len(written) == 12
    (folder / ".hidden.png").unlink()
    (folder / ".git" / "a.png").unlink()
    same_pictures(folder, tmp_path / "out" / "set")


def test_files_and_folders_that_follow_each_other_are_one_source(tmp_path):
    paths = [save(tmp_path / "a.png"), save(tmp_path / "set" / "a.png"), save(tmp_path / "c.png")]
    with gather([paths[0], str(tmp_path / "set"), idx(tmp_path / "x.idx"), paths[2]]) as gathered:
        assert [type(source) for source in gathered.sources] == [Files, Array, Files]
        assert [gathered.sources[0].name(i) for i in range(2)] == ["a.png", "set/a.png"]


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"])
def test_archives_of_pictures(tmp_path, suffix):
    members = {f"deep/{i % 3}/{i}.png": png(BITS[i]) for i in range(9)} | {"a/.x.png": b"", "__MACOSX/b.png": b""}
    path = tmp_path / f"set.{suffix}"
    if suffix == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    else:
        compression = suffix[4:] if "." in suffix else "gz" if suffix == "tgz" else ""
        write_tar(path, {f"./{name}": data for name, data in members.items()}, compression)
    with gather([str(path)]) as gathered:
        (source,) = gathered.sources
        assert [source.name(i) for i in range(source.count)] == [name for name in members if "deep" in name]
    there_and_back(tmp_path / "out", path)
    for i in range(9):
        assert np.array_equal(levels_of(tmp_path / "out" / "deep" / str(i % 3) / f"{i}.png"), BITS[i] * 255)


def test_what_is_no_picture_is_left_out_with_a_note(tmp_path):
    save(tmp_path / "set" / "a.png")
    for name in ("labels.csv", "README", "b.txt", "c.txt"):
        (tmp_path / "set" / name).write_text("text")
    with gather(["set"]) as gathered:
        (note,) = gathered.notes
    assert note == "left out 4 of set, no pictures by their suffixes: set/README, set/b.txt, set/c.txt, ..."


@pytest.mark.parametrize("name", [".a.png", "x/.y/a.png", "__MACOSX/a.png"])
def test_hidden_members_are_left_out_with_a_note(tmp_path, name):
    members = {"shown.png": png(), name: png()}
    with zipfile.ZipFile("x.zip", "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    write_tar("x.tar", members)
    for path in ("x.zip", "x.tar"):
        with gather([path]) as gathered:
            assert [source.count for source in gathered.sources] == [1]
            assert gathered.notes == (f"left out 1 of {path}, hidden: {name}",)


def test_links_of_a_folder_that_are_not_followed_are_noted(tmp_path):
    save(tmp_path / "set" / "a.png")
    (tmp_path / "set" / "elsewhere").symlink_to(tmp_path)
    (tmp_path / "set" / "b.png").symlink_to("nowhere.png")
    with gather(["set"]) as gathered:
        assert [source.count for source in gathered.sources] == [1]
        assert gathered.notes == ("left out 2 of set, links or special files: set/elsewhere, set/b.png",)


def test_a_tar_with_a_damaged_header_or_no_end_is_never_taken_for_a_shorter_one(tmp_path):
    members = {f"{number}.png": png(BITS[number]) for number in range(3)}
    write_tar(tmp_path / "x.tar", members)
    whole = Path("x.tar").read_bytes()
    end = sum(512 + -(-len(data) // 512) * 512 for data in members.values())
    for data in (whole[:position] for position in (100, *range(512, end + 1, 256), end + 100)):
        Path("x.tar").write_bytes(data)
        with pytest.raises(ImageError) as caught:
            gather(["x.tar"])
        assert not str(caught.value).endswith(":")
    for position in (*range(0, 512, 7), *range(whole.index(b"2.png"), end, 7)):
        Path("x.tar").write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with contextlib.suppress(ImageError), gather(["x.tar"]) as gathered:
            assert [source.count for source in gathered.sources] == [3]


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_SPARSE, tarfile.XHDTYPE, b"?"])
@pytest.mark.parametrize("size", [-512, -1024, -(1 << 20)])
def test_a_tar_that_leads_back_into_itself_is_refused(tmp_path, kind, size):
    write_tar(tmp_path / "x.tar", {"0.png": png()})
    whole = Path("x.tar").read_bytes()
    member = tarfile.TarInfo("1.png")
    member.type = kind
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = (size % (1 << 96)).to_bytes(12, "big")
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:512]) + 8 * ord(" "))
    end = 512 + -(-len(png()) // 512) * 512
    Path("x.tar").write_bytes(whole[:end] + bytes(header) + whole[end:])
    with pytest.raises(ImageError, match=r"x\.tar"):
        gather(["x.tar"])


def test_members_of_numbers_that_make_no_sense_are_refused(tmp_path):
    for key, value in (
        ("size", "1e9"),
        ("size", "-1"),
        ("size", "-5"),
        ("size", "9" * 30),
        ("GNU.sparse.map", "0,x"),
        ("mtime", "soon"),
    ):
        with tarfile.open("x.tar", "w", format=tarfile.PAX_FORMAT) as archive:
            member = tarfile.TarInfo("a.png")
            member.pax_headers[key] = value
            archive.addfile(member)
        with contextlib.suppress(ImageError), gather(["x.tar"]) as gathered:
            drawings_of(gathered.sources[0], 0, 1)


def test_members_whose_names_are_none_are_refused(tmp_path):
    def written(name):
        with zipfile.ZipFile("x.zip", "w") as archive:
            archive.writestr(name, png())
        return bytearray(Path("x.zip").read_bytes())

    no_text, empty = written("é.png").replace("é".encode(), b"\xff\xff"), written("x")
    for mark, at in ((b"PK\x03\x04", 26), (b"PK\x01\x02", 28)):
        struct.pack_into("<HH", empty, empty.index(mark) + at, 0, 1)  # the name's letter is an extra field
    for data in (no_text, empty):
        Path("x.zip").write_bytes(data)
        with pytest.raises(ImageError, match=r"x\.zip"), gather(["x.zip"]) as gathered:
            drawings_of(gathered.sources[0], 0, 1)


PACKERS = {
    "gz": lambda data: gzip.compress(data, 0, mtime=0),
    "gz, deflated": lambda data: gzip.compress(data, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.mark.parametrize("packer", PACKERS)
def test_a_compressed_tar_whose_checksum_fails_is_refused_wherever_it_was_changed(packer):
    write_tar(Path("x.tar"), {f"{number}.pbm": pbm(BITS[number]) for number in range(3)})
    data = PACKERS[packer](Path("x.tar").read_bytes())
    path = Path(f"x.tar.{packer.partition(',')[0]}")
    path.write_bytes(data)
    with gather([str(path)]) as gathered:
        before = [drawn(source) for source in gathered.sources]
    changed = [
        data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :] for at in range(10, len(data), 1 + len(data) // 97)
    ]
    for one in [*changed, data[:-1], data[:-4], data[:-8], data[: len(data) // 2]]:
        path.write_bytes(one)
        with contextlib.suppress(ImageError), gather([str(path)]) as gathered:
            assert np.array_equal(
                [drawn(source) for source in gathered.sources], before
            )  # as of a byte without meaning


def test_a_bit_of_a_picture_in_a_stored_gzip_is_never_taken_for_another():
    write_tar(Path("x.tar"), {f"{number}.pbm": pbm(BITS[number]) for number in range(3)})
    data = bytearray(PACKERS["gz"](Path("x.tar").read_bytes()))
    data[data.index(pbm(BITS[1])) + 20] ^= 0x10
    Path("x.tar.gz").write_bytes(data)
    with pytest.raises(ImageError, match=r"x\.tar\.gz: CRC"):
        gather(["x.tar.gz"])


def test_what_follows_the_end_of_a_tar_is_not_lost_silently():
    write_tar(Path("x.tar"), {"a.png": png()})
    one = Path("x.tar").read_bytes()
    Path("x.tar").write_bytes(one + one)
    Path("y.tar.gz").write_bytes(gzip.compress(one) + gzip.compress(one))
    Path("z.tar").write_bytes(one + bytes(5 << 20))
    for path in ("x.tar", "y.tar.gz"):
        with pytest.raises(ImageError, match="goes on after the mark of its end"):
            gather([path])
    with gather(["z.tar"]) as gathered:
        assert gathered.sources[0].count == 1


def test_names_with_parts_that_mean_this_folder_are_neither_hidden_nor_unsafe():
    members = {"./a.pbm": pbm(BITS[0]), "b.pbm": pbm(BITS[1]), "dir/./c.pbm": pbm(BITS[2]), "././d.pbm": pbm(BITS[3])}
    write_tar(Path("x.tar"), members)
    with zipfile.ZipFile("x.zip", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    for path in ("x.tar", "x.zip"):
        with gather([path]) as gathered:
            (source,) = gathered.sources
            assert [source.name(i) for i in range(source.count)] == ["a.pbm", "b.pbm", "dir/c.pbm", "d.pbm"]
            assert np.array_equal(drawn(source), BITS[:4])
            assert not gathered.notes


def test_links_within_folders_and_archives_are_left_out_and_those_named_are_followed():
    save(Path("set/a.png"))
    Path("set/b.png").symlink_to("a.png")
    with zipfile.ZipFile("x.zip", "w") as archive:
        archive.write("set/a.png", "a.png")
        link = zipfile.ZipInfo("b.png")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "a.png")
    with tarfile.open("x.tar", "w") as tar:
        tar.add("set/a.png", "a.png")
        tar.add("set/b.png", "b.png")
    for path in ("set", "x.zip", "x.tar"):
        with gather([path]) as gathered:
            assert [source.count for source in gathered.sources] == [1]
            (note,) = gathered.notes
            assert "left out 1 of" in note
            assert "links" in note
            assert "b.png" in note
    with gather(["set/b.png"]) as gathered:
        assert np.array_equal(drawn(gathered.sources[0])[0], BITS[0])
    Path("set/a.png").rename("a.png")
    with pytest.raises(ImageError, match=r"no images in set: left out 1 of set, links.*: set/b\.png"):
        gather(["set"])


def test_links_in_a_tar_are_left_out_with_a_note(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        save(tmp_path / "a.png")
        archive.add(tmp_path / "a.png", "a.png")
    with gather(["x.tar"]) as gathered:
        assert gathered.notes == ("left out 1 of x.tar, links or special files: link.png",)
        assert gathered.sources[0].count == 1


def test_pictures_that_their_format_cannot_keep_become_png(tmp_path):
    save(tmp_path / "a.jpg", np.zeros((8, 8), np.uint8), 128, 0)  # one flat gray survives even JPEG
    save(tmp_path / "a.jpg.bmp")
    Image.fromarray(np.array([[9, 9, 9, 0], [200, 100, 0, 77]], np.uint8)[BITS[3]]).save(tmp_path / "b.png")
    os.rename("b.png", "b.gif")  # half transparent, which no GIF is
    save(tmp_path / "c", format="PNG")
    there_and_back(tmp_path / "out", "a.jpg", "a.jpg.bmp", "b.gif", "c")
    assert sorted(os.listdir("out")) == ["a.jpg.bmp", "a.jpg.png", "b.gif.png", "c.png"]
    assert np.array_equal(levels_of("out/b.gif.png"), levels_of("b.gif"))


def test_a_fallback_name_never_takes_another_pictures_name(tmp_path):
    save(tmp_path / "a", format="PNG")
    save(tmp_path / "a.png", BITS[1])
    for order in (list, reversed):
        folder = tmp_path / f"out-{order.__name__}"
        there_and_back(folder, "a", "a.png", step=1, order=order)
        assert {levels_of(path).tobytes() for path in folder.iterdir()} == {
            np.asarray(picture(BITS[i])).tobytes() for i in (0, 1)
        }


def test_errors_name_the_picture(tmp_path):
    save(tmp_path / "set" / "good.png")
    (tmp_path / "set" / "bad.png").write_bytes(b"junk")
    with gather(["set"]) as gathered, pytest.raises(ImageError, match=r"set/bad\.png is not an image"):
        drawings_of(gathered.sources[0], 0, 2)
    Image.fromarray(np.arange(99, dtype=np.uint8).reshape(9, 11)).save("set/bad.png")
    with gather(["set"]) as gathered, pytest.raises(ImageError, match=r"set/bad\.png: .*threshold=N"):
        drawings_of(gathered.sources[0], 0, 2)
    with gather(["set"], threshold=50) as gathered:
        assert "50" in drawings_of(gathered.sources[0], 0, 1)[0].note


def test_damaged_archives_give_image_errors(tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", png())
    tar = tmp_path / "set.tar.gz"
    with tarfile.open(tar, "w:gz") as archive:
        archive.add(save(tmp_path / "b.png"), "b.png")
    npz = tmp_path / "set.npz"
    np.savez_compressed(npz, x=BITS)
    gz = idx(tmp_path / "x.gz", kind="gz")
    for name in map(Path, (path, tar, npz, gz)):
        whole = name.read_bytes()
        for position in range(0, len(whole), 5):
            for data in (whole[:position], whole[:position] + bytes([whole[position] ^ 0x41]) + whole[position + 1 :]):
                name.write_bytes(data)
                try:
                    with gather([str(name)]) as gathered:
                        for source in gathered.sources:
                            drawings_of(source)
                except ImageError as error:
                    assert "\n" not in str(error)


# Arrays

TWO_VALUED = {
    "bool": BITS == 1,
    "uint8": BITS * np.uint8(255),
    "uint8 inverted": (1 - BITS) * np.uint8(255),
    "int8": np.array([-128, 127], np.int8)[BITS],
    "int64": np.array([5, -(1 << 62)])[BITS],
    "uint64": np.array([(1 << 64) - 1, 3], np.uint64)[BITS],
    "big-endian": np.array([1000, -2], ">i2")[BITS],
    "float16": np.array([0, 0.1], np.float16)[BITS],
    "float32": np.array([-0.0, 0.1], np.float32)[BITS],
    "float64": np.array([0.1, 1e300])[BITS],
    "channel": BITS[..., None] * np.uint8(3),
    "one value": np.full((4, 3, 2), 7, np.int32),
    "packed": np.packbits(RANDOM.random((11, 784)) < 0.3, axis=1),
    "packed, much ink": np.packbits(RANDOM.random((11, 784)) < 0.7, axis=1),
    "Fortran": np.asfortranarray(BITS),
    "one image": BITS[:1],
    "large images": np.tile(BITS[:2], (1, 200, 150)),
}


@pytest.mark.parametrize("array", TWO_VALUED.values(), ids=TWO_VALUED)
def test_arrays_come_back_equal(tmp_path, array):
    np.save("x.npy", array)
    np.savez("y.npz", second=array, first=BITS)
    written = there_and_back(tmp_path / "out", "x.npy", "y.npz")
    assert [path.name for path in written] == ["x.npy", "y.npz"]
    with np.load("out/y.npz") as stored:
        assert list(stored) == ["second", "first"]
        for back in (np.load("out/x.npy"), stored["second"]):
            assert (back.shape, back.dtype.str) == (array.shape, array.dtype.str)
            assert back.tobytes() == array.tobytes()
    assert sorted(os.listdir("out")) == ["x.npy", "y.npz"]


@pytest.mark.parametrize(("name", "kind"), [("t10k-images-idx3-ubyte", "idx"), ("x.idx", "idx"), ("x.idx.gz", "gz")])
def test_idx_files_come_back_byte_by_byte(tmp_path, name, kind):
    path = idx(tmp_path / name, kind=kind)
    with gather([path]) as gathered:
        assert gathered.sources[0].name(17) == f"{name.removesuffix('.gz')}/17"
    (out,) = there_and_back(tmp_path / "out", path)
    assert out.name == name
    read = gzip.decompress if kind == "gz" else bytes
    assert read(out.read_bytes()) == read((tmp_path / name).read_bytes())


def test_a_manifest_says_all_that_restoring_needs(tmp_path):
    np.savez("mnist.npz", test=TWO_VALUED["uint8"], other=TWO_VALUED["packed, much ink"])
    with gather(["mnist.npz:test", "mnist.npz:other", idx(tmp_path / "a.gz", kind="gz")]) as gathered:
        assert [source.manifest() for source in gathered.sources] == [
            {"kind": "npz", "file": "mnist.npz", "key": "test", "dtype": "|u1", "shape": [23, 9, 12],
             "paper": 0, "ink": 255, "packed": False},
            {"kind": "npz", "file": "mnist.npz", "key": "other", "dtype": "|u1", "shape": [11, 98],
             "paper": 1, "ink": 0, "packed": True},
            {"kind": "idx", "file": "a", "dtype": "|u1", "shape": [23, 9, 12],
             "paper": 0, "ink": 255, "packed": False, "gz": True},
        ]  # fmt: skip
        assert [source.name(5) for source in gathered.sources] == ["mnist.npz/test/5", "mnist.npz/other/5", "a/5"]
        for source in gathered.sources:
            assert manifest.read(source.manifest()) == source.form
    there_and_back(tmp_path / "out", "mnist.npz:test", "mnist.npz:other")
    with np.load("out/mnist.npz") as stored:
        assert list(stored) == ["test", "other"]


def test_ink_is_the_rarer_value_of_the_whole_array():
    tie = np.zeros((2, 4, 4), np.int16)
    tie[0] = -5
    for array, paper, ink in [
        (TWO_VALUED["int64"], 5, -(1 << 62)),
        (TWO_VALUED["uint8 inverted"], 255, 0),
        (tie, -5, 0),
        (-tie, 0, 5),
        (TWO_VALUED["one value"], 7, 7),
    ]:
        np.save("x.npy", array)
        with gather(["x.npy"]) as gathered:
            (source,) = gathered.sources
            assert (source.manifest()["paper"], source.manifest()["ink"]) == (paper, ink)
            drawings = drawings_of(source)
            assert {drawing.look for drawing in drawings} == {Look()}
            assert np.array_equal(np.stack([drawing.bits for drawing in drawings]), array != paper)


def test_packed_bits_are_rows_of_28_most_significant_first():
    bits = (RANDOM.random((3, 28, 28)) < 0.2).astype(np.uint8)
    np.save("x.npy", np.packbits(bits.reshape(3, 784), axis=1))
    with gather(["x.npy"]) as gathered:
        assert np.array_equal(drawn(gathered.sources[0]), bits)


GRAY = RANDOM.integers(0, 256, (5, 6, 7), np.uint8)


def saved_gray(folder, kind):
    path = folder / f"x.{kind}"
    if kind in ("npy", "npz"):
        np.save(path, GRAY) if kind == "npy" else np.savez(path, x=GRAY)
    else:
        idx(path, GRAY, kind)
    return path


@pytest.mark.parametrize("kind", ["npy", "npz", "idx", "gz"])
def test_gray_arrays_are_binarised_by_a_threshold(tmp_path, kind):
    path = saved_gray(tmp_path, kind)
    (out,) = there_and_back(tmp_path / "out", path, threshold=100)
    if kind == "npz":
        back = np.load(out)["x"]
    else:
        data = gzip.decompress(out.read_bytes()) if kind == "gz" else out.read_bytes()
        back = np.frombuffer(data[-GRAY.size :], np.uint8).reshape(GRAY.shape)
    assert np.array_equal(back, (GRAY > 100) * np.uint8(255))


@pytest.mark.parametrize("array", [GRAY, GRAY.astype(np.uint16) * 257 + 1, GRAY > 5, GRAY.astype(">u2") * 200])
@pytest.mark.parametrize("threshold", [0, 100, 254])
def test_thresholds_mean_what_they_mean_for_pictures(array, threshold):
    np.save("x.npy", array)
    with gather(["x.npy"], threshold=threshold) as gathered:
        (source,) = gathered.sources
        (paper, ink) = (source.manifest()[key] for key in ("paper", "ink"))
        assert source.manifest()["dtype"] == "|u1"
        for image, drawing in zip(array, drawings_of(source, 0, 5), strict=True):
            expected = to_drawing(image.astype(image.dtype.newbyteorder("=")), threshold)
            values = np.array([paper, ink], np.uint8)[drawing.bits]
            assert np.array_equal(values, np.asarray(to_picture(expected)))
            assert drawing.note == expected.note


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 5, 5), np.uint8), "no images in x.npy"),
        (np.zeros(9, np.uint8), "shape"),
        (np.zeros((9, 99), np.uint8), "shape"),
        (np.zeros((9, 98), np.int8), "shape"),
        (np.zeros((9, 5, 5, 5), np.uint8), "shape"),
        (np.zeros((9, 0, 5), np.uint8), "0 pixels|5x0"),
        (np.zeros((2, 5, 5), np.complex64), "complex64"),
        (np.zeros((2, 5, 5), np.longdouble), "64 bits"),
        (np.full((2, 5, 5), "a"), "64 bits"),
        (np.array([np.nan, 1.0])[BITS], "finite"),
        (np.array([np.inf, 1.0])[BITS], "finite"),
        (np.zeros((2, 5, 5), [("a", "u1")]), "64 bits"),
    ],
)
def test_arrays_that_are_not_of_images_are_refused(array, message):
    np.save("x.npy", array)
    with pytest.raises(ImageError, match=message):
        gather(["x.npy"])


@pytest.mark.parametrize(("dtype", "channels"), [("u1", ()), ("<u2", ()), (">u2", ()), ("u1", (3,)), ("u1", (4,))])
@pytest.mark.parametrize("order", ["C", "F"])
def test_pictures_of_an_npy_file_of_many_values_are_taken_one_by_one(dtype, channels, order):
    rng = np.random.default_rng(3)
    pictures = np.asarray(rng.integers(0, 1 << 8 * int(dtype[-1]), (12, 5, 7, *channels)).astype(dtype), order=order)
    np.save("set.npy", pictures)
    with gather(["set.npy"]) as gathered:
        (source,) = pickle.loads(pickle.dumps(gathered.sources))
        assert [source.name(row) for row in (0, 11)] == ["set/00.png", "set/11.png"]
        assert "come back as PNG files" in gathered.notes[0]
        read = [one.picture().raster.colours() for one in source.readables(0, 12)]
        source.close()
    assert np.array_equal(np.stack(read), pictures.reshape(12, 5, 7, -1))


@pytest.mark.parametrize(
    ("kind", "folder", "copies"), [("npz", "x/x", True), ("npz", "x/x", False), ("idx", "x", False), ("gz", "x", True)]
)
def test_gray_pictures_of_other_arrays_are_taken_one_by_one_too(tmp_path, kind, folder, copies):
    path = saved_gray(tmp_path, kind)
    copied = (lambda _path, _title: str(tmp_path / "copy")) if copies else None
    with gather([str(path)], copied=copied) as gathered:
        (source,) = pickle.loads(pickle.dumps(gathered.sources))
        assert [source.name(row) for row in range(5)] == [f"{folder}/{row}.png" for row in range(5)]
        for rows in (range(5), (4, 0)):  # back and forth
            for row in rows:
                (one,) = source.readables(row, row + 1)
                assert np.array_equal(one.picture().raster.samples[..., 0], GRAY[row])
        source.close()
    assert (tmp_path / "copy").exists() == copies


def test_an_npz_file_may_hold_arrays_of_two_values_and_of_more_and_of_colours():
    colours = RANDOM.integers(0, 256, (2, 6, 7, 3), np.uint8)
    np.savez("x.npz", drawn=BITS, gray=GRAY, colours=colours)
    with gather(["x.npz"]) as gathered:
        drawn_one, gray, coloured = gathered.sources
        assert np.array_equal(drawn(drawn_one), BITS)
        assert [gray.name(0), coloured.name(1)] == ["x/gray/0.png", "x/colours/1.png"]
        assert np.array_equal([one.picture().raster.samples for one in coloured.readables(0, 2)], colours)
        assert len(gathered.notes) == 2
    np.savez("y.npz", gray=GRAY, labels=np.arange(5))
    with pytest.raises(ImageError, match="holds labels, which is not an array of images"):
        gather(["y.npz"])


def test_floats_have_no_gray_levels():
    np.save("x.npy", GRAY.astype(np.float32))
    with pytest.raises(ImageError, match="more than two values, and is of float32: save it as uint8 or uint16"):
        gather(["x.npy"])
    np.save("x.npy", BITS.astype(np.float32))
    with pytest.raises(ImageError, match=r"a threshold is for .* float32"):
        gather(["x.npy"], threshold=100)


def test_nothing_is_unpickled():
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, ("boom",))

    array = np.empty((1, 1, 1), object)
    array[0, 0, 0] = Bomb()
    np.save("x.npy", array, allow_pickle=True)
    np.savez("y.npz", x=array)
    for path in ("x.npy", "y.npz"):
        with pytest.raises(ImageError, match="objects"):
            gather([path])
    assert not os.path.exists("boom")


def test_an_npz_with_labels_says_how_to_name_its_arrays():
    np.savez("mnist.npz", train_y=np.arange(9), test_x=BITS)
    with pytest.raises(ImageError) as caught:
        gather(["mnist.npz"])
    assert str(caught.value) == (
        "mnist.npz holds train_y, which is not an array of images: name the arrays to pack, such as mnist.npz:test_x"
    )
    with gather(["mnist.npz:test_x"]) as gathered:
        assert gathered.sources[0].count == len(BITS)
    with pytest.raises(ImageError, match=r"mnist\.npz:train_y is not an array of images"):
        gather(["mnist.npz:train_y"])
    with pytest.raises(ImageError, match=r"no array 'x', but has train_y, test_x"):
        gather(["mnist.npz:x"])


@pytest.mark.parametrize("shape", [(1 << 30, 28, 28), (1 << 50, 28, 28), (2, 65535, 1024), (-1, 28, 28), (True, 2, 2)])
@pytest.mark.parametrize("fortran", [False, True])
@pytest.mark.parametrize("where", ["npy", "npz", "idx", "gz"])
def test_claims_are_checked_before_memory_is_taken(tmp_path, shape, fortran, where):
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": fortran, "shape": shape})
    path = tmp_path / f"x.{where}"
    if where == "npz":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", out.getvalue() + b"\0" * 99)
    elif where == "npy":
        path.write_bytes(out.getvalue() + b"\0" * 99)
    else:
        raw = arrays.IDX_MAGIC + struct.pack(">3I", *(int(side) & 0xFFFFFFFF for side in shape)) + b"\0"
        path.write_bytes(gzip.compress(raw) if where == "gz" else raw)
    tracemalloc.start()
    with pytest.raises(ImageError):
        gather([str(path)])
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()


@pytest.mark.parametrize(
    "head",
    [b"", b"\x93NUMPY\x01", b"\x93NUMPY\x02\0\xff\xff\xff\xff{", b"\x93NUMPY\x01\0\x03\0{'a", b"\x93NUMPY\x09\0"],
)
def test_damaged_npy_headers_are_refused(tmp_path, head):
    (tmp_path / "x.npy").write_bytes(head)
    with pytest.raises(ImageError, match="damaged"):
        gather(["x.npy"])


def test_an_array_that_must_be_in_memory_as_a_whole_has_a_limit(tmp_path, monkeypatch):
    np.save("x.npy", np.asfortranarray(BITS))
    monkeypatch.setattr(arrays, "LARGEST_TURNED_BYTES", BITS.nbytes)
    gather(["x.npy"]).close()
    monkeypatch.setattr(arrays, "LARGEST_TURNED_BYTES", BITS.nbytes - 1)
    with pytest.raises(ImageError, match="save it in C order"):
        gather(["x.npy"])


def test_what_follows_an_array_is_not_lost_silently(tmp_path):
    with open("x.npy", "wb") as file:
        np.save(file, BITS)
        np.save(file, BITS)
    whole = arrays.IDX_MAGIC + struct.pack(">3I", 1, 2, 2) + b"12343"
    (tmp_path / "a.idx").write_bytes(whole)
    (tmp_path / "b.idx.gz").write_bytes(gzip.compress(whole.replace(b"1234", b"1111")))
    for path in ("x.npy", "a.idx", "b.idx.gz"):
        with pytest.raises(ImageError, match=r"claims|goes on"):
            gather([path])


def test_labels_are_no_idx_file_of_images(tmp_path):
    path = idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(9, np.uint8))
    with pytest.raises(ImageError, match="00000801, not 00000803"):
        gather([path])


def test_any_part_of_an_array_can_be_read_and_reading_on_does_not_start_anew(tmp_path, monkeypatch):
    bits = (RANDOM.random((300, 20, 20)) < 0.1).astype(np.uint8)
    np.savez_compressed("x.npz", x=bits)
    monkeypatch.setattr(arrays, "BLOCK_BYTES", 7 * 400)
    opened = []
    open_member = zipfile.ZipFile.open
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *a: opened.append(a) or open_member(*a))
    with gather(["x.npz"]) as gathered:
        (source,) = gathered.sources
        looked = len(opened)
        for start in range(0, 300, 13):
            part = [drawing.bits for drawing in drawings_of(source, start, min(start + 13, 300))]
            assert np.array_equal(part, bits[start : start + 13])
        assert len(opened) == looked + 1
        for start in (200, 3, 100):
            assert np.array_equal(drawings_of(source, start, start + 1)[0].bits, bits[start])


def test_many_arrays_of_one_file_are_opened_and_read_with_one_look_at_its_list(monkeypatch):
    for number in range(40):
        np.save(f"{number}.npy", BITS[:2])
    np.savez("many.npz", **{str(number): BITS[:2] for number in range(40)})
    opened, init = [], zipfile.ZipFile.__init__
    monkeypatch.setattr(zipfile.ZipFile, "__init__", lambda self, *a, **k: opened.append(a) or init(self, *a, **k))
    with gather(["many.npz"]) as gathered:
        for source in gathered.sources:
            drawings_of(source)
    assert len(opened) == 2  # to look at, and to read


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="tells what files are open")
@pytest.mark.parametrize("chosen", [np.arange(80), np.array([3]), np.arange(0, 80, 7)])
def test_images_are_picked_of_any_number_of_sources_with_few_files_open(chosen):
    for number in range(20):
        np.save(f"{number:02}.npy", BITS[:2])
    np.savez("many.npz", **{str(number): BITS[:2] for number in range(20)})
    with gather([*sorted(map(str, Path().glob("*.npy"))), "many.npz"]) as gathered:
        before = len(os.listdir("/proc/self/fd"))
        for _ in pick(gathered.sources, chosen):
            assert len(os.listdir("/proc/self/fd")) <= before + 2
        assert len(os.listdir("/proc/self/fd")) == before


def test_memory_is_bounded_whatever_the_size(tmp_path):
    with open("x.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (100, 1000, 1000)})
        file.truncate(file.tell() + 100_000_000)
    tracemalloc.start()
    with gather(["x.npy"]) as gathered:
        (source,) = gathered.sources
        with restorer_of(tmp_path / "out", [source.manifest()], False) as restorer:
            for index, one in enumerate(source.two_levels(0, 100)):
                put(restorer, index, [], [drawn_as(*one)])
            restorer.finish()
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert os.path.getsize("out/x.npy") == os.path.getsize("x.npy")


def test_an_array_that_changes_meanwhile_is_noticed():
    np.save("x.npy", BITS)
    with gather(["x.npy"]) as gathered:
        np.save("x.npy", BITS + 5)
        with pytest.raises(ImageError, match="changed"):
            drawings_of(gathered.sources[0], 0, 3)


# Names


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_names_are_refused_when_packing(name):
    with pytest.raises(ImageError) as caught:
        safe_name(name)
    assert len(str(caught.value)) < 250
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["a.png", "a b/c..d/.e.png", "é.png", "con.png", "x" * 255, "12:30.png", "-"])
def test_other_names_are_kept(name):
    assert safe_name(name) == name


@pytest.mark.parametrize("name", ["../up.png", "/a.png", "a\\b.png", "..\\b.png", "C:/a.png"])
def test_hostile_members_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(name, png())
    write_tar("x.tar", {name: png()})
    for path in ("x.zip", "x.tar"):
        with pytest.raises(ImageError, match="cannot be a name"):
            gather([path])


def test_names_are_unique_over_all_sources(tmp_path):
    one, two = save(tmp_path / "1" / "a.png"), save(tmp_path / "2" / "a.png")
    with pytest.raises(ImageError, match=r"1/a\.png and .*2/a\.png would both be named a\.png"):
        gather([one, two])
    with pytest.raises(ImageError, match="would both be named"):
        gather([one, one])
    for folder in ("1", "2"):
        np.save(tmp_path / folder / "x.npy", BITS)
        np.savez(tmp_path / folder / "x.npz", **{f"k{folder}": BITS})
    for name in ("x.npy", "x.npz"):
        with pytest.raises(ImageError, match="would both be named"):
            gather([f"1/{name}", f"2/{name}"])
    with pytest.raises(ImageError, match="would both be named"):
        gather(["1/x.npz", "1/x.npz:k1"])
    os.replace("2/x.npy", "2/x.gz")
    with pytest.raises(ImageError, match=r"would both be named x\.gz"):
        gather([idx(tmp_path / "x.gz", kind="gz"), "2/x.gz"])
    with zipfile.ZipFile("x.zip", "w") as archive:
        archive.writestr("x.npy/3.png", png())
    with pytest.raises(ImageError, match=r"lie within x\.npy"):
        gather(["1/x.npy", "x.zip"])


@pytest.mark.parametrize("path", ["missing.png", "missing.npz:x", "-", ""])
def test_missing_sources(path):
    with pytest.raises(ImageError, match="does not exist"):
        gather([path])


def test_empty_sources(tmp_path):
    (tmp_path / "folder").mkdir()
    zipfile.ZipFile("x.zip", "w").close()
    tarfile.open("x.tar", "w").close()
    np.savez("x.npz")
    for path in ("folder", "x.zip", "x.tar", "x.npz"):
        with pytest.raises(ImageError, match="no images in"):
            gather([path])


# Restoring

FILES = {"kind": "files", "count": 2}
ARRAY = {"kind": "npy", "file": "x.npy", "dtype": "|u1", "shape": [3, 9, 12], "paper": 9, "ink": 5, "packed": False}
IDX = {**ARRAY, "kind": "idx", "gz": False}
DRAWINGS = [Drawing(bits) for bits in BITS]


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, None, 5, b"a.png"])
def test_hostile_names_write_nothing(tmp_path, name):
    folder = tmp_path / "deep" / "out"
    with restorer_of(folder, [FILES], True) as restorer, pytest.raises(FormatError, match="damaged"):
        put(restorer, 0, [name], DRAWINGS[:1])
    with pytest.raises(FormatError, match="damaged"):
        restorer_of(folder, [{**ARRAY, "file": name}], True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_links_within_the_folder_lead_nowhere_else(tmp_path):
    for name in ("out", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "out" / "b.png").symlink_to(tmp_path / "elsewhere" / "b.png")
    (tmp_path / "out" / "x.npy").symlink_to(tmp_path / "elsewhere" / "x.npy")
    (tmp_path / "out" / "loop").symlink_to(tmp_path / "out" / "loop")
    with restorer_of(tmp_path / "out", [FILES], True) as restorer:
        for name in ("link/a.png", "link/new/a.png", "b.png", "loop/a.png"):
            with pytest.raises(OutputError):
                put(restorer, 0, [name], DRAWINGS[:1])
    with pytest.raises(OutputError, match="by a link"):
        restorer_of(tmp_path / "out", [ARRAY], True)
    assert not os.listdir("elsewhere")


def test_nothing_is_overwritten_without_force(tmp_path):
    (tmp_path / "a.png").write_bytes(b"mine")
    (tmp_path / "x.npy").write_bytes(b"mine")
    with restorer_of(tmp_path, [FILES], False) as restorer, pytest.raises(OutputError, match="force=True"):
        put(restorer, 0, ["a.png"], DRAWINGS[:1])
    with pytest.raises(OutputError, match="force=True"):
        restorer_of(tmp_path, [ARRAY], False)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "x.npy").read_bytes() == b"mine"
    with restorer_of(tmp_path, [FILES, ARRAY], True) as restorer:
        put(restorer, 0, ["a.png"], DRAWINGS[:1])
        restorer.finish()
    assert np.array_equal(levels_of("a.png"), BITS[0] * 255)
    assert np.load("x.npy").shape == (3, 9, 12)


def test_a_name_of_one_dash_is_a_file(tmp_path, capsysbinary):
    with restorer_of(Path("."), [{"kind": "files", "count": 1}, {**IDX, "file": "-"}], False) as restorer:
        put(restorer, 0, ["-"], DRAWINGS[:1])
        restorer.finish()
    assert sorted(os.listdir()) == ["-", "-.png"]
    assert capsysbinary.readouterr().out == b""


def test_chunks_may_span_sources_and_come_in_any_order(tmp_path):
    manifests = [ARRAY, FILES, {**IDX, "file": "y"}]
    with restorer_of(tmp_path, manifests, False) as restorer:
        put(restorer, 4, ["b.png"], DRAWINGS[4:8])
        put(restorer, 0, ["a.png"], DRAWINGS[0:4])
        written = restorer.finish()
    assert [path.name for path in written] == ["x.npy", "a.png", "b.png", "y"]
    assert np.array_equal(np.load("x.npy"), np.array([9, 5])[BITS[:3]])
    assert np.array_equal(levels_of("b.png"), BITS[4] * 255)
    assert (tmp_path / "y").read_bytes()[16:] == np.array([9, 5], np.uint8)[BITS[5:8]].tobytes()


@pytest.mark.parametrize("rows", [[], [0], [2], [1, 1]])
def test_rows_never_put_are_paper(tmp_path, rows):
    packed = {**ARRAY, "file": "p.npy", "shape": [3, 98], "paper": 1, "ink": 0, "packed": True}
    digit = Drawing(np.eye(28, dtype=np.uint8))
    with restorer_of(tmp_path, [ARRAY, packed], False) as restorer:
        for row in rows:
            put(restorer, row, [], [DRAWINGS[row]])
            put(restorer, 3 + row, [], [digit])
        restorer.finish()
    expected, bits = np.full((3, 9, 12), 9), np.ones((3, 28, 28), np.uint8)
    for row in rows:
        expected[row] = np.array([9, 5])[BITS[row]]
        bits[row] = 1 - digit.bits
    assert np.array_equal(np.load("x.npy"), expected)
    assert np.array_equal(np.load("p.npy"), np.packbits(bits.reshape(3, 784), axis=1))


def test_what_is_unfinished_leaves_no_trace(tmp_path):
    with restorer_of(tmp_path / "out", [ARRAY], False) as restorer:
        put(restorer, 0, [], DRAWINGS[:2])
    assert os.listdir("out") == []


def test_what_does_not_fit_the_manifests_is_refused(tmp_path):
    with restorer_of(tmp_path, [FILES, ARRAY], False) as restorer:
        for index, names, drawings in [
            (0, [], DRAWINGS[:1]),
            (0, ["a.png", "b.png"], DRAWINGS[:1]),
            (2, ["a.png"], DRAWINGS[:1]),
            (4, [], DRAWINGS[:2]),
            (5, [], DRAWINGS[:1]),
            (2, [], [Drawing(np.zeros((12, 9), np.uint8))]),
        ]:
            with pytest.raises(FormatError):
                put(restorer, index, names, drawings)


@pytest.mark.parametrize(
    "damage",
    [
        {"kind": "exe"},
        {"kind": []},
        {"extra": 1},
        {"gz": False},
        {"file": "a/b.npy"},
        {"dtype": "|O"},
        {"dtype": "|V1"},
        {"dtype": "<c8"},
        {"dtype": "object"},
        {"dtype": "<f16"},
        {"dtype": ["|u1"]},
        {"dtype": "=u1"},
        {"shape": 3},
        {"shape": []},
        {"shape": [3]},
        {"shape": [3, 98]},
        {"shape": [3, 0, 5]},
        {"shape": [-3, 5, 5]},
        {"shape": [3.0, 5, 5]},
        {"shape": [True, 5, 5]},
        {"shape": [1 << 35, 28, 28]},
        {"shape": [1, 65536, 1]},
        {"shape": [1, 5, 5, 3]},
        {"packed": True},
        {"packed": 0},
        {"paper": 256},
        {"paper": -1},
        {"ink": 0.5},
        {"ink": "5"},
        {"ink": None},
        {"ink": True},
        {"dtype": "<f4", "paper": 0.1, "ink": 0.0},
        {"dtype": "<f4", "paper": 1e300, "ink": 0.0},
        {"dtype": "<f8", "paper": float("nan"), "ink": 0.0},
        {"dtype": "<f8", "paper": 0, "ink": 1},
        {"kind": "npz"},
        {"kind": "npz", "key": "../a"},
        {"kind": "npz", "key": 5},
        {"kind": "idx"},
        {"kind": "idx", "gz": 1},
        {"kind": "idx", "gz": False, "dtype": "|i1"},
        {"kind": "idx", "gz": False, "shape": [3, 5, 5, 1]},
    ],
)
def test_damaged_manifests_are_refused(tmp_path, damage):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(FormatError) as caught:
            restorer_of(tmp_path, [{**ARRAY, **damage}], True)
    assert "\n" not in str(caught.value)
    assert os.listdir() == []


@pytest.mark.parametrize("manifests", [[None], [[]], [{}], [{"kind": "files"}], [{"kind": "files", "count": 0}]])
def test_damaged_manifests_of_files_are_refused(tmp_path, manifests):
    with pytest.raises(FormatError):
        restorer_of(tmp_path, manifests, True)


def test_two_arrays_of_one_name_are_refused(tmp_path):
    npz = {**ARRAY, "kind": "npz", "key": "a"}
    for pair in ([ARRAY, ARRAY], [npz, npz], [{**npz, "file": "x.npy"}, ARRAY], [IDX, {**IDX, "gz": True}]):
        with pytest.raises(FormatError, match="one name"):
            restorer_of(tmp_path, pair, True)


def test_all_unsuitable_pictures_are_named_at_once_and_can_be_skipped(run):
    for number in range(3):
        save(Path(f"set/{number}.png"), BITS[number])
    Image.new("CMYK", (11, 9)).save("set/cmyk.tif")
    Path("set/junk.png").write_bytes(b"junk")
    said = run("pack", "set", "-o", "a.vlz", "-q", expect=1).stderr.splitlines()
    assert ["set/" in line for line in said] == [True, True, False]
    assert "cmyk.tif" in said[0]
    assert "junk.png" in said[1]
    assert "--skip-unsuitable" in said[2]
    assert not Path("a.vlz").exists()
    said = run("pack", "set", "-o", "a.vlz", "--skip-unsuitable", "-q", expect=1).stderr.splitlines()
    assert [line.endswith("it is not in a.vlz") for line in said] == [True, True]
    assert run("list", "a.vlz", "--names").stdout.splitlines()[-3:] == [f"set/{number}.png" for number in range(3)]
    os.unlink("set/cmyk.tif")
    said = run("pack", "set/junk.png", "-o", "b.vlz", "--skip-unsuitable", expect=1).stderr
    assert said == "Error: set/junk.png is not an image, or a damaged one\n"
    assert not Path("b.vlz").exists()


def test_quiet_packs_say_nothing(run):
    save(Path("set/a.png"))
    Path("set/notes.txt").write_text("left out")
    result = run("pack", "set", "-o", "a.vlz", "-q")
    assert (result.stdout, result.stderr) == ("", "")


@pytest.mark.parametrize("command", [("pack", "-o", "c.vlz"), ("measure", "--effort", "0")], ids=lambda words: words[0])
def test_files_of_our_own_are_said_to_be_such(run, command):
    save(Path("a.png"), BITS[0])
    run("compress", "a.png", "-o", "file-0.vlz", "--effort", 0)
    run("pack", "a.png", "-o", "file-1.vlz")
    for name, first in (("file-0.vlz", 0), ("file-1.vlz", 1), ("file-*.vlz", 0)):
        said = run(command[0], name, *command[1:], expect=1).stderr
        assert said == (
            f"Error: file-{first}.vlz is a file of vlae-codec, and pictures are wanted here: "
            "decompress or unpack it first\n"
        )
