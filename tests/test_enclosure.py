"""Enclosures of targets and gradients: inclusion at points, difference quotients, undefined and undecided boxes."""

from __future__ import annotations

import itertools
import math
import warnings
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, reject, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from attncert.certificates import enclosure
from attncert.certificates.enclosure import enclose, enclose_gradient
from attncert.certificates.errors import InvalidTarget, UndefinedTarget
from attncert.certificates.evaluate import evaluate_mp
from attncert.certificates.numbers import mpf_to_fraction
from attncert.certificates.parser import UNARY_FUNCTIONS
from attncert.certificates.target import InputSpace, Target, parse_target

FloatArray = NDArray[np.float64]

LINE = InputSpace((1, 1))
PLANE = InputSpace((2, 1))
INF = math.inf
WHOLE = (-INF, INF)


def on_line(source: str, lo: float, hi: float) -> tuple[float, float]:
    below, above = enclose(parse_target(source, LINE), np.array([[lo]]), np.array([[hi]]))
    return float(below[0, 0]), float(above[0, 0])


def slope_on_line(source: str, lo: float, hi: float) -> tuple[float, float]:
    _, _, below, above = enclose_gradient(parse_target(source, LINE), np.array([[lo]]), np.array([[hi]]))
    return float(below[0, 0, 0]), float(above[0, 0, 0])


# --------------------------------------------------------------------------------------------------------------------
# Random targets over random boxes

leaves = st.sampled_from(["x0", "x1", "x0", "x1", "1", "2", "0.3", "pi", "e", "1/3"])


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    call = st.tuples(st.sampled_from(sorted(UNARY_FUNCTIONS)), inner).map(lambda p: f"{p[0]}({p[1]})")
    infix = st.tuples(inner, st.sampled_from("+-*/+-*"), inner).map(lambda p: f"({p[0]}{p[1]}{p[2]})")
    extremum = st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(lambda p: f"{p[0]}({p[1]},{p[2]})")
    exponents = ["2", "3", "-1", "-2", "0", "17", "0.5", "(1/3)", "-0.5", "2.5"]
    powered = st.tuples(inner, st.sampled_from(exponents)).map(lambda p: f"({p[0]})**{p[1]}")
    power = st.tuples(inner, inner).map(lambda p: f"({p[0]})**({p[1]})")
    comparison = st.tuples(inner, st.sampled_from(["<", "<=", ">", ">="]), inner).map("".join)
    condition = comparison | comparison.map("not {}".format) | st.tuples(comparison, comparison).map(" and ".join)
    condition = condition | st.tuples(comparison, comparison).map(" or ".join)
    where = st.tuples(condition, inner, inner).map(lambda p: f"where({p[0]},{p[1]},{p[2]})")
    return call | infix | infix | extremum | powered | power | where


def _parsed(source: str) -> Target:
    """The target, unless its literal exponents are beyond the limit."""
    try:
        return parse_target(source, PLANE)
    except InvalidTarget:
        reject()


targets = st.recursive(leaves, _larger, max_leaves=8).map(_parsed)
starts = st.sampled_from([0.0, -1.0, 0.5, -0.25, 1.0]) | st.floats(-3, 3).map(lambda x: round(x, 6))
widths = st.sampled_from([0.0, 1.0, 0.5, 2.0**-20]) | st.floats(1e-3, 3)
sides = st.tuples(starts, widths).map(lambda p: (p[0], p[0] + p[1]))
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def exact_value(target: Target, point: list[Fraction]) -> Fraction | None:
    """The value to 400 bits; None where undefined. Discards values too large to compute."""
    try:
        value = evaluate_mp(target, point, 400)[0]
    except UndefinedTarget as error:
        assume("too large" not in str(error))
        return None
    assume(abs(value._mpf_[2]) < 10_000)
    return mpf_to_fraction(value)


def points_of(box: tuple[tuple[float, float], tuple[float, float]], share: Fraction) -> list[list[Fraction]]:
    """Corners, the centre and one further point of a box, exactly."""
    ends = [(Fraction(lo), Fraction(hi)) for lo, hi in box]
    grid = [[lo, hi, (lo + hi) / 2, lo + share * (hi - lo)] for lo, hi in ends]
    return [[x, y] for x in grid[0] for y in grid[1]]


