"""Files that are written whole or not at all, and names that stay within their folder."""

from __future__ import annotations

import contextlib
import lzma
import os
import re
import struct
import tarfile
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .errors import ImageError, OutputError

_UNREADABLE = (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, tarfile.TarError)
"""RuntimeError: zipfile's for members that are encrypted or of an unknown compression."""
_SENSELESS = (ValueError, IndexError, OverflowError, struct.error)
"""What zipfile and tarfile let through of headers that are damaged: names that are no text or empty, sizes that are none."""

LONGEST_NAME = 1024
LONGEST_PART = 255
"""In UTF-8 bytes: of a name, and of each of its parts between slashes."""


@contextlib.contextmanager
def reading(title: str) -> Iterator[None]:
    """Makes what goes wrong while reading a file, an archive or a compressed stream an ImageError that names it."""
    try:
        yield
    except _UNREADABLE as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0].rstrip(":") or "it ends early"
        raise ImageError(f"cannot read {title}: {reason}") from error
    except _SENSELESS as error:
        raise ImageError(f"cannot read {title}: it is damaged ({error})") from error


def cache_folder() -> Path | None:
    """Where is kept what can be made anew; None if there is no home to keep it in."""
    base = os.environ.get("VLAE_CACHE") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(base).expanduser() / "vlae-codec"
    except RuntimeError:
        return None


def check_free(path: Path, force: bool) -> None:
    """Refuses early what `write` would refuse later.

    Raises:
        OutputError: the file exists and `force` is not set, or there can be none in that place.
    """
    try:
        if _is_device(path):
            return
        if not force and path.is_file():
            raise OutputError(f"{path} exists: -f overwrites it, or give another name")
        if path.is_dir():
            raise OutputError(f"{path} is a folder: name a file")
        folder = next(folder for folder in path.absolute().parents if folder.exists())
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {path}: {folder} is no folder that can be written to")


def write(path: Path, data: bytes, force: bool) -> None:
    """Writes a whole file or nothing; errors as `whole`."""
    with whole(path, force) as out:
        out.write(data)


@contextlib.contextmanager
def whole(path: Path, force: bool) -> Iterator[IO[bytes]]:
    """A file to write into that appears at `path` when the block ends well, with all its content.

    Raises:
        OutputError: the file exists and `force` is not set, or it cannot be written.
    """
    try:
        if _is_device(path):
            with path.open("wb") as device:
                yield device
            return
        path = Path(os.path.realpath(path))  # a link stays a link
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".vlae-", delete=False) as temporary:
            try:
                yield temporary
                temporary.close()
                os.chmod(temporary.name, path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
                _move(Path(temporary.name), path, force)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary.name)
                raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def _is_device(path: Path) -> bool:
    """Whether it is a device or a pipe, which is written into and not replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


def legible(name: str) -> str:
    """A name, or a text that has some in it, with escapes for what would move a terminal's cursor, or turn its letters."""
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], name)


_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, separators of lines, what embeds or overrides a direction of writing, and halves of letters."""


def safe_name(name: str) -> str:
    """The name itself: a relative path whose parts, separated by slashes, lead out of no folder on any system.

    Raises:
        ImageError: it is none; whoever reads it from an archive makes that a FormatError.
    """
    problem = _problem(name)
    if problem:
        raise ImageError(f"{_shown(name)} cannot be a name within a set of images: {problem}")
    return name


def _problem(name: str) -> str | None:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "it is not Unicode text"
    parts = name.split("/")
    rules = {
        "it is empty": not name,
        f"it has more than {LONGEST_NAME} bytes": size > LONGEST_NAME,
        "it has control characters": any(unicodedata.category(letter) == "Cc" for letter in name),
        "it is absolute": name.startswith("/"),
        "it has a backslash, which is a separator on some systems": "\\" in name,
        "it has a drive letter": any(re.match("[A-Za-z]:", part) for part in parts),
        # some systems drop dots and spaces at the end of a part, so that `.. ` would be `..`
        "it has a part that is empty or only dots": any(not part.strip(". ") for part in parts),
        f"it has a part of more than {LONGEST_PART} bytes": any(len(part.encode()) > LONGEST_PART for part in parts),
    }
    return next((problem for problem, broken in rules.items() if broken), None)


def _shown(name: str) -> str:
    return repr(name) if len(name) <= 80 else repr(name[:77]) + "..."


def _move(temporary: Path, path: Path, force: bool) -> None:
    check_free(path, force)
    if force:
        os.replace(temporary, path)
        return
    try:
        os.link(temporary, path)  # unlike a rename, fails if somebody made the file meanwhile
    except FileExistsError:
        check_free(path, force)
        raise
    except OSError:  # a file system without hard links
        os.replace(temporary, path)
    else:
        os.unlink(temporary)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
