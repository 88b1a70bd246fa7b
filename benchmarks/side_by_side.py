"""Photographs at one size, side by side: the original, AVIF, the decoder's mean, and the picture with its drawn texture.

    python benchmarks/side_by_side.py --data DIR

DIR has the 24 Kodak pictures, 01.png to 24.png. Whole pictures are coded at `--bpp`, all bytes counted; AVIF (as Pillow
writes it, speed 4) has the lowest quality of which the file is at least as long. What is shown is one crop of each,
unscaled, in docs/texture.png.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from photo_ours import AT_DEFAULT, AT_ZERO, PhotoModel
from PIL import Image
from realism import Samples, as_long

from vlae_codec import zoo
from vlae_codec.family import Ask
from vlae_codec.report.photo_codecs import LOSSY

SHOWN = {"05": (150, 200), "08": (250, 150), "13": (200, 250)}
"""Of each picture, left and top of what is shown."""
WIDTH, HEIGHT = 200, 128


@click.command()
@click.option(
    "--data", "folder", type=click.Path(path_type=Path, exists=True), required=True, help="The Kodak pictures."
)
@click.option("--bpp", default=0.2, show_default=True, help="Bits a pixel, at most.")
@click.option("--out", type=click.Path(path_type=Path), default=Path(__file__).parent.parent / "docs" / "texture.png")
def main(folder: Path, bpp: float, out: Path) -> None:
    """Codes, crops, and writes one picture."""
    model, avif = PhotoModel.named(zoo.PHOTO), next(one for one in LOSSY if one.key == "avif")
    rows = []
    for name, (left, top) in SHOWN.items():
        picture = np.asarray(Image.open(folder / f"{name}.png").convert("RGB"))
        data, _ = model.encode(picture, Ask(bpp=bpp))
        other = as_long(avif, picture, len(data))
        textured, mean = model.decode(data, [AT_DEFAULT, AT_ZERO])
        click.echo(f"{name}: {len(data)} bytes, AVIF {len(other)}", err=True)
        seen = [picture, avif.decode(other), mean, textured]
        rows.append(np.concatenate([crop(one, left, top) for one in seen], 1))
    Image.fromarray(np.concatenate(rows)).save(out, optimize=True)


def crop(picture: Samples, left: int, top: int) -> Samples:
    """What is shown of it."""
    return picture[top : top + HEIGHT, left : left + WIDTH]


if __name__ == "__main__":
    main()
