"""Mixes what all contexts, the network and similar places say of a pixel, with weights that are learned online.

Four mixers each choose their weights by something else: the nearest pixels; the similar place; how well the largest contexts
are known, and whether the row is as the one above; what the network says. A last one averages them, and two tables of its
own chances refine it (Mahoney 2005, "Adaptive weighing of context models for lossless data compression"; two layers of
mixers as in paq8).
"""

from __future__ import annotations

from vlae_codec.exact.compiled import compiled

from .contexts import near, nearest
from .counters import chance_of, learn
from .similar import likeness
from .state import (
    ALONG,
    CHOSEN,
    CONTEXTS,
    COUNTERS,
    FINALS_AT,
    HEARD,
    HITS,
    INPUTS,
    KINDS,
    KNOTS,
    LEARNED,
    MATCHES,
    MOVED,
    NINE,
    PLACE,
    REACH,
    REFERRED,
    REFINED,
    REGISTERS,
    ROWS,
    SAID,
    SETS,
    SQUASH,
    STRETCH,
    UNLIKE,
    VISITS,
    State,
)

_RATE, _FAST, _SLOW = 4, 512, 4
_LIMIT = 1 << 22
_HALF = 1 << 19
_CONSTANT = 77
_MIXERS = len(SETS)
_STARTS = tuple(sum(SETS[:mixer]) for mixer in range(_MIXERS))
_AVERAGE, _TABLES = CHOSEN + _MIXERS, CHOSEN + _MIXERS + 1
"""In `now`: which weights of the average are chosen, and which rows of the refining tables."""
_EXPECTED = 1 << 10


@compiled
def clamped(value: int, most: int) -> int:
    """Within -most .. most."""
    return -most if value < -most else most if value > most else value


@compiled
def moved(weight: int, heard: int, step: int) -> int:
    """A weight that has learned: of what was heard, times the error and the rate."""
    return clamped(weight + (heard * step + _HALF >> 20), _LIMIT)


@compiled
def listen(state: State, network: int) -> None:
    """Sets the inputs: two of each context, then two of the network, a constant, and those of the most similar place."""
    at = 0
    for kind in range(state.now[KINDS] + REFERRED + ALONG):
        counter = state.counters[COUNTERS + state.now[CONTEXTS + kind]]
        chance, times = chance_of(counter), counter & 255
        state.now[HEARD + at] = state.tables[STRETCH + chance] if times else 0
        state.now[HEARD + at + 1] = (chance - (1 << 15)) * min(times, 32) >> 9
        at += 2
    state.now[HEARD + at] = network
    state.now[HEARD + at + 1] = state.now[LEARNED]
    state.now[HEARD + at + 2] = _CONSTANT
    _listen_to_place(state, at + 3)


@compiled
def _listen_to_place(state: State, at: int) -> None:
    state.now[HEARD + at] = 0
    state.now[HEARD + at + 1] = 0
    if state.now[PLACE] < 0:
        return
    expected = state.now[NINE] >> 4 & 1
    hits = state.tables[STRETCH + chance_of(state.counters[MATCHES + _hit(state)])]
    state.now[HEARD + at] = hits if expected else -hits
    state.now[HEARD + at + 1] = state.tables[STRETCH + chance_of(state.counters[MATCHES + _said(state, expected)])]


@compiled
def _hit(state: State) -> int:
    """The counter of whether places that were right so often, and are so alike, are right."""
    return min(state.now[HITS], 31) << 5 | min(state.now[UNLIKE], 31)


@compiled
def _said(state: State, expected: int) -> int:
    """The counter of ink, given what such a place has."""
    return _EXPECTED + (nearest(state) | expected << 6 | likeness(state) << 7 | min(state.now[HITS] >> 2, 3) << 9)


