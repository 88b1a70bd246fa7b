"""The one door to numba: functions of integers that run as machine code where that is worth it, and else as Python.

Such a function gives the same integers either way, since it keeps to what the two share: integers within 64 bits, flat
arrays that are read and written by one index, and shifts and divisions that round down. As machine code it takes numpy's
arrays; Python is faster with its own (see `flat`). Marked by `compiled` it is still plain Python; `machine` gives what runs
fast, with all marked functions that it calls by name. Only that is kept, and only it can be called from Python: the
others need none of the code that takes Python's objects apart, which is a third of all compiling.

What was compiled is kept in the user's cache folder (see `files.cache_folder`), under a name that changes with the sources,
or where numba would keep it, or not at all. numba is imported when it is needed.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from array import array
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from vlae_codec.files import cache_folder

F = TypeVar("F", bound=Callable[..., Any])
_MARKED = set[Any]()
_BARE = {"_nrt": False}
"""References to arrays are not counted, by atomic instructions, which takes a third of a page's time: such functions make no
arrays and give none back. numba refuses to compile those that do."""
_LEAN = {**_BARE, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def compiled(function: F) -> F:
    """Marks a function as one that can be machine code."""
    _MARKED.add(function)
    return function


@cache
def available() -> bool:
    """Whether there is anything that compiles, which makes functions some hundred times faster."""
    return _numba() is not None


@cache
def _numba() -> Any:
    try:
        import numba
    except ImportError:  # of a Python or a numpy that it does not know yet
        return None
    return numba


@cache
def machine(function: F) -> F:
    """The function as machine code, if numba is there; it is compiled, or read from where it is kept, when it is called."""
    if not available():
        return function
    numba, copied = _numba(), _linked(function)
    folder, given = _folder(Path(function.__code__.co_filename)), numba.config.CACHE_DIR
    for place in [str(folder)] * (folder is not None and not given) + [given]:
        numba.config.CACHE_DIR = place
        try:
            fast: F = numba.njit(cache=True, **_BARE)(copied)
        except (RuntimeError, OSError):  # no folder to keep it in
            continue
        finally:
            numba.config.CACHE_DIR = given
        return fast
    return uncached(function)


def uncached(function: F) -> F:
    """The same, kept nowhere."""
    fast: F = _numba().njit(**_BARE)(_linked(function))
    return fast


def is_kept(function: Callable[..., Any]) -> bool:
    """Whether machine code of the function was kept in the user's cache folder."""
    folder = _folder(Path(function.__code__.co_filename))
    with suppress(OSError):
        return folder is not None and any(folder.rglob("*.nbc"))
    return False


def forget(function: Callable[..., Any]) -> None:
    """Removes what was kept of it."""
    folder = _folder(Path(function.__code__.co_filename))
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    machine.cache_clear()


@cache
def _lean(function: Callable[..., Any]) -> Any:
    return _numba().njit(**_LEAN)(_linked(function))


def _linked(function: Callable[..., Any]) -> FunctionType:
    """A copy that calls machine code wherever the function calls what is marked, by its name or as part of its module."""
    known = dict(function.__globals__)
    for name in {*function.__code__.co_names} & {*known}:
        known[name] = _fast(known[name])
    copied = FunctionType(function.__code__, known, function.__name__)
    copied.__module__, copied.__qualname__ = function.__module__, function.__qualname__
    return copied


def _fast(value: object) -> object:
    """What a copied function has in place of a value: of modules a copy with machine code for all that is marked."""
    if isinstance(value, FunctionType) and value in _MARKED:
        return _lean(value)
    if not isinstance(value, ModuleType):
        return value
    copied = ModuleType(value.__name__)
    for name, part in vars(value).items():
        if isinstance(part, FunctionType) and part in _MARKED:
            setattr(copied, name, _lean(part))
    return copied


@cache
def _folder(source: Path) -> Path | None:
    """Where machine code of the modules beside this one is kept: under what their sources, and Python's version, give."""
    base = cache_folder()
    if base is None:
        return None
    digest = hashlib.sha256(repr(sys.version_info).encode())
    with suppress(OSError):
        for path in sorted(source.parent.glob("*.py")):
            digest.update(path.read_bytes())
        digest.update(Path(__file__).read_bytes())
    return base / "compiled" / digest.hexdigest()[:16]


def flat(values: npt.NDArray[Any], fast: bool) -> Any:
    """A flat array as machine code takes it, or as Python is faster with; parts of either are views, but of bytes."""
    if fast:
        return values
    return bytearray(values) if values.dtype == np.uint8 else memoryview(array(values.dtype.char, values.tobytes()))
