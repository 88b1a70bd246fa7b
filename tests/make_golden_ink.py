"""Writes golden/version2/ink.json: files of the released ink model, with the pixels they decode to for ever.

python tests/make_golden_ink.py > tests/golden/version2/ink.json
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys

import numpy as np

from vlae_codec import zoo
from vlae_codec.codec import decode, encode, encode_views
from vlae_codec.family import Ask
from vlae_codec.picture.raster import Kind, PixelFormat, Raster

FORM = PixelFormat(Kind.GRAY, 1, pair=((255,), (0,)))


def drawing(height, width, seed=0):
    """Rings, strokes and shapes that come again, with some noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    bits = (np.hypot(y % 23 - 11, x % 31 - 12).astype(int) % 7 == 3) & (y // 23 % 2 == 0)
    bits |= (x * 3 + y) % 41 == 0
    return (bits ^ (rng.random(bits.shape) < 0.01)).astype(np.uint8)


def cases():
    """Name and pixels of each."""
    yield "drawing", drawing(90, 131)
    yield "wide", drawing(9, 700, 1)
    yield "tall", drawing(300, 7, 2)
    yield "blank", np.zeros((50, 60), np.uint8)
    yield "noise", np.random.default_rng(3).integers(0, 2, (40, 41)).astype(np.uint8)


def coded(bits):
    """Its file."""
    (file,) = encode([Raster(np.asarray(bits, np.uint8)[..., None], FORM)], zoo.named("ink"), lossless=True)
    return file.data


def bumpy():
    """A bar with bumps."""
    bits = np.zeros((40, 200), np.uint8)
    bits[10:30, 5:195] = 1
    bits[9, 20:190:23] = bits[30, 33:180:31] = 1
    return bits


def near(bits):
    """Its file at quality 0, of which pixels on edges changed."""
    view = zoo.named("ink").view(Raster(bits[..., None], FORM), Ask(quality=0))
    return encode_views([view], zoo.named("ink"), Ask(quality=0))[0].data


def digest(bits):
    """Of shape and pixels."""
    return hashlib.sha256(f"{bits.shape} ".encode() + bits.tobytes()).hexdigest()


if __name__ == "__main__":
    found = {name: [base64.b64encode(coded(bits)).decode(), digest(bits)] for name, bits in cases()}
    file = near(bumpy())
    found["near"] = [base64.b64encode(file).decode(), digest(decode([file])[0].raster.samples[..., 0])]
    json.dump(found, sys.stdout, indent=1)
    sys.stdout.write("\n")
