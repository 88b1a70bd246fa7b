"""The classes of images, for whoever judges what is read in them: an array beside the images, or a file of its own.

Out: (n,) int64, one for each image in the order of its source. Nothing is unpickled.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.errors import ImageError
from vlae_codec.files import reading

from .sources import NPZ_KEY, Array, Source

Labels = npt.NDArray[np.int64]

_LARGEST_HEADER_BYTES, _LARGEST_LABEL_BYTES = 1 << 16, 8
_IDX_MAGIC = bytes([0, 0, 8, 1])


def beside(sources: Sequence[Source], notes: list[str]) -> Labels | None:
    """Those kept beside the images of every source: of array NAME_x or NAME of an npz file the array NAME_y.

    Where these are no classes, one for each image, there are none, and a note says why.
    """
    members = dict[str, frozenset[str]]()
    try:
        found = [_beside(source, members) for source in sources]
    except ImageError as error:
        notes.append(f"What stands beside the images is not used as their classes: {error}.")
        return None
    labels = [one for one in found if one is not None]
    return np.concatenate(labels) if labels and len(labels) == len(found) else None


def read(where: str, count: int) -> Labels:
    """Those of FILE.npz:KEY, FILE.npy, or an IDX file of bytes, which may be gzipped.

    Raises:
        ImageError: it cannot be read, or does not hold `count` integers.
    """
    try:
        found = _stored(where, _LARGEST_HEADER_BYTES + count * _LARGEST_LABEL_BYTES)
    except (MemoryError, ImageError):
        raise
    except Exception as error:  # numpy parses the header as Python source, which fails in many ways
        reason = getattr(error, "strerror", None) or "it is not a FILE.npz:KEY, FILE.npy or IDX file of labels"
        raise ImageError(f"cannot read the labels {where}: {reason}") from error
    if found.dtype.kind not in "iu" or found.shape not in ((count,), (count, 1)):
        raise ImageError(f"{where} must hold {count} integers, one for each image, not {found.dtype} {found.shape}")
    return found.reshape(count).astype(np.int64)


def file_of(where: str) -> Path:
    """The file in which `read` looks."""
    named = NPZ_KEY.fullmatch(where)
    return Path(named[1] if named else where)


def _stored(where: str, most_bytes: int) -> npt.NDArray[Any]:
    """The array, if it takes no more than so many bytes.

    Raises:
        ImageError: it takes more, or is not there.
    """
    named = NPZ_KEY.fullmatch(where)
    if named:
        with np.load(named[1], allow_pickle=False) as arrays:
            if named[2] not in arrays:
                raise ImageError(f"there is no {named[2]} in {named[1]}: it has {', '.join(arrays)}")
            _check_size(where, arrays.zip.getinfo(f"{named[2]}.npy").file_size, most_bytes)
            return np.asarray(arrays[named[2]])
    _check_size(where, Path(where).stat().st_size, most_bytes)
    if where.lower().endswith(".npy"):
        return np.asarray(np.load(where, allow_pickle=False))
    return _idx(Path(where).read_bytes(), most_bytes)


def _check_size(where: str, size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise ImageError(f"{where} is too large to hold an integer for each image: {size} bytes")


def _beside(source: Source, members: dict[str, frozenset[str]]) -> Labels | None:
    """`members` are the names of the arrays of each file, as far as they are known."""
    if not isinstance(source, Array) or source.stored.form.key is None:
        return None
    path, key = source.stored.path, source.stored.form.key
    name = f"{key.removesuffix('_x')}_y"
    if path not in members:
        with reading(path), np.load(path, allow_pickle=False) as arrays:
            members[path] = frozenset(arrays.files)
    return read(f"{path}:{name}", source.count) if name in members[path] else None


def _idx(data: bytes, most_bytes: int) -> npt.NDArray[np.uint8]:
    """An IDX file of bytes in one dimension: magic, u32 count, the bytes."""
    if data.startswith(b"\x1f\x8b"):
        with gzip.open(io.BytesIO(data)) as stream:
            data = stream.read(most_bytes)
    if not data.startswith(_IDX_MAGIC) or int.from_bytes(data[4:8], "big") != len(data) - 8:
        raise ValueError
    return np.frombuffer(data, np.uint8, offset=8)
