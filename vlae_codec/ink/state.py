"""All that adapts to a picture, and the tables it is computed with: flat arrays of integers, each of many parts.

*Chances* are of ink, out of 2^16; *stretched* they are log odds in 1/256, within REACH. A *counter* is a chance of 22 bits,
times 2^8, plus how often it was learned from: see `counters`.

Few arrays, since every one that a compiled function is given takes time to compile. Names in capitals say where parts begin;
those that depend on the picture or the model are in `now`, at the index that has the part's name.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vlae_codec.exact.compiled import flat
from vlae_codec.exact.fixed import EXP_STEP_BITS, SIGMOID_LIMIT, sigmoid_table

from .window import ABOVE, masks

Ints = MutableSequence[int]
"""A flat array of integers: numpy's, or Python's."""
Numbers = npt.NDArray[np.int64]

REACH = 3072
FAR = 255
"""Distances saturate here."""
REFERRED, ALONG = 4, 2
"""Kinds of contexts that look at similar places, and along rows and columns."""
OTHERS = 5
"""Inputs of the mixers besides two of each context: two of the network, a constant, and two of the most similar place."""
_AT_ONCE = 8
"""Behind the inputs there are zeros up to a multiple of so many, which machines multiply at once."""
SIMILAR = 4
"""Similar places that are kept."""
MOST_KINDS, MOST_UNITS, MOST_LOOKS = 16, 512, 64
SETS = 1024, 2048, 256, 128
"""How many weights each mixer chooses from."""
FINALS = 64
"""How many weights the average of the mixers is chosen from."""
KNOTS, ROWS = 2 * REACH // 256 + 1, 1 << 16
"""Each of the two refining tables: knots of a row, and rows."""
CALM_KINDS, CALM_SETS, CALM_BITS = 6, 128, 12
"""Contexts where the window is blank, choices of weights, and log2 of the counters of a context."""
CALM_INPUTS = 2 * CALM_KINDS + 1
SEEN_BITS, SEEN_KINDS, SEEN_DEEP = 18, 3, 4
"""Places where a context was seen: log2 of entries, of so many contexts, the last so many places each."""
PADDED_ABOVE, PADDED_BELOW, PADDED_WORDS = ABOVE, 3, 4
"""Rows and words of paper around the picture in `rows`."""
BEYOND = 4
"""Columns right of the picture in `columns`."""
SMALLEST_BITS, LARGEST_BITS = 12, 21
"""log2 of the counters of a context."""
MULTIPLIERS_OF_ROWS = (
    0x2545F491,
    0x1B873593,
    0x3C6EF372,
    0x27D4EB2F,
    0x165667B1,
    0x2C1B3C6D,
    0x297A2D39,
    0x31848BAB,
    0x15A4E35D,
)

# `now`: the shape of picture and model, what the walk knows of its row, and what functions tell each other
HEIGHT, WIDTH, STRIDE, SHIFT, BITS, KINDS, INPUTS, FIRST, SECOND = range(9)
DEPTHS, SHIFTS, HEIGHTS, FINALS_AT, CALM_WEIGHTS_AT, OUTPUT_AT, SECOND_WEIGHTS = range(9, 16)
LOW, RANGE, CODE, AT = range(17, 21)
SINCE, STARTS, BEFORE, LONG_BEFORE, WAS_BLANK, HITS, NINE, LEARNED, EDGE = range(21, 30)
BLANK = 30
PLACE = 32
UNLIKE = PLACE + SIMILAR
REGISTERS = 40
MOVED = 49
CONTEXTS = 50
CHOSEN = 70
SAID = 80
CANDIDATES = 90
CALM_PLACES = 120
CALM_HEARD = 130
HEARD = 150
LOOKS = 200
_NOW = LOOKS + MOST_LOOKS

# `tables`
SQUASH = 0
STRETCH = SQUASH + 2 * REACH + 1
RATES = STRETCH + (1 << 16)
MULTIPLIERS = RATES + 256
MASKS = MULTIPLIERS + ABOVE + 1

# `counters`
MATCHES = 0
CALM = MATCHES + (3 << 10)
VISITS = CALM + (CALM_KINDS << CALM_BITS)
REFINED = VISITS + sum(SETS)
SEEN = REFINED + 2 * ROWS * KNOTS
COUNTERS = SEEN + (SEEN_KINDS * SEEN_DEEP << SEEN_BITS)
_HALF, _LIKELY, _RARE = 1 << 29, 3 << 28, 200 << 8
"""Counters that learned nothing yet: 1/2, 3/4, and 200 / 2^22."""


class State(NamedTuple):
    """What compiled functions are given.

    now: see above. tables: chances of stretched ones and the inverse, rates of learning, and what contexts are made with.
    weights: of the mixers, of their average, where the window is blank, and of the
    network's last layer as it is and as it goes on learning. counters: and places that were seen. columns:
    how far back each column's similar place was; how far up its last ink is; to the right the next ink nearby; and for how
    many rows it has been as it is. rows: the
    picture so far, packed. layers: of the network. sums: of its two hidden layers, and their biases. hidden:
    units of the first.
    """

    now: Ints
    tables: Ints
    weights: Ints
    counters: Ints
    columns: Ints
    rows: Ints
    layers: Ints
    sums: Ints
    hidden: Ints


@dataclass(frozen=True)
class Start:
    """What a model says of the beginning: the sizes of the contexts, and the weights of the mixers.

    contexts: pixels of each, ascending. weights: of each mixer, at 16 fraction bits: (4, inputs). finals: of their average:
    (4,). calm: weights where the window is blank: (CALM_INPUTS,). first: tables of the network's first layer, (rows, units)
    of 16 bits; the other layers as `network` has them; without units there is none.
    """

    contexts: Sequence[int]
    weights: Numbers
    finals: Numbers
    calm: Numbers
    first: npt.NDArray[np.int16]
    first_bias: Numbers
    second: Numbers
    second_bias: Numbers
    output: Numbers
    output_bias: Numbers


@cache
def squashed() -> Numbers:
    """Chances of stretched ones, -REACH .. REACH."""
    steps = np.arange(-REACH, REACH + 1, dtype=np.int64)
    middle = SIGMOID_LIMIT << EXP_STEP_BITS
    return np.asarray((sigmoid_table()[middle + (steps << EXP_STEP_BITS - 8)] >> 8).clip(1, (1 << 16) - 1))


def fresh(start: Start, height: int, width: int, fast: bool) -> State:
    """As it is before the first pixel of a picture; `fast` as of `exact.compiled.flat`."""
    columns = np.full(4 * width + BEYOND, FAR, np.int64)
    columns[: width + BEYOND], columns[-width:] = -1, 0
    stride = (width >> 5) + PADDED_WORDS
    now = _now(start, height, width)
    values = (
        now,
        _tables(start),
        np.concatenate(
            [
                *(
                    np.tile(np.pad(own, (0, now[INPUTS] - len(own))), count)
                    for own, count in zip(start.weights, SETS, strict=True)
                ),
                np.tile(start.finals, FINALS),
                np.tile(start.calm, CALM_SETS),
                np.tile(np.append(start.output, start.output_bias) << 6, 2),
            ]
        ),
        _counters(len(start.contexts) + REFERRED + ALONG << int(now[BITS])),
        columns,
        np.zeros((height + PADDED_ABOVE + PADDED_BELOW) * stride, np.int64),
        _layers(start),
        _sums(start),
        np.zeros(len(start.first_bias), np.int16),
    )
    return State(*(flat(value, fast) for value in values))


def _now(start: Start, height: int, width: int) -> Numbers:
    kinds, first, second = len(start.contexts), start.first.shape[1], start.second.shape[1]
    inputs = -(-(2 * (kinds + REFERRED + ALONG) + OTHERS) // _AT_ONCE) * _AT_ONCE
    now = np.zeros(_NOW, np.int64)
    bits = min(max((height * width).bit_length(), SMALLEST_BITS), LARGEST_BITS)
    now[: SECOND + 1] = (
        height,
        width,
        (width >> 5) + PADDED_WORDS,
        width.bit_length(),
        bits,
        kinds,
        inputs,
        first,
        second,
    )
    now[DEPTHS], now[SHIFTS], now[HEIGHTS] = (turn * width + BEYOND for turn in (1, 2, 3))
    now[FINALS_AT] = sum(SETS) * inputs
    now[CALM_WEIGHTS_AT] = now[FINALS_AT] + FINALS * len(SETS)
    now[OUTPUT_AT] = now[CALM_WEIGHTS_AT] + CALM_SETS * CALM_INPUTS
    now[SECOND_WEIGHTS] = start.first.size
    now[WAS_BLANK] = 1
    now[BLANK : BLANK + 2] = 1 << 15
    return now


def _layers(start: Start) -> npt.NDArray[np.int16]:
    return np.concatenate([start.first.ravel(), start.second.T.ravel().astype(np.int16)])


def _sums(start: Start) -> npt.NDArray[np.int32]:
    parts = 0 * start.first_bias, 0 * start.second_bias, start.first_bias, start.second_bias
    return np.concatenate(parts).astype(np.int32)


def _tables(start: Start) -> Numbers:
    squash = squashed()
    stretch = np.searchsorted(squash, np.arange(1 << 16)).clip(0, 2 * REACH) - REACH
    rates = (10 << 16) // (10 * np.arange(256, dtype=np.int64) + 16)
    return np.concatenate([squash, stretch, rates, MULTIPLIERS_OF_ROWS, *map(masks, start.contexts)])


def _counters(contexts: int) -> npt.NDArray[np.int32]:
    found = np.full(COUNTERS + contexts, _HALF, np.int32)
    found[MATCHES:CALM] = _LIKELY
    found[CALM:VISITS] = _RARE
    found[VISITS:REFINED] = 0
    found[REFINED:SEEN].reshape(2 * ROWS, KNOTS)[:] = squashed()[::256]
    found[SEEN:COUNTERS] = -1
    return found
