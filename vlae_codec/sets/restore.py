"""Images out of an archive: loose ones as picture files, arrays as the npy, npz and IDX files that they came from.

The mirror image of `sources`. Rows of arrays wait as packed bits in a nameless temporary file, which vanishes with the
process and in which a row never put reads as zeros, so as paper; `finish` makes the arrays of them.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import itertools
import os
import struct
import tempfile
import zipfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any, Protocol

import numpy as np
from numpy.lib import format as npy

from vlae_codec.errors import FormatError, ImageError, OutputError
from vlae_codec.files import LONGEST_PART, check_free, folded, for_windows, is_folding, whole, write
from vlae_codec.picture.drawing import drawing_of
from vlae_codec.picture.images import is_exact, picture_bytes, png_bytes, to_picture
from vlae_codec.picture.metadata import Metadata
from vlae_codec.picture.raster import Raster
from vlae_codec.picture.writing import write_picture

from . import manifest
from .arrays import BLOCK_BYTES, IDX_MAGIC
from .manifest import ArrayForm, Form, Forms


class Picture(Protocol):
    """An image to be written."""

    @property
    def raster(self) -> Raster:
        """Its samples."""

    @property
    def metadata(self) -> Metadata | None:
        """What is said beside them; None of a drawing, which is written in as few bits as will do."""


class Numbers(Protocol):
    """Which images of an archive are meant."""

    @property
    def last(self) -> int:
        """The largest of their numbers."""

    def __iter__(self) -> Iterator[int]:
        """All numbers, ascending."""

    def parts(self, forms: Forms) -> Iterator[tuple[Form, range]]:
        """Where they are, in order: each source that holds some, and their numbers in it."""


class Restorer:
    """Writes images of an archive into a folder: nothing outside it, no file overwritten without `force`, each file
    whole or not at all. As a context manager it discards what is unfinished at the end.
    """

    def __init__(self, folder: Path, forms: Forms, force: bool) -> None:
        """Checks everything that can be checked before there are pixels, and makes the folder.

        Raises:
            FormatError: two arrays are the same one.
            OutputError: the folder cannot be made, or the file of an array exists and `force` is not set.
        """
        self._forms = forms
        arrays = [form for form in forms if isinstance(form, ArrayForm)]
        self._files = _by_file(arrays)
        self._folder, self._force = folder, force
        self._given, self._written = set[str](), list[tuple[int, Path]]()
        self.unnameable: list[str] = []
        """Pictures that were not written, since the file system cannot have their names: an error message each."""
        self.renamed: list[str] = []
        """Pictures that got other names, since two of them would be one file here, or since the system reserves theirs."""
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._folding = is_folding(folder)
        self._ground = _Ground(folder)
        self._exact, self._claimed = set(self._files), set(map(self._key, self._files))
        if len(self._claimed) < len(self._files):
            raise OutputError(f"{folder} would take two of {', '.join(self._files)} for one: unpack where case matters")
        for name in self._files:
            self._ground.check(name)
            check_free(folder / name, force)
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
        name = here(name)
        if not is_exact(PurePosixPath(name).suffix):
            name = next(_spare_names(name))
        try:
            if self._ground.check(name):
                check_free(self._folder / name, self._force)
        except OutputError as error:
            if not _is_unnameable(error):
                raise

    def put(self, numbers: Numbers, names: Sequence[str], pictures: Sequence[Picture]) -> None:
        """Writes images of those numbers, counted over all sources; in any order of calls.

        `names` has the names of those that are loose pictures, in their order; arrays need none. A picture becomes a
        file of its name's format if that keeps every pixel, else a PNG file with ".png" added to the name.

        Raises:
            FormatError: a name is unsafe, an image has not its array's size, or there are too many names or images.
            OutputError: a file exists and `force` is not set, or cannot be written.
        """
        if numbers.last >= self._forms.images:
            raise FormatError(f"the archive's sources have no image {numbers.last}")
        left, at, each = list(names), 0, iter(numbers)
        for form, rows in numbers.parts(self._forms):
            own, which = pictures[at : at + len(rows)], [*itertools.islice(each, len(rows))]
            if isinstance(form, ArrayForm):
                self._rows[form.root].put(rows.start, [picture.raster for picture in own])
            else:
                mine, left = left[: len(own)], left[len(own) :]
                self._check_new(mine)
                self._put_loose(which, mine, own)
            at += len(own)
        if left:
            raise FormatError(f"there are {len(left)} names more than loose pictures")

    def finish(self, without: Collection[str] = ()) -> list[Path]:
        """Writes the arrays, `without` those of these roots; rows never put are all paper. All files written, in
        the order of their images.

        Raises:
            OutputError: a file exists and `force` is not set, or cannot be written.
        """
        for name, forms in self._files.items():
            place, forms = self._folder / name, [form for form in forms if form.root not in without]
            if forms:
                self._ground.check(name)
                with whole(place, self._force) as out:
                    _write_arrays(out, forms, [self._rows[form.root] for form in forms])
                self._written.append((self._forms.find(forms[0].name(0)) or 0, place))
        self.discard()
        return [place for _, place in sorted(self._written, key=lambda one: one[0])]

    def discard(self) -> None:
        """Forgets the rows put so far; files that are whole stay."""
        with _writing(self._folder):  # what waits in memory is written first
            self._held.close()

    def __enter__(self) -> Restorer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.discard()

    def _put_loose(self, numbers: Sequence[int], names: Sequence[str], pictures: Sequence[Picture]) -> None:
        if len(names) != len(pictures):
            raise FormatError(f"there are {len(names)} names for {len(pictures)} loose pictures")
        for number, name, picture in zip(numbers, names, pictures, strict=True):
            try:
                self.put_picture(name, picture, number)
            except OutputError as error:
                if not _is_unnameable(error):
                    raise
                self.unnameable.append(str(error))

    def _check_new(self, names: Sequence[str]) -> None:
        """Refuses names that were given before: each would have to be written under another, and looked at before that."""
        if len({*names}) < len(names) or not self._given.isdisjoint(names):
            raise FormatError("two images have the same name: the archive is damaged")
        self._given.update(names)

    def put_picture(self, name: str, picture: Picture, number: int = 0) -> None:
        """Writes one picture, of that number, in the format that its name says if that loses nothing.

        Raises:
            FormatError: the name leads out of the folder, or is not a name.
            OutputError: the file exists and may not be overwritten, or cannot be written.
        """
        final, data = self._named(manifest.check_name(name), picture)
        self._ground.check(final)
        place = self._folder / final
        check_free(place, self._force)
        write(place, data, self._force)
        self._claimed.add(self._key(final))
        self._exact.add(final)
        self._written.append((number, place))

    def _named(self, name: str, picture: Picture) -> tuple[str, bytes]:
        """The picture's file, and its name: one that no other file of this archive has."""
        wanted, final = name, here(name)
        data, spare = _exact_file(picture, PurePosixPath(final).suffix), _spare_names(final)
        if data is None or self._key(final) in self._claimed:
            data = _png_file(picture)
            final = next(name for name in spare if self._key(name) not in self._claimed)
        if here(wanted) != wanted:
            self.renamed.append(f"{wanted} cannot be the name of a file on this system: it is {final}")
        elif self._key(wanted) in self._claimed and wanted not in self._exact:
            self.renamed.append(f"{wanted} and another picture would be one file here: it is {final}")
        return final, data

    def _key(self, name: str) -> str:
        """The same for all names of one file."""
        return folded(name) if self._folding else name


