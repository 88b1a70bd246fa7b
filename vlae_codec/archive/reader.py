"""An archive as a sequence of images, read in any order.

    with vlae_codec.open_archive("set.vlz") as archive:
        len(archive), archive[0], archive[-1], archive[10:20]     # arrays
        archive.names[0], archive.picture(0)                      # a name; a Pillow image

An image is what was packed: one of an array is that array's row, with its type and values; a loose picture is the array of
its Pillow image. Chunks decode on their own, and a decoded one is kept, so that reading all images in any order decodes each
chunk once as long as all fit into `cache_bytes`. An archive packed in smaller chunks gives its first images sooner.

Several threads may read at once: one decodes a chunk and others that need it wait. A pickled archive is its path, and a
process that was forked opens the file anew, so workers of a data loader can each read on their own.
"""

from __future__ import annotations

import operator
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, SupportsIndex, overload

import numpy as np
import numpy.typing as npt

from vlae_codec import zoo
from vlae_codec.container import VERSION
from vlae_codec.errors import FormatError, ImageError
from vlae_codec.family import ChainedCoder, Coder, Sampling
from vlae_codec.picture.drawing import Drawing
from vlae_codec.picture.images import PillowImage, to_picture
from vlae_codec.sets.manifest import ArrayForm

from . import chunks
from .chunks import Piece
from .opened import Opened

CACHE_BYTES = 1 << 26
"""Of decoded chunks, unless told otherwise: a byte a pixel, and a little an image."""
_IMAGE_BYTES = 512  # that an image takes besides its pixels, about
_MOST_NAMES = 1 << 22  # that are looked up in a table; more are searched for

Image = npt.NDArray[Any]


def open_archive(
    path: str | os.PathLike[str],
    *,
    model: Coder | str | None = None,
    seed: int = 0,
    temperature: float | None = None,
    cache_bytes: int = CACHE_BYTES,
) -> Archive:
    """Opens an archive as a sequence of its images; see `Archive`.

    Args:
        model: for an archive that names no released one: a model that was loaded, or its folder.
        seed, temperature: draw the texture of a lossy archive; temperature 0 to 16.
        cache_bytes: of decoded chunks that are kept; the one decoded last is kept in any case.

    Raises:
        OSError: the file cannot be read.
        FormatError: it is no archive, or neither its header nor its index is whole.
        ValueError: seed or temperature is out of range.
    """
    return Archive(Path(path), model, Sampling(seed, temperature), cache_bytes)


class Archive:
    """The images of an archive, in the order in which they were packed. `open_archive` makes it.

    Whatever reads images raises FormatError if theirs is damaged, ModelError if the archive needs a model that is not known
    here, and ValueError once the archive is closed.
    """

    def __init__(self, path: Path, model: Coder | str | None, sampling: Sampling, cache_bytes: int) -> None:
        self._path, self._model, self._sampling, self._cache_bytes = path.absolute(), model, sampling, cache_bytes
        self._own: _Own | None = None
        self._own = self._mine(opening=True)

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def lossy(self) -> bool:
        """Whether the images have their structure only, and a texture that is drawn."""
        return self._mine().opened.header.lossy

    @property
    def damages(self) -> tuple[str, ...]:
        """What of the archive's frame is damaged, a line each; images may be there nevertheless."""
        return self._mine().opened.damages

    @property
    def names(self) -> Sequence[str | None]:
        """The name of each image; None for one that is lost with its chunk's head."""
        return _Names(self)

    def find(self, name: str) -> int:
        """The number of the image of that name.

        Raises:
            ImageError: no image has that name.
        """
        own = self._mine()
        with own.lock:
            number = own.find(name)
        if number is None:
            raise ImageError(f"the archive has no image named {name}")
        return number

    def picture(self, index: int) -> PillowImage:
        """Image `index` as a Pillow image."""
        return to_picture(self._drawing(self._number(index)))

    def close(self) -> None:
        """Closes the file and forgets what was decoded."""
        if self._own is not None and self._own.pid == os.getpid():
            self._own.file.close()
        self._own = None

    def __len__(self) -> int:
        return self._mine().opened.header.forms.images

    @overload
    def __getitem__(self, index: SupportsIndex) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> list[Image]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Image | list[Image]:
        """Image `index` as an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); a slice is a list of them."""
        if isinstance(index, slice):
            return [self._array(number) for number in range(*index.indices(len(self)))]
        return self._array(self._number(index))

    def __iter__(self) -> Iterator[Image]:
        return map(self._array, range(len(self)))

    def __reversed__(self) -> Iterator[Image]:
        return map(self._array, reversed(range(len(self))))

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[Archive], tuple[Any, ...]]:
        return Archive, (self._path, self._model, self._sampling, self._cache_bytes)

    def __repr__(self) -> str:
        return f"<Archive {self._path}{'' if self._own else ', closed'}>"

    def _mine(self, opening: bool = False) -> _Own:
        """The open file and the cache of this process: a fork must share neither a position in a file nor a lock."""
        own = self._own
        if own is None and not opening:
            raise ValueError(f"the archive {self._path} is closed")
        if own is not None and own.pid != os.getpid():
            own.file.close()  # here; it stays open in the parent
            own = None
        if own is None:
            file = self._path.open("rb", buffering=0)  # a buffer has a lock, which a fork may find taken
            own = self._own = _Own(file)
        return own

    def _number(self, index: SupportsIndex) -> int:
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"the archive has {len(self)} images, and no image {number}")
        return number % len(self)

    def _name(self, number: int) -> str | None:
        own = self._mine()
        with own.lock:
            return own.opened.name(number)

    def _array(self, number: int) -> Image:
        forms = self._mine().opened.header.forms
        form, drawing = forms[forms.at(number)[0]], self._drawing(number)
        if not isinstance(form, ArrayForm):
            return np.array(to_picture(drawing))  # a copy, which may be written to
        levels: Image = np.array([form.paper, form.ink], np.uint8 if form.packed else form.dtype)
        image: Image = levels[drawing.bits]
        return image[..., None] if len(form.shape) == 4 else image

    def _drawing(self, number: int) -> Drawing:
        piece = self._piece(number)
        if piece.error is not None:
            raise FormatError(f"lost {self._name(number) or f'image {number}'}: {piece.error}")
        return piece.drawings[number - piece.first]

    def _piece(self, number: int) -> Piece:
        """The decoded chunk that holds an image."""
        own = self._mine()
        place = own.opened.place_of(number)
        with own.lock:
            if found := own.cached(place.first):
                return found
            decoding = own.decoding.setdefault(place.first, threading.Lock())
        with decoding:  # whoever comes second finds it decoded
            with own.lock:
                if found := own.cached(place.first):
                    return found
                stored = own.opened.stored(place)
                if own.model is None:
                    given = zoo.named(self._model) if isinstance(self._model, str) else self._model
                    own.model = chunks.chained(zoo.find(own.opened.header.model, given, version=VERSION))
            piece = chunks.unmake((own.model, own.opened.header, self._sampling), stored, lambda _images: None)
            with own.lock:
                own.keep(piece, self._cache_bytes)
                own.decoding.pop(place.first, None)
        return piece


