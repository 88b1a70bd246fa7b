"""Laws of the released photo model: what its files promise, held on small photographs and made-up text."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import vlae_codec
from vlae_codec import zoo
from vlae_codec.exact.logistics import MEAN_BITS
from vlae_codec.family import Ask, Sampling
from vlae_codec.grid import tiles
from vlae_codec.grid.coder import GridCoder
from vlae_codec.grid.colour import to_ycocg
from vlae_codec.grid.grain import STRENGTH_BITS, Drawing, fine
from vlae_codec.grid.model import Model
from vlae_codec.picture.raster import Kind, PixelFormat, Raster

SHIPPED = sorted((Path(vlae_codec.__file__).parent / "pictures").glob("*.webp"))
FULL = 1 << STRENGTH_BITS
"""The temperature 1."""


@cache
def model() -> Model:
    coder = zoo.named(zoo.PHOTO)
    assert isinstance(coder, GridCoder)
    return coder.model


@cache
def photographs() -> tuple[np.ndarray, ...]:
    """Those that ship: (144, 216, 3) or so, sides divisible by 8."""
    found = [np.asarray(Image.open(path).convert("RGB")) for path in SHIPPED]
    return tuple(one[: len(one) // 8 * 8, : one.shape[1] // 8 * 8] for one in found)


def crops(count: int, height: int, width: int) -> list[np.ndarray]:
    """Pieces of the photographs, side by side."""
    found = [
        one[top : top + height, left : left + width]
        for one in photographs()
        for top in range(0, len(one) - height + 1, height)
        for left in range(0, one.shape[1] - width + 1, width)
    ]
    assert len(found) >= count
    return found[:count]


def encoded(samples: np.ndarray, ask: Ask) -> tuple[int, float]:
    """Bytes of a payload, and the mean squared error of what it decodes to without texture."""
    coder = zoo.named(zoo.PHOTO)
    (made,) = coder.encode([coder.view(Raster(samples, PixelFormat(Kind.RGB)), ask)], ask)
    return len(made.data), 255**2 / 10 ** (made.figures["psnr_db"] / 10)


def textures(samples: np.ndarray, quality: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What a photograph loses and what is drawn for it at temperature 1, before clipping: (H, W, 3) in YCoCg."""
    height, width, _ = samples.shape
    box, grain = tiles.Box(0, 0, height, width), model().grain
    assert grain
    z = np.floor(model().encoder.means(samples, quality) * 2.0**-12 + 0.5).astype(np.int32) << MEAN_BITS
    region = tiles.decode_block(model().decoder, z, quality, box, False)
    added = grain.textured(region, box, (height, width), Drawing(seed, FULL, 3)) - region.planes
    return to_ycocg(samples) - region.planes, added


