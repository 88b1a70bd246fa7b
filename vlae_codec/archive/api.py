"""Archives by path: what the package's `pack` and `unpack` do; `reader.open_archive` reads single images."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from vlae_codec import zoo
from vlae_codec.choose import Chooser
from vlae_codec.container import MOST_BYTES, check_claim
from vlae_codec.errors import ImageError, OutputError, Progress, UnsuitableError
from vlae_codec.exact.threads import at_most, cores
from vlae_codec.family import OF_DRAWING, Coder, Sampling
from vlae_codec.files import check_free, whole
from vlae_codec.options import check_switches, check_texts, check_whole
from vlae_codec.picture.metadata import Metadata
from vlae_codec.sets.restore import Restorer
from vlae_codec.sets.sources import Gathered, gather

from . import unpack as unpacking
from .choosing import Look, choose_for
from .chunks import ArchiveLedger, Settings
from .opened import Opened
from .options import Options
from .pack import pack as pack_sources
from .pack import pack_mixed

PathLike = str | os.PathLike[str]
_LOSSY_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jp2", ".avif", ".webp", ".heic"})


@dataclass(frozen=True)
class Packed:
    """Where the bits of an archive went, and what of its sources was left out, and skipped as unsuitable: a line each.

    source_bytes: of the files that it was made of; 0 of an array. lossy_sources: whether some of them are of formats that
    are mostly lossy.
    """

    ledger: ArchiveLedger
    left_out: tuple[str, ...]
    unsuitable: tuple[str, ...] = ()
    source_bytes: int = 0
    lossy_sources: bool = False

    @property
    def why_larger(self) -> str | None:
        """Why the archive is larger than what it was made of; None if it is not."""
        if not 0 < self.source_bytes < self.ledger.total_bytes:
            return None
        if self.lossy_sources:
            return "pixels cost more than the lossy files that they were read from"
        return "the sources are as small as such pictures get"


@dataclass(frozen=True)
class Unpacked:
    """The files written; what was damaged or lost, and what got another name: a line each.

    sampled: whether drawings were re-sampled. unused: what could be asked for and has no say in any picture, of "seed" and
    "temperature".
    """

    written: list[Path]
    problems: list[str]
    sampled: bool
    notes: tuple[str, ...] = ()
    unused: frozenset[str] = frozenset()


def pack(
    sources: PathLike | npt.NDArray[Any] | Sequence[PathLike],
    out: PathLike | IO[bytes],
    *,
    lossless: bool = True,
    ordered: bool = True,
    effort: int | None = None,
    chunk: int | None = None,
    quality: float | None = None,
    threshold: int | None = None,
    keep: Callable[[Metadata], Metadata] = Metadata.plain,
    model: Coder | str | None = None,
    jobs: int | None = None,
    force: bool = False,
    skip_unsuitable: bool = False,
    progress: Progress | None = None,
) -> Packed:
    """Packs images into one archive.

    If all are drawings that a model knows they are coded together, as of format version 1. Else each is coded by what suits
    it, drawings together and other pictures as the files that `compress` makes of them, as of version 2. In a lossy archive
    drawings that no model knows are kept exactly, unless a model is named.

    Args:
        sources: pictures, folders, zip and tar files, npy, npz (FILE.npz:KEY is one array) and IDX files; or an array, which
            is packed as images.npy. An array of two values, (N, H, W), comes back as it is; pictures of one of more, (N, H,
            W) or (N, H, W, C) of 8 or 16 bits, are packed one by one, and come back as PNG files.
        out: the archive's path, or a binary file to write to.
        lossless: every pixel; else photos as `quality` says, and of drawings the structure only, with a texture that is
            drawn anew on reading.
        ordered: False: neither order nor names matter, which saves log2(N!) bits; for drawings of one size.
        effort: of drawings, lossless: 2^effort samples of the posterior for each, at most 32; of all else, size of the
            search, 0 to 9.
        chunk: the most images of a chunk, 1000 by default. One image costs the decoding of its chunk: choose about 32 to
            256 for reading at random.
        quality: of lossy photos, and of pictures in two colours, 0 to 100, as of `compress`.
        threshold: binarise, with luminance above this, 0 to 254, as the light level.
        keep: what of a picture's metadata is kept, of pictures that are not drawings; of itself neither EXIF nor XMP.
        model: one that was loaded, the name of a released one, or a folder, for all pictures; of itself what suits each.
        jobs: processes of one thread each, or threads for a single chunk; by default one process that uses all cores. With
            more than one, call this below `if __name__ == "__main__"`.
        force: overwrite `out` if it exists.
        skip_unsuitable: leave out pictures that cannot be read or coded as asked, and say which.
        progress: told (what, done, total).

    Raises:
        ImageError: a source is missing, damaged or empty, or an image cannot be coded as asked: UnsuitableError says which.
        ModelError: the model is unknown or damaged.
        OutputError: the archive exists and `force` is not set, or it cannot be written, or would replace a source.
        OptionError: an option is out of its range or of another type, or a set without order is to be lossy.
    """
    _check(jobs, force)
    options = Options(lossless, ordered, effort, chunk, quality, threshold, keep, skip_unsuitable)
    choice = options.chooser(model)
    path = Path(out) if isinstance(out, str | os.PathLike) else None
    if path:
        check_free(path, force)
    with _gathered(sources, threshold, lossless) as gathered, at_most(jobs and min(jobs, cores())):
        if path:
            _check_not_source(path, gathered)
        kept = suited(gathered, choice, skip_unsuitable, progress)
        with _writing(out, force) as file:
            return pack_suited(kept, file, choice, options.settings, jobs=jobs or 1, progress=progress)


@dataclass(frozen=True)
class Suited:
    """Sources without the pictures that cannot be packed, of which `problems` has a line each; a look at each loose one."""

    kept: Gathered
    problems: tuple[str, ...]
    looks: tuple[Look, ...]


def suited(
    gathered: Gathered, choice: Chooser, skip_unsuitable: bool = False, progress: Progress | None = None
) -> Suited:
    """What of the sources can be packed.

    Raises:
        UnsuitableError: not all of it, and `skip_unsuitable` is not set; or nothing.
    """
    looks = list[Look]()
    kept, problems = gathered.suitable(lambda one: looks.append(Look.at(choice.see(one))), progress)
    if problems and not (skip_unsuitable and kept.sources):
        raise UnsuitableError(problems)
    return Suited(kept, tuple(problems), tuple(looks))


def pack_suited(
    suited: Suited,
    out: IO[bytes],
    choice: Chooser,
    settings: Settings,
    *,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Packed:
    """Writes an archive of them, in the version that holds them.

    Raises:
        ImageError: an image cannot be coded as asked.
    """
    options: Any = {"settings": settings, "jobs": jobs, "progress": progress}
    chosen = choose_for(choice, suited.kept.sources, suited.looks, settings)
    if isinstance(chosen, Chooser):
        ledger = pack_mixed(suited.kept.sources, out, chosen, **options)
    else:
        ledger = pack_sources(suited.kept.sources, out, chosen, **options)
    files = {*suited.kept.files()}
    lossy = any(path.suffix.lower() in _LOSSY_SUFFIXES for path in files)
    return Packed(ledger, suited.kept.notes, suited.problems, sum(path.stat().st_size for path in files), lossy)


def unpack(
    archive: PathLike | BinaryIO,
    folder: PathLike,
    *,
    only: Sequence[str] = (),
    seed: int = 0,
    temperature: float | None = None,
    model: Coder | str | None = None,
    jobs: int | None = None,
    force: bool = False,
    max_bytes: int = MOST_BYTES,
    progress: Progress | None = None,
    announce: Callable[[int, int], None] | None = None,
) -> Unpacked:
    """Unpacks an archive into a folder: pictures and arrays as they were packed.

    What is damaged is named, and all else is restored.

    Args:
        archive: its path, or a binary file that can be read here and there.
        only: nothing but the images of these names, each as a picture file. A name may have wildcards: * for anything,
            slashes too, ? for one letter, [abc] for one of these.
        seed, temperature: of the texture of lossy pictures, as of `Sampling`.
        model: for an archive that names no released one: a model that was loaded, or its folder.
        jobs: processes of one thread each, or threads for a single chunk; by default one process that uses all cores. With
            more than one, call this below `if __name__ == "__main__"`.
        force: overwrite files that exist.
        max_bytes: of samples that are written, 2^29 by default: a few bytes may claim very many.
        progress: told (what, done, total).
        announce: told how many images, and bytes of their samples, are about to be unpacked.

    Raises:
        OSError: the archive cannot be read.
        FormatError: it is not an archive, neither its header nor its index is whole, or it claims more than max_bytes.
        ModelError: it needs a model that is not known here.
        OutputError: a file exists and `force` is not set, or it cannot be written.
        OptionError: an option is out of range, or of another type.
    """
    _check(jobs, force)
    check_whole("max_bytes", max_bytes, 1)
    check_texts("only", only)
    sampling, given = Sampling(seed, temperature), zoo.given(model)
    with _reading(archive) as file, at_most(jobs and min(jobs, cores())):
        opened = Opened(file)
        opened.coders(given)  # before there is a folder
        if only:
            restored = unpacking.restore_some(
                opened,
                only,
                Path(folder),
                force,
                sampling,
                model=given,
                jobs=jobs or 1,
                most_bytes=max_bytes,
                progress=progress,
            )
        else:
            claimed = unpacking.claimed_bytes(opened)
            check_claim(claimed, max_bytes)
            if announce:
                announce(opened.header.forms.images, claimed)
            with Restorer(Path(folder), opened.header.forms, force) as restorer:
                restored = unpacking.restore(
                    opened, restorer, sampling, model=given, jobs=jobs or 1, most_bytes=max_bytes, progress=progress
                )
    unused = restored.unused & OF_DRAWING if restored.written else frozenset[str]()
    return Unpacked(restored.written, [*opened.damages, *restored.lost], restored.sampled, restored.notes, unused)


def _check(jobs: int | None, force: bool) -> None:
    """Raises OptionError if one of them is of another type, or out of range."""
    check_whole("jobs", jobs, 1, optional=True)
    check_switches(force=force)


@contextlib.contextmanager
def _writing(out: PathLike | IO[bytes], force: bool) -> Iterator[IO[bytes]]:
    if isinstance(out, str | os.PathLike):
        with whole(Path(out), force) as file:
            yield file
    elif hasattr(out, "write"):
        yield out
    else:
        raise TypeError(f"pack writes to a path or a binary file, not {type(out).__name__}")


@contextlib.contextmanager
def _reading(archive: PathLike | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(archive, str | os.PathLike):
        with Path(archive).open("rb") as file:
            yield file
    elif isinstance(archive, bytes | bytearray):
        raise TypeError("unpack takes the path of an archive, or a binary file: open its bytes as io.BytesIO(data)")
    elif hasattr(archive, "seek"):
        yield archive
    else:
        raise TypeError(f"unpack takes the path of an archive, or a binary file, not {type(archive).__name__}")


@contextlib.contextmanager
def _gathered(
    sources: PathLike | npt.NDArray[Any] | Sequence[PathLike], threshold: int | None, exact: bool
) -> Iterator[Gathered]:
    """The sources, opened; an array goes through a file, so that it is treated as one."""
    if not isinstance(sources, np.ndarray | str | os.PathLike | Sequence):
        raise TypeError(f"pack takes paths, or an array of images, not {type(sources).__name__}")
    with contextlib.ExitStack() as undo:
        if isinstance(sources, np.ndarray):
            folder = undo.enter_context(tempfile.TemporaryDirectory(prefix="vlae-"))
            np.save(path := os.path.join(folder, "images.npy"), sources, allow_pickle=False)
            paths = [path]
        else:
            given = [sources] if isinstance(sources, str | os.PathLike) else [*sources]
            paths = [os.fspath(one) for one in given]
        if not paths:
            raise ImageError("there is nothing to pack: name pictures, folders or arrays")
        try:
            gathered = gather(paths, threshold, exact)
        except ImageError as error:
            called = "the array" if isinstance(sources, np.ndarray) else paths[0]
            raise ImageError(str(error).replace(paths[0], called)) from error
        yield undo.enter_context(gathered)


def _check_not_source(out: Path, gathered: Gathered) -> None:
    """Refuses to replace a source by the archive made of it.

    Raises:
        OutputError: `out` is one of the files that are read.
    """
    for path in gathered.files() if out.exists() else ():
        if path.exists() and out.samefile(path):
            raise OutputError(f"{path} would be replaced by its own result: name another file")
