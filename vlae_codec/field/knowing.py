"""Whether a model knows a drawing: whether it costs what its like cost, and looks as they do (see `docs/drawings.md`).

A picture that is not of whole fields, or whose ink goes on from field to field, is not a sheet of single drawings. Of each
field that has both colours eleven figures are seen, `FIGURES`. A score, a quadratic function of them, tells drawings of the
model's own kind from all others; its weights, and the scores of held-out drawings of that kind, are in `registry`.
`benchmarks/knowing.py` finds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec import registry
from vlae_codec.family import Judged
from vlae_codec.picture.drawing import Drawing, inverted
from vlae_codec.picture.fields import SIDE, Bits, crossing

from . import shapes
from .likeness import likeness
from .model import Model
from .polarity import Spoken, spoken, takes_both
from .posterior import Floats, Posterior
from .search import distortion_bits

FIGURES = (
    "bits",  # about -ELBO: what a lossless code takes; its logarithm
    "rate",  # the KL: what a lossy code takes; its logarithm
    "ink",  # the share that is ink, as the model sees it
    "edges",  # pairs of neighbours that differ; their logarithm
    "corners",  # where the border between ink and paper turns, as a share of the edges; its logarithm
    "longer",  # side of the box around what is drawn, as a share of the field's
    "shorter",
    "pieces",  # of ink, less holes in it; the logarithm
    "solid",  # squares of 3x3 that are ink all over; the logarithm
    "likeness",  # the log-odds that it was drawn as the model's kind is, and not by a program
    "others",  # what the best of the other models asks for, as a multiple of this one's bits; its logarithm
)
_MOST_FIELDS, _FEW_FIELDS = 32, 4  # of a picture are looked at; of one that is not a sheet, to estimate its bits
_FARTHEST = 8.0  # deviations from the mean: none is farther
_ODD_SHARE = 1 / 8  # of a sheet's fields may have scores that few drawings of the model's kind have
_FULL_BITS = 16.0  # about what a field costs that is ink all over
_FILE_BITS = 64.0  # of a lossless file beside: header, checks, and what a codeword takes more than theory says
_LEAST = 0.1  # of what a logarithm is taken


def judge(model: Model, drawings: Sequence[Drawing]) -> list[Judged]:
    """What drawings cost, each with the ink that costs the model less."""
    if not drawings:
        return []
    links = [joined(drawing.bits) for drawing in drawings]
    ways = [_judged(model, drawings, links)]
    if takes_both(model):
        ways.append(_judged(model, [*map(inverted, drawings)], links))
    return [min(both, key=lambda one: one.bits) for both in zip(*ways, strict=True)]


def _judged(model: Model, drawings: Sequence[Drawing], links: Sequence[float]) -> list[Judged]:
    most = [_FEW_FIELDS if link else _MOST_FIELDS for link in links]
    every = [spoken(drawing, count) for drawing, count in zip(drawings, most, strict=True)]
    fields, inside = (np.concatenate([getattr(one, key) for one in every]) for key in ("some", "inside"))
    bits, rate = _costs(model, fields, inside) if len(fields) else np.zeros((2, 0))
    figures = np.column_stack([_logarithm(bits), _logarithm(rate), fields.mean(axis=(1, 2)), _shape(fields, model)])
    found, at = list[Judged](), 0
    for one, link in zip(every, links, strict=True):
        own = slice(at, at := at + len(one.some))
        found.append(Judged(_whole_bits(one, bits[own]), bits[own], figures[own], link))
    return found


def _costs(model: Model, fields: Bits, inside: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """About -ELBO and the KL of fields, (n,) bits each: the distortion is that at the mean of q."""
    posterior = Posterior.of(model, fields)
    rate = posterior.rate_bits()
    return rate + distortion_bits(model.rough, fields, inside, posterior.nearest()), rate


def _whole_bits(one: Spoken, bits: Floats) -> float:
    return _FILE_BITS + float(bits.sum()) * one.times + one.full * _FULL_BITS + one.blank


def _shape(fields: Bits, model: Model) -> Floats:
    """What is seen of fields, whatever they cost, `FIGURES` from the edges to the likeness to the model's kind: (n, 7)."""
    drawn, subject = shapes.rarer_ink(fields), registry.about(model.digest).get("subject")
    edges, (longer, shorter) = shapes.edges(drawn), shapes.extents(drawn)
    turning, pieces = (shapes.corners(drawn) + 1) / (edges + 1), np.abs(shapes.euler(drawn)) + 1
    logarithms = map(_logarithm, (edges, turning, pieces, shapes.solid(drawn) + 1))
    edges, turning, pieces, solid = logarithms
    alike = likeness(drawn, subject) if subject else np.zeros(len(drawn))
    return np.column_stack([edges, turning, longer / SIDE, shorter / SIDE, pieces, solid, alike])


def _logarithm(values: Floats) -> Floats:
    found: Floats = np.log(values.clip(_LEAST))
    return found


def joined(bits: Bits) -> float:
    """How much ink goes on from field to field, as `crossing` has it; infinite if the fields of (H, W) are not all whole."""
    height, width = bits.shape
    return float(np.inf) if height % SIDE or width % SIDE else crossing(bits)


def figures_of(judged: Judged, others: Sequence[Judged]) -> Floats:
    """All `FIGURES` of each piece: (n, 11)."""
    best = np.min([one.pieces_bits for one in others], axis=0) if others else judged.pieces_bits
    return np.column_stack([judged.figures, _logarithm(best) - _logarithm(judged.pieces_bits)])


def terms(figures: Floats, mean: Sequence[float], deviation: Sequence[float]) -> Floats:
    """What a score is a weighted sum of: the figures, (n, F), from their mean in deviations, and their products."""
    far = ((figures - np.array(mean)) / np.array(deviation)).clip(-_FARTHEST, _FARTHEST)
    one, other = np.triu_indices(far.shape[1])
    return np.concatenate([far, far[:, one] * far[:, other]], axis=1)


def scores(said: Mapping[str, Any], judged: Judged, others: Sequence[Judged]) -> Floats:
    """How much each piece is like what the model was trained on: (n,). said: what `registry` says of knowing."""
    found: Floats = terms(figures_of(judged, others), said["mean"], said["deviation"]) @ np.array(said["weights"])
    return found


def knows(said: Mapping[str, Any], judged: Judged, others: Sequence[Judged]) -> bool:
    """Whether a picture is like those that the model was trained on; said: as of `scores`."""
    if judged.joined or (said["alone"] and len(judged.pieces_bits) > 1):
        return False
    found = scores(said, judged, others)
    odd = int((found < said["usual"]).sum())
    return bool(odd <= _ODD_SHARE * len(found) and (found >= said["least"]).all() if len(found) > 1 else not odd)
