"""Archives, the two directions: images -> chunks of fields -> chains or codes -> file, and back.

Chunks are independent, so `jobs` of them are worked on at once, each in a process of its own with one thread; a single one
uses all cores by threads. What a
chunk is coded to depends neither on that nor on its neighbours. Memory holds a few chunks at a time, never the archive.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, BinaryIO

from vlae_codec.container import VERSION
from vlae_codec.errors import FormatError, ImageError, ModelError, Progress
from vlae_codec.exact.threads import batches
from vlae_codec.field.model import Model, find
from vlae_codec.field.texture import Sampling
from vlae_codec.picture.drawing import Drawing
from vlae_codec.sets.manifest import ArrayForm, FilesForm, Form
from vlae_codec.sets.restore import Restorer
from vlae_codec.sets.sources import Source

from . import chunks, frame
from .chunks import Images, Ledger, Piece, Settings, Stored
from .frame import Contents, Header, Place
from .jobs import Report, spread
from .polarity import suited_together

_NAMED = 8  # at most so many names in a message
_LONGEST_ROW = 13  # digits of the largest number of an array's image
_SPARSEST = 1000  # an array of which less than one image in so many is there would be nothing but padding
_CHUNK_FIELDS = 1 << 13  # a chunk of several large images ends here


@dataclass(frozen=True)
class Restored:
    """The files written, and what was lost and why, a line each."""

    written: list[Path]
    lost: list[str]


def pack(
    sources: Sequence[Source],
    out: IO[bytes],
    model: Model,
    settings: Settings = Settings(),
    *,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Ledger:
    """Writes an archive of all images of the sources.

    Raises:
        ImageError: an image cannot be coded as asked.
    """
    sources = _turned(sources, model, settings)
    forms = _forms(sources, settings)
    header = Header(model.identity, not settings.lossless, settings.ordered, forms, settings.samples).write()
    out.write(header)
    ledger, rows = Ledger(total_bytes=len(header)), []
    ledger.book(header_bits=8 * len(header))
    total = sum(source.count for source in sources)
    report = Report("packing", total, progress)
    for made in spread(chunks.make, _cut(sources, settings), (model, settings), jobs, report):
        out.write(made.data)
        rows.append((len(made.data), made.images))
        ledger.merge(made.ledger)
    index = frame.write_index(header, rows)
    out.write(index)
    ledger.merge(Ledger(total_bytes=len(index), bits={"index_bits": 8 * len(index)}))
    return ledger


def unpack(
    file: BinaryIO,
    header: Header,
    places: Sequence[Place],
    sampling: Sampling = Sampling(),
    *,
    model: Model | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Iterator[Piece]:
    """The chunks at `places`, one after the other; a damaged one is a piece with an error.

    Raises:
        ModelError: the archive needs a model that is not known here.
    """
    shared = find(header.model, model), header, sampling
    report = Report("unpacking", sum(place.images for place in places), progress)
    yield from spread(chunks.unmake, (_read(file, place) for place in places), shared, jobs, report)


def restore(
    file: BinaryIO,
    contents: Contents,
    restorer: Restorer,
    sampling: Sampling = Sampling(),
    *,
    model: Model | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Restored:
    """Unpacks a whole archive into a folder.

    Raises:
        ModelError: the archive needs a model that is not known here.
        OutputError: a file cannot be written, or exists.
    """
    header, lost, restored = contents.header, list[str](), Counter[str]()
    for piece in _heads(file, contents):
        for name in _names(header, piece):
            restorer.check_free(name)
    for piece in unpack(file, header, contents.places, sampling, model=model, jobs=jobs, progress=progress):
        error = piece.error
        if error is None:
            try:
                restorer.put(piece.first, _names(header, piece), piece.drawings)
            except FormatError as failure:
                error = str(failure)
        if error is not None:
            lost.append(f"lost {described(header, piece)}: {error}")
            continue
        for form, own in header.parts(piece.first, piece.images):
            if isinstance(form, ArrayForm):
                restored[form.root] += len(own)
    lost += restorer.unnameable
    arrays = [form for form in header.forms if isinstance(form, ArrayForm)]
    padding = [form.root for form in arrays if restored[form.root] * _SPARSEST < form.count]
    blank = [form.root for form in arrays if 0 < restored[form.root] < form.count and form.root not in padding]
    lost += [f"what is lost of {root} is blank in it" for root in blank]
    lost += [f"{root} is not written: hardly any of its images were restored" for root in padding]
    return Restored(restorer.finish(padding), lost)


def verify(file: BinaryIO, *, model: Model | None = None, jobs: int = 1, progress: Progress | None = None) -> list[str]:
    """Decodes a whole archive, writing nothing: all that is damaged or lost, a line each.

    Raises:
        FormatError: neither its header nor its index is whole.
        ModelError: the archive needs a model that is not known here.
    """
    contents = frame.read_contents(file)
    header, problems = contents.header, list(contents.damages)
    for piece in unpack(file, header, contents.places, model=model, jobs=jobs, progress=progress):
        if piece.error is not None:
            problems.append(f"lost {described(header, piece)}: {piece.error}")
    return problems


def inspect(file: BinaryIO) -> dict[str, Any]:
    """What an archive says of itself, without decoding any image.

    Raises:
        FormatError: neither its header nor its index is whole.
    """
    contents = frame.read_contents(file)
    header, damages = contents.header, list(contents.damages)
    for place in contents.places:
        try:
            frame.read_head(file, place)
        except FormatError as error:
            damages.append(f"{described(header, Piece(place.first, place.images, (), []))}: {error}")
    return {
        "bytes": file.seek(0, 2),
        "format_version": VERSION,
        "lossless": not header.lossy,
        "ordered": header.ordered,
        "samples": header.samples,
        "model": _model_name(header.model),
        "images": header.images,
        "chunks": len(contents.places),
        "sources": [_source_text(form) for form in header.forms],
        "damages": damages,
    }


def names(file: BinaryIO) -> Iterator[str]:
    """The names of all images of an archive but those lost with a chunk's head, one by one: a few bytes may claim many.

    Raises:
        FormatError: as `inspect`.
    """
    contents = frame.read_contents(file)
    for piece in _heads(file, contents):
        yield from filter(None, image_names(contents.header, piece))


def take(
    file: BinaryIO, contents: Contents, name: str, sampling: Sampling = Sampling(), model: Model | None = None
) -> Drawing:
    """The one image of that name; only its chunk is decoded.

    Raises:
        ImageError: no image of the archive has that name.
        FormatError: its chunk is damaged.
        ModelError: the archive needs a model that is not known here.
    """
    place, index = _find(file, contents, name)
    (piece,) = unpack(file, contents.header, [place], sampling, model=model)
    if piece.error is not None:
        raise FormatError(f"lost {name}: {piece.error}")
    return piece.drawings[index - place.first]


def _heads(file: BinaryIO, contents: Contents) -> Iterator[Piece]:
    """What the chunks say of themselves, but for those whose heads are damaged: pieces without drawings."""
    for place in contents.places:
        with contextlib.suppress(FormatError):
            head, _ = frame.read_head(file, place)
            yield Piece(place.first, place.images, head.names, [])


def _find(file: BinaryIO, contents: Contents, name: str) -> tuple[Place, int]:
    """The chunk that holds the image of that name, and the image's index in the archive.

    Raises:
        ImageError: no image of the archive has that name.
    """
    start = 0
    for form in contents.header.forms:
        if isinstance(form, ArrayForm):
            root, _, row = name.rpartition("/")
            if root == form.root and row.isdecimal() and len(row) <= _LONGEST_ROW and int(row) < form.count:
                return _place_of(contents, start + int(row)), start + int(row)
        start += form.count
    for piece in _heads(file, contents):
        for index, found in enumerate(image_names(contents.header, piece), piece.first):
            if found == name:
                return _place_of(contents, index), index
    raise ImageError(f"the archive has no image named {name}: `list --names` says what it has")


def image_names(header: Header, piece: Piece) -> Iterator[str | None]:
    """The name of each image of a piece; None where it is lost with its chunk's head."""
    loose = iter(_names(header, piece))
    for form, own in header.parts(piece.first, piece.images):
        yield from (form.name(i) if isinstance(form, ArrayForm) else next(loose, None) for i in own)


