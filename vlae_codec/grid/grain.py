"""The texture of lossy pictures: drawn by a PixelCNN, the same on every machine, and freed of what the code says already.

    picture = decoded + a strength (drawn - decoded - its low frequencies)

a is the temperature; strength, one for luma and one for chroma at each level, is a number of the model. Low frequencies are
what a binomial filter of 17 taps each way leaves: what the code says, the texture must not contradict, and so it never
drifts, and tiles meet without a seam.

Twists:
- Each logistic is drawn from without the tails of its mass, so that nothing runs away.
- A tile is begun some pixels early on all sides, with random words keyed by the place in the picture; so a region comes out
  as it does in the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt

from vlae_codec.exact.fixed import COUNT_BITS, EXP_STEP_BITS, sigmoid_table
from vlae_codec.exact.logistics import MEAN_BITS, Whole
from vlae_codec.exact.random_words import place_words

from .colour import Planes
from .network import Arrays, between, exponentials
from .texture import RANGES, Pixels, Places, Texture, Tiles
from .tiles import Box

EARLY = 16
"""Pixels on all sides of a tile that are drawn with it."""
WORDS = 4
"""Random words of a pixel: for the component, and for each of its samples."""
STRENGTH_BITS = 8
"""Fraction bits of strengths and temperatures."""
_CUT = (1 << COUNT_BITS) * 6 // 100
_TAPS = 17
_BINOMIAL = np.array([comb(_TAPS - 1, tap) for tap in range(_TAPS)], np.float64)


@dataclass(frozen=True)
class Grain:
    """The PixelCNN that draws. strengths (L, 2): of luma and chroma at each level; temperatures (L, 1): the defaults."""

    texture: Texture
    strengths: npt.NDArray[np.int64]
    temperatures: npt.NDArray[np.int64]

    @classmethod
    def of(cls, arrays: Arrays) -> Grain | None:
        """That of a model's arrays; None of a model that has none."""
        if "grain.layers" not in arrays:
            return None
        tables = (arrays[f"grain.{name}"].astype(np.int64) for name in ("strengths", "temperatures"))
        return cls(Texture.of(arrays, "grain"), *tables)

    def temperature(self, quality: int, wanted: float | None) -> int:
        """The temperature at STRENGTH_BITS: the one that is wanted, or the model's own."""
        if wanted is None:
            return int(between(self.temperatures, quality)[0])
        return round(wanted * (1 << STRENGTH_BITS))

    def draw(self, tiles: Tiles, boxes: Sequence[Box], seed: int, channels: int) -> Planes:
        """A batch of tiles of one size, each at its place in the picture: (T, H, W, 3)."""
        words = np.stack([_words(seed, box) for box in boxes])

        def decide(pixels: Pixels, rows: Places, columns: Places) -> Planes:
            return drawn(pixels, words[:, rows, columns].reshape(-1, WORDS), channels)

        return self.texture.walk(tiles, decide)

    def added(self, decoded: Planes, drawn: Planes, quality: int, temperature: int) -> Planes:
        """The picture with its texture: both (H, W, 3)."""
        luma, chroma = between(self.strengths, quality)
        scaled = fine(drawn - decoded) * (temperature * np.array([luma, chroma, chroma]))
        half = 1 << 3 * STRENGTH_BITS - 1
        out: Planes = decoded + (scaled + half >> 3 * STRENGTH_BITS).astype(np.int32)
        return out


def drawn(pixels: Pixels, words: Whole, channels: int) -> Planes:
    """Samples of pixels (n, 3), given random words (n, 4); of gray pictures the chromas are 0."""
    n = len(words)
    shares = np.cumsum(pixels.begin(), 1)
    chosen = (shares[:, :-1] <= words[:, :1]).sum(1)
    one = Pixels(pixels.outputs[np.arange(n), :, chosen][:, :, None], pixels.predicted)
    out = np.zeros((n, 3), np.int32)
    known = list[Whole]()
    for channel in range(channels):
        means, log_scales = one.logistics(channel, known)
        u = _CUT + (words[:, 1 + channel] * ((1 << COUNT_BITS) - 2 * _CUT) >> COUNT_BITS)
        scales = exponentials(log_scales[:, 0]).astype(np.int64)
        away = scales * _logits(u) >> 2 * EXP_STEP_BITS - MEAN_BITS
        values = means[:, 0] + away + (1 << MEAN_BITS - 1) >> MEAN_BITS
        out[:, channel] = np.clip(values, *RANGES[channel])
        known.append(out[:, channel].astype(np.int64))
    return out


def _logits(u: Whole) -> Whole:
    """log(u / (1 - u)) at EXP_STEP_BITS, of u out of 2^24: the sigmoid's table read backwards."""
    table = sigmoid_table()
    return np.searchsorted(table, u, side="right") - 1 - len(table) // 2


def _words(seed: int, box: Box) -> Whole:
    """The random words of a box: (H, W, 4)."""
    return np.stack([place_words(seed, row, box.left, box.width, WORDS) for row in range(box.top, box.bottom)])


def fine(texture: Planes) -> Whole:
    """A texture (H, W, 3) less its low frequencies, at STRENGTH_BITS; beyond the border it is as at the border."""
    low: npt.NDArray[np.float64] = texture.astype(np.float64)
    for axis, size in enumerate(texture.shape[:2]):
        sides = [(_TAPS // 2,) * 2 if other == axis else (0, 0) for other in range(3)]
        padded = np.moveaxis(np.pad(low, sides, mode="edge"), axis, 0)
        total = np.zeros(padded[:size].shape)
        for at, tap in enumerate(_BINOMIAL):
            total += tap * padded[at : at + size]
        low = np.moveaxis(total, 0, axis)
    rounded = np.floor(low * 2.0 ** (STRENGTH_BITS - 2 * (_TAPS - 1)) + 0.5).astype(np.int64)
    return (texture.astype(np.int64) << STRENGTH_BITS) - rounded
