"""Laws of bits-back coding: what is popped was pushed, chains cost minus the ELBO, and damage is found."""

from __future__ import annotations

import math
import zlib
from bisect import bisect_left, bisect_right, insort
from collections import Counter

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from vlae_codec import zoo
from vlae_codec.coding.bits import PrefixCode
from vlae_codec.coding.entropy import Stack
from vlae_codec.errors import FormatError
from vlae_codec.exact.fixed import NORMAL_LIMIT, code_length_bits, ink_counts, normal_table
from vlae_codec.field import bitsback, chain, latents, network
from vlae_codec.field.bitsback import Counted, Kind
from vlae_codec.field.latents import Lattice, Number
from vlae_codec.field.posterior import Posterior
from vlae_codec.picture.fields import CODING_ORDER
from vlae_codec.picture.fields import pixels_inside as inside_of

TOTAL = 1 << 24
WHOLE = np.ones((28, 28), bool)
NOISE = np.random.default_rng(1).integers(0, 2, (3, 28, 28), np.uint8)


def all_inside(fields):
    return np.ones(fields.shape, bool)


def check_chain(model, fields, inside=None, samples=1):
    """A chain undoes itself, and its tally is the truth about its bytes."""
    inside = all_inside(fields) if inside is None else inside
    pushed = chain.push(model, fields, inside, samples=samples)
    assert np.array_equal(chain.pop(model, pushed.data, pushed.counted, inside, samples=samples), fields)
    assert pushed.tally.total_bits() == pytest.approx(8 * len(pushed.data))
    assert pushed.data[-1] != 0
    coded = len(fields) - pushed.counted.blank - pushed.counted.raw
    assert all(len(cost) == coded for cost in (pushed.costs.net_bits, pushed.costs.kl_bits))
    return pushed


def check_set(model, fields, inside=WHOLE, samples=1):
    """A set undoes itself, but for the order."""
    pushed = chain.push_set(model, fields, inside, samples=samples)
    found = chain.pop_set(model, pushed.data, len(fields), pushed.counted.start, inside, samples=samples)
    assert [field.tobytes() for field in found] == sorted(field.tobytes() for field in fields)
    assert pushed.tally.total_bits() == pytest.approx(8 * len(pushed.data))
    return pushed


def some_counts(rng, size):
    cuts = 1 + np.sort(rng.choice((1 << rng.integers(8, 25)) - 1, size - 1, replace=False))
    return np.diff([0, *cuts, TOTAL])


# The stack


def push_some(stack, slow, kind, rng):
    """Pushes on both; what undoes it."""
    if kind == "uniform":
        size = int(rng.integers(1, 1 << rng.integers(1, 18)))
        value = int(rng.integers(0, size))
        stack.push_uniform(value, size)
        slow.push_uniform(value, size)
        return lambda: (stack.pop_uniform(size), slow.pop_uniform(size)) == (value, value)
    if kind == "bits":
        ink = rng.integers(1, 1 << rng.integers(1, 25), 9)
        bits = rng.integers(0, 2, 9, np.uint8)
        stack.push_bits(bits, ink)
        for bit, count in zip(bits[::-1].tolist(), ink[::-1].tolist(), strict=True):
            slow.push(bit, [TOTAL - count, count])
        return lambda: stack.pop_bits(ink).tolist() == bits.tolist() == [slow.pop([TOTAL - c, c]) for c in ink.tolist()]
    counts = np.stack([some_counts(rng, 5) for _ in range(4)])
    symbols = rng.integers(0, 5, 4)
    stack.push_symbols(symbols, counts)
    for symbol, row in zip(symbols[::-1].tolist(), counts[::-1].tolist(), strict=True):
        slow.push(symbol, row)
    return lambda: stack.pop_symbols(counts).tolist() == symbols.tolist() == [slow.pop(row) for row in counts.tolist()]


def pop_some(stack, slow, kind, rng):
    """Pops the same from both; what undoes it."""
    if kind == "uniform":
        size = int(rng.integers(1, 1 << rng.integers(1, 18)))
        value = stack.pop_uniform(size)
        assert slow.pop_uniform(size) == value
        return lambda: (stack.push_uniform(value, size), slow.push_uniform(value, size))
    counts = np.stack([some_counts(rng, 5) for _ in range(4)])
    symbols = stack.pop_symbols(counts)
    assert [slow.pop(row) for row in counts.tolist()] == symbols.tolist()

    def undo():
        stack.push_symbols(symbols, counts)
        for symbol, row in zip(symbols[::-1].tolist(), counts[::-1].tolist(), strict=True):
            slow.push(symbol, row)

    return undo


