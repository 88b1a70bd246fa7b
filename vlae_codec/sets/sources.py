"""Sets of images on their way into an archive: pictures, folders, zip and tar files; npy, npz and IDX arrays.

`gather` looks at each source once and keeps little of it; `Source.drawings` then reads images as they are asked for,
whatever the size of the whole. The mirror image is `restore`.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import os
import re
import stat
import tarfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from vlae_codec.errors import ImageError, Progress
from vlae_codec.files import legible, reading, safe_name
from vlae_codec.picture.drawing import Drawing, raster_of
from vlae_codec.picture.images import check_beginning, picture_suffixes, read_drawing
from vlae_codec.picture.reading import Readable

from . import arrays
from .arrays import BLOCK_BYTES, StoredArray
from .manifest import ArrayForm, FilesForm, Form, Forms

LARGEST_BYTES = 1 << 30
"""Of one picture file: more than any picture that can be coded needs."""
_LOOKED_AT_BYTES = 1 << 24
"""Picture files that are larger are looked at before they are read as a whole."""
NPZ_KEY = re.compile(r"(.*\.npz):(.+)", re.DOTALL | re.IGNORECASE)
"""One array of a file: FILE.npz:KEY."""
_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_IDX_NAME = re.compile(r"(\.idx|idx\d-ubyte)(\.gz)?$", re.IGNORECASE)
_MAGICS = {
    b"\x93NUMPY": "npy",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",  # an empty one
    arrays.IDX_MAGIC: "idx",
    b"\x1f\x8b": "idx",  # gzipped; tar files are told by their names
}

_MANY = 1000  # pictures take long to be looked at
_UNIX = 3  # in a zip, the system on which a member was packed
_SPECIAL = "links or special files"

_Key = TypeVar("_Key")
_Archive = TypeVar("_Archive", zipfile.ZipFile, tarfile.TarFile)


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
    def drawings(self, start: int, stop: int) -> Iterator[Drawing]:
        """Images `start` to `stop` - 1, read as they are asked for; reading on from the last call's `stop` is cheap.

        Raises:
            ImageError: an image cannot be read or coded; the message names it.
        """

    def readables(self, start: int, stop: int) -> Iterator[Readable]:
        """The same images, to be read as drawings or as they are; of what is held in two levels that is the same.

        Raises:
            ImageError: as of `drawings`.
        """
        for drawing in self.drawings(start, stop):
            yield Readable.of_raster(raster_of(drawing), drawing.note)

    @abstractmethod
    def files(self) -> Iterator[Path]:
        """The files it reads from."""

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

    def drawings(self, start: int, stop: int) -> Iterator[Drawing]:
        """See `Source`; all have the default look, whatever the values of the array."""
        return (Drawing(bits, note=self.stored.note) for bits in self.stored.bits(start, stop))

    def files(self) -> Iterator[Path]:
        """See `Source`."""
        yield Path(self.stored.path)

    def close(self) -> None:
        """See `Source`."""
        self.stored.close()


@dataclass(frozen=True)
class Files(Source):
    """Loose pictures, of files, folders, a zip or a tar."""

    shelf: _Shelf[Any]
    threshold: int | None
    exact: bool

    @property
    def form(self) -> Form:
        """See `Source`."""
        return FilesForm(len(self.shelf.items))

    def name(self, index: int) -> str:
        """See `Source`."""
        return self.shelf.items[index].name

    def drawings(self, start: int, stop: int) -> Iterator[Drawing]:
        """See `Source`."""
        for item, data in self._read(start, stop):
            yield read_drawing(data, item.title, self.threshold, self.exact)

    def readables(self, start: int, stop: int) -> Iterator[Readable]:
        """See `Source`."""
        for item, data in self._read(start, stop):
            yield Readable.of_file(data, item.title, exact=self.exact, threshold=self.threshold)

    def _read(self, start: int, stop: int) -> Iterator[tuple[_Item[Any], bytes]]:
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

    def drawings(self, start: int, stop: int) -> Iterator[Drawing]:
        """See `Source`."""
        return iter(self.held[start:stop])

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


def gather(paths: Sequence[str], threshold: int | None = None, exact: bool = True) -> Gathered:
    """Opens the sources at `paths`, in that order; pictures and folders that follow each other make one source.

    A path is a picture; a folder, zip or tar of pictures, hidden files left out; an npy, npz or IDX file, or one array
    as FILE.npz:KEY. `threshold` and `exact` are those of `images.to_drawing`; an array must be of two values unless
    there is a threshold.

    Raises:
        ImageError: a source is missing, damaged, empty or cannot be coded, or two images would have the same name.
    """
    sources, notes = list[Source](), list[str]()
    with contextlib.ExitStack() as undo:
        for kind, group in itertools.groupby(paths, _kind):
            for one in [list(group)] if kind == "loose" else [[path] for path in group]:
                for source in _open(kind, one, threshold, exact, notes):
                    undo.callback(source.close)
                    sources.append(source)
        _check_names(sources)
        undo.pop_all()
    return Gathered(tuple(sources), tuple(notes))


def pick(sources: Sequence[Source], chosen: npt.NDArray[np.int64]) -> Iterator[tuple[str, Drawing]]:
    """The images of those numbers, which ascend over all sources, with their names."""
    forms = Forms(source.form for source in sources)
    for number, group in itertools.groupby(map(forms.at, chosen.tolist()), lambda at: at[0]):
        source = sources[number]
        for _, row in group:
            (drawing,) = source.drawings(row, row + 1)
            yield source.name(row), drawing
        source.close()  # a thousand sources are a thousand files
    for source in sources:  # some share one
        source.close()


def _kind(path: str) -> str:
    """ "loose" for a picture or folder, else "zip", "tar", "npy", "npz" or "idx"."""
    lower = path.lower()
    if os.path.isdir(path):
        return "loose"
    if not os.path.exists(path) and (named := NPZ_KEY.fullmatch(path)) and os.path.exists(named[1]):
        return "npz"
    if not os.path.isfile(path):
        raise ImageError(f"{path} is neither a file nor a folder" if os.path.exists(path) else f"{path} does not exist")
    if lower.endswith(_TARS):
        return "tar"
    for suffix in ("npz", "npy", "zip"):
        if lower.endswith(f".{suffix}"):
            return suffix
    with reading(path), open(path, "rb") as file:
        head = file.read(6)
    of_magic = next((kind for magic, kind in _MAGICS.items() if head.startswith(magic)), "loose")
    return "idx" if _IDX_NAME.search(path) else of_magic


def _open(kind: str, paths: list[str], threshold: int | None, exact: bool, notes: list[str]) -> list[Source]:
    """The sources at paths of one kind: several only if they are loose."""
    path = paths[0]
    if kind == "npy":
        return [Array(arrays.open_npy(path, threshold))]
    if kind == "idx":
        return [Array(arrays.open_idx(path, threshold))]
    if kind == "npz":
        named = None if os.path.exists(path) else NPZ_KEY.fullmatch(path)
        path, key = (named[1], named[2]) if named else (path, None)
        return [Array(stored) for stored in arrays.open_npz(path, key, threshold)]
    if kind == "loose":
        return [Files(_Loose(paths, notes), threshold, exact)]
    return [Files(_Zip(path, notes) if kind == "zip" else _Tar(path, notes), threshold, exact)]


def _check_names(sources: Sequence[Source]) -> None:
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


@dataclass(frozen=True)
class _Item(Generic[_Key]):
    """A picture file: its name in the archive, what errors call it, and what its shelf finds it by."""

    name: str
    title: str
    key: _Key


class _Shelf(ABC, Generic[_Key]):
    """Picture files of one place."""

    items: list[_Item[_Key]]

    @abstractmethod
    def read(self, index: int) -> bytes:
        """The bytes of the picture file of item `index`."""

    @abstractmethod
    def files(self) -> Iterator[Path]:
        """The files that it reads from."""

    @abstractmethod
    def close(self) -> None:
        """Closes what `read` keeps open."""


class _Loose(_Shelf[Path]):
    """Files, and the files of folders, by name."""

    def __init__(self, paths: Sequence[str], notes: list[str]) -> None:
        self.items = []
        for path in paths:
            if os.path.isdir(path):
                hidden, links = list[str](), list[str]()
                found = [*_walk(path, hidden, links)]
                _note(path, hidden, "hidden", notes)
                _note(path, links, _SPECIAL, notes)
                self.items += _pictures(path, found, notes)
            else:
                self.items.append(_Item(safe_name(Path(path).name), path, Path(path)))

    def read(self, index: int) -> bytes:
        item = self.items[index]
        with item.key.open("rb") as file:
            return _read_whole(file, os.fstat(file.fileno()).st_size, item.title)

    def files(self) -> Iterator[Path]:
        return (item.key for item in self.items)

    def close(self) -> None:
        pass


class _Packed(_Shelf[_Key], Generic[_Key, _Archive]):
    """The members of one file, which stays open from one reading to the next."""

    _path: str
    _open: _Archive | None = None

    def files(self) -> Iterator[Path]:
        yield Path(self._path)

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


class _Zip(_Packed[zipfile.ZipInfo, zipfile.ZipFile]):
    """The members of a zip file, in its order."""

    def __init__(self, path: str, notes: list[str]) -> None:
        self._path = path
        with reading(path), zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
        entries = [_Item(_relative(info.filename), f"{path}:{info.filename}", info) for info in members]
        entries = _shown(path, entries, notes)
        _note(path, [entry.name for entry in entries if _is_special(entry.key)], _SPECIAL, notes)
        self.items = _pictures(path, [entry for entry in entries if not _is_special(entry.key)], notes)

    def read(self, index: int) -> bytes:
        item = self.items[index]
        if self._open is None:
            self._open = zipfile.ZipFile(self._path)
        with self._open.open(item.key) as file:
            return _read_whole(file, item.key.file_size, item.title)


def _is_special(info: zipfile.ZipInfo) -> bool:
    """Whether a member of a zip is a link, a device or a pipe: whoever packed it on a system with such left a mark."""
    mode = info.external_attr >> 16
    return info.create_system == _UNIX and stat.S_IFMT(mode) not in (0, stat.S_IFREG)


class _Member(tarfile.TarInfo):
    """A member of a tar file: a damaged header, or an end without its mark, is an error and no end of the list.

    So is one of a negative size, which leads back to where it stands.
    """

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> _Member:
        start = archive.offset
        try:
            member = super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(
                f"it is not a tar file, or is damaged or cut short at byte {archive.offset}"
            ) from error
        if member.size < 0 or archive.offset <= start:
            raise tarfile.ReadError(f"it is not a tar file, or is damaged at byte {start}")
        return member


class _Tar(_Packed[tarfile.TarInfo, tarfile.TarFile]):
    """The members of a tar file, compressed or not, in its order: one of a compressed tar is found by reading up to it.

    It is read to its end first, where a compressed one has its checksum.
    """

    def __init__(self, path: str, notes: list[str]) -> None:
        self._path = path
        with reading(path), tarfile.open(path, tarinfo=_Member) as archive:
            members = [info for info in archive if not info.isdir()]
            _check_tail(archive)
        entries = [_Item(_relative(info.name), f"{path}:{info.name}", info) for info in members]
        entries = _shown(path, entries, notes)
        _note(path, [entry.name for entry in entries if not entry.key.isreg()], _SPECIAL, notes)
        self.items = _pictures(path, [entry for entry in entries if entry.key.isreg()], notes)

    def read(self, index: int) -> bytes:
        item = self.items[index]
        if self._open is None:
            self._open = tarfile.open(self._path, tarinfo=_Member)  # noqa: SIM115
        file = self._open.extractfile(item.key)
        assert file is not None  # which it is only for what is no regular file
        return _read_whole(file, item.key.size, item.title)


def _check_tail(archive: tarfile.TarFile) -> None:
    """Reads what follows the mark of the end of a tar file: nothing but zeros, after which decompressors verify checksums.

    Raises:
        TarError: there is more, as where two archives were joined.
        OSError, EOFError, zlib.error, LZMAError: a checksum fails, or the stream is cut short.
    """
    stream = archive.fileobj
    assert stream is not None  # which it is only when closed
    stream.seek(archive.offset)
    while block := stream.read(BLOCK_BYTES):
        if any(block):
            raise tarfile.ReadError(
                "it goes on after the mark of its end: if several archives were joined, take them apart"
            )


def _relative(name: str) -> str:
    """A member's name without parts that say only "this folder"."""
    return "/".join(part for part in name.split("/") if part != ".")


