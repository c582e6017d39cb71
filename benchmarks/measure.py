"""Runs one measurement in a process of its own, on one core, and ends it at the limit."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.common import Job

ROOT = Path(__file__).resolve().parent.parent
START_UP = 300.0
"""Seconds that imports and preparation may take; they count in the whole process only."""

LIBRARIES = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA")
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in LIBRARIES}


@dataclass
class Measurement:
    """What a tool answered: the verdict, the median seconds in process, those of the whole first process, and more.

    verdict: `proved`, `refuted`, `unseen`, `undecided`, `limit` (nothing within the limit) or `failed`.
    """

    verdict: str
    seconds: float | None = None
    process: float | None = None
    boxes: int | None = None
    runs: list[dict[str, Any]] = field(default_factory=list)
    detail: str = ""

    def median(self, key: str) -> float | None:
        """The median over the runs of something they all report."""
        numbers = [run[key] for run in self.runs if run.get(key) is not None]
        return statistics.median(numbers) if numbers else None

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def measure(module: str, job: Job, interpreter: str = sys.executable) -> Measurement:
    """Run a peer's module on a job."""
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    with tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        child = subprocess.Popen(
            [interpreter, "-W", "ignore", "-m", f"benchmarks.peers.{module}"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
            preexec_fn=_one_core,
        )
        lines: queue.Queue[tuple[float, str] | None] = queue.Queue()
        threading.Thread(target=_read, args=(child, lines), daemon=True).start()
        threading.Thread(target=_write, args=(child, json.dumps(asdict(job))), daemon=True).start()
        try:
            runs, process, ended = _collect(lines, started, job.limit)
        finally:
            _end(child)
        errors.seek(0)
        complaint = errors.read().strip().splitlines()[-1:]
    if runs:
        verdict = runs[0]["verdict"] if len({run["verdict"] for run in runs}) == 1 else "failed"
        measured = Measurement(verdict, process=process, boxes=runs[0].get("boxes"), runs=runs)
        measured.seconds = measured.median("seconds")
        return measured
    if ended:
        return Measurement("failed", detail=complaint[0] if complaint else f"exit code {child.returncode}")
    return Measurement("limit", detail=f"nothing within {job.limit:g} s")


def _collect(
    lines: queue.Queue[tuple[float, str] | None], started: float, limit: float
) -> tuple[list[dict[str, Any]], float | None, bool]:
    """The runs, the seconds from the start to the first answer, and whether the process ended by itself."""
    runs: list[dict[str, Any]] = []
    process, deadline = None, started + START_UP
    while True:
        try:
            line = lines.get(timeout=max(0.0, deadline - time.perf_counter()))
        except queue.Empty:
            return runs, process, False
        if line is None:
            return runs, process, True
        arrived, text = line
        answer = json.loads(text)
        if answer.get("ready"):
            deadline = arrived + limit
            continue
        process = process or arrived - started - answer.get("besides", 0.0)
        runs.append(answer)
        deadline = max(deadline, arrived + 2 * (arrived - started))  # a run that has begun may end


def _read(child: subprocess.Popen[str], lines: queue.Queue[tuple[float, str] | None]) -> None:
    assert child.stdout is not None
    for text in child.stdout:
        lines.put((time.perf_counter(), text))
    lines.put(None)


def _write(child: subprocess.Popen[str], text: str) -> None:
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(text)
        child.stdin.close()


def _end(child: subprocess.Popen[str]) -> None:
    """End the process and its children, which share its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _one_core() -> None:
    """Keep this process, and what it starts, on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
