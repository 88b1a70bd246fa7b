"""Laws of the photo family: what comes back, what a prefix shows, what damage does, and what theory says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from grid_models import coder
from photographs import FORMS, picture

from vlae_codec.codec import encoded_of
from vlae_codec.coding.bisection import bisect
from vlae_codec.coding.entropy import Decoder, Encoder
from vlae_codec.errors import FormatError, ImageError, TruncatedError, VlaeError
from vlae_codec.exact import logistics
from vlae_codec.exact.logistics import Logistics
from vlae_codec.family import Ask, Decoded, Sampling
from vlae_codec.grid import colour, latents, pixels, prior, sections, texture, tiles, wavefront
from vlae_codec.grid.coder import GridCoder
from vlae_codec.grid.mixtures import Pixels
from vlae_codec.grid.prior import LANES
from vlae_codec.grid.texture import Tiles
from vlae_codec.picture.metadata import Metadata
from vlae_codec.picture.raster import Geometry, Kind, PixelFormat, Raster

EXACT = Ask(lossless=True)


def coded(raster: Raster, ask: Ask = EXACT) -> bytes:
    view = coder().view(raster, ask)
    return coder().encode([view], ask)[0].data


def decoded(
    geometry: Geometry, data: bytes, sampling: Sampling = Sampling(), model: GridCoder | None = None
) -> Decoded:
    model = model or coder()
    return model.decode([model.parse(geometry, data, 0, sampling.partial)], [sampling])[0][0]


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("size", [(1, 1), (1, 70), (9, 3), (45, 61)], ids=str)
def test_exact_files_give_the_picture_back(form: PixelFormat, size: tuple[int, int]) -> None:
    raster = picture(*size, form)
    made = decoded(raster.geometry, coded(raster))
    assert made.raster.format == raster.format
    assert np.array_equal(made.raster.samples, raster.samples)
    assert made.whole
    assert made.exact_samples == size[0] * size[1] * (3 if form.kind == Kind.RGB else 1)


@pytest.mark.parametrize("seed", range(3))
def test_noise_and_flat_pictures_come_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for samples in (
        rng.integers(0, 256, (17, 23, 3)),
        np.full((17, 23, 3), rng.integers(256)),
        rng.choice([0, 255], (17, 23, 3)),
    ):
        raster = Raster(samples.astype(np.uint8), FORMS[0])
        assert np.array_equal(decoded(raster.geometry, coded(raster)).raster.samples, raster.samples)


def test_tiles_are_coded_apart_and_come_back_together() -> None:
    raster = picture(24, tiles.TILE + 13)
    data = coded(raster)
    assert np.array_equal(decoded(raster.geometry, data).raster.samples, raster.samples)
    file = coder().parse(raster.geometry, data, 0)
    assert file.about()["tiles"] == 2


@pytest.mark.parametrize("ask", [Ask(), EXACT], ids=["lossy", "exact"])
def test_a_region_is_that_of_the_whole(ask: Ask) -> None:
    raster = picture(14, tiles.TILE + 10)
    view = coder().view(raster, ask)
    data = coder().encode([view], ask)[0].data
    whole = decoded(view.geometry, data).raster.samples
    for left, top, right, bottom in ((0, 0, 1, 1), (250, 5, 266, 14), (100, 10, 260, 11)):
        part = decoded(view.geometry, data, Sampling(crop=(left, top, right, bottom)))
        assert np.array_equal(part.raster.samples, whole[top:bottom, left:right])
    with pytest.raises(ImageError, match="beyond"):
        decoded(view.geometry, data, Sampling(crop=(0, 0, 1000, 1)))


def test_blocks_decode_as_the_whole_does(monkeypatch: pytest.MonkeyPatch) -> None:
    raster = picture(70, 300)
    data = coded(raster, Ask(quality=70))
    geometry, mean = coder().view(raster, Ask()).geometry, Sampling(temperature=0)
    whole = decoded(geometry, data, mean).raster.samples
    monkeypatch.setattr(tiles, "_BLOCK", 1)
    monkeypatch.setattr(tiles, "TILE", 32)
    assert np.array_equal(decoded(geometry, data, mean).raster.samples, whole)


def test_every_prefix_shows_a_picture_and_more_shows_more() -> None:
    raster = picture(64, 80)
    data = coded(raster)
    file = coder().parse(raster.geometry, data, 0)
    start = file.found.ends[0]
    for cut in range(start):
        with pytest.raises(TruncatedError):
            decoded(raster.geometry, data[:cut], Sampling(partial=True))
    errors = []
    for cut in [*range(start, start + 40, 3), *file.found.ends[1:], len(data) - 1]:
        made = decoded(raster.geometry, data[:cut], Sampling(partial=True))
        assert not made.whole
        errors.append(float(((made.raster.samples.astype(float) - raster.samples) ** 2).mean()))
    assert errors[-1] < errors[0]
    with pytest.raises(TruncatedError):
        decoded(raster.geometry, data[:-1])


def test_a_prefix_of_the_tiles_gives_exact_tiles_among_decoded_ones() -> None:
    raster = picture(16, 2 * tiles.TILE)
    data = coded(raster)
    made = decoded(raster.geometry, data[:-1], Sampling(partial=True))
    assert np.array_equal(made.raster.samples[:, : tiles.TILE], raster.samples[:, : tiles.TILE])
    assert (made.exact_samples, made.whole) == (3 * 16 * tiles.TILE, False)


@pytest.mark.parametrize("form", [FORMS[0], FORMS[3]], ids=str)
def test_any_flipped_byte_gives_a_clean_error_or_the_same_picture(form: PixelFormat) -> None:
    raster = picture(4, 6, form)
    data = bytearray(coded(raster))
    for at in range(len(data)):
        data[at] ^= 1 << at % 8
        try:  # the last bits of a stream may say nothing
            assert np.array_equal(decoded(raster.geometry, bytes(data)).raster.samples, raster.samples)
        except FormatError as error:
            assert str(error)
        data[at] ^= 1 << at % 8


@pytest.mark.parametrize("ask", [EXACT, Ask()], ids=str)
def test_formats_that_no_photograph_has_are_damage(ask: Ask) -> None:
    raster = picture(9, 7, FORMS[2])
    data = coded(raster, ask)
    palette = PixelFormat(Kind.PALETTE, palette=((0, 0, 0), (9, 9, 9)))
    for form in (palette, PixelFormat(Kind.GRAY, 16), PixelFormat(Kind.GRAY, pair=((0,), (255,)))):
        with pytest.raises(FormatError, match="a palette or 16 bits"):
            coder().parse(Geometry(7, 9, form), data, 0)


@pytest.mark.parametrize("seed", range(20))
def test_hostile_payloads_give_clean_errors_or_pictures(seed: int) -> None:
    """Random streams with checks that hold: extreme latents, impossible colours, streams that are no code."""
    rng = np.random.default_rng(seed)
    groups = [rng.bytes(rng.integers(0, 60)) for _ in coder().model.prior.groups]
    stream = [(rng.bytes(4), rng.bytes(rng.integers(0, 200)))] if seed % 2 else None
    data = sections.write(sections.Content(int(rng.integers(coder().model.qualities)), groups, None, stream))
    try:
        made = decoded(Geometry(37, 21, FORMS[0]), data)
    except VlaeError:
        return
    assert made.raster.samples.shape == (21, 37, 3)


def test_quality_orders_rate_and_distortion() -> None:
    raster = picture(64, 96)
    made = [coder().encode([coder().view(raster, Ask())], Ask(quality=quality))[0] for quality in (0, 30, 60, 100)]
    sizes, psnr = [len(one.data) for one in made], [one.figures["psnr_db"] for one in made]
    assert sizes == sorted(sizes)
    assert psnr == sorted(psnr)


def test_a_size_is_met_from_below() -> None:
    raster = picture(64, 96)
    least, most = (len(coded(raster, Ask(quality=quality))) for quality in (0, 100))
    for size in (least + 60, (least + most) // 2, 2 * most):
        assert len(coded(raster, Ask(size_bytes=size))) <= size
    with pytest.raises(ImageError, match="no lossy file of this picture is smaller"):
        coded(raster, Ask(size_bytes=1))


def test_the_ledger_adds_up() -> None:
    raster = picture(64, 96)
    made = coder().encode([coder().view(raster, EXACT)], EXACT)[0]
    assert made.ideal_bits < made.coded_bits < 1.005 * made.ideal_bits + 8 * (len(coder().model.prior.groups) + 1)
    assert 8 * len(made.data) - made.coded_bits < 8 * 40


def test_what_cannot_be_kept_exactly_is_refused() -> None:
    deep = Raster(np.zeros((4, 4, 1), np.uint16), PixelFormat(Kind.GRAY, 16))
    with pytest.raises(ImageError, match="16 bits"):
        coder().view(deep, EXACT)
    indexed = Raster(np.zeros((4, 4, 1), np.uint8), PixelFormat(Kind.PALETTE, 1, palette=((0, 0, 0), (9, 9, 9))))
    with pytest.raises(ImageError, match="palette"):
        coder().view(indexed, EXACT)
    assert coder().view(deep, Ask()).note == "16 bits a sample became 8"


def test_batches_of_tiles_change_nothing() -> None:
    raster = picture(20, 24)
    data = coded(raster, Ask(lossless=True, effort=0))
    file = coder().parse(raster.geometry, data, 0)
    assert file.found.tiles
    z, _ = latents.read(coder().model.prior, file.found.groups, file.found.whole, (3, 3), file.found.quality)
    whole = tiles.Box(0, 0, 20, 24)
    twice = tiles.decode_block(coder().model.decoder, z, file.found.quality, whole, False).tiles(
        coder().model.texture, [whole, whole], 24
    )
    stream = file.found.tiles[0]
    assert stream
    read = pixels.read(coder().model.texture, twice, [stream[1]] * 2, 3)
    assert np.array_equal(colour.to_rgb(read[0]), raster.samples)
    assert np.array_equal(colour.to_rgb(read[1]), raster.samples)


def seen(raster: Raster, *boxes: tiles.Box) -> Tiles:
    """Boxes of a picture whose latents are all 0."""
    height, width = raster.samples.shape[:2]
    z = np.zeros((-(-height // 8), -(-width // 8), 16), np.int32)
    region = tiles.decode_block(coder().model.decoder, z, 5, tiles.Box(0, 0, height, width), False)
    return region.tiles(coder().model.texture, boxes, width)


@pytest.mark.parametrize("size", [(13, 17), (1, 9), (9, 1), (2, 2), (5, 3)])
@pytest.mark.parametrize("together", [1, 40])
def test_the_wavefront_sees_what_the_whole_tile_sees(
    size: tuple[int, int], together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bands of one row, and of several."""
    monkeypatch.setattr(texture, "_TOGETHER", together)
    raster, (height, width) = picture(*size), size
    tile, x = seen(raster, tiles.Box(0, 0, *size)), colour.to_ycocg(raster.samples)
    whole = coder().model.texture.parameters(x, tile)
    told = list[int]()

    def decide(step: Pixels, rows: slice, t: int) -> np.ndarray:
        own = [row * width + t - 2 * row for row in range(rows.start, rows.stop)]
        told.extend(own)
        assert np.array_equal(step.outputs, whole.outputs[:, :, own])
        assert np.array_equal(step.predicted, whole.predicted[:, own])
        return x.reshape(-1, 3)[own].T

    assert np.array_equal(wavefront.walk(coder().model.texture, tile, decide)[0], x)
    assert sorted(told) == list(range(height * width))


