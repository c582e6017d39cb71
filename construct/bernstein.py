"""Polynomials in a sigmoid of each coordinate, from their Chebyshev series to their Bernstein coefficients.

On the side [lo, hi] of an axis with rate c and centre o let s = sigmoid(c (x - o)) and t = 2 s - 1 = tanh(c (x - o)/2).
With t between mid - half and mid + half there, u = (t - mid)/half runs over [-1, 1]. Chebyshev polynomials in u behave
well on the side; the values of a head are the coefficients in the Bernstein basis of degree n on 0 <= s <= 1,

    p = sum_i v_i binom(n, i) s^i (1 - s)^(n - i).

With p = 1 - s, q = s, so p + q = 1 and u = ((1 - mid) q - (1 + mid) p)/half, everything is a form in p and q.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt

from attncert.certificates.numbers import mpf_to_fraction

Integers = npt.NDArray[np.object_]
"""Python integers, which stand for themselves over a power of two."""


@dataclass(frozen=True)
class Axis:
    """A side of the box with the rate and the centre of its sigmoid; a rate of 0 where nothing depends on it."""

    lo: Fraction
    hi: Fraction
    rate: Fraction
    centre: Fraction

    def range(self, context: Any) -> tuple[Any, Any]:
        """Mid and half of the range of t, in a context of mpmath: half > 0 where the rate is positive."""
        low, high = (context.tanh(real(context, self.rate * (end - self.centre) / 2)) for end in (self.lo, self.hi))
        if self.lo + self.hi == 2 * self.centre:
            return context.zero, high
        return (low + high) / 2, (high - low) / 2

    def growth(self) -> int:
        """About how many bits the Bernstein coefficients of a Chebyshev polynomial grow by with each degree."""
        return _growth(self)


@lru_cache(maxsize=1024)
def _growth(axis: Axis) -> int:
    if not axis.rate:
        return 0
    mid, half = axis.range(context_of(64))
    return 2 + max(0, math.ceil(float(mpmath.log((1 + abs(mid)) / half, 2))))


@cache
def context_of(bits: int) -> Any:
    """A context of mpmath, to be left as it is: the global precision is neither used nor changed."""
    context = mpmath.MPContext()
    context.prec = bits
    return context


def real(context: Any, x: Fraction) -> Any:
    """A rational as a number of the context."""
    return context.mpf(x.numerator) / x.denominator


def scaled(x: Any, bits: int) -> int:
    """A number of mpmath times 2^bits, rounded down."""
    exact = mpf_to_fraction(x)
    return (exact.numerator << bits) // exact.denominator


@lru_cache(maxsize=1024)
def bernstein_matrix(axis: Axis, degree: int, bits: int) -> tuple[Integers, int]:
    """Row k holds the Bernstein coefficients of T_k(u) in that degree, times 2^precision; with that precision.

    They are off by about 2^-bits at most. (degree + 1, degree + 1)
    """
    precision = bits + 64 + degree * (axis.growth() + 2)
    context = context_of((precision + 319) & ~255)  # contexts are costly to make: few precisions
    if degree:
        mid, half = axis.range(context)
        in_p, in_q = scaled(-(1 + mid) / half, precision), scaled((1 - mid) / half, precision)
    one = 1 << precision
    forms: list[list[int]] = [[one]]
    for k in range(1, degree + 1):
        by_u = [
            (low + high) >> precision
            for low, high in zip([in_p * c for c in forms[-1]] + [0], [0] + [in_q * c for c in forms[-1]], strict=True)
        ]
        forms.append(by_u if k == 1 else [2 * a - b for a, b in zip(by_u, _raised(forms[-2], 2), strict=True)])
    rows = [_raised(form, degree - k) for k, form in enumerate(forms)]
    return np.array([[c // math.comb(degree, i) for i, c in enumerate(row)] for row in rows], dtype=object), precision


def _raised(form: list[int], times: int) -> list[int]:
    """The form times (p + q)^times."""
    factors = [math.comb(times, j) for j in range(times + 1)]
    raised = [0] * (len(form) + times)
    for i, c in enumerate(form):
        for j, factor in enumerate(factors):
            raised[i + j] += c * factor
    return raised


def bernstein_values(axes: tuple[Axis, ...], series: Integers, bits: int) -> tuple[Integers, int]:
    """The values of the tokens for a Chebyshev series times 2^bits: (n_1 + 1, ..., n_m + 1, rows) to the same shape.

    The answer is times 2^precision, with that precision, and about as exact as the series.
    """
    precision = bits + 16 + sum(n * axis.growth() for n, axis in zip(series.shape[:-1], axes, strict=True))
    values = series * (1 << (precision - bits))
    for k, axis in enumerate(axes):
        matrix, shift = bernstein_matrix(axis, series.shape[k] - 1, precision)
        moved = np.moveaxis(values, k, 0)
        product = matrix.T.dot(moved.reshape(moved.shape[0], -1)) >> shift
        values = np.moveaxis(product.reshape(moved.shape), 0, k)
    return values, precision
