"""Integers coded as binary decisions that bisect a mixture's CDF: is it below the split, given that it lies in between?

Where a 256-ary table would ask for a hundred CDF values, four or five decisions do: first the side of the likeliest value,
then brackets of doubling width outwards, then halves of the bracket. All lanes are asked at once, round by round; a lane
whose value is found drops out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from vlae_codec.exact.fixed import COUNT_BITS
from vlae_codec.exact.logistics import Logistics, Whole

_TOTAL = 1 << COUNT_BITS

Answer = Callable[[Whole, Whole, Whole, Whole], npt.NDArray[np.bool_]]
"""(lanes, splits, mass below, counts of "not below" out of 2^24) -> whether the lanes' values are not below, all (n,)."""


def bisect(mixture: Logistics, centres: Whole, brackets: Whole, answer: Answer) -> Whole:
    """The values that the answers lead to: (n,).

    centres (n,): where the first split is, and brackets (n,): how wide the first one is, a power of two.
    """
    lanes = np.arange(len(centres))
    found = np.empty(len(centres), np.int64)
    low, below_low, high, below_high = ends = np.empty((4, len(centres)), np.int64)
    ends.T[:] = mixture.least, 0, mixture.most + 1, _TOTAL
    split = np.clip(centres, mixture.least + 1, mixture.most)
    outwards = brackets  # how far the next split is from this one, downwards if negative; 0 between two splits
    first = True
    while True:
        below = mixture.below(split)
        np.maximum(below, below_low, out=below)
        np.minimum(below, below_high, out=below)
        span = below_high - below_low
        counts = below_high - below
        counts *= _TOTAL - 2
        counts //= np.maximum(span, 1, out=span)
        counts += 1
        above = answer(lanes, split, below, counts)
        not_above = ~above
        np.copyto(low, split, where=above)
        np.copyto(below_low, below, where=above)
        np.copyto(high, split, where=not_above)
        np.copyto(below_high, below, where=not_above)
        outwards = np.where(above, outwards, -outwards) if first else outwards * ((outwards > 0) == above)
        first = False
        if (done := high - low == 1).any():
            found[lanes[done]] = low[done]
            going = np.flatnonzero(~done)
            if not len(going):
                return found
            mixture = mixture.of(going)
            low, below_low, high, below_high = ends = ends.take(going, 1)
            lanes, split, outwards = lanes[going], split[going], outwards[going]
        further = split + outwards
        out = (further > low) & (further < high)
        split = np.where(out, further, low + high >> 1)
        outwards = outwards * out << 1
