"""The one door to numba: functions of integers that run as machine code where numba is there, and as Python where it is not.

Such a function gives the same integers either way, since it keeps to what the two share: integers within 64 bits, flat
arrays that are read and written by one index, and shifts and divisions that round down. As machine code it takes numpy's
arrays; Python is faster with its own (see `flat`).

What was compiled is kept beside the module, or in the user's cache folder if that cannot be written, or not at all. numba
looks only at the file of a function to tell whether it changed, though what it calls is compiled into it; so all that was
kept before a change to a module of the same folder is removed.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

numba: Any
try:
    import numba as found

    numba = found
except ImportError:  # of a Python that it does not know yet
    numba = None

AVAILABLE = numba is not None
"""Whether functions are compiled: some hundred times faster."""
F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """The function as machine code, if numba is there."""
    if numba is None:
        return function
    _forget_older(Path(function.__code__.co_filename).parent)
    try:
        fast: F = numba.njit(cache=True)(function)
    except RuntimeError:  # no folder to keep it in
        fast = numba.njit(function)
    return fast


@cache
def _forget_older(folder: Path) -> None:
    with suppress(OSError):
        changed = max(path.stat().st_mtime for path in folder.glob("*.py"))
        for kept in (folder / "__pycache__").glob("*.nb[ic]"):
            if kept.stat().st_mtime <= changed:
                kept.unlink()


def flat(values: npt.NDArray[Any]) -> Any:
    """A flat array as compiled functions take it, or as Python is faster with."""
    if AVAILABLE:
        return values
    return bytearray(values) if values.dtype == np.uint8 else array(values.dtype.char, values.tobytes())
