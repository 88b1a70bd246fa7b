"""Chunks of pictures of any kind, of version 2: which pictures go together, and what codes them.

What takes a picture is chosen as for files (see `vlae_codec.choose`). Drawings wait for others of the same model, so that
they are coded together, and all other pictures wait for each other, which are coded one by one: the numbers of images in a
chunk need not follow each other. A drawing that costs its chain more than it takes without a model is taken out of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from vlae_codec.choose import Candidate, Chooser, Seen
from vlae_codec.codec import Kept, kept, smallest_of
from vlae_codec.errors import ImageError
from vlae_codec.exact.threads import batches
from vlae_codec.family import Ask, Carrying, Chain, Chained, Coder, Done, Sections
from vlae_codec.picture.fields import field_count
from vlae_codec.reason import Reason
from vlae_codec.registry import identity_of
from vlae_codec.sets.manifest import FilesForm
from vlae_codec.sets.sources import Source

from . import apart, carried, version2
from .chunks import ArchiveLedger, Chunk, Settings, chained, chunk_of, head_of
from .heads import packed_names
from .numbers import Numbers

_CHUNK_BYTES = 1 << 24
"""Of samples of pictures that are coded one by one: a chunk of several large ones ends here."""
_WORTH = 0.99
"""Of what pages take each for itself, if one above the other they take less, they are coded so."""
_LOOK = 64
"""Pictures that models look at together."""


@dataclass(frozen=True)
class One:
    """A picture on its way into an archive: its number; its name, if it is a loose one; and how it may be coded."""

    number: int
    name: str | None
    ways: Sequence[Candidate]

    @property
    def called(self) -> str:
        """What reports call it."""
        return str(self.number) if self.name is None else self.name


@dataclass(frozen=True)
class Some:
    """Pictures that are coded as chunks of their own; together, if the first of their ways is one that chains."""

    together: bool
    ones: list[One]

    @property
    def images(self) -> int:
        """How many."""
        return len(self.ones)


def cut(sources: Sequence[Source], choice: Chooser, settings: Settings, most_fields: int) -> Iterator[Some]:
    """All images, as they are coded together."""
    most, waiting = settings.chunk_images, dict[int | None, _Waiting]()
    for one in _each(sources, choice):
        first = one.ways[0]
        together, samples = isinstance(choice.coder(first.which), Chained), first.view.raster.samples
        heaviest = max(most_fields, most) if together else _CHUNK_BYTES
        queue = waiting.setdefault(first.which if together else None, _Waiting(most, heaviest))
        if full := queue.add(one, field_count(*samples.shape[:2]) if together else samples.nbytes):
            yield Some(together, full)
    yield from (Some(which is not None, queue.ones) for which, queue in waiting.items())


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
    """All images with the ways to code them that an archive can hold: not drawings that are exact in a lossy one."""

    def bytes_of(one: tuple[str | None, Seen]) -> int:
        return one[1].view.raster.samples.nbytes

    number = 0
    for batch in batches(_seen(sources, choice), bytes_of, _LOOK, _CHUNK_BYTES):
        for (name, _), ways in zip(batch, choice.settle([seen for _, seen in batch]), strict=True):
            yield One(number, name, [way for way in ways if _fits(choice, way)])
            number += 1


def _fits(choice: Chooser, way: Candidate) -> bool:
    return way.ask.lossless == choice.ask.lossless or not isinstance(choice.coder(way.which), Chained)


def _seen(sources: Sequence[Source], choice: Chooser) -> Iterator[tuple[str | None, Seen]]:
    for source in sources:
        loose = isinstance(source.form, FilesForm)
        for row, readable in enumerate(source.readables(0, source.count)):
            try:
                seen = choice.see(readable) if loose else choice.see_fixed(readable)
                # of those with ways, too, only the exact file of a drawing is left to ask for, which `_fits` would refuse
                yield source.name(row) if loose else None, replace(seen, drawing=None) if seen.ways else seen
            except ImageError as error:
                raise ImageError(f"{source.name(row)}: {error}") from error


def make(shared: tuple[Chooser, Settings], some: Some, done: Done) -> list[Chunk]:
    """The chunks of some pictures: one of those that are coded together, and one for each model of the others."""
    (choice, settings), chunks, apart_ones = shared, list[Chunk](), list[tuple[One, Kept]]()
    if some.together:
        apart_ones, chunks = _chained(choice, settings, some.ones, done)
    for one in () if some.together else some.ones:
        apart_ones += zip([one], map(kept, smallest_of(choice, [one.ways])), strict=True)
        done(1)
    for which in dict.fromkeys(made.way.which for _, made in apart_ones):
        chunks.append(_chunk(choice.coder(which), [both for both in apart_ones if both[1].way.which == which]))
    return chunks


def _chained(
    choice: Chooser, settings: Settings, ones: list[One], done: Done
) -> tuple[list[tuple[One, Kept]], list[Chunk]]:
    """The drawings that cost less on their own, and a chunk of all others."""
    coder, cheaper = chained(choice.coder(ones[0].ways[0].which)), dict[int, tuple[One, Kept]]()
    made = coder.push([one.ways[0].view for one in ones], settings.chaining, done)
    for one, bits in zip(ones, made.picture_bits, strict=True):
        if cheap := _cheaper(choice, one.ways[1:], bits):
            cheaper[one.number] = one, cheap
    left = [one for one in ones if one.number not in cheaper]
    if cheaper and left:
        made = coder.push([one.ways[0].view for one in left], settings.chaining)
    return [*cheaper.values()], [_together(coder, made, left, settings)] if left else []


def _cheaper(choice: Chooser, ways: Sequence[Candidate], bits: float) -> Kept | None:
    """What a picture is on its own, if that takes fewer bits."""
    hopeful = [way for way in ways if choice.hoped_bits(way, bits) < bits]
    for made in map(kept, smallest_of(choice, [hopeful] if hopeful else [])):
        if 8 * len(made.sections.data) < bits:
            return made
    return None


def _together(coder: Coder, made: Chain, ones: Sequence[One], settings: Settings) -> Chunk:
    names = tuple(one.name for one in ones if one.name is not None)
    head = head_of(made, Numbers.of(one.number for one in ones), names, identity_of(coder.digest))
    chunk = chunk_of(made, head, version2.write_head(head), [_note(one.ways[0], coder) for one in ones], settings)
    chunk.ledger.unlike += [one.called for one in ones if one.ways[0].known is False]
    return chunk


def _note(way: Candidate, coder: Coder) -> str | None:
    """What is to be said of a drawing that is coded together with others."""
    unlike = f"unlike what the model {coder.name} was trained on" if way.known is False else None
    return "; ".join(filter(None, (way.note, unlike))) or None


def _chunk(coder: Coder, own: Sequence[tuple[One, Kept]]) -> Chunk:
    """A chunk of pictures that one model coded one by one."""
    pictures = [
        apart.Picture(one.number, one.name, made.way.view.raster.geometry, made.sections.data, made.way.metadata)
        for one, made in own
    ]
    together, alone_bytes = _carried(coder, [made for _, made in own]), sum(len(one.sections) for one in pictures)
    head, payload = apart.write(pictures, identity_of(coder.digest), together)
    assert head.apart is not None
    data = version2.write_head(head) + payload
    sections, share = [made.sections for _, made in own], sum(head.apart.sizes) / alone_bytes
    ledger = ArchiveLedger(
        images=head.images,
        pixels=sum(form.width * form.height * count for form, count in head.runs),
        total_bytes=len(data),
        kl_bits=sum(one.kl_bits for one in sections),
        negative_elbo_bits=sum(one.kl_bits + one.distortion_bits for one in sections),
        image_bits=[8.0 * share * len(one.data) for one in sections],
        changed_pixels=sum(made.encoded.ledger.changed_pixels for _, made in own),
    )
    for one in sections:
        _book(ledger, one, share, bool(coder.digest))
    name_bits, beside_bits = 8 * len(packed_names(head.names)), 8 * (len(payload) - sum(head.apart.sizes))
    head_bits = 8 * (len(data) - len(payload)) - name_bits
    ledger.book(name_bits=name_bits, chunk_head_bits=head_bits, metadata_bits=beside_bits)
    for picture, made in own:
        note, why = made.encoded.ledger.note, made.encoded.ledger.why
        unlike = made.way.why not in (None, Reason.NO_LARGER)
        ledger.unlike += [picture.called] * unlike
        ledger.notes.update(filter(None, [note, f"kept exactly, since {why}" if unlike else None]))
    return Chunk(data, head.numbers, ledger)


def _carried(coder: Coder, made: Sequence[Kept]) -> bytes | None:
    """The sections of all pictures one above the other, if the model can, and that is worth that none is read alone."""
    rasters = [one.way.view.raster for one in made]
    width, height = (max(one.samples.shape[1] for one in rasters), sum(one.samples.shape[0] for one in rasters))
    exact = all(one.way.ask.lossless for one in made)
    if len(made) < 2 or not (exact and isinstance(coder, Carrying) and width * height <= coder.carried_pixels):
        return None
    ask = Ask(lossless=True)
    data = coder.encode([coder.view(carried.stacked(rasters), ask)], ask)[0].data
    return data if len(data) < _WORTH * sum(len(one.sections.data) for one in made) else None


def _book(ledger: ArchiveLedger, one: Sections, share: float, has_model: bool) -> None:
    """Where that share of the bits of a picture's sections went: to pixels, and to latents, if its model has any."""
    all_bits, latent_bits = 8.0 * len(one.data), one.figures.get("latent_bits", 0.0)
    if not has_model:
        ledger.book(without_model_bits=share * all_bits)
        return
    opacity_bits = one.figures.get("opacity_bits")
    check_bits = all_bits - one.coded_bits - (opacity_bits or 0.0)
    ledger.book(latent_bits=share * latent_bits, pixel_bits=share * (one.coded_bits - latent_bits))
    ledger.book(
        check_bits=share * check_bits, **({} if opacity_bits is None else {"opacity_bits": share * opacity_bits})
    )
