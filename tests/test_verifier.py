"""The verifier's parts against exact arithmetic: reduction, rounding, boxes, the score box, points, the search."""

from __future__ import annotations

import itertools
import math
import random
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from flint import arb, ctx, fmpq
from heads import (
    attention_of,
    cross_of,
    error_at,
    errors_at,
    evaluated,
    grid_statement,
    inputs_of,
    matrix_of,
    mpf,
    points_of,
    random_statement,
    statement_of,
    with_tolerance,
)

from attncert.certificates.deadline import Deadline
from attncert.certificates.domain import Box, parse_box
from attncert.certificates.errors import InputError, InvalidAttention
from attncert.certificates.matrix import row_entry
from attncert.certificates.numbers import float_down, float_up
from attncert.certificates.statement import Statement
from attncert.certificates.target import InputSpace, parse_target
from attncert.verifier import boxes, paving, point
from attncert.verifier import prove_sup as prove
from attncert.verifier.head import round_head
from attncert.verifier.hull import head_hull
from attncert.verifier.paving import Block, Grid, PavingSearch
from attncert.verifier.point import climb, estimate_errors, exact_point, proved_error, sample_points
from attncert.verifier.prove import verify
from attncert.verifier.reduction import ReducedHead, reduce_head

Sides = Sequence[tuple[Fraction, Fraction]]
AXES = "0123456789abcdefghijklmnopqrstuvwxyz"


def rationals(rnd: random.Random, count: int, scale: Fraction | int = 1) -> list[Fraction]:
    return [scale * Fraction(rnd.randint(-60, 60), rnd.choice([1, 3, 7, 8, 64])) for _ in range(count)]


# ---------------------------------------------------------------------------------------------------------------------
# Reduction

SHAPES = [(1, 1), (3, 1), (1, 2), (2, 2)]


def reduced_value(head: ReducedHead, x: Sequence[Fraction]) -> list[mpmath.mpf]:
    """sum_i softmax_i(s) v_i of a reduced head, to sixty digits."""
    n = head.tokens
    terms = list(zip(head.keys, x, strict=True))
    score = [row_entry(head.biases, i) + sum(row_entry(a, i) * t for a, t in terms) for i in range(n)]
    with mpmath.workdps(70):
        weights = [mpmath.exp(mpf(s - max(score))) for s in score]
        return [
            mpmath.fsum(mpf(row_entry(v, i)) * w for i, w in enumerate(weights)) / mpmath.fsum(weights)
            for v in head.values
        ]


@pytest.mark.parametrize("columns", [(0,), (2, 0), (1, 1, 2)])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_reduction_is_the_head(shape: tuple[int, int], mixed: bool, sparse: bool, columns: tuple[int, ...]) -> None:
    rnd = random.Random(f"{shape} {mixed} {sparse} {columns}")
    m, tokens = shape[0] * shape[1], 4
    keys, biases = [rationals(rnd, tokens) for _ in range(m)], rationals(rnd, tokens)
    values, factors = (
        [rationals(rnd, tokens) for _ in range(2)],
        [Fraction(1), Fraction(-3), Fraction(1, 7), Fraction(2)],
    )
    attention = attention_of(
        shape, keys, biases, values, columns=columns, factors=factors, mix=rnd if mixed else None, sparse=sparse
    )
    heads = reduce_head(attention)
    assert len(heads) == len(columns)
    for head, q in zip(heads, columns, strict=True):
        assert [[row_entry(row, i) for i in range(tokens)] for row in head.keys] == keys
        assert [row_entry(head.biases, i) for i in range(tokens)] == [factors[q] * b for b in biases]
        assert [[row_entry(row, i) for i in range(tokens)] for row in head.values] == values
    for _ in range(3):
        x = rationals(rnd, m, Fraction(1, 50))
        X = [x[a * shape[1] : (a + 1) * shape[1]] for a in range(shape[0])]
        written, called = evaluated(attention, X), attention(X, precision=220)
        rounded = attention(np.array([[float(t) for t in line] for line in X]))
        for j, head in enumerate(heads):
            for r, value in enumerate(reduced_value(head, x)):
                assert abs(written[r][j] - value) < mpmath.mpf(10) ** -55
                assert abs(called[r, j] - value) < mpmath.mpf(10) ** -55
                assert rounded[r, j] == pytest.approx(float(value), rel=1e-9, abs=1e-9)


CROSS_SHAPES = [((1, 1), (1, 1)), ((2, 2), (1, 2)), ((1, 3), (2, 1))]


@pytest.mark.parametrize("columns", [(0,), (3, 1)])
@pytest.mark.parametrize("shapes", CROSS_SHAPES)
def test_reduction_is_the_cross_attention_head(
    shapes: tuple[tuple[int, int], tuple[int, int]], columns: tuple[int, ...]
) -> None:
    """Part of the scores comes from Q by way of the queries, part from K by way of keys that depend on it."""
    rnd = random.Random(f"{shapes} {columns}")
    m, tokens = sum(d * n for d, n in shapes), 3
    keys, biases, values = [rationals(rnd, tokens) for _ in range(m)], rationals(rnd, tokens), [rationals(rnd, tokens)]
    attention = cross_of(shapes, keys, biases, values, columns=columns)
    heads = reduce_head(attention)
    assert len(heads) == len(columns)
    for head in heads:
        assert [[row_entry(row, i) for i in range(tokens)] for row in head.keys] == keys
        assert [row_entry(head.biases, i) for i in range(tokens)] == biases
        assert [[row_entry(row, i) for i in range(tokens)] for row in head.values] == values
    for _ in range(3):
        x = rationals(rnd, m, Fraction(1, 50))
        inputs = inputs_of(attention, x)
        written, called = evaluated(attention, *inputs), attention(*inputs, precision=220)
        (value,) = reduced_value(heads[0], x)
        for j in range(len(columns)):
            assert abs(written[0][j] - value) < mpmath.mpf(10) ** -55
            assert abs(called[0, j] - value) < mpmath.mpf(10) ** -55


