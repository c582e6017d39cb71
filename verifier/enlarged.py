"""Claims about the sup norm by enlarged regions: the paper's own proof, made finite (docs/theory.md, section 14).

With R_i = {x in D : s_i(x) >= s_k(x) - kappa for all k}, N tokens and osc the spread of the values of an entry,

    |f - v_i| <= delta on R_i for every i    implies    |f - T| <= delta + (N - 1) e^-kappa osc  on D.

Linear programs and Z3 bound each polytope R_i, intervals bound f on its bounding box, less what rivals take of it. This
can only prove: a head that is too soft for it may still satisfy its claim.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from attncert.certificates.claim import SupError
from attncert.certificates.condition import estimate_inside
from attncert.certificates.deadline import NEVER, Deadline, OutOfTime
from attncert.certificates.domain import Box
from attncert.certificates.evaluate import evaluate_float
from attncert.certificates.evidence import Enlarged, TokenProof
from attncert.certificates.numbers import float_down, float_up
from attncert.certificates.statement import Statement
from attncert.verifier.boxes import Progress
from attncert.verifier.cells import Cells, cells_of
from attncert.verifier.farkas import round_to
from attncert.verifier.forest import ForestSearch
from attncert.verifier.head import FloatArray
from attncert.verifier.lattice import guesses
from attncert.verifier.opinion import Opinion, Opinions
from attncert.verifier.outcome import Column, Outcome, Verdict, kernel_precision
from attncert.verifier.point import sample_points
from attncert.verifier.polytopes import Polytope, confirm, enlarged, polytope_of
from attncert.verifier.prove_sup import proved_lower, sample
from attncert.verifier.reduction import reduce_head
from attncert.verifier.solver import Solver

LEAKS = (0.5, 2.0**-3, 2.0**-5, 2.0**-7, 2.0**-10, 2.0**-16, 2.0**-24)
"""Parts of the bound that the tokens beyond kappa may take, among which kappa is chosen."""

TRIES = 3
"""Choices of kappa that are tried, the one that leaves the most room first."""

WORK = 1 << 20
"""Points times tokens whose scores are computed at once."""

CLIMBERS, ROUNDS = 16, 60
"""Points from which the largest |f - v_i| is looked for, and steps of that search."""

PASSES = 40
"""Searches in which rivals are taken in, at most; the last one does without more."""

LATTICE, POINTS = 1 << 24, 64
"""Lattice points times tokens that are looked at to guess rivals, at most; lattice points for each token, at most."""

UNANSWERED = 3
"""Polytopes about which Z3 may fail to answer before it is asked about no more of them."""

OPINION_SECONDS = 2.0
"""Seconds for Z3's second opinion, or as long as the search took if that is more."""

BOXES = 400_000
"""Boxes of all regions of a column beyond 100 for each token, at most, where nobody asks for another number."""


@dataclass(frozen=True)
class Choice:
    """A kappa, the delta that it leaves, and how far the target is from values it is to be near, as far as is seen."""

    kappa: Fraction
    delta: Fraction
    leak: float
    seen: float


class _Open(Exception):
    """A choice of kappa that proves nothing; the message says why."""


