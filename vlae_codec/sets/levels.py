"""Gray and coloured pictures of an array, (N, H, W) or (N, H, W, C): each on its own, as a PNG file.

An array of two values is coded as one, and comes back as it came (see `arrays`); of any other its pictures do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from vlae_codec import places
from vlae_codec.errors import ImageError
from vlae_codec.files import reading, safe_name
from vlae_codec.picture.png import write_png
from vlae_codec.picture.reading import read_given

from .arrays import Pictures
from .shelves import Item, Shelf


class Levels(Shelf[int]):
    """The pictures of an array, as PNG files in a folder of its name."""

    def __init__(self, pictures: Pictures, notes: list[str]) -> None:
        """Raises ImageError if its name cannot be that of a folder."""
        self._pictures = pictures
        self._file: IO[bytes] | None = None
        count, stem, title = pictures.layout.shape[0], safe_name(pictures.folder), pictures.layout.title
        digits = len(str(count - 1))
        self.items = [Item(f"{stem}/{row:0{digits}}.png", f"{title}, picture {row}", row) for row in range(count)]
        notes.append(
            f"{title} has more than two values: its pictures come back as PNG files, {self.items[0].name} and so on"
        )

    def read(self, index: int) -> bytes:
        """See `Shelf`."""
        layout, row = self._pictures.layout, self.items[index].key
        with reading(layout.title):
            if self._file is None:
                self._file = layout.open()
            self._file.seek(layout.offset + row * layout.image_bytes)
            data = self._file.read(layout.image_bytes)
        if len(data) < layout.image_bytes:
            raise ImageError(f"{layout.title} ends early: it claims {layout.shape[0]} images")
        samples = np.frombuffer(data, layout.dtype).reshape(layout.shape[1:])
        return write_png(read_given(samples.astype(layout.dtype.newbyteorder("=")), exact=True).raster)

    def files(self) -> Iterator[Path]:
        """See `Shelf`."""
        if not places.is_url(self._pictures.path):
            yield Path(self._pictures.path)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_file": None}

    def close(self) -> None:
        """See `Shelf`."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._pictures.close()
