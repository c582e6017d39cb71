from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attncert.certificates.errors import InvalidAttention, InvalidNumber
from attncert.certificates.matrix import (
    DenseMatrix,
    SparseMatrix,
    add_rows,
    columns_with_entries,
    matrix_from_json,
    row_entry,
    row_is_zero,
    scale_row,
    to_floats,
)

numbers = st.fractions(max_denominator=64)
rows = st.one_of(numbers, st.lists(numbers, min_size=3, max_size=3))


def expanded(row):
    return [row_entry(row, j) for j in range(3)]


@given(rows, rows, numbers)
def test_row_arithmetic_agrees_with_entrywise_arithmetic(x, y, factor):
    assert expanded(add_rows(x, y)) == [a + b for a, b in zip(expanded(x), expanded(y), strict=True)]
    assert expanded(scale_row(factor, x)) == [factor * a for a in expanded(x)]
    assert row_is_zero(x) == (not any(expanded(x)))


@given(st.lists(rows, min_size=1, max_size=4))
def test_dense_matrices_round_trip(content):
    matrix = DenseMatrix((len(content), 3), tuple(content))
    again = matrix_from_json(matrix.to_json(), "M")
    assert [expanded(again.row(i)) for i in range(len(content))] == [expanded(row) for row in content]
    assert np.array_equal(to_floats(again), [[float(entry) for entry in expanded(row)] for row in content])


@given(st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 2)), numbers))
def test_sparse_matrices_round_trip_and_agree_with_dense_ones(entries):
    matrix = SparseMatrix((4, 3), entries)
    again = matrix_from_json(matrix.to_json(), "M")
    assert again == matrix
    dense = [[entries.get((i, j), Fraction(0)) for j in range(3)] for i in range(4)]
    assert [expanded(matrix.row(i)) for i in range(4)] == dense
    assert [dict(column) for column in columns_with_entries(matrix)] == [
        {i: dense[i][j] for i in range(4) if dense[i][j]} for j in range(3)
    ]


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"shape": [1, 1]},
        {"shape": [1], "rows": ["1"]},
        {"shape": [0, 1], "rows": []},
        {"shape": [1, True], "rows": ["1"]},
        {"shape": [1, 2], "rows": [["1"]]},
        {"shape": [2, 1], "rows": ["1"]},
        {"shape": [1, 1], "rows": [[1]]},
        {"shape": [1, 1], "rows": ["1"], "entries": []},
        {"shape": [1, 1], "entries": [[0, 1, "1"]]},
        {"shape": [1, 1], "entries": [[-1, 0, "1"]]},
        {"shape": [1, 1], "entries": [[0, 0, "1"], [0, 0, "1"]]},
        {"shape": [1, 1], "entries": [[0, 0, 1]]},
        {"shape": [1, 1], "entries": [[0, 0]]},
    ],
)
def test_malformed_matrices_are_refused(value):
    with pytest.raises(InvalidAttention):
        matrix_from_json(value, "M")


def test_numbers_that_are_not_exact_are_refused():
    with pytest.raises(InvalidNumber):
        matrix_from_json({"shape": [1, 1], "rows": ["nan"]}, "M")
