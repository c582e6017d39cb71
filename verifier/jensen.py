"""The Taylor-Jensen rule: the sign form of an error bound on a box, expanded to order K around its centre.

With p_i proportional to e^{s_i(c)}, abar = sum_i p_i a_i and t_i(u) = sum_k tau_ik u_k, tau_ik = (a_ik - abar_k) r_k,
the error f - T of the head over the box c + r u, u in [-1, 1]^m, has the sign of N = f~ M0 - M1, where

    M0 = sum_i p_i e^{t_i},    M1 = sum_i p_i (v_i - T0) e^{t_i},    f~ = f - T0,

and |f - T| <= e if e M0 +- N >= 0 for both signs. Both moments are expanded to order K: the coefficients are the
products of p and p (v - T0) with the monomials tau^a / a!, and with rho_i = sum_k |tau_ik| the exponential of a token
exceeds its Taylor polynomial by at most rho_i^{K+1} / (K+1)! / (1 - rho_i / (K+2)), or e^{rho_i} in place of the
quotient. T0 near T(c) removes the cancellation between f and T. Any vector may stand for abar, and any number for T0:
they are the rounded ones.

Scores that are quadratic in x have t_i(u) = sum_k tau_ik u_k + sum_(j <= k) tau_ijk u_j u_k, means taken off all
coefficients. From d/du_k e^t = e^t dt/du_k the coefficients of e^t follow: a_k E_a = tau_k E_(a - e_k)
+ 2 tau_kk E_(a - 2 e_k) + sum_(j != k) tau_jk E_(a - e_j - e_k). With rho1, rho2 the sums of the sizes of the linear
and of the quadratic coefficients, the terms of degree n add up to at most G_n, the coefficient of z^n in
e^(rho1 z + rho2 z^2), for which n G_n = rho1 G_(n-1) + 2 rho2 G_(n-2). Added up over n >= K + 2 this bounds the rest:
with sigma = rho1 + 2 rho2 < K + 2

    sum_(n > K) G_n <= G_(K+1) + (sigma G_(K+1) + 2 rho2 G_K) / (K + 2 - sigma),

and it is at most e^(rho1 + rho2) always.

Values that depend on x are affine in u on the box: each u_k adds its product with the moment
of its coefficients to M1, and T0 is affine in u as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from attncert.certificates.taylor import TINY, UP, BoolArray, FloatArray, Model, multi_indices
from attncert.verifier.boxes import Block, IntArray, starts_of
from attncert.verifier.head import UNIT, Curves, FloatHead


def expansion_order(spread: float, bound: Fraction, least: int, most: int) -> int:
    """An order from least to most: 0.6 for each decimal digit between the spread of the values and the bound."""
    digits = math.log10(spread + float(bound)) - math.log10(bound.numerator) + math.log10(bound.denominator)
    return max(least, min(most, math.ceil(0.6 * digits)))


def expansions(
    head: FloatHead,
    rows: Sequence[int],
    block: Block,
    live: IntArray,
    difference: FloatArray,
    centre: FloatArray,
    radius: FloatArray,
    order: int,
) -> Iterator[tuple[IntArray, Model, list[Model], FloatArray]]:
    """The moments of the boxes `live` of a block, as (part, M0, M1 of each row, T0): `part` are places in `live`.

    difference: the scores at the centre relative to the best one, for the block's tokens; centre, radius (B, m).
    """
    starts, counts = starts_of(block.counts)[live], block.counts[live]
    for width, part in _by_width(counts):
        places = np.arange(width)
        present = places < counts[part][:, None]
        picked = starts[part][:, None] + np.where(present, places, 0)
        tokens, scores = block.tokens[picked], difference[picked]
        place = centre[live[part]], radius[live[part]]
        yield part, *moments(head, rows, tokens, present, scores, *place, order)


def _by_width(counts: IntArray) -> list[tuple[int, IntArray]]:
    """Places of boxes with similar numbers of tokens, and the width to pad them to: 1, 2, 3, 4, 6, 8, 12, 16, ...

    The width depends on the box alone, and no box stands alone: rounding, and with it the tree, is then the same
    however boxes are grouped.
    """
    _, exponent = np.frexp((counts - 1).astype(np.float64))  # 2^(exponent - 1) < counts <= 2^exponent
    width = np.left_shift(1, exponent.astype(np.int64))
    width = np.where(counts <= width // 4 * 3, width // 4 * 3, width)
    groups = [(int(w), np.flatnonzero(width == w)) for w in np.unique(width)]
    return [(w, part if len(part) > 1 else np.repeat(part, 2)) for w, part in groups]


def moments(
    head: FloatHead,
    rows: Sequence[int],
    tokens: npt.NDArray[np.int32],
    present: BoolArray,
    difference: FloatArray,
    centre: FloatArray,
    radius: FloatArray,
    order: int,
) -> tuple[Model, list[Model], FloatArray]:
    """Models of M0, and of M1 for the given rows of the values; and the T0 of each, (rows, 1, B), or (rows, 1 + m, B)
    with the coefficients of the u_k where values depend on x.

    tokens, present, difference: (B, U) the active tokens of each box, padded; which of them are there; their scores at
    the centre relative to the best one. centre, radius: (B, m).

    Rounding argument. The exact weight of a token over the box is p_i e^{t_i} times a common factor and a relative
    error: the slack of the head covers scores and slopes (`round_head`; twice, for tau is rounded once more), 2^-48 the
    exponential and its normalisation, TINY e^{rho_i} its underflow and that of products. A moment is a sum of U
    products of at most K + 3 rounded factors, so the coefficients err together by at most (U + 2 K + 8) u times
    sum_i p_i |v_i - T0| e^{rho_i} (Higham, Accuracy and Stability, section 3.1, any order of summation). Where scores
    are quadratic, each step of the recursion adds m + 1 products of two rounded factors: K (m + 4) stands for 2 K, and
    for rho_i the sum of the sizes of all coefficients, with which the recursion bounds its own errors. Where values
    depend on x, |v_i - T0| is the sum of the sizes of its coefficients, and m more additions follow. Both are part of
    `relative`; the remainders are sums of nonnegative terms, inflated by UP, which is above 1 + (U + 40) u.
    """
    boxes, width = tokens.shape
    m = radius.shape[1]
    p = np.where(present, np.exp(difference), 0.0)
    p /= p.sum(axis=1, keepdims=True)
    rho = np.zeros((boxes, width))
    tau = [keys[tokens] for keys in head.keys]
    curves: Curves = head.around(tokens, centre[:, None], tau) if head.products else {}
    for k, keys in enumerate(tau):
        mean = np.einsum("bu,bu->b", p, keys)
        keys -= mean[:, None]
        keys *= radius[:, k, None]
        rho += np.abs(keys)
    bent = np.zeros((boxes, width))
    for (j, k), curve in curves.items():
        mean = np.einsum("bu,bu->b", p, curve)
        curve -= mean[:, None]
        curve *= radius[:, j, None]
        curve *= radius[:, k, None]
        bent += np.abs(curve)
    values = np.stack([head.values_at(r, tokens, centre[:, None]) for r in rows], axis=1)  # (B, rows, U)
    middle = np.matmul(values, p[:, :, None])[:, :, 0]
    values -= middle[:, :, None]
    sloped = [head.parts_of(r, tokens, radius[:, None]) for r in rows]
    parts = {k: np.stack([part[k] for part in sloped], axis=1) for k in head.slopes}  # each (B, rows, U)
    near = np.zeros((len(rows), 1 + m if parts else 1, boxes))
    near[:, 0] = middle.T
    for k, part in parts.items():
        mean = np.matmul(part, p[:, :, None])[:, :, 0]
        part -= mean[:, :, None]
        near[:, 1 + k] = mean.T
    indices = multi_indices(m, order)
    weights = np.empty((len(indices), boxes, width))
    weights[0] = p
    place = {a: n for n, a in enumerate(indices)}
    for n, a in enumerate(indices[1:], start=1):
        k = next(k for k in range(m) if a[k])
        before = place[tuple(x - (j == k) for j, x in enumerate(a))]
        np.multiply(weights[before], tau[k], out=weights[n])
        for pair, curve in curves.items():
            earlier = tuple(x - (j == pair[0]) - (j == pair[1]) for j, x in enumerate(a))
            if k in pair and min(earlier) >= 0:
                weights[n] += (2 if pair == (k, k) else 1) * curve * weights[place[earlier]]
        if a[k] > 1:
            weights[n] /= a[k]
    by_box = weights.transpose(1, 0, 2)
    first = weights.sum(axis=2)
    second = np.matmul(by_box, values.transpose(0, 2, 1))  # (B, A, rows)
    slack = math.expm1(2 * head.score_slack) if head.score_slack < 300 else math.inf
    steps = 2 * order if not curves else (m + 4) * order
    relative = slack * UP + 2.0**-48 + (width + steps + 8 + len(parts)) * 2 * UNIT
    growth = np.exp(rho + bent)
    if curves:
        tail = _tail(rho, bent, order)
    else:
        flat = rho < order + 1.5  # beyond that the quotient is the larger one
        stretch = np.where(flat, 1 / np.where(flat, 1 - rho / (order + 2), 1.0), growth)
        tail = rho ** (order + 1) / math.factorial(order + 1) * stretch
    underflow = np.where(present, TINY * growth, 0.0)
    growth *= p
    growth += underflow
    rest = tail * p + relative * growth + underflow
    np.abs(values, out=values)
    cut = np.zeros((boxes, len(rows)))
    for k, part in parts.items():
        moment = np.matmul(by_box, part.transpose(0, 2, 1))
        for n, a in enumerate(indices):
            if sum(a) < order:
                second[:, place[tuple(x + (j == k) for j, x in enumerate(a))]] += moment[:, n]
            else:
                cut += np.abs(moment[:, n])
        values += np.abs(part)
    remainder_first = rest.sum(axis=1) * UP
    remainder_second = np.matmul(values, rest[:, :, None])[:, :, 0] + cut
    remainder_second += head.value_slack[list(rows)] * (1 + relative) * growth.sum(axis=1)[:, None] + TINY
    zeroth = Model(first, remainder_first, m, order, order)
    firsts = [
        Model(np.ascontiguousarray(second[:, :, r].T), remainder_second[:, r] * UP, m, order, order)
        for r in range(len(rows))
    ]
    return zeroth, firsts, near


def _tail(linear: FloatArray, quadratic: FloatArray, order: int) -> FloatArray:
    """A bound on the terms beyond z^order of e^(linear z + quadratic z^2) at z = 1; see the head of this module.

    Rounding argument. All numbers are nonnegative, sums and products of at most 8 (order + 2) rounded factors, but for
    K + 2 - sigma, which is used from 1/2 on and errs by less than 2^-48 of it: UP covers both.
    """
    before, last = np.ones_like(linear), linear
    for n in range(2, order + 2):
        before, last = last, (linear * last + 2 * quadratic * before) / n
    slope = linear + 2 * quadratic
    flat = slope < order + 1.5
    left = np.where(flat, order + 2 - slope, 1.0)
    near = last + (slope * last + 2 * quadratic * before) / left
    return np.where(flat, near, np.exp(linear + quadratic) * UP) * UP


def holds(zeroth: Model, first: Model, middle: FloatArray, f: Model, bound: FloatArray) -> BoolArray:
    """Tell for which boxes |f - T| <= bound, (B,), is proved; NaN and negative bounds fail.

    Rounding argument. The coefficients of e M0 +- N are rounded twice more; that costs at most 2^-51 of the sum of
    absolute values, which UP - 1 = 2^-40 of the same sum covers together with the sums of `least`.
    """
    numerator = _relative(f, middle) * zeroth - first
    scaled = bound * zeroth.coefficients
    size = np.abs(scaled).sum(axis=0) + np.abs(numerator.coefficients).sum(axis=0)
    rest = (bound * zeroth.remainder + numerator.remainder + 2.0**-44 * size) * UP
    m, order = zeroth.m, zeroth.order
    coefficients = numerator.padded(order)
    passed: BoolArray = bound >= 0
    for sign in (1.0, -1.0):
        passed = passed & (least(scaled + sign * coefficients, m, order) - rest >= 0)
    return passed


def error_model(zeroth: Model, first: Model, middle: FloatArray, f: Model) -> Model:
    """A model of the error f - T = N / M0 itself; M0 >= 1 up to rounding, by Jensen's inequality."""
    return (_relative(f, middle) * zeroth - first) * zeroth.reciprocal()


