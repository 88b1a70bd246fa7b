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
from collections.abc import Callable, Iterator, Sequence, Sized
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, SupportsIndex, overload

import numpy as np
import numpy.typing as npt

from vlae_codec import places, zoo
from vlae_codec.container import MOST_BYTES
from vlae_codec.errors import FormatError, ImageError
from vlae_codec.family import Coder, Decoded, Sampling
from vlae_codec.options import check_whole
from vlae_codec.picture.images import PillowImage
from vlae_codec.picture.metadata import Metadata
from vlae_codec.picture.writing import to_pillow
from vlae_codec.sets.manifest import ArrayForm

from . import chunks
from .chunks import Shared
from .heads import Identity, Place
from .opened import Opened
from .pieces import Piece

if TYPE_CHECKING:
    from .sharded import ArchiveSet

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
    max_bytes: int = MOST_BYTES,
) -> Archive | ArchiveSet:
    """Opens an archive, or the archives of a set, as a sequence of images; see `Archive` and `ArchiveSet`.

    Args:
        path: a file, a URL, or a pattern such as `set-*.vlz`, which stands for a set.
        model: for an archive that names no released one: a model that was loaded, or its folder.
        seed, temperature: of the texture of lossy pictures, as of `Sampling`.
        cache_bytes: of decoded chunks and pictures that are kept; what was decoded last is kept in any case.
        max_bytes: of the samples of one picture, 2^29 by default: a few bytes may claim very many.

    Raises:
        OSError: the file cannot be read.
        FormatError: it is not an archive, or neither its header nor its index is whole; or a set is not complete.
        PlaceError: a URL's driver is not installed.
        OptionError: an option is out of range, or of another type.
    """
    place, sampling = os.fspath(path), Sampling(seed, temperature)
    zoo.check_given(model)
    check_whole("cache_bytes", cache_bytes, 0)
    check_whole("max_bytes", max_bytes, 1)
    if places.is_pattern(place):
        from .sharded import ArchiveSet

        return ArchiveSet(place, model, sampling, cache_bytes, max_bytes)
    return Archive(place, model, sampling, cache_bytes, max_bytes)