def _walk(folder: str, hidden: list[str], links: list[str]) -> Iterator[_Item[Path]]:
    """The files in a folder and its folders, by name, without `hidden` pictures, and `links`, to pictures or folders."""
    base = Path(folder).resolve().name
    found: list[Path] = []

    def named(path: Path) -> str:
        return "/".join([base, *path.relative_to(folder).parts]).lstrip("/")

    for place, folders, files in os.walk(folder, onerror=_refuse):
        hidden += [name for name in files if name.startswith(".") and _is_picture(name)]
        for name in folders:
            if name.startswith(".") and not Path(place, name).is_symlink():
                hidden += _pictures_below(place, name)
        folders[:] = [name for name in folders if not name.startswith(".")]
        shown = [Path(place, name) for name in files if not name.startswith(".")]
        special = {path for path in shown if not stat.S_ISREG(path.lstat().st_mode) and _is_picture(path.name)}
        links += map(
            named, [*(path for path in (Path(place, name) for name in folders) if path.is_symlink()), *sorted(special)]
        )
        found += [path for path in shown if path not in special]
    names = {path: named(path) for path in found}
    yield from (_Item(names[path], str(path), path) for path in sorted(found, key=names.__getitem__) if path.is_file())


def _pictures_below(place: str, name: str) -> Iterator[str]:
    """Pictures in the folder `name` of a folder and in its folders, as far as they can be read."""
    for folder, _, files in os.walk(Path(place, name)):
        yield from (Path(folder, one).relative_to(place).as_posix() for one in files if _is_picture(one))


