"""Sums of heads: the engine and the kernel against the sum as it is written, and claims that are false."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from heads import (
    attention_of,
    bytes_of,
    errors_at,
    evaluated,
    full,
    inputs_of,
    kernel_says,
    matrix_of,
    points_of,
    statement_of,
)
from test_general import claim_with, trained

from attncert.certificates.attention import SumAttention, attention_from_json
from attncert.certificates.claim import LpError, SupError
from attncert.certificates.condition import parse_condition
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


def test_columns_and_conditions_and_cross_attention() -> None:
    """Two output columns on a disc; a sum of two heads that take K and Q."""
    rnd = random.Random(2)
    weights = {"keys": [[0, 3, -3], [1, 0, 2]], "biases": [5, -5, 0], "columns": (0, 1), "factors": [1, -1, 1]}
    heads = tuple(
        attention_of((2, 1), values=[[rnd.randint(-3, 3) for _ in range(3)]], products={(0, 1): [p, 0, 1]}, **weights)
        for p in (2, -2)
    )
    space = InputSpace((2, 1))
    target, conditions = parse_target("[[x0*x1, x1]]", space), (parse_condition("x0**2 + x1**2 <= 1", space),)
    box = parse_box("[-1,1]^2")
    disc = Statement(target, box, SumAttention(heads), SupError(Fraction(9)), conditions)
    crossed = statement_of("K[0,0] - Q[0,0]", box, [[0, 4], [0, 4]], [0, -4], [[0, 1]], 9, ((1, 1), (1, 1)))
    other = statement_of("0", box, [[2, -4], [0, 1]], [0, 1], [[2, 1]], 9, ((1, 1), (1, 1)))
    pair = replace(crossed, attention=SumAttention((crossed.attention, other.attention)))  # type: ignore[arg-type]
    for statement in (disc, pair):
        known = verify(statement)
        assert known.evidence is not None
        assert kernel_says(bytes_of(statement, known.evidence)) == "proved"
        tight = claim_with(statement, Fraction(known.error_lower) * Fraction(21, 20))
        tight = replace(tight, conditions=statement.conditions)
        outcome = verify(tight)
        assert outcome.verdict == "verified"
        assert outcome.evidence is not None
        assert kernel_says(bytes_of(tight, outcome.evidence)) == "proved"


def test_an_output_projection_and_a_fixed_context_are_part_of_the_heads() -> None:
    """T = O1 H1 + O2 H2 over the columns of X and of a constant: O joins W_V, the constant columns are in R."""
    rnd = random.Random(4)
    space = InputSpace((1, 1))
    heads, projected = [], []
    for factor in (Fraction(3, 2), Fraction(-2)):
        head = trained(rnd, (1, 1), 4)
        linear = ((head.linear[0][0], matrix_of([[1, 0, 0, 0]])),)  # column 0 is X, the others a context
        head = replace(head, linear=linear)
        heads.append(head)
        projected.append(replace(head, W_V=matrix_of([[factor * number for number in full(head.W_V)[0]]])))
    total = SumAttention(tuple(projected))
    statement = Statement(parse_target("x", space), parse_box("[-1,1]"), total, SupError(Fraction(1000)))
    for x in points_of(statement.domain, 3, rnd):
        inputs = inputs_of(total, x)  # type: ignore[arg-type]
        first, second = (evaluated(head, *inputs)[0][0] for head in heads)
        assert abs(total(*inputs)[0, 0] - (1.5 * first - 2 * second)) < 1e-12
    found = verify(statement)
    assert found.evidence is not None
    assert kernel_says(bytes_of(statement, found.evidence)) == "proved"
    found = verify(claim_with(statement, Fraction(found.error_lower) * Fraction(21, 20)))
    assert found.verdict == "verified"


def test_tiny_tolerances_of_sums_are_proved_on_integers() -> None:
    """T_1 + T_2 = 2 sigmoid(4 x) - 2 sigmoid(4 x) + small: far below float64."""
    one = attention_of((1, 1), [[0, 4]], [0, 0], [[0, 2]])
    two = attention_of((1, 1), [[0, 4]], [0, 0], [["1e-20", "-2"]])
    target = parse_target("0", InputSpace((1, 1)))
    for tolerance, verdict in (("1.0001e-20", "verified"), ("0.5e-20", "refuted")):
        statement = Statement(target, parse_box("[-1/8,1/8]"), SumAttention((one, two)), SupError(Fraction(tolerance)))
        outcome = verify(statement, max_boxes=4_000)
        assert outcome.verdict == verdict
        assert outcome.evidence is not None
        assert kernel_says(bytes_of(statement, outcome.evidence)) == verdict.replace("verified", "proved")


@pytest.mark.parametrize("seed", range(8))
def test_proved_errors_at_points_are_below_the_errors(seed: int) -> None:
    rnd = random.Random(seed)
    statement = random_sum(rnd)
    (column,) = columns_of(statement, sums=True)
    for x in points_of(statement.domain, 6, rnd):
        lower = proved_error(statement.function, 0, 0, column.head, x)
        error = max(errors_at(statement, x))
        assert lower <= error <= lower + Fraction(1, 10**9)


def test_what_sums_do_not_support_is_said() -> None:
    statement = random_sum(random.Random(3))
    with pytest.raises(InvalidAttention, match="sum of heads"):
        columns_of(statement)
    for proof in ("regions", "both"):
        with pytest.raises(InvalidAttention, match="sum of heads"):
            verify(statement, proof=proof)
    with pytest.raises(InvalidAttention, match="sum of heads"):
        verify(replace(statement, claim=LpError(Fraction(2), Fraction(9))))
    head = trained(random.Random(1), (1, 1), 2)
    for heads in (
        (),
        (head, trained(random.Random(1), (2, 1), 2)),
        (head, trained(random.Random(1), (1, 1), 2, outputs=2)),
    ):
        with pytest.raises(InvalidAttention, match="heads"):
            SumAttention(heads)
    document = SumAttention((head,)).to_json()
    assert attention_from_json(document) == SumAttention((head,))
    for wrong in (
        {**document, "bias": "0"},
        {"kind": "sum"},
        {"kind": "sum", "heads": 3},
        {"kind": "sum", "heads": [document]},
    ):
        with pytest.raises(InvalidAttention):
            attention_from_json(wrong)


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
