"""A single picture in version 1 of the format: drawing and choices -> file, and file -> codes and stored pixels.

    header (see `container`); latent section (see `latents`); CRC-16 of all before; and for a lossless file, CRC-16 of the
    pixel section; pixel section, to the end of the file

`write` and `parse` mirror each other. If it is shorter, a lossless file is a raw one: one bit a pixel, and no model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vlae_codec import container
from vlae_codec.coding.bits import PrefixCode, Stream
from vlae_codec.container import Header, Kind
from vlae_codec.errors import FormatError, Progress, TruncatedError
from vlae_codec.family import Sections
from vlae_codec.picture.drawing import Drawing
from vlae_codec.picture.fields import SIDE, Bits, field_grid
from vlae_codec.picture.raster import Geometry

from . import latents
from .latents import Blank, Code, Number
from .model import Model
from .texture import GROUP, write_pixels, write_shortest

if TYPE_CHECKING:
    from .search import Choice

Inside = npt.NDArray[np.bool_]


def write(
    model: Model,
    prefix: PrefixCode,
    drawing: Drawing,
    fields: Bits,
    inside: Inside,
    choices: list[Choice],
    lossless: bool,
) -> Sections:
    """The file of a drawing, given its fields (n, 28, 28), which of their pixels are inside, and their choices."""
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
    if lossless:
        data += container.check(stream.rest) + stream.rest
        ideal_bits, coded_bits = ideal_bits + distortion, coded_bits + stream.lead + 8 * len(stream.rest)
        raw = _raw_file(header, drawing)
        if len(raw) < len(data):
            data, ideal_bits, coded_bits = raw, drawing.bits.size, drawing.bits.size
    return Sections(
        data,
        kl_bits=sum(choice.kl_bits for choice in choices),
        distortion_bits=distortion,
        ideal_bits=ideal_bits,
        coded_bits=coded_bits,
        differing_samples=0 if lossless else sum(choice.differing for choice in choices),
        pieces=len(codes),
        unlike_pieces=_unlike(choices, inside),
    )


def _unlike(choices: list[Choice], inside: Inside) -> int:
    """How many fields are unlike what the model was trained on, so that they cost it more than a bit a pixel."""
    return sum(
        choice.code_bits + choice.distortion_bits
        > bits
        >= SIDE * SIDE / 2  # a corner's few pixels cost what the code does
        for choice, bits in zip(choices, inside.sum(axis=(1, 2)).tolist(), strict=True)
    )


def _with_pixels(
    model: Model, prefix: PrefixCode, choices: list[Choice], fields: Bits, inside: Inside
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
    """A file taken apart: `section` are its latents, or None; `stored` its pixels, or None; `whole` says that the check of
    their section holds.
    """

    model: Model
    header: Header
    section: latents.Section | None
    stored: Stream | None
    whole: bool

    @cached_property
    def _read(self) -> list[list[Code]]:
        return []

    def read_codes(self, progress: Progress | None = None) -> list[Code]:
        """The codes of all fields; coordinates are decoded once, which takes long if there are many.

        Raises:
            FormatError: they are not a code.
        """
        if not self._read:
            self._read.append(self.section.codes(self.model.prior, progress) if self.section else [])
        return self._read[0]

    @property
    def codes(self) -> list[Code]:
        """As of `read_codes`."""
        return self.read_codes()

    @property
    def geometry(self) -> Geometry:
        """Size and colours of the picture."""
        return self.header.geometry

    @property
    def is_drawn(self) -> bool:
        """Whether the file leaves pixels to be drawn."""
        return self.header.kind == Kind.LOSSY or not self.whole

    @property
    def starts(self) -> range:
        """Where the groups of fields begin that are coded together."""
        return range(0, len(self.section.symbols) if self.section else 0, GROUP)

    def inside(self, index: int) -> Inside:
        """Which pixels of field `index` lie in the picture: (28, 28)."""
        row, col = divmod(index, field_grid(self.header.height, self.header.width)[1])
        along = np.arange(SIDE)
        return np.logical_and.outer(row * SIDE + along < self.header.height, col * SIDE + along < self.header.width)

    def about(self) -> dict[str, Any]:
        """Its kind, fields and symbols; nothing is decoded for that."""
        symbols = self.section.symbols if self.section else []
        return {
            "kind": self.header.kind.name.lower(),
            "fields": self.header.fields,
            "numbers": [code.n for code in symbols if isinstance(code, Number)],
            "lattice_fields": symbols.count(None),
            "blank_fields": sum(isinstance(code, Blank) for code in symbols),
            "pixel_bytes": len(self.stored.rest) if self.stored else 0,
        }


def parse(model: Model, data: bytes, partial: bool) -> File:
    """Takes a file apart and verifies its checks; draws no pixel.

    Raises:
        FormatError: it is damaged.
        TruncatedError: it ends early and `partial` is not set, or not even its latents are there.
    """
    header, at = container.read_header(data)
    section, padding = None, Stream(b"")
    if header.kind != Kind.RAW:
        section = latents.read(data, at, header.fields, PrefixCode(model.octave_lengths))
        at = container.read_check(data, section.end)
        if header.kind == Kind.LOSSY:
            section.check_padding()
        padding = section.padding
    else:
        at = container.read_check(data, at)
    if header.kind == Kind.LOSSY:
        if len(data) > at:
            raise FormatError(f"{len(data) - at} bytes follow the end of the file's content: it is damaged")
        return File(model, header, section, None, True)
    check, stored = data[at : at + container.CHECK_BYTES], data[at + container.CHECK_BYTES :]
    whole = check == container.check(stored)
    if header.kind == Kind.RAW:
        whole = container.is_whole_raw(header, stored, whole)
    elif whole and stored.endswith(b"\0"):
        raise FormatError("the pixel section ends in a zero byte, which no stream does: the file is damaged")
    if not whole and not partial:
        raise TruncatedError(
            "the pixel section fails its check: the file is cut short or damaged; a cut one decodes with partial=True"
        )
    return File(model, header, section, replace(padding, rest=stored), whole)
