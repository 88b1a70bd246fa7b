"""The two directions: pictures -> fields -> codes -> file, and back.

`encode` and `decode` mirror each other and work on batches; `compress`, `decompress` and `inspect` are their one-picture
doors. Every network runs in exact integers (see `exact.fixed`), so a file decodes to the same pixels everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.picture.images import to_drawing, to_picture

from . import container
from .coding.bits import PrefixCode, Stream
from .container import Header, Kind
from .errors import FormatError, Progress, TruncatedError
from .field import latents
from .field.latents import Blank, Code, Lattice, Number
from .field.model import Model, find, load_default, named
from .field.polarity import suited
from .field.search import DEFAULT_EFFORT, EFFORTS, Choice, Search
from .field.texture import GROUP, PixelReader, Sampling, Stored, decode_fields, write_pixels, write_shortest
from .picture.drawing import Drawing
from .picture.fields import SIDE, Bits, cut_fields, field_grid, from_fields
from .picture.images import Picture, PillowImage

_BATCH = 512  # fields that are drawn together, of several files


@dataclass(frozen=True)
class Ledger:
    """Where the bits of one file went.

    kl_bits: KL(q(z|x) || p(z)), the theory. ideal_bits: the information in the codes chosen, and in the pixels given
    them if they are stored. coded_bits: what the sections hold. total_bytes: the file; the rest is header, checks and
    rounding.
    differing_pixels: pixels of the decoded picture that differ from the (two-level) original. unlike_fields: how many of
    the `fields` are unlike what the model was trained on, so that they cost it more than a bit a pixel.
    """

    width: int
    height: int
    kl_bits: float
    distortion_bits: float
    ideal_bits: float
    coded_bits: float
    container_bytes: float
    total_bytes: int
    bits_per_pixel: float
    differing_pixels: int
    fields: int
    unlike_fields: int
    note: str | None


@dataclass(frozen=True)
class Encoded:
    """A file and its ledger."""

    data: bytes
    ledger: Ledger


@dataclass(frozen=True)
class Decoded:
    """A picture. `exact_pixels` were stored, `sampled_pixels` were drawn by the model.

    whole: whether the check of those stored holds. If not, they are exact only if the file was cut and nothing else; and if
    none was drawn, it was damaged, or cut within the check: no stream of this encoder can do without its last byte.
    """

    drawing: Drawing
    exact_pixels: int
    sampled_pixels: int
    whole: bool = True

    @property
    def picture(self) -> PillowImage:
        """As a Pillow image."""
        return to_picture(self.drawing)


def compress(
    picture: Picture,
    *,
    lossless: bool = False,
    effort: int = DEFAULT_EFFORT,
    model: Model | str | None = None,
    threshold: int | None = None,
) -> bytes:
    """Compresses one picture: a Pillow image or an array (H, W), (H, W, 3) or (H, W, 4).

    Args:
        lossless: keep every pixel, not only the structure.
        effort: size of the search, 0 to 9.
        model: one that was loaded, the name of a released one, or a folder; the default is `mnist-dynamic`.
        threshold: binarise, with luminance above this, 0 to 254, as the light level.

    Raises:
        ImageError: the picture cannot be coded as asked.
        TypeError: it is no picture but a path or bytes.
    """
    if isinstance(picture, str | bytes | os.PathLike):
        raise TypeError(
            f"compress takes a Pillow image or an array, not {type(picture).__name__}: open the file with PIL.Image.open, "
            "or give its path to compress_files"
        )
    drawing = to_drawing(picture, threshold, exact=lossless)
    chosen = named(model) if isinstance(model, str) else model or load_default()
    return encode(suited([drawing], chosen), chosen, lossless=lossless, effort=effort)[0].data


def decompress(
    data: bytes, *, seed: int = 0, temperature: float = 1.0, partial: bool = False, model: Model | str | None = None
) -> PillowImage:
    """The picture of one file. `seed` and `temperature` draw another texture; other arguments and errors as of `decode`.

    Raises:
        TypeError: it is a path, not the bytes of a file.
    """
    if isinstance(data, str | os.PathLike):
        raise TypeError("decompress takes the bytes of a file: read it first, or give its path to decompress_files")
    chosen = named(model) if isinstance(model, str) else model
    return decode([data], Sampling(seed, temperature), partial=partial, model=chosen)[0].picture


def encode(
    drawings: Sequence[Drawing],
    model: Model,
    *,
    lossless: bool = False,
    effort: int = DEFAULT_EFFORT,
    progress: Progress | None = None,
) -> list[Encoded]:
    """Compresses drawings, all in one batch.

    Raises:
        ValueError: effort is not 0..9.
    """
    if not 0 <= effort < len(EFFORTS):
        raise ValueError(f"effort must be 0 to {len(EFFORTS) - 1}, not {effort}")
    if not drawings:
        return []
    fields, inside, index = cut_fields([drawing.bits for drawing in drawings])
    search = Search(model, effort, lossy=not lossless)
    choices = search.choices(fields, inside, index, progress)
    files, at = [], 0
    for drawing in drawings:
        rows, cols = field_grid(*drawing.bits.shape)
        own = slice(at, at := at + rows * cols)
        files.append(_file(model, search.prefix, drawing, fields[own], inside[own], choices[own], lossless))
    return files


def decode(
    files: Sequence[bytes],
    sampling: Sampling = Sampling(),
    *,
    partial: bool = False,
    model: Model | None = None,
    progress: Progress | None = None,
) -> list[Decoded]:
    """Decodes files. What a file holds is restored exactly; other pixels are drawn, the same on every machine.

    `decode_samples` draws several pictures of each file at once.

    Args:
        partial: accept a lossless file that is cut short after its latent section.
        model: used for files that name its digest or number; others are looked up among the released models.

    Raises:
        FormatError: the bytes are not a file that this version can read, or are damaged.
        TruncatedError: the file ends early and `partial` is not set, or not even its latents are there.
        ModelError: the file names a model that is not known here.
    """
    return [first for (first,) in decode_samples(files, [sampling], partial=partial, model=model, progress=progress)]


def decode_samples(
    files: Sequence[bytes],
    samplings: Sequence[Sampling],
    *,
    partial: bool = False,
    model: Model | None = None,
    progress: Progress | None = None,
) -> list[list[Decoded]]:
    """Decodes files by several samplings at once: for each file, the picture that `decode` gives for each sampling.

    A file is parsed once, its latents are decoded once, and what it holds is read once. Arguments and errors as of `decode`.
    """
    parsed = [parse(data, partial, model) for data in files]
    if not samplings:
        return [[] for _ in files]
    drawn = [file for file in parsed if file.is_drawn]
    step = max(1, _BATCH // max(1, sum(len(file.codes) for file in drawn)))
    rounds = [(drawn, samplings[start : start + step]) for start in range(0, len(samplings), step)]
    rounds.append(([file for file in parsed if not file.is_drawn], samplings[:1]))
    total = sum(len(file.starts) for some, _ in rounds for file in some)
    done, pictures = 0, {id(file): list[Decoded]() for file in parsed}

    def tell(groups: int) -> None:
        nonlocal done
        if progress and total > 1:
            progress("decompressing", done, total)
        done += groups

    for some, part in rounds:
        for file, decoded in zip(some, _decoded(some, part, tell), strict=True):
            pictures[id(file)] += decoded
    tell(0)
    return [pictures[id(file)] * (1 if file.is_drawn else len(samplings)) for file in parsed]


def _decoded(files: Sequence[File], samplings: Sequence[Sampling], tell: Callable[[int], None]) -> list[list[Decoded]]:
    """The pictures of each file by each sampling; `tell` hears how many groups of fields are decoded next."""
    readers = [[PixelReader(file.stored, file.whole) for _ in samplings] for file in files]
    jobs = [_Job(file, own, start) for file, own in zip(files, readers, strict=True) for start in file.starts]
    fields: dict[int, list[Bits]] = {id(file): [] for file in files}
    for batch in _batches(jobs):
        tell(len(batch))
        for job, bits in zip(batch, _fields(batch, samplings), strict=True):
            fields[id(job.file)].append(bits)
    found = []
    for file, own in zip(files, readers, strict=True):
        parts = fields.pop(id(file))
        found.append([_finish(file, reader, [part[:, s] for part in parts]) for s, reader in enumerate(own)])
    return found


def _file(
    model: Model,
    prefix: PrefixCode,
    drawing: Drawing,
    fields: Bits,
    inside: npt.NDArray[np.bool_],
    choices: list[Choice],
    lossless: bool,
) -> Encoded:
    height, width = drawing.bits.shape
    header = Header(Kind.LOSSLESS if lossless else Kind.LOSSY, model.identity, width, height, drawing.look)
    stream = Stream(b"")
    if lossless:
        choices, stream = _with_pixels(model, prefix, choices, fields, inside)
    codes = [choice.code for choice in choices]
    section = latents.write(codes, prefix, model.prior, stream.first)
    head = header.write()
    data = head + section + container.check(head + section)
    distortion = sum(choice.distortion_bits for choice in choices)
    ideal_bits = sum(choice.code_bits for choice in choices)
    coded_bits = latents.coded_bits(section, codes, prefix)
    raw_bits = inside.sum(axis=(1, 2)).tolist()
    unlike = sum(
        choice.code_bits + choice.distortion_bits
        > bits
        >= SIDE * SIDE / 2  # a corner's few pixels cost what the code does
        for choice, bits in zip(choices, raw_bits, strict=True)
    )
    if lossless:
        data += container.check(stream.rest) + stream.rest
        ideal_bits, coded_bits = ideal_bits + distortion, coded_bits + stream.lead + 8 * len(stream.rest)
        raw = _raw_file(header, drawing)
        if len(raw) < len(data):
            data, ideal_bits, coded_bits = raw, drawing.bits.size, drawing.bits.size
    differing = 0 if lossless else sum(choice.differing for choice in choices)
    ledger = Ledger(
        width=width,
        height=height,
        kl_bits=sum(choice.kl_bits for choice in choices),
        distortion_bits=distortion,
        ideal_bits=ideal_bits,
        coded_bits=coded_bits,
        container_bytes=len(data) - coded_bits / 8,
        total_bytes=len(data),
        bits_per_pixel=8 * len(data) / drawing.bits.size,
        differing_pixels=differing,
        fields=len(codes),
        unlike_fields=unlike,
        note=drawing.note,
    )
    return Encoded(data, ledger)


def _with_pixels(
    model: Model, prefix: PrefixCode, choices: list[Choice], fields: Bits, inside: npt.NDArray[np.bool_]
) -> tuple[list[Choice], Stream]:
    """The pixels' stream, and the choices that it is given: for a single field, the code that makes the shortest file."""
    if len(choices) > 1 or not choices[0].runners_up:
        codes = [choice.code for choice in choices]
        return choices, write_pixels(model, codes, latents.padding_length(codes, prefix), fields, inside)
    tried = [choices[0], *choices[0].runners_up]
    coded = [choice.code for choice in tried if not isinstance(choice.code, Blank)]
    sizes_bits = [latents.coded_bits(latents.write([code], prefix, model.prior), [code], prefix) for code in coded]
    best, stream = write_shortest(model, coded, np.array(sizes_bits), fields, inside)
    return [tried[best]], stream


