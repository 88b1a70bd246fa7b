"""Chunks of pictures of any kind, of version 2: which pictures go together, and what codes them.

Drawings wait for each other, so that they are coded together, and so do all other pictures, which are coded one by one: the
numbers of images in a chunk need not follow each other. A drawing that costs its chain more than it takes without a model is
taken out of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vlae_codec.errors import ImageError
from vlae_codec.family import Chain, Chained, Coder, Done
from vlae_codec.picture.fields import field_count
from vlae_codec.registry import identity_of
from vlae_codec.sets.manifest import FilesForm
from vlae_codec.sets.sources import Source

from . import apart, version2
from .choosing import Candidate, Chooser, Made, best
from .chunks import ArchiveLedger, Chunk, Settings, chained, chunk_of, head_of
from .heads import packed_names
from .numbers import Numbers

_CHUNK_BYTES = 1 << 24
"""Of samples of pictures that are coded one by one: a chunk of several large ones ends here."""


@dataclass(frozen=True)
class One:
    """A picture on its way into an archive: its number; its name, if it is a loose one; and how it may be coded."""

    number: int
    name: str | None
    candidates: Sequence[Candidate]


@dataclass(frozen=True)
class Some:
    """Pictures that are coded as chunks of their own; all of them together if they are drawings."""

    together: bool
    ones: list[One]

    @property
    def images(self) -> int:
        """How many."""
        return len(self.ones)


def cut(sources: Sequence[Source], choice: Chooser, settings: Settings, most_fields: int) -> Iterator[Some]:
    """All images, as they are coded together."""
    most = settings.chunk_images
    waiting = {True: _Waiting(most, max(most_fields, most)), False: _Waiting(most, _CHUNK_BYTES)}
    for one in _each(sources, choice):
        coder, raster = choice.coders[one.candidates[0].which], one.candidates[0].view.raster
        together = isinstance(coder, Chained)
        weight = field_count(*raster.samples.shape[:2]) if together else raster.samples.nbytes
        if full := waiting[together].add(one, weight):
            yield Some(together, full)
    yield from (Some(together, queue.ones) for together, queue in waiting.items() if queue.ones)


@dataclass
class _Waiting:
    """Pictures that wait for others: at most so many, and so heavy together."""

    most: int
    heaviest: int
    ones: list[One] = field(default_factory=list)
    weight: int = 0

    def add(self, one: One, weight: int) -> list[One]:
        """Adds one; those that waited before it, if it is too much for them."""
        full = list[One]()
        if self.ones and (len(self.ones) == self.most or self.weight + weight > self.heaviest):
            full, self.ones, self.weight = self.ones, [], 0
        self.ones.append(one)
        self.weight += weight
        return full


def _each(sources: Sequence[Source], choice: Chooser) -> Iterator[One]:
    number = 0
    for source in sources:
        loose = isinstance(source.form, FilesForm)
        for row, readable in enumerate(source.readables(0, source.count)):
            try:
                candidates = choice.candidates(readable) if loose else [choice.drawing(readable, fixed=True)]
            except ImageError as error:
                raise ImageError(f"{source.name(row)}: {error}") from error
            yield One(number, source.name(row) if loose else None, candidates)
            number += 1


def make(shared: tuple[Chooser, Settings], some: Some, done: Done) -> list[Chunk]:
    """The chunks of some pictures: one of those that are coded together, and one for each model of the others."""
    (choice, settings), chunks, others = shared, list[Chunk](), some.ones
    if some.together:
        others, coded = _chained(choice, settings, some.ones, done)
        chunks += coded
    made = list[Made]()
    for one in others:
        made.append(_best(choice, one, some.together))
        done(0 if some.together else 1)  # drawings were told of
    for which in dict.fromkeys(one.candidate.which for one in made):
        own = [(one, result) for one, result in zip(others, made, strict=True) if result.candidate.which == which]
        chunks.append(_chunk(choice.coders[which], own))
    return chunks


def _best(choice: Chooser, one: One, without_first: bool) -> Made:
    """The smallest way to code a picture on its own."""
    return best(choice, [one.candidates[1:] if without_first else one.candidates])[0]


def _chained(choice: Chooser, settings: Settings, ones: list[One], done: Done) -> tuple[list[One], list[Chunk]]:
    """A chunk of the drawings that are worth it, and those that are not."""
    coder, cheaper = chained(choice.coders[ones[0].candidates[0].which]), dict[int, One]()
    made = coder.push([one.candidates[0].view for one in ones], settings.chaining, done)
    for one, bits in zip(ones, made.picture_bits, strict=True):
        if len(one.candidates) > 1 and 8 * len(_best(choice, one, True).sections.data) < bits:
            cheaper[one.number] = one
    kept = [one for one in ones if one.number not in cheaper]
    if cheaper and kept:
        made = coder.push([one.candidates[0].view for one in kept], settings.chaining)
    return [*cheaper.values()], [_together(coder, made, kept, settings)] if kept else []


def _together(coder: Coder, made: Chain, ones: Sequence[One], settings: Settings) -> Chunk:
    names = tuple(one.name for one in ones if one.name is not None)
    head = head_of(made, Numbers.of(one.number for one in ones), names, identity_of(coder.digest))
    notes = [one.candidates[0].note for one in ones]
    return chunk_of(made, head, version2.write_head(head), notes, settings)


def _chunk(coder: Coder, own: Sequence[tuple[One, Made]]) -> Chunk:
    """A chunk of pictures that one model coded one by one."""
    pictures = [
        apart.Picture(
            one.number, one.name, made.candidate.view.raster.geometry, made.sections.data, made.candidate.metadata
        )
        for one, made in own
    ]
    head, payload = apart.write(pictures, identity_of(coder.digest))
    assert head.apart is not None
    data = version2.write_head(head) + payload
    sections = [made.sections for _, made in own]
    ledger = ArchiveLedger(
        images=head.images,
        pixels=sum(form.width * form.height * count for form, count in head.runs),
        total_bytes=len(data),
        kl_bits=sum(one.kl_bits for one in sections),
        negative_elbo_bits=sum(one.kl_bits + one.distortion_bits for one in sections),
        image_bits=[8.0 * len(one.data) for one in sections],
    )
    for one in sections:
        _book(ledger, one.coded_bits, 8.0 * len(one.data), one.figures.get("latent_bits"))
    name_bits, beside_bits = 8 * len(packed_names(head.names)), 8 * (len(payload) - sum(head.apart.sizes))
    head_bits = 8 * (len(data) - len(payload)) - name_bits
    ledger.book(name_bits=name_bits, chunk_head_bits=head_bits, metadata_bits=beside_bits)
    ledger.notes.update(note for _, made in own if (note := made.encoded.ledger.note))
    return Chunk(data, head.numbers, ledger)


def _book(ledger: ArchiveLedger, coded_bits: float, all_bits: float, latent_bits: float | None) -> None:
    """Where the bits of a picture's sections went: to latents and pixels, if its model has latents."""
    if latent_bits is None:
        ledger.book(without_model_bits=all_bits)
    else:
        rest_bits = all_bits - coded_bits
        ledger.book(latent_bits=latent_bits, pixel_bits=coded_bits - latent_bits, check_and_opacity_bits=rest_bits)
