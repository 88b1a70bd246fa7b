"""Photographs as a user meets them: what is chosen for a picture, what its files hold, and what is said."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from photographs import picture
from PIL import Image, ImageCms

import vlae_codec
from vlae_codec import codec, zoo
from vlae_codec.errors import ImageError

pytestmark = pytest.mark.usefixtures("pictures")
PHOTO = picture(48, 64, seed=3).samples


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    photo = Image.fromarray(PHOTO)
    photo.save("photo.png")
    photo.convert("L").save("gray.png")
    photo.quantize(40).save("palette.png")
    screen = np.full((60, 90, 3), 255, np.uint8)
    screen[10:20, 5:60], screen[30:50:2, 8:80] = (20, 60, 200), 0
    Image.fromarray(screen).save("screen.png")
    two = np.zeros((28, 28), np.uint8)
    two[5:22, 12:15] = 255
    Image.fromarray(two).save("digit.png")


def rows(run, *arguments: object) -> list[dict]:
    found: list[dict] = json.loads(run("compress", *arguments, "--json", "-f", "--effort", 0).stdout)
    return found


def test_each_picture_goes_to_what_suits_it(run) -> None:
    lossy = {row["input"]: row for row in rows(run, "photo.png", "gray.png", "palette.png", "screen.png", "digit.png")}
    assert {name: row["family"] for name, row in lossy.items()} == {
        "photo.png": "grid",
        "gray.png": "grid",
        "palette.png": "grid",
        "screen.png": "raw",
        "digit.png": "field",
    }
    assert "kept exactly" in lossy["screen.png"]["note"]
    assert lossy["photo.png"]["psnr_db"] > 20
    names = ["photo.png", "gray.png", "palette.png", "screen.png"]
    assert all(row["differing_pixels"] for row in rows(run, "photo.png", "gray.png", "--verify", "-f"))
    exact = {row["input"]: row for row in rows(run, *names, "--lossless", "--verify")}
    assert exact["palette.png"]["family"] == "raw"
    assert all(row["differing_pixels"] == 0 for row in exact.values())


def test_profiles_of_other_colours_are_dropped_with_them(run) -> None:
    """RGB with a profile of CMYK is wrong colours in every viewer."""
    Image.open("photo.png").convert("CMYK").save("cmyk.jpg", icc_profile=bytes(12) + b"prtrCMYKLab " + bytes(104))
    (row,) = rows(run, "cmyk.jpg", "-f")
    assert "converted from CMYK to RGB, so its colour profile was dropped" in row["note"]
    run("decompress", "cmyk.vlz", "-o", "cmyk.png")
    with Image.open("cmyk.png") as back:
        assert "icc_profile" not in back.info


@pytest.mark.parametrize("depth", [8, 16])
def test_all_of_an_exact_picture_with_opacity_is_exact(run, depth: int) -> None:
    samples = np.random.default_rng(0).integers(0, 256, (12, 20, 4)).astype(f"u{depth // 8}")
    data = vlae_codec.compress(samples, lossless=True)
    Path("opaque.vlz").write_bytes(data)
    assert "20x12, exact" in run("decompress", "opaque.vlz", "-o", "opaque.png").output
    if depth == 8:
        assert np.array_equal(vlae_codec.decompress(data), samples)
    else:
        with pytest.raises(ImageError, match="16-bit colours"):
            vlae_codec.decompress(data)


@pytest.mark.parametrize("name", ["photo", "gray", "palette", "screen"])
def test_exact_files_come_back_as_they_came(run, name: str) -> None:
    run("compress", f"{name}.png", "--lossless", "--effort", 0)
    run("decompress", f"{name}.vlz", "-o", "back.png")
    one, other = Image.open(f"{name}.png"), Image.open("back.png")
    assert one.mode == other.mode
    assert np.array_equal(np.asarray(one), np.asarray(other))


def test_of_a_cut_file_without_a_model_is_said_why_nothing_shows(run) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    Image.fromarray(noise).save("noise.png")
    run("compress", "noise.png", "--lossless")
    data = Path("noise.vlz").read_bytes()
    about = json.loads(run("info", "noise.vlz", "--json").stdout)
    assert (about["model"], about["complete"]) == (None, True)
    damaged = data[:-1] + bytes([data[-1] ^ 1])
    for broken in (data[:-1], data[: len(data) // 2], data[:12], data[:9], damaged):
        Path("cut.vlz").write_bytes(broken)
        assert json.loads(run("info", "cut.vlz", "--json").stdout)["complete"] is False
        said = run("decompress", "cut.vlz", "--partial", "-o", "cut.png", expect=1).stderr
        assert "kept without a model" in said
        assert "no coarse picture in front" in said
        assert "model" not in run("decompress", "cut.vlz", "-o", "cut.png", expect=1).stderr
    assert not Path("cut.png").exists()


def test_prefix_region_and_preview_are_pictures(run) -> None:
    run("compress", "photo.png", "--lossless", "--effort", 0, "--model", "photo")
    data = Path("photo.vlz").read_bytes()
    about = json.loads(run("info", "photo.vlz", "--json").stdout)
    assert about["preview_ends_at_byte"] < about["latents_end_at_byte"] < len(data)
    (first,) = about["tiles_begin_at_byte"]
    told = run("info", "photo.vlz").stdout.splitlines()
    assert f"first tile begins at byte {first}" in told
    assert not [line for line in told if line.startswith(("tiles begin", "quality level"))]
    Path("cut.vlz").write_bytes(data[: about["preview_ends_at_byte"]])
    assert "--partial" not in run("decompress", "cut.vlz", "--partial", "-o", "cut.png").stderr
    run("decompress", "photo.vlz", "--preview", "-o", "preview.png")
    run("decompress", "cut.vlz", "--preview", "--partial", "-o", "again.png")
    preview, best = (np.asarray(Image.open(file)).astype(int) for file in ("preview.png", "cut.png"))
    assert np.array_equal(preview, np.asarray(Image.open("again.png")))
    assert np.square(preview - best).mean() < 25**2, "without the networks, and still the same picture"
    run("decompress", "photo.vlz", "--crop", "8,4,20,10", "-o", "crop.png")
    assert np.array_equal(np.asarray(Image.open("crop.png")), PHOTO[4:14, 8:28])
    assert (
        "beyond the picture" in run("decompress", "photo.vlz", "--crop", "60,0,20,10", "-o", "x.png", expect=1).stderr
    )
    assert run("decompress", "cut.vlz", "-o", "y.png", expect=1).stderr.count("\n") == 1


def test_options_that_have_no_say_in_a_picture_are_told_of(run) -> None:
    two = Image.fromarray(np.arange(9000).reshape(90, 100) % 7 < 3)
    two.save("two.png")
    run("compress", "photo.png", "--effort", 0)
    run("compress", "photo.png", "--effort", 0, "--lossless", "--model", "photo", "-o", "exact.vlz")
    run("compress", "digit.png", "--effort", 0, "--lossy")
    run("compress", "digit.png", "--effort", 0, "--lossless", "-o", "kept.vlz")
    run("compress", "screen.png", "--effort", 0)
    run("compress", "two.png", "--lossless", "--model", "ink")
    drawn = ["--seed", 0, "--temperature", 0.5]
    for file, options, told in (
        ("photo", drawn, []),
        ("photo", ["--seed", 1, "--temperature", 0], ["so --seed changed"]),
        ("photo", ["--preview", *drawn], ["so --seed and --temperature changed"]),
        ("photo", ["--preview"], []),
        ("photo", ["--model", "photo"], []),
        ("photo", ["--model", "omniglot"], ["--model was not used"]),
        ("exact", drawn, ["so --seed and --temperature changed"]),
        ("exact", ["--preview"], []),
        ("digit", drawn, []),
        ("digit", ["--preview"], ["so --preview gave all"]),
        ("digit", ["--samples", 2], []),
        ("kept", drawn, ["so --seed and --temperature changed"]),
        ("kept", ["--samples", 2], ["so --samples shows the same picture"]),
        ("screen", [*drawn, "--preview"], ["so --seed and --temperature changed", "so --preview gave all"]),
        ("screen", ["--model", "photo"], ["--model was not used"]),
        ("two", ["--temperature", 1, "--preview"], ["so --temperature changed", "so --preview gave all"]),
        ("two", [], []),
    ):
        arguments = ["decompress", f"{file}.vlz", "-f", "-o", "x.png", *options]
        said = [line for line in run(*arguments).stderr.splitlines() if line.startswith("note: x.png: ")]
        assert len(said) == len(told), (file, options, said)
        assert all(one in line for one, line in zip(told, said, strict=True)), (file, options, said)
        (row,) = json.loads(run(*arguments, "--json").stdout)
        assert [f"note: x.png: {note}" for note in row["notes"]] == said
        assert "note: x.png" not in run(*arguments, "-q").stderr


def test_info_says_the_quality_that_was_asked_for(run) -> None:
    for options, quality in ((), 55), (("-Q", 30), 30):
        run("compress", "photo.png", "--effort", 0, "-f", *options)
        assert json.loads(run("info", "photo.vlz", "--json").stdout)["quality"] == quality
        assert f"{'quality':16} {quality}" in run("info", "photo.vlz").stdout.splitlines()


def test_opacity_is_told_apart_from_the_container(run) -> None:
    photo = Image.fromarray(PHOTO)
    photo.putalpha(Image.fromarray((np.indices((48, 64)).sum(0) * 2).astype(np.uint8)))
    photo.save("clear.png")
    for options in [], ["--lossless", "--model", "photo"]:
        (row,) = rows(run, "clear.png", *options)
        assert row["coded_bits"] / 8 + row["opacity_bytes"] + row["container_bytes"] == row["total_bytes"]
        assert row["opacity_bytes"] > 0
        told = run("compress", "clear.png", "--effort", 0, "-f", *options).stdout
        assert f" + opacity {row['opacity_bytes']:.0f} + container {row['container_bytes']:.0f} = " in told
    (row,) = rows(run, "photo.png")
    assert row["opacity_bytes"] == 0
    assert "opacity" not in run("compress", "photo.png", "--effort", 0, "-f").stdout


def test_sizes_and_rates_are_kept_within(run) -> None:
    (best,) = rows(run, "photo.png", "-Q", 100)
    for goal in (["--size", best["total_bytes"] - 20], ["--bpp", best["bits_per_pixel"] * 0.8]):
        (row,) = rows(run, "photo.png", *goal)
        assert row["total_bytes"] <= (goal[1] if goal[0] == "--size" else goal[1] * PHOTO[..., 0].size / 8)
    assert "not both" in run("compress", "photo.png", "-Q", 3, "--size", "1k", expect=2).stderr
    assert "--lossless keeps everything" in run("compress", "photo.png", "-Q", 3, "--lossless", expect=2).stderr


def test_metadata_are_kept_or_dropped_as_asked(run) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    exif = Image.Exif()
    exif[0x010E] = "at home"
    Image.fromarray(PHOTO).save("told.png", icc_profile=profile, exif=exif, dpi=(300, 300))

    def back(*options: str) -> dict:
        run("compress", "told.png", "-f", "--effort", 0, *options)
        run("decompress", "told.vlz", "-o", "back.png", "-f")
        with Image.open("back.png") as opened:
            return {**opened.info, "exif": dict(opened.getexif())}

    assert back()["icc_profile"] == profile
    assert "at home" not in str(back())
    assert back()["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert "at home" in str(back("--keep-metadata"))
    assert "icc_profile" not in back("--strip")


def test_metadata_that_a_drawing_cannot_keep_are_told_of(run) -> None:
    exif = Image.Exif()
    exif[0x010E] = "at home"
    Image.open("digit.png").save("told.png", exif=exif)
    for options in ["--keep-metadata"], ["--keep-metadata", "--lossless"]:
        (row,) = rows(run, "told.png", *options)
        assert row["family"] == "field"
        assert "without its EXIF: files of single drawings keep none" in row["note"]
        assert row["note"] in run("compress", "told.png", *options, "--effort", 0, "-f").stdout
    for options in [], ["--strip"]:
        assert rows(run, "told.png", *options)[0]["note"] is None
    Image.open("digit.png").save("told.png", exif=exif, dpi=(300, 300))
    assert "without its resolution: files" in rows(run, "told.png", "-f")[0]["note"]
    assert "without its resolution, EXIF: files" in rows(run, "told.png", "-f", "--keep-metadata")[0]["note"]


def test_a_threshold_binarises_for_whatever_model_is_named(run) -> None:
    (row,) = rows(run, "photo.png", "--threshold", 120, "--model", "ink", "--lossless", "--verify")
    assert (row["family"], row["differing_pixels"]) == ("ink", 0)
    assert "binarised at gray level 120" in row["note"]
    (row,) = rows(run, "photo.png", "--threshold", 120, "--model", "photo")
    assert (row["family"], row["note"]) == ("grid", "binarised at gray level 120, without its colours")
    refused = run("compress", "photo.png", "--threshold", 120, "--model", "photo", "--lossless", "-f", expect=1).stderr
    assert "not those of two colours" in refused


def test_what_cannot_be_kept_is_refused_in_one_line(run) -> None:
    Image.fromarray(PHOTO).convert("CMYK").save("print.jpg")
    refused = run("compress", "print.jpg", "--lossless", expect=1).stderr
    assert "CMYK" in refused
    assert refused.count("print.jpg") == 1
    run("compress", "print.jpg", "--effort", 0)
    run("compress", "photo.png", "--effort", 0)
    assert "is not a drawing" in run("decompress", "photo.vlz", "--samples", 2, "-o", "s.png", expect=1).stderr


def test_a_name_that_no_picture_can_have_is_refused_before_anything_is_decoded(run, monkeypatch) -> None:
    run("compress", "photo.png", "gray.png", "--effort", 0)
    run("compress", "digit.png", "--lossless", "--effort", 0)
    run("decompress", "gray.vlz", "-o", "gray.gif")
    decoded, decode_samples = [], codec.decode_samples

    def counted(files, *given, **options):
        decoded.extend(files)
        return decode_samples(files, *given, **options)

    monkeypatch.setattr(codec, "decode_samples", counted)
    for name, suffix, said in (
        ("photo", ".xyz", "not written as .xyz"),
        ("photo", ".gif", "does not hold every pixel of this picture: write it as .png"),
        ("gray", ".pbm", "does not hold every pixel"),
        ("digit", ".jpg", "name it .png"),
        ("digit", ".xyz", "name it .png"),
    ):
        assert said in run("decompress", f"{name}.vlz", "-o", f"x{suffix}", expect=1).stderr
    assert "is not a drawing" in run("decompress", "photo.vlz", "--samples", 2, "-o", "s.png", expect=1).stderr
    assert not decoded
    run("decompress", "digit.vlz", "-o", "x.bmp")
    assert len(decoded) == 1


def test_the_library_does_the_same(run) -> None:
    run("compress", "photo.png", "--effort", 0, "-Q", 40)
    assert vlae_codec.compress(Image.open("photo.png"), quality=40, effort=0) == Path("photo.vlz").read_bytes()
    exact = vlae_codec.compress(PHOTO, lossless=True, effort=0, model="photo")
    assert np.array_equal(np.asarray(vlae_codec.decompress(exact)), PHOTO)
    made = io.BytesIO()
    vlae_codec.decompress(exact).save(made, "PNG")
    assert zoo.named(zoo.PHOTO).name == vlae_codec.inspect(exact)["model"]
