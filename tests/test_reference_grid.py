"""The photo family decodes as a slow reader does that was written from FORMAT.md: latents, pixels, texture, prefixes."""

from __future__ import annotations

import base64
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import reference2
from grid_models import coder, drawing, networks
from make_golden_photo import digest
from reference_coding import CutStream, NotACodeError, Stream
from reference_grid import Reader
from reference_latents import LANES, Prior
from reference_layers import Layers
from test_grid import EXACT, FORMS, coded, decoded, picture

from vlae_codec import zoo
from vlae_codec.errors import FormatError
from vlae_codec.family import Ask, Identity, Sampling
from vlae_codec.grid import latents, sections
from vlae_codec.grid.coder import GridFamily
from vlae_codec.models.grid.integers import to_arrays
from vlae_codec.picture.raster import Geometry

GOLDEN = json.loads((Path(__file__).parent / "golden" / "version2" / "photo.json").read_text())
ASKS = [EXACT, Ask(lossless=True, effort=0), Ask(quality=0), Ask(quality=50, effort=0), Ask(quality=100)]
SAMPLINGS = [Sampling(), Sampling(temperature=0), Sampling(temperature=1, seed=7)]


@cache
def small() -> Layers:
    """The small model's layers, as the slow reader has them."""
    return Layers(coder().arrays)


@cache
def released() -> Layers:
    """Those of the released model."""
    return Layers(zoo.named(zoo.PHOTO).arrays)


def about(geometry: Geometry) -> dict:
    """A geometry as the slow reader has it."""
    form = geometry.format
    found = {"kind": form.kind.name.lower(), "alpha": int(form.alpha), "depth": form.depth}
    return found | {"width": geometry.width, "height": geometry.height}


def same(reader: Reader, geometry: Geometry, data: bytes, sampling: Sampling, model=None) -> bool:
    """Whether both make the same picture of a payload."""
    temperature = None if sampling.temperature is None else round(256 * sampling.temperature)
    made = decoded(geometry, data, sampling, model).raster.samples
    return np.array_equal(reader.picture(sampling.seed, temperature), made)


@pytest.mark.parametrize("ask", ASKS, ids=str)
@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("size", [(1, 1), (9, 3)], ids=str)
def test_every_kind_of_file(size, form, ask):
    view = coder().view(picture(*size, form), ask)
    data = coder().encode([view], ask)[0].data
    reader = Reader(small(), about(view.geometry), data)
    assert all(same(reader, view.geometry, data, sampling) for sampling in SAMPLINGS)


@pytest.mark.parametrize("ask", [EXACT, Ask()], ids=str)
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_files_of_several_sites(form, ask):
    raster = picture(24, 40, form)
    data = coded(raster, ask)
    reader = Reader(small(), about(raster.geometry), data)
    file = coder().parse(raster.geometry, data, 0).found
    z, _ = latents.read(coder().model.prior, file.groups, file.whole, (3, 5), file.quality)
    assert np.array_equal(np.array(reader.latents), z)
    assert same(reader, raster.geometry, data, Sampling(temperature=0.7, seed=1 << 40))


def test_files_of_two_tiles():
    raster = picture(3, 262)
    data = coded(raster)
    reader = Reader(small(), about(raster.geometry), data)
    assert np.array_equal(reader.picture(), raster.samples)
    cut = Reader(small(), about(raster.geometry), data[:-1])
    assert same(cut, raster.geometry, data[:-1], Sampling(partial=True))
    lossy = coded(raster, Ask())
    reader = Reader(small(), about(raster.geometry), lossy)
    assert same(reader, raster.geometry, lossy, Sampling(temperature=1))


def test_prefixes():
    raster = picture(9, 19, FORMS[1])
    data = coded(raster)
    head = coder().parse(raster.geometry, data, 0).found.ends[0]
    for length in range(head, len(data), 7):
        cut = data[:length]
        reader = Reader(small(), about(raster.geometry), cut)
        assert same(reader, raster.geometry, cut, Sampling(temperature=0, partial=True)), length


