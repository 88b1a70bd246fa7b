"""ICC profiles (ICC.1:2022): whether one says no more than that colours are sRGB's, so that it need not be kept."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

_PRIMARIES = {
    b"rXYZ": (0.43607, 0.22249, 0.01392),
    b"gXYZ": (0.38515, 0.71687, 0.09708),
    b"bXYZ": (0.14307, 0.06061, 0.71410),
}
"""Of sRGB, adapted to D50 (IEC 61966-2-1; ICC.1, annex F)."""
_NEAR_XYZ, _NEAR_CURVE = 0.001, 0.002
_LUTS = frozenset({b"A2B0", b"A2B1", b"A2B2", b"D2B0", b"D2B1", b"D2B2"})
_LARGEST_BYTES = 1 << 16
_PLACES = np.linspace(0, 1, 256)


def is_srgb(profile: bytes) -> bool:
    """Whether a profile has sRGB's primaries and curve, and nothing that would count for more; False if it is damaged."""
    if profile[16:20] != b"RGB " or len(profile) > _LARGEST_BYTES:
        return False
    try:
        tags = _tags(profile)
        if tags.keys() & _LUTS:
            return False
        primaries = all(np.allclose(_xyz(tags[tag]), xyz, atol=_NEAR_XYZ) for tag, xyz in _PRIMARIES.items())
        curves = (_curve(tags[tag]) for tag in (b"rTRC", b"gTRC", b"bTRC"))
        return primaries and all(np.allclose(curve, _srgb_curve(), atol=_NEAR_CURVE) for curve in curves)
    except (KeyError, ValueError, struct.error):
        return False


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    found = {}
    for at in range(132, 132 + 12 * min(count, 100), 12):
        name, start, size = struct.unpack_from(">4sII", profile, at)
        found[name] = profile[start : start + size]
    return found


def _xyz(tag: bytes) -> list[float]:
    return [number / 65536 for number in struct.unpack_from(">4s4x3i", tag)[1:]]


def _curve(tag: bytes) -> npt.NDArray[np.float64]:
    """Linear light for 256 levels from 0 to 1.

    Raises:
        ValueError, struct.error: it is of a kind that sRGB cannot be.
    """
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        table = np.array(struct.unpack_from(f">{count}H", tag, 12), np.float64)
        if count < len(_PLACES):
            raise ValueError("a power, or too few points")
        between: npt.NDArray[np.float64] = np.interp(_PLACES, np.linspace(0, 1, count), table / 0xFFFF)
        return between
    if tag[:4] == b"para" and tag[8:10] == b"\0\3":
        g, a, b, c, d = (number / 65536 for number in struct.unpack_from(">5i", tag, 12))
        power = np.maximum(a * _PLACES + b, 0) ** min(max(g, 0), 10)
        light: npt.NDArray[np.float64] = np.where(d <= _PLACES, power, c * _PLACES)
        return light
    raise ValueError("another kind of curve")


def _srgb_curve() -> npt.NDArray[np.float64]:
    light: npt.NDArray[np.float64] = np.where(_PLACES <= 0.04045, _PLACES / 12.92, ((_PLACES + 0.055) / 1.055) ** 2.4)
    return light