def _raw_file(header: Header, drawing: Drawing) -> bytes:
    head = Header(Kind.RAW, 0, header.width, header.height, header.look).write()
    stored = np.packbits(drawing.bits).tobytes()
    return head + container.check(head) + container.check(stored) + stored


@dataclass(frozen=True)
class File:
    """A file taken apart: `stored` are its pixels, or None; `whole` says that the check of their section holds."""

    header: Header
    model: Model | None
    codes: list[Code]
    stored: Stream | None
    whole: bool

    @property
    def is_drawn(self) -> bool:
        """Whether the file leaves pixels to be drawn."""
        return self.header.kind == Kind.LOSSY or not self.whole

    @property
    def starts(self) -> range:
        """Where the groups of fields begin that are coded together."""
        return range(0, len(self.codes), GROUP)

    def inside(self, index: int) -> npt.NDArray[np.bool_]:
        """Which pixels of field `index` lie in the picture: (28, 28)."""
        row, col = divmod(index, field_grid(self.header.height, self.header.width)[1])
        along = np.arange(SIDE)
        return np.logical_and.outer(row * SIDE + along < self.header.height, col * SIDE + along < self.header.width)


def parse(data: bytes, partial: bool, model: Model | None) -> File:
    """Takes a file apart and verifies its checks; draws no pixel. Arguments and errors as in `decode`."""
    header, at = container.read_header(data)
    codes: list[Code] = []
    own: Model | None = None
    padding = Stream(b"")
    if header.kind != Kind.RAW:
        own = find(header.model, model)
        section = latents.read(data, at, header.fields, PrefixCode(own.octave_lengths))
        at = container.read_check(data, section.end)
        if header.kind == Kind.LOSSY:
            section.check_padding()
        padding = section.padding
        codes = section.codes(own.prior)
    else:
        at = container.read_check(data, at)
    if header.kind == Kind.LOSSY:
        if len(data) > at:
            raise FormatError(f"{len(data) - at} bytes follow the end of the file's content: it is damaged")
        return File(header, own, codes, None, True)
    check, stored = data[at : at + container.CHECK_BYTES], data[at + container.CHECK_BYTES :]
    whole = check == container.check(stored)
    if header.kind == Kind.RAW:
        whole = container.is_whole_raw(header, stored, whole)
    elif whole and stored.endswith(b"\0"):
        raise FormatError("the pixel section ends in a zero byte, which no stream does: the file is damaged")
    if not whole and not partial:
        raise TruncatedError(
            "the pixel section fails its check: the file is cut short or damaged; --partial (partial=True) decodes a cut one"
        )
    return File(header, own, codes, replace(padding, rest=stored), whole)


