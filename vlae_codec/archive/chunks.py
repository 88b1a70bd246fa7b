"""One chunk of an archive, the two directions: images -> views -> payload and head, and back.

A chunk knows nothing of its neighbours, so `pack` makes and opens several at once, each in a process of its own.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass, field
from dataclasses import fields as entries
from typing import cast

from vlae_codec.errors import FormatError, ModelError, VlaeError
from vlae_codec.family import DEFAULT_EFFORT, EFFORTS, Ask, Chained, ChainedCoder, Chaining, Coder, Done, Sampling
from vlae_codec.picture.drawing import Drawing, look_of, raster_of
from vlae_codec.picture.raster import Geometry
from vlae_codec.sets.manifest import ArrayForm, FilesForm

from . import frame
from .frame import LARGEST_CHUNK, MOST_SAMPLES, Format, Head, Header, Place

CHUNK = 1000
"""Images of a chunk, unless asked otherwise."""


@dataclass
class ArchiveLedger:
    """Where the bits of an archive, or of a chunk, went: `bits` add up to eight times total_bytes.

    Theory, summed over the fields that the model codes: kl_bits, KL(q || p) over the cells of the lattice; and
    negative_elbo_bits, with the pixels (0 for a lossy archive). order_bits: log2 of the number of orders that sets of n
    images have, n! each.

    image_bits: what each image added to the payload, in order; none for a set without order. notes: what was lost on the way
    in, and of how many images.
    """

    images: int = 0
    pixels: int = 0
    total_bytes: int = 0
    kl_bits: float = 0.0
    negative_elbo_bits: float = 0.0
    order_bits: float = 0.0
    bits: dict[str, float] = field(default_factory=dict)
    image_bits: list[float] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)

    def theory_bits(self) -> dict[str, float]:
        """The terms of what theory says that it costs, by the names of `tables.paired`; raw pixels cost what they do."""
        terms = {
            "kl_bits": self.kl_bits,
            "distortion_bits": max(0.0, self.negative_elbo_bits - self.kl_bits),
            "raw_bits": self.bits.get("raw_bits", 0.0),
            "order_bits": -self.order_bits,
        }
        return {name: bits for name, bits in terms.items() if bits or name == "kl_bits"}

    def book(self, **bits: float) -> None:
        """Adds bits to entries."""
        for name, value in bits.items():
            self.bits[name] = self.bits.get(name, 0.0) + value

    def merge(self, other: ArchiveLedger) -> None:
        """Adds all of another."""
        for entry in entries(ArchiveLedger):
            if entry.name not in ("bits", "image_bits", "notes"):
                setattr(self, entry.name, getattr(self, entry.name) + getattr(other, entry.name))
        self.book(**other.bits)
        self.image_bits += other.image_bits
        self.notes += other.notes


@dataclass(frozen=True)
class Settings:
    """How chunks are coded. `effort`, 0..9: of a lossy archive the size of the search; of a lossless one, 2^effort samples
    of q for each field, at most 32. `chunk`: the most images of one; if not given, CHUNK, or of a set as many as may be.

    Raises:
        ValueError: a set without order is to be lossy, the effort is not 0 to 9, or a chunk is to hold nothing.
    """

    lossless: bool = True
    ordered: bool = True
    effort: int | None = None
    chunk: int | None = None

    @property
    def chunk_images(self) -> int:
        """The most images of a chunk."""
        return min(self.chunk or (CHUNK if self.ordered else LARGEST_CHUNK), LARGEST_CHUNK)

    @property
    def samples(self) -> int:
        """Samples of q for each field."""
        return min(1 << (self.effort or 0), MOST_SAMPLES) if self.lossless else 1

    @property
    def chaining(self) -> Chaining:
        """What the model is told of it."""
        effort = DEFAULT_EFFORT if self.effort is None or self.lossless else self.effort
        return Chaining(self.lossless, self.ordered, effort, self.samples)

    def __post_init__(self) -> None:
        if not (self.lossless or self.ordered):
            raise ValueError("a set without order must be lossless")
        if self.effort is not None and self.effort not in EFFORTS:
            raise ValueError(f"effort must be 0 to {EFFORTS[-1]}, not {self.effort}")
        if self.chunk is not None and self.chunk < 1:
            raise ValueError(f"a chunk must hold 1 image or more, not {self.chunk}")


@dataclass(frozen=True)
class Piece:
    """Images `first` to `first` + `images` - 1 as unpacked, or why they are lost.

    `names` are those of the loose pictures among them, as far as they are known.
    """

    first: int
    images: int
    names: tuple[str, ...]
    drawings: list[Drawing]
    error: str | None = None


@dataclass(frozen=True)
class Images:
    """What one chunk is made from; an image of an array has no name."""

    first: int
    names: tuple[str | None, ...]
    drawings: list[Drawing]

    @property
    def images(self) -> int:
        """How many."""
        return len(self.drawings)


@dataclass(frozen=True)
class Chunk:
    """A chunk as the file holds it."""

    data: bytes
    images: int
    ledger: ArchiveLedger


@dataclass(frozen=True)
class Stored:
    """A chunk as read from its file, or why it cannot be."""

    place: Place
    head: Head | None
    payload: bytes
    error: str | None

    @property
    def images(self) -> int:
        """How many images it should hold."""
        return self.place.images


def chained(model: Coder) -> ChainedCoder:
    """The model itself, if its pictures can be coded together.

    Raises:
        ModelError: they cannot.
    """
    if not isinstance(model, Chained):
        raise ModelError(f"the model {model.name} codes pictures one by one, so it cannot make or read archives")
    return cast(ChainedCoder, model)


def make(shared: tuple[ChainedCoder, Settings], images: Images, done: Done) -> Chunk:
    """The chunk of some images.

    Raises:
        ImageError: a set without order has images of several sizes.
    """
    model, settings = shared
    views = [
        model.view(raster_of(drawing), Ask(settings.lossless, fixed=name is None or not settings.ordered))
        for name, drawing in zip(images.names, images.drawings, strict=True)
    ]
    made = model.push(views, settings.chaining, done)
    payload, drawings = made.payload, images.drawings
    ledger = ArchiveLedger(
        kl_bits=made.kl_bits, negative_elbo_bits=made.negative_elbo_bits, image_bits=[*made.picture_bits]
    )
    ledger.book(**made.bits)
    if not settings.ordered:
        ledger.order_bits = math.lgamma(images.images + 1) / math.log(2)
    runs = tuple((form, len(list(group))) for form, group in itertools.groupby(map(_format_of, made.geometries)))
    names = tuple(name for name in images.names if name is not None)
    head = Head(images.first, names if settings.ordered else (), runs, made.state, len(payload))
    data = head.write() + frame.checked(payload)
    ledger.merge(ArchiveLedger(images.images, sum(drawing.bits.size for drawing in drawings), len(data)))
    name_bits = 8 * len(head.packed_names())
    ledger.notes.update(drawing.note for drawing in drawings if drawing.note)
    ledger.book(name_bits=name_bits, chunk_head_bits=8 * (len(data) - len(payload)) - name_bits)
    return Chunk(data, images.images, ledger)


def unmake(shared: tuple[ChainedCoder, Header, Sampling], stored: Stored, done: Done) -> Piece:
    """The inverse of `make`; what cannot be restored is a piece with an error."""
    (model, header, sampling), head, place = shared, stored.head, stored.place
    if head is None or stored.error:
        return Piece(place.first, place.images, head.names if head else (), [], stored.error)
    forms = [form for form, count in head.runs for _ in range(count)]
    chaining = Chaining(not header.lossy, header.ordered, samples=header.samples)
    try:
        _check_fits(header, head, forms)
        geometries = [form.geometry for form in forms]
        rasters = model.pop(stored.payload, head.state, geometries, chaining, sampling, done)
    except VlaeError as error:
        return Piece(place.first, place.images, head.names, [], str(error))
    drawings = [Drawing(raster.two_levels(), form.look) for raster, form in zip(rasters, forms, strict=True)]
    return Piece(place.first, place.images, head.names, drawings)


def _check_fits(header: Header, head: Head, forms: list[Format]) -> None:
    """Refuses a chunk that an archive with this header cannot have."""
    loose, at = 0, 0
    for source, own in header.forms.parts(head.first, head.images):
        sizes = {(form.height, form.width) for form in forms[at : at + len(own)]}
        if isinstance(source, ArrayForm) and sizes != {source.size}:
            raise FormatError(f"a chunk has images of {source.root} that are not of its size: the file is damaged")
        loose += len(own) * isinstance(source, FilesForm)
        at += len(own)
    if len(head.names) != loose * header.ordered:
        raise FormatError(f"a chunk has {len(head.names)} names for {loose} loose pictures: the file is damaged")


def format_of(drawing: Drawing) -> Format:
    """Size and look of a drawing."""
    height, width = drawing.bits.shape
    return Format(width, height, drawing.look)


def _format_of(geometry: Geometry) -> Format:
    look = look_of(geometry.format)
    assert look is not None  # only pictures in two colours are chained
    return Format(geometry.width, geometry.height, look)
