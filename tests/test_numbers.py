"""Exact numbers: the three forms, canonical spelling, the door to binary floating point."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attncert.certificates.errors import InvalidNumber
from attncert.certificates.numbers import (
    MAX_EXPONENT,
    MAX_LENGTH,
    float_down,
    float_nearest,
    float_up,
    format_dyadic,
    format_exact,
    fraction_to_mpf,
    mpf_to_fraction,
    parse_exact,
)

dyadics = st.builds(
    lambda m, e: Fraction(m) * Fraction(2) ** e, st.integers(-(2**120), 2**120), st.integers(-1200, 1200)
)
decimals = st.builds(lambda m, e: Fraction(m) * Fraction(10) ** e, st.integers(-(10**40), 10**40), st.integers(-60, 60))
rationals = st.one_of(st.fractions(), st.fractions(max_denominator=50), dyadics, decimals)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", Fraction(0)),
        ("-0", Fraction(0)),
        ("007", Fraction(7)),
        ("0.05", Fraction(1, 20)),
        ("-12.50", Fraction(-25, 2)),
        ("1e-3", Fraction(1, 1000)),
        ("1.5E+2", Fraction(150)),
        ("1e000000000000000000000000000002", Fraction(100)),
        ("1/3", Fraction(1, 3)),
        ("-6/4", Fraction(-3, 2)),
        ("0x1.921fb54442d18p+1", Fraction(math.pi)),
        ("-0x1.921fb54442d18p+1", -Fraction(math.pi)),
        ("0xfFp0", Fraction(255)),
        ("0x0.8p-1", Fraction(1, 4)),
        ("0x10p-4", Fraction(1)),
        ("0x1p1000000", Fraction(2**1000000)),
    ],
)
def test_parse(text: str, value: Fraction) -> None:
    assert parse_exact(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "+1", " 1", "1 ", "1\n", "1_0", "--1", "1.", ".5", "1e", "1e+", "e5", "1.5.2", "0x1", "0x", "0xp1"),
        *("0x1p", "0X1p1", "0x1P1", "0x.8p1", "0x1.p1", "0x1p1.5", "-", "1/", "/2", "1/-2", "1/+2", "1.5/2", "1/2/3"),
        *("inf", "-inf", "nan", "Infinity", "NaN", "1,5", "٣", "1²", "0b1", "1 /2", "1e1_0", "0x1_0p0", "½"),
    ],
)
def test_parse_refuses(text: str) -> None:
    with pytest.raises(InvalidNumber, match=r"^not an exact number: "):
        parse_exact(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1/0", "zero denominator in '1/0'"),
        ("-1/000", "zero denominator"),
        (f"1e{MAX_EXPONENT + 1}", "exponent"),
        (f"1e-{MAX_EXPONENT + 1}", "exponent"),
        ("0x1p" + "9" * 5000, "exponent"),
        ("1" * (MAX_LENGTH + 1), "number of 100001 characters; the limit is 100000"),
    ],
)
def test_limits(text: str, reason: str) -> None:
    with pytest.raises(InvalidNumber, match=reason) as failure:
        parse_exact(text)
    assert "\n" not in str(failure.value)
    assert len(str(failure.value)) < 200


def test_messages_quote_little_of_the_text() -> None:
    with pytest.raises(InvalidNumber) as failure:
        parse_exact("x\n" * 40_000)
    assert "\n" not in str(failure.value)
    assert len(str(failure.value)) < 200


@pytest.mark.parametrize("digits", [4299, 4300, 4301, 8600, 50_001])
def test_long_digit_strings(digits: int) -> None:
    assert parse_exact("9" * digits) == Fraction(10**digits - 1)
    assert parse_exact("-0." + "3" * digits) == Fraction(-(10**digits - 1) // 3, 10**digits)
    ratio = Fraction(10**digits - 1, 7 * 10**digits + 3)
    if 2 * digits < MAX_LENGTH - 10:
        assert parse_exact(format_exact(ratio)) == ratio


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(0), "0"),
        (Fraction(1), "1"),
        (Fraction(-3), "-3"),
        (Fraction(10**15 - 1), "999999999999999"),
        (Fraction(10**15), "0x1.c6bf52634p+49"),
        (Fraction(1, 2), "0x1p-1"),
        (Fraction(-3, 2), "-0x1.8p+0"),
        (Fraction(math.pi), "0x1.921fb54442d18p+1"),
        (Fraction(1, 20), "0.05"),
        (Fraction(-7, 20), "-0.35"),
        (Fraction(12345, 1000), "12.345"),
        (Fraction(1, 10**30), "1e-30"),
        (Fraction(123, 10**25), "1.23e-23"),
        (Fraction(1, 3), "1/3"),
        (Fraction(-22, 7), "-22/7"),
    ],
)
def test_canonical_spelling(value: Fraction, text: str) -> None:
    assert format_exact(value) == text


@settings(deadline=None)
@given(rationals)
def test_round_trip(value: Fraction) -> None:
    assert parse_exact(format_exact(value)) == value


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_spelling_of_doubles_is_that_of_float_hex(x: float) -> None:
    text = format_exact(Fraction(x))
    assert parse_exact(text) == Fraction(x)
    if text.lstrip("-").startswith("0x") and abs(x) >= 2.0**-1022:
        head, exponent = x.hex().split("p")
        assert text == head.rstrip("0").rstrip(".") + "p" + exponent


@settings(deadline=None)
@given(st.integers(-(2**200), 2**200), st.integers(-3000, 3000))
def test_dyadic_fast_path_agrees(mantissa: int, exponent: int) -> None:
    assert format_dyadic(mantissa, exponent) == format_exact(mantissa * Fraction(2) ** exponent)


@pytest.mark.parametrize(
    "value",
    [
        Fraction(2) ** (MAX_EXPONENT + 1),
        Fraction(2) ** -(MAX_EXPONENT + 1),
        Fraction(1, 3**220_000),
        Fraction((1 << 450_000) + 1),
    ],
    ids=["large", "small", "ratio", "digits"],
)
def test_numbers_too_long_to_write(value: Fraction) -> None:
    with pytest.raises(InvalidNumber):
        format_exact(value)


@settings(deadline=None)
@given(rationals)
def test_neighbouring_doubles(x: Fraction) -> None:
    lower, upper = float_down(x), float_up(x)
    assert math.isinf(lower) or Fraction(lower) <= x
    assert math.isinf(upper) or x <= Fraction(upper)
    assert upper == lower or upper == math.nextafter(lower, math.inf)
    assert float_nearest([x])[0] in (lower, upper)
    if lower == upper:
        assert Fraction(lower) == x


def test_doubles_at_the_ends_of_the_range() -> None:
    largest = Fraction(2**1024 - 2**971)
    huge, tiny = Fraction(10) ** 400, Fraction(1, 10**400)
    assert (float_down(largest), float_up(largest)) == (float(largest), float(largest))
    assert (float_down(largest + 1), float_up(largest + 1)) == (float(largest), math.inf)
    assert (float_down(huge), float_up(huge)) == (float(largest), math.inf)
    assert (float_down(-huge), float_up(-huge)) == (-math.inf, -float(largest))
    assert (float_down(tiny), float_up(tiny)) == (0.0, 5e-324)
    assert (float_down(-tiny), float_up(-tiny)) == (-5e-324, 0.0)
    assert math.copysign(1, float_up(-tiny)) == 1
    assert float_nearest([huge, -huge, tiny, Fraction(1, 3)]).tolist() == [math.inf, -math.inf, 0.0, 1 / 3]


@settings(deadline=None)
@given(dyadics)
def test_mpf_values_are_exact(value: Fraction) -> None:
    number = mpmath.mp.make_mpf(mpmath.libmp.from_rational(value.numerator, value.denominator, 2000, "n"))
    assert mpf_to_fraction(number) == value


@settings(deadline=None)
@given(rationals, st.integers(2, 300))
def test_mpf_rounding_is_to_nearest(x: Fraction, precision: int) -> None:
    rounded = mpf_to_fraction(fraction_to_mpf(x, precision))
    if x == 0:
        assert rounded == 0
        return
    exponent = abs(x.numerator).bit_length() - x.denominator.bit_length()
    exponent += abs(x) >= Fraction(2) ** exponent
    ulp = Fraction(2) ** (exponent - precision)
    assert abs(rounded - x) <= ulp / 2
    assert (rounded / ulp).denominator == 1


@pytest.mark.parametrize("text", ["inf", "-inf", "nan"])
def test_mpf_must_be_finite(text: str) -> None:
    with pytest.raises(InvalidNumber, match="not a finite number"):
        mpf_to_fraction(mpmath.mpf(text))


def test_mpf_far_out_of_range() -> None:
    with pytest.raises(InvalidNumber, match="out of range"):
        mpf_to_fraction(mpmath.ldexp(mpmath.mpf(1), 10**9))
