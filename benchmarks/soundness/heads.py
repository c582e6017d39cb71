"""Heads whose output has a closed form, which the language of targets can spell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from math import comb, prod

from attncert.certificates.attention import Attention, SelfAttention
from attncert.certificates.matrix import DenseMatrix, Matrix
from attncert.certificates.target import InputSpace
from attncert.construct.embedding import Block, embed_blocks

Vector = Sequence[Fraction]


@dataclass(frozen=True)
class Head:
    """T(x) = sum of softmax_i(keys . x + biases) (values_i + slopes_i . x), a column of d_o entries.

    keys: m rows of a number for each token, biases: one, values: d_o rows, slopes: nothing, or for each row of values m
    rows. `formulas` are the same d_o entries without a softmax.
    """

    space: InputSpace
    keys: tuple[list[Fraction], ...]
    biases: list[Fraction]
    values: tuple[list[Fraction], ...]
    formulas: tuple[str, ...]
    slopes: tuple[tuple[list[Fraction], ...], ...] = ()


def embedded(head: Head, columns: int = 1, gate: Fraction = Fraction(0)) -> Attention:
    """The head in the paper's form. More output columns have the same tokens each, so that a gate changes nothing."""
    block = Block(head.keys, head.biases, head.values, head.slopes)
    return embed_blocks(head.space, [block] * columns, gate)


def column(m: int) -> InputSpace:
    """The inputs x, or x0 to x(m-1)."""
    return InputSpace((m, 1))


def names_of(space: InputSpace) -> list[str]:
    """How the entries of the input are called in targets."""
    return [space.variable_name(k) for k in range(space.size)]


def spelled(value: Fraction) -> str:
    """A number as the language of targets spells it: a decimal of any length, or a ratio."""
    denominator, places = value.denominator, 0
    while denominator % 10 == 0 or denominator % 2 == 0 or denominator % 5 == 0:
        denominator //= next(factor for factor in (10, 2, 5) if denominator % factor == 0)
        places += 1
    if denominator > 1:
        return f"({value.numerator}/{value.denominator})"
    digits = abs(value.numerator) * 10**places // value.denominator
    whole, part = divmod(digits, 10**places)
    text = f"{whole}.{part:0{places}}" if places else str(whole)
    return f"(-{text})" if value < 0 else text


def affine(slopes: Vector, bias: Fraction, names: Sequence[str]) -> str:
    """The formula of slopes . x + bias, in parentheses."""
    terms = [f"{spelled(a)}*{name}" for a, name in zip(slopes, names, strict=True) if a]
    return f"({' + '.join([*terms, spelled(bias)])})"


def sigmoid(space: InputSpace, slopes: Vector, bias: Fraction, rows: Sequence[tuple[Fraction, Fraction]]) -> Head:
    """Two tokens: v + (w - v) sigmoid(slopes . x + bias) for each pair v, w of values."""
    s = f"sigmoid{affine(slopes, bias, names_of(space))}"
    zero = Fraction(0)
    return Head(
        space,
        tuple([zero, a] for a in slopes),
        [zero, bias],
        tuple([v, w] for v, w in rows),
        tuple(f"({spelled(v)} + {spelled(w - v)}*{s})" for v, w in rows),
    )


def hyperbolic(space: InputSpace, slopes: Vector, bias: Fraction, size: Fraction, common: Vector = ()) -> Head:
    """Two tokens: size tanh((slopes . x + bias) / 2), whatever is `common` to the slopes of both."""
    common = common or [Fraction(0)] * space.size
    half = affine([a / 2 for a in slopes], bias / 2, names_of(space))
    return Head(
        space,
        tuple([c, c + a] for a, c in zip(slopes, common, strict=True)),
        [Fraction(0), bias],
        ([-size, size],),
        (f"({spelled(size)}*tanh{half})",),
    )


def bernstein(space: InputSpace, slopes: Vector, bias: Fraction, degree: int, power: int) -> Head:
    """2^degree tokens: s^power, s = sigmoid(slopes . x + bias).

    With i of the scores of a Bernstein polynomial for binom(degree, i) tokens each, the weights are those of the basis
    polynomials binom(degree, i) s^i (1 - s)^(degree - i), and s^power has the coefficients
    binom(i, power) / binom(degree, power).
    """
    numbers = [i for i in range(degree + 1) for _ in range(comb(degree, i))]
    s = f"sigmoid{affine(slopes, bias, names_of(space))}"
    return Head(
        space,
        tuple([i * a for i in numbers] for a in slopes),
        [i * bias for i in numbers],
        ([Fraction(comb(i, power), comb(degree, power)) for i in numbers],),
        (f"{s}**{power}",),
    )


