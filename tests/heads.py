"""Statements for the tests, made at random or by hand, and their errors |f - T| to sixty digits."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import product
from typing import Any

import mpmath

from attncert.certificates.attention import Attention, CrossAttention, SelfAttention, Side
from attncert.certificates.claim import SupError
from attncert.certificates.condition import parse_condition, satisfied
from attncert.certificates.document import Document
from attncert.certificates.domain import Box, parse_box
from attncert.certificates.errors import UndefinedTarget
from attncert.certificates.evaluate import evaluate_mp
from attncert.certificates.evidence import Evidence
from attncert.certificates.matrix import DenseMatrix, Matrix, SparseMatrix
from attncert.certificates.statement import Statement
from attncert.certificates.target import InputSpace, Target, parse_target
from attncert.verifier import kernel

BITS = 220  # sixty digits, and some to spare for cancellation
Number = int | str | Fraction
Point = tuple[Fraction, ...]
Slopes = Sequence[Sequence[Sequence[Number]]]
Products = Mapping[tuple[int, int], Sequence[Number]]


def row(numbers: Iterable[Number]) -> list[Fraction]:
    return [Fraction(number) for number in numbers]


def matrix_of(rows: Sequence[Sequence[Number]], *, sparse: bool = False) -> Matrix:
    shape = len(rows), len(rows[0])
    if sparse:
        places = {(i, j): Fraction(x) for i, line in enumerate(rows) for j, x in enumerate(line) if x}
        return SparseMatrix(shape, places)
    return DenseMatrix(shape, tuple(map(row, rows)))


def attention_of(
    shape: tuple[int, int],
    keys: Sequence[Sequence[Number]],
    biases: Sequence[Number],
    values: Sequence[Sequence[Number]],
    *,
    columns: Sequence[int] = (0,),
    factors: Sequence[Number] | None = None,
    mix: random.Random | None = None,
    sparse: bool = False,
    slopes: Slopes = (),
    products: Products | None = None,
) -> SelfAttention:
    """The head whose output column that selects q has the scores a_i . x + factors_q b_i.

    keys: m rows, values: d_o rows, slopes: for each row of values m rows, the coefficients of x in it; products: for
    some pairs (j, k) a row, the coefficients of x_j x_k in the scores. The rows of Z are x, the keys, the biases, the
    factors (1 unless given) and the values. `mix` multiplies Z by a random unimodular matrix and the weights by its
    inverse, so that every matrix is full, and the head the same.
    """
    d, n = shape
    m, tokens, d_o = d * n, len(biases), len(values)
    height = 2 * m + 2 + d_o
    R = [[0] * tokens for _ in range(m)] + [list(key) for key in keys] + [list(biases), list(factors or [1] * tokens)]
    R += [list(value) for value in values]
    linear = []
    for b in range(n):
        P = [[int(r == a * n + b) for a in range(d)] for r in range(height)]
        linear.append((P, [[int(line == b)] * tokens for line in range(n)]))
    linear += _value_terms(slopes, shape, 2 * m + 2, height)
    for (j, k), factor in (products or {}).items():  # x_j times the row joins key k
        P = [[int((r, a) == (m + k, j // n)) for a in range(d)] for r in range(height)]
        linear.append((P, [list(factor) if b == j % n else [0] * tokens for b in range(n)]))
    W_K, W_Q, W_V = [
        [[int(r == place) for r in range(height)] for place in places]
        for places in (range(m, 2 * m + 1), [*range(m), 2 * m + 1], range(2 * m + 2, height))
    ]
    weights: list[Any] = [W_K, W_Q, W_V]
    if mix is not None:
        lower = [[1 if r == c else mix.randint(-2, 2) if c < r else 0 for c in range(height)] for r in range(height)]
        R, linear = multiplied(lower, R), [(multiplied(lower, P), Q) for P, Q in linear]
        weights = [multiplied(W, _inverse(lower)) for W in weights]
    W_K, W_Q, W_V = weights
    return SelfAttention(
        input_shape=shape,
        linear=tuple((matrix_of(P, sparse=sparse), matrix_of(Q, sparse=sparse)) for P, Q in linear),
        R=matrix_of(R, sparse=sparse),
        W_K=matrix_of(W_K, sparse=sparse),
        W_Q=matrix_of(W_Q, sparse=sparse),
        W_V=matrix_of(W_V, sparse=sparse),
        W_O=SparseMatrix((tokens, len(columns)), {(q, j): Fraction(1) for j, q in enumerate(columns)}),
    )


def cross_of(
    shapes: tuple[tuple[int, int], tuple[int, int]],
    keys: Sequence[Sequence[Number]],
    biases: Sequence[Number],
    values: Sequence[Sequence[Number]],
    *,
    columns: Sequence[int] = (0,),
    slopes: Slopes = (),
) -> CrossAttention:
    """The cross-attention head with scores a_i . x + b_i, x the entries of K and then those of Q.

    slopes: for each row of values the coefficients of the entries of K in it.

    Q is broadcast and meets its part of the keys in the product of keys and queries. K is multiplied with its part of
    the keys already in Z_K, by a term P_h K Q_h for each of its entries. Z_Q has four equal columns to select from.
    """
    (d, n), (d_q, n_q) = shapes
    m_k, m_q, tokens, width = d * n, d_q * n_q, len(biases), 4
    height = 1 + m_q + len(values)
    linear_K = [
        (
            matrix_of([[int((r, a) == (0, k // n)) for a in range(d)] for r in range(height)]),
            matrix_of([list(keys[k]) if b == k % n else [0] * tokens for b in range(n)]),
        )
        for k in range(m_k)
    ]
    linear_K += [(matrix_of(P), matrix_of(Q)) for P, Q in _value_terms(slopes, shapes[0], 1 + m_q, height)]
    linear_Q = [
        (
            matrix_of([[int(r == 1 + a * n_q + b) for a in range(d_q)] for r in range(1 + m_q)]),
            matrix_of([[int(line == b)] * width for line in range(n_q)]),
        )
        for b in range(n_q)
    ]
    selector = [[int(r == place) for r in range(1 + m_q)] for place in range(1 + m_q)]
    return CrossAttention(
        key_shape=(d, n),
        query_shape=(d_q, n_q),
        linear_K=tuple(linear_K),
        R_K=matrix_of([list(biases), *map(list, keys[m_k:]), *map(list, values)]),
        linear_Q=tuple(linear_Q),
        R_Q=matrix_of([[1] * width, *([0] * width for _ in range(m_q))]),
        W_K=matrix_of([line + [0] * len(values) for line in selector]),
        W_Q=matrix_of(selector, sparse=True),
        W_V=matrix_of([[int(r == 1 + m_q + v) for r in range(height)] for v in range(len(values))]),
        W_O=SparseMatrix((width, len(columns)), {(q, j): Fraction(1) for j, q in enumerate(columns)}),
    )


def _value_terms(slopes: Slopes, shape: tuple[int, int], first: int, height: int) -> list[tuple[Any, Any]]:
    """P, Q for each row r of values and each row a of the input: its product with Q is added to row first + r."""
    d, n = shape
    return [
        (
            [[int((i, j) == (first + r, a)) for j in range(d)] for i in range(height)],
            [list(rows[a * n + b]) for b in range(n)],
        )
        for r, rows in enumerate(slopes)
        for a in range(d)
    ]


def _inverse(lower: Sequence[Sequence[int]]) -> list[list[int]]:
    """The inverse of a lower triangular matrix with ones on the diagonal, by forward substitution."""
    size = len(lower)
    inverse = [[int(r == c) for c in range(size)] for r in range(size)]
    for r in range(size):
        for k in range(r):
            inverse[r] = [a - lower[r][k] * b for a, b in zip(inverse[r], inverse[k], strict=True)]
    return inverse


Shape = tuple[int, int]
Shapes = Shape | tuple[Shape, Shape] | None
"""The shape of X, of K and Q, or a column X."""


def space_of(shape: Shapes, box: Box) -> InputSpace:
    if shape is None:
        return InputSpace((box.dimension, 1))
    return InputSpace(*shape) if isinstance(shape[0], tuple) else InputSpace(shape)  # type: ignore[arg-type]


def statement_of(
    target: str,
    domain: str | Box,
    keys: Sequence[Sequence[Number]],
    biases: Sequence[Number],
    values: Sequence[Sequence[Number]],
    tolerance: Number,
    shape: Shapes = None,
    conditions: Sequence[str] = (),
    slopes: Slopes = (),
    products: Products | None = None,
) -> Statement:
    """The claim |target - T| <= tolerance for the head with scores keys . x + biases and values that `slopes` add to.

    In self-attention `products` add to the scores.

    keys: m rows, values: d_o rows, slopes: for each of these a row for each entry of the input, or of K.
    """
    box = parse_box(domain) if isinstance(domain, str) else domain
    space = space_of(shape, box)
    head: Attention
    if space.query_shape is None:
        head = attention_of(space.shape, keys, biases, values, slopes=slopes, products=products)
    else:
        head = cross_of((space.shape, space.query_shape), keys, biases, values, slopes=slopes)
    where = tuple(parse_condition(condition, space) for condition in conditions)
    return Statement(parse_target(target, space), box, head, SupError(Fraction(tolerance)), where)


def grid_statement(
    target: str,
    domain: str | Box,
    counts: Sequence[int],
    beta: Number,
    tolerance: Number,
    shape: Shapes = None,
    conditions: Sequence[str] = (),
    sloped: random.Random | None = None,
) -> Statement:
    """The paper's head: anchors on a grid, scores beta (|x|^2 - |x - c|^2), values f(c) rounded to float64.

    `sloped` makes the values affine in the input: tangents of the target, or other functions through f(c).
    """
    box = parse_box(domain) if isinstance(domain, str) else domain
    space = space_of(shape, box)
    sides = list(zip(box.sides, counts, strict=True))
    axes = [[lo + (hi - lo) * Fraction(2 * i + 1, 2 * n) for i in range(n)] for (lo, hi), n in sides]
    anchors = list(product(*axes))
    keys = [[2 * Fraction(beta) * c for c in column] for column in zip(*anchors, strict=True)]
    biases = [-Fraction(beta) * sum(c * c for c in anchor) for anchor in anchors]
    parsed = parse_target(target, space)
    values = list(zip(*[values_at(parsed, anchor) for anchor in anchors], strict=True))
    slopes, values = (affine_values(sloped, parsed, space, anchors, values)) if sloped else ((), values)
    return statement_of(target, box, keys, biases, values, tolerance, shape, conditions, slopes)


def affine_values(
    rnd: random.Random, target: Target, space: InputSpace, anchors: Sequence[Point], values: Sequence[Sequence[Number]]
) -> tuple[list[list[list[Fraction]]], list[tuple[Number, ...]]]:
    """Slopes of values that pass through the given ones at the anchors, and the constants that go with them.

    They are about those of the target, or at random; in cross-attention there are only those of K.
    """
    m = space.size if space.query_shape is None else space.shape[0] * space.shape[1]
    own, scale = rnd.random() < 0.7, Fraction(10 ** rnd.uniform(-6, 3))
    slopes: list[list[list[Fraction]]] = [[[] for _ in range(m)] for _ in values]
    step = Fraction(1, 10**5)
    for anchor in anchors:
        for k in range(m):
            ends = [values_at(target, (*anchor[:k], anchor[k] + s * step, *anchor[k + 1 :])) for s in (-1, 1)]
            for r, (lo, hi) in enumerate(zip(*ends, strict=True)):
                slope = Fraction(float((hi - lo) / (2 * step)))
                slopes[r][k].append(slope if own and abs(slope) < 10**4 else scale * Fraction(rnd.gauss(0, 1)) / 3)
    for rows in slopes:
        if rnd.random() < 0.2:
            rows[rnd.randrange(m)] = [Fraction(0)] * len(anchors)
    constants = [
        tuple(
            Fraction(v) - sum(rows[k][i] * anchor[k] for k in range(m))
            for i, (v, anchor) in enumerate(zip(line, anchors, strict=True))
        )
        for line, rows in zip(values, slopes, strict=True)
    ]
    return slopes, constants


def values_at(target: Any, anchor: Point) -> list[Fraction]:
    """The target at an anchor, in float64; 0 where it has no value there."""
    try:
        values = [float(value) for value in evaluate_mp(target, anchor, 60)]
    except UndefinedTarget:
        values = [math.nan] * len(target.outputs)
    return [Fraction(value) if math.isfinite(value) and abs(value) < 1e100 else Fraction(0) for value in values]


def with_tolerance(statement: Statement, tolerance: Number) -> Statement:
    return replace(statement, claim=SupError(Fraction(tolerance)), spelling=None)


def errors_at(statement: Statement, point: Sequence[Fraction]) -> list[Fraction | None]:
    """|f - T| of every entry (row by row) at a point; None where the target has no value.

    Computed to sixty digits, of which the last ten are given away: each number is a lower bound.
    """
    head = statement.attention(*inputs_of(statement.attention, point), precision=BITS)
    errors: list[Fraction | None] = []
    for slot, entry in zip(statement.target.outputs, list(head), strict=True):
        try:
            (value,) = evaluate_mp(replace(statement.target, outputs=(slot,), shape=(1, 1)), point, BITS)
        except UndefinedTarget:
            errors.append(None)
            continue
        with mpmath.workprec(BITS):
            error = abs(value - entry) - (1 + abs(value) + abs(entry)) * mpmath.mpf(10) ** -50
            errors.append(max(exact(error), Fraction(0)))
    return errors


def inputs_of(attention: Attention, point: Sequence[Fraction]) -> list[list[list[Fraction]]]:
    """The entries of the input as matrices: X, or K and Q."""
    left = iter(point)
    return [[[next(left) for _ in range(n)] for _ in range(d)] for d, n in attention.input_shapes]


def inside(statement: Statement, point: Sequence[Fraction]) -> bool:
    """Tell whether a point lies in the domain of a statement: in its box, where its conditions hold."""
    return tuple(point) in statement.domain and satisfied(statement.conditions, point)


def error_at(statement: Statement, point: Sequence[Fraction]) -> Fraction | None:
    """The largest error at a point, as `errors_at`; None where an entry of the target has no value."""
    errors = errors_at(statement, point)
    known = [error for error in errors if error is not None]
    return max(known) if len(known) == len(errors) else None


def exact(x: mpmath.mpf) -> Fraction:
    """The number that the digits spell; 0 where it is far below the range of float64."""
    sign, mantissa, exponent, bits = x._mpf_
    assert mantissa or not exponent, "not a finite number"
    if exponent + bits < -5000:
        return Fraction(0)
    return Fraction(int(mantissa)) * Fraction(2) ** exponent * (-1 if sign else 1)


def points_of(box: Box, count: int, rnd: random.Random) -> list[Point]:
    """Corners and random points of a box, exactly inside; some lie very near a face."""
    corners = list(product(*[sorted({lo, hi}) for lo, hi in box.sides]))[:16]
    return corners + [tuple(_inside(lo, hi, rnd) for lo, hi in box.sides) for _ in range(count)]


def _inside(lo: Fraction, hi: Fraction, rnd: random.Random) -> Fraction:
    part = Fraction(rnd.getrandbits(40), 1 << 40)
    if rnd.random() < 0.1:
        part = Fraction(1, 1 << rnd.randrange(10, 60))
    return lo + (hi - lo) * (part if rnd.random() < 0.7 else 1 - part)


# ---------------------------------------------------------------------------------------------------------------------
# Certificates as bytes


def bytes_of(statement: Statement, evidence: Evidence | None) -> bytes:
    return Document(statement, evidence).to_bytes()


def json_of(statement: Statement, evidence: Evidence | None) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(bytes_of(statement, evidence))
    return document


def sealed(document: dict[str, Any]) -> bytes:
    """The certificate with the digest that belongs to its statement, whatever that says."""
    text = json.dumps(document["statement"], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    document = {**document, "statement_sha256": hashlib.sha256(text.encode("ascii")).hexdigest()}
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii") + b"\n"


def kernel_says(data: bytes, limits: kernel.Limits | None = None) -> str:
    """The kernel's verdict: `proved`, `refuted` or the reason of a rejection."""
    try:
        return kernel.check_bytes(data, limits or kernel.Limits()).verdict
    except kernel.Rejected as rejection:
        return rejection.reason


