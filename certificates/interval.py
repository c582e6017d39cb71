"""Intervals over many boxes at once, rounded outward: the one place where float64 arithmetic becomes rigorous.

The rounding argument. IEEE 754 rounds + - * / and the square root correctly, so the exact result lies within half a
unit in the last place (ulp) of the computed one. An outward margin of 2**-52 times the computed magnitude, which is
one to two ulps, therefore encloses it; only results in the subnormal range need more, namely the least positive double.
Transcendental functions of numpy and libm carry no guarantee: they are *assumed* to be accurate to LIBM_ULPS ulps,
about three times the worst documented error, and the kernel, which uses no floating point, checks every proof again.
Results are cut to the exact range of each function.

Exact results. Sums, products, powers, quotients and roots that float64 holds exactly get no margin where that is cheap
to see, as it is for the short dyadic ends of boxes. Otherwise sqrt(1 - x**2) would not be defined on [-1, 1].

Undefined operations. An interval whose ends are both NaN marks a box on which a value may be undefined. NaN spreads
through every operation, as it must: atan(1/x) is bounded but has no value at 0. `Interval.bounds` turns it into
[-inf, inf].

Callers run many operations inside one `quiet()`, since overflow and invalid operations are part of the method.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attncert.certificates.numbers import float_down, float_up

FloatArray = NDArray[np.float64]

LIBM_ULPS = 12
"""Assumed accuracy, in ulps, of the transcendental functions of numpy and libm."""

_EPS = 2.0**-52
_LEAST_NORMAL = 2.0**-1022
_LEAST = 2.0**-1074
_TINY = 2.0**-1000  # products and quotients above this have no subnormal rounding errors
_MAX = np.finfo(np.float64).max
_PERIODIC_LIMIT = 1e8  # larger arguments of sin, cos and tan are not located within their period
_MULTIPLIED_POWER = 16  # integer powers up to this are products; larger ones use libm's pow
_BITS = 53  # of a double's significand


def quiet() -> np.errstate:
    """Return the context in which interval code runs: floating-point warnings are off."""
    return np.errstate(all="ignore")


def down(x: ArrayLike) -> FloatArray:
    """Return the next double below each x: a lower bound of a correctly rounded result."""
    below: FloatArray = np.nextafter(x, -np.inf)
    return below


def up(x: ArrayLike) -> FloatArray:
    """Return the next double above each x: an upper bound of a correctly rounded result."""
    above: FloatArray = np.nextafter(x, np.inf)
    return above


def erf_array(x: ArrayLike) -> FloatArray:
    """Return libm's erf of each x, in the same shape."""
    array = np.asarray(x, dtype=np.float64)
    return np.array([math.erf(value) for value in array.ravel().tolist()]).reshape(array.shape)


