"""How the verifier's time grows with tokens: 2-D grids with a large beta, one process each."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import measure
from benchmarks.peers.common import Job
from benchmarks.plot import have_matplotlib, plot_scaling
from benchmarks.table import number, table

TARGET = "sin(3*x0)*cos(2*x1)"


def fitted_exponent(tokens: Sequence[int], seconds: Sequence[float]) -> float:
    """The least-squares slope of log seconds over log tokens."""
    return float(np.polyfit(np.log(tokens), np.log(seconds), 1)[0])


def run(sizes: Sequence[int], *, repeat: int, limit: float, output: Path, about: dict[str, Any]) -> str:
    """Measure heads of about these sizes; write scaling.md, scaling.json and scaling.png; return the report."""
    lines, records = [], []
    for size in sizes:
        side = math.isqrt(size)
        job = Job(f"{side}x{side}", TARGET, 2, [[float(side), float(side)]], 48.0 * side * side, [], 0.0, repeat, limit)
        measured = measure("run_scaling", job)
        records.append({"tokens": side * side, **measured.to_json()})
        print(
            f"{side * side:>9} tokens: {measured.verdict}, {number(measured.seconds)} s {measured.detail}", flush=True
        )
        lines.append(
            [
                f"{side * side:,}",
                measured.verdict,
                number(measured.seconds),
                f"{measured.boxes or 0:,}",
                number(measured.median("gibibytes")),
            ]
        )
    done = [record for record in records if record["verdict"] == "proved"]
    report = [
        "# Scaling",
        "",
        f"`{TARGET}` on [0,1]^2, beta 48 tokens, one core. Load when the run began: {about['load']}.",
        "",
        *table(["tokens", "verdict", "verifier, seconds", "boxes", "memory, GiB"], lines),
    ]
    exponent = None
    if len(done) > 1:
        tokens, seconds = [record["tokens"] for record in done], [record["seconds"] for record in done]
        exponent = fitted_exponent(tokens, seconds)
        report += ["", f"Time grows with tokens to the power {exponent:.2f}."]
        if have_matplotlib():
            plot_scaling(tokens, seconds, exponent, output / "scaling.png")
    text = "\n".join(report) + "\n"
    (output / "scaling.md").write_text(text)
    (output / "scaling.json").write_text(json.dumps({"about": about, "exponent": exponent, "runs": records}, indent=1))
    return text
