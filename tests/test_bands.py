"""Pictures that come in bands of rows: the same as whole ones, never held whole, and written whole or not at all."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from grid_models import coder
from photographs import FORMS, picture
from PIL import Image
from rasters import FORMATS, raster

from vlae_codec import codec, many, zoo
from vlae_codec.errors import FormatError
from vlae_codec.family import Ask, Sampling
from vlae_codec.grid import tiles
from vlae_codec.grid.coder import GridParsed
from vlae_codec.picture import png
from vlae_codec.picture import raster as module
from vlae_codec.picture.metadata import Metadata
from vlae_codec.picture.png import write_png, write_png_bands
from vlae_codec.picture.raster import PixelFormat, Raster
from vlae_codec.picture.reading import read_picture

LOSSY, EXACT = Ask(effort=0), Ask(lossless=True, effort=0)
HEIGHT = 290
"""Of a picture of two tiles, one of them cut off."""


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a tile, so that a small picture has several rows of them."""
    monkeypatch.setattr(tiles, "_BLOCK", 1)


def parsed(form: PixelFormat, ask: Ask, size: tuple[int, int], missing: int = 0) -> GridParsed:
    """A file that lacks so many bytes."""
    view = coder().view(picture(*size, form), ask)
    data = coder().encode([view], ask)[0].data
    return coder().parse(view.geometry, data[: len(data) - missing], 0, missing > 0)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("form", "ask", "width"), [(FORMS[0], LOSSY, 270), (FORMS[1], EXACT, 18), (FORMS[2], EXACT, 18)], ids=str
)
def test_bands_are_the_picture(form: PixelFormat, ask: Ask, width: int) -> None:
    file = parsed(form, ask, (HEIGHT, width))
    for sampling in (Sampling(), Sampling(crop=(3, 250, width, 283)), Sampling(preview=True)):
        whole = coder().decode([file], [sampling])[0][0]
        banded = coder().bands(file, sampling)
        bands = list(banded.bands)
        assert len(bands) == 2
        assert banded.geometry == whole.raster.geometry
        assert np.array_equal(np.concatenate([band.samples for band in bands]), whole.raster.samples)
        assert (banded.exact_samples, banded.sampled_samples) == (whole.exact_samples, whole.sampled_samples)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("region", [(0, 0, 1, 1), (3, 250, 270, 283), (100, 9, 233, 264)], ids=str)
def test_a_region_of_a_preview_is_that_of_the_whole(region: tuple[int, int, int, int]) -> None:
    file = parsed(FORMS[0], LOSSY, (HEIGHT, 270))
    ((whole, part),) = coder().decode([file], [Sampling(preview=True), Sampling(preview=True, crop=region)])
    left, top, right, bottom = region
    assert np.array_equal(part.raster.samples, whole.raster.samples[top:bottom, left:right])


@pytest.mark.usefixtures("small_blocks")
def test_a_file_that_is_cut_comes_in_bands_too() -> None:
    file = parsed(FORMS[0], EXACT, (HEIGHT, 18), missing=5)
    banded = coder().bands(file, Sampling(partial=True, temperature=1.0))
    assert not banded.whole
    assert banded.exact_samples == 3 * 256 * 18
    assert banded.sampled_samples == 3 * (HEIGHT - 256) * 18
    whole = coder().decode([file], [Sampling(partial=True, temperature=1.0)])[0][0]
    assert np.array_equal(banded.joined().raster.samples, whole.raster.samples)


@pytest.mark.usefixtures("small_blocks")
def test_no_more_than_a_band_is_held() -> None:
    """Once the latents are read, whatever the height of the picture."""
    peaks = []
    for height in (768, 768, 1280):  # the first time much is made once and for all
        banded = coder().bands(parsed(FORMS[0], LOSSY, (height, 300)), Sampling(temperature=0.0))
        tracemalloc.start()
        try:
            for _ in banded.bands:
                pass
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[2] - peaks[1] < 256 * 300


