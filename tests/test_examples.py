"""The examples run as they stand, in a folder of their own, and say what they promise."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import attncert

EXAMPLES = Path(__file__).parent.parent / "examples"

SAID = {
    "audit_trained.py": [
        r"cross\.pt: the error is at most 0\.01: proved",
        r"  largest error on 1000 test points 0\.0024\d+, everywhere between 0\.0025\d* and 0\.0025\d*",
        r"prompted\.pt: the error is at most 0\.01: proved",
        r"  largest error on 1000 test points 0\.00[56]\d+, everywhere between 0\.006\d* and 0\.006\d*",
        r"heads\.pt: the error is at most 0\.01: proved",
        r"  largest error on 1000 test points 0\.0027\d+, everywhere between 0\.0027\d* and 0\.0027\d*",
    ],
    "certify_sine.py": [
        r"proved: the largest error lies between 0\.0\d+ and 0\.0[2345]\d*",
        r"\d+ tokens, where the paper's a-priori bound asks for 252",
        r"the kernel: \|sin\(2\*pi\*x\) - T\| <= 0\.05 on \[0, 1\], \d+ obligations checked",
    ],
    "vector_target.py": [
        r"proved: every entry within 0\.[12]\d* on \[-1,1\]x\[0,2\], \d+ tokens",
        r"vector\.json\.gz: proved, statement [0-9a-f]{16}\.\.\.",
    ],
    "evaluate_head.py": [
        r"P \(5, 1\), Q \(1, \d+\), R \(5, \d+\): \d+ tokens, output \(1, 1\)",
        r"largest error at 201 points: 0\.0\d+; proved everywhere: 0\.0\d+",
        r"T\(1/3\) = 0\.1\d{45,}",
    ],
    "sequence_to_sequence.py": [
        r"proved: the error lies between 0\.\d+ and 0\.\d+, \d+ tokens",
    ],
    "cross_attention.py": [
        r"proved: the error lies between 0\.\d+ and 0\.\d+, \d+ tokens",
    ],
    "jump_in_l1.py": [
        r"proved: the error lies between 0\.\d+ and 0\.\d+, \d+ tokens",
    ],
    "disc_in_l2.py": [
        r"proved: the error lies between 0\.\d+ and 0\.\d+, \d+ tokens",
    ],
    "singularity_in_l2.py": [
        r"proved: the error lies between 0\.\d+ and 0\.\d+, \d+ tokens",
    ],
    "unit_disc.py": [
        r"proved: the error lies between 0\.\d+ and 0\.\d+, \d+ tokens",
    ],
    "smooth_in_l2.py": [
        r"proved: the error lies between 0\.\d+ and 0\.\d+, \d+ tokens",
    ],
    "bound_the_error.py": [
        r"sup norm, gap 0\.01: between 0\.0\d+ and 0\.0\d+, [\d]+ boxes",
        r"sup norm, gap 0\.000001: between 0\.0\d+ and 0\.0\d+, [\d]+ boxes",
        r"L_2 norm: between 0\.03\d+ and 0\.03\d+, [\d]+ boxes",
    ],
    "trained_head.py": [
        r"proved: the error lies between 0\.3\d+ and 0\.33\d*, \d+ boxes",
        r"proved: it lies between 0\.3\d+ and 0\.3\d+, \d+ boxes",
        r"proved: with two heads between \d\.\d+ and \d\.\d+, \d+ boxes",
    ],
    "indicator_theorem.py": [
        r"proved: the layer measures at most 0\.09\d+, beta \d+",
    ],
}


def run(name: str, *arguments: str, folder: Path) -> str:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return finished.stdout


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SAID)


@pytest.mark.parametrize("name", SAID)
def test_an_example_says_what_it_promises_and_leaves_no_file(name: str, tmp_path: Path) -> None:
    lines = run(name, folder=tmp_path).splitlines()
    assert len(lines) == len(SAID[name]), lines
    for line, pattern in zip(lines, SAID[name], strict=True):
        assert re.fullmatch(pattern, line), line
    assert list(tmp_path.iterdir()) == []


def test_the_vector_example_writes_where_it_is_told(tmp_path: Path) -> None:
    run("vector_target.py", "mine.json", folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.json"]
    assert attncert.Certificate.load(tmp_path / "mine.json").check().verdict == "proved"
