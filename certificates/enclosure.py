"""Enclosures of a target and of its gradient over many boxes at once.

The natural interval extension: each operation of the tape is replaced by its exact range, rounded outward (see
`interval`). Gradients are carried forward along the tape, one interval for each variable that occurs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from attncert.certificates import interval as iv
from attncert.certificates.interval import Interval
from attncert.certificates.target import Target, run

FloatArray = NDArray[np.float64]

CHUNK = 8192
"""Boxes enclosed at a time: the arrays of one chunk stay in the processor's cache."""


def enclose(target: Target, lo: FloatArray, hi: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return lower and upper bounds, each (boxes, outputs), of the target over the boxes [lo, hi], each (boxes, m).

    The bounds are [-inf, inf] where an entry may be undefined or an end of the box is NaN.
    """
    flo = np.empty((len(lo), len(target.outputs)))
    fhi = np.empty_like(flo)
    with iv.quiet():
        for part in _chunks(len(lo)):
            for k, value in enumerate(run(target, _Values(lo[part], hi[part]))):
                flo[part, k], fhi[part, k] = value.bounds()
    return flo, fhi


def interval_algebra(lo: FloatArray, hi: FloatArray) -> object:
    """The algebra of intervals over the boxes [lo, hi], each (boxes, m), for callers that run a tape themselves."""
    return _Values(lo, hi)


def enclose_gradient(
    target: Target, lo: FloatArray, hi: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return bounds (flo, fhi) as `enclose`, and (glo, ghi), each (boxes, outputs, m), of the partial derivatives.

    The latter bound the derivatives wherever the target is differentiable, and its difference quotients: at the kinks
    of abs, min and max they hold both slopes. They are [-inf, inf] where the target may jump (an undecided sign, floor
    or where) or be undefined, and half-infinite where the slope is unbounded (sqrt at 0).
    """
    outputs, size = len(target.outputs), target.space.size
    flo, fhi = np.empty((len(lo), outputs)), np.empty((len(lo), outputs))
    glo, ghi = np.zeros((len(lo), outputs, size)), np.zeros((len(lo), outputs, size))
    with iv.quiet():
        for part in _chunks(len(lo)):
            for k, jet in enumerate(run(target, _Jets(lo[part], hi[part]))):
                flo[part, k], fhi[part, k] = jet.value.bounds()
                for variable, partial in jet.partials.items():
                    glo[part, k, variable], ghi[part, k, variable] = partial.bounds()
    undefined = np.isinf(flo) & np.isinf(fhi)
    glo[undefined], ghi[undefined] = -np.inf, np.inf
    return flo, fhi, glo, ghi


def _chunks(count: int) -> Iterable[slice]:
    return (slice(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK))


@lru_cache(maxsize=1024)
def _constant(value: Fraction) -> Interval:
    return iv.constant(value)


class _Values:
    """The tape's algebra of intervals."""

    def __init__(self, lo: FloatArray, hi: FloatArray) -> None:
        self.lo, self.hi = lo, hi

    def const(self, value: Fraction) -> Interval:
        return _constant(value)

    def var(self, index: int) -> Interval:
        return iv.interval(self.lo[:, index], self.hi[:, index])

    def pi(self) -> Interval:
        return iv.PI

    def e(self) -> Interval:
        return iv.E

    neg = staticmethod(Interval.__neg__)
    add = staticmethod(Interval.__add__)
    sub = staticmethod(Interval.__sub__)
    mul = staticmethod(Interval.__mul__)
    div = staticmethod(Interval.__truediv__)
    ipow = staticmethod(iv.integer_power)
    rpow = staticmethod(iv.rational_power)
    pow = staticmethod(iv.power)
    sin = staticmethod(iv.sin)
    cos = staticmethod(iv.cos)
    tan = staticmethod(iv.tan)
    exp = staticmethod(iv.exp)
    log = staticmethod(iv.log)
    sqrt = staticmethod(iv.sqrt)
    abs = staticmethod(iv.absolute)
    tanh = staticmethod(iv.tanh)
    sigmoid = staticmethod(iv.sigmoid)
    atan = staticmethod(iv.atan)
    sinh = staticmethod(iv.sinh)
    cosh = staticmethod(iv.cosh)
    erf = staticmethod(iv.erf)
    sign = staticmethod(iv.sign)
    floor = staticmethod(iv.floor)
    min = staticmethod(iv.minimum)
    max = staticmethod(iv.maximum)
    less = staticmethod(iv.less)
    less_equal = staticmethod(iv.less_equal)
    not_ = staticmethod(iv.negation)
    and_ = staticmethod(iv.minimum)
    or_ = staticmethod(iv.maximum)
    where = staticmethod(iv.where)


# --------------------------------------------------------------------------------------------------------------------
# Gradients

_UNDEFINED = Interval(np.full((2, 1), np.nan))
_ZERO = iv.constant(Fraction(0))
_ONE = iv.constant(Fraction(1))
_TWO = iv.constant(Fraction(2))
_SLOPE_OF_ERF = _TWO / iv.sqrt(iv.PI)


class _Jet:
    """A value with its partial derivatives; variables without an entry do not occur.

    For a condition, `value` is a truth value and the partials say only which variables it depends on.
    """

    __slots__ = ("partials", "value")

    def __init__(self, value: Interval, partials: dict[int, Interval]) -> None:
        self.value = value
        self.partials = partials


def _chain(a: _Jet, value: Interval, slope: Callable[[], Interval]) -> _Jet:
    """Return the jet of f(a), given f(a) and, when it is needed, f'(a)."""
    if not a.partials:
        return _Jet(value, {})
    factor = slope()
    return _Jet(value, {k: _times(factor, partial) for k, partial in a.partials.items()})


def _times(factor: Interval, partial: Interval) -> Interval:
    return factor if partial is _ONE else factor * partial


def _combined(a: _Jet, b: _Jet, rule: Callable[[Interval, Interval], Interval]) -> dict[int, Interval]:
    """Return the partials rule(a's, b's) for every variable of a or b."""
    return {k: rule(a.partials.get(k, _ZERO), b.partials.get(k, _ZERO)) for k in a.partials.keys() | b.partials.keys()}


class _Jets:
    """The tape's algebra of values with gradients."""

    def __init__(self, lo: FloatArray, hi: FloatArray) -> None:
        self.lo, self.hi = lo, hi

    # Leaves and arithmetic

    def const(self, value: Fraction) -> _Jet:
        return _Jet(_constant(value), {})

    def var(self, index: int) -> _Jet:
        return _Jet(iv.interval(self.lo[:, index], self.hi[:, index]), {index: _ONE})

    def pi(self) -> _Jet:
        return _Jet(iv.PI, {})

    def e(self) -> _Jet:
        return _Jet(iv.E, {})

    def neg(self, a: _Jet) -> _Jet:
        return _Jet(-a.value, {k: -partial for k, partial in a.partials.items()})

    def add(self, a: _Jet, b: _Jet) -> _Jet:
        partials = dict(a.partials)
        for k, partial in b.partials.items():
            partials[k] = partials[k] + partial if k in partials else partial
        return _Jet(a.value + b.value, partials)

    def sub(self, a: _Jet, b: _Jet) -> _Jet:
        partials = dict(a.partials)
        for k, partial in b.partials.items():
            partials[k] = partials[k] - partial if k in partials else -partial
        return _Jet(a.value - b.value, partials)

    def mul(self, a: _Jet, b: _Jet) -> _Jet:
        partials = {k: _times(b.value, partial) for k, partial in a.partials.items()}
        for k, partial in b.partials.items():
            term = _times(a.value, partial)
            partials[k] = partials[k] + term if k in partials else term
        return _Jet(a.value * b.value, partials)

    def div(self, a: _Jet, b: _Jet) -> _Jet:
        value = a.value / b.value
        if not b.partials:
            return _Jet(value, {k: partial / b.value for k, partial in a.partials.items()})
        return _Jet(value, _combined(a, b, lambda da, db: (da - value * db) / b.value))

    def ipow(self, a: _Jet, exponent: int) -> _Jet:
        factor = _constant(Fraction(exponent))
        value = iv.integer_power(a.value, exponent)
        if exponent == 0:
            return _Jet(value, {})
        return _chain(a, value, lambda: factor * iv.integer_power(a.value, exponent - 1))

    def rpow(self, a: _Jet, exponent: Fraction) -> _Jet:
        factor = _constant(exponent)
        return _chain(a, iv.rational_power(a.value, exponent), lambda: factor * _power_with_pole(a.value, exponent - 1))

    def pow(self, a: _Jet, b: _Jet) -> _Jet:
        return self.exp(self.mul(b, self.log(a)))

    # Functions

    def exp(self, a: _Jet) -> _Jet:
        value = iv.exp(a.value)
        return _chain(a, value, lambda: value)

    def log(self, a: _Jet) -> _Jet:
        return _chain(a, iv.log(a.value), lambda: _ONE / a.value)

    def sqrt(self, a: _Jet) -> _Jet:
        half = _constant(Fraction(1, 2))
        return _chain(a, iv.sqrt(a.value), lambda: half * _power_with_pole(a.value, Fraction(-1, 2)))

    def sin(self, a: _Jet) -> _Jet:
        return _chain(a, iv.sin(a.value), lambda: iv.cos(a.value))

    def cos(self, a: _Jet) -> _Jet:
        return _chain(a, iv.cos(a.value), lambda: -iv.sin(a.value))

    def tan(self, a: _Jet) -> _Jet:
        value = iv.tan(a.value)
        return _chain(a, value, lambda: _ONE + iv.integer_power(value, 2))

    def atan(self, a: _Jet) -> _Jet:
        return _chain(a, iv.atan(a.value), lambda: _ONE / (_ONE + iv.integer_power(a.value, 2)))

    def sinh(self, a: _Jet) -> _Jet:
        return _chain(a, iv.sinh(a.value), lambda: iv.cosh(a.value))

    def cosh(self, a: _Jet) -> _Jet:
        return _chain(a, iv.cosh(a.value), lambda: iv.sinh(a.value))

    def tanh(self, a: _Jet) -> _Jet:
        return _chain(a, iv.tanh(a.value), lambda: _inverse_square_cosh(a.value))

    def sigmoid(self, a: _Jet) -> _Jet:
        half, quarter = _constant(Fraction(1, 2)), _constant(Fraction(1, 4))
        return _chain(a, iv.sigmoid(a.value), lambda: quarter * _inverse_square_cosh(half * a.value))

    def erf(self, a: _Jet) -> _Jet:
        return _chain(a, iv.erf(a.value), lambda: _SLOPE_OF_ERF * iv.exp(-iv.integer_power(a.value, 2)))

    # Kinks

    def abs(self, a: _Jet) -> _Jet:
        return _chain(a, iv.absolute(a.value), lambda: _slope_of_abs(a.value))

    def min(self, a: _Jet, b: _Jet) -> _Jet:
        first = _never_above(a.value, b.value)
        return _Jet(iv.minimum(a.value, b.value), _combined(a, b, lambda da, db: iv.where(first, da, db)))

    def max(self, a: _Jet, b: _Jet) -> _Jet:
        first = _never_above(b.value, a.value)
        return _Jet(iv.maximum(a.value, b.value), _combined(a, b, lambda da, db: iv.where(first, da, db)))

    # Jumps

    def sign(self, a: _Jet) -> _Jet:
        return _step(a, iv.sign(a.value))

    def floor(self, a: _Jet) -> _Jet:
        return _step(a, iv.floor(a.value))

    def less(self, a: _Jet, b: _Jet) -> _Jet:
        return _Jet(iv.less(a.value, b.value), a.partials | b.partials)

    def less_equal(self, a: _Jet, b: _Jet) -> _Jet:
        return _Jet(iv.less_equal(a.value, b.value), a.partials | b.partials)

    def not_(self, c: _Jet) -> _Jet:
        return _Jet(iv.negation(c.value), c.partials)

    def and_(self, c: _Jet, d: _Jet) -> _Jet:
        return _Jet(iv.minimum(c.value, d.value), c.partials | d.partials)

    def or_(self, c: _Jet, d: _Jet) -> _Jet:
        return _Jet(iv.maximum(c.value, d.value), c.partials | d.partials)

    def where(self, c: _Jet, a: _Jet, b: _Jet) -> _Jet:
        partials = _combined(a, b, lambda da, db: iv.where(c.value, da, db))
        for k in c.partials:
            partials[k] = _unless_undecided(c.value, partials.get(k, _ZERO))
        return _Jet(iv.where(c.value, a.value, b.value), partials)


def _power_with_pole(a: Interval, exponent: Fraction) -> Interval:
    """Return a**q for q < 0 as a slope: [.., inf] where a touches 0, at which the function itself is still defined."""
    if exponent > 0:
        return iv.rational_power(a, exponent)
    ends = iv.rational_power(a, exponent).ends
    touches = a.ends[0] == 0
    if touches.any():
        least = iv.rational_power(Interval(a.ends[[1, 1]]), exponent).ends[0]
        least = np.where(a.ends[1] > 0, least, 0)
        ends = np.where(touches, np.array([least, np.full_like(least, np.inf)]), ends)
    return Interval(ends)


def _inverse_square_cosh(a: Interval) -> Interval:
    return _ONE / iv.integer_power(iv.cosh(a), 2)


def _slope_of_abs(a: Interval) -> Interval:
    """Return 1 for a >= 0, -1 for a <= 0, else [-1, 1]; undefined where a is. A kink at the rim has one slope."""
    ends = np.where(np.isnan(a.ends), np.nan, np.array([[-1.0], [1.0]]))
    ends[0] = np.where((a.ends[0] >= 0) & (a.ends[1] > 0), 1.0, ends[0])
    ends[1] = np.where((a.ends[1] <= 0) & (a.ends[0] < 0), -1.0, ends[1])
    return Interval(ends)


def _never_above(a: Interval, b: Interval) -> Interval:
    """Return the truth of a <= b, undecided only where a < b and a > b both are possible."""
    certain, possible = iv.less_equal(a, b).ends[0], iv.less(a, b).ends[1]
    return Interval(np.array([certain, np.maximum(certain, possible)]))


def _step(a: _Jet, value: Interval) -> _Jet:
    """Return the jet of a step function of a: slope 0 where the value is decided, else undefined."""
    slope = Interval(np.where(value.ends[0] == value.ends[1], [[0.0], [0.0]], np.nan))
    return _Jet(value, dict.fromkeys(a.partials, slope))


def _unless_undecided(c: Interval, partial: Interval) -> Interval:
    return Interval(np.where(c.ends[0] == c.ends[1], partial.ends, np.nan))