def _relative(f: Model, middle: FloatArray) -> Model:
    """f less a number for each box, (1, B), or less an affine function of u, (1 + m, B)."""
    if len(middle) == 1:
        return f.shifted(-middle[0])
    return f - Model(middle, np.zeros(middle.shape[1]), f.m, f.order, 1)


def power_mean(error: Model, power: Fraction) -> tuple[FloatArray, FloatArray]:
    """Bounds (B,) on the mean of |error|^power over each box; NaN where the sign is open and the power no integer.

    The power is exact: one that float64 rounds to an even number is not even. Where the sign is open and the power odd,
    |error| is between 0 and the larger end of the range.

    The mean of u^a over [-1, 1]^m is the product of 1 / (a_k + 1) if all exponents are even, else 0. Rounding argument.
    The sum of products errs by less than 2^-44 of the sum of absolute values, which is added to the remainder.
    """
    m = error.m
    if power % 2:
        values = error.range()
        known = (values.lo >= 0) | (values.hi <= 0)
        open_ends = np.stack([np.zeros(len(known)), np.maximum(-values.lo, values.hi)])
        error = error.scaled(np.where(known, np.where(values.lo >= 0, 1.0, -1.0), np.nan))
        if power.denominator == 1:
            error = error.selected(known, error.constant(open_ends))
    model = error.integer_power(int(power)) if power.denominator == 1 else error.power(float(power))
    shares = np.array(
        [0.0 if any(x % 2 for x in a) else 1 / math.prod(x + 1 for x in a) for a in multi_indices(m, model.degree)]
    )
    mean = shares @ model.coefficients
    rest = (model.remainder + 2.0**-44 * np.abs(model.coefficients).sum(axis=0)) * UP
    return mean - rest, mean + rest


