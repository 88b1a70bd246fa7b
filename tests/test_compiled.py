"""Functions of integers as machine code: the same integers as Python's, and what is kept of it runs without numba."""

import ctypes
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import NamedTuple

import numpy as np
import pytest

from vlae_codec.exact import compiled, objects
from vlae_codec.exact.objects import ObjectCode, ObjectError

pytestmark = pytest.mark.skipif(find_spec("numba") is None, reason="numba is not there")


class Pair(NamedTuple):
    """What such functions are given."""

    numbers: np.ndarray
    small: np.ndarray


@compiled.compiled
def doubled(value):
    return 2 * value


@compiled.compiled
def added(pair, first, negative):
    """Adds up what both say from the first on; says how many there were."""
    for place in range(first, len(pair.numbers)):
        value = doubled(pair.numbers[place]) + pair.small[place]
        pair.numbers[place] = -value if negative else value
    return len(pair.numbers) - first


@compiled.compiled
def emptied(numbers):
    for place in range(len(numbers)):
        numbers[place] = 0


@compiled.compiled
def halved(numbers):
    return numbers[0] / 2


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where is kept what is compiled; nothing of it is known yet."""
    monkeypatch.setenv("VLAE_CACHE", str(tmp_path))
    for function in (compiled.machine, compiled._folder):
        function.cache_clear()
    yield tmp_path
    for function in (compiled.machine, compiled._folder):
        function.cache_clear()


def pair():
    return Pair(np.arange(-3, 5) << 40, np.arange(8, dtype=np.uint8))


def test_machine_code_gives_what_python_gives(folder):
    for first in (0, 3, 8):
        for negative in (False, True):
            slow, fast = pair(), pair()
            assert compiled.machine(added)(fast, first, negative) == added(slow, first, negative)
            assert np.array_equal(fast.numbers, slow.numbers)
    assert compiled.machine(emptied)(slow.numbers) is None
    assert not slow.numbers.any()


def test_what_is_kept_runs_without_numba(folder):
    assert not compiled.are_kept((added,))
    compiled.machine(added)(pair(), 0, False)
    assert compiled.are_kept((added,))
    script = (
        "import sys; sys.modules['numba'] = None; sys.path.insert(0, 'tests')\n"
        "from test_compiled import *\n"
        "one = pair(); assert compiled.are_kept((added,))\n"
        "print(compiled.machine(added)(one, 2, True), one.numbers.tolist())"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent
    )
    slow = pair()
    assert run.stdout.split(maxsplit=1) == [str(added(slow, 2, True)), f"{slow.numbers.tolist()}\n"]


def test_whatever_is_damaged_is_compiled_anew(folder):
    compiled.machine(added)(pair(), 0, False)
    (path,) = folder.rglob("*.o")
    whole = path.read_bytes()
    assert ObjectCode.from_bytes(whole).to_bytes() == whole
    for place in range(0, len(whole), 97):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        with pytest.raises(ObjectError, match="damaged"):
            ObjectCode.from_bytes(bytes(damaged))
    path.write_bytes(whole[:-1])
    assert not compiled.are_kept((added,))
    compiled.machine.cache_clear()
    assert compiled.machine(added)(pair(), 1, False) == 7
    assert path.read_bytes() == whole


def test_no_other_arguments_are_taken(folder):
    run = compiled.machine(added)
    run(pair(), 0, False)
    frozen = pair()
    frozen.numbers.flags.writeable = False
    others = [(Pair(np.arange(8, dtype=np.int32), pair().small), 0, False), (pair(), 0, 1), (pair(), 0)]
    others += [(Pair(np.arange(16)[::2], pair().small), 0, False), (frozen, 0, False), (pair(), 0.0, False)]
    for arguments in others:
        with pytest.raises(ObjectError):
            run(*arguments)


def test_what_objects_cannot_do_numba_does(folder):
    assert compiled.machine(halved)(np.arange(3, 5)) == 1.5
    assert not [*folder.rglob("*.o")]


@pytest.mark.skipif(sys.platform != "linux", reason="where the C library is, is another question elsewhere")
def test_what_knows_addresses_of_its_process_is_not_kept(folder):
    labs = ctypes.CDLL(None).labs
    labs.argtypes, labs.restype = [ctypes.c_long], ctypes.c_long
    known = {"labs": labs}
    exec("def outside(numbers):\n    return labs(numbers[0])", known)
    outside = FunctionType(known["outside"].__code__.replace(co_filename=__file__), known)
    assert compiled.machine(outside)(np.array([-3, 1])) == 3
    assert not [*folder.rglob("*.o")]


def test_what_has_no_sources_is_not_kept(folder):
    known = {}
    exec("def first(numbers):\n    return numbers[0]", known)
    assert compiled.machine(known["first"])(np.array([5, 6])) == 5
    assert not compiled.are_kept((known["first"],))
    assert not [*folder.rglob("*.o")]


def test_another_way_of_handing_on_arguments_is_noticed(folder, monkeypatch):
    monkeypatch.setattr(objects, "_ARRAY", ("i64",) * 7)
    compiled._bare.cache_clear()
    assert compiled.machine(added)(pair(), 5, False) == 3
    assert not [*folder.rglob("*.o")]
