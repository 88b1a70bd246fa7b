"""Laws of pictures without a model: exact, never larger than need be, and closed to hostile bytes."""

from __future__ import annotations

import base64
import io
import json
import lzma
import tracemalloc
import zlib
from pathlib import Path

import make_golden_raw
import numpy as np
import photographs
import pytest
import reference2
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rasters import FORMATS, raster

from vlae_codec import raw, zoo
from vlae_codec.coding.deflate import deflate
from vlae_codec.container2 import NO_MODEL, Header2, read_file2, write_file2
from vlae_codec.errors import FormatError, ImageError, TruncatedError
from vlae_codec.family import Ask
from vlae_codec.picture import raster as pixels
from vlae_codec.picture import rows
from vlae_codec.picture.metadata import Metadata
from vlae_codec.picture.png import write_png
from vlae_codec.picture.raster import MOST_PIXELS, Geometry, Kind, PixelFormat, Raster
from vlae_codec.picture.reading import read_given, read_picture
from vlae_codec.raw.codec import Coder
from vlae_codec.raw.forms import Less
from vlae_codec.raw.streams import Shape

SIZES = [(1, 1), (1, 9), (9, 1), (13, 29), (40, 56)]


def same(one: Raster, other: Raster) -> bool:
    """Whether both are the same picture in the same format."""
    types = one.format == other.format and one.samples.dtype == other.samples.dtype
    return types and np.array_equal(one.samples, other.samples)


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_every_kind_of_picture_round_trips(form, smooth):
    for height, width in SIZES:
        picture = raster(form, height, width, smooth=smooth)
        assert same(raw.decode(picture.geometry, raw.encode(picture)), picture)


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_one_colour_takes_a_few_bytes(form):
    picture = raster(form, 1, 1)
    large = Raster(np.tile(picture.samples, (999, 999, 1)), form)
    data = raw.encode(large)
    assert len(data) == 5 + picture.samples.nbytes
    assert same(raw.decode(large.geometry, data), large)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_picture_round_trips(data):
    form = data.draw(st.sampled_from(list(FORMATS.values())))
    height, width = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 40))
    picture = raster(form, height, width, data.draw(st.integers(0, 99)), data.draw(st.booleans()))
    assert same(raw.decode(picture.geometry, raw.encode(picture)), picture)


def test_what_was_tried_is_told_and_of_several_pictures_how_many_are_coded():
    told, coder = list[tuple[str, int, int]](), zoo.without_model(2)
    picture = raster(next(iter(FORMATS.values())), 40, 56)
    raw.encode(picture, progress=lambda *of: told.append(of))
    assert {done for _, done, _ in told} == {*range(1, max(total for *_, total in told) + 1)}
    assert told[-1][1] == told[-1][2] > 1
    told.clear()
    coder.encode([coder.view(picture, Ask(lossless=True))] * 3, Ask(lossless=True), lambda *of: told.append(of))
    assert [of[1:] for of in told] == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_samples_may_lie_in_memory_as_they_like(form):
    picture = raster(form, 12, 17)
    data = raw.encode(picture)
    padded = np.zeros((24, 34, form.channels), form.dtype)
    padded[::2, 1::2] = picture.samples
    for samples in (
        np.asfortranarray(picture.samples),
        padded[::2, 1::2],
        np.flipud(np.flipud(picture.samples).copy()),
    ):
        assert raw.encode(Raster(samples, form)) == data
        assert read_picture(write_png(Raster(samples, form)), exact=True).raster.format == picture.as_stored().format


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_planes_round_trip(dtype):
    plane = raster(FORMATS["gray 16" if dtype == np.uint16 else "gray 8"], 31, 17).samples[..., 0]
    again = raw.decode_plane(31, 17, dtype, raw.encode_plane(plane))
    assert again.dtype == dtype
    assert np.array_equal(again, plane)


