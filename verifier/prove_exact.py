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
from attncert.verifier.boxes import Progress
from attncert.verifier.integers import ExactClaim, Worst
from attncert.verifier.outcome import Column, Outcome, Verdict
from attncert.verifier.prove_sup import bounds_to_try


def verify(
    statement: Statement,
    columns: Sequence[Column],
    tolerance: Fraction,
    *,
    deadline: Deadline = NEVER,
    max_boxes: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Decide |f - T| <= tolerance; see prove.verify."""
    started = time.monotonic()
    claim = ExactClaim(statement, columns)
    bits = claim.precision(tolerance)
    worst = claim.largest(bits, deadline)
    boxes, interrupted, why = 0, False, "stopped before the search began"

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

    for bound in bounds_to_try(tolerance, float_up(worst.error)):
        if worst.error > tolerance:
            break
        found = claim.search(bound, deadline=deadline, max_boxes=max_boxes, progress=progress)
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
        return outcome("refuted", _witness(worst, bits), math.inf, _words(statement, worst))
    return outcome("undecided", None, math.inf, why)


def _witness(worst: Worst, bits: int) -> Counterexample:
    return Counterexample(worst.point, worst.entry, bits)


def _words(statement: Statement, worst: Worst) -> str:
    space = statement.function.space
    where = ", ".join(f"{space.variable_name(k)} = {float(x):.9g}" for k, x in enumerate(worst.point))
    return f"the error is at least {float(worst.error):.6g} at {where}"
