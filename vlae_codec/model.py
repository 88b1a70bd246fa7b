"""A released model: a folder with `weights.npz` (integers, no pickle), `model.json` and `card.md`.

`weights.npz` holds all that a decoder computes with; its SHA-256 is the model's identity. `model.json` holds the name,
the registered id if it has one, and the configuration of the training run, for people.

Parts are built when they are first used: a decoder never unpacks the encoder.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import ModelError
from .fixed import ACTIVATION_LIMIT, LATENT_BITS, Affine
from .network import Decoder, Encoder, PixelCNN, ResidualBlock
from .prior import HIDDEN_LIMIT, Prior

RELEASED = Path(__file__).parent / "released"
"""The models that ship with the package, a folder each."""
DEFAULT = "mnist"

_LATENT_LIMIT = float(1 << LATENT_BITS + 5)
_LARGEST_BYTES = 64 << 20
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Model:
    """An integer VLAE. `digest` is the SHA-256 of its weights file, `number` its registered id (1..255) or None."""

    name: str
    number: int | None
    digest: bytes
    arrays: Arrays

    @property
    def identity(self) -> int | bytes:
        """What files name the model by: its number, else the first 8 bytes of its digest."""
        return self.digest[:8] if self.number is None else self.number

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
        arrays = self.arrays
        steps, lowest = arrays["prior.steps"].astype(np.int64), arrays["prior.lowest"].astype(np.int64)
        degrees, count, limit = arrays["prior.degrees"], len(steps), _LATENT_LIMIT
        upto = np.searchsorted(degrees, np.arange(1, count + 1))  # units of degree <= d are the first upto[d]
        layers, hidden = int(arrays["prior.layers"]), []
        for layer in range(layers):
            seen = upto if layer else np.arange(count)
            hidden.append(
                tuple(
                    self._affine(f"prior.hidden.{layer}", limit, slice(seen[d]), slice(upto[d - 1], upto[d]))
                    for d in range(1, count)
                )
            )
            limit = HIDDEN_LIMIT
        group = len(arrays["prior.output.bias"]) // count
        outputs = tuple(
            self._affine("prior.output", limit, slice(upto[i]), slice(i * group, (i + 1) * group)) for i in range(count)
        )
        return Prior(tuple(hidden), outputs, steps, lowest, int(arrays["prior.cells"]))

    @cached_property
    def decoder(self) -> Decoder:
        """z -> context."""
        return Decoder(
            self._affine("decoder.dense", _LATENT_LIMIT),
            self._affine("decoder.expand"),
            self._blocks("decoder.bottom"),
            self._affine("decoder.up"),
            self._blocks("decoder.top"),
            self._affine("decoder.output"),
        )

    @cached_property
    def pixels(self) -> PixelCNN:
        """p(x|z)."""
        count = int(self.arrays["pixels.layers"])
        blocks = tuple(
            (self._affine(f"pixels.blocks.{i}.first"), self._affine(f"pixels.blocks.{i}.second")) for i in range(count)
        )
        return PixelCNN(self._affine("pixels.input", 1.0), blocks, self._affine("pixels.output"))

    @property
    def octave_lengths(self) -> list[int]:
        """Code lengths of the octave symbols, bits: see `numbers`."""
        return [int(length) for length in self.arrays["octave_lengths"]]

    def _affine(
        self, name: str, limit: float = ACTIVATION_LIMIT, rows: slice = slice(None), columns: slice = slice(None)
    ) -> Affine:
        try:
            weight, bias, shift = (self.arrays[f"{name}.{part}"] for part in ("weight", "bias", "shift"))
        except KeyError as error:
            raise ModelError(f"the model {self.name} has no layer {name}") from error
        return Affine.rounding(weight[rows, columns], bias[columns], int(shift), limit)

    def _blocks(self, name: str) -> tuple[ResidualBlock, ...]:
        count = sum(f"{name}.{i}.first.shift" in self.arrays for i in range(16))
        return tuple(
            ResidualBlock(self._affine(f"{name}.{i}.first"), self._affine(f"{name}.{i}.second")) for i in range(count)
        )


def load(folder: Path) -> Model:
    """Reads a model folder.

    Raises:
        ModelError: the folder or a file in it is missing, damaged, or not a model.
    """
    try:
        about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        weights = folder / "weights.npz"
        if weights.stat().st_size > _LARGEST_BYTES:
            raise ModelError(f"{weights} is larger than any model ({_LARGEST_BYTES} bytes)")
        data = weights.read_bytes()
        digest = hashlib.sha256(data).digest()
        if about["sha256"] != digest.hex():
            raise ModelError(f"{weights} is damaged: its SHA-256 is not the one in model.json")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return Model(str(about["name"]), about["number"], digest, dict(arrays))
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ModelError(f"no model in {folder}: {error}") from error


def load_default() -> Model:
    """The default released model."""
    return named(DEFAULT)


def released() -> list[Path]:
    """The folders of the models that ship with the package."""
    return sorted(path.parent for path in RELEASED.glob("*/model.json"))


def named(name: str) -> Model:
    """A released model by name, or the model in the folder `name`.

    Raises:
        ModelError: there is none.
    """
    for folder in released():
        if folder.name == name:
            return _load_released(folder)
    if Path(name).is_dir():
        return load(Path(name))
    known = ", ".join(folder.name for folder in released())
    raise ModelError(f"no model {name!r}: give one of {known}, or the folder of a model")


def find(identity: int | bytes, given: Model | None = None) -> Model:
    """The model that a file names, by its number or the first bytes of its digest; `given` is looked at first.

    Raises:
        ModelError: it is not known here.
    """
    if given is not None and _is(given.number, given.digest.hex(), identity):
        return given
    for folder in released():
        about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if _is(about["number"], about["sha256"], identity):
            return _load_released(folder)
    what = f"number {identity}" if isinstance(identity, int) else f"digest {identity.hex()}..."
    raise ModelError(
        f"the file needs the model with {what}, which is not among the released ones; give it with --model DIR"
    )


def _is(number: int | None, digest: str, identity: int | bytes) -> bool:
    return number == identity if isinstance(identity, int) else digest.startswith(identity.hex())


@cache
def _load_released(folder: Path) -> Model:
    return load(folder)
