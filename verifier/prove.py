"""From a statement to evidence: each kind of claim has its search.

A bound found here is *verified*; only the kernel makes it *proved*.
"""

from __future__ import annotations

from collections.abc import Callable

from attncert.certificates.claim import Indicator, LpError, Partition, SupError
from attncert.certificates.deadline import NEVER, Deadline
from attncert.certificates.statement import Statement, require_searchable
from attncert.verifier import indicator, integers, prove_exact, prove_lp, prove_sup, regions
from attncert.verifier.boxes import Progress
from attncert.verifier.journal import Journal
from attncert.verifier.outcome import Outcome, columns_of

__all__ = ["Outcome", "verify"]


def verify(
    statement: Statement,
    *,
    deadline: Deadline = NEVER,
    max_boxes: int | None = None,
    jobs: int = 1,
    progress: Callable[[Progress], None] | None = None,
    estimate: float | None = None,
    memory: int | None = None,
    journal: Journal | None = None,
) -> Outcome:
    """Decide the claim of a statement, until the deadline, in at most `max_boxes` boxes where that is given.

    `estimate` is a hint: about how large the error is. `memory` bounds the bytes of the search, and `journal` records
    it, where it is one for a paving in float64. Raises InvalidAttention for heads outside the supported family.
    """
    claim = statement.claim
    if isinstance(claim, Partition):
        return regions.verify(statement, claim, deadline=deadline, progress=progress)
    require_searchable(statement.domain, claim.measure if isinstance(claim, Indicator) else claim.tolerance)
    match claim:
        case SupError():
            columns = columns_of(statement)
            if integers.needed(columns, claim.tolerance):
                return prove_exact.verify(
                    statement, columns, claim.tolerance, deadline=deadline, max_boxes=max_boxes, progress=progress
                )
            return prove_sup.verify(
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
        case LpError():
            return prove_lp.verify(
                statement, claim, deadline=deadline, max_boxes=max_boxes, progress=progress, memory=memory
            )
        case Indicator():
            return indicator.verify(
                statement, claim, deadline=deadline, max_boxes=max_boxes, progress=progress, memory=memory
            )
