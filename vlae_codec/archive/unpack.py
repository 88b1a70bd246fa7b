"""Archives, file -> chunks -> images: whole ones into a folder, some images by name, or nothing but a look at what is there.

The mirror image of `pack`. Chunks decode on their own, `jobs` of them at once, and a damaged one costs only itself.
"""

from __future__ import annotations

import contextlib
import fnmatch
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vlae_codec import zoo
from vlae_codec.container import MOST_BYTES, check_claim
from vlae_codec.errors import FormatError, ModelError, Progress
from vlae_codec.family import OF_SAMPLING, Coder, Decoded, Sampling
from vlae_codec.sets.manifest import ArrayForm, FilesForm, Form, Forms
from vlae_codec.sets.restore import Restorer

from . import chunks
from .chunks import Shared, Stored
from .heads import LARGEST_CHUNK, Identity, Place
from .jobs import Report, spread
from .numbers import Numbers
from .opened import Opened
from .pieces import Piece

_NAMED, _SCATTERED = 8, 64  # at most so many names in a message; of images that do not follow one another
_SORTED_BYTES, _NAME_BYTES = 1 << 26, 64  # names that are put in order, and what one takes besides its letters
_SPARSEST = 1000  # an array of which less than one image in so many is there would be nothing but padding


@dataclass(frozen=True)
class Restored:
    """The files written; what was lost and why, and what got another name, a line each.

    sampled: drawings were re-drawn. unused: what could be asked for and has no say in any picture, see `family.Decoded`.
    """

    written: list[Path]
    lost: list[str]
    notes: tuple[str, ...] = ()
    sampled: bool = False
    unused: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Taken:
    """One image, its name and its number, or why it cannot be had."""

    name: str
    picture: Decoded | None
    error: str | None = None
    number: int = 0


def unpack(
    opened: Opened,
    places: Sequence[Place] | None = None,
    sampling: Sampling = Sampling(),
    *,
    model: Coder | None = None,
    jobs: int = 1,
    most_bytes: int = MOST_BYTES,
    progress: Progress | None = None,
) -> Iterator[Piece]:
    """The chunks at `places`, all of them unless told otherwise, one after the other; what is damaged has an error.

    Raises:
        ModelError: the archive needs a model that is not known here.
    """
    places = opened.places if places is None else places
    shared = Shared(opened.header, opened.coders(model, places), sampling, most_bytes)
    report = Report("unpacking", sum(place.images for place in places), progress)
    yield from _pieces(map(opened.stored, places), shared, jobs, report)


def _pieces(stored: Iterable[Stored], shared: Shared, jobs: int, report: Report) -> Iterator[Piece]:
    for pieces in spread(chunks.unmake, stored, shared, jobs, report):
        yield from pieces


def restore(
    opened: Opened,
    restorer: Restorer,
    sampling: Sampling = Sampling(),
    *,
    model: Coder | None = None,
    jobs: int = 1,
    most_bytes: int = MOST_BYTES,
    progress: Progress | None = None,
) -> Restored:
    """Unpacks a whole archive into a folder.

    Raises:
        ModelError: the archive needs a model that is not known here.
        OutputError: a file cannot be written, or exists.
    """
    header, lost, restored, sampled, unused = opened.header, list[str](), Counter[str](), False, OF_SAMPLING
    for piece in opened.heads():
        for name in opened.loose_names(piece) if piece.error is None else ():
            restorer.check_free(name)
    for piece in unpack(opened, None, sampling, model=model, jobs=jobs, most_bytes=most_bytes, progress=progress):
        error = piece.error
        if error is None:
            try:
                restorer.put(piece.numbers, opened.loose_names(piece), piece.pictures)
            except FormatError as failure:
                error = str(failure)
        if error is not None:
            lost.append(f"lost {described(opened, piece)}: {error}")
            continue
        sampled |= any(map(_redrawn, piece.pictures))
        unused = unused.intersection(*(picture.unused for picture in piece.pictures))
        for form, own in piece.numbers.parts(header.forms):
            if isinstance(form, ArrayForm):
                restored[form.root] += len(own)
    lost += restorer.unnameable
    arrays = [form for form in header.forms if isinstance(form, ArrayForm)]
    padding = [form.root for form in arrays if restored[form.root] * _SPARSEST < form.count]
    blank = [form.root for form in arrays if 0 < restored[form.root] < form.count and form.root not in padding]
    lost += [f"what is lost of {root} is blank in it" for root in blank]
    lost += [f"{root} is not written: hardly any of its images were restored" for root in padding]
    return Restored(restorer.finish(padding), lost, tuple(restorer.renamed), sampled, unused)


