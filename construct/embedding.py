"""From scores and values to the full matrices of the paper's form.

The linear transformations broadcast every input entry into its own row of Z (one term P_h X Q_h for each input
column), R holds keys, biases, ones and values in further rows, and W_K, W_Q, W_V select rows (arXiv 2504.19901, the
self-attention construction). For a target with n_o columns there is a block of tokens for each, and a row of Z that
marks the block:

    rows of Z:   x (m)  |  keys a_i (m)  |  biases b_i (1)  |  ones (1)  |  values v_i (d_o)  |  marks (n_o, if > 1)
    W_K selects (keys, biases, gate * marks),  W_Q selects (x, ones, marks),  W_V selects values,

and W_O selects the first column of each block, so that for output column j

    (W_K z_i) . (W_Q z_q) = a_i . x + b_i + gate [token i is in block j].

Cross-attention (the paper's construction) has the scores a_i . x_Q + c_i . x_K + b_i: Z_Q broadcasts X_Q
as above over one column for each output column, and one row of Z_K holds c_i . x_K + b_i, by one term P_a X_K Q_a for
each row a of X_K, in which P_a picks the row and Q_a holds its coefficients c_i.

    rows of Z_K:   keys a_i (m_Q)  |  c_i . x_K + b_i (1)  |  values v_i (d_o)  |  marks (n_o, if > 1)
    rows of Z_Q:   x_Q (m_Q)  |  ones (1)  |  marks (n_o, if > 1)

Values that depend on the input, v_i + g_i . x, need one more term P X Q for each row r of values and each row a of X
(X_K in cross-attention, where values cannot depend on X_Q): P picks row a of X into the row of the values, and row b of
Q holds the coefficients of entry (a, b), token by token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType

from attncert.certificates.attention import Attention, CrossAttention, SelfAttention
from attncert.certificates.errors import InvalidAttention
from attncert.certificates.matrix import ONE, ZERO, DenseMatrix, Row, SparseMatrix, row_is_zero
from attncert.certificates.target import InputSpace


def embed(
    space: InputSpace,
    keys: Sequence[Row],
    biases: Row,
    values: Sequence[Sequence[Row]],
    tokens: int,
    gate: Fraction = ZERO,
) -> Attention:
    """The head with scores keys . x + biases and constant values, one block of `tokens` tokens for each output column.

    keys: m rows of `tokens` numbers; biases: one; values: for each output column d_o rows. `gate` is the bonus of the
    tokens of an output column's own block; with one output column there is nothing to gate.
    """
    n_o = len(values)
    keys, biases = [_repeat(row, n_o) for row in keys], _repeat(biases, n_o)
    lengths = [tokens] * n_o
    joined = [_concatenate(parts, lengths) for parts in zip(*values, strict=True)]
    return _attention(space, keys, biases, joined, lengths, gate)


@dataclass(frozen=True)
class Block:
    """The tokens of one output column: m rows of keys, a row of biases, d_o rows of values, all of one length.

    `slopes` holds for each row of values m rows with the coefficients of the input, or nothing.
    """

    keys: Sequence[Row]
    biases: Sequence[Fraction]
    values: Sequence[Row]
    slopes: Sequence[Sequence[Row]] = ()


def embed_blocks(space: InputSpace, blocks: Sequence[Block], gate: Fraction = ZERO) -> Attention:
    """The head with a block for each output column, each with its own number of tokens, keys and biases."""
    lengths = [len(block.biases) for block in blocks]
    keys, values = (
        [_concatenate(parts, lengths) for parts in zip(*rows, strict=True)]
        for rows in ([block.keys for block in blocks], [block.values for block in blocks])
    )
    biases = _concatenate([block.biases for block in blocks], lengths)
    slopes = [
        [_concatenate(parts, lengths) for parts in zip(*rows, strict=True)]
        for rows in zip(*(block.slopes for block in blocks), strict=True)
    ]
    return _attention(space, keys, biases, values, lengths, gate, slopes)


def with_values(
    head: Attention, values: Sequence[Row], slopes: Mapping[int, Sequence[Row]] = MappingProxyType({})
) -> Attention:
    """The head with other values: d_o rows, of a number for each token.

    slopes: for each entry of the input that values depend on, by its place in x, the d_o rows of its coefficients.

    Raises InvalidAttention unless W_V selects rows of Z that serve nothing else, as in the heads made here.
    """
    side = head.keys_side
    places = [list(head.W_V.row_items(r)) for r in range(head.W_V.shape[0])]
    rows = [items[0][0] for items in places if len(items) == 1 and items[0][1] == 1]
    others = [head.W_K, head.W_Q] if head.queries_side == side else [head.W_K]
    used = {c for W in others for r in range(W.shape[0]) for c, _ in W.row_items(r)}
    moved = [{r for r in range(P.shape[0]) if any(True for _ in P.row_items(r))} for P, _ in side.linear]
    kept = tuple(term for term, reached in zip(side.linear, moved, strict=True) if not reached <= set(rows))
    others_moved = {r for reached in moved if not reached <= set(rows) for r in reached}
    if len(set(rows)) < len(places) or set(rows) & (used | others_moved):
        raise InvalidAttention("the values of this head are not rows of Z of their own that could be replaced")
    (d, n), (d_z, tokens) = side.shape, side.R.shape
    terms = []
    for r, row in enumerate(rows):
        for a in range(d):
            numbers = [slopes.get(side.offset + a * n + b) for b in range(n)]
            Q = tuple(ZERO if each is None else each[r] for each in numbers)
            if not all(row_is_zero(each) for each in Q):
                terms.append((SparseMatrix((d_z, d), {(row, a): ONE}), DenseMatrix((n, tokens), Q)))
    entries = {row: values[r] for r, row in enumerate(rows)}
    R = DenseMatrix(side.R.shape, tuple(entries.get(r, side.R.row(r)) for r in range(side.R.shape[0])))
    linear = (*kept, *terms)
    if isinstance(head, SelfAttention):
        return replace(head, R=R, linear=linear)
    return replace(head, R_K=R, linear_K=linear)


def _attention(
    space: InputSpace,
    keys: Sequence[Row],
    biases: Row,
    values: Sequence[Row],
    lengths: Sequence[int],
    gate: Fraction,
    slopes: Sequence[Sequence[Row]] = (),
) -> Attention:
    """The head whose block of output column j has lengths[j] tokens; rows run over all blocks."""
    marks = [_marks(j, lengths) for j in range(len(lengths))] if len(lengths) > 1 else []
    if space.query_shape is None:
        return _self_attention(space.shape, keys, biases, values, marks, lengths, gate, slopes)
    return _cross_attention(space.shape, space.query_shape, keys, biases, values, marks, sum(lengths), gate, slopes)


def _self_attention(
    shape: tuple[int, int],
    keys: Sequence[Row],
    biases: Row,
    values: Sequence[Row],
    marks: Sequence[Row],
    lengths: Sequence[int],
    gate: Fraction,
    slopes: Sequence[Sequence[Row]],
) -> SelfAttention:
    d, n = shape
    tokens = sum(lengths)
    m, n_o, d_o = d * n, max(len(marks), 1), len(values)
    rows = [*([ZERO] * m), *keys, biases, ONE, *values]
    d_z = len(rows)
    keyed = {(row, m + row): ONE for row in range(m + 1)}
    queried = {**{(row, row): ONE for row in range(m)}, (m, 2 * m + 1): ONE}
    rows += marks
    keyed |= {(m + 1 + j, d_z + j): gate for j in range(len(marks))}
    queried |= {(m + 1 + j, d_z + j): ONE for j in range(len(marks))}
    width = m + 1 + len(marks)
    return SelfAttention(
        input_shape=shape,
        linear=(
            *(_broadcast_column(h, d, n, len(rows), tokens) for h in range(n)),
            *_value_terms(slopes, shape, 2 * m + 2, len(rows), tokens),
        ),
        R=DenseMatrix((len(rows), tokens), tuple(rows)),
        W_K=SparseMatrix((width, len(rows)), keyed),
        W_Q=SparseMatrix((width, len(rows)), queried),
        W_V=SparseMatrix((d_o, len(rows)), {(r, 2 * m + 2 + r): ONE for r in range(d_o)}),
        W_O=SparseMatrix((tokens, n_o), {(sum(lengths[:j]), j): ONE for j in range(n_o)}),
    )


def _cross_attention(
    key_shape: tuple[int, int],
    query_shape: tuple[int, int],
    keys: Sequence[Row],
    biases: Row,
    values: Sequence[Row],
    marks: Sequence[Row],
    tokens: int,
    gate: Fraction,
    slopes: Sequence[Sequence[Row]],
) -> CrossAttention:
    (d_K, n_K), (d_Q, n_Q) = key_shape, query_shape
    m_K, m_Q, n_o, d_o = d_K * n_K, d_Q * n_Q, max(len(marks), 1), len(values)
    rows_K = [*keys[m_K:], biases, *values, *marks]
    rows_Q = [*([ZERO] * m_Q), ONE, *(_marks(j, [1] * n_o) for j in range(len(marks)))]
    d_K_z, width = len(rows_K), m_Q + 1 + len(marks)
    first_mark = m_Q + 1 + d_o
    keyed = {(row, row): ONE for row in range(m_Q + 1)}
    keyed |= {(m_Q + 1 + j, first_mark + j): gate for j in range(len(marks))}
    return CrossAttention(
        key_shape=key_shape,
        query_shape=query_shape,
        linear_K=(
            *(
                (
                    SparseMatrix((d_K_z, d_K), {(m_Q, a): ONE}),
                    DenseMatrix((n_K, tokens), tuple(keys[a * n_K : (a + 1) * n_K])),
                )
                for a in range(d_K)
            ),
            *_value_terms(slopes, key_shape, m_Q + 1, d_K_z, tokens),
        ),
        R_K=DenseMatrix((d_K_z, tokens), tuple(rows_K)),
        linear_Q=tuple(_broadcast_column(h, d_Q, n_Q, len(rows_Q), n_o) for h in range(n_Q)),
        R_Q=DenseMatrix((len(rows_Q), n_o), tuple(rows_Q)),
        W_K=SparseMatrix((width, d_K_z), keyed),
        W_Q=SparseMatrix((width, len(rows_Q)), {(row, row): ONE for row in range(width)}),
        W_V=SparseMatrix((d_o, d_K_z), {(r, m_Q + 1 + r): ONE for r in range(d_o)}),
        W_O=SparseMatrix((n_o, n_o), {(j, j): ONE for j in range(n_o)}),
    )


def _marks(j: int, lengths: Sequence[int]) -> Row:
    """The row that is 1 on block j and 0 on the others."""
    return _concatenate([ONE if block == j else ZERO for block in range(len(lengths))], lengths)


def _broadcast_column(h: int, d: int, n: int, d_z: int, columns: int) -> tuple[SparseMatrix, DenseMatrix]:
    """P_h, Q_h that copy entry (a, h) of X into row a n + h of every column of Z."""
    P = SparseMatrix((d_z, d), {(a * n + h, a): ONE for a in range(d)})
    return P, DenseMatrix((n, columns), tuple(ONE if b == h else ZERO for b in range(n)))


def _value_terms(
    slopes: Sequence[Sequence[Row]], shape: tuple[int, int], first: int, d_z: int, tokens: int
) -> list[tuple[SparseMatrix, DenseMatrix]]:
    """P, Q that add the products of the input with its coefficients to the rows of values, the first at `first`."""
    d, n = shape
    terms = []
    for r, rows in enumerate(slopes):
        for a in range(d):
            Q = tuple(rows[a * n : (a + 1) * n])
            if not all(row_is_zero(row) for row in Q):
                terms.append((SparseMatrix((d_z, d), {(first + r, a): ONE}), DenseMatrix((n, tokens), Q)))
    return terms


def _repeat(row: Row, times: int) -> Row:
    return row if isinstance(row, Fraction) or times == 1 else list(row) * times


def _concatenate(parts: Sequence[Row], lengths: Sequence[int]) -> Row:
    """Rows of those lengths one after another."""
    if len(parts) == 1:
        return parts[0]
    row: list[Fraction] = []
    for part, length in zip(parts, lengths, strict=True):
        row += [part] * length if isinstance(part, Fraction) else part
    return row
