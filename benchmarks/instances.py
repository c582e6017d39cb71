"""The instances that everything is measured on: heads on grids of anchors over the unit cube, with float64 values.

T(x) = sum_i softmax_i(-beta |x - c_i|^2) f(c_i). Tolerances are multiples of the true largest error, which is found
when it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import product

import numpy as np
import numpy.typing as npt

from attncert.certificates.claim import SupError
from attncert.certificates.domain import Box
from attncert.certificates.statement import Statement
from attncert.certificates.target import InputSpace, parse_target
from attncert.construct.embedding import embed
from benchmarks.peers.common import Job, formula

FloatArray = npt.NDArray[np.float64]

WAVE = "sin(2*pi*x)"
BUMP = "exp(-(x0**2+x1**2))*cos(3*x0*x1)"
CUBIC = "x0*x1 - x2**2 + 0.5*x0*x2"

SAMPLES = {1: 200_001, 2: 2_001, 3: 201}
"""Samples along each axis, by dimension, before the best are refined."""

CANDIDATES, BLOCKS, ZOOMS = 64, 40, 24


@dataclass(frozen=True)
class Instance:
    """A head on a grid of `side` anchors along each axis, and a tolerance: `factor` times the sup, or `fixed`."""

    name: str
    target: str
    dimension: int
    side: int
    beta: float
    factor: float | None = None
    fixed: float | None = None

    @cached_property
    def axis(self) -> FloatArray:
        """The anchors along an axis."""
        return (np.arange(self.side) + 0.5) / self.side

    @cached_property
    def anchors(self) -> FloatArray:
        """All anchors: (tokens, dimension)."""
        return np.array(list(product(self.axis.tolist(), repeat=self.dimension)))

    @cached_property
    def values(self) -> FloatArray:
        """The target at the anchors: (tokens,)."""
        return np.asarray(formula(self.target, self.anchors.T, np), dtype=np.float64)

    @cached_property
    def largest_error(self) -> tuple[float, tuple[float, ...]]:
        """The sup of |f - T| and where it is attained: dense sampling, then finer grids about the best samples."""
        axes = [np.linspace(0.0, 1.0, SAMPLES[self.dimension])] * self.dimension
        errors = self.errors_on(axes)
        step = math.ceil(SAMPLES[self.dimension] / (BLOCKS ** (2 if self.dimension == 1 else 1)))
        best: list[tuple[float, tuple[int, ...]]] = []
        for corner in product(range(0, SAMPLES[self.dimension], step), repeat=self.dimension):
            block = errors[tuple(slice(start, start + step) for start in corner)]
            place = np.unravel_index(int(block.argmax()), block.shape)
            best.append((float(block[place]), tuple(int(a + b) for a, b in zip(corner, place, strict=True))))
        best.sort(reverse=True)
        starts = [tuple(float(axis[i]) for axis, i in zip(axes, place, strict=True)) for _, place in best[:CANDIDATES]]
        return max(self._refined(start) for start in starts)

    def _refined(self, point: tuple[float, ...]) -> tuple[float, tuple[float, ...]]:
        """The largest error near a point."""
        radius, count = 2.0 / SAMPLES[self.dimension], {1: 41, 2: 13, 3: 9}[self.dimension]
        error = 0.0
        for _ in range(ZOOMS):
            axes = [np.linspace(max(0.0, x - radius), min(1.0, x + radius), count) for x in point]
            errors = self.errors_on(axes)
            place = np.unravel_index(int(errors.argmax()), errors.shape)
            error, point = (
                float(errors[place]),
                tuple(float(axis[i]) for axis, i in zip(axes, place, strict=True)),
            )
            radius /= 2
        return error, point

    def errors_on(self, axes: Sequence[FloatArray]) -> FloatArray:
        """|f - T| on a product of axes: on a grid of anchors the softmax is a product of one for each axis."""
        head = self.values.reshape((self.side,) * self.dimension)
        for axis in axes:  # each step contracts the first axis and appends the samples as the last
            scores = -self.beta * (axis[:, None] - self.axis[None, :]) ** 2
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            weights /= weights.sum(axis=1, keepdims=True)
            head = np.tensordot(head, weights, axes=([0], [1]))
        errors: FloatArray = np.abs(formula(self.target, np.meshgrid(*axes, indexing="ij", sparse=True), np) - head)
        return errors

    @property
    def sup(self) -> float:
        """The true sup of the error, to 1e-9."""
        return self.largest_error[0]

    @property
    def tolerance(self) -> float:
        """The tolerance: a float64, meant exactly."""
        if self.fixed is not None:
            return self.fixed
        assert self.factor is not None
        return self.factor * self.sup

    @property
    def holds(self) -> bool:
        """Whether the claim is true."""
        return self.sup < self.tolerance

    @property
    def statement(self) -> Statement:
        """The claim as attncert states it."""
        return statement_of(self.target, self.anchors.tolist(), self.beta, self.values.tolist(), self.tolerance)

    def job(self, *, repeat: int, limit: float, points: int = 0) -> Job:
        """The claim as every peer is given it."""
        return Job(
            name=self.name,
            target=self.target,
            dimension=self.dimension,
            anchors=self.anchors.tolist(),
            beta=self.beta,
            values=self.values.tolist(),
            tolerance=self.tolerance,
            repeat=repeat,
            limit=limit,
            points=points,
        )


def statement_of(
    target: str, anchors: Sequence[Sequence[float]], beta: float, values: Sequence[float], tolerance: float
) -> Statement:
    """|target - T| <= tolerance on the unit cube, with the head in the paper's full form."""
    dimension = len(anchors[0])
    space = InputSpace((dimension, 1))
    exact = [[Fraction(c) for c in anchor] for anchor in anchors]
    keys = [[2 * Fraction(beta) * c for c in column] for column in zip(*exact, strict=True)]
    biases = [-Fraction(beta) * sum(c * c for c in anchor) for anchor in exact]
    head = embed(space, keys, biases, [[[Fraction(value) for value in values]]], len(anchors))
    box = Box(((Fraction(0), Fraction(1)),) * dimension)
    return Statement(parse_target(target, space), box, head, SupError(Fraction(tolerance)))


INSTANCES = {
    instance.name: instance
    for instance in [
        Instance("A", WAVE, 1, 16, 200.0, 1.02),
        Instance("B", WAVE, 1, 64, 1e5, 1.02),
        Instance("B'", WAVE, 1, 64, 1e5, 0.98),
        Instance("C", BUMP, 2, 8, 60.0, 1.10),
        Instance("C'", BUMP, 2, 8, 60.0, 1.02),
        Instance("D", BUMP, 2, 16, 250.0, 1.02),
        Instance("E", CUBIC, 3, 4, 30.0, 1.02),
        Instance("F", BUMP, 2, 32, 1000.0, fixed=0.0155),
    ]
}
