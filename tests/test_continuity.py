"""What is proved of a target before a head is made: bounds on values and slopes, a modulus of continuity, no jumps."""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import mpmath
import numpy as np
import pytest

from attncert.certificates.deadline import Deadline, OutOfTime
from attncert.certificates.domain import Box, parse_box
from attncert.certificates.errors import InvalidTarget, TooLarge, UndefinedTarget
from attncert.certificates.evaluate import evaluate_float, evaluate_mp
from attncert.certificates.target import InputSpace, Target, parse_target
from attncert.construct.continuity import box_ends, modulus, radius_for, regularity


def on(source: str, domain: str) -> tuple[Target, Box]:
    box = parse_box(domain)
    return parse_target(source, InputSpace((box.dimension, 1))), box


def difference(target: Target, x: tuple[Fraction, ...], y: tuple[Fraction, ...]) -> mpmath.mpf:
    """|f(x) - f(y)|, the largest entry."""
    return max(abs(a - b) for a, b in zip(evaluate_mp(target, x, 80), evaluate_mp(target, y, 80), strict=True))


def point(box: Box, rnd: random.Random) -> tuple[Fraction, ...]:
    return tuple(lo + (hi - lo) * Fraction(rnd.getrandbits(30), 1 << 30) for lo, hi in box.sides)


# --- values and slopes -----------------------------------------------------------------------------------------------

PI = math.pi
SMOOTH = [
    ("sin(2*pi*x)", "[0,1]", 1, 2 * PI),
    ("sin(2*pi*x)", "[0,1/8]", math.sin(PI / 4), 2 * PI),
    ("cos(2*pi*x)", "[0,1/8]", 1, 2 * PI * math.sin(PI / 4)),
    ("x**3", "[-2,1]", 8, 12),
    ("-x**3", "[-2,1]", 8, 12),
    ("exp(x)", "[0,1]", math.e, math.e),
    ("x*exp(-x)", "[0,3]", math.exp(-1), 1),
    ("1/x", "[0.1,1]", 10, 100),
    ("log(x)", "[1e-2,1]", math.log(100), 100),
    ("tanh(50*(x - 1/3))", "[0,1]", math.tanh(100 / 3), 50),
    ("1/(x*x - x + 0.26)", "[0,1]", 100, 649.52),  # at x = 1/2 +- 1/sqrt(300): 3 sqrt(3)/8 10^3
    ("x0*x1", "[-1,2]x[0,3]", 6, math.hypot(3, 2)),
    ("exp(-(x0**2+x1**2))*cos(3*x0*x1)", "[0,1]^2", 1, 1.53),
    ("sin(10*x0*x1)*cos(5*x2)", "[0,1]^3", 1, 13.758),
    ("abs(x0 - x1)", "[-1,1]x[0,2]", 3, math.sqrt(2)),
    ("min(x0, x1)", "[0,1]^2", 1, 1),
    ("min(x0, 1 - x0)", "[0,1]", 0.5, 1),
    ("max(x0, 2*x1, 1)", "[0,1]^2", 2, 2),
    ("[3*x0, -4*x1, 1]", "[0,1]^2", 4, 4),
    ("[[x0, 5*x1], [0, x0*x1]]", "[0,1]^2", 5, 5),
    ("x", "[1/3,1/3]", 1 / 3, 1),
    ("x0 + x1", "[0,1]x[1/2,1/2]", 1.5, 1),
    ("2*x1", "[0,1]^3", 2, 2),
]


@pytest.mark.parametrize(("source", "domain", "sup", "slope"), SMOOTH)
def test_bounds_hold_and_are_close(source: str, domain: str, sup: float, slope: float) -> None:
    """At kinks, at degenerate sides and for products over several inputs the slope may be overestimated, by sqrt(2)."""
    known = regularity(*on(source, domain))
    assert sup * (1 - 1e-12) <= known.sup <= 1.025 * sup
    loose = "min" in source or "1/2,1/2" in domain or "^3" in domain
    assert slope * (1 - 1e-12) <= known.lipschitz <= (1.45 if loose else 1.03) * slope


@pytest.mark.parametrize(("source", "domain"), [case[:2] for case in SMOOTH if "1/3,1/3" not in case[1]])
def test_no_sample_is_beyond_the_bounds(source: str, domain: str) -> None:
    target, box = on(source, domain)
    known = regularity(target, box)
    rnd = random.Random(0)
    for _ in range(100):
        x = point(box, rnd)
        near = [Fraction(rnd.gauss(0, 1)) / 10 ** rnd.randint(0, 8) for _ in x]
        y = tuple(min(max(a + b, lo), hi) for a, b, (lo, hi) in zip(x, near, box.sides, strict=True))
        distance = mpmath.sqrt(sum((mpmath.mpf(float(a - b))) ** 2 for a, b in zip(x, y, strict=True)))
        assert max(map(abs, evaluate_mp(target, x, 80))) <= known.sup
        assert difference(target, x, y) <= known.lipschitz * distance * (1 + 1e-12)