class Interval:
    """Closed intervals, one for each box: `ends` has shape (2, ...), lower ends first. A shape (2, 1) fits any batch.

    Invariants: lower ends are not +inf, upper ends are not -inf, and either both ends are NaN (the value may be
    undefined) or lower <= upper.
    """

    __slots__ = ("ends",)

    def __init__(self, ends: FloatArray) -> None:
        """Wrap ends that satisfy the invariants; `interval` checks and repairs them."""
        self.ends = ends

    @property
    def lo(self) -> FloatArray:
        """The lower ends, NaN where undefined."""
        lower: FloatArray = self.ends[0]
        return lower

    @property
    def hi(self) -> FloatArray:
        """The upper ends, NaN where undefined."""
        upper: FloatArray = self.ends[1]
        return upper

    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Return (lower, upper) ends with [-inf, inf] where the value may be undefined."""
        undefined = np.isnan(self.ends[0]) | np.isnan(self.ends[1])
        return np.where(undefined, -np.inf, self.ends[0]), np.where(undefined, np.inf, self.ends[1])

    def __neg__(self) -> Interval:
        """Exact."""
        return Interval(-self.ends[::-1])

    def __add__(self, other: Interval) -> Interval:
        """Rounded outward."""
        return Interval(_sum(self.ends, other.ends))

    def __sub__(self, other: Interval) -> Interval:
        """Rounded outward."""
        return Interval(_sum(self.ends, -other.ends[::-1]))

    def __mul__(self, other: Interval) -> Interval:
        """Hull of the products of the ends, rounded outward."""
        a, b = (other, self) if self.single() is None else (self, other)
        if factor := a.single():
            factors = b.ends if factor > 0 else b.ends[::-1]
            exact = True if _is_power_of_two(factor) else _short(factors, 2) & _short(a.ends, 2)
            products = factors * factor
            return Interval(_rounded_product(products, exact, a, b))
        short = _short(a.ends, 2) & _short(b.ends, 2)
        products = _hull(a.ends * b.ends, a.ends * b.ends[::-1])
        return Interval(_rounded_product(products, short[0] & short[1], a, b))

    def __truediv__(self, other: Interval) -> Interval:
        """Hull of the quotients of the ends, rounded outward; undefined where the divisor contains 0."""
        a, b = self.ends, other.ends
        if divisor := other.single():
            dividends = a if divisor > 0 else a[::-1]
            whole = dividends / divisor
            exact = _short(whole, 2) & _short(b, 2) & (whole * divisor == dividends)
            exact = True if _is_power_of_two(divisor) else exact
            return Interval(_rounded_product(whole, exact, self, other))
        quotients = _rounded_product(_hull(a / b, a / b[::-1]), None, self, other)
        return Interval(_undefined_unless((b[0] > 0) | (b[1] < 0), quotients))

    def single(self) -> float | None:
        """Return the number when this is one interval that holds just one, else None."""
        if self.ends.size != 2 or self.ends[0, 0] != self.ends[1, 0]:
            return None
        return float(self.ends[0, 0])


def interval(lo: ArrayLike, hi: ArrayLike) -> Interval:
    """Return the intervals [lo, hi]; where an end is NaN, or lo > hi, the undefined one. lo and hi share one shape."""
    ends = np.array([np.atleast_1d(lo), np.atleast_1d(hi)], dtype=np.float64)
    return Interval(_undefined_unless(ends[0] <= ends[1], _finite_inside(ends)))


def constant(value: Fraction) -> Interval:
    """Return the tightest interval around an exact number, of shape (2, 1)."""
    return Interval(np.array([[float_down(value)], [float_up(value)]]))


PI = Interval(np.array([[math.pi], [math.nextafter(math.pi, 4)]]))
"""math.pi is the double below pi."""

E = Interval(np.array([[math.e], [math.nextafter(math.e, 3)]]))
"""math.e is the double below e."""


# --------------------------------------------------------------------------------------------------------------------
# Rounding


def _finite_inside(ends: FloatArray) -> FloatArray:
    """Move, in place, a lower end +inf and an upper end -inf, which overflow produces, to the largest doubles."""
    np.minimum(ends[0], _MAX, out=ends[0])
    np.maximum(ends[1], -_MAX, out=ends[1])
    return ends


def _outward(
    ends: FloatArray,
    relative: float,
    absolute: FloatArray | float | None = None,
    exact: NDArray[np.bool_] | bool | None = None,
) -> FloatArray:
    """Widen, in place, each end by `relative` times its magnitude plus `absolute`, except where it is `exact`."""
    _finite_inside(ends)
    margin = np.abs(ends)
    margin *= relative
    if absolute is not None:
        margin += absolute
    if exact is not None:
        np.copyto(margin, 0, where=exact)
    ends[0] -= margin[0]
    ends[1] += margin[1]
    return ends


def _sum(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return a + b rounded outward, and unchanged where exact.

    s - a is exact when |a| >= |b|, and s - b when |b| >= |a|, so the rounded sum s is a + b if and only if s - a == b
    and s - b == a. Sums in the subnormal range are always exact, so the relative margin suffices.
    """
    ends = a + b
    exact = (ends - a) == b
    exact &= (ends - b) == a
    return _outward(ends, _EPS, exact=exact)


