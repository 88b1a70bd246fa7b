"""Pixels -> stream, and back: the walk in bands of rows, so that it can tell how far it is, and stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.exact.memory import give_back

from .hands import Hand, hand_for
from .state import AT, Start, State, fresh

Bits = npt.NDArray[np.uint8]
Told = Callable[[int], None]
"""Told how many rows are coded."""
_BAND = 1 << 18
_ROOM = 64


def encode(start: Start, bits: Bits, told: Told | None = None, hand: Hand | None = None) -> bytes | None:
    """The stream of a picture (H, W) of 0 and 1; None once it is longer than the pixels so far, eight a byte.

    hand: who does it; of itself who does so many pixels soonest.
    """
    (height, width), hand = bits.shape, hand or hand_for(start, bits.size)
    state = _begun(start, height, width, hand)
    pixels, stream = hand.own(_writable(bits)), hand.own(np.zeros(_ROOM, np.uint8))
    hand.begin(state.now, stream, 0)
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        stream = _grown(stream, int(state.now[AT]) + 2 * (bottom - top) * (width + 1) + _ROOM, hand)
        hand.walk(state, stream, 0, pixels, top, bottom, True)
        if state.now[AT] > (bottom * width + 7) // 8 + _ROOM:
            return None
        if told:
            told(bottom)
    size = hand.finish(state.now, stream)
    return bytes(stream[:size]) if size <= (height * width + 7) // 8 else None


def learned(start: Start, bits: Bits) -> State:
    """All that adapts, as it is after a picture: for training."""
    (height, width), hand = bits.shape, hand_for(start, bits.size)
    state = _begun(start, height, width, hand)
    stream = hand.own(np.zeros(2 * bits.size + height + _ROOM, np.uint8))
    hand.begin(state.now, stream, 0)
    hand.walk(state, stream, 0, hand.own(_writable(bits)), 0, height, True)
    return state


def decode(
    start: Start, stream: bytes, height: int, width: int, told: Told | None = None, hand: Hand | None = None
) -> Bits:
    """The inverse of `encode`; whatever the bytes are, some picture comes out."""
    hand = hand or hand_for(start, height * width)
    state = _begun(start, height, width, hand)
    pixels = hand.own(np.zeros(height * width, np.uint8))
    data = hand.own(np.frombuffer(stream or b"\0", np.uint8).copy())
    hand.begin(state.now, data, max(1, len(stream)))
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        hand.walk(state, data, max(1, len(stream)), pixels, top, bottom, False)
        if told:
            told(bottom)
    found: Bits = np.frombuffer(pixels, np.uint8).reshape(height, width)
    return found


def _begun(start: Start, height: int, width: int, hand: Hand) -> State:
    """All that adapts, as it is before a picture; since it is large, what was freed before goes back to the system first."""
    give_back()
    return fresh(start, height, width, hand.fast)


def _writable(bits: Bits) -> Bits:
    """All pixels, flat: a view where that can be written to, since what is written are the values that are there."""
    flat = bits.reshape(-1)
    return flat if flat.flags.writeable and flat.flags.c_contiguous else flat.copy()


def _grown(stream: Any, size: int, hand: Hand) -> Any:
    if hand.fast:
        return np.concatenate([stream, np.zeros(max(0, size - len(stream)), np.uint8)])
    return stream + bytearray(max(0, size - len(stream)))
