"""demo: what the codec makes of the pictures that ship, as files, tables and sheets."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vlae_codec import codec, zoo
from vlae_codec.family import Decoded, Sampling
from vlae_codec.picture.drawing import Drawing, demo_digits, raster_of
from vlae_codec.picture.images import png_bytes
from vlae_codec.picture.raster import Raster
from vlae_codec.picture.sheets import contact_sheet
from vlae_codec.picture.writing import write_picture

from .files import RESAMPLED, ProgressLine, Targets, say, write
from .options import FOLDER, FORCE, JSON, QUIET

if TYPE_CHECKING:
    from vlae_codec.report.drawn import Drawn
    from vlae_codec.report.photos import Shown

_SEEDS, _FIRST_DIGIT, _FIRST_PHOTO = 3, 58, 2
_DIGIT_SCALE = 5


@dataclass(frozen=True)
class _Digits:
    """Digits, their files, and what these decode to, by several seeds each."""

    digits: list[Drawing]
    files: list[codec.Encoded]
    decoded: list[list[Decoded]]


@click.command()
@click.option(
    "-o", "--output", "out", type=FOLDER, default=Path("vlae-demo"), show_default=True, help="Folder to write."
)
@FORCE
@QUIET
@JSON
def demo(out: Path, force: bool, quiet: bool, as_json: bool) -> None:
    """Compress 100 MNIST test digits, a signature, a page and three photographs: writes files, prints tables and sheets."""
    from vlae_codec.report.drawn import drawn
    from vlae_codec.report.photos import sheet, shown

    targets = [out / f"digit-{i:02}.vlz" for i in range(len(demo_digits()))]
    sheets = {name: out / f"{name}.png" for name in ("sheet", "photos", "first")}
    claims = Targets(force)
    for target in (*sheets.values(), *targets):
        claims.claim(target)
    progress = ProgressLine(quiet)
    digits, drawings, photos = _digits(progress), drawn(), shown(progress)
    for target, file in zip(targets, digits.files, strict=True):
        write(target, file.data, force)
    for one in drawings:
        write(claims.claim(out / f"{one.name}.vlz"), one.file.data, force)
    write(sheets["sheet"], _digit_sheet(digits), force)
    write(sheets["photos"], write_picture(sheet(photos), ".png").data, force)
    write(sheets["first"], write_picture(_first(digits, drawings, photos), ".png").data, force)
    if as_json:
        say(json.dumps(_report(digits, drawings, photos), indent=1))
    elif not quiet:
        _say_digits(digits, out, sheets["sheet"])
        _say_drawings(drawings, out)
        _say_photos(photos, sheets["photos"])
        say(f"{sheets['first']}: a digit, a signature and a photograph; above what goes in, below what comes out.")


def _digits(progress: ProgressLine) -> _Digits:
    digits = demo_digits()
    files = codec.encode(digits, zoo.named(zoo.DEFAULT), progress=progress)
    return _Digits(digits, files, codec.decode_samples([file.data for file in files], [*map(Sampling, range(_SEEDS))]))


def _digit_sheet(made: _Digits) -> bytes:
    rows = [[digit, *(one.drawing for one in own)] for digit, own in zip(made.digits, made.decoded, strict=True)]
    tiles = [[*itertools.chain(*rows[i : i + 5])] for i in range(0, len(rows), 5)]
    return png_bytes(contact_sheet(tiles, scale=2, group=_SEEDS + 1))


def _first(digits: _Digits, drawings: Sequence[Drawn], photos: Sequence[Shown]) -> Raster:
    from vlae_codec.report.first import side_by_side

    digit = raster_of(digits.digits[_FIRST_DIGIT]), digits.decoded[_FIRST_DIGIT][0].raster
    (signature,) = (one.picture for one in drawings if one.name == "signature")
    photo = photos[_FIRST_PHOTO].pictures
    return side_by_side([digit, (signature, signature), (photo[0], photo[2])], [_DIGIT_SCALE, 1, 1])


def _report(digits: _Digits, drawings: Sequence[Drawn], photos: Sequence[Shown]) -> dict[str, Any]:
    """All sizes in bytes; and of which models."""
    digit = digits.digits[_FIRST_DIGIT]
    (exact,) = codec.encode([digit], zoo.named(zoo.DEFAULT), lossless=True)
    return {
        "sha256": {name: zoo.named(name).digest.hex() for name in (zoo.DEFAULT, zoo.INK, zoo.PHOTO)},
        "digits": {"images": len(digits.files), "bytes": sum(len(file.data) for file in digits.files)},
        "digit": {
            "png_bytes": len(write_picture(raster_of(digit), ".png").data),
            "lossy_bytes": len(digits.files[_FIRST_DIGIT].data),
            "exact_bytes": len(exact.data),
        },
        "drawings": [
            {
                "name": one.name,
                "width": one.file.ledger.width,
                "height": one.file.ledger.height,
                "bytes": len(one.file.data),
                **{f"{name}_bytes": size for name, size in one.others.items()},
            }
            for one in drawings
        ],
        "first_photo": photos[_FIRST_PHOTO].name,
        "photos": [
            {
                "name": one.name,
                "width": one.exact.ledger.width,
                "height": one.exact.ledger.height,
                "png_bytes": len(write_picture(one.pictures[0], ".png").data),
                "preview_bytes": one.preview_bytes,
                "lossy_bytes": len(one.lossy.data),
                "psnr_db": one.lossy.ledger.psnr_db,
                "exact_bytes": len(one.exact.data),
            }
            for one in photos
        ],
    }


def _say_digits(made: _Digits, out: Path, sheet: Path) -> None:
    ledgers = [file.ledger for file in made.files]
    say("image   KL bits  coded bits  container bytes  file bytes  bits/pixel  pixels differ")
    for name, rows in [(f"{i:5}", ledgers[i : i + 1]) for i in range(0, 100, 10)] + [(" mean", ledgers)]:
        values = [sum(getattr(ledger, key) for ledger in rows) / len(rows) for key in _COLUMNS]
        say("{}  {:8.1f}  {:10.1f}  {:15.1f}  {:10.1f}  {:10.3f}  {:13.1f}".format(name, *values))
    say(
        f"wrote {len(ledgers)} files of {sum(one.total_bytes for one in ledgers)} bytes in all into {out}, and {sheet}:"
    )
    say(f"in each group of four the original, then three decompressions with other seeds. Lossy: {RESAMPLED}.")


_COLUMNS = ("kl_bits", "coded_bits", "container_bytes", "total_bytes", "bits_per_pixel", "differing_pixels")


def _say_drawings(drawings: Sequence[Drawn], out: Path) -> None:
    names = [*drawings[0].others]
    say("\ndrawing    pixels   exact bytes" + "".join(f"{name + ' bytes':>12}" for name in names))
    for one in drawings:
        others = "".join(f"{one.others[name]:12}" for name in names)
        say(f"{one.name:10} {one.file.ledger.width}x{one.file.ledger.height}  {len(one.file.data):11}{others}")
    say(f"in {out}, kept exactly, since the lossy models were trained on single drawings.")


def _say_photos(photos: Sequence[Shown], sheet: Path) -> None:
    say("\nphoto      pixels   preview bytes  lossy bytes  PSNR dB  exact bytes  bits/dim")
    for row in photos:
        ledger = row.exact.ledger
        say(
            f"{row.name:10} {ledger.width}x{ledger.height}  {row.preview_bytes:13}  {len(row.lossy.data):11}  "
            f"{row.lossy.ledger.psnr_db:7.2f}  {len(row.exact.data):11}  {ledger.bits_per_pixel / 3:8.3f}"
        )
    say(f"{sheet}: the original, what the first bytes of its exact file show, its lossy file, and its exact file.")


COMMANDS = (demo,)
