"""Models: folders with `weights.npz` (no pickle), `model.json` and `card.md`; those that ship, and whichever is given.

`weights.npz` holds all that a decoder computes with; its SHA-256 is the model's identity. The array `family` in it, a text,
says of which family the model is; without one it is of the family `field`. `model.json` holds the name, what an encoder does
well to know, and the configuration of the training run, for people.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import overload

import numpy as np

from . import npz, registry
from .errors import ModelError
from .family import Arrays, Coder, Family, Identity
from .options import wrong

RELEASED = Path(__file__).parent / "released"
"""The models that ship with the package, a folder each."""
DEFAULT = "mnist-dynamic"
PHOTO = "photo"
INK = "ink"
AUTO = "auto"
"""The name of the model that stands for all of them: see `choose`."""

FAMILIES = {
    "field": "vlae_codec.field.coder",
    "grid": "vlae_codec.grid.coder",
    "ink": "vlae_codec.ink.coder",
    "raw": "vlae_codec.raw.coder",
}
"""Where each family lives: the module whose `FAMILY` it is, imported when a model of it is first met."""
WITHOUT_MODEL = {1: "field", 2: "raw"}
"""The family of files that name no model, by version of the format."""

_FAMILY_ARRAY = "family"
_LARGEST_BYTES, _LARGEST_INFLATED_BYTES = 64 << 20, 256 << 20


def family(name: str) -> Family:
    """The family of that name.

    Raises:
        ModelError: it is not known here.
    """
    if name not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise ModelError(f"models of the family {name!a} are not known here, only of {known}; upgrade vlae-codec")
    found: Family = import_module(FAMILIES[name]).FAMILY
    return found


def load(folder: Path) -> Coder:
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
        identity = Identity(_name(about["name"]), digest, {**about, **registry.about(digest)})
        name, arrays = _arrays(data)
        return family(name).load(identity, arrays)
    except FileNotFoundError as error:
        raise ModelError(f"no model in {folder}: it has no {Path(error.filename).name}") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"no model in {folder}: {error}") from error


def _arrays(data: bytes) -> tuple[str, Arrays]:
    """Family and arrays of a weights file, if the latter are integers that are not too many."""
    try:
        arrays = npz.read(data, _LARGEST_INFLATED_BYTES)
    except (MemoryError, ValueError) as error:
        raise ValueError(f"its weights cannot be read: {error}") from error
    except Exception as error:  # numpy fails in many ways on what is damaged
        raise ValueError("its weights are damaged") from error
    named = arrays.pop(_FAMILY_ARRAY, np.array("field"))
    if named.dtype.kind != "U" or named.size != 1:
        raise ValueError(f"its array {_FAMILY_ARRAY!r} is not a text")
    odd = [name for name, array in arrays.items() if array.dtype.kind not in "iu"]
    if odd:
        raise ValueError(f"{odd[0]!a} is not an array of integers")
    return str(named), arrays


def _name(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError("its name is not a line of text")
    return value


def load_default() -> Coder:
    """The default released model."""
    return named(DEFAULT)


def released() -> list[Path]:
    """The folders of the models that ship with the package."""
    return sorted(path.parent for path in RELEASED.glob("*/model.json"))


def named(name: str) -> Coder:
    """A released model by name, or the model in the folder `name`.

    Raises:
        ModelError: there is none, or it cannot code.
    """
    if Path(name).is_dir() and name not in released_names():
        model = load(Path(name))
        model.check()
        return model
    return _load_released(folder_of(name))


@overload
def given(model: None) -> None: ...
@overload
def given(model: Coder | str) -> Coder: ...
def given(model: Coder | str | None) -> Coder | None:
    """A model as the caller of a function gives it: loaded, or as of `named`; None is none.

    Raises:
        ModelError: as of `named`.
        OptionError: it is something else.
    """
    check_given(model)
    return named(model) if isinstance(model, str) else model


def check_given(model: object) -> None:
    """Raises OptionError if it is neither None, nor a model that was loaded, nor a text."""
    if not (model is None or isinstance(model, str | Coder)):
        raise wrong("model", "a name, the path of a folder as a text, or a model that was loaded", model)


def folder_of(name: str) -> Path:
    """The folder of a released model.

    Raises:
        ModelError: there is none of that name.
    """
    if name in released_names():
        return RELEASED / name
    raise ModelError(f"no model {name!r}: give one of {', '.join(released_names())}, or the folder of a model")


def find(identity: int | bytes, given: Coder | None = None, *, version: int) -> Coder:
    """The model that a file of that version names, by number or first bytes of the digest; `given` is looked at first.

    Raises:
        ModelError: it is not known here.
    """
    if identity == registry.NO_MODEL:
        return without_model(version)
    wanted = registry.REGISTERED.get(identity, "none") if isinstance(identity, int) else identity.hex()
    if given is not None and given.digest.hex().startswith(wanted):
        return given
    for folder, sha256 in _released_digests().items():
        if sha256.startswith(wanted):
            return _load_released(folder)
    what = f"number {identity}" if isinstance(identity, int) else f"digest {identity.hex()}..."
    raise ModelError(
        f"the file needs the model with {what}, which is not among the released ones; give it with model=DIR"
    )


def released_names() -> list[str]:
    """The names of the models that ship with the package."""
    return [folder.name for folder in released()]


@cache
def drawers() -> tuple[str, ...]:
    """The released models of drawings that compete for a picture of which nothing else is said; the default one first."""
    found = [
        folder.name for folder, sha in _released_digests().items() if registry.about(bytes.fromhex(sha)).get("competes")
    ]
    return tuple(sorted(found, key=lambda name: name != DEFAULT))


@cache
def without_model(version: int) -> Coder:
    """The coder of files of that version that name no model."""
    return family(WITHOUT_MODEL[version]).load(Identity("", b""), {})


@cache
def _released_digests() -> dict[Path, str]:
    """The digest of each released model, in hexadecimal: read once, not once a file."""
    return {folder: json.loads((folder / "model.json").read_text(encoding="utf-8"))["sha256"] for folder in released()}


@cache
def _load_released(folder: Path) -> Coder:
    return load(folder)
