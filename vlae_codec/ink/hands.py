"""Who walks over a picture: machine code, which takes seconds to compile once, or Python, which is there at once and slow.

Both make the same bytes. Of few pixels Python is done before anything is compiled; once that is done, or was kept by an
earlier process, it is used for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.errors import Progress
from vlae_codec.exact.compiled import flat, machine, may_run, runs

from . import binary
from .state import Start, fresh
from .walk import walk

FEW = 1 << 12
"""Pixels that Python walks over before numba has compiled: some 4 seconds of lively ones."""


@dataclass(frozen=True)
class Hand:
    """The functions that a stream needs, and whether they are machine code, which takes other arrays."""

    begin: Callable[..., Any]
    walk: Callable[..., Any]
    finish: Callable[..., Any]
    fast: bool

    def own(self, values: npt.NDArray[Any]) -> Any:
        """A flat array as these functions take it."""
        return flat(values, self.fast)


SLOW = Hand(binary.begin, walk, binary.finish, False)
FAST = Hand(machine(binary.begin), machine(walk), machine(binary.finish), True)
_COMPILED = (binary.begin, walk, binary.finish)


def hand_for(start: Start, pixels: int, progress: Progress | None = None) -> Hand:
    """Who does so many pixels soonest; `progress` is told if something has to be compiled first."""
    return FAST if runs(_COMPILED, pixels, FEW, lambda: _code_one(start), progress) else SLOW


def is_fast() -> bool:
    """Whether many pixels are for machine code."""
    return may_run(_COMPILED)


def _code_one(start: Start) -> None:
    """Codes a pixel by machine code, so that it is there."""
    state, stream, pixels = fresh(start, 1, 1, FAST.fast), np.zeros(64, np.uint8), np.ones(1, np.uint8)
    FAST.begin(state.now, stream, 0)
    FAST.walk(state, stream, 0, pixels, 0, 1, True)
    FAST.finish(state.now, stream)
