"""Files made to waste memory, disks or time: each is refused early, or costs what its bytes do."""

from __future__ import annotations

import io
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import picture_files as made
import pytest
from conftest import drawings_of

from vlae_codec import codec, zoo
from vlae_codec.archive import pack, unpack
from vlae_codec.archive.chunks import Settings
from vlae_codec.archive.frame import write_index
from vlae_codec.archive.heads import Head, Header, checked
from vlae_codec.archive.numbers import Numbers
from vlae_codec.archive.opened import Opened
from vlae_codec.archive.version1 import write_head, write_header
from vlae_codec.container import MOST_BYTES
from vlae_codec.errors import FormatError, ImageError
from vlae_codec.field import chain, latents, network
from vlae_codec.field.bitsback import Counted
from vlae_codec.field.chaining import write_state
from vlae_codec.field.file import parse
from vlae_codec.picture.drawing import Drawing, Look, format_of
from vlae_codec.picture.raster import Geometry
from vlae_codec.sets.manifest import ArrayForm, FilesForm, Forms
from vlae_codec.sets.restore import Restorer
from vlae_codec.sets.sources import Memory, gather

GROWS = bytes.fromhex(
    "c67ed2f68c26d5a1143b294de206d9768e93b9ba37d0ea8c416384d2f1745ae7732bfda9a87f549c47678b5b01884806edcd"
    "676cf9e6a4bc169fc8da11a5da2e292cfc565d38110943424c3b961f287925061667051ca2453d2aaa013503fb24ac60ebe8"
    "ca8be57e8b5777f9fe7f"
)
"""A chain of `mnist-dynamic` that is soon exhausted, and fed by samples that were popped of nothing."""


def test_a_chain_that_feeds_on_samples_popped_of_nothing_is_refused_at_once(monkeypatch):
    drawn, draw = [], network.PixelCNN.draw

    def counting(self, context, decide):
        drawn.append(len(context))
        return draw(self, context, decide)

    monkeypatch.setattr(network.PixelCNN, "draw", counting)
    inside = np.broadcast_to(np.True_, (131055, 28, 28))
    with pytest.raises(FormatError, match="ends before"):
        chain.pop(zoo.load_default(), GROWS, Counted(1), inside, samples=32)
    assert sum(drawn) <= 256


def blank_archive(images, arrays=False, names=None):
    """A few bytes that are an archive of so many blank pictures of 28x28."""
    form = ArrayForm("npy", "a.npy", "|u1", (images, 28, 28), 0, 255) if arrays else FilesForm(images)
    header = write_header(Header(5, False, True, Forms([form])))
    fields = np.zeros((images, 28, 28), np.uint8)
    pushed = chain.push(zoo.load_default(), fields, fields == 0)
    names = names or tuple(map(str, range(images))) * (not arrays)
    numbers, form = Numbers.between(0, images), Geometry(28, 28, format_of(Look()))
    head = Head(numbers, names, ((form, images),), write_state(pushed.counted), len(pushed.data))
    chunk = write_head(head) + checked(pushed.data)
    return header + chunk + write_index(header, [(len(chunk), numbers)])


@pytest.mark.parametrize("arrays", [False, True])
def test_a_claim_above_the_limit_is_refused_before_anything_is_written(run, tmp_path, arrays):
    (tmp_path / "a.vlz").write_bytes(blank_archive(100, arrays))
    for limit, expect in ((100 * 784 - 1, 1), (100 * 784, 0)):
        said = run("unpack", "a.vlz", "-o", f"out{expect}", "--max-bytes", limit, expect=expect).stderr
        if expect:
            assert "a.vlz: it claims 78400 bytes of pixels" in said
            assert "--max-bytes 78400" in said
            assert not (tmp_path / "out1").exists()
        else:
            assert "unpacking 100 images, 78400 bytes of pixels, into out0" in said


