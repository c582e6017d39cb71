"""The best values for given keys and biases, and the proved bound on all values."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import flint
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attncert import Certificate, certify, construct_head, fit
from attncert.certificates.claim import SupError
from attncert.certificates.condition import parse_condition
from attncert.certificates.domain import parse_box
from attncert.certificates.errors import InputError, InvalidAttention, InvalidClaim
from attncert.certificates.evaluate import evaluate_mp
from attncert.certificates.statement import Statement
from attncert.certificates.target import InputSpace, parse_target
from attncert.construct.best_values import Fitting, Scores, minimax
from attncert.construct.embedding import Block, embed, embed_blocks, with_values
from attncert.verifier import dual
from attncert.verifier.dual import least_error
from attncert.verifier.reduction import reduce_head

FIFTH = Fraction(1, 5)


def statement(keys: list[int], biases: list[Fraction], source: str = "x**2", domain: str = "[0,1]") -> Statement:
    space = InputSpace((1, 1))
    zero = [Fraction(0)] * len(keys)
    head = embed(space, [list(map(Fraction, keys))], biases, [[zero]], len(keys))
    return Statement(parse_target(source, space), parse_box(domain), head, SupError(Fraction(1)))


def with_arb(claim: Statement, places: list[tuple[tuple[Fraction, ...], int]]) -> flint.arb:
    """The quotient |sum lambda f| / sum |lambda| by Arb's linear solver, at 600 bits."""
    flint.ctx.prec = 600
    (head,) = reduce_head(claim.attention)
    n = head.tokens
    rows = []
    for (x,), _ in places:
        scores = [
            flint.arb(flint.fmpq(s.numerator, s.denominator))
            for s in (head.keys[0][i] * x + head.biases[i] for i in range(n))  # type: ignore[index]
        ]
        powers = [score.exp() for score in scores]
        total = sum(powers, flint.arb(0))
        rows.append([power / total for power in powers])
    A = flint.arb_mat([[rows[t][i] for t in range(1, n + 1)] for i in range(n)])
    b = flint.arb_mat([[-rows[0][i]] for i in range(n)])
    y = A.solve(b)
    multipliers = [flint.arb(1), *(y[i, 0] for i in range(n))]
    values = []
    for x, _ in places:
        f = evaluate_mp(claim.function, x, 500)[0]
        values.append(flint.arb(int(f.man)) * flint.arb(2) ** int(f.exp) if f else flint.arb(0))
    top = sum((m * f for m, f in zip(multipliers, values, strict=True)), flint.arb(0))
    return abs(top) / sum((abs(m) for m in multipliers), flint.arb(0))


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 7), st.randoms(use_true_random=False))
def test_the_bound_is_that_of_an_independent_ball_arithmetic(n: int, rnd: random.Random) -> None:
    claim = statement(
        [rnd.randint(-9, 9) * n + k for k in range(n)], [Fraction(rnd.randint(-9, 9), 7) for _ in range(n)]
    )
    spread = rnd.sample(range(1000), n + 1)
    places = [((Fraction(k, 999),), 0) for k in spread]
    bound = least_error(claim, 0, places)
    if not bound:
        return  # no bound is no claim
    exact = with_arb(claim, places)
    ours = flint.arb(flint.fmpq(bound.numerator, bound.denominator))
    assert ours <= exact * (1 + flint.arb(2) ** -300)
    assert ours >= exact * flint.arb("0.99")


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 6), st.randoms(use_true_random=False))
def test_no_values_do_better(n: int, rnd: random.Random) -> None:
    claim = statement([3 * k for k in range(n)], [Fraction(rnd.randint(-9, 9), 5) for _ in range(n)], "sin(5*x)")
    places = [((Fraction(2 * k + 1, 2 * n + 2),), 0) for k in range(n + 1)]
    bound = float(least_error(claim, 0, places))
    x = np.linspace(0, 1, 400)
    (head,) = reduce_head(claim.attention)
    fitting = Fitting(claim.function, claim.domain, [Scores(head.keys, head.biases)], n)
    P = fitting.weights(x[:, None], 0)
    best = np.linalg.lstsq(P, np.sin(5 * x), rcond=None)[0]
    for _ in range(20):
        values = best + np.array([rnd.gauss(0, rnd.choice([0, 1e-3, 1])) for _ in range(n)])
        assert np.max(np.abs(np.sin(5 * x) - P @ values)) >= bound - 1e-9


def test_one_token_is_a_constant() -> None:
    """The best constant for x^2 on [0, 1] misses by 1/2, at both ends."""
    claim = statement([0], [Fraction(0)])
    assert Fraction(1, 2) - Fraction(1, 10**60) < least_error(claim, 0, [((Fraction(0),), 0), ((Fraction(1),), 0)])
    assert least_error(claim, 0, [((Fraction(0),), 0), ((Fraction(1),), 0)]) <= Fraction(1, 2)


