"""From scores and values to the full matrices of the paper's form.

The linear transformations broadcast every input entry into its own row of Z (one term P_h X Q_h for each input
column), R holds keys, biases, ones and values in further rows, and W_K, W_Q, W_V select rows (arXiv 2504.19901, the
self-attention construction):

    rows of Z:   x (m)  |  keys a_i (m)  |  biases b_i (1)  |  ones (1)  |  values v_i (d_o)
    W_K selects (keys, biases),  W_Q selects (x, ones),  W_V selects values,  W_O selects column 0,

so (W_K z_i) . (W_Q z_0) = a_i . x + b_i for every token i.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from attncert.certificates.attention import SelfAttention
from attncert.certificates.matrix import ONE, ZERO, DenseMatrix, Row, SparseMatrix


def embed(
    input_shape: tuple[int, int], keys: Sequence[Row], biases: Row, values: Sequence[Row], tokens: int
) -> SelfAttention:
    """The head with scores keys . x + biases and constant values; keys: m rows, values: d_o rows, each of N numbers."""
    d, n = input_shape
    m, d_o = d * n, len(values)
    d_z = 2 * m + 2 + d_o
    rows = (*([ZERO] * m), *keys, biases, ONE, *values)
    selected = {"W_K": [*range(m, 2 * m), 2 * m], "W_Q": [*range(m), 2 * m + 1], "W_V": range(2 * m + 2, d_z)}
    return SelfAttention(
        input_shape=input_shape,
        linear=tuple(_broadcast_column(h, d, n, d_z, tokens) for h in range(n)),
        R=DenseMatrix((d_z, tokens), rows),
        W_O=SparseMatrix((tokens, 1), {(0, 0): ONE}),
        **{name: _selector(places, d_z) for name, places in selected.items()},
    )


def _broadcast_column(h: int, d: int, n: int, d_z: int, tokens: int) -> tuple[SparseMatrix, DenseMatrix]:
    """P_h, Q_h that copy entry (a, h) of X into row a n + h of every column of Z."""
    P = SparseMatrix((d_z, d), {(a * n + h, a): ONE for a in range(d)})
    return P, DenseMatrix((n, tokens), tuple(ONE if b == h else ZERO for b in range(n)))


def _selector(places: Sequence[int], columns: int) -> SparseMatrix:
    entries: dict[tuple[int, int], Fraction] = dict.fromkeys(enumerate(places), ONE)
    return SparseMatrix((len(places), columns), entries)