def test_queries_may_differ_from_column_to_column() -> None:
    attention = attention_of((1, 1), [[0, 0]], [0, 1], [[0, 1]], columns=(0, 1), factors=[1, 50])
    left, right = reduce_head(attention)
    assert left != right
    written = evaluated(attention, [[Fraction(0)]])[0]
    assert 0.7 < written[0] < 0.8
    assert written[1] > 0.999


def test_cancelling_terms_vanish_from_the_reduction() -> None:
    """Two copies of the input, one negative: Z does not depend on X at all."""
    attention = attention_of((1, 1), [[3, 5]], [1, 2], [[1, 2]])
    P, Q = attention.linear[0]
    opposite = matrix_of([[-row_entry(P.row(r), 0)] for r in range(P.shape[0])])
    cancelled = replace(attention, linear=((P, Q), (opposite, Q)))
    (head,) = reduce_head(cancelled)
    assert all(row_entry(row, i) == 0 for row in head.keys for i in range(2))


def test_quadratic_scores_are_refused() -> None:
    attention = attention_of((1, 1), [[3, 5]], [1, 2], [[1, 2]])
    rows = [[row_entry(attention.W_K.row(r), c) for c in range(5)] for r in range(2)]
    rows[0][0] = Fraction(1)  # the key is a_i + x, the query x
    with pytest.raises(InvalidAttention, match="quadratic"):
        reduce_head(replace(attention, W_K=matrix_of(rows)))


def test_values_that_depend_on_the_input_are_affine() -> None:
    attention = attention_of((1, 1), [[3, 5]], [1, 2], [[1, 2]])
    assert reduce_head(attention)[0].slopes == {}
    rows = [[row_entry(attention.W_V.row(0), c) for c in range(5)]]
    rows[0][0] = Fraction(1, 10**9)
    (head,) = reduce_head(replace(attention, W_V=matrix_of(rows)))
    assert [row_entry(head.slopes[0][0], i) for i in range(2)] == [Fraction(1, 10**9)] * 2


# ---------------------------------------------------------------------------------------------------------------------
# Rounding of heads


def head_of(keys: Sequence[Sequence[Any]], biases: Sequence[Any], values: Sequence[Sequence[Any]]) -> ReducedHead:
    rows = [[Fraction(x) for x in row] for row in keys]
    return ReducedHead(
        len(biases), tuple(rows), [Fraction(x) for x in biases], tuple([Fraction(x) for x in v] for v in values)
    )


def random_head(rnd: random.Random, m: int, tokens: int, scale: Fraction) -> ReducedHead:
    keys = [[scale * Fraction(rnd.gauss(0, 1)) / 3 for _ in range(tokens)] for _ in range(m)]
    biases = [scale * Fraction(rnd.gauss(0, 1)) / 3 for _ in range(tokens)]
    return head_of(keys, biases, [[Fraction(rnd.gauss(0, 1)) / 3 for _ in range(tokens)]])


TINY = Fraction(1, 2**1074)
NEAR_TIES = [Fraction(10**20) + Fraction(i, 3) for i in range(5)]
HEADS: dict[str, tuple[ReducedHead, str]] = {
    **{
        f"scale 1e{e}, {m} inputs": (random_head(random.Random(e), m, 9, Fraction(10) ** e), domain)
        for e in (-300, -12, 0, 8, 30, 280)
        for m, domain in ((1, "[1/3,0.7]"), (3, "[-0.1,0.1]x[0,1]x[5/7,1e6]"))
    },
    "near ties": (head_of([NEAR_TIES], [-x / 2 for x in NEAR_TIES], [[0, 1, 2, 3, 4]]), "[0,1]"),
    "cancellation": (
        head_of([[10**15, 10**15 + 1]], [-(10**15) * Fraction(1, 3), -(10**15) / 3], [[0, 1]]),
        "[0.333,1/3]",
    ),
    "denormal keys": (head_of([[TINY * Fraction(3, 2), TINY / 3, 0]], [0, TINY / 2, 0], [[0, 1, 2]]), "[-1,1e10]"),
    "denormal keys on a huge domain": (head_of([[TINY / 3, 0]], [0, 0], [[0, 1]]), "[-1e307,1e308]"),
    "denormal domain": (head_of([[1e300, -1e300]], [0, 1e-30], [[0, 1]]), "[1e-310,3e-310]"),
    "one token": (head_of([[7]], [Fraction(1, 3)], [[2]]), "[0,1]"),
    "mixed sizes": (head_of([[10**200, Fraction(1, 10**200)]], [Fraction(1, 3), -(10**190)], [[0, 1]]), "[0,0.1]"),
}


@pytest.mark.parametrize("name", HEADS)
def test_score_slack_covers_every_difference_and_radius(name: str) -> None:
    """Float64 differences of scores plus radius terms, as the search computes them, against rationals."""
    head, domain = HEADS[name]
    box, rnd = parse_box(domain), random.Random(name)
    rounded = round_head(head, box)
    lower, upper = Grid(box).lower, Grid(box).upper
    for trial in range(40):
        ends = [sorted((rnd.uniform(lo, hi), rnd.uniform(lo, hi))) for lo, hi in zip(lower, upper, strict=True)]
        if trial % 3 == 0:
            ends = [[rnd.choice([lo, hi])] * 2 for lo, hi in zip(lower, upper, strict=True)]
        x = np.array([0.5 * lo + 0.5 * hi for lo, hi in ends])
        radius = np.array([0.5 * hi - 0.5 * lo for lo, hi in ends])
        score = rounded.biases.copy()
        for k in range(len(head.keys)):
            score = score + rounded.keys[k] * x[k]
        for i, r in itertools.permutations(range(head.tokens), 2):
            spread = sum(abs(rounded.keys[k, i] - rounded.keys[k, r]) * radius[k] for k in range(len(head.keys)))
            for computed, sign in (((score[i] - score[r]) + spread, 1), ((score[i] - score[r]) - spread, -1)):
                true = row_entry(head.biases, i) - row_entry(head.biases, r)
                for k, a in enumerate(head.keys):
                    slope = row_entry(a, i) - row_entry(a, r)
                    true += slope * Fraction(x[k]) + sign * abs(slope) * Fraction(radius[k])
                assert abs(Fraction(float(computed)) - true) <= Fraction(rounded.score_slack)


