"""Writes golden/version2/archive.json: archives of version 2 of drawings and of pictures without a model.

    python tests/make_golden_archive.py > tests/golden/version2/archive.json

Photographs are left out, as long as the photo model may be replaced: see CONTRIBUTING.md. What was written once decodes to
the same for ever, and is not written anew.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from make_golden_raw import digest
from test_mixed import choice, packed, write_pictures

from vlae_codec.archive import unpack
from vlae_codec.archive.opened import Opened
from vlae_codec.picture.drawing import demo_digits
from vlae_codec.picture.metadata import write_metadata
from vlae_codec.picture.raster import write_geometry


def archives() -> dict[str, bytes]:
    """Written in the working folder."""
    every = [name for name in write_pictures("in") if name[3] in "bdehij"]
    np.save("x.npy", np.stack([digit.bits for digit in demo_digits()[40:43]]))
    return {
        "lossless": packed(choice(), *every, "x.npy")[0],
        "lossless, chunks of 2": packed(choice(), *every, "x.npy", chunk=2)[0],
        "lossy": packed(choice(lossless=False), *(name for name in every if name[3] in "bdhi"))[0],
    }


def content_of(data: bytes) -> str:
    """SHA-256 of all that an archive decodes to, in the order of its sources."""
    opened, lines = Opened(io.BytesIO(data)), dict[int, list[str]]()
    for piece in unpack.unpack(opened):
        assert piece.error is None
        for number, name, one in zip(piece.numbers, opened.names(piece), piece.pictures, strict=True):
            said, stored = b"" if one.metadata is None else write_metadata(one.metadata), one.raster.as_stored()
            lines[number] = [str(name), write_geometry(stored.geometry).hex(), digest(stored), said.hex()]
    assert not opened.damages
    return hashlib.sha256(json.dumps([lines[number] for number in sorted(lines)]).encode()).hexdigest()


if __name__ == "__main__":
    start = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        found = {name: [base64.b64encode(data).decode(), content_of(data)] for name, data in archives().items()}
        os.chdir(start)
    json.dump(found, sys.stdout, indent=1)
    sys.stdout.write("\n")
