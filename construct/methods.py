"""The constructions by name, and the choice among them: the head with the fewest tokens that proves the tolerance.

`auto` takes the heads of all constructions for the norm in the order of their tokens, so the first one that is proved
has the fewest; of heads with equally many tokens those of the paper's grid come first. Each construction is searched
only as far as it can win, and farther where the heads with fewer tokens are not proved.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from attncert.certificates.claim import LpError, SupError
from attncert.certificates.condition import Condition
from attncert.certificates.deadline import NEVER, Deadline, OutOfTime
from attncert.certificates.domain import Box
from attncert.certificates.errors import InputError, InvalidTarget, TooLarge
from attncert.certificates.numbers import float_down
from attncert.certificates.target import Target
from attncert.construct.adaptive import MOST_EFFORT, adaptive_candidates
from attncert.construct.affine import affine_candidates, sampled_size
from attncert.construct.lp import lp_candidates, theory_notes
from attncert.construct.resources import approximately
from attncert.construct.rounding import Format, rounded_candidates
from attncert.construct.spectral import spectral_candidates
from attncert.construct.uniform import Candidate, apriori, uniform_candidates
from attncert.construct.values import largest_value

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
    max_value: Fraction | None = None
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
    coarse: float = 0.0
    """In `auto` others come first where the tolerance is below this part of the target: it would search long."""
    effort: float = 0.0
    """Multiplications that it may take in `auto`, if not by how many tokens it could save."""


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
        max_value=None if task.max_value is None else float_down(task.max_value),
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
        max_value=task.max_value,
        limit=task.limit,
        effort=task.effort,
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
    "affine": Method(_affine, bounded=True, coarse=1e-7, effort=4e9),
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
    if bounded and name != "auto" and not METHODS[name].bounded:
        which = " or ".join(f"--method {each}" for each, method in METHODS.items() if method.bounded)
        raise InputError(f"a bound on the values goes with a construction whose values may be large ({which})")
    if name != "auto" and isinstance(claim, LpError) and not METHODS[name].powers:
        raise InputError(f"the {name} construction is for the sup norm (--norm inf)")


def candidates(task: Task, name: str) -> Iterator[Candidate]:
    """The heads of a construction, or of all of them, in the order of their tokens; rounded to the format asked for.

    Raises the errors of the construction.
    """
    if task.max_value is not None:
        _require_reach(task, task.max_value)
    if name == "auto":
        name = "uniform" if task.apriori_only or task.sharp else name
    found = _of_all(task) if name == "auto" else METHODS[name].make(task)
    if task.number is not None:
        found = rounded_candidates(found, task.number)
    if task.max_value is not None:
        found = _bounded(found, task.max_value, task.box)
    return _beside_theory(task, found)


def _require_reach(task: Task, most: Fraction) -> None:
    """Raise TooLarge where means of values up to `most` stay too far from the target."""
    size = sampled_size(task.target, task.box, task.conditions)
    if isinstance(task.claim, SupError) and size > most + task.claim.tolerance:
        raise TooLarge(
            f"the target reaches {size:.3g}: no head with values up to {float(most):g} comes that close to it"
        )


def _bounded(heads: Iterator[Candidate], most: Fraction, box: Box) -> Iterator[Candidate]:
    """Those heads whose values are at most that large on the box, as rounded; raises TooLarge where there is none."""
    none = True
    for candidate in heads:
        if largest_value(candidate.attention, box) <= most:
            none = False
            yield candidate
    if none:
        raise TooLarge(f"no head was found whose values are at most {float(most):g}")


@dataclass
class _Source:
    """A construction in `auto`: its next head, and how many tokens its other heads have at least.

    reach: all its heads with up to so many tokens are known; infinite at its end.
    """

    place: int
    method: Method
    ahead: Candidate | None = None
    reach: float = 0
    failure: Exception | None = None
    _heads: Iterator[Candidate] = field(default_factory=lambda: iter(()))
    _known: set[int] = field(default_factory=set)
    _seen: set[int] = field(default_factory=set)
    _limit: float = math.inf

    @property
    def tokens(self) -> float:
        """The tokens of its next head."""
        return math.inf if self.ahead is None else self.ahead.attention.tokens

    def search(self, task: Task, limit: float) -> None:
        """Find its first head with at most that many tokens that was not found before."""
        task = replace(task, limit=None if math.isinf(limit) else int(limit))
        self._limit, self._seen = limit, set(self._known)
        self._heads = self.method.make(task)
        self.draw()

    def draw(self) -> None:
        """Find its next head."""
        self.ahead, found = None, None
        try:
            found = next((each for each in self._heads if each.attention.tokens not in self._seen), None)
        except (InvalidTarget, OutOfTime) as error:
            self.failure, self._limit = error, math.inf
        except TooLarge as error:
            self.failure = error
        if found is None:
            self.reach = self._limit
        else:
            self.ahead = found
            self._known.add(found.attention.tokens)


def _of_all(task: Task) -> Iterator[Candidate]:
    """The heads of every construction for the norm, merged in the order of their tokens; at last one of them again.

    No construction goes beyond the fewest tokens that another one needs, until the heads with those were tried.
    """
    sources = [
        _Source(place, method)
        for place, method in enumerate(METHODS.values())
        if method.powers or isinstance(task.claim, SupError)
    ]
    part = float(task.claim.tolerance) / max(sampled_size(task.target, task.box, task.conditions), 1e-300)
    turns = [*sorted(sources[:-1], key=lambda source: part < source.method.coarse), sources[-1]]
    most = math.inf if task.limit is None else task.limit
    tried: list[Candidate] = []
    while True:
        for source in turns:
            least = min(each.tokens for each in sources)
            last_resort = source is turns[-1]
            limit = min(most, least if last_resort else least - 1)  # fewer tokens, or they are of no use
            if source.ahead is None and source.reach < limit:
                source.search(task if last_resort else _in_passing(task, source.method, least), limit)
        source = min(sources, key=lambda each: (each.tokens, -each.place))
        if source.ahead is None:
            break
        tried.append(replace(source.ahead, is_last=False))
        yield tried[-1]
        source.draw()
    if not tried and sources[-1].failure is not None:
        raise sources[-1].failure
    if tried:
        yield replace(min(tried, key=_shortfall), is_last=True)


def _in_passing(task: Task, method: Method, least: float) -> Task:
    """The task for a construction that others follow, with the least tokens so far."""
    effort = method.effort or min(MOST_TRIAL, TRIAL * max(least, 16))
    return replace(task, deadline=_sooner(task.deadline, PATIENCE), effort=effort)


def _shortfall(candidate: Candidate) -> float:
    """How much error was sampled: of heads that were not proved the least is the most promising."""
    return math.inf if math.isnan(candidate.estimate) else candidate.estimate


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
