"""The one door to numba: functions of integers that run as machine code where that is worth it, and else as Python.

Such a function gives the same integers either way, since it keeps to what the two share: integers within 64 bits, flat
arrays that are read and written by one index, and shifts and divisions that round down. As machine code it takes numpy's
arrays; Python is faster with its own (see `flat`). Marked by `compiled` it is still plain Python; `machine` gives what runs
fast, with all marked functions that it calls by name. numba compiles that, once; what it made is kept as object code, which
runs without numba (see `objects`), in the user's cache folder (`files.cache_folder`), under names that change with the
sources and the processor, or not at all.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock
from types import FunctionType, ModuleType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from vlae_codec import files
from vlae_codec.errors import Progress

from .objects import Loaded, ObjectCode, ObjectError, assembled, machine_key, signature

F = TypeVar("F", bound=Callable[..., Any])
_MARKED = set[Any]()
_MAKING = Lock()
_BARE = {"_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""References to arrays are not counted, by atomic instructions, which takes a third of a page's time: such functions make no
arrays and give none back. Nor is there code that takes Python's objects apart, which is a third of all compiling."""


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
    except (ImportError, OSError):  # of a Python or a numpy that it does not know yet, or an LLVM that does not load
        return None
    return None if getattr(numba.config, "DISABLE_JIT", False) else numba


@cache
def machine(function: F) -> F:
    """The function as machine code: when it is first called it is read from where it is kept, or else compiled by numba.

    Whatever numba and LLVM raise then, it raises, too.
    """
    return _Machine(function, True)  # type: ignore[return-value]


def uncached(function: F) -> F:
    """The same, kept nowhere."""
    return _Machine(function, False)  # type: ignore[return-value]


def are_kept(functions: tuple[Callable[..., Any], ...]) -> bool:
    """Whether machine code of the functions is kept, and can be had without numba."""
    return all(_is_kept(function) for function in functions)


def _is_kept(function: Callable[..., Any]) -> bool:
    folder = _folder(Path(function.__code__.co_filename))
    return folder is not None and folder.is_dir() and _read(_kept_at(function)) is not None


def runs(
    functions: tuple[Callable[..., Any], ...],
    pixels: int,
    few: int,
    work: Callable[[], object],
    progress: Progress | None = None,
) -> bool:
    """Whether functions are to run as machine code over so many pixels. Once that was tried, and worked, they are for all.

    few: of no more pixels they are, as Python, done before anything is compiled. work: something small that calls them
    all; if it cannot be done, whatever numba or LLVM raise, they never run. progress: told if something is compiled for it.
    """
    if functions not in _RUNS:
        kept = are_kept(functions)
        if not kept and (pixels <= few or not available()):
            return False
        told = None if kept else progress
        if told:
            told("compiling, once", 0, 1)
        _RUNS[functions] = _is_done(work)
        if told:
            told("compiling, once", 1, 1)
    return _RUNS[functions]


def may_run(functions: tuple[Callable[..., Any], ...]) -> bool:
    """The same of many pixels, as far as is known, without trying."""
    return _RUNS[functions] if functions in _RUNS else are_kept(functions) or available()


_RUNS = dict[tuple[Callable[..., Any], ...], bool]()
"""Of functions that were tried, whether they run."""


def _is_done(work: Callable[[], object]) -> bool:
    try:
        work()
    except Exception:  # there is another way to do it
        return False
    return True


class _Machine:
    """A function that is made when it is first called, for arguments of the types that it is given then."""

    def __init__(self, function: Callable[..., Any], keeps: bool) -> None:
        self._function, self._keeps = function, keeps
        self._call: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        if self._call is None:
            with _MAKING:
                self._call = self._call or self._made(arguments)
        return self._call(*arguments)

    def _made(self, arguments: tuple[Any, ...]) -> Callable[..., Any]:
        try:
            return Loaded(self._code(arguments))
        except ObjectError:  # of a numba that hands on arguments in another way: it does the same, and starts later
            fast: Callable[..., Any] = _numba().njit(_nrt=False)(_linked(self._function))
            return fast

    def _code(self, arguments: tuple[Any, ...]) -> ObjectCode:
        """What is kept, or, whatever is wrong with that, compiled anew and kept."""
        path = _kept_at(self._function) if self._keeps else None
        code = _read(path)
        if code is not None and code.signature == signature(arguments):
            return code
        code = _compiled(self._function, arguments)
        if path is not None:
            files.keep(path, code.to_bytes())
        return code


def _read(path: Path | None) -> ObjectCode | None:
    """What is kept there, unless it is damaged."""
    if path is not None:
        with suppress(OSError, ObjectError):
            return ObjectCode.from_bytes(path.read_bytes())
    return None


def _compiled(function: Callable[..., Any], arguments: tuple[Any, ...]) -> ObjectCode:
    numba, bare = _numba(), _bare(function)
    types = tuple(map(numba.typeof, arguments))
    bare.compile(types)
    found = bare.overloads[types]
    returned = found.signature.return_type
    if returned not in (numba.types.none, numba.types.int64) or found.library.has_dynamic_globals:
        raise ObjectError(f"{function.__name__} gives {returned}, or knows addresses of this process")
    symbol, returns = found.fndesc.llvm_func_name, returned == numba.types.int64
    return assembled(bare.inspect_llvm(types), symbol, arguments, returns)


@cache
def _bare(function: Callable[..., Any]) -> Any:
    return _numba().njit(**_BARE)(_linked(function))


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
        return _bare(value)
    parts = vars(value).items() if isinstance(value, ModuleType) else ()
    marked = {name: _bare(part) for name, part in parts if isinstance(part, FunctionType) and part in _MARKED}
    if not marked:
        return value
    copied = ModuleType("compiled")
    vars(copied).update(marked)
    return copied


def _kept_at(function: Callable[..., Any]) -> Path | None:
    """Where machine code of the function is kept; None if there is no such place, or none that it could be run from."""
    folder, key = _folder(Path(function.__code__.co_filename)), machine_key()
    return folder / f"{function.__name__}-{key}.o" if folder and key else None


@cache
def _folder(source: Path) -> Path | None:
    """Where machine code of the modules beside this one is kept: under what their sources give; None if there are none."""
    base = files.cache_folder()
    if base is None or not source.is_file():
        return None
    digest = hashlib.sha256()
    with suppress(OSError):
        for path in (*sorted(source.parent.glob("*.py")), *sorted(Path(__file__).parent.glob("*.py"))):
            digest.update(path.read_bytes())
    return base / "compiled" / digest.hexdigest()[:16]


def flat(values: npt.NDArray[Any], fast: bool) -> Any:
    """A flat array as machine code takes it, or as Python is faster with; parts of either are views, but of bytes."""
    if fast:
        return values
    return bytearray(values) if values.dtype == np.uint8 else memoryview(array(values.dtype.char, values.tobytes()))
