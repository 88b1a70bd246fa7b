"""Which model takes a picture: the kinds of model that may, what they know of it, and the ways to code it that are left.

    two colours     lossy: the models of drawings that know it compete by the bits they ask for; nobody knows it: exactly
                    exact: the model of drawings that asks for the fewest bits, and no model; if nobody knows it, also ink
    gray levels that are clearly a drawing, on a grid of fields: lossy, as two colours if a model knows it so
    two colours, for a quality: ink, which changes pixels on edges below 100; exactly no model, and a model of drawings
    all else        the photo model, and exactly no model

`see` is for one picture as it is read, `settle` for many at a time, since models judge them together. Of the ways that are
left the smallest file is kept (see `codec.smallest`), or what costs an archive least (see `archive.mixed`). What is exact
goes to the smallest of the families that code it: one that joins them is one more way in `_kept` or `_as_photo`. A model of
drawings that was asked for by name takes what it knows, and any picture if lossy files are insisted on, or if nothing is
known of it but its weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from . import registry, zoo
from .container2 import Header2, around_bytes
from .errors import ImageError, OptionError
from .family import Ask, Coder, Estimating, Judged, Judging, View
from .options import check_switches, wrong
from .picture.fields import SIDE, crossing, field_count
from .picture.metadata import Metadata
from .picture.raster import Kind
from .picture.reading import Readable, Reading
from .reason import Reason

_ALL_PIXELS = 100
"""The quality of pictures in two colours at which none changes."""
_MOST_FIELDS = 4096
"""Lossless drawings with more fields are pages, on which models of single drawings lose against any other codec."""
_FEW_FIELDS, _CROSSING = 9, 0.1
"""Drawings with more fields that are not all whole are pages, too, where ink goes on from field to field."""


@dataclass(frozen=True)
class Candidate:
    """One way to code a picture: `which` of the coders, what it is asked for, and the picture as it sees it.

    hoped_bits: what its file will hardly be below, as far as that was asked. known: whether the model knows the picture.
    why: why it is kept exactly, if that was not asked for. given: the name of the model that was asked for.
    """

    which: int
    ask: Ask
    view: View
    metadata: Metadata = Metadata()
    note: str | None = None
    hoped_bits: float | None = None
    known: bool | None = None
    why: Reason | None = None
    given: str = ""


@dataclass(frozen=True)
class Seen:
    """A picture that can be coded: as a drawing, if it may be one, or else the ways to code it; for a quality by both.

    lost: what a drawing is without. gray: whether it had more than two colours. reading: the picture as it is. kind:
    Pillow's name of its file's format; empty if there is none.
    """

    ways: tuple[Candidate, ...] = ()
    drawing: View | None = None
    lost: str | None = None
    gray: bool = False
    reading: Reading | None = None
    kind: str = ""

    @property
    def view(self) -> View:
        """The picture as one of its coders sees it."""
        return self.ways[0].view if self.drawing is None else self.drawing


@dataclass(frozen=True)
class Chooser:
    """Chooses among `coders` for what is asked; those that are texts are released models, loaded when they are needed.

    takers: those that drawings go to. judges: all drawings' models that are asked what a picture costs them. insist: lossy
    files are wanted, whoever knows the picture. keep: what of a picture's metadata a file keeps.
    """

    ask: Ask
    coders: tuple[Coder | str, ...]
    takers: tuple[int, ...]
    judges: tuple[int, ...] = ()
    given: bool = False
    insist: bool = False
    keep: Callable[[Metadata], Metadata] = field(default=Metadata.plain)

    def coder(self, which: int) -> Coder:
        """One of the coders, loaded."""
        found = self.coders[which]
        if which == _RAW:
            return zoo.without_model(2)
        return zoo.named(found) if isinstance(found, str) else found

    def see(self, source: Readable) -> Seen:
        """A picture as it can be coded.

        Raises:
            ImageError: it cannot be coded as asked.
        """
        if self.given and not self.takers:
            reading = self._reading(source)
            return Seen((self._whole(reading, _GIVEN),), kind=reading.kind)
        if self.given or (self.ask.threshold is not None and (self.ask.quality is None or self.insist)):
            return self._as_drawing(source)
        if not self._has_rate():
            try:
                seen = self._as_drawing(source)
            except ImageError:
                seen = Seen()
            if seen.drawing is not None and (not seen.gray or self._is_gray_drawing(seen)):
                return seen
        reading = self._reading(source)
        rated = self.ask.bpp is not None or self.ask.size_bytes is not None
        two = None if rated or self.insist else reading.raster.in_two()
        if two is None:
            return Seen(tuple(self._as_photo(reading)), kind=reading.kind)
        reading = replace(reading, raster=two)
        drawing = None if self.ask.quality is None else self._whole_drawing(reading)
        return Seen(tuple(self._as_page(reading)), drawing, reading=reading, kind=reading.kind)

    def see_fixed(self, source: Readable) -> Seen:
        """A picture in two levels of an array, whose other pictures say which level is the foreground.

        Raises:
            ImageError: the model that was asked for codes no such pictures.
        """
        if not self.takers:
            name = self.coder(_GIVEN).name
            raise ImageError(
                f"the model {name} takes pictures, not arrays of two levels: leave it out, and one is chosen"
            )
        raster, lost = source.drawing()
        ask = replace(self.ask, quality=None, bpp=None, size_bytes=None, fixed=True)
        view = self.coder(self.takers[0]).view(raster, ask)
        return Seen((), view, _joined(view.note, lost), reading=Reading(view.raster))

    def for_set(self, pictures: Sequence[Seen]) -> tuple[Chooser, bool]:
        """The same for a set of which these drawings speak: all go to the model that they cost the fewest bits, unjudged.

        And whether each of them is known by a model.
        """
        judged = self._judged([seen.drawing for seen in pictures if seen.drawing is not None])
        bits = {which: sum(one.bits for one in judged.get(which, ())) for which in self.takers}
        each = [{which: found[place] for which, found in judged.items()} for place in range(len(pictures))]
        known = all(any(self._knows(which, one) for which in self.takers) for one in each)
        return replace(self, takers=(min(self.takers, key=bits.__getitem__),), judges=()), known

    def settle(self, pictures: Sequence[Seen]) -> list[list[Candidate]]:
        """The ways to code each picture that are left: lossy ones first, and of exact ones a model of drawings."""
        pages = [self._is_page(seen) for seen in pictures]
        found = [self._of_page(seen) if page else [*seen.ways] for seen, page in zip(pictures, pages, strict=True)]
        drawings = [
            (index, seen) for index, seen in enumerate(pictures) if seen.drawing is not None and not pages[index]
        ]
        judged = self._judged([seen.drawing for _, seen in drawings if seen.drawing is not None])
        for place, (index, seen) in enumerate(drawings):
            found[index] = self._of_drawing(seen, {which: one[place] for which, one in judged.items()})
        return found

    def in_order(self, ways: Sequence[Candidate]) -> list[Candidate]:
        """The ways in the order in which they are to be tried: exact ones by what they may be hoped to take."""
        lossy, exact = ([way for way in ways if way.ask.lossless == wanted] for wanted in (False, True))
        if len(exact) > 1:
            exact = sorted(self._hoped(exact), key=lambda way: math.inf if way.hoped_bits is None else way.hoped_bits)
        return [*lossy, *exact]

    def _hoped(self, exact: Sequence[Candidate]) -> list[Candidate]:
        """Exact ways with what they may be hoped to take; no model is not asked yet if another way is tried anyhow."""
        models = [replace(way, hoped_bits=self.hoped_bits(way)) for way in exact if way.which != _RAW]
        rest = [way for way in exact if way.which == _RAW]
        if any((way.hoped_bits or 0.0) <= _UNKNOWN_BITS for way in models):
            return [*models, *rest]
        return [*models, *(replace(way, hoped_bits=self.hoped_bits(way)) for way in rest)]

    def hoped_bits(self, way: Candidate, enough_bits: float = math.inf) -> float:
        """What the file of an exact way will hardly be below; roughly, if that is more than enough."""
        coder = self.coder(way.which)
        if way.hoped_bits is not None or not (way.ask.lossless and isinstance(coder, Estimating)):
            return way.hoped_bits or 0.0
        return coder.hoped_bits(way.view, enough_bits)

    def is_small_enough(self, way: Candidate, size: int) -> bool:
        """Whether a file of so many bytes is no larger than asked: of an exact one nothing else sees to it."""
        if not way.ask.lossless or self.ask.lossless:
            return True
        height, width = way.view.raster.samples.shape[:2]
        most = self.ask.size_bytes if self.ask.bpp is None else self.ask.bpp * height * width / 8
        return most is None or size <= most

    def _reading(self, source: Readable) -> Reading:
        return source.picture() if self.ask.threshold is None else _binarised(source, self.ask.threshold)

    def _has_rate(self) -> bool:
        return any(goal is not None for goal in (self.ask.quality, self.ask.bpp, self.ask.size_bytes))

    @property
    def _asks_all(self) -> bool:
        """Whether all pixels of a picture in two colours are asked for."""
        return self.ask.lossless or self.ask.quality == _ALL_PIXELS

    @property
    def _exactly(self) -> Ask:
        return replace(self.ask, lossless=True, quality=None, bpp=None, size_bytes=None)

    # Drawings

    def _as_drawing(self, source: Readable) -> Seen:
        raster, lost = source.drawing()
        view = self.coder(self.takers[0]).view(raster, self.ask)
        reading = source.picture() if self.ask.threshold is None else Reading(view.raster)
        gray = view.note is not None and self.ask.threshold is None and not self.given
        return Seen((), view, _joined(view.note, lost), gray, reading, reading.kind)

    def _whole_drawing(self, reading: Reading) -> View | None:
        """A picture in two colours as models of drawings see it; None if their exact files would not keep all of it."""
        raster = reading.raster
        more = reading.notes or self.keep(reading.metadata) != Metadata()
        if more or field_count(raster.geometry.height, raster.geometry.width) > _MOST_FIELDS:
            return None
        try:
            view = self.coder(self.takers[0]).view(raster, self._exactly)
        except ImageError:
            return None
        seen, given = view.raster.colours(), raster.colours()
        return view if seen.dtype == given.dtype and np.array_equal(seen, given) else None

    def _is_gray_drawing(self, seen: Seen) -> bool:
        """Whether a picture that was binarised may be of fields that models know."""
        assert seen.reading is not None
        form, (height, width) = seen.reading.raster.format, seen.reading.raster.samples.shape[:2]
        return not (self.ask.lossless or form.kind != Kind.GRAY or form.alpha or height % SIDE or width % SIDE)

    def _judged(self, views: Sequence[View]) -> dict[int, list[Judged]]:
        """What drawings cost each model that is asked."""
        coders = {which: self.coder(which) for which in self.judges} if views else {}
        return {which: coder.judge(views) for which, coder in coders.items() if isinstance(coder, Judging)}

    def _of_drawing(self, seen: Seen, judged: dict[int, Judged]) -> list[Candidate]:
        """The ways to code a drawing, given what it costs each model that was asked."""
        assert seen.drawing is not None
        best = min(self.takers, key=lambda which: judged[which].bits if which in judged else 0.0)
        if seen.ways:
            return [*seen.ways, *self._own_if_whole(seen, best, judged, self._exactly)]
        if self.ask.lossless:
            return self._kept(seen, best, judged, self.ask)
        known = [which for which in self.takers if self._knows(which, judged)]
        if not (known or self.insist):
            return self._unlike(seen, best, judged)
        best = best if self.insist else min(known, key=lambda which: judged[which].bits if which in judged else 0.0)
        note, known_to_it = self._note(seen), best in known if judged else None
        way = Candidate(best, self.ask, seen.drawing, note=note, known=known_to_it)
        if self.insist:
            return [way]
        if seen.gray and seen.reading is not None:
            return [way, self._whole(seen.reading, _RAW, self._exactly)]
        return [way, *self._kept(seen, best, judged, self._exactly)]

    def _note(self, seen: Seen) -> str | None:
        """What a file of a drawing is without, of its pixels and of the metadata that were to be kept."""
        told = self.keep(seen.reading.metadata) if seen.reading is not None else Metadata()
        kinds = {
            "colour profile": told.icc or told.cicp,
            "gamma": told.gamma,
            "resolution": told.resolution,
            "EXIF": told.exif,
            "XMP": told.xmp,
        }
        what = ", ".join(name for name, data in kinds.items() if data)
        return _joined(seen.lost, f"without its {what}: files of single drawings keep none" if what else None)

    def _is_page(self, seen: Seen) -> bool:
        """Whether a drawing is for no model of drawings, so that none has to be loaded and asked.

        Its fields are not all whole, so that none knows it; and they are too many, or what is drawn lies anyhow across them.
        """
        if seen.drawing is None or not self.judges or self.insist:
            return False
        bits = seen.drawing.raster.two_levels()
        fields = field_count(*bits.shape)
        if fields <= _FEW_FIELDS or not any(side % SIDE for side in bits.shape):
            return False
        return fields > _MOST_FIELDS or min(crossing(bits), crossing(1 - bits)) > _CROSSING

    def _of_page(self, seen: Seen) -> list[Candidate]:
        """The ways to code such a drawing."""
        if seen.ways:
            return [*seen.ways]
        asked = self.ask.lossless
        return self._kept(seen, self.takers[0], {}, self.ask) if asked else self._unlike(seen, self.takers[0], {})

    def _knows(self, which: int, judged: dict[int, Judged]) -> bool:
        coder = self.coder(which)
        if which not in judged or not isinstance(coder, Judging):
            return True
        subject = self._subject(which)
        return coder.knows(judged[which], [one for other, one in judged.items() if self._subject(other) != subject])

    def _subject(self, which: int) -> object:
        return registry.about(self.coder(which).digest).get("subject")

    def _unlike(self, seen: Seen, best: int, judged: dict[int, Judged]) -> list[Candidate]:
        """The ways to code a drawing that is unlike what lossy models were trained on."""
        if seen.gray and seen.reading is not None:
            return self._as_photo(seen.reading)
        why, given = (Reason.UNLIKE_GIVEN, self.coder(best).name) if self.given else (Reason.UNLIKE, "")
        kept = self._kept(seen, best, judged, self._exactly)
        return [replace(way, why=why, given=given) for way in kept]

    def _kept(self, seen: Seen, best: int, judged: dict[int, Judged], ask: Ask) -> list[Candidate]:
        """The ways to keep a drawing exactly; if a model is given and knows all, only that."""
        assert seen.reading is not None
        if self.given and self.ask.lossless:
            return [self._own(seen, best, ask)]
        two = seen.reading.raster.in_two()
        reading = seen.reading if two is None else replace(seen.reading, raster=two)
        exact = [self._whole(reading, _RAW, ask)]
        if two is not None and not any(which in judged and self._knows(which, judged) for which in self.takers):
            height, width = two.samples.shape[:2]
            hoped_bits = _DEAR_BITS if not judged and height == width == SIDE else None
            exact.insert(0, replace(self._whole(reading, _INK, ask), hoped_bits=hoped_bits))
        return [*self._own_if_whole(seen, best, judged, ask), *exact]

    def _own_if_whole(self, seen: Seen, best: int, judged: dict[int, Judged], ask: Ask) -> list[Candidate]:
        """The way to keep it by a model of drawings, if that is all of it, and it is no page."""
        assert seen.drawing is not None
        lossy = seen.lost is not None and self.ask.threshold is None
        if lossy or field_count(*seen.drawing.raster.samples.shape[:2]) > _MOST_FIELDS or self._is_page(seen):
            return []
        hoped_bits = _HOPED * judged[best].bits if best in judged else 0.0
        return [replace(self._own(seen, best, ask), hoped_bits=hoped_bits)]

    def _own(self, seen: Seen, best: int, ask: Ask) -> Candidate:
        """The way to keep a drawing exactly by a model of drawings."""
        assert seen.drawing is not None
        why = None if self._asks_all else Reason.NO_LARGER
        return Candidate(best, ask, seen.drawing, note=self._note(seen), why=why)

    # All other pictures

    def _as_page(self, reading: Reading) -> list[Candidate]:
        """The ways to code a picture, read as two colours, for a quality, or too large for the models of single drawings."""
        if self.ask.quality is not None and not self._asks_all:
            return [self._whole(reading, _INK), self._whole(reading, _RAW, self._exactly)]
        why = None if self._asks_all or reading.notes else Reason.UNLIKE
        return [replace(self._whole(reading, which, self._exactly), why=why) for which in (_INK, _RAW)]

    def _as_photo(self, reading: Reading) -> list[Candidate]:
        """The ways to code a picture that is not a drawing.

        Raises:
            ImageError: there are none.
        """
        try:
            found = [self._whole(reading, _PHOTO)]
        except ImageError:
            if not self.ask.lossless:
                raise
            found = []
        if not self.insist:
            found.append(self._whole(reading, _RAW, self._exactly))
        return found

    def _whole(self, reading: Reading, which: int, ask: Ask | None = None) -> Candidate:
        ask, kept, coder = ask or self.ask, self.keep(reading.metadata), self.coder(which)
        view = coder.view(reading.raster, ask)
        if ask.size_bytes is not None or ask.bpp is not None:
            header = Header2(registry.identity_of(coder.digest), view.raster.geometry)
            ask = replace(ask, around_bytes=around_bytes(header, kept, ask.size_bytes or view.raster.samples.size))
        unasked = ask.lossless and not self.ask.lossless
        why = Reason.NO_LARGER if unasked and not reading.notes else None  # what was converted is not called exact
        return Candidate(which, ask, view, kept, _joined(view.note, *reading.notes), why=why)


_RAW, _PHOTO, _INK, _GIVEN = range(4)
_HOPED = 0.9  # of what a drawing is judged to take
_UNKNOWN_BITS = 1.0  # what is hoped for where nothing is known
_DEAR_BITS = 200.0  # a single field that costs a model of drawings less is most likely known to it


def chooser(
    ask: Ask,
    model: Coder | str | None = None,
    keep: Callable[[Metadata], Metadata] = Metadata.plain,
    insist: bool = False,
) -> Chooser:
    """What chooses for that: `model` is one that was loaded, the name of a released one, or a folder; None or "auto" is all.

    Raises:
        ModelError: there is no such model.
        OptionError: lossless files and lossy ones are both wanted, or an option is of another type.
    """
    check_switches(lossy=insist)
    if insist and ask.lossless:
        raise OptionError("a file is lossless or lossy, not both")
    zoo.check_given(model)
    if not callable(keep):
        raise wrong("keep", "a function of vlae_codec.Metadata, such as Metadata.all", keep)
    first: tuple[Coder | str, ...] = "", zoo.PHOTO, zoo.INK
    if model is None or model == zoo.AUTO:
        takers = tuple(range(len(first), len(first) + len(zoo.drawers())))
        return Chooser(ask, (*first, *zoo.drawers()), takers, takers, insist=insist, keep=keep)
    coder = zoo.given(model)
    if coder.version != 1:
        return Chooser(ask, (*first, coder), (), given=True, insist=insist, keep=keep)
    if ask.lossless or registry.knowing(coder.digest) is None:
        return Chooser(ask, (*first, coder), (_GIVEN,), given=True, insist=True, keep=keep)
    coders = *first, coder, *(name for name in zoo.drawers() if name != coder.name)
    return Chooser(ask, coders, (_GIVEN,), tuple(range(_GIVEN, len(coders))), True, insist, keep)


def _binarised(source: Readable, threshold: int) -> Reading:
    """A picture in two levels, for which a threshold was given."""
    raster, lost = source.two_levels(threshold)
    return Reading(raster, notes=tuple(filter(None, [lost])), kind=source.picture().kind)


def _joined(*notes: str | None) -> str | None:
    return "; ".join(filter(None, notes)) or None
