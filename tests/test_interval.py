"""Interval arithmetic: inclusion and tightness against exact rationals and Arb, exact zeros, undefined operations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import flint
import numpy as np
import pytest
from flint import arb
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from attncert.certificates import interval as iv
from attncert.certificates.interval import Interval, interval

FloatArray = NDArray[np.float64]
Unary = Callable[[Interval], Interval]

MAX = float(np.finfo(np.float64).max)
SPECIAL = [0.0, -0.0, 5e-324, -5e-324, 1e-310, 2.0**-1022, 1e-160, 1.0, -1.0, 0.5, 3.0, 1e200, MAX, -MAX, math.inf]
SPECIAL += [-math.inf, -1e-310, -3.0, math.pi, -math.pi / 2, 710.0, -746.0, 1e8, 1e17]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with iv.quiet(), flint.ctx.workprec(200):
        yield


def ends(a: Interval) -> tuple[float, float]:
    return float(a.lo[0]), float(a.hi[0])


# --------------------------------------------------------------------------------------------------------------------
# Functions against Arb


def fraction_power(q: Fraction) -> tuple[Unary, Callable[[arb], arb]]:
    def oracle(x: arb) -> arb:
        return (x.log() * q.numerator / q.denominator).exp() if x != 0 else arb(0)

    return lambda a: iv.rational_power(a, q), oracle


def whole_power(n: int) -> tuple[Unary, Callable[[arb], arb]]:
    return lambda a: iv.integer_power(a, n), lambda x: x**n


# name: (interval function, Arb function, least and greatest argument, relative excess allowed in ulps)
FUNCTIONS: dict[str, tuple[Unary, Callable[[arb], arb], float, float, int]] = {
    "sin": (iv.sin, lambda x: x.sin(), -1e8, 1e8, 30),
    "cos": (iv.cos, lambda x: x.cos(), -1e8, 1e8, 30),
    "tan": (iv.tan, lambda x: x.tan(), -1e8, 1e8, 30),
    "exp": (iv.exp, lambda x: x.exp(), -800, 709, 30),
    "log": (iv.log, lambda x: x.log(), 5e-324, MAX, 30),
    "sqrt": (iv.sqrt, lambda x: x.sqrt(), 0.0, MAX, 4),
    "tanh": (iv.tanh, lambda x: x.tanh(), -1e5, 1e5, 30),
    "sigmoid": (iv.sigmoid, lambda x: 1 / (1 + (-x).exp()), -800, 1e5, 32),
    "atan": (iv.atan, lambda x: x.atan(), -1e300, 1e300, 30),
    "sinh": (iv.sinh, lambda x: x.sinh(), -710, 710, 30),
    "cosh": (iv.cosh, lambda x: x.cosh(), -710, 710, 30),
    "erf": (iv.erf, lambda x: x.erf(), -30, 30, 30),
    "**2": (*whole_power(2), -1e150, 1e150, 8),
    "**3": (*whole_power(3), -1e100, 1e100, 10),
    "**16": (*whole_power(16), -1e19, 1e19, 40),
    "**17": (*whole_power(17), -1e18, 1e18, 30),
    "**1000": (*whole_power(1000), -2.0, 2.0, 30),
    "**-1": (*whole_power(-1), 1e-300, 1e300, 10),
    "**-5": (*whole_power(-5), -1e60, -1e-60, 20),
    "**(1/2)": (*fraction_power(Fraction(1, 2)), 0.0, MAX, 4),
    "**(1/3)": (*fraction_power(Fraction(1, 3)), 0.0, MAX, 40),
    "**(22/7)": (*fraction_power(Fraction(22, 7)), 0.0, 1e97, 40),
    "**(-2/3)": (*fraction_power(Fraction(-2, 3)), 5e-324, MAX, 44),
    "**(10001/10)": (*fraction_power(Fraction(10001, 10)), 0.6, 1.9, 40),
}


def adversarial(rng: np.random.Generator, lo: float, hi: float, count: int) -> FloatArray:
    """Arguments in [lo, hi], (points,): uniform, of every magnitude, at and around multiples of pi/2, 1 and special."""
    multiples = rng.integers(-63_000_000, 63_000_000, count) * (math.pi / 2)
    near = rng.integers(-50, 50, count) * (math.pi / 2) * (1 + rng.integers(-3, 4, count) * 2.0**-52)
    points = np.concatenate(
        [
            rng.uniform(max(lo, -1e3), min(hi, 1e3), count),
            rng.choice([-1, 1], count) * 10.0 ** rng.uniform(-323, 308, count),
            rng.choice([-1, 1], count) * 10.0 ** rng.uniform(-10, 8, count),
            multiples,
            near,
            1 + rng.choice([-1, 1], count) * 10.0 ** rng.uniform(-17, 0, count),
            [x for x in SPECIAL if math.isfinite(x)],
            [lo, hi],
        ]
    )
    return points[(lo <= points) & (points <= hi)]


def boxes(rng: np.random.Generator, points: FloatArray, lo: float, hi: float) -> tuple[FloatArray, FloatArray]:
    """Boxes inside [lo, hi] that start or end at the points: degenerate, a few ulps, of every width, random pairs."""
    few = points * (1 + rng.integers(0, 9, len(points)) * 2.0**-52)
    wide = points + 10.0 ** rng.uniform(-12, 3, len(points))
    other = [points, few, wide, rng.permutation(points)]
    lower = np.concatenate([np.minimum(points, q) for q in other])
    upper = np.concatenate([np.maximum(points, q) for q in other])
    inside = (lo <= lower) & (upper <= hi)
    return lower[inside], upper[inside]


def check_inclusion(name: str, seed: int, count: int) -> None:
    """Values at the ends, the middle and a random point of each box lie between the bounds."""
    function, oracle, lo, hi, _ = FUNCTIONS[name]
    rng = np.random.default_rng(seed)
    lower, upper = boxes(rng, adversarial(rng, lo, hi, count), lo, hi)
    below, above = function(interval(lower, upper)).bounds()
    assert len(below) > 5 * count
    middle = np.clip(lower / 2 + upper / 2, lower, upper)
    inner = np.clip(lower + (upper - lower) * rng.random(len(lower)), lower, upper)
    for x in (lower, upper, middle, inner):
        for point, least, greatest in zip(x.tolist(), below.tolist(), above.tolist(), strict=True):
            if least == -math.inf and greatest == math.inf:
                continue
            exact = oracle(arb(point))
            assert exact.rel_accuracy_bits() > 100 or abs(point) < 1e-300 or exact == 0
            # a ball around the value: the comparisons are true only when all of it is outside
            assert not bool(exact < arb(least)), (name, point, least)
            assert not bool(exact > arb(greatest)), (name, point, greatest)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_inclusion(name: str) -> None:
    check_inclusion(name, seed=1, count=25)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("seed", range(4))
def test_inclusion_at_length(name: str, seed: int) -> None:
    check_inclusion(name, seed=100 + seed, count=2000)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_degenerate_boxes_are_enclosed_to_a_few_ulps(name: str) -> None:
    function, oracle, lo, hi, ulps = FUNCTIONS[name]
    rng = np.random.default_rng(2)
    points = adversarial(rng, lo, hi, 25)
    below, above = function(interval(points, points)).bounds()
    for point, least, greatest in zip(points.tolist(), below.tolist(), above.tolist(), strict=True):
        exact = abs(float(oracle(arb(point)).mid()))
        if 1e-290 < exact < 1e300 and not (name == "tan" and greatest == math.inf):
            assert greatest - least <= ulps * 2.0**-52 * exact, (name, point, least, greatest)


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "tanh", "sigmoid", "atan", "sinh", "erf", "**3", "**(1/3)"])
def test_monotone_functions_have_the_range_of_their_ends(name: str) -> None:
    function, _, lo, hi, _ = FUNCTIONS[name]
    rng = np.random.default_rng(3)
    lower, upper = boxes(rng, adversarial(rng, lo, hi, 25), lo, hi)
    whole = function(interval(lower, upper))
    assert np.array_equal(whole.lo, function(interval(lower, lower)).lo)
    assert np.array_equal(whole.hi, function(interval(upper, upper)).hi)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_inclusion_is_monotone(name: str) -> None:
    """A part of a box has a part of its range, up to rounding."""
    function, _, lo, hi, ulps = FUNCTIONS[name]
    rng = np.random.default_rng(4)
    lower, upper = boxes(rng, adversarial(rng, lo, hi, 25), lo, hi)
    middle = np.clip(lower / 2 + upper / 2, lower, upper)
    whole, part = function(interval(lower, upper)), function(interval(lower, middle))
    defined = ~np.isnan(whole.lo)
    slack = ulps * 2.0**-52 * np.fmin(np.abs(whole.ends), MAX / 2) + 2.0**-1020
    assert (part.lo >= whole.lo - slack[0])[defined].all()
    assert (part.hi <= whole.hi + slack[1])[defined].all()


# --------------------------------------------------------------------------------------------------------------------
# Waves

WAVES: list[tuple[Unary, Callable[[float], float], float]] = [(iv.sin, math.sin, math.pi / 2), (iv.cos, math.cos, 0.0)]


@pytest.mark.parametrize(("function", "value", "crest"), WAVES, ids=["sin", "cos"])
@settings(deadline=None)
@given(start=st.floats(-1e4, 1e4), width=st.floats(0, 10))
def test_wave_range(function: Unary, value: Callable[[float], float], crest: float, start: float, width: float) -> None:
    """The range is that of the ends, with 1 and -1 exactly where a crest or a trough is inside."""
    end = start + width
    with iv.quiet():
        found = ends(function(interval(start, end)))
    crests = math.floor((end - crest) / (2 * math.pi)) - math.ceil((start - crest) / (2 * math.pi)) + 1
    shifted = crest + math.pi
    troughs = math.floor((end - shifted) / (2 * math.pi)) - math.ceil((start - shifted) / (2 * math.pi)) + 1
    expected = [min(value(start), value(end)), max(value(start), value(end))]
    expected = [-1.0 if troughs > 0 else expected[0], 1.0 if crests > 0 else expected[1]]
    assert np.allclose(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("function", [iv.sin, iv.cos])
def test_waves_reach_exactly_one(function: Unary) -> None:
    assert ends(function(interval(0.0, 7.0))) == (-1.0, 1.0)
    assert ends(function(interval(-1e5, 1e5))) == (-1.0, 1.0)
    for lo, hi in [(2e8, 2e8), (0.0, 2e8), (-1e300, 0.0), (-math.inf, math.inf), (0.0, math.inf), (-math.inf, 0.0)]:
        assert ends(function(interval(lo, hi))) == (-1.0, 1.0)


@pytest.mark.parametrize("reach", [0.0, 1e-8, 3e-8, 1e-7, 1e-4])
def test_extrema_close_to_an_end_are_included(reach: float) -> None:
    for k in [*range(-20, 21), 10**4 + 1, -(10**5) - 3]:
        x = (2 * k + 1) * math.pi / 2
        before, after = math.nextafter(x, -math.inf), math.nextafter(x, math.inf)
        for lo, hi in ((before - reach, after), (before, after + reach), (before - reach, after + reach)):
            found = ends(iv.sin(interval(lo, hi)))
            assert (found[0] if k % 2 else found[1]) == (-1.0 if k % 2 else 1.0)


def test_tan_is_undefined_across_poles() -> None:
    """A pole lies between the neighbours of the double nearest to it, also where the turns are counted inexactly."""
    k = np.concatenate([np.arange(-20, 21), np.random.default_rng(6).integers(-(10**7), 10**7, 3000)])
    with flint.ctx.workprec(200):
        poles = np.array([float((arb(int(2 * n + 1)) * arb.pi() / 2).mid()) for n in k])
    assert np.isnan(iv.tan(interval(iv.down(poles), iv.up(poles))).ends).all()
    assert np.isnan(iv.tan(interval(poles, iv.up(poles + 1e-9))).ends).all()
    assert np.isnan(iv.tan(interval(iv.down(poles - 1e-9), poles)).ends).all()
    assert np.isnan(iv.tan(interval(0.0, 4.0)).ends).all()
    assert np.isnan(iv.tan(interval(1e9, 1e9)).ends).all()
    assert ends(iv.tan(interval(0.0, 1.5)))[0] == 0.0


# --------------------------------------------------------------------------------------------------------------------
# Arithmetic against exact rationals

doubles = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-10, 10),
    st.sampled_from([x for x in SPECIAL if math.isfinite(x)]),
    st.integers(-60, 60).map(lambda k: k * 5e-324),
    st.tuples(st.floats(1, 2), st.integers(-540, -500)).map(lambda p: math.ldexp(*p)),
)
pairs = st.tuples(doubles, doubles).map(sorted)


def contains(a: Interval, x: Fraction) -> bool:
    lo, hi = ends(a)
    return (lo == -math.inf or Fraction(lo) <= x) and (hi == math.inf or x <= Fraction(hi))


def exact_range(values: list[Fraction], found: Interval) -> None:
    """The found interval holds the exact range and exceeds it by at most 4 ulps or 3 least doubles."""
    assert contains(found, min(values))
    assert contains(found, max(values))
    for end, exact in zip(ends(found), (min(values), max(values)), strict=True):
        if math.isfinite(end) and abs(exact) < Fraction(MAX) / 2:
            assert abs(Fraction(end) - exact) <= 4 * Fraction(2) ** -52 * abs(exact) + 3 * Fraction(5e-324)


@settings(deadline=None)
@example([-4348365715566819.0, 0.0], [-3.0, -3.0])
@example([0.0, 4348365715566819.0], [-3.0, -3.0])
@given(pairs, pairs)
def test_arithmetic(x: list[float], y: list[float]) -> None:
    with iv.quiet():
        a, b = interval(*x), interval(*y)
        found = {"+": a + b, "-": a - b, "*": a * b, "/": a / b}
    p, q = [Fraction(v) for v in x], [Fraction(v) for v in y]
    exact_range([u + v for u in p for v in q], found["+"])
    exact_range([u - v for u in p for v in q], found["-"])
    exact_range([u * v for u in p for v in q], found["*"])
    if q[0] > 0 or q[1] < 0:
        exact_range([u / v for u in p for v in q], found["/"])
    else:
        assert np.isnan(found["/"].ends).all()


@settings(deadline=None)
@given(st.lists(pairs, min_size=1, max_size=5), doubles)
def test_batches_and_scalars_agree_with_single_boxes(batch: list[list[float]], c: float) -> None:
    with iv.quiet():
        lo, hi = np.array(batch).T
        a, scalar = interval(lo, hi), iv.constant(Fraction(c))
        assert scalar.ends.shape == (2, 1)
        for op in ("__add__", "__sub__", "__mul__", "__truediv__"):
            for left, right in ((a, scalar), (scalar, a), (a, a)):
                together = getattr(left, op)(right)
                p, q = together.bounds()
                for k, (lower, upper) in enumerate(batch):
                    one = interval(lower, upper)
                    sides = [one if side is a else scalar for side in (left, right)]
                    single = getattr(sides[0], op)(sides[1]).bounds()
                    for end, alone in ((p[k], single[0][0]), (q[k], single[1][0])):
                        # fewer results may be seen to be exact in a batch, or one may overflow
                        close = np.isclose(end, alone, rtol=2.0**-50, atol=1e-323)
                        assert close or (abs(end + alone) == math.inf and min(abs(end), abs(alone)) > 0.999 * MAX)


@pytest.mark.parametrize(
    ("found", "lo", "hi"),
    [
        (lambda: iv.integer_power(interval(-1.0, 0.5), 2), 0.0, None),
        (lambda: iv.integer_power(interval(0.0, 1.0), 2), 0.0, None),
        (lambda: iv.integer_power(interval(-1.0, 0.0), 3), None, 0.0),
        (lambda: iv.integer_power(interval(0.0, 1.0), 31), 0.0, None),
        (lambda: iv.integer_power(interval(-2.0, 2.0), 0), 1.0, 1.0),
        (lambda: iv.sqrt(interval(0.0, 1.0)), 0.0, None),
        (lambda: iv.sqrt(interval(-0.0, 1.0)), 0.0, None),
        (lambda: iv.rational_power(interval(0.0, 1.0), Fraction(1, 3)), 0.0, None),
        (lambda: iv.rational_power(interval(0.0, 1.0), Fraction(1, 10**400)), 0.0, None),
        (lambda: iv.sqrt(interval(1.0, 1.0) - iv.integer_power(interval(0.5, 0.5), 0)), 0.0, 0.0),
        (lambda: interval(0.0, 1.0) * interval(0.0, 1.0), 0.0, None),
        (lambda: interval(-1.0, 0.0) * interval(-1.0, 0.0), 0.0, None),
        (lambda: interval(0.0, 1.0) * interval(-1.0, 0.0), None, 0.0),
        (lambda: interval(0.0, 1.0) / interval(1.0, 2.0), 0.0, None),
        (lambda: interval(0.0, 1.0) / interval(-2.0, -1.0), None, 0.0),
        (lambda: interval(1e-200, 1.0) * interval(1e-200, 1.0), 0.0, None),
        (lambda: interval(3.0, 3.0) * interval(0.0, 1.0), 0.0, None),
        (lambda: interval(0.25, 1.0) - interval(0.1, 0.25), 0.0, None),
        (lambda: iv.sin(interval(0.0, 0.5)), 0.0, None),
        (lambda: iv.tanh(interval(-1.0, 0.0)), None, 0.0),
        (lambda: iv.erf(interval(0.0, 40.0)), 0.0, 1.0),
        (lambda: iv.tanh(interval(-40.0, 40.0)), -1.0, 1.0),
        (lambda: iv.sigmoid(interval(-1e4, 1e4)), 0.0, 1.0),
        (lambda: iv.cosh(interval(-1.0, 1.0)), 1.0, None),
        (lambda: iv.log(interval(1.0, 2.0)), 0.0, None),
        (lambda: iv.exp(interval(-1e4, -1e3)), 0.0, None),
        (lambda: iv.exp(interval(-math.inf, math.inf)), 0.0, math.inf),
        (lambda: iv.absolute(interval(-2.0, 1.0)), 0.0, 2.0),
        (lambda: iv.absolute(interval(-2.0, -1.0)), 1.0, 2.0),
        (lambda: iv.sign(interval(-2.0, 0.0)), -1.0, 0.0),
        (lambda: iv.floor(interval(-0.5, 2.0)), -1.0, 2.0),
        (lambda: iv.minimum(interval(0.0, 3.0), interval(1.0, 2.0)), 0.0, 2.0),
        (lambda: iv.maximum(interval(0.0, 3.0), interval(1.0, 2.0)), 1.0, 3.0),
        (lambda: iv.hull(interval(0.0, 1.0), interval(3.0, 4.0)), 0.0, 4.0),
        (lambda: -interval(1.0, 2.0), -2.0, -1.0),
    ],
)
def test_exact_ends(found: Callable[[], Interval], lo: float | None, hi: float | None) -> None:
    lower, upper = ends(found())
    assert lo is None or lower == lo
    assert hi is None or upper == hi
    assert lower <= upper


# --------------------------------------------------------------------------------------------------------------------
# Undefined and unbounded


@pytest.mark.parametrize(
    "found",
    [
        lambda: interval(1.0, 1.0) / interval(0.0, 1.0),
        lambda: interval(1.0, 1.0) / interval(-1.0, 0.0),
        lambda: interval(0.0, 0.0) / interval(-1.0, 1.0),
        lambda: iv.log(interval(0.0, 1.0)),
        lambda: iv.log(interval(-2.0, -1.0)),
        lambda: iv.sqrt(interval(-5e-324, 1.0)),
        lambda: iv.integer_power(interval(-1.0, 1.0), -2),
        lambda: iv.rational_power(interval(-1.0, 1.0), Fraction(1, 3)),
        lambda: iv.rational_power(interval(0.0, 1.0), Fraction(-1, 3)),
        lambda: iv.power(interval(0.0, 1.0), interval(2.0, 2.0)),
        lambda: interval(math.nan, 1.0),
        lambda: interval(0.0, math.nan),
        lambda: interval(1.0, 0.0),
    ],
)
def test_undefined(found: Callable[[], Interval]) -> None:
    a = found()
    assert np.isnan(a.ends).all()
    lower, upper = a.bounds()
    assert (lower[0], upper[0]) == (-math.inf, math.inf)


UNARY: list[Unary] = [
    *(function for function, *_ in FUNCTIONS.values()),
    *(iv.absolute, iv.sign, iv.floor, Interval.__neg__, lambda a: iv.integer_power(a, 0)),
]
BINARY: list[Callable[[Interval, Interval], Interval]] = [
    *(Interval.__add__, Interval.__sub__, Interval.__mul__, Interval.__truediv__, iv.power),
    *(iv.minimum, iv.maximum, iv.hull, iv.less, iv.less_equal),
]


def special_intervals() -> Interval:
    below, above = np.array(list(itertools.combinations_with_replacement(sorted([*SPECIAL, 0.0]), 2))).T
    return Interval(np.concatenate([interval(below, above).ends, np.full((2, 1), np.nan)], axis=1))


def check_invariants(a: Interval, defined: NDArray[np.bool_]) -> None:
    undefined = np.isnan(a.lo)
    assert np.array_equal(undefined, np.isnan(a.hi))
    assert undefined[~defined].all()
    assert (a.lo <= a.hi)[~undefined].all()
    assert (a.lo[~undefined] < math.inf).all()
    assert (a.hi[~undefined] > -math.inf).all()


@pytest.mark.parametrize("function", UNARY)
def test_invariants_of_unary_operations(function: Unary) -> None:
    a = special_intervals()
    before = a.ends.copy()
    check_invariants(function(a), ~np.isnan(a.lo))
    assert np.array_equal(a.ends, before, equal_nan=True)


@pytest.mark.parametrize("operation", BINARY)
def test_invariants_of_binary_operations(operation: Callable[[Interval, Interval], Interval]) -> None:
    a = special_intervals()
    before = a.ends.copy()
    for k in range(a.ends.shape[1]):
        b = Interval(np.roll(a.ends, k, axis=1))
        check_invariants(operation(a, b), ~np.isnan(a.lo) & ~np.isnan(b.lo))
    assert np.array_equal(a.ends, before, equal_nan=True)


def test_overflow_stays_useful() -> None:
    """1 / (1 + 3 exp(1000)) is [0, tiny], not undefined."""
    one, three = iv.constant(Fraction(1)), iv.constant(Fraction(3))
    lo, hi = ends(one / (one + three * iv.exp(interval(1000.0, 1001.0))))
    assert lo == 0.0
    assert 0 < hi < 1e-300


def test_zero_times_infinity() -> None:
    unbounded = interval(0.0, math.inf)
    assert ends(unbounded * interval(0.0, 1.0)) == (0.0, math.inf)
    assert ends(interval(0.0, 0.0) * interval(1.0, math.inf))[0] == 0.0
    assert ends(interval(-1.0, 0.0) * unbounded) == (-math.inf, 0.0)


# --------------------------------------------------------------------------------------------------------------------
# Conditions

TRUE, FALSE, UNDECIDED = (1.0, 1.0), (0.0, 0.0), (0.0, 1.0)


@pytest.mark.parametrize(
    ("x", "y", "less", "less_equal"),
    [
        ((0.0, 1.0), (2.0, 3.0), TRUE, TRUE),
        ((0.0, 1.0), (1.0, 3.0), UNDECIDED, TRUE),
        ((0.0, 2.0), (1.0, 3.0), UNDECIDED, UNDECIDED),
        ((1.0, 2.0), (0.0, 1.0), FALSE, UNDECIDED),
        ((2.0, 3.0), (0.0, 1.0), FALSE, FALSE),
        ((1.0, 1.0), (1.0, 1.0), FALSE, TRUE),
    ],
)
def test_comparisons(
    x: tuple[float, float], y: tuple[float, float], less: tuple[float, float], less_equal: tuple[float, float]
) -> None:
    assert ends(iv.less(interval(*x), interval(*y))) == less
    assert ends(iv.less_equal(interval(*x), interval(*y))) == less_equal


def test_negation_and_where() -> None:
    condition = Interval(np.array([[0.0, 0.0, 1.0, np.nan], [0.0, 1.0, 1.0, np.nan]]))
    assert np.array_equal(iv.negation(condition).ends[:, :3], [[1, 0, 0], [1, 1, 0]])
    assert np.isnan(iv.negation(condition).ends[:, 3]).all()
    found = iv.where(condition, interval(1.0, 2.0), interval(5.0, 6.0))
    assert np.array_equal(found.ends, [[5, 1, 1, np.nan], [6, 6, 2, np.nan]], equal_nan=True)
    undefined = Interval(np.full((2, 1), np.nan))
    assert np.isnan(iv.where(condition, undefined, interval(5.0, 6.0)).lo).tolist() == [False, True, True, True]
    assert np.isnan(iv.where(condition, interval(5.0, 6.0), undefined).lo).tolist() == [True, True, False, True]


def test_directed_neighbours() -> None:
    assert iv.down(np.array([1.0, 0.0, math.inf])).tolist() == [1 - 2.0**-53, -5e-324, MAX]
    assert iv.up(np.array([1.0, 0.0, -math.inf])).tolist() == [1 + 2.0**-52, 5e-324, -MAX]


def test_constants() -> None:
    for constant, exact in ((iv.PI, arb.pi()), (iv.E, arb(1).exp())):
        lo, hi = ends(constant)
        assert bool(arb(lo) < exact)
        assert bool(exact < arb(hi))
        assert hi == math.nextafter(lo, math.inf)
    assert ends(iv.constant(Fraction(1, 3))) == (1 / 3, math.nextafter(1 / 3, 1))
