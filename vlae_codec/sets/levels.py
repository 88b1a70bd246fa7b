"""Gray and coloured pictures of an npy file, (N, H, W) or (N, H, W, C): each on its own, as a PNG file.

An array of two values is coded as one, and comes back as it came (see `arrays`); of any other its pictures do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import IO, Any

import numpy as np

from vlae_codec import places
from vlae_codec.errors import ImageError
from vlae_codec.files import reading, safe_name
from vlae_codec.picture.png import write_png
from vlae_codec.picture.reading import read_given

from .arrays import Layout, npy_layout
from .shelves import Item, Shelf

_CHANNELS = range(1, 5)
"""Gray, gray and alpha, colours, colours and alpha."""


def has_levels(layout: Layout) -> bool:
    """Whether it is of pictures whose samples have 8 or 16 bits."""
    return (
        layout.dtype.str[1:] in ("u1", "u2")
        and (len(layout.shape) == 3 or (len(layout.shape) == 4 and layout.shape[3] in _CHANNELS))
        and min(layout.shape) > 0
    )


def is_coloured(layout: Layout) -> bool:
    """Whether its pictures have several samples a pixel."""
    return has_levels(layout) and len(layout.shape) == 4 and layout.shape[3] > 1


class Levels(Shelf[int]):
    """The pictures of an array, as PNG files in a folder of its name."""

    def __init__(self, path: str, notes: list[str]) -> None:
        """Raises ImageError if it is not such an array."""
        self._path, self._layout = path, npy_layout(path)
        self._file: IO[bytes] | None = None
        if not has_levels(self._layout):
            raise ImageError(
                f"{path} is not an array of pictures: save it as uint8 or uint16, (N, H, W) or (N, H, W, C)"
            )
        count, stem = self._layout.shape[0], safe_name(PurePath(places.name(path)).stem)
        digits = len(str(count - 1))
        self.items = [Item(f"{stem}/{row:0{digits}}.png", f"{path}, picture {row}", row) for row in range(count)]
        notes.append(
            f"{path} has more than two values: its pictures come back as PNG files, {self.items[0].name} and so on"
        )

    def read(self, index: int) -> bytes:
        """See `Shelf`."""
        layout, row = self._layout, self.items[index].key
        with reading(self._path):
            if self._file is None:
                self._file = layout.open()
            self._file.seek(layout.offset + row * layout.image_bytes)
            data = self._file.read(layout.image_bytes)
        if len(data) < layout.image_bytes:
            raise ImageError(f"{self._path} ends early: it claims {layout.shape[0]} images")
        samples = np.frombuffer(data, layout.dtype).reshape(layout.shape[1:])
        return write_png(read_given(samples.astype(layout.dtype.newbyteorder("=")), exact=True).raster)

    def files(self) -> Iterator[Path]:
        """See `Shelf`."""
        if not places.is_url(self._path):
            yield Path(self._path)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_file": None}

    def close(self) -> None:
        """See `Shelf`."""
        if self._file is not None:
            self._file.close()
            self._file = None