def claimed_bytes(opened: Opened) -> int:
    """How many bytes of samples an archive claims: of its arrays as they will be written, and of its loose pictures."""
    header = opened.header
    total = sum(form.sample_bytes for form in header.forms if isinstance(form, ArrayForm))
    if all(isinstance(form, ArrayForm) for form in header.forms):
        return total
    for place in opened.places:
        with contextlib.suppress(FormatError):
            head, _ = opened.head(place)
            sizes = itertools.chain.from_iterable(itertools.repeat(form.sample_bytes, n) for form, n in head.runs)
            for form, own in head.numbers.parts(header.forms):
                mine = itertools.islice(sizes, len(own))
                total += sum(mine) * isinstance(form, FilesForm)
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
    lost, restorer, claimed, sampled, unused = list[str](), None, 0, False, OF_SAMPLING
    with contextlib.ExitStack() as undo:
        for taken in take(opened, patterns, sampling, model=model, jobs=jobs, most_bytes=most_bytes, progress=progress):
            if taken.picture is None:
                lost.append(str(taken.error))
                continue
            sampled |= _redrawn(taken.picture)
            unused &= taken.picture.unused
            claimed += taken.picture.raster.geometry.sample_bytes
            check_claim(claimed, most_bytes)
            restorer = restorer or undo.enter_context(Restorer(folder, Forms(), force))
            try:
                restorer.put_picture(taken.name, taken.picture, taken.number)
            except FormatError as failure:
                lost.append(str(failure))
        if restorer is None:
            return Restored([], lost)
        return Restored(restorer.finish(), lost, tuple(restorer.renamed), sampled, unused)


def take(
    opened: Opened,
    patterns: Sequence[str],
    sampling: Sampling = Sampling(),
    *,
    model: Coder | None = None,
    jobs: int = 1,
    most_bytes: int = MOST_BYTES,
    progress: Progress | None = None,
) -> Iterator[Taken]:
    """The images whose names match, in the order of the archive; only what holds them is decoded, and only once.

    A pattern is a name, or has wildcards: * for anything, slashes too, ? for one letter, [abc] for one of these. One that
    no image matches is an error in the end.

    Raises:
        ModelError: the archive needs a model that is not known here.
    """
    wanted = _Wanted(opened, patterns)
    places = wanted.places()
    shared = Shared(opened.header, opened.coders(model, places), sampling, most_bytes)
    units = [unit for place in places for unit in wanted.units(place)]
    report = Report("unpacking", sum(place.images if number is None else 1 for place, number in units), progress)
    stored = (opened.stored(place) if number is None else opened.stored_alone(place, number) for place, number in units)
    for piece in _pieces(stored, shared, jobs, report):
        names = [*wanted.candidates(piece)]
        if piece.error is None:
            images = zip(names, piece.pictures, piece.numbers, strict=True)
            yield from (Taken(str(name), one, None, number) for name, one, number in images if wanted.matches(name))
            continue
        lost = [str(name) for name in names if wanted.matches(name)]
        if wanted.may_match_lost and (None in names or piece.images > len(names)):
            lost.append(described(opened, piece))
        yield from (Taken(name, None, f"lost {name}: {piece.error}") for name in lost)
    for pattern in wanted.unmatched:
        yield Taken(pattern, None, unmatched(pattern, wanted.lost_names))


def unmatched(pattern: str, lost_names: bool = False) -> str:
    """What is said of a name that no image has; lost_names: whether it may be one that is damaged."""
    return f"the archive has no image named {pattern}" + LOST_NAME * lost_names


LOST_NAME = ", or its name is among those lost"
"""What is said of it then."""


class _Wanted:
    """Which images are asked for by their names; `unmatched` are the patterns that no name matched so far.

    lost_names: whether names that were looked through are damaged.
    """

    def __init__(self, opened: Opened, patterns: Sequence[str]) -> None:
        self.lost_names = False
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
                candidates = [*self.candidates(piece)]
                matching = [*map(self.matches, candidates)]
                self.lost_names |= piece.error is not None and (None in candidates or piece.images > len(candidates))
                if any(matching) or (self._globs and piece.error is not None):
                    found.add(piece.first)
        return [place for place in self._opened.places if place.first in found]

    def units(self, place: Place) -> list[tuple[Place, int | None]]:
        """What is decoded of a chunk: all of it, or those of its pictures that are asked for, if they stand apart."""
        apart = self._opened.apart(place)
        if apart is None:
            return [(place, None)]
        named = zip(apart.numbers, self._opened.names(apart), strict=True)
        return [(place, number) for number, name in named if self.matches(name)]

    def candidates(self, piece: Piece) -> Iterator[str | None]:
        """The names of a piece's images; of a gap, which may be of any size, only those that are asked for in full."""
        if piece.images > LARGEST_CHUNK:
            own = piece.numbers.runs
            return (name for number, name in self._numbers.items() if any(number in run for run in own))
        return self._opened.names(piece)


