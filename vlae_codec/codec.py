"""The two directions: pictures -> fields -> codes -> file, and back.

`encode` and `decode` mirror each other and work on batches; `compress`, `decompress` and `inspect` are their one-picture
doors. Every network runs in exact integers (see `fixed`), so a file decodes to the same pixels everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial as bind
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import container, latents, pixels
from .codebook import Posterior, Progress, rank
from .container import Header, Kind
from .entropy import Decoder, Encoder, PrefixDecoder
from .errors import FormatError, TruncatedError
from .fixed import COUNT_BITS, LATENT_BITS, Integers, code_length_bits, ink_counts
from .latents import Blank, Code, Lattice, Number, PrefixCode
from .model import Model, find, load_default
from .network import SIDE, WAVEFRONT, Bits
from .pixels import Drawing, Picture, PillowImage
from .prior import Latents as Coordinates
from .threads import in_pieces
from .words import codeword_words, pixel_words


class Effort(NamedTuple):
    """A size of search: 2^codebook_bits codewords are ranked, `scored` of them decoded.

    Among those whose J is within `slack_bits` of the best, a lossy file takes the one whose picture is closest.
    """

    codebook_bits: int
    scored: int
    slack_bits: float


EFFORTS = (
    Effort(12, 3, 0.5),
    Effort(13, 4, 0.5),
    Effort(14, 6, 0.5),
    Effort(16, 8, 1.0),
    Effort(17, 12, 1.5),
    Effort(19, 16, 1.5),
    Effort(20, 24, 1.0),
    Effort(20, 48, 1.0),
    Effort(21, 64, 0.5),
    Effort(22, 96, 0.5),
)
DEFAULT_EFFORT = 5

_GROUP = 64  # fields that are coded together; part of the format
_BATCH = 256  # fields that are drawn together, of several files
_PIECE = 8  # fields a thread scores at a time
_DRAW_PIECE = 32  # fields a thread draws at a time
_PIXELS = SIDE * SIDE
_LATTICE_OVERHEAD_BITS = 16.0


@dataclass(frozen=True)
class Ledger:
    """Where the bits of one file went.

    kl_bits: KL(q(z|x) || p(z)), the theory. ideal_bits: the information in the codes chosen, and in the pixels given
    them if they are stored. coded_bits: what the sections hold. total_bytes: the file; the rest is header, checks and
    rounding.
    `differing_pixels`: pixels of the decoded picture that differ from the (two-level) original.
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
    note: str | None


@dataclass(frozen=True)
class Encoded:
    """A file and its ledger."""

    data: bytes
    ledger: Ledger


@dataclass(frozen=True)
class Decoded:
    """A picture. `exact_pixels` were stored, `sampled_pixels` were drawn by the model."""

    drawing: Drawing
    exact_pixels: int
    sampled_pixels: int

    @property
    def picture(self) -> PillowImage:
        """As a Pillow image."""
        return pixels.to_picture(self.drawing)


@dataclass(frozen=True)
class Sampling:
    """How pixels that a file does not hold are drawn: texture seed and temperature (0: the likelier value)."""

    seed: int = 0
    temperature: float = 1.0


@dataclass(frozen=True)
class _Choice:
    """The code chosen for a field, with its cost: bits of the code, -log2 p(x|z), and the KL."""

    code: Code
    code_bits: float
    distortion_bits: float
    kl_bits: float
    differing: int = 0


def compress(
    picture: Picture,
    *,
    lossless: bool = False,
    effort: int = DEFAULT_EFFORT,
    model: Model | None = None,
    threshold: int | None = None,
) -> bytes:
    """Compresses one picture: a Pillow image or an array (H, W), (H, W, 3) or (H, W, 4).

    Raises:
        ImageError: the picture cannot be coded as asked.
    """
    drawing = pixels.to_drawing(picture, threshold, exact=lossless)
    return encode([drawing], model or load_default(), lossless=lossless, effort=effort)[0].data


