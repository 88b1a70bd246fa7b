"""Finding a codeword: Shannon's random codebook, searched by the sender (see `docs/codebook.md`).

Codeword n is a sample of the prior drawn with shared words. The sender wants the least
    J(n) = L(n) - log2 p(x | z(n)),        L(n) the bits that the number costs.
The codebook is a tree: 2^17 roots, each with 2^13 branches that share its first latents. All roots are ranked by L(n) -
log2 q(z|x) / p(z), one matrix product in float32; then the branches of those roots whose first latents fit best. What
is ranked best is decoded exactly and scored, in `search`. Only that decides what a file decodes to, so the ranking may be
approximate, and the cache on disk that feeds it is only a hint.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .fixed import LATENT_BITS, code_length_bits
from .latents import PrefixCode
from .model import Model
from .prior import Latents, Prior
from .threads import in_pieces
from .words import ROOTS, branch_words, root_words

Floats = npt.NDArray[np.float64]
Progress = Callable[[str, int, int], None]
"""(what, done, total): called as long work advances."""


@dataclass(frozen=True)
class Posterior:
    """q(z|x) = N(mu, sigma), diagonal, for a batch: both (B, D) in units of z."""

    mu: Floats
    sigma: Floats

    @classmethod
    def of(cls, model: Model, fields: npt.NDArray[np.uint8]) -> Posterior:
        """The encoder's posterior of the fields (B, 28, 28)."""
        stacked = in_pieces(8, lambda part: np.concatenate(model.encoder(part), axis=1), fields)
        mu, log_sigma = np.split(stacked * 2.0**-LATENT_BITS, 2, axis=1)
        return cls(mu, np.exp(log_sigma))

    def sample(self, model: Model, rng: np.random.Generator) -> Latents:
        """One draw, rounded to the lattice: (B, D)."""
        z = self.mu + self.sigma * rng.standard_normal(self.mu.shape)
        return model.prior.nearest(z * 2.0**LATENT_BITS)

    def natural(self) -> npt.NDArray[np.float32]:
        """What (z^2, z) is multiplied with for log2 q(z|x), up to a constant: (B, 2D)."""
        inverse = 1.0 / self.sigma**2
        parameters: Floats = np.concatenate([-0.5 * inverse, self.mu * inverse], axis=1) / np.log(2)
        single: npt.NDArray[np.float32] = parameters.astype(np.float32)
        return single

    def rate_bits(self, model: Model, samples: int = 4) -> Floats:
        """KL(q || p) on the lattice: (B,) bits. q's entropy in closed form, E_q[-log2 p] by (even) antithetic samples.

        A Gaussian rounded to steps up to 2 sigma wide has the entropy log2(sigma sqrt(2 pi e) / step), to 0.02 bits.
        """
        steps = model.prior.steps * 2.0**-LATENT_BITS
        entropy_bits = np.log2(self.sigma * np.sqrt(2 * np.pi * np.e) / steps).sum(axis=1)
        rng, total = np.random.default_rng(0), np.zeros(len(self.mu))
        for _ in range(samples // 2):
            noise = self.sigma * rng.standard_normal(self.mu.shape)
            for z in (self.mu + noise, self.mu - noise):
                k = model.prior.nearest(z * 2.0**LATENT_BITS)
                total += in_pieces(64, lambda part: code_length_bits(model.prior.counts(part)).sum(axis=1), k)
        rate: Floats = total / (samples // 2 * 2) - entropy_bits
        return rate


class Size(NamedTuple):
    """How much of the codebook is searched: all roots below 2^bits; of the `beams` best, 2^branch_bits - 1 branches each."""

    bits: int
    branch_bits: int = 0
    beams: int = 0


@dataclass(frozen=True)
class _Roots:
    """Roots 0 .. n - 1: lattice coordinates (n, D) int8; -log2 p before the split, and of all latents, (n, 2) float32."""

    k: npt.NDArray[np.int8]
    p_bits: npt.NDArray[np.float32]


def rank(
    model: Model, prefix: PrefixCode, posterior: Posterior, size: Size, best: int, progress: Progress | None = None
) -> npt.NDArray[np.int64]:
    """The numbers of the `best` codewords by estimated J, for each image: (B, best) int64."""
    roots = _roots(model, 1 << size.bits, progress)
    natural = posterior.natural()
    numbers = np.arange(len(roots.k))
    cost_bits = prefix.number_bits(np.maximum(numbers, 1)).astype(np.float32) - roots.p_bits[:, 1]
    cost_bits[0] = np.inf  # numbers begin at 1
    features = _features(model, roots.k)
    found = in_pieces(8, partial(_top, features, cost_bits, best), natural)
    if size.beams:
        some = np.r_[: model.prior.split, model.prior.latents : model.prior.latents + model.prior.split]
        top = partial(_top, features[some], -roots.p_bits[:, 0], size.beams)
        beams = in_pieces(8, top, natural[:, some])[..., 1].astype(np.int64)
        grown = in_pieces(1, partial(_branches, model.rough.prior, model, prefix, size, best), beams, natural)
        found = np.concatenate([found, grown], axis=1)
    order = np.argsort(-found[..., 0], axis=1)[:, :best]
    return np.take_along_axis(found[..., 1], order, axis=1).astype(np.int64)


def _features(model: Model, k: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
    """(z^2, z) of lattice coordinates (n, D): (2D, n)."""
    z = k * (model.prior.steps * 2.0**-LATENT_BITS).astype(np.float32)
    return np.concatenate([z * z, z], axis=1).T


def _top(
    features: npt.NDArray[np.float32], cost_bits: npt.NDArray[np.float32], best: int, natural: npt.NDArray[np.float32]
) -> Floats:
    """The best of all columns for images with the natural parameters (B, F): pairs (-J, column), (B, best, 2)."""
    score = natural @ features  # log2 q, up to a constant: (B, n)
    score -= cost_bits
    top = np.argpartition(score, score.shape[1] - best, axis=1)[:, -best:]
    return np.stack([np.take_along_axis(score, top, axis=1).astype(np.float64), top.astype(np.float64)], axis=2)


def _branches(
    prior: Prior,
    model: Model,
    prefix: PrefixCode,
    size: Size,
    best: int,
    beams: npt.NDArray[np.int64],
    natural: npt.NDArray[np.float32],
) -> Floats:
    """The best branches of the roots `beams` (1, T) for one image: pairs (-J, number), (1, best, 2)."""
    count, latents, roots = (1 << size.branch_bits) - 1, prior.latents, beams[0].tolist()
    words = np.stack([branch_words(root, 1, count, latents) for root in roots])
    table = prior.sample_branches(np.concatenate([root_words(root, 1, latents) for root in roots]), words)
    numbers = (beams[0][:, None] + ROOTS * np.arange(1, count + 1)).ravel()
    cost_bits = (prefix.number_bits(numbers) - table[:, -1]).astype(np.float32)
    found = _top(_features(model, table[:, :latents].astype(np.int64)), cost_bits, best, natural)
    found[..., 1] = numbers[found[..., 1].astype(np.int64)]
    return found


def _roots(model: Model, count: int, progress: Progress | None) -> _Roots:
    name = f"{model.digest.hex()[:16]}-{count.bit_length() - 1}.npz"
    folder = _cache_folder()
    kept = _read(folder / name, count, model.prior.latents) if folder else None
    if kept is None:
        kept = _sample(model, count, progress)
        if folder:
            _write(folder / name, kept)
    return kept


def _sample(model: Model, count: int, progress: Progress | None) -> _Roots:
    parts, piece, prior = [], 1 << 13, model.rough.prior
    for start in range(0, count, piece):
        words = root_words(start, min(piece, count - start), prior.latents)
        parts.append(in_pieces(512, prior.sample_with_bits, words))
        if progress:
            progress("building the codebook (once, kept on disk)", min(start + piece, count), count)
    joined = np.concatenate(parts)
    return _Roots(joined[:, :-2].astype(np.int8), joined[:, -2:].astype(np.float32))


def _cache_folder() -> Path | None:
    """Where roots are kept; None if there is no home to keep them in."""
    base = os.environ.get("VLAE_CACHE") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(base).expanduser() / "vlae-codec"
    except RuntimeError:
        return None


def _read(path: Path, count: int, latents: int) -> _Roots | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            roots = _Roots(stored["k"], stored["p_bits"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    fits = roots.k.shape == (count, latents) and roots.p_bits.shape == (count, 2)
    return roots if fits and roots.k.dtype == np.int8 and roots.p_bits.dtype == np.float32 else None


def _write(path: Path, roots: _Roots) -> None:
    """Keeps roots if the disk lets us; the codec works without."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as temporary:
            try:
                np.savez(temporary, k=roots.k, p_bits=roots.p_bits)
                temporary.close()
                os.replace(temporary.name, path)
            except BaseException:
                os.unlink(temporary.name)
                raise
