"""Proofs by enlarged regions: polytopes, trees, the choice of kappa, Z3's second opinion, and two proofs together."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from heads import (
    bytes_of,
    error_at,
    grid_statement,
    inside,
    json_of,
    kernel_says,
    points_of,
    random_statement,
    sealed,
    statement_of,
    with_tolerance,
)
from partitions import affine_scores, at, clipped, difference, rectangle, sites

import attncert
from attncert.certificates.claim import Indicator, LpError, Partition, SupError
from attncert.certificates.deadline import NEVER, Deadline
from attncert.certificates.document import Document
from attncert.certificates.domain import parse_box
from attncert.certificates.errors import InputError
from attncert.certificates.evaluate import evaluate_mp
from attncert.certificates.evidence import Both, Counterexample, Enlarged, Paving
from attncert.certificates.statement import Statement
from attncert.certificates.target import InputSpace, parse_target
from attncert.construct.uniform import SHARPEST, inverse_temperatures
from attncert.verifier import enlarged, opinion, polytopes
from attncert.verifier.agreement import together
from attncert.verifier.cells import cells_of
from attncert.verifier.opinion import Opinion, Opinions, is_piecewise_polynomial
from attncert.verifier.outcome import Outcome, columns_of
from attncert.verifier.polytopes import Contradiction, confirm, polytope_of
from attncert.verifier.prove import require_proof, verify
from attncert.verifier.reduction import reduce_head
from attncert.verifier.solver import Answer, Solver


def proved(statement: Statement, **arguments: Any) -> Enlarged:
    """The evidence, which the kernel accepts."""
    outcome = verify(statement, proof="regions", **arguments)
    assert outcome.verdict == "verified", outcome.detail
    assert isinstance(outcome.evidence, Enlarged)
    assert kernel_says(bytes_of(statement, outcome.evidence)) == "proved"
    return outcome.evidence


def plane(tolerance: str = "0.55") -> Statement:
    return grid_statement("x0*x1 - x0**2", "[0,1]^2", [3, 3], 3000, tolerance)


# ---------------------------------------------------------------------------------------------------------------------
# Polytopes


@pytest.mark.parametrize("seed", range(6))
def test_bounding_boxes_are_those_of_the_clipped_polygons(seed: int) -> None:
    """In the plane the enlarged region is a polygon, cut corner by corner; tokens that never win have one too."""
    rnd = random.Random(seed)
    kappa = Fraction(rnd.choice(["1/100", "1/3", "0.05"]))
    box, head = parse_box("[0,1]^2"), sites(2, rnd.choice([2, 5, 9]), seed, denominator=rnd.choice([7, None]))
    (scores,) = affine_scores(head, 2)
    cells = polytopes.enlarged(cells_of(reduce_head(head)[0], box), kappa)
    empties = 0
    with Solver() as solver:
        for i, score in enumerate(scores):
            polygon = rectangle(box)
            for k, other in enumerate(scores):
                *slopes, constant = difference(score, other)
                polygon = clipped(polygon, (*slopes, constant + kappa)) if polygon and k != i else polygon
            found = polytope_of(cells, i, rnd.sample(range(len(scores)), 1) if i else [])
            assert found.empty == (not polygon)
            assert confirm(cells, found, solver, None)
            empties += found.empty
            for k, (lo, hi) in enumerate(found.box) if polygon else []:
                ends = min(x[k] for x in polygon), max(x[k] for x in polygon)
                assert lo <= ends[0] <= ends[1] <= hi
                assert ends[0] - lo < Fraction(1, 10**9) > hi - ends[1]
    assert solver.queries == len(scores)


def test_a_box_that_z3_contradicts_is_a_defect() -> None:
    head, box = sites(2, 5, 0), parse_box("[0,1]^2")
    cells = polytopes.enlarged(cells_of(reduce_head(head)[0], box), Fraction(1, 10))
    good = polytope_of(cells, 0, [])
    (lo, hi), *others = good.box
    with Solver() as solver:
        assert confirm(cells, good, solver, None)
        with pytest.raises(Contradiction, match="beyond its bounding box, which is proved"):
            confirm(cells, replace(good, box=((lo, (lo + hi) / 2), *others)), solver, None)
        with pytest.raises(Contradiction):
            confirm(cells, replace(good, empty=True), solver, None)


def test_a_solver_that_does_not_answer_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The multipliers do not come from Z3: without it the proof is the same, and what it did not confirm is said."""
    monkeypatch.setattr(Solver, "ask_any", lambda *arguments: None)
    outcome = verify(plane(), proof="regions")
    assert outcome.verdict == "verified"
    assert "Z3 confirmed the bounding boxes of 0 of 9 regions" in outcome.detail


