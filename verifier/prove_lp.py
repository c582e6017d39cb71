"""Claims about an L_p norm: refine lower and upper sums until they decide the claim, then until they are close."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from attncert.certificates.claim import LpError
from attncert.certificates.deadline import NEVER, Deadline
from attncert.certificates.evidence import Evidence, Integral
from attncert.certificates.numbers import float_down, float_up
from attncert.certificates.statement import Statement
from attncert.verifier.boxes import Progress
from attncert.verifier.integral import IntegralSearch
from attncert.verifier.outcome import Column, Outcome, Verdict, columns_of, kernel_precision, silence_for
from attncert.verifier.point import estimate_errors, sample_points
from attncert.verifier.singular import require_integrable

MARGIN = 2.0**-26
"""Relative part of the bounds that is left to the checker, whose rounding differs from that made here."""

CLOSE = 0.01
"""The sums are refined until the norms that they prove differ by this part, within a modest number of boxes."""


def verify(
    statement: Statement,
    claim: LpError,
    *,
    deadline: Deadline = NEVER,
    max_boxes: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    memory: int | None = None,
) -> Outcome:
    """Decide the claim, until the deadline, in at most `max_boxes` boxes and `memory` bytes where these are given.

    Raises InvalidTarget when the target is not integrable.
    """
    started = time.monotonic()
    require_integrable(statement.function, statement.domain, claim.power, statement.conditions)
    columns = columns_of(statement)
    bounds, silence = _begin(statement, claim, columns, claim.tolerance)
    interrupted, stopped = False, "stopped"
    extra = 20_000 + 20 * columns[0].head.tokens
    try:
        while True:
            boxes = bounds.boxes
            decided = bounds.verdict(claim.tolerance) != "undecided"
            most = min(max_boxes or 1 << 62, extra) if decided else max_boxes or 1 << 62
            if (decided and bounds.close()) or boxes >= most or deadline.passed():
                break
            if memory is not None and bounds.nbytes > memory:
                stopped = "stopped at the memory cap"
                break
            if not bounds.refine():
                break
            if progress is not None:
                progress(Progress(bounds.share(claim.tolerance), boxes, columns[0].head.tokens))
    except KeyboardInterrupt:
        interrupted = True
    verdict = bounds.verdict(claim.tolerance)
    boxes = bounds.boxes
    evidence: Evidence | None = None
    lower, upper = bounds.norms()
    detail = f"{stopped} after {boxes} boxes, before the bounds on the norm decided the claim"
    if verdict != "undecided":
        low, high = bounds.spelled(claim.tolerance)
        lower, upper = float_down(low), float_up(high)
        precision = _precision(statement, claim, boxes) + kernel_precision(statement, columns, claim.tolerance)
        evidence = Integral(low, high, precision, silence, bounds.trees())
        detail = f"the L_{claim.power} norm of the error lies between {lower:.6g} and {upper:.6g}"
    seconds = time.monotonic() - started
    outcome = Outcome(verdict, evidence, lower, upper, columns[0].head.tokens, boxes, seconds, detail)
    return replace(outcome, interrupted=interrupted)


def enclose_norm(
    statement: Statement,
    claim: LpError,
    gap: Fraction,
    *,
    deadline: Deadline = NEVER,
    max_boxes: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    memory: int | None = None,
) -> tuple[Integral | None, Outcome]:
    """Refine until upper <= (1 + gap) lower; returns evidence for both ends, None where the upper one is infinite.

    The tolerance of the claim plays no part. The verdict of the outcome is `verified` when the gap is reached.
    """
    started = time.monotonic()
    require_integrable(statement.function, statement.domain, claim.power, statement.conditions)
    columns = columns_of(statement)
    scale = _rough_norm(statement, claim, columns)
    bounds, silence = _begin(statement, claim, columns, scale, bits=max(0, math.ceil(-math.log2(gap))))
    interrupted, aim = False, float(gap) * (1 - 2.0**-20) - 4 * MARGIN
    try:
        while not (bounds.close(aim) or bounds.boxes >= (max_boxes or math.inf) or deadline.passed()):
            if (memory is not None and bounds.nbytes > memory) or not bounds.refine():
                break
            if progress is not None:
                lower, upper = bounds.norms()
                progress(Progress(lower / upper if upper > 0 else 0.0, bounds.boxes, columns[0].head.tokens))
    except KeyboardInterrupt:
        interrupted = True
    lower, upper = bounds.norms()
    evidence, reached = None, False
    if upper < math.inf:
        digits = 5 + max(0, math.ceil(-math.log10(gap)))
        low = _short(Fraction(lower) * (1 - Fraction(MARGIN)), digits, math.floor)
        high = _short(Fraction(upper) * (1 + Fraction(MARGIN)), digits, math.ceil)
        precision = _precision(statement, replace(claim, tolerance=scale), bounds.boxes)
        precision += kernel_precision(statement, columns, scale)
        evidence = Integral(low, high, precision, silence, bounds.trees())
        reached = high <= low * (1 + gap)
    verdict: Verdict = "verified" if reached else "undecided"
    detail = f"the sums over {bounds.boxes} boxes are {'' if reached else 'not '}as close as was asked for"
    tokens, seconds = columns[0].head.tokens, time.monotonic() - started
    return evidence, Outcome(
        verdict, evidence, lower, upper, tokens, bounds.boxes, seconds, detail, interrupted=interrupted
    )


def _begin(
    statement: Statement, claim: LpError, columns: Sequence[Column], scale: Fraction, bits: int = 0
) -> tuple[_Bounds, int]:
    """The first bounds, in units of `scale`, and the number of bits of silent tokens."""
    silence = max(silence_for(column.head, scale) for column in columns) + bits
    searches = [
        IntegralSearch(
            statement.function,
            column.entries,
            column.head,
            statement.domain,
            power=claim.power,
            scale=float_down(scale),
            silence=silence,
            conditions=statement.conditions,
        )
        for column in columns
    ]
    return _Bounds(searches, claim.power, float_down(scale)), silence


def _rough_norm(statement: Statement, claim: LpError, columns: Sequence[Column]) -> Fraction:
    """The norm by sampling, as a unit: the tolerance where samples say nothing."""
    points = sample_points(statement.domain, columns[0].head.tokens)
    power = float(claim.power)
    errors = [
        estimate_errors(statement.function, column.entries, column.head, points, statement.conditions)
        for column in columns
    ]
    largest = max(float(np.max(error)) for error in errors)
    if not 1e-90 < largest < 1e90:
        return claim.tolerance
    share = sum(float(np.mean(np.sum((error / largest) ** power, axis=1))) for error in errors)
    volume = math.prod((float(hi - lo) for lo, hi in statement.domain.sides), start=1.0)
    rough = largest * (share * volume) ** (1 / power)
    return Fraction(rough) if 1e-90 < rough < 1e90 else claim.tolerance


def _precision(statement: Statement, claim: LpError, boxes: int) -> int:
    """Fractional bits by which the p-th powers of errors near the tolerance, times the volumes of boxes, are small."""
    volume = math.prod((hi - lo for lo, hi in statement.domain.sides), start=Fraction(1))
    powers = -float(claim.power) * (math.log2(claim.tolerance.numerator) - math.log2(claim.tolerance.denominator))
    volumes = math.log2(volume.denominator) - math.log2(volume.numerator)
    return 32 + math.ceil(max(powers, 0) + max(volumes, 0) + math.log2(boxes))


class _Bounds:
    """The sums over all output columns, and the norms that they prove."""

    def __init__(self, searches: Sequence[IntegralSearch], power: Fraction, scale: float) -> None:
        self.searches, self.power, self.scale = searches, power, scale

    def refine(self) -> bool:
        """Refine the column with the widest gap that can be refined; false when none can."""
        order = sorted(self.searches, key=lambda search: search.lower - search.upper)
        return any(search.refine() for search in order)

    def norms(self) -> tuple[float, float]:
        """Proved lower and upper bounds on the norm.

        Rounding argument. Sums of n columns err by n u; the root by 2^-48 and the part of |log x| u / p that the
        rounded exponent costs, below 2^-42 for doubles; products by u each. 2^-40 covers them.
        """
        n = len(self.searches)
        low = sum(search.lower for search in self.searches) * (1 - 2.0**-52 * n)
        high = sum(search.upper for search in self.searches) * (1 + 2.0**-52 * n)
        root = 1 / float(self.power)
        lower = self.scale * max(low, 0.0) ** root * (1 - 2.0**-40)
        upper = self.scale * high**root * (1 + 2.0**-40)
        return (lower if lower > 0 else 0.0), (upper if upper >= 0 else math.inf)

    def verdict(self, tolerance: Fraction) -> Verdict:
        """What the bounds, less the checker's margin, say of the claim."""
        lower, upper = self.norms()
        if upper * (1 + MARGIN) <= float_down(tolerance):
            return "verified"
        if float_up(tolerance) < lower * (1 - 2 * MARGIN) and upper < math.inf:  # the evidence states both
            return "refuted"
        return "undecided"

    def close(self, gap: float = CLOSE) -> bool:
        """Whether the bounds are within a relative gap of each other."""
        lower, upper = self.norms()
        return upper <= lower * (1 + gap)

    @property
    def boxes(self) -> int:
        """The boxes examined."""
        return sum(search.boxes for search in self.searches)

    @property
    def nbytes(self) -> int:
        """Bytes of the searches."""
        return sum(search.nbytes for search in self.searches)

    def trees(self) -> tuple[str, ...]:
        """The split trees of all columns."""
        return tuple(search.preorder() for search in self.searches)

    def share(self, tolerance: Fraction) -> float:
        """How far the search has come, for people."""
        _, upper = self.norms()
        return min(1.0, float(tolerance) / upper) if 0 < upper < math.inf else 0.0

    def spelled(self, tolerance: Fraction) -> tuple[Fraction, Fraction]:
        """Short decimals below and above, outward by MARGIN, on the same side of the tolerance as the bounds."""
        lower, upper = self.norms()
        low_end, high_end = Fraction(lower) * (1 - Fraction(MARGIN)), Fraction(upper) * (1 + Fraction(MARGIN))
        for digits in range(5, 18):
            low, high = _short(low_end, digits, math.floor), _short(high_end, digits, math.ceil)
            if low > tolerance or high <= tolerance:
                break
        if self.verdict(tolerance) == "verified":
            high = min(high, tolerance)
        return low, high


def _short(x: Fraction, digits: int, rounding: Callable[[Fraction], int]) -> Fraction:
    """A decimal of a few digits, below or above x >= 0."""
    if x == 0:
        return Fraction(0)
    exponent = math.floor(math.log10(x.numerator) - math.log10(x.denominator)) + 1 - digits
    unit = Fraction(10) ** exponent
    return rounding(x / unit) * unit
