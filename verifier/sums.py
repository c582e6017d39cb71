"""Branch and bound for sums of heads: T = sum_h T_h, each with a softmax of its own.

At order 0 each T_h is enclosed by itself, by the range of its weighted means over the score boxes of its tokens
(ranges.py), and taken off f. At order K the T_h = T0 + M1 / M0 (jensen.py) have the product of their M0 for a common
denominator, and the sign form is that of a single head: what f and the T_h have in common cancels.

A block holds the active tokens of all heads of a box in the order of the heads, numbered throughout: the tokens of head
h that are not there have been dropped, so the silent ones of head h weigh at most (N_h - active) 2^-k of its weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np

from attncert.certificates.condition import Condition, classify, estimate_inside
from attncert.certificates.domain import Box
from attncert.certificates.enclosure import enclose
from attncert.certificates.evaluate import evaluate_float
from attncert.certificates.interval import down, up
from attncert.certificates.target import Target
from attncert.certificates.taylor import UP, Model, models
from attncert.verifier.boxes import Block, BoolArray, BoxSearch, IntArray, select, starts_of
from attncert.verifier.head import FloatArray, SumHead
from attncert.verifier.jensen import expansions, least
from attncert.verifier.paving import STEEP, Examined, PavingSearch
from attncert.verifier.ranges import head_range

Active = tuple[BoxSearch, Block, FloatArray, FloatArray, FloatArray]
"""The search of a head, its block, and the centres, radii and tilts of its scores."""


class SumSearch(PavingSearch):
    """A search for a paving that proves |f - sum of T_h| <= bound for the entries of one output column."""

    def __init__(
        self,
        target: Target,
        entries: Sequence[int],
        head: SumHead,
        box: Box,
        *,
        bound: float,
        silence: int,
        conditions: Sequence[Condition] = (),
        order: int | None = None,
    ) -> None:
        """Set up a search as in PavingSearch."""
        super().__init__(target, entries, head, box, bound=bound, silence=silence, conditions=conditions, order=order)
        self.parts = [BoxSearch(None, (), part, box, silence=silence) for part in head.parts]
        self.starts = [0, *accumulate(part.tokens for part in head.parts)]

    def examine(self, block: Block) -> Examined:
        """Bound the error on every box of a block."""
        with np.errstate(all="ignore"):
            lo, hi = self.grid.ends(block)
            centre = 0.5 * (lo + hi)
            radius = up(np.maximum(hi - centre, centre - lo))
            block, actives = self._activated(block, centre, radius)
            low, high = self._ranges(lo, hi, centre, radius, actives)
            proved: BoolArray = np.all((high <= self.bound) & (low >= -self.bound), axis=1)
            outside = ~proved & classify(self.conditions, lo, hi)[1]
            proved |= outside
            expanded = np.zeros(len(proved), np.bool_)
            tilt = np.sum([tilts for *_, tilts in actives], axis=0)
            gentle = np.all([tilts.sum(axis=1) < STEEP for *_, tilts in actives], axis=0)
            live = np.flatnonzero(~proved & gentle)
            if self.order and len(live):
                expanded[live] = self._expanded(
                    np.repeat(live, 2) if len(live) == 1 else live, centre, radius, actives
                )[: len(live)]
                proved |= expanded
            rest = np.flatnonzero(~proved)
            worst, point, entry = self._worst(rest, centre, actives)
            axes = self.split_axes(block, rest, lo, hi, centre, tilt)
            volume = float(np.sum(np.ldexp(1.0, -block.level[proved].sum(axis=1))))
            nodes = block.node[outside], block.node[expanded], block.node[:0]
            return Examined(select(block, rest), axes, *nodes, volume, worst, point, entry)

    def _activated(self, block: Block, centre: FloatArray, radius: FloatArray) -> tuple[Block, list[Active]]:
        """Drop the silent tokens of each head; the block of all again, and the parts."""
        of = np.repeat(np.arange(len(block.counts)), block.counts)
        actives: list[Active] = []
        for h, search in enumerate(self.parts):
            own = (block.tokens >= self.starts[h]) & (block.tokens < self.starts[h + 1])
            counts = np.bincount(of[own], minlength=len(block.counts))
            tokens = block.tokens[own] - np.int32(self.starts[h])
            part = replace(block, tokens=tokens, counts=counts, dropped=search.head.tokens - counts)
            actives.append((search, *search.activate(part, centre, radius)))
        boxes = np.concatenate([np.repeat(np.arange(len(part.counts)), part.counts) for _, part, *_ in actives])
        tokens = np.concatenate(
            [part.tokens + np.int32(start) for start, (_, part, *_) in zip(self.starts, actives, strict=False)]
        )
        counts = np.sum([part.counts for _, part, *_ in actives], axis=0)
        dropped = self.head.tokens - counts
        tokens = tokens[np.argsort(boxes, kind="stable")]
        return replace(block, tokens=tokens, counts=counts, dropped=dropped), actives

    def _ranges(
        self, lo: FloatArray, hi: FloatArray, centre: FloatArray, radius: FloatArray, actives: Sequence[Active]
    ) -> tuple[FloatArray, FloatArray]:
        """Bounds on f - sum of T_h over the boxes, (B, entries) each; rounded outward at each step, NaN spreads."""
        low, high = (ends[:, self.entries].copy() for ends in enclose(self.target, lo, hi))
        for search, part, d_centre, d_radius, _ in actives:
            for r in range(len(self.entries)):
                t_lo, t_hi = head_range(search, r, part, centre, radius, d_centre, d_radius)
                low[:, r], high[:, r] = down(low[:, r] - t_hi), up(high[:, r] - t_lo)
        return low, high

    def _expanded(self, live: IntArray, centre: FloatArray, radius: FloatArray, actives: Sequence[Active]) -> BoolArray:
        """Tell on which of the boxes `live` the models of the heads prove the bound.

        f - sum of T_h = N / D with D the product of the M0 of the heads, in turn N -> (N - T0 D) M0 - M1 D, D -> D M0;
        e D +- N >= 0 is what is proved, e being the bound less what silent tokens may move the T_h.

        Rounding argument. Models keep their own. The coefficients of e D +- N are rounded twice more, and at most A +
        2 m times in `least`, A their number: 2^-44 of the sum of their sizes is far more. NaN fails.
        """
        f = models(self.target, centre[live], radius[live], self.order)
        rows, m, order = range(len(self.entries)), centre.shape[1], self.order
        terms = math.comb(m + order, order)
        D, numerators = Model(np.ones((1, 1)), np.zeros(1), m, order, 0), [f[entry] for entry in self.entries]
        bounds = np.full((len(rows), len(live)), self.bound)
        for search, block, d_centre, _, _ in actives:
            moments = np.full((1 + len(rows), terms, len(live)), np.nan)
            remainders = np.full((1 + len(rows), len(live)), np.nan)
            near = np.zeros((len(rows), 1 + m, len(live)))
            for part, zeroth, firsts, middle in expansions(
                search.head, rows, block, live, d_centre, centre, radius, order
            ):
                for n, model in enumerate([zeroth, *firsts]):
                    moments[n][:, part], remainders[n][part] = model.padded(order), model.remainder
                near[:, : middle.shape[1], part] = middle
            M0, *M1 = (Model(*pair, m, order, order) for pair in zip(moments, remainders, strict=True))
            leak = up(block.dropped[live] * self.leak)
            for r, N in enumerate(numerators):
                T0 = Model(near[r], np.zeros(len(live)), m, order, 1)
                numerators[r] = (N - D * T0) * M0 - D * M1[r]
                bounds[r] = down(bounds[r] - up(leak * up(search.head.value_max[r] - search.head.value_min[r])))
            D = D * M0
        passed = np.ones(len(live), np.bool_)
        for bound, N in zip(bounds, numerators, strict=True):
            scaled, polynomial = bound * D.padded(order), N.padded(order)
            size = np.abs(scaled).sum(axis=0) + np.abs(polynomial).sum(axis=0)
            rest = (bound * D.remainder + N.remainder + 2.0**-44 * size) * UP
            passed &= bound >= 0
            for sign in (1.0, -1.0):
                passed &= least(scaled + sign * polynomial, m, order) - rest >= 0
        return passed

    def _worst(
        self, boxes: IntArray, centre: FloatArray, actives: Sequence[Active]
    ) -> tuple[float, tuple[float, ...] | None, int]:
        """The largest error at the centres of the given boxes (a float64 estimate), the point and the entry."""
        if not len(boxes):
            return 0.0, None, self.entries[0]
        errors = evaluate_float(self.target, centre)[:, self.entries]
        for search, part, d_centre, *_ in actives:
            starts, weight = starts_of(part.counts), np.exp(d_centre)
            total = np.add.reduceat(weight, starts)
            place = centre[np.repeat(np.arange(len(part.counts)), part.counts)]
            for r in range(len(self.entries)):
                values = search.head.values_at(r, part.tokens, place)
                errors[:, r] -= np.add.reduceat(weight * values, starts) / total
        errors = np.abs(errors[boxes])
        errors[np.isnan(errors) | ~estimate_inside(self.conditions, centre[boxes])[:, None]] = 0.0
        b, r = divmod(int(np.argmax(errors)), errors.shape[1])
        return float(errors[b, r]), tuple(centre[boxes[b]].tolist()), self.entries[r]

    def _crude_bound(self, block: Block) -> float:
        """A bound on the error over the boxes, by the ranges of the heads."""
        with np.errstate(all="ignore"):
            lo, hi = self.grid.ends(block)
            block = select(block, np.flatnonzero(~classify(self.conditions, lo, hi)[1]))
            if not len(block.node):
                return 0.0
            lo, hi = self.grid.ends(block)
            centre = 0.5 * (lo + hi)
            radius = up(np.maximum(hi - centre, centre - lo))
            low, high = self._ranges(lo, hi, centre, radius, self._activated(block, centre, radius)[1])
            worst = np.max(np.maximum(high, -low))
            return float(worst) if not np.isnan(worst) else math.inf
