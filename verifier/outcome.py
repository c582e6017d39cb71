"""What all proofs share: the outcome, the output columns, and how much work a checker needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from attncert.certificates.attention import SumAttention
from attncert.certificates.evidence import Evidence
from attncert.certificates.numbers import float_up
from attncert.certificates.statement import Statement
from attncert.verifier.centring import centred
from attncert.verifier.head import FloatHead, round_head, sum_of
from attncert.verifier.reduction import reduce_general, single_head

Verdict = Literal["verified", "refuted", "undecided"]


@dataclass(frozen=True)
class Outcome:
    """What the verifier found. `error_upper` is inf where nothing is known; `point` belongs to a violation.

    For a claim of kind `indicator` the two bounds are on the measure of the layer. `resumable`: the search would have
    gone on, but for an interrupt, the time or the memory. `coarse`: more digits may decide what float64 did not.
    """

    verdict: Verdict
    evidence: Evidence | None
    error_lower: float
    error_upper: float
    tokens: int
    boxes: int
    seconds: float
    detail: str
    interrupted: bool = False
    resumable: bool = False
    coarse: bool = False


@dataclass(frozen=True)
class Column:
    """One output column: its head, and the row-major places of its entries in the target."""

    number: int
    head: FloatHead
    entries: tuple[int, ...]


def columns_of(statement: Statement, *, sums: bool = False) -> list[Column]:
    """The output columns of a statement; raises InvalidAttention for heads outside the supported family.

    Sums of heads belong to it where `sums` is set: the head of a column may then be a SumHead.
    """
    n_d, n_o = statement.attention.output_shape
    outputs = range(n_d * n_o)
    attention = statement.attention if sums else single_head(statement.attention)
    singles = attention.heads if isinstance(attention, SumAttention) else (attention,)
    reduced = [[round_head(centred(head), statement.domain) for head in reduce_general(each)] for each in singles]
    return [
        Column(j, heads[0] if len(singles) == 1 and attention is singles[0] else sum_of(heads), tuple(outputs[j::n_o]))
        for j, heads in enumerate(zip(*reduced, strict=True))
    ]


def violation(statement: Statement, error: float, point: Sequence[Fraction]) -> str:
    """What is proved of the error at a point, for people."""
    space = statement.function.space
    where = ", ".join(f"{space.variable_name(k)} = {float(x):.9g}" for k, x in enumerate(point))
    return f"the error is at least {error:.6g} at {where}"


def silence_for(head: FloatHead, bound: Fraction) -> int:
    """Bits k such that all silent tokens together cost about 2^-14 of the bound."""
    spread = float(np.max(head.value_max - head.value_min)) + float(bound)
    return max(16, math.ceil(math.log2(head.tokens) + math.log2(spread) - math.log2(bound))) + 14


def kernel_precision(statement: Statement, columns: Sequence[Column], bound: Fraction) -> int:
    """Fractional bits that make a fixed-point checker's rounding negligible beside the margin left for it."""
    reach = max(float_up(max(abs(lo), abs(hi))) for lo, hi in statement.domain.sides)
    values = max(column.head.size for column in columns)
    degree = 2 if any(column.head.products for column in columns) else 1
    scale = degree * math.log2(2 + reach) + math.log2(2 + values) + math.log2(columns[0].head.tokens + 1)
    return 64 + math.ceil(scale) + max(0, math.ceil(-math.log2(bound)))
