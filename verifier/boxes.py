"""Boxes with their active tokens: what every branch and bound here is made of.

A block holds many boxes that are bounded at once and, concatenated, their active tokens; `counts` says how many each
has. Children inherit the active tokens of their parent, so the work for a box shrinks with the box.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from attncert.certificates.condition import Condition
from attncert.certificates.domain import Box
from attncert.certificates.evaluate import evaluate_float
from attncert.certificates.numbers import float_down, float_up
from attncert.certificates.target import Target
from attncert.verifier.head import UNIT, Curves, FloatArray, FloatHead
from attncert.verifier.tree import SplitTree

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MAX_LEVEL = 48
"""Most halvings of one side; 2^-48 of a side is at the resolution of float64."""

COPIES = 3
"""How often the boxes of a search are held in memory while some are replaced, at most."""

EXP_ERROR = 2.0**-49
"""Relative error allowed to numpy's exp: 16 units in the last place, where good libraries stay below 2."""


FIELDS = ("node", "index", "level", "dropped", "counts", "tokens")


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

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(int(getattr(self, name).nbytes) for name in FIELDS)

    def cut(self, costs: IntArray, most: int) -> list[Block]:
        """Blocks of successive boxes whose costs, (B,), add up to at most `most` in each, but of at least one box."""
        ends = np.cumsum(costs)
        if not len(ends) or ends[-1] <= most:
            return [self]
        blocks, start = [], 0
        while start < len(ends):
            spent = int(ends[start - 1]) if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, spent + most, side="right")))
            blocks.append(self.piece(start, stop).copied())
            start = stop
        return blocks

    def copied(self) -> Block:
        """The same boxes in arrays of their own, so that a piece does not keep the whole in memory."""
        return Block(*(getattr(self, name).copy() for name in FIELDS))

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
        return Block(*(np.concatenate([getattr(block, name) for block in blocks]) for name in FIELDS))


@dataclass(frozen=True)
class Progress:
    """How far a search has come: the proved part of the domain's volume, the boxes examined, the tokens.

    In the sup norm also the largest error seen so far, a float64 estimate, and the bound that is being proved.
    """

    fraction: float
    boxes: int
    tokens: int
    worst: float | None = None
    bound: float | None = None


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


