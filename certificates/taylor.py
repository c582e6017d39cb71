"""Taylor models of a target over many boxes at once: a polynomial around the centre and a bound on what it leaves out.

On the box c + r u, u in [-1, 1]^m, a model of order K stands for all functions within its remainder of

    sum over |a| <= K of coefficient_a u^a,

so a rounding error of a coefficient is an error of the value, since |u^a| <= 1, and joins the remainder. Operations
follow Makino and Berz (Taylor models and other validated functional inclusion methods, 2003): a smooth function of
f = f0 + h, |h| <= eta, is its Taylor polynomial in h, and the remainder is its next derivative anywhere within eta of
f0. Where that is not possible (at a kink, a jump, the end of a domain) the model is the constant enclosure of the
range, so only boxes that meet such a place lose the order.

Rounding argument. A coefficient of a sum or product is a sum of n <= 2^8 floating-point products; in any order of
summation it errs by at most n u / (1 - n u) times the sum of absolute values (Higham, Accuracy and Stability of
Numerical Algorithms, section 3.1 and 4.2), and all coefficients together by that times the product of the norms:
ROUNDING = 2^-44 of it is added. Remainders are sums of nonnegative terms with far fewer than 2^11 operations; they are
multiplied by 1 + 2^-40, and TINY, far above the least normal number, covers underflow: of a product, and of each term
of a series. Elementary functions of numpy and libm are allowed LIBM = 2^-47 relative to the terms of their series, 32
units in the last place. Infinity and NaN spread into the remainder. So does a value that is missing: only `where`
forgets the branch that is not taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from attncert.certificates import interval as iv
from attncert.certificates.interval import Interval
from attncert.certificates.target import Target, run

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

ROUNDING = 2.0**-44
LIBM = 2.0**-47
UP = 1 + 2.0**-40
TINY = 2.0**-1000

Series = Callable[[FloatArray, FloatArray, int], tuple[list[FloatArray], list[FloatArray], FloatArray]]
"""From f0, eta and K: g_0 .. g_K, the sizes that rounding errors are relative to, and a bound on |g_(K+1)| within eta
of f0; where g_k is the k-th derivative over k!.
"""


@lru_cache(maxsize=256)
def multi_indices(m: int, order: int) -> tuple[tuple[int, ...], ...]:
    """The multi-indices with |a| <= order in m variables, by degree; those of a lower order come first."""
    return tuple(
        tuple(variables.count(k) for k in range(m))
        for degree in range(order + 1)
        for variables in combinations_with_replacement(range(m), degree)
    )


@lru_cache(maxsize=256)
def degree_starts(m: int, order: int) -> IntArray:
    """Where the multi-indices of each degree begin."""
    return np.array([math.comb(m + degree - 1, m) for degree in range(order + 1)])


@lru_cache(maxsize=256)
def _product_table(m: int, order: int, first: int, second: int) -> tuple[IntArray, IntArray, IntArray]:
    """The pairs of places whose product stays within the order, sorted by the place of the product, and where the
    pairs of each place begin.
    """
    place = {a: n for n, a in enumerate(multi_indices(m, order))}
    pairs = []
    for i, a in enumerate(multi_indices(m, first)):
        for j, b in enumerate(multi_indices(m, second)):
            if sum(a) + sum(b) <= order:
                pairs.append((place[tuple(x + y for x, y in zip(a, b, strict=True))], i, j))
    pairs.sort()
    table = np.array(pairs)
    return table[:, 1], table[:, 2], np.flatnonzero(np.diff(table[:, 0], prepend=-1))


class Model:
    """A Taylor model for each box: coefficients (A, B) by multi-index, remainder (B,); B = 1 fits any batch.

    `degree` is that of the polynomial: the multi-indices beyond it are left out.
    """

    __slots__ = ("_norms", "coefficients", "degree", "m", "order", "remainder")

    def __init__(self, coefficients: FloatArray, remainder: FloatArray, m: int, order: int, degree: int) -> None:
        """Wrap coefficients of a polynomial of that degree <= order in m variables, and a remainder >= 0."""
        self.coefficients, self.remainder = coefficients, remainder
        self.m, self.order, self.degree = m, order, degree
        self._norms: FloatArray | None = None

    @property
    def norms(self) -> FloatArray:
        """The sums of the absolute coefficients of each degree, (degree + 1, B), not rounded up."""
        if self._norms is None:
            sizes = np.abs(self.coefficients)
            self._norms = np.add.reduceat(sizes, degree_starts(self.m, self.degree), axis=0) if self.degree else sizes
        return self._norms

    def size(self) -> FloatArray:
        """A bound on the absolute value over the box, (B,)."""
        bound: FloatArray = (self.norms.sum(axis=0) + self.remainder) * UP + TINY
        return bound

    def reach(self) -> FloatArray:
        """A bound on how far the values lie from the constant coefficient, (B,)."""
        bound: FloatArray = (self.norms[1:].sum(axis=0) + self.remainder) * UP + TINY
        return bound

    def range(self) -> Interval:
        """The interval of values; undefined where the model is not finite."""
        middle, reach = self.coefficients[0], self.reach()
        ends = np.stack([middle - reach, middle + reach])
        ends += np.abs(ends) * np.array([[-1.0], [1.0]]) * 2.0**-52
        ends[:, ~np.isfinite(ends).all(axis=0)] = np.nan
        return Interval(ends)

    def padded(self, degree: int) -> FloatArray:
        """The coefficients up to a degree that is not lower."""
        missing = math.comb(self.m + degree, degree) - len(self.coefficients)
        if not missing:
            return self.coefficients
        return np.concatenate([self.coefficients, np.zeros((missing, self.coefficients.shape[1]))])

    def __neg__(self) -> Model:
        """Exact."""
        return Model(-self.coefficients, self.remainder, self.m, self.order, self.degree)

    def __add__(self, other: Model) -> Model:
        """One rounding for each coefficient."""
        degree = max(self.degree, other.degree)
        coefficients = self.padded(degree) + other.padded(degree)
        rounding = 2.0**-52 * np.abs(coefficients).sum(axis=0)
        remainder = (self.remainder + other.remainder + rounding) * UP
        return Model(coefficients, remainder, self.m, self.order, degree)

    def __sub__(self, other: Model) -> Model:
        """One rounding for each coefficient."""
        return self + -other

    def __mul__(self, other: Model) -> Model:
        """The product of the polynomials up to the order; all else goes into the remainder."""
        degree = min(self.order, self.degree + other.degree)
        left, right, starts = _product_table(self.m, degree, self.degree, other.degree)
        products = self.coefficients[left] * other.coefficients[right]
        coefficients = np.add.reduceat(products, starts, axis=0) if len(starts) < len(products) else products
        a, b = self.norms, other.norms
        total_a, total_b = a.sum(axis=0), b.sum(axis=0)
        remainder = total_a * other.remainder + self.remainder * (total_b + other.remainder)
        remainder = remainder + ROUNDING * (total_a * total_b)
        for i in range(max(0, degree + 1 - other.degree), self.degree + 1):
            remainder += a[i] * b[degree + 1 - i :].sum(axis=0)
        return Model(coefficients, remainder * UP + TINY, self.m, self.order, degree)

    def scaled(self, factor: float | FloatArray) -> Model:
        """The product with exact factors, one for each box or one for all."""
        coefficients = self.coefficients * factor
        remainder = np.abs(factor) * self.remainder + 2.0**-52 * np.abs(coefficients).sum(axis=0)
        return Model(coefficients, remainder * UP + TINY, self.m, self.order, self.degree)

    def shifted(self, number: float | FloatArray) -> Model:
        """The sum with exact numbers, one for each box or one for all."""
        width = np.broadcast_shapes(self.coefficients[0].shape, np.shape(number))
        coefficients = np.broadcast_to(self.coefficients, (len(self.coefficients), *width)).copy()
        coefficients[0] += number
        remainder = (self.remainder + 2.0**-52 * np.abs(coefficients[0])) * UP
        return Model(coefficients, remainder, self.m, self.order, self.degree)

    def of_boxes(self, places: IntArray) -> Model:
        """The models of some of the boxes."""
        coefficients, remainder = self.coefficients, self.remainder
        coefficients = coefficients if coefficients.shape[1] == 1 else coefficients[:, places]
        remainder = remainder if len(remainder) == 1 else remainder[places]
        return Model(coefficients, remainder, self.m, self.order, self.degree)

    def reciprocal(self) -> Model:
        """One over the model, by its range where the series does not hold."""
        return self.of(_reciprocal, lambda x: iv.constant(Fraction(1)) / x)

    def integer_power(self, exponent: int) -> Model:
        """A power with a positive integer, by squarings."""
        result, square = None, self
        while True:
            if exponent & 1:
                result = square if result is None else result * square
            exponent >>= 1
            if not exponent:
                return square if result is None else result
            square = square * square

    def power(self, exponent: float) -> Model:
        """A power of a positive model; the remainder is not finite elsewhere."""
        return self.of(_power(exponent))

    def constant(self, ends: FloatArray) -> Model:
        """The constant model that encloses intervals, (2, B); undefined ones get an infinite remainder."""
        middle = 0.5 * ends[0] + 0.5 * ends[1]
        remainder = np.maximum(ends[1] - middle, middle - ends[0]) * UP + TINY
        broken = ~np.isfinite(remainder)
        middle, remainder = np.where(broken, 0.0, middle), np.where(broken, np.inf, remainder)
        return Model(middle[None], remainder, self.m, self.order, 0)

    def widened(self, by: FloatArray) -> Model:
        """The model with a larger remainder."""
        remainder = (self.remainder + by) * UP
        return Model(self.coefficients, remainder, self.m, self.order, self.degree)

    def selected(self, chosen: BoolArray, other: Model) -> Model:
        """This model for the chosen boxes, the other one elsewhere."""
        if chosen.all():
            return self
        degree = max(self.degree, other.degree)
        coefficients = np.where(chosen, self.padded(degree), other.padded(degree))
        remainder = np.where(chosen, self.remainder, other.remainder)
        return Model(coefficients, remainder, self.m, self.order, degree)

    def of(self, series: Series, fallback: Callable[[Interval], Interval] | None = None) -> Model:
        """A smooth function of the model, by its Taylor series; where that does not hold, by its range."""
        centre, eta = self.coefficients[0], self.reach()
        varies = self.degree > 0
        order = self.order if varies else 0
        terms, sizes, last = series(centre, eta, order)
        remainder = last + TINY
        for size in reversed(sizes):
            remainder = LIBM * size + TINY + eta * remainder
        result = Model(terms[order][None], np.zeros(1), self.m, self.order, 0)
        if varies:
            h = Model(self.coefficients.copy(), self.remainder, self.m, self.order, self.degree)
            h.coefficients[0] = 0.0
            for term in reversed(terms[:-1]):
                result = result * h
                result.coefficients[0] += term  # the product has no constant coefficient
        total = result.remainder + remainder
        result = Model(result.coefficients, total * UP + TINY, self.m, self.order, result.degree)
        if fallback is None:
            return result
        failed = ~np.isfinite(result.remainder)
        if not failed.any():
            return result
        return self.constant(fallback(self.range()).ends).selected(failed, result)


def models(target: Target, centre: FloatArray, radius: FloatArray, order: int) -> list[Model]:
    """A model of each entry of the target over the boxes centre +- radius, each (B, m); remainders may be inf or NaN.

    order: the degree K >= 1 of the polynomials.
    """
    with iv.quiet():
        return list(run(target, _Models(centre, radius, order)))


class _Condition:
    """For each box whether a condition is known to hold, whether it is known to fail, and whether it may be undefined,
    so that it is known to do neither; (B,) each.
    """

    __slots__ = ("fails", "holds", "missing")

    def __init__(self, holds: BoolArray, fails: BoolArray, missing: BoolArray) -> None:
        self.holds, self.fails, self.missing = holds & ~missing, fails & ~missing, missing


class _Models:
    """The tape's algebra of Taylor models."""

    def __init__(self, centre: FloatArray, radius: FloatArray, order: int) -> None:
        self.centre, self.radius, self.order = centre, radius, order
        self.m = centre.shape[1]
        self.zero = np.zeros(len(centre))

    # Leaves and arithmetic

    def const(self, value: Fraction) -> Model:
        return self._constant(iv.constant(value).ends)

    def pi(self) -> Model:
        return self._constant(iv.PI.ends)

    def e(self) -> Model:
        return self._constant(iv.E.ends)

    def var(self, index: int) -> Model:
        coefficients = np.zeros((1 + self.m, len(self.centre)))
        coefficients[0], coefficients[1 + index] = self.centre[:, index], self.radius[:, index]
        return Model(coefficients, self.zero, self.m, self.order, 1)

    neg = staticmethod(Model.__neg__)
    add = staticmethod(Model.__add__)
    sub = staticmethod(Model.__sub__)
    mul = staticmethod(Model.__mul__)

    def div(self, a: Model, b: Model) -> Model:
        return a * b.reciprocal()

    def ipow(self, a: Model, exponent: int) -> Model:
        if exponent == 0:
            return a.constant(np.where(np.isnan(a.range().ends), np.nan, 1.0))
        return a.integer_power(exponent) if exponent > 0 else a.reciprocal().integer_power(-exponent)

    def rpow(self, a: Model, exponent: Fraction) -> Model:
        return a.of(_power(float(exponent)), lambda x: iv.rational_power(x, exponent))

    def pow(self, a: Model, b: Model) -> Model:
        return self.exp(b * self.log(a))

    # Functions

    def exp(self, a: Model) -> Model:
        return a.of(_exp)

    def log(self, a: Model) -> Model:
        return a.of(_log, iv.log)

    def sqrt(self, a: Model) -> Model:
        return a.of(_power(0.5), iv.sqrt)

    def sin(self, a: Model) -> Model:
        return a.of(_sine(0))

    def cos(self, a: Model) -> Model:
        return a.of(_sine(1))

    def tan(self, a: Model) -> Model:
        return self.div(self.sin(a), self.cos(a))

    def atan(self, a: Model) -> Model:
        return a.of(_atan)

    def erf(self, a: Model) -> Model:
        return a.of(_erf)

    def tanh(self, a: Model) -> Model:
        """Tanh f = s (2 / (1 + e^(-2 s f)) - 1) for the sign s of f at the centre: no exponential is large."""
        sign = np.where(a.coefficients[0] < 0, -1.0, 1.0)
        quotient = self.exp(a.scaled(-2 * sign)).shifted(1.0).of(_reciprocal)
        return quotient.scaled(2.0).shifted(-1.0).scaled(sign)

    def sigmoid(self, a: Model) -> Model:
        return self.tanh(a.scaled(0.5)).shifted(1.0).scaled(0.5)

    def sinh(self, a: Model) -> Model:
        return (self.exp(a) - self.exp(-a)).scaled(0.5)

    def cosh(self, a: Model) -> Model:
        return (self.exp(a) + self.exp(-a)).scaled(0.5)

    # Kinks and jumps

    def abs(self, a: Model) -> Model:
        values = a.range()
        hull = a.constant(iv.absolute(values).ends)
        return a.selected(values.lo >= 0, (-a).selected(values.hi <= 0, hull))

    def sign(self, a: Model) -> Model:
        return a.constant(iv.sign(a.range()).ends)

    def floor(self, a: Model) -> Model:
        return a.constant(iv.floor(a.range()).ends)

    def min(self, a: Model, b: Model) -> Model:
        return -self.max(-a, -b)

    def max(self, a: Model, b: Model) -> Model:
        difference = (a - b).range()
        hull = a.constant(iv.maximum(a.range(), b.range()).ends)
        return a.selected(difference.lo >= 0, b.selected(difference.hi <= 0, hull))

    def less(self, a: Model, b: Model) -> _Condition:
        values = (a - b).range()
        return _Condition(values.hi < 0, values.lo >= 0, np.isnan(values.lo))

    def less_equal(self, a: Model, b: Model) -> _Condition:
        values = (a - b).range()
        return _Condition(values.hi <= 0, values.lo > 0, np.isnan(values.lo))

    def not_(self, condition: _Condition) -> _Condition:
        return _Condition(condition.fails, condition.holds, condition.missing)

    def and_(self, c: _Condition, d: _Condition) -> _Condition:
        return _Condition(c.holds & d.holds, c.fails | d.fails, c.missing | d.missing)

    def or_(self, c: _Condition, d: _Condition) -> _Condition:
        return _Condition(c.holds | d.holds, c.fails & d.fails, c.missing | d.missing)

    def where(self, condition: _Condition, a: Model, b: Model) -> Model:
        x, y = a.range().ends, b.range().ends
        ends = np.stack([np.minimum(x[0], y[0]), np.maximum(x[1], y[1])])
        hull = a.constant(np.where(condition.missing, np.nan, ends))
        return a.selected(condition.holds, b.selected(condition.fails, hull))

    def _constant(self, ends: FloatArray) -> Model:
        middle = 0.5 * ends[0] + 0.5 * ends[1]
        remainder = np.maximum(ends[1] - middle, middle - ends[0])
        return Model(middle[None], remainder * UP, self.m, self.order, 0)


