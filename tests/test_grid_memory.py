"""What is held of a large photograph: each latent once, while it is coded and while it is read, and little else a site."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pytest
from grid_models import coder
from photographs import picture
from PIL import Image

from vlae_codec.family import Ask, Sampling
from vlae_codec.grid import choosing, latents, network, prior, refining, tiles
from vlae_codec.grid.choosing import Search
from vlae_codec.grid.prior import LANES

T = TypeVar("T")
QUALITY, WIDTH, ROWS = 40, 40, (192, 384)
LATENT_BYTES, CONTEXT_BYTES = 4 * 16, 4 * 8
"""Of a site: its latents, and what coarser groups say of it."""
REST_BYTES = 8


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of which only a few rows are made at once, and one phase's contexts, as of a picture of 100 megapixels."""
    monkeypatch.setattr(network, "_BAND_NUMBERS", 1 << 12)
    monkeypatch.setattr(prior, "_HELD", 1)
    monkeypatch.setattr(prior, "_TOGETHER", LANES)
    monkeypatch.setattr(refining, "_SITES", (24, 24))
    monkeypatch.setattr(choosing, "_MANY", 64 * WIDTH)
    monkeypatch.setenv("VLAE_THREADS", "1")  # so that a peak does not depend on which pieces meet


def bytes_a_site(given: Callable[[int], T], work: Callable[[T], object]) -> float:
    """By how much the peak of some work on what is given grows with each site of a picture of so many rows of them."""
    peaks = []
    for rows in (8, *ROWS):  # the first time much is made once and for all
        what = given(rows)
        tracemalloc.start()
        try:
            done = work(what)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        del done
    return (peaks[2] - peaks[1]) / ((ROWS[1] - ROWS[0]) * WIDTH)


def tall(rows: int) -> npt.NDArray[np.uint8]:
    return np.tile(picture(64, 8 * WIDTH - 3).samples, (rows // 8, 1, 1))


@pytest.mark.parametrize("effort", [0, 4, 5])
def test_the_encoder_holds_its_latents_once(effort: int) -> None:
    """Refined ones twice, for a while, but only those of some rows."""

    def work(samples: npt.NDArray[np.uint8]) -> object:
        return Search(coder().model, samples).chosen(QUALITY, effort)

    assert bytes_a_site(tall, work) < LATENT_BYTES + CONTEXT_BYTES / 4 + REST_BYTES


def test_the_decoder_holds_its_latents_once() -> None:
    model = coder().model.prior

    def streams(rows: int) -> tuple[list[bytes], int]:
        z = np.random.default_rng(0).integers(-1, 2, (rows, WIDTH, 16))
        return latents.write(model, z, QUALITY).streams, rows

    def work(given: tuple[list[bytes], int]) -> object:
        return latents.read(model, given[0], [True] * 4, (given[1], WIDTH), QUALITY)

    assert bytes_a_site(streams, work) < LATENT_BYTES + CONTEXT_BYTES / 4 + REST_BYTES


def test_how_many_contexts_are_held_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    z = np.random.default_rng(0).integers(-3, 4, (37, 26, 16))
    found = []
    for numbers in (1, 8 * 37 * 26 // 2, 1 << 26):  # of one phase, of two, and of all
        monkeypatch.setattr(prior, "_HELD", numbers)
        found.append(latents.write(coder().model.prior, z.copy(), QUALITY).streams)
    assert found[0] == found[1] == found[2]


def test_tiles_of_several_sizes_get_their_surroundings_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take more than the tiles themselves while they are made, and all cores."""
    monkeypatch.setenv("VLAE_THREADS", "2")
    view = coder().view(picture(tiles.TILE + 9, tiles.TILE + 17), Ask(lossless=True, effort=0))
    data = coder().encode([view], Ask(lossless=True, effort=0))[0].data
    made, makers = tiles.Region.tiles, list[threading.Thread]()

    def watched(*arguments: object) -> object:
        makers.append(threading.current_thread())
        return made(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(tiles.Region, "tiles", watched)
    (decoded,) = coder().decode([coder().parse(view.geometry, data, 0)], [Sampling()])[0]
    assert np.array_equal(decoded.raster.samples, view.raster.samples)
    assert makers == 4 * [threading.current_thread()]


def test_what_the_code_says_takes_half_the_room_where_its_numbers_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    view = coder().view(picture(30, 40), Ask(lossless=True, effort=0))
    data = coder().encode([view], Ask(lossless=True, effort=0))[0].data
    made, codes = tiles.Region.tiles, list[npt.NDArray[np.float32]]()

    def watched(*arguments: object) -> object:
        found = made(*arguments)  # type: ignore[arg-type]
        codes.append(found.code)
        return found

    monkeypatch.setattr(tiles.Region, "tiles", watched)
    for shortest in (tiles._SHORT, 1):
        monkeypatch.setattr(tiles, "_SHORT", shortest)
        (decoded,) = coder().decode([coder().parse(view.geometry, data, 0)], [Sampling()])[0]
        assert np.array_equal(decoded.raster.samples, view.raster.samples)
    short, long = codes
    assert (short.dtype, long.dtype) == (np.int16, np.float32)
    assert np.array_equal(short, long)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc_info tells")
def test_the_threads_of_a_command_take_memory_from_one_place(tmp_path: Path) -> None:
    Image.fromarray(picture(64, 64).samples).save(tmp_path / "a.png")
    script = (
        "import ctypes\n"
        "from vlae_codec.cli.main import main\n"
        "main('compress a.png --lossless --effort 0 --model photo -q'.split(), standalone_mode=False)\n"
        "main('decompress a.vlz -o b.png -q'.split(), standalone_mode=False)\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.fopen.restype = ctypes.c_void_p\n"
        "file = ctypes.c_void_p(libc.fopen(b'heaps', b'w'))\n"
        "libc.malloc_info(0, file)\n"
        "libc.fclose(file)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path, env={**os.environ, "VLAE_THREADS": "2"})
    assert (tmp_path / "heaps").read_text().count("<heap nr=") == 1
