"""The codec measured on somebody's own images: theory, real files, real archives, and what baselines make of the same.

In: a `samples.Sample`. Out: a `tables.Measurement` and contact sheets. Twists a reader must know first:

- Everything is written and then decoded again, lossless files and archives pixel by pixel. What does not come back is
  an error, not a number.
- What is done is kept on disk until all is, so that a measurement which was stopped goes on. Searches, which take most of
  the time, are shared by lossy files, lossless files and the lossy archive.
- In an archive an image costs what it added to its chunk's payload, and an even share of all that is nobody's: headers,
  indices, the bottom of the stack, rounding. So the mean is the archive's.
- Archives hold a sample as an array if they can (`sets.sources.Memory`): names are not what is compared.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec import codec
from vlae_codec.archive import heads
from vlae_codec.archive import pack as packing
from vlae_codec.archive import unpack as unpacking
from vlae_codec.archive.chunks import CHUNK, Settings
from vlae_codec.archive.opened import Opened
from vlae_codec.errors import Progress, VlaeError
from vlae_codec.exact.threads import batches, cores
from vlae_codec.family import DEFAULT_EFFORT, EFFORTS, Ask, Coder, Remembering
from vlae_codec.options import check_switches, check_whole
from vlae_codec.picture.drawing import Drawing, looking, raster_of
from vlae_codec.picture.fields import field_count
from vlae_codec.picture.raster import Geometry
from vlae_codec.sets.sources import Memory

from . import baselines, kinds, page_codecs
from .judge import CLASSIFIER, classified, judge_of
from .kept import Arrays, Kept, place
from .samples import Sample
from .sheets import Sheet, extremes, resamplings
from .tables import Archive, Column, Measurement, percentiles

_CHUNKS = (100, 1000, 10_000)
_MORE_EFFORT = 3  # of lossless archives that take several samples
_PIECE = 64  # images, of twice as many fields at most, that are measured together and kept


@dataclass(frozen=True)
class Settled:
    """How to measure: size of the search, processes, whether baselines are measured too, and where the classifier is.

    Raises:
        OptionError: an option is out of range, or of another type.
    """

    effort: int = DEFAULT_EFFORT
    jobs: int = field(default_factory=cores)
    baselines: bool = True
    classifier: Path = CLASSIFIER

    def __post_init__(self) -> None:
        check_whole("effort", self.effort, EFFORTS[0], EFFORTS[-1])
        check_whole("jobs", self.jobs, 1)
        check_switches(baselines=self.baselines)


@dataclass(frozen=True)
class Measured:
    """What was measured, and contact sheets for `html`."""

    measurement: Measurement
    sheets: list[Sheet]


def measure(
    images: Sample, model: Coder, settled: Settled = Settled(), *, progress: Progress | None = None
) -> Measured:
    """All that there is to measure. What is done is kept on disk until all is, and a later call goes on from there.

    Raises:
        VlaeError: what was coded does not decode to what it was, or the classifier cannot be read.
    """
    drawings, notes = images.drawings, list(images.notes)
    judge = judge_of(images, settled.classifier, notes)
    model = model.remembering() if isinstance(model, Remembering) else model
    planned = _planned(drawings, settled)
    work = _Work(
        Kept(place(_content(drawings, model, settled))), progress, len(planned) + (4 if settled.baselines else 2)
    )
    columns = _theory(model, drawings, work)
    files = _single_files(model, drawings, settled.effort, columns, work)
    archives = _archives(model, drawings, settled.jobs, planned, columns, notes, work)
    asked = _baseline_columns(drawings, work) if settled.baselines else {}
    known: dict[str, list[str]] = {name: asked.pop(name).tolist() for name in ("known_to", "kept_by") if name in asked}
    columns |= asked
    measurement = Measurement(
        source=images.source,
        model=model.name,
        sha256=model.digest.hex(),
        images=len(drawings),
        pixels=sum(drawing.bits.size for drawing in drawings),
        per_image=columns,
        archives=archives,
        kinds=_kinds(images, known, {**asked, "lossless_file_bits": columns["lossless_file_bits"]}),
        sets=_sets(drawings, work) if settled.baselines else {},
        classified=classified(judge, images, files, model),
        unavailable=_unavailable(drawings) if settled.baselines else [],
        names=images.names,
        notes=[*notes, "Everything was decoded again: lossless files and archives give every pixel back."],
    )
    costs_bits = columns["archive_lossless_bits"]
    shown = [*resamplings(drawings, files, model, costs_bits), *extremes(drawings, costs_bits)]
    work.kept.clear()
    return Measured(measurement, shown)


@dataclass
class _Work:
    """The stages of a measurement, of which `begun` of `total` are begun; their results are `kept`."""

    kept: Kept
    progress: Progress | None
    total: int
    begun: int = 0

    def stage(self, name: str) -> Progress | None:
        """Begins a stage: what tells of it says its number and what it is for."""
        self.begun += 1
        if self.progress is None:
            return None
        tell, number = self.progress, f"{self.begun} of {self.total}"
        return lambda what, done, total: tell(f"{number}, {name}: {what}", done, total)


def _content(drawings: Sequence[Drawing], model: Coder, settled: Settled) -> Iterator[bytes]:
    """All that results depend on."""
    yield model.digest
    yield bytes([settled.effort])
    for drawing in drawings:
        yield repr((drawing.bits.shape, drawing.look)).encode()
        yield np.packbits(drawing.bits).tobytes()


# Theory and single files


def _theory(model: Coder, drawings: Sequence[Drawing], work: _Work) -> dict[str, Column]:
    progress = work.stage("theory")

    def made() -> dict[str, Column]:
        terms = model.theory([model.view(raster_of(drawing), Ask()) for drawing in drawings], progress)
        return {"kl_bits": terms.kl_bits, "distortion_bits": terms.distortion_bits}

    found = dict(work.kept.part("theory", made))
    return found | {"negative_elbo_bits": found["kl_bits"] + found["distortion_bits"]}


def _single_files(
    model: Coder, drawings: list[Drawing], effort: int, columns: dict[str, Column], work: _Work
) -> list[bytes]:
    """Fills in the columns of single files; the lossy files. Both kinds are made of few images at a time, and kept."""

    def made(some: list[Drawing], progress: Progress) -> dict[str, Column]:
        return _files_of(model, some, effort, progress)

    found = _in_pieces("files", "compressing and decompressing", drawings, made, work)
    files, at = list[bytes](), 0
    for bits in found["lossy_file_bits"]:
        files.append(found["lossy_files"][at : (at := at + int(bits) // 8)].tobytes())
    gap_bits = found["coded_latents_bits"] + found["pixel_bits"] - columns["negative_elbo_bits"]
    columns |= {"coded_latents_bits": found["coded_latents_bits"], "lossy_file_bits": found["lossy_file_bits"]}
    columns |= {"coding_gap_bits": gap_bits, "lossless_file_bits": found["lossless_file_bits"]}
    columns["differing_pixels"] = found["differing_pixels"]
    return files


def _in_pieces(
    name: str, what: str, drawings: list[Drawing], made: Callable[[list[Drawing], Progress], Arrays], work: _Work
) -> dict[str, npt.NDArray[Any]]:
    """Columns that are made of a few images at a time, and kept; told as so many images of all."""
    progress, parts, done = work.stage(name), list[Arrays](), 0
    pieces = batches(drawings, lambda drawing: field_count(*drawing.bits.shape), _PIECE, 2 * _PIECE)
    for number, piece in enumerate(pieces):

        def told(_what: str, now: int, of: int, before: int = done, size: int = len(piece)) -> None:
            if progress:
                progress(what, before + size * now // of, len(drawings))

        parts.append(work.kept.part(f"{name}-{number}", partial(made, piece, told)))
        done += len(piece)
        told("", 1, 1)
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _files_of(model: Coder, drawings: list[Drawing], effort: int, progress: Progress) -> dict[str, npt.NDArray[Any]]:
    """What single files of a few images cost. Four parts, of which searching takes most of the time."""

    def part(begin: float, end: float) -> Progress:
        return lambda what, done, of: progress(what, int(1000 * (begin + (end - begin) * done / of)), 1000)

    lossy = codec.encode(drawings, model, effort=effort, progress=part(0, 0.6))
    lossless = codec.encode(drawings, model, effort=effort, lossless=True, progress=part(0.6, 0.9))
    resampled = codec.decode([one.data for one in lossy], model=model, progress=part(0.9, 0.95))
    exact = codec.decode([one.data for one in lossless], model=model, progress=part(0.95, 1))
    differing = [
        _differing(looking(one.drawing, drawing.look), drawing)
        for one, drawing in zip(resampled, drawings, strict=True)
    ]
    for a, b in zip(exact, drawings, strict=True):
        _check(_same(looking(a.drawing, b.look), b), "a lossless file")
    for one, pixels_differ in zip(lossy, differing, strict=True):
        _check(one.ledger.differing_pixels == pixels_differ, "a lossy file")
    return {
        "coded_latents_bits": np.array([float(one.ledger.coded_bits) for one in lossy]),
        "pixel_bits": np.array([one.ledger.distortion_bits for one in lossy]),
        "lossy_file_bits": np.array([8.0 * len(one.data) for one in lossy]),
        "lossless_file_bits": np.array([8.0 * len(one.data) for one in lossless]),
        "differing_pixels": np.array(differing, float),
        "lossy_files": np.frombuffer(b"".join(one.data for one in lossy), np.uint8),
    }


def _same(a: Drawing, b: Drawing) -> bool:
    return a.look == b.look and np.array_equal(a.bits, b.bits)


def _differing(a: Drawing, b: Drawing) -> int:
    return int((a.bits != b.bits).sum())


def _check(holds: bool, what: str) -> None:
    if not holds:
        raise VlaeError(f"{what} does not decode to what was coded, so nothing was measured: please report this")


# Archives


def _planned(drawings: list[Drawing], settled: Settled) -> list[Settings]:
    """The archives to measure: lossless ones of several chunk sizes, with more samples, without order; a lossy one last."""
    count = len(drawings)
    sizes = [size for size in _CHUNKS if size <= count] or [count]
    found = [Settings(chunk=size) for size in sizes]
    found.append(Settings(effort=_MORE_EFFORT, chunk=_usual(count)))
    if _is_set(drawings):
        whole = min(count, heads.LARGEST_CHUNK)
        found += [Settings(ordered=False, effort=effort, chunk=whole) for effort in (0, _MORE_EFFORT)]
    return [*found, Settings(lossless=False, effort=settled.effort, chunk=min(count, CHUNK))]


def _usual(count: int) -> int:
    """How many of so many images are together in the archive that stands for lossless ones."""
    sizes = [size for size in _CHUNKS if size <= count] or [count]
    return CHUNK if CHUNK in sizes else sizes[-1]


def _archives(
    model: Coder,
    drawings: list[Drawing],
    jobs: int,
    planned: list[Settings],
    columns: dict[str, Column],
    notes: list[str],
    work: _Work,
) -> list[Archive]:
    """Real archives, and the columns of the two that are as `pack` makes them unless asked otherwise."""
    found, usual = list[Archive](), _usual(len(drawings))
    for number, settings in enumerate(planned):
        kind, order = "lossless" if settings.lossless else "lossy", "kept" if settings.ordered else "given up"
        together = f"{settings.chunk_images:,} images together"
        told = work.stage(f"{kind} archive, {together}, order {order}, {settings.samples} samples an image")
        made = partial(_archive, model, drawings, settings, jobs, told)
        part = work.kept.part(f"archive-{number}", made)
        found.append(json.loads(str(part["entry"])))
        usual_one = settings.ordered and settings.samples == 1 and settings.chunk_images == usual
        if settings.lossless and usual_one:
            columns["archive_lossless_bits"] = part["image_bits"]
        if not settings.lossless:
            columns["archive_lossy_bits"] = part["image_bits"]
            lossy = settings.chunk_images
    if not _is_set(drawings):
        notes.append("No archive without order: that needs images of one size and look, 28x28 at most.")
    notes.append(f"“In an archive”: with {usual:,} images together, lossless, and {lossy:,}, lossy, order kept.")
    return found


def _archive(
    model: Coder, drawings: list[Drawing], settings: Settings, jobs: int, told: Progress | None
) -> dict[str, npt.NDArray[Any]]:
    """One archive: its entry in a measurement, and what each image costs in it (nothing of use if order is lost)."""
    out, kind = io.BytesIO(), "lossless" if settings.lossless else "lossy"
    if not settings.lossless:
        jobs = 1  # here the model remembers what single files searched for
    ledger = packing.pack([Memory(drawings)], out, model, settings, jobs=jobs, progress=told)
    total_bits = 8 * len(out.getvalue())
    assert abs(sum(ledger.bits.values()) - total_bits) < 1e-3
    restored = _unpacked(model, out, jobs, told)
    _check(_as_promised(restored, drawings, settings), f"the {kind} archive of {settings.chunk_images} images together")
    entry = {
        "kind": kind,
        "order": "kept" if settings.ordered else "unordered",
        "chunk": settings.chunk_images,
        "samples": settings.samples,
        "bytes": total_bits // 8,
        "bits_per_image": total_bits / len(drawings),
        "theory": ledger.theory_bits(),
        "ledger": {name: bits for name, bits in ledger.bits.items() if bits},
    }
    own_bits = np.array(ledger.image_bits or [0.0])
    image_bits = own_bits + (total_bits - own_bits.sum()) / len(drawings)
    if ledger.image_bits:
        entry |= percentiles(image_bits)
    return {"entry": np.array(json.dumps(entry)), "image_bits": image_bits}


def _unpacked(model: Coder, out: io.BytesIO, jobs: int, progress: Progress | None) -> list[Drawing]:
    pieces = unpacking.unpack(Opened(out), model=model, jobs=jobs, progress=progress)
    return [picture.drawing for piece in pieces for picture in piece.pictures]


def _as_promised(restored: list[Drawing], drawings: list[Drawing], settings: Settings) -> bool:
    """Whether an archive gave back what it should: all images, of the same form; if lossless, with the same pixels."""
    if len(restored) != len(drawings):
        return False
    restored = [*map(looking, restored, (drawing.look for drawing in drawings))]
    if not settings.lossless:
        return list(map(_form, restored)) == list(map(_form, drawings))
    if not settings.ordered:
        restored, drawings = (sorted(some, key=lambda drawing: drawing.bits.tobytes()) for some in (restored, drawings))
    return all(map(_same, restored, drawings))


def _is_set(drawings: Sequence[Drawing]) -> bool:
    return len({*map(_form, drawings)}) == 1 and field_count(*drawings[0].bits.shape) == 1


def _form(drawing: Drawing) -> Geometry:
    return raster_of(drawing).geometry


# Baselines


def _baseline_columns(drawings: list[Drawing], work: _Work) -> dict[str, Any]:
    """Of other codecs; of drawings that are not sheets of fields also of those for pages, and of the models that suit."""
    pages = page_codecs.are_pages(drawings)

    def made(some: list[Drawing], _progress: Progress) -> dict[str, Any]:
        return {**baselines.columns(some), **(page_codecs.columns(some) if pages else {})}

    return _in_pieces("baselines", "image by image", drawings, made, work)


def _kinds(images: Sample, known: dict[str, list[str]], columns: dict[str, Column]) -> list[kinds.OfKind]:
    """Exact files by kind, by columns of files; `known` is what `page_codecs` says of who knows each image and keeps it."""
    names = images.names or [""] * len(images.drawings)
    return kinds.by_kind(kinds.kinds_of(names, **known), [one.bits.size for one in images.drawings], columns)


def _unavailable(drawings: list[Drawing]) -> list[str]:
    return [*baselines.unavailable(), *(page_codecs.unavailable() if page_codecs.are_pages(drawings) else [])]


def _sets(drawings: list[Drawing], work: _Work) -> dict[str, dict[str, object]]:
    if progress := work.stage("general compressors"):
        progress("all images at once", 0, len(drawings))
    made = work.kept.part("sets", lambda: {"sets": np.array(json.dumps(baselines.of_sets(drawings)))})
    found: dict[str, dict[str, object]] = json.loads(str(made["sets"]))
    return found
