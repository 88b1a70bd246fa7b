"""Two-level pictures: which pixels are ink, and which two colours they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vlae_codec.errors import ImageError

from .fields import SIDE, Bits
from .raster import Kind, PixelFormat, Raster

_LARGEST_SIDE = 1 << 16
LARGEST_PIXELS = 1 << 26
SIZES = "1x1 to 65535x65535, at most 2^26 pixels"
_MIDDLE_SHARE = 0.25
"""A drawing has at most this share of its pixels in the middle half of its range of grays."""
LARGEST_THRESHOLD = 254
"""Above 254 there is only the level 255, and above that none."""
_WEIGHTS = np.array([19595, 38470, 7471]) / 65536
"""Of red, green and blue: those of ITU-R 601, rounded as Pillow's. They add up to 1 exactly."""
_STRIP_PIXELS = 1 << 20


@dataclass(frozen=True)
class Look:
    """The colours of paper and ink, each a tuple of samples: 1 gray, 3 RGB, 4 RGBA; `deep` means 16-bit gray."""

    paper: tuple[int, ...] = (0,)
    ink: tuple[int, ...] = (255,)
    deep: bool = False


@dataclass(frozen=True)
class Drawing:
    """bits (H, W) uint8 in {0, 1}; `note` says what was lost on the way in, if anything."""

    bits: Bits
    look: Look = Look()
    note: str | None = None


def fits(width: int, height: int) -> bool:
    """Whether a picture may have that size: SIZES says which may."""
    return 0 < width < _LARGEST_SIDE and 0 < height < _LARGEST_SIDE and width * height <= LARGEST_PIXELS


def check_size(width: int, height: int) -> None:
    """Refuses what does not fit.

    Raises:
        ImageError: the picture is empty or too large.
    """
    if not fits(width, height):
        raise ImageError(f"a picture of {width}x{height} pixels cannot be coded: {SIZES}")


def drawing_of(raster: Raster, threshold: int | None = None, exact: bool = False) -> Drawing:
    """Two-level form of a picture.

    Two pixel values are kept, and a pair of them in the order that the raster has it. Else gray levels are binarised at the
    middle of their range if few of them are middle grays, or at `threshold` (0 to 254: a luminance above it is the light
    level). Ink is then the rarer level; on a tie the lighter.

    Raises:
        ImageError: the picture is too large, or has more than two colours and neither is it clearly a drawing nor is there a
            threshold; with `exact` and no threshold, if it has more than two colours.
    """
    height, width = raster.samples.shape[:2]
    check_size(width, height)
    look = look_of(raster.format)
    bare = look is not None and look.paper == look.ink and not raster.samples.any()  # what ink would be is not known
    if look is not None and not bare and threshold is None:
        return Drawing(raster.two_levels(), look)
    samples = _samples(raster)
    two_level = None if threshold is not None else _two_colours(samples)
    if two_level is not None:
        return two_level
    if exact and threshold is None:
        raise ImageError("lossless needs an image of two colours, and this one has more: binarise it with threshold=N")
    light = _luminance(samples)
    level = _middle_level(light) if threshold is None else float(threshold)
    return _with_rarer_ink(
        light > level, (0,), (255,), deep=False, note=f"binarised at gray level {level:.4g}{_gone(samples)}"
    )


def drawn(raster: Raster, note: str | None) -> Drawing:
    """The drawing that `raster_of` made this picture of, with that note."""
    return replace(drawing_of(raster, exact=True), note=note)


def _gone(samples: npt.NDArray[np.generic]) -> str:
    """What black and white does not show of a picture beside its grays."""
    channels = samples.shape[2]
    coloured = channels >= 3 and bool((samples[..., :3] != samples[..., :1]).any())
    lost = ["its colours"] * coloured + ["its transparency"] * (channels == 4)
    return f", without {' and '.join(lost)}" if lost else ""


def raster_of(drawing: Drawing) -> Raster:
    """The drawing as a picture in two colours."""
    return Raster(drawing.bits[..., None], format_of(drawing.look))


@lru_cache(256)
def format_of(look: Look) -> PixelFormat:
    """The pixel format of a drawing of that look."""
    kind, depth = Kind.GRAY if len(look.ink) == 1 else Kind.RGB, 16 if look.deep else 8
    return PixelFormat(kind, depth, len(look.ink) == 4, pair=(look.paper, look.ink))


def look_of(form: PixelFormat) -> Look | None:
    """The look of a picture in two colours, if it is one and a look can say which."""
    if form.pair is None or form.kind == Kind.PALETTE or form.stored_channels == 2:
        return None
    deep = form.depth == 16
    return None if deep and form.stored_channels > 1 else Look(*form.pair, deep)


