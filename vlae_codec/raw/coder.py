"""The family without a model behind the seam: every picture exactly, as the smallest of several libraries' streams."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vlae_codec.errors import FormatError, ImageError, Progress
from vlae_codec.family import (
    OF_SAMPLING,
    Arrays,
    Ask,
    Decoded,
    ExactParsed,
    Identity,
    Parsed,
    Sampling,
    Sections,
    Terms,
    View,
)
from vlae_codec.picture.raster import Geometry, Raster

from .codec import decode, encode, verify
from .estimate import estimate_bytes, is_regular, least_bytes, least_bytes_of_drawing

_HOPED, _AT_LEAST = 0.92, 0.5  # of an estimate: of little effort, and of a part of the picture; and if it is not to err


@dataclass(frozen=True)
class RawView:
    """A picture as it is; one of two colours as bits."""

    raster: Raster
    note: str | None = None


@dataclass(frozen=True)
class RawParsed(ExactParsed):
    """A file's payload, not decoded yet. broken: why it cannot be; None if its check holds."""

    payload: bytes
    broken: FormatError | None = None

    @property
    def whole(self) -> bool:
        """See `family.Parsed`."""
        return self.broken is None


@dataclass(frozen=True)
class RawCoder:
    """Pictures without a model: see `family.Coder`."""

    name: str = ""
    digest: bytes = b""
    family: str = "raw"
    version: int = 2

    def check(self) -> None:
        """There is nothing that could not fit."""

    def view(self, raster: Raster, ask: Ask) -> RawView:
        """The picture itself.

        Raises:
            ImageError: it is to be lossy.
        """
        if not ask.lossless:
            raise ImageError("without a model a picture is kept exactly: ask for lossless")
        return RawView(raster.in_two() or raster)

    def least_bits(self, geometry: Geometry) -> int:
        """Method, check, and a sample."""
        return 48

    def encode(self, views: Sequence[View], ask: Ask, progress: Progress | None = None) -> list[Sections]:
        """See `family.Coder`; of several pictures it is told how many are coded."""
        one = progress if len(views) == 1 else None
        found = list[Sections]()
        for view in views:
            found.append(self._encoded(view.raster, ask, one))
            if progress and not one:
                progress("compressing", len(found), len(views))
        return found

    def _encoded(self, raster: Raster, ask: Ask, progress: Progress | None) -> Sections:
        data = encode(raster, ask.effort, progress)
        return Sections(data, ideal_bits=8.0 * len(data), coded_bits=8.0 * len(data))

    def parse(self, geometry: Geometry, data: bytes, at: int, partial: bool = False) -> RawParsed:
        """See `family.Coder`; with `partial` a file that is cut or damaged can be told of, though not decoded."""
        payload = data[at:]
        try:
            verify(geometry, payload)
        except FormatError as error:
            if not partial:
                raise
            return RawParsed(geometry, payload, error)
        return RawParsed(geometry, payload)

    def decode(
        self, files: Sequence[Parsed], samplings: Sequence[Sampling], progress: Progress | None = None
    ) -> list[list[Decoded]]:
        """See `family.Coder`: the same picture for every sampling, but for its region; nothing of a file that is cut."""
        return [[_decoded(file, sampling) for sampling in samplings] for file in files]

    def hoped_bits(self, view: View, enough_bits: float = math.inf) -> float:
        """See `family.Estimating`: roughly, and only if that is not enough, well."""
        if enough_bits == math.inf:
            return 8.0 * _HOPED * estimate_bytes(view.raster)
        if view.raster.format.pair and (least := 8.0 * least_bytes_of_drawing(view.raster)) > enough_bits:
            return least
        least = 8.0 * least_bytes(view.raster)
        if least > enough_bits or is_regular(view.raster):
            return least
        return 8.0 * _AT_LEAST * estimate_bytes(view.raster)

    def theory(self, views: Sequence[View], progress: Progress | None = None) -> Terms:
        """No latents, and as many bits as there are: there is no model to ask."""
        bits = np.array([8.0 * len(encode(view.raster)) for view in views])
        return Terms(np.zeros(len(bits)), bits)


def _decoded(file: Parsed, sampling: Sampling) -> Decoded:
    assert isinstance(file, RawParsed)  # of this coder's making
    if file.broken:
        why = "it was kept without a model and has no coarse picture in front, so it decodes only whole"
        raise type(file.broken)(f"{file.broken}; {why}") from file.broken
    raster = decode(file.geometry, file.payload)
    left, top, right, bottom = sampling.region(file.geometry.width, file.geometry.height)
    raster = Raster(raster.samples[top:bottom, left:right], raster.format)
    colours = raster.samples[..., :-1] if raster.format.alpha and not raster.format.pair else raster.samples
    return Decoded(raster, colours.size, 0, unused=OF_SAMPLING)


class RawFamily:
    """Pictures without a model: see `family.Family`."""

    name = "raw"

    def load(self, identity: Identity, arrays: Arrays) -> RawCoder:
        """The one coder that there is."""
        return RawCoder()


FAMILY = RawFamily()
