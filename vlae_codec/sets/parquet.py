"""Pictures in a column of a Parquet file, read by pyarrow: files as bytes, or structures of `bytes` and `path`.

The column is the one there is of that kind, or the one that is named: FILE.parquet:COLUMN. A picture is named by its path,
if that is a picture's name and no other row has it, else by its row: FILE/000017.png.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from vlae_codec import places
from vlae_codec.errors import ImageError
from vlae_codec.files import reading

from .shelves import Item, Shelf, is_picture

SUFFIX = ".parquet"


class Row(NamedTuple):
    """Where a picture lies: a group of rows, and the row in it."""

    group: int
    row: int


class Parquet(Shelf[Row]):
    """The pictures of a Parquet file, in its order; one group of rows is in memory at a time."""

    def __init__(self, path: str, column: str | None) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._opened: Any = None
        self._held: tuple[int, Sequence[Any]] | None = None
        with reading(path):
            try:
                file = self._parquet()
                self._column, self._is_structure = _column(path, file.schema_arrow, column)
                self.items = [*self._listed(file)]
            finally:
                self.close()
        if not self.items:
            raise ImageError(f"no images in {path}")

    def read(self, index: int) -> bytes:
        """See `Shelf`."""
        item = self.items[index]
        if self._held is None or self._held[0] != item.key.group:
            wanted = f"{self._column}.bytes" if self._is_structure else self._column
            table = self._parquet().read_row_group(item.key.group, columns=[wanted])
            self._held = item.key.group, table.column(0)
        found = self._held[1][item.key.row].as_py()
        data = found.get("bytes") if isinstance(found, dict) else found
        if not data:
            raise ImageError(f"{item.title} has no picture in it")
        return bytes(data)

    def files(self) -> Iterator[Path]:
        """See `Shelf`."""
        if not places.is_url(self._path):
            yield Path(self._path)

    def close(self) -> None:
        """See `Shelf`."""
        if self._file is not None:
            self._file.close()
        self._file = self._opened = self._held = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_opened": None, "_held": None}

    def _parquet(self) -> Any:
        """pyarrow's file, opened if it is not."""
        if self._opened is None:
            self._file = places.open_read(self._path)
            self._opened = _pyarrow(self._path).ParquetFile(self._file)
        return self._opened

    def _listed(self, file: Any) -> Iterator[Item[Row]]:
        """All rows, by name."""
        stem, named = os.path.splitext(places.name(self._path))[0], self._paths(file)
        often, width = Counter(named), len(str(max(0, file.metadata.num_rows - 1)))
        number = 0
        for group in range(file.num_row_groups):
            for row in range(file.metadata.row_group(group).num_rows):
                path = named[number] if named else ""
                own = is_picture(path) and often[path] == 1
                name = f"{stem}/{path if own else f'{number:0{width}}.png'}"
                yield Item(name, f"{self._path}:{number}", Row(group, row))
                number += 1

    def _paths(self, file: Any) -> list[str]:
        """What structures say of the names of pictures; empty where they say nothing."""
        if not self._is_structure or "path" not in {one.name for one in file.schema_arrow.field(self._column).type}:
            return []
        found = file.read(columns=[f"{self._column}.path"]).column(0).to_pylist()
        return [os.path.basename((one or {}).get("path") or "") for one in found]


def _column(path: str, schema: Any, wanted: str | None) -> tuple[str, bool]:
    """The column of pictures, and whether each is a structure.

    Raises:
        ImageError: there is none, or there are several and none is named.
    """
    found = {field.name: kind for field in schema if (kind := _kind(field.type)) is not None}
    if not found:
        raise ImageError(f"{path} has no column of pictures: one of bytes, or of structures with bytes")
    column = next(iter(found)) if wanted is None and len(found) == 1 else wanted
    if column is None or column not in found:
        raise ImageError(f"{path} has pictures in {', '.join(found)}: name one, such as {path}:{next(iter(found))}")
    return column, found[column]


def _kind(kind: Any) -> bool | None:
    """True for a structure with bytes, False for bytes, None for another type."""
    text = str(kind)
    if text in ("binary", "large_binary", "binary_view"):
        return False
    is_structure = text.startswith("struct<") and any(one.name == "bytes" and _kind(one.type) is False for one in kind)
    return True if is_structure else None


def _pyarrow(path: str) -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImageError(f"{path} is a Parquet file, which needs pyarrow: pip install pyarrow") from error
    return pyarrow.parquet
