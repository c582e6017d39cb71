"""Branch and bound with the order-0 sign form: a paving of the domain by boxes on which the error is bounded.

For a box B, a reference token r (the best at the centre of B) and one output entry, write d_i = s_i - s_r and
g_i = f - v_i. Then |f - T| <= eps on B if, for both signs, sum_i (eps +- g_i) e^{d_i} >= 0 on B (the sign form). Over
the score box, d_i in [d_i-, d_i+] and f in [f-, f+], the least value is attained at f- (f+), at d_i- where the
coefficient is nonnegative and at d_i+ where it is negative.

A token with d_i <= -k ln 2 on B is silent: its softmax weight is at most 2^-k there, and on every box inside. After D
drops the silent tokens weigh w <= W = D 2^-k together, and T = (1 - w) T' + w T'' lies within W S of the head T' of the
active tokens, S the spread of all values: it is enough that |f - T'| <= eps - W S.

Values that depend on the input follow the target, so that f - v_i is small where f and v_i are not. Its range over the
box then comes from a Taylor model of f (differences.py), and the score box decides as before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
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
from attncert.certificates.taylor import Model, models
from attncert.verifier.boxes import (
    EXP_ERROR,
    MAX_LEVEL,
    Block,
    BoolArray,
    BoxSearch,
    Grid,
    IntArray,
    Progress,
    select,
    select_entries,
    starts_of,
)
from attncert.verifier.differences import difference_ranges
from attncert.verifier.head import UNIT, FloatArray, FloatHead
from attncert.verifier.jensen import expansion_order, expansions, holds
from attncert.verifier.tree import OUTSIDE, PREORDER_BYTES, SCORES, SplitTree, score_box, taylor

__all__ = ["Block", "Grid", "PavingSearch", "Progress", "Search", "State"]

ENGINE = 5
"""Raised with every change to the course of a search: only a search of the same engine can be resumed."""

ROUND_BYTES = 1 << 22
"""Bytes of the boxes that one round takes from the stack. The order in which boxes are examined depends on it, and so
does what an unfinished search has found; threads and memory change neither."""

WORK_BYTES = 1 << 25
"""Bytes of work arrays of the boxes that are bounded at once: enough to hide numpy's overhead, few enough to stay in
cache."""

LEAST_WORK = 1 << 21
"""Blocks are not made smaller than this for the sake of more threads."""

ROUND_COPIES = 5
"""How often a round is held in memory beside its work arrays, at most: the boxes, those left, their children (twice as
many), and those on their way into a journal."""

STEEP = 16.0
"""Boxes over which scores vary by more than this are not worth an expansion."""

FIRST_BOXES = {2: 2.0, 3: 8.0}
"""Boxes in the first round for each token, at most, by dimension; 1/2 in others."""

FIRST_ENTRIES = 1 << 15
"""Tokens times boxes in the first round, at most."""

ORDERS = {1: 4, 2: 3, 3: 3}
"""Orders of the Taylor-Jensen rule by dimension."""

HIGHEST_ORDER = 8
"""The highest order for claims of many digits."""

Status = Literal["", "proved", "violated", "stopped", "stuck"]
Cause = Literal["", "deadline", "boxes", "memory", "interrupt"]

MARGIN = 2.0**-26
"""Relative part of the bound that is left to the checker, whose choices at ties may differ from those made here."""


@dataclass(frozen=True)
class Search:
    """How a search for a paving ended.

    status: `proved`; `violated` (the head misses the target by more than the bound at `worst_point`, by a float64
    estimate that is still to be proved); `stopped` (for the `cause`); `stuck` (a box at the resolution limit stays
    unproved). `worst` is the largest error estimate seen at a point, `worst_point` that point, exactly. `upper` bounds
    the error everywhere; it may be inf.
    """

    status: Status
    tree: SplitTree
    boxes: int
    worst: float
    worst_point: tuple[float, ...] | None
    worst_entry: int
    upper: float
    stuck_at: tuple[tuple[float, float], ...] | None = None
    interrupted: bool = False
    cause: Cause = ""

    @property
    def resumable(self) -> bool:
        """Whether the search was stopped from outside, and would go on."""
        return self.cause in ("deadline", "memory", "interrupt")


@dataclass(frozen=True)
class State:
    """A search between two rounds: the open boxes, those to be examined next at the end, and what was found so far."""

    stack: tuple[Block, ...]
    boxes: int
    volume: float
    worst: float
    worst_point: tuple[float, ...] | None
    worst_entry: int
    stuck_at: tuple[tuple[float, float], ...] | None = None

    @property
    def known(self) -> int:
        """The boxes examined and those open: a complete search examines at least as many."""
        return self.boxes + sum(len(block.node) for block in self.stack)


@dataclass(frozen=True)
class Examined:
    """What examining a block found: the unproved boxes (with fewer tokens) and where to split them, the nodes of the
    boxes outside the domain, of those proved by expansion and by the score box with a model, and the worst centre.
    """

    rest: Block
    axes: npt.NDArray[np.int8]
    outside: IntArray
    expanded: IntArray
    modelled: IntArray
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

        `order` is that of the Taylor models, 0 to do without; the default depends on the dimension.
        """
        super().__init__(target, entries, head, box, silence=silence, conditions=conditions)
        self.bound, self.violation = bound * (1 - MARGIN), bound * (1 + MARGIN)
        self.spread = up(head.value_max - head.value_min)
        self.order = _order(box.dimension, head, bound) if order is None else order

    def run(
        self,
        *,
        deadline: Deadline = NEVER,
        max_boxes: int | None = None,
        jobs: int = 1,
        progress: Callable[[Progress], None] | None = None,
        memory: int | None = None,
        begun: tuple[SplitTree, State] | None = None,
        save: Callable[[SplitTree, State], None] | None = None,
    ) -> Search:
        """Search until the paving is complete, a violation shows, or time, boxes or memory end.

        An interrupt (KeyboardInterrupt) ends the search like the deadline. `memory` bounds the bytes of the open boxes,
        the tree and the work arrays, as estimated by `work`. `begun` is a state to go on from, and `save` is given
        every state. The answer does not depend on `jobs` or `memory` (if that suffices), nor on where it was resumed.
        """
        tree, state = begun or self._begin()
        status, cause = self._verdict(state, max_boxes)
        hurried = False
        with ThreadPoolExecutor(jobs) as pool:
            try:
                while not status:
                    if hurried and deadline.passed():
                        status, cause = "stopped", "deadline"
                        break
                    stack, block = _pop(state.stack)
                    pieces, threads = self._pieces(tree, state, block, jobs, memory)
                    if not pieces:
                        status, cause = "stopped", "memory"
                        break
                    found = _together(_map(pool, threads, self.examine, pieces))
                    state = self._after(tree, replace(state, stack=stack), len(block.node), found)
                    if save is not None:
                        save(tree, state)
                    if progress is not None:
                        progress(Progress(state.volume, state.boxes, self.head.tokens, state.worst, self.bound))
                    status, cause = self._verdict(state, max_boxes)
                    hurried = True
            except KeyboardInterrupt:
                status, cause = "stopped", "interrupt"
        upper = self._upper(status, state)
        worst = state.worst, state.worst_point, state.worst_entry
        return Search(status, tree, state.boxes, *worst, upper, state.stuck_at, cause == "interrupt", cause)

    def _begin(self) -> tuple[SplitTree, State]:
        tree = SplitTree()
        return tree, State((self._first(tree),), 0, 0.0, 0.0, None, self.entries[0])

    def fits(self, tree: SplitTree, state: State) -> bool:
        """Whether a state that was read from a file can be one of this search."""
        m, n = self.head.keys.shape
        return (
            state.worst_entry in self.entries
            and all(
                block.index.shape[1] == m
                and 0 <= block.tokens.min() <= block.tokens.max() < n
                and 0 <= block.level.min() <= block.level.max() <= MAX_LEVEL
                and bool(np.all(block.index >= 0) and np.all(block.index < np.left_shift(1, block.level)))
                for block in state.stack
            )
            and all(step.axes is None or 0 <= step.axes.min() <= step.axes.max() < m for step in tree.steps)
        )

    def _verdict(self, state: State, max_boxes: int | None) -> tuple[Status, Cause]:
        """How the search has ended, if it has: the same whether asked before or after it was resumed.

        The number of boxes is too small exactly if a complete search examines more.
        """
        if state.worst > self.violation:
            return "violated", ""
        if state.stuck_at is not None:
            return "stuck", ""
        if not state.stack:
            return "proved", ""
        if state.boxes and max_boxes is not None and state.known > max_boxes:
            return "stopped", "boxes"
        return "", ""

    def _after(self, tree: SplitTree, state: State, examined: int, found: Examined) -> State:
        """The state after a round, with the tree grown."""
        if len(found.outside):
            tree.mark(found.outside, OUTSIDE)
        if len(found.expanded):
            tree.mark(found.expanded, taylor(self.order))
        if len(found.modelled):
            tree.mark(found.modelled, score_box(self.order))
        stack, stuck_at = state.stack, None
        if len(found.rest.node):
            if found.axes.min() < 0:
                stuck_at = self._first_stuck(found)
                stack += (found.rest,)
            else:
                children = self.children(found.rest, found.axes, tree)
                stack += tuple(reversed(children.cut(_sizes(children), ROUND_BYTES // 4)))
        if found.worst > state.worst:
            state = replace(state, worst=found.worst, worst_point=found.worst_point, worst_entry=found.worst_entry)
        boxes, volume = state.boxes + examined, state.volume + found.proved_volume
        return replace(state, stack=stack, boxes=boxes, volume=volume, stuck_at=stuck_at)

    def _upper(self, status: str, state: State) -> float:
        """A bound on the error everywhere; inf where there is none, or no time to find it."""
        if status == "violated":
            return math.inf
        try:
            return max([self.bound, *(self._crude_bound(block) for block in state.stack)])
        except KeyboardInterrupt:
            return math.inf

    def _pieces(
        self, tree: SplitTree, state: State, block: Block, jobs: int, memory: int | None
    ) -> tuple[list[Block], int]:
        """The block in pieces to be examined, and by how many threads; no piece where the memory does not suffice."""
        work = self.work(block.counts)
        total = int(work.sum())
        count = -(-total // (jobs * WORK_BYTES)) * jobs  # as many for each thread
        most = max(-(-total // count), LEAST_WORK)
        if memory is not None:
            held = tree.nbytes + sum(open_block.nbytes for open_block in state.stack)
            free = memory - held - ROUND_COPIES * block.nbytes
            largest = int(work.max())
            if free < largest or memory < tree.nbytes + PREORDER_BYTES * tree.size:
                return [], 0
            jobs = max(1, min(jobs, free // max(largest, LEAST_WORK)))
            most = min(most, free // jobs)
        return block.cut(work, most), jobs

    def work(self, counts: IntArray) -> IntArray:
        """About how many bytes of work arrays it takes to examine boxes with so many tokens, (B,).

        For each token the arrays of `activate` and of the sign form are counted, for the Taylor-Jensen rule those of
        `moments`, padded; for each box the numbers, intervals and Taylor models of the target's tape.
        """
        m, rows = self.grid.width.shape[0], len(self.entries)
        terms = math.comb(m + self.order, self.order) if self.order else 0
        if self.head.slopes:
            terms *= 3  # differences, and moments of slopes
        m += 2 * len(self.head.products)
        token = 24 + max(8 * (2 * m + 8), 112, 12 * (terms + m + rows + 14) if terms else 0)
        box = 8 * (6 * m + 12 * rows + len(self.target.tape) * (2 * terms + 6)) + 16 * m
        return np.asarray(token * counts + box, np.int64)

    def _first(self, tree: SplitTree) -> Block:
        """The boxes to begin with: enough to spare the first rounds."""
        block = self.root()
        tokens = self.head.tokens
        most = min(FIRST_BOXES.get(self.grid.width.size, 0.5) * tokens, FIRST_ENTRIES // tokens)
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
            bound = self._less_silent(block.dropped)
            proved, tested = self._score_box(block, bound, f_lo, f_hi, centre, radius, d_centre, d_radius)
            outside = ~proved & classify(self.conditions, lo, hi)[1]
            proved |= outside
            expanded, modelled = np.zeros((2, len(proved)), np.bool_)
            gentle = tilt.sum(axis=1) < STEEP
            live = np.flatnonzero(~proved & (gentle | bool(self.head.slopes)))
            if self.order and len(live):
                # Sums over one box may be rounded in another order than over several.
                several = np.repeat(live, 2) if len(live) == 1 else live
                functions = models(self.target, centre[several], radius[several], self.order)
                f = [functions[entry] for entry in self.entries]
                if self.head.slopes:
                    modelled[live] = self._modelled(block, live, f, bound, centre, radius, d_centre, d_radius)
                    gentle &= ~modelled & (block.counts > 1)  # with one token both rules are the same
                places = np.flatnonzero(gentle[live])
                expanded[live[places]] = self._taylor(block, live[places], places, f, centre, radius, d_centre)
                proved |= expanded | modelled
            rest = np.flatnonzero(~proved)
            worst, point, entry = self._worst_centre(block, np.flatnonzero(tested & ~proved), centre, d_centre)
            axes = self.split_axes(block, rest, lo, hi, centre, tilt)
            volume = float(np.sum(np.ldexp(1.0, -block.level[proved].sum(axis=1))))
            return Examined(
                select(block, rest),
                axes,
                block.node[outside],
                block.node[expanded],
                block.node[modelled],
                volume,
                worst,
                point,
                entry,
            )

    def _less_silent(self, dropped: IntArray) -> FloatArray:
        """What is left of the bound beside the silent tokens, eps - W S, rounded down: (B, entries)."""
        return down(self.bound - up(up(dropped * self.leak)[:, None] * self.spread))

    def _score_box(
        self,
        block: Block,
        bound: FloatArray,
        f_lo: FloatArray,
        f_hi: FloatArray,
        centre: FloatArray,
        radius: FloatArray,
        d_centre: FloatArray,
        d_radius: FloatArray,
    ) -> tuple[BoolArray, BoolArray]:
        """Tell which boxes pass the sign form over the score box, and which were worth testing.

        Rounding argument. The coefficients c are computed by at most four additions of terms bounded by
        |bound| + |f| + max|v|, so `c_error` = 8 u times that, subtracted, makes each a lower bound. The exponentials
        carry EXP_ERROR either way, products one rounding, and a sum of n terms errs by at most n u times the sum of
        absolute values (Higham, Accuracy and Stability, section 4.2, any order of summation), which is subtracted
        too. NaN fails.
        """
        tested = np.all(f_hi - f_lo <= 2 * bound, axis=1)  # otherwise both signs cannot pass
        proved = tested.copy()
        size = np.maximum(np.abs(self.head.value_min), np.abs(self.head.value_max))
        c_error = 8 * UNIT * (np.abs(bound) + np.abs(f_lo) + np.abs(f_hi) + size) + self.head.value_slack + 2.0**-1022
        for r in range(len(self.entries)):
            for base, sign in ((bound + f_lo - c_error, -1.0), (bound - f_hi - c_error, 1.0)):
                live = np.flatnonzero(proved)
                if not len(live):
                    break
                counts, picked = block.counts[live], select_entries(block.counts, live)
                low, high = self.value_ranges(r, block, live, picked, centre, radius)
                c = np.repeat(base[live, r], counts) + (low if sign > 0 else -high)
                proved[live] = self._sign_form(c, counts, picked, d_centre, d_radius)
        return proved, tested | bool(self.head.slopes)

    def _modelled(
        self,
        block: Block,
        live: IntArray,
        f: Sequence[Model],
        bound: FloatArray,
        centre: FloatArray,
        radius: FloatArray,
        d_centre: FloatArray,
        d_radius: FloatArray,
    ) -> BoolArray:
        """Tell which of the boxes `live` pass the sign form over the score box, with f - v_i in its range by models.

        f: for each entry the models of these boxes. Rounding argument. The bound and the ends of the range are added
        and rounded down; `value_slack` is the error of the values. The rest is that of `_sign_form`. NaN fails.
        """
        counts, picked = block.counts[live], select_entries(block.counts, live)
        tokens, of = block.tokens[picked], np.repeat(np.arange(len(live)), counts)
        passed = np.ones(len(live), np.bool_)
        for r, model in enumerate(f):
            values = self.head.values_at(r, tokens, centre[live[of]])
            parts = self.head.parts_of(r, tokens, radius[live[of]])
            low, high = difference_ranges(model, of, values, parts)
            least = down(bound[live, r] - self.head.value_slack[r])[of]
            for c in (down(least + low), down(least - high)):
                passed &= self._sign_form(c, counts, picked, d_centre, d_radius)
        return passed

    def _sign_form(
        self,
        c: FloatArray,
        counts: IntArray,
        picked: IntArray | slice,
        d_centre: FloatArray,
        d_radius: FloatArray,
    ) -> BoolArray:
        """Tell for which of the boxes sum_i c_i e^{d_i} >= 0 over the score box; shape of counts.

        c: for each token of these boxes, `picked` from all; see `_score_box` for the rounding.
        """
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
        self,
        block: Block,
        live: IntArray,
        places: IntArray,
        f: Sequence[Model],
        centre: FloatArray,
        radius: FloatArray,
        d_centre: FloatArray,
    ) -> BoolArray:
        """Tell for which of the boxes `live` the Taylor-Jensen rule proves the bound; shape (live,).

        `places` say which of the models f of the entries are those of the boxes.
        """
        passed = np.zeros(len(live), np.bool_)
        if not len(live):
            return passed
        rows = range(len(self.entries))
        expanded = expansions(self.head, rows, block, live, d_centre, centre, radius, self.order)
        for part, zeroth, firsts, middle in expanded:
            bound = self._less_silent(block.dropped[live[part]])
            fits = np.ones(len(part), np.bool_)
            for r, (model, first) in enumerate(zip(f, firsts, strict=True)):
                fits &= holds(zeroth, first, middle[r], model.of_boxes(places[part]), bound[:, r])
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
        tokens, of = block.tokens[picked], np.repeat(boxes, block.counts[boxes])
        exact = evaluate_float(self.target, centre[boxes])[:, self.entries]
        errors = np.empty_like(exact)
        for r in range(len(self.entries)):
            errors[:, r] = np.abs(
                exact[:, r] - np.add.reduceat(weight * self.head.values_at(r, tokens, centre[of]), starts) / total
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
            centre = 0.5 * (lo + hi)
            radius = up(np.maximum(hi - centre, centre - lo))
            starts, boxes = starts_of(block.counts), np.arange(len(block.counts))
            bound = 0.0
            for r in range(len(self.entries)):
                low, high = self.value_ranges(r, block, boxes, slice(None), centre, radius)
                v_lo = np.minimum.reduceat(low, starts) - self.head.value_slack[r]
                v_hi = np.maximum.reduceat(high, starts) + self.head.value_slack[r]
                local = up(np.maximum(up(f_hi[:, r] - down(v_lo)), up(up(v_hi) - f_lo[:, r])))
                worst = np.max(up(local + up(up(block.dropped * self.leak) * self.spread[r])))
                bound = max(bound, float(worst)) if not np.isnan(worst) else math.inf
            return bound


def _order(dimension: int, head: FloatHead, bound: float) -> int:
    """The order by the dimension, or a higher one that the digits asked for pay for; 0 stays 0."""
    least = ORDERS.get(dimension, 2)
    spread = float(np.max(head.value_max - head.value_min))
    most = len(SCORES) if head.slopes else HIGHEST_ORDER
    return expansion_order(spread, Fraction(bound), least, most) if least and 0 < bound < math.inf else least


def _sizes(block: Block) -> IntArray:
    """Bytes of each box, (B,)."""
    of_box = sum(array.itemsize for array in (block.node, block.dropped, block.counts)) + 16 * block.index.shape[1]
    return np.asarray(of_box + block.tokens.itemsize * block.counts, np.int64)


def _pop(stack: tuple[Block, ...]) -> tuple[tuple[Block, ...], Block]:
    """Take the blocks of a round from the top of the stack; the rest, and one block with their boxes."""
    place, room = len(stack), ROUND_BYTES
    while place and (room >= stack[place - 1].nbytes or place == len(stack)):
        place -= 1
        room -= stack[place].nbytes
    return stack[:place], Block.join(stack[place:][::-1])


def _map(pool: Executor, jobs: int, examine: Callable[[Block], Examined], blocks: list[Block]) -> list[Examined]:
    return list(pool.map(examine, blocks)) if jobs > 1 else [examine(block) for block in blocks]


def _together(found: Sequence[Examined]) -> Examined:
    """What was found in all pieces of a round; of equal worst centres the first."""
    if len(found) == 1:
        return found[0]
    worst = max(found, key=lambda part: part.worst)
    return Examined(
        Block.join([part.rest for part in found]),
        np.concatenate([part.axes for part in found]),
        np.concatenate([part.outside for part in found]),
        np.concatenate([part.expanded for part in found]),
        np.concatenate([part.modelled for part in found]),
        sum(part.proved_volume for part in found),
        worst.worst,
        worst.worst_point,
        worst.worst_entry,
    )
