"""The command line as a user meets it: names, streams, refusals, and never a traceback."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from conftest import HERE, levels_of
from PIL import Image

from vlae_codec import codec, files, zoo
from vlae_codec.cli.files import ProgressLine, lasting
from vlae_codec.cli.help import EXAMPLES
from vlae_codec.cli.main import _MODULES, main
from vlae_codec.errors import OutputError
from vlae_codec.field import codebook
from vlae_codec.picture.drawing import demo_digits
from vlae_codec.picture.images import picture_bytes

FAST = ["--effort", "0"]


def test_progress_counts_from_where_it_began(capsys, monkeypatch):
    line = ProgressLine(quiet=False)
    for second, done in ((0, 90), (50, 95), (100, 10), (150, 20)):  # taken up at 90; then a second pass
        monkeypatch.setattr("time.monotonic", lambda second=second: float(second))
        line("evaluating", done, 100)
    told = [line for line in capsys.readouterr().err.splitlines() if "/" in line]
    assert told == ["evaluating: 95/100, 0.1/s, 50 s left", "evaluating: 20/100, 0.2/s, 7 min left"]
    assert [lasting(seconds) for seconds in (0.2, 99, 3500, 7510)] == ["0 s", "99 s", "58 min", "2 h 5 min"]


def test_quick_work_is_not_told_of_where_nobody_watches(capsys, monkeypatch):
    line = ProgressLine(quiet=False)
    for second, what, done in ((0, "rows", 0), (1.9, "rows", 50), (2, "pages", 0), (4.1, "pages", 1), (5, "pages", 2)):
        monkeypatch.setattr("time.monotonic", lambda second=second: float(second))
        line(what, done, 100)
    assert capsys.readouterr().err == "pages: 1/100, 0.476/s, 3 min left\n"


@pytest.mark.skipif(sys.platform == "win32", reason="names of files there have no line breaks")
def test_a_name_is_told_on_one_line(run, digits):
    Image.fromarray(digits[11].bits * np.uint8(255)).save("a\nb.png")
    for said in (run("compress", "a\nb.png", *FAST).stdout, run("decompress", "a\nb.vlz", "-o", "c\nd.png").stdout):
        assert said.count("\n") == 1
        assert r"a\nb." in said


@pytest.fixture
def image(tmp_path, digits):
    path = tmp_path / "img.png"
    Image.fromarray(digits[11].bits * np.uint8(255)).save(path)
    return path


def pixels_of(path):
    return levels_of(path)


def test_lossless_there_and_back_with_default_names(run, image, tmp_path):
    original = pixels_of(image)
    assert "exact" in run("compress", image, "--lossless", "--verify", *FAST).output
    image.unlink()
    run("decompress", "img.vlz")
    assert np.array_equal(pixels_of(image), original)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["img.png", "img.vlz"]


def test_lossy_says_that_texture_is_resampled(run, image):
    result = run("compress", image, "--verify", *FAST)
    assert "re-sampled" in result.stderr
    assert "verified: 1 of 1 files" in result.stderr
    assert "KL" in result.stdout
    assert "re-sampled" in run("decompress", "img.vlz", "-o", "new.png").stderr
    assert pixels_of("new.png").shape == (28, 28)


def test_json_ledger_adds_up(run, image):
    (row,) = json.loads(run("compress", image, "--json", "-q", *FAST).stdout)
    assert row["total_bytes"] == os.path.getsize("img.vlz") <= 9
    assert row["container_bytes"] + row["coded_bits"] / 8 == row["total_bytes"]
    assert row["kl_bits"] > 0
    (row,) = json.loads(run("decompress", "img.vlz", "-o", "x.png", "--json").stdout)
    assert row["sampled_pixels"] == 784


def test_nothing_is_overwritten_without_f(run, image):
    run("compress", image, *FAST)
    before = Path("img.vlz").read_bytes()
    result = run("compress", image, "--lossless", *FAST, expect=1)
    assert result.stderr.strip().endswith("img.vlz exists: -f overwrites it, or give another name")
    assert Path("img.vlz").read_bytes() == before
    run("compress", image, "--lossless", "-f", *FAST)
    assert Path("img.vlz").read_bytes() != before
    run("decompress", "img.vlz", expect=1)


def test_streams(run, image):
    data = run("compress", "-", "-q", *FAST, stdin=image.read_bytes()).stdout_bytes
    assert len(data) <= 9
    assert run("compress", "-", "--json", *FAST, stdin=image.read_bytes()).stdout_bytes == data
    png = run("decompress", "-", stdin=data).stdout_bytes
    assert png.startswith(b"\x89PNG")
    assert "ok" in run("test", "-", stdin=data).stdout
    assert json.loads(run("info", "-", "--json", stdin=data).stdout)["kind"] == "lossy"


def test_many_files_go_to_a_folder_and_one_bad_one_stops_no_other(run, image, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    second = tmp_path / "second.png"
    second.write_bytes(image.read_bytes())
    result = run("compress", image, "bad.png", second, "missing.png", "-o", "out", *FAST, expect=1)
    assert sorted(os.listdir("out")) == ["img.vlz", "second.vlz"]
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert len(errors) == 2
    assert "bad.png" in errors[0]
    assert "missing.png" in errors[1]
    run("decompress", "out/img.vlz", "out/second.vlz", "-o", "back")
    assert sorted(os.listdir("back")) == ["img.png", "second.png"]


def test_folders_are_mirrored(run, image, tmp_path):
    for place in ("in/a", "in/b/c", "in/.hidden"):
        Path(place).mkdir(parents=True)
        Path(place, "img.png").write_bytes(image.read_bytes())
    Path("in/notes.txt").write_text("no picture")
    Path("empty").mkdir()
    run("compress", "in", "-r", "-o", "out", "--jobs", "2", *FAST)
    assert sorted(str(path) for path in Path("out").rglob("*.*")) == ["out/a/img.vlz", "out/b/c/img.vlz"]
    run("decompress", "-r", "out", "-o", "back/")
    assert sorted(str(path) for path in Path("back").rglob("*.*")) == ["back/a/img.png", "back/b/c/img.png"]
    run("compress", "in", "-r", *FAST)
    assert Path("in/b/c/img.vlz").read_bytes() == Path("out/b/c/img.vlz").read_bytes()
    assert "-r takes all" in run("compress", "in", *FAST, expect=1).stderr
    result = run("compress", "empty", image, "-r", *FAST, expect=1)
    assert "nothing to read in empty" in result.stderr
    assert Path("img.vlz").exists()
    assert "is a file" in run("compress", "in", "-r", "-o", "img.vlz", *FAST, expect=2).stderr


def test_inputs_of_one_name_do_not_overwrite_each_other(run, image, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "img.png").write_bytes(image.read_bytes())
    result = run("compress", image, "a/img.png", "-o", "out", *FAST, expect=1)
    assert "already the output of another input" in result.stderr
    assert os.listdir("out") == ["img.vlz"]


def test_one_file_by_two_names_is_one_output(run, image, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to("a")
    for name in ("a/x.png", "a/x.bmp"):
        Image.open(image).save(name)
    for second in ("b/x.bmp", "a/../a/x.bmp"):
        result = run("compress", "-f", "a/x.png", second, *FAST, expect=1)
        assert "already the output of another input" in result.stderr


def test_no_input_is_replaced_by_the_result_of_another(run, image):
    run("compress", image, *FAST)
    before = image.read_bytes()
    assert "is one of the inputs" in run("decompress", "-f", "img.vlz", image, expect=1).stderr
    assert image.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="no shell that can close streams")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [("img.png -f 2>&-", 0), ("img.png -f -q 2>&-", 0), ("img.png -o - >&-", 1), ("- -o x.vlz <&-", 1)],
)
def test_streams_that_are_closed_are_no_traceback(run, image, arguments, code):
    command = f"{sys.executable} -m vlae_codec compress --effort 0 {arguments}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert Path("img.vlz").exists() == (code == 0)
    assert "Traceback" not in done.stderr
    assert ("is closed" in done.stderr) == (code == 1)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no endless device here")
def test_an_endless_device_is_refused(run, monkeypatch):
    monkeypatch.setattr("vlae_codec.cli.files.LARGEST_BYTES", 1 << 22)
    for command in ("compress", "decompress", "info"):
        assert "larger than any" in run(command, "/dev/zero", expect=1).stderr


def test_reports_for_programs_are_json_whole_wherever_they_go(run, image):
    run("compress", image, *FAST)
    Path("set").mkdir()
    image.rename("set/1.png")
    Path("set/notes.txt").write_text("no picture")
    for command in (["compress", "set/1.png", *FAST], ["decompress", "img.vlz"], ["pack", "set"]):
        assert json.loads(run(*command, "-o", "-", "--json").stderr), command
    assert "notes.txt" in run("pack", "set").stderr
    Path("bad.vlz").write_bytes(b"\xd7")
    told = run("test", "img.vlz", "bad.vlz", "--json", expect=1)
    assert json.loads(told.stdout) == [
        {"input": "img.vlz", "problems": []},
        {"input": "bad.vlz", "problems": [told.stderr.strip().removeprefix("Error: ")]},
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="no such names")
def test_names_do_nothing_to_a_terminal_and_letters_stay_as_they_are(run, image):
    for name in ("\x1b[31m.png", "\u202egnp.png", "全角\u3000ü\u202f🏽\u200d.png"):
        image.rename(name)
        image = Path(name)
        made = f"{name}.vlz"
        told = run("compress", name, *FAST, "-o", made).stdout + run("test", made).stdout
        told += run("info", name, expect=1).stderr + run("list", made, expect=1).stderr
        assert not {"\x1b", "\u202e"} & set(told)
    assert name in told


def test_partial(run, image, tmp_path):
    run("compress", image, "--lossless", *FAST)
    data = (tmp_path / "img.vlz").read_bytes()
    (tmp_path / "cut.vlz").write_bytes(data[:-5])
    assert "--partial" in run("decompress", "cut.vlz", expect=1).stderr
    result = run("decompress", "cut.vlz", "--partial")
    assert "only if it was cut" in result.stderr
    assert "pixels read" in result.stdout
    Path("bad.vlz").write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
    told = run("decompress", "bad.vlz", "--partial")
    assert "is damaged" in told.stderr
    assert " 0 re-sampled" in told.stdout
    assert json.loads(run("decompress", "bad.vlz", "--partial", "--json", "-f").stdout)[0]["whole"] is False
    assert "--partial" in run("test", "cut.vlz", expect=1).stderr
    assert "complete         no" in run("info", "cut.vlz").stdout


def test_samples_seed_and_temperature(run, image):
    run("compress", image, *FAST)
    run("decompress", "img.vlz", "-o", "sheet.png", "--samples", 5)
    assert pixels_of("sheet.png").shape == (2 * 28 + 6, 3 * 28 + 8)
    run("decompress", "img.vlz", "-o", "a.png", "--seed", 1)
    run("decompress", "img.vlz", "-o", "b.png", "--seed", 2)
    run("decompress", "img.vlz", "-o", "c.png", "--temperature", 0)
    assert not np.array_equal(pixels_of("a.png"), pixels_of("b.png"))


@pytest.mark.parametrize(
    "content",
    [b"", b"\xd7", b"\xd7\x10\x01", bytes(range(7, 7 + 40)), b"\xd7\x12\x01\xff\xff\x03\xff\xff\x03\x00\x11\x22"],
)
@pytest.mark.parametrize("command", ["decompress", "test", "info"])
def test_bad_files_give_one_line_and_exit_1(run, tmp_path, content, command):
    (tmp_path / "x.vlz").write_bytes(content)
    result = run(command, "x.vlz", expect=1)
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == ["x.vlz"]


@pytest.mark.parametrize("path", [".", "missing.vlz"])
@pytest.mark.parametrize("command", ["compress", "decompress", "test", "info"])
def test_folders_and_missing_files(run, path, command):
    result = run(command, path, expect=1)
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


def test_a_gray_digit_is_noted_and_drawings_of_more_levels_need_a_threshold(run, tmp_path):
    photo = np.linspace(0, 255, 4096).reshape(64, 64).astype(np.uint8)
    Image.fromarray(photo).save("photo.png")
    assert "--threshold" in run("compress", "photo.png", "--model", "mnist", expect=1).stderr
    gray = 255 * demo_digits()[30].bits
    gray[::2, ::2][gray[::2, ::2] > 0] = 140
    Image.fromarray(gray).save("gray.png")
    assert "--threshold" in run("compress", "gray.png", "--lossless", "--model", "mnist", expect=1).stderr
    assert "binarised at gray level 127" in run("compress", "gray.png", *FAST).stdout
    run("compress", "gray.png", "--threshold", 200, "--lossless", "-f", *FAST)


def test_usage_errors_exit_2(run, image):
    for arguments in (
        ["compress"],
        ["compress", image, "--effort", "11"],
        ["nonsense"],
        ["compress", image, image, "-o", "-"],
        ["compress", image, image, "-o", "one.vlz"],
        ["decompress", image, "--temperature", "nan"],
        ["decompress", image, "--seed", 2**63 - 2, "--samples", 2],
        ["unpack", image, "-o", "-"],
        ["measure", image, "--csv", "-"],
    ):
        run(*arguments, expect=2)


def test_files_that_are_given_to_the_other_command_are_told_of(run, image):
    run("compress", image, *FAST)
    assert "img.vlz is already a vlz file: use decompress" in run("compress", "img.vlz", expect=1).stderr
    assert "img.png is not a vlz file" in run("decompress", image, expect=1).stderr


def test_what_cannot_be_read_is_not_said_to_be_verified(run):
    said = run("compress", "missing.png", "--verify", expect=1).stderr
    assert len(said.splitlines()) == 1


def test_an_input_is_never_replaced_by_its_result(run, image):
    before = image.read_bytes()
    assert "own result" in run("compress", image, "-o", image, "-f", *FAST, expect=1).stderr
    assert "is not a vlz file" in run("decompress", image, expect=1).stderr
    assert image.read_bytes() == before


def test_a_sheet_of_samples_is_a_png_file(run, image):
    run("compress", image, *FAST)
    assert "name it .png" in run("decompress", "img.vlz", "--samples", 2, "-o", "sheet.bmp", expect=1).stderr
    assert sorted(os.listdir()) == ["img.png", "img.vlz"]
    run("decompress", "img.vlz", "--samples", 2, "-o", "sheet")
    assert Path("sheet").read_bytes().startswith(b"\x89PNG")


def test_a_sheet_of_more_pixels_than_a_picture_may_have_is_refused(run):
    Image.new("L", (300, 300)).save("large.png")
    run("compress", "large.png", *FAST)
    refused = run("decompress", "large.vlz", "--samples", 1024, "-o", "sheet", expect=1).stderr
    assert "large.vlz: 1024 pictures of 300x300 pixels are too many for one sheet" in refused


def test_errors_name_the_file_whatever_its_name(run):
    Path("a").write_bytes(b"")
    assert run("decompress", "a", "-o", "x.png", expect=1).stderr.startswith("Error: a: ")


def test_the_name_of_a_picture_says_its_format(run, image):
    run("compress", image, "--lossless", *FAST)
    for suffix, kind in ((".gif", "GIF"), (".tif", "TIFF"), (".bmp", "BMP")):
        run("decompress", "img.vlz", "-o", f"new{suffix}")
        with Image.open(f"new{suffix}") as new:
            assert new.format == kind
            assert np.array_equal(np.asarray(new.convert("L")), pixels_of(image))
    assert "name it .png" in run("decompress", "img.vlz", "-o", "new.jpg", expect=1).stderr


@pytest.mark.parametrize("options", [["--lossy"], ["--lossless", "--model", "mnist-dynamic"]])
def test_what_is_unlike_the_training_set_is_told_and_its_ledger_adds_up(run, options):
    noise = np.random.default_rng(0).integers(0, 2, (56, 56), np.uint8) * np.uint8(255)
    Image.fromarray(noise).save("noise.png")
    result = run("compress", "noise.png", "--json", *options, *FAST)
    (row,) = json.loads(result.stdout)
    assert row["fields"] == row["unlike_fields"] == 4
    assert 0 < row["container_bytes"] < 12
    assert row["coded_bits"] + 8 * row["container_bytes"] == pytest.approx(8 * Path("noise.vlz").stat().st_size)
    assert "4 of 4 fields" in run("compress", "noise.png", "-f", *options, *FAST).stderr


def test_unwritable_output(run, image, tmp_path):
    (tmp_path / "file").write_text("x")
    result = run("compress", image, "-o", "file/x.vlz", *FAST, expect=1)
    assert result.stderr.startswith("Error: ")


def test_a_folder_to_be_made_is_meant_by_a_separator(run, image):
    run("compress", image, "-o", "new/", *FAST)
    assert os.listdir("new") == ["img.vlz"]


def test_stdin_can_be_given_once(run):
    run("compress", "-", "-", "-o", "x/", stdin=b"", expect=2)


def test_force_writes_through_links_and_into_pipes(run, image, tmp_path):
    (tmp_path / "real.vlz").write_bytes(b"x")
    (tmp_path / "link.vlz").symlink_to("real.vlz")
    run("compress", image, "-o", "link.vlz", "-f", *FAST)
    assert (tmp_path / "link.vlz").is_symlink()
    assert (tmp_path / "real.vlz").stat().st_size > 5
    run("compress", image, "-o", os.devnull, "-f", *FAST)
    assert not os.path.isfile(os.devnull)


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="pipes have no names here")
def test_pipes_that_have_names_are_written_and_read(run, image):
    there, back = os.pipe()
    run("compress", image, "-o", f"/dev/fd/{back}", *FAST)
    os.close(back)
    data = os.read(there, 1000)
    os.close(there)
    assert data == run("compress", image, "-o", "-", *FAST).stdout_bytes
    there, back = os.pipe()
    os.write(back, data)
    os.close(back)
    assert "ok" in run("test", f"/dev/fd/{there}").stdout
    os.close(there)


def test_a_device_needs_no_folder_that_can_be_written_to(monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    files.check_free(Path(os.devnull), force=False)
    with pytest.raises(OutputError):
        files.check_free(Path("x"), force=False)


def test_a_name_beyond_what_the_system_takes_stops_no_other(run, image):
    result = run("compress", "x" * 300 + ".png", image, "-o", "out", *FAST, expect=1)
    assert os.listdir("out") == ["img.vlz"]
    assert "File name too long" in result.stderr


@pytest.mark.parametrize("cache", ["/dev/null", "~nobody-of-this-name"])
def test_without_a_cache_folder_it_works_all_the_same(run, image, cache, monkeypatch):
    monkeypatch.setenv("VLAE_CACHE", cache)
    run("compress", image, *FAST)


def test_a_damaged_cache_is_made_anew(run, image, tmp_path, monkeypatch):
    monkeypatch.setenv("VLAE_CACHE", str(tmp_path / "cache"))
    zoo._load_released.cache_clear()  # a model remembers what it has read
    data = run("compress", image, "-o", "-", *FAST).stdout_bytes
    (kept,) = (tmp_path / "cache" / "vlae-codec").iterdir()
    for content in (b"", b"PK nonsense"):
        kept.write_bytes(content)
        zoo._load_released.cache_clear()
        assert run("compress", image, "-o", "-", *FAST).stdout_bytes == data


def test_a_cache_with_any_byte_changed_or_of_another_model_is_made_anew(tmp_path, tiny):
    path, count = tmp_path / "kept.roots", 16
    roots = codebook._drawn(tiny, 0, count)
    codebook._write(path, tiny, roots)
    read = codebook._read(path, tiny, count)
    assert np.array_equal(read.k, roots.k)
    assert np.array_equal(read.p_bits, roots.p_bits)
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x80]) + data[at + 1 :])
        assert codebook._read(path, tiny, count) is None
    for other in (data[:-1], data + b"\0", bytes(len(data))):
        path.write_bytes(other)
        assert codebook._read(path, tiny, count) is None
    codebook._write(path, dataclasses.replace(tiny, digest=bytes(32)), roots)
    assert codebook._read(path, tiny, count) is None
    codebook._write(path, tiny, codebook.Roots(roots.k[::-1], roots.p_bits))  # what an error of ours might have kept
    assert codebook._read(path, tiny, count) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without pipes of a name")
def test_a_pipe_in_place_of_the_cache_does_not_hang(tmp_path, tiny):
    os.mkfifo(tmp_path / "kept.roots")
    assert codebook._read(tmp_path / "kept.roots", tiny, 16) is None
    codebook._write(tmp_path / "kept.roots", tiny, codebook._drawn(tiny, 0, 16))
    assert "not a file" in codebook._obstacle(tmp_path / "kept.roots")


def test_what_cannot_be_kept_is_made_once_a_process(digits, tiny, monkeypatch):
    monkeypatch.setenv("VLAE_CACHE", "/dev/null")
    told, model = [], dataclasses.replace(tiny)
    for _ in range(2):
        codec.encode(digits[:70], model, effort=0, progress=lambda what, *_: told.append(what))
    assert [what for what in told if "codebook" in what] == [told[1]]
    assert "each time: cannot write" in told[1]


def test_what_is_made_each_time_says_so(tmp_path, tiny, monkeypatch):
    told = []
    for cache, how in ((tmp_path / "a", "once, kept on disk"), ("/dev/null", "each time: cannot write")):
        monkeypatch.setenv("VLAE_CACHE", str(cache))
        codebook._roots(tiny, 16, lambda what, _done, _total: told.append(what))
        assert how in told[-1]
    told.clear()
    monkeypatch.setenv("VLAE_CACHE", str(tmp_path / "a"))
    codebook._roots(tiny, 16, lambda what, _done, _total: told.append(what))
    assert not told


def test_a_relative_folder_for_caches_is_ignored_as_its_standard_says(monkeypatch):
    monkeypatch.delenv("VLAE_CACHE")
    monkeypatch.setenv("HOME", "/home/of/somebody")
    for shared, folder in (("relative", "/home/of/somebody/.cache"), ("", "/home/of/somebody/.cache"), ("/x", "/x")):
        monkeypatch.setenv("XDG_CACHE_HOME", shared)
        assert files.cache_folder() == Path(folder) / "vlae-codec"


def test_unknown_model(run, image):
    assert "no model 'nope'" in run("compress", image, "--model", "nope", expect=1).stderr


def test_model_folder(run, image):
    from conftest import TINY

    run("compress", image, "--model", TINY, *FAST)
    assert "--model DIR" in run("decompress", "img.vlz", "-o", "a.png", expect=1).stderr
    run("decompress", "img.vlz", "-o", "a.png", "--model", TINY)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"octave_lengths": np.full(5, 5)}, "32 octave lengths"),
        ({"octave_lengths": np.full(32, 4)}, "no prefix code"),
        ({"octave_lengths": np.zeros(32, np.int64)}, "1 to 15 bits"),
        ({"prior.cells": np.array(0)}, "lattice"),
        ({"prior.cells": np.array([1, 2])}, "do not fit"),
        ({"prior.cells": np.array(1.5)}, "is not an array of integers"),
        ({"prior.lowest": np.array(["a"] * 6)}, "is not an array of integers"),
        ({"decoder.dense.weight": np.zeros((3, 7), np.int16)}, "do not fit"),
        ({"pixels.layers": None}, "no array pixels.layers"),
        ({"zeros": np.zeros(1 << 28, np.int8)}, "it has more than 268435456 bytes of arrays"),
    ],
)
def test_a_model_folder_may_hold_anything(run, image, tmp_path, changes, message):
    folder = tmp_path / "odd"
    shutil.copytree(HERE / "tiny", folder)
    with np.load(folder / "weights.npz") as stored:
        arrays = {name: array for name, array in {**stored, **changes}.items() if array is not None}
    np.savez_compressed(folder / "weights.npz", **arrays)
    about = json.loads((folder / "model.json").read_text())
    about["sha256"] = hashlib.sha256((folder / "weights.npz").read_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(about))
    assert message in run("compress", image, "--model", folder, *FAST, expect=1).stderr


@pytest.mark.parametrize("text", ["[" * 200000, "[1]", '{"sha256": 1}', "\xff"])
def test_a_model_whose_description_is_none(run, image, tmp_path, text):
    shutil.copytree(HERE / "tiny", tmp_path / "odd")
    (tmp_path / "odd" / "model.json").write_text(text, encoding="latin-1")
    run("compress", image, "--model", "odd", *FAST, expect=1)


def test_a_folder_that_is_named_as_a_released_model_is_meant_if_it_is_spelled_as_one(run, image, tmp_path):
    shutil.copytree(HERE / "tiny", tmp_path / "mnist")
    for name in ("./mnist", "mnist/", tmp_path / "mnist"):
        run("compress", image, "--model", name, "-f", *FAST)
        assert (
            "--model DIR"
            in run(
                "info",
                "img.vlz",
            ).output
        )
    run("compress", image, "--model", "mnist", "-f", *FAST)
    run("info", "img.vlz")


def test_models_lists_the_released(run):
    rows = json.loads(run("models", "--json").stdout)
    assert {row["name"]: row["number"] for row in rows} == {
        "caltech101": 6,
        "ink": 11,
        "mnist": 9,
        "mnist-dynamic": 5,
        "omniglot": 7,
        "photo": 10,
    }
    lines = run("models").stdout.splitlines()
    for line, about, row in zip(lines[::2], lines[1::2], rows, strict=True):
        assert line == f"{row['name']}: {row['knows']}"
        assert f"number {row['number']}, {row['bytes']} bytes, " in about
        assert ("bits an image lossy" in about) == ("kl_bits" in row)
    assert [row["name"] for row in rows if row["default"]] == ["mnist-dynamic"]
    assert {row["name"] for row in rows if not row["chosen_by_auto"]} == {"mnist"}


def test_each_released_model_is_there_by_name(run, image):
    for row in json.loads(run("models", "--json").stdout):
        run("compress", image, "--lossless", "--model", row["name"], "-f", *FAST)
        assert json.loads(run("info", "img.vlz", "--json").stdout)["model"] == row["name"]
        run("decompress", "img.vlz", "-o", "new.png", "-f")
        assert np.array_equal(pixels_of("new.png"), pixels_of(image))


def test_a_process_that_writes_into_a_closed_pipe_shows_no_traceback(image):
    command = f"{sys.executable} -m vlae_codec compress {image} --effort 0 -o - | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


def every_help(command=main, path=()):
    """(path, text) of each --help there is, on a terminal of 80 columns."""
    result = CliRunner().invoke(main, [*path, "--help"], terminal_width=80)
    assert result.exit_code == 0
    yield path, result.output
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                yield from every_help(command.get_command(context, name), (*path, name))


def test_help_lists_every_command_once_and_cuts_no_line():
    for path, text in every_help():
        listed = text.partition("Commands")[2].splitlines()
        assert not [line for line in listed if line.rstrip().endswith("...")], path
        assert max(map(len, text.splitlines())) <= 85
    names = main.list_commands(click.Context(main))
    assert sorted(names) == sorted(name for names in _MODULES.values() for name in names)
    top = dict(every_help())[()]
    assert top.index("compress") < top.index("Commands for those who train models") < top.index("evaluate")


def test_help_of_what_is_drawn_says_of_which_pictures():
    texts = {path: " ".join(text.split()) for path, text in every_help()}
    for command in ("decompress", "unpack"):
        told = texts[command,].partition("--temperature")[2].partition("--max-bytes")[0]
        assert "Of drawings," in told
        assert "Of photos," in told
    assert "Of a lossy drawing," in texts["decompress",].partition("--samples")[2]


def test_examples_of_help_do_what_they_say(run, tmp_path, digits):
    ramp = np.add.outer(np.arange(24), np.arange(32)).astype(np.uint8)
    photo = Image.fromarray(np.stack([ramp, 255 - ramp, ramp * 3], axis=2))
    photo.save("photo.jpg")
    photo.save("photo.png")
    Path("photos").mkdir()
    photo.save("photos/a.png")
    Path("drawings").mkdir()
    for index in range(3):
        Path("drawings", f"a{index}.png").write_bytes(picture_bytes(digits[index], ".png"))
    shutil.copy("drawings/a0.png", "drawing.png")
    page = np.pad(np.concatenate([digit.bits for digit in digits[:4]], axis=1), 3)
    Image.fromarray((1 - page) * np.uint8(255)).save("page.png")
    np.save("array.npy", np.stack([digit.bits for digit in digits[:3]]))
    for command, examples in EXAMPLES.items():
        for example in examples:
            arguments, _, made = example.partition("->")
            force = [] if command == "measure" else ["-f"]
            run(command, *shlex.split(arguments), *force)
            for name in filter(None, made.replace(" ", "").split(",")):
                assert Path(name).exists(), example
                assert time.time() - Path(name).stat().st_mtime < 60
    assert {"small.vlz", "coarse.png", "sheet.png", "set.vlz", "out", "report.html", "report.csv"} <= {*os.listdir()}
    assert sorted(os.listdir("out/drawings")) == ["a0.png", "a1.png", "a2.png"]


@pytest.mark.parametrize(
    ("words", "begun", "expected"),
    [
        (["compress", "--model"], "mnist-", {"mnist-dynamic"}),
        (["unpack", "--model"], "", {*zoo.released_names()}),
        (["train"], "omniglot-win", {"omniglot-window-1", "omniglot-window-2", "omniglot-window-dilated",
                                     "omniglot-window-dilated-64"}),
        ([], "de", {"decompress", "demo"}),
        (["data"], "", {"prepare", "collect", "list"}),
    ],
)  # fmt: skip
def test_shells_complete_names(words, begun, expected):
    found = ShellComplete(main, {}, "vlae-codec", "_VLAE_CODEC_COMPLETE").get_completions(words, begun)
    assert {one.value for one in found} == expected


@pytest.mark.parametrize(("words", "kind"), [(["compress", "--model"], "dir"), (["train"], "file")])
def test_shells_complete_paths_where_no_name_begins_so(words, kind):
    (found,) = ShellComplete(main, {}, "vlae-codec", "_VLAE_CODEC_COMPLETE").get_completions(words, "./x")
    assert (found.value, found.type) == ("./x", kind)


def test_who_names_a_model_of_which_nothing_is_known_is_told_what_it_changes(run, tmp_path):
    drawing = np.full((56, 56), 255, np.uint8)
    drawing[::5, 3:50] = drawing[8:40, ::7] = 0
    Image.fromarray(drawing).save(tmp_path / "a.png")
    told = run("compress", "a.png", "--model", HERE / "tiny")
    assert "differ" in told.stderr
    assert "nothing is known of what the model tiny was trained on" in told.stderr
    assert "nothing is known" not in run("compress", "a.png", "--model", HERE / "tiny", "--lossless", "-f").stderr