# ---------------------------------------------------------------------------------------------------------------------
# Random statements

SIDES = [
    ("0", "1"),
    ("-1", "1"),
    ("1/3", "2/3"),
    ("-0.7", "0.1"),
    ("0.1", "0.3"),
    ("-1/7", "1e-3"),
    ("0", "10"),
    ("-0x1.921fb54442d18p+1", "0x1.921fb54442d18p+1"),
    ("1", "0x1.0000000001p+0"),
    ("1e-9", "2e-9"),
    ("99.9", "100.1"),
]
FIXED = ["0", "1/3", "-0.1", "2"]
POWERS = ["-1", "-2", "0.5", "(1/3)", "-0.5"]
SMOOTH = ["sin", "cos", "atan", "tanh", "sigmoid", "erf", "exp", "sinh", "cosh"]


def random_target(rnd: random.Random, names: Sequence[str], depth: int = 3) -> str:
    """An expression over the whole target language, mostly defined everywhere and of moderate size."""

    def part() -> str:
        return random_target(rnd, names, depth - 1)

    if depth == 0 or rnd.random() < 0.1:
        number = rnd.choice(["0", "1", "2", "0.3", "1/3", "2.5e-1", "pi", "e", "10", ".5"])
        return rnd.choice(names) if rnd.random() < 0.75 else f"({number})"
    forms: list[tuple[int, Callable[[], str]]] = [
        (6, lambda: f"({part()} {rnd.choice('+-*')} {part()})"),
        (2, lambda: f"-{part()}" if rnd.random() < 0.5 else f"({part()} - ({part()}) / 3)"),
        (6, lambda: f"{rnd.choice(SMOOTH)}({part()})"),
        (3, lambda: f"{rnd.choice(['sin', 'cos'])}({rnd.choice(['2*pi', '3', '0.5'])}*{part()})"),
        (2, lambda: f"abs({part()})"),
        (2, lambda: f"{rnd.choice(['min', 'max'])}({part()}, {part()})"),
        (1, lambda: f"max({part()}, {part()}, {part()})"),
        (2, lambda: f"({part()})**{rnd.choice(['2', '3', '0', '4', '(6/2)'])}"),
        (1, lambda: f"(1 + abs({part()}))**{rnd.choice([*POWERS, f'({rnd.choice(names)})'])}"),
        (2, lambda: f"{part()} / (1.5 + {rnd.choice(['sin', 'cos'])}({part()}))"),
        (1, lambda: f"sqrt(abs({part()}))"),
        (1, lambda: f"log(1 + abs({part()}))"),
        (1, lambda: f"tan(atan({part()}))"),
        (1, lambda: f"where({part()} <= {part()}, {part()}, {part()})"),
        (1, lambda: f"where(not {part()} < 0 and ({part()} > 0.2 or 0 < {part()} < 1), {part()}, {part()})"),
        (1, lambda: "where({0} < {1}, {0}, {1})".format(part(), part())),
        (1, lambda: f"{rnd.choice(['sign', 'floor', 'sqrt', 'log', 'tan', '1/'])}({part()})"),
    ]
    weights, makers = zip(*forms, strict=True)
    return rnd.choices(makers, weights)[0]()


