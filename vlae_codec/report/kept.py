"""Parts of long work, kept on disk as they are done, so that work which was stopped goes on where it was.

A part is a name and a few arrays. What the work is *of* decides where it is kept: see `place`. Nothing depends on the disk:
what cannot be kept or read back is worked out again.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec import files

Arrays = dict[str, npt.NDArray[Any]]


class Kept:
    """Parts of one work, each a file in a folder; without a folder nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def part(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """The part of that name: what an earlier run has made of it, or what `make` makes now."""
        if self._folder is None:
            return make()
        path = self._folder / f"{name}.npz"
        if (found := _read(path)) is None:
            found = make()
            _write(path, found)
        return found

    def clear(self) -> None:
        """The work is done: its parts are of no use any more."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def place(what: Iterable[bytes]) -> Path | None:
    """The folder for the parts of work on `what`, by this very version of the package; None if there is no place for it."""
    cached, digest = files.cache_folder(), hashlib.sha256(_sources())
    for one in what:
        digest.update(hashlib.sha256(one).digest())
    return cached / f"measure-{digest.hexdigest()[:16]}" if cached else None


@cache
def _sources() -> bytes:
    """A digest of the package's code: what another version has found is not mixed with what this one finds."""
    digest = hashlib.sha256()
    for path in sorted(Path(files.__file__).parent.rglob("*.py")):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.digest()


def _read(path: Path) -> Arrays | None:
    try:
        if not path.is_file():  # a pipe would never end
            return None
        with zipfile.ZipFile(path) as members:
            if any(
                member.file_size != member.compress_size for member in members.infolist()
            ):  # `_write` deflates nothing
                return None
        with np.load(path, allow_pickle=False) as kept:
            return dict(kept)
    except Exception:  # zipfile and numpy fail in many ways on what is damaged
        return None


def _write(path: Path, arrays: Arrays) -> None:
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **arrays)
    files.keep(path, out.getvalue())