class BoxSearch:
    """The common part of searches: the boxes, their active tokens, and where to split them, for one output column."""

    target: Target | None = None

    def __init__(
        self,
        target: Target | None,
        entries: Sequence[int],
        head: FloatHead,
        box: Box,
        *,
        silence: int,
        conditions: Sequence[Condition] = (),
    ) -> None:
        """Set up a search; without a target, one about the softmax alone.

        `entries` are the places (row-major) of the column's entries in the target; `silence` is the number k of bits
        of a silent token; the conditions cut the domain out of the box.
        """
        self.entries, self.head = list(entries), head
        if target is not None:
            self.target = target
        self.grid = Grid(box)
        self.conditions = tuple(conditions)
        self.tau = silence * math.log(2) * (1 + 2**-40)
        self.leak = 2.0**-silence

    def root(self) -> Block:
        """The whole box with all tokens."""
        m, n = self.head.keys.shape
        zeros = np.zeros((1, m), np.int64)
        one = np.zeros(1, np.int64)
        return Block(one, zeros, zeros, one, np.array([n]), np.arange(n, dtype=np.int32))

    def activate(
        self, block: Block, centre: FloatArray, radius: FloatArray
    ) -> tuple[Block, FloatArray, FloatArray, FloatArray]:
        """Drop the silent tokens; return the block and, for each token left, the centre and radius of d_i.

        d_i lies within the radius of the centre on its box. The reference token has d = 0 exactly. Last comes, for each
        box and axis, the largest part that the axis has in the radius of a token left, (B, m).
        """
        head, tokens = self.head, block.tokens
        starts = starts_of(block.counts)
        of = np.repeat(np.arange(len(block.counts)), block.counts)
        coefficients = [keys[tokens] for keys in head.keys]
        score = head.biases[tokens]
        for k, a in enumerate(coefficients):
            score += a * centre[of, k]
        curves: Curves = head.around(tokens, centre[of], coefficients, score) if head.products else {}
        best = np.maximum.reduceat(score, starts)
        is_best = np.flatnonzero(score == best[of])
        reference = is_best[np.searchsorted(is_best, starts)]
        parts = [np.abs(a - a[reference][of]) * radius[of, k] for k, a in enumerate(coefficients)]
        for (j, k), curve in curves.items():
            half = 0.5 * np.abs(curve - curve[reference][of]) * radius[of, j] * radius[of, k]
            parts[j] += half
            parts[k] += half
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

    def value_ranges(
        self, r: int, block: Block, live: IntArray, picked: IntArray | slice, centre: FloatArray, radius: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """The least and greatest values in row r over the boxes `live`, up to `value_slack`, for each of their tokens.

        `picked` are the places of these tokens. Where values do not depend on x, both are the same array.
        """
        if not self.head.slopes:
            values = self.head.values[r, block.tokens[picked]]
            return values, values
        tokens, of = block.tokens[picked], np.repeat(live, block.counts[live])
        values, reach = self.head.values_at(r, tokens, centre[of]), np.zeros(len(of))
        for part in self.head.parts_of(r, tokens, radius[of]).values():
            reach += np.abs(part)
        return values - reach, values + reach

    def split_axes(
        self, block: Block, rest: IntArray, lo: FloatArray, hi: FloatArray, centre: FloatArray, tilt: FloatArray
    ) -> npt.NDArray[np.int8]:
        """For each unproved box the axis to halve; -1 where no side can be.

        The merit of an axis is its share in how much the target varies from the centre, plus twice its share in how
        much the scores do: the second keeps boxes from staying long where the target is flat. Where values depend on x
        both are errors instead, so that an axis without scores has its turn as the others become short.
        """
        m = centre.shape[1]
        allowed = self.grid.splittable & (block.level[rest] < MAX_LEVEL)
        if m == 1:
            return np.where(allowed[:, 0], 0, -1).astype(np.int8)
        if self.head.slopes and self.target is not None:
            merit = self._variation(rest, lo, hi, centre) + self._mixing(block, rest, lo, hi, centre, tilt[rest])
        else:
            merit = shares(self._variation(rest, lo, hi, centre)) + 2 * shares(tilt[rest])
        merit = np.where(allowed, np.nan_to_num(merit, nan=0.0), -1.0)
        return np.where(allowed.any(axis=1), merit.argmax(axis=1), -1).astype(np.int8)

    def _variation(self, rest: IntArray, lo: FloatArray, hi: FloatArray, centre: FloatArray) -> FloatArray:
        """How much the target varies along each axis from the centre of the boxes, (rest, m).

        Values that depend on x follow its slope: then only how much it bends counts.
        """
        m = centre.shape[1]
        variation = np.zeros((len(rest), m))
        if self.target is None:
            return variation
        middle = centre[rest]
        at_centre = evaluate_float(self.target, middle)[:, self.entries]
        for k in range(m):
            changes = []
            for end in (lo, hi):
                point = middle.copy()
                point[:, k] = end[rest, k]
                changes.append(evaluate_float(self.target, point)[:, self.entries] - at_centre)
            if self.head.slopes:
                changes = [changes[0] + changes[1]]
            for change in changes:
                variation[:, k] = np.fmax(variation[:, k], np.abs(change).max(axis=1))
        return variation

    def _mixing(
        self, block: Block, rest: IntArray, lo: FloatArray, hi: FloatArray, centre: FloatArray, tilt: FloatArray
    ) -> FloatArray:
        """About how much the softmax moves along each axis of the boxes between values that depend on x, (rest, m).

        With dv the spread of the active tokens' values over the box and dg_k that of their slopes, the change of the
        scores along axis k moves the head by tilt_k dv, and changes along all axes meet dg_k r_k.
        """
        picked, starts = select_entries(block.counts, rest), starts_of(block.counts[rest])
        tokens, of = block.tokens[picked], np.repeat(rest, block.counts[rest])
        radius = 0.5 * (hi - lo)
        mixing = np.zeros_like(tilt)
        for r in range(len(self.entries)):
            across = _spread(self.head.values_at(r, tokens, centre[of]), starts)
            sloped = {k: _spread(part, starts) for k, part in self.head.parts_of(r, tokens, radius[of]).items()}
            own = tilt * (across + sum(sloped.values()))[:, None]
            for k, spread in sloped.items():
                own[:, k] += tilt.sum(axis=1) * spread
            mixing = np.fmax(mixing, own)
        return mixing

    def children(self, block: Block, axes: npt.NDArray[np.int8], tree: SplitTree) -> Block:
        """Halve the boxes along the axes (B,), in the tree too: the lower halves, then the upper ones."""
        lower = tree.split(block.node, axes)
        level, index = block.level.copy(), block.index.copy()
        rows = np.arange(len(axes))
        level[rows, axes] += 1
        index[rows, axes] *= 2
        upper_index = index.copy()
        upper_index[rows, axes] += 1
        low = replace(block, node=lower, level=level, index=index)
        return Block.join([low, replace(low, node=lower + 1, index=upper_index)])


def _spread(entries: FloatArray, starts: IntArray) -> FloatArray:
    """The greatest less the least of each group."""
    return np.asarray(np.maximum.reduceat(entries, starts) - np.minimum.reduceat(entries, starts))


def shares(parts: FloatArray) -> FloatArray:
    """Each row over its sum; equal shares where that is 0 or not finite."""
    total = parts.sum(axis=1, keepdims=True)
    shares: FloatArray = np.where((total > 0) & np.isfinite(total), parts / total, 1 / parts.shape[1])
    return shares


def starts_of(counts: IntArray) -> IntArray:
    """Where the tokens of each box begin in the concatenation."""
    starts = np.zeros(len(counts), np.int64)
    np.cumsum(counts[:-1], out=starts[1:])
    return starts


def select_entries(counts: IntArray, boxes: IntArray) -> IntArray | slice:
    """The places of the given boxes' tokens among all; a slice when that is everything."""
    if len(boxes) == len(counts):
        return slice(None)
    mask = np.zeros(len(counts), np.bool_)
    mask[boxes] = True
    return np.flatnonzero(np.repeat(mask, counts))


def select(block: Block, boxes: IntArray) -> Block:
    """The block of the given boxes (ascending places) with their tokens."""
    if len(boxes) == len(block.node):
        return block
    tokens = block.tokens[select_entries(block.counts, boxes)]
    return Block(
        block.node[boxes], block.index[boxes], block.level[boxes], block.dropped[boxes], block.counts[boxes], tokens
    )
