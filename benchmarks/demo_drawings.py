"""Makes the two drawings in two colours that ship for the demo: a signature, and a cut of a page, each a few kB as PNG.

    python benchmarks/demo_drawings.py      # vlae_codec/pictures/signature.png and page.png, the same every time

Nobody's name is signed: the strokes are a curve that is written down here. The page says what this text says, in DejaVu
Serif as it comes with matplotlib, turned a little and with the uneven edges and specks of a scan.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from drawings_pen import Bits
from PIL import Image, ImageDraw, ImageFont

FOLDER = Path(__file__).parent.parent / "vlae_codec" / "pictures"
_SCALE = 4
_LETTERS = (
    [(14, 78), (26, 30), (40, 14), (44, 30), (34, 70), (30, 96), (46, 92), (62, 60), (72, 46), (66, 60), (62, 84)],
    [(62, 84), (76, 84), (92, 52), (108, 16), (112, 8), (104, 22), (94, 62), (96, 84), (110, 82), (126, 60), (138, 56)],
    [(138, 56), (126, 56), (118, 72), (124, 86), (136, 78), (144, 58), (142, 82), (154, 84), (168, 66), (176, 58)],
    [(176, 58), (170, 54), (162, 68), (166, 84), (180, 82), (200, 66), (226, 72), (250, 64), (284, 70)],
    [(22, 108), (80, 101), (160, 98), (230, 100), (262, 106), (226, 110), (180, 109)],
)
"""Points that the pen goes through, a stroke a line, on 300x120 pixels."""
_TEXT = """A page in two colours is a hard thing for a
codec of photographs and an easy one for a
codec of pages: its shapes come again. What
was an e in the first line is an e in the last,
and what the scanner left of its edge is noise.
Here a few contexts learn the page while they
code it, a small network says what is likely
where nothing was learned yet, and places that
look alike are looked up. Every pixel comes
back. Nothing is guessed, and nothing is lost."""


def main() -> None:
    """Writes both."""
    for name, bits in (("signature", signature()), ("page", page())):
        Image.fromarray(bits == 0).save(FOLDER / f"{name}.png", optimize=True)


def signature() -> Bits:
    """300x120: strokes that are thicker where the pen goes down."""
    image = Image.new("L", (300 * _SCALE, 120 * _SCALE))
    draw = ImageDraw.Draw(image)
    for stroke in _LETTERS:
        at = _through(np.array(stroke, float))
        falling = np.clip(np.gradient(at[:, 1]) / np.hypot(*np.gradient(at, axis=0).T), 0, 1)
        for (x, y), pressed in zip(at * _SCALE, falling, strict=True):
            radius = _SCALE * (0.8 + 0.9 * pressed)
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), 255)
    return _binary(image.resize((300, 120), Image.Resampling.BOX), np.random.default_rng(1), 12.0)


def page() -> Bits:
    """480x250: ten lines."""
    face = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSerif.ttf"
    image = Image.new("L", (480 * _SCALE, 250 * _SCALE))
    font = ImageFont.truetype(str(face), 18 * _SCALE)
    ImageDraw.Draw(image).multiline_text((16 * _SCALE, 12 * _SCALE), _TEXT, 255, font, spacing=6 * _SCALE)
    turned = image.rotate(0.35, Image.Resampling.BICUBIC).resize((480, 250), Image.Resampling.BOX)
    bits, rng = _binary(turned, np.random.default_rng(2), 22.0), np.random.default_rng(3)
    bits[rng.integers(0, 250, 6), rng.integers(0, 480, 6)] = 1
    return bits


def _through(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A Catmull-Rom curve through points: (n, 2)."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.linspace(0, 1, 120, endpoint=False)[:, None]
    parts = []
    for before, start, end, after in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        slope, bend = end - before, 2 * before - 5 * start + 4 * end - after
        parts.append(0.5 * (2 * start + slope * t + bend * t**2 + (3 * (start - end) + after - before) * t**3))
    return np.concatenate(parts)


def _binary(levels: Image.Image, rng: np.random.Generator, noise: float) -> Bits:
    """In two levels, as a scanner gives it."""
    seen = np.asarray(levels).astype(float) + rng.normal(0, noise, (levels.height, levels.width))
    return (seen > 128).astype(np.uint8)


if __name__ == "__main__":
    main()