class _Own:
    """What one process has of an open archive. Whoever touches the file or the cache holds `lock`."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.pid = file, os.getpid()
        try:
            self.opened = Opened(file)
        except BaseException:
            file.close()
            raise
        self.lock = threading.Lock()
        self.decoding = dict[int, threading.Lock]()
        self.model: ChainedCoder | None = None
        self._pieces = OrderedDict[int, tuple[Piece, int]]()
        self._held_bytes = 0
        self._numbers: dict[str, int] | None = None

    def cached(self, first: int) -> Piece | None:
        """The decoded chunk whose first image is that one, if it is kept."""
        if first not in self._pieces:
            return None
        self._pieces.move_to_end(first)
        return self._pieces[first][0]

    def keep(self, piece: Piece, most_bytes: int) -> None:
        """Keeps a decoded chunk, and forgets those that were not asked for the longest if all are too large."""
        size = sum(drawing.bits.nbytes + _IMAGE_BYTES for drawing in piece.drawings)
        _, before = self._pieces.pop(piece.first, (None, 0))
        self._pieces[piece.first] = piece, size
        self._held_bytes += size - before
        while self._held_bytes > most_bytes and len(self._pieces) > 1:
            _, (_, freed) = self._pieces.popitem(last=False)
            self._held_bytes -= freed

    def find(self, name: str) -> int | None:
        """The number of the image of that name."""
        forms = self.opened.header.forms
        if (number := forms.find(name)) is not None:
            return number
        if forms.images > _MOST_NAMES:
            return next((number for one, number in self._named() if one == name), None)
        if self._numbers is None:
            self._numbers = dict(self._named())
        return self._numbers.get(name)

    def _named(self) -> Iterator[tuple[str, int]]:
        """All names that are there, and the numbers of their images."""
        for piece in self.opened.heads():
            if piece.error is None:
                found = enumerate(self.opened.names(piece), piece.first)
                yield from ((name, number) for number, name in found if name is not None)


class _Names(Sequence[str | None]):
    """The names of an archive's images, read with the heads of its chunks as they are asked for."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def __len__(self) -> int:
        return len(self._archive)

    @overload
    def __getitem__(self, index: SupportsIndex) -> str | None: ...
    @overload
    def __getitem__(self, index: slice) -> list[str | None]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> str | list[str | None] | None:
        if isinstance(index, slice):
            return [self._archive._name(number) for number in range(*index.indices(len(self)))]
        return self._archive._name(self._archive._number(index))

    def __repr__(self) -> str:
        return f"<the {len(self)} names of {self._archive!r}>"