def _refuse(error: OSError) -> None:
    raise ImageError(f"cannot read {error.filename}: {error.strerror}") from error


def _pictures(where: str, entries: Iterable[_Item[_Key]], notes: list[str]) -> list[_Item[_Key]]:
    """Those that are pictures, by their suffixes; a note tells what others there are.

    Raises:
        ImageError: there are none, or one has an unsafe name.
    """
    found, others = list[_Item[_Key]](), list[str]()
    for entry in entries:
        if _is_picture(entry.name):
            _check_name(where, entry.name)
            found.append(entry)
        else:
            others.append(entry.name)
    _note(where, others, "no pictures by their suffixes", notes)
    if not found:
        why = [note for note in notes if f" of {where}, " in note]
        raise ImageError(f"no images in {where}" + ": " * bool(why) + "; ".join(why))
    return found


def _check_name(where: str, name: str) -> None:
    try:
        safe_name(name)
    except ImageError as error:
        raise ImageError(f"in {where}, {error}: rename it, or leave it out") from error


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in picture_suffixes()


def _shown(where: str, entries: Sequence[_Item[_Key]], notes: list[str]) -> list[_Item[_Key]]:
    """Those that are not hidden; a note tells which pictures are."""
    hidden = [entry.name for entry in entries if _is_hidden(entry.name) and _is_picture(entry.name)]
    _note(where, hidden, "hidden", notes)
    return [entry for entry in entries if not _is_hidden(entry.name)]