@pytest.mark.parametrize("samples", [1, 4])
@pytest.mark.parametrize("raw", [0, 5000])
def test_bytes_that_claim_too_many_fields_are_refused_after_the_first_batches(tiny, samples, raw, monkeypatch):
    drawn, draw = [], network.PixelCNN.draw

    def counting(self, context, decide):
        drawn.append(len(context))
        return draw(self, context, decide)

    monkeypatch.setattr(network.PixelCNN, "draw", counting)
    inside = np.ones((5000, 28, 28), np.bool_)
    with pytest.raises(FormatError, match="ends before"):
        chain.pop(tiny, b"\1\2\3\4\5\6\7\x08", Counted(min(1, 5000 - raw), 0, raw), inside, samples=samples)
    assert sum(drawn) <= 128


KINDS = st.sampled_from(["uniform", "bits", "symbols"])


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**31 - 1), st.lists(st.tuples(st.booleans(), KINDS), max_size=30), st.integers(0, 2**32))
def test_a_stack_undoes_itself_and_equals_the_reference(bottom, steps, seed):
    """Also where more is popped than was pushed."""
    rng, undo = np.random.default_rng(seed), []
    stack, slow = Stack(bottom), reference.Stack(bottom)
    for pushing, kind in steps:
        undo.append((pushing, (push_some if pushing else pop_some)(stack, slow, kind, rng)))
        assert stack.write() == slow.write()
        assert stack.exhausted == (slow.state < 1 << 31)
    if stack.write():
        again = Stack.read(stack.write())
        assert again.write() == stack.write() == reference.Stack.read(stack.write()).write()
    for pushed, step in reversed(undo):
        assert step() or not pushed
    assert (stack.bottom, stack.exhausted, slow.state) == (bottom, False, 1 << 31 | bottom)


@settings(max_examples=60, deadline=None)
@given(st.lists(KINDS, max_size=20), st.integers(0, 2**32))
def test_pushing_costs_the_information(kinds, seed):
    rng = np.random.default_rng(seed)
    stack, ideal_bits = Stack(0), 31.0
    for kind in kinds:
        if kind == "uniform":
            stack.push_uniform(1, 1000)
            ideal_bits += math.log2(1000)
        else:
            ink = rng.integers(1, TOTAL, 9)
            stack.push_bits(np.ones(9, np.uint8), ink)
            ideal_bits += code_length_bits(ink).sum()
    assert stack.bits == pytest.approx(ideal_bits, abs=0.05 + len(kinds) / 50)
    assert stack.bits <= 8 * len(stack.write()) < stack.bits + 8


def test_golden_words():
    rng = np.random.default_rng(0)
    stack = Stack(0x12345678)
    stack.push_bits(rng.integers(0, 2, 50, np.uint8), rng.integers(1, TOTAL, 50))
    stack.push_uniform(4, 5)
    stack.push_symbols(np.array([0, 2, 1]), np.array([[1, 2, TOTAL - 3], [TOTAL - 2, 1, 1], [9, 8, TOTAL - 17]]))
    assert stack.write().hex() == GOLDEN_STACK
    stack.pop_uniform(77_777)
    assert stack.write().hex() == GOLDEN_POPPED


GOLDEN_STACK = "cd5a682295c3f753c3f2d04fffffff0c0000000000c603"
GOLDEN_POPPED = "cd5a682295c3f753c3f2d04fffffff0c00004a2b03"


def test_counts_may_lie_in_memory_in_any_way():
    rng = np.random.default_rng(3)
    counts = np.stack([some_counts(rng, 4) for _ in range(20)])
    symbols, ink = rng.integers(0, 4, 20), rng.integers(1, TOTAL, 20)
    written = set()
    for of in (
        np.ascontiguousarray,
        np.asfortranarray,
        lambda x: np.repeat(x, 2, axis=0)[::2],
        lambda x: x[::-1][::-1],
    ):
        stack = Stack(1)
        stack.push_symbols(of(symbols), of(counts))
        stack.push_bits(of(symbols % 2).astype(np.uint8), of(ink))
        written.add(stack.write())
        assert stack.pop_bits(of(ink)).tolist() == (symbols % 2).tolist()
        assert stack.pop_symbols(of(counts)).tolist() == symbols.tolist()
    assert len(written) == 1


