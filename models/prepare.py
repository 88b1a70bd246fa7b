"""The public originals of the data sets, turned into the archives that training reads.

READ ME FIRST:

- What is checked is the content: the SHA-256 of each finished array, whatever the originals were compressed with.
  The texts of `mnist_static` that its arrays stand for have the published SHA-256 of Larochelle's files.
- Bits are packed eight to a byte, rows first, most significant bit first: (N, 98) uint8.
- `mnist_gray`: IDX files say their own sizes; those are compared with the bytes that are there.
- `caltech101`: MATLAB stores columns first, so each image is transposed to stand upright. 1 = background, as in the
  original, and classes count from 1.
- `omniglot28`: drawers 1-15 are `train`, 16-20 are `test`. Images are in the order: background set, then evaluation
  set; in each by alphabet, then character, both by name, then by drawer. A drawing of 105x105, ink = 255, becomes 28x28
  by averaging: cell i is columns floor(3.75 i + 1/2) up to floor(3.75 (i + 1) + 1/2), three or four of them; first along
  each row, rounded half up to whole grays, then so along each column. That is the BOX filter of Pillow.

Originals are foreign files: every size is bounded before memory is taken, and nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import io
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.errors import ConfigError
from vlae_codec.picture.images import open_picture

from .data import digest

Array = npt.NDArray[np.uint8]
Files = Mapping[str, Path]

_LARGEST_BYTES = 1 << 28  # of one original, unpacked; the real ones have at most 78 million
_LARGEST_ZIP_BYTES = 1 << 25  # bounds its table of contents; the real ones have 9.5 million
_LARGEST_DRAWING_BYTES = 1 << 14  # of one PNG; the real ones have some 200
_MOST_DRAWINGS = 1 << 16
_MOST_PACKED = 1032  # no stream of deflate becomes longer than that many times its length
_NPY_HEADER_BYTES = 4096


@dataclass(frozen=True)
class Published:
    """What an array of a set is known to be: all are uint8, and the SHA-256 is of their bytes, rows first."""

    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True)
class DataSet:
    """A set: what it is, where its `files` come from, what `read` makes of them."""

    what: str
    source: str
    files: tuple[str, ...]
    read: Callable[[Files], dict[str, Array]]
    arrays: dict[str, Published]


@dataclass(frozen=True)
class Prepared:
    """The arrays of a set, and the keys of those that are not what was published."""

    arrays: dict[str, Array]
    unverified: tuple[str, ...]

    def archive(self) -> bytes:
        """The .npz file; the same arrays make the same archive."""
        out = io.BytesIO()
        arrays: dict[str, Any] = dict(self.arrays)
        np.savez_compressed(out, **arrays)
        return out.getvalue()


def find(name: str) -> DataSet:
    """The set of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in SETS:
        raise ConfigError(f"unknown data set {name!r}: known are {', '.join(SETS)}")
    return SETS[name]


def prepare(name: str, sources: Sequence[Path], unverified: bool = False) -> Prepared:
    """Reads a set from its originals, given as files under their public names or as folders that hold them.

    Raises:
        ConfigError: the set is unknown, an original is missing or damaged, or the content is not what was published and
            `unverified` is not set.
    """
    known = find(name)
    arrays = known.read(_locate(name, known, sources))
    for key, array in arrays.items():
        if not len(array):
            raise ConfigError(f"the originals of {name} hold no image for {key!r}: get {_where(known)}")
    differing = tuple(key for key, array in arrays.items() if _published(array) != known.arrays[key])
    if differing and not unverified:
        raise ConfigError(_mismatch(name, known, differing, arrays[differing[0]]))
    return Prepared(arrays, differing)


def _published(array: Array) -> Published:
    return Published(array.shape, digest(array))


def _mismatch(name: str, known: DataSet, differing: Sequence[str], first: Array) -> str:
    expected, came = known.arrays[differing[0]], _published(first)
    return (
        f"{', '.join(differing)} of {name} not as published: {differing[0]} must be {expected.shape} with SHA-256 "
        f"{expected.sha256}, and is {came.shape} with {came.sha256}; get {_where(known)}, or accept it with --unverified"
    )


def _where(known: DataSet) -> str:
    return f"{', '.join(known.files)} from {known.source}"


