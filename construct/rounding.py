"""Weights in a format that hardware holds: every entry of every matrix of a head rounded to float64 or float32.

The rounded head is another head, and it is the rounded one that is certified. Numbers are rounded to nearest, ties to
even (IEEE 754, section 4.3.1), from the exact rational in one step: never through a wider format first. Magnitudes
below the least normal number are rounded to a multiple of the least subnormal one, so that tiny ones become 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from attncert.certificates.attention import Attention, SelfAttention
from attncert.certificates.errors import InputError, TooLarge
from attncert.certificates.matrix import DenseMatrix, Matrix, Row
from attncert.construct.uniform import Candidate


@dataclass(frozen=True)
class Format:
    """A binary floating-point format: bits of the significand, and the exponents of the least and greatest numbers.

    Numbers are multiples of 2^least with at most `bits` significant bits, below 2^top.
    """

    name: str
    bits: int
    least: int
    top: int

    def nearest(self, x: Fraction) -> Fraction:
        """The number of the format nearest to x, ties to even; raises TooLarge where that would be an infinity."""
        if x == 0:
            return x
        size = abs(x)
        leading = size.numerator.bit_length() - size.denominator.bit_length()
        if size < Fraction(2) ** leading:
            leading -= 1  # now 2^leading <= |x| < 2^(leading + 1)
        unit = Fraction(2) ** max(leading + 1 - self.bits, self.least)
        rounded = round(x / unit) * unit
        if abs(rounded) >= Fraction(2) ** self.top:
            raise TooLarge(f"a weight of about 2^{leading} does not fit into {self.name}, which ends at 2^{self.top}")
        return rounded


FORMATS = {
    "float64": Format("float64", 53, -1074, 1024),
    "float32": Format("float32", 24, -149, 128),
}


def format_named(name: str) -> Format:
    """The format of that name; raises InputError for another."""
    if name not in FORMATS:
        raise InputError(f"unknown dtype {name!r}; this version knows: {', '.join(FORMATS)}")
    return FORMATS[name]


def rounded_head(head: Attention, number: Format) -> Attention:
    """The head with every entry of every matrix rounded to the format. Raises TooLarge for what does not fit."""
    known: dict[Fraction, Fraction] = {}

    def entry(x: Fraction) -> Fraction:
        if x not in known:
            known[x] = number.nearest(x)
        return known[x]

    def row(x: Row) -> Row:
        return entry(x) if isinstance(x, Fraction) else [entry(each) for each in x]

    def matrix(x: Matrix) -> Matrix:
        if isinstance(x, DenseMatrix):
            return DenseMatrix(x.shape, tuple(map(row, x.rows)))
        return replace(x, entries={place: entry(each) for place, each in x.entries.items()})

    weights: dict[str, Any] = {
        "W_K": matrix(head.W_K),
        "W_Q": matrix(head.W_Q),
        "W_V": matrix(head.W_V),
        "W_O": matrix(head.W_O),
    }
    if isinstance(head, SelfAttention):
        linear = tuple((matrix(P), matrix(Q)) for P, Q in head.linear)
        return replace(head, linear=linear, R=matrix(head.R), **weights)
    return replace(
        head,
        linear_K=tuple((matrix(P), matrix(Q)) for P, Q in head.linear_K),
        R_K=matrix(head.R_K),
        linear_Q=tuple((matrix(P), matrix(Q)) for P, Q in head.linear_Q),
        R_Q=matrix(head.R_Q),
        **weights,
    )


def rounded_candidates(candidates: Iterator[Candidate], number: Format) -> Iterator[Candidate]:
    """The candidates with their weights rounded; what was sampled of them before is still the expectation."""
    for candidate in candidates:
        head = rounded_head(candidate.attention, number)
        yield replace(candidate, attention=head, notes={**candidate.notes, "dtype": number.name})