@compiled
def choose(state: State) -> None:
    """Which weights each mixer takes, which average, and which row of each refining table."""
    known = 0
    for large in range(3):
        times = state.counters[COUNTERS + state.now[CONTEXTS + state.now[KINDS] - 1 - large]] & 255
        known |= min(times, 3) << 2 * large
    close = near(state)
    place = state.now[NINE] | likeness(state) << 9
    if state.now[PLACE] < 0:
        place = state.now[REGISTERS] & 3
    state.now[CHOSEN] = _STARTS[0] + (close & 1023)
    state.now[CHOSEN + 1] = _STARTS[1] + place
    state.now[CHOSEN + 2] = _STARTS[2] + (known | state.now[MOVED] << 6)
    said = state.now[HEARD + 2 * (state.now[KINDS] + REFERRED + ALONG)]
    state.now[CHOSEN + 3] = _STARTS[3] + (likeness(state) | said + REACH >> 8 << 2)
    state.now[_AVERAGE] = state.now[FINALS_AT] + nearest(state) * _MIXERS
    state.now[_TABLES] = (state.now[CONTEXTS] & 0xFFFF) * KNOTS
    similar = 1 << 12
    if state.now[PLACE] >= 0:
        similar = (place >> 4 & 1) << 12 | min(state.now[HITS] >> 1, 7) << 13
    state.now[_TABLES + 1] = (ROWS + (close | similar)) * KNOTS


@compiled
def mix(state: State) -> int:
    """The chance of ink, before it is refined; sets what each mixer says, and their average, stretched."""
    inputs, total = state.now[INPUTS], 0
    heard = state.now[HEARD : HEARD + inputs]
    for mixer in range(_MIXERS):
        start = state.now[CHOSEN + mixer] * inputs
        weights, said = state.weights[start : start + inputs], 0
        for index in range(inputs):
            said += weights[index] * heard[index]
        state.now[SAID + mixer] = clamped(said >> 16, REACH)
        total += state.now[SAID + mixer] * state.weights[state.now[_AVERAGE] + mixer]
    state.now[SAID + _MIXERS] = clamped(total >> 16, REACH)
    return state.tables[SQUASH + state.now[SAID + _MIXERS] + REACH]


@compiled
def refine(state: State, chance: int) -> int:
    """The chance, averaged with what such chances were worth so far."""
    place = state.now[SAID + _MIXERS] + REACH
    knot, part = place >> 8, place & 255
    if knot == KNOTS - 1:
        knot, part = knot - 1, 256
    total = 2 * chance
    for table in range(2):
        at = state.now[_TABLES + table] + knot
        total += state.counters[REFINED + at] * (256 - part) + state.counters[REFINED + at + 1] * part >> 8
    return max(1, min(total >> 2, (1 << 16) - 1))


@compiled
def learn_from(state: State, bit: int, chance: int) -> None:
    """The pixel is known: all that spoke of it learns; `chance` is that of `mix`."""
    _learn_refining(state, bit)
    _learn_weights(state, bit, chance)
    for kind in range(state.now[KINDS] + REFERRED + ALONG):
        at = COUNTERS + state.now[CONTEXTS + kind]
        if state.counters[at] & 255 == 0:
            state.counters[at] = chance << 14
        learn(state, at, bit)
    if state.now[PLACE] >= 0:
        expected = state.now[NINE] >> 4 & 1
        learn(state, MATCHES + _hit(state), 1 if expected == bit else 0)
        learn(state, MATCHES + _said(state, expected), bit)


@compiled
def _learn_refining(state: State, bit: int) -> None:
    place = state.now[SAID + _MIXERS] + REACH
    knot, part = place >> 8, place & 255
    if knot == KNOTS - 1:
        knot, part = knot - 1, 256
    target = (1 << 16) - 1 if bit else 0
    for table in range(2):
        at = state.now[_TABLES + table] + knot
        state.counters[REFINED + at] += (target - state.counters[REFINED + at]) * (256 - part) >> 13 + table
        state.counters[REFINED + at + 1] += (target - state.counters[REFINED + at + 1]) * part >> 13 + table


@compiled
def _learn_weights(state: State, bit: int, chance: int) -> None:
    inputs = state.now[INPUTS]
    heard, error = state.now[HEARD : HEARD + inputs], (bit << 16) - chance
    for mixer in range(_MIXERS):
        at = state.now[_AVERAGE] + mixer
        state.weights[at] = moved(state.weights[at], state.now[SAID + mixer], error * _SLOW)
    for mixer in range(_MIXERS):
        chosen = state.now[CHOSEN + mixer]
        times = state.counters[VISITS + chosen]
        rate = _RATE + _RATE * _FAST // (times + 16)
        state.counters[VISITS + chosen] = min(times + 1, (1 << 16) - 1)
        step = ((bit << 16) - state.tables[SQUASH + state.now[SAID + mixer] + REACH]) * rate
        own = state.weights[chosen * inputs : (chosen + 1) * inputs]
        for index in range(inputs):
            own[index] = moved(own[index], heard[index], step)