def test_what_proves_nothing_gives_0() -> None:
    claim = statement([0, 3], [Fraction(0), Fraction(0)])
    good = [((Fraction(k, 2),), 0) for k in range(3)]
    assert least_error(claim, 0, good) > 0
    assert least_error(claim, 0, good[:2]) == 0  # too few places
    assert least_error(claim, 0, [((Fraction(2),), 0), *good[1:]]) == 0  # outside the box
    assert least_error(claim, 0, [good[0], good[1], good[1]]) == 0  # dependent
    assert least_error(statement([3, 3], [Fraction(0)] * 2), 0, good) == 0  # two tokens alike
    cut = replace(claim, conditions=(parse_condition("x <= 3/4", InputSpace((1, 1))),))
    assert least_error(cut, 0, good) == 0  # outside the conditions
    undefined = replace(claim, target=parse_target("1/x", InputSpace((1, 1))))
    assert least_error(undefined, 0, good) == 0


def test_rounded_multipliers_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an inverse that is wrong nothing is proved: the proof rests on the enclosure, not on the solver."""
    claim = statement([0, 3, 6], [Fraction(0)] * 3)
    places = [((Fraction(k, 3),), 0) for k in range(4)]
    assert least_error(claim, 0, places) > 0
    monkeypatch.setattr(dual, "_inverse", lambda twice, P: np.full((3, 3), 1 << P, dtype=object))
    assert least_error(claim, 0, places) == 0


def test_the_program_finds_the_best_quadratic() -> None:
    """x^3 on [-1, 1] is 1/4 from the nearest quadratic; the multipliers sit at the four extrema of T_3."""
    x = np.cos(np.pi * np.arange(301) / 300)
    answer = minimax(np.stack([np.ones_like(x), x, x**2], axis=1), x**3)
    assert answer is not None
    step, error, duals, rank = answer
    assert rank == 3
    assert error == pytest.approx(0.25, rel=1e-6)
    assert step == pytest.approx([0, 0.75, 0], abs=1e-6)
    assert sorted(np.round(x[np.abs(duals) > 1e-6], 6)) == [-1, -0.5, 0.5, 1]
    assert np.abs(duals).sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("target", "domain", "tolerance", "options", "ratio"),
    [
        ("sin(2*pi*x)", "[0,1]", "1e-8", {"method": "spectral"}, 1.03),
        ("sin(2*pi*x)", "[0,1]", "1e-18", {"method": "spectral"}, 1.1),
        ("abs(x - 1/3)", "[-1,1]", "0.05", {"method": "uniform"}, 1.05),
        ("x0*x1", "[0,1]^2", "0.2", {"method": "uniform"}, 1.3),
        ("sin(K[0,0] + 2*Q[0,0])", "[0,1]^2", "0.1", {"attention": "cross", "method": "spectral"}, 1.1),
        ("[[X[0,0], X[0,1]*X[0,0]]]", "[0,1]^2", "0.1", {"shape": "1x2"}, 1.1),
    ],
)
def test_fitted_heads_are_proved_to_be_near_the_optimum(
    target: str, domain: str, tolerance: str, options: dict[str, str], ratio: float
) -> None:
    made = construct_head(target, domain=domain, tolerance=tolerance, **options)
    result = fit(made)
    assert result.verdict == "proved", result.detail
    least, upper = (Fraction(x) for x in (result.notes["optimum"]["least"], result.error_upper or "0"))
    assert 0 < least <= upper <= least * Fraction(ratio)
    assert upper < Fraction(tolerance)
    assert result.certificate is not None
    assert result.certificate.check().verdict == "proved"
    old, new = made.statement.attention, result.certificate.statement.attention
    assert new != old
    assert reduce_head(new)[0].keys == reduce_head(old)[0].keys


@pytest.mark.parametrize(
    ("target", "domain", "tolerance", "options", "ratio"),
    [
        ("sin(2*pi*x)", "[0,1]", "1e-4", {}, 1.05),
        ("exp(-(x0**2+x1**2))*cos(3*x0*x1)", "[0,1]^2", "0.01", {}, 1.1),
        ("K[0,0]**2 + Q[0,0]/2", "[0,1]^2", "0.1", {"attention": "cross"}, 1.05),
        ("[[X[0,0]*X[0,1], X[0,1]]]", "[0,1]^2", "0.3", {"shape": "1x2"}, 1.05),
        ("x0**2 + x1", "[0,1]x[1/3,1/3]", "0.01", {}, 1.05),
    ],
)
def test_values_of_the_input_are_fitted(
    target: str, domain: str, tolerance: str, options: dict[str, str], ratio: float
) -> None:
    """Constants and slopes together; no worse than before, and near what is proved for all such values."""
    made = construct_head(target, domain=domain, tolerance=tolerance, method="affine", **options)
    result = fit(made)
    assert result.verdict == "proved", result.detail
    least, upper = (Fraction(x) for x in (result.notes["optimum"]["least"], result.error_upper or "0"))
    assert 0 < least <= upper <= least * Fraction(ratio)
    assert upper < Fraction(tolerance)
    assert result.certificate is not None
    old, new = (reduce_head(each.statement.attention)[0] for each in (made, result.certificate))
    assert (new.keys, new.biases, sorted(new.slopes)) == (old.keys, old.biases, sorted(old.slopes))


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 4), st.randoms(use_true_random=False))
def test_no_values_of_the_input_do_better(n: int, rnd: random.Random) -> None:
    space, zero = InputSpace((1, 1)), [Fraction(0)] * n
    ones = [Fraction(1)] * n
    block = Block([[Fraction(3 * k) for k in range(n)]], [Fraction(rnd.randint(-9, 9), 5) for _ in range(n)], [zero])
    head = embed_blocks(space, [replace(block, slopes=[[ones]])])
    claim = Statement(parse_target("sin(9*x)", space), parse_box("[0,2]"), head, SupError(Fraction(1)))
    places = [((Fraction(2 * (2 * k + 1), 4 * n + 2),), 0) for k in range(2 * n + 1)]
    bound = float(least_error(claim, 0, places))
    without = replace(claim, attention=embed_blocks(space, [block]))
    assert least_error(without, 0, places) == 0  # too many places for constants
    (reduced,) = reduce_head(head)
    fitting = Fitting(claim.function, claim.domain, [Scores(reduced.keys, reduced.biases)], n, inputs=[0])
    x = np.linspace(0, 2, 600)
    design = fitting.design(x[:, None], 0)
    best = np.linalg.lstsq(design, np.sin(9 * x), rcond=1e-12)[0]
    for _ in range(20):
        unknowns = best + np.array([rnd.gauss(0, rnd.choice([0, 1e-3, 1])) for _ in range(2 * n)])
        assert np.max(np.abs(np.sin(9 * x) - design @ unknowns)) >= bound - 1e-9


def test_unknowns_are_the_values_in_other_coordinates() -> None:
    target, box = parse_target("x0*x1", InputSpace((2, 1))), parse_box("[-1,3]x[1/3,1/3]")
    scores = [Scores([[Fraction(0), Fraction(2)]] * 2, [Fraction(0), Fraction(1)])]
    fitting = Fitting(target, box, scores, 2, inputs=[0, 1])
    start: list[Fraction] = [Fraction(1, 7), Fraction(-2)]
    slopes = {0: [Fraction(3), Fraction(1, 3)], 1: [Fraction(5), Fraction(0)]}
    unknowns = fitting._placed(start, slopes)
    again = fitting._in_terms_of_x(unknowns, slopes, 0.0, [])
    assert (again.values, again.slopes) == (start, slopes)
    x = np.array([[2.5, 1 / 3]])
    values = [float(u) + float(slopes[0][i]) * 2.5 + float(slopes[1][i]) / 3 for i, u in enumerate(start)]
    expected = fitting.weights(x, 0)[0] @ values
    assert fitting.design(x, 0)[0] @ [float(each) for each in unknowns] == pytest.approx(expected)


def test_fitted_and_rounded() -> None:
    made = construct_head("sin(2*pi*x)", domain="[0,1]", tolerance="1e-4", method="spectral", dtype="float32")
    result = fit(made, dtype="float32")
    assert result.certificate is not None
    (head,) = reduce_head(result.certificate.statement.attention)
    assert all(Fraction(float(np.float32(float(v)))) == v for v in head.values[0])  # type: ignore[union-attr]


def test_values_that_cannot_be_replaced() -> None:
    head = construct_head("x", domain="[0,1]", tolerance="0.2", method="uniform").statement.attention
    twisted: Any = replace(head, W_V=head.W_K)
    with pytest.raises(InvalidAttention, match="could be replaced"):
        with_values(twisted, [[Fraction(0)] * head.tokens] * twisted.W_V.shape[0])


def test_bad_input_and_the_command_line(tmp_path: Path) -> None:
    jump = certify("sign(x)", domain="[-1,1]", tolerance="0.5", norm="1").certificate
    assert jump is not None
    with pytest.raises(InvalidClaim, match="sup norm"):
        fit(jump)
    with pytest.raises(InputError, match="unknown dtype"):
        fit(construct_head("x", domain="[0,1]", tolerance="0.2"), dtype="half")
    construct_head("exp(x)", domain="[0,1]", tolerance="0.01").save(tmp_path / "c.json")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "attncert", "fit", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    done = run("c.json", "-o", "f.json", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert float(result["optimum"]["least"]) <= float(result["error_upper"])
    assert Certificate.load(tmp_path / "f.json").check().verdict == "proved"
    shown = run("c.json", "-o", "g.json")
    assert "with these keys, whatever the values; ratio 1.0" in shown.stdout
    for words, line in ((("missing.json",), "No such file"), (("c.json", "-o", "f.json"), "exists")):
        refused = run(*words)
        assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (2, "", 1)
        assert line in refused.stderr
