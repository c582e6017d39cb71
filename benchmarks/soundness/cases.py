"""Claims with known truth, two of a kind: one that holds by a margin and one that fails by it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import mpmath

from attncert.certificates.attention import Attention
from attncert.certificates.claim import Claim, SupError
from attncert.certificates.condition import parse_condition
from attncert.certificates.domain import Box
from attncert.certificates.numbers import mpf_to_fraction
from attncert.certificates.statement import Statement
from attncert.certificates.target import parse_target
from benchmarks.soundness.heads import Head, embedded

DIGITS = 100
"""Decimal digits of the computation of a largest error that is no rational number."""

KEPT = 50
"""Decimal digits of it that are kept: the others are dropped, which no margin notices."""

MARGINS = [Fraction(1, 10**k) for k in range(1, 7)]
"""Relative distances of a tolerance from the largest error."""


@dataclass(frozen=True)
class Case:
    """A claim, and whether it holds.

    `head` is the head in reduced form, where the claim is about the sup norm on a box. `worst` is a point of the domain
    at which the error is the largest, where there is one and it is known.
    """

    name: str
    family: str
    statement: Statement
    holds: bool
    margin: Fraction
    head: Head | None = None
    worst: tuple[Fraction, ...] | None = None


def decimals(value: mpmath.mpf) -> Fraction:
    """A decimal number within 10^-KEPT of a positive number, relatively; the value has DIGITS digits."""
    exact = mpf_to_fraction(value)
    scale = KEPT - int(mpmath.floor(mpmath.log10(value)))
    return Fraction(round(exact * Fraction(10) ** scale)) / Fraction(10) ** scale


def margin_of(k: int) -> Fraction:
    """The margins in turn."""
    return MARGINS[k % len(MARGINS)]


def pair(
    family: str, name: str, claims: tuple[Statement, Statement], margin: Fraction, **known: object
) -> Iterator[Case]:
    """The case of a claim that holds, and that of one that does not."""
    for statement, holds in zip(claims, (True, False), strict=True):
        yield Case(f"{name}-{'holds' if holds else 'fails'}", family, statement, holds, margin, **known)  # type: ignore[arg-type]


def claims_of(statement: Statement, above: Claim, below: Claim) -> tuple[Statement, Statement]:
    """One statement with two claims."""
    return replace(statement, claim=above), replace(statement, claim=below)


def errors_of(
    family: str,
    name: str,
    head: Head,
    differences: Sequence[str],
    largest: Fraction | mpmath.mpf,
    box: Box,
    margin: Fraction,
    *,
    conditions: Sequence[str] = (),
    worst: Sequence[Fraction] | None = None,
    attention: Attention | None = None,
    targets: Sequence[str] | str | None = None,
) -> Iterator[Case]:
    """Two claims about the sup norm of the error, of tolerances beside the largest one.

    The target is the head's own formula, plus a difference for each row of the output, unless `targets` gives it.
    """
    exact = largest if isinstance(largest, Fraction) else decimals(largest)
    if targets is None:
        targets = [f"{own} + {other}" for own, other in zip(head.formulas, differences, strict=True)]
    if not isinstance(targets, str):
        targets = targets[0] if len(targets) == 1 else f"[{', '.join(targets)}]"
    statement = Statement(
        parse_target(targets, head.space),
        box,
        embedded(head) if attention is None else attention,
        SupError(exact),
        tuple(parse_condition(condition, head.space) for condition in conditions),
    )
    claims = claims_of(statement, SupError(exact * (1 + margin)), SupError(exact * (1 - margin)))
    plain = head if not conditions and attention is None else None
    yield from pair(family, name, claims, margin, head=plain, worst=None if worst is None else tuple(worst))
