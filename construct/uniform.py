"""The paper's construction: anchors on a grid, one token each.

With anchors c_i on a grid of spacings h_k, keys a_ik = 2 beta_k c_ik, biases b_i = -sum_k beta_k c_ik^2 and values v_i
= f(c_i), the score of token i is sum_k beta_k (x_k^2 - (x_k - c_ik)^2): the partition is the grid of cells around the
anchors. An axis with a single cell needs no key: beta_k = 0. Where the box does not contain 0, c_i - o takes the place
of c_i in the keys and c_ik^2 - o_k^2 that of c_ik^2 in the biases, o being the point of the box nearest to 0: all
scores change by the same amount, and far from 0 the numbers stay small.

A-priori bound (arXiv 2504.19901, the L-infinity theorem, with explicit constants). Let m axes have positive length,
q <= m of them several cells, and let h be the largest spacing and R = sqrt(m) h/2. Suppose |f(x) - f(y)| <= eps/2
whenever |x - y| <= 2R. Along the q axes measure distances in cells: every x has an anchor within r = sqrt(q)/2. Tokens
within 2r of x lie within 2R of it and miss f(x) by at most eps/2. With beta_k = beta / h_k^2 a token beyond 2r scores
at least beta (4r^2 - r^2) less than the nearest one, so all N of them weigh at most N exp(-3 beta r^2), and each misses
f(x) by at most 2 sup|f|. Hence |f - T| <= eps/2 + 2 sup|f| N exp(-3 beta r^2) <= eps for

    beta_k >= ln(4 sup|f| N / eps) / (3 r^2 h_k^2).

With a Lipschitz bound L the condition on R is 2 L R <= eps/2.

A target with n_o > 1 columns has a block of tokens for each (the sequence-to-sequence theorem). The tokens of column j
score a bonus, the gate, when column j is asked for, so the others weigh at most (n_o - 1) exp(-gate) together. The
tolerance then pays for both tails: beta as above with 8 in place of 4, and

    gate >= ln(8 sup|f| (n_o - 1) / eps).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import compress, product
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt

from attncert.certificates.attention import Attention
from attncert.certificates.condition import Condition, classify, satisfied
from attncert.certificates.deadline import NEVER, Deadline
from attncert.certificates.domain import Box
from attncert.certificates.errors import InvalidDomain, TooLarge, UndefinedTarget
from attncert.certificates.evaluate import evaluate_float, evaluate_mp
from attncert.certificates.matrix import Row
from attncert.certificates.numbers import fraction_to_mpf, mpf_to_fraction
from attncert.certificates.target import InputSpace, Target
from attncert.construct.continuity import Regularity, radius_for, regularity
from attncert.construct.embedding import embed
from attncert.construct.estimate import MAX_SAMPLES, grid_error, samples_needed
from attncert.construct.resources import approximately, require_memory

FloatArray = npt.NDArray[np.float64]
Grid = tuple[tuple[int, ...], tuple[Fraction, ...]]
"""Cells and inverse temperature for each side."""

SHARPNESSES = (Fraction(4), Fraction(1), Fraction(1, 2))
"""Multiples of the a-priori inverse temperature among which the default head chooses.

