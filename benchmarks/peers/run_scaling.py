"""attncert on a grid of many tokens; the only anchor of the job holds the number of cells along each axis."""

from __future__ import annotations

import resource
import time
from typing import Any

from attncert import Certificate, verify
from benchmarks.heads import grid_certificate
from benchmarks.peers.common import Job, serve


def prepare(job: Job) -> Certificate:
    """The head, with a tolerance that it meets."""
    return grid_certificate(job.target, "[0,1]^2", tuple(int(count) for count in job.anchors[0]), job.beta, None)


def solve(statement: Certificate) -> dict[str, Any]:
    """Verify, without the kernel."""
    started = time.perf_counter()
    result = verify(statement, jobs=1, check=False)
    seconds = time.perf_counter() - started
    verdict = "proved" if result.verdict == "verified" else result.verdict
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"verdict": verdict, "seconds": seconds, "boxes": result.boxes, "gibibytes": memory}


if __name__ == "__main__":
    serve(solve, prepare)
