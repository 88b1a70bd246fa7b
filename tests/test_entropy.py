"""Laws of words and entropy coding: golden bytes, round trips, rate bounds, prefixes."""

from __future__ import annotations

import tracemalloc

import constriction
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlae_codec.coding.bits import LONGEST_SYMBOL_BITS, BitReader, PrefixCode, Stream, read_varint, varint
from vlae_codec.coding.entropy import Decoder, Encoder, PrefixDecoder
from vlae_codec.errors import FormatError, TruncatedError
from vlae_codec.exact import random_words
from vlae_codec.exact.fixed import code_length_bits
from vlae_codec.field.latents import Blank, Lattice, Number, read, write

TOTAL = 1 << 24
MASK64 = (1 << 64) - 1


def philox_block(key: tuple[int, int], counter: int) -> list[int]:
    """Philox4x64-10 from its paper (Salmon et al. 2011), in Python integers."""
    c, k = [counter & MASK64, counter >> 64, 0, 0], list(key)
    for _ in range(10):
        low, high = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [(high >> 64) ^ c[1] ^ k[0], high & MASK64, (low >> 64) ^ c[3] ^ k[1], low & MASK64]
        k = [(k[0] + 0x9E3779B97F4A7C15) & MASK64, (k[1] + 0xBB67AE8584CAA73B) & MASK64]
    return c


def block_words(key, block):
    return [half >> 8 for value in philox_block(key, block + 1) for half in (value & 0xFFFFFFFF, value >> 32)]


def test_codeword_words_follow_the_format():
    n, latents, split = 123_456_789, 11, 4  # two blocks a codeword
    branch, root = n >> 17, n & (1 << 17) - 1
    of_root = block_words((0, 0), 2 * root) + block_words((0, 0), 2 * root + 1)
    at = 2 * ((root << 13) + branch)
    of_branch = block_words((1, 0), at) + block_words((1, 0), at + 1)
    assert random_words.codeword_words(n, latents, split).tolist() == of_root[:split] + of_branch[split:latents]
    assert random_words.codeword_words(root, latents, split).tolist() == of_root[:latents]
    assert random_words.root_words(root - 5, 9, latents)[5].tolist() == of_root[:latents]
    assert random_words.branch_words(root, branch - 5, 9, latents)[5].tolist() == of_branch[:latents]


def test_pixel_words_follow_the_format():
    identity, seed = 0x123456789ABCDEF0, 41
    expected = block_words((identity, 42), 0) + block_words((identity, 42), 1)
    assert random_words.pixel_words(seed, identity, 784)[:16].tolist() == expected
    assert len(random_words.pixel_words(seed, identity, 784)) == 784


def stream(bits, ink, lead=0):
    encoder = Encoder()
    encoder.put_bits(np.array(bits, np.uint8), np.array(ink))
    return encoder.finish(lead)


def code(bits, ink):
    return stream(bits, ink).rest


def test_golden_bytes():
    rng = np.random.default_rng(0)
    ink = rng.integers(1, TOTAL, 100)
    bits = (rng.integers(0, TOTAL, 100) < ink).astype(np.uint8)
    assert code(bits, ink).hex() == GOLDEN_BITS
    encoder = Encoder()
    for symbol, counts in (
        (0, [1, TOTAL - 1]),
        (2, [7, 8, TOTAL - 15]),
        (1, [TOTAL - 1000, 999, 1]),
        (2, [5, 5, TOTAL - 10]),
    ):
        encoder.put_symbol(symbol, np.array(counts))
    assert encoder.finish().rest.hex() == GOLDEN_SYMBOLS


GOLDEN_BITS = "6dc70f6ff9d7a76463506f"
GOLDEN_SYMBOLS = "000000fffb"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400), st.integers(0, 2**32), st.sampled_from([0.02, 0.3, 3.0]), st.integers(0, 7))
def test_bits_round_trip_within_the_rate_bound(length, seed, shape, lead):
    rng = np.random.default_rng(seed)
    ink = np.clip((rng.beta(shape, shape, length) * TOTAL).astype(np.int64), 1, TOTAL - 1)
    bits = (rng.integers(0, TOTAL, length) < ink).astype(np.uint8)
    found = stream(bits, ink, lead)
    assert np.array_equal(Decoder(found.joined()).get_bits(ink), bits)
    ideal_bits = code_length_bits(np.where(bits == 1, ink, TOTAL - ink)).sum()
    assert lead + 8 * len(found.rest) <= max(lead, ideal_bits + 8.01)
    assert (found.lead, found.first >> lead) == (lead, 0)
    assert not found.rest.endswith(b"\0")


