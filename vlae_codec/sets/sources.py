"""Sets of images on their way into an archive: pictures, folders, zip, tar and Parquet files; npy, npz and IDX arrays.

`gather` looks at each source once and keeps little of it; `Source.readables` then reads images as they are asked for,
whatever the size of the whole. The mirror image is `restore`.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec import places
from vlae_codec.errors import ImageError, Progress, named
from vlae_codec.files import reading
from vlae_codec.picture.drawing import Drawing, raster_of
from vlae_codec.picture.raster import Raster
from vlae_codec.picture.reading import Readable

from . import arrays
from .arrays import Copied, Pictures, StoredArray
from .levels import Levels
from .manifest import ArrayForm, FilesForm, Form, Forms
from .parquet import Parquet
from .shelves import Item, Loose, Shelf, Tar, Zip

NPZ_KEY = re.compile(r"(.*\.npz):(.+)", re.DOTALL | re.IGNORECASE)
"""One array of a file: FILE.npz:KEY."""
_PARQUET_COLUMN = re.compile(r"(.*\.parquet):(.+)", re.DOTALL | re.IGNORECASE)
"""One column of a file: FILE.parquet:COLUMN."""
_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_IDX_NAME = re.compile(r"(\.idx|idx\d-ubyte)(\.gz)?$", re.IGNORECASE)
_OURS, _VERSIONS = b"\xd7", (1, 2)
"""How files of our own begin (see FORMAT.md); the next four bits are their version. WMF begins with that byte, too."""
_MAGICS = {
    b"\x93NUMPY": "npy",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",  # an empty one
    arrays.IDX_MAGIC: "idx",
    b"\x1f\x8b": "idx",  # gzipped; tar files are told by their names
}

_MANY = 1000  # pictures take long to be looked at


class Source(ABC):
    """Images of one origin, in a fixed order."""

    @property
    @abstractmethod
    def form(self) -> Form:
        """What its manifest says."""

    @property
    def count(self) -> int:
        """How many images."""
        return self.form.count

    def manifest(self) -> dict[str, Any]:
        """All that restoring needs besides names, looks and pixels: a small JSON object."""
        return self.form.manifest()

    @abstractmethod
    def name(self, index: int) -> str:
        """The name of image `index`; no other image of the archive has it."""

    @abstractmethod
    def readables(self, start: int, stop: int) -> Iterator[Readable]:
        """Images `start` to `stop` - 1, to be read as drawings or as they are; of an array of two values that is the same.

        They are taken as they are asked for; reading on from the last call's `stop` is cheap.

        Raises:
            ImageError: an image cannot be read; the message names it.
        """

    def two_levels(self, start: int, stop: int) -> Iterator[tuple[Raster, str | None]]:
        """The same images in two colours, and what was lost on the way.

        Raises:
            ImageError: an image cannot be read, or cannot be had so; the message names it.
        """
        return (one.two_levels() for one in self.readables(start, stop))

    @abstractmethod
    def files(self) -> Iterator[Path]:
        """The files of this machine that it reads from."""

    @abstractmethod
    def close(self) -> None:
        """Closes the files it reads from; they are opened again if need be."""


@dataclass(frozen=True)
class Array(Source):
    """An array of images."""

    stored: StoredArray

    @property
    def form(self) -> Form:
        """See `Source`."""
        return self.stored.form

    def name(self, index: int) -> str:
        """See `Source`."""
        return self.stored.form.name(index)

    def readables(self, start: int, stop: int) -> Iterator[Readable]:
        """See `Source`; all have the default look, whatever the values of the array."""
        note = self.stored.note
        return (Readable.of_raster(raster_of(Drawing(bits)), note) for bits in self.stored.bits(start, stop))

    def files(self) -> Iterator[Path]:
        """See `Source`."""
        if not places.is_url(self.stored.path):
            yield Path(self.stored.path)

    def close(self) -> None:
        """See `Source`."""
        self.stored.close()


@dataclass(frozen=True)
class Files(Source):
    """Loose pictures, of files, folders, a zip, a tar or a Parquet file."""

    shelf: Shelf[Any]
    threshold: int | None
    exact: bool

    @property
    def form(self) -> Form:
        """See `Source`."""
        return FilesForm(len(self.shelf.items))

    def name(self, index: int) -> str:
        """See `Source`."""
        return self.shelf.items[index].name

    def two_levels(self, start: int, stop: int) -> Iterator[tuple[Raster, str | None]]:
        """See `Source`."""
        for item, one in zip(self.shelf.items[start:stop], self.readables(start, stop), strict=True):
            try:
                yield one.two_levels(self.threshold, self.exact)
            except ImageError as error:
                raise ImageError(named(str(error), item.title)) from error

    def readables(self, start: int, stop: int) -> Iterator[Readable]:
        """See `Source`."""
        for item, data in self._read(start, stop):
            yield Readable.of_file(data, item.title, exact=self.exact, threshold=self.threshold)

    def _read(self, start: int, stop: int) -> Iterator[tuple[Item[Any], bytes]]:
        """Picture files, one after the other."""
        for index in range(start, stop):
            item = self.shelf.items[index]
            with reading(item.title):
                data = self.shelf.read(index)
            yield item, data
        if stop >= self.count:
            self.close()

    def only(self, indices: Sequence[int]) -> Files:
        """The same without all but those pictures."""
        shelf = copy.copy(self.shelf)
        shelf.items = [self.shelf.items[index] for index in indices]
        return replace(self, shelf=shelf)

    def files(self) -> Iterator[Path]:
        """See `Source`."""
        return self.shelf.files()

    def close(self) -> None:
        """See `Source`."""
        self.shelf.close()


@dataclass(frozen=True)
class Memory(Source):
    """Drawings that are already here, such as a sample of other sources.

    Of one size and in gray they are one array, which costs an archive no names; others are loose pictures with
    numbers for names.
    """

    held: Sequence[Drawing]

    @property
    def form(self) -> Form:
        """See `Source`."""
        bits, look = self.held[0].bits, self.held[0].look
        alike = all(drawing.bits.shape == bits.shape and drawing.look == look for drawing in self.held)
        if not alike or look.deep or len(look.ink) > 1:
            return FilesForm(len(self.held))
        shape = (len(self.held), *bits.shape)
        return ArrayForm("npy", "images.npy", "|u1", shape, look.paper[0], look.ink[0])

    def name(self, index: int) -> str:
        """See `Source`."""
        return str(index)

    def readables(self, start: int, stop: int) -> Iterator[Readable]:
        """See `Source`."""
        return (Readable.of_raster(raster_of(one), one.note) for one in self.held[start:stop])

    def files(self) -> Iterator[Path]:
        """See `Source`; none."""
        return iter(())

    def close(self) -> None:
        """See `Source`."""


@dataclass(frozen=True)
class Gathered:
    """The sources of an archive; `notes` say what was left out. As a context manager it closes the sources."""

    sources: tuple[Source, ...]
    notes: tuple[str, ...]

    def suitable(
        self, look: Callable[[Readable], object], progress: Progress | None = None
    ) -> tuple[Gathered, list[str]]:
        """The same without the loose pictures that `look` refuses by an ImageError, and why it does, a line each.

        Each picture is read once for that; arrays were looked through when they were opened.
        """
        total = sum(source.count for source in self.sources if isinstance(source, Files))
        sources, problems, done = list[Source](), list[str](), 0
        for source in self.sources:
            kept = source
            if isinstance(source, Files):
                good = list[int]()
                for index in range(source.count):
                    try:
                        for readable in source.readables(index, index + 1):
                            look(readable)
                            good.append(index)
                    except ImageError as error:
                        title = source.shelf.items[index].title
                        problems.append(str(error) if title in str(error) else f"{title}: {error}")
                    done += 1
                    if progress and total > _MANY:
                        progress("looking at pictures", done, total)
                source.close()
                kept = source if len(good) == source.count else source.only(good)
            sources += [kept] * (kept.count > 0)
        return Gathered(tuple(sources), self.notes), problems

    def files(self) -> Iterator[Path]:
        """The files that the sources read from."""
        return itertools.chain.from_iterable(source.files() for source in self.sources)

    def close(self) -> None:
        """Closes every source."""
        for source in self.sources:
            source.close()

    def __enter__(self) -> Gathered:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def gather(
    paths: Sequence[str], threshold: int | None = None, exact: bool = True, copied: Copied | None = None
) -> Gathered:
    """Opens the sources at `paths`, in that order; pictures and folders that follow each other make one source.

    A path is a picture; a folder, zip or tar of pictures, hidden files left out; an npy, npz or IDX file, or one array
    as FILE.npz:KEY; a Parquet file with a column of pictures, FILE.parquet:COLUMN if there are several; a URL of these; or
    a pattern, as of `places.expanded`. `threshold` and `exact` are those of `images.to_drawing`; the pictures of an array
    of more than two values are loose ones, unless there is a threshold. `copied` says where a copy of a compressed source
    goes, which is read in its place.

    Raises:
        ImageError: a source is missing, damaged, empty or cannot be coded, or two images would have the same name.
    """
    sources, notes = list[Source](), list[str]()
    with contextlib.ExitStack() as undo:
        for kind, group in itertools.groupby(each_place(paths), _kind):
            for one in [list(group)] if kind == "loose" else [[path] for path in group]:
                for source in _open(kind, one, threshold, exact, notes, copied):
                    undo.callback(source.close)
                    sources.append(source)
        check_names(sources)
        undo.pop_all()
    return Gathered(tuple(sources), tuple(notes))


def pick(sources: Sequence[Source], chosen: npt.NDArray[np.int64]) -> Iterator[tuple[str, Readable]]:
    """The images of those numbers, which ascend over all sources, with their names."""
    for source, row in _picked(sources, chosen):
        (readable,) = source.readables(row, row + 1)
        yield source.name(row), readable


def pick_two_levels(
    sources: Sequence[Source], chosen: npt.NDArray[np.int64]
) -> Iterator[tuple[str, Raster, str | None]]:
    """The same in two colours, as of `Source.two_levels`."""
    for source, row in _picked(sources, chosen):
        ((raster, lost),) = source.two_levels(row, row + 1)
        yield source.name(row), raster, lost


def _picked(sources: Sequence[Source], chosen: npt.NDArray[np.int64]) -> Iterator[tuple[Source, int]]:
    forms = Forms(source.form for source in sources)
    for number, group in itertools.groupby(map(forms.at, chosen.tolist()), lambda at: at[0]):
        source = sources[number]
        for _, row in group:
            yield source, row
        source.close()  # a thousand sources are a thousand files
    for source in sources:  # some share one
        source.close()


def each_place(paths: Sequence[str]) -> Iterator[str]:
    """The paths, patterns as the places that they stand for; one that matches nothing as it is."""
    for path in map(places.tidy, paths):
        named = NPZ_KEY.fullmatch(path)
        is_pattern = places.is_pattern(path) and not (named and not places.is_url(path) and os.path.exists(named[1]))
        yield from (places.expanded(path) or [path]) if is_pattern else [path]


def _kind(path: str) -> str:
    """ "loose" for a picture or folder, else "zip", "tar", "npy", "npz", "idx" or "parquet"."""
    lower = path.lower()
    with reading(path):
        if places.is_folder(path):
            return "loose"
        there = places.exists(path)
        for kind, pattern in (("npz", NPZ_KEY), ("parquet", _PARQUET_COLUMN)):
            if not there and (named := pattern.fullmatch(path)) and places.exists(named[1]):
                return kind
        if not places.is_file(path):
            raise ImageError(f"{path} is neither a file nor a folder" if there else f"{path} does not exist")
    if lower.endswith(_TARS):
        return "tar"
    for suffix in ("npz", "npy", "zip", "parquet"):
        if lower.endswith(f".{suffix}"):
            return suffix
    with reading(path), places.open_read(path) as file:
        head = file.read(6)
    if head[:1] == _OURS and head[1:] and head[1] >> 4 in _VERSIONS:
        raise ImageError(f"{path} is a file of vlae-codec, and pictures are wanted here: decompress or unpack it first")
    of_magic = next((kind for magic, kind in _MAGICS.items() if head.startswith(magic)), "loose")
    return "idx" if _IDX_NAME.search(path) else of_magic


def _open(
    kind: str, paths: list[str], threshold: int | None, exact: bool, notes: list[str], copied: Copied | None
) -> list[Source]:
    """The sources at paths of one kind: several only if they are loose."""
    path = paths[0]
    if kind in ("npy", "npz", "idx"):
        opened = _arrays(kind, path, threshold, copied)
        return [
            Files(Levels(one, notes), threshold, exact) if isinstance(one, Pictures) else Array(one) for one in opened
        ]
    if kind == "parquet":
        named = None if places.exists(path) else _PARQUET_COLUMN.fullmatch(path)
        return [Files(Parquet(*((named[1], named[2]) if named else (path, None))), threshold, exact)]
    if kind == "loose":
        return [Files(Loose(paths, notes), threshold, exact)]
    return [Files(Zip(path, notes) if kind == "zip" else Tar(path, notes, copied), threshold, exact)]


def _arrays(kind: str, path: str, threshold: int | None, copied: Copied | None) -> Sequence[StoredArray | Pictures]:
    """The arrays of a file."""
    if kind != "npz":
        return [(arrays.open_npy if kind == "npy" else arrays.open_idx)(path, threshold, copied)]
    named = None if places.exists(path) else NPZ_KEY.fullmatch(path)
    path, key = (named[1], named[2]) if named else (path, None)
    return arrays.open_npz(path, key, threshold, copied)


def check_names(sources: Sequence[Source]) -> None:
    """No two images of one name, and none whose name is a folder of another's; no two files of arrays of one name.

    Raises:
        ImageError: there are such; it says where they come from.
    """
    titles, files = dict[str, str](), dict[str, str]()
    for name, title in itertools.chain.from_iterable(map(_claims, sources)):
        if name in titles:
            raise ImageError(f"{titles[name]} and {title} would both be named {name}: rename one")
        titles[name] = title
    for name, title in titles.items():
        folder = name.rpartition("/")[0]
        while folder:
            if folder in titles:
                raise ImageError(f"{title} would lie within {folder}, which is {titles[folder]}: rename one")
            folder = folder.rpartition("/")[0]
    for stored in (source.stored for source in sources if isinstance(source, Array)):
        first = files.setdefault(stored.form.output, stored.path)
        if os.path.realpath(first) != os.path.realpath(stored.path):
            raise ImageError(f"{first} and {stored.path} would both be named {stored.form.output}: rename one")


def _claims(source: Source) -> Iterator[tuple[str, str]]:
    """What only one source may name its images, or begin their names with, and what has that name."""
    if isinstance(source, Files):
        yield from ((item.name, item.title) for item in source.shelf.items)
    if isinstance(source, Array):
        yield source.stored.form.root, source.stored.title
