"""The weights that mixers begin with, learned on the training pages.

Mixers begin with what they ended with on average on crops of pages that were trained on, each choice of weights counting as
often as it was made; so a small picture is mixed well from its first pixel on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.ink import stream
from vlae_codec.ink.model import start_of
from vlae_codec.ink.state import (
    ALONG,
    CALM_INPUTS,
    CALM_KINDS,
    CALM_WEIGHTS_AT,
    FINALS_AT,
    INPUTS,
    OTHERS,
    OUTPUT_AT,
    REFERRED,
    SETS,
    VISITS,
)

from .pages import Bits

CONTEXTS = 16, 30, 70
_UNIT = 1 << 16

Arrays = dict[str, npt.NDArray[Any]]


def begin() -> Arrays:
    """Arrays of a model without a network, whose mixers trust one alone, as it is and as it goes on learning."""
    kinds = len(CONTEXTS) + REFERRED + ALONG
    mixers = np.zeros((len(SETS), 2 * kinds + OTHERS), np.int32)
    mixers[:, 2 * kinds : 2 * kinds + 2] = _UNIT // 2
    calm = np.zeros(CALM_INPUTS, np.int32)
    calm[: 2 * CALM_KINDS] = _UNIT // (2 * CALM_KINDS)
    finals = np.full(len(SETS), _UNIT // len(SETS), np.int32)
    return {"contexts": np.array(CONTEXTS, np.uint8), "mixers": mixers, "finals": finals, "calm": calm}


def begun(arrays: Arrays, crops: Sequence[Bits]) -> Arrays:
    """The mixers' weights to begin with, given what they come to on crops if they begin as these arrays say."""
    start = start_of(arrays)
    inputs = arrays["mixers"].shape[1]
    mixers, finals, calm = np.zeros((len(SETS), inputs)), np.zeros(len(SETS)), np.zeros(CALM_INPUTS)
    seen = np.zeros((len(SETS), 1))
    for crop in crops:
        state = stream.learned(start, crop)
        weights, counters = np.asarray(state.weights), np.asarray(state.counters)
        visits = counters[VISITS : VISITS + sum(SETS)].astype(float)
        ends = np.cumsum(SETS)
        for mixer, end in enumerate(ends):
            rows = slice(end - SETS[mixer], end)
            own = weights[: sum(SETS) * state.now[INPUTS]].reshape(-1, state.now[INPUTS])[rows, :inputs]
            mixers[mixer] += visits[rows] @ own
            seen[mixer] += visits[rows].sum()
        finals += weights[state.now[FINALS_AT] : state.now[CALM_WEIGHTS_AT]].reshape(-1, len(SETS)).mean(0) / len(crops)
        calm += weights[state.now[CALM_WEIGHTS_AT] : state.now[OUTPUT_AT]].reshape(-1, CALM_INPUTS).mean(0) / len(crops)
    return {
        "mixers": np.rint(mixers / seen).astype(np.int32),
        "finals": np.rint(finals).astype(np.int32),
        "calm": np.rint(calm).astype(np.int32),
    }
