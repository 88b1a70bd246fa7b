"""Fixed-point arithmetic: everything a decoder recomputes is built from the functions of this module.

Numbers are integers on power-of-two grids, carried in float64 arrays so that BLAS multiplies them. A float64 holds every
integer up to 2^53 exactly, so a sum of products whose partial sums stay below that bound has one value, in whatever order
and with whatever instructions it is added up. `Affine` checks the bound when it is made.

Twists:
- `exp_table` needs no libm: two short tables from Python's `decimal`, which rounds correctly, multiplied as integers.
- ELU, its saturation and the floor before it are one table look-up (`take` with mode="clip").
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .errors import ModelError

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
        y = self._product(x)
        y *= 0.5**self.shift
        np.floor(y, out=y)
        return y

    def elu(self, x: Integers) -> Integers:
        """elu(linear(x)), with the floor inside the look-up."""
        y = self._product(x)
        y *= 0.5**self.shift
        y -= _ELU_LOWEST
        return _elu_table_as(y.dtype).take(y.astype(np.intp), mode="clip")

    def _product(self, x: Integers) -> Integers:
        rows, (inputs, outputs) = x.shape[:-1], self.weight.shape
        y: Integers = x.reshape(int(np.prod(rows)), inputs) @ self.weight
        y += self.bias
        return y.reshape(*rows, outputs)


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
