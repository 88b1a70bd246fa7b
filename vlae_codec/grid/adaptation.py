"""What an exact file says of its own picture's noise: corrections of the PixelCNN's last layer, few and small.

    fit        a search down the gradient of -log p(x|z), over a sample of the picture's pixels
    write      whole steps of 2^-8 to 2^-5, each coded under two logistics around 0
    adapted    they are added to the weights and biases of the layer

The decoder changes by one addition. Only the search is in floating point: nothing that a decoder recomputes depends on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec.coding.bisection import Answer, bisect
from vlae_codec.coding.entropy import Decoder, Encoder
from vlae_codec.errors import FormatError
from vlae_codec.exact import logistics
from vlae_codec.exact.fixed import COUNT_BITS, Affine
from vlae_codec.exact.logistics import LOG_BITS, Logistics, Whole

from .colour import Planes
from .latents import Bools
from .mixtures import OUTPUT_BITS
from .texture import INPUT_BITS, Texture, narrow

LARGEST = 127
"""Of a correction, in steps."""
STEP_BITS = range(5, 9)
"""Fraction bits of a step."""
_SCALE_BITS = 4  # fraction bits of the log scale in a file
_LEAST_SCALE, _MOST_SCALE = -4, 8
_WIDER = 2  # the second logistic's scale is e^2 times the first's
_SCALES = range((_MOST_SCALE - _WIDER - _LEAST_SCALE << _SCALE_BITS) + 1)

_ITERATIONS, _BATCH = 300, 2000
_RATES = 4e-3, 1e-3
"""Of learning; the lower one where the higher gains nothing, as where a picture is flat and its noise narrow."""
_TOGETHER = 1 << 14  # pixels that are priced at once
_MEAN_DECAY, _SQUARE_DECAY = 0.9, 0.99
_BITS_OF_STEP = 3.0  # what the search takes a step to cost
_LN2 = float(np.log(2.0))
_LEAST_LOG_SCALE, _MOST_LOG_SCALE = -2.5, 6.0
_MEANS, _SLOPES = (1, 2, 4), (3, 5, 6)  # places of outputs
_EVEN = 0.5**COUNT_BITS  # of the mass, which every value has for itself

Numbers = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Corrections:
    """Of a layer (K, O): values (K + 1, O), in steps of 2^-step_bits; the last row is for the biases."""

    step_bits: int
    values: Whole


def adapted(texture: Texture, corrections: Corrections) -> Texture:
    """The PixelCNN with its last layer corrected."""
    layer = texture.output
    steps = corrections.values * 2.0 ** (_weight_bits(layer) - corrections.step_bits)
    weight, bias = layer.weight + steps[:-1], layer.bias + steps[-1] * 2.0**INPUT_BITS
    return replace(texture, output=narrow(Affine(weight, bias, layer.shift, layer.limit)))


def _weight_bits(layer: Affine) -> int:
    return layer.shift + OUTPUT_BITS - INPUT_BITS


def write(corrections: Corrections) -> bytes:
    """step_bits, the log scale under which the values are shortest, and their stream."""
    values = corrections.values.reshape(-1)
    scale, _ = _shortest(values)
    encoder = Encoder()

    def answer(lanes: Whole, splits: Whole, below: Whole, counts: Whole) -> Bools:
        above: Bools = values[lanes] >= splits
        encoder.put_bits(above.astype(np.uint8), counts)
        return above

    _bisected(len(values), scale, answer)
    return bytes([corrections.step_bits, scale]) + encoder.finish().rest


def read(data: bytes, inputs: int, outputs: int) -> Corrections:
    """The inverse of `write`, for a layer (inputs, outputs).

    Raises:
        FormatError: these are not corrections.
    """
    if len(data) < 2 or data[0] not in STEP_BITS or data[1] not in _SCALES:
        raise FormatError("the corrections of the texture are not valid: the file is damaged")
    decoder = Decoder(data[2:])

    def answer(lanes: Whole, splits: Whole, below: Whole, counts: Whole) -> Bools:
        return decoder.get_bits(counts).astype(np.bool_)

    values = _bisected((inputs + 1) * outputs, data[1], answer)
    return Corrections(data[0], values.reshape(inputs + 1, outputs))


def _shortest(values: Whole) -> tuple[int, float]:
    """The log scale under which values are shortest, and their information, bits."""
    return min(((scale, _bits(values, scale)) for scale in _SCALES), key=lambda one: one[1])


def _bits(values: Whole, scale: int) -> float:
    return float(_mixture(len(values), scale).cell_bits(values.astype(np.float64)).sum())


def _bisected(count: int, scale: int, answer: Answer) -> Whole:
    centres = np.zeros(count, np.int64)
    return bisect(_mixture(count, scale), centres, centres + 1, answer)


def _mixture(count: int, scale: int) -> Logistics:
    """Two logistics around 0, the same for all of so many values."""
    log_scale = (_LEAST_SCALE << LOG_BITS) + (scale << LOG_BITS - _SCALE_BITS)
    log_scales = np.full((count, 2), [log_scale, log_scale + (_WIDER << LOG_BITS)]).T
    inverses = logistics.inverse_scales(log_scales, _LEAST_SCALE, _MOST_SCALE)
    halves = np.full((2, count), 1 << COUNT_BITS - 1)
    return Logistics(halves, 0 * halves, inverses, -LARGEST, LARGEST)


def fit(
    layer: Affine, inner: npt.NDArray[np.int16], residuals: Planes, channels: int, pixels: int
) -> Corrections | None:
    """Corrections that save more bits than they cost, or None.

    inner (n, K): what the layer sees of a sample of a picture's pixels, at INPUT_BITS; residuals (n, 3): these pixels less
    their predictions; channels: how many of the three are coded; pixels: how many the whole picture has.
    """
    weight = np.concatenate([layer.weight, layer.bias[None] * 2.0**-INPUT_BITS]) * 2.0 ** -_weight_bits(layer)
    sample, of_outputs = _Sample(inner, residuals[:, :channels]), weight.T.astype(np.float32)

    def bits(change: Numbers) -> float:
        return sample.nats(of_outputs + change) / _LN2 * pixels / len(inner)

    least, best = bits(0 * of_outputs), None
    for rate in _RATES:
        change = _descended(of_outputs, sample, rate, _BITS_OF_STEP * 2.0 ** max(STEP_BITS) / pixels)
        for step_bits in STEP_BITS:
            values = np.clip(np.rint(change * 2.0**step_bits), -LARGEST, LARGEST).astype(np.int64)
            total = bits((values * 2.0**-step_bits).astype(np.float32)) + _shortest(values.reshape(-1))[1] + 24
            if total < least:
                least, best = total, Corrections(step_bits, np.ascontiguousarray(values.T))
        if best:
            break
    return best


@dataclass(frozen=True)
class _Sample:
    """Of a picture's pixels: what the layer sees (n, K), at INPUT_BITS, and residuals (n, channels)."""

    inner: npt.NDArray[np.int16]
    residuals: Planes

    def mixtures(self, weight: Numbers, chosen: npt.NDArray[np.intp] | slice) -> tuple[Mixtures, Numbers]:
        """What a layer (O, K + 1) makes of some of them, and what it sees of these: (n, K + 1), the last of them 1."""
        inner = self.inner[chosen]
        inputs = np.ones((len(inner), inner.shape[1] + 1), np.float32)
        np.multiply(inner, 2.0**-INPUT_BITS, out=inputs[:, :-1], casting="unsafe")
        outputs = (weight @ inputs.T).reshape(10, -1, len(inner))
        return Mixtures.of(outputs, np.ascontiguousarray(self.residuals[chosen].T, np.float32)), inputs

    def nats(self, weight: Numbers) -> float:
        """-log p of all of them."""
        starts = range(0, len(self.inner), _TOGETHER)
        return sum(float(self.mixtures(weight, slice(at, at + _TOGETHER))[0].nats.sum()) for at in starts)


