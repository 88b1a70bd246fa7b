"""Finding a codeword: Shannon's random codebook, searched by the sender (see `docs/codebook.md`).

Codeword n is the n-th sample of the prior drawn with shared words. The sender wants the least
    J(n) = L(n) - log2 p(x | z(n)),        L(n) the bits that the number costs.
Two stages. All codewords are ranked by L(n) - log2 q(z|x) / p(z), one matrix product in float32; the best few are decoded
exactly and scored. Only the second stage decides what a file decodes to, so the ranking may be approximate, and the
cache on disk that feeds it is only a hint.
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

import numpy as np
import numpy.typing as npt

from .fixed import LATENT_BITS, code_length_bits
from .latents import PrefixCode
from .model import Model
from .prior import Latents
from .threads import in_pieces
from .words import codeword_words

SEGMENT = 1 << 17
"""Codewords are sampled and cached in segments of this many."""
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
        return total / (samples // 2 * 2) - entropy_bits


@dataclass(frozen=True)
class _Segment:
    """Codewords first .. first + n - 1: lattice coordinates (n, D) int8 and log2 p (n,) float32."""

    k: npt.NDArray[np.int8]
    log2_p: npt.NDArray[np.float32]


def rank(
    model: Model, prefix: PrefixCode, posterior: Posterior, bits: int, best: int, progress: Progress | None = None
) -> npt.NDArray[np.int64]:
    """The numbers of the `best` codewords among 1 .. 2^bits - 1 by estimated J, for each image: (B, best) int64."""
    inverse = 1.0 / posterior.sigma**2
    natural = np.concatenate([-0.5 * inverse, posterior.mu * inverse], axis=1) / np.log(2)  # (B, 2D)
    found = np.zeros((len(natural), 0, 2))  # estimated -J, number
    total = 1 << bits
    for first in range(0, total, SEGMENT):
        count = min(SEGMENT, total - first)
        segment = _segment(model, first, count, progress, total)
        n = np.arange(first, first + count)
        cost_bits = segment.log2_p + prefix.number_bits(np.maximum(n, 1)).astype(np.float32)
        if first == 0:
            cost_bits[0] = np.inf  # numbers begin at 1
        z = segment.k * (model.prior.steps * 2.0**-LATENT_BITS).astype(np.float32)
        top = partial(_top, np.concatenate([z * z, z], axis=1).T, cost_bits, n, min(best, count - 1))
        found = np.concatenate([found, in_pieces(8, top, natural.astype(np.float32))], axis=1)
    order = np.argsort(-found[..., 0], axis=1)[:, :best]
    return np.take_along_axis(found[..., 1], order, axis=1).astype(np.int64)


def _top(
    features: npt.NDArray[np.float32],
    cost_bits: npt.NDArray[np.float32],
    n: npt.NDArray[np.int64],
    best: int,
    natural: npt.NDArray[np.float32],
) -> Floats:
    """The best of one segment for images with the natural parameters (B, 2D): pairs (-J, number), (B, best, 2)."""
    score = natural @ features  # log2 q, up to a constant: (B, count)
    score -= cost_bits
    top = np.argpartition(score, len(n) - best, axis=1)[:, -best:]
    return np.stack([np.take_along_axis(score, top, axis=1).astype(np.float64), n[top].astype(np.float64)], axis=2)


def _segment(model: Model, first: int, count: int, progress: Progress | None, total: int) -> _Segment:
    names = [f"{model.digest.hex()[:16]}-{first // SEGMENT}-{size.bit_length() - 1}.npz" for size in (count, SEGMENT)]
    folder = _cache_folder()
    for path in [folder / name for name in names] if folder else []:
        segment = _read(path, count, model.prior.latents)
        if segment is not None:
            return segment
    segment = _sample(model, first, count, progress, total)
    if folder:
        _write(folder / names[0], segment)
    return segment


def _sample(model: Model, first: int, count: int, progress: Progress | None, total: int) -> _Segment:
    parts, piece, prior = [], 1 << 13, model.prior.approximate()
    for start in range(first, first + count, piece):
        words = codeword_words(start, min(piece, first + count - start), model.prior.latents)
        parts.append(in_pieces(512, prior.sample_with_bits, words))
        if progress:
            progress("building the codebook (once, kept on disk)", start + piece, total)
    joined = np.concatenate(parts)
    return _Segment(joined[:, :-1].astype(np.int8), -joined[:, -1].astype(np.float32))


def _cache_folder() -> Path | None:
    """Where segments are kept; None if there is no home to keep them in."""
    base = os.environ.get("VLAE_CACHE") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(base).expanduser() / "vlae-codec"
    except RuntimeError:
        return None


def _read(path: Path, count: int, latents: int) -> _Segment | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            segment = _Segment(stored["k"][:count], stored["log2_p"][:count])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    fits = segment.k.shape == (count, latents) and segment.log2_p.shape == (count,)
    return segment if fits and segment.k.dtype == np.int8 and segment.log2_p.dtype == np.float32 else None


def _write(path: Path, segment: _Segment) -> None:
    """Keeps a segment if the disk lets us; the codec works without."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as temporary:
            try:
                np.savez(temporary, k=segment.k, log2_p=segment.log2_p)
                temporary.close()
                os.replace(temporary.name, path)
            except BaseException:
                os.unlink(temporary.name)
                raise
