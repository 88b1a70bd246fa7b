"""Writes what docs/api.md says of each name: its signature and docstring, between `<!-- api NAME -->` and `<!-- end -->`.

python tests/make_api.py
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import vlae_codec

PAGE = Path(__file__).parent.parent / "docs" / "api.md"
_PART = re.compile(r"<!-- api (\w+) -->\n(.*?)<!-- end -->", re.DOTALL)
_FUNCTION = re.compile(r"<function (\S+) at 0x\w+>")
_WIDTH = 120


def rendered(page: str) -> str:
    """The page with all of its parts made anew."""
    return _PART.sub(lambda part: f"<!-- api {part[1]} -->\n{described(part[1])}<!-- end -->", page)


def names(page: str) -> list[str]:
    """Of what the page describes, in order."""
    return [part[1] for part in _PART.finditer(page)]


def described(name: str) -> str:
    """One name: signature, docstring, and of a class its public methods and properties."""
    thing = getattr(vlae_codec, name)
    text = f"{signature(name, thing)}\n\n{inspect.getdoc(thing)}\n"
    for member, value in _members(thing):
        text += f"\n.{signature(member, value)}\n{_indented(inspect.getdoc(value) or '')}\n"
    return f"### {name}\n\n```text\n{text}```\n"


def _members(thing: Any) -> list[tuple[str, Any]]:
    if not inspect.isclass(thing) or issubclass(thing, Exception):
        return []
    own = [(name, value) for name, value in vars(thing).items() if not name.startswith("_")]
    return [(name, value) for name, value in own if inspect.isfunction(value) or isinstance(value, property)]


def signature(name: str, thing: Any) -> str:
    """As it is called; in several lines if it is long."""
    if isinstance(thing, property) or getattr(thing, "_is_protocol", False) or _is_error(thing):
        return name
    found = inspect.signature(thing)
    given = [one for one in found.parameters.values() if one.name != "self"]
    parameters = [_FUNCTION.sub(r"\1", str(one)).replace("'", "") for one in given]
    if star := [at for at, one in enumerate(given) if one.kind == one.KEYWORD_ONLY]:
        parameters.insert(star[0], "*")
    gives = "" if inspect.isclass(thing) else f" -> {str(found.return_annotation).strip(chr(39))}"
    line = f"{name}({', '.join(parameters)}){gives}"
    return line if len(line) <= _WIDTH else f"{name}(\n    " + ",\n    ".join(parameters) + f",\n){gives}"


def _is_error(thing: Any) -> bool:
    return inspect.isclass(thing) and issubclass(thing, Exception)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