def arrays(box: tuple[tuple[float, float], ...]) -> tuple[FloatArray, FloatArray]:
    return np.array([[lo for lo, _ in box]]), np.array([[hi for _, hi in box]])


def holds(lo: float, value: Fraction, hi: float, size: Fraction | None = None) -> bool:
    """Inclusion, up to the 400 bits of the value, or of the numbers of that size from which it comes."""
    slack = (1 + abs(value if size is None else size)) * Fraction(2) ** -250
    return (lo == -INF or Fraction(lo) <= value + slack) and (hi == INF or value - slack <= Fraction(hi))


def check_values(target: Target, box: tuple[tuple[float, float], tuple[float, float]], share: Fraction) -> None:
    (lo,), (hi,) = enclose(target, *arrays(box))
    assert lo[0] <= hi[0]
    for point in points_of(box, share):
        value = exact_value(target, point)
        if value is None:
            assert (lo[0], hi[0]) == WHOLE, (target.source, point)
        else:
            assert holds(lo[0], value, hi[0]), (target.source, point, lo[0], float(value), hi[0])


def check_slopes(target: Target, box: tuple[tuple[float, float], tuple[float, float]], share: Fraction) -> None:
    """Difference quotients along each axis lie between the bounds of the gradient."""
    flo, fhi, glo, ghi = enclose_gradient(target, *arrays(box))
    assert np.array_equal((flo, fhi), enclose(target, *arrays(box)))
    points = points_of(box, share)
    values = [exact_value(target, point) for point in points]
    if None in values:
        assert np.isneginf(glo).all()
        assert np.isposinf(ghi).all()
        return
    for p, f in zip(points, values, strict=True):
        for q, g in zip(points, values, strict=True):
            axes = [k for k in range(2) if p[k] != q[k]]
            if len(axes) == 1 and f is not None and g is not None:
                step = p[axes[0]] - q[axes[0]]
                quotient, size = (f - g) / step, (abs(f) + abs(g)) / step
                bounds = glo[0, 0, axes[0]], ghi[0, 0, axes[0]]
                assert holds(bounds[0], quotient, bounds[1], size), (target.source, p, q, bounds, float(quotient))


shares = st.fractions(0, 1, max_denominator=1 << 20)


@relaxed
@given(targets, st.tuples(sides, sides), shares)
def test_values_are_enclosed(
    target: Target, box: tuple[tuple[float, float], tuple[float, float]], share: Fraction
) -> None:
    check_values(target, box, share)


@relaxed
@given(targets, st.tuples(sides, sides), shares)
@example(parse_target("max(x0,x1)*abs(x0-x1)", PLANE), ((0.0, 1.0), (0.0, 1.0)), Fraction(1, 3))
@example(parse_target("sqrt(x0)*x1", PLANE), ((0.0, 1.0), (0.0, 1.0)), Fraction(1, 3))
@example(parse_target("where(x0<0.5,x1,2*x1)", PLANE), ((0.0, 1.0), (0.0, 1.0)), Fraction(1, 3))
def test_difference_quotients_are_enclosed(
    target: Target, box: tuple[tuple[float, float], tuple[float, float]], share: Fraction
) -> None:
    check_slopes(target, box, share)


@pytest.mark.slow
@settings(relaxed, max_examples=5000)
@given(targets, st.tuples(sides, sides), shares)
@example(parse_target("tanh(x0**x0**x0**3)", PLANE), ((1.0, 3.0), (0.0, 0.0)), Fraction(0))
def test_values_and_quotients_at_length(
    target: Target, box: tuple[tuple[float, float], tuple[float, float]], share: Fraction
) -> None:
    check_values(target, box, share)
    check_slopes(target, box, share)


# --------------------------------------------------------------------------------------------------------------------
# The natural interval extension


