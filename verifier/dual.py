"""How good a head with given keys and biases can be at all: a proved lower bound over all values.

A head with fixed scores is linear in its values, T_j(x) = sum_i p_ij(x) v_i. Let N + 1 places (x_t, j_t) of the domain
and numbers lambda_t satisfy sum_t lambda_t p_i(x_t, j_t) = 0 for each of the N tokens. Then for all values v

    |sum_t lambda_t f_(j_t)(x_t)| = |sum_t lambda_t (f - T)_(j_t)(x_t)| <= sum_t |lambda_t| sup |f - T|,

which is the weak duality of linear programming: the quotient bounds the least possible error from below. Such lambda
exist for any N + 1 places, but they are irrational, so they are enclosed. With lambda_s = 1 for one place s the others
solve A y = -a_s, A the N x N matrix of the remaining weights. Let C be any matrix, y_0 any vector,

    rho = ||I - C A||, q = ||C (a_s + A y_0)|| in the maximum norm, both bounded over the enclosure of A and a_s.

If rho < 1, then A is regular and ||y - y_0|| <= q / (1 - rho), because y - y_0 = -(C A)^-1 C (a_s + A y_0) (Krawczyk;
see A. Neumaier, *Interval Methods for Systems of Equations*, 1990, section 4.2). C, an approximate inverse, and y_0 are
integers over 2^P, and p and f are enclosed between neighbouring such numbers by the checker's own functions; from there
on every sum and product is exact.

Values u_i + g_i . x have N (1 + K) numbers, K the entries of x that some of them depend on. T is linear in these too,
with the weights p_i and p_i z_k, z_k = (x_k - c_k) / r_k the place in the box: that many equations and one more place.
The bound is on all values that depend on these entries. An entry that does not move adds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from attncert.certificates.condition import satisfied
from attncert.certificates.deadline import NEVER, Deadline
from attncert.certificates.statement import Statement
from attncert.verifier import kernel
from attncert.verifier.integers import ExactClaim
from attncert.verifier.outcome import columns_of

Integers = npt.NDArray[np.object_]
Place = tuple[tuple[Fraction, ...], int]
"""A point of the domain, and an output column."""

PRECISIONS = (256, 512, 1024, 2048)
"""Bits that are tried in turn."""

MOST_UNKNOWNS = 256
"""Heads with more numbers in a row of values have no bound: the linear system takes the cube of that."""


def least_error(statement: Statement, row: int, places: Sequence[Place], deadline: Deadline = NEVER) -> Fraction:
    """A proved lower bound on the largest |f - T| in an output row, whatever the values of the tokens.

    places: one more than there are numbers in a row of values, the best of them first; lambda is 1 there. The answer is
    0 where no bound is proved: for places outside the domain, linearly dependent weights, or where the precision or the
    time ends.
    """
    columns = columns_of(statement)
    claim = ExactClaim(statement, columns)
    moving = [k for k in sorted(columns[0].head.slopes) if statement.domain.sides[k][0] < statement.domain.sides[k][1]]
    n = claim.read.tokens * (1 + len(moving))
    inside = all(
        len(x) == statement.domain.dimension
        and all(lo <= entry <= hi for entry, (lo, hi) in zip(x, statement.domain.sides, strict=True))
        and satisfied(statement.conditions, x)
        for x, _ in places
    )
    if len(places) != n + 1 or n > MOST_UNKNOWNS or not inside:
        return Fraction(0)
    for P in PRECISIONS:
        if deadline.passed():
            break
        with suppress(kernel.Rejected):
            bound = _bound(claim, row, places, moving, P)
            if bound is not None:
                return bound
    return Fraction(0)


def _bound(claim: ExactClaim, row: int, places: Sequence[Place], moving: Sequence[int], P: int) -> Fraction | None:
    """The bound at P bits; None where they are too few."""
    (head,) = claim.read.heads  # `columns_of` refuses sums of heads
    weights = [_with_products(_weights(head, x, j, P), _ratios(claim, x, moving)) for x, j in places]
    low, high = (np.array([[w[end] for w in column] for column in weights], dtype=object).T for end in (0, 1))
    values = [_value(claim, row, x, j, P) for x, j in places]
    twice, spread = low + high, high - low  # the matrix, twice, is `twice` up to `spread`: (unknowns, places)
    inverse = _inverse(twice[:, 1:], P)
    if inverse is None:
        return None
    size = np.abs(inverse)
    one = 1 << 2 * P + 1
    off = np.abs(one * np.eye(len(inverse), dtype=int).astype(object) - inverse.dot(twice[:, 1:]))
    rho = int((off + size.dot(spread[:, 1:])).sum(axis=1).max())  # over 2^(2P + 1)
    if 2 * rho >= one:
        return None
    solution = -(inverse.dot(twice[:, 0]) >> P + 1)
    solution = np.concatenate([np.array([1 << P], dtype=object), solution])
    defect, doubt = twice.dot(solution), spread.dot(np.abs(solution))  # over 2^(2P + 1)
    q = int((np.abs(inverse.dot(defect)) + size.dot(doubt)).max())  # over 2^(3P + 1)
    radius = -(-2 * q >> 2 * P + 1)  # q / (1 - rho) <= 2 q, over 2^P, rounded up
    middle = sum(int(y) * (lo + hi) for y, (lo, hi) in zip(solution, values, strict=True))  # over 2^(2P + 1)
    slip = sum(abs(int(y)) * (hi - lo) for y, (lo, hi) in zip(solution, values, strict=True))
    slip += 2 * radius * sum(max(abs(lo), abs(hi)) for lo, hi in values[1:])
    total = sum(abs(int(y)) for y in solution) + radius * (len(solution) - 1)  # over 2^P
    if 1000 * slip > abs(middle):
        return None
    return Fraction(abs(middle) - slip, total << P + 1)


def _weights(head: kernel.Head, x: Sequence[Fraction], j: int, P: int) -> list[kernel.Interval]:
    """Enclosures of the softmax weights of all tokens at a point; the scores are exact."""
    exact = head.at(head.scores(j), x)
    best = max(exact)
    ends = [kernel.enclose(score - best, P) for score in exact]
    powers = [(kernel.point("exp", lo, P)[0], kernel.point("exp", hi, P)[1]) for lo, hi in ends]
    total = sum(lo for lo, _ in powers), sum(hi for _, hi in powers)
    return [kernel.divided(power, total, P) for power in powers]


def _ratios(claim: ExactClaim, x: Sequence[Fraction], moving: Sequence[int]) -> list[Fraction]:
    """The places z_k of the moving entries in the box, from -1 to 1."""
    sides = claim.statement.domain.sides
    return [(2 * x[k] - sides[k][0] - sides[k][1]) / (sides[k][1] - sides[k][0]) for k in moving]


def _with_products(weights: list[kernel.Interval], ratios: Sequence[Fraction]) -> list[kernel.Interval]:
    """The weights, and enclosures of their products with each ratio: ends multiplied and rounded outward."""
    products = list(weights)
    for ratio in ratios:
        for ends in weights:
            low, high = sorted(end * ratio.numerator for end in ends)
            products.append((low // ratio.denominator, -(-high // ratio.denominator)))
    return products


def _value(claim: ExactClaim, row: int, x: Sequence[Fraction], j: int, P: int) -> kernel.Interval:
    """An enclosure of the target at a point; rejected where it is not known to be defined."""
    evaluator = kernel.Evaluator(claim.read.target, P, claim.read.limits)
    output = claim.read.target.outputs[row][j]
    (value,) = evaluator.enclosures([kernel.enclose(entry, P) for entry in x], [output])
    return int(value[0]), int(value[1])


def _inverse(twice: Integers, P: int) -> Integers | None:
    """About the inverse of twice / 2^(P + 1), times 2^P, by Gauss and Jordan; None where a pivot vanishes."""
    n, extra = len(twice), 64
    scale = P + extra
    work = np.concatenate(
        [twice << extra, (np.eye(n, dtype=int).astype(object) << scale + 1)], axis=1
    )  # both halves are over 2^(scale + 1)
    for k in range(n):
        pivot = k + max(range(n - k), key=lambda i: abs(work[k + i, k]))
        if work[pivot, k] == 0:
            return None
        if pivot != k:
            work[[k, pivot]] = work[[pivot, k]]
        work[k] = (work[k] << scale + 1) // work[k, k]
        for i in range(n):
            if i != k and work[i, k]:
                work[i] = work[i] - (work[i, k] * work[k] >> scale + 1)
    return np.asarray(work[:, n:] >> extra + 1, dtype=object)
