"""What there is to pack, looked at by the workers: sources are listed and pictures weighed, which comes back as tallies.

    places -> listed: the sources in them, without their pictures -> weighed: pixels of each image -> cut: parts of sources

A compressed source is read once, front to back, into a copy that can be read anywhere, which waits beside the set.
"""

from __future__ import annotations

import hashlib
import itertools
import pickle
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vlae_codec import places
from vlae_codec.errors import ImageError, OutputError
from vlae_codec.picture.opening import pixel_count
from vlae_codec.sets.shelves import Loose
from vlae_codec.sets.sources import Array, Files, Source, check_names, each_place, gather

from .engine import Engine
from .progress import Tell, beforehand

_MOST_TASKS = 64  # of listing, up to which each place has one of its own
_MOST_PLACES = 64  # that one task lists
_WEIGHED = 1024  # pictures that one task weighs

Pixels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Looking:
    """How sources are read: as of `sources.gather`, and where copies of compressed ones are kept, if any are."""

    threshold: int | None
    exact: bool
    copies: str | None


@dataclass(frozen=True)
class Packed:
    """Sources on their way to a worker, or from one: small, since names are alike."""

    data: bytes

    @classmethod
    def of(cls, sources: Sequence[Source]) -> Packed:
        """Some sources."""
        return cls(zlib.compress(pickle.dumps(tuple(sources), pickle.HIGHEST_PROTOCOL), 1))

    def opened(self) -> tuple[Source, ...]:
        """They themselves; what is unpickled comes from our own processes."""
        found: tuple[Source, ...] = pickle.loads(zlib.decompress(self.data))
        return found


@dataclass(frozen=True)
class Places:
    """Places to be listed by one task."""

    number: int
    places: tuple[str, ...]

    @property
    def images(self) -> int:
        """A guess."""
        return len(self.places)


@dataclass(frozen=True)
class Part:
    """Images of some sources, for one task: the shard of that number, or what is weighed."""

    number: int
    images: int
    packed: Packed


@dataclass(frozen=True)
class Listed:
    """All sources of a set, what was left out of them, and a digest of the names of all images."""

    sources: tuple[Source, ...]
    notes: tuple[str, ...]
    inventory: str

    @property
    def images(self) -> int:
        """How many there are."""
        return sum(source.count for source in self.sources)


