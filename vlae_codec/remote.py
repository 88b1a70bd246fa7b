"""What lies behind a URL, by fsspec and the drivers that it knows: the one door to them.

    asked       fsspec's file system of a URL, and the path in it
    Remote      a file there, to be read here and there
    create, send    a small file that is ours alone, and a whole file

Whatever the driver is: what it raises is an OSError; nothing is remembered of a folder, into which others write as well; and
folders are made, but never a bucket.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Callable, Iterator
from typing import Any

from .errors import PlaceError, VlaeError

_AHEAD_BYTES = 1 << 22
"""Read ahead of a file at most: a reader of a set has several open, and wants a few of the images of each."""
_BLOCK_BYTES = 1 << 20
_NUMBERS = {
    FileNotFoundError: errno.ENOENT,
    FileExistsError: errno.EEXIST,
    PermissionError: errno.EACCES,
    IsADirectoryError: errno.EISDIR,
    NotADirectoryError: errno.ENOTDIR,
    TimeoutError: errno.ETIMEDOUT,
}
"""Of errors that drivers raise without."""


@contextlib.contextmanager
def asked(place: str) -> Iterator[tuple[Any, str]]:
    """fsspec's file system of a URL, and the path in it.

    Raises:
        PlaceError: fsspec or the driver is not installed, or does not know the scheme.
        OSError: whatever the driver raises within the context.
    """
    system, path = _system(place)
    with _translated(place):
        system.invalidate_cache()
        yield system, path


class Remote(io.RawIOBase):
    """A file behind a URL. Like one of this machine it is read anywhere, and `read(n)` gives less at its end only.

    Of a server that sends files from their beginnings only, what is not read in that order is read from a copy here.
    """

    def __init__(self, place: str) -> None:
        """Errors as `asked`; and OSError if the file is not there."""
        super().__init__()
        self._place = place
        with asked(place) as (system, path):
            ahead = getattr(system, "default_block_size", None)
            limit = {"block_size": _AHEAD_BYTES} if isinstance(ahead, int) and ahead > 2 * _AHEAD_BYTES else {}
            self._file: Any = system.open(path, "rb", **limit)
        self._again: Callable[[], Any] | None = None
        if place.lower().startswith("http"):
            self._again = lambda: system.open(path, "rb", block_size=0)
            if getattr(self._file, "size", None) is None:  # it is sent as it comes, in pieces of any size
                self._copy()

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase`."""
        data = self._done(lambda file: file.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """See `io.RawIOBase`."""
        return bytes(self._done(lambda file: file.read()))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """See `io.IOBase`."""
        return int(self._done(lambda file: file.seek(offset, whence)))

    def tell(self) -> int:
        """See `io.IOBase`."""
        return int(self._file.tell())

    def close(self) -> None:
        """See `io.IOBase`."""
        if not self.closed:
            self._file.close()
        super().close()

    def _done(self, step: Callable[[Any], Any]) -> Any:
        """What a step gives on the file, or on a copy if the server does not serve it so."""
        with _translated(self._place):
            try:
                return step(self._file)
            except ValueError:
                if self._again is None or self.closed:
                    raise
            self._copy()
            return step(self._file)

    def _copy(self) -> None:
        """Reads all of it into a file without a name, to go on there."""
        import shutil
        import tempfile

        assert self._again is not None
        at, again, self._again = self._file.tell(), self._again, None
        copy = tempfile.TemporaryFile()  # noqa: SIM115  closed with this file
        with again() as stream:
            shutil.copyfileobj(stream, copy, _BLOCK_BYTES)
        copy.seek(at)
        self._file.close()
        self._file = copy


def create(place: str, data: bytes) -> bool:
    """Creates a small file where there is none, by a call that lets only one of several succeed; whether it did.

    Raises:
        NotImplementedError: the store has no such call.
        OSError: it cannot be written.
    """
    with asked(place) as (system, path):
        if system.exists(path):  # some stores take the call, and not what is exclusive about it
            return False
        try:
            system.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        except OSError:
            if system.exists(path):  # what S3 calls a failed precondition
                return False
            raise
        except Exception as error:  # each driver says in its own way that it does not know the mode
            raise NotImplementedError(f"{place}: the store creates no files exclusively") from error
    return True


def send(waiting: str, place: str) -> None:
    """Puts a file of this machine to a URL by one call; where that fails in the middle, what arrived is removed.

    Raises:
        OSError: it cannot be written.
    """
    with asked(place) as (system, path):
        try:
            try:
                system.put_file(waiting, path)
            except FileNotFoundError:
                make_folder(system, system._parent(path))
                system.put_file(waiting, path)
        except BaseException:
            with contextlib.suppress(Exception):
                system.rm_file(path)
            raise


def make_folder(system: Any, path: str) -> None:
    """Makes a folder and those above it, where there are folders, but not the first one, which may be a bucket."""
    root, *parts = path.rstrip("/").split("/")
    for count in range(1, len(parts) + 1):
        with contextlib.suppress(FileExistsError, NotImplementedError):
            system.mkdir("/".join([root, *parts[:count]]), create_parents=False)


@contextlib.contextmanager
def _translated(place: str) -> Iterator[None]:
    """Makes what a driver raises an OSError of the place, with a reason; our own errors, and those of wrong calls, stay."""
    try:
        yield
    except OSError as error:
        number = error.errno or next((n for kind, n in _NUMBERS.items() if isinstance(error, kind)), errno.EIO)
        raise OSError(number, _reason(place, error, number), place) from error  # of the same class, by its number
    except (VlaeError, NotImplementedError, ValueError, TypeError):
        raise
    except Exception as error:
        raise OSError(errno.EIO, _reason(place, error, errno.EIO), place) from error


def _reason(place: str, error: Exception, number: int) -> str:
    """What an error says; of one that says only where, what caused it, or what its number means."""
    cause = error.__cause__
    for said in (getattr(error, "strerror", None), str(error), cause.strerror if isinstance(cause, OSError) else None):
        line = (said or "").partition("\n")[0]
        if line and line not in place:
            return line
    return os.strerror(number)


def _system(place: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and the path in it.

    Raises:
        PlaceError: fsspec or the driver is not installed, or does not know the scheme.
    """
    scheme = place.partition("://")[0]
    try:
        import fsspec
    except ImportError as error:
        raise PlaceError(f"{scheme}:// needs fsspec: pip install 'vlae-codec[cluster]'") from error
    try:
        system, path = fsspec.core.url_to_fs(place)
    except ImportError as error:
        raise PlaceError(f"{scheme}:// needs a driver: pip install {_driver(error, scheme)}") from error
    except ValueError as error:
        if "protocol" not in str(error).lower():
            raise PlaceError(f"{place} cannot be read as a URL: {error}") from error
        raise PlaceError(f"{scheme}:// is not known to fsspec: see fsspec.available_protocols()") from error
    return system, path


def _driver(error: ImportError, scheme: str) -> str:
    """The package that a driver's import did not find."""
    cause = error.__cause__ or error.__context__ or error
    missing = getattr(cause, "name", None) or getattr(error, "name", None)
    return missing.partition(".")[0] if missing else f"what fsspec needs for {scheme}:// ({error})"
