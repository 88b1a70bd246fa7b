"""Long work in batches of bounded size; a function run on pieces of its batch, on all cores, each with one BLAS thread.

Pieces are cut the same way whatever the number of cores, and every function given is exact, so results never depend on
how the work was spread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

Array = npt.NDArray[Any]
T = TypeVar("T")
R = TypeVar("R")


THREADS = "VLAE_THREADS"
"""The environment variable that says how many threads a process uses; all cores if it is not set."""


def cores() -> int:
    """How many cores this process may use."""
    if os.environ.get(THREADS, "").isdecimal():
        return max(1, int(os.environ[THREADS]))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def at_most(threads: int | None) -> Iterator[None]:
    """Within the context this process uses so many threads; None leaves that as it is."""
    before = os.environ.get(THREADS)
    if threads is not None:
        os.environ[THREADS] = str(threads)
    try:
        yield
    finally:
        if before is not None:
            os.environ[THREADS] = before
        elif threads is not None:
            del os.environ[THREADS]


def in_pieces(size: int, function: Callable[..., Array], *arrays: Array) -> Array:
    """function(*arrays), called on pieces of `size` along the first axis, results concatenated."""
    count = len(arrays[0])
    if count <= size:
        return function(*arrays)
    pieces = [[array[i : i + size] for array in arrays] for i in range(0, count, size)]
    with _single_threaded_blas(), _pool() as pool:
        return np.concatenate(list(pool.map(lambda piece: function(*piece), pieces)))


def in_threads(function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """function(item) of all items, in their order, on all cores, each with one BLAS thread."""
    with _single_threaded_blas():
        if len(items) <= 1 or cores() == 1:
            yield from map(function, items)
            return
        with _pool() as pool:
            yield from pool.map(function, items)


def batches(items: Iterable[T], weight: Callable[[T], int], most: int, heaviest: int) -> Iterator[list[T]]:
    """The items in order, at most so many together, and so heavy together: one at least. They are taken as needed."""
    batch, held = list[T](), 0
    for item in items:
        more = weight(item)
        if batch and (len(batch) == most or held + more > heaviest):
            yield batch
            batch, held = [], 0
        batch.append(item)
        held += more
    if batch:
        yield batch


def _pool() -> ThreadPoolExecutor:
    """Threads, as many as there are cores."""
    from concurrent.futures import ThreadPoolExecutor  # only batches need it: a single image starts faster without

    return ThreadPoolExecutor(cores())


_lock = threading.Lock()
_users = 0
_limits: Any = None


@contextmanager
def _single_threaded_blas() -> Iterator[None]:
    """Limits BLAS to one thread while anybody is inside: the setting is the process's, and calls may overlap."""
    from threadpoolctl import threadpool_limits

    global _users, _limits  # noqa: PLW0603
    with _lock:
        _users += 1
        if _users == 1:
            _limits = threadpool_limits(1, "blas")
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _limits.restore_original_limits()
