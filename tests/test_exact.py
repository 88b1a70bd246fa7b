"""Laws of the exact arithmetic: equality with a slow reference, and no dependence on batch, threads or order."""

from __future__ import annotations

import decimal
import itertools
import os
import platform
import subprocess
import sys
import zlib

import numpy as np
import pytest
import reference
from conftest import TINY
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from vlae_codec import codec
from vlae_codec.errors import ModelError
from vlae_codec.exact import fixed
from vlae_codec.exact.fixed import Affine
from vlae_codec.exact.random_words import branch_words, codeword_words, root_words
from vlae_codec.exact.threads import batches, in_pieces
from vlae_codec.exact.wavefront import Wavefront
from vlae_codec.picture.fields import CODING_ORDER, WAVEFRONT

DECODE = """
import hashlib, sys
from pathlib import Path
import vlae_codec
from vlae_codec import zoo
tiny = zoo.load(Path(sys.argv[1]))
for name in ("lossy", "lossless"):
    picture = vlae_codec.decompress(Path(name).read_bytes(), model=tiny)
    print(hashlib.sha256(picture.tobytes()).hexdigest())
"""


def test_files_decode_alike_on_every_blas_kernel(tiny, digits, tmp_path):
    for name in ("lossy", "lossless"):
        (tmp_path / name).write_bytes(codec.encode(digits[:1], tiny, lossless=name == "lossless", effort=0)[0].data)
    decoded = set()
    for kernel in ("Prescott", "Nehalem", "Haswell", "SkylakeX", ""):  # as far as the machine has them; "": its own
        environment = {**os.environ, "OPENBLAS_CORETYPE": kernel} if kernel else dict(os.environ)
        command = [sys.executable, "-c", DECODE, str(TINY)]
        decoded.add(subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True).stdout)
    assert len(decoded) == 1


def some_latents(model, count, seed=0):
    words = np.random.default_rng(seed).integers(0, 1 << 24, (count, model.prior.latents))
    return model.prior.sample(words)


@pytest.mark.parametrize("x", [-70000, -9000, -8192, -8191, -3000, -1, 0, 1, 5000, 57343, 57344, 10**9])
def test_elu_equals_reference(x):
    assert fixed.elu(np.array([float(x)]))[0] == reference.elu(x)


def test_sigmoid_equals_reference_and_is_monotone_and_symmetric():
    table = fixed.sigmoid_table()
    middle = 16 << 12
    for x in [-middle, -middle + 1, -1000, -1, 0, 1, 2, 77, 5000, middle]:
        assert table[x + middle] == reference.sigmoid24(x, 12)
    assert (np.diff(table) >= 0).all()
    assert (table + table[::-1] == 1 << 24)[table != 1 << 23].all()


def test_ink_counts_equal_reference_and_leave_both_pixels_possible():
    logits = [-(10**6), -16384, -9000, -1, 0, 1, 3, 2000, 16384, 10**6]
    expected = [min(max(reference.sigmoid24(x, 10), 1), (1 << 24) - 1) for x in logits]
    assert fixed.ink_counts(np.array(logits, float)).tolist() == expected


def test_exp_never_rises_and_never_changes():
    with decimal.localcontext() as context:
        context.prec, context.rounding = 5, decimal.ROUND_UP
        fixed.exp_table.cache_clear()
        table = fixed.exp_table()
    assert (np.diff(table) <= 0).all()
    assert zlib.crc32(table.astype("<i8").tobytes()) == GOLDEN_EXP


GOLDEN_EXP = 2531969861


def test_affine_refuses_sums_that_may_leave_the_exact_range():
    with pytest.raises(ModelError, match="2\\^53"):
        Affine.rounding(np.full((1 << 10, 1), 32767), np.zeros(1, np.int64), 4, limit=2.0**29)


