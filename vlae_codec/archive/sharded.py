"""A set of archives as one sequence of images: shard after shard, as `sets.shards` finds them.

Shards are opened when an image of theirs is asked for, and a few of them stay open. How many images each has is in the
manifest beside them; without one it is read from each.
"""

from __future__ import annotations

import contextlib
import operator
import os
import threading
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from types import TracebackType
from typing import Any, SupportsIndex, overload

from vlae_codec import places
from vlae_codec.errors import FormatError, ImageError
from vlae_codec.family import Coder, Sampling
from vlae_codec.picture.images import PillowImage
from vlae_codec.picture.metadata import Metadata
from vlae_codec.sets import shards as sets
from vlae_codec.sets.shards import Shard

from .opened import Opened
from .reader import Archive, Image, Names

_MOST_OPEN = 16


class ArchiveSet:
    """The images of a set of archives, in the order of its shards. `open_archive` makes it of a pattern.

    It reads as an `Archive` does, with errors that name the shard; `cache_bytes` are for all open shards together.
    """

    def __init__(
        self,
        pattern: str,
        model: Coder | str | None,
        sampling: Sampling,
        cache_bytes: int,
        max_bytes: int,
    ) -> None:
        self._pattern, self._shards = places.absolute(pattern), sets.find(pattern)
        self._options = model, sampling, cache_bytes, max_bytes
        self._ends = [*accumulate(_images(shard) for shard in self._shards)]
        self._begin()

    @property
    def shards(self) -> Sequence[str]:
        """Where the archives are, in order."""
        return tuple(shard.place for shard in self._shards)

    @property
    def names(self) -> Sequence[str | None]:
        """The name of each image; None for one that is lost with its chunk's head."""
        return Names(self, self._name)

    def find(self, name: str) -> int:
        """The number of the image of that name, which is looked for in one shard after the other.

        Raises:
            ImageError: no image has that name.
        """
        for shard in range(len(self._shards)):
            with contextlib.suppress(ImageError), self._reading(shard) as archive:
                return self._first(shard) + archive.find(name)
        raise ImageError(f"the set has no image named {name}")

    def picture(self, index: int) -> PillowImage:
        """Image `index` as a Pillow image; see `Archive.picture`."""
        shard, own = self._at(index)
        with self._reading(shard) as archive:
            return archive.picture(own)

    def metadata(self, index: int) -> Metadata:
        """What image `index` says beside its pixels."""
        shard, own = self._at(index)
        with self._reading(shard) as archive:
            return archive.metadata(own)

    def part(self, index: int, of: int, order: Sequence[int] | None = None) -> Iterator[Image]:
        """The images of every `of`-th shard, from number `index` on: `of` readers share a set so, each with its own shards.

        order: of the shards, each once; that of the set unless told otherwise.

        Raises:
            ValueError: `index` is not 0 to `of` - 1.
        """
        if not 0 <= index < of:
            raise ValueError(f"there are {of} parts, and no part {index}")
        chosen = (range(len(self._shards)) if order is None else order)[index::of]
        return chain.from_iterable(map(self._whole, chosen))

    def close(self) -> None:
        """Closes all shards and forgets what was decoded."""
        with self._lock:
            for archive in self._open.values():
                archive.close()
            self._open.clear()
            self._closed = True

    def __len__(self) -> int:
        return self._ends[-1]

    @overload
    def __getitem__(self, index: SupportsIndex) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> list[Image]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Image | list[Image]:
        """Image `index` as an array, or a list of those of a slice; see `Archive`."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        shard, own = self._at(index)
        with self._reading(shard) as archive:
            return archive[own]

    def __iter__(self) -> Iterator[Image]:
        return self.part(0, 1)

    def __reversed__(self) -> Iterator[Image]:
        return (self[number] for number in reversed(range(len(self))))

    def __enter__(self) -> ArchiveSet:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[ArchiveSet], tuple[Any, ...]]:
        return ArchiveSet, (self._pattern, *self._options)

    def __repr__(self) -> str:
        return f"<ArchiveSet {self._pattern}, {len(self._shards)} shards{', closed' * self._closed}>"

    def _begin(self) -> None:
        """Nothing is open yet in this process."""
        self._lock, self._pid, self._closed = threading.Lock(), os.getpid(), False
        self._open: OrderedDict[int, Archive] = OrderedDict()
        self._users = Counter[int]()

    @contextlib.contextmanager
    def _reading(self, shard: int) -> Iterator[Archive]:
        """A shard, which stays open within the context."""
        if self._pid != os.getpid():  # a fork shares no locks
            closed = self._closed
            self._begin()
            self._closed = closed
        with self._lock:
            archive = self._opened(shard)
            self._users[shard] += 1
        try:
            yield archive
        except FormatError as error:
            raise FormatError(f"{self._shards[shard].place}: {error}") from error
        finally:
            with self._lock:
                self._users[shard] -= 1

    def _opened(self, shard: int) -> Archive:
        """A shard, opened if it is not; those that nobody reads and that were not asked for the longest are closed."""
        if self._closed:
            raise ValueError(f"the set {self._pattern} is closed")
        if shard not in self._open:
            model, sampling, cache_bytes, max_bytes = self._options
            share = cache_bytes // min(_MOST_OPEN, len(self._shards))
            self._open[shard] = Archive(self._shards[shard].place, model, sampling, share, max_bytes)
        self._open.move_to_end(shard)
        for other in [*self._open][: max(0, len(self._open) - _MOST_OPEN)]:
            if not self._users[other]:
                self._open.pop(other).close()
        return self._open[shard]

    def _whole(self, shard: int) -> Iterator[Image]:
        for own in range(self._ends[shard] - self._first(shard)):
            with self._reading(shard) as archive:
                image = archive[own]
            yield image

    def _first(self, shard: int) -> int:
        return self._ends[shard - 1] if shard else 0

    def _at(self, index: SupportsIndex) -> tuple[int, int]:
        """The shard that holds an image, and the image's number in it."""
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"the set has {len(self)} images, and no image {number}")
        number %= len(self)
        shard = bisect_right(self._ends, number)
        return shard, number - self._first(shard)

    def _name(self, index: SupportsIndex) -> str | None:
        shard, own = self._at(index)
        with self._reading(shard) as archive:
            return archive.names[own]


def _images(shard: Shard) -> int:
    """How many images a shard has: as the manifest says, or as it says itself.

    Raises:
        FormatError: it is not an archive.
    """
    if shard.images is not None:
        return shard.images
    with places.open_read(shard.place) as file:
        try:
            return Opened(file).header.forms.images
        except FormatError as error:
            raise FormatError(f"{shard.place}: {error}") from error