def test_a_tile_that_is_narrower_than_others_of_its_batch_is_seen_as_alone() -> None:
    raster = picture(14, 40)
    boxes = [tiles.Box(0, 0, 14, 17), tiles.Box(0, 9, 14, 34), tiles.Box(0, 36, 14, 40)]
    x = colour.to_ycocg(raster.samples)
    alone = [
        coder().model.texture.parameters(x[:, box.left : box.right], seen(raster, box)).outputs.reshape(10, 3, 14, -1)
        for box in boxes
    ]

    def decide(step: Pixels, rows: slice, t: int) -> np.ndarray:
        found = np.full((3, len(boxes), rows.stop - rows.start), 200)  # beyond them, what is decided does not matter
        outputs = step.outputs.reshape(10, 3, *found.shape[1:])
        for tile, box in enumerate(boxes):
            for at, row in enumerate(range(rows.start, rows.stop)):
                if t - 2 * row < box.width:
                    assert np.array_equal(outputs[:, :, tile, at], alone[tile][:, :, row, t - 2 * row])
                    found[:, tile, at] = x[row, box.left + t - 2 * row]
        return found.reshape(3, -1)

    walked = wavefront.walk(coder().model.texture, seen(raster, *boxes), decide)
    for planes, box in zip(walked, boxes, strict=True):
        assert np.array_equal(planes[:, : box.width], x[:, box.left : box.right])


