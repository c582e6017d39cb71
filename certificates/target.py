"""Targets: the functions that a head approximates, as linear programs over the entries of the input."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from attncert.certificates.errors import InvalidTarget
from attncert.certificates.parser import Instruction, parse, variables_used

__all__ = ["InputSpace", "Instruction", "Target", "parse_target", "run", "variables_used"]


Shape = tuple[int, int]


@dataclass(frozen=True)
class InputSpace:
    """The vector x of all entries of the input: of a d x n matrix X, read row by row; in cross-attention of K, then Q.

    `shape` is that of X, or of K when `query_shape`, that of Q, is given.
    """

    shape: Shape
    query_shape: Shape | None = None

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """The shapes of the inputs, in the order of their entries."""
        return (self.shape,) if self.query_shape is None else (self.shape, self.query_shape)

    @property
    def size(self) -> int:
        """The number m of entries."""
        return sum(rows * columns for rows, columns in self.shapes)

    def entry(self, name: str) -> int:
        """Return the index of `xK`, or of `x` when there is one entry; raises InvalidTarget for other names."""
        if self.query_shape is None:
            if name == "x":
                if self.size == 1:
                    return 0
                raise InvalidTarget(f"'x' alone names the entry of a one-dimensional domain; {self._inventory()}")
            if re.fullmatch(r"x[0-9]+", name) and (index := _small(name[1:])) < self.size:
                return index
        if name in ("X", "K", "Q"):
            raise InvalidTarget(f"{name!r} is a matrix, its entries are {name}[i,j]; {self._inventory()}")
        shortened = name if len(name) <= 30 else f"{name[:27]}..."
        raise InvalidTarget(f"unknown variable {shortened!r}; {self._inventory()}")

    def matrix_entry(self, letter: str, row: str, column: str) -> int:
        """Return the index of `letter[row,column]`, given the digits; raises InvalidTarget when there is none."""
        offset = 0
        for name, (rows, columns) in zip(self._letters, self.shapes, strict=True):
            if name == letter:
                i, j = _small(row), _small(column)
                if i >= rows or j >= columns:
                    place = f"[{row[:9]},{column[:9]}]"
                    raise InvalidTarget(f"{name} has no entry {place}: {name} is {rows} x {columns}, counted from 0")
                return offset + i * columns + j
            offset += rows * columns
        raise InvalidTarget(f"unknown matrix {letter!r}; {self._inventory()}")

    def variable_name(self, index: int) -> str:
        """Return the name of an entry for messages: x, xK for a column, X[i,j], K[i,j] or Q[i,j] for a matrix."""
        if self.query_shape is None and self.shape[1] == 1:
            return "x" if self.size == 1 else f"x{index}"
        for name, (rows, columns) in zip(self._letters, self.shapes, strict=True):
            if index < rows * columns:
                return f"{name}[{index // columns},{index % columns}]"
            index -= rows * columns
        raise IndexError(index)

    @property
    def _letters(self) -> str:
        return "X" if self.query_shape is None else "KQ"

    def _inventory(self) -> str:
        names = [self.variable_name(k) for k in range(min(self.size, 4))]
        if self.size > 4:
            names = [*names[:2], "...", self.variable_name(self.size - 1)]
        return f"the domain has {self.size} side{'s' * (self.size > 1)}: {', '.join(names)}"


@dataclass(frozen=True)
class Target:
    """A function from the entries of the input to a `shape` = (rows, columns) matrix (a scalar is 1 x 1).

    `tape` is a program in single-assignment form: instruction k writes slot k and reads earlier slots. `outputs` are
    the slots of the entries, row by row. `spans[k]` is the place in `source` where slot k first stands.
    """

    source: str
    space: InputSpace
    shape: tuple[int, int]
    tape: tuple[Instruction, ...] = field(repr=False)
    outputs: tuple[int, ...] = field(repr=False)
    spans: tuple[tuple[int, int], ...] = field(repr=False)

    def text(self, slot: int) -> str:
        """Return the source text of a slot, for messages."""
        start, end = self.spans[slot]
        text = " ".join(self.source[start:end].split())
        return text if len(text) <= 60 else f"{text[:57]}..."


def parse_target(source: str, space: InputSpace) -> Target:
    """Parse a target over the entries of the given input.

    Raises InvalidTarget with one line that gives the column (and line), the reason and, where there is one, the remedy.
    """
    tape, spans, outputs, shape = parse(source, space)
    return Target(source, space, shape, tape, outputs, spans)


def run(target: Target, algebra: object) -> list[Any]:
    """Run the tape in an algebra, an object with one method for each operation; returns the outputs.

    A method takes the values of the operands, then the payload if there is one: `const(q)`, `var(index)`, `pi()`,
    `e()`, `neg(a)`, `add sub mul div pow(a, b)`, `ipow(a, n)`, `rpow(a, q)`, `min max(a, b)`, `sin(a)` and the other
    functions, and for conditions `less less_equal(a, b)`, `not_(c)`, `and_ or_(c, d)`, `where(c, a, b)`.
    """
    values: list[Any] = []
    for op, args, payload in target.tape:
        operands = [values[slot] for slot in args]
        method = getattr(algebra, op)
        values.append(method(*operands) if payload is None else method(*operands, payload))
    return [values[slot] for slot in target.outputs]


def _small(digits: str) -> int:
    """Return a small index exactly, and any long one as something out of every range."""
    return int(digits.lstrip("0")[:9] or "0")
