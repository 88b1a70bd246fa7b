"""Laws of the encoder's search: its gradient is the decoder's, and what it finds is worth its bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from grid_models import coder, networks
from test_grid import coded, decoded, picture

from vlae_codec import zoo
from vlae_codec.family import Ask, Sampling
from vlae_codec.grid import choosing, refining
from vlae_codec.grid.coder import GridCoder
from vlae_codec.grid.network import LEVEL_STEPS
from vlae_codec.picture.raster import Raster

QUALITY = 40


def gradient(z: np.ndarray, samples: np.ndarray) -> np.ndarray:
    out = np.full(z.shape, np.nan, np.float32)
    for sites, slope in coder().model.gradient.regions(z, samples, QUALITY):
        out[sites] = slope
    return out


def test_the_gradient_is_that_of_the_float_decoder() -> None:
    transforms, _ = networks()
    samples = picture(64, 96).samples
    z = np.random.default_rng(0).integers(-2, 3, (8, 12, 16)).astype(np.int32)
    latents = torch.from_numpy(z.astype(np.float32)).permute(2, 0, 1)[None].requires_grad_()
    _, made = transforms.decoder(latents, torch.tensor([QUALITY / LEVEL_STEPS]))
    x = torch.from_numpy(samples.astype(np.float32)).permute(2, 0, 1)[None]
    (((made + 0.5) * 255).clamp(0, 255) - x).square().mean(1).sum().backward()
    own = gradient(z, samples)
    expected = latents.grad[0].permute(1, 2, 0).numpy()
    assert np.corrcoef(own.ravel(), expected.ravel())[0, 1] > 0.99


def test_regions_have_the_gradient_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = picture(8 * 8, 8 * 50).samples
    z = np.random.default_rng(0).integers(-2, 3, (8, 50, 16)).astype(np.int32)
    whole = gradient(z, samples)
    monkeypatch.setattr(refining, "_SITES", (25, 25))
    parts = gradient(z, samples)
    assert np.allclose(parts, whole, rtol=1e-3, atol=1e-3 * np.abs(whole).max())


@pytest.mark.parametrize("many", [choosing._MANY, 60])
def test_more_effort_is_worth_its_bits(monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    """R + lambda D falls with every look at the decoded picture, at all of it or at some rows after the other."""
    monkeypatch.setattr(choosing, "_MANY", many)
    monkeypatch.setattr(choosing, "_ALIGNED", 2)
    model = zoo.named(zoo.PHOTO)
    assert isinstance(model, GridCoder)
    raster = picture(96, 120)
    costs = []
    for effort in (4, 5, 8):
        ask = Ask(quality=50, effort=effort)
        view = model.view(raster, ask)
        data = model.encode([view], ask)[0].data
        mean = decoded(raster.geometry, data, Sampling(temperature=0), model).raster.samples.astype(float)
        error = ((mean - raster.samples) ** 2).mean()
        costs.append(8 * len(data) / (96 * 120) + model.model.lambda_at(model.model.qualities // 2) * error)
    assert costs[0] > costs[1] > costs[2]


def test_sizes_are_kept_whatever_the_effort() -> None:
    raster: Raster = picture(64, 80)
    whole = len(coded(raster, Ask(quality=60)))
    for effort in (0, 6, 9):
        assert len(coded(raster, Ask(size_bytes=whole, effort=effort))) <= whole
