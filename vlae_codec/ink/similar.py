"""Memory of shapes: places of the page that look as the one at hand; what stands around the most alike is a context.

A *place* is a pixel's row times a power of two, plus its column. Candidates are before the pixel in the order of coding:
where the places of the last pixel go on; where those of pixels above went, at the same distance; and where the largest
contexts of the window were seen last. The SIMILAR whose windows differ least from that of the pixel, in at most MOST_UNLIKE
pixels, are taken. What is around such a place is known on all sides, but for what is not coded yet, which is 0.

The columns hold how far back each one's place was in the row above, or -1; entries at SEEN where contexts were seen, the
last ones first.
"""

from __future__ import annotations

from vlae_codec.exact.compiled import compiled

from .contexts import near, nearest, place, register
from .state import (
    CANDIDATES,
    CONTEXTS,
    HITS,
    KINDS,
    NINE,
    PLACE,
    REGISTERS,
    SEEN,
    SEEN_BITS,
    SEEN_DEEP,
    SEEN_KINDS,
    SHIFT,
    SIMILAR,
    UNLIKE,
    WIDTH,
    State,
)
from .window import ASIDE, WIDE

MOST_UNLIKE = 40
_REACH = 4
"""Pixels so near, in rows and columns, count twice."""
_NEAR_BY_FOUR = (1 << 2 * _REACH + 1) - 1 << ASIDE - _REACH
_NEAR_BY = (1 << _REACH) - 1 | sum(_NEAR_BY_FOUR << ASIDE + WIDE * above for above in range(3))
_ALIKE, _ALIKE_ENOUGH = 3, 7
_CLEAR = 12
"""Pixels on the left that are too near for a place."""
_ROW_ABOVE = 0, 2, 4


@compiled
def ones(value: int) -> int:
    """How many of its 62 bits are 1, put so that compilers take one instruction for it (Warren, Hacker's Delight, 5-1).

    What the product has beyond 64 bits is not asked for.
    """
    value -= value >> 1 & 0x5555555555555555
    value = (value & 0x3333333333333333) + (value >> 2 & 0x3333333333333333)
    value = value + (value >> 4) & 0x0F0F0F0F0F0F0F0F
    return value * 0x0101010101010101 >> 56 & 127


@compiled
def unlike(state: State, at: int, most: int) -> int:
    """In how many pixels the window of a place differs from that of the pixel, those near by counting twice.

    Those right of either border are 0. Once it is `most` or more, counting may end. Several rows are counted as one number.
    """
    row, column = at >> state.now[SHIFT], at & (1 << state.now[SHIFT]) - 1
    rows = state.now[REGISTERS] ^ register(state, row, column) >> WIDE - ASIDE
    for above in range(1, 4):
        rows |= _differing(state, row, column, above) << ASIDE + WIDE * (above - 1)
    count = ones(rows) + ones(rows & _NEAR_BY)
    if count >= most:
        return count
    rows = 0
    for above in range(4, 7):
        rows |= _differing(state, row, column, above) << WIDE * (above - 4)
    count += ones(rows) + ones(rows & _NEAR_BY_FOUR)
    if count >= most:
        return count
    return count + ones(_differing(state, row, column, 7) | _differing(state, row, column, 8) << WIDE)


@compiled
def _differing(state: State, row: int, column: int, above: int) -> int:
    """The pixels of a row above that differ from those above a place."""
    return state.now[REGISTERS + above] ^ register(state, row - above, column)


@compiled
def _candidates(state: State, column: int, at: int) -> int:
    """Lists candidates, -1 for none; how many."""
    for kept in range(SIMILAR):
        state.now[CANDIDATES + kept] = state.now[PLACE + kept]
    count = SIMILAR
    for right in _ROW_ABOVE:
        back = state.columns[column + right]
        there = back >= 0 and (at - back & (1 << state.now[SHIFT]) - 1) < state.now[WIDTH]
        state.now[CANDIDATES + count] = at - back if there else -1
        count += 1
    for kind in range(SEEN_KINDS):
        first = _entry(state, kind)
        for deep in range(SEEN_DEEP):
            state.now[CANDIDATES + count] = state.counters[SEEN + first + deep]
            count += 1
    return count


@compiled
def _entry(state: State, kind: int) -> int:
    """Where the places of one of the largest contexts are in `seen`."""
    context = state.now[CONTEXTS + state.now[KINDS] - 1 - kind]
    return (kind << SEEN_BITS | context & (1 << SEEN_BITS) - 1) * SEEN_DEEP


@compiled
def begin_row(state: State) -> None:
    """No place is known yet."""
    for kept in range(SIMILAR):
        state.now[PLACE + kept] = -1
    state.now[HITS] = 0


@compiled
def forget(state: State, column: int) -> None:
    """There was no ink around the pixel of a column."""
    begin_row(state)
    state.columns[column] = -1


