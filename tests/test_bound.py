"""Enclosures of the true error: against sixty-digit evaluations, mpmath quadrature, and the kernel."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import comb
from pathlib import Path

import mpmath
import pytest
from heads import error_at, grid_statement, points_of, statement_of
from test_cli import NEGATIVE, PROVED, UNDECIDED, expect, expect_refusal, run

from attncert import Certificate, InputError, bound
from attncert import verify as verify_certificate
from attncert.certificates.claim import LpError, SupError
from attncert.certificates.condition import satisfied
from attncert.certificates.numbers import mpf_to_fraction
from attncert.certificates.statement import Statement
from attncert.verifier.bound import enclose_error
from attncert.verifier.integers import needed
from attncert.verifier.outcome import columns_of
from attncert.verifier.prove import verify

SMOOTH = "exp(-(x0**2+x1**2))*cos(3*x0*x1)"


def sigmoid_head(n: int, tolerance: Fraction) -> Statement:
    """Tokens with keys 2 i and biases ln binom(n, i) - i: Bernstein polynomials in sigmoid(2 x - 1), which interpolate
    sin(2 pi x) at Chebyshev points.
    """
    with mpmath.workprec(40 + 12 * n):
        nodes = [(1 + mpmath.cos(mpmath.pi * (2 * k + 1) / (2 * n + 2))) / 2 for k in range(n + 1)]
        s = [1 / (1 + mpmath.exp(1 - 2 * x)) for x in nodes]
        basis = mpmath.matrix([[comb(n, i) * z**i * (1 - z) ** (n - i) for i in range(n + 1)] for z in s])
        values = mpmath.lu_solve(basis, mpmath.matrix([mpmath.sin(2 * mpmath.pi * x) for x in nodes]))
        biases = [mpf_to_fraction(mpmath.log(comb(n, i))) - i for i in range(n + 1)]
        rounded = [mpf_to_fraction(value) for value in values]
    return statement_of("sin(2*pi*x)", "[0,1]", [[2 * i for i in range(n + 1)]], biases, [rounded], tolerance)


def lp_of(statement: Statement, p: Fraction | int) -> Statement:
    return replace(statement, claim=LpError(tolerance=Fraction(1), power=Fraction(p)), spelling=None)


@pytest.mark.parametrize("gap", ["0.1", "0.01", "0.000001"])
@pytest.mark.parametrize(
    "statement",
    [
        grid_statement("sin(2*pi*x)", "[0,1]", [16], 200, 1),
        grid_statement("sin(2*pi*x)", "[0,1]", [64], 100_000, 1),
        grid_statement("abs(x - 1/3) + floor(2*x)/8", "[0,1]", [16], 3000, 1),
        grid_statement(SMOOTH, "[0,1]^2", [8, 8], 60, 1),
        grid_statement("[sin(3*x0)*x1, x0 - x1]", "[-1,1]x[0,2]", [6, 6], 20, 1),
        grid_statement("exp(x0*x1)", "[-1,1]^2", [6, 6], 12, 1, conditions=["x0**2 + x1**2 <= 1"]),
    ],
    ids=["soft", "sharp", "kinks", "plane", "outputs", "disc"],
)
def test_the_sup_is_enclosed_to_the_gap(statement: Statement, gap: str) -> None:
    if statement.conditions and Fraction(gap) < Fraction(1, 1000):
        pytest.skip("where the error peaks on a curved boundary, the boxes along it are as thin as the gap")
    found = bound(Certificate(statement, None, {}), gap=gap)
    assert found.verdict == "proved", found.detail
    assert found.certificate is not None
    assert found.witness is not None
    upper, lower = found.certificate.check(), found.witness.check()
    assert (upper.verdict, lower.verdict) == ("proved", "refuted")
    assert Fraction(upper.bound) <= Fraction(lower.bound) * (1 + Fraction(gap))
    points = [x for x in points_of(statement.domain, 40, random.Random(1)) if satisfied(statement.conditions, x)]
    sampled = max(error_at(statement, x) or 0 for x in points)
    assert sampled <= Fraction(upper.bound)


@pytest.mark.parametrize("n", [11, 23, 35])
def test_errors_far_below_float64_are_enclosed(n: int) -> None:
    statement = sigmoid_head(n, Fraction(1))
    found = enclose_error(statement, Fraction(1, 1000))
    assert found.reached, found.detail
    assert found.upper is not None
    assert found.upper < Fraction(1, 10 ** (n // 2))
    dense = max(error_at(statement, (Fraction(k, 400),)) or 0 for k in range(401))
    assert dense <= found.upper
    assert found.lower <= found.upper


@pytest.mark.parametrize(("factor", "verdict"), [("1.02", "verified"), ("0.98", "refuted")])
def test_a_tolerance_of_1e_21_is_decided(factor: str, verdict: str) -> None:
    statement = sigmoid_head(33, Fraction(1))
    error = enclose_error(statement, Fraction(1, 1000)).lower
    assert error < Fraction(1, 10**18)
    claim = replace(statement, claim=SupError(error * Fraction(factor)), spelling=None)
    assert needed(columns_of(claim), error)
    outcome = verify(claim)
    assert outcome.verdict == verdict, outcome.detail
    finding = Certificate(claim, outcome.evidence, {}).check()
    assert finding.verdict == {"verified": "proved"}.get(verdict, verdict)


def test_numbers_beyond_the_limits_of_the_checker_leave_it_open() -> None:
    long = Fraction(3**60_000, 2**95_200)  # more characters than the kernel reads
    statement = statement_of("x", "[0,1]", [[1, 2]], [0, long], [[0, 1]], Fraction(1, 10**20))
    assert verify_certificate(Certificate(statement, None, {})).verdict == "undecided"
    found = bound(Certificate(statement, None, {}), gap="1e-9")
    assert (found.verdict, found.error_lower) == ("undecided", None)


@pytest.mark.parametrize("end", ["proved", "refuted"])
def test_a_bound_is_proved_only_if_the_kernel_says_so_of_both_ends(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check = Certificate.check

    def altered(certificate: Certificate) -> object:
        finding = check(certificate)
        return replace(finding, verdict="unheard of") if finding.verdict == end else finding

    monkeypatch.setattr(Certificate, "check", altered)
    found = bound(Certificate(grid_statement("x", "[0,1]", [4], 20, 1), None, {}))
    assert found.verdict == "undecided"
    assert (found.certificate is None, found.witness is None) == (end == "proved", end == "refuted")


def test_an_exact_head_has_no_positive_lower_end() -> None:
    found = bound(Certificate(statement_of("3/4", "[0,1]", [[1, 2]], [0, 0], [["3/4", "3/4"]], 1), None, {}))
    assert found.verdict == "undecided"
    assert found.error_lower == "0"
    assert float(found.error_upper or "inf") < 1e-11


@pytest.mark.parametrize("p", [1, 2, 3, 4, Fraction(5, 2)])
def test_a_norm_is_enclosed_to_the_gap(p: Fraction | int) -> None:
    statement = lp_of(grid_statement("sin(2*pi*x)", "[0,1]", [16], 200, 1), p)
    found = bound(Certificate(statement, None, {}), gap="0.001")
    assert found.verdict == "proved", found.detail
    assert found.certificate is not None
    finding = found.certificate.check()
    assert finding.lower is not None
    power = mpmath.mpf(Fraction(p).numerator) / Fraction(p).denominator

    def integrand(x: mpmath.mpf) -> mpmath.mpf:
        error = error_at(statement, (mpf_to_fraction(x),))
        assert error is not None
        return (mpmath.mpf(error.numerator) / error.denominator) ** power

    parts = [mpmath.mpf(k) / 64 for k in range(65)]
    norm = sum(_gauss(integrand, a, b) for a, b in pairwise(parts)) ** (1 / power)
    lower, upper = Fraction(finding.lower), Fraction(finding.bound)
    assert upper <= lower * Fraction("1.001")
    slip = Fraction(1, 2000) if p != 2 and p != 4 else Fraction(1, 10**9)  # Gauss's rule meets the zeros of the error
    assert lower * (1 - slip) <= mpf_to_fraction(norm) <= upper * (1 + slip)


def _gauss(f: object, a: mpmath.mpf, b: mpmath.mpf) -> mpmath.mpf:
    """Gauss's rule with five points."""
    nodes = [(0, 128 / mpmath.mpf(225))]
    for sign in (1, -1):
        root = 2 * mpmath.sqrt(mpmath.mpf(10) / 7)
        x = mpmath.sqrt(5 - sign * root) / 3
        w = (322 + sign * 13 * mpmath.sqrt(70)) / 900
        nodes += [(x, w), (-x, w)]
    centre, half = (a + b) / 2, (b - a) / 2
    return half * sum(w * f(centre + half * x) for x, w in nodes)  # type: ignore[operator]


