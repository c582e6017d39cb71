"""Branch and bound with the order-0 sign form: a paving of the domain by boxes on which the error is bounded.

For a box B, a reference token r (the best at the centre of B) and one output entry, write d_i = s_i - s_r and
g_i = f - v_i. Then |f - T| <= eps on B if, for both signs, sum_i (eps +- g_i) e^{d_i} >= 0 on B (the sign form). Over
the score box, d_i in [d_i-, d_i+] and f in [f-, f+], the least value is attained at f- (f+), at d_i- where the
coefficient is nonnegative and at d_i+ where it is negative.

A token with d_i <= -k ln 2 on B is silent: its softmax weight is at most 2^-k there, and on every box inside. After D
drops the silent tokens weigh w <= W = D 2^-k together, and |f - T| <= (1 - w) |f - T'| + w G for the head T' of the
active tokens, where |f - v_i| <= G: it is enough that |f - T'| <= eps - W G.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from attncert.certificates.condition import Condition, classify, estimate_inside
from attncert.certificates.deadline import NEVER, Deadline
from attncert.certificates.domain import Box
from attncert.certificates.enclosure import enclose
from attncert.certificates.evaluate import evaluate_float
from attncert.certificates.interval import down, up
from attncert.certificates.target import Target
from attncert.certificates.taylor import models
from attncert.verifier.boxes import (
    EXP_ERROR,
    Block,
    BoolArray,
    BoxSearch,
    Grid,
    IntArray,
    Progress,
    select,
    select_entries,
    similar,
    starts_of,
)
from attncert.verifier.head import UNIT, FloatArray, FloatHead
from attncert.verifier.jensen import holds, moments
from attncert.verifier.tree import OUTSIDE, SplitTree, taylor

__all__ = ["Block", "Grid", "PavingSearch", "Progress", "Search"]

BLOCK_ENTRIES = 1 << 18
"""Tokens times boxes that are bounded at once: enough to hide numpy's overhead, few enough to stay in cache."""

STEEP = 16.0
"""Boxes over which scores vary by more than this are not worth an expansion."""

FIRST_ENTRIES = 1 << 14
"""Tokens times boxes in the first round, at most."""

ORDERS = {1: 4, 2: 3, 3: 3}
"""Orders of the Taylor-Jensen rule by dimension."""

MARGIN = 2.0**-26
"""Relative part of the bound that is left to the checker, whose choices at ties may differ from those made here."""


@dataclass(frozen=True)
class Search:
    """How a search for a paving ended.

    status: `proved`; `violated` (the head misses the target by more than the bound at `worst_point`, by a float64
    estimate that is still to be proved); `stopped` (budget, number of boxes or an interrupt); `stuck` (a box at the
    resolution limit stays unproved). `worst` is the largest error estimate seen at a point, `worst_point` that point,
    exactly. `upper` bounds the error everywhere; it may be inf.
    """

    status: Literal["proved", "violated", "stopped", "stuck"]
    tree: SplitTree
    boxes: int
    worst: float
    worst_point: tuple[float, ...] | None
    worst_entry: int
    upper: float
    stuck_at: tuple[tuple[float, float], ...] | None = None
    interrupted: bool = False


@dataclass(frozen=True)
class Examined:
    """What examining a block found: the unproved boxes (with fewer tokens) and where to split them, the nodes of the
    boxes outside the domain and of those proved by expansion, and the worst centre.
    """

    rest: Block
    axes: npt.NDArray[np.int8]
    outside: IntArray
    expanded: IntArray
    proved_volume: float
    worst: float
    worst_point: tuple[float, ...] | None
    worst_entry: int


