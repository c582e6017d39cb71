"""The constructions by name, and the choice among them: the head with the fewest tokens that proves the tolerance.

`auto` takes the heads of the constructions that it tries in the order of their tokens, so the first one that is proved
has the fewest; of heads with equally many tokens those of the paper's grid come first. The grid is searched only as far
as it can win.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from attncert.certificates.claim import LpError, SupError
from attncert.certificates.condition import Condition
from attncert.certificates.deadline import NEVER, Deadline, OutOfTime
from attncert.certificates.domain import Box
from attncert.certificates.errors import InputError, InvalidTarget, TooLarge
from attncert.certificates.target import Target
from attncert.construct.adaptive import MOST_EFFORT, adaptive_candidates
from attncert.construct.affine import affine_candidates
from attncert.construct.lp import lp_candidates, theory_notes
from attncert.construct.resources import approximately
from attncert.construct.rounding import Format, rounded_candidates
from attncert.construct.spectral import spectral_candidates
from attncert.construct.uniform import Candidate, apriori, uniform_candidates

PATIENCE = 60.0
"""Seconds after which `auto` no longer waits for the first head of a construction other than the paper's."""

MOST_TRIAL, TRIAL = 3e9, 2.5e7
"""Multiplications that a construction by trial may take in `auto`, at most, and for each token that it could save."""

EFFORT_OF_THEORY = 2.0
"""Seconds for the paper's number of tokens beside that of another construction."""


@dataclass(frozen=True)
class Task:
    """What is asked for: a target, a domain and a claim, and how the head may look."""

    target: Target
    box: Box
    claim: SupError | LpError
    conditions: Sequence[Condition] = ()
    precision: int = 106
    max_value: float | None = None
    apriori_only: bool = False
    number: Format | None = None
    sharp: bool = False
    """Whether the head is to be nearly piecewise constant, for a proof by regions."""
    effort: float = MOST_EFFORT
    """Multiplications that a construction by trial may take."""
    limit: int | None = None
    """The most tokens that are of interest: a construction may end where it needs more."""
    deadline: Deadline = NEVER


@dataclass(frozen=True)
class Method:
    """A construction: its heads for a task, in the order of their tokens, and the norms that it is for."""

    make: Callable[[Task], Iterator[Candidate]]
    sup: bool = True
    powers: bool = False
    bounded: bool = False
    """Whether it can keep the values of the tokens below a bound."""
    tried: bool = True
    """Whether `auto` tries it: a head must be quick to prove, and bad input has to be noticed before."""


def _uniform(task: Task) -> Iterator[Candidate]:
    """The paper's grid, in the sup norm or an L_p norm."""
    options: dict[str, Any] = {
        "precision": task.precision,
        "apriori_only": task.apriori_only,
        "limit": task.limit,
        "deadline": task.deadline,
        "conditions": task.conditions,
    }
    if isinstance(task.claim, LpError):
        return lp_candidates(task.target, task.box, task.claim, **options)
    return uniform_candidates(task.target, task.box, task.claim.tolerance, sharp=task.sharp, **options)


def _spectral(task: Task) -> Iterator[Candidate]:
    """Polynomials in sigmoids; with a format, those whose values survive rounding."""
    return spectral_candidates(
        task.target,
        task.box,
        task.claim.tolerance,
        precision=task.precision,
        apriori_only=task.apriori_only,
        max_value=task.max_value,
        bits=None if task.number is None else task.number.bits,
        limit=task.limit,
        deadline=task.deadline,
        conditions=task.conditions,
    )


def _affine(task: Task) -> Iterator[Candidate]:
    """Values affine in the input, on graded grids."""
    return affine_candidates(
        task.target,
        task.box,
        task.claim.tolerance,
        precision=task.precision,
        apriori_only=task.apriori_only,
        limit=task.limit,
        deadline=task.deadline,
        conditions=task.conditions,
    )


def _adaptive(task: Task) -> Iterator[Candidate]:
    """Power diagrams refined where the error is largest."""
    if task.apriori_only:
        raise InvalidTarget("there is no a-priori bound: sites, weights and values come from samples of the target")
    return adaptive_candidates(
        task.target,
        task.box,
        task.claim,
        limit=task.limit,
        effort=task.effort,
        deadline=task.deadline,
        conditions=task.conditions,
    )


METHODS = {
    "affine": Method(_affine, tried=False),
    "spectral": Method(_spectral, bounded=True),
    "adaptive": Method(_adaptive, powers=True),
    "uniform": Method(_uniform, powers=True),
}
"""All constructions. Of heads with equally many tokens `auto` takes the one that stands last here."""

NAMES = ("auto", *reversed(METHODS))


def require_method(name: str, claim: SupError | LpError, *, bounded: bool = False) -> None:
    """Raise InputError for a name that is unknown, or of a construction for another norm, or without bounded values."""
    if name not in NAMES:
        raise InputError(f"unknown method {name!r}; this version knows: {', '.join(NAMES)}")
    if bounded and (name == "auto" or not METHODS[name].bounded):
        which = " or ".join(f"--method {each}" for each, method in METHODS.items() if method.bounded)
        raise InputError(f"a bound on the values goes with a construction whose values may be large ({which})")
    if name != "auto" and isinstance(claim, LpError) and not METHODS[name].powers:
        raise InputError(f"the {name} construction is for the sup norm (--norm inf)")


