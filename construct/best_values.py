"""The best values for given keys and biases, by linear programming.

With fixed scores a head is linear in its values, so values whose largest error on a set of samples is least solve a
linear program; so do values u_i + g_i . x that depend on the input, whose weights are p_i and p_i x_k. It is solved
for a correction of known values, in units of their error, in an orthogonal basis of the
softmax weights, so that values much larger than the error cost no digits; samples are exchanged as in Remez' second
algorithm: those where the error of the last answer is largest join. The multipliers of the program name the places that
hold the error up, from which a proof that no values do better can start. Nothing here proves anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from attncert.certificates.condition import Condition, estimate_inside
from attncert.certificates.deadline import NEVER, Deadline
from attncert.certificates.domain import Box
from attncert.certificates.errors import TooLarge
from attncert.certificates.evaluate import evaluate_float, evaluate_mp
from attncert.certificates.matrix import Row, row_entry, row_to_floats
from attncert.certificates.numbers import mpf_to_fraction
from attncert.certificates.target import Target
from attncert.construct.bernstein import context_of, real

FloatArray = npt.NDArray[np.float64]

MOST_UNKNOWNS = 500
"""Heads with more numbers in a row of values are not fitted: the program has that many unknowns."""

PATIENCE = 20.0
"""Seconds for one linear program; the exchange ends where that is not enough."""

ROUNDS = 25
"""Exchanges at most."""

DENSITY = {1: 24, 2: 6}
"""Samples on each side for each token on that side, were they on a grid; 4 in more dimensions."""

LEAST_TICKS = 9
"""Samples on each side, however few the tokens."""

MOST_SAMPLES = 40_000

REFINEMENTS, PEAKS, PEAKS_EACH = 3, 40, 12
"""How often samples join near those with the largest errors, near how many, and how many near each."""

RANK = 1e-12
"""Directions of the weights below this part of the largest are left alone."""

WELL, NEGLIGIBLE = 1e-3, 1e-13
"""Weights whose directions are this even are taken as they are, without those that are this small."""

GAIN = 3e-3
"""The exchange ends when the samples left out exceed the error on the others by less than this part."""


Place = tuple[tuple[Fraction, ...], int]
"""A point of the box and an output column."""


@dataclass(frozen=True)
class Scores:
    """Keys (m rows) and biases of the tokens for one output column; exact."""

    keys: Sequence[Row]
    biases: Row


@dataclass(frozen=True)
class Fitted:
    """Values of one output row, their largest sampled error, and the places (point, column) that hold it up.

    slopes: the coefficients of each input that values depend on. places: sets of one more than there are unknowns, the
    most promising first; in each that with the largest multiplier comes first.
    """

    values: list[Fraction]
    error: float
    places: list[list[Place]]
    slopes: dict[int, list[Fraction]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Exchange:
    """A correction of the values, the signed errors that it leaves at the samples, and the last linear program."""

    step: FloatArray
    errors: FloatArray
    active: npt.NDArray[np.int64]
    duals: FloatArray
    rank: int


class Fitting:
    """Samples of a target and of the softmax weights, for the values of every output row."""

    def __init__(
        self,
        target: Target,
        box: Box,
        columns: Sequence[Scores],
        tokens: int,
        conditions: Sequence[Condition] = (),
        deadline: Deadline = NEVER,
        inputs: Sequence[int] = (),
    ) -> None:
        """Take the samples; `inputs` are those that the values depend on. Raises TooLarge for too many unknowns."""
        self.inputs = inputs
        self.moving = [k for k in inputs if box.sides[k][0] < box.sides[k][1]]
        self.unknowns = tokens * (1 + len(self.moving))
        if self.unknowns > MOST_UNKNOWNS:
            raise TooLarge(
                f"the {self.unknowns} values of {tokens} tokens are too many for the linear program: at most "
                f"{MOST_UNKNOWNS}"
            )
        self.target, self.box, self.columns, self.tokens = target, box, columns, tokens
        self.conditions, self.deadline = conditions, deadline
        self.floats = [
            (np.stack([row_to_floats(row, tokens) for row in column.keys]), row_to_floats(column.biases, tokens))
            for column in columns
        ]
        self.lo, self.hi = (np.array([float(side[end]) for side in box.sides]) for end in (0, 1))
        self._add(self._lattice())

    def _lattice(self) -> FloatArray:
        """Points on a product of even and Chebyshev spaced ticks, both ends included."""
        moving = int((self.hi > self.lo).sum())
        each = self.tokens ** (1 / max(moving, 1)) * DENSITY.get(moving, 4)
        most = (MOST_SAMPLES / len(self.columns)) ** (1 / max(moving, 1))
        count = max(3, int(min(max(each, LEAST_TICKS), most)))
        even = np.linspace(0, 1, count // 2 + 1)
        ticks = np.union1d(even, (1 - np.cos(np.pi * np.arange(count // 2 + 1) / (count // 2))) / 2)
        axes = [lo + (hi - lo) * (ticks if hi > lo else np.zeros(1)) for lo, hi in zip(self.lo, self.hi, strict=True)]
        mesh = np.meshgrid(*axes, indexing="ij")
        return np.stack([axis.ravel() for axis in mesh], axis=1)

    def _add(self, points: FloatArray) -> None:
        """Samples of all columns at more points."""
        points = np.clip(points, self.lo, self.hi)
        if self.conditions:
            points = points[estimate_inside(self.conditions, points)]
        values = evaluate_float(self.target, points)
        known = np.isfinite(values).all(axis=1)
        points, values = points[known], values[known]
        n_o = len(self.columns)
        shaped = values.reshape(len(points), -1, n_o)
        parts = [self.design(points, j) for j in range(n_o)]
        joined: dict[str, Any] = {
            "points": np.concatenate([points] * n_o),
            "column": np.repeat(np.arange(n_o), len(points)),
            "P": np.concatenate(parts),
            "F": np.concatenate([shaped[:, :, j] for j in range(n_o)]),
        }
        for name, more in joined.items():
            old = getattr(self, name, None)
            setattr(self, name, more if old is None else np.concatenate([old, more]))

    points: FloatArray
    column: npt.NDArray[np.int64]
    P: FloatArray
    F: FloatArray

    def weights(self, points: FloatArray, j: int) -> FloatArray:
        """The softmax weights of column j in float64: (points, tokens)."""
        keys, biases = self.floats[j]
        scores = points @ keys + biases
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    def design(self, points: FloatArray, j: int) -> FloatArray:
        """The weights of column j, and their products with the places of moving inputs: (points, unknowns)."""
        p, middle, half = self.weights(points, j), (self.lo + self.hi) / 2, (self.hi - self.lo) / 2
        return np.concatenate([p, *(p * ((points[:, k] - middle[k]) / half[k])[:, None] for k in self.moving)], axis=1)

    def best(self, row: int, start: Row, slopes: Mapping[int, Row] = MappingProxyType({})) -> Fitted:
        """The best values of an output row, beginning with those known.

        Samples between those with the largest errors join between rounds of the exchange, so that kinks are found.
        """
        known = self._placed(start, slopes)
        residual, in_floats = self._residual(row, known)
        unit = float(np.max(np.abs(residual), initial=0.0)) or 1.0
        active = self._first(residual)
        for _ in range(REFINEMENTS if in_floats else 1):
            answer = self._exchanged(residual / unit, active)
            if self.deadline.passed() or not in_floats:
                break
            self._add(self._between(np.abs(answer.errors)))
            residual, _ = self._residual(row, known)
            active = answer.active
        step = answer.step
        values = [old + Fraction(float(move)) * Fraction(unit) for old, move in zip(known, step, strict=True)]
        chosen = [self._independent(answer.active, answer.duals)] if len(answer.duals) == len(answer.active) else []
        if answer.rank < self.unknowns:  # the program could not tell all of them apart
            chosen.insert(0, self._alternating(answer.errors))
        error = float(np.max(np.abs(answer.errors), initial=0.0)) * unit
        found = [[self._place(t) for t in places] for places in chosen if places]
        return self._in_terms_of_x(values, slopes, error, found)

    def _placed(self, start: Row, slopes: Mapping[int, Row]) -> list[Fraction]:
        """The unknowns of values u + g . x: with place z_k = (x_k - c_k) / r_k in the box, u + g . c and g_k r_k."""
        ends = self.box.sides
        first = [
            row_entry(start, i) + sum((row_entry(row, i) * sum(ends[k]) / 2 for k, row in slopes.items()), Fraction(0))
            for i in range(self.tokens)
        ]
        halves = {k: (ends[k][1] - ends[k][0]) / 2 for k in self.moving}
        return first + [row_entry(slopes[k], i) * halves[k] for k in self.moving for i in range(self.tokens)]

    def _in_terms_of_x(
        self, unknowns: Sequence[Fraction], start: Mapping[int, Row], error: float, places: list[list[Place]]
    ) -> Fitted:
        """The values of unknowns, with the slopes of inputs that do not move as they were."""
        n, ends = self.tokens, self.box.sides
        slopes = {k: [row_entry(row, i) for i in range(n)] for k, row in start.items()}
        for place, k in enumerate(self.moving, start=1):
            slopes[k] = [entry * 2 / (ends[k][1] - ends[k][0]) for entry in unknowns[place * n : (place + 1) * n]]
        values = [
            unknowns[i] - sum((slope[i] * sum(ends[k]) / 2 for k, slope in slopes.items()), Fraction(0))
            for i in range(n)
        ]
        return Fitted(values, error, places, slopes)

    def _exchanged(self, residual: FloatArray, active: npt.NDArray[np.int64]) -> _Exchange:
        """Solve the program on ever more samples, until those left out have no larger errors."""
        best = _Exchange(np.zeros(self.unknowns), residual, active, np.zeros(0), self.unknowns)
        for _ in range(ROUNDS):
            if self.deadline.passed():
                break
            answer = minimax(self.P[active], residual[active])
            if answer is None:
                break
            step, bound, duals, rank = answer
            errors = residual - self.P @ step
            worst = float(np.max(np.abs(errors)))
            better = worst <= float(np.max(np.abs(best.errors)))
            kept = (step, errors) if better else (best.step, best.errors)
            best = _Exchange(*kept, active, duals, rank)
            if worst <= bound * (1 + GAIN) + 1e-9:
                break
            active = np.union1d(active, self._peaks(np.abs(errors), bound))
        return best

    def _between(self, errors: FloatArray) -> FloatArray:
        """Points near the samples with the largest errors, about half a spacing away."""
        top = self.points[np.argsort(-errors)[:PEAKS]]
        moving = max(int((self.hi > self.lo).sum()), 1)
        spacing = (self.hi - self.lo) / max(len(self.points) / len(self.columns), 2) ** (1 / moving)
        moves = np.random.default_rng(6).uniform(-1, 1, (PEAKS_EACH, len(self.lo)))
        return np.asarray((top[:, None, :] + moves * spacing).reshape(-1, len(self.lo)))

    def _first(self, residual: FloatArray) -> npt.NDArray[np.int64]:
        """Samples to begin with: evenly chosen ones, and those with the largest errors."""
        few = min(len(residual), 4 * self.unknowns + 8)
        spread = np.random.default_rng(5).permutation(len(residual))[:few]
        return np.union1d(spread, np.argsort(-np.abs(residual))[:few])

    def _peaks(self, errors: FloatArray, bound: float) -> npt.NDArray[np.int64]:
        """Samples with errors beyond the bound: the largest ones that are some way apart, and a few others."""
        beyond = np.flatnonzero(errors > bound * (1 + GAIN / 4))
        order = beyond[np.argsort(-errors[beyond])]
        scale = np.where(self.hi > self.lo, self.hi - self.lo, 1.0)
        apart = 0.3 / self.tokens ** (1 / max(int((self.hi > self.lo).sum()), 1))
        chosen: list[int] = []
        left = order
        while len(left) and len(chosen) < 2 * self.tokens:
            t = int(left[0])
            chosen.append(t)
            far = np.max(np.abs(self.points[left] - self.points[t]) / scale, axis=1) > apart
            left = left[far | (self.column[left] != self.column[t])]
        others = np.random.default_rng(7).permutation(order)[: self.tokens]
        return np.union1d(np.array(chosen, dtype=np.int64), others)

    def _residual(self, row: int, values: Sequence[Fraction]) -> tuple[FloatArray, bool]:
        """f - T at the samples: in float64, or with many digits where those would be lost; and whether in float64."""
        floats = np.array([float(value) for value in values])
        size = max(float(np.max(np.abs(floats))), float(np.max(np.abs(self.F[:, row]))), 1e-300)
        residual = self.F[:, row] - self.P @ floats
        if float(np.max(np.abs(residual), initial=0.0)) > 1e-11 * size:
            return np.asarray(residual), True
        return np.array([self._exact(row, values, t) for t in range(len(residual))]), False

    def _exact(self, row: int, values: Sequence[Fraction], t: int) -> float:
        self.deadline.check()
        context = context_of(320)
        x, column = [Fraction(entry) for entry in self.points[t].tolist()], self.columns[int(self.column[t])]
        scores = [
            sum((row_entry(key, i) * entry for key, entry in zip(column.keys, x, strict=True)), Fraction(0))
            + row_entry(column.biases, i)
            for i in range(self.tokens)
        ]
        best = max(scores)
        weights = [context.exp(real(context, score - best)) for score in scores]
        n, at_x = self.tokens, list(values[: self.tokens])
        for place, k in enumerate(self.moving, start=1):
            lo, hi = self.box.sides[k]
            ratio = (2 * x[k] - lo - hi) / (hi - lo)
            at_x = [value + ratio * part for value, part in zip(at_x, values[place * n : (place + 1) * n], strict=True)]
        head = context.fdot(weights, [real(context, value) for value in at_x]) / context.fsum(weights)
        f = evaluate_mp(self.target, x, 300)[row * len(self.columns) + int(self.column[t])]
        return float(real(context, mpf_to_fraction(f)) - head)

    def _alternating(self, errors: FloatArray) -> list[int]:
        """On a line, one more extremum than unknowns, of alternating signs, if there are so many; largest first.

        By de la Vallee-Poussin's theorem they bound the least error where the weights are a Chebyshev system.
        """
        if len(self.columns) > 1 or (self.hi > self.lo).sum() != 1:
            return []
        order = np.argsort(self.points[:, int(np.argmax(self.hi > self.lo))])
        extrema: list[int] = []
        for t in order.tolist():
            if extrema and errors[t] * errors[extrema[-1]] > 0:
                if abs(errors[t]) > abs(errors[extrema[-1]]):
                    extrema[-1] = t
            elif errors[t] != 0:
                extrema.append(t)
        while len(extrema) > self.unknowns + 1:
            sizes = np.abs(errors[extrema])
            k = int(np.argmin(sizes))
            inner = 0 < k < len(extrema) - 1
            if inner and len(extrema) == self.unknowns + 2:  # dropping it alone would leave two equal signs
                k = 0 if sizes[0] < sizes[-1] else len(extrema) - 1
                inner = False
            del extrema[k]
            if inner:
                del extrema[k if sizes[k + 1] < sizes[k - 1] else k - 1]
        return sorted(extrema, key=lambda t: -abs(errors[t])) if len(extrema) == self.unknowns + 1 else []

    def _independent(self, active: npt.NDArray[np.int64], duals: FloatArray) -> list[int]:
        """One more samples than unknowns whose weights are independent but for one relation, the multipliers' first.

        Those with multipliers are taken, then others by how far their weights are from the span of those taken.
        """
        order = np.argsort(-np.abs(duals))
        needed = order[np.abs(duals[order]) > 1e-9 * max(float(np.abs(duals).max()), 1e-300)][: self.unknowns + 1]
        chosen: list[int] = active[needed].tolist()
        rest = self.P.copy()
        for t in chosen[1:]:
            rest = _without(rest, rest[t])
        while len(chosen) < self.unknowns + 1:
            rest[chosen] = 0
            t = int(np.argmax((rest**2).sum(axis=1)))
            if not float(rest[t] @ rest[t]) > 0:
                return []
            chosen.append(t)
            rest = _without(rest, rest[t])
        return chosen

    def _place(self, t: int) -> Place:
        """A sample as an exact point of the box, and its column."""
        point = [
            min(max(Fraction(x), lo), hi) for x, (lo, hi) in zip(self.points[t].tolist(), self.box.sides, strict=True)
        ]
        return tuple(point), int(self.column[t])


def _without(rows: FloatArray, direction: FloatArray) -> FloatArray:
    """The rows, less their part along a direction."""
    length = math.sqrt(float(direction @ direction))
    if not length > 0:
        return rows
    unit = direction / length
    return np.asarray(rows - np.outer(rows @ unit, unit))


def minimax(P: FloatArray, residual: FloatArray) -> tuple[FloatArray, float, FloatArray, int] | None:
    """Numbers v for which max |residual - P v| is least, that maximum, a multiplier for each sample, and P's rank.

    P: (samples, tokens). None when the solver gives up.
    """
    from scipy.linalg import qr, solve_triangular  # half a second to import: only those who fit wait for it
    from scipy.optimize import linprog
    from scipy.sparse import csr_array, hstack, vstack

    Q, R, pivot = qr(P, mode="economic", pivoting=True)
    size = np.abs(np.diag(R))
    rank, samples = int((size > RANK * size[0]).sum()), len(P)
    plain = size[-1] > WELL * size[0]
    basis = (
        csr_array(np.where(np.abs(P) > NEGLIGIBLE, P, 0.0)) if plain else csr_array(Q[:, :rank] * math.sqrt(samples))
    )
    ones = csr_array(np.ones((samples, 1)))
    answer = linprog(
        np.concatenate([np.zeros(rank), [1.0]]),
        A_ub=vstack([hstack([basis, -ones]), hstack([-basis, -ones])]),
        b_ub=np.concatenate([residual, -residual]),
        bounds=[(None, None)] * rank + [(0, None)],
        method="highs",
        options={"time_limit": PATIENCE},
    )
    if answer.status != 0:
        return None
    step = np.zeros(P.shape[1])
    if plain:
        step = answer.x[:rank]
    else:
        step[pivot[:rank]] = solve_triangular(R[:rank, :rank], answer.x[:rank] * math.sqrt(samples))
    marginals = answer.ineqlin.marginals
    return step, float(answer.x[-1]), np.asarray(marginals[:samples] - marginals[samples:]), rank