class PavingSearch(BoxSearch):
    """A search for a paving that proves |f - T| <= bound for the entries of one output column."""

    target: Target

    def __init__(
        self,
        target: Target,
        entries: Sequence[int],
        head: FloatHead,
        box: Box,
        *,
        bound: float,
        silence: int,
        conditions: Sequence[Condition] = (),
        order: int | None = None,
    ) -> None:
        """Set up a search as in BoxSearch; `bound` is what is to be proved wherever the conditions hold.

        `order` is that of the Taylor-Jensen rule, 0 to do without; the default depends on the dimension.
        """
        super().__init__(target, entries, head, box, silence=silence, conditions=conditions)
        self.bound, self.violation = bound * (1 - MARGIN), bound * (1 + MARGIN)
        self.order = ORDERS.get(box.dimension, 2) if order is None else order

    def run(
        self,
        *,
        deadline: Deadline = NEVER,
        max_boxes: int | None = None,
        jobs: int = 1,
        progress: Callable[[Progress], None] | None = None,
    ) -> Search:
        """Search until the paving is complete, a violation shows, or the budget ends.

        An interrupt (KeyboardInterrupt) ends the search like the deadline or a full number of boxes. The tree does not
        depend on `jobs`, nor on how boxes are grouped into blocks.
        """
        tree = SplitTree()
        stack = [self._first(tree)]
        open_boxes = tuple(stack)
        boxes, volume, upper = 0, 0.0, self.bound
        worst, worst_point, worst_entry = 0.0, None, self.entries[0]
        status: Literal["proved", "violated", "stopped", "stuck"] = "proved"
        stuck_at, interrupted = None, False
        with ThreadPoolExecutor(jobs) as pool:
            try:
                while stack:
                    open_boxes = tuple(stack)  # an interrupt may strike between any two steps below
                    running = _pop(stack, jobs)
                    for block, found in zip(running, _map(pool, jobs, self.examine, running), strict=True):
                        boxes += len(block.node)
                        volume += found.proved_volume
                        if found.worst > worst:
                            worst, worst_point, worst_entry = found.worst, found.worst_point, found.worst_entry
                        if len(found.outside):
                            tree.mark(found.outside, OUTSIDE)
                        if len(found.expanded):
                            tree.mark(found.expanded, taylor(self.order))
                        if len(found.rest.node):
                            if found.axes.min() < 0:
                                status, stuck_at = "stuck", self._first_stuck(found)
                                stack.append(found.rest)
                            else:
                                stack.append(self.children(found.rest, found.axes, tree))
                    if progress is not None:
                        progress(Progress(volume, boxes, self.head.tokens))
                    if worst > self.violation:
                        status = "violated"
                    elif status == "proved" and stack and (deadline.passed() or boxes >= (max_boxes or math.inf)):
                        status = "stopped"
                    open_boxes = tuple(stack)
                    if status != "proved":
                        break
            except KeyboardInterrupt:
                status, interrupted = "stopped", True
        if status in ("stopped", "stuck"):
            upper = max([upper, *(self._crude_bound(block) for block in open_boxes)])
        elif status == "violated":
            upper = math.inf
        return Search(status, tree, boxes, worst, worst_point, worst_entry, upper, stuck_at, interrupted)

    def _first(self, tree: SplitTree) -> Block:
        """The boxes to begin with: enough to spare the first rounds, but no more than half as many as tokens."""
        block = self.root()
        most = min(self.head.tokens // 2, FIRST_ENTRIES // self.head.tokens)
        widths = self.grid.width
        while 2 * len(block.node) <= most and self.grid.splittable.any():
            axis = np.argmax(np.ldexp(widths, -block.level[0]))
            block = self.children(block, np.full(len(block.node), axis, np.int8), tree)
        return block

    def examine(self, block: Block) -> Examined:
        """Bound the error on every box of a block."""
        with np.errstate(all="ignore"):
            lo, hi = self.grid.ends(block)
            f_lo, f_hi = (ends[:, self.entries] for ends in enclose(self.target, lo, hi))
            centre = 0.5 * (lo + hi)
            radius = up(np.maximum(hi - centre, centre - lo))
            block, d_centre, d_radius, tilt = self.activate(block, centre, radius)
            proved, tested = self._score_box(block, f_lo, f_hi, d_centre, d_radius)
            outside = ~proved & classify(self.conditions, lo, hi)[1]
            proved |= outside
            expanded = np.zeros(len(proved), np.bool_)
            if self.order:
                live = np.flatnonzero(~proved & (tilt.sum(axis=1) < STEEP))
                expanded[live] = self._taylor(block, live, centre, radius, d_centre)
                proved |= expanded
            rest = np.flatnonzero(~proved)
            worst, point, entry = self._worst_centre(block, np.flatnonzero(tested & ~proved), centre, d_centre)
            axes = self.split_axes(block, rest, lo, hi, centre, tilt)
            volume = float(np.sum(np.ldexp(1.0, -block.level[proved].sum(axis=1))))
            return Examined(
                select(block, rest), axes, block.node[outside], block.node[expanded], volume, worst, point, entry
            )

    def _score_box(
        self, block: Block, f_lo: FloatArray, f_hi: FloatArray, d_centre: FloatArray, d_radius: FloatArray
    ) -> tuple[BoolArray, BoolArray]:
        """Tell which boxes pass the sign form over the score box, and which were worth testing.

        Rounding argument. The coefficients c are computed by at most four additions of terms bounded by
        |bound| + |f| + max|v|, so `c_error` = 8 u times that, subtracted, makes each a lower bound. The exponentials
        carry EXP_ERROR either way, products one rounding, and a sum of n terms errs by at most n u times the sum of
        absolute values (Higham, Accuracy and Stability, section 4.2, any order of summation), which is subtracted
        too. NaN fails.
        """
        leak = up(block.dropped * self.leak)[:, None]
        reach = up(np.maximum(f_hi - self.head.value_min, self.head.value_max - f_lo))
        bound = down(self.bound - up(leak * reach))
        tested = np.all(f_hi - f_lo <= 2 * bound, axis=1)  # otherwise both signs cannot pass
        proved = tested.copy()
        size = np.maximum(np.abs(self.head.value_min), np.abs(self.head.value_max))
        c_error = 8 * UNIT * (np.abs(bound) + np.abs(f_lo) + np.abs(f_hi) + size) + self.head.value_slack + 2.0**-1022
        for r in range(len(self.entries)):
            for base, sign in ((bound + f_lo - c_error, -1.0), (bound - f_hi - c_error, 1.0)):
                live = np.flatnonzero(proved)
                proved[live] = self._sign_form(
                    select_entries(block.counts, live), block, live, base[:, r], sign, r, d_centre, d_radius
                )
        return proved, tested

    def _sign_form(
        self,
        picked: IntArray | slice,
        block: Block,
        live: IntArray,
        base: FloatArray,
        sign: float,
        r: int,
        d_centre: FloatArray,
        d_radius: FloatArray,
    ) -> BoolArray:
        """Tell for which of the boxes `live` sum_i (base + sign v_i) e^{d_i} >= 0 over the score box; shape (live,)."""
        if not len(live):
            return np.zeros(0, np.bool_)
        counts = block.counts[live]
        c = np.repeat(base[live], counts) + sign * self.head.values[r, block.tokens[picked]]
        starts = starts_of(counts)
        passed: BoolArray = np.minimum.reduceat(c, starts) >= 0
        hard = np.flatnonzero(~passed)
        if len(hard):
            chosen = select_entries(counts, hard)
            c, centre, spread = c[chosen], d_centre[picked][chosen], d_radius[picked][chosen]
            sharp = np.where(c >= 0, -1.0, 1.0)
            term = c * (np.exp(centre + sharp * spread) * (1 + sharp * EXP_ERROR))
            starts = starts_of(counts[hard])
            total, absolute = np.add.reduceat(term, starts), np.add.reduceat(np.abs(term), starts)
            passed[hard] = total - (counts[hard] + 4) * UNIT * absolute >= 0
        return passed

    def _taylor(
        self, block: Block, live: IntArray, centre: FloatArray, radius: FloatArray, d_centre: FloatArray
    ) -> BoolArray:
        """Tell for which of the boxes `live` the Taylor-Jensen rule proves the bound; shape (live,)."""
        passed = np.zeros(len(live), np.bool_)
        if not len(live):
            return passed
        functions = models(self.target, centre[live], radius[live], self.order)
        f = [functions[entry] for entry in self.entries]
        starts, counts = starts_of(block.counts)[live], block.counts[live]
        for part in similar(counts):
            tokens = np.arange(counts[part].max())
            present = tokens < counts[part][:, None]
            picked = starts[part][:, None] + np.where(present, tokens, 0)
            zeroth, firsts, middle = moments(
                self.head,
                range(len(self.entries)),
                block.tokens[picked],
                present,
                d_centre[picked],
                radius[live[part]],
                self.order,
            )
            leak = block.dropped[live[part]] * self.leak
            fits = np.ones(len(part), np.bool_)
            for r, (model, first) in enumerate(zip(f, firsts, strict=True)):
                own = model.of_boxes(part)
                values = own.range()
                reach = up(np.maximum(values.hi - self.head.value_min[r], self.head.value_max[r] - values.lo))
                fits &= holds(zeroth, first, middle[r], own, down(self.bound - up(leak * reach)))
            passed[part] = fits
        return passed

    def _worst_centre(
        self, block: Block, boxes: IntArray, centre: FloatArray, d_centre: FloatArray
    ) -> tuple[float, tuple[float, ...] | None, int]:
        """The largest error at the centres of the given boxes (a float64 estimate), the point and the entry."""
        if not len(boxes):
            return 0.0, None, self.entries[0]
        picked = select_entries(block.counts, boxes)
        starts = starts_of(block.counts[boxes])
        weight = np.exp(d_centre[picked])
        total = np.add.reduceat(weight, starts)
        exact = evaluate_float(self.target, centre[boxes])[:, self.entries]
        errors = np.empty_like(exact)
        for r in range(len(self.entries)):
            errors[:, r] = np.abs(
                exact[:, r] - np.add.reduceat(weight * self.head.values[r, block.tokens[picked]], starts) / total
            )
        errors[np.isnan(errors) | ~estimate_inside(self.conditions, centre[boxes])[:, None]] = 0.0
        b, r = divmod(int(np.argmax(errors)), errors.shape[1])
        return float(errors[b, r]), tuple(centre[boxes[b]].tolist()), self.entries[r]

    def _first_stuck(self, found: Examined) -> tuple[tuple[float, float], ...]:
        b = int(np.flatnonzero(found.axes < 0)[0])
        lo, hi = self.grid.ends(found.rest.piece(b, b + 1))
        return tuple(zip(lo[0].tolist(), hi[0].tolist(), strict=True))

    def _crude_bound(self, block: Block) -> float:
        """A bound on the error over the boxes: the largest |f - v_i| over active tokens, plus the silent share."""
        with np.errstate(all="ignore"):
            lo, hi = self.grid.ends(block)
            block = select(block, np.flatnonzero(~classify(self.conditions, lo, hi)[1]))
            if not len(block.node):
                return 0.0
            lo, hi = self.grid.ends(block)
            f_lo, f_hi = (ends[:, self.entries] for ends in enclose(self.target, lo, hi))
            starts = starts_of(block.counts)
            bound = 0.0
            for r in range(len(self.entries)):
                values = self.head.values[r, block.tokens]
                v_lo = np.minimum.reduceat(values, starts) - self.head.value_slack[r]
                v_hi = np.maximum.reduceat(values, starts) + self.head.value_slack[r]
                local = up(np.maximum(up(f_hi[:, r] - down(v_lo)), up(up(v_hi) - f_lo[:, r])))
                reach = np.maximum(f_hi[:, r] - self.head.value_min[r], self.head.value_max[r] - f_lo[:, r])
                worst = np.max(up(local + up(up(block.dropped * self.leak) * up(reach))))
                bound = max(bound, float(worst)) if not np.isnan(worst) else math.inf
            return bound


def _pop(stack: list[Block], jobs: int) -> list[Block]:
    """Take boxes from the top of the stack: up to `jobs` blocks of about BLOCK_ENTRIES tokens."""
    taken: list[Block] = []
    for _ in range(jobs):
        parts: list[Block] = []
        room = BLOCK_ENTRIES
        while stack and (room > 0 or not parts):
            block = stack.pop()
            fits = max(int(np.searchsorted(np.cumsum(block.counts), room, side="right")), 0 if parts else 1)
            if fits < len(block.node):
                stack.append(block.piece(fits, len(block.node)) if fits else block)
                if fits:
                    parts.append(block.piece(0, fits))
                break
            parts.append(block)
            room -= len(block.tokens)
        if parts:
            taken.append(Block.join(parts))
    return taken


def _map(pool: Executor, jobs: int, examine: Callable[[Block], Examined], blocks: list[Block]) -> Sequence[Examined]:
    return list(pool.map(examine, blocks)) if jobs > 1 else [examine(block) for block in blocks]
