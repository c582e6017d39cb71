"""The front door: verdicts, bounds, refusals, and certificates that are saved, loaded and checked again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import FrozenInstanceError, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import attncert
from attncert import Certificate, Result, api, certify, construct_head, verify
from attncert.certificates.claim import SupError
from attncert.certificates.errors import (
    InputError,
    InvalidCertificate,
    InvalidClaim,
    InvalidDomain,
    InvalidTarget,
    UndefinedTarget,
)
from attncert.certificates.evaluate import evaluate_float, evaluate_mp
from attncert.certificates.evidence import Counterexample, Paving
from attncert.certificates.numbers import mpf_to_fraction
from attncert.verifier import kernel

SINE = {"target": "sin(2*pi*x)", "domain": "[0,1]", "tolerance": "0.05", "method": "uniform"}


def certified(**arguments: Any) -> Result:
    return certify(**{**SINE, **arguments})


@pytest.fixture(scope="module")
def sine() -> Result:
    return certified()


def certificate_of(result: Result) -> Certificate:
    assert result.certificate is not None
    return result.certificate


def bounds(result: Result) -> tuple[Fraction, Fraction]:
    assert result.error_lower is not None
    assert result.error_upper is not None
    return Fraction(result.error_lower), Fraction(result.error_upper)


def errors_at(certificate: Certificate, point: Sequence[Fraction]) -> list[Fraction]:
    """|f - T| of every entry at a point, row by row, to sixty digits."""
    statement = certificate.statement
    (shape,) = statement.attention.input_shapes
    X = [list(point[i * shape[1] : (i + 1) * shape[1]]) for i in range(shape[0])]
    head = map(mpf_to_fraction, statement.attention(X, precision=200))
    return [abs(mpf_to_fraction(f) - T) for f, T in zip(evaluate_mp(statement.target, point, 200), head, strict=True)]


def largest_error(certificate: Certificate, points: int) -> float:
    """The largest |f - T| at points that are spread evenly over the domain, in float64."""
    statement = certificate.statement
    (shape,) = statement.attention.input_shapes
    lo, hi = (np.array([float(side[k]) for side in statement.domain.sides]) for k in (0, 1))
    steps = [1 / points, *np.sqrt([2.0, 3.0, 5.0])][: len(lo)]
    x = lo + (hi - lo) * (np.arange(points)[:, None] * steps % 1)
    values = np.array([statement.attention(row.reshape(shape)).ravel() for row in x])
    return float(np.max(np.abs(evaluate_float(statement.target, x) - values)))


SLIP = Fraction(1, 10**12)
"""More than float64 costs in `largest_error`."""


# --- certify ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "domain", "tolerance", "most"),
    [
        ("sin(2*pi*x)", "[0,1]", "0.05", 70),
        ("sqrt(x)", "[0,1]", "0.05", 250),
        ("exp(-(x0**2+x1**2))*cos(3*x0*x1)", "[0,1]^2", "0.05", 80),
        ("x0*x1 - x2**2 + x0*x2/2", "[0,1]^3", "0.25", 250),
        ("[sin(3*x0)*x1, abs(x0-x1)]", "[-1,1]x[0,2]", "0.1", 900),
        ("where(x < 0, -x, x)", "[-1,1]", "0.1", 15),
        ("[[x0, x1], [x0*x1, 1]]", "[0,1]^2", "0.2", 100),
        ("1/3", "[0,1]^2", "1e-9", 1),
        ("x0 + x1", "[0,1]x[1/3,1/3]", "0.1", 10),
    ],
)
def test_main_cases_are_proved(target: str, domain: str, tolerance: str, most: int) -> None:
    result = certify(target, domain=domain, tolerance=tolerance)
    assert result.verdict == "proved"
    lower, upper = bounds(result)
    assert 0 <= lower <= upper <= Fraction(tolerance)
    certificate = certificate_of(result)
    assert isinstance(certificate.evidence, Paving)
    assert result.tokens == certificate.statement.attention.tokens <= most
    assert result.boxes >= certificate.evidence.leaves
    assert result.statement_sha256 == certificate.statement_sha256 == certificate.statement.sha256
    assert result.notes == certificate.notes
    assert (result.point, result.interrupted) == (None, False)
    finding = certificate.check()
    assert (finding.verdict, finding.statement_sha256) == ("proved", result.statement_sha256)
    assert f"{finding.obligations} obligations" in result.detail
    assert largest_error(certificate, 100) <= upper + SLIP


def test_the_bounds_enclose_the_largest_error(sine: Result) -> None:
    lower, upper = bounds(sine)
    assert lower * Fraction(97, 100) <= largest_error(certificate_of(sine), 2000) <= upper + SLIP
    assert lower > upper * Fraction(98, 100)


def test_theory_costs_more_tokens_and_gives_a_smaller_error(sine: Result) -> None:
    result = certified(apriori=True)
    assert result.verdict == "proved"
    assert result.tokens == result.notes["apriori"]["tokens"] > 3 * sine.tokens
    lower, upper = bounds(result)
    assert lower <= upper < Fraction("0.015")
    assert certificate_of(result).statement.claim.tolerance == Fraction("0.05")
    assert largest_error(certificate_of(result), 200) <= upper + SLIP


def test_without_the_kernel_a_bound_is_only_verified(monkeypatch: pytest.MonkeyPatch, sine: Result) -> None:
    monkeypatch.setattr(kernel, "check_bytes", lambda *_: pytest.fail("the kernel was asked"))
    result = certified(check=False)
    assert result.verdict == "verified"
    assert bounds(result) == bounds(sine)
    assert "kernel" not in result.detail
    assert certificate_of(result).evidence is not None


def test_what_the_kernel_rejects_is_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    def reject(*_: object) -> None:
        raise kernel.Rejected("unproved", "no reason at all")

    monkeypatch.setattr(kernel, "check_bytes", reject)
    result = verify(construct_head(**SINE))
    assert result.verdict == "undecided"
    assert "the kernel rejected the evidence" in result.detail
    assert "no reason at all" in result.detail


def test_equal_requests_make_equal_certificates(sine: Result) -> None:
    assert certificate_of(certified()).to_bytes() == certificate_of(sine).to_bytes()
    assert certificate_of(certified(tolerance=Fraction(1, 20))).to_bytes() == certificate_of(sine).to_bytes()


def test_tolerances_may_be_exact_numbers() -> None:
    assert certify("x", domain="[0,4]", tolerance=1).verdict == "proved"
    assert certify("x", domain="[0,1]", tolerance=Fraction(1, 3)).verdict == "proved"
    assert certificate_of(certify("x", domain="[0,1]", tolerance="1/3")).statement.claim.tolerance == Fraction(1, 3)


def test_several_jobs_prove_the_same_claim(sine: Result) -> None:
    result = certified(jobs=2)
    assert result.verdict == "proved"
    assert result.statement_sha256 == sine.statement_sha256


def test_progress_is_reported() -> None:
    seen: list[Any] = []
    result = certify("sin(3*x0)*x1", domain="[0,1]^2", tolerance="0.1", progress=seen.append)
    assert result.verdict == "proved"
    assert seen
    assert all(0 <= step.fraction <= 1 and step.tokens > 0 for step in seen)
    assert max(step.boxes for step in seen) <= result.boxes


def test_matrix_inputs() -> None:
    result = certify("X[0,0]*X[1,1] + X[0,1]", domain="[0,1]^4", tolerance="0.6", shape="2x2")
    assert result.verdict == "proved"
    assert certificate_of(result).statement.attention.input_shapes == ((2, 2),)


def test_cross_attention() -> None:
    result = certify("K[0,0]*Q[0,0]", domain="[0,1]^2", tolerance="0.25", attention="cross")
    assert result.verdict == "proved"
    head = certificate_of(result).statement.attention
    assert head.kind == "cross"
    assert abs(head([["1/2"]], [["1/2"]])[0, 0] - 0.25) <= 0.25


@pytest.mark.parametrize(
    ("target", "domain", "where"),
    [
        ("x0*x1", "[0,1]^2", ["x0 + x1 <= 1"]),
        ("sqrt(1 - x0**2 - x1**2)", "[-1,1]^2", ["x0**2 + x1**2 <= 0.5"]),
        ("x", "[0,1] | [2,3]", []),
    ],
)
def test_domains_with_conditions(target: str, domain: str, where: list[str]) -> None:
    result = certify(target, domain=domain, tolerance="0.25", where=where)
    assert result.verdict == "proved"
    assert certificate_of(result).check().verdict == "proved"


# --- answers that are no proof ---------------------------------------------------------------------------------------


def test_a_result_is_neither_true_nor_false(sine: Result) -> None:
    with pytest.raises(TypeError, match="compare its verdict"):
        bool(sine)
    with pytest.raises(TypeError, match="verdict"):
        assert sine


def test_results_are_short_to_print_and_do_not_change(sine: Result) -> None:
    assert len(repr(sine)) < 1000
    assert "verdict='proved'" in repr(sine)
    assert len(repr(sine.certificate)) < 3000
    with pytest.raises(FrozenInstanceError):
        sine.verdict = "proved"  # type: ignore[misc]


def test_no_time_at_all_leaves_everything_open() -> None:
    result = certified(budget=0)
    assert result.verdict == "undecided"
    assert (result.error_lower, result.error_upper, result.certificate, result.tokens) == (None, None, None, 0)
    assert not result.interrupted


def test_little_time_leaves_bounds() -> None:
    certificate = construct_head(
        "exp(-(x0**2+x1**2))*cos(3*x0*x1)", domain="[0,1]^2", tolerance="0.02", method="spectral"
    )
    result = verify(certificate, budget=0.01)
    assert result.verdict == "undecided"
    lower, upper = bounds(result)
    assert 0 < lower <= Fraction("0.02") < upper < 4
    assert largest_error(certificate, 10) <= upper + SLIP
    assert "stopped" in result.detail
    assert certificate_of(result).evidence is None
    assert certificate_of(result).statement == certificate.statement


@pytest.fixture(scope="module")
def too_good(sine: Result) -> Certificate:
    """The sine's head under a tolerance that it does not reach."""
    certificate = certificate_of(sine)
    return replace(
        certificate, statement=replace(certificate.statement, claim=SupError(Fraction("0.02"))), evidence=None
    )


