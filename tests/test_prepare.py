"""Laws of the data sets' preparation: what comes out is what the originals hold, and no original can do harm."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from vlae_codec.cli.main import main
from vlae_codec.errors import ConfigError
from vlae_codec.models import data, prepare

REAL = Path(os.environ["VLAE_DATA"]) if "VLAE_DATA" in os.environ else None
MAT = "caltech101_silhouettes_28_split1.mat"


# Originals of each format, written from the arrays that they stand for.


def unpack(packed):
    return np.unpackbits(packed, axis=1)[:, :784]


def write_static(folder, arrays):
    for part, packed in arrays.items():
        text = np.full((len(packed), 2 * 784), ord(" "), np.uint8)
        text[:, ::2], text[:, -1] = unpack(packed) + ord("0"), ord("\n")
        (folder / f"binarized_mnist_{part}.amat").write_bytes(text.tobytes())


def idx(array, shape=None):
    shape = array.shape if shape is None else shape
    return struct.pack(f">{1 + len(shape)}I", 0x0800 + len(shape), *shape) + array.tobytes()


def write_gray(folder, arrays):
    for part, prefix in (("train", "train"), ("test", "t10k")):
        for key, kind in (("x", "images-idx3"), ("y", "labels-idx1")):
            content = gzip.compress(idx(arrays[f"{part}_{key}"]), 1)
            (folder / f"{prefix}-{kind}-ubyte.gz").write_bytes(content)


def write_caltech(folder, arrays, **options):
    matlab = pytest.importorskip("scipy.io")
    stored = {"classnames": np.array(["faces", "cars"], object)}
    for part, key in (("train", "train"), ("val", "valid"), ("test", "test")):
        columns_first = unpack(arrays[key]).reshape(-1, 28, 28).transpose(0, 2, 1).reshape(-1, 784)
        stored |= {f"{part}_data": columns_first, f"{part}_labels": arrays[f"{key}_y"][:, None]}
    matlab.savemat(folder / MAT, stored, do_compression=True, **options)


def png(ink):
    """Of (105, 105) in {0, 1}, black on white."""
    out = io.BytesIO()
    Image.fromarray(ink == 0).save(out, "PNG")
    return out.getvalue()


def write_zips(folder, drawings):
    """Drawings: (part, alphabet, character, drawer) -> ink; entries in the opposite of the order to come."""
    for part in ("background", "evaluation"):
        with zipfile.ZipFile(folder / f"images_{part}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"images_{part}/", b"")
            for (where, alphabet, character, drawer), ink in reversed(drawings.items()):
                if where == part:
                    name = f"images_{part}/{alphabet}/character{character:02}/0{character:03}_{drawer:02}.png"
                    archive.writestr(name, png(ink))
            archive.writestr(f"__MACOSX/images_{part}/Greek/character01/._0001_01.png", b"not a drawing")


def box(ink):
    """The same shrinking, by Pillow."""
    return np.asarray(Image.fromarray(ink * np.uint8(255)).resize((28, 28), Image.Resampling.BOX)).reshape(784)


def made_up(name, folder, fields):
    """Writes small originals of a set into the folder; returns the arrays that they stand for."""
    rng = np.random.default_rng(1)
    packed = np.packbits(fields.reshape(100, 784), axis=1)
    parts = {"train": packed[:50], "valid": packed[50:70], "test": packed[70:]}
    if name == "mnist_static":
        write_static(folder, parts)
        return parts
    if name == "mnist_gray":
        images, labels = rng.integers(0, 256, (30, 28, 28), np.uint8), rng.integers(0, 10, 30, np.uint8)
        arrays = {"train_x": images[:20], "train_y": labels[:20], "test_x": images[20:], "test_y": labels[20:]}
        write_gray(folder, arrays)
        return arrays
    if name == "caltech101":
        arrays = parts | {f"{key}_y": rng.integers(1, 102, len(bits), np.uint8) for key, bits in parts.items()}
        write_caltech(folder, arrays)
        return arrays
    sets = [
        ("background", "Greek", 1),
        ("background", "Greek", 2),
        ("background", "Latin", 1),
        ("evaluation", "Avesta", 1),
    ]
    inks = {
        (*character, drawer): np.kron(fields[rng.integers(100)], np.ones((4, 4), np.uint8))[4:109, 4:109]
        ^ (rng.random((105, 105)) < 0.2).astype(np.uint8)
        for character in sets
        for drawer in range(1, 21)
    }
    write_zips(folder, inks)
    train, test = ([box(ink) for key, ink in inks.items() if (key[3] <= 15) == first] for first in (True, False))
    return {"train": np.array(train), "test": np.array(test)}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments, expect=0):
        result = CliRunner().invoke(main, ["data", *map(str, arguments)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == expect, result.output
        if expect == 1:
            assert result.stderr.count("\n") == 1, "an error is one line"
        return result

    return call


@pytest.fixture
def originals(tmp_path):
    folder = tmp_path / "originals"
    folder.mkdir()
    return folder


@pytest.fixture
def publish(monkeypatch):
    """Makes arrays the published ones of a set."""

    def call(name, arrays):
        published = {
            key: prepare.Published(array.shape, hashlib.sha256(array.tobytes()).hexdigest())
            for key, array in arrays.items()
        }
        known = dataclasses.replace(prepare.SETS[name], arrays=published)
        monkeypatch.setitem(prepare.SETS, name, known)

    return call


@pytest.mark.parametrize("name", prepare.SETS)
def test_an_archive_holds_what_its_originals_do(name, run, originals, fields, publish):
    expected = made_up(name, originals, fields)
    publish(name, expected)
    result = run("prepare", name, "--from", *sorted(originals.iterdir()), "-o", "made")
    assert "as published" in result.stdout
    assert not result.stderr
    with np.load(f"made/{name}.npz", allow_pickle=False) as arrays:
        assert sorted(arrays.files) == sorted(expected)
        for key, array in expected.items():
            assert arrays[key].dtype == np.uint8
            assert np.array_equal(arrays[key], array), key
    assert data.load(name, ["train", "test"], Path("made")).shape[1:] == (28, 28)
    assert f"{name}.npz: as published" in run("list", "--data", "made").stdout
    first = Path(f"made/{name}.npz").read_bytes()
    run("prepare", name, "--from", originals, "-o", "made", "-f")
    assert Path(f"made/{name}.npz").read_bytes() == first, "the same originals make the same archive"


@pytest.mark.parametrize("name", prepare.SETS)
def test_other_content_is_refused_unless_it_is_asked_for(name, run, originals, fields):
    made_up(name, originals, fields)
    refusal = run("prepare", name, "--from", originals, expect=1).stderr
    known = prepare.SETS[name]
    for part in (next(iter(known.arrays.values())).sha256, known.source, known.files[0], "--unverified"):
        assert part in refusal
    assert not Path("data").exists()
    assert "not as published" in run("prepare", name, "--from", originals, "--unverified").stderr
    assert f"{name}.npz: not as published: train" in run("list").stdout


def test_an_archive_is_not_overwritten(run, originals, fields):
    made_up("mnist_static", originals, fields)
    target = Path("data/mnist_static.npz")
    target.parent.mkdir()
    target.write_bytes(b"mine")
    assert "-f" in run("prepare", "mnist_static", "--from", originals, "--unverified", expect=1).stderr
    assert target.read_bytes() == b"mine"
    assert "mnist_static.npz: damaged" in run("list").stdout
    run("prepare", "mnist_static", "--from", originals, "--unverified", "-f")
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_list_says_what_is_where(run):
    listed = run("list").stdout
    for name, known in prepare.SETS.items():
        assert f"{name}.npz: not there" in listed
        assert all(part in listed for part in (known.what, known.source, *known.files))


def test_no_torch_is_needed():
    script = (
        "import sys\nfrom pathlib import Path\nfrom vlae_codec.models import prepare\n"
        "prepare.status('mnist_gray', Path('missing'))\n"
        "assert not {'torch', 'scipy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


def test_originals_are_found_by_their_public_names(run, originals, fields):
    made_up("mnist_gray", originals, fields)
    assert "unknown data set" in run("prepare", "../mnist", "--from", originals, expect=1).stderr
    assert "not an original" in run("prepare", "mnist_static", "--from", *originals.iterdir(), expect=1).stderr
    packed = originals / "train-images-idx3-ubyte.gz"
    assert "twice" in run("prepare", "mnist_gray", "--from", originals, packed, expect=1).stderr
    plain = originals / "train-images.idx3-ubyte"
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    packed.write_bytes(b"not the one that is taken")
    run("prepare", "mnist_gray", "--from", originals, "--unverified")
    packed.unlink()
    run("prepare", "mnist_gray", "--from", originals, "--unverified", "-f")
    plain.unlink()
    refusal = run("prepare", "mnist_gray", "--from", originals, "-f", expect=1).stderr
    assert "lacks train-images-idx3-ubyte" in refusal
    assert "yann.lecun.com" in refusal
    assert "is missing" in run("prepare", "mnist_gray", "-f", "--from", packed, *originals.iterdir(), expect=1).stderr
    run("prepare", "mnist_gray", expect=2)


ROW = b" ".join([b"0", b"1"] * 392)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n\n",
        ROW[:-2],
        ROW + b" 1",
        ROW.replace(b"1", b"2", 1),
        ROW.replace(b" ", b"", 1),
        b"\x1f\x8b",
        b"0." + ROW,
    ],
)
def test_texts_of_anything_else_are_refused(text, originals, fields):
    made_up("mnist_static", originals, fields)
    (originals / "binarized_mnist_valid.amat").write_bytes(text)
    with pytest.raises(ConfigError, match="valid"):
        prepare.prepare("mnist_static", [originals], unverified=True)


@pytest.mark.parametrize("ending", [b"", b"\n", b" \n", b"\r\n", b"\n\n"])
def test_ends_of_lines_do_not_matter(ending, originals, fields):
    made_up("mnist_static", originals, fields)
    (originals / "binarized_mnist_valid.amat").write_bytes(ROW + b"\n" + ROW + ending)
    arrays = prepare.prepare("mnist_static", [originals], unverified=True).arrays
    assert np.array_equal(unpack(arrays["valid"]), np.tile([0, 1], (2, 392)))


HUGE = (1 << 31, 1 << 31, 1 << 31)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "damaged"),
        (b"\x1f\x8b", "cannot read|damaged"),
        (idx(np.zeros((20, 28, 28), np.uint8), HUGE), "claims"),
        (gzip.compress(idx(np.zeros((20, 28, 28), np.uint8), HUGE), mtime=0), "claims"),
        (idx(np.zeros((19, 28, 28), np.uint8), (20, 28, 28)), "must hold|claims"),
        (gzip.compress(idx(np.zeros((19, 28, 28), np.uint8), (20, 28, 28)), mtime=0), "must hold"),
        (gzip.compress(idx(np.zeros((21, 28, 28), np.uint8), (20, 28, 28)), mtime=0), "must hold"),
        (gzip.compress(idx(np.zeros((20, 28, 28), np.uint8)), mtime=0)[:-20], "cannot read|damaged"),
        (idx(np.zeros((20, 27, 28), np.uint8)), "28x28"),
        (idx(np.zeros((19, 28, 28), np.uint8)), "labels"),
        (idx(np.zeros(20, np.uint8)) + bytes(8), "not an IDX"),
    ],
)
def test_damaged_idx_files_are_refused(content, rule, originals, fields):
    made_up("mnist_gray", originals, fields)
    (originals / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(ConfigError, match=rule):
        prepare.prepare("mnist_gray", [originals], unverified=True)


def test_an_empty_set_is_refused(originals, fields):
    made_up("mnist_gray", originals, fields)
    for kind, shape in (("images-idx3", (0, 28, 28)), ("labels-idx1", (0,))):
        (originals / f"t10k-{kind}-ubyte.gz").write_bytes(idx(np.zeros(shape, np.uint8)))
    with pytest.raises(ConfigError, match="no image for 'test_x'"):
        prepare.prepare("mnist_gray", [originals], unverified=True)


def test_a_large_original_is_refused_unread(originals, fields, monkeypatch):
    made_up("mnist_gray", originals, fields)
    monkeypatch.setattr(prepare, "_LARGEST_BYTES", 100)
    with pytest.raises(ConfigError, match="larger than"):
        prepare.prepare("mnist_gray", [originals], unverified=True)


def test_matlab_files_need_scipy(originals, monkeypatch):
    (originals / MAT).write_bytes(b"")
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(ConfigError, match="pip install 'vlae-codec"):
        prepare.prepare("caltech101", [originals])


def mat_header():
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda mat: mat[:100], "begin as a MATLAB 5"),
        (lambda mat: mat[:-2000], "damaged"),
        (lambda mat: mat[:200] + b"\xff" * 8 + mat[208:], "damaged"),
        (lambda mat: mat_header(), "no matrix"),
        (lambda mat: mat_header() + struct.pack("<II", 14, 1 << 31), "damaged|no matrix"),
        (lambda mat: mat_header() + struct.pack("<IIII", 14, 8, 6, 1 << 31), "claims"),
    ],
)
def test_damaged_matlab_files_are_refused(change, rule, originals, fields):
    made_up("caltech101", originals, fields)
    path = originals / MAT
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ConfigError, match=rule):
        prepare.prepare("caltech101", [originals], unverified=True)


def mat_part(kind, content):
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def mat_matrix(*numbers, name=b"train_data", kind=9, flags=0):
    """One uint8 matrix of a single row, unless other classes, flags or parts are asked for."""
    head = (
        mat_part(6, struct.pack("<II", kind | flags << 8, 0)),
        mat_part(5, struct.pack("<ii", 1, 8)),
        mat_part(1, name),
    )
    return mat_part(14, b"".join([*head, *numbers]))


HIDDEN = mat_matrix(name=b"a cell", kind=1) + mat_matrix(mat_part(255, bytes(8)))


@pytest.mark.parametrize(
    ("first", "rule"),
    [
        *(
            (mat_matrix(mat_part(kind, bytes(8))), "not one of numbers")
            for kind in (0, 8, 10, 11, 14, 15, 19, 255, 514)
        ),
        (mat_matrix(mat_part(2, bytes(8)), flags=8), "complex"),
        (mat_matrix(mat_part(2, bytes(8)), mat_part(2, bytes(8))), "5 parts"),
        (mat_matrix(), "3 parts"),
        *((mat_matrix(mat_matrix(mat_part(255, bytes(8))), kind=kind, flags=2), "no matrix") for kind in (1, 2, 4, 5)),
        (struct.pack("<II", 15, len(zlib.compress(HIDDEN))) + zlib.compress(HIDDEN), "longer than it claims"),
    ],
)
def test_scipy_sees_nothing_of_a_matlab_file_that_it_would_not_survive(first, rule, originals):
    """It takes the type of a part, and whether there are imaginary ones, for what the file says."""
    pytest.importorskip("scipy")
    others = [f"{part}_{kind}".encode() for part in ("train", "val", "test") for kind in ("data", "labels")][1:]
    rest = b"".join(mat_matrix(mat_part(2, bytes(8)), name=name) for name in others)
    (originals / MAT).write_bytes(mat_header() + first + rest)
    with pytest.raises(ConfigError, match=rule):
        prepare.prepare("caltech101", [originals], unverified=True)


def test_a_matlab_file_that_unpacks_without_end_is_refused(originals, monkeypatch):
    pytest.importorskip("scipy")
    packed = zlib.compress(bytes(1 << 20))
    (originals / MAT).write_bytes(mat_header() + struct.pack("<II", 15, len(packed)) + packed)
    monkeypatch.setattr(prepare, "_LARGEST_BYTES", 1 << 16)
    with pytest.raises(ConfigError, match="unpacks to more"):
        prepare.prepare("caltech101", [originals], unverified=True)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("val_data", np.full((20, 784), 2.0), "val_data"),
        ("val_data", np.zeros((20, 783)), "val_data"),
        ("val_labels", np.zeros((19, 1)), "val_data"),
        ("val_labels", np.full((20, 1), np.nan), "val_labels"),
        ("val_labels", np.full((20, 1), 256), "val_labels"),
        ("val_labels", np.array(["a", "b"], object), "no matrix of numbers val_labels"),
    ],
)
def test_other_matrices_are_refused(key, value, rule, originals, fields):
    matlab = pytest.importorskip("scipy.io")
    made_up("caltech101", originals, fields)
    stored = {name: array for name, array in matlab.loadmat(originals / MAT).items() if name[0] != "_"}
    matlab.savemat(originals / MAT, stored | {key: value})
    with pytest.raises(ConfigError, match=rule):
        prepare.prepare("caltech101", [originals], unverified=True)


def test_shrinking_is_the_box_filter():
    rng = np.random.default_rng(0)
    for density in np.linspace(0, 1, 60):
        ink = (rng.random((105, 105)) < density).astype(np.uint8)
        assert np.array_equal(prepare._shrink(ink).reshape(784), box(ink))


BLANK = png(np.zeros((105, 105), np.uint8))


@pytest.mark.parametrize(
    ("entries", "rule"),
    [
        ([("Greek/character01/0001_21.png", BLANK)], "drawer"),
        ([("Greek/character01/0001_00.png", BLANK)], "drawer"),
        ([("Greek/character01/0001_01.png", BLANK), ("Greek/character01/1_1.png", BLANK)], "twice"),
        ([("Greek/character01/0001_01.png", BLANK + bytes(1 << 20))], "too large"),
        ([("Greek/character01/0001_01.png", b"GIF89a")], "not a PNG"),
        ([("Greek/character01/0001_01.png", BLANK[:20] + b"\xff\xff\xff\xff" + BLANK[24:])], "not a PNG"),
        ([("Greek/character01/0001_01.png", BLANK[:60])], "damaged"),
        ([("Greek/readme.txt", b"")], "no image"),
    ],
)
def test_damaged_zips_are_refused(entries, rule, originals):
    for part in ("background", "evaluation"):
        with zipfile.ZipFile(originals / f"images_{part}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in entries:
                archive.writestr(name, content)
    with pytest.raises(ConfigError, match=rule):
        prepare.prepare("omniglot28", [originals], unverified=True)


def test_zips_are_bounded(originals, fields, monkeypatch):
    made_up("omniglot28", originals, fields)
    whole = (originals / "images_background.zip").read_bytes()
    (originals / "images_background.zip").write_bytes(whole[:-100])
    with pytest.raises(ConfigError, match="damaged"):
        prepare.prepare("omniglot28", [originals], unverified=True)
    (originals / "images_background.zip").write_bytes(whole)
    monkeypatch.setattr(prepare, "_MOST_DRAWINGS", 59)
    with pytest.raises(ConfigError, match="more drawings"):
        prepare.prepare("omniglot28", [originals], unverified=True)
    monkeypatch.setattr(prepare, "_LARGEST_ZIP_BYTES", 100)
    with pytest.raises(ConfigError, match="larger"):
        prepare.prepare("omniglot28", [originals], unverified=True)


def test_an_archive_that_claims_more_than_it_should_is_not_read(tmp_path, fields, originals, publish):
    arrays = made_up("mnist_static", originals, fields)
    publish("mnist_static", arrays)
    path = tmp_path / "mnist_static.npz"
    for train in (np.zeros((50, 99), np.uint8), np.zeros((1000, 98), np.uint8), arrays["train"].view(np.int8)):
        np.savez_compressed(path, **(arrays | {"train": train}))
        assert prepare.status("mnist_static", tmp_path) == "not as published: train"
    np.savez(path, **{key: np.asfortranarray(array) for key, array in arrays.items()})
    assert prepare.status("mnist_static", tmp_path) == "as published", "content counts, not its order in the file"
    np.savez_compressed(path, train=arrays["train"])
    assert "damaged" in prepare.status("mnist_static", tmp_path)


# The real thing, where the real archives are at hand.


def rebuild(name, folder):
    """Writes the originals that the real archives stand for."""
    source = "omniglot_orig105" if name == "omniglot28" else name
    if REAL is None or not (REAL / f"{source}.npz").exists():
        pytest.skip(f"VLAE_DATA has no {source}.npz")
    with np.load(REAL / f"{source}.npz", allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in stored.files}
    if name != "omniglot28":
        {"mnist_static": write_static, "mnist_gray": write_gray, "caltech101": write_caltech}[name](folder, arrays)
        return
    keys = zip(*(arrays[key].tolist() for key in ("evaluation", "alphabet", "char_id", "drawer")), strict=True)
    parts, names = ("background", "evaluation"), arrays["alphabet_names"].tolist()
    inks = (np.unpackbits(row)[: 105 * 105].reshape(105, 105) for row in arrays["x"])
    first = {}
    for alphabet, character in zip(arrays["alphabet"].tolist(), arrays["char_id"].tolist(), strict=True):
        first.setdefault(alphabet, character)
    write_zips(
        folder,
        {
            (parts[where], names[alphabet], character - first[alphabet] + 1, drawer): ink
            for (where, alphabet, character, drawer), ink in zip(keys, inks, strict=True)
        },
    )


@pytest.mark.parametrize("name", prepare.SETS)
def test_the_published_originals_make_the_published_archives(name, run, originals):
    rebuild(name, originals)
    if name == "mnist_static":  # as published elsewhere with the originals
        text = (originals / "binarized_mnist_test.amat").read_bytes()
        assert hashlib.sha256(text).hexdigest() == "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c"
    assert "content as published" in run("prepare", name, "--from", originals).stdout
    assert f"{name}.npz: as published" in run("list").stdout
