"""The family `ink` behind the seam: pictures in two colours, of any size, exactly.

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
from vlae_codec.family import Arrays, Ask, Decoded, ExactParsed, Identity, Parsed, Sampling, Sections, Terms, View
from vlae_codec.picture.raster import Geometry, Raster

from . import sections
from .sections import Way

if TYPE_CHECKING:
    from .hands import Hand
    from .state import Start

_LEAST_BYTES = 5
_SLOW_PIXELS = 1 << 15
"""Where nothing is compiled, drawings with more pixels are not coded unless this model is asked for."""


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
    """A file's stream or pixels, verified, not decoded yet."""

    way: Way
    content: bytes


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

    def check(self) -> None:
        """See `family.Coder`."""
        assert self.start

    def view(self, raster: Raster, ask: Ask) -> InkView:
        """The picture in its two colours.

        Raises:
            ImageError: it has more, or is to be lossy.
        """
        if not ask.lossless:
            raise ImageError(f"the model {self.name} keeps pictures exactly: ask for lossless")
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
        return [self._encoded(view, hand, progress) for view in views]

    def _encoded(self, view: View, hand: Hand, progress: Progress | None) -> Sections:
        from . import strips

        assert isinstance(view, InkView)  # of this coder's making
        coded = strips.encode(self.start, view.bits, _told(progress, len(view.bits)), hand)
        if coded is None:
            data = sections.write(Way.PLAIN, np.packbits(view.bits).tobytes())
        else:
            data = sections.write(Way.MODEL, coded)
        return Sections(data, ideal_bits=8.0 * len(data), coded_bits=8.0 * len(data))

    def parse(self, geometry: Geometry, data: bytes, at: int, partial: bool = False) -> InkParsed:
        """See `family.Coder`."""
        if geometry.format.pair is None:
            raise FormatError("the file has a model of pictures in two colours, and no two colours: it is damaged")
        way, content = sections.read(data[at:], geometry.width * geometry.height)
        return InkParsed(geometry, way, content)

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
        return [Decoded(Raster(part, file.geometry.format), part.size, 0) for part in parts]

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
        from vlae_codec.exact.compiled import available

        return 1.0 if view.raster.samples.size <= _SLOW_PIXELS or available() else math.inf

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
