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
    n = len(centres)
    lanes = np.arange(n)
    low, high = np.full(n, mixture.least), np.full(n, mixture.most + 1)
    below_low, below_high = np.zeros(n, np.int64), np.full(n, _TOTAL)
    found = np.empty(n, np.int64)
    split = np.clip(centres, mixture.least + 1, mixture.most)
    outwards = np.zeros(n, np.int64)  # 1 upwards, -1 downwards, 0 between two splits
    width = brackets
    first = True
    while True:
        below = np.clip(mixture.below(split, lanes), below_low, below_high)
        span = below_high - below_low
        counts = (below_high - below) * (_TOTAL - 2) // np.maximum(span, 1) + 1
        above = answer(lanes, split, below, counts)
        low, below_low = np.where(above, split, low), np.where(above, below, below_low)
        high, below_high = np.where(above, high, split), np.where(above, below_high, below)
        outwards = np.where(above, 1, -1) if first else np.where((outwards > 0) == above, outwards, 0)
        first = False
        if (done := high - low == 1).any():
            found[lanes[done]] = low[done]
            going = ~done
            if not going.any():
                return found
            lanes, low, high, width = lanes[going], low[going], high[going], width[going]
            below_low, below_high, outwards = below_low[going], below_high[going], outwards[going]
        up, down = low + width, high - width
        outwards = np.where((outwards > 0) & (up >= high) | (outwards < 0) & (down <= low), 0, outwards)
        split = np.where(outwards > 0, up, np.where(outwards < 0, down, low + high >> 1))
        width = width << (outwards != 0)
