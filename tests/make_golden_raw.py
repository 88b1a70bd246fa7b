"""Writes golden/version2/raw.json: files of raw, one for each way and form, with the pixels they decode to for ever.

    python tests/make_golden_raw.py > tests/golden/version2/raw.json

Libraries may improve and encoders write other files; these never change what they decode to, and are not written anew.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys

from rasters import FORMATS, raster

from vlae_codec.container2 import NO_MODEL, Header2, write_file2
from vlae_codec.picture.metadata import Metadata, Resolution
from vlae_codec.raw.codec import WAYS, _checked
from vlae_codec.raw.forms import forms


def cases():
    """Name, file and raster of each."""
    for name, form in FORMATS.items():
        picture = raster(form, 6, 13)
        for shape in forms(picture):
            for coder, way in WAYS.items():
                stream = min(way.encode(shape.values, shape.shape, 5), key=len, default=None)
                if stream is not None:
                    payload = _checked(coder, shape.less, shape.table + stream)
                    said = Metadata(icc=bytes(50), resolution=Resolution(2835, 2835)) if coder % 2 else Metadata()
                    file = write_file2(Header2(NO_MODEL, picture.geometry), said, payload)
                    yield f"{name}, {coder.name}, {int(shape.less):02x}", file, picture


def digest(picture):
    """Of shape, type and samples, big-endian."""
    samples = picture.samples
    head = f"{samples.shape} {samples.dtype} ".encode()
    return hashlib.sha256(head + samples.astype(samples.dtype.newbyteorder(">")).tobytes()).hexdigest()


if __name__ == "__main__":
    found = {name: [base64.b64encode(file).decode(), digest(picture)] for name, file, picture in cases()}
    json.dump(found, sys.stdout, indent=1)
    sys.stdout.write("\n")
