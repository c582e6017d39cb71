"""Interrupted searches: whatever stops one, it goes on to the evidence of a search that was never stopped."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import random
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time
import tracemalloc
import types
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from heads import grid_statement, with_tolerance

from attncert import Certificate, InputError, Result, api
from attncert.certificates.deadline import Deadline
from attncert.certificates.numbers import float_down
from attncert.certificates.statement import Statement
from attncert.size import parse_size
from attncert.verifier import journal as journals
from attncert.verifier import paving, prove_sup
from attncert.verifier.boxes import Block, Progress
from attncert.verifier.journal import InvalidJournal, Journal
from attncert.verifier.outcome import Outcome, columns_of, silence_for
from attncert.verifier.paving import PavingSearch, Search
from attncert.verifier.prove import verify

PROVED, BAD_INPUT, UNDECIDED = 0, 2, 3

LINE = grid_statement("sin(2*pi*x)", "[0,1]", [90], 42_000, "0.04")
PLANE = grid_statement("exp(-x0**2)*cos(3*x1)", "[0,1/3]x[-0.7,0.1]", [5, 6], 2000, "0.3")
VECTOR = grid_statement("[sin(3*x0)*x1, abs(x0-x1)]", "[-1,1]x[0,2]", [6, 6], 60, "0.9")
COLUMNS = api.construct_head(
    "[[X[0,0], X[0,1]*X[0,0]]]", domain="[0,1]^2", shape="1x2", tolerance="0.15", method="uniform"
).statement
DISC = grid_statement("x0*x1", "[-1,1]^2", [7, 7], 900, "0.3", conditions=["x0**2 + x1**2 <= 1"])
STATEMENTS = {"line": LINE, "plane": PLANE, "vector": VECTOR, "columns": COLUMNS, "disc": DISC}


@pytest.fixture(autouse=True)
def small_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many rounds, all of them recorded."""
    monkeypatch.setattr(paving, "ROUND_BYTES", 1 << 11)
    monkeypatch.setattr(journals, "DELAY", 0.0)


def document(statement: Statement) -> Certificate:
    return Certificate(statement, None, {"made": "by hand"})


def new(statement: Statement, path: Path) -> Journal:
    return Journal.new(path, statement.sha256, lambda: document(statement).to_bytes().decode())


def recorded(statement: Statement, journal: Journal, *, failing: bool = False, **how: Any) -> Outcome:
    try:
        outcome = verify(statement, journal=journal, **how)
    finally:
        journal.close()
    assert (journal.failure is not None) == failing
    return outcome


def interrupt_after(calls: int) -> Callable[[Progress], None]:
    left = iter(range(calls))

    def progress(_: Progress) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    return progress


def same(outcome: Outcome, other: Outcome) -> None:
    assert outcome.verdict == other.verdict
    assert outcome.evidence == other.evidence
    assert (outcome.boxes, outcome.error_lower, outcome.error_upper) == (
        other.boxes,
        other.error_lower,
        other.error_upper,
    )


def rounds_of(statement: Statement) -> int:
    seen: list[Progress] = []
    verify(statement, progress=seen.append)
    return len(seen)


