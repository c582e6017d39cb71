"""Exact values of targets and heads as arb balls: the oracle of the tests of the float64 rules."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from typing import Any

from flint import arb, fmpq

from attncert.certificates.matrix import row_entry
from attncert.certificates.target import Target, run
from attncert.verifier.reduction import ReducedHead

BITS = 400


class Undefined:
    """Stands for a value that does not exist, for certain."""


class Unknown:
    """Stands for a value that the balls do not tell."""


UNDEFINED, UNKNOWN = Undefined(), Unknown()
Value = Any
"""An arb, UNDEFINED or UNKNOWN; for conditions a bool in place of the arb."""


def fraction(x: float) -> fmpq:
    """A float64 exactly."""
    return fmpq(*float(x).as_integer_ratio())


def rational(x: Fraction) -> fmpq:
    return fmpq(x.numerator, x.denominator)


def values_of(target: Target, x: Sequence[fmpq]) -> list[Value]:
    """The entries of the target at a point: balls that hold them, UNDEFINED or UNKNOWN."""
    return run(target, _Balls([arb(entry) for entry in x]))


class _Balls:
    """The tape's algebra of balls, by the rules of the language: a value is undefined as soon as an operand is."""

    def __init__(self, x: list[arb]) -> None:
        self.x = x

    def __getattr__(self, name: str) -> Any:
        if not hasattr(type(self), f"_{name}"):
            raise AttributeError(name)

        def call(*operands: Any) -> Value:
            needed = operands[:1] if name == "where" else operands
            for missing in (UNDEFINED, UNKNOWN):
                if any(operand is missing for operand in needed):
                    return missing
            value = getattr(self, f"_{name}")(*operands)
            return UNKNOWN if isinstance(value, arb) and not value.is_finite() else value

        return call

    def _const(self, value: Fraction) -> Value:
        return arb(rational(value))

    def _pi(self) -> Value:
        return arb.pi()

    def _e(self) -> Value:
        return arb.const_e()

    def _var(self, index: int) -> Value:
        return self.x[index]

    def _neg(self, a: arb) -> Value:
        return -a

    def _add(self, a: arb, b: arb) -> Value:
        return a + b

    def _sub(self, a: arb, b: arb) -> Value:
        return a - b

    def _mul(self, a: arb, b: arb) -> Value:
        return a * b

    def _div(self, a: arb, b: arb) -> Value:
        return UNDEFINED if b.is_zero() else a / b

    def _ipow(self, a: arb, exponent: int) -> Value:
        return UNDEFINED if exponent < 0 and a.is_zero() else a**exponent

    def _rpow(self, a: arb, exponent: Fraction) -> Value:
        if a < 0 or (a.is_zero() and exponent < 0):
            return UNDEFINED
        return arb(0) if a.is_zero() else self._pow(a, arb(rational(exponent)))

    def _pow(self, a: arb, b: arb) -> Value:
        return UNDEFINED if a <= 0 else (b * a.log()).exp()

    def _log(self, a: arb) -> Value:
        return UNDEFINED if a <= 0 else a.log()

    def _sqrt(self, a: arb) -> Value:
        return UNDEFINED if a < 0 else a.sqrt()

    def _sigmoid(self, a: arb) -> Value:
        return 1 / (1 + (-a).exp())

    def _abs(self, a: arb) -> Value:
        return abs(a)

    def _min(self, a: arb, b: arb) -> Value:
        return a.min(b)

    def _max(self, a: arb, b: arb) -> Value:
        return a.max(b)

    def _sign(self, a: arb) -> Value:
        return arb(1) if a > 0 else arb(-1) if a < 0 else arb(0) if a.is_zero() else UNKNOWN

    def _floor(self, a: arb) -> Value:
        return a.floor()

    def _less(self, a: arb, b: arb) -> Value:
        return True if a < b else False if a >= b else UNKNOWN

    def _less_equal(self, a: arb, b: arb) -> Value:
        return True if a <= b else False if a > b else UNKNOWN

    def _not_(self, c: bool) -> Value:
        return not c

    def _and_(self, c: bool, d: bool) -> Value:
        return c and d

    def _or_(self, c: bool, d: bool) -> Value:
        return c or d

    def _where(self, c: bool, a: Value, b: Value) -> Value:
        return a if c else b


def _function(name: str) -> Any:
    return lambda self, a: getattr(a, name)()


for _name in ("exp", "sin", "cos", "tan", "atan", "erf", "tanh", "sinh", "cosh"):
    setattr(_Balls, f"_{_name}", _function(_name))


# ---------------------------------------------------------------------------------------------------------------------
# Heads


def exact_weights(head: ReducedHead, tokens: Sequence[int], x: Sequence[fmpq]) -> list[arb]:
    """The exponentials of the exact scores of some tokens, less the best score of theirs."""
    scores = [
        rational(row_entry(head.biases, i))
        + sum((rational(row_entry(a, i)) * t for a, t in zip(head.keys, x, strict=True)), fmpq(0))
        + sum((rational(row_entry(q, i)) * x[j] * x[k] for (j, k), q in head.products.items()), fmpq(0))
        for i in tokens
    ]
    best = max(scores)
    return [arb(score - best).exp() for score in scores]


def exact_entry(
    head: ReducedHead, row: int, tokens: Sequence[int], weights: Sequence[arb], x: Sequence[fmpq] = ()
) -> arb:
    """The softmax average of the exact values of some tokens at x, for given weights."""
    values = [
        rational(row_entry(head.values[row], i))
        + sum((rational(row_entry(rows[row], i)) * x[k] for k, rows in head.slopes.items()), fmpq(0))
        for i in tokens
    ]
    return sum((w * arb(value) for w, value in zip(weights, values, strict=True)), arb(0)) / sum(weights, arb(0))


# ---------------------------------------------------------------------------------------------------------------------
# Points


def unit_points(m: int, count: int, rnd: random.Random) -> list[list[fmpq]]:
    """Points of [-1, 1]^m: random ones, some on faces, and some or all corners."""
    corners = [[fmpq(x) for x in corner] for corner in product((-1, 1), repeat=m)]
    points = rnd.sample(corners, min(len(corners), 1 + count // 3))
    while len(points) < count:
        point = [fmpq(rnd.randint(-(1 << 20), 1 << 20), 1 << 20) for _ in range(m)]
        if rnd.random() < 0.3:
            point[rnd.randrange(m)] = fmpq(rnd.choice([-1, 0, 1]))
        points.append(point)
    return points


def point_at(centre: Sequence[float], radius: Sequence[float], u: Sequence[fmpq]) -> list[fmpq]:
    """The point c + r u, exactly."""
    return [fraction(c) + fraction(r) * t for c, r, t in zip(centre, radius, u, strict=True)]


def monomials(indices: Sequence[tuple[int, ...]], u: Sequence[fmpq]) -> list[fmpq]:
    """The u^a."""
    values = []
    for a in indices:
        value = fmpq(1)
        for t, n in zip(u, a, strict=True):
            for _ in range(n):
                value *= t
        values.append(value)
    return values


def polynomial(coefficients: Sequence[float], powers: Sequence[fmpq]) -> fmpq:
    """The exact value of sum_a c_a u^a; powers may be those of a higher degree."""
    return sum((fraction(c) * p for c, p in zip(coefficients, powers, strict=False) if c), fmpq(0))
