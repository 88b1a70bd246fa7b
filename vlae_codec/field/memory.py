"""What searches found, kept for whoever searches for the same fields again: lossy and lossless files, and lossy archives.

Which candidates there are, and what they cost, depends on model, effort and field, not on what the code is for. See
`family.Remembering`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vlae_codec.exact.bins import Latents as Coordinates
from vlae_codec.picture.fields import Bits

_MOST_FIELDS = 1 << 14  # of about 8 kB each at the usual effort


class Found(NamedTuple):
    """Candidates for B fields: N numbers of the codebook, and last the lattice code.

    numbers: (B, N) int64. lattice: coordinates (B, D). k: coordinates of all of them, (B, N + 1, D). code_bits: what they
    cost, (B, N + 1). distortion_bits: -log2 p(x|z) given them, (B, N + 1).
    """

    numbers: npt.NDArray[np.int64]
    lattice: Coordinates
    k: Coordinates
    code_bits: npt.NDArray[np.float64]
    distortion_bits: npt.NDArray[np.float64]

    def rows(self) -> Iterator[Found]:
        """What was found for each field, without the first dimension."""
        return map(Found, *self)

    @classmethod
    def of(cls, rows: Sequence[Found]) -> Found:
        """The inverse of `rows`."""
        return cls(*map(np.stack, zip(*rows, strict=True)))


class Memory:
    """What was found for single fields of one model; when it is full, it learns no more."""

    def __init__(self) -> None:
        self._rows: dict[bytes, Found] = {}

    def found(
        self,
        effort: int,
        fields: Bits,
        inside: npt.NDArray[np.bool_],
        find: Callable[[Bits, npt.NDArray[np.bool_]], Found],
    ) -> Found:
        """What `find` finds for fields (B, 28, 28) at that effort: it is asked only for those that are new."""
        keys = [_key(effort, *one) for one in zip(fields, inside, strict=True)]
        known = {key: row for key in keys if (row := self._rows.get(key))}
        if new := [at for at, key in enumerate(keys) if key not in known]:
            found = find(fields[new], inside[new])
            for at, row in zip(new, found.rows(), strict=True):
                known[keys[at]] = row
        if len(self._rows) + len(new) <= _MOST_FIELDS:
            self._rows |= known
        return Found.of([known[key] for key in keys])


def _key(effort: int, field: Bits, inside: npt.NDArray[np.bool_]) -> bytes:
    packed = np.packbits(np.stack([field != 0, inside])).tobytes()
    return hashlib.sha256(bytes([effort]) + packed).digest()
