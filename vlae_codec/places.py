"""Where files are read from and written to: paths of this machine, and URLs of whatever fsspec has a driver for.

    photo.png, /data/set.tar, file:///data/set.tar     a path: nothing but Python is needed
    s3://bucket/set.tar, gs://..., http://..., ...     a URL: fsspec, and the driver of its scheme, are imported

fsspec comes with `pip install 'vlae-codec[cluster]'`, its drivers as fsspec names them. What is written appears whole or not
at all, also on stores that cannot rename.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

from . import files, remote
from .errors import OutputError, PlaceError

_URL = re.compile(r"[a-z][a-z0-9+.-]*(::[a-z][a-z0-9+.-]*)*://", re.IGNORECASE)
_GLOB = re.compile(r"[*?[]")
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
_BLOCK_BYTES = 1 << 20
_MOST = 1 << 20  # names that a pattern in braces stands for


def is_url(place: str) -> bool:
    """Whether a place is not a path of this machine."""
    return bool(_URL.match(place)) and not place.lower().startswith("file://")


def tidy(place: str) -> str:
    """The place, with file:// URLs as the paths that they name."""
    if not place.lower().startswith("file://"):
        return place
    return unquote(urlsplit(place).path)


def absolute(place: str) -> str:
    """The same place for a process in another folder."""
    return place if is_url(place) else os.path.abspath(tidy(place))


def open_read(place: str) -> BinaryIO:
    """A file to read here and there.

    Raises:
        OSError: it is not there, or cannot be read.
        PlaceError: the URL's driver is not installed.
    """
    if not is_url(place):
        return open(tidy(place), "rb")
    return cast(BinaryIO, remote.Remote(place))


def open_unbuffered(place: str) -> BinaryIO:
    """The same without a buffer if it is a path; errors as `open_read`."""
    return open_read(place) if is_url(place) else cast(BinaryIO, open(tidy(place), "rb", buffering=0))


def size(place: str) -> int:
    """Its length in bytes; errors as `open_read`."""
    if not is_url(place):
        return os.stat(tidy(place)).st_size
    with remote.asked(place) as (system, path):
        return int(system.size(path) or 0)


def exists(place: str) -> bool:
    """Whether there is a file or a folder; errors as `open_read`."""
    if not is_url(place):
        return os.path.exists(tidy(place))
    with remote.asked(place) as (system, path):
        return bool(system.exists(path))


def is_folder(place: str) -> bool:
    """Whether there is a folder; errors as `open_read`."""
    if not is_url(place):
        return os.path.isdir(tidy(place))
    with remote.asked(place) as (system, path):
        return bool(system.isdir(path))


def is_file(place: str) -> bool:
    """Whether there is a file; errors as `open_read`."""
    if not is_url(place):
        return os.path.isfile(tidy(place))
    with remote.asked(place) as (system, path):
        return bool(system.isfile(path))


def is_empty(folder: str) -> bool:
    """Whether there is nothing in a folder; errors as `open_read`."""
    if is_url(folder):
        with remote.asked(folder) as (system, path):
            return not system.ls(path)
    with os.scandir(tidy(folder)) as entries:
        return next(entries, None) is None


def name(place: str) -> str:
    """The last part of a place."""
    return place.rstrip("/").rpartition("/")[2] if is_url(place) else Path(tidy(place)).name


def beside(place: str, *parts: str) -> str:
    """A place in the folder `place`."""
    if is_url(place):
        return "/".join([place.rstrip("/"), *parts])
    return os.path.join(tidy(place), *parts)


def below(folder: str) -> list[str]:
    """All files in the folder of a URL and in its folders, by name: relative to it; errors as `open_read`."""
    with remote.asked(folder) as (system, path):
        root = path.rstrip("/") + "/"
        return sorted(one.removeprefix(root) for one in system.find(path))


def expanded(pattern: str) -> list[str]:
    """The places that a pattern stands for, by name: `{000..127}` numbers, and *, ? and [abc] whatever is there.

    A pattern that is the name of something that is there is that; one without wildcards stands for itself.

    Raises:
        PlaceError: the URL's driver is not installed.
    """
    if not is_url(pattern) and os.path.exists(tidy(pattern)):
        return [tidy(pattern)]
    found = list[str]()
    for one in _numbered(tidy(pattern)):
        found += sorted(_matching(one)) if _GLOB.search(one) else [one]
    return found


def is_pattern(place: str) -> bool:
    """Whether a place stands for several, and not for a file that has such a name."""
    return bool(_GLOB.search(place) or _BRACES.search(place)) and (is_url(place) or not os.path.exists(tidy(place)))


