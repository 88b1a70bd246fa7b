"""What the foreign drawings are drawn with: a canvas, curves and rings of points, and a font, that of matplotlib."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Bits = npt.NDArray[np.uint8]
Rng = np.random.Generator


class Pen:
    """A canvas of `width` x `height` pixels, drawn on in shares of its sides: 0 to 1 across, 0 to 1 down."""

    def __init__(self, width: int, height: int, scale: int = 4) -> None:
        self.width, self.height, self._scale = width, height, scale
        self._image = Image.new("L", (width * scale, height * scale))
        self._draw = ImageDraw.Draw(self._image)

    def _at(self, points: Any) -> list[tuple[float, float]]:
        across, down = self._image.size
        return [(float(x) * across, float(y) * down) for x, y in points]

    def line(self, points: Any, thick: float = 1.0, ink: int = 255) -> None:
        """A polyline of that many pixels' width."""
        self._draw.line(self._at(points), ink, max(1, round(thick * self._scale)), joint="curve")

    def polygon(self, points: Any, fill: bool = True, thick: float = 1.0, ink: int = 255) -> None:
        """A closed shape."""
        at = self._at(points)
        if fill:
            self._draw.polygon(at, ink)
        else:
            self._draw.line([*at, at[0], at[1]], ink, max(1, round(thick * self._scale)), joint="curve")

    def oval(
        self, x: float, y: float, across: float, down: float, fill: bool = True, thick: float = 1.0, ink: int = 255
    ) -> None:
        """An ellipse around (x, y), of these half axes."""
        box = [*self._at([(x - across, y - down)])[0], *self._at([(x + across, y + down)])[0]]
        self._draw.ellipse(box, ink if fill else None, ink, max(1, round(thick * self._scale)))

    def box(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        fill: bool = True,
        thick: float = 1.0,
        ink: int = 255,
    ) -> None:
        """A rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], fill, thick, ink)

    def text(self, x: float, y: float, said: str, pixels: float) -> None:
        """Text with its middle at (x, y)."""
        self._draw.text(self._at([(x, y)])[0], said, 255, _font(round(pixels * self._scale)), anchor="mm")

    def bits(self) -> Bits:
        """What was drawn: a pixel is ink if half of it is."""
        small = self._image.resize((self.width, self.height), Image.Resampling.BOX)
        return (np.asarray(small) >= 128).astype(np.uint8)


@cache
def _font(pixels: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), max(4, pixels))


def curve(rng: Rng, knots: int, points: int = 200) -> npt.NDArray[np.float64]:
    """A smooth random walk from left to right, within 0.05 to 0.95: (points, 2)."""
    x = np.linspace(0.06, 0.94, knots) + rng.normal(0, 0.25 / knots, knots)
    y = 0.5 + 0.35 * rng.uniform(-1, 1, knots)
    at, where = np.linspace(0, knots - 1, points), np.arange(knots)
    both = np.stack([np.interp(at, where, x), np.interp(at, where, y)], axis=1)
    window = np.hanning(max(3, points // knots | 1))
    padded = np.pad(both, ((len(window) // 2,) * 2, (0, 0)), "edge")
    smooth = [np.convolve(column, window / window.sum(), "valid") for column in padded.T]
    return np.clip(np.stack(smooth, axis=1), 0.04, 0.96)


def ring(corners: int, radius: float = 0.42, inner: float | None = None, turn: float = 0.0) -> npt.NDArray[np.float64]:
    """A regular polygon, or with an inner radius a star: (n, 2)."""
    count = corners * (2 if inner else 1)
    angle = 2 * np.pi * np.arange(count) / count + turn
    radii = np.where(np.arange(count) % 2, inner, radius) if inner else np.full(count, radius)
    return np.stack([0.5 + radii * np.sin(angle), 0.5 - radii * np.cos(angle)], axis=1)


def centred(bits: Bits, width: int, height: int) -> Bits:
    """In the middle of a picture of that size, cut if it is larger."""
    bits = bits[:height, :width]
    out = np.zeros((height, width), np.uint8)
    top, left = (height - bits.shape[0]) // 2, (width - bits.shape[1]) // 2
    out[top : top + bits.shape[0], left : left + bits.shape[1]] = bits
    return out