@pytest.mark.parametrize(
    ("source", "lo", "hi", "expected"),
    [
        ("x*x", -1.0, 1.0, (-1, 1)),
        ("x**2", -1.0, 1.0, (0, 1)),
        ("x - x", 0.0, 1.0, (-1, 1)),
        ("x**3", -2.0, 1.0, (-8, 1)),
        ("x**-2", 0.5, 1.0, (1, 4)),
        ("x**0", -1.0, 1.0, (1, 1)),
        ("sqrt(1 - x**2)", -1.0, 1.0, (0, 1)),
        ("(1 - x**2)**(3/2)", -1.0, 1.0, (0, 1)),
        ("sqrt(x*(1 - x))", 0.0, 1.0, (0, 1)),
        ("sqrt(2*x)", 0.0, 2.0, (0, 2)),
        ("sin(pi*x)", 0.0, 1.0, (0, 1)),
        ("cos(2*pi*x)", 0.0, 1.0, (-1, 1)),
        ("abs(x)", -2.0, 1.0, (0, 2)),
        ("min(x, 0, 1 - x)", -1.0, 0.5, (-1, 0)),
        ("sign(x)", -1.0, 1.0, (-1, 1)),
        ("sign(x)", 0.0, 1.0, (0, 1)),
        ("sign(x)", 0.1, 1.0, (1, 1)),
        ("floor(x)", 0.0, 1.0, (0, 1)),
        ("where(x < 0, 1, 2)", -1.0, 1.0, (1, 2)),
        ("where(x < 0, 1, 2)", 0.0, 1.0, (2, 2)),
        ("where(x <= 0, 1, 2)", 0.0, 1.0, (1, 2)),
        ("where(x < 0, 1, 2)", -1.0, -0.5, (1, 1)),
        ("where(x < 0 and x > 5, 1, 2)", -1.0, 1.0, (2, 2)),
        ("where(x < 0 or x > -5, 1, 2)", -1.0, 1.0, (1, 1)),
        ("where(not x < 0, 1, 2)", 0.0, 1.0, (1, 1)),
        ("where(x < 1, x, 1/(x - 1))", -1.0, 0.5, (-1, 0.5)),
        ("1/(1 + 3*exp(-1000*x))", -2.0, -1.0, (0, 0)),
        ("1/(1 + 3*exp(-1000*x))", 1.0, 2.0, (1, 1)),
        ("e**x", 0.0, 1.0, (1, math.e)),
        ("2**x", -1.0, 1.0, (0.5, 2)),
        ("x**x", 1.0, 2.0, (1, 4)),
        ("1/3", 0.0, 1.0, (1 / 3, 1 / 3)),
    ],
)
def test_ranges(source: str, lo: float, hi: float, expected: tuple[float, float]) -> None:
    found = on_line(source, lo, hi)
    assert np.allclose(found, expected, rtol=1e-14, atol=2e-15)


@pytest.mark.parametrize(
    ("source", "lo", "hi"),
    [
        ("sqrt(1 - x**2)", -1.0, 1.0),
        ("sqrt(2 - x**2 - x**4)", -1.0, 1.0),
        ("sqrt(1 - sqrt(x))", 0.0, 1.0),
        ("sqrt(1 - exp(-x**2))", -1.0, 1.0),
        ("sqrt(1 - cos(x))", -1.0, 1.0),
        ("sqrt(cosh(x) - 1)", -1.0, 1.0),
        ("sqrt((1 - x)/2)", -1.0, 1.0),
        ("sqrt(x*(1 - x))", 0.0, 1.0),
        ("sqrt(x)*sqrt(3 - x*x/3)", 0.0, 3.0),
        ("(5/8 - x)**0.5", 0.0, 0.625),
        ("sqrt(log(x))", 1.0, 2.0),
    ],
)
def test_targets_are_defined_up_to_the_rim(source: str, lo: float, hi: float) -> None:
    """Exact operations stay exact, so that rounding does not push an argument out of the domain of a root."""
    ends = np.linspace(lo, hi, 9)
    for left, right in [*itertools.pairwise(ends), (lo, hi), (lo, lo), (hi, hi)]:
        below, above = on_line(source, left, right)
        assert below >= 0
        assert above < 10


@pytest.mark.parametrize(
    "source",
    [
        *(
            "1/x",
            "atan(1/x)",
            "max(min(1/x, 1), -1)",
            "sin(1/x)",
            "0*(1/x)",
            "(1/x)**0",
            "sigmoid(1/x)",
            "exp(-1/x**2)",
        ),
        *("log(x)", "exp(log(x))", "x**x", "sqrt(x - 1e-300)", "x**-2", "x**-0.5", "tan(pi*(x + 1/2))", "x**(1/0)"),
        *("where(1/x > 0, 1, 2)", "where(x >= 0, 1/x, 2)", "where(1/x > 0 and x > 7, 1, 2)", "sign(1/x)", "floor(1/x)"),
        *("min(log(x), 0)", "tanh(log(x))", "erf(log(x))", "cos(log(x))", "abs(1/x)", "where(not 1/x > 0, 1, 2)"),
    ],
)
def test_undefined_boxes_are_unbounded(source: str) -> None:
    """x = 0 lies in the box: however bounded the outer function, nothing may be claimed."""
    assert on_line(source, 0.0, 1.0) == WHOLE
    assert on_line(source, 0.0, 0.0) == WHOLE
    assert slope_on_line(source, 0.0, 1.0) == WHOLE


