"""What the network is given at pixels of a picture that is known: for training."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.exact.compiled import available, compiled, flat, machine

from . import calm, contexts, network, similar
from .network import LOOKED
from .state import HEIGHT, LOOKS, SHIFT, WIDTH, Ints, Start, State, fresh
from .walk import is_blank


def looks(
    start: Start, bits: npt.NDArray[np.uint8], wanted: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    """The looks (N, LOOKED) at those of the wanted pixels (H, W) that have ink in their window, and the pixels (N,)."""
    height, width = bits.shape
    fast = available()
    state, walk = fresh(start, height, width, fast), machine(walked) if fast else walked
    pixels, asked = (flat(one.astype(np.uint8).ravel(), fast) for one in (bits, wanted))
    found = np.zeros((int(wanted.sum()), LOOKED + 1), np.int16)
    room: Any = found.reshape(-1)
    count = walk(state, pixels, asked, room)
    return found[:count, :LOOKED], found[:count, LOOKED].astype(np.uint8)


@compiled
def walked(state: State, pixels: Ints, wanted: Ints, found: Ints) -> int:
    """Walks over the pixels (H W,) as a codec does, without coding; how many looks were put into `found`."""
    count, width = 0, state.now[WIDTH]
    for row in range(state.now[HEIGHT]):
        if is_blank(pixels, row, width):
            calm.skip_row(state)
            continue
        contexts.begin_row(state, row)
        similar.begin_row(state)
        for column in range(width):
            bit = pixels[row * width + column]
            if contexts.enter(state, row, column):
                count += _looked(state, row, column, bit, wanted[row * width + column], found, count)
            else:
                similar.forget(state, column)
            contexts.leave(state, row, column, bit)
    return count


@compiled
def _looked(state: State, row: int, column: int, bit: int, wanted: int, found: Ints, count: int) -> int:
    """Looks at a lively pixel, and goes on; 1 if that is wanted."""
    at = row << state.now[SHIFT] | column
    contexts.around(state)
    similar.find(state, column, at)
    if wanted:
        network.look(state)
        start = count * (LOOKED + 1)
        for number in range(LOOKED):
            found[start + number] = state.now[LOOKS + number]
        found[start + LOOKED] = bit
    similar.follow(state, column, at, bit)
    return wanted
