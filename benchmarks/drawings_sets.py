"""Images of the kinds that the drawing models know, in two parts: `tuning`, and `held`, 1,000 that were only measured.

MNIST in static binarisation and as gray pictures binarised halfway; Omniglot at 28x28 binarised halfway and at random; the
silhouettes of Caltech-101. All from the test images, which no model was trained on, shuffled with a fixed seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.picture.drawing import Drawing, inverted

Bits = npt.NDArray[np.uint8]

SUBJECTS = {"caltech101": "silhouettes", "omniglot": "characters", "mnist-dynamic": "digits"}
"""The drawing models that compete, and what each is for."""
ALONE = {"caltech101"}
"""Those that know no sheets: one to a picture, since silhouettes touch the borders of their fields."""
MIRRORED = "silhouettes"
"""Of which tuning has each twice, side by side: they are few, and as likely mirrored."""
HELD, _TUNING = 1000, 1500


def rarer_ink(bits: Bits) -> Drawing:
    """The drawing, its rarer level as ink, as pictures are read."""
    drawing = Drawing(bits)
    return drawing if 2 * bits.sum() <= bits.size else inverted(drawing)


def own_drawings(subject: str, folder: Path, part: str) -> list[Drawing]:
    """Drawings of that kind, from each of its sets in turn, mirror images side by side."""
    found = [images[_slice(part, len(images))] for images in _SETS[subject](folder)]
    if subject == MIRRORED and part == "tuning":
        found = [np.stack([images, images[:, :, ::-1]], axis=1).reshape(-1, *images.shape[1:]) for images in found]
    return [rarer_ink(bits) for images in found for bits in images]


def held_sets(folder: Path) -> Iterator[tuple[str, list[Drawing]]]:
    """The part that is only measured, of the first set of each kind, with its title."""
    for subject, title in _TITLES.items():
        images = _SETS[subject](folder)[0]
        yield title, [rarer_ink(bits) for bits in images[_slice("held", len(images))]]


def _slice(part: str, images: int) -> slice:
    return slice(0, HELD) if part == "held" else slice(HELD, min(images, HELD + _TUNING))


def _digits(folder: Path) -> list[Bits]:
    with np.load(folder / "mnist_static.npz") as stored:
        static = _unpacked(stored["test"])
    with np.load(folder / "mnist_gray.npz") as stored:
        gray = _shuffled(stored["test_x"])
    return [static, (gray > gray.max(axis=(1, 2), keepdims=True) / 2).astype(np.uint8)]


def _characters(folder: Path) -> list[Bits]:
    with np.load(folder / "omniglot28.npz") as stored:
        gray = _shuffled(stored["test"].reshape(-1, 28, 28))
    random = np.random.default_rng(4).integers(0, 255, gray.shape)
    return [(gray > 127).astype(np.uint8), (gray > random).astype(np.uint8)]


def _silhouettes(folder: Path) -> list[Bits]:
    with np.load(folder / "caltech101.npz") as stored:
        return [_unpacked(stored["test"])]


_TITLES = {
    "digits": "MNIST, static binarisation",
    "characters": "Omniglot, binarised halfway",
    "silhouettes": "Caltech-101 silhouettes",
}
_SETS = {"digits": _digits, "characters": _characters, "silhouettes": _silhouettes}


def _unpacked(packed: npt.NDArray[np.uint8]) -> Bits:
    return _shuffled(np.unpackbits(packed, axis=1)[:, :784].reshape(-1, 28, 28))


def _shuffled(images: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Test sets are sorted."""
    return images[np.random.default_rng(0).permutation(len(images))]
