"""What is measured is real: files and archives decode, ledgers add up, and the command writes what it prints."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import TINY
from PIL import Image

from vlae_codec import codec
from vlae_codec.archive import chunks
from vlae_codec.archive import pack as packing
from vlae_codec.archive import unpack as unpacking
from vlae_codec.archive.chunks import Images, OneImage, Settings
from vlae_codec.archive.opened import Opened
from vlae_codec.cli.main import main
from vlae_codec.errors import ImageError, VlaeError
from vlae_codec.field import search
from vlae_codec.field.posterior import Posterior
from vlae_codec.field.search import distortion_bits
from vlae_codec.field.theory import theory_bits
from vlae_codec.picture.drawing import Drawing, Look, demo_digits, raster_of
from vlae_codec.picture.fields import cut_fields
from vlae_codec.report import baselines, judge, kept, measure, samples
from vlae_codec.report.measure import Settled
from vlae_codec.report.samples import Sample
from vlae_codec.sets import labels
from vlae_codec.sets.sources import Memory, gather

N = 10
QUICK = Settled(effort=0, jobs=1, baselines=False, classifier=Path("nowhere.pt"))
OURS = {
    "kl_bits",
    "distortion_bits",
    "negative_elbo_bits",
    "coded_latents_bits",
    "lossy_file_bits",
    "coding_gap_bits",
    "lossless_file_bits",
    "differing_pixels",
    "archive_lossless_bits",
    "archive_lossy_bits",
}
OVERHEAD = {"bottom_bits", "rounding_bits", "name_bits", "chunk_head_bits"}


def mixed(digits):
    """A digit, noise that is dearer than raw, a picture of several fields, blank ones, and one of colours."""
    noise = np.random.default_rng(0).integers(0, 2, (40, 60), np.uint8)
    look = Look((255, 255, 255), (10, 20, 200))
    wide = np.concatenate([digits[20].bits, 0 * digits[20].bits, digits[60].bits[:, :9]], axis=1)
    blank = np.zeros((28, 28), np.uint8)
    return [digits[7], Drawing(noise), Drawing(wide), Drawing(blank), Drawing(digits[33].bits, look)]


@pytest.fixture(scope="module")
def measured(tiny, digits):
    images = Sample("digits", digits[::N], None, ["a note"])
    return measure.measure(images, tiny, replace(QUICK, baselines=True))


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments, expect=0):
        fixed = ["--model", str(TINY), "--effort", "0", "-q", "--jobs", "1"]
        result = CliRunner().invoke(main, ["measure", *map(str, arguments), *fixed])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == expect, result.output
        return result

    return call


@pytest.fixture
def arrays(tmp_path, fields):
    """An npz file of the 100 digits, sorted by class, with labels in both ways."""
    classes = np.repeat(np.arange(10), 10).astype(np.uint8)
    np.savez(tmp_path / "d.npz", some_x=fields, some_y=classes, other=fields, other_y=classes, bare=fields)
    return tmp_path / "d.npz"


def test_columns_are_complete(measured):
    found = measured.measurement
    assert set(found.per_image) == OURS | set(baselines.columns([demo_digits()[0]]))
    assert found.images == N
    assert found.pixels == N * 784
    assert set(found.sets) == {baseline.name for baseline in baselines.set_codecs()}
    assert found.notes[0] == "a note"


def test_columns_agree_with_each_other_and_with_files(measured, tiny, digits):
    columns = measured.measurement.per_image
    assert np.allclose(columns["kl_bits"] + columns["distortion_bits"], columns["negative_elbo_bits"])
    assert (columns["lossy_file_bits"] > columns["coded_latents_bits"]).all()
    assert (columns["lossy_file_bits"] < columns["lossless_file_bits"]).all()
    for lossless, key in ((False, "lossy_file_bits"), (True, "lossless_file_bits")):
        files = codec.encode(digits[::N], tiny, lossless=lossless, effort=0)
        assert columns[key].tolist() == [8.0 * len(file.data) for file in files]
    lossy = codec.encode(digits[::N], tiny, effort=0)
    spent_bits = np.array([file.ledger.coded_bits + file.ledger.distortion_bits for file in lossy])
    assert np.allclose(columns["coding_gap_bits"], spent_bits - columns["negative_elbo_bits"])


def test_ledgers_of_archives_sum_to_their_bytes(measured, tiny, digits):
    found = measured.measurement
    assert [(entry["kind"], entry["order"], entry["samples"]) for entry in found.archives] == [
        ("lossless", "kept", 1),
        ("lossless", "kept", 8),
        ("lossless", "unordered", 1),
        ("lossless", "unordered", 8),
        ("lossy", "kept", 1),
    ]
    assert {entry["chunk"] for entry in found.archives} == {N}
    for entry in found.archives:
        assert sum(entry["ledger"].values()) == pytest.approx(8 * entry["bytes"])
        assert entry["bits_per_image"] == 8 * entry["bytes"] / N
        assert ("p95" in entry) == (entry["order"] == "kept")
        orders_bits = np.log2(np.arange(1, N + 1)).sum() * (entry["order"] != "kept")
        assert entry["theory"].get("order_bits", 0.0) == pytest.approx(-orders_bits)
        assert ("distortion_bits" in entry["theory"]) == (entry["kind"] == "lossless")
    for key, entry in (("archive_lossless_bits", found.archives[0]), ("archive_lossy_bits", found.archives[4])):
        assert found.mean(key) == pytest.approx(entry["bits_per_image"])
    out = io.BytesIO()
    packing.pack([Memory(digits[::N])], out, tiny, Settings(chunk=N))
    assert len(out.getvalue()) == found.archives[0]["bytes"]


@pytest.mark.parametrize("lossless", [True, False])
def test_the_images_shares_sum_to_the_measured_tally(tiny, digits, lossless):
    drawings = [*digits[::7], *mixed(digits)]
    settings = Settings(lossless=lossless, effort=0)
    (chunk,) = chunks.make(
        (tiny, settings), Images(0, tuple(OneImage("x", raster_of(one)) for one in drawings)), lambda _images: None
    )
    ledger = chunk.ledger
    payload_bits = sum(bits for name, bits in ledger.bits.items() if name not in OVERHEAD)
    assert len(ledger.image_bits) == len(drawings)
    assert sum(ledger.image_bits) == pytest.approx(payload_bits, abs=0.1)
    assert min(ledger.image_bits) >= 0
    if lossless:
        noise = len(digits[::7]) + 1
        assert ledger.image_bits[noise] == pytest.approx(2400, rel=0.02)  # raw, and that it is


def test_shares_follow_their_images_through_chunks(tiny, digits):
    ledger = packing.pack([Memory(digits[:9])], io.BytesIO(), tiny, Settings(lossless=False, effort=0, chunk=4))
    single = [file.ledger.coded_bits for file in codec.encode(digits[:9], tiny, effort=0)]
    assert ledger.image_bits == pytest.approx(single)
    unordered = packing.pack([Memory(digits[:9])], io.BytesIO(), tiny, Settings(ordered=False))
    assert unordered.image_bits == []


def test_theory_is_that_of_the_posterior(tiny, fields):
    some = np.concatenate([fields[::25], np.zeros((1, 28, 28), np.uint8)])
    kl_bits, mean_bits = theory_bits(tiny, some, np.ones(some.shape, bool), samples=2)
    posterior, rng = Posterior.of(tiny, some[:-1]), np.random.default_rng(1)
    every = np.ones(some[:-1].shape, bool)
    draws = [distortion_bits(tiny, some[:-1], every, posterior.sample(rng)) for _ in range(2)]
    assert np.allclose(mean_bits[:-1], np.mean(draws, axis=0))
    assert np.allclose(kl_bits[:-1], posterior.rate_bits(8))
    assert kl_bits[-1] == mean_bits[-1] == 0


def test_pictures_of_all_sizes_and_colours(tiny, digits):
    found = measure.measure(Sample("mixed", mixed(digits), None, []), tiny, replace(QUICK, baselines=True))
    assert all(entry["order"] == "kept" for entry in found.measurement.archives)
    assert any("without order" in note for note in found.measurement.notes)
    assert found.measurement.per_image["kl_bits"][3] == 0  # blank
    assert found.measurement.pixels == sum(drawing.bits.size for drawing in mixed(digits))


def test_memory_is_an_array_where_it_can_be(tiny, digits):
    inverted = [Drawing(digit.bits, Look((255,), (0,))) for digit in digits[:3]]
    for drawings, loose in ((digits[:3], False), (inverted, False), (mixed(digits), True)):
        out = io.BytesIO()
        packing.pack([Memory(drawings)], out, tiny, Settings())
        (piece,) = unpacking.unpack(Opened(out), model=tiny)
        assert piece.names == (tuple(map(str, range(len(drawings)))) if loose else ())
        for a, b in zip([one.drawing for one in piece.pictures], drawings, strict=True):
            assert a.look == b.look
            assert np.array_equal(a.bits, b.bits)


def test_sheets_are_pictures(measured):
    assert len(measured.sheets) == 2
    for caption, data in measured.sheets:
        assert caption.endswith(".")
        sheet = Image.open(io.BytesIO(data))
        assert sheet.width < 1300
    beside = Image.open(io.BytesIO(measured.sheets[0][1]))
    assert beside.height > 2 * 56


def test_what_does_not_decode_is_an_error(tiny, digits, monkeypatch):
    images, decode, unpack = Sample("digits", digits[:3], None, []), codec.decode, unpacking.unpack

    def flipped(drawing):
        bits = drawing.bits.copy()
        bits[3, 3] ^= 1
        return Drawing(bits, drawing.look)

    def wrong_files(*arguments, **options):
        return [replace(one, raster=raster_of(flipped(one.drawing))) for one in decode(*arguments, **options)]

    def wrong_chunks(*arguments, **options):
        for piece in unpack(*arguments, **options):
            wrong = [replace(one, raster=raster_of(flipped(one.drawing))) for one in piece.pictures]
            yield replace(piece, pictures=wrong)

    for module, name, wrong in ((codec, "decode", wrong_files), (unpacking, "unpack", wrong_chunks)):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, wrong)
            with pytest.raises(VlaeError, match="does not decode to what was coded"):
                measure.measure(images, tiny, QUICK)


def test_what_was_stopped_goes_on_and_finds_the_same(tiny, digits, monkeypatch):
    """Stopped again and again, it does each part once, finds what an undisturbed one does, and tidies up."""
    images, whole = Sample("digits", digits[:70], None, []), []
    expected = measure.measure(images, tiny, QUICK, progress=lambda what, *_: whole.append(what.split(":")[0]))
    folder = kept.place(measure._content(images.drawings, tiny, QUICK))
    done, stages, encode = [], list(dict.fromkeys(whole)), codec.encode

    def counting(drawings, *arguments, **options):
        done.append((len(drawings), options.get("lossless", False)))
        return encode(drawings, *arguments, **options)

    def stop_at(stage):
        def progress(what, *_):
            if what.startswith(stage):
                raise KeyboardInterrupt

        return progress

    monkeypatch.setattr(codec, "encode", counting)
    assert not folder.exists()
    for stage in stages:
        with pytest.raises(KeyboardInterrupt):
            measure.measure(images, tiny, QUICK, progress=stop_at(stage))
    found = measure.measure(images, tiny, QUICK)
    assert done == [(64, False), (64, True), (6, False), (6, True)] or done[2:] == [(64, True), (6, False), (6, True)]
    for key, column in expected.measurement.per_image.items():
        assert np.array_equal(found.measurement.per_image[key], column), key
    assert found.measurement.archives == expected.measurement.archives
    assert found.sheets == expected.sheets
    assert not folder.exists()


def test_what_is_kept_is_of_the_same_content_settings_and_code_only(tiny, digits):
    found = {
        kept.place(measure._content(drawings, model, replace(QUICK, effort=effort)))
        for drawings in (digits[:2], digits[1::-1], digits[:1])
        for model in (tiny, replace(tiny, digest=bytes(32)))
        for effort in (0, 1)
    }
    assert len(found) == 12


@pytest.mark.parametrize("content", [b"", b"PK nonsense", "deflated", None])
def test_parts_that_were_kept_and_damaged_are_made_again(tmp_path, content):
    parts, path = kept.Kept(tmp_path), tmp_path / "a.npz"
    parts.part("a", lambda: {"x": np.zeros(2)})
    assert parts.part("a", dict)["x"].tolist() == [0, 0]
    if content is None:
        path.unlink()
        os.mkfifo(path)
        parts = kept.Kept(tmp_path)
    elif content == "deflated":
        np.savez_compressed(path, x=np.ones(1 << 20))
    else:
        path.write_bytes(content)
    assert parts.part("a", lambda: {"x": np.full(1, 7)})["x"].tolist() == [7]


def test_a_search_is_shared_by_all_that_is_made_of_a_picture(tiny, digits, monkeypatch):
    """Whatever is made with it, and in whatever order, is what is made without."""
    ranked, rank = [], search.rank

    def counting(prefix, posterior, *arguments):
        ranked.append(len(posterior.mu))
        return rank(prefix, posterior, *arguments)

    monkeypatch.setattr(search, "rank", counting)
    drawings = [*digits[:3], *mixed(digits), digits[1]]
    made = []
    for model in (tiny.remembering(), tiny):
        files = [
            [one.data for one in codec.encode(some, model, lossless=lossless, effort=0)]
            for some, lossless in ((drawings[2:5], True), (drawings, False), (drawings, True))
        ]
        out = io.BytesIO()
        packing.pack([Memory(drawings)], out, model, Settings(lossless=False, effort=0))
        made.append([files, out.getvalue()])
    assert made[0] == made[1]
    inked = len({bits.tobytes() for one in drawings for bits in cut_fields([one.bits])[0] if bits.any()})
    assert ranked[0] < inked < sum(ranked[:2]) <= inked + 1
    assert len(ranked) == 2 + 4


def test_a_sample_is_fixed_random_and_in_order(arrays, tmp_path):
    source = f"{arrays}:some_x"
    first, again = (samples.sample([source], 20) for _ in range(2))
    every = samples.sample([source])
    chosen = np.sort(np.random.default_rng(0).permutation(100)[:20])
    assert [drawing.bits.tobytes() for drawing in first.drawings] == [d.bits.tobytes() for d in again.drawings]
    assert [drawing.bits.tobytes() for drawing in first.drawings] == [every.drawings[i].bits.tobytes() for i in chosen]
    assert first.labels.tolist() == every.labels[chosen].tolist()
    assert len(set(first.labels.tolist())) > 5, "a slice of a sorted set is no sample"
    assert any("20 of 100 images, drawn with a fixed seed" in note for note in first.notes)
    assert len(samples.sample([source], 1000).drawings) == 100


def test_a_sample_spans_sources(arrays, tmp_path, digits):
    (tmp_path / "p").mkdir()
    for index in range(5):
        Image.fromarray(digits[index].bits * np.uint8(255)).save(tmp_path / "p" / f"{index}.png")
    found = samples.sample([str(tmp_path / "p"), f"{arrays}:other"], 60)
    assert len(found.drawings) == 60
    assert found.labels is None  # nobody says what the pictures are
    assert found.source == "p, d.npz:other"


def test_labels_are_found_beside_images(arrays):
    for key, known in (("some_x", True), ("other", True), ("bare", False)):
        with gather([f"{arrays}:{key}"]) as gathered:
            found = labels.beside(gathered.sources, notes := [])
        assert (found is not None) == known
        assert not notes
        if known:
            assert found.tolist() == np.repeat(np.arange(10), 10).tolist()


@pytest.mark.parametrize("odd", [np.eye(100), np.zeros(99, np.uint8), np.zeros(100), np.zeros((100, 9000), np.int64)])
def test_what_is_no_classes_beside_images_is_left_with_a_note(arrays, tmp_path, odd):
    with np.load(arrays) as stored:
        np.savez_compressed(tmp_path / "odd.npz", a_x=stored["some_x"], a_y=odd)
    found = samples.sample([f"{tmp_path / 'odd.npz'}:a_x"], 3)
    assert found.labels is None
    assert any("not used as their classes" in note and "a_y" in note for note in found.notes)


def test_labels_are_read_from_files(arrays, tmp_path):
    classes = np.arange(100, dtype=np.uint8) % 10
    np.save(tmp_path / "l.npy", classes.astype(np.int32)[:, None])
    idx = bytes([0, 0, 8, 1]) + struct.pack(">I", 100) + classes.tobytes()
    (tmp_path / "l-idx1-ubyte").write_bytes(idx)
    (tmp_path / "l-idx1-ubyte.gz").write_bytes(gzip.compress(idx))
    for name in ("l.npy", "l-idx1-ubyte", "l-idx1-ubyte.gz"):
        assert labels.read(str(tmp_path / name), 100).tolist() == classes.tolist()
    assert labels.read(f"{arrays}:some_y", 100).dtype == np.int64


def test_bad_labels_are_refused_in_one_line(arrays, tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}] * 100), allow_pickle=True)
    np.save(tmp_path / "halves.npy", np.full(100, 0.5))
    (tmp_path / "text.npz").write_text("no zip")
    (tmp_path / "cut-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 100, 1, 2]))
    names = ("missing.npy", "objects.npy", "halves.npy", "text.npz:a", "text.npz", "cut-idx1-ubyte", "d.npz:nothing")
    for name in names:
        with pytest.raises(ImageError, match=name.partition(":")[0]) as refused:
            labels.read(str(tmp_path / name), 100)
        assert "\n" not in str(refused.value)
    with pytest.raises(ImageError, match="one for each image"):
        labels.read(f"{arrays}:some_y", 99)


def test_why_no_classifier_read_the_images(arrays, tiny, digits):
    def note(images, path="nowhere.pt"):
        notes = []
        assert judge.judge_of(images, Path(path), notes) is None
        return notes[0]

    labelled = samples.sample([f"{arrays}:some_x"], 5)
    assert "none at nowhere.pt" in note(labelled)
    assert "no labels" in note(replace(labelled, labels=None))
    assert "0 to 9" in note(replace(labelled, labels=labelled.labels + 20))
    assert "28x28" in note(Sample("", mixed(digits), np.zeros(5, np.int64), []))


def test_a_classifier_reads_before_and_after(arrays, tiny, tmp_path, fields):
    torch = pytest.importorskip("torch")
    from vlae_codec.models.classifier import Classifier, classify

    torch.manual_seed(0)
    reader = Classifier().eval()
    torch.save(reader.state_dict(), tmp_path / "c.pt")
    images = samples.sample([f"{arrays}:some_x"], 6)
    images = replace(images, labels=classify(reader, np.stack([drawing.bits for drawing in images.drawings])))
    seen = measure.measure(images, tiny, replace(QUICK, classifier=tmp_path / "c.pt")).measurement.classified
    assert seen["images"] == seen["originals_right"] == 6
    assert 0 <= seen["lossy_right"] <= 6
    (tmp_path / "c.pt").write_bytes(b"no classifier")
    with pytest.raises(VlaeError, match="not a classifier of ours"):
        measure.measure(images, tiny, replace(QUICK, classifier=tmp_path / "c.pt"))


def test_the_command_writes_what_it_prints(run, arrays):
    files = ["--csv", "a.csv", "--plot", "a.svg", "--report", "out/a.html"]
    shown = run(f"{arrays}:some_x", "--n", 6, "--json", *files).stdout
    found = json.loads(shown)
    rows = list(csv.DictReader(Path("a.csv").read_text(encoding="utf-8").splitlines()))
    assert found["images"] == len(rows) == 6
    assert set(rows[0]) == {"image", *found["columns"]}
    assert all(row["image"].startswith("d.npz/some_x/") for row in rows)
    for key, statistics in found["columns"].items():
        assert np.mean([float(row[key]) for row in rows]) == pytest.approx(statistics["mean"])
    assert any("none at runs/classifier.pt" in note for note in found["notes"])
    page = Path("out/a.html").read_text(encoding="utf-8")
    assert page.count('class="pixels"') == 2
    assert "d.npz:some_x" in page
    assert Path("a.svg").read_text(encoding="utf-8").startswith("<?xml")
    text = run(f"{arrays}:some_x", "--n", 6, "--no-baselines").stdout
    assert "PNG" not in text
    assert "coding gap" in text
    assert f"{found['columns']['archive_lossless_bits']['mean']:.2f}" in text


def test_reports_are_not_overwritten_without_f(run, arrays, tmp_path):
    Path("a.csv").write_text("mine")
    for arguments in (["--csv", "a.csv"], ["--plot", "a.bmp"], ["--labels", "nothing.npy"]):
        error = run(f"{arrays}:bare", "--n", 3, *arguments, expect=1).stderr
        assert error.startswith("Error: ")
        assert error.count("\n") == 1
    assert Path("a.csv").read_text() == "mine"
    run(f"{arrays}:bare", "--n", 3, "--no-baselines", "--csv", "a.csv", "-f")
    assert Path("a.csv").read_text().startswith("image,")


def test_no_source_is_replaced_by_a_report(run, arrays):
    before = Path(arrays).read_bytes()
    for report in ("--csv", "--report"):
        assert "own result" in run(f"{arrays}:bare", "--n", 3, report, arrays, "-f", expect=1).stderr
        assert Path(arrays).read_bytes() == before
    np.save(arrays.with_name("labels.npy"), np.zeros(100, np.uint8))
    asked = (f"{arrays}:bare", "--n", 3, "--labels", "labels.npy", "--csv", "labels.npy", "-f")
    assert "own result" in run(*asked, expect=1).stderr


def test_usage_errors(run, arrays):
    run(expect=2)
    run(f"{arrays}:bare", "--n", 0, expect=2)
    run(f"{arrays}:bare", "--csv", "a", "--report", "./a", expect=2)
    assert "does not exist" in run("missing.npz:x", expect=1).stderr
