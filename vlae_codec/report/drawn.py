"""The drawings in two colours that ship, for the demo: a signature and a cut of a page, as `compress` keeps them.

Both are of this project's own making, by `benchmarks/demo_drawings.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vlae_codec import codec
from vlae_codec.choose import chooser
from vlae_codec.family import Ask
from vlae_codec.picture.raster import Raster
from vlae_codec.picture.reading import Readable

from .baselines import image_codecs

_OTHERS = "png", "g4", "webp"


@dataclass(frozen=True)
class Drawn:
    """One drawing: its file, what that decodes to, and the bytes of other codecs' files by name."""

    name: str
    file: codec.Encoded
    picture: Raster
    others: Mapping[str, int]


def drawn() -> list[Drawn]:
    """All of them, coded and decoded again, in the order of their names."""
    folder, choice = Path(__file__).parent.parent / "pictures", chooser(Ask())
    paths = sorted(folder.glob("*.png"))
    seen = [choice.see(Readable.of_file(path.read_bytes(), path.name)) for path in paths]
    files = [codec.kept(one).encoded for one in codec.smallest(choice, seen)]
    found = []
    for path, file, decoded in zip(paths, files, codec.decode([file.data for file in files]), strict=True):
        drawing = decoded.drawing
        others = {one.key: len(one.encode(drawing)) for one in image_codecs() if one.key in _OTHERS}
        found.append(Drawn(path.stem, file, decoded.raster, others))
    return found
