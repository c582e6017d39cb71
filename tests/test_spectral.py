"""Heads that are polynomials in sigmoids: what they are, how few tokens they need, and that they are proved."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product
from typing import Any

import mpmath
import numpy as np
import pytest

from attncert import certify, construct_head
from attncert.certificates.attention import Attention
from attncert.certificates.deadline import NEVER
from attncert.certificates.errors import InputError, InvalidTarget, TooLarge
from attncert.construct.bernstein import Axis, bernstein_matrix, bernstein_values, context_of
from attncert.construct.chebyshev import Fixed, Floats, lawson, left_out
from attncert.verifier.reduction import reduce_head

SEQUENCE = "[[X[0,0]*X[0,1], X[1,1]], [sin(X[0,0]), X[1,0]-X[0,1]]]"
PLANE = "exp(-(x0**2+x1**2))*cos(3*x0*x1)"


def head_of(target: str, domain: str, tolerance: str, **options: Any) -> tuple[Attention, dict[str, Any]]:
    certificate = construct_head(target, domain=domain, tolerance=tolerance, method="spectral", **options)
    return certificate.statement.attention, dict(certificate.notes)


# --- the algebra -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "centre"), [("1", "1/2"), ("1/64", "1/2"), ("20", "1/3"), ("3", "-1/4")])
def test_bernstein_coefficients_reproduce_chebyshev_polynomials(rate: str, centre: str) -> None:
    axis = Axis(Fraction(0), Fraction(1), Fraction(rate), Fraction(centre))
    matrix, precision = bernstein_matrix(axis, 6, 100)
    context = context_of(400)
    mid, half = axis.range(context)
    for k, x in product(range(7), (0, 0.3, 1)):
        z = context.mpf(axis.rate.numerator) / axis.rate.denominator
        z *= context.mpf(x) - context.mpf(axis.centre.numerator) / axis.centre.denominator
        t, s = context.tanh(z / 2), 1 / (1 + context.exp(-z))
        got = sum(
            context.mpf(int(c)) / 2**precision * math.comb(6, i) * s**i * (1 - s) ** (6 - i)
            for i, c in enumerate(matrix[k])
        )
        assert abs(got - context.chebyt(k, (t - mid) / half)) < context.mpf(2) ** -90


def test_values_of_a_tensor_product_are_products() -> None:
    axes = (
        Axis(Fraction(0), Fraction(1), Fraction(2), Fraction(1, 2)),
        Axis(Fraction(0), Fraction(2), Fraction(1), Fraction(1)),
    )
    one = np.zeros((3, 2, 1), dtype=object)
    one[2, 1, 0] = 1 << 80
    values, bits = bernstein_values(axes, one, 80)
    (first, p), (second, q) = bernstein_matrix(axes[0], 2, 80), bernstein_matrix(axes[1], 1, 80)
    for i, j in product(range(3), range(2)):
        exact = Fraction(int(first[2, i]), 1 << p) * Fraction(int(second[1, j]), 1 << q)
        assert abs(Fraction(int(values[i, j, 0]), 1 << bits) - exact) < Fraction(1, 1 << 70)


def test_both_arithmetics_agree() -> None:
    axis = Axis(Fraction(-1), Fraction(2), Fraction(3), Fraction(1, 2))
    floats, fixed = Floats(100), Fixed(100)
    for method, arguments in (("nodes", (7,)), ("lattice", (5, 12))):
        x, matrix = getattr(floats, method)(axis, *arguments)
        exact_x, exact = getattr(fixed, method)(axis, *arguments)
        assert np.allclose(x, np.array([float(each) for each in exact_x]), atol=1e-12)
        assert np.allclose(matrix, fixed.to_float(exact, Fraction(1)), atol=1e-12)


def test_what_degrees_leave_out() -> None:
    terms = np.random.default_rng(0).random((4, 3, 2))
    found = left_out(terms)
    for n in product(range(4), range(3)):
        kept = terms[: n[0] + 1, : n[1] + 1].sum(axis=(0, 1))
        assert math.isclose(found[n], max(terms.sum(axis=(0, 1)) - kept), abs_tol=1e-12)


def test_lawson_levels_the_error() -> None:
    """The best quadratic for x^3 on [-1, 1] is x^3 - T_3/4: an error of 1/4, against 2/5 or so in least squares."""
    x = np.cos(np.linspace(0, np.pi, 201))
    basis = np.stack([np.ones_like(x), x, 2 * x**2 - 1], axis=1)
    answer = lawson(basis, x**3, 0.25 * 1.001, NEVER)
    assert np.max(np.abs(x**3 - basis @ answer)) < 0.252


# --- the heads -------------------------------------------------------------------------------------------------------


def test_a_head_is_a_bernstein_polynomial_in_a_sigmoid() -> None:
    head, notes = head_of("sin(2*pi*x)", "[0,1]", "1e-3")
    (reduced,) = reduce_head(head)
    n = head.tokens - 1
    assert notes["degrees"] == [n]
    rate = Fraction(notes["rates"])
    assert list(reduced.keys[0]) == [i * rate for i in range(n + 1)]
    for x in (0.1, 0.5, 0.83):
        s = 1 / (1 + math.exp(-float(rate) * (x - 0.5)))
        values = [float(v) for v in _values(reduced)]
        want = sum(v * math.comb(n, i) * s**i * (1 - s) ** (n - i) for i, v in enumerate(values))
        assert math.isclose(float(np.ravel(head(np.array([[x]])))[0]), want, abs_tol=1e-12)
        assert abs(want - math.sin(2 * math.pi * x)) < 1e-3


def _values(reduced: Any) -> list[Fraction]:
    return [Fraction(value) for value in reduced.values[0]]


@pytest.mark.parametrize(
    ("target", "domain", "tolerance", "options", "tokens"),
    [
        ("sin(2*pi*x)", "[0,1]", "1e-8", {}, 14),
        ("sin(2*pi*x)", "[0,1]", "1e-18", {}, 24),
        ("1/(1+25*x**2)", "[-1,1]", "1e-6", {}, 48),
        ("x0*x1 - x2**2 + x0*x2/2", "[0,1]^3", "1e-8", {}, 64),
        ("tanh(50*x)", "[-1,1]", "1e-12", {}, 2),
        ("1/(1+exp(-30*(x-1/3)))", "[0,1]", "1e-10", {}, 2),
        (SEQUENCE, "[0,1]^4", "1e-3", {"shape": "2x2"}, 100),
        ("sin(K[0,0] + 2*Q[0,0])", "[0,1]^2", "1e-4", {"attention": "cross"}, 25),
        ("[[K[0,0]*Q[0,0], Q[1,0]]]", "[0,1]^3", "1e-4", {"attention": "cross", "shape": "1x1,2x1"}, 12),
        ("[sin(3*x0)*x1, exp(x0-x1)]", "[-1,1]x[0,2]", "1e-3", {}, 48),
        ("3", "[0,1]", "1e-6", {}, 1),
        ("x0", "[0,1]x[2,2]", "1e-6", {}, 2),
        ("abs(x)", "[-1,1]", "0.05", {}, 13),
        ("sqrt(x)", "[0,1]", "0.01", {}, 20),
    ],
)
def test_proved_with_few_tokens(target: str, domain: str, tolerance: str, options: dict[str, str], tokens: int) -> None:
    result = certify(target, domain=domain, tolerance=tolerance, method="spectral", **options)
    assert result.verdict == "proved", result.detail
    assert result.tokens <= tokens
    assert Fraction(result.error_upper or "inf") <= Fraction(tolerance)
    assert result.notes["method"] == "spectral"


@pytest.mark.slow
def test_the_plane_is_proved_to_1e_6() -> None:
    result = certify(PLANE, domain="[0,1]^2", tolerance="1e-6", method="spectral")
    assert (result.verdict, result.tokens <= 120) == ("proved", True)


def test_axes_that_do_not_matter_have_degree_0_and_columns_their_own_degrees() -> None:
    _, notes = head_of(SEQUENCE, "[0,1]^4", "1e-3", shape="2x2")
    first, second = notes["degrees"]
    assert first[2:] == [0, 0]
    assert second[0] == 0
    assert min(*first[:2], *second[1:]) >= 1


def test_more_bits_where_the_tolerance_needs_them() -> None:
    _, notes = head_of("sin(2*pi*x)", "[0,1]", "1e-8", precision=24)
    assert notes["precision"] > notes["precision_asked"] == 24
    _, notes = head_of("sin(2*pi*x)", "[0,1]", "1e-8")
    assert notes["precision"] == 106
    assert "precision_asked" not in notes


def test_the_values_are_bounded_when_asked() -> None:
    head, notes = head_of("sin(2*pi*x)", "[0,1]", "1e-8", max_value="50")
    largest = max(abs(value) for value in _values(reduce_head(head)[0]))
    assert largest <= 50
    assert math.isclose(float(notes["max_value"]), float(largest), rel_tol=1e-5)
    assert float(head_of("sin(2*pi*x)", "[0,1]", "1e-8")[1]["max_value"]) > 50


def test_tiny_tolerances() -> None:
    head, notes = head_of("sin(2*pi*x)", "[0,1]", "1e-40")
    with mpmath.workdps(80):
        for x in (Fraction(0), Fraction(1, 7), Fraction(9, 10), Fraction(1)):
            got = head([[x]], precision=260)[0, 0]
            assert abs(got - mpmath.sin(2 * mpmath.pi * x.numerator / x.denominator)) < mpmath.mpf("1e-40")
    assert head.tokens <= 44
    assert notes["precision"] > 106


@pytest.mark.parametrize(
    ("options", "error", "line"),
    [
        ({"target": "abs(x)", "tolerance": "1e-4"}, TooLarge, "smooth"),
        ({"target": "sign(x)"}, InvalidTarget, "jumps"),
        ({"target": "1/x"}, InvalidTarget, "undefined"),
        ({"apriori": True}, InvalidTarget, "no a-priori bound"),
        ({"norm": "2"}, InputError, "sup norm"),
        ({"max_value": "0.01"}, TooLarge, "values up to 0.01"),
        ({"max_value": "-1"}, InputError, "positive"),
        ({"max_value": "5", "method": "uniform"}, InputError, "--method spectral"),
    ],
)
def test_one_clear_line(options: dict[str, Any], error: type[Exception], line: str) -> None:
    request = {"target": "sin(x)", "domain": "[-1,1]", "tolerance": "0.05", "method": "spectral", **options}
    with pytest.raises(error, match=line) as caught:
        construct_head(**request)
    assert "\n" not in str(caught.value)
