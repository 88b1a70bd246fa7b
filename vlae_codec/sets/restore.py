"""Images out of an archive: loose ones as picture files, arrays as the npy, npz and IDX files that they came from.

The mirror image of `sources`. Rows of arrays wait as packed bits in a nameless temporary file, which vanishes with the
process and in which a row never put reads as zeros, so as paper; `finish` makes the arrays of them.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import itertools
import struct
import tempfile
import zipfile
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from vlae_codec.errors import FormatError, OutputError
from vlae_codec.files import LONGEST_PART, check_free, whole, write
from vlae_codec.picture.drawing import Drawing
from vlae_codec.picture.images import is_exact, picture_bytes, png_bytes, to_picture

from . import manifest
from .arrays import BLOCK_BYTES, IDX_MAGIC
from .manifest import ArrayForm


class Restorer:
    """Writes images of an archive into a folder: nothing outside it, no file overwritten without `force`, each file
    whole or not at all. As a context manager it discards what is unfinished at the end.
    """

    def __init__(self, folder: Path, manifests: Sequence[dict[str, Any]], force: bool) -> None:
        """Checks everything that can be checked before there are pixels, and makes the folder.

        Raises:
            FormatError: a manifest is damaged, or two arrays are the same one.
            OutputError: the folder cannot be made, or the file of an array exists and `force` is not set.
        """
        self._forms = [manifest.read(one) for one in manifests]
        self._ends = list(itertools.accumulate(form.count for form in self._forms))
        arrays = [form for form in self._forms if isinstance(form, ArrayForm)]
        self._files = _by_file(arrays)
        self._folder, self._force = folder, force
        self._claimed, self._written = set(self._files), list[Path]()
        self.unnameable: list[str] = []
        """Pictures that were not written, since the file system cannot have their names: an error message each."""
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._inside = folder.resolve()
        for name in self._files:
            check_free(self._place(name), force)
        with _writing(folder):
            self._held: IO[bytes] = tempfile.TemporaryFile(dir=folder, prefix=".vlae-")  # noqa: SIM115
        self._rows, end = dict[str, _Rows](), 0
        for form in arrays:
            self._rows[form.root] = rows = _Rows(form, self._held, end)
            end = rows.end

    def check_free(self, name: str) -> None:
        """Refuses early what `put_picture` would refuse later: another file in the picture's place.

        Raises:
            OutputError: a file of that name exists and `force` is not set, or there can be none in that place.
        """
        if not is_exact(PurePosixPath(name).suffix):
            name = next(_spare_names(name))
        try:
            check_free(self._place(name), self._force)
        except OutputError as error:
            if not _is_unnameable(error):
                raise

    def put(self, index: int, names: Sequence[str], drawings: Sequence[Drawing]) -> None:
        """Writes images `index`, `index` + 1, ... of the archive, counted over all sources; in any order of calls.

        `names` has the names of those that are loose pictures, in their order; arrays need none. A picture becomes a
        file of its name's format if that keeps every pixel, else a PNG file with ".png" added to the name.

        Raises:
            FormatError: a name is unsafe, an image has not its array's size, or there are too many names or images.
            OutputError: a file exists and `force` is not set, or cannot be written.
        """
        if not 0 <= index <= index + len(drawings) <= (self._ends or [0])[-1]:
            raise FormatError(f"the archive's sources have no images {index} to {index + len(drawings) - 1}")
        left, at = list(names), 0
        while at < len(drawings):
            source = bisect_right(self._ends, index + at)
            form, end = self._forms[source], self._ends[source]
            own = drawings[at : at + end - (index + at)]
            if isinstance(form, ArrayForm):
                self._rows[form.root].put(index + at - (end - form.count), own)
            else:
                mine, left = left[: len(own)], left[len(own) :]
                self._put_loose(mine, own)
            at += len(own)
        if left:
            raise FormatError(f"there are {len(left)} names more than loose pictures")

    def finish(self, without: Collection[str] = ()) -> list[Path]:
        """Writes the arrays, `without` those of these roots; rows never put are all paper. All files written, in order.

        Raises:
            OutputError: a file exists and `force` is not set, or cannot be written.
        """
        for name, forms in self._files.items():
            place, forms = self._place(name), [form for form in forms if form.root not in without]
            if forms:
                with whole(place, self._force) as out:
                    _write_arrays(out, forms, [self._rows[form.root] for form in forms])
                self._written.append(place)
        self.discard()
        return list(self._written)

    def discard(self) -> None:
        """Forgets the rows put so far; files that are whole stay."""
        with _writing(self._folder):  # what waits in memory is written first
            self._held.close()

    def __enter__(self) -> Restorer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.discard()

    def _put_loose(self, names: Sequence[str], drawings: Sequence[Drawing]) -> None:
        if len(names) != len(drawings):
            raise FormatError(f"there are {len(names)} names for {len(drawings)} loose pictures")
        for name, drawing in zip(names, drawings, strict=True):
            try:
                self.put_picture(name, drawing)
            except OutputError as error:
                if not _is_unnameable(error):
                    raise
                self.unnameable.append(str(error))

    def put_picture(self, name: str, drawing: Drawing) -> None:
        """Writes one picture, in the format that its name says if that loses nothing.

        Raises:
            FormatError: the name leads out of the folder, or is none.
            OutputError: the file exists and may not be overwritten, or cannot be written.
        """
        final, data = self._named(manifest.check_name(name), drawing)
        place = self._place(final)
        check_free(place, self._force)
        write(place, data, self._force)
        self._claimed.add(final)
        self._written.append(place)

    def _named(self, name: str, drawing: Drawing) -> tuple[str, bytes]:
        """The picture's file, and its name: one that no other file of this archive has."""
        data, spare = picture_bytes(drawing, PurePosixPath(name).suffix), _spare_names(name)
        while data is None or name in self._claimed:
            name, data = next(spare), png_bytes(to_picture(drawing))
        return name, data

    def _place(self, name: str) -> Path:
        """Where the file of that name goes; links within the folder must not lead out of it."""
        place = self._folder / name
        try:
            inside = place.resolve().is_relative_to(self._inside)
        except UnicodeEncodeError as error:
            raise OutputError(f"{name!a} cannot be the name of a file here: use a UTF-8 locale") from error
        except (OSError, RuntimeError):  # links in a circle
            inside = False
        if not inside:
            raise OutputError(f"{place} leads out of {self._folder} by a link: remove it, or -o names another folder")
        return place