def random_box(rnd: random.Random) -> Box:
    sides = []
    for _ in range(rnd.choice([1, 1, 1, 2, 2, 3])):
        lo, hi = rnd.choice(SIDES)
        if rnd.random() < 0.08:
            lo = hi = rnd.choice(FIXED)
        sides.append((number_of(lo), number_of(hi)))
    return Box(tuple(sides))


def number_of(text: str) -> Fraction:
    """The number that a domain end spells, hexadecimal included."""
    return parse_box(f"[{text},{text}]").sides[0][0]


def random_statement(rnd: random.Random) -> Statement:
    """A random target, domain and head, of self- or cross-attention, with the tolerance 1."""
    box = random_box(rnd)
    m = box.dimension
    shapes: list[Shapes] = [(m, 1), (m, 1), (1, m)]
    if m > 1:
        shapes.append(((1, m - 1), (1, 1)) if rnd.random() < 0.5 else ((1, 1), (m - 1, 1)))
    shape = rnd.choice(shapes)
    space = space_of(shape, box)
    names = [space.variable_name(k) for k in range(m)]
    if space.query_shape is None:
        names += [f"X[{k // space.shape[1]},{k % space.shape[1]}]" for k in range(m)]
    entries = rnd.choice([1, 1, 1, 2])
    texts = [random_target(rnd, names, rnd.choice([1, 2, 2, 3])) for _ in range(entries)]
    target = texts[0] if entries == 1 else f"[{', '.join(texts)}]"
    conditions = []
    if rnd.random() < 0.2:
        lo, hi = map(float, box.sides[0])
        cut = rnd.choice([f"{lo + (hi - lo) * rnd.random():.6f}", random_target(rnd, names, 1)])
        conditions = [f"{names[0]} {rnd.choice(['<=', '<', '>'])} {cut}"]
        conditions += [f"not {random_target(rnd, names, 1)} < {random_target(rnd, names, 1)} - 1"] * rnd.randrange(2)
    beta = Fraction(10 ** rnd.uniform(-2, 8)).limit_denominator(1000) or Fraction(1, 100)
    own = random.Random(f"{target} {beta}")
    sloped = own if own.random() < 0.4 else None
    if rnd.random() < 0.6:
        largest = rnd.choice([1, 4, 16, 64]) ** (1 / m)
        counts = [rnd.randint(1, max(1, int(largest))) for _ in range(m)]
        return grid_statement(target, box, counts, beta, 1, shape, conditions, sloped)
    parsed = parse_target(target, space)
    keys, biases, values, places = _irregular(rnd, parsed, box, beta)
    slopes, constants = affine_values(sloped, parsed, space, places, values) if sloped else ([], values)
    return statement_of(target, box, keys, biases, constants, 1, shape, conditions, slopes)


