"""Files that are written whole or not at all, and names that stay within their folder."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import struct
import time
import unicodedata
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

from .errors import ImageError, OutputError

_SENSELESS = (ValueError, IndexError, OverflowError, struct.error)
"""What zipfile and tarfile let through of damaged headers: names that are empty or not text, sizes that are not numbers."""

LONGEST_NAME = 1024
LONGEST_PART = 255
"""In UTF-8 bytes: of a name, and of each of its parts between slashes."""


@contextlib.contextmanager
def reading(title: str) -> Iterator[None]:
    """Makes what goes wrong while reading a file, an archive or a compressed stream an ImageError that names it."""
    try:
        yield
    except Exception as error:
        if isinstance(error, _unreadable()):
            reason = getattr(error, "strerror", None) or str(error).partition("\n")[0].rstrip(":") or "it ends early"
            raise ImageError(f"cannot read {title}: {reason}") from error
        if isinstance(error, _SENSELESS):
            raise ImageError(f"cannot read {title}: it is damaged ({error})") from error
        raise


def _unreadable() -> tuple[type[Exception], ...]:
    """What the standard library raises; RuntimeError of zip members that are encrypted or of an unknown compression.

    These modules are loaded by whoever reads such files, and not to decode a single one of ours.
    """
    import lzma
    import tarfile
    import zipfile
    import zlib

    return OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, tarfile.TarError


def below(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files in a folder and its folders that end so, by name; what is hidden, and links to folders, are left out.

    Raises:
        OSError: a folder cannot be read.
    """
    found = list[Path]()

    def refuse(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        shown = (Path(place, name) for name in names if not name.startswith("."))
        found += [path for path in shown if path.suffix.lower() in suffixes and path.is_file()]
    return sorted(found)


def cache_folder() -> Path | None:
    """Folder for caches that can be rebuilt; None if there is no home to keep it in."""
    shared = os.environ.get("XDG_CACHE_HOME", "")  # which says that a relative one is to be ignored
    base = os.environ.get("VLAE_CACHE") or (shared if os.path.isabs(shared) else "~/.cache")
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
            raise OutputError(f"{path} exists: force=True overwrites it, or give another name")
        if path.is_dir():
            raise OutputError(f"{path} is a folder: name a file")
        folder = next(folder for folder in path.absolute().parents if folder.exists())
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {path}: {folder} is not a folder that can be written to")


def write(path: Path, data: bytes, force: bool) -> None:
    """Writes a whole file or nothing; errors as `whole`."""
    with whole(path, force) as out:
        out.write(data)


def keep(path: Path, data: bytes) -> None:
    """Writes a file that can be made again, if the disk lets us. What is in its place and not a file stays."""
    if not _is_device(path):
        with contextlib.suppress(OutputError, OSError):
            write(path, data, force=True)


@contextlib.contextmanager
def whole(path: Path, force: bool) -> Iterator[IO[bytes]]:
    """A file to write into that appears at `path` when the block ends well, with all its content.

    What else goes wrong within the block is not blamed on the file.

    Raises:
        OutputError: the file exists and `force` is not set, or it cannot be written.
    """
    with _blamed(path):
        device = _is_device(path)
        if not device:
            path = Path(os.path.realpath(path)) if path.is_symlink() else path.absolute()  # a link stays a link
            path.parent.mkdir(parents=True, exist_ok=True)
            _sweep(path.parent)
            temporary = _temporary(path.parent)
    if device:
        with _Out.opened(path, path) as out:
            yield out
        return
    try:
        with _Out.opened(Path(temporary), path) as out:
            yield out
        with _blamed(path):
            with contextlib.suppress(OSError):  # some file systems have no permissions to give
                os.chmod(temporary, path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
            _move(Path(temporary), path, force)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


class _Out(io.FileIO):
    """A file that is being written: what goes wrong with it is an OutputError that names what it is to become."""

    title: Path

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path, title: Path) -> Iterator[IO[bytes]]:
        """A buffered one; it is closed when the block ends."""
        with _blamed(title):
            raw = cls(path, "wb")
        raw.title = title
        out = io.BufferedWriter(raw)
        try:
            yield out
            out.flush()
        finally:
            with contextlib.suppress(OutputError, OSError):  # it was flushed, or there is an error already
                out.close()

    def write(self, data: Any) -> int:
        with _blamed(self.title):
            return super().write(data)


@contextlib.contextmanager
def _blamed(path: Path) -> Iterator[None]:
    """Within the context it is this file that cannot be written if the system says no."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


_UNFINISHED = ".vlae-"
"""How the names of files begin that are not finished yet."""
_TEMPORARY = re.compile(re.escape(_UNFINISHED) + "[a-z0-9_]{8}")


def _temporary(folder: Path) -> str:
    """The path of a new file in a folder, which is its owner's only."""
    path = str(folder / f"{_UNFINISHED}{os.urandom(4).hex()}")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return _temporary(folder)
    return path


_STALE_SECONDS = 86400.0
_swept = set[Path]()


def _sweep(folder: Path) -> None:
    """Removes what a run that was killed left unfinished in a folder, a day later; each folder is looked at once a run."""
    if folder in _swept:
        return
    _swept.add(folder)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _TEMPORARY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE_SECONDS:
                        os.unlink(entry.path)


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
        ImageError: it is not one; whoever reads it from an archive makes that a FormatError.
    """
    problem = _problem(name)
    if problem:
        raise ImageError(f"{_shown(name)} cannot be a name within a set of images: {problem}")
    return name


def is_folding(folder: Path) -> bool:
    """Whether a folder that is there takes names for the same that differ in case, or in how accents are written."""
    import tempfile

    with tempfile.TemporaryDirectory(dir=folder, prefix=_UNFINISHED) as place:
        Path(place, "\u00e9a").touch()
        return Path(place, "\u00c9a").exists() or Path(place, "e\u0301a").exists() or Path(place, "\u00e9A").exists()


def folded(name: str) -> str:
    """What names have in common that a folder may take for the same: see `is_folding`."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def for_windows(name: str) -> str:
    """A safe name as Windows can have it, too.

    With `_` for letters that it forbids, after names of devices, and for dots and blanks at the end of a part.
    """
    return "/".join(map(_part_for_windows, name.split("/")))


def _part_for_windows(part: str) -> str:
    part = re.sub(r'[<>:"|?*]|[. ]+$', "_", part)
    stem = part.partition(".")[0].rstrip(" ")
    return re.sub(re.escape(stem), f"{stem}_", part, count=1) if _RESERVED.fullmatch(stem) else part


_RESERVED = re.compile("con|prn|aux|nul|conin\\$|conout\\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]", re.IGNORECASE)


def _problem(name: str) -> str | None:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "it is not Unicode text"
    parts = name.split("/")
    rules = {
        "it is empty": not name,
        f"it has more than {LONGEST_NAME} bytes": size > LONGEST_NAME,
        "it has control characters": not name.isprintable() and bool(_CONTROL.search(name)),
        "it is absolute": name.startswith("/"),
        "it has a backslash, which is a separator on some systems": "\\" in name,
        "it has a drive letter": ":" in name and bool(_DRIVE.search(name)),
        # some systems drop dots and spaces at the end of a part, so that `.. ` would be `..`
        "it has a part that is empty or only dots": not all(map(str.strip, parts, itertools.repeat(". "))),
        f"it has a part of more than {LONGEST_PART} bytes": size > LONGEST_PART
        and any(len(part.encode()) > LONGEST_PART for part in parts if len(part) > LONGEST_PART // 4),
    }
    return next((problem for problem, broken in rules.items() if broken), None)


_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_DRIVE = re.compile("(?:^|/)[A-Za-z]:")


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
