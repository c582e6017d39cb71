"""auto_LiRPA: CROWN bounds of both numerators, batches of boxes, each halved along its longest side. In float64 without
directed rounding."""

from __future__ import annotations

from typing import Any

import torch
from auto_LiRPA import BoundedModule, BoundedTensor, PerturbationLpNorm

from benchmarks.peers.common import Job, formula, serve

BATCH_ENTRIES = 1 << 18
"""Tokens times boxes that are bounded at once."""


OPTIONS = {"conv_mode": "matrix"}


class Numerators(torch.nn.Module):
    """sum_i (eps +- (f - v_i)) exp(-beta |x - c_i|^2), both signs.

    Written with linear layers throughout, since auto_LiRPA's backward bounds do not broadcast constants everywhere.
    """

    def __init__(self, job: Job) -> None:
        """Keep what the job fixes."""
        super().__init__()
        self.target, self.dimension = job.target, job.dimension
        anchors, values, n = torch.tensor(job.anchors), torch.tensor(job.values), len(job.values)
        self.spread = constant(torch.eye(job.dimension).repeat_interleave(n, dim=0))
        self.shift = constant(-anchors.T.reshape(-1))
        self.gather = constant(-job.beta * torch.eye(n).repeat(1, job.dimension))
        self.signs = constant(torch.tensor([[1.0], [-1.0]]))
        self.margins = constant(torch.full((2,), job.tolerance))
        self.totals = constant(torch.ones(2, n))
        self.offsets = constant(torch.stack([-values, values]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (boxes, dimension). Both numerators: (boxes, 2)."""
        linear = torch.nn.functional.linear
        f = formula(self.target, [x[:, k : k + 1] for k in range(self.dimension)], torch_functions())
        weights = torch.exp(linear(linear(x, self.spread, self.shift) ** 2, self.gather))
        return linear(f, self.signs, self.margins) * linear(weights, self.totals) + linear(weights, self.offsets)


def constant(numbers: torch.Tensor) -> torch.nn.Parameter:
    """Numbers that are part of the module."""
    return torch.nn.Parameter(numbers, requires_grad=False)


def torch_functions() -> Any:
    """The functions of targets in torch."""
    torch.pi = 3.141592653589793
    return torch


def solve(job: Job) -> dict[str, Any]:
    """Branch and bound over the input."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    module = Numerators(job)
    bounded = BoundedModule(module, torch.full((2, job.dimension), 0.5), OPTIONS, device="cpu")
    lower, upper = torch.zeros(1, job.dimension), torch.ones(1, job.dimension)
    size, boxes = max(1, BATCH_ENTRIES // len(job.values)), 0
    while len(lower):
        lo, hi, lower, upper = lower[-size:], upper[-size:], lower[:-size], upper[:-size]
        boxes += len(lo)
        middle = (lo + hi) / 2
        if module(middle).min() < 0:
            return {"verdict": "refuted", "boxes": boxes}
        norm = PerturbationLpNorm(norm=float("inf"), x_L=lo, x_U=hi)
        with torch.no_grad():
            bounds, _ = bounded.compute_bounds(
                x=(BoundedTensor(middle, norm),), method="CROWN-IBP", bound_lower=True, bound_upper=False
            )
        rest = ~(bounds.min(dim=1).values >= 0)
        lo, hi, middle = lo[rest], hi[rest], middle[rest]
        axis = (hi - lo).argmax(dim=1, keepdim=True)
        cut = middle.gather(1, axis)
        lower = torch.cat([lower, lo, lo.scatter(1, axis, cut)])
        upper = torch.cat([upper, hi.scatter(1, axis, cut), hi])
    return {"verdict": "proved", "boxes": boxes}


if __name__ == "__main__":
    serve(solve)
