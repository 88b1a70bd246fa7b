"""What a pixel is predicted from: the rows above it and what is left of it, as far as a window reaches.

The window has ABOVE rows above, each of WIDE pixels around the pixel's column, and ASIDE pixels on its left. A *register* is
one row of it as an integer, the rightmost pixel as its lowest bit; register 0 is the pixel's own row, register k the row k
above. What lies outside the picture is 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

ABOVE, ASIDE = 8, 8
WIDE = 2 * ASIDE + 1
PLACES = ABOVE * WIDE + ASIDE
"""Pixels of the window."""


def places() -> list[tuple[int, int]]:
    """The window's pixels as (rows above, columns to the right), from the nearest on; of equals from the top left on."""
    every = [(above, right) for above in range(ABOVE, -1, -1) for right in range(-ASIDE, ASIDE + 1 if above else 0)]
    return sorted(every, key=lambda place: place[0] ** 2 + place[1] ** 2)


def masks(nearest: int) -> npt.NDArray[np.int64]:
    """So many of the nearest pixels, as a mask for each register: (ABOVE + 1,)."""
    found = np.zeros(ABOVE + 1, np.int64)
    for above, right in places()[:nearest]:
        found[above] |= 1 << (ASIDE - right if above else -1 - right)
    return found