def status(name: str, folder: Path) -> str:
    """Whether a folder has the archive of a set: `not there`, `as published`, or what is wrong with it.

    Raises:
        ConfigError: the set is unknown.
    """
    known, path = find(name), folder / f"{name}.npz"
    if not path.exists():
        return "not there"
    try:
        with zipfile.ZipFile(path) as archive:
            differing = [key for key, expected in known.arrays.items() if not _holds(archive, key, expected)]
    except MemoryError:
        raise
    except Exception as error:  # damaged archives raise all sorts
        return f"damaged: {_reason(error)}"
    return f"not as published: {', '.join(differing)}" if differing else "as published"


def _holds(archive: zipfile.ZipFile, key: str, expected: Published) -> bool:
    """Whether the archive's array is the published one; its header is read before memory is taken for its content."""
    info = archive.getinfo(f"{key}.npy")
    size = math.prod(expected.shape)
    if info.file_size > size + _NPY_HEADER_BYTES:
        return False
    with archive.open(info) as member:
        if np.lib.format.read_magic(member) != (1, 0):
            return False
        shape, columns_first, dtype = np.lib.format.read_array_header_1_0(member)
        if shape != expected.shape or dtype != np.uint8:
            return False
        content = np.frombuffer(member.read(), np.uint8)
    return content.size == size and _published(content.reshape(shape, order="F" if columns_first else "C")) == expected


# Finding and opening the originals.


def _locate(name: str, known: DataSet, sources: Sequence[Path]) -> dict[str, Path]:
    """Public name -> path.

    Raises:
        ConfigError: a file is not there, has another name, is given twice, or is missing.
    """
    found: dict[str, Path] = {}
    for source in sources:
        for path in _in_folder(source, known.files) if source.is_dir() else [source]:
            public = _public_name(path.name)
            if public not in known.files:
                raise ConfigError(f"{path} is not an original of {name}: those are {', '.join(known.files)}")
            if public in found:
                raise ConfigError(f"{public} is given twice: {found[public]} and {path}")
            found[public] = path
    missing = [public for public in known.files if public not in found]
    if missing:
        raise ConfigError(f"{name} lacks {', '.join(missing)}: get it from {known.source} and give it with --from")
    return found


def _in_folder(folder: Path, wanted: Sequence[str]) -> list[Path]:
    """The wanted files of a folder; where one is there both plain and as .gz, the plain one."""
    found: dict[str, Path] = {}
    with _reading(folder):
        for path in sorted(folder.iterdir(), key=lambda path: (path.suffix == ".gz", path.name)):
            if path.is_file() and _public_name(path.name) in wanted:
                found.setdefault(_public_name(path.name), path)
    return list(found.values())


