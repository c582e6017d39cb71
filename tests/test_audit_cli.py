"""`attncert audit`, end to end: exit codes, what is written and printed, and bad input in one line."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

PROVED, NEGATIVE, BAD_INPUT, UNDECIDED = 0, 1, 2, 3
TRAINED = Path(__file__).parent.parent / "examples" / "trained"
KERNEL = Path(__file__).parent.parent / "verifier" / "kernel.py"
KEYS = {
    "verdict",
    "claim",
    "error_lower",
    "error_upper",
    "point",
    "tokens",
    "boxes",
    "seconds",
    "statement_sha256",
    "file",
}


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "attncert", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def refusal(finished: subprocess.CompletedProcess[str]) -> str:
    assert finished.returncode == BAD_INPUT, finished.stdout + finished.stderr
    assert finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    assert line.startswith("attncert: error: ")
    return line


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The trained modules and their claims, to be changed."""
    for path in (*TRAINED.glob("*.pt"), *TRAINED.glob("*.toml")):
        shutil.copy(path, tmp_path)
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("name", ["cross", "prompted"])
def test_a_trained_module_is_proved_and_checked_again(name: str, folder: Path) -> None:
    finished = run("audit", f"{name}.toml", "-o", "proof.json", "--tightest", "least.json", cwd=folder)
    assert finished.returncode == PROVED, finished.stderr
    assert finished.stdout.startswith("proved: the error is at most 0.00")
    assert "  claim      the error is at most 0.01\n" in finished.stdout
    assert f"  weights    {name}.pt\n" in finished.stdout
    assert run("check", "proof.json", "--claim", f"{name}.toml", cwd=folder).returncode == PROVED
    assert run("check", "least.json", "--require-claim", "error<=0.007", cwd=folder).returncode == PROVED
    alone = [sys.executable, "-I", "-S", str(KERNEL), "proof.json"]
    assert subprocess.run(alone, cwd=folder, check=False, capture_output=True).returncode == PROVED


def test_a_refutation_names_the_point_and_is_checked_again(folder: Path) -> None:
    change(folder / "cross.toml", '"0.01"', '"0.002"')
    finished = run("audit", "cross.toml", "-o", "no.json", "--json", cwd=folder)
    assert finished.returncode == NEGATIVE, finished.stderr
    said: dict[str, Any] = json.loads(finished.stdout)
    assert set(said) >= KEYS
    assert said["verdict"] == "refuted"
    assert said["point"] == {"x": "1"}
    assert Fraction("0.0025") < Fraction(said["error_lower"]) < Fraction(said["error_upper"]) < Fraction("0.0026")
    checked = run("check", "no.json", "--json", cwd=folder)
    assert checked.returncode == NEGATIVE
    assert json.loads(checked.stdout)["verdict"] == "refuted"
    assert json.loads(checked.stdout)["statement_sha256"] == said["statement_sha256"]


@pytest.mark.parametrize(("number", "code", "gate"), [("0.002", PROVED, PROVED), ("0.003", NEGATIVE, NEGATIVE)])
def test_a_claim_that_it_cannot_be_better(number: str, code: int, gate: int, folder: Path) -> None:
    change(folder / "cross.toml", 'tolerance = "0.01"', f'at_least = "{number}"')
    assert run("audit", "cross.toml", "-o", "least.json", cwd=folder).returncode == code
    assert run("check", "least.json", "--claim", "cross.toml", cwd=folder).returncode == gate


def test_an_undecided_claim_is_written_without_evidence(folder: Path) -> None:
    finished = run("audit", "cross.toml", "-o", "open.json", "--budget", "1e-9", cwd=folder)
    assert finished.returncode == UNDECIDED, finished.stdout
    assert run("check", "open.json", cwd=folder).returncode == NEGATIVE
    assert run("verify", "open.json", cwd=folder).returncode == PROVED
    assert run("check", "open.json", "--claim", "cross.toml", cwd=folder).returncode == PROVED


def test_other_weights_do_not_pass_the_gate(folder: Path) -> None:
    assert run("audit", "cross.toml", "-o", "proof.json", cwd=folder).returncode == PROVED
    change(folder / "cross.toml", 'readout = "readout"', 'readout = "readout"\nscale = "0.35"')
    finished = run("check", "proof.json", "--claim", "cross.toml", cwd=folder)
    assert finished.returncode == NEGATIVE
    assert "the head is not the one in cross.pt" in finished.stderr


def test_tensors_that_play_no_part_are_told(folder: Path) -> None:
    change(folder / "prompted.toml", 'context = "memory"\n', "")
    change(folder / "prompted.toml", '"0.01"', '"3"')
    finished = run("audit", "prompted.toml", "--json", cwd=folder)
    assert json.loads(finished.stdout)["unused"] == ["memory"]


def test_nothing_is_overwritten_unasked(folder: Path) -> None:
    (folder / "mine.json").write_text("mine")
    assert "--force" in refusal(run("audit", "cross.toml", "-o", "mine.json", cwd=folder))
    assert (folder / "mine.json").read_text() == "mine"
    assert run("audit", "cross.toml", "-o", "mine.json", "--force", cwd=folder).returncode == PROVED


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("executed",)


def test_bad_weights_are_answered_in_one_line(folder: Path) -> None:
    weights = folder / "cross.pt"
    whole = weights.read_bytes()
    with zipfile.ZipFile(weights, "w") as out:
        out.writestr("cross/data.pkl", pickle.dumps({"memory": Evil()}, 2))
    assert "its pickle calls posix.mkdir: not run" in refusal(run("audit", "cross.toml", cwd=folder))
    assert not (folder / "executed").exists()
    weights.write_bytes(whole[: len(whole) // 2])
    assert "truncated" in refusal(run("audit", "cross.toml", cwd=folder))
    os.truncate(weights, 10 * 10**9)
    assert "9.3 GiB are too many" in refusal(run("audit", "cross.toml", cwd=folder))
    weights.unlink()
    assert "No such file" in refusal(run("audit", "cross.toml", cwd=folder))


def test_bad_claims_are_answered_in_one_line(folder: Path) -> None:
    assert "none.toml: No such file" in refusal(run("audit", "none.toml", cwd=folder))
    assert "audit --help" in refusal(run("audit", cwd=folder))
    assert "gap" in refusal(run("audit", "cross.toml", "--gap", "0", cwd=folder))
    change(folder / "cross.toml", '"embed"', '"unembed"')
    assert "the tensor 'unembed.weight' is missing" in refusal(run("audit", "cross.toml", cwd=folder))
    (folder / "cross.toml").write_bytes(b"\xff\xfe")
    refusal(run("audit", "cross.toml", cwd=folder))
