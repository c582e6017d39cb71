"""Exact matrices, dense or sparse, and the row arithmetic that the reduction of a head needs.

A head has as many columns as tokens and few rows, so a matrix is held by rows. A row that repeats one number is
held as that number: the broadcast rows of the paper's linear transformations then cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import numpy as np
import numpy.typing as npt

from attncert.certificates.errors import InvalidAttention
from attncert.certificates.numbers import format_exact, parse_exact

Row = Fraction | Sequence[Fraction]
"""A row of a matrix: its entries, or the one number that fills it."""

ZERO = Fraction(0)
ONE = Fraction(1)


def add_rows(x: Row, y: Row) -> Row:
    """The entrywise sum; a zero row costs nothing."""
    if isinstance(x, Fraction):
        if x == 0:
            return y
        return x + y if isinstance(y, Fraction) else [x + b for b in y]
    if isinstance(y, Fraction):
        return add_rows(y, x)
    return [a + b for a, b in zip(x, y, strict=True)]


def scale_row(factor: Fraction, row: Row) -> Row:
    """The row times a number; the factors 0 and 1 cost nothing."""
    if factor == 0:
        return ZERO
    if factor == 1:
        return row
    return factor * row if isinstance(row, Fraction) else [factor * entry for entry in row]


def row_entry(row: Row, j: int) -> Fraction:
    """Entry j of a row."""
    return row if isinstance(row, Fraction) else row[j]


def row_is_zero(row: Row) -> bool:
    """Tell whether every entry is 0."""
    return row == 0 if isinstance(row, Fraction) else not any(row)


@dataclass(frozen=True)
class DenseMatrix:
    """A matrix by rows: shape (r, c), r rows that are each c numbers or one number that fills the row."""

    shape: tuple[int, int]
    rows: tuple[Row, ...] = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse rows that do not fit the shape (InvalidAttention)."""
        if len(self.rows) != self.shape[0] or any(
            not isinstance(row, Fraction) and len(row) != self.shape[1] for row in self.rows
        ):
            raise InvalidAttention(f"the rows do not make a matrix of shape {self.shape}")

    def row(self, i: int) -> Row:
        """Row i."""
        return self.rows[i]

    def row_items(self, i: int) -> Iterator[tuple[int, Fraction]]:
        """The nonzero entries (j, number) of row i."""
        row = self.rows[i]
        entries = [row] * self.shape[1] if isinstance(row, Fraction) else row
        return ((j, entry) for j, entry in enumerate(entries) if entry)

    def to_json(self) -> dict[str, object]:
        """The certificate's form, by rows."""
        return {"shape": list(self.shape), "rows": [_row_json(row) for row in self.rows]}


@dataclass(frozen=True)
class SparseMatrix:
    """A matrix of shape (r, c) given by its nonzero entries {(i, j): number}."""

    shape: tuple[int, int]
    entries: Mapping[tuple[int, int], Fraction] = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse entries outside the shape (InvalidAttention)."""
        for i, j in self.entries:
            if not (0 <= i < self.shape[0] and 0 <= j < self.shape[1]):
                raise InvalidAttention(f"entry ({i}, {j}) lies outside a matrix of shape {self.shape}")

    @cached_property
    def _by_row(self) -> dict[int, list[tuple[int, Fraction]]]:
        by_row: dict[int, list[tuple[int, Fraction]]] = {}
        for (i, j), number in self.entries.items():
            if number:
                by_row.setdefault(i, []).append((j, number))
        return by_row

    def row(self, i: int) -> Row:
        """Row i; a row without entries is the number 0."""
        items = list(self.row_items(i))
        if not items:
            return ZERO
        row = [ZERO] * self.shape[1]
        for j, number in items:
            row[j] = number
        return row

    def row_items(self, i: int) -> Iterator[tuple[int, Fraction]]:
        """The nonzero entries (j, number) of row i."""
        return iter(self._by_row.get(i, ()))

    def to_json(self) -> dict[str, object]:
        """The certificate's form, by entries."""
        return {
            "shape": list(self.shape),
            "entries": [[i, j, format_exact(number)] for (i, j), number in sorted(self.entries.items())],
        }


