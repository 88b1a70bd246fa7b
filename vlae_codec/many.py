"""Many pictures or files: results as they come, in order. One that cannot be read or coded does not stop the others.

    for one in vlae_codec.compress_files(paths):
        if one.error is None:
            one.path.with_suffix(".vlz").write_bytes(one.encoded.data)

Inputs are read as they are needed, and drawings coded in batches of bounded size; results are the same as one by one.
With `jobs`, several batches are coded at once, each in a process of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from . import codec, container, container2, zoo
from .codec import Encoded, Kept
from .errors import FormatError, ImageError, Progress, VlaeError, named
from .exact.threads import batches
from .family import DEFAULT_EFFORT, Ask, Banded, Coder, Decoded, Sampling
from .options import check_switches, check_whole
from .picture.fields import field_count
from .picture.metadata import Metadata

if TYPE_CHECKING:
    from .choose import Chooser, Seen

PathLike = str | os.PathLike[str]
Read = Callable[[Path], bytes]
"""How the bytes of an input are had."""
_BATCH, _BATCH_FIELDS = 256, 1 << 13  # the most inputs and fields of a batch
_BATCH_APART = 32  # the most inputs of a batch of one of several processes
_BANDED_PIXELS = 1 << 23  # of what is large enough to come in bands: more than a batch has of several files

T = TypeVar("T")
R = TypeVar("R")


LOSSY_KINDS = frozenset({"JPEG", "MPO", "JPEG2000", "AVIF", "WEBP"})
"""Pillow's names of formats whose files are mostly lossy; lossless WebP has a name of our own."""


@dataclass(frozen=True)
class Compressed:
    """What one picture became: a file and its ledger, or why there is none.

    source_bytes: of the picture file that it was made of. source_kind: Pillow's name of its format.
    """

    path: Path
    encoded: Encoded | None
    error: VlaeError | None = None
    source_bytes: int = 0
    source_kind: str = ""

    def result(self) -> Encoded:
        """The file and its ledger; raises the error if there is one."""
        if self.encoded is None:
            raise self.error or VlaeError(f"{self.path} was not compressed")
        return self.encoded

    @property
    def why_larger(self) -> str | None:
        """Why the file is larger than the picture file that it was made of; None if it is not."""
        if self.encoded is None or not 0 < self.source_bytes < len(self.encoded.data):
            return None
        kind, lossy = self.source_kind or "file", self.source_kind in LOSSY_KINDS
        if self.encoded.ledger.psnr_db is not None:
            return f"the {kind} has less of the picture: a lower quality, or a size to keep below, makes it smaller"
        if lossy:
            return f"its pixels cost more than the {kind} itself, which is lossy"
        return f"the {kind} is as small as such a picture gets"


@dataclass(frozen=True)
class Decompressed:
    """What one file became: a picture for each sampling, or why there is none; or one that is still to come, in bands."""

    path: Path
    decoded: list[Decoded]
    error: VlaeError | None = None
    banded: Banded | None = None

    def result(self) -> list[Decoded]:
        """The pictures; raises the error if there is one."""
        if self.error is not None:
            raise self.error
        return self.decoded if self.banded is None else [self.banded.joined()]

    @property
    def unused(self) -> frozenset[str]:
        """What could be asked for and has no say in the pictures, see `Decoded`; "samples" if all are the same."""
        pictures = self.decoded if self.banded is None else [self.banded]
        unused = frozenset.intersection(*(one.unused for one in pictures)) if pictures else frozenset[str]()
        return unused | {"samples"} if "seed" in unused else unused


