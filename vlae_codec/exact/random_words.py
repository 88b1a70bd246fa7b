"""Shared pseudo-random words: what sender and receiver both draw from.

Philox4x64-10 (Salmon et al. 2011), raw output. Block b of a stream is the generator's output for counter b + 1 under
the stream's 128-bit key; each of its four 64-bit outputs gives two words, low half first; a word is the upper 24 bits of its
32-bit half. Random access costs nothing, and no library's notion of a distribution is involved.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

WORDS_PER_BLOCK = 8
ROOTS, BRANCHES = 1 << 17, 1 << 13
"""Codeword n is branch n // ROOTS of root n % ROOTS; branch 0 is the root itself."""
_CODEBOOK = 0  # the key's upper half; pixel streams have 1 + seed there
_ROW_BITS = 40
SEED_LIMIT = (1 << 63) - 1
"""Seeds are below this."""


def _words(key: tuple[int, int], first_block: int, blocks: int) -> npt.NDArray[np.int64]:
    """24-bit words of `blocks` blocks: (8 * blocks,) int64."""
    low, high = key
    generator = np.random.Philox(key=np.array([low, high], np.uint64))
    generator.advance(first_block)
    raw = generator.random_raw(4 * blocks)
    halves = np.stack([raw & np.uint64(0xFFFFFFFF), raw >> np.uint64(32)], axis=1).reshape(-1)
    return (halves >> np.uint64(8)).astype(np.int64)


def root_words(first: int, count: int, latents: int) -> npt.NDArray[np.int64]:
    """The words of roots first .. first + count - 1: (count, latents)."""
    return _rows((0, _CODEBOOK), first, count, latents)


def branch_words(root: int, first: int, count: int, latents: int) -> npt.NDArray[np.int64]:
    """The words of a root's branches first .. first + count - 1: (count, latents)."""
    return _rows((1, _CODEBOOK), root * BRANCHES + first, count, latents)


def _rows(key: tuple[int, int], first: int, count: int, latents: int) -> npt.NDArray[np.int64]:
    blocks = -(-latents // WORDS_PER_BLOCK)
    words = _words(key, first * blocks, count * blocks)
    return words.reshape(count, blocks * WORDS_PER_BLOCK)[:, :latents]


def codeword_words(n: int, latents: int, split: int) -> npt.NDArray[np.int64]:
    """The words of codeword n: of its root n mod 2^17 before latent `split`, of its branch from there on; (latents,)."""
    branch, root = divmod(n, ROOTS)
    words: npt.NDArray[np.int64] = root_words(root, 1, latents)[0]
    if branch:
        words[split:] = branch_words(root, branch, 1, latents)[0, split:]
    return words


def pixel_words(seed: int, identity: int, pixels: int) -> npt.NDArray[np.int64]:
    """One word per pixel of a field: (pixels,). `identity` < 2^64 tells fields apart: see `latents.Code.identity`."""
    return _words((identity, 1 + seed), 0, -(-pixels // WORDS_PER_BLOCK))[:pixels]


def place_words(seed: int, row: int, left: int, count: int, words: int) -> npt.NDArray[np.int64]:
    """Some words for each of `count` pixels of a picture's row, from column `left` on: (count, words).

    They depend on the place alone: pixel (row, column) has the words from block row 2^40, word `words` column, on.
    """
    first, skipped = divmod(left * words, WORDS_PER_BLOCK)
    needed = skipped + count * words
    found = _words((0, 1 + seed), (row << _ROW_BITS) + first, -(-needed // WORDS_PER_BLOCK))
    return found[skipped:needed].reshape(count, words)
