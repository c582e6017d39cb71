"""Claims about the sup norm whose tolerance is beyond float64: the search on integers, from sampling to evidence."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from fractions import Fraction

from attncert.certificates.deadline import NEVER, Deadline
from attncert.certificates.evidence import Counterexample, Evidence
from attncert.certificates.numbers import float_down, float_up
from attncert.certificates.statement import Statement
from attncert.verifier import kernel
from attncert.verifier.boxes import Progress
from attncert.verifier.integers import ExactClaim, Worst
from attncert.verifier.outcome import Column, Outcome, Verdict, violation
from attncert.verifier.prove_sup import bounds_to_try


def verify(
    statement: Statement,
    columns: Sequence[Column],
    tolerance: Fraction,
    *,
    deadline: Deadline = NEVER,
    max_boxes: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    extra_bits: int = 0,
) -> Outcome:
    """Decide |f - T| <= tolerance; see prove.verify. `extra_bits` are added to those that the tolerance needs."""
    started = time.monotonic()
    worst, boxes, interrupted, why = Worst(Fraction(0), (), (0, 0)), 0, False, "stopped before the search began"

    def outcome(verdict: Verdict, evidence: Evidence | None, upper: float, detail: str) -> Outcome:
        return Outcome(
            verdict,
            evidence,
            float_down(worst.error),
            upper,
            columns[0].head.tokens,
            boxes,
            time.monotonic() - started,
            detail,
            interrupted=interrupted,
        )

    try:
        claim = ExactClaim(statement, columns)
    except kernel.Rejected as rejection:
        return outcome("undecided", None, math.inf, f"too large for the checker: {rejection}")
    bits = claim.precision(tolerance) + extra_bits
    worst = claim.largest(bits, deadline)
    for bound in sorted(bounds_to_try(tolerance, float_up(worst.error))):
        if worst.error > tolerance:
            break
        found = claim.search(bound, deadline=deadline, max_boxes=max_boxes, progress=progress, extra_bits=extra_bits)
        boxes += found.boxes
        interrupted = found.interrupted
        if found.worst.error > worst.error:
            worst = found.worst
        if found.evidence is not None:
            leaves = found.evidence.leaves
            detail = f"{leaves} boxes cover the domain, at {found.evidence.precision} bits"
            return outcome("verified", found.evidence, float_up(bound), detail)
        why = f"{found.status} after {found.boxes} boxes at {bits} bits, before the proof was complete"
        if interrupted:
            break
    if worst.error > tolerance:
        evidence = Counterexample(worst.point, worst.entry, bits)
        return outcome("refuted", evidence, math.inf, violation(statement, float(worst.error), worst.point))
    return outcome("undecided", None, math.inf, why)
