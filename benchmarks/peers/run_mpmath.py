"""mpmath.iv: the sign form in interval arithmetic, boxes halved along their longest side. Its `exp` is not rigorous."""

from __future__ import annotations

from typing import Any

from mpmath import iv

from benchmarks.peers.common import Job, estimated_error, formula, serve


def solve(job: Job) -> dict[str, Any]:
    """Depth first, both signs at once."""
    weights = list(zip(job.anchors, job.values, strict=True))
    tolerance, beta = iv.mpf(job.tolerance), -iv.mpf(job.beta)
    stack, boxes = [[(0.0, 1.0)] * job.dimension], 0
    while stack:
        box = stack.pop()
        boxes += 1
        sides = [iv.mpf([lo, hi]) for lo, hi in box]
        f = formula(job.target, sides, iv)
        above, below = iv.mpf(0), iv.mpf(0)
        for anchor, value in weights:
            weight = iv.exp(beta * sum(((x - c) ** 2 for x, c in zip(sides, anchor, strict=True)), iv.mpf(0)))
            above += (tolerance + (f - value)) * weight
            below += (tolerance - (f - value)) * weight
        if above.a >= 0 and below.a >= 0:
            continue
        middle = [(lo + hi) / 2 for lo, hi in box]
        if estimated_error(job, middle) > job.tolerance * (1 + 1e-12):
            return {"verdict": "refuted", "boxes": boxes}
        axis = max(range(job.dimension), key=lambda k: box[k][1] - box[k][0])
        lo, hi = box[axis]
        stack += [[*box[:axis], half, *box[axis + 1 :]] for half in ((lo, middle[axis]), (middle[axis], hi))]
    return {"verdict": "proved", "boxes": boxes}


if __name__ == "__main__":
    serve(solve)
