"""Chebyshev series of a target in the variables u of `bernstein`, found by sampling: in float64, or on integers.

The integers stand for themselves over 2^bits and carry tolerances that float64 cannot resolve. Both arithmetics answer
the same calls, so that the search for degrees and rates is written once. Nothing here proves anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from attncert.certificates.deadline import Deadline
from attncert.certificates.errors import InvalidTarget
from attncert.certificates.evaluate import evaluate_float, evaluate_mp
from attncert.certificates.numbers import mpf_to_fraction
from attncert.certificates.target import Target
from attncert.construct.bernstein import Axis, Integers, context_of, real, scaled

FloatArray = npt.NDArray[np.float64]
Array = npt.NDArray[Any]

ROUNDS = 40
"""Rounds of Lawson's iteration."""

MAX_ENTRIES = 1 << 24
"""Points times functions in it: a random choice of the points takes part where there are more."""


class Arithmetic(Protocol):
    """Numbers in arrays: of doubles, or of integers over 2^bits."""

    most_samples: int

    def nodes(self, axis: Axis, count: int) -> tuple[list[Any], Array]:
        """Places x of the Chebyshev nodes, and the matrix from values there to coefficients."""

    def lattice(self, axis: Axis, degree: int, count: int) -> tuple[list[Any], Array]:
        """Places x of about 3/2 count points with both ends, and the values there of T_0, ..., T_degree."""

    def sample(self, target: Target, points: Sequence[Sequence[Any]], deadline: Deadline) -> Array:
        """Values of the target, (points, outputs)."""

    def contract(self, matrix: Array, tensor: Array, axis: int) -> Array:
        """The matrix applied to one axis."""

    def to_float(self, numbers: Array, unit: Fraction) -> FloatArray:
        """The numbers over a unit."""

    def from_float(self, numbers: FloatArray, unit: Fraction) -> Array:
        """Those doubles times a unit."""

    def integers(self, numbers: Array) -> tuple[Integers, int]:
        """The numbers times a power of two, rounded, and its exponent."""


