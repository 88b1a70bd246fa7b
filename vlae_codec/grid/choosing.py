"""Which latents a lossy picture, or the beginning of an exact one, gets: how they are rounded, and at which quality.

    rounded     the means of q(z|x), to the nearest of the lattice; with any effort, one step towards zero where the bits
                saved are worth more than the error; with much effort, with looks at the decoded picture
    within      the highest quality at which they take so many bytes at most, found by estimates of their information

Nothing here is recomputed by a decoder.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.errors import ImageError

from . import latents
from .model import Model
from .network import BITS, PATCH, Latents
from .passes import NOBODY, Passes

Samples = npt.NDArray[np.uint8]
Means = npt.NDArray[np.floating[Any]]
"""Of all sites (h, w, C), in steps of the lattice: in float32, which holds those below 2^12 exactly, or in float64."""

REFINED_FROM = 4
"""Each step of effort above is a look at the decoded picture, after which means move."""
_CAUTION = 3.0
"""How much dearer an error is taken than it is, since zeros make poorer contexts for others."""
_MANY, _ALIGNED = 1 << 17, 64  # sites that are looked at together; their rows, so that passes meet the same ones
_SHARE, _REFINED_CAUTION = 0.6, 1.5  # of the way that means move after a look
_CLOSE = 0.98  # of a size: what takes less is tried at the next quality
_BEYOND = 3  # qualities above the best one are tried, since sizes do not only grow with them
_STEPS_BACK = 64  # a quality that is too high is lowered by such a share of it, or by one step
_GRADIENT = 1.5  # passes over the latents that the gradient of all of them takes


def passes_of(effort: int) -> float:
    """How many passes over the latents `Search.chosen` makes."""
    return 1 + (1 + _GRADIENT) * max(0, effort - REFINED_FROM)


def passes_within(qualities: int, effort: int) -> float:
    """How many `Search.within` makes among so many qualities, unless it has to step back."""
    return math.ceil(math.log2(qualities)) + (1 + _BEYOND) * passes_of(effort)


@dataclass(frozen=True)
class Chosen:
    """The latents (h, w, C) of a picture at a quality, and as streams."""

    quality: int
    z: Latents
    coded: latents.Coded


@dataclass(frozen=True)
class Search:
    """Of the latents of a picture (H, W, 3). transformed: what the encoder makes of it, if that will be used again.

    passes: told how far all is, of as many as `passes_of` and `passes_within` say.
    """

    model: Model
    picture: Samples
    transformed: npt.NDArray[np.float32] | None = None
    passes: Passes = NOBODY

    def chosen(self, quality: int, effort: int) -> Chosen:
        """The latents at a quality."""
        means, worth = self._means(quality), _CAUTION * self._worth(quality)
        for _ in range(effort - REFINED_FROM):
            self._refine(means, quality, worth)
            worth = _REFINED_CAUTION * self._worth(quality)
        coded = latents.write(self.model.prior, means, quality, worth if effort else None, self._done(means))
        return Chosen(quality, latents.whole_numbers(means), coded)

    def within(self, most: float, size_of: Callable[[latents.Coded, int], int], effort: int) -> Chosen:
        """The latents at the highest quality whose size, of streams at a quality, is at most so many bytes.

        Raises:
            ImageError: there is none.
        """
        search = replace(self, transformed=self.model.encoder.transformed(self.picture))
        aim = most - size_of(latents.Coded([b""] * len(self.model.prior.groups), 0.0, 0.0), 0)
        low, high = 0, self.model.qualities - 1
        while low < high:
            middle = low + high + 1 >> 1
            low, high = (middle, high) if search._estimated_bits(middle, effort) <= 8 * aim else (low, middle - 1)
        while (size := size_of((found := search.chosen(low, effort)).coded, low)) > most:
            if low == 0:
                raise ImageError(f"no lossy file of this picture is smaller than {size} bytes")
            low -= max(1, low // _STEPS_BACK)
        tried = low
        while size < _CLOSE * most and tried < min(low + _BEYOND, self.model.qualities - 1):
            tried += 1
            higher = search.chosen(tried, effort)
            if size < (larger := size_of(higher.coded, tried)) <= most:
                found, size, low = higher, larger, tried
        return found

    def _estimated_bits(self, quality: int, effort: int) -> float:
        """The information in the latents, without a look at the decoded picture."""
        means, worth = self._means(quality), _CAUTION * self._worth(quality)
        return latents.rounded(self.model.prior, means, quality, worth if effort else None, means, self._done(means))

    def _done(self, means: Means) -> latents.Done:
        """Tells of a pass over the latents of all means."""
        return lambda count: self.passes.add(count, means.size)

    def _means(self, quality: int) -> Means:
        """In steps of the lattice."""
        encoder, known = self.model.encoder, self.transformed
        means = encoder.means(self.picture, quality) if known is None else encoder.scaled(known.copy(), quality)
        means *= 2.0**-BITS
        return means

    def _curvature(self, quality: int) -> npt.NDArray[np.float64]:
        """Of the squared error as each latent changes, if the transforms were orthonormal: (C,)."""
        gains = self.model.encoder.gains(quality) * 2.0**-BITS
        return 2 * 255**2 / 3 / gains**2

    def _worth(self, quality: int) -> npt.NDArray[np.float64]:
        """Bits that a squared step of each latent is worth: (C,)."""
        return self.model.lambda_at(quality) * self._curvature(quality) / 2

    def _refine(self, means: Means, quality: int, bits_of_error: npt.NDArray[np.float64]) -> None:
        """Moves means to where the decoded picture, once they are rounded so, would rather have them.

        Of a picture of many sites some rows after the other, rounded with those above that have moved already.
        """
        (height, width, _), curvature = means.shape, self._curvature(quality)
        many, kind = height * width > _MANY, np.int16 if means.dtype == np.float32 else np.int32
        step = max(1, _MANY // width // _ALIGNED) * _ALIGNED if many else height
        for top in range(0, height, step):
            first = max(0, top - _ALIGNED)
            part = means[first : min(top + step + self.model.decoder.halo, height)]
            z = np.empty(part.shape, kind)
            latents.rounded(self.model.prior, part, quality, bits_of_error, z, self._done(means))
            picture, own = self.picture[first * PATCH :], slice(top - first, min(top + step, height) - first)
            for sites, slope in self.model.gradient.regions(z, picture, quality, own, many):
                part[sites] += _SHARE * (z[sites] - slope / curvature - part[sites])
                self.passes.add(slope.size, means.size, _GRADIENT)