def test_the_bottom_is_seen_only_when_nothing_lies_above():
    stack = Stack(77)
    assert (stack.bottom, stack.exhausted, stack.bits) == (77, False, pytest.approx(31, abs=1e-6))
    stack.push_uniform(3, 9)
    assert stack.bottom is None
    assert stack.pop_uniform(9) == 3
    assert stack.bottom == 77
    popped = stack.pop_uniform(16)
    assert (stack.bottom, stack.exhausted) == (None, True)
    stack.push_uniform(popped, 16)
    assert (stack.bottom, stack.exhausted) == (77, False)


def test_a_stack_that_was_emptied_can_be_written_and_goes_on():
    stack = Stack(0)
    popped = [stack.pop_uniform(1 << 15) for _ in range(9)]
    assert (stack.write(), stack.bits, stack.exhausted) == (b"", 0.0, True)
    for value in reversed(popped):
        stack.push_uniform(value, 1 << 15)
    assert stack.bottom == 0


@pytest.mark.parametrize("data", [b"", b"\0", b"abcd\0", bytes(12)])
def test_what_no_stack_is_written_as_is_refused(data):
    with pytest.raises(FormatError, match="zero byte"):
        Stack.read(data)


# The posterior


def test_normal_table_is_the_normal_cdf():
    table = normal_table()
    exact = [math.erfc(-i / 1024 / math.sqrt(2)) / 2 * TOTAL for i in range(-NORMAL_LIMIT, NORMAL_LIMIT + 1)]
    assert (np.diff(table) >= 0).all()
    assert (table + table[::-1] == TOTAL).all()
    assert np.abs(table - exact).max() < 16
    assert (table[0], table[-1]) == (0, TOTAL)
    for i in (-NORMAL_LIMIT, -5000, -1024, -1, 0, 1, 3, 777, NORMAL_LIMIT):
        assert table[i + NORMAL_LIMIT] == reference.normal24(i)


def test_posterior_equals_the_reference(tiny, fields):
    layers = reference.Layers(tiny.arrays)
    shown = np.stack([fields[0], fields[55], NOISE[0], np.zeros((28, 28), np.uint8)])
    found = Posterior.of(tiny, shown).counts()
    assert found.min() >= 1
    assert (found.sum(axis=2) == TOTAL).all()
    for i, field in enumerate(shown):
        assert found[:, i].tolist() == layers.posterior_counts(field)


@pytest.mark.parametrize(
    "name", ["tiny", *(path.name for path in zoo.released() if path.name not in (zoo.PHOTO, zoo.INK))]
)
def test_symbols_of_the_start_are_a_complete_code(tiny, name):
    model = tiny if name == "tiny" else zoo.named(name)
    assert sum(TOTAL >> length for length in model.octave_lengths) == TOTAL


# Chains


@pytest.mark.parametrize("samples", [1, 2, 16])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_chains_round_trip(tiny, fields, count, samples):
    pushed = check_chain(tiny, fields[:count], samples=samples)
    assert pushed.counted == Counted(min(1, count))


def test_fields_without_ink_and_noise_are_told_apart(tiny, fields):
    mixed = np.concatenate([fields[:9], NOISE])
    mixed = np.insert(mixed, [0, 3, 3, 12], 0, axis=0)
    pushed = check_chain(tiny, mixed)
    assert (pushed.counted.blank, pushed.counted.raw) == (4, 3)
    assert pushed.tally.raw_bits == pytest.approx(3 * 784, abs=0.1)
    shares = np.array([9, 4, 3]) / 16
    assert pushed.tally.kind_bits == pytest.approx(-16 * (shares * np.log2(shares)).sum(), abs=0.1)
    plain = check_chain(tiny, fields[:9])
    assert len(pushed.data) - len(plain.data) == pytest.approx((3 * 784 + pushed.tally.kind_bits) / 8, abs=6)
    assert pushed.kinds.tolist() == [1, 0, 0, 0, 1, 1, *[0] * 6, 2, 2, 2, 1]


