"""Finding a codeword: Shannon's random codebook, searched by the sender (see `docs/codebook.md`).

Codeword n is a sample of the prior drawn with shared words. The sender wants the least
    J(n) = L(n) - log2 p(x | z(n)),        L(n) the bits that the number costs.
The codebook is a tree: 2^17 roots, each with 2^13 branches that share its first latents. All roots are ranked by L(n) -
log2 q(z|x) / p(z), one matrix product in float32; then branches of those roots whose first latents fit best. What
is ranked best is decoded exactly and scored, in `search`. Only that decides what a file decodes to, so the ranking may be
approximate, and the cache on disk that feeds it is only a hint: one that is
damaged, or of something else, is made anew.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vlae_codec.coding.bits import PrefixCode
from vlae_codec.errors import OutputError, Progress
from vlae_codec.exact.fixed import LATENT_BITS
from vlae_codec.exact.random_words import BRANCHES, ROOTS, branch_words, root_words
from vlae_codec.exact.threads import in_pieces
from vlae_codec.files import cache_folder, check_free, keep

from .model import Model
from .posterior import Floats, Posterior

_BEAMS = 256  # roots that may get branches


class Size(NamedTuple):
    """How much of the codebook is searched for an image: all roots below 2^bits, and at most `branches` of them."""

    bits: int
    branches: int = 0


@dataclass(frozen=True)
class Roots:
    """Roots 0 .. n - 1: lattice coordinates (n, D) int8; -log2 p before the split, and of all latents, (n, 2) float32."""

    k: npt.NDArray[np.int8]
    p_bits: npt.NDArray[np.float32]


def rank(
    prefix: PrefixCode, posterior: Posterior, size: Size, best: int, progress: Progress | None = None
) -> npt.NDArray[np.int64]:
    """The numbers of the `best` codewords by estimated J, for each image: (B, best) int64."""
    model = posterior.model
    roots = model.roots.get(size.bits) or model.roots.setdefault(size.bits, _roots(model, 1 << size.bits, progress))
    natural = posterior.natural()
    numbers = np.arange(len(roots.k))
    cost_bits = prefix.number_bits(np.maximum(numbers, 1)).astype(np.float32) - roots.p_bits[:, 1]
    cost_bits[0] = np.inf  # numbers begin at 1
    features = _features(model, roots.k)
    found = in_pieces(8, partial(_top, features, cost_bits, best), natural)
    if size.branches:
        shared = np.r_[: model.prior.split, model.prior.latents : model.prior.latents + model.prior.split]
        beams = in_pieces(8, partial(_top, features[shared], -roots.p_bits[:, 0], _BEAMS), natural[:, shared])
        grown = in_pieces(1, partial(_branches, model, prefix, size.branches, best), beams, natural)
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
    model: Model,
    prefix: PrefixCode,
    branches: int,
    best: int,
    beams: Floats,
    natural: npt.NDArray[np.float32],
) -> Floats:
    """The best branches of one image's `beams`, pairs (log2 q/p, root) (1, T, 2): pairs (-J, number), (1, best, 2)."""
    counts, prior = _shares(prefix, branches, beams[0, :, 0]), model.rough.prior
    counts, chosen = counts[counts > 0], beams[0, counts > 0, 1].astype(np.int64)
    roots = list(zip(chosen.tolist(), counts.tolist(), strict=True))
    before = np.concatenate([root_words(root, 1, prior.latents) for root, _ in roots])
    behind = np.concatenate([branch_words(root, 1, count, prior.latents) for root, count in roots])
    numbers = np.concatenate([root + ROOTS * np.arange(1, count + 1) for root, count in roots])
    table = prior.sample_branches(before, behind, counts)
    cost_bits = (prefix.number_bits(numbers) - table[:, -1]).astype(np.float32)
    found = _top(_features(model, table[:, : prior.latents].astype(np.int64)), cost_bits, best, natural)
    found[..., 1] = numbers[found[..., 1].astype(np.int64)]
    return found


