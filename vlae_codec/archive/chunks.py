"""One chunk of an archive, the two directions: images -> views -> payload and head, and back.

A chunk knows nothing of its neighbours, so `pack` makes and opens several at once, each in a process of its own.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from dataclasses import fields as entries
from typing import Any, cast

from vlae_codec.container import MOST_BYTES, check_claim
from vlae_codec.errors import FormatError, ImageError, ModelError, OptionError, VlaeError
from vlae_codec.family import (
    DEFAULT_EFFORT,
    EFFORTS,
    OF_SAMPLING,
    Ask,
    Chain,
    Chained,
    ChainedCoder,
    Chaining,
    Coder,
    Decoded,
    Done,
    Sampling,
)
from vlae_codec.options import check_switches, check_whole, make_plain
from vlae_codec.picture.raster import Raster
from vlae_codec.sets.manifest import ArrayForm, FilesForm

from . import apart, version1
from .heads import LARGEST_CHUNK, MOST_SAMPLES, Head, Header, Identity, Place, checked, packed_names
from .numbers import Numbers
from .pieces import Piece, lost

CHUNK = 1000
"""Images of a chunk, unless asked otherwise."""


@dataclass
class ArchiveLedger:
    """Where the bits of an archive, or of a chunk, went: `bits` add up to eight times total_bytes.

    Theory, summed over the fields that the model codes: kl_bits, KL(q || p) over the cells of the lattice; and
    negative_elbo_bits, with the pixels (0 for a lossy archive). order_bits: log2 of the number of orders that sets of n
    images have, n! each.

    image_bits: what each image added to the payload, in order; none for a set without order. notes: what was lost on the way
    in, and of how many images. unlike: names of images that are unlike what the lossy models were trained on, or
    numbers of those of an array. changed_pixels: on edges of pictures in two colours, for their quality.
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
    unlike: list[str] = field(default_factory=list)
    changed_pixels: int = 0

    def theory_bits(self) -> dict[str, float]:
        """The terms of what theory says that it costs, by the names of `tables.paired`; raw pixels cost what they do."""
        terms = {
            "kl_bits": self.kl_bits,
            "distortion_bits": max(0.0, self.negative_elbo_bits - self.kl_bits),
            "raw_bits": self.bits.get("raw_bits", 0.0),
            "order_bits": -self.order_bits,
        }
        return {name: bits for name, bits in terms.items() if bits or name == "kl_bits"}

    def as_dict(self) -> dict[str, Any]:
        """All entries by name, as JSON can hold them."""
        return {**asdict(self), "notes": dict(self.notes)}

    def book(self, **bits: float) -> None:
        """Adds bits to entries."""
        for name, value in bits.items():
            self.bits[name] = self.bits.get(name, 0.0) + value

    def merge(self, other: ArchiveLedger) -> None:
        """Adds all of another."""
        for entry in entries(ArchiveLedger):
            if entry.name not in ("bits", "image_bits", "notes", "unlike"):
                setattr(self, entry.name, getattr(self, entry.name) + getattr(other, entry.name))
        self.book(**other.bits)
        self.image_bits += other.image_bits
        self.notes += other.notes
        self.unlike += other.unlike