@pytest.mark.parametrize("name", HEADS)
def test_score_slack_is_not_wasteful(name: str) -> None:
    head, domain = HEADS[name]
    box = parse_box(domain)
    size = max(
        abs(row_entry(head.biases, i))
        + sum(abs(row_entry(a, i)) * max(map(abs, side)) for a, side in zip(head.keys, box.sides, strict=True))
        for i in range(head.tokens)
    )
    if "denormal" not in name and "1e-300" not in name:  # there the least normal number is what it costs
        assert round_head(head, box).score_slack < size / 10**13


@pytest.mark.parametrize("name", HEADS)
def test_values_are_enclosed(name: str) -> None:
    head, domain = HEADS[name]
    rounded = round_head(head, parse_box(domain))
    for r, line in enumerate(head.values):
        for i in range(head.tokens):
            value = row_entry(line, i)
            assert abs(value - Fraction(rounded.values[r, i])) <= Fraction(rounded.value_slack[r])
            assert Fraction(rounded.value_min[r]) <= value <= Fraction(rounded.value_max[r])


@pytest.mark.parametrize("value", ["0x1.fffffffffffff8p+3", "1/3", "0x1p-1075", "0x1.8p-1074", "-0.1", "1e300"])
def test_single_values_are_enclosed(value: str) -> None:
    number = parse_box(f"[{value},{value}]").sides[0][0]
    rounded = round_head(head_of([[0, 0]], [0, 0], [[number, 0]]), parse_box("[0,1]"))
    assert abs(number - Fraction(rounded.values[0, 0])) <= Fraction(rounded.value_slack[0])


def test_values_that_are_floats_cost_nothing() -> None:
    rounded = round_head(head_of([[0, 0]], [0, 0], [[0.1, 3], [Fraction(1, 10), 3]]), parse_box("[0,1]"))
    assert rounded.value_slack[0] == 0
    assert rounded.value_slack[1] > 0


HUGE = Fraction(10) ** 400


