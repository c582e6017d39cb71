"""Values that are affine in the input: the reduction, the ranges of f - v_i, and the kernel's models, against exact
arithmetic and arb."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import product
from typing import Any

import flint
import mpmath
import numpy as np
import pytest
from balls import BITS, exact_entry, exact_weights, rational, values_of
from flint import arb, fmpq
from heads import (
    attention_of,
    bytes_of,
    cross_of,
    errors_at,
    evaluated,
    inputs_of,
    json_of,
    kernel_says,
    matrix_of,
    statement_of,
    with_tolerance,
)

from attncert.certificates.attention import Attention
from attncert.certificates.claim import LpError
from attncert.certificates.domain import parse_box
from attncert.certificates.evidence import Counterexample, Integral, Paving
from attncert.certificates.statement import Statement
from attncert.certificates.target import InputSpace, parse_target
from attncert.certificates.taylor import Model, models, multi_indices
from attncert.construct.embedding import Block, embed_blocks
from attncert.verifier import kernel
from attncert.verifier.bound import enclose_error
from attncert.verifier.differences import difference_ranges
from attncert.verifier.head import round_head
from attncert.verifier.integers import needed
from attncert.verifier.outcome import columns_of
from attncert.verifier.point import proved_error
from attncert.verifier.prove import verify
from attncert.verifier.reduction import reduce_head

LIMITS = kernel.Limits()


def numbers(rnd: random.Random, count: int, size: int = 20) -> list[Fraction]:
    return [Fraction(rnd.randint(-size, size), rnd.choice([1, 2, 3, 7])) for _ in range(count)]


def softmax_mean(scores: Sequence[Fraction], values: Sequence[Fraction]) -> mpmath.mpf:
    with mpmath.workdps(60):
        weights = [mpmath.exp(mpmath.mpf((s - max(scores)).numerator) / (s - max(scores)).denominator) for s in scores]
        top = mpmath.fsum(w * v.numerator / v.denominator for w, v in zip(weights, values, strict=True))
        return top / mpmath.fsum(weights)


def dot(row: Sequence[Fraction], x: Sequence[Fraction]) -> Fraction:
    return sum((a * t for a, t in zip(row, x, strict=True)), Fraction(0))


# ---------------------------------------------------------------------------------------------------------------------
# Full matrices


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shapes", [((1, 1),), ((3, 1),), ((2, 2),), ((1, 3),), ((2, 1), (1, 2)), ((1, 2), (2, 1))])
def test_full_matrices_are_the_softmax_of_affine_values(shapes: tuple[tuple[int, int], ...], seed: int) -> None:
    """T = sum softmax_i (u_i + g_i . x), for blocks of their own, evaluated as the matrices are written."""
    rnd = random.Random(f"{shapes} {seed}")
    space, columns, rows = InputSpace(*shapes), rnd.choice([1, 1, 2, 3]), rnd.choice([1, 2])
    m, keyed, gate = space.size, shapes[0][0] * shapes[0][1], Fraction(rnd.randint(0, 9))
    blocks = []
    for _ in range(columns):
        n = rnd.choice([1, 2, 4])
        slopes = [[numbers(rnd, n) if k < keyed else [Fraction(0)] * n for k in range(m)] for _ in range(rows)]
        slopes[0][0] = rnd.choice([slopes[0][0], [Fraction(0)] * n])
        blocks.append(
            Block([numbers(rnd, n, 3) for _ in range(m)], numbers(rnd, n, 3), [numbers(rnd, n)] * rows, slopes)
        )
    head = embed_blocks(space, blocks, gate)
    x = numbers(rnd, m, 3)
    found = evaluated(head, *inputs_of(head, x))
    alone = head(*inputs_of(head, x), precision=200)
    for j in range(columns):
        scores = [
            dot([key[i] for key in block.keys], x)
            + block.biases[i]
            + (gate if block is blocks[j] and columns > 1 else 0)
            for block in blocks
            for i in range(len(block.biases))
        ]
        for r in range(rows):
            values = [
                block.values[r][i] + dot([row[i] for row in block.slopes[r]], x)  # type: ignore[index]
                for block in blocks
                for i in range(len(block.biases))
            ]
            expected = softmax_mean(scores, values)
            assert abs(found[r][j] - expected) <= mpmath.mpf(10) ** -45 * (1 + abs(expected))
            assert abs(alone[r, j] - expected) <= mpmath.mpf(10) ** -45 * (1 + abs(expected))


def test_only_slopes_that_are_there_cost_a_term() -> None:
    slopes = [[[Fraction(1), Fraction(2)], [Fraction(0)] * 2], [[Fraction(0)] * 2, [Fraction(0)] * 2]]
    block = Block([[Fraction(1), Fraction(2)]] * 2, [Fraction(0)] * 2, [[Fraction(1)] * 2] * 2, slopes)
    head = embed_blocks(InputSpace((2, 1)), [block])
    assert len(head.linear) == 2  # type: ignore[union-attr]
    assert sorted(reduce_head(head)[0].slopes) == [0]


@pytest.mark.parametrize("seed", range(12))
def test_engine_and_kernel_reduce_to_the_same_values(seed: int) -> None:
    """A head with full matrices, of self- or cross-attention, at points against the product of the matrices."""
    rnd = random.Random(seed)
    cross = seed % 3 == 0
    shapes: Any = ((2, 1), (1, 1)) if cross else rnd.choice([(2, 2), (3, 1), (1, 2)])
    m = 3 if cross else shapes[0] * shapes[1]
    n, rows = rnd.choice([1, 3, 4]), rnd.choice([1, 2])
    keys, biases, values = (
        [numbers(rnd, n, 3) for _ in range(m)],
        numbers(rnd, n, 3),
        [numbers(rnd, n) for _ in range(rows)],
    )
    slopes = [[numbers(rnd, n) for _ in range(2 if cross else m)] for _ in range(rows)]
    attention: Attention = (
        cross_of(shapes, keys, biases, values, slopes=slopes)
        if cross
        else attention_of(shapes, keys, biases, values, mix=rnd, slopes=slopes)
    )
    reduced = reduce_head(attention)[0]
    box = parse_box("x".join(["[-1,2]"] * m))
    document = {"box": [[str(lo), str(hi)] for lo, hi in box.sides]}
    head = kernel.Head(attention.to_json(), document, kernel.Reader(LIMITS))
    for _ in range(3):
        x = numbers(rnd, m, 1)
        found = evaluated(attention, *inputs_of(attention, x))
        for r in range(rows):
            exact = [
                reduced.values[r][i] + sum(row[r][i] * x[k] for k, row in reduced.slopes.items())  # type: ignore[index]
                for i in range(n)
            ]
            assert exact == head.at(head.values[r], x)
            assert exact == [values[r][i] + dot([row[i] for row in slopes[r]], x[: len(slopes[r])]) for i in range(n)]
            assert abs(found[r][0] - softmax_mean(head.at(head.scores(0), x), exact)) < mpmath.mpf(10) ** -40


def test_a_fixed_entry_counts_as_a_constant() -> None:
    statement = statement_of("0", "[1/3,1/3]x[0,1]", [[0], [0]], [0], [[1]], "1.7", slopes=[[[2], [0]]])
    document = json_of(statement, None)["statement"]
    head = kernel.Head(document["attention"], document["domain"], kernel.Reader(LIMITS))
    assert head.values == [{(): [Fraction(5, 3)]}] or head.values == [{(): Fraction(5, 3)}]
    outcome = verify(statement)
    assert kernel_says(bytes_of(statement, outcome.evidence)) == "proved"
    false = with_tolerance(statement, "1.66")
    assert kernel_says(bytes_of(false, verify(false).evidence)) == "refuted"


# ---------------------------------------------------------------------------------------------------------------------
# The engine: values at a centre and around it, differences to a model


@pytest.mark.parametrize("seed", range(30))
def test_rounded_values_err_by_less_than_their_slack(seed: int) -> None:
    rnd = random.Random(seed)
    m, n = rnd.choice([1, 2, 3]), 4
    size = 10 ** rnd.choice([0, 0, 6, 12])
    values, slopes = [numbers(rnd, n, size)], [[numbers(rnd, n, size) for _ in range(m)]]
    domain = "x".join(rnd.choice(["[-1,1]", "[0,1/3]", "[99.9,100.1]", "[-1e6,1e-6]"]) for _ in range(m))
    box = parse_box(domain)
    reduced = reduce_head(attention_of((m, 1), [[0] * n] * m, [0] * n, values, slopes=slopes))[0]
    head = round_head(reduced, box)
    lo, hi = [np.array([float(side[end]) for side in box.sides]) for end in (0, 1)]
    slack = Fraction(float(head.value_slack[0]))
    assert slack < Fraction(size) * 20 * 10**6 * Fraction(1, 10**12)
    for _ in range(6):
        a, b = sorted([rnd.random(), rnd.random()])
        low, high = lo + (hi - lo) * a, np.minimum(lo + (hi - lo) * b, hi)
        centre, radius = (low + high) / 2, np.maximum(high - low, 0) / 2
        tokens = np.arange(n)
        middle, parts = head.values_at(0, tokens, centre), head.parts_of(0, tokens, radius)
        for u in product((-1, 0, 1), repeat=m):
            for i in range(n):
                x = [Fraction(c) + s * Fraction(r) for c, r, s in zip(centre.tolist(), radius.tolist(), u, strict=True)]
                exact = values[0][i] + dot([row[i] for row in slopes[0]], x)
                found = Fraction(float(middle[i])) + sum(
                    (u[k] * Fraction(float(part[i])) for k, part in parts.items()), Fraction(0)
                )
                assert abs(found - exact) <= slack
                assert Fraction(float(head.value_min[0])) <= exact <= Fraction(float(head.value_max[0]))


@pytest.mark.parametrize("order", range(1, 8))
@pytest.mark.parametrize("m", [1, 2, 3])
def test_differences_are_enclosed(m: int, order: int) -> None:
    """P - v_i +- R at points, exactly, for polynomials and values of any size; and tightly in one dimension."""
    rnd, gen = random.Random(order * 10 + m), np.random.default_rng(order * 10 + m)
    for boxes in (1, 2, 5):
        terms = multi_indices(m, order)
        scale = 10.0 ** rnd.randint(-3, 9)
        f = Model(gen.normal(size=(len(terms), boxes)) * scale, np.abs(gen.normal(size=boxes)), m, order, order)
        of = np.sort(gen.integers(0, boxes, rnd.choice([1, 2, 7])))
        values = f.coefficients[0][of] + gen.normal(size=len(of)) * rnd.choice([1e-9, 1.0])
        parts = {k: f.coefficients[1 + k][of] + gen.normal(size=len(of)) * 1e-6 for k in range(m) if rnd.random() < 0.8}
        low, high = difference_ranges(f, of, values, parts)
        for n, b in enumerate(of.tolist()):
            for _ in range(6):
                u = [Fraction(rnd.randint(-8, 8), 8) for _ in range(m)]
                value = -Fraction(float(values[n])) - sum(
                    (Fraction(float(part[n])) * u[k] for k, part in parts.items()), Fraction(0)
                )
                for a, c in zip(terms, f.coefficients[:, b].tolist(), strict=True):
                    value += Fraction(c) * math.prod((t**e for t, e in zip(u, a, strict=True)), start=Fraction(1))
                rest = Fraction(float(f.remainder[b]))
                assert Fraction(float(low[n])) <= value - rest
                assert value + rest <= Fraction(float(high[n]))


def test_a_model_without_bound_gives_no_range() -> None:
    f = Model(np.ones((2, 2)), np.array([np.inf, np.nan]), 1, 1, 1)
    with np.errstate(all="ignore"):
        low, high = difference_ranges(f, np.array([0, 1]), np.zeros(2), {0: np.ones(2)})
    assert not (low > -np.inf).any()
    assert not (high < np.inf).any()


def test_correlation_between_target_and_values_is_kept() -> None:
    """f - v for f = x^2 and its tangent at the centre is (x - c)^2, while both vary by far more."""
    (f,) = models(parse_target("x**2", InputSpace((1, 1))), np.full((2, 1), 10.0), np.full((2, 1), 0.1), 2)
    low, high = difference_ranges(f, np.array([0]), np.array([100.0]), {0: np.array([2.0])})
    assert -1e-10 < low[0] <= 0
    assert 0.01 <= high[0] < 0.0100001


@pytest.mark.parametrize("seed", range(12))
def test_lower_bounds_at_points_are_true(seed: int) -> None:
    rnd = random.Random(seed)
    m, n = rnd.choice([1, 2]), 3
    statement = statement_of(
        "sin(3*x0)" if m > 1 else "sin(3*x)",
        "x".join(["[-1,1]"] * m),
        [numbers(rnd, n, 3 * 10 ** rnd.choice([0, 3])) for _ in range(m)],
        numbers(rnd, n, 3),
        [numbers(rnd, n, 3)],
        1,
        slopes=[[numbers(rnd, n, 3) for _ in range(m)]],
    )
    (column,) = columns_of(statement)
    positive = 0
    for _ in range(20):
        point = tuple(Fraction(rnd.randint(-30, 30), 30) for _ in range(m))
        bound = proved_error(statement.function, 0, 0, column.head, point)
        error = errors_at(statement, point)[0]
        assert error is not None
        assert bound <= error
        positive += bound > 0.99 * error
    assert positive > 10


# ---------------------------------------------------------------------------------------------------------------------
# The kernel


def walk_of(statement: Statement, P: int, silence: int = 30, kind: Any = kernel.Paving) -> Any:
    read = kernel.Statement(json_of(statement, None)["statement"], kernel.Reader(LIMITS))
    return kind(read, 0, P, silence, Fraction(1))


def random_walk(rnd: random.Random, target: str = "0") -> tuple[Statement, Any, kernel.Active]:
    """A head with affine values, a walk about it at any precision, one of its boxes with the active tokens there."""
    m, n = rnd.choice([1, 2, 3]), rnd.choice([1, 2, 5])
    domain = "x".join(rnd.choice(["[-1,1]", "[0,1/3]", "[99.9,100.1]", "[-7,1/7]", "[1/3,1/3]"]) for _ in range(m))
    rows = rnd.choice([1, 2])
    slopes = [[numbers(rnd, n, 10 ** rnd.choice([0, 1, 3])) for _ in range(m)] for _ in range(rows)]
    if rnd.random() < 0.4:
        slopes[0][rnd.randrange(m)] = numbers(rnd, 1) * n
    keys = [numbers(rnd, n, 3) for _ in range(m)]
    target = target if rows == 1 else f"[{target}, {target}]"
    values = [numbers(rnd, n) for _ in range(rows)]
    statement = statement_of(target, domain, keys, numbers(rnd, n, 3), values, 1, slopes=slopes)
    walk = walk_of(statement, rnd.choice([32, 40, 64, 100]))
    box = walk.root
    for _ in range(rnd.choice([0, 1, 4, 9])):
        box = walk.halves(box, str(rnd.randrange(m)), "here")[rnd.randrange(2)]
    (active,) = walk.active(box, walk.all)
    return statement, walk, active


def points_in(walk: Any, box: kernel.Box, rnd: random.Random) -> tuple[list[Fraction], list[Fraction]]:
    """u in [-1, 1]^m over the outward box, and the point there."""
    u = [Fraction(rnd.choice([-8, 8, 0, rnd.randint(-8, 8)]), 8) for _ in box]
    x = [
        Fraction(lo + hi, 2 << walk.P) + t * Fraction(hi - lo, 2 << walk.P)
        for t, (lo, hi, _, _) in zip(u, box, strict=True)
    ]
    x = [lo if lo == hi else t for t, (lo, hi) in zip(x, walk.statement.box, strict=True)]
    return u, x


@pytest.mark.parametrize("seed", range(60))
def test_the_kernel_encloses_values_on_boxes(seed: int) -> None:
    rnd = random.Random(f"values {seed}")
    statement, walk, active = random_walk(rnd)
    (part,), box, tokens = walk.parts, active.box, active.tokens
    reduced, unit = reduce_head(statement.attention)[0], Fraction(1, 1 << walk.P)
    for row, v in enumerate(part.at(box, tokens)):
        ends = [(-high, -low) for low, high in kernel.gaps((0, 0), v)]
        assert v.moved <= 40 + 2 * 101 * len(box)
        for _ in range(5):
            u, x = points_in(walk, box, rnd)
            exact = [
                row_of(reduced.values[row], i) + sum(row_of(rows[row], i) * x[k] for k, rows in reduced.slopes.items())
                for i in tokens[0]
            ]
            for n, value in enumerate(exact):
                near = v.values[n] + sum(part[n] * u[k] for k, part in v.parts.items())
                assert near * unit <= value <= (near + v.moved) * unit
                assert ends[n][0] * unit <= value <= ends[n][1] * unit
        corners = [
            row_of(reduced.values[row], i) + sum(row_of(rows[row], i) * x[k] for k, rows in reduced.slopes.items())
            for x in product(*walk.statement.box)
            for i in range(reduced.tokens)
        ]
        spread = part.spreads[row] * unit
        assert max(corners) - min(corners) <= spread <= max(corners) - min(corners) + 10**4 * unit


def row_of(row: Any, i: int) -> Fraction:
    return row if isinstance(row, Fraction) else row[i]


@pytest.mark.parametrize("order", range(1, 8))
def test_the_kernel_encloses_differences(order: int) -> None:
    """f - sum of parts u_k at points of boxes, f in arb."""
    rnd = random.Random(f"differences {order}")
    for source in ("sin(3*x0)", "x0**3 - x0/3", "exp(x0)", "abs(x0 - 1/7)", "1/(3+x0)"):
        for name in range(6):
            statement, walk, active = random_walk(random.Random(f"{order} {source} {name}"), source)
            box = active.box
            if len(box) == 1:
                continue
            free = [k for k, (lo, hi) in enumerate(walk.statement.box) if lo < hi]
            if len(free) > 2 and order > 4:
                continue
            mark = kernel.SCORES[order - 1]
            try:
                made = kernel.Leaf(walk, mark, box, [active]).models
                f = made.value(walk.outputs[0])
            except kernel.Rejected:
                continue
            parts = {k: rnd.choice([0, f.coefs[made.place(k)], rnd.randint(-1 << walk.P, 1 << walk.P)]) for k in free}
            for model in (made, None):
                ((low, high),) = kernel.gaps(f, kernel.Values([0], {k: [part] for k, part in parts.items()}, 0), model)
                for _ in range(4):
                    u, x = points_in(walk, box, rnd)
                    with flint.ctx.workprec(BITS):
                        value = values_of(statement.function, [rational(t) for t in x])[0]
                        value = value * fmpq(1 << walk.P) - sum((rational(parts[k] * u[k]) for k in free), fmpq(0))
                        assert not value < arb(low)
                        assert not value > arb(high)


@pytest.mark.parametrize("seed", range(40))
def test_the_kernel_encloses_the_fraction(seed: int) -> None:
    """N = (f - T') M0 up to the remainders, with the models of one common factor of the weights."""
    rnd = random.Random(f"fraction {seed}")
    statement, walk, active = random_walk(rnd, rnd.choice(["0", "sin(2*x0)", "x0**2/3"]))
    (part,), box, tokens = walk.parts, active.box, active.tokens
    mark = kernel.ORDERS[rnd.randrange(4)]
    try:
        leaf = kernel.Leaf(walk, mark, box, [active])
        f = [leaf.models.value(output) for output in walk.outputs]
    except kernel.Rejected:
        return
    reduced, unit = reduce_head(statement.attention)[0], fmpq(1, 1 << walk.P)
    made = leaf.models
    for row, v in enumerate(part.at(box, tokens)):
        M0, N = leaf.fraction(row, f[row])
        for _ in range(4):
            u, x = points_in(walk, box, rnd)
            with flint.ctx.workprec(BITS):
                at = [rational(t) for t in x]
                weights = exact_weights(reduced, tokens[0], at)
                error = values_of(statement.function, at)[row] - exact_entry(reduced, row, tokens[0], weights, at)
                m0, n = [polynomial_at(made, model.coefs, u) * unit for model in (M0, N)]
                allowed = N.rest * unit + abs(error) * M0.rest * unit + abs(m0 + M0.rest * unit) * (v.moved * unit)
                assert not abs(n - error * m0) > allowed


def polynomial_at(made: Any, coefs: Sequence[int], u: Sequence[Fraction]) -> fmpq:
    total = fmpq(0)
    for axes, c in zip(made.table.axes, coefs, strict=True):
        total += rational(c * math.prod((u[made.free[k]] for k in axes), start=Fraction(1)))
    return total


# ---------------------------------------------------------------------------------------------------------------------
# Whole claims


def two_tokens(beta: int = 280, tolerance: str = "1e-3", face: str = "1/3") -> Statement:
    """z tanh(beta z), z = x - face."""
    t = Fraction(face)
    return statement_of(
        "abs(x-1/3)", "[-1,1]", [[0, 2 * beta]], [0, -2 * beta * t], [[t, -t]], tolerance, slopes=[[[-1, 1]]]
    )


def test_two_tokens_give_the_absolute_value() -> None:
    """The largest error is 0.27846 / beta: 0.9945e-3."""
    statement = two_tokens()
    outcome = verify(statement)
    assert isinstance(outcome.evidence, Paving)
    assert kernel_says(bytes_of(statement, outcome.evidence)) == "proved"
    assert any(mark in outcome.evidence.trees[0] for mark in kernel.SCORES)
    false = with_tolerance(statement, "0.000994")
    assert kernel_says(bytes_of(false, replace(outcome.evidence, bound=Fraction("0.000994")))) == "leaf"
    refuted = verify(false)
    assert isinstance(refuted.evidence, Counterexample)
    assert kernel_says(bytes_of(false, refuted.evidence)) == "refuted"


@pytest.mark.parametrize("beta", [10**3, 10**6, 10**12, 2**60])
def test_sharp_heads_are_proved(beta: int) -> None:
    """Two tokens so sharp that no expansion holds across the face, where both values are off by up to 2^-12."""
    target = "x + max(0, x - 1/2)/1000 + 1/4096"
    statement = statement_of(
        target, "[0,1]", [[0, beta]], [0, -Fraction(beta, 2)], [[0, Fraction(-1, 2000)]], "0.00025",
        slopes=[[[1, Fraction(1001, 1000)]]],
    )  # fmt: skip
    outcome = verify(statement, max_boxes=3000)
    assert kernel_says(bytes_of(statement, outcome.evidence)) == "proved"
    false = with_tolerance(statement, Fraction(1, 4097))
    assert verify(false, max_boxes=1000).verdict == "refuted"


def test_a_face_beside_the_kink_is_refuted() -> None:
    """The values miss the target by 1/3 - 0.3333 there."""
    assert verify(two_tokens(10**6, "3e-5", face="0.3333")).verdict == "refuted"
    true = two_tokens(10**6, "3e-5")
    assert kernel_says(bytes_of(true, verify(true).evidence)) == "proved"


def test_silent_tokens_with_steep_values_count() -> None:
    """A token 40 bits below the best: its value grows to 2^40 at one end of the domain only."""
    statement = statement_of("0", "[0,1]", [[0, 0]], [0, -28], [[0, 0]], "0.5", slopes=[[[0, 2**40]]])
    outcome = verify(statement, max_boxes=2000)
    assert outcome.verdict == "refuted"
    for mark in ".;D":
        assert kernel_says(bytes_of(statement, Paving(Fraction(1, 2), 128, 20, (mark,)))) == "leaf"
    small = statement_of("0", "[0,1]", [[0, 0]], [0, -28], [[0, 0]], "0.5", slopes=[[[0, 2**38]]])
    assert kernel_says(bytes_of(small, verify(small).evidence)) == "proved"


def test_tiny_tolerances_are_proved_on_integers() -> None:
    beta = 10**22
    statement = two_tokens(beta, "1e-20")
    assert needed(columns_of(statement), Fraction("1e-20"))
    outcome = verify(statement)
    assert kernel_says(bytes_of(statement, outcome.evidence)) == "proved"
    below = with_tolerance(statement, "2e-23")
    assert kernel_says(bytes_of(below, verify(below).evidence)) == "refuted"


def test_bound_encloses_the_error() -> None:
    statement = two_tokens()
    found = enclose_error(statement, Fraction(1, 10**6))
    assert found.reached
    assert found.upper is not None
    with mpmath.workdps(40):
        true = mpmath.lambertw(mpmath.exp(-1)).real / 280
        assert float(found.lower) <= true <= float(found.upper)
    for tolerance, evidence, said in ((found.upper, found.evidence, "proved"), (found.lower, found.witness, "refuted")):
        assert kernel_says(bytes_of(with_tolerance(statement, tolerance), evidence)) == said


@pytest.mark.parametrize("p", ["1", "2", "3"])
def test_the_norm_of_the_error_is_enclosed(p: str) -> None:
    beta = 40
    statement = replace(two_tokens(beta), claim=LpError(Fraction(p), Fraction(1)))
    found = enclose_error(statement, Fraction(1, 100))
    assert isinstance(found.evidence, Integral)
    with mpmath.workdps(30):
        face = mpmath.mpf(1) / 3

        def error(x: mpmath.mpf) -> mpmath.mpf:
            return abs(x - face) - (x - face) * mpmath.tanh(beta * (x - face))

        true = mpmath.quad(lambda x: error(x) ** int(p), [-1, face - 0.1, face, face + 0.1, 1]) ** (
            mpmath.mpf(1) / int(p)
        )
    assert float(found.evidence.lower) <= true <= float(found.evidence.upper)
    assert found.evidence.upper <= found.evidence.lower * Fraction(102, 100)
    claim = replace(statement, claim=LpError(Fraction(p), found.evidence.upper))
    assert kernel_says(bytes_of(claim, found.evidence)) == "proved"
    lie = replace(found.evidence, lower=found.evidence.lower / 2, upper=found.evidence.lower * Fraction(99, 100))
    assert kernel_says(bytes_of(replace(claim, claim=LpError(Fraction(p), lie.upper)), lie)) == "leaf"


def test_score_boxes_bound_the_norm_where_nothing_can_be_expanded() -> None:
    """A tree of score boxes alone: the sums enclose the norm, in the kernel."""
    statement = replace(two_tokens(40), claim=LpError(Fraction(1), Fraction(1)))
    walk = walk_of(statement, 64, 40, kernel.Integral)
    walk.check(complete(9))
    lower, upper = [float(Fraction(total, 1 << 128)) * 2 for total in walk.sums]
    true = math.pi**2 / 24 / 40**2 * 2  # the integral of z (1 - tanh(beta z)) over z > 0 is pi^2 / (24 beta^2)
    assert lower <= true <= upper
    assert upper < 0.02


def complete(depth: int) -> str:
    return "." if depth == 0 else "0" + complete(depth - 1) * 2


def test_statements_show_values_that_are_affine() -> None:
    """A matrix of values that is not selected by rows of Z alone."""
    statement = two_tokens()
    doubled = replace(statement.attention, W_V=matrix_of([[0, 0, 0, 0, 2]]))  # type: ignore[type-var]
    assert verify(replace(statement, attention=doubled, spelling=None)).verdict == "refuted"