def read_file(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        VlaeError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise VlaeError(f"cannot read {path}: {error.strerror or error}") from error


def compress_files(
    paths: Sequence[PathLike],
    *,
    lossless: bool = False,
    lossy: bool = False,
    effort: int = DEFAULT_EFFORT,
    quality: float | None = None,
    bpp: float | None = None,
    size_bytes: int | None = None,
    model: Coder | str = zoo.AUTO,
    threshold: int | None = None,
    keep: Callable[[Metadata], Metadata] = Metadata.plain,
    page: int | None = None,
    verify: bool = False,
    jobs: int = 1,
    read: Read = read_file,
    progress: Progress | None = None,
) -> Iterator[Compressed]:
    """Compresses picture files, in order.

    Args:
        lossless: keep every pixel, not only the structure.
        lossy: sample drawings even if no model knows their like, and keep nothing exactly.
        effort: size of the search, 0 to 9.
        quality, bpp, size_bytes: how good a lossy photo is, as of `compress`.
        model: one that was loaded, the name of a released one, or a folder; "auto" is the one that suits each picture.
        threshold: binarise, with luminance above this, 0 to 254, as the light level.
        keep: what of a picture's metadata its file keeps; of itself neither EXIF nor XMP.
        page: of files of several images, the one of that number, from 1.
        verify: decode each file and compare.
        jobs: processes. With more than one, call this below `if __name__ == "__main__"`.
        read: gives the bytes of an input, or raises VlaeError.
        progress: told (what, done, total).

    Raises:
        ModelError: the model is unknown or damaged.
        OptionError: an option is out of range, or of another type.
    """
    from .choose import chooser
    from .picture.reading import Readable

    _check(jobs, verify=verify)
    check_whole("page", page, 1, optional=True)
    choice = chooser(Ask(lossless, effort, quality, bpp, size_bytes, threshold), model, keep, lossy)

    def opened(path: Path) -> _Picture:
        data, name = read(path), str(path)
        source = Readable.of_file(data, name, exact=lossless, threshold=threshold, page=page)
        try:
            seen = choice.see(source)
            return _Picture(seen, len(data), "lossless WebP" if b"VP8L" in data[:64] else seen.kind)
        except ImageError as error:
            raise ImageError(named(str(error), name)) from error

    def weight(one: _Given[_Picture]) -> int:
        if one.content is None:
            return 0
        drawing = one.content.seen.drawing  # all else is coded picture by picture, and waits for no other
        return field_count(*drawing.raster.samples.shape[:2]) if drawing else _BATCH_FIELDS

    shared, paths = (choice, verify), _listed(paths)
    yield from _each(_compressed, shared, _given(paths, opened), weight, len(paths), jobs, "compressing", progress)


def decompress_files(
    paths: Sequence[PathLike],
    samplings: Sequence[Sampling] = (Sampling(),),
    *,
    partial: bool = False,
    model: Coder | str | None = None,
    in_bands: bool = False,
    jobs: int = 1,
    read: Read = read_file,
    progress: Progress | None = None,
) -> Iterator[Decompressed]:
    """Decompresses files, in order, each by all `samplings`.

    Args:
        partial: accept a lossless file that is cut short after its latent section.
        model: for files that name no released one: a model that was loaded, or its folder.
        in_bands: large photographs come as `banded`, rows as they are decoded, with one process and one sampling.
        jobs, read, progress: as of `compress_files`.

    Raises:
        ModelError: the model is unknown or damaged.
        OptionError: an option is out of range, or of another type.
    """
    _check(jobs, partial=partial, in_bands=in_bands)
    codec.check_samplings(samplings)
    chosen = zoo.given(model)

    def weight(one: _Given[bytes]) -> int:
        try:
            data = one.content or b""
            if container2.is_version2(data):
                geometry = container2.read_file2(data).header.geometry
                return field_count(geometry.height, geometry.width) * len(samplings)
            return container.read_header(container2.unexplained(data)[1])[0].fields * len(samplings)
        except FormatError:
            return 0  # to be told of when it is decoded

    banding = in_bands and jobs == 1 and len(samplings) == 1
    shared, paths = (chosen, tuple(samplings), partial, banding), _listed(paths)
    yield from _each(_decompressed, shared, _given(paths, read), weight, len(paths), jobs, "decompressing", progress)


def _check(jobs: int, **switches: bool) -> None:
    """Raises OptionError if one of them is of another type, or out of range."""
    check_whole("jobs", jobs, 1)
    check_switches(**switches)


@dataclass(frozen=True)
class _Given(Generic[T]):
    """An input as read, or why it cannot be."""

    path: Path
    content: T | None
    error: VlaeError | None


@dataclass(frozen=True)
class _Batch(Generic[T]):
    """Inputs that are coded together."""

    given: list[_Given[T]]

    @property
    def images(self) -> int:
        return len(self.given)

    @property
    def sound(self) -> list[T]:
        return [one.content for one in self.given if one.content is not None]


def _listed(paths: Sequence[PathLike]) -> list[PathLike]:
    """Paths; one alone stands for itself, not for its letters."""
    if isinstance(paths, str | os.PathLike):
        return [paths]
    if not isinstance(paths, Iterable):
        raise TypeError(f"files are given by their paths, not as {type(paths).__name__}")
    return [*paths]


def _given(paths: Sequence[PathLike], read: Callable[[Path], T]) -> Iterator[_Given[T]]:
    for path in map(Path, paths):
        try:
            yield _Given(path, read(path), None)
        except VlaeError as error:
            yield _Given(path, None, error)
        except OSError as error:
            yield _Given(path, None, VlaeError(f"cannot read {path}: {error.strerror or error}"))


Work = Callable[[Any, _Batch[Any], Progress | None], list[R]]


def _each(
    work: Work[R], shared: Any, given: Iterator[_Given[T]], weight: Callable[[_Given[T]], int], total: int, jobs: int,
    what: str, progress: Progress | None,
) -> Iterator[R]:  # fmt: skip
    """The results of all inputs, batch by batch; several batches at once if there are several `jobs`."""
    most = _BATCH if jobs == 1 else min(_BATCH_APART, -(-total // jobs))
    cut = (_Batch(batch) for batch in batches(given, weight, max(1, most), _BATCH_FIELDS))
    if jobs > 1:
        from .archive.jobs import Report, spread  # only who asks for processes pays for their modules

        for results in spread(_apart, cut, (work, shared), jobs, Report(what, total, progress)):
            yield from results
        return
    done = 0
    for batch in cut:
        yield from work(shared, batch, _part(progress, done, batch.images, total))
        done += batch.images
        if progress and total > 1:
            progress(what, done, total)


def _apart(shared: tuple[Work[R], Any], batch: _Batch[Any], _done: Callable[[float], None]) -> list[R]:
    work, own = shared
    return work(own, batch, None)


def _part(progress: Progress | None, before: int, inputs: int, total: int) -> Progress | None:
    """Tells of a part of long work: so many inputs of all, which `before` others came before; the last one is told of later.

    Each may be gone over more than once.
    """
    if progress is None or total == 1:
        return progress
    return lambda what, done, of: progress(what, before + min(inputs * done // of, inputs - 1), total)


@dataclass(frozen=True)
class _Picture:
    """A picture file that can be coded: what was read, how many bytes it has, and the kind of file."""

    seen: Seen
    bytes: int
    kind: str


def _compressed(shared: tuple[Chooser, bool], batch: _Batch[_Picture], progress: Progress | None) -> list[Compressed]:
    choice, verify = shared
    coded = iter(zip(codec.smallest(choice, [one.seen for one in batch.sound], progress), batch.sound, strict=True))
    results = []
    for one in batch.given:
        if one.error:
            results.append(Compressed(one.path, None, one.error))
            continue
        made, picture = next(coded)
        if isinstance(made, ImageError):
            results.append(Compressed(one.path, None, ImageError(f"{one.path}: {made}")))
            continue
        error = _difference(made, choice, progress) if verify else None
        results.append(Compressed(one.path, None if error else made.encoded, error, picture.bytes, picture.kind))
    return results


def _difference(kept: Kept, choice: Chooser, progress: Progress | None) -> VlaeError | None:
    """What is wrong if a file does not decode to what its ledger says; of a lossy photo that is without drawn texture."""
    model, ledger = choice.coder(kept.way.which), kept.encoded.ledger
    meant = Sampling(temperature=None if ledger.psnr_db is None else 0.0)
    decoded = codec.decode([kept.encoded.data], meant, model=model, progress=progress)[0].raster.as_stored()
    original = kept.way.view.raster.as_stored()
    if decoded.geometry != original.geometry:
        return VlaeError("verification failed: it decodes to a picture of another size or kind; please report this")
    differing = int((decoded.samples != original.samples).any(axis=2).sum())
    promised = ledger.differing_pixels
    if differing == promised:
        return None
    return VlaeError(f"verification failed: {differing} pixels differ, not {promised}; please report this")


def _decompressed(
    shared: tuple[Coder | None, Sequence[Sampling], bool, bool], batch: _Batch[bytes], progress: Progress | None
) -> list[Decompressed]:
    """All files of a batch together; if that fails, one by one, to tell the bad ones from the good."""
    model, samplings, partial, in_bands = shared
    try:
        if in_bands and (banded := _banded(batch, samplings[0], partial, model, progress)):
            return [Decompressed(batch.given[0].path, [], banded=banded)]
        together = codec.decode_samples(batch.sound, samplings, partial=partial, model=model, progress=progress)
    except VlaeError:
        return [_decompressed_alone(one, model, samplings, partial) for one in batch.given]
    decoded = iter(together)
    return [Decompressed(one.path, [] if one.error else next(decoded), one.error) for one in batch.given]


def _banded(
    batch: _Batch[bytes], sampling: Sampling, partial: bool, model: Coder | None, progress: Progress | None
) -> Banded | None:
    """The picture of a large file in bands, if its model has such; large ones come alone."""
    if len(batch.given) > 1 or not batch.sound:
        return None
    (data,) = batch.sound
    geometry, _ = codec.heading(data)
    if geometry.width * geometry.height < _BANDED_PIXELS:
        return None
    return codec.decode_bands(data, sampling, partial=partial, model=model, progress=progress)


def _decompressed_alone(
    one: _Given[bytes], model: Coder | None, samplings: Sequence[Sampling], partial: bool
) -> Decompressed:
    if one.content is None:
        return Decompressed(one.path, [], one.error)
    try:
        (decoded,) = codec.decode_samples([one.content], samplings, partial=partial, model=model)
    except VlaeError as error:
        return Decompressed(one.path, [], error)
    return Decompressed(one.path, decoded)
