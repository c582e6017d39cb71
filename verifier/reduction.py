"""Exact reduction of a head to scores and values, one reduced head for each output column.

With x the vector of all input entries (those of X_K before those of X_Q), row by row, every row of Z_K and Z_Q is
affine in x, so that

    s_i(x) = (W_K z_i(x)) . (W_Q y_q(x)),        v_i(x) = W_V z_i(x),        T_j = sum_i softmax_i(s) v_i,

where z_i is column i of Z_K, y_q column q of Z_Q (both are Z in self-attention), and W_O selects column q for output
column j. All arithmetic is rational: nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeVar

from attncert.certificates.attention import AnyAttention, Attention, Side, SumAttention
from attncert.certificates.errors import InvalidAttention
from attncert.certificates.matrix import ZERO, Matrix, Row, add_rows, row_entry, row_is_zero, scale_row

Key = TypeVar("Key")
CONSTANT = -1
Pair = tuple[int, int]
"""Entries j <= k of the input, for their product x_j x_k."""

AffineRow = Mapping[int, Row]
"""A row of affine functions of x: coefficient k (or CONSTANT) to the row of its coefficients; absent means 0."""


@dataclass(frozen=True)
class ReducedHead:
    """One output column: scores a_i . x + b_i + sum q_ijk x_j x_k and values u_i + g_i . x, for N tokens, m inputs, d_o
    outputs.

    `keys` holds m rows (the k-th coefficient of every token), `biases` one row, `values` d_o rows, the constants u_i;
    each of length N. `slopes` holds d_o rows for each input entry k that some value depends on: the g_ik. `products`
    holds a row for each pair j <= k whose product occurs in some score, the q_ijk; none where scores are affine.
    """

    tokens: int
    keys: tuple[Row, ...]
    biases: Row
    values: tuple[Row, ...]
    slopes: Mapping[int, tuple[Row, ...]] = field(default_factory=dict)
    products: Mapping[Pair, Row] = field(default_factory=dict)


def single_head(attention: AnyAttention) -> Attention:
    """The head, if there is one only; raises InvalidAttention for a sum of several."""
    if isinstance(attention, SumAttention):
        raise InvalidAttention("a sum of heads is supported in claims of errors in the sup norm, not here")
    return attention


def reduce_head(attention: AnyAttention) -> tuple[ReducedHead, ...]:
    """Reduce to one head for each output column, exactly, where scores are affine.

    Raises InvalidAttention when a score is quadratic in x, and for a sum of heads.
    """
    heads = reduce_general(single_head(attention))
    if any(head.products for head in heads):
        raise InvalidAttention(
            "scores that are quadratic in the input are supported in norms of errors and indicators, not here"
        )
    return heads


def reduce_general(attention: Attention) -> tuple[ReducedHead, ...]:
    """Reduce to one head for each output column, exactly; scores may be quadratic."""
    inputs = sum(d * n for d, n in attention.input_shapes)
    Z, Y = _embedding(attention.keys_side), _embedding(attention.queries_side)
    keys, values = _multiply(attention.W_K, Z), _multiply(attention.W_V, Z)
    depends = sorted({k for value in values for k, row in value.items() if k != CONSTANT and not row_is_zero(row)})
    slopes = {k: tuple(value.get(k, ZERO) for value in values) for k in depends}
    heads = []
    for q in attention.selected_columns:
        query = _multiply(attention.W_Q, [{k: row_entry(row, q) for k, row in y.items()} for y in Y])
        scores, products = _scores(keys, query)
        heads.append(
            ReducedHead(
                tokens=attention.tokens,
                keys=tuple(scores.get(k, ZERO) for k in range(inputs)),
                biases=scores.get(CONSTANT, ZERO),
                values=tuple(value.get(CONSTANT, ZERO) for value in values),
                slopes=slopes,
                products=products,
            )
        )
    return tuple(heads)


def _embedding(side: Side) -> list[AffineRow]:
    """The rows of Z as affine rows: entry (a, b) of the input is number offset + a * n + b of x."""
    n = side.shape[1]
    Z: list[dict[int, Row]] = [{CONSTANT: side.R.row(r)} for r in range(side.R.shape[0])]
    for P, Q in side.linear:
        rows_Q = [Q.row(b) for b in range(n)]
        for r in range(P.shape[0]):
            for a, entry in P.row_items(r):
                for b, row in enumerate(rows_Q):
                    _accumulate(Z[r], side.offset + a * n + b, scale_row(entry, row))
    return list(Z)


def _multiply(W: Matrix, Z: Sequence[AffineRow]) -> list[AffineRow]:
    """The affine rows of W Z."""
    product: list[AffineRow] = []
    for i in range(W.shape[0]):
        rows: dict[int, Row] = {}
        for j, entry in W.row_items(i):
            for k, row in Z[j].items():
                _accumulate(rows, k, scale_row(entry, row))
        product.append(rows)
    return product


def _scores(keys: Sequence[AffineRow], query: Sequence[AffineRow]) -> tuple[dict[int, Row], dict[Pair, Row]]:
    """The affine rows of sum_c keys_c * query_c, and its products of entries that do not vanish."""
    scores: dict[int, Row] = {}
    products: dict[Pair, Row] = {}
    for key, factor in zip(keys, query, strict=True):
        for k, row in key.items():
            for other, number in factor.items():
                term = scale_row(_number(number), row)
                if k == CONSTANT or other == CONSTANT:
                    _accumulate(scores, max(k, other), term)
                elif not row_is_zero(term):
                    _accumulate(products, (min(k, other), max(k, other)), term)
    return scores, {pair: row for pair, row in sorted(products.items()) if not row_is_zero(row)}


def _accumulate(rows: dict[Key, Row], k: Key, row: Row) -> None:
    rows[k] = add_rows(rows.get(k, ZERO), row)


def _number(row: Row) -> Fraction:
    return row_entry(row, 0)
