"""Branch and bound with the order-0 sign form: a paving of the domain by boxes on which the error is bounded.

For a box B, a reference token r (the best at the centre of B) and one output entry, write d_i = s_i - s_r and
g_i = f - v_i. Then |f - T| <= eps on B if, for both signs, sum_i (eps +- g_i) e^{d_i} >= 0 on B (the sign form). Over
the score box, d_i in [d_i-, d_i+] and f in [f-, f+], the least value is attained at f- (f+), at d_i- where the
coefficient is nonnegative and at d_i+ where it is negative.

A token with d_i <= -k ln 2 on B is silent: its softmax weight is at most 2^-k there, and on every box inside. After D
drops the silent tokens weigh w <= W = D 2^-k together, and |f - T| <= (1 - w) |f - T'| + w G for the head T' of the
active tokens, where |f - v_i| <= G: it is enough that |f - T'| <= eps - W G.

Many boxes are bounded at once. A block holds boxes and, concatenated, their active tokens; `counts` says how many each
box has. Children inherit the active tokens of their parent, so the work for a box shrinks with the box.
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
from attncert.certificates.numbers import float_down, float_up
from attncert.certificates.target import Target
from attncert.verifier.head import UNIT, FloatArray, FloatHead
from attncert.verifier.tree import OUTSIDE, SplitTree

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MAX_LEVEL = 48
"""Most halvings of one side; 2^-48 of a side is at the resolution of float64."""

BLOCK_ENTRIES = 1 << 18
"""Tokens times boxes that are bounded at once: enough to hide numpy's overhead, few enough to stay in cache."""

EXP_ERROR = 2.0**-49
"""Relative error allowed to numpy's exp: 16 units in the last place, where good libraries stay below 2."""

MARGIN = 2.0**-26
"""Relative part of the bound that is left to the checker, whose choices at ties may differ from those made here."""


@dataclass(frozen=True)
class Progress:
    """How far a search has come: the proved part of the domain's volume, the boxes examined, the tokens."""

    fraction: float
    boxes: int
    tokens: int