def test_what_says_nothing_is_left_out():
    gray = raster(FORMATS["gray 16"], 30, 40, smooth=False).samples
    opaque = np.concatenate([gray, gray, gray, np.full_like(gray, 65535)], axis=2)
    wide = (opaque >> 8) * np.uint16(257)
    for samples, less in [(opaque, Less.COLOUR | Less.ALPHA), (wide, Less.COLOUR | Less.ALPHA | Less.LOW_BYTE)]:
        picture = Raster(samples, FORMATS["rgb 16 alpha"])
        data = raw.encode(picture)
        assert data[0] & 0xF0 == less
        assert same(raw.decode(picture.geometry, data), picture)
    few = Raster(gray[..., [0, 0, 0]] // 5000 * 5000, FORMATS["rgb 16"])
    assert raw.encode(few)[0] & 0xF0 == Less.COLOUR | Less.UNUSED
    assert same(raw.decode(few.geometry, raw.encode(few)), few)


# The format


GOLDEN = json.loads((Path(__file__).parent / "golden" / "version2" / "raw.json").read_text())


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_files_decode_for_ever_to_the_same_pixels(name):
    file, digest = base64.b64decode(GOLDEN[name][0]), GOLDEN[name][1]
    contents = read_file2(file)
    picture = raw.decode(contents.header.geometry, file[contents.start : contents.end])
    assert make_golden_raw.digest(picture) == digest
    assert picture.format == FORMATS[name.split(", ")[0]]


@pytest.mark.parametrize("name", GOLDEN)
def test_a_reader_written_from_the_specification_agrees(name):
    file = base64.b64decode(GOLDEN[name][0])
    contents = read_file2(file)
    picture = raw.decode(contents.header.geometry, file[contents.start : contents.end])
    about, said, pixels = reference2.read(file)
    form = picture.format
    assert np.array_equal(np.array(pixels), picture.samples)
    assert (about["kind"], about["depth"], about["alpha"]) == (form.kind.name.lower(), form.depth, form.alpha)
    assert tuple(map(tuple, about["palette"] or ())) == form.palette
    assert about["pair"] == (None if form.pair is None else list(map(list, form.pair)))
    assert said.get(5, b"") == contents.metadata.icc


# Rows


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_rows_pack_and_unpack(depth):
    rng = np.random.default_rng(depth)
    for width in (1, 3, 8, 13):
        for channels in (1, 2, 3):
            values = rng.integers(0, 1 << depth, (5, width, channels)).astype(np.uint16 if depth == 16 else np.uint8)
            packed = rows.pack(values, depth)
            assert packed.shape == (5, rows.row_bytes(width, channels, depth))
            assert np.array_equal(rows.unpack(packed, width, channels, depth), values)


@pytest.mark.parametrize("strip", [30, 1 << 22])
@pytest.mark.parametrize("step", [1, 2, 3, 4, 6, 8])
def test_filters_are_undone(step, strip, monkeypatch):
    monkeypatch.setattr(rows, "_STRIP_BYTES", strip)
    wild = np.random.default_rng(0).integers(0, 256, (9, 12 * step), np.uint8)
    for lines in (wild, np.cumsum(wild % 5, axis=1).astype(np.uint8)):
        for kind in rows.FILTERS:
            data = rows.filtered(lines, step, kind).tobytes()
            assert np.array_equal(rows.unfiltered(data, *lines.shape, step), lines)
        assert np.array_equal(
            rows.unfiltered(rows.adaptively_filtered(lines, step).tobytes(), *lines.shape, step), lines
        )


def test_filters_are_those_of_png():
    """Every filter, undone by its definition."""
    lines = np.random.default_rng(1).integers(0, 256, (4, 9), np.uint8)
    for kind in rows.FILTERS:
        assert np.array_equal(slowly_unfiltered(rows.filtered(lines, 3, kind), 3), lines)


def slowly_unfiltered(lines, step):
    out = np.zeros((len(lines) + 1, lines.shape[1] - 1 + step), np.int64)
    for y, line in enumerate(lines.tolist()):
        for x, value in enumerate(line[1:]):
            left, up, corner = out[y + 1, x], out[y, x + step], out[y, x]
            estimate = left + up - corner
            paeth = min((left, up, corner), key=lambda near: abs(estimate - near))  # the first of the nearest
            out[y + 1, x + step] = (value + [0, left, up, (left + up) // 2, paeth][line[0]]) & 255
    return out[1:, step:]


# Sizes


def saved(picture, kind, **options):
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return len(out.getvalue())


def g4_strip(bits):
    """Bytes of the fax strip of bits (H, W), of the better of the two ways to call them black and white."""
    sizes = []
    for black in (0, 1):
        out = io.BytesIO()
        Image.fromarray(bits == black).save(out, "TIFF", compression="group4", strip_size=1 << 24)
        with Image.open(io.BytesIO(out.getvalue())) as written:
            sizes.append(sum(written.tag_v2[279]))
    return min(sizes)


def pillow_image(picture):
    """The picture as its source would have it, and how Pillow saves it so; None for 16 bits a sample of colours."""
    stored = picture.as_stored()
    form, samples = stored.format, stored.samples.squeeze(axis=2) if stored.samples.shape[2] == 1 else stored.samples
    if form.depth == 16 and samples.ndim == 3:
        return None
    image, options = Image.fromarray(samples), {}
    if form.kind == Kind.PALETTE:
        image, options = Image.frombytes("P", image.size, samples.tobytes()), {"bits": form.depth}
        image.putpalette([value for entry in form.palette for value in entry[:3]])
        if form.alpha:
            options["transparency"] = bytes(entry[3] for entry in form.palette)
    return (image.convert("1") if form.kind == Kind.GRAY and form.depth == 1 else image), options


def rivals(picture):
    """Bytes of what else a user could keep the picture as. What holds no palette, or no colours of bits, is given them."""
    form, two, image = picture.format, picture.in_two(), pillow_image(picture)
    entries = 2 + sum(map(len, form.palette)) if form.palette else 0  # with their number
    colours = entries + (sum(map(len, form.pair)) * form.depth // 8 if form.pair else 0)
    plain = rows.pack(picture.samples, 1 if form.pair else max(8, form.depth)).tobytes()
    sizes = {"deflate": colours + len(deflate(plain)), "lzma": colours + len(lzma.compress(plain, lzma.FORMAT_ALONE))}
    if two:
        of_bits = entries + sum(map(len, two.format.pair)) * max(8, form.depth) // 8
        sizes["g4"] = of_bits + g4_strip(two.samples[..., 0])
    sizes["png"] = min(len(write_png(picture)), saved(image[0], "PNG", optimize=True, **image[1]) if image else 1 << 30)
    if form.depth <= 8:
        seen = picture.colours()
        shown = Image.fromarray(seen.squeeze(axis=2) if seen.shape[2] == 1 else seen)
        for quality, method in ((80, 4), (100, 6)):
            file = saved(shown, "WEBP", lossless=True, exact=True, quality=quality, method=method)
            sizes[f"webp {method}"] = entries + file
    return sizes


def drawn(kind):
    """Gray levels (60, 80) of something that people keep."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:60, :80]
    grain = rng.integers(-3, 4, (60, 80))
    blurred = np.array(Image.fromarray(rng.integers(0, 256, (10, 12), np.uint8)).resize((80, 60)), np.int64)
    levels = {
        "noise": rng.integers(0, 256, (60, 80)),
        "photograph": blurred + grain,
        "gradient": (x + y) * 255 // 138,
        "chess": (x // 10 + y // 10) % 2 * 255,
        "code": np.kron(rng.integers(0, 2, (12, 16)), np.ones((5, 5))) * 255,
        "circles": np.hypot(y - 30, x - 40).astype(int) // 5 % 4 * 85,
        "text": np.where((x % 7 < 5) & (y % 12 < 8), rng.integers(0, 2, (60, 80)), 1) * 255,
        "blank but for a dot": ((x == 50) & (y == 20)) * 255,
    }
    return np.clip(levels[kind], 0, 255).astype(np.uint8)


CONTENTS = ["noise", "photograph", "gradient", "chess", "code", "circles", "text", "blank but for a dot"]


def kept_as(levels, form):
    """The drawing in that format."""
    if form.pair:
        return Raster((levels > 127).astype(np.uint8)[..., None], form)
    if form.kind == Kind.PALETTE:
        return Raster((levels.astype(np.int64) * (len(form.palette) - 1) // 255).astype(np.uint8)[..., None], form)
    step = 255 // ((1 << min(form.depth, 8)) - 1)
    channels = [np.roll(levels, channel, axis=1) // step * np.uint8(step) for channel in range(form.channels)]
    samples = np.stack(channels, axis=2)
    return Raster(samples.astype(np.uint16) * np.uint16(257) if form.depth == 16 else samples, form)


def file_size(picture, payload):
    return len(write_file2(Header2(NO_MODEL, picture.geometry), Metadata(), payload))


@pytest.mark.parametrize("content", CONTENTS)
def test_no_file_is_larger_than_need_be(content):
    for name, form in FORMATS.items():
        picture = kept_as(drawn(content), form)
        payload = raw.encode(picture)
        assert same(raw.decode(picture.geometry, payload), picture)
        size, sizes = file_size(picture, payload), rivals(picture)
        assert size <= min(sizes.values()) + 12, (name, size, sizes)


def test_nor_is_that_of_a_picture_of_some_size():
    """Without any other effort than the usual one."""
    picture = read_given(synthetic.pictures(180, 260)["text"]).raster
    sizes = rivals(picture)
    assert file_size(picture, raw.encode(picture)) <= min(sizes.values()) + 12, sizes


def test_what_a_picture_will_take_can_be_estimated():
    for name in ("gray 1", "gray 16", "rgb 8", "palette 4 alpha"):
        for picture in (raster(FORMATS[name], 400, 500), raster(FORMATS[name], 9, 8)):
            size, guess = len(raw.encode(picture, 0)), raw.estimate_bytes(picture)
            assert 0.75 * size - 50 < guess < 1.25 * size + 50, name


@pytest.mark.parametrize("title", synthetic.pictures())
def test_no_estimate_is_far_above_the_file(title):
    """So that an exact file that is no larger than a lossy one is found, whatever the lossy one has."""
    for sides in ((48, 64), (180, 260)):
        picture = read_given(synthetic.pictures(*sides)[title]).raster
        size = len(raw.encode(picture, 2))
        assert raw.least_bytes(picture) <= size
        coder = zoo.without_model(2)
        assert coder.hoped_bits(coder.view(picture, Ask(lossless=True)), 8.0 * size) <= 8 * size


def drawings(height, width):
    """In two colours, by what they are of: 1 = ink."""
    rng = np.random.default_rng(3)
    down, across = np.mgrid[:height, :width]
    noise, shapes = rng.random((height, width)), np.zeros((height, width), np.uint8)
    for top, left in rng.integers((0, 0), (height, width), (200, 2)):
        shapes[(down - top) ** 2 + (across - left) ** 2 < rng.integers(4, 150)] ^= 1
    found = {"shapes": shapes, "noise": noise < 0.5, "specks": noise < 0.02}
    found |= {f"noise, {wide} wide, again and again": noise[:, across[0] % wide] < 0.5 for wide in (24, 37, width // 2)}
    found |= {"lines": down % 11 < 2, "slanted": (down + across) % 13 < 5, "circles": down**2 + across**2 & 512 > 0}
    return {title: drawing.astype(np.uint8) for title, drawing in found.items()}


def test_what_a_drawing_is_said_to_take_at_least_is_never_above_the_file():
    found = {}
    for title, drawing in drawings(300, 512).items():
        picture = Raster(255 * drawing[..., None], FORMATS["gray 1"]).in_two()
        found[title] = raw.least_bytes_of_drawing(picture)
        assert found[title] <= len(raw.encode(picture)), title
    assert found["shapes"] > 0


def test_of_photographs_a_rough_estimate_will_do():
    """It costs a small part of what a careful one does, and says that an exact file is far from a lossy one."""
    for form in (PixelFormat(), PixelFormat(Kind.RGB)):
        picture = photographs.picture(300, 400, form)
        assert raw.least_bytes(picture) > 0.2 * len(raw.encode(picture, 0))


def test_what_a_library_encodes_wrongly_is_not_taken(monkeypatch):
    picture = raster(FORMATS["rgb 8"], 20, 30)
    good = raw.encode(picture)
    assert good[0] & 15 != Coder.PLAIN
    for coder in Coder:
        if coder in raw.codec.WAYS and coder != Coder.PLAIN:
            wrong = type("Wrong", (type(raw.codec.WAYS[coder]),), {"encode": lambda *_: iter([b"", b"\0"])})
            monkeypatch.setitem(raw.codec.WAYS, coder, wrong.__new__(wrong))
            vars(raw.codec.WAYS[coder]).update({"_filtering": True, "_black": 1})
    safe = raw.encode(picture)
    assert safe[0] & 15 == Coder.PLAIN
    assert same(raw.decode(picture.geometry, safe), picture)


def test_of_a_huge_page_nothing_but_its_samples_is_held_whole(monkeypatch):
    """A byte a pixel they are; what is packed of them takes an eighth. Pillow's own picture, not traced, is as large."""
    monkeypatch.setattr(pixels, "_STRIP_PIXELS", 1 << 16)
    monkeypatch.setattr(raw.streams, "_STRIP_PIXELS", 1 << 16)
    lines = np.random.default_rng(0).integers(-1, 2, (2048, 10)).cumsum(axis=0) + np.arange(100, 2048, 200)
    bits = (np.abs(np.arange(2048)[:, None] - lines[:, None]) < 4).any(axis=2).astype(np.uint8)[..., None]
    page = Raster(bits, PixelFormat(depth=1, pair=((255,), (0,))))
    tracemalloc.start()
    try:
        data, held = raw.encode(page), tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        written = write_png(page)
        held = max(held, tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert data[0] & 15 in (Coder.G4_ONES, Coder.G4_ZEROS)
    assert held < 0.8 * bits.size
    assert same(raw.decode(page.geometry, data), page)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(written))), bits[..., 0] == 0)


# Damage and malice


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_a_flipped_or_missing_byte_gives_a_clear_error(form):
    picture = raster(form, 9, 11)
    data = raw.encode(picture)
    raw.verify(picture.geometry, data)
    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 1 << position % 8
        for damaged in (bytes(flipped), data[:position]):
            with pytest.raises(FormatError):
                raw.verify(picture.geometry, damaged)
            with pytest.raises(FormatError) as caught:
                raw.decode(picture.geometry, damaged)
            assert "\n" not in str(caught.value)


def sealed(coder, less, content):
    """A payload whose check holds, whatever it holds."""
    method = bytes([less | coder])
    return method + zlib.crc32(method + content).to_bytes(4, "big") + content


@given(
    st.sampled_from(list(FORMATS.values())),
    st.integers(0, 15),
    st.integers(0, 15).map(lambda bits: bits << 4),
    st.binary(max_size=60),
)
@settings(max_examples=1500, deadline=None)
def test_any_bytes_with_a_true_check_are_a_picture_or_give_a_clear_error(form, coder, less, content):
    geometry = Geometry(7, 5, form)
    try:
        picture = raw.decode(geometry, sealed(coder, less, content))
    except FormatError as error:
        assert "\n" not in str(error)
    else:
        assert picture.geometry == geometry
        assert same(raw.decode(geometry, raw.encode(picture)), picture)


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_damage_that_no_check_tells_is_a_picture_or_gives_a_clear_error(form):
    picture = raster(form, 12, 25)
    shape = Shape(12, 25, form.channels, 1 if form.pair else form.depth)
    rng = np.random.default_rng(0)
    payloads = [raw.encode(picture)]
    for coder, way in raw.codec.WAYS.items():
        if form.kind == Kind.GRAY and form.depth in (8, 16):
            payloads += [sealed(coder, 0, stream) for stream in way.encode(picture.samples, shape, 0)]
    for payload in payloads:
        for _ in range(60):
            content = bytearray(payload[5:])
            content[rng.integers(len(content))] ^= int(rng.integers(1, 256))
            try:
                again = raw.decode(picture.geometry, sealed(payload[0] & 15, payload[0] & 0xF0, bytes(content)))
            except FormatError as error:
                assert "\n" not in str(error)
            else:
                assert again.samples.shape == picture.samples.shape


def test_a_payload_of_another_geometry_is_refused():
    data = raw.encode(raster(FORMATS["rgb 8"], 20, 30))
    for other in (Geometry(30, 21, FORMATS["rgb 8"]), Geometry(30, 20, FORMATS["rgb 16"]), Geometry(2, 2)):
        with pytest.raises(FormatError):
            raw.decode(other, data)


BOMB = Geometry(1 << 14, 1 << 14, FORMATS["rgb 16 alpha"])


@pytest.mark.parametrize("coder", [coder for coder in Coder if coder != Coder.BLANK])
def test_a_small_file_that_claims_much_takes_little_memory(coder):
    geometry = Geometry(MOST_PIXELS, 1, FORMATS["rgb 8"]) if coder == Coder.WEBP else BOMB
    tracemalloc.start()
    with pytest.raises(FormatError):
        raw.decode(geometry, sealed(coder, 0, bytes(200)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 24


@pytest.mark.parametrize("kind", [Kind.RGB, Kind.GRAY])
def test_what_a_large_picture_is_said_to_take_needs_no_more_memory_than_the_picture(kind, monkeypatch):
    """Of 100 megapixels that were 2.4 GB: a number of 64 bits for each pixel, to see whether there are few colours."""
    monkeypatch.setattr(pixels, "_STRIP_PIXELS", 1 << 16)
    monkeypatch.setattr("vlae_codec.raw.estimate._STRIP", 1 << 16)
    samples = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3 if kind == Kind.RGB else 1), np.uint8)
    coder = zoo.without_model(2)
    view = coder.view(Raster(samples, PixelFormat(kind)), Ask(lossless=True))
    tracemalloc.start()
    coder.hoped_bits(view)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < samples.nbytes + (1 << 24)


def test_a_stream_that_holds_more_than_it_should_is_not_inflated():
    geometry = Geometry(10, 10)
    zeros = bytes(1 << 26)
    for coder, stream in [
        (Coder.DEFLATE, deflate(zeros)),
        (Coder.LZMA, lzma.compress(zeros, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}])),
    ]:
        tracemalloc.start()
        with pytest.raises(FormatError):
            raw.decode(geometry, sealed(coder, 0, stream))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 24


def test_samples_beyond_their_format_are_refused():
    for samples, form in [(5, FORMATS["palette 2"]), (2, FORMATS["two of gray 1"]), (7, FORMATS["gray 2"])]:
        picture = np.zeros((4, 4, 1), np.uint8)
        picture[1, 1] = samples
        with pytest.raises(ImageError):
            raw.encode(Raster(picture, form))
        with pytest.raises(FormatError):
            raw.decode(Geometry(4, 4, form), sealed(Coder.BLANK, 0, bytes([samples])))


def test_an_empty_payload_is_called_cut():
    for size in range(5):
        with pytest.raises(TruncatedError):
            raw.decode(Geometry(3, 3, PixelFormat()), bytes(size))


@pytest.mark.parametrize("form", ["two of gray 1", "rgb 8"])
def test_what_pillow_finds_too_large_is_decoded(form, monkeypatch):
    picture = raster(FORMATS[form], 40, 50)
    data = raw.encode(picture)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert same(raw.decode(picture.geometry, data), picture)
    assert Image.MAX_IMAGE_PIXELS == 100
