"""The protocol of a measurement: a job as JSON on standard input, a line of JSON when all is prepared, and one for each
run."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any


@dataclass(frozen=True)
class Job:
    """What is to be decided: |f - T| <= tolerance on the unit cube, T(x) = sum_i softmax_i(-beta |x - c_i|^2) v_i.

    anchors: N points, values: N numbers. `points` is the number of samples that a sampler takes.
    """

    name: str
    target: str
    dimension: int
    anchors: list[list[float]]
    beta: float
    values: list[float]
    tolerance: float
    repeat: int = 1
    limit: float = 60.0
    points: int = 0


def formula(target: str, variables: Any, functions: Any) -> Any:
    """The target in a peer's own terms: `functions` has sin, cos, exp and pi; `variables` are its inputs.

    The targets are those of `benchmarks.instances`; nothing else is evaluated.
    """
    names = {name: getattr(functions, name) for name in ("sin", "cos", "exp", "pi")}
    names |= {f"x{k}": x for k, x in enumerate(variables)} | {"x": variables[0]}
    return eval(target, {"__builtins__": {}}, names)


def estimated_error(job: Job, point: list[float]) -> float:
    """The error at a point, in float64: how peers without a notion of a counterexample confirm one."""
    exponents = [-job.beta * sum((x - c) ** 2 for x, c in zip(point, anchor, strict=True)) for anchor in job.anchors]
    best = max(exponents)
    weights = [math.exp(exponent - best) for exponent in exponents]
    head = sum(w * v for w, v in zip(weights, job.values, strict=True)) / sum(weights)
    functions = SimpleNamespace(sin=math.sin, cos=math.cos, exp=math.exp, pi=math.pi)
    return abs(formula(job.target, point, functions) - head)


def serve(solve: Callable[[Any], dict[str, Any]], prepare: Callable[[Job], Any] = lambda job: job) -> None:
    """Answer the job on standard input: `solve` is called until it was timed `repeat` times or the limit is near.

    What `prepare` makes of the job, before the clock starts, is what `solve` gets.

    A solver returns its verdict (`proved`, `refuted`, `unseen` for a sampler, or `undecided`) and what else it knows;
    if it timed itself (`seconds`), that counts. `besides` are seconds spent on something else. What it prints goes to
    standard error.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(line: dict[str, Any]) -> None:
        print(json.dumps(line), file=answers, flush=True)

    job = Job(**json.load(sys.stdin))
    prepared = prepare(job)
    say({"ready": True})
    started = time.perf_counter()
    for _ in range(job.repeat):
        before = time.perf_counter()
        answer = solve(prepared)
        took = time.perf_counter() - before
        say({"seconds": took, **answer})
        if time.perf_counter() - started + took > job.limit:
            break
