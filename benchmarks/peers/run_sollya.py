"""Sollya: `checkinfnorm` on f - T, with `diam` so small that only the limit ends the search. One dimension."""

from __future__ import annotations

import subprocess
from typing import Any

from benchmarks.peers.common import Job, serve

SCRIPT = """
prec = 80!; diam = 1b-60!;
num = 0; den = 0;
{terms}
err = num / den; seen = 0; proved = false;
seconds = time({{ seen = dirtyinfnorm(err, [0;1]); if (seen < {tolerance}) then proved = checkinfnorm(err, [0;1], {tolerance}); }});
if (seen >= {tolerance}) then print("refuted", seconds) else if (proved) then print("proved", seconds) else print("undecided", seconds);
quit;
"""  # noqa: E501

TERM = "weight = exp(-({beta}) * (x - ({anchor}))^2); num = num + (({target}) - ({value})) * weight; "
TERM += "den = den + weight;"


def solve(job: Job) -> dict[str, Any]:
    """Look for a violation with `dirtyinfnorm` (not rigorous), then prove that there is none."""
    target = job.target.replace("**", "^")
    terms = "\n".join(
        TERM.format(beta=exact(job.beta), anchor=exact(anchor[0]), value=exact(value), target=target)
        for anchor, value in zip(job.anchors, job.values, strict=True)
    )
    script = SCRIPT.format(terms=terms, tolerance=exact(job.tolerance))
    answer = subprocess.run(["sollya", "--warnonstderr"], input=script, capture_output=True, text=True, check=True)
    verdict, seconds = answer.stdout.split()[-2:]
    return {"verdict": verdict, "seconds": float(seconds)}


def exact(number: float) -> str:
    """A float as Sollya reads it without rounding."""
    numerator, denominator = number.as_integer_ratio()
    return f"{numerator} * 1b-{denominator.bit_length() - 1}"


if __name__ == "__main__":
    serve(solve)
