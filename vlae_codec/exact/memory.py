"""Memory that was freed, and that the C library still holds."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache


def give_back() -> None:
    """Hands pages that nothing uses back to the system, where the C library is asked to (glibc); a millisecond or so.

    It keeps what threads freed in pieces of up to 32 MB: between blocks of a large picture, half of the process.
    """
    if trim := _trim():
        trim(0)


@cache
def _trim() -> Callable[[int], object] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        trim: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another C library
        return None
    return trim