# --------------------------------------------------------------------------------------------------------------------
# Series


def _exp(centre: FloatArray, eta: FloatArray, order: int) -> tuple[list[FloatArray], list[FloatArray], FloatArray]:
    value = np.exp(centre)
    terms = [value / math.factorial(k) for k in range(order + 1)]
    return terms, terms, np.exp(iv.up(centre + eta)) / math.factorial(order + 1) * UP


def _sine(turn: int) -> Series:
    """The sine of f + turn pi/2: every derivative is a sine, at most 1 in size."""

    def series(
        centre: FloatArray, eta: FloatArray, order: int
    ) -> tuple[list[FloatArray], list[FloatArray], FloatArray]:
        sine, cosine = np.sin(centre), np.cos(centre)
        cycle = [sine, cosine, -sine, -cosine]
        terms = [cycle[(k + turn) % 4] / math.factorial(k) for k in range(order + 1)]
        one = np.ones_like(centre)
        sizes = [one / math.factorial(k) for k in range(order + 1)]
        return terms, sizes, one / math.factorial(order + 1) * UP

    return series


def _log(centre: FloatArray, eta: FloatArray, order: int) -> tuple[list[FloatArray], list[FloatArray], FloatArray]:
    least = _positive(centre - eta)
    terms = [np.log(centre)] + [(-1) ** (k + 1) / (k * centre**k) for k in range(1, order + 1)]
    return terms, [np.abs(term) for term in terms], UP / ((order + 1) * least ** (order + 1))


