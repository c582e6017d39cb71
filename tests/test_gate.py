"""The gate: demands on what is proved, lock files, reports, and the ways into continuous integration."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from heads import sealed

from attncert.certificates.document import Document
from attncert.certificates.errors import InputError, InvalidClaim
from attncert.cli import cli
from attncert.demands import Lock, Requirement, UserClaim
from attncert.gate import check_file
from attncert.verifier import kernel

ROOT = Path(__file__).parent.parent
CASES = Path(__file__).parent / "accept"
PROVED, NEGATIVE, BAD_INPUT = 0, 1, 2


def check(*arguments: object) -> tuple[int, str]:
    """The exit code of `attncert check`, and what it prints."""
    from attncert import cli as front

    runner = CliRunner()
    with runner.isolation() as (out, _, _):
        code = front.main(["check", *map(str, arguments)])
        return code, out.getvalue().decode()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three proved certificates (sup norm, L_4, partition) and a refuted one, in the working directory."""
    for name in ("line", "taylor-norm", "partition-line", "refuted-line"):
        shutil.copy(CASES / f"{name}.json", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found_of(name: str) -> tuple[Document, kernel.Finding]:
    data = (CASES / f"{name}.json").read_bytes()
    return Document.from_bytes(data), kernel.check_bytes(data)


def claim_file(folder: Path, **changes: Any) -> Path:
    """A claim that line.json proves, but for the changes."""
    bound = found_of("line")[1].bound
    keys = {"target": "sin(2 * pi * (x))", "domain": "[0, 1]", "tolerance": bound} | changes
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items() if value is not None]
    path = folder / "claim.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


# --- requirements ----------------------------------------------------------------------------------------------------


def test_the_bound_that_was_proved_decides(folder: Path) -> None:
    """Not the tolerance that the file states: the bound in the evidence is smaller, and was re-proved."""
    document, found = found_of("line")
    bound = Fraction(found.bound or "")
    assert bound < document.statement.claim.tolerance  # type: ignore[union-attr]
    for number, code in ((bound, PROVED), (bound - Fraction(1, 10**9), NEGATIVE)):
        assert check("line.json", "--require-claim", f"error<={number}")[0] == code


@pytest.mark.parametrize(
    ("name", "requirement", "reason"),
    [
        ("line", "error<=1e-3", "at most"),
        ("line", "error>=1e-3", "no lower bound"),
        ("line", "L2<=1", "another norm"),
        ("line", "partition", "of the kind 'error'"),
        ("line", "measure<=1", "of the kind 'error'"),
        ("taylor-norm", "L4<=0.24012", None),
        ("taylor-norm", "L4<=0.24011", "at most"),
        ("taylor-norm", "L4>=0.23897", None),
        ("taylor-norm", "L4>=0.23898", "at least"),
        ("taylor-norm", "L2<=1", "another norm"),
        ("taylor-norm", "error<=1", "another norm"),
        ("partition-line", "partition", None),
        ("partition-line", "error<=1", "of the kind 'partition'"),
        ("refuted-argmax", "partition", "refuted"),
        ("refuted-line", "error>=0.3", None),
        ("refuted-line", "error>=0.30001", "at least"),
        ("refuted-line", "error<=1", "more than"),
    ],
)
def test_requirements(name: str, requirement: str, reason: str | None) -> None:
    document, found = found_of(name)
    said = Requirement.parse(requirement).unmet(document.statement, found)
    assert said is None if reason is None else reason in (said or ""), said
    code, out = check(CASES / f"{name}.json", "--require-claim", requirement)
    assert code == (PROVED if reason is None else NEGATIVE)
    assert ("; not " in out) == (reason is not None)


@pytest.mark.parametrize("text", ["", "error", "error<0.1", "error<=x", "error<=-1", "L0.5<=1", "measure>=1", "L<=1"])
def test_requirements_that_are_none(text: str) -> None:
    with pytest.raises(InputError):
        Requirement.parse(text)
    code, out = check(CASES / "line.json", "--require-claim", text)
    assert (code, out) == (BAD_INPUT, "")


# --- claims ----------------------------------------------------------------------------------------------------------


def test_a_claim_that_one_of_the_files_proves(folder: Path) -> None:
    claim = claim_file(folder)
    assert check("line.json", "--claim", claim)[0] == PROVED
    assert check("taylor-norm.json", "line.json", "--claim", claim)[0] == PROVED
    assert check("taylor-norm.json", "--claim", claim)[0] == NEGATIVE


