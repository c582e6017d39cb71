"""The same search on integers of any length, for claims that float64 cannot decide: tiny tolerances, huge scores.

Boxes are bounded by the checker's own rules, at as many bits as the tolerance needs. What is found here is therefore
accepted there; what is gained is the search: which boxes, split where, and where the error is largest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, product
from typing import Literal

from attncert.certificates.condition import satisfied
from attncert.certificates.deadline import NEVER, Deadline
from attncert.certificates.document import Document
from attncert.certificates.evidence import Paving
from attncert.certificates.statement import Statement
from attncert.verifier import kernel
from attncert.verifier.boxes import Progress
from attncert.verifier.jensen import expansion_order
from attncert.verifier.outcome import Column, kernel_precision, silence_for
from attncert.verifier.tree import AXES, LEAF_MARK, ORDERS, OUTSIDE_MARK, SCORES

POINTS = 257
"""Points at which the error is looked at first."""

WORK = 20_000
"""Points times tokens in that look, at most."""

ROUNDS = 48
"""Rounds of the climb from the worst of them."""

MAGNITUDE = 1000
"""Values of the target beyond 2^1000 are left alone: exponentials of such sizes take the checker minutes."""

MAX_DEPTH = 400
"""Most halvings above a box."""


@dataclass(frozen=True)
class Worst:
    """The largest error seen: a proved lower bound on it, and where; `entry` is (row, column)."""

    error: Fraction
    point: tuple[Fraction, ...]
    entry: tuple[int, int]


@dataclass(frozen=True)
class IntegerSearch:
    """How a search ended: with evidence, with a larger error than the bound, or before either."""

    status: Literal["proved", "violated", "stopped", "stuck"]
    evidence: Paving | None
    worst: Worst
    boxes: int
    interrupted: bool = False


class ExactClaim:
    """A statement about a sup norm, as the checker reads it."""

    def __init__(self, statement: Statement, columns: Sequence[Column]) -> None:
        """Reduce the head with the checker; raises kernel.Rejected for what is beyond its limits."""
        self.statement, self.columns = statement, columns
        limits = kernel.Limits(magnitude=MAGNITUDE)
        content = kernel.read_document(Document(statement, None, {}).to_bytes(), limits)["statement"]
        self.read = kernel.Statement(content, kernel.Reader(limits))

    def precision(self, bound: Fraction) -> int:
        """Fractional bits for bounds of that size."""
        return kernel_precision(self.statement, self.columns, bound)

    def error(self, point: Sequence[Fraction], entry: tuple[int, int], bits: int) -> Fraction:
        """A proved lower bound on |f - T| at a point; 0 where the target is not known to be defined."""
        if not satisfied(self.statement.conditions, tuple(point)):
            return Fraction(0)
        try:
            lo, hi = kernel.error_at(self.read, list(point), *entry, bits)
        except kernel.Rejected:
            return Fraction(0)
        return Fraction(max(lo, -hi, 0), 1 << bits)

    def largest(self, bits: int, deadline: Deadline = NEVER) -> Worst:
        """The largest error found by sampling a lattice and climbing, one coordinate at a time, from its best point."""
        sides = self.statement.domain.sides
        points = max(1, min(POINTS, WORK // self.read.tokens))
        places = max(2, int(points ** (1 / len(sides)) + 0.5))
        axes = [
            [lo + (hi - lo) * Fraction(k, places - 1) for k in range(places)] if lo < hi else [lo] for lo, hi in sides
        ]
        rows, outputs = self.statement.attention.output_shape
        worst = Worst(Fraction(0), tuple(lo for lo, _ in sides), (0, 0))
        for point in islice(product(*axes), POINTS):
            for entry in product(range(rows), range(outputs)):
                worst = self._better(worst, point, entry, bits)
            if deadline.passed():
                return worst
        return self.climb(worst, bits, deadline, 1 / (places - 1))

    def climb(self, worst: Worst, bits: int, deadline: Deadline, share: float) -> Worst:
        """Try steps along the axes, at first that share of each side, halved when none is better."""
        sides = self.statement.domain.sides
        steps = [Fraction(round(float(hi - lo) * share * 2**60), 2**60) for lo, hi in sides]
        for _ in range(ROUNDS):
            before = worst
            for k, (lo, hi) in enumerate(sides):
                for step in (steps[k], -steps[k]):
                    moved = min(max(worst.point[k] + step, lo), hi)
                    point = (*worst.point[:k], moved, *worst.point[k + 1 :])
                    worst = self._better(worst, point, worst.entry, bits)
            if worst is before:
                steps = [step / 2 for step in steps]
            if deadline.passed():
                break
        return worst

    def _better(self, worst: Worst, point: tuple[Fraction, ...], entry: tuple[int, int], bits: int) -> Worst:
        error = self.error(point, entry, bits)
        return Worst(error, point, entry) if error > worst.error else worst

    def search(
        self,
        bound: Fraction,
        *,
        deadline: Deadline = NEVER,
        max_boxes: int | None = None,
        progress: Callable[[Progress], None] | None = None,
        extra_bits: int = 0,
    ) -> IntegerSearch:
        """Search a paving for the bound on every output column; what is beyond the checker's limits is `stuck`."""
        bits = self.precision(bound) + extra_bits
        silence = max(silence_for(column.head, bound) for column in self.columns) + extra_bits
        state = _State(bits, bound, deadline, max_boxes or 1 << 62, progress)
        trees: list[str] = []
        try:
            for column in range(len(self.columns)):
                walk = kernel.Paving(self.read, column, bits, silence, bound)
                trees.append("".join(self._tree(walk, column, state)))
        except _Ended as end:
            return IntegerSearch(end.status, None, state.worst, state.boxes)
        except kernel.Rejected:
            return IntegerSearch("stuck", None, state.worst, state.boxes)
        except KeyboardInterrupt:
            return IntegerSearch("stopped", None, state.worst, state.boxes, interrupted=True)
        return IntegerSearch("proved", Paving(bound, bits, silence, tuple(trees)), state.worst, state.boxes)

    def _tree(self, walk: kernel.Paving, column: int, state: _State) -> Iterator[str]:
        """The split tree of one output column in preorder, depth first."""
        order = order_for(self.columns[column], state.bound)
        marks = [ORDERS[order - 1], LEAF_MARK]
        if self.columns[column].head.slopes:
            marks.insert(0, SCORES[min(order, len(SCORES)) - 1])
        stack = [(walk.root, walk.all)]
        tokens = self.columns[column].head.tokens
        state.proved = 0.0
        while stack:
            box, active = stack.pop()
            state.count(tokens)
            actives = walk.active(box, active)
            sides = [(lo, hi) for lo, hi, _, _ in box]
            if any(kernel.excludes(condition, sides) for condition in walk.conditions):
                state.close(box)
                yield OUTSIDE_MARK
                continue
            proved = next((mark for mark in marks if _holds(walk, mark, box, actives)), None)
            if proved is None:
                self._look(box, column, state)
                axis = _widest(box, self.statement)
                if axis is None:
                    raise _Ended("stuck")
                lower, upper = walk.halves(box, AXES[axis], "")
                active = [part.tokens for part in actives]
                stack += [(upper, active), (lower, active)]
                yield AXES[axis]
            else:
                state.close(box)
                yield proved

    def _look(self, box: kernel.Box, column: int, state: _State) -> None:
        """Compare the error at the centre of a box with the bound."""
        centre = tuple(
            lo + (hi - lo) * Fraction(2 * index + 1, 2 << level)
            for (lo, hi), (_, _, index, level) in zip(self.statement.domain.sides, box, strict=True)
        )
        for row in range(self.statement.attention.output_shape[0]):
            state.worst = self._better(state.worst, centre, (row, column), state.bits)
        if state.worst.error > state.bound:
            raise _Ended("violated")