def decompress(
    data: bytes, *, seed: int = 0, temperature: float = 1.0, partial: bool = False, model: Model | None = None
) -> PillowImage:
    """The picture of one file; see `decode`."""
    return decode([data], Sampling(seed, temperature), partial=partial, model=model)[0].picture


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
    cut = [pixels.to_fields(drawing.bits) for drawing in drawings]
    fields, inside = (np.concatenate([part[i] for part in cut]) for i in (0, 1))
    index = np.concatenate([np.arange(len(part[0])) for part in cut])
    prefix = PrefixCode(model.octave_lengths)
    choices: list[_Choice] = []
    for start in range(0, len(fields), _GROUP):
        group = slice(start, start + _GROUP)
        choices += _choose(model, prefix, fields[group], inside[group], index[group], effort, not lossless, progress)
        if progress and len(fields) > _GROUP:
            progress("compressing", len(choices), len(fields))
    files, at = [], 0
    for drawing, (own_fields, own_inside) in zip(drawings, cut, strict=True):
        own = choices[at : at + len(own_fields)]
        at += len(own_fields)
        files.append(_file(model, prefix, drawing, own_fields, own_inside, own, lossless))
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

    Args:
        partial: accept a lossless file that is cut short after its latent section.
        model: used for files that name its digest or number; others are looked up among the released models.

    Raises:
        FormatError: the bytes are not a file that this version can read, or are damaged.
        TruncatedError: the file ends early and `partial` is not set, or not even its latents are there.
        ModelError: the file names a model that is not known here.
    """
    parsed = [_parse(data, partial, model) for data in files]
    readers = [_PixelReader(file) for file in parsed]
    jobs = [
        _Job(file, reader, start)
        for file, reader in zip(parsed, readers, strict=True)
        for start in range(0, len(file.codes), _GROUP)
    ]
    drawn: dict[int, list[Bits]] = {id(file): [] for file in parsed}
    done = 0
    for batch in _batches(jobs):
        for job, bits in zip(batch, _draw(batch, sampling), strict=True):
            drawn[id(job.file)].append(bits)
        done += len(batch)
        if progress and len(jobs) > 1:
            progress("decompressing", done, len(jobs))
    return [_finish(file, reader, drawn[id(file)]) for file, reader in zip(parsed, readers, strict=True)]


# --- choosing codes


def _choose(
    model: Model,
    prefix: PrefixCode,
    fields: Bits,
    inside: npt.NDArray[np.bool_],
    index: npt.NDArray[np.int64],
    effort: int,
    lossy: bool,
    progress: Progress | None,
) -> list[_Choice]:
    """The codes of a group of fields (B, 28, 28); `index` is each field's place in its picture."""
    choices = [_Choice(Blank(), prefix.lengths[latents.BLANK], 0.0, 0.0)] * len(fields)
    inked = np.flatnonzero(fields.any(axis=(1, 2)))
    if not len(inked):
        return choices
    fields, inside = fields[inked], inside[inked]
    posterior = Posterior.of(model, fields)
    bits, best, slack_bits = EFFORTS[effort]
    numbers = rank(model, prefix, posterior, bits, best, progress)
    lattice = model.prior.nearest(posterior.mu * 2.0**LATENT_BITS)
    k = np.concatenate([_codewords(model, numbers), lattice[:, None]], axis=1)  # (B, best + 1, D)
    code_bits = np.concatenate([prefix.number_bits(numbers), _lattice_bits(model, prefix, lattice)[:, None]], axis=1)
    columns = best + 1
    distortion = distortion_bits(
        model, np.repeat(fields, columns, 0), np.repeat(inside, columns, 0), k.reshape(-1, k.shape[2])
    ).reshape(-1, columns)

    def code(row: int, column: int) -> Number | Lattice:
        return Number(int(numbers[row, column])) if column < best else Lattice(tuple(lattice[row].tolist()))

    total = code_bits + distortion
    chosen, differing = total.argmin(axis=1), np.zeros(len(fields), np.int64)
    if lossy:
        close = total <= total.min(axis=1, keepdims=True) + slack_bits
        chosen, differing = _closest(model, code, k, close, fields, inside, index[inked])
    kl_bits = posterior.rate_bits(model)
    for row, (place, column) in enumerate(zip(inked, chosen.tolist(), strict=True)):
        choices[place] = _Choice(
            code(row, column),
            float(code_bits[row, column]),
            float(distortion[row, column]),
            float(kl_bits[row]),
            int(differing[row]),
        )
    return choices


def _codewords(model: Model, numbers: npt.NDArray[np.int64]) -> Coordinates:
    """The lattice coordinates of numbers (B, N): (B, N, D)."""
    words = np.concatenate([codeword_words(n, 1, model.prior.latents) for n in numbers.ravel().tolist()])
    return in_pieces(256, model.prior.sample, words).reshape(*numbers.shape, -1)


