"""Where the window is blank: how likely ink begins, from what is farther away, in a small part of the time.

how far it is to the last ink on the left; up to the last ink of this column; to the right, to a column with ink in the
eight rows above; and how often ink began in a blank window, in this row and in those before
"""

from __future__ import annotations

from vlae_codec.exact.compiled import compiled

from .counters import chance_of, learn
from .mixing import clamped
from .state import (
    BEFORE,
    CALM,
    CALM_BITS,
    CALM_HEARD,
    CALM_INPUTS,
    CALM_KINDS,
    CALM_PLACES,
    CALM_WEIGHTS_AT,
    DEPTHS,
    FAR,
    HEIGHTS,
    LONG_BEFORE,
    REACH,
    SHIFTS,
    SINCE,
    SQUASH,
    STARTS,
    STRETCH,
    WIDTH,
    State,
)
from .window import ABOVE

_RATE, _HALF = 3, 1 << 19
_CONSTANT = 256


@compiled
def log_of(distance: int) -> int:
    """0, 1, 2, 3, then two steps for each doubling: at most 15."""
    if distance < 4:
        return distance
    bits = 2
    while distance >> bits + 1:
        bits += 1
    return 2 * bits + (distance >> bits - 1 & 1)


@compiled
def begin_row(state: State) -> None:
    """A row more, before its first pixel: `depths` of the columns are known."""
    state.now[LONG_BEFORE] = state.now[LONG_BEFORE] + state.now[BEFORE] + 1 >> 1
    state.now[BEFORE] = state.now[STARTS]
    state.now[STARTS] = 0
    state.now[SINCE] = FAR
    width = state.now[WIDTH]
    distance = FAR
    for back in range(width):
        column = width - 1 - back
        distance = 0 if state.columns[state.now[DEPTHS] + column] < ABOVE else min(distance + 1, FAR)
        state.columns[state.now[SHIFTS] + column] = distance


@compiled
def skip_row(state: State) -> None:
    """The row has no ink."""
    for column in range(state.now[WIDTH]):
        depth, height = state.now[DEPTHS] + column, state.now[HEIGHTS] + column
        state.columns[height] = min(state.columns[height] + 1, FAR) if state.columns[depth] else 1
        state.columns[depth] = min(state.columns[depth] + 1, FAR)
        state.columns[column] = -1


@compiled
def chance_of_ink(state: State, column: int) -> int:
    """The chance of ink at the pixel, and sets what `learn_from` needs."""
    _around(state, column)
    for kind in range(CALM_KINDS):
        counter = state.counters[CALM + state.now[CALM_PLACES + kind]]
        stretched = state.tables[STRETCH + chance_of(counter)]
        state.now[CALM_HEARD + 2 * kind] = stretched
        state.now[CALM_HEARD + 2 * kind + 1] = stretched * min(counter & 255, 64) >> 6
    state.now[CALM_HEARD + 2 * CALM_KINDS] = _CONSTANT
    start, said = state.now[CALM_PLACES + CALM_KINDS], 0
    for index in range(CALM_INPUTS):
        said += state.weights[start + index] * state.now[CALM_HEARD + index]
    return state.tables[SQUASH + clamped(said >> 16, REACH) + REACH]


@compiled
def _around(state: State, column: int) -> None:
    """Sets the contexts, and the place of the weights."""
    up, right = state.columns[state.now[DEPTHS] + column], state.columns[state.now[SHIFTS] + column]
    since, starts, before = state.now[SINCE], state.now[STARTS], state.now[BEFORE]
    left, high, wide = log_of(since), log_of(up), log_of(right)
    few = min(starts, 3) | min(before, 3) << 2
    state.now[CALM_PLACES] = since
    many = min(starts, 7) | min(before, 7) << 3
    state.now[CALM_PLACES + 1] = many | left << 6 | min(state.now[LONG_BEFORE], 3) << 10
    state.now[CALM_PLACES + 2] = up | few << 8
    state.now[CALM_PLACES + 3] = right | few << 8
    state.now[CALM_PLACES + 4] = left | high << 4 | wide << 8
    state.now[CALM_PLACES + 5] = min(starts, 15) | wide << 4 | min(before, 15) << 8
    for kind in range(CALM_KINDS):
        state.now[CALM_PLACES + kind] += kind << CALM_BITS
    state.now[CALM_PLACES + CALM_KINDS] = state.now[CALM_WEIGHTS_AT] + (few | wide >> 1 << 4) * CALM_INPUTS


@compiled
def learn_from(state: State, bit: int, chance: int) -> None:
    """The pixel is known; `chance` is that of `chance_of_ink`."""
    step = ((bit << 16) - chance) * _RATE
    start = state.now[CALM_PLACES + CALM_KINDS]
    for index in range(CALM_INPUTS):
        state.weights[start + index] += state.now[CALM_HEARD + index] * step + _HALF >> 20
    for kind in range(CALM_KINDS):
        learn(state, CALM + state.now[CALM_PLACES + kind], bit)
    state.now[STARTS] += bit