Rows = list[list[Fraction]]


def _irregular(
    rnd: random.Random, target: Target, box: Box, beta: Fraction
) -> tuple[Rows, list[Fraction], Rows, list[Point]]:
    """Keys, biases, values and places off any grid: random slopes, or anchors there with biases off by a little."""
    tokens = rnd.choice([1, 2, 3, 7, 20])
    places = points_of(box, tokens, rnd)[-tokens:]
    bend = rnd.choice([0, Fraction(1, 10**6), Fraction(1, 3)])
    if rnd.random() < 0.6:
        keys = [[2 * beta * place[k] for place in places] for k in range(box.dimension)]
        biases = [-beta * sum(x * x for x in place) * (1 + bend * Fraction(rnd.random())) for place in places]
    else:
        keys = [[beta * Fraction(rnd.gauss(0, 1)) for _ in places] for _ in box.sides]
        biases = [beta * Fraction(rnd.gauss(0, 1)) / 3 for _ in places]
    noise = rnd.choice([0, 0, Fraction(1, 100), 1])
    values = [[v + noise * Fraction(rnd.uniform(-1, 1)) for v in values_at(target, place)] for place in places]
    return keys, biases, [list(line) for line in zip(*values, strict=True)], places


# ---------------------------------------------------------------------------------------------------------------------
# Any head of the paper's form, multiplied out without the product's own arithmetic


