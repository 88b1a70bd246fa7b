"""What a picture takes without a model, before it is coded: roughly in some milliseconds, or well from a few bands of rows.

Both look at bands that are spread over the picture. What returns farther apart than a band is high is found by what runs of
sixteen neighbours say (`distinct`), as far as they vary. A drawing in which hardly anything returns is coded as a whole, in
haste, which takes less time.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.picture.raster import Raster, is_plain
from vlae_codec.picture.rows import Values, pack

from .codec import CHECK_BYTES, SAMPLE_BYTES, WAYS, Coder, bands
from .forms import Form, forms

_ROUGH_BYTES = SAMPLE_BYTES // 2
_ROUGH = 3.5  # what deflate makes of a picture in haste is at most so many times what the best way makes of it
_RUN = 16  # neighbours that are compared with all others
_PRIMES = np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x9E3779B185EBCA87)  # of xxHash
_STRIP = 1 << 20  # places that are looked at together
_EVERY = 6  # of all runs, those whose hash begins with so many zero bits
_FEW = 64  # runs say nothing
_REGULAR = 0.005  # of all runs, if no more are distinct
_VARIED = 0.4  # of the runs that vary, if no fewer are distinct
_OF_HASTE = 0.7  # of what the hasty ways make of a varied drawing: no way takes less
_HASTY_LZMA = {"id": lzma.FILTER_LZMA2, "preset": 0}


def least_bytes(raster: Raster) -> float:
    """Hardly more than the smallest file has: a part of what deflate makes of differences of samples, in haste."""
    values = raster.samples
    some, half = bands(values, _ROUGH_BYTES), bands(values, _ROUGH_BYTES // 2)
    return _extended(_hasty(some), _hasty(half), len(values), len(some), len(half)) * distinct(values) / _ROUGH


def least_bytes_of_drawing(raster: Raster) -> float:
    """What a picture in two colours hardly takes less than, by what hasty ways take; 0 if it repeats itself, or is small."""
    (form,) = forms(raster)
    bits, *shifted = (pack(form.values[:, at:], 1) for at in range(min(8, form.shape.width)))
    picked = np.concatenate([_picked(one[..., None])[0] for one in (bits, *shifted)])
    if len(picked) < _FEW or len(np.unique(picked)) < _VARIED * len(picked):
        return 0.0
    faxes = (WAYS[way].encode(form.values, form.shape, 0) for way in (Coder.G4_ONES, Coder.G4_ZEROS))
    hasty = len(lzma.compress(bits.tobytes(), lzma.FORMAT_RAW, filters=[_HASTY_LZMA]))
    return _OF_HASTE * min(bits.size, hasty, *(len(stream) for streams in faxes for stream in streams))


def estimate_bytes(raster: Raster) -> int:
    """About what `codec.encode` gives: mostly within a tenth, in a small part of the time."""
    if is_plain(raster.samples):
        return 1 + CHECK_BYTES + int(raster.samples[0, 0].nbytes)
    return 1 + CHECK_BYTES + round(min(_estimate(form) for form in forms(raster)))


def _estimate(form: Form) -> float:
    some = bands(form.values, SAMPLE_BYTES)
    shape, rest = replace(form, values=some).shape, len(form.values) / len(some)
    sizes = [min(map(len, way.encode(some, shape, 0)), default=0) for way in WAYS.values()]
    if rest > 1:  # what returns from band to band is not counted again
        rest *= min(1.0, (distinct(form.values) + _REGULAR) / (distinct(some) + _REGULAR))
    return len(form.table) + rest * min(size for size in sizes if size)


def is_regular(raster: Raster) -> bool:
    """Whether hardly any part of it is new: of what is so regular a part does not say what the whole takes."""
    return distinct(raster.samples) <= _REGULAR


def _extended(some: int, half: int, height: int, rows: int, half_rows: int) -> float:
    """What all rows take, if some take so much, and half of these so much."""
    if rows in (height, half_rows):
        return some * height / rows
    return some + max(0, some - half) / (rows - half_rows) * (height - rows)


def _hasty(values: Values) -> int:
    return min(len(zlib.compress(np.ascontiguousarray(one).tobytes(), 1)) for one in _differences(values))


def _differences(values: Values) -> Iterator[npt.NDArray[Any]]:
    """The values, and what they differ by from the row above, from the left, and from what both of these say."""
    yield values
    down = values[1:] - values[:-1]
    for one in (down, values[:, 1:] - values[:, :-1], down[:, 1:] - down[:, :-1]):
        if one.size:
            yield one


def distinct(values: Values) -> float:
    """Of all runs of neighbours, the share that is not seen elsewhere: of the first channel, less what a gradient says."""
    picked, total = _picked(values)
    expected = total / (1 << _EVERY)
    return min(1.0, len(np.unique(picked)) / expected) if expected > _FEW else 1.0


def _picked(values: Values) -> tuple[npt.NDArray[np.uint64], int]:
    """Hashes of some runs of neighbours that vary, whatever they are seen beside; and how many runs there are."""
    found, total = [np.zeros(0, np.uint64)], 0
    step = max(2, _STRIP // values.shape[1])
    for top in range(0, len(values) - 1, step):
        strip = values[top : top + step + 1, :, 0]
        down = strip[1:] - strip[:-1]
        flat = np.ascontiguousarray(down[:, 1:] - down[:, :-1]).astype(np.uint8).reshape(-1)
        if len(flat) < _RUN:
            continue
        eights = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(flat, 8)).view(np.uint64)[:, 0]
        hashes = (eights[8:] * _PRIMES[0] ^ eights[:-8]) * _PRIMES[1]
        found.append(hashes[(hashes != 0) & (hashes >> np.uint64(64 - _EVERY) == 0)])
        total += len(flat)
    return np.concatenate(found), total
