"""Sets without order: which image comes next is chosen by bits of the stack, which the receiver gives back.

"Compressing multisets with large alphabets using bits-back coding" (Severo et al. 2022): n images in no order cost log2(n!)
bits less, and a little more if some are equal.
"""

from __future__ import annotations

import bisect

import numpy as np

from vlae_codec.coding.entropy import Stack
from vlae_codec.picture.fields import SIDE, Bits


class Remaining:
    """A sorted multiset: taking one out pops log2(size / multiplicity) bits, putting it back pushes them."""

    def __init__(self, values: list[bytes]) -> None:
        self._values = sorted(values)

    def pick(self, stack: Stack) -> bytes:
        """Removes one, chosen by bits of the stack."""
        place = stack.pop_uniform(len(self._values))
        value = self._values[place]
        first, end = self._run(value)
        stack.push_uniform(place - first, end - first)
        del self._values[place]
        return value

    def put_back(self, stack: Stack, value: bytes) -> None:
        """The inverse of `pick`."""
        self.insert(value)
        first, end = self._run(value)
        place = first + stack.pop_uniform(end - first)
        stack.push_uniform(place, len(self._values))

    def last(self) -> bytes:
        """Removes the last."""
        return self._values.pop()

    def insert(self, value: bytes) -> None:
        """Adds one."""
        bisect.insort(self._values, value)

    def fields(self) -> Bits:
        """All, sorted: (n, 28, 28)."""
        return unpacked(self._values)

    def _run(self, value: bytes) -> tuple[int, int]:
        return bisect.bisect_left(self._values, value), bisect.bisect_right(self._values, value)


def unpacked(values: list[bytes]) -> Bits:
    """Fields from their 98 packed bytes each: (n, 28, 28)."""
    packed = np.frombuffer(b"".join(values), np.uint8).reshape(len(values), SIDE * SIDE // 8)
    return np.unpackbits(packed, axis=1).reshape(-1, SIDE, SIDE)
