"""Indicator claims: the layer against its exact measure, false claims, and the claim object."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from fractions import Fraction

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