@compiled
def find(state: State, column: int, at: int) -> None:
    """Chooses the places, the most alike first; the pixel is number `at`, in this column."""
    before, count = state.now[PLACE], _candidates(state, column, at)
    for kept in range(SIMILAR):
        state.now[PLACE + kept] = -1
        state.now[UNLIKE + kept] = MOST_UNLIKE + 1
    for index in range(count):
        candidate = state.now[CANDIDATES + index]
        if 0 <= candidate < at - _CLEAR and not _is_kept(state, candidate):
            _keep(state, candidate, unlike(state, candidate, state.now[UNLIKE + SIMILAR - 1]))
    if state.now[PLACE] != before:
        state.now[HITS] = 0
    state.now[NINE] = nine(state, state.now[PLACE])


@compiled
def _is_kept(state: State, candidate: int) -> bool:
    found = False
    for kept in range(SIMILAR):
        found |= state.now[PLACE + kept] == candidate
    return found


@compiled
def _keep(state: State, candidate: int, differing: int) -> None:
    """Puts a candidate before the first place that is less alike, if there is one; the last one goes."""
    for kept in range(SIMILAR):
        if differing < state.now[UNLIKE + kept]:
            for later in range(SIMILAR - 1, kept, -1):
                state.now[PLACE + later] = state.now[PLACE + later - 1]
                state.now[UNLIKE + later] = state.now[UNLIKE + later - 1]
            state.now[PLACE + kept] = candidate
            state.now[UNLIKE + kept] = differing
            return


@compiled
def likeness(state: State) -> int:
    """0 if there is no place, else 1 to 3, the higher the less alike."""
    if state.now[PLACE] < 0:
        return 0
    return 1 + (state.now[UNLIKE] > _ALIKE) + (state.now[UNLIKE] > _ALIKE_ENOUGH)


@compiled
def nine(state: State, at: int) -> int:
    """The pixels around a place, three rows of three, and itself: 9 bits; its own is 1 << 4. None of no place."""
    if at < 0:
        return 0
    row, column = at >> state.now[SHIFT], at & (1 << state.now[SHIFT]) - 1
    key = register(state, row - 1, column) >> 7 & 7
    key |= (register(state, row, column) >> 7 & 7) << 3
    return key | (register(state, row + 1, column) >> 7 & 7) << 6


@compiled
def wide(state: State, at: int) -> int:
    """The pixels around a place: three rows of five, and three each two rows above and below: 21 bits."""
    if at < 0:
        return 0
    row, column = at >> state.now[SHIFT], at & (1 << state.now[SHIFT]) - 1
    key = register(state, row - 1, column) >> 6 & 31
    key |= (register(state, row, column) >> 6 & 31) << 5
    key |= (register(state, row + 1, column) >> 6 & 31) << 10
    key |= (register(state, row + 2, column) >> 7 & 7) << 15
    return key | (register(state, row - 2, column) >> 7 & 7) << 18


@compiled
def referring(state: State) -> None:
    """Sets the places of the contexts that look at similar places."""
    kind = state.now[KINDS]
    alike = likeness(state)
    small, large = state.now[NINE], wide(state, state.now[PLACE])
    few, more = nearest(state), near(state)
    state.now[CONTEXTS + kind] = place(state, kind, (small | few << 9 | alike << 15) * 0x2545F491)
    state.now[CONTEXTS + kind + 1] = place(state, kind + 1, large | alike << 21 | (more & 127) << 23)
    key = large * 0x1B873593 + more * 0x2545F491 + (state.now[REGISTERS + 3] >> 6 & 31) * 0x165667B1 + alike
    state.now[CONTEXTS + kind + 2] = place(state, kind + 2, key)
    key = small | few << 9 | nine(state, state.now[PLACE + 1]) << 15 | alike << 24
    state.now[CONTEXTS + kind + 3] = place(state, kind + 3, key)


@compiled
def follow(state: State, column: int, at: int, bit: int) -> None:
    """The pixel is known: remembers where it is, and goes on in all places."""
    ahead = -1
    if state.now[PLACE] >= 0:
        hit = (state.now[NINE] >> 4 & 1) == bit
        state.now[HITS] = state.now[HITS] + 1 if hit else 0
        ahead = at - state.now[PLACE]
    for kept in range(SIMILAR):
        if state.now[PLACE + kept] >= 0:
            state.now[PLACE + kept] = _next(state, state.now[PLACE + kept])
    state.columns[column] = ahead if state.now[PLACE] >= 0 else -1
    for kind in range(SEEN_KINDS):
        first = _entry(state, kind)
        for deep in range(SEEN_DEEP - 1, 0, -1):
            state.counters[SEEN + first + deep] = state.counters[SEEN + first + deep - 1]
        state.counters[SEEN + first] = at


@compiled
def _next(state: State, at: int) -> int:
    """The place on the right, or -1 beyond the border."""
    column = at & (1 << state.now[SHIFT]) - 1
    return at + 1 if column + 1 < state.now[WIDTH] else -1
