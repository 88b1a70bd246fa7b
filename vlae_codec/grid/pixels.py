"""The pixels of tiles as streams: each sample a run of decisions, in the order of the wavefront.

The order in a stream is by step t = column + 2 row, then by channel (Y, Co, Cg), then by round of decisions, then by row.
Gray pictures have one channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vlae_codec.coding.bisection import bisect
from vlae_codec.coding.entropy import Decoder, Encoder, read_bits
from vlae_codec.exact.logistics import Whole

from .colour import Planes
from .decisions import Reader
from .latents import Bools, information_bits
from .mixtures import Pixels, updated
from .texture import Texture, Tiles
from .wavefront import walk


@dataclass(frozen=True)
class Coded:
    """A tile's stream; ideal_bits is the information in its pixels given the code."""

    stream: bytes
    ideal_bits: float


def write(said: Pixels, x: Planes, channels: int) -> Coded:
    """The pixels x (H, W, 3) of one tile, given their mixtures; of gray pictures only the first channel counts."""
    bits, counts = _decisions(said, x, channels)
    encoder = Encoder()
    encoder.put_bits(bits.astype(np.uint8), counts)
    return Coded(encoder.finish().rest, information_bits(bits, counts))


def _decisions(pixels: Pixels, x: Planes, channels: int) -> tuple[Bools, Whole]:
    """The decisions of a tile and their counts, in the order of its stream."""
    height, width, _ = x.shape
    steps = (np.arange(width)[None] + 2 * np.arange(height)[:, None]).reshape(-1).astype(np.uint16)
    when: list[npt.NDArray[np.uint16]] = []
    bits: list[Bools] = []
    all_counts: list[Whole] = []

    def answer(lanes: Whole, splits: Whole, below: Whole, counts: Whole) -> Bools:
        above: Bools = values[lanes] >= splits
        when.append(steps[lanes])
        bits.append(above)
        all_counts.append(counts)
        return above

    weights, known = pixels.begin(), list[Whole]()
    for channel in range(channels):
        values = x[..., channel].reshape(-1).astype(np.int64)
        mixture, centres, brackets = pixels.sample(channel, weights, known)
        bisect(mixture, centres, brackets, answer)
        if channel + 1 < channels:
            weights = updated(weights, mixture, values)
            known.append(values)
    order = np.concatenate(when).argsort(kind="stable")  # by step; what was appended is in order of channel, round, row
    return np.concatenate(bits)[order], np.concatenate(all_counts)[order]


def read(texture: Texture, tiles: Tiles, streams: Sequence[bytes], channels: int, fast: bool = False) -> Planes:
    """The pixels of a batch of tiles of one size, each from its own stream: (T, H, W, 3). fast: by machine code.

    Raises:
        FormatError: a stream is not a code of any pixels.
    """
    if fast:
        reader = Reader(streams, channels)
        return walk(texture, tiles, lambda pixels, rows, t: reader.read(pixels))
    decoders = [Decoder(stream) for stream in streams]

    def decide(pixels: Pixels, rows: slice, t: int) -> Whole:
        out = np.zeros(pixels.predicted.shape, np.int64)
        borders = len(out.T) // len(decoders) * np.arange(1, len(decoders) + 1)

        def answer(lanes: Whole, splits: Whole, below: Whole, counts: Whole) -> Bools:
            ends = np.searchsorted(lanes, borders).tolist()
            return read_bits(decoders, ends, counts)

        weights, known = pixels.begin(), list[Whole]()
        for channel in range(channels):
            mixture, centres, brackets = pixels.sample(channel, weights, known)
            values = bisect(mixture, centres, brackets, answer)
            out[channel] = values
            if channel + 1 < channels:
                weights = updated(weights, mixture, values)
                known.append(values)
        return out

    return walk(texture, tiles, decide)
