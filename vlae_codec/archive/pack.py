"""Archives, images -> chunks -> file; `unpack` is its mirror image.

Chunks are independent, so `jobs` of them are worked on at once, each in a process of its own with one thread; a single one
uses all cores by threads. What a chunk is coded to depends neither on that nor on its neighbours. Memory holds a few chunks
at a time, never the archive.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

from vlae_codec.choose import Chooser
from vlae_codec.errors import Progress
from vlae_codec.exact.threads import batches
from vlae_codec.family import Chained, Coder
from vlae_codec.picture.fields import field_count
from vlae_codec.registry import identity_of
from vlae_codec.sets.manifest import ArrayForm, FilesForm, Forms
from vlae_codec.sets.sources import Source

from . import chunks, frame, mixed
from .chunks import ArchiveLedger, Images, OneImage, Settings
from .heads import Header
from .jobs import Report, Work, spread
from .numbers import Numbers
from .polarity import suited_together

_CHUNK_FIELDS = 1 << 13  # a chunk of several large images ends here


def pack(
    sources: Sequence[Source],
    out: IO[bytes],
    model: Coder,
    settings: Settings = Settings(),
    *,
    jobs: int = 1,
    progress: Progress | None = None,
) -> ArchiveLedger:
    """Writes an archive of all images of the sources, drawings that one model takes: of version 1.

    Raises:
        ImageError: an image cannot be coded as asked.
    """
    chained = chunks.chained(model)
    sources = _turned(sources, chained, settings)
    forms = _forms(sources, settings)
    header = Header(identity_of(model.digest), not settings.lossless, settings.ordered, forms, settings.samples)
    return _write(header, out, chunks.make, (chained, settings), _cut(sources, settings), jobs, progress)


def pack_mixed(
    sources: Sequence[Source],
    out: IO[bytes],
    choice: Chooser,
    settings: Settings = Settings(),
    *,
    jobs: int = 1,
    progress: Progress | None = None,
) -> ArchiveLedger:
    """Writes an archive of all images of the sources, pictures of any kind: of version 2.

    Raises:
        ImageError: an image cannot be coded as asked; or the archive is to have no order.
    """
    settings.check_ordered()
    drawer = choice.coder(choice.takers[0]) if choice.takers else None
    turned = _turned(sources, drawer, settings) if isinstance(drawer, Chained) else sources
    header = Header(None, not settings.lossless, True, Forms(source.form for source in sources), settings.samples)
    items = mixed.cut(turned, choice, settings, _CHUNK_FIELDS)
    return _write(header, out, mixed.make, (choice, settings), items, jobs, progress)


def _write(
    header: Header, out: IO[bytes], work: Work, shared: Any, items: Iterable[Any], jobs: int, progress: Progress | None
) -> ArchiveLedger:
    """Header, the chunks that `work` makes of items, and index."""
    written = frame.version(header).write_header(header)
    out.write(written)
    ledger, rows = ArchiveLedger(total_bytes=len(written)), list[tuple[int, Numbers]]()
    ledger.book(header_bits=8 * len(written))
    image_bits = dict[int, float]()
    report = Report("packing", header.forms.images, progress)
    for made in spread(work, items, shared, jobs, report):
        for chunk in made:
            out.write(chunk.data)
            rows.append((len(chunk.data), chunk.numbers))
            image_bits.update(zip(chunk.numbers, chunk.ledger.image_bits, strict=False))
            ledger.merge(chunk.ledger)
    ledger.image_bits = [image_bits[number] for number in sorted(image_bits)]
    index = frame.write_index(written, rows)
    out.write(index)
    ledger.merge(ArchiveLedger(total_bytes=len(index), bits={"index_bits": 8 * len(index)}))
    return ledger


def _forms(sources: Sequence[Source], settings: Settings) -> Forms:
    """What the header says of the sources. A set without order comes back as files, or as the one array that it was."""
    forms = Forms(source.form for source in sources)
    if settings.ordered or _is_array(sources):
        return forms
    return Forms([FilesForm(forms.images)])


def _is_array(sources: Sequence[Source]) -> bool:
    return len(sources) == 1 and _is_one(sources[0])


def _is_one(source: Source) -> bool:
    return isinstance(source.form, ArrayForm)


def _turned(sources: Sequence[Source], model: Chained, settings: Settings) -> list[Source]:
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
    heaviest = max(_CHUNK_FIELDS, size)
    for batch in batches(_each(sources), lambda one: field_count(*one.raster.samples.shape[:2]), size, heaviest):
        yield Images(first, tuple(batch))
        first += len(batch)


def _each(sources: Sequence[Source]) -> Iterator[OneImage]:
    """All images, those of loose pictures with their names."""
    for source in sources:
        loose = isinstance(source.form, FilesForm)
        for index, (raster, lost) in enumerate(source.two_levels(0, source.count)):
            yield OneImage(source.name(index) if loose else None, raster, lost)