def test_noise_costs_a_bit_a_pixel_and_nothing_costs_nothing(tiny):
    assert len(check_chain(tiny, NOISE).data) <= 3 * 98 + 5
    assert len(check_chain(tiny, np.zeros((50, 28, 28), np.uint8)).data) <= 5
    one = np.zeros((50, 28, 28), np.uint8)
    one[7, 5, 5] = 1
    assert len(check_chain(tiny, one).data) < 30


@pytest.mark.parametrize("shape", [(28, 13), (1, 28), (1, 1), (61, 40)])
def test_pixels_outside_the_picture_cost_nothing(tiny, fields, shape):
    """And noise that is mostly outside is weighed by what is inside."""
    inside = np.concatenate([inside_of(*shape)] * 5)
    shown = np.resize(np.concatenate([fields[:8], NOISE[:1]]), inside.shape) * inside
    pushed = check_chain(tiny, shown, inside)
    assert len(pushed.data) * 8 <= inside.sum() + 1.6 * len(inside) + 31 + 8


def test_sets_round_trip(tiny, fields):
    for count in (1, 2, 3, 50):
        check_set(tiny, fields[:count])
    mask = inside_of(20, 9)[0]
    check_set(tiny, fields[:10] * mask, mask)
    check_set(tiny, np.concatenate([fields[:4], NOISE, np.zeros((2, 28, 28), np.uint8)]))


@pytest.mark.parametrize("field", ["digit", "blank", "noise"])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_sets_of_one_image_many_times(tiny, fields, field, count):
    one = {"digit": fields[3], "blank": np.zeros((28, 28), np.uint8), "noise": NOISE[0]}[field]
    pushed = check_set(tiny, np.stack([one] * count))
    assert pushed.tally.order_bits == pytest.approx(0, abs=0.1)


def test_more_samples_cost_less(tiny, fields):
    """-log2 of the mean weight falls with the number of samples, from minus the ELBO towards -log2 p(x)."""
    sizes = [len(check_chain(tiny, fields, samples=samples).data) for samples in (1, 8)]
    assert sizes[1] < 0.995 * sizes[0]


def test_a_set_saves_the_bits_of_its_order(tiny, fields):
    """log2 of the number of orders, but for the choice of the image at the start: (n - 1)! / (multiplicities)!."""
    twice = np.concatenate([fields, fields[:40]])
    for shown in (fields, twice):
        ordered, pushed = check_chain(tiny, shown), check_set(tiny, shown)
        multiplicities = Counter(field.tobytes() for field in shown).values()
        orders_bits = log2_factorial(len(shown) - 1) - sum(map(log2_factorial, multiplicities))
        assert -pushed.tally.order_bits == pytest.approx(orders_bits, abs=2)
        spread = math.sqrt(len(shown)) * 3  # which latents are popped is chance
        assert 8 * (len(ordered.data) - len(pushed.data)) == pytest.approx(orders_bits, abs=3 * spread)


def log2_factorial(n):
    return math.lgamma(n + 1) / math.log(2)


@pytest.mark.parametrize("threads", ["2", "5"])
def test_a_chain_does_not_depend_on_threads(tiny, fields, threads, monkeypatch):
    shown = fields[:40]
    monkeypatch.setenv("VLAE_THREADS", "1")
    pushed = chain.push(tiny, shown, all_inside(shown))
    unordered = chain.push_set(tiny, shown, WHOLE)
    monkeypatch.setenv("VLAE_THREADS", threads)
    assert check_chain(tiny, shown).data == pushed.data
    assert check_set(tiny, shown).data == unordered.data


