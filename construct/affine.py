"""Beyond the paper's values: tokens whose values are affine in the input, which W_V Z may be in the same architecture.

The partition is a grid whose cells are the smaller the more the target bends, with faces at its kinks
(`construct/grading.py`). A face at t between two cells along an axis is a difference kappa (x - t) of their scores, so
each has its own sharpness: s_i = sum over axes and faces below the cell of kappa (x_k - t). On a cell of length h the
best affine function misses the target by about |f''| h^2 / 16 where a constant misses it by |f'| h / 2.

A sharp head (theta = kappa h large) is nearly piecewise affine, and takes the best affine function of each cell. A soft
one mixes neighbours: with the softmax weights p_i fixed, T = sum_i p_i (u_i + g_i . x) is linear in all u and g, and
the best ones are found together, by least squares that are reweighted towards the least maximum (Lawson 1961; see
`construct/fit.py`). Smooth targets then take fewer tokens. A target that is the maximum or the minimum of affine
functions has a head of its own (`construct/pieces.py`).

In cross-attention the values, W_V Z_K, depend on K alone. Sampling chooses all of this; only the proof counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np
import numpy.typing as npt

from attncert.certificates.attention import Attention
from attncert.certificates.condition import Condition, estimate_inside
from attncert.certificates.deadline import NEVER, Deadline
from attncert.certificates.domain import Box
from attncert.certificates.errors import InvalidDomain, InvalidTarget, TooLarge
from attncert.certificates.evaluate import evaluate_float
from attncert.certificates.matrix import ZERO, Row
from attncert.certificates.numbers import fraction_to_mpf, mpf_to_fraction
from attncert.certificates.target import Target
from attncert.construct.continuity import require_continuous, require_defined
from attncert.construct.embedding import Block, embed_blocks
from attncert.construct.grading import Axis, axis_of
from attncert.construct.pieces import Pieces, pieces_of
from attncert.construct.resources import approximately, require_memory
from attncert.construct.uniform import Candidate, rounded_up
from attncert.construct.values import largest_value

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

MARGINS = (0.02, 0.08, 0.2, 0.4)
"""Parts of the tolerance that successive heads leave to the proof."""

SOFT = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 30.0, 200.0)
"""The theta = kappa h among which heads choose whose values are found together."""

STEEP = 30.0
"""Values that are too large for heads as sharp as that stay so on finer grids: their slopes are the target's."""

SHARP = (60.0, 400.0)
"""Those of heads whose cells are fitted one by one."""

KINK_SHARES = (0.15, 0.5, 2.0)
"""kappa at a kink with a jump J of the slope: these times J over the tolerance; 0.28 J / kappa is the error there."""

TOGETHER = 240
"""Most coefficients that are found together."""

FEW = 120
"""Beyond so many coefficients only every other theta is tried."""

SPARE = 5
"""Samples for each coefficient that is found together, at least 600 in all where there are as many."""

ROUNDS = 12
"""Rounds of reweighting."""

SLOPES = 1024
"""Points at which slopes along the axes are compared."""

TRANSCENDENTAL = 10
"""Multiplications for which a step of the target at a sample stands."""

RIDGE = 1e-10
"""Part of the size of a column that its coefficient counts as an error."""

LARGEST = 1e4
"""Most that a value may exceed the target."""

CAP_SLACK = 1e-9
"""Part of a bound on the values that is left to their rounding."""

MOST_TOKENS = 2000
"""Heads with more are left to the uniform construction."""

MOST_POINTS = 4_000_000
"""Samples of the target, at most."""

ENOUGH = 0.01
"""The number of cells is found up to this part of it."""

RESOLUTION = 1e-14
"""The least tolerance relative to the size of the target: the values are found in float64."""

EXACT = 0.01
"""Part of the tolerance by which the pieces of a target may miss it."""

MOST_EFFORT = 2e10
"""Multiplications in fits and samples, unless asked otherwise: about a minute."""

BOXES = 20_000
"""Boxes in which a head has to be proved, beside those for its tokens, where others follow."""

GATE_BITS = 40
"""The leak of the gate costs less than 2^-GATE_BITS of the tolerance."""

