"""A classifier of digits reads originals and what their lossy files decode to. Needs torch, and classes that are known."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vlae_codec import codec
from vlae_codec.errors import VlaeError
from vlae_codec.family import Coder
from vlae_codec.picture.drawing import looking
from vlae_codec.picture.fields import SIDE, Bits

from .samples import Sample

CLASSIFIER = Path("runs/classifier.pt")
"""Where `models.classifier` is kept."""
Judge = Callable[[Bits], npt.NDArray[np.int64]]
"""Fields (n, 28, 28) -> the classes read in them, (n,)."""


def judge_of(images: Sample, path: Path, notes: list[str]) -> Judge | None:
    """The classifier, read before anything long begins; without one a note says what is missing.

    Raises:
        VlaeError: its file cannot be read.
    """
    problem = _unjudged(images, path)
    if problem:
        notes.append(f"No classifier read the images: {problem}.")
        return None
    from vlae_codec.models.classifier import classify, digits

    try:
        trained = digits(path)
    except Exception as error:  # torch fails in many ways on what is not a file of its own
        raise VlaeError(f"{path} is not a classifier of ours, or is damaged") from error
    return lambda fields: classify(trained, fields)


def _unjudged(images: Sample, path: Path) -> str | None:
    """Why the classifier cannot judge these images, if it cannot."""
    if images.labels is None:
        return "their classes are not known, as no labels were given"
    if any(drawing.bits.shape != (SIDE, SIDE) for drawing in images.drawings):
        return f"it knows digits of {SIDE}x{SIDE} pixels only"
    if images.labels.min() < 0 or images.labels.max() > 9:
        return "it knows the classes 0 to 9 only"
    if importlib.util.find_spec("torch") is None:
        return "it needs torch (pip install 'vlae-codec[train]')"
    return None if path.exists() else f"there is none at {path} (benchmarks/quality.py trains one)"


def classified(judge: Judge | None, images: Sample, files: list[bytes], model: Coder) -> dict[str, int] | None:
    if judge is None:
        return None
    decoded = [one.drawing for one in codec.decode(files, model=model)]
    as_given = [*map(looking, decoded, (drawing.look for drawing in images.drawings))]
    seen = [np.stack([drawing.bits for drawing in some]) for some in (images.drawings, as_given)]
    before, after = (int((judge(fields) == images.labels).sum()) for fields in seen)
    return {"images": len(decoded), "originals_right": before, "lossy_right": after}
