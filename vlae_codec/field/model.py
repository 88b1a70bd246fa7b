"""An integer VLAE: the arrays of a `weights.npz` as encoder, prior, decoder and PixelCNN.

Parts are built when they are first used: a decoder never unpacks the encoder.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.coding.bits import LONGEST_SYMBOL_BITS
from vlae_codec.errors import ModelError
from vlae_codec.exact.fixed import ACTIVATION_LIMIT, Affine, approximate
from vlae_codec.exact.layers import ResidualBlock
from vlae_codec.family import Arrays
from vlae_codec.picture.fields import SIDE
from vlae_codec.registry import identity_of, number_of

from .latents import SYMBOLS
from .memory import Memory
from .network import Decoder, Encoder, PixelCNN
from .prior import HIDDEN_LIMIT, Prior

_MOST_CELLS = 1 << 16


@dataclass(frozen=True)
class Model:
    """An integer VLAE. `digest` is the SHA-256 of its weights file.

    mostly_ink: the share of its training images of which more than half is ink; a hint for encoders (see `polarity`).
    memory: of what was searched for, if searches are to share it; it stays in this process.
    """

    name: str
    digest: bytes
    arrays: Arrays
    mostly_ink: float = 0.0
    memory: Memory | None = field(default=None, compare=False, repr=False)

    def __reduce__(self) -> tuple[type[Model], tuple[str, bytes, Arrays, float]]:
        """Sent to another process, a model goes without the parts that were built from it."""
        return type(self), (self.name, self.digest, self.arrays, self.mostly_ink)

    @cached_property
    def roots(self) -> dict[int, Any]:
        """What `codebook` has read or drawn of the codebook, by its size: 3 MB at most."""
        return {}

    @property
    def number(self) -> int | None:
        """The registered number, 1..255, or None."""
        return number_of(self.digest)

    @property
    def identity(self) -> int | bytes:
        """What files name the model by: its number, else the first 8 bytes of its digest."""
        return identity_of(self.digest)

    @cached_property
    def rough(self) -> Model:
        """This model with prior, decoder and PixelCNN in float32: twice as fast, good for searches only."""
        rough = replace(self)
        for part in ("prior", "decoder", "pixels"):
            rough.__dict__[part] = approximate(getattr(self, part))
        return rough

    def array(self, name: str) -> npt.NDArray[Any]:
        """One array of the weights file.

        Raises:
            ModelError: there is none of that name.
        """
        try:
            return self.arrays[name]
        except KeyError as error:
            raise ModelError(f"the model {self.name} has no array {name}") from error

    @property
    def _latent_limit(self) -> float:
        """The largest |z| that any lattice point has."""
        lowest, cells = self.array("prior.lowest"), int(self.array("prior.cells"))
        ends = np.maximum(np.abs(lowest), np.abs(lowest + cells - 1))
        return float((ends * self.array("prior.steps")).max())

    @cached_property
    def encoder(self) -> Encoder:
        """q(z|x)."""
        return Encoder(
            self._affine("encoder.input", 1.0),
            self._blocks("encoder.top"),
            self._affine("encoder.down"),
            self._blocks("encoder.bottom"),
            self._affine("encoder.dense"),
            self._affine("encoder.posterior"),
        )

    @cached_property
    def prior(self) -> Prior:
        """p(z)."""
        steps, lowest = self.array("prior.steps").astype(np.int64), self.array("prior.lowest").astype(np.int64)
        degrees, count, limit = self.array("prior.degrees"), len(steps), self._latent_limit
        upto = np.searchsorted(degrees, np.arange(1, count + 1))  # units of degree <= d are the first upto[d]
        layers, hidden = int(self.array("prior.layers")), []
        for layer in range(layers):
            seen = upto if layer else np.arange(count)
            hidden.append(
                tuple(
                    self._affine(f"prior.hidden.{layer}", limit, slice(seen[d]), slice(upto[d - 1], upto[d]))
                    for d in range(1, count)
                )
            )
            limit = HIDDEN_LIMIT
        group = len(self.array("prior.output.bias")) // count
        outputs = tuple(
            self._affine("prior.output", limit, slice(upto[i]), slice(i * group, (i + 1) * group)) for i in range(count)
        )
        cells, split = int(self.array("prior.cells")), int(self.array("prior.split"))
        return Prior(tuple(hidden), outputs, steps, lowest, cells, split)

    @cached_property
    def decoder(self) -> Decoder:
        """z -> context."""
        return Decoder(
            self._affine("decoder.dense", self._latent_limit),
            self._affine("decoder.expand"),
            self._blocks("decoder.bottom"),
            self._affine("decoder.up"),
            self._blocks("decoder.top"),
            self._affine("decoder.output"),
        )

    @cached_property
    def pixels(self) -> PixelCNN:
        """p(x|z)."""
        count = int(self.array("pixels.layers"))
        blocks = tuple(
            (self._affine(f"pixels.blocks.{i}.first"), self._affine(f"pixels.blocks.{i}.second")) for i in range(count)
        )
        return PixelCNN(self._affine("pixels.input", 1.0), blocks, self._affine("pixels.output"))

    @property
    def octave_lengths(self) -> list[int]:
        """Code lengths of the symbols of the latent section, bits: see `latents`."""
        return [int(length) for length in self.array("octave_lengths")]

    def _affine(
        self, name: str, limit: float = ACTIVATION_LIMIT, rows: slice = slice(None), columns: slice = slice(None)
    ) -> Affine:
        weight, bias, shift = (self.array(f"{name}.{part}") for part in ("weight", "bias", "shift"))
        return Affine.rounding(weight[rows, columns], bias[columns], int(shift), limit)

    def _blocks(self, name: str) -> tuple[ResidualBlock, ...]:
        count = sum(f"{name}.{i}.first.shift" in self.arrays for i in range(16))
        return tuple(
            ResidualBlock(self._affine(f"{name}.{i}.first"), self._affine(f"{name}.{i}.second")) for i in range(count)
        )

    def check(self) -> None:
        """Computes something with each part: a folder may hold anything.

        Raises:
            ModelError: the parts do not fit each other, or an array has values that it cannot have.
        """
        blank = np.zeros((1, SIDE, SIDE), np.uint8)
        try:
            lengths, prior = self.octave_lengths, self.prior
            if len(lengths) != SYMBOLS or not all(0 < length <= LONGEST_SYMBOL_BITS for length in lengths):
                raise ValueError(f"there are {SYMBOLS} octave lengths of 1 to {LONGEST_SYMBOL_BITS} bits")
            if sum(2.0**-length for length in lengths) > 1.0:
                raise ValueError("no prefix code has these octave lengths")
            if not (0 < prior.cells <= _MOST_CELLS and 0 <= prior.split <= prior.latents and (prior.steps > 0).all()):
                raise ValueError("the prior's lattice is invalid")
            k = prior.sample(np.zeros((1, prior.latents), np.int64))
            logits = self.pixels.logits(blank, self.decoder(prior.values(k)))
            if self.encoder(blank)[0].shape != k.shape or logits.shape != (1, SIDE * SIDE):
                raise ValueError("encoder and decoder disagree in the number of latents or pixels")
        except (ValueError, IndexError, TypeError, OverflowError) as error:
            raise ModelError(f"the parts of the model {self.name!a} do not fit each other: {error}") from error
