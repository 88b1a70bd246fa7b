"""The walk over a picture, pixel after pixel: the same code whether it writes or reads, so that both always agree.

Rows without ink are one bit. In the others a pixel in whose window there is ink is mixed from all there is; elsewhere ink
begins, rarely, and `calm` tells how rarely.
"""

from __future__ import annotations

from vlae_codec.exact.compiled import compiled

from . import binary, calm, contexts, mixing, network, similar
from .state import BLANK, SHIFT, WAS_BLANK, WIDTH, Ints, State

_LEAST, _MOST = 32, (1 << 16) - 32


@compiled
def walk(state: State, stream: Ints, size: int, pixels: Ints, top: int, bottom: int, writing: bool) -> None:
    """Codes the rows top .. bottom - 1 of the pixels (H W,): to the stream, or from its `size` bytes."""
    width = state.now[WIDTH]
    for row in range(top, bottom):
        calm.begin_row(state)
        blank = writing and is_blank(pixels, row, width)
        if _coded_blank(state, stream, size, blank, writing):
            calm.skip_row(state)
            continue
        contexts.begin_row(state, row)
        similar.begin_row(state)
        for column in range(width):
            bit = pixels[row * width + column]
            if contexts.enter(state, row, column):
                bit = _lively(state, stream, size, column, row << state.now[SHIFT] | column, bit, writing)
            else:
                bit = _calm(state, stream, size, column, bit, writing)
            pixels[row * width + column] = bit
            contexts.leave(state, row, column, bit)
            contexts.count(state, column, bit)


@compiled
def is_blank(pixels: Ints, row: int, width: int) -> bool:
    """Whether there is no ink in a row of the pixels (H W,)."""
    ink = 0
    for column in range(width):
        ink |= pixels[row * width + column]
    return ink == 0


@compiled
def _coded(state: State, stream: Ints, size: int, bit: int, chance: int, writing: bool) -> int:
    """The bit, written or read."""
    if writing:
        binary.write(state.now, stream, bit, chance)
        return bit
    return binary.read(state.now, stream, size, chance)


@compiled
def _coded_blank(state: State, stream: Ints, size: int, blank: bool, writing: bool) -> int:
    """Whether the row has no ink."""
    before = state.now[WAS_BLANK]
    chance = state.now[BLANK + before]
    bit = _coded(state, stream, size, 1 if blank else 0, chance, writing)
    moved = chance + (((1 << 16) - 1 if bit else 0) - chance >> 4)
    state.now[BLANK + before] = min(max(moved, _LEAST), _MOST)
    state.now[WAS_BLANK] = bit
    return bit


@compiled
def _calm(state: State, stream: Ints, size: int, column: int, bit: int, writing: bool) -> int:
    """The pixel, in whose window there is no ink."""
    chance = calm.chance_of_ink(state, column)
    bit = _coded(state, stream, size, bit, chance, writing)
    calm.learn_from(state, bit, chance)
    similar.forget(state, column)
    return bit


@compiled
def _lively(state: State, stream: Ints, size: int, column: int, at: int, bit: int, writing: bool) -> int:
    """The pixel, in whose window there is ink."""
    contexts.around(state)
    contexts.along(state, column)
    similar.find(state, column, at)
    similar.referring(state)
    network.look(state)
    mixing.listen(state, network.say(state))
    mixing.choose(state)
    chance = mixing.mix(state)
    bit = _coded(state, stream, size, bit, mixing.refine(state, chance), writing)
    mixing.learn_from(state, bit, chance)
    network.learn_from(state, bit)
    similar.follow(state, column, at, bit)
    return bit
