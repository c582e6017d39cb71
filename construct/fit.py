"""The search for the polynomial in sigmoids with the fewest coefficients that is close enough to a target.

Each axis has a rate; for given rates the Chebyshev coefficients tell, for every degree vector at once, how close a
polynomial of those degrees can come at best. Rates are chosen axis by axis, then together; then degree vectors are
tried in the order of their tokens, each first as the truncated series, then moved by Lawson's iteration to about the
least maximum. Sampling chooses; only the proof counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import product

import numpy as np

from attncert.certificates.deadline import Deadline
from attncert.certificates.domain import Box
from attncert.certificates.errors import TooLarge, UndefinedTarget
from attncert.certificates.evaluate import evaluate_float, evaluate_mp
from attncert.certificates.numbers import fraction_to_mpf, mpf_to_fraction
from attncert.certificates.target import Target
from attncert.construct.bernstein import Axis, Integers, bernstein_values
from attncert.construct.chebyshev import (
    Arithmetic,
    Array,
    Fixed,
    FloatArray,
    Floats,
    Series,
    lawson,
    on_product,
    quotient,
    series,
)
from attncert.construct.resources import approximately

PRODUCTS = tuple(
    map(Fraction, ("1/1024", "1/256", "1/64", "1/16", "1/4", "1/2", "3/4", "1", "3/2", "2", "3", "4", "5"))
) + tuple(map(Fraction, (6, 7, 8, 10, 12, 16, 24, 40, 60)))
"""Rates tried, times the side."""

STEPS = (Fraction(1, 8), Fraction(1, 16), Fraction(1, 32))
"""Relative changes of the rates, tried at the end."""

FLOAT_RESOLUTION = 1e-12
"""The least tolerance, relative to the size of the target, for which samples in float64 are good enough."""

MAX_DEGREE = 160

LARGEST = 1e9
"""Values up to this many times the largest of the target are tried first; larger ones only where none of them do."""

PESSIMISM = 8.0
"""A fit is tried where the cut series misses the goal by at most this factor, by the sum of the terms left out."""

LINES = 9
"""Lines along an axis on which its rates are compared."""

TRIES = 6
"""Fits tried for each number of tokens."""

MAX_TRIES = 120

MAX_ENTRIES = 100
"""Degree vectors and rates with the same number of tokens that are compared."""

HOPELESS = 30.0
"""Rates are not refined where fewer tokens would leave out this much."""

MAX_POOL = 300
"""Rates of all axes together for which a series is found."""

Entry = tuple[float, float, tuple[int, ...], Series]
"""What the cut series leaves out, about the least error, degrees, series."""


@dataclass(frozen=True)
class Fit:
    """A polynomial in sigmoids: the values of its tokens (n_1 + 1, ..., n_m + 1, rows) over 2^bits, and its error."""

    axes: tuple[Axis, ...]
    values: Integers
    bits: int
    error: float
    max_value: float

    @property
    def degrees(self) -> tuple[int, ...]:
        """A degree for each axis."""
        return tuple(count - 1 for count in self.values.shape[:-1])

    @property
    def tokens(self) -> int:
        """How many tokens the head needs."""
        return math.prod(self.values.shape[:-1])


def variables(target: Target) -> set[int]:
    """The entries of the input that the outputs depend on."""
    needed, seen = list(target.outputs), set(target.outputs)
    found = set()
    while needed:
        op, args, payload = target.tape[needed.pop()]
        if op == "var":
            assert isinstance(payload, int)
            found.add(payload)
        fresh = set(args) - seen
        seen |= fresh
        needed += fresh
    return found


def suggested(target: Target, box: Box, k: int, precision: int) -> list[Axis]:
    """Axes whose sigmoid the target names: `tanh`, `sigmoid` or 1/(1 + exp) of something linear in x_k."""
    lo, hi = box.sides[k]
    found = []
    for op, args, _ in target.tape:
        if op not in ("tanh", "sigmoid", "exp"):
            continue
        places = [(lo + hi) / 2 if j != k else lo for j, (lo, hi) in enumerate(box.sides)]
        part = replace(target, outputs=args, shape=(1, 1))
        values = []
        for x in (lo, (lo + hi) / 2, hi):
            places[k] = x
            try:
                values.append(mpf_to_fraction(evaluate_mp(part, places, precision)[0]))
            except UndefinedTarget:
                break
        if len(values) < 3 or values[0] == values[2]:
            continue
        if abs(values[0] - 2 * values[1] + values[2]) > abs(values[2] - values[0]) / 2 ** (precision - 16):
            continue
        slope = (values[2] - values[0]) / (hi - lo)
        slope = Fraction(slope).limit_denominator(1 << 20) if _short(slope, precision) else slope
        centre = (lo + hi) / 2 - values[1] / slope
        centre = centre.limit_denominator(1 << 20) if _short(centre, precision) else centre
        if lo - (hi - lo) <= centre <= hi + (hi - lo):
            found.append(Axis(lo, hi, abs(slope) * (2 if op == "tanh" else 1), centre))
    return list(dict.fromkeys(found))


def _short(x: Fraction, precision: int) -> bool:
    """Whether x is a simple rational but for rounding."""
    return bool(abs(x.limit_denominator(1 << 20) - x) * 2 ** (precision - 16) <= abs(x))


@dataclass
class Search:
    """The search for one output column; errors are in units of the tolerance, of which `goal` may be used.

    limit: the most tokens that are of interest.
    """

    target: Target
    box: Box
    tolerance: Fraction
    goal: float
    max_value: float | None
    deadline: Deadline
    limit: int | None = None
    pool: dict[tuple[Axis, ...], Series] = field(default_factory=dict)
    samples: dict[tuple[Axis, ...], tuple[list[Array], Array]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Choose the arithmetic and the axes that matter."""
        used = variables(self.target)
        self.moving = [k for k, (lo, hi) in enumerate(self.box.sides) if k in used and lo < hi]
        self.size = self._size()
        log = math.log2(self.tolerance.denominator) - math.log2(self.tolerance.numerator)
        self.bits = 64 + max(0, math.ceil(log))
        precise = float(self.tolerance) < FLOAT_RESOLUTION * max(self.size, 1e-300)
        self.arithmetic: Arithmetic = Fixed(self.bits) if precise else Floats(self.bits)
        self.modest: dict[int, Axis] = {}
        self.unit = self.tolerance * Fraction(self.goal)
        self.still = [Axis(lo, hi, Fraction(0), (lo + hi) / 2) for lo, hi in self.box.sides]

    def _size(self) -> float:
        """About the largest value of the target."""
        random = np.random.default_rng(1)
        lo, hi = (np.array([float(side[end]) for side in self.box.sides]) for end in (0, 1))
        values = evaluate_float(self.target, lo + (hi - lo) * random.random((512, self.box.dimension)))
        return float(np.nanmax(np.abs(values), initial=0.0))

    def best(self) -> Fit:
        """The fit with the fewest tokens; among these one with small values. Raises TooLarge where there is none."""
        caps = [LARGEST * self.size, math.inf] if self.max_value is None else [self.max_value]
        options, self.counts = self._options(caps[0])
        for self.cap in caps:
            self._choose_rates(options)
            self._refine_rates()
            found = self._first_fit()
            if found is not None:
                return found
        within = "" if self.limit is None else f" of {self.limit} tokens or fewer"
        bounded = "" if self.max_value is None else f" with values up to {self.max_value:.3g}"
        raise TooLarge(
            f"the spectral construction finds no polynomial{bounded}{within} of degree up to {MAX_DEGREE} for this "
            "tolerance: it is for smooth targets; use --method uniform"
        )

    # --- rates ---------------------------------------------------------------------------------------------------

    def _options(self, cap: float) -> tuple[dict[int, list[Axis]], list[int]]:
        """For each axis that matters its promising rates, the best first, and for all axes how many nodes to take."""
        options: dict[int, list[Axis]] = {}
        most, least = [1] * self.box.dimension, [1] * self.box.dimension
        for k in self.moving:
            lo, hi = self.box.sides[k]
            axes = suggested(self.target, self.box, k, self.bits + 64)
            axes += [Axis(lo, hi, _trimmed(rate / (hi - lo)), (lo + hi) / 2) for rate in PRODUCTS]
            nodes = 32
            ranked: list[tuple[int, float, float, Axis]] = []
            while not ranked:
                if nodes > 2 * MAX_DEGREE:
                    raise TooLarge(
                        f"the spectral construction needs a degree above {MAX_DEGREE} along "
                        f"{self.target.space.variable_name(k)} for this tolerance: it is for smooth targets; use "
                        "--method uniform"
                    )
                ranked = sorted(self._ranked(k, axes, nodes), key=lambda each: each[:2])
                nodes *= 2
            share = self.size * max(cap / max(self.size, 1e-300), 1.0) ** (1 / len(self.moving))
            modest = [each for each in ranked if each[2] <= share]
            spare = 3 if len(self.moving) > 1 else 16
            kept = [each for group in (ranked, modest) for each in group if each[0] <= group[0][0] + spare]
            options[k] = list(dict.fromkeys(axis for _, _, _, axis in kept))
            self.modest[k] = modest[0][3] if modest else ranked[0][3]
            least[k] = min(degree for degree, *_ in kept) + 2
            degree = max(degree for degree, *_ in kept) + 1
            most[k] = degree + max(4, degree // 2)
        for counts, share_of_samples in ((most, 64), (least, 1)):
            if math.prod(counts) <= self.arithmetic.most_samples // share_of_samples:
                return options, counts
        raise TooLarge(
            f"the spectral construction needs {approximately(math.prod(least))} or more samples of the target for this "
            f"tolerance, more than {approximately(self.arithmetic.most_samples)}; use --method uniform"
        )

    def _ranked(self, k: int, axes: Sequence[Axis], count: int) -> Iterator[tuple[int, float, float, Axis]]:
        """The degree that does on some lines, what it leaves out, its largest values there, and the axis."""
        random = np.random.default_rng(2)
        unit = [[Fraction(1, 2)] * self.box.dimension]
        if len(self.moving) > 1:
            rows = random.integers(0, 65, (LINES - 1, self.box.dimension))
            unit += [[Fraction(int(n), 64) for n in row] for row in rows]
        lines = [[lo + (hi - lo) * part for (lo, hi), part in zip(self.box.sides, row, strict=True)] for row in unit]
        for axis in axes:
            places, matrix = self.arithmetic.nodes(axis, count)
            points = [[x if j == k else other for j, other in enumerate(line)] for line in lines for x in places]
            values = self.arithmetic.sample(self.target, points, self.deadline)
            values = values.reshape(len(lines), count, -1).swapaxes(0, 1).reshape(count, -1)
            coefficients = self.arithmetic.contract(matrix, values, 0)
            sizes = np.abs(self.arithmetic.to_float(coefficients, self.unit))
            beyond = np.flip(np.cumsum(np.flip(sizes, 0), 0), 0).max(axis=1)  # entry n: the terms n and up
            fits = np.flatnonzero(beyond[1:] <= 1)
            at_ends = np.stack([coefficients[::2].sum(0) - coefficients[1::2].sum(0), coefficients.sum(0)])
            ends = [
                [x if j == k else other for j, other in enumerate(line)] for x in self.box.sides[k] for line in lines
            ]
            wanted = self.arithmetic.sample(self.target, ends, self.deadline).reshape(2, -1)
            missed = np.max(np.abs(self.arithmetic.to_float(wanted - at_ends, self.unit)))  # the nodes were too few
            if missed <= 1 and len(fits) and fits[0] <= min(max(3 * count // 4, 1), MAX_DEGREE):
                degree = int(fits[0])
                yield degree, float(beyond[1 + degree]), self._values((axis,), coefficients[: degree + 1])[2], axis

    def _choose_rates(self, options: dict[int, list[Axis]]) -> None:
        """Fill the pool: the best rates of each axis, then each rate of one axis beside the best of the others."""
        starts = [list(self.still), list(self.still)]
        for k in self.moving:
            starts[0][k], starts[1][k] = options[k][0], self.modest[k]
        best = min(starts, key=self._rank)
        least = self._rank(best)
        for _ in range(2 if len(self.moving) > 1 else 1):
            before = least
            for k in self.moving:
                for option in options[k]:
                    trial = [option if j == k else axis for j, axis in enumerate(best)]
                    rank = self._rank(trial)
                    if rank < least:
                        best, least = trial, rank
            if least == before:
                break
        self.start = best

    def _refine_rates(self) -> None:
        """Change single rates a little while that brings fewer tokens nearer."""
        axes = self.start
        tokens = self._rank(axes)[0]
        nearest = self._nearest(axes, tokens)
        for step in STEPS:
            moved = True
            while moved and len(self.pool) < MAX_POOL and nearest < HOPELESS:
                moved = False
                for k, factor in product(self.moving, (1 - step, 1 + step)):
                    rate = _trimmed(axes[k].rate * factor)
                    trial = [replace(axis, rate=rate) if j == k else axis for j, axis in enumerate(axes)]
                    if tuple(trial) in self.pool:
                        continue
                    near = self._nearest(trial, tokens)
                    if near < 0.95 * nearest:
                        axes, nearest, moved = trial, near, True
                        if near <= 1:
                            tokens = self._rank(axes)[0]
                            nearest = self._nearest(axes, tokens)

    def _series(self, axes: Sequence[Axis]) -> Series:
        key = tuple(axes)
        if key not in self.pool:
            self.pool[key] = series(self.arithmetic, self.target, key, self.counts, self.unit, self.deadline)
        return self.pool[key]

    def _rank(self, axes: Sequence[Axis]) -> tuple[int, float]:
        """The least number of tokens that seem to do, with values up to the cap, and about the error."""
        found = self._series(axes)
        tokens = _tokens(found.sums)
        enough = found.guide <= 1
        for size in np.unique(tokens[enough])[:TRIES].tolist():
            near = np.where(enough & (tokens == size), found.guide, np.inf)
            degrees = _least(near)
            largest = self._largest(found, degrees)
            if largest <= self.cap:
                return size, float(near[degrees])
            if largest > 1e6 * self.cap:
                break
        return 1 << 62, math.inf

    def _nearest(self, axes: Sequence[Axis], tokens: int) -> float:
        """About the least error with fewer tokens and values up to the cap."""
        found = self._series(axes)
        near = np.where(_tokens(found.sums) < tokens, found.guide, np.inf)
        degrees = _least(near)
        if near[degrees] == math.inf or self._largest(found, degrees) > self.cap:
            return math.inf
        return float(near[degrees])

    # --- degrees -------------------------------------------------------------------------------------------------

    def _first_fit(self) -> Fit | None:
        """Try degree vectors in the order of their tokens."""
        by_size: dict[int, list[Entry]] = {}
        for found in self.pool.values():
            tokens = _tokens(found.sums)
            for place in np.argwhere((found.squares <= 1) & (found.sums <= PESSIMISM)):
                degrees = tuple(place.tolist())
                entry = float(found.sums[degrees]), float(found.guide[degrees]), degrees, found
                by_size.setdefault(int(tokens[degrees]), []).append(entry)
        tries = 0
        for size in sorted(by_size):
            if self.limit is not None and size > self.limit:
                break
            entries = sorted(by_size[size], key=lambda entry: entry[1])[:MAX_ENTRIES]
            largest = [self._largest(found, degrees) for _, _, degrees, found in entries]
            modest = [entry for entry in zip(largest, entries, strict=True) if entry[0] <= 2 * self.cap]
            sure = sorted((each for each in modest if each[1][0] <= 1), key=lambda each: each[0])
            rest = sorted((each for each in modest if each[1][0] > 1), key=lambda each: each[1][1])
            fits: list[Fit] = []
            for value, (_, _, degrees, found) in [*sure[:TRIES], *rest[:TRIES]]:
                if fits and value > 0.7 * fits[-1].max_value:
                    continue
                tries += 1
                fit = self._fit(found, degrees)
                if fit is not None:
                    fits.append(fit)
            if fits:
                return min(fits, key=lambda fit: fit.max_value)
            if tries > MAX_TRIES:
                break
        return None

    def _fit(self, found: Series, degrees: tuple[int, ...]) -> Fit | None:
        """The polynomial of those degrees, if its sampled error meets the goal."""
        coefficients = _cut(found.coefficients, degrees)
        matrices, wanted = self._lattice(found.axes)
        matrices = [matrix[:, : n + 1] for matrix, n in zip(matrices, degrees, strict=True)]
        residual = self._residual(wanted, matrices, coefficients)
        error = float(np.max(np.abs(residual)))
        if 1 < error < 50:
            basis = np.ones((1, 1))
            for matrix in matrices:
                floats = self.arithmetic.to_float(matrix, Fraction(1))
                basis = np.einsum("pa,qb->pqab", basis, floats).reshape(len(basis) * len(floats), -1)
            moves = [
                lawson(basis, column, 1 - 1e-3, self.deadline)
                if np.max(np.abs(column)) > 1
                else np.zeros(basis.shape[1])
                for column in residual.reshape(len(basis), -1).T
            ]
            step = np.stack(moves, axis=1).reshape(coefficients.shape)
            coefficients = coefficients + self.arithmetic.from_float(step, self.unit)
            error = float(np.max(np.abs(self._residual(wanted, matrices, coefficients))))
        if not error <= 1:
            return None
        values, bits, largest = self._values(found.axes, coefficients)
        if largest > self.cap:
            return None
        return Fit(found.axes, values, bits, error * float(self.unit), largest)

    def _residual(self, wanted: Array, matrices: Sequence[Array], coefficients: Array) -> FloatArray:
        got = coefficients
        for k, matrix in enumerate(matrices):
            got = self.arithmetic.contract(matrix, got, k)
        return self.arithmetic.to_float(wanted - got, self.unit)

    def _values(self, axes: tuple[Axis, ...], coefficients: Array) -> tuple[Integers, int, float]:
        """The values of the tokens over a power of two, with its exponent, and the largest of them."""
        values, bits = bernstein_values(axes, *self.arithmetic.integers(coefficients))
        largest = max(abs(int(values.max())), abs(int(values.min())))
        return values, bits, quotient(largest, 1 << bits)

    def _largest(self, found: Series, degrees: tuple[int, ...]) -> float:
        """The largest value of the tokens for the series, cut."""
        return self._values(found.axes, _cut(found.coefficients, degrees))[2]

    def _lattice(self, axes: tuple[Axis, ...]) -> tuple[list[Array], Array]:
        """Points at which errors are sampled: the values of the Chebyshev polynomials there for each axis, and of f."""
        if axes not in self.samples:
            density = {1: 8, 2: 4}.get(len(self.moving), 2)
            most = self.arithmetic.most_samples / 1.5 ** len(self.moving)
            sizes = [
                density * count * 2 // 3 if axis.rate else 1 for axis, count in zip(axes, self.counts, strict=True)
            ]
            while math.prod(sizes) > most:
                sizes = [max(1, size * 7 // 8) for size in sizes]
            parts = [
                self.arithmetic.lattice(axis, count - 1, size)
                for axis, count, size in zip(axes, self.counts, sizes, strict=True)
            ]
            values = on_product(self.arithmetic, self.target, [places for places, _ in parts], self.deadline)
            self.samples[axes] = [matrix for _, matrix in parts], values
        return self.samples[axes]


def _tokens(sums: FloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """The tokens of each degree vector."""
    tokens = np.ones((1,) * sums.ndim, dtype=np.int64)
    for k, count in enumerate(sums.shape):
        tokens = tokens * np.arange(1, count + 1).reshape([-1 if j == k else 1 for j in range(sums.ndim)])
    return tokens


def _least(numbers: FloatArray) -> tuple[int, ...]:
    """The place of the least number."""
    return tuple(int(n) for n in np.unravel_index(int(numbers.argmin()), numbers.shape))


def _cut(coefficients: Array, degrees: Sequence[int]) -> Array:
    return coefficients[tuple(slice(n + 1) for n in degrees)]


def _trimmed(rate: Fraction) -> Fraction:
    """The rate with eight significant bits, so that keys stay short."""
    return mpf_to_fraction(fraction_to_mpf(rate, 8))
