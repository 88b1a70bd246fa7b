"""What an archive says of each of its sources besides names, looks and pixels: one small JSON object, its manifest.

    {"kind": "files", "count": n}                                loose pictures
    {"kind": "npy" | "npz" | "idx", "file": "mnist.npz", "dtype": "|u1", "shape": [10000, 28, 28],
     "paper": 0, "ink": 255, "packed": false}                    an array; npz: and "key", idx: and "gz"

`Form.manifest` writes it and `read` undoes that. An archive is hostile until proven otherwise: `read` accepts no more
than what `manifest` writes.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from vlae_codec.errors import FormatError, ImageError
from vlae_codec.files import safe_name
from vlae_codec.picture.drawing import SIZES, fits
from vlae_codec.picture.fields import SIDE

PACKED_BYTES = SIDE * SIDE // 8
"""Bytes of an image of a packed array: np.packbits of its 28x28 pixels, row by row, most significant bit first."""
LARGEST_BYTES = 1 << 40
_LONGEST_ROW = 13  # digits of the largest number of an array's image
_ARRAY_KINDS = {"npy": set[str](), "npz": {"key"}, "idx": {"gz"}}  # and the keys of their own
_DTYPES = {f"{order}{code}" for order in "<>" for code in ("i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8")}
_DTYPES |= {"|b1", "|i1", "|u1"}
_COMMON_KEYS = {"kind", "file", "dtype", "shape", "paper", "ink", "packed"}


@dataclass(frozen=True)
class FilesForm:
    """`count` loose pictures; their names are stored apart."""

    count: int

    def manifest(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"kind": "files", "count": self.count}


@dataclass(frozen=True)
class ArrayForm:
    """An array of images: shape (N, H, W), (N, H, W, 1), or (N, 98) if packed, of the two values `paper` and `ink`.

    file: the array's file, without its ".gz" if `gz`. key: its name there if that is an npz. dtype: numpy's string.
    """

    kind: str
    file: str
    dtype: str
    shape: tuple[int, ...]
    paper: float
    ink: float
    key: str | None = None
    gz: bool = False

    @property
    def count(self) -> int:
        """How many images."""
        return self.shape[0]

    @property
    def sample_bytes(self) -> int:
        """How many bytes its values have."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def packed(self) -> bool:
        """Whether the array holds eight pixels a byte."""
        return len(self.shape) == 2

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of each image."""
        return (SIDE, SIDE) if self.packed else (self.shape[1], self.shape[2])

    @property
    def output(self) -> str:
        """The name of the file that the array came from, and is restored to."""
        return f"{self.file}.gz" if self.gz else self.file

    @property
    def root(self) -> str:
        """What the names of the images begin with."""
        return self.file if self.key is None else f"{self.file}/{self.key}"

    def name(self, index: int) -> str:
        """The name of image `index`."""
        return f"{self.root}/{index}"

    def manifest(self) -> dict[str, Any]:
        """As a JSON object."""
        fields = {**asdict(self), "shape": list(self.shape), "packed": self.packed}
        return {key: fields[key] for key in fields if key in _COMMON_KEYS | _ARRAY_KINDS[self.kind]}


Form = FilesForm | ArrayForm


class Forms(tuple[Form, ...]):
    """The forms of an archive's sources, in order. Its images are numbered from 0 over all of them."""

    @cached_property
    def _ends(self) -> list[int]:
        """How many images there are up to the end of each source."""
        return [*itertools.accumulate(form.count for form in self)]

    @property
    def images(self) -> int:
        """How many images the sources hold."""
        return self._ends[-1] if self._ends else 0

    def at(self, index: int) -> tuple[int, int]:
        """Which source holds image `index`, and the image's number in it."""
        number = bisect_right(self._ends, index)
        return number, index - (self._ends[number] - self[number].count)

    def parts(self, first: int, images: int) -> Iterator[tuple[Form, range]]:
        """Where images `first` to `first` + `images` - 1 are: each source that holds some, and their numbers in it."""
        for number in range(bisect_right(self._ends, first), len(self)):
            form = self[number]
            start = self._ends[number] - form.count
            if start >= first + images:
                break
            own = range(max(0, first - start), min(form.count, first + images - start))
            if own:
                yield form, own

    def find(self, name: str) -> int | None:
        """The image of that name, if it is one of an array; loose pictures have their names in chunks."""
        root, _, row = name.rpartition("/")
        if not row.isascii() or not row.isdecimal() or len(row) > _LONGEST_ROW or str(int(row)) != row:
            return None
        for form, end in zip(self, self._ends, strict=True):
            if isinstance(form, ArrayForm) and form.root == root and int(row) < form.count:
                return end - form.count + int(row)
        return None

    def names(self, first: int, images: int, loose: Iterable[str]) -> Iterator[str | None]:
        """The names of images `first` to `first` + `images` - 1, given those of the loose pictures among them.

        None stands for what is not given.
        """
        given = iter(loose)
        for form, own in self.parts(first, images):
            yield from (form.name(i) if isinstance(form, ArrayForm) else next(given, None) for i in own)


