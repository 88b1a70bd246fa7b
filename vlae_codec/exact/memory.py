"""Memory that was freed: what the C library keeps of it, and what it gives back."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable
from functools import cache


def give_back() -> None:
    """Hands pages that nothing uses back to the system, where the C library is asked to (glibc); a millisecond or so.

    It keeps what threads freed in pieces of up to 32 MB: between blocks of a large picture, half of the process.
    """
    if trim := _trim():
        trim(0)


_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of glibc's malloc.h
_LARGEST = 32 << 20  # what glibc itself raises the latter to, and half of what it raises the former to


def keep_freed() -> None:
    """Has arrays that come and go stay with us, where the C library is asked to (glibc): for processes of our own.

    Else it asks the system anew for each array of some size, and the system zeros its pages: a tenth of a photograph's time.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _LARGEST)
        mallopt(_TRIM_THRESHOLD, 2 * _LARGEST)


@cache
def keep_as_usual() -> None:
    """Undoes MALLOC_TRIM_THRESHOLD_, where the environment of the process has it: once a process.

    Dask gives it to its workers, 64 kB of it, with which a chunk takes four times as long.
    """
    if "MALLOC_TRIM_THRESHOLD_" in os.environ:
        keep_freed()


def share_one_arena() -> None:
    """Has all threads take memory from one place, where the C library is asked to (glibc): for processes of our own.

    Of each thread's own place it keeps up to 64 MB of what was freed, whatever `give_back` says. numpy takes memory while it
    holds Python's lock, so threads do not wait for each other any longer than before.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)


@cache
def _trim() -> Callable[[int], object] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        trim: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another C library
        return None
    return trim
