"""Numbers, mixtures, range decoding and bisection of the family grid, from FORMAT.md, sections 4, 5, 6 and 11.

Python's integers throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from operator import mul

from reference import exp30, nearest, sigmoid24

TOP = 1 << 24


@cache
def e(i):
    """E(i)."""
    return exp30(i, 12)


@cache
def s(x):
    """S(x)."""
    return sigmoid24(x, 12)


def within(x, low, high):
    return max(low, min(high, x))


def clip(x):
    return within(x, -(1 << 20), 1 << 20)


def leaky(x):
    return max(x, x // 8)


def act(x):
    return within(leaky(x), -2047, 2047)


def exp12(v):
    return e(within((8 << 12) - v, 0, 65536)) * nearest(Decimal(8).exp() * 4096) >> 30


def rounded(n, numerator, k):
    """sign(n) numerator |n| / (k + |n|), to the nearest integer, halves away from zero."""
    size = abs(n)
    value = (2 * numerator * size + k + size) // (2 * (k + size))
    return value if n > 0 else -value


def seen(n, u):
    """q(n, u)."""
    return rounded(within(n, 1 - (1 << 17), (1 << 17) - 1), 10 << 12, 10 * u)


def soft(n, k):
    """s(n, k)."""
    return rounded(within(n, -1024, 1024), 128, k)


def normalised(masses):
    total = sum(masses)
    weights = [(mass << 24) // total for mass in masses]
    weights[0] += TOP - sum(weights)
    return weights


def shares(logits):
    best = max(logits)
    return normalised([e(min(best - logit, 1 << 16)) for logit in logits])


def inverse_scale(t, a, b):
    return e(within(t, a << 12, b << 12) - (a << 12)) * nearest(Decimal(-a).exp() * 4096) >> 30


def bracket(t, most):
    return 1 << within(((t * 5909 >> 12) + (1 << 11)) >> 12, 0, most)


@dataclass
class Mixture:
    least: int
    most: int
    weights: list[int]
    means: list[int]
    inverses: list[int]
    centre: int
    bracket: int
    even: bool = False

    def edges(self, x):
        """Each component's mass below x."""
        return [s(((2 * x - 1 << 8) - 2 * m) * r >> 9) for m, r in zip(self.means, self.inverses, strict=True)]

    def mass(self, x):
        """F(x)."""
        if x in (self.least, self.most + 1):
            return 0 if x == self.least else TOP
        mass = sum(map(mul, self.weights, self.edges(x))) >> 24
        if self.even:
            return mass - (mass * (self.most - self.least + 1) >> 24) + x - self.least
        return mass


class NotACodeError(Exception):
    """A stream is not a code of any decisions."""


class UnknownError(Exception):
    """A decision depends on bytes that are not there."""


class Stream:
    """The range decoder of section 5; behind its data the stream has the byte `fill` for ever."""

    def __init__(self, data, fill=b"\0"):
        self.data, self.fill, self.at = data, fill, 0
        self.lower, self.range, self.point = 0, (1 << 64) - 1, self.word() << 32 | self.word()

    def word(self):
        found = self.data[self.at : self.at + 4]
        self.at += 4
        return int.from_bytes(found + self.fill * (4 - len(found)), "big")

    def above(self, count):
        """A decision: whether it is "not below", whose count is given."""
        scale = self.range >> 24
        q = (self.point - self.lower) % (1 << 64) // scale
        if q >= TOP:
            raise NotACodeError
        below = TOP - count
        found = q >= below
        self.lower = (self.lower + scale * below * found) % (1 << 64)
        self.range = scale * (count if found else below)
        if self.range < 1 << 32:
            self.lower = (self.lower << 32) % (1 << 64)
            self.range <<= 32
            self.point = (self.point << 32) % (1 << 64) | self.word()
        return found


class CutStream:
    """A stream of which only a beginning is there: a decision is known if it is the same whatever follows (section 6)."""

    def __init__(self, data):
        self.zeros, self.ones, self.known = Stream(data), Stream(data, b"\xff"), True

    def above(self, count):
        try:
            found = self.zeros.above(count), self.ones.above(count)
            self.known = self.known and found[0] == found[1]
        except NotACodeError:
            self.known = False
        if not self.known:
            raise UnknownError
        return found[0]


class Lane:
    """A value that is being found by bisection."""

    def __init__(self, mixture):
        self.mixture, self.step, self.up = mixture, mixture.bracket, None
        self.low, self.high, self.below, self.above = mixture.least, mixture.most + 1, 0, TOP
        self.split = within(mixture.centre, mixture.least + 1, mixture.most)

    def done(self):
        return self.high - self.low == 1

    def decide(self, stream):
        mass = within(self.mixture.mass(self.split), self.below, self.above)
        found = stream.above((self.above - mass) * (TOP - 2) // max(self.above - self.below, 1) + 1)
        if found:
            self.low, self.below = self.split, mass
        else:
            self.high, self.above = self.split, mass
        self.up = found if self.up is None else self.up
        if found != self.up:
            self.step = 0
        self.split = self.low + self.step if self.up else self.high - self.step
        self.step *= 2
        if not self.low < self.split < self.high:
            self.step, self.split = 0, self.low + self.high >> 1


def bisect(stream, mixtures):
    lanes = [Lane(mixture) for mixture in mixtures]
    while left := [lane for lane in lanes if not lane.done()]:
        for lane in left:
            lane.decide(stream)
    return [lane.low for lane in lanes]