A sharp head is nearly piecewise constant and easy to prove; a softer one averages neighbouring values, which cancels
part of the error and saves tokens on smooth targets.
"""

GATE = 4
"""The default head takes this multiple of the a-priori gate: its leak is then negligible beside the tolerance."""

MARGINS = (0.002, 0.01, 0.03, 0.08, 0.2, 0.4)
"""Parts of the tolerance that successive grids leave to the proof."""

SHARPEST = Fraction(64)
"""Multiple of the a-priori inverse temperature for sharp heads, so nearly piecewise constant that the target may be
compared with the value of each token on its own cell, enlarged a little."""

SHARP_MARGINS = (0.06, 0.12, 0.25, 0.45)
"""Parts of the tolerance that successive sharp grids leave to the proof."""


@dataclass(frozen=True)
class Apriori:
    """What theory asks for: grid, tokens and inverse temperature that give the tolerance before any verification."""

    counts: tuple[int, ...]
    betas: tuple[Fraction, ...]
    gate: Fraction
    sup: float
    lipschitz: float
    radius: float
    bound: Fraction
    columns: int

    @property
    def tokens(self) -> int:
        """The number N of tokens, over all output columns."""
        return math.prod(self.counts) * self.columns

    def to_notes(self) -> dict[str, object]:
        """For the notes of a certificate: text and integers only."""
        return {
            "tokens": self.tokens,
            "grid": list(self.counts),
            "beta": spelled(self.betas),
            **({"gate": f"{float(self.gate):.6g}"} if self.columns > 1 else {}),
            "bound": f"{float(self.bound):.6g}",
            "sup": f"{self.sup:.6g}",
            "lipschitz": f"{self.lipschitz:.6g}",
        }


@dataclass(frozen=True)
class Candidate:
    """A head, the error that sampling expects of it, notes on how it was made, and whether no finer one follows.

    boxes: with 40 for each token, those in which it has to be proved where others follow.
    """

    attention: Attention
    estimate: float
    notes: dict[str, Any]
    is_last: bool
    boxes: int = 200_000


def apriori(
    target: Target,
    box: Box,
    tolerance: Fraction,
    known: Regularity | None = None,
    deadline: Deadline = NEVER,
    conditions: Sequence[Condition] = (),
) -> Apriori:
    """The grid and the inverse temperatures of the a-priori bound.

    Raises InvalidTarget when the target is undefined, unbounded or discontinuous on the box; OutOfTime.
    """
    known = known or regularity(target, box, deadline, conditions)
    sides = [hi - lo for lo, hi in box.sides]
    moving = sum(side > 0 for side in sides)
    half = tolerance / 2
    if known.lipschitz == 0.0 or moving == 0:
        spacing = max(max(sides), Fraction(1))
    elif math.isinf(known.lipschitz):
        radius = radius_for(target, box, float(half) * (1 - 1e-9), deadline, conditions)
        spacing = Fraction(radius / math.sqrt(moving) * (1 - 1e-9))
    else:
        spacing = half / (Fraction(known.lipschitz) * Fraction(math.sqrt(moving) * (1 + 1e-9)))
    counts = tuple(max(1, math.ceil(side / spacing)) for side in sides)
    columns = target.shape[1]
    betas = inverse_temperatures(box, counts, known.sup, tolerance, columns)
    gate = gate_bonus(known.sup, tolerance, columns)
    radius = math.sqrt(float(sum(h * h for h in _spacings(box, counts)))) / 2
    return Apriori(counts, betas, gate, known.sup, known.lipschitz, radius, tolerance, columns)


def inverse_temperatures(
    box: Box, counts: Sequence[int], sup: float, tolerance: Fraction, columns: int = 1
) -> tuple[Fraction, ...]:
    """beta_k = ln(4 sup|f| N / eps) / (3 r^2 h_k^2), rounded up to eight significant bits; 0 for an axis with one cell.

    With several output columns 8 takes the place of 4.
    """
    share = 4 if columns == 1 else 8
    three_r_squared = Fraction(3, 4) * sum(count > 1 for count in counts)
    log = Fraction(_log_ratio(share * math.prod(counts), sup, tolerance))
    return tuple(
        rounded_up(log / (three_r_squared * h * h)) if count > 1 else Fraction(0)
        for h, count in zip(_spacings(box, counts), counts, strict=True)
    )


def gate_bonus(sup: float, tolerance: Fraction, columns: int) -> Fraction:
    """gate = ln(8 sup|f| (n_o - 1) / eps), rounded up to eight significant bits; 0 with one output column."""
    return rounded_up(Fraction(_log_ratio(8 * (columns - 1), sup, tolerance))) if columns > 1 else Fraction(0)


def _log_ratio(factor: int, sup: float, tolerance: Fraction) -> float:
    """ln(factor sup / tolerance), at least 1; the logarithms are of integers, which may be huge."""
    ratio = factor * Fraction(max(sup, 1e-300)) / tolerance
    return max(math.log(ratio.numerator) - math.log(ratio.denominator), 1.0)


def rounded_up(x: Fraction) -> Fraction:
    """More than x > 0, with eight significant bits, so that keys of dyadic anchors stay short."""
    x *= 1 + Fraction(1, 10**9)
    exponent = x.numerator.bit_length() - x.denominator.bit_length()  # 2^(exponent - 1) < x < 2^(exponent + 1)
    unit = Fraction(2) ** (exponent - (7 if x >= Fraction(2) ** exponent else 8))
    return math.ceil(x / unit) * unit


def uniform_head(
    target: Target,
    box: Box,
    counts: Sequence[int],
    betas: Sequence[Fraction],
    *,
    gate: Fraction = Fraction(0),
    precision: int,
    deadline: Deadline = NEVER,
    conditions: Sequence[Condition] = (),
) -> Attention:
    """The head with one token for each cell and output column, whose values are those of f at the anchors.

    Cells that are proved to lie outside the domain get no token.
    """
    require_memory(math.prod(counts) * target.shape[1], box.dimension, target.shape[0])
    kept = cells_kept(box, counts, conditions)
    values = []
    for anchor in compress(product(*_axes(box, counts)), kept):
        deadline.check()
        values.append(_value(target, anchor, precision, conditions))
    rows: list[Row] = [[mpf_to_fraction(entry) for entry in row] for row in zip(*values, strict=True)]
    return grid_head(target.space, box, counts, betas, rows, kept, target.shape[1], gate=gate, precision=precision)


def grid_head(
    space: InputSpace,
    box: Box,
    counts: Sequence[int],
    betas: Sequence[Fraction],
    values: Sequence[Row],
    kept: Sequence[bool],
    columns: int = 1,
    *,
    gate: Fraction = Fraction(0),
    precision: int,
) -> Attention:
    """The head with one token for each kept cell and output column; scores are rounded to `precision` bits once.

    counts, betas: (m,) cells and inverse temperature for each side. In its block the token of cell (i_1, ..., i_m)
    stands at place i_1 N_2 ... N_m + ... + i_m, less the cells before it that were not kept. values: a row over the
    kept cells for each entry of the output, row-major.
    """
    tokens = math.prod(counts)
    axes = _axes(box, counts)
    nearest = [min(max(lo, Fraction(0)), hi) for lo, hi in box.sides]
    scaled = list(zip(axes, betas, nearest, strict=True))
    rounded = [[_rounded(2 * beta * (c - o), precision) for c in axis] for axis, beta, o in scaled]
    squares = [[beta * (c * c - o * o) for c in axis] for axis, beta, o in scaled]
    keys: list[Row] = []
    inner = tokens
    for axis in rounded:
        inner //= len(axis)
        outer = tokens // (inner * len(axis))
        keys.append(list(compress([number for number in axis for _ in range(inner)] * outer, kept)))
    biases = [_rounded(-sum(terms, Fraction(0)), precision) for terms in compress(product(*squares), kept)]
    return embed(space, keys, biases, [values[j::columns] for j in range(columns)], len(biases), gate)


def _axes(box: Box, counts: Sequence[int]) -> list[list[Fraction]]:
    return [_anchors(side, count) for side, count in zip(box.sides, counts, strict=True)]


def cells_kept(box: Box, counts: Sequence[int], conditions: Sequence[Condition]) -> list[bool]:
    """Which cells, in the order of the tokens, are not proved to lie outside the domain."""
    if not conditions:
        return [True] * math.prod(counts)
    index = np.stack(np.unravel_index(np.arange(math.prod(counts)), tuple(counts)), axis=1)
    lo = np.array([float(lo) for lo, _ in box.sides])
    spacing = np.array([float(h) for h in _spacings(box, counts)])
    kept: list[bool] = (
        ~classify(conditions, lo + (index - 1e-9) * spacing, lo + (index + 1 + 1e-9) * spacing)[1]
    ).tolist()
    if not any(kept):
        raise InvalidDomain("the conditions leave nothing of the domain")
    return kept


def _value(
    target: Target, anchor: Sequence[Fraction], precision: int, conditions: Sequence[Condition]
) -> Sequence[Any]:
    """f at the anchor; 0 at an anchor outside the domain where f has no value."""
    try:
        return evaluate_mp(target, anchor, precision)
    except UndefinedTarget:
        if satisfied(conditions, anchor):
            raise
        return [mpmath.mpf(0)] * len(target.outputs)


def uniform_candidates(
    target: Target,
    box: Box,
    tolerance: Fraction,
    *,
    precision: int,
    apriori_only: bool,
    sharp: bool = False,
    limit: int | None = None,
    deadline: Deadline = NEVER,
    conditions: Sequence[Condition] = (),
) -> Iterator[Candidate]:
    """Heads to try, the coarsest grid first; with `apriori_only` exactly the head that theory asks for, which comes
    last otherwise. With `sharp` all others are sharp heads.

    limit: the most tokens that are of interest.

    Raises InvalidTarget when the target is undefined, unbounded or discontinuous on the box; TooLarge when the head
    does not fit into memory; OutOfTime.
    """
    known = regularity(target, box, deadline, conditions)
    theory = apriori(target, box, tolerance, known, deadline, conditions)
    if apriori_only:
        gate, grids = theory.gate, iter([(theory.counts, theory.betas)])
    else:
        gate = GATE * theory.gate
        grids = _coarse_grids(target, box, tolerance, theory, deadline, conditions, sharp=sharp, limit=limit)
    for counts, betas in grids:
        head = uniform_head(
            target,
            box,
            counts,
            betas,
            gate=gate,
            precision=precision,
            deadline=deadline,
            conditions=conditions,
        )
        notes = {
            "method": "uniform",
            "grid": list(counts),
            "beta": spelled(betas),
            **({"gate": f"{float(gate):.6g}"} if theory.columns > 1 else {}),
            "precision": precision,
            "apriori": theory.to_notes(),
        }
        sampled = samples_needed(box, counts) <= MAX_SAMPLES
        error = grid_error(target, box, counts, [float(beta) for beta in betas], conditions) if sampled else math.nan
        yield Candidate(head, error, notes, is_last=counts == theory.counts)


def _coarse_grids(
    target: Target,
    box: Box,
    tolerance: Fraction,
    theory: Apriori,
    deadline: Deadline,
    conditions: Sequence[Condition],
    *,
    sharp: bool,
    limit: int | None,
) -> Iterator[Grid]:
    """Grids whose sampled error leaves the MARGINS to the proof, coarsest first; the a-priori grid comes last."""
    most = math.inf if limit is None else limit // theory.columns
    slopes = sampled_slopes(target, box)
    last: Grid | None = None
    for margin in SHARP_MARGINS if sharp else MARGINS:
        goal = float(tolerance) * (1 - margin)
        best: Grid | None = None
        for sharpness in (SHARPEST,) if sharp else SHARPNESSES:
            search = GridSearch(
                box,
                goal,
                slopes,
                0.25 / goal,
                partial(_betas, box, tolerance, theory, sharpness),
                partial(grid_error, target, box, conditions=conditions),
                partial(samples_needed, box),
                f" (the a-priori bound asks for {approximately(theory.tokens)})",
                deadline,
            )
            start = search.start if limit is None else search.finest(most)
            if start is not None:
                best = replace(search, start=start).coarsest(best)
        if best is None or math.prod(best[0]) >= math.prod(theory.counts):
            break
        if best != last:
            last = best
            yield best
    if math.prod(theory.counts) <= most:
        yield theory.counts, theory.betas


def _betas(
    box: Box, tolerance: Fraction, theory: Apriori, sharpness: Fraction, counts: tuple[int, ...]
) -> tuple[Fraction, ...]:
    betas = inverse_temperatures(box, counts, theory.sup, tolerance, theory.columns)
    return tuple(sharpness * beta for beta in betas)


@dataclass(frozen=True)
class GridSearch:
    """The search for the grid with the fewest tokens whose sampled error is at most `goal`.

    `betas` gives the inverse temperatures of a grid, `error` the sampled error, `points` how many samples that takes;
    the counts are the sides times the slopes times a scale, which is first tried at `start`.
    """

    box: Box
    goal: float
    slopes: FloatArray
    start: float
    betas: Callable[[tuple[int, ...]], tuple[Fraction, ...]]
    error: Callable[[tuple[int, ...], list[float]], float]
    points: Callable[[tuple[int, ...]], int]
    remedy: str
    deadline: Deadline

    def coarsest(self, rival: Grid | None) -> Grid | None:
        """The grid and its inverse temperatures; the rival, if there is one with no more tokens.

        Spacings in inverse proportion to the slopes make every axis contribute the same and minimise the product of the
        counts; their common scale is bisected, and single axes are coarsened afterwards while that still holds.
        """
        low, high = 0.0, self.start
        while not self._fits(self._grid(high)):
            low, high = high, 2 * high
            if rival is not None and math.prod(self._grid(low)) >= 2 * math.prod(rival[0]):
                return rival
        while self._grid(low) != self._grid(high) and high - low > 1e-4 * high:
            middle = 0.5 * (low + high)
            low, high = (low, middle) if self._fits(self._grid(middle)) else (middle, high)
            if rival is not None and math.prod(self._grid(low)) >= 1.1 * math.prod(rival[0]):
                return rival
        counts = self._polished(self._grid(high))
        if rival is not None and math.prod(rival[0]) <= math.prod(counts):
            return rival
        return counts, self.betas(counts)

    def finest(self, most: float) -> float | None:
        """The scale of a grid with at most that many cells whose sampled error is small enough; None if it is not."""
        if most < 1:
            return None
        low, high = 0.0, self.start
        while math.prod(self._grid(high)) <= most and high < 1e300:
            low, high = high, 2 * high
        while high - low > 1e-6 * high and high > 1e-300:
            middle = 0.5 * (low + high)
            low, high = (middle, high) if math.prod(self._grid(middle)) <= most else (low, middle)
        return low if self._fits(self._grid(low)) else None

    def _polished(self, counts: tuple[int, ...]) -> tuple[int, ...]:
        """Take cells from single axes while the grid still fits."""
        improved = True
        while improved:
            improved = False
            for k in sorted(range(len(counts)), key=lambda k: counts[k]):
                fewer = tuple(count - (j == k) for j, count in enumerate(counts))
                if min(fewer) >= 1 and self._fits(fewer):
                    counts, improved = fewer, True
        return counts

    def _grid(self, scale: float) -> tuple[int, ...]:
        sides = np.array([float(hi - lo) for lo, hi in self.box.sides])
        return tuple(int(max(1, math.ceil(count))) for count in np.minimum(sides * self.slopes * scale, 1e18))

    def _fits(self, counts: tuple[int, ...]) -> bool:
        self.deadline.check()
        if self.points(counts) > MAX_SAMPLES:
            raise TooLarge(
                f"the uniform construction needs {approximately(math.prod(counts))} tokens or more for this tolerance"
                f"{self.remedy}, too many to be held here"
            )
        return self.error(counts, [float(beta) for beta in self.betas(counts)]) <= self.goal


def sampled_slopes(target: Target, box: Box, per_axis: int = 33) -> FloatArray:
    """For each axis the largest difference quotient of the target on a lattice of samples; positive where it moves."""
    m = box.dimension
    per_axis = max(3, min(per_axis, int(2e5 ** (1 / m))))
    lo = np.array([float(lo) for lo, _ in box.sides])
    side = np.array([float(hi - lo) for lo, hi in box.sides])
    ticks = [np.linspace(0.0, 1.0, per_axis) if width else np.zeros(1) for width in side]
    mesh = np.meshgrid(*ticks, indexing="ij")
    points = lo + side * np.stack([axis.ravel() for axis in mesh], axis=1)
    values = evaluate_float(target, points).reshape(*mesh[0].shape, -1)
    slopes = np.zeros(m)
    for k in range(m):
        if side[k]:
            slopes[k] = np.nanmax(np.abs(np.diff(values, axis=k))) * (per_axis - 1) / side[k]
    return np.asarray(np.maximum(slopes, 1e-6 * max(float(slopes.max()), 1e-300)))


def _anchors(side: tuple[Fraction, Fraction], count: int) -> list[Fraction]:
    """The centres of `count` equal parts of a side, exactly."""
    lo, hi = side
    return [lo + (hi - lo) * Fraction(2 * i + 1, 2 * count) for i in range(count)]


def _spacings(box: Box, counts: Sequence[int]) -> list[Fraction]:
    """The sides of a cell."""
    return [(hi - lo) / count for count, (lo, hi) in zip(counts, box.sides, strict=True)]


def spelled(betas: Sequence[Fraction]) -> str:
    """Inverse temperatures for people: one number where the axes share it."""
    spelled = [f"{float(beta):.6g}" for beta in betas]
    return spelled[0] if len(set(spelled)) == 1 else ", ".join(spelled)


def _rounded(x: Fraction, precision: int) -> Fraction:
    """x rounded to nearest at that many bits, as a rational again."""
    return mpf_to_fraction(fraction_to_mpf(x, precision))
