"""The values of a head's tokens: affine functions of the input, read off the matrices, and how large they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from attncert.certificates.attention import Attention
from attncert.certificates.domain import Box
from attncert.certificates.matrix import ZERO, Row, add_rows, row_entry, scale_row


@dataclass(frozen=True)
class Values:
    """One row of values, u_i + g_i . x: the u_i, and for each input entry that they depend on the g_ik."""

    constants: Row
    slopes: Mapping[int, Row]

    def largest(self, tokens: int, box: Box) -> Fraction:
        """The largest |u_i + g_i . x| over the tokens and the box, exactly."""
        centres = {k: sum(box.sides[k], ZERO) / 2 for k in self.slopes}
        halves = {k: (box.sides[k][1] - box.sides[k][0]) / 2 for k in self.slopes}
        most = ZERO
        for i in range(tokens):
            slopes = {k: row_entry(row, i) for k, row in self.slopes.items()}
            middle = row_entry(self.constants, i) + sum((g * centres[k] for k, g in slopes.items()), ZERO)
            most = max(most, abs(middle) + sum((abs(g) * halves[k] for k, g in slopes.items()), ZERO))
        return most


def values_of(head: Attention) -> list[Values]:
    """The rows of W_V Z, exactly."""
    side = head.keys_side
    n = side.shape[1]
    found = []
    for r in range(head.W_V.shape[0]):
        weights = dict(head.W_V.row_items(r))
        constants: Row = ZERO
        slopes: dict[int, Row] = {}
        for row, weight in weights.items():
            constants = add_rows(constants, scale_row(weight, side.R.row(row)))
        for P, Q in side.linear:
            for row in weights.keys() & set(range(P.shape[0])):
                for a, entry in P.row_items(row):
                    for b in range(n):
                        k = side.offset + a * n + b
                        slopes[k] = add_rows(slopes.get(k, ZERO), scale_row(weights[row] * entry, Q.row(b)))
        found.append(Values(constants, slopes))
    return found


def largest_value(head: Attention, box: Box) -> Fraction:
    """The largest value of a token in absolute terms, over the box."""
    rows: Sequence[Values] = values_of(head)
    return max((row.largest(head.tokens, box) for row in rows), default=ZERO)
