"""The command line, end to end: each test runs `python -m attncert` as a user would."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import pty
import re
import shlex
import signal
import struct
import subprocess
import sys
import sysconfig
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

PROVED, NEGATIVE, BAD_INPUT, UNDECIDED = 0, 1, 2, 3
COMMAND = [sys.executable, "-m", "attncert"]
SINE = ["sin(2*pi*x)", "--domain", "[0,1]", "--tol", "0.05"]
RESULT_KEYS = {"verdict", "error_lower", "error_upper", "tokens", "boxes", "seconds", "statement_sha256", "file"}

Finished = subprocess.CompletedProcess[str]


def run(*arguments: str | Path, cwd: Path, timeout: float = 120) -> Finished:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, timeout=timeout, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def expect(finished: Finished, code: int) -> Finished:
    assert finished.returncode == code, f"exit code {finished.returncode}\n{finished.stdout}\n{finished.stderr}"
    return finished


def expect_refusal(finished: Finished, *said: str) -> None:
    """Exit code 2, nothing on stdout, one line on stderr that says what is wrong."""
    expect(finished, BAD_INPUT)
    assert finished.stdout == ""
    lines = finished.stderr.splitlines()
    assert len(lines) == 1, finished.stderr
    assert lines[0].startswith("attncert: error: ")
    for pattern in said:
        assert re.search(pattern, lines[0]), lines[0]


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(scope="module")
def sine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A proved certificate; not to be changed."""
    folder = tmp_path_factory.mktemp("sine")
    expect(run("certify", *SINE, "-o", "sin.json", cwd=folder), PROVED)
    return folder / "sin.json"


@pytest.fixture(scope="module")
def false_claim(tmp_path_factory: pytest.TempPathFactory, sine: Path) -> Path:
    """The sine's head, without evidence, under a tolerance that it does not reach."""
    from attncert.certificates.statement import canonical

    document = json.loads(sine.read_text())
    document["statement"]["claim"]["tolerance"] = "1e-9"
    path = tmp_path_factory.mktemp("false") / "false.json"
    path.write_text(canonical(without_evidence(document)))
    return path


def without_evidence(document: dict[str, Any]) -> dict[str, Any]:
    import hashlib

    from attncert.certificates.statement import canonical

    digest = hashlib.sha256(canonical(document["statement"]).encode()).hexdigest()
    return {**document, "evidence": None, "statement_sha256": digest}


# --- the work, done right --------------------------------------------------------------------------------------------


def test_certify_proves_and_writes_a_certificate_that_the_kernel_accepts(tmp_path: Path) -> None:
    certified = expect(run("certify", *SINE, "-o", "sin.json", cwd=tmp_path), PROVED)
    assert certified.stdout.startswith("proved: ")
    assert certified.stderr == ""  # no progress bar away from a terminal
    assert files_in(tmp_path) == ["sin.json"]
    checked = expect(run("check", "sin.json", cwd=tmp_path), PROVED)
    assert re.fullmatch(r"sin\.json: proved: [^\n]+\n", checked.stdout)


def test_certify_without_output_writes_certificate_json_once(tmp_path: Path) -> None:
    expect(run("certify", *SINE, cwd=tmp_path), PROVED)
    assert files_in(tmp_path) == ["certificate.json"]
    expect_refusal(run("certify", *SINE, cwd=tmp_path), "certificate.json", "--force")
    expect(run("certify", *SINE, "--force", cwd=tmp_path), PROVED)


def test_certify_json_is_one_object_with_the_documented_keys(tmp_path: Path) -> None:
    certified = expect(run("certify", *SINE, "-o", "sin.json.gz", "--json", cwd=tmp_path), PROVED)
    assert certified.stdout.count("\n") == 1
    result = json.loads(certified.stdout)
    assert set(result) >= RESULT_KEYS
    assert result["verdict"] == "proved"
    assert result["file"] == "sin.json.gz"
    assert 0 <= float(result["error_lower"]) <= float(result["error_upper"]) <= 0.05
    assert result["tokens"] > 0
    assert result["boxes"] > 0
    document = json.loads(gzip.decompress((tmp_path / "sin.json.gz").read_bytes()))
    assert document["statement_sha256"] == result["statement_sha256"]
    expect(run("check", "sin.json.gz", cwd=tmp_path), PROVED)


