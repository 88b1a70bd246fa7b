"""What the default model promises, on the 100 digits that ship; `benchmarks/quality.py` measures it on 1,000."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from vlae_codec import codec, compress, zoo
from vlae_codec.field.posterior import Posterior
from vlae_codec.field.search import distortion_bits
from vlae_codec.picture.drawing import raster_of


@pytest.fixture(scope="module")
def model():
    return zoo.load_default()


@pytest.fixture(scope="module")
def theory(model, fields):
    """KL and E_q D of the integer model, mean bits an image."""
    posterior, rng = Posterior.of(model, fields), np.random.default_rng(0)
    inside = np.ones(fields.shape, bool)
    drawn = [distortion_bits(model, fields, inside, posterior.sample(rng)).mean() for _ in range(4)]
    return float(posterior.rate_bits(8).mean()), float(np.mean(drawn))


def test_the_rate_is_the_kl_of_the_cells(model, fields):
    posterior, rng = Posterior.of(model, fields), np.random.default_rng(0)
    q, lowest, sampled = posterior.counts(), model.prior.lowest, []
    for _ in range(8):
        words = rng.integers(0, 1 << 24, q.shape[:2])
        cells = (np.cumsum(q, axis=2) <= words[..., None]).sum(axis=2)  # (D, B), exact draws
        own = np.take_along_axis(q, cells[..., None], axis=2)[..., 0]
        sampled.append(np.log2(own / model.prior.counts(cells.T + lowest).T).sum(axis=0))
    assert (
        abs(posterior.rate_bits(8).mean() - np.mean(sampled)) < 0.5
    )  # 4 bits / sqrt(800) is the deviation of the latter


def test_the_rate_of_a_field_is_its_own(model, fields):
    rate_bits = Posterior.of(model, fields[:20]).rate_bits()
    assert np.array_equal(np.concatenate([Posterior.of(model, f[None]).rate_bits() for f in fields[:20]]), rate_bits)


@pytest.fixture(scope="module")
def lossy(model, digits):
    return codec.encode(digits, model)


@pytest.fixture(scope="module")
def lossless(model, digits):
    return codec.encode(digits, model, lossless=True)


def mean(encoded, key):
    return float(np.mean([getattr(result.ledger, key) for result in encoded]))


def test_lossy_files_cost_their_kl_and_a_little(lossy, theory):
    kl_bits, distortion = theory
    encoded = lossy
    coded_bits = mean(encoded, "coded_bits")
    assert abs(coded_bits - kl_bits) < 2.5
    assert coded_bits + mean(encoded, "distortion_bits") - kl_bits - distortion < 3.0
    assert mean(encoded, "total_bytes") <= 9
    assert max(result.ledger.container_bytes for result in encoded) <= 6
    assert mean(encoded, "differing_pixels") < 0.1 * 784


def test_lossless_files_cost_minus_the_elbo_and_a_little(digits, lossless, theory):
    encoded = lossless
    assert mean(encoded, "coded_bits") < sum(theory) + 5.0  # 4.2 on 1,000 images; theory is sampled on 100 here
    assert mean(encoded, "total_bytes") <= 23
    for digit, result in zip(digits, codec.decode([result.data for result in encoded]), strict=True):
        assert np.array_equal(result.drawing.bits, digit.bits)


def test_files_of_the_digits_of_the_demo_are_those_of_the_first_version(lossy, lossless):
    """To the byte, as its encoder wrote them before there were families."""
    hashes = [hashlib.sha256(b"".join(result.data for result in made)).hexdigest() for made in (lossy, lossless)]
    assert hashes == [
        "0860b3926af8f2c63758d8f9b846713e53bcbb0fd4f24953fa3fc757db9994b4",
        "8ac6036b8a3932e603c6ea3cb730f14427e5996221122b6d69bf1001c1959394",
    ]


def test_compress_makes_the_files_that_encode_makes(model, digits, lossy, lossless):
    for digit, short, whole in list(zip(digits, lossy, lossless, strict=True))[::33]:
        picture = raster_of(digit).colours()[..., 0].astype(np.uint8)
        assert compress(picture, model=model, lossy=True) == short.data
        assert compress(picture, model=model, lossless=True) == whole.data


def test_the_integer_model_is_as_good_as_its_card_says(model, theory):
    """The demo digits are few, and images differ by 20 nats: this catches a broken export, not a small loss."""
    figures = json.loads((zoo.RELEASED / model.name / "model.json").read_text())["figures"]
    assert sum(theory) == pytest.approx(-figures["elbo_bits"], abs=10)
    assert theory[0] == pytest.approx(figures["kl_bits"], abs=2.5)
