"""The a-priori bound for L_p norms where the sup norm has none: targets that jump, and integrable singularities.

Let a grid have N cells, kappa = beta_k h_k^2 on every axis with several of them, and values v_i in the closed convex
hull of f over cell i (arXiv 2504.19901, the L_p theorem, with explicit constants). For x in a cell, u_k in [-1/2, 1/2]
its place there in cells, the token j cells further along axis k scores kappa (j^2 - 2 j u_k) >= 0 less, and for
|j| >= 2 at least 2 kappa less. So the tokens outside the block of the 3^m cells around that of x weigh at most
N exp(-2 kappa) together, and for each entry

    |f - T|(x) <= osc(f over the block) + 2 sup|f| N exp(-2 kappa).

By Minkowski, with e entries on a domain D,

    |f - T|_p <= (sum over entries and cells of vol(cell) osc(block)^p)^(1/p)
                 + (e vol(D))^(1/p) 2 sup|f| N exp(-2 kappa).

The grid is the coarsest found whose first term leaves SHARE of the tolerance, and kappa makes the second term that
share. With n_o > 1 output columns the others weigh at most (n_o - 1) exp(-gate) in all, for which another share is
left. Oscillations and sup|f| are proved by interval enclosures over all the cells. Cells that are proved to lie outside
the domain have no token and do not count.

Where an entry has no finite enclosure, at a singularity, the blocks that meet it are split off: there, V being the
largest |v_i| of the block,

    |f - T|_p <= |f|_p + (sum over those cells of vol(cell) V^p)^(1/p),

the leak apart. The first term is found by numerical quadrature: that part of the bound is not proved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from attncert.certificates.claim import LpError
from attncert.certificates.condition import Condition, classify, estimate_inside
from attncert.certificates.deadline import Deadline
from attncert.certificates.domain import Box
from attncert.certificates.enclosure import enclose
from attncert.certificates.errors import InvalidDomain, InvalidTarget, TooLarge
from attncert.certificates.evaluate import evaluate_float
from attncert.certificates.target import Target
from attncert.construct.continuity import box_ends
from attncert.construct.estimate import BoolArray, FloatArray
from attncert.construct.uniform import rounded_up, sampled_slopes, spelled

SHARE = Fraction(1, 100)
"""The part of the tolerance that far tokens may take, and with several output columns the gate too."""

MAX_NUMBERS = 1 << 22
"""Most enclosures, cells times entries, of a grid that is tried."""

START = 4.0
"""Cells on the longest axis of the first grid tried."""

_CHUNK = 1 << 18
_FEWER = 1.01  # the search ends when at most this factor of the tokens could still be saved

Offsets = Callable[[tuple[int, ...]], Sequence[FloatArray]]
"""For a grid the places in a cell, for each side, at which the values are averaged."""


@dataclass(frozen=True)
class BlockBound:
    """What theory asks for in the L_p norm: grid, tokens and inverse temperature that give the tolerance.

    `singular`: part of the bound comes from quadrature and is not proved.
    """

    counts: tuple[int, ...]
    betas: tuple[Fraction, ...]
    gate: Fraction
    tokens: int
    sup: float
    claim: LpError
    singular: bool

    def to_notes(self) -> dict[str, object]:
        """For the notes of a certificate: text and integers only."""
        return {
            "tokens": self.tokens,
            "grid": list(self.counts),
            "beta": spelled(self.betas),
            **({"gate": f"{float(self.gate):.6g}"} if self.gate else {}),
            "bound": f"{float(self.claim.tolerance):.6g}",
            "norm": str(self.claim.power),
            "sup": f"{self.sup:.6g}",
            **({"tail": "quadrature"} if self.singular else {}),
        }


@dataclass(frozen=True)
class CellRanges:
    """Enclosures of the target over the cells of a grid, (cells, entries), and which cells may meet the domain.

    Cells that do not have [inf, -inf], the empty range.
    """

    low: FloatArray
    high: FloatArray
    kept: BoolArray

    @property
    def finite(self) -> BoolArray:
        """Which ranges bound the target, (cells, entries)."""
        known: BoolArray = np.isfinite(self.low) & np.isfinite(self.high)
        return known

    def clipped(self, values: FloatArray) -> FloatArray:
        """The values (cells, entries), moved into the ranges that are finite."""
        return np.where(self.finite, np.clip(values, self.low, self.high), values)


@np.errstate(all="ignore")
def cell_ranges(
    target: Target, box: Box, counts: Sequence[int], conditions: Sequence[Condition], deadline: Deadline
) -> CellRanges:
    """Prove the ranges of the target over all cells, in the order of the tokens; raises OutOfTime."""
    total, entries = math.prod(counts), len(target.outputs)
    low, high = np.full((total, entries), np.inf), np.full((total, entries), -np.inf)
    kept = np.ones(total, np.bool_)
    for start in range(0, total, _CHUNK):
        deadline.check()
        part = slice(start, min(start + _CHUNK, total))
        lo, hi = _ends(box, counts, np.arange(part.start, part.stop))
        if conditions:
            kept[part] = ~classify(conditions, lo, hi)[1]
        meets = start + np.flatnonzero(kept[part])
        low[meets], high[meets] = enclose(target, lo[meets - start], hi[meets - start])
    if not kept.any():
        raise InvalidDomain("the conditions leave nothing of the domain")
    return CellRanges(low, high, kept)


def _ends(box: Box, counts: Sequence[int], cells: np.ndarray) -> tuple[FloatArray, FloatArray]:
    """Lower and upper ends of the cells, (cells, m), outward by more than the rounding but never out of the box."""
    lo, hi = (ends[0] for ends in box_ends(box))
    side = (hi - lo) / np.array(counts)
    slip = 1e-9 * side + 4 * np.spacing(np.maximum(np.abs(lo), np.abs(hi)))
    index = np.stack(np.unravel_index(cells, tuple(counts)), axis=1)
    return np.maximum(lo + index * side - slip, lo), np.minimum(lo + (index + 1) * side + slip, hi)


def block_bound(
    target: Target,
    box: Box,
    claim: LpError,
    offsets: Offsets,
    deadline: Deadline,
    conditions: Sequence[Condition] = (),
    rival: int | None = None,
) -> BlockBound:
    """The coarsest grid found that gives the tolerance a priori, with fewer cells than the rival has if there is one.

    Raises TooLarge when that takes more than MAX_NUMBERS cells, InvalidTarget when a singularity cannot be split off;
    OutOfTime.
    """
    problem = _Problem(target, box, claim, offsets, deadline, conditions)
    most = MAX_NUMBERS // len(target.outputs)
    best: _Fit | None = None
    for shape in _shapes(target, box):
        rivals = [rival, best and math.prod(best.counts)]
        limit = min([most, *(cells - 1 for cells in rivals if cells)])
        best = problem.coarsest(shape, limit) or best
    if best is None:
        raise TooLarge(f"the explicit L_p bound asks for more than {most:,} cells")
    return problem.bound(best)


def _shapes(target: Target, box: Box) -> Iterator[FloatArray]:
    """Cells for each side, up to a common factor: spacings in inverse proportion to the slopes, and cubes."""
    sides = np.array([float(hi - lo) for lo, hi in box.sides])
    with np.errstate(all="ignore"):
        steep = sides * sampled_slopes(target, box)
    cubic = sides / sides.max()
    if len(sides) > 1 and np.all(np.isfinite(steep)) and np.max(steep) > 0:
        steep = steep / steep.max()
        if np.max(np.abs(np.log(steep / cubic))) > 0.2:
            yield steep
    yield cubic


@dataclass(frozen=True)
class _Fit:
    """A grid that is fine enough: its tokens in one column, the largest value, and whether there was a singularity."""

    counts: tuple[int, ...]
    cells: int
    sup: float
    singular: bool


@dataclass(frozen=True)
class _Problem:
    """The target, where, and how well. Errors are in parts of the tolerance, volumes in parts of the box."""

    target: Target
    box: Box
    claim: LpError
    offsets: Offsets
    deadline: Deadline
    conditions: Sequence[Condition]

    @property
    def goal(self) -> float:
        """What the tolerance leaves to the grid."""
        shares = 1 if self.target.shape[1] == 1 else 2
        return float(1 - shares * SHARE) * (1 - 1e-6)

    @property
    def log_volume(self) -> float:
        """The logarithm of the volume of the box, divided by p."""
        volume = math.prod((hi - lo for lo, hi in self.box.sides), start=Fraction(1))
        return (math.log(volume.numerator) - math.log(volume.denominator)) / float(self.claim.power)

    @property
    def log_tolerance(self) -> float:
        """The logarithm of the tolerance."""
        return math.log(self.claim.tolerance.numerator) - math.log(self.claim.tolerance.denominator)

    def coarsest(self, shape: FloatArray, most: int) -> _Fit | None:
        """The coarsest grid of that shape that fits, of at most so many cells: by doubling, then bisection."""

        def grid(scale: float) -> tuple[int, ...]:
            return tuple(max(1, math.ceil(share * scale)) for share in shape.tolist())

        low, high, found = 0.0, START, None
        while found is None:
            if math.prod(grid(high)) > most:
                return None
            found = self.fit_near(grid(high), most)
            if found is None:
                low, high = high, high * 2 ** (1 / len(shape))
        while high - low > 1e-4 * high and math.prod(grid(high)) > _FEWER * math.prod(grid(low)):
            middle = 0.5 * (low + high)
            better = self.fit_near(grid(middle), most)
            low, high, found = (middle, high, found) if better is None else (low, middle, better)
        return found

    def fit_near(self, counts: tuple[int, ...], most: int) -> _Fit | None:
        """The grid if it fits, else that with a cell more on each cut axis: jumps may lie on the faces of one."""
        more = tuple(count + (count > 1) for count in counts)
        return self.fit(counts) or (self.fit(more) if math.prod(more) <= most else None)

    @np.errstate(all="ignore")
    def fit(self, counts: tuple[int, ...]) -> _Fit | None:
        """What is known of the grid if its blocks leave the goal, else None."""
        ranges = cell_ranges(self.target, self.box, counts, self.conditions, self.deadline)
        tensor = (*counts, -1)
        low = -_block_max(-ranges.low.reshape(tensor), counts).reshape(ranges.low.shape)
        high = _block_max(ranges.high.reshape(tensor), counts).reshape(ranges.high.shape)
        heights = np.where(ranges.kept[:, None], high - low, 0.0)
        wild = ~np.isfinite(heights)
        power = float(self.claim.power)
        total = float(np.sum(self._scaled(np.where(wild, 0.0, heights)) ** power)) / math.prod(counts)
        if not self._norm(total) <= self.goal:
            return None
        sizes = np.where(ranges.finite, np.maximum(-ranges.low, ranges.high), 0.0)
        for entry in np.flatnonzero(wild.any(axis=0)).tolist():
            unbounded = np.flatnonzero(ranges.kept & ~ranges.finite[:, entry])
            sizes[unbounded, entry] = np.abs(self._means(counts, unbounded)[:, entry])
            near = _block_max(sizes[:, entry].reshape(tensor), counts).ravel()[wild[:, entry]]
            head = self._norm(float(np.sum(self._scaled(near) ** power)) / math.prod(counts))
            total += self._mean(head + self._tail(counts, wild[:, entry], entry))
            if not self._norm(total) <= self.goal:
                return None
        return _Fit(counts, int(ranges.kept.sum()), float(sizes.max()), bool(wild.any()))

    def bound(self, fit: _Fit) -> BlockBound:
        """The inverse temperature and the gate for a grid that fits."""
        columns, entries = self.target.shape[1], len(self.target.outputs)
        # The logarithm of (e vol)^(1/p) 2 sup|f| over the share.
        log = math.log(2 * max(fit.sup, 1e-300) / float(SHARE)) - self.log_tolerance + self.log_volume
        log += math.log(entries) / float(self.claim.power)
        sharpness = Fraction(max(log + math.log(fit.cells), 1.0) / 2)
        sides = zip(self.box.sides, fit.counts, strict=True)
        betas = tuple(
            rounded_up(sharpness * count * count / ((hi - lo) * (hi - lo))) if count > 1 else Fraction(0)
            for (lo, hi), count in sides
        )
        gate = rounded_up(Fraction(max(log + math.log(columns - 1), 1.0))) if columns > 1 else Fraction(0)
        return BlockBound(fit.counts, betas, gate, fit.cells * columns, fit.sup, self.claim, fit.singular)

    def _scaled(self, values: FloatArray) -> FloatArray:
        """Values in parts of the tolerance."""
        return values / float(self.claim.tolerance)

    def _norm(self, mean: float) -> float:
        """The L_p norm, in parts of the tolerance, from the mean of the p-th powers over the box."""
        return float(np.exp(np.log(mean) / float(self.claim.power) + self.log_volume))

    def _mean(self, norm: float) -> float:
        """The mean of the p-th powers over the box from the norm."""
        return float(np.exp((np.log(norm) - self.log_volume) * float(self.claim.power)))

    def _means(self, counts: tuple[int, ...], cells: np.ndarray) -> FloatArray:
        """The values that the head has on those cells, (cells, entries)."""
        lo, hi = _ends(self.box, counts, cells)
        mesh = np.meshgrid(*(places + 0.5 for places in self.offsets(counts)), indexing="ij")
        places = np.stack([axis.ravel() for axis in mesh], axis=1)
        if len(cells) * len(places) > MAX_NUMBERS:
            raise InvalidTarget(_UNBOUNDED)
        points = (lo[:, None] + places * (hi - lo)[:, None]).reshape(-1, len(counts))
        values = evaluate_float(self.target, points)
        values[~(np.isfinite(values) & estimate_inside(self.conditions, points)[:, None])] = np.nan
        cut = values.reshape(len(cells), len(places), -1)
        known = np.isfinite(cut)
        means: FloatArray = np.where(known, cut, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        return means

    def _tail(self, counts: tuple[int, ...], wild: BoolArray, entry: int) -> float:
        """The L_p norm of one entry of the target over those cells, by quadrature."""
        lo, hi = _ends(self.box, counts, np.flatnonzero(wild))
        return self._norm(_Quadrature(self, entry).mean(lo, hi))


_UNBOUNDED = "the target is singular on too large a set, or undefined in part of the domain"

_LEVELS = 24  # halvings toward a singularity, for each axis
_WINDOW = 4  # halvings, for each axis, over which the shrinking of the pieces is measured
_DEPTH = 6  # halvings of a piece on which the target is bounded, for each axis
_MAX_PIECES = 1 << 13


@dataclass(frozen=True)
class _Quadrature:
    """The mean over the box of (|f| / tolerance)^p on some boxes, f unbounded: dyadic pieces toward the singularity.

    Each halving sets pieces free on which f is bounded; their sums shrink like a geometric series, whose rest is added.
    """

    problem: _Problem
    entry: int

    def mean(self, lo: FloatArray, hi: FloatArray) -> float:
        """The mean; raises InvalidTarget where the pieces do not shrink."""
        m = lo.shape[1]
        start, window = float(np.sum(self._volume(lo, hi))), _WINDOW * m
        bounded, lo, hi = self._sorted(lo, hi)
        sums = [self._bounded(*bounded)]
        while len(lo) and len(sums) <= _LEVELS * m and len(lo) < _MAX_PIECES:
            self.problem.deadline.check()
            bounded, lo, hi = self._sorted(*self._halved(lo, hi))
            sums.append(self._bounded(*bounded))
        if not len(lo):
            return sum(sums)
        last, before = sum(sums[-window:]), sum(sums[-2 * window : -window])
        ratio = last / before if before > 0 else math.inf
        if len(sums) < 2 * window or not (ratio < 0.98 and float(np.sum(self._volume(lo, hi))) < start / 8):
            raise InvalidTarget(_UNBOUNDED)
        return sum(sums) + last * ratio / (1 - ratio)

    def _powers(self, lo: FloatArray, hi: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Bounds of (|f| / tolerance)^p over boxes; inf where there is none, 0 outside the domain."""
        low, high = (ends[:, self.entry] for ends in enclose(self.problem.target, lo, hi))
        power = float(self.problem.claim.power)
        largest = self.problem._scaled(np.maximum(-low, high)) ** power
        least = self.problem._scaled(np.maximum(np.maximum(low, -high), 0.0)) ** power
        largest = np.where(np.isnan(largest), np.inf, largest)
        if self.problem.conditions:
            outside = classify(self.problem.conditions, lo, hi)[1]
            least, largest = np.where(outside, 0.0, least), np.where(outside, 0.0, largest)
        return least, largest

    def _sorted(self, lo: FloatArray, hi: FloatArray) -> tuple[tuple[FloatArray, FloatArray], FloatArray, FloatArray]:
        """The boxes on which f is bounded, and the ends of the others."""
        bounded = np.isfinite(self._powers(lo, hi)[1])
        return (lo[bounded], hi[bounded]), lo[~bounded], hi[~bounded]

    def _bounded(self, lo: FloatArray, hi: FloatArray) -> float:
        """The sum over boxes on which f is bounded, from above, halving those on which it varies much."""
        total = 0.0
        for depth in range(_DEPTH * lo.shape[1] + 1):
            least, largest = self._powers(lo, hi)
            pieces = largest * self._volume(lo, hi)
            done = (largest <= 1.1 * least) | (pieces <= 0.05 * (total + np.sum(pieces)) / max(1, len(pieces)))
            if depth == _DEPTH * lo.shape[1] or np.sum(~done) > 8 * _MAX_PIECES:
                done[:] = True
            total += float(np.sum(pieces[done]))
            if done.all():
                break
            lo, hi = self._halved(lo[~done], hi[~done])
        return total

    def _volume(self, lo: FloatArray, hi: FloatArray) -> FloatArray:
        """The volumes, in parts of the box."""
        sides = np.array([float(hi - lo) for lo, hi in self.problem.box.sides])
        volumes: FloatArray = np.prod((hi - lo) / sides, axis=1)
        return volumes

    def _halved(self, lo: FloatArray, hi: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Halve each box along the axis that tells most of f, where that is a draw along the relatively longest."""
        sides = np.array([float(hi - lo) for lo, hi in self.problem.box.sides])
        middle = 0.5 * (lo + hi)
        scores = np.zeros((len(lo), lo.shape[1], 2))
        for k in range(lo.shape[1] if lo.shape[1] > 1 else 0):
            for ends in _halves(lo, hi, middle, np.full(len(lo), k)):
                largest = self._powers(*ends)[1]
                scores[:, k, 0] += np.isinf(largest)
                scores[:, k, 1] += np.where(np.isinf(largest), 0.0, largest)
        fewest = scores[:, :, 0] == scores[:, :, 0].min(axis=1, keepdims=True)
        # Among the axes that set most halves free, those where the sum is least; then the longest.
        sums = np.where(fewest, scores[:, :, 1], np.inf)
        ties = fewest & (sums <= 1.000001 * sums.min(axis=1, keepdims=True))
        axis = np.argmax(np.where(ties, (hi - lo) / sides, -1.0), axis=1)
        (a, b), (c, d) = _halves(lo, hi, middle, axis)
        return np.concatenate([a, c]), np.concatenate([b, d])


def _halves(
    lo: FloatArray, hi: FloatArray, middle: FloatArray, axis: np.ndarray
) -> tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]:
    """The lower and the upper halves of the boxes, each along its own axis."""
    rows, upper, lower = np.arange(len(lo)), hi.copy(), lo.copy()
    upper[rows, axis] = middle[rows, axis]
    lower[rows, axis] = middle[rows, axis]
    return (lo, upper), (lower, hi)


def _block_max(tensor: FloatArray, counts: Sequence[int]) -> FloatArray:
    """The largest value in the block of up to 3^m cells around each; counts are the leading axes of the tensor."""
    for axis in range(len(counts)):
        tensor = np.moveaxis(tensor, axis, 0)
        wider = tensor.copy()
        np.maximum(wider[1:], tensor[:-1], out=wider[1:])
        np.maximum(wider[:-1], tensor[1:], out=wider[:-1])
        tensor = np.moveaxis(wider, 0, axis)
    return tensor