@pytest.mark.parametrize(
    "changes",
    [
        {"target": "sin(2*pi*x) + 0"},
        {"target": "cos(2*pi*x)"},
        {"target": "x1"},
        {"domain": "[0,1.001]"},
        {"domain": "[0,0.5]"},
        {"domain": "[0,1]^2"},
        {"domain": "[0,0.4] | [0.6,1]"},
        {"norm": "2"},
        {"tolerance": "0.001"},
        {"tolerance": None, "at_least": "0.001"},
        {"where": ["x <= 2"]},
        {"shape": "2x1"},
        {"attention": {"kind": "cross"}},
    ],
    ids=str,
)
def test_a_claim_that_the_file_does_not_prove(folder: Path, changes: dict[str, Any]) -> None:
    """Each of these is another claim, even where it is weaker."""
    changes = dict(changes)
    attention = changes.pop("attention", None)
    claim = claim_file(folder, **changes)
    if attention:
        claim.write_text(claim.read_text() + f'[attention]\nkind = "{attention["kind"]}"\n')
    code, out = check("line.json", "--claim", claim)
    assert code == NEGATIVE
    assert "line.json: proved" in out


def test_a_claim_at_least_is_proved_by_a_refutation(folder: Path) -> None:
    for number, code in (("0.3", PROVED), ("0.31", NEGATIVE)):
        claim = claim_file(folder, tolerance=None, at_least=number)
        assert check("refuted-line.json", "--claim", claim)[0] == code
    assert check("refuted-line.json")[0] == NEGATIVE


def test_conditions_and_unions_are_compared(folder: Path) -> None:
    document, _ = found_of("disc")
    shutil.copy(CASES / "disc.json", folder)
    where = [condition.source for condition in document.statement.conditions]
    keys = {"target": document.statement.function.source, "domain": str(document.statement.domain)}
    tolerance = {"tolerance": "100"}
    assert where
    assert check("disc.json", "--claim", claim_file(folder, **keys, **tolerance, where=where))[0] == PROVED
    assert check("disc.json", "--claim", claim_file(folder, **keys, **tolerance))[0] == NEGATIVE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("target = ", "claim.toml: "),
        ('target = "x"\ndomain = "[0,1]"\n', "tolerance, or at_least"),
        ('target = "x"\ntolerance = "1"\n', "'domain' is missing"),
        ('target = "x"\ndomain = "[0,1]"\ntolerance = 0.5\n', "is a string"),
        ('target = "x"\ndomain = "[0,1]"\ntolerance = "1"\nat_least = "1"\n', "not both"),
        ('target = "x"\ndomain = "[0,1]"\ntolerance = "1"\ncolour = "red"\n', "unknown key 'colour'"),
        ('target = "x"\ndomain = "[1,0]"\ntolerance = "1"\n', "reversed"),
        ('target = "x"\ndomain = "[0,1]"\ntolerance = "nan"\n', "tolerance"),
        ('target = "x"\ndomain = "[0,1]"\ntolerance = "1"\nnorm = "0"\n', "norm"),
        ('target = "x"\ndomain = "[0,1]"\ntolerance = "1"\nwhere = "x<1"\n', "list of conditions"),
        ('target = "x"\ndomain = "[0,1]"\ntolerance = "1"\nattention = 3\n', "the kind"),
    ],
)
def test_claim_files_that_are_none(folder: Path, text: str, said: str) -> None:
    path = folder / "claim.toml"
    path.write_text(text)
    with pytest.raises(InvalidClaim, match=said):
        UserClaim.load(path)
    assert check("line.json", "--claim", path) == (BAD_INPUT, "")
    assert check("line.json", "--claim", "absent.toml") == (BAD_INPUT, "")


# --- lock files ------------------------------------------------------------------------------------------------------


def test_a_lock_holds_the_statements(folder: Path) -> None:
    assert check(".", "--write-lock", "lock.json")[0] == NEGATIVE  # one is refuted, which is what the lock says
    assert check(".", "--against", "lock.json")[0] == PROVED
    assert check(folder, "--against", folder / "lock.json")[0] == PROVED
    (folder / "deep").mkdir()
    shutil.move(folder / "lock.json", folder / "deep")
    assert check(".", "--against", "deep/lock.json")[0] == NEGATIVE