def _short(ends: FloatArray, factors: int) -> NDArray[np.bool_]:
    """Tell which doubles have so few bits that a product of that many of them is exact (unless it underflows)."""
    low_bits = (1 << (_BITS - _BITS // factors)) - 1
    short: NDArray[np.bool_] = (ends.view(np.int64) & low_bits) == 0
    return short


def _is_power_of_two(x: float) -> bool:
    return abs(math.frexp(x)[0]) == 0.5


def _outward_libm(ends: FloatArray) -> FloatArray:
    """Widen, in place, the finite values of a function that is 0 only at exact zeros, which stay 0.

    Adding the magnitude itself below the normal range covers implementations that flush subnormals to 0.
    """
    size = np.abs(ends)
    margin = size * (LIBM_ULPS * _EPS)
    margin += np.minimum(size, _LEAST_NORMAL, out=size)
    ends[0] -= margin[0]
    ends[1] += margin[1]
    return ends


def _hull(p: FloatArray, q: FloatArray) -> FloatArray:
    """Return the least and the greatest of the four candidates p[0], p[1], q[0], q[1].

    fmin and fmax skip the NaN of 0 * inf and inf / inf. That is right: the limit 0 or an infinite end is always among
    the other candidates, unless all four are NaN, which leaves the interval undefined.
    """
    ends = np.fmin(p, q)
    greatest = np.fmax(p, q)
    np.fmin(ends[0], ends[1], out=ends[0])
    np.fmax(greatest[0], greatest[1], out=ends[1])
    return ends


def _rounded_product(ends: FloatArray, exact: NDArray[np.bool_] | bool | None, a: Interval, b: Interval) -> FloatArray:
    """Round products or quotients of a and b outward, in place, except where they are exact and not subnormal.

    The absolute error of a subnormal result is at most _LEAST. Where the factors' signs decide the sign of the result,
    it is cut at 0, so that products with an exact zero keep it.
    """
    tiny = np.abs(ends) < _TINY
    if not tiny.any():
        return _outward(ends, _EPS, exact=exact)
    _outward(ends, _EPS, _LEAST, None if exact is None else ~tiny & exact)
    a_positive, a_negative, b_positive, b_negative = a.ends[0] >= 0, a.ends[1] <= 0, b.ends[0] >= 0, b.ends[1] <= 0
    same = (a_positive & b_positive) | (a_negative & b_negative)
    opposite = (a_positive & b_negative) | (a_negative & b_positive)
    ends[0] = np.where(same, np.maximum(ends[0], 0), ends[0])
    ends[1] = np.where(opposite, np.minimum(ends[1], 0), ends[1])
    return ends


def _undefined_unless(defined: NDArray[np.bool_], ends: FloatArray) -> FloatArray:
    """Set both ends to NaN, in place, where not `defined` (so also where a comparison met NaN)."""
    if not defined.all():
        ends[:, ~np.broadcast_to(defined, ends.shape[1:])] = np.nan
    return ends


def _clipped(ends: FloatArray, least: float, greatest: float = np.inf) -> FloatArray:
    """Cut, in place, to the exact range of a function."""
    np.maximum(ends, least, out=ends)
    if greatest < np.inf:
        np.minimum(ends, greatest, out=ends)
    return ends


# --------------------------------------------------------------------------------------------------------------------
# Powers and exponentials


def sqrt(a: Interval) -> Interval:
    """Monotone, correctly rounded (so one margin); undefined where the lower end is negative."""
    roots = np.sqrt(a.ends)
    exact = _short(roots, 2) & (roots * roots == a.ends)
    return Interval(_undefined_unless(a.ends[0] >= 0, _outward(roots, _EPS, exact=exact)))


def exp(a: Interval) -> Interval:
    """Monotone, with range [0, inf)."""
    ends = _outward(np.exp(a.ends), LIBM_ULPS * _EPS, _LEAST_NORMAL, a.ends == 0)
    return Interval(_clipped(ends, 0))


def log(a: Interval) -> Interval:
    """Monotone; undefined where the lower end is not positive."""
    return Interval(_undefined_unless(a.ends[0] > 0, _outward_libm(np.log(a.ends))))


def integer_power(a: Interval, exponent: int) -> Interval:
    """Exact range of a**n: monotone for odd n, through |a| for even n; for n < 0 undefined where a contains 0."""
    if exponent < 0:
        return _ONE / integer_power(a, -exponent)
    if exponent == 0:
        return Interval(np.where(np.isnan(a.ends), np.nan, 1.0))
    if exponent == 1:
        return a
    base = absolute(a).ends if exponent % 2 == 0 else a.ends
    return Interval(_positive_power(base, exponent))


def _positive_power(base: FloatArray, exponent: int) -> FloatArray:
    """Return base**n rounded outward, for n >= 1, as a new array.

    A product of n factors, however bracketed, has n - 1 roundings and so a relative error below n ulps; underflow adds
    less than n * _LEAST, and only where the base is not 0: there the base itself is a larger margin, or _LEAST_NORMAL.
    """
    underflow = np.minimum(np.abs(base), _LEAST_NORMAL)
    if exponent <= _MULTIPLIED_POWER:
        powers = _product_power(base, exponent)
        exact = _short(base, exponent) & ~(np.abs(powers) < _TINY)
        ends = _outward(powers, exponent * _EPS, underflow, exact)
    else:
        ends = _outward(np.power(base, float(exponent)), LIBM_ULPS * _EPS, underflow)
    if exponent % 2 == 0:
        np.maximum(ends, 0, out=ends)
    return ends


def _product_power(base: FloatArray, exponent: int) -> FloatArray:
    """Return base**n, n >= 1, by binary powering, as a new array."""
    square, result = base, None
    while True:
        if exponent & 1:
            result = square.copy() if result is None else result * square
        exponent >>= 1
        if not exponent:
            assert result is not None
            return result
        square = square * square


def rational_power(a: Interval, exponent: Fraction) -> Interval:
    """Exact range of a**q for a fraction q: a >= 0 when q > 0 (0**q = 0), a > 0 when q < 0, else undefined.

    The exponent is rounded to a double q'; the factor exp((q - q') log a) restores a**q.
    """
    if exponent < 0:
        return _ONE / rational_power(a, -exponent)
    if exponent == Fraction(1, 2):
        return sqrt(a)
    nearest = max(exponent.numerator / exponent.denominator, _LEAST_NORMAL)  # not 0, since 0**q = 0
    powers = np.power(a.ends, nearest)
    if rest := float(exponent - Fraction(nearest)):
        logs = np.log(np.clip(a.ends, _LEAST, _MAX))  # 0 stays 0 and inf stays inf whatever the factor
        powers *= np.exp(rest * logs)
    ends = _outward(powers, (LIBM_ULPS + 4) * _EPS, np.minimum(np.abs(a.ends), _LEAST_NORMAL))
    return Interval(_undefined_unless(a.ends[0] >= 0, np.maximum(ends, 0)))


def power(a: Interval, b: Interval) -> Interval:
    """a**b = exp(b log a); undefined where the lower end of a is not positive."""
    return exp(b * log(a))


# --------------------------------------------------------------------------------------------------------------------
# Circular functions


def sin(a: Interval) -> Interval:
    """Exact range; [-1, 1] when an argument exceeds 10**8."""
    return Interval(_wave(a.ends, np.sin(a.ends), 0.25))


def cos(a: Interval) -> Interval:
    """Exact range; [-1, 1] when an argument exceeds 10**8."""
    return Interval(_wave(a.ends, np.cos(a.ends), 0.0))


def _wave(arguments: FloatArray, values: FloatArray, crest: float) -> FloatArray:
    """Return the range of a wave of period 2 pi between the arguments, given its values there.

    The crests (value 1) lie at `crest` + k periods, the troughs (-1) half a period further.
    """
    ends = np.empty_like(values)
    np.fmin(values[0], values[1], out=ends[0])
    np.fmax(values[0], values[1], out=ends[1])
    _outward_libm(ends)
    turns = _turns(arguments, 1 / (2 * math.pi))
    np.copyto(ends[1], 1, where=_holds_integer(turns - crest))
    np.copyto(ends[0], -1, where=_holds_integer(turns - (crest + 0.5)))
    np.maximum(ends[0], -1, out=ends[0])
    np.minimum(ends[1], 1, out=ends[1])
    located = np.abs(arguments) <= _PERIODIC_LIMIT
    if not located.all():
        far = ~located.all(axis=0) & ~np.isnan(arguments[0])
        ends[0][far], ends[1][far] = -1, 1
    return ends


def _turns(arguments: FloatArray, frequency: float) -> FloatArray:
    """Return arguments * frequency, widened by more than the errors of this and of a following subtraction below 1.

    Both factors and the product carry relative errors of 2**-53 each; the subtraction adds 2**-53 of its result.
    """
    turns = arguments * frequency
    margin = np.abs(turns)
    margin += 1
    margin *= 2.0**-50
    turns[0] -= margin[0]
    turns[1] += margin[1]
    return turns


def _holds_integer(ends: FloatArray) -> NDArray[np.bool_]:
    held: NDArray[np.bool_] = np.floor(ends[1]) >= ends[0]
    return held


def tan(a: Interval) -> Interval:
    """Monotone between its poles; undefined when a pole may be inside or an argument exceeds 10**8."""
    pole = _holds_integer(_turns(a.ends, 1 / math.pi) - 0.5)
    near = (np.abs(a.ends) <= _PERIODIC_LIMIT).all(axis=0)
    return Interval(_undefined_unless(near & ~pole, _outward_libm(np.tan(a.ends))))


def atan(a: Interval) -> Interval:
    """Monotone, with range (-pi/2, pi/2)."""
    half = PI.ends[1, 0] / 2
    return Interval(_clipped(_outward_libm(np.arctan(a.ends)), -half, half))


# --------------------------------------------------------------------------------------------------------------------
# Hyperbolic functions and erf


def sinh(a: Interval) -> Interval:
    """Monotone."""
    return Interval(_outward_libm(_finite_inside(np.sinh(a.ends))))


def cosh(a: Interval) -> Interval:
    """Exact range, through |a|; at least 1."""
    return Interval(_clipped(_outward(np.cosh(absolute(a).ends), LIBM_ULPS * _EPS), 1))


def tanh(a: Interval) -> Interval:
    """Monotone, with range (-1, 1)."""
    return Interval(_clipped(_outward_libm(np.tanh(a.ends)), -1, 1))


def sigmoid(a: Interval) -> Interval:
    """1 / (1 + exp(-a)): monotone, with range (0, 1). The sum and the quotient add two roundings."""
    values = np.reciprocal(1 + np.exp(-a.ends))
    return Interval(_clipped(_outward(values, (LIBM_ULPS + 2) * _EPS, _LEAST_NORMAL), 0, 1))


def erf(a: Interval) -> Interval:
    """Monotone, with range (-1, 1)."""
    return Interval(_clipped(_outward_libm(erf_array(a.ends)), -1, 1))


# --------------------------------------------------------------------------------------------------------------------
# Kinks and jumps: exact


def absolute(a: Interval) -> Interval:
    """|a|."""
    ends = np.maximum(a.ends, -a.ends[::-1])
    np.maximum(ends[0], 0, out=ends[0])
    return Interval(ends)


def minimum(a: Interval, b: Interval) -> Interval:
    """The lesser of a and b."""
    return Interval(np.minimum(a.ends, b.ends))


def maximum(a: Interval, b: Interval) -> Interval:
    """The greater of a and b."""
    return Interval(np.maximum(a.ends, b.ends))


def sign(a: Interval) -> Interval:
    """-1, 0 or 1."""
    return Interval(np.sign(a.ends))


def floor(a: Interval) -> Interval:
    """The greatest integer that is not greater."""
    return Interval(np.floor(a.ends))


def hull(a: Interval, b: Interval) -> Interval:
    """The least interval around both; undefined where one of them is."""
    ends = np.minimum(a.ends, b.ends)
    np.maximum(a.ends[1], b.ends[1], out=ends[1])
    return Interval(ends)


# --------------------------------------------------------------------------------------------------------------------
# Conditions: intervals of truth values, [0, 0] false, [1, 1] true, [0, 1] undecided, NaN undefined


def less(a: Interval, b: Interval) -> Interval:
    """Whether a < b."""
    return _truth(np.less(a.ends[::-1], b.ends), a, b)


def less_equal(a: Interval, b: Interval) -> Interval:
    """Whether a <= b."""
    return _truth(np.less_equal(a.ends[::-1], b.ends), a, b)


def _truth(certain_and_possible: NDArray[np.bool_], a: Interval, b: Interval) -> Interval:
    return Interval(np.where(np.isnan(a.ends) | np.isnan(b.ends), np.nan, certain_and_possible))


def negation(c: Interval) -> Interval:
    """Whether not c."""
    return Interval(1 - c.ends[::-1])


def where(c: Interval, a: Interval, b: Interval) -> Interval:
    """a where c is true, b where it is false, the hull of both where it is undecided; undefined where c is."""
    undecided = hull(a, b).ends + 0 * c.ends
    return Interval(np.where(c.ends[0] == 1, a.ends, np.where(c.ends[1] == 0, b.ends, undecided)))


_ONE = constant(Fraction(1))
