"""Images of an archive as unpacked, or why they are lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from vlae_codec.family import Decoded
from vlae_codec.sets.manifest import ArrayForm, Form

from .numbers import Numbers


@dataclass(frozen=True)
class Piece:
    """Images of those numbers, in order. `names` are those of the loose pictures among them, as far as they are known.

    error: why they are lost; then there are no pictures.
    """

    numbers: Numbers
    names: tuple[str, ...]
    pictures: list[Decoded] = field(default_factory=list)
    error: str | None = None

    @property
    def first(self) -> int:
        """The number of the first image."""
        return self.numbers.first

    @property
    def images(self) -> int:
        """How many images."""
        return self.numbers.images


def lost(numbers: Numbers, names: tuple[str, ...], error: str) -> Piece:
    """Images that cannot be had."""
    return Piece(numbers, names, error=error)


def each_name(parts: Iterable[tuple[Form, range]], loose: Sequence[str]) -> Iterator[str | None]:
    """The names of loose pictures among images, None for images of arrays, and for what is not given."""
    given = iter(loose)
    for form, own in parts:
        yield from (None if isinstance(form, ArrayForm) else next(given, None) for _ in own)
