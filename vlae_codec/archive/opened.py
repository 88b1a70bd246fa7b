"""An archive opened for reading: its frame is read once, and so is the head of each chunk.

Heads say which images a chunk holds, and the names of those that are loose pictures. They are kept as long as their names
are short altogether, since a few bytes may claim very many.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import BinaryIO

from vlae_codec import zoo
from vlae_codec.errors import FormatError
from vlae_codec.family import Coder
from vlae_codec.sets.manifest import ArrayForm

from . import frame
from .chunks import Stored, models
from .frame import Contents
from .heads import Head, Header, Identity, Place
from .pieces import Piece

_KEPT_BYTES = 1 << 26
_NAME_BYTES, _HEAD_BYTES, _NUMBERS_BYTES = 64, 512, 64  # that a name, a run, and the sizes of a picture take, about


class Opened:
    """An archive in a file that can be read here and there.

    Raises:
        FormatError: it is not an archive, or neither header nor index is whole.
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
    def _runs(self) -> tuple[list[int], list[Place]]:
        """Where each run of images begins, and which chunk holds it."""
        runs = sorted(
            ((run.start, place) for place in self.places for run in place.numbers.runs), key=lambda run: run[0]
        )
        return [start for start, _ in runs], [place for _, place in runs]

    def place_of(self, index: int) -> Place:
        """The chunk that holds image `index`, 0 up to the number of images."""
        starts, places = self._runs
        return places[bisect_right(starts, index) - 1]

    def coders(self, given: Coder | None, places: Sequence[Place] | None = None) -> Mapping[Identity, Coder]:
        """The models of the chunks at `places`, all of them unless told otherwise, by what names them.

        Raises:
            ModelError: one is not known here; `given` is looked at first.
        """
        named = self.models(places)
        return {identity: zoo.find(identity, given, version=self.header.version) for identity in named}

    def models(self, places: Sequence[Place] | None = None) -> set[Identity]:
        """What names the models of the chunks at `places`, all of them unless told otherwise, as far as heads are whole."""
        if self.header.version == 1:
            return models(self.header, [])
        heads = (self._whole_head(place) for place in (self.places if places is None else places))
        return models(self.header, [*filter(None, heads)])

    def _whole_head(self, place: Place) -> Head | None:
        try:
            return self.head(place)[0]
        except FormatError:
            return None

    def head(self, place: Place) -> tuple[Head, int]:
        """What the chunk at a place says of itself, and in how many bytes.

        Raises:
            FormatError: it is damaged.
        """
        if found := self._heads.get(place.offset):
            return found
        found = frame.read_head(self._file, self.header, place)
        head = found[0]
        cost = _HEAD_BYTES * (len(head.runs) + len(head.numbers.runs)) + _NAME_BYTES * len(head.names)
        cost += sum(map(len, head.names)) + _NUMBERS_BYTES * head.images * (head.apart is not None)
        if cost <= self._spare:
            self._heads[place.offset] = found
            self._spare -= cost
        return found

    def names(self, piece: Piece) -> Iterator[str | None]:
        """The name of each image of a piece; None where it is lost with its chunk's head."""
        loose = iter(self.loose_names(piece))
        for form, own in piece.numbers.parts(self.header.forms):
            yield from (form.name(row) if isinstance(form, ArrayForm) else next(loose, None) for row in own)

    def loose_names(self, piece: Piece) -> Sequence[str]:
        """The names of a piece's loose pictures; in a set without order they are numbered."""
        if self._is_numbered:
            return [self._numbered(number) for number in piece.numbers]
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
        at = place.numbers.position(number)
        if self._has_arrays:
            before = place.numbers.below(number).parts(forms)
            at = sum(len(own) for other, own in before if not isinstance(other, ArrayForm))
        return names[at] if at < len(names) else None

    @cached_property
    def _has_arrays(self) -> bool:
        return any(isinstance(form, ArrayForm) for form in self.header.forms)

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

    def unit(self, number: int) -> tuple[Place, int]:
        """The chunk that holds an image, and the first image of what is decoded for it: itself, if it stands apart."""
        place = self.place_of(number)
        return place, place.first if self.apart(place) is None else number

    def apart(self, place: Place) -> Piece | None:
        """What a chunk at a place says of its images if they stand apart, each to be read without the others."""
        head = self._whole_head(place)
        return Piece(head.numbers, head.names) if head is not None and head.is_divided else None

    def stored_alone(self, place: Place, number: int) -> Stored:
        """A picture of a chunk at a place, or the whole chunk if its pictures are coded together."""
        head = self._whole_head(place)
        if head is None or head.apart is None or head.apart.carried:
            return self.stored(place)
        index, (_, head_bytes) = head.numbers.position(number), self.head(place)
        spans = filter(None, (head.apart.span(index), head.apart.metadata_span(index)))
        payload = b"".join(frame.read_part(self._file, place, head_bytes, span) for span in spans)
        form = self.header.forms[self.header.forms.at(number)[0]]
        alone = head.alone(number, None if isinstance(form, ArrayForm) else self.name(number))
        return Stored(Place(place.offset, place.length, alone.numbers), alone, payload, None)

    def heads(self) -> Iterator[Piece]:
        """What each chunk says of its images: pieces without pictures, and with an error if the head is damaged."""
        for place in self.places:
            try:
                names, error = self.head(place)[0].names, None
            except FormatError as failure:
                names, error = (), str(failure)
            yield Piece(place.numbers, names, [], error)
