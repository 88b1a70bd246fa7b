"""How far the work on a picture is: in passes over all of it, since a search does not know beforehand what it will try."""

from __future__ import annotations

from vlae_codec.errors import Progress

_WHOLE = 100


class Passes:
    """Tells how far a picture is, in hundredths of the passes that are expected.

    One that takes fewer jumps to its end, one that takes more waits just before it.
    """

    def __init__(self, progress: Progress | None, expected: float) -> None:
        self._progress, self._expected = progress, expected
        self._done, self._told = 0.0, -1
        self.add(0, 1)

    def add(self, part: float, of: float, weight: float = 1.0) -> None:
        """So much of a pass is done; weight: what all of it takes, beside a pass in which all latents are rounded."""
        self._done += weight * part / of
        self._tell(min(_WHOLE - 1, int(_WHOLE * self._done / self._expected)))

    def end(self) -> None:
        """All is done."""
        self._tell(_WHOLE)

    def _tell(self, hundredths: int) -> None:
        if self._progress and hundredths > self._told:
            self._told = hundredths
            self._progress("compressing", hundredths, _WHOLE)


NOBODY = Passes(None, 1.0)
"""For work of which nobody is told."""
