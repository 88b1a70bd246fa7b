"""Laws of archives of pictures of any kind: what comes out is what went in, and each picture is its file."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import grid_models
import numpy as np
import pytest
from conftest import HERE, levels_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from test_archive import same_array, save
from test_grid import picture

import vlae_codec
from vlae_codec import codec, zoo
from vlae_codec.archive import chunks, frame, pack, unpack, version2
from vlae_codec.archive.chunks import Settings
from vlae_codec.archive.heads import Apart, Cursor, Head, Header, checked
from vlae_codec.archive.numbers import Numbers, Taken, missing
from vlae_codec.archive.opened import Opened
from vlae_codec.archive.pieces import Piece
from vlae_codec.choose import Chooser, chooser
from vlae_codec.errors import FormatError, ImageError, VlaeError
from vlae_codec.family import Ask, Sampling
from vlae_codec.picture.drawing import Drawing, demo_digits
from vlae_codec.picture.raster import Geometry, Kind, PixelFormat
from vlae_codec.picture.reading import Readable, read_picture
from vlae_codec.picture.writing import same_colours
from vlae_codec.sets.manifest import ArrayForm, FilesForm, Forms
from vlae_codec.sets.restore import Restorer
from vlae_codec.sets.sources import gather

SMALL = grid_models.coder()
GOLDEN = json.loads((HERE / "golden" / "version2" / "archive.json").read_text())
PHOTO = picture(12, 16, seed=3).samples


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class Photos(Chooser):
    """To which the smallest file of a photograph is that of the photo model, even if its weights are random."""

    def _as_photo(self, reading):
        ways = super()._as_photo(reading)
        return ways[: 1 if len(np.unique(reading.raster.samples)) > 20 else None]


def choice(**ask):
    """As for files, but with a small photo model of random weights, which is quick."""
    coders = "", SMALL, zoo.INK, zoo.load_default()
    return Photos(Ask(**{"lossless": True, "effort": 0, **ask}), coders, takers=(3,))


def write_pictures(folder):
    """Pictures of every kind, which take turns: the names of their files, in order."""
    digits, photo = demo_digits(), Image.fromarray(PHOTO)
    Path(folder).mkdir()
    screen = np.full((12, 16, 3), 255, np.uint8)
    screen[4:7, 5:12], screen[8:11:2, 3:15] = (20, 60, 200), 0
    deep = (np.arange(12 * 15, dtype=np.uint16) * 300).reshape(12, 15)
    pictures = {
        "a photo": photo,
        "b digit": Image.fromarray(digits[3].bits * np.uint8(255)),
        "c gray": photo.convert("L"),
        "d digit": Image.fromarray(255 - digits[14].bits * np.uint8(200)),
        "e palette": photo.quantize(20),
        "f clear": Image.merge("RGBA", (*photo.split(), photo.convert("L"))),
        "g gray clear": Image.merge(
            "LA", (photo.convert("L"), photo.convert("L").transpose(Image.Transpose.ROTATE_180))
        ),
        "h screen": Image.fromarray(screen),
        "i bits": Image.fromarray(digits[8].bits > 0),
        "j deep": Image.fromarray(deep),
    }
    for name, one in pictures.items():
        one.save(f"{folder}/{name}.png", **({"dpi": (300, 300)} if name[0] in "ac" else {}))
    return [f"{folder}/{name}.png" for name in pictures]


def packed(choice, *paths, jobs=1, **options):
    """The archive of some sources, and its ledger."""
    out, ask = io.BytesIO(), choice.ask
    with gather([str(path) for path in paths], ask.threshold, ask.lossless) as gathered:
        own = Settings(**{"lossless": ask.lossless, "effort": ask.effort, **options})
        ledger = pack.pack_mixed(gathered.sources, out, choice, own, jobs=jobs)
    assert ledger.total_bytes == len(out.getvalue())
    assert sum(ledger.bits.values()) == pytest.approx(8 * ledger.total_bytes)
    return out.getvalue(), ledger


def restored(data, folder, **options):
    opened = Opened(io.BytesIO(data))
    with Restorer(Path(folder), opened.header.forms, False) as restorer:
        done = unpack.restore(opened, restorer, model=SMALL, **options)
    return [str(path.relative_to(folder)) for path in done.written], [*opened.damages, *done.lost]


def images(data, **options):
    """The images that an archive still holds, by number, as (name, geometry, samples); and what it says is wrong."""
    opened = Opened(io.BytesIO(data))
    found, problems = {}, list(opened.damages)
    for piece in unpack.unpack(opened, model=SMALL, **options):
        problems += [piece.error] * (piece.error is not None)
        for name, number, one in zip(opened.names(piece), piece.numbers, piece.pictures, strict=False):
            found[number] = name, one.raster.geometry, one.raster.samples.tobytes(), one.metadata
    return found, problems


@pytest.fixture
def small():
    """A small archive of a photo, a digit, a palette picture, a row of an array and a gray picture, in that order."""
    few, digit = Image.fromarray(PHOTO[:5, :6]), demo_digits()[3]
    pictures = {"a": few, "b": Image.fromarray(digit.bits * np.uint8(255)), "c": few.quantize(5), "d": few.convert("L")}
    for name, one in pictures.items():
        one.save(f"{name}.png")
    np.save("x.npy", demo_digits()[5].bits[None])
    return packed(choice(), "a.png", "b.png", "c.png", "x.npy", "d.png")[0]


# Round trips


@pytest.mark.parametrize("chunk", [1, 3, None])
def test_pictures_of_any_kind_come_back_as_they_came(chunk):
    names = write_pictures("in")
    np.save("x.npy", np.stack([digit.bits for digit in demo_digits()[20:23]]) * np.uint8(7))
    data, ledger = packed(choice(), "in", "x.npy", chunk=chunk)
    assert data[:2] == b"\xd7\x2c"
    assert (ledger.images, len(ledger.image_bits)) == (13, 13)
    written, lost = restored(data, "out")
    assert lost == []
    assert written == [*names, "x.npy"], "in the order of the images"
    for name in names:
        before, after = (read_picture(Path(folder, name).read_bytes(), exact=True) for folder in (".", "out"))
        assert same_colours(before.raster, after.raster), name
        kinds = {before.raster.format.kind, after.raster.format.kind}
        assert len(kinds) == 1 or "digit" in name  # drawings are written in as few bits as will do
        assert before.metadata == after.metadata, name
    assert same_array(np.load("out/x.npy"), np.load("x.npy"))
    opened = Opened(io.BytesIO(data))
    assert unpack.verify(opened, model=SMALL) == []
    assert [*unpack.names(opened)] == [*names, *(f"x.npy/{i}" for i in range(3))]


def test_drawings_are_chained_and_others_stand_in_one_chunk_a_model():
    write_pictures("in")
    data, _ = packed(choice(), "in")
    opened = Opened(io.BytesIO(data))
    heads = [opened.head(place)[0] for place in opened.places]
    assert sorted((head.apart is None, [*head.numbers]) for head in heads) == [
        (False, [0, 2, 5, 6]),
        (False, [4, 7, 9]),
        (True, [1, 3, 8]),
    ]
    assert len({head.model for head in heads}) == 3


@pytest.mark.parametrize("ask", [{"lossless": True}, {"lossless": False}, {"lossless": False, "quality": 80.0}])
def test_each_picture_decodes_to_what_its_file_decodes_to(ask):
    names, chosen = write_pictures("in"), choice(**ask)
    if not ask["lossless"]:
        names.remove("in/j deep.png")
        Path("in/j deep.png").unlink()
    found, problems = images(packed(chosen, "in")[0], sampling=Sampling(5, 0.5))
    assert problems == []
    for number, name in enumerate(names):
        readable = Readable.of_file(Path(name).read_bytes(), name, exact=ask["lossless"])
        encoded = codec.kept(codec.smallest(chosen, [chosen.see(readable)])[0]).encoded
        (decoded,) = codec.decode([encoded.data], Sampling(5, 0.5), model=SMALL)
        geometry, samples = decoded.raster.geometry, decoded.raster.samples.tobytes()
        if "bits" in name and ask != {"lossless": False}:  # an exact drawing, whose file may be of another model
            truth = np.asarray(Image.open(name).convert("L"))
            kept = np.frombuffer(found[number][2], np.uint8).reshape(truth.shape)
            assert np.array_equal(decoded.raster.colours()[..., 0], truth)
            assert np.array_equal(kept * np.uint8(1 if kept.max() > 1 else 255), truth)
        else:
            assert found[number][:3] == (name, geometry, samples)


def test_opacity_has_a_row_of_its_own():
    names = write_pictures("in")
    opacity = [packed(choice(), name)[1].bits.get("opacity_bits", 0.0) for name in names]
    assert [name for name, bits in zip(names, opacity, strict=True) if bits] == [
        "in/f clear.png",
        "in/g gray clear.png",
    ]
    assert packed(choice(), "in")[1].bits["opacity_bits"] == pytest.approx(sum(opacity))


def test_any_number_of_jobs_gives_the_same_bytes_and_pictures():
    write_pictures("in")
    one, _ = packed(choice(), "in", chunk=3)
    assert packed(choice(), "in", chunk=3, jobs=2)[0] == one
    assert images(one, jobs=2) == images(one)


def test_a_drawing_that_costs_less_without_a_model_is_taken_out_of_its_chain(digits):
    page = np.zeros((200, 200), np.uint8)
    page[::2] = 1
    for name, drawing in {"a": digits[0], "b": Drawing(page), "c": digits[1]}.items():
        save(f"in/{name}.png", drawing)
    data, ledger = packed(choice(), "in")
    opened = Opened(io.BytesIO(data))
    together = [[*head.numbers] for place in opened.places if (head := opened.head(place)[0]).apart is None]
    assert together == [[0, 2]]
    assert ledger.image_bits[1] < 2000
    assert restored(data, "out")[0] == ["in/a.png", "in/b.png", "in/c.png"]


@pytest.mark.parametrize("ask", [{"lossless": True}, {"lossless": False}, {"lossless": False, "quality": 60.0}])
def test_an_archive_is_hardly_larger_than_its_pictures_as_files(ask):
    """By at most 1 % and 200 bytes, names aside, whichever pictures they are."""
    names, chosen, bytes_of = write_pictures("in"), choice(**ask), {}
    for name in names if ask["lossless"] else names[:-1]:
        readable = Readable.of_file(Path(name).read_bytes(), name, exact=ask["lossless"])
        bytes_of[name] = len(codec.kept(codec.smallest(chosen, [chosen.see(readable)])[0]).encoded.data)
    rng = np.random.default_rng(0)
    some = [rng.permutation([*bytes_of])[: rng.integers(2, 7)].tolist() for _ in range(4)]
    for own in ([*bytes_of], *([name] for name in names[:2]), *some):
        data, ledger = packed(chosen, *own)
        total = len(data) - ledger.bits.get("name_bits", 0) / 8
        assert total <= 1.01 * sum(map(bytes_of.__getitem__, own)) + 200


def test_drawings_alone_are_version_1_as_ever(run, digits):
    for i, digit in enumerate(digits[:5]):
        save(f"in/{i}.png", digit)
    np.save("x.npy", digits[9].bits[None])
    vlae_codec.pack(["in", "x.npy"], "a.vlz")
    out = io.BytesIO()
    with gather(["in", "x.npy"]) as gathered:
        pack.pack(gathered.sources, out, zoo.load_default())
    assert Path("a.vlz").read_bytes() == out.getvalue()
    assert json.loads(run("list", "a.vlz", "--json").stdout)["format_version"] == 1


def test_sets_and_arrays_of_other_models_are_refused():
    write_pictures("in")
    np.save("x.npy", demo_digits()[0].bits[None])
    with pytest.raises(ImageError, match="in order"):
        packed(choice(), "in", ordered=False)
    with pytest.raises(ImageError, match="not arrays of two levels"):
        packed(chooser(Ask(lossless=True, effort=0), SMALL), "x.npy")


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_archives_decode_to_their_content(name):
    from make_golden_archive import content_of  # which is made with what is here

    data, content = GOLDEN[name]
    assert content_of(base64.b64decode(data)) == content


# One picture at a time


def test_a_picture_is_read_without_the_others_of_its_chunk(monkeypatch, small):
    Path("set.vlz").write_bytes(small)
    decoded, read = [], []
    unmake, read_part = chunks.unmake, frame._read
    monkeypatch.setattr(chunks, "unmake", lambda *all: decoded.append(all[1].images) or unmake(*all))
    with vlae_codec.open_archive("set.vlz", model=SMALL) as archive:
        monkeypatch.setattr(frame, "_read", lambda *all: read.append(all[2]) or read_part(*all))
        assert len(archive) == 5
        place = Opened(io.BytesIO(small)).place_of(4)
        assert place.images == 2
        gray = archive[4]
        assert np.array_equal(gray, np.asarray(Image.open("d.png")))
        assert read[-1] < place.length / 4
        assert np.array_equal(archive[0], PHOTO[:5, :6])
        assert np.array_equal(archive[3], demo_digits()[5].bits)
        assert archive[4] is not gray
        assert decoded == [1, 1, 2], "photos one by one, drawings together, and nothing twice"


def test_of_pictures_apart_only_those_that_are_asked_for_are_decoded(monkeypatch, small):
    decoded, unmake = [], chunks.unmake
    monkeypatch.setattr(chunks, "unmake", lambda *all: decoded.append([*all[1].place.numbers]) or unmake(*all))
    opened = Opened(io.BytesIO(small))
    for patterns, expected, units in (
        (["d.png"], ["d.png"], [[4]]),
        (["[ac].png", "nothing"], ["a.png", "c.png", "nothing"], [[0], [2]]),
        (["b.png"], ["b.png"], [[1, 3]]),
        (["*"], ["a.png", "d.png", "b.png", "x.npy/0", "c.png"], [[0], [4], [1, 3], [2]]),
    ):
        decoded.clear()
        assert [taken.name for taken in unpack.take(opened, patterns, model=SMALL)] == expected
        assert decoded == units


def test_an_archive_gives_arrays_and_pillow_images_of_any_kind():
    names = write_pictures("in")
    Path("set.vlz").write_bytes(packed(choice(), "in")[0])
    with vlae_codec.open_archive("set.vlz", model=SMALL) as archive:
        assert list(archive.names) == names
        for number, name in enumerate(names):
            with Image.open(name) as opened:
                one, mode = archive.picture(number), opened.mode
                expected = np.asarray(opened.convert({"P": "RGB", "1": "L"}.get(mode, mode)))
            assert np.array_equal(archive[number], expected), name
            assert archive[number].dtype == expected.dtype
            assert one.mode == mode or (mode == "1" and one.mode == "L")
            assert archive.find(name) == number
        assert archive.picture(0).info["dpi"] == pytest.approx((300, 300), rel=1e-4)
        assert archive.metadata(0).resolution
        assert not archive.metadata(1).resolution


def test_one_picture_may_not_claim_more_than_is_allowed(small):
    Path("set.vlz").write_bytes(small)
    with vlae_codec.open_archive("set.vlz", model=SMALL, max_bytes=89) as archive:
        with pytest.raises(FormatError, match="max_bytes=90"):
            archive[0]
        assert archive[4].shape == (5, 6)


# Damage


def check_damaged(data, whole, spared):
    """Nothing wrong comes out, all that is spared does, and what is lost is told."""
    found, problems = images(data)
    assert found.items() <= whole.items()
    assert spared <= found.keys()
    assert problems or found == whole
    assert all(problem.isprintable() for problem in problems)


def test_a_flipped_bit_costs_no_more_than_its_chunk_and_in_a_payload_no_more_than_its_picture(small):
    whole, _ = images(small)
    opened = Opened(io.BytesIO(small))
    assert len(whole) == 5
    for position in range(0, len(small), 7):
        damaged = bytearray(small)
        damaged[position] ^= 1 << position % 8
        hit = [place for place in opened.places if place.offset <= position < place.offset + place.length]
        spared = whole.keys() - {number for place in hit for number in place.numbers}
        for place in hit:
            head, head_bytes = opened.head(place)
            at = position - place.offset - head_bytes
            if head.apart is not None and at >= 0:
                own = {
                    i for i, span in enumerate(map(head.apart.span, range(head.images))) if span.start <= at < span.stop
                }
                metadata = at >= sum(head.apart.sizes)
                spared |= {n for i, n in enumerate(head.numbers) if i not in own and not metadata}
        check_damaged(bytes(damaged), whole, spared)


def test_a_cut_archive_keeps_the_chunks_before_the_cut(small):
    whole, _ = images(small)
    places = Opened(io.BytesIO(small)).places
    for cut in range(0, len(small), 5):
        if cut < min(place.offset for place in places):
            with pytest.raises(FormatError):
                images(small[:cut])
        else:
            here = [place for place in places if place.offset + place.length <= cut]
            check_damaged(small[:cut], whole, {number for place in here for number in place.numbers})


def test_what_is_lost_is_named(small):
    opened = Opened(io.BytesIO(small))
    place = opened.place_of(4)
    head, head_bytes = opened.head(place)
    damaged = bytearray(small)
    damaged[place.offset + head_bytes + head.apart.span(1).start + 3] ^= 1
    assert [re.sub(": .*", "", line) for line in restored(bytes(damaged), "out")[1]] == ["lost d.png"]
    damaged[place.offset + 5] ^= 1
    problems = restored(bytes(damaged), "out2")[1]
    assert [re.sub(": .*", "", line) for line in problems] == ["lost 2 of the images 0 to 4 of the archive"]
    some = unpack.restore_some(Opened(io.BytesIO(damaged)), ["d.png", "c.png"], Path("out3"), force=False)
    assert "the archive has no image named d.png, or its name is among those lost" in some.lost


def test_lost_images_that_are_scattered_are_all_named():
    opened = Opened(io.BytesIO(forged(head_of(Geometry(2, 2, RGB), 14))))
    names = tuple(f"{letter}.png" for letter in "abcdefghijkl")
    for numbers, said in (
        (Numbers.between(0, 12), "12 images, a.png to l.png"),
        (Numbers.of([*range(11), 13]), ", ".join(names)),
    ):
        assert unpack.described(opened, Piece(numbers, names)) == said


# Hostile archives


def forged(*heads, manifests=None, payload=b""):
    """An archive of chunks with those heads, whose checks hold."""
    images = max((head.numbers.last + 1 for head in heads), default=1)
    header = version2.write_header(Header(None, False, True, Forms(manifests or [FilesForm(images)])))
    parts = [version2.write_head(head) + payload for head in heads]
    return (
        header
        + b"".join(parts)
        + frame.write_index(header, list(zip(map(len, parts), (h.numbers for h in heads), strict=True)))
    )


def head_of(form, count=1, model=0, sizes=None, said=None, metadata=(), names=None, first=0):
    names = tuple(f"{i}.png" for i in range(count)) if names is None else names
    apart = Apart(sizes or (20,) * count, said or (0,) * count, metadata)
    return Head(Numbers.between(first, count), names, ((form, count),), b"", 0, model, apart)


RGB = PixelFormat(Kind.RGB)


def test_claims_are_checked_before_anything_is_allocated(run):
    large = Geometry(1 << 14, 1 << 14, RGB)
    Path("a.vlz").write_bytes(forged(head_of(large), payload=bytes(20)))
    said = run("unpack", "a.vlz", expect=1).stderr
    assert f"claims {3 << 28} bytes of pixels" in said
    assert "--max-bytes" in run("test", "a.vlz", expect=1).stderr
    assert not Path("a").exists()
    many = head_of(Geometry(4096, 4097, RGB), 2)
    assert "bytes of samples" in images(forged(many, payload=bytes(40)))[1][-1]
    for first in (0, (1 << 34) - 2):
        head = head_of(Geometry(9, 9), first=first)
        found, problems = images(forged(head, payload=bytes(20)))
        assert (found, len(problems)) == ({}, 3 if first else 1)


@pytest.mark.parametrize(
    "head",
    [
        head_of(Geometry(9, 9), sizes=((1 << 35) - 1,)),
        head_of(Geometry(9, 9), said=(1,), metadata=(5,)),
        head_of(Geometry(9, 9), model=5),
        head_of(Geometry(9, 9), names=("a.png", "b.png")),
        head_of(Geometry(9, 9), names=()),
        replace(head_of(Geometry(9, 9)), apart=None, model=0),
        replace(head_of(Geometry(9, 9)), apart=None, model=5, state=bytes(3)),
        replace(head_of(Geometry(9, 9)), apart=None, model=5, state=bytes(99)),
    ],
)
def test_chunks_that_contradict_themselves_are_told_in_a_line(head):
    found, problems = images(forged(head, payload=checked(bytes(20))))
    assert found == {}
    assert problems
    assert all(problem.isprintable() for problem in problems)
    form = ArrayForm("npy", "x.npy", "|u1", (1, 9, 9), 0, 255)
    assert images(forged(replace(head, names=()), manifests=[form], payload=checked(bytes(20))))[0] == {}


@cache
def parts():
    """Head, as bytes without their check, and payload of a chunk of two pictures without a model."""
    chosen = choice()
    found = []
    for array in (PHOTO[:5, :6] // 64 * 64, np.arange(30, dtype=np.uint16).reshape(5, 6)):
        (made,) = codec.smallest_of(chosen, [[chosen._whole(Readable.of_given(array).picture(), 0)]])
        found.append((made.way.view.raster.geometry, made.sections.data))
    sizes = tuple(len(data) for _, data in found)
    runs = tuple((form, 1) for form, _ in found)
    head = Head(Numbers.between(0, 2), ("a.png", "b.png"), runs, b"", 0, 0, Apart(sizes, (0, 0)))
    return version2.write_head(head)[:-4], b"".join(data for _, data in found)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_bytes_behind_good_checks_never_do_worse_than_a_clean_error(data):
    head, payload = map(bytearray, parts())
    for part in (head, payload):
        for _ in range(data.draw(st.integers(0, 3))):
            part[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(0, 255))
    header = version2.write_header(Header(None, False, True, Forms([FilesForm(2)])))
    whole = header + checked(bytes(head)) + bytes(payload)
    for forgery in (whole, whole + frame.write_index(header, [(len(whole) - len(header), Numbers.between(0, 2))])):
        try:
            images(forgery, most_bytes=1 << 20)
            Path("x.vlz").write_bytes(forgery)
            with vlae_codec.open_archive("x.vlz", max_bytes=1 << 20) as archive:
                assert [*archive]
        except VlaeError as error:
            assert str(error).isprintable()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_random_heads_never_do_worse_than_a_clean_error(body):
    try:
        version2.parse_head(Cursor(checked(version2.CHUNK_MARKER + body)))
    except FormatError as error:
        assert str(error).isprintable()


def test_headers_of_other_flags_are_refused(small):
    header = small[: Opened(io.BytesIO(small)).places[0].offset]
    for flags, message in ((0x2D, "flags"), (0x2E, "flags"), (0x24, "single image"), (0x3C, "version 3")):
        with pytest.raises(FormatError, match=message):
            frame.read_header(header[:1] + bytes([flags]) + header[2:])
    with pytest.raises(FormatError, match="set without order"):
        frame.read_header(version2.write_header(Header(None, False, False, Forms([FilesForm(1)]))))
    with pytest.raises(FormatError, match="use unpack"):
        codec.decode([small])


# Numbers


@given(st.sets(st.integers(0, 60), min_size=1))
def test_numbers_are_runs_of_what_they_are(numbers):
    ordered = sorted(numbers)
    found = Numbers.of(ordered)
    assert [*found] == ordered
    assert (found.images, found.first, found.last) == (len(ordered), ordered[0], ordered[-1])
    assert [found.position(number) for number in ordered] == [*range(len(ordered))]
    data = found.write()
    assert version2._read_numbers(cursor := Cursor(data)) == found
    assert cursor.at == len(data)
    rest = missing([found], 70)
    assert sorted([*found, *rest]) == [*range(70)]
    forms = Forms([FilesForm(30), FilesForm(41)])
    assert [(form.count, row) for form, own in found.parts(forms) for row in own] == [
        (30, number) if number < 30 else (41, number - 30) for number in ordered
    ]


@given(st.lists(st.sets(st.integers(0, 20), min_size=1, max_size=6), max_size=9))
def test_numbers_are_taken_once(sets):
    taken, free = Taken(18), {*range(18)}
    for numbers in sets:
        assert taken.take(Numbers.of(sorted(numbers))) == (numbers <= free)
        free -= numbers if numbers <= free else set()


# The command line


def write_drawings(digits):
    """Five digits, and a signature and a board that no model knows."""
    for number, digit in enumerate(digits[:5]):
        save(f"in/{number}.png", digit)
    x = np.linspace(0, 1, 2000)
    strokes = np.zeros((84, 280), np.uint8)
    strokes[(42 + 30 * np.sin(17 * x)).astype(int), (10 + 250 * x).astype(int)] = 1
    save("in/signature.png", Drawing(strokes))
    save("in/board.png", Drawing(np.kron(np.indices((7, 7)).sum(axis=0) % 2, np.ones((8, 8))).astype(np.uint8)))


def test_a_lossy_archive_keeps_exactly_what_no_model_knows(run, digits):
    write_drawings(digits)
    said = run("pack", "in", "--lossy", "--effort", 0, "-o", "x.vlz", "--json")
    assert json.loads(said.stdout)["unlike"] == ["in/board.png", "in/signature.png"]
    assert "kept exactly, since it is unlike" in said.stderr
    run("unpack", "x.vlz", "-o", "out")
    for name in ("board", "signature"):
        assert np.array_equal(levels_of(f"out/in/{name}.png"), levels_of(f"in/{name}.png"))
    assert not np.array_equal(levels_of("out/in/3.png"), levels_of("in/3.png"))


def test_a_model_that_is_named_insists_in_a_lossy_archive(run, digits):
    write_drawings(digits)
    said = run("pack", "in", "--lossy", "--model", "mnist-dynamic", "--effort", 0, "-o", "x.vlz", "--json")
    assert json.loads(said.stdout)["unlike"] == ["in/board.png", "in/signature.png"]
    assert "unlike what the model mnist-dynamic was trained on: 2 of 7 images" in said.stderr
    run("unpack", "x.vlz", "-o", "out")
    assert not np.array_equal(levels_of("out/in/signature.png"), levels_of("in/signature.png"))


def test_an_archive_of_drawings_that_no_model_knows_is_hardly_larger_than_their_files(run, digits):
    write_drawings(digits)
    names = ["in/board.png", "in/signature.png"]
    files = [one.result().data for one in vlae_codec.compress_files(names, lossless=True, effort=0)]
    vlae_codec.pack(names, "x.vlz", effort=0)
    assert Path("x.vlz").stat().st_size <= 1.01 * sum(map(len, files)) + 200


def test_there_and_back_on_the_command_line(run):
    write_pictures("in")
    Path("in/f clear.png").unlink()  # small ones are enough for a model that is slow
    shown = run("pack", "in/a photo.png", "in/b digit.png", "in/h screen.png", "-o", "x.vlz").stdout
    assert "3 images" in shown
    about = json.loads(run("list", "x.vlz", "--json", "--names").stdout)
    assert about["names"] == ["a photo.png", "b digit.png", "h screen.png"]
    assert (about["format_version"], about["model"]) == (2, "mnist-dynamic, none"), "a photo so small needs none"
    assert "ok" in run("test", "x.vlz").stdout
    assert "model            mnist-dynamic, none" in run("info", "x.vlz").stdout
    run("unpack", "x.vlz")
    assert np.array_equal(np.asarray(Image.open("x/a photo.png")), PHOTO)
    run("unpack", "x.vlz", "--only", "*photo*", "-o", "some")
    assert [path.name for path in Path("some").iterdir()] == ["a photo.png"]
    lossy = run("pack", "in/a photo.png", "in/c gray.png", "-Q", 20, "-o", "y.vlz")
    assert "re-sampled" not in lossy.stderr
    assert Path("y.vlz").stat().st_size < Path("x.vlz").stat().st_size / 2
    assert "re-sampled" not in run("unpack", "y.vlz").stderr
    difference = np.asarray(Image.open("y/a photo.png")).astype(int) - PHOTO
    assert 0 < np.abs(difference).mean() < 30
    assert "lossless" in run("pack", "in/a photo.png", "-Q", 20, "--lossless", "-o", "z.vlz", expect=2).stderr
    run("pack", "in/a photo.png", "--model", "photo", "-o", "z.vlz")
    assert "two colours" in run("pack", "in/a photo.png", "--model", "mnist", "-f", "-o", "z.vlz", expect=1).stderr


def test_metadata_are_kept_as_asked(run):
    exif = Image.Exif()
    exif[0x010F] = "maker"
    Image.fromarray(PHOTO[:9, :9] // 128 * 128).save("a.png", dpi=(99, 99), exif=exif)
    for options, dpi, kept in (([], True, False), (["--keep-metadata"], True, True), (["--strip"], False, False)):
        run("pack", "a.png", "-f", "-o", "x.vlz", *options)
        run("unpack", "x.vlz", "-f", "-o", "out")
        with Image.open("out/a.png") as found:
            assert ("dpi" in found.info, bool(found.getexif())) == (dpi, kept)
    run("pack", "a.png", "-f", "-o", "x.vlz", "--strip", "--keep-metadata", expect=2)


def test_an_archive_is_told_as_a_share_of_its_sources_and_why_it_is_larger(run, tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8))
    noise.save(tmp_path / "noise.jpg", quality=20)
    noise.save(tmp_path / "noise.bmp")
    told = run("pack", "noise.jpg", "-o", "jpeg.vlz")
    assert "larger than what it was made of: pixels cost more than the lossy files" in told.stderr
    assert " of its sources, " in told.stdout
    about = json.loads(run("pack", "noise.bmp", "-o", "bmp.vlz", "--json").stdout)
    assert about["source_bytes"] == (tmp_path / "noise.bmp").stat().st_size
    assert about["why_larger"] is None
