"""Turned round: the smallest error with a given number of tokens.

A construction answers how many tokens a tolerance takes; the least tolerance that it can have with N tokens is found by
bisection on a logarithmic scale. Sampling chooses; what the head's error really is, only a proof says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np

from attncert.certificates.claim import LpError
from attncert.certificates.condition import estimate_inside
from attncert.certificates.deadline import OutOfTime
from attncert.certificates.errors import InputError, InvalidTarget, TooLarge
from attncert.certificates.evaluate import evaluate_float
from attncert.construct.methods import METHODS, Task, candidates
from attncert.construct.uniform import Candidate

STEP = 8.0
"""The tolerance is divided by this, until there are too few tokens."""

RESOLUTION = 1.15
"""The bisection ends when its ends are this close."""

EXACT = 1e-30
"""Errors this small beside the target are not reduced further: the head is exact but for its rounding."""

MOST = 40
"""Tolerances tried for one construction."""

KEPT = 3
"""Heads of one construction that are handed on, the smallest error first."""


def heads_of_size(task: Task, name: str, tokens: int) -> list[Candidate]:
    """Heads of a construction, or of all of them, with at most that many tokens; the smallest sampled error first.

    The tolerance of the task is not used. Raises the error of the construction, or TooLarge, where there is no head.
    """
    if name == "auto":
        found, failures = [], []
        for each, method in METHODS.items():
            if method.powers or not isinstance(task.claim, LpError):
                try:
                    found += heads_of_size(task, each, tokens)
                except (InvalidTarget, TooLarge) as failure:
                    failures.append(failure)
        if not found:
            raise failures[-1]
        return sorted(found, key=_promise)
    best: list[Candidate] = []
    try:
        for candidate in _smaller_and_smaller(replace(task, limit=tokens), name, tokens):
            best.append(candidate)
    except OutOfTime:
        pass
    if not best:
        raise TooLarge(f"the {name} construction finds no head with at most {tokens} tokens")
    return sorted(best, key=_promise)[:KEPT]


def _promise(candidate: Candidate) -> float:
    return math.inf if math.isnan(candidate.estimate) else candidate.estimate


def _smaller_and_smaller(task: Task, name: str, tokens: int) -> Iterator[Candidate]:
    """Heads for tolerances between which the least possible one lies."""
    size = _size(task)
    tolerance, low, high = 2 * size, 0.0, math.inf  # no head is known for `low`; there is one for `high`
    failure: InputError | None = None
    for _ in range(MOST):
        try:
            candidate = _first(task, name, tolerance)
        except (InvalidTarget, TooLarge) as error:
            candidate, failure = None, error
        if candidate is not None and candidate.attention.tokens <= tokens:
            yield candidate
            known = math.isfinite(candidate.estimate) and task.number is None
            high = min(tolerance, candidate.estimate) if known else tolerance
        elif math.isfinite(high):
            low = max(low, tolerance)
        elif tolerance > 1e6 * size:
            if failure is not None:
                raise failure
            return
        else:
            tolerance *= 4 * STEP  # nothing yet
            continue
        if high <= EXACT * size or high <= low * RESOLUTION:
            return
        tolerance = math.sqrt(low * high) if low else high / STEP


def _first(task: Task, name: str, tolerance: float) -> Candidate | None:
    """The head with the fewest tokens for a tolerance."""
    claim = replace(task.claim, tolerance=Fraction(f"{tolerance:.3g}"))
    return next(candidates(replace(task, claim=claim), name), None)


def _size(task: Task) -> float:
    """About the norm of the target, by samples; 1 where that says nothing."""
    random = np.random.default_rng(4)
    lo, hi = (np.array([float(side[end]) for side in task.box.sides]) for end in (0, 1))
    points = lo + (hi - lo) * random.random((512, task.box.dimension))
    values = np.abs(evaluate_float(task.target, points))
    if task.conditions:
        values[~estimate_inside(task.conditions, points)] = np.nan
    values = values[np.isfinite(values)]
    if not values.size or values.max() == 0:
        return 1.0
    if not isinstance(task.claim, LpError):
        return float(values.max())
    volume = float(np.prod(hi - lo)) * len(task.target.outputs)
    power = float(task.claim.power)
    return float(values.max() * (volume * np.mean((values / values.max()) ** power)) ** (1 / power))
