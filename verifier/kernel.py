"""The trusted base: re-proves the claim of an attncert certificate, or rejects the file with a reason.

    python kernel.py FILE...

One line a file: `proved`, `refuted` or `rejected`. Exit 0 if every file is proved, 1 if one is refuted or rejected, 2
for usage errors and unreadable files. The format and the rules of proof are those of docs/certificate-format.md.

Nothing in the file is trusted. Every decision is made on integers: exact rationals, and intervals whose ends are
integers in units of 2^-P ("P fractional bits"). Read from the top: limits and errors; integers and intervals;
elementary functions; interval arithmetic; exact numbers; expressions; Taylor models; the certificate; the reduction of
the attention to scores and values; the walk down a split tree; the paving, integral and layers proofs; the partition;
the proof by enlarged regions; the counterexample; the door.
"""

import gzip
import hashlib
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial, reduce
from io import BytesIO
from itertools import combinations_with_replacement, compress
from math import comb, factorial, gcd, isqrt, lcm, prod
from operator import add, mul, neg, sub, truediv
from os import PathLike
from typing import Any, NamedTuple, TypeVar

Item = TypeVar("Item")
Interval = tuple[int, int]  # (lo, hi): the reals from lo 2^-P to hi 2^-P
Side = tuple[Fraction, Fraction]  # lo <= hi: a side of the domain
Row = Fraction | list[Fraction]  # a row of a matrix; a single number fills the row
Share = tuple[int, int]  # (k, n): the share k = 0 .. n - 1 of the work on the trees
Spread = Callable[[Callable[[Share], Any], list[Share]], Iterable[Any]]  # as map: may have shares done elsewhere

# ---------------------------------------------------------------------------------------------------------------------
# Limits and errors


@dataclass(frozen=True)
class Limits:
    """What a certificate may ask for; beyond a limit it is rejected with the reason `limit`."""

    document: int = 1 << 30  # bytes, also after decompression
    number: int = 20_000  # characters of a number
    exponent: int = 50_000  # size of a written exponent
    size: int = 1 << 34  # bits of all numbers of the document together, and 64 for each stored entry of a matrix
    exact: int = 1_000_000  # bits of a numerator or denominator in the exact arithmetic
    side: int = 4_000_000  # rows or columns of a matrix, hence tokens
    inputs: int = 1024  # entries of the input
    target: int = 1_000_000  # characters of the target
    nesting: int = 300  # expressions of the target inside one another
    magnitude: int = 100_000  # values of the target stay below 2^magnitude
    power: int = 10_000_000  # bits of an integer power before it is rounded
    precision: int = 100_000  # fractional bits
    silence: int = 100_000  # the k of the silent tokens
    norm: int = 10_000  # the p of a norm
    nodes: int = 50_000_000  # nodes of all split trees together
    depth: int = 10_000  # splits of one axis above a node
    references: int = 9  # reference tokens that are tried for an inequality
    products: int = 500_000  # of the monomials of a Taylor model
    pairs: int = 200_000_000  # of a region and a token, and of facets where their volumes take it


class Rejected(Exception):
    """The certificate proves nothing. `reason` is a stable code, `detail` one line that names the offending object.

    malformed  not gzip, UTF-8 or JSON of the format         format       another version of the format
    digest     the statement is not the one that was sealed  target       the target does not parse
    shape      matrices, domain and target do not fit        unsupported  a claim, head or evidence of another kind
    claim      tolerance or bound out of range               domain       a side with lo > hi
    tree       not a split tree                              leaf         a leaf, or the sum of all, is not proved
    undefined  the target is not proved to be defined        point        not a counterexample
    evidence   there is none, or it leaves the claim open    limit        more than the limits allow
    region     not proved of a partition: argmax, cover, disjoint, radius or volume; or of an enlarged region its box
    """

    def __init__(self, reason: str, detail: str) -> None:
        """Keep the code and the line."""
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        """Join the two."""
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True)
class Finding:
    """What was established, once every obligation has been checked."""

    verdict: str  # "proved" or "refuted"
    statement_sha256: str
    claim: str  # one readable line
    bound: str | None  # the bound that was proved (of an indicator, the measure), or the tolerance that is exceeded
    obligations: (
        int  # inequalities checked: for a leaf two an entry of its column, or one of an indicator; faces of boxes
    )
    leaves: int  # of a partition, the regions
    tokens: int
    point: tuple[str, ...] | None = None
    entry: tuple[int, int] | None = None
    lower: str | None = None  # the lower bound of an L_p norm that was proved


def require(condition: bool, reason: str, detail: str) -> None:
    """Reject unless the condition holds."""
    if not condition:
        raise Rejected(reason, detail)


def printable(text: str, most: int = 80) -> str:
    """Render text on one line of ASCII, cut to a readable length."""
    line = json.dumps(text)[1:-1]
    return line if len(line) <= most else line[: most - 3] + "..."


def about(x: int, P: int) -> str:
    """Write x 2^-P for people, to nine places."""
    number = abs(x) * 10**9 >> P
    size = f"{number // 10**9}.{number % 10**9:09}" if number.bit_length() < 1000 else f"2^{x.bit_length() - P}"
    return f"-{size}" if x < 0 else size


# ---------------------------------------------------------------------------------------------------------------------
# Integers and intervals. Floor division and shifts to the right round down; negated before and after, they round up.


def outward(x: Interval, bits: int) -> Interval:
    """Drop fractional bits, the lower end rounded down and the upper end up."""
    return x[0] >> bits, -(-x[1] >> bits)


def neighbours(a: int, b: int) -> Interval:
    """Enclose a / b between neighbouring integers, which coincide when it is one."""
    return a // b, -(-a // b)


def enclose(value: Fraction, P: int) -> Interval:
    """Enclose a rational between neighbouring multiples of 2^-P."""
    return neighbours(value.numerator << P, value.denominator)


def scaled(x: Interval, top: int, bottom: int) -> Interval:
    """Enclose x top / bottom, where bottom > 0."""
    lo, hi = x if top >= 0 else x[::-1]
    return lo * top // bottom, -(-hi * top // bottom)


def plus(x: Interval, y: Interval) -> Interval:
    """Return x + y, exactly."""
    return x[0] + y[0], x[1] + y[1]


def minus(x: Interval, y: Interval) -> Interval:
    """Return x - y, exactly."""
    return x[0] - y[1], x[1] - y[0]


def times(x: Interval, y: Interval, P: int) -> Interval:
    """Enclose x y: it is linear in each factor, so its extremes are among the products of ends."""
    ends = (x[0] * y[0], x[0] * y[1], x[1] * y[0], x[1] * y[1])
    return outward((min(ends), max(ends)), P)


def divided(x: Interval, y: Interval, P: int) -> Interval:
    """Enclose x / y, rejected if y meets 0: monotone in each argument, so its extremes are at the ends."""
    require(not y[0] <= 0 <= y[1], "undefined", "the denominator of / may be 0")
    ends = [neighbours(a << P, b) for a in x for b in y]
    return min(lo for lo, _ in ends), max(hi for _, hi in ends)


# ---------------------------------------------------------------------------------------------------------------------
# Elementary functions at a point: the argument is exactly x 2^-P and the answer encloses the value. Each function works
# with W > P fractional bits and states its errors in units of 2^-W; W itself only decides how narrow the answer is.


def padded(bits: int) -> int:
    """Round a working precision up to a multiple of 64, so that the constants are needed at few precisions."""
    return bits + -bits % 64


def odd_series(y: int, W: int, sign: int) -> Interval:
    """Enclose the sum of sign^i y^(2i+1) / (2i+1), atanh y or atan y, for 0 <= y <= 1/3 with W fractional bits.

    The powers are short by less than 2 units, hence the terms by less than 3, and the rest after the one that rounds
    to 0 is geometric and less than 3.
    """
    power, square, total, j = y, y * y >> W, 0, 1
    while power:
        total += power // j if sign > 0 or j % 4 == 1 else -(power // j)
        power, j = power * square >> W, j + 2
    return total - 3 * j, total + 3 * j  # (j - 1) / 2 terms and the rest