def _public_name(name: str) -> str:
    """IDX files go about as `train-images-idx3-ubyte`, `train-images.idx3-ubyte`, and each of them with `.gz`."""
    return name.removesuffix(".gz").replace(".idx", "-idx") if "-ubyte" in name else name


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever goes wrong with a foreign file becomes a ConfigError that names it."""
    try:
        yield
    except (ConfigError, MemoryError):
        raise
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # readers of damaged archives raise all sorts
        raise ConfigError(f"{path} is damaged or not the original: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _check_size(path: Path, largest: int) -> None:
    if not path.is_file():
        raise ConfigError(f"{path} is missing, or not a file")
    if path.stat().st_size > largest:
        raise ConfigError(f"{path} is larger than any original of ours ({largest} bytes)")


# mnist_static: texts.


def _read_static(files: Files) -> dict[str, Array]:
    return {part: _read_amat(files[f"binarized_mnist_{part}.amat"]) for part in ("train", "valid", "test")}


def _read_amat(path: Path) -> Array:
    """(N, 98) packed bits of a text of 784 numbers, 0 or 1, a line."""
    blocks = [np.zeros((0, 98), np.uint8)]
    with _reading(path):
        _check_size(path, _LARGEST_BYTES)
        with path.open("rb") as file:
            while lines := file.readlines(1 << 22):
                blocks.append(_pack_lines(path, np.frombuffer(b"".join(lines), np.uint8)))
    return np.concatenate(blocks)


def _pack_lines(path: Path, text: Array) -> Array:
    digits = (text == ord("0")) | (text == ord("1"))
    starts = np.flatnonzero(np.r_[True, text[:-1] == ord("\n")])
    counts = np.add.reduceat(digits, starts, dtype=np.int64)
    spaced = np.isin(text[~digits], np.frombuffer(b" \t\r\n", np.uint8)).all() and not (digits[1:] & digits[:-1]).any()
    if not spaced or not np.isin(counts, (0, 784)).all():
        raise ConfigError(f"{path} must have 784 numbers a line, each 0 or 1, with space between them")
    return np.packbits((text[digits] - np.uint8(ord("0"))).reshape(-1, 784), axis=1)


# mnist_gray: IDX.


def _read_gray(files: Files) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        images = _read_idx(files[f"{prefix}-images-idx3-ubyte"], 3)
        labels = _read_idx(files[f"{prefix}-labels-idx1-ubyte"], 1)
        if images.shape[1:] != (28, 28) or len(images) != len(labels):
            raise ConfigError(f"{prefix} must be N images of 28x28 and N labels, not {images.shape} and {labels.shape}")
        arrays |= {f"{part}_x": images, f"{part}_y": labels}
    return arrays


def _read_idx(path: Path, dimensions: int) -> Array:
    """The array of an IDX file of bytes, plain or as .gz: magic 0, 0, 8, dimensions; their sizes; the content."""
    with _reading(path):
        _check_size(path, _LARGEST_BYTES)
        with _unpacking(path) as file:
            magic, *shape = struct.unpack(f">{1 + dimensions}I", file.read(4 + 4 * dimensions))
            if magic != 0x0800 + dimensions:
                raise ConfigError(f"{path} is not an IDX file of bytes in {dimensions} dimensions")
            size = math.prod(shape)
            packing = _MOST_PACKED if isinstance(file, gzip.GzipFile) else 1
            if size > min(_LARGEST_BYTES, path.stat().st_size * packing):
                raise ConfigError(f"{path} claims to hold {size} bytes, which it cannot or no original of ours does")
            content = file.read(size + 1)
    if len(content) != size:
        raise ConfigError(
            f"{path} must hold the {size} bytes it claims, and has {'more' if content[size:] else 'fewer'}"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


def _unpacking(path: Path) -> gzip.GzipFile | io.BufferedReader:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")


# caltech101: MATLAB.


def _read_silhouettes(files: Files) -> dict[str, Array]:
    path = files["caltech101_silhouettes_28_split1.mat"]
    names = [f"{part}_{kind}" for part in ("train", "val", "test") for kind in ("data", "labels")]
    stored = _load_mat(path, names)
    arrays: dict[str, Array] = {}
    for part in ("train", "val", "test"):
        images, labels = stored[f"{part}_data"], stored[f"{part}_labels"].reshape(-1)
        key = {"val": "valid"}.get(part, part)
        if images.shape != (len(labels), 784) or not np.isin(images, (0, 1)).all():
            raise ConfigError(f"{path}: {part}_data must be (N, 784) of 0 and 1, one row for each label")
        if not np.isin(labels, np.arange(1, 256)).all():
            raise ConfigError(f"{path}: {part}_labels must be whole numbers from 1")
        upright = images.astype(np.uint8).reshape(-1, 28, 28).transpose(0, 2, 1)
        arrays |= {key: np.packbits(upright.reshape(-1, 784), axis=1), f"{key}_y": labels.astype(np.uint8)}
    return arrays


def _load_mat(path: Path, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """The named real matrices of a MATLAB 5 file.

    Raises:
        ConfigError: scipy is not installed, the file is damaged, or has no such matrices.
    """
    matlab = _scipy_io()
    with _reading(path):
        _check_size(path, _LARGEST_BYTES)
        plain = _inflate_mat(path.read_bytes())
        kinds = {name: kind for name, _, kind in matlab.whosmat(io.BytesIO(plain))}
        wrong = [name for name in names if kinds.get(name) not in _REAL_MATRICES]
        if wrong:
            raise ConfigError(f"{path} has no matrix of numbers {', '.join(wrong)}")
        stored = matlab.loadmat(io.BytesIO(plain), variable_names=names)
        return {name: np.asarray(stored[name]) for name in names}


_REAL_MATRICES = ("logical", "uint8", "int8", "uint16", "int16", "uint32", "int32", "single", "double")


def _scipy_io() -> Any:
    try:
        return importlib.import_module("scipy.io")
    except ImportError as error:
        raise ConfigError("reading MATLAB files needs scipy: pip install 'vlae-codec[data]'") from error


def _inflate_mat(data: bytes) -> bytes:
    """The matrices of numbers of a MATLAB 5 file, as another with nothing compressed, so that no size inside can exceed what
    is there.

    A header of 128 bytes that ends in the byte order; then elements, each a type, a size and that many bytes. Type 15
    is another element, compressed by zlib.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise ValueError("it does not begin as a MATLAB 5 file does")
    plain, at, room = [data[:128]], 128, _LARGEST_BYTES
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        element = data[at : at + 8 + size]
        if kind == 15:
            element = zlib.decompressobj().decompress(element[8:], room + 1)
        room -= len(element)
        if room < 0:
            raise ValueError(f"it unpacks to more than any original of ours ({_LARGEST_BYTES} bytes)")
        if _is_of_numbers(element, order):
            plain.append(element)
        at += 8 + size
    return b"".join(plain)


