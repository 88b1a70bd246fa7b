"""Rasters from pictures of every kind, and to them: as they came, or refused."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import warnings
import zlib
from contextlib import ExitStack

import numpy as np
import picture_files as made
import pytest
from PIL import Image
from rasters import FORMATS, of_colours, raster

from vlae_codec.errors import ImageError
from vlae_codec.picture.chunks import SIGNATURE, png_chunk
from vlae_codec.picture.images import EXACT_FORMATS, MOST_SIDE, to_raster
from vlae_codec.picture.metadata import Metadata, Resolution, Unit
from vlae_codec.picture.opening import our_settings
from vlae_codec.picture.png import png_metadata, write_png
from vlae_codec.picture.profiles import is_srgb
from vlae_codec.picture.raster import Geometry, Kind, PixelFormat, Raster
from vlae_codec.picture.reading import orientation, read_given, read_picture
from vlae_codec.picture.writing import check_can_hold, same_colours, to_pillow, write_picture

FILES = {file.title: file for file in made.every_file()}


def saved(picture, kind, **options):
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


# Reading


@pytest.mark.parametrize("title", FILES)
def test_exact_is_what_the_file_says_or_refused(title):
    file = FILES[title]
    try:
        found = read_picture(file.data, exact=True)
    except ImageError as error:
        assert "\n" not in str(error)
        return
    assert found.notes == ()
    truth = file.truth
    if found.raster.format.depth == 16 and truth.dtype == np.uint8:  # the truth of a drawing, in fewer bits
        narrow = (found.raster.colours() >> 8).astype(np.uint8)
        assert same_colours(of_colours(narrow), of_colours(truth))
    else:
        assert same_colours(found.raster, of_colours(truth))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_few_bits_and_palettes_stay_what_they_are(depth):
    for kind in ("PNG", "TIFF"):
        for title, file in FILES.items():
            if file.format == kind and file.depth == str(depth) and "transparent" not in title:
                form = read_picture(file.data, exact=True).raster.format if depth < 8 else None
                if form and "palette" in title:
                    assert (form.kind, form.depth) == (Kind.PALETTE, depth)
                elif form and "gray" in title:
                    assert (form.kind, form.depth) == (Kind.GRAY, depth)


def test_what_is_converted_is_said():
    ramp = np.arange(120, dtype=np.uint8).reshape(5, 8, 3)
    for mode, kind in (("CMYK", "TIFF"), ("CMYK", "JPEG")):
        data = saved(Image.fromarray(ramp).convert(mode), kind)
        assert read_picture(data).notes == (f"its colours were converted from {mode} to RGB",)
        with pytest.raises(ImageError, match=f"in {mode}: convert it to RGB"):
            read_picture(data, exact=True)
        with pytest.raises(ImageError, match="convert it to RGB"):
            read_given(Image.fromarray(ramp).convert(mode), exact=True)
    data = write_png(raster(FORMATS["rgb 16"], 5, 6))
    assert read_picture(data).notes == ("its 16 bits a sample were reduced to 8",)
    assert read_picture(data).raster.format.depth == 8
    assert read_picture(data, exact=True).raster.format.depth == 16


def test_what_lossless_refuses_is_told_as_it_is():
    colours = np.arange(180, dtype=np.uint8).reshape(6, 10, 3)
    for mode in ("YCbCr", "LAB"):
        for options in ({}, {"compression": "tiff_lzw"}):
            image = Image.frombytes(mode, (10, 6), colours.tobytes())
            with pytest.raises(ImageError, match=f"gray and RGB, and the input is in {mode}: convert it to RGB"):
                read_picture(saved(image, "TIFF", **options), exact=True)
    for title in ("PPM, 65535, raw", "TIFF, 16, RGB, big-endian"):
        with pytest.raises(ImageError, match="8 would be lost: save it as PNG"):
            read_picture(FILES[title].data, exact=True)
    palette = made.bmp(2, made._rows(made._packed(made._indices(), 2)), [[1, 2, 3]] * 4)
    for data in (palette, FILES["TIFF, 16, gray and alpha, little-endian"].data, FILES["PCX, 4, palette"].data):
        with pytest.raises(ImageError, match=r"of a kind that is not read.*: save it as PNG"):
            read_picture(data)


@pytest.mark.parametrize("exact", [True, False])
def test_floats_and_animations_are_refused(exact):
    with pytest.raises(ImageError, match="floating-point"):
        read_picture(saved(Image.fromarray(np.zeros((3, 3), np.float32)), "TIFF"), exact=exact)
    frames = [Image.new("L", (5, 5), level) for level in (3, 200)]
    with pytest.raises(ImageError, match="several frames"):
        read_picture(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]), exact=exact)


@pytest.mark.parametrize(
    "array", [np.zeros((3, 3)), np.zeros((3, 3, 5), np.uint8), np.zeros((2, 2, 3), bool), np.zeros(4)]
)
def test_arrays_that_are_not_pictures_are_refused(array):
    with pytest.raises(ImageError, match="array"):
        read_given(array)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_arrays_are_read_as_they_are(dtype, channels):
    array = np.arange(12 * channels, dtype=dtype).reshape(3, 4, channels)
    found = read_given(array, exact=True)
    assert np.array_equal(found.raster.samples, array)
    assert found.raster.format.depth == 8 * array.dtype.itemsize
    assert read_given(array[..., 0] > 3).raster.format == PixelFormat(depth=1)


def of_mode(mode):
    """A Pillow image of that mode, half of it transparent where it can be."""
    ways = {"La": ["LA", "La"], "RGBa": ["RGBA", "RGBa"], "PA": ["P", "PA"]}.get(mode, [mode])
    levels = np.arange(120, dtype=np.uint8).reshape(10, 12)
    image = Image.fromarray(np.stack([levels, levels * 2, levels, 255 * (levels > 60)], axis=2).astype(np.uint8))
    if mode == "LAB":
        return Image.frombytes(mode, image.size, image.convert("RGB").tobytes())
    if mode.startswith("I;"):
        return Image.frombytes(mode, image.size, levels.astype(np.uint16).tobytes())
    if ways[0] not in ("LA", "RGBA"):
        image = image.convert("L" if mode in ("I", "F") else "RGB")
    for way in ways:
        image = image.convert(way)
    return image


MODES = ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA", "RGBX", "RGBa", "La")


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("mode", [*MODES, "I;16", "I;16B", "I;16L"])
def test_an_image_of_any_mode_of_pillow_is_read_or_refused_in_a_line(mode, exact):
    for read in (read_given, to_raster):
        try:
            read(of_mode(mode), exact=exact)
        except ImageError as error:
            assert "\n" not in str(error)
            assert exact or mode == "F"


def test_heic_names_the_package_that_reads_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match="install pillow-heif"):
        read_picture(b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(99), "a.heic")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF", "PPM", "JPEG", "WEBP"])
def test_a_picture_is_read_that_pillow_alone_finds_too_large(kind, monkeypatch):
    data = saved(Image.new("L", (60, 50), 7), kind)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(data))
    assert read_picture(data).raster.samples.shape[:2] == (50, 60)


def test_a_size_that_no_raster_has_is_refused_before_anything_is_decoded():
    header = struct.pack(">IIBBBBB", 1 << 15, 1 << 14, 8, 0, 0, 0, 0)
    data = SIGNATURE + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(b"")) + png_chunk(b"IEND", b"")
    with pytest.raises(ImageError):
        read_picture(data)


@pytest.mark.parametrize("kind", ["deep PNG", "PNG", "JPEG", "WEBP", "TIFF", "GIF"])
def test_damaged_files_are_refused_or_read(kind):
    if kind == "deep PNG":
        data = write_png(raster(FORMATS["rgb 16 alpha"], 9, 7), ALL)
    else:
        picture = to_pillow(raster(FORMATS["palette 2" if kind in ("PNG", "GIF") else "rgb 8"], 12, 10))
        data = saved(picture, kind, icc_profile=bytes(99), exif=b"Exif\0\0" + exif(6), dpi=(72, 72))
    rng = np.random.default_rng(0)
    for position in range(0, len(data), max(1, len(data) // 150)):
        flipped = data[:position] + bytes([data[position] ^ int(rng.integers(1, 256))]) + data[position + 1 :]
        for damaged in (data[:position], flipped):
            for exact in (True, False):
                try:
                    found = read_picture(damaged, exact=exact)
                except ImageError as error:
                    assert "\n" not in str(error)
                else:
                    assert found.raster.samples.size > 0


def test_nothing_that_pillow_has_to_say_of_a_file_reaches_stderr(tmp_path):
    whole = saved(to_pillow(raster(FORMATS["rgb 8"], 12, 10)), "TIFF")
    samples = made.tiff({258: (3, [8]), 262: (3, [2]), 277: (3, [99])}, bytes(400))
    animated = made.png(8, 0, made._rows(bytes(made.WIDTH * made.HEIGHT)), made.png_chunk(b"acTL", bytes(8)))
    files = [whole[:20], whole[: len(whole) - 20], samples, animated]
    for number, data in enumerate(files):
        (tmp_path / f"{number}.tif").write_bytes(data)
    names = [f"{number}.tif" for number in range(len(files))]
    command = [sys.executable, "-W", "always", "-m", "vlae_codec", "compress", "-q", "--effort", "0", *names]
    lines = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stderr.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["Error:"] * 3


def test_calls_that_overlap_leave_pillows_settings_as_they_were():
    before = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    with ExitStack() as one, ExitStack() as other:
        one.enter_context(our_settings())
        other.enter_context(our_settings())
        one.close()
        warnings.warn("what the other still does not want to hear", stacklevel=1)  # an error everywhere else
        assert before[0] != Image.MAX_IMAGE_PIXELS
    assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before


# Orientation and metadata


def exif(turn):
    return b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x112, 3, 1, turn, 0, 0)


@pytest.mark.parametrize("turn", range(1, 9))
def test_pictures_are_turned_as_pillow_turns_them_and_say_so_no_more(turn):
    upright = raster(FORMATS["rgb 8"], 6, 9)
    for form in ("rgb 8", "palette 4 alpha", "gray 1", "rgb 16"):
        picture = raster(FORMATS[form], 6, 9)
        xmp = b'<x tiff:Orientation="%d"/>' % turn
        data = write_png(picture, Metadata(exif=exif(turn), xmp=xmp))
        as_it_is = read_picture(data, exact=True, upright=False)
        assert np.array_equal(as_it_is.raster.samples, picture.samples)
        assert orientation(as_it_is.metadata) == turn
        turned = read_picture(data, exact=True)
        assert orientation(turned.metadata) == 1
        assert turned.metadata.xmp == (b'<x tiff:Orientation="1"/>' if turn > 1 else xmp)
        if form == "rgb 8":
            with Image.open(io.BytesIO(data)) as opened:
                expected = opened.convert("RGB")
                ways = [None, None, *(getattr(Image.Transpose, way) for way in WAYS)]
                expected = expected if turn == 1 else expected.transpose(ways[turn])
            assert np.array_equal(turned.raster.samples, np.asarray(expected))
    assert upright.samples.shape == (6, 9, 3)


WAYS = ["FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90"]


@pytest.mark.parametrize(
    "damaged", [b"", b"MM", b"II*\0\xff\xff\xff\xff", exif(6)[:15], exif(6)[:19], exif(9), b"MM\0*\0\0\0\x08\xff\xff"]
)
def test_exif_that_is_damaged_turns_nothing(damaged):
    assert orientation(Metadata(exif=damaged)) == 1
    picture = raster(FORMATS["rgb 16"], 4, 5)
    assert read_picture(write_png(picture, Metadata(exif=damaged)), exact=True).raster.samples.shape == (4, 5, 3)


ALL = Metadata(
    icc=b"a profile" * 50,
    resolution=Resolution(2835, 2834),
    gamma=45455,
    cicp=bytes([9, 16, 0, 1]),
    exif=exif(1),
    xmp=b"<x/>",
)


@pytest.mark.parametrize("form", ["gray 8", "rgb 16", "palette 2", "two of gray 1"])
def test_png_files_keep_what_is_said_beside_the_pixels(form):
    for said in (ALL, ALL.plain(), Metadata(srgb=2), Metadata(resolution=Resolution(3, 4, Unit.RATIO)), Metadata()):
        data = write_png(raster(FORMATS[form], 5, 6), said)
        assert png_metadata(data) == said
        assert read_picture(data, exact=True).metadata == said
    inches = Metadata(resolution=Resolution(300_000, 72_000, Unit.MILLI_INCH))
    assert png_metadata(write_png(raster(FORMATS[form], 5, 6), inches)).resolution == Resolution(11811, 2835)


def test_a_profile_that_says_srgb_is_kept_as_that_word():
    cms = pytest.importorskip("PIL.ImageCms")
    srgb = cms.ImageCmsProfile(cms.createProfile("sRGB")).tobytes()
    assert is_srgb(srgb)
    picture = raster(FORMATS["rgb 8"], 5, 6)
    assert read_picture(write_png(picture, Metadata(icc=srgb))).metadata == Metadata(srgb=1)
    with Image.open(io.BytesIO(write_png(picture, Metadata(icc=srgb)))) as opened:
        assert opened.info["icc_profile"] == srgb
    for position in range(len(srgb)):
        for other in (srgb[:position], srgb[:position] + bytes([srgb[position] ^ 0x41]) + srgb[position + 1 :]):
            is_srgb(other)  # damaged or not, it is judged
    (red,) = struct.unpack_from(">I", srgb, srgb.index(b"rXYZ") + 4)
    assert not is_srgb(srgb[: red + 8] + struct.pack(">i", 0x9C18) + srgb[red + 12 :]), "Adobe's red is another"
    at = srgb.index(b"para")
    assert not is_srgb(srgb[: at + 12] + struct.pack(">i", 0x23333) + srgb[at + 16 :]), (
        "a power of 2.2 is another curve"
    )
    gray = cms.ImageCmsProfile(cms.createProfile("LAB")).tobytes()
    assert not is_srgb(gray)
    assert not is_srgb(b"")
    table = struct.pack(">4s4xI1024H", b"curv", 1024, *(round(65535 * value) for value in srgb_light(1024)))
    assert is_srgb(with_curves(srgb, table))
    assert not is_srgb(with_curves(srgb, struct.pack(">4s4xIH", b"curv", 1, 0x233)))
    assert not is_srgb(with_curves(srgb, b"zzzz" + table[4:]))


def srgb_light(count):
    return [
        v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (i / (count - 1) for i in range(count))
    ]


def with_curves(profile, curve):
    """The profile with other curves, put behind it."""
    (count,) = struct.unpack_from(">I", profile, 128)
    out = bytearray(profile + curve)
    for at in range(132, 132 + 12 * count, 12):
        if out[at : at + 4] in (b"rTRC", b"gTRC", b"bTRC"):
            struct.pack_into(">II", out, at + 4, len(profile), len(curve))
    return bytes(out)


def test_damaged_metadata_of_a_png_are_left_out():
    good = write_png(raster(FORMATS["gray 8"], 5, 6), ALL)
    whole = png_metadata(good)
    for position in range(len(good)):
        found = png_metadata(good[:position] + bytes([good[position] ^ 0x55]) + good[position + 1 :])
        assert all(
            getattr(found, field) in (getattr(whole, field), getattr(Metadata(), field)) for field in vars(whole)
        )
    odd = [(b"pHYs", b"123"), (b"pHYs", bytes(9)), (b"pHYs", b"\0\0\0\1\0\0\0\1\7"), (b"sRGB", b"\4"), (b"cICP", b"1")]
    odd += [(b"iCCP", b"x\0\0junk that is not zlib"), (b"iTXt", b"XML:com.adobe.xmp\0\1\0"), (b"gAMA", b"")]
    bomb = (b"iCCP", b"x\0\0" + zlib.compress(bytes(1 << 25)))
    for chunk in (*odd, bomb):
        assert png_metadata(good[:33] + png_chunk(*chunk) + good[33:][-12:]) == Metadata()


def test_jpegs_say_their_profile_their_resolution_and_how_they_are_turned():
    picture = Image.fromarray(raster(FORMATS["rgb 8"], 16, 24).samples)
    data = saved(picture, "JPEG", dpi=(300, 200), icc_profile=b"profile", exif=b"Exif\0\0" + exif(6))
    found = read_picture(data)
    assert (found.kind, found.raster.samples.shape) == ("JPEG", (24, 16, 3))
    assert found.metadata == Metadata(
        icc=b"profile", resolution=Resolution(300_000, 200_000, Unit.MILLI_INCH), exif=exif(1)
    )
    assert read_picture(saved(picture, "JPEG")).metadata == Metadata()
    assert read_picture(saved(picture, "TIFF")).metadata == Metadata()
    assert read_picture(saved(picture, "BMP")).metadata.resolution == Resolution(3780, 3780)


# Writing


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_a_png_is_of_the_rasters_own_kind_and_depth(form):
    for height, width in [(1, 1), (7, 13), (30, 41)]:
        picture = raster(form, height, width)
        again = read_picture(write_png(picture), exact=True).raster
        assert again.format == picture.as_stored().format
        assert np.array_equal(again.samples, picture.as_stored().samples)


def test_pillow_reads_every_png_as_it_is():
    for form in FORMATS.values():
        picture = raster(form, 20, 31)
        with Image.open(io.BytesIO(write_png(picture))) as opened:
            shown = np.asarray(opened.convert("RGBA"))
        if form.depth < 16:
            assert same_colours(of_colours(shown), picture)


def test_a_large_png_is_written_row_after_row_as_a_small_one():
    for form in ("gray 1", "rgb 8", "palette 8", "gray 16"):
        picture = raster(FORMATS[form], 700, 3000 if form == "gray 1" else 700)
        again = read_picture(write_png(picture), exact=True).raster
        assert np.array_equal(again.samples, picture.samples)


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".gif", ".webp", ".pbm", ".pgm", ".ppm", ".pnm"])
def test_other_formats_hold_every_pixel_or_refuse(suffix):
    held = set()
    for name, form in FORMATS.items():
        picture = raster(form, 11, 14)
        try:
            data = write_picture(picture, suffix).data
        except ImageError as error:
            assert "write it as .png" in str(error)
            continue
        held.add(name)
        assert same_colours(read_picture(data, exact=True).raster, picture)
    assert held >= {"gray 1", "two of gray 1"}
    assert (suffix == ".pbm") == ("gray 8" not in held)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".jpg", ".avif"])
def test_a_side_that_a_format_does_not_have_is_refused_in_a_line(suffix, capfd):
    long = Raster(np.zeros((1, MOST_SIDE[suffix] + 1, 1), np.uint8), PixelFormat())
    with pytest.raises(ImageError, match=f"{MOST_SIDE[suffix]} pixels a side at most: write it as .png"):
        write_picture(long, suffix, lossy=True)
    assert capfd.readouterr().err == ""
    if suffix in Image.registered_extensions():  # older versions of Pillow have no AVIF
        assert write_picture(Raster(long.samples[:, 1:], PixelFormat()), suffix, lossy=True).data


def test_sixteen_bits_of_colour_go_into_png_alone_and_that_is_known_from_the_header():
    for form in ("rgb 16", "gray 16 alpha"):
        geometry = Geometry(5, 4, FORMATS[form])
        check_can_hold(".png", geometry)
        check_can_hold(".jpg", geometry)
        for suffix in EXACT_FORMATS.keys() - {".png"}:
            with pytest.raises(ImageError, match="write it as"):
                check_can_hold(suffix, geometry)


def test_lossy_formats_have_to_be_allowed_and_say_what_they_do():
    picture = raster(FORMATS["rgb 8 alpha"], 16, 16)
    with pytest.raises(ImageError, match="changes pixels"):
        write_picture(picture, ".jpg")
    written = write_picture(picture, ".jpg", ALL, lossy=True)
    assert written.notes == ("its pixels are only near those of the picture", "what was transparent is white")
    found = read_picture(written.data)
    assert found.metadata.icc == ALL.icc
    assert found.metadata.exif == ALL.exif
    for form in ("gray 16", "palette 8", "two of gray 1", "rgb 16 alpha"):
        assert read_picture(write_picture(raster(FORMATS[form], 16, 16), ".JPG", lossy=True).data).kind == "JPEG"
    with pytest.raises(ImageError, match="but as one of"):
        write_picture(picture, ".xyz", lossy=True)
    assert "hold no colour profile" in write_picture(raster(FORMATS["gray 1"], 4, 4), ".gif", ALL).notes[0]


def test_pillow_images_are_of_the_mode_that_fits():
    modes = {
        "gray 1": "1",
        "gray 4": "L",
        "gray 16": "I;16",
        "gray 8 alpha": "LA",
        "palette 2": "P",
        "rgb 8 alpha": "RGBA",
    }
    for form, mode in modes.items():
        picture = raster(FORMATS[form], 5, 6)
        image = to_pillow(picture)
        assert image.mode == mode
        assert same_colours(read_given(image, exact=True).raster, picture)
    with pytest.raises(ImageError, match="16-bit colours"):
        to_pillow(raster(FORMATS["rgb 16"], 3, 3))
