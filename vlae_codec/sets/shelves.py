"""Picture files of one place: loose ones and those of folders, the members of a zip or a tar, the rows of a Parquet file.

A shelf lists its pictures when it is made, and reads each as it is asked for. It can be pickled: what is pickled are names,
and where each picture lies, never its bytes.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Generic, NamedTuple, TypeVar

from vlae_codec import places
from vlae_codec.errors import ImageError
from vlae_codec.files import legible, reading, safe_name
from vlae_codec.picture.images import check_beginning, picture_suffixes

from .arrays import BLOCK_BYTES, Copied

LARGEST_BYTES = 1 << 30
"""Of one picture file: more than any picture that can be coded needs."""
_LOOKED_AT_BYTES = 1 << 24
"""Picture files that are larger are looked at before they are read as a whole."""
_UNREADABLE = (
    ImageError,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
    tarfile.TarError,
)
_UNIX = 3  # in a zip, the system on which a member was packed
_SPECIAL = "links or special files"

_Key = TypeVar("_Key")
_Archive = TypeVar("_Archive", zipfile.ZipFile, tarfile.TarFile)


@dataclass(frozen=True)
class Item(Generic[_Key]):
    """A picture file: its name in the archive, what errors call it, and what its shelf finds it by."""

    name: str
    title: str
    key: _Key


class Shelf(ABC, Generic[_Key]):
    """Picture files of one place."""

    items: list[Item[_Key]]

    @abstractmethod
    def read(self, index: int) -> bytes:
        """The bytes of the picture file of item `index`."""

    def beginnings(self) -> Iterator[IO[bytes]]:
        """Each picture file, to be read from its beginning as far as somebody likes; empty if it cannot be read."""
        for index in range(len(self.items)):
            try:
                data = self.read(index)
            except _UNREADABLE:
                data = b""
            yield io.BytesIO(data)

    @abstractmethod
    def files(self) -> Iterator[Path]:
        """The files of this machine that it reads from."""

    @abstractmethod
    def close(self) -> None:
        """Closes what `read` keeps open."""


class Loose(Shelf[str]):
    """Files, and the files of folders, by name."""

    def __init__(self, paths: Sequence[str], notes: list[str]) -> None:
        self.items = []
        for path in paths:
            if places.is_folder(path):
                hidden, links = list[str](), list[str]()
                found = [*(_listed(path) if places.is_url(path) else _walk(path, hidden, links))]
                if places.is_url(path):
                    found = _shown(path, found, notes)
                _note(path, hidden, "hidden", notes)
                _note(path, links, _SPECIAL, notes)
                self.items += _pictures(path, found, notes)
            else:
                self.items.append(Item(safe_name(places.name(path)), path, path))

    def read(self, index: int) -> bytes:
        item = self.items[index]
        with places.open_read(item.key) as file:
            return _read_whole(file, file.seek(0, os.SEEK_END), item.title, at=0)

    def beginnings(self) -> Iterator[IO[bytes]]:
        for item in self.items:
            try:
                file: IO[bytes] = places.open_read(item.key)
            except OSError:
                file = io.BytesIO()
            with file:
                yield file

    def files(self) -> Iterator[Path]:
        return (Path(item.key) for item in self.items if not places.is_url(item.key))

    def close(self) -> None:
        pass


class _Packed(Shelf[_Key], Generic[_Key, _Archive]):
    """The members of one file, which stays open from one reading to the next."""

    _path: str
    _file: IO[bytes] | None = None
    _open: _Archive | None = None

    @abstractmethod
    def _opened(self, file: IO[bytes]) -> _Archive:
        """What reads the members of a file."""

    def archive(self) -> _Archive:
        """What reads the members, opened if it is not."""
        if self._open is None:
            self._file = places.open_read(self._path)
            try:
                self._open = self._opened(self._file)
            except BaseException:
                self.close()
                raise
        return self._open

    def files(self) -> Iterator[Path]:
        if not places.is_url(self._path):
            yield Path(self._path)

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
        if self._file is not None:
            self._file.close()
        self._open = self._file = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_open": None}


class Member(NamedTuple):
    """Which of the members of a zip, and of how many bytes."""

    number: int
    size: int


class Zip(_Packed[Member, zipfile.ZipFile]):
    """The members of a zip file, in its order."""

    def __init__(self, path: str, notes: list[str]) -> None:
        self._path = path
        with reading(path), closing(self):
            members = [(number, info) for number, info in enumerate(self.archive().infolist()) if not info.is_dir()]
        special = {number for number, info in members if _is_special(info)}
        entries = [
            Item(_relative(info.filename), f"{path}:{info.filename}", Member(number, info.file_size))
            for number, info in members
        ]
        entries = _shown(path, entries, notes)
        _note(path, [entry.name for entry in entries if entry.key.number in special], _SPECIAL, notes)
        self.items = _pictures(path, [entry for entry in entries if entry.key.number not in special], notes)

    def read(self, index: int) -> bytes:
        item, archive = self.items[index], self.archive()
        with archive.open(archive.infolist()[item.key.number]) as file:
            return _read_whole(file, item.key.size, item.title)

    def _opened(self, file: IO[bytes]) -> zipfile.ZipFile:
        return zipfile.ZipFile(file)


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


class Span(NamedTuple):
    """Where the bytes of a member lie in a tar, decompressed."""

    offset: int
    size: int


class Tar(_Packed[Span, tarfile.TarFile]):
    """The members of a tar file, compressed or not, in its order: one of a compressed tar is found by reading up to it.

    It is read to its end first, where a compressed one has its checksum.
    """

    def __init__(self, path: str, notes: list[str], copied: Copied | None = None) -> None:
        """`copied` says where a copy of a compressed one goes, decompressed, which is read in its place."""
        self._path = self._decompressed(path, copied(path, path)) if copied and not _is_plain(path) else path
        with reading(path), closing(self):
            archive = self.archive()
            members = [info for info in archive if not info.isdir()]
            _check_tail(archive)
        special = {info.offset_data for info in members if not info.isreg() or info.issparse()}
        entries = [
            Item(_relative(info.name), f"{path}:{info.name}", Span(info.offset_data, info.size)) for info in members
        ]
        entries = _shown(path, entries, notes)
        _note(path, [entry.name for entry in entries if entry.key.offset in special], _SPECIAL, notes)
        self.items = _pictures(path, [entry for entry in entries if entry.key.offset not in special], notes)

    def read(self, index: int) -> bytes:
        item = self.items[index]
        info = tarfile.TarInfo(item.name)
        info.offset_data, info.size = item.key
        file = self.archive().extractfile(info)
        assert file is not None  # which it is only for what is not a regular file
        return _read_whole(file, item.key.size, item.title)

    def _opened(self, file: IO[bytes]) -> tarfile.TarFile:
        return tarfile.open(fileobj=file, tarinfo=_Member)

    def _decompressed(self, path: str, place: str) -> str:
        """The place of a copy that is not compressed; one that is there is whole."""
        self._path = path
        if not places.exists(place):
            with reading(path), closing(self), places.whole(place, force=True) as out:
                stream = self.archive().fileobj
                assert stream is not None  # which it is only when closed
                stream.seek(0)
                while block := stream.read(BLOCK_BYTES):
                    out.write(block)
        return place


def _is_plain(path: str) -> bool:
    """Whether a tar begins with a member, and not with the mark of a compression."""
    with reading(path), places.open_read(path) as file:
        return file.read(512)[257:262] == b"ustar"


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


def _listed(folder: str) -> Iterator[Item[str]]:
    """The files in the folder of a URL and in its folders, by name."""
    base = places.name(folder)
    with reading(folder):
        found = places.below(folder)
    for one in found:
        yield Item(f"{base}/{one}", place := places.beside(folder, one), place)


def _walk(folder: str, hidden: list[str], links: list[str]) -> Iterator[Item[str]]:
    """The files in a folder and its folders, by name, without `hidden` pictures, and `links`, to pictures or folders."""
    base = Path(folder).resolve().name
    found: list[Path] = []

    def named(path: Path) -> str:
        return "/".join([base, *path.relative_to(folder).parts]).lstrip("/")

    for place, folders, files in os.walk(folder, onerror=_refuse):
        hidden += [name for name in files if name.startswith(".") and is_picture(name)]
        for name in folders:
            if name.startswith(".") and not Path(place, name).is_symlink():
                hidden += _pictures_below(place, name)
        folders[:] = [name for name in folders if not name.startswith(".")]
        shown = [Path(place, name) for name in files if not name.startswith(".")]
        special = {path for path in shown if not stat.S_ISREG(path.lstat().st_mode) and is_picture(path.name)}
        links += map(
            named, [*(path for path in (Path(place, name) for name in folders) if path.is_symlink()), *sorted(special)]
        )
        found += [path for path in shown if path not in special]
    names = {path: named(path) for path in found}
    for path in sorted(found, key=names.__getitem__):
        if path.is_file():
            yield Item(names[path], place := str(path), place)


def _pictures_below(place: str, name: str) -> Iterator[str]:
    """Pictures in the folder `name` of a folder and in its folders, as far as they can be read."""
    for folder, _, files in os.walk(Path(place, name)):
        yield from (Path(folder, one).relative_to(place).as_posix() for one in files if is_picture(one))


def _refuse(error: OSError) -> None:
    raise ImageError(f"cannot read {error.filename}: {error.strerror}") from error


def _pictures(where: str, entries: Iterable[Item[_Key]], notes: list[str]) -> list[Item[_Key]]:
    """Those that are pictures, by their suffixes; a note tells what others there are.

    Raises:
        ImageError: there are none, or one has an unsafe name.
    """
    found, others = list[Item[_Key]](), list[str]()
    for entry in entries:
        if is_picture(entry.name):
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


def is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in picture_suffixes()


def _shown(where: str, entries: Sequence[Item[_Key]], notes: list[str]) -> list[Item[_Key]]:
    """Those that are not hidden; a note tells which pictures are."""
    hidden = [entry.name for entry in entries if _is_hidden(entry.name) and is_picture(entry.name)]
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


def _read_whole(file: IO[bytes], size: int, title: str, at: int | None = None) -> bytes:
    """The bytes of a picture file of that size, of a large one only if its beginning is that of a picture.

    at: where it begins, if the file does not stand there.

    Raises:
        ImageError: it is too large for what it says it is, or shorter than its container says.
    """
    if size > LARGEST_BYTES:
        raise ImageError(f"{title} is larger than any picture file of ours ({LARGEST_BYTES} bytes)")
    if at is not None:
        file.seek(at)
    if size > _LOOKED_AT_BYTES:
        check_beginning(file, size, title)
        file.seek(0)
    data = bytearray()
    while block := file.read(min(BLOCK_BYTES, size - len(data))):
        data += block
    if len(data) < size:
        raise ImageError(f"{title} ends early: it has {len(data)} of {size} bytes")
    return bytes(data)
