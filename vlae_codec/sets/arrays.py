"""Arrays of images in npy, npz and IDX files, read block by block: (N, H, W), (N, H, W, 1) or packed bits (N, 98).

One in Fortran order is read as a whole. An array is looked through once to find its two values; paper is the commoner
and ink the rarer, on a tie the larger. One of more values, or of colours (N, H, W, C), in 8 or 16 bits, is not coded as an
array: its pictures are (see `levels`). What a file claims of its size is checked before memory is taken for it, and nothing
is unpickled.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import math
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial as bind
from pathlib import PurePath
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from vlae_codec import places
from vlae_codec.errors import ImageError
from vlae_codec.files import reading, safe_name
from vlae_codec.picture.fields import SIDE, Bits

from .manifest import PACKED_BYTES, ArrayForm, problem

BLOCK_BYTES = 1 << 20
"""So many bytes of an array are in memory at a time, or those of one image if they are more."""
LARGEST_TURNED_BYTES = 1 << 28
"""Of an array in Fortran order, which has to be in memory as a whole."""
IDX_MAGIC = bytes([0, 0, 8, 3])
"""How an IDX file of unsigned bytes in three dimensions begins."""
_GZIP_MAGIC = b"\x1f\x8b"
_NPY_HEADER = 1 << 16
_CHANNELS = range(1, 5)
"""Gray, gray and alpha, colours, colours and alpha."""
_BRIGHT = {"b1": 1 / 255, "u1": 1.0, "u2": 257.0}
"""The dtypes that have gray levels, and what one of 256 gray levels is in them."""

Words = npt.NDArray[np.unsignedinteger[Any]]
Opener = bind[IO[bytes]]
Copied = Callable[[str, str], str]
"""Where a copy goes of what can be read only front to back, by its file and what it is called."""


class _ManyValuesError(ImageError):
    """An array has more than two values, and there is no threshold."""


@dataclass(frozen=True)
class Layout:
    """Where an array lies: after `offset` bytes of what `open` gives, in C order; values of `dtype`, as in the file."""

    title: str
    open: Opener
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    threshold: int | None = None

    @property
    def packed(self) -> bool:
        return len(self.shape) == 2

    @property
    def has_levels(self) -> bool:
        """Whether its values are levels of gray, which a threshold can binarise."""
        return self.dtype.str[1:] in _BRIGHT

    @property
    def of_pictures(self) -> bool:
        """Whether it is of pictures whose samples have 8 or 16 bits, gray or in colours."""
        is_stack = len(self.shape) == 3 or (len(self.shape) == 4 and self.shape[3] in _CHANNELS)
        return self.dtype.str[1:] in ("u1", "u2") and is_stack and min(self.shape) > 0

    @property
    def coloured(self) -> bool:
        """Whether its pictures have several samples a pixel."""
        return self.of_pictures and len(self.shape) == 4 and self.shape[3] > 1

    @property
    def image_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def words(self, data: bytes) -> Words:
        """Whole images as the bit patterns of their values, so that all dtypes are alike: (B, H, W).

        Values are those of the array that will be restored: of packed bits the bits, with a threshold 0 or 255.
        """
        if self.packed:
            bits = np.unpackbits(np.frombuffer(data, np.uint8).reshape(-1, PACKED_BYTES), axis=1)
            return bits.reshape(-1, SIDE, SIDE)
        if self.threshold is not None:
            light = np.frombuffer(data, self.dtype) > self.threshold * _BRIGHT[self.dtype.str[1:]]
            words: Words = light.astype(np.uint8) * np.uint8(255)
        elif self.dtype.kind == "b":
            words = (np.frombuffer(data, np.uint8) != 0).astype(np.uint8)
        else:
            words = np.frombuffer(data, f"u{self.dtype.itemsize}")
        return words.reshape(-1, *self.shape[1:3])

    @property
    def level_dtype(self) -> np.dtype[Any]:
        """The dtype of what `words` gives the bit patterns of."""
        return np.dtype(np.uint8) if self.threshold is not None or self.packed else self.dtype


@dataclass
class _Cursor:
    """A stream that is opened when it is needed and kept open: reading on from where it stands is cheap."""

    layout: Layout
    stream: IO[bytes] | None = None

    def read(self, start: int, stop: int) -> bytes:
        """The bytes of images `start` to `stop` - 1."""
        size = self.layout.image_bytes
        with reading(self.layout.title):
            if self.stream is None:
                self.stream = self.layout.open()
            self.stream.seek(self.layout.offset + start * size)
            data = self.stream.read((stop - start) * size)
        if len(data) < (stop - start) * size:
            raise ImageError(f"{self.layout.title} ends early: it claims {self.layout.shape[0]} images")
        return data

    def check_end(self) -> None:
        """To be called after the last image was read; it also has archives verify their checksums."""
        assert self.stream is not None
        with reading(self.layout.title):
            if self.stream.read(1):
                raise ImageError(f"{self.layout.title} goes on after its array: save the arrays in files of their own")

    def close(self) -> None:
        """Closes the stream until it is needed again."""
        if self.stream is not None:
            self.stream.close()
            self.stream = None

    def __getstate__(self) -> dict[str, Any]:
        return {"layout": self.layout, "stream": None}


@dataclass(frozen=True)
class StoredArray:
    """One array of images in the file `path`. `note` says what is lost on the way in, if anything."""

    path: str
    form: ArrayForm
    note: str | None
    _cursor: _Cursor = field(repr=False, compare=False)
    _npz: _Npz | None = field(default=None, repr=False, compare=False)
    """The file, if it is the last of its arrays that are read: then nothing else needs it open."""

    @property
    def title(self) -> str:
        """What errors call it."""
        return self._cursor.layout.title

    def bits(self, start: int, stop: int) -> Iterator[Bits]:
        """Images `start` to `stop` - 1: (H, W) uint8, 1 = ink.

        Raises:
            ImageError: the file cannot be read, or has changed since it was opened.
        """
        levels = np.array([self.form.paper, self.form.ink], self._cursor.layout.level_dtype)
        paper, ink = levels.view(f"u{levels.itemsize}")
        for words in _blocks(self._cursor, start, stop):
            if not ((words == paper) | (words == ink)).all():
                raise ImageError(f"{self.title} changed while it was being read")
            yield from (words != paper).astype(np.uint8)
        if stop >= self.form.count:
            self.close()

    @property
    def is_direct(self) -> bool:
        """Whether an image is read without all that come before it: the array is neither compressed nor turned."""
        return self._cursor.layout.open.func is _open_file

    def part(self, start: int, stop: int, file: str) -> StoredArray:
        """Images `start` to `stop` - 1 as an array of their own, in a file of that name, with the same two values."""
        layout = self._cursor.layout
        shape = (stop - start, *layout.shape[1:])
        moved = replace(layout, offset=layout.offset + start * layout.image_bytes, shape=shape)
        return replace(self, form=replace(self.form, shape=shape, file=file), _cursor=_Cursor(moved))

    def close(self) -> None:
        """Closes the file until it is needed again."""
        self._cursor.close()
        if self._npz is not None:
            self._npz.close()


@dataclass(frozen=True)
class Pictures:
    """An array of gray or coloured pictures in the file `path`; their names begin with `folder`."""

    path: str
    folder: str
    layout: Layout
    _npz: _Npz | None = field(default=None, repr=False, compare=False)

    def close(self) -> None:
        """Closes the file until it is needed again."""
        if self._npz is not None:
            self._npz.close()


def open_npy(path: str, threshold: int | None, copied: Copied | None = None) -> StoredArray | Pictures:
    """The array of an npy file. One in Fortran order goes to a copy if `copied` says where; so do others below.

    Raises:
        ImageError: it is damaged, or no array of images; it has more than two values, which are not of 8 or 16 bits; or a
            threshold is for none of its kind.
    """
    return _stored(npy_layout(path), threshold, "npy", path, copied=copied)


def open_npz(
    path: str, key: str | None, threshold: int | None, copied: Copied | None = None
) -> list[StoredArray | Pictures]:
    """Array `key` of an npz file, or all its arrays, in the order of the file; errors as `open_npy`."""
    with contextlib.closing(_Npz(path)) as npz:
        return _open_arrays(npz, path, key, threshold, copied)


def npy_layout(path: str) -> Layout:
    """Where the array of an npy file lies, whatever its values are.

    Raises:
        ImageError: it is damaged.
    """
    return _npy_layout(path, bind(_open_file, path), _size(path))


def _open_arrays(
    npz: _Npz, path: str, key: str | None, threshold: int | None, copied: Copied | None
) -> list[StoredArray | Pictures]:
    with reading(path):
        infos = npz.infos()
        sizes = {info.filename: info.file_size for info in infos}
        if len(sizes) < len(infos):
            raise ImageError(f"{path} has two members of one name: save it anew")
    keys = [name.removesuffix(".npy") for name in sizes]
    if key is not None and f"{key}.npy" not in sizes:
        raise ImageError(f"{path} has no array {key!r}, but has {', '.join(keys) or 'none at all'}")
    if not keys:
        raise ImageError(f"no images in {path}")
    layouts = _members(npz, path, sizes if key is None else {f"{key}.npy": sizes[f"{key}.npy"]})
    if key is None:
        _check_all_images(path, layouts)
    stored = [_stored(layout, threshold, "npz", path, one, copied=copied) for one, layout in layouts.items()]
    return [*stored[:-1], replace(stored[-1], _npz=npz)]


def open_idx(path: str, threshold: int | None, copied: Copied | None = None) -> StoredArray | Pictures:
    """The array of an IDX file, which may be gzipped; errors as `open_npy`."""
    with reading(path), places.open_read(path) as file:
        gz = file.read(2) == _GZIP_MAGIC
    opener = bind(_open_gzip if gz else _open_file, path)
    with reading(path), opener() as stream:
        head = stream.read(16)
    if len(head) < 16 or head[:4] != IDX_MAGIC:
        raise ImageError(f"{path} is not an IDX file of images: it begins with {head[:4].hex()}, not {IDX_MAGIC.hex()}")
    shape = struct.unpack(">3I", head[4:])
    layout = Layout(path, opener, 16, shape, np.dtype(np.uint8))
    if not gz:
        _check_length(layout, _size(path))
    return _stored(layout, threshold, "idx", path, gz=gz, copied=copied)


def _members(npz: _Npz, path: str, sizes: dict[str, int]) -> dict[str, Layout]:
    """The layout of each array of an npz file, by key."""
    layouts: dict[str, Layout] = {}
    for name, size in sizes.items():
        key = name.removesuffix(".npy")
        if key == name:
            raise ImageError(f"{path} holds {key}, which is not an array: name the arrays to pack, as {path}:KEY")
        layouts[key] = _npy_layout(f"{path}:{key}", bind(npz.open, name), size)
    return layouts


def _check_all_images(path: str, layouts: dict[str, Layout]) -> None:
    bad = [key for key, one in layouts.items() if problem(one.shape, one.dtype) and not one.coloured]
    good = [key for key in layouts if key not in bad]
    if bad and good:
        raise ImageError(
            f"{path} holds {bad[0]}, which is not an array of images: name the arrays to pack, such as {path}:{good[0]}"
        )


def _images(layout: Layout) -> Layout:
    """The layout itself, if it is one of images."""
    reason = problem(layout.shape, layout.dtype)
    if reason and layout.shape[:1] == (0,):
        raise ImageError(f"no images in {layout.title}")
    if reason:
        raise ImageError(f"{layout.title} is not an array of images: {reason}")
    return layout


def _npy_layout(title: str, opener: Opener, length: int) -> Layout:
    """What the header of an npy file says; `length` is that of the file in bytes.

    Raises:
        ImageError: it is damaged, or claims an array of images that the file cannot hold.
    """
    with reading(title), opener() as stream:
        head = io.BytesIO(stream.read(_NPY_HEADER))  # so that a header that claims more is one that ends early
    try:
        reader = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(head)]
        shape, fortran, dtype = reader(head)
    except Exception as error:  # numpy parses the header as Python source, which fails in many ways
        raise ImageError(f"{title} is not an npy file of numbers, or is damaged") from error
    layout = Layout(title, opener, head.tell(), shape, dtype)
    if problem(shape[:3] if len(shape) == 4 else shape, dtype) is None:
        _check_length(layout, length)
        if fortran:
            if layout.shape[0] * layout.image_bytes > LARGEST_TURNED_BYTES:
                raise ImageError(
                    f"{title} is in Fortran order and larger than {LARGEST_TURNED_BYTES} bytes: save it in C order, as "
                    "numpy.ascontiguousarray makes it"
                )
            return replace(layout, open=bind(_in_c_order, layout), offset=0)
    return layout


def _check_length(layout: Layout, length: int) -> None:
    claimed = layout.offset + layout.shape[0] * layout.image_bytes
    if claimed != length:
        raise ImageError(
            f"{layout.title} claims an array of shape {layout.shape}, which takes {claimed} bytes, but has {length}"
        )


def _check_whole(layout: Layout) -> None:
    """Refuses an array that is not as long as it claims; one that is deflated is read through, so that its checks are, too.

    What pictures there are is listed next, whose number is nothing but a claim before.
    """
    if layout.open.func is _open_file:
        _check_length(layout, _size(layout.open.args[0]))
        return
    left = layout.shape[0] * layout.image_bytes
    with reading(layout.title), layout.open() as stream:
        stream.seek(layout.offset)
        while left and (data := stream.read(min(left, BLOCK_BYTES))):
            left -= len(data)
        beyond = stream.read(1)
    if left:
        raise ImageError(f"{layout.title} ends early: it claims {layout.shape[0]} images")
    if beyond:
        raise ImageError(f"{layout.title} goes on after its array: save the arrays in files of their own")


def _in_c_order(layout: Layout) -> IO[bytes]:
    """The bytes of an array that is stored in Fortran order, which has no images to be read one by one."""
    with layout.open() as stream:
        stream.seek(layout.offset)
        data = stream.read(layout.shape[0] * layout.image_bytes)
    if len(data) < layout.shape[0] * layout.image_bytes:
        raise EOFError
    return io.BytesIO(np.frombuffer(data, layout.dtype).reshape(layout.shape, order="F").tobytes())


@dataclass
class _Npz:
    """An npz file that is opened when it is needed, and once for all its arrays: its list of them may be long."""

    path: str
    _archive: zipfile.ZipFile | None = None

    def infos(self) -> list[zipfile.ZipInfo]:
        """What it says of its members."""
        return self._opened().infolist()

    def open(self, name: str) -> IO[bytes]:
        """The member of that name, to be read."""
        return self._opened().open(name)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_archive": None}

    def close(self) -> None:
        """Closes the file until it is needed again; members that are being read may be read on."""
        if self._archive is not None:
            self._archive.close()
            self._archive = None

    def _opened(self) -> zipfile.ZipFile:
        if self._archive is None:
            self._archive = zipfile.ZipFile(places.open_read(self.path) if places.is_url(self.path) else self.path)
        return self._archive


def _open_file(path: str) -> IO[bytes]:
    return places.open_read(path)


def _open_gzip(path: str) -> IO[bytes]:
    return cast("IO[bytes]", gzip.GzipFile(fileobj=places.open_read(path)) if places.is_url(path) else gzip.open(path))


def _size(path: str) -> int:
    with reading(path):
        return places.size(path)


def _blocks(cursor: _Cursor, start: int, stop: int) -> Iterator[Words]:
    step = max(1, BLOCK_BYTES // cursor.layout.image_bytes)
    for first in range(start, stop, step):
        last = min(first + step, stop)
        yield cursor.layout.words(cursor.read(first, last))


def _stored(
    layout: Layout,
    threshold: int | None,
    kind: str,
    path: str,
    key: str | None = None,
    gz: bool = False,
    copied: Copied | None = None,
) -> StoredArray | Pictures:
    coloured = layout.coloured and threshold is None
    layout = layout if coloured else _images(layout)
    if copied is not None and layout.open.func is not _open_file:
        layout = _copied(layout, path, copied(path, layout.title))
    file = places.name(path).removesuffix(".gz" if gz else "")
    pictures = Pictures(path, "/".join([PurePath(file).stem, *([key] if key else [])]), layout)
    if coloured:
        _check_whole(layout)
        return pictures
    if threshold is not None and not layout.packed:
        layout = _with_threshold(layout, threshold)
    cursor = _Cursor(layout)
    try:
        paper, ink = _paper_and_ink(cursor)
    except _ManyValuesError:
        if layout.of_pictures:
            _check_whole(layout)
            return pictures
        raise
    finally:
        cursor.close()
    form = ArrayForm(kind, file, layout.level_dtype.str, layout.shape, paper, ink, key, gz)
    safe_name(form.name(form.count - 1))
    note = None if layout.threshold is None else f"binarised at gray level {threshold}"
    return StoredArray(path, form, note, cursor)


def _copied(layout: Layout, path: str, place: str) -> Layout:
    """The same array in a copy of its stream, which can be read anywhere."""
    if not places.exists(place):
        with reading(layout.title), layout.open() as stream, places.whole(place, force=True) as out:
            shutil.copyfileobj(stream, out, BLOCK_BYTES)
    return replace(layout, open=bind(_open_file, place))


def _with_threshold(layout: Layout, threshold: int) -> Layout:
    if not layout.has_levels:
        raise ImageError(
            f"a threshold is for arrays of gray levels (bool, uint8, uint16), and {layout.title} is of {layout.dtype}: "
            "save it as uint8"
        )
    return replace(layout, threshold=threshold)


def _paper_and_ink(cursor: _Cursor) -> tuple[float, float]:
    """The commoner and the rarer value of an array; the same twice if it has only one."""
    dtype = cursor.layout.level_dtype
    counted = [
        (np.array(word, f"u{dtype.itemsize}").view(dtype).item(), count) for word, count in _count(cursor).items()
    ]
    if not all(math.isfinite(value) for value, _ in counted):
        raise ImageError(f"{cursor.layout.title} holds values that are not finite numbers")
    commonest = [value for value, _ in sorted(counted, key=lambda one: (-one[1], one[0]))]
    paper, ink = commonest[0], commonest[-1]
    return (int(paper), int(ink)) if dtype.kind == "b" else (paper, ink)


def _count(cursor: _Cursor) -> dict[int, int]:
    """How often each bit pattern occurs in an array that has at most two."""
    counts: dict[int, int] = {}
    for words in _blocks(cursor, 0, cursor.layout.shape[0]):
        rest = words.ravel()
        while rest.size:
            word, before = int(rest[0]), rest.size
            rest = rest[rest != word]
            counts[word] = counts.get(word, 0) + before - rest.size
            if len(counts) > 2:
                raise _ManyValuesError(
                    f"{cursor.layout.title} has more than two values, and is of {cursor.layout.dtype}: save it as uint8 or "
                    "uint16"
                )
    cursor.check_end()
    return counts
