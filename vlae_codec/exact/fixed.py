"""Fixed-point arithmetic: everything a decoder recomputes is built from the functions of this module.

Numbers are integers on power-of-two grids, carried in float64 arrays so that BLAS multiplies them. A float64 holds every
integer up to 2^53 exactly, so a sum of products whose partial sums stay below that bound has one value, in whatever order
and with whatever instructions it is added up. `Affine` checks the bound when it is made.

Twists:
- `exp_table` needs no libm: two short tables from Python's `decimal`, which rounds correctly, multiplied as integers.
- ELU, its saturation and the floor before it are one table look-up (`take` with mode="clip").
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, is_dataclass, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from vlae_codec.errors import ModelError

Integers = npt.NDArray[np.float64]
"""Integer values in a float64 array, each below 2^53 in magnitude."""

EXACT = 2.0**53
ACTIVATION_BITS = 10
"""Fraction bits of activations and logits."""
LATENT_BITS = 12
"""Fraction bits of latents, and of everything in the prior."""
COUNT_BITS = 24
"""Probabilities are counts out of 2^24."""

_ELU_LOWEST = -8 << ACTIVATION_BITS  # below this, ELU is -1 to the last bit
_ELU_ENTRIES = 1 << 16  # so activations saturate just under 56
ACTIVATION_LIMIT = float(_ELU_ENTRIES + _ELU_LOWEST)
SIGMOID_LIMIT = 16
"""The argument of exp reaches down to -16; the sigmoid's saturates at +-16."""
EXP_BITS = 30
"""Fraction bits of `exp_table`."""
EXP_STEP_BITS = 12
"""Fraction bits of the arguments of `exp_table` and `sigmoid_table`."""
_COARSE_BITS, _FINE_BITS = 36, 26
# Spelled out, so that no setting of the process's decimal context can change a table.
_DECIMAL = Context(prec=30, rounding=ROUND_HALF_EVEN, Emin=-999, Emax=999, capitals=1, clamp=0, flags=[], traps=[])


def exp_integer(x: Decimal | int, bits: int) -> int:
    """exp(x) * 2^bits, rounded to the nearest integer."""
    scaled = _DECIMAL.multiply(_DECIMAL.exp(Decimal(x)), Decimal(1 << bits))
    return int(scaled.to_integral_value(context=_DECIMAL))


@cache
def exp_table() -> npt.NDArray[np.int64]:
    """exp(-i / 2^12) * 2^30, floored, for i in 0 .. 16 * 2^12: (65537,) int64.

    exp(-(256 a + b) / 2^12) is the product of two rounded factors, of 36 and 26 fraction bits: precise enough for the
    table never to rise, which CDFs built on it need, and small enough for int64.
    """
    unit = 1 << EXP_STEP_BITS
    coarse = [exp_integer(_DECIMAL.divide(-256 * a, unit), _COARSE_BITS) for a in range(SIGMOID_LIMIT * 16 + 1)]
    fine = [exp_integer(_DECIMAL.divide(-b, unit), _FINE_BITS) for b in range(256)]
    product = np.outer(np.array(coarse, np.int64), np.array(fine, np.int64)) >> _COARSE_BITS + _FINE_BITS - EXP_BITS
    return product.reshape(-1)[: (SIGMOID_LIMIT << EXP_STEP_BITS) + 1]


@cache
def elu_table() -> Integers:
    """ELU at ACTIVATION_BITS for inputs _ELU_LOWEST + i: (65536,)."""
    i = np.arange(_ELU_ENTRIES, dtype=np.int64) + _ELU_LOWEST
    shift = EXP_BITS - ACTIVATION_BITS
    behind = np.clip(-i, 0, -_ELU_LOWEST) << EXP_STEP_BITS - ACTIVATION_BITS
    exp = (exp_table()[behind] + (1 << shift - 1)) >> shift
    table: Integers = np.where(i > 0, i, exp - (1 << ACTIVATION_BITS)).astype(np.float64)
    return table


