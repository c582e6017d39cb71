"""Codac: forward-backward contractors on the set where the sign form is violated, paved until nothing is left."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import codac

from benchmarks.peers.common import Job, formula, serve

WIDTHS = [10.0**-k for k in range(2, 13)]
"""What is left at one width is paved again at the next."""


def solve(job: Job) -> dict[str, Any]:
    """Pave each sign in turn."""
    for sign in (1.0, -1.0):
        verdict = pave(job, sign)
        if verdict != "proved":
            return {"verdict": verdict}
    return {"verdict": "proved"}


def numerator(job: Job, sign: float) -> Any:
    """sum_i (eps + sign (f - v_i)) exp(-beta |x - c_i|^2): every term a product, so that intervals lose little."""
    x = codac.VectorVar(job.dimension)
    inputs = [x[k] for k in range(job.dimension)]
    f = formula(job.target, inputs, SimpleNamespace(sin=codac.sin, cos=codac.cos, exp=codac.exp, pi=codac.PI))
    total = None
    for anchor, value in zip(job.anchors, job.values, strict=True):
        distance = None
        for entry, c in zip(inputs, anchor, strict=True):
            square = codac.sqr(entry - c)
            distance = square if distance is None else distance + square
        coefficient = (job.tolerance - value) + f if sign > 0 else (job.tolerance + value) - f
        term = coefficient * codac.exp(-job.beta * distance)
        total = term if total is None else total + term
    return codac.AnalyticFunction([x], total)


def pave(job: Job, sign: float) -> str:
    """Contract and split until no box is left where the numerator can be negative."""
    function = numerator(job, sign)
    contractor = codac.CtcInverse(function, codac.Interval(-codac.oo, 0.0), False)  # centred forms cost more
    boxes = [codac.IntervalVector([[0.0, 1.0]] * job.dimension)]
    for width in WIDTHS:
        left = []
        for box in boxes:
            for subset in codac.pave(box, contractor, width).connected_subsets():
                for rest in subset.boxes():
                    if rest.is_empty() or function.eval(rest).lb() > 0:
                        continue
                    if function.eval(codac.IntervalVector(rest.mid())).ub() < 0:
                        return "refuted"
                    left.append(rest)
        if not left:
            return "proved"
        boxes = left
    return "undecided"


if __name__ == "__main__":
    serve(solve)
