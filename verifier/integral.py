"""Branch and bound for L_p norms: lower and upper sums of |f - T|^p over a paving.

On a box B the head lies in its hull over the score box (hull.py), widened by the silent tokens' share W times the
spread of the values, and f in its enclosure; so |f - T| lies in [l, u] there, and

    sum over B inside D of vol(B) l^p  <=  integral over D of |f - T|^p  <=  sum over B not outside D of vol(B) u^p.

A box that touches an integrable singularity of f, where f = alpha A + gamma with A = |x_k - s|^(-q) or log|x_k - s|,
adds at most 2^(p-1) (sup|alpha|^p integral of A^p + sup|gamma - T|^p vol(B)), with the integral in closed form
(singular.py).
Boxes are halved where the two sums differ most.

Everything is measured in units of a scale (the tolerance), so that large powers neither overflow nor underflow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from attncert.certificates.condition import Condition, classify
from attncert.certificates.domain import Box
from attncert.certificates.enclosure import enclose
from attncert.certificates.interval import down, up
from attncert.certificates.numbers import float_down, float_up
from attncert.certificates.target import Target
from attncert.certificates.taylor import models
from attncert.verifier.boxes import COPIES, MAX_LEVEL, Block, BoxSearch, IntArray, select
from attncert.verifier.head import FloatArray, FloatHead
from attncert.verifier.jensen import error_model, expansions, power_mean
from attncert.verifier.powers import TINY, scaled_power
from attncert.verifier.ranges import head_range
from attncert.verifier.singular import SingularTarget
from attncert.verifier.tree import OUTSIDE, SINGULAR, SplitTree, taylor

SHARE = 0.5
"""In each round the boxes that make up this share of the gap between the sums are halved."""

ROUND_ENTRIES = 1 << 20
"""Tokens times boxes that one round examines at most."""

ORDINARY, CLOSED, EXCLUDED, EXPANDED = 0, 1, 2, 3
"""How a box is bounded: by enclosures, by the closed form of a singularity, as outside the domain, or by expansion."""

ORDERS = {1: 4, 2: 4, 3: 4}
"""Orders of the Taylor models of the error, by dimension."""

STEEP = 8.0
"""Boxes over which scores vary by more than this are not worth an expansion."""


@dataclass(frozen=True)
class _Leaves:
    """Boxes with their parts of the lower and upper sums, (B,) each, how each is bounded, and the tilt (B, m) of the
    scores along the axes.
    """

    block: Block
    lower: FloatArray
    upper: FloatArray
    kind: IntArray
    tilt: FloatArray

    def take(self, places: IntArray) -> _Leaves:
        """The leaves at the given ascending places."""
        return _Leaves(
            select(self.block, places), self.lower[places], self.upper[places], self.kind[places], self.tilt[places]
        )

    @staticmethod
    def join(parts: Sequence[_Leaves]) -> _Leaves:
        """The leaves of all."""
        names = ("lower", "upper", "kind", "tilt")
        arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
        return _Leaves(Block.join([part.block for part in parts]), *arrays)


class IntegralSearch(BoxSearch):
    """Bounds on the integral of sum_r (|f_r - T_r| / scale)^p over the domain, for the entries of one output column.

    `lower` and `upper` hold them, as of the last refinement; `boxes` counts the boxes examined.
    """

    target: Target

    def __init__(
        self,
        target: Target,
        entries: Sequence[int],
        head: FloatHead,
        box: Box,
        *,
        power: Fraction,
        scale: float,
        silence: int,
        conditions: Sequence[Condition] = (),
    ) -> None:
        """Set up a search as in BoxSearch; `power` is p >= 1. Starts with bounds over the whole box."""
        super().__init__(target, entries, head, box, silence=silence, conditions=conditions)
        self.exact_power, self.power, self.scale = power, float(power), scale
        volume = math.prod((hi - lo for lo, hi in box.sides), start=Fraction(1))
        self.volume_low, self.volume_high = float_down(volume), float_up(volume)
        self.spread = up(head.value_max - head.value_min)
        self.singular = SingularTarget.of(target, box, power)
        self.order = ORDERS.get(box.dimension, 2)
        self.tree = SplitTree()
        self.leaves = self._bounded(self.root())
        self.boxes = 1
        self.lower, self.upper = self._sums()

    def refine(self) -> bool:
        """Halve the boxes where the sums differ most; false when there is none that could be halved."""
        chosen = self._widest()
        if not len(chosen):
            return False
        split = self.leaves.take(chosen)
        with np.errstate(all="ignore"):
            lo, hi = self.grid.ends(split.block)
            axes = self.split_axes(split.block, np.arange(len(chosen)), lo, hi, 0.5 * (lo + hi), split.tilt)
        children = self._bounded(self.children(split.block, axes, self.tree))
        kept = np.ones(len(self.leaves.lower), np.bool_)
        kept[chosen] = False
        self.leaves = _Leaves.join([self.leaves.take(np.flatnonzero(kept)), children])
        self.boxes += len(children.lower)
        self.lower, self.upper = self._sums()
        return True

    @property
    def nbytes(self) -> int:
        """Bytes of the leaves, which are copied while some are replaced, and of the tree."""
        leaves = self.leaves
        numbers = leaves.lower.nbytes + leaves.upper.nbytes + leaves.kind.nbytes + leaves.tilt.nbytes
        return COPIES * (leaves.block.nbytes + numbers) + self.tree.nbytes

    def preorder(self) -> str:
        """The tree, with the marks of its leaves."""
        self.tree.mark(self.leaves.block.node[self.leaves.kind == CLOSED], SINGULAR)
        self.tree.mark(self.leaves.block.node[self.leaves.kind == EXCLUDED], OUTSIDE)
        self.tree.mark(self.leaves.block.node[self.leaves.kind == EXPANDED], taylor(self.order))
        return self.tree.preorder()

    def _sums(self) -> tuple[float, float]:
        """Rounding argument. A sum of n nonnegative parts errs by at most n u relative to it, in any order; it moves
        by twice that, and by 2^-1000 for underflow.
        """
        n = len(self.leaves.lower)
        lower, upper = float(np.sum(self.leaves.lower)), float(np.sum(self.leaves.upper))
        return max(0.0, lower * (1 - 2.0**-52 * (n + 4)) - 2.0**-1000), upper * (1 + 2.0**-52 * (n + 4)) + 2.0**-1000

    def _widest(self) -> IntArray:
        """The boxes with the largest gaps that make up SHARE of all; those without a bound first. Ascending places."""
        leaves = self.leaves
        allowed = np.any(self.grid.splittable & (leaves.block.level < MAX_LEVEL), axis=1)
        with np.errstate(invalid="ignore"):
            gap = np.where(allowed, leaves.upper - leaves.lower, 0.0)
        order = np.flatnonzero(~np.isfinite(gap))
        if not len(order):
            order = np.argsort(-gap, kind="stable")
            total = np.cumsum(gap[order])
            order = order[: int(np.searchsorted(total, SHARE * total[-1])) + 1]
            order = order[gap[order] > 0]
        entries = np.cumsum(leaves.block.counts[order])
        return np.sort(order[: max(1, int(np.searchsorted(entries, ROUND_ENTRIES)))])

    def _bounded(self, block: Block) -> _Leaves:
        """Both parts of the sums for each box.

        Rounding argument. Differences move outward one unit each; powers as in `scaled_power`. A sum over fewer than
        2^12 entries and the products with the volume, itself within 2^-52, err by less than a relative 2^-40. Volumes
        below TINY count as 0 in the lower sum, and as at least the least normal number in the upper. NaN becomes 0
        below and infinity above.
        """
        with np.errstate(all="ignore"):
            lo, hi = self.grid.ends(block)
            inside, outside = classify(self.conditions, lo, hi)
            f_lo, f_hi = (ends[:, self.entries] for ends in enclose(self.target, lo, hi))
            centre = 0.5 * (lo + hi)
            radius = up(np.maximum(hi - centre, centre - lo))
            block, d_centre, d_radius, tilt = self.activate(block, centre, radius)
            part = np.ldexp(1.0, -block.level.sum(axis=1))
            volume = self.volume_high * part * (1 + 2.0**-40) + 2.0**-1022
            heads = [head_range(self, r, block, centre, radius, d_centre, d_radius) for r in range(len(self.entries))]
            lower, parts = np.zeros(len(lo)), np.zeros((len(lo), len(self.entries)))
            for r, (t_lo, t_hi) in enumerate(heads):
                least = np.maximum(np.maximum(down(f_lo[:, r] - t_hi), down(t_lo - f_hi[:, r])), 0.0)
                most = np.maximum(np.maximum(up(f_hi[:, r] - t_lo), up(t_hi - f_lo[:, r])), 0.0)
                lower += scaled_power(least / self.scale, self.power, -1)
                parts[:, r] = scaled_power(most / self.scale, self.power, 1) * volume
            small = self.volume_low * part
            lower *= np.where(inside & (small > TINY), small * (1 - 2.0**-40), 0.0)
            kind = np.zeros(len(lo), np.int64)
            if self.singular is not None:
                kind = self._close(lo, hi, parts, heads, volume)
                lower[kind == CLOSED] = 0.0
            upper = parts.sum(axis=1) * (1 + 2.0**-40)
            lower = np.where(np.isfinite(lower), lower, 0.0)
            upper = np.where(np.isnan(upper), np.inf, upper)
            live = np.flatnonzero((kind == ORDINARY) & ~outside & (tilt.sum(axis=1) < STEEP) & (upper > lower))
            if len(live):
                least, most = self._expanded(block, live, centre, radius, d_centre, small, volume)
                least = np.where(inside[live], least, 0.0)
                better = most - least < upper[live] - lower[live]
                chosen = live[better]
                lower[chosen], upper[chosen], kind[chosen] = least[better], most[better], EXPANDED
            upper[outside], lower[outside], kind[outside] = 0.0, 0.0, EXCLUDED
            return _Leaves(block, lower, upper, kind, tilt)

    def _expanded(
        self,
        block: Block,
        live: IntArray,
        centre: FloatArray,
        radius: FloatArray,
        d_centre: FloatArray,
        small: FloatArray,
        volume: FloatArray,
    ) -> tuple[FloatArray, FloatArray]:
        """Both parts of the sums for the boxes `live`, by the integral of a Taylor model of |f - T|^p; (live,) each.

        Rounding argument. The model holds on c +- r, which encloses the box and may be larger by a factor of at most
        `growth`: the integral over the larger set bounds that over the box from above, and is more than it by at most
        (growth - 1) vol(B) sup |f - T|^p. The silent tokens move T by at most their share of the spread of the values,
        part of the remainder. Means over fewer than 2^12 entries and the products with the volume err by less than a
        relative 2^-40, as in `_bounded`; powers by less than 2^-30.
        """
        half = np.ldexp(self.grid.width * (1 - 2.0**-50), -block.level[live] - 1)
        growth = np.prod(np.where(half > 0, radius[live] / half, np.inf), axis=1) * (1 + 2.0**-40)
        lower, upper = np.zeros(len(live)), np.full(len(live), np.inf)
        f = models(self.target, centre[live], radius[live], self.order)
        rows = range(len(self.entries))
        expanded = expansions(self.head, rows, block, live, d_centre, centre, radius, self.order)
        for part, zeroth, firsts, middle in expanded:
            least, most = np.zeros(len(part)), np.zeros(len(part))
            leak = block.dropped[live[part]] * self.leak
            for r, entry in enumerate(self.entries):
                error = error_model(zeroth, firsts[r], middle[r], f[entry].of_boxes(part))
                error = error.widened(up(leak * self.spread[r])).scaled(1 / self.scale)
                low, high = power_mean(error, self.exact_power)
                outside = (growth[part] - 1) * error.size() ** self.power * (1 + 2.0**-30)
                least += np.maximum(low - outside, 0.0)
                most += high * growth[part]
            lower[part], upper[part] = least, most
        part_low, part_high = small[live], volume[live]
        lower *= np.where(part_low > TINY, part_low * (1 - 2.0**-40), 0.0)
        upper *= part_high * (1 + 2.0**-40)
        return np.where(np.isfinite(lower), lower, 0.0), np.where(np.isnan(upper), np.inf, upper)

    def _close(
        self,
        lo: FloatArray,
        hi: FloatArray,
        parts: FloatArray,
        heads: Sequence[tuple[FloatArray, FloatArray]],
        volume: FloatArray,
    ) -> IntArray:
        """Replace the unbounded parts (B, entries) of boxes at a singularity by the closed form; return the kinds."""
        assert self.singular is not None
        kind = np.zeros(len(lo), np.int64)
        boxes = np.flatnonzero(~np.isfinite(parts).all(axis=1))
        for b in boxes.tolist():
            ends = tuple(zip(lo[b].tolist(), hi[b].tolist(), strict=True))
            closed = parts[b].copy()
            for r in np.flatnonzero(~np.isfinite(parts[b])).tolist():
                head = float(heads[r][0][b]), float(heads[r][1][b])
                closed[r] = self.singular.bound(self.entries[r], ends, head, self.scale, float(volume[b]))
            if np.isfinite(closed).all():
                parts[b], kind[b] = closed, CLOSED
        return kind
