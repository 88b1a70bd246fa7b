"""What a picture is for whom: what models know is sampled, what nobody knows is kept exactly, and nothing without a word."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import synthetic
from conftest import HERE
from PIL import Image

import vlae_codec
from vlae_codec import codec, registry, zoo
from vlae_codec.choose import Chooser, chooser
from vlae_codec.family import Ask, Judging
from vlae_codec.field.likeness import SUBJECTS, likeness
from vlae_codec.field.shapes import corners, edges, euler, extents, solid
from vlae_codec.field.strokes import COUNTED, counted
from vlae_codec.picture.drawing import Drawing, raster_of
from vlae_codec.picture.reading import Readable

RNG = np.random.default_rng(3)


@pytest.fixture
def foreign(monkeypatch):
    """Drawings of 28x28, or of several such fields, that no model knows: some of each kind of the benchmark's held part."""
    monkeypatch.syspath_prepend(HERE.parent / "benchmarks")
    import drawings_corpus

    monkeypatch.setattr(drawings_corpus, "PER_KIND", 6)
    found = drawings_corpus.corpus("held")
    return [one for one in found if one.bits.shape[0] % 28 == 0 and one.bits.shape[1] % 28 == 0]


@pytest.fixture
def symbols(monkeypatch):
    """Arrows, signs of mathematics and pictographs at 28x28, of a face that nothing was fitted to."""
    monkeypatch.syspath_prepend(HERE.parent / "benchmarks")
    import drawings_found

    (face,) = (one for one in drawings_found.SOURCES["held"] if one.name == "STIX")
    return [*drawings_found.drawings(face, 80, 2, drawings_found.INSTALLED, ((28, 28),))]


def signature():
    """A stroke across 300x120 pixels, as a scanner gives it."""
    x = np.linspace(0, 1, 2000)
    y = 60 + 40 * np.sin(17 * x) * np.cos(5 * x)
    bits = np.zeros((120, 300), np.uint8)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        bits[y.astype(int) + dy, (10 + 270 * x).astype(int) + dx] = 1
    return bits


def ways(bits, **ask):
    """The ways that are left to code drawings."""
    choice = chooser(Ask(**ask))
    rasters = [raster_of(Drawing(one)) for one in bits]
    return choice, choice.settle([choice.see(Readable.of_raster(one)) for one in rasters])


def test_digits_are_taken_by_the_model_of_digits(fields):
    choice, found = ways(fields)
    taken = [choice.coder(first.which).name for first, *_ in found if not first.ask.lossless]
    assert taken.count("mnist-dynamic") >= 98
    sheet = np.block([[fields[10 * row + column] for column in range(5)] for row in range(4)])
    choice, ((first, *_),) = ways([sheet])
    assert choice.coder(first.which).name == "mnist-dynamic"
    assert first.known


def test_foreign_drawings_are_kept_exactly(foreign):
    _, found = ways([one.bits for one in foreign])
    kinds = [one.kind for one, (first, *_) in zip(foreign, found, strict=True) if not first.ask.lossless]
    assert len(foreign) > 60
    assert len(kinds) <= 1, kinds
    assert all(first.why for first, *_ in found if first.ask.lossless)


def test_most_symbols_of_a_face_are_kept_exactly(symbols):
    """Plain ones are as a hand draws characters: docs/drawings.md says how many."""
    _, found = ways(symbols)
    taken = [place for place, (first, *_) in enumerate(found) if not first.ask.lossless]
    assert len(symbols) == 80
    assert len(taken) <= 15, taken


def test_an_envelope_is_kept_exactly(run):
    """An icon whose lossy file was another picture, of 7 bytes, without a word."""
    bits = np.zeros((28, 28), bool)
    bits[6:22, 2:26] = True
    bits[8:20, 4:24] = False
    for step in range(10):
        bits[8 + step : 10 + step, [4 + step, 23 - step]] = True
    Image.fromarray(~bits).save("envelope.png")
    assert "kept exactly" in run("compress", "envelope.png").stderr
    run("decompress", "envelope.vlz", "-o", "back.png")
    assert np.array_equal(np.asarray(Image.open("back.png")), ~bits)


@pytest.mark.parametrize("lossless", [False, True])
def test_a_page_goes_to_the_same_ways_whether_models_of_drawings_are_asked_or_not(lossless, monkeypatch):
    """They would not know it, and do not code it: with more fields than they take, not all whole, none is even loaded."""
    page = np.zeros((1792, 1794), np.uint8)
    page[3:200, 4:70] = RNG.integers(0, 2, (197, 66))
    asked = []
    monkeypatch.setattr(Chooser, "_judged", lambda self, views: asked.append(len(views)) or judged(self, views))
    _, (short,) = ways([page], lossless=lossless)
    monkeypatch.setattr(Chooser, "_is_page", lambda self, seen: False)
    _, (long,) = ways([page], lossless=lossless)
    assert asked == [0, 1]
    assert [(one.which, one.ask, one.why, one.note, one.known) for one in short] == [
        (one.which, one.ask, one.why, one.note, one.known) for one in long
    ]
    assert len(short) == 2