def _reciprocal(
    centre: FloatArray, eta: FloatArray, order: int
) -> tuple[list[FloatArray], list[FloatArray], FloatArray]:
    least = _positive(np.abs(centre) - eta)
    terms = [1 / centre]
    for _ in range(order):
        terms.append(-terms[-1] / centre)
    return terms, [np.abs(term) for term in terms], UP / least ** (order + 2)


def _power(exponent: float) -> Series:
    """x^b, x > 0, with b rounded to float64: the derivative by b moves a term by |b log x| u, which sizes include.

    No claim where a power x^(b-k) is below TINY: the binomials may be large.
    """

    def series(
        centre: FloatArray, eta: FloatArray, order: int
    ) -> tuple[list[FloatArray], list[FloatArray], FloatArray]:
        least, most = _positive(centre - eta), centre + eta
        binomials, powers = [1.0], [centre**exponent]
        for k in range(order + 1):
            binomials.append(binomials[-1] * (exponent - k) / (k + 1))
            powers.append(powers[-1] / centre)
        terms = [binomial * power for binomial, power in zip(binomials[:-1], powers, strict=False)]
        stretch = 1 + abs(exponent) * np.abs(np.log(centre))
        sizes = [np.abs(term) * stretch for term in terms]
        rest = exponent - order - 1
        last = abs(binomials[-1]) * (least if rest < 0 else most) ** rest * (1 + 2.0**-30)
        claimed = (least > 0) & (np.minimum(powers[0], powers[-1]) > TINY)
        return terms, sizes, np.where(claimed, last, np.nan)

    return series