@pytest.mark.parametrize(("source", "sup"), [("3", 3), ("0", 0), ("-pi", PI), ("[1, -2]", 2), ("0*x0", 0)])
def test_constants_have_slope_zero(source: str, sup: float) -> None:
    known = regularity(*on(source, "[0,1]^3"))
    assert sup <= known.sup <= sup * (1 + 1e-12)
    assert known.lipschitz == 0.0


def test_bounds_are_about_the_whole_box_when_its_ends_are_no_floats() -> None:
    _, box = on("x", "[0.1,1/3]")
    lo, hi = box_ends(box)
    assert Fraction(lo[0, 0]) <= Fraction(1, 10) < Fraction(np.nextafter(lo[0, 0], 1))
    assert Fraction(hi[0, 0]) >= Fraction(1, 3) > Fraction(np.nextafter(hi[0, 0], 0))
    assert Fraction(regularity(*on("x", "[0.1,1/3]")).sup) >= Fraction(1, 3)


@pytest.mark.parametrize("source", ["sqrt(x)", "x**(1/3)", "abs(x)**0.1", "sqrt(x)*cos(x)"])
def test_an_infinite_slope_is_said_to_be_infinite(source: str) -> None:
    known = regularity(*on(source, "[0,1]"))
    assert known.lipschitz == math.inf
    assert 0.6 < known.sup < 1.03


def test_the_deadline_is_kept() -> None:
    with pytest.raises(OutOfTime):
        regularity(*on("sin(2*pi*x)", "[0,1]"), Deadline(time.monotonic() - 1))
    with pytest.raises(OutOfTime):
        modulus(*on("sqrt(x)", "[0,1]"), 0.1, Deadline(time.monotonic() - 1))


# --- the modulus of continuity ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [0.5, 0.1, 0.01, 1e-4])
@pytest.mark.parametrize(
    ("source", "truth"),
    [("sqrt(x)", math.sqrt), ("x**(1/3)", math.cbrt), ("x", lambda r: r), ("sin(pi*x)", lambda r: math.sin(PI * r))],
)
def test_the_modulus_is_close_to_the_truth_on_a_line(
    source: str, truth: Callable[[float], float], radius: float
) -> None:
    found = modulus(*on(source, "[0,1]"), radius)
    assert truth(radius) <= found <= 1.2 * truth(radius)


@pytest.mark.parametrize(
    ("source", "domain", "radius", "factor"),
    [
        ("sqrt(x0*x1)", "[0,1]^2", 0.05, 2),
        ("sqrt(abs(x0 - x1))", "[0,1]^2", 0.05, 2),
        ("sin(3*x0)*x1", "[-1,1]x[0,2]", 0.02, 3),
        ("[x0*x1, 2*x0]", "[0,1]^2", 0.1, 3),
        ("x0*x1*x2", "[0,1]^3", 0.1, 6),
        ("where(x0 < x1, 0, x0 - x1)", "[0,1]^2", 0.05, 4),
        ("x0 + x1", "[0,1]x[1/2,1/2]", 0.1, 2),
    ],
)
def test_the_modulus_holds_for_samples_and_is_not_absurd(
    source: str, domain: str, radius: float, factor: float
) -> None:
    target, box = on(source, domain)
    found = modulus(target, box, radius)
    rnd = np.random.default_rng(0)
    lo, hi = (ends[0] for ends in box_ends(box))
    x = lo + (hi - lo) * rnd.random((200_000, box.dimension)) ** rnd.choice([1, 3], (200_000, 1))
    step = rnd.normal(size=x.shape)
    step *= radius / np.linalg.norm(step, axis=1, keepdims=True)
    y = np.clip(x + step, lo, hi)
    largest = float(np.max(np.abs(evaluate_float(target, x) - evaluate_float(target, y))))
    assert largest <= found <= factor * largest


def test_the_modulus_of_a_jump_is_its_height() -> None:
    assert modulus(*on("sign(x - 1/3)", "[0,1]"), 1e-4) >= 2
    assert modulus(*on("where(x0 + x1 < 1, 0, 7)", "[0,1]^2"), 0.01) >= 7


def test_the_modulus_grows_with_the_radius_up_to_the_range() -> None:
    found = [modulus(*on("sin(7*x)*exp(x)", "[0,2]"), 2.0**-k) for k in range(12)]
    assert all(larger >= smaller for larger, smaller in pairwise(found))
    assert modulus(*on("x", "[0,2]"), 100.0) <= 2 * (1 + 1e-12)


