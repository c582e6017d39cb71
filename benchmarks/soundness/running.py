"""What attncert says of the cases: each claim by itself, and the proof of a true claim for its false twin."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

from attncert import Certificate, Result, verify
from attncert.certificates.statement import canonical
from attncert.verifier import kernel
from benchmarks.soundness.cases import Case

PROVED, REFUTED, OTHER = "proved", "refuted", "undecided"


@dataclass(frozen=True)
class Answer:
    """What was said of a case.

    `forged` is what the kernel said of the proof of the true twin beside this false claim; None if there was none.
    """

    name: str
    family: str
    holds: bool
    verdict: str
    seconds: float
    detail: str
    forged: str | None = None

    @property
    def wrong(self) -> bool:
        """A false claim was proved, or a true one refuted."""
        return self.verdict == (REFUTED if self.holds else PROVED) or self.forged in (PROVED, "internal")

    @property
    def right(self) -> bool:
        """The verdict is the truth."""
        return not self.wrong and self.verdict == (PROVED if self.holds else REFUTED)


def answer(case: Case, budget: float) -> tuple[Answer, Result]:
    """Ask attncert for a verdict, with one thread and within the budget; only the kernel says `proved`."""
    started = time.perf_counter()
    result = verify(Certificate(case.statement, None), budget=budget)
    verdict = result.verdict if result.verdict in (PROVED, REFUTED) else OTHER
    return Answer(case.name, case.family, case.holds, verdict, time.perf_counter() - started, result.detail), result


def forged(result: Result, case: Case) -> str | None:
    """What the kernel says of a false claim with the proof of its true twin, whose bounds are lowered to fit."""
    assert result.certificate is not None
    document: dict[str, Any] = json.loads(result.certificate.to_bytes())
    if document["evidence"] is None:
        return None
    document["statement"], document["statement_sha256"] = json.loads(case.statement.text), case.statement.sha256
    claim = document["statement"]["claim"]
    for part in (document["evidence"], *document["evidence"].values()):
        for key in {"bound", "upper"} & set(part if isinstance(part, dict) else ()):
            part[key] = claim["tolerance"]
    return kernel_says(canonical(document).encode("ascii"))


def kernel_says(data: bytes) -> str:
    """The kernel's verdict, or the reason of its rejection; `internal` for one that should not happen."""
    try:
        return kernel.check_bytes(data).verdict
    except kernel.Rejected as rejection:
        return "internal" if "internal error" in rejection.detail else rejection.reason


def answers_of(twins: Sequence[Case], budget: float) -> list[Answer]:
    """Answers to a claim that holds and one that fails, and the kernel's to a forgery of the latter."""
    true, false = twins
    first, proof = answer(true, budget)
    second, _ = answer(false, budget)
    if proof.verdict == PROVED:
        second = replace(second, forged=forged(proof, false))
    return [first, second]


def run(cases: Iterable[Case], *, budget: float, jobs: int) -> Iterator[Answer]:
    """Ask about all cases, which come in pairs, in as many processes as there are jobs."""
    flat = list(cases)
    twins = [flat[n : n + 2] for n in range(0, len(flat), 2)]
    if jobs == 1:
        for each in twins:
            yield from answers_of(each, budget)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for found in pool.map(answers_of, twins, [budget] * len(twins)):
            yield from found


def table(answers: Sequence[Answer]) -> str:
    """A row for each family: claims, right, undecided and wrong ones, proofs that were rejected for a false twin."""
    head = ["family", "claims", "right", "undecided", "wrong", "forgeries rejected", "seconds", "longest"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    families = list(dict.fromkeys(each.family for each in answers))
    for family in [*families, "all"]:
        rows = [each for each in answers if family in (each.family, "all")]
        tried = [each for each in rows if each.forged is not None]
        wrong = sum(each.wrong for each in rows)
        right = sum(each.right for each in rows)
        cells = [family, len(rows), right, len(rows) - right - wrong, wrong]
        cells += [f"{sum(each.forged not in (PROVED, 'internal') for each in tried)} of {len(tried)}"]
        cells += [f"{sum(each.seconds for each in rows):.1f}", f"{max(each.seconds for each in rows):.2f}"]
        lines.append(f"| {' | '.join(str(cell) if isinstance(cell, str) else f'{cell:,}' for cell in cells)} |")
    return "\n".join(lines)
