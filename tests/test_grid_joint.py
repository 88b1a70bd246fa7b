"""The photo VLAE trained as one: its terms are those of the stages, and its window is as wide as it is said to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from photographs import picture
from torch import Tensor

from vlae_codec.errors import ConfigError
from vlae_codec.models.grid import joint, train
from vlae_codec.models.grid.colour import to_ycocg
from vlae_codec.models.grid.config import PhotoConfig
from vlae_codec.models.grid.joint import Joint, JointConfig, Likelihood, fit, measured, to_ycocg_smoothly
from vlae_codec.models.grid.kept import Kept
from vlae_codec.models.grid.run import Run, Schedule
from vlae_codec.models.grid.texture import TextureConfig, pixel_bits
from vlae_codec.models.grid.vlae import TransformConfig

SMALL = JointConfig(
    TransformConfig(16, (1, 2, 5, 8), 2, 1, 1, 4, 2, 8, 3, 0.001, 0.03),
    TextureConfig(8, 1, 2, 4, 8, 4, 3),
    level=0.5,
    masked_layers=2,
)


def rgb(*seeds: int, side: int = 32) -> Tensor:
    crops = np.stack([picture(side, side, seed=seed).samples for seed in seeds])
    return torch.from_numpy(crops).permute(0, 3, 1, 2).float()


def test_its_terms_are_those_of_the_stages() -> None:
    torch.manual_seed(1)
    model, x, level = Joint(SMALL).eval(), rgb(3, 4), torch.tensor([0.5, 0.5])
    assert model.transforms
    with torch.no_grad():
        rates = model(x)
        code_bits, _, shown, _ = model.transforms.coded(x / 255 - 0.5, level)
        decoded, hidden = train.decoded_of(model.transforms, x, level)
        texture = model.likelihood.texture
        parameters, predicted = texture(to_ycocg(x), decoded, texture.given_code(decoded, hidden, level))
    bits = pixel_bits(parameters, to_ycocg(x) - predicted, 2).mean((1, 2))
    torch.testing.assert_close(rates.code_bpp, code_bits / 32**2)
    torch.testing.assert_close(rates.pixels_bpp, bits)
    torch.testing.assert_close(rates.error, ((shown - (x / 255 - 0.5)) ** 2).mean((1, 2, 3)) * 255**2)
    found = measured(model, [picture(32, 32, seed=3).samples])
    np.testing.assert_allclose(found.bpd, (code_bits[:1] / 32**2 + bits[:1]) / 3, rtol=1e-5)


@pytest.mark.parametrize("masked_layers", [0, 1, 2])
def test_a_pixel_is_given_what_its_window_says(masked_layers: int) -> None:
    torch.manual_seed(2)
    model = Likelihood(replace(SMALL.pixels, layers=max(0, masked_layers - 1)))
    x, level = to_ycocg(rgb(5, side=24)), torch.tensor([1.0])
    other, row, column = x.clone(), 12, 10
    other[:, :, row, column] += 9
    decoded, hidden = to_ycocg(rgb(6, side=24)), torch.rand(1, 4, 12, 12)
    with torch.no_grad():
        before, after = (model(one, one if masked_layers else decoded, decoded, hidden, level) for one in (x, other))
    changed = (before != after)[0].numpy()
    assert changed[row, column]
    reach = (
        4 + max(0, masked_layers - 1) if masked_layers else 0
    )  # of the window and the MED predictor, and each 3x3 layer
    assert changed.sum() > 1 or not masked_layers
    changed[row : row + reach + 1, max(0, column - reach) : column + reach + 1] = False
    assert not changed.any()


def test_rounded_colours_have_the_gradient_of_linear_ones() -> None:
    x = (rgb(7).clamp(1, 254) + 0.3).requires_grad_()
    found = to_ycocg_smoothly(x)
    assert torch.equal(found.round(), to_ycocg(x.detach().round().clamp(0, 255)))
    weights = torch.randn_like(found)
    (found * weights).sum().backward()
    y, co, cg = weights.unbind(1)
    green = y / 2 + cg
    torch.testing.assert_close(x.grad, torch.stack([y / 4 + co - cg / 2, green, y / 4 - co - cg / 2], 1))
    beyond = torch.tensor([-9.0, 300.0, 260.0]).view(1, 3, 1, 1).requires_grad_()
    assert to_ycocg_smoothly(beyond).flatten().tolist() == to_ycocg(beyond.detach().clamp(0, 255)).flatten().tolist()
    to_ycocg_smoothly(beyond).sum().backward()
    assert not beyond.grad.any()


def test_free_bits_are_free_and_no_others() -> None:
    rates = joint.Rates(torch.tensor([0.01]), torch.tensor([9.0]), torch.tensor([40.0]))
    dearer = rates._replace(code_bpp=torch.tensor([0.5]))
    free = Joint(replace(SMALL, placed=False, free_bpp=0.1))
    assert free.loss(rates).item() == pytest.approx(9.1)
    assert free.loss(dearer).item() == pytest.approx(9.5)
    placed = Joint(SMALL)
    assert placed.loss(rates).item() > placed.loss(rates._replace(error=torch.tensor([20.0]))).item() > 9.01
    assert Joint(replace(SMALL, code=False)).loss(dearer).item() == 9.0


def test_all_of_it_learns_and_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joint, "compiled", lambda function: function)
    monkeypatch.setattr(joint, "compiles", lambda: False)
    told: list[int] = []

    def crops(run: Run):  # type: ignore[no-untyped-def]
        while True:
            yield np.stack([picture(32, 32, seed=run.step + 1).samples])

    def trained(steps: int, folder: str) -> dict[str, Tensor]:
        schedule = Schedule(steps, 1, 32, warm_up=1, average=0.5)
        model = fit(
            replace(SMALL, whole=True), schedule, tmp_path / folder, crops, lambda _, step: told.append(step) or "", str
        )
        return model.state_dict()

    first = trained(2, "a")
    trained(4, "a")
    assert told == [2, 4]
    torch.manual_seed(0)
    begun = Joint(SMALL).state_dict()
    moved = {
        name.split(".")[0] + "." + name.split(".")[1] for name in first if not torch.equal(first[name], begun[name])
    }
    assert {"transforms.encoder", "transforms.decoder", "transforms.prior", "likelihood.texture"} <= moved


def test_it_begins_with_a_photo_model_of_its_shape_only() -> None:
    model, other = Joint(SMALL), Joint(SMALL)
    assert other.transforms
    model.begin_with(Kept(PhotoConfig(), other.transforms, other.likelihood.texture, None))
    assert all(
        torch.equal(one, two) for one, two in zip(model.state_dict().values(), other.state_dict().values(), strict=True)
    )
    wider = Joint(replace(SMALL, masked_layers=3))
    with pytest.raises(ConfigError, match="has another shape"):
        wider.begin_with(Kept(PhotoConfig(), other.transforms, other.likelihood.texture, None))
