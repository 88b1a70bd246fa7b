"""The codec measured on many images by workers: in parts of some thousand, each as `report.measure` does, then put together.

What adds up is added up: columns of images, bytes and ledgers of archives. Archives are those of the parts, so that an image
pays its share of a part's header and index. What does not add up, general compressors on all images at once, is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vlae_codec import places, zoo
from vlae_codec.errors import ImageError
from vlae_codec.family import DEFAULT_EFFORT
from vlae_codec.picture.drawing import Drawing
from vlae_codec.report import measure as measuring
from vlae_codec.report.samples import SEED, Sample
from vlae_codec.report.tables import Archive, Measurement
from vlae_codec.sets.sources import Array, Files, Source

from . import survey
from .engine import engine_of
from .progress import Tally, Tell
from .survey import Packed
from .tasks import Named, coder_of

EACH = 1000
"""Images of a part, at least, if there are as many."""


@dataclass(frozen=True)
class Rows:
    """Some images of some sources, for one task: of each source, which."""

    number: int
    images: int
    packed: Packed
    rows: tuple[Sequence[int], ...]


@dataclass(frozen=True)
class Measuring:
    """What all tasks share."""

    model: Named
    effort: int
    baselines: bool


def measure(
    sources: str | Sequence[str],
    *,
    client: Any = None,
    jobs: int | None = None,
    count: int | None = None,
    effort: int = DEFAULT_EFFORT,
    threshold: int | None = None,
    baselines: bool = True,
    model: str = zoo.DEFAULT,
    progress: Tell | None = None,
) -> Measurement:
    """What drawings cost: theory, files, archives, baselines, all decoded again; `report.tables` makes texts of it.

    Args:
        sources, client, jobs, model, progress: as of `cluster.pack`.
        count: of images, drawn at random and always the same; all unless told otherwise.
        effort: size of the search of lossy files, 0 to 9.
        threshold: binarise, with luminance above this, 0 to 254, as the light level.
        baselines: measure other codecs, too.

    Raises:
        ImageError: a source is missing or damaged, or holds pictures that are no drawings; or a part failed.
        VlaeError: as `cluster.pack`.
    """
    engine = engine_of(client, jobs)
    engine.check()
    seen = places.tidy if client is None else places.absolute
    given = [*map(seen, [sources] if isinstance(sources, str) else sources)]
    found = survey.listed(engine, given, survey.Looking(threshold, True, None))
    chosen = np.arange(found.images)
    if count is not None and count < found.images:
        chosen = np.sort(np.random.default_rng(SEED).permutation(found.images)[:count])
    items = [*_parts(found.sources, np.array_split(chosen, max(1, len(chosen) // EACH)))]
    parts, done = dict[int, Measurement](), 0
    named = Named.of(model, seen)
    assert named is not None
    for outcome in engine.run("measure-part", _measure, items, Measuring(named, effort, baselines)):
        if outcome.result is None:
            raise ImageError(f"images of part {outcome.item.number} cannot be measured: {outcome.error}")
        parts[outcome.item.number] = outcome.result
        done += outcome.item.images
        if progress:
            progress(Tally("measuring", done, len(chosen), len(parts), len(items), 0))
    whole = together([parts[number] for number in sorted(parts)])
    return replace(whole, source=places.shown([places.name(one) for one in given]), notes=[*found.notes, *whole.notes])


def together(parts: Sequence[Measurement]) -> Measurement:
    """One measurement of several of the same model, of different images."""
    if len(parts) == 1:
        return parts[0]
    columns = {
        key: np.concatenate([part.per_image[key] for part in parts])
        for key in parts[0].per_image
        if all(key in part.per_image for part in parts)
    }
    images = sum(part.images for part in parts)
    archives = [_added(same, images) for same in zip(*(part.archives for part in parts), strict=False)]
    notes = dict.fromkeys(note for part in parts for note in part.notes)
    return replace(
        parts[0],
        images=images,
        pixels=sum(part.pixels for part in parts),
        per_image=columns,
        archives=archives,
        sets={},
        classified=None,
        names=[name for part in parts for name in part.names],
        notes=[*notes, f"Measured in {len(parts)} parts, each with archives of its own."],
    )


def _added(archives: Sequence[Archive], images: int) -> Archive:
    """The archives of the same kind of several parts, as one entry; percentiles are left out."""
    size = sum(one["bytes"] for one in archives)
    added = {key: _summed([one[key] for one in archives]) for key in ("theory", "ledger")}
    first = {key: archives[0][key] for key in ("kind", "order", "chunk", "samples")}
    return {**first, "bytes": size, "bits_per_image": 8 * size / images, **added}


def _summed(tables: Sequence[Mapping[str, float]]) -> dict[str, float]:
    keys = dict.fromkeys(key for table in tables for key in table)
    return {key: sum(table.get(key, 0.0) for table in tables) for key in keys}


def _parts(sources: Sequence[Source], chosen: Sequence[Any]) -> Iterator[Rows]:
    """Tasks for images of these numbers, which ascend over all sources."""
    ends = np.cumsum([source.count for source in sources])
    for number, some in enumerate(chosen):
        own, rows = list[Source](), list[Sequence[int]]()
        of = np.searchsorted(ends, some, side="right")
        for at in np.unique(of):
            source = sources[at]
            mine = (some[of == at] - (ends[at] - source.count)).tolist()
            own.append(source.only(mine) if isinstance(source, Files) else source)
            rows.append(range(len(mine)) if isinstance(source, Files) else mine)
        yield Rows(number, len(some), Packed.of(own), tuple(rows))


def _measure(shared: Measuring, part: Rows) -> Measurement:
    """A part, on a worker.

    Raises:
        ImageError: a picture is not a drawing, or cannot be read.
    """
    names, drawings = list[str](), list[Drawing]()
    for source, rows in zip(part.packed.opened(), part.rows, strict=True):
        assert isinstance(source, Array | Files)
        for row in rows:
            drawings += source.drawings(row, row + 1)
            names.append(source.name(row))
        source.close()
    notes = sorted({f"Images were {drawing.note}." for drawing in drawings if drawing.note})
    coder = coder_of(shared.model)
    assert coder is not None
    settled = measuring.Settled(shared.effort, 1, shared.baselines)
    sample = Sample(f"part {part.number}", drawings, None, notes, names)
    return measuring.measure(sample, coder, settled).measurement