@pytest.mark.parametrize("check", [True, False])
def test_false_claims_are_refuted_at_a_point(too_good: Certificate, check: bool) -> None:
    result = verify(too_good, check=check)
    assert result.verdict == "refuted"
    evidence = certificate_of(result).evidence
    assert isinstance(evidence, Counterexample)
    assert evidence.point in too_good.statement.domain
    assert result.point == tuple(map(str, evidence.point))
    error = errors_at(too_good, evidence.point)[evidence.entry[0]]
    assert Fraction("0.02") < Fraction(result.error_lower or 0) <= error
    assert result.error_upper is None
    assert certificate_of(result).check().verdict == "refuted"
    assert result.statement_sha256 == too_good.statement_sha256


def test_the_entry_that_fails_is_named() -> None:
    certificate = construct_head("[x, 5*x]", domain="[0,1]", tolerance="0.5", method="spectral")
    statement = replace(certificate.statement, claim=SupError(Fraction("0.3")))
    result = verify(replace(certificate, statement=statement))
    assert result.verdict == "refuted"
    evidence = certificate_of(result).evidence
    assert isinstance(evidence, Counterexample)
    assert evidence.entry == (1, 0)


def test_interrupts_end_the_search_as_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "search_evidence", interrupt)
    result = certified()
    assert (result.verdict, result.interrupted, result.certificate) == ("undecided", True, None)