@cache
def _elu_table_as(kind: npt.DTypeLike) -> Integers:
    """`elu_table` in float64 or, for searches, in float32."""
    return elu_table().astype(kind)


def elu(x: Integers) -> Integers:
    """Saturating ELU of integers at ACTIVATION_BITS, elementwise."""
    return _elu_table_as(x.dtype).take((x - _ELU_LOWEST).astype(np.intp), mode="clip")


@cache
def sigmoid_table() -> npt.NDArray[np.int64]:
    """sigmoid(i / 2^12) * 2^24, floored, for i in -16 * 2^12 .. 16 * 2^12, symmetric to the last bit: (131073,) int64."""
    upper = (1 << COUNT_BITS + EXP_BITS) // ((1 << EXP_BITS) + exp_table())
    return np.concatenate([(1 << COUNT_BITS) - upper[:0:-1], upper])


def ink_counts(logits: Integers) -> npt.NDArray[np.int64]:
    """p(ink) out of 2^24, in 1 .. 2^24 - 1, for logits at ACTIVATION_BITS."""
    index = (logits * 2.0 ** (EXP_STEP_BITS - ACTIVATION_BITS) + (SIGMOID_LIMIT << EXP_STEP_BITS)).astype(np.intp)
    return sigmoid_table().take(index, mode="clip").clip(1, (1 << COUNT_BITS) - 1)


LOG_BITS = 16
"""Fraction bits of `log2_counts`."""
_LOG_ENTRIES = 1 << 12
_LN2 = 45426  # at LOG_BITS


@cache
def _log_table() -> npt.NDArray[np.int64]:
    """log2 in the middle of each 1/4096 of 1 .. 2, at LOG_BITS, rounded: (4096,) int64."""
    middles = (_DECIMAL.divide(2 * i + 1 + 2 * _LOG_ENTRIES, 2 * _LOG_ENTRIES) for i in range(_LOG_ENTRIES))
    scale = _DECIMAL.divide(1 << LOG_BITS, _DECIMAL.ln(2))
    logs = (_DECIMAL.multiply(_DECIMAL.ln(middle), scale) for middle in middles)
    return np.array([int(log.to_integral_value(context=_DECIMAL)) for log in logs], np.int64)


