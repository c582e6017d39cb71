"""Exact numbers: the strings that spell them, and the one door to binary floating point.

The grammar is the section "Exact numbers" of docs/certificate-format.md.
"""

import math
import re
from collections.abc import Iterable
from fractions import Fraction

import mpmath
import numpy as np
from mpmath.libmp import from_rational
from numpy.typing import NDArray

from .errors import InvalidNumber

MAX_LENGTH = 100_000
"""Most characters that one number may take."""

MAX_EXPONENT = 1_000_000
"""Greatest absolute value of the exponent of a number, binary or decimal."""

_HEXADECIMAL = re.compile(r"(-?)0x([0-9a-fA-F]+)(?:\.([0-9a-fA-F]+))?p([+-]?)([0-9]+)")
_DECIMAL = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?)([0-9]+))?")
_RATIO = re.compile(r"(-?)([0-9]+)/([0-9]+)")

_CHUNK = 4000  # decimal digits that int() and str() convert in one go; Python refuses more than 4300
_PLAIN_INTEGER = 10**15  # integers below are spelled in decimal digits
_PLAIN_DECIMALS = 20  # more decimal places than this are spelled with an exponent


def parse_exact(text: str) -> Fraction:
    """Return the rational that a hexadecimal, decimal or ratio string spells.

    Raises InvalidNumber when the text has none of the three forms, when a denominator is zero, and beyond
    MAX_LENGTH or MAX_EXPONENT.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidNumber(f"number of {len(text)} characters; the limit is {MAX_LENGTH}")
    if match := _HEXADECIMAL.fullmatch(text):
        sign, whole, part, exponent_sign, exponent = match.groups(default="")
        mantissa = int(sign + whole + part, 16)
        return _scaled(mantissa, 2, _exponent(exponent_sign, exponent, text) - 4 * len(part))
    if match := _DECIMAL.fullmatch(text):
        sign, whole, part, exponent_sign, exponent = match.groups(default="")
        mantissa = _from_digits(whole + part)
        return _scaled(-mantissa if sign else mantissa, 10, _exponent(exponent_sign, exponent, text) - len(part))
    if match := _RATIO.fullmatch(text):
        numerator, denominator = _from_digits(match[2]), _from_digits(match[3])
        if denominator == 0:
            raise InvalidNumber(f"zero denominator in {_quoted(text)}")
        return Fraction(-numerator if match[1] else numerator, denominator)
    raise InvalidNumber(f"not an exact number: {_quoted(text)} (write it like 0.05, 1e-3, 1/3 or 0x1.8p+1)")


def format_exact(value: Fraction) -> str:
    """Return the canonical spelling of value, which parse_exact reads back exactly.

    Integers below 10**15 are decimal, other dyadic rationals hexadecimal, other terminating decimals decimal, the
    rest ratios. Raises InvalidNumber when the spelling would exceed MAX_LENGTH or MAX_EXPONENT.
    """
    numerator, denominator = value.numerator, value.denominator
    if denominator & (denominator - 1) == 0:
        return format_dyadic(numerator, 1 - denominator.bit_length())
    places = _decimal_places(denominator)
    if places is None:
        return _checked(f"{_to_digits(numerator)}/{_to_digits(denominator)}")
    return _checked(_format_decimal(numerator * 10**places // denominator, places))


def format_dyadic(mantissa: int, exponent: int) -> str:
    """Return the canonical spelling of mantissa * 2**exponent, the same as that of format_exact."""
    if mantissa == 0:
        return "0"
    size = abs(mantissa)
    twos = (size & -size).bit_length() - 1
    size >>= twos
    exponent += twos
    bits = size.bit_length()
    if 0 <= exponent < 50 and size << exponent < _PLAIN_INTEGER:
        return str(size << exponent) if mantissa > 0 else f"-{size << exponent}"
    leading = exponent + bits - 1
    digits = f"{size << (1 - bits) % 4:x}"  # the leading bit becomes a digit of its own
    sign = "" if mantissa > 0 else "-"
    if bits > 3 * MAX_LENGTH or abs(leading) > MAX_EXPONENT:
        _check_size(len(digits) + 20, leading)
    if bits == 1:
        return f"{sign}0x1p{leading:+d}"
    return f"{sign}0x1.{digits[1:]}p{leading:+d}"


def mpf_to_fraction(x: mpmath.mpf) -> Fraction:
    """Return the exact value of a finite mpf; raises InvalidNumber for infinities and NaN."""
    sign, mantissa, exponent, _ = x._mpf_
    if mantissa == 0 and exponent != 0:
        raise InvalidNumber(f"not a finite number: {x}")
    if abs(exponent) > 2 * MAX_EXPONENT:
        raise InvalidNumber(f"exponent {exponent} is out of range")
    signed = -int(mantissa) if sign else int(mantissa)
    return Fraction(signed << exponent) if exponent >= 0 else Fraction(signed, 1 << -exponent)


def fraction_to_mpf(x: Fraction, precision: int) -> mpmath.mpf:
    """Return the mpf with `precision` bits nearest to x (ties to even)."""
    return mpmath.mp.make_mpf(from_rational(x.numerator, x.denominator, precision, "n"))


def float_down(x: Fraction) -> float:
    """Return the greatest double <= x; -inf below the range of doubles."""
    nearest = _nearest(x)
    return nearest if _at_most(nearest, x) else math.nextafter(nearest, -math.inf)


def float_up(x: Fraction) -> float:
    """Return the least double >= x; inf above the range of doubles."""
    return -float_down(-x) + 0.0  # the sum turns -0.0 into 0.0


def float_nearest(values: Iterable[Fraction]) -> NDArray[np.float64]:
    """Return the double nearest to each value, infinite beyond the range of doubles; shape (values,)."""
    return np.array([_nearest(x) for x in values], dtype=np.float64)


def _nearest(x: Fraction) -> float:
    try:
        return x.numerator / x.denominator + 0.0  # CPython rounds the quotient of two ints correctly
    except OverflowError:
        return math.inf if x > 0 else -math.inf


def _at_most(candidate: float, x: Fraction) -> bool:
    if math.isinf(candidate):
        return candidate < 0
    numerator, denominator = candidate.as_integer_ratio()
    return numerator * x.denominator <= x.numerator * denominator


def _scaled(mantissa: int, base: int, exponent: int) -> Fraction:
    if exponent >= 0:
        return Fraction(mantissa * base**exponent)
    return Fraction(mantissa, base**-exponent)


def _exponent(sign: str, digits: str, text: str) -> int:
    digits = digits.lstrip("0")
    if len(digits) > len(str(MAX_EXPONENT)) or int(digits or "0") > MAX_EXPONENT:
        raise InvalidNumber(f"the exponent of {_quoted(text)} is beyond {MAX_EXPONENT}")
    return -int(digits or "0") if sign == "-" else int(digits or "0")


def _from_digits(digits: str) -> int:
    """Return the integer, of any length; splitting in halves keeps the conversion subquadratic."""
    if len(digits) <= _CHUNK:
        return int(digits)
    low = len(digits) // 2
    power: int = 10**low
    return _from_digits(digits[:-low]) * power + _from_digits(digits[-low:])


def _to_digits(value: int) -> str:
    """Return the decimal digits of an integer of any length."""
    if value < 0:
        return "-" + _to_digits(-value)
    if value.bit_length() < 3 * _CHUNK:
        return str(value)
    _check_size(value.bit_length() * 3 // 10, 0)  # log10(2) > 3/10: surely too long, so not worth converting
    low = value.bit_length() * 3 // 20
    high, rest = divmod(value, 10**low)
    return _to_digits(high) + _to_digits(rest).zfill(low)


def _decimal_places(denominator: int) -> int | None:
    """Return the least k with denominator a divisor of 10**k, or None when there is none."""
    twos = (denominator & -denominator).bit_length() - 1
    odd = denominator >> twos
    if odd % 5:  # odd > 1 here, or the number would be dyadic
        return None
    fives = round((odd.bit_length() - 0.5) / math.log2(5))
    for candidate in (fives - 1, fives, fives + 1):
        if odd == 5**candidate:
            return max(twos, candidate)
    return None


def _format_decimal(digits: int, places: int) -> str:
    """Return the spelling of digits * 10**-places, where digits does not end in 0."""
    sign = "-" if digits < 0 else ""
    text = _to_digits(abs(digits))
    if places <= _PLAIN_DECIMALS:
        text = text.zfill(places + 1)
        return f"{sign}{text[:-places]}.{text[-places:]}"
    _check_size(len(text), len(text) - 1 - places)
    point = "." if len(text) > 1 else ""
    return f"{sign}{text[0]}{point}{text[1:]}e{len(text) - 1 - places}"


def _check_size(length: int, exponent: int) -> None:
    if length > MAX_LENGTH:
        raise InvalidNumber(f"a number takes more than {MAX_LENGTH} characters to write exactly")
    if abs(exponent) > MAX_EXPONENT:
        raise InvalidNumber(f"the exponent of a number is beyond {MAX_EXPONENT}")


def _checked(text: str) -> str:
    _check_size(len(text), 0)
    return text


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
