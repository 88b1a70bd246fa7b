"""The codec measured on many images by workers: in parts of some thousand, each as `report.measure` does, then put together.

What adds up is added up: columns of images, bytes and ledgers of archives. Archives are those of the parts, so that an image
pays its share of a part's header and index. What does not add up, general compressors on all images at once, is left out.
Photographs are measured one by one; their curves are put together, and compared as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from vlae_codec import places, zoo
from vlae_codec.errors import ImageError
from vlae_codec.family import DEFAULT_EFFORT, EFFORTS, Coder
from vlae_codec.options import check_switches, check_whole
from vlae_codec.picture.drawing import Drawing, drawn
from vlae_codec.report import kinds, photo_measure
from vlae_codec.report import measure as measuring
from vlae_codec.report.photo_measure import PhotoMeasurement
from vlae_codec.report.samples import SEED, Sample, in_colour
from vlae_codec.report.tables import Archive, Measurement
from vlae_codec.sets.sources import Files, Source

from . import survey
from .engine import engine_of
from .progress import Tally, Tell
from .survey import Packed
from .tasks import Named, coder_of

EACH = 1000
"""Images of a part, at least, if there are as many."""
EACH_PHOTOGRAPHS = 4
"""Photographs of a part: each takes some seconds."""
M = TypeVar("M")


@dataclass(frozen=True)
class Rows:
    """Some images of some sources, for one task: of each source, which."""

    number: int
    images: int
    packed: Packed
    rows: tuple[Sequence[int], ...]

    def each(self) -> Iterator[tuple[Source, int]]:
        """Each image: its source, and its number there."""
        for source, rows in zip(self.packed.opened(), self.rows, strict=True):
            yield from ((source, row) for row in rows)
            source.close()


@dataclass(frozen=True)
class Measuring:
    """What all tasks share."""

    model: Named
    effort: int
    baselines: bool

    def __post_init__(self) -> None:
        check_whole("effort", self.effort, EFFORTS[0], EFFORTS[-1])
        check_switches(baselines=self.baselines)

    @property
    def coder(self) -> Coder:
        """The model, loaded once a process."""
        found = coder_of(self.model)
        assert found is not None
        return found


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
        ImageError: a source is missing or damaged, or holds pictures that are not drawings; or a part failed.
        OptionError: an option is out of its range, or of another type.
        VlaeError: as `cluster.pack`.
    """
    asked = _Asked(sources, client, jobs, count, progress)
    shared = Measuring(asked.model(model), effort, baselines)
    parts, source, notes = asked.run(_measure, shared, survey.Looking(threshold, True, None), EACH)
    whole = together(parts)
    return replace(whole, source=source, notes=[*notes, *whole.notes])


def measure_photographs(
    sources: str | Sequence[str],
    *,
    client: Any = None,
    jobs: int | None = None,
    count: int | None = None,
    effort: int = DEFAULT_EFFORT,
    baselines: bool = True,
    model: str = zoo.PHOTO,
    progress: Tell | None = None,
) -> PhotoMeasurement:
    """What photographs cost, exact and at equal quality; `report.photo_tables` makes texts of it.

    Seconds are those of a worker that does nothing else meanwhile. Arguments and errors as of `measure`.
    """
    asked = _Asked(sources, client, jobs, count, progress)
    shared = Measuring(asked.model(model), effort, baselines)
    parts, source, notes = asked.run(_measure_photographs, shared, survey.Looking(None, False, None), EACH_PHOTOGRAPHS)
    whole = photo_measure.together(parts)
    return replace(whole, source=source, notes=[*notes, *whole.notes])


@dataclass(frozen=True)
class _Asked:
    """What is measured by whom: as of `measure`."""

    sources: str | Sequence[str]
    client: Any
    jobs: int | None
    count: int | None
    progress: Tell | None

    def __post_init__(self) -> None:
        check_whole("count", self.count, 1, optional=True)

    def seen(self, path: str) -> str:
        """A path as workers know it."""
        return places.tidy(path) if self.client is None else places.absolute(path)

    def model(self, name: str) -> Named:
        """The model of that name, or in that folder."""
        named = Named.of(name, self.seen)
        assert named is not None
        return named

    def run(
        self, work: Callable[[Measuring, Rows], M], shared: Measuring, looking: survey.Looking, each: int
    ) -> tuple[list[M], str, tuple[str, ...]]:
        """What comes of `work` on parts of so many images, in order; what the whole is called, and notes on it.

        Raises:
            ImageError: a part failed.
        """
        engine = engine_of(self.client, self.jobs)
        engine.check()
        given = [*map(self.seen, [self.sources] if isinstance(self.sources, str) else self.sources)]
        found = survey.listed(engine, given, looking)
        chosen = np.arange(found.images)
        if self.count is not None and self.count < found.images:
            chosen = np.sort(np.random.default_rng(SEED).permutation(found.images)[: self.count])
        items = [*_parts(found.sources, np.array_split(chosen, max(1, len(chosen) // each)))]
        parts, done = dict[int, M](), 0
        for outcome in engine.run("measure-part", work, items, shared):
            if outcome.result is None:
                raise ImageError(f"images of part {outcome.item.number} cannot be measured: {outcome.error}")
            parts[outcome.item.number] = outcome.result
            done += outcome.item.images
            if self.progress:
                self.progress(Tally("measuring", done, len(chosen), len(parts), len(items), 0))
        return [parts[n] for n in sorted(parts)], places.shown([places.name(one) for one in given]), found.notes


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
        kinds=kinds.together([part.kinds for part in parts]),
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
    for source, row in part.each():
        drawings += [drawn(*one) for one in source.two_levels(row, row + 1)]
        names.append(source.name(row))
    notes = sorted({f"Images were {drawing.note}." for drawing in drawings if drawing.note})
    settled = measuring.Settled(shared.effort, 1, shared.baselines)
    sample = Sample(f"part {part.number}", drawings, None, notes, names)
    return measuring.measure(sample, shared.coder, settled).measurement


def _measure_photographs(shared: Measuring, part: Rows) -> PhotoMeasurement:
    """A part, on a worker.

    Raises:
        ImageError: a picture cannot be read.
    """
    given = photo_measure.Photographs(f"part {part.number}", [], [])
    for source, row in part.each():
        given.samples.extend(in_colour(one.picture().raster) for one in source.readables(row, row + 1))
        given.names.append(source.name(row))
    return photo_measure.measure(given, shared.coder, shared.effort, shared.baselines, crops=1)
