"""Why a picture is kept exactly though no exact file was asked for: a number in its file, and what is said of it."""

from __future__ import annotations

import enum

from .errors import FormatError, TruncatedError


class Reason(enum.IntEnum):
    """Permanent numbers."""

    NO_LARGER = 1
    UNLIKE = 2
    UNLIKE_GIVEN = 3

    def told(self, model: str = "") -> str:
        """What is said after "since"; `model` is the name of the one that was asked for, if it is known."""
        if self == Reason.NO_LARGER:
            return "that is no larger"
        given = f"the model {model}" if model else "the model that was asked for"
        whom = f"{given} was" if self == Reason.UNLIKE_GIVEN else "the lossy models were"
        return f"it is unlike what {whom} trained on"

    def write(self) -> bytes:
        """One byte: the number, and what it lacks to 15 as the high 4 bits, so that damage shows."""
        return bytes([(15 - self) << 4 | self])


def read_reason(data: bytes, at: int) -> Reason:
    """The reason whose byte is at `at`.

    Raises:
        TruncatedError: the data end before it.
        FormatError: it is damaged, or not known.
    """
    if at >= len(data):
        raise TruncatedError("the file ends within its header; nothing of it can be decoded")
    number = data[at] & 15
    if number not in {*Reason} or data[at] >> 4 != 15 - number:
        raise FormatError("the file says why it is exact, and nobody knows that reason: it is damaged, or newer")
    return Reason(number)
