"""A photo model as `photos.py` measures it: whole files, what they decode to, and the arithmetic of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from unittest import mock

import numpy as np
import numpy.typing as npt

from vlae_codec import codec, container2, registry, zoo
from vlae_codec.errors import TruncatedError
from vlae_codec.exact.fixed import Affine, Integers
from vlae_codec.family import Ask, Coder, Sampling, Sections
from vlae_codec.picture.metadata import Metadata
from vlae_codec.picture.raster import Kind, PixelFormat, Raster

Samples = npt.NDArray[np.uint8]
AT_ZERO, AT_DEFAULT = Sampling(temperature=0.0), Sampling()


@dataclass(frozen=True)
class PhotoModel:
    """A model, by the name that commands know it by."""

    name: str
    coder: Coder

    @classmethod
    def named(cls, name: str) -> PhotoModel:
        """A released one, or that of a folder."""
        return cls(name, zoo.named(name))

    def encode(self, picture: Samples, ask: Ask) -> tuple[bytes, Sections]:
        """The file, and where its bits went."""
        view = self.coder.view(Raster(picture, PixelFormat(Kind.RGB)), ask)
        (sections,) = self.coder.encode([view], ask)
        header = container2.Header2(registry.identity_of(self.coder.digest), view.raster.geometry)
        return container2.write_file2(header, Metadata(), sections.data), sections

    def decode(self, data: bytes, samplings: Sequence[Sampling]) -> list[Samples]:
        """The picture in RGB for each sampling; the file may be cut if they say so."""
        (decoded,) = codec.decode_samples([data], samplings, model=self.coder)
        pictures = [one.raster.colours() for one in decoded]
        return [
            np.repeat(one, 3 // one.shape[2], axis=2).astype(np.uint8) for one in pictures
        ]  # gray ones have a channel

    def least_prefix_bytes(self, data: bytes, good: Callable[[Samples], bool]) -> int:
        """How few of a file's first bytes decode to a picture that is good, by bisection."""
        low, high = 0, len(data)  # low is too few
        while high - low > 1:
            middle = low + min(1 << 12, high - low) // 2  # what is looked for is near the beginning
            try:
                enough = good(self.decode(data[:middle], [Sampling(temperature=0.0, partial=True)])[0])
            except TruncatedError:
                enough = False
            low, high = (low, middle) if enough else (middle, high)
        return high


def counted_macs(call: Callable[[], object]) -> int:
    """The multiply-accumulates of all layers that a call computes."""
    macs: list[int] = []
    product = Affine.product

    def counting(layer: Affine, x: Integers, out: Integers | None = None) -> Integers:
        macs.append(x.size * layer.weight.shape[1])
        return product(layer, x, out)

    with mock.patch.object(Affine, "product", counting):
        call()
    return sum(macs)
