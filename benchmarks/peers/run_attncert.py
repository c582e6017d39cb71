"""attncert: the whole verifier, and its search alone."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

from attncert.certificates.numbers import float_down
from attncert.certificates.statement import Statement
from attncert.verifier.outcome import columns_of, silence_for
from attncert.verifier.paving import PavingSearch
from attncert.verifier.prove import verify
from benchmarks.instances import statement_of
from benchmarks.peers.common import Job, serve

VERDICTS = {"verified": "proved"}


def search_seconds(statement: Statement, bound: Fraction) -> tuple[float, int]:
    """Seconds and boxes of the search for a paving, without reducing the head or looking for violations first.

    The one place that knows how the engine is called.
    """
    columns = columns_of(statement)
    silence = max(silence_for(column.head, bound) for column in columns)
    searches = [
        PavingSearch(
            statement.function,
            column.entries,
            column.head,
            statement.domain,
            bound=float_down(bound),
            silence=silence,
            conditions=statement.conditions,
        )
        for column in columns
    ]
    started = time.perf_counter()
    boxes = sum(search.run().boxes for search in searches)
    return time.perf_counter() - started, boxes


def prepare(job: Job) -> tuple[Job, Statement]:
    """The claim as a statement."""
    return job, statement_of(job.target, job.anchors, job.beta, job.values, job.tolerance)


def solve(prepared: tuple[Job, Statement]) -> dict[str, Any]:
    """Verify the statement; then time the search alone."""
    job, statement = prepared
    started = time.perf_counter()
    outcome = verify(statement)
    answer: dict[str, Any] = {
        "seconds": time.perf_counter() - started,
        "verdict": VERDICTS.get(outcome.verdict, outcome.verdict),
        "boxes": outcome.boxes,
        "error_lower": outcome.error_lower,
    }
    started = time.perf_counter()
    if outcome.verdict == "verified":
        answer["search"], answer["search_boxes"] = search_seconds(statement, Fraction(job.tolerance))
    answer["besides"] = time.perf_counter() - started
    return answer


if __name__ == "__main__":
    serve(solve, prepare)