_PLACES = {1: 16, 2: 7, 3: 5, 4: 3}
_LEAST_POINTS = {1: 256, 2: 40, 3: 12, 4: 6}  # lattice points a side, however few the cells

NO_BOUND = "grid and values are fitted to samples; a bound beforehand would need the second derivatives bounded"


@dataclass(frozen=True)
class Cells:
    """A grid: for each axis the borders of its cells, and kappa at each border inside."""

    cuts: tuple[tuple[Fraction, ...], ...]
    kappas: tuple[tuple[Fraction, ...], ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Cells for each axis."""
        return tuple(len(kappas) + 1 for kappas in self.kappas)

    @property
    def tokens(self) -> int:
        """The number of cells."""
        return math.prod(self.counts)

    def weights(self, k: int, points: FloatArray) -> FloatArray:
        """The softmax weights along axis k, up to a factor for each point: (points, cells)."""
        steps = [float(kappa) * (points - float(t)) for kappa, t in self._faces(k)]
        scores = np.cumsum([np.zeros(len(points)), *steps], axis=0).T
        return np.asarray(np.exp(scores - scores.max(axis=1, keepdims=True)))

    def sums(self, k: int) -> list[tuple[Fraction, Fraction]]:
        """Key and bias of each cell along axis k; those of the middle cell are 0."""
        pairs = [(ZERO, ZERO)]
        for kappa, t in self._faces(k):
            pairs.append((pairs[-1][0] + kappa, pairs[-1][1] - kappa * t))
        key, bias = pairs[len(pairs) // 2]
        return [(a - key, b - bias) for a, b in pairs]

    def _faces(self, k: int) -> list[tuple[Fraction, Fraction]]:
        return list(zip(self.kappas[k], self.cuts[k][1:-1], strict=True))


@dataclass(frozen=True)
class Fit:
    """Cells with the values of their tokens, constants and slopes (entries, *counts) each, those for the axes `free`.

    `kept` (*counts) tells which cells have a token; `error` is the sampled error, `largest` the largest value on the
    box.
    """

    cells: Cells
    constants: FloatArray
    slopes: tuple[FloatArray, ...]
    kept: BoolArray
    error: float
    largest: float

    @property
    def tokens(self) -> int:
        """Tokens of one block."""
        return int(self.kept.sum())


def affine_candidates(
    target: Target,
    box: Box,
    tolerance: Fraction,
    *,
    precision: int,
    apriori_only: bool = False,
    max_value: Fraction | None = None,
    limit: int | None = None,
    effort: float = MOST_EFFORT,
    deadline: Deadline = NEVER,
    conditions: Sequence[Condition] = (),
) -> Iterator[Candidate]:
    """Heads to try, the one with the fewest tokens first.

    max_value: a bound on the values of the tokens over the box. limit: the most tokens that are of interest. effort:
    multiplications after which no further head is tried.

    Raises InvalidTarget when the target jumps or lacks values on the domain, TooLarge when it bends too much for the
    tolerance; OutOfTime.
    """
    if apriori_only:
        raise InvalidTarget(f"there is no a-priori bound: {NO_BOUND}")
    require_defined(target, box, conditions)
    require_continuous(target, box, conditions)
    most = MOST_TOKENS if limit is None else min(MOST_TOKENS, limit)
    size = sampled_size(target, box, conditions)
    misfit = max(EXACT * float(tolerance), RESOLUTION * size / 10)  # where that is rounding the pieces are exact
    pieces = _useful_pieces(target, box, misfit, most, max_value)
    fine = float(tolerance) < RESOLUTION * size
    if fine and pieces is None:
        raise TooLarge(f"the affine construction is for tolerances above {RESOLUTION:g} of the target")
    search = None
    if not fine and (pieces is None or len(pieces.constants) > 1):
        search = _Search(target, box, tolerance, conditions, deadline, effort, max_value)
    last: tuple[int, ...] = ()
    for margin in MARGINS:
        is_last = margin == MARGINS[-1]
        goal = float(tolerance) * (1 - margin)
        best = None
        if search is not None:
            try:
                best = search.fewest(goal, most if pieces is None else len(pieces.constants) - 1)
            except TooLarge:
                if pieces is None and not last:
                    raise
        if best is None and pieces is not None:
            yield _piecewise(target, box, pieces, goal, precision, is_last=is_last)
        elif best is None and last:
            return
        elif best is None:
            bounded = "" if max_value is None else f" and values up to {float(max_value):g}"
            raise TooLarge(
                f"the affine construction needs more than {approximately(most)} tokens for this tolerance{bounded}"
            )
        elif best.cells.counts != last:
            last = best.cells.counts
            yield _candidate(target, box, best, tolerance, precision, is_last=is_last)


def sampled_size(target: Target, box: Box, conditions: Sequence[Condition] = ()) -> float:
    """About the largest |f|, by samples."""
    ends = np.array([[float(lo) for lo, _ in box.sides], [float(hi) for _, hi in box.sides]])
    points = ends[0] + (ends[1] - ends[0]) * np.random.default_rng(6).random((SLOPES, box.dimension))
    values = np.abs(evaluate_float(target, points[estimate_inside(conditions, points)]))
    return float(np.max(values, initial=0.0, where=np.isfinite(values)))


def _useful_pieces(target: Target, box: Box, misfit: float, most: int, max_value: Fraction | None) -> Pieces | None:
    """The pieces of the target, if there are few and they are that near to it."""
    if target.space.query_shape is not None:
        return None
    with np.errstate(all="ignore"):  # what overflows is no piece
        pieces = pieces_of(target, box)
    if pieces is None or len(pieces.constants) > most or pieces.misfit > misfit:
        return None
    if max_value is not None and largest_value(_head_of(target, pieces, ZERO), box) > max_value:
        return None
    return pieces


def _piecewise(target: Target, box: Box, pieces: Pieces, goal: float, precision: int, *, is_last: bool) -> Candidate:
    """The head whose scores are kappa times its values."""
    kappa = rounded_up(Fraction(pieces.excess() / goal)) if len(pieces.constants) > 1 else ZERO
    head = _head_of(target, pieces, kappa)
    notes = {
        "method": "affine",
        "pieces": len(pieces.constants),
        "beta": f"{float(kappa):.6g}",
        "max_value": f"{float(largest_value(head, box)):.6g}",
        "precision": precision,
        "apriori": {"none": NO_BOUND},
    }
    error = pieces.excess() / float(kappa) if kappa else 0.0
    return Candidate(head, error, notes, is_last, BOXES)


def _head_of(target: Target, pieces: Pieces, kappa: Fraction) -> Attention:
    factor = kappa * pieces.sign
    keys = [[factor * g[k] for g in pieces.slopes] for k in range(target.space.size)]
    biases = [factor * u for u in pieces.constants]
    slopes = [[list(row) for row in zip(*pieces.slopes, strict=True)]]
    return embed_blocks(target.space, [Block(keys, biases, [list(pieces.constants)], slopes)])


def _candidate(target: Target, box: Box, fit: Fit, tolerance: Fraction, precision: int, *, is_last: bool) -> Candidate:
    columns = target.shape[1]
    gate = ZERO
    if columns > 1:
        largest = float(np.max(np.abs(fit.constants))) + 1
        ratio = Fraction(4 * largest * (columns - 1)) / tolerance
        gate = rounded_up(Fraction(math.log(ratio) + GATE_BITS * math.log(2)))
    head = affine_head(target, fit, gate, precision)
    kappas = [float(kappa) for axis in fit.cells.kappas for kappa in axis] or [0.0]
    low, high = f"{min(kappas):.6g}", f"{max(kappas):.6g}"
    notes = {
        "method": "affine",
        "grid": list(fit.cells.counts),
        "beta": low if low == high else f"{low} to {high}",
        **({"gate": f"{float(gate):.6g}"} if gate else {}),
        "max_value": f"{float(largest_value(head, box)):.6g}",
        "precision": precision,
        "apriori": {"none": NO_BOUND},
    }
    return Candidate(head, fit.error, notes, is_last, BOXES)


def affine_head(target: Target, fit: Fit, gate: Fraction, precision: int) -> Attention:
    """The head with one token for each kept cell and output column; biases and constants are rounded once."""
    columns, m = target.shape[1], target.space.size
    require_memory(fit.tokens * columns, 2 * m, target.shape[0])
    sums = [fit.cells.sums(k) for k in range(m)]
    places = [place for place in product(*map(range, fit.cells.counts)) if fit.kept[place]]
    keys: list[Row] = [[sums[k][place[k]][0] for place in places] for k in range(m)]
    biases = [_rounded(sum((sums[k][i][1] for k, i in enumerate(place)), ZERO), precision) for place in places]
    blocks = []
    for j in range(columns):
        entries = range(j, len(target.outputs), columns)
        values = [[_rounded(Fraction(fit.constants[(e, *place)]), precision) for place in places] for e in entries]
        slopes = [[[Fraction(slope[(e, *place)]) for place in places] for slope in fit.slopes] for e in entries]
        blocks.append(Block(keys, biases, values, slopes))
    return embed_blocks(target.space, blocks, gate)


class _Search:
    """The search for the grid with the fewest cells whose sampled error is at most a goal."""

    def __init__(
        self,
        target: Target,
        box: Box,
        tolerance: Fraction,
        conditions: Sequence[Condition],
        deadline: Deadline,
        effort: float,
        max_value: Fraction | None,
    ) -> None:
        self.target, self.box, self.tolerance = target, box, float(tolerance)
        self.conditions, self.deadline, self.effort = conditions, deadline, effort
        self.cap = math.inf if max_value is None else float(max_value) * (1 - CAP_SLACK)
        self.m = box.dimension
        self.moving = [k for k, (lo, hi) in enumerate(box.sides) if lo < hi]
        space = target.space
        keyed = self.m if space.query_shape is None else space.shape[0] * space.shape[1]
        self.free = [k for k in self.moving if k < keyed]
        self.axes: list[Axis] = [axis_of(target, box, k) for k in range(self.m)]
        # A product x_0 x_1 bends along no axis, but its slope along one varies along the other.
        sides = np.array([float(hi - lo) for lo, hi in box.sides])
        mixed = np.sqrt(sides * _slope_spreads(target, box)) if len(self.moving) > 1 else np.zeros(self.m)
        self.demand = np.maximum([axis.demand for axis in self.axes], mixed)
        if len(self.free) < len(self.moving):  # constants along the others: more cells there, as many as slopes ask for
            for k in set(self.moving) - set(self.free):
                self.demand[k] = max(self.demand[k], 1.0)
        self.demand = np.maximum(self.demand, 1e-3 * max(float(self.demand.max()), 1e-300))
        self.known: dict[tuple[int, ...], Fit | None] = {}
        self.goal, self.excess, self.steep = 0.0, 1.0, False

    def fewest(self, goal: float, most: int) -> Fit | None:
        """The fit with the fewest tokens; None when it takes more than `most`."""
        self.goal, self.known = goal, {}
        low, high = 0.0, self._least_scale()
        while self._fit(self._counts(high)) is None:
            # Cells that are fitted one by one miss the target by about their length squared.
            low, high = high, high * max(1.5, 0.7 * math.sqrt(self.excess))
            if (
                self.steep
                or self._tokens(self._counts(low)) > most
                or self._tokens(self._counts(high / 2)) > MOST_TOKENS
            ):
                return None
        while self._counts(low) != self._counts(high) and high - low > ENOUGH * high:
            middle = 0.5 * (low + high)
            low, high = (low, middle) if self._fit(self._counts(middle)) else (middle, high)
        counts = self._counts(high)
        improved = self._tokens(counts) < 1 / ENOUGH
        while improved:
            improved = False
            for k, share in product(sorted(self.moving, key=lambda k: counts[k]), (2, 4, 0)):
                less = max(1, counts[k] // share) if share else 1
                fewer = tuple(count - less * (j == k) for j, count in enumerate(counts))
                if min(fewer) >= 1 and self._fit(fewer):
                    counts, improved = fewer, True
        best = self._fit(counts)
        return best if best is not None and best.tokens * self.target.shape[1] <= most else None

    def _least_scale(self) -> float:
        """Where the search begins: with one cell, or for targets that swing by far more than the goal with a fifth of
        the cells that a sine of so many swings would need.
        """
        ends = np.array([[float(lo) for lo, _ in self.box.sides], [float(hi) for _, hi in self.box.sides]])
        points = ends[0] + (ends[1] - ends[0]) * np.random.default_rng(5).random((SLOPES, self.m))
        values = evaluate_float(self.target, points)
        values = values[np.isfinite(values).all(axis=1)]
        swing = float(np.ptp(values, axis=0).max()) / 2 if len(values) else 0.0
        one = 1.0 / float(self.demand.max())
        return max(one, 0.2 / math.sqrt(swing)) if swing > 10 * self.goal else one

    def _tokens(self, counts: tuple[int, ...]) -> int:
        pieces = math.prod(max(n, len(axis.kinks) + 1) for n, axis in zip(counts, self.axes, strict=True))
        return pieces * self.target.shape[1]

    def _counts(self, scale: float) -> tuple[int, ...]:
        counts = np.minimum(self.demand * scale, 1e9)
        return tuple(max(1, round(count)) if k in self.moving else 1 for k, count in enumerate(counts.tolist()))

    def _fit(self, counts: tuple[int, ...]) -> Fit | None:
        """The best fit on a grid of that many cells, if it reaches the goal."""
        if counts not in self.known:
            self.known[counts] = self._tried(counts)
        return self.known[counts]

    def _tried(self, counts: tuple[int, ...]) -> Fit | None:
        best: Fit | None = None
        self.excess = 1.0
        seen = set()
        for graded in (True, False):
            cuts = tuple(tuple(axis.cuts(n, graded)) for axis, n in zip(self.axes, counts, strict=True))
            if cuts in seen:
                continue
            seen.add(cuts)
            tokens = math.prod(len(axis) - 1 for axis in cuts)
            unknowns = tokens * (1 + len(self.free))
            together = unknowns <= TOGETHER
            kinked = KINK_SHARES if any(axis.kinks for axis in self.axes) else KINK_SHARES[:1]
            thetas = SHARP if not together else SOFT if unknowns <= FEW else SOFT[2::2]
            for theta, share in product(thetas, kinked):
                cells = Cells(cuts, tuple(self._kappas(k, cuts[k], theta, share) for k in range(self.m)))
                fit = self._together(cells, best) if together else self._apart(cells)
                if fit is not None and not together:
                    excess = fit.error / self.goal
                    self.excess = excess if self.excess == 1.0 else min(self.excess, excess)
                if fit is None or not fit.error <= self.goal:
                    pass
                elif fit.largest > self.cap:
                    self.steep |= theta >= STEEP
                elif best is None or fit.error < best.error:
                    best = fit
                if math.prod(cells.counts) == 1:
                    break
        return best

    def _kappas(self, k: int, cuts: Sequence[Fraction], theta: float, share: float) -> tuple[Fraction, ...]:
        jumps = dict(zip(self.axes[k].kinks, self.axes[k].jumps, strict=True))
        kappas = []
        for before, t, after in zip(cuts, cuts[1:], cuts[2:], strict=False):
            kappa = 2 * theta / float(after - before)
            if t in jumps:
                kappa = max(kappa, share * jumps[t] / self.tolerance)
            kappas.append(rounded_up(Fraction(kappa)))
        return tuple(kappas)

    # Samples

    def _ticks(self, cells: Cells, more: int = 1) -> list[FloatArray]:
        """Sample places for each axis: so many a cell, and more about the faces."""
        places = _PLACES.get(len(self.moving), 2)
        ticks = []
        for k, (cuts, kappas) in enumerate(zip(cells.cuts, cells.kappas, strict=True)):
            if k not in self.moving:
                ticks.append(np.array([float(cuts[0])]))
                continue
            ends = np.array([float(cut) for cut in cuts])
            least = _LEAST_POINTS.get(len(self.moving), 3)
            count = more * max(places, -(-least // (len(ends) - 1)))
            u = 0.5 - 0.5 * np.cos(np.pi * np.arange(count + 1) / count)
            own = (ends[:-1, None] + np.diff(ends)[:, None] * u).ravel()
            if len(self.moving) <= 2:
                near = np.array([[-3, -1.5, -0.75, 0.75, 1.5, 3]]) / np.array([[float(x)] for x in kappas or (1,)])
                own = np.concatenate([own, (ends[1:-1, None] + near[: len(kappas)]).ravel()])
            ticks.append(np.unique(np.clip(own, ends[0], ends[-1])))
        if math.prod(map(len, ticks)) > MOST_POINTS:
            raise TooLarge("the affine construction would need too many samples for this tolerance and dimension")
        return ticks

    def _sampled(self, ticks: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray, BoolArray]:
        """The points of a lattice (P, m), the target there (P, entries), and which points count (P,)."""
        self._spend(math.prod(map(len, ticks)) * len(self.target.tape) * TRANSCENDENTAL)
        mesh = np.meshgrid(*ticks, indexing="ij")
        points = np.stack([axis.ravel() for axis in mesh], axis=1)
        values = evaluate_float(self.target, points)
        counts = estimate_inside(self.conditions, points) & np.isfinite(values).all(axis=1)
        return points, np.where(counts[:, None], values, 0.0), counts

    def _kept(self, cells: Cells, ticks: Sequence[FloatArray], counts: BoolArray) -> BoolArray:
        """Which cells hold a point that counts."""
        if counts.all():
            return np.ones(cells.counts, np.bool_)
        of = [
            np.clip(np.searchsorted([float(t) for t in cuts[1:-1]], tick), 0, len(cuts) - 2)
            for cuts, tick in zip(cells.cuts, ticks, strict=True)
        ]
        kept = np.zeros(cells.counts, np.bool_)
        inside = np.nonzero(counts.reshape([len(tick) for tick in ticks]))
        kept[tuple(axis[places] for axis, places in zip(of, inside, strict=True))] = True
        if not kept.any():
            raise InvalidDomain("the conditions leave nothing of the domain")
        return kept

    def _frames(self, cells: Cells) -> tuple[list[FloatArray], list[FloatArray]]:
        """Centres and half lengths of the cells along each axis."""
        ends = [np.array([float(cut) for cut in cuts]) for cuts in cells.cuts]
        return [(e[1:] + e[:-1]) / 2 for e in ends], [np.diff(e) / 2 for e in ends]

    def _error(self, cells: Cells, constants: FloatArray, slopes: Sequence[FloatArray], kept: BoolArray) -> float:
        """The largest sampled error of the head, over a finer lattice than that of the fit."""
        ticks = self._ticks(cells, 2)
        parts = -(-len(ticks[0]) * cells.counts[0] // MOST_POINTS)
        blocks = np.array_split(ticks[0], parts)
        return max(self._error_on([block, *ticks[1:]], cells, constants, slopes, kept) for block in blocks)

    def _error_on(
        self,
        ticks: Sequence[FloatArray],
        cells: Cells,
        constants: FloatArray,
        slopes: Sequence[FloatArray],
        kept: BoolArray,
    ) -> float:
        """The largest error of the head on a lattice."""
        points, values, counts = self._sampled(ticks)
        if not counts.any():
            return 0.0
        self._spend(len(points) * max(cells.counts) * (1 + len(constants) * (1 + len(self.free))))
        weights = [cells.weights(k, tick) for k, tick in enumerate(ticks)]
        below = _contracted(weights, kept.astype(np.float64)[None]).ravel()
        top = _contracted(weights, constants * kept).reshape(len(constants), -1)
        for k in self.free:
            top += points[:, k] * _contracted(weights, slopes[k] * kept).reshape(len(constants), -1)
        with np.errstate(all="ignore"):
            errors = np.abs(top / below - values.T).max(axis=0)[counts]
        return float(np.max(errors)) if np.isfinite(errors).all() else math.inf

    # Fits

    def _together(self, cells: Cells, rival: Fit | None) -> Fit | None:
        """All coefficients at once, by reweighted least squares; None when the goal or a rival is out of reach.

        No head with these weights comes closer than the weighted root mean square of the best.
        """
        ticks = self._ticks(cells)
        points, values, counts = self._sampled(ticks)
        kept = self._kept(cells, ticks, counts)
        p = np.ones((1, 1))
        for k, tick in enumerate(ticks):
            w = cells.weights(k, tick)
            p = (p[:, None, :, None] * w[None, :, None, :]).reshape(len(p) * len(w), -1)
        with np.errstate(all="ignore"):
            p = p[np.ix_(counts, kept.ravel())]
            p /= p.sum(axis=1, keepdims=True)
        if not np.isfinite(p).all():
            return None
        centres, halves = self._frames(cells)
        place = np.array(np.nonzero(kept))  # (m, tokens)
        points, values = points[counts], values[counts]
        enough = max(600, SPARE * p.shape[1] * (1 + len(self.free)))
        if len(p) > enough:
            some = np.random.default_rng(3).choice(len(p), enough, replace=False)
            p, points, values = p[some], points[some], values[some]
        columns = [p]
        for k in self.free:
            columns.append(p * (points[:, k, None] - centres[k][place[k]]) / halves[k][place[k]])
        design = np.concatenate(columns, axis=1)
        self._spend(design.size * design.shape[1] * len(_Basis.SHIFTS))
        goal = self.goal if rival is None else rival.error
        try:
            basis, solved = _Basis(design), []
        except np.linalg.LinAlgError:
            return None
        for e in range(values.shape[1]):
            solution = basis.least_maximum(values[:, e], goal, self._spend)
            if solution is None:
                return None
            solved.append(solution)
        found = np.array(solved).reshape(len(solved), 1 + len(self.free), -1)
        if np.abs(found).max() > LARGEST * (float(np.abs(values).max()) + self.tolerance):
            return None
        return self._fitted(cells, kept, [found[:, n] for n in range(found.shape[1])], place)

    def _apart(self, cells: Cells) -> Fit | None:
        """The best affine function on each cell by itself: least squares at Chebyshev nodes."""
        centres, halves = self._frames(cells)
        moving = len(self.moving)
        nodes = np.cos(np.pi * (np.arange(n := {1: 8, 2: 5, 3: 4}.get(moving, 3)) + 0.5) / n)
        ticks = [
            (centres[k][:, None] + halves[k][:, None] * (nodes if k in self.moving else np.zeros(1))).ravel()
            for k in range(self.m)
        ]
        if math.prod(map(len, ticks)) > MOST_POINTS:
            raise TooLarge("the affine construction would need too many samples for this tolerance and dimension")
        points, values, counts = self._sampled(ticks)
        kept = self._kept(cells, ticks, counts)
        entries = values.shape[1]
        shape = [size for c, tick in zip(cells.counts, ticks, strict=True) for size in (c, len(tick) // c)]

        def by_cell(array: FloatArray) -> FloatArray:
            order = [*range(0, 2 * self.m, 2), *range(1, 2 * self.m, 2), 2 * self.m]
            return array.reshape([*shape, -1]).transpose(order).reshape(cells.tokens, -1, array.shape[-1])

        place = np.array(np.unravel_index(np.arange(cells.tokens), cells.counts))
        x, f, w = by_cell(points), by_cell(values), by_cell(counts[:, None].astype(np.float64))
        local = [(x[:, :, k] - centres[k][place[k]][:, None]) / halves[k][place[k]][:, None] for k in self.free]
        A = np.stack([np.ones(x.shape[:2]), *local], axis=2)
        normal = np.einsum("cpa,cpq,cpb->cab", A, w, A) + 1e-12 * np.eye(A.shape[2])
        right = np.einsum("cpa,cpq,cpe->cae", A, w, f)
        found = np.linalg.solve(normal, right)  # (cells, 1 + free, entries)
        rest = np.where(w > 0, f - A @ found, np.nan)
        with np.errstate(all="ignore"):
            middle = np.nan_to_num((np.nanmax(rest, axis=1) + np.nanmin(rest, axis=1)) / 2) if kept.all() else 0.0
        found[:, 0] += middle
        keep = kept.ravel()
        coefficients = [found[keep, n].T for n in range(1 + len(self.free))]
        assert coefficients[0].shape[0] == entries
        return self._fitted(cells, kept, coefficients, place[:, keep])

    def _fitted(
        self, cells: Cells, kept: BoolArray, coefficients: Sequence[FloatArray], place: npt.NDArray[np.int64]
    ) -> Fit:
        """The fit with these coefficients (entries, tokens) of 1 and of the places in the cells, in terms of x."""
        centres, halves = self._frames(cells)
        entries = len(coefficients[0])
        constants = np.zeros((entries, *cells.counts))
        slopes = [np.zeros((entries, *cells.counts)) for _ in range(self.m)]
        constants[:, kept] = coefficients[0]
        for k, own in zip(self.free, coefficients[1:], strict=True):
            slopes[k][:, kept] = own / halves[k][place[k]]
            constants[:, kept] -= slopes[k][:, kept] * centres[k][place[k]]
        reach = np.zeros_like(constants)  # of u + g . x from its middle, over the whole box
        middles = constants.copy()
        for k in self.free:
            lo, hi = (float(end) for end in self.box.sides[k])
            middles += slopes[k] * (lo + hi) / 2
            reach += np.abs(slopes[k]) * (hi - lo) / 2
        largest = float(np.max(np.abs(middles) + reach))
        return Fit(cells, constants, tuple(slopes), kept, self._error(cells, constants, slopes, kept), largest)

    def _spend(self, multiplications: float) -> None:
        """Count multiplications; raises TooLarge when there have been too many."""
        self.deadline.check()
        self.effort -= multiplications
        if self.effort < 0:
            raise TooLarge("the affine construction takes too long for this tolerance")


def _slope_spreads(target: Target, box: Box) -> FloatArray:
    """How much the slope of the target along each axis varies over the box, by samples: (m,)."""
    lo = np.array([float(a) for a, _ in box.sides])
    side = np.array([float(b - a) for a, b in box.sides])
    points = lo + side * (0.01 + 0.98 * np.random.default_rng(4).random((SLOPES, len(side))))
    spreads = np.zeros(len(side))
    for k in np.flatnonzero(side):
        step = np.zeros(len(side))
        step[k] = 0.005 * side[k]
        with np.errstate(all="ignore"):
            slopes = (evaluate_float(target, points + step) - evaluate_float(target, points - step)) / (2 * step[k])
        known = slopes[np.isfinite(slopes).all(axis=1)]
        if len(known):
            spreads[k] = (np.quantile(known, 0.95, axis=0) - np.quantile(known, 0.05, axis=0)).max()
    return spreads


def _contracted(weights: Sequence[FloatArray], tensor: FloatArray) -> FloatArray:
    """Replace the axes of cells of a tensor (entries, *counts) by those of sample places."""
    for k, w in enumerate(weights):
        tensor = np.moveaxis(np.tensordot(tensor, w, axes=(1 + k, 1)), -1, 1 + k)
    return tensor


class _Basis:
    """An orthonormal basis of the columns of a design (P, n), for many weighted least squares with it.

    A little of each coefficient counts as an error too, so that columns that nearly depend on one another do no harm.
    The basis is made by Cholesky factors, shifted at first (Fukaya et al., SIAM J. Sci. Comput. 42, 2020).
    """

    SHIFTS = (1e-13, 1e-15, 0.0)

    def __init__(self, design: FloatArray) -> None:
        self.size = np.linalg.norm(design, axis=0)
        self.size[self.size == 0] = 1.0
        n = design.shape[1]
        q, self.r = np.concatenate([design / self.size, RIDGE * np.eye(n)]), np.eye(n)
        for shift in self.SHIFTS:
            factor = np.linalg.cholesky(q.T @ q + shift * n * np.eye(n))
            q, self.r = np.linalg.solve(factor, q.T).T, factor.T @ self.r
        self.q, tail = q[:-n], q[-n:]
        self.ridge = tail.T @ tail

    def least_maximum(self, values: FloatArray, goal: float, spend: Callable[[float], None]) -> FloatArray | None:
        """Coefficients with |design c - values| <= goal, by reweighting towards the least maximum; None if that fails.

        The weighted root mean square of the best c is at most the least maximum, whatever the weights.
        """
        weights = np.ones(len(values))
        for turn in range(ROUNDS):
            spend(self.q.size * self.q.shape[1])
            weighted = self.q.T * weights
            y = np.linalg.solve(weighted @ self.q + self.ridge + 1e-14 * np.eye(len(self.r)), weighted @ values)
            errors = np.abs(self.q @ y - values)
            largest = float(errors.max())
            if largest <= goal:
                solution: FloatArray = np.linalg.solve(self.r, y) / self.size
                return solution
            if math.sqrt(float(np.mean(weights * errors**2))) > goal or (turn > 6 and largest > 3 * goal):
                return None
            weights = weights * (errors + 1e-3 * largest)
            weights /= weights.mean()
        return None


def _rounded(x: Fraction, precision: int) -> Fraction:
    return mpf_to_fraction(fraction_to_mpf(x, precision))