@lru_cache(maxsize=256)
def _places(m: int, order: int) -> tuple[list[int], list[int], list[int], list[int]]:
    """The places of u_k, of u_k^2, of the other monomials that are squares, and of the rest."""
    linear: list[int] = []
    square: list[int] = []
    even: list[int] = []
    odd: list[int] = []
    for n, a in enumerate(multi_indices(m, order)):
        if sum(a) == 1:
            linear.append(n)
        elif sum(a) == 2 and max(a) == 2:
            square.append(n)
        elif sum(a):
            (odd if any(x % 2 for x in a) else even).append(n)
    return linear, square, even, odd


def least(coefficients: FloatArray, m: int, order: int) -> FloatArray:
    """A lower bound, up to rounding, of polynomials (A, B) over [-1, 1]^m.

    Exact for the part in 1, u_k and u_k^2; other monomials range over [0, 1] where they are squares, else over [-1, 1].
    """
    linear, square, even, odd = _places(m, order)
    slope = np.abs(coefficients[linear])
    total: FloatArray = coefficients[0].copy()
    if square:
        curve = coefficients[square]
        bent = 2 * curve > slope
        total += np.where(bent, -slope * (slope / np.where(bent, 4 * curve, 1.0)), curve - slope).sum(axis=0)
    else:
        total -= slope.sum(axis=0)
    if even:
        total += np.minimum(coefficients[even], 0.0).sum(axis=0)
    if odd:
        total -= np.abs(coefficients[odd]).sum(axis=0)
    return total
