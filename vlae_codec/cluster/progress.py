"""How far all shards together are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Tally:
    """What is done of a set: images and shards of so many, and bytes written or read so far.

    what: packing, testing, unpacking, measuring; or, before there are shards, listing sources (which stand for images) and
    weighing pictures. kept: of these images, those that an earlier run had done.
    """

    what: str
    images: int
    of_images: int
    shards: int
    of_shards: int
    bytes: int
    kept: int = 0


Tell = Callable[[Tally], None]
"""Called as shards are done."""


def beforehand(what: str, progress: Tell | None) -> Callable[[int, int], None]:
    """What tells of (done, of so many) before there are shards."""

    def tell(done: int, total: int) -> None:
        if progress:
            progress(Tally(what, done, total, 0, 0, 0))

    return tell
