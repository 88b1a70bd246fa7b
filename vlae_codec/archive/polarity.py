"""Which of two levels is ink, for images that are turned together: those of one array, or of a set without order.

A loose picture is turned on its own, by the model that codes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vlae_codec.family import Chained
from vlae_codec.picture.fields import field_count
from vlae_codec.picture.raster import Raster
from vlae_codec.picture.reading import Readable
from vlae_codec.sets.manifest import ArrayForm, Form
from vlae_codec.sets.sources import Source, pick_two_levels

_SPEAKERS = 64  # images that speak for all that are turned together
_LARGEST_FIELDS = 1 << 12  # of all speakers together


def suited_together(sources: Sequence[Source], model: Chained) -> list[Source]:
    """The same images, all of them the way that costs the model less for some of them, which are spread over all."""
    exchanged = model.exchanged(_speakers(sources))
    return [_Turned(source) for source in sources] if exchanged else [*sources]


@dataclass(frozen=True)
class _Turned(Source):
    """The images of another source, each inverted."""

    source: Source

    @property
    def form(self) -> Form:
        form = self.source.form
        return replace(form, paper=form.ink, ink=form.paper) if isinstance(form, ArrayForm) else form

    def name(self, index: int) -> str:
        return self.source.name(index)

    def readables(self, start: int, stop: int) -> Iterator[Readable]:
        return (Readable.of_raster(_inverted(raster), lost) for raster, lost in self.source.two_levels(start, stop))

    def files(self) -> Iterator[Path]:
        return self.source.files()

    def close(self) -> None:
        self.source.close()


def _inverted(raster: Raster) -> Raster:
    """The same picture in two colours, with its background as foreground."""
    assert raster.format.pair is not None
    return Raster(1 - raster.samples, replace(raster.format, pair=raster.format.pair[::-1]))


def _speakers(sources: Sequence[Source]) -> Iterator[Raster]:
    """Some images of all sources, as many as their size allows."""
    total, left = sum(source.count for source in sources), _LARGEST_FIELDS
    chosen = np.unique(np.linspace(0, total - 1, min(total, _SPEAKERS)).astype(np.int64))
    for _, raster, _ in pick_two_levels(sources, chosen):
        left -= field_count(*raster.samples.shape[:2])
        yield raster
        if left < 0:
            break
    for source in sources:
        source.close()
