"""Rate-distortion curves of photographs: what is measured of a decoded picture, points, and how far apart two curves are.

A point is one setting of a codec on all pictures: the bytes of each file, and each metric of each picture. A curve is the
points in order of rate. It is judged by means over pictures, of bits a pixel and of the metric, between 0.1 and 0.8 bits a
pixel: what lies beyond is cut off, at the interpolated ends. BD-rate (Bjontegaard 2001, here with PCHIP) is the mean
difference in rate at equal quality, over the qualities that both of the cut curves reach. Its standard error is that of the
choice of pictures, by resampling them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.errors import VlaeError

from .quality import METRICS, Samples

Point = dict[str, Any]
Curve = Sequence[Point]
Ends = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Rates, and the metric at each: (n,) both."""

LEAST_BPP, MOST_BPP = 0.1, 0.8
_RESAMPLED = 200
_MISSING = "curves are compared with a package: pip install 'vlae-codec[baselines]'"


def point(
    setting: float,
    files: Sequence[bytes],
    originals: Sequence[Samples],
    decoded: Sequence[Samples],
    metrics: Sequence[str],
) -> Point:
    """One setting on all pictures."""
    bpp = [8 * len(data) / (x.shape[0] * x.shape[1]) for data, x in zip(files, originals, strict=True)]
    found: Point = {"setting": setting, "bpp": float(np.mean(bpp)), "bytes": [len(data) for data in files]}
    for name in metrics:
        values = [METRICS[name](x, y) for x, y in zip(originals, decoded, strict=True)]
        found[name] = [round(value, 4) for value in values]
    return found


def known(curve: Curve, metrics: Sequence[str]) -> bool:
    """Whether all of these are known of all points."""
    return bool(curve) and all(name in one for one in curve for name in metrics)


def means(curve: Curve, metric: str, pixels: Sequence[int], which: npt.NDArray[np.intp] | slice = slice(None)) -> Ends:
    """The mean rate and the mean metric of each point, over all pictures or some."""
    rates = [(8 * np.array(one["bytes"]) / pixels)[which].mean() for one in curve]
    values = [np.array(one[metric])[which].mean() for one in curve]
    order = np.argsort(rates)
    return np.array(rates)[order], np.array(values)[order]


def at_rate(curve: Ends, bpp: float) -> float | None:
    """The metric at a rate, interpolated over the logarithm of the rate; None beyond the ends of the curve.

    Raises:
        VlaeError: what interpolates is not installed.
    """
    try:
        from scipy.interpolate import PchipInterpolator
    except ImportError as error:
        raise VlaeError(_MISSING) from error
    rates, values = curve
    return float(PchipInterpolator(np.log(rates), values)(np.log(bpp))) if rates[0] <= bpp <= rates[-1] else None


def cut(curve: Ends) -> Ends:
    """The curve between LEAST_BPP and MOST_BPP: its points there, and what it is at these two if it reaches them."""
    rates, values = curve
    inside = (rates > LEAST_BPP) & (rates < MOST_BPP)
    ends = [(bpp, value) for bpp in (LEAST_BPP, MOST_BPP) if (value := at_rate(curve, bpp)) is not None]
    every = np.array(sorted([*zip(rates[inside], values[inside], strict=True), *ends])).reshape(-1, 2)
    return every[:, 0], every[:, 1]


def bd_rate(anchor: Ends, test: Ends) -> float:
    """By how many per cent more `test` takes than `anchor` at equal quality; negative if less.

    Raises:
        VlaeError: what computes it is not installed.
    """
    try:
        import bjontegaard
    except ImportError as error:
        raise VlaeError(_MISSING) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of overlap: `compared` says what it is
        found = bjontegaard.bd_rate(*cut(anchor), *cut(test), method="pchip", require_matching_points=False)
    return float(found)


def compared(anchor: Curve, test: Curve, metric: str, pixels: Sequence[int]) -> dict[str, float | None]:
    """BD-rate with its standard error, and the qualities that it speaks of: those that both curves reach, or None."""
    rng, count = np.random.default_rng(0), len(pixels)

    def between(which: npt.NDArray[np.intp]) -> float:
        return bd_rate(means(anchor, metric, pixels, which), means(test, metric, pixels, which))

    ends = [cut(means(curve, metric, pixels))[1] for curve in (anchor, test)]
    low, high = max(values.min(initial=np.inf) for values in ends), min(values.max(initial=0) for values in ends)
    if low >= high or min(map(len, ends)) < 2:
        return {"bd_rate_percent": None, "bd_rate_percent_se": None, "from": None, "to": None}
    drawn = [between(rng.integers(count, size=count)) for _ in range(_RESAMPLED if count > 1 else 0)]
    error = float(np.std(drawn)) if drawn else None
    return {
        "bd_rate_percent": between(np.arange(count)),
        "bd_rate_percent_se": error,
        "from": float(low),
        "to": float(high),
    }
