"""Scores without what is common to all tokens.

A softmax depends on differences of scores only. Where the coefficients of an entry of the input are large beside their
differences, float64 would round these away: the coefficient of the first token is then taken off all, exactly.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from attncert.certificates.matrix import Row, row_is_zero
from attncert.verifier.reduction import ReducedHead

LARGE = 1024
"""How many times the greatest difference of coefficients the first one may be before it is taken off."""


def centred(head: ReducedHead) -> ReducedHead:
    """The same head, without large numbers that all its tokens have in common."""
    products = {pair: _centred(row) for pair, row in head.products.items()}
    return replace(
        head,
        keys=tuple(map(_centred, head.keys)),
        biases=_centred(head.biases),
        products={pair: row for pair, row in products.items() if not row_is_zero(row)},
    )


def _centred(row: Row) -> Row:
    """The row, or the differences to its first number where they are small beside that."""
    if isinstance(row, Fraction):
        return Fraction(0)
    first = row[0]
    if abs(first) <= LARGE * max(max(row) - first, first - min(row)):
        return row
    return [number - first for number in row]
