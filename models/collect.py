"""A data set of one's own: pictures of any kind that the codec reads, as the archive that training reads.

Pictures are cut into fields of 28x28 as the codec cuts them. The fields of a picture stay in one part: every tenth
picture, in a random order of fixed seed, is for `test`, every tenth for `valid`, the others are for `train`.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vlae_codec import pixels
from vlae_codec.errors import ConfigError
from vlae_codec.sources import Source

from .prepare import SETS

PARTS = ("train", "valid", "test")
SHARE = 10
"""One of so many pictures is for `test`, and one for `valid`."""
Packed = npt.NDArray[np.uint8]
Progress = Callable[[int, int], None]
"""(pictures read, of how many)."""


@dataclass(frozen=True)
class Collected:
    """Packed fields (N, 98) of each part; what was lost on the way in, and of how many pictures."""

    parts: dict[str, Packed]
    notes: Counter[str]

    def archive(self) -> bytes:
        """The .npz file; the same pictures make the same archive."""
        out = io.BytesIO()
        np.savez_compressed(out, **self.parts)  # type: ignore[arg-type]
        return out.getvalue()


def check_name(name: str) -> None:
    """Refuses a name that means something else.

    Raises:
        ConfigError: it is that of a published set, or no single word.
    """
    if name in SETS:
        raise ConfigError(f"{name} is a published set, which `data prepare` makes: give yours another name")
    if not re.fullmatch(r"[\w-]+", name):
        raise ConfigError(f"a set is named by letters, digits, - and _, not {name!r}")


def collect(sources: Sequence[Source], progress: Progress) -> Collected:
    """Reads all pictures of all sources and divides them among the parts.

    Raises:
        ConfigError: there are fewer than SHARE pictures.
        ImageError: one of them cannot be read, or is not black and white.
    """
    count = sum(source.count for source in sources)
    if count < SHARE:
        raise ConfigError(f"a data set needs at least {SHARE} pictures, and there are {count}")
    notes = Counter[str]()
    fields = [*_read(sources, notes, lambda done: progress(done, count))]
    order = np.random.default_rng(0).permutation(count)
    share = count // SHARE
    chosen = {"test": order[:share], "valid": order[share : 2 * share], "train": order[2 * share :]}
    return Collected({part: np.concatenate([fields[i] for i in sorted(chosen[part])]) for part in PARTS}, notes)


def _read(sources: Sequence[Source], notes: Counter[str], progress: Callable[[int], None]) -> Iterator[Packed]:
    """The fields (F, 98) of each picture."""
    done = 0
    for source in sources:
        for drawing in source.drawings(0, source.count):
            fields, _ = pixels.to_fields(drawing.bits)
            notes.update([drawing.note] if drawing.note else [])
            done += 1
            progress(done)
            yield np.packbits(fields.reshape(len(fields), -1), axis=1)
