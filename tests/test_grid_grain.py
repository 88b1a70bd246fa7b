"""Laws of the texture that lossy pictures are given: where it comes from, what it may change, and what it must not."""

from __future__ import annotations

import numpy as np
import pytest
from grid_models import coder
from test_grid import FORMS, coded, decoded, picture

from vlae_codec.exact import logistics
from vlae_codec.exact.fixed import COUNT_BITS, sigmoid_table
from vlae_codec.exact.logistics import Logistics
from vlae_codec.exact.random_words import place_words
from vlae_codec.family import Ask, Sampling
from vlae_codec.grid import grain, tiles
from vlae_codec.grid.colour import to_ycocg
from vlae_codec.grid.grain import STRENGTH_BITS
from vlae_codec.grid.mixtures import Pixels
from vlae_codec.models.grid import calibration
from vlae_codec.picture.raster import Kind, PixelFormat, Raster

LOSSY = Ask(quality=40)
TOTAL = 1 << COUNT_BITS


def shown(data: bytes, raster: Raster, **how: object) -> np.ndarray:
    return decoded(coder().view(raster, LOSSY).geometry, data, Sampling(**how)).raster.samples


def test_a_seed_decides_the_texture_and_temperature_0_has_none() -> None:
    raster = picture(40, 50)
    data = coded(raster, LOSSY)
    mean = shown(data, raster, temperature=0)
    first, again, other = (shown(data, raster, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, mean)
    assert np.array_equal(mean, shown(data, raster, temperature=0, seed=5))
    assert np.array_equal(first, shown(data, raster, seed=1, temperature=0.5))  # the default of the model


def test_what_is_drawn_is_counted() -> None:
    raster = picture(16, 2 * tiles.TILE)
    lossy, exact = coded(raster, LOSSY), coded(raster)
    geometry = raster.geometry
    assert decoded(geometry, lossy).sampled_samples == 3 * 16 * 2 * tiles.TILE
    assert decoded(geometry, lossy, Sampling(temperature=0)).sampled_samples == 0
    assert decoded(geometry, lossy, Sampling(preview=True)).sampled_samples == 0
    assert decoded(geometry, exact).sampled_samples == 0
    made = decoded(geometry, exact[:-1], Sampling(partial=True))
    assert made.sampled_samples == made.exact_samples == 3 * 16 * tiles.TILE
    assert np.array_equal(made.raster.samples[:, : tiles.TILE], raster.samples[:, : tiles.TILE])


def test_a_cut_file_whose_latents_are_not_all_there_is_smooth() -> None:
    raster = picture(40, 50)
    data = coded(raster)
    cut = coder().parse(raster.geometry, data, 0).found.ends[2]
    first, second = (
        decoded(raster.geometry, data[:cut], Sampling(partial=True, seed=seed)).raster.samples for seed in (1, 2)
    )
    assert np.array_equal(first, second)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_region_has_the_texture_of_the_whole(form: PixelFormat) -> None:
    raster = picture(30, tiles.TILE + 40, form)
    view = coder().view(raster, LOSSY)
    data = coder().encode([view], LOSSY)[0].data
    whole = decoded(view.geometry, data, Sampling(seed=3, temperature=1)).raster.samples
    for left, top, right, bottom in ((0, 0, 3, 3), (250, 5, 270, 29), (290, 0, 296, 30)):
        part = decoded(view.geometry, data, Sampling(seed=3, temperature=1, crop=(left, top, right, bottom)))
        assert np.array_equal(part.raster.samples, whole[top:bottom, left:right])


def test_gray_pictures_stay_gray() -> None:
    raster = picture(30, 40, PixelFormat(Kind.GRAY))
    data = coded(raster, LOSSY)
    assert shown(data, raster).shape == (30, 40, 1)
    assert not np.array_equal(shown(data, raster, seed=1), shown(data, raster, seed=2))


def test_temperatures_scale_one_texture() -> None:
    drawing = coder().model.grain
    assert drawing
    rng = np.random.default_rng(0)
    decoded_planes = rng.integers(0, 256, (40, 40, 3)).astype(np.int32)
    drawn = decoded_planes + rng.integers(-30, 31, (40, 40, 3)).astype(np.int32)
    unit = 1 << STRENGTH_BITS
    once, twice = (
        drawing.added(decoded_planes, drawn, 0, temperature) - decoded_planes for temperature in (unit, 2 * unit)
    )
    assert np.abs(twice - 2 * once).max() <= 1
    assert np.array_equal(drawing.added(decoded_planes, drawn, 0, 0), decoded_planes)


def test_a_texture_has_no_low_frequencies() -> None:
    rows, columns = np.mgrid[:60, :60]
    ramp = np.repeat((3 * rows - 2 * columns)[:, :, None], 3, 2).astype(np.int32)
    assert np.abs(grain.fine(ramp)[10:-10, 10:-10]).max() == 0
    noise = np.random.default_rng(0).normal(0, 20, (256, 256, 3)).round().astype(np.int32)
    blocks = grain.fine(noise).reshape(16, 16, 16, 16, 3).mean((1, 3)) / (1 << STRENGTH_BITS)
    assert np.abs(blocks).max() < 2
    kept = (grain.fine(noise) / (1 << STRENGTH_BITS)).std()
    assert 0.9 * 20 < kept < 20


def test_samples_are_of_the_mixtures_less_their_tails() -> None:
    n, rng = 60_000, np.random.default_rng(0)
    outputs = np.zeros((10, 2, n), np.int64)
    outputs[0].T[:] = [0, 4096]
    outputs[1].T[:] = [-3 * 4096, 2 * 4096]
    outputs[7].T[:] = [4096, -2048]
    pixels = Pixels(outputs, np.full((3, n), 100))
    words = rng.integers(0, TOTAL, (n, grain.WORDS))
    values = grain.drawn(pixels, grain.chances_of(words).T, 1)[0]
    means, inverses = pixels.means(0, []), logistics.inverse_scales(pixels.log_scales(0), -3, 6)
    shares = pixels.begin()[:, 0] / TOTAL
    ones = np.full((1, 1), TOTAL)
    parts = [Logistics(ones, means[k : k + 1, :1], inverses[k : k + 1, :1], 0, 255) for k in range(2)]
    for x in range(80, 125, 3):  # less their tails: (F - cut) / (1 - 2 cut), where that is in 0 .. 1
        below = np.array([part.below(np.array([x]))[0] for part in parts]) / TOTAL
        expected = float((shares * np.clip((below - 0.06) / 0.88, 0, 1)).sum())
        assert np.mean(values < x) == pytest.approx(expected, abs=0.01)


def test_samples_stay_in_range_whatever_the_network_says() -> None:
    rng = np.random.default_rng(0)
    pixels = Pixels(rng.integers(-(1 << 26), 1 << 26, (10, 3, 500)), rng.integers(-255, 256, (3, 500)))
    x = grain.drawn(pixels, grain.chances_of(rng.integers(0, TOTAL, (500, grain.WORDS))).T, 3)
    assert (x[0].min(), x[0].max()) == (0, 255)
    assert np.abs(x[1:]).max() <= 255


def test_the_sigmoid_is_read_backwards() -> None:
    table, cut = sigmoid_table(), TOTAL * 6 // 100
    steps = table[(table >= cut) & (table <= TOTAL - cut)]
    words = np.concatenate([[cut, TOTAL - cut - 1], steps[:-1], steps[1:] - 1, steps[:-1] + 1])
    expected = np.searchsorted(table, words, side="right") - 1 - len(table) // 2
    assert np.array_equal(grain._logits(words), expected)


def test_random_words_depend_on_the_place_alone() -> None:
    whole = place_words(7, 5, 0, 40, grain.WORDS)
    for left in range(9):
        assert np.array_equal(place_words(7, 5, left, 11, grain.WORDS), whole[left : left + 11])
    assert not np.array_equal(place_words(7, 6, 0, 40, grain.WORDS), whole)
    assert not np.array_equal(place_words(8, 5, 0, 40, grain.WORDS), whole)


def test_strengths_give_a_texture_the_energy_of_the_true_one() -> None:
    pictures = [picture(48, 48, seed=seed).samples for seed in range(2)]
    (luma, chroma), *_ = calibration.strengths(coder().arrays, pictures)
    true, drawn = np.zeros(3), np.zeros(3)
    for samples in pictures:
        raster = Raster(samples, FORMS[0])
        data = coded(raster, Ask(quality=0, effort=0))
        mean, textured = (to_ycocg(shown(data, raster, temperature=t)) for t in (0, 1))
        true += (grain.fine(to_ycocg(samples) - mean) ** 2).mean((0, 1))
        drawn += ((textured - mean) << STRENGTH_BITS).astype(float).var((0, 1))
    assert (luma / (1 << STRENGTH_BITS)) ** 2 == pytest.approx(true[0] / drawn[0], rel=0.5)
    assert (chroma / (1 << STRENGTH_BITS)) ** 2 == pytest.approx(true[1:].sum() / drawn[1:].sum(), rel=0.5)