def test_the_work_ends_early_when_enough_is_exceeded() -> None:
    target, box = on("sqrt(x)", "[0,1]")
    assert modulus(target, box, 0.01, enough=0.2) == modulus(target, box, 0.01)
    assert modulus(target, box, 0.01, enough=0.05) == math.inf


@pytest.mark.parametrize(("source", "domain"), [("sqrt(x)", "[0,1]"), ("sqrt(x0*x1*x2)", "[0,1]^3")])
def test_a_modulus_that_takes_too_many_boxes_is_refused(source: str, domain: str) -> None:
    with pytest.raises(TooLarge, match="boxes"):
        modulus(*on(source, domain), 1e-9)


@pytest.mark.parametrize(
    ("source", "domain"),
    [
        ("sqrt(x)", "[0,1]"),
        ("sqrt(x0*x1)", "[0,1]^2"),
        ("x**(1/3)", "[0,8]"),
        ("where(x < 0, -x, x)", "[-1,1]"),
        ("sin(20*x)", "[0,1]"),
    ],
)
@pytest.mark.parametrize("goal", [0.5, 0.1])
def test_the_radius_is_the_largest_to_within_a_tenth(source: str, domain: str, goal: float) -> None:
    target, box = on(source, domain)
    radius = radius_for(target, box, goal)
    assert modulus(target, box, radius) <= goal
    assert modulus(target, box, 1.1 * radius) > goal


@pytest.mark.parametrize("source", ["2", "x/100"])
def test_the_radius_of_a_flat_target_is_the_side(source: str) -> None:
    assert radius_for(*on(source, "[0,4]"), 0.1) >= 4


def test_a_jump_has_no_radius() -> None:
    with pytest.raises((InvalidTarget, TooLarge)):
        radius_for(*on("sign(x - 1/3)", "[0,1]"), 1.0)


# --- jumps -----------------------------------------------------------------------------------------------------------


def place(message: str) -> list[float]:
    """The coordinates that a message names."""
    return [float(number) for number in re.findall(r"x\d* = (-?[0-9][0-9.e+-]*[0-9]|-?[0-9])", message)]


@pytest.mark.parametrize(
    ("source", "domain", "height", "is_there"),
    [
        ("sign(x - 1/3)", "[0,1]", 2, lambda x: abs(x - 1 / 3)),
        ("floor(3*x)", "[0,1]", 1, lambda x: abs(3 * x - round(3 * x))),
        ("floor(x)", "[0,1]", 1, lambda x: abs(x - 1)),
        ("sign(x)", "[0,1]", 1, lambda x: abs(x)),
        ("sign(x)**2", "[-1,1]", 1, lambda x: abs(x)),
        ("where(x0 > x1, 1, 0)", "[0,1]^2", 1, lambda x0, x1: abs(x0 - x1)),
        ("where(x < 0, -1, 1)", "[-1,1]", 2, lambda x: abs(x)),
        ("where(x < 0, 0, 0.01)", "[-1,1]", 0.01, lambda x: abs(x)),
        ("where(x >= 1, 5, 0)", "[0,1]", 5, lambda x: abs(x - 1)),
        ("sign(x0*x1 - 1/5)", "[0,1]^2", 2, lambda x0, x1: abs(x0 * x1 - 0.2)),
        ("floor(x0 + x1 + x2)", "[0,1]^3", 1, lambda *x: abs(sum(x) - round(sum(x)))),
        ("sqrt(abs(x)) + sign(x - 1/2)", "[0,1]", 2, lambda x: abs(x - 0.5)),
        ("sqrt(abs(x)) + 3*sign(x)", "[-1,1]", 6, lambda x: abs(x)),
        ("[x, floor(2*x)]", "[0,0.9]", 1, lambda x: abs(x - 0.5)),
        ("x - floor(x + 1/2)", "[0,1]", 1, lambda x: abs(x - 0.5)),
    ],
)
def test_jumps_are_refused_with_place_height_and_a_way_out(
    source: str, domain: str, height: float, is_there: Callable[..., float]
) -> None:
    with pytest.raises(InvalidTarget, match=r"jumps by about .* near .*; use an L_p norm \(--norm 1") as caught:
        regularity(*on(source, domain))
    message = str(caught.value)
    assert "\n" not in message
    said = re.search(r"jumps by about (\S+) near", message)
    assert said is not None
    assert 0.49 * height <= float(said[1]) <= 1.01 * height  # half, where the value in the middle is seen
    assert is_there(*place(message)) < 1e-4


