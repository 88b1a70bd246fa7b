"""Sets of archives, whole: what `cluster.pack`, `unpack` and `test` do, on whatever engine."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vlae_codec import places
from vlae_codec.archive.chunks import ArchiveLedger
from vlae_codec.archive.options import Options
from vlae_codec.archive.unpack import LOST_NAME
from vlae_codec.container import MOST_BYTES
from vlae_codec.errors import OutputError
from vlae_codec.family import Sampling
from vlae_codec.options import check_switches, check_texts, check_whole
from vlae_codec.picture.metadata import Metadata
from vlae_codec.sets import shards as sets

from . import survey, tasks
from .engine import Engine, Outcome, engine_of
from .pattern import Pattern
from .progress import Tally, Tell
from .record import Plan, Receipt, Record, locked, planned
from .tasks import Named, OneShard, Packing, Reading, Several

_MOST_TASKS = 1024  # of checking, up to which each shard has one of its own
_MOST_CHECKED = 64  # shards that one task checks


@dataclass(frozen=True)
class PackedSet:
    """What came of packing a set.

    ledger: where the bits of all shards went. shards, kept: how many there are, and how many an earlier run had done.
    failures: of shards that are not there, a line each. left_out, unsuitable: as of `archive.api.Packed`.
    """

    manifest: str
    ledger: ArchiveLedger
    shards: int
    kept: int
    failures: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    unsuitable: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tested:
    """Shards and images that were decoded, and what is damaged or lost in them: a line each."""

    shards: int
    images: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class UnpackedSet:
    """How many files were written; what was damaged or lost, and what got another name: a line each.

    sampled: whether drawings were re-sampled. unused: as of `archive.api.Unpacked`.
    """

    written: int
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    sampled: bool = False
    unused: frozenset[str] = frozenset()


def pack(
    sources: str | Sequence[str],
    out: str,
    shards: int,
    *,
    client: Any = None,
    jobs: int | None = None,
    lossless: bool = True,
    ordered: bool = True,
    effort: int | None = None,
    chunk: int | None = None,
    quality: float | None = None,
    threshold: int | None = None,
    keep: Callable[[Metadata], Metadata] = Metadata.plain,
    model: str | None = None,
    force: bool = False,
    skip_unsuitable: bool = False,
    progress: Tell | None = None,
) -> PackedSet:
    """Packs images into archives of about equal numbers of pixels, in order: the shards of one set.

    A run that was stopped goes on when it is called again: shards that are whole are kept. A shard that fails three times
    is named, and stops no other.

    Args:
        sources: as of `vlae_codec.pack`; also URLs, and patterns such as `data-{000..127}.tar` or `s3://bucket/*.parquet`.
        out: where shards go, with a field for their number: `set-{shard:05d}.vlz`, or a URL of that kind.
        shards: how many.
        client: a `distributed.Client`, whose workers do the work; without one, processes of this machine do.
        jobs: how many of these; one a core unless told otherwise.
        model: the name of a released model, or a folder that all workers see.
        force: begin anew: what is there of the set is removed.
        progress: told a `Tally` as sources are listed, pictures weighed, and shards done.
        lossless, ordered, effort, chunk, quality, threshold, keep, skip_unsuitable: as of `vlae_codec.pack`, in each shard.

    Raises:
        ImageError: a source is missing, damaged or empty.
        OutputError: the set exists and `force` is not set, is being written by another run, or was begun of other images or
            with other options; `out` has no field for a number; or there are fewer images than shards.
        ModelError, PlaceError: the model is unknown; a URL's driver is not installed.
        VlaeError: workers have another version of vlae-codec, or the scheduler is gone.
        OptionError: an option is out of its range, or of another type.
    """
    run, engine = uuid.uuid4().hex, engine_of(client, jobs)
    seen = _seen(client)
    pattern, given = Pattern.of(seen(out)), [*map(seen, [sources] if isinstance(sources, str) else sources)]
    options = Options(lossless, ordered, effort, chunk, quality, threshold, keep, skip_unsuitable)
    named = Named.of(model, seen)
    check_whole("shards", shards, 1)
    check_switches(force=force)
    said = tasks.said(options, named)
    engine.check()
    with locked(pattern, run):
        record = Record(pattern, run)
        before = _begun(record, force)
        looking = survey.Looking(threshold, lossless, places.beside(pattern.folder, "copies"))
        found = survey.listed(engine, given, looking, progress)
        plan = _plan(engine, found, shards, said, before, pattern, progress)
        packing = Packing(pattern, run, _plan_id(plan), options, named)
        record.write(plan, {}, packing.plan)
        receipts, kept, failures = _work(engine, packing, found, plan, before is not None, progress)
        record.write(plan, receipts, packing.plan)
        if not failures:
            places.remove(pattern.folder)
    return _packed(pattern, receipts, kept, failures, found.notes)


def test(
    pattern: str,
    *,
    client: Any = None,
    jobs: int | None = None,
    model: str | None = None,
    max_bytes: int = MOST_BYTES,
    progress: Tell | None = None,
) -> Tested:
    """Decodes all shards of a set, writing nothing; a picture that claims more than `max_bytes` of samples is a problem.

    Raises:
        FormatError: nothing matches, or the set is not complete.
        OptionError: an option is out of its range, or of another type.
        VlaeError: as `pack`.
    """
    check_whole("max_bytes", max_bytes, 1)
    engine, seen = engine_of(client, jobs), _seen(client)
    engine.check()
    items, problems = _shards(seen(pattern)), list[str]()
    reading = Reading(Named.of(model, seen), max_bytes=max_bytes)
    for outcome in _told("testing", engine.run("test-shard", tasks.test, items, reading), items, progress):
        place = outcome.item.shard.place
        found = [_failure(outcome)] if outcome.result is None else outcome.result.problems
        problems += [f"{place}: {problem}" for problem in found]
    return Tested(len(items), sum(item.images for item in items), tuple(problems))


def unpack(
    pattern: str,
    folder: str,
    *,
    client: Any = None,
    jobs: int | None = None,
    only: Sequence[str] = (),
    seed: int = 0,
    temperature: float | None = None,
    model: str | None = None,
    force: bool = False,
    max_bytes: int = MOST_BYTES,
    progress: Tell | None = None,
) -> UnpackedSet:
    """Unpacks all shards of a set into one folder, which may be a URL.

    Args:
        only: as of `vlae_codec.unpack`; a name that no shard has is a problem.
        force: write into a folder that is not empty, and overwrite files in it.
        max_bytes: of samples of one shard.

    Raises:
        FormatError: nothing matches, or the set is not complete.
        OutputError: the folder is not empty, and `force` is not set.
        VlaeError: as `pack`.
        OptionError: an option is out of its range, or of another type.
    """
    Sampling(seed, temperature)
    check_texts("only", only)
    check_whole("max_bytes", max_bytes, 1)
    check_switches(force=force)
    engine, seen = engine_of(client, jobs), _seen(client)
    engine.check()
    items = _shards(seen(pattern))
    if not force and places.is_folder(folder) and not places.is_empty(folder):
        raise OutputError(f"{folder} is there, and not empty: force=True unpacks into it, or name another folder")
    reading = Reading(Named.of(model, seen), seen(folder), tuple(only), seed, temperature, max_bytes)
    problems, unmatched, read = list[str](), set(only), list[tasks.Read]()
    for outcome in _told("unpacking", engine.run("unpack-shard", tasks.unpack, items, reading), items, progress):
        if outcome.result is None:
            problems.append(f"{outcome.item.shard.place}: {_failure(outcome)}")
            continue
        read.append(outcome.result)
        unmatched &= {*outcome.result.unmatched}
        problems += [f"{outcome.item.shard.place}: {problem}" for problem in outcome.result.problems]
    maybe = LOST_NAME * any(one.lost_names for one in read)
    problems += [f"no shard has an image named {name}{maybe}" for name in sorted(unmatched)]
    notes = tuple(note for one in read for note in one.notes)
    written, sampled = sum(one.written for one in read), any(one.sampled for one in read)
    every = [one.unused for one in read if one.written]
    unused = frozenset.intersection(*every) if every else frozenset[str]()
    return UnpackedSet(written, tuple(problems), notes, sampled, unused)


def _seen(client: Any) -> Callable[[str], str]:
    """What makes a path what workers know it by: those of a cluster are in other folders."""
    return places.tidy if client is None else places.absolute


def _begun(record: Record, force: bool) -> Mapping[str, Any] | None:
    """The manifest of an unfinished run, to go on from; None to begin anew.

    Raises:
        OutputError: there is a set already, or there are files of strangers.
    """
    manifest, pattern = record.manifest(), record.pattern
    if force:
        record.forget(manifest)
        return None
    if manifest is not None and manifest.get("complete"):
        raise OutputError(f"{pattern.wildcard} exists, and is complete: force=True packs it anew, or give another name")
    if manifest is None:
        for place in (pattern.manifest, *places.expanded(pattern.wildcard)):
            if places.exists(place):
                raise OutputError(f"{place} exists: force=True overwrites the set, or give another name")
    return manifest


@dataclass(frozen=True)
class _Found:
    """What has been done so far, of so many."""

    what: str
    of_images: int
    of_shards: int
    progress: Tell | None
    kept: int = 0
    counts: list[int] = field(default_factory=lambda: [0, 0, 0])

    def add(self, images: int, size: int) -> None:
        """Counts a shard."""
        for at, more in enumerate((images, 1, size)):
            self.counts[at] += more
        self.tell()

    def tell(self) -> None:
        """Tells how far all is."""
        images, shards, size = self.counts
        if self.progress:
            self.progress(Tally(self.what, images, self.of_images, shards, self.of_shards, size, self.kept))


def _plan(
    engine: Engine,
    found: survey.Listed,
    shards: int,
    said: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    pattern: Pattern,
    progress: Tell | None,
) -> Plan:
    """How the images are divided: as an earlier run did, if there was one.

    Raises:
        OutputError: that one was of other images, or had other options.
    """
    if before is None:
        return Plan(said, found.inventory, survey.cut(survey.weighed(engine, found.sources, progress), shards))
    plan = Plan(said, found.inventory, planned(before))
    other = plan.matches(before) or (None if len(plan.images) == shards else f"{len(plan.images)} shards")
    if other or sum(plan.images) != found.images:
        raise OutputError(f"{pattern.manifest} was begun with {other or 'other images'}: force=True begins anew")
    return plan


def _plan_id(plan: Plan) -> str:
    return hashlib.sha256(json.dumps([dict(plan.options), plan.inventory, plan.images]).encode()).hexdigest()


def _work(
    engine: Engine,
    packing: Packing,
    found: survey.Listed,
    plan: Plan,
    resumed: bool,
    progress: Tell | None,
) -> tuple[dict[int, Receipt], int, list[str]]:
    """Packs the shards that are not there: receipts, how many were there, and which failed."""
    receipts, failures = dict[int, Receipt](), list[str]()
    if resumed:
        for outcome in engine.run("check-shards", tasks.whole, _several(plan.images), packing):
            receipts |= {receipt.shard: receipt for receipt in outcome.result or ()}
    whole, kept = len(receipts), sum(plan.images[number] for number in receipts)
    so_far = _Found("packing", sum(plan.images), len(plan.images), progress, kept)
    for number, receipt in receipts.items():
        so_far.counts[:] = [a + b for a, b in zip(so_far.counts, (plan.images[number], 1, receipt.size), strict=True)]
    so_far.tell()
    left = (part for part in survey.parts(found.sources, plan.images) if part.number not in receipts)
    for outcome in engine.run("pack-shard", tasks.pack, left, packing):
        if outcome.result is None:
            failures.append(f"{packing.pattern.place(outcome.item.number)} was not made: {outcome.error}")
            continue
        receipts[outcome.item.number] = outcome.result
        so_far.add(outcome.item.images, outcome.result.size)
    return receipts, whole, failures


def _several(images: Sequence[int]) -> Iterator[Several]:
    """All shards, of so many images each, to be checked: by themselves, or where they are many a few in each task."""
    size = min(_MOST_CHECKED, -(-len(images) // _MOST_TASKS))
    for first in range(0, len(images), size):
        numbers = range(first, min(first + size, len(images)))
        yield Several(numbers, sum(images[first : first + size]))


def _packed(
    pattern: Pattern, receipts: Mapping[int, Receipt], kept: int, failures: Sequence[str], left_out: Sequence[str]
) -> PackedSet:
    ledger, unsuitable = ArchiveLedger(), list[str]()
    for _, receipt in sorted(receipts.items()):
        ledger.merge(tasks.ledger_of(receipt))
        unsuitable += receipt.tallies.get("unsuitable", [])
    return PackedSet(
        pattern.manifest,
        ledger,
        len(receipts) + len(failures),
        kept,
        tuple(sorted(failures)),
        tuple(left_out),
        tuple(unsuitable),
    )


def _shards(pattern: str) -> list[OneShard]:
    """The shards of a set, as items of tasks."""
    return [OneShard(number, shard.images or 0, shard) for number, shard in enumerate(sets.find(pattern))]


def _failure(outcome: Outcome) -> str:
    """Why a shard could not be read, without its place."""
    return (outcome.error or "").removeprefix(f"{outcome.item.shard.place}: ")


def _told(
    what: str, outcomes: Iterable[Outcome], items: Sequence[OneShard], progress: Tell | None
) -> Iterator[Outcome]:
    """The same outcomes, told of as they come."""
    so_far = _Found(what, sum(item.images for item in items), len(items), progress)
    so_far.tell()
    for outcome in outcomes:
        yield outcome
        so_far.add(outcome.item.images, 0 if outcome.result is None else outcome.result.bytes)