def test_affine_floors_like_integers():
    rng = np.random.default_rng(1)
    weight, bias = rng.integers(-32768, 32768, (50, 7)), rng.integers(-(2**30), 2**30, 7)
    x = rng.integers(-65536, 65536, (5, 50))
    ours = Affine.rounding(weight, bias, 9, 65536.0).linear(x.astype(float))
    assert np.array_equal(ours, (x @ weight + bias + 256) >> 9)


def test_decoder_and_pixels_equal_the_reference(tiny, fields):
    layers = reference.Layers(tiny.arrays)
    k = some_latents(tiny, 1)
    z = tiny.prior.values(k)
    context = tiny.decoder(z)
    slow = layers.decode([int(v) for v in z[0]])
    assert np.array_equal(context[0], slow)
    assert np.array_equal(tiny.pixels.logits(fields[:1], context)[0], layers.logits(fields[0], slow))


def test_prior_equals_the_reference(tiny):
    layers = reference.Layers(tiny.arrays)
    k = some_latents(tiny, 4, seed=3)
    assert tiny.prior.counts(k).tolist() == [layers.prior_counts(row) for row in k.tolist()]


def test_any_batch_size_and_thread_count_gives_the_same_integers(tiny, fields):
    k = some_latents(tiny, 30)
    z = tiny.prior.values(k)
    whole = tiny.pixels.logits(fields[:30], tiny.decoder(z))
    single = np.concatenate([tiny.pixels.logits(fields[i : i + 1], tiny.decoder(z[i : i + 1])) for i in range(30)])
    assert np.array_equal(whole, single)
    for threads in (1, 2):
        with threadpool_limits(threads):
            assert np.array_equal(whole, tiny.pixels.logits(fields[:30], tiny.decoder(z)))
    pieces = in_pieces(4, lambda f, part: tiny.pixels.logits(f, tiny.decoder(part)), fields[:30], z)
    assert np.array_equal(whole, pieces)
    mu, log_sigma = tiny.encoder(fields[:30])
    one = [tiny.encoder(fields[i : i + 1]) for i in range(30)]
    assert np.array_equal(mu, np.concatenate([m for m, _ in one]))
    assert np.array_equal(log_sigma, np.concatenate([s for _, s in one]))
    assert np.array_equal(k[:3], some_latents(tiny, 3)[:3])


def test_sums_do_not_depend_on_their_order(tiny):
    affine = tiny.decoder.expand
    x = np.random.default_rng(0).integers(-8192, 57344, (3, affine.weight.shape[0])).astype(float)
    order = np.random.default_rng(1).permutation(x.shape[1])
    shuffled = Affine(affine.weight[order], affine.bias, affine.shift, affine.limit)
    assert np.array_equal(affine.linear(x), shuffled.linear(x[:, order]))


def test_wavefront_sees_what_the_full_pass_sees(tiny, fields):
    context = tiny.decoder(tiny.prior.values(some_latents(tiny, 5)))
    full = tiny.pixels.logits(fields[:5], context)
    flat = fields[:5].reshape(5, -1)
    seen = []

    def decide(step, logits):
        seen.append(logits)
        return flat[:, CODING_ORDER[step]].T

    drawn = tiny.pixels.draw(context, decide)
    assert np.array_equal(drawn, fields[:5])
    assert len(seen) == WAVEFRONT.steps == 82
    assert np.array_equal(np.concatenate(seen).T, full[:, CODING_ORDER])


def test_pixels_depend_only_on_their_causal_window(tiny, fields):
    context = tiny.decoder(tiny.prior.values(some_latents(tiny, 1)))
    before = tiny.pixels.logits(fields[:1], context)[0].reshape(28, 28)
    row, col, layers = 13, 11, 3
    changed = fields[:1].copy()
    changed[0, row, col] ^= 1
    differs = before != tiny.pixels.logits(changed, context)[0].reshape(28, 28)
    rows, cols = np.nonzero(differs)
    assert len(rows) > 3
    assert not differs[:row].any()
    assert not differs[row, : col + 1].any()
    assert rows.max() <= row + layers
    assert np.abs(cols - col).max() <= layers


