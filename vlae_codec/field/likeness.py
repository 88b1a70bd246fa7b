"""How much fields look drawn as what the models were trained on was, and not as a program draws: three log-odds.

A network with two eyes: one has what `strokes` counts, by two layers; the other sees the field itself, by five convolutions
of 3x3, of which the last two pairs have shortcuts, as in residual networks (He et al. 2015). What both say meets in two more
layers. Its weights, `likeness.npz`, are of `benchmarks/likeness.py`: digits, characters and silhouettes against icons,
symbols, charts and codes, and characters also against those of typefaces. Only encoders ask it, so it need not be exact.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from vlae_codec.picture.fields import Bits

from .strokes import counted

Floats = npt.NDArray[np.float32]
SUBJECTS = "digits", "characters", "silhouettes"
"""What each of the three is about."""
INK, PAPER = 1.5, -0.5
"""What the convolutions see; nothing beyond the border."""
_MOST = 12.0  # nothing is surer
FARTHEST = 6.0
"""Deviations from the mean: no count is farther."""
_AT_ONCE = 128  # fields, which bounds the memory


def likeness(fields: Bits, subject: str) -> npt.NDArray[np.float64]:
    """The log-odds of fields (n, 28, 28), whose ink is the rarer level, being of a subject: (n,), -12 to 12."""
    place = SUBJECTS.index(subject)
    found = [_said(fields[at : at + _AT_ONCE])[:, place] for at in range(0, len(fields), _AT_ONCE)]
    return np.concatenate([np.zeros(0), *found]).clip(-_MOST, _MOST)


def _said(fields: Bits) -> Floats:
    """The log-odds of all three: (n, 3)."""
    weights = _weights()
    counts = ((counted(fields) - weights["mean"]) / weights["deviation"]).clip(-FARTHEST, FARTHEST)
    strokes = _dense("strokes", _dense("counts", counts.astype(np.float32)))
    h = _convolved("first", np.where(fields, np.float32(INK), np.float32(PAPER))[..., None])
    for halving, again in (("second", "third"), ("fourth", "fifth")):
        h = _convolved(halving, h, stride=2)
        h = h + _convolved(again, h)
    seen = _dense("seen", np.concatenate([h.mean(axis=(1, 2)), h.max(axis=(1, 2))], axis=1))
    both = _dense("both", np.concatenate([strokes, seen], axis=1))
    found: Floats = both @ weights["odds_weights"] + weights["odds_bias"]
    return found


def _dense(name: str, h: Floats) -> Floats:
    """A layer on (n, C), what is negative cut off."""
    weights = _weights()
    found: Floats = np.maximum(h @ weights[f"{name}_weights"] + weights[f"{name}_bias"], 0)
    return found


def _convolved(name: str, h: Floats, stride: int = 1) -> Floats:
    """A convolution of 3x3 on (n, H, W, C), nothing beyond the border; what is negative cut off."""
    padded = np.pad(h, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::stride, ::stride]
    count, height, width = windows.shape[:3]
    made = _dense(name, windows.reshape(count * height * width, -1))
    return made.reshape(count, height, width, made.shape[1])


@cache
def _weights() -> dict[str, Floats]:
    """Mean and deviation of the counts, then weights (in, out), of convolutions (C x 3 x 3, out), and bias of each layer."""
    with files("vlae_codec").joinpath("likeness.npz").open("rb") as file, np.load(file) as stored:
        return {name: stored[name].astype(np.float32) for name in stored.files}
