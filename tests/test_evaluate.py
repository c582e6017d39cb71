"""Values at points: against Arb, at exact points, where undefined, and float64 against many digits."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from fractions import Fraction

import flint
import mpmath
import numpy as np
import pytest
from flint import arb, fmpq
from hypothesis import given, settings
from hypothesis import strategies as st

from attncert.certificates.errors import UndefinedTarget
from attncert.certificates.evaluate import evaluate_float, evaluate_mp
from attncert.certificates.numbers import mpf_to_fraction
from attncert.certificates.target import InputSpace, parse_target

LINE = InputSpace((1, 1))
PLANE = InputSpace((2, 1))


def exact(source: str, *x: int | Fraction) -> list[Fraction]:
    """The entries at a point, for targets whose value is dyadic there."""
    target = parse_target(source, InputSpace((max(len(x), 1), 1)))
    return [mpf_to_fraction(y) for y in evaluate_mp(target, [Fraction(entry) for entry in x], 100)]


def to_arb(x: Fraction) -> arb:
    return arb(fmpq(x.numerator, x.denominator))


FUNCTIONS: dict[str, tuple[Callable[[arb], arb], Fraction, Fraction]] = {
    "sin(x)": (lambda x: x.sin(), Fraction(-1000), Fraction(1000)),
    "cos(x)": (lambda x: x.cos(), Fraction(-1000), Fraction(1000)),
    "tan(x)": (lambda x: x.tan(), Fraction(-3, 2), Fraction(3, 2)),
    "exp(x)": (lambda x: x.exp(), Fraction(-800), Fraction(800)),
    "log(x)": (lambda x: x.log(), Fraction(1, 10**9), Fraction(10**9)),
    "sqrt(x)": (lambda x: x.sqrt(), Fraction(0), Fraction(10**9)),
    "tanh(x)": (lambda x: x.tanh(), Fraction(-50), Fraction(50)),
    "sigmoid(x)": (lambda x: 1 / (1 + (-x).exp()), Fraction(-100), Fraction(100)),
    "atan(x)": (lambda x: x.atan(), Fraction(-(10**6)), Fraction(10**6)),
    "sinh(x)": (lambda x: x.sinh(), Fraction(-50), Fraction(50)),
    "cosh(x)": (lambda x: x.cosh(), Fraction(-50), Fraction(50)),
    "erf(x)": (lambda x: x.erf(), Fraction(-8), Fraction(8)),
    "x**(1/3)": (lambda x: x.root(3), Fraction(1, 10**9), Fraction(10**9)),
    "x**-7": (lambda x: x ** (-7), Fraction(1, 100), Fraction(100)),
    "2**x": (lambda x: (arb(2).log() * x).exp(), Fraction(-50), Fraction(50)),
    "x**x": (lambda x: (x.log() * x).exp(), Fraction(1, 100), Fraction(50)),
    "e**x*pi": (lambda x: x.exp() * arb.pi(), Fraction(-50), Fraction(50)),
}


@pytest.mark.parametrize("source", FUNCTIONS)
def test_functions_against_arb(source: str) -> None:
    oracle, lo, hi = FUNCTIONS[source]
    target = parse_target(source, LINE)
    rng = np.random.default_rng(1)
    points = [lo + (hi - lo) * Fraction(float(u)) for u in [*rng.random(20), *rng.random(5) * 1e-9, 0.5, 1.0]]
    for precision in (53, 300):
        with flint.ctx.workprec(precision + 200):
            for x in points:
                found = mpf_to_fraction(evaluate_mp(target, [x], precision)[0])
                expected = oracle(to_arb(x))
                error = abs(to_arb(found) - expected)
                assert bool(error <= abs(expected) * arb(2) ** (1 - precision)), (source, x, precision)


@pytest.mark.parametrize(
    ("source", "x", "expected"),
    [
        ("where(x < 1/3, 1, 2)", Fraction(1, 3), 2),
        ("where(x <= 1/3, 1, 2)", Fraction(1, 3), 1),
        ("floor(3*x)", Fraction(1, 3), 1),
        ("floor(-x)", Fraction(1, 3), -1),
        ("sign(3*x - 1)", Fraction(1, 3), 0),
        ("sign(x)", Fraction(-1, 3), -1),
        ("sign(sin(0*x))", Fraction(1, 3), 0),
        ("abs(x - 2/3) - 1/3", Fraction(1, 3), 0),
        ("min(x, 1/3) - max(x, 1/3)", Fraction(1, 3), 0),
        ("where(x**2 < 9/4, 1, 2)", Fraction(3, 2), 2),
        ("(x - 1/3)**0", Fraction(1, 3), 1),
        ("(x - 1/3)**0.5", Fraction(1, 3), 0),
        ("(x - 1/3)**1e-9", Fraction(1, 3), 0),
        ("where(x < 1, x, 1/(x - 1))", Fraction(1), None),
        ("where(x < 1, 7, log(x - 1))", Fraction(1, 2), 7),
        ("where(x > 0 or x < -1, sqrt(x), -1)", Fraction(-1, 2), -1),
        ("floor(exp(x))", Fraction(1), 2),
        ("floor(-exp(x))", Fraction(1), -3),
        ("(-x)**3", Fraction(2), -8),
        ("sqrt(x)", Fraction(9, 4), Fraction(3, 2)),
        ("x**(3/2)", Fraction(9, 4), Fraction(27, 8)),
    ],
)
def test_exact_points(source: str, x: Fraction, expected: int | Fraction | None) -> None:
    if expected is None:
        with pytest.raises(UndefinedTarget):
            exact(source, x)
    else:
        assert exact(source, x) == [expected]


@pytest.mark.parametrize("function", ["tanh", "erf"])
@pytest.mark.parametrize("x", [3, -3])
def test_the_sign_of_astronomical_numbers(function: str, x: int) -> None:
    assert exact(f"{function}(x*exp(exp(30)))", x) == [x // abs(x)]
    assert exact(f"{function}(x*2**70)", x) == [x // abs(x)]


@pytest.mark.parametrize(
    ("source", "x", "message"),
    [
        ("1/x", 0, "division by zero in '1/x'"),
        ("1/(x - 1/3)", Fraction(1, 3), "division by zero in '1/(x - 1/3)'"),
        ("x**-1", 0, "division by zero in 'x**-1'"),
        ("x**-2", 0, "division by zero in 'x**-2'"),
        ("x**-0.5", 0, "division by zero in 'x**-0.5'"),
        ("log(x)", 0, "log of zero in 'log(x)'"),
        ("2 + log( x - 1 )", 0, "log of a negative number in 'log( x - 1 )'"),
        ("sqrt(x)", -1, "square root of a negative number in 'sqrt(x)'"),
        ("x**0.5", -1, "a fractional power of a negative number in 'x**0.5'"),
        ("x**x", 0, "a variable power of a number that is not positive in 'x**x'"),
        ("x**(1/0)", 2, "division by zero in '1/0'"),
        ("0*(1/x)", 0, "division by zero in '1/x'"),
        ("atan(1/x)", 0, "division by zero in '1/x'"),
        ("(1/x)**0", 0, "division by zero in '1/x'"),
        ("where(1/x > 0, 1, 2)", 0, "division by zero in '1/x'"),
        ("where(x < 1, 1/x, 2)", 0, "division by zero in '1/x'"),
        ("exp(exp(exp(exp(x))))", 2, "exp of a number too large to compute in 'exp(exp(exp(exp(x))))'"),
    ],
)
def test_undefined(source: str, x: int | Fraction, message: str) -> None:
    target = parse_target(source, LINE)
    with pytest.raises(UndefinedTarget) as failure:
        evaluate_mp(target, [Fraction(x)], 100)
    assert str(failure.value) == message
    if not source.startswith("exp"):
        assert np.isnan(evaluate_float(target, np.array([[float(x)]]))).all()


def test_one_undefined_entry_is_enough() -> None:
    target = parse_target("[x0, 1/x1]", PLANE)
    with pytest.raises(UndefinedTarget):
        evaluate_mp(target, [Fraction(1), Fraction(0)], 53)
    values = evaluate_float(target, np.array([[1.0, 0.0], [1.0, 2.0]]))
    assert np.isnan(values[0]).tolist() == [False, True]
    assert values[1].tolist() == [1.0, 0.5]


def test_mpf_points_are_exact() -> None:
    target = parse_target("x - 0.5", LINE)
    with mpmath.workprec(300):
        x = mpmath.mpf("0.5") + mpmath.ldexp(1, -290)
    assert mpf_to_fraction(evaluate_mp(target, [x], 20)[0]) == Fraction(1, 2**290)


def test_large_rationals_are_rounded_in_time() -> None:
    """Repeated squaring of an exact rational would double its length 60 times."""
    source = "x"
    for _ in range(60):
        source = f"({source})**2/1.0000001"
    value = evaluate_mp(parse_target(source, LINE), [Fraction(10**15 + 1, 10**15)], 100)[0]
    assert mpmath.isfinite(value)


def test_no_global_state_changes() -> None:
    precision, rounding = mpmath.mp.prec, np.geterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate_mp(parse_target("sin(x)/3", LINE), [Fraction(1, 3)], 500)
        evaluate_float(parse_target("log(x)/x + x**-1 + sqrt(x) + exp(1000*x)", LINE), np.array([[0.0], [-1], [2]]))
    assert mpmath.mp.prec == precision
    assert np.geterr() == rounding


@pytest.mark.parametrize("source", ["exp(1e15*x)", "3**(1e15*x)", "sin(1e15*x)", "tan(1e15*x)", "x**(1e15*x)"])
def test_large_arguments_lose_no_digits(source: str) -> None:
    target = parse_target(source, LINE)
    few, many = (evaluate_mp(target, [Fraction(1, 3)], precision)[0] for precision in (53, 500))
    with mpmath.workprec(500):
        assert abs(few - many) <= abs(many) * mpmath.ldexp(1, -53)


def test_far_exponentials() -> None:
    vanishing = evaluate_mp(parse_target("exp(-x)", LINE), [Fraction(2**70)], 53)[0]
    assert 0 < vanishing < mpmath.mpf("1e-1000000")


def test_precision_is_that_asked_for() -> None:
    target = parse_target("[pi, e, 1/3]", LINE)
    for precision in (10, 53, 1000):
        for value in evaluate_mp(target, [Fraction(0)], precision):
            assert value._mpf_[3] <= precision
    with mpmath.workprec(1000):
        assert abs(evaluate_mp(target, [Fraction(0)], 1000)[0] - mpmath.pi) < mpmath.ldexp(1, -998)


def test_float_shapes() -> None:
    x = np.arange(6.0).reshape(3, 2)
    assert evaluate_float(parse_target("1", PLANE), x).tolist() == [[1], [1], [1]]
    assert evaluate_float(parse_target("[[x0, 1], [x1, x0 - x1]]", PLANE), x).tolist() == [
        [0, 1, 1, -1],
        [2, 1, 3, -1],
        [4, 1, 5, -1],
    ]
    assert evaluate_float(parse_target("x0", PLANE), np.empty((0, 2))).shape == (0, 1)


SOURCES = (
    "sin(3*x0)*cos(2*x1) - tan(x0/3)",
    "exp(-(x0**2+x1**2))*cos(3*x0*x1)",
    "where(x0 < x1 and not x0 < 0 or x1 >= 1/2, x0/3, -x1) + sign(x0)*floor(4*x1)",
    "min(x0, x1, x0*x1)**3 - max(x0, 1/3)**-2 + abs(x1)**(2/3)",
    "tanh(x0) + sigmoid(5*x1) + atan(x0) + sinh(x1) + cosh(x0) + erf(x1) + log(2 + x0**2)*sqrt(abs(x1))",
    "(1 + x0**2)**x1 + 3**x0 + e**x1*pi + x0**0 + x0**17",
)


@pytest.mark.parametrize("source", SOURCES)
@settings(deadline=None)
@given(point=st.tuples(st.floats(-2, 2), st.floats(-2, 2)))
def test_float_values_are_close(source: str, point: tuple[float, float]) -> None:
    target = parse_target(source, PLANE)
    found = evaluate_float(target, np.array([point]))[0, 0]
    expected = float(evaluate_mp(target, [Fraction(x) for x in point], 120)[0])
    assert math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-9)  # x1 tiny: sqrt and powers amplify nothing


def test_float_overflow_is_not_undefined() -> None:
    target = parse_target("1/(1 + exp(-1000*x))", LINE)
    assert evaluate_float(target, np.array([[-5.0], [5.0]])).tolist() == [[0.0], [1.0]]
