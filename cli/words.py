"""The words of the command line for what the library calls by the names of its arguments."""

from __future__ import annotations

import re

_ARGUMENT = re.compile(r"\b(threshold|page|max_bytes|model|jobs)=(N|DIR|\d+)\b|\b(partial|force)=True\b")


def as_options(text: str) -> str:
    """A message of the library, its arguments as options: `max_bytes=90` is `--max-bytes 90`."""
    return _ARGUMENT.sub(_option, text)


def _option(found: re.Match[str]) -> str:
    name, value, switch = found.groups()
    return f"--{name.replace('_', '-')} {value}" if name else {"partial": "--partial", "force": "-f"}[switch]