def test_counts_are_positive_and_sum_to_one(tiny):
    def check(i, conditional):
        counts = conditional.all_counts()
        assert counts.min() >= 1
        assert (counts.sum(axis=1) == 1 << 24).all()
        words = np.random.default_rng(i).integers(0, 1 << 24, len(conditional.mu))
        k = conditional.locate(words)
        assert (conditional.cumulative(k) <= words).all()
        assert (words < conditional.cumulative(k + 1)).all()
        return k

    tiny.prior.walk(6, check)


def test_sample_with_bits_agrees_with_counts(tiny):
    prior, rng = tiny.prior, np.random.default_rng(0)
    words = rng.integers(0, 1 << 24, (50, prior.latents))
    table = prior.sample_with_bits(words)
    bits = fixed.code_length_bits(prior.counts(prior.sample(words)))
    assert np.array_equal(table[:, :-2], prior.sample(words))
    assert table[:, -2] == pytest.approx(bits[:, : prior.split].sum(axis=1))
    assert table[:, -1] == pytest.approx(bits.sum(axis=1))


def test_branches_are_what_their_codewords_are(tiny):
    prior, roots, counts = tiny.prior, [5, 77_777], np.array([6, 3])
    each = list(zip(roots, counts.tolist(), strict=True))
    before = np.concatenate([root_words(root, 1, prior.latents) for root in roots])
    behind = np.concatenate([branch_words(root, 1, count, prior.latents) for root, count in each])
    table = prior.sample_branches(before, behind, counts)
    numbers = [(branch << 17) + root for root, count in each for branch in range(1, count + 1)]
    words = np.stack([codeword_words(n, prior.latents, prior.split) for n in numbers])
    assert np.array_equal(table, prior.sample_with_bits(words))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 9)), st.integers(1, 5), st.integers(1, 20))
def test_batches_hold_all_items_in_order_and_as_many_as_may_be(items, most, heaviest):
    found = list(batches(items, lambda item: item, most, heaviest))
    assert [item for batch in found for item in batch] == items
    assert all(0 < len(batch) <= most and (sum(batch) <= heaviest or len(batch) == 1) for batch in found)
    assert all(
        len(batch) == most or sum(batch) + following[0] > heaviest for batch, following in itertools.pairwise(found)
    )


def test_batches_take_items_as_needed():
    endless = batches(itertools.count(), lambda _: 1, 3, 9)
    assert [next(endless), next(endless)] == [[0, 1, 2], [3, 4, 5]]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
def test_a_wavefront_visits_each_place_once_and_after_all_that_its_kernel_sees(height, width, slope):
    wave, seen = Wavefront(height, width, slope), {}
    for t, rows in wave:
        places = [(row, t - slope * row) for row in rows]
        assert all(place not in seen for place in places)
        for row, column in places:
            kernel = [(row, column - 1), *((row - 1, column + ahead) for ahead in range(-1, slope))]
            assert all(one in seen for one in kernel if 0 <= one[0] < height and 0 <= one[1] < width)
        seen.update(dict.fromkeys(places, t))
    assert [row * width + column for row, column in seen] == wave.order().tolist()
    assert len(seen) == height * width
    assert max(seen.values()) < wave.steps


FAULTS = """
import resource, sys
import numpy as np
from vlae_codec.exact import memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        np.ones(1 << 20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults())
getattr(memory, sys.argv[1])()
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
@pytest.mark.parametrize("keep", ["keep_as_usual", "keep_freed"])
def test_arrays_of_a_dask_worker_or_a_command_cost_no_page_faults_each_time(keep):
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}
    run = subprocess.run(
        [sys.executable, "-c", FAULTS, keep], check=True, capture_output=True, text=True, env=environment
    )
    before, after = map(int, run.stdout.split())
    assert before > 20_000, "each page each time"
    assert 4 * after < before
