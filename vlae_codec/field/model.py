"""A released model: a folder with `weights.npz` (integers, no pickle), `model.json` and `card.md`.

`weights.npz` holds all that a decoder computes with; its SHA-256 is the model's identity. `model.json` holds the name,
what an encoder does well to know, and the configuration of the training run, for people.

Parts are built when they are first used: a decoder never unpacks the encoder.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.coding.bits import LONGEST_SYMBOL_BITS
from vlae_codec.errors import ModelError
from vlae_codec.exact.fixed import ACTIVATION_LIMIT, Affine, approximate
from vlae_codec.exact.layers import ResidualBlock
from vlae_codec.picture.fields import SIDE

from .latents import SYMBOLS
from .network import Decoder, Encoder, PixelCNN
from .prior import HIDDEN_LIMIT, Prior

RELEASED = Path(__file__).parent.parent / "released"
"""The models that ship with the package, a folder each."""
DEFAULT = "mnist-dynamic"

REGISTERED = {
    1: "0ea23294f7aea5bff1b6a6366362e94f9af96e38740300bcca05b14d1931f0c7",  # before any release; no longer distributed
    2: "6432ac5998d8732ed3c2fbdbd437acb753ca6b893ee97ab16080f880bace2a72",  # before any release; no longer distributed
    3: "996ab45b11be1f774f5c9a2ec4027bfcbe3fe1d1a460de99a814b9dfad8483e3",  # before any release; no longer distributed
    4: "651458b8570304c8866ea9fc90149eb36ad6211f0117a180492905dc8190191d",  # before any release; no longer distributed
    5: "34a4ca66dd01a35d4ebb98e19fba311ca36b16b176594ce8602edbb5aebc6397",
    6: "b1e2f6aec8f90870cc15eda8ecb2ce2aa7c7ee9a4f0d8fc28d3ae905b54a7661",
    7: "492e9629c145aec709a3ae6d3b2530c8e4566be1639bc95260c13f6aab69bd3e",
    8: "567cff4658f59a39eb9e14eaff0783b42c315777bacd94cd0df7284a1baa52a1",  # before any release; no longer distributed
    9: "4585c1d6f274f04fca5abd02783ac00875c75cee86be35dea23a2aa2f44c5b8e",
}
"""Permanent: the SHA-256 that a number in a file stands for. A model that is not here is named by its digest."""

_LARGEST_BYTES, _LARGEST_INFLATED_BYTES = 64 << 20, 256 << 20
_MOST_CELLS = 1 << 16
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Model:
    """An integer VLAE. `digest` is the SHA-256 of its weights file.

    mostly_ink: the share of its training images of which more than half is ink; a hint for encoders (see `polarity`).
    """

    name: str
    digest: bytes
    arrays: Arrays
    mostly_ink: float = 0.0

    def __reduce__(self) -> tuple[type[Model], tuple[str, bytes, Arrays, float]]:
        """Sent to another process, a model goes without the parts that were built from it."""
        return Model, (self.name, self.digest, self.arrays, self.mostly_ink)

    @property
    def number(self) -> int | None:
        """The registered number, 1..255, or None."""
        return number_of(self.digest.hex())

    @property
    def identity(self) -> int | bytes:
        """What files name the model by: its number, else the first 8 bytes of its digest."""
        return self.digest[:8] if self.number is None else self.number

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
        return Model(_name(about["name"]), digest, _integers(data), _share(about.get("mostly_ink", 0.0)))
    except FileNotFoundError as error:
        raise ModelError(f"no model in {folder}: it has no {Path(error.filename).name}") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"no model in {folder}: {error}") from error


def _integers(data: bytes) -> Arrays:
    """The arrays of a weights file, if they are integers that are not too many."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as members:
            inflated_bytes = sum(member.file_size for member in members.infolist())
        if inflated_bytes > _LARGEST_INFLATED_BYTES:
            raise ValueError(f"its arrays are larger than those of any model ({_LARGEST_INFLATED_BYTES} bytes)")
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays = dict(stored)
    except (MemoryError, ValueError):
        raise
    except Exception as error:  # zipfile and numpy fail in many ways on what is damaged
        raise ValueError("its weights are damaged") from error
    odd = [name for name, array in arrays.items() if array.dtype.kind not in "iu"]
    if odd:
        raise ValueError(f"{odd[0]!a} is no array of integers")
    return arrays


