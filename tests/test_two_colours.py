"""Pictures in two colours from every kind of file, of every size and content: exact, small, and refused in one line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import picture_files as made
import pytest
from make_golden_ink import drawing
from PIL import Image
from rasters import of_colours

from vlae_codec import codec, many, zoo
from vlae_codec.picture.images import picture_of
from vlae_codec.picture.raster import PixelFormat, Raster
from vlae_codec.picture.reading import Readable, read_picture
from vlae_codec.picture.writing import same_colours
from vlae_codec.raw import encode as raw_encode
from vlae_codec.reason import Reason

FORMATS = {"PNG", "TIFF", "PBM", "BMP", "GIF"}


def saved(picture, kind, **options):
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def test_files_of_1_2_4_and_8_bits_come_back_as_they_are(tmp_path):
    """Those that are written by hand: two colours each, at every depth and kind of colour."""
    files = [file for file in made.every_file() if file.format in FORMATS and file.depth in ("1", "2", "4", "8")]
    assert {file.format for file in files} == FORMATS
    paths = [tmp_path / f"{number}.{file.format.lower()}" for number, file in enumerate(files)]
    for path, file in zip(paths, files, strict=True):
        path.write_bytes(file.data)
    exact = 0
    for file, one in zip(files, many.compress_files(paths, effort=0), strict=True):
        if one.error:
            assert "\n" not in str(one.error)
            continue
        assert codec.inspect(one.encoded.data)["width"] == made.WIDTH
        if one.encoded.ledger.kept_exactly:
            exact += 1
            assert same_colours(codec.decode([one.encoded.data])[0].raster, of_colours(file.truth)), file.title
    assert exact > 0.7 * len(files)


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt", "tiff_lzw", "packbits", "raw"])
@pytest.mark.parametrize("white", [0, 1])
def test_tiffs_of_every_compression_come_back(compression, white):
    """white: PhotometricInterpretation, 0 if 0 is white."""
    bits = drawing(90, 131)
    data = saved(Image.fromarray(bits == 0), "TIFF", compression=compression, tiffinfo={262: white})
    original = read_picture(data, exact=True).raster
    (made_file,) = [codec.kept(one) for one in codec.smallest(*seen(data))]
    decoded = codec.decode([made_file.encoded.data])[0].raster
    assert same_colours(decoded, original)
    assert made_file.encoded.ledger.why == Reason.UNLIKE.told()
    assert len({int(level) for level in np.unique(original.colours())}) == 2


def seen(data):
    from vlae_codec.choose import chooser
    from vlae_codec.family import Ask

    choice = chooser(Ask())
    return choice, [choice.see(Readable.of_file(data, "a file"))]


SIZES = {
    "1x1, blank": np.zeros((1, 1)),
    "1x1, ink": np.ones((1, 1)),
    "1x65535": np.eye(1, 65535, 40000),
    "65535x1": np.eye(65535, 1),
    "blank": np.zeros((300, 200)),
    "all ink": np.ones((300, 200)),
    "noise": np.random.default_rng(0).integers(0, 2, (300, 211)),
    "stripes": np.arange(300 * 211).reshape(300, 211) % 2,
}


@pytest.mark.parametrize("title", SIZES)
def test_any_size_and_content_takes_no_more_than_without_a_model(title):
    bits = SIZES[title].astype(np.uint8)
    levels = bits * np.uint8(255)
    ink = zoo.named("ink")
    for lossless in (True, False):
        data = codec.compress(levels, lossless=lossless)
        two = Raster(levels[..., None], PixelFormat()).in_two()
        header = 12
        assert len(data) <= len(raw_encode(two)) + header
        if codec.inspect(data)["kind"] == "lossless":
            assert np.array_equal(np.asarray(codec.decompress(data)), levels)
    two = Raster(levels[..., None], PixelFormat()).in_two()
    (made_file,) = codec.encode([two], ink, lossless=True)
    assert len(made_file.data) <= -(-bits.size // 8) + 17
    assert np.array_equal(codec.decode([made_file.data])[0].raster.colours()[..., 0], levels)


def test_damaged_files_are_one_line_and_nothing_is_lost(run):
    picture = drawing(90, 131)
    data = codec.compress(picture * np.uint8(255))
    assert codec.inspect(data)["model"] == "ink"
    Path("good.vlz").write_bytes(data)
    Path("cut.vlz").write_bytes(data[: len(data) // 2])
    Path("flipped.vlz").write_bytes(data[:-9] + bytes([data[-9] ^ 4]) + data[-8:])
    Path("longer.vlz").write_bytes(data + b"more")
    Path("claims.vlz").write_bytes(data[:4] + b"\xff\xff\x03\xff\xff\x7f" + data[7:])
    said = run("decompress", "good.vlz", "cut.vlz", "flipped.vlz", "longer.vlz", "claims.vlz", "-o", "out/", expect=1)
    lines = [line for line in said.stderr.splitlines() if line.startswith("Error: ")]
    assert [line.split(":")[1].strip() for line in lines] == ["cut.vlz", "flipped.vlz", "longer.vlz", "claims.vlz"]
    assert [path.name for path in Path("out").iterdir()] == ["good.png"]
    assert np.array_equal(np.asarray(Image.open("out/good.png")) > 0, picture == 1)
    (row,) = json.loads(run("test", "flipped.vlz", "--json", expect=1).stdout)
    assert len(row["problems"]) == 1
    assert picture_of(codec.decode([data])[0].raster).size == (131, 90)