def test_a_weaker_certificate_in_the_same_place_fails(folder: Path) -> None:
    assert check("line.json", "--write-lock", "lock.json")[0] == PROVED
    document = json.loads((folder / "line.json").read_bytes())
    document["statement"]["claim"]["tolerance"] = "0.9"
    (folder / "line.json").write_bytes(sealed(document))
    assert check("line.json")[0] == PROVED
    code, out = check("line.json", "--against", "lock.json")
    assert code == NEGATIVE
    assert "the statement is not the locked one" in out


def test_locked_files_that_are_gone_and_files_that_are_not_locked(folder: Path) -> None:
    assert check("line.json", "--write-lock", "lock.json")[0] == PROVED
    code, out = check("line.json", "partition-line.json", "--against", "lock.json")
    assert code == NEGATIVE
    assert "not in the lock" in out
    assert check("partition-line.json", "line.json", "--write-lock", "lock.json")[0] == PROVED
    assert check("line.json", "--against", "lock.json")[0] == NEGATIVE


def test_no_lock_is_written_of_what_is_rejected(folder: Path) -> None:
    (folder / "line.json").write_bytes((folder / "line.json").read_bytes()[:-50])
    assert check(".", "--write-lock", "lock.json")[0] == NEGATIVE
    assert not (folder / "lock.json").exists()
    assert check("partition-line.json", "--write-lock", "lock.json", "--require-claim", "error<=1")[0] == NEGATIVE
    assert not (folder / "lock.json").exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "attncert-lock/1"}', '{"format": "attncert-lock/2", "certificates": {}}',
             '{"format": "attncert-lock/1", "certificates": {"a": {"verdict": "rejected", "statement_sha256": ""}}}']
)  # fmt: skip
def test_lock_files_that_are_none(folder: Path, text: str) -> None:
    (folder / "lock.json").write_text(text)
    with pytest.raises(InputError, match=r"lock\.json: "):
        Lock.load(folder / "lock.json")
    assert check("line.json", "--against", "lock.json") == (BAD_INPUT, "")


def test_what_is_compared_is_what_was_checked() -> None:
    document, found = found_of("line")
    lock = Lock.of(Path("lock.json"), [check_file(CASES / "line.json")])
    outcome = {"file": str(CASES / "line.json"), "verdict": "proved", "statement_sha256": found.statement_sha256}
    assert lock.unmet(outcome) is None
    assert lock.unmet(outcome | {"statement_sha256": "0" * 64}) is not None
    assert lock.unmet(outcome | {"verdict": "refuted"}) is not None
    weaker = replace(found, bound="0.9")
    assert Requirement.parse("error<=0.5").unmet(document.statement, weaker) is not None


# --- reports ---------------------------------------------------------------------------------------------------------


def test_reports_tell_every_failure(folder: Path) -> None:
    (folder / "broken.json").write_text("{")
    claim = claim_file(folder, tolerance="1e-9")
    arguments = ("--claim", claim, "--junit", "report.xml", "--sarif", "report.sarif", "--jobs", "2")
    assert check(".", *arguments)[0] == NEGATIVE
    suite = ElementTree.parse(folder / "report.xml").getroot().find("testsuite")
    assert suite is not None
    cases = {case.get("name"): case.find("failure") for case in suite}
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("6", "3", "0")
    assert {name for name, failure in cases.items() if failure is not None} == {
        "broken.json", "refuted-line.json", "claim.toml"
    }  # fmt: skip
    report = json.loads((folder / "report.sarif").read_text())
    (run,) = report["runs"]
    told = {
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]: result["ruleId"]
        for result in run["results"]
    }
    assert told == {"broken.json": "rejected", "refuted-line.json": "refuted", claim.as_uri(): "unmet"}
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} >= set(told.values())


def test_reports_of_success_are_empty(folder: Path) -> None:
    assert check("line.json", "--junit", "report.xml", "--sarif", "report.sarif")[0] == PROVED
    suite = ElementTree.parse(folder / "report.xml").getroot().find("testsuite")
    assert suite is not None
    assert suite.get("failures") == "0"
    assert json.loads((folder / "report.sarif").read_text())["runs"][0]["results"] == []
    assert check("line.json", "--junit", "no/such/folder.xml")[0] == BAD_INPUT


