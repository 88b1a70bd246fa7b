"""Systems that are not the one this was written on: no permissions, no semaphores, other ideas of what a name is."""

from __future__ import annotations

import errno
import io
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import levels_of
from PIL import Image
from test_sources import put as put_drawings

from vlae_codec import files
from vlae_codec.archive import jobs, pack
from vlae_codec.archive.chunks import Settings
from vlae_codec.errors import OutputError
from vlae_codec.picture.drawing import Drawing, Look
from vlae_codec.picture.images import picture_bytes, png_bytes, read_drawing, to_picture
from vlae_codec.sets import restore
from vlae_codec.sets.manifest import FilesForm, Forms, read
from vlae_codec.sets.restore import Restorer
from vlae_codec.sets.sources import Memory

BITS = (np.random.default_rng(0).random((6, 9, 12)) < 0.2).astype(np.uint8)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def put(folder, names, force=False):
    """The notes of a restorer that was given so many pictures of those names."""
    with Restorer(Path(folder), Forms([FilesForm(len(names))]), force) as restorer:
        put_drawings(restorer, 0, names, [Drawing(bits) for bits in BITS[: len(names)]])
        restorer.finish()
        assert not restorer.unnameable
        return restorer.renamed


def written(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
    }


def png(number):
    return picture_bytes(Drawing(BITS[number]), ".png")


@pytest.mark.parametrize("force", [False, True])
def test_where_case_is_ignored_no_picture_takes_the_place_of_another(monkeypatch, force):
    monkeypatch.setattr(restore, "is_folding", lambda _folder: True)
    names = ["A.png", "a.png", "\u00e9.png", "e\u0301.png", "STRASSE.png"]
    notes = put("out", names, force)
    found = written("out")
    assert len({files.folded(name) for name in found}) == len(names)
    assert sorted(found.values()) == sorted(map(png, range(len(names))))
    assert len(notes) == 2
    assert "a.png and another picture would be one file here: it is a.png.png" in notes


def test_where_case_matters_names_are_kept():
    if files.is_folding(Path()):
        pytest.skip("a file system that ignores case")
    assert put("out", ["A.png", "a.png"]) == []
    assert written("out") == {"A.png": png(0), "a.png": png(1)}


def test_two_arrays_that_would_be_one_file_are_refused_before_anything_is_written(monkeypatch):
    monkeypatch.setattr(restore, "is_folding", lambda _folder: True)
    form = {"kind": "npy", "dtype": "|u1", "shape": [2, 9, 12], "paper": 0, "ink": 255, "packed": False}
    with pytest.raises(OutputError, match=r"would take two of .*X\.npy.* for one"):
        Restorer(Path("out"), Forms(map(read, [form | {"file": "x.npy"}, form | {"file": "X.npy"}])), force=True)
    assert written("out") == {}


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("con.png", "con_.png"),
        ("a/NUL", "a/NUL_"),
        ("com1.tar.png", "com1_.tar.png"),
        ("a.png:stream", "a.png_stream"),
        ("12:30.png", "12_30.png"),
        ("a. /b.png.", "a_/b.png_"),
        ('<">|?*.png', "______.png"),
        ("console.png", "console.png"),
        ("a/b.c/d.png", "a/b.c/d.png"),
    ],
)
def test_names_that_windows_reserves_get_others_there(name, there):
    assert files.for_windows(name) == there
    assert files.for_windows(there) == there


def test_pictures_that_a_system_cannot_name_are_written_under_other_names_and_told_of(monkeypatch):
    monkeypatch.setattr(restore, "here", files.for_windows)
    notes = put("out", ["con.png", "con_.png", "12:30.png"])
    found = written("out")
    assert sorted(found.values()) == sorted(map(png, range(3)))
    assert found["con_.png"] == png(0)
    assert found["12_30.png"] == png(2)
    assert "con.png cannot be the name of a file on this system: it is con_.png" in notes


def test_permissions_are_best_effort(monkeypatch):
    def refuse(*_arguments):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refuse)
    files.write(Path("a.vlz"), b"data", force=False)
    assert Path("a.vlz").read_bytes() == b"data"
    assert os.listdir() == ["a.vlz"]


def test_what_goes_wrong_while_a_file_is_written_is_blamed_on_what_caused_it():
    with pytest.raises(OSError, match="not implemented") as caught, files.whole(Path("a.vlz"), force=False):
        raise OSError(errno.ENOSYS, "Function not implemented")
    assert not isinstance(caught.value, OutputError)
    assert os.listdir() == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")
def test_a_disk_that_is_full_is_blamed_on_the_file():
    with pytest.raises(OutputError, match="cannot write /dev/full: No space"):
        files.write(Path("/dev/full"), bytes(1 << 20), force=False)


