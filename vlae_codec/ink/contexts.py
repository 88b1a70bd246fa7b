"""The window around a pixel as registers, taken from rows packed into words; and contexts of it, as places in the counters.

A row is words of 32 pixels, the first pixel of a word its highest bit, with a word of paper before it.
"""

from __future__ import annotations

from vlae_codec.exact.compiled import compiled

from .state import (
    BITS,
    CONTEXTS,
    DEPTHS,
    EDGE,
    FAR,
    HEIGHTS,
    KINDS,
    MASKS,
    MOVED,
    MULTIPLIERS,
    PADDED_ABOVE,
    REFERRED,
    REGISTERS,
    SINCE,
    STRIDE,
    State,
)
from .window import ABOVE, ASIDE, WIDE

_MOST_WORDS = (1 << 30) - 1
"""That an index is within these spares compiled code to ask whether it counts from the end."""
_ROW = (1 << WIDE) - 1
_OWN = (1 << ASIDE) - 1
_MOST_MOVED = 3


@compiled
def register(state: State, row: int, column: int) -> int:
    """The pixels from 8 columns on the left to 8 on the right of a column, in a row from -8 to 2 below the picture."""
    first = column + 32 - ASIDE
    at = (row + PADDED_ABOVE) * state.now[STRIDE] + (first >> 5) & _MOST_WORDS
    return (state.rows[at] << 32 | state.rows[at + 1]) >> 64 - WIDE - (first & 31) & _ROW


@compiled
def begin_row(state: State, row: int) -> None:
    """The registers as they are before column 0; nothing was met in the row."""
    state.now[REGISTERS] = 0
    state.now[EDGE] = 0
    state.now[MOVED] = 0
    for above in range(1, ABOVE + 1):
        state.now[REGISTERS + above] = register(state, row - above, 0) >> 1


@compiled
def enter(state: State, row: int, column: int) -> bool:
    """Moves the registers to a column; whether there is ink in the window."""
    found = state.now[REGISTERS]
    right = column + 32 + ASIDE
    at = (row + PADDED_ABOVE) * state.now[STRIDE] + (right >> 5)
    for above in range(1, ABOVE + 1):
        at -= state.now[STRIDE]
        bit = state.rows[at] >> 31 - (right & 31) & 1
        moved = (state.now[REGISTERS + above] << 1 | bit) & _ROW
        state.now[REGISTERS + above] = moved
        found |= moved
    return found != 0


@compiled
def leave(state: State, row: int, column: int, bit: int) -> None:
    """The pixel is known."""
    state.now[REGISTERS] = (state.now[REGISTERS] << 1 | bit) & _OWN
    if bit:
        at = (row + PADDED_ABOVE) * state.now[STRIDE] + (column + 32 >> 5)
        state.rows[at] |= 1 << 31 - (column & 31)


@compiled
def count(state: State, column: int, bit: int) -> None:
    """The pixel is known: how far back ink is, and edges, and where the row is as the one above."""
    state.now[SINCE] = 0 if bit else min(state.now[SINCE] + 1, FAR)
    above, left = state.now[REGISTERS + 1] >> ASIDE & 3, state.now[REGISTERS] >> 1 & 1
    alike = above in (0, 3) and left == bit
    state.now[EDGE] = min(state.now[EDGE] + 1, FAR) if alike else 1
    at = state.now[HEIGHTS] + column
    if above & 1 == bit:
        state.columns[at] = min(state.columns[at] + 1, FAR)
    else:
        state.columns[at] = 1
        state.now[MOVED] = min(state.now[MOVED] + 1, _MOST_MOVED)
    at = state.now[DEPTHS] + column
    state.columns[at] = 0 if bit else min(state.columns[at] + 1, FAR)


@compiled
def near(state: State) -> int:
    """The twelve pixels of two rows above and two on the left, five wide: 12 bits."""
    close = state.now[REGISTERS] & 3 | (state.now[REGISTERS + 1] >> 6 & 31) << 2
    return close | (state.now[REGISTERS + 2] >> 6 & 31) << 7


@compiled
def nearest(state: State) -> int:
    """The two pixels on the left, the three above, and the one two above: 6 bits."""
    close = state.now[REGISTERS] & 3 | (state.now[REGISTERS + 1] >> 7 & 7) << 2
    return close | (state.now[REGISTERS + 2] >> 8 & 1) << 5


@compiled
def place(state: State, kind: int, key: int) -> int:
    """The number of a context's counter: its key, up to 62 bits, hashed, in the part of its kind."""
    key ^= key >> 23
    mixed = (key & 0x7FFFFFFF) * 0x2F0B4C47 >> 20
    return kind << state.now[BITS] | mixed & (1 << state.now[BITS]) - 1


@compiled
def around(state: State) -> None:
    """Sets the contexts of the window: those of the pixels of each mask."""
    for kind in range(state.now[KINDS]):
        key = 0
        for above in range(ABOVE + 1):
            masked = state.now[REGISTERS + above] & state.tables[MASKS + kind * (ABOVE + 1) + above]
            key += masked * state.tables[MULTIPLIERS + above]
        state.now[CONTEXTS + kind] = place(state, kind, key)


@compiled
def along(state: State, column: int) -> None:
    """Sets the contexts of edges: those of grids, whatever the size of their cells.

    The last edge of this row or the one above says how far along a cell the pixel is; whether the row differs from the one
    above, or for how long the column has been as it is, whether it is at the top of one.
    """
    kind, edge = state.now[KINDS] + REFERRED, state.now[EDGE]
    close = nearest(state)
    key = edge | state.now[MOVED] << 8 | close << 10
    state.now[CONTEXTS + kind] = place(state, kind, key * 0x2545F491)
    key = edge | state.columns[state.now[HEIGHTS] + column] << 8 | (close >> 2 & 7) << 16 | (close & 1) << 19
    state.now[CONTEXTS + kind + 1] = place(state, kind + 1, key * 0x2545F491)