# --- certificates ----------------------------------------------------------------------------------------------------


def test_certificates_are_saved_loaded_and_checked(tmp_path: Path, sine: Result) -> None:
    path = tmp_path / "sine.json.gz"
    certificate_of(sine).save(path)
    loaded = Certificate.load(path)
    assert type(loaded) is Certificate
    assert loaded.to_bytes() == certificate_of(sine).to_bytes()
    finding = loaded.check()
    assert finding.verdict == "proved"
    assert finding.obligations > 0
    assert finding.statement_sha256 == sine.statement_sha256
    with pytest.raises(InvalidCertificate, match="exists"):
        loaded.save(path)
    loaded.save(path, overwrite=True)


def test_construct_makes_a_claim_without_evidence(sine: Result) -> None:
    certificate = construct_head(**SINE)
    assert type(certificate) is Certificate
    assert certificate.evidence is None
    assert certificate.statement_sha256 == sine.statement_sha256
    with pytest.raises(kernel.Rejected):
        certificate.check()
    result = verify(certificate)
    assert result.verdict == "proved"
    assert certificate_of(result).to_bytes() == certificate_of(sine).to_bytes()


def test_verified_certificates_can_be_verified_again(sine: Result) -> None:
    assert verify(certificate_of(sine)).verdict == "proved"


