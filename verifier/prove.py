"""From a statement to evidence: each kind of claim has its search.

A bound found here is *verified*; only the kernel makes it *proved*.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from attncert.certificates.claim import Claim, Indicator, LpError, Partition, SupError
from attncert.certificates.deadline import NEVER, Deadline
from attncert.certificates.errors import InputError
from attncert.certificates.statement import Statement, require_searchable
from attncert.verifier import enlarged, indicator, integers, prove_exact, prove_lp, prove_sup, regions
from attncert.verifier.agreement import together
from attncert.verifier.boxes import Progress
from attncert.verifier.journal import Journal
from attncert.verifier.outcome import Column, Outcome, columns_of
from attncert.verifier.reduction import reduce_head

__all__ = ["PROOFS", "Outcome", "require_proof", "verify"]

PROOFS = ("paving", "regions", "both")
"""How a claim about the sup norm can be proved. Each other claim has one kind of proof."""

MORE = 2_000
"""Boxes in which integers may decide what float64 could not."""


def require_proof(proof: str, claim: Claim) -> None:
    """Raise InputError unless there is such a proof of such a claim."""
    if proof not in PROOFS:
        raise InputError(f"unknown proof {proof!r}; this version knows: {', '.join(PROOFS)}")
    if proof != "paving" and not isinstance(claim, SupError):
        raise InputError(f"the proof {proof!r} is for errors in the sup norm only")


def verify(
    statement: Statement,
    *,
    proof: str = "paving",
    deadline: Deadline = NEVER,
    max_boxes: int | None = None,
    jobs: int = 1,
    progress: Callable[[Progress], None] | None = None,
    estimate: float | None = None,
    memory: int | None = None,
    journal: Journal | None = None,
) -> Outcome:
    """Decide the claim of a statement, until the deadline, in at most `max_boxes` boxes where that is given.

    `proof` is one of PROOFS. `estimate` is a hint: about how large the error is. `memory` bounds the bytes of the
    search, and `journal` records it, where it is one for a paving in float64. Raises InvalidAttention for heads outside
    the supported family, InputError for a proof that does not fit the claim, Contradiction for proofs that disagree.
    """
    claim = statement.claim
    require_proof(proof, claim)
    if isinstance(claim, Partition):
        return regions.verify(statement, claim, deadline=deadline, progress=progress)
    require_searchable(statement.domain, claim.measure if isinstance(claim, Indicator) else claim.tolerance)
    match claim:
        case SupError():
            columns = columns_of(statement, sums=proof == "paving")
            if proof != "paving":
                reduce_head(statement.attention)
            if proof == "regions":
                return _by_regions(statement, columns, claim, deadline, max_boxes, progress)
            if integers.needed(columns, claim.tolerance):
                paving = prove_exact.verify(
                    statement, columns, claim.tolerance, deadline=deadline, max_boxes=max_boxes, progress=progress
                )
            else:
                paving = prove_sup.verify(
                    statement,
                    columns,
                    deadline=deadline,
                    max_boxes=max_boxes,
                    jobs=jobs,
                    progress=progress,
                    estimate=estimate,
                    memory=memory,
                    journal=journal,
                )
                if paving.coarse:
                    paving = _with_more_digits(statement, columns, claim, paving, deadline, max_boxes, progress)
            if proof == "paving" or paving.interrupted:
                return paving
            return together(paving, _by_regions(statement, columns, claim, deadline, max_boxes, progress))
        case LpError():
            return prove_lp.verify(
                statement, claim, deadline=deadline, max_boxes=max_boxes, progress=progress, memory=memory
            )
        case Indicator():
            return indicator.verify(
                statement, claim, deadline=deadline, max_boxes=max_boxes, progress=progress, memory=memory
            )


def _with_more_digits(
    statement: Statement,
    columns: list[Column],
    claim: SupError,
    before: Outcome,
    deadline: Deadline,
    max_boxes: int | None,
    progress: Callable[[Progress], None] | None,
) -> Outcome:
    """What integers of any length say where float64 ended without an answer; if no more, that answer."""
    steepest = max(float(np.max(np.abs(column.head.keys))) for column in columns)
    outcome = prove_exact.verify(
        statement,
        columns,
        claim.tolerance,
        deadline=deadline,
        max_boxes=min(MORE, max_boxes or MORE),
        progress=progress,
        extra_bits=math.ceil(math.log2(1 + steepest)),  # boxes become narrow where scores are steep
    )
    if outcome.verdict == "undecided":
        return replace(before, interrupted=outcome.interrupted)
    return replace(outcome, boxes=before.boxes + outcome.boxes, seconds=before.seconds + outcome.seconds)


def _by_regions(
    statement: Statement,
    columns: list[Column],
    claim: SupError,
    deadline: Deadline,
    max_boxes: int | None,
    progress: Callable[[Progress], None] | None,
) -> Outcome:
    if integers.needed(columns, claim.tolerance):
        detail = "the search by regions works in float64, which does not reach this tolerance"
        return Outcome("undecided", None, 0.0, math.inf, columns[0].head.tokens, 0, 0.0, detail)
    return enlarged.verify(statement, columns, deadline=deadline, max_boxes=max_boxes, progress=progress)