judged = Chooser._judged


def test_an_icon_across_many_fields_is_for_no_model_of_single_drawings_and_cut_sheets_are(fields, monkeypatch):
    """The models are not even loaded for it; a sheet of digits without its first column may still cost them less."""
    asked = []
    monkeypatch.setattr(Chooser, "_judged", lambda self, views: asked.append(len(views)) or judged(self, views))
    rows, columns = np.indices((200, 200)) - 99
    icon = (np.hypot(rows, columns) < 90).astype(np.uint8)
    for drawn in (icon, 1 - icon):
        choice, (found,) = ways([drawn], lossless=True)
        assert not any(isinstance(choice.coder(way.which), Judging) for way in found)
    sheet = np.concatenate([np.concatenate(fields[4 * row : 4 * row + 4], axis=1) for row in range(4)])
    for cut in (sheet[:, 1:], 1 - sheet[:, 1:]):
        choice, (found,) = ways([cut], lossless=True)
        assert any(isinstance(choice.coder(way.which), Judging) for way in found)
    assert asked == [0, 0, 1, 1]


@pytest.mark.parametrize("side", [700, 1008, 1512])
def test_noise_is_not_given_to_models_of_single_drawings(side):
    """It would cost more than a file of bare pixels; of the few fields that speak for it, those at its border are small."""
    choice, (found,) = ways([RNG.integers(0, 2, (side, side), np.uint8)])
    (drawn,) = (way for way in found if isinstance(choice.coder(way.which), Judging))
    assert choice.hoped_bits(drawn) > 1.05 * side * side


def test_what_was_measured_is_as_was_promised():
    """By `benchmarks/drawings.py`: of 1,000 images of each kind and of the foreign drawings that were only measured."""
    found = json.loads((HERE.parent / "results" / "drawings.json").read_text(encoding="utf-8"))
    for name, digest in found["measured"].items():
        assert hashlib.sha256((HERE.parent / "vlae_codec" / name).read_bytes()).hexdigest() == digest, (
            f"{name} is newer"
        )
    digits, *others = found["own"].values()
    assert digits["by_model"]["mnist-dynamic"] >= 0.99 * digits["images"]
    assert all(one["lossy"] >= 0.99 * one["images"] for one in others)
    by_code, by_others, alone = (found[key]["held"] for key in ("foreign", "found", "found_of_28"))
    for some, least in (([by_code], 0.99), ([by_code, by_others], 0.99), ([by_others], 0.985), ([alone], 0.87)):
        drawings, right = (
            sum(sum(one[key] for key in keys) for one in some) for keys in (["drawings"], ["exact", "slight"])
        )
        assert drawings >= 300
        assert right >= least * drawings, "of 28x28 alone plain symbols are taken for characters"


def test_every_model_that_competes_says_what_it_knows():
    for name in zoo.drawers():
        digest = zoo.named(name).digest
        assert registry.about(digest)["knows"]
        assert registry.about(digest)["subject"]
        said = registry.knowing(digest)
        assert said is not None
        assert said["least"] <= said["usual"]
    assert zoo.drawers()[0] == zoo.DEFAULT


def test_a_signature_is_kept_exactly_and_said_to_be(run):
    Image.fromarray(signature() == 0).save("signature.png")
    said = run("compress", "signature.png")
    why = "it is unlike what the lossy models were trained on (--lossy samples it anyway)"
    assert f"signature.png: kept exactly, since {why}" in said.stderr.splitlines()
    assert " % of signature.png" in said.stdout
    about = json.loads(run("info", "signature.vlz", "--json").stdout)
    assert (about["kept_exactly"], about["why"]) == (True, why.removesuffix(" (--lossy samples it anyway)"))
    assert f"kept exactly     yes\nwhy              {about['why']}\n" in run("info", "signature.vlz").stdout
    run("decompress", "signature.vlz", "-o", "back.png")
    assert np.array_equal(np.asarray(Image.open("back.png")), signature() == 0)
    for options in ([], ["--model", "mnist"]):
        (row,) = json.loads(run("compress", "signature.png", "--json", "-f", *options).stdout)
        assert row["kept_exactly"]
        assert "trained on" in row["why"]
        assert row["differing_pixels"] == 0


