"""Claims about the sup norm: look for a violation, search for a paving, report the best bounds.

A bound found here is *verified*; only the kernel makes it *proved*.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

import numpy as np

from attncert.certificates.claim import SupError
from attncert.certificates.condition import satisfied
from attncert.certificates.deadline import NEVER, Deadline
from attncert.certificates.evidence import Counterexample, Evidence, Paving
from attncert.certificates.numbers import float_down, float_up
from attncert.certificates.statement import Statement
from attncert.verifier.boxes import Progress
from attncert.verifier.head import SumHead
from attncert.verifier.integers import ExactClaim
from attncert.verifier.journal import Journal, Plan, SearchName
from attncert.verifier.kernel import Rejected
from attncert.verifier.outcome import Column, Outcome, Verdict, kernel_precision, silence_for, violation
from attncert.verifier.paving import PavingSearch, Search
from attncert.verifier.point import CLIMBERS, climb, estimate_errors, exact_point, proved_error, sample_points
from attncert.verifier.sums import SumSearch

TIGHTER = 1.03
"""A bound this much above the largest error seen is tried too, where that is much smaller than the tolerance."""

FAR_BELOW = 0.01
"""Bounds below this part of the tolerance, near which float64 may end, are tried after it,"""

STRETCH = (2_000, 20)
"""in so many boxes, and so many for each that the tolerance took."""


@dataclass(frozen=True)
class Worst:
    """The largest error estimate, and where."""

    error: float
    point: tuple[float, ...]
    column: int
    row: int


def verify(
    statement: Statement,
    columns: list[Column],
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

    `estimate` is a hint: about how large the error is; a bound just above it is tried first, so that evidence can say
    more than the claim asks for. `memory` bounds the bytes of a search (see PavingSearch.run). A journal records the
    search; one that was resumed says where to go on. Raises InvalidJournal for a journal of another search.
    """
    started = time.monotonic()
    tolerance = _tolerance(statement)
    plan = None if journal is None else journal.plan
    worst = sample(statement, columns) if plan is None else Worst(plan.error, plan.point, plan.column, plan.row)
    boxes = 0
    if worst.error > float_up(tolerance):
        refutation = _refute(statement, columns, worst, boxes, started)
        if refutation is not None:
            return refutation
    bounds = bounds_to_try(tolerance, max(worst.error, estimate or 0.0)) if plan is None else list(plan.bounds)
    if journal is not None and plan is None:
        journal.plan = Plan(tuple(bounds), worst.error, worst.point, worst.column, worst.row)
    proved: Outcome | None = None
    for bound in bounds:
        cap = max_boxes
        if proved is not None:
            cap = STRETCH[0] + STRETCH[1] * proved.boxes
        elif bound != bounds[-1] and bound < tolerance:
            cap = min(max_boxes or 1 << 60, 200_000 + 20 * columns[0].head.tokens)
        told = _telling(progress, boxes, worst.error)
        paving, searches = pave(statement, columns, bound, deadline, cap, jobs, told, memory=memory, journal=journal)
        boxes += sum(search.boxes for search in searches)
        worst = max([worst, *worst_of(columns, searches)], key=lambda found: found.error)
        if paving is not None:
            lower = proved_lower(statement, columns, worst)
            detail = f"{paving.leaves} boxes cover the domain"
            proved = _outcome("verified", paving, lower, float_up(bound), columns, boxes, started, detail)
            if bound == bounds[-1] or bound < tolerance:
                return proved
            continue
        if proved is not None:
            return replace(proved, error_lower=proved_lower(statement, columns, worst), boxes=boxes)
        if bound == tolerance or worst.error > float_up(tolerance) or searches[-1].cause in ("interrupt", "deadline"):
            break
    if worst.error > float_down(tolerance):
        refutation = _refute(statement, columns, worst, boxes, started)
        if refutation is not None:
            return refutation
    lower = proved_lower(statement, columns, worst)
    upper = max(search.upper for search in searches) if len(searches) == len(columns) else math.inf
    undecided = _outcome("undecided", None, lower, upper, columns, boxes, started, _why(searches[-1]))
    coarse = searches[-1].status in ("stuck", "violated")
    return replace(undecided, interrupted=searches[-1].interrupted, resumable=searches[-1].resumable, coarse=coarse)


def _tolerance(statement: Statement) -> Fraction:
    assert isinstance(statement.claim, SupError)
    return statement.claim.tolerance


def bounds_to_try(tolerance: Fraction, estimate: float) -> list[Fraction]:
    """The tolerance, and a three-digit bound a little above the estimate, where that says much more.

    The bound comes first: where it is proved the tolerance is too. Far below the tolerance it comes last.
    """
    tight = TIGHTER * estimate
    if not 0 < tight < 0.9 * float_down(tolerance):
        return [tolerance]
    digits = Fraction(10) ** (math.floor(math.log10(tight)) - 2)
    bounds = [math.ceil(Fraction(tight) / digits) * digits, tolerance]
    return bounds if tight > FAR_BELOW * float_down(tolerance) else bounds[::-1]


