"""Laws of the plug-in for Pillow: what is saved is what is opened, and what is said of a file is what it holds."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY
from PIL import Image, UnidentifiedImageError
from test_grid import picture

import vlae_codec
import vlae_codec.pillow
from vlae_codec.picture.images import picture_suffixes

PHOTO = Image.fromarray(picture(12, 16, seed=3).samples)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def digit(digits):
    return Image.fromarray(digits[0].bits * np.uint8(255))


def kinds(digits):
    gray = PHOTO.convert("L")
    return {
        "digit": digit(digits),
        "two colours": Image.fromarray(np.array([[1, 2, 3], [200, 0, 0]], np.uint8)[digits[1].bits]),
        "bits": Image.fromarray(np.arange(600).reshape(20, 30) % 7 > 2),
        "photo": PHOTO,
        "gray": gray,
        "clear": Image.merge("RGBA", (*PHOTO.split(), gray)),
        "gray and clear": Image.merge("LA", (gray, gray)),
        "palette": PHOTO.quantize(9),
        "deep": Image.fromarray(np.arange(300, dtype=np.uint16).reshape(15, 20) * 200),
    }


def test_a_file_of_a_model_of_ones_own_opens_with_it(digits, monkeypatch):
    digit(digits).save("x.vlz", lossless=True, effort=0, model=str(TINY))
    with Image.open("x.vlz") as opened, pytest.raises(OSError, match="model=DIR"):
        opened.load()
    with Image.open("x.vlz") as opened:
        opened.model = str(TINY)
        assert np.array_equal(np.asarray(opened), digits[0].bits * 255)
    monkeypatch.setattr(vlae_codec.pillow.VlzImageFile, "model", str(TINY))
    with Image.open("x.vlz") as opened:
        assert np.array_equal(np.asarray(opened.convert("L")), digits[0].bits * 255)


def test_what_is_saved_without_loss_is_what_is_opened(digits):
    for name, image in kinds(digits).items():
        image.save("x.vlz", lossless=True, effort=0)
        with Image.open("x.vlz") as found:
            before = found.size, found.mode
            assert found.size == image.size
            found.load()
            assert (found.size, found.mode) == before, "the header says what comes"
            assert found.format == "VLZ"
            if name == "two colours":
                assert found.mode == "RGB"
            elif name != "bits":
                assert found.mode == image.mode, name
            assert np.array_equal(np.asarray(found.convert("RGBA")), np.asarray(image.convert("RGBA"))), name
            assert found.convert("RGB").resize((3, 3)).size == (3, 3)


def test_lossy_files_are_those_of_compress(digits):
    for image, options in ((digit(digits), {}), (PHOTO, {"quality": 30}), (PHOTO, {"bpp": 8.0})):
        file = io.BytesIO()
        image.save(file, "VLZ", effort=1, **options)
        assert file.getvalue() == vlae_codec.compress(image, effort=1, **options)
        found = Image.open(io.BytesIO(file.getvalue()))
        assert np.array_equal(np.asarray(found), np.asarray(vlae_codec.decompress(file.getvalue())))


def test_profile_and_resolution_are_kept_and_exif_if_given():
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "maker", 6
    given = PHOTO.copy()
    given.info |= {"dpi": (200, 100), "icc_profile": b"profile", "exif": exif.tobytes(), "xmp": b"<x/>"}
    given.save("plain.vlz", quality=5, effort=0)
    given.save("all.vlz", quality=5, effort=0, exif=exif, xmp="<y/>", dpi=(72, 72))
    with Image.open("plain.vlz") as found:
        assert found.info == {"dpi": pytest.approx((200, 100)), "icc_profile": b"profile"}
    with Image.open("all.vlz") as found:
        assert (found.info["xmp"], found.info["dpi"]) == (b"<y/>", pytest.approx((72, 72)))
        assert dict(found.getexif()) == dict(exif)
        assert found.size == PHOTO.size, "an image is not turned"


def test_nothing_is_decoded_before_it_is_needed(monkeypatch, digits):
    digit(digits).save("x.vlz", lossless=True)
    monkeypatch.setattr(vlae_codec.codec, "decode", None)
    with Image.open("x.vlz") as found:
        assert (found.size, found.mode) == ((28, 28), "L")
        with pytest.raises(TypeError):
            found.load()


def test_sequences_and_archives_are_refused_in_a_word(digits):
    one = digit(digits)
    for options in ({"save_all": True}, {"append_images": [one]}, {"save_all": True, "append_images": [one]}):
        with pytest.raises(OSError, match="one picture, not a sequence"):
            one.save("x.vlz", **options)
    assert not Path("x.vlz").exists()
    vlae_codec.pack(np.stack([digits[0].bits] * 2), "set.vlz")
    with pytest.raises(OSError, match="open_archive"):
        Image.open("set.vlz")
    one.save("many.gif", save_all=True, append_images=[one.rotate(90)])
    with Image.open("many.gif") as frames:
        frames.seek(1)
        frames.save("frame.vlz", lossless=True)
        with Image.open("frame.vlz") as found:
            assert np.array_equal(np.asarray(found.convert("L")), np.asarray(frames.convert("L")))


def test_what_cannot_be_saved_leaves_no_file():
    for image, options, error in (
        (Image.new("CMYK", (9, 9)), {"lossless": True}, OSError),
        (Image.new("F", (9, 9)), {}, OSError),
        (PHOTO, {"model": "mnist"}, OSError),
        (PHOTO, {"model": "none"}, OSError),
        (PHOTO, {"quality": 101}, ValueError),
        (PHOTO, {"quality": 9, "lossless": True}, ValueError),
    ):
        with pytest.raises(error):
            image.save("x.vlz", **options)
        assert not Path("x.vlz").exists()


def test_damaged_files_are_an_os_error_or_none_of_ours(digits):
    digit(digits).save("x.vlz", lossless=True)
    data = Path("x.vlz").read_bytes()
    PHOTO.save("x.vlz", lossless=True, effort=0)
    for whole in (data, Path("x.vlz").read_bytes()[:200]):
        for position in range(0, len(whole), 5):
            damaged = bytearray(whole)
            damaged[position] ^= 0x55
            with pytest.raises(OSError, match=r".+") as caught:
                Image.open(io.BytesIO(bytes(damaged))).load()
            assert "\n" not in str(caught.value)
    for other in (b"", b"\xd7", b"\xd7\xcd\xc6\x9a", b"\xd7\x10", data[:3]):
        with pytest.raises((UnidentifiedImageError, OSError)):
            Image.open(io.BytesIO(other)).load()


def test_our_own_files_are_no_pictures_to_be_coded():
    assert ".vlz" not in picture_suffixes()
    assert Image.registered_extensions()[".vlz"] == "VLZ"
