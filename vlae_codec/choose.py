"""Which model takes a picture: those that may, each with the picture as it sees it. The smallest file is kept.

    two colours                             the default model of drawings; for lossless files also no model at all
    gray levels that are clearly a drawing  on a grid of fields, and lossy: the default model of drawings, binarised
    everything else                         the photo model; what no model keeps exactly, or is flat, also no model at all

A model that was asked for takes every picture, or says why it cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from . import zoo
from .errors import ImageError
from .family import Ask, Coder, View
from .picture.fields import SIDE, field_count
from .picture.metadata import Metadata, write_metadata
from .picture.raster import Kind, Raster
from .picture.reading import Reading

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
class Source:
    """A picture that is to be read: as drawings are read, with what was lost; and as it is."""

    drawing: Callable[[], tuple[Raster, str | None]]
    picture: Callable[[], Reading]


@dataclass(frozen=True)
class Chooser:
    """Chooses among `coders` for what is asked. given: the one model that was asked for.

    keep: what of a picture's metadata a file keeps.
    """

    ask: Ask
    given: bool
    coders: tuple[Coder, ...]
    keep: Callable[[Metadata], Metadata] = field(default=Metadata.plain)

    def candidates(self, source: Source) -> list[Candidate]:
        """The ways to code a picture, at least one.

        Raises:
            ImageError: it cannot be coded as asked.
        """
        if self.given:
            return [self._drawing(source, 0) if self.coders[0].version == 1 else self._whole(source.picture(), 0)]
        if self.ask.threshold is not None or not self._has(_PHOTO):
            return [self._drawing(source, _DRAWING)]
        found = [] if self._has_rate() else self._as_drawing(source)
        if found and not self.ask.lossless:
            return found
        reading = source.picture()
        lossless = replace(self.ask, lossless=True, quality=None, bpp=None, size_bytes=None)
        if found:
            return [*found, self._whole(reading, _RAW, lossless)]
        refused = None
        try:
            found = [self._whole(reading, _PHOTO)]
        except ImageError as error:
            refused = error
        if (refused and self.ask.lossless) or (found and not self._has_rate() and _is_flat(reading.raster)):
            found.append(self._whole(reading, _RAW, lossless))
        if not found and refused:
            raise refused
        return found

    def _has(self, which: int) -> bool:
        return which < len(self.coders)

    def _has_rate(self) -> bool:
        return any(goal is not None for goal in (self.ask.quality, self.ask.bpp, self.ask.size_bytes))

    def _drawing(self, source: Source, which: int) -> Candidate:
        raster, lost = source.drawing()
        view = self.coders[which].view(raster, self.ask)
        return Candidate(which, self.ask, view, Metadata(), _joined(view.note, lost))

    def _as_drawing(self, source: Source) -> list[Candidate]:
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
