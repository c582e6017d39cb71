"""dReal: two queries, one per sign, for a point where the numerator is negative; `unsat` is a proof."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import dreal

from benchmarks.peers.common import Job, estimated_error, formula, serve

PRECISION = 1e-9
"""Far below the least margin of a numerator, so that a claim that holds is `unsat` and not `delta-sat`."""


def solve(job: Job) -> dict[str, Any]:
    """Ask for both signs; pi is the double, which is 1e-16 off."""
    x = [dreal.Variable(f"x{k}") for k in range(job.dimension)]
    pi = 3.141592653589793
    f = formula(job.target, x, SimpleNamespace(sin=dreal.sin, cos=dreal.cos, exp=dreal.exp, pi=pi))
    domain = [bound for entry in x for bound in (entry >= 0, entry <= 1)]
    for sign in (1.0, -1.0):
        total = 0.0
        for anchor, value in zip(job.anchors, job.values, strict=True):
            distance = sum((entry - c) ** 2 for entry, c in zip(x, anchor, strict=True))
            total = total + (job.tolerance + sign * (f - value)) * dreal.exp(-job.beta * distance)
        found = dreal.CheckSatisfiability(dreal.And(*domain, total < 0), PRECISION)
        if found is not None:
            point = [found[entry].mid() for entry in x]
            return {"verdict": "refuted" if estimated_error(job, point) > job.tolerance else "undecided"}
    return {"verdict": "proved"}


if __name__ == "__main__":
    serve(solve)
