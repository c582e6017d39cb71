"""L_p bounds against quadrature, and false L_p claims."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from heads import attention_of, bytes_of, kernel_says, statement_of

from attncert.certificates.claim import LpError, claim_from_json, error_claim
from attncert.certificates.domain import parse_box
from attncert.certificates.errors import InvalidClaim, InvalidDomain, InvalidTarget
from attncert.certificates.evidence import Integral, evidence_from_json
from attncert.certificates.statement import Statement
from attncert.certificates.target import InputSpace, parse_target
from attncert.verifier.hull import head_hull
from attncert.verifier.powers import scaled_power
from attncert.verifier.prove import verify
from attncert.verifier.singular import require_integrable


def lp_statement(target: str, anchors: list[str], beta: int, values: list[str], p: str, tol: str) -> Statement:
    """A head in one dimension on [0, 1] with the scores of anchors at inverse temperature beta."""
    places = [Fraction(anchor) for anchor in anchors]
    keys, biases = [[2 * beta * c for c in places]], [-beta * c * c for c in places]
    sup = statement_of(target, "[0,1]", keys, biases, [values], 1)
    return replace(sup, claim=LpError(Fraction(p), Fraction(tol)), spelling=None)


def quadrature(f: object, statement: Statement, p: str, breaks: list[str]) -> float:
    """The L_p norm of f - head on [0, 1] by mpmath, whose pieces end at the breaks."""
    with mpmath.workprec(80):
        points = [mpmath.mpf(0), *(mpmath.mpf(Fraction(x).numerator) / Fraction(x).denominator for x in breaks), 1]
        power = mpmath.mpf(Fraction(p).numerator) / Fraction(p).denominator

        def integrand(x: mpmath.mpf) -> mpmath.mpf:
            head = statement.attention([[x]], precision=80)[0]
            return abs(f(x) - head) ** power  # type: ignore[operator]

        return float(mpmath.quad(integrand, points, maxdegree=7) ** (1 / power))


TENTHS = [f"{k}/16" for k in range(1, 16)]
CASES = [
    ("sin(2*pi*x)", lambda x: mpmath.sin(2 * mpmath.pi * x), TENTHS),
    ("sign(x - 1/3)", lambda x: mpmath.sign(x - mpmath.mpf(1) / 3), sorted([*TENTHS, "1/3"], key=Fraction)),
    ("floor(3*x)", lambda x: mpmath.floor(3 * x), sorted([*TENTHS, "1/3", "2/3"], key=Fraction)),
    ("log(x)", lambda x: mpmath.log(x), ["1/1000000", "1/1000", "1/100", *TENTHS]),
]


@pytest.mark.parametrize("p", ["1", "3/2", "2", "3"])
@pytest.mark.parametrize(("target", "f", "breaks"), CASES, ids=[case[0] for case in CASES])
def test_the_bracket_contains_the_quadrature(target: str, f: object, breaks: list[str], p: str) -> None:
    statement = lp_statement(target, ["1/8", "3/8", "5/8", "7/8"], 12, ["1/4", "1", "-1", "1/2"], p, "10")
    true = quadrature(f, statement, p, breaks)
    outcome = verify(statement)
    assert outcome.verdict == "verified"
    assert outcome.error_lower <= true * (1 + 1e-6)
    assert true * (1 - 1e-6) <= outcome.error_upper
    assert outcome.error_upper <= 1.011 * outcome.error_lower
    assert isinstance(outcome.evidence, Integral)
    assert evidence_from_json(outcome.evidence.to_json()) == outcome.evidence


def false_claim(seed: int) -> None:
    """A tolerance just under a proved lower bound is never verified, and is refuted when there is time."""
    rnd = random.Random(f"false L_p claim {seed}")
    target, _, _ = rnd.choice(CASES)
    p = rnd.choice(["1", "5/4", "2", "4"])
    anchors = sorted(f"{rnd.randint(0, 64)}/64" for _ in range(rnd.randint(1, 6)))
    values = [f"{rnd.randint(-20, 20)}/8" for _ in anchors]
    statement = lp_statement(target, anchors, rnd.choice([0, 1, 10, 1000]), values, p, "100")
    known = verify(statement, max_boxes=3000)
    assert known.verdict == "verified"
    assert known.error_lower > 0
    tolerance = Fraction(known.error_lower) * Fraction(rnd.choice(["0.5", "0.99", "0.9999"]))
    false = replace(statement, claim=LpError(Fraction(p), tolerance), spelling=None)
    outcome = verify(false, max_boxes=20000)
    assert outcome.verdict != "verified"
    assert outcome.error_upper >= known.error_lower
    assert kernel_says(bytes_of(false, known.evidence)) != "proved"


@pytest.mark.parametrize("seed", range(30))
def test_false_claims_are_never_verified(seed: int) -> None:
    false_claim(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30, 130))
def test_more_false_claims_are_never_verified(seed: int) -> None:
    false_claim(seed)


def test_refutation() -> None:
    statement = lp_statement("sin(2*pi*x)", ["1/2"], 1, ["0"], "2", "0.7")  # the norm is sqrt(1/2) = 0.7071...
    outcome = verify(statement)
    assert outcome.verdict == "refuted"
    assert 0.7 < outcome.error_lower <= math.sqrt(0.5) <= outcome.error_upper
    assert isinstance(outcome.evidence, Integral)
    assert outcome.evidence.lower > Fraction("0.7")


def test_the_columns_add_up() -> None:
    """Both columns of the head are 0, so the norm is (int x + int (1 - x))^1 = 1."""
    space = InputSpace((1, 1))
    head = attention_of((1, 1), [[0, 0]], [0, 0], [[0, 0]], columns=(0, 1))
    target = parse_target("[[x, x - 1]]", space)
    statement = Statement(target, parse_box("[0,1]"), head, LpError(Fraction(1), Fraction("1.001")))
    outcome = verify(statement)
    assert outcome.verdict == "verified"
    assert outcome.error_lower <= 1 <= outcome.error_upper
    assert isinstance(outcome.evidence, Integral)
    assert len(outcome.evidence.trees) == 2
    assert verify(replace(statement, claim=LpError(Fraction(1), Fraction("0.999")))).verdict == "refuted"


def test_an_undefined_target_is_not_verified() -> None:
    statement = lp_statement("sqrt(x - 1/2)", ["1/2"], 1, ["0"], "1", "100")
    outcome = verify(statement, max_boxes=2000)
    assert outcome.verdict == "undecided"
    assert outcome.error_upper == math.inf


# ---------------------------------------------------------------------------------------------------------------------
# Singularities


@pytest.mark.parametrize(
    ("target", "p", "norm"),
    [
        ("abs(x - 1/3)**(-1/4)", "2", math.sqrt(2 * (math.sqrt(1 / 3) + math.sqrt(2 / 3)))),
        ("x**(-1/2)", "1", 2.0),
        ("3/sqrt(x) - 1", "1", None),
        ("log(x)", "1", 1.0),
        ("log(x)", "2", math.sqrt(2)),
        ("log(abs(1/2 - x))", "1", 1 + math.log(2)),
    ],
)
def test_singular_targets_against_closed_forms(target: str, p: str, norm: float | None) -> None:
    """The head is 0, so the norm is that of the target; 3/sqrt(x) - 1 > 0 has the integral 5."""
    true = 5.0 if norm is None else norm
    statement = lp_statement(target, ["1/2"], 1, ["0"], p, "10")
    outcome = verify(statement)
    assert outcome.verdict == "verified"
    assert outcome.error_lower <= true <= outcome.error_upper <= 1.02 * outcome.error_lower
    assert isinstance(outcome.evidence, Integral)
    assert "*" in outcome.evidence.trees[0]
    below = replace(statement, claim=LpError(Fraction(p), Fraction(true * 0.98)), spelling=None)
    assert verify(below, max_boxes=50000).verdict != "verified"


@pytest.mark.parametrize(("target", "p"), [("1/x", "1"), ("x**(-1/2)", "2"), ("abs(x - 1/3)**(-1/4)", "4")])
def test_what_is_not_integrable_is_refused(target: str, p: str) -> None:
    with pytest.raises(InvalidTarget, match="not integrable near x = 0"):
        verify(lp_statement(target, ["1/2"], 1, ["0"], p, "10"))


def test_a_cancelled_pole_is_not_called_divergent() -> None:
    require_integrable(parse_target("(x - x)/x", InputSpace((1, 1))), parse_box("[0,1]"), Fraction(1))


# ---------------------------------------------------------------------------------------------------------------------
# The hull and the powers


@pytest.mark.parametrize("seed", range(40))
def test_the_hull_is_that_of_all_corners(seed: int) -> None:
    rnd = random.Random(f"hull {seed}")
    counts = [rnd.randint(1, 7) for _ in range(rnd.randint(1, 4))]
    n = sum(counts)
    values = np.array([rnd.choice([rnd.uniform(-3, 3), 0.0, 1.0]) for _ in range(n)])
    centre = np.array([rnd.uniform(-6, 3) for _ in range(n)])
    radius = np.array([rnd.choice([0.0, rnd.uniform(0, 4)]) for _ in range(n)])
    lower, upper = head_hull(values, centre, radius, np.array(counts))
    start = 0
    for b, count in enumerate(counts):
        part = slice(start, start + count)
        means = []
        for signs in itertools.product((-1, 1), repeat=count):
            weight = np.exp(centre[part] + np.array(signs) * radius[part])
            means.append(float(np.sum(weight * values[part]) / np.sum(weight)))
        assert lower[b] <= min(means) + 1e-15
        assert max(means) - 1e-15 <= upper[b]
        assert lower[b] == pytest.approx(min(means), abs=1e-11)
        assert upper[b] == pytest.approx(max(means), abs=1e-11)
        start += count


@pytest.mark.parametrize("seed", range(20))
def test_powers_are_bounded_on_both_sides(seed: int) -> None:
    rnd = random.Random(f"powers {seed}")
    p = Fraction(rnd.randint(10, 400), rnd.randint(3, 10))
    x = np.array([0.0, 1.0, *(2.0 ** rnd.uniform(-30, 30) for _ in range(50))])
    low, high = scaled_power(x, float(p), -1), scaled_power(x, float(p), 1)
    with mpmath.workprec(200):
        for k, number in enumerate(x.tolist()):
            true = mpmath.mpf(number) ** (mpmath.mpf(p.numerator) / p.denominator) if number else mpmath.mpf(0)
            assert mpmath.mpf(low[k]) <= true
            assert true <= mpmath.mpf(high[k])


# ---------------------------------------------------------------------------------------------------------------------
# Claims


def test_claims_are_read_back() -> None:
    claim = LpError(Fraction(3, 2), Fraction(1, 20))
    assert claim.to_json() == {"kind": "error", "norm": "0x1.8p+0", "tolerance": "0.05"}
    assert claim_from_json(claim.to_json()) == claim


@pytest.mark.parametrize("norm", ["0.99", "-1", "0", "two", "", "nan", "Inf"])
def test_norms_that_are_none(norm: str) -> None:
    with pytest.raises(InvalidClaim):
        error_claim(norm, Fraction(1))


def test_a_degenerate_side_is_refused() -> None:
    head = attention_of((1, 1), [[0]], [0], [[0]])
    target = parse_target("x", InputSpace((1, 1)))
    with pytest.raises(InvalidDomain, match="positive length"):
        Statement(target, parse_box("[1,1]"), head, LpError(Fraction(1), Fraction(1)))
