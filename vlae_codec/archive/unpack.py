"""Archives, file -> chunks -> images: whole ones into a folder, some images by name, or nothing but a look at what is there.

The mirror image of `pack`. Chunks decode on their own, `jobs` of them at once, and a damaged one costs only itself.
"""

from __future__ import annotations

import contextlib
import fnmatch
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vlae_codec import zoo
from vlae_codec.container import MOST_BYTES, VERSION, check_claim
from vlae_codec.errors import FormatError, ModelError, Progress
from vlae_codec.family import Coder, Sampling
from vlae_codec.picture.drawing import Drawing
from vlae_codec.sets.manifest import ArrayForm, FilesForm, Form, Forms
from vlae_codec.sets.restore import Restorer

from . import chunks
from .chunks import Piece
from .frame import LARGEST_CHUNK, Place
from .jobs import Report, spread
from .opened import Opened

_NAMED = 8  # at most so many names in a message
_SPARSEST = 1000  # an array of which less than one image in so many is there would be nothing but padding


@dataclass(frozen=True)
class Restored:
    """The files written; what was lost and why, and what got another name, a line each."""

    written: list[Path]
    lost: list[str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Taken:
    """One image and its name, or why it cannot be had."""

    name: str
    drawing: Drawing | None
    error: str | None = None


def unpack(
    opened: Opened,
    places: Sequence[Place] | None = None,
    sampling: Sampling = Sampling(),
    *,
    model: Coder | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Iterator[Piece]:
    """The chunks at `places`, all of them unless told otherwise, one after the other; a damaged one has an error.

    Raises:
        ModelError: the archive needs a model that is not known here.
    """
    places = opened.places if places is None else places
    coder = zoo.find(opened.header.model, model, version=VERSION)
    shared = chunks.chained(coder), opened.header, sampling
    report = Report("unpacking", sum(place.images for place in places), progress)
    yield from spread(chunks.unmake, map(opened.stored, places), shared, jobs, report)


def restore(
    opened: Opened,
    restorer: Restorer,
    sampling: Sampling = Sampling(),
    *,
    model: Coder | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Restored:
    """Unpacks a whole archive into a folder.

    Raises:
        ModelError: the archive needs a model that is not known here.
        OutputError: a file cannot be written, or exists.
    """
    header, lost, restored = opened.header, list[str](), Counter[str]()
    for piece in opened.heads():
        for name in opened.loose_names(piece) if piece.error is None else ():
            restorer.check_free(name)
    for piece in unpack(opened, None, sampling, model=model, jobs=jobs, progress=progress):
        error = piece.error
        if error is None:
            try:
                restorer.put(piece.first, opened.loose_names(piece), piece.drawings)
            except FormatError as failure:
                error = str(failure)
        if error is not None:
            lost.append(f"lost {described(opened, piece)}: {error}")
            continue
        for form, own in header.forms.parts(piece.first, piece.images):
            if isinstance(form, ArrayForm):
                restored[form.root] += len(own)
    lost += restorer.unnameable
    arrays = [form for form in header.forms if isinstance(form, ArrayForm)]
    padding = [form.root for form in arrays if restored[form.root] * _SPARSEST < form.count]
    blank = [form.root for form in arrays if 0 < restored[form.root] < form.count and form.root not in padding]
    lost += [f"what is lost of {root} is blank in it" for root in blank]
    lost += [f"{root} is not written: hardly any of its images were restored" for root in padding]
    return Restored(restorer.finish(padding), lost, tuple(restorer.renamed))


def claimed_bytes(opened: Opened) -> int:
    """How many bytes of samples an archive claims: of its arrays as they will be written, and of its loose pictures."""
    header = opened.header
    total = sum(form.sample_bytes for form in header.forms if isinstance(form, ArrayForm))
    if all(isinstance(form, ArrayForm) for form in header.forms):
        return total
    for place in opened.places:
        with contextlib.suppress(FormatError):
            head, _ = opened.head(place)
            at = head.first
            for form, count in head.runs:
                parts = header.forms.parts(at, count)
                loose = sum(len(own) for one, own in parts if isinstance(one, FilesForm))
                total, at = total + loose * form.sample_bytes, at + count
    return total


def restore_some(
    opened: Opened,
    patterns: Sequence[str],
    folder: Path,
    force: bool,
    sampling: Sampling = Sampling(),
    *,
    model: Coder | None = None,
    jobs: int = 1,
    most_bytes: int = MOST_BYTES,
    progress: Progress | None = None,
) -> Restored:
    """Unpacks those images whose names match, each as a picture file; no folder is made if there are none. See `take`.

    Raises:
        ModelError: the archive needs a model that is not known here.
        OutputError: a file cannot be written, or exists.
        FormatError: they claim more bytes of samples than may be written.
    """
    lost, restorer, claimed = list[str](), None, 0
    with contextlib.ExitStack() as undo:
        for taken in take(opened, patterns, sampling, model=model, jobs=jobs, progress=progress):
            if taken.drawing is None:
                lost.append(str(taken.error))
                continue
            look = taken.drawing.look
            claimed += taken.drawing.bits.size * len(look.ink) * (2 if look.deep else 1)
            check_claim(claimed, most_bytes)
            restorer = restorer or undo.enter_context(Restorer(folder, Forms(), force))
            try:
                restorer.put_picture(taken.name, taken.drawing)
            except FormatError as failure:
                lost.append(str(failure))
        return Restored(restorer.finish(), lost, tuple(restorer.renamed)) if restorer else Restored([], lost)


def take(
    opened: Opened,
    patterns: Sequence[str],
    sampling: Sampling = Sampling(),
    *,
    model: Coder | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Iterator[Taken]:
    """The images whose names match, in the order of the archive; only their chunks are decoded, each once.

    A pattern is a name, or has wildcards: * for anything, slashes too, ? for one letter, [abc] for one of these. One that
    no image matches is an error in the end.

    Raises:
        ModelError: the archive needs a model that is not known here.
    """
    wanted = _Wanted(opened, patterns)
    for piece in unpack(opened, wanted.places(), sampling, model=model, jobs=jobs, progress=progress):
        names = [*wanted.candidates(piece)]
        if piece.error is None:
            images = zip(names, piece.drawings, strict=True)
            yield from (Taken(str(name), drawing) for name, drawing in images if wanted.matches(name))
            continue
        lost = [str(name) for name in names if wanted.matches(name)]
        if wanted.may_match_lost and (None in names or piece.images > len(names)):
            lost.append(described(opened, piece))
        yield from (Taken(name, None, f"lost {name}: {piece.error}") for name in lost)
    for pattern in wanted.unmatched:
        yield Taken(pattern, None, f"the archive has no image named {pattern}: `list --names` says what it has")


class _Wanted:
    """Which images are asked for by their names; `unmatched` are the patterns that no name matched so far."""

    def __init__(self, opened: Opened, patterns: Sequence[str]) -> None:
        self._opened, self._exact, self._unmatched = opened, set(patterns), dict.fromkeys(patterns)
        self._globs = {one: re.compile(fnmatch.translate(one)) for one in self._exact if re.search(r"[*?[]", one)}
        numbers = ((opened.header.forms.find(name), name) for name in self._exact)
        self._numbers = {number: name for number, name in numbers if number is not None}

    @property
    def unmatched(self) -> list[str]:
        return [*self._unmatched]

    @property
    def may_match_lost(self) -> bool:
        """Whether there are wildcards, which names that are lost with a chunk's head might match."""
        return bool(self._globs)

    def matches(self, name: str | None) -> bool:
        if name is None:
            return False
        matching = [name] if name in self._exact else []
        matching += [pattern for pattern, regex in self._globs.items() if regex.match(name)]
        for pattern in matching:
            self._unmatched.pop(pattern, None)
        return bool(matching)

    def places(self) -> list[Place]:
        """The chunks that hold such images. Those of arrays are found without a search."""
        found = {self._opened.place_of(number).first for number in self._numbers}
        if self._globs or len(self._numbers) < len(self._exact):
            for piece in self._opened.heads():
                matching = [*map(self.matches, self.candidates(piece))]
                if any(matching) or (self._globs and piece.error is not None):
                    found.add(piece.first)
        return [place for place in self._opened.places if place.first in found]

    def candidates(self, piece: Piece) -> Iterator[str | None]:
        """The names of a piece's images; of a gap, which may be of any size, only those that are asked for in full."""
        if piece.images > LARGEST_CHUNK:
            own = range(piece.first, piece.first + piece.images)
            return (name for number, name in self._numbers.items() if number in own)
        return self._opened.names(piece)


def verify(opened: Opened, *, model: Coder | None = None, jobs: int = 1, progress: Progress | None = None) -> list[str]:
    """Decodes a whole archive, writing nothing: all that is damaged or lost, a line each.

    Raises:
        ModelError: the archive needs a model that is not known here.
    """
    problems = list(opened.damages)
    for piece in unpack(opened, model=model, jobs=jobs, progress=progress):
        if piece.error is not None:
            problems.append(f"lost {described(opened, piece)}: {piece.error}")
    return problems


def inspect(opened: Opened) -> dict[str, Any]:
    """What an archive says of itself, without decoding any image."""
    header, damages = opened.header, list(opened.damages)
    for piece in opened.heads():
        if piece.error is not None:
            damages.append(f"{described(opened, piece)}: {piece.error}")
    return {
        "bytes": opened.bytes,
        "format_version": VERSION,
        "lossless": not header.lossy,
        "ordered": header.ordered,
        "samples": header.samples,
        "model": _model_name(header.model),
        "images": header.forms.images,
        "chunks": len(opened.places),
        "sources": [_source_text(form) for form in header.forms],
        "damages": damages,
    }


def names(opened: Opened) -> Iterator[str]:
    """The names of all images of an archive but those lost with a chunk's head, one by one: a few bytes may claim many."""
    for piece in opened.heads():
        if piece.error is None:
            yield from filter(None, opened.names(piece))


def described(opened: Opened, piece: Piece) -> str:
    """The images of a piece in words, by name where names are known."""
    last = piece.first + piece.images - 1
    few = piece.images <= _NAMED
    ends = (
        replace(piece, images=1, names=piece.names[:1]),
        replace(piece, first=last, images=1, names=piece.names[-1:]),
    )
    names = [name for part in ((piece,) if few else ends) for name in opened.names(part)]
    if None in names:
        return f"images {piece.first} to {last} of the archive"
    return ", ".join(map(str, names)) if few else f"{piece.images} images, {names[0]} to {names[-1]}"


def _model_name(identity: int | bytes) -> str:
    try:
        return zoo.find(identity, version=VERSION).name
    except ModelError:
        return f"of digest {identity.hex()}..." if isinstance(identity, bytes) else f"number {identity}"


def _source_text(form: Form) -> str:
    if isinstance(form, FilesForm):
        return f"{form.count} loose pictures"
    return f"{form.root}: {form.count} images of {form.size[1]}x{form.size[0]}, {form.dtype}"
