"""A list of 1 to 256 colours as bytes: number - 1 (1 byte), varint length, and the entries.

Length 0: entries as they are, one after the other. Else they are so many bytes of deflate, which hold all first samples,
then all second ones, and so on, each less the one before it, modulo 256; the first of all as it is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vlae_codec.coding.bits import read_varint, varint
from vlae_codec.coding.deflate import deflate, inflate
from vlae_codec.errors import TruncatedError

Entries = npt.NDArray[np.uint8]


def in_order(entries: Entries) -> npt.NDArray[np.intp]:
    """Numbers of (n, C) entries, each the nearest to the one before it of those that are left, the first to all zeros.

    Near is a small sum of differences modulo 256, either way round, which count nine times in colours and once in alpha,
    the fourth sample; of several, the first entry. Neighbouring pixels then have neighbouring numbers: so does libwebp.
    """
    weights = np.array([9, 9, 9, 1])[: entries.shape[1]]
    left, last = np.arange(len(entries)), np.zeros(entries.shape[1], np.uint8)
    found = np.empty(len(entries), np.intp)
    for place in range(len(entries)):
        steps = entries[left] - last
        nearest = int((np.minimum(steps, -steps) @ weights).argmin())
        found[place], last = left[nearest], entries[left[nearest]]
        left = np.delete(left, nearest)
    return found


def write_entries(entries: Entries) -> bytes:
    """The bytes of (n, C) entries, 1 <= n <= 256."""
    plain = entries.tobytes()
    steps = np.diff(entries.T.reshape(-1), prepend=np.uint8(0))
    packed = deflate(steps.tobytes())
    best = varint(len(packed)) + packed if len(packed) < len(plain) else varint(0) + plain
    return bytes([len(entries) - 1]) + best


def read_entries(data: bytes, at: int, samples: int) -> tuple[Entries, int]:
    """The entries at `at`, each of so many samples, (n, C), and the index after them.

    Raises:
        TruncatedError: the data end within them.
        FormatError: they are damaged.
    """
    if at >= len(data):
        raise TruncatedError("the file ends within its palette")
    size = (data[at] + 1) * samples
    length, at = read_varint(data, at + 1)
    end = at + (length or size)
    if end > len(data):
        raise TruncatedError("the file ends within its palette")
    stored = data[at:end]
    if not length:
        return np.frombuffer(stored, np.uint8).reshape(-1, samples), end
    steps = np.frombuffer(inflate(stored, size, "the palette"), np.uint8)
    return np.cumsum(steps, dtype=np.uint8).reshape(samples, -1).T, end