def _lattice_bits(model: Model, prefix: PrefixCode, k: Coordinates) -> npt.NDArray[np.float64]:
    """What lattice codes cost: (B, D) -> (B,) bits, with the ends of their stream."""
    bits: npt.NDArray[np.float64] = code_length_bits(model.prior.counts(k)).sum(axis=1)
    return bits + prefix.lengths[latents.LATTICE] + _LATTICE_OVERHEAD_BITS


def distortion_bits(
    model: Model, fields: Bits, inside: npt.NDArray[np.bool_], k: Coordinates
) -> npt.NDArray[np.float64]:
    """-log2 p(x|z) over the pixels inside, for fields (B, 28, 28) and lattice coordinates (B, D): (B,) bits."""

    def piece(bits: Bits, mask: npt.NDArray[np.bool_], z: Integers) -> npt.NDArray[np.float64]:
        ink = ink_counts(model.pixels.logits(bits, model.decoder(z)))
        counts = np.where(bits.reshape(ink.shape) == 1, ink, (1 << COUNT_BITS) - ink)
        costs: npt.NDArray[np.float64] = (code_length_bits(counts) * mask.reshape(ink.shape)).sum(axis=1)
        return costs

    return in_pieces(_PIECE, piece, fields, inside, model.prior.values(k))


def _closest(
    model: Model,
    code: Callable[[int, int], Number | Lattice],
    k: Coordinates,
    close: npt.NDArray[np.bool_],
    fields: Bits,
    inside: npt.NDArray[np.bool_],
    index: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64]]:
    """Of the candidates marked in `close` (B, N), the column whose picture is closest, and its differing pixels."""
    rows, columns = np.nonzero(close)
    words = [
        _field_words(Sampling(), code(row, column), int(index[row]))
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    ]
    z = model.prior.values(k[rows, columns])
    drawn = in_pieces(_DRAW_PIECE, bind(_sample_fields, model, 1.0), z, np.stack(words), inside[rows])
    difference = np.full(close.shape, _PIXELS + 1)
    difference[rows, columns] = (drawn != fields[rows]).sum(axis=(1, 2))
    return difference.argmin(axis=1), difference.min(axis=1)


# --- writing and reading one file


def _file(
    model: Model,
    prefix: PrefixCode,
    drawing: Drawing,
    fields: Bits,
    inside: npt.NDArray[np.bool_],
    choices: list[_Choice],
    lossless: bool,
) -> Encoded:
    height, width = drawing.bits.shape
    header = Header(Kind.LOSSLESS if lossless else Kind.LOSSY, model.identity, width, height, drawing.look)
    codes = [choice.code for choice in choices]
    section = latents.write(codes, prefix, model.prior)
    head = header.write()
    data = head + section + container.check(head + section)
    code_bits = sum(choice.code_bits for choice in choices)
    distortion = sum(choice.distortion_bits for choice in choices)
    ideal_bits, coded_bits = code_bits, code_bits
    if lossless:
        stored = _write_pixels(model, codes, fields, inside)
        data += container.check(stored) + stored
        ideal_bits, coded_bits = ideal_bits + distortion, coded_bits + 8 * len(stored)
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
        note=drawing.note,
    )
    return Encoded(data, ledger)


def _raw_file(header: Header, drawing: Drawing) -> bytes:
    head = Header(Kind.RAW, 0, header.width, header.height, header.look).write()
    stored = np.packbits(drawing.bits).tobytes()
    return head + container.check(head) + container.check(stored) + stored


@dataclass(frozen=True)
class _Parsed:
    """A file taken apart: `stored` is its pixel section, or None; `whole` says that its check holds."""

    header: Header
    model: Model | None
    codes: list[Code]
    stored: bytes | None
    whole: bool

    def inside(self, index: int) -> npt.NDArray[np.bool_]:
        """Which pixels of field `index` lie in the picture: (28, 28)."""
        row, col = divmod(index, pixels.grid(self.header.height, self.header.width)[1])
        along = np.arange(SIDE)
        return np.logical_and.outer(row * SIDE + along < self.header.height, col * SIDE + along < self.header.width)


