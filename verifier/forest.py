"""Branch and bound over the bounding boxes of enlarged regions, all tokens of an output column at once.

A box needs no further work where its token is silent beside the best of its rivals, where the target is proved to be
within delta of the token's value, or outside the domain. Rivals that a box needs, and does not have, are reported.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt

from attncert.certificates.condition import Condition, classify, estimate_inside
from attncert.certificates.deadline import Deadline
from attncert.certificates.domain import Box
from attncert.certificates.enclosure import enclose
from attncert.certificates.evaluate import evaluate_float
from attncert.certificates.interval import down, up
from attncert.certificates.numbers import float_up
from attncert.certificates.target import Target
from attncert.verifier.boxes import Block, BoxSearch, Grid, IntArray, select, starts_of
from attncert.verifier.head import FloatArray, FloatHead
from attncert.verifier.tree import OUTSIDE, SplitTree

MARGIN = 2.0**-26
"""Relative part of delta and kappa that is left to the checker, whose rounding differs."""

WORK = 1 << 22
"""Boxes times tokens whose scores are computed at once."""


@dataclass(frozen=True)
class Forest:
    """How a search ended. `trees` in preorder, one for each root, where it is complete; `rivals` are pairs of a root
    and a token that is better by kappa somewhere in it, to be taken in before another search; `failed` names the root
    that holds a point at which the target is too far from the value, or a box too small to be split.
    """

    status: Literal["proved", "rivals", "failed", "stopped"]
    boxes: int
    trees: tuple[str, ...] = ()
    rivals: frozenset[tuple[int, int]] = frozenset()
    failed: int = -1


class _Roots:
    """Boxes of several roots in float64: the fields of a `Grid` for each root, (roots, m)."""

    def __init__(self, boxes: Sequence[Box]) -> None:
        grids = [Grid(box) for box in boxes]
        self.fields = {name: np.stack([getattr(grid, name) for grid in grids]) for name in vars(grids[0])}
        self.grid = grids[0]

    def ends(self, block: Block, root: IntArray) -> tuple[FloatArray, FloatArray]:
        """Lower and upper ends of boxes that belong to roots (B,), each (B, m)."""
        grid = copy.copy(self.grid)
        for name, field in self.fields.items():
            setattr(grid, name, field[root])
        return grid.ends(block)


class ForestSearch(BoxSearch):
    """A search for split trees of the bounding boxes of one output column's tokens."""

    target: Target

    def __init__(
        self,
        target: Target,
        entries: Sequence[int],
        head: FloatHead,
        box: Box,
        *,
        kappa: Fraction,
        delta: Fraction,
        conditions: Sequence[Condition] = (),
    ) -> None:
        """Set up a search as in BoxSearch; tokens are silent where they score kappa less than another."""
        super().__init__(target, entries, head, box, silence=1, conditions=conditions)
        self.kappa, self.delta = float(kappa), float(delta)
        self.tau = float_up(kappa) * (1 + MARGIN)

    def run(
        self,
        tokens: Sequence[int],
        rivals: Sequence[Sequence[int]],
        boxes: Sequence[Box],
        deadline: Deadline,
        max_boxes: int,
        complete: bool,
    ) -> Forest:
        """Search trees for the boxes of some tokens, each with its rivals.

        Stops at the first round that finds rivals unless the search is to be `complete` without them. Raises OutOfTime.
        """
        roots, own = _Roots(boxes), np.array(tokens)
        n, m = len(boxes), boxes[0].dimension
        tree, zeros, examined = SplitTree(n), np.zeros((n, m), np.int64), 0
        active = [np.array([i, *others], np.int32) for i, others in zip(tokens, rivals, strict=True)]
        counts = np.array([len(numbers) for numbers in active])
        block = Block(np.arange(n), zeros, zeros, np.zeros(n, np.int64), counts, np.concatenate(active))
        root = np.arange(n)
        while len(block.node):
            deadline.check()
            examined += len(block.node)
            if examined > max_boxes:
                return Forest("stopped", examined)
            with np.errstate(all="ignore"):
                lo, hi = roots.ends(block, root)
                rest, block, axes, centre = self._examine(block, own[root], lo, hi, tree)
                root = root[rest]
                missed, too_far = self._at_centres(own[root], centre)
            if too_far.any() or (len(axes) and axes.min() < 0):
                return Forest("failed", examined, failed=int(root[np.flatnonzero(too_far | (axes < 0))[0]]))
            known = [set(others) for others in rivals]
            new = {(r, k) for r, k in zip(root.tolist(), missed.tolist(), strict=True) if k >= 0 and k not in known[r]}
            if new and not complete:
                return Forest("rivals", examined, rivals=frozenset(new))
            block = self.children(block, axes, tree)
            root = np.concatenate([root, root])
        return Forest("proved", examined, tuple(tree.preorders()))

    def _examine(
        self, block: Block, own: IntArray, lo: FloatArray, hi: FloatArray, tree: SplitTree
    ) -> tuple[IntArray, Block, npt.NDArray[np.int8], FloatArray]:
        """The boxes left: their places, the block, where to split them, and their centres.

        Rounding: the enclosure of the target and the values are moved outward, and each difference rounded up.
        """
        f_lo, f_hi = (ends[:, self.entries] for ends in enclose(self.target, lo, hi))
        centre = 0.5 * (lo + hi)
        radius = up(np.maximum(hi - centre, centre - lo))
        block, _, _, tilt = self.activate(block, centre, radius)
        values, reach = self.head.all_values_at(own, centre), self.head.value_slack + self.head.reach_of(own, radius)
        miss = up(np.maximum(up(f_hi - down(values - reach)), up(up(values + reach) - f_lo)))
        silent = block.tokens[starts_of(block.counts)] != own
        proved = silent | np.all(miss <= self.delta * (1 - MARGIN), axis=1)
        outside = ~proved & classify(self.conditions, lo, hi)[1]
        tree.mark(block.node[outside], OUTSIDE)
        rest = np.flatnonzero(~(proved | outside))
        axes = self.split_axes(block, rest, lo, hi, centre, tilt)
        return rest, select(block, rest), axes, centre[rest]

    def _at_centres(self, own: IntArray, centre: FloatArray) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """For boxes (B,) of tokens the best token at the centre, if better by kappa, else -1; and whether the target is
        too far from the value there, with the token less than kappa behind: both are estimates.
        """
        best, lead = np.empty(len(own), np.int64), np.empty(len(own))
        step = max(1, WORK // self.head.tokens)
        for at in range(0, len(own), step):
            part = slice(at, at + step)
            score = centre[part] @ self.head.keys + self.head.biases
            rows = np.arange(len(score))
            best[part] = score.argmax(axis=1)
            lead[part] = score[rows, best[part]] - score[rows, own[part]]
        slack = self.head.score_slack + MARGIN * self.kappa
        values = self.head.all_values_at(own, centre)
        gap = np.abs(evaluate_float(self.target, centre)[:, self.entries] - values).max(axis=1)
        far = (gap > self.delta * (1 + MARGIN)) & (lead < self.kappa - slack)
        return np.where(lead > self.kappa + slack, best, -1), far & estimate_inside(self.conditions, centre)
