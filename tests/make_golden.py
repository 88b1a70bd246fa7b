"""Writes golden.json: files with the pictures they must decode to, for ever.

    python tests/make_golden.py tests/tiny > tests/golden/tiny.json

An encoder may improve and write other files; a file, once here, never changes what it decodes to. So this script is run
once for a model, when it is first released, and its output is not regenerated.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from vlae_codec import codec, container, latents
from vlae_codec import model as models
from vlae_codec.container import Header, Kind
from vlae_codec.latents import Lattice
from vlae_codec.pixels import Drawing, Look, demo_digits
from vlae_codec.texture import Sampling


def main(folder: Path) -> None:
    model = models.load(folder)
    digits = demo_digits()
    rng = np.random.default_rng(5)
    page = np.zeros((70, 61), np.uint8)
    page[3:31, 5:33], page[35:63, 30:58] = digits[3].bits, digits[42].bits
    noise = Drawing(rng.integers(0, 2, (28, 28), np.uint8))
    drawings = {
        **{f"digit {i}": digits[i] for i in range(0, 100, 7)},
        "blank": Drawing(np.zeros((28, 28), np.uint8)),
        "one pixel": Drawing(np.ones((1, 1), np.uint8)),
        "page": Drawing(page, Look((255,), (0,))),
        "thin": Drawing(rng.integers(0, 2, (2, 200), np.uint8), Look((0, 0, 255), (255, 200, 0))),
        "deep": Drawing(digits[9].bits, Look((3,), (60000,), deep=True)),
        "transparent": Drawing(digits[8].bits, Look((0, 0, 0, 0), (9, 8, 7, 255))),
        "noise": noise,
    }
    cases = []
    for lossless in (False, True):
        files = codec.encode([*drawings.values()], model, lossless=lossless, effort=1)
        for name, encoded in zip(drawings, files, strict=True):
            kind = codec.inspect(encoded.data, model)["kind"]
            cases.append(case(f"{name}, {kind}", encoded.data, model))
            if kind == "lossless" and name in ("digit 7", "page"):
                cut = encoded.data[: -len(encoded.data) // 3]
                cases.append(case(f"{name}, cut", cut, model, partial=True))
    head = Header(Kind.LOSSY, model.identity).write()
    coordinates = Lattice(tuple(range(-2, model.prior.latents - 2)))
    head += latents.write([coordinates], latents.PrefixCode(model.octave_lengths), model.prior)
    cases.append(case("lattice", head + container.check(head), model))
    cases.append(case("seed 7", cases[1]["file"], model, seed=7))
    cases.append(case("temperature 0.5", cases[2]["file"], model, temperature=0.5))
    json.dump({"sha256": model.digest.hex(), "cases": cases}, sys.stdout, indent=1)
    sys.stdout.write("\n")


def case(name: str, data: bytes | str, model: models.Model, **options) -> dict:
    data = bytes.fromhex(data) if isinstance(data, str) else data
    return {"name": name, "file": data.hex(), **options, "picture": picture_of(data, model, **options)}


def picture_of(data: bytes, model: models.Model, partial=False, **options) -> dict:
    """What a file decodes to: colours, size, and the bits in hexadecimal (or their SHA-256 beyond one field)."""
    drawing = codec.decode([data], Sampling(**options), partial=partial, model=model)[0].drawing
    look = [list(drawing.look.paper), list(drawing.look.ink), drawing.look.deep]
    return {"shape": list(drawing.bits.shape), "look": look, "bits": np.packbits(drawing.bits).tobytes().hex()}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