def _parse(data: bytes, partial: bool, model: Model | None) -> _Parsed:
    header, at = container.read_header(data)
    codes: list[Code] = []
    own: Model | None = None
    if header.kind != Kind.RAW:
        own = find(header.model, model)
        codes, at = latents.read(data, at, header.fields, PrefixCode(own.octave_lengths), own.prior)
    at = container.read_check(data, at)
    if header.kind == Kind.LOSSY:
        if len(data) > at:
            raise FormatError(f"{len(data) - at} bytes follow the end of the file's content: it is damaged")
        return _Parsed(header, own, codes, None, True)
    check, stored = data[at : at + container.CHECK_BYTES], data[at + container.CHECK_BYTES :]
    whole = check == container.check(stored)
    if header.kind == Kind.RAW:
        whole = whole and len(stored) == -(-header.width * header.height // 8)
        if len(stored) > -(-header.width * header.height // 8):
            raise FormatError("bytes follow the end of the file's content: it is damaged")
    if not whole and not partial:
        raise TruncatedError(
            "the pixel section fails its check: the file is cut short or damaged; --partial (partial=True) decodes a cut one"
        )
    return _Parsed(header, own, codes, stored, whole)


def inspect(data: bytes, model: Model | None = None) -> dict[str, Any]:
    """What a file says about itself, without decoding any pixel; its pixel section may be cut short.

    Raises:
        FormatError, ModelError: as `decode`.
    """
    file = _parse(data, True, model)
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
        "pixel_bytes": len(file.stored or b""),
        "complete": file.whole,
    }


# --- pixels


def _field_words(sampling: Sampling, code: Code, index: int) -> npt.NDArray[np.int64]:
    """The words that draw a field's pixels, in raster order: (784,)."""
    return pixel_words(sampling.seed, code.identity << 24 | index, _PIXELS)


def _temper(logits: Integers, temperature: float) -> npt.NDArray[np.int64]:
    """Counts of ink at a temperature, which is taken in 1/256."""
    if temperature == 1.0:
        return ink_counts(logits)
    return ink_counts(np.floor(logits * 256.0 / max(round(temperature * 256), 2.0**-20)).clip(-(2.0**40), 2.0**40))


def _sample_fields(
    model: Model, temperature: float, z: Integers, words: npt.NDArray[np.int64], inside: npt.NDArray[np.bool_]
) -> Bits:
    """Fields drawn given z (B, D), with words (B, 784); pixels outside the picture are paper: (B, 28, 28)."""
    ordered = words[:, WAVEFRONT].T
    mask = inside.reshape(len(z), -1)[:, WAVEFRONT].T

    def decide(step: slice, logits: Integers) -> Bits:
        return ((ordered[step] < _temper(logits, temperature)) & mask[step]).astype(np.uint8)

    return model.pixels.draw(model.decoder(z), decide)


def _write_pixels(model: Model, codes: list[Code], fields: Bits, inside: npt.NDArray[np.bool_]) -> bytes:
    """Range-codes the pixels of all fields given their latents: group by group, within one in wavefront order."""
    encoder = Encoder()
    for start in range(0, len(codes), _GROUP):
        inked = [i for i in range(start, min(start + _GROUP, len(codes))) if not isinstance(codes[i], Blank)]
        if not inked:
            continue
        coded = [code for code in codes[start : start + _GROUP] if not isinstance(code, Blank)]
        z = model.prior.values(latents.coordinates(coded, model.prior))
        ink = in_pieces(
            _PIECE, lambda bits, part: ink_counts(model.pixels.logits(bits, model.decoder(part))), fields[inked], z
        )
        mask = inside[inked].reshape(len(inked), -1)[:, WAVEFRONT].T
        bits = fields[inked].reshape(len(inked), -1)[:, WAVEFRONT].T
        encoder.put_bits(bits[mask], ink[:, WAVEFRONT].T[mask])
    return encoder.finish()


class _PixelReader:
    """Hands out a file's stored pixels in coding order; `exact` counts them. A field of a lossy file has none."""

    def __init__(self, file: _Parsed) -> None:
        self.exact = 0
        self.empty = file.stored is None
        stored = file.stored or b""
        self._whole = Decoder(stored) if file.whole else None
        self._prefix = PrefixDecoder(stored)

    def read(self, ink: npt.NDArray[np.int64], drawn: Bits) -> Bits:
        """The next pixels (n,), given their counts of ink: stored ones, then those in `drawn`."""
        if self.empty:
            return drawn
        if self._whole:
            self.exact += len(ink)
            return self._whole.get_bits(ink)
        bits = drawn.copy()
        for i, count in enumerate(ink.tolist()):
            bit = self._prefix.get_bit(count)
            if bit is None:
                break
            bits[i] = bit
            self.exact += 1
        return bits


@dataclass(frozen=True)
class _Job:
    """One group of a file's fields."""

    file: _Parsed
    reader: _PixelReader
    start: int

    @property
    def codes(self) -> list[Code]:
        return self.file.codes[self.start : self.start + _GROUP]


def _batches(jobs: Sequence[_Job]) -> Iterator[list[_Job]]:
    """Jobs that can be drawn in one pass: of one model, and no two of one file, whose groups share its bits."""
    batch: list[_Job] = []
    for job in jobs:
        last = batch[-1].file if batch else None
        full = sum(len(other.codes) for other in batch) >= _BATCH
        if last and (full or last is job.file or last.model is not job.file.model):
            yield batch
            batch = []
        batch.append(job)
    if batch:
        yield batch


def _draw(batch: Sequence[_Job], sampling: Sampling) -> list[Bits]:
    """The fields of each job, stored pixels read and others drawn: a list of (B, 28, 28)."""
    places = [(job, i) for job in batch for i, code in enumerate(job.codes) if not isinstance(code, Blank)]
    fields = [np.zeros((len(job.codes), SIDE, SIDE), np.uint8) for job in batch]
    if not places:
        return fields
    model = batch[0].file.model
    assert model is not None  # only raw files have none, and they have no codes
    codes = [code for job in batch for code in job.codes if not isinstance(code, Blank)]
    z = model.prior.values(latents.coordinates(codes, model.prior))
    words = np.stack(
        [_field_words(sampling, code, job.start + i) for code, (job, i) in zip(codes, places, strict=True)]
    )
    inside = np.stack([job.file.inside(job.start + i) for job, i in places])
    owner = np.array([next(n for n, other in enumerate(batch) if other is job) for job, _ in places])
    if all(job.reader.empty for job in batch):
        drawn = in_pieces(_DRAW_PIECE, bind(_sample_fields, model, sampling.temperature), z, words, inside)
    else:
        drawn = _read_fields(batch, model, sampling, owner, z, words, inside)
    for row, (_, i) in enumerate(places):
        fields[owner[row]][i] = drawn[row]
    return fields


def _read_fields(
    batch: Sequence[_Job],
    model: Model,
    sampling: Sampling,
    owner: npt.NDArray[np.intp],
    z: Integers,
    words: npt.NDArray[np.int64],
    inside: npt.NDArray[np.bool_],
) -> Bits:
    """As `_sample_fields`, with what the jobs' files have stored; `owner` (B,) is each field's job."""
    ordered, mask = words[:, WAVEFRONT].T, inside.reshape(len(z), -1)[:, WAVEFRONT].T
    columns = [np.flatnonzero(owner == n) for n in range(len(batch))]

    def decide(step: slice, logits: Integers) -> Bits:
        bits = np.zeros(logits.shape, np.uint8)
        ink, drawn = ink_counts(logits), (ordered[step] < _temper(logits, sampling.temperature)).astype(np.uint8)
        for job, own in zip(batch, columns, strict=True):
            coded = mask[step][:, own]
            part = np.zeros(coded.shape, np.uint8)
            part[coded] = job.reader.read(ink[:, own][coded], drawn[:, own][coded])
            bits[:, own] = part
        return bits

    return model.pixels.draw(model.decoder(z), decide)


def _finish(file: _Parsed, reader: _PixelReader, fields: list[Bits]) -> Decoded:
    header = file.header
    size = header.width * header.height
    if header.kind == Kind.RAW:
        stored = np.unpackbits(np.frombuffer(file.stored or b"", np.uint8))[:size]
        bits, exact = np.zeros(size, np.uint8), len(stored)
        bits[:exact] = stored
        return Decoded(Drawing(bits.reshape(header.height, header.width), header.look), exact, size - exact)
    bits = pixels.from_fields(np.concatenate(fields), header.height, header.width)
    blank = sum(int(file.inside(i).sum()) for i, code in enumerate(file.codes) if isinstance(code, Blank))
    exact = reader.exact + blank
    return Decoded(Drawing(bits, header.look), exact, size - exact)
