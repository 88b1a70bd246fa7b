"""Chances that adapt: a counter is a chance of 22 bits, times 2^8, plus how often it was learned from, at most 254."""

from __future__ import annotations

from vlae_codec.exact.compiled import compiled

from .state import RATES, State

FULL = (1 << 22) - 1
MOST = 250


@compiled
def chance_of(counter: int) -> int:
    """Out of 2^16, never 0."""
    chance = counter >> 14
    return chance if chance > 0 else 1


@compiled
def learn(state: State, at: int, bit: int) -> None:
    """Moves a counter towards a bit, the less the more often it learned, up to MOST times."""
    counter = state.counters[at]
    times = counter & 255
    chance = counter >> 8
    chance += ((FULL if bit else 0) - chance) * state.tables[RATES + times] >> 16
    state.counters[at] = chance << 8 | (times + 1 if times < MOST else times)