@lru_cache(maxsize=256)
def constant(name: str, P: int) -> Interval:
    """Enclose pi = 16 atan(1/5) - 4 atan(1/239) or ln2 = 18 atanh(1/26) - 2 atanh(1/4801) + 8 atanh(1/8749).

    1/n is rounded down by less than a unit, which moves atan and atanh by less than 2.
    """
    sign, terms = (-1, [(16, 5), (-4, 239)]) if name == "pi" else (1, [(18, 26), (-2, 4801), (8, 8749)])
    guard, total = P.bit_length() + 16, (0, 0)
    for factor, n in terms:
        lo, hi = odd_series((1 << P + guard) // n, P + guard, sign)
        total = plus(total, scaled((lo, hi + 2), factor, 1))
    return outward(total, guard)


def exp_point(x: int, P: int) -> Interval:
    """Enclose e^x = 2^n (e^y)^(2^k), where y = (x - n ln 2) / 2^k, 0 <= y < 1/4, by the Taylor sum of e^y.

    y is off by at most `off` units, which moves e^y by at most 2 off; a term of the sum is short by less than 2 units,
    and so are all the terms after the one that rounds to 0. The squarings round outward.
    """
    if x == 0:
        return 1 << P, 1 << P
    if x >> P < -P:
        return 0, 1  # e^x < e^-P < 2^-P
    k = isqrt(P) // 2
    W = padded(P + max(0, (3 * x >> P + 1) + 2) + (x >> P).bit_length() + k + 16)  # 3/2 > 1/ln 2, so W > P + n
    low, high = constant("ln2", W)
    n, rest = divmod(x << W - P, low)
    y, off = rest >> k, (abs(n) * (high - low) >> k) + 2
    term = total = 1 << W
    j = 0
    while term:
        j += 1
        term = (term * y >> W) // j
        total += term
    lo, hi = total - 2 * off, total + 2 * off + 2 * j + 2
    for _ in range(k):
        lo, hi = lo * lo >> W, (hi * hi >> W) + 1
    return outward((lo, hi), W - P - n)


def log_point(x: int, P: int) -> Interval:
    """Enclose log x = s ln 2 + 2^(k+1) atanh((m - 1) / (m + 1)), where x = 2^s m^(2^k), 1 <= m^(2^k) < 2.

    A root halves the error and adds less than a unit, so m is short by less than 2 units, and so is the quotient,
    which moves atanh by less than 3.
    """
    if x == 1 << P:
        return 0, 0
    s = x.bit_length() - 1 - P
    k = isqrt(P) // 4
    W = padded(P + s.bit_length() + 2 * k + 16)
    one = 1 << W
    m = (x << W) >> s + P
    for _ in range(k):
        m = isqrt(m << W)
    lo, hi = odd_series((m - one << W) // (m + one), W, 1)
    low, high = sorted(s * end for end in constant("ln2", W))
    return outward((low + (lo << k + 1), high + (hi + 3 << k + 1)), W - P)


def atan_point(x: int, P: int) -> Interval:
    """Enclose atan x = 2^k atan y for x >= 0, halving the angle k times by y -> y / (1 + sqrt(1 + y^2)), so y < 1/4.

    A halving halves the error and adds less than a unit, so y is off by less than 2, and so is atan y.
    """
    if x == 0:
        return 0, 0
    k = isqrt(P) // 4 + 3
    W = padded(P + 2 * k + 16)
    y = x << W - P
    for _ in range(k):
        y = (y << W) // ((1 << W) + isqrt((1 << 2 * W) + y * y))
    lo, hi = odd_series(y, W, -1)
    return outward((lo - 2 << k, hi + 2 << k), W - P)


def sqrt_point(x: int, P: int) -> Interval:
    """Enclose the root of x >= 0: the integer root rounds down, and is exact when its square gives x back."""
    root = isqrt(x << P)
    return root, root if root * root == x << P else root + 1


@lru_cache(maxsize=1 << 14)
def quadrant(x: int, P: int) -> int:
    """Return floor(x / (pi/2)) exactly: x / (pi/2) lies between the two quotients, so equal floors are its floor.

    They agree at some precision, because pi is irrational and so x / (pi/2) is no integer unless x = 0.
    """
    W = padded(max(P, x.bit_length()) + 16)
    while True:
        floors = [(x << W - P + 1) // pi for pi in constant("pi", W)]
        if floors[0] == floors[1]:
            return floors[0]
        W *= 2


@lru_cache(maxsize=1 << 14)
def sine_point(x: int, P: int, turn: int) -> Interval:
    """Enclose sin(x + turn pi/2) for turn 0 or 1, by the Taylor sum of sin or cos at r = x - n pi/2 in [0, pi/2].

    r is off by at most `off` units and so is its sine; a term is off by less than 4 units, and the rest of an
    alternating sum is less than the first term left out, the one that rounds to 0.
    """
    if x == 0:
        return (1 << P, 1 << P) if turn else (0, 0)
    n = quadrant(x, P)
    W = padded(max(P, x.bit_length()) + P.bit_length() + 16)
    low, high = constant("pi", W)
    r, off = max(0, (x << W - P) - (n * low >> 1)), abs(n) * (high - low) + 1
    phase = (n + turn) % 4  # 0: sin r, 1: cos r, 2: -sin r, 3: -cos r
    term, j = (1 << W, 0) if phase % 2 else (r, 1)
    square, total, sign = r * r >> W, 0, 1 if phase < 2 else -1
    while term:
        total += sign * term
        term, j, sign = (term * square >> W) // ((j + 1) * (j + 2)), j + 2, -sign
    error = off + 2 * j + 4  # j // 2 terms and the rest
    lo, hi = outward((total - error, total + error), W - P)
    return max(lo, -1 << P), min(hi, 1 << P)


def erf_point(x: int, P: int) -> Interval:
    """Enclose erf x = 2/sqrt(pi) e^(-x^2) S for x >= 0, where S sums 2^i x^(2i+1) / (1 3 5 ... (2i+1)).

    All terms are positive, so rounding each down (up) bounds S from below (above). Where the ratio of terms is at most
    1/2, the rest is at most the last term. From x^2 = 0.7 P on, 0 < 1 - erf x <= e^(-x^2) < 2^-P.
    """
    square = x * x  # with 2P fractional bits
    if 10 * square >= 7 * P << 2 * P:
        return (1 << P) - 1, 1 << P
    W = 2 * P + P // 32 + 32  # S < e^(x^2) < 2^(1.01 P)
    low = high = below = above = x << W - P
    j = 1
    while high > 1 or 4 * square > j + 2 << 2 * P:
        j += 2
        low, high = (low * square >> 2 * P - 1) // j, -((-high * square >> 2 * P - 1) // j)
        below, above = below + low, above + high
    small, large = exp_point(-square << W - 2 * P, W)
    pi = constant("pi", W)
    lo, hi = 2 * below * small // (isqrt(pi[1] << W) + 1), -(-2 * (above + high) * large // isqrt(pi[0] << W))
    return lo >> W - P, min(-(-hi >> W - P), 1 << P)


def sigmoid_wide(x: int, W: int) -> Interval:
    """Enclose 1 / (1 + e^-x), or 1 less the value at -x for a negative x, so that no exponential is large."""
    one = (1 << W, 1 << W)
    value = divided(one, plus(one, exp_point(-abs(x), W)), W)
    return value if x >= 0 else minus(one, value)


def tan_wide(x: int, W: int) -> Interval | None:
    """Enclose sin x / cos x, unless more bits are needed to see that cos x is not 0: its zeros are irrational."""
    sin, cos = sine_point(x, W, 0), sine_point(x, W, 1)
    return None if cos[0] <= 0 <= cos[1] else divided(sin, cos, W)


def power_wide(b: Fraction, x: int, W: int) -> Interval:
    """Enclose x^b = exp(b log x) for x > 0, and 0^b = 0 for b > 0; exp increases."""
    if x == 0:
        return 0, 0
    lo, hi = scaled(log_point(x, W), b.numerator, b.denominator)
    return exp_point(lo, W)[0], exp_point(hi, W)[1]


def refined(function: Callable[[int, int], Interval | None], x: int, P: int) -> Interval:
    """Enclose a function by its enclosure with more fractional bits, until the answer is narrow."""
    W = P + 16
    while True:
        wide = function(x << W - P, W)
        if wide is not None:
            lo, hi = outward(wide, W - P)
            if hi - lo <= 2:
                return lo, hi
        W *= 2


POINT: dict[str, Callable[[int, int], Interval]] = {
    "exp": exp_point,
    "log": log_point,
    "sqrt": sqrt_point,
    "atan": lambda x, P: atan_point(x, P) if x >= 0 else minus((0, 0), atan_point(-x, P)),
    "erf": lambda x, P: erf_point(x, P) if x >= 0 else minus((0, 0), erf_point(-x, P)),
    "tan": partial(refined, tan_wide),
    "sigmoid": partial(refined, sigmoid_wide),
    "tanh": partial(refined, lambda x, W: minus(sigmoid_wide(2 * x, W), sigmoid_wide(-2 * x, W))),
    "sinh": partial(refined, lambda x, W: outward(minus(exp_point(x, W), exp_point(-x, W)), 1)),
    "cosh": partial(refined, lambda x, W: outward(plus(exp_point(x, W), exp_point(-x, W)), 1)),
}


@lru_cache(maxsize=1 << 14)
def point(name: str | Fraction, x: int, P: int) -> Interval:
    """Enclose a function, or a power with a rational exponent that is no integer, at x 2^-P; remembered."""
    return refined(partial(power_wide, name), x, P) if isinstance(name, Fraction) else POINT[name](x, P)


# ---------------------------------------------------------------------------------------------------------------------
# Exact numbers

NUMBER = re.compile(
    r"(-?)(?:0x([0-9a-fA-F]+)(?:\.([0-9a-fA-F]+))?p([+-]?[0-9]+)"
    r"|([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?|([0-9]+)/([0-9]+))"
)


def integer(digits: str) -> int:
    """Read decimal digits in pieces, because Python refuses to convert long strings."""
    value = 0
    for start in range(0, len(digits), 600):
        piece = digits[start : start + 600]
        value = value * 10 ** len(piece) + int(piece)
    return value


def rational(text: str, where: str, limits: Limits) -> Fraction:
    """Return the rational that a number spells: hexadecimal, decimal or a ratio."""
    require(len(text) <= limits.number, "limit", f"{where}: number of {len(text)} characters")
    match = NUMBER.fullmatch(text)
    if match is None:
        raise Rejected("malformed", f"{where}: no exact number: {printable(text)}")
    sign, hex_whole, hex_part, hex_exponent, whole, part, exponent, top, bottom = match.groups(default="")
    if bottom:
        require(bottom.strip("0") != "", "malformed", f"{where}: denominator 0")
        value = Fraction(integer(top), integer(bottom))
    else:
        written = (hex_exponent or exponent).lstrip("+")
        size = integer(written.lstrip("-"))
        require(size <= limits.exponent, "limit", f"{where}: an exponent is too large")
        base, digits = (2, int(hex_whole + hex_part, 16)) if hex_whole else (10, integer(whole + part))
        shift = (-size if written.startswith("-") else size) - 4 * len(hex_part) - len(part)
        value = Fraction(digits * base**shift) if shift >= 0 else Fraction(digits, base**-shift)
    return -value if sign else value


# ---------------------------------------------------------------------------------------------------------------------
# Interval arithmetic: each operation returns its exact range over the operands, rounded outward to P fractional bits.
# A condition is an interval of the integers 0 and 1: (1, 1) is true on the whole box, (0, 0) false, (0, 1) undecided.


def absolute(x: Interval) -> Interval:
    """Return |x|, whose least value is 0 when x meets 0."""
    lo, hi = x
    return (lo, hi) if lo >= 0 else (-hi, -lo) if hi <= 0 else (0, max(-lo, hi))


class Arithmetic:
    """The operations of the target language on intervals with P fractional bits."""

    def __init__(self, P: int, limits: Limits) -> None:
        """Fix the precision, and name the operations as the parser does."""
        self.P, self.limits = P, limits
        self.operations: dict[str, Callable[..., Interval]] = {
            **{name: partial(self.increasing, name) for name in POINT},
            "cosh": lambda x: self.increasing("cosh", absolute(x)),  # even, and increases with |x|
            "sin": partial(self.wave, 0),
            "cos": partial(self.wave, 1),
            "+": plus,
            "-": minus,
            "neg": partial(minus, (0, 0)),
            "*": lambda x, y: times(x, y, P),
            "/": lambda x, y: divided(x, y, P),
            "abs": absolute,
            "sign": lambda x: (((x[0] > 0) - (x[0] < 0)) << P, ((x[1] > 0) - (x[1] < 0)) << P),
            "floor": lambda x: (x[0] >> P << P, x[1] >> P << P),
            "min": lambda *xs: (min(lo for lo, _ in xs), min(hi for _, hi in xs)),
            "max": lambda *xs: (max(lo for lo, _ in xs), max(hi for _, hi in xs)),
            "pi": lambda: constant("pi", P),
            "e": lambda: exp_point(1 << P, P),
            "<": lambda x, y: (int(x[1] < y[0]), int(x[0] < y[1])),
            "<=": lambda x, y: (int(x[1] <= y[0]), int(x[0] <= y[1])),
            "not": partial(minus, (1, 1)),
            "and": lambda x, y: (x[0] & y[0], x[1] & y[1]),
            "or": lambda x, y: (x[0] | y[0], x[1] | y[1]),
            "where": lambda _, *taken: (min(lo for lo, _ in taken), max(hi for _, hi in taken)),
        }

    def increasing(self, name: str, x: Interval) -> Interval:
        """Enclose an increasing function by its values at the ends, where it is defined on all between."""
        lo, hi = x
        if name in ("log", "sqrt"):
            require(lo > 0 or (lo == 0 and name == "sqrt"), "undefined", f"the argument of {name} may be out of range")
        elif name == "tan":  # increasing between its poles, which are the odd multiples of pi/2
            multiples = range(quadrant(lo, self.P) + 1, quadrant(hi, self.P) + 1)
            require(not any(n % 2 for n in multiples[:2]), "undefined", "the argument of tan may be a pole")
        elif name in ("exp", "sinh", "cosh"):  # e^|x| < 2^(3/2 |x|)
            size = max(hi, -lo if name == "sinh" else 0)
            require(3 * size >> self.P + 1 < self.limits.magnitude, "limit", f"{name} grows too large")
        return point(name, lo, self.P)[0], point(name, hi, self.P)[1]

    def wave(self, turn: int, x: Interval) -> Interval:
        """Enclose sin(x + turn pi/2): by its ends, and by 1 or -1 where a crest or a trough n pi/2 lies in x."""
        first, last = quadrant(x[0], self.P) + 1, quadrant(x[1], self.P)  # the n with lo < n pi/2 <= hi
        inside = {(n + turn) % 4 for n in range(first, min(last, first + 3) + 1)}
        (a, b), (c, d) = sine_point(x[0], self.P, turn), sine_point(x[1], self.P, turn)
        return -1 << self.P if 3 in inside else min(a, c), 1 << self.P if 1 in inside else max(b, d)

    def power(self, b: Fraction, x: Interval) -> Interval:
        """Enclose x^b for a rational b: an even power is one of |x|; else it is monotone on each side of 0."""
        n, P = b.numerator, self.P
        bits = abs(b) * (P + max(end.bit_length() for end in x))
        if b.denominator == 1:
            require(n >= 0 or not x[0] <= 0 <= x[1], "undefined", "the base of a negative power may be 0")
            require(bits <= self.limits.power, "limit", "an integer power is too long")
            x = absolute(x) if n % 2 == 0 else x  # and its integer ends have exact powers, which are rounded once
            up = n > 0
            ends = [outward((y**n, y**n), P * (n - 1)) if up else neighbours(1 << P * (1 - n), y**-n) for y in x]
        else:
            require(x[0] > 0 or (x[0] == 0 and n > 0), "undefined", "the base of a power may be out of range")
            require(bits <= self.limits.magnitude, "limit", "a power is too long")
            ends = [point(b, end, P) for end in x]
        return min(lo for lo, _ in ends), max(hi for _, hi in ends)


# ---------------------------------------------------------------------------------------------------------------------
# Expressions: the target is parsed to a list of nodes, operands first and equal subexpressions once.

# How tightly binary operations bind. Those of one level group to the left, ** to the right; `not` comes between `and`
# and the comparisons, and a sign binds less tightly than **.
BINDING = {"or": 1, "and": 2, "<": 4, "<=": 4, ">": 4, ">=": 4, "+": 5, "-": 5, "*": 6, "/": 6, "**": 7}
NOT_OPERAND, SIGN_OPERAND = 4, 7
CONDITIONS = {"<", "<=", "and", "or", "not"}
ARITY = dict.fromkeys([*POINT, "sin", "cos", "abs", "sign", "floor"], 1) | {"where": 3, "min": 2, "max": 2}
EXACT: dict[str, Callable[..., Fraction]] = {"neg": neg, "+": add, "-": sub, "*": mul, "/": truediv}
TOKEN = re.compile(
    r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[A-Za-z_][A-Za-z_0-9]*|\*\*|[<>]=?|[-+*/()\[\],]"
)


class Node(NamedTuple):
    """An operation on earlier nodes; `value` is the number, the exponent of a power, or the entry of the input."""

    op: str
    args: tuple[int, ...]
    value: Fraction
    varies: bool  # with the input


class Target:
    """The nodes of a target, and for each of its entries the number of a node; or those of a condition on the input.

    It is read by precedence. A condition is an expression of another type, so that nothing needs a second try.
    """

    def __init__(self, text: str, inputs: dict[str, tuple[int, int]], limits: Limits, condition: bool = False) -> None:
        """Cut the text into tokens, the next one last in the list; read a number, '[' numbers ']' or '[' rows ']'."""
        require(len(text) <= limits.target, "limit", f"target of {len(text)} characters")
        self.inputs, self.limits, self.depth = inputs, limits, 0
        entries = [f"{name}[{i},{j}]" for name, (r, c) in inputs.items() for i in range(r) for j in range(c)]
        self.entries = {name: k for k, name in enumerate(entries)}
        if "X" in inputs:
            self.entries |= {f"x{k}": k for k in range(len(entries))} | ({"x": 0} if len(entries) == 1 else {})
        self.nodes: list[Node] = []
        self.known: dict[Node, int] = {}
        self.tokens: list[str] = []
        at = 0
        while at < len(text):
            match = TOKEN.match(text, at)
            require(match is not None or text[at] in " \t\r\n", "target", f"unexpected {printable(text[at])} at {at}")
            self.tokens += [match.group()] if match else []
            at = match.end() if match else at + 1
        self.tokens = ["", *reversed(self.tokens)]
        if condition:
            self.outputs = [[self.expression()]]
            require(self.nodes[self.outputs[0][0]].op in CONDITIONS, "target", f"{printable(text)} is no condition")
        elif self.tokens[-1] != "[":
            self.outputs = [[self.number()]]
        elif self.tokens[-2] != "[":
            self.outputs = [[entry] for entry in self.listed("[]", self.number)]
        else:
            self.outputs = self.listed("[]", lambda: self.listed("[]", self.number))
        require(self.tokens[-1] == "", "target", f"unexpected {printable(self.tokens[-1])}")
        require(len({len(row) for row in self.outputs}) == 1, "target", "rows of different lengths")

    def take(self, expected: str = "") -> str:
        """Step over the next token, which must be the expected one if any."""
        token = self.tokens[-1]
        require(token != "", "target", f"it ends before {expected or 'an expression'}")
        require(expected in ("", token), "target", f"{printable(token)} where {expected} belongs")
        return self.tokens.pop()

    def listed(self, brackets: str, item: Callable[[], Item]) -> list[Item]:
        """Read item (',' item)* in brackets."""
        self.take(brackets[0])
        items = [item()]
        while self.tokens[-1] == ",":
            self.take()
            items.append(item())
        self.take(brackets[1])
        return items

    def number(self) -> int:
        """Read an expression that is no condition."""
        index = self.expression()
        require(self.nodes[index].op not in CONDITIONS, "target", "a condition is no value")
        return index

    def expression(self, binding: int = 0) -> int:
        """Read operand (operation operand)* for the operations that bind at least as tightly as asked."""
        self.depth += 1
        require(self.depth <= self.limits.nesting, "limit", "the target is nested too deeply")
        left = self.operand()
        middle = None  # the operand b of a < b < c, which means a < b and b < c
        while BINDING.get(self.tokens[-1], -1) >= binding:
            op = self.take()
            right = self.expression(BINDING[op] + (op != "**"))
            if op[0] in "<>":
                ends = (left if middle is None else middle, right)
                link = self.node(op.replace(">", "<"), *(ends if op[0] == "<" else ends[::-1]))
                left, middle = link if middle is None else self.node("and", left, link), right
            else:
                left = self.power(left, right) if op == "**" else self.node(op, left, right)
        self.depth -= 1
        return left

    def operand(self) -> int:
        """Read 'not', a sign, parentheses, a number, a constant, a call or a variable."""
        token = self.take()
        if token == "not":
            return self.node("not", self.expression(NOT_OPERAND))
        if token in ("+", "-"):
            index = self.node("neg", self.expression(SIGN_OPERAND))
            return index if token == "-" else self.node("neg", index)
        if token == "(":
            index = self.expression()
            self.take(")")
            return index
        if token[0] in ".0123456789":  # 1. and .5 are spelled 01.0 and 0.50
            mantissa, e, exponent = token.lower().partition("e")
            spelled = f"0{mantissa}{'0' if '.' in mantissa else ''}{e}{exponent}"
            return self.node("number", value=rational(spelled, "statement.target", self.limits))
        if token in ("pi", "e"):
            return self.node(token)
        if token not in ARITY:
            return self.variable(token)
        args = self.listed("()", self.expression)
        fits = len(args) == ARITY[token] or (token in ("min", "max") and len(args) > 2)
        require(fits, "target", f"{token} of {len(args)} arguments")
        return self.node(token, *args)

    def variable(self, name: str) -> int:
        """Read x, xK or X[i,j], in cross-attention K[i,j] or Q[i,j]: an entry of the inputs, numbered row by row."""
        if name in self.inputs:
            name = f"{name}[{','.join(self.listed('[]', self.take))}]"
        known = re.fullmatch(r"[XKQ]\[[0-9]+,[0-9]+\]|x[0-9]*", name) and (name[0] != "x" or "X" in self.inputs)
        require(bool(known), "target", f"unknown name {printable(name)}")
        entry = self.entries.get(re.sub("0*([0-9]+)", r"\1", name))
        if entry is None:
            raise Rejected("shape", f"statement.target: {printable(name)} for inputs of shape {self.inputs}")
        return self.node("input", value=Fraction(entry))

    def power(self, base: int, exponent: int) -> int:
        """Make the node of a ** b: a power for a literal b, and exp(b log a) otherwise."""
        a, b = self.nodes[base], self.nodes[exponent]
        if b.op != "number":
            return self.node("exp", self.node("*", exponent, self.node("log", base)))
        n = b.value.numerator
        if a.op != "number" or b.value.denominator != 1 or abs(n) > 10000 or (n < 0 and a.value == 0):
            return self.node("power", base, value=b.value)
        size = max(a.value.numerator.bit_length(), a.value.denominator.bit_length())
        require(size * abs(n) <= self.limits.exact, "limit", "a literal of the target is too long")
        return self.node("number", value=a.value**n)

    def node(self, op: str, *args: int, value: Fraction = Fraction(0)) -> int:
        """Return the number of a node, always the same for the same node; the operands must be of the right types.

        Literals, which are made of numbers alone, are evaluated exactly, so that each is one node.
        """
        operands = [self.nodes[arg] for arg in args]
        wanted = [op in ("and", "or", "not") or (op == "where" and n == 0) for n in range(len(args))]
        fits = wanted == [operand.op in CONDITIONS for operand in operands]
        require(fits, "target", f"a condition where a number belongs, or a number for a condition, in {op}")
        literal = op in EXACT and all(operand.op == "number" for operand in operands)
        if literal and not (op == "/" and operands[1].value == 0):
            op, args, value = "number", (), EXACT[op](*[operand.value for operand in operands])
        size = max(value.numerator.bit_length(), value.denominator.bit_length())
        require(size <= self.limits.exact, "limit", "a literal of the target is too long")
        key = Node(op, args, value, op == "input" or any(operand.varies for operand in operands))
        if key not in self.known:
            self.known[key] = len(self.nodes)
            self.nodes.append(key)
        return self.known[key]


class Evaluator(Arithmetic):
    """Encloses the nodes of a target over boxes of the input, in order; those that do not vary only once."""

    def __init__(self, target: Target, P: int, limits: Limits) -> None:
        """Pair the nodes with their operations; an input has none."""
        super().__init__(P, limits)
        self.target, self.large = target, 1 << P + limits.magnitude
        self.steps = []
        for op, args, value, varies in target.nodes:
            valued = {"number": partial(enclose, value, P), "power": partial(self.power, value)}
            self.steps.append((op, args, int(value), varies, valued.get(op, self.operations.get(op))))
        self.values: list[Any] = [None] * len(self.steps)  # None: not proved to be defined on the box
        self.failures: dict[int, Rejected] = {}  # why not

    def enclosures(self, box: Sequence[Any], outputs: Sequence[int]) -> list[Any]:
        """Enclose some nodes over a box, or reject one that is not proved to be defined."""
        self.run(box)
        return [self.value(output) for output in outputs]

    def value(self, index: int) -> Any:
        """Return the enclosure of a node over the box of the last run, or reject it."""
        value = self.values[index]
        if value is None:
            raise self.failures[index]
        return value

    def run(self, box: Sequence[Any]) -> None:
        """Enclose all nodes over a box."""
        values = self.values
        for index, (op, args, entry, varies, operation) in enumerate(self.steps):
            if operation is None:
                values[index] = box[entry]
                continue
            if not varies and values[index] is not None:
                continue
            if op == "where" and values[args[0]] in ((0, 0), (1, 1)):  # only the branch taken needs to be defined
                args = (args[0], args[1] if values[args[0]] == (1, 1) else args[2])
            operands = [values[arg] for arg in args]
            try:
                if None in operands:
                    raise self.failures[args[operands.index(None)]]
                values[index] = operation(*operands)
                lo, hi = values[index][:2]
                require(-self.large < lo and hi < self.large, "limit", "a value of the target grows too large")
            except Rejected as failure:
                values[index], self.failures[index] = None, failure


# ---------------------------------------------------------------------------------------------------------------------
# Taylor series of functions g at a point F of a range [lo, hi], in units of 2^-P: for k = 0 .. K an enclosure of the
# coefficient g_k, given as an interval and the top and bottom of a factor; and c, m such that for all x in the range
# |g(x) - sum of g_k (x - F)^k| <= c (|x - F| / m)^(K+1).

Series = tuple[list[tuple[Interval, int, int]], int, int]


def exp_series(F: int, lo: int, hi: int, P: int, K: int) -> Series:
    """Expand e^x: every derivative is e^x, at most e^hi."""
    value, top = point("exp", F, P), point("exp", hi, P)[1]
    return [(value, 1, factorial(k) << P * k) for k in range(K + 1)], -(-top // factorial(K + 1)), 1 << P


def wave_series(turn: int, F: int, lo: int, hi: int, P: int, K: int) -> Series:
    """Expand sin(x + turn pi/2): its derivatives are sin, cos, -sin, -cos, at most 1 in size."""
    sin, cos = sine_point(F, P, 0), sine_point(F, P, 1)
    cycle = [sin, cos, minus((0, 0), sin), minus((0, 0), cos)]
    terms = [(cycle[(k + turn) % 4], 1, factorial(k) << P * k) for k in range(K + 1)]
    return terms, -(-(1 << P) // factorial(K + 1)), 1 << P


def log_series(F: int, lo: int, hi: int, P: int, K: int) -> Series:
    """Expand log x = log F + log(1 + t), t = (x - F) / F: the rest is the integral of +-s^K / (1 + s) from 0 to t.

    1 + s is at least lo / F, so that the rest is at most (F / lo) |t|^(K+1) / (K+1).
    """
    terms = [((1 << P, 1 << P), (-1) ** (k + 1), k * F**k) for k in range(1, K + 1)]
    return [(point("log", F, P), 1, 1), *terms], -(-(F << P) // ((K + 1) * lo)), F


def reciprocal_series(F: int, lo: int, hi: int, P: int, K: int) -> Series:
    """Expand 1/x for x > 0: with t = (x - F) / F, 1/x - (1 - t + ... +- t^K) / F = +-t^(K+1) / x, and x >= lo."""
    terms = [((1 << P, 1 << P), (-1) ** k << P, F ** (k + 1)) for k in range(K + 1)]
    return terms, -(-(1 << 2 * P) // lo), F


def power_series(b: Fraction, F: int, lo: int, hi: int, P: int, K: int) -> Series:
    """Expand x^b for x > 0: g_k = binom(b, k) F^(b-k), and the rest is binom(b, K+1) y^(b-K-1) (x - F)^(K+1).

    y lies in the range, and y^(b-K-1) is monotone, so that its greatest value is at an end.
    """
    require(lo > 0 and b.denominator.bit_length() <= P, "undefined", "no series of the power")
    value, binomials = point(b, F, P), [Fraction(1)]
    for k in range(K + 1):
        binomials.append(binomials[-1] * (b - k) * Fraction(1, k + 1))
    *factors, last = binomials
    end = lo if b < K + 1 else hi
    terms = [(value, c.numerator, c.denominator * F**k) for k, c in enumerate(factors)]
    return terms, scaled(point(b, end, P), abs(last.numerator), last.denominator)[1], end


def atan_series(F: int, lo: int, hi: int, P: int, K: int) -> Series:
    """Expand atan x: g_k = q_(k-1) / k, where the q_j are those of 1 / (1 + x^2) = Im 1 / (x - i).

    So |q_j| <= |x - i|^-(j+1), greatest at the x nearest to 0. With D = 1 + F^2, q_j = a_j / D^(j+1), where a_0 = 1,
    a_1 = -2 F and a_j = -2 F a_(j-1) - D a_(j-2).
    """
    D, a, near = (1 << 2 * P) + F * F, [1, -2 * F], max(lo, -hi, 0)
    for _ in range(2, K):
        a.append(-2 * F * a[-1] - D * a[-2])
    terms = [((1 << P, 1 << P), a[k - 1] << P, k * D**k) for k in range(1, K + 1)]
    return [(point("atan", F, P), 1, 1), *terms], -(-(1 << P) // (K + 1)), isqrt((1 << 2 * P) + near * near)


def erf_series(F: int, lo: int, hi: int, P: int, K: int) -> Series:
    """Expand erf x: g_k = w H_(k-1) / k! with w = 2/sqrt(pi) e^(-F^2) and the Hermite polynomials H_j at -F.

    H_0 = 1, H_j(-F) = -2F H_(j-1) - 2(j-1) H_(j-2); by Cramer 2/sqrt(pi) |H_j(x)| e^(-x^2) <= 1.2260 sqrt(2^j j!).
    """
    H = [1, -2 * F]
    for j in range(2, K):
        H.append(-2 * F * H[-1] - (2 * (j - 1) * H[-2] << 2 * P))
    low, high = constant("pi", 2 * P)
    w = divided(exp_point(-F * F, 2 * P), (isqrt(low << 2 * P), isqrt(high << 2 * P) + 1), 2 * P)
    terms = [(w, 2 * H[k - 1], factorial(k) << P * 2 * k) for k in range(1, K + 1)]
    most = isqrt((12260**2 << K + 2 * P) // (10**8 * factorial(K) * (K + 1) ** 2)) + 1
    return [(point("erf", F, P), 1, 1), *terms], most, 1 << P


SERIES: dict[str, Callable[[int, int, int, int, int], Series]] = {
    "exp": exp_series,
    "sin": partial(wave_series, 0),
    "cos": partial(wave_series, 1),
    "log": log_series,
    "sqrt": partial(power_series, Fraction(1, 2)),
    "atan": atan_series,
    "erf": erf_series,
}


# ---------------------------------------------------------------------------------------------------------------------
# Taylor models: a function f on a box c + r u, u in [-1, 1]^m, as a polynomial in u of degree K and what it may miss


class Monomials(NamedTuple):
    """The monomials of degree at most K, each the tuple of its axes, in order of degree; coefficients lie in lists."""

    axes: list[tuple[int, ...]]
    degrees: list[slice]  # where those of each degree lie
    products: list[list[int]]  # for each the products with the others, from the first, up to degree K
    squares: list[tuple[int, int]]  # for each axis its monomials of degree 1 and 2 (the latter 0 if K = 1)
    even: list[int]  # the others but the constant, those without an odd exponent
    odd: list[int]
    factorials: list[int]  # the product of those of the exponents

    def least(self, coefs: list[int]) -> int:
        """Bound a polynomial on [-1, 1]^m from below, a term at a time, but a u + b u^2 of an axis by its minimum.

        That is -a^2 / 4b if the vertex -a / 2b lies inside and b > 0, and otherwise b - |a|, at an end.
        """
        total = coefs[0] + sum(min(0, coefs[n]) for n in self.even) - sum(abs(coefs[n]) for n in self.odd)
        for first, second in self.squares:
            a, b = abs(coefs[first]), coefs[second] if second else 0
            total += -a * a // (4 * b) if a < 2 * b else b - a
        return total


@lru_cache(maxsize=64)
def monomials(m: int, K: int) -> Monomials:
    """List the monomials of degree at most K in m variables."""
    axes = [each for degree in range(K + 1) for each in combinations_with_replacement(range(m), degree)]
    index = {each: n for n, each in enumerate(axes)}
    ends = [0] + [comb(m + degree, degree) for degree in range(K + 1)]
    products = [[index[tuple(sorted(x + y))] for y in axes[: ends[K + 1 - len(x)]]] for x in axes]
    squares = [(index[(k,)], index.get((k, k), 0)) for k in range(m)]
    others = [n for n in range(1, len(axes)) if len(axes[n]) > 2 or len(set(axes[n])) == 2]
    even = [n for n in others if all(axes[n].count(k) % 2 == 0 for k in axes[n])]
    degrees = [slice(ends[degree], ends[degree + 1]) for degree in range(K + 1)]
    factorials = [prod(factorial(each.count(k)) for k in {*each}) for each in axes]
    return Monomials(axes, degrees, products, squares, even, sorted({*others} - {*even}), factorials)


class Model(NamedTuple):
    """On the box f lies in [low, high], and |f - sum of coefs u^a| <= rest."""

    low: int
    high: int
    coefs: list[int]
    rest: int


class Modeller(Evaluator):
    """Makes Taylor models of degree K of the nodes of a target; conditions have intervals, as before.

    Each operation is done on the ranges too, by intervals. The model of an operation without a rule for models is the
    constant that encloses this, and so is one with a rule that does not apply. `free` are the entries that vary.
    """

    def __init__(self, target: Target, free: list[int], K: int, P: int, limits: Limits) -> None:
        """Pair the operations on intervals with the rules for models."""
        super().__init__(target, P, limits)
        require(comb(2 * len(free) + K, K) <= limits.products, "limit", "a Taylor model of too many terms")
        self.free, self.K, self.table = free, K, monomials(len(free), K)
        call, one, two = self.call, self.constant((1 << P, 1 << P)), self.constant((2 << P, 2 << P))
        self.rules: dict[str, Callable[..., Model]] = {
            **{name: partial(self.composed, series) for name, series in SERIES.items()},
            "+": partial(self.combined, add),
            "-": partial(self.combined, sub),
            "neg": lambda x: self.combined(sub, self.constant((0, 0)), x),
            "*": self.multiplied,
            "/": lambda x, y: self.multiplied(x, self.reciprocal(y)),
            "abs": lambda x: self.extreme("max", x, call("neg", x)),
            "min": partial(self.extreme, "min"),
            "max": partial(self.extreme, "max"),
            "tan": lambda x: call("/", call("sin", x), call("cos", x)),
            "sigmoid": self.sigmoid,
            "tanh": lambda x: call("-", call("*", two, call("sigmoid", call("*", two, x))), one),
            "sinh": lambda x: call("/", call("-", call("exp", x), call("exp", call("neg", x))), two),
            "cosh": lambda x: call("/", call("+", call("exp", x), call("exp", call("neg", x))), two),
        }
        for n, (op, args, entry, varies, operation) in enumerate(self.steps):
            rule = partial(self.powers, target.nodes[n].value) if op == "power" else self.rules.get(op)
            if operation is not None:
                self.steps[n] = op, args, entry, varies, partial(self.node, op, operation, rule)

    def inputs(self, box: Sequence[Interval]) -> list[Model]:
        """Return the models of the entries of the input: x = (lo + hi) / 2 + u (hi - lo) / 2, both perhaps halves."""
        models = [self.constant(side) for side in box]
        for k, (first, _) in zip(self.free, self.table.squares, strict=True):
            lo, hi = box[k]
            coefs = models[k].coefs
            coefs[0], coefs[first] = lo + hi >> 1, hi - lo >> 1
            models[k] = Model(lo, hi, coefs, lo + hi & 1)
        return models

    def place(self, axis: int) -> int:
        """Return the place of the monomial u_k of a free entry."""
        return self.table.squares[self.free.index(axis)][0]

    def constant(self, x: Interval) -> Model:
        """Return the constant in the middle of an interval."""
        middle = x[0] + x[1] >> 1
        return Model(x[0], x[1], [middle] + [0] * (len(self.table.axes) - 1), x[1] - middle)

    def bounded(self, coefs: list[int], rest: int) -> Model:
        """Complete a model by its range: u^a lies in [-1, 1]."""
        radius = sum(map(abs, coefs)) - abs(coefs[0]) + rest
        require(abs(coefs[0]) + radius < self.large, "limit", "a Taylor model grows too large")
        return Model(coefs[0] - radius, coefs[0] + radius, coefs, rest)

    def call(self, op: str, *operands: Model) -> Model:
        """Apply an operation of the target language."""
        model: Model = self.node(op, self.operations[op], self.rules.get(op), *operands)
        return model

    def node(self, op: str, operation: Callable[..., Interval], rule: Any, *operands: Any) -> Any:
        """Apply an operation to ranges, and a rule to models; the range remains where that says no more, or nothing."""
        x = operation(*[operand[:2] for operand in operands])
        if op in CONDITIONS:
            return operation(self.call("-", *operands)[:2], (0, 0)) if op[0] == "<" and x == (0, 1) else x
        if op == "where" and len(operands) == 2:
            return operands[1]
        if rule is None or not any(any(operand.coefs[1:]) for operand in operands):
            return self.constant(x)
        try:
            low, high, coefs, rest = rule(*operands)
        except Rejected:
            return self.constant(x)
        return Model(max(low, x[0]), min(high, x[1]), coefs, rest) if 2 * rest < x[1] - x[0] else self.constant(x)

    def combined(self, operation: Callable[[int, int], int], x: Model, y: Model) -> Model:
        """Return x + y or x - y."""
        return self.bounded(list(map(operation, x.coefs, y.coefs)), x.rest + y.rest)

    def multiplied(self, x: Model, y: Model) -> Model:
        """Return x y: the product of the polynomials up to degree K, rounded down, and all else in the rest.

        That is p R_y + R_x (q + R_y) for |x| <= p + R_x, |y| <= q + R_y, and the terms of the product beyond degree K.
        """
        P, coefs = self.P, [0] * len(x.coefs)
        for a, places in zip(x.coefs, self.table.products, strict=True):
            if a:
                for place, b in zip(places, y.coefs):  # noqa: B905
                    coefs[place] += a * b
        p, q = [[sum(map(abs, coefs[degree])) for degree in self.table.degrees] for coefs in (x.coefs, y.coefs)]
        rest = sum(p) * y.rest + x.rest * (sum(q) + y.rest)
        rest += sum(p[k] * sum(q[self.K + 1 - k :]) for k in range(1, self.K + 1))
        return self.bounded(*lowered(coefs, rest, P))

    def composed(self, series: Callable[[int, int, int, int, int], Series], x: Model) -> Model:
        """Return g(x) = sum of g_k (x - F)^k by its Taylor series at a point F of the range of x.

        It is summed by Horner's rule in steps of 2^bits >= |x - F|, which keeps all numbers near their precision.
        """
        P, K, (low, high, coefs, rest) = self.P, self.K, x
        F = min(max(coefs[0], low), high)
        most = max(high - F, F - low)
        bits = most.bit_length()
        terms, c, m = series(F, low, high, P, K)
        step = self.bounded(*lowered([coefs[0] - F, *coefs[1:]], rest, bits - P))
        value = self.constant((0, 0))
        for k in reversed(range(K + 1)):
            number, top, bottom = terms[k]
            term = self.constant(scaled(number, top << bits * k, bottom))
            value = self.combined(add, self.multiplied(value, step), term)
        return self.bounded(value.coefs, value.rest - (-c * most ** (K + 1) // m ** (K + 1)))

    def reciprocal(self, x: Model) -> Model:
        """Return 1 / x, where x does not meet 0."""
        if not any(x.coefs[1:]):
            return self.constant(divided((1 << self.P, 1 << self.P), x[:2], self.P))
        if x.low > 0:
            return self.composed(reciprocal_series, x)
        return self.call("neg", self.reciprocal(self.call("neg", x)))

    def powers(self, b: Fraction, x: Model) -> Model:
        """Return x^b: an integer power by squarings, of 1 / x if it is negative, another by its series."""
        if b.denominator != 1:
            return self.composed(partial(power_series, b), x)
        result, square, n = self.constant((1 << self.P, 1 << self.P)), x if b >= 0 else self.reciprocal(x), abs(int(b))
        while n:
            result = self.multiplied(result, square) if n % 2 else result
            n //= 2
            square = self.multiplied(square, square) if n else square
        return result

    def extreme(self, name: str, *operands: Model) -> Model:
        """Return the least or the greatest operand, which the range of a difference must tell."""
        if len(operands) > 2:
            return reduce(partial(self.call, name), operands)
        x, y = operands
        low, high = self.call("-", x, y)[:2]
        require(not low < 0 < high, "undefined", "a kink")
        return x if (low >= 0) == (name == "max") else y

    def sigmoid(self, x: Model) -> Model:
        """Return 1 / (1 + e^-x), or 1 - 1 / (1 + e^x) where x is negative, so that no exponential is large."""
        call, one = self.call, self.constant((1 << self.P, 1 << self.P))
        positive = x.coefs[0] >= 0
        value = call("/", one, call("+", one, call("exp", call("neg", x) if positive else x)))
        return value if positive else call("-", one, value)


def lowered(coefs: list[int], rest: int, bits: int) -> tuple[list[int], int]:
    """Drop fractional bits of a polynomial, rounding down, and of its rest, which takes what is cut off."""
    if bits <= 0:
        return [number << -bits for number in coefs], rest << -bits
    cut = sum(number & (1 << bits) - 1 for number in coefs)
    return [number >> bits for number in coefs], -(-(rest + cut) >> bits)


# ---------------------------------------------------------------------------------------------------------------------
# The certificate: JSON and its types


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make the dictionary of a JSON object, which must not have duplicate keys."""
    require(len(dict(pairs)) == len(pairs), "malformed", f"duplicate key among {printable(str([k for k, _ in pairs]))}")
    return dict(pairs)


def whole(text: str) -> int:
    """Read a JSON number, which must be an integer of a sensible length."""
    require(re.fullmatch("-?[0-9]+", text) is not None, "malformed", f"JSON number {printable(text)} is no integer")
    require(len(text) <= 20, "limit", f"JSON integer of {len(text)} characters")
    return int(text)


def read_at_most(read: Callable[[int], bytes], most: int) -> bytes:
    """Read to the end, piece by piece, and reject what is longer than the limit."""
    pieces, length = [], 0
    while piece := read(1 << 20):
        length += len(piece)
        require(length <= most, "limit", f"document of more than {most} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def read_document(data: bytes, limits: Limits) -> Any:
    """Decompress, decode and parse the document."""
    require(len(data) <= limits.document, "limit", f"document of more than {limits.document} bytes")
    try:
        if data[:2] == b"\x1f\x8b":
            data = read_at_most(gzip.GzipFile(fileobj=BytesIO(data)).read, limits.document)
        text = data.decode("utf-8")
        return json.loads(text, object_pairs_hook=unique, parse_int=whole, parse_float=whole, parse_constant=whole)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise Rejected("malformed", f"not a JSON document: {printable(str(error))}") from None


def typed(value: Any, kind: type, where: str) -> Any:
    """Return a value of a JSON type (true and false are no integers); `where` names its place in the document."""
    names = {dict: "an object", list: "a list", str: "a string", int: "an integer"}
    require(type(value) is kind, "malformed", f"{where}: not {names[kind]}")
    return value


def items_of(value: Any, length: int, where: str) -> list[Any]:
    """Return the items of a list whose length the format fixes."""
    require(len(typed(value, list, where)) == length, "malformed", f"{where}: not a list of {length}")
    return list(value)


def fields_of(value: Any, where: str, *names: str) -> list[Any]:
    """Return the values of an object with exactly these keys."""
    for name in (*names, *typed(value, dict, where)):
        problem = "no key" if name in names else "unknown key"
        require(name in names and name in value, "malformed", f"{where}: {problem} {printable(name)}")
    return [value[name] for name in names]


def kind_of(value: Any, where: str, key: str, *supported: str) -> str:
    """Return the kind of an object, on which its other keys depend."""
    require(key in typed(value, dict, where), "malformed", f"{where}: no key {key}")
    name = str(typed(value[key], str, f"{where}.{key}"))
    require(name in supported, "unsupported", f"{where}.{key}: {printable(name)}")
    return name


def count_of(value: Any, where: str, least: int, most: int) -> int:
    """Return an integer from least to the limit most."""
    number = int(typed(value, int, where))
    require(number >= least, "malformed", f"{where}: {number} is less than {least}")
    require(number <= most, "limit", f"{where}: {number} is more than {most}")
    return number


class Reader:
    """Reads the exact numbers of the document and its matrices, within what the limits allow for all together."""

    def __init__(self, limits: Limits, shares: int = 1, spread: Spread = map) -> None:
        """Start with the whole allowance."""
        self.limits, self.left, self.shares, self.spread = limits, limits.size, shares, spread

    def spend(self, bits: int) -> None:
        """Count bits against the allowance."""
        self.left -= bits
        require(self.left >= 0, "limit", "the numbers of the document are too large together")

    def number(self, value: Any, where: str) -> Fraction:
        """Return the rational that a string spells."""
        number = rational(typed(value, str, where), where, self.limits)
        self.spend(number.numerator.bit_length() + number.denominator.bit_length() + 64)
        return number

    def row(self, value: Any, width: int, where: str) -> Row:
        """Return a row of numbers, or the number that fills it."""
        if not isinstance(value, list):
            return self.number(value, where)
        require(len(value) == width, "shape", f"{where}: {len(value)} numbers instead of {width}")
        return [self.number(number, where) for number in value]

    def matrix(self, value: Any, where: str, height: int | None = None, width: int | None = None) -> list[Row]:
        """Return a matrix of a given height and width as rows; one without listed entries is the constant 0."""
        by_rows = "rows" in typed(value, dict, where)
        shape, content = fields_of(value, where, "shape", "rows" if by_rows else "entries")
        r, c = [count_of(side, f"{where}.shape", 1, self.limits.side) for side in items_of(shape, 2, f"{where}.shape")]
        require(height in (None, r) and width in (None, c), "shape", f"{where}: {r} x {c}, not {height} x {width}")
        typed(content, list, where)
        if by_rows:
            require(len(content) == r, "shape", f"{where}: {len(content)} rows instead of {r}")
            return [self.row(row, c, f"{where}.rows[{i}]") for i, row in enumerate(content)]
        self.spend(64 * r)
        rows: list[Row] = [Fraction(0)] * r
        given: set[tuple[int, int]] = set()
        for n, item in enumerate(content):
            place = f"{where}.entries[{n}]"
            *indices, number = items_of(item, 3, place)
            i, j = [count_of(index, place, 0, self.limits.side) for index in indices]
            require(i < r and j < c, "shape", f"{place}: outside the matrix")
            require((i, j) not in given, "malformed", f"{place}: a place is given twice")
            given.add((i, j))
            row = rows[i]
            if not isinstance(row, list):
                self.spend(64 * c)
                row = rows[i] = [Fraction(0)] * c
            row[j] = self.number(number, place)
        return rows

    def domain(self, value: Any, entries: int) -> list[Side]:
        """Return the sides of the box."""
        names = ("box", "where") if "where" in typed(value, dict, "statement.domain") else ("box",)
        box, *_ = fields_of(value, "statement.domain", *names)
        fits = len(typed(box, list, "statement.domain.box")) == entries
        require(fits, "shape", f"statement.domain.box: {len(box)} sides for {entries} entries of the input")
        sides = []
        for k, side in enumerate(box):
            where = f"statement.domain.box[{k}]"
            lo, hi = [self.number(end, where) for end in items_of(side, 2, where)]
            require(lo <= hi, "domain", f"{where}: lo > hi")
            sides.append((lo, hi))
        return sides


# ---------------------------------------------------------------------------------------------------------------------
# Reduction: exact rational arithmetic, from the matrices to scores and values

Monomial = tuple[int, ...]  # of at most two entries of the input, in order: (), (k,) or (k, l)
Forms = dict[Monomial, list[Row]]  # a matrix of polynomials: for each monomial its coefficients, token by token


def entry(row: Row, i: int) -> Fraction:
    """Return an entry of a row."""
    return row[i] if isinstance(row, list) else row


def vanishes(row: Row) -> bool:
    """Tell whether a row is 0."""
    return not any(row) if isinstance(row, list) else row == 0


def combined(weights: Sequence[Fraction], rows: Sequence[Row], limits: Limits) -> Row:
    """Return the sum of weights times rows, exactly; constant rows stay constant."""
    fill, total = Fraction(0), None
    for weight, row in zip(weights, rows, strict=True):
        if isinstance(row, Fraction):
            fill += weight * row
        elif weight:
            part = row if weight == 1 else [weight * number if number else number for number in row]
            total = part if total is None else [a + b if b else a for a, b in zip(total, part, strict=True)]
            size = max(max(number.numerator.bit_length(), number.denominator.bit_length()) for number in total)
            require(size <= limits.exact, "limit", "the exact numbers of the reduction grow too long")
    if total is None:
        return fill
    return [number + fill for number in total] if fill else total


class Head:
    """T_j(x) = sum of softmax_i(s_ij(x)) v_i(x): the values of all tokens, and for each output column the scores.

    Fixed entries of the input are replaced by their values. `values` holds for each row of the output the constants of
    the values, and the slopes for each entry they depend on; scores may have products of two entries, too.
    """

    def __init__(self, value: Any, domain: Any, reader: Reader) -> None:
        """Read the inputs' Z = sum of P X Q + R and the weights; reduce keys, queries and values to affine forms.

        In self-attention X gives keys, values and queries; in cross-attention K gives keys and values, Q queries.
        """
        where = "statement.attention"
        sides = {
            "self": ["X input_shape linear R"],
            "cross": ["K key_shape linear_K R_K", "Q query_shape linear_Q R_Q"],
        }
        parts = [side.split() for side in sides[kind_of(value, where, "kind", *sides)]]
        names = ("kind", "W_K", "W_Q", "W_V", "W_O", *(name for part in parts for name in part[1:]))
        fields = dict(zip(names, fields_of(value, where, *names), strict=True))
        self.limits = limits = reader.limits
        self.conditions: list[Target] = []  # which cut the domain out of the box
        self.inputs: dict[str, tuple[int, int]] = {}
        for letter, name, _, _ in parts:
            place = f"{where}.{name}"
            d, n = [count_of(side, place, 1, limits.inputs) for side in items_of(fields[name], 2, place)]
            require(d * n <= limits.inputs, "limit", f"{place}: more than {limits.inputs} entries")
            self.inputs[letter] = d, n
        self.box = reader.domain(domain, sum(d * n for d, n in self.inputs.values()))
        embedded = []
        for letter, _, linear, R in parts:
            d, n = self.inputs[letter]
            before = 0 if letter != "Q" else len(self.box) - d * n
            embedded.append(self.embedded(reader, fields, linear, R, (d, n), before))
        Z, Y = embedded[0], embedded[-1]
        self.tokens, width = fields[parts[0][3]]["shape"][1], fields[parts[-1][3]]["shape"][1]
        keys = reader.matrix(fields["W_K"], f"{where}.W_K", None, len(Z[()]))
        queries = reader.matrix(fields["W_Q"], f"{where}.W_Q", len(keys), len(Y[()]))
        values = reader.matrix(fields["W_V"], f"{where}.W_V", None, len(Z[()]))
        self.selected = self.columns(reader.matrix(fields["W_O"], f"{where}.W_O", width), fields["W_O"]["shape"][1])
        self.keys, self.queries, forms = self.applied(keys, Z), self.applied(queries, Y), self.applied(values, Z)
        kept = [[k for k, form in forms.items() if not k or not vanishes(form[r])] for r in range(len(values))]
        self.values: list[dict[Monomial, Row]] = [{k: forms[k][r] for k in names} for r, names in enumerate(kept)]

    def embedded(self, reader: Reader, fields: Any, name: str, R: str, shape: tuple[int, int], before: int) -> Forms:
        """Read Z = sum of P X Q + R for the input X whose entries follow `before` others; fixed entries join R."""
        (d, n), where, linear = shape, f"statement.attention.{name}", []
        Z: Forms = {(): reader.matrix(fields[R], f"statement.attention.{R}")}
        height, width = fields[R]["shape"]
        for h, term in enumerate(typed(fields[name], list, where)):
            P, Q = fields_of(term, f"{where}[{h}]", "P", "Q")
            P = reader.matrix(P, f"{where}[{h}].P", height, d)
            linear.append((P, reader.matrix(Q, f"{where}[{h}].Q", n, width)))
        for k in range(d * n):  # entry (a, b) of X adds P[:, a] Q[b, :]
            a, b = divmod(k, n)
            factors = [Q[b] for _, Q in linear]
            part = [combined([entry(P[r], a) for P, _ in linear], factors, self.limits) for r in range(height)]
            lo, hi = self.box[before + k]
            if lo < hi:
                Z[before + k,] = part
            else:
                Z[()] = [combined([Fraction(1), lo], pair, self.limits) for pair in zip(Z[()], part, strict=True)]
        return Z

    def columns(self, W_O: list[Row], width: int) -> list[int]:
        """Return the column of Z that each column of W_O selects."""
        selected = [-1] * width
        for i, row in enumerate(W_O):
            for j in range(width) if row else ():
                number = entry(row, j)
                fits = number == 0 or (number == 1 and selected[j] < 0)
                require(fits, "shape", f"statement.attention.W_O: column {j} is no standard basis vector")
                selected[j] = i if number else selected[j]
        require(min(selected) >= 0, "shape", "statement.attention.W_O: a column is 0")
        return selected

    def applied(self, W: list[Row], forms: Forms) -> Forms:
        """Return W times a matrix."""
        return {
            k: [combined([entry(row, i) for i in range(len(rows))], rows, self.limits) for row in W]
            for k, rows in forms.items()
        }

    def scores(self, j: int) -> dict[Monomial, Row]:
        """Return the scores of output column j, keys times query: those of the monomials of degree 2 that occur."""
        q, pairs = self.selected[j], dict[Monomial, list[tuple[Monomial, Monomial]]]()
        for a in self.keys:
            for b in self.queries:
                pairs.setdefault(tuple(sorted(a + b)), []).append((a, b))
        result = {}
        for axes in sorted(pairs):
            factors = [entry(row, q) for _, b in pairs[axes] for row in self.queries[b]]
            row = combined(factors, [row for a, _ in pairs[axes] for row in self.keys[a]], self.limits)
            if len(axes) < 2 or not vanishes(row):
                result[axes] = row
        return result

    def at(self, rows: dict[Monomial, Row], place: Sequence[Fraction]) -> list[Fraction]:
        """Return scores or values at a point, exactly."""
        factors = [prod((place[k] for k in axes), start=Fraction(1)) for axes in rows]
        row = combined(factors, list(rows.values()), self.limits)
        return [entry(row, i) for i in range(self.tokens)]


class Sum:
    """T = sum of the T_h of several heads on the same inputs."""

    def __init__(self, value: Any, domain: Any, reader: Reader) -> None:
        """Read the heads, all of one kind and alike in their shapes."""
        where = "statement.attention"
        parts = typed(fields_of(value, where, "kind", "heads")[1], list, f"{where}.heads")
        require(len(parts) > 0, "malformed", f"{where}.heads: empty")
        self.heads = [Head(part, domain, reader) for part in parts]
        shapes = [(head.inputs, len(head.values), len(head.selected)) for head in self.heads]
        require(all(shape == shapes[0] for shape in shapes), "shape", f"{where}.heads: inputs or outputs differ")
        self.inputs, self.box, self.limits = self.heads[0].inputs, self.heads[0].box, reader.limits
        self.values, self.selected = self.heads[0].values, self.heads[0].selected  # as many as those of any
        self.tokens, self.conditions = sum(head.tokens for head in self.heads), list[Target]()


# ---------------------------------------------------------------------------------------------------------------------
# The walk down a split tree, and the silent tokens

Box = list[tuple[int, int, int, int]]  # for each side its outward ends lo, hi, and its place: part `index` of 2^`level`
SHARED = 8  # splits above the subtrees that shares of the work consist of
Tokens = list[list[int]]  # parallel lists about the active tokens: numbers, biases, and coefficients of monomials


class Values(NamedTuple):
    """Values v_i of tokens on a box: each lies in [v, v + moved], v = values_i + sum of parts_ik u_k."""

    values: list[int]
    parts: dict[int, list[int]]
    moved: int

    def ranges(self) -> tuple[list[int], list[int]]:
        """Return the lower and the upper ends of the values over the box."""
        lows = highs = self.values
        for part in self.parts.values():
            lows = [v - abs(a) for v, a in zip(lows, part, strict=True)]
            highs = [v + abs(a) for v, a in zip(highs, part, strict=True)]
        return lows, [v + self.moved for v in highs] if self.moved else highs


def rounded(row: Row, tokens: int, P: int) -> tuple[list[int], int]:
    """Round numbers down to P fractional bits; also return 1 if one of them moved, else 0."""
    pairs = [divmod(number.numerator << P, number.denominator) for number in (row if isinstance(row, list) else [row])]
    floors = [floor for floor, _ in pairs]
    return floors if isinstance(row, list) else floors * tokens, int(any(rest for _, rest in pairs))


def excludes(condition: Evaluator, box: Sequence[Interval], value: Interval = (0, 0)) -> bool:
    """Tell whether a condition is proved to be false (or to have another value) on a whole box."""
    try:
        return condition.enclosures(box, condition.target.outputs[0]) == [value]
    except Rejected:
        return False


class Walk:
    """Walks down the split tree of one output column; its subclasses prove the leaves.

    Scores are integers with 2P + 1 fractional bits. `centres` holds bias + sum of slope (lo + hi): with slopes of P
    bits, that is a score at the centre of the box. `radii` holds the sum of |slope - slope of r| (hi - lo), of slopes
    at the centre where scores have products, which are bounded in the same way. Over the box s_i - s_r lies within
    centre_i - centre_r +- (radius_i + slack). The slack pays for the rounding of the weights: each is rounded down by
    less than a unit, so the difference of two is off by less than a unit. So is what a product adds to a score at the
    centre and, twice, to a slope there.
    """

    marks = "."  # of the leaves, beside those outside the domain
    rule: Callable[[str, Box, Tokens, list[int], list[int]], None]  # proves or counts a leaf

    def __init__(self, head: Head, j: int, P: int, silence: int) -> None:
        """Round scores and values to P fractional bits, each to the safe side."""
        self.head, self.j, self.P, self.silence = head, j, P, silence
        self.enter(head.box)
        scores = head.scores(j)
        biases, moved = rounded(scores.pop(()), head.tokens, P)
        self.slack = moved << P + 1
        self.all: Tokens = [list(range(head.tokens)), [bias << P + 1 for bias in biases]]
        self.axes: list[Monomial] = []
        for axes, row in scores.items():
            if isinstance(row, list):  # else it is the same for all tokens and cancels
                slopes, moved = rounded(row, head.tokens, P)
                reach = prod(max(-self.root[axis][0], self.root[axis][1]) for axis in axes)
                self.slack -= -2 * moved * reach >> P * (len(axes) - 1)
                if len(axes) == 2:
                    self.slack += 1 + sum(self.root[axis][1] - self.root[axis][0] for axis in axes)
                self.all.append(slopes)
                self.axes.append(axes)
        self.silent = silence * constant("ln2", 2 * P + 1)[1] + self.slack
        self.values = [self.rounded_values(rows) for rows in head.values]
        self.spans = [(min(lows), max(highs)) for lows, highs in map(Values.ranges, self.at_box(self.root, self.all))]
        self.conditions = [Evaluator(condition, P, head.limits) for condition in head.conditions]
        self.sums: list[int | Fraction] = []  # what the leaves add up to, for a box of volume 1

    def enter(self, sides: list[Side]) -> None:
        """Take a box for the root."""
        self.sides, P = sides, self.P
        self.root: Box = [(enclose(lo, P)[0], enclose(hi, P)[1], 0, 0) for lo, hi in sides]

    def rounded_values(self, rows: dict[Monomial, Row]) -> tuple[list[int], dict[int, list[int]], int]:
        """Round values v_i(x) to constants and slopes of P bits; over a box `at_box` then errs by 0 to `moved` units.

        A slope is rounded down by less than a unit, which moves v_i by at most |x|; its product with the centre, and
        that with the radius, by another unit each. What may be to both sides is taken off the constants.
        """
        slopes, tokens, both = {}, self.head.tokens, 0
        constants, moved = rounded(rows[()], tokens, self.P)
        for (axis,) in rows.keys() - {()}:
            slopes[axis], off = rounded(rows[axis,], tokens, self.P)
            both += 1 - (-off * max(-self.root[axis][0], self.root[axis][1]) >> self.P)
        return [value - both for value in constants] if both else constants, slopes, moved + 2 * both + len(slopes)

    def at_box(self, box: Box, tokens: Tokens) -> list[Values]:
        """Return for each row the values as affine functions of u, on the box c + r u with u in [-1, 1]^m."""
        result, picked = [], tokens[0]
        for constants, slopes, moved in self.values:
            values, parts = [constants[i] for i in picked], {}
            for axis, numbers in slopes.items():
                lo, hi, _, _ = box[axis]
                active = [numbers[i] for i in picked]
                values = [v + (a * (lo + hi) >> self.P + 1) for v, a in zip(values, active, strict=True)]
                parts[axis] = [a * (hi - lo) >> self.P + 1 for a in active]
            result.append(Values(values, parts, moved))
        return result

    def check(self, tree: str, share: Share = (0, 1)) -> int:
        """Walk the tree in preorder, prove every leaf, and return their number.

        Of the subtrees below `SHARED` splits, and of the leaves above, a share (k, n) takes those numbered k modulo n.
        """
        stack = [(self.root, self.all)]
        at = leaves = subtrees = 0
        while at < len(tree):
            mark = tree[at]
            require(len(stack) > 0, "tree", f"column {self.j}: the tree ends before character {at}")
            box, tokens = stack.pop()
            if share[1] > 1:
                splits = sum(level for _, _, _, level in box)
                if splits == SHARED or (splits < SHARED and mark in "-" + self.marks):
                    subtrees += 1
                    if subtrees % share[1] != share[0]:
                        at = self.end(tree, at)
                        continue
            tokens, centres, radii = self.without_silent(box, tokens)
            if mark in self.marks:
                self.prove_leaf(leaves, box, tokens, centres, radii, mark)
                leaves += 1
            elif mark == "-":
                outside = any(excludes(condition, [(lo, hi) for lo, hi, _, _ in box]) for condition in self.conditions)
                require(outside, "leaf", f"column {self.j}: character {at}: the box is not proved to be outside")
            else:
                lower, upper = self.halves(box, mark, at)
                stack += [(upper, tokens), (lower, tokens)]
            at += 1
        require(not stack, "tree", f"column {self.j}: the string ends before the tree does, after {len(tree)} nodes")
        return leaves

    def end(self, tree: str, at: int) -> int:
        """Return where the subtree that starts at a character ends."""
        missing, ends = 1, "-" + self.marks
        while missing and at < len(tree):
            missing += -1 if tree[at] in ends else 1
            at += 1
        require(not missing, "tree", f"column {self.j}: the string ends before the tree does, after {len(tree)} nodes")
        return at

    def prove_leaf(
        self, leaf: int, box: Box, tokens: Tokens, centres: list[int], radii: list[int], mark: str = "."
    ) -> None:
        """Apply the rule of a mark to a box, and say where it fails."""
        try:
            self.rule(mark, box, tokens, centres, radii)
        except Rejected as failure:
            sides = " x ".join(f"[{about(lo, self.P)}, {about(hi, self.P)}]" for lo, hi, _, _ in box)
            place = f"column {self.j}, leaf {leaf} on {printable(sides, 400)}"
            raise Rejected(failure.reason, f"{place}: {failure.detail}") from None

    def halves(self, box: Box, mark: str, at: int) -> tuple[Box, Box]:
        """Halve a box at the exact midpoint, which each half gets rounded outward."""
        axis = "0123456789abcdefghijklmnopqrstuvwxyz".find(mark)
        require(0 <= axis < len(box), "tree", f"column {self.j}: character {at}, {printable(mark)}, is no axis")
        lo, hi, index, level = box[axis]
        require(level < self.head.limits.depth, "limit", f"column {self.j}: character {at}: an axis is split too often")
        start, stop = self.sides[axis]
        low, high = enclose(start + (stop - start) * Fraction(2 * index + 1, 2 << level), self.P)
        lower, upper = box.copy(), box.copy()
        lower[axis], upper[axis] = (lo, high, 2 * index, level + 1), (low, hi, 2 * index + 1, level + 1)
        return lower, upper

    def around(self, box: Box, tokens: Tokens) -> dict[Monomial, list[int]]:
        """Return the coefficients of the scores in powers of x - c, where c is the centre of the box."""
        forms = dict(zip(self.axes, tokens[2:], strict=True))
        for axes in [axes for axes in self.axes if len(axes) == 2]:
            for k, other in (axes, axes[::-1]):  # q x_k x_l adds q c_l to the slope along k, and q c_k to that along l
                twice, slopes = box[other][0] + box[other][1], forms.get((k,), [0] * len(tokens[0]))
                forms[k,] = [a + (q * twice >> self.P + 1) for a, q in zip(slopes, forms[axes], strict=True)]
        return forms

    def radii(self, box: Box, tokens: Tokens, r: int) -> list[int]:
        """Return how far the difference of each score to that of token r (its place in the lists) varies."""
        total = [0] * len(tokens[0])
        for axes, slopes in self.around(box, tokens).items():
            width, slope = prod(box[axis][1] - box[axis][0] for axis in axes), slopes[r]
            if len(axes) == 1:
                total = [t + abs(a - slope) * width for t, a in zip(total, slopes, strict=True)]
            else:
                total = [t - (-abs(a - slope) * width >> self.P + 1) for t, a in zip(total, slopes, strict=True)]
        return total

    def without_silent(self, box: Box, tokens: Tokens) -> tuple[Tokens, list[int], list[int]]:
        """Drop the tokens that are silent beside the best one at the centre; return the others, centres and radii."""
        centres = tokens[1]
        for axes, slopes in zip(self.axes, tokens[2:], strict=True):
            twice, bits = prod(box[axis][0] + box[axis][1] for axis in axes), (self.P + 1) * (len(axes) - 1)
            centres = [t + (a * twice >> bits) for t, a in zip(centres, slopes, strict=True)]
        best = max(centres)
        radii = self.radii(box, tokens, centres.index(best))
        kept = [t + radius > best - self.silent for t, radius in zip(centres, radii, strict=True)]
        if all(kept):
            return tokens, centres, radii
        tokens = [list(compress(numbers, kept)) for numbers in tokens]
        return tokens, list(compress(centres, kept)), list(compress(radii, kept))

    def weights(self, centres: list[int], radii: list[int]) -> list[Interval]:
        """Enclose e^(s_i - s_r) over the box, r the best token at the centre; upper ends beyond e^(P+64) become 0."""
        P, large, best = self.P, self.P + 64 << self.P, max(centres)
        r, result = centres.index(best), []
        for i, (centre, radius) in enumerate(zip(centres, radii, strict=True)):
            lo, hi = centre - best - radius - self.slack >> P + 1, -(best - centre - radius - self.slack >> P + 1)
            low, high = point("exp", min(lo, large), P)[0], point("exp", hi, P)[1] if hi <= large else 0
            result.append((low, high) if i != r else (1 << P, 1 << P))
        return result


# ---------------------------------------------------------------------------------------------------------------------
# Taylor models of the head

Jets = tuple[list[list[int]], list[int]]  # for each monomial a the p tau^a of the tokens; bounds on what is missing
ORDERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SCORES = ":;<=>?@"


class Expansion(Walk):
    """A walk about a target, whose leaves may have Taylor models: marked A or : for order 1, B or ; for 2, ..."""

    def __init__(self, head: Head, target: Target, j: int, P: int, silence: int) -> None:
        """Prepare the target, on intervals too."""
        super().__init__(head, j, P, silence)
        self.target, self.evaluator = target, Evaluator(target, P, head.limits)
        self.modellers: dict[int, Modeller] = {}  # by order
        self.outputs = [row[j] for row in target.outputs]

    def models(self, mark: str, box: Box, tokens: Tokens, centres: list[int]) -> tuple[Modeller, list[Model], Jets]:
        """Return the models of the entries of the column, and for a Taylor-Jensen leaf the expansion of the weights."""
        models, enclosures = self.modelled(mark, box)
        return models, enclosures, self.jets(models, box, tokens, centres) if mark in ORDERS else ([], [])

    def modelled(self, mark: str, box: Box) -> tuple[Modeller, list[Model]]:
        """Return the models of the entries of the column."""
        order = 1 + (ORDERS if mark in ORDERS else SCORES).index(mark)
        if order not in self.modellers:
            free = [k for k, (lo, hi) in enumerate(self.head.box) if lo < hi]
            self.modellers[order] = Modeller(self.target, free, order, self.P, self.head.limits)
        models = self.modellers[order]
        inputs = models.inputs([(lo, hi) for lo, hi, _, _ in box])
        return models, models.enclosures(inputs, self.outputs)

    def jets(self, models: Modeller, box: Box, tokens: Tokens, centres: list[int]) -> Jets:
        """Expand weights w_i = q e^t, the e^(s_i) times a common factor, t = sum of tau_k u_k + sum of tau_kl u_k u_l.

        The factor takes the best score at the centre off all scores, and means off all coefficients. The slack, and
        less than a unit of each tau, move ln q, so that q lies in [p, p + error]. The part p E of q e^t of degree n has
        n E_n = t_1 E_(n-1) + 2 t_2 E_(n-2), t_1 and t_2 the parts of t: a_k E_a = tau_k E_(a - k) + 2 tau_kk E_(a - kk)
        + sum of tau_jk E_(a - jk), j != k, where the lists hold E_a times factorials. With rho = sum of |tau_k|, bend =
        sum of |tau_kl|, what E lacks is at most the sum of the G_n beyond K, n G_n = rho G_(n-1) + 2 bend G_(n-2), G_0
        = 1, hence e^(rho + bend); added up over n >= K + 2 this says that it is at most, if slope = rho + 2 bend < K +
        2, G_(K+1) + (slope G_(K+1) + 2 bend G_K) / (K + 2 - slope).
        """
        P, K, best = self.P, models.K, max(centres)
        forms = self.around(box, tokens)
        margin = self.slack + (len(forms) << P + 1)
        width = (2 * margin >> P + 1) + 2
        require(width <= 1 << P, "leaf", "the weights are too uncertain")
        ends = [point("exp", centre - best - margin >> P + 1, P) for centre in centres]
        weights = [lo for lo, _ in ends]
        errors = [hi - lo - (-2 * width * hi >> P) for lo, hi in ends]  # e^width <= 1 + 2 width
        total, none = sum(weights), [0] * len(weights)
        tau, sizes, bends = dict[Monomial, list[int]](), none, none
        for axes, slopes in forms.items():
            mean, sides = sum(map(mul, weights, slopes)) // total, prod(box[axis][1] - box[axis][0] for axis in axes)
            parts = [(a - mean) * sides >> (P + 1) * len(axes) for a in slopes]
            tau[tuple(models.free.index(axis) for axis in axes)] = parts
            if len(axes) == 1:
                sizes = [rho + abs(part) for rho, part in zip(sizes, parts, strict=True)]
            else:
                bends = [bend + abs(part) for bend, part in zip(bends, parts, strict=True)]
        lists: dict[Monomial, list[int]] = {(): weights}
        for axes in models.table.axes[1:]:
            *rest, k = axes
            numbers = list(map(mul, lists[axes[:-1]], tau[k,])) if (k,) in tau else []
            for n, j in enumerate(rest):
                others = lists[(*rest[:n], *rest[n + 1 :])]
                if (j, k) in tau and others and j not in rest[:n]:
                    factor = rest.count(j) * (2 if j == k else 1) << P
                    terms = map(mul, others, tau[j, k])
                    numbers = [a + factor * term for a, term in zip(numbers or none, terms, strict=True)]
            lists[axes] = numbers
        rests = []
        for p, error, rho, bend in zip(weights, errors, sizes, bends, strict=True):
            before, last, slope = 1 << P, rho, rho + 2 * bend
            for n in range(2, K + 2):
                before, last = last, -(-(rho * last + 2 * bend * before) // (n << P))
            if 2 * slope < 2 * K + 3 << P:
                tail = last - (-(slope * last + 2 * bend * before) // ((K + 2 << P) - slope))
                rests.append((error << (3 * (rho + bend) >> P + 1) + 1) - (-p * tail >> P))  # e < 2^(3/2)
            else:
                require(rho + bend <= P + 64 << P, "leaf", "the scores vary too much")
                rests.append(-(-(p + error) * point("exp", rho + bend, P)[1] >> P))
        return list(lists.values()), rests

    def moment(self, models: Modeller, jets: Jets, factors: list[int]) -> Model:
        """Return the model of the sum of w_i times a factor; each coefficient is rounded down."""
        lists, rests = jets
        coefs = []
        for axes, factorials, numbers in zip(models.table.axes, models.table.factorials, lists, strict=True):
            coefs.append(sum(map(mul, numbers, factors)) // (factorials << self.P * (len(axes) + 1)))
        return models.bounded(coefs, len(coefs) - (-sum(map(mul, rests, map(abs, factors))) >> self.P))

    def moments(self, models: Modeller, v: Values, jets: Jets) -> tuple[Model, Model, Model]:
        """Return models of M0 = sum of w_i, M1 = sum of w_i (v_i - near), and of near, so that T' = near + M1 / M0.

        near, an affine function, is the mean of the v_i with the weights at the centre.
        """
        weights = jets[0][0]
        mean, near = sum(map(mul, weights, v.values)) // sum(weights), models.constant((0, 0))
        near.coefs[0] = mean
        M0 = self.moment(models, jets, [1 << self.P] * len(weights))
        M1 = self.moment(models, jets, [value - mean for value in v.values])
        for axis, part in v.parts.items():
            u, place = models.constant((0, 0)), models.place(axis)
            near.coefs[place] = mean = sum(map(mul, weights, part)) // sum(weights)
            u.coefs[place] = 1 << self.P
            M1 = models.combined(add, M1, models.multiplied(u, self.moment(models, jets, [a - mean for a in part])))
        return M0, M1, near

    def fraction(self, models: Modeller, f: Model, v: Values, jets: Jets) -> tuple[Model, Model]:
        """Return models of M0 = sum of w_i and N = f M0 - sum of w_i v_i, so that f - T' = N / M0."""
        M0, M1, near = self.moments(models, v, jets)
        return M0, models.combined(sub, models.multiplied(models.combined(sub, f, near), M0), M1)


# ---------------------------------------------------------------------------------------------------------------------
# The paving proof


class Paving(Expansion):
    """Proves |target - T| <= bound for one output column, by score boxes and Taylor models of order A or : = 1, ..."""

    marks = "." + ORDERS + SCORES

    def __init__(self, head: Head, target: Target, j: int, bound: Fraction, P: int, silence: int) -> None:
        """Round the bound down."""
        super().__init__(head, target, j, P, silence)
        self.bound = enclose(bound, P)[0]

    def rule(self, mark: str, box: Box, tokens: Tokens, centres: list[int], radii: list[int]) -> None:
        """Prove |target - T| <= bound on a box for all entries of the column, by |target - T'| <= e."""
        models: Modeller | None = None
        jets: Jets = ([], [])
        if mark != ".":
            models, enclosures, jets = self.models(mark, box, tokens, centres)
        else:
            enclosures = self.evaluator.enclosures([(lo, hi) for lo, hi, _, _ in box], self.outputs)
        dropped = self.head.tokens - len(tokens[0])
        for row, (f, v) in enumerate(zip(enclosures, self.at_box(box, tokens), strict=True)):
            least, greatest = self.spans[row]
            spread = max(f[1] - least, greatest - f[0])  # G: |target - v_i| for any token
            e = self.bound + (-dropped * spread >> self.silence) - v.moved  # bound - W G, rounded down
            if models and mark in ORDERS:  # |f - T'| is at most f.rest more for f than for its polynomial
                proved = self.sign_form(e - f.rest, models, f._replace(rest=0), v, jets)
                require(proved, "leaf", f"row {row}, expansion {mark}")
                continue
            tilts = list(zip(*v.parts.values(), strict=True)) or [()] * len(v.values)
            ranges = {tilt: self.range(f, models, dict(zip(v.parts, tilt, strict=True))) for tilt in {*tilts}}
            above = [e + ranges[tilt][0] - value for tilt, value in zip(tilts, v.values, strict=True)]
            below = [e + value - ranges[tilt][1] + v.moved for tilt, value in zip(tilts, v.values, strict=True)]
            for c, side in ((above, "f - T"), (below, "T - f")):
                proved = min(c) >= 0 or self.nonnegative(c, box, tokens, centres, radii)
                require(proved, "leaf", f"row {row}, {side} <= e")

    def range(self, f: Any, models: Modeller | None, parts: dict[int, int]) -> Interval:
        """Enclose f - sum of parts_k u_k over the box, by the range of f and by its model if there is one."""
        reach = sum(map(abs, parts.values()))
        low, high = f[0] - reach, f[1] + reach
        if models:
            coefs = f.coefs.copy()
            for axis, part in parts.items():
                coefs[models.place(axis)] -= part
            low = max(low, models.table.least(coefs) - f.rest)
            high = min(high, f.rest - models.table.least(list(map(neg, coefs))))
        return low, high

    def sign_form(self, e: int, models: Modeller, f: Model, v: Values, jets: Jets) -> bool:
        """Tell whether e M0 +- (f M0 - M1) >= 0 on the box, M0 = sum of w_i, M1 = sum of w_i v_i: T' = M1 / M0."""
        P, (M0, N) = self.P, self.fraction(models, f, v, jets)
        rest = e * M0.rest + (N.rest << P)
        above = [e * a + (b << P) for a, b in zip(M0.coefs, N.coefs, strict=True)]
        below = [e * a - (b << P) for a, b in zip(M0.coefs, N.coefs, strict=True)]
        return e > 0 and min(models.table.least(above), models.table.least(below)) >= rest

    def nonnegative(self, c: list[int], box: Box, tokens: Tokens, centres: list[int], radii: list[int]) -> bool:
        """Tell whether the sum of c_i e^(s_i - s_r) is >= 0 for r the best token at the centre or one of the next."""
        order = sorted(range(len(c)), key=lambda i: -centres[i])[: self.head.limits.references]
        sums = (self.least_sum(c, centres, self.radii(box, tokens, r) if n else radii, r) for n, r in enumerate(order))
        return any(least >= 0 for least in sums)

    def least_sum(self, c: list[int], centres: list[int], radii: list[int], r: int) -> int:
        """Bound the sum of c_i e^(d_i) from below, d_i = s_i - s_r anywhere in its range over the box; d_r = 0.

        The least value is at the upper end of d_i where c_i < 0, and at the lower end where c_i >= 0; these terms are
        left out once the sum is >= 0. An upper end beyond P + 64 outweighs all that scores below the best can add.
        """
        P, total, large = self.P, c[r] << self.P, self.P + 64 << self.P
        for i in sorted(range(len(c)), key=c.__getitem__):
            d, reach = centres[i] - centres[r], radii[i] + self.slack
            if i == r or (total >= 0 and c[i] >= 0):
                continue
            if c[i] < 0:
                upper = -(-d - reach >> P + 1)
                if upper > large:
                    return -1
                total += c[i] * point("exp", upper, P)[1]
            else:
                total += c[i] * point("exp", min(d - reach >> P + 1, large), P)[0]
        return total


# ---------------------------------------------------------------------------------------------------------------------
# The integral proof

Singularity = tuple[int, Fraction | None, Fraction, Fraction]  # the node A, its q or None for log; s - a and b - s
Split = tuple[Singularity | None, Interval, Interval]  # alpha A + gamma: A if any, alpha and gamma


def greatest_mean(terms: list[tuple[int, int, int]]) -> int:
    """Bound from above the means of values with weights anywhere in [low, high], given as (value, low, high).

    The greatest mean m grows with the weights of values above m and falls with those below: it has high weights from
    some value on and low ones before it. All these means are tried, and rounded up.
    """
    top, bottom = sum(value * high for value, _, high in terms), sum(high for _, _, high in terms)
    means = [-(-top // bottom)]
    for value, low, high in sorted(terms):
        top, bottom = top + value * (low - high), bottom + low - high
        means.append(-(-top // bottom))
    return max(means)


class Integral(Expansion):
    """Bounds from below and above on the integral of the sum of |target - T|^p over one output column.

    They have F = 2P fractional bits, as powers of small errors need more than these.
    """

    marks = ".*" + ORDERS

    def __init__(self, head: Head, target: Target, j: int, p: Fraction, P: int, silence: int) -> None:
        """Start with empty sums."""
        super().__init__(head, target, j, P, silence)
        self.p, self.F = p, 2 * P
        self.power = Arithmetic(self.F, head.limits).power
        self.sums = [0, 0]

    def rule(self, mark: str, box: Box, tokens: Tokens, centres: list[int], radii: list[int]) -> None:
        """Add the leaf to both sums: |target - T| lies in [l, u] on it, so |target - T|^p lies in [l^p, u^p]."""
        P, F, p, levels = self.P, self.F, self.p, sum(level for _, _, _, level in box)
        sides = [(lo, hi) for lo, hi, _, _ in box]
        inside = all(excludes(condition, sides, (1, 1)) for condition in self.conditions)
        if mark in ORDERS:
            for below, above in self.expanded(mark, box, tokens, centres):
                self.sums[0] += (below << F - P) >> levels if inside else 0
                self.sums[1] -= (-above << F - P) >> levels
            return
        self.evaluator.run(sides)
        split = self.split(box) if mark == "*" else {}
        weights, heads = self.weights(centres, radii), self.at_box(box, tokens)
        for row, output in enumerate(self.outputs):
            key, alpha, (low, high) = split.get(output) or (None, (0, 0), self.evaluator.value(output))
            least, greatest = self.head_range(heads[row], self.spans[row], weights)
            u = max(high - least, greatest - low) << F - P
            l = max(0, low - greatest, least - high) << F - P  # noqa: E741
            below, above = self.power(p, (l, u))
            if key is not None:  # |x + y|^p <= 2^(p-1) (|x|^p + |y|^p) for p >= 1: t^p is convex
                below, two = 0, (2 << F, 2 << F)
                most = self.power(p, (0, absolute(alpha)[1] << F - P))[1]
                above += -(-most * self.singular_mean(key) >> F)
                above = -(-above * self.power(p - 1, two)[1] >> F)
            self.sums[0] += below >> levels if inside else 0
            self.sums[1] -= -above >> levels

    def expanded(self, mark: str, box: Box, tokens: Tokens, centres: list[int]) -> Iterator[Interval]:
        """Yield for each row bounds on the integral of |target - T|^p over the box, for a box of volume 1.

        The mean of u^a over [-1, 1]^m is the product of the 1 / (a_k + 1) if all a_k are even, else 0. The models hold
        on the outward box, larger by the factor `growth`: what is outside adds at most (growth - 1) sup |target - T|^p.
        """
        P, (models, enclosures, jets) = self.P, self.models(mark, box, tokens, centres)
        growth = Fraction(1)
        for (start, stop), (lo, hi, _, level) in zip(self.head.box, box, strict=True):
            growth *= Fraction(Fraction(hi - lo << level, 1 << P), stop - start)
        dropped = self.head.tokens - len(tokens[0])
        for f, v, (least, greatest) in zip(enclosures, self.at_box(box, tokens), self.spans, strict=True):
            M0, N = self.fraction(models, f, v, jets)
            require(M0.low > 0, "leaf", "the box is too large for an expansion")
            error = models.multiplied(N, models.reciprocal(M0))
            silent = -(-dropped * (greatest - least) >> self.silence)  # W S, rounded up
            error = models.bounded(error.coefs, error.rest + v.moved + silent)
            if self.p % 2 and error.low < 0 < error.high:
                error = models.constant((0, max(-error.low, error.high)))  # which encloses |target - T|
            elif self.p % 2 and error.low < 0:
                error = models.call("neg", error)
            power = models.powers(self.p, error)
            means = [(n, prod(each.count(k) + 1 for k in {*each})) for n, each in enumerate(models.table.axes)]
            even = [power.coefs[n] // share for n, share in means if share % 2]
            outside = -((1 - growth) * power.high // 1)
            yield max(0, sum(even) - power.rest - outside), -((-sum(even) - len(even) - power.rest) * growth // 1)

    def head_range(self, v: Values, span: Interval, weights: list[Interval]) -> Interval:
        """Enclose T over the box: T', a mean of the active values, and the dropped tokens, which move it by W S.

        The mean approaches a value as its weight grows: it is extreme at the least weight, or bounded by the value.
        """
        ends = []
        for sign, values in zip((-1, 1), v.ranges(), strict=True):
            triples = [(sign * value, low, high) for value, (low, high) in zip(values, weights, strict=True)]
            mean = greatest_mean([(value, low, max(low, high)) for value, low, high in triples])
            ends.append(sign * max([mean, *(value for value, _, high in triples if not high)]))
        dropped, (first, last) = self.head.tokens - len(weights), span
        silent = -(-dropped * (last - first) >> self.silence)  # W S, rounded up
        return ends[0] - silent, ends[1] + silent

    def split(self, box: Box) -> dict[int, Split]:
        """Write nodes as alpha A + gamma with at most one singular A, where possible, after a run on the box."""
        result: dict[int, Split] = {}
        one = 1 << self.P, 1 << self.P
        for index, (op, args, _, _) in enumerate(self.evaluator.target.nodes):
            operands = [result[arg] for arg in args if arg in result]
            keys = {key for key, _, _ in operands if key}
            if self.evaluator.values[index] is not None:
                result[index] = None, (0, 0), self.evaluator.value(index)
            elif key := self.singularity(index, box):
                numerator = (None, (0, 0), one) if op != "/" else result.get(args[0])
                if numerator and not numerator[0]:
                    result[index] = key, numerator[2], (0, 0)
            elif op in EXACT and len(operands) == len(args) and len(keys) == 1:
                if op == "*" and operands[1][0]:
                    operands.reverse()
                alphas, gammas = [operand[1] for operand in operands], [operand[2] for operand in operands]
                if op in ("*", "/"):  # by a factor without A, or by a divisor without A and 0
                    if operands[1][0] or (op == "/" and gammas[1][0] <= 0 <= gammas[1][1]):
                        continue
                    alphas[1] = gammas[1]
                alpha, gamma = [self.evaluator.operations[op](*parts) for parts in (alphas, gammas)]
                if max(absolute(alpha)[1], absolute(gamma)[1]) < self.evaluator.large:
                    result[index] = keys.pop(), alpha, gamma
        return result

    def singularity(self, index: int, box: Box) -> Singularity | None:
        """Describe A = |u|^-q or log u of a node, or of a / sqrt(u), if u is x_k, x_k - s, x_k + s, s - x_k or its abs.

        The zero of u must lie in the side of the box along k, exactly, and A be defined on all the rest of the side.
        """
        nodes = self.evaluator.target.nodes
        op, args, value, _ = nodes[index]
        A, q = (args[1], Fraction(1, 2)) if op == "/" else (index, -value if value else None)
        if not (op == "log" or (op == "power" and value < 0) or (op == "/" and nodes[A].op == "sqrt")):
            return None
        u = nodes[nodes[A].args[0]]
        node = nodes[u.args[0]] if u.op == "abs" else u
        terms = [node] if node.op == "input" else [nodes[arg] for arg in node.args if node.op in ("+", "-")]
        entries, numbers = [x.value for x in terms if x.op == "input"], [x.value for x in terms if x.op == "number"]
        if len(entries) != 1 or len(numbers) != len(terms) - 1:
            return None
        k, s = int(entries[0]), sum(numbers, Fraction(0)) * (-1 if node.op == "+" else 1)
        start, stop = self.head.box[k]
        width = (stop - start) * Fraction(1, 1 << box[k][3])
        below = s - start - width * box[k][2]  # s - a; u >= 0 if s = a, or s = b where u falls
        defined = u.op == "abs" or below == (width if node.op == "-" and terms[1].op == "input" else 0)
        return (A, q, below, width - below) if defined and 0 <= below <= width else None

    def singular_mean(self, key: Singularity) -> int:
        """Bound the mean of |A|^p over the side along k from above, in units of 2^-F.

        The integral of t^-qp from 0 to t is t^(1-qp) / (1-qp); that of (-log t)^n is t I_n, I_n = L^n + n I_(n-1),
        I_0 = 1, L = -log t, and it is at least that of |log t|^p with n = ceil(p) where L >= 1.
        """
        _, q, *distances = key
        F, total = self.F, Fraction(0)
        if q is not None:
            c = 1 - q * self.p
            require(c > 0, "leaf", "the singularity is not integrable to the power p")
            total = sum((Fraction(self.power(c, enclose(t, F))[1], c) for t in distances), total)
        for t in distances if q is None else []:
            if t > 0:
                L = minus(point("log", t.denominator << F, F), point("log", t.numerator << F, F))
                require(L[0] >= 1 << F, "leaf", "the log is singular farther than 1/e from an end of the box")
                power = integral = 1 << F
                for n in range(1, -(-self.p // 1) + 1):
                    power = -(-power * L[1] >> F)
                    integral = power + n * integral
                total += t * integral
        return -(-total // sum(distances))


# ---------------------------------------------------------------------------------------------------------------------
# The paving proof for sums of heads


class Added(Integral):
    """Proves |target - T| <= bound for one output column of a sum of heads, by enclosures or models of each T_h.

    The tokens, centres and radii of the walk are lists of those of the heads, whose own walks are the `parts`.
    """

    marks = "." + ORDERS

    def __init__(self, total: Sum, target: Target, j: int, bound: Fraction, P: int, silence: int) -> None:
        """Round the bound down."""
        super().__init__(total.heads[0], target, j, Fraction(1), P, silence)
        self.bound = enclose(bound, P)[0]
        self.conditions = [Evaluator(condition, P, total.limits) for condition in total.conditions]
        self.parts = [Integral(head, target, j, Fraction(1), P, silence) for head in total.heads]
        self.all: Any = [part.all for part in self.parts]

    def without_silent(self, box: Box, tokens: Any) -> Any:
        """Drop the silent tokens of each head."""
        return zip(*[part.without_silent(box, own) for part, own in zip(self.parts, tokens, strict=True)], strict=True)

    def rule(self, mark: str, box: Box, tokens: Any, centres: Any, radii: Any) -> None:
        """Prove |target - sum of T_h| <= bound on a box for all entries of the column."""
        walks = list(zip(self.parts, tokens, centres, radii, strict=True))
        values = [part.at_box(box, own) for part, own, _, _ in walks]
        if mark == ".":
            enclosures = self.evaluator.enclosures([(lo, hi) for lo, hi, _, _ in box], self.outputs)
            weights = [part.weights(own, reach) for part, _, own, reach in walks]
            for row, error in enumerate(enclosures):
                for (part, *_), v, each in zip(walks, values, weights, strict=True):
                    error = minus(error, part.head_range(v[row], part.spans[row], each))
                require(max(error[1], -error[0]) <= self.bound, "leaf", f"row {row}, |f - T| <= bound")
            return
        models, targets = self.modelled(mark, box)
        jets = [part.jets(models, box, own, scores) for part, own, scores, _ in walks]
        for row, error in enumerate(targets):
            for (part, own, _, _), v, expansion in zip(walks, values, jets, strict=True):
                M0, M1, near = part.moments(models, v[row], expansion)
                require(M0.low > 0, "leaf", "the box is too large for an expansion")
                T = models.combined(add, near, models.multiplied(M1, models.reciprocal(M0)))
                least, greatest = part.spans[row]
                silent = -((len(own[0]) - part.head.tokens) * (greatest - least) >> part.silence)  # W S, rounded up
                error = models.combined(sub, error, T)
                error = models.bounded(error.coefs, error.rest + v[row].moved + silent)
            sides = [error.coefs, list(map(neg, error.coefs))]
            proved = all(self.bound + models.table.least(coefs) >= error.rest for coefs in sides)
            require(proved, "leaf", f"row {row}, expansion {mark}")


# ---------------------------------------------------------------------------------------------------------------------
# The layers proof


class Layers(Walk):
    """The proof that the softmax is within delta of the one-hot vector of the best token outside a layer."""

    marks = ".!"

    def __init__(self, head: Head, j: int, delta: Fraction, P: int, silence: int) -> None:
        """Start with an empty layer."""
        super().__init__(head, j, P, silence)
        self.delta, self.sums = delta, [Fraction(0)]

    def rule(self, mark: str, box: Box, tokens: Tokens, centres: list[int], radii: list[int]) -> None:
        """Prove 2 (1 - p) <= delta < 1 for the weight p >= (1 - W) / (sum of e^(s_i - s_r)) of the best token r."""
        if mark == "!":
            self.sums[0] += Fraction(1, 1 << sum(level for _, _, _, level in box))
            return
        weights = self.weights(centres, radii)
        silent = -(self.head.tokens - len(tokens[0])) << self.P >> self.silence  # -W, rounded down
        total = sum(high for _, high in weights)
        enough = all(high for _, high in weights) and 2 * ((1 << self.P) + silent) >= (2 - self.delta) * total
        require(enough, "leaf", "the softmax may differ from one-hot by more than delta")


# ---------------------------------------------------------------------------------------------------------------------
# The partition. An affine function is a list of integers, its slopes and its constant, in the coordinates y = q x.

Affine = list[int]
Ends = list[tuple[int, int]]  # for each side of a box its ends, times q


class Region(NamedTuple):
    """The points of the domain at which the token scores at least as high as each neighbour, and a ball around them."""

    token: int
    neighbours: list[int]
    centre: list[Fraction]
    radius: Fraction


def volume(rows: Iterable[tuple[list[int], Fraction]]) -> Fraction:
    """Return the volume of {y : a.y + c >= 0 for every row (a, c)}, which must be bounded by rows along each axis.

    By Lasserre's recursion: n times it is the sum over faces of c / |a_k| times the volume of the face, seen along an
    axis k with a_k != 0. Of parallel rows only the tightest counts, so that no face counts twice.
    """
    tight: dict[tuple[int, ...], Fraction] = {}
    for slopes, c in rows:
        size = gcd(*slopes)
        if size:
            a, offset = tuple(slope // size for slope in slopes), Fraction(c, size)
            tight[a] = min(tight.get(a, offset), offset)
        elif c < 0:
            return Fraction(0)
    n, total = len(next(iter(tight))), Fraction(0)
    if n == 1:
        return max(Fraction(0), tight[1,] + tight[-1,])
    for a, c in tight.items():
        k = next(k for k, slope in enumerate(a) if slope)
        if c:
            face, size = [], abs(a[k])
            for b, d in tight.items():
                factor = b[k] if a[k] > 0 else -b[k]
                row = [size * s - factor * r for i, (s, r) in enumerate(zip(b, a, strict=True)) if i != k]
                if b != a:
                    face.append((row, size * d - factor * c))
            total += Fraction(c, size) * volume(face)
    return Fraction(total, n)


class Cells:
    """The declared regions of one output column; `scores` are those of all tokens, times the integer `unit`.

    Regions may be enlarged by kappa: a token then has to score at least as high as each neighbour less kappa.
    """

    def __init__(
        self, head: Head, j: int, declared: list[Region], reader: Reader, kappa: Fraction = Fraction(0)
    ) -> None:
        """Put the scores and kappa on one denominator."""
        self.head, self.reader, self.m, self.where = head, reader, len(head.box), f"column {j}"
        self.regions = {region.token: region for region in declared}
        forms = head.scores(j)
        require(all(len(axes) < 2 for axes in forms), "unsupported", f"{self.where}: regions of quadratic scores")
        rows = [forms.get(axes, Fraction(0)) for axes in [*((k,) for k in range(self.m)), ()]]  # none for a fixed entry
        self.unit = self.denominator(
            number for row in [*rows, kappa] for number in (row if isinstance(row, list) else [row])
        )
        self.kappa = int(kappa * self.unit)
        reader.spend(head.tokens * (self.m + 1) * (64 + self.unit.bit_length()))
        self.scores = [[int(entry(row, i) * self.unit) for row in rows] for i in range(head.tokens)]
        work = len(declared) * head.tokens + sum((len(r.neighbours) + 2 * self.m) ** self.m for r in declared)
        require(work <= reader.limits.pairs, "limit", f"{self.where}: more regions, tokens and facets than allowed")

    def denominator(self, numbers: Iterable[Fraction]) -> int:
        """Return a common denominator."""
        unit = 1
        for number in numbers:
            if unit % number.denominator:
                unit = lcm(unit, number.denominator)
                require(unit.bit_length() <= self.reader.limits.exact, "limit", "a common denominator grows too long")
        return unit

    def lead(self, i: int, k: int, q: int) -> Affine:
        """Return s_i - s_k + kappa times unit q."""
        *slopes, c = map(sub, self.scores[i], self.scores[k])
        return [*slopes, (c + self.kappa) * q]

    def prove(
        self, goal: Affine, pairs: Any, known: Iterable[int], i: int, q: int, box: Ends, where: str, duty: str
    ) -> Fraction:
        """Prove goal - sum of weight (s_i - s_k + kappa) >= 0 on a box, k known tokens; return the sum of the weights.

        So goal >= 0 wherever in the box s_i is at least every s_k - kappa.
        """
        terms = []
        for n, pair in enumerate(typed(pairs, list, where)):
            token, number = items_of(pair, 2, f"{where}[{n}]")
            k, weight = count_of(token, f"{where}[{n}]", 0, self.head.tokens - 1), self.reader.number(number, where)
            require(k in known and weight >= 0, "region", f"{where}[{n}]: {duty}: no multiplier for token {k}")
            terms.append((weight, self.lead(i, k, q)))
        unit = self.denominator(weight for weight, _ in terms)
        total = [unit * number for number in goal]
        for weight, f in terms:
            factor = int(weight * unit)
            total = [number - factor * part for number, part in zip(total, f, strict=True)]
        least = total[-1] + sum(a * (lo if a >= 0 else hi) for a, (lo, hi) in zip(total, box, strict=False))
        require(least >= 0, "region", f"{where}: {duty}")
        return sum((weight for weight, _ in terms), Fraction(0))

    def bounding_box(
        self, i: int, known: Iterable[int], box: Any, faces: Any, where: str
    ) -> tuple[list[Side], int, Ends, Ends]:
        """Prove that a box holds the region of token i among known ones; return its sides, and with a common
        denominator q its ends and those of the domain.
        """
        numbers, m = self.reader.number, self.m
        pairs = [items_of(side, 2, where) for side in items_of(box, m, where)]
        sides = [(numbers(lo, f"{where}.box"), numbers(hi, f"{where}.box")) for lo, hi in pairs]
        q = self.denominator(end for side in [*sides, *self.head.box] for end in side)
        ends, domain = [[(int(lo * q), int(hi * q)) for lo, hi in part] for part in (sides, self.head.box)]
        for n, terms in enumerate(items_of(faces, 2 * m, f"{where}.faces")):
            k, sign, goal = n // 2, 1 - n % 2 * 2, [0] * (m + 1)
            goal[k], goal[m] = sign * self.unit, -sign * self.unit * ends[k][n % 2]
            duty = f"radius: the region of token {i} may reach beyond its bounding box"
            self.prove(goal, terms, known, i, q, domain, f"{where}.faces[{n}]", duty)
        return sides, q, ends, domain

    def check_region(self, region: Region, value: Any, where: str) -> tuple[Fraction, int]:
        """Prove that no token wins inside a region, which lies in its ball; return its volume and the inequalities."""
        i, m, known, numbers = region.token, self.m, set(region.neighbours), self.reader.number
        box, faces, beaten, size = fields_of(value, where, "box", "faces", "beaten", "volume")
        sides, q, ends, domain = self.bounding_box(i, known, box, faces, where)
        for n, pair in enumerate(typed(beaten, list, f"{where}.beaten")):
            token, pairs = items_of(pair, 2, f"{where}.beaten[{n}]")
            k = count_of(token, f"{where}.beaten[{n}]", 0, self.head.tokens - 1)
            duty = f"argmax: token {k} may win inside the region of token {i}"
            self.prove(self.lead(i, k, q), pairs, known, i, q, ends, f"{where}.beaten[{n}]", duty)
            known.add(k)  # from here on s_i >= s_k is known of the region
        *slopes, bias = self.scores[i]
        margins = [(bias - score[m]) * q for score in self.scores]
        for a, (lo, hi), k in zip(slopes, ends, range(m), strict=True):
            tilts = [a - score[k] for score in self.scores]
            margins = [least + (d * lo if d >= 0 else d * hi) for least, d in zip(margins, tilts, strict=True)]
        for k, margin in enumerate(margins):
            beats = margin >= 0 or k in known
            require(beats, "region", f"{where}: argmax: token {k} may win inside the region of token {i}")
        far = sum(max(abs(end - c) for end in side) ** 2 for side, c in zip(sides, region.centre, strict=True))
        require(far <= region.radius**2, "region", f"{where}: radius: the bounding box is not inside the ball")
        checked = 2 * m + self.head.tokens
        if m > 3:
            require(size is None, "malformed", f"{where}.volume: not null")
            return Fraction(0), checked
        rows = [(f[:-1], Fraction(f[-1])) for f in (self.lead(i, k, q) for k in region.neighbours)]
        for k, side in enumerate(domain):
            rows += [
                ([s * (n == k) for n in range(m)], Fraction(-s * end)) for s, end in zip((1, -1), side, strict=True)
            ]
        exact = Fraction(volume(rows), q**m)
        require(numbers(size, f"{where}.volume") == exact, "region", f"{where}: volume: not that of the region")
        return exact, checked + 1

    def check(self, value: Any, where: str) -> int:
        """Prove the column; return the number of inequalities."""
        proofs, undeclared = fields_of(value, where, "regions", "undeclared")
        items_of(proofs, len(self.regions), f"{where}.regions")
        found = [
            self.check_region(region, proof, f"{where}.regions[{n}]")
            for n, (region, proof) in enumerate(zip(self.regions.values(), proofs, strict=True))
        ]
        q = self.denominator(end for side in self.head.box for end in side)
        domain, beaten = [(int(lo * q), int(hi * q)) for lo, hi in self.head.box], set(self.regions)
        for n, pair in enumerate(typed(undeclared, list, f"{where}.undeclared")):
            token, pairs = items_of(pair, 2, f"{where}.undeclared[{n}]")
            e = count_of(token, f"{where}.undeclared[{n}]", 0, self.head.tokens - 1)
            duty = f"cover: token {e} may beat every token that has a region"
            weight = self.prove([0] * (self.m + 1), pairs, self.regions, e, q, domain, f"{where}.undeclared[{n}]", duty)
            require(weight > 0, "region", f"{where}.undeclared[{n}]: {duty}")
            beaten.add(e)
        for e in range(self.head.tokens):
            require(e in beaten, "region", f"{where}: cover: token {e} may beat every token that has a region")
        different = len({tuple(self.scores[i]) for i in self.regions}) == len(self.regions)
        require(different, "region", f"{where}: disjoint: two tokens with a region have equal scores")
        total, sizes = prod(hi - lo for lo, hi in self.head.box), sum(size for size, _ in found)
        require(
            self.m > 3 or sizes == total, "region", f"{where}: volume: the volumes do not add up to that of the domain"
        )
        return sum(checked for _, checked in found) + int(self.head.tokens) - len(self.regions) + 1

    def holds(self, i: int, values: list[int], strictly: bool) -> bool:
        """Tell whether a point with these scores lies in the region of token i (strictly: inside)."""
        rivals = [k for k in self.regions[i].neighbours if not (strictly and self.scores[k] == self.scores[i])]
        return all(values[i] > values[k] if strictly else values[i] >= values[k] for k in rivals)

    def check_breach(self, name: str, place: list[Fraction], tokens: list[int]) -> bool:
        """Tell whether an obligation fails at a point of the domain."""
        q = self.denominator(place)
        y = [*(int(x * q) for x in place), q]
        values = [sum(map(mul, score, y)) for score in self.scores]
        known = [token for token in tokens if token in self.regions]
        if name == "cover":
            return not tokens and not any(self.holds(i, values, False) for i in self.regions)
        if name == "argmax":
            return (
                len(tokens) == 2
                and tokens[0] in known
                and self.holds(tokens[0], values, False)
                and values[tokens[1]] > values[tokens[0]]
            )
        if name == "disjoint":
            inside = all(lo < x < hi for x, (lo, hi) in zip(place, self.head.box, strict=True))
            return inside and len(set(known)) == len(tokens) == 2 and all(self.holds(i, values, True) for i in known)
        require(name == "radius", "unsupported", f"evidence.obligation: {printable(name)}")
        if len(tokens) != 1 or tokens != known or not self.holds(tokens[0], values, False):
            return False
        centre, radius = self.regions[tokens[0]].centre, self.regions[tokens[0]].radius
        return sum((x - c) ** 2 for x, c in zip(place, centre, strict=True)) > radius**2


# ---------------------------------------------------------------------------------------------------------------------
# The proof by enlarged regions


class Enlarged(Expansion):
    """Proves for each token of an output column, wherever it scores at least the best score less kappa, that |target -
    v_i| <= delta: on a bounding box of that region, whose split tree leaves out where a rival is better by kappa.
    """

    def __init__(
        self, head: Head, target: Target, j: int, kappa: Fraction, delta: Fraction, P: int, reader: Reader
    ) -> None:
        """Round delta down, and kappa up: tokens are silent where they score that much less than another."""
        super().__init__(head, target, j, P, 0)
        self.silent += enclose(kappa, 2 * P + 1)[1]
        self.delta, self.column, self.nodes = enclose(delta, P)[0], self.all, 0
        self.cells = Cells(head, j, [], reader, kappa)

    def check_token(self, i: int, value: Any, where: str) -> int:
        """Prove it for a token; return the number of leaves, 0 for a region that its bounding box shows to be empty."""
        rivals, box, faces, tree = fields_of(value, where, "rivals", "box", "faces", "tree")
        known = [count_of(k, where, 0, self.head.tokens - 1) for k in typed(rivals, list, where)]
        self.enter(self.cells.bounding_box(i, set(known), box, faces, where)[0])
        if tree is None:
            require(any(lo > hi for lo, hi in self.sides), "region", f"{where}: no tree, and the box is not empty")
            return 0
        self.token, self.all = i, [[numbers[k] for k in (i, *known)] for numbers in self.column]
        self.nodes += len(typed(tree, str, where))
        require(self.nodes <= self.head.limits.nodes, "limit", f"{where}: too many nodes of trees")
        return self.check(tree)

    def rule(self, mark: str, box: Box, tokens: Tokens, centres: list[int], radii: list[int]) -> None:
        """Prove |target - v_i| <= delta on a box for all entries of the column, unless token i is silent there."""
        if tokens[0][0] != self.token:
            return
        enclosures = self.evaluator.enclosures([(lo, hi) for lo, hi, _, _ in box], self.outputs)
        heads = self.at_box(box, [part[:1] for part in tokens])
        for row, ((low, high), v) in enumerate(zip(enclosures, heads, strict=True)):
            ((least,), (most,)) = v.ranges()
            near = max(high - least, most - low) <= self.delta
            require(near, "leaf", f"row {row}: the target may miss the value of token {self.token} by more than delta")


# ---------------------------------------------------------------------------------------------------------------------
# The counterexample


def error_at(head: Head | Sum, target: Target, place: list[Fraction], r: int, j: int, P: int) -> Interval:
    """Enclose target - T at a point, for entry [r, j]; the scores are exact, and relative to the best one."""
    sides, outputs = [enclose(x, P) for x in place], [target.outputs[r][j]]
    value: Interval = Evaluator(target, P, head.limits).enclosures(sides, outputs)[0]
    for part in head.heads if isinstance(head, Sum) else [head]:
        exact, values = part.at(part.scores(j), place), part.at(part.values[r], place)
        best = max(exact)
        top = bottom = (0, 0)
        for score, number in zip(exact, values, strict=True):
            lo, hi = enclose(score - best, P)
            weight = point("exp", lo, P)[0], point("exp", hi, P)[1]
            top = plus(top, times(weight, enclose(number, P), P))
            bottom = plus(bottom, weight)  # at least 1, by the best score
        value = minus(value, divided(top, bottom, P))
    return value


# ---------------------------------------------------------------------------------------------------------------------
# The door


def walks_of(head: Head | Sum, evidence: Any, reader: Reader, *names: str) -> tuple[list[Any], int, int, list[str]]:
    """Return the fields of these names, the precision, the k of the silent tokens and a tree for each column."""
    _, *fields, bits, k, trees = fields_of(evidence, "evidence", "kind", *names, "precision", "silence", "trees")
    P = count_of(bits, "evidence.precision", 32, reader.limits.precision)
    silence = count_of(k, "evidence.silence", 1, reader.limits.silence)
    columns = len(head.selected)
    number = len(typed(trees, list, "evidence.trees"))
    require(number == columns, "tree", f"evidence.trees: {number} for {columns} output columns")
    nodes = sum(len(typed(tree, str, "evidence.trees")) for tree in trees)
    require(nodes <= reader.limits.nodes, "limit", f"evidence.trees: more than {reader.limits.nodes} nodes")
    return fields, P, silence, trees


def walked(make: Callable[[int], Walk], trees: list[str], reader: Reader) -> tuple[int, list[list[Fraction]]]:
    """Check the trees, a column at a time; return the number of leaves, and the sums of each column."""

    def done(share: Share) -> list[tuple[int, list[Fraction]]]:
        found = []
        for j, tree in enumerate(trees):
            walk = make(j)
            leaves, size = walk.check(tree, share), prod(hi - lo for lo, hi in walk.head.box)
            found.append((leaves, [Fraction(total) * size for total in walk.sums]))
        return found

    parts = list(reader.spread(done, [(k, reader.shares) for k in range(reader.shares)]))
    require(len(parts) == reader.shares, "limit", "a share of the work was not done")
    columns = [list(zip(*column, strict=True)) for column in zip(*parts, strict=True)]
    leaves = sum(sum(counts) for counts, _ in columns)
    require(leaves > 0, "tree", "no leaf was checked")
    return leaves, [[sum(totals, Fraction(0)) for totals in zip(*sums, strict=True)] for _, sums in columns]


Proof = tuple[Fraction, str, int, int]  # the bound that it proves, as it is spelled too; leaves and inequalities


def check_paving(head: Head | Sum, target: Target, evidence: Any, tolerance: Fraction, reader: Reader) -> Proof:
    """Check the proof and describe it."""
    (claimed,), P, silence, trees = walks_of(head, evidence, reader, "bound")
    bound = reader.number(claimed, "evidence.bound")
    require(0 < bound <= tolerance, "claim", "evidence.bound: not positive, or more than the tolerance")

    def made(j: int) -> Walk:
        kind: Any = Added if isinstance(head, Sum) else Paving
        walk: Walk = kind(head, target, j, bound, P, silence)
        return walk

    leaves = walked(made, trees, reader)[0]
    return bound, claimed, leaves, 2 * leaves * len(head.values)


def check_enlarged(head: Head, target: Target, evidence: Any, tolerance: Fraction, reader: Reader) -> Proof:
    """Check the proof and describe it.

    Let b be the best token at a point. Any token i has |target - v_i| <= delta there, as b has, or else scores at most
    s_b - kappa: it weighs at most e^-kappa, and |target - v_i| <= delta + |v_b - v_i|. At most N - 1 tokens do.
    """
    names = ("bound", "kappa", "delta", "precision", "columns")
    _, claimed, *numbers, bits, columns = fields_of(evidence, "evidence", "kind", *names)
    bound, kappa, delta = [reader.number(x, "evidence.bound, kappa or delta") for x in (claimed, *numbers)]
    require(0 < bound <= tolerance, "claim", "evidence.bound: not positive, or more than the tolerance")
    require(kappa > 0, "claim", "evidence.kappa: not positive")
    P = count_of(bits, "evidence.precision", 32, reader.limits.precision)
    leak = (head.tokens - 1) * point("exp", enclose(-kappa, P)[1], P)[1]
    leaves = 0
    for j, proofs in enumerate(items_of(columns, len(head.selected), "evidence.columns")):
        walk = Enlarged(head, target, j, kappa, delta, P, reader)
        worst = delta + max(Fraction(leak * (high - low), 1 << 2 * P) for low, high in walk.spans)
        require(worst <= bound, "leaf", f"column {j}: delta and the weight of tokens below kappa exceed the bound")
        for i, proof in enumerate(items_of(proofs, head.tokens, f"evidence.columns[{j}]")):
            leaves += walk.check_token(i, proof, f"evidence.columns[{j}][{i}]")
    require(leaves > 0, "tree", "no leaf was checked")
    return bound, claimed, leaves, 2 * leaves * len(head.values) + 2 * len(head.box) * head.tokens * len(columns)


def check_integral(
    head: Head, target: Target, evidence: Any, p: Fraction, tolerance: Fraction, reader: Reader
) -> tuple[str, str, bool, int]:
    """Check lower <= norm <= upper; return both, whether the claim is proved (else refuted), and the leaves."""
    bounds, P, silence, trees = walks_of(head, evidence, reader, "lower", "upper")
    lower, upper = [reader.number(end, "evidence.lower or upper") for end in bounds]
    require(0 <= lower <= upper > 0, "claim", "evidence: not 0 <= lower <= upper > 0")
    require(not lower <= tolerance < upper, "evidence", "the bounds neither prove nor refute the claim")
    leaves, sums = walked(lambda j: Integral(head, target, j, p, P, silence), trees, reader)
    least, most = [sum(totals) for totals in zip(*sums, strict=True)]
    powers = [Arithmetic(2 * P, head.limits).power(p, enclose(end, 2 * P)) for end in (lower, upper)]
    require(most <= powers[1][0], "leaf", "the leaves do not prove norm <= upper")
    require(least >= powers[0][1], "leaf", "the leaves do not prove norm >= lower")
    return bounds[0], bounds[1], upper <= tolerance, leaves


def check_layers(head: Head, evidence: Any, delta: Fraction, measure: Fraction, reader: Reader) -> tuple[int, int]:
    """Check the proof; return the number of leaves and of inequalities."""
    _, P, silence, trees = walks_of(head, evidence, reader)
    leaves, sums = walked(lambda j: Layers(head, j, delta, P, silence), trees, reader)
    for j, (layer,) in enumerate(sums):
        require(layer <= measure, "leaf", f"column {j}: the layer is larger than the measure")
    return leaves, len(trees) + sum(tree.count(".") for tree in trees)


def check_counterexample(
    head: Head | Sum, target: Target, evidence: Any, tolerance: Fraction, reader: Reader
) -> tuple[tuple[str, ...], tuple[int, int]]:
    """Check the refutation; return the point and the entry at which the tolerance is exceeded."""
    _, numbers, indices, bits = fields_of(evidence, "evidence", "kind", "point", "entry", "precision")
    place = [reader.number(x, "evidence.point") for x in typed(numbers, list, "evidence.point")]
    require(len(place) == len(head.box), "shape", f"evidence.point: {len(place)} numbers, not {len(head.box)}")
    inside = all(lo <= x <= hi for x, (lo, hi) in zip(place, head.box, strict=True))
    require(inside, "point", "evidence.point: outside the box of the domain")
    r, j = [count_of(i, "evidence.entry", 0, reader.limits.side) for i in items_of(indices, 2, "evidence.entry")]
    require(r < len(head.values) and j < len(head.selected), "shape", f"evidence.entry: no entry [{r}, {j}]")
    P = count_of(bits, "evidence.precision", 32, reader.limits.precision)
    for condition in head.conditions:
        holds = excludes(Evaluator(condition, P, head.limits), [enclose(x, P) for x in place], (1, 1))
        require(holds, "point", "evidence.point: not proved to satisfy the conditions of the domain")
    lo, hi = error_at(head, target, place, r, j, P)
    exceeds = Fraction(max(lo, -hi), 1 << P) > tolerance
    require(exceeds, "point", f"target - T in [{about(lo, P)}, {about(hi, P)}] does not exceed the tolerance")
    return tuple(numbers), (r, j)


def declared_of(value: Any, head: Head, reader: Reader) -> list[list[Region]]:
    """Return the declared regions of each output column."""
    columns, where = [], "statement.claim.regions"
    for j, column in enumerate(items_of(value, len(head.selected), where)):
        regions = []
        for n, item in enumerate(typed(column, list, f"{where}[{j}]")):
            place = f"{where}[{j}][{n}]"
            token, neighbours, centre, radius = fields_of(item, place, "token", "neighbours", "centre", "radius")
            i, *others = [count_of(k, place, 0, head.tokens - 1) for k in [token, *typed(neighbours, list, place)]]
            require(len({i, *others}) == 1 + len(others), "malformed", f"{place}: a neighbour twice, or no other token")
            ball = [reader.number(x, place) for x in [*items_of(centre, len(head.box), place), radius]]
            require(ball[-1] >= 0, "claim", f"{place}: the radius is negative")
            regions.append(Region(i, others, ball[:-1], ball[-1]))
        require(len({region.token for region in regions}) == len(regions), "malformed", f"{where}[{j}]: a token twice")
        columns.append(regions)
    return columns


def check_partition(head: Head, claim: Any, evidence: Any, reader: Reader) -> tuple[int, int, Any]:
    """Check the proof or the refutation; return the numbers of regions and inequalities, and a point that refutes."""
    columns = declared_of(claim, head, reader)
    total = sum(map(len, columns))
    if kind_of(evidence, "evidence", "kind", "regions", "breach") == "regions":
        _, proofs = fields_of(evidence, "evidence", "kind", "columns")
        checked = 0
        for j, proof in enumerate(items_of(proofs, len(columns), "evidence.columns")):
            checked += Cells(head, j, columns[j], reader).check(proof, f"evidence.columns[{j}]")
        require(checked > 0, "region", "nothing was checked")
        return total, checked, None
    _, column, name, numbers, tokens = fields_of(
        evidence, "evidence", "kind", "column", "obligation", "point", "tokens"
    )
    j = count_of(column, "evidence.column", 0, len(columns) - 1)
    place = [reader.number(x, "evidence.point") for x in items_of(numbers, len(head.box), "evidence.point")]
    inside = all(lo <= x <= hi for x, (lo, hi) in zip(place, head.box, strict=True))
    require(inside, "point", "evidence.point: outside the box of the domain")
    known = [count_of(k, "evidence.tokens", 0, head.tokens - 1) for k in typed(tokens, list, "evidence.tokens")]
    fails = Cells(head, j, columns[j], reader).check_breach(typed(name, str, "evidence.obligation"), place, known)
    require(fails, "point", f"evidence.point: {printable(name)} does not fail there")
    return total, 1, tuple(numbers)


def check_document(document: Any, reader: Reader) -> Finding:
    """Check a certificate that has been parsed."""
    limits = reader.limits
    version = typed(typed(document, dict, "certificate").get("format"), str, "format")
    require(version == "attncert/1", "format", f"unknown format {printable(version)}")
    document.pop("notes", None)
    names = ("format", "statement", "statement_sha256", "evidence")
    _, statement, seal, evidence = fields_of(document, "certificate", *names)
    canonical = json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    digest = hashlib.sha256(canonical.encode("ascii")).hexdigest()
    require(typed(seal, str, "statement_sha256") == digest, "digest", f"the statement has the digest {digest}")

    text, domain, attention, claim = fields_of(statement, "statement", "target", "domain", "attention", "claim")
    where = "statement.claim"
    kind = kind_of(claim, where, "kind", "error", "indicator", "partition")
    if kind == "partition":
        _, regions = fields_of(claim, where, "kind", "regions")
        require(text is None, "malformed", "statement.target: not null")
        head: Any = Head(attention, domain, reader)
        require("where" not in domain, "unsupported", "statement.domain.where: a partition is one of a box")
        require(all(lo < hi for lo, hi in head.box), "domain", "statement.domain.box: a side with lo = hi")
        require(evidence is not None, "evidence", "a claim without evidence")
        total, checked, spot = check_partition(head, regions, evidence, reader)
        sides = " x ".join(f"[{lo}, {hi}]" for lo, hi in domain["box"])
        summary = f"{total} regions are those of the best token, cover {printable(sides, 400)}, meet on faces only"
        verdict = "proved" if spot is None else "refuted"
        return Finding(verdict, digest, f"{summary}, each in its ball", None, checked, total, head.tokens, spot)
    error = kind == "error"
    first, last = ("norm", "tolerance") if error else ("delta", "measure")
    _, *written = fields_of(claim, where, "kind", first, last)
    uniform = error and written[0] == "inf"
    p = delta = Fraction(1, 2) if uniform else reader.number(written[0], f"{where}.{first}")
    require(uniform or (p >= 1 if error else 0 < delta < 1), "claim", f"{where}.{first}: out of range")
    require(p <= limits.norm, "limit", f"{where}.{first}: more than {limits.norm}")
    tolerance = measure = reader.number(written[1], f"{where}.{last}")
    require(tolerance > 0, "claim", f"{where}.{last}: not positive")
    several = uniform and type(attention) is dict and attention.get("kind") == "sum"
    head = (Sum if several else Head)(attention, domain, reader)
    require(uniform or all(lo < hi for lo, hi in head.box), "domain", "statement.domain.box: a side with lo = hi")
    lines = typed(domain.get("where", []), list, "statement.domain.where")
    conditions = [typed(line, str, "statement.domain.where") for line in lines]
    head.conditions = [Target(line, head.inputs, limits, condition=True) for line in conditions]
    sides = " where ".join([" x ".join(f"[{lo}, {hi}]" for lo, hi in domain["box"]), *conditions])
    require(evidence is not None, "evidence", "a claim without evidence")
    if not error:
        require(text is None, "malformed", "statement.target: not null")
        kind_of(evidence, "evidence", "kind", "layers")
        leaves, checked = check_layers(head, evidence, delta, measure, reader)
        outside = f"outside measure {printable(written[1])} on {printable(sides, 400)}"
        summary = f"|softmax - one-hot| <= {printable(written[0])} {outside}"
        return Finding("proved", digest, summary, written[1], checked, leaves, head.tokens)

    target = Target(typed(text, str, "statement.target"), head.inputs, limits)
    shape, wanted = (len(target.outputs), len(target.outputs[0])), (len(head.values), len(head.selected))
    require(shape == wanted, "shape", f"statement.target: shape {shape}, but T has {wanted}")
    norm = "" if uniform else f"_{printable(written[0])}"
    summary = f"|{printable(text)} - T|{norm} <= {printable(written[1])} on {printable(sides, 400)}"
    if not uniform:
        kind_of(evidence, "evidence", "kind", "integral")
        lower, bound, holds, leaves = check_integral(head, target, evidence, p, tolerance, reader)
        verdict, bound = ("proved", bound) if holds else ("refuted", written[1])
        return Finding(verdict, digest, summary, bound, 2 * leaves * shape[0], leaves, head.tokens, lower=lower)
    checks: dict[str, Callable[..., Proof]] = {"paving": check_paving, "enlarged": check_enlarged}
    kinds = ["paving"] if several else [*checks, "both"]
    kind = kind_of(evidence, "evidence", "kind", *kinds, "counterexample")
    if kind == "counterexample":
        place, at = check_counterexample(head, target, evidence, tolerance, reader)
        return Finding("refuted", digest, summary, written[1], 1, 0, head.tokens, place, at)
    parts = {kind: evidence}
    if kind == "both":
        _, *both = fields_of(evidence, "evidence", "kind", *checks)
        parts = dict(zip(checks, both, strict=True))
    found = []
    for name, part in parts.items():
        kind_of(part, f"evidence.{name}", "kind", name)
        found.append(checks[name](head, target, part, tolerance, reader))
    leaves, checked = [sum(counts) for counts in zip(*(proof[2:] for proof in found), strict=True)]
    return Finding("proved", digest, summary, min(found)[1], checked, leaves, head.tokens)


def check_bytes(data: bytes, limits: Limits = Limits(), shares: int = 1, spread: Spread = map) -> Finding:
    """Check one certificate; raise Rejected, and nothing else, if it is not accepted.

    The walks down split trees come in `shares`; `spread` applies a function to each, by default here, one by one.
    """
    try:
        return check_document(read_document(data, limits), Reader(limits, shares, spread))
    except (RecursionError, MemoryError, OverflowError) as error:
        raise Rejected("limit", f"the machine gave up: {type(error).__name__}") from None
    except Rejected:
        raise
    except Exception as error:
        raise Rejected("malformed", f"internal error: {type(error).__name__}: {printable(str(error))}") from error


def check_file(path: str | PathLike[str], limits: Limits = Limits()) -> Finding:
    """Check the certificate in a file; raise OSError if it cannot be read."""
    with open(path, "rb") as stream:
        data = read_at_most(stream.read, limits.document)
    return check_bytes(data, limits)


def main(argv: Sequence[str]) -> int:
    """Check the files, print a line for each, and return the exit code."""
    if not argv or any(argument.startswith("-") for argument in argv):
        print("usage: python kernel.py FILE...", file=sys.stderr)
        return 2
    code = 0
    for path in argv:
        try:
            found = check_file(path)
        except (Rejected, OSError) as error:
            verdict, line = ("rejected", str(error)) if isinstance(error, Rejected) else ("unreadable", error.strerror)
        else:
            verdict, line = found.verdict, found.claim
            line += "" if found.bound is None else f"; bound {printable(found.bound)}"
            line += f"; {found.tokens} tokens; "
            line += f"{found.leaves} leaves" if found.point is None else f"at {printable(str(found.point))}"
            line += f"; norm at least {printable(found.lower)}" if found.lower is not None else ""
            line += f"; {found.obligations} obligations; sha256 {found.statement_sha256}"
        code = max(code, {"proved": 0, "unreadable": 2}.get(verdict, 1))
        stream = sys.stderr if verdict == "unreadable" else sys.stdout
        print(f"{verdict} {printable(path, 1000)}: {line}", file=stream, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
