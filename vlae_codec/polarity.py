"""Which of a picture's two levels is ink: the rarer one, or with some models the other.

Pictures and arrays come with the rarer level as ink (see `pixels`, `arrays`), and most models were trained on such. One
whose training images are often mostly ink, as silhouettes are whose background is ink, takes a picture either way: here
it is turned to what costs the model less. A file says which colour is ink, so a decoder need not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import numpy.typing as npt

from . import pixels
from .arrays import StoredArray
from .manifest import Form
from .model import Model
from .pixels import Drawing
from .posterior import Posterior
from .search import distortion_bits
from .sources import Array, Source

MOSTLY_INK = 0.01
"""A model takes pictures either way if more than this share of what it was trained on is more than half ink."""
_LOOK_BITS = 24.0  # of a header with another look than the usual
_SAMPLE = 64  # images that speak for an array, or are looked at together


def suited(drawings: Sequence[Drawing], model: Model) -> list[Drawing]:
    """The same pictures, each the way that costs the model less."""
    if not _takes_both(model) or not drawings:
        return [*drawings]
    turned = [inverted(drawing) for drawing in drawings]
    gain_bits = _cost_bits(drawings, model) - _cost_bits(turned, model)
    return [b if gain > _LOOK_BITS else a for a, b, gain in zip(drawings, turned, gain_bits.tolist(), strict=True)]


def suited_source(source: Source, model: Model) -> Source:
    """The same images: those of an array all the way that costs the model less for its first ones, others each its own."""
    if not _takes_both(model):
        return source
    if not isinstance(source, Array):
        return _Suited(source, model)
    first = [*source.drawings(0, min(source.count, _SAMPLE))]
    gain_bits = _cost_bits(first, model) - _cost_bits([*map(inverted, first)], model)
    return Array(_inverted_array(source.stored)) if gain_bits.sum() > 0 else source


def inverted(drawing: Drawing) -> Drawing:
    """The same picture with its other colour as ink; of one colour, itself."""
    if not drawing.bits.any():
        return drawing
    look = replace(drawing.look, paper=drawing.look.ink, ink=drawing.look.paper)
    return replace(drawing, bits=1 - drawing.bits, look=look)


@dataclass(frozen=True)
class _Suited(Source):
    """Loose pictures, each as `suited`."""

    source: Source
    model: Model

    @property
    def form(self) -> Form:
        return self.source.form

    def name(self, index: int) -> str:
        return self.source.name(index)

    def drawings(self, start: int, stop: int) -> Iterator[Drawing]:
        drawings = self.source.drawings(start, stop)
        while some := [*islice(drawings, _SAMPLE)]:
            yield from suited(some, self.model)

    def close(self) -> None:
        self.source.close()


def _takes_both(model: Model) -> bool:
    return model.mostly_ink > MOSTLY_INK


def _inverted_array(stored: StoredArray) -> StoredArray:
    form = stored.form
    return replace(stored, form=replace(form, paper=form.ink, ink=form.paper))


def _cost_bits(drawings: Sequence[Drawing], model: Model) -> npt.NDArray[np.float64]:
    """About -ELBO of each picture, (n,) bits: the distortion is that at the mean of q."""
    fields, inside, index = pixels.cut(drawings)
    cost_bits = np.zeros(len(fields))
    inked = np.flatnonzero(fields.any(axis=(1, 2)))
    if len(inked):
        posterior = Posterior.of(model, fields[inked])
        cost_bits[inked] = distortion_bits(model.rough, fields[inked], inside[inked], posterior.nearest())
        cost_bits[inked] += posterior.rate_bits()
    summed: npt.NDArray[np.float64] = np.add.reduceat(cost_bits, np.flatnonzero(index == 0))
    return summed
