"""The texture of lossy pictures: drawn by a PixelCNN, the same on every machine, and freed of what the code says already.

    picture = decoded + a strength (drawn - decoded - its low frequencies)

a is the temperature; strength, one for luma and one for chroma at each level, is a number of the model. Low frequencies are
what a binomial filter of 17 taps each way leaves: what the code says, the texture must not contradict, and so it never
drifts.

Twists:
- All pixels are drawn at once, PASSES times over, each time in the context of the pass before (the first time: in that of
  the decoded picture), with the same random words, which are keyed by the place in the picture. Pixel by pixel, as p(x|z)
  would have it, a draw takes its own mistakes for the picture, and drifts; after a few passes there is texture, and not yet
  drift.
- So a pixel depends on its neighbourhood alone, and any region comes out as it does in the whole: tiles have no borders.
- Each logistic is drawn from without the tails of its mass.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import comb

import numpy as np
import numpy.typing as npt

from vlae_codec.exact.fixed import COUNT_BITS, EXP_STEP_BITS, sigmoid_table
from vlae_codec.exact.logistics import MEAN_BITS, Whole
from vlae_codec.exact.random_words import place_words

from .colour import Planes
from .mixtures import RANGES, Pixels
from .network import PATCH, Arrays, between, exponentials
from .texture import Texture, Tiles
from .tiles import CODE_HALO, Box, Region

PASSES = 3
"""Times over that all pixels are drawn."""
SMOOTH = 8
"""Pixels on all sides that the low frequencies of a pixel depend on."""
WORDS = 4
"""Random words of a pixel: for the component, and for each of its samples."""
STRENGTH_BITS = 8
"""Fraction bits of strengths and temperatures."""
_CUT = (1 << COUNT_BITS) * 6 // 100
_NEAR = 7  # bits
_TAPS = 2 * SMOOTH + 1
_BINOMIAL = np.array([comb(_TAPS - 1, tap) for tap in range(_TAPS)], np.float64)


@dataclass(frozen=True)
class Drawing:
    """What is drawn: with which seed, at which temperature at STRENGTH_BITS, and of how many channels, one or three."""

    seed: int
    temperature: int
    channels: int


@dataclass(frozen=True)
class Grain:
    """The PixelCNN that draws. strengths (L, 2): of luma and chroma at each level; temperatures (L, 1): the defaults.

    passes: other numbers of them are for experiments.
    """

    texture: Texture
    strengths: npt.NDArray[np.int64]
    temperatures: npt.NDArray[np.int64]
    passes: int = PASSES

    @classmethod
    def of(cls, arrays: Arrays) -> Grain | None:
        """That of a model's arrays; None of a model that has none."""
        if "grain.layers" not in arrays:
            return None
        strengths, temperatures = (arrays[f"grain.{name}"].astype(np.int64) for name in ("strengths", "temperatures"))
        return cls(Texture.of(arrays, "grain"), strengths, temperatures)

    def temperature(self, quality: int, wanted: float | None) -> int:
        """The temperature at STRENGTH_BITS: the one that is wanted, or the model's own."""
        if wanted is None:
            return int(between(self.temperatures, quality)[0])
        return round(wanted * (1 << STRENGTH_BITS))

    @property
    def margin(self) -> int:
        """Sites around a block of which `textured` needs to know what they say."""
        return -(-(self.passes * self.texture.reach + SMOOTH + CODE_HALO) // PATCH)

    def textured(self, region: Region, box: Box, size: tuple[int, int], drawing: Drawing) -> Planes:
        """A box of a picture of that size with its texture, (H, W, 3), not clipped; the region is decoded with `margin`."""
        wide = box.grown(SMOOTH, *size)
        decoded = region.planes_of(wide)
        added = self.added(decoded, self.draw(region, wide, size, drawing), region.quality, drawing.temperature)
        return added[box.within(wide)]

    def draw(self, region: Region, box: Box, size: tuple[int, int], drawing: Drawing) -> Planes:
        """A box of a picture of that size, drawn: (H, W, 3)."""
        reach, width = self.texture.reach, size[1]
        boxes = [box.reaching(reach * more, width) for more in range(self.passes, -1, -1)]
        x, chances = region.planes_of(boxes[0]), _chances(drawing.seed, boxes[0])
        tile = region.tiles(self.texture, [boxes[0]], width)
        for before, after in pairwise(boxes):
            own = after.within(before)
            x, chances, tile = self._again(x, tile, chances, drawing.channels)[own], chances[own], tile.part(*own)
        return x

    def _again(self, x: Planes, tile: Tiles, chances: npt.NDArray[np.int32], channels: int) -> Planes:
        """All pixels of a tile, drawn in the context of those that it has."""
        out = np.empty_like(x)
        for rows, inner, predicted in self.texture.bands(x, tile):
            pixels = Pixels(self.texture.layers.outputs(inner), predicted)
            out[rows] = drawn(pixels, chances[rows].reshape(-1, WORDS).T, channels).T.reshape(-1, *x.shape[1:])
        return out

    def added(self, decoded: Planes, drawn: Planes, quality: int, temperature: int) -> Planes:
        """The picture with its texture: both (H, W, 3)."""
        luma, chroma = between(self.strengths, quality)
        scaled = fine(drawn - decoded) * (temperature * np.array([luma, chroma, chroma]))
        half = 1 << 3 * STRENGTH_BITS - 1
        out: Planes = decoded + (scaled + half >> 3 * STRENGTH_BITS).astype(np.int32)
        return out


def drawn(pixels: Pixels, chances: npt.NDArray[np.int32], channels: int) -> Whole:
    """Samples (3, n) of pixels, given chances (4, n), see `chances_of`; of gray pictures the chromas are 0."""
    shares = pixels.begin()
    chosen = (np.cumsum(shares[:-1], 0) <= chances[0]).sum(0)
    said = pixels.outputs[:, 0].copy()
    for component in range(1, len(shares)):
        np.copyto(said, pixels.outputs[:, component], where=chosen == component)
    one = Pixels(said[:, None], pixels.predicted)
    scales = exponentials(one.log_scales(slice(None))[:, 0]).astype(np.int64)
    away = (scales * chances[1:] >> 2 * EXP_STEP_BITS - MEAN_BITS) + (1 << MEAN_BITS - 1)
    out = np.zeros(away.shape, np.int64)
    for channel in range(channels):
        values = one.means(channel, out[:channel])[0] + away[channel] >> MEAN_BITS
        np.clip(values, *RANGES[channel], out=out[channel])
    return out


def chances_of(words: Whole) -> npt.NDArray[np.int32]:
    """What decides pixels, of their random words (..., 4): the first word, which chooses the component, and for each of the
    three samples log(u / (1 - u)) at EXP_STEP_BITS, u being the next word as a share of 2^24, less the tails."""
    u = _CUT + (words[..., 1:] * ((1 << COUNT_BITS) - 2 * _CUT) >> COUNT_BITS)
    return np.concatenate([words[..., :1], _logits(u)], -1).astype(np.int32)


def _logits(u: Whole) -> Whole:
    """The sigmoid's table read backwards: the largest number whose sigmoid is at most u, which lies between the tails."""
    begun = _logit_table().take(u >> _NEAR).astype(np.int64)
    table = sigmoid_table()
    return begun + (table.take(begun + (len(table) // 2 + 1)) <= u)


@cache
def _logit_table() -> npt.NDArray[np.int16]:
    """`_logits` of all multiples of 2^_NEAR; between two of them it grows by 1 at most where the sigmoid is steep."""
    table = sigmoid_table()
    found = np.searchsorted(table, np.arange(0, 1 << COUNT_BITS, 1 << _NEAR), side="right") - 1 - len(table) // 2
    return found.clip(-(1 << 15), (1 << 15) - 1).astype(np.int16)


def _chances(seed: int, box: Box) -> npt.NDArray[np.int32]:
    """What decides the pixels of a box: (H, W, 4)."""
    rows = range(box.top, box.bottom)
    return chances_of(np.stack([place_words(seed, row, box.left, box.width, WORDS) for row in rows]))


def fine(texture: Planes) -> Whole:
    """A texture (H, W, 3) less its low frequencies, at STRENGTH_BITS; beyond the border it is as at the border."""
    low: npt.NDArray[np.float64] = texture.astype(np.float64)
    for axis, size in enumerate(texture.shape[:2]):
        sides = [(SMOOTH,) * 2 if other == axis else (0, 0) for other in range(3)]
        padded = np.moveaxis(np.pad(low, sides, mode="edge"), axis, 0)
        total = np.zeros(padded[:size].shape)
        for at, tap in enumerate(_BINOMIAL):
            total += tap * padded[at : at + size]
        low = np.moveaxis(total, 0, axis)
    rounded = np.floor(low * 2.0 ** (STRENGTH_BITS - 2 * (_TAPS - 1)) + 0.5).astype(np.int64)
    return (texture.astype(np.int64) << STRENGTH_BITS) - rounded