def candidates(task: Task, name: str) -> Iterator[Candidate]:
    """The heads of a construction, or of all of them, in the order of their tokens; rounded to the format asked for.

    Raises the errors of the construction.
    """
    if name == "auto":
        name = "uniform" if task.apriori_only or task.sharp else name
    found = _of_all(task) if name == "auto" else METHODS[name].make(task)
    if task.number is not None:
        found = rounded_candidates(found, task.number)
    return _beside_theory(task, found)


def _of_all(task: Task) -> Iterator[Candidate]:
    """The heads of every construction for the norm, merged in the order of their tokens.

    At first no construction goes beyond the fewest tokens that another one needs. Only where none of those heads is
    proved are they all taken as far as they go.
    """
    queue: list[tuple[int, int, Candidate, Iterator[Candidate]]] = []
    fitting = [
        (place, method)
        for place, method in enumerate(METHODS.values())
        if method.tried and (method.powers or isinstance(task.claim, SupError))
    ]

    def draw(place: int, heads: Iterator[Candidate]) -> None:
        candidate = next(heads, None)
        if candidate is not None:
            heapq.heappush(queue, (candidate.attention.tokens, -place, candidate, heads))

    for place, method in fitting:
        if method.make is not _uniform:
            with suppress(InvalidTarget, TooLarge, OutOfTime):
                bounded = replace(task, deadline=_sooner(task.deadline, PATIENCE), effort=MOST_TRIAL)
                if queue and task.limit is None:  # fewer tokens, or they are of no use
                    effort = min(MOST_TRIAL, TRIAL * max(queue[0][0], 16))
                    bounded = replace(bounded, limit=queue[0][0] - 1, effort=effort)
                draw(place, method.make(bounded))
    found = bool(queue)
    try:
        draw(len(METHODS), _uniform(replace(task, limit=queue[0][0]) if found else task))
    except (InvalidTarget, TooLarge):
        if not found:
            raise
    if not found or task.limit is not None:
        while queue:
            _, place, candidate, heads = heapq.heappop(queue)
            yield replace(candidate, is_last=candidate.is_last and not queue)
            with suppress(InvalidTarget, TooLarge, OutOfTime):
                draw(-place, heads)
        return
    tried: list[Candidate] = []
    while queue:
        _, place, candidate, heads = heapq.heappop(queue)
        yield replace(candidate, is_last=False)
        tried.append(candidate)
        with suppress(InvalidTarget, TooLarge, OutOfTime):
            draw(-place, heads)
    yield from _beyond(task, [method for _, method in fitting], tried)


def _beyond(task: Task, fitting: Sequence[Method], tried: Sequence[Candidate]) -> Iterator[Candidate]:
    """The heads of one construction after the other, but for those tried; at last the first of these again."""
    known = {(candidate.notes["method"], candidate.attention.tokens) for candidate in tried}
    for method in fitting:
        with suppress(InvalidTarget, TooLarge, OutOfTime):
            for candidate in method.make(replace(task, deadline=_sooner(task.deadline, PATIENCE), effort=MOST_TRIAL)):
                if (candidate.notes["method"], candidate.attention.tokens) not in known:
                    yield replace(candidate, is_last=False)
    yield replace(tried[0], is_last=True)


def _beside_theory(task: Task, heads: Iterator[Candidate]) -> Iterator[Candidate]:
    """The same heads; the notes of those that are not the paper's say how many tokens that would take a priori."""
    theory: dict[str, object] | None = None
    for candidate in heads:
        if candidate.notes["method"] == "uniform" or task.limit is not None:
            yield candidate
            continue
        theory = theory or paper(task)
        yield replace(candidate, notes={**candidate.notes, "paper": theory})


def paper(task: Task) -> dict[str, object]:
    """What the paper's construction takes a priori, for the notes; or why that is not known."""
    deadline = _sooner(task.deadline, EFFORT_OF_THEORY)
    try:
        if isinstance(task.claim, LpError):
            return _spelled(theory_notes(task.target, task.box, task.claim, task.conditions, deadline))
        bound = apriori(task.target, task.box, task.claim.tolerance, None, deadline, task.conditions)
    except (InvalidTarget, TooLarge, OutOfTime) as error:
        return {"none": str(error) or "not found in time"}
    return _spelled(bound.to_notes())


def _spelled(theory: dict[str, object]) -> dict[str, object]:
    """The same without the grid, and with the number of tokens in words: it may exceed what a certificate may hold."""
    tokens = theory.get("tokens")
    if not isinstance(tokens, int):
        return theory
    few = tokens if tokens < 10**15 else approximately(tokens)
    return {**{name: entry for name, entry in theory.items() if name != "grid"}, "tokens": few}


def _sooner(deadline: Deadline, seconds: float) -> Deadline:
    """The deadline, or that many seconds from now."""
    soon = time.monotonic() + seconds
    return Deadline(soon if deadline.at is None else min(deadline.at, soon))
