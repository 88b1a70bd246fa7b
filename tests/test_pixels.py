"""Pictures of every kind on their way in and out."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import numpy as np
import PIL
import pytest
from PIL import EpsImagePlugin, Image

from vlae_codec.errors import ImageError
from vlae_codec.picture.drawing import Drawing, Look
from vlae_codec.picture.fields import from_fields, to_fields
from vlae_codec.picture.images import open_picture, picture_suffixes, png_bytes, read_drawing, to_drawing, to_picture
from vlae_codec.picture.reading import Readable
from vlae_codec.picture.sheets import contact_sheet, square

PILLOW = tuple(map(int, PIL.__version__.split(".")[:2]))
BITS = np.zeros((9, 12), np.uint8)
BITS[2:6, 3:5] = 1


def saved(picture, **options):
    out = io.BytesIO()
    picture.save(out, "PNG", **options)
    return open_picture(out.getvalue())


def coloured(paper, ink, dtype=np.uint8):
    return np.array([paper, ink], dtype)[BITS]


@pytest.mark.parametrize(
    ("picture", "look"),
    [
        (Image.fromarray(BITS == 1), Look()),
        (Image.fromarray(BITS == 0), Look((255,), (0,))),
        (Image.fromarray(coloured(7, 99)), Look((7,), (99,))),
        (Image.fromarray(coloured((1, 2, 3), (200, 100, 0))), Look((1, 2, 3), (200, 100, 0))),
        (Image.fromarray(coloured((4, 4, 4), (90, 90, 90))), Look((4,), (90,))),
        (Image.fromarray(coloured((1, 2, 3, 0), (1, 2, 3, 255))), Look((1, 2, 3, 0), (1, 2, 3, 255))),
        (Image.fromarray(coloured((5, 255), (90, 255)), "LA"), Look((5,), (90,))),
        (Image.fromarray(coloured(300, 65000, np.uint16)), Look((300,), (65000,), True)),
        (Image.fromarray(coloured((0, 0, 0), (255, 0, 0))).convert("P"), Look((0, 0, 0), (255, 0, 0))),
        (Image.fromarray(coloured(0, 255)).convert("CMYK").convert("RGB"), Look()),
    ],
    ids=["1", "1 inverted", "L", "RGB", "gray RGB", "RGBA", "LA", "16-bit", "P", "CMYK"],
)
def test_two_colours_of_any_mode_are_kept_exactly(picture, look):
    drawing = to_drawing(saved(picture), exact=True)
    assert np.array_equal(drawing.bits, BITS)
    assert (drawing.look, drawing.note) == (look, None)
    back = to_picture(drawing)
    again = open_picture(png_bytes(back))
    assert np.array_equal(np.asarray(again), np.asarray(back))
    if not look.deep:
        assert np.array_equal(np.asarray(back.convert("RGBA")), np.asarray(saved(picture).convert("RGBA")))


@pytest.mark.parametrize(
    "array", [coloured(0, 255), coloured(9, 8), BITS == 1, coloured((1, 1, 9), (2, 2, 2)), coloured(0, 400, np.uint16)]
)
def test_arrays_are_accepted(array):
    drawing = to_drawing(array)
    back = np.asarray(to_picture(drawing))
    assert np.array_equal(back, array.astype(np.uint8) * 255 if array.dtype == bool else array)


def npy_file(array):
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def test_an_npy_file_of_one_picture_is_one():
    colours = np.arange(120, dtype=np.uint8).reshape(5, 8, 3)
    for array in (colours, np.asfortranarray(colours), colours[..., 0].astype(">u2") * 300, colours[..., 1] > 50):
        found = Readable.of_file(npy_file(array), "x.npy", exact=True).picture().raster
        assert np.array_equal(found.colours(), (array * (255 if array.dtype == bool else 1)).reshape(5, 8, -1))


@pytest.mark.parametrize(
    "array", [np.zeros((2, 3, 4, 3), np.uint8), np.zeros((9, 5, 7)), np.array(["a"]), np.zeros((0, 3))]
)
def test_other_npy_files_are_no_pictures(array):
    with pytest.raises(ImageError, match=r"^x\.npy|an array must be"):
        Readable.of_file(npy_file(array), "x.npy").picture()
    whole = npy_file(np.zeros((5, 7), np.uint8))
    for data in (whole[:-1], whole + b"x", whole[:50], whole.replace(b"(5, 7)", b"(9**9, 7)")):
        with pytest.raises(ImageError, match=r"^x\.npy"):
            Readable.of_file(data, "x.npy")


def test_one_colour_is_all_paper():
    for value in (0, 255, 30):
        drawing = to_drawing(np.full((5, 4), value, np.uint8))
        assert not drawing.bits.any()
        assert np.array_equal(np.asarray(to_picture(drawing)), np.full((5, 4), value))


def gray_digit():
    rows, cols = np.mgrid[:28, :28]
    distance = np.abs(np.hypot(rows - 14, cols - 14) - 8)
    return (255 * np.clip(2.5 - distance, 0, 1)).astype(np.uint8)


def test_a_gray_digit_is_binarised_with_a_note():
    drawing = to_drawing(gray_digit())
    assert np.array_equal(drawing.bits, gray_digit() > 127)
    assert "127" in drawing.note
    assert np.array_equal(to_drawing(255 - gray_digit()).bits, drawing.bits)
    assert np.array_equal(to_drawing(gray_digit(), threshold=200).bits, gray_digit() > 200)
    with pytest.raises(ImageError, match="threshold=N"):
        to_drawing(gray_digit(), exact=True)
    assert to_drawing(gray_digit(), threshold=9, exact=True).bits.any()


def test_the_middle_of_a_narrow_range_of_deep_grays_is_its_middle():
    deep = gray_digit().astype(np.uint16)
    assert np.array_equal(to_drawing(deep).bits, to_drawing(gray_digit()).bits)
    assert to_drawing(deep).note != to_drawing(gray_digit()).note


@pytest.mark.parametrize("threshold", [-1, 255, 300])
def test_a_threshold_has_a_level_above_and_one_at_or_below(threshold):
    with pytest.raises(ValueError, match="0 to 254"):
        to_drawing(gray_digit(), threshold=threshold)


def test_gray_among_colours_is_as_light_as_it_is():
    picture = np.array([[[level] * 3 for level in range(256)] + [[255, 0, 0]] * 2], np.uint8)
    for threshold in range(255):
        bright = to_drawing(picture, threshold=threshold)
        light = bright.bits[0, :256] if bright.look.ink == (255,) else 1 - bright.bits[0, :256]
        assert light.tolist() == [int(level > threshold) for level in range(256)]


@pytest.mark.parametrize("samples", [1, 3, 4])
def test_a_large_picture_takes_memory_in_proportion(samples):
    picture = np.random.default_rng(0).integers(0, 256, (2048, 1024, samples), np.uint8)
    tracemalloc.start()
    to_drawing(picture, threshold=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (1 << 20) * 8 * 3 * samples + (1 << 21) * 16


def test_a_photo_needs_a_threshold():
    photo = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
    with pytest.raises(ImageError, match="threshold=N"):
        to_drawing(photo)
    assert to_drawing(photo, threshold=128).bits.mean() == pytest.approx(0.5, abs=0.01)


def test_exif_rotation_is_applied():
    picture = Image.fromarray(coloured(0, 255))
    exif = Image.Exif()
    exif[0x0112] = 6
    assert np.array_equal(to_drawing(saved(picture, exif=exif)).bits, np.rot90(BITS, -1))


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "is empty"), (b"\x89PNG\r\n\x1a\n123", "not an image|damaged"), (b"hello", "not an image")],
)
def test_what_is_no_image_is_refused(data, message):
    with pytest.raises(ImageError, match=message):
        open_picture(data)


def test_damaged_pngs_are_refused_or_read():
    good = png_bytes(Image.fromarray(gray_digit()))
    for position in range(0, len(good), 3):
        for data in (good[:position], good[:position] + b"\xff" + good[position + 1 :]):
            try:
                open_picture(data)
            except ImageError as error:
                assert "\n" not in str(error)


def png_of(kind, samples):
    """A 16-bit PNG of that colour type, which Pillow cannot write; (H, W, C) big-endian samples."""
    return png_of_rows(kind, 16, samples.shape[1], [row.tobytes() for row in samples.astype(">u2")])


def png_of_rows(kind, depth, width, rows, more=b""):
    """A PNG of that colour type and depth; `more` chunks before the rows."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), depth, kind, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + head + more + body + png_chunk(b"IEND", b"")