class _Ground:
    """What stands in a folder already, as far as names lead there: each of its folders is looked at once."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._inside = folder, folder.resolve()
        self._known: dict[str, Any] = {}
        """What is known of each folder below, by its last part: the same of it; None if nothing was there."""

    def check(self, name: str) -> bool:
        """Whether the folder of a file of that name was there at first.

        Raises:
            OutputError: the name leads out of the folder by a link, or through what is not a folder.
        """
        known, place = self._known, str(self._folder)
        *folders, last = name.split("/")
        for part in folders:
            place = f"{place}{os.sep}{part}"
            if part not in known:
                known[part] = self._look(Path(place))
            known = known[part]
            if known is None:
                return False
        self._is_there(Path(place, last))
        return True

    def _look(self, place: Path) -> dict[str, Any] | None:
        """What is known of a folder when it is looked at for the first time; None if it is not there.

        Raises:
            OutputError: it is not, and cannot be made.
        """
        if self._is_there(place):
            return {}
        if not os.access(place.parent, os.W_OK | os.X_OK):
            raise OutputError(f"cannot write {place}: {place.parent} is not a folder that can be written to")
        return None

    def _is_there(self, place: Path) -> bool:
        """Whether something is there; if it is a link, it does not lead out of the folder."""
        try:
            if not place.is_symlink():
                return place.exists()
            inside = place.resolve().is_relative_to(self._inside)
        except UnicodeEncodeError as error:
            raise OutputError(f"{str(place)!a} cannot be the name of a file here: use a UTF-8 locale") from error
        except OSError as error:
            raise OutputError(f"cannot write {place}: {error.strerror or error}") from error
        except RuntimeError:  # links in a circle
            inside = False
        if not inside:
            raise OutputError(f"{place} leads out of {self._folder} by a link: remove it, or name another folder")
        return True


def _exact_file(picture: Picture, suffix: str) -> bytes | None:
    """The picture as a file of the format that `suffix` names, or None if that loses anything."""
    if picture.metadata is None:
        return picture_bytes(drawing_of(picture.raster, exact=True), suffix)
    if not is_exact(suffix):
        return None
    try:
        return write_picture(picture.raster, suffix, picture.metadata).data
    except ImageError:
        return None


def _png_file(picture: Picture) -> bytes:
    """The picture as a PNG file, which holds every picture exactly."""
    if picture.metadata is not None:
        return write_picture(picture.raster, ".png", picture.metadata).data
    drawing = drawing_of(picture.raster, exact=True)
    return picture_bytes(drawing, ".png") or png_bytes(to_picture(drawing))


def here(name: str) -> str:
    """A name as this system can have it."""
    return for_windows(name) if os.name == "nt" else name


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
        files.setdefault(here(form.output), []).append(form)
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

    def put(self, row: int, rasters: Sequence[Raster]) -> None:
        """Images `row`, `row` + 1, ...: pictures in two colours, of which the second is ink."""
        for raster in rasters:
            if raster.samples.shape[:2] != self._form.size or raster.format.pair is None:
                raise FormatError(
                    f"an image of {self._form.root} has {raster.samples.shape[:2]} pixels, not {self._form.size}: "
                    "it is damaged"
                )
        bits = np.stack([raster.two_levels().ravel() for raster in rasters])
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