def verify(
    opened: Opened,
    *,
    model: Coder | None = None,
    jobs: int = 1,
    most_bytes: int = MOST_BYTES,
    progress: Progress | None = None,
) -> list[str]:
    """Decodes a whole archive, writing nothing: all that is damaged or lost, a line each.

    A picture that claims more than `most_bytes` of samples is among these.

    Raises:
        ModelError: the archive needs a model that is not known here.
    """
    problems, given = list(opened.damages), set[str]()
    for piece in unpack(opened, model=model, jobs=jobs, most_bytes=most_bytes, progress=progress):
        names, error = [*opened.loose_names(piece)], piece.error
        if error is None and (len({*names}) < len(names) or not given.isdisjoint(names)):
            error = "two images have the same name: the archive is damaged"
        given.update(names)
        if error is not None:
            problems.append(f"lost {described(opened, piece)}: {error}")
    return problems


def inspect(opened: Opened) -> dict[str, Any]:
    """What an archive says of itself, without decoding any image."""
    header, damages = opened.header, list(opened.damages)
    for piece in opened.heads():
        if piece.error is not None:
            damages.append(f"{described(opened, piece)}: {piece.error}")
    return {
        "bytes": opened.bytes,
        "format_version": header.version,
        "lossless": not header.lossy,
        "ordered": header.ordered,
        "samples": header.samples,
        "model": ", ".join(sorted(_model_name(one, header.version) for one in opened.models())) or "none",
        "images": header.forms.images,
        "chunks": len(opened.places),
        "sources": [_source_text(form) for form in header.forms],
        "damages": damages,
    }


def names(opened: Opened) -> Iterator[str]:
    """The names of all images of an archive but those lost with a chunk's head, one by one: a few bytes may claim many.

    They come in the order of the sources; only where chunks are not, and names are very many, in that of the chunks.
    """
    rest, early, spare = _numbered(opened), list[tuple[int, str]](), _SORTED_BYTES
    if any(len(place.numbers.runs) > 1 for place in opened.places):
        for number, name in rest:
            early.append((number, name))
            spare -= len(name) + _NAME_BYTES
            if spare < 0:
                break
        if spare >= 0:
            early.sort()
    for _, name in itertools.chain(early, rest):
        yield name


def _numbered(opened: Opened) -> Iterator[tuple[int, str]]:
    """The names that are there, chunk by chunk, and the numbers of their images."""
    for piece in opened.heads():
        if piece.error is None:
            named = zip(piece.numbers, opened.names(piece), strict=True)
            yield from ((number, name) for number, name in named if name is not None)


def described(opened: Opened, piece: Piece) -> str:
    """The images of a piece in words, by name where names are known."""
    scattered = len(piece.numbers.runs) > 1
    few = piece.images <= (_SCATTERED if scattered else _NAMED)
    ends = (
        replace(piece, numbers=Numbers.between(piece.numbers.first, 1), names=piece.names[:1]),
        replace(piece, numbers=Numbers.between(piece.numbers.last, 1), names=piece.names[-1:]),
    )
    names = [name for part in ((piece,) if few else ends) for name in opened.names(part)]
    if None in names:
        among = f"{piece.images} of the " if scattered else ""
        return f"{among}images {piece.numbers.first} to {piece.numbers.last} of the archive"
    if few:
        return ", ".join(map(str, names))
    return f"{piece.images} {'of the images' if scattered else 'images,'} {names[0]} to {names[-1]}"


def _model_name(identity: Identity, version: int) -> str:
    try:
        return zoo.find(identity, version=version).name or "none"
    except ModelError:
        return f"of digest {identity.hex()}..." if isinstance(identity, bytes) else f"number {identity}"


def _source_text(form: Form) -> str:
    if isinstance(form, FilesForm):
        return f"{form.count} loose pictures"
    return f"{form.root}: {form.count} images of {form.size[1]}x{form.size[0]}, {form.dtype}"


def _redrawn(picture: Decoded) -> bool:
    """Whether a picture of two colours was re-sampled, and may read differently."""
    return picture.sampled_samples > 0 and picture.raster.format.pair is not None
