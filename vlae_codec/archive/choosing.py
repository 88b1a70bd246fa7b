"""Which model takes a picture of an archive: those that may, each with the picture as it sees it. The smallest file is kept.

    two colours                             the default model of drawings; for lossless files also no model at all
    gray levels that are clearly a drawing  on a grid of fields, and lossy: the default model of drawings, binarised
    everything else                         the photo model; what no model keeps exactly, or is flat, also no model at all

A model that was asked for takes every picture, or says why it cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from vlae_codec import zoo
from vlae_codec.codec import Encoded, encoded_of
from vlae_codec.errors import ImageError, Progress
from vlae_codec.family import Ask, Coder, Sections, View
from vlae_codec.picture.fields import SIDE, field_count
from vlae_codec.picture.metadata import Metadata, write_metadata
from vlae_codec.picture.raster import Kind, Raster
from vlae_codec.picture.reading import Readable, Reading

_FLAT = 0.4
"""A picture is flat if this share of its pixels is as the one on the left: screenshots, charts, pixel art."""
_METADATA_BYTES = 4
"""What a file takes for metadata beside themselves: their check."""
_MOST_FIELDS = 4096
"""Lossless drawings with more fields are pages, on which models of single drawings lose against any other codec."""


@dataclass(frozen=True)
class Candidate:
    """One way to code a picture: `which` of the coders, what it is asked for, and the picture as it sees it."""

    which: int
    ask: Ask
    view: View
    metadata: Metadata
    note: str | None


@dataclass(frozen=True)
class Chooser:
    """Chooses among `coders` for what is asked. given: the one model that was asked for.

    keep: what of a picture's metadata a file keeps.
    """

    ask: Ask
    given: bool
    coders: tuple[Coder, ...]
    keep: Callable[[Metadata], Metadata] = field(default=Metadata.plain)

    def candidates(self, source: Readable) -> list[Candidate]:
        """The ways to code a picture, at least one.

        Raises:
            ImageError: it cannot be coded as asked.
        """
        if self._draws_only():
            return [self.drawing(source)]
        if self.given:
            return [self._whole(source.picture(), 0)]
        found = [] if self._has_rate() else self._as_drawing(source)
        if found and not self.ask.lossless:
            return found
        reading = source.picture()
        return [*found, self._whole(reading, _RAW, self._exactly())] if found else self._as_picture(reading)

    def takes_as_drawing(self, source: Readable) -> bool:
        """Whether a model of drawings is the first to take it.

        Raises:
            ImageError: it cannot be coded as asked.
        """
        if self._draws_only():
            return bool(self.drawing(source))
        if not (self.given or self._has_rate()) and self._as_drawing(source):
            return True
        self.candidates(source)
        return False

    def drawing(self, source: Readable, fixed: bool = False) -> Candidate:
        """The picture for the model of drawings, which takes it whatever rate is asked for; `fixed` as of `family.Ask`.

        Raises:
            ImageError: it is not in two levels, or the model that was asked for knows no drawings.
        """
        coder = self.coders[_DRAWING]
        if coder.version != 1:
            raise ImageError(f"the model {coder.name} codes no drawings of two levels")
        ask = replace(self.ask, quality=None, bpp=None, size_bytes=None, fixed=fixed) if fixed else self.ask
        raster, lost = source.drawing()
        view = coder.view(raster, ask)
        return Candidate(_DRAWING, ask, view, Metadata(), _joined(view.note, lost))

    def _draws_only(self) -> bool:
        """Whether the model of drawings takes every picture."""
        if self.given:
            return self.coders[_DRAWING].version == 1
        return self.ask.threshold is not None or not self._has(_PHOTO)

    def _exactly(self) -> Ask:
        return replace(self.ask, lossless=True, quality=None, bpp=None, size_bytes=None)

    def _as_picture(self, reading: Reading) -> list[Candidate]:
        """The ways to code a picture that is no drawing.

        Raises:
            ImageError: there are none.
        """
        found, refused = list[Candidate](), None
        try:
            found = [self._whole(reading, _PHOTO)]
        except ImageError as error:
            refused = error
        if (refused and self.ask.lossless) or (found and not self._has_rate() and _is_flat(reading.raster)):
            found.append(self._whole(reading, _RAW, self._exactly()))
        if not found and refused:
            raise refused
        return found

    def _has(self, which: int) -> bool:
        return which < len(self.coders)

    def _has_rate(self) -> bool:
        return any(goal is not None for goal in (self.ask.quality, self.ask.bpp, self.ask.size_bytes))

    def _as_drawing(self, source: Readable) -> list[Candidate]:
        """The picture as the default model of drawings sees it, if it is one for it."""
        try:
            raster, lost = source.drawing()
            view = self.coders[_DRAWING].view(raster, self.ask)
        except ImageError:
            return []
        height, width = raster.samples.shape[:2]
        binarised = view.note is not None
        if binarised and (raster.format.kind != Kind.GRAY or raster.format.alpha or height % SIDE or width % SIDE):
            return []
        if self.ask.lossless and field_count(height, width) > _MOST_FIELDS:
            return []
        return [Candidate(_DRAWING, self.ask, view, Metadata(), _joined(view.note, lost))]

    def _whole(self, reading: Reading, which: int, ask: Ask | None = None) -> Candidate:
        ask, kept = ask or self.ask, self.keep(reading.metadata)
        if ask.size_bytes is not None and (said := write_metadata(kept)):
            ask = replace(ask, size_bytes=max(1, ask.size_bytes - len(said) - _METADATA_BYTES))
        view = self.coders[which].view(reading.raster, ask)
        return Candidate(which, ask, view, kept, _joined(view.note, *reading.notes))


_DRAWING, _RAW, _PHOTO = range(3)


def chooser(ask: Ask, model: Coder | str | None, keep: Callable[[Metadata], Metadata] = Metadata.plain) -> Chooser:
    """What chooses for that: `model` is one that was loaded, the name of a released one, or a folder; None is all of them.

    Raises:
        ModelError: there is no such model.
    """
    if model is not None:
        return Chooser(ask, True, (zoo.named(model) if isinstance(model, str) else model,), keep)
    coders = zoo.load_default(), zoo.without_model(2)
    photo = (zoo.named(zoo.PHOTO),) if zoo.PHOTO in zoo.released_names() else ()
    return Chooser(ask, False, (*coders, *photo), keep)


def _is_flat(raster: Raster) -> bool:
    samples = raster.samples
    if samples.shape[1] < 2:
        return True
    return float((samples[:, 1:] == samples[:, :-1]).all(axis=2).mean(dtype=np.float64)) > _FLAT


def _joined(*notes: str | None) -> str | None:
    return "; ".join(filter(None, notes)) or None


@dataclass(frozen=True)
class Made:
    """One way to code a picture, and what came of it."""

    candidate: Candidate
    sections: Sections
    encoded: Encoded


def best(choice: Chooser, pictures: Sequence[Sequence[Candidate]], progress: Progress | None = None) -> list[Made]:
    """Of each picture the smallest file that one of its candidates makes, the first of equals."""
    groups: dict[tuple[int, Ask], list[tuple[int, Candidate]]] = {}
    for index, candidates in enumerate(pictures):
        for candidate in candidates:
            groups.setdefault((candidate.which, candidate.ask), []).append((index, candidate))
    found: dict[int, Made] = {}
    for (which, ask), members in groups.items():
        model = choice.coders[which]
        coded = model.encode([candidate.view for _, candidate in members], ask, progress)
        for (index, candidate), sections in zip(members, coded, strict=True):
            encoded = encoded_of(candidate.view, sections, model, candidate.metadata)
            kept = None if choice.ask.lossless or not ask.lossless else "kept exactly, since that is no larger"
            note = "; ".join(filter(None, (candidate.note, kept))) or None
            made = Made(candidate, sections, replace(encoded, ledger=replace(encoded.ledger, note=note)))
            most = len(found[index].encoded.data) + (kept is not None) if index in found else None
            if most is None or len(encoded.data) < most:
                found[index] = made
    return [found[index] for index in range(len(pictures))]