def tensor(space: InputSpace, slopes: Vector, biases: Vector) -> Head:
    """2^m tokens: the product of the sigmoid(slopes_k x_k + biases_k)."""
    corners = list(product((0, 1), repeat=space.size))
    factors = [
        f"sigmoid({spelled(a)}*{name} + {spelled(b)})"
        for a, b, name in zip(slopes, biases, names_of(space), strict=True)
    ]
    return Head(
        space,
        tuple([corner[k] * a for corner in corners] for k, a in enumerate(slopes)),
        [sum((c * b for c, b in zip(corner, biases, strict=True)), Fraction(0)) for corner in corners],
        ([Fraction(prod(corner)) for corner in corners],),
        (f"({'*'.join(factors)})",),
    )


def tilted(space: InputSpace, slopes: Vector, bias: Fraction, constants: Vector, inclines: Sequence[Vector]) -> Head:
    """Two tokens with values that are affine in the input: (constants_i + inclines_i . x), weighed by a sigmoid."""
    names = names_of(space)
    head = sigmoid(space, slopes, bias, [(constants[0], constants[1])])
    first, second = [affine(h, v, names) for h, v in zip(inclines, constants, strict=True)]
    formula = f"({first} + ({second} - {first})*sigmoid{affine(slopes, bias, names)})"
    rows = tuple([inclines[0][k], inclines[1][k]] for k in range(space.size))
    return replace(head, formulas=(formula,), slopes=(rows,))


def equal(space: InputSpace, keys: Sequence[Vector], biases: Vector, value: Fraction) -> Head:
    """Tokens of one value, whatever their scores."""
    return Head(space, tuple(map(list, keys)), list(biases), ([value] * len(biases),), (spelled(value),))


def spike(space: InputSpace, centre: Vector, rates: Vector, height: Fraction, value: Fraction) -> Head:
    """2m + 1 tokens: value e^height / (e^height + sum of 2 cosh(rates_k (x_k - centre_k))), largest at the centre."""
    keys = [[Fraction(0)] * (2 * space.size + 1) for _ in rates]
    biases = [height]
    for k, (rate, c) in enumerate(zip(rates, centre, strict=True)):
        keys[k][2 * k + 1], keys[k][2 * k + 2] = rate, -rate
        biases += [-rate * c, rate * c]
    return Head(space, tuple(keys), biases, ([value] + [Fraction(0)] * 2 * space.size,), ("",))


def mixed(head: SelfAttention, multipliers: Sequence[int]) -> SelfAttention:
    """The same head with full matrices: Z is multiplied by a unimodular matrix L, and the weights by its inverse.

    L is lower triangular with ones on its diagonal, and the multipliers in turn below it.
    """
    height = head.R.shape[0]
    L = [
        [int(r == c) or (multipliers[(r * height + c) % len(multipliers)] if c < r else 0) for c in range(height)]
        for r in range(height)
    ]
    inverse = [[int(r == c) for c in range(height)] for r in range(height)]
    for r in range(height):
        for k in range(r):
            inverse[r] = [a - L[r][k] * b for a, b in zip(inverse[r], inverse[k], strict=True)]

    def after(matrix: Matrix) -> Matrix:
        return _multiplied(L, _full(matrix))

    def before(matrix: Matrix) -> Matrix:
        return _multiplied(_full(matrix), inverse)

    return replace(
        head,
        linear=tuple((after(P), Q) for P, Q in head.linear),
        R=after(head.R),
        W_K=before(head.W_K),
        W_Q=before(head.W_Q),
        W_V=before(head.W_V),
    )


def _full(matrix: Matrix) -> list[list[Fraction]]:
    rows = []
    for r in range(matrix.shape[0]):
        row = [Fraction(0)] * matrix.shape[1]
        for c, number in matrix.row_items(r):
            row[c] = Fraction(number)
        rows.append(row)
    return rows


def _multiplied(A: Sequence[Sequence[Fraction | int]], B: Sequence[Sequence[Fraction | int]]) -> DenseMatrix:
    columns = list(zip(*B, strict=True))
    rows = [
        [sum((Fraction(a * b) for a, b in zip(row, line, strict=True) if a and b), Fraction(0)) for line in columns]
        for row in A
    ]
    return DenseMatrix((len(rows), len(columns)), tuple(rows))
