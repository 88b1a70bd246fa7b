"""The images of a measurement: sources as `pack` takes them in, drawings with their names and classes out.

A sample is drawn with a fixed seed, not cut off the front: sets are often sorted by class. It keeps its order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.picture.drawing import Drawing, drawn
from vlae_codec.picture.raster import Raster
from vlae_codec.sets import labels
from vlae_codec.sets.labels import Labels
from vlae_codec.sets.sources import gather, pick, pick_two_levels

from .photo_measure import Photographs
from .quality import Samples

SEED = 0


@dataclass(frozen=True)
class Sample:
    """Images to measure: where they came from, their names, classes if those are known, and what was done to get them.

    files: those that they and their classes were read from.
    """

    source: str
    drawings: list[Drawing]
    labels: Labels | None
    notes: list[str]
    names: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def sample(
    paths: Sequence[str],
    count: int | None = None,
    threshold: int | None = None,
    labelled: str | None = None,
) -> Sample:
    """`count` images of the sources at `paths`, drawn at random and always the same; all, if it is None or too many.

    `labelled` says where their classes are; those beside an npz array are found without.

    Raises:
        ImageError: a source or the labels cannot be read.
    """
    with gather(paths, threshold) as gathered:
        total = sum(source.count for source in gathered.sources)
        chosen, notes = np.arange(total), list(gathered.notes)
        classes = labels.read(labelled, total) if labelled else labels.beside(gathered.sources, notes)
        if count is not None and count < total:
            chosen = np.sort(np.random.default_rng(SEED).permutation(total)[:count])
            notes.append(_drawn_of(count, total))
        names, drawings = list[str](), list[Drawing]()
        for name, raster, lost in pick_two_levels(gathered.sources, chosen):
            names.append(name)
            drawings.append(drawn(raster, lost))
        read = [*gathered.files(), *([labels.file_of(labelled)] if labelled else [])]
    notes += sorted({f"Images were {drawing.note}." for drawing in drawings if drawing.note})
    return Sample(_shown(paths), drawings, None if classes is None else classes[chosen], notes, names, read)


def photographs(paths: Sequence[str], count: int | None = None) -> Photographs:
    """`count` photographs of the sources at `paths`, as of `sample`, in RGB.

    Raises:
        ImageError: a source cannot be read.
    """
    with gather(paths, None, False) as gathered:
        total = sum(source.count for source in gathered.sources)
        chosen, notes = np.arange(total), list(gathered.notes)
        if count is not None and count < total:
            chosen = np.sort(np.random.default_rng(SEED).permutation(total)[:count])
            notes.append(_drawn_of(count, total))
        names, samples = list[str](), list[Samples]()
        for name, readable in pick(gathered.sources, chosen):
            names.append(name)
            samples.append(in_colour(readable.picture().raster))
    return Photographs(_shown(paths), names, samples, notes)


def are_photographs(paths: Sequence[str]) -> bool:
    """Whether the first image of the sources has more than two levels.

    Raises:
        ImageError: it cannot be read.
    """
    with gather(paths, None, False) as gathered:
        _, readable = next(pick(gathered.sources, np.arange(1)))
        raster = readable.picture().raster
    return raster.format.pair is None and raster.in_two() is None


def in_colour(raster: Raster) -> Samples:
    """Samples in RGB of 8 bits; opacity is left out."""
    samples: npt.NDArray[Any] = raster.colours()
    if samples.dtype == np.uint16:
        samples = (samples.astype(np.uint32) * 255 + 32767) // 65535
    opaque = samples[..., :-1] if samples.shape[2] in (2, 4) else samples
    return np.repeat(opaque, 3 // opaque.shape[2], axis=2).astype(np.uint8)


def _drawn_of(count: int, total: int) -> str:
    return f"A random sample: {count:,} of {total:,} images, drawn with a fixed seed, the same each time."


def _shown(paths: Sequence[str]) -> str:
    names = [Path(path).name or path for path in paths]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
