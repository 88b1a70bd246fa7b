"""Data sets as arrays of ink probability, (N, 28, 28) uint8 with 0 = never ink and 255 = always.

A statically binarised set holds only 0 and 255; a gray one is binarised anew each time it is drawn (Burda et al. 2015).
A set of one's own is an archive as `collect` makes it, of any other name. Archives are `NAME.npz`, read with
`allow_pickle=False`; their folder is `--data`, the variable VLAE_DATA, or `data/`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.errors import ConfigError

Images = npt.NDArray[np.uint8]

# name -> (archive, {part: key})
_SETS = {
    "mnist_static": ("mnist_static.npz", {"train": "train", "valid": "valid", "test": "test"}),
    "mnist_gray": ("mnist_gray.npz", {"train": "train_x", "valid": "train_x", "test": "test_x"}),
    "omniglot28": ("omniglot28.npz", {"train": "train", "test": "test"}),
    "caltech101": ("caltech101.npz", {"train": "train", "valid": "valid", "test": "test"}),
}
_LAYOUTS = {"mnist_static": (98,), "mnist_gray": (28, 28), "omniglot28": (784,), "caltech101": (98,)}
"""The shape of each image: 98 bytes of packed bits, or ink from 0 to 255. One's own may be either."""
PARTS = ("train", "valid", "test")
"""Of a set of one's own."""
CHARACTERS = 1623
"""Classes of `omniglot28`."""
_GRAY_TRAIN = 50_000  # the first 50,000 of MNIST's 60,000 are `train`, the rest `valid`


def titled(name: str) -> str:
    """The name of a set beside figures. Of OMNIGLOT others use another version: what is not theirs says so."""
    return f"{name} (derived)" if name == "omniglot28" else name


def load(name: str, parts: Iterable[str], folder: Path | None = None) -> Images:
    """The named parts of a set, one after the other: (N, 28, 28) uint8.

    Raises:
        ConfigError: the set, the part or the file is not there, or is not laid out as expected.
    """
    archive, keys = _SETS.get(name, (f"{name}.npz", dict(zip(PARTS, PARTS, strict=True))))
    if name not in _SETS and not (_folder(folder) / archive).exists():
        known = f"known are {', '.join(_SETS)}, and what `data collect` makes"
        raise ConfigError(f"no data set {name!r} in {_folder(folder)}: {known}; point --data at the folder")
    chosen = [*parts]
    for part in chosen:
        if part not in keys:
            raise ConfigError(f"{name} has no part {part!r}: it has {', '.join(keys)}")
    if not chosen:
        raise ConfigError(f"no part of {name} is named: it has {', '.join(keys)}")
    with _reading(archive, folder) as arrays:
        return np.concatenate([_part(name, part, arrays[keys[part]]) for part in chosen])


def _folder(given: Path | None) -> Path:
    return given or Path(os.environ.get("VLAE_DATA", "data"))


@contextmanager
def _reading(archive: str, folder: Path | None) -> Iterator[Mapping[str, npt.NDArray[Any]]]:
    """The arrays of an archive; what goes wrong with them within the context is a ConfigError."""
    path = _folder(folder) / archive
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            yield arrays
    except MemoryError:
        raise
    except Exception as error:  # numpy parses headers as Python source, which fails in many ways
        raise ConfigError(f"cannot read {path} ({error}); point --data at the folder") from error


def _part(name: str, part: str, stored: npt.NDArray[np.uint8]) -> Images:
    if name == "mnist_gray" and part != "test":
        stored = stored[:_GRAY_TRAIN] if part == "train" else stored[_GRAY_TRAIN:]
    _check(name, part, stored)
    if stored.shape[1:] == (98,):
        stored = np.unpackbits(stored, axis=1)[:, :784] * np.uint8(255)
    return stored.reshape(-1, 28, 28)


def _check(name: str, part: str, stored: npt.NDArray[Any]) -> None:
    """Raises ValueError for what is not a part of a set as `data prepare` or `data collect` makes it, or of gray images."""
    layouts = [_LAYOUTS[name]] if name in _LAYOUTS else [(98,), (28, 28)]
    bright = stored.shape[1:] == (98,) or stored.max(initial=0) > 1
    if stored.dtype != np.uint8 or not len(stored) or stored.shape[1:] not in layouts or not bright:
        shapes = " or ".join(str(("N", *layout)).replace("'", "") for layout in layouts)
        raise ValueError(f"{part} of {name} must be uint8 {shapes}: packed bits, or ink from 0 to 255")


def digest(images: npt.NDArray[np.uint8]) -> str:
    """The SHA-256 of images, rows first, in hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()


def binarise(images: Images, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """One Bernoulli draw per pixel: (N, 1, 28, 28) float32 in {0, 1}."""
    draws = rng.integers(0, 255, images.shape, dtype=np.uint8)  # 0..254, so that 255 is always ink
    return (draws < images)[:, None].astype(np.float32)


def warped(images: Images, pixels: float, rng: np.random.Generator) -> Images:
    """Images, each moved smoothly by a random field of its own (Simard et al. 2003, Section 2): (N, 28, 28) uint8.

    The field is linear between 4 by 4 knots, at which each of its two coordinates is of N(0, pixels^2). A pixel takes the
    nearest one's value whole, so that the texture stays that of the set but for a seam here and there.
    """
    side = images.shape[1]
    knots = np.linspace(0, side - 1, 4)
    between = np.stack([np.interp(np.arange(side), knots, knot) for knot in np.eye(4)], axis=1)
    moved = between @ rng.normal(0, pixels, (len(images), 2, 4, 4)) @ between.T
    rows, columns = np.rint(np.indices((side, side)) + moved).astype(np.int64).clip(0, side - 1).swapaxes(0, 1)
    return images[np.arange(len(images))[:, None, None], rows, columns]


def shuffled_part(images: Images, count: int, seed: int) -> Images:
    """A fixed random `count` of the images; test sets are sorted by class, so a slice is not a sample."""
    return images[np.random.default_rng(seed).permutation(len(images))[:count]]


def labels(part: str, folder: Path | None = None) -> npt.NDArray[np.uint8]:
    """Classes of `mnist_gray`'s train (60,000) or test part, in its order.

    Raises:
        ConfigError: the archive is not there.
    """
    with _reading("mnist_gray.npz", folder) as arrays:
        return np.asarray(arrays[f"{part}_y"], np.uint8)


def static_test_labels(folder: Path | None = None) -> npt.NDArray[np.uint8]:
    """Classes of the test part of `mnist_static`, which is sorted by class."""
    return np.sort(labels("test", folder))


def characters(part: str) -> npt.NDArray[np.int64]:
    """Classes of `omniglot28`'s parts, in their order: each of 1,623 characters by drawers 1-15 (train) or 16-20 (test)."""
    return np.arange(CHARACTERS).repeat({"train": 15, "test": 5}[part])