def inspect(data: bytes, model: Model | None = None) -> dict[str, Any]:
    """What a file says about itself, without decoding any pixel; its pixel section may be cut short.

    Raises:
        FormatError, ModelError: as `decode`.
    """
    file = parse(data, True, model)
    header = file.header
    return {
        "bytes": len(data),
        "format_version": container.VERSION,
        "kind": header.kind.name.lower(),
        "model": file.model.name if file.model else None,
        "width": header.width,
        "height": header.height,
        "fields": header.fields,
        "numbers": [code.n for code in file.codes if isinstance(code, Number)],
        "lattice_fields": sum(isinstance(code, Lattice) for code in file.codes),
        "blank_fields": sum(isinstance(code, Blank) for code in file.codes),
        "pixel_bytes": len(file.stored.rest) if file.stored else 0,
        "complete": file.whole,
    }


@dataclass(frozen=True)
class _Job:
    """One group of a file's fields, and its stored pixels as each sampling reads them."""

    file: File
    readers: Sequence[PixelReader]
    start: int

    @property
    def is_stored(self) -> bool:
        return self.file.stored is not None

    @property
    def codes(self) -> list[Code]:
        return self.file.codes[self.start : self.start + GROUP]


def _batches(jobs: Sequence[_Job]) -> Iterator[list[_Job]]:
    """Jobs that can be drawn in one pass: of one model, and no two of one file if its groups share stored bits."""
    batch: list[_Job] = []
    for job in jobs:
        last = batch[-1].file if batch else None
        full = sum(len(other.codes) for other in batch) >= _BATCH
        if last and (full or (last is job.file and job.is_stored) or last.model is not job.file.model):
            yield batch
            batch = []
        batch.append(job)
    if batch:
        yield batch