class SlowEncoder:
    """The obvious reference of `Encoder.finish`: tries every length, and decodes all symbols of each."""

    def __init__(self):
        self.coder, self.symbols = constriction.stream.queue.RangeEncoder(), []

    def put(self, symbol, counts):
        weights = (np.array(counts) - 1).astype(np.float64)
        self.coder.encode(symbol, constriction.stream.model.Categorical(weights, perfect=False))
        self.symbols.append((symbol, np.array(counts)))

    def finish(self, lead):
        full = self.coder.get_compressed().astype(">u4").tobytes()
        best = Stream(b"")
        for length in range(len(full), -1, -1):
            bits = lead + 8 * length
            value = int.from_bytes(full + b"\0", "big") >> 8 * len(full) + 8 - bits
            cuts = [
                Stream((cut % (1 << 8 * length)).to_bytes(length, "big"), cut >> 8 * length, lead)
                for cut in (value, value + 1)
                if not cut >> bits
            ]
            shorter = [cut for cut in cuts if self.decodes(cut)]
            if not shorter:
                break
            best = shorter[0]
        return Stream(best.rest.rstrip(b"\0"), best.first, lead)

    def decodes(self, stream):
        decoder = Decoder(stream.joined())
        try:
            return all(decoder.get_symbol(counts) == symbol for symbol, counts in self.symbols)
        except FormatError:
            return False


@st.composite
def steps(draw):
    """Runs of symbols and their counts: likely and unlikely ones, at either end of the coder's interval or within."""
    length = draw(st.integers(1, 12))
    ink = draw(
        st.sampled_from([1, 2, 1000, TOTAL // 2, TOTAL - 1000, TOTAL - 2, TOTAL - 1]) | st.integers(1, TOTAL - 1)
    )
    low = draw(st.integers(1, TOTAL - 2))
    counts = draw(st.sampled_from([[TOTAL - ink, ink], [low, 1, TOTAL - 1 - low]]))
    return [draw(st.integers(0, len(counts) - 1))] * length, counts


@settings(max_examples=400, deadline=None)
@given(st.lists(steps(), max_size=8), st.integers(0, 7))
def test_the_end_is_that_of_trying_every_length(runs, lead):
    encoder, slow = Encoder(), SlowEncoder()
    for symbols, counts in runs:
        if len(counts) == 2:
            encoder.put_bits(np.array(symbols, np.uint8), np.full(len(symbols), counts[1]))
        for symbol in symbols:
            slow.put(symbol, counts)
            if len(counts) > 2:
                encoder.put_symbol(symbol, np.array(counts))
    assert encoder.finish(lead) == slow.finish(lead)


def test_an_encoder_holds_no_symbols_and_a_million_round_trip():
    """A million decisions in one call and in many: the same code, and what is held in between is not theirs."""
    rng = np.random.default_rng(1)
    ink = np.clip((rng.beta(0.1, 0.1, 1_000_000) * TOTAL).astype(np.int64), 1, TOTAL - 1)
    bits = (rng.integers(0, TOTAL, len(ink)) < ink).astype(np.uint8)
    tracemalloc.start()
    try:
        encoder = Encoder()
        for start in range(0, len(ink), 10_000):
            encoder.put_bits(bits[start : start + 10_000], ink[start : start + 10_000])
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 10_000
    found = encoder.finish()
    assert found == stream(bits, ink)
    assert np.array_equal(Decoder(found.joined()).get_bits(ink), bits)


def test_probability_is_the_count_exactly():
    """1000 symbols of count c cost 1000 * -log2(c / 2^24) bits: no rounding on constriction's way in."""
    for count in (1, 2, 3, 1000, TOTAL // 3, TOTAL - 1):
        ink = np.full(1000, count)
        ideal_bits = 1000 * code_length_bits(np.array([count]))[0]
        size = len(code(np.ones(1000, np.uint8), ink)) * 8
        assert ideal_bits - 8 <= size <= ideal_bits * 1.0001 + 16


@pytest.mark.parametrize("lead", [0, 3, 7])
def test_a_prefix_determines_only_true_bits_and_lags_little(lead):
    rng = np.random.default_rng(3)
    ink = np.clip((rng.beta(0.2, 0.2, 784) * TOTAL).astype(np.int64), 1, TOTAL - 1)
    bits = (rng.integers(0, TOTAL, 784) < ink).astype(np.uint8)
    cost = code_length_bits(np.where(bits == 1, ink, TOTAL - ink)).cumsum()
    whole = stream(bits, ink, lead)
    for cut in range(len(whole.rest)):
        prefix = PrefixDecoder(Stream(whole.rest[:cut], whole.first, lead))
        known = np.concatenate([prefix.get_bits(part) for part in np.array_split(ink, 40)]).tolist()
        assert known == bits[: len(known)].tolist()
        if len(known) < 784:
            assert cost[len(known)] > lead + 8 * cut - 24


def test_prefix_code_is_complete_and_read_as_written():
    prefix = PrefixCode([1, 3, 3, 3, 4, 4])
    assert sum(2.0**-length for length in prefix.lengths) == 1.0
    assert [prefix.words[symbol] for symbol in range(6)] == [(0, 1), (4, 3), (5, 3), (6, 3), (14, 4), (15, 4)]
    assert prefix.number_bits(np.array([1, 5])).tolist() == [1, 3 + 2]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.integers(1, 2**30 - 1).map(Number), st.just(Blank())), max_size=40))
