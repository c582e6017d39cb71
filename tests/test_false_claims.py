"""Claims that are just not true, for every kind of head and domain: none is ever proved."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest
from heads import bytes_of, kernel_says

from attncert import Certificate, construct_head
from attncert.certificates.claim import SupError
from attncert.certificates.evidence import Paving
from attncert.certificates.statement import Statement
from attncert.verifier.prove import verify

DEFAULT, MANY = range(4), range(4, 104)


def number(rnd: random.Random) -> str:
    return f"({rnd.randint(-9, 9)}/{rnd.choice([2, 3, 4, 5])})"


def sequence(rnd: random.Random) -> Certificate:
    """A target with two columns of a 1 x 2 input, which mixes its tokens."""
    a, b, c, d = (number(rnd) for _ in range(4))
    target = f"[[{a}*X[0,0]*X[0,1] + {b}, sin({c}*X[0,1]) + {d}*X[0,0]]]"
    return construct_head(target, domain="[0,1]^2", shape="1x2", tolerance=rnd.choice(["0.5", "1", "2"]))


def cross(rnd: random.Random) -> Certificate:
    a, b, c, d = (number(rnd) for _ in range(4))
    target = f"cos({a}*K[0,0] + {b}*Q[0,0]) + {c}*K[0,0]*Q[0,0] + {d}"
    return construct_head(target, domain="[-1,1]^2", attention="cross", tolerance=rnd.choice(["0.4", "0.8", "1.6"]))


def disc(rnd: random.Random) -> Certificate:
    a, b, c = (number(rnd) for _ in range(3))
    target = f"exp({a}*x0/2)*{b} + abs(x1 - {c}/3)"
    where = [f"x0**2 + x1**2 <= {rnd.choice(['1', '1/2', '3/4'])}"]
    return construct_head(target, domain="[-1,1]^2", where=where, tolerance=rnd.choice(["0.5", "1", "2"]))


def union(rnd: random.Random) -> Certificate:
    a, b = number(rnd), number(rnd)
    return construct_head(f"{a}/x + {b}*x", domain="[-2,-1] | [1,3/2]", tolerance=rnd.choice(["0.1", "0.3", "0.7"]))


KINDS: dict[str, Callable[[random.Random], Certificate]] = {
    "sequence": sequence,
    "cross": cross,
    "disc": disc,
    "union": union,
}


def claiming(statement: Statement, tolerance: Fraction) -> Statement:
    return replace(statement, claim=SupError(tolerance), spelling=None)


def false_claim(kind: str, seed: int) -> None:
    """A tolerance just under a proved lower bound: not verified, and no paving of a true claim passes for its proof."""
    rnd = random.Random(f"{kind} {seed}")
    statement = KINDS[kind](rnd).statement
    known = verify(claiming(statement, statement.claim.tolerance * 2), max_boxes=30_000)
    if known.error_lower == 0.0:
        return  # a constant target: no claim about it is false
    tolerance = Fraction(known.error_lower) * (1 - Fraction(rnd.choice(["0.1", "1e-3", "1e-6"])))
    false = claiming(statement, tolerance)
    outcome = verify(false, max_boxes=5_000)
    assert outcome.verdict != "verified"
    assert outcome.error_upper >= known.error_lower
    if outcome.evidence is not None:
        assert kernel_says(bytes_of(false, outcome.evidence)) == "refuted"
    if isinstance(known.evidence, Paving):
        assert kernel_says(bytes_of(false, known.evidence)) == "claim"
        assert kernel_says(bytes_of(false, replace(known.evidence, bound=tolerance))) == "leaf"


@pytest.mark.parametrize("seed", DEFAULT)
@pytest.mark.parametrize("kind", KINDS)
def test_false_claims_are_never_proved(kind: str, seed: int) -> None:
    false_claim(kind, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY)
@pytest.mark.parametrize("kind", KINDS)
def test_many_false_claims_are_never_proved(kind: str, seed: int) -> None:
    false_claim(kind, seed)