Matrix = DenseMatrix | SparseMatrix


def _row_json(row: Row) -> object:
    return format_exact(row) if isinstance(row, Fraction) else [format_exact(entry) for entry in row]


def columns_with_entries(matrix: Matrix) -> list[list[tuple[int, Fraction]]]:
    """For each column the nonzero entries (i, number)."""
    columns: list[list[tuple[int, Fraction]]] = [[] for _ in range(matrix.shape[1])]
    for i in range(matrix.shape[0]):
        for j, number in matrix.row_items(i):
            columns[j].append((i, number))
    return columns


def to_floats(matrix: Matrix) -> npt.NDArray[np.float64]:
    """The matrix in float64, each entry rounded to nearest; shape (r, c)."""
    out = np.zeros(matrix.shape)
    for i in range(matrix.shape[0]):
        if isinstance(matrix, SparseMatrix):
            for j, number in matrix.row_items(i):
                out[i, j] = float(number)
        else:
            out[i] = row_to_floats(matrix.row(i), matrix.shape[1])
    return out


def row_to_floats(row: Row, length: int) -> npt.NDArray[np.float64]:
    """A row in float64, each entry rounded to nearest; shape (length,)."""
    if isinstance(row, Fraction):
        return np.full(length, float(row))
    return np.fromiter((float(entry) for entry in row), np.float64, length)


def matrix_from_json(value: object, name: str) -> Matrix:
    """Read a matrix of a certificate; raises InvalidAttention naming the matrix, or InvalidNumber."""
    if not isinstance(value, dict) or not (
        isinstance(shape := value.get("shape"), list)
        and len(shape) == 2
        and all(isinstance(size, int) and not isinstance(size, bool) and size >= 1 for size in shape)
    ):
        raise InvalidAttention(f'{name}: a matrix has a "shape" of two positive integers')
    rows, columns = shape
    try:
        if set(value) == {"shape", "rows"} and isinstance(value["rows"], list):
            return DenseMatrix((rows, columns), tuple(_row_from_json(row) for row in value["rows"]))
        if set(value) == {"shape", "entries"} and isinstance(value["entries"], list):
            return SparseMatrix((rows, columns), _entries_from_json(value["entries"]))
    except InvalidAttention as error:
        raise InvalidAttention(f"{name}: {error}") from None
    raise InvalidAttention(f'{name}: a matrix has a "shape" and either "rows" or "entries"')


def _row_from_json(row: object) -> Row:
    if isinstance(row, str):
        return parse_exact(row)
    if not isinstance(row, list) or not all(isinstance(entry, str) for entry in row):
        raise InvalidAttention("a row is a list of exact numbers, or one that fills it")
    known = _Numbers()  # grid heads repeat their numbers
    return [known[entry] for entry in row]


class _Numbers(dict[str, Fraction]):
    """Exact numbers by their spelling, each parsed once."""

    def __missing__(self, text: str) -> Fraction:
        number = self[text] = parse_exact(text)
        return number


def _entries_from_json(items: list[object]) -> dict[tuple[int, int], Fraction]:
    entries: dict[tuple[int, int], Fraction] = {}
    for item in items:
        if not (
            isinstance(item, list)
            and len(item) == 3
            and all(isinstance(k, int) and not isinstance(k, bool) for k in item[:2])
            and isinstance(item[2], str)
        ):
            raise InvalidAttention("an entry is [row, column, exact number]")
        if (item[0], item[1]) in entries:
            raise InvalidAttention(f"entry ({item[0]}, {item[1]}) is given twice")
        entries[item[0], item[1]] = parse_exact(item[2])
    return entries
