"""How much fields look drawn as what the models were trained on was, and not as a program draws: three log-odds.

A network of two hidden layers on what `strokes` counts; its weights, `likeness.npz`, are of `benchmarks/likeness.py`:
digits, characters and silhouettes against icons, symbols, charts and codes, and characters also against those of typefaces.
Only encoders ask it, so that it need not be exact.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from vlae_codec.picture.fields import Bits

from .strokes import counted

Floats = npt.NDArray[np.float64]
SUBJECTS = "digits", "characters", "silhouettes"
"""What each of the three is about."""
_MOST = 12.0  # nothing is surer
_FARTHEST = 6.0  # deviations from the mean: no count is farther


def likeness(fields: Bits, subject: str) -> Floats:
    """The log-odds of fields (n, 28, 28), whose ink is the rarer level, being of a subject: (n,), -12 to 12."""
    mean, deviation, *layers = _weights()
    h = ((counted(fields) - mean) / deviation).clip(-_FARTHEST, _FARTHEST)
    for weights, bias in zip(layers[:-2:2], layers[1:-2:2], strict=True):
        h = np.maximum(h @ weights + bias, 0.0)
    found: Floats = h @ layers[-2] + layers[-1]
    return found[:, SUBJECTS.index(subject)].clip(-_MOST, _MOST)


@cache
def _weights() -> list[Floats]:
    """Mean and deviation of the counts, then weights (in, out) and bias of each layer."""
    with files("vlae_codec").joinpath("likeness.npz").open("rb") as file, np.load(file) as stored:
        return [stored[name].astype(np.float64) for name in stored.files]
