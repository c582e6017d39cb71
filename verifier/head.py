"""A reduced head in float64, with what rounding it has cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from attncert.certificates.domain import Box
from attncert.certificates.errors import InvalidAttention
from attncert.certificates.interval import down, up
from attncert.certificates.matrix import Row, row_to_floats
from attncert.certificates.numbers import float_down, float_up
from attncert.verifier.reduction import ReducedHead

FloatArray = npt.NDArray[np.float64]

LARGEST = 1e300
"""Numbers of a head up to this size can be verified: their products are far from overflow."""

UNIT = 2.0**-53
"""The unit roundoff u of float64."""


@dataclass(frozen=True)
class FloatHead:
    """Scores and values rounded to nearest, with bounds that hold on the whole domain.

    keys (m, N), biases (N,), values (d_o, N) are float64. For every x in the domain and all tokens i, k the scores
    differ by s_i - s_k, and `score_slack` bounds the error of any evaluation of that difference plus a radius term
    sum_j |a_ij - a_kj| r_j in float64 (see `round_head`). `value_slack` (d_o,) bounds |v_i - values_i|;
    `value_min`, `value_max` (d_o,) enclose all exact values.
    """

    keys: FloatArray
    biases: FloatArray
    values: FloatArray
    score_slack: float
    value_slack: FloatArray
    value_min: FloatArray
    value_max: FloatArray

    @property
    def tokens(self) -> int:
        """The number N of tokens."""
        return int(self.biases.shape[0])


def round_head(head: ReducedHead, box: Box) -> FloatHead:
    """Round a reduced head to float64.

    Rounding argument. Let S bound sum_k |a_ik| |x_k| + |b_i| over tokens and the domain. Rounding the m + 1
    coefficients costs at most u S, and the m products and m additions of a score at most (m + 1) u S (1 + small), so
    one score errs by at most (m + 3) u S and a difference, rounded once more, by at most (2m + 8) u S. The radius
    term is at most 2 S and sums m products of rounded factors, relative error below (m + 4) u: another
    (2m + 8) u S. Adding it and the difference rounds twice more, 8 u S. Together (4m + 24) u S; the slack is 8 (m +
    4) u S, which also covers the second-order terms and the rounding of S itself. The least normal number covers
    underflow.
    """
    n, m = head.tokens, len(head.keys)
    try:
        keys = np.stack([row_to_floats(row, n) for row in head.keys])
        biases = row_to_floats(head.biases, n)
        values = np.stack([row_to_floats(row, n) for row in head.values])
        largest = max(float(np.max(np.abs(numbers))) for numbers in (keys, biases, values))
    except OverflowError:
        largest = math.inf
    if not largest <= LARGEST:
        raise InvalidAttention(f"a score or value of the head is beyond {LARGEST:g}, too large for the verifier")
    reach = [max(abs(float_down(lo)), abs(float_up(hi))) for lo, hi in box.sides]
    size = float(np.max(np.abs(biases) + sum(np.abs(keys[k]) * reach[k] for k in range(m))))
    slack = up(2 * UNIT * np.max(np.abs(values), axis=1)) * np.array(
        [0.0 if _is_float(row) else 1.0 for row in head.values]
    )
    return FloatHead(
        keys=keys,
        biases=biases,
        values=values,
        score_slack=8 * (m + 4) * UNIT * size * (1 + 2**-20) + 2.0**-1060 * (m + 1 + sum(reach)) + 2.0**-1022,
        value_slack=slack,
        value_min=down(values.min(axis=1) - slack),
        value_max=up(values.max(axis=1) + slack),
    )


def _is_float(row: Row) -> bool:
    """Tell whether every entry of a row is a float64 exactly: then its rounding costs nothing."""
    entries = [row] if isinstance(row, Fraction) else row
    return all(entry == float(entry) for entry in entries)
