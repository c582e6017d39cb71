"""Claims of kind `indicator`: outside a small layer the softmax column is nearly the one-hot vector of the best token.

For the reference token r (the best at the centre of a box B), d_i = s_i - s_r, active tokens i, and the silent ones,
which weigh at most W together,

    1 - p_r <= (S + W) / (1 + S)  on B,    S = sum over active i != r of e^{max_B d_i},

since p_r >= (1 - W) / (1 + S). The softmax column differs from the one-hot vector of r by 2 (1 - p_r) in the 1-norm.
Where that is at most delta < 1, p_r > 1/2 and r is the best token on all of B. Boxes without this bound are the layer;
the largest are halved until the layer is small enough.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from attncert.certificates.claim import Indicator
from attncert.certificates.condition import Condition, classify
from attncert.certificates.deadline import NEVER, Deadline
from attncert.certificates.domain import Box
from attncert.certificates.evidence import Layers
from attncert.certificates.interval import up
from attncert.certificates.numbers import float_down, float_up
from attncert.certificates.statement import Statement
from attncert.verifier.boxes import (
    COPIES,
    EXP_ERROR,
    MAX_LEVEL,
    Block,
    BoolArray,
    BoxSearch,
    IntArray,
    Progress,
    select,
    starts_of,
)
from attncert.verifier.head import UNIT, FloatArray, FloatHead
from attncert.verifier.outcome import Column, Outcome, Verdict, columns_of, kernel_precision
from attncert.verifier.tree import LAYER, OUTSIDE, SplitTree

MARGIN = 2.0**-26
"""Relative part of delta and of the measure that is left to the checker."""

ROUND_ENTRIES = 1 << 20
"""Tokens times boxes that one round halves at most."""


def verify(
    statement: Statement,
    claim: Indicator,
    *,
    deadline: Deadline = NEVER,
    max_boxes: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    memory: int | None = None,
) -> Outcome:
    """Prove the claim, until the deadline, in at most `max_boxes` boxes and `memory` bytes where these are given."""
    started = time.monotonic()
    columns = columns_of(statement)
    silence = _silence(columns[0].head.tokens, claim.delta)
    goal = float_down(claim.measure) * (1 - MARGIN)
    searches = [
        LayerSearch(column.head, statement.domain, delta=claim.delta, silence=silence, conditions=statement.conditions)
        for column in columns
    ]
    interrupted, reason = False, ""
    try:
        for search in searches:
            while not search.measure <= goal:
                boxes = sum(search.boxes for search in searches)
                if deadline.passed() or boxes >= (max_boxes or math.inf):
                    break
                if memory is not None and sum(search.nbytes for search in searches) > memory:
                    reason = "stopped at the memory cap: "
                    break
                if not search.refine():
                    break
                if progress is not None:
                    progress(Progress(search.proved, boxes, columns[0].head.tokens))
            if not search.measure <= goal:
                break
    except KeyboardInterrupt:
        interrupted = True
    boxes = sum(search.boxes for search in searches)
    measure = max(search.measure for search in searches)
    evidence: Layers | None = None
    verdict: Verdict = "undecided"
    detail = f"{reason}after {boxes} boxes the layer is known to have measure at most {measure:.6g}, more than claimed"
    if measure <= goal:
        precision = _precision(statement, columns, claim)
        evidence = Layers(precision, silence, tuple(search.preorder() for search in searches))
        verdict, detail = "verified", f"outside a layer of measure at most {measure:.6g} one token takes all but delta"
    seconds = time.monotonic() - started
    return Outcome(
        verdict, evidence, 0.0, measure, columns[0].head.tokens, boxes, seconds, detail, interrupted=interrupted
    )


def _silence(tokens: int, delta: Fraction) -> int:
    """Bits k such that all silent tokens together weigh at most about 2^-14 delta."""
    return max(16, math.ceil(math.log2(tokens) + math.log2(delta.denominator) - math.log2(delta.numerator))) + 15


def _precision(statement: Statement, columns: list[Column], claim: Indicator) -> int:
    small = min(claim.delta, claim.measure)
    return kernel_precision(statement, columns, small)


class LayerSearch(BoxSearch):
    """The layer of one output column: `measure` bounds it, as of the last refinement; `boxes` counts those examined."""

    def __init__(
        self,
        head: FloatHead,
        box: Box,
        *,
        delta: Fraction,
        silence: int,
        conditions: Sequence[Condition] = (),
    ) -> None:
        """Set up a search as in BoxSearch, and examine the whole box."""
        super().__init__(None, (), head, box, silence=silence, conditions=conditions)
        self.delta = float_down(delta) * (1 - MARGIN)
        self.volume = float_up(math.prod((hi - lo for lo, hi in box.sides), start=Fraction(1)))
        self.tree = SplitTree()
        self.layer, self.tilt = self._examine(self.root())
        self.boxes = 1

    @property
    def measure(self) -> float:
        """An upper bound on the volume of the layer.

        Rounding argument. Volumes of boxes are the volume of the domain, rounded up, times powers of two; a sum of n
        of them errs by at most n u relative to it, and moves by twice that and by the least normal number a box.
        """
        n = len(self.layer.node)
        parts = self.volume * np.ldexp(1.0, -self.layer.level.sum(axis=1))
        return float(np.sum(parts)) * (1 + 2.0**-52 * (n + 4)) + n * 2.0**-1022

    @property
    def proved(self) -> float:
        """The part of the domain's volume outside the layer, for people."""
        return 1 - float(np.sum(np.ldexp(1.0, -self.layer.level.sum(axis=1))))

    @property
    def nbytes(self) -> int:
        """Bytes of the layer, which is copied while some boxes are replaced, and of the tree."""
        return COPIES * (self.layer.nbytes + self.tilt.nbytes) + self.tree.nbytes

    def refine(self) -> bool:
        """Halve the largest boxes of the layer; false when none can be halved."""
        layer = self.layer
        depth = layer.level.sum(axis=1)
        allowed = np.any(self.grid.splittable & (layer.level < MAX_LEVEL), axis=1)
        if not allowed.any():
            return False
        chosen = np.flatnonzero(allowed & (depth == depth[allowed].min()))
        chosen = chosen[: max(1, int(np.searchsorted(np.cumsum(layer.counts[chosen]), ROUND_ENTRIES)))]
        axes = self._axes(chosen)
        fresh, tilt = self._examine(self.children(select(layer, chosen), axes, self.tree))
        self.boxes += 2 * len(chosen)
        rest = np.ones(len(depth), np.bool_)
        rest[chosen] = False
        self.layer = Block.join([select(layer, np.flatnonzero(rest)), fresh])
        self.tilt = np.concatenate([self.tilt[rest], tilt])
        return True

    def preorder(self) -> str:
        """The tree, with the marks of its leaves."""
        self.tree.mark(self.layer.node, LAYER)
        return self.tree.preorder()

    def _axes(self, chosen: IntArray) -> npt.NDArray[np.int8]:
        """The axes along which the scores differ most on the boxes."""
        allowed = self.grid.splittable & (self.layer.level[chosen] < MAX_LEVEL)
        return np.asarray(np.where(allowed, self.tilt[chosen], -1.0).argmax(axis=1), np.int8)

    def _examine(self, block: Block) -> tuple[Block, FloatArray]:
        """The boxes of a block that are left in the layer, with fewer tokens, and the tilt of the scores there."""
        with np.errstate(all="ignore"):
            lo, hi = self.grid.ends(block)
            outside = classify(self.conditions, lo, hi)[1]
            centre = 0.5 * (lo + hi)
            radius = up(np.maximum(hi - centre, centre - lo))
            block, d_centre, d_radius, tilt = self.activate(block, centre, radius)
            passed = self._one_hot(block, d_centre, d_radius)
            self.tree.mark(block.node[outside & ~passed], OUTSIDE)
            rest = np.flatnonzero(~(passed | outside))
            return select(block, rest), tilt[rest]

    def _one_hot(self, block: Block, d_centre: FloatArray, d_radius: FloatArray) -> BoolArray:
        """Tell on which boxes 2 (1 - p_r) <= delta.

        Rounding argument. Each exponential carries EXP_ERROR; a sum of n of them errs by at most n u relative to it. (S
        + W) / (1 + S) increases with S, as W < 1, and with W, and is computed by three roundings. The radius is 0 for
        the reference token only: all others hold the slack of the scores. NaN fails.
        """
        term = np.where(d_radius > 0, np.exp(d_centre + d_radius) * (1 + EXP_ERROR), 0.0)
        total = np.add.reduceat(term, starts_of(block.counts)) * (1 + (block.counts + 4) * 2 * UNIT)
        leak = up(block.dropped * self.leak)
        return np.asarray((leak < 1) & (2 * (total + leak) / (1 + total) * (1 + 8 * UNIT) <= self.delta))
