"""The smallest tolerance that can be proved with a given number of tokens."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from attncert import certify, construct_head
from attncert.certificates.claim import LpError, SupError
from attncert.certificates.errors import InputError, TooLarge


@pytest.mark.parametrize(
    ("tokens", "options", "most"),
    [
        (1, {}, 1.02),
        (8, {}, 2e-6),
        (8, {"method": "spectral"}, 2e-6),
        (20, {"method": "uniform"}, 0.2),
        (12, {"dtype": "float32"}, 1e-5),
        (12, {"norm": "2"}, 0.06),
    ],
    ids=["one", "auto", "spectral", "uniform", "float32", "L_2"],
)
def test_the_tolerance_is_proved_and_close_to_the_error(tokens: int, options: dict[str, Any], most: float) -> None:
    result = certify("sin(2*pi*x)", domain="[0,1]", tokens=tokens, **options)
    assert result.verdict == "proved", result.detail
    assert result.tokens <= tokens
    assert result.certificate is not None
    claim = result.certificate.statement.claim
    assert isinstance(claim, SupError | LpError)
    assert claim.tolerance == Fraction(result.error_upper or "")
    assert claim.tolerance <= Fraction(most)
    assert Fraction(result.error_lower or "") >= claim.tolerance * Fraction(94, 100)
    assert result.certificate.check().verdict == "proved"
    assert result.notes["tokens_asked"] == tokens
    assert options.get("method") in (None, result.notes["method"])


def test_more_tokens_never_hurt() -> None:
    errors = [
        Fraction(certify("abs(x - 1/3)", domain="[-1,1]", tokens=n, method="uniform").error_upper or "inf")
        for n in (1, 2, 4, 8)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 4


def test_theory_is_that_of_the_tolerance_found() -> None:
    result = certify("sin(2*pi*x)", domain="[0,1]", tokens=5)
    assert float(result.notes["paper"]["bound"]) == pytest.approx(float(result.error_upper or 0), rel=1e-5)
    grid = certify("sin(2*pi*x)", domain="[0,1]", tokens=5, method="uniform")
    assert float(grid.notes["apriori"]["bound"]) == pytest.approx(float(grid.error_upper or 0), rel=1e-5)


@pytest.mark.parametrize(("target", "tokens"), [("tanh(50*x)", 2), ("1/4", 1)])
def test_exact_heads_are_found_out(target: str, tokens: int) -> None:
    result = certify(target, domain="[-1,1]", tokens=tokens)
    assert (result.verdict, result.tokens) == ("proved", tokens)
    assert float(result.error_upper or 1) < 1e-26


def test_with_conditions_columns_and_cross_attention() -> None:
    disc = certify("x0*x1", domain="[-1,1]^2", where=["x0**2 + x1**2 <= 1"], tokens=4)
    assert (disc.verdict, disc.tokens <= 4) == ("proved", True)
    cross = certify("K[0,0]*Q[0,0]", domain="[0,1]^2", attention="cross", tokens=6)
    assert (cross.verdict, cross.tokens <= 6) == ("proved", True)
    columns = certify("[[x0, x1]]", domain="[0,1]^2", tokens=4, method="uniform")
    assert (columns.verdict, columns.tokens <= 4) == ("proved", True)
    with pytest.raises(TooLarge, match="no head with at most 1 tokens"):
        certify("[[x0, x1]]", domain="[0,1]^2", tokens=1)


def test_bad_input() -> None:
    request = {"target": "x", "domain": "[0,1]"}
    for wrong in ({}, {"tolerance": "0.1", "tokens": 3}):
        with pytest.raises(InputError, match="either a tolerance or a number of tokens"):
            certify(**request, **wrong)
    for tokens in (0, -1, 10**7):
        with pytest.raises(InputError, match="between 1 and 1,000,000"):
            certify(**request, tokens=tokens)
    with pytest.raises(InputError, match="a-priori"):
        certify(**request, tokens=3, apriori=True)
    with pytest.raises(TypeError):
        construct_head(**request, tokens=3)  # type: ignore[call-arg]


def test_the_command_line(tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "attncert", "certify", "sin(x)", "--domain", "[0,1]", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    done = run("--tokens", "3", "-o", "c.json", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["verdict"], result["tokens"]) == ("proved", 3)
    for words, line in (
        (("--tokens", "3", "--tol", "0.1"), "either a tolerance or a number of tokens"),
        (("--tokens", "0"), "--tokens"),
        ((), "Missing option '--tol'"),
    ):
        refused = run(*words)
        assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (2, "", 1)
        assert line in refused.stderr
