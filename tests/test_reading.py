"""Pictures as strangers have them: what is read is what the file says, or it is refused.

`python tests/test_reading.py` writes the table of docs/reading.md anew, which a test compares.
"""

from __future__ import annotations

import io
import re
import struct
import sys
import zlib
from collections import defaultdict
from pathlib import Path

import numpy as np
import picture_files as made
import PIL
import pytest
from PIL import Image
from rasters import of_colours

from vlae_codec.choose import chooser
from vlae_codec.errors import ImageError
from vlae_codec.family import Ask
from vlae_codec.picture import writing
from vlae_codec.picture.images import read_drawing
from vlae_codec.picture.opening import clear_errors
from vlae_codec.picture.reading import Readable

DOCUMENT = Path(__file__).parent.parent / "docs" / "reading.md"
FILES = {file.title: file for file in made.every_file()}
_FAMILY = re.compile("gray and alpha|gray|palette|planes of a palette|RGBA|RGB|CMYK|YCbCr|LAB|float|")


def as_read(drawing):
    """Colours (H, W, C), as of `PictureFile.truth`."""
    look = drawing.look
    return np.array([look.paper, look.ink], np.uint16 if look.deep else np.uint8)[drawing.bits]


def same_colours(one, other):
    return one.dtype == other.dtype and np.array_equal(in_colours(one), in_colours(other))


def in_colours(colours):
    """(H, W, 4), or deep grays as they are."""
    if colours.dtype != np.uint8:
        return colours
    channels = colours.shape[2]
    rgb = np.repeat(colours[..., :1], 3, axis=2) if channels == 1 else colours[..., :3]
    alpha = colours[..., 3:] if channels == 4 else np.full_like(rgb[..., :1], 255)
    return np.concatenate([rgb, alpha], axis=2)


@pytest.mark.parametrize("title", FILES)
def test_lossless_reads_what_the_file_says_or_refuses_it(title):
    file = FILES[title]
    try:
        found = read_drawing(file.data, exact=True)
    except ImageError:
        return
    assert found.note is None
    assert same_colours(as_read(found), file.truth)


@pytest.mark.parametrize("title", FILES)
def test_lossy_never_takes_dark_for_light(title):
    file = FILES[title]
    light = made.luminance_of(file.truth)
    try:
        found = read_drawing(file.data)
    except ImageError:
        return
    levels = made.luminance_of(as_read(found))
    if found.bits.any():  # else 8 bits do not tell the two apart
        assert np.array_equal(levels == levels.max(), light == light.max())


def test_all_formats_that_lossless_trusts_are_among_the_files():
    from vlae_codec.picture.opening import WHOLE

    own = {"PBM": "PPM", "PGM": "PPM"}
    assert WHOLE - {own.get(file.format, file.format) for file in FILES.values()} == {"DIB", "JPEG", "MPO", "WEBP"}


# Short data