@pytest.mark.parametrize(("p", "size"), [(7, Fraction(1, 10**5)), (100, Fraction(1)), (101, Fraction(1))])
def test_powers_of_small_errors_keep_their_bits(p: int, size: Fraction) -> None:
    target = f"{size}*sin(2*pi*x)"
    found = bound(Certificate(lp_of(grid_statement(target, "[0,1]", [16], 200, 1), p), None, {}), gap="0.05")
    assert found.verdict == "proved", found.detail


def test_a_norm_in_the_plane_is_enclosed_to_a_thousandth() -> None:
    found = enclose_error(lp_of(grid_statement(SMOOTH, "[0,1]^2", [8, 8], 60, 1), 2), Fraction(1, 1000))
    assert found.reached, found.detail


def test_bad_input_is_refused() -> None:
    certificate = Certificate(grid_statement("x", "[0,1]", [4], 20, 1), None, {})
    for gap in ("0", "-1", "1e-12", "nan", "x", "1e9"):
        with pytest.raises(InputError):
            bound(certificate, gap=gap)
    with pytest.raises(InputError, match="float"):
        bound(certificate, gap=0.01)  # type: ignore[arg-type]


def test_the_command_line_writes_both_ends(tmp_path: Path) -> None:
    expect(run("construct", "sin(2*pi*x)", "--domain", "[0,1]", "--tol", "0.05", "-o", "w.json", cwd=tmp_path), PROVED)
    finished = run("bound", "w.json", "--gap", "1e-4", "-o", "up.json", "--witness", "low.json", "--json", cwd=tmp_path)
    answer = json.loads(expect(finished, PROVED).stdout)
    assert answer["verdict"] == "proved"
    assert answer["file"] == "up.json"
    assert float(answer["error_upper"]) <= 1.0001001 * float(answer["error_lower"])
    expect(run("check", "up.json", cwd=tmp_path), PROVED)
    expect(run("check", "low.json", cwd=tmp_path), NEGATIVE)
    expect_refusal(run("bound", "w.json", "-o", "up.json", cwd=tmp_path), "exists")
    expect_refusal(run("bound", "w.json", "--gap", "0", cwd=tmp_path), "gap")
    expect_refusal(run("bound", "absent.json", cwd=tmp_path), "absent.json")
    assert "between" in expect(run("bound", "w.json", cwd=tmp_path), PROVED).stdout
    hurried = run("bound", "w.json", "--gap", "1e-9", "--budget", "0.000001", cwd=tmp_path)
    expect(hurried, UNDECIDED)


