"""A second opinion on enlarged regions: Z3's nonlinear real arithmetic about piecewise polynomial targets.

Nothing rests on it. After intervals have shown |f - v_i| <= delta on a region, Z3 is asked for a point of the region
where that fails. `unsat` agrees; a point is put into the exact conditions, and if it holds up, one of the two proofs is
wrong. No answer in time is none.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from attncert.certificates.condition import satisfied
from attncert.certificates.deadline import Deadline
from attncert.certificates.evaluate import evaluate_mp
from attncert.certificates.matrix import row_entry
from attncert.certificates.numbers import mpf_to_fraction
from attncert.certificates.statement import Statement
from attncert.certificates.target import Target
from attncert.verifier.cells import Cells, Point
from attncert.verifier.farkas import value_at
from attncert.verifier.outcome import Column
from attncert.verifier.polytopes import Contradiction, Polytope
from attncert.verifier.reduction import ReducedHead
from attncert.verifier.solver import Solver

PATIENCE = 2.0
"""Seconds that Z3 is given for a region."""

DEGREE = 64
"""Greatest exponent that Z3 is asked about."""

BITS = 400
"""Precision at which the target is evaluated where Z3 says that it is too far from a value."""

_ARITHMETIC = frozenset({"const", "var", "neg", "add", "sub", "mul", "div", "ipow"})
_PIECEWISE = frozenset({"abs", "min", "max", "sign", "less", "less_equal", "not_", "and_", "or_", "where"})


@dataclass(frozen=True)
class Opinion:
    """About how many regions Z3 agreed, and was asked, out of how many; 0 of 0 where it was not to be asked."""

    agreed: int = 0
    asked: int = 0
    regions: int = 0

    def __add__(self, other: Opinion) -> Opinion:
        """The sum."""
        return Opinion(self.agreed + other.agreed, self.asked + other.asked, self.regions + other.regions)

    def words(self) -> str | None:
        """What is to be said, if anything."""
        if not self.regions:
            return None
        parts = [f"Z3's nonlinear arithmetic agrees on {self.agreed} of {self.regions} regions"]
        if self.agreed < self.asked:
            parts.append(f"gave no answer on {self.asked - self.agreed}")
        if self.asked < self.regions:
            parts.append(f"was not asked about {self.regions - self.asked} for want of time")
        return ", ".join(parts)


class Opinions:
    """Asks Z3 about the regions of a statement, for so many seconds altogether."""

    def __init__(
        self, statement: Statement, delta: Fraction, solver: Solver, seconds: float, deadline: Deadline
    ) -> None:
        """Spell the target and the conditions for Z3, if they are piecewise polynomial."""
        self.statement, self.delta, self.solver, self.deadline = statement, delta, solver, deadline
        self.end = time.monotonic() + seconds
        conditions = [condition.indicator for condition in statement.conditions]
        self.known = all(map(is_piecewise_polynomial, [statement.function, *conditions]))
        if self.known:
            self.tape = _spelled(statement.function)
            self.conditions = [[_spelled(condition), condition.outputs[0]] for condition in conditions]

    def about(
        self, column: Column, head: ReducedHead, cells: Cells, regions: Sequence[tuple[Polytope, Sequence[int]]]
    ) -> Opinion:
        """Z3's opinion about regions of a column, given with their rivals; cells are enlarged. Raises Contradiction.

        It is not asked about values that depend on the input.
        """
        if not self.known or head.slopes:
            return Opinion()
        outputs = [self.statement.function.outputs[entry] for entry in column.entries]
        agreed = asked = 0
        for polytope, rivals in regions:
            left = min(PATIENCE, self.end - time.monotonic())
            if left <= 0 or self.deadline.passed():
                break
            asked += 1
            values = [row_entry(row, polytope.token) for row in head.values]
            rows = cells.leads(polytope.token, rivals)
            self.solver.polytope(rows, cells.box.sides)
            answer = self.solver.ask_about(
                {
                    "tape": self.tape,
                    "outputs": outputs,
                    "values": list(map(_ratio, values)),
                    "delta": _ratio(self.delta),
                    "conditions": self.conditions,
                },
                left,
            )
            if answer is None:
                continue
            if answer.point is None:
                agreed += 1
            elif all(value_at(row, answer.point) >= 0 for row in rows.values()):
                self._examine(answer.point, column, values, polytope.token)
        return Opinion(agreed, asked, len(regions))

    def _examine(self, point: Point, column: Column, values: Sequence[Fraction], token: int) -> None:
        """Raise Contradiction if a point of a region is one at which the target is too far from the values."""
        if point not in self.statement.domain or not satisfied(self.statement.conditions, point):
            return
        found = evaluate_mp(self.statement.function, point, BITS)
        gaps = [abs(mpf_to_fraction(found[entry]) - v) for entry, v in zip(column.entries, values, strict=True)]
        if max(gaps) > self.delta * (1 + Fraction(1, 1 << BITS // 2)):
            place = ", ".join(map(str, point))
            raise Contradiction(
                f"intervals prove that the target is near the value of token {token}, but at ({place}) it is not"
            )


def is_piecewise_polynomial(target: Target) -> bool:
    """Tell whether a target is made of polynomials by abs, min, max, sign, where and comparisons."""
    for op, args, payload in target.tape:
        if op not in _ARITHMETIC | _PIECEWISE:
            return False
        if op == "div" and not _is_number(target, args[1]):
            return False
        if op == "ipow" and not (isinstance(payload, int) and 0 <= payload <= DEGREE):
            return False
    return True


def _is_number(target: Target, slot: int) -> bool:
    """Tell whether a slot is a literal that is not 0."""
    instruction = target.tape[slot]
    return instruction.op == "const" and bool(instruction.payload)


def _spelled(target: Target) -> list[list[object]]:
    return [
        [op, list(args), _ratio(payload) if isinstance(payload, Fraction) else payload]
        for op, args, payload in target.tape
    ]


def _ratio(number: Fraction) -> list[str]:
    return [hex(number.numerator), hex(number.denominator)]