def _shares(prefix: PrefixCode, branches: int, score: Floats) -> npt.NDArray[np.int64]:
    """How many branches each root gets, given log2 q/p of its latents (T,): (T,), more than branches / 2 in all.

    They are given an octave of numbers at a time, where the least is lost: L(number) - log2 q/p. So an image that finds
    many good roots tries a few branches of each, one that finds few tries many.
    """
    octaves = np.arange(BRANCHES.bit_length() - 1)
    cost_bits = np.maximum.accumulate(prefix.number_bits(ROOTS << octaves) - score[:, None], axis=1)
    order = np.argsort(cost_bits, axis=None, kind="stable")
    root, octave = np.divmod(order, len(octaves))
    given = np.cumsum(1 << octave) <= branches
    counts = np.zeros(len(score), np.int64)
    np.add.at(counts, root[given], 1 << octave[given])
    return counts


def _roots(model: Model, count: int, progress: Progress | None) -> Roots:
    folder = cache_folder()
    path = folder / f"{model.digest.hex()[:16]}-{count.bit_length() - 1}.roots" if folder else None
    kept = _read(path, model, count) if path else None
    if kept is None:
        reason = _obstacle(path)
        kept = _sample(model, count, progress, "once, kept on disk" if reason is None else f"each time: {reason}")
        if path and reason is None:
            _write(path, model, kept)
    return kept


def _sample(model: Model, count: int, progress: Progress | None, how_often: str) -> Roots:
    parts, piece = [], 1 << 13
    for start in range(0, count, piece):
        parts.append(_drawn(model, start, min(start + piece, count)))
        if progress:
            progress(f"building the codebook ({how_often})", min(start + piece, count), count)
    return Roots(np.concatenate([part.k for part in parts]), np.concatenate([part.p_bits for part in parts]))


def _drawn(model: Model, start: int, stop: int) -> Roots:
    """Roots `start` to `stop` - 1."""
    prior = model.rough.prior
    drawn = in_pieces(512, prior.sample_with_bits, root_words(start, stop - start, prior.latents))
    return Roots(drawn[:, :-2].astype(np.int8), drawn[:, -2:].astype(np.float32))


def _read(path: Path, model: Model, count: int) -> Roots | None:
    """What `_write` kept, if it is all there, of that model, and some of it the same when drawn again."""
    k_bytes, p_bytes = count * model.prior.latents, count * 2 * 4
    size = _SUM_BYTES + k_bytes + p_bytes
    try:
        if not path.is_file() or path.stat().st_size != size:  # a pipe would never end
            return None
        with path.open("rb") as file:
            data = file.read(size)
    except OSError:
        return None
    if len(data) != size or data[:_SUM_BYTES] != _sum(model, data[_SUM_BYTES:]):
        return None
    k = np.frombuffer(data, np.int8, k_bytes, _SUM_BYTES).reshape(count, -1)
    roots = Roots(k, np.frombuffer(data, "<f4", 2 * count, _SUM_BYTES + k_bytes).reshape(count, 2).astype(np.float32))
    last = max(0, count - _LOOKED_AT)
    again = _drawn(model, last, count)
    same = np.array_equal(again.k, k[last:]) and np.allclose(again.p_bits, roots.p_bits[last:], rtol=1e-3, atol=0.1)
    return roots if same else None


def _write(path: Path, model: Model, roots: Roots) -> None:
    """Keeps roots if the disk lets us; the codec works without."""
    data = roots.k.tobytes() + roots.p_bits.astype("<f4").tobytes()
    keep(path, _sum(model, data) + data)


def _obstacle(path: Path | None) -> str | None:
    """Why nothing can be kept at that place, or None."""
    if path is None:
        return "there is no folder to keep it in"
    try:
        check_free(path, force=True)
        return None if path.is_file() or not path.exists() else f"{path} is not a file"
    except (OutputError, OSError) as error:
        return str(error)


def _sum(model: Model, data: bytes) -> bytes:
    """SHA-256 of the model's digest, and of what was drawn from it."""
    return hashlib.sha256(model.digest + data).digest()


_SUM_BYTES, _LOOKED_AT = 32, 8
