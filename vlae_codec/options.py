"""What the options of a call may be: a check for each kind, which names the option and says in one line what it may be.

Numbers of numpy will do; True and False are no numbers. With `optional` an option may be None as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from .errors import OptionError

_MOST_LETTERS = 40


def check_switches(**options: object) -> None:
    """Raises OptionError if one of them is neither True nor False."""
    for name, value in options.items():
        if not isinstance(value, bool | np.bool_):
            raise wrong(name, "True or False", value)


def check_whole(name: str, value: Any, least: int, most: int | None = None, *, optional: bool = False) -> None:
    """Raises OptionError if it is not a whole number in that range."""
    if optional and value is None:
        return
    if not _is_whole(value) or value < least or (most is not None and value > most):
        limits = f"of {least} or more" if most is None else f"from {least} to {most}"
        raise wrong(name, f"a whole number {limits}", value)


def check_number(name: str, value: Any, most: float | None = None, *, optional: bool = False) -> None:
    """Raises OptionError if it is not a number from 0 to `most`; or, where there is no most, above 0 and finite."""
    if optional and value is None:
        return
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not (number and (0 < value < math.inf if most is None else 0 <= value <= most)):
        limits = "above 0" if most is None else f"from 0 to {most:g}"
        raise wrong(name, f"a number {limits}", value)


def check_region(name: str, value: object) -> None:
    """Raises OptionError if it is neither None nor left, top, right and bottom with something in between."""
    if value is None:
        return
    if isinstance(value, tuple) and len(value) == 4 and all(map(_is_whole, value)):
        left, top, right, bottom = value
        if 0 <= left < right and 0 <= top < bottom:
            return
    raise wrong(name, "(left, top, right, bottom), whole numbers with pixels in between", value)


def make_plain(owner: object, *names: str) -> None:
    """Makes numbers that a frozen dataclass has Python's own, or tuples of such: those of numpy overflow."""
    for name in names:
        value = getattr(owner, name)
        if value is not None:
            object.__setattr__(owner, name, tuple(map(_plain, value)) if isinstance(value, tuple) else _plain(value))


def _plain(value: Real) -> int | float:
    return int(value) if isinstance(value, Integral) else float(value)


def check_texts(name: str, value: object) -> None:
    """Raises OptionError if it is not a sequence of texts."""
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(one, str) for one in value):
        raise wrong(name, "a list of texts", value)


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def wrong(name: str, may_be: str, value: object) -> OptionError:
    """The error of an option that must be something else."""
    shown = " ".join(repr(value).split())
    shown = shown if len(shown) <= _MOST_LETTERS else f"{shown[:_MOST_LETTERS]}... ({type(value).__name__})"
    return OptionError(f"{name} must be {may_be}, not {shown}")
