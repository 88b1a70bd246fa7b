"""Laws of the two directions: exact round trips, rates, prefixes, damage, and pictures that never change."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import HERE, TINY
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from make_golden import picture_of
from PIL import Image

import vlae_codec
from vlae_codec import codec, container, zoo
from vlae_codec.container import Header, Kind
from vlae_codec.errors import FormatError, ImageError, ModelError, TruncatedError
from vlae_codec.family import Sampling
from vlae_codec.field import search
from vlae_codec.picture.drawing import Drawing, Look
from vlae_codec.picture.fields import CODING_ORDER
from vlae_codec.picture.images import to_drawing

GOLDEN = sorted((HERE / "golden").glob("*.json"))


def encode(drawings, model, **options):
    return codec.encode(drawings, model, effort=options.pop("effort", 0), **options)


@pytest.fixture(scope="module")
def lossless(tiny, digits):
    return encode(digits[:20], tiny, lossless=True)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_files_decode_to_their_pictures(path):
    golden = json.loads(path.read_text())
    model = zoo.load(TINY) if path.stem == "tiny" else zoo.named(path.stem)
    assert model.digest.hex() == golden["sha256"], (
        "a released model never changes: give a new one a new name and number"
    )
    for case in golden["cases"]:
        options = {key: case[key] for key in ("seed", "temperature", "partial") if key in case}
        assert picture_of(bytes.fromhex(case["file"]), model, **options) == case["picture"], case["name"]


def test_a_lossless_file_is_the_shortest_of_those_near_the_least_cost(tiny, digits, monkeypatch):
    chosen = encode(digits[:20], tiny, lossless=True, effort=3)
    monkeypatch.setattr(search, "_RUNNERS_UP_BITS", 0.0)
    alone = encode(digits[:20], tiny, lossless=True, effort=3)
    sizes = [[encoded.ledger.total_bytes for encoded in some] for some in (chosen, alone)]
    assert all(size <= least for size, least in zip(*sizes, strict=True))
    assert sum(sizes[0]) < sum(sizes[1])


def test_lossless_restores_every_pixel(tiny, digits, lossless):
    decoded = codec.decode([encoded.data for encoded in lossless], model=tiny)
    for digit, result in zip(digits, decoded, strict=False):
        assert np.array_equal(result.drawing.bits, digit.bits)
        assert (result.exact_samples, result.sampled_samples) == (784, 0)


def test_lossless_costs_its_ideal_and_never_more_than_raw(tiny, digits, lossless):
    for encoded in lossless:
        ledger = encoded.ledger
        assert ledger.total_bytes == len(encoded.data)
        assert ledger.container_bytes + ledger.coded_bits / 8 == ledger.total_bytes
        assert ledger.coded_bits <= ledger.ideal_bits + 8.1
    noise = Drawing(np.random.default_rng(0).integers(0, 2, (28, 28), np.uint8))
    raw = encode([noise], tiny, lossless=True)[0].data
    assert len(raw) == 784 // 8 + 3 + 4
    assert np.array_equal(codec.decode([raw])[0].drawing.bits, noise.bits)


def test_lossy_ledger_tells_the_truth(tiny, digits):
    encoded = encode(digits, tiny, effort=1)
    decoded = codec.decode([result.data for result in encoded], model=tiny)
    for digit, result, picture in zip(digits, encoded, decoded, strict=True):
        assert int((picture.drawing.bits != digit.bits).sum()) == result.ledger.differing_pixels
        assert picture.sampled_samples == 784
    by_effort = [
        sum(r.ledger.coded_bits + r.ledger.distortion_bits for r in encode(digits, tiny, lossless=True, effort=effort))
        for effort in (0, 3)
    ]
    assert by_effort[1] < by_effort[0]


def test_decoding_is_the_same_alone_in_a_batch_and_in_any_order(tiny, digits):
    files = [result.data for result in encode(digits[:30], tiny)]
    files += [result.data for result in encode(digits[:5], tiny, lossless=True)]
    together = [result.drawing.bits for result in codec.decode(files, model=tiny)]
    backwards = [result.drawing.bits for result in codec.decode(files[::-1], model=tiny)][::-1]
    alone = [codec.decode([data], model=tiny)[0].drawing.bits for data in files]
    assert np.array_equal(together, backwards)
    assert np.array_equal(together, alone)


def test_seed_and_temperature_change_sampled_pixels_only(tiny, digits, lossless):
    lossy = encode(digits[:1], tiny)[0].data
    pictures = [codec.decode([lossy], Sampling(seed), model=tiny)[0].drawing.bits for seed in (0, 0, 1)]
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])
    cold = [codec.decode([lossy], Sampling(seed, 0.0), model=tiny)[0].drawing.bits for seed in (0, 1)]
    assert np.array_equal(*cold)
    exact = codec.decode([lossless[0].data], Sampling(5, 0.5), model=tiny)[0]
    assert np.array_equal(exact.drawing.bits, digits[0].bits)


def test_a_path_is_told_from_a_picture_and_from_a_file(tmp_path):
    for path in ("digit.png", tmp_path, b"x"):
        with pytest.raises(TypeError, match="compress_files"):
            vlae_codec.compress(path)
    for path in ("digit.vlz", tmp_path):
        with pytest.raises(TypeError, match="decompress_files"):
            vlae_codec.decompress(path)
    for odd in ([[0, 1]], np.eye(3), [np.eye(3)]):
        with pytest.raises(vlae_codec.ImageError, match="bool, uint8 or uint16"):
            vlae_codec.compress(odd)


def test_several_samplings_at_once_draw_what_each_draws_alone(tiny, digits, lossless):
    """Lossy files, whole lossless ones, one cut short and a raw one, and more samplings than are drawn together."""
    page = Drawing(np.concatenate([np.concatenate([one.bits for one in digits[:4]], 1)] * 2))
    lossy = [result.data for result in encode([digits[0], page], tiny)]
    raw = file_of(Header(Kind.RAW, 0, 8, 1).write(), b"\x12")
    files = [*lossy, lossless[0].data, lossless[1].data[:-9], raw]
    samplings = [Sampling(seed, heat) for seed in range(32) for heat in (0.0, 0.7, 1.0)]
    together = codec.decode_samples(files, samplings, partial=True, model=tiny)
    for s in (0, 1, 2, 45, 95):
        alone = [codec.decode([data], samplings[s], partial=True, model=tiny)[0] for data in files]
        for one, own in zip(alone, together, strict=True):
            assert np.array_equal(one.drawing.bits, own[s].drawing.bits)
            assert (one.exact_samples, one.sampled_samples, one.whole) == (
                own[s].exact_samples,
                own[s].sampled_samples,
                own[s].whole,
            )
    assert codec.decode_samples(files, [], partial=True, model=tiny) == [[]] * len(files)
    assert codec.decode_samples([], samplings, model=tiny) == []


def test_every_prefix_with_the_latents_decodes_and_exact_pixels_are_exact(tiny, digits, lossless):
    data, bits = lossless[0].data, digits[0].bits
    reached = []
    for cut in range(len(data)):
        with pytest.raises(FormatError):
            codec.decode([data[:cut]], model=tiny)
        try:
            result = codec.decode([data[:cut]], partial=True, model=tiny)[0]
        except FormatError:
            assert not reached, "a longer prefix must decode if a shorter one does"
            continue
        known = result.exact_samples
        assert not result.whole
        order = CODING_ORDER[:known]
        assert np.array_equal(result.drawing.bits.flat[order], bits.flat[order])
        reached.append(known)
    assert reached == sorted(reached)
    assert len(reached) > 10
    assert reached[0] < 200
    assert 600 < reached[-1] < bits.size
    with pytest.raises(TruncatedError, match="partial=True"):
        codec.decode([data[:-1]], model=tiny)


def test_a_stream_that_is_cut_lacks_a_pixel_and_a_file_cut_in_its_check_is_not_whole(tiny, lossless):
    blank = encode([Drawing(np.zeros((28, 28), np.uint8))], tiny, lossless=True)[0].data
    cut = codec.decode([blank[:-1]], partial=True, model=tiny)[0]
    assert (cut.exact_samples, cut.whole) == (28 * 28, False)
    for data in (result.data for result in lossless):
        assert codec.decode([data[:-1]], partial=True, model=tiny)[0].sampled_samples
        assert codec.decode([data], partial=True, model=tiny)[0].whole


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (28, 28), (29, 27), (100, 61), (5000, 1)])
@pytest.mark.parametrize("inverted", [False, True])
def test_any_size_and_polarity(tiny, shape, inverted):
    rng = np.random.default_rng(7)
    bits = np.kron(rng.random((shape[0] // 3 + 1, shape[1] // 3 + 1)) < 0.15, np.ones((3, 3)))[: shape[0], : shape[1]]
    array = (bits.astype(bool) ^ inverted).astype(np.uint8) * np.uint8(200)
    drawing = to_drawing(array)
    data = encode([drawing], tiny, lossless=True)[0].data
    assert np.array_equal(np.asarray(codec.decode([data], model=tiny)[0].picture), array)
    lossy = encode([drawing], tiny)[0].data
    assert codec.decode([lossy], model=tiny)[0].drawing.bits.shape == shape
    assert len(data) <= len(container.Header(Kind.RAW, 0, shape[1], shape[0], drawing.look).write()) + 4 + -(
        -bits.size // 8
    )


def test_padding_costs_no_pixel_bits(tiny, digits):
    """A field of which one column is inside pays for 28 pixels, not 784."""
    strip = Drawing(np.ascontiguousarray(digits[3].bits[:, 13:14]))
    ledger = encode([strip], tiny, lossless=True)[0].ledger
    assert ledger.distortion_bits < 28 * 3


def test_blank_fields_are_named_not_coded(tiny, digits):
    page = np.zeros((28 * 20, 28 * 10), np.uint8)
    page[28:56, 28:56] = digits[5].bits
    data = encode([Drawing(page)], tiny)[0].data
    about = codec.inspect(data, tiny)
    assert about["blank_fields"] == 199
    assert len(data) < 12 + 4 + 200 * tiny.octave_lengths[-1] / 8 + 6
    decoded = codec.decode([data], model=tiny)[0]
    assert decoded.exact_samples == 199 * 784
    assert not decoded.drawing.bits[56:].any()


def test_a_flipped_bit_anywhere_is_a_clear_error(tiny, digits, lossless):
    files = [encode(digits[:1], tiny)[0].data, lossless[1].data]
    files.append(encode([Drawing(digits[0].bits[:20], Look((9,), (77,)))], tiny)[0].data)
    for data in files:
        for position in range(8 * len(data)):
            damaged = bytearray(data)
            damaged[position // 8] ^= 1 << position % 8
            with pytest.raises((FormatError, ModelError)):
                codec.decode([bytes(damaged)], model=tiny)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\x89PNG", "not a vlz file"),
        (b"\xd7", "ends within its header"),
        (b"\xd7\x30\x01", "version 3, which is newer"),
        (b"\xd7\x1c\x01", "archive"),
        (b"\xd7\x10\xfe\0\0\0", "model with number 254"),
        (b"\xd7\x11" + b"\xab" * 8 + b"\0\0\0", "digest abababab"),
        (b"\xd7\x12\x01\xff\xff\x03\xff\xff\x03\x00\x55\x55", "beyond what any file holds"),
        (b"\xd7\x12\x01\x80\x40\x80\x40\x00\x55\x55", "fields, but has 2 bytes"),
        (b"\xd7\x12\x01\x00\x05\x00\x55\x55", "0x5 pixels"),
        (b"\xd7\x12\x01\x05\x05\x09\x55\x55", "look 9"),
    ],
)
def test_hostile_files_are_refused_by_name(data, message):
    with pytest.raises((FormatError, ModelError), match=message):
        codec.decode([data])


def file_of(head: bytes, pixels: bytes) -> bytes:
    return head + container.check(head) + container.check(pixels) + pixels


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (file_of(b"\xd7\x1a\x00\x03\x03\x00", b"\xff\xff"), "raw pixels fail"),  # padding bits
        (file_of(b"\xd7\x1a\x00\x03\x03\x00", b"\xff\x80\x00"), "1 bytes follow"),
        (file_of(b"\xd7\x1a\x01\x03\x03\x00", b"\xff\x80"), "names no model"),
        (file_of(b"\xd7\x1a\x00\x03\x03\x00", b"\xff\x80")[:-1] + b"\x00", "raw pixels fail"),
    ],
)
def test_raw_files_have_one_form(data, message):
    for partial in (False, True):
        with pytest.raises(FormatError, match=message):
            codec.decode([data], partial=partial)
    good = file_of(b"\xd7\x1a\x00\x03\x03\x00", b"\xff\x80")
    assert codec.decode([good])[0].drawing.bits.all()
    assert codec.decode([good[:-1]], partial=True)[0].exact_samples == 8


def test_a_stream_never_ends_in_zero(tiny, digits):
    head = encode(digits[:1], tiny)[0].data[:-2]
    head = head[:1] + bytes([head[1] | 4]) + head[2:]
    with pytest.raises(FormatError, match="zero byte"):
        codec.decode([file_of(head, b"\x12\x00")], model=tiny)


@pytest.mark.parametrize(
    "options", [{"seed": -1}, {"seed": 2**63}, {"temperature": -0.1}, {"temperature": float("nan")}]
)
def test_sampling_refuses_what_no_file_means(options):
    with pytest.raises(ValueError, match="must be"):
        Sampling(**options)


def test_nothing_in_nothing_out(tiny):
    assert encode([], tiny) == []
    assert codec.decode([]) == []


def test_trailing_bytes_are_refused(tiny, digits):
    data = encode(digits[:1], tiny)[0].data
    with pytest.raises(FormatError, match="follow the end"):
        codec.decode([data + b"\0"], model=tiny)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=60), head=st.sampled_from([b"", b"\xd7", b"\xd7\x10", b"\xd7\x12", "tiny", "tiny lossless"])
)
def test_random_bytes_never_do_worse_than_a_clean_error(tiny, body, head):
    if isinstance(head, str):
        flags = 0x15 if "lossless" in head else 0x11
        head = bytes([0xD7, flags]) + tiny.digest[:8]
    for partial in (False, True):
        try:
            codec.decode([head + body], partial=partial, model=tiny)
        except (FormatError, ModelError) as error:
            assert "\n" not in str(error)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=40), lossless=st.booleans())
def test_bytes_behind_a_good_check_never_do_worse_than_a_clean_error(tiny, content, lossless):
    """An attacker can compute checksums: everything behind them must hold too."""
    head = Header(Kind.LOSSLESS if lossless else Kind.LOSSY, tiny.identity).write()
    for cut in range(min(len(content), 8)):
        data = head + content[:cut]
        data += container.check(data)
        if lossless:
            data += container.check(content[cut:]) + content[cut:]
        try:
            codec.decode([data], model=tiny)
        except FormatError as error:
            assert "\n" not in str(error)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([Kind.LOSSY, Kind.LOSSLESS, Kind.RAW]),
    st.one_of(st.integers(1, 255), st.binary(min_size=8, max_size=8)),
    st.integers(1, 65535),
    st.integers(1, 1024),
    st.sampled_from(
        [Look(), Look((255,), (0,)), Look((1,), (2,)), Look((300,), (65535,), True), Look((1, 2, 3), (4, 5, 6))]
    ),
)
def test_header_round_trip(kind, model, width, height, look):
    header = Header(kind, 0 if kind == Kind.RAW else model, width, height, look)
    data = header.write() + b"\xaa" * (header.fields // 8 + 1)
    assert container.read_header(data) == (header, len(header.write()))


def test_overhead_of_the_default_is_five_bytes_and_rounding():
    assert len(Header(Kind.LOSSY, 1).write()) + container.CHECK_BYTES == 5


def test_lattice_is_taken_when_no_codeword_fits(tiny):
    rng = np.random.default_rng(0)
    odd = [Drawing((rng.random((28, 28)) < p).astype(np.uint8)) for p in np.linspace(0.2, 0.6, 12)]
    encoded = encode(odd, tiny)
    kinds = [codec.inspect(result.data, tiny)["lattice_fields"] for result in encoded]
    assert any(kinds)
    decoded = codec.decode([result.data for result in encoded], model=tiny)
    for result, picture, drawing in zip(encoded, decoded, odd, strict=True):
        assert int((picture.drawing.bits != drawing.bits).sum()) == result.ledger.differing_pixels


def test_python_api(digits):
    array = digits[4].bits * np.uint8(255)
    data = vlae_codec.compress(array, effort=0)
    assert len(data) <= 9
    picture = vlae_codec.decompress(data)
    assert (picture.mode, picture.size) == ("L", (28, 28))
    assert vlae_codec.inspect(data)["model"] == zoo.DEFAULT
    exact = vlae_codec.compress(Image.fromarray(array), effort=0, lossless=True)
    assert np.array_equal(np.asarray(vlae_codec.decompress(exact)), array)
    with pytest.raises(ValueError, match="effort"):
        vlae_codec.compress(array, effort=10)


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda: vlae_codec.compress("a.png"), TypeError, "compress_files"),
        (lambda: vlae_codec.compress(["a.png", "b.png"]), TypeError, "not list: .*compress_files"),
        (lambda: vlae_codec.compress([1, 2]), ImageError, "an array must be"),
        (lambda: vlae_codec.compress(np.zeros((4, 4))), ImageError, "of bool, uint8 or uint16, not .* float64"),
        (lambda: vlae_codec.decompress("a.vlz"), TypeError, "takes the bytes of a file, not str.*decompress_files"),
        (lambda: vlae_codec.decompress([b"x"]), TypeError, "not list"),
        (lambda: vlae_codec.inspect(Path("a.vlz")), TypeError, "inspect takes the bytes"),
        (lambda: vlae_codec.decode("a.vlz"), TypeError, "each of the files of decode is the bytes of a file, not str"),
        (lambda: vlae_codec.pack(3, "a.vlz"), TypeError, "pack takes paths, or an array of images, not int"),
        (lambda: vlae_codec.pack([], "a.vlz"), ImageError, "nothing to pack"),
        (
            lambda: vlae_codec.pack(np.eye(4)[None] / 3 + 0.1 * np.eye(4)[1], "a.vlz"),
            ImageError,
            "^the array .*float64",
        ),
        (lambda: vlae_codec.unpack(b"abc", "out"), TypeError, r"io\.BytesIO"),
        (lambda: vlae_codec.open_archive(3), TypeError, "not int"),
        (lambda: vlae_codec.pack(np.eye(28, dtype=bool)[None], 3), TypeError, "a path or a binary file, not int"),
        (lambda: vlae_codec.unpack(3, "out"), TypeError, "or a binary file, not int"),
        (lambda: next(vlae_codec.compress_files(3)), TypeError, "by their paths, not as int"),
    ],
)
def test_what_is_no_picture_or_file_is_told_what_is_meant(call, kind, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert not [*tmp_path.iterdir()], "and nothing is written"


def test_a_path_alone_is_one_path_and_not_its_letters():
    (one,) = vlae_codec.compress_files("missing.png")
    assert "missing.png" in str(one.error)
    (one,) = vlae_codec.decompress_files(Path("missing.vlz"))
    assert "missing.vlz" in str(one.error)
