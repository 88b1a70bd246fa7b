"""A model of `ink`: the arrays of a `weights.npz` as what the walk begins with.

    contexts                                         pixels of each context, ascending: (K,)
    mixers                                           weights at 16 fraction bits: (4, 2 (K + 6) + 5)
    finals, calm                                     likewise, of their average, and where the window is blank: (4,), (13,)
    network.first, .second, .output, each .weight    (SEEN, F), (F, S), (S,) at 10 fraction bits; not of all models
        and .bias                                    (F,), (S,), (1,)

What the network sees are SEEN numbers 0 and 1, those of all looks (see `network`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vlae_codec.errors import ModelError
from vlae_codec.family import Arrays

from .network import LOOKED_AT, MOST_HIDDEN, SEEN
from .state import ALONG, CALM_INPUTS, MOST_KINDS, MOST_UNITS, OTHERS, REFERRED, SEEN_KINDS, SETS, Numbers, Start
from .window import PLACES

_LIMITS = {"weight": (1 << 15) - 1, "bias": 1 << 24}
_WEIGHT_LIMIT = 1 << 22
_TABLE_LIMIT, _SUM_LIMIT = (1 << 15) - 1, (1 << 31) - 1


def start_of(arrays: Arrays) -> Start:
    """What the walk begins with.

    Raises:
        ModelError: the arrays are not those of a model of this family.
    """
    contexts = [int(count) for count in _array(arrays, "contexts", None, PLACES)]
    if (
        contexts != sorted(contexts)
        or contexts[0] < 1
        or not SEEN_KINDS <= len(contexts) <= MOST_KINDS - REFERRED - ALONG
    ):
        raise ModelError(f"the contexts of the model must be ascending numbers of pixels, a few, not {contexts}")
    inputs = 2 * (len(contexts) + REFERRED + ALONG) + OTHERS
    layers = _layers(arrays)
    first, second = first_tables(layers["first.weight"]), layers["second.weight"]
    if np.abs(first).max(initial=0) > _TABLE_LIMIT or np.abs(second).sum(0).max(initial=0) * MOST_HIDDEN > _SUM_LIMIT:
        raise ModelError("sums of the weights of the model's network are too large")
    return Start(
        contexts,
        _array(arrays, "mixers", (len(SETS), inputs), _WEIGHT_LIMIT),
        _array(arrays, "finals", (len(SETS),), _WEIGHT_LIMIT),
        _array(arrays, "calm", (CALM_INPUTS,), _WEIGHT_LIMIT),
        first.astype(np.int16),
        layers["first.bias"],
        second,
        layers["second.bias"],
        layers["output.weight"],
        layers["output.bias"],
    )


def _layers(arrays: Arrays) -> Mapping[str, Numbers]:
    first = second = 0
    if "network.first.weight" in arrays:
        first, second = (arrays[f"network.{name}.bias"].size for name in ("first", "second"))
    if first + second > MOST_UNITS:
        raise ModelError(f"the network of the model has {first + second} units; the most are {MOST_UNITS}")
    shapes = {
        "first.weight": (SEEN, first),
        "first.bias": (first,),
        "second.weight": (first, second),
        "second.bias": (second,),
        "output.weight": (second,),
        "output.bias": (1,),
    }
    if not first:
        return {name: np.zeros(shape, np.int64) for name, shape in shapes.items()}
    return {
        name: _array(arrays, f"network.{name}", shape, _LIMITS[name.split(".")[1]]) for name, shape in shapes.items()
    }


def _array(arrays: Arrays, name: str, shape: tuple[int, ...] | None, most: int) -> Numbers:
    found = arrays.get(name)
    if found is None:
        raise ModelError(f"the model has no array {name}")
    if found.ndim != 1 if shape is None else found.shape != shape:
        raise ModelError(f"the array {name} of the model has the shape {found.shape}, not {shape}")
    values = found.astype(np.int64)
    if not values.size and shape is None:
        raise ModelError(f"the array {name} of the model is empty")
    if values.size and max(int(values.max()), -int(values.min())) > most:
        raise ModelError(f"the array {name} of the model has values beyond {most}")
    return values


def first_tables(weights: Numbers) -> Numbers:
    """What the first layer's weights (SEEN, F) come to for each value of each look: (rows, F)."""
    tables, start = [], 0
    for look in LOOKED_AT:
        own = weights[start : start + look.seen]
        tables.append(own if look.kinds else _sums(own))
        start += look.seen
    return np.concatenate(tables)


def _sums(weights: Numbers) -> Numbers:
    """Of weights (B, F) the sum over the ones of each number of B bits: (2^B, F)."""
    bits = np.arange(1 << len(weights))[:, None] >> np.arange(len(weights)) & 1
    return np.asarray(bits @ weights)
