"""Laws of the file, version 2, that all families share."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasters import FORMATS

from vlae_codec import container
from vlae_codec.container2 import NO_MODEL, Header2, is_version2, read_file2, write_file2
from vlae_codec.errors import FormatError, TruncatedError
from vlae_codec.picture.metadata import Metadata, Resolution, Unit, read_metadata, write_metadata
from vlae_codec.picture.raster import Geometry

METADATA = Metadata(
    icc=bytes(range(256)) * 3,
    resolution=Resolution(2835, 2835),
    gamma=45455,
    cicp=bytes([9, 16, 0, 1]),
    srgb=2,
    exif=b"MM\0*",
    xmp=b"<x/>",
)
MODELS = [NO_MODEL, 9, 255, b"\0digest\0"]
PAYLOAD = b"what only the family knows"


def header(model=NO_MODEL, form="rgb 8"):
    return Header2(model, Geometry(300, 200, FORMATS[form]))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("metadata", [Metadata(), METADATA, METADATA.plain(), Metadata(xmp=b"x")])
def test_files_round_trip(model, metadata):
    for form in FORMATS:
        data = write_file2(header(model, form), metadata, PAYLOAD)
        contents = read_file2(data)
        assert (contents.header, contents.metadata) == (header(model, form), metadata)
        assert data[contents.start : contents.end] == PAYLOAD
        assert is_version2(data)
        assert not container.is_archive(data)


def test_the_common_part_takes_few_bytes():
    page = Header2(NO_MODEL, Geometry(1700, 2200, FORMATS["two of gray 1"]))
    assert len(write_file2(page, Metadata(), b"")) == 9


@pytest.mark.parametrize("metadata", [Metadata(), METADATA])
def test_a_cut_file_is_read_as_far_as_it_goes(metadata):
    data = write_file2(header(), metadata, PAYLOAD)
    whole = read_file2(data)
    for end in range(1, len(data)):
        if end < whole.start:
            with pytest.raises(TruncatedError):
                read_file2(data[:end])
            continue
        cut = read_file2(data[:end])
        assert (cut.header, cut.start, cut.end) == (whole.header, whole.start, min(whole.end, end))
        assert cut.metadata == (None if metadata == METADATA else metadata)


@pytest.mark.parametrize("model", MODELS)
def test_a_flipped_byte_gives_a_clear_error(model):
    data = write_file2(header(model, "palette 8 alpha"), METADATA, PAYLOAD)
    whole = read_file2(data)
    for position in [*range(whole.start), *range(whole.end, len(data))]:
        for flip in (1, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[position] ^= flip
            with pytest.raises(FormatError) as caught:
                read_file2(bytes(damaged))
            assert "\n" not in str(caught.value)


def test_what_follows_the_metadata_is_refused():
    with pytest.raises(FormatError, match="1 bytes follow"):
        read_file2(write_file2(header(), METADATA, PAYLOAD) + b"x")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\x89PNG", "not a vlz file"),
        (b"\xd7\x10\x01", "version 1"),
        (b"\xd7\x30\x01", "version 3"),
        (b"\xd7\x2c\x01", "archive"),
        (b"\xd7\x21\x01", "nobody knows that reason"),
        (b"\xd7\x21", "ends within its header"),
        (b"\xd7\x24\x00", "model 0"),
    ],
)
def test_what_is_no_such_file_is_refused(data, message):
    with pytest.raises(FormatError, match=message):
        read_file2(data)
    assert not is_version2(data) or data[1] >> 4 == 2


def test_version_1_says_that_it_is_too_old():
    with pytest.raises(FormatError, match="version 2, which is newer"):
        container.read_header(write_file2(header(), Metadata(), PAYLOAD))


@pytest.mark.parametrize("model", [-1, 256, b"short", b"much too long"])
def test_models_that_no_file_can_name_are_refused(model):
    with pytest.raises(ValueError, match="named by"):
        header(model)


def test_metadata_that_are_too_large_are_refused():
    with pytest.raises(ValueError, match="more than 2"):
        write_metadata(Metadata(icc=bytes(1 << 24)))
    bomb = write_metadata(Metadata(icc=bytes((1 << 24) - 8)))
    assert len(bomb) < 1 << 15
    assert len(read_metadata(bomb).icc) == (1 << 24) - 8


@pytest.mark.parametrize(
    "data",
    [
        b"\2",
        b"\0\1\1\4",  # no such intent
        b"\0\2\4\0\0\0\0",  # no gamma
        b"\0\3\3abc",
        b"\0\2\4abcd\1\1\0",  # not in order
        b"\0\5\0",
        b"\0\5\3ab",
        b"\0\x08\1a",
        b"\0\4\3\1\0\5",
        b"\0\4\3\3\5\5",
        b"\0\4\4\1\5\5\5",
        b"\1\xff\xff",
        b"\1\3\0more",
    ],
)
def test_damaged_metadata_are_refused(data):
    with pytest.raises(FormatError) as caught:
        read_metadata(data)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_metadata_or_give_a_clear_error(data):
    for form in (b"\0", b"\1", b""):
        try:
            metadata = read_metadata(form + data)
        except FormatError as error:
            assert "\n" not in str(error)
        else:
            assert read_metadata(write_metadata(metadata)) == metadata


def test_resolutions_are_told_in_inches():
    assert Resolution(11811, 11811).dots_per_inch == pytest.approx((300, 300), abs=0.001)
    assert Resolution(72000, 36000, Unit.MILLI_INCH).dots_per_inch == (72, 36)
    assert Resolution(1, 2, Unit.RATIO).dots_per_inch is None
    with pytest.raises(ValueError, match="two numbers"):
        Resolution(0, 1)
