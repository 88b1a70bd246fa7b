"""Kinds of drawings in a measurement, and what each codec's exact files of a kind take.

A kind is what can be told of a drawing without a look at what it shows: the folder that it came from; of pages, and other
drawings that are not fields, also whether the lossy models know it, and which model its exact file has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Columns = Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class DrawingKind:
    """folder: with a / between its parts; empty of what lies in none. known_to: the model of drawings that `compress`
    samples it by, empty if it keeps it exactly. kept_by: the model of its exact file, empty if none; both None if not asked.
    """

    folder: str
    known_to: str | None = None
    kept_by: str | None = None

    @property
    def told(self) -> str:
        """For people."""
        if self.known_to is None:
            return "all"
        exactly = self.kept_by or "no model"
        return f"sampled by {self.known_to}; exactly, {exactly}" if self.known_to else f"kept exactly, {exactly}"


@dataclass(frozen=True)
class OfKind:
    """So many images and pixels of a kind, and the bytes of all their files, by codec: ours is `vlae`."""

    kind: DrawingKind
    images: int
    pixels: int
    bytes: Mapping[str, int]

    @property
    def smallest(self) -> str | None:
        """The codec, other than ours, that takes the least; None if no other was measured."""
        others = [codec for codec in self.bytes if codec != OURS]
        return min(others, key=self.bytes.__getitem__, default=None)

    @property
    def excess(self) -> float | None:
        """By what share of that ours are more; below 0 if they are less."""
        best = self.smallest
        return None if best is None or OURS not in self.bytes else self.bytes[OURS] / self.bytes[best] - 1

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON; of what was not asked nothing."""
        asked = {"known_to": self.kind.known_to, "kept_by": self.kind.kept_by}
        return {
            "folder": self.kind.folder,
            **{key: name or None for key, name in asked.items() if name is not None},
            "images": self.images,
            "pixels": self.pixels,
            "bytes": dict(self.bytes),
            "smallest_other": self.smallest,
        }


OURS = "vlae"
_OURS = "kept_file_bits", "lossless_file_bits"
"""The column of our exact files: the first that was measured."""
_NO_CODECS = ("raw_bits",)


def kinds_of(
    names: Sequence[str], known_to: Sequence[str] | None = None, kept_by: Sequence[str] | None = None
) -> list[DrawingKind]:
    """The kind of each image, by its name and, if that was asked, by who knows it and who keeps it."""
    folders = [name.rpartition("/")[0] for name in names]
    if known_to is None or kept_by is None:
        return [DrawingKind(folder) for folder in folders]
    return [DrawingKind(*of) for of in zip(folders, map(str, known_to), map(str, kept_by), strict=True)]


def by_kind(kinds: Sequence[DrawingKind], pixels: Sequence[int], columns: Columns) -> list[OfKind]:
    """What the files of each kind take, in the order of folders; `columns` are of all images: other codecs' and ours."""
    codecs = {key.removesuffix("_bits"): column for key, column in columns.items() if _is_codec(key)}
    if ours := next((key for key in _OURS if key in columns), None):
        codecs = {OURS: columns[ours], **codecs}
    found = []
    for kind in _in_order(kinds):
        own = np.array([one == kind for one in kinds])
        sizes = {codec: round(float(column[own].sum()) / 8) for codec, column in codecs.items()}
        found.append(OfKind(kind, int(own.sum()), int(np.array(pixels)[own].sum()), sizes))
    return found


def together(parts: Sequence[Sequence[OfKind]]) -> list[OfKind]:
    """The same kinds of several measurements of different images, added up."""
    every = [one for part in parts for one in part]
    found = []
    for kind in _in_order([one.kind for one in every]):
        same = [one for one in every if one.kind == kind]
        sizes = {codec: sum(one.bytes[codec] for one in same) for codec in same[0].bytes}
        found.append(OfKind(kind, sum(one.images for one in same), sum(one.pixels for one in same), sizes))
    return found


def _in_order(kinds: Sequence[DrawingKind]) -> list[DrawingKind]:
    return sorted({*kinds}, key=lambda one: (one.folder, one.known_to or "", one.kept_by or ""))


def _is_codec(key: str) -> bool:
    return key.endswith("_bits") and not key.endswith("_payload_bits") and key not in (*_OURS, *_NO_CODECS)