def pave(
    statement: Statement,
    columns: list[Column],
    bound: Fraction,
    deadline: Deadline,
    max_boxes: int | None,
    jobs: int,
    progress: Callable[[Progress], None] | None,
    bits: int = 0,
    *,
    memory: int | None = None,
    journal: Journal | None = None,
) -> tuple[Paving | None, list[Search]]:
    """Search a paving for every column; stop at the first that has none. `bits` more make tokens silent."""
    searches: list[Search] = []
    trees: list[str] = []
    silence = max(silence_for(column.head, bound) for column in columns) + bits
    for column in columns:
        paving = _search(statement, column, float_down(bound), silence)
        name = SearchName(bound, column.number, silence, paving.order)
        told = _telling(progress, sum(search.boxes for search in searches))
        run = partial(paving.run, deadline=deadline, max_boxes=max_boxes, jobs=jobs, progress=told, memory=memory)
        search, tree = _recorded(journal, name, paving, run) if journal is not None else _with_tree(run())
        searches.append(search)
        trees.append(tree)
        if search.status != "proved":
            return None, searches
    return Paving(bound, kernel_precision(statement, columns, bound), silence, tuple(trees)), searches


def _search(statement: Statement, column: Column, bound: float, silence: int) -> PavingSearch:
    """The search for a column, whose head may be a sum."""
    target, box, given = statement.function, statement.domain, statement.conditions
    if isinstance(column.head, SumHead):
        return SumSearch(target, column.entries, column.head, box, bound=bound, silence=silence, conditions=given)
    return PavingSearch(target, column.entries, column.head, box, bound=bound, silence=silence, conditions=given)


def _with_tree(search: Search) -> tuple[Search, str]:
    """The search, and its tree where it is part of a proof."""
    return search, search.tree.preorder() if search.status == "proved" else ""


def _recorded(
    journal: Journal, name: SearchName, paving: PavingSearch, run: Callable[..., Search]
) -> tuple[Search, str]:
    """The search and its tree, from the journal if they are there, else recorded in it."""
    ended = journal.ended(name)
    if ended is not None:
        return ended
    search, tree = _with_tree(run(begun=journal.running(name, paving), save=partial(journal.save, name)))
    if not search.resumable:
        journal.finish(name, search, tree)
    return search, tree


def _telling(
    progress: Callable[[Progress], None] | None, boxes: int, worst: float = 0.0
) -> Callable[[Progress], None] | None:
    """Progress reports that count in the boxes and the largest error of earlier searches."""
    if progress is None:
        return None
    return lambda now: progress(replace(now, boxes=boxes + now.boxes, worst=max(worst, now.worst or 0.0)))


def sample(statement: Statement, columns: list[Column]) -> Worst:
    """The largest error found by sampling and climbing from the best samples."""
    points = sample_points(statement.domain, columns[0].head.tokens)
    worst = Worst(0.0, tuple(points[0].tolist()), 0, 0)
    for column in columns:
        errors = estimate_errors(statement.function, column.entries, column.head, points, statement.conditions)
        for row, entry in enumerate(column.entries):
            starts = points[np.argsort(-errors[:, row], kind="stable")[:CLIMBERS]]
            error, point = climb(
                statement.function, entry, row, column.head, statement.domain, starts, statement.conditions
            )
            if error > worst.error:
                worst = Worst(error, point, column.number, row)
    return worst


def worst_of(columns: list[Column], searches: list[Search]) -> list[Worst]:
    """The largest errors that the searches have seen."""
    return [
        Worst(search.worst, search.worst_point, column.number, column.entries.index(search.worst_entry))
        for column, search in zip(columns, searches, strict=False)
        if search.worst_point is not None
    ]


def proved_lower(statement: Statement, columns: list[Column], worst: Worst) -> float:
    """A proved lower bound on the error at the worst point; 0 outside the domain."""
    column = columns[worst.column]
    point = exact_point(worst.point, statement.domain)
    if not satisfied(statement.conditions, point):
        return 0.0
    return proved_error(statement.function, column.entries[worst.row], worst.row, column.head, point)


def _refute(statement: Statement, columns: list[Column], worst: Worst, boxes: int, started: float) -> Outcome | None:
    """The refutation at the worst point, if the violation is proved there; the error elsewhere may be larger."""
    lower = proved_lower(statement, columns, worst)
    tolerance = _tolerance(statement)
    point = exact_point(worst.point, statement.domain)
    precision = kernel_precision(statement, columns, tolerance) + 64
    if not lower > float_up(tolerance):
        proved = _with_digits(statement, columns, worst, point, precision)
        if proved is None:
            return None
        lower = proved
    evidence = Counterexample(point, (worst.row, worst.column), precision)
    detail = violation(statement, lower, point)
    return _outcome("refuted", evidence, lower, math.inf, columns, boxes, started, detail)


def _with_digits(
    statement: Statement, columns: list[Column], worst: Worst, point: tuple[Fraction, ...], precision: int
) -> float | None:
    """A lower bound on the error at the worst point by integers, where it exceeds the tolerance by less than float64
    can prove; None if they do not prove it either.
    """
    try:
        error = ExactClaim(statement, columns).error(point, (worst.row, worst.column), precision)
    except Rejected:
        return None
    return float_down(error) if error > _tolerance(statement) else None


def _outcome(
    verdict: Verdict,
    evidence: Evidence | None,
    lower: float,
    upper: float,
    columns: list[Column],
    boxes: int,
    started: float,
    detail: str,
) -> Outcome:
    tokens, seconds = columns[0].head.tokens, time.monotonic() - started
    return Outcome(verdict, evidence, lower, upper, tokens, boxes, seconds, detail)


def _why(search: Search) -> str:
    match search.status:
        case "stopped" if search.cause == "memory":
            return f"stopped at the memory cap after {search.boxes} boxes, before the proof was complete"
        case "stopped":
            return f"stopped after {search.boxes} boxes, before the proof was complete"
        case "stuck":
            sides = " x ".join(f"[{lo:.9g}, {hi:.9g}]" for lo, hi in search.stuck_at or ())
            return f"the box {sides} could not be proved, and is too small to be split again"
        case _:
            return "a violation showed in float64 but could not be proved there"
