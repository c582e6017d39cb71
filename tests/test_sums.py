"""Sums of heads: the engine and the kernel against the sum as it is written, and claims that are false."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from heads import attention_of, bytes_of, errors_at, evaluated, inputs_of, kernel_says, points_of
from test_general import claim_with, trained, uniform_tree

from attncert.certificates.attention import SumAttention
from attncert.certificates.claim import SupError
from attncert.certificates.domain import parse_box
from attncert.certificates.errors import InvalidAttention
from attncert.certificates.evidence import Paving
from attncert.certificates.statement import Statement
from attncert.certificates.target import InputSpace, parse_target
from attncert.verifier.outcome import columns_of
from attncert.verifier.point import proved_error
from attncert.verifier.prove import verify


def random_sum(rnd: random.Random, tolerance: str = "1000") -> Statement:
    """Two or three heads, quadratic ones or sharp ones with constant values, against a smooth or kinked function."""
    shape = rnd.choice([(1, 1), (1, 1), (2, 1)])
    m = shape[0]
    heads = []
    for _ in range(rnd.choice([1, 2, 2, 3])):
        tokens = rnd.choice([1, 2, 5, 8])
        if rnd.random() < 0.3:
            keys = [[Fraction(rnd.randint(-99, 99), 3) for _ in range(tokens)] for _ in range(m)]
            values = [[Fraction(rnd.gauss(0, 1)) for _ in range(tokens)]]
            heads.append(attention_of(shape, keys, [Fraction(rnd.randint(-9, 9)) for _ in range(tokens)], values))
        else:
            heads.append(trained(rnd, shape, tokens, scale=rnd.choice([0.5, 1.0, 2.0])))
    names = ["x", "x"] if m == 1 else ["x0", "x1"]
    target = rnd.choice(["sin(2*{0}) + {1}/2", "abs({0} - 1/3) * {1}", "1/2"]).format(*names)
    domain = rnd.choice(["[-1,1]", "[0,1]", "[-1/3,0.7]"]) + ("" if m == 1 else "^2")
    space = InputSpace(shape)
    return Statement(
        parse_target(target, space), parse_box(domain), SumAttention(tuple(heads)), SupError(Fraction(tolerance))
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_sum_is_the_sum_of_its_heads(seed: int) -> None:
    rnd = random.Random(seed)
    statement = random_sum(rnd)
    total = statement.attention
    assert isinstance(total, SumAttention)
    for x in points_of(statement.domain, 3, rnd):
        inputs = inputs_of(total, x)  # type: ignore[arg-type]
        with mpmath.workdps(60):
            expected = mpmath.fsum(evaluated(head, *inputs)[0][0] for head in total.heads)
        assert abs(total(*inputs)[0, 0] - expected) < 1e-25 * (1 + abs(expected))
        floats = total(*[np.array(X, float) for X in inputs])
        assert abs(floats[0, 0] - float(expected)) < 1e-10 * (1 + abs(float(expected)))


def false_claim(seed: int) -> None:
    """A tolerance just under a proved lower bound is never proved; the largest error sampled is bounded from above."""
    rnd = random.Random(seed)
    statement = random_sum(rnd)
    known = verify(statement, max_boxes=3_000)
    assert known.verdict == "verified"
    assert isinstance(known.evidence, Paving)
    assert kernel_says(bytes_of(statement, known.evidence)) == "proved"
    seen = max(max(errors_at(statement, x)) for x in points_of(statement.domain, 6, rnd))
    assert known.error_upper >= seen
    if known.error_lower == 0:
        return
    false = claim_with(statement, Fraction(known.error_lower) * (1 - Fraction(rnd.choice(["0.1", "1e-3", "1e-6"]))))
    outcome = verify(false, max_boxes=2_000)
    assert outcome.verdict != "verified"
    assert outcome.error_upper >= known.error_lower
    if outcome.evidence is not None:
        assert kernel_says(bytes_of(false, outcome.evidence)) == "refuted"
    assert kernel_says(bytes_of(false, replace(known.evidence, bound=false.claim.tolerance))) == "leaf"
    tight = claim_with(statement, Fraction(known.error_lower) * Fraction(51, 50))
    outcome = verify(tight, max_boxes=20_000)
    if outcome.evidence is not None:
        assert kernel_says(bytes_of(tight, outcome.evidence)) in ("proved", "refuted")


@pytest.mark.parametrize("seed", range(12))
def test_false_claims_are_never_proved(seed: int) -> None:
    false_claim(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
def test_many_false_claims_are_never_proved(seed: int) -> None:
    false_claim(seed)