def cuts(data):
    """The file cut short, in some hundred places."""
    return [data[:at] for at in range(0, len(data), 1 + len(data) // 200)]


CHECKED = [
    title for title in FILES if title.startswith(("PNG", "PBM", "PGM", "PPM", "PCX", "TIFF, 16", "GIF", "BMP, 8"))
]


@pytest.mark.parametrize("title", CHECKED[::3])
def test_a_picture_that_is_cut_short_is_refused_or_whole(title):
    file = FILES[title]
    for data in cuts(file.data):
        try:
            found = read_drawing(data, exact=True)
        except ImageError:
            continue
        assert same_colours(as_read(found), file.truth)


@pytest.mark.parametrize("title", [title for title in FILES if title.startswith("PNG")][::5])
def test_a_png_with_any_byte_changed_is_refused_or_the_same(title):
    file = FILES[title]
    for at in range(len(file.data)):
        data = bytearray(file.data)
        data[at] ^= 0x10
        try:
            found = read_drawing(bytes(data), exact=True)
        except ImageError:
            continue
        assert same_colours(as_read(found), file.truth)


def test_a_png_whose_rows_end_early_is_refused_though_its_checks_hold():
    rows = [bytes([255] * made.WIDTH)] * (made.HEIGHT // 2)
    for exact in (False, True):
        with pytest.raises(ImageError, match="rows end early"):
            read_drawing(made.png(8, 0, rows), exact=exact)


@pytest.mark.parametrize("depth", [1, 8])
@pytest.mark.parametrize("clear", [b"", made.png_chunk(b"tRNS", b"\0\xff")], ids=["opaque", "transparent"])
def test_a_png_without_its_palette_is_refused(depth, clear, run, tmp_path):
    data = made.png(depth, 3, [bytes(-(-made.WIDTH * depth // 8))] * made.HEIGHT, extra=clear)
    (tmp_path / "b.png").write_bytes(data)
    Image.new("1", (9, 9)).save(tmp_path / "a.png")
    Image.new("1", (9, 9)).save(tmp_path / "c.png")
    for options in ["--lossless"], []:
        done = run("compress", "a.png", "b.png", "c.png", "-f", *options, expect=1)
        assert "Error: b.png is a damaged image: it has no palette" in done.stderr
        assert {path.name for path in tmp_path.glob("*.vlz")} == {"a.vlz", "c.vlz"}
    palette = made.png_chunk(b"PLTE", bytes(6))
    end = made.png_chunk(b"IEND", b"")
    late = data.replace(end, palette + end)
    for bad in (data, late, data.replace(palette, made.png_chunk(b"PLTE", b""))):
        with pytest.raises(ImageError, match="no palette"):
            read_drawing(bad)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the input is empty"),
        (b"P6\n40000 40000\n255\n", "the input cannot be coded: at least 1x1, at most 2^28 pixels"),
    ],
    ids=["empty", "large"],
)
def test_what_is_wrong_is_said_in_words(data, said):
    with pytest.raises(ImageError, match=f"^{re.escape(said)}"):
        read_drawing(data)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError(b"Invalid token for this mode: 2"), "Invalid token for this mode: 2"),
        (OSError("decoder error -2"), "its pixels cannot be decoded"),
        (OSError("image file is truncated (0 bytes not processed)"), "its pixels cannot be decoded"),
        (OSError("image file is truncated (7 bytes not processed)"), "image file is truncated (7 bytes not processed)"),
        (KeyError(), "KeyError"),
    ],
    ids=str,
)
def test_what_pillow_finds_wrong_is_said_in_words(error, said):
    with pytest.raises(ImageError, match=f"^it is a damaged image: {re.escape(said)}$"), clear_errors("it"):
        raise error


def test_a_strip_of_a_tiff_that_is_too_short_is_refused():
    tags = {258: (3, [8]), 262: (3, [1]), 277: (3, [1])}
    data = made.tiff(tags, bytes(made.WIDTH * made.HEIGHT // 2))
    with pytest.raises(ImageError, match="strips ends early"):
        read_drawing(data)


# What is whole though something else is odd


def chunk(kind, data):
    return made.png_chunk(kind, data)


ROWS = made._rows((made._indices() * 255).tobytes())
ODD = {
    "EXIF that is no TIFF": chunk(b"eXIf", b"\0\x08\0\2\1\x12\0\3"),
    "2 MB of text": chunk(b"zTXt", b"k\0\0" + zlib.compress(b"a" * (2 << 20))),
    "2 MB of profile": chunk(b"iCCP", b"i\0\0" + zlib.compress(bytes(2 << 20))),
    "a profile that cannot be inflated": chunk(b"iCCP", b"i\0\0nonsense"),
    "metadata whose check fails": chunk(b"tEXt", b"k\0v")[:-1] + b"?",
    "a size in metres of nothing": chunk(b"pHYs", b""),
}


@pytest.mark.parametrize("odd", ODD)
def test_pixels_are_read_whatever_the_metadata_are(odd):
    found = read_drawing(made.png(8, 0, ROWS, ODD[odd]), exact=True)
    assert np.array_equal(as_read(found)[..., 0], made._indices() * 255)


def exif(orientation, rational=()):
    """EXIF that says how a picture is turned, and a resolution that is no number."""
    rows = struct.pack("<HHII", 0x112, 3, 1, orientation)
    rows += struct.pack("<HHII", 0x11A, 10, 1, 38) if rational else b""
    return (
        b"II*\0\x08\0\0\0"
        + struct.pack("<H", len(rows) // 12)
        + rows
        + bytes(4)
        + struct.pack("<ii", *rational or (1, 1))
    )


TURNS = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).T,
    8: np.rot90,
    9: lambda a: a,
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("rational", [(), (-1, 0)])
def test_a_picture_is_turned_as_its_exif_says(turn, rational):
    found = read_drawing(made.png(8, 0, ROWS, chunk(b"eXIf", exif(turn, rational))), exact=True)
    assert np.array_equal(as_read(found)[..., 0], TURNS[turn](made._indices() * 255))


# Several images


def test_files_of_several_images_are_refused_unless_one_is_chosen():
    indices = made._indices()
    pbm = f"P4\n{made.WIDTH} {made.HEIGHT}\n".encode() + made._packed(indices, 1)
    pgm = f"P5\n{made.WIDTH} {made.HEIGHT}\n255\n".encode() + indices.tobytes()
    icons, ico = [Image.fromarray(indices * np.uint8(255)).resize((n, n)) for n in (16, 32)], io.BytesIO()
    icons[1].save(ico, "ICO", sizes=[(16, 16), (32, 32)])
    for data in (pbm + pbm, pgm + pgm, ico.getvalue(), frames("GIF"), frames("TIFF"), frames("PNG"), frames("WEBP")):
        with pytest.raises(ImageError, match=r"images|frames"):
            read_drawing(data)
    read_drawing(pbm + b"\n")


def frames(kind):
    """Three pictures in one file: the shape, its negative, and its first half."""
    pictures = [Image.fromarray(page) for page in pages()]
    out = io.BytesIO()
    options = {"lossless": True} if kind == "WEBP" else {}
    pictures[0].save(out, kind, save_all=True, append_images=pictures[1:], **options)
    return out.getvalue()


def pages():
    shape = made._indices() * np.uint8(255)
    return [shape, 255 - shape, shape * (np.arange(made.WIDTH) < made.WIDTH // 2).astype(np.uint8)]


@pytest.mark.parametrize("kind", ["GIF", "TIFF"])
def test_one_page_of_several_can_be_chosen(kind):
    for number, page in enumerate(pages(), 1):
        assert np.array_equal(as_read(read_drawing(frames(kind), exact=True, page=number))[..., 0], page)
    for number in (0, 4, -1):
        with pytest.raises(ImageError, match="has 3 pages, and no page"):
            read_drawing(frames(kind), page=number)


def test_of_a_phones_picture_with_a_preview_the_first_is_read_with_a_note():
    out, flat = io.BytesIO(), Image.new("L", (16, 16), 128)
    flat.save(out, "MPO", save_all=True, append_images=[flat.resize((8, 8))])
    found = read_drawing(out.getvalue())
    assert found.bits.shape == (16, 16)
    assert "the first of 2 frames" in found.note


# Notes


def test_the_note_of_what_is_binarised_says_that_colours_and_transparency_are_gone():
    colours = np.array([[10, 0, 0], [0, 250, 0], [240, 240, 240]], np.uint8)
    shown = colours[made._indices() + (np.arange(made.WIDTH) == 3)]
    clear = np.concatenate([shown, np.where(shown[..., :1] == 10, 0, 255).astype(np.uint8)], axis=2)
    gray = np.array([3, 200, 255], np.uint8)[made._indices() + (np.arange(made.WIDTH) == 3)]
    for pixels, lost in (
        (gray, ""),
        (shown, ", without its colours"),
        (clear, ", without its colours and its transparency"),
    ):
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG")
        note = read_drawing(out.getvalue(), threshold=100).note
        assert note == "binarised at gray level 100" + lost


# The table


def result(file, exact):
    """What becomes of a file that `compress` is given, with --lossless or without."""
    try:
        seen = chooser(Ask(lossless=exact)).see(Readable.of_file(file.data, "it", exact=exact))
    except ImageError:
        return "refused"
    if exact:
        kept = seen.ways[0].view.raster if seen.reading is None else seen.reading.raster
        assert writing.same_colours(kept, of_colours(file.truth)), file.title
        return "exact"
    notes = [*(seen.reading.notes if seen.reading is not None else ()), *(way.note or "" for way in seen.ways[:1])]
    told = [short for said, short in _TOLD.items() if any(said in note for note in notes)]
    return told[0] if told else "read"


_TOLD = {"16 bits a sample": "read as 8 bits", "colours were converted": "read as RGB"}
"""What notes say, and what the table does."""


def table():
    """Rows of format, depth and kind of colour: how lossless reads it, and how lossy does."""
    groups = defaultdict(list)
    for file in (*FILES.values(), *made.of_many_colours()):
        family = _FAMILY.match(file.kind)[0] or "all"
        groups[file.format, file.depth, family].append((file, result(file, True), result(file, False)))
    rows = ["| format | bits, or levels | colour | lossless | lossy |", "|---|---|---|---|---|"]
    formats = [kind for kind, _, _ in groups]
    for (kind, depth, family), found in sorted(groups.items(), key=lambda group: formats.index(group[0][0])):
        cells = [_cell([(file, one[at]) for file, *one in found]) for at in (0, 1)]
        rows.append(f"| {kind} | {depth} | {family} | {cells[0]} | {cells[1]} |")
    return "\n".join(rows)


def _cell(found):
    results = defaultdict(list)
    for file, one in found:
        results[one].append(file.kind)
    common = max(results, key=lambda one: len(results[one]))
    others = [f"{one}: {'; '.join(kinds)}" for one, kinds in results.items() if one != common]
    return ". ".join([common, *others])


@pytest.mark.skipif(int(PIL.__version__.partition(".")[0]) < 12, reason="older versions of Pillow refuse more")
def test_the_documents_table_says_how_files_are_read():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text[text.index("| format") :].strip() == table()


if __name__ == "__main__":
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(text[: text.index("| format")] + table() + "\n", encoding="utf-8")
    sys.exit()
