"""A data set of one's own: pictures of any kind that the codec reads, as the archive that training reads.

Pictures are cut into fields of 28x28 as the codec cuts them; those without ink, for which it needs no model, are left
out. The fields of a picture stay in one part: of SHARE pictures with ink, in a random order of fixed seed, one is for
`test`, one for `valid`, the others are for `train`.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vlae_codec.errors import ConfigError
from vlae_codec.picture.drawing import Drawing, drawn
from vlae_codec.picture.fields import to_fields
from vlae_codec.sets.sources import Source

from .data import PARTS
from .prepare import SETS

SHARE = 10
FEWEST = 50
"""Pictures with ink, below which there would be hardly a batch to train on."""
Packed = npt.NDArray[np.uint8]
Progress = Callable[[int, int], None]
"""(pictures read, of how many)."""


@dataclass(frozen=True)
class Collected:
    """Packed fields (N, 98) of each part; how many had no ink; what was lost on the way in, and of how many pictures."""

    parts: dict[str, Packed]
    blank_fields: int
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


def own(folder: Path) -> list[Path]:
    """The archives in a folder that are laid out as those of `collect`, by name."""
    return [path for path in sorted(folder.glob("*.npz")) if path.stem not in SETS and _has_parts(path)]


def _has_parts(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return {f"{part}.npy" for part in PARTS} <= {*archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return False


def collect(sources: Sequence[Source], progress: Progress) -> Collected:
    """Reads all pictures of all sources and divides them among the parts.

    Raises:
        ConfigError: there are fewer than FEWEST pictures with ink.
        ImageError: one of them cannot be read, or is not black and white.
    """
    notes, blank, inked = Counter[str](), 0, list[Packed]()
    for drawing in _read(sources, progress):
        fields, _ = to_fields(drawing.bits)
        marked = fields[fields.any(axis=(1, 2))]
        blank += len(fields) - len(marked)
        notes.update([drawing.note] if drawing.note else [])
        if len(marked):
            inked.append(np.packbits(marked.reshape(len(marked), -1), axis=1))
    if len(inked) < FEWEST:
        raise ConfigError(f"a data set needs at least {FEWEST} pictures that are not blank, and there are {len(inked)}")
    order, share = np.random.default_rng(0).permutation(len(inked)), len(inked) // SHARE
    chosen = {"test": order[:share], "valid": order[share : 2 * share], "train": order[2 * share :]}
    parts = {part: np.concatenate([inked[i] for i in sorted(chosen[part])]) for part in PARTS}
    return Collected(parts, blank, notes)


def _read(sources: Sequence[Source], progress: Progress) -> Iterator[Drawing]:
    count, done = sum(source.count for source in sources), 0
    for source in sources:
        for raster, lost in source.two_levels(0, source.count):
            yield drawn(raster, lost)
            done += 1
            progress(done, count)