@pytest.mark.parametrize(
    ("source", "domain"),
    [
        ("where(x < 0, -x, x)", "[-1,1]"),
        ("where(x < 0, 0, x)", "[-1,1]"),
        ("x*sign(x)", "[-1,1]"),
        ("where(x < 1/2, sin(pi*x), 1)", "[0,1]"),
        ("where(x0 < x1, x0, x1)", "[0,1]^2"),
        ("abs(x - floor(x + 1/2))", "[0,2]"),
        ("sin(pi*floor(x)) + x", "[0,3]"),
        ("sqrt(abs(x - 1/3))", "[0,1]"),
        ("abs(x - 1/3)**(1/4)", "[0,1]"),
        ("abs(x - 1/3)**(1/8)", "[0,1]"),
        ("sign(x)*sqrt(abs(x))", "[-1,1]"),
        ("sqrt(abs(x0 - x1))", "[0,1]^2"),
        ("tanh(1e9*(x - 1/3))", "[0,1]"),
        ("floor(x)", "[0,1/2]"),
        ("where(x < 1/2, 0, 1)", "[0,1/3]"),
        ("sign(x - 2)", "[0,1]"),
    ],
)
def test_continuous_targets_are_not_said_to_jump(source: str, domain: str) -> None:
    assert math.isfinite(regularity(*on(source, domain)).sup)


# --- places without a value ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "domain", "reason", "is_there"),
    [
        ("1/x", "[-1,1]", "division by zero in '1/x'", lambda x: x == 0),
        ("log(x)", "[-1,1]", "log of a negative number", lambda x: x < 0),
        ("log(x)", "[0,1]", "log of zero", lambda x: x == 0),
        ("0/0", "[0,1]", "division by zero", lambda x: 0 <= x <= 1),
        ("sqrt(x - 1)", "[0,2]", "square root of a negative number in 'sqrt", lambda x: x < 1),
        ("x/x", "[-1,1]", "division by zero", lambda x: x == 0),
        ("x/x", "[0,1]", "division by zero", lambda x: x == 0),
        ("1/(x0 - x1)", "[0,1]^2", "division by zero", lambda x0, x1: x0 == x1),
        ("x**x", "[0,1]", "not positive", lambda x: x == 0),
        ("x**-2", "[-2,2]", "division by zero", lambda x: x == 0),
        ("sqrt(1 - x0**2 - x1**2)", "[0,1]^2", "square root", lambda x0, x1: x0**2 + x1**2 > 1),
        ("[x, 1/(x - 1/2)]", "[0,1]", "division by zero", lambda x: x == 0.5),
        ("1/(x - 3/8)", "[0,1]", "division by zero", lambda x: x == 0.375),
        ("where(x < 1/2, 0, 1/(x - 3/4))", "[0,1]", "division by zero", lambda x: x == 0.75),
    ],
)
def test_undefined_targets_are_refused_with_the_place_and_the_reason(
    source: str, domain: str, reason: str, is_there: Callable[..., bool]
) -> None:
    with pytest.raises(UndefinedTarget, match=re.escape(reason)) as caught:
        regularity(*on(source, domain))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("the target is undefined at x")
    assert is_there(*place(message.partition(":")[0]))


@pytest.mark.parametrize(
    ("source", "domain", "near"),
    [
        ("1/(x - 1/3)", "[0,1]", [1 / 3]),
        ("1/(x - 1/pi)", "[0,1]", [1 / PI]),
        ("tan(x)", "[0,2]", [PI / 2]),
        ("log(x - 1/3)", "[1/3,1]", [1 / 3]),
        ("1/(x0**2 + x1**2 - 1/3)", "[0,1]^2", None),
    ],
)
def test_poles_between_floats_are_refused_with_the_place(source: str, domain: str, near: list[float] | None) -> None:
    with pytest.raises(InvalidTarget, match=r"defined|undefined") as caught:
        regularity(*on(source, domain))
    found = place(str(caught.value))
    if near is None:
        assert abs(found[0] ** 2 + found[1] ** 2 - 1 / 3) < 1e-4
    else:
        assert found == pytest.approx(near, abs=1e-5)


@pytest.mark.parametrize(
    ("source", "domain"),
    [("exp(1000*x)", "[0,1]"), ("1/(x*x - 2*x + 1 + 1e-9)", "[0,2]")],
)
def test_targets_without_a_bound_are_refused(source: str, domain: str) -> None:
    with pytest.raises(InvalidTarget, match="bound") as caught:
        regularity(*on(source, domain))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "domain"),
    [
        ("where(x < 1, 0, log(x))", "[0,2]"),
        ("where(x > 2, 1/x, x/4)", "[0,3]"),
        ("1/x", "[1/3,1]"),
    ],
)
def test_what_is_not_asked_for_may_be_undefined(source: str, domain: str) -> None:
    assert math.isfinite(regularity(*on(source, domain)).sup)
