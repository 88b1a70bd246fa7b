"""Golden files of the released photo model: what they decode to, whole, cut and as previews, never changes."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from make_golden_photo import digest

from vlae_codec import codec, zoo
from vlae_codec.family import Sampling

GOLDEN = json.loads((Path(__file__).parent / "golden" / "version2" / "photo.json").read_text())


def test_they_are_of_the_released_model() -> None:
    assert zoo.named(zoo.PHOTO).digest.hex() == GOLDEN["sha256"]


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_golden_files_decode_as_ever(case: dict) -> None:
    data = base64.b64decode(case["file"])
    assert digest(codec.decode([data])[0].raster.samples) == case["decoded"][0]
    cut = codec.decode([data[: case["cut"]]], Sampling(partial=True))[0]
    assert digest(cut.raster.samples) == case["decoded"][1]
    assert digest(codec.decode([data], Sampling(preview=True))[0].raster.samples) == case["decoded"][2]
