"""The family `ink` behind the seam: pictures in two colours, of any size, exactly; for a quality nearly so (see `near`).

What computes with pixels is loaded when the first picture is coded, since it is compiled (see `exact.compiled`), and nobody
else is to wait for that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

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

from . import sections
from .sections import Way

if TYPE_CHECKING:
    from .hands import Hand
    from .state import Start

_LEAST_BYTES = 5
_SLOW_PIXELS = 1 << 15
"""Where nothing is compiled, drawings with more pixels are not coded unless this model is asked for."""

_BOTH_PIXELS = 1 << 20
"""Of pictures with no more pixels, those whose edges changed are kept exactly if that is no larger."""


@dataclass(frozen=True)
class InkView:
    """A picture as two levels, 1 = ink, and the pair of pixel values that they stand for."""

    raster: Raster
    note: str | None = None

    @property
    def bits(self) -> npt.NDArray[np.uint8]:
        """(H, W) of 0 and 1."""
        return self.raster.two_levels()


@dataclass(frozen=True)
class InkParsed(ExactParsed):
    """A file's stream or pixels, verified, not decoded yet; `changed` pixels are not as they were before."""

    way: Way
    content: bytes
    changed: int = 0

    def about(self) -> dict[str, Any]:
        """See `family.Parsed`."""
        return {"kind": "lossy", "changed_pixels": self.changed} if self.changed else super().about()


@dataclass(frozen=True)
class InkCoder:
    """A model of pictures in two colours: see `family.Coder`."""

    name: str
    digest: bytes
    arrays: Arrays
    family: str = "ink"
    version: int = 2

    @cached_property
    def start(self) -> Start:
        """What the walk begins with."""
        from .model import start_of

        return start_of(self.arrays)

    @property
    def carried_pixels(self) -> int:
        """See `family.Carrying`: a strip's, since the next one begins to learn anew."""
        return 1 << 25

    def check(self) -> None:
        """See `family.Coder`."""
        assert self.start

    def view(self, raster: Raster, ask: Ask) -> InkView:
        """The picture in its two colours.

        Raises:
            ImageError: it has more, or is to be lossy without a quality.
        """
        if not ask.lossless and ask.quality is None:
            raise ImageError(
                f"the model {self.name} keeps pictures exactly, or for a quality nearly so: ask for either"
            )
        two = raster.in_two()
        if two is None:
            raise ImageError(f"the model {self.name} codes pictures in two colours; this one has more")
        return InkView(two)

    def least_bits(self, geometry: Geometry) -> int:
        """Version and check: a picture without ink takes no more."""
        return 8 * _LEAST_BYTES

    def encode(self, views: Sequence[View], ask: Ask, progress: Progress | None = None) -> list[Sections]:
        """See `family.Coder`."""
        from .hands import hand_for

        hand = hand_for(self.start, sum(view.raster.samples.size for view in views), progress)
        return [self._encoded(view, ask, hand, progress) for view in views]

    def _encoded(self, view: View, ask: Ask, hand: Hand, progress: Progress | None) -> Sections:
        assert isinstance(view, InkView)  # of this coder's making
        if ask.quality is None:
            return self._written(view.bits, 0, hand, progress)
        from .near import smoothed

        bits = smoothed(view.bits, ask.quality)
        changed = int((bits != view.bits).sum())
        made = self._written(bits, changed, hand, progress)
        if not 0 < changed <= bits.size <= _BOTH_PIXELS:
            return made
        exact = self._written(view.bits, 0, hand, None)
        return made if len(made.data) < len(exact.data) else exact

    def _written(self, bits: npt.NDArray[np.uint8], changed: int, hand: Hand, progress: Progress | None) -> Sections:
        """The sections of a picture (H, W) in which so many pixels were changed."""
        from . import strips

        coded = strips.encode(self.start, bits, _told(progress, len(bits)), hand)
        if coded is None:
            data = sections.write(Way.PLAIN, np.packbits(bits).tobytes(), changed)
        else:
            data = sections.write(Way.MODEL, coded, changed)
        told = {"changed_pixels": changed} if changed else {}
        size_bits = 8.0 * len(data)
        return Sections(data, ideal_bits=size_bits, coded_bits=size_bits, differing_samples=changed, figures=told)

    def parse(self, geometry: Geometry, data: bytes, at: int, partial: bool = False) -> InkParsed:
        """See `family.Coder`."""
        if geometry.format.pair is None:
            raise FormatError("the file has a model of pictures in two colours, and no two colours: it is damaged")
        way, content, changed = sections.read(data[at:], geometry.width * geometry.height)
        return InkParsed(geometry, way, content, changed)

    def decode(
        self, files: Sequence[Parsed], samplings: Sequence[Sampling], progress: Progress | None = None
    ) -> list[list[Decoded]]:
        """See `family.Coder`: the same picture for every sampling, but for its region."""
        from .hands import hand_for

        coded = [file.geometry for file in files if isinstance(file, InkParsed) and file.way == Way.MODEL]
        pixels = sum(form.width * form.height for form in coded)
        hand = hand_for(self.start, pixels, progress)
        return [self._decoded(file, samplings, hand, progress) for file in files]

    def _decoded(
        self, file: Parsed, samplings: Sequence[Sampling], hand: Hand, progress: Progress | None
    ) -> list[Decoded]:
        assert isinstance(file, InkParsed)  # of this coder's making
        regions = [sampling.region(file.geometry.width, file.geometry.height) for sampling in samplings]
        rows = min(region[1] for region in regions), max(region[3] for region in regions)
        bits = self._bits(file, rows, hand, progress)[..., None]
        parts = [bits[top:bottom, left:right] for left, top, right, bottom in regions]
        note = f"{file.changed:,} pixels on edges were changed when it was compressed" if file.changed else None
        return [
            Decoded(
                Raster(part, file.geometry.format), max(0, part.size - file.changed), 0, note=note, unused=OF_SAMPLING
            )
            for part in parts
        ]

    def _bits(
        self, file: InkParsed, rows: tuple[int, int], hand: Hand, progress: Progress | None
    ) -> npt.NDArray[np.uint8]:
        """(H, W), of which those rows are wanted."""
        height, width = file.geometry.height, file.geometry.width
        if file.way == Way.PLAIN:
            return np.unpackbits(np.frombuffer(file.content, np.uint8), count=height * width).reshape(height, width)
        from . import strips

        return strips.decode(self.start, file.content, height, width, _told(progress, height), hand, rows)

    def hoped_bits(self, view: View, enough_bits: float = math.inf) -> float:
        """See `family.Estimating`: nothing is known, but where nothing is compiled large pictures are for others."""
        from .hands import is_fast

        return 1.0 if view.raster.samples.size <= _SLOW_PIXELS or is_fast() else math.inf

    def theory(self, views: Sequence[View], progress: Progress | None = None) -> Terms:
        """No latents, and as many bits as there are."""
        bits = np.array([one.coded_bits for one in self.encode(views, Ask(lossless=True), progress)])
        return Terms(np.zeros(len(bits)), bits)


def _told(progress: Progress | None, rows: int) -> Any:
    """Tells how many rows are coded."""
    return None if progress is None else lambda done: progress("rows", done, rows)


class InkFamily:
    """Models of pictures in two colours: see `family.Family`."""

    name = "ink"

    def load(self, identity: Identity, arrays: Arrays) -> InkCoder:
        """The coder of a model; its arrays are looked at when it first codes."""
        return InkCoder(identity.name, identity.digest, arrays)


FAMILY = InkFamily()