def multiplied(A: Sequence[Sequence[Any]], B: Sequence[Sequence[Any]]) -> list[list[Any]]:
    columns = list(zip(*B, strict=True))
    return [[sum(a * b for a, b in zip(line, column, strict=True)) for column in columns] for line in A]


def full(matrix: Any) -> list[list[Fraction]]:
    """The entries of an exact matrix, from its certificate form."""
    shape, form = matrix.shape, matrix.to_json()
    if "rows" in form:
        rows = [line if isinstance(line, list) else [line] * shape[1] for line in form["rows"]]
        return [[number_of(number) for number in line] for line in rows]
    dense = [[Fraction(0)] * shape[1] for _ in range(shape[0])]
    for i, j, number in form["entries"]:
        dense[i][j] = number_of(number)
    return dense


def evaluated(attention: Attention, *inputs: Sequence[Sequence[Fraction]], digits: int = 60) -> list[list[mpmath.mpf]]:
    """T = W_V Z_K softmax((W_K Z_K)^T W_Q Z_Q) W_O, as it is written, for any head: quadratic scores and all."""
    sides = [attention.keys_side, attention.queries_side]
    Z_K, Z_Q = [embedded(side, X) for side, X in zip(sides, [inputs[0], inputs[-1]], strict=True)]
    keys, queries = multiplied(full(attention.W_K), Z_K), multiplied(full(attention.W_Q), Z_Q)
    scores = multiplied([list(column) for column in zip(*keys, strict=True)], queries)
    selected = multiplied(scores, full(attention.W_O))  # W_O selects columns, before the softmax as well as after it
    values = multiplied(full(attention.W_V), Z_K)
    with mpmath.workdps(digits + 10):
        out = [[mpmath.mpf(0)] * len(selected[0]) for _ in values]
        for j, column in enumerate(zip(*selected, strict=True)):
            best = max(column)
            weights = [mpmath.exp(mpf(score - best)) for score in column]
            for r, line in enumerate(values):
                top = mpmath.fsum(mpf(value) * weight for value, weight in zip(line, weights, strict=True))
                out[r][j] = top / mpmath.fsum(weights)
        return out


def embedded(side: Side, X: Sequence[Sequence[Fraction]]) -> list[list[Any]]:
    """Z = sum_h P_h X Q_h + R."""
    Z = full(side.R)
    for P, Q in side.linear:
        term = multiplied(multiplied(full(P), X), full(Q))
        Z = [[a + b for a, b in zip(left, right, strict=True)] for left, right in zip(Z, term, strict=True)]
    return Z


def mpf(x: Fraction) -> mpmath.mpf:
    return mpmath.mpf(x.numerator) / x.denominator