def read(manifest: object) -> Form:
    """What `Form.manifest` wrote.

    Raises:
        FormatError: it cannot have.
    """
    if not isinstance(manifest, dict) or not isinstance(manifest.get("kind"), str):
        raise FormatError("the manifest of a source is not an object with a kind: the archive is damaged")
    kind = manifest["kind"]
    if kind == "files":
        _check_keys(manifest, {"kind", "count"})
        return FilesForm(_integer(manifest["count"], "count"))
    if kind not in _ARRAY_KINDS:
        raise FormatError(f"the archive has a source of kind {kind[:20]!r}, which is not known: upgrade vlae-codec")
    _check_keys(manifest, _COMMON_KEYS | _ARRAY_KINDS[kind])
    return _read_array(kind, manifest)


def _read_array(kind: str, manifest: dict[str, Any]) -> ArrayForm:
    file, shape, dtype = (manifest[key] for key in ("file", "shape", "dtype"))
    if not isinstance(shape, list) or not isinstance(dtype, str):
        raise FormatError("shape or dtype of an array is of the wrong type: the archive is damaged")
    shape = tuple(_integer(side, "shape") for side in shape)
    _check_file(file, manifest.get("key", "0"))
    _check_form(kind, file, shape, dtype)
    packed, gz = manifest["packed"], manifest.get("gz", False)
    if packed is not (len(shape) == 2) or not isinstance(gz, bool):
        raise FormatError(f'"packed" or "gz" of {file} contradicts its shape: the archive is damaged')
    levels = np.dtype(np.bool_) if packed else np.dtype(dtype)
    paper, ink = (_level(manifest[key], levels) for key in ("paper", "ink"))
    form = ArrayForm(kind, file, dtype, shape, paper, ink, manifest.get("key"), gz)
    check_name(form.name(form.count - 1))
    return form


def check_name(name: object) -> str:
    """The name itself, for names that come from an archive.

    Raises:
        FormatError: `safe_name` does not let it through.
    """
    if not isinstance(name, str):
        raise FormatError("a name in the archive is not text: the archive is damaged")
    try:
        return safe_name(name)
    except ImageError as error:
        raise FormatError(f"the archive is damaged or hostile: {error}") from error


def problem(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str | None:
    """Why an array of that form is not of images that we can code, or None."""
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        return f"it holds {_type_name(dtype)}, not numbers of at most 64 bits"
    packed = len(shape) == 2 and shape[1] == PACKED_BYTES and dtype == np.uint8
    if not packed and len(shape) != 3 and not (len(shape) == 4 and shape[3] == 1):
        return f"its shape is {shape}, not (N, H, W), (N, H, W, 1), or (N, {PACKED_BYTES}) of packed bits"
    if shape[0] < 1:
        return "there are no images in it"
    height, width = (SIDE, SIDE) if packed else shape[1:3]
    if not fits(width, height):
        return f"images of {width}x{height} pixels cannot be coded: {SIZES}"
    if math.prod(shape) * dtype.itemsize > LARGEST_BYTES:
        return f"it claims {math.prod(shape) * dtype.itemsize} bytes, and 2^40 are the most"
    return None


def _type_name(dtype: np.dtype[Any]) -> str:
    return "objects" if dtype.hasobject else str(dtype)[:40]


def _check_keys(manifest: dict[str, Any], keys: set[str]) -> None:
    if manifest.keys() != keys:
        raise FormatError(f"a manifest of kind {manifest['kind']} must have exactly {_listed(keys)}: it is damaged")


def _listed(keys: Iterable[str]) -> str:
    return ", ".join(sorted(keys))


def _integer(value: object, what: str) -> int:
    if type(value) is not int or not 1 <= value <= LARGEST_BYTES:
        raise FormatError(f"the {what} of a source must be of integers from 1 to 2^40: the archive is damaged")
    return value


def _check_file(file: object, key: object) -> None:
    if "/" in check_name(file):
        raise FormatError(f"an array's file is a name without folders, not {file!r}: the archive is damaged")
    check_name(key)


def _check_form(kind: str, file: str, shape: tuple[int, ...], dtype: str) -> None:
    if dtype not in _DTYPES:
        raise FormatError(f"{file} is of dtype {dtype[:20]!r}, which images do not have: the archive is damaged")
    reason = problem(shape, np.dtype(dtype))
    if reason is None and kind == "idx" and (dtype != "|u1" or len(shape) != 3 or max(shape) >= 1 << 32):
        reason = "an IDX file of images holds bytes in three dimensions"
    if reason:
        raise FormatError(f"{file} is not an array of images: {reason}; the archive is damaged")


def _level(value: object, dtype: np.dtype[Any]) -> float:
    """Paper or ink: a number that the type holds exactly."""
    if dtype.kind == "f":
        fits = type(value) is float and abs(value) <= float(np.finfo(dtype).max) and float(dtype.type(value)) == value
    else:
        low, high = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
        fits = type(value) is int and low <= value <= high
    if fits and isinstance(value, int | float):
        return value
    raise FormatError(f"paper or ink is not a number of type {dtype}: the archive is damaged")