class Archive:
    """The images of an archive, in the order in which they were packed. `open_archive` makes it.

    Whatever reads images raises FormatError if theirs is damaged, ModelError if the archive needs a model that is not known
    here, and ValueError once the archive is closed.
    """

    def __init__(
        self,
        path: str,
        model: Coder | str | None,
        sampling: Sampling,
        cache_bytes: int,
        max_bytes: int = MOST_BYTES,
    ) -> None:
        self._path, self._model, self._sampling = places.absolute(path), model, sampling
        self._cache_bytes, self._max_bytes = cache_bytes, max_bytes
        self._own: _Own | None = None
        self._own = self._mine(opening=True)

    @property
    def path(self) -> Path:
        """The file; of a URL its text as a path."""
        return Path(self._path)

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
        return Names(self, self._name)

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
        """Image `index` as a Pillow image.

        Raises:
            ImageError: it is in 16-bit colours, which Pillow has not.
        """
        found = self._decoded(self._number(index))
        return found.picture if found.metadata is None else to_pillow(found.raster, found.metadata)

    def metadata(self, index: int) -> Metadata:
        """What image `index` says beside its pixels: colour profile, resolution, and so on; of drawings nothing."""
        return self._decoded(self._number(index)).metadata or Metadata()

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
        """Image `index` as an array; a slice is a list of them.

        A loose picture is (H, W) of gray levels, (H, W, 2) with opacity behind them, (H, W, 3) or (H, W, 4) of colours,
        those of a palette looked up; uint8, or uint16 if it has more than 8 bits a sample.
        """
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
        return Archive, (self._path, self._model, self._sampling, self._cache_bytes, self._max_bytes)

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
            file = places.open_unbuffered(self._path)  # a buffer has a lock, which a fork may find taken
            own = self._own = _Own(file)
        return own

    def _number(self, index: SupportsIndex) -> int:
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"the archive has {len(self)} images, and no image {number}")
        return number % len(self)

    def _name(self, index: SupportsIndex) -> str | None:
        number, own = self._number(index), self._mine()
        with own.lock:
            return own.opened.name(number)

    def _array(self, number: int) -> Image:
        forms = self._mine().opened.header.forms
        form, raster = forms[forms.at(number)[0]], self._decoded(number).raster
        if not isinstance(form, ArrayForm):
            colours = raster.colours()
            return np.array(colours[..., 0] if colours.shape[2] == 1 else colours)  # a copy, which may be written to
        levels: Image = np.array([form.paper, form.ink], np.uint8 if form.packed else form.dtype)
        image: Image = levels[raster.two_levels()]
        return image[..., None] if len(form.shape) == 4 else image

    def _decoded(self, number: int) -> Decoded:
        piece = self._piece(number)
        if piece.error is not None:
            raise FormatError(f"lost {self._name(number) or f'image {number}'}: {piece.error}")
        return piece.pictures[piece.numbers.position(number)]

    def _piece(self, number: int) -> Piece:
        """The decoded chunk that holds an image, or the image alone if it stands apart from the others of its chunk."""
        own = self._mine()
        with own.lock:
            place, unit = own.opened.unit(number)
            if found := own.cached(unit):
                return found
            decoding = own.decoding.setdefault(unit, threading.Lock())
        with decoding:  # whoever comes second finds it decoded
            with own.lock:
                if found := own.cached(unit):
                    return found
                stored, shared = own.opened.stored_alone(place, number), self._shared(own, place)
            (piece,) = chunks.unmake(shared, stored, lambda _images: None)
            with own.lock:
                own.keep(unit, piece, self._cache_bytes)
                own.decoding.pop(unit, None)
        return piece

    def _shared(self, own: _Own, place: Place) -> Shared:
        """What the chunk at a place is decoded with."""
        given = zoo.given(self._model)
        for identity, coder in own.opened.coders(own.given or given, [place]).items():
            own.coders.setdefault(identity, coder)
        own.given = own.given or given
        return Shared(own.opened.header, own.coders, self._sampling, self._max_bytes)


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
        self.given: Coder | None = None
        self.coders = dict[Identity, Coder]()
        self._pieces = OrderedDict[int, tuple[Piece, int]]()
        self._held_bytes = 0
        self._numbers: dict[str, int] | None = None

    def cached(self, unit: int) -> Piece | None:
        """What was decoded and has that image first, if it is kept."""
        if unit not in self._pieces:
            return None
        self._pieces.move_to_end(unit)
        return self._pieces[unit][0]

    def keep(self, unit: int, piece: Piece, most_bytes: int) -> None:
        """Keeps what was decoded, and forgets what was not asked for the longest if all is too large."""
        size = sum(picture.raster.samples.nbytes + _IMAGE_BYTES for picture in piece.pictures)
        _, before = self._pieces.pop(unit, (None, 0))
        self._pieces[unit] = piece, size
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
                found = zip(piece.numbers, self.opened.names(piece), strict=True)
                yield from ((name, number) for number, name in found if name is not None)


class Names(Sequence[str | None]):
    """The names of the images of an archive or a set, read as they are asked for."""

    def __init__(self, images: Sized, name_of: Callable[[SupportsIndex], str | None]) -> None:
        self._images, self._name_of = images, name_of

    def __len__(self) -> int:
        return len(self._images)

    @overload
    def __getitem__(self, index: SupportsIndex) -> str | None: ...
    @overload
    def __getitem__(self, index: slice) -> list[str | None]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> str | list[str | None] | None:
        if isinstance(index, slice):
            return [self._name_of(number) for number in range(*index.indices(len(self)))]
        return self._name_of(index)

    def __repr__(self) -> str:
        return f"<the {len(self)} names of {self._images!r}>"