@pytest.mark.parametrize(
    ("domain", "keys", "biases", "values", "tolerance"),
    [
        pytest.param("[0,1]", [[HUGE, 0]], [0, 0], [[0, 1]], "0.5", id="key"),
        pytest.param("[0,1]", [[0, 0]], [HUGE, -HUGE], [[0, 1]], "0.5", id="bias"),
        pytest.param("[0,1]", [[0, 0]], [0, 0], [[0, HUGE]], "0.5", id="value"),
        pytest.param("[-1e400,1e400]", [[0, 0]], [0, 0], [[0, 0]], "0.5", id="domain"),
        pytest.param("[-1e308,1e308]", [[0, 0]], [0, 0], [[0, 0]], "0.5", id="width"),
        pytest.param("[0,4]^2", [[10**308, 0], [0, 10**308]], [-(10**308), 0], [[0, 1]], "0.5", id="sum of products"),
        pytest.param("[0,4]^2", [[10**308, -(10**308)], [-(10**308), 0]], [0, 0], [[0, 1]], "0.5", id="inf - inf"),
        pytest.param("[0,1]", [[0, 0]], [0, 0], [[0, 0]], "1e-400", id="small tolerance"),
        pytest.param("[0,1]", [[0, 0]], [0, 0], [[0, 1]], "1e400", id="large tolerance"),
        pytest.param("[0,1]", [[0, 0]], [0, 0], [["1e-400", 0]], "1e-300", id="small value"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_numbers_beyond_float64_never_break_the_search(
    domain: str, keys: Any, biases: Any, values: Any, tolerance: str
) -> None:
    """They may be refused (InputError) or stay undecided; whatever is said must be true."""
    try:
        statement = statement_of("0", domain, keys, biases, values, parse_box(f"[{tolerance},{tolerance}]").sides[0][0])
        outcome = verify(statement, max_boxes=200)
    except InputError:
        return
    errors = [error_at(statement, x) or 0 for x in points_of(statement.domain, 4, random.Random(1))]
    assert outcome.verdict != "verified" or max(errors) <= statement.claim.tolerance
    assert math.isinf(outcome.error_upper) or max(errors) <= Fraction(outcome.error_upper)


# ---------------------------------------------------------------------------------------------------------------------
# Boxes

DOMAINS = [
    "[0,1]",
    "[-1,1]",
    "[0,0.375]",
    "[0.1,0.3]",
    "[1/3,2/3]",
    "[-1/7,1e-3]",
    "[1e-9,1.0000001e-9]",
    "[1,1.0000000000000001]",
    "[-1e10,1/3]",
    "[1/3,1/3]",
    "[0x1p-1070,0x1p-1060]",
    "[-0x1p+200,3]",
    "[0x1.123456789p-1,0x1.fedcba9876p+2]",
    "[-0x1.0001p+9,0x1.0000000fp+0]",
    "[-0x1.921fb54442d18p+1,0x1.921fb54442d18p+1]x[0.2,0.7]",
]


def block_of(index: Sequence[Sequence[int]], level: Sequence[Sequence[int]], tokens: int) -> Block:
    """Boxes that nobody has looked at before: all tokens are active, none has been dropped."""
    count = len(index)
    return Block(
        np.arange(count, dtype=np.int64),
        np.array(index, np.int64),
        np.array(level, np.int64),
        np.zeros(count, np.int64),
        np.full(count, tokens, np.int64),
        np.tile(np.arange(tokens, dtype=np.int32), count),
    )


def exact_sides(box: Box, index: Sequence[int], level: Sequence[int]) -> list[tuple[Fraction, Fraction]]:
    return [
        (lo + (hi - lo) * Fraction(int(i), 1 << int(n)), lo + (hi - lo) * Fraction(int(i) + 1, 1 << int(n)))
        for (lo, hi), i, n in zip(box.sides, index, level, strict=True)
    ]


@pytest.mark.parametrize("domain", DOMAINS)
def test_boxes_enclose_their_exact_ends_inside_the_domain(domain: str) -> None:
    box, rnd = parse_box(domain), random.Random(domain)
    levels = [[rnd.randrange(49) for _ in box.sides] for _ in range(300)]
    index = [[rnd.choice([0, (1 << n) - 1, rnd.randrange(1 << n)]) for n in level] for level in levels]
    lower, upper = Grid(box).ends(block_of(index, levels, 1))
    for b, (places, level) in enumerate(zip(index, levels, strict=True)):
        for k, (lo, hi) in enumerate(exact_sides(box, places, level)):
            start, stop = box.sides[k]
            assert Fraction(lower[b, k]) <= lo <= hi <= Fraction(upper[b, k])
            assert float_down(start) <= lower[b, k] <= upper[b, k] <= float_up(stop)
            waste = max(abs(start), abs(stop)) / 2**46 + Fraction(1, 2**1021)
            assert lo - Fraction(lower[b, k]) <= waste
            assert Fraction(upper[b, k]) - hi <= waste


@pytest.mark.parametrize("domain", ["[0,1]", "[-1,1]", "[0,0.375]x[-4,12]", "[-0x1p-20,0x1p-21]"])
def test_boxes_of_dyadic_domains_are_exact(domain: str) -> None:
    """As far as the ends fit 53 bits, which the deepest splits of [0,1] do."""
    box, rnd = parse_box(domain), random.Random(domain)
    deepest = int(Grid(box).exact_level.min())
    assert deepest >= 45
    for level in {1, 7, 30, min(deepest, 48)}:
        index = [[rnd.randrange(1 << level) for _ in box.sides] for _ in range(50)]
        levels = [[level] * box.dimension] * 50
        lower, upper = Grid(box).ends(block_of(index, levels, 1))
        for b in range(50):
            sides = exact_sides(box, index[b], levels[b])
            assert sides == [(Fraction(lo), Fraction(hi)) for lo, hi in zip(lower[b], upper[b], strict=True)]


# ---------------------------------------------------------------------------------------------------------------------
# The score box


def difference_range(head: ReducedHead, i: int, r: int, sides: Sides) -> tuple[Fraction, Fraction]:
    """The exact range of s_i - s_r over a box."""
    centre = row_entry(head.biases, i) - row_entry(head.biases, r)
    radius = Fraction(0)
    for a, (lo, hi) in zip(head.keys, sides, strict=True):
        slope = row_entry(a, i) - row_entry(a, r)
        centre += slope * (lo + hi) / 2
        radius += abs(slope) * (hi - lo) / 2
    return centre - radius, centre + radius


def ball(x: Fraction) -> arb:
    return arb(fmpq(x.numerator, x.denominator))


def sign_form_is_nonnegative(head: ReducedHead, sides: Sides, f: tuple[Fraction, Fraction], bound: Fraction) -> bool:
    """Tell whether, for one reference and both signs, min over the score box of sum_i c_i e^(d_i) is proved to be >= 0.

    All tokens take part and all numbers are exact, so that this is the theorem and not its rounded form.
    """
    tokens = range(head.tokens)
    for r in tokens:
        ranges = [difference_range(head, i, r, sides) for i in tokens]
        if max(lo for lo, _ in ranges) > 60:
            continue  # another token outweighs r everywhere: a better reference will be tried
        forms = []
        for sign, base in ((-1, bound + f[0]), (1, bound - f[1])):
            c = [base + sign * row_entry(head.values[0], i) for i in tokens]
            total = arb(0)
            for number, (lo, hi) in zip(c, ranges, strict=True):
                total += ball(number) * ball(lo if number >= 0 else hi).exp()
            forms.append(total)
        if all(form >= 0 for form in forms):
            return True
    return False


AFFINE = [
    (["3/7", "-2"], "1/3"),
    (["0.7", "0"], "-0.1"),
    (["1", "1"], "0"),
    (["0", "0"], "0.3"),
]


def affine_case(seed: int) -> tuple[Statement, Callable[[Sides], tuple[Fraction, Fraction]]]:
    """A statement with an affine target, whose exact range over a box is known."""
    rnd = random.Random(f"affine {seed}")
    m = rnd.choice([1, 1, 2])
    domain = Box(
        tuple(parse_box(rnd.choice(["[0,1]", "[0.1,0.3]", "[-1/7,5/7]", "[-1,1]"])).sides[0] for _ in range(m))
    )
    slopes, constant = rnd.choice(AFFINE)
    text = " + ".join(f"({slopes[k]})*x{k}" for k in range(m)) + f" + ({constant})"

    def target_range(sides: Sides) -> tuple[Fraction, Fraction]:
        lo = hi = Fraction(constant)
        for slope, (a, b) in zip(map(Fraction, slopes), sides, strict=False):
            lo, hi = lo + min(slope * a, slope * b), hi + max(slope * a, slope * b)
        return lo, hi

    beta = Fraction(10 ** rnd.uniform(-1, 6)).limit_denominator(100)
    if rnd.random() < 0.6:
        return grid_statement(
            text, domain, [rnd.randint(1, 6 if m == 1 else 3) for _ in range(m)], beta, 1
        ), target_range
    tokens = rnd.randint(1, 6)
    keys = [[beta * Fraction(rnd.gauss(0, 1)) / 3 for _ in range(tokens)] for _ in range(m)]
    biases = [beta * Fraction(rnd.gauss(0, 1)) / 7 for _ in range(tokens)]
    return statement_of(text, domain, keys, biases, [rationals(rnd, tokens, Fraction(1, 20))], 1), target_range


def search_of(statement: Statement, bound: float, silence: int = 30) -> PavingSearch:
    head = round_head(reduce_head(statement.attention)[0], statement.domain)
    return PavingSearch(statement.target, [0], head, statement.domain, bound=bound, silence=silence, order=0)


def proved_boxes(search: PavingSearch, block: Block) -> set[int]:
    return set(block.node.tolist()) - set(search.examine(block).rest.node.tolist())


@pytest.mark.parametrize("seed", range(25))
def test_proved_boxes_satisfy_the_sign_form_exactly(seed: int) -> None:
    ctx.prec = 400
    statement, target_range = affine_case(seed)
    head, rnd = reduce_head(statement.attention)[0], random.Random(seed)
    m = statement.domain.dimension
    levels = [[rnd.randrange(9) for _ in range(m)] for _ in range(30)]
    index = [[rnd.randrange(1 << n) for n in level] for level in levels]
    block = block_of(index, levels, head.tokens)
    for bound in (0.02, 0.3, 1.1):
        for b in proved_boxes(search_of(statement, bound), block):
            sides = exact_sides(statement.domain, index[b], levels[b])
            assert sign_form_is_nonnegative(head, sides, target_range(sides), Fraction(bound))
            x = tuple(lo + (hi - lo) * Fraction(rnd.randrange(5), 4) for lo, hi in sides)
            error = error_at(statement, x)
            assert error is not None
            assert error <= Fraction(bound)


def test_the_score_box_proves_and_fails() -> None:
    """The test above is not vacuous: over its cases many boxes are proved, and many are not."""
    proved = total = 0
    for seed in range(25):
        statement, _ = affine_case(seed)
        m = statement.domain.dimension
        index = list(itertools.product(range(8), repeat=m))
        block = block_of(index, [[3] * m] * len(index), statement.attention.tokens)
        proved += len(proved_boxes(search_of(statement, 0.3), block))
        total += len(index)
    assert 0.2 * total < proved < 0.9 * total


@pytest.mark.parametrize("seed", range(25))
def test_the_least_bound_that_passes_is_not_too_small(seed: int) -> None:
    """Bisect the bound to neighbouring doubles, without the margin, and check the last that passes exactly."""
    ctx.prec = 600
    statement, target_range = affine_case(seed)
    head, rnd = reduce_head(statement.attention)[0], random.Random(seed)
    m = statement.domain.dimension
    for _ in range(4):
        level = [rnd.randrange(4, 12) for _ in range(m)]
        index = [rnd.randrange(1 << n) for n in level]
        block = block_of([index], [level], head.tokens)
        search = search_of(statement, 8.0, silence=rnd.choice([10, 40]))
        low, high = 0.0, 8.0
        while math.nextafter(low, math.inf) < high:
            search.bound = middle = 0.5 * (low + high)
            low, high = (low, middle) if proved_boxes(search, block) else (middle, high)
        search.bound = high
        if proved_boxes(search, block):
            sides = exact_sides(statement.domain, index, level)
            assert sign_form_is_nonnegative(head, sides, target_range(sides), Fraction(high))
            less = Fraction(high) * Fraction(8, 10) - Fraction(1, 10**9)
            assert not sign_form_is_nonnegative(head, sides, target_range(sides), less)


@pytest.mark.parametrize("seed", range(12))
def test_kept_tokens_lie_in_their_ranges_and_dropped_ones_are_silent(seed: int) -> None:
    ctx.prec = 400
    statement, _ = affine_case(seed)
    head, rnd, silence = reduce_head(statement.attention)[0], random.Random(seed), 5
    search = search_of(statement, 1.0, silence)
    m = statement.domain.dimension
    levels = [[rnd.randrange(9) for _ in range(m)] for _ in range(30)]
    index = [[rnd.randrange(1 << n) for n in level] for level in levels]
    block = block_of(index, levels, head.tokens)
    lo, hi = search.grid.ends(block)
    centre = 0.5 * (lo + hi)
    left, middle, radius, _ = search.activate(block, centre, np.maximum(hi - centre, centre - lo))
    at = 0
    for b, count in enumerate(left.counts.tolist()):
        sides = exact_sides(statement.domain, index[b], levels[b])
        kept = left.tokens[at : at + count].tolist()
        (reference,) = [kept[n] for n in range(count) if radius[at + n] == 0]
        for n, i in enumerate(kept):
            low, high = difference_range(head, i, reference, sides)
            assert Fraction(middle[at + n]) - Fraction(radius[at + n]) <= low
            assert high <= Fraction(middle[at + n]) + Fraction(radius[at + n])
        for i in set(range(head.tokens)) - set(kept):
            assert ball(difference_range(head, i, reference, sides)[1]) <= -silence * arb.const_log2()
        assert left.dropped[b] == head.tokens - count
        at += count


def leaves_of(tree: str, box: Box) -> Iterator[Sides]:
    """The boxes of a split tree, exactly, each root-to-leaf path by itself."""
    stack: list[list[tuple[Fraction, Fraction]]] = [list(box.sides)]
    for mark in tree:
        sides = stack.pop()
        if mark == ".":
            yield sides
            continue
        axis = AXES.index(mark)
        lo, hi = sides[axis]
        lower, upper = sides.copy(), sides.copy()
        lower[axis], upper[axis] = (lo, (lo + hi) / 2), ((lo + hi) / 2, hi)
        stack += [upper, lower]
    assert not stack


@pytest.mark.parametrize("seed", range(10))
def test_inherited_tokens_prove_only_what_is_true(seed: int) -> None:
    """Leaves of whole trees, with a small k so that silent tokens weigh: sampled errors stay below the bound."""
    statement, _ = affine_case(seed)
    rnd = random.Random(seed)
    sampled = max(error_at(statement, x) or 0 for x in points_of(statement.domain, 20, rnd))
    bound = float(sampled) * 1.3 + 1e-9
    for silence in (3, 12, 40):
        search = search_of(statement, bound, silence).run(max_boxes=2000)
        if search.status != "proved":
            continue
        boxes = list(leaves_of(search.tree.preorder(), statement.domain))
        for sides in rnd.sample(boxes, min(len(boxes), 15)):
            x = tuple(lo + (hi - lo) * Fraction(rnd.randrange(9), 8) for lo, hi in sides)
            error = error_at(statement, x)
            assert error is not None
            assert error <= Fraction(bound)


@pytest.mark.parametrize("seed", range(20))
def test_the_hull_of_a_head_is_its_range_over_the_score_box(seed: int) -> None:
    """A weighted mean has its extremes at corners of the box: try them all, with many digits."""
    rnd = random.Random(f"hull {seed}")
    sizes, scale = [rnd.randint(1, 6) for _ in range(4)], 10 ** rnd.uniform(-3, 2.3)
    values, centre, radius = [
        np.array([draw() for size in sizes for n in range(size)])
        for draw in (lambda: rnd.gauss(0, 3), lambda: -abs(rnd.gauss(0, scale)), lambda: abs(rnd.gauss(0, scale)))
    ]
    firsts = np.cumsum([0, *sizes[:-1]])
    centre[firsts], radius[firsts] = 0.0, 0.0  # the reference token
    lower, upper = head_hull(values, centre, radius, np.array(sizes))
    for b, (start, size) in enumerate(zip(firsts.tolist(), sizes, strict=True)):
        means = []
        with mpmath.workdps(50):
            for signs in itertools.product((-1, 1), repeat=size):
                scores = [
                    mpmath.mpf(centre[start + n]) + sign * mpmath.mpf(radius[start + n]) for n, sign in enumerate(signs)
                ]
                weights = [mpmath.exp(score) for score in scores]
                means.append(
                    mpmath.fsum(w * v for w, v in zip(weights, values[start:], strict=False)) / mpmath.fsum(weights)
                )
        assert lower[b] <= min(means)
        assert max(means) <= upper[b]
        assert min(means) - lower[b] < 1e-12 * (1 + max(abs(values)))
        assert upper[b] - max(means) < 1e-12 * (1 + max(abs(values)))


# ---------------------------------------------------------------------------------------------------------------------
# The search as a whole

SINE = grid_statement("sin(2*pi*x)", "[0,1]", [24], 3000, "0.15")
PLANE = grid_statement("exp(-x0**2)*cos(3*x1)", "[0,1/3]x[-0.7,0.1]", [5, 6], 2000, "0.3")
VECTOR = grid_statement("[sin(3*x0)*x1, abs(x0-x1)]", "[-1,1]x[0,2]", [6, 6], 60, "0.9")


@pytest.mark.parametrize("statement", [SINE, PLANE, VECTOR], ids=["line", "plane", "vector"])
@pytest.mark.parametrize("entries", [1, 7, 64, 1000])
@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_the_tree_does_not_depend_on_blocks_or_jobs(
    statement: Statement, entries: int, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = verify(statement)
    monkeypatch.setattr(paving, "ROUND_BYTES", 100 * entries)
    monkeypatch.setattr(paving, "WORK_BYTES", 1000 * entries)
    monkeypatch.setattr(paving, "LEAST_WORK", 1)
    other = verify(statement, jobs=jobs)
    assert usual.verdict == "verified"
    assert other.evidence == usual.evidence
    assert (other.boxes, other.error_lower, other.error_upper) == (usual.boxes, usual.error_lower, usual.error_upper)


def test_leaves_count_the_boxes_of_the_tree() -> None:
    outcome = verify(PLANE)
    assert isinstance(outcome.evidence, prove.Paving)
    leaves = list(leaves_of(outcome.evidence.trees[0], PLANE.domain))
    assert len(leaves) == outcome.evidence.leaves > 1
    volume = sum(math.prod(hi - lo for lo, hi in sides) for sides in leaves)
    assert volume == math.prod(hi - lo for lo, hi in PLANE.domain.sides)


def test_progress_grows_to_the_whole_domain() -> None:
    seen: list[paving.Progress] = []
    outcome = verify(with_tolerance(SINE, "0.14"), progress=seen.append, estimate=1.0)
    assert outcome.verdict == "verified"
    assert seen[-1].fraction == pytest.approx(1)
    assert [p.boxes for p in seen] == sorted(p.boxes for p in seen)
    assert all(p.tokens == 24 for p in seen)


def test_a_tighter_bound_is_found_when_it_is_easy() -> None:
    outcome = verify(with_tolerance(SINE, 10))
    assert outcome.verdict == "verified"
    assert outcome.error_upper < 0.2
    assert isinstance(outcome.evidence, prove.Paving)
    assert outcome.error_upper == float_up(outcome.evidence.bound)


# Targets with a spike that no sample meets, beside which the claim is true: only a proof can tell.
SPIKE = "max(0, 1 - abs(x - 0.37712345678901234) * 1e11)"
HIDDEN = grid_statement(f"x + {SPIKE}", "[0,1]", [50], 10**5, "0.5")
HIDDEN_AT = (Fraction("0.37712345678901234"),)


def bounds_are_true(statement: Statement, outcome: prove.Outcome, at: Sequence[Fraction]) -> None:
    error = error_at(statement, at)
    assert error is not None
    assert outcome.verdict == "undecided"
    assert outcome.evidence is None
    assert Fraction(outcome.error_lower) <= error
    assert math.isinf(outcome.error_upper) or error <= Fraction(outcome.error_upper)


def interrupt_after(calls: int) -> Callable[[paving.Progress], None]:
    left = iter(range(calls))

    def progress(_: paving.Progress) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("tolerance", ["0.5", "0.04"])
@pytest.mark.parametrize("calls", [0, 1, 2, 5])
def test_an_interrupt_leaves_true_bounds(calls: int, tolerance: str) -> None:
    statement = with_tolerance(HIDDEN, tolerance)
    outcome = verify(statement, progress=interrupt_after(calls))
    assert outcome.interrupted
    bounds_are_true(statement, outcome, HIDDEN_AT)


@pytest.mark.parametrize("tolerance", ["0.5", "0.04"])
@pytest.mark.parametrize("boxes", [1, 2, 40])
def test_the_last_box_leaves_true_bounds(boxes: int, tolerance: str) -> None:
    statement = with_tolerance(HIDDEN, tolerance)
    outcome = verify(statement, max_boxes=boxes)
    assert not outcome.interrupted
    assert outcome.boxes < 2000
    bounds_are_true(statement, outcome, HIDDEN_AT)


@pytest.mark.parametrize("tolerance", ["0.5", "0.04"])
@pytest.mark.parametrize("budget", [0.0, -1.0, 1e-3])
def test_a_spent_budget_leaves_true_bounds(budget: float, tolerance: str) -> None:
    statement = with_tolerance(HIDDEN, tolerance)
    outcome = verify(statement, deadline=Deadline.after(budget))
    assert not outcome.interrupted
    bounds_are_true(statement, outcome, HIDDEN_AT)


def test_a_stopped_search_has_a_finite_upper_bound() -> None:
    outcome = verify(with_tolerance(HIDDEN, "0.5"), max_boxes=1)
    assert 1 < outcome.error_upper < 3


def test_a_budget_is_kept() -> None:
    statement = grid_statement("sin(x0)*cos(x1)*x2", "[0,1]^3", [6, 6, 6], 10, "0.6")
    outcome = verify(statement, deadline=Deadline.after(0.2))
    assert outcome.verdict in ("verified", "undecided")
    assert outcome.seconds < 3


class Tracer:
    """Counts the lines that paving.py executes, and raises KeyboardInterrupt at the one numbered `stop`."""

    def __init__(self, stop: int = 0) -> None:
        self.lines, self.stop = 0, stop

    def __call__(self, frame: types.FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != paving.__file__:
            return None
        if event == "line":
            self.lines += 1
            if self.lines == self.stop:
                raise KeyboardInterrupt
        return self

    def verify(self, statement: Statement) -> prove.Outcome | None:
        """The outcome; None where the interrupt came through."""
        before = sys.gettrace()
        sys.settrace(self)
        try:
            return verify(statement, max_boxes=60)
        except KeyboardInterrupt:
            return None
        finally:
            sys.settrace(before)


def test_an_interrupt_at_any_line_leaves_true_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C may come anywhere: at whichever line of the search it comes, no box may be forgotten."""
    monkeypatch.setattr(paving, "ROUND_BYTES", 1 << 13)
    statement = with_tolerance(HIDDEN, "0.04")
    whole = Tracer()
    complete = whole.verify(statement)
    assert complete is not None
    bounds_are_true(statement, complete, HIDDEN_AT)
    answers = 0
    for stop in range(1, whole.lines, max(1, whole.lines // 100)):
        outcome = Tracer(stop).verify(statement)
        if outcome is not None:
            answers += 1
            bounds_are_true(statement, outcome, HIDDEN_AT)
    assert answers > 50


# ---------------------------------------------------------------------------------------------------------------------
# A bound counts only if it is a number


@pytest.mark.parametrize("bound", [math.nan, -1.0, 0.0])
def test_a_bound_that_is_no_bound_proves_nothing(bound: float) -> None:
    search = search_of(statement_of("0", "[0,1]", [[0, 0]], [0, 0], [["1e-9", "1e-9"]], 1), bound)
    assert proved_boxes(search, search.root()) == set()


@pytest.mark.parametrize("lower", [math.nan, -math.inf, 0.0, math.inf])
@pytest.mark.parametrize("upper", [math.nan, math.inf, -math.inf])
def test_an_enclosure_that_is_none_proves_nothing(lower: float, upper: float, monkeypatch: pytest.MonkeyPatch) -> None:
    def enclose(_: Any, lo: Any, hi: Any) -> Any:
        return np.full((len(lo), 1), lower), np.full((len(hi), 1), upper)

    monkeypatch.setattr(paving, "enclose", enclose)
    monkeypatch.setattr(boxes, "MAX_LEVEL", 4)
    search = search_of(statement_of("0", "[0,1]", [[0, 0]], [0, 0], [[0, 0]], 1), 1.0)
    assert search.run().status != "proved"


@pytest.mark.parametrize("field", ["keys", "biases", "values", "score_slack", "value_slack", "value_min", "value_max"])
@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_head_that_is_no_number_proves_nothing(field: str, number: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxes, "MAX_LEVEL", 3)
    search = search_of(SINE, 0.15)
    old = getattr(search.head, field)
    search.head = replace(search.head, **{field: number if isinstance(old, float) else np.full_like(old, number)})
    with np.errstate(all="ignore"):
        try:
            status = search.run().status
        except (IndexError, ValueError):
            return  # no answer is no proof
    assert status != "proved"


@pytest.mark.parametrize("target", ["log(x)", "1/x", "sqrt(x - 1e-12)", "x/x", "tan(pi/2 - x)", "atan(1/x)", "x**-2"])
def test_a_target_that_is_undefined_somewhere_is_never_verified(target: str) -> None:
    statement = statement_of(target, "[0,1]", [[0, 0]], [0, 0], [[1, 1]], 10**9)
    assert verify(statement, max_boxes=3000).verdict != "verified"


# ---------------------------------------------------------------------------------------------------------------------
# Points


@pytest.mark.parametrize("seed", range(30))
def test_the_proved_error_at_a_point_is_a_lower_bound_and_close(seed: int) -> None:
    rnd = random.Random(f"proved error {seed}")
    statement = random_statement(rnd)
    head = round_head(reduce_head(statement.attention)[0], statement.domain)
    rows = statement.target.shape[0]
    for x in points_of(statement.domain, 3, rnd)[-5:]:
        near = tuple(float(t) for t in x)
        if tuple(map(Fraction, near)) not in statement.domain:
            continue
        errors = errors_at(statement, [Fraction(t) for t in near])
        for r in range(rows):
            proved = proved_error(statement.target, r, r, head, near)
            assert proved >= 0
            true = errors[r]
            if true is None:
                assert proved == 0
                continue
            assert Fraction(proved) <= true
            scale = max(abs(head.value_min[r]), abs(head.value_max[r])) + float(true)
            if head.score_slack < 1e-9:
                assert float(true) - proved <= 1e-5 * scale + 1e-300


@pytest.mark.parametrize("name", HEADS)
def test_the_proved_error_stays_below_the_true_one_on_adversarial_heads(name: str) -> None:
    head, domain = HEADS[name]
    box = parse_box(domain)
    keys = [[row_entry(a, i) for i in range(head.tokens)] for a in head.keys]
    biases = [row_entry(head.biases, i) for i in range(head.tokens)]
    values = [[row_entry(v, i) for i in range(head.tokens)] for v in head.values]
    statement = statement_of("0.3", box, keys, biases, values, 1)
    rounded = round_head(head, box)
    for x in points_of(box, 6, random.Random(name)):
        near = tuple(float(t) for t in exact_point([float(t) for t in x], box))
        true = error_at(statement, [Fraction(t) for t in near])
        assert true is not None
        assert Fraction(proved_error(statement.target, 0, 0, rounded, near)) <= true


def test_the_proved_error_is_zero_where_it_is_no_number() -> None:
    statement = statement_of("log(x)", "[-1,1]", [[0, 0]], [0, 0], [[0, 0]], 1)
    head = round_head(reduce_head(statement.attention)[0], statement.domain)
    assert proved_error(statement.target, 0, 0, head, (0.0,)) == 0.0
    assert proved_error(statement.target, 0, 0, head, (-0.5,)) == 0.0
    assert proved_error(statement.target, 0, 0, head, (0.5,)) == pytest.approx(math.log(2), rel=1e-12)
    broken = replace(head, biases=np.array([math.nan, 0.0]))
    assert proved_error(statement.target, 0, 0, broken, (0.5,)) == 0.0


@pytest.mark.parametrize("statement", [SINE, PLANE, VECTOR], ids=["line", "plane", "vector"])
def test_estimates_are_errors(statement: Statement) -> None:
    head = round_head(reduce_head(statement.attention)[0], statement.domain)
    points = sample_points(statement.domain, head.tokens)[::400]
    rows = range(statement.target.shape[0])
    estimates = estimate_errors(statement.target, rows, head, points)
    assert estimates.shape == (len(points), len(rows))
    assert np.allclose(estimates, estimate_errors(statement.target, rows, head, points, chunk=1), rtol=1e-9, atol=1e-12)
    for x, estimate in zip(points.tolist(), estimates.tolist(), strict=True):
        assert estimate == pytest.approx([float(e or 0) for e in errors_at(statement, row_of(x))], abs=1e-9)


def row_of(x: Sequence[float]) -> list[Fraction]:
    return [Fraction(t) for t in x]


def test_undefined_values_count_as_no_error() -> None:
    statement = statement_of("[log(x), 1/x]", "[-1,1]", [[0, 0]], [0, 0], [[0, 0], [0, 0]], 1)
    head = round_head(reduce_head(statement.attention)[0], statement.domain)
    estimates = estimate_errors(statement.target, [0, 1], head, np.array([[0.0], [-1.0]]))
    assert estimates.tolist() == [[0.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("domain", DOMAINS[:9])
def test_samples_lie_in_the_domain_and_at_its_ends(domain: str) -> None:
    box = parse_box(domain)
    points = sample_points(box, 10)
    for k, (lo, hi) in enumerate(box.sides):
        assert points[:, k].min() == float(lo)
        assert points[:, k].max() == float(hi)
    assert np.array_equal(points, sample_points(box, 10))
    assert 16 <= len(sample_points(box, 10**9)) < len(points)


@pytest.mark.parametrize("statement", [SINE, PLANE, VECTOR], ids=["line", "plane", "vector"])
def test_climbing_never_loses(statement: Statement) -> None:
    head = round_head(reduce_head(statement.attention)[0], statement.domain)
    points = sample_points(statement.domain, head.tokens)
    for r in range(statement.target.shape[0]):
        row = replace(head, values=head.values[r : r + 1])
        errors = estimate_errors(statement.target, [r], row, points)[:, 0]
        starts = points[np.argsort(-errors, kind="stable")[: point.CLIMBERS]]
        error, where = climb(statement.target, r, r, head, statement.domain, starts)
        assert error >= errors.max()
        for t, (lo, hi) in zip(where, statement.domain.sides, strict=True):
            assert float_down(lo) <= t <= float_up(hi)
        again = estimate_errors(statement.target, [r], row, np.array([where]))[0, 0]
        assert again == pytest.approx(error, rel=1e-12)


def test_climbing_finds_the_largest_error() -> None:
    """Nearest-anchor heads of x err most, by half the spacing, at the faces and the two ends."""
    statement = grid_statement("x", "[0,1]", [7], 10**6, 1)
    head = round_head(reduce_head(statement.attention)[0], statement.domain)
    error, _ = climb(statement.target, 0, 0, head, statement.domain, np.array([[0.31], [0.77]]))
    assert error == pytest.approx(1 / 14, rel=1e-3)


# ---------------------------------------------------------------------------------------------------------------------
# Refutations


@pytest.mark.parametrize(
    ("domain", "tolerance"),
    [("[0,1]", "0.9"), ("[0,0.1]", "0.05"), ("[-0.1,0]", "0.0999999"), ("[-0.7,0.1]", "0.6"), ("[1/3,2/3]", "0.6")],
)
def test_a_violation_at_the_rim_is_refuted(domain: str, tolerance: str) -> None:
    """The error of the head 0 is |x|, largest at an end of the domain that is often no double."""
    statement = statement_of("x", domain, [[0]], [0], [[0]], tolerance)
    outcome = verify(statement)
    assert outcome.verdict == "refuted"
    assert isinstance(outcome.evidence, prove.Counterexample)
    assert outcome.evidence.point in statement.domain
    error = error_at(statement, outcome.evidence.point)
    assert error is not None
    assert error >= Fraction(outcome.error_lower) > statement.claim.tolerance


def test_a_violation_on_a_fixed_side_is_refuted() -> None:
    statement = statement_of("x0", "[1/3,1/3]x[0,1]", [[0], [0]], [0], [[0]], "0.3")
    assert verify(statement).verdict == "refuted"


def test_a_refutation_names_the_entry() -> None:
    statement = statement_of("[x, 5*x]", "[0,1]", [[0]], [0], [[0], [0]], 2)
    outcome = verify(statement)
    assert isinstance(outcome.evidence, prove.Counterexample)
    assert outcome.evidence.entry == (1, 0)
    assert outcome.evidence.point == (Fraction(1),)


def test_columns_are_verified_each_by_itself() -> None:
    """Two columns whose queries prefer different tokens: the second is wrong, and is what gets refuted."""
    attention = attention_of((1, 1), [[0, 0]], [-40, 40], [[0, 1]], columns=(0, 1), factors=[-1, 1])
    space = InputSpace((1, 1))
    good = replace(SINE, target=parse_target("[[0, 1]]", space), attention=attention)
    assert verify(with_tolerance(good, "0.001")).verdict == "verified"
    bad = replace(SINE, target=parse_target("[[0, 0.9]]", space), attention=attention)
    outcome = verify(with_tolerance(bad, "0.001"))
    assert isinstance(outcome.evidence, prove.Counterexample)
    assert outcome.evidence.entry == (0, 1)