def _descended(weight: Numbers, sample: _Sample, rate: float, bits_of_one: float) -> Numbers:
    """The change of a layer (O, K + 1) after some steps of Adam (Kingma & Ba 2015), its rate falling to nothing.

    bits_of_one: what a change of one weight by one is taken to cost, bits a pixel.
    """
    rng = np.random.default_rng(0)
    change, mean, square = (np.zeros_like(weight) for _ in range(3))
    for step in range(1, _ITERATIONS + 1):
        some, inputs = sample.mixtures(weight + change, rng.integers(0, len(sample.inner), _BATCH))
        slope = some.gradient().reshape(len(weight), _BATCH)
        gradient = slope @ inputs / _BATCH + _LN2 * bits_of_one * np.sign(change)
        mean += (1 - _MEAN_DECAY) * (gradient - mean)
        square += (1 - _SQUARE_DECAY) * (gradient**2 - square)
        spread = np.sqrt(square / (1 - _SQUARE_DECAY**step)) + 1e-9
        change -= rate * (1 - (step - 1) / _ITERATIONS) * mean / (1 - _MEAN_DECAY**step) / spread
    return change


@dataclass(frozen=True)
class Mixtures:
    """Mixtures of n pixels, in floating point: those of `pixel_bits` in `models/grid/texture.py`. Here, as in a file, every
    value has a mass of 2^-24 at least, where that one has a density in the tails.

    outputs (10, K, n); residuals (1 or 3, n): Y, or Y, Co and Cg, less their predictions. slopes (3, K, n): of both chromas
    on what comes before; none of Y alone. For each channel and component: inverse scales; how far the residual is from the
    mean; sigmoids at both ends of its cell, and their mass. shares: log weights; joint: with the masses; nats (n,): -log p.
    """

    outputs: Numbers
    residuals: Numbers
    slopes: Numbers
    inverse: Numbers
    away: Numbers
    ends: Numbers
    at_ends: Numbers
    mass: Numbers
    shares: Numbers
    joint: Numbers
    nats: Numbers

    @classmethod
    def of(cls, outputs: Numbers, residuals: Numbers) -> Mixtures:
        """Of outputs and residuals."""
        channels = len(residuals)
        inverse = np.exp(-np.clip(outputs[7 : 7 + channels] + 1, _LEAST_LOG_SCALE, _MOST_LOG_SCALE))
        slopes = np.tanh(outputs[list(_SLOPES)]) if channels > 1 else outputs[:0]
        away = residuals[:, None] - _means(outputs, residuals, slopes)
        ends = np.maximum((np.array([0.5, -0.5], away.dtype)[:, None, None, None] - np.abs(away)) * inverse, -60)
        at_ends = 1 / (1 + np.exp(-ends))
        mass = at_ends[0] - at_ends[1] + _EVEN
        shares = outputs[0] - _log_sum(outputs[0])
        joint = shares + np.log(mass).sum(0)
        return cls(outputs, residuals, slopes, inverse, away, ends, at_ends, mass, shares, joint, -_log_sum(joint))

    def gradient(self) -> Numbers:
        """Of the nats to the outputs: (10, K, n)."""
        channels = len(self.residuals)
        posterior, densities = np.exp(self.joint + self.nats), self.at_ends * (1 - self.at_ends)
        log_scales = self.outputs[7 : 7 + channels] + 1
        within = (log_scales > _LEAST_LOG_SCALE) & (log_scales < _MOST_LOG_SCALE)
        of_mass = posterior / self.mass
        to_means = of_mass * np.sign(self.away) * self.inverse * (densities[1] - densities[0])
        gradient = np.zeros_like(self.outputs)
        gradient[0] = np.exp(self.shares) - posterior
        gradient[7 : 7 + channels] = of_mass * (self.ends[0] * densities[0] - self.ends[1] * densities[1]) * within
        gradient[list(_MEANS[:channels])] = to_means * 4
        for place, channel, before, slope in zip(_SLOPES, (1, 2, 2), (0, 0, 1), self.slopes, strict=False):
            gradient[place] = to_means[channel] * (self.residuals[before] * (1 - slope**2))
        return gradient


def _log_sum(logs: Numbers) -> Numbers:
    """The log of the sum of exp(logs) over the first axis."""
    most = logs.max(0)
    total: Numbers = most + np.log(np.exp(logs - most).sum(0))
    return total


def _means(outputs: Numbers, residuals: Numbers, slopes: Numbers) -> Numbers:
    """The means of the components: (channels, K, n)."""
    means = outputs[list(_MEANS[: len(residuals)])] * 4
    if len(residuals) > 1:
        y, co = residuals[0], residuals[1]
        means[1] += y * slopes[0]
        means[2] = means[2] + y * slopes[1] + co * slopes[2]
    return means
