"""Runs a function on pieces of its batch, on all cores, each piece with one BLAS thread.

Pieces are cut the same way whatever the number of cores, and every function given is exact, so results never depend on
how the work was spread.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_pieces(size: int, function: Callable[..., Array], *arrays: Array) -> Array:
    """function(*arrays), called on pieces of `size` along the first axis, results concatenated."""
    count = len(arrays[0])
    if count <= size:
        return function(*arrays)
    from threadpoolctl import threadpool_limits  # only batches need it: a single image starts faster without

    pieces = [[array[i : i + size] for array in arrays] for i in range(0, count, size)]
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(cores()) as pool:
        return np.concatenate(list(pool.map(lambda piece: function(*piece), pieces)))
