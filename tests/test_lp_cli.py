"""L_p and indicator claims on the real command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "attncert", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("target", "domain", "norm", "tolerance"),
    [
        ("sign(x - 1/3)", "[-1,1]", "1", "0.05"),
        ("floor(3*x)", "[0,1]", "2", "0.2"),
        ("sin(2*pi*x)", "[0,1]", "3/2", "0.2"),
        ("log(x)", "[0,1]", "1", "0.2"),
        ("abs(x-1/3)**(-1/4)", "[0,1]", "2", "0.5"),
        ("[x0, x1]", "[0,1]^2", "1", "0.6"),
        ("where(x0 + x1 <= 1, 1, 0)", "[0,1]^2", "1", "0.3"),
    ],
)
def test_certify_show_and_check(tmp_path: Path, target: str, domain: str, norm: str, tolerance: str) -> None:
    done = run(
        "certify",
        target,
        "--domain",
        domain,
        "--norm",
        norm,
        "--tol",
        tolerance,
        "-o",
        "c.json",
        "--json",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["verdict"] == "proved"
    assert float(result["error_lower"]) <= float(result["error_upper"]) <= float(tolerance)
    assert run("check", "c.json", cwd=tmp_path).returncode == 0
    shown = json.loads(run("show", "c.json", "--json", cwd=tmp_path).stdout)
    assert shown["evidence"] == "integral"
    assert shown["claim"] == "error"
    assert "norm" in run("show", "c.json", cwd=tmp_path).stdout


def test_indicator(tmp_path: Path) -> None:
    options = ("--claim", "indicator", "--grid", "2x2", "--domain", "[0,1]^2", "--delta", "0.01", "--measure", "0.3")
    done = run("certify", *options, "-o", "c.json", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert float(json.loads(done.stdout)["error_upper"]) <= 0.3
    assert run("check", "c.json", cwd=tmp_path).returncode == 0
    assert run("verify", "c.json", cwd=tmp_path).returncode == 0
    shown = json.loads(run("show", "c.json", "--json", cwd=tmp_path).stdout)
    assert (shown["target"], shown["delta"], shown["measure"], shown["evidence"]) == (None, "0.01", "0.3", "layers")


CELLS_OF_TWO = ("--claim", "indicator", "--grid", "2", "--domain", "[0,1]", "--delta", "0.01", "--measure", "0.1")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("sin(2*pi*x)", "--domain", "[0,1]", "--tol", "0.2", "--method", "uniform"),
            r"bound 0\.2, tokens 63, beta \d+, lipschitz 6\.28319, sup 1",
        ),
        (
            ("sin(2*pi*x)", "--domain", "[0,1]", "--norm", "2", "--tol", "0.2", "--method", "uniform"),
            r"norm inf, bound 0\.19999\d, tokens 63, beta \d+, lipschitz 6\.28319, sup 1",
        ),
        (
            ("sign(x - 1/3)", "--domain", "[-1,1]", "--norm", "1", "--tol", "0.1", "--method", "uniform"),
            r"norm 1, bound 0\.1, tokens 12\d, beta \d+, sup 1",
        ),
        (
            ("log(x)", "--domain", "[0,1]", "--norm", "1", "--tol", "0.5", "--method", "uniform"),
            r"norm 1, bound 0\.5, tokens \d+, beta \d+, sup \d\.\d+ \(not proved: in part by quadrature\)",
        ),
        (CELLS_OF_TWO, r"bound 0\.1, delta 0\.01, tokens 2, beta 106"),
    ],
    ids=["sup", "continuous", "jump", "singular", "indicator"],
)
def test_both_numbers_are_shown(tmp_path: Path, arguments: tuple[str, ...], line: str) -> None:
    """What theory asks for stands beside what is certified, in every report; `--apriori` takes it."""
    tolerance = arguments[arguments.index("--tol" if "--tol" in arguments else "--measure") + 1]
    for name, option, reports_json in (("a", (), True), ("b", (), False), ("c", ("--apriori",), True)):
        done = run("certify", *arguments, *option, "-o", f"{name}.json", *["--json"] * reports_json, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        shown = run("show", f"{name}.json", cwd=tmp_path).stdout
        texts = [shown] if reports_json else [shown, done.stdout]
        for text in texts:
            found = re.search("^  a priori +(.*)$", text, re.MULTILINE)
            assert found is not None
            assert re.fullmatch(line, found[1]), found[1]
        notes = json.loads(run("show", f"{name}.json", "--json", cwd=tmp_path).stdout)["notes"]
        if reports_json:
            result = json.loads(done.stdout)
            assert result["apriori"] == notes["apriori"]
            assert float(result["error_upper"]) <= float(tolerance)
            theory = result["apriori"]
            if option:
                assert (result["tokens"], notes["beta"]) == (theory["tokens"], theory["beta"])
            else:
                assert result["tokens"] < theory["tokens"] or notes["beta"] != theory["beta"]


def test_the_reason_is_shown_where_there_is_no_bound(tmp_path: Path) -> None:
    arguments = ("sqrt(x)", "--domain", "[-1,1]", "--norm", "2", "--tol", "0.5")
    assert run("construct", *arguments, "-o", "c.json", cwd=tmp_path).returncode == 0
    assert "  a priori   none: the target is singular on too large" in run("show", "c.json", cwd=tmp_path).stdout
    shown = json.loads(run("show", "c.json", "--json", cwd=tmp_path).stdout)
    assert list(shown["notes"]["apriori"]) == ["none"]
    done = run("construct", *arguments, "--apriori", "-o", "d.json", cwd=tmp_path)
    assert done.returncode == 2
    assert "there is no a-priori bound: the target is singular" in done.stderr


CELLS = ("--claim", "indicator", "--domain", "[0,1]")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("x", "--domain", "[0,1]", "--tol", "1", "--norm", "0.5"), "p >= 1"),
        (("x", "--domain", "[0,1]", "--tol", "1", "--norm", "two"), "unknown norm"),
        (("x0", "--domain", "[0,1]x[2,2]", "--tol", "1", "--norm", "1"), "positive length"),
        (("1/x", "--domain", "[0,1]", "--tol", "1", "--norm", "1"), "not integrable near x = 0"),
        (("x", "--domain", "[0,1]", "--norm", "1"), "--tol"),
        ((*CELLS, "--grid", "4", "--delta", "1", "--measure", "0.1"), "delta"),
        ((*CELLS, "--grid", "4", "--delta", "0.1", "--measure", "0"), "measure"),
        ((*CELLS, "--grid", "4x4", "--delta", "0.1", "--measure", "0.1"), "1 sides"),
        ((*CELLS, "--delta", "0.1", "--measure", "0.1"), "--grid"),
        (("x", *CELLS, "--grid", "4", "--delta", "0.1", "--measure", "0.1"), "TARGET"),
        (("x", "--domain", "[0,1]", "--tol", "1", "--grid", "4"), "--grid"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: tuple[str, ...], reason: str) -> None:
    done = run("certify", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert reason in done.stderr
    assert not list(tmp_path.iterdir())
