"""Indicator claims: the layer against its exact measure, false claims, and the claim object."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from heads import attention_of, bytes_of, kernel_says

import attncert
from attncert.certificates.claim import Indicator, SupError, claim_from_json
from attncert.certificates.condition import parse_condition
from attncert.certificates.domain import parse_box
from attncert.certificates.errors import InvalidClaim, InvalidDomain
from attncert.certificates.evidence import Layers, evidence_from_json
from attncert.certificates.statement import Statement, statement_from_json
from attncert.certificates.target import InputSpace
from attncert.construct.indicator import apriori_sharpness
from attncert.verifier.prove import verify


def two_regions(slope: Fraction, face: Fraction, delta: str, measure: Fraction) -> Statement:
    """Scores 0 and slope (x - face) on [0, 1]: 2 (1 - max softmax) = 2 / (1 + exp(slope |x - face|))."""
    head = attention_of((1, 1), [[0, slope]], [0, -slope * face], [[0, 1]])
    return Statement(None, parse_box("[0,1]"), head, Indicator(Fraction(delta), measure))


def layer_of(slope: Fraction, face: Fraction, delta: str) -> float:
    """The exact measure of the layer: |x - face| < log(2/delta - 1) / slope, within [0, 1]."""
    half = math.log(2 / float(Fraction(delta)) - 1) / float(slope)
    return min(1.0, float(face) + half) - max(0.0, float(face) - half)


def around_the_exact_measure(seed: int) -> None:
    """Verified a little above the exact measure; never verified below it, whatever evidence comes along."""
    rnd = random.Random(f"layer {seed}")
    slope, face = Fraction(rnd.randint(1, 4000)), Fraction(rnd.randint(0, 60), 60)
    delta = rnd.choice(["0.5", "0.1", "1/1000", "1e-9", "0.99"])
    exact = layer_of(slope, face, delta)
    above = two_regions(slope, face, delta, Fraction(exact * 1.01))
    outcome = verify(above)
    assert outcome.verdict == "verified"
    assert outcome.error_upper <= exact * 1.01
    assert outcome.error_upper >= exact * (1 - 1e-9)
    assert kernel_says(bytes_of(above, outcome.evidence)) == "proved"
    below = two_regions(slope, face, delta, Fraction(exact * 0.999))
    assert verify(below, max_boxes=20000).verdict == "undecided"
    assert kernel_says(bytes_of(below, outcome.evidence)) != "proved"


@pytest.mark.parametrize("seed", range(40))
def test_claims_around_the_exact_measure(seed: int) -> None:
    around_the_exact_measure(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40, 140))
def test_more_claims_around_the_exact_measure(seed: int) -> None:
    around_the_exact_measure(seed)


def test_ties_everywhere_are_all_layer() -> None:
    head = attention_of((1, 1), [[0, 0]], [0, 0], [[0, 1]])
    statement = Statement(None, parse_box("[0,1]"), head, Indicator(Fraction("0.9"), Fraction("0.999")))
    outcome = verify(statement, max_boxes=2000)
    assert outcome.verdict == "undecided"
    assert outcome.error_upper >= 1


def test_conditions_cut_the_layer_off() -> None:
    statement = two_regions(Fraction(100), Fraction(1, 2), "0.01", Fraction("0.03"))
    assert verify(statement, max_boxes=5000).verdict == "undecided"
    condition = parse_condition("x <= 1/2", InputSpace((1, 1)))
    half = replace(statement, conditions=(condition,), claim=Indicator(Fraction("0.01"), Fraction("0.054")))
    outcome = verify(half)
    assert outcome.verdict == "verified"
    assert isinstance(outcome.evidence, Layers)
    assert "-" in outcome.evidence.trees[0]


def test_a_grid_in_the_plane() -> None:
    result = attncert.certify_indicator(domain="[0,1]^2", grid="3x2", delta="0.01", measure="0.3", check=False)
    assert result.verdict == "verified"
    assert result.tokens == 6
    assert result.certificate is not None
    statement = result.certificate.statement
    assert statement.target is None
    head = statement.attention
    generator = random.Random("grid")
    inside = 0
    for _ in range(500):
        x, y = Fraction(generator.random()), Fraction(generator.random())
        value = float(head([[x], [y]], precision=80)[0])
        region = int(3 * x) * 2 + int(2 * y)
        inside += abs(value - region) < 0.1
    assert inside / 500 >= 0.65


def test_objects_are_read_back() -> None:
    statement = two_regions(Fraction(100), Fraction(1, 2), "0.01", Fraction("0.2"))
    outcome = verify(statement)
    assert outcome.evidence is not None
    assert evidence_from_json(outcome.evidence.to_json()) == outcome.evidence
    assert claim_from_json(statement.claim.to_json()) == statement.claim
    import json

    again = statement_from_json(json.loads(statement.text))
    assert again.target is None
    assert again.sha256 == statement.sha256


@pytest.mark.parametrize(("delta", "measure"), [("0", "1"), ("1", "1"), ("-1/2", "1"), ("1/2", "0"), ("1/2", "-1")])
def test_numbers_out_of_range(delta: str, measure: str) -> None:
    with pytest.raises(InvalidClaim):
        Indicator(Fraction(delta), Fraction(measure))


def test_a_target_goes_with_an_error_and_with_nothing_else() -> None:
    statement = two_regions(Fraction(1), Fraction(1, 2), "0.1", Fraction(1))
    with pytest.raises(InvalidClaim, match="target"):
        replace(statement, claim=SupError(Fraction(1)))
    with pytest.raises(InvalidDomain, match="positive length"):
        replace(statement, domain=parse_box("[0,0]"))


def exact_layer(counts: Sequence[int], sharpness: float, delta: float) -> float:
    """The share of the box on which 2 (1 - max softmax) > delta, at the midpoints of a lattice."""
    best = np.ones(1)
    for count in counts:
        parts = 400 if count > 1 else 1
        places = (np.arange(parts * count) + 0.5) / parts
        scores = -sharpness * (places[:, None] - (np.arange(count) + 0.5)) ** 2 if count > 1 else np.zeros((parts, 1))
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        best = np.multiply.outer(best, (weights / weights.sum(axis=1, keepdims=True)).max(axis=1)).ravel()
    return float(np.mean(2 * (1 - best) > delta))


@pytest.mark.parametrize("counts", [(2,), (3,), (40,), (1, 2), (3, 4), (2, 1, 2)])
@pytest.mark.parametrize(("delta", "measure"), [("0.001", "0.1"), ("0.5", "0.02"), ("0.01", "0.9")])
def test_the_layer_of_theory_is_thin_enough(counts: tuple[int, ...], delta: str, measure: str) -> None:
    claim = Indicator(Fraction(delta), Fraction(measure))
    sharpness = float(apriori_sharpness(parse_box(f"[0,1]^{len(counts)}"), counts, claim))
    layer = exact_layer(counts, sharpness, float(delta))
    assert layer <= float(measure) * 1.001 + 2 / 400 / max(counts)
    assert layer >= 0.2 * float(measure)


def test_the_sharpness_of_theory_in_closed_form() -> None:
    claim = Indicator(Fraction(1, 100), Fraction(1, 10))
    two = apriori_sharpness(parse_box("[0,1]"), (2,), claim)
    assert float(two) == pytest.approx(math.log(200) * 10 / 2, rel=1e-9)
    assert two >= math.log(200) * 5
    plane = apriori_sharpness(parse_box("[0,1]x[0,3]"), (8, 2), claim)
    assert float(plane) == pytest.approx(math.log(1600) * 30 * (7 / 8 + 1 / 2), rel=1e-9)
    assert apriori_sharpness(parse_box("[0,1]"), (1,), claim) == 0


@pytest.mark.parametrize(
    ("domain", "grid", "delta", "measure", "where"),
    [
        ("[0,1]", "2", "1e-9", "0.1", ()),
        ("[0,1]", "1", "0.1", "0.1", ()),
        ("[-1,2]x[0,1/2]", "5x2", "0.01", "0.3", ()),
        ("[-1,1]^2", "4x4", "0.01", "0.5", ("x0**2 + x1**2 <= 1",)),
        ("[-1,1]^2", "6x6", "0.01", "0.5", ("x0 + x1 <= -1/2",)),
    ],
)
def test_the_head_of_theory_is_proved(domain: str, grid: str, delta: str, measure: str, where: tuple[str, ...]) -> None:
    result = attncert.certify_indicator(
        domain=domain, grid=grid, delta=delta, measure=measure, where=where, apriori=True
    )
    assert result.verdict == "proved"
    assert result.certificate is not None
    theory = result.notes["apriori"]
    assert theory["tokens"] == result.tokens == result.certificate.statement.attention.tokens
    assert theory["beta"] == result.notes["beta"]
    assert (theory["bound"], theory["delta"]) == (measure, f"{float(delta):g}")
    default = attncert.certify_indicator(
        domain=domain, grid=grid, delta=delta, measure=measure, where=where, check=False
    )
    assert default.notes["apriori"] == theory
