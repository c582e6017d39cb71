"""A proved enclosure of the error itself: lower <= norm of f - T <= upper, to a relative gap that the user names.

For the sup norm the lower end is the error at a point, found by sampling and climbing. A paving is then searched for
the bound lower (1 + gap). Boxes on which that bound holds are done with, so the search is the best-first one of global
optimisation with its threshold known in advance; if a box shows a larger error, the climb starts anew from there. A
rough gap comes first: it is cheap, and finds the largest error when sampling did not.

For an L_p norm the lower and upper sums are refined until they are that close.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from attncert.certificates.claim import Indicator, LpError, Partition, SupError
from attncert.certificates.deadline import NEVER, Deadline
from attncert.certificates.errors import InvalidClaim
from attncert.certificates.evidence import Counterexample, Evidence, Paving
from attncert.certificates.statement import Statement
from attncert.verifier import kernel, prove_lp
from attncert.verifier.boxes import Progress
from attncert.verifier.integers import ExactClaim, needed
from attncert.verifier.outcome import Column, columns_of, kernel_precision
from attncert.verifier.point import climb, exact_point
from attncert.verifier.prove_sup import Worst, pave, proved_lower, sample, worst_of

ROUGH = Fraction(1, 10)
"""The gap that is tried first."""

CLIMBS = 60
"""Most times that a larger error, found by the search for a paving, moves the lower end."""

LEAST = Fraction(1, 2**40)
"""The error that is aimed at, relative to the size of the values, where no positive error is found."""


@dataclass(frozen=True)
class Enclosure:
    """lower <= error <= upper, with evidence for each end; upper is None where nothing is proved.

    `evidence` proves the claim whose tolerance is `upper`; `witness` refutes the one whose tolerance is `lower` (None
    for an L_p norm, where the evidence proves both ends, and where lower is 0). `reached`: whether upper is within the
    gap.
    """

    lower: Fraction
    upper: Fraction | None
    evidence: Evidence | None
    witness: Counterexample | None
    reached: bool
    tokens: int
    boxes: int
    seconds: float
    detail: str
    interrupted: bool = False


def enclose_error(
    statement: Statement,
    gap: Fraction,
    *,
    deadline: Deadline = NEVER,
    max_boxes: int | None = None,
    jobs: int = 1,
    progress: Callable[[Progress], None] | None = None,
    memory: int | None = None,
) -> Enclosure:
    """Enclose the norm of the error that the statement is about; its tolerance plays no part.

    gap: upper <= (1 + gap) lower is aimed at; until the deadline, in at most `max_boxes` boxes and `memory` bytes where
    these are given.
    Raises InvalidClaim for a claim that is not about an error, InvalidAttention for heads outside the supported family.
    """
    match statement.claim:
        case SupError():
            return _Sup(statement, gap, deadline, max_boxes, jobs, progress, memory).run()
        case LpError():
            evidence, outcome = prove_lp.enclose_norm(
                statement,
                statement.claim,
                gap,
                deadline=deadline,
                max_boxes=max_boxes,
                progress=progress,
                memory=memory,
            )
            return Enclosure(
                lower=Fraction(0) if evidence is None else evidence.lower,
                upper=None if evidence is None else evidence.upper,
                evidence=evidence,
                witness=None,
                reached=outcome.verdict == "verified",
                tokens=outcome.tokens,
                boxes=outcome.boxes,
                seconds=outcome.seconds,
                detail=outcome.detail,
                interrupted=outcome.interrupted,
            )
        case Indicator() | Partition():
            kind = statement.claim.to_json()["kind"]
            raise InvalidClaim(f"a claim of kind {kind!r} is not about an error: there is nothing to bound")


class _Sup:
    """The enclosure of a sup norm, as it grows tighter."""

    def __init__(
        self,
        statement: Statement,
        gap: Fraction,
        deadline: Deadline,
        max_boxes: int | None,
        jobs: int,
        progress: Callable[[Progress], None] | None,
        memory: int | None,
    ) -> None:
        self.started = time.monotonic()
        self.gap, self.deadline, self.max_boxes = gap, deadline, max_boxes
        self.columns = columns_of(statement, sums=True)
        self.boxes = 0
        rough = _Float(statement, self.columns, gap, jobs, memory)
        self.means: _Float | _Exact = rough
        if needed(self.columns, rough.lower * gap):
            with suppress(kernel.Rejected):  # what is too large for the checker is left to float64
                self.means = _Exact(statement, self.columns, gap, deadline)
        self.progress = progress

    def run(self) -> Enclosure:
        """Search for pavings, the rough one first."""
        upper: Fraction | None = None
        evidence: Evidence | None = None
        detail = "stopped before a bound was proved"
        for gap in [ROUGH, self.gap] if self.gap < ROUGH else [self.gap]:
            for _ in range(CLIMBS):
                bound = _between(self.means.lower or self._least(), gap)
                left = None if self.max_boxes is None else max(1, self.max_boxes - self.boxes)
                found = self.means.pave(bound, gap, self.deadline, left, self.progress)
                self.boxes += found.boxes
                if found.evidence is not None:
                    upper, evidence = bound, found.evidence
                    detail = f"{found.evidence.leaves} boxes cover the domain"
                    break
                if found.status != "violated" or found.interrupted:
                    detail = f"no paving for {float(bound):.6g}: {found.status} after {found.boxes} boxes"
                    return self._enclosure(upper, evidence, detail, interrupted=found.interrupted)
        return self._enclosure(upper, evidence, detail)

    def _least(self) -> Fraction:
        """The error that is aimed at where none is found: the head may be exact."""
        size = max(column.head.size for column in self.columns)
        return Fraction(max(size, 1e-90)) * LEAST

    def _enclosure(
        self, upper: Fraction | None, evidence: Evidence | None, detail: str, *, interrupted: bool = False
    ) -> Enclosure:
        lower, witness = Fraction(0), None
        if self.means.lower > 0:
            lower = _rounded_down(self.means.lower, self.gap / 64)
            witness = self.means.witness(lower)
        reached = upper is not None and upper <= lower * (1 + self.gap)
        seconds = time.monotonic() - self.started
        tokens = self.columns[0].head.tokens
        return Enclosure(
            lower, upper, evidence, witness, reached, tokens, self.boxes, seconds, detail, interrupted=interrupted
        )


@dataclass(frozen=True)
class _Found:
    """How the search for a paving ended."""

    status: str
    evidence: Paving | None
    boxes: int
    interrupted: bool


class _Float:
    """The lower end and pavings in float64."""

    def __init__(
        self, statement: Statement, columns: list[Column], gap: Fraction, jobs: int, memory: int | None
    ) -> None:
        self.statement, self.columns, self.gap, self.jobs, self.memory = statement, columns, gap, jobs, memory
        self.lower, self.worst = Fraction(0), sample(statement, columns)
        self._raise_lower()

    def pave(
        self,
        bound: Fraction,
        gap: Fraction,
        deadline: Deadline,
        max_boxes: int | None,
        progress: Callable[[Progress], None] | None,
    ) -> _Found:
        """Search a paving; climb from larger errors that the search sees."""
        bits = max(0, math.ceil(-math.log2(gap)))
        paving, searches = pave(
            self.statement, self.columns, bound, deadline, max_boxes, self.jobs, progress, bits=bits, memory=self.memory
        )
        for worst in worst_of(self.columns, searches):
            if worst.error > self.worst.error:
                column = self.columns[worst.column]
                error, point = climb(
                    self.statement.function,
                    column.entries[worst.row],
                    worst.row,
                    column.head,
                    self.statement.domain,
                    np.array([worst.point]),
                    self.statement.conditions,
                )
                self.worst = max(worst, Worst(error, point, worst.column, worst.row), key=lambda x: x.error)
        self._raise_lower()
        last = searches[-1]
        return _Found(last.status, paving, sum(search.boxes for search in searches), last.interrupted)

    def witness(self, lower: Fraction) -> Counterexample:
        """Evidence that the error exceeds `lower`."""
        point = exact_point(self.worst.point, self.statement.domain)
        precision = kernel_precision(self.statement, self.columns, lower * min(self.gap, Fraction(1)) / 64) + 64
        return Counterexample(point, (self.worst.row, self.worst.column), precision)

    def _raise_lower(self) -> None:
        self.lower = max(self.lower, Fraction(proved_lower(self.statement, self.columns, self.worst)))


class _Exact:
    """The lower end and pavings on integers."""

    def __init__(self, statement: Statement, columns: list[Column], gap: Fraction, deadline: Deadline) -> None:
        self.claim, self.deadline = ExactClaim(statement, columns), deadline
        self.extra = 16 + max(0, math.ceil(-math.log2(gap)))
        self.bits = 256
        self.worst = self.claim.largest(self.bits, deadline)
        while 0 < self.worst.error < Fraction(1, 1 << self.bits // 2) and not deadline.passed():
            self.bits *= 2
            self.worst = self.claim.climb(self.worst, self.bits, deadline, 1 / 1024)

    @property
    def lower(self) -> Fraction:
        """The largest error that is proved."""
        return self.worst.error

    def pave(
        self,
        bound: Fraction,
        gap: Fraction,
        deadline: Deadline,
        max_boxes: int | None,
        progress: Callable[[Progress], None] | None,
    ) -> _Found:
        """Search a paving; climb from a larger error that the search sees."""
        extra = self.extra if gap < ROUGH else 0
        found = self.claim.search(bound, deadline=deadline, max_boxes=max_boxes, progress=progress, extra_bits=extra)
        if found.worst.error > self.worst.error:
            self.worst = self.claim.climb(found.worst, self.bits, deadline, 1 / 256)
        return _Found(found.status, found.evidence, found.boxes, found.interrupted)

    def witness(self, lower: Fraction) -> Counterexample:
        """Evidence that the error exceeds `lower`."""
        return Counterexample(self.worst.point, self.worst.entry, max(self.bits, self.claim.precision(lower) + 64))


def _between(lower: Fraction, gap: Fraction) -> Fraction:
    """A short decimal a little below lower (1 + gap), and above lower."""
    return _rounded_down(lower * (1 + gap * Fraction(31, 32)), gap / 16)


def _rounded_down(x: Fraction, share: Fraction) -> Fraction:
    """A short decimal at most x > 0 and at least x (1 - share)."""
    unit = Fraction(10) ** math.floor(math.log10(x.numerator) - math.log10(x.denominator))
    while True:
        rounded = math.floor(x / unit) * unit
        if rounded >= x * (1 - share):
            return rounded
        unit /= 10


__all__ = ["Enclosure", "enclose_error"]
