"""The photo VLAE as one model, all parts trained together: what ablations compare, and what small images are measured with.

    loss = KL(q(z|x) || p(z)) + lambda |x - decoded(z)|^2 - log p(x|z)

One z, rounded, is in all terms. Released models train in stages instead (see `train`): one pair of transforms serves all
rates, and the PixelCNN then costs nothing but its own training.

- `masked_layers` is the window: 0 leaves pixels independent given z; 1 is the first layer alone; each more widens it.
- Without `code` it is the PixelCNN alone, p(x).
- Without `placed` the middle term is gone. Then the rate is free up to `free_bpp`, or z would be given up at once (Chen et
  al. 2016, Section 3.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vlae_codec.errors import ConfigError
from vlae_codec.models.layers import compiled, compiles

from .colour import to_ycocg
from .kept import Kept, kept
from .pictures import Crops
from .rounding import Rounded
from .run import Run, Schedule, advance
from .texture import Texture, TextureConfig, pixel_bits
from .transforms import PATCH
from .vlae import TransformConfig, Transforms

_TABLES = "log_gain", "log_step", "level", ".step"


@dataclass(frozen=True)
class JointConfig:
    """The shape of the model, and its loss. level: of lambda, where there is a choice; the layers of `pixels` do not count.

    whole: training images are whole ones, so that their borders count, too.
    """

    model: TransformConfig = field(default_factory=TransformConfig)
    pixels: TextureConfig = field(default_factory=TextureConfig)
    level: float = 1.0
    code: bool = True
    placed: bool = True
    masked_layers: int = 4
    free_bpp: float = 0.03
    whole: bool = False


class Rates(NamedTuple):
    """Of a batch, bits a pixel (B,) of the code and of the pixels given it; error: mean squared, of 8-bit RGB (B,)."""

    code_bpp: Tensor
    pixels_bpp: Tensor
    error: Tensor


class Likelihood(nn.Module):
    """-log2 p(x|z) of every pixel."""

    def __init__(self, config: TextureConfig) -> None:
        super().__init__()
        self.texture = Texture(config)
        self.bits = pixel_bits

    def forward(self, x: Tensor, context: Tensor, decoded: Tensor, hidden: Tensor, levels: Tensor) -> Tensor:
        """x (B, 3, H, W) whose pixels are seen in another picture, the context, given the decoded one: (B, H, W)."""
        code = self.texture.given_code(decoded, hidden, levels)
        parameters, predicted = self.texture(context, decoded, code)
        return self.bits(parameters, x - predicted, self.texture.config.mixtures)


class Joint(nn.Module):
    """q(z|x), p(z), the decoded picture and p(x|z)."""

    def __init__(self, config: JointConfig) -> None:
        super().__init__()
        self.config = config
        self.transforms = Transforms(config.model) if config.code else None
        self.likelihood = Likelihood(replace(config.pixels, layers=max(0, config.masked_layers - 1)))

    def forward(self, rgb: Tensor) -> Rates:
        """Rates and error of RGB (B, 3, H, W) of 0 .. 255; gradients pass rounded values by."""
        rgb = rgb.contiguous()
        levels = torch.full((len(rgb),), self.config.level, device=rgb.device)
        area = rgb.shape[2] * rgb.shape[3]
        code_bits, decoded, hidden = self._decoded(rgb, levels)
        x, seen = to_ycocg(rgb), to_ycocg_smoothly(decoded)
        context = x if self.config.masked_layers else seen
        with torch.autocast(rgb.device.type, torch.bfloat16, enabled=self.training):
            bits = self.likelihood(x, context, seen, hidden, levels)
        if self.training and not self.config.whole:
            bits = bits[:, :-PATCH, PATCH:-PATCH]  # what lies at a crop's border sees less than in a picture
        return Rates(code_bits / area, bits.mean((1, 2)), ((decoded - rgb) ** 2).mean((1, 2, 3)))

    def begin_with(self, initial: Kept) -> None:
        """Takes the weights of a photo model.

        Raises:
            ConfigError: they are of another shape.
        """
        parts = (self.transforms, initial.transforms), (self.likelihood.texture, initial.texture)
        try:
            for part, own in parts:
                if part:
                    part.load_state_dict(own.state_dict())
        except RuntimeError as error:
            raise ConfigError(f"the photo model to begin with has another shape: {error}") from error

    def _decoded(self, rgb: Tensor, levels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The code's bits (B,), the decoded picture (B, 3, H, W) of 0 .. 255, and the decoder's features."""
        count, _, height, width = rgb.shape
        if self.transforms is None:
            hidden = rgb.new_zeros(count, self.config.pixels.hidden, height // 2, width // 2)
            return rgb.new_zeros(count), torch.zeros_like(rgb), hidden
        with torch.autocast(rgb.device.type, torch.bfloat16, enabled=self.training):
            mu = self.transforms.encoder(rgb / 255 - 0.5, levels)
        rounded = Rounded.of(mu)
        with torch.autocast(rgb.device.type, torch.bfloat16, enabled=self.training):
            code_bits = self.transforms.prior.rounded_bits(rounded, levels)
            hidden, picture = self.transforms.decoder(rounded.z, levels)
        return code_bits, (picture.float() + 0.5) * 255, hidden.float()

    def loss(self, rates: Rates) -> Tensor:
        """What is to fall, bits a pixel."""
        total = rates.pixels_bpp.mean()
        if self.transforms is None:
            return total
        code = rates.code_bpp.mean()
        if not self.config.placed:
            return total + code.clamp(min=self.config.free_bpp)
        return total + code + self.transforms.lambdas(torch.tensor([self.config.level])).item() * rates.error.mean()


def to_ycocg_smoothly(rgb: Tensor) -> Tensor:
    """YCoCg-R of a picture (B, 3, H, W) rounded to whole numbers within 0 .. 255, with the gradient of the linear YCoCg.

    What lies beyond has no gradient: without a distortion it would drift away.
    """
    red, green, blue = rgb.clamp(0, 255).unbind(1)
    middle = (red + blue) / 2
    linear = torch.stack([(middle + green) / 2, red - blue, green - middle], 1)
    whole = to_ycocg(rgb.detach().round().clamp(0, 255))
    return linear + (whole - linear).detach()


def fit(
    config: JointConfig,
    schedule: Schedule,
    folder: Path,
    crops: Callable[[Run], Iterable[Crops]],
    evaluate: Callable[[Joint, int], str],
    report: Callable[[str], None],
    initial: Path | None = None,
    every: int = 2500,
) -> Joint:
    """A model trained to the end of its schedule, from the folder's checkpoint if there is one; its averaged weights.

    crops: what a run sees next. evaluate: what to report of an averaged model at a step, every so many. initial: a run or
    an exported photo model of this shape, of which a new run takes the weights.

    Raises:
        ConfigError: as of `advance`.
    """
    torch.manual_seed(schedule.seed)
    model = Joint(config)
    if initial:
        model.begin_with(kept(initial))
    run = Run(model, schedule, folder, _TABLES)
    model.likelihood.bits = compiled(pixel_bits)
    if compiles() and model.transforms:
        model.transforms.encoder.compile(dynamic=False)
        model.transforms.decoder.compile(dynamic=False)

    def average() -> Joint:
        made = Joint(config)
        made.load_state_dict(run.average)
        return made

    def loss(rgb: Tensor, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        rates = model(rgb)
        figures = {"code_bpd": rates.code_bpp.mean().item() / 3, "pixels_bpd": rates.pixels_bpp.mean().item() / 3}
        return model.loss(rates) / 3, figures

    advance(run, crops(run), asdict(config), loss, lambda _: evaluate(average(), run.step), "cpu", report, every)
    return average()


@dataclass(frozen=True)
class Measured:
    """Of pictures: bits/dim of the code and of the pixels, (N,) each, and the decoded picture's PSNR (N,)."""

    code_bpd: npt.NDArray[np.float64]
    pixels_bpd: npt.NDArray[np.float64]
    psnr_db: npt.NDArray[np.float64]

    @property
    def bpd(self) -> npt.NDArray[np.float64]:
        """Of both together: the bound on -log p(x), one z in both terms."""
        return self.code_bpd + self.pixels_bpd


@torch.inference_mode()
def measured(model: Joint, pictures: Sequence[npt.NDArray[np.uint8]], batch: int = 1) -> Measured:
    """Rates of pictures (H, W, 3), all of one size if `batch` is more than one."""
    model.eval()
    found = []
    for at in range(0, len(pictures), batch):
        some = np.stack(pictures[at : at + batch])
        code, pixels, error = model(torch.from_numpy(some).permute(0, 3, 1, 2).float())
        found.append(torch.stack([code / 3, pixels / 3, 10 * torch.log10(255**2 / error.clamp(min=1e-9))]))
    code_bpd, pixels_bpd, psnr_db = torch.cat(found, 1).double().numpy()
    return Measured(code_bpd, pixels_bpd, psnr_db)


def standard_error(values: npt.NDArray[np.float64]) -> float:
    """Of the mean."""
    return float(values.std(ddof=1) / math.sqrt(len(values)))