def _atan(centre: FloatArray, eta: FloatArray, order: int) -> tuple[list[FloatArray], list[FloatArray], FloatArray]:
    """The derivative 1 / (1 + x^2) has the coefficients q_j = (-1)^j Im (x - i)^-(j+1), at most (1 + x^2)^(-(j+1)/2)
    in size.
    """
    square = 1 + centre * centre
    q = [1 / square]
    for j in range(1, order):
        q.append((-2 * centre * q[-1] - (q[-2] if j > 1 else 0.0)) / square)
    terms = [np.arctan(centre), *(number / (j + 1) for j, number in enumerate(q[:order]))]
    shrink = 1 / np.sqrt(square)
    sizes = [np.abs(terms[0]), *(2 * shrink ** (j + 1) for j in range(order))]
    near = _positive(np.abs(centre) - eta, least=0.0)
    last = (1 + near * near) ** (-0.5 * (order + 1)) / (order + 1) * UP
    return terms, sizes, last


def _erf(centre: FloatArray, eta: FloatArray, order: int) -> tuple[list[FloatArray], list[FloatArray], FloatArray]:
    """The coefficients of the derivative w = 2/sqrt(pi) e^(-x^2) follow from w' = -2 x w, and are bounded by Cramer's
    inequality for Hermite functions, |H_n(x)| e^(-x^2/2) <= 1.0865 sqrt(2^n n!).
    """
    w = [2 / math.sqrt(math.pi) * np.exp(-centre * centre)]
    sizes = [w[0].copy()]
    for j in range(order):
        w.append((-2 * centre * w[-1] - 2 * (w[-2] if j else 0.0)) / (j + 1))
        sizes.append((2 * np.abs(centre) * sizes[-1] + 2 * (sizes[-2] if j else 0.0)) / (j + 1))
    terms = [iv.erf_array(centre), *(number / (j + 1) for j, number in enumerate(w[:order]))]
    bounds = [np.abs(terms[0]), *((1 + centre * centre) * size for size in sizes[:order])]
    last = np.full_like(centre, 1.2261 * math.sqrt(2.0**order / math.factorial(order)) / (order + 1))
    return terms, bounds, last


def _positive(x: FloatArray, least: float | None = None) -> FloatArray:
    """Numbers that are positive after rounding; the others become NaN, or `least` if that is given."""
    lower = x - np.abs(x) * 2.0**-50
    result: FloatArray = np.where(lower > 0, lower, np.nan if least is None else least)
    return result


__all__ = ["Model", "degree_starts", "models", "multi_indices"]