def test_colours_are_reversible() -> None:
    rgb = np.stack(np.meshgrid(*[np.arange(0, 256, 5)] * 3), -1).astype(np.uint8)
    planes = colour.to_ycocg(rgb)
    assert np.array_equal(colour.to_rgb(planes), rgb)
    assert planes[..., 0].min() >= 0
    assert planes[..., 0].max() <= 255
    assert np.abs(planes[..., 1:]).max() <= 255


def mixtures(count: int, seed: int) -> tuple[Logistics, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    weights = logistics.shares(rng.integers(-9000, 9000, (3, count)))
    means = rng.integers(-70 << 8, 70 << 8, (1, count)) + rng.integers(-2000, 2000, (3, count))
    log_scales = rng.integers(-3 << 12, 5 << 12, (3, count))
    mixture = Logistics(weights, means, logistics.inverse_scales(log_scales, -3, 5), -60, 60)
    return mixture, means[0] >> 8, logistics.brackets(log_scales[0], 6)


def test_a_mixture_is_a_distribution() -> None:
    mixture, _, _ = mixtures(40, 1)
    for lane in range(40):
        below = mixture.of(np.full(120, lane)).below(np.arange(-59, 61))
        assert (np.diff(below) >= 0).all()
        assert below[0] >= 0
        assert below[-1] <= 1 << 24


def test_no_value_of_an_even_mixture_costs_more_than_24_bits() -> None:
    mixture, centres, brackets = mixtures(200, 4)
    even = replace(mixture, even=True, inverses=mixture.inverses * 8)
    edges = np.arange(-59, 61)
    for lane in range(20):
        assert (np.diff(even.of(np.full(120, lane)).below(edges), prepend=0, append=1 << 24) >= 1).all()
    values, bits = np.random.default_rng(5).integers(-60, 61, 200), np.zeros(200)

    def answer(lanes: np.ndarray, splits: np.ndarray, below: np.ndarray, counts: np.ndarray) -> np.ndarray:
        above: np.ndarray = values[lanes] >= splits
        bits[lanes] += 24 - np.log2(np.where(above, counts, (1 << 24) - counts))
        return above

    assert np.array_equal(bisect(even, centres, brackets, answer), values)
    assert 23.9 < bits.max() < 24.01
    bits[:] = 0
    bisect(replace(even, even=False), centres, brackets, answer)
    assert bits.max() > 48, "without it, a split of nothing costs as much, and there may be several"


def test_bisection_finds_what_the_whole_cdf_says() -> None:
    mixture, centres, brackets = mixtures(60, 2)
    words = np.random.default_rng(3).integers(0, 1 << 24, 60)
    found = bisect(mixture, centres, brackets, lambda lanes, splits, below, counts: words[lanes] >= below)
    for lane in range(60):
        edges = np.arange(-59, 61)
        slow = -60 + int((mixture.of(np.full(120, lane)).below(edges) <= words[lane]).sum())
        assert found[lane] == slow


def test_bisected_values_cost_what_they_say() -> None:
    mixture, centres, brackets = mixtures(3000, 4)
    words = np.random.default_rng(5).integers(0, 1 << 24, 3000)
    values = bisect(mixture, centres, brackets, lambda lanes, splits, below, counts: words[lanes] >= below)
    encoder = Encoder()

    def write(lanes: np.ndarray, splits: np.ndarray, below: np.ndarray, counts: np.ndarray) -> np.ndarray:
        above = values[lanes] >= splits
        encoder.put_bits(above.astype(np.uint8), counts)
        return above

    assert np.array_equal(bisect(mixture, centres, brackets, write), values)
    stream = encoder.finish().rest
    upper = np.where(values == 60, 1 << 24, mixture.below(values + 1))
    masses = upper - np.where(values == -60, 0, mixture.below(values))
    ideal_bits = float((24 - np.log2(np.maximum(masses, 1))).sum())
    assert abs(8 * len(stream) - ideal_bits) < 0.002 * ideal_bits + 16
    decoder = Decoder(stream)
    read = bisect(mixture, centres, brackets, lambda *asked: decoder.get_bits(asked[3]).astype(np.bool_))
    assert np.array_equal(read, values)


def test_lanes_are_held_in_whole_runs_and_how_many_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    z = np.random.default_rng(0).integers(-3, 4, (60, 90, 16)).astype(np.int32)
    written = latents.write(coder().model.prior, z, 20)
    monkeypatch.setattr(prior, "_TOGETHER", LANES)
    again = latents.write(coder().model.prior, z, 20)
    assert again.streams == written.streams
    cut = [stream[: len(stream) // 2] for stream in written.streams[:3]]
    some, known = latents.read(coder().model.prior, cut, [False] * 3, (60, 90), 20)
    monkeypatch.undo()
    assert not prior._TOGETHER % LANES
    all_at_once, known_then = latents.read(coder().model.prior, cut, [False] * 3, (60, 90), 20)
    assert known == known_then
    assert np.array_equal(some, all_at_once)


def test_latents_beyond_one_run_come_back() -> None:
    rng = np.random.default_rng(0)
    z = rng.integers(-3, 4, (60, 90, 16)).astype(np.int32)
    assert LANES < 30 * 45 * 8
    written = latents.write(coder().model.prior, z, 20)
    read, known = latents.read(coder().model.prior, written.streams, [True] * 4, (60, 90), 20)
    assert np.array_equal(read, z << logistics.MEAN_BITS)
    assert known == z.size


@pytest.mark.parametrize("form", FORMS[:2], ids=str)
def test_a_file_says_where_its_parts_begin_and_end(form: PixelFormat) -> None:
    raster = picture(20, 2 * tiles.TILE + 9, form)
    data = coded(raster)
    about = coder().parse(raster.geometry, data, 0).about()
    assert about["kind"] == "lossless"
    begin, latents_end = about["tiles_begin_at_byte"], about["latents_end_at_byte"]
    assert (about["first_tile_begins_at_byte"], about["last_tile_begins_at_byte"]) == (begin[0], begin[2])
    assert about["first_group_ends_at_byte"] <= about["preview_ends_at_byte"] <= latents_end
    assert ("alpha_begins_at_byte" in about) == form.alpha
    first = about["alpha_begins_at_byte"] if form.alpha else about["corrections_begin_at_byte"]
    assert latents_end < first <= about["corrections_begin_at_byte"] < begin[0] < begin[1] < begin[2] < len(data)
    for count, end in enumerate(begin):  # a prefix that ends there has just the tiles before
        cut = coder().parse(raster.geometry, data[:end], 0, partial=True)
        assert [tile is not None for tile in cut.found.tiles] == [number < count for number in range(3)]
        assert cut.about()["tiles_begin_at_byte"] == begin
    cut = coder().parse(raster.geometry, data[: about["corrections_begin_at_byte"]], 0, partial=True)
    assert (cut.found.alpha is not None) == form.alpha
    assert "tiles_begin_at_byte" not in cut.about()
    assert coder().parse(raster.geometry, data[:first], 0, partial=True).found.alpha is None
    assert "tiles_begin_at_byte" not in coder().parse(raster.geometry, coded(raster, Ask()), 0).about()


def test_the_quality_that_a_file_says_is_the_one_to_ask_for() -> None:
    for wanted in (0.0, 3.0, 55.0, 61.2, 100.0):
        view = coder().view(picture(8, 8), Ask(quality=wanted))
        (made,) = coder().encode([view], Ask(quality=wanted))
        about = coder().parse(view.geometry, made.data, 0).about()
        assert about["quality_level"] == round(wanted / 100 * (coder().qualities - 1))
        assert abs(about["quality"] - wanted) <= 50 / (coder().qualities - 1)
        assert coder().encode([view], Ask(quality=about["quality"]))[0].data == made.data


def test_opacity_has_a_row_of_its_own_and_the_ledger_adds_up() -> None:
    for form in FORMS:
        for ask in (EXACT, Ask()):
            view = coder().view(picture(20, 30, form), ask)
            (made,) = coder().encode([view], ask)
            ledger = encoded_of(view, made, coder(), Metadata()).ledger
            assert ledger.coded_bits + 8 * (ledger.opacity_bytes + ledger.container_bytes) == 8 * ledger.total_bytes
            assert (ledger.opacity_bytes > 0) == form.alpha
            assert ledger.container_bytes < 90  # with the SHA-256 of a model that is not released
