"""Writes golden/version2/photo.json: files of the released photo model, with what they decode to for ever.

    python tests/make_golden_photo.py > tests/golden/version2/photo.json

A photo model that is replaced before a release takes these with it: see docs/releasing.md.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys

import numpy as np
from photographs import FORMS, picture

from vlae_codec import codec, container2, registry, zoo
from vlae_codec.family import Ask, Sampling
from vlae_codec.picture.metadata import Metadata
from vlae_codec.picture.raster import Raster

ASKS = {"lossy 0": Ask(quality=0), "lossy 55": Ask(), "lossy 100": Ask(quality=100), "exact": Ask(lossless=True)}


def digest(samples: np.ndarray) -> str:
    """Of the samples' shape and values."""
    return hashlib.sha256(repr(samples.shape).encode() + np.ascontiguousarray(samples).tobytes()).hexdigest()


def main() -> None:
    model = zoo.named(zoo.PHOTO)
    cases = []
    for size in ((1, 1), (24, 40), (33, 270)):
        for form in (FORMS[0], FORMS[3]):
            raster = Raster(picture(*size, form).samples, form)
            for name, ask in ASKS.items():
                view = model.view(raster, ask)
                payload = model.encode([view], ask)[0].data
                header = container2.Header2(registry.identity_of(model.digest), view.raster.geometry)
                data = container2.write_file2(header, Metadata(), payload)
                cut = data[: 2 * len(data) // 3]
                samplings = Sampling(), Sampling(partial=True), Sampling(preview=True)
                decoded = [codec.decode([one], how)[0] for one, how in zip((data, cut, data), samplings, strict=True)]
                cases.append(
                    {
                        "name": f"{size} {form.kind.name} {name}",
                        "file": base64.b64encode(data).decode(),
                        "cut": len(cut),
                        "decoded": [digest(one.raster.samples) for one in decoded],
                    }
                )
    json.dump({"sha256": model.digest.hex(), "cases": cases}, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
