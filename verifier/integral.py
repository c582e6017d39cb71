"""Branch and bound for L_p norms: lower and upper sums of |f - T|^p over a paving.

On a box B the head lies in its hull over the score box (hull.py), widened by the silent tokens' share W times the spread of
the values, and f in its enclosure; so |f - T| lies in [l, u] there, and

    sum over B inside D of vol(B) l^p   <=   integral over D of |f - T|^p   <=   sum over B not outside D of vol(B) u^p.

A box that touches an integrable singularity of f, where f = alpha A + gamma with A = |x_k - s|^(-q) or log|x_k - s|, adds at
most 2^(p-1) (sup|alpha|^p integral of A^p + sup|gamma - T|^p vol(B)), with the integral in closed form (singular.py).
Boxes are halved where the two sums differ most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from attncert.certificates.condition import Condition, classify
from attncert.certificates.deadline import NEVER, Deadline
from attncert.certificates.domain import Box
from attncert.certificates.enclosure import enclose
from attncert.certificates.interval import down, up
from attncert.certificates.target import Target
from attncert.verifier.boxes import Block, BoxSearch, select
from attncert.verifier.head import FloatArray, FloatHead
from attncert.verifier.hull import head_hull
from attncert.verifier.paving import Progress
from attncert.verifier.singular import SingularTarget
from attncert.verifier.tree import OUTSIDE, SINGULAR, SplitTree

POWER_ERROR = 2.0**-48
"""Relative error allowed to numpy's power: 32 units in the last place."""

SHARE = 0.5
"""In each round the boxes that make up this share of the gap between the sums are halved."""

ROUND_ENTRIES = 1 << 20
"""Tokens times boxes that one round examines at most."""


@dataclass(frozen=True)
class Integral:
    """Lower and upper sums for one output column: proved bounds on the integral of sum_r |f_r - T_r|^p; and the tree."""

    lower: float
    upper: float
    tree: SplitTree
    boxes: int
    finished: bool
    interrupted: bool


@dataclass(frozen=True)
class _Leaves:
    """Boxes with their parts of the lower and upper sums, (B,) each, and whether they are bounded as singular."""

    block: Block
    lower: FloatArray
    upper: FloatArray
    singular: FloatArray

    def take(self, places: np.ndarray[tuple[int], np.dtype[np.int64]]) -> _Leaves:
        places = np.sort(places)
        return _Leaves(select(self.block, places), self.lower[places], self.upper[places], self.singular[places])

    @staticmethod
    def join(parts: Sequence[_Leaves]) -> _Leaves:
        names = ("lower", "upper", "singular")
        arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
        return _Leaves(Block.join([part.block for part in parts]), *arrays)


