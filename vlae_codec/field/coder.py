"""The field family behind the seam: an integer VLAE that codes two-level pictures, one by one or in chains.

What only encodes, judges or chains is imported where that is done, so that reading a file starts sooner.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vlae_codec import registry
from vlae_codec.errors import ImageError, Progress
from vlae_codec.family import (
    Arrays,
    Ask,
    Chain,
    Chaining,
    Decoded,
    Done,
    Identity,
    Judged,
    Parsed,
    Sampling,
    Sections,
    Terms,
    View,
)
from vlae_codec.picture.drawing import Drawing, drawing_of, raster_of
from vlae_codec.picture.fields import cut_fields, field_count
from vlae_codec.picture.raster import Geometry, Raster

from .decode import decode
from .file import File, parse, write
from .memory import Memory
from .model import Model


@dataclass(frozen=True)
class FieldView:
    """A drawing. Unless `fixed`, the model may exchange paper and ink."""

    drawing: Drawing
    fixed: bool

    @property
    def raster(self) -> Raster:
        """See `family.View`."""
        return raster_of(self.drawing)

    @property
    def note(self) -> str | None:
        """See `family.View`."""
        return self.drawing.note


@dataclass(frozen=True)
class FieldCoder(Model):
    """An integer VLAE as `family.Coder` and `family.Chained`: see there."""

    @property
    def family(self) -> str:
        """See `family.Coder`."""
        return FAMILY.name

    @property
    def version(self) -> int:
        """See `family.Coder`."""
        return 1

    def view(self, raster: Raster, ask: Ask) -> FieldView:
        """The picture's two levels.

        Raises:
            ImageError: it has more, or a rate is asked for that this family cannot choose.
        """
        if ask.quality is not None or ask.bpp is not None or ask.size_bytes is not None:
            raise ImageError("models of two-level drawings have one lossy quality: ask for lossless, or for nothing")
        return FieldView(drawing_of(raster, ask.threshold, exact=ask.lossless), ask.fixed)

    def least_bits(self, geometry: Geometry) -> int:
        """A bit a field: no code is shorter."""
        return field_count(geometry.height, geometry.width)

    def encode(self, views: Sequence[View], ask: Ask, progress: Progress | None = None) -> list[Sections]:
        """Files of version 1, all in one batch."""
        if not views:
            return []
        drawings = self._drawings(views)
        fields, inside, index = cut_fields([drawing.bits for drawing in drawings])
        from .search import Search

        search = Search(self, ask.effort, lossy=not ask.lossless)
        choices = search.choices(fields, inside, index, progress)
        files, at = [], 0
        for drawing in drawings:
            own = slice(at, at := at + field_count(*drawing.bits.shape))
            files.append(write(self, search.prefix, drawing, fields[own], inside[own], choices[own], ask.lossless))
        return files

    def parse(self, geometry: Geometry, data: bytes, at: int, partial: bool = False) -> File:
        """See `family.Coder`; the header of version 1 is read again, since its checks cover it."""
        return parse(self, data, partial)

    def decode(
        self, files: Sequence[Parsed], samplings: Sequence[Sampling], progress: Progress | None = None
    ) -> list[list[Decoded]]:
        """See `family.Coder`."""
        return decode([_file(file) for file in files], samplings, progress)

    def theory(self, views: Sequence[View], progress: Progress | None = None) -> Terms:
        """KL and distortion by sampling the posterior; a field without ink costs nothing."""
        fields, inside, index = cut_fields([drawing.bits for drawing in self._drawings(views)])
        firsts = np.flatnonzero(index == 0)
        from .theory import theory_bits

        terms = theory_bits(self, fields, inside, progress=progress)
        return Terms(*(np.add.reduceat(bits, firsts) for bits in terms))

    def push(self, views: Sequence[View], chaining: Chaining, done: Done | None = None) -> Chain:
        """Codes drawings together; errors as of `family.Chained`."""
        from . import chaining as chains

        return chains.push(self, self._drawings(views), chaining, done)

    def pop(
        self,
        payload: bytes,
        state: bytes,
        geometries: Sequence[Geometry],
        chaining: Chaining,
        sampling: Sampling = Sampling(),
        done: Done | None = None,
    ) -> list[Raster]:
        """The inverse of `push`; errors as of `family.Chained`."""
        from . import chaining as chains

        return chains.pop(self, payload, state, geometries, chaining, sampling, done)

    def exchanged(self, pictures: Iterable[Raster]) -> bool:
        """See `family.Chained`."""
        from .polarity import gain_bits, takes_both

        if not takes_both(self):
            return False
        return bool(gain_bits([drawing_of(picture) for picture in pictures], self).sum() > 0)

    def remembering(self) -> FieldCoder:
        """See `family.Remembering`."""
        return replace(self, memory=Memory())

    def judge(self, views: Sequence[View]) -> list[Judged]:
        """See `family.Judging`."""
        from . import knowing

        return knowing.judge(self, [_view(view).drawing for view in views])

    def knows(self, judged: Judged, others: Sequence[Judged]) -> bool:
        """See `family.Judging`."""
        from . import knowing

        said = registry.knowing(self.digest)
        return said is None or knowing.knows(said, judged, others)

    def _drawings(self, views: Sequence[View]) -> list[Drawing]:
        """The drawings of views, those that are not fixed with the ink that costs the model less."""
        from .polarity import suited

        own = [_view(view) for view in views]
        drawings = [view.drawing for view in own]
        free = [index for index, view in enumerate(own) if not view.fixed]
        for index, drawing in zip(free, suited([drawings[index] for index in free], self), strict=True):
            drawings[index] = drawing
        return drawings


def _view(view: View) -> FieldView:
    assert isinstance(view, FieldView)  # of this coder's making
    return view


def _file(file: Parsed) -> File:
    assert isinstance(file, File)  # likewise
    return file


class FieldFamily:
    """Models of fields of 28x28: see `family.Family`."""

    name = "field"

    def load(self, identity: Identity, arrays: Arrays) -> FieldCoder:
        """See `family.Family`; `mostly_ink`, if it is said, is a share.

        Raises:
            ValueError: it is not one.
        """
        return FieldCoder(identity.name, identity.digest, arrays, _share(identity.about.get("mostly_ink", 0.0)))


def _share(value: object) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 1:  # type: ignore[operator]
        raise ValueError(f"a share is a number from 0 to 1, not {str(value)[:20]}")
    return float(value)  # type: ignore[arg-type]


FAMILY = FieldFamily()
