"""Contact sheets of what was measured: originals beside re-samplings, the cheapest images above the most expensive.

Pictures that are too large to be seen side by side are not on it; of the others all up to fifty, and of more some from all
over the set and those that cost most.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np

from vlae_codec import codec
from vlae_codec.family import Coder, Sampling
from vlae_codec.picture.drawing import Drawing
from vlae_codec.picture.images import png_bytes
from vlae_codec.picture.sheets import contact_sheet

from .tables import Column

Sheet = tuple[str, bytes]
"""What it shows, and a PNG."""
_LARGEST_SIDE = 256
_WIDTH = 1200  # of a sheet, in pixels or so
_ALL, _WORST, _GROUPS = 50, 5, 5
_SEEDS = 3


def resamplings(drawings: Sequence[Drawing], files: Sequence[bytes], model: Coder, bits: Column) -> list[Sheet]:
    """Images from all over the set, each with what its lossy file decodes to with three seeds; `bits` are their costs."""
    shown = _chosen(drawings, bits)
    if not shown:
        return []
    group = _SEEDS + 1
    widest = max((drawings[i] for i in shown), key=lambda drawing: drawing.bits.shape[1])
    across = max(1, min(_GROUPS, _fitting(widest) // group))
    samplings = [Sampling(seed) for seed in range(_SEEDS)]
    drawn = codec.decode_samples([files[i] for i in shown], samplings, model=model)
    groups = [[drawings[i], *(one.drawing for one in own)] for i, own in zip(shown, drawn, strict=True)]
    rows = [[*itertools.chain(*groups[i : i + across])] for i in range(0, len(groups), across)]
    which = "All images" if len(shown) == len(drawings) else f"{len(shown)} of {len(drawings)} images"
    caption = (
        f"{which}; in each group of {group} the original, then its lossy file decompressed with {_SEEDS} texture seeds."
    )
    return [(caption, png_bytes(contact_sheet(rows, _scale(widest), group)))]


def _chosen(drawings: Sequence[Drawing], bits: Column) -> list[int]:
    """Which are shown, in order: see above."""
    small = [index for index, drawing in enumerate(drawings) if max(drawing.bits.shape) <= _LARGEST_SIDE]
    if len(small) <= _ALL:
        return small
    spread = np.unique(np.linspace(0, len(small) - 1, _ALL - _WORST).astype(int))
    return sorted({*(small[i] for i in spread), *sorted(small, key=lambda index: float(bits[index]))[-_WORST:]})


def extremes(drawings: Sequence[Drawing], bits: Column) -> list[Sheet]:
    """The cheapest images, the cheapest of all first, above the most expensive, which end with the worst."""
    alike = sorted(_alike(drawings), key=lambda index: float(bits[index]))
    if len(alike) < 2:
        return []
    half = min(_fitting(drawings[alike[0]]), len(alike) // 2)
    rows = [alike[:half], alike[-half:]]
    low, high = (f"{bits[row[0]]:,.0f} to {bits[row[-1]]:,.0f} bits" for row in rows)
    caption = f"Above, the images that cost least in a lossless archive ({low}); below, those that cost most ({high})."
    picture = contact_sheet([[drawings[i] for i in row] for row in rows], _scale(drawings[alike[0]]))
    return [(caption, png_bytes(picture))]


def _alike(drawings: Sequence[Drawing]) -> list[int]:
    """The numbers of the drawings of the commonest size, if it can be shown."""
    common, _ = Counter(drawing.bits.shape for drawing in drawings).most_common(1)[0]
    if max(common) > _LARGEST_SIDE:
        return []
    return [index for index, drawing in enumerate(drawings) if drawing.bits.shape == common]


def _scale(drawing: Drawing) -> int:
    """By how much a drawing is enlarged: small ones are hard to see."""
    return max(1, 56 // int(max(drawing.bits.shape)))


def _fitting(drawing: Drawing) -> int:
    """How many of such fit beside each other."""
    return max(1, _WIDTH // ((int(drawing.bits.shape[1]) + 2) * _scale(drawing)))