def test_latent_section_round_trip(tiny, codes):
    prefix = PrefixCode(tiny.octave_lengths)
    section = write(codes, prefix, tiny.prior)
    bits = sum(
        prefix.lengths[code.n.bit_length() - 1] + code.n.bit_length() - 1
        if isinstance(code, Number)
        else prefix.lengths[-1]
        for code in codes
    )
    assert len(section) == -(-bits // 8)
    found = read(b"xy" + section + b"z", 2, len(codes), prefix)
    assert (found.codes(tiny.prior), found.end) == (codes, 2 + len(section))


def test_lattice_coordinates_round_trip_at_the_cost_of_their_counts(tiny):
    prefix = PrefixCode(tiny.octave_lengths)
    rng = np.random.default_rng(2)
    k = tiny.prior.sample(rng.integers(0, TOTAL, (80, tiny.prior.latents)))
    k[0] = -128
    k[1] = 127
    codes = [Lattice(tuple(row)) for row in k.tolist()]
    codes.insert(3, Number(77))
    section = write(codes, prefix, tiny.prior)
    found = read(section, 0, len(codes), prefix)
    assert (found.codes(tiny.prior), found.end) == (codes, len(section))
    ideal_bits = code_length_bits(tiny.prior.counts(k)).sum()
    assert abs(8 * len(section) - ideal_bits - 80 * prefix.lengths[-2]) < 8 + 8 + 32 + 8


def test_truncated_sections_and_bad_padding_are_told_apart(tiny):
    prefix = PrefixCode(tiny.octave_lengths)
    section = write([Number(1234567), Lattice((0,) * tiny.prior.latents)], prefix, tiny.prior)
    for cut in range(len(section)):
        with pytest.raises(TruncatedError):
            read(section[:cut], 0, 2, prefix)
    one = write([Number(1 << 18)], prefix, tiny.prior)
    read(one, 0, 1, prefix).check_padding()
    with pytest.raises(FormatError, match="padding"):
        read(one[:-1] + bytes([one[-1] | 1]), 0, 1, prefix).check_padding()
    assert max(tiny.octave_lengths) <= LONGEST_SYMBOL_BITS


@given(st.integers(0, 2**35 - 1))
def test_varint_round_trip(value):
    data = varint(value)
    assert read_varint(b"?" + data + b"?", 1) == (value, 1 + len(data))


@pytest.mark.parametrize("data", [b"\x80\x00", b"\xff\xff\xff\xff\xff\x01"])
def test_varint_has_one_form(data):
    with pytest.raises(FormatError, match="shortest"):
        read_varint(data, 0)


def test_bits_are_read_most_significant_first():
    reader = BitReader(bytes([0b10110000, 0xFF]), 0)
    assert [reader.get(1), reader.get(3), reader.align(), reader.get(8)] == [1, 0b011, (Stream(b"", 0, 4), 1), 255]
