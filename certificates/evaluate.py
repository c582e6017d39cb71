"""Values of a target at points: with many digits (mpmath) and in float64 (numpy). Neither is rigorous.

Both report where the target is undefined: an exception from `evaluate_mp`, NaN from `evaluate_float`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
from mpmath import libmp
from numpy.typing import NDArray

from attncert.certificates.errors import UndefinedTarget
from attncert.certificates.interval import erf_array
from attncert.certificates.numbers import float_nearest, mpf_to_fraction
from attncert.certificates.target import Target, run

FloatArray = NDArray[np.float64]

_GUARD = 32  # bits computed beyond those asked for
_EXACT_BITS = 1 << 16  # rationals longer than this (and than 8 times the precision) continue as rounded numbers
_EXP_MAGNITUDE = 60  # |u| < 2**60 in exp(u): beyond, the exponent of the result alone takes megabytes
_TRIG_MAGNITUDE = 1 << 20  # |u| < 2**(2**20) in sin(u): beyond, reducing u by pi takes too long

Raw = tuple[int, Any, int, int]  # mpmath's raw numbers: sign, mantissa, exponent, bits
Number = Fraction | Raw


def evaluate_mp(target: Target, x: Sequence[Fraction | mpmath.mpf], precision: int) -> list[mpmath.mpf]:
    """Return the entries of the target at one point, row by row, rounded to `precision` bits.

    Values stay exact rationals as long as + - * /, integer powers, abs, min, max, sign and floor make them, so that
    comparisons, jumps and poles at rational points are exact. Intermediate results carry _GUARD further bits; the
    result is accurate unless they cancel. mpmath's own precision is neither used nor changed.

    Raises UndefinedTarget, with the reason and the subexpression, where an entry has no value.
    """
    algebra = _MpAlgebra([_exact(entry) for entry in x], precision + _GUARD)
    values: list[Any] = []
    for slot, (op, args, payload) in enumerate(target.tape):
        operands = [values[k] for k in args] + ([] if payload is None else [payload])
        try:
            values.append(_undefined_operand(op, operands) or getattr(algebra, op)(*operands))
        except _NoValueError as error:
            values.append(_Undefined(f"{error} in '{target.text(slot)}'"))
    outputs = [values[slot] for slot in target.outputs]
    for value in outputs:
        if isinstance(value, _Undefined):
            raise UndefinedTarget(value.reason)
    return [mpmath.mp.make_mpf(_round(value, precision)) for value in outputs]


def evaluate_float(target: Target, x: FloatArray) -> FloatArray:
    """Return the entries of the target in float64; x: (points, m), result: (points, outputs), NaN where undefined."""
    with np.errstate(all="ignore"):
        outputs = run(target, _FloatAlgebra(x))
    result = np.empty((len(x), len(outputs)))
    for k, value in enumerate(outputs):
        result[:, k] = value
    return result


# --------------------------------------------------------------------------------------------------------------------
# Many digits


class _NoValueError(Exception):
    """Raised by an operation without a value; the message is the reason."""


@dataclass(frozen=True)
class _Undefined:
    """Stands for the value of an undefined subexpression, which matters only if a taken branch needs it."""

    reason: str


def _undefined_operand(op: str, operands: list[Any]) -> _Undefined | None:
    needed = operands[:1] if op == "where" else operands
    return next((operand for operand in needed if isinstance(operand, _Undefined)), None)


def _exact(entry: Fraction | mpmath.mpf) -> Fraction:
    return mpf_to_fraction(entry) if hasattr(entry, "_mpf_") else Fraction(entry)


def _round(a: Number, precision: int) -> Raw:
    if isinstance(a, Fraction):
        return libmp.from_rational(a.numerator, a.denominator, precision, "n")  # type: ignore[no-any-return]
    return libmp.mpf_pos(a, precision, "n")  # type: ignore[no-any-return]


class _MpAlgebra:
    """Arithmetic on exact rationals and, where those do not reach, on mpmath's raw numbers of `precision` bits."""

    def __init__(self, x: list[Fraction], precision: int) -> None:
        self.x = x
        self.precision = precision
        self.exact_bits = max(_EXACT_BITS, 8 * precision)

    # Leaves and arithmetic

    def const(self, value: Fraction) -> Number:
        return self._shortened(value)

    def var(self, index: int) -> Number:
        return self.x[index]

    def pi(self) -> Number:
        return libmp.mpf_pi(self.precision, "n")  # type: ignore[no-any-return]

    def e(self) -> Number:
        return libmp.mpf_e(self.precision, "n")  # type: ignore[no-any-return]

    def neg(self, a: Number) -> Number:
        return -a if isinstance(a, Fraction) else libmp.mpf_neg(a)

    def add(self, a: Number, b: Number) -> Number:
        if isinstance(a, Fraction) and isinstance(b, Fraction):
            return self._shortened(a + b)
        return self._call(libmp.mpf_add, a, b)

    def sub(self, a: Number, b: Number) -> Number:
        return self.add(a, self.neg(b))

    def mul(self, a: Number, b: Number) -> Number:
        if isinstance(a, Fraction) and isinstance(b, Fraction):
            return self._shortened(a * b)
        return self._call(libmp.mpf_mul, a, b)

    def div(self, a: Number, b: Number) -> Number:
        if _sign(b) == 0:
            raise _NoValueError("division by zero")
        if isinstance(a, Fraction) and isinstance(b, Fraction):
            return self._shortened(a / b)
        return self._call(libmp.mpf_div, a, b)

    def ipow(self, a: Number, exponent: int) -> Number:
        if exponent < 0 and _sign(a) == 0:
            raise _NoValueError("division by zero")
        if isinstance(a, Fraction) and _bits(a) * abs(exponent) <= self.exact_bits:
            return a**exponent
        return libmp.mpf_pow_int(self._raw(a), exponent, self.precision, "n")  # type: ignore[no-any-return]

    def rpow(self, a: Number, exponent: Fraction) -> Number:
        if _sign(a) < 0:
            raise _NoValueError("a fractional power of a negative number")
        if _sign(a) == 0:
            if exponent < 0:
                raise _NoValueError("division by zero")
            return Fraction(0)
        return self.sqrt(a) if exponent == Fraction(1, 2) else self.pow(a, exponent)

    def pow(self, a: Number, b: Number) -> Number:
        if _sign(a) <= 0:
            raise _NoValueError("a variable power of a number that is not positive")
        wide = _MpAlgebra(self.x, self.precision + 64)  # exp turns absolute into relative errors
        return self._shortened(wide.exp(wide.mul(b, wide.log(a))))

    # Functions

    def exp(self, a: Number) -> Number:
        return self._call(libmp.mpf_exp, self._limited(a, _EXP_MAGNITUDE, "exp"))

    def log(self, a: Number) -> Number:
        if _sign(a) <= 0:
            raise _NoValueError("log of zero" if _sign(a) == 0 else "log of a negative number")
        return self._call(libmp.mpf_log, a)

    def sqrt(self, a: Number) -> Number:
        if _sign(a) < 0:
            raise _NoValueError("square root of a negative number")
        return self._call(libmp.mpf_sqrt, a)

    def sin(self, a: Number) -> Number:
        return self._call(libmp.mpf_sin, self._limited(a, _TRIG_MAGNITUDE, "sin"))

    def cos(self, a: Number) -> Number:
        return self._call(libmp.mpf_cos, self._limited(a, _TRIG_MAGNITUDE, "cos"))

    def tan(self, a: Number) -> Number:
        return self._call(libmp.mpf_tan, self._limited(a, _TRIG_MAGNITUDE, "tan"))

    def sinh(self, a: Number) -> Number:
        return self._call(libmp.mpf_sinh, self._limited(a, _EXP_MAGNITUDE, "sinh"))

    def cosh(self, a: Number) -> Number:
        return self._call(libmp.mpf_cosh, self._limited(a, _EXP_MAGNITUDE, "cosh"))

    def tanh(self, a: Number) -> Number:
        return self._saturated(libmp.mpf_tanh, a)

    def atan(self, a: Number) -> Number:
        return self._call(libmp.mpf_atan, a)

    def erf(self, a: Number) -> Number:
        return self._saturated(libmp.mpf_erf, a)

    def sigmoid(self, a: Number) -> Number:
        if _sign(a) < 0:
            decay = self.exp(a)
            return self.div(decay, self.add(Fraction(1), decay))
        return self.div(Fraction(1), self.add(Fraction(1), self.exp(self.neg(a))))

    # Kinks and jumps

    def abs(self, a: Number) -> Number:
        return abs(a) if isinstance(a, Fraction) else libmp.mpf_abs(a)

    def min(self, a: Number, b: Number) -> Number:
        return a if self.less_equal(a, b) else b

    def max(self, a: Number, b: Number) -> Number:
        return b if self.less_equal(a, b) else a

    def sign(self, a: Number) -> Number:
        return Fraction(_sign(a))

    def floor(self, a: Number) -> Number:
        if isinstance(a, Fraction):
            return Fraction(a.numerator // a.denominator)
        return libmp.mpf_floor(a)  # type: ignore[no-any-return]

    def less(self, a: Number, b: Number) -> bool:
        return self._compare(a, b) < 0

    def less_equal(self, a: Number, b: Number) -> bool:
        return self._compare(a, b) <= 0

    def not_(self, c: bool) -> bool:
        return not c

    def and_(self, c: bool, d: bool) -> bool:
        return c and d

    def or_(self, c: bool, d: bool) -> bool:
        return c or d

    def where(self, c: bool, a: Any, b: Any) -> Any:
        return a if c else b

    # Helpers

    def _raw(self, a: Number) -> Raw:
        return _round(a, self.precision) if isinstance(a, Fraction) else a

    def _call(self, function: Callable[..., Any], *operands: Number) -> Raw:
        return function(*[self._raw(a) for a in operands], self.precision, "n")  # type: ignore[no-any-return]

    def _saturated(self, function: Callable[..., Any], a: Number) -> Number:
        """A function that differs from the sign of a by less than e^-|a|, which at 2^64 is far below any precision."""
        raw = self._raw(a)
        return Fraction(_sign(a)) if raw[2] + raw[3] > 64 else self._call(function, raw)

    def _shortened(self, a: Number) -> Number:
        if isinstance(a, Fraction) and _bits(a) <= self.exact_bits:
            return a
        return _round(a, self.precision)

    def _compare(self, a: Number, b: Number) -> int:
        if isinstance(a, Fraction) and isinstance(b, Fraction):
            return (a > b) - (a < b)
        return int(libmp.mpf_cmp(self._raw(a), self._raw(b)))

    def _limited(self, a: Number, magnitude: int, name: str) -> Raw:
        """Return a as a raw number below 2**magnitude with an absolute, not only relative, error of the precision."""
        if isinstance(a, Fraction):
            size = a.numerator.bit_length() - a.denominator.bit_length()
            a = _round(a, self.precision + min(max(size, 0), magnitude))
        if a[2] + a[3] <= magnitude:
            return a
        if name == "exp" and a[0]:
            return libmp.from_man_exp(-1, magnitude)  # type: ignore[no-any-return]
        raise _NoValueError(f"{name} of a number too large to compute")


def _sign(a: Number) -> int:
    return (a > 0) - (a < 0) if isinstance(a, Fraction) else int(libmp.mpf_sign(a))


def _bits(a: Fraction) -> int:
    return max(a.numerator.bit_length(), a.denominator.bit_length())


# --------------------------------------------------------------------------------------------------------------------
# float64


class _FloatAlgebra:
    """numpy arithmetic over points; conditions are 1.0, 0.0 or NaN so that undefined operands are not lost."""

    def __init__(self, x: FloatArray) -> None:
        self.x = np.ascontiguousarray(x.T)

    add = staticmethod(np.add)
    sub = staticmethod(np.subtract)
    mul = staticmethod(np.multiply)
    neg = staticmethod(np.negative)
    sin = staticmethod(np.sin)
    cos = staticmethod(np.cos)
    tan = staticmethod(np.tan)
    exp = staticmethod(np.exp)
    sqrt = staticmethod(np.sqrt)
    abs = staticmethod(np.abs)
    tanh = staticmethod(np.tanh)
    atan = staticmethod(np.arctan)
    sinh = staticmethod(np.sinh)
    cosh = staticmethod(np.cosh)
    erf = staticmethod(erf_array)
    sign = staticmethod(np.sign)
    floor = staticmethod(np.floor)
    min = staticmethod(np.minimum)
    max = staticmethod(np.maximum)
    and_ = staticmethod(np.minimum)
    or_ = staticmethod(np.maximum)

    def const(self, value: Fraction) -> Any:
        return float_nearest([value])[0]

    def var(self, index: int) -> FloatArray:
        column: FloatArray = self.x[index]
        return column

    def pi(self) -> Any:
        return np.float64(np.pi)

    def e(self) -> Any:
        return np.float64(np.e)

    def div(self, a: Any, b: Any) -> Any:
        return np.where(b == 0, np.nan, a / b)

    def log(self, a: Any) -> Any:
        return np.where(a > 0, np.log(a), np.nan)

    def sigmoid(self, a: Any) -> Any:
        return 1 / (1 + np.exp(-a))

    def ipow(self, a: Any, exponent: int) -> Any:
        if exponent > 0:
            return a**exponent
        keep = ~np.isnan(a) if exponent == 0 else a != 0
        return np.where(keep, a ** float(exponent), np.nan)

    def rpow(self, a: Any, exponent: Fraction) -> Any:
        return np.where((a > 0) | ((a == 0) & (exponent > 0)), np.power(a, float_nearest([exponent])[0]), np.nan)

    def pow(self, a: Any, b: Any) -> Any:
        return np.where((a > 0) & ~np.isnan(b), np.power(a, b), np.nan)

    def less(self, a: Any, b: Any) -> Any:
        return np.where(np.isnan(a) | np.isnan(b), np.nan, a < b)

    def less_equal(self, a: Any, b: Any) -> Any:
        return np.where(np.isnan(a) | np.isnan(b), np.nan, a <= b)

    def not_(self, c: Any) -> Any:
        return 1 - c

    def where(self, c: Any, a: Any, b: Any) -> Any:
        return np.where(c == 1, a, np.where(c == 0, b, np.nan))
