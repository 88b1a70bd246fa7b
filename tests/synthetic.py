"""Pictures that programs make, gray and in colours: patterns, gradients, noise, text, charts."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw


def pictures(height=96, width=128):
    """Pictures of every kind by title: (H, W) or (H, W, 3) uint8, the same each time."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:height, :width]
    found = {
        "products": _bytes(x, y, x * y),
        "products, gray": _bytes(x * y),
        "bits": _bytes(x ^ y, x & y, x | y),
        "squares": _bytes(x * x + y * y, x * x, y * y),
        "waves": _bytes(127 + 127 * np.sin(x / 9), 127 + 127 * np.sin(y / 7), 127 + 127 * np.sin((x + y) / 11)),
        "moire": _bytes(127 + 127 * np.sin(x * y / 300)),
        "gradient": _bytes(255 * x // width),
        "gradients": _bytes(255 * x // width, 255 * y // height, 255 * (x + y) // (height + width)),
        "noise": rng.integers(0, 256, (height, width, 3), np.uint8),
        "noise, two levels": 128 + rng.integers(0, 2, (height, width, 3), np.uint8),
        "noise, four levels": np.array([0, 80, 160, 250], np.uint8)[rng.integers(0, 4, (height, width))],
        "speckles": np.where(rng.random((height, width)) < 0.02, y * 2, 255).astype(np.uint8),
        "rows of noise": np.repeat(rng.integers(0, 256, (1, width, 3), np.uint8), height, axis=0),
        "rows and columns": _bytes(rng.integers(0, 256, (height, 1)) + rng.integers(0, 256, (1, width))),
        "shifted rows": rng.integers(0, 256, width, np.uint8)[(x + 37 * y) % width],
        "dither": _marked(np.array([[0, 50], [200, 250]], np.uint8)[y % 2, x % 2]),
        "text": _text(height, width),
        "chart": _chart(height, width, rng),
    }
    for title, shape in {"tiles": (height // 4, width // 5, 3), "tiles, gray": (height // 2, width // 3)}.items():
        tile, times = rng.integers(0, 256, shape, np.uint8), (5, 6) + (1,) * (len(shape) - 2)
        found[title] = np.tile(tile, times)[:height, :width]
    return found


def _bytes(*channels):
    arrays = [np.asarray(one).astype(np.int64).astype(np.uint8) for one in channels]
    return arrays[0] if len(arrays) == 1 else np.stack(arrays, axis=2)


def _marked(gray):
    gray[0, 0] = 7  # one more level: no drawing
    return gray


def _text(height, width):
    page = Image.new("RGB", (width, height), (250, 250, 240))
    for row in range(height // 12):
        ImageDraw.Draw(page).text((4, 12 * row), f"The quick brown fox jumps {row} times", (20 * row % 200, 10, 90))
    return np.asarray(page)


def _chart(height, width, rng):
    page = Image.new("RGB", (width, height), "white")
    for bar in range(9):
        left, top = width * (bar + 1) // 12, int(rng.integers(height // 2))
        ImageDraw.Draw(page).rectangle((left, top, left + 8, height - 8), (20 * bar, 100, 255 - 20 * bar))
    return np.asarray(page)