def test_what_a_killed_run_left_is_removed_by_a_later_one_a_day_after():
    names = [".vlae-a1b2c3d4", ".vlae-zzzzzzz_", ".vlae-notes.txt", "a.png"]
    for name in names:
        Path(name).touch()
        os.utime(name, (0, 0))
    Path(".vlae-new_new_").touch()
    Path(".vlae-e5e5e5e5").mkdir()
    os.utime(".vlae-e5e5e5e5", (0, 0))
    files.write(Path("b.vlz"), b"data", force=False)
    assert sorted(os.listdir()) == [".vlae-e5e5e5e5", ".vlae-new_new_", ".vlae-notes.txt", "a.png", "b.vlz"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSYS, "Function not implemented"), ImportError("no SemLock")])
def test_without_semaphores_one_process_does_the_work(monkeypatch, tiny, error):
    def refuse(*_arguments, **_options):
        raise error

    images = [Memory([Drawing(bits) for bits in BITS])]
    expected = io.BytesIO()
    pack.pack(images, expected, tiny, Settings(chunk=2), jobs=1)
    monkeypatch.setattr(multiprocessing.get_context("spawn"), "Lock", refuse)
    monkeypatch.setattr(jobs, "ProcessPoolExecutor", refuse)
    jobs.obstacle.cache_clear()
    try:
        assert "no semaphores" in jobs.obstacle()
        out = io.BytesIO()
        pack.pack(images, out, tiny, Settings(chunk=2), jobs=2)
    finally:
        jobs.obstacle.cache_clear()
    assert out.getvalue() == expected.getvalue()


def test_only_a_bare_dash_is_a_stream(run):
    Path("a.pbm").write_bytes(b"P4\n8 8\n\1\2\3\4\5\6\7\x08")
    Path("-").write_bytes(Path("a.pbm").read_bytes())
    run("compress", "./-", "-o", "x.vlz", "--effort", 0, stdin="")
    assert Path("x.vlz").stat().st_size
    os.unlink("-")
    said = run("compress", "a.pbm", "-o", "./-", "--effort", 0).output
    assert "a.pbm -> " in said
    assert Path("-").read_bytes() == Path("x.vlz").read_bytes()
    run("decompress", "./-", "-o", "new.png", stdin="")
    os.unlink("-")
    run("pack", "a.pbm", "-o", "./-")
    run("test", "./-", stdin="")
    os.rename("-", "a.vlz")
    run("unpack", "a.vlz", "-o", "./-")
    assert Path("-", "a.pbm").is_file()


def test_one_page_is_compressed(run):
    pages = [Image.fromarray(bits * np.uint8(255)) for bits in BITS[:2]]
    pages[0].save("a.tif", save_all=True, append_images=pages[1:])
    assert "choose one with --page N" in run("compress", "a.tif", "--lossless", expect=1).stderr
    run("compress", "a.tif", "--page", 2, "--lossless", "--effort", 0)
    run("decompress", "a.vlz", "-o", "b.png")
    assert np.array_equal(levels_of("b.png"), BITS[1] * 255)


@pytest.mark.parametrize(
    "look", [Look(), Look((255,), (0,)), Look((1, 2, 3), (9, 0, 0)), Look((0, 0, 0, 0), (9, 1, 2, 77))]
)
def test_pictures_of_two_colours_are_written_with_a_bit_a_pixel(look):
    bits = np.tile(BITS[0], (20, 20))
    drawing = Drawing(bits, look)
    data = picture_bytes(drawing, ".png")
    assert data[24] == 1  # bits a sample
    assert len(data) < len(png_bytes(to_picture(drawing)))
    found = read_drawing(data, exact=True)
    assert {found.look.paper, found.look.ink} == {look.paper, look.ink}


def test_black_and_white_is_written_as_fax_code_in_a_tiff():
    for look in (Look(), Look((255,), (0,))):
        data = picture_bytes(Drawing(BITS[0], look), ".tif")
        with Image.open(io.BytesIO(data)) as picture:
            assert (picture.mode, picture.info["compression"]) == ("1", "group4")
        assert np.array_equal(read_drawing(data, exact=True).bits, BITS[0])


def test_without_semaphores_commands_say_that_one_process_does_the_work(run, monkeypatch):
    def refuse(*_arguments, **_options):
        raise OSError(errno.ENOSYS, "Function not implemented")

    np.save("a.npy", BITS)
    monkeypatch.setattr(multiprocessing.get_context("spawn"), "Lock", refuse)
    jobs.obstacle.cache_clear()
    try:
        said = run("pack", "a.npy", "-o", "a.vlz", "--chunk", 2, "--jobs", 2).stderr
        assert "note: this system has no semaphores (Function not implemented): one process does the work" in said
        run("unpack", "a.vlz", "-o", "out", "--jobs", 2, "-q")
    finally:
        jobs.obstacle.cache_clear()
    assert np.array_equal(np.load("out/a.npy"), BITS)


def test_two_results_that_would_be_one_file_are_refused(run, monkeypatch):
    for name, bits in (("A.png", BITS[0]), ("a.png", BITS[1])):
        Path(name).write_bytes(picture_bytes(Drawing(bits), ".png"))
    monkeypatch.setattr(files, "is_folding", lambda _folder: True)
    said = run("compress", "A.png", "a.png", "-o", "out/", "--effort", 0, expect=1).stderr
    assert "already the output of another input" in said
