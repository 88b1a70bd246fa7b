"""The currency of pictures: its forms, and the bytes of its geometry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasters import FORMATS, raster

from vlae_codec.coding.bits import varint
from vlae_codec.errors import FormatError, ImageError, TruncatedError
from vlae_codec.picture.raster import (
    MOST_PIXELS,
    Geometry,
    Kind,
    PixelFormat,
    Raster,
    read_geometry,
    write_geometry,
)

SIZES = [(1, 1), (28, 28), (300, 7), (1, MOST_PIXELS), (MOST_PIXELS, 1), (1 << 14, 1 << 14), (65535, 4095)]


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_a_geometry_round_trips_and_a_cut_one_is_called_so(form):
    for width, height in SIZES:
        geometry = Geometry(width, height, form)
        data = write_geometry(geometry)
        assert read_geometry(b"ab" + data + b"c", 2) == (geometry, 2 + len(data))
    for end in range(len(data)):
        with pytest.raises(TruncatedError):
            read_geometry(data[:end], 0)


def test_usual_geometries_take_few_bytes():
    assert len(write_geometry(Geometry(1700, 2200, FORMATS["two of gray 1 inverted"]))) == 5
    assert len(write_geometry(Geometry(100, 100, FORMATS["rgb 8"]))) == 3
    assert len(write_geometry(Geometry(100, 100, FORMATS["two of rgb 8"]))) == 9
    assert len(write_geometry(Geometry(100, 100, FORMATS["palette 8"]))) < 40


@pytest.mark.parametrize(
    ("width", "height"), [(0, 1), (1, 0), (MOST_PIXELS, 2), ((1 << 35) - 1, 1), (1 << 15, 1 << 14)]
)
def test_sizes_that_no_picture_has_are_refused(width, height):
    with pytest.raises(FormatError, match=f"{width}x{height} pixels"):
        read_geometry(b"\x0c" + varint(width) + varint(height), 0)
    with pytest.raises(ValueError, match="pixels"):
        Geometry(width, height)


@given(st.binary(max_size=40), st.booleans())
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_a_geometry_or_give_a_clear_error(data, plain_size):
    data = data[:1] + b"\5\6" + data[1:] if plain_size else data
    try:
        geometry, end = read_geometry(data, 0)
    except FormatError as error:
        assert "\n" not in str(error)
    else:
        assert read_geometry(write_geometry(geometry), 0)[0] == geometry
        assert end <= len(data)


@pytest.mark.parametrize(
    "fields",
    [
        {"depth": 3},
        {"kind": Kind.RGB, "depth": 4},
        {"alpha": True, "depth": 1},
        {"kind": Kind.PALETTE},
        {"palette": ((1, 2, 3),)},
        {"kind": Kind.PALETTE, "depth": 16, "palette": ((1, 2, 3),)},
        {"kind": Kind.PALETTE, "depth": 1, "palette": ((1, 2, 3),) * 3},
        {"kind": Kind.PALETTE, "palette": ((1, 2, 3, 4),)},
        {"kind": Kind.PALETTE, "palette": ((1, 2, 256),)},
        {"pair": ((0,), (256,))},
        {"pair": ((0, 0), (1, 1))},
        {"depth": 2, "pair": ((0,), (84,))},
        {"kind": Kind.PALETTE, "palette": ((1, 2, 3),), "pair": ((0,), (1,))},
    ],
)
def test_formats_that_do_not_exist_are_refused(fields):
    with pytest.raises(ValueError, match=r"."):
        PixelFormat(**fields)


@pytest.mark.parametrize("samples", [np.zeros((3, 3)), np.zeros((3, 3, 3), np.uint8), np.zeros((0, 3, 1), np.uint8)])
def test_samples_that_are_not_of_their_format_are_refused(samples):
    with pytest.raises(ImageError):
        Raster(samples, PixelFormat())


@pytest.mark.parametrize(
    "form", [form for form in FORMATS.values() if form.pair], ids=[n for n in FORMATS if "two" in n]
)
def test_two_colours_are_found_in_what_is_stored(form):
    two = raster(form, 9, 12)
    stored = two.as_stored()
    again = stored.in_two()
    assert stored.format.pair is None
    assert again is not None
    assert again.samples.sum() * 2 <= again.samples.size, "the foreground is the rarer colour"
    assert np.array_equal(again.as_stored().samples, stored.samples)
    assert two.in_two() is two
    assert stored.as_stored() is stored
    assert np.array_equal(two.colours(), stored.colours())


def test_one_colour_is_all_background_and_three_are_not_two():
    blank = Raster(np.full((4, 5, 3), 9, np.uint8), FORMATS["rgb 8"]).in_two()
    assert blank is not None
    assert blank.format.pair == ((9, 9, 9), (9, 9, 9))
    assert not blank.samples.any()
    assert Raster(np.arange(3, dtype=np.uint8).reshape(1, 3, 1), PixelFormat()).in_two() is None


def test_colours_of_a_palette_are_its_entries():
    picture = raster(FORMATS["palette 4 alpha"], 5, 6)
    entries = np.array(picture.format.palette, np.uint8)
    assert np.array_equal(picture.colours(), entries[picture.samples[..., 0]])
