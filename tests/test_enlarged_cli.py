"""Proofs by enlarged regions from the command line, end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from heads import bytes_of, grid_statement
from test_cli import PROVED, SINE, UNDECIDED, expect, expect_refusal, files_in, run

from attncert import api, cli
from attncert.certificates.evidence import Both
from attncert.verifier import journal as journals
from attncert.verifier import paving, prove
from attncert.verifier.boxes import Progress
from attncert.verifier.outcome import Outcome


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("both")
    run_ = run("certify", "x**2", "--domain", "[0,1]", "--tol", "0.2", "--proof", "both", "-o", "both.json", cwd=folder)
    expect(run_, PROVED)
    assert "boxes cover the domain, and" in run_.stdout
    assert "agrees on" in run_.stdout
    return folder / "both.json"


def test_certify_by_regions_and_check(tmp_path: Path) -> None:
    made = expect(run("certify", *SINE, "--proof", "regions", "-o", "r.json", "--json", cwd=tmp_path), PROVED)
    result = json.loads(made.stdout)
    assert result["verdict"] == "proved"
    assert result["error_upper"] == "0.05"
    assert 0.04 < float(result["error_lower"]) < 0.05
    assert "regions, enlarged by kappa" in result["detail"]
    assert files_in(tmp_path) == ["r.json"]
    checked = expect(run("check", "r.json", "--json", cwd=tmp_path), PROVED)
    assert json.loads(checked.stdout)["tokens"] == result["tokens"]


def test_show_names_the_proof(both: Path) -> None:
    shown = expect(run("show", both, cwd=both.parent), PROVED).stdout
    assert "paving of" in shown
    assert "regions enlarged by kappa" in shown
    told = json.loads(expect(run("show", both, "--json", cwd=both.parent), PROVED).stdout)
    assert told["evidence"] == "both"
    assert told["leaves"] > 2
    assert told["bound"] is not None


def test_verify_with_another_proof(both: Path, tmp_path: Path) -> None:
    for proof, kind in (("regions", "enlarged"), ("both", "both"), ("paving", "paving")):
        expect(run("verify", both, "--proof", proof, "-o", f"{proof}.json", cwd=tmp_path), PROVED)
        told = json.loads(expect(run("show", f"{proof}.json", "--json", cwd=tmp_path), PROVED).stdout)
        assert told["evidence"] == kind
    assert files_in(tmp_path) == ["both.json", "paving.json", "regions.json"]


def test_a_soft_head_is_undecided(tmp_path: Path) -> None:
    (tmp_path / "soft.json").write_bytes(bytes_of(grid_statement("x", "[0,1]", [2], 4, "0.32"), None))
    finished = expect(run("verify", "soft.json", "--proof", "regions", cwd=tmp_path), UNDECIDED)
    assert "prove at best about" in finished.stdout
    assert "soft.json was not written" in finished.stderr
    assert "go on with" not in finished.stderr
    finished = expect(run("verify", "soft.json", "--proof", "both", cwd=tmp_path), PROVED)
    assert "by regions undecided" in finished.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("certify", *SINE, "--norm", "2", "--proof", "regions"), "sup norm only"),
        (("certify", *SINE, "--proof", "magic"), "knows: paving, regions, both"),
        (
            (
                *("certify", "--claim", "indicator", "--grid", "2", "--domain", "[0,1]"),
                *("--delta", "0.1", "--measure", "0.1", "--proof", "regions"),
            ),
            "--proof does not go with --claim indicator",
        ),
        (
            ("certify", "--claim", "partition", "--grid", "2", "--domain", "[0,1]", "--proof", "both"),
            "--proof does not go with --claim partition",
        ),
    ],
)
def test_proofs_that_do_not_fit_are_refused(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    expect_refusal(run(*arguments, cwd=tmp_path), said)
    assert files_in(tmp_path) == []


def test_verify_refuses_regions_for_other_claims_and_for_resuming(both: Path, tmp_path: Path) -> None:
    cells = ("certify", "--claim", "partition", "--grid", "2", "--domain", "[0,1]", "-o", "cells.json")
    expect(run(*cells, cwd=tmp_path), PROVED)
    expect_refusal(run("verify", "cells.json", "--proof", "regions", cwd=tmp_path), "sup norm only")
    expect_refusal(run("verify", both, "--proof", "regions", "--resume", cwd=tmp_path), "only a search for a paving")


@pytest.mark.parametrize("command", ["certify", "verify"])
def test_the_command_that_goes_on_asks_for_both_again(
    command: str, both: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*arguments: Any, **options: Any) -> api.Result:
        assert options["proof"] == "both"
        return api.Result("undecided", None, None, 2, 0, 0.0, "", "stopped", None, journal=options["journal"])

    monkeypatch.setattr(api, command, stopped)
    words = SINE if command == "certify" else [str(both)]
    assert cli.main([command, *words, "--proof", "both", "-o", str(tmp_path / "new.json")]) == UNDECIDED
    again = capsys.readouterr().err.split("go on with: ")[1].split()
    assert again[:2] == ["attncert", "verify"]
    assert "--resume --proof both" in " ".join(again)


def test_both_proofs_go_on_from_the_journal_of_the_paving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "DELAY", 0.0)
    monkeypatch.setattr(paving, "ROUND_BYTES", 1 << 11)
    statement = grid_statement("sin(3*x0)*x1", "[0,1]^2", [6, 6], 3000, "0.4")
    certificate, journal = api.Certificate(statement, None, {}), tmp_path / "search.journal"
    rounds = iter(range(3))

    def interrupt(progress: Progress) -> None:
        if next(rounds, None) is None:
            raise KeyboardInterrupt

    stopped = api.verify(certificate, proof="both", journal=journal, progress=interrupt)
    assert (stopped.verdict, stopped.interrupted, stopped.journal) == ("undecided", True, journal)
    resumed = api.verify(certificate, proof="both", journal=journal, resume=True)
    assert resumed.verdict == "proved"
    assert resumed.certificate.evidence == api.verify(certificate, proof="both").certificate.evidence
    assert isinstance(resumed.certificate.evidence, Both)


def test_proofs_that_disagree_are_a_defect(
    both: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuted(*arguments: Any, **options: Any) -> Outcome:
        return Outcome("refuted", None, 0.3, 1.0, 2, 0, 0.0, "the error is at least 0.3")

    monkeypatch.setattr(prove.prove_sup, "verify", refuted)
    assert cli.main(["verify", str(both), "--proof", "both", "-o", str(both.with_name("other.json"))]) == cli.DEFECT
    assert "the two proofs disagree" in capsys.readouterr().err
    assert not both.with_name("other.json").exists()
