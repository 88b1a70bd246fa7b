"""The float networks of the photo family: causality, and agreement with the integer model that is exported of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from grid_models import coder, drawing, networks
from photographs import picture
from torch import Tensor

from vlae_codec.errors import ModelError
from vlae_codec.exact.logistics import MEAN_BITS
from vlae_codec.family import Identity
from vlae_codec.grid import colour, latents, tiles
from vlae_codec.grid.coder import GridFamily
from vlae_codec.grid.network import LEVEL_STEPS
from vlae_codec.models.grid.colour import to_rgb, to_ycocg
from vlae_codec.models.grid.integers import to_arrays
from vlae_codec.models.grid.muon import orthogonal
from vlae_codec.models.grid.prior import Group, plane
from vlae_codec.models.grid.rounding import Rounded
from vlae_codec.models.grid.texture import pixel_bits
from vlae_codec.models.grid.transforms import dct_basis

QUALITY = 40


def planes_of(samples: np.ndarray) -> Tensor:
    return torch.from_numpy(samples.astype(np.float32)).permute(2, 0, 1)[None]


def test_the_transforms_begin_as_an_orthonormal_dct() -> None:
    basis = dct_basis(192)
    assert torch.allclose(basis @ basis.T, torch.eye(192), atol=1e-5)
    assert torch.allclose(basis[:3].reshape(3, 3, 64).std(2), torch.zeros(3, 3), atol=1e-6)  # three means first


def test_the_integer_transforms_are_the_float_ones() -> None:
    transforms, _ = networks()
    samples = picture(40, 56).samples
    levels = torch.tensor([QUALITY / LEVEL_STEPS])
    means = transforms.encoder(planes_of(samples) / 255 - 0.5, levels)[0].permute(1, 2, 0).numpy()
    integer = coder().model.encoder.means(samples, QUALITY) * 2.0**-12
    assert np.abs(means - integer).max() < 0.02
    z = np.floor(integer + 0.5).astype(np.int32)
    hidden, decoded = transforms.decoder(planes_of(z), levels)
    integer_hidden, integer_decoded = coder().model.decoder(z, QUALITY)
    assert np.abs(hidden[0].permute(1, 2, 0).numpy() - integer_hidden * 2.0**-12).max() < 0.01
    levels_of = ((decoded[0].permute(1, 2, 0).numpy() + 0.5) * 255).round().clip(0, 255)
    assert np.abs(levels_of - integer_decoded).max() <= 1


def test_the_integer_prior_costs_what_the_float_one_says() -> None:
    transforms, _ = networks()
    z = np.random.default_rng(0).integers(-4, 5, (11, 14, 16)).astype(np.int32)
    bits = transforms.prior.bits(planes_of(z), torch.tensor([QUALITY / LEVEL_STEPS])).item()
    assert latents.write(coder().model.prior, z, QUALITY).ideal_bits == pytest.approx(bits, rel=0.01)
    assert latents.rounded(coder().model.prior, z, QUALITY, None, z) == pytest.approx(bits, rel=0.01)


def test_the_rate_of_training_is_that_of_a_file_and_its_gradient_weighs_both_neighbours() -> None:
    transforms, _ = networks()
    levels = torch.tensor([QUALITY / LEVEL_STEPS])
    y = torch.from_numpy(np.random.default_rng(1).normal(0, 1.5, (1, 16, 6, 6))).float().requires_grad_()
    rounded = Rounded.of(y)
    z = torch.round(y.detach())
    bits = transforms.prior.rounded_bits(Rounded(z, rounded.below, rounded.share), levels)
    assert bits.item() == pytest.approx(transforms.prior.bits(z, levels).item(), rel=1e-6)
    bits.sum().backward()
    last = (0, 15, 1, 0)  # of the finest group, and of its last phase: no latent is seen with it as context
    other = torch.stack([z[0], z[0]])
    other[:, last[1], last[2], last[3]] = torch.stack([rounded.below[last], rounded.below[last] + 1])
    below, above = transforms.prior.bits(other, levels.repeat(2))
    share = y[last].item() - rounded.below[last].item()
    slope = 1.5 * (1 - np.tanh(3 * (share - 0.5)) ** 2) / np.tanh(1.5)
    assert y.grad is not None
    assert y.grad[last].item() == pytest.approx(slope * (above - below).item(), rel=1e-2, abs=1e-3)


def test_the_decoder_knows_its_receptive_field() -> None:
    decoder = coder().model.decoder
    z = np.random.default_rng(2).integers(-9, 10, (16, 16, 16)).astype(np.int32)
    other = z.copy()
    other[0] += 5
    other[:, 0] -= 5
    _, one = decoder(z, QUALITY)
    _, two = decoder(other, QUALITY)
    reach = 8 * (decoder.halo + 1)
    assert np.array_equal(one[reach:, reach:], two[reach:, reach:])
    assert not np.array_equal(one[reach - 8 :], two[reach - 8 :])


def test_the_integer_pixelcnn_is_the_float_one() -> None:
    transforms, texture = networks()
    samples = picture(24, 32).samples
    levels = torch.tensor([QUALITY / LEVEL_STEPS])
    z = np.floor(coder().model.encoder.means(samples, QUALITY) * 2.0**-12 + 0.5).astype(np.int32)
    whole = tiles.Box(0, 0, 24, 32)
    region = tiles.decode_block(coder().model.decoder, z << MEAN_BITS, QUALITY, whole, False)
    hidden, _ = transforms.decoder(planes_of(z), levels)
    x, decoded = planes_of(colour.to_ycocg(samples)), planes_of(region.planes)
    outputs, predicted = texture(x, decoded, texture.given_code(decoded, hidden, levels))
    seen = region.tiles(coder().model.texture, [whole], 32)
    integer = coder().model.texture.parameters(colour.to_ycocg(samples), seen)
    assert np.array_equal(integer.predicted, predicted[0].reshape(3, -1).numpy())
    difference = np.abs(
        integer.outputs.reshape(-1, 24 * 32).T / 4096 - outputs[0].permute(1, 2, 0).reshape(24 * 32, -1).numpy()
    )
    assert difference.max() < 0.1
    assert difference.mean() < 0.01
    assert torch.isfinite(pixel_bits(outputs, x - predicted, 3)).all()


def test_the_pixelcnn_sees_only_pixels_before() -> None:
    _, texture = networks()
    rng = np.random.default_rng(0)
    x, decoded = (torch.from_numpy(rng.integers(0, 200, (1, 3, 14, 18)).astype(np.float32)) for _ in range(2))
    code = torch.zeros(1, 8, 14, 18)
    before, _ = texture(x, decoded, code)
    changed = x.clone()
    changed[:, :, 6, 9] += 30
    after, _ = texture(changed, decoded, code)
    moved = ((after - before).abs().sum((0, 1)) > 0).nonzero().tolist()
    assert moved
    assert all(column + 2 * row > 9 + 2 * 6 for row, column in moved)


def test_the_prior_sees_only_phases_before() -> None:
    """What a step says does not change with any latent of its own or of later steps."""
    transforms, _ = networks()
    group = transforms.prior.groups[1]
    assert isinstance(group, Group)
    z = torch.randint(-5, 6, (1, 2, 12, 20)).float()
    context = torch.randn(1, 8, 12, 20)
    known = torch.zeros(1, 1, 12, 20, dtype=torch.bool)
    for stride, phase in group.steps(12, 20):
        scrambled = torch.where(known, z, torch.randint(-9, 9, z.shape).float())
        said = group.parameters_of(z, context, stride, phase)
        again = group.parameters_of(scrambled, context, stride, phase)
        assert all(torch.equal(one, other) for one, other in zip(said, again, strict=True))
        plane(known, stride, phase).fill_(True)
    assert known.all()


def test_colours_are_those_of_the_codec() -> None:
    rgb = torch.randint(0, 256, (1, 3, 9, 9)).float()
    assert torch.equal(to_rgb(to_ycocg(rgb)), rgb)
    assert np.array_equal(
        to_ycocg(rgb)[0].permute(1, 2, 0).numpy(), colour.to_ycocg(rgb[0].permute(1, 2, 0).numpy().astype(np.uint8))
    )


def test_muon_makes_directions_orthogonal() -> None:
    update = orthogonal(torch.randn(20, 50))
    singular = torch.linalg.svdvals(update)
    assert singular.min() > 0.5
    assert singular.max() < 1.4


@pytest.mark.parametrize("weight", [None, np.zeros((900, 3), np.int16)], ids=["none", "of another size"])
def test_a_model_whose_coarse_picture_does_not_fit_is_refused(weight: np.ndarray | None) -> None:
    arrays = dict(to_arrays(*networks(), exact_level=0.5, grain=drawing()))
    del arrays["decoder.coarse.weight"]
    arrays |= {} if weight is None else {"decoder.coarse.weight": weight}
    with pytest.raises(ModelError, match="do not fit each other"):
        GridFamily().load(Identity("odd", bytes(32)), arrays).check()
