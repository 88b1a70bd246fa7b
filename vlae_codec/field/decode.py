"""Files of version 1 -> drawings: fields of several files are drawn together, by several samplings at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vlae_codec.container import Kind
from vlae_codec.errors import ImageError, Progress
from vlae_codec.family import OF_DRAWING, OF_SAMPLING, Box, Decoded, Sampling
from vlae_codec.picture.drawing import Drawing, raster_of
from vlae_codec.picture.fields import Bits, from_fields
from vlae_codec.picture.raster import Raster

from .file import File
from .latents import Blank, Code
from .texture import GROUP, PixelReader, Stored, decode_fields

_BATCH = 512  # fields that are drawn together, of several files


def decode(
    files: Sequence[File], samplings: Sequence[Sampling], progress: Progress | None = None
) -> list[list[Decoded]]:
    """For each file its picture by each sampling; each file's latents are decoded once, and what it holds is read once.

    Raises:
        FormatError: a file turns out to be damaged.
        ImageError: a sampling asks for a region that reaches beyond a picture.
    """
    for sampling in samplings:
        for file in files:
            _check_box(sampling.crop, file)
    if not samplings:
        return [[] for _ in files]
    for file in files:
        file.read_codes(progress)
    drawn = [file for file in files if file.is_drawn]
    step = max(1, _BATCH // max(1, sum(len(file.codes) for file in drawn)))
    rounds = [(drawn, samplings[start : start + step]) for start in range(0, len(samplings), step)]
    rounds.append(([file for file in files if not file.is_drawn], samplings[:1]))
    total = sum(len(file.starts) for some, _ in rounds for file in some)
    done, pictures = 0, {id(file): list[Decoded]() for file in files}

    def tell(groups: int) -> None:
        nonlocal done
        if progress and total > 1:
            progress("decompressing", done, total)
        done += groups

    for some, part in rounds:
        for file, decoded in zip(some, _decoded(some, part, tell), strict=True):
            pictures[id(file)] += decoded
    tell(0)
    every = [pictures[id(file)] * (1 if file.is_drawn else len(samplings)) for file in files]
    return [[_cropped(one, by.crop) for one, by in zip(own, samplings, strict=True)] for own in every]


def _check_box(box: Box | None, file: File) -> None:
    width, height = file.header.width, file.header.height
    if box is not None and (box[2] > width or box[3] > height):
        raise ImageError(f"the region {box} reaches beyond a picture of {width}x{height} pixels")


def _cropped(decoded: Decoded, box: Box | None) -> Decoded:
    if box is None:
        return decoded
    left, top, right, bottom = box
    raster = decoded.raster
    return replace(decoded, raster=Raster(raster.samples[top:bottom, left:right], raster.format))


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
    codes = [code for job in batch for code in job.codes]
    owner = np.repeat(np.arange(len(batch)), [len(job.codes) for job in batch])
    index = np.concatenate([job.start + np.arange(len(job.codes)) for job in batch])
    inside = np.stack([batch[n].file.inside(i) for n, i in zip(owner.tolist(), index.tolist(), strict=True)])
    stored = None
    if any(job.is_stored for job in batch):
        readers = [reader for job in batch for reader in job.readers]
        stored = Stored(readers, owner[:, None] * len(samplings) + np.arange(len(samplings)))
    fields = decode_fields(batch[0].file.model, samplings, codes, index, inside, stored)
    return [fields[owner == n] for n in range(len(batch))]


def _finish(file: File, reader: PixelReader, fields: list[Bits]) -> Decoded:
    header = file.header
    size = header.width * header.height
    if header.kind == Kind.RAW:
        assert file.stored is not None  # only lossy files hold no pixels
        stored = np.unpackbits(np.frombuffer(file.stored.rest, np.uint8))[:size]
        exact = len(stored)
        bits: Bits = np.pad(stored, (0, size - exact)).reshape(header.height, header.width)
    else:
        bits = from_fields(np.concatenate(fields), header.height, header.width)
        blank = sum(int(file.inside(i).sum()) for i, code in enumerate(file.codes) if isinstance(code, Blank))
        exact = reader.exact + blank
    drawn = file.is_drawn and header.kind != Kind.RAW and exact < size
    unused = OF_SAMPLING - OF_DRAWING if drawn else OF_SAMPLING
    return Decoded(raster_of(Drawing(bits, header.look)), exact, size - exact, file.whole, unused=unused)