@given(st.integers(0, 2000), st.integers(1, 300), st.sampled_from([1, 2, 8, 64]))
def test_the_schedule_covers_all_and_never_outgrows_the_stack(count, start, samples):
    done = start = min(start, count)
    for size, few in chain.schedule(count, start, samples):
        assert 1 <= size <= chain.BATCH
        assert 1 <= few <= samples
        assert size * few <= max(1, done // 2)
        done += size
    assert done == count


def test_progress_is_told_of_every_batch(tiny, fields):
    for told in ([], []):
        pushed = chain.push(tiny, fields[:20], all_inside(fields[:20]), told.append)
        assert sum(told) == 20 - pushed.counted.start
        told.clear()
        chain.pop(tiny, pushed.data, pushed.counted, all_inside(fields[:20]), told.append)
        assert sum(told) == 20 - pushed.counted.start


def check_rates(pushed, latents_within):
    """In theory each field costs KL(q || p) - E log2 p(x|k); the start is a few fields, the word at the bottom, rounding."""
    behind = slice(pushed.counted.start, None)
    net_bits = pushed.tally.popped_bits + pushed.tally.latent_bits
    assert net_bits == pytest.approx(pushed.costs.kl_bits[behind].sum(), rel=latents_within)
    negative_elbo_bits = pushed.costs.kl_bits.sum() + pushed.costs.distortion_bits.sum()
    assert 8 * len(pushed.data) == pytest.approx(negative_elbo_bits + 31, rel=0.006)
    assert pushed.costs.net_bits.sum() + 31 == pytest.approx(8 * len(pushed.data) - pushed.tally.order_bits, abs=9)


def test_a_chain_costs_minus_its_elbo(tiny, fields):
    check_rates(check_chain(tiny, fields), 0.06)


@pytest.mark.parametrize("name", [path.name for path in zoo.released() if path.name not in (zoo.PHOTO, zoo.INK)])
def test_chains_of_released_models_cost_minus_their_elbo(name, fields):
    check_rates(check_chain(zoo.named(name), fields), 0.04)


def test_a_start_that_is_too_poor_is_lengthened():
    """Pixels of one narrow image are less than a batch pops; the chain finds out with how many to begin."""
    model, mask = zoo.named(zoo.DEFAULT), inside_of(28, 5)[0]
    dots = np.zeros((4, 28, 28), np.uint8)
    dots[:, 1, 1] = 1
    assert check_chain(model, dots, np.stack([mask] * 4)).counted.start > 1
    assert check_set(model, dots, mask).counted.start > 1


# The format, by the book


class Book:
    """A chain decoder written from FORMAT.md on the slow stack; the networks' counts are held to the reference elsewhere."""

    def __init__(self, model, data, samples):
        self.model, self.stack, self.samples = model, reference.Stack.read(data), samples

    def pop(self, counted, inside):
        count, kinds = len(inside), [0] * len(inside)
        if counted.blank or counted.raw:
            shares = [share * (TOTAL - 3) // count + 1 for share in (counted.blank, counted.raw)]
            kinds = [self.stack.pop([TOTAL - sum(shares), *shares]) for _ in range(count)]
        fields = np.zeros(inside.shape, np.uint8)
        coded = [i for i in range(count) if kinds[i] == 0]
        for batch, few in self.batches(coded, counted.start):
            fields[batch] = self.pop_batch(inside[batch], few)
        for i in reversed(coded[: counted.start]):
            fields[i] = self.pop_start(inside[i])
        for i in range(count):
            if kinds[i] == 2:
                for place in np.argwhere(inside[i]):
                    fields[i][tuple(place)] = self.stack.pop([TOTAL // 2] * 2)
        self.check_bottom(fields)
        return fields

    def pop_set(self, count, start, inside):
        found = []
        for batch, few in self.batches(range(count), start):
            for field in reversed(self.pop_batch(np.stack([inside] * len(batch)), few)):
                packed = np.packbits(field).tobytes()
                insort(found, packed)
                first = bisect_left(found, packed)
                r = self.stack.pop_uniform(bisect_right(found, packed) - first)
                self.stack.push_uniform(first + r, len(found))
        for _ in range(start):
            insort(found, np.packbits(self.pop_start(inside)).tobytes())
        fields = np.stack([np.unpackbits(np.frombuffer(packed, np.uint8)).reshape(28, 28) for packed in found])
        self.check_bottom(fields)
        return fields

    def batches(self, coded, start):
        """Places of the fields of each batch, and its samples, the last batch first."""
        found, n = [], start
        while n < len(coded):
            few = max(few for few in (1, 2, 4, 8, 16, 32) if few == 1 or few <= min(self.samples, n // 2))
            size = min(max(1, n // (2 * few)), 128)
            found.append((list(coded[n : n + size]), few))
            n += size
        return found[::-1]

    def pop_batch(self, inside, few):
        size = len(inside)
        numbers = [self.stack.pop([TOTAL // few] * few) if few > 1 else 0 for _ in range(size)]
        k = self.pop_latents(size)
        fields = self.pop_pixels(k, inside)
        q = Posterior.of(self.model, fields).counts()
        others = [self.pop_with(q) for _ in range(few - 1)]
        every = np.stack([*others, k])  # (N, B, D)
        for b, number in enumerate(numbers):
            every[:, b] = np.insert([other[b] for other in others], number, k[b], axis=0) if others else k[b]
        if few > 1:
            counts = self.weights(fields, inside, every, q)
            for b in reversed(range(size)):
                self.stack.push(numbers[b], counts[b])
        for one in reversed(every):
            self.push_with(q, one)
        return fields

    def weights(self, fields, inside, every, q):
        """The weights of each field's samples, as counts."""
        logs = [[0] * len(every) for _ in fields]
        for n, k in enumerate(every):
            logits = self.model.pixels.logits(fields, self.model.decoder(self.model.prior.values(k)))
            ink, p = ink_counts(logits), self.model.prior.counts(k)
            for b in range(len(k)):
                bits, mask = fields[b].ravel(), inside[b].ravel()
                pixels = np.where(bits == 1, ink[b], TOTAL - ink[b])[mask].tolist()
                of_q = [int(q[i, b, v]) for i, v in enumerate(k[b] - self.model.prior.lowest)]
                logs[b][n] = sum(map(reference.log2_16, pixels)) + (24 << 16) * int((~mask).sum())
                logs[b][n] += sum(map(reference.log2_16, p[b].tolist())) - sum(map(reference.log2_16, of_q))
        return [reference.weights(row) for row in logs]

    def pop_with(self, q):
        """Latents by the counts of q(z|x), latent by latent, for a latent field by field."""
        symbols = [[self.stack.pop(row) for row in rows] for rows in q.tolist()]
        return np.array(symbols).T + self.model.prior.lowest

    def push_with(self, q, k):
        """The inverse."""
        for i in reversed(range(k.shape[1])):
            for b in reversed(range(len(k))):
                self.stack.push(int(k[b, i] - self.model.prior.lowest[i]), q[i, b].tolist())

    def pop_latents(self, size):
        def choose(i, conditional):
            counts = conditional.all_counts().tolist()
            return np.array([self.stack.pop(row) + conditional.lowest for row in counts])

        return self.model.prior.walk(size, choose)

    def pop_pixels(self, k, inside):
        def decide(step, logits):
            ink, bits = ink_counts(logits), np.zeros(logits.shape, np.uint8)
            for at, place in enumerate(CODING_ORDER[step]):
                for b in range(len(k)):
                    if inside[b].flat[place]:
                        bits[at, b] = self.stack.pop([TOTAL - int(ink[at, b]), int(ink[at, b])])
            return bits

        return self.model.pixels.draw(self.model.decoder(self.model.prior.values(k)), decide)

    def pop_start(self, inside):
        symbol = self.stack.pop([TOTAL >> length for length in self.model.octave_lengths])
        if symbol == 30:
            k = self.pop_latents(1)
        else:
            high = self.stack.pop_uniform(1 << max(symbol - 15, 0))
            low = self.stack.pop_uniform(1 << min(symbol, 15))
            k = latents.coordinates([Number((1 << symbol) + (high << 15) + low)], self.model.prior)
        return self.pop_pixels(k, inside[None])[0]

    def check_bottom(self, fields):
        packed = b"".join(np.packbits(field).tobytes() for field in fields)
        assert not self.stack.words
        assert self.stack.state == (1 << 31) + zlib.crc32(packed) % (1 << 31)


@pytest.mark.parametrize("samples", [1, 4])
def test_chains_are_what_the_format_says(tiny, fields, samples):
    inside = np.stack([WHOLE] * 9 + [inside_of(28, 17)[0]] * 3)
    shown = np.concatenate([fields[:7], np.zeros((1, 28, 28), np.uint8), NOISE[:1], fields[7:9], NOISE[1:2]]) * inside
    pushed = chain.push(tiny, shown, inside, samples=samples)
    assert pushed.counted == Counted(1, 1, 2)
    assert np.array_equal(Book(tiny, pushed.data, samples).pop(pushed.counted, inside), shown)


@pytest.mark.parametrize("samples", [1, 2])
def test_sets_are_what_the_format_says(tiny, fields, samples):
    shown = np.concatenate([fields[:6], fields[2:5]])
    pushed = chain.push_set(tiny, shown, WHOLE, samples=samples)
    found = Book(tiny, pushed.data, samples).pop_set(len(shown), pushed.counted.start, WHOLE)
    assert sorted(map(bytes, found)) == sorted(map(bytes, shown))


@pytest.mark.parametrize("n", [1, 2, 1000, 1 << 15, (1 << 17) + 5, (1 << 30) - 1])
def test_any_number_can_stand_at_the_start(tiny, n):
    coder = bitsback.Coder(tiny, Stack(5), bitsback.Tally())
    prefix = PrefixCode(tiny.octave_lengths)
    for code in (Number(n), Lattice((1,) * tiny.prior.latents)):
        coder._push_code(prefix, code)
        coder._push_code(prefix, Number(3))
        assert [coder._pop_code(prefix), coder._pop_code(prefix)] == [Number(3), code]
    assert coder.stack.bottom == 5


# Damage


def test_any_flipped_bit_of_a_chain_is_found(tiny, fields):
    shown = np.concatenate([fields[:2], np.zeros((1, 28, 28), np.uint8)])
    pushed, unordered = check_chain(tiny, shown), check_set(tiny, shown)
    for position in range(0, 8 * len(pushed.data), 3):
        with pytest.raises(FormatError):
            chain.pop(tiny, flipped(pushed.data, position), pushed.counted, all_inside(shown))
    for position in range(1, 8 * len(unordered.data), 7):
        with pytest.raises(FormatError):
            chain.pop_set(tiny, flipped(unordered.data, position), 3, unordered.counted.start, WHOLE)


def flipped(data, position):
    damaged = bytearray(data)
    damaged[position // 8] ^= 1 << position % 8
    return bytes(damaged)


def test_another_model_another_count_and_another_mask_are_found(tiny, fields):
    inside = all_inside(fields[:5])
    pushed = chain.push(tiny, fields[:5], inside)
    with pytest.raises(FormatError, match="check"):
        chain.pop(zoo.named(zoo.DEFAULT), pushed.data, pushed.counted, inside)
    for counted in (Counted(2), Counted(5), Counted(0), Counted(6), Counted(1, 1), Counted(1, 3, 3), Counted(1, 0, 1)):
        with pytest.raises(FormatError):
            chain.pop(tiny, pushed.data, counted, inside)
    with pytest.raises(FormatError):
        chain.pop(tiny, pushed.data, pushed.counted, inside[:4])
    with pytest.raises(FormatError):
        chain.pop(tiny, pushed.data, pushed.counted, np.concatenate([inside_of(20, 28)] * 5))
    for count, start in ((5, 1), (3, 0), (3, 4), (0, 1)):
        with pytest.raises(FormatError):
            chain.pop_set(tiny, pushed.data, count, start, WHOLE)


@settings(max_examples=80, deadline=None)
@given(
    data=st.binary(max_size=60),
    count=st.integers(0, 6),
    start=st.integers(0, 7),
    blank=st.integers(0, 4),
    raw=st.integers(0, 4),
)
def test_random_bytes_are_no_chain(tiny, data, count, start, blank, raw):
    inside = np.ones((count, 28, 28), bool)
    with pytest.raises(FormatError):
        chain.pop(tiny, data, Counted(start, blank, raw), inside)
    with pytest.raises(FormatError):
        chain.pop_set(tiny, data, count, start, WHOLE)


def test_the_kinds_have_numbers_that_never_change():
    assert [(kind.name, kind.value) for kind in Kind] == [("CODED", 0), ("BLANK", 1), ("RAW", 2)]


@pytest.mark.parametrize(("count", "blank", "raw"), [(1000, 200, 0), (1, 1, 0), (7, 0, 7), (1 << 17, (1 << 17) - 1, 1)])
def test_counts_of_kinds_are_those_of_the_format_whatever_the_platform(count, blank, raw):
    """As FORMAT.md has them. numpy's own integers have 32 bits on some, which products with 2^24 do not fit."""
    counts = bitsback.kind_counts(count, Counted(1, blank, raw))
    shares = [1 + blank * ((1 << 24) - 3) // count, 1 + raw * ((1 << 24) - 3) // count]
    assert counts.dtype == np.int64
    assert counts.tolist() == [[(1 << 24) - sum(shares), *shares]] * count