def log2_counts(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """log2 of counts 1 .. 2^24 at LOG_BITS, by the upper 12 bits behind the leading one, elementwise."""
    mantissa, exponent = np.frexp(
        counts.astype(np.float64)
    )  # exact: counts = mantissa 2^exponent, mantissa in [1/2, 1)
    behind = ((mantissa * 2.0 - 1.0) * _LOG_ENTRIES).astype(np.intp)
    logs: npt.NDArray[np.int64] = _log_table()[behind] + (exponent.astype(np.int64) - 1 << LOG_BITS)
    return logs


def choice_counts(logs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Counts out of 2^24, each >= 1, in proportion to 2^(logs / 2^16), the first largest takes the rest: (B, N) both."""
    behind = (logs.max(axis=1, keepdims=True) - logs) * _LN2 >> 2 * LOG_BITS - EXP_STEP_BITS
    weights = exp_table()[np.minimum(behind, SIGMOID_LIMIT << EXP_STEP_BITS)]
    counts: npt.NDArray[np.int64] = (
        weights * ((1 << COUNT_BITS) - weights.shape[1]) // weights.sum(axis=1, keepdims=True) + 1
    )
    counts[np.arange(len(counts)), logs.argmax(axis=1)] += (1 << COUNT_BITS) - counts.sum(axis=1)
    return counts


def code_length_bits(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """-log2 of count / 2^24: what a symbol of that count costs, bits. For reports and searches, never for decoding."""
    lengths: npt.NDArray[np.float64] = COUNT_BITS - np.log2(counts)
    return lengths


@dataclass(frozen=True)
class Affine:
    """y = floor((x W + b) / 2^shift) with rounding in b: x (..., K) -> y (..., O), all integers.

    weight (K, O) and bias (O,) are integers at their own scales; `limit` bounds |x|.

    Raises:
        ModelError: a partial sum could leave the range in which float64 is exact.
    """

    weight: Integers
    bias: Integers
    shift: int
    limit: float

    def __post_init__(self) -> None:
        worst = float((np.abs(self.weight).sum(0) * self.limit + np.abs(self.bias)).max()) + 2.0**self.shift * 64
        if worst >= EXACT:
            raise ModelError(f"a partial sum of a layer may reach {worst:.3g}: beyond 2^53 it is no longer exact")

    @classmethod
    def rounding(
        cls, weight: npt.NDArray[np.integer], bias: npt.NDArray[np.integer], shift: int, limit: float
    ) -> Affine:
        """An affine map that rounds half up: half a unit is folded into the bias."""
        half = 2.0 ** (shift - 1) if shift else 0.0
        return cls(np.ascontiguousarray(weight, np.float64), bias.astype(np.float64) + half, shift, limit)

    def linear(self, x: Integers) -> Integers:
        """The map itself."""
        y = self.product(x)
        y *= 0.5**self.shift
        np.floor(y, out=y)
        return y

    def elu(self, x: Integers) -> Integers:
        """elu(linear(x)), with the floor inside the look-up."""
        y = self.product(x)
        y *= 0.5**self.shift
        y -= _ELU_LOWEST
        return _elu_table_as(y.dtype).take(y.astype(np.intp), mode="clip")

    def scaled(self, kind: npt.DTypeLike) -> Affine:
        """The same layer in floats of that kind, its numbers divided by 2^shift: only rounding down is left to do."""
        scale = 0.5**self.shift
        return Affine((self.weight * scale).astype(kind), (self.bias * scale).astype(kind), 0, self.limit)

    def product(self, x: Integers, out: Integers | None = None) -> Integers:
        """x W + b, neither divided nor rounded."""
        rows, (inputs, outputs) = x.shape[:-1], self.weight.shape
        y: Integers = np.matmul(x.reshape(math.prod(rows), inputs), self.weight, out=out)
        y += self.bias
        return y.reshape(*rows, outputs)


NORMAL_STEP_BITS = 10
"""Fraction bits of the argument of `normal_table`."""
NORMAL_LIMIT = 5792
"""`normal_table` reaches from -5792 / 2^10 to 5792 / 2^10 standard deviations; beyond, the CDF is 0 or 1."""


@cache
def normal_table() -> npt.NDArray[np.int64]:
    """Phi(i / 2^10) * 2^24, floored, for i in -5792 .. 5792, symmetric to the last bit: (11585,) int64.

    The normal density exp(-t^2 / 2) at the middle of each step, summed and normalised, all in integers.
    """
    middle = 2 * np.arange(NORMAL_LIMIT, dtype=np.int64) + 1  # t * 2^11
    shift = 2 * (NORMAL_STEP_BITS + 1) + 1 - EXP_STEP_BITS
    density = exp_table()[(middle**2 + (1 << shift - 1)) >> shift] >> 6
    half = np.concatenate([[0], np.cumsum(density)])
    upper = ((1 << COUNT_BITS - 1) * (half[-1] + half)) // half[-1]
    return np.concatenate([(1 << COUNT_BITS) - upper[:0:-1], upper])


Part = TypeVar("Part")


def approximate(part: Part) -> Part:
    """A network with all its `Affine` in float32: faster, and no longer exact. For searches, never for decoding."""
    found: Any = part
    if isinstance(part, Affine):
        found = replace(part, weight=part.weight.astype(np.float32), bias=part.bias.astype(np.float32))
    elif isinstance(part, tuple):
        found = tuple(map(approximate, part))
    elif is_dataclass(part):
        found = replace(found, **{field.name: approximate(getattr(part, field.name)) for field in fields(part)})
    return found  # type: ignore[no-any-return]
