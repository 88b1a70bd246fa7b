"""The networks of a photo model, each made of the model's arrays when it is first needed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from . import adaptation
from .coarse import Coarse
from .grain import Grain
from .network import LEVEL_STEPS, Arrays, Decoder, Encoder
from .prior import Prior
from .refining import Gradient
from .texture import Texture


@dataclass(frozen=True)
class Model:
    """q(z|x), p(z), the decoded picture, p(x|z), and what draws the texture of lossy pictures."""

    arrays: Arrays

    @cached_property
    def encoder(self) -> Encoder:
        """q(z|x)."""
        return Encoder.of(self.arrays)

    @cached_property
    def decoder(self) -> Decoder:
        """The decoded picture."""
        return Decoder.of(self.arrays)

    @cached_property
    def coarse(self) -> Coarse:
        """The coarse picture of a preview."""
        return Coarse.of(self.arrays)

    @cached_property
    def prior(self) -> Prior:
        """p(z)."""
        return Prior.of(self.arrays)

    @cached_property
    def gradient(self) -> Gradient:
        """Of the decoded picture's error, for searches."""
        return Gradient(self.decoder)

    @cached_property
    def texture(self) -> Texture:
        """p(x|z)."""
        return Texture.of(self.arrays)

    @cached_property
    def grain(self) -> Grain | None:
        """What draws; None of a model that was not trained to."""
        return Grain.of(self.arrays)

    def corrected(self, corrections: bytes) -> Texture:
        """p(x|z) of a file with these corrections, if there are any.

        Raises:
            FormatError: they are not valid.
        """
        if not corrections:
            return self.texture
        inputs, outputs = self.texture.output.weight.shape
        return adaptation.adapted(self.texture, adaptation.read(corrections, inputs, outputs))

    @property
    def qualities(self) -> int:
        """How many steps of quality there are."""
        return (int(self.arrays["levels"]) - 1) * LEVEL_STEPS + 1

    def lambda_at(self, quality: int) -> float:
        """Lambda at a quality, interpolated in the log."""
        level, part = divmod(quality, LEVEL_STEPS)
        lambdas = np.append(self.arrays["lambdas"], self.arrays["lambdas"][-1]) * 2.0**-24
        return float(lambdas[level] ** (1 - part / LEVEL_STEPS) * lambdas[level + 1] ** (part / LEVEL_STEPS))
