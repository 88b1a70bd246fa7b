"""Which of a picture's two levels is ink: the rarer one, or with some models the other.

Pictures and arrays come with the rarer level as ink (see `picture.drawing`, `sets.arrays`), and most models were
trained on such. One whose training images are often mostly ink, as silhouettes are whose background is ink, takes a
picture either way: here it is turned to what costs the model less. A file says which colour is ink, so a decoder need not
know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vlae_codec.container import Header, Kind
from vlae_codec.picture.drawing import Drawing, inverted
from vlae_codec.picture.fields import SIDE, Bits, to_fields

from .model import Model
from .posterior import Posterior
from .search import distortion_bits

MOSTLY_INK = 0.01
"""A model takes pictures either way if more than this share of what it was trained on is more than half ink."""
_SPOKEN_FIELDS = 16  # that speak for a picture


def suited(drawings: Sequence[Drawing], model: Model) -> list[Drawing]:
    """The same pictures, each the way that costs the model less."""
    if not takes_both(model) or not drawings:
        return [*drawings]
    gains_bits = gain_bits(drawings, model)
    turned = [*map(inverted, drawings)]
    gains_bits += [_header_bits(a, model) - _header_bits(b, model) for a, b in zip(drawings, turned, strict=True)]
    return [b if gain > 0 else a for a, b, gain in zip(drawings, turned, gains_bits.tolist(), strict=True)]


def takes_both(model: Model) -> bool:
    """Whether the model takes pictures either way."""
    return model.mostly_ink > MOSTLY_INK


def _header_bits(drawing: Drawing, model: Model) -> int:
    height, width = drawing.bits.shape
    return 8 * len(Header(Kind.LOSSY, model.identity, width, height, drawing.look).write())


class Spoken(NamedTuple):
    """What speaks for a picture: some of its fields of two colours, (n, 28, 28), and how many are all ink or all paper.

    times: how many times as many pixels all of two colours have as these; those at its border may not be whole.
    """

    some: Bits
    inside: npt.NDArray[np.bool_]
    times: float
    full: int
    blank: int


def gain_bits(drawings: Sequence[Drawing], model: Model) -> npt.NDArray[np.float64]:
    """About how much less -ELBO each picture costs inverted, (n,) bits; without the header."""
    every = [spoken(drawing, _SPOKEN_FIELDS) for drawing in drawings]
    some, inside = (np.concatenate([getattr(one, key) for one in every]) for key in ("some", "inside"))
    whole = np.ones((1, SIDE, SIDE), np.uint8)
    both = np.concatenate([some, (1 - some) * inside, whole])
    cost_bits = _cost_bits(model, both, np.concatenate([inside, inside, whole == 1]))
    gains_bits, full_bits = cost_bits[: len(some)] - cost_bits[len(some) : -1], cost_bits[-1]
    found, at = np.zeros(len(drawings)), 0
    for number, one in enumerate(every):
        own = gains_bits[at : at + len(one.some)]
        found[number] = (one.full - one.blank) * full_bits + (own.sum() * one.times)
        at += len(own)
    return found


def spoken(drawing: Drawing, most: int) -> Spoken:
    """What speaks for a picture: at most so many of its fields, the same for both of its polarities."""
    fields, inside = to_fields(drawing.bits)
    inked, papered = fields.any(axis=(1, 2)), (inside > fields).any(axis=(1, 2))
    mixed = np.flatnonzero(inked & papered)
    some = mixed[np.unique(np.linspace(0, len(mixed) - 1, min(len(mixed), most)).astype(np.int64))]
    times = inside[mixed].sum() / max(1, inside[some].sum())
    return Spoken(fields[some], inside[some], float(times), int((~papered).sum()), int((~inked).sum()))


def _cost_bits(model: Model, fields: Bits, inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """About -ELBO of fields with ink, (n,) bits: the distortion is that at the mean of q."""
    posterior = Posterior.of(model, fields)
    found: npt.NDArray[np.float64] = posterior.rate_bits()
    return found + distortion_bits(model.rough, fields, inside, posterior.nearest())