def _holds(walk: kernel.Paving, mark: str, box: kernel.Box, actives: list[kernel.Active]) -> bool:
    """Tell whether the rule of a mark proves the bound on a box."""
    try:
        walk.rule(mark, box, actives)
    except kernel.Rejected:
        return False
    return True


class _Ended(Exception):
    """The search is over."""

    def __init__(self, status: Literal["violated", "stopped", "stuck"]) -> None:
        super().__init__(status)
        self.status = status


class _State:
    """What a search shares over its columns."""

    def __init__(
        self,
        bits: int,
        bound: Fraction,
        deadline: Deadline,
        max_boxes: int,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.bits, self.bound, self.deadline, self.max_boxes, self.progress = bits, bound, deadline, max_boxes, progress
        self.boxes, self.proved = 0, 0.0
        self.worst = Worst(Fraction(0), (), (0, 0))

    def close(self, box: kernel.Box) -> None:
        """Note that nothing is left to prove on a box: its part of the column's volume, for people."""
        self.proved += 2.0 ** -sum(level for _, _, _, level in box)

    def count(self, tokens: int) -> None:
        """Note a box, and end the search when it has had its time."""
        self.boxes += 1
        if self.progress is not None and self.boxes % 16 == 0:
            self.progress(Progress(self.proved, self.boxes, tokens))
        if self.boxes > self.max_boxes or self.deadline.passed():
            raise _Ended("stopped")


def _widest(box: kernel.Box, statement: Statement) -> int | None:
    """The axis along which the box has been halved least; None when it is too small."""
    levels = [
        level if lo < hi else MAX_DEPTH for (lo, hi), (_, _, _, level) in zip(statement.domain.sides, box, strict=True)
    ]
    axis = levels.index(min(levels))
    return axis if levels[axis] < MAX_DEPTH else None


def order_for(column: Column, bound: Fraction) -> int:
    """The order that suits the ratio of the values to the bound, at least 4."""
    spread = float(max(column.head.value_max - column.head.value_min))
    return expansion_order(spread, bound, 4, len(ORDERS))


def needed(columns: Sequence[Column], bound: Fraction) -> bool:
    """Tell whether float64 rounding is too coarse for the bound: it costs about 2^-42 of the values."""
    size = max(abs(x) for column in columns for ends in (column.head.value_min, column.head.value_max) for x in ends)
    return Fraction(float(size)) * 16 > bound * 2**42
