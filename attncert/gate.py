"""The gate: finds certificates, lets the kernel check each, and compares what was proved with what was demanded.

numpy and the rest are imported only where a demand needs the statement: a plain check takes the kernel alone.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attncert.shares import in_processes
from attncert.verifier import kernel

if TYPE_CHECKING:
    from attncert.demands import Lock, Requirement, UserClaim

Outcome = dict[str, Any]
"""What was found of a file: the keys of `attncert check --json`."""


LIMITS = kernel.Limits()
"""What a certificate may ask for, unless the user says otherwise."""


class GateError(Exception):
    """The check could not be carried out; one line says why."""


@dataclass(frozen=True)
class Demands:
    """What is asked of every file (requirements), of one file at least (claims), and of the set of files (lock)."""

    requirements: Sequence[Requirement] = ()
    claims: Sequence[UserClaim] = ()
    lock: Lock | None = None

    def __bool__(self) -> bool:
        """Tell whether anything is demanded."""
        return bool(self.requirements or self.claims or self.lock)


def certificates(paths: Sequence[Path]) -> list[Path]:
    """The files to check, each once: those named, and all certificates below the directories named.

    Raises OSError for a path that cannot be read.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += _certificates_below(path)
        else:
            with path.open("rb"):
                files.append(path)
    return list(dict.fromkeys(files))


def _certificates_below(directory: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise error

    files = []
    for folder, folders, names in os.walk(directory, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        candidates = (Path(folder, name) for name in sorted(names) if name.endswith((".json", ".json.gz")))
        files += [path for path in candidates if path.is_file() and not is_something_else(path)]
    return files


def is_something_else(path: Path) -> bool:
    """Tell whether a file is JSON, but plainly no certificate; what cannot be read is for the kernel to judge."""
    if path.stat().st_size > 1 << 22:
        return False
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = zlib.decompressobj(wbits=31).decompress(data, 1 << 24)
        value = json.loads(data)
    except (OSError, ValueError, RecursionError, zlib.error):
        return False
    if not isinstance(value, dict):
        return True
    return (
        not str(value.get("format", "")).startswith("attncert")
        and not {"statement", "statement_sha256", "evidence"} & value.keys()
    ) or str(value.get("format", "")).startswith("attncert-lock/")


def check_files(
    files: Sequence[Path], demands: Demands, jobs: int = 1, limits: kernel.Limits = LIMITS
) -> Iterator[Outcome]:
    """What is found of each file, in order; `jobs` processes check at a time, files or, of few files, their leaves.

    Raises GateError when a process is ended from outside.
    """
    together = min(jobs, len(files))
    check = partial(check_file, demands=demands, jobs=jobs // together if together else 1, limits=limits)
    if together <= 1:
        yield from map(check, files)
        return
    with _pool(together) as executor:
        yield from executor.map(check, files)


@contextmanager
def _pool(jobs: int) -> Iterator[Any]:
    """Processes that end with the block, however it is left."""
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import active_children, get_context

    executor = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_ignore_interrupt)
    try:
        yield executor
    except BrokenProcessPool:
        raise GateError("a checking process was ended from outside, perhaps for want of memory") from None
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        for worker in active_children():
            worker.terminate()


def _ignore_interrupt() -> None:
    """Leave Ctrl-C to the parent process."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)


def check_file(path: Path, demands: Demands = Demands(), jobs: int = 1, limits: kernel.Limits = LIMITS) -> Outcome:
    """What the kernel says of a file, and which demands it does not meet; `jobs` processes share its leaves.

    `ok` tells whether the file passes: it is proved, or refuted as demanded, and meets every requirement and the lock.
    `unmet` says why not; `claims` gives for each claim of the user None, or why the file does not prove it.
    """
    start = time.perf_counter()
    outcome: Outcome = {"file": str(path)}
    try:
        with path.open("rb") as stream:
            data = kernel.read_at_most(stream.read, limits.document)
        finding = kernel.check_bytes(data, limits, shares=jobs, spread=in_processes)
    except kernel.Rejected as rejection:
        reason, detail = rejection.reason, rejection.detail
        outcome |= {"verdict": "rejected", "reason": reason, "detail": f"{reason}: {detail}"}
    except OSError as error:
        outcome |= {"verdict": "error", "detail": error.strerror}
    except MemoryError:
        outcome |= {"verdict": "error", "detail": "out of memory"}
    else:
        outcome |= {
            "verdict": finding.verdict,
            "error_lower": finding.bound if finding.verdict == "refuted" else finding.lower,
            "error_upper": finding.bound if finding.verdict == "proved" else None,
            "tokens": finding.tokens,
            "boxes": finding.leaves,
            "statement_sha256": finding.statement_sha256,
            "claim": finding.claim,
            "obligations": finding.obligations,
            "point": finding.point,
            "detail": f"{finding.claim} ({finding.obligations} obligations checked)",
        }
        if demands:
            outcome |= _compared(data, finding, outcome, demands)
    outcome.setdefault("ok", outcome["verdict"] == "proved")
    return outcome | {"seconds": round(time.perf_counter() - start, 3)}


def _compared(data: bytes, finding: kernel.Finding, outcome: Mapping[str, object], demands: Demands) -> Outcome:
    """How what was proved compares with what was demanded."""
    from attncert.certificates.document import Document
    from attncert.certificates.errors import InputError

    try:
        statement = Document.from_bytes(data).statement
    except InputError as error:
        return {"unmet": [f"the statement cannot be read: {error}"], "ok": False}
    if statement.sha256 != finding.statement_sha256:
        return {"unmet": ["the statement is not the one that the kernel checked"], "ok": False}
    reasons = [(demand.text, demand.unmet(statement, finding)) for demand in demands.requirements]
    if demands.lock is not None:
        reasons.append((str(demands.lock.path), demands.lock.unmet(outcome)))
    claims = {claim.path: claim.unmet(statement, finding) for claim in demands.claims}
    wanted = len(reasons) > 0 or None in claims.values()  # a refutation counts where it was asked for
    unmet = [f"{name}: {reason}" for name, reason in reasons if reason is not None]
    return {"claims": claims, "unmet": unmet, "ok": not unmet and (finding.verdict == "proved" or wanted)}


def verdicts(outcomes: Sequence[Outcome], demands: Demands, files: Sequence[Path]) -> list[str]:
    """What is wrong with the files as a set: a claim that none proves, a locked file that was not checked."""
    wrong = []
    for claim in demands.claims:
        reasons = {str(o["file"]): o["claims"][claim.path] for o in outcomes if "claims" in o}
        if None not in reasons.values():
            told = [f"{file}: {reason}" for file, reason in reasons.items()]
            wrong.append(f"{claim.path}: not proved by any file ({'; '.join(told[:3]) or 'none was proved'})")
    if demands.lock is not None:
        wrong += [f"{demands.lock.path}: {name} was not checked" for name in demands.lock.missing(list(files))]
    return wrong