def png_chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@pytest.mark.parametrize(("kind", "samples"), [(2, 3), (4, 2), (6, 4)])
def test_samples_of_more_bits_than_can_be_kept_are_not_called_exact(kind, samples):
    deep = np.where(BITS[..., None] == 1, np.uint16(0x12FF), np.uint16(0x1200)).repeat(samples, axis=2)
    ppm = b"P6 12 9 65535\n" + deep[..., :1].repeat(3, axis=2).astype(">u2").tobytes()
    for data in (png_of(kind, deep), ppm):
        with pytest.raises(ImageError, match="16 bits a sample"):
            open_picture(data, exact=True)
        with pytest.raises(ImageError, match="16 bits a sample"), Image.open(io.BytesIO(data)) as opened:
            to_drawing(opened, exact=True)
        assert open_picture(data).size == (12, 9)
    gray = to_drawing(open_picture(png_of(0, deep[..., :1]), exact=True), exact=True)
    assert gray.look.deep
    assert np.array_equal(gray.bits, BITS)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "HSV"])
def test_colours_that_have_to_be_converted_are_not_called_exact(mode):
    picture = Image.fromarray(coloured((1, 2, 3), (200, 100, 0))).convert("RGB" if mode != "LAB" else "L")
    picture = Image.new(mode, picture.size) if mode == "LAB" else picture.convert(mode)
    with pytest.raises(ImageError, match=f"in {mode}: convert it to RGB"):
        to_drawing(picture, exact=True)
    assert to_drawing(picture, threshold=50, exact=True).bits.shape == BITS.shape
    assert to_drawing(picture).bits.shape == BITS.shape