@dataclass(frozen=True)
class Settings:
    """How chunks are coded. `effort`, 0..9: of a lossy archive the size of the search; of a lossless one, 2^effort samples
    of q for each field, at most 32. `chunk`: the most images of one; if not given, CHUNK, or of a set as many as may be.

    Raises:
        OptionError: a set without order is to be lossy, the effort is not 0 to 9, or a chunk is to hold nothing.
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
        check_switches(lossless=self.lossless, ordered=self.ordered)
        if not (self.lossless or self.ordered):
            raise OptionError("a set without order must be lossless")
        check_whole("effort", self.effort, EFFORTS[0], EFFORTS[-1], optional=True)
        check_whole("chunk", self.chunk, 1, optional=True)
        make_plain(self, "effort", "chunk")

    def check_ordered(self) -> None:
        """Refuses to give up the order of pictures that are not all drawings.

        Raises:
            ImageError: that is asked for.
        """
        if not self.ordered:
            raise ImageError(
                "a set without order needs drawings of one size in the same two colours: pack these in order"
            )


@dataclass(frozen=True)
class OneImage:
    """An image in two colours, and what was lost on its way in; one of an array has no name."""

    name: str | None
    raster: Raster
    lost: str | None = None


@dataclass(frozen=True)
class Images:
    """What one chunk is made from: images, the first of which has that number."""

    first: int
    ones: tuple[OneImage, ...]

    @property
    def images(self) -> int:
        """How many."""
        return len(self.ones)

    @property
    def numbers(self) -> Numbers:
        """Which."""
        return Numbers.between(self.first, self.images)


@dataclass(frozen=True)
class Chunk:
    """A chunk as the file holds it."""

    data: bytes
    numbers: Numbers
    ledger: ArchiveLedger


@dataclass(frozen=True)
class Stored:
    """A chunk as read from its file, or a picture of one, or why it cannot be."""

    place: Place
    head: Head | None
    payload: bytes
    error: str | None

    @property
    def images(self) -> int:
        """How many images it should hold."""
        return self.place.images


@dataclass(frozen=True)
class Shared:
    """What all chunks of an archive are decoded with: coders by what names them. A picture apart from others that claims
    more than `most_bytes` of samples is refused.
    """

    header: Header
    coders: Mapping[Identity, Coder]
    sampling: Sampling = Sampling()
    most_bytes: int = MOST_BYTES


def chained(model: Coder) -> ChainedCoder:
    """The model itself, if its pictures can be coded together.

    Raises:
        ModelError: they cannot.
    """
    if not isinstance(model, Chained):
        raise ModelError(f"the model {model.name} codes pictures one by one, and here they are coded together")
    return cast(ChainedCoder, model)


def make(shared: tuple[ChainedCoder, Settings], images: Images, done: Done) -> list[Chunk]:
    """The chunk of some images, of version 1.

    Raises:
        ImageError: a set without order has images of several sizes.
    """
    model, settings = shared
    views = [
        model.view(one.raster, Ask(settings.lossless, fixed=one.name is None or not settings.ordered))
        for one in images.ones
    ]
    made = model.push(views, settings.chaining, done)
    names = tuple(one.name for one in images.ones if one.name is not None)
    head = head_of(made, images.numbers, names if settings.ordered else ())
    lost = [one.lost for one in images.ones]
    return [chunk_of(made, head, version1.write_head(head), lost, settings)]


def head_of(made: Chain, numbers: Numbers, names: tuple[str, ...], model: Identity | None = None) -> Head:
    """The head of images that were coded together; `names` are of those that are loose pictures."""
    runs = tuple((form, len(list(group))) for form, group in itertools.groupby(made.geometries))
    return Head(numbers, names, runs, made.state, len(made.payload), model)


def chunk_of(made: Chain, head: Head, written: bytes, notes: Sequence[str | None], settings: Settings) -> Chunk:
    """The chunk of images that were coded together, with its head as bytes."""
    data = written + checked(made.payload)
    ledger = ArchiveLedger(
        images=head.images,
        pixels=sum(form.width * form.height * count for form, count in head.runs),
        total_bytes=len(data),
        kl_bits=made.kl_bits,
        negative_elbo_bits=made.negative_elbo_bits,
        order_bits=0.0 if settings.ordered else math.lgamma(head.images + 1) / math.log(2),
        image_bits=[*made.picture_bits],
    )
    ledger.book(**made.bits)
    name_bits = 8 * len(packed_names(head.names))
    ledger.book(name_bits=name_bits, chunk_head_bits=8 * (len(data) - len(made.payload)) - name_bits)
    ledger.notes.update(filter(None, notes))
    return Chunk(data, head.numbers, ledger)


def unmake(shared: Shared, stored: Stored, done: Done) -> list[Piece]:
    """The images of a chunk; what cannot be restored are pieces with an error."""
    head, place = stored.head, stored.place
    if head is None or stored.error:
        return [lost(place.numbers, head.names if head else (), str(stored.error))]
    try:
        _check_fits(shared.header, head)
        coder = shared.coders[_named(shared.header, head)]
        if head.apart is None:
            return [Piece(head.numbers, head.names, _popped(shared, coder, head, stored.payload, done))]
        check_claim(head.sample_bytes, shared.most_bytes)
        return apart.read(coder, head, shared.header.forms, stored.payload, shared.sampling, done)
    except VlaeError as error:
        return [lost(place.numbers, head.names, str(error))]


def _named(header: Header, head: Head) -> Identity:
    """What names the model of a chunk."""
    model = head.model if head.model is not None else header.model
    assert model is not None  # one of both says it
    return model


def models(header: Header, heads: Sequence[Head]) -> set[Identity]:
    """What names the models that chunks need."""
    return {_named(header, head) for head in heads} if header.model is None else {header.model}


def _popped(shared: Shared, coder: Coder, head: Head, payload: bytes, done: Done) -> list[Decoded]:
    """Images that were coded together.

    Raises:
        FormatError: they are damaged, or the model does not code images together.
    """
    header = shared.header
    if not isinstance(coder, Chained):
        raise FormatError("a chunk names a model that codes no pictures together: the file is damaged")
    chaining = Chaining(not header.lossy, header.ordered, samples=header.samples)
    rasters = coder.pop(payload, head.state, head.geometries(), chaining, shared.sampling, done)
    if header.lossy:
        return [Decoded(raster, 0, raster.samples.size) for raster in rasters]
    return [Decoded(raster, raster.samples.size, 0, unused=OF_SAMPLING) for raster in rasters]


def _check_fits(header: Header, head: Head) -> None:
    """Refuses a chunk that an archive with this header cannot have."""
    forms, loose, at = head.geometries(), 0, 0
    for source, own in head.numbers.parts(header.forms):
        mine, at = forms[at : at + len(own)], at + len(own)
        if isinstance(source, ArrayForm) and not all(
            (form.height, form.width) == source.size and form.format.pair for form in {*mine}
        ):
            raise FormatError(f"a chunk has images of {source.root} that are not of its size: the file is damaged")
        loose += len(own) * isinstance(source, FilesForm)
    if len(head.names) != loose * header.ordered:
        raise FormatError(f"a chunk has {len(head.names)} names for {loose} loose pictures: the file is damaged")