def test_undefined_boxes_do_not_spoil_others() -> None:
    target = parse_target("[1/x0, x1]", PLANE)
    lo, hi = np.array([[0.0, 1.0], [1.0, 2.0]]), np.array([[1.0, 2.0], [2.0, 3.0]])
    flo, fhi, glo, ghi = enclose_gradient(target, lo, hi)
    assert np.isinf(flo).tolist() == [[True, False], [False, False]]
    assert np.isinf(fhi).tolist() == [[True, False], [False, False]]
    assert glo[:, 1].tolist() == ghi[:, 1].tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_nan_boxes_are_unbounded(place: tuple[int, int]) -> None:
    ends = [np.array([[0.0, 0.0]]), np.array([[1.0, 1.0]])]
    ends[place[0]][0, place[1]] = math.nan
    flo, fhi = enclose(parse_target("[sin(x0), sin(x1), min(max(x0, 0), 1) + sign(x1), 1]", PLANE), *ends)
    assert np.isneginf(flo[0]).tolist() == np.isposinf(fhi[0]).tolist() == [place[1] == 0, place[1] == 1, True, False]


def test_unbounded_boxes() -> None:
    assert on_line("atan(x) + sigmoid(x)", -INF, INF) == pytest.approx((-math.pi / 2, math.pi / 2 + 1))
    assert on_line("sin(x)", -INF, INF) == (-1, 1)
    assert on_line("x - x", -INF, INF) == WHOLE
    assert on_line("exp(x)", -INF, 0.0)[0] == 0
    assert on_line("min(x, 1)", INF, INF) == (1, 1)


def test_shapes_and_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    target = parse_target("[[sin(x0*x1), 1], [x1**2, where(x0 < 0, x0, 1/x1)]]", PLANE)
    rng = np.random.default_rng(0)
    lo = rng.uniform(-1, 1, (23, 2))
    hi = lo + 0.1
    together = enclose_gradient(target, lo, hi)
    assert [part.shape for part in together] == [(23, 4), (23, 4), (23, 4, 2), (23, 4, 2)]
    monkeypatch.setattr(enclosure, "CHUNK", 5)
    for part, other in zip(enclose_gradient(target, lo, hi), together, strict=True):
        assert np.allclose(part, other, rtol=1e-15, atol=1e-300)
    assert [part.shape for part in enclose_gradient(target, lo[:0], hi[:0])] == [(0, 4), (0, 4), (0, 4, 2), (0, 4, 2)]


def test_inputs_are_unchanged_and_nothing_is_warned_of() -> None:
    target = parse_target("log(x0)/x1 + exp(1000*x0)**2 + 0*x1*exp(1e5*x0) + sin(1e300*x0)", PLANE)
    lo, hi = np.full((3, 2), -INF), np.full((3, 2), INF)
    settings_before = np.geterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        enclose_gradient(target, lo, hi)
    assert np.isneginf(lo).all()
    assert np.isposinf(hi).all()
    assert np.geterr() == settings_before


# --------------------------------------------------------------------------------------------------------------------
# Gradients

SMOOTH = (
    "sin(3*x0)*cos(2*x1)",
    "exp(-(x0**2+x1**2))*cos(3*x0*x1)",
    "tan(x0/2) + tanh(x0*x1) + sigmoid(3*x1) + atan(x0 - x1) + sinh(x1) - cosh(x0) + erf(x0)",
    "log(2 + x0)*sqrt(3 + x1)/(x0**2 + 1/2)",
    "(2 + x0)**x1 + 3**x0 + e**(x0*x1) + (2 + x0)**(2/3) + (2 + x1)**-1.5 + x0**0 + x1**5 + (x0 + 7)**-3",
    "abs(x0 + 5)*min(x1 - 9, x0) + max(x0, x1, 7*x0*x1 - 30) + where(x0 < 9, x0*x1, 0)",
    "sign(x0 - 7)*x1 + floor(x0/99) - x0",
)


