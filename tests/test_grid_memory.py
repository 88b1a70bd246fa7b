"""What is held of a large photograph: each latent once, while it is coded and while it is read, and little else a site."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pytest
from grid_models import coder
from photographs import picture

from vlae_codec.grid import latents, network, prior, refining
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
    monkeypatch.setattr(refining, "_SITES", 24)


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


@pytest.mark.parametrize(("effort", "more"), [(0, 0), (4, 0), (5, 2 * 16)])
def test_the_encoder_holds_its_latents_once(effort: int, more: int) -> None:
    """Refined ones twice, for a while: where they were, in two bytes each, and where they would rather be."""

    def work(samples: npt.NDArray[np.uint8]) -> object:
        return Search(coder().model, samples).chosen(QUALITY, effort)

    assert bytes_a_site(tall, work) < LATENT_BYTES + CONTEXT_BYTES / 4 + more + REST_BYTES


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