# ---------------------------------------------------------------------------------------------------------------------
# The proof


def test_evidence_says_what_is_true() -> None:
    """By dense sampling in exact scores: regions lie in their boxes, values near the target on them, leaks are paid."""
    statement = grid_statement("[sin(3*x0)*x1, x0 - x1]", "[0,1]x[-1,1]", [4, 5], 900, "0.7")
    evidence = proved(statement)
    (scores,) = affine_scores(statement.attention, 2)
    values = reduce_head(statement.attention)[0].values
    rnd, near = random.Random(3), 0
    for x in points_of(statement.domain, 400, rnd):
        table = [at(score, x) for score in scores]
        f = [Fraction(float(value)) for value in evaluate_mp(statement.function, x, 60)]
        for i, proof in enumerate(evidence.columns[0]):
            if table[i] >= max(table) - evidence.kappa:
                assert all(lo <= a <= hi for a, (lo, hi) in zip(x, proof.box, strict=True))
                assert max(abs(f[r] - values[r][i]) for r in range(2)) <= evidence.delta
                near += 1
    assert near > 400
    spread = max(max(row) - min(row) for row in values)
    with mpmath.workprec(100):
        leak = 19 * mpmath.exp(-mpmath.mpf(float(evidence.kappa))) * float(spread)
        assert float(evidence.delta) + leak <= float(evidence.bound)


def test_rivals_that_do_not_bound_a_region_cut_its_box() -> None:
    """A cell that is a diamond: its bounding box holds corners where the target is far off, and others win."""
    places = [(0, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)]
    keys = [[200 * place[k] for place in places] for k in range(2)]
    biases = [-100 * (a * a + b * b) for a, b in places]
    # x0 + x1 = 1 is the face between the first two; the target is 0 on the diamond, up to 1 beyond
    target = "max(0, abs(x0) + abs(x1) - 1)"
    statement = statement_of(target, "[-1,1]^2", keys, biases, [["0", "0.5", "0.5", "0.5", "0.5"]], "0.6")
    evidence = proved(statement)
    middle = evidence.columns[0][0]
    assert middle.box == ((-1, 1), (-1, 1))
    assert len(middle.rivals) == 4
    assert middle.tree.count(".") > 1


def test_empty_regions_of_other_columns_are_shown_to_be_empty() -> None:
    result = attncert.certify("[[X[0,0], X[0,1]]]", shape="1x2", domain="[0,1]^2", tolerance="0.4", proof="regions")
    assert result.verdict == "proved"
    evidence = result.certificate.evidence
    assert evidence.regions == result.tokens
    assert sum(proof.tree is None for column in evidence.columns for proof in column) == result.tokens


CASES = {
    "cross": {"target": "sin(K[0,0] + 2*Q[0,0])", "domain": "[0,1]^2", "attention": "cross", "tolerance": "0.4"},
    "disc": {"target": "exp(x0*x1)", "where": ["x0**2 + x1**2 <= 1"], "tolerance": "0.5"},
    "fixed": {"target": "x0*x1 + x2", "domain": "[0,1]x[1/3,1/3]x[-1,1]", "tolerance": "0.3"},
    "point": {"target": "exp(x0)", "domain": "[1/3,1/3]", "tolerance": "0.3"},
    "constant": {"target": "7", "domain": "[0,1]", "tolerance": "1e-6"},
    "vector": {"target": "[x, 1 - x**2, abs(x - 1/3)]", "domain": "[0,1]", "tolerance": "0.1"},
    "apriori": {"target": "sqrt(x)", "domain": "[0,1]", "tolerance": "0.2", "apriori": True},
    "union": {"target": "1/x", "domain": "[-2,-1] | [1,3/2]", "tolerance": "0.2"},
}


@pytest.mark.parametrize("name", CASES)
def test_heads_of_all_kinds_are_proved_both_ways(name: str) -> None:
    case: dict[str, Any] = {"domain": "[-1,1]^2", **CASES[name]}
    result = attncert.certify(case.pop("target"), **case, proof="both")
    assert result.verdict == "proved", result.detail
    assert isinstance(result.certificate.evidence, Both)
    assert result.certificate.check().verdict == "proved"