def test_a_prefix_of_few_bits_has_their_levels():
    raster = picture(9, 7, FORMS[4])
    cut = coded(raster)[:-1]
    reader = Reader(small(), about(raster.geometry), cut)
    assert same(reader, raster.geometry, cut, Sampling(partial=True))
    assert not (np.array(reader.picture()) % 85).any()


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("size", [(1, 1), (24, 40), (13, 70)], ids=str)
def test_a_preview_is_what_the_first_groups_say(size, form):
    raster = picture(*size, form)
    data = coded(raster, Ask())
    ends = coder().parse(raster.geometry, data, 0).found.ends
    for end in (len(data), ends[2], (ends[0] + ends[1]) // 2, ends[0]):
        reader = Reader(small(), about(raster.geometry), data[:end])
        found = decoded(raster.geometry, data[:end], Sampling(preview=True, partial=True)).raster
        assert np.array_equal(np.array(reader.preview()), found.samples)


def test_latents_in_all_passes_and_in_more_than_one_run():
    height, width, quality, prior = 46, 45, 40, coder().model.prior
    z = np.random.default_rng(0).integers(-3, 4, (height, width, prior.edges[-1])).astype(np.int32)
    assert (height // 2) * (width // 2 + 1) * prior.groups[-1].channels > LANES
    streams = latents.write(prior, z, quality).streams
    streams[-1] = streams[-1][: len(streams[-1]) // 2]
    read = [*map(Stream, streams[:-1]), CutStream(streams[-1])]
    found = Prior(small(), height, width, quality).read(read)
    wanted, _ = latents.read(prior, streams, [True] * (len(streams) - 1) + [False], (height, width), quality)
    assert np.array_equal(np.array(found), wanted)
    assert np.array_equal(wanted[:, :, :-8], 256 * z[:, :, :-8])


@pytest.mark.parametrize("seed", range(12))
def test_streams_of_random_bytes(seed):
    """Extreme latents, and streams that are not codes."""
    rng = np.random.default_rng(seed)
    streams = [rng.bytes(rng.integers(1, 40)) for _ in coder().model.prior.groups]
    data = sections.write(sections.Content(int(rng.integers(coder().model.qualities)), streams, None, None))
    geometry = Geometry(19, 9, FORMS[0])
    try:
        reader = Reader(small(), about(geometry), data)
    except NotACodeError:
        with pytest.raises(FormatError):
            decoded(geometry, data)
        return
    assert same(reader, geometry, data, Sampling(temperature=1, seed=seed))


def test_logistics_wider_than_any_inverse_scale():
    arrays = dict(to_arrays(*networks(), exact_level=0.5, grain=drawing()))
    for name in ("texture.output", "grain.output"):
        wider = np.zeros((10, len(arrays[f"{name}.bias"]) // 10), np.int64)
        wider[7:, 0], wider[7:, 1] = 5 << 12, 9 << 12
        arrays[f"{name}.bias"] = arrays[f"{name}.bias"] + (wider.reshape(-1) << int(arrays[f"{name}.shift"]))
    model, layers = GridFamily().load(Identity("wide", bytes(32)), arrays), Layers(arrays)
    raster = picture(9, 7)
    for ask in (Ask(lossless=True, effort=0), Ask()):
        data = model.encode([model.view(raster, ask)], ask)[0].data
        assert same(Reader(layers, about(raster.geometry), data), raster.geometry, data, Sampling(temperature=1), model)


CASES = ["(1, 1)", "(24, 40) RGB lossy 55", "(24, 40) RGB exact", "(24, 40) GRAY lossy 0", "(24, 40) GRAY exact"]


@pytest.mark.parametrize(
    "case", [case for case in GOLDEN["cases"] if case["name"].startswith(tuple(CASES))], ids=lambda case: case["name"]
)
def test_golden_files_of_the_released_model(case):
    data = base64.b64decode(case["file"])
    geometry, at = reference2.geometry(data, 3)
    reader = Reader(released(), geometry, data[at + 2 :])
    assert digest(np.array(reader.picture(), np.uint8)) == case["decoded"][0]