def listed(engine: Engine, given: Sequence[str], looking: Looking, progress: Tell | None = None) -> Listed:
    """The sources at places, as `sources.gather` takes them.

    Raises:
        ImageError: some cannot be read: each is named. Or two images would have the same name.
    """
    every = [*each_place(given)]
    size = min(_MOST_PLACES, -(-len(every) // _MOST_TASKS))
    blocks = (Places(at, tuple(every[at : at + size])) for at in range(0, len(every), size))
    found, bad = dict[int, tuple[Packed, tuple[str, ...]]](), dict[int, str]()
    tell, done = beforehand("listing", progress if len(every) > 1 else None), 0
    for outcome in engine.run("list-sources", _list, blocks, looking):
        tell(done := done + outcome.item.images, len(every))
        if outcome.error is None:
            found[outcome.item.number] = outcome.result
        else:
            bad[outcome.item.number] = outcome.error
    if bad:
        raise ImageError("; ".join(error for _, error in sorted(bad.items())))
    sources = [*_joined(source for _, (packed, _) in sorted(found.items()) for source in packed.opened())]
    check_names(sources)
    notes = tuple(note for _, (_, some) in sorted(found.items()) for note in some)
    return Listed(tuple(sources), notes, _inventory(sources))


def weighed(engine: Engine, sources: Sequence[Source], progress: Tell | None = None) -> Pixels:
    """The pixels of each image, (N,) int64; of a picture that cannot be read, 1."""
    parts, ends = list[Pixels](), [0]
    for source in sources:
        size = source.stored.form.size if isinstance(source, Array) else (0, 0)
        parts.append(np.full(source.count, size[0] * size[1], np.int64))
        ends.append(ends[-1] + source.count)
    pixels, done = np.concatenate(parts), 0
    tell, pictures = beforehand("weighing", progress), sum(one.count for one in sources if isinstance(one, Files))
    for outcome in engine.run("weigh-pictures", _weigh, _to_weigh(sources, ends), None):
        tell(done := done + outcome.item.images, pictures)
        if outcome.error is None:
            first = outcome.item.number
            pixels[first : first + outcome.item.images] = np.frombuffer(outcome.result, "<i8")
    return np.maximum(pixels, 1)


def cut(pixels: Pixels, shards: int) -> tuple[int, ...]:
    """How many images each of so many shards has, so that all have about as many pixels, and one image at least.

    Raises:
        OutputError: there are fewer images than shards.
    """
    count = len(pixels)
    if count < shards:
        raise OutputError(f"there are only {count} images for {shards} shards: ask for fewer")
    total = np.cumsum(pixels)
    goals = total[-1] * np.arange(1, shards) / shards
    ends = np.searchsorted(total, goals, side="left") + 1
    for at, end in enumerate(ends):  # each has an image, and leaves one for each that follows
        least = (ends[at - 1] if at else 0) + 1
        ends[at] = min(max(end, least), count - (shards - 1 - at))
    return tuple(int(n) for n in np.diff([0, *ends, count]))


def parts(sources: Sequence[Source], images: Sequence[int]) -> Iterator[Part]:
    """The shards of so many images each. An array that is divided has the shard's number in the name of its file."""
    ends = [*itertools.accumulate(images)]
    divided = _divided(sources, ends)
    for number, end in enumerate(ends):
        own = _between(sources, end - images[number], end)
        packed = [
            Array(source.stored.part(start, stop, _numbered(source, number, divided)))
            if isinstance(source, Array)
            else source.only(range(start, stop))
            for source, start, stop in own
            if isinstance(source, Array | Files)
        ]
        yield Part(number, images[number], Packed.of(packed))


def _list(looking: Looking, some: Places) -> tuple[Packed, tuple[str, ...]]:
    """The sources at some places, on a worker."""

    def copied(place: str, title: str) -> str:
        name = hashlib.sha256(f"{title} {places.size(place)}".encode()).hexdigest()[:16]
        return places.beside(str(looking.copies), name)

    copying = None if looking.copies is None else copied
    with gather(some.places, looking.threshold, looking.exact, copying) as gathered:
        return Packed.of(gathered.sources), gathered.notes


def _weigh(_shared: None, part: Part) -> bytes:
    """The pixels of some pictures, on a worker: little-endian integers of 64 bits."""
    (source,) = part.packed.opened()
    assert isinstance(source, Files)
    try:
        return np.array([pixel_count(file) for file in source.shelf.beginnings()], "<i8").tobytes()
    finally:
        source.close()


def _to_weigh(sources: Sequence[Source], ends: Sequence[int]) -> Iterator[Part]:
    for source, first in zip(sources, ends, strict=False):
        if isinstance(source, Files):
            for start in range(0, source.count, _WEIGHED):
                own = range(start, min(start + _WEIGHED, source.count))
                yield Part(first + start, len(own), Packed.of([source.only(own)]))


def _joined(sources: Iterator[Source]) -> Iterator[Source]:
    """The sources, loose pictures that follow each other as one."""
    for loose, group in itertools.groupby(sources, lambda one: isinstance(one, Files) and isinstance(one.shelf, Loose)):
        some = [*group]
        if loose and isinstance(some[0], Files):
            shelf = Loose([], [])
            shelf.items = [item for one in some if isinstance(one, Files) for item in one.shelf.items]
            some = [replace(some[0], shelf=shelf)]
        yield from some


def _inventory(sources: Sequence[Source]) -> str:
    """A digest of what is to be packed, by name."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(f"{source.manifest()}\n".encode(errors="surrogatepass"))
        if isinstance(source, Files):
            for item in source.shelf.items:
                digest.update(f"{item.name}\0".encode(errors="surrogatepass"))
    return digest.hexdigest()


def _between(sources: Sequence[Source], first: int, end: int) -> Iterator[tuple[Source, int, int]]:
    """The images `first` to `end` - 1, counted over all sources: those of each source that has some."""
    begin = 0
    for source in sources:
        start, stop = max(first - begin, 0), min(end - begin, source.count)
        if start < stop:
            yield source, start, stop
        begin += source.count


def _divided(sources: Sequence[Source], ends: Sequence[int]) -> set[str]:
    """The files whose arrays are in more than one shard."""
    found, begin = dict[str, set[int]](), 0
    for source in sources:
        if isinstance(source, Array):
            first, last = np.searchsorted(ends, [begin, begin + source.count - 1], side="right")
            found.setdefault(source.stored.form.file, set()).update((int(first), int(last)))
        begin += source.count
    return {file for file, shards in found.items() if len(shards) > 1}


def _numbered(source: Array, shard: int, divided: set[str]) -> str:
    file = source.stored.form.file
    if file not in divided:
        return file
    stem, dot, suffix = file.rpartition(".")
    return f"{stem}.{shard:05d}.{suffix}" if dot and stem else f"{file}.{shard:05d}"
