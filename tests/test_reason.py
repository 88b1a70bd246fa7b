"""Files that are exact though that was not asked for say why: in one byte, or three where they are of version 1."""

from __future__ import annotations

import io

import numpy as np
import pytest
import reference1
import reference2
from conftest import TINY
from PIL import Image
from reference import Layers

import vlae_codec.pillow  # noqa: F401
from vlae_codec import codec, container, zoo
from vlae_codec.container2 import NO_MODEL, Header2, explained, is_version2, read_file2, unexplained, write_file2
from vlae_codec.errors import FormatError, TruncatedError, VlaeError
from vlae_codec.picture.drawing import Drawing
from vlae_codec.picture.metadata import Metadata
from vlae_codec.picture.raster import Geometry, PixelFormat
from vlae_codec.raw import encode as raw_encode
from vlae_codec.reason import Reason

DATA = bytes(range(16))


def old(tiny):
    """An exact file of version 1: of the smallest model."""
    bits = np.kron(np.eye(7, dtype=np.uint8), np.ones((4, 4), np.uint8))
    (made,) = codec.encode([Drawing(bits)], tiny, lossless=True, effort=0)
    return bits, made.data


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("metadata", [Metadata(), Metadata(xmp=b"<x/>")])
@pytest.mark.parametrize("model", [NO_MODEL, 9, DATA[:8]])
def test_a_reason_takes_one_byte_of_version_2(reason, metadata, model):
    header = Header2(model, Geometry(30, 20, PixelFormat()), reason)
    plain = Header2(model, header.geometry)
    data = write_file2(header, metadata, DATA)
    contents = read_file2(data)
    assert (contents.header, contents.metadata) == (header, metadata)
    assert data[contents.start : contents.end] == DATA
    assert len(data) == len(write_file2(plain, metadata, DATA)) + 1
    assert is_version2(data)
    assert not container.is_archive(data)


@pytest.mark.parametrize("reason", Reason)
def test_a_file_of_version_1_takes_two_bytes_more(reason, tiny):
    bits, data = old(tiny)
    file = explained(data, reason)
    assert len(file) == len(data) + 2
    assert unexplained(file) == (reason, data) == reference2.unexplained(file)
    assert unexplained(data) == (None, data)
    assert not container.is_archive(file)
    assert not is_version2(file)
    decoded = codec.decode([file], model=tiny)[0]
    assert np.array_equal(decoded.drawing.bits, bits)
    about, before = codec.inspect(file, tiny), codec.inspect(data, tiny)
    told = {
        "bytes": len(file),
        "format_version": 2,
        "why": reason.told(),
        "kept_exactly": True,
        "sample_bytes": bits.size,
    }
    assert about == {**before, **told}
    assert (before["why"], before["kept_exactly"], about["kept_exactly"]) == (None, False, True)
    unknown = codec.inspect(file)
    assert (unknown["bytes"], unknown["format_version"], unknown["width"]) == (len(file), 1, 28)


def test_slow_readers_read_what_has_a_reason(tiny):
    bits, data = old(tiny)
    reason, rest = reference2.unexplained(explained(data, Reason.UNLIKE))
    layers = Layers(zoo.load(TINY).arrays)
    assert reason == Reason.UNLIKE
    assert reference1.decode(rest, layers)["bits"] == np.packbits(bits).tobytes().hex()
    picture = Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30))
    made = codec.compress(picture, lossless=True)
    contents = read_file2(made)
    header = Header2(contents.header.model, contents.header.geometry, Reason.NO_LARGER)
    about, _, pixels = reference2.read(write_file2(header, Metadata(), made[contents.start : contents.end]))
    assert about["reason"] == Reason.NO_LARGER
    assert np.array_equal(np.array(pixels)[..., 0], np.asarray(picture))
    assert raw_encode(codec.decode([made])[0].raster) == made[contents.start : contents.end]


def test_every_flipped_bit_of_a_reason_is_found(tiny):
    _, data = old(tiny)
    file = explained(data, Reason.UNLIKE)
    for place in range(8 * len(file)):
        damaged = bytearray(file)
        damaged[place // 8] ^= 0x80 >> place % 8
        with pytest.raises(VlaeError) as caught:
            codec.decode([bytes(damaged)], model=tiny)
        assert "\n" not in str(caught.value)
    for size in range(4):
        with pytest.raises(FormatError):
            codec.inspect(file[:size])
    with pytest.raises(TruncatedError):
        unexplained(file[:2])


def test_what_a_drawing_s_model_keeps_exactly_says_why(run, tmp_path):
    """A comb of 28x28: foreign to all models, and cheapest as an exact file of one of them."""
    bits = np.zeros((28, 28), np.uint8)
    bits[4:24:4, 4:24] = 1
    data = codec.compress(bits * np.uint8(255))
    about = codec.inspect(data)
    assert about["kind"] == "lossless"
    assert about["why"] == Reason.UNLIKE.told()
    (tmp_path / "comb.vlz").write_bytes(data)
    run("test", "comb.vlz")
    run("decompress", "comb.vlz")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "comb.png")) > 0, bits == 1)
    with Image.open(io.BytesIO(data)) as opened:
        assert np.array_equal(np.asarray(opened) > 0, bits == 1)


def test_a_model_that_was_asked_for_is_named_where_its_name_is_known():
    assert Reason.UNLIKE_GIVEN.told("mnist") == "it is unlike what the model mnist was trained on"
    assert Reason.UNLIKE_GIVEN.told() == "it is unlike what the model that was asked for was trained on"
