"""One chunk of an archive, the two directions: images -> fields -> chain or codes -> payload and head, and back.

A chunk knows nothing of its neighbours, so `pack` makes and opens several at once, each in a process of its own.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from dataclasses import fields as entries

import numpy as np
import numpy.typing as npt

from vlae_codec.coding.bits import PrefixCode
from vlae_codec.errors import FormatError, ImageError, VlaeError
from vlae_codec.field import chain, latents
from vlae_codec.field.bitsback import Counted, Inside, Tally
from vlae_codec.field.model import Model
from vlae_codec.field.polarity import suited
from vlae_codec.field.search import DEFAULT_EFFORT, EFFORTS, Search
from vlae_codec.field.texture import Sampling, decode_fields
from vlae_codec.picture.drawing import Drawing
from vlae_codec.picture.fields import Bits, cut_fields, from_fields, pixels_inside
from vlae_codec.sets.manifest import ArrayForm, FilesForm

from . import frame
from .frame import LARGEST_CHUNK, MOST_SAMPLES, Format, Head, Header, Place
from .jobs import Done

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
    def search_effort(self) -> int:
        """The size of the search for a lossy archive."""
        return DEFAULT_EFFORT if self.effort is None else self.effort

    def __post_init__(self) -> None:
        if not (self.lossless or self.ordered):
            raise ValueError("a set without order must be lossless")
        if self.effort is not None and self.effort not in range(len(EFFORTS)):
            raise ValueError(f"effort must be 0 to {len(EFFORTS) - 1}, not {self.effort}")
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


def make(shared: tuple[Model, Settings], images: Images, done: Done) -> Chunk:
    """The chunk of some images.

    Raises:
        ImageError: a set without order has images of several sizes.
    """
    model, settings = shared
    drawings = _each_suited(images, model) if settings.ordered else images.drawings
    fields, inside, index = cut_fields([drawing.bits for drawing in drawings])
    told = _per_image(done, images.images, len(fields))
    if not settings.ordered:
        _check_set(drawings)
        payload, counted, ledger = _booked(chain.push_set(model, fields, inside[0], told, settings.samples))
        ledger.order_bits = math.lgamma(images.images + 1) / math.log(2)
    elif settings.lossless:
        pushed = chain.push(model, fields, inside, told, settings.samples)
        payload, counted, ledger = _booked(pushed)
        ledger.image_bits = _by_image(pushed.field_bits(inside), index)
    else:
        payload, counted, ledger = _push_codes(model, fields, inside, index, settings.search_effort, told)
    runs = tuple((form, len(list(group))) for form, group in itertools.groupby(map(format_of, drawings)))
    names = tuple(name for name in images.names if name is not None)
    head = Head(images.first, names if settings.ordered else (), runs, counted, len(payload))
    data = head.write() + frame.checked(payload)
    ledger.merge(ArchiveLedger(images.images, sum(drawing.bits.size for drawing in drawings), len(data)))
    name_bits = 8 * len(head.packed_names())
    ledger.notes.update(drawing.note for drawing in drawings if drawing.note)
    ledger.book(name_bits=name_bits, chunk_head_bits=8 * (len(data) - len(payload)) - name_bits)
    return Chunk(data, images.images, ledger)


def unmake(shared: tuple[Model, Header, Sampling], stored: Stored, done: Done) -> Piece:
    """The inverse of `make`; what cannot be restored is a piece with an error."""
    (model, header, sampling), head, place = shared, stored.head, stored.place
    if head is None or stored.error:
        return Piece(place.first, place.images, head.names if head else (), [], stored.error)
    forms = [form for form, count in head.runs for _ in range(count)]
    told = _per_image(done, head.images, head.fields)
    try:
        _check_fits(header, head, forms)
        if header.lossy and head.fields > 8 * len(stored.payload):  # no code is shorter than a bit
            raise FormatError(
                f"a chunk claims {head.fields} fields in {len(stored.payload)} bytes: the file is damaged"
            )
        inside = np.concatenate([pixels_inside(form.height, form.width) for form in forms])
        if not header.ordered:
            fields = chain.pop_set(
                model, stored.payload, head.images, head.counted.start, _only_field(head, inside), told, header.samples
            )
        elif header.lossy:
            fields = _pop_codes(model, sampling, head, forms, stored.payload, inside)
        else:
            fields = chain.pop(model, stored.payload, head.counted, inside, told, header.samples)
    except VlaeError as error:
        return Piece(place.first, place.images, head.names, [], str(error))
    return Piece(place.first, place.images, head.names, _joined(fields, forms))


def _joined(fields: Bits, forms: list[Format]) -> list[Drawing]:
    """The inverse of `cut_fields`."""
    drawings, at = [], 0
    for form in forms:
        own = fields[at : at + form.fields]
        drawings.append(Drawing(from_fields(own, form.height, form.width), form.look))
        at += form.fields
    return drawings


def _push_codes(
    model: Model, fields: Bits, inside: Inside, index: npt.NDArray[np.int64], effort: int, told: chain.Done
) -> tuple[bytes, Counted, ArchiveLedger]:
    """The payload of a chunk of a lossy archive: the latent section of a single file."""
    search, last = Search(model, effort, lossy=True), 0

    def progress(_what: str, now: int, _total: int) -> None:
        nonlocal last
        told(max(0, now - last))
        last = now

    choices = search.choices(fields, inside, index, progress)
    payload = latents.write([choice.code for choice in choices], search.prefix, model.prior)
    code_bits = sum(choice.code_bits for choice in choices)
    by_image = _by_image(np.array([choice.code_bits for choice in choices]), index)
    ledger = ArchiveLedger(kl_bits=sum(choice.kl_bits for choice in choices), image_bits=by_image)
    ledger.book(code_bits=code_bits, rounding_bits=8 * len(payload) - code_bits)
    return payload, Counted(0), ledger


def _pop_codes(
    model: Model, sampling: Sampling, head: Head, forms: list[Format], payload: bytes, inside: Inside
) -> Bits:
    """The inverse of `_push_codes`, with pixels drawn as a single file's are."""
    section = latents.read(payload, 0, head.fields, PrefixCode(model.octave_lengths))
    section.check_padding()
    if section.end != len(payload):
        raise FormatError(f"{len(payload) - section.end} bytes follow the codes of a chunk: the file is damaged")
    index = np.concatenate([np.arange(form.fields) for form in forms])
    fields: Bits = decode_fields(model, [sampling], section.codes(model.prior), index, inside)[:, 0]
    return fields