def described(header: Header, piece: Piece) -> str:
    """The images of a piece in words, by name where names are known."""
    last = piece.first + piece.images - 1
    few = piece.images <= _NAMED
    ends = (
        replace(piece, images=1, names=piece.names[:1]),
        replace(piece, first=last, images=1, names=piece.names[-1:]),
    )
    names = [name for part in ((piece,) if few else ends) for name in image_names(header, part)]
    if None in names:
        return f"images {piece.first} to {last} of the archive"
    return ", ".join(map(str, names)) if few else f"{piece.images} images, {names[0]} to {names[-1]}"


def _names(header: Header, piece: Piece) -> Sequence[str]:
    """The names of a piece's loose pictures; in a set without order they are numbered."""
    if header.ordered or isinstance(header.forms[0], ArrayForm):
        return piece.names
    digits = len(str(header.images - 1))
    return [f"{index:0{digits}}.png" for index in range(piece.first, piece.first + piece.images)]


def _model_name(identity: int | bytes) -> str:
    try:
        return find(identity).name
    except ModelError:
        return f"of digest {identity.hex()}..." if isinstance(identity, bytes) else f"number {identity}"


def _source_text(form: Form) -> str:
    if isinstance(form, FilesForm):
        return f"{form.count} loose pictures"
    return f"{form.root}: {form.count} images of {form.size[1]}x{form.size[0]}, {form.dtype}"