# --- pytest, pre-commit, GitHub Actions ------------------------------------------------------------------------------


def pytest_on(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def test_the_pytest_plugin(folder: Path) -> None:
    (folder / "sub").mkdir()
    shutil.move(folder / "refuted-line.json", folder / "sub")
    (folder / "test_other.py").write_text("def test_other(): pass\n")
    assert "1 passed" in pytest_on(folder).stdout  # without the option no certificate is a test
    run = pytest_on(folder, "--attncert", ".", "--attncert", "line.json")
    assert run.returncode == 1
    assert "1 failed, 4 passed" in run.stdout
    assert "refuted-line.json: refuted: " in run.stdout
    run = pytest_on(folder, "--attncert", "line.json", "--attncert-require", "error<=1e-9", "line.json")
    assert "line.json: unmet: error<=1e-9" in run.stdout
    for wrong in (["--attncert", "absent"], ["--attncert", ".", "--attncert-require", "error"]):
        run = pytest_on(folder, *wrong)
        assert run.returncode == 4
        assert run.stderr.startswith("ERROR: --attncert")


def steps_of(action: dict[str, Any]) -> list[dict[str, Any]]:
    assert action["runs"]["using"] == "composite"
    return [step for step in action["runs"]["steps"] if "run" in step]


def run_step(step: dict[str, Any], folder: Path, path: str, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run a step of the action as its runner does: inputs in the environment, bash with -e and pipefail."""
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    values = {name: str(spec.get("default", "")) for name, spec in action["inputs"].items()} | inputs
    given = {key: values[text.removeprefix("${{ inputs.").removesuffix(" }}")] for key, text in step["env"].items()}
    command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]]
    environment = {**os.environ, **given, "PATH": path}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_check_of_the_github_action(folder: Path) -> None:
    check_step = steps_of(yaml.safe_load((ROOT / "action.yml").read_text()))[-1]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shutil.move(folder / "line.json", folder / "a line.json")
    run = run_step(check_step, folder, path, paths="a line.json\npartition-line.json\n", junit="report.xml")
    assert run.returncode == PROVED, run.stderr
    assert "2 files: 2 proved" in run.stdout
    assert (folder / "report.xml").exists()
    wanted = {"paths": "a line.json", "require-claim": "error<=1\nerror<=1e-9"}
    run = run_step(check_step, folder, path, **wanted)
    assert run.returncode == NEGATIVE
    assert "not error<=1e-9" in run.stdout
    assert run_step(check_step, folder, path, paths=".").returncode == NEGATIVE


def test_the_pre_commit_hook_runs_the_check(folder: Path) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    command = [str(Path(sys.executable).parent / "attncert"), *hook["entry"].split()[1:]]
    assert hook["entry"].split()[0] == "attncert"
    assert subprocess.run([*command, "line.json"], capture_output=True, check=False).returncode == PROVED
    assert subprocess.run([*command, "refuted-line.json"], capture_output=True, check=False).returncode == NEGATIVE


@pytest.mark.slow
def test_pre_commit_installs_and_runs_the_hook(tmp_path: Path) -> None:
    """The whole way: pre-commit makes the hook's environment from a commit of this repository, and runs it."""
    source, user = tmp_path / "attncert", tmp_path / "user"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, tracked.stdout.split("\0")):
        if not name.startswith(("tests/", "docs/")) and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    user.mkdir()
    for name in ("line", "refuted-line"):
        shutil.copy(CASES / f"{name}.json", user / f"{name}.attncert.json")
    environment = {**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "home")}
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for place in (source, user):
        for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "all"]):
            subprocess.run(["git", *command], cwd=place, check=True)
    hook = [sys.executable, "-m", "pre_commit", "try-repo", str(source), "attncert-check", "--files"]
    for name, code in (("line", 0), ("refuted-line", 1)):
        run = subprocess.run(
            [*hook, f"{name}.attncert.json"], cwd=user, env=environment, capture_output=True, text=True, check=False
        )
        assert run.returncode == code, run.stdout + run.stderr
        assert (": refuted: " in run.stdout) == (code == 1)


def test_the_help_lists_the_demands() -> None:
    text = CliRunner().invoke(cli, ["check", "--help"]).output
    for option in ("--require-claim", "--claim", "--against", "--write-lock", "--junit", "--sarif"):
        assert option in text
