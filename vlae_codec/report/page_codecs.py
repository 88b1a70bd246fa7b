"""What else is measured of drawings that are not single fields: our exact file as `compress` makes it, JBIG1 and JB2, and
who knows the drawing.

The two two by the command-line tools that Debian has (jbigkit-bin, djvulibre-bin), where they are installed. Every file is
decoded again.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vlae_codec import codec
from vlae_codec.choose import Chooser, chooser
from vlae_codec.errors import VlaeError
from vlae_codec.family import Ask
from vlae_codec.picture.drawing import Drawing, raster_of
from vlae_codec.picture.fields import SIDE, Bits
from vlae_codec.picture.reading import Readable

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Tool:
    """A codec as two commands, each given what it reads and what it writes."""

    name: str
    package: str
    encode: tuple[str, ...]
    decode: tuple[str, ...]


TOOLS = {
    "jbig1": Tool("JBIG1", "jbigkit-bin", ("pbmtojbg", "-q"), ("jbgtopbm",)),
    "jb2": Tool("JB2", "djvulibre-bin", ("cjb2",), ("ddjvu", "-format=pbm")),
}


def are_pages(drawings: Sequence[Drawing]) -> bool:
    """Whether any of them is not a sheet of whole fields."""
    return any(side % SIDE for drawing in drawings for side in drawing.bits.shape)


def available() -> dict[str, Tool]:
    """The tools that are installed."""
    return {key: tool for key, tool in TOOLS.items() if shutil.which(tool.encode[0]) and shutil.which(tool.decode[0])}


def unavailable() -> list[str]:
    """A line for each tool that is not."""
    return [
        f"{tool.name}: {tool.encode[0]} is not installed (Debian's {tool.package})"
        for key, tool in TOOLS.items()
        if key not in available()
    ]


def columns(drawings: Sequence[Drawing]) -> Columns:
    """Bits of each drawing's files: `kept_file_bits` ours, `jbig1_bits`, `jb2_bits`; `known_to` and `kept_by` are names.

    Raises:
        VlaeError: a file does not decode to what it was made of.
    """
    files = [kept_file(drawing) for drawing in drawings]
    found: Columns = {"kept_file_bits": np.array([8.0 * file.ledger.total_bytes for file in files])}
    for key, tool in available().items():
        found[f"{key}_bits"] = np.array([8.0 * tool_bytes(tool, drawing.bits) for drawing in drawings])
    return {
        **found,
        "known_to": np.array([known_to(drawing) for drawing in drawings]),
        "kept_by": np.array([file.ledger.model for file in files]),
    }


def kept_file(drawing: Drawing) -> codec.Encoded:
    """The exact file, by the model that suits the drawing."""
    raster, choice = raster_of(drawing), _chooser(lossless=True)
    (made,) = codec.smallest(choice, [choice.see(Readable.of_raster(raster))])
    file = codec.kept(made).encoded
    if not np.array_equal(codec.decode([file.data])[0].raster.colours(), raster.colours()):
        raise VlaeError("an exact file does not decode to what was coded: please report this")
    return file


def known_to(drawing: Drawing) -> str:
    """The model of drawings that `compress` samples it by, if nothing else is asked for; empty if it is kept exactly."""
    choice = _chooser(lossless=False)
    (ways,) = choice.settle([choice.see(Readable.of_raster(raster_of(drawing)))])
    return "" if ways[0].ask.lossless else choice.coder(ways[0].which).name


@cache
def _chooser(lossless: bool) -> Chooser:
    return chooser(Ask(lossless=lossless))


def tool_bytes(tool: Tool, bits: Bits) -> int:
    """Of the file that a tool writes of (H, W) of 0 and 1."""
    with tempfile.TemporaryDirectory() as folder:
        source, target, back = (str(Path(folder) / name) for name in ("in.pbm", "coded", "out.pbm"))
        Image.fromarray(bits == 0).save(source)
        try:
            for command in ((*tool.encode, source, target), (*tool.decode, target, back)):
                subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise VlaeError(f"{tool.name} cannot be measured: {error}") from error
        with Image.open(back) as picture:
            if not np.array_equal(np.asarray(picture) == 0, bits == 1):
                raise VlaeError(f"{tool.name} does not decode to what was coded, so nothing was measured")
        return Path(target).stat().st_size