def _booked(pushed: chain.Pushed) -> tuple[bytes, Counted, ArchiveLedger]:
    kl_bits = float(pushed.costs.kl_bits.sum())
    ledger = ArchiveLedger(kl_bits=kl_bits, negative_elbo_bits=kl_bits + float(pushed.costs.distortion_bits.sum()))
    ledger.book(**{entry.name: getattr(pushed.tally, entry.name) for entry in entries(Tally)})
    return pushed.data, pushed.counted, ledger


def _by_image(field_bits: npt.NDArray[np.float64], index: npt.NDArray[np.int64]) -> list[float]:
    """Sums over the fields of each image, (n,) bits; `index` is each field's place in its image."""
    sums: list[float] = np.add.reduceat(field_bits, np.flatnonzero(index == 0)).tolist()
    return sums


def _each_suited(images: Images, model: Model) -> list[Drawing]:
    """The loose pictures each with the ink that suits the model; those of arrays as they are."""
    drawings = images.drawings[:]
    loose = [index for index, name in enumerate(images.names) if name is not None]
    for index, drawing in zip(loose, suited([drawings[index] for index in loose], model), strict=True):
        drawings[index] = drawing
    return drawings


def _check_set(drawings: Sequence[Drawing]) -> None:
    form = format_of(drawings[0])
    for drawing in drawings:
        height, width = drawing.bits.shape
        if form.fields > 1 or (height, width) != (form.height, form.width):
            raise ImageError(
                f"a set without order needs images of one size, 28x28 at most, and one is {width}x{height}"
            )
        if drawing.look != form.look:
            raise ImageError(
                "a set without order needs images of the same paper and ink, and these have others: pack them in order"
            )


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
    start, blank, raw = astuple(head.counted)
    if (header.lossy and start) or ((header.lossy or not header.ordered) and (blank or raw)):
        raise FormatError("a chunk counts fields of a kind that archives like this do not have: the file is damaged")


def _only_field(head: Head, inside: Inside) -> Inside:
    if len(head.runs) != 1 or head.fields != head.images:
        raise FormatError("a set without order claims images of several sizes: the file is damaged")
    only: Inside = inside[0]
    return only


def format_of(drawing: Drawing) -> Format:
    """Size and look of a drawing."""
    height, width = drawing.bits.shape
    return Format(width, height, drawing.look)


def _per_image(done: Done, images: int, fields: int) -> chain.Done:
    return lambda count: done(count * images / fields)