class Floats:
    """float64."""

    most_samples = 1 << 19

    def __init__(self, bits: int) -> None:
        """`bits` is the exponent for `integers`."""
        self.bits = bits

    def nodes(self, axis: Axis, count: int) -> tuple[list[Any], Array]:
        """See Arithmetic."""
        if not axis.rate:
            return [float(axis.lo + axis.hi) / 2], np.ones((1, 1))
        angles = (np.arange(count) + 0.5) * (np.pi / count)
        matrix = np.cos(np.outer(np.arange(count), angles)) * (2 / count)
        matrix[0] /= 2
        return self._places(axis, np.cos(angles)), matrix

    def lattice(self, axis: Axis, degree: int, count: int) -> tuple[list[Any], Array]:
        """See Arithmetic."""
        if not axis.rate:
            return [float(axis.lo + axis.hi) / 2], np.ones((1, 1))
        u = np.cos(np.arange(count + 1) * (np.pi / count))
        even = np.linspace(float(axis.lo), float(axis.hi), max(3, count // 2))
        mid, half = map(float, axis.range(context_of(64)))
        at_even = (np.tanh(float(axis.rate) / 2 * (even - float(axis.centre))) - mid) / half
        u = np.concatenate([u, np.clip(at_even, -1, 1)])
        matrix = np.ones((len(u), degree + 1))
        for k in range(1, degree + 1):
            matrix[:, k] = u if k == 1 else 2 * u * matrix[:, k - 1] - matrix[:, k - 2]
        return [*self._places(axis, u[: count + 1]), *even.tolist()], matrix

    def _places(self, axis: Axis, u: FloatArray) -> list[Any]:
        mid, half = map(float, axis.range(context_of(64)))
        with np.errstate(all="ignore"):
            x = float(axis.centre) + 2 / float(axis.rate) * np.arctanh(mid + half * u)
        return np.clip(x, float(axis.lo), float(axis.hi)).tolist()  # type: ignore[no-any-return]

    def sample(self, target: Target, points: Sequence[Sequence[Any]], deadline: Deadline) -> Array:
        """See Arithmetic."""
        deadline.check()
        values = evaluate_float(target, np.array(points, dtype=float))
        if not np.isfinite(values).all():
            place = points[int(np.argmin(np.isfinite(values).all(axis=1)))]
            where = ", ".join(f"{target.space.variable_name(k)} = {float(x):.6g}" for k, x in enumerate(place))
            raise InvalidTarget(f"the spectral construction needs the target on the whole box: no value at {where}")
        return values

    def contract(self, matrix: Array, tensor: Array, axis: int) -> Array:
        """See Arithmetic."""
        return np.moveaxis(np.tensordot(matrix, tensor, (1, axis)), 0, axis)

    def to_float(self, numbers: Array, unit: Fraction) -> FloatArray:
        """See Arithmetic."""
        return np.asarray(numbers / float(unit), dtype=float)

    def from_float(self, numbers: FloatArray, unit: Fraction) -> Array:
        """See Arithmetic."""
        return numbers * float(unit)

    def integers(self, numbers: Array) -> tuple[Integers, int]:
        """See Arithmetic."""
        return _each(numbers, lambda x: round(Fraction(x) * (1 << self.bits))), self.bits


class Fixed:
    """Integers over 2^bits."""

    most_samples = 1 << 15

    def __init__(self, bits: int) -> None:
        """Results are good to about 2^-bits times the size of the target."""
        self.bits = bits + 32
        self.context = context_of(self.bits + 64)

    def nodes(self, axis: Axis, count: int) -> tuple[list[Any], Array]:
        """See Arithmetic."""
        one = 1 << self.bits
        if not axis.rate:
            return [(axis.lo + axis.hi) / 2], np.array([[one]], dtype=object)
        cosines = [scaled(self.context.cospi(self.context.mpf(j) / (2 * count)), self.bits) for j in range(4 * count)]
        matrix = [
            [2 * cosines[k * (2 * j + 1) % (4 * count)] // count if k else one // count for j in range(count)]
            for k in range(count)
        ]
        u = [self.context.cospi(self.context.mpf(2 * j + 1) / (2 * count)) for j in range(count)]
        return self._places(axis, u), np.array(matrix, dtype=object)

    def lattice(self, axis: Axis, degree: int, count: int) -> tuple[list[Any], Array]:
        """See Arithmetic."""
        one = 1 << self.bits
        if not axis.rate:
            return [(axis.lo + axis.hi) / 2], np.array([[one]], dtype=object)
        u = [self.context.cospi(self.context.mpf(j) / count) for j in range(count + 1)]
        steps = max(3, count // 2) - 1
        even = [axis.lo + (axis.hi - axis.lo) * j / steps for j in range(steps + 1)]
        mid, half = axis.range(self.context)
        at_even = [
            (self.context.tanh(real(self.context, axis.rate * (x - axis.centre) / 2)) - mid) / half for x in even
        ]
        column = np.array([scaled(each, self.bits) for each in [*u, *at_even]], dtype=object)
        columns = [np.array([one] * len(column), dtype=object), column]
        for _ in range(2, degree + 1):
            columns.append((2 * column * columns[-1] >> self.bits) - columns[-2])
        return [*self._places(axis, u), *even], np.stack(columns[: degree + 1], axis=1)

    def _places(self, axis: Axis, u: Sequence[Any]) -> list[Any]:
        mid, half = axis.range(self.context)
        centre, factor = real(self.context, axis.centre), 2 / real(self.context, axis.rate)
        places = []
        for each in u:
            t = mid + half * each
            x = (
                mpf_to_fraction(centre + factor * self.context.atanh(t))
                if abs(t) < 1
                else axis.hi
                if t > 0
                else axis.lo
            )
            places.append(min(max(x, axis.lo), axis.hi))
        return places

    def sample(self, target: Target, points: Sequence[Sequence[Any]], deadline: Deadline) -> Array:
        """See Arithmetic."""
        values = np.empty((len(points), len(target.outputs)), dtype=object)
        for row, point in enumerate(points):
            deadline.check()
            values[row] = [scaled(y, self.bits) for y in evaluate_mp(target, point, self.bits)]
        return values

    def contract(self, matrix: Array, tensor: Array, axis: int) -> Array:
        """See Arithmetic."""
        moved = np.moveaxis(tensor, axis, 0)
        answer = matrix.dot(moved.reshape(moved.shape[0], -1)) >> self.bits
        return np.moveaxis(answer.reshape(-1, *moved.shape[1:]), 0, axis)

    def to_float(self, numbers: Array, unit: Fraction) -> FloatArray:
        """See Arithmetic."""
        up, down = unit.denominator, unit.numerator << self.bits
        return np.array([quotient(x * up, down) for x in numbers.ravel()], dtype=float).reshape(numbers.shape)

    def from_float(self, numbers: FloatArray, unit: Fraction) -> Array:
        """See Arithmetic."""
        return _each(numbers, lambda x: round(Fraction(x) * unit * (1 << self.bits)))

    def integers(self, numbers: Array) -> tuple[Integers, int]:
        """See Arithmetic."""
        return numbers, self.bits


def quotient(a: int, b: int) -> float:
    """The double nearest to a / b, or one of 300 digits."""
    try:
        return a / b
    except OverflowError:
        return 1e300 if a > 0 else -1e300


def _each(numbers: Array, function: Any) -> Integers:
    answer = np.empty(numbers.size, dtype=object)
    answer[:] = [function(x) for x in numbers.ravel().tolist()]
    return answer.reshape(numbers.shape)


@dataclass(frozen=True)
class Series:
    """The Chebyshev coefficients of a target on the axes, (counts, outputs), and how well degrees do, in units.

    For each degree vector the largest over the outputs, (counts): `squares`, the mean square of the terms left out in
    the measure of the nodes (no series of those degrees is closer in the sup norm than its root), and `sums`, the sum
    of their absolute values (the series that is cut off is no farther).
    """

    axes: tuple[Axis, ...]
    coefficients: Array
    squares: FloatArray
    sums: FloatArray

    @property
    def guide(self) -> FloatArray:
        """About the least error: between the two bounds."""
        return np.sqrt(self.sums * np.sqrt(2 * self.squares))


def series(
    arithmetic: Arithmetic,
    target: Target,
    axes: tuple[Axis, ...],
    counts: Sequence[int],
    unit: Fraction,
    deadline: Deadline,
) -> Series:
    """Interpolate the target at the product of the Chebyshev nodes."""
    nodes = [arithmetic.nodes(axis, count) for axis, count in zip(axes, counts, strict=True)]
    numbers = on_product(arithmetic, target, [places for places, _ in nodes], deadline)
    for k, (_, matrix) in enumerate(nodes):
        numbers = arithmetic.contract(matrix, numbers, k)
    sizes = np.minimum(np.abs(arithmetic.to_float(numbers, unit)), 1e120)
    squares = sizes**2
    for k, count in enumerate(counts):
        weight = np.full(count, 0.5)
        weight[0] = 1.0
        squares = squares * weight.reshape([-1 if j == k else 1 for j in range(squares.ndim)])
    return Series(axes, numbers, left_out(squares), left_out(sizes))


def left_out(terms: FloatArray) -> FloatArray:
    """For each degree vector the sum of the terms that it leaves out, the largest over the outputs.

    terms: (counts, outputs); the answer: (counts).
    """
    dimension = terms.ndim - 1
    total = np.zeros(terms.shape)
    part = terms
    for k in range(dimension):  # the terms whose first degree too high is that of axis k
        beyond = part.sum(axis=tuple(range(k + 1, dimension)), keepdims=True)
        total = total + _shifted(np.flip(np.cumsum(np.flip(beyond, k), axis=k), k), k)
        part = np.cumsum(part, axis=k)
    return np.asarray(total.max(axis=-1))


def _shifted(above: FloatArray, axis: int) -> FloatArray:
    """Entry n becomes entry n + 1, the last 0."""
    moved = np.moveaxis(above, axis, 0)
    return np.moveaxis(np.concatenate([moved[1:], np.zeros_like(moved[:1])]), 0, axis)


def on_product(arithmetic: Arithmetic, target: Target, ticks: Sequence[Sequence[Any]], deadline: Deadline) -> Array:
    """The target on the product of the ticks, (*counts, outputs)."""
    values = arithmetic.sample(target, list(product(*ticks)), deadline)
    return values.reshape(*(len(tick) for tick in ticks), -1)


def lawson(basis: FloatArray, residual: FloatArray, goal: float, deadline: Deadline) -> FloatArray:
    """Coefficients of the basis that bring one column of residuals, about, to its least maximum; (functions,).

    Lawson's iteration: least squares whose weights grow where the error is large. It ends once the maximum is at most
    `goal`, when the weighted mean, a lower bound on what is possible, exceeds it, or when it is far off after a while.
    """
    most = max(MAX_ENTRIES // basis.shape[1], 2 * basis.shape[1])
    if len(basis) > most:
        kept = np.random.default_rng(3).permutation(len(basis))[:most]
        basis, residual = basis[kept], residual[kept]
    weights = np.full(len(residual), 1 / len(residual))
    best, least = np.zeros(basis.shape[1]), float(np.max(np.abs(residual)))
    for done in range(ROUNDS):
        deadline.check()
        weighted = basis.T * weights
        try:
            answer = np.linalg.solve(weighted @ basis, weighted @ residual)
        except np.linalg.LinAlgError:
            break
        errors = np.abs(residual - basis @ answer)
        worst = float(errors.max())
        if worst < least:
            best, least = answer, worst
        hopeless = (done > 8 and least > 1.6 * goal) or (done > 16 and least > 1.15 * goal)
        if least <= goal or hopeless or math.sqrt(float(weights @ errors**2)) > goal:
            break
        weights = weights * errors
        weights = weights / weights.sum() + 1e-13 / len(weights)
        weights /= weights.sum()
    return best