class IntegralSearch(BoxSearch):
    """Bounds the integral of sum_r |f_r - T_r|^p over the domain, for the entries of one output column."""

    def __init__(
        self,
        target: Target,
        entries: Sequence[int],
        head: FloatHead,
        box: Box,
        *,
        power: Fraction,
        silence: int,
        conditions: Sequence[Condition] = (),
    ) -> None:
        """Set up a search as in BoxSearch; `power` is p >= 1."""
        super().__init__(target, entries, head, box, silence=silence, conditions=conditions)
        self.power = float(power)
        self.volume = up(float(math.prod(hi - lo for lo, hi in box.sides)))
        self.spread = up(head.value_max - head.value_min)
        self.singular = SingularTarget.of(target, box, power)

    def run(
        self,
        enough: Callable[[float, float], bool],
        *,
        deadline: Deadline = NEVER,
        max_boxes: int | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> Integral:
        """Refine until `enough(lower, upper)`, the deadline or the number of boxes; an interrupt ends it too.

        Rounding argument. Each part of the sums is rounded outward; sums of n parts are widened by n u times their size.
        """
        tree, boxes, interrupted = SplitTree(), 0, False
        leaves = self._bounded(self.root())
        lower, upper = self._sums(leaves)
        try:
            while not enough(lower, upper) and not deadline.passed() and boxes < (max_boxes or math.inf):
                chosen = self._widest(leaves)
                if not len(chosen):
                    break
                kept = np.ones(len(leaves.lower), np.bool_)
                kept[chosen] = False
                split = leaves.take(chosen)
                lo, hi = self.grid.ends(split.block)
                axes = self.split_axes(split.block, np.arange(len(chosen)), lo, hi, 0.5 * (lo + hi), hi - lo)
                if axes.min() < 0:
                    break
                children = self._bounded(self.children(split.block, axes, tree))
                boxes += len(children.lower)
                leaves = _Leaves.join([leaves.take(np.flatnonzero(kept)), children])
                lower, upper = self._sums(leaves)
                if progress is not None:
                    gap = (upper - lower) / upper if 0 < upper < math.inf else 1.0
                    progress(Progress(1 - gap, boxes, self.head.tokens))
        except KeyboardInterrupt:
            interrupted = True
        tree.mark(leaves.block.node[leaves.singular == 1], SINGULAR)
        tree.mark(leaves.block.node[leaves.singular == 2], OUTSIDE)
        return Integral(lower, upper, tree, boxes, enough(lower, upper), interrupted)

    def _sums(self, leaves: _Leaves) -> tuple[float, float]:
        n = len(leaves.lower)
        lower, upper = float(np.sum(leaves.lower)), float(np.sum(leaves.upper))
        return max(0.0, lower * (1 - 2.0**-52 * n) - 2.0**-1000), upper * (1 + 2.0**-52 * n) + 2.0**-1000

    def _widest(self, leaves: _Leaves) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The boxes with the largest gaps that make up SHARE of all; those without a bound first."""
        gap = leaves.upper - leaves.lower
        unbounded = np.flatnonzero(~np.isfinite(gap))
        if len(unbounded):
            order = unbounded
        else:
            order = np.argsort(-gap, kind="stable")
            total = np.cumsum(gap[order])
            order = order[: int(np.searchsorted(total, SHARE * total[-1])) + 1]
            order = order[gap[order] > 0]
        entries = np.cumsum(leaves.block.counts[order])
        return order[: max(1, int(np.searchsorted(entries, ROUND_ENTRIES)))]

    def _bounded(self, block: Block) -> _Leaves:
        """Both parts of the sums for each box."""
        with np.errstate(all="ignore"):
            lo, hi = self.grid.ends(block)
            inside, outside = classify(self.conditions, lo, hi)
            f_lo, f_hi = (ends[:, self.entries] for ends in enclose(self.target, lo, hi))
            centre = 0.5 * (lo + hi)
            radius = up(np.maximum(hi - centre, centre - lo))
            block, d_centre, d_radius, _ = self.activate(block, centre, radius)
            leak = up(block.dropped * self.leak)
            volume = up(self.volume * np.ldexp(1.0, -block.level.sum(axis=1)))
            lower, upper = np.zeros(len(lo)), np.zeros(len(lo))
            heads = []
            for r in range(len(self.entries)):
                t_lo, t_hi = head_hull(self.head.values[r, block.tokens], d_centre, d_radius, block.counts)
                slip = up(up(leak * self.spread[r]) + self.head.value_slack[r])
                t_lo, t_hi = down(t_lo - slip), up(t_hi + slip)
                heads.append((t_lo, t_hi))
                least = np.maximum(np.maximum(down(f_lo[:, r] - t_hi), down(t_lo - f_hi[:, r])), 0.0)
                most = np.maximum(up(f_hi[:, r] - t_lo), up(t_hi - f_lo[:, r]))
                lower += self._power(least, -1.0)
                upper += self._power(most, 1.0)
            lower *= volume * (1 - 2.0**-40) * inside
            upper *= volume * (1 + 2.0**-40)
            lower, upper = np.nan_to_num(lower, nan=0.0, posinf=0.0), np.nan_to_num(upper, nan=np.inf)
            kind = np.zeros(len(lo))
            if self.singular is not None:
                closed = self.singular.bound(lo, hi, block, heads, self.entries, self.power, volume)
                better = ~np.isfinite(upper) & np.isfinite(closed)
                upper[better], lower[better], kind[better] = closed[better], 0.0, 1
            upper[outside], lower[outside], kind[outside] = 0.0, 0.0, 2
            return _Leaves(replace(block), lower, upper, kind)

    def _power(self, x: FloatArray, sign: float) -> FloatArray:
        """x^p, moved up or down by the error allowed to numpy's power."""
        return np.asarray(x**self.power * (1 + sign * POWER_ERROR))