def test_the_kernel_rejects_evidence_for_another_claim(sine: Result, too_good: Certificate) -> None:
    with pytest.raises(kernel.Rejected):
        replace(too_good, evidence=certificate_of(sine).evidence).check()
    evidence = certificate_of(sine).evidence
    assert isinstance(evidence, Paving)
    with pytest.raises(kernel.Rejected):
        replace(certificate_of(sine), evidence=replace(evidence, bound=evidence.bound / 2)).check()
    with pytest.raises(kernel.Rejected):
        replace(certificate_of(sine), evidence=replace(evidence, trees=(evidence.trees[0][:-1],))).check()


def test_notes_do_not_sway_the_verifier() -> None:
    certificate = construct_head(**SINE)
    for estimate in ("1e-30", "nan", "inf", "-1", "a lot", None, [1], "1e400"):
        result = verify(replace(certificate, notes={"sampled_error": estimate}))
        assert result.verdict == "proved", estimate
        assert bounds(result)[1] <= Fraction("0.05")


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        ({"tolerance": 0.05}, InvalidClaim, "a float is not exact"),
        ({"tolerance": float("nan")}, InvalidClaim, "a float is not exact"),
        ({"tolerance": "five"}, InvalidClaim, "'five'"),
        ({"tolerance": ""}, InvalidClaim, "tolerance"),
        ({"tolerance": "nan"}, InvalidClaim, "nan"),
        ({"tolerance": "0"}, InvalidClaim, "must be positive, not 0"),
        ({"tolerance": "-0.05"}, InvalidClaim, "must be positive, not -0.05"),
        ({"tolerance": 0}, InvalidClaim, "must be positive"),
        ({"tolerance": Fraction(-1, 2)}, InvalidClaim, "must be positive"),
        ({"tolerance": "1e-400"}, InvalidClaim, "between"),
        ({"tolerance": "1e400"}, InvalidClaim, "between"),
        ({"norm": "0.5"}, InputError, "norm"),
        ({"norm": "largest"}, InputError, "norm 'largest'"),
        ({"attention": "multi"}, InputError, "unknown attention 'multi'"),
        ({"attention": ""}, InputError, "unknown attention"),
        ({"method": "magic"}, InputError, "unknown method 'magic'"),
        ({"proof": "belief"}, InputError, "unknown proof 'belief'"),
        ({"precision": 8}, InputError, "precision"),
        ({"precision": 10**6}, InputError, "precision"),
        ({"shape": "2"}, InputError, "'2' is not of the form DxN"),
        ({"shape": "0x1"}, InputError, "DxN"),
        ({"shape": "axb"}, InputError, "'axb'"),
        ({"shape": "-1x-1"}, InputError, "DxN"),
        ({"shape": "2x2"}, InvalidDomain, "the domain has 1 side"),
        ({"shape": "1x1,1x1"}, InputError, "one input"),
        ({"domain": "[0,1]^2"}, InvalidTarget, "x"),
        ({"domain": "[1,0]"}, InvalidDomain, "reversed"),
        ({"domain": "[0,inf]"}, InvalidDomain, "not a finite end"),
        ({"domain": "0..1"}, InvalidDomain, "expected a side"),
        ({"domain": "[0,1e400]"}, InvalidDomain, "ends of the domain"),
        ({"domain": "[0,1e-200]"}, InvalidDomain, "side of the domain"),
        ({"target": "sin(2*pi*y)"}, InvalidTarget, "unknown variable 'y'"),
        ({"target": "sin(2*pi*x"}, InvalidTarget, "column"),
        ({"target": ""}, InvalidTarget, "column|empty"),
        ({"target": "1/x"}, UndefinedTarget, "undefined at x = 0"),
        ({"target": "sign(x - 1/3)"}, InvalidTarget, r"jumps by about 2 near x = 0.333333: .*L_p"),
        ({"target": "__import__('os')"}, InvalidTarget, "column"),
        ({"where": ["x +"]}, InputError, "condition"),
    ],
)
def test_requests_that_make_no_claim_are_refused_in_one_line(
    arguments: dict[str, Any], error: type[InputError], reason: str
) -> None:
    with pytest.raises(error, match=reason) as caught:
        certified(**arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("target", ["1e200*x", "exp(x)**300", "x*1e300"])
def test_overflow_inside_is_refused_without_a_warning(target: str) -> None:
    code = f"import attncert; attncert.certify({target!r}, domain='[0,1]', tolerance='0.1')"
    finished = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    assert re_last_line(finished.stderr).startswith("attncert.certificates.errors.")


def re_last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


# --- names -----------------------------------------------------------------------------------------------------------


def test_every_public_name_is_there() -> None:
    for name in attncert.__all__:
        assert getattr(attncert, name) is not None
    with pytest.raises(AttributeError, match="magic"):
        attncert.magic  # noqa: B018


def test_the_room_of_constructors_and_the_function_live_side_by_side() -> None:
    code = (
        "import attncert; attncert.construct_head('x', domain='[0,1]', tolerance='0.3');"
        "import attncert.construct.uniform as room; room.uniform_head"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- decimals --------------------------------------------------------------------------------------------------------


@given(st.fractions(min_value=0) | st.fractions(min_value=0, max_value=1).map(lambda x: x**40))
def test_decimals_are_rounded_outward(x: Fraction) -> None:
    down, up = api._decimal(x, api.ROUND_FLOOR), api._decimal(x, api.ROUND_CEILING)
    assert down is not None
    assert up is not None
    assert Fraction(down) <= x <= Fraction(up)
    assert Fraction(up) - Fraction(down) <= x * Fraction(2, 10**8)
    assert len(down.lstrip("0.").partition("E")[0].replace(".", "")) <= 9 or Fraction(down) >= 10**9


def test_the_upper_bound_is_rounded_up() -> None:
    result = certify("1/3", domain="[0,1]", tolerance="0.12345678901")
    assert (result.error_lower, result.error_upper) == ("0", "0.12345679")
    evidence = certificate_of(result).evidence
    assert isinstance(evidence, Paving)
    assert evidence.bound == Fraction("0.12345678901")


def test_decimals_that_end_are_kept() -> None:
    assert api._decimal(Fraction(1, 20), api.ROUND_CEILING) == "0.05"
    assert api._decimal(Fraction(0), api.ROUND_FLOOR) == "0"
    assert api._decimal(None, api.ROUND_FLOOR) is None


# --- shapes and domains ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "domain", "tolerance", "more"),
    [
        ("[[X[0,0]*X[0,1], X[0,1], X[0,0]-1]]", "[0,1]^2", "0.3", {"shape": "1x2"}),  # n_o = 3, n = 2
        ("[[X[0,0]*X[1,2], X[0,1]-X[1,0]+X[1,1]*X[0,2]]]", "[0,1]^6", "1.2", {"shape": "2x3"}),
        ("x0-x1**2", "[-1,1]^2", "0.3", {"where": ["x0**2+x1**2<=1", "x0**2+x1**2>=1/4"]}),
        ("x0-x1", "[0,1]^2", "0.2", {"where": ["x0+x1<=1"]}),
        ("x0*x1*x2", "[-1,1]^3", "0.15", {"where": ["x0**2+x1**2+x2**2<=1"]}),
        ("1/x", "[-2,-1] | [1,3/2]", "0.1", {}),
    ],
)
def test_sequences_of_other_lengths_and_domains_that_are_no_box(
    target: str, domain: str, tolerance: str, more: dict[str, Any]
) -> None:
    assert certify(target, domain=domain, tolerance=tolerance, **more).verdict == "proved"