def test_lossy_insists_with_a_warning(run):
    Image.fromarray(signature() == 0).save("signature.png")
    for options in ([], ["--model", "omniglot"]):
        said = run("compress", "signature.png", "--lossy", "--effort", 0, "-f", *options)
        (warning,) = [line for line in said.stderr.splitlines() if line.startswith("warning: signature.png: ")]
        assert "%" in warning
        assert json.loads(run("info", "signature.vlz", "--json").stdout)["kind"] == "lossy"
    assert "not both" in run("compress", "signature.png", "--lossy", "--lossless", expect=2).stderr
    with pytest.raises(ValueError, match="not both"):
        vlae_codec.compress(signature() == 1, lossless=True, lossy=True)


def test_a_model_of_which_nothing_is_known_takes_every_drawing(tiny):
    data = vlae_codec.compress(signature() == 1, model=tiny, effort=0)
    assert codec.inspect(data, tiny)["kind"] == "lossy"


def test_gray_digits_go_to_their_model_and_other_gray_pictures_do_not(fields):
    soft = np.asarray(Image.fromarray(fields[57] * 255).resize((112, 112)).resize((28, 28), Image.Resampling.BOX))
    assert codec.inspect(vlae_codec.compress(soft, effort=0))["model"] == "mnist-dynamic"
    board = np.kron(np.indices((7, 7)).sum(axis=0) % 2, np.ones((4, 4))) * 200 + 20
    board[0, 0] = 99
    assert codec.inspect(vlae_codec.compress(board.astype(np.uint8), effort=0))["model"] != "mnist-dynamic"


def pictures():
    """Pictures of many kinds, a few thousand pixels each."""
    y, x = np.mgrid[:60, :80]
    noise = RNG.integers(0, 256, (40, 40, 3), np.uint8)
    screen = np.full((64, 96, 3), 255, np.uint8)
    screen[10:20, 5:60], screen[30:50:2, 8:80] = (20, 60, 200), 0
    return {
        "blank": np.zeros((90, 70), np.uint8),
        "code": np.kron(RNG.integers(0, 2, (25, 25), np.uint8) * 255, np.ones((3, 3), np.uint8)),
        "signature": signature() * 255,
        "noise in two": RNG.integers(0, 2, (56, 56), np.uint8) * 255,
        "noise": noise,
        "screen": screen,
        "gradient": np.stack([x * 3, y * 4, x + y], axis=2).astype(np.uint8),
        "photograph": np.asarray(Image.fromarray(noise[:12, :16]).resize((80, 60), Image.Resampling.BICUBIC)),
        "deep": (x * 700 + y).astype(np.uint16),
    }


def saved(picture, kind, **options):
    out = io.BytesIO()
    Image.fromarray(picture).save(out, kind, **options)
    return len(out.getvalue())


@pytest.mark.parametrize("title", pictures())
def test_no_lossless_file_is_larger_than_need_be(title):
    picture = pictures()[title]
    data = vlae_codec.compress(picture, lossless=True)
    assert np.array_equal(vlae_codec.decompress(data), picture)
    sizes = [saved(picture, "PNG", optimize=True)]
    if picture.dtype == np.uint8:
        sizes.append(saved(picture, "WEBP", lossless=True, exact=True, quality=100, method=6))
    if picture.ndim == 2 and len(np.unique(picture)) <= 2:
        sizes.append(saved(picture > 0, "PNG", optimize=True))
        sizes.append(saved(picture > 0, "TIFF", compression="group4"))
    assert len(data) <= min(sizes) + 12
    assert len(vlae_codec.compress(picture)) <= len(data) + 1, "no larger than the exact one and the reason for it"


@pytest.mark.parametrize("title", synthetic.pictures())
def test_no_lossy_file_of_what_a_program_drew_is_larger_than_an_exact_one(title):
    picture = synthetic.pictures(64, 80)[title]
    coder, reading = zoo.without_model(2), Readable.of_given(picture).picture()
    (exact,) = codec.encode([reading.raster], coder, lossless=True, effort=2)
    data = vlae_codec.compress(picture, effort=2)
    assert len(data) <= len(exact.data) + 1
    assert codec.inspect(data)["kept_exactly"] == (len(data) == len(exact.data) + 1), "it says why, in one byte"


def test_a_size_that_one_picture_cannot_have_costs_no_other(run):
    rng = np.random.default_rng(0)
    pictures = {"noise": rng.integers(0, 255, (64, 64, 3), np.uint8), "flat": np.full((40, 40, 3), 77, np.uint8)}
    pictures["speckles"] = np.where(rng.random((40, 40)) < 0.5, rng.integers(0, 255, (40, 40)), 9).astype(np.uint8)
    for name, picture in pictures.items():
        Image.fromarray(picture).save(f"{name}.png")
    said = run("compress", "noise.png", "flat.png", "speckles.png", "--size", 35, "--effort", 0, expect=1).stderr
    for name in ("noise", "speckles"):
        assert f"Error: {name}.png: no lossy file of this picture is smaller than" in said
        assert not Path(f"{name}.vlz").exists()
    assert Path("flat.vlz").stat().st_size <= 35
    with pytest.raises(vlae_codec.ImageError, match="no lossy file"):
        vlae_codec.compress(pictures["noise"], size_bytes=35)
    with pytest.raises(vlae_codec.ImageError, match="no lossy file"):
        vlae_codec.compress(pictures["noise"], bpp=0.05)