def test_an_indicator_claim_has_no_error(tmp_path: Path) -> None:
    made = ["--claim", "indicator", "--grid", "4", "--domain", "[0,1]", "--delta", "0.01", "--measure", "0.1"]
    expect(run("certify", *made, "-o", "cells.json", cwd=tmp_path), PROVED)
    expect_refusal(run("bound", "cells.json", cwd=tmp_path), "indicator")


def test_a_memory_cap_ends_every_search(tmp_path: Path) -> None:
    plane = grid_statement(SMOOTH, "[0,1]^2", [8, 8], 60, 1)
    for statement in (lp_of(plane, 2), lp_of(plane, 1)):
        found = bound(Certificate(statement, None, {}), gap="1e-6", memory="1MiB")
        assert found.verdict == "undecided"
        assert found.error_lower is not None
        assert float(found.error_upper or "inf") < 1
    assert bound(Certificate(lp_of(plane, 2), None, {}), gap="0.01", memory="500MiB").verdict == "proved"
    made = ["--claim", "indicator", "--grid", "8x8", "--domain", "[0,1]^2", "--delta", "0.001", "--measure", "0.1"]
    finished = run("certify", *made, "--memory", "0.0625MiB", cwd=tmp_path)
    assert "memory cap" in expect(finished, UNDECIDED).stdout
