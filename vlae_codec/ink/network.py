"""The network: what it looks at -> the stretched chance of ink, in two hidden layers.

It looks at the window; at what is around each of the similar places, which is known on all sides; at how unlike these are;
and at how often the most alike was right of late. A *look* is a number of a few bits, and the row of a table: the sum of the
first layer's weights over its bits, or the weights of that number (see `model`). So the first layer is a sum of rows.
Hidden units have 10 fraction bits, and are at least 0, those of the first layer within MOST_HIDDEN; sums are within 32 bits,
for which a model is checked.
The last layer is there twice: as it was trained, and as it goes on learning on the page.

What is walked over is taken as a part of its array before: an index that counts from 0 is never negative, so that many are
computed at once.
"""

from __future__ import annotations

from typing import NamedTuple

from vlae_codec.exact.compiled import compiled

from .contexts import register
from .mixing import clamped, moved
from .similar import MOST_UNLIKE
from .state import (
    FIRST,
    HITS,
    LEARNED,
    LOOKS,
    OUTPUT_AT,
    PLACE,
    REACH,
    REGISTERS,
    SECOND,
    SECOND_WEIGHTS,
    SHIFT,
    SIMILAR,
    SQUASH,
    UNLIKE,
    Ints,
    State,
)
from .window import ABOVE, ASIDE

BITS = 10
"""Fraction bits of weights and hidden units."""
MOST_HIDDEN = (1 << 15) - 1
_RATE = 3
LOW_BITS, HIGH_BITS = 8, 9
"""A register above is looked at in two parts; the pixel's own row in one of LOW_BITS."""
AROUND = 3
"""Of a similar place so many pixels are seen in each direction."""
SQUARE = 2 * AROUND + 1
UNLIKES, HIT_KINDS = MOST_UNLIKE // 2 + 2, 8
"""Kinds of unlike places, two to a kind, the last one for none; kinds of numbers of hits: none, 1, to 3, to 7 and so on."""


class Look(NamedTuple):
    """Numbers 0 and 1 that a look stands for: its bits, from the lowest on; or of so many kinds which one it is."""

    seen: int
    kinds: bool = False

    @property
    def rows(self) -> int:
        """How many values it can have."""
        return self.seen if self.kinds else 1 << self.seen


LOOKED_AT = (
    Look(LOW_BITS),
    *(Look(LOW_BITS), Look(HIGH_BITS)) * ABOVE,
    *(*(Look(SQUARE),) * SQUARE, Look(UNLIKES, True)) * SIMILAR,
    Look(HIT_KINDS, True),
)
"""The pixel's own row; each row above, its lowest bits and the others; of each similar place its rows of pixels, and how
unlike it is; hits."""
LOOKED = len(LOOKED_AT)
_AT_ONCE = 5
assert LOOKED % _AT_ONCE == 0
SEEN = sum(look.seen for look in LOOKED_AT)
"""Inputs of the network."""


@compiled
def look(state: State) -> None:
    """Sets the looks, as rows of the tables."""
    state.now[LOOKS] = state.now[REGISTERS]
    start = 1 << LOW_BITS
    for above in range(1, ABOVE + 1):
        pixels = state.now[REGISTERS + above]
        state.now[LOOKS + 2 * above - 1] = start + (pixels & (1 << LOW_BITS) - 1)
        state.now[LOOKS + 2 * above] = start + (1 << LOW_BITS) + (pixels >> LOW_BITS)
        start += (1 << LOW_BITS) + (1 << HIGH_BITS)
    at = LOOKS + 2 * ABOVE + 1
    for kept in range(SIMILAR):
        _look_around(state, at, start, state.now[PLACE + kept])
        start += SQUARE << SQUARE
        unlike = state.now[UNLIKE + kept]
        state.now[at + SQUARE] = start + (unlike >> 1 if unlike <= MOST_UNLIKE else UNLIKES - 1)
        start += UNLIKES
        at += SQUARE + 1
    state.now[at] = start + _kind_of(state.now[HITS])


@compiled
def _look_around(state: State, at: int, start: int, place: int) -> None:
    """The rows of pixels around a place; no ink around none."""
    row, column = place >> state.now[SHIFT], place & (1 << state.now[SHIFT]) - 1
    for number in range(SQUARE):
        pixels = register(state, row + number - AROUND, column) if place >= 0 else 0
        state.now[at + number] = start + (number << SQUARE) + (pixels >> ASIDE - AROUND & (1 << SQUARE) - 1)


@compiled
def _kind_of(hits: int) -> int:
    kind = 0
    while kind < HIT_KINDS - 1 and hits >> kind:
        kind += 1
    return kind


@compiled
def say(state: State) -> int:
    """The network's word on the pixel, given the looks, and sets what it has learned to say; 0 of a model without one."""
    first, second = state.now[FIRST], state.now[SECOND]
    if first == 0:
        return 0
    _sum_rows(state, first)
    biases, output = 2 * first + second, state.now[OUTPUT_AT]
    for unit in range(second):
        at = state.now[SECOND_WEIGHTS] + unit * first
        _multiply(state, first + unit, state.layers[at : at + first])
        value = state.sums[biases + unit] + (state.sums[first + unit] >> BITS)
        state.sums[first + unit] = max(value, 0) >> BITS - 8
    state.now[LEARNED] = _last(state, output + second + 1)
    return _last(state, output)


@compiled
def _last(state: State, at: int) -> int:
    """What the last layer says, with the weights at a place."""
    first, second = state.now[FIRST], state.now[SECOND]
    said = state.weights[at + second] << 8
    for unit in range(second):
        said += state.sums[first + unit] * state.weights[at + unit]
    return clamped(said >> 16, REACH)


@compiled
def learn_from(state: State, bit: int) -> None:
    """The pixel is known: the last layer learns, as mixers do."""
    first, second = state.now[FIRST], state.now[SECOND]
    if first == 0:
        return
    output = state.now[OUTPUT_AT] + second + 1
    step = ((bit << 16) - state.tables[SQUASH + state.now[LEARNED] + REACH]) * _RATE
    for unit in range(second):
        state.weights[output + unit] = moved(state.weights[output + unit], state.sums[first + unit], step)
    state.weights[output + second] = moved(state.weights[output + second], 1 << 8, step)


@compiled
def _sum_rows(state: State, first: int) -> None:
    """Sets the first hidden layer."""
    start = first + state.now[SECOND]
    biases = state.sums[start : start + first]
    for unit in range(first):
        state.sums[unit] = biases[unit]
    for number in range(LOOKS, LOOKS + LOOKED, _AT_ONCE):
        at = state.now[number] * first
        a = state.layers[at : at + first]
        at = state.now[number + 1] * first
        b = state.layers[at : at + first]
        at = state.now[number + 2] * first
        c = state.layers[at : at + first]
        at = state.now[number + 3] * first
        d = state.layers[at : at + first]
        at = state.now[number + 4] * first
        e = state.layers[at : at + first]
        for unit in range(first):
            state.sums[unit] += a[unit] + b[unit] + c[unit] + d[unit] + e[unit]
    for unit in range(first):
        state.hidden[unit] = min(max(state.sums[unit], 0), MOST_HIDDEN)


@compiled
def _multiply(state: State, at: int, weights: Ints) -> None:
    """Sets a sum to that of the products of the first hidden layer."""
    total = 0
    for unit in range(state.now[FIRST]):
        total += state.hidden[unit] * weights[unit]
    state.sums[at] = total