def test_kappa_and_delta_fit_the_bound() -> None:
    """delta + (N - 1) e^-kappa osc <= bound with mpmath, for every choice; the first leaves the most room."""
    statement = grid_statement("[x, 3*x]", "[0,1]", [11], 4000, "0.4")
    choices = enlarged.choices_of(statement, columns_of(statement), Fraction("0.4"))
    assert len({choice.kappa for choice in choices}) == len(choices) > 3
    rooms = [choice.seen + choice.leak for choice in choices]
    assert rooms == sorted(rooms)
    spread = Fraction(3) * Fraction(10, 11)
    with mpmath.workprec(100):
        for choice in choices:
            leak = 10 * mpmath.exp(-mpmath.mpf(choice.kappa.numerator) / choice.kappa.denominator) * float(spread)
            assert mpmath.mpf(choice.delta.numerator) / choice.delta.denominator + leak <= mpmath.mpf("0.4")
            assert choice.kappa > 0


def test_a_soft_head_is_left_open() -> None:
    """A mean of 0 and 1 that satisfies its claim, which no region does."""
    statement = grid_statement("x", "[0,1]", [2], 4, "0.32")
    assert verify(statement).verdict == "verified"
    outcome = verify(statement, proof="regions")
    assert (outcome.verdict, outcome.evidence) == ("undecided", None)
    assert "prove at best about" in outcome.detail
    assert "too soft" in outcome.detail
    assert 0 < outcome.error_lower < 0.32
    both = verify(statement, proof="both")
    assert both.verdict == "verified"
    assert isinstance(both.evidence, Paving)
    assert "by regions undecided" in both.detail


def test_regions_never_refute() -> None:
    statement = grid_statement("x", "[0,1]", [4], 4000, "0.1")
    outcome = verify(statement, proof="regions")
    assert (outcome.verdict, outcome.evidence) == ("undecided", None)
    assert outcome.error_lower > 0.1
    both = verify(statement, proof="both")
    assert both.verdict == "refuted"
    assert isinstance(both.evidence, Counterexample)


def test_a_search_that_ends_early_is_left_open() -> None:
    assert "stopped after" in verify(plane(), proof="regions", max_boxes=5).detail
    late = verify(plane(), proof="regions", deadline=Deadline(0.0))
    assert (late.verdict, late.interrupted) == ("undecided", False)
    assert "stopped before" in late.detail


def test_an_interrupt_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(enlarged, "polytope_of", interrupt)
    outcome = verify(plane(), proof="regions")
    assert (outcome.verdict, outcome.interrupted) == ("undecided", True)


def test_tolerances_beyond_float64_are_left_open() -> None:
    statement = statement_of("1", "[0,1]", [[0]], [0], [[1]], "1e-30")
    assert verify(statement).verdict == "verified"
    outcome = verify(statement, proof="regions")
    assert outcome.verdict == "undecided"
    assert "float64" in outcome.detail
    assert isinstance(verify(statement, proof="both").evidence, Paving)


def attempt(seed: int) -> str:
    """Claims about a random head near its true error: false ones are not proved, and what is proved passes the kernel;
    true evidence does not carry a false claim.
    """
    rnd = random.Random(f"enlarged {seed}")
    statement = random_statement(rnd)
    points = [x for x in points_of(statement.domain, 40, rnd) if inside(statement, x)]
    known = max((error for x in points if (error := error_at(statement, x)) is not None), default=Fraction(0))
    if not Fraction(1, 10**60) < known < 10**60:
        return "nothing"
    outcome = verify(with_tolerance(statement, known * Fraction(999, 1000)), proof="regions", max_boxes=20_000)
    assert outcome.verdict == "undecided"
    wide = with_tolerance(statement, known * rnd.choice([2, 5, 40]))
    outcome = verify(wide, proof="regions", max_boxes=20_000)
    if outcome.evidence is None:
        return "open"
    assert kernel_says(bytes_of(wide, outcome.evidence)) == "proved"
    false = with_tolerance(statement, known * Fraction(999, 1000))
    for lie in ({}, {"delta": Fraction(1, 2) * known}, {"delta": false.claim.tolerance, "kappa": Fraction(10**6)}):
        assert kernel_says(bytes_of(false, replace(outcome.evidence, bound=false.claim.tolerance, **lie))) != "proved"
    return "proved"


@pytest.mark.parametrize("seed", range(12))
def test_false_claims_about_random_heads_are_not_proved(seed: int) -> None:
    attempt(seed)


@pytest.mark.slow
def test_false_claims_about_many_random_heads_are_not_proved() -> None:
    found = [attempt(seed) for seed in range(12, 72)]
    assert found.count("proved") > 20


# ---------------------------------------------------------------------------------------------------------------------
# The second opinion