def test_a_target_may_begin_with_a_minus_sign(tmp_path: Path) -> None:
    expect(run("certify", "-x**2", "--domain", "[0,1]", "--tol", "0.1", "-o", "c.json", cwd=tmp_path), PROVED)
    assert json.loads((tmp_path / "c.json").read_text())["statement"]["target"] == "-x**2"


def test_no_check_leaves_the_verdict_at_verified(tmp_path: Path) -> None:
    certified = expect(run("certify", *SINE, "--no-check", "--json", cwd=tmp_path), PROVED)
    assert json.loads(certified.stdout)["verdict"] == "verified"


def test_construct_then_verify_in_place_then_check(tmp_path: Path) -> None:
    constructed = expect(run("construct", *SINE, "-o", "weights.json", "--json", cwd=tmp_path), PROVED)
    stated = json.loads(constructed.stdout)
    assert set(stated) >= RESULT_KEYS
    assert stated["verdict"] is None
    assert stated["tokens"] > 0
    path = tmp_path / "weights.json"
    assert json.loads(path.read_text())["evidence"] is None
    expect(run("check", "weights.json", cwd=tmp_path), NEGATIVE)  # a claim without proof is not accepted
    verified = json.loads(expect(run("verify", "weights.json", "--json", cwd=tmp_path), PROVED).stdout)
    assert verified["statement_sha256"] == stated["statement_sha256"]
    assert json.loads(path.read_text())["evidence"]["kind"] == "paving"
    expect(run("check", "weights.json", cwd=tmp_path), PROVED)
    assert files_in(tmp_path) == ["weights.json"]


def test_verify_writes_elsewhere_when_asked(tmp_path: Path) -> None:
    expect(run("construct", *SINE, "-o", "weights.json", cwd=tmp_path), PROVED)
    before = (tmp_path / "weights.json").read_bytes()
    expect(run("verify", "weights.json", "-o", "proved.json", cwd=tmp_path), PROVED)
    assert (tmp_path / "weights.json").read_bytes() == before
    expect_refusal(run("verify", "weights.json", "-o", "proved.json", cwd=tmp_path), "proved.json", "--force")
    expect(run("check", "proved.json", cwd=tmp_path), PROVED)


def test_a_false_claim_is_refuted_with_a_point_that_the_kernel_confirms(tmp_path: Path, false_claim: Path) -> None:
    refuted = expect(run("verify", false_claim, "-o", "refuted.json", "--json", cwd=tmp_path), NEGATIVE)
    result = json.loads(refuted.stdout)
    assert result["verdict"] == "refuted"
    assert result["file"] == "refuted.json"
    assert len(result["point"]) == 1
    assert float(result["error_lower"]) > 1e-9
    checked = expect(run("check", "refuted.json", "--json", cwd=tmp_path), NEGATIVE)
    assert json.loads(checked.stdout)["verdict"] == "refuted"


