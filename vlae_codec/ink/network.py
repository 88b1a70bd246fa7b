"""The network: the window's pixels -> the stretched chance of ink, in two hidden layers.

Of the first layer the sums over eight or nine pixels at a time are kept in tables (see `model`), so that it costs an
addition for each of these. Hidden units have 10 fraction bits and are at least 0. Rows of tables and weights are taken as
parts of their array before they are walked over: an index that counts from 0 is never negative, so that several are
computed at once.
"""

from __future__ import annotations

from vlae_codec.exact.compiled import compiled

from .mixing import clamped
from .state import FIRST, FIRST_BIAS, OUTPUT, REACH, REGISTERS, SECOND, SECOND_BIAS, SECOND_WEIGHTS, UNITS, State
from .window import ABOVE

BITS = 10
"""Fraction bits of weights and hidden units."""
MOST_HIDDEN = (1 << 15) - 1
LOW_BITS, HIGH_BITS = 8, 9
"""A register above is looked up in two parts; the pixel's own row in one of LOW_BITS."""
_LOW, _BOTH = 1 << LOW_BITS, (1 << LOW_BITS) + (1 << HIGH_BITS)


@compiled
def stretched(state: State) -> int:
    """The network's word on the pixel; 0 of a model without one."""
    first, second = state.now[FIRST], state.now[SECOND]
    if first == 0:
        return 0
    _set(state, state.now[FIRST_BIAS], state.now[REGISTERS] * first)
    for above in range(1, ABOVE + 1):
        start = _LOW + (above - 1) * _BOTH
        pixels = state.now[REGISTERS + above]
        _add(state, (start + (pixels & _LOW - 1)) * first, (start + _LOW + (pixels >> LOW_BITS)) * first)
    for unit in range(second):
        state.now[UNITS + first + unit] = state.layers[state.now[SECOND_BIAS] + unit] << BITS
    for unit in range(first):
        value = min(state.now[UNITS + unit], MOST_HIDDEN)
        if value > 0:
            start = state.now[SECOND_WEIGHTS] + unit * second
            row = state.layers[start : start + second]
            for other in range(second):
                state.now[UNITS + first + other] += value * row[other]
    total = state.layers[state.now[OUTPUT] + second] << BITS
    for unit in range(second):
        value = min(max(state.now[UNITS + first + unit] >> BITS, 0), MOST_HIDDEN)
        total += value * state.layers[state.now[OUTPUT] + unit]
    return clamped(total >> 2 * BITS - 8, REACH)


@compiled
def _set(state: State, one: int, other: int) -> None:
    """Sets the first layer to the sum of two rows."""
    count = state.now[FIRST]
    left, right = state.layers[one : one + count], state.layers[other : other + count]
    for unit in range(count):
        state.now[UNITS + unit] = left[unit] + right[unit]


@compiled
def _add(state: State, one: int, other: int) -> None:
    """Adds two rows of the first layer's tables."""
    count = state.now[FIRST]
    left, right = state.layers[one : one + count], state.layers[other : other + count]
    for unit in range(count):
        state.now[UNITS + unit] += left[unit] + right[unit]
