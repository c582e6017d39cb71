"""Attention heads as functions: evaluated in float64 and with many digits, against the formula written out."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from heads import full

from attncert.certificates.attention import CrossAttention, SelfAttention, attention_from_json
from attncert.certificates.errors import InvalidAttention, InvalidNumber
from attncert.certificates.matrix import DenseMatrix, Matrix, SparseMatrix, row_entry

Head = SelfAttention | CrossAttention
Inputs = list[list[list[Fraction]]]
BITS = 400


def literal(head: Head, inputs: Inputs) -> mpmath.matrix:
    """W_V Z_K softmax((W_K Z_K)^T W_Q Z_Q) W_O in mpmath matrices, every column of the softmax and all."""
    with mpmath.workprec(BITS):
        if isinstance(head, SelfAttention):
            Z_K = Z_Q = embedded(head.linear, head.R, inputs[0])
        else:
            Z_K, Z_Q = (
                embedded(linear, R, X)
                for linear, R, X in zip((head.linear_K, head.linear_Q), (head.R_K, head.R_Q), inputs, strict=True)
            )
        scores = (matrix(head.W_K) * Z_K).T * (matrix(head.W_Q) * Z_Q)
        softmax = scores.apply(mpmath.exp)
        for j in range(softmax.cols):
            total = mpmath.fsum(softmax[i, j] for i in range(softmax.rows))
            for i in range(softmax.rows):
                softmax[i, j] /= total
        return matrix(head.W_V) * Z_K * softmax * matrix(head.W_O)


def embedded(linear: Sequence[tuple[Matrix, Matrix]], R: Matrix, X: list[list[Fraction]]) -> mpmath.matrix:
    Z = matrix(R)
    for P, Q in linear:
        Z += matrix(P) * mpmath.matrix([[mpf(x) for x in line] for line in X]) * matrix(Q)
    return Z


def matrix(M: Matrix) -> mpmath.matrix:
    return mpmath.matrix([[mpf(x) for x in line] for line in full(M)])


def mpf(x: Fraction) -> mpmath.mpf:
    return mpmath.mpf(x.numerator) / x.denominator


def random_matrix(rnd: random.Random, shape: tuple[int, int]) -> Matrix:
    """Dense, with some rows that one number fills, or sparse; small rationals, zeros among them."""

    def number() -> Fraction:
        return Fraction(rnd.randint(-6, 6), rnd.randint(1, 4))

    if rnd.random() < 0.4:
        places = [(i, j) for i in range(shape[0]) for j in range(shape[1]) if rnd.random() < 0.5]
        return SparseMatrix(shape, {place: number() for place in places})
    rows = [number() if rnd.random() < 0.3 else [number() for _ in range(shape[1])] for _ in range(shape[0])]
    return DenseMatrix(shape, tuple(rows))


def random_head(seed: int) -> tuple[Head, Inputs]:
    """A head of either kind with all sizes at random, and inputs for it."""
    rnd = random.Random(seed)
    d_k, d_o, n_o, height_K, height_Q, tokens, queries = (rnd.randint(1, 4) for _ in range(7))
    shapes = [(rnd.randint(1, 3), rnd.randint(1, 3)) for _ in range(2)]

    def terms(shape: tuple[int, int], height: int, width: int) -> tuple[tuple[Matrix, Matrix], ...]:
        return tuple(
            (random_matrix(rnd, (height, shape[0])), random_matrix(rnd, (shape[1], width)))
            for _ in range(rnd.randint(0, 3))
        )

    def weights(height_Q: int, queries: int) -> dict[str, Matrix]:
        selected = {(rnd.randrange(queries), j): Fraction(1) for j in range(n_o)}
        by_rows = [[selected.get((i, j), Fraction(0)) for j in range(n_o)] for i in range(queries)]
        W_O = rnd.choice([SparseMatrix((queries, n_o), selected), DenseMatrix((queries, n_o), tuple(by_rows))])
        heights = {"W_K": (d_k, height_K), "W_Q": (d_k, height_Q), "W_V": (d_o, height_K)}
        return {**{name: random_matrix(rnd, shape) for name, shape in heights.items()}, "W_O": W_O}

    inputs = [[[Fraction(rnd.randint(-9, 9), 9) for _ in range(n)] for _ in range(d)] for d, n in shapes]
    if seed % 2:
        linear, R = terms(shapes[0], height_K, tokens), random_matrix(rnd, (height_K, tokens))
        head = SelfAttention(input_shape=shapes[0], linear=linear, R=R, **weights(height_K, tokens))
        return head, inputs[:1]
    return CrossAttention(
        key_shape=shapes[0],
        query_shape=shapes[1],
        linear_K=terms(shapes[0], height_K, tokens),
        R_K=random_matrix(rnd, (height_K, tokens)),
        linear_Q=terms(shapes[1], height_Q, queries),
        R_Q=random_matrix(rnd, (height_Q, queries)),
        **weights(height_Q, queries),
    ), inputs


def distance(a: Any, b: mpmath.matrix) -> mpmath.mpf:
    assert tuple(a.shape if isinstance(a, np.ndarray) else (a.rows, a.cols)) == (b.rows, b.cols)
    with mpmath.workprec(BITS):
        return max(abs(mpmath.mpf(a[i, j]) - b[i, j]) for i in range(b.rows) for j in range(b.cols))


def size(a: mpmath.matrix) -> mpmath.mpf:
    return max(1, *(abs(entry) for entry in a))


def floats(inputs: Inputs) -> list[np.ndarray[Any, Any]]:
    return [np.array([[float(x) for x in line] for line in X]) for X in inputs]


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_both_evaluations_agree_with_the_formula_written_out(seed: int) -> None:
    head, inputs = random_head(seed)
    exact = literal(head, inputs)
    assert distance(head(*inputs), exact) <= mpmath.mpf(2) ** -100 * size(exact)
    assert distance(head(*floats(inputs)), exact) <= 1e-9 * size(exact)


@pytest.mark.parametrize("precision", [24, 53, 106, 300])
def test_precision_is_what_was_asked_for(precision: int) -> None:
    for seed in range(6):
        head, inputs = random_head(seed)
        exact = literal(head, inputs)
        assert distance(head(*inputs, precision=precision), exact) <= mpmath.mpf(2) ** (4 - precision) * size(exact)


def test_more_precision_gives_more_digits() -> None:
    head = two_tokens()
    exact = literal(head, [[[Fraction(1, 3)]]])
    assert distance(head([["1/3"]], precision=24), exact) > 2.0**-80
    assert distance(head([["1/3"]], precision=200), exact) < 2.0**-195


def test_the_precision_of_mpmath_is_neither_used_nor_changed() -> None:
    head = two_tokens()
    expected = head([["1/3"]], precision=200)
    with mpmath.workprec(20):
        again = head([["1/3"]], precision=200)
        assert mpmath.mp.prec == 20
    assert again[0, 0] == expected[0, 0]


@pytest.mark.parametrize("scale", ["1000000", "1e300", "-1e300"])
def test_huge_scores_do_not_overflow(scale: str) -> None:
    head = two_tokens(scale=Fraction(scale))
    with np.errstate(all="raise", under="ignore"):
        values = head(np.array([[1.0]]))
    winner = 1.0 if Fraction(scale) > 0 else 0.0
    assert values.tolist() == [[winner]]
    assert abs(head([[1]])[0, 0] - winner) < 2.0**-100


def two_tokens(scale: Fraction = Fraction(1)) -> SelfAttention:
    """softmax(0, scale x) applied to the values 0 and 1: sigmoid(scale x)."""
    return SelfAttention(
        input_shape=(1, 1),
        linear=((column(1, 0, 0), DenseMatrix((1, 2), (Fraction(1),))),),
        R=DenseMatrix((3, 2), (Fraction(0), [Fraction(0), scale], [Fraction(0), Fraction(1)])),
        W_K=DenseMatrix((1, 3), ([Fraction(0), Fraction(1), Fraction(0)],)),
        W_Q=DenseMatrix((1, 3), ([Fraction(1), Fraction(0), Fraction(0)],)),
        W_V=DenseMatrix((1, 3), ([Fraction(0), Fraction(0), Fraction(1)],)),
        W_O=SparseMatrix((2, 1), {(0, 0): Fraction(1)}),
    )


def column(*numbers: int) -> DenseMatrix:
    return DenseMatrix((len(numbers), 1), tuple(Fraction(number) for number in numbers))


def test_a_head_made_by_hand_is_the_sigmoid() -> None:
    values = two_tokens(scale=Fraction(3))(np.array([[0.5]]))
    assert abs(values[0, 0] - 1 / (1 + np.exp(-1.5))) < 1e-15
    with mpmath.workprec(200):
        exact = 1 / (1 + mpmath.exp(mpmath.mpf(-3) / 2))
        assert abs(two_tokens(scale=Fraction(3))([["1/2"]], precision=180)[0, 0] - exact) < mpmath.mpf(2) ** -178


def test_sizes_and_selected_columns() -> None:
    head, _ = random_head(1)
    assert (head.tokens, head.output_shape) == (head.R.shape[1], (head.W_V.shape[0], head.W_O.shape[1]))
    for j, selected in enumerate(head.selected_columns):
        assert row_entry(head.W_O.row(selected), j) == 1


# --- inputs ----------------------------------------------------------------------------------------------------------

HALVES = [[Fraction(1, 2), Fraction(-3, 4)], [Fraction(5), Fraction(0)], [Fraction(1, 8), Fraction(2)]]


@pytest.fixture(scope="module")
def wide() -> SelfAttention:
    """A head of a 3 x 2 input."""
    rnd = random.Random(5)
    return SelfAttention(
        input_shape=(3, 2),
        linear=((random_matrix(rnd, (4, 3)), random_matrix(rnd, (2, 5))),) * 2,
        R=random_matrix(rnd, (4, 5)),
        W_K=random_matrix(rnd, (2, 4)),
        W_Q=random_matrix(rnd, (2, 4)),
        W_V=random_matrix(rnd, (3, 4)),
        W_O=SparseMatrix((5, 2), {(4, 0): Fraction(1), (1, 1): Fraction(1)}),
    )


@pytest.mark.parametrize(
    "X",
    [
        [["0.5", "-3/4"], ["5", "0"], ["0.125", "2"]],
        [[0.5, -0.75], [5, 0], [0.125, 2]],
        ((Fraction(1, 2), Fraction(-3, 4)), (5, 0), (Fraction(1, 8), 2)),
        mpmath.matrix([[0.5, -0.75], [5, 0], [0.125, 2]]),
        [[mpmath.mpf("0.5"), mpmath.mpf("-0.75")], [5, 0], [mpmath.mpf("0.125"), 2]],
        ["0.5", "-0.75", 5, 0, "0.125", 2],
    ],
    ids=["strings", "numbers", "tuples", "mpmath matrix", "mpf", "flat"],
)
def test_exact_inputs_of_every_kind_mean_the_same(wide: SelfAttention, X: object) -> None:
    assert list(wide(X)) == list(wide(HALVES))


@pytest.mark.parametrize("flat", [False, True])
def test_numpy_inputs_stand_row_by_row(wide: SelfAttention, flat: bool) -> None:
    X = np.array([[0.5, -0.75], [5, 0], [0.125, 2]])
    values = wide(X.ravel() if flat else X)
    assert values.shape == (3, 2)
    assert values.dtype == np.float64
    assert distance(values, literal(wide, [HALVES])) < 1e-9


def test_values_of_one_head_are_inputs_of_another(wide: SelfAttention) -> None:
    once = two_tokens()([["1/3"]], precision=150)
    twice = two_tokens()(once, precision=100)
    with mpmath.workprec(BITS):
        assert abs(twice[0, 0] - 1 / (1 + mpmath.exp(-once[0, 0]))) < mpmath.mpf(2) ** -98


@pytest.mark.parametrize(
    "X",
    [
        np.zeros((2, 2)),
        np.zeros((2, 3)),
        np.zeros(5),
        [[0, 0], [0, 0]],
        [[0, 0, 0], [0, 0, 0]],
        [[0, 0], [0, 0], [0]],
        [0] * 7,
        [],
        0,
        "0",
    ],
    ids=str,
)
def test_inputs_of_another_shape_are_refused(wide: SelfAttention, X: object) -> None:
    with pytest.raises(InvalidAttention, match="3") as caught:
        wide(X)
    assert "\n" not in str(caught.value)


def test_the_number_of_inputs_must_fit() -> None:
    for seed in (1, 2):
        head, inputs = random_head(seed)
        with pytest.raises(InvalidAttention, match=f"{len(inputs)} input"):
            head(*inputs, *inputs)
        with pytest.raises(InvalidAttention, match=f"{len(inputs)} input"):
            head()


# --- what makes a head -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["W_K", "W_Q", "W_V", "W_O"])
def test_a_shape_error_names_the_matrix_and_both_shapes(wide: SelfAttention, name: str) -> None:
    old = getattr(wide, name)
    wrong = SparseMatrix((old.shape[0], old.shape[1] + 7) if name != "W_O" else (old.shape[0] + 7, old.shape[1]), {})
    with pytest.raises(InvalidAttention) as caught:
        replace(wide, **{name: wrong})
    assert str(caught.value) == f"{name} has shape {wrong.shape}, but {old.shape} is needed"


def test_the_height_of_R_is_that_of_Z(wide: SelfAttention) -> None:
    with pytest.raises(InvalidAttention, match=r"P_1 has shape \(4, 3\), but \(5, 3\) is needed"):
        replace(wide, R=SparseMatrix((5, 5), {}))


@pytest.mark.parametrize(("which", "name"), [(0, "P_2"), (1, "Q_2")])
def test_a_shape_error_names_the_linear_term(wide: SelfAttention, which: int, name: str) -> None:
    pair = list(wide.linear[1])
    pair[which] = SparseMatrix((7, 7), {})
    with pytest.raises(InvalidAttention, match=rf"{name} has shape \(7, 7\)"):
        replace(wide, linear=(wide.linear[0], tuple(pair)))


@pytest.mark.parametrize(
    "entries",
    [
        {},
        {(0, 0): 1},
        {(0, 0): 1, (1, 1): 2},
        {(0, 0): 1, (1, 1): -1},
        {(0, 0): 1, (1, 1): 1, (2, 1): 1},
        {(0, 0): 1, (1, 1): Fraction(1, 2), (2, 1): Fraction(1, 2)},
    ],
    ids=str,
)
@pytest.mark.parametrize("dense", [False, True])
def test_W_O_must_select_columns(wide: SelfAttention, entries: dict[tuple[int, int], Any], dense: bool) -> None:
    exact = {place: Fraction(number) for place, number in entries.items()}
    by_rows = tuple([exact.get((i, j), Fraction(0)) for j in range(2)] for i in range(5))
    W_O: Matrix = DenseMatrix((5, 2), by_rows) if dense else SparseMatrix((5, 2), exact)
    with pytest.raises(InvalidAttention, match=r"column [01] of W_O does not select a column"):
        replace(wide, W_O=W_O)


def test_W_O_may_spell_its_zeros(wide: SelfAttention) -> None:
    spelled = SparseMatrix((5, 2), {(i, j): Fraction((i, j) in [(4, 0), (1, 1)]) for i in range(5) for j in range(2)})
    assert replace(wide, W_O=spelled).selected_columns == wide.selected_columns == (4, 1)


# --- JSON ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_heads_round_trip(seed: int) -> None:
    head, inputs = random_head(seed)
    text = json.dumps(head.to_json())
    again = attention_from_json(json.loads(text))
    assert type(again) is type(head)
    assert json.dumps(again.to_json()) == text
    assert list(again(*inputs)) == list(head(*inputs))


@pytest.mark.parametrize("seed", range(12))
def test_dense_and_sparse_matrices_make_the_same_head(seed: int) -> None:
    head, inputs = random_head(seed)
    for other in (dense, sparse):
        changed = {
            field.name: other(value)
            for field in fields(head)
            if isinstance(value := getattr(head, field.name), DenseMatrix | SparseMatrix)
        }
        linear = {
            field.name: tuple((other(P), other(Q)) for P, Q in getattr(head, field.name))
            for field in fields(head)
            if field.name.startswith("linear")
        }
        twin = replace(head, **changed, **linear)
        assert list(twin(*inputs)) == list(head(*inputs))
        assert np.array_equal(twin(*floats(inputs)), head(*floats(inputs)))
        assert twin.selected_columns == head.selected_columns


def dense(M: Matrix) -> Matrix:
    return DenseMatrix(M.shape, tuple(full(M)))


def sparse(M: Matrix) -> Matrix:
    return SparseMatrix(M.shape, {(i, j): x for i, line in enumerate(full(M)) for j, x in enumerate(line) if x})


def changed_json(seed: int, **changes: object) -> dict[str, object]:
    """A head as JSON with other values for some keys; the value None takes the key away."""
    value = {**random_head(seed)[0].to_json(), **changes}
    return {key: part for key, part in value.items() if part is not None}


ONE = {"shape": [1, 1], "rows": ["1"]}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "attention"),
        ([], "attention"),
        ({}, "kind"),
        (changed_json(1, kind="multi"), "kind"),
        (changed_json(1, kind=["self"]), "kind"),
        (changed_json(1, kind="cross"), "keys"),
        (changed_json(2, kind="self"), "keys"),
        (changed_json(1, W_K=None), "keys"),
        (changed_json(1, comment="mine"), "keys"),
        (changed_json(1, input_shape=[0, 1]), "input_shape"),
        (changed_json(1, input_shape=[1]), "input_shape"),
        (changed_json(1, input_shape=[True, 1]), "input_shape"),
        (changed_json(1, input_shape=[1.0, 1]), "input_shape"),
        (changed_json(2, query_shape="11"), "query_shape"),
        (changed_json(1, linear={}), "linear"),
        (changed_json(1, linear=[[ONE, ONE]]), "term 1 of linear"),
        (changed_json(1, linear=[{"P": ONE}]), "term 1 of linear"),
        (changed_json(2, linear_Q=[{"P": ONE, "Q": ONE, "R": ONE}]), "term 1 of linear_Q"),
        (changed_json(1, linear=[{"P": ONE, "Q": {}}]), "Q_1"),
        (changed_json(1, W_V={"shape": [1, 1]}), "W_V"),
        (changed_json(1, R=[["1"]]), "R: a matrix"),
    ],
)
def test_malformed_heads_are_refused_with_the_reason(value: object, reason: str) -> None:
    with pytest.raises(InvalidAttention, match=reason) as caught:
        attention_from_json(value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", ["nan", "inf", "0.1.2", "", "1/0", "+1"])
def test_numbers_of_a_head_are_exact(number: str) -> None:
    with pytest.raises(InvalidNumber):
        attention_from_json(changed_json(1, R={"shape": [1, 1], "rows": [number]}))