# --- the same evidence -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_search_resumed_after_any_round_finds_the_same(name: str, tmp_path: Path) -> None:
    statement = STATEMENTS[name]
    usual, rounds = verify(statement), rounds_of(statement)
    assert usual.verdict == "verified"
    assert rounds > 4
    for stop in sorted({0, 1, 2, rounds // 2, rounds - 2, rounds - 1}):
        path = tmp_path / f"{stop}.journal"
        stopped = recorded(statement, new(statement, path), progress=interrupt_after(stop))
        assert stopped.interrupted
        assert stopped.resumable
        seen: list[Progress] = []
        same(recorded(statement, Journal.resume(path, statement.sha256), progress=seen.append), usual)
        assert len(seen) == rounds - (stop + 1)  # nothing is done twice


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_search_stopped_again_and_again_finds_the_same(name: str, tmp_path: Path) -> None:
    statement, path = STATEMENTS[name], tmp_path / "x.journal"
    usual = verify(statement)
    outcome = recorded(statement, new(statement, path), progress=interrupt_after(0))
    tries = 0
    while outcome.verdict == "undecided":
        jobs = (1, 2, 4)[tries % 3]
        outcome = recorded(statement, Journal.resume(path), progress=interrupt_after(3), jobs=jobs)
        tries += 1
    assert tries > 1
    same(outcome, usual)


@pytest.mark.parametrize("name", STATEMENTS)
@pytest.mark.parametrize("jobs", [2, 4])
def test_the_evidence_does_not_depend_on_jobs(name: str, jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paving, "LEAST_WORK", 1)
    same(verify(STATEMENTS[name], jobs=jobs), verify(STATEMENTS[name]))


def test_both_bounds_are_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tight bound that fails comes first, then the tolerance: stopped in either, the search ends the same."""
    monkeypatch.setattr(prove_sup, "TIGHTER", 0.8)
    usual, rounds = verify(COLUMNS), rounds_of(COLUMNS)
    assert usual.verdict == "verified"
    ended = set()
    for stop in range(0, rounds, max(1, rounds // 12)):
        path = tmp_path / f"{stop}.journal"
        recorded(COLUMNS, new(COLUMNS, path), progress=interrupt_after(stop))
        journal = Journal.resume(path)
        ended.add(len(journal._ended))
        same(recorded(COLUMNS, journal), usual)
    assert len(ended) >= 3  # the tight bound, the first column, the second


def test_a_box_limit_ends_a_resumed_search_where_it_would_have_ended(tmp_path: Path) -> None:
    usual = verify(PLANE, max_boxes=40)
    assert (usual.verdict, usual.resumable) == ("undecided", False)
    for stop in (0, 1):
        path = tmp_path / f"{stop}.journal"
        recorded(PLANE, new(PLANE, path), progress=interrupt_after(stop), max_boxes=40)
        same(recorded(PLANE, Journal.resume(path), max_boxes=40), usual)


def search_of(statement: Statement) -> PavingSearch:
    (column,) = columns_of(statement)
    bound = prove_sup.bounds_to_try(statement.claim.tolerance, 0.0)[-1]  # type: ignore[union-attr]
    silence = silence_for(column.head, bound)
    return PavingSearch(
        statement.function, column.entries, column.head, statement.domain, bound=float_down(bound), silence=silence
    )


def test_a_box_limit_does_not_depend_on_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is kept exactly when a complete search examines no more."""
    needed = search_of(PLANE).run().boxes
    for size in (1, 1 << 12, 1 << 22):
        monkeypatch.setattr(paving, "ROUND_BYTES", size)
        assert search_of(PLANE).run(max_boxes=needed).status == "proved"
        assert search_of(PLANE).run(max_boxes=needed - 1).cause == "boxes"


def test_the_time_being_over_leaves_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    outcome = recorded(PLANE, new(PLANE, path), deadline=Deadline.after(0))
    assert (outcome.verdict, outcome.resumable, outcome.interrupted) == ("undecided", True, False)
    while outcome.verdict == "undecided":
        outcome = recorded(PLANE, Journal.resume(path), deadline=Deadline.after(0.01))
    same(outcome, verify(PLANE))


def test_a_short_search_leaves_no_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "DELAY", 60.0)
    journal = new(PLANE, tmp_path / "x.journal")
    assert recorded(PLANE, journal, progress=interrupt_after(5)).interrupted
    assert not journal.begun
    assert list(tmp_path.iterdir()) == []


def test_a_journal_that_begins_late_holds_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begun in the second column, it also holds the answer of the first."""
    usual, path = verify(COLUMNS), tmp_path / "x.journal"
    monkeypatch.setattr(journals, "DELAY", 60.0)
    left = iter(range(rounds_of(COLUMNS) - 2))

    def progress(_: Progress) -> None:
        if next(left, None) is None:
            if journals.DELAY == 0.0:
                raise KeyboardInterrupt
            monkeypatch.setattr(journals, "DELAY", 0.0)

    recorded(COLUMNS, new(COLUMNS, path), progress=progress)
    journal = Journal.resume(path)
    assert len(journal._ended) == 1
    same(recorded(COLUMNS, journal), usual)


class Tracer:
    """Counts the lines that journal.py executes, and raises KeyboardInterrupt at the one numbered `stop`."""

    def __init__(self, stop: int = 0) -> None:
        self.lines, self.stop = 0, stop

    def __call__(self, frame: types.FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != journals.__file__:
            return None
        if event == "line":
            self.lines += 1
            if self.lines == self.stop:
                raise KeyboardInterrupt
        return self

    def run(self, statement: Statement, path: Path) -> None:
        journal = new(statement, path)
        before = sys.gettrace()
        sys.settrace(self)
        try:
            verify(statement, journal=journal)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
            journal.close()


def test_an_interrupt_at_any_line_leaves_a_journal_or_none(tmp_path: Path) -> None:
    usual, whole = verify(LINE), Tracer()
    whole.run(LINE, tmp_path / "whole.journal")
    assert whole.lines > 200
    resumed = 0
    for stop in range(1, whole.lines, max(1, whole.lines // 150)):
        path = tmp_path / f"{stop}.journal"
        Tracer(stop).run(LINE, path)
        if path.exists():
            resumed += 1
            same(recorded(LINE, Journal.resume(path)), usual)
    assert resumed > 100


# --- sudden ends -----------------------------------------------------------------------------------------------------

SLOW = """
import os, signal, sys, time
from attncert.verifier import journal, paving
journal.DELAY, paving.ROUND_BYTES = 0.0, 1 << 11
examine, to_bytes, calls = paving.PavingSearch.examine, journal.block_to_bytes, 0
def slow(*arguments):
    time.sleep({pause})
    return examine(*arguments)
def deadly(block):
    global calls
    calls += 1
    if calls == {deadly}:
        os.kill(os.getpid(), signal.SIGKILL)
    return to_bytes(block)
paving.PavingSearch.examine, journal.block_to_bytes = slow, deadly
from attncert.cli import main
sys.exit(main(sys.argv[1:]))
"""


def command(*arguments: str | Path, deadly: int = 0, pause: float = 0.004) -> list[str]:
    """The command line with small, slow rounds; it kills itself when it writes the block numbered `deadly`."""
    return [sys.executable, "-c", SLOW.format(deadly=deadly, pause=pause), *map(str, arguments)]


def run(*arguments: str | Path, cwd: Path, **how: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments, **how), cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def claims(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate without evidence, and with the one that a search without a stop makes of it."""
    folder = tmp_path_factory.mktemp("claims")
    document(PLANE).save(folder / "plane.json")
    ended = run("verify", "plane.json", "-o", "proved.json", cwd=folder)
    assert ended.returncode == PROVED, ended.stderr
    assert files_in(folder) == {"plane.json", "proved.json"}
    return folder


@pytest.mark.parametrize("deadly", [1, 2, 3, 7, 15])
def test_a_kill_within_a_transaction(deadly: int, claims: Path, tmp_path: Path) -> None:
    shutil.copy(claims / "plane.json", tmp_path)
    killed = run("verify", "plane.json", cwd=tmp_path, deadly=deadly)
    assert killed.returncode == -signal.SIGKILL
    resumed = run("verify", "plane.json", "--resume", cwd=tmp_path)
    assert resumed.returncode == PROVED, resumed.stderr
    assert (tmp_path / "plane.json").read_bytes() == (claims / "proved.json").read_bytes()
    assert files_in(tmp_path) == {"plane.json"}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_time(how: signal.Signals, claims: Path, tmp_path: Path) -> None:
    """Stopped at random times, at least four times, with one thread or two."""
    rnd = random.Random(how)
    source, left = tmp_path / "plane.json", tmp_path / "plane.json.journal"
    proved = (claims / "proved.json").read_bytes()
    shutil.copy(claims / "plane.json", source)
    stops, resume = 0, []
    while source.read_bytes() != proved:
        assert stops < 200
        arguments = ["verify", source.name, *resume, "--jobs", str(1 + stops % 2)]
        slowly = command(*arguments, pause=0.1)
        with subprocess.Popen(slowly, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
            for _ in range(1000):
                if left.exists() or process.poll() is not None:
                    break
                time.sleep(0.02)
            time.sleep(rnd.uniform(0, 0.4) + (0.6 if resume else 0))
            process.send_signal(how)
            _, errors = process.communicate(timeout=60)
        stops += process.returncode != PROVED
        if how == signal.SIGINT and process.returncode == UNDECIDED and "kept" in errors:
            assert re.fullmatch(r"attncert: undecided: .* go on with: attncert verify plane.json --resume\n", errors)
        if left.exists():
            resume = ["--resume"]
            if run("verify", source.name, "--resume", "--budget", "0.01", cwd=tmp_path).returncode == BAD_INPUT:
                resume = []  # stopped within the first transaction
    assert stops >= 3
    assert files_in(tmp_path) == {"plane.json"}


def test_certify_is_resumed_without_a_certificate(tmp_path: Path) -> None:
    sine = ["certify", "sin(2*pi*x)", "--domain", "[0,1]", "--tol", "0.05", "--method", "uniform", "--force"]
    assert run(*sine, "-o", "whole.json.gz", cwd=tmp_path).returncode == PROVED
    stopped = run(*sine, "-o", "sin.json.gz", "--budget", "0.5", "--json", cwd=tmp_path, pause=0.1)
    assert stopped.returncode == UNDECIDED, stopped.stderr
    result = json.loads(stopped.stdout)
    assert (result["file"], result["journal"]) == (None, "sin.json.gz.journal")
    assert stopped.stderr.endswith("go on with: attncert verify sin.json.gz --resume\n")
    assert files_in(tmp_path) == {"whole.json.gz", "sin.json.gz.journal"}
    resumed = run("verify", "sin.json.gz", "--resume", "--jobs", "2", cwd=tmp_path)
    assert resumed.returncode == PROVED, resumed.stderr
    assert (tmp_path / "sin.json.gz").read_bytes() == (tmp_path / "whole.json.gz").read_bytes()
    assert files_in(tmp_path) == {"whole.json.gz", "sin.json.gz"}


def test_certify_over_another_certificate_is_resumed_by_force(claims: Path, tmp_path: Path) -> None:
    sine = ["certify", "sin(2*pi*x)", "--domain", "[0,1]", "--tol", "0.05", "--method", "uniform", "-o", "x.json"]
    shutil.copy(claims / "plane.json", tmp_path / "x.json")
    stopped = run(*sine, "--force", "--budget", "0.5", cwd=tmp_path, pause=0.1)
    assert stopped.stderr.endswith("go on with: attncert verify x.json --resume --force\n")
    refused = run("verify", "x.json", "--resume", cwd=tmp_path)
    assert refused.returncode == BAD_INPUT
    assert (
        refused.stderr == "attncert: error: x.json.journal: the journal is of another statement than the certificate\n"
    )
    assert run("verify", "x.json", "--resume", "--force", cwd=tmp_path).returncode == PROVED
    assert Certificate.load(tmp_path / "x.json").statement.target is not None
    assert "sin" in Certificate.load(tmp_path / "x.json").statement.function.source


# --- journals that cannot be resumed ---------------------------------------------------------------------------------


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The journal of a search that was stopped half way."""
    path = tmp_path / "x.journal"
    recorded(PLANE, new(PLANE, path), progress=interrupt_after(3))
    return path


def refused(path: Path, *said: str) -> None:
    with pytest.raises(InvalidJournal) as refusal:
        recorded(PLANE, Journal.resume(path, PLANE.sha256))
    text = str(refusal.value)
    assert len(text.splitlines()) == 1
    assert text.startswith(f"{path}: ")
    assert all(word in text.removeprefix(str(path)) for word in said), text


def test_no_journal(tmp_path: Path) -> None:
    refused(tmp_path / "none.journal", "there is no journal")


def test_another_statement(stopped: Path) -> None:
    with pytest.raises(InvalidJournal, match="of another statement"):
        Journal.resume(stopped, LINE.sha256)


@pytest.mark.parametrize(
    ("name", "said"),
    [("format", "another format"), ("version", "another version of attncert"), ("parameters", "other parameters")],
)
def test_another_kind_of_journal(name: str, said: str, stopped: Path) -> None:
    change(stopped, "UPDATE meta SET value = ?, crc = ? WHERE name = ?", "other", journals._crc(b"other"), name)
    refused(stopped, said)


def test_other_parameters_of_the_search(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paving, "ROUND_BYTES", 1 << 13)
    refused(stopped, "other parameters")


def test_another_order(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paving, "ORDERS", {2: 2})
    refused(stopped, "of another search")


def change(path: Path, statement: str, *values: object) -> None:
    db = sqlite3.connect(path)
    with db:
        changed = db.execute(statement, values).rowcount
    db.close()
    assert changed


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE open SET boxes = substr(boxes, 1, length(boxes) - 8)",
        "UPDATE open SET boxes = zeroblob(length(boxes))",
        "DELETE FROM open WHERE place = 0",
        "DELETE FROM step WHERE number = 1",
        "UPDATE step SET nodes = zeroblob(length(nodes))",
        "UPDATE step SET axes = NULL",
        "UPDATE search SET boxes = boxes + 1",
        "UPDATE search SET worst = worst / 2",
        "UPDATE search SET name = 'nobody'",
        "DELETE FROM meta WHERE name = 'plan'",
        "UPDATE meta SET value = value || ' ' WHERE name = 'document'",
        "UPDATE meta SET value = x'ff' WHERE name = 'version'",
    ],
)
def test_a_damaged_journal(statement: str, stopped: Path) -> None:
    change(stopped, statement)
    refused(stopped, "damaged")


@pytest.mark.parametrize("field", ["node", "tokens", "level", "index"])
def test_numbers_out_of_range(field: str, stopped: Path) -> None:
    """What a checksum does not show."""
    db = sqlite3.connect(stopped)
    ((place, data),) = db.execute("SELECT place, boxes FROM open ORDER BY place LIMIT 1").fetchall()
    db.close()
    block = journals.block_from_bytes(data)
    bad = getattr(block, field).copy()
    bad.flat[0] = 100 if field == "level" else 1 << 30
    data = journals.block_to_bytes(replace(block, **{field: bad}))
    change(stopped, "UPDATE open SET boxes = ?, crc = ? WHERE place = ?", data, journals._crc(data), place)
    refused(stopped, "damaged")


@pytest.mark.parametrize(("table", "column"), [("open", "boxes"), ("step", "nodes"), ("meta", "value")])
def test_checksums(table: str, column: str, stopped: Path) -> None:
    """Numbers that could be right."""
    db = sqlite3.connect(stopped)
    rows = "SELECT rowid, {} FROM {}" if table != "meta" else "SELECT name, {} FROM {} WHERE name = 'plan'"
    place, data = db.execute(rows.format(column, table)).fetchone()
    db.close()
    if table == "meta":
        other = data.replace('"row": 0', '"row": 1')
    else:
        first = 24 if table == "open" else 0  # a block begins with its sizes
        other = data[:first] + bytes([data[first] ^ 1]) + data[first + 1 :]
    assert other != data
    key = "name" if table == "meta" else "rowid"
    change(stopped, f"UPDATE {table} SET {column} = ? WHERE {key} = ?", other, place)
    refused(stopped, "checksum")


def test_a_file_with_flipped_bits(stopped: Path) -> None:
    """Refused, or (where nothing was written) resumed to the same evidence."""
    usual, data, rnd = verify(PLANE), stopped.read_bytes(), random.Random(5)
    answers = 0
    for _ in range(60):
        flipped = bytearray(data)
        for _ in range(rnd.choice([1, 1, 20])):
            flipped[rnd.randrange(len(data))] ^= 1 << rnd.randrange(8)
        stopped.write_bytes(flipped)
        with suppress(InvalidJournal):
            same(recorded(PLANE, Journal.resume(stopped, PLANE.sha256)), usual)
            answers += 1
    assert answers < 60


@pytest.mark.parametrize("length", [0, 1, 60, 200, 1 << 14, (1 << 14) + 5, 3 << 14])
def test_a_file_that_was_cut(length: int, stopped: Path) -> None:
    data = stopped.read_bytes()
    assert len(data) > length
    stopped.write_bytes(data[:length])
    refused(stopped, "damaged" if length else "empty")


def test_somebody_elses_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    path.write_text("Dear diary")
    refused(path, "no journal of attncert")
    with pytest.raises(InvalidJournal, match="no journal of attncert"):
        new(PLANE, path)
    journals.discard(path)
    assert path.read_text() == "Dear diary"


def test_a_journal_in_use(stopped: Path) -> None:
    journal = Journal.resume(stopped)
    script = f"""
from pathlib import Path
from attncert.verifier.journal import InvalidJournal, Journal
for use in (lambda path: Journal.resume(path), lambda path: Journal.new(path, "", str)):
    try:
        use(Path({str(stopped)!r}))
    except InvalidJournal as refusal:
        print(refusal)
"""
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert other.stdout == f"{stopped}: the journal is in use by another process\n" * 2
    journal.close()


def test_a_new_search_replaces_a_journal(stopped: Path) -> None:
    outcome = recorded(LINE, new(LINE, stopped), progress=interrupt_after(2))
    assert outcome.resumable
    same(recorded(LINE, Journal.resume(stopped, LINE.sha256)), verify(LINE))


def test_a_full_disk_does_not_end_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, path = verify(PLANE), tmp_path / "x.journal"
    left, to_bytes = iter(range(4)), journals.block_to_bytes

    def full(block: Block) -> bytes:
        if next(left, None) is None:
            raise sqlite3.OperationalError("database or disk is full")
        return to_bytes(block)

    monkeypatch.setattr(journals, "block_to_bytes", full)
    journal = new(PLANE, path)
    same(recorded(PLANE, journal, failing=True), usual)
    assert journal.failure is not None
    assert "disk is full" in journal.failure
    monkeypatch.setattr(journals, "block_to_bytes", to_bytes)
    same(recorded(PLANE, Journal.resume(path)), usual)  # from the last round that was written


def test_blocks_are_read_as_they_were_written() -> None:
    rnd = np.random.default_rng(1)
    counts = rnd.integers(1, 9, 50)
    level = rnd.integers(0, 49, (50, 3))
    index = rnd.integers(0, 1 << 48, (50, 3)) >> (48 - level)
    tokens = rnd.integers(0, 1 << 31, counts.sum()).astype(np.int32)
    block = Block(rnd.integers(0, 1 << 40, 50), index, level, rnd.integers(0, 1 << 31, 50), counts, tokens)
    read = journals.block_from_bytes(journals.block_to_bytes(block))
    for name in journals.TYPES:
        written, again = getattr(block, name), getattr(read, name)
        assert again.dtype == written.dtype
        assert again.flags.writeable
        assert np.array_equal(written, again)


# --- from Python -----------------------------------------------------------------------------------------------------


def answer(result: Result) -> tuple[Any, ...]:
    assert result.certificate is not None
    return result.verdict, result.certificate.to_bytes(), result.error_lower, result.error_upper, result.boxes


def test_verify_from_python(tmp_path: Path) -> None:
    certificate, path = document(PLANE), tmp_path / "x.journal"
    stopped = api.verify(certificate, journal=path, progress=interrupt_after(3))
    assert (stopped.verdict, stopped.interrupted, stopped.journal) == ("undecided", True, path)
    resumed = api.verify(Certificate.from_journal(path), journal=str(path), resume=True)
    assert answer(resumed) == answer(api.verify(certificate))
    assert resumed.verdict == "proved"
    assert resumed.journal == path  # until the certificate is saved
    assert answer(api.verify(certificate, journal=path, resume=True)) == answer(resumed)


def test_certify_from_python(tmp_path: Path) -> None:
    request = {"target": "sin(2*pi*x)", "domain": "[0,1]", "tolerance": "0.05", "method": "uniform"}
    path = tmp_path / "x.journal"
    stopped = api.certify(**request, journal=path, progress=interrupt_after(3))
    assert stopped.journal == path
    resumed = api.verify(Certificate.from_journal(path), journal=path, resume=True)
    whole = api.certify(**request)
    assert whole.certificate is not None
    assert resumed.certificate is not None
    assert resumed.certificate.to_bytes() == whole.certificate.to_bytes()


def test_an_interrupt_while_the_kernel_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, path = document(PLANE), tmp_path / "x.journal"

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(api.kernel, "check_bytes", interrupt)
        stopped = api.verify(certificate, journal=path)
    assert (stopped.verdict, stopped.interrupted, stopped.journal) == ("undecided", True, path)
    searched: list[Progress] = []
    resumed = api.verify(certificate, journal=path, resume=True, progress=searched.append)
    assert resumed.verdict == "proved"
    assert searched == []


def test_a_search_that_nothing_could_finish_leaves_no_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attncert.verifier.boxes.MAX_LEVEL", 3)
    monkeypatch.setattr("attncert.verifier.prove.MORE", 1)  # nor do integers
    result = api.verify(document(with_tolerance(PLANE, "0.19")), journal=tmp_path / "x.journal")
    assert result.verdict == "undecided"
    assert result.journal is None
    assert list(tmp_path.iterdir()) == []


def test_other_searches_keep_no_journal(tmp_path: Path) -> None:
    certificate = api.certify("sign(x - 1/3)", domain="[-1,1]", tolerance="0.01", norm="1").certificate
    assert certificate is not None
    assert api.verify(certificate, check=False, journal=tmp_path / "x.journal").verdict == "verified"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="only a search for a paving in the sup norm"):
        api.verify(certificate, journal=tmp_path / "x.journal", resume=True)


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify", "plane.json", "--resume"], "plane.json.journal: there is no journal to resume"),
        (["verify", "none.json", "--resume"], "none.json.journal: there is no journal to resume"),
        (["verify", "plane.json", "--resume", "--no-journal"], "drop --no-journal"),
        (["verify", "plane.json", "--memory", "5"], "no amount of memory"),
        (["verify", "plane.json", "--memory", "0MiB"], "no amount of memory"),
    ],
)
def test_usage(arguments: Sequence[str], said: str, claims: Path) -> None:
    refused = run(*arguments, cwd=claims)
    assert (refused.returncode, refused.stdout) == (BAD_INPUT, "")
    assert len(refused.stderr.splitlines()) == 1
    assert said in refused.stderr


def test_no_journal_leaves_nothing(claims: Path, tmp_path: Path) -> None:
    shutil.copy(claims / "plane.json", tmp_path)
    stopped = run("verify", "plane.json", "--no-journal", "--budget", "0.3", cwd=tmp_path, pause=0.2)
    assert stopped.returncode == UNDECIDED
    assert stopped.stderr == "attncert: undecided: plane.json was not written\n"
    assert files_in(tmp_path) == {"plane.json"}


# --- memory ----------------------------------------------------------------------------------------------------------


def peak_of(work: Callable[[], Search]) -> tuple[Search, int]:
    tracemalloc.start()
    try:
        search = work()
        return search, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def usual_rounds(small_rounds: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paving, "ROUND_BYTES", 1 << 22)


LITTLE = 700_000
"""Bytes that suffice to begin with WIDE, but not to end."""

WIDE = grid_statement("sin(3*x0)*cos(2*x1)", "[0,1]^2", [48, 48], 120_000, "0.0335")


@pytest.mark.usefixtures("usual_rounds")
@pytest.mark.parametrize("jobs", [1, 2])
def test_memory_is_kept(jobs: int) -> None:
    """The cap holds for what the search itself allocates; the tree is the same."""
    usual, wanted = peak_of(lambda: search_of(with_tolerance(WIDE, "0.04")).run())
    cap = 2 << 20
    assert usual.status == "proved"
    assert wanted > 1.5 * cap
    search, peak = peak_of(lambda: search_of(with_tolerance(WIDE, "0.04")).run(memory=cap, jobs=jobs))
    assert search.status == "proved"
    assert search.tree.preorder() == usual.tree.preorder()
    assert peak < cap


@pytest.mark.parametrize(("tolerance", "memory"), [("0.0335", 700_000), ("0.036", 600_000)], ids=["one", "two bounds"])
def test_too_little_memory_is_said_and_leaves_a_journal(
    tolerance: str, memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paving, "FIRST_ENTRIES", 1 << 14)
    monkeypatch.setattr(paving, "ORDERS", {2: 0})
    statement, path = with_tolerance(WIDE, tolerance), tmp_path / "x.journal"
    outcome = recorded(statement, new(statement, path), memory=memory)
    assert (outcome.verdict, outcome.resumable, outcome.evidence) == ("undecided", True, None)
    assert outcome.detail.startswith("stopped at the memory cap after ")
    assert outcome.boxes > 0
    same(recorded(statement, Journal.resume(path), memory=1 << 28), verify(statement))


def test_far_too_little_memory() -> None:
    outcome = verify(WIDE, memory=1000)
    assert (outcome.verdict, outcome.boxes) == ("undecided", 0)


@pytest.mark.parametrize(
    ("text", "size"),
    [("500MiB", 500 << 20), ("2GiB", 2 << 30), ("1.5 gib", 3 << 29), ("1TiB", 1 << 40)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "5", "5GB", "-1GiB", "0MiB", "nanGiB", "1e3MiB", "1GiB2", "GiB", "٣GiB"])
def test_amounts_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="no amount of memory"):
        parse_size(text)


def test_memory_from_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paving, "ORDERS", {2: 0})
    assert api.verify(document(WIDE), memory=LITTLE).detail.startswith("stopped at the memory cap")
    assert api.verify(document(PLANE), memory="64MiB").verdict == "proved"
    for memory in (0, -5, "5"):
        with pytest.raises(InputError):
            api.verify(document(PLANE), memory=memory)


# --- progress --------------------------------------------------------------------------------------------------------


def test_progress_tells_the_bound_and_the_largest_error() -> None:
    seen: list[Progress] = []
    outcome = verify(COLUMNS, progress=seen.append)
    assert [now.boxes for now in seen] == sorted(now.boxes for now in seen)
    assert seen[-1].boxes == outcome.boxes
    for now in seen:
        assert now.bound == pytest.approx(outcome.error_upper)
        assert now.worst is not None
        assert 0 < now.worst <= now.bound


def test_progress_on_a_terminal(claims: Path, tmp_path: Path) -> None:
    shutil.copy(claims / "plane.json", tmp_path)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 120, 0, 0))
    arguments = command("verify", "plane.json", pause=0.15)
    with subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=slave) as process:
        os.close(slave)
        shown = b""
        with suppress(OSError):  # Linux says so at the end
            while piece := os.read(master, 1 << 16):
                shown += piece
        os.close(master)
    assert process.returncode == PROVED
    assert re.search(rb"\d\.\d% proved .* boxes, 30 tokens, error seen 0\.18\d*, proving 0\.188\D", shown), shown


def test_progress_in_words() -> None:
    from attncert.reports import progress_text

    shown = progress_text(Progress(0.5, 12345, 67, 0.04912, 0.05))
    assert shown == "12,345 boxes, 67 tokens, error seen 0.04912, proving 0.05"
    assert progress_text(Progress(0.5, 12345, 67)) == "12,345 boxes, 67 tokens"
