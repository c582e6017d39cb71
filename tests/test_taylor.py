"""Taylor models of targets against ball arithmetic: the value lies within the remainder of the polynomial."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from fractions import Fraction

import flint
import numpy as np
import pytest
from balls import BITS, UNDEFINED, UNKNOWN, fraction, monomials, point_at, polynomial, unit_points, values_of
from flint import arb, fmpq
from heads import random_target
from numpy.typing import NDArray

from attncert.certificates import taylor
from attncert.certificates.errors import InvalidTarget
from attncert.certificates.interval import quiet
from attncert.certificates.target import InputSpace, Target, parse_target
from attncert.certificates.taylor import Model, models, multi_indices

FloatArray = NDArray[np.float64]


def target_of(source: str, m: int) -> Target:
    return parse_target(source, InputSpace((m, 1)))


def models_of(source: str, centre: Sequence[float], radius: Sequence[float], order: int) -> list[Model]:
    """The models over one box."""
    return models(target_of(source, len(centre)), np.array([centre], float), np.array([radius], float), order)


def column(model: Model, b: int) -> tuple[FloatArray, float]:
    """The coefficients and the remainder of one box."""
    coefficients = model.coefficients[:, b if model.coefficients.shape[1] > 1 else 0]
    return coefficients, float(model.remainder[b if len(model.remainder) > 1 else 0])


def check(target: Target, centre: FloatArray, radius: FloatArray, order: int, rnd: random.Random, count: int) -> int:
    """Check the models of a target over many boxes at some points of each; returns how many boxes had one."""
    found = models(target, centre, radius, order)
    m, claimed = centre.shape[1], 0
    indices = multi_indices(m, order)
    with flint.ctx.workprec(BITS), quiet():
        bounds = [(model.size(), model.reach(), model.range().ends) for model in found]
        for b in range(len(centre)):
            known = [column(model, b) for model in found]
            known = [(c, r) for c, r in known if math.isfinite(r)]
            if not known:
                continue
            claimed += 1
            for u in unit_points(m, count, rnd):
                powers = monomials(indices, u)
                values = values_of(target, point_at(centre[b], radius[b], u))
                for model, (size, reach, ends), value in zip(found, bounds, values, strict=True):
                    coefficients, remainder = column(model, b)
                    if not math.isfinite(remainder):
                        continue
                    where = (target.source, centre[b].tolist(), radius[b].tolist(), order, u)
                    assert np.isfinite(coefficients).all(), where
                    assert value is not UNDEFINED, where
                    if value is UNKNOWN:
                        continue
                    error = abs(value - arb(polynomial(coefficients, powers)))
                    assert not error > arb(fraction(remainder)), (*where, error, remainder)
                    b_ = b if len(size) > 1 else 0
                    if math.isfinite(size[b_]):
                        assert not abs(value) > arb(fraction(size[b_])), where
                    if math.isfinite(reach[b_]):
                        moved = abs(value - arb(fraction(coefficients[0])))
                        assert not moved > arb(fraction(reach[b_])), where
                    if math.isfinite(ends[0, b_]):
                        assert not value < arb(fraction(ends[0, b_])), where
                        assert not value > arb(fraction(ends[1, b_])), where
    return claimed


# ---------------------------------------------------------------------------------------------------------------------
# One function at a time, of an argument at every scale and distance from where the function ends

UNARY = ["exp", "log", "sqrt", "sin", "cos", "tan", "atan", "erf", "tanh", "sigmoid", "sinh", "cosh", "abs"]
UNARY += ["sign", "floor", "1/"]
POWERS = ["0", "1", "2", "3", "7", "16", "-1", "-3", "0.5", "-0.5", "(1/3)", "2.5", "-2.5", "7.5", "20.25", "(-1/7)"]
POWERS += ["(2 + 1/10**17)", "(1/10**17)", "(-1 + 1/10**18)", "1000.5"]
SOURCES = [f"{name}(x)" for name in UNARY] + [f"(x)**{power}" for power in POWERS]
SOURCES += ["x**x", "(x)**(1/x)", "x*x", "x/x", "x - x", "x*x*x/(1+x)", "min(x,1)", "max(x,2-x)", "max(-x,x*x,0.5)"]
SOURCES += ["where(x<1,x*x,2*x-1)", "where(x<=0 or 1<x,sin(x),cos(x))", "where(not x<1 and x<3,log(x),x)"]
SOURCES += ["e*x+pi/3", "(x+1/3)*0.1 - 0.7*x", "sqrt(1-x*x)", "log(sin(x))", "exp(-1/x)", "1/(1-x)", "tan(x)*cos(x)"]

SPECIAL = [0.0, 1.0, -1.0, 0.5, 2.0, 3.0, math.pi / 2, -math.pi / 2, math.pi, 1e-300, 5e-324, 1e-8, 26.5, -30.0]
SPECIAL += [700.0, -700.0, -745.0, -800.0, 709.7, 1e8, 1e15, -1e22, 1e100, 1e154, 1e155, 1e300, -1e300]


def any_number(rnd: random.Random) -> float:
    kind = rnd.random()
    if kind < 0.35:
        return rnd.choice(SPECIAL)
    if kind < 0.65:
        return rnd.uniform(-4, 4)
    return math.copysign(10 ** rnd.uniform(-12, rnd.choice([1, 3, 20])), rnd.random() - 0.3)


def any_radius(rnd: random.Random, centre: float) -> float:
    """A radius of every scale, absolute or relative to the distance of the centre from a place of interest."""
    kind = rnd.random()
    if kind < 0.05:
        return 0.0
    if kind < 0.55:
        return float(10 ** rnd.uniform(-12, 1))
    distance = abs(centre - rnd.choice([0.0, 0.0, 0.0, 1.0, -1.0, math.pi / 2, 745.0, -90.0]))
    near = [1.0, 1 - 2.0**-52, 1 + 2.0**-52, 1 - 1e-9, 0.999, 0.9, 0.5, 0.1, 1e-3, 1e-6, rnd.uniform(0, 1.2)]
    return distance * rnd.choice(near)


def any_boxes(rnd: random.Random, count: int, m: int) -> tuple[FloatArray, FloatArray]:
    centre = np.array([[any_number(rnd) for _ in range(m)] for _ in range(count)])
    radius = np.array([[any_radius(rnd, c) for c in line] for line in centre.tolist()])
    return centre, radius


def check_function(source: str, boxes: int, seed: str) -> None:
    rnd = random.Random(source + seed)
    for order in range(1, 9):
        centre, radius = any_boxes(rnd, boxes, 1)
        check(target_of(source, 1), centre, radius, order, rnd, 4)


@pytest.mark.parametrize("source", SOURCES)
def test_values_of_functions(source: str) -> None:
    check_function(source, 12, "")


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_values_of_functions_in_bulk(source: str) -> None:
    check_function(source, 300, "bulk")


# ---------------------------------------------------------------------------------------------------------------------
# Random targets over random boxes


def tame_boxes(rnd: random.Random, count: int, m: int) -> tuple[FloatArray, FloatArray]:
    centre = np.array([[rnd.choice([0.0, 0.5, rnd.uniform(-3, 3)]) for _ in range(m)] for _ in range(count)])
    radius = np.array([[10 ** rnd.uniform(-12, rnd.choice([1, -1, -3])) for _ in range(m)] for _ in range(count)])
    return centre, radius


def check_random(seed: int, targets: int, boxes: int) -> int:
    rnd, claimed = random.Random(seed), 0
    while targets:
        m, order = rnd.choice([1, 2, 2, 3]), rnd.randint(1, 8)
        names = ["x"] if m == 1 else [f"x{k}" for k in range(m)]
        try:
            target = target_of(random_target(rnd, names, rnd.choice([1, 2, 3])), m)
        except InvalidTarget:
            continue
        make = tame_boxes if rnd.random() < 0.7 else any_boxes
        claimed += check(target, *make(rnd, boxes, m), order, rnd, 4)
        targets -= 1
    return claimed


@pytest.mark.parametrize("seed", range(4))
def test_values_of_random_targets(seed: int) -> None:
    assert check_random(seed, 60, 6) > 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
def test_values_of_random_targets_in_bulk(seed: int) -> None:
    check_random(seed, 300, 12)


# ---------------------------------------------------------------------------------------------------------------------
# Places where a value is missing: no claim


@pytest.mark.parametrize("order", [1, 2, 3, 8])
@pytest.mark.parametrize(
    ("source", "centre", "radius"),
    [
        ("log(x)", 0.5, 0.5),
        ("log(x)", -1.0, 0.1),
        ("sqrt(x)", 0.1, 0.5),
        ("x**2.5", 0.1, 0.5),
        ("x**2.5", 0.1, 0.10000001),
        ("x**20.25", 0.1, 0.5),
        ("x**(1/3)", 0.1, 0.5),
        ("x**-0.5", 0.1, 0.1),
        ("x**-2", 0.1, 0.2),
        ("1/x", 0.0, 1.0),
        ("0*(1/x)", 0.0, 1.0),
        ("tan(x)", 1.5, 0.1),
        ("x**x", 0.0, 1.0),
        ("atan(1/x)", 0.0, 1.0),
        ("log(x)**0", 0.1, 0.5),
        ("sign(log(x))", 0.1, 0.5),
        ("floor(0.001*sqrt(x))", 0.1, 0.5),
        ("abs(log(x))", 0.1, 0.5),
        ("max(log(x), 100)", 0.1, 0.5),
        ("min(log(x), 100)", 0.1, 0.5),
        ("where(log(x)<1000, 1, 2)", 0.1, 0.5),
        ("where(log(x)<0, 1, 1)", 0.1, 0.5),
        ("where(log(x)<=0, 1, 1)", 0.1, 0.5),
        ("where(not log(x)<0, 1, 1)", 0.1, 0.5),
        ("where(x>9 and log(x)<0, 1, 2)", 0.1, 0.5),
        ("where(log(x)<0 and x>9, 1, 2)", 0.1, 0.5),
        ("where(x<9 or log(x)<0, 1, 2)", 0.1, 0.5),
        ("where(log(x)<0 or x<9, 1, 2)", 0.1, 0.5),
        ("where(x<0.2, log(x), 2)", 0.1, 0.5),
        ("where(x<9, log(x), 2)", 0.1, 0.5),
    ],
)
def test_missing_values_are_not_claimed(source: str, centre: float, radius: float, order: int) -> None:
    """On each of these boxes there are points without a value."""
    (model,) = models_of(source, [centre], [radius], order)
    assert not np.isfinite(model.remainder).any()


def test_branches_not_taken_may_lack_a_value() -> None:
    (model,) = models_of("where(x<9, x*x, log(-x))", [0.1], [0.5], 3)
    assert model.remainder[0] < 1e-12


# ---------------------------------------------------------------------------------------------------------------------
# Numbers beyond the range of float64


@pytest.mark.parametrize("order", [1, 2, 3, 6])
@pytest.mark.parametrize(
    ("source", "centre", "radius"),
    [
        ("exp(x)", -800.0, 705.0),
        ("exp(100)*exp(x)", -800.0, 705.0),
        ("exp(x)*1e300*1e300", -760.0, 10.0),
        ("exp(x)", 700.0, 20.0),
        ("exp(-exp(x))", 10.0, 3.0),
        ("log(x)", 1e155, 1e154),
        ("log(x)", 1e300, 5e299),
        ("log(x)", 1e-300, 5e-301),
        ("1/x*1e155", 1e155, 5e154),
        ("1e300/x", 1e300, 5e299),
        ("1e-300/x", 1e-300, 5e-301),
        ("sqrt(x)", 1e155, 1e154),
        ("x**0.5", 1e300, 5e299),
        ("x**1.5", 1e155, 9e154),
        ("x**-0.5*1e77", 1e155, 1e154),
        ("x**(1/3)", 1e-300, 1e-310),
        ("x**(1000/3)", 0.5, 1e-10),
        ("x**2.5*1e308*1e17", 1e-130, 5e-131),
        ("atan(x)", 1e155, 1e155),
        ("atan(x)", 1e8, 1e8),
        ("erf(x)", 30.0, 29.0),
        ("(1 - erf(x))*1e300", 28.0, 2.0),
        ("erf(x)", 1e160, 1.0),
        ("tanh(x)", 1e5, 1.0),
        ("x*x", 1e200, 1.0),
        ("x*x*1e300*1e300", 1e-200, 1e-200),
        ("x*1e-200*1e-200*1e300", 1.0, 1.0),
        ("cosh(x)*exp(-x)", 500.0, 100.0),
        ("sinh(x)/cosh(x)", -600.0, 20.0),
    ],
)
def test_values_beyond_the_range(source: str, centre: float, radius: float, order: int) -> None:
    check(target_of(source, 1), np.array([[centre]]), np.array([[radius]]), order, random.Random(source), 12)


# ---------------------------------------------------------------------------------------------------------------------
# The order of convergence

SMOOTH = [
    "exp(x)",
    "log(1.5+x)",
    "sqrt(2+x)",
    "sin(3*x)",
    "cos(2*x+1)",
    "tan(x)",
    "atan(2*x)",
    "erf(x)",
    "tanh(x)",
    "sigmoid(2*x)",
    "sinh(x)",
    "cosh(x)",
    "1/(2+x)",
    "(2+x)**2.5",
    "(2+x)**(-1/3)",
    "(2+x)**x",
    "(2+x)**-3",
    "x**9 - x**4",
    "sin(abs(x-3))",
    "max(x, 3-x)*sin(x)",
    "min(sin(x), 2)*x",
    "where(x<2, exp(x), 0)",
    "where(not x<=2 and x<5, 0, cos(x))",
    "sign(x+5)*exp(x) + floor(x/10+0.5)",
    "exp(sin(x))*atan(x*x)/(1+x*x)",
]


@pytest.mark.parametrize("source", SMOOTH)
def test_remainders_shrink_with_the_order(source: str) -> None:
    """Halving the radius divides the remainder by about 2^(K+1), down to where rounding stops it."""
    for order in range(1, 9):
        previous, steps = math.inf, 0
        for halvings in range(3, 14):
            (model,) = models_of(source, [0.3], [2.0**-halvings], order)
            remainder = float(model.remainder[0])
            assert math.isfinite(remainder)
            if remainder < 1e-11:
                break
            if math.isfinite(previous):
                assert remainder < 1.5 * previous * 2.0 ** -(order + 1), (order, halvings)
                steps += 1
            previous = remainder
        assert remainder < max(1e-11, 100 * 2.0 ** (-13 * (order + 1)))
        assert steps or order > 3


@pytest.mark.parametrize("source", ["x0*x1 - x0**3", "exp(x0*x1)*sin(x0)", "(x0+x1)/(2+x0*x1)", "sqrt(2+x0-x1**2)"])
def test_remainders_shrink_in_two_variables(source: str) -> None:
    for order in range(1, 7):
        remainders = [models_of(source, [0.3, -0.2], [2.0**-n, 2.0**-n], order)[0].remainder[0] for n in (4, 5)]
        assert remainders[1] < max(1.5 * remainders[0] * 2.0 ** -(order + 1), 1e-11)


@pytest.mark.parametrize(
    ("source", "centre", "lo", "hi"),
    [
        ("abs(x)", 0.25, 0.0, 0.75),
        ("max(x, 0.25)", 0.25, 0.25, 0.75),
        ("min(x, 0.25)", 0.25, -0.25, 0.25),
        ("sign(x)", 0.25, -1, 1),
        ("floor(x)", 0.25, -1, 0),
        ("where(x<0, 7, -1)", 0.25, -1, 7),
    ],
)
def test_kinks_inside_the_box_give_the_range(source: str, centre: float, lo: float, hi: float) -> None:
    (model,) = models_of(source, [centre], [0.5], 4)
    assert not model.coefficients[1:].any()
    ends = model.range().ends[:, 0]
    assert ends == pytest.approx([lo, hi], abs=1e-10)
    assert ends[0] <= lo
    assert ends[1] >= hi


@pytest.mark.parametrize(
    ("source", "piece"),
    [("abs(x)", "x"), ("max(x,-1/7)", "x"), ("floor(x)+sin(x)", "sin(x)"), ("where(x<9,x*x,1)", "x*x")],
)
def test_boxes_keep_their_order_beside_a_kink_of_others(source: str, piece: str) -> None:
    """Of many boxes only those that meet the kink become constant."""
    centre, radius = np.array([[0.5], [0.0], [9.0]]), np.full((3, 1), 0.25)
    (model,) = models(target_of(source, 1), centre, radius, 3)
    (smooth,) = models(target_of(piece, 1), centre, radius, 3)
    coefficients, remainder = column(model, 0)
    assert coefficients == pytest.approx(smooth.padded(model.degree)[:, 0], abs=1e-12)
    assert remainder < 1e-2
    check(target_of(source, 1), centre, radius, 3, random.Random(0), 20)


# ---------------------------------------------------------------------------------------------------------------------
# The algebra itself


def random_model(rnd: random.Random, m: int, order: int, boxes: int, degree: int) -> Model:
    count = math.comb(m + degree, degree)
    scale = 10 ** rnd.uniform(-3, 3) if rnd.random() < 0.8 else rnd.choice([1e-150, 1e-160, 1e-309, 1e-320])
    numbers = [[rnd.gauss(0, scale) * rnd.choice([0, 1, 1, 1e-8]) for _ in range(boxes)] for _ in range(count)]
    remainder = [rnd.choice([0.0, 0.0, scale * rnd.random(), 1e-12]) for _ in range(boxes)]
    return Model(np.array(numbers), np.array(remainder), m, order, degree)


Operation = tuple[Callable[[Model, Model, float], Model], Callable[[fmpq, fmpq, fmpq], fmpq]]
OPERATIONS: dict[str, Operation] = {
    "sum": (lambda a, b, t: a + b, lambda x, y, t: x + y),
    "difference": (lambda a, b, t: a - b, lambda x, y, t: x - y),
    "product": (lambda a, b, t: a * b, lambda x, y, t: x * y),
    "scaled": (lambda a, b, t: a.scaled(t), lambda x, y, t: x * t),
    "shifted": (lambda a, b, t: a.shifted(t), lambda x, y, t: x + t),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_hold_for_every_function_within_the_remainder(name: str) -> None:
    """The exact extremes: values at both ends of the remainders of the operands."""
    on_models, on_numbers = OPERATIONS[name]
    rnd = random.Random(name)
    for _ in range(150):
        m, order = rnd.randint(1, 3), rnd.randint(1, 6)
        boxes = rnd.choice([1, 3])
        a = random_model(rnd, m, order, boxes, rnd.randint(0, order))
        b = random_model(rnd, m, order, rnd.choice([1, boxes]), rnd.randint(0, order))
        number = rnd.gauss(0, 1) * 10 ** rnd.uniform(-3, 3)
        result = on_models(a, b, number)
        indices = multi_indices(m, order)
        for u in unit_points(m, 6, rnd):
            powers = monomials(indices, u)
            for n in range(boxes):
                (p, r), (q, s), (c, remainder) = column(a, n), column(b, n), column(result, n)
                for sign in (-1, 1):
                    for other in (-1, 1):
                        x = polynomial(p, powers) + sign * fraction(r)
                        y = polynomial(q, powers) + other * fraction(s)
                        error = abs(on_numbers(x, y, fraction(number)) - polynomial(c, powers))
                        assert error <= fraction(remainder), (name, m, order, n)


def test_sizes_are_rounded_up() -> None:
    rnd = random.Random(2)
    for _ in range(300):
        m, order = rnd.randint(1, 3), rnd.randint(1, 6)
        model = random_model(rnd, m, order, 1, rnd.randint(0, order))
        coefficients, remainder = column(model, 0)
        moved = sum((abs(fraction(c)) for c in coefficients[1:]), fraction(remainder))
        assert fraction(model.reach()[0]) >= moved
        assert fraction(model.size()[0]) >= moved + abs(fraction(coefficients[0]))
        lo, hi = model.range().ends[:, 0]
        assert fraction(lo) <= fraction(coefficients[0]) - moved
        assert fraction(hi) >= fraction(coefficients[0]) + moved


def test_series_bound_the_next_derivative() -> None:
    """The exact series of each function at a point against its terms, and its next term near it against the bound."""
    rnd = random.Random(5)
    functions = {
        "exp": (taylor._exp, lambda x: x.exp()),
        "sin": (taylor._sine(0), lambda x: x.sin()),
        "cos": (taylor._sine(1), lambda x: x.cos()),
        "log": (taylor._log, lambda x: x.log()),
        "1/x": (taylor._reciprocal, lambda x: 1 / x),
        "x^0.3": (taylor._power(0.3), lambda x: (x.log() * fraction(0.3)).exp()),
        "x^-1.7": (taylor._power(-1.7), lambda x: (x.log() * fraction(-1.7)).exp()),
        "x^3.2": (taylor._power(3.2), lambda x: (x.log() * fraction(3.2)).exp()),
        "atan": (taylor._atan, lambda x: x.atan()),
        "erf": (taylor._erf, lambda x: x.erf()),
    }
    with flint.ctx.workprec(600), quiet():
        for name, (series, function) in functions.items():
            for _ in range(60):
                order = rnd.randint(1, 8)
                c = rnd.choice([rnd.uniform(0.1, 6), 10 ** rnd.uniform(-3, 2)])
                if name == "atan" and rnd.random() < 0.5:
                    c = 1 / math.tan(math.pi / rnd.randint(3, 8))  # where some coefficient is 0
                c = -c if name in ("1/x", "sin", "cos", "exp", "atan", "erf") and rnd.random() < 0.5 else c
                eta = abs(c) * rnd.choice([1e-6, 0.1, 0.5, 0.9])
                terms, sizes, last = series(np.array([c]), np.array([eta]), order)
                where = (name, c, eta, order)
                for k, exact in enumerate(derivatives(function, c, order)):
                    error = abs(exact - arb(fraction(terms[k][0])))
                    allowed = fraction(sizes[k][0]) * fraction(taylor.LIBM) + fraction(taylor.TINY)
                    assert not error > arb(allowed), (*where, k)
                for t in (-1.0, 1.0, rnd.uniform(-1, 1)):
                    exact = derivatives(function, c + eta * t * (1 - 2.0**-50), order + 1)[-1]
                    assert not abs(exact) > arb(fraction(last[0])), where


def derivatives(function: Callable[[arb], arb], c: float, order: int) -> list[arb]:
    """The g^(k)(c) / k!, by power series over balls."""
    flint.ctx.cap, cap = order + 1, flint.ctx.cap
    try:
        series = function(flint.arb_series([arb(fraction(c)), 1]))
        return [series[k] for k in range(order + 1)]
    finally:
        flint.ctx.cap = cap


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("argument", ["sign(x)/1000", "0.75 + sign(x)/4", "where(x<0.1, 0.2, 1.4)", "3 - floor(x)"])
def test_functions_of_constant_models(name: str, argument: str) -> None:
    """Inside is the range of a kink, so that the series has a constant term and a remainder only."""
    target = target_of(f"{name}({argument})", 1)
    check(target, np.array([[0.0], [0.5]]), np.array([[1.0], [0.75]]), 3, random.Random(name), 12)


def test_half_integers_are_exact() -> None:
    """Sums and products that float64 holds exactly lose nothing but the stated margins."""
    (model,) = models_of("x0*x1 + 0.5", [0.5, 2.0], [0.25, 0.5], 2)
    assert list(model.coefficients[:, 0]) == [1.5, 0.5, 0.25, 0, 0.125, 0]
    assert model.remainder[0] < 1e-12
    assert Fraction(1, 2) in (Fraction(float(x)) for x in model.coefficients[:, 0])
