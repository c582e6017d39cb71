"""attncert on a grid of many tokens; the only anchor of the job holds the number of cells along each axis."""

from __future__ import annotations

import resource
import time
from functools import cache
from typing import Any

from attncert import verify
from benchmarks.heads import grid_certificate
from benchmarks.peers.common import Job, serve


@cache
def certificate(target: str, counts: tuple[int, ...], beta: float) -> Any:
    """The head, made once."""
    return grid_certificate(target, "[0,1]^2", counts, beta, None)


def solve(job: Job) -> dict[str, Any]:
    """Verify, without the kernel."""
    statement = certificate(job.target, tuple(int(count) for count in job.anchors[0]), job.beta)
    started = time.perf_counter()
    result = verify(statement, jobs=1, check=False)
    seconds = time.perf_counter() - started
    verdict = "proved" if result.verdict == "verified" else result.verdict
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"verdict": verdict, "seconds": seconds, "boxes": result.boxes, "gibibytes": memory}


if __name__ == "__main__":
    serve(solve)