def verify(
    statement: Statement,
    columns: list[Column],
    *,
    deadline: Deadline = NEVER,
    max_boxes: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Prove the claim of a statement about the sup norm, if enlarged regions do, until the deadline."""
    started = time.monotonic()
    assert isinstance(statement.claim, SupError)
    bound, tokens = statement.claim.tolerance, columns[0].head.tokens
    verdict: Verdict = "undecided"
    evidence, lower, boxes, interrupted = None, 0.0, 0, False
    try:
        lower = proved_lower(statement, columns, sample(statement, columns))
        choices = choices_of(statement, columns, bound)
        fitting = [choice for choice in choices if choice.seen <= choice.delta]
        detail = _too_soft(min(choice.leak + choice.seen for choice in choices))
        fitting = [climbed(statement, columns, choice) for choice in fitting[:TRIES]]
        if fitting:
            detail = _too_soft(min(choice.leak + choice.seen for choice in fitting))
        with Solver() as solver:
            for choice in fitting:
                if choice.seen > choice.delta:
                    continue
                attempt = _Attempt(statement, columns, bound, choice, solver, deadline, max_boxes, progress)
                try:
                    evidence = attempt.evidence()
                    verdict, detail = "verified", attempt.words(evidence)
                    break
                except _Open as reason:
                    detail = f"{reason}, at kappa {float(choice.kappa):.6g}"
                finally:
                    boxes += attempt.boxes
    except (OutOfTime, KeyboardInterrupt) as stop:
        interrupted = isinstance(stop, KeyboardInterrupt)
        detail = "stopped before the proof by regions was complete"
    upper = math.inf if evidence is None else float_up(bound)
    seconds = time.monotonic() - started
    return Outcome(verdict, evidence, lower, upper, tokens, boxes, seconds, detail, interrupted=interrupted)


def _too_soft(least: float) -> str:
    return f"enlarged regions prove at best about {least:.6g} here: the head is too soft for them, or too far off"


def choices_of(statement: Statement, columns: Sequence[Column], bound: Fraction) -> list[Choice]:
    """Choices of kappa, the one that leaves the most room between delta and what is seen at sample points first."""
    spread = max(float(np.max(column.head.value_max - column.head.value_min)) for column in columns)
    weight = (columns[0].head.tokens - 1) * spread
    limit = float_down(bound)
    kappas = {
        Fraction(math.ceil(16 * math.log(weight / (part * limit))), 16) if weight > part * limit else Fraction(1)
        for part in LEAKS
    }
    points = sample_points(statement.domain, max(1, columns[0].head.tokens >> 2))
    choices = []
    for kappa in sorted(max(kappa, Fraction(1, 16)) for kappa in kappas):
        leak = weight * math.exp(-float(kappa)) * (1 + 2.0**-30)
        room = (limit - leak) * (1 - 2.0**-30)
        delta = round_to(Fraction(room), 40) if room > 0 else Fraction(0)
        seen = max(float(_gaps(statement, column, float(kappa), points).max()) for column in columns)
        choices.append(Choice(kappa, delta, leak, seen))
    return sorted(choices, key=lambda choice: choice.leak + choice.seen)


def climbed(statement: Statement, columns: Sequence[Column], choice: Choice) -> Choice:
    """The choice with what is seen when climbing from the worst sample points."""
    seen = max(_largest_gap(statement, column, float(choice.kappa)) for column in columns)
    return replace(choice, seen=max(choice.seen, seen))


def _gaps(statement: Statement, column: Column, kappa: float, points: FloatArray) -> FloatArray:
    """At each point (P, m) the largest |f - v_i| over the tokens less than kappa behind the best, in float64 without
    bounds on the rounding; 0 outside the domain, shape (P,).
    """
    head, entries = column.head, list(column.entries)
    gaps = np.zeros(len(points))
    step = max(1, WORK // head.tokens)
    with np.errstate(all="ignore"):
        f = evaluate_float(statement.function, points)[:, entries]
        for at in range(0, len(points), step):
            score = points[at : at + step] @ head.keys + head.biases
            place, token = np.nonzero(score > score.max(axis=1, keepdims=True) - kappa)
            gap = np.abs(f[at + place] - head.all_values_at(token, points[at + place])).max(axis=1)
            np.maximum.at(gaps, at + place, np.nan_to_num(gap, nan=0.0, posinf=0.0))
    gaps[~estimate_inside(statement.conditions, points)] = 0.0
    return gaps


def _largest_gap(statement: Statement, column: Column, kappa: float) -> float:
    """The largest |f - v_i| found by climbing from the worst samples: it peaks at corners of regions, which they miss.

    A pattern search with shrinking steps, along the axes and the diagonals of pairs of them.
    """
    head, box = column.head, statement.domain
    points = sample_points(box, max(1, head.tokens >> 2))
    gaps = _gaps(statement, column, kappa, points)
    best = np.argsort(-gaps, kind="stable")[:CLIMBERS]
    points, gaps = points[best], gaps[best]
    lo, hi = (np.array([float(side[end]) for side in box.sides]) for end in (0, 1))
    m = box.dimension
    axes = np.concatenate([np.eye(m), -np.eye(m)])
    steps = np.concatenate([axes, *(axes[k] + np.delete(axes, [k, (k + m) % (2 * m)], axis=0) for k in range(m))])
    size = (hi - lo) / max(2.0, head.tokens ** (1 / m))
    for _ in range(min(ROUNDS, 8 * WORK // (head.tokens * len(points) * len(steps)))):
        tries = np.clip(points[:, None, :] + steps * size, lo, hi)
        found = _gaps(statement, column, kappa, tries.reshape(-1, m)).reshape(len(points), -1)
        choice, rows = found.argmax(axis=1), np.arange(len(points))
        better = found[rows, choice] > gaps
        points[better], gaps[better] = tries[rows, choice][better], found[rows, choice][better]
        if not better.any():
            size = size / 2
    return float(gaps.max())


class _Attempt:
    """The search for evidence with one choice of kappa."""

    def __init__(
        self,
        statement: Statement,
        columns: Sequence[Column],
        bound: Fraction,
        choice: Choice,
        solver: Solver,
        deadline: Deadline,
        max_boxes: int | None,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.statement, self.columns, self.bound, self.choice = statement, columns, bound, choice
        self.solver, self.deadline, self.progress = solver, deadline, progress
        tokens = columns[0].head.tokens
        self.total, self.done = len(columns) * tokens, 0
        self.max_boxes = BOXES + 100 * tokens if max_boxes is None else max_boxes
        self.boxes = self.confirmed = self.unanswered = 0
        self.opinion = Opinion()
        self.started = time.monotonic()

    def evidence(self) -> Enlarged:
        """The evidence; raises _Open, OutOfTime."""
        proofs, asked = [], []
        for column, head in zip(self.columns, reduce_head(self.statement.attention), strict=True):
            cells = enlarged(cells_of(head, self.statement.domain), self.choice.kappa)
            polytopes = self._polytopes(cells)
            live = [polytope for polytope in polytopes if not polytope.empty]
            rivals, trees = self._trees(column, live)
            found = dict(zip((polytope.token for polytope in live), zip(rivals, trees, strict=True), strict=True))
            proofs.append(tuple(_proof(polytope, *found.get(polytope.token, ((), None))) for polytope in polytopes))
            asked.append((column, head, cells, list(zip(live, rivals, strict=True))))
        seconds = max(OPINION_SECONDS, time.monotonic() - self.started)
        opinions = Opinions(self.statement, self.choice.delta, self.solver, seconds, self.deadline)
        for question in asked:
            self.opinion += opinions.about(*question)
        precision = kernel_precision(self.statement, self.columns, self.bound)
        return Enlarged(self.bound, self.choice.kappa, self.choice.delta, precision, tuple(proofs))

    def words(self, evidence: Enlarged) -> str:
        """What was found, for people."""
        parts = [
            f"{evidence.leaves} boxes in {evidence.regions} regions, enlarged by kappa {float(evidence.kappa):.6g}"
        ]
        if self.confirmed < self.total:
            parts.append(f"Z3 confirmed the bounding boxes of {self.confirmed} of {self.total} regions")
        opinion = self.opinion.words()
        return "; ".join(parts if opinion is None else [*parts, opinion])

    def _polytopes(self, cells: Cells) -> list[Polytope]:
        """The polytopes of all tokens."""
        near, _ = guesses(cells, min(LATTICE, POINTS * cells.tokens**2))
        polytopes = []
        for i in range(cells.tokens):
            self.deadline.check()
            polytope = polytope_of(cells, i, near.get(i, ()))
            if self.unanswered < UNANSWERED:
                answered = confirm(cells, polytope, self.solver, self.deadline.left())
                self.confirmed += answered
                self.unanswered += not answered
            polytopes.append(polytope)
            self.done += 1
            if self.progress is not None:
                self.progress(Progress(self.done / self.total, self.boxes, cells.tokens))
        return polytopes

    def _trees(self, column: Column, live: Sequence[Polytope]) -> tuple[list[tuple[int, ...]], tuple[str, ...]]:
        """The rivals and the split trees of the polytopes that are not empty."""
        statement, choice = self.statement, self.choice
        search = ForestSearch(
            statement.function,
            column.entries,
            column.head,
            statement.domain,
            kappa=choice.kappa,
            delta=choice.delta,
            conditions=statement.conditions,
        )
        tokens, boxes = [polytope.token for polytope in live], [Box(tuple(polytope.box)) for polytope in live]
        rivals = [polytope.rivals for polytope in live]
        for number in range(PASSES):
            left = self.max_boxes - self.boxes
            found = search.run(tokens, rivals, boxes, self.deadline, left, complete=number == PASSES - 1)
            self.boxes += found.boxes
            if found.status == "proved":
                return rivals, found.trees
            if found.status != "rivals":
                break
            for root, token in sorted(found.rivals):
                rivals[root] = (*rivals[root], token)
        where = f"column {column.number}"
        if found.status == "failed":
            token = tokens[found.failed]
            raise _Open(f"{where}: the target is too far from the value of token {token} somewhere in its region")
        raise _Open(f"{where}: stopped after {self.boxes} boxes, before the proof was complete")


def _proof(polytope: Polytope, rivals: tuple[int, ...], tree: str | None) -> TokenProof:
    return TokenProof(rivals or polytope.rivals, tuple(polytope.box), polytope.faces, tree)
