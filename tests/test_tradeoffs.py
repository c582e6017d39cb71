"""Tables of tokens against certified error."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import attncert
from attncert.certificates.errors import InputError
from attncert.construct.methods import METHODS
from attncert.tradeoffs import Row, Tradeoff, sizes_up_to

SINE: dict[str, Any] = {"target": "sin(2*pi*x)", "domain": "[0,1]"}


@pytest.fixture(scope="module")
def table() -> Tradeoff:
    return attncert.tradeoff(**SINE, tokens=[2, 5], methods=["uniform", "spectral"])


def test_every_row_is_checked_by_the_kernel(table: Tradeoff) -> None:
    assert [(row.method, row.asked) for row in table.rows] == [
        ("uniform", 2),
        ("uniform", 5),
        ("spectral", 2),
        ("spectral", 5),
    ]
    for row in table.rows:
        assert row.verdict == "proved"
        assert row.certificate is not None
        assert row.tokens == row.certificate.statement.attention.tokens <= row.asked
        assert row.certificate.check().verdict == "proved"
        claim: Any = row.certificate.statement.claim
        assert claim.tolerance == Fraction(row.error_upper or "") >= Fraction(row.error_lower or "")
        assert row.statement_sha256 == row.certificate.statement_sha256
        assert int(row.paper or 0) > (row.tokens or 0)


def test_the_paper_stands_beside_the_error(table: Tradeoff) -> None:
    row = table.rows[-1]
    theory = attncert.construct_head(**SINE, tolerance=row.error_upper or "", apriori=True).notes["apriori"]
    assert row.paper == str(theory["tokens"])


def test_forms(table: Tradeoff, tmp_path: Path) -> None:
    for suffix in (".csv", ".md", ".json"):
        table.save(tmp_path / f"t{suffix}")
        with pytest.raises(FileExistsError):
            table.save(tmp_path / f"t{suffix}")
        table.save(tmp_path / f"t{suffix}", overwrite=True)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text())))
    assert [row["error_upper"] for row in rows] == [row.error_upper for row in table.rows]
    document = json.loads((tmp_path / "t.json").read_text())
    assert (document["target"], document["norm"]) == ("sin(2*pi*x)", "inf")
    assert document["rows"] == [row.entries() for row in table.rows]
    markdown = (tmp_path / "t.md").read_text().splitlines()
    assert len([line for line in markdown if line.startswith("| ")]) == 1 + len(table.rows)
    with pytest.raises(InputError, match=r"\.csv, \.md, \.json"):
        table.save(tmp_path / "t.txt")


def test_a_picture(table: Tradeoff, tmp_path: Path) -> None:
    table.draw(tmp_path / "t.svg")
    assert (tmp_path / "t.svg").read_text().startswith("<?xml")
    Tradeoff("f", "[0,1]", "inf", ()).draw(tmp_path / "empty.png")
    with pytest.raises(InputError, match=r"\.svg"):
        table.draw(tmp_path / "t.gif")


def test_other_norms_take_the_constructions_for_them() -> None:
    rows = attncert.tradeoff("sign(x - 1/3)", domain="[-1,1]", norm="1", tokens=[3]).rows
    assert {row.method for row in rows} == {name for name, method in METHODS.items() if method.powers}
    assert all(row.verdict == "proved" and row.paper is not None for row in rows)


def test_a_construction_without_a_head_leaves_a_gap() -> None:
    seen: list[Row] = []
    (row,) = attncert.tradeoff("[[x0, x1]]", domain="[0,1]^2", tokens=[1], methods=["uniform"], each=seen.append).rows
    assert (row.tokens, row.verdict, row.error_upper) == (None, "none", None)
    assert seen == [row]


def test_numbers_of_tokens() -> None:
    assert sizes_up_to(1) == [1]
    assert sizes_up_to(2) == [1, 2]
    assert sizes_up_to(20) == [1, 2, 4, 8, 16, 20]
    assert sizes_up_to(32) == [1, 2, 4, 8, 16, 32]
    for wrong in (0, -3, []):
        with pytest.raises(InputError):
            attncert.tradeoff(**SINE, tokens=wrong)
    with pytest.raises(InputError, match="unknown method 'magic'"):
        attncert.tradeoff(**SINE, methods=["magic"])


def test_the_command_line(tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "attncert", "tradeoff", "exp(x)", "--domain", "[0,1]", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    done = run("--tokens", "1,3", "--methods", "uniform,spectral", "-o", "t.json", "--plot", "t.svg", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "t.json").read_text())["rows"]
    assert [json.loads(line) for line in done.stdout.splitlines()] == rows
    assert len(rows) == 4
    assert (tmp_path / "t.svg").exists()
    for words, line in (
        (("-o", "t.json"), "exists"),
        (("-o", "t.txt"), ".csv, .md, .json"),
        (("--plot", "t.gif"), ".svg"),
        (("--tokens", "3,x"), "--tokens"),
        (("--tokens-max", "0"), "--tokens-max"),
        (("--methods", "magic"), "unknown method 'magic'"),
        (("--norm", "2", "--methods", "spectral"), "sup norm"),
    ):
        refused = run(*words)
        assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (2, "", 1), refused
        assert line in refused.stderr