@pytest.mark.parametrize(
    ("target", "known"),
    [
        ("x**3 - x/7 + 2", True),
        ("abs(x) + min(x, 1, x**2) - max(x, 0.3)", True),
        ("where(x <= 1/2 and not 0 < x, sign(x), x)", True),
        ("x**64", True),
        ("x**65", False),
        ("1/(2 + x)", False),
        ("x**-1", False),
        ("sqrt(abs(x))", False),
        ("floor(x)", False),
        ("pi*x", False),
        ("sin(x)", False),
        ("x**x", False),
    ],
)
def test_what_z3_can_be_asked_about(target: str, known: bool) -> None:
    assert is_piecewise_polynomial(parse_target(target, InputSpace((1, 1)))) == known


def asked(statement: Statement, factor: Fraction = Fraction(1), seconds: float = 60.0) -> Opinion:
    """The opinion about a delta that is a part of the one that was proved."""
    evidence = proved(statement)
    (head,), (column,) = reduce_head(statement.attention), columns_of(statement)
    cells = polytopes.enlarged(cells_of(head, statement.domain), evidence.kappa)
    regions = [(polytope_of(cells, i, proof.rivals), proof.rivals) for i, proof in enumerate(evidence.columns[0])]
    with Solver() as solver:
        opinions = Opinions(statement, evidence.delta * factor, solver, seconds, NEVER)
        return opinions.about(column, head, cells, [(region, rivals) for region, rivals in regions if not region.empty])


PIECEWISE = {
    "polynomial": plane(),
    "pieces": grid_statement("where(x < 1/2, abs(x - 1/4), sign(x)*min(x, 1 - x, 7))", "[0,1]", [5], 4000, "0.4"),
    "powers": grid_statement("[x**3, max(x, x**2, 1/3) - x/7]", "[-1,1]", [6], 4000, "0.7"),
    "disc": grid_statement("x0*x1", "[-1,1]^2", [2, 2], 3000, "0.9", None, ["x0**2 + x1**2 <= 1", "not x0 > 0.9"]),
}


@pytest.mark.parametrize("name", PIECEWISE)
def test_z3_agrees_about_piecewise_polynomials(name: str) -> None:
    statement = PIECEWISE[name]
    tokens = statement.attention.tokens
    assert asked(statement) == Opinion(tokens, tokens, tokens)
    outcome = verify(statement, proof="regions")
    assert f"agrees on {tokens} of {tokens} regions" in outcome.detail


@pytest.mark.parametrize("name", PIECEWISE)
def test_a_point_that_holds_up_against_the_proof_is_a_defect(name: str) -> None:
    with pytest.raises(Contradiction, match="intervals prove"):
        asked(PIECEWISE[name], Fraction(1, 10))


