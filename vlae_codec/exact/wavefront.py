"""Places of a grid in the order in which they can be known: those of equal t = column + slope row advance together.

A causal kernel that reaches `slope` - 1 columns ahead in the row above sees only places of smaller t: 2 for 3x3 and for each
one on top of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Wavefront:
    """Of a grid of that size; each step's rows ascend."""

    height: int
    width: int
    slope: int = 2

    @property
    def steps(self) -> int:
        """How many there are, t from 0; of a narrow grid some have no places."""
        return self.width + self.slope * (self.height - 1)

    def rows(self, t: int) -> range:
        """The rows of the places of step t, which are at column t - slope row."""
        return range(max(0, -(-(t - self.width + 1) // self.slope)), min(self.height - 1, t // self.slope) + 1)

    def __iter__(self) -> Iterator[tuple[int, range]]:
        """Each t that has places, and their rows."""
        return ((t, rows) for t in range(self.steps) if (rows := self.rows(t)))

    def order(self) -> npt.NDArray[np.intp]:
        """All places in that order, as raster indices: (height * width,)."""
        row, col = np.divmod(np.arange(self.height * self.width), self.width)
        return np.lexsort((row, col + self.slope * row))