_TYPES_OF_NUMBERS = (1, 2, 3, 4, 5, 6, 7, 9, 12, 13)
_CLASSES_OF_NUMBERS = range(6, 16)
_COMPLEX = 0x800  # of the flags


def _is_of_numbers(element: bytes, order: str) -> bool:
    """Whether an element is a matrix of real numbers, which alone scipy is to see: it trusts sizes and types.

    After its own type and size it has four parts, each a type, a size and that many bytes, padded to eight; or, if a part is
    small, all of it is eight bytes. They are the flags, of which the lowest byte is the class, the shape, the name, and the
    numbers; of complex ones there would be a fifth.

    Raises:
        ValueError: the sizes contradict each other; a matrix of numbers has other parts, or some that are not numbers.
    """
    if struct.unpack_from(f"{order}II", element) != (14, len(element) - 8):
        raise ValueError("an array is shorter or longer than it claims")
    at, parts, numbers = 8, 0, False
    while at + 8 <= len(element):
        kind, size = struct.unpack_from(f"{order}II", element, at)
        size = 0 if kind >> 16 else size
        if at + 8 + size > len(element):
            raise ValueError(f"a part of it claims {size} bytes, more than there are")
        if parts == 0:
            if (kind, size) != (6, 8):
                raise ValueError("an array does not begin with its flags")
            (flags,) = struct.unpack_from(f"{order}I", element, at + 8)
            numbers = flags & 0xFF in _CLASSES_OF_NUMBERS
            if numbers and flags & _COMPLEX:
                raise ValueError("a matrix of numbers is complex")
        if numbers and kind & 0xFFFF not in _TYPES_OF_NUMBERS:
            raise ValueError(f"a part of it is of type {kind & 0xFFFF}, which is not one of numbers")
        at += 8 + -(-size // 8) * 8
        parts += 1
    if numbers and parts != 4:
        raise ValueError(f"a matrix of numbers has {parts} parts, and not four")
    return numbers


# omniglot28: zips of PNGs.

_DRAWING = re.compile(r"(?:.*/)?(?P<alphabet>[^/]+)/(?P<character>[^/]+)/[^/._][^/]*_(?P<drawer>[0-9]{1,3})\.png")
_EDGES = (np.arange(29) * 105 + 14) // 28  # floor(3.75 i + 1/2)
_WIDTHS = np.diff(_EDGES)


def _read_omniglot(files: Files) -> dict[str, Array]:
    parts: dict[str, list[Array]] = {"train": [], "test": []}
    for path in (files["images_background.zip"], files["images_evaluation.zip"]):
        with _reading(path):
            _check_size(path, _LARGEST_ZIP_BYTES)
            with zipfile.ZipFile(path) as archive:
                for drawer, info in _drawings(path, archive):
                    ink = _ink(archive.read(info), f"{info.filename!r} in {path}")
                    parts["train" if drawer <= 15 else "test"].append(_shrink(ink).reshape(784))
    return {part: np.array(images, np.uint8).reshape(-1, 784) for part, images in parts.items()}


def _drawings(path: Path, archive: zipfile.ZipFile) -> list[tuple[int, zipfile.ZipInfo]]:
    """(drawer, entry) by alphabet, character, drawer; what is not a drawing is passed over."""
    found: dict[tuple[str, str, int], zipfile.ZipInfo] = {}
    for info in archive.infolist():
        match = _DRAWING.fullmatch(info.filename)
        if match is None:
            continue
        key = match["alphabet"], match["character"], int(match["drawer"])
        if key in found or not 1 <= key[2] <= 20 or info.file_size > _LARGEST_DRAWING_BYTES:
            raise ConfigError(f"{info.filename!r} in {path} is there twice, too large, or not of a drawer 1 to 20")
        found[key] = info
    if len(found) > _MOST_DRAWINGS:
        raise ConfigError(f"{path} has more drawings than any original of ours ({_MOST_DRAWINGS})")
    return [(key[2], found[key]) for key in sorted(found)]


def _ink(png: bytes, name: str) -> Array:
    """(105, 105) in {0, 1} of a drawing in black on white."""
    if png[:8] != b"\x89PNG\r\n\x1a\n" or struct.unpack(">II", png[16:24]) != (105, 105):
        raise ConfigError(f"{name} is not a PNG of 105x105")  # before any decoder takes memory for it
    gray = np.asarray(open_picture(png, name).convert("L"))
    if gray.shape != (105, 105):
        raise ConfigError(f"{name} is not a drawing of 105x105")
    return (gray < 128).astype(np.uint8)


def _shrink(ink: Array) -> Array:
    """(105, 105) in {0, 1} to (28, 28) in 0..255."""
    return _average_columns(_average_columns(ink * np.int64(255)).T).T.astype(np.uint8)


def _average_columns(x: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Means over the cells of the last axis, rounded half up: (H, 105) to (H, 28)."""
    sums = np.add.reduceat(x, _EDGES[:-1], axis=1)
    means: npt.NDArray[np.int64] = (2 * sums + _WIDTHS) // (2 * _WIDTHS)
    return means


SETS = {
    "mnist_static": DataSet(
        "MNIST, statically binarised by Larochelle",
        "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
        ("binarized_mnist_train.amat", "binarized_mnist_valid.amat", "binarized_mnist_test.amat"),
        _read_static,
        {
            "train": Published((50000, 98), "727146c35424b019f3e350e1e69faa05644a0abaf787e3f4e1a9632220a13906"),
            "valid": Published((10000, 98), "a256ac44ae26be720fad8616a05ed6ecfd1619930d9a208379bb2a4405df5b6d"),
            "test": Published((10000, 98), "9fcd8da6f0fdf09b2ba30fe63a0bb784042a0de82563172530229b983e294ff2"),
        },
    ),
    "mnist_gray": DataSet(
        "MNIST in grays",
        "http://yann.lecun.com/exdb/mnist/ or its mirror https://ossci-datasets.s3.amazonaws.com/mnist/",
        (
            "train-images-idx3-ubyte",
            "train-labels-idx1-ubyte",
            "t10k-images-idx3-ubyte",
            "t10k-labels-idx1-ubyte",
        ),
        _read_gray,
        {
            "train_x": Published((60000, 28, 28), "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757"),
            "train_y": Published((60000,), "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13"),
            "test_x": Published((10000, 28, 28), "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161"),
            "test_y": Published((10000,), "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5"),
        },
    ),
    "caltech101": DataSet(
        "Caltech-101 Silhouettes at 28x28, split 1, by Marlin et al.",
        "https://people.cs.umass.edu/~marlin/data.shtml",
        ("caltech101_silhouettes_28_split1.mat",),
        _read_silhouettes,
        {
            "train": Published((4100, 98), "b7064bfb833b0f828c43dc416da9a384566a969115c098ec13c825c4815c27d3"),
            "train_y": Published((4100,), "ceea4e4868a5be4e79438fa7a7e3379fa03bb0aebc9753af708a9aeb3c35d44a"),
            "valid": Published((2264, 98), "9492b65b80139eb45e1700c9cec6fc067a08a760d6cb816ad84ba7048bebe1ac"),
            "valid_y": Published((2264,), "facd8da6a7aeeb9cf52a9d00bd6c384cdcf8dc416ed8f812acab132f092b4846"),
            "test": Published((2307, 98), "0758b9a66a99a45b6d2f7818d27535329531b4abde087e893c9babd1212c8190"),
            "test_y": Published((2307,), "ef8b3a783543c23ebbf7b0a4bd128f753de31b31a4decfcdf4a066ef850f5489"),
        },
    ),
    "omniglot28": DataSet(
        "Omniglot by Lake et al., averaged down to 28x28 here: not the file of Burda et al.",
        "https://github.com/brendenlake/omniglot/tree/master/python",
        ("images_background.zip", "images_evaluation.zip"),
        _read_omniglot,
        {
            "train": Published((24345, 784), "aed7c21cecb8d006f8aeebe340b979bde9ba67ca21c9d41aae02ef21c9e92431"),
            "test": Published((8115, 784), "52c6cc93b29d4e47ebe69ea8f601ceaf8c67f6e2cebe5a76ebbc6903102a0698"),
        },
    ),
}
