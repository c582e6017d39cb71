"""The attention heads of the paper, as full exact matrices.

Columns are tokens. Self-attention of an input X of shape (d, n):

    Z    = sum_h P_h X Q_h + R                          P_h: (d_z, d)   Q_h: (n, n_z)   R: (d_z, n_z)
    T(X) = W_V Z softmax((W_K Z)^T W_Q Z) W_O           W_K, W_Q: (d_k, d_z)   W_V: (d_o, d_z)   W_O: (n_z, n_o)

Cross-attention of X_K and X_Q, each with a sum of linear transformations of its own:

    T(X_K, X_Q) = W_V Z_K softmax((W_K Z_K)^T W_Q Z_Q) W_O

softmax acts on each column, and each column of W_O selects one output column (arXiv 2504.19901, Section 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any, ClassVar

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
Shape = tuple[int, int]
Terms = tuple[tuple[Matrix, Matrix], ...]


@dataclass(frozen=True)
class Side:
    """An input of a head with its sum of linear transformations: Z = sum_h P_h X Q_h + R.

    `shape` is that of X; `offset` is the place of its first entry in the vector x of all input entries.
    """

    shape: Shape
    linear: Terms
    R: Matrix
    offset: int = 0

    def check(self, name: str) -> None:
        """Raise InvalidAttention when the shapes of the terms do not fit."""
        (d, n), (d_z, n_z) = self.shape, self.R.shape
        for h, (P, Q) in enumerate(self.linear, start=1):
            _require_shape(f"P_{h}{name}", P, (d_z, d))
            _require_shape(f"Q_{h}{name}", Q, (n, n_z))

    def embed(self, X: Sequence[Sequence[Fraction]]) -> list[Row]:
        """Z by rows, exactly."""
        Z = [self.R.row(r) for r in range(self.R.shape[0])]
        for P, Q in self.linear:
            rows_Q = [Q.row(b) for b in range(Q.shape[0])]
            for r in range(P.shape[0]):
                for a, entry in P.row_items(r):
                    for b, row in enumerate(rows_Q):
                        Z[r] = add_rows(Z[r], scale_row(entry * X[a][b], row))
        return Z

    def embed_float(self, X: FloatArray) -> FloatArray:
        """Z in float64."""
        if X.shape not in (self.shape, (self.shape[0] * self.shape[1],)):
            raise InvalidAttention(f"the input has shape {X.shape}, but {self.shape} is needed")
        Z = to_floats(self.R)
        for P, Q in self.linear:
            Z = Z + to_floats(P) @ X.reshape(self.shape) @ to_floats(Q)
        return Z

    def to_json(self) -> list[dict[str, object]]:
        """The terms, as in a certificate."""
        return [{"P": P.to_json(), "Q": Q.to_json()} for P, Q in self.linear]


@dataclass(frozen=True)
class _Head:
    """What both kinds have in common: the four weights, and softmax attention of two embedded inputs."""

    W_K: Matrix
    W_Q: Matrix
    W_V: Matrix
    W_O: Matrix

    @property
    def keys_side(self) -> Side:
        """The input that gives keys and values."""
        raise NotImplementedError

    @property
    def queries_side(self) -> Side:
        """The input that gives queries."""
        raise NotImplementedError

    def __post_init__(self) -> None:
        """Refuse shapes that do not fit together, and a W_O that does not select columns (InvalidAttention)."""
        self.keys_side.check("")
        self.queries_side.check("")
        d_k, d_o, n_o = self.W_K.shape[0], self.W_V.shape[0], self.W_O.shape[1]
        _require_shape("W_K", self.W_K, (d_k, self.keys_side.R.shape[0]))
        _require_shape("W_Q", self.W_Q, (d_k, self.queries_side.R.shape[0]))
        _require_shape("W_V", self.W_V, (d_o, self.keys_side.R.shape[0]))
        _require_shape("W_O", self.W_O, (self.queries_side.R.shape[1], n_o))
        for j, column in enumerate(columns_with_entries(self.W_O)):
            if len(column) != 1 or column[0][1] != 1:
                raise InvalidAttention(f"column {j} of W_O does not select a column: it needs exactly one entry 1")

    @property
    def tokens(self) -> int:
        """The number N of columns that compete in the softmax."""
        return self.keys_side.R.shape[1]

    @property
    def output_shape(self) -> Shape:
        """The shape (d_o, n_o) of T."""
        return self.W_V.shape[0], self.W_O.shape[1]

    @property
    def selected_columns(self) -> tuple[int, ...]:
        """For each output column the column of queries that W_O selects."""
        return tuple(column[0][0] for column in columns_with_entries(self.W_O))

    def __call__(self, *inputs: object, precision: int = 106) -> Any:
        """Evaluate the head: T(X), or T(X_K, X_Q), of shape (d_o, n_o).

        A numpy array of shape (d, n) (or of m entries, taken row by row) is evaluated in float64, without bounds on
        the rounding. Anything else (an mpmath matrix, nested lists of Fraction, mpf, int, str) is evaluated with
        exact scores and mpmath exponentials at `precision` bits; the answer is an mpmath matrix.

        Raises InvalidAttention when an input does not have its shape, or the number of inputs is not the head's.
        """
        sides = [self.keys_side] if self.keys_side == self.queries_side else [self.keys_side, self.queries_side]
        if len(inputs) != len(sides):
            raise InvalidAttention(f"the head takes {len(sides)} input{'s' * (len(sides) > 1)}, not {len(inputs)}")
        if all(isinstance(X, np.ndarray) for X in inputs):
            floats = [side.embed_float(np.asarray(X, np.float64)) for side, X in zip(sides, inputs, strict=True)]
            return self._attend_float(floats[0], floats[-1])
        exact = [side.embed(_exact_entries(X, side.shape)) for side, X in zip(sides, inputs, strict=True)]
        return self._attend_exact(exact[0], exact[-1], precision)

    def _attend_float(self, Z_K: FloatArray, Z_Q: FloatArray) -> FloatArray:
        queries = to_floats(self.W_Q) @ Z_Q[:, list(self.selected_columns)]
        scores = (to_floats(self.W_K) @ Z_K).T @ queries
        weights = np.exp(scores - scores.max(axis=0))
        result: FloatArray = (to_floats(self.W_V) @ Z_K) @ (weights / weights.sum(axis=0))
        return result

    def _attend_exact(self, Z_K: Sequence[Row], Z_Q: Sequence[Row], precision: int) -> Any:
        context = mpmath.mp.clone()
        context.prec = precision + 20
        keys, values = _product(self.W_K, Z_K), _product(self.W_V, Z_K)
        result = context.matrix(*self.output_shape)
        for j, selected in enumerate(self.selected_columns):
            query = _product(self.W_Q, [row_entry(row, selected) for row in Z_Q])
            scores: Row = ZERO
            for key_row, entry in zip(keys, query, strict=True):
                scores = add_rows(scores, scale_row(row_entry(entry, 0), key_row))
            exact = [row_entry(scores, i) for i in range(self.tokens)]
            best = max(exact)
            weights = [context.exp(_mpf(context, score - best)) for score in exact]
            total = context.fsum(weights)
            for r, row in enumerate(values):
                terms = (_mpf(context, row_entry(row, i)) * weight for i, weight in enumerate(weights))
                result[r, j] = context.fsum(terms) / total
        return result

    def _weights_json(self) -> dict[str, object]:
        return {name: getattr(self, name).to_json() for name in ("W_K", "W_Q", "W_V", "W_O")}


@dataclass(frozen=True, kw_only=True)
class SelfAttention(_Head):
    """Single-head self-attention after a sum of linear transformations."""

    kind: ClassVar[str] = "self"

    input_shape: Shape
    linear: Terms
    R: Matrix

    @property
    def keys_side(self) -> Side:
        """X gives keys and values."""
        return Side(self.input_shape, self.linear, self.R)

    @property
    def queries_side(self) -> Side:
        """X gives queries too."""
        return self.keys_side

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        """The shapes of the inputs, in the order of their entries in x."""
        return (self.input_shape,)

    def to_json(self) -> dict[str, object]:
        """The `attention` object of a certificate."""
        side = {"input_shape": list(self.input_shape), "linear": self.keys_side.to_json(), "R": self.R.to_json()}
        return {"kind": self.kind, **side, **self._weights_json()}


@dataclass(frozen=True, kw_only=True)
class CrossAttention(_Head):
    """Single-head cross-attention: keys and values from X_K, queries from X_Q."""

    kind: ClassVar[str] = "cross"

    key_shape: Shape
    query_shape: Shape
    linear_K: Terms
    R_K: Matrix
    linear_Q: Terms
    R_Q: Matrix

    @property
    def keys_side(self) -> Side:
        """X_K gives keys and values."""
        return Side(self.key_shape, self.linear_K, self.R_K)

    @property
    def queries_side(self) -> Side:
        """X_Q gives queries; its entries follow those of X_K."""
        return Side(self.query_shape, self.linear_Q, self.R_Q, self.key_shape[0] * self.key_shape[1])

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        """The shapes of the inputs, in the order of their entries in x."""
        return (self.key_shape, self.query_shape)

    def to_json(self) -> dict[str, object]:
        """The `attention` object of a certificate."""
        shapes = {"key_shape": list(self.key_shape), "query_shape": list(self.query_shape)}
        keys = {"linear_K": self.keys_side.to_json(), "R_K": self.R_K.to_json()}
        queries = {"linear_Q": self.queries_side.to_json(), "R_Q": self.R_Q.to_json()}
        return {"kind": self.kind, **shapes, **keys, **queries, **self._weights_json()}


Attention = SelfAttention | CrossAttention


@dataclass(frozen=True)
class SumAttention:
    """The sum of several heads of one kind on the same inputs, T = sum_h T_h: a layer of several heads.

    An output projection W_h of each head is part of its W_V: W_h (W_V Z softmax(...)) = (W_h W_V) Z softmax(...).
    """

    kind: ClassVar[str] = "sum"

    heads: tuple[Attention, ...]

    def __post_init__(self) -> None:
        """Refuse heads of several kinds, with different inputs or outputs, and none (InvalidAttention)."""
        if not self.heads:
            raise InvalidAttention("a sum of heads has at least one")
        shapes = {(head.kind, head.input_shapes, head.output_shape) for head in self.heads}
        if len(shapes) > 1:
            raise InvalidAttention("the heads of a sum have one kind, the same inputs and the same shape of the output")

    @property
    def tokens(self) -> int:
        """The number of tokens of all heads together."""
        return sum(head.tokens for head in self.heads)

    @property
    def output_shape(self) -> Shape:
        """The shape (d_o, n_o) of T."""
        return self.heads[0].output_shape

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        """The shapes of the inputs, in the order of their entries in x."""
        return self.heads[0].input_shapes

    def __call__(self, *inputs: object, precision: int = 106) -> Any:
        """Evaluate the sum, as a head is evaluated."""
        total, *others = (head(*inputs, precision=precision) for head in self.heads)
        for other in others:
            for r, j in product(*map(range, self.output_shape)):
                total[r, j] += other[r, j]  # matrices of mpmath do not add up: each has a context of its own
        return total

    def to_json(self) -> dict[str, object]:
        """The `attention` object of a certificate."""
        return {"kind": self.kind, "heads": [head.to_json() for head in self.heads]}


AnyAttention = Attention | SumAttention

_WEIGHTS = ("W_K", "W_Q", "W_V", "W_O")


def attention_from_json(value: object) -> AnyAttention:
    """Read the `attention` object of a certificate; raises InvalidAttention or InvalidNumber."""
    if not isinstance(value, Mapping) or value.get("kind") != "sum":
        return head_from_json(value)
    if set(value) != {"kind", "heads"} or not isinstance(value["heads"], list):
        raise InvalidAttention("a sum of heads has the keys heads, kind, and a list of heads")
    return SumAttention(tuple(map(head_from_json, value["heads"])))


def head_from_json(value: object) -> Attention:
    """Read a single head; raises InvalidAttention or InvalidNumber."""
    if not isinstance(value, Mapping):
        raise InvalidAttention("the attention of a certificate is an object")
    kinds: dict[object, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
        "self": (("input_shape",), ("linear",), ("R",)),
        "cross": (("key_shape", "query_shape"), ("linear_K", "linear_Q"), ("R_K", "R_Q")),
    }
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise InvalidAttention('the attention of a certificate has the kind "self" or "cross", or "sum" of such')
    shapes, linear, constants = kinds[kind]
    expected = {"kind", *shapes, *linear, *constants, *_WEIGHTS}
    if set(value) != expected:
        raise InvalidAttention(f"{kind}-attention has the keys {', '.join(sorted(expected))}")
    fields: dict[str, Any] = {name: _shape_from_json(value[name], name) for name in shapes}
    fields |= {name: _terms_from_json(value[name], name) for name in linear}
    fields |= {name: matrix_from_json(value[name], name) for name in (*constants, *_WEIGHTS)}
    return SelfAttention(**fields) if kind == "self" else CrossAttention(**fields)


def _shape_from_json(value: object, name: str) -> Shape:
    if not (isinstance(value, list) and len(value) == 2 and all(type(size) is int and size >= 1 for size in value)):
        raise InvalidAttention(f"{name} is a pair of positive integers")
    return value[0], value[1]


def _terms_from_json(value: object, name: str) -> Terms:
    if not isinstance(value, list):
        raise InvalidAttention(f"{name} is a list of pairs P, Q")
    terms = []
    for h, pair in enumerate(value, start=1):
        if not isinstance(pair, Mapping) or set(pair) != {"P", "Q"}:
            raise InvalidAttention(f"term {h} of {name} is an object with the keys P and Q")
        terms.append((matrix_from_json(pair["P"], f"P_{h}"), matrix_from_json(pair["Q"], f"Q_{h}")))
    return tuple(terms)


def _require_shape(name: str, matrix: Matrix, shape: Shape) -> None:
    if matrix.shape != shape:
        raise InvalidAttention(f"{name} has shape {matrix.shape}, but {shape} is needed")


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
    lengths = [len(row) for row in rows if isinstance(row, list | tuple)]
    if len(flat) != shape[0] * shape[1] or lengths not in ([], [shape[1]] * shape[0]):
        raise InvalidAttention(f"the input must be {shape[0]} rows of {shape[1]} entries, or all entries in one list")
    exact = [mpf_to_fraction(entry) if hasattr(entry, "_mpf_") else Fraction(entry) for entry in flat]
    return [exact[i * shape[1] : (i + 1) * shape[1]] for i in range(shape[0])]