def test_check_searches_directories(tmp_path: Path, sine: Path) -> None:
    for name in ("a.json", "deep/er/b.json", ".hidden/c.json", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(sine.read_bytes())
    (tmp_path / "d.json.gz").write_bytes(gzip.compress(sine.read_bytes()))
    (tmp_path / "package.json").write_text('{"name": "something else"}')
    for jobs in ("1", "2"):
        checked = expect(run("check", ".", "--jobs", jobs, cwd=tmp_path), PROVED)
        *lines, summary = checked.stdout.splitlines()
        assert [line.split(":")[0] for line in lines[:3]] == ["a.json", "d.json.gz", "deep/er/b.json"]
        assert [line.split()[-1] for line in lines[4:]] == ["file", "a.json", "d.json.gz", "deep/er/b.json"]
        assert summary == "3 files: 3 proved"
    (tmp_path / "deep" / "broken.json").write_bytes(sine.read_bytes()[:-100])
    checked = expect(run("check", tmp_path, "--json", cwd=tmp_path), NEGATIVE)
    outcomes = [json.loads(line) for line in checked.stdout.splitlines()]
    assert all(set(outcome) >= RESULT_KEYS for outcome in outcomes)
    assert {Path(outcome["file"]).name: outcome["verdict"] for outcome in outcomes} == {
        "a.json": "proved",
        "d.json.gz": "proved",
        "broken.json": "rejected",
        "b.json": "proved",
    }


@pytest.mark.parametrize("content", [None, '{"name": "something else"}'])
def test_check_fails_when_there_is_nothing_to_check(tmp_path: Path, content: str | None) -> None:
    (tmp_path / "folder").mkdir()
    if content is not None:
        (tmp_path / "folder" / "other.json").write_text(content)
    expect_refusal(run("check", "folder", cwd=tmp_path), "no certificate found in folder")


def test_show_tells_what_is_claimed_and_that_nothing_was_checked(tmp_path: Path, sine: Path) -> None:
    shown = expect(run("show", sine, cwd=tmp_path), PROVED)
    digest = json.loads(sine.read_text())["statement_sha256"]
    assert "not checked" in shown.stdout
    assert "attncert check" in shown.stdout
    for words in ("sin(2*pi*x)", "[0,1]", "0.05", digest):
        assert words in shown.stdout
    summary = json.loads(expect(run("show", sine, "--json", cwd=tmp_path), PROVED).stdout)
    assert summary["checked"] is False
    assert summary["statement_sha256"] == digest
    assert summary["target"] == "sin(2*pi*x)"


def test_show_tells_the_conditions_of_the_domain(tmp_path: Path) -> None:
    condition = "x0**2 + x1**2 <= 1"
    where = ["--where", condition, "--where", "x0 <= 3/4"]
    expect(run("certify", "x0*x1", "--domain", "[-1,1]^2", *where, "--tol", "1/2", cwd=tmp_path), PROVED)
    shown = expect(run("show", "certificate.json", cwd=tmp_path), PROVED)
    assert f"[-1,1]^2 where {condition} where x0 <= 3/4" in shown.stdout
    summary = json.loads(expect(run("show", "certificate.json", "--json", cwd=tmp_path), PROVED).stdout)
    assert summary["where"] == [condition, "x0 <= 3/4"]


def test_cross_attention_from_the_command_line(tmp_path: Path) -> None:
    cross = ["certify", "sin(K[0,0] + 2*Q[0,0])", "--attention", "cross", "--domain", "[0,1]^2", "--tol", "0.4"]
    expect(run(*cross, cwd=tmp_path), PROVED)
    expect(run("check", "certificate.json", cwd=tmp_path), PROVED)
    expect_refusal(run(*cross, "--shape", "1x1", "--force", cwd=tmp_path), "DxN,DxN")
    expect_refusal(run(*cross, "--shape", "2x1,1x1", "--force", cwd=tmp_path), "2 sides")


def test_the_installed_command_knows_its_version(tmp_path: Path) -> None:
    command = Path(sysconfig.get_path("scripts")) / "attncert"
    asked = subprocess.run([command, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"attncert \d+\.\d+\.\d+\S*\n", asked.stdout)


def test_help_needs_none_of_the_numeric_libraries(tmp_path: Path) -> None:
    code = "import sys, attncert.cli; sys.exit(bool({'numpy', 'mpmath', 'attncert.api'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


@pytest.mark.parametrize(("wanted", "found"), [(None, "1"), ("2", "2")])
def test_blas_has_one_thread_unless_told_otherwise(wanted: str | None, found: str) -> None:
    others = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    told = {} if wanted is None else {"OPENBLAS_NUM_THREADS": wanted}
    code = "import os; from attncert.cli import main; main(['--version']); print(os.environ['OPENBLAS_NUM_THREADS'])"
    finished = subprocess.run(
        [sys.executable, "-c", code], env={**others, **told}, capture_output=True, text=True, check=True
    )
    assert finished.stdout.splitlines()[-1] == found


def test_the_examples_of_every_help_page_run(tmp_path: Path) -> None:
    seen = []
    for command in ("certify", "construct", "verify", "check", "show", "completion"):
        page = expect(run(command, "--help", cwd=tmp_path), PROVED).stdout
        examples = page.split("Examples:\n")[1].strip().splitlines()
        (tmp_path / "certificates").mkdir(exist_ok=True)
        for example in examples:
            program, *arguments = shlex.split(example.split(">")[0])
            assert program == "attncert"
            if command == "check" and (tmp_path / "sin.json").exists():
                (tmp_path / "certificates" / "sin.json").write_bytes((tmp_path / "sin.json").read_bytes())
            expect(run(*arguments, cwd=tmp_path), PROVED)
            seen.append(example)
    assert len(seen) >= 9


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(tmp_path: Path, shell: str) -> None:
    script = expect(run("completion", shell, cwd=tmp_path), PROVED).stdout
    assert "_ATTNCERT_COMPLETE" in script


def test_completion_knows_the_commands(tmp_path: Path) -> None:
    asked = {"_ATTNCERT_COMPLETE": "bash_complete", "COMP_WORDS": "attncert ce", "COMP_CWORD": "1"}
    answer = subprocess.run(
        COMMAND, cwd=tmp_path, env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert answer.stdout.strip() == "plain,certify"


# --- bad input -------------------------------------------------------------------------------------------------------

BAD_TARGETS = {
    "unknown function": ("foo(x)", "[0,1]", ["foo"]),
    "unknown variable": ("x + y", "[0,1]", ["'?y'?"]),
    "syntax error": ("sin(2*pi*x", "[0,1]", ["column 4", "never closed"]),
    "empty target": ("", "[0,1]", []),
    "no number at the end": ("1 +", "[0,1]", []),
    "code": ("__import__('os').system('true')", "[0,1]", []),
    "pole": ("1/x", "[-1,1]", ["0"]),
    "pole at an end": ("1/x", "[0,1]", ["0"]),
    "logarithm of a negative number": ("log(x)", "[-1,1]", ["log"]),
    "root of a negative number": ("sqrt(x - 1/2)", "[0,1]", ["sqrt"]),
    "zero by zero": ("0/0", "[0,1]", []),
    "jump": ("sign(x-1/3)", "[-1,1]", [r"0\.33|1/3", "norm"]),
    "empty box": ("x", "[]", []),
    "no box": ("x", "", []),
    "reversed box": ("x", "[1,0]", ["reversed"]),
    "infinite end": ("x", "[0,inf]", ["inf"]),
    "end that is no number": ("x", "[0,nan]", ["nan"]),
    "fewer sides than variables": ("x0 + x1", "[0,1]", []),
    "one name for two sides": ("x", "[0,1]^2", []),
    "too many sides": ("x0", "[0,1]^500", []),
}


@pytest.mark.parametrize(("target", "domain", "said"), BAD_TARGETS.values(), ids=BAD_TARGETS.keys())
@pytest.mark.parametrize("command", ["certify", "construct"])
def test_bad_targets_and_domains_are_refused(
    tmp_path: Path, command: str, target: str, domain: str, said: Sequence[str]
) -> None:
    refused = run(command, target, "--domain", domain, "--tol", "0.05", "-o", "c.json", cwd=tmp_path)
    expect_refusal(refused, *said)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    "tolerance", ["0", "-1", "-0.5", "nan", "inf", "", "abc", "0x", "1/0", "0.05 0.06", "1e99999999999"]
)
def test_bad_tolerances_are_refused(tmp_path: Path, tolerance: str) -> None:
    expect_refusal(run("certify", "x", "--domain", "[0,1]", "--tol", tolerance, cwd=tmp_path), "tolerance|number")
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("norm", ["0", "0.5", "-1", "nan", "L2", ""])
def test_bad_norms_are_refused(tmp_path: Path, norm: str) -> None:
    expect_refusal(run("certify", *SINE, "--norm", norm, cwd=tmp_path), "norm")


BAD_USAGE = {
    "no such command": (["cretify"], "cretify"),
    "no such option": (["certify", *SINE, "--oops"], "--oops"),
    "missing domain": (["certify", "x", "--tol", "1"], "--domain"),
    "missing tolerance": (["certify", "x", "--domain", "[0,1]"], "--tol"),
    "missing target": (["certify", "--domain", "[0,1]", "--tol", "1"], "TARGET"),
    "too many targets": (["certify", "x", *SINE], "unexpected"),
    "low precision": (["certify", *SINE, "--precision", "23"], "--precision"),
    "high precision": (["certify", *SINE, "--precision", "100001"], "--precision"),
    "no job": (["certify", *SINE, "--jobs", "0"], "--jobs"),
    "no budget": (["certify", *SINE, "--budget", "0"], "--budget"),
    "negative budget": (["certify", *SINE, "--budget", "-1"], "--budget"),
    "budget that is no number": (["certify", *SINE, "--budget", "nan"], "--budget"),
    "endless budget": (["certify", *SINE, "--budget", "inf"], "--budget"),
    "no shape": (["certify", *SINE, "--shape", "2"], "shape"),
    "unknown attention": (["certify", *SINE, "--attention", "other"], "--attention"),
    "unknown method": (["certify", *SINE, "--method", "magic"], "magic"),
    "unknown proof": (["certify", *SINE, "--proof", "magic"], "magic"),
    "nothing to check": (["check"], "FILE"),
    "unknown shell": (["completion", "dos"], "dos"),
}


@pytest.mark.parametrize(("arguments", "said"), BAD_USAGE.values(), ids=BAD_USAGE.keys())
def test_bad_usage_is_refused(tmp_path: Path, arguments: Sequence[str], said: str) -> None:
    expect_refusal(run(*arguments, cwd=tmp_path), re.escape(said))
    assert files_in(tmp_path) == []


def test_no_command_prints_the_help_and_fails(tmp_path: Path) -> None:
    alone = expect(run(cwd=tmp_path), BAD_INPUT)
    assert alone.stdout == ""
    assert "Commands:" in alone.stderr


@pytest.mark.parametrize("place", ["nowhere/c.json", "/proc/c.json", "file/c.json", ".", "x" * 300])
@pytest.mark.parametrize("command", ["certify", "construct"])
def test_an_unwritable_output_is_refused(tmp_path: Path, command: str, place: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    expect_refusal(run(command, *SINE, "-o", place, "--force", cwd=tmp_path), re.escape(place[:250]))
    assert files_in(tmp_path) == ["file"]


def test_an_existing_output_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("mine")
    hard = ["exp(sin(30*x0)*x1)", "--domain", "[0,1]^2", "--tol", "1e-6"]
    start = time.monotonic()
    expect_refusal(run("certify", *hard, "-o", "c.json", cwd=tmp_path), "c.json", "exists")
    assert time.monotonic() - start < 5
    assert (tmp_path / "c.json").read_text() == "mine"


def test_output_never_replaces_a_device(tmp_path: Path) -> None:
    expect_refusal(run("certify", *SINE, "-o", os.devnull, "--force", cwd=tmp_path), "not a regular file")
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize("command", ["verify", "check", "show"])
def test_a_missing_file_is_bad_input(tmp_path: Path, command: str) -> None:
    expect_refusal(run(command, "nowhere.json", cwd=tmp_path), "nowhere.json", "No such file")


def test_more_memory_than_there_is_is_refused(tmp_path: Path) -> None:
    hard = ["sin(x0 + 2*x1 + 3*x2)", "--domain", "[0,1]^3", "--tol", "1e-12", "--method", "uniform"]
    expect_refusal(run("certify", *hard, cwd=tmp_path), "memory|tokens")
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("arguments", [["x*1e300", "--domain", "[0,1]"], ["exp(x)**300", "--domain", "[-1,1]"]])
def test_overflow_inside_gives_no_warning_outside(tmp_path: Path, arguments: Sequence[str]) -> None:
    expect_refusal(run("certify", *arguments, "--tol", "0.1", "--budget", "60", cwd=tmp_path))


# --- hostile certificates --------------------------------------------------------------------------------------------

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut at the start": lambda data: data[:1],
    "cut in the middle": lambda data: data[: len(data) // 2],
    "cut at the end": lambda data: data[:-2],
    "followed by more": lambda data: data + b"{}",
    "zeros": lambda data: bytes(1000),
    "noise": lambda data: bytes(range(256)) * 10,
    "not UTF-8": lambda data: data.replace(b'"sin', b'"\xff\xfe'),
    "another document": lambda data: b"[1, 2, 3]",
    "deeply nested": lambda data: b"[" * 1_000_000,
    "enormous number": lambda data: data.replace(b'"tolerance":"0.05"', b'"tolerance":"1e999999999"'),
    "other target": lambda data: data.replace(b"sin(2", b"cos(2"),
    "other digest": lambda data: data.replace(b'"statement_sha256":"', b'"statement_sha256":"0'),
    "evidence removed": lambda data: re.sub(rb'"evidence":\{.*?\}', b'"evidence":null', data),
    "gzip cut": lambda data: gzip.compress(data)[:-20],
    "gzip of zeros": lambda data: gzip.compress(bytes(1 << 24)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_certificate_is_rejected(tmp_path: Path, sine: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "damaged.json"
    data = damage(sine.read_bytes())
    assert data != sine.read_bytes()
    path.write_bytes(data)
    if data.startswith(b"\x1f\x8b"):
        path = path.rename(tmp_path / "damaged.json.gz")
    for asked in (path, tmp_path):
        checked = run("check", asked, cwd=tmp_path)
        assert "Traceback" not in checked.stderr
        if asked == tmp_path and data == b"[1, 2, 3]":
            expect_refusal(checked, "no certificate found")
            continue
        expect(checked, NEGATIVE)
        assert checked.stdout.count("\n") == 1
        assert f"{path.name}: rejected: " in checked.stdout
    expect_readable_or_refused(run("show", path, cwd=tmp_path))


def expect_readable_or_refused(shown: Finished) -> None:
    """`show` does not check evidence: it tells what the file says, or refuses it in one line."""
    if shown.returncode == PROVED:
        assert "not checked" in shown.stdout
    else:
        expect_refusal(shown)


def test_a_huge_certificate_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse: no disk is used
    checked = expect(run("check", path, cwd=tmp_path, timeout=30), NEGATIVE)
    assert "huge.json: rejected: " in checked.stdout
    expect_refusal(run("show", path, cwd=tmp_path, timeout=30))


def test_terminal_escapes_in_a_certificate_are_spelled_out(tmp_path: Path, sine: Path) -> None:
    document = json.loads(sine.read_text())
    document["format"] = "attncert/\x1b[2J1"
    (tmp_path / "escape.json").write_text(json.dumps(document))
    for command in ("check", "show"):
        answer = run(command, "escape.json", cwd=tmp_path)
        assert answer.returncode in (NEGATIVE, BAD_INPUT)
        assert "\x1b" not in answer.stdout + answer.stderr


@pytest.mark.slow
def test_a_gzip_bomb_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "bomb.json.gz"
    with gzip.open(path, "wb", compresslevel=1) as bomb:
        for _ in range(4096):
            bomb.write(bytes(1 << 20))
    checked = expect(run("check", path, cwd=tmp_path), NEGATIVE)
    assert "bomb.json.gz: rejected: limit: " in checked.stdout


# --- stopping early --------------------------------------------------------------------------------------------------

LONG = ["sin(9*x0)*cos(8*x1)", "--domain", "[0,1]^2", "--tol", "0.02", "--method", "uniform", "-o", "long.json"]
"""Takes minutes."""


def test_a_small_budget_leaves_the_claim_undecided(tmp_path: Path) -> None:
    stopped = expect(run("certify", *LONG, "--budget", "1", "--json", cwd=tmp_path), UNDECIDED)
    result = json.loads(stopped.stdout)
    assert result["verdict"] == "undecided"
    assert result["file"] is None
    assert stopped.stderr == "attncert: undecided: long.json was not written\n"
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("wait", [0.6, 4.0])
def test_an_interrupt_stops_cleanly(tmp_path: Path, wait: float, jobs: str) -> None:
    with subprocess.Popen(
        [*COMMAND, "certify", *LONG, "--jobs", jobs],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        time.sleep(wait)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole group
        try:
            output, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == UNDECIDED, (output, errors)
    assert "Traceback" not in errors
    assert len(errors.splitlines()) == 1, errors
    assert files_in(tmp_path) == []


INTERRUPTED_WITHIN_TEXT = """
import click
say = click.echo
def echo(*arguments, **options):
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        say(*arguments, **options)
click.echo = echo
"""


def test_an_interrupt_of_executed_text_leaves_the_exit_code_alone(tmp_path: Path) -> None:
    """As when it comes while a dataclass is made: Python would end by SIGINT after the interrupt was dealt with."""
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED_WITHIN_TEXT)
    finished = subprocess.run(
        [*COMMAND, "nonsense"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    expect_refusal(finished, "nonsense")


def test_a_closed_pipe_is_quiet(tmp_path: Path, sine: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    shown = subprocess.run(
        [*COMMAND, "show", sine], cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert shown.stderr == ""
    assert shown.returncode not in (PROVED, NEGATIVE, BAD_INPUT, UNDECIDED)


def test_a_full_disk_is_one_line(tmp_path: Path, sine: Path) -> None:
    with open("/dev/full", "w") as full:
        shown = subprocess.run(
            [*COMMAND, "show", sine], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert shown.returncode == BAD_INPUT
    assert shown.stderr == "attncert: error: No space left on device\n"


def test_the_progress_bar_appears_on_a_terminal(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    with subprocess.Popen([*COMMAND, "certify", *SINE], cwd=tmp_path, stdout=subprocess.PIPE, stderr=slave) as process:
        os.close(slave)
        shown = read_all(master)
        assert process.wait(60) == PROVED
    assert b"% proved" in shown


def read_all(terminal: int) -> bytes:
    """What was written to a terminal until its other end closed."""
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:  # Linux says so at the end
            piece = b""
        if not piece:
            os.close(terminal)
            return shown
        shown += piece


# --- the gate --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_byte_of_a_certificate_counts(tmp_path: Path, sine: Path) -> None:
    """Cut anywhere, the file is rejected; the directory check sees each piece."""
    data = sine.read_bytes()
    pieces = sorted({len(data) * k // 200 for k in range(200)})
    for length in pieces:
        (tmp_path / f"{length}.json").write_bytes(data[:length])
    checked = expect(run("check", ".", "--jobs", "2", cwd=tmp_path), NEGATIVE)
    assert checked.stdout.splitlines()[-1] == f"{len(pieces)} files: {len(pieces)} rejected"