def _samples(raster: Raster) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """The colours of a picture as looks know them: (H, W, C) uint8 with C = 1, 3 or 4, or (H, W, 1) uint16.

    Colours in 16 bits lose eight of them.
    """
    samples = raster.colours()
    if samples.dtype == np.uint16 and samples.shape[2] > 1:
        samples = (samples >> 8).astype(np.uint8)
    if raster.format.kind != Kind.PALETTE and samples.shape[2] != 2:
        return samples
    if samples.shape[2] == 2:
        samples = samples[..., [0, 0, 0, 1]]
    if samples.shape[2] == 4 and bool((samples[..., 3] == 255).all()):
        samples = samples[..., :3]
    if samples.shape[2] == 3 and bool((samples == samples[..., :1]).all()):
        samples = samples[..., :1]
    return samples


def _two_colours(samples: npt.NDArray[np.generic]) -> Drawing | None:
    """The exact drawing if there are at most two colours, else None."""
    first = samples[0, 0]
    other = (samples != first).any(axis=2)
    where = int(other.argmax())
    deep = samples.dtype == np.uint16
    one = tuple(int(value) for value in first)
    if not other.flat[where]:  # a single colour: all paper; what ink would be does not matter
        return Drawing(np.zeros(other.shape, np.uint8), Look(one, _opposite(one, deep), deep))
    second = samples.reshape(-1, samples.shape[2])[where]
    if not (samples[other] == second).all():
        return None
    two = tuple(int(value) for value in second)
    (dark, light), bright = ((one, two), other) if sum(one) <= sum(two) else ((two, one), ~other)
    return _with_rarer_ink(bright, dark, light, deep, note=None)


def _opposite(colour: tuple[int, ...], deep: bool) -> tuple[int, ...]:
    """For a picture of one colour: an ink that makes the look a short one."""
    top = 0xFFFF if deep else 0xFF
    return tuple(top - value for value in colour[:3]) + colour[3:]


def _with_rarer_ink(
    bright: npt.NDArray[np.bool_], dark: tuple[int, ...], light: tuple[int, ...], deep: bool, note: str | None
) -> Drawing:
    """The drawing of two levels, given where the lighter one is: ink is the rarer; on a tie the lighter."""
    if 2 * int(bright.sum()) <= bright.size:
        return Drawing(bright.astype(np.uint8), Look(dark, light, deep), note)
    return Drawing((~bright).astype(np.uint8), Look(light, dark, deep), note)


def _middle_level(light: npt.NDArray[np.float32]) -> float:
    """The middle of the range of luminances.

    Raises:
        ImageError: more of them are middle grays than a drawing has.
    """
    low, high = float(light.min()), float(light.max())
    middle, quarter = (low + high) / 2, (high - low) / 4
    if ((light > middle - quarter) & (light < middle + quarter)).mean() > _MIDDLE_SHARE:
        raise ImageError("this is a continuous-tone image, not a drawing in two levels: binarise it with threshold=N")
    return middle


def _luminance(samples: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Luminance 0..255 (H, W), over white where transparent; exact where it is not. A strip of rows at a time."""
    light = np.empty(samples.shape[:2], np.float32)
    rows = max(1, _STRIP_PIXELS // samples.shape[1])
    for top in range(0, len(samples), rows):
        light[top : top + rows] = _strip_luminance(samples[top : top + rows])
    return light


def _strip_luminance(samples: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    values = samples.astype(np.float64)
    if samples.dtype == np.uint16:
        return values[..., 0] / 257.0
    if values.shape[2] == 4:
        alpha = values[..., 3:] / 255.0
        values = values[..., :3] * alpha + 255.0 * (1.0 - alpha)
    if values.shape[2] == 1:
        return values[..., 0]
    light: npt.NDArray[np.float64] = values @ _WEIGHTS
    return light


def demo_digits() -> list[Drawing]:
    """The 100 digits of the statically binarised MNIST test set that ship with the package, ten of each class."""
    with np.load(Path(__file__).parent.parent / "digits.npz", allow_pickle=False) as stored:
        packed = stored["test"]
    return [Drawing(bits) for bits in np.unpackbits(packed, axis=1)[:, : SIDE * SIDE].reshape(-1, SIDE, SIDE)]


def inverted(drawing: Drawing) -> Drawing:
    """The same picture with its other colour as ink."""
    look = replace(drawing.look, paper=drawing.look.ink, ink=drawing.look.paper)
    return replace(drawing, bits=1 - drawing.bits, look=look)


def looking(drawing: Drawing, look: Look) -> Drawing:
    """The same picture with that look, if it has one with these two colours, else itself."""
    turned = inverted(drawing)
    return turned if turned.look == look != drawing.look else drawing