@pytest.mark.parametrize("source", SMOOTH)
def test_gradients_at_points(source: str) -> None:
    """Against central differences at 300 bits: the enclosure of a point is tight and holds the derivative."""
    target = parse_target(source, PLANE)
    points = np.random.default_rng(5).uniform(-0.9, 0.9, (20, 2))
    _, _, glo, ghi = enclose_gradient(target, points, points)
    step = Fraction(1, 2**90)
    for b, point in enumerate(points.tolist()):
        for k in range(2):
            ahead, behind = [Fraction(x) for x in point], [Fraction(x) for x in point]
            ahead[k] += step
            behind[k] -= step
            with mpmath.workprec(300):
                rise = evaluate_mp(target, ahead, 300)[0] - evaluate_mp(target, behind, 300)[0]
            derivative = mpf_to_fraction(rise) / (2 * step)
            slack = Fraction(1, 10**40)
            assert Fraction(glo[b, 0, k]) - slack <= derivative <= Fraction(ghi[b, 0, k]) + slack
            assert ghi[b, 0, k] - glo[b, 0, k] <= 1e-12 * (1 + abs(derivative))


@pytest.mark.parametrize(
    ("source", "lo", "hi", "expected"),
    [
        ("3*x", 0.0, 1.0, (3, 3)),
        ("x**2", -1.0, 1.0, (-2, 2)),
        ("abs(x)", -1.0, 1.0, (-1, 1)),
        ("abs(x)", 0.0, 1.0, (1, 1)),
        ("abs(x)", -1.0, 0.0, (-1, -1)),
        ("max(x, 0)", -1.0, 1.0, (0, 1)),
        ("max(0, x)", 0.0, 1.0, (1, 1)),
        ("max(x, 0)", -1.0, 0.0, (0, 0)),
        ("min(2*x, 3*x, 7)", -1.0, 1.0, (2, 3)),
        ("sign(x)", -1.0, 1.0, WHOLE),
        ("sign(x)", 0.5, 1.0, (0, 0)),
        ("sign(x)", 0.0, 1.0, WHOLE),
        ("floor(x)", 0.5, 1.0, WHOLE),
        ("floor(x)", 0.25, 0.75, (0, 0)),
        ("where(x < 0, x, 2*x)", -1.0, 1.0, WHOLE),
        ("where(x < 0, x, 2*x)", 0.0, 1.0, (2, 2)),
        ("where(x < 0, x, 2*x)", -1.0, -0.5, (1, 1)),
        ("0*sign(x)", -1.0, 1.0, WHOLE),
        ("sqrt(x)", 0.0, 1.0, (0.5, INF)),
        ("sqrt(x)", 0.25, 1.0, (0.5, 1)),
        ("x**(1/3)", 0.0, 1.0, (1 / 3, INF)),
        ("x**1.5", 0.0, 1.0, (0, 1.5)),
        ("sqrt(x)", 0.0, 0.0, (0, INF)),
        ("-sqrt(x)", 0.0, 1.0, (-INF, -0.5)),
        ("tanh(x)", -1000.0, 1000.0, (0, 1)),
        ("sigmoid(x)", -1000.0, 1000.0, (0, 0.25)),
        ("x**0", -1.0, 1.0, (0, 0)),
        ("7", -1.0, 1.0, (0, 0)),
    ],
)
def test_slopes(source: str, lo: float, hi: float, expected: tuple[float, float]) -> None:
    assert np.allclose(slope_on_line(source, lo, hi), expected, rtol=1e-14, atol=1e-15)


def test_a_jump_across_one_variable_leaves_the_slopes_in_others() -> None:
    target = parse_target("where(x0 < 0, 2*x1, 3*x1)", PLANE)
    _, _, glo, ghi = enclose_gradient(target, np.array([[-1.0, 0.0]]), np.array([[1.0, 1.0]]))
    assert (glo[0, 0, 0], ghi[0, 0, 0]) == WHOLE
    assert (glo[0, 0, 1], ghi[0, 0, 1]) == pytest.approx((2, 3))
