"""Object code: a function that was compiled once, loaded and called without what compiled it.

numba takes a fifth of a second to import, and longer to read what it kept. An object file needs LLVM alone, which links it
in milliseconds, and is called as C is, with what numba makes of arguments:

    status = function(result, exception, argument, ...)     an array: null, null, items, bytes of one, data, items, stride

Such a function takes integers, booleans, flat arrays, and named tuples of these; it gives an integer back, or nothing. It
calls no other library, and knows no address outside of itself: what does is refused.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

_INTEGER, _BOOLEAN, _POINTER = "i64", "i8", "ptr"
_C_TYPES = {_INTEGER: ctypes.c_int64, _BOOLEAN: ctypes.c_uint8, _POINTER: ctypes.c_void_p}
_ARRAY = _POINTER, _POINTER, _INTEGER, _INTEGER, _POINTER, _INTEGER, _INTEGER
_DIGEST_BYTES = 32


class ObjectError(Exception):
    """The code, or what it is given, is not of the kind that is described above."""


@dataclass(frozen=True)
class ObjectCode:
    """A function. symbol: its name; signature: of its arguments; returns: whether it gives an integer back."""

    symbol: str
    signature: str
    returns: bool
    content: bytes

    def to_bytes(self) -> bytes:
        """What `from_bytes` reads."""
        head = f"{self.symbol}\n{self.signature}\n{self.returns:d}\n".encode()
        return hashlib.sha256(head + self.content).digest() + head + self.content

    @classmethod
    def from_bytes(cls, data: bytes) -> ObjectCode:
        """The code that was kept.

        Raises:
            ObjectError: it is damaged.
        """
        if hashlib.sha256(data[_DIGEST_BYTES:]).digest() != data[:_DIGEST_BYTES]:
            raise ObjectError("what was compiled is damaged")
        symbol, signature, returns, content = data[_DIGEST_BYTES:].split(b"\n", 3)
        return cls(symbol.decode(), signature.decode(), returns == b"1", content)


def signature(arguments: tuple[Any, ...]) -> str:
    """The types of arguments, nested as they are.

    Raises:
        ObjectError: there are others than those above.
    """
    return ", ".join(map(_type, arguments))


def _type(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({signature(value)})"
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.flags.carray:
        return str(value.dtype.str)
    if type(value) in (int, bool):
        return type(value).__name__
    raise ObjectError(f"compiled functions take integers, booleans and flat arrays, not {type(value).__name__}")


def _flattened(value: Any) -> Iterator[tuple[str, Any]]:
    """What C is given for an argument: type and value of each part."""
    if isinstance(value, tuple):
        for part in value:
            yield from _flattened(part)
    elif isinstance(value, np.ndarray):
        size, item = value.size, value.itemsize
        yield from zip(_ARRAY, (None, None, size, item, value.ctypes.data, size, item), strict=True)
    else:
        yield (_BOOLEAN if isinstance(value, bool) else _INTEGER), value


def assembled(ir: str, symbol: str, arguments: tuple[Any, ...], returns: bool) -> ObjectCode:
    """Object code of a function, from LLVM's intermediate representation of it, for this machine and such arguments.

    Raises:
        ObjectError: it is not to be called as above, or calls other libraries.
    """
    llvm = _llvm()
    module = llvm.parse_assembly(ir)
    taken = [_plain(str(one.type)) for one in module.get_function(symbol).arguments]
    given = [_POINTER, _POINTER, *(kind for value in arguments for kind, _ in _flattened(value))]
    named = [*module.functions, *module.global_variables]
    outside = [one.name for one in named if one.is_declaration and not one.name.startswith("llvm.")]
    if taken != given or outside:
        raise ObjectError(f"{symbol} takes {taken} for {given}, and needs {outside}")
    return ObjectCode(symbol, signature(arguments), returns, _machine().emit_object(module))


def _plain(llvm_type: str) -> str:
    """A type's name, all pointers alike; older versions of LLVM say what they point to."""
    return _POINTER if llvm_type.endswith("*") else llvm_type


class Loaded:
    """A function that can be called; with arguments of another signature it raises an ObjectError."""

    def __init__(self, code: ObjectCode) -> None:
        llvm = _llvm()
        self._code, self._engine = code, llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code.content))
        self._engine.finalize_object()
        self._address: int = self._engine.get_function_address(code.symbol)
        self._function: Any = None

    def __call__(self, *arguments: Any) -> int | None:
        code = self._code
        if (given := signature(arguments)) != code.signature:
            raise ObjectError(f"{code.symbol} takes {code.signature}, not {given}")
        kinds, values = zip(*(part for value in arguments for part in _flattened(value)), strict=True)
        if self._function is None:  # the same for all that have this signature
            types = (ctypes.c_void_p, ctypes.c_void_p, *(_C_TYPES[kind] for kind in kinds))
            self._function = ctypes.CFUNCTYPE(ctypes.c_int32, *types)(self._address)
        result, exception = ctypes.c_int64(), ctypes.c_void_p()
        if status := self._function(ctypes.addressof(result), ctypes.addressof(exception), *values):
            raise ObjectError(f"{code.symbol} ended with status {status}")
        return result.value if code.returns else None


@cache
def machine_key() -> str | None:
    """What object code depends on besides its source, the processor and LLVM, as short text; None where none can be run."""
    try:
        _machine()
        if sys.platform == "linux":  # a process may be forbidden to run what it wrote, and dies if it tries
            mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
        about = (_llvm().llvm_version_info, _target(), _processor())
    except (ImportError, OSError, RuntimeError):
        return None
    return hashlib.sha256(repr(about).encode()).hexdigest()[:16]


@cache
def _llvm() -> Any:
    import llvmlite.binding as llvm

    with suppress(RuntimeError):  # newer versions need not be told
        llvm.initialize()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


def _target() -> str:
    return str(_llvm().get_process_triple())


@cache
def _processor() -> tuple[str, str]:
    llvm = _llvm()
    try:
        features = llvm.get_host_cpu_features().flatten()
    except RuntimeError:  # nobody knows them
        features = ""
    return llvm.get_host_cpu_name(), features


def _machine() -> Any:
    """For this processor, as numba has it. An engine owns its own."""
    cpu, features = _processor()
    relocation = "static" if _target().startswith(("x86", "i386", "i686")) else "default"
    return (
        _llvm()
        .Target.from_triple(_target())
        .create_target_machine(cpu=cpu, features=features, opt=3, reloc=relocation, codemodel="jitdefault", jit=True)
    )