@dataclass(frozen=True)
class Search:
    """How a search for a paving ended.

    status: `proved`; `violated` (the head misses the target by more than the bound at `worst_point`, by a float64
    estimate that is still to be proved); `stopped` (budget, number of boxes or an interrupt); `stuck` (a box at the
    resolution limit stays unproved). `worst` is the largest error estimate seen at a point, `worst_point` that point,
    exactly. `upper` bounds the error everywhere, when that was asked for; it may be inf.
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
class Block:
    """Boxes with their active tokens: node (B,), index and level (B, m), dropped (B,), counts (B,), tokens (sum,).

    Box b is the product over k of lo_k + (hi_k - lo_k) [index, index + 1] / 2^level.
    """

    node: IntArray
    index: IntArray
    level: IntArray
    dropped: IntArray
    counts: IntArray
    tokens: npt.NDArray[np.int32]

    def piece(self, start: int, stop: int) -> Block:
        """The boxes start, ..., stop - 1."""
        ends = np.concatenate(([0], np.cumsum(self.counts)))
        cut = slice(start, stop)
        return Block(
            self.node[cut],
            self.index[cut],
            self.level[cut],
            self.dropped[cut],
            self.counts[cut],
            self.tokens[ends[start] : ends[stop]],
        )

    @staticmethod
    def join(blocks: Sequence[Block]) -> Block:
        """One block with the boxes of all."""
        if len(blocks) == 1:
            return blocks[0]
        fields = ("node", "index", "level", "dropped", "counts", "tokens")
        return Block(*(np.concatenate([getattr(block, name) for block in blocks]) for name in fields))


@dataclass(frozen=True)
class Examined:
    """What examining a block found: the unproved boxes (with fewer tokens) and where to split them, the nodes of the
    boxes outside the domain, and the worst centre.
    """

    rest: Block
    axes: npt.NDArray[np.int8]
    outside: IntArray
    proved_volume: float
    worst: float
    worst_point: tuple[float, ...] | None
    worst_entry: int


class Grid:
    """The boxes of a split tree in float64: exact where their ends are, else enclosing them, never beyond the domain.

    Rounding argument. lo_k, hi_k are rationals; an end lo_k + (hi_k - lo_k) t with t = index / 2^level (exact in
    float64 for level <= 48) is computed by one product and one sum. When lo_k and hi_k - lo_k are multiples of 2^-e
    below 2^(bits - e) and bits + level + 2 <= 53, every step is exact. Otherwise the two roundings and those of lo_k
    and hi_k - lo_k err by at most 4 u (|lo_k| + |hi_k - lo_k|), and ends move outward by twice that.
    """

    def __init__(self, box: Box) -> None:
        """Prepare the box of the domain, with exact rational ends."""
        self.lower = np.array([float_down(lo) for lo, _ in box.sides])
        self.upper = np.array([float_up(hi) for _, hi in box.sides])
        self.start = np.array([float(lo) for lo, _ in box.sides])
        self.width = np.array([float(hi - lo) for lo, hi in box.sides])
        self.slack = 8 * UNIT * (np.abs(self.start) + np.abs(self.width)) + 2.0**-1022
        self.exact_level = np.array([_exact_level(lo, hi) for lo, hi in box.sides])
        self.splittable = self.width > 0

    def ends(self, block: Block) -> tuple[FloatArray, FloatArray]:
        """Lower and upper ends of the boxes, each (B, m)."""
        scale = np.ldexp(1.0, -block.level)
        slack = np.where(block.level > self.exact_level, self.slack, 0.0)
        lo = self.start + self.width * (block.index * scale) - slack
        hi = self.start + self.width * ((block.index + 1) * scale) + slack
        return np.maximum(lo, self.lower), np.minimum(hi, self.upper)


def _exact_level(lo: Fraction, hi: Fraction) -> int:
    """The greatest level up to which the ends of boxes are exact in float64; -1 where they never are."""
    denominator = math.lcm(lo.denominator, hi.denominator)
    if denominator & (denominator - 1) or denominator > 2**40:
        return -1
    bits = max((abs(end) * denominator).numerator.bit_length() for end in (lo, hi, hi - lo))
    return 51 - bits


class PavingSearch:
    """A search for a paving that proves |f - T| <= bound for the entries of one output column."""

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
    ) -> None:
        """Set up a search.

        `entries` are the places (row-major) of the column's entries in the target; `bound` is what is to be proved;
        `silence` is the number k of bits of a silent token. Where a condition is false the bound need not hold.
        """
        self.target, self.entries, self.head = target, list(entries), head
        self.grid = Grid(box)
        self.conditions = tuple(conditions)
        self.bound, self.violation = bound * (1 - MARGIN), bound * (1 + MARGIN)
        self.tau = silence * math.log(2) * (1 + 2**-40)
        self.leak = 2.0**-silence

    def root(self) -> Block:
        """The whole box with all tokens."""
        m, n = self.head.keys.shape
        zeros = np.zeros((1, m), np.int64)
        one = np.zeros(1, np.int64)
        return Block(one, zeros, zeros, one, np.array([n]), np.arange(n, dtype=np.int32))

    def run(
        self,
        *,
        deadline: Deadline = NEVER,
        max_boxes: int | None = None,
        jobs: int = 1,
        progress: Callable[[Progress], None] | None = None,
        want_upper: bool = False,
    ) -> Search:
        """Search until the paving is complete, a violation shows, or the budget ends.

        An interrupt (KeyboardInterrupt) ends the search like the deadline or a full number of boxes. The tree does not
        depend on `jobs`, nor on how boxes are grouped into blocks.
        """
        stack, running, tree = [self.root()], list[Block](), SplitTree()
        boxes, volume, upper = 0, 0.0, self.bound
        worst, worst_point, worst_entry = 0.0, None, self.entries[0]
        status: Literal["proved", "violated", "stopped", "stuck"] = "proved"
        stuck_at, interrupted = None, False
        with ThreadPoolExecutor(jobs) as pool:
            try:
                while stack:
                    running = _pop(stack, jobs)
                    for block, found in zip(running, _map(pool, jobs, self.examine, running), strict=True):
                        boxes += len(block.node)
                        volume += found.proved_volume
                        if found.worst > worst:
                            worst, worst_point, worst_entry = found.worst, found.worst_point, found.worst_entry
                        if len(found.outside):
                            tree.mark(found.outside, OUTSIDE)
                        if len(found.rest.node):
                            if found.axes.min() < 0:
                                status, stuck_at = "stuck", self._first_stuck(found)
                            stack.append(self._children(found, tree))
                    running = []
                    if progress is not None:
                        progress(Progress(volume, boxes, self.head.tokens))
                    if worst > self.violation:
                        status = "violated"
                    elif status == "proved" and stack and (deadline.passed() or boxes >= (max_boxes or math.inf)):
                        status = "stopped"
                    if status != "proved":
                        break
            except KeyboardInterrupt:
                status, interrupted = "stopped", True
        if status in ("stopped", "stuck") and want_upper:
            upper = max([upper, *(self._crude_bound(block) for block in stack + running)])
        elif status == "violated":
            upper = math.inf
        return Search(status, tree, boxes, worst, worst_point, worst_entry, upper, stuck_at, interrupted)

    def examine(self, block: Block) -> Examined:
        """Bound the error on every box of a block."""
        with np.errstate(all="ignore"):
            lo, hi = self.grid.ends(block)
            f_lo, f_hi = (ends[:, self.entries] for ends in enclose(self.target, lo, hi))
            centre = 0.5 * (lo + hi)
            radius = up(np.maximum(hi - centre, centre - lo))
            block, d_centre, d_radius, tilt = self._activate(block, centre, radius)
            proved, tested = self._score_box(block, f_lo, f_hi, d_centre, d_radius)
            outside = ~proved & classify(self.conditions, lo, hi)[1]
            nodes = block.node[outside]
            proved |= outside
            rest = np.flatnonzero(~proved)
            worst, point, entry = self._worst_centre(block, np.flatnonzero(tested & ~proved), centre, d_centre)
            axes = self._split_axes(block, rest, lo, hi, centre, tilt)
            volume = float(np.sum(np.ldexp(1.0, -block.level[proved].sum(axis=1))))
            return Examined(_select(block, rest), axes, nodes, volume, worst, point, entry)

    def _activate(
        self, block: Block, centre: FloatArray, radius: FloatArray
    ) -> tuple[Block, FloatArray, FloatArray, FloatArray]:
        """Drop the silent tokens; return the block and, for each token left, the centre and radius of d_i.

        d_i lies within the radius of the centre on its box. The reference token has d = 0 exactly. Last comes, for each
        box and axis, the largest part that the axis has in the radius of a token left, (B, m).
        """
        head, tokens = self.head, block.tokens
        starts = _starts(block.counts)
        of = np.repeat(np.arange(len(block.counts)), block.counts)
        coefficients = [keys[tokens] for keys in head.keys]
        score = head.biases[tokens]
        for k, a in enumerate(coefficients):
            score += a * centre[of, k]
        best = np.maximum.reduceat(score, starts)
        is_best = np.flatnonzero(score == best[of])
        reference = is_best[np.searchsorted(is_best, starts)]
        parts = [np.abs(a - a[reference][of]) * radius[of, k] for k, a in enumerate(coefficients)]
        spread = sum(parts[1:], parts[0].copy())
        score -= best[of]
        spread += head.score_slack
        score[reference] = 0.0
        spread[reference] = 0.0
        keep = ~(score + spread <= -self.tau)
        counts = np.add.reduceat(keep, starts, dtype=np.int64)
        tilt = np.stack([np.maximum.reduceat(part * keep, starts) for part in parts], axis=1)
        block = replace(block, dropped=block.dropped + (block.counts - counts), counts=counts, tokens=tokens[keep])
        return block, score[keep], spread[keep], tilt

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
                    _select_entries(block.counts, live), block, live, base[:, r], sign, r, d_centre, d_radius
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
        starts = _starts(counts)
        passed: BoolArray = np.minimum.reduceat(c, starts) >= 0
        hard = np.flatnonzero(~passed)
        if len(hard):
            chosen = _select_entries(counts, hard)
            c, centre, spread = c[chosen], d_centre[picked][chosen], d_radius[picked][chosen]
            sharp = np.where(c >= 0, -1.0, 1.0)
            term = c * (np.exp(centre + sharp * spread) * (1 + sharp * EXP_ERROR))
            starts = _starts(counts[hard])
            total, absolute = np.add.reduceat(term, starts), np.add.reduceat(np.abs(term), starts)
            passed[hard] = total - (counts[hard] + 4) * UNIT * absolute >= 0
        return passed

    def _worst_centre(
        self, block: Block, boxes: IntArray, centre: FloatArray, d_centre: FloatArray
    ) -> tuple[float, tuple[float, ...] | None, int]:
        """The largest error at the centres of the given boxes (a float64 estimate), the point and the entry."""
        if not len(boxes):
            return 0.0, None, self.entries[0]
        picked = _select_entries(block.counts, boxes)
        starts = _starts(block.counts[boxes])
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

    def _split_axes(
        self, block: Block, rest: IntArray, lo: FloatArray, hi: FloatArray, centre: FloatArray, tilt: FloatArray
    ) -> npt.NDArray[np.int8]:
        """For each unproved box the axis to halve; -1 where no side can be.

        The merit of an axis is its share in how much the target varies from the centre, plus twice its share in how
        much the scores do: the second keeps boxes from staying long where the target is flat.
        """
        m = centre.shape[1]
        allowed = self.grid.splittable & (block.level[rest] < MAX_LEVEL)
        if m == 1:
            return np.where(allowed[:, 0], 0, -1).astype(np.int8)
        middle = centre[rest]
        at_centre = evaluate_float(self.target, middle)[:, self.entries]
        variation = np.zeros((len(rest), m))
        for k in range(m):
            for end in (lo, hi):
                point = middle.copy()
                point[:, k] = end[rest, k]
                change = np.abs(evaluate_float(self.target, point)[:, self.entries] - at_centre).max(axis=1)
                variation[:, k] = np.fmax(variation[:, k], change)
        merit = np.where(allowed, _shares(variation) + 2 * _shares(tilt[rest]), -1.0)
        return np.where(allowed.any(axis=1), merit.argmax(axis=1), -1).astype(np.int8)

    def _children(self, found: Examined, tree: SplitTree) -> Block:
        """Split the unproved boxes; boxes that cannot be split stay as they are."""
        block, axes = found.rest, found.axes
        if axes.min() < 0:
            return block
        lower = tree.split(block.node, axes)
        level, index = block.level.copy(), block.index.copy()
        rows = np.arange(len(axes))
        level[rows, axes] += 1
        index[rows, axes] *= 2
        upper_index = index.copy()
        upper_index[rows, axes] += 1
        low = replace(block, node=lower, level=level, index=index)
        return Block.join([low, replace(low, node=lower + 1, index=upper_index)])

    def _first_stuck(self, found: Examined) -> tuple[tuple[float, float], ...]:
        b = int(np.flatnonzero(found.axes < 0)[0])
        lo, hi = self.grid.ends(found.rest.piece(b, b + 1))
        return tuple(zip(lo[0].tolist(), hi[0].tolist(), strict=True))

    def _crude_bound(self, block: Block) -> float:
        """A bound on the error over the boxes: the largest |f - v_i| over active tokens, plus the silent share."""
        with np.errstate(all="ignore"):
            lo, hi = self.grid.ends(block)
            block = _select(block, np.flatnonzero(~classify(self.conditions, lo, hi)[1]))
            if not len(block.node):
                return 0.0
            lo, hi = self.grid.ends(block)
            f_lo, f_hi = (ends[:, self.entries] for ends in enclose(self.target, lo, hi))
            starts = _starts(block.counts)
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


def _shares(parts: FloatArray) -> FloatArray:
    """Each row over its sum; equal shares where that is 0 or not finite."""
    total = parts.sum(axis=1, keepdims=True)
    shares: FloatArray = np.where((total > 0) & np.isfinite(total), parts / total, 1 / parts.shape[1])
    return shares


def _starts(counts: IntArray) -> IntArray:
    starts = np.zeros(len(counts), np.int64)
    np.cumsum(counts[:-1], out=starts[1:])
    return starts


def _select_entries(counts: IntArray, boxes: IntArray) -> IntArray | slice:
    """The places of the given boxes' tokens among all; a slice when that is everything."""
    if len(boxes) == len(counts):
        return slice(None)
    mask = np.zeros(len(counts), np.bool_)
    mask[boxes] = True
    return np.flatnonzero(np.repeat(mask, counts))


def _select(block: Block, boxes: IntArray) -> Block:
    if len(boxes) == len(block.node):
        return block
    tokens = block.tokens[_select_entries(block.counts, boxes)]
    return Block(
        block.node[boxes], block.index[boxes], block.level[boxes], block.dropped[boxes], block.counts[boxes], tokens
    )


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