def test_animations_are_refused(tmp_path):
    frames = [Image.fromarray(coloured(0, level)) for level in (255, 100)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="several frames"):
        open_picture((tmp_path / "a.gif").read_bytes())


@pytest.mark.parametrize(
    "array",
    [np.zeros((0, 5), np.uint8), np.zeros((1, 70000), np.uint8), np.zeros((3, 3, 2), np.uint8), np.zeros((3, 3))],
)
def test_arrays_that_are_no_pictures_are_refused(array):
    with pytest.raises(ImageError):
        to_drawing(array)


@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (29, 57), (5, 300)])
def test_fields_round_trip(shape):
    bits = np.random.default_rng(0).integers(0, 2, shape, np.uint8)
    fields, inside = to_fields(bits)
    assert inside.sum() == bits.size
    assert not fields[~inside].any()
    assert np.array_equal(from_fields(fields, *shape), bits)


def test_transparency_is_never_lost_silently():
    transparent = saved(Image.fromarray(BITS * np.uint8(255)), transparency=0)
    assert len(to_drawing(transparent, exact=True).look.ink) == 4
    rows = [row.tobytes() for row in coloured(300, 65000, np.dtype(">u2"))]
    with pytest.raises(ImageError, match="transparent"):
        to_drawing(open_picture(png_of_rows(0, 16, 12, rows, png_chunk(b"tRNS", struct.pack(">H", 300)))))


def test_a_transparent_level_of_few_bits_is_not_taken_for_another():
    for depth, top in ((1, 1), (2, 3), (4, 15)):
        rows = [b"\xff" * depth + b"\0" * depth] * 3  # 8 light pixels, which are transparent, and 8 dark ones
        data = png_of_rows(0, depth, 16, rows, png_chunk(b"tRNS", struct.pack(">H", top)))
        for exact in (False, True):
            look = read_drawing(data, exact=exact).look
            assert {look.paper, look.ink} == {(255, 255, 255, 0), (0, 0, 0, 255)}
            if depth == 1:
                with Image.open(io.BytesIO(data)) as opened:
                    look = to_drawing(opened, exact=exact).look
                assert {look.paper, look.ink} == {(255, 255, 255, 0), (0, 0, 0, 255)}
                continue
            with pytest.raises(ImageError, match="transparent level"), Image.open(io.BytesIO(data)) as opened:
                to_drawing(opened, exact=exact)


def test_transparency_of_a_palette_is_kept():
    colours = bytes([10, 20, 30, 255, 10, 20, 30, 0])  # blue, green, red, opacity: as a TGA file has them
    head = struct.pack("<BBBHHBHHHHBB", 0, 1, 1, 0, 2, 32, 0, 0, 12, 9, 8, 0x20)
    data = head + colours + BITS.tobytes()
    if PILLOW < (12, 1):
        with pytest.raises(ImageError, match="damaged"):
            read_drawing(data, exact=True)
        return
    look = read_drawing(data, exact=True).look
    assert {look.paper, look.ink} == {(30, 20, 10, 255), (30, 20, 10, 0)}


def test_a_picture_that_is_a_program_is_not_run(monkeypatch):
    def run(*args, **kwargs):
        raise AssertionError("Ghostscript was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", run)
    data = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 28 28\n%%EndComments\n{ } loop\n%%EOF\n"
    with pytest.raises(ImageError, match="vector format EPS is not supported"):
        open_picture(data)
    assert {".eps", ".ps", ".wmf"}.isdisjoint(picture_suffixes())
    assert {".png", ".tif", ".jpg", ".pbm"} <= picture_suffixes()


def test_formats_of_which_bits_may_get_lost_are_not_called_exact():
    deep = np.where(BITS == 1, np.uint16(0x01F0), np.uint16(0x0110))  # which differ in the low bytes only
    head = struct.pack(">HBBHHHHii", 474, 0, 2, 2, 12, 9, 1, 0, 65535).ljust(512, b"\0")
    data = head + deep.astype(">u2").tobytes()
    assert open_picture(data).size == (12, 9)
    with pytest.raises(ImageError, match="as it is SGI: save it as PNG"):
        open_picture(data, exact=True)


def test_contact_sheets_show_what_a_viewer_shows():
    deep = contact_sheet([[Drawing(BITS, Look((1000,), (60000,), True))]])
    assert len(np.unique(np.asarray(deep))) == 3
    clear = np.asarray(contact_sheet([[Drawing(BITS, Look((0, 0, 0, 0), (0, 0, 0, 255)))]]))
    assert (clear == 128).any()
    assert (clear == 0).any()


def test_contact_sheet_holds_every_drawing():
    sheet = contact_sheet(square([Drawing(BITS)] * 5), scale=2)
    assert sheet.size == (2 * (3 * 12 + 4 * 2), 2 * (2 * 9 + 3 * 2))
    assert (np.asarray(sheet) == 255).sum() == 5 * BITS.sum() * 4
