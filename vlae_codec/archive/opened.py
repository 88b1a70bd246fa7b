"""An archive opened for reading: its frame is read once, and so is the head of each chunk.

Heads say which images a chunk holds, and the names of those that are loose pictures. They are kept as long as their names
are short altogether, since a few bytes may claim very many.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import BinaryIO

from vlae_codec.errors import FormatError
from vlae_codec.sets.manifest import ArrayForm

from . import frame
from .chunks import Piece, Stored
from .frame import Contents, Head, Header, Place

_KEPT_BYTES = 1 << 26
_NAME_BYTES, _HEAD_BYTES = 64, 512  # that a name and a head take besides their letters, about


class Opened:
    """An archive in a file that can be read here and there.

    Raises:
        FormatError: it is no archive, or neither header nor index is whole.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.contents: Contents = frame.read_contents(file)
        self._file = file
        self._heads, self._spare = dict[int, tuple[Head, int]](), _KEPT_BYTES

    @property
    def header(self) -> Header:
        """What all chunks share."""
        return self.contents.header

    @property
    def places(self) -> tuple[Place, ...]:
        """Where the chunks are, in the order of their images; they cover all images."""
        return self.contents.places

    @property
    def damages(self) -> tuple[str, ...]:
        """What of the frame is damaged, a line each."""
        return self.contents.damages

    @property
    def bytes(self) -> int:
        """The length of the file."""
        return self._file.seek(0, 2)

    @cached_property
    def _firsts(self) -> list[int]:
        return [place.first for place in self.places]

    def place_of(self, index: int) -> Place:
        """The chunk that holds image `index`, 0 up to the number of images."""
        return self.places[bisect_right(self._firsts, index) - 1]

    def head(self, place: Place) -> tuple[Head, int]:
        """What the chunk at a place says of itself, and in how many bytes.

        Raises:
            FormatError: it is damaged.
        """
        if found := self._heads.get(place.offset):
            return found
        found = frame.read_head(self._file, place)
        cost = _HEAD_BYTES * len(found[0].runs) + sum(len(name) + _NAME_BYTES for name in found[0].names)
        if cost <= self._spare:
            self._heads[place.offset] = found
            self._spare -= cost
        return found

    def names(self, piece: Piece) -> Iterator[str | None]:
        """The name of each image of a piece; None where it is lost with its chunk's head."""
        return self.header.forms.names(piece.first, piece.images, self.loose_names(piece))

    def loose_names(self, piece: Piece) -> Sequence[str]:
        """The names of a piece's loose pictures; in a set without order they are numbered."""
        if self._is_numbered:
            return [self._numbered(number) for number in range(piece.first, piece.first + piece.images)]
        return piece.names

    def name(self, number: int) -> str | None:
        """The name of image `number`; None if it is lost with its chunk's head."""
        forms = self.header.forms
        source, row = forms.at(number)
        form = forms[source]
        if isinstance(form, ArrayForm):
            return form.name(row)
        if self._is_numbered:
            return self._numbered(number)
        place = self.place_of(number)
        try:
            names = self.head(place)[0].names
        except FormatError:
            return None
        before = forms.parts(place.first, number - place.first)
        at = sum(len(own) for other, own in before if not isinstance(other, ArrayForm))
        return names[at] if at < len(names) else None

    @property
    def _is_numbered(self) -> bool:
        return not self.header.ordered and not isinstance(self.header.forms[0], ArrayForm)

    def _numbered(self, number: int) -> str:
        return f"{number:0{len(str(self.header.forms.images - 1))}}.png"

    def stored(self, place: Place) -> Stored:
        """The chunk at a place, or why it cannot be read."""
        head = None
        try:
            head, head_bytes = self.head(place)
            return Stored(place, head, frame.read_payload(self._file, place, head_bytes, head), None)
        except FormatError as error:
            return Stored(place, head, b"", str(error))

    def heads(self) -> Iterator[Piece]:
        """What each chunk says of its images: pieces without drawings, and with an error if the head is damaged."""
        for place in self.places:
            try:
                names, error = self.head(place)[0].names, None
            except FormatError as failure:
                names, error = (), str(failure)
            yield Piece(place.first, place.images, names, [], error)
