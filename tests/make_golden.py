"""Writes golden.json: files with the pictures they must decode to, and archives with their content, for ever.

    python tests/make_golden.py tests/tiny > tests/golden/tiny.json
    python tests/make_golden.py tests/tiny tests/golden/tiny.json > new.json     adds only the parts that it lacks

An encoder may improve and write other files; a file, once here, never changes what it decodes to. So this script is run
once for a model, when it is first released, and its output is not regenerated.
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

from vlae_codec import codec, container, zoo
from vlae_codec.archive import pack, unpack
from vlae_codec.archive.chunks import Settings
from vlae_codec.archive.opened import Opened
from vlae_codec.coding.bits import PrefixCode
from vlae_codec.container import Header, Kind
from vlae_codec.family import Sampling
from vlae_codec.field import latents
from vlae_codec.field.coder import FieldCoder
from vlae_codec.field.latents import Lattice
from vlae_codec.picture.drawing import Drawing, Look, demo_digits
from vlae_codec.picture.images import png_bytes, to_picture
from vlae_codec.sets.sources import gather


def main(folder: Path, old: Path | None) -> None:
    model = zoo.load(folder)
    golden = json.loads(old.read_text()) if old else {"sha256": model.digest.hex(), "cases": pictures(model)}
    golden.setdefault("archives", archives(model))
    json.dump(golden, sys.stdout, indent=1)
    sys.stdout.write("\n")


def pictures(model: FieldCoder) -> list[dict]:
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
    head += latents.write([coordinates], PrefixCode(model.octave_lengths), model.prior)
    cases.append(case("lattice", head + container.check(head), model))
    cases.append(case("seed 7", cases[1]["file"], model, seed=7))
    cases.append(case("temperature 0.5", cases[2]["file"], model, temperature=0.5))
    return cases


def case(name: str, data: bytes | str, model: FieldCoder, **options) -> dict:
    data = bytes.fromhex(data) if isinstance(data, str) else data
    return {"name": name, "file": data.hex(), **options, "picture": picture_of(data, model, **options)}


def picture_of(data: bytes, model: FieldCoder, partial=False, **options) -> dict:
    """What a file decodes to: colours, size, and the bits in hexadecimal (or their SHA-256 beyond one field)."""
    drawing = codec.decode([data], Sampling(**options), partial=partial, model=model)[0].drawing
    look = [list(drawing.look.paper), list(drawing.look.ink), drawing.look.deep]
    return {"shape": list(drawing.bits.shape), "look": look, "bits": np.packbits(drawing.bits).tobytes().hex()}


def archives(model: FieldCoder) -> list[dict]:
    """One of 20 digits for a released model; all kinds for another."""
    digits = np.stack([digit.bits for digit in demo_digits()])
    noise = np.random.default_rng(6).integers(0, 2, (28, 28), np.uint8)
    page = np.zeros((61, 40), np.uint8)
    page[3:31, 5:33] = digits[3]
    mixed = {
        "blank": Drawing(np.zeros((28, 28), np.uint8)),
        "deep/ünï": Drawing(digits[9], Look((3,), (60000,), deep=True)),
        "digit": Drawing(digits[11]),
        "noise": Drawing(noise),
        "page": Drawing(page, Look((0, 0, 255), (255, 200, 0))),
        "thin": Drawing(digits[13][:, 9:13]),
    }
    start = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name, drawing in mixed.items():
            path = Path(f"mixed/{name}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png_bytes(to_picture(drawing)))
        np.save("digits.npy", digits[:100:5])
        np.savez("small.npz", a=digits[2:9, 4:24, 4:24] * 2.5, b=np.packbits(digits[30:40].reshape(10, -1), axis=1))
        every = ["mixed", "small.npz", "digits.npy"]
        cases = [archive_case("digits", model, ["digits.npy"], Settings())]
        if model.number is None:
            cases += [
                archive_case("lossless", model, every, Settings(chunk=11)),
                archive_case("lossless, 4 samples", model, every, Settings(effort=2)),
                archive_case("lossy", model, every, Settings(lossless=False, effort=1, chunk=20)),
                archive_case("set", model, ["digits.npy"], Settings(ordered=False)),
                archive_case("set, 8 samples", model, ["digits.npy"], Settings(ordered=False, effort=3)),
            ]
        os.chdir(start)
    return cases


def archive_case(name: str, model: FieldCoder, sources: list[str], settings: Settings) -> dict:
    file = io.BytesIO()
    with gather(sources) as gathered:
        pack.pack(gathered.sources, file, model, settings)
    data = file.getvalue()
    return {"name": name, "file": base64.b64encode(data).decode(), "content": content_of(data, model)}


def content_of(data: bytes, model: FieldCoder) -> str:
    """SHA-256 of all that an archive decodes to: what its sources were; names, colours and pixels of its images."""
    opened = Opened(io.BytesIO(data))
    lines = [json.dumps([form.manifest() for form in opened.header.forms], sort_keys=True)]
    for piece in unpack.unpack(opened, model=model):
        names = [*opened.names(piece)]
        for name, picture in zip(names, piece.pictures, strict=True):
            drawing = picture.drawing
            look = [list(drawing.look.paper), list(drawing.look.ink), drawing.look.deep]
            lines.append(json.dumps([name, look, drawing.bits.shape, np.packbits(drawing.bits).tobytes().hex()]))
    assert not opened.damages
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