def _place_of(contents: Contents, index: int) -> Place:
    return next(place for place in contents.places if place.first <= index < place.first + place.images)


def _forms(sources: Sequence[Source], settings: Settings) -> tuple[Form, ...]:
    """What the header says of the sources. A set without order comes back as files, or as the one array that it was."""
    forms = tuple(source.form for source in sources)
    if settings.ordered or _is_array(sources):
        return forms
    return (FilesForm(sum(form.count for form in forms)),)


def _is_array(sources: Sequence[Source]) -> bool:
    return len(sources) == 1 and isinstance(sources[0].form, ArrayForm)


def _turned(sources: Sequence[Source], model: Model, settings: Settings) -> list[Source]:
    """The sources with the ink that suits the model: of an array one for all, of a set without order one for everything.

    Loose pictures are turned each by `chunks.make`.
    """
    if not settings.ordered:
        return suited_together(sources, model)
    together = [suited_together([source], model) if _is_array([source]) else [source] for source in sources]
    return [source for (source,) in together]


def _cut(sources: Sequence[Source], settings: Settings) -> Iterator[Images]:
    """All images, chunk by chunk."""
    first, size = 0, settings.chunk_images
    for batch in batches(_named(sources), lambda one: chunks.format_of(one[1]).fields, size, max(_CHUNK_FIELDS, size)):
        yield Images(first, tuple(name for name, _ in batch), [drawing for _, drawing in batch])
        first += len(batch)


def _named(sources: Sequence[Source]) -> Iterator[tuple[str | None, Drawing]]:
    """All images, those of loose pictures with their names."""
    for source in sources:
        loose = isinstance(source.form, FilesForm)
        for index, drawing in enumerate(source.drawings(0, source.count)):
            yield source.name(index) if loose else None, drawing


def _read(file: BinaryIO, place: Place) -> Stored:
    head = None
    try:
        head, head_bytes = frame.read_head(file, place)
        return Stored(place, head, frame.read_payload(file, place, head_bytes, head), None)
    except FormatError as error:
        return Stored(place, head, b"", str(error))