def _name(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError("its name is no line of text")
    return value


def _share(value: object) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 1:  # type: ignore[operator]
        raise ValueError(f"a share is a number from 0 to 1, not {str(value)[:20]}")
    return float(value)  # type: ignore[arg-type]


def load_default() -> Model:
    """The default released model."""
    return named(DEFAULT)


def released() -> list[Path]:
    """The folders of the models that ship with the package."""
    return sorted(path.parent for path in RELEASED.glob("*/model.json"))


def named(name: str) -> Model:
    """A released model by name, or the model in the folder `name`.

    Raises:
        ModelError: there is none, or it is none that can code.
    """
    if Path(name).is_dir() and name not in _released_names():
        return _tried(load(Path(name)))
    return _load_released(folder_of(name))


def _tried(model: Model) -> Model:
    """The model itself, after each part has computed something: a folder may hold anything.

    Raises:
        ModelError: the parts do not fit each other, or an array has not the values that it may have.
    """
    blank = np.zeros((1, SIDE, SIDE), np.uint8)
    try:
        lengths, prior = model.octave_lengths, model.prior
        if len(lengths) != SYMBOLS or not all(0 < length <= LONGEST_SYMBOL_BITS for length in lengths):
            raise ValueError(f"there are {SYMBOLS} octave lengths of 1 to {LONGEST_SYMBOL_BITS} bits")
        if sum(2.0**-length for length in lengths) > 1.0:
            raise ValueError("no prefix code has these octave lengths")
        if not (0 < prior.cells <= _MOST_CELLS and 0 <= prior.split <= prior.latents and (prior.steps > 0).all()):
            raise ValueError("the lattice of the prior is none")
        k = prior.sample(np.zeros((1, prior.latents), np.int64))
        logits = model.pixels.logits(blank, model.decoder(prior.values(k)))
        if model.encoder(blank)[0].shape != k.shape or logits.shape != (1, SIDE * SIDE):
            raise ValueError("there are not as many latents, or pixels, on one side as on the other")
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        raise ModelError(f"the parts of the model {model.name!a} do not fit each other: {error}") from error
    return model


def folder_of(name: str) -> Path:
    """The folder of a released model.

    Raises:
        ModelError: there is none of that name.
    """
    if name in _released_names():
        return RELEASED / name
    raise ModelError(f"no model {name!r}: give one of {', '.join(_released_names())}, or the folder of a model")


def _released_names() -> list[str]:
    return [folder.name for folder in released()]


def find(identity: int | bytes, given: Model | None = None) -> Model:
    """The model that a file names, by its number or the first bytes of its digest; `given` is looked at first.

    Raises:
        ModelError: it is not known here.
    """
    wanted = REGISTERED.get(identity, "none") if isinstance(identity, int) else identity.hex()
    if given is not None and given.digest.hex().startswith(wanted):
        return given
    for folder, sha256 in _released_digests().items():
        if sha256.startswith(wanted):
            return _load_released(folder)
    what = f"number {identity}" if isinstance(identity, int) else f"digest {identity.hex()}..."
    raise ModelError(
        f"the file needs the model with {what}, which is not among the released ones; give it with --model DIR"
    )


def number_of(sha256: str) -> int | None:
    """The registered number of a digest in hexadecimal, if it has one."""
    return next((number for number, registered in REGISTERED.items() if registered == sha256), None)


@cache
def _released_digests() -> dict[Path, str]:
    """The digest of each released model, in hexadecimal: read once, not once a file."""
    return {folder: json.loads((folder / "model.json").read_text(encoding="utf-8"))["sha256"] for folder in released()}


@cache
def _load_released(folder: Path) -> Model:
    return load(folder)
