"""A reduced head in float64, with what rounding it has cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from attncert.certificates.domain import Box
from attncert.certificates.errors import InvalidAttention
from attncert.certificates.interval import down, up
from attncert.certificates.matrix import Row, row_to_floats
from attncert.certificates.numbers import float_down, float_up
from attncert.verifier.reduction import Pair, ReducedHead

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer[Any]]
Curves = dict[Pair, FloatArray]

LARGEST = 1e300
"""Numbers of a head up to this size can be verified: their products are far from overflow."""

UNIT = 2.0**-53
"""The unit roundoff u of float64."""


@dataclass(frozen=True)
class FloatHead:
    """Scores and values rounded to nearest, with bounds that hold on the whole domain.

    keys (m, N), biases (N,), values (d_o, N) are float64; `products` holds the coefficients (N,) of x_j x_k in the
    scores, for pairs j <= k, none where scores are affine. For every x in the domain and all tokens i, k the scores
    differ by s_i - s_k, and `score_slack` bounds the error of any evaluation of that difference plus a radius term
    sum_j |a_ij - a_kj| r_j in float64 (see `round_head`). The values are values_i + sum_k slopes[k]_i x_k over the
    entries k in `slopes`, each (d_o, N), none where they are constant; `value_slack` (d_o,) bounds the error of that,
    evaluated by `values_at` at the centre of a box with `parts_of` around it. `value_min`, `value_max` (d_o,) enclose
    all exact values over the domain.
    """

    keys: FloatArray
    biases: FloatArray
    values: FloatArray
    score_slack: float
    value_slack: FloatArray
    value_min: FloatArray
    value_max: FloatArray
    slopes: Mapping[int, FloatArray] = field(default_factory=dict)
    products: Mapping[Pair, FloatArray] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[FloatHead, ...]:
        """The heads whose sum this is: the head itself."""
        return (self,)

    def of_row(self, r: int) -> FloatHead:
        """The head with one row of the values; what bounds them stays."""
        slopes = {k: slope[r : r + 1] for k, slope in self.slopes.items()}
        return replace(self, values=self.values[r : r + 1], slopes=slopes)

    @property
    def tokens(self) -> int:
        """The number N of tokens."""
        return int(self.biases.shape[0])

    @property
    def size(self) -> float:
        """The largest size of a value over the domain."""
        return float(np.max(np.abs([self.value_min, self.value_max])))

    def around(
        self, tokens: IntArray, centre: FloatArray, tilts: Sequence[FloatArray], scores: FloatArray | None = None
    ) -> Curves:
        """Complete the slopes (...) of affine scores in m entries to those at centres (..., m), in place, and scores.

        Returns the coefficients (...) of the d_j d_k in the scores of tokens (...) at centre + d; those of the d_k then
        stand in `tilts`, and the values at the centre in `scores`.
        """
        curves = {pair: product[tokens] for pair, product in self.products.items()}
        for (j, k), curve in curves.items():
            if scores is not None:
                scores += curve * centre[..., j] * centre[..., k]
            tilts[j] += curve * centre[..., k]
            tilts[k] += curve * centre[..., j]
        return curves

    def values_at(self, r: int, tokens: IntArray, point: FloatArray) -> FloatArray:
        """Values in row r of tokens at points; tokens (...), point (..., m)."""
        values: FloatArray = self.values[r][tokens]
        for k, slopes in self.slopes.items():
            values += slopes[r][tokens] * point[..., k]
        return values

    def parts_of(self, r: int, tokens: IntArray, radius: FloatArray) -> dict[int, FloatArray]:
        """Coefficients of u_k in the values in row r over boxes c + r u; tokens (...), radius (..., m)."""
        return {k: slopes[r][tokens] * radius[..., k] for k, slopes in self.slopes.items()}

    def all_values_at(self, tokens: IntArray, points: FloatArray) -> FloatArray:
        """Values in all rows, (n, d_o), of a token (n,) at each point (n, m)."""
        return np.stack([self.values_at(r, tokens, points) for r in range(len(self.values))], axis=1)

    def reach_of(self, tokens: IntArray, radius: FloatArray) -> FloatArray:
        """How far values may be from those at the centre of a box, (n, d_o), of a token (n,) with radius (n, m).

        Rounding: as many additions of products as entries, each rounded up; 0 where values are constant.
        """
        reach = np.zeros((len(tokens), len(self.values)))
        for r in range(len(self.values)):
            for part in self.parts_of(r, tokens, radius).values():
                reach[:, r] = up(reach[:, r] + up(np.abs(part)))
        return reach


@dataclass(frozen=True)
class SumHead(FloatHead):
    """A sum of heads. The tokens are those of all heads in turn, each with the softmax of its own head only, so only
    code that asks for `parts` may use keys, biases and values. `value_min` and `value_max` enclose what sums of values
    of one token of each head can be.
    """

    heads: tuple[FloatHead, ...] = ()

    @property
    def parts(self) -> tuple[FloatHead, ...]:
        """The heads."""
        return self.heads

    def of_row(self, r: int) -> SumHead:
        """The heads with one row of the values each."""
        return sum_of([head.of_row(r) for head in self.heads])


def sum_of(heads: Sequence[FloatHead]) -> SumHead:
    """The sum of heads. Rounding: sums of few numbers, each moved outward by a unit."""
    low, high = heads[0].value_min, heads[0].value_max
    for head in heads[1:]:
        low, high = down(low + head.value_min), up(high + head.value_max)
    return SumHead(
        keys=np.concatenate([head.keys for head in heads], axis=1),
        biases=np.concatenate([head.biases for head in heads]),
        values=np.concatenate([head.values for head in heads], axis=1),
        score_slack=max(head.score_slack for head in heads),
        value_slack=np.sum([head.value_slack for head in heads], axis=0),
        value_min=low,
        value_max=high,
        products=next((head.products for head in heads if head.products), {}),
        heads=tuple(heads),
    )


def round_head(head: ReducedHead, box: Box) -> FloatHead:
    """Round a reduced head to float64.

    Rounding argument. Let S bound sum_k |a_ik| |x_k| + |b_i| over tokens and the domain. Rounding the m + 1
    coefficients costs at most u S, and the m products and m additions of a score at most (m + 1) u S (1 + small), so
    one score errs by at most (m + 3) u S and a difference, rounded once more, by at most (2m + 8) u S. The radius
    term is at most 2 S and sums m products of rounded factors, relative error below (m + 4) u: another
    (2m + 8) u S. Adding it and the difference rounds twice more, 8 u S. Together (4m + 24) u S; the slack is 8 (m +
    4) u S, which also covers the second-order terms and the rounding of S itself. The least normal number covers
    underflow.

    With M products of entries S bounds sum_k |a_ik| |x_k| + sum |q_ijk| |x_j| |x_k| + |b_i|. On c + d, |d_k| <= r_k,
    with c -+ r in the domain, up to rounding, s_i is its value at c, of m + M + 1 terms with at most three roundings
    each, plus the slope a_ik + sum_j q_ijk c_j (q_ikk twice), of m + 2 such terms, times d_k, plus the q_ijk d_j d_k.
    A difference of two values errs by at most (2m + 2M + 10) u S. The slopes times the r_k add up to at most 2 S a
    token, the products of radii to S: their differences, sums of m + M terms with two more roundings each, err by at
    most 4 (2m + M + 8) u S and 2 (m + M + 4) u S. Adding the two parts, 2 S and 6 S, takes 16 u S. Together
    (12m + 8M + 66) u S; the slack is 16 (m + M + 5) u S.

    Values that depend on x are evaluated with no more operations than scores, at the centre and with a
    radius: the same slack, with S a bound on sum_k |g_ik| |x_k| + |u_i|, is theirs. Constant ones are rounded once.
    """
    n, m = head.tokens, len(head.keys)
    try:
        keys = np.stack([row_to_floats(row, n) for row in head.keys])
        biases = row_to_floats(head.biases, n)
        values = np.stack([row_to_floats(row, n) for row in head.values])
        slopes = {k: np.stack([row_to_floats(row, n) for row in rows]) for k, rows in head.slopes.items()}
        products = {pair: row_to_floats(row, n) for pair, row in head.products.items()}
        numbers = (keys, biases, values, *slopes.values(), *products.values())
        largest = max(float(np.max(np.abs(each))) for each in numbers)
    except OverflowError:
        largest = math.inf
    if not largest <= LARGEST:
        raise InvalidAttention(f"a score or value of the head is beyond {LARGEST:g}, too large for the verifier")
    reach = [max(abs(float_down(lo)), abs(float_up(hi))) for lo, hi in box.sides]
    size = float(np.max(np.abs(biases) + sum(np.abs(keys[k]) * reach[k] for k in range(m))))
    tiny = 2.0**-1060 * (m + 1 + sum(reach)) + 2.0**-1022
    score_slack = 8 * (m + 4) * UNIT * size * (1 + 2**-20) + tiny
    if products:
        bent = sum(np.abs(row) * (reach[j] * reach[k]) for (j, k), row in products.items())
        size = float(np.max(np.abs(biases) + sum(np.abs(keys[k]) * reach[k] for k in range(m)) + bent))
        if not size <= LARGEST:
            raise InvalidAttention(
                f"a score of the head is beyond {LARGEST:g} on the domain, too large for the verifier"
            )
        count = m + len(products)
        score_slack = 16 * (count + 5) * UNIT * size * (1 + 2**-20) + 2.0**-1058 * (count + 1 + (1 + sum(reach)) ** 2)
    slack = up(2 * UNIT * np.max(np.abs(values), axis=1)) * np.array(
        [0.0 if _is_float(row) else 1.0 for row in head.values]
    )
    low, high = values, values
    if slopes:
        ends = [(float_down(lo), float_up(hi)) for lo, hi in box.sides]
        terms = {k: np.stack([slope * end for end in ends[k]]) for k, slope in slopes.items()}
        low = values + sum(term.min(axis=0) for term in terms.values())
        high = values + sum(term.max(axis=0) for term in terms.values())
        sizes = np.max(np.abs(values) + sum(np.abs(term).max(axis=0) for term in terms.values()), axis=1)
        slack = up(8 * (m + 4) * UNIT * sizes * (1 + 2**-20) + tiny)
    return FloatHead(
        keys=keys,
        biases=biases,
        values=values,
        score_slack=score_slack,
        value_slack=slack,
        value_min=down(low.min(axis=1) - slack),
        value_max=up(high.max(axis=1) + slack),
        slopes=slopes,
        products=products,
    )


def _is_float(row: Row) -> bool:
    """Tell whether every entry of a row is a float64 exactly: then its rounding costs nothing."""
    entries = [row] if isinstance(row, Fraction) else row
    return all(entry == float(entry) for entry in entries)
