"""The network: the window's pixels -> the stretched chance of ink, in two hidden layers.

Of the first layer the sums over eight or nine pixels at a time are kept in tables (see `model`), so that it costs an
addition for each of these. Hidden units have 10 fraction bits and are at least 0.
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
    for unit in range(first):
        state.now[UNITS + unit] = state.layers[state.now[FIRST_BIAS] + unit]
    _add(state, state.now[REGISTERS] * first)
    for above in range(1, ABOVE + 1):
        start = _LOW + (above - 1) * _BOTH
        pixels = state.now[REGISTERS + above]
        _add(state, (start + (pixels & _LOW - 1)) * first)
        _add(state, (start + _LOW + (pixels >> LOW_BITS)) * first)
    for unit in range(second):
        state.now[UNITS + first + unit] = state.layers[state.now[SECOND_BIAS] + unit] << BITS
    for unit in range(first):
        value = min(state.now[UNITS + unit], MOST_HIDDEN)
        if value > 0:
            for other in range(second):
                state.now[UNITS + first + other] += (
                    value * state.layers[state.now[SECOND_WEIGHTS] + unit * second + other]
                )
    total = state.layers[state.now[OUTPUT] + second] << BITS
    for unit in range(second):
        value = min(max(state.now[UNITS + first + unit] >> BITS, 0), MOST_HIDDEN)
        total += value * state.layers[state.now[OUTPUT] + unit]
    return clamped(total >> 2 * BITS - 8, REACH)


@compiled
def _add(state: State, at: int) -> None:
    """Adds a row of the first layer's tables."""
    for unit in range(state.now[FIRST]):
        state.now[UNITS + unit] += state.layers[at + unit]
