"""Samples of pixels read by machine code: what `mixtures` says, `bisection` asks and the range coder answers.

`pixels.read` does the same by numpy, and is what to read first. One decision after the other takes a third of its time, and
other threads run meanwhile. Only decoders gain: an encoder knows all pixels of a tile, and numpy makes their decisions at
once. The coder is that of FORMAT.md, section 5: of its numbers a decoder keeps how far its point is above lower, which is
less than range, so that nothing leaves 64 bits.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vlae_codec.errors import FormatError, Progress
from vlae_codec.exact import logistics
from vlae_codec.exact.compiled import compiled, flat, machine, runs
from vlae_codec.exact.fixed import COUNT_BITS, EXP_STEP_BITS, SIGMOID_LIMIT, exp_table, sigmoid_table
from vlae_codec.exact.logistics import Whole

from .mixtures import LEAST_LOG, LOG_SCALES, OUTPUT_BITS, RANGES, WIDEST, Pixels, tanh_table

Ints = MutableSequence[int]
WORTH_PIXELS = 1 << 21
"""What reading so many pixels gains is more than compiling takes."""

_TOTAL = 1 << COUNT_BITS
_LEAST, _MOST = tuple(least for least, _ in RANGES), tuple(most for _, most in RANGES)
_MEAN_OF, _SCALE_OF = (1, 2, 4), (7, 8, 9)
_MEAN_BITS, _LOG_BITS = logistics.MEAN_BITS, logistics.LOG_BITS
_MEAN_SHIFT, _SLOPE_SHIFT = OUTPUT_BITS - _MEAN_BITS - 2, OUTPUT_BITS - _MEAN_BITS
_PLACE_SHIFT = _MEAN_BITS + 1 + logistics.INVERSE_BITS - EXP_STEP_BITS
_MIDDLE = SIGMOID_LIMIT << EXP_STEP_BITS
_OCTAVES, _LEAST_LOG, _WIDEST, _LEAST_SCALE = logistics.LOG2_E, LEAST_LOG, WIDEST, LOG_SCALES[0] << _LOG_BITS

_EXP = 0
_EXPS = _MIDDLE + 1
_INVERSE = _EXPS
_INVERSES = (LOG_SCALES[1] - LOG_SCALES[0] << _LOG_BITS) + 1
_TANH = _INVERSE + _INVERSES
"""Where tables begin, and how many entries they have."""

# what is known of a lane, a pixel of a step, behind weights, means and inverse scales of its components; GOING, of all lanes
# together, is a list: which ones go on
_LOW, _BELOW_LOW, _HIGH, _BELOW_HIGH, _SPLIT, _OUTWARDS, _GOING, _FIELDS = range(8)
# of a decoder
_ABOVE, _RANGE, _AT, _END, _CODER = range(5)
_WORD, _SCALE, _BYTE = np.uint64(32), np.uint64(COUNT_BITS), np.uint64(8)
_SHORT = np.uint64(1 << 32)


class Asked(NamedTuple):
    """What compiled functions are given: flat arrays.

    outputs (10, K, n), predicted (3, n): as of `Pixels`. tables: exp, inverse scales, tanh. sigmoid: in 32 bits. lanes: room
    for what is known of each. values (3, n): samples. streams: bytes of all tiles; coders (T, 4): their decoders.
    """

    outputs: Ints
    predicted: Ints
    tables: Ints
    sigmoid: Ints
    lanes: Ints
    values: Ints
    streams: Ints
    coders: Any


@compiled
def read_step(asked: Asked, components: int, channels: int, tiles: int) -> int:
    """Reads the samples of the pixels of a step, as many of each tile; 0, or 1 if a stream is not a code of any."""
    lanes = len(asked.values) // 3 // tiles
    for tile in range(tiles):
        _read_tile(asked, components, channels, tile * lanes, lanes, tile * _CODER)
    for tile in range(tiles):
        coder = tile * _CODER
        if asked.coders[coder + _ABOVE] >= asked.coders[coder + _RANGE]:
            return 1
    return 0


@compiled
def _read_tile(asked: Asked, components: int, channels: int, start: int, lanes: int, coder: int) -> None:
    """The samples of the pixels from `start` on, which are those of one tile."""
    pixels = len(asked.values) // 3
    for lane in range(lanes):
        _begin(asked, components, start + lane, lane)
    for channel in range(channels):
        for lane in range(lanes):
            _expect(asked, components, channel, start + lane, lane)
        _bisect(asked, components, channel, channel * pixels + start, lanes, coder)
        if channel + 1 < channels:
            for lane in range(lanes):
                _learn(asked, components, asked.values[channel * pixels + start + lane], lane)


@compiled
def _room(components: int, lane: int) -> int:
    """Where what is known of a lane begins: weights, means and inverse scales, then its fields."""
    return lane * (3 * components + _FIELDS)


@compiled
def _begin(asked: Asked, components: int, pixel: int, lane: int) -> None:
    """The weights before any sample is known: `Pixels.begin`."""
    room, pixels = _room(components, lane), len(asked.values) // 3
    most = asked.outputs[pixel]
    for k in range(1, components):
        most = max(most, asked.outputs[k * pixels + pixel])
    for k in range(components):
        away = most - asked.outputs[k * pixels + pixel]
        asked.lanes[room + k] = asked.tables[_EXP + min(away, _EXPS - 1)]
    _normalise(asked, components, room)


@compiled
def _normalise(asked: Asked, components: int, room: int) -> None:
    """`logistics.normalised`."""
    total = 0
    for k in range(components):
        total += asked.lanes[room + k]
    rest = _TOTAL
    for k in range(1, components):
        weight = (asked.lanes[room + k] << COUNT_BITS) // total
        asked.lanes[room + k] = weight
        rest -= weight
    asked.lanes[room] = rest


@compiled
def _expect(asked: Asked, components: int, channel: int, pixel: int, lane: int) -> None:
    """The mixture of a sample, and where its first split is, and its bracket: `Pixels.sample`."""
    room, pixels = _room(components, lane), len(asked.values) // 3
    known, centre, log_scale = room + 3 * components, 0, 0
    for k in range(components):
        at = k * pixels + pixel
        mean = _mean(asked, components, channel, pixel, at)
        scale = max(asked.outputs[_SCALE_OF[channel] * components * pixels + at] + (1 << OUTPUT_BITS), _LEAST_LOG)
        asked.lanes[room + components + k] = mean
        step = min(scale - _LEAST_SCALE, _INVERSES - 1)
        asked.lanes[room + 2 * components + k] = asked.tables[_INVERSE + step]
        centre += asked.lanes[room + k] * mean
        log_scale += asked.lanes[room + k] * scale
    octaves = ((log_scale >> COUNT_BITS) * _OCTAVES >> _LOG_BITS) + (1 << _LOG_BITS - 1) >> _LOG_BITS
    split = (centre >> COUNT_BITS) + (1 << _MEAN_BITS - 1) >> _MEAN_BITS
    asked.lanes[known + _SPLIT] = min(max(split, _LEAST[channel] + 1), _MOST[channel])
    asked.lanes[known + _OUTWARDS] = 1 << min(max(octaves, 0), _WIDEST)
    asked.lanes[known + _LOW] = _LEAST[channel]
    asked.lanes[known + _BELOW_LOW] = 0
    asked.lanes[known + _HIGH] = _MOST[channel] + 1
    asked.lanes[known + _BELOW_HIGH] = _TOTAL


@compiled
def _mean(asked: Asked, components: int, channel: int, pixel: int, at: int) -> int:
    """The mean of a component, which has its outputs from `at` on: `Pixels.means`."""
    pixels = len(asked.values) // 3
    part = components * pixels
    mean = asked.outputs[_MEAN_OF[channel] * part + at] >> _MEAN_SHIFT
    mean += asked.predicted[channel * pixels + pixel] << _MEAN_BITS
    for before in range(channel):
        residual = asked.values[before * pixels + pixel] - asked.predicted[before * pixels + pixel]
        mean += residual * _tanh(asked, asked.outputs[(2 * channel + 1 + before) * part + at]) >> _SLOPE_SHIFT
    return mean


@compiled
def _tanh(asked: Asked, x: int) -> int:
    size = len(asked.tables) - _TANH
    return asked.tables[_TANH + min(max(x + (size >> 1), 0), size - 1)]


@compiled
def _sigmoid(asked: Asked, place: int) -> int:
    return asked.sigmoid[min(max(place + _MIDDLE, 0), 2 * _MIDDLE)]


@compiled
def _learn(asked: Asked, components: int, value: int, lane: int) -> None:
    """The weights when a sample is known: `mixtures.updated`."""
    room, half = _room(components, lane), 1 << _MEAN_BITS
    for k in range(components):
        away = 2 * ((value << _MEAN_BITS) - asked.lanes[room + components + k])
        inverse = asked.lanes[room + 2 * components + k]
        upper = _sigmoid(asked, (away + half) * inverse >> _PLACE_SHIFT)
        mass = upper - _sigmoid(asked, (away - half) * inverse >> _PLACE_SHIFT)
        asked.lanes[room + k] = (asked.lanes[room + k] * (mass + 1) >> 12) + 1
    _normalise(asked, components, room)


@compiled
def _bisect(asked: Asked, components: int, channel: int, start: int, lanes: int, coder: int) -> None:
    """Round after round, a decision of each lane whose sample, `start` + lane, is not known: `bisection.bisect`."""
    for lane in range(lanes):
        asked.lanes[_room(components, lane) + 3 * components + _GOING] = lane
    going, first = lanes, True
    while going > 0:
        left = 0
        for place in range(going):
            lane = asked.lanes[_room(components, place) + 3 * components + _GOING]
            if _decide(asked, components, channel, lane, start + lane, coder, first):
                asked.lanes[_room(components, left) + 3 * components + _GOING] = lane
                left += 1
        going, first = left, False


@compiled
def _decide(asked: Asked, components: int, channel: int, lane: int, value: int, coder: int, first: bool) -> bool:
    """One decision; whether there are more until the value is known."""
    room = _room(components, lane)
    known, lanes = room + 3 * components, asked.lanes
    split, low, high = lanes[known + _SPLIT], lanes[known + _LOW], lanes[known + _HIGH]
    below_low, below_high = lanes[known + _BELOW_LOW], lanes[known + _BELOW_HIGH]
    below = min(max(_below(asked, components, channel, split, room), below_low), below_high)
    count = (below_high - below) * (_TOTAL - 2) // max(below_high - below_low, 1) + 1
    outwards = lanes[known + _OUTWARDS]
    if _read(asked, coder, count):
        low, outwards = split, outwards if outwards > 0 else 0
        lanes[known + _LOW], lanes[known + _BELOW_LOW] = split, below
    else:
        high, outwards = split, -outwards if first else (outwards if outwards < 0 else 0)
        lanes[known + _HIGH], lanes[known + _BELOW_HIGH] = split, below
    if high - low == 1:
        asked.values[value] = low
        return False
    further = split + outwards
    out = low < further < high
    lanes[known + _SPLIT] = further if out else low + high >> 1
    lanes[known + _OUTWARDS] = 2 * outwards if out else 0
    return True


@compiled
def _below(asked: Asked, components: int, channel: int, x: int, room: int) -> int:
    """The mass below x, even: `Logistics.below`."""
    mass = 0
    for k in range(components):
        away = (2 * x - 1 << _MEAN_BITS) - 2 * asked.lanes[room + components + k]
        place = away * asked.lanes[room + 2 * components + k] >> _PLACE_SHIFT
        mass += asked.lanes[room + k] * _sigmoid(asked, place)
    mass >>= COUNT_BITS
    mass -= mass * (_MOST[channel] - _LEAST[channel] + 1) >> COUNT_BITS
    return mass + x - _LEAST[channel]


@compiled
def _read(asked: Asked, coder: int, count: int) -> bool:
    """The next decision of a stream, given the count of "not below"; where it is no code, above stays beyond range."""
    coders = asked.coders
    above, scale = coders[coder + _ABOVE], coders[coder + _RANGE] >> _SCALE
    below = scale * np.uint64(_TOTAL - count)
    if above >= scale << _SCALE:
        coders[coder + _ABOVE] = coders[coder + _RANGE]
        return False
    if above < below:
        bit, length = False, below
    else:
        bit, length, above = True, scale * np.uint64(count), above - below
    if length < _SHORT:
        length <<= _WORD
        at = coders[coder + _AT]
        for _ in range(4):
            above <<= _BYTE
            if at < coders[coder + _END]:
                above |= np.uint64(asked.streams[at])
                at += np.uint64(1)
        coders[coder + _AT] = at
    coders[coder + _ABOVE], coders[coder + _RANGE] = above, length
    return bit


@cache
def _tables() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    inverses = logistics.inverse_scales(np.arange(_INVERSES) + _LEAST_SCALE, *LOG_SCALES)
    return np.concatenate([exp_table(), inverses, tanh_table()]), sigmoid_table().astype(np.int32)


class Reader:
    """Reads the pixels of a batch of tiles, step by step, each from its own stream."""

    def __init__(self, streams: Sequence[bytes], channels: int) -> None:
        self._channels, self._tiles = channels, len(streams)
        self._streams = np.frombuffer(b"".join(streams) or b"\0", np.uint8).copy()
        self._coders = np.empty((len(streams), _CODER), np.uint64)
        end = 0
        for coder, stream in zip(self._coders, streams, strict=True):
            start, end = end, end + len(stream)
            point = int.from_bytes(stream[:8].ljust(8, b"\0"), "big")
            coder[:] = point, (1 << 64) - 1, min(start + 8, end), end

    def read(self, pixels: Pixels) -> Whole:
        """The samples of the pixels of a step: (3, n), as many of each tile.

        Raises:
            FormatError: a stream is not a code of any pixels.
        """
        components, values = pixels.outputs.shape[1], np.zeros(pixels.predicted.shape, np.int64)
        room = np.empty(len(values[0]) // self._tiles * (3 * components + _FIELDS), np.int64)
        arrays = (pixels.outputs, pixels.predicted, *_tables(), room, values, self._streams, self._coders)
        asked = Asked(*(flat(one.reshape(-1), True) for one in arrays))
        if machine(read_step)(asked, components, self._channels, self._tiles):
            raise FormatError("the entropy-coded bytes are not a code of any symbols")
        return values


def by_machine(pixels: int, progress: Progress | None = None) -> bool:
    """Whether so many pixels are read by machine code; `progress` is told if that has to be compiled first."""
    return runs((read_step,), pixels, WORTH_PIXELS - 1, _read_one, progress)


def _read_one() -> None:
    """Reads a pixel."""
    Reader([b""], 1).read(Pixels(np.zeros((10, 1, 1), np.int64), np.zeros((3, 1), np.int64)))
