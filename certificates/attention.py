"""The attention head of the paper, as full exact matrices.

Columns are tokens. With an input X of shape (d, n),

    Z    = sum_h P_h X Q_h + R                          P_h: (d_z, d)   Q_h: (n, n_z)   R: (d_z, n_z)
    T(X) = W_V Z softmax((W_K Z)^T W_Q Z) W_O           W_K, W_Q: (d_k, d_z)   W_V: (d_o, d_z)   W_O: (n_z, n_o)

where softmax acts on each column and each column of W_O selects one output column (arXiv 2504.19901, Section 2: a
single-head self-attention layer after a sum of linear transformations).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, overload

import mpmath
import numpy as np
import numpy.typing as npt

from attncert.certificates.errors import InvalidAttention
from attncert.certificates.matrix import (
    ZERO,
    Matrix,
    Row,
    add_rows,
    columns_with_entries,
    matrix_from_json,
    row_entry,
    scale_row,
    to_floats,
)
from attncert.certificates.numbers import mpf_to_fraction

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SelfAttention:
    """Single-head self-attention after a sum of linear transformations."""

    kind: ClassVar[str] = "self"

    input_shape: tuple[int, int]
    linear: tuple[tuple[Matrix, Matrix], ...]
    R: Matrix
    W_K: Matrix
    W_Q: Matrix
    W_V: Matrix
    W_O: Matrix

    def __post_init__(self) -> None:
        """Refuse shapes that do not fit together, and a W_O that does not select columns (InvalidAttention)."""
        d, n = self.input_shape
        d_z, n_z = self.R.shape
        expected = [("W_K", self.W_K, (self.W_K.shape[0], d_z)), ("W_Q", self.W_Q, (self.W_K.shape[0], d_z))]
        expected += [("W_V", self.W_V, (self.W_V.shape[0], d_z)), ("W_O", self.W_O, (n_z, self.W_O.shape[1]))]
        for h, (P, Q) in enumerate(self.linear, start=1):
            expected += [(f"P_{h}", P, (d_z, d)), (f"Q_{h}", Q, (n, n_z))]
        for name, matrix, shape in expected:
            if matrix.shape != shape:
                raise InvalidAttention(f"{name} has shape {matrix.shape}, but {shape} is needed")
        for j, column in enumerate(columns_with_entries(self.W_O)):
            if len(column) != 1 or column[0][1] != 1:
                raise InvalidAttention(f"column {j} of W_O does not select a column: it needs exactly one entry 1")

    @property
    def tokens(self) -> int:
        """The number n_z of columns that compete in the softmax."""
        return self.R.shape[1]

    @property
    def output_shape(self) -> tuple[int, int]:
        """The shape (d_o, n_o) of T(X)."""
        return self.W_V.shape[0], self.W_O.shape[1]

    @property
    def selected_columns(self) -> tuple[int, ...]:
        """For each output column the column of Z that W_O selects."""
        return tuple(column[0][0] for column in columns_with_entries(self.W_O))

    @overload
    def __call__(self, X: FloatArray) -> FloatArray: ...
    @overload
    def __call__(self, X: object, *, precision: int = ...) -> Any: ...
    def __call__(self, X: object, *, precision: int = 106) -> Any:
        """Evaluate the head: T(X), of shape (d_o, n_o).

        A numpy array X of shape (d, n) (or of m entries, taken row by row) is evaluated in float64, without bounds on
        the rounding. Anything else (an mpmath matrix, nested lists of Fraction, mpf, int, str) is evaluated with
        exact scores and mpmath exponentials at `precision` bits; the answer is an mpmath matrix.

        Raises InvalidAttention when X does not have the shape (d, n).
        """
        if isinstance(X, np.ndarray):
            return self._evaluate_float(np.asarray(X, np.float64))
        return self._evaluate_exact(_exact_entries(X, self.input_shape), precision)

    def _evaluate_float(self, X: FloatArray) -> FloatArray:
        if X.size != self.input_shape[0] * self.input_shape[1]:
            raise InvalidAttention(f"the input has shape {X.shape}, but {self.input_shape} is needed")
        X = X.reshape(self.input_shape)
        Z = to_floats(self.R)
        for P, Q in self.linear:
            Z = Z + to_floats(P) @ X @ to_floats(Q)
        queries = to_floats(self.W_Q) @ Z[:, list(self.selected_columns)]
        scores = (to_floats(self.W_K) @ Z).T @ queries
        weights = np.exp(scores - scores.max(axis=0))
        result: FloatArray = (to_floats(self.W_V) @ Z) @ (weights / weights.sum(axis=0))
        return result

    def _evaluate_exact(self, X: Sequence[Sequence[Fraction]], precision: int) -> Any:
        context = mpmath.mp.clone()
        context.prec = precision + 20
        Z = self._embed(X)
        keys, values = _product(self.W_K, Z), _product(self.W_V, Z)
        result = context.matrix(*self.output_shape)
        for j, selected in enumerate(self.selected_columns):
            query = _product(self.W_Q, [row_entry(row, selected) for row in Z])
            scores: Row = ZERO
            for key_row, entry in zip(keys, query, strict=True):
                scores = add_rows(scores, scale_row(row_entry(entry, 0), key_row))
            exact = [row_entry(scores, i) for i in range(self.tokens)]
            best = max(exact)
            weights = [_mpf(context, context.exp(_mpf(context, score - best))) for score in exact]
            total = context.fsum(weights)
            for r, row in enumerate(values):
                terms = (_mpf(context, row_entry(row, i)) * weight for i, weight in enumerate(weights))
                result[r, j] = context.fsum(terms) / total
        return result

    def _embed(self, X: Sequence[Sequence[Fraction]]) -> list[Row]:
        """Z = sum_h P_h X Q_h + R, by rows."""
        Z = [self.R.row(r) for r in range(self.R.shape[0])]
        for P, Q in self.linear:
            rows_Q = [Q.row(b) for b in range(Q.shape[0])]
            for r in range(P.shape[0]):
                for a, entry in P.row_items(r):
                    for b, row in enumerate(rows_Q):
                        Z[r] = add_rows(Z[r], scale_row(entry * X[a][b], row))
        return Z

    def to_json(self) -> dict[str, object]:
        """The `attention` object of a certificate."""
        matrices = {name: getattr(self, name).to_json() for name in ("R", "W_K", "W_Q", "W_V", "W_O")}
        linear = [{"P": P.to_json(), "Q": Q.to_json()} for P, Q in self.linear]
        return {"kind": self.kind, "input_shape": list(self.input_shape), "linear": linear, **matrices}


def attention_from_json(value: object) -> SelfAttention:
    """Read the `attention` object of a certificate; raises InvalidAttention or InvalidNumber."""
    names = {"R", "W_K", "W_Q", "W_V", "W_O"}
    if not isinstance(value, Mapping) or value.get("kind") != "self":
        raise InvalidAttention('the attention of a certificate has the kind "self"')
    if set(value) != names | {"kind", "input_shape", "linear"}:
        raise InvalidAttention("self-attention has the keys kind, input_shape, linear, R, W_K, W_Q, W_V, W_O")
    shape = value["input_shape"]
    if not (isinstance(shape, list) and len(shape) == 2 and all(type(size) is int and size >= 1 for size in shape)):
        raise InvalidAttention("input_shape is a pair of positive integers")
    if not isinstance(value["linear"], list):
        raise InvalidAttention("linear is a list of pairs P, Q")
    linear = []
    for h, pair in enumerate(value["linear"], start=1):
        if not isinstance(pair, Mapping) or set(pair) != {"P", "Q"}:
            raise InvalidAttention(f"term {h} of linear is an object with the keys P and Q")
        linear.append((matrix_from_json(pair["P"], f"P_{h}"), matrix_from_json(pair["Q"], f"Q_{h}")))
    matrices = {name: matrix_from_json(value[name], name) for name in names}
    return SelfAttention(input_shape=(shape[0], shape[1]), linear=tuple(linear), **matrices)


def _product(W: Matrix, Z: Sequence[Row]) -> list[Row]:
    """W Z, by rows."""
    product: list[Row] = []
    for i in range(W.shape[0]):
        row: Row = ZERO
        for j, entry in W.row_items(i):
            row = add_rows(row, scale_row(entry, Z[j]))
        product.append(row)
    return product


def _mpf(context: Any, x: Any) -> Any:
    return context.mpf(x.numerator) / x.denominator if isinstance(x, Fraction) else x


def _exact_entries(X: object, shape: tuple[int, int]) -> list[list[Fraction]]:
    """The input as exact rationals, by rows."""
    rows = X.tolist() if hasattr(X, "tolist") else X
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        rows = [rows]
    flat = [entry for row in rows for entry in (row if isinstance(row, list | tuple) else [row])]
    if len(flat) != shape[0] * shape[1]:
        raise InvalidAttention(f"the input has {len(flat)} entries, but {shape[0]} x {shape[1]} are needed")
    exact = [mpf_to_fraction(entry) if isinstance(entry, mpmath.mpf) else Fraction(entry) for entry in flat]
    return [exact[i * shape[1] : (i + 1) * shape[1]] for i in range(shape[0])]
