"""The README is true: its commands give the output that it shows, and its Python code runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[tuple[str, list[str]]]:
    """Each command of the console blocks with the lines shown after it."""
    found: list[tuple[str, list[str]]] = []
    for block in blocks("console"):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def test_commands_give_the_output_shown(tmp_path: Path) -> None:
    assert len(commands()) >= 2
    for command, shown in commands():
        arguments = shlex.split(command)
        assert arguments[0] == "attncert"
        run = subprocess.run(
            [sys.executable, "-m", "attncert", *arguments[1:]], cwd=tmp_path, capture_output=True, text=True
        )
        assert (run.returncode, run.stderr) == (0, ""), command
        lines = run.stdout.splitlines()
        assert len(lines) == len(shown), run.stdout
        for got, expected in zip(lines, shown, strict=True):
            assert_same(got, expected)


def assert_same(got: str, expected: str) -> None:
    """Equal words; numbers may differ in the last digits, times and digests (which follow them) at will."""
    if got.split()[0] in ("seconds", "statement"):
        assert got.split()[0] == expected.split()[0]
        return
    assert NUMBER.sub("#", got) == NUMBER.sub("#", expected)
    for a, b in zip(NUMBER.findall(got), NUMBER.findall(expected), strict=True):
        assert float(a.replace(",", "")) == pytest.approx(float(b.replace(",", "")), rel=1e-3), (got, expected)


def test_python_code_runs(tmp_path: Path) -> None:
    code = blocks("python")
    assert code
    for block in code:
        subprocess.run([sys.executable, "-c", block], cwd=tmp_path, check=True)