def test_a_contradiction_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A point at which the proved bound fails: here the solver is made to name one, and the target to be elsewhere."""
    monkeypatch.setattr(Solver, "ask_about", lambda *arguments: Answer((Fraction(1, 2), Fraction(1, 2))))
    monkeypatch.setattr(opinion, "evaluate_mp", lambda *arguments: [mpmath.mpf(9)])
    with pytest.raises(Contradiction):
        verify(plane(), proof="regions")


def test_points_that_do_not_hold_up_and_silence_are_no_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    for answer in (None, Answer((Fraction(1, 2), Fraction(1, 2))), Answer((Fraction(7), Fraction(7)))):
        monkeypatch.setattr(Solver, "ask_about", lambda *arguments, answer=answer: answer)
        outcome = verify(plane(), proof="regions")
        assert outcome.verdict == "verified"
        assert "agrees on 0 of 9 regions, gave no answer on 9" in outcome.detail
    assert asked(plane(), seconds=0.0).words().endswith("on 0 of 9 regions, was not asked about 9 for want of time")
    assert Opinion().words() is None


def test_z3_that_takes_too_long_is_ended() -> None:
    """A question that nonlinear arithmetic does not settle at once, asked with almost no patience."""
    m = 6
    target = " + ".join(f"x{k}**7*x{(k + 1) % m}**5*x{(k + 2) % m}**3" for k in range(m))
    statement = statement_of(target, f"[-1,1]^{m}", [[0]] * m, [0], [[0]], "7")
    (head,), (column,) = reduce_head(statement.attention), columns_of(statement)
    cells = cells_of(head, statement.domain)
    with Solver() as solver:
        opinions = Opinions(statement, Fraction("5.9"), solver, 0.05, NEVER)
        found = opinions.about(column, head, cells, [(polytope_of(cells, 0, []), ())])
    assert found in (Opinion(0, 1, 1), Opinion(1, 1, 1))


# ---------------------------------------------------------------------------------------------------------------------
# Both together


def outcome_of(verdict: Any, evidence: Any = None) -> Outcome:
    return Outcome(verdict, evidence, 0.1, 0.3, 2, 5, 1.0, f"it is {verdict}")


def test_two_proofs_together() -> None:
    paving, regions = Paving(Fraction(1, 4), 64, 40, (".",)), proved(plane())
    point = Counterexample((Fraction(0),), (0, 0), 64)
    both = together(outcome_of("verified", paving), outcome_of("verified", regions))
    assert both.evidence == Both(paving, regions)
    assert both.boxes == 10
    first = together(outcome_of("verified", paving), outcome_of("undecided"))
    assert (first.verdict, first.evidence) == ("verified", paving)
    assert "by regions undecided" in first.detail
    second = together(outcome_of("undecided"), outcome_of("verified", regions))
    assert (second.verdict, second.evidence) == ("verified", regions)
    assert "the paving is undecided" in second.detail
    assert together(outcome_of("refuted", point), outcome_of("undecided")).evidence == point
    assert together(outcome_of("undecided"), outcome_of("undecided")).verdict == "undecided"
    with pytest.raises(Contradiction, match="disagree"):
        together(outcome_of("refuted", point), outcome_of("verified", regions))
    with pytest.raises(Contradiction, match="disagree"):
        together(outcome_of("verified", paving), outcome_of("refuted", point))


def test_evidence_survives_being_written() -> None:
    statement = plane()
    evidence = verify(statement, proof="both").evidence
    assert isinstance(evidence, Both)
    for part in (evidence, evidence.enlarged):
        data = Document(statement, part).to_bytes()
        assert Document.from_bytes(data).evidence == part
        assert Document.from_bytes(data).to_bytes() == data
    assert evidence.leaves == evidence.paving.leaves + evidence.enlarged.leaves
    assert evidence.bound == min(evidence.paving.bound, evidence.enlarged.bound)


@pytest.mark.parametrize(
    "damage",
    [
        {"kappa": 3},
        {"precision": True},
        {"columns": [0]},
        {"columns": [[{"rivals": [], "box": [], "faces": []}]]},
        {"columns": [[{"rivals": [True], "box": [], "faces": [], "tree": "."}]]},
        {"columns": [[{"rivals": [], "box": [["0"]], "faces": [], "tree": "."}]]},
        {"columns": [[{"rivals": [], "box": [], "faces": [[1]], "tree": "."}]]},
        {"columns": [[{"rivals": [], "box": [], "faces": [], "tree": 1}]]},
        {"more": None},
    ],
)
def test_damaged_evidence_is_not_read(damage: dict[str, Any]) -> None:
    document = json_of(plane(), proved(plane()))
    document["evidence"] |= damage
    with pytest.raises(InputError):
        Document.from_bytes(sealed(document))
    document["evidence"] = {"kind": "both", "paving": document["evidence"], "enlarged": document["evidence"]}
    with pytest.raises(InputError):
        Document.from_bytes(sealed(document))


def test_proofs_that_do_not_fit() -> None:
    for claim in (LpError(Fraction(2), Fraction(1)), Indicator(Fraction(1, 2), Fraction(1)), Partition(((),))):
        require_proof("paving", claim)
        for proof in ("regions", "both"):
            with pytest.raises(InputError, match="sup norm only"):
                require_proof(proof, claim)
    with pytest.raises(InputError, match="this version knows: paving, regions, both"):
        require_proof("magic", SupError(Fraction(1)))
    with pytest.raises(InputError, match="sup norm only"):
        attncert.certify("x", domain="[0,1]", tolerance="0.1", norm="2", proof="regions")


def test_sharp_heads_are_sharp() -> None:
    """Sixty-four times the a-priori inverse temperature, and little more than the tokens of the default head."""
    sharp = attncert.certify("sin(2*pi*x)", domain="[0,1]", tolerance="0.05", proof="regions")
    soft = attncert.certify("sin(2*pi*x)", domain="[0,1]", tolerance="0.05", method="uniform")
    assert soft.tokens <= sharp.tokens <= 1.1 * soft.tokens
    (beta,) = inverse_temperatures(parse_box("[0,1]"), [sharp.tokens], 1.0, Fraction("0.05"))
    assert float(sharp.notes["beta"]) == pytest.approx(float(SHARPEST * beta), rel=1e-2)
    assert np.isfinite(float(sharp.error_lower))
