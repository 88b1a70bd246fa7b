"""Every error a caller may catch, and how long work tells how far it is.

VlaeError
├── ImageError       the picture cannot be coded as asked
│   └── UnsuitableError  several pictures of a set cannot; `problems` says why, a line each
├── FormatError      the bytes are not a file that this version can read
│   └── TruncatedError   the file ends early; `partial=True` decodes what is there
├── ModelError       a model is unknown or its folder is damaged
├── OptionError      an option of a call is of a type, or has a value, that it cannot have; it is a ValueError, too
├── OutputError      a result cannot be written where it was asked for
├── PlaceError       a URL cannot be used: its driver is not installed
└── ConfigError      an experiment file or a data set cannot be used
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

Progress = Callable[[str, int, int], None]
"""(what, done, total): called as long work advances."""


class VlaeError(Exception):
    """Base class: the message is one line that names the rule, what came, and what to do."""


class ImageError(VlaeError):
    """The picture cannot be coded as asked."""


class UnsuitableError(ImageError):
    """Pictures of a set cannot be read or coded as asked: `problems` has a line for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        several = f"{len(problems)} pictures cannot be packed: " if len(problems) > 1 else ""
        super().__init__(several + "; ".join(problems))


class FormatError(VlaeError):
    """The bytes are not a file that this version can read."""


class TruncatedError(FormatError):
    """The file ends before its content does; `partial=True` decodes what is there."""


class ModelError(VlaeError):
    """A model is unknown, or its folder is damaged."""


class OptionError(VlaeError, ValueError):
    """An option of a call is of a type, or has a value, that it cannot have; the message says what it may be."""


class PlaceError(VlaeError):
    """A URL cannot be used: its driver is not installed, or nobody knows its scheme."""


class ConfigError(VlaeError):
    """An experiment file or a data set cannot be used."""


class OutputError(VlaeError):
    """A result cannot be written where it was asked for."""


def named(text: str, name: str) -> str:
    """A message with the name of what it is about in front, unless it has it already."""
    told = re.search(rf"(^|\s){re.escape(name)}($|[\s:,])", text)
    return text if told else f"{name}: {text}"
