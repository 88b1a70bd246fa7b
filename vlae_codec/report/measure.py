"""The codec measured on somebody's own images: theory, real files, real archives, and what baselines make of the same.

In: sources as `pack` takes them. Out: a `tables.Measurement` and contact sheets. Twists a reader must know first:

- Everything is written and then decoded again, lossless files and archives pixel by pixel. What does not come back is
  an error, not a number.
- A sample is drawn with a fixed seed, not cut off the front: sets are often sorted by class. It keeps its order.
- In an archive an image costs what it added to its chunk's payload, and an even share of all that is nobody's: headers,
  indices, the bottom of the stack, rounding. So the mean is the archive's.
- Archives hold a sample as an array if they can (`sets.sources.Memory`): names are not what is compared.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vlae_codec import codec
from vlae_codec.archive import chunks, frame
from vlae_codec.archive import pack as packing
from vlae_codec.archive import unpack as unpacking
from vlae_codec.archive.chunks import CHUNK, Settings
from vlae_codec.archive.opened import Opened
from vlae_codec.codec import Encoded
from vlae_codec.errors import Progress, VlaeError
from vlae_codec.exact.threads import cores
from vlae_codec.family import DEFAULT_EFFORT, Ask, Coder, Decoded
from vlae_codec.picture.drawing import Drawing, looking, raster_of
from vlae_codec.picture.fields import SIDE, Bits
from vlae_codec.sets import labels
from vlae_codec.sets.labels import Labels
from vlae_codec.sets.sources import Memory, gather, pick

from . import baselines
from .sheets import Sheet, extremes, resamplings
from .tables import Archive, Column, Measurement, percentiles

CLASSIFIER = Path("runs/classifier.pt")
"""Where `models.classifier` is kept."""
_CHUNKS = (100, 1000, 10_000)
_MORE_EFFORT = 3  # of lossless archives that take several samples
_SEED = 0
_PIECE = 50  # images between two reports of progress
Judge = Callable[[Bits], npt.NDArray[np.int64]]
"""Fields (n, 28, 28) -> the classes read in them, (n,)."""


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


@dataclass(frozen=True)
class Settled:
    """How to measure: size of the search, processes, whether baselines are measured too, and where the classifier is."""

    effort: int = DEFAULT_EFFORT
    jobs: int = field(default_factory=cores)
    baselines: bool = True
    classifier: Path = CLASSIFIER


@dataclass(frozen=True)
class Measured:
    """What was measured, and contact sheets for `html`."""

    measurement: Measurement
    sheets: list[Sheet]


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
            chosen = np.sort(np.random.default_rng(_SEED).permutation(total)[:count])
            notes.append(
                f"A random sample: {count:,} of {total:,} images, drawn with a fixed seed, the same each time."
            )
        names, drawings = map(list, zip(*pick(gathered.sources, chosen), strict=True))
        read = [*gathered.files(), *([labels.file_of(labelled)] if labelled else [])]
    notes += sorted({f"Images were {drawing.note}." for drawing in drawings if drawing.note})
    return Sample(_shown(paths), drawings, None if classes is None else classes[chosen], notes, names, read)


def measure(
    images: Sample, model: Coder, settled: Settled = Settled(), *, progress: Progress | None = None
) -> Measured:
    """All that there is to measure.

    Raises:
        VlaeError: what was coded does not decode to what it was, or the classifier cannot be read.
    """
    drawings, notes = images.drawings, list(images.notes)
    judge = _judge(images, settled.classifier, notes)
    columns = _theory(model, drawings, _staged(progress, "theory"))
    files, decoded = _single_files(model, drawings, settled.effort, columns, progress)
    archives = _archives(model, drawings, settled, columns, notes, progress)
    if settled.baselines:
        columns |= _baseline_columns(drawings, progress)
    measurement = Measurement(
        source=images.source,
        model=model.name,
        sha256=model.digest.hex(),
        images=len(drawings),
        pixels=sum(drawing.bits.size for drawing in drawings),
        per_image=columns,
        archives=archives,
        sets=_sets(drawings, progress) if settled.baselines else {},
        classified=_classified(judge, images, decoded),
        unavailable=baselines.unavailable() if settled.baselines else [],
        names=images.names,
        notes=[*notes, "Everything was decoded again: lossless files and archives give every pixel back."],
    )
    costs_bits = columns["archive_lossless_bits"]
    shown = [*resamplings(drawings, files, model, costs_bits), *extremes(drawings, costs_bits)]
    return Measured(measurement, shown)


def _shown(paths: Sequence[str]) -> str:
    names = [Path(path).name or path for path in paths]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _staged(progress: Progress | None, stage: str) -> Progress | None:
    """The same, told what the work is for."""
    return progress and (lambda what, done, total: progress(f"{stage}: {what}", done, total))


# Theory and single files


def _theory(model: Coder, drawings: Sequence[Drawing], progress: Progress | None) -> dict[str, Column]:
    terms = model.theory([model.view(raster_of(drawing), Ask()) for drawing in drawings], progress)
    kl_bits, mean_bits = terms.kl_bits, terms.distortion_bits
    return {"kl_bits": kl_bits, "distortion_bits": mean_bits, "negative_elbo_bits": kl_bits + mean_bits}


def _single_files(
    model: Coder, drawings: list[Drawing], effort: int, columns: dict[str, Column], progress: Progress | None
) -> tuple[list[bytes], list[Drawing]]:
    """Fills in the columns of single files; the lossy files, and what they decode to."""
    lossy, resampled = _there_and_back(model, drawings, effort, False, _staged(progress, "lossy files"))
    lossless, exact = _there_and_back(model, drawings, effort, True, _staged(progress, "lossless files"))
    differing = [
        _differing(looking(one.drawing, drawing.look), drawing)
        for one, drawing in zip(resampled, drawings, strict=True)
    ]
    for index, (a, b) in enumerate(zip(exact, drawings, strict=True)):
        _check(_same(looking(a.drawing, b.look), b), f"the lossless file of image {index}")
    for index, (one, pixels_differ) in enumerate(zip(lossy, differing, strict=True)):
        _check(one.ledger.differing_pixels == pixels_differ, f"the lossy file of image {index}")
    coded_bits, pixel_bits = (
        np.array([getattr(one.ledger, key) for one in lossy]) for key in ("coded_bits", "distortion_bits")
    )
    columns["coded_latents_bits"] = coded_bits
    columns["lossy_file_bits"] = np.array([8.0 * len(one.data) for one in lossy])
    columns["coding_gap_bits"] = coded_bits + pixel_bits - columns["negative_elbo_bits"]
    columns["lossless_file_bits"] = np.array([8.0 * len(one.data) for one in lossless])
    columns["differing_pixels"] = np.array(differing, float)
    return [one.data for one in lossy], [one.drawing for one in resampled]


def _there_and_back(
    model: Coder, drawings: list[Drawing], effort: int, lossless: bool, progress: Progress | None
) -> tuple[list[Encoded], list[Decoded]]:
    encoded = codec.encode(drawings, model, lossless=lossless, effort=effort, progress=progress)
    return encoded, codec.decode([one.data for one in encoded], model=model, progress=progress)


def _same(a: Drawing, b: Drawing) -> bool:
    return a.look == b.look and np.array_equal(a.bits, b.bits)


def _differing(a: Drawing, b: Drawing) -> int:
    return int((a.bits != b.bits).sum())


def _check(holds: bool, what: str) -> None:
    if not holds:
        raise VlaeError(f"{what} does not decode to what was coded, so nothing was measured: please report this")


# Archives


def _archives(
    model: Coder,
    drawings: list[Drawing],
    settled: Settled,
    columns: dict[str, Column],
    notes: list[str],
    progress: Progress | None,
) -> list[Archive]:
    """Real archives, and the columns of the two that are as `pack` makes them unless asked otherwise."""
    count, found = len(drawings), list[Archive]()
    sizes = [size for size in _CHUNKS if size <= count] or [count]
    usual = CHUNK if CHUNK in sizes else sizes[-1]
    for size in sizes:
        entry, image_bits = _archive(model, drawings, Settings(chunk=size), settled.jobs, progress)
        found.append(entry)
        if size == usual:
            columns["archive_lossless_bits"] = image_bits
    found.append(_archive(model, drawings, Settings(effort=_MORE_EFFORT, chunk=usual), settled.jobs, progress)[0])
    if _is_set(drawings):
        for effort in (0, _MORE_EFFORT):
            whole = Settings(ordered=False, effort=effort, chunk=min(count, frame.LARGEST_CHUNK))
            found.append(_archive(model, drawings, whole, settled.jobs, progress)[0])
    else:
        notes.append("No archive without order: that needs images of one size and look, 28x28 at most.")
    lossy = Settings(lossless=False, effort=settled.effort, chunk=min(count, CHUNK))
    entry, columns["archive_lossy_bits"] = _archive(model, drawings, lossy, settled.jobs, progress)
    notes.append(
        f"“In an archive”: with {usual:,} images together, lossless, and {lossy.chunk_images:,}, lossy, order kept."
    )
    return [*found, entry]


def _archive(
    model: Coder, drawings: list[Drawing], settings: Settings, jobs: int, progress: Progress | None
) -> tuple[Archive, Column]:
    """One archive: its entry in a measurement, and what each image costs in it (nothing of use if order is lost)."""
    kind, order = "lossless" if settings.lossless else "lossy", "kept" if settings.ordered else "given up"
    what = (
        f"{kind} archive, {settings.chunk_images:,} images together, order {order}, {settings.samples} samples an image"
    )
    told = _staged(progress, what)
    out = io.BytesIO()
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
    return entry, image_bits


def _unpacked(model: Coder, out: io.BytesIO, jobs: int, progress: Progress | None) -> list[Drawing]:
    pieces = unpacking.unpack(Opened(out), model=model, jobs=jobs, progress=progress)
    return [drawing for piece in pieces for drawing in piece.drawings]


def _as_promised(restored: list[Drawing], drawings: list[Drawing], settings: Settings) -> bool:
    """Whether an archive gave back what it should: all images, of the same form; if lossless, with the same pixels."""
    if len(restored) != len(drawings):
        return False
    restored = [*map(looking, restored, (drawing.look for drawing in drawings))]
    if not settings.lossless:
        return list(map(chunks.format_of, restored)) == list(map(chunks.format_of, drawings))
    if not settings.ordered:
        restored, drawings = (sorted(some, key=lambda drawing: drawing.bits.tobytes()) for some in (restored, drawings))
    return all(map(_same, restored, drawings))


def _is_set(drawings: Sequence[Drawing]) -> bool:
    forms = {chunks.format_of(drawing) for drawing in drawings}
    return len(forms) == 1 and forms.pop().fields == 1


# Baselines and the classifier


def _baseline_columns(drawings: list[Drawing], progress: Progress | None) -> dict[str, Column]:
    parts = []
    for start in range(0, len(drawings), _PIECE):
        parts.append(baselines.columns(drawings[start : start + _PIECE]))
        if progress:
            progress("baselines, image by image", min(start + _PIECE, len(drawings)), len(drawings))
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _sets(drawings: list[Drawing], progress: Progress | None) -> dict[str, dict[str, object]]:
    if progress:
        progress("general compressors, all images at once", 0, len(drawings))
    return baselines.of_sets(drawings)


def _judge(images: Sample, path: Path, notes: list[str]) -> Judge | None:
    """The classifier, read before anything long begins; without one a note says what is missing.

    Raises:
        VlaeError: its file cannot be read.
    """
    problem = _unjudged(images, path)
    if problem:
        notes.append(f"No classifier read the images: {problem}.")
        return None
    from vlae_codec.models import classifier

    try:
        trained = classifier.digits(path)
    except Exception as error:  # torch fails in many ways on what is no file of its own
        raise VlaeError(f"{path} is no classifier of ours, or a damaged one") from error
    return lambda fields: classifier.classify(trained, fields)


def _unjudged(images: Sample, path: Path) -> str | None:
    """Why the classifier cannot judge these images, if it cannot."""
    if images.labels is None:
        return "their classes are not known, and --labels can name them"
    if any(drawing.bits.shape != (SIDE, SIDE) for drawing in images.drawings):
        return f"it knows digits of {SIDE}x{SIDE} pixels only"
    if images.labels.min() < 0 or images.labels.max() > 9:
        return "it knows the classes 0 to 9 only"
    if importlib.util.find_spec("torch") is None:
        return "it needs torch (pip install 'vlae-codec[train]')"
    return None if path.exists() else f"there is none at {path} (benchmarks/quality.py trains one)"


def _classified(judge: Judge | None, images: Sample, decoded: list[Drawing]) -> dict[str, int] | None:
    if judge is None:
        return None
    as_given = [*map(looking, decoded, (drawing.look for drawing in images.drawings))]
    seen = [np.stack([drawing.bits for drawing in some]) for some in (images.drawings, as_given)]
    before, after = (int((judge(fields) == images.labels).sum()) for fields in seen)
    return {"images": len(decoded), "originals_right": before, "lossy_right": after}