def _is_hidden(name: str) -> bool:
    """Whether a system would not show it. What begins with two dots may be unsafe: it is not hidden, but looked at."""
    return any(part == "__MACOSX" or (part.startswith(".") and not part.startswith("..")) for part in name.split("/"))


def _note(where: str, names: Sequence[str], what: str, notes: list[str]) -> None:
    if names:
        more = ", ..." if len(names) > 3 else ""
        shown = ", ".join(map(legible, names[:3]))
        notes.append(f"left out {len(names)} of {where}, {what}: {shown}{more}")


def _read_whole(file: IO[bytes], size: int, title: str) -> bytes:
    """The bytes of a picture file of that size, of a large one only if its beginning is that of a picture.

    Raises:
        ImageError: it is too large for what it says it is, or shorter than its container says.
    """
    if size > LARGEST_BYTES:
        raise ImageError(f"{title} is larger than any picture file of ours ({LARGEST_BYTES} bytes)")
    if size > _LOOKED_AT_BYTES:
        check_beginning(file, size, title)
        file.seek(0)
    data = bytearray()
    while block := file.read(min(BLOCK_BYTES, size - len(data))):
        data += block
    if len(data) < size:
        raise ImageError(f"{title} ends early: it has {len(data)} of {size} bytes")
    return bytes(data)
