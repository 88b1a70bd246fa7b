"""What must be the same on all machines that write one set: the version of this package, and its released models."""

from __future__ import annotations

import json
from functools import cache
from typing import NamedTuple

import vlae_codec
from vlae_codec import zoo
from vlae_codec.errors import VlaeError


class Identity(NamedTuple):
    """Version and models: (name, SHA-256) of each released one."""

    version: str
    models: tuple[tuple[str, str], ...]


def here() -> Identity:
    """That of this process."""
    return Identity(vlae_codec.__version__, _models())


@cache
def _models() -> tuple[tuple[str, str], ...]:
    said = [(folder.name, json.loads((folder / "model.json").read_text(encoding="utf-8"))) for folder in zoo.released()]
    return tuple((name, about["sha256"]) for name, about in said)


def check_same(who: str, said: object, expected: Identity | None = None) -> None:
    """Refuses a worker that says something else of itself than this process, or than `expected`.

    Raises:
        VlaeError: it does.
    """
    ours = expected or here()
    if isinstance(said, BaseException):
        raise VlaeError(
            f"{who} cannot run vlae-codec ({said}): pip install 'vlae-codec[cluster]=={ours.version}' there"
        )
    version, models = said if isinstance(said, tuple) and len(said) == 2 else ("none", ())
    if version != ours.version:
        raise VlaeError(f"{who} has vlae-codec {version}, and here it is {ours.version}: install the same everywhere")
    other = sorted({name for name, _ in {*models} ^ {*ours.models}})
    if other:
        raise VlaeError(f"{who} has other weights of the model {other[0]}: install the same vlae-codec everywhere")
