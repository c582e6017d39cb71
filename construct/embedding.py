"""From scores and values to the full matrices of the paper's form.

The linear transformations broadcast every input entry into its own row of Z (one term P_h X Q_h for each input
column), R holds keys, biases, ones and values in further rows, and W_K, W_Q, W_V select rows (arXiv 2504.19901, the
self-attention construction). For a target with n_o columns there is a block of tokens for each, and a row of Z that
marks the block:

    rows of Z:   x (m)  |  keys a_i (m)  |  biases b_i (1)  |  ones (1)  |  values v_i (d_o)  |  marks (n_o, if > 1)
    W_K selects (keys, biases, gate * marks),  W_Q selects (x, ones, marks),  W_V selects values,

and W_O selects the first column of each block, so that for output column j

    (W_K z_i) . (W_Q z_q) = a_i . x + b_i + gate [token i is in block j].
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from attncert.certificates.attention import SelfAttention
from attncert.certificates.matrix import ONE, ZERO, DenseMatrix, Row, SparseMatrix


def embed(
    input_shape: tuple[int, int],
    keys: Sequence[Row],
    biases: Row,
    values: Sequence[Sequence[Row]],
    tokens: int,
    gate: Fraction = ZERO,
) -> SelfAttention:
    """The head with scores keys . x + biases and constant values, one block of `tokens` tokens for each output column.

    keys: m rows of `tokens` numbers; biases: one; values: for each output column d_o rows. `gate` is the bonus of the
    tokens of an output column's own block; with one output column there is nothing to gate.
    """
    d, n = input_shape
    m, n_o, d_o = d * n, len(values), len(values[0])
    keys, biases = [_repeat(row, n_o) for row in keys], _repeat(biases, n_o)
    rows = [*([ZERO] * m), *keys, biases, ONE, *(_concatenate(parts, tokens) for parts in zip(*values, strict=True))]
    d_z = len(rows)
    keyed = {(row, m + row): ONE for row in range(m + 1)}
    queried = {**{(row, row): ONE for row in range(m)}, (m, 2 * m + 1): ONE}
    if n_o > 1:
        rows += [_concatenate([ONE if block == j else ZERO for block in range(n_o)], tokens) for j in range(n_o)]
        keyed |= {(m + 1 + j, d_z + j): gate for j in range(n_o)}
        queried |= {(m + 1 + j, d_z + j): ONE for j in range(n_o)}
    width = m + 1 + (n_o if n_o > 1 else 0)
    return SelfAttention(
        input_shape=input_shape,
        linear=tuple(_broadcast_column(h, d, n, len(rows), n_o * tokens) for h in range(n)),
        R=DenseMatrix((len(rows), n_o * tokens), tuple(rows)),
        W_K=SparseMatrix((width, len(rows)), keyed),
        W_Q=SparseMatrix((width, len(rows)), queried),
        W_V=SparseMatrix((d_o, len(rows)), {(r, 2 * m + 2 + r): ONE for r in range(d_o)}),
        W_O=SparseMatrix((n_o * tokens, n_o), {(j * tokens, j): ONE for j in range(n_o)}),
    )


def _broadcast_column(h: int, d: int, n: int, d_z: int, columns: int) -> tuple[SparseMatrix, DenseMatrix]:
    """P_h, Q_h that copy entry (a, h) of X into row a n + h of every column of Z."""
    P = SparseMatrix((d_z, d), {(a * n + h, a): ONE for a in range(d)})
    return P, DenseMatrix((n, columns), tuple(ONE if b == h else ZERO for b in range(n)))


def _repeat(row: Row, times: int) -> Row:
    return row if isinstance(row, Fraction) or times == 1 else list(row) * times


def _concatenate(parts: Sequence[Row], length: int) -> Row:
    """Rows of the same length one after another."""
    if len(parts) == 1:
        return parts[0]
    row: list[Fraction] = []
    for part in parts:
        row += [part] * length if isinstance(part, Fraction) else part
    return row
