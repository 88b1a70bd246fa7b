"""Pixels -> stream, and back: the walk in bands of rows, so that it can tell how far it is, and stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.exact.compiled import AVAILABLE, flat

from . import binary
from .state import AT, Start, State, fresh
from .walk import walk

Bits = npt.NDArray[np.uint8]
Told = Callable[[int], None]
"""Told how many rows are coded."""
_BAND = 1 << 18
_ROOM = 64


def encode(start: Start, bits: Bits, told: Told | None = None) -> bytes | None:
    """The stream of a picture (H, W) of 0 and 1; None once it is longer than the pixels so far, eight a byte."""
    height, width = bits.shape
    state = fresh(start, height, width)
    pixels, stream = _own(bits.ravel()), _empty(_ROOM)
    binary.begin(state.now, stream, 0)
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        stream = _grown(stream, int(state.now[AT]) + 2 * (bottom - top) * (width + 1) + _ROOM)
        walk(state, stream, 0, pixels, top, bottom, True)
        if state.now[AT] > (bottom * width + 7) // 8 + _ROOM:
            return None
        if told:
            told(bottom)
    size = binary.finish(state.now, stream)
    return bytes(stream[:size]) if size <= (height * width + 7) // 8 else None


def learned(start: Start, bits: Bits) -> State:
    """All that adapts, as it is after a picture: for training."""
    state = fresh(start, *bits.shape)
    stream = _empty(2 * bits.size + bits.shape[0] + _ROOM)
    binary.begin(state.now, stream, 0)
    walk(state, stream, 0, _own(bits.ravel()), 0, len(bits), True)
    return state


def decode(start: Start, stream: bytes, height: int, width: int, told: Told | None = None) -> Bits:
    """The inverse of `encode`; whatever the bytes are, some picture comes out."""
    state = fresh(start, height, width)
    pixels = _empty(height * width)
    data = _own(np.frombuffer(stream or b"\0", np.uint8))
    binary.begin(state.now, data, max(1, len(stream)))
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        walk(state, data, max(1, len(stream)), pixels, top, bottom, False)
        if told:
            told(bottom)
    found: Bits = np.frombuffer(pixels, np.uint8).reshape(height, width)
    return found


def _own(values: Bits) -> Any:
    return flat(values.copy())


def _empty(size: int) -> Any:
    return flat(np.zeros(size, np.uint8))


def _grown(stream: Any, size: int) -> Any:
    if AVAILABLE:
        return np.concatenate([stream, np.zeros(max(0, size - len(stream)), np.uint8)])
    return stream + bytearray(max(0, size - len(stream)))