def cut(whole: Raster, rows: int) -> Iterator[Raster]:
    for top in range(0, len(whole.samples), rows):
        yield Raster(whole.samples[top : top + rows], whole.format)


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("size", [(9, 7), (70, 81)], ids=str)
def test_png_files_are_written_in_bands(
    monkeypatch: pytest.MonkeyPatch, form: PixelFormat, size: tuple[int, int]
) -> None:
    """Small ones, and such as are deflated while they come."""
    monkeypatch.setattr(png, "_THOROUGH_BYTES", 200)
    monkeypatch.setattr(module, "_STRIP_PIXELS", 1 << 10)
    whole = raster(form, *size)
    for rows in (1, 33):
        out = io.BytesIO()
        write_png_bands(out, whole.geometry, cut(whole, rows), Metadata(gamma=45455))
        again = read_picture(out.getvalue(), exact=True)
        assert again.metadata.gamma == 45455
        assert again.raster.format == whole.as_stored().format
        assert np.array_equal(again.raster.samples, whole.as_stored().samples)
        assert out.getvalue() == write_png(whole, Metadata(gamma=45455))


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A file in the folder that is worked in; pictures of its size come in bands."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(many, "_BANDED_PIXELS", 1)
    samples = picture(HEIGHT, 18).samples
    Image.fromarray(samples).save("photo.png")
    model = zoo.named(zoo.PHOTO)
    data = codec.encode([read_picture(Path("photo.png").read_bytes()).raster], model, lossless=True, effort=0)[0].data
    Path("photo.vlz").write_bytes(data)
    return data


def test_decompress_writes_bands(run, photo: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "_BLOCK", 1)
    said = json.loads(run("decompress", "photo.vlz", "-o", "bands.png", "--json").stdout)
    assert np.array_equal(np.asarray(Image.open("bands.png")), np.asarray(Image.open("photo.png")))
    monkeypatch.setattr(many, "_BANDED_PIXELS", 1 << 23)
    whole = json.loads(run("decompress", "photo.vlz", "-o", "whole.png", "--json").stdout)
    assert Path("bands.png").read_bytes() == Path("whole.png").read_bytes()
    assert [{**row, "output": ""} for row in said] == [{**row, "output": ""} for row in whole]
    assert said[0]["exact_pixels"] == HEIGHT * 18


def test_other_formats_and_pipes_take_it_whole(run, photo: bytes) -> None:
    run("decompress", "photo.vlz", "-o", "photo.bmp")
    assert np.array_equal(np.asarray(Image.open("photo.bmp")), np.asarray(Image.open("photo.png")))
    (one,) = many.decompress_files(["photo.vlz"], in_bands=True)
    assert one.banded is not None
    assert np.array_equal(one.result()[0].raster.samples, np.asarray(Image.open("photo.png")))
    (whole,) = many.decompress_files(["photo.vlz"])
    assert whole.banded is None


def test_a_damaged_band_leaves_nothing(run, photo: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "_BLOCK", 1)
    damaged = photo[:-3] + bytes([photo[-3] ^ 16]) + photo[-2:]
    Path("damaged.vlz").write_bytes(damaged)
    banded = codec.decode_bands(damaged)
    assert banded is not None
    first = next(banded.bands)
    assert np.array_equal(first.samples, np.asarray(Image.open("photo.png"))[:256])
    with pytest.raises(FormatError, match="damaged"):
        next(banded.bands)
    Path("there.png").write_bytes(b"as it was")
    before = sorted(path.name for path in Path().iterdir())
    assert "damaged" in run("decompress", "damaged.vlz", "-o", "new.png", expect=1).stderr
    assert "damaged" in run("decompress", "damaged.vlz", "-o", "there.png", "-f", expect=1).stderr
    assert sorted(path.name for path in Path().iterdir()) == before
    assert Path("there.png").read_bytes() == b"as it was"


def test_drawings_come_whole(tiny) -> None:
    data = codec.encode([raster(FORMATS["gray 1"], 28, 28)], tiny)[0].data
    assert codec.decode_bands(data, model=tiny) is None