def write(place: str, data: bytes, force: bool) -> None:
    """Writes a whole file or nothing; errors as `whole`."""
    with whole(place, force) as out:
        out.write(data)


@contextlib.contextmanager
def whole(place: str, force: bool) -> Iterator[IO[bytes]]:
    """A file to write into that appears at `place` when the block ends well, with all its content; see `files.whole`.

    What goes to a URL waits in a temporary file here, and is sent by one call that stores take as a whole.

    Raises:
        OutputError: the file exists and `force` is not set, or it cannot be written.
        PlaceError: the URL's driver is not installed.
    """
    if not is_url(place):
        with files.whole(Path(tidy(place)), force) as out:
            yield out
        return
    import tempfile

    check_free(place, force)
    with tempfile.TemporaryDirectory(prefix="vlae-") as folder:
        waiting = os.path.join(folder, "whole")
        with open(waiting, "wb") as out:
            yield out
        check_free(place, force)
        with _blamed(place):
            remote.send(waiting, place)


def check_free(place: str, force: bool) -> None:
    """Refuses early what `whole` would refuse later.

    Raises:
        OutputError: the file exists and `force` is not set, or there can be none in that place.
        PlaceError: the URL's driver is not installed.
    """
    if not is_url(place):
        files.check_free(Path(tidy(place)), force)
        return
    with _blamed(place):
        if not force and is_file(place):
            raise OutputError(f"{place} exists: force=True overwrites it, or give another name")


def create(place: str, data: bytes) -> bool:
    """Creates a file where there is none, by a call that lets only one of several succeed; whether it did.

    Raises:
        NotImplementedError: the store has no such call.
        OutputError: it cannot be written.
    """
    with _blamed(place):
        if not is_url(place):
            path = Path(tidy(place))
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("xb") as out:
                    out.write(data)
            except FileExistsError:
                return False
            return True
        return remote.create(place, data)


def read(place: str) -> bytes | None:
    """The bytes of a small file, or None if there is none; errors as `open_read`."""
    try:
        with open_read(place) as file:
            return file.read()
    except FileNotFoundError:
        return None


def read_json(place: str) -> dict[str, Any] | None:
    """The object in a JSON file; None if there is no file, or it is not such.

    Raises:
        OSError: it cannot be read.
    """
    data = read(place)
    if data is None:
        return None
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def remove(place: str) -> None:
    """Removes a file, or a folder with all that is in it; what is not there is no error.

    Raises:
        OutputError: it cannot be removed.
    """
    import shutil  # what a single file needs starts without it

    with _blamed(place), contextlib.suppress(FileNotFoundError):
        if is_url(place):
            with remote.asked(place) as (system, path):
                system.rm(path, recursive=bool(system.isdir(path)))
        elif os.path.isdir(tidy(place)):
            shutil.rmtree(tidy(place))
        else:
            os.unlink(tidy(place))


def put(source: Path, place: str, force: bool) -> None:
    """Writes a file of this machine to a place, whole or not at all; errors as `whole`."""
    import shutil

    with whole(place, force) as out, source.open("rb") as file:
        shutil.copyfileobj(file, out, _BLOCK_BYTES)


def _numbered(pattern: str) -> list[str]:
    """The places that {first..last} stands for; numbers are as long as `first` is written."""
    found = _BRACES.search(pattern)
    if not found:
        return [pattern]
    first, last = int(found[1]), int(found[2])
    if not 0 <= last - first < _MOST:
        raise PlaceError(f"{pattern}: {found[0]} must ascend, over at most {_MOST} numbers")
    before, behind = pattern[: found.start()], pattern[found.end() :]
    here = [f"{before}{number:0{len(found[1])}}" for number in range(first, last + 1)]
    rest = _numbered(behind)
    return [one + other for one in here for other in rest]


def _matching(pattern: str) -> list[str]:
    if not is_url(pattern):
        import glob

        return glob.glob(pattern)
    with remote.asked(pattern) as (system, path):
        return [system.unstrip_protocol(one) for one in system.glob(path)]


@contextlib.contextmanager
def _blamed(place: str) -> Iterator[None]:
    """Within the context it is this file that cannot be written if a driver or the system says no."""
    try:
        yield
    except (OSError, NotADirectoryError) as error:
        raise OutputError(f"cannot write {place}: {error.strerror or error}") from error


def in_memory(file: BinaryIO) -> BinaryIO:
    """A file that can be read here and there: itself, or all of it in memory if it is a pipe."""
    return file if file.seekable() else io.BytesIO(file.read())


def shown(places: Sequence[str]) -> str:
    """The first few places, for people."""
    return ", ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")
