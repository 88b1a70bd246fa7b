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

_ITERATIONS, _BATCH, _RATE = 150, 2000, 2e-3
_MEAN_DECAY, _SQUARE_DECAY = 0.9, 0.99
_BITS_OF_STEP = 3.0  # what the search takes a step to cost
_LN2 = float(np.log(2.0))
_LEAST_LOG_SCALE, _MOST_LOG_SCALE = -2.5, 6.0
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


def fit(layer: Affine, inner: Numbers, residuals: Numbers, channels: int, pixels: int) -> Corrections | None:
    """Corrections that save more bits than they cost, or None.

    inner (n, K): what the layer sees of a sample of a picture's pixels, at INPUT_BITS; residuals (n, 3): these pixels less
    their predictions; channels: how many of the three are coded; pixels: how many the whole picture has.
    """
    weight_bits = _weight_bits(layer)
    weight = (np.concatenate([layer.weight, layer.bias[None] * 2.0**-INPUT_BITS]) * 2.0**-weight_bits).astype(
        np.float32
    )
    inputs = np.concatenate([inner * 2.0**-INPUT_BITS, np.ones((len(inner), 1))], 1).astype(np.float32)
    residuals = residuals[:, :channels].astype(np.float32)
    change = _descended(weight, inputs, residuals, _BITS_OF_STEP * 2.0 ** max(STEP_BITS) / pixels)

    def bits(change: Numbers) -> float:
        return float(nats_of(_outputs(inputs, weight + change), residuals)[0].sum()) / _LN2 * pixels / len(inputs)

    least, best = bits(0 * change), None
    for step_bits in STEP_BITS:
        values = np.clip(np.rint(change * 2.0**step_bits), -LARGEST, LARGEST).astype(np.int64)
        found = Corrections(step_bits, values)
        total = bits((values * 2.0**-step_bits).astype(np.float32)) + _shortest(values.reshape(-1))[1] + 24
        if total < least:
            least, best = total, found
    return best


def _descended(weight: Numbers, inputs: Numbers, residuals: Numbers, bits_of_one: float) -> Numbers:
    """The change of a layer (K + 1, O) after some steps of Adam (Kingma & Ba 2015), its rate falling to nothing.

    bits_of_one: what a change of one weight by one is taken to cost, bits a pixel.
    """
    rng = np.random.default_rng(0)
    change, mean, square = (np.zeros_like(weight) for _ in range(3))
    for step in range(1, _ITERATIONS + 1):
        chosen = rng.integers(0, len(inputs), _BATCH)
        seen = inputs[chosen]
        _, slope = nats_of(_outputs(seen, weight + change), residuals[chosen])
        gradient = seen.T @ slope.reshape(_BATCH, -1) / _BATCH + _LN2 * bits_of_one * np.sign(change)
        mean += (1 - _MEAN_DECAY) * (gradient - mean)
        square += (1 - _SQUARE_DECAY) * (gradient**2 - square)
        spread = np.sqrt(square / (1 - _SQUARE_DECAY**step)) + 1e-9
        rate = _RATE * (1 - (step - 1) / _ITERATIONS)
        change -= rate * mean / (1 - _MEAN_DECAY**step) / spread
    return change


def _outputs(inputs: Numbers, weight: Numbers) -> Numbers:
    return (inputs @ weight).reshape(len(inputs), 10, -1)


def nats_of(outputs: Numbers, residuals: Numbers) -> tuple[Numbers, Numbers]:
    """-log p of pixels (n,), nats, and its gradient to the outputs (n, 10, K).

    residuals (n, 1 or 3): Y, or Y, Co and Cg, less their predictions. See `pixel_bits` in `models/grid/texture.py`; here,
    as in a file, every value has a mass of 2^-24 at least, where that one has a density in the tails.
    """
    channels = residuals.shape[1]
    means, slopes = _means(outputs, residuals)
    logits, log_scales = outputs[:, 0], outputs[:, 7 : 7 + channels] + 1
    inverse = np.exp(-np.clip(log_scales, _LEAST_LOG_SCALE, _MOST_LOG_SCALE))
    away = residuals[:, :, None] - means
    upper, lower = (np.maximum((half - np.abs(away)) * inverse, -60) for half in (0.5, -0.5))
    at_upper, at_lower = 1 / (1 + np.exp(-upper)), 1 / (1 + np.exp(-lower))
    mass = at_upper - at_lower + _EVEN
    shares = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    joint = shares + np.log(mass).sum(1)
    log_p = np.logaddexp.reduce(joint, axis=1, keepdims=True)
    posterior = np.exp(joint - log_p)
    density_upper, density_lower = at_upper * (1 - at_upper), at_lower * (1 - at_lower)
    within = (log_scales > _LEAST_LOG_SCALE) & (log_scales < _MOST_LOG_SCALE)
    to_means = posterior[:, None] * np.sign(away) * inverse * (density_lower - density_upper) / mass
    gradient = np.zeros_like(outputs)
    gradient[:, 0] = np.exp(shares) - posterior
    gradient[:, 7 : 7 + channels] = posterior[:, None] * (upper * density_upper - lower * density_lower) / mass * within
    for place, channel, slope in slopes:
        gradient[:, place] = to_means[:, channel] * slope
    return -log_p[:, 0], gradient


def _means(outputs: Numbers, residuals: Numbers) -> tuple[Numbers, list[tuple[int, int, Numbers | float]]]:
    """The means of the components (n, channels, K), and (output, channel, derivative) of what they depend on."""
    means, slopes = [outputs[:, 1] * 4], list[tuple[int, int, Numbers | float]]([(1, 0, 4.0)])
    if residuals.shape[1] > 1:
        y, co = residuals[:, :1], residuals[:, 1:2]
        first, second, third = (np.tanh(outputs[:, place]) for place in (3, 5, 6))
        means += [outputs[:, 2] * 4 + y * first, outputs[:, 4] * 4 + y * second + co * third]
        slopes += [(2, 1, 4.0), (3, 1, y * (1 - first**2)), (4, 2, 4.0)]
        slopes += [(5, 2, y * (1 - second**2)), (6, 2, co * (1 - third**2))]
    return np.stack(means, 1), slopes