def test_texture_has_the_energy_of_the_true_one_and_keeps_means() -> None:
    """In luma within a factor of two of what is finer than the code, and from a quality of 10 on of all that is lost; 99.9 %
    of blocks of 16x16 keep their mean within 2 of 255.
    """
    kept = []
    for quality in (0, 24, 64, 128, 192, model().qualities - 1):
        lost, true, drawn = 0.0, 0.0, 0.0
        for seed, samples in enumerate(photographs()):
            own, made = textures(samples, quality, seed)
            lost, drawn = lost + (own[..., 0] ** 2).mean(), drawn + (made[..., 0] ** 2).mean()
            true += ((fine(own)[..., 0] / FULL) ** 2).mean()
            blocks = made[: len(made) // 16 * 16, : made.shape[1] // 16 * 16, 0]
            means = blocks.reshape(len(blocks) // 16, 16, -1, 16).mean((1, 3))
            kept.append(np.abs(means).reshape(-1) < 2)
        assert 0.5 < drawn / true < 2, quality
        assert (0.5 if quality else 0.45) < drawn / lost < 2, quality
    assert np.concatenate(kept).mean() >= 0.999


def test_no_border_of_tiles_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut into other tiles and blocks, a lossy picture is the same: there is nothing at a border that is not elsewhere."""
    data = vlae_codec.compress(Image.fromarray(photographs()[0]), model=zoo.PHOTO, quality=30)
    whole = vlae_codec.decompress(data).tobytes()
    monkeypatch.setattr(tiles, "TILE", 32)
    monkeypatch.setattr(tiles, "_BLOCK", 2)
    assert vlae_codec.decompress(data).tobytes() == whole


def test_fifteen_hundred_bytes_show_a_picture_of_any_size() -> None:
    """Seen from afar it is closer to the picture by half than one colour is."""
    for height, width in (96, 144), (900, 1200):
        picture = Image.fromarray(photographs()[1]).resize((width, height), Image.Resampling.BICUBIC)
        data = vlae_codec.compress(picture, model=zoo.PHOTO, effort=0)
        shown = vlae_codec.decompress(data[:1500], temperature=0.0, partial=True)
        true, seen = (np.asarray(one.resize((48, 32), Image.Resampling.BOX), np.float64) for one in (picture, shown))
        assert ((seen - true) ** 2).mean() < 0.5 * ((true - true.mean((0, 1))) ** 2).mean()


def test_a_preview_has_the_colours_of_the_picture() -> None:
    """It is made without the networks, of the means of luma and chroma alone."""
    coder = zoo.named(zoo.PHOTO)
    for picture in photographs():
        raster = Raster(picture, PixelFormat(Kind.RGB))
        ask = Ask(quality=14.0)
        (made,) = coder.encode([coder.view(raster, ask)], ask)
        file = coder.parse(raster.geometry, made.data, 0)
        ((decoded,),) = coder.decode([file], [Sampling(preview=True)])
        means = [one.reshape(len(one) // 8, 8, -1, 8, 3).mean((1, 3)) for one in (picture, decoded.raster.samples)]
        assert np.square(means[0] - means[1]).mean() < 255**2 / 10**2.9  # 29 dB


def test_quality_orders_rate_and_distortion_in_the_mean_of_twenty_pictures() -> None:
    samples = crops(20, 48, 72)
    made = [[encoded(one, Ask(quality=quality, effort=1)) for one in samples] for quality in range(0, 101, 10)]
    rates, errors = np.array(made).mean(1).T
    assert (rates[1:] > 0.99 * rates[:-1]).all()
    assert (errors[1:] < 1.01 * errors[:-1]).all()


@pytest.mark.parametrize("effort", [1, 5, 6])
def test_sizes_are_met_from_below_within_three_per_cent(effort: int) -> None:
    picture = Image.fromarray(photographs()[effort % 3])
    for size in (500, 900, 2200):
        made = len(vlae_codec.compress(picture, model=zoo.PHOTO, size_bytes=size, effort=effort))
        assert 0.97 * size <= made <= size
    bpp = 0.5
    made = len(vlae_codec.compress(picture, model=zoo.PHOTO, bpp=bpp, effort=effort))
    assert 0.97 * bpp <= 8 * made / (picture.width * picture.height) <= bpp


LETTERS = "abcdefghijklmnopqrstuvwxyzABDEFGHKLMNPQRST23456789"


def written(text: str, size: int, noise: float) -> np.ndarray:
    """Letters on paper as photographed, one in each cell of a row: (2 size, size n, 3) uint8."""
    font = ImageFont.load_default(size)
    page = Image.new("L", (size * len(text), 2 * size), 235)
    for at, letter in enumerate(text):
        ImageDraw.Draw(page).text((at * size + 2, size // 3), letter, fill=30, font=font)
    light = np.asarray(page)[..., None] * np.linspace(0.8, 1, page.width)[None, :, None] * np.array([1, 0.97, 0.9])
    light = light + np.random.default_rng(size).normal(0, noise, light.shape)
    return light.clip(0, 255).round().astype(np.uint8)


def read(samples: np.ndarray, size: int) -> str:
    """What a row of letters says: in each cell the letter whose picture correlates most."""

    def cells(row: np.ndarray) -> np.ndarray:
        gray = row.astype(float).mean(2).reshape(2 * size, -1, size).transpose(1, 0, 2)
        flat = gray.reshape(len(gray), -1)
        flat = flat - flat.mean(1, keepdims=True)
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)

    known = cells(written(LETTERS, size, 0))
    return "".join(LETTERS[best] for best in (cells(samples) @ known.T).argmax(1))


@pytest.mark.parametrize("size", [10, 12, 16])
def test_photographed_text_reads_the_same_at_the_default_quality(size: int) -> None:
    text = "".join(np.random.default_rng(size).permutation(list(LETTERS)))
    before = written(text, size, 5)
    assert read(before, size) == text
    data = vlae_codec.compress(Image.fromarray(before), model=zoo.PHOTO)
    after = np.asarray(vlae_codec.decompress(data).convert("RGB"))
    assert not np.array_equal(before, after)
    assert read(after, size) == text


SHOWN = """
import hashlib, sys
from pathlib import Path
import vlae_codec
for name in sorted(Path(sys.argv[1]).glob("*.vlz")):
    print(name.name, hashlib.sha256(vlae_codec.decompress(name.read_bytes()).tobytes()).hexdigest())
"""


def test_files_decode_alike_on_every_blas_kernel_and_number_of_threads(tmp_path: Path) -> None:
    samples = photographs()[0]
    for name, lossless, part in ("lossy", False, samples), ("exact", True, samples[:40, :56]):
        picture = Image.fromarray(part)
        (tmp_path / f"{name}.vlz").write_bytes(vlae_codec.compress(picture, model=zoo.PHOTO, lossless=lossless))
    said = set()
    for kernel, threads in ("Prescott", "1"), ("Haswell", "2"), ("SkylakeX", "3"), ("", "1"):  # as far as there are any
        environment = {**os.environ, "VLAE_THREADS": threads, **({"OPENBLAS_CORETYPE": kernel} if kernel else {})}
        command = [sys.executable, "-c", SHOWN, str(tmp_path)]
        said.add(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
    assert len(said) == 1
    assert hashlib.sha256(samples[:40, :56].tobytes()).hexdigest() in said.pop().decode()