def _is_unnameable(error: OutputError) -> bool:
    """Whether the file system said that it cannot have the name."""
    return getattr(error.__cause__, "errno", None) in (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)


def _spare_names(name: str) -> Iterator[str]:
    """With one ".png" added, with two, and so on; the rest is shortened where that would be too long for a file's name."""
    folder, slash, last = name.rpartition("/")
    for count in itertools.count(1):
        kept_bytes = max(0, LONGEST_PART - 4 * count)
        yield folder + slash + last.encode()[:kept_bytes].decode(errors="ignore") + count * ".png"


def _by_file(arrays: Sequence[ArrayForm]) -> dict[str, list[ArrayForm]]:
    """The arrays of each file that is to be written, by its name.

    Raises:
        FormatError: two arrays would be the same one.
    """
    files: dict[str, list[ArrayForm]] = {}
    for form in arrays:
        files.setdefault(form.output, []).append(form)
    for name, forms in files.items():
        if len(forms) > 1 and ({form.kind for form in forms} != {"npz"} or len({f.key for f in forms}) < len(forms)):
            raise FormatError(f"the archive has two arrays of one name in {name}: it is damaged")
    if len({form.root for form in arrays}) < len(arrays):
        raise FormatError("the archive has two arrays of one name: it is damaged")
    return files


class _Rows:
    """The images of one array until they are written: packed bits, 1 = ink, in the order of the array.

    They stand in `file` from `start` to `end`.
    """

    def __init__(self, form: ArrayForm, file: IO[bytes], start: int) -> None:
        self._form, self._file, self._start = form, file, start
        height, width = form.size
        self._pixels, self._bytes = height * width, -(-height * width // 8)
        self.end = start + form.count * self._bytes

    def put(self, row: int, drawings: Sequence[Drawing]) -> None:
        for drawing in drawings:
            if drawing.bits.shape != self._form.size:
                raise FormatError(
                    f"an image of {self._form.root} has {drawing.bits.shape} pixels, not {self._form.size}: it is damaged"
                )
        bits = np.stack([drawing.bits.ravel() for drawing in drawings])
        with _writing(Path(self._form.root)):
            self._file.seek(self._start + row * self._bytes)
            self._file.write(np.packbits(bits, axis=1).tobytes())

    def blocks(self) -> Iterator[bytes]:
        """The array's bytes in C order."""
        form = self._form
        values = np.array([form.paper, form.ink], np.uint8 if form.packed else form.dtype)
        step = max(1, BLOCK_BYTES // (self._pixels * values.itemsize))
        self._file.seek(self._start)
        for start in range(0, form.count, step):
            rows = min(step, form.count - start)
            packed = self._file.read(rows * self._bytes).ljust(rows * self._bytes, b"\0")
            bits = np.unpackbits(np.frombuffer(packed, np.uint8).reshape(rows, -1), axis=1, count=self._pixels)
            block = values[bits]
            yield np.packbits(block, axis=1).tobytes() if form.packed else block.tobytes()


def _write_arrays(out: IO[bytes], forms: Sequence[ArrayForm], rows: Sequence[_Rows]) -> None:
    """One file: an IDX file or npy file of one array, or an npz file of its arrays in order."""
    form = forms[0]
    if form.kind == "npz":
        _write_npz(out, forms, rows)
    elif form.kind == "npy":
        _write_npy(out, form, rows[0])
    elif form.gz:
        with gzip.GzipFile("", "wb", fileobj=out, mtime=0) as inner:
            _write_idx(inner, form, rows[0])
    else:
        _write_idx(out, form, rows[0])


def _write_npz(out: IO[bytes], forms: Sequence[ArrayForm], rows: Sequence[_Rows]) -> None:
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for form, own in zip(forms, rows, strict=True):
            member = zipfile.ZipInfo(f"{form.key}.npy")  # its date is a fixed one, so that files are reproducible
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w", force_zip64=True) as inner:
                _write_npy(inner, form, own)


def _write_npy(out: IO[bytes], form: ArrayForm, rows: _Rows) -> None:
    npy.write_array_header_1_0(out, {"descr": form.dtype, "fortran_order": False, "shape": form.shape})
    for block in rows.blocks():
        out.write(block)


def _write_idx(out: IO[bytes] | gzip.GzipFile, form: ArrayForm, rows: _Rows) -> None:
    out.write(IDX_MAGIC + struct.pack(">3I", *form.shape))
    for block in rows.blocks():
        out.write(block)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