def test_by_default_a_few_bytes_may_not_fill_a_disk(run, tmp_path):
    form = ArrayForm("npy", "a.npy", "|u1", (MOST_BYTES // 784 + 1, 28, 28), 0, 255)
    header = write_header(Header(5, False, True, Forms([form])))
    (tmp_path / "a.vlz").write_bytes(header + write_index(header, []))
    run("unpack", "a.vlz", "-o", "out", expect=1)
    assert not (tmp_path / "out").exists()


def test_a_photograph_of_a_hundred_megapixels_is_within_the_limit():
    assert 3 * 10**8 <= MOST_BYTES < 1 << 30


def test_a_single_picture_above_the_limit_is_refused(run, tmp_path):
    data = codec.compress(np.zeros((100, 100), np.uint8))
    (tmp_path / "a.vlz").write_bytes(data)
    assert "--max-bytes 10000" in run("decompress", "a.vlz", "--max-bytes", 9999, expect=1).stderr
    assert not (tmp_path / "a.png").exists()
    run("decompress", "a.vlz", "--max-bytes", 10000)


def test_some_images_of_an_archive_may_not_be_more_than_the_limit_together(run, tmp_path):
    (tmp_path / "a.vlz").write_bytes(blank_archive(4))
    assert "--max-bytes" in run("unpack", "a.vlz", "-o", "out", "--only", "*", "--max-bytes", 784 * 3, expect=1).stderr
    run("unpack", "a.vlz", "-o", "out2", "--only", "1", "--max-bytes", 784)


def test_names_given_twice_are_refused_and_cost_no_more_than_others(run, tmp_path):
    (tmp_path / "a.vlz").write_bytes(blank_archive(3, names=("a.png", "b.png", "a.png")))
    assert "two images have the same name" in run("unpack", "a.vlz", "-o", "out", expect=1).stderr
    assert [*(tmp_path / "out").iterdir()] == []
    assert "two images have the same name" in run("test", "a.vlz", expect=1).stderr


def test_names_are_checked_without_a_look_at_what_cannot_be_there(tmp_path, monkeypatch):
    looked, lexists = [], Path.is_symlink
    monkeypatch.setattr(Path, "is_symlink", lambda self: looked.append(self) or lexists(self))
    with Restorer(tmp_path / "out", Forms([FilesForm(200)]), force=False) as restorer:
        for number in range(200):
            restorer.check_free("/".join(["a"] * 300) + f"/{number}.png")
    assert len(looked) <= 3


def test_info_decodes_no_latents(monkeypatch, digits, tiny):
    noise = Drawing(np.random.default_rng(0).integers(0, 2, (28, 280), np.uint8))
    (encoded,) = codec.encode([noise], tiny, lossless=False, effort=0)

    def refuse(*_arguments, **_options):
        raise AssertionError("latents were decoded")

    before = parse(tiny, encoded.data, False).codes
    monkeypatch.setattr(latents, "read_coordinates", refuse)
    about = codec.inspect(encoded.data, tiny)
    assert about["lattice_fields"] == sum(isinstance(code, latents.Lattice) for code in before)
    assert about["numbers"] == [code.n for code in before if isinstance(code, latents.Number)]
    assert about["complete"]


def test_reading_many_latents_says_how_far_it_is(tiny):
    codes = [latents.Lattice((0,) * tiny.prior.latents)] * 200
    data = latents.write_coordinates(np.array([code.k for code in codes]), tiny.prior)
    told = []
    latents.read_coordinates(data, len(codes), tiny.prior, lambda *about: told.append(about))
    assert told == [("reading latents", done, 200) for done in (64, 128, 192, 200)]


def test_a_lossy_chunk_says_how_far_it_is(tiny):
    pictures = [Memory([Drawing(bits) for bits in np.eye(28, dtype=np.uint8)[None].repeat(1200, 0)])]
    out, told = io.BytesIO(), []
    pack.pack(pictures, out, tiny, Settings(lossless=False, chunk=1200, effort=0))
    opened = Opened(out)
    for piece in unpack.unpack(opened, model=tiny, progress=lambda _what, done, _total: told.append(done)):
        assert piece.error is None
    assert [done for done in told if done < 1200]


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_large_member_is_looked_at_before_it_is_read(tmp_path, kind):
    """Of 100 MB that are no picture, or a small one with nonsense behind it, little is ever in memory."""
    small = made.png(8, 0, [bytes(made.WIDTH)] * made.HEIGHT)
    for beginning, message in ((b"no picture", "is not an image"), (small, "far more than any such picture")):
        content, path = beginning + bytes(100 << 20), str(tmp_path / f"a.{kind}")
        if kind == "zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("a.png", content)
        else:
            with tarfile.open(path, "w:gz") as tar:
                member = tarfile.TarInfo("a.png")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        del content
        with gather([path]) as gathered:
            tracemalloc.start()
            try:
                with pytest.raises(ImageError, match=message):
                    drawings_of(gathered.sources[0], 0, 1)
                assert tracemalloc.get_traced_memory()[1] < 20 << 20
            finally:
                tracemalloc.stop()


def test_a_large_picture_is_read_all_the_same(tmp_path):
    side = 4200
    bits = (np.arange(side * side).reshape(side, side) % 97 == 0).astype(np.uint8)
    data = f"P5\n{side} {side}\n255\n".encode() + (bits * np.uint8(255)).tobytes()
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.pgm", data)
    with gather([str(tmp_path / "a.zip")]) as gathered:
        (drawing,) = drawings_of(gathered.sources[0], 0, 1)
    assert np.array_equal(drawing.bits, bits)
