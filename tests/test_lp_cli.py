"""L_p and indicator claims on the real command line."""

from __future__ import annotations

import json
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