def _fields(batch: Sequence[_Job], samplings: Sequence[Sampling]) -> list[Bits]:
    """The fields of each job for each sampling, stored pixels read and others drawn: a list of (B, S, 28, 28)."""
    model = batch[0].file.model
    assert model is not None  # only raw files have none, and they have no codes
    codes = [code for job in batch for code in job.codes]
    owner = np.repeat(np.arange(len(batch)), [len(job.codes) for job in batch])
    index = np.concatenate([job.start + np.arange(len(job.codes)) for job in batch])
    inside = np.stack([batch[n].file.inside(i) for n, i in zip(owner.tolist(), index.tolist(), strict=True)])
    stored = None
    if any(job.is_stored for job in batch):
        readers = [reader for job in batch for reader in job.readers]
        stored = Stored(readers, owner[:, None] * len(samplings) + np.arange(len(samplings)))
    fields = decode_fields(model, samplings, codes, index, inside, stored)
    return [fields[owner == n] for n in range(len(batch))]


def _finish(file: File, reader: PixelReader, fields: list[Bits]) -> Decoded:
    header = file.header
    size = header.width * header.height
    if header.kind == Kind.RAW:
        assert file.stored is not None  # only lossy files hold no pixels
        stored = np.unpackbits(np.frombuffer(file.stored.rest, np.uint8))[:size]
        bits, exact = np.zeros(size, np.uint8), len(stored)
        bits[:exact] = stored
        return Decoded(Drawing(bits.reshape(header.height, header.width), header.look), exact, size - exact, file.whole)
    bits = from_fields(np.concatenate(fields), header.height, header.width)
    blank = sum(int(file.inside(i).sum()) for i, code in enumerate(file.codes) if isinstance(code, Blank))
    exact = reader.exact + blank
    return Decoded(Drawing(bits, header.look), exact, size - exact, file.whole)