def test_what_was_converted_is_not_called_exact(run):
    Image.fromarray(synthetic.pictures(40, 40)["bits"]).convert("CMYK").save("ink.tif")
    (row,) = json.loads(run("compress", "ink.tif", "--json").stdout)
    assert not row["kept_exactly"]
    assert "from CMYK" in row["note"]
    assert "exactly" not in row["note"]


def test_a_sheet_of_gray_digits_that_are_all_the_same_is_kept_exactly(fields):
    soft = np.asarray(Image.fromarray(fields[57] * 255).resize((112, 112)).resize((28, 28), Image.Resampling.BOX))
    sheet = np.tile(soft, (16, 16))
    assert np.array_equal(vlae_codec.decompress(vlae_codec.compress(sheet, effort=0)), sheet)


def test_a_file_larger_than_what_was_given_says_why(run):
    Image.fromarray(pictures()["noise"]).save("noise.jpg", quality=30)
    said = run("compress", "noise.jpg", "--lossless")
    assert "noise.vlz is larger than noise.jpg: its pixels cost more than the JPEG itself" in said.stderr
    size = Path("noise.vlz").stat().st_size / Path("noise.jpg").stat().st_size
    assert (f"{100 * size:.1f} % of noise.jpg" if size < 10 else f"{size:.0f} times noise.jpg") in said.stdout
    assert "larger" not in run("compress", "noise.jpg", "-o", "small.vlz", "-Q", 5).stderr


def test_figures_of_shapes_are_what_they_say():
    blank = np.zeros((28, 28), np.uint8)
    box, ring, two = blank.copy(), blank.copy(), blank.copy()
    box[4:10, 5:15] = 1
    ring[4:10, 5:15], ring[5:9, 6:14] = 1, 0
    two[2, 2], two[3, 3] = 1, 1
    fields = np.stack([blank, box, ring, two])
    assert edges(fields).tolist() == [0, 32, 56, 8]
    assert corners(fields).tolist() == [0, 4, 8, 8]
    assert euler(fields).tolist() == [0, 1, 0, 1]
    assert solid(fields).tolist() == [0, 32, 0, 0]
    longer, shorter = extents(fields)
    assert longer.tolist() == [0, 10, 10, 2]
    assert shorter.tolist() == [0, 6, 6, 2]


def test_what_is_counted_of_a_field_is_the_same_of_its_mirror_images_and_turned(fields):
    counts = counted(fields)
    assert counts.shape == (len(fields), COUNTED)
    off, ink = counts[:, -5:-1], counts[:, -1]
    assert np.allclose(ink, np.log(1 + fields.sum(axis=(1, 2))))
    for image in (fields[:, ::-1], fields[:, :, ::-1], fields.transpose(0, 2, 1)):
        assert np.array_equal(counted(image)[:, :-5], counts[:, :-5])
    assert np.array_equal(counted(fields[:, ::-1])[:, -5:-1], off)
    even = np.maximum(fields, fields[:, :, ::-1])
    assert np.allclose(counted(even)[:, -5], np.log(0.03))


def test_runs_and_squares_are_counted_as_one_by_one(fields):
    """Runs of ink along rows and columns, and squares of 3x3 that hold any: against loops."""
    for field, counts in zip(fields[:9], np.expm1(counted(fields[:9])), strict=True):
        lines = ["".join(map(str, line)).split("0") for line in (*field, *field.T)]
        lengths = np.array([len(run) for line in lines for run in line if run])
        classes = np.searchsorted([1, 2, 3, 4, 5, 6, 8, 11, 15], lengths, side="right") - 1
        assert np.allclose(counts[101 + 9 : 101 + 18], np.bincount(classes, minlength=9))
        padded = np.pad(field, 2)
        inked = sum(padded[row : row + 3, column : column + 3].any() for row, column in np.ndindex(30, 30))
        assert np.isclose(counts[:101].sum(), inked)


def test_digits_are_like_digits_and_no_code_is(fields):
    codes = RNG.integers(0, 2, (20, 28, 28), np.uint8)
    assert np.median(likeness(fields, "digits")) > 2
    assert all((likeness(codes, subject) < -2).all() for subject in SUBJECTS)
    assert likeness(fields[:0], "digits").shape == (0,)
