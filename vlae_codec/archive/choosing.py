"""What codes the pictures of an archive, chosen for all of them: one model of drawings, or what suits each.

Which model takes a picture is decided as for files (see `vlae_codec.choose`). Pictures of one archive share what a chain
costs, though, and a look at each by every model would take longer than to code it: of a lossless archive some drawings speak
for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vlae_codec import zoo
from vlae_codec.choose import Chooser, Seen, chooser
from vlae_codec.family import Ask, ChainedCoder, Coder
from vlae_codec.picture.fields import SIDE
from vlae_codec.picture.metadata import Metadata
from vlae_codec.picture.reading import Readable
from vlae_codec.sets.manifest import ArrayForm
from vlae_codec.sets.sources import Source, pick_two_levels

from .chunks import Settings, chained

_SPEAKERS = 24


@dataclass(frozen=True)
class Look:
    """What was seen of a loose picture: whether it is a drawing, and if so whether it is one of whole fields."""

    drawn: bool
    fields: bool

    @classmethod
    def at(cls, seen: Seen) -> Look:
        """Of a picture as it can be coded."""
        return cls(seen.drawing is not None, not any(side % SIDE for side in seen.view.raster.samples.shape[:2]))


def chooser_of(ask: Ask, model: Coder | str | None, keep: Callable[[Metadata], Metadata] = Metadata.plain) -> Chooser:
    """As of files (see `vlae_codec.choose.chooser`), but that a model that is named insists in a lossy archive.

    Raises:
        ModelError: there is no such model.
    """
    return chooser(ask, model, keep, insist=not ask.lossless and model not in (None, zoo.AUTO))


def choose_for(
    choice: Chooser, sources: Sequence[Source], loose: Sequence[Look], settings: Settings
) -> Chooser | ChainedCoder:
    """The one model that codes all pictures together, as of version 1; or what chooses for each, as of version 2.

    loose: looks at the pictures of sources that are not arrays, in their order.
    """
    looks = _looks(sources, loose)
    alone = bool(choice.takers) and all(one.drawn for one in looks)
    if choice.judges and (settings.lossless or not settings.ordered):
        choice, known = choice.for_set(_speakers(choice, sources, looks))
        alone &= not settings.ordered or (known and all(one.fields for one in looks))
    elif choice.judges:
        alone = False  # each drawing is judged
    return chained(choice.coder(choice.takers[0])) if alone else choice


def _looks(sources: Sequence[Source], loose: Sequence[Look]) -> list[Look]:
    """At all images: those of arrays are drawings."""
    left, found = iter(loose), list[Look]()
    for source in sources:
        form = source.form
        if isinstance(form, ArrayForm):
            found += [Look(True, not any(side % SIDE for side in form.size))] * form.count
        else:
            found += [next(left) for _ in range(form.count)]
    return found


def _speakers(choice: Chooser, sources: Sequence[Source], looks: Sequence[Look]) -> list[Seen]:
    """Some drawings, spread over all."""
    drawn = np.array([number for number, one in enumerate(looks) if one.drawn], np.int64)
    chosen = drawn[np.unique(np.linspace(0, len(drawn) - 1, min(len(drawn), _SPEAKERS)).astype(np.int64))]
    rasters = [raster for _, raster, _ in pick_two_levels(sources, chosen)] if len(drawn) else []
    return [choice.see_fixed(Readable.of_raster(raster)) for raster in rasters]
