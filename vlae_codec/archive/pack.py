"""Archives, images -> chunks -> file; `unpack` is its mirror image.

Chunks are independent, so `jobs` of them are worked on at once, each in a process of its own with one thread; a single one
uses all cores by threads. What a chunk is coded to depends neither on that nor on its neighbours. Memory holds a few chunks
at a time, never the archive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO

from vlae_codec.errors import Progress
from vlae_codec.exact.threads import batches
from vlae_codec.family import Chained, Coder
from vlae_codec.picture.drawing import Drawing
from vlae_codec.registry import identity_of
from vlae_codec.sets.manifest import ArrayForm, FilesForm, Forms
from vlae_codec.sets.sources import Source

from . import chunks, frame
from .chunks import ArchiveLedger, Images, Settings
from .frame import Header
from .jobs import Report, spread
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
    """Writes an archive of all images of the sources.

    Raises:
        ImageError: an image cannot be coded as asked.
    """
    chained = chunks.chained(model)
    sources = _turned(sources, chained, settings)
    forms = _forms(sources, settings)
    header = Header(identity_of(model.digest), not settings.lossless, settings.ordered, forms, settings.samples).write()
    out.write(header)
    ledger, rows = ArchiveLedger(total_bytes=len(header)), []
    ledger.book(header_bits=8 * len(header))
    total = sum(source.count for source in sources)
    report = Report("packing", total, progress)
    for made in spread(chunks.make, _cut(sources, settings), (chained, settings), jobs, report):
        out.write(made.data)
        rows.append((len(made.data), made.images))
        ledger.merge(made.ledger)
    index = frame.write_index(header, rows)
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
    return len(sources) == 1 and isinstance(sources[0].form, ArrayForm)


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
    for batch in batches(_named(sources), lambda one: chunks.format_of(one[1]).fields, size, max(_CHUNK_FIELDS, size)):
        yield Images(first, tuple(name for name, _ in batch), [drawing for _, drawing in batch])
        first += len(batch)


def _named(sources: Sequence[Source]) -> Iterator[tuple[str | None, Drawing]]:
    """All images, those of loose pictures with their names."""
    for source in sources:
        loose = isinstance(source.form, FilesForm)
        for index, drawing in enumerate(source.drawings(0, source.count)):
            yield source.name(index) if loose else None, drawing
