"""The trusted base: re-proves the claim of an attncert certificate, or rejects the file with a reason.

    python kernel.py FILE...

One line a file: `proved`, `refuted` or `rejected`. Exit 0 if every file is proved, 1 if one is refuted or rejected, 2
for usage errors and unreadable files. The format and the rules of proof are those of docs/certificate-format.md.

Nothing in the file is trusted. Every decision is made on integers: exact rationals, and intervals whose ends are
integers in units of 2^-P ("P fractional bits"). Read from the top: limits and errors; integers and intervals;
elementary functions; numbers and expressions; series; ranges and Taylor models; the certificate; the reduction of the
attention to scores and values; these on a box; the walk down a split tree; the rules of its leaves; the partition; the
door.
"""

import gzip
import hashlib
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache, partial, reduce
from io import BytesIO
from itertools import combinations_with_replacement, compress
from math import comb, factorial, gcd, isqrt, lcm, prod
from operator import add, mul, neg, sub, truediv
from os import PathLike
from typing import Any, NamedTuple

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
    exact: int = 10_000_000  # bits of a number in the exact arithmetic, and of an integer power before it is rounded
    side: int = 4_000_000  # rows or columns of a matrix or an input, hence tokens
    target: int = 1_000_000  # characters of the target
    magnitude: int = 100_000  # values of the target stay below 2^magnitude
    precision: int = 100_000  # fractional bits, and the k of the silent tokens
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
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        """Join the two."""
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True)
class Finding:
    """What was established, once every obligation has been checked."""

    verdict: str  # "proved" or "refuted"
    claim: str  # one readable line
    bound: str | None  # the bound that was proved (of an indicator, the measure), or the tolerance that is exceeded
    obligations: int  # inequalities: for a leaf two an entry of its column, or one of an indicator; faces of boxes
    leaves: int  # of a partition, the regions
    point: tuple[str, ...] | None = None
    entry: tuple[int, int] | None = None
    lower: str | None = None  # the lower bound of an L_p norm that was proved
    tokens: int = 0
    statement_sha256: str = ""


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
    low, high = sorted(end * top for end in x)
    return low // bottom, -(-high // bottom)


def plus(x: Interval, y: Interval) -> Interval:
    """Return x + y, exactly."""
    return x[0] + y[0], x[1] + y[1]


def minus(x: Interval, y: Interval) -> Interval:
    """Return x - y, exactly."""
    return x[0] - y[1], x[1] - y[0]


def times(x: Interval, y: Interval, P: int) -> Interval:
    """Enclose x y: it is linear in each factor, so its extremes are among the products of ends."""
    ends = [a * b for a in x for b in y]
    return outward((min(ends), max(ends)), P)


def divided(x: Interval, y: Interval, P: int) -> Interval:
    """Enclose x / y, rejected if y meets 0: monotone in each argument, so its extremes are at the ends."""
    require(not y[0] <= 0 <= y[1], "undefined", "the denominator of / may be 0")
    ends = [neighbours(a << P, b) for a in x for b in y]
    return min(lo for lo, _ in ends), max(hi for _, hi in ends)


def absolute(x: Interval) -> Interval:
    """Return |x|, whose least value is 0 when x meets 0."""
    return max(0, x[0], -x[1]), max(-x[0], x[1])


# ---------------------------------------------------------------------------------------------------------------------
# Elementary functions at a point: the argument is exactly x 2^-P and the answer encloses the value. Each function works
# with W > P fractional bits and states its errors in units of 2^-W; W itself only decides how narrow the answer is.


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
    if x < -P << P:
        return 0, 1  # e^x < e^-P < 2^-P
    k = isqrt(P) // 2
    W = P + max(0, (3 * x >> P + 1) + 2) + (x >> P).bit_length() + k + 16  # 3/2 > 1/ln 2, so W > P + n
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
    W = P + s.bit_length() + 2 * k + 16
    one = 1 << W
    m = (x << W) >> s + P
    for _ in range(k):
        m = isqrt(m << W)
    lo, hi = odd_series((m - one << W) // (m + one), W, 1)
    return outward(plus(scaled(constant("ln2", W), s, 1), (lo << k + 1, hi + 3 << k + 1)), W - P)


def atan_point(x: int, P: int) -> Interval:
    """Enclose atan x = 2^k atan y for x >= 0, halving the angle k times by y -> y / (1 + sqrt(1 + y^2)), so y < 1/4.

    A halving halves the error and adds less than a unit, so y is off by less than 2, and so is atan y.
    """
    if x <= 0:
        return minus((0, 0), atan_point(-x, P)) if x else (0, 0)
    k = isqrt(P) // 4 + 3
    W = P + 2 * k + 16
    y = x << W - P
    for _ in range(k):
        y = (y << W) // ((1 << W) + isqrt((1 << 2 * W) + y * y))
    lo, hi = odd_series(y, W, -1)
    return outward((lo - 2 << k, hi + 2 << k), W - P)


@lru_cache(maxsize=1 << 14)
def quadrant(x: int, P: int) -> int:
    """Return floor(x / (pi/2)) exactly: x / (pi/2) lies between the two quotients, so equal floors are its floor.

    They agree at some precision, because pi is irrational and so x / (pi/2) is no integer unless x = 0.
    """
    W = max(P, x.bit_length()) + 16
    while True:
        first, last = [(x << W - P + 1) // pi for pi in constant("pi", W)]
        if first == last:
            return first
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
    W = max(P, x.bit_length()) + P.bit_length() + 16
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
    if x < 0:
        return minus((0, 0), erf_point(-x, P))
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


POINT = {"exp": exp_point, "log": log_point, "atan": atan_point, "erf": erf_point}


@lru_cache(maxsize=1 << 14)
def point(name: str | Fraction, x: int, P: int) -> Interval:
    """Enclose a function, or x^b = exp(b log x) for x > 0, b = -1 or no integer; 0^b = 0 is for b > 0; remembered.

    A root x^(1/2) is an integer root, rounded down, and exact when its square gives x back.
    """
    if isinstance(name, str):
        return POINT[name](x, P)
    if name == Fraction(1, 2):
        root = isqrt(x << P)
        return root, root + (root * root != x << P)
    if x == 0 or name == -1:
        return neighbours(1 << 2 * P, x) if x else (0, 0)
    W = P + 16
    while True:
        lo, hi = scaled(log_point(x << W - P, W), name.numerator, name.denominator)
        lo, hi = outward((exp_point(lo, W)[0], exp_point(hi, W)[1]), W - P)  # exp increases
        if hi - lo <= 2:
            return lo, hi
        W *= 2


# ---------------------------------------------------------------------------------------------------------------------
# Exact numbers and expressions: the target is parsed to a list of nodes, operands first, equal subexpressions once.

NUMBER = re.compile(
    r"-?(?:0x[0-9a-fA-F]+(?:\.[0-9a-fA-F]+)?p[+-]?[0-9]+|[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|[0-9]+/0*[1-9][0-9]*)"
)
BLANKS = r"[ \t\r\n]*"
TOKEN = re.compile(
    rf"[XKQ]{BLANKS}\[{BLANKS}[0-9]+{BLANKS},{BLANKS}[0-9]+{BLANKS}\]|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
    r"|[A-Za-z_]\w*|\*\*|[<>]=?|[-+*/()\[\],]|[ \t\r\n]+",
    re.ASCII,
)
# How tightly binary operations bind. Those of one level group to the left, ** to the right; `not` comes between `and`
# and the comparisons, and a sign binds less tightly than **.
BINDING = {"or": 1, "and": 2, "<": 3, "<=": 3, ">": 3, ">=": 3, "+": 4, "-": 4, "*": 5, "/": 5, "**": 6}
NOT_OPERAND, SIGN_OPERAND = 3, 6
CONDITIONS = {"<", "<=", "and", "or", "not"}
EXACT: dict[str, Callable[..., Fraction]] = {"neg": neg, "+": add, "-": sub, "*": mul, "/": truediv}
FUNCTIONS = {"exp", "log", "sqrt", "sin", "cos", "tan", "atan", "erf", "sigmoid", "tanh", "sinh", "cosh", "abs", "sign"}
FUNCTIONS |= {"floor", "where", "min", "max"}


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
    require(NUMBER.fullmatch(text) is not None, "malformed", f"{where}: no exact number: {printable(text)}")
    mantissa, mark, exponent = text.lstrip("-").lower().partition("p" if "x" in text else "e")
    require(len(exponent) <= 9 and abs(int(exponent or 0)) <= limits.exponent, "limit", f"{where}: a large exponent")
    top, _, bottom = mantissa.partition("/")
    whole, _, part = top.partition(".")
    digits, base, places = int(whole + part, 16) if mark == "p" else integer(whole + part), 10, len(part)
    if mark == "p":
        base, places = 2, 4 * places
    value = Fraction(digits, integer(bottom or "1")) * Fraction(base) ** (int(exponent or 0) - places)
    return -value if text[0] == "-" else value


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
        """Cut the text into tokens, the next one last in the list; read a value, '[' values ']' or '[' rows ']'."""
        require(len(text) <= limits.target, "limit", f"target of {len(text)} characters")
        self.limits, self.nodes, self.known = limits, list[Node](), dict[Node, int]()
        names = [f"{name}[{i},{j}]" for name, (r, c) in inputs.items() for i in range(r) for j in range(c)]
        self.entries = {name: k for k, name in enumerate(names)}
        if "X" in inputs:
            self.entries |= {f"x{k}": k for k in range(len(names))} | ({"x": 0} if len(names) == 1 else {})
        tokens = TOKEN.findall(text)
        require("".join(tokens) == text, "target", f"unexpected character in {printable(text)}")
        self.tokens: list[str] = ["", *(token for token in reversed(tokens) if not token.isspace())]
        if condition or self.tokens[-1] != "[":
            self.outputs = [[self.expression()]]
        elif self.tokens[-2] != "[":
            self.outputs = [[entry] for entry in self.listed(self.expression)]
        else:
            self.outputs = self.listed(lambda: self.listed(self.expression))
        require(self.tokens == [""], "target", f"unexpected {printable(self.tokens[-1])}")
        require(len({len(row) for row in self.outputs}) == 1, "target", "rows of different lengths")
        fits = all((self.nodes[n].op in CONDITIONS) == condition for row in self.outputs for n in row)
        require(fits, "target", "a condition is no value, and a value no condition")

    def take(self, expected: str = "") -> str:
        """Step over the next token, which must be among the expected ones if there are any."""
        token = self.tokens[-1]
        fits = token != "" and (not expected or token in expected)
        require(fits, "target", f"{printable(token) or 'the end'} where {expected or 'an expression'} belongs")
        return self.tokens.pop()

    def listed(self, item: Callable[[], Any]) -> list[Any]:
        """Read item (',' item)* in brackets."""
        closing = {"(": ")", "[": "]"}[self.take("([")]
        items = [item()]
        while self.take(closing + ",") == ",":
            items.append(item())
        return items

    def expression(self, binding: int = 0) -> int:
        """Read operand (operation operand)* for the operations that bind at least as tightly as asked."""
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
            spelled = re.sub(r"([0-9]*)\.([0-9]*)", r"0\1.\g<2>0", token)
            return self.node("number", value=rational(spelled, "statement.target", self.limits))
        if token in FUNCTIONS:
            args = self.listed(self.expression)
            many = max(2, len(args)) if token in ("min", "max") else 3 if token == "where" else 1
            require(len(args) == many, "target", f"{token} of {len(args)} arguments")
            return self.node("power", *args, value=Fraction(1, 2)) if token == "sqrt" else self.node(token, *args)
        if token in ("pi", "e"):
            return self.node(token)
        name = re.sub(r"\s|(?<![0-9])0+(?=[0-9])", "", token)  # without blanks and leading zeros
        known = re.fullmatch(r"[XKQ]\[.*|x[0-9]*", name) is not None and (name[0] != "x" or "X[0,0]" in self.entries)
        require(name in self.entries, "shape" if known else "target", f"statement.target: no entry {printable(token)}")
        return self.node("input", value=Fraction(self.entries[name]))

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


# ---------------------------------------------------------------------------------------------------------------------
# Taylor series and polynomials


def series(name: str | Fraction, F: int, lo: int, hi: int, P: int, K: int) -> tuple[list[Interval], int]:
    """Enclose the Taylor coefficients g_k of a function at F, k = 0 .. K, and bound |g_(K+1)| on [lo, hi].

    Of e^x all derivatives are e^x; those of the sine take turns and are at most 1. For x^b g_k = binom(b, k) x^(b-k),
    greatest at an end; for log x and k > 0 (-1)^(k-1) / k takes the place of binom(0, k). For atan g_k = q_(k-1) / k
    with those of 1 / (1 + x^2) = Im 1 / (x - i), so |q_j| <= |x - i|^-(j+1), and q_j = a_j / D^(j+1), D = 1 + F^2, a_0
    = 1, a_1 = -2 F, a_j = -2 F a_(j-1) - D a_(j-2). For erf g_k = 2 w H_(k-1) / k! with w = e^(-F^2) / sqrt(pi) and the
    Hermite polynomials at -F, H_j = -2 F H_(j-1) - 2 (j-1) H_(j-2); by Cramer 2/sqrt(pi) |H_j(x)| e^(-x^2) <= 1.2260
    sqrt(2^j j!).
    """
    one, top = 1 << P, K + 1
    if name in ("exp", "sin", "cos"):
        sin, cos = (point("exp", F, P),) * 2 if name == "exp" else (sine_point(F, P, 0), sine_point(F, P, 1))
        cycle = [sin, cos] if name == "exp" else [sin, cos, minus((0, 0), sin), minus((0, 0), cos)]
        values = [cycle[(k + (name == "cos")) % len(cycle)] for k in range(top)]
        last = point("exp", hi, P)[1] if name == "exp" else one
        return [scaled(value, 1, factorial(k)) for k, value in enumerate(values)], -(-last // factorial(top))
    first = point(name, F, P)
    if name == "atan":
        D, a, near = (1 << 2 * P) + F * F, [1, -2 * F], max(lo, -hi, 0)
        for _ in range(2, K):
            a.append(-2 * F * a[-1] - D * a[-2])
        m = isqrt((1 << 2 * P) + near * near)
        terms = [neighbours(a[k - 1] << P * (k + 2), k * D**k) for k in range(1, top)]
        return [first, *terms], -(-(1 << P * (K + 2)) // (top * m**top))
    if name == "erf":
        H = [1, -2 * F]
        for j in range(2, K):
            H.append(-2 * F * H[-1] - (2 * (j - 1) * H[-2] << 2 * P))
        low, high = constant("pi", 2 * P)
        w = divided(exp_point(-F * F, 2 * P), (isqrt(low << 2 * P), isqrt(high << 2 * P) + 1), 2 * P)
        terms = [scaled(w, 2 * H[k - 1], factorial(k) << P * k) for k in range(1, top)]
        return [first, *terms], isqrt((12260**2 << K + 2 * P) // (10**8 * factorial(K) * top**2)) + 1
    b = name if isinstance(name, Fraction) else Fraction(0)
    require(lo > 0 and b.denominator.bit_length() <= P, "undefined", "no series")
    terms, c = [first], Fraction(1)
    for k in range(1, K + 2):
        c = c * (b - k + 1) * Fraction(1, k) if b else Fraction((-1) ** (k - 1), k)
        x = F if k <= K else lo if b < k else hi
        value = point(b, x, P) if b else (one, one)
        terms.append(scaled(value, c.numerator << P * k, c.denominator * x**k))
    return terms[:-1], absolute(terms[-1])[1]


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
    squares = [(index[(k,)], index.get((k, k), 0)) for k in range(m)] if K else []
    others = [n for n, each in enumerate(axes) if len(each) > 2 or len(set(each)) == 2]
    even = [n for n in others if all(axes[n].count(k) % 2 == 0 for k in axes[n])]
    degrees = [slice(ends[degree], ends[degree + 1]) for degree in range(K + 1)]
    factorials = [prod(factorial(each.count(k)) for k in {*each}) for each in axes]
    return Monomials(axes, degrees, products, squares, even, sorted({*others} - {*even}), factorials)


def lowered(coefs: list[int], rest: int, bits: int) -> tuple[list[int], int]:
    """Drop fractional bits of a polynomial, rounding down, and of its rest, which takes what is cut off."""
    if bits <= 0:
        return [number << -bits for number in coefs], rest << -bits
    cut = sum(number & (1 << bits) - 1 for number in coefs)
    return [number >> bits for number in coefs], -(-(rest + cut) >> bits)


# ---------------------------------------------------------------------------------------------------------------------
# Ranges and Taylor models. An operation on intervals returns its exact range over the operands, rounded outward to P
# fractional bits; a condition is an interval of the integers 0 and 1: (1, 1) is true on the whole box, (0, 0) false,
# (0, 1) undecided. A Taylor model is about a function on a box c + r u, u in [-1, 1]^m.


class Model(NamedTuple):
    """On the box f lies in [low, high], and |f - sum of coefs u^a| <= rest."""

    low: int
    high: int
    coefs: list[int]
    rest: int


class Arithmetic:
    """The operations of the target language: for K = 0 on intervals, else on Taylor models of degree K in m variables.

    Models are made of the ranges, too: that of an operation without a rule for models is the constant that encloses the
    range, and so is one with a rule that does not apply.
    """

    def __init__(self, P: int, limits: Limits, K: int = 0, m: int = 0) -> None:
        """Name the operations as the parser does."""
        self.P, self.limits, self.K, self.large = P, limits, K, 1 << P + limits.magnitude
        require(comb(2 * m + K, K) <= limits.products, "limit", "a Taylor model of too many terms")
        self.table, call, number = monomials(m, K), self.call, self.number
        self.ranges: dict[str, Callable[..., Interval]] = {
            **{name: partial(self.increasing, name) for name in [*POINT, "tan", "sigmoid", "tanh", "sinh"]},
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
        self.rules: dict[str, Callable[..., Any]] = {
            **{name: partial(self.composed, name) for name in [*POINT, "sin", "cos"]},
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
            "tanh": lambda x: call("-", call("*", number(2), self.sigmoid(call("*", number(2), x))), number(1)),
            "sinh": lambda x: call("/", call("-", call("exp", x), call("exp", call("neg", x))), number(2)),
            "cosh": lambda x: call("/", call("+", call("exp", x), call("exp", call("neg", x))), number(2)),
        }

    def call(self, op: str, *operands: Any, value: Fraction = Fraction(0)) -> Any:
        """Apply an operation to ranges, and a rule to models; the range remains where that says no more, or nothing."""
        ranges = partial(self.power, value) if op == "power" else self.ranges[op]
        if self.K == 0:
            return ranges(*operands)
        x = ranges(*[operand[:2] for operand in operands])
        if op in CONDITIONS:
            return ranges(self.call("-", *operands), (0, 0)) if op[0] == "<" and x == (0, 1) else x
        if op == "where" and len(operands) == 2:
            return operands[1]
        rule = partial(self.powers, value) if op == "power" else self.rules.get(op)
        if rule is None or not any(any(operand.coefs[1:]) for operand in operands):
            return self.constant(x)
        try:
            low, high, coefs, rest = rule(*operands)
        except Rejected:
            return self.constant(x)
        return Model(max(low, x[0]), min(high, x[1]), coefs, rest) if 2 * rest < x[1] - x[0] else self.constant(x)

    def increasing(self, name: str, x: Interval) -> Interval:
        """Enclose an increasing function by its values at the ends, where it is defined on all between."""
        lo, hi = x
        if name == "log":
            require(lo > 0, "undefined", "the argument of log may be out of range")
        elif name == "tan":  # increasing between its poles (2n - 1) pi/2, of which both ends have passed equally many
            poles = [quadrant(end, self.P) + 1 >> 1 for end in x]
            require(poles[0] == poles[1], "undefined", "the argument of tan may be a pole")
        elif name in ("exp", "sinh", "cosh"):  # e^|x| < 2^(3/2 |x|)
            size = max(hi, -lo if name == "sinh" else 0)
            require(3 * size >> self.P + 1 < self.limits.magnitude, "limit", f"{name} grows too large")
        return self.at(name, lo)[0], self.at(name, hi)[1]

    def at(self, name: str, x: int) -> Interval:
        """Enclose a function at a point: one without a series by its rule, with more bits until that is narrow."""
        if name in POINT:
            return point(name, x, self.P)
        more = 16
        while True:
            finer = Arithmetic(self.P + more, self.limits)
            lo, hi = outward(finer.rules[name]((x << more, x << more)), more)
            if hi - lo <= 2:
                return lo, hi
            more = self.P + 2 * more

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
            require(bits <= self.limits.exact, "limit", "an integer power is too long")
            x = absolute(x) if n % 2 == 0 else x  # and its integer ends have exact powers, which are rounded once
            up = n > 0
            ends = [outward((y**n, y**n), P * (n - 1)) if up else neighbours(1 << P * (1 - n), y**-n) for y in x]
        else:
            require(x[0] > 0 or (x[0] == 0 and n > 0), "undefined", "the base of a power may be out of range")
            require(bits <= self.limits.magnitude, "limit", "a power is too long")
            ends = [point(b, end, P) for end in x]
        return min(lo for lo, _ in ends), max(hi for _, hi in ends)

    def constant(self, x: Interval) -> Any:
        """Return the constant in the middle of an interval."""
        middle = x[0] + x[1] >> 1
        return Model(*x, [middle] + [0] * (len(self.table.axes) - 1), x[1] - middle) if self.K else x

    def number(self, n: int) -> Any:
        """Return an integer."""
        return self.constant((n << self.P, n << self.P))

    def bounded(self, coefs: list[int], rest: int) -> Model:
        """Complete a model by its range: u^a lies in [-1, 1]."""
        radius = sum(map(abs, coefs)) - abs(coefs[0]) + rest
        require(abs(coefs[0]) + radius < self.large, "limit", "a Taylor model grows too large")
        return Model(coefs[0] - radius, coefs[0] + radius, coefs, rest)

    def combined(self, operation: Callable[[int, int], int], x: Model, y: Model) -> Model:
        """Return x + y or x - y."""
        return self.bounded(list(map(operation, x.coefs, y.coefs)), x.rest + y.rest)

    def multiplied(self, x: Model, y: Model) -> Model:
        """Return x y: the product of the polynomials up to degree K, rounded down, and all else in the rest.

        That is p R_y + R_x (q + R_y) for |x| <= p + R_x, |y| <= q + R_y, and the terms of the product beyond degree K.
        """
        coefs = [0] * len(x.coefs)
        for a, places in zip(x.coefs, self.table.products, strict=True):
            if a:
                for place, b in zip(places, y.coefs):  # noqa: B905
                    coefs[place] += a * b
        p, q = [[sum(map(abs, coefs[degree])) for degree in self.table.degrees] for coefs in (x.coefs, y.coefs)]
        rest = sum(p) * y.rest + x.rest * (sum(q) + y.rest)
        rest += sum(p[k] * sum(q[self.K + 1 - k :]) for k in range(1, self.K + 1))
        return self.bounded(*lowered(coefs, rest, self.P))

    def composed(self, name: str | Fraction, x: Model) -> Model:
        """Return g(x) = sum of g_k (x - F)^k by its Taylor series at a point F of the range of x.

        It is summed by Horner's rule in steps of 2^bits >= |x - F|, which keeps all numbers near their precision.
        """
        P, K, (low, high, coefs, rest) = self.P, self.K, x
        F = min(max(coefs[0], low), high)
        most = max(high - F, F - low)
        bits = most.bit_length() - P
        more = max(0, bits) * (K + 1)
        terms, last = series(name, F << more, low << more, high << more, P + more, K)
        step, value = self.bounded(*lowered([coefs[0] - F, *coefs[1:]], rest, bits)), self.number(0)
        for k in reversed(range(K + 1)):
            term = self.constant(outward(terms[k], more - bits * k))
            value = self.combined(add, self.multiplied(value, step), term)
        return self.bounded(value.coefs, value.rest - (-last * most ** (K + 1) >> P * (K + 1) + more))

    def reciprocal(self, x: Model) -> Model:
        """Return 1 / x, where x does not meet 0."""
        if x.high < 0:
            return self.combined(sub, self.number(0), self.reciprocal(self.combined(sub, self.number(0), x)))
        return self.composed(Fraction(-1), x)

    def powers(self, b: Fraction, x: Model) -> Model:
        """Return x^b: an integer power by squarings, of 1 / x if it is negative, another by its series."""
        if b.denominator != 1:
            return self.composed(b, x)
        result: Model = self.number(1)
        square, n = x if b >= 0 else self.reciprocal(x), abs(int(b))
        while n:
            result = self.multiplied(result, square) if n % 2 else result
            n //= 2
            square = self.multiplied(square, square) if n else square
        return result

    def extreme(self, name: str, x: Model, y: Model, *others: Model) -> Model:
        """Return the least or the greatest operand, which the range of a difference must tell."""
        low, high = self.call("-", x, y)[:2]
        require(not low < 0 < high, "undefined", "a kink")
        return reduce(partial(self.call, name), others, x if (low >= 0) == (name == "max") else y)

    def sigmoid(self, x: Any) -> Any:
        """Return 1 / (1 + e^-x), or 1 - 1 / (1 + e^x) where x is negative, so that no exponential is large."""
        call, one, positive = self.call, self.number(1), x[0] + x[1] >= 0
        value = call("/", one, call("+", one, call("exp", call("neg", x) if positive else x)))
        return value if positive else call("-", one, value)


class Evaluator(Arithmetic):
    """Encloses the nodes of a target over boxes of the input, in order; those that do not vary only once."""

    def __init__(self, target: Target, P: int, limits: Limits, K: int = 0, free: Sequence[int] = ()) -> None:
        """Take the nodes; `free` are the entries that vary, of which the models of degree K > 0 are polynomials."""
        super().__init__(P, limits, K, len(free))
        self.target, self.free = target, list(free)
        numbers = [self.constant(enclose(x.value, P)) if x.op == "number" else None for x in target.nodes]
        self.values: list[Any] = numbers  # None: not proved to be defined on the box
        self.failures: dict[int, Rejected] = {}  # why not

    def enclosures(self, box: Sequence[Interval], outputs: Sequence[int]) -> list[Any]:
        """Enclose some nodes over a box, or reject one that is not proved to be defined."""
        self.run(box)
        return [self.value(output) for output in outputs]

    def value(self, index: int) -> Any:
        """Return the enclosure of a node over the box of the last run, or reject it."""
        if self.values[index] is None:
            raise self.failures[index]
        return self.values[index]

    def place(self, axis: int) -> int:
        """Return the place of the monomial u_k of a free entry."""
        return self.table.squares[self.free.index(axis)][0]

    def input(self, side: Interval, axis: int) -> Any:
        """Return an entry of the input: as a model, x = (lo + hi) / 2 + u (hi - lo) / 2, both perhaps halves."""
        model, (lo, hi) = self.constant(side), side
        if self.K and axis in self.free:
            model.coefs[0], model.coefs[self.place(axis)] = lo + hi >> 1, hi - lo >> 1
            return model._replace(rest=lo + hi & 1)
        return model

    def run(self, box: Sequence[Interval]) -> None:
        """Enclose all nodes over a box."""
        values = self.values
        for index, (op, args, value, varies) in enumerate(self.target.nodes):
            if op == "input":
                values[index] = self.input(box[int(value)], int(value))
            elif varies or values[index] is None:
                if op == "where" and values[args[0]] in ((0, 0), (1, 1)):  # only the branch taken needs to be defined
                    args = (args[0], args[1] if values[args[0]] == (1, 1) else args[2])
                operands = [values[arg] for arg in args]
                try:
                    if None in operands:
                        raise self.failures[args[operands.index(None)]]
                    values[index] = self.call(op, *operands, value=value)
                    lo, hi = values[index][:2]
                    require(-self.large < lo and hi < self.large, "limit", "a value of the target grows too large")
                except Rejected as failure:
                    values[index], self.failures[index] = None, failure


def excludes(condition: Evaluator, box: Sequence[Interval], value: Interval = (0, 0)) -> bool:
    """Tell whether a condition is proved to be false (or to have another value) on a whole box."""
    try:
        return condition.enclosures(box, *condition.target.outputs) == [value]
    except Rejected:
        return False


# ---------------------------------------------------------------------------------------------------------------------
# The certificate: JSON, its types, exact numbers and matrices


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


def typed(value: Any, kind: type, where: str, length: int | None = None) -> Any:
    """Return a value of a JSON type (true and false are no integers), a list perhaps of a fixed length."""
    names = {dict: "an object", list: "a list", str: "a string", int: "an integer"}
    require(type(value) is kind, "malformed", f"{where}: not {names[kind]}")
    require(length is None or len(value) == length, "malformed", f"{where}: not a list of {length}")
    return value


def fields_of(value: Any, where: str, *names: str) -> list[Any]:
    """Return the values of an object with exactly these keys."""
    for name in (*names, *typed(value, dict, where)):
        problem = "no key" if name in names else "unknown key"
        require(name in names and name in value, "malformed", f"{where}: {problem} {printable(name)}")
    return [value[name] for name in names]


def kind_of(value: Any, where: str, *supported: str) -> str:
    """Return the kind of an object, on which its other keys depend."""
    name = str(typed(typed(value, dict, where).get("kind"), str, f"{where}.kind"))
    require(name in supported, "unsupported", f"{where}.kind: {printable(name)}")
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

    def numbers(self, value: Any, where: str, length: int | None = None) -> list[Fraction]:
        """Return the rationals of a list."""
        return [self.number(number, where) for number in typed(value, list, where, length)]

    def matrix(self, value: Any, where: str, height: int | None = None, width: int | None = None) -> list[Row]:
        """Return a matrix of a given height and width as rows; one without listed entries is the constant 0."""
        by_rows = "rows" in typed(value, dict, where)
        shape, content = fields_of(value, where, "shape", "rows" if by_rows else "entries")
        r, c = [
            count_of(side, f"{where}.shape", 1, self.limits.side) for side in typed(shape, list, f"{where}.shape", 2)
        ]
        require(height in (None, r) and width in (None, c), "shape", f"{where}: {r} x {c}, not {height} x {width}")
        rows: list[Row] = [Fraction(0)] * r
        if by_rows:
            require(len(typed(content, list, where)) == r, "shape", f"{where}: {len(content)} rows instead of {r}")
            for i, row in enumerate(content):
                full = isinstance(row, list)
                require(not full or len(row) == c, "shape", f"{where}.rows[{i}]: not {c} numbers")
                rows[i] = (self.numbers if full else self.number)(row, f"{where}.rows[{i}]")
            return rows
        self.spend(64 * r)
        given: set[tuple[int, int]] = set()
        for n, item in enumerate(typed(content, list, where)):
            place = f"{where}.entries[{n}]"
            *indices, number = typed(item, list, place, 3)
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
        where, self.limits, matrix = "statement.attention", reader.limits, reader.matrix
        cross = kind_of(value, where, "self", "cross") == "cross"
        parts = [("K", "key_shape", "_K"), ("Q", "query_shape", "_Q")] if cross else [("X", "input_shape", "")]
        names = ["kind", "W_K", "W_Q", "W_V", "W_O"]
        names += [name for _, shape, of in parts for name in (shape, f"linear{of}", f"R{of}")]
        fields = dict(zip(names, fields_of(value, where, *names), strict=True))
        self.inputs: dict[str, tuple[int, int]] = {}
        for letter, shape, _ in parts:
            d, n = [count_of(side, where, 1, self.limits.side) for side in typed(fields[shape], list, where, 2)]
            self.inputs[letter] = d, n
        box = fields_of(domain, "statement.domain", "box", *["where"] * ("where" in typed(domain, dict, "domain")))[0]
        entries = sum(d * n for d, n in self.inputs.values())
        require(len(typed(box, list, "statement.domain.box")) == entries, "shape", f"domain.box: not {entries} sides")
        self.box: list[Side] = []
        for k, side in enumerate(box):
            lo, hi = reader.numbers(side, f"statement.domain.box[{k}]", 2)
            require(lo <= hi, "domain", f"statement.domain.box[{k}]: lo > hi")
            self.box.append((lo, hi))
        embedded = [self.embedded(reader, fields, letter, of) for letter, _, of in parts]
        Z, Y = embedded[0], embedded[-1]
        shapes = [fields[f"R{of}"]["shape"] for _, _, of in parts]
        self.tokens: int = shapes[0][1]
        keys = matrix(fields["W_K"], f"{where}.W_K", None, len(Z[()]))
        queries = matrix(fields["W_Q"], f"{where}.W_Q", len(keys), len(Y[()]))
        values = matrix(fields["W_V"], f"{where}.W_V", None, len(Z[()]))
        output = matrix(fields["W_O"], f"{where}.W_O", shapes[-1][1])
        self.selected = []  # the column of Z that each column of W_O selects
        for j in range(fields["W_O"]["shape"][1]):
            column = [(i, entry(row, j)) for i, row in enumerate(output) if row != 0 and entry(row, j) != 0]
            require([x for _, x in column] == [1], "shape", f"{where}.W_O: column {j} is no standard basis vector")
            self.selected.append(column[0][0])
        self.keys, self.queries, forms = self.applied(keys, Z), self.applied(queries, Y), self.applied(values, Z)
        self.values: list[dict[Monomial, Row]] = [
            {k: form[r] for k, form in forms.items() if not k or not vanishes(form[r])} for r in range(len(values))
        ]

    def embedded(self, reader: Reader, fields: Any, letter: str, of: str) -> Forms:
        """Read Z = sum of P X Q + R for an input X; fixed entries join R."""
        (d, n), where, linear = self.inputs[letter], f"statement.attention.linear{of}", []
        before = len(self.box) - d * n if letter == "Q" else 0  # entries of the other input
        Z: Forms = {(): reader.matrix(fields[f"R{of}"], f"statement.attention.R{of}")}
        height, width = fields[f"R{of}"]["shape"]
        for h, term in enumerate(typed(fields[f"linear{of}"], list, where)):
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


class Statement:
    """What is claimed of which heads, whose sum is T (one, if it is no sum), and of which target where."""

    def __init__(self, value: Any, reader: Reader) -> None:
        """Read it but for the claim; a target is null where the claim is about the softmax."""
        text, domain, attention, self.claim = fields_of(value, "statement", "target", "domain", "attention", "claim")
        where, parts = "statement.attention", [attention]
        if typed(attention, dict, where).get("kind") == "sum":
            parts = typed(fields_of(attention, where, "kind", "heads")[1], list, f"{where}.heads")
            require(bool(parts), "malformed", f"{where}.heads: empty")
        self.heads, self.limits = [Head(part, domain, reader) for part in parts], reader.limits
        shape, *others = [(head.inputs, len(head.values), len(head.selected)) for head in self.heads]
        require(all(shape == other for other in others), "shape", f"{where}.heads: inputs or outputs differ")
        (self.inputs, self.rows, self.columns), self.box = shape, self.heads[0].box
        self.tokens = sum(head.tokens for head in self.heads)
        lines = [typed(line, str, "domain.where") for line in typed(domain.get("where", []), list, "domain.where")]
        self.conditions = [Target(line, self.inputs, self.limits, condition=True) for line in lines]
        sides = " x ".join(f"[{lo}, {hi}]" for lo, hi in domain["box"])
        self.place = printable(" where ".join([sides, *lines]), 400)
        claims_of_softmax = type(self.claim) is dict and self.claim.get("kind") in ("indicator", "partition")
        require((text is None) == claims_of_softmax, "malformed", "statement.target: null, or not null")
        self.text, self.target = text, Target("0", self.inputs, self.limits)
        if text is not None:
            self.target = Target(typed(text, str, "statement.target"), self.inputs, self.limits)
            found, wanted = (len(self.target.outputs), len(self.target.outputs[0])), (self.rows, self.columns)
            require(found == wanted, "shape", f"statement.target: shape {found}, but T has {wanted}")

    def extended(self) -> None:
        """Reject a box of volume 0, and sums of heads, where a claim is about volumes or one softmax."""
        require(all(lo < hi for lo, hi in self.box), "domain", "statement.domain.box: a side with lo = hi")
        require(len(self.heads) == 1, "unsupported", "statement.attention: a sum of heads")


# ---------------------------------------------------------------------------------------------------------------------
# The scores and values of a head on a box. Scores are integers with 2P + 1 fractional bits.

Box = list[tuple[int, int, int, int]]  # for each side its outward ends lo, hi, and its place: part `index` of 2^`level`
Tokens = list[list[int]]  # parallel lists about the active tokens: numbers, biases, and coefficients of monomials
Jets = tuple[list[list[int]], list[int]]  # for each monomial a the p tau^a of the tokens; bounds on what is missing


class Values(NamedTuple):
    """Values v_i of tokens on a box: each lies in [v, v + moved], v = values_i + sum of parts_ik u_k."""

    values: list[int]
    parts: dict[int, list[int]]
    moved: int


class Active(NamedTuple):
    """The active tokens on a box, their scores at its centre, and how far those less the best one may vary from there.

    Over the box s_i - s_r lies within centre_i - centre_r +- (radius_i + slack), r the best token at the centre.
    """

    box: Box
    tokens: Tokens
    centres: list[int]
    radii: list[int]


def rounded(row: Row, tokens: int, P: int) -> tuple[list[int], int]:
    """Round numbers down to P fractional bits; also return 1 if one of them moved, else 0."""
    pairs = [divmod(number.numerator << P, number.denominator) for number in (row if isinstance(row, list) else [row])]
    floors = [floor for floor, _ in pairs]
    return floors if isinstance(row, list) else floors * tokens, int(any(rest for _, rest in pairs))


class Column:
    """The scores and values of the tokens of a head for one output column.

    `centres` holds bias + sum of slope (lo + hi): with slopes of P bits, that is a score at the centre of the box.
    `radii` holds the sum of |slope - slope of r| (hi - lo), of slopes at the centre where scores have products, which
    are bounded in the same way. The slack pays for the rounding of the weights: each is rounded down by less than a
    unit, so the difference of two is off by less than a unit. So is what a product adds to a score at the centre and,
    twice, to a slope there.
    """

    def __init__(self, head: Head, j: int, P: int, silence: int) -> None:
        """Round scores and values to P fractional bits, each to the safe side.

        A slope of values is rounded down by less than a unit, which moves v_i by at most |x|; its product with the
        centre, and that with the radius, by another unit each. What may be to both sides is taken off the constants.
        """
        self.head, self.P, self.silence = head, P, silence
        root = [(enclose(lo, P)[0], enclose(hi, P)[1], 0, 0) for lo, hi in head.box]
        reaches = [max(-lo, hi) for lo, hi, _, _ in root]
        scores = head.scores(j)
        biases, moved = rounded(scores.pop(()), head.tokens, P)
        self.slack = moved << P + 1
        self.all: Tokens = [list(range(head.tokens)), [bias << P + 1 for bias in biases]]
        self.axes: list[Monomial] = []
        for axes, row in scores.items():
            if isinstance(row, list):  # else it is the same for all tokens and cancels
                slopes, moved = rounded(row, head.tokens, P)
                self.slack -= -2 * moved * prod(reaches[axis] for axis in axes) >> P * (len(axes) - 1)
                if len(axes) == 2:
                    self.slack += 1 + sum(root[axis][1] - root[axis][0] for axis in axes)
                self.all.append(slopes)
                self.axes.append(axes)
        self.silent = silence * constant("ln2", 2 * P + 1)[1] + self.slack
        self.values: list[tuple[list[int], dict[int, list[int]], int]] = []
        for rows in head.values:
            parts, both = {}, 0
            constants, moved = rounded(rows[()], head.tokens, P)
            for (axis,) in rows.keys() - {()}:
                parts[axis], off = rounded(rows[axis,], head.tokens, P)
                both += 1 - (-off * reaches[axis] >> P)
            self.values.append(([value - both for value in constants], parts, moved + 2 * both + len(parts)))
        whole = [gaps((0, 0), v) for v in self.at(root, self.all)]
        self.spreads = [max(hi for _, hi in gap) - min(lo for lo, _ in gap) for gap in whole]  # of all values

    def at(self, box: Box, tokens: Tokens) -> list[Values]:
        """Return for each row the values as affine functions of u, on the box c + r u with u in [-1, 1]^m."""
        result = []
        for constants, slopes, moved in self.values:
            values, parts = [constants[i] for i in tokens[0]], {}
            for axis, numbers in slopes.items():
                lo, hi, _, _ = box[axis]
                active = [numbers[i] for i in tokens[0]]
                values = [v + (a * (lo + hi) >> self.P + 1) for v, a in zip(values, active, strict=True)]
                parts[axis] = [a * (hi - lo) >> self.P + 1 for a in active]
            result.append(Values(values, parts, moved))
        return result

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
            width, slope, bits = prod(box[axis][1] - box[axis][0] for axis in axes), slopes[r], self.P + 1
            if len(axes) == 1:
                total = [t + abs(a - slope) * width for t, a in zip(total, slopes, strict=True)]
            else:
                total = [t - (-abs(a - slope) * width >> bits) for t, a in zip(total, slopes, strict=True)]
        return total

    def active(self, box: Box, tokens: Tokens) -> Active:
        """Drop the tokens that are silent beside the best one at the centre."""
        centres = tokens[1]
        for axes, slopes in zip(self.axes, tokens[2:], strict=True):
            twice, bits = prod(box[axis][0] + box[axis][1] for axis in axes), (self.P + 1) * (len(axes) - 1)
            centres = [t + (a * twice >> bits) for t, a in zip(centres, slopes, strict=True)]
        best = max(centres)
        radii = self.radii(box, tokens, centres.index(best))
        kept = [t + radius > best - self.silent for t, radius in zip(centres, radii, strict=True)]
        if all(kept):
            return Active(box, tokens, centres, radii)
        tokens = [list(compress(numbers, kept)) for numbers in tokens]
        return Active(box, tokens, list(compress(centres, kept)), list(compress(radii, kept)))

    def slip(self, active: Active, row: int) -> int:
        """Bound how far the dropped tokens, each of at most 2^-silence of the best one's weight, move T."""
        return -((len(active.centres) - self.head.tokens) * self.spreads[row] >> self.silence)

    def weights(self, active: Active, n: int = 0) -> tuple[list[int], list[int]]:
        """Bound e^(s_i - s_r) over the box, r the n-th best token at the centre; high ends beyond e^(P+64) become 0."""
        P, large, slack, (box, tokens, centres, radii) = self.P, self.P + 64 << self.P, self.slack, active
        r = sorted(range(len(centres)), key=lambda i: -centres[i])[n] if n else centres.index(max(centres))
        radii = self.radii(box, tokens, r) if n else radii
        differences = [centre - centres[r] for centre in centres]
        lows = [d - radius - slack >> P + 1 for d, radius in zip(differences, radii, strict=True)]
        highs = [-(-d - radius - slack >> P + 1) for d, radius in zip(differences, radii, strict=True)]
        lows = [point("exp", min(low, large), P)[0] for low in lows]
        highs = [point("exp", high, P)[1] if high <= large else 0 for high in highs]
        lows[r] = highs[r] = 1 << P
        return lows, highs

    def jets(self, models: Evaluator, active: Active) -> Jets:
        """Expand weights w_i = q e^t, the e^(s_i) times a common factor, t = sum of tau_k u_k + sum of tau_kl u_k u_l.

        The factor takes the best score at the centre off all scores, and means off all coefficients. The slack, and
        less than a unit of each tau, move ln q, so that q lies in [p, p + error]. The part p E of q e^t of degree n has
        n E_n = t_1 E_(n-1) + 2 t_2 E_(n-2), t_1 and t_2 the parts of t: a_k E_a = tau_k E_(a - k) + 2 tau_kk E_(a - kk)
        + sum of tau_jk E_(a - jk), j != k, where the lists hold E_a times factorials. With rho = sum of |tau_k|, bend =
        sum of |tau_kl|, what E lacks is at most the sum of the G_n beyond K, n G_n = rho G_(n-1) + 2 bend G_(n-2), G_0
        = 1, hence e^(rho + bend); added up over n >= K + 2 this says that it is at most, if slope = rho + 2 bend < K +
        2, G_(K+1) + (slope G_(K+1) + 2 bend G_K) / (K + 2 - slope).
        """
        P, K, (box, tokens, centres, _) = self.P, models.K, active
        best, forms = max(centres), self.around(box, tokens)
        margin = self.slack + (len(forms) << P + 1)
        width = (2 * margin >> P + 1) + 2
        require(width <= 1 << P, "leaf", "the weights are too uncertain")
        ends = [point("exp", centre - best - margin >> P + 1, P) for centre in centres]
        weights = [lo for lo, _ in ends]
        errors = [hi - lo - (-2 * width * hi >> P) for lo, hi in ends]  # e^width <= 1 + 2 width
        total, none = sum(weights), [0] * len(weights)
        tau, sizes = dict[Monomial, list[int]](), {1: none, 2: none}  # by degree: rho and bend
        for axes, slopes in forms.items():
            mean, sides = sum(map(mul, weights, slopes)) // total, prod(box[axis][1] - box[axis][0] for axis in axes)
            parts = [(a - mean) * sides >> (P + 1) * len(axes) for a in slopes]
            tau[tuple(models.free.index(axis) for axis in axes)] = parts
            sizes[len(axes)] = list(map(add, sizes[len(axes)], map(abs, parts)))
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
        for p, error, rho, bend in zip(weights, errors, sizes[1], sizes[2], strict=True):
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

    def moment(self, models: Evaluator, jets: Jets, factors: list[int]) -> Model:
        """Return the model of the sum of w_i times a factor; each coefficient is rounded down."""
        coefs = []
        for axes, factorials, numbers in zip(models.table.axes, models.table.factorials, jets[0], strict=True):
            coefs.append(sum(map(mul, numbers, factors)) // (factorials << self.P * (len(axes) + 1)))
        return models.bounded(coefs, len(coefs) - (-sum(map(mul, jets[1], map(abs, factors))) >> self.P))

    def moments(self, models: Evaluator, v: Values, jets: Jets) -> tuple[Model, Model, Model]:
        """Return models of M0 = sum of w_i, M1 = sum of w_i (v_i - near), and of near, so that T' = near + M1 / M0.

        near, an affine function, is the mean of the v_i with the weights at the centre.
        """
        weights = jets[0][0]
        mean, near = sum(map(mul, weights, v.values)) // sum(weights), models.number(0)
        near.coefs[0] = mean
        M0 = self.moment(models, jets, [1 << self.P] * len(weights))
        M1 = self.moment(models, jets, [value - mean for value in v.values])
        for axis, part in v.parts.items():
            u, place = models.number(0), models.place(axis)
            near.coefs[place] = mean = sum(map(mul, weights, part)) // sum(weights)
            u.coefs[place] = 1 << self.P
            M1 = models.combined(add, M1, models.multiplied(u, self.moment(models, jets, [a - mean for a in part])))
        return M0, M1, near


def gaps(f: Any, v: Values, models: Evaluator | None = None) -> list[Interval]:
    """Enclose f - v_i over the box for all tokens, by the range of f and, if it is a model, by its polynomial."""
    known: dict[tuple[int, ...], Interval] = {}  # of f - sum of parts_k u_k
    result = []
    for value, parts in zip(
        v.values, zip(*v.parts.values(), strict=True) if v.parts else [()] * len(v.values), strict=True
    ):
        if parts not in known:
            reach = sum(map(abs, parts))
            low, high = f[0] - reach, f[1] + reach
            if models and models.K:
                coefs = f.coefs.copy()
                for axis, part in zip(v.parts, parts, strict=True):
                    coefs[models.place(axis)] -= part
                low = max(low, models.table.least(coefs) - f.rest)
                high = min(high, f.rest - models.table.least(list(map(neg, coefs))))
            known[parts] = low, high
        low, high = known[parts]
        result.append((low - value - v.moved, high - value))
    return result


def greatest_mean(values: Sequence[int], lows: list[int], highs: list[int]) -> int:
    """Bound from above the means of values with weights anywhere from their low to their high ends, 0 for no high end.

    With the low weight for values less than m, the high one for others, and m the mean, the sum of w_i (v_i - m) is as
    great as it can be, and it is 0: so no mean is greater. The mean grows with each weight that is lowered until then.
    A weight without a high end moves a mean towards its value.
    """
    ends = list(map(max, lows, highs))
    top: int = sum(map(mul, values, ends))
    bottom = sum(ends)
    for value, low, high in sorted(zip(values, lows, ends, strict=True)):
        if value * bottom >= top:
            break
        top, bottom = top - value * (high - low), bottom - (high - low)
    return max([-(-top // bottom), *(value for value, high in zip(values, highs, strict=True) if not high)])


# ---------------------------------------------------------------------------------------------------------------------
# The walk down a split tree, and bounds on the error over a leaf

ORDERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # marks of leaves with Taylor models of the target and the weights, by order
SCORES = ":;<=>?@"  # with models of the target only
SHARED = 8  # splits above the subtrees that shares of the work consist of


class Walk:
    """Walks down the split tree of one output column; its subclasses prove the leaves, by a rule."""

    marks = "."  # of the leaves, beside those outside the domain
    rule: Callable[[str, Box, list[Active]], None]  # proves or counts a leaf

    def __init__(self, statement: Statement, j: int, P: int, silence: int) -> None:
        """Round scores and values to P fractional bits."""
        self.statement, self.limits, self.j, self.P = statement, statement.limits, j, P
        self.parts = [Column(head, j, P, silence) for head in statement.heads]
        self.all = [part.all for part in self.parts]
        self.enter(statement.box)
        self.outputs = [row[j] for row in statement.target.outputs] if statement.text is not None else []
        self.conditions = [Evaluator(condition, P, self.limits) for condition in statement.conditions]
        self.evaluators: dict[int, Evaluator] = {}  # by order
        self.sums: list[int | Fraction] = []  # what the leaves add up to, for a box of volume 1

    def enter(self, sides: list[Side]) -> None:
        """Take a box for the root."""
        self.sides = sides
        self.root: Box = [(enclose(lo, self.P)[0], enclose(hi, self.P)[1], 0, 0) for lo, hi in sides]

    def evaluator(self, K: int) -> Evaluator:
        """Return what encloses the target, for K > 0 by Taylor models of that order."""
        if K not in self.evaluators:
            free = [k for k, (lo, hi) in enumerate(self.statement.box) if lo < hi]
            self.evaluators[K] = Evaluator(self.statement.target, self.P, self.limits, K, free if K else ())
        return self.evaluators[K]

    def active(self, box: Box, tokens: list[Tokens]) -> list[Active]:
        """Drop the silent tokens of each head."""
        return [part.active(box, own) for part, own in zip(self.parts, tokens, strict=True)]

    def check(self, tree: str, share: Share = (0, 1)) -> int:
        """Walk the tree in preorder, prove every leaf, and return their number.

        Of the subtrees below `SHARED` splits, and of the leaves above, a share (k, n) takes those numbered k modulo n.
        """
        stack: list[tuple[Box, list[Tokens]] | None] = [(self.root, self.all)]  # None: of another share
        leaves = subtrees = 0
        for at, mark in enumerate(tree):
            where, ends = f"column {self.j}: character {at} of the tree", mark in "-" + self.marks
            require(bool(stack), "tree", f"{where}: the tree ends before")
            node = stack.pop()
            if node is not None and share[1] > 1:
                splits = sum(level for _, _, _, level in node[0])
                if splits == SHARED or (splits < SHARED and ends):
                    subtrees += 1
                    node = node if subtrees % share[1] == share[0] else None
            if node is None:
                stack += [None] * (0 if ends else 2)
                continue
            box, tokens = node
            sides = [(lo, hi) for lo, hi, _, _ in box]
            if mark == "-":
                outside = any(excludes(condition, sides) for condition in self.conditions)
                require(outside, "leaf", f"{where}: the box is not proved to be outside")
                continue
            actives = self.active(box, tokens)
            if ends:
                try:
                    self.rule(mark, box, actives)
                except Rejected as failure:
                    raise Rejected(failure.reason, f"{where}: {failure.detail}") from None
                leaves += 1
            else:
                lower, upper = self.halves(box, mark, where)
                stack += [(half, [active.tokens for active in actives]) for half in (upper, lower)]
        require(not stack, "tree", f"column {self.j}: the string ends before the tree does, after {len(tree)} nodes")
        return leaves

    def halves(self, box: Box, mark: str, where: str) -> tuple[Box, Box]:
        """Halve a box at the exact midpoint, which each half gets rounded outward."""
        axis = "0123456789abcdefghijklmnopqrstuvwxyz".find(mark)
        require(0 <= axis < len(box), "tree", f"{where}: {printable(mark)} is no axis")
        lo, hi, index, level = box[axis]
        require(level < self.limits.depth, "limit", f"{where}: an axis is split too often")
        start, stop = self.sides[axis]
        low, high = enclose(start + (stop - start) * Fraction(2 * index + 1, 2 << level), self.P)
        lower, upper = box.copy(), box.copy()
        lower[axis], upper[axis] = (lo, high, 2 * index, level + 1), (low, hi, 2 * index + 1, level + 1)
        return lower, upper


class Leaf:
    """A box with what is known of it: the active tokens of each head, and the enclosures or models of the target."""

    def __init__(self, walk: Walk, mark: str, box: Box, actives: list[Active]) -> None:
        """Evaluate the target, and for a leaf with an order expand the weights."""
        self.box, self.order, marks = box, mark in ORDERS, ORDERS if mark in ORDERS else SCORES
        self.models = models = walk.evaluator(1 + marks.index(mark) if mark in marks else 0)
        models.run([(lo, hi) for lo, hi, _, _ in box])
        pairs = zip(walk.parts, actives, strict=True)
        self.heads = [(part, active, part.at(box, active.tokens)) for part, active in pairs]
        self.jets = [part.jets(models, active) for part, active, _ in self.heads if self.order]

    def error(self, row: int, f: Any, n: int | None = 0) -> Interval:
        """Enclose f - T by means of the f - v_i, with weights relative to the n-th best tokens; with any for None."""
        low = high = 0
        for part, active, values in self.heads:
            lows, highs = zip(*gaps(f, values[row], self.models), strict=True)
            least, most, slip = min(lows), max(highs), part.slip(active, row)
            if n is not None:
                weights = part.weights(active, min(n, len(lows) - 1))
                least, most = -greatest_mean([-low for low in lows], *weights), greatest_mean(highs, *weights)
            low, high, f = low + least - slip, high + most + slip, self.models.number(0)  # f counts once
        return low, high

    def slip(self, row: int) -> int:
        """Bound how far the tokens that were dropped, and the values that were rounded, move T."""
        return sum(part.slip(active, row) + values[row].moved for part, active, values in self.heads)

    def fraction(self, row: int, f: Model) -> tuple[Model, Model]:
        """Return models of D and N with f - T' = N / D, where D, the product of the M0, is positive."""
        models = self.models
        D, N, times = models.number(1), f, models.multiplied
        for (part, _, values), jets in zip(self.heads, self.jets, strict=True):
            M0, M1, near = part.moments(models, values[row], jets)
            N = models.combined(sub, times(models.combined(sub, N, times(D, near)), M0), times(D, M1))
            D = times(D, M0)
        return D, N

    def within(self, row: int, f: Model, bound: int) -> bool:
        """Tell whether |f - T| <= bound on the box, by the sign form e D +- N >= 0."""
        P, least, (D, N) = self.models.P, self.models.table.least, self.fraction(row, f._replace(rest=0))
        e = bound - self.slip(row) - f.rest
        sides = [[e * a + sign * (b << P) for a, b in zip(D.coefs, N.coefs, strict=True)] for sign in (1, -1)]
        return e > 0 and all(least(side) >= e * D.rest + (N.rest << P) for side in sides)

    def model(self, row: int, f: Model) -> Model:
        """Return a model of f - T."""
        D, N = self.fraction(row, f)
        require(D.low > 0, "leaf", "the box is too large for an expansion")
        error = self.models.multiplied(N, self.models.reciprocal(D))
        return self.models.bounded(error.coefs, error.rest + self.slip(row))


# ---------------------------------------------------------------------------------------------------------------------
# The rules of the leaves


class Paving(Walk):
    """Proves |target - T| <= bound for one output column."""

    marks = "." + ORDERS + SCORES

    def __init__(self, statement: Statement, j: int, P: int, silence: int, bound: Fraction) -> None:
        """Round the bound down."""
        super().__init__(statement, j, P, silence)
        self.bound = enclose(bound, P)[0]

    def rule(self, mark: str, box: Box, actives: list[Active]) -> None:
        """Prove it on a box for all entries of the column, by the sign form or by means of the f - v_i."""
        leaf, bound = Leaf(self, mark, box, actives), self.bound
        for row, output in enumerate(self.outputs):
            f, n = leaf.models.value(output), 0
            if leaf.order:
                require(leaf.within(row, f, bound), "leaf", f"row {row}, expansion {mark}")
                continue
            low, high = leaf.error(row, f, None)
            tried = min(self.limits.references, max(len(active.centres) for active in actives))
            while max(-low, high) > bound and n < tried:
                (least, most), n = leaf.error(row, f, n), n + 1
                low, high = max(low, least), min(high, most)
            require(max(-low, high) <= bound, "leaf", f"row {row}, |f - T| <= bound")


Singularity = tuple[int, Fraction | None, Fraction, Fraction]  # the node A, its q or None for log; s - a and b - s
Split = tuple[Singularity | None, Interval, Interval]  # alpha A + gamma: A if any, alpha and gamma


class Integral(Walk):
    """Bounds from below and above on the integral of the sum of |target - T|^p over one output column.

    They have F = 2P fractional bits, as powers of small errors need more than these.
    """

    marks = ".*" + ORDERS

    def __init__(self, statement: Statement, j: int, P: int, silence: int, p: Fraction) -> None:
        """Start with empty sums."""
        super().__init__(statement, j, P, silence)
        self.p, self.F, self.sums = p, 2 * P, [0, 0]
        self.power = Arithmetic(self.F, self.limits).power

    def rule(self, mark: str, box: Box, actives: list[Active]) -> None:
        """Add the leaf to both sums: |target - T| lies in [l, u] on it, so |target - T|^p lies in [l^p, u^p]."""
        F, p, more, levels = self.F, self.p, self.F - self.P, sum(level for _, _, _, level in box)
        inside = all(excludes(condition, [(lo, hi) for lo, hi, _, _ in box], (1, 1)) for condition in self.conditions)
        leaf = Leaf(self, mark, box, actives)
        split = self.split(leaf.models, box) if mark == "*" else {}
        for row, output in enumerate(self.outputs):
            if leaf.order:
                below, above = self.expanded(leaf, row, leaf.models.value(output))
            else:
                key, alpha, gamma = split.get(output) or (None, (0, 0), leaf.models.value(output))
                l, u = absolute(leaf.error(row, gamma))  # noqa: E741
                below, above = self.power(p, (l << more, u << more))
                if key is not None:  # |x + y|^p <= 2^(p-1) (|x|^p + |y|^p) for p >= 1: t^p is convex
                    below, two = 0, (2 << F, 2 << F)
                    most = self.power(p, (0, absolute(alpha)[1] << more))[1]
                    above += -(-most * self.singular_mean(key) >> F)
                    above = -(-above * self.power(p - 1, two)[1] >> F)
            self.sums[0] += below >> levels if inside else 0
            self.sums[1] -= -above >> levels

    def expanded(self, leaf: Leaf, row: int, f: Model) -> Interval:
        """Bound the integral of |target - T|^p over the box, for a box of volume 1.

        The mean of u^a over [-1, 1]^m is the product of the 1 / (a_k + 1) if all a_k are even, else 0. The models hold
        on the outward box, larger by the factor `growth`: what is outside adds at most (growth - 1) sup |target - T|^p.
        """
        growth, models, error = Fraction(1), leaf.models, leaf.model(row, f)
        for (start, stop), (lo, hi, _, level) in zip(self.statement.box, leaf.box, strict=True):
            growth *= Fraction(Fraction(hi - lo << level, 1 << self.P), stop - start)
        if self.p % 2 and error.low < 0 < error.high:
            error = models.constant((0, max(-error.low, error.high)))  # which encloses |target - T|
        elif self.p % 2 and error.low < 0:
            error = models.call("neg", error)
        power = models.powers(self.p, error)
        means = [(n, prod(each.count(k) + 1 for k in {*each})) for n, each in enumerate(models.table.axes)]
        even = [power.coefs[n] // share for n, share in means if share % 2]
        outside = -((1 - growth) * power.high // 1)
        below, above = sum(even) - power.rest - outside, -((-sum(even) - len(even) - power.rest) * growth // 1)
        return max(0, below) << self.F - self.P, above << self.F - self.P

    def split(self, evaluator: Evaluator, box: Box) -> dict[int, Split]:
        """Write nodes as alpha A + gamma with at most one singular A, where possible, after a run on the box."""
        result, one = dict[int, Split](), (1 << self.P, 1 << self.P)
        for index, (op, args, _, _) in enumerate(evaluator.target.nodes):
            operands = [result[arg] for arg in args if arg in result]
            keys = {key for key, _, _ in operands if key}
            if evaluator.values[index] is not None:
                result[index] = None, (0, 0), evaluator.values[index]
            elif key := self.singularity(evaluator.target.nodes, index, box):
                numerator = (None, (0, 0), one) if op != "/" else result.get(args[0])
                if numerator and not numerator[0]:
                    result[index] = key, numerator[2], (0, 0)
            elif op in EXACT and len(operands) == len(args) and len(keys) == 1:
                if op == "*" and operands[1][0]:
                    operands.reverse()
                alphas, gammas = [operand[1] for operand in operands], [operand[2] for operand in operands]
                if op in ("*", "/"):  # by a factor or a divisor without A
                    if operands[1][0]:
                        continue
                    alphas[1] = gammas[1]
                alpha, gamma = [evaluator.call(op, *parts) for parts in (alphas, gammas)]
                if max(absolute(alpha)[1], absolute(gamma)[1]) < evaluator.large:
                    result[index] = keys.pop(), alpha, gamma
        return result

    def singularity(self, nodes: list[Node], index: int, box: Box) -> Singularity | None:
        """Describe A = |u|^-q or log u of a node, or of a / sqrt(u), if u is x_k, x_k - s, x_k + s, s - x_k or its abs.

        The zero of u must lie in the side of the box along k, exactly, and A be defined on all the rest of the side.
        """
        op, args, value, _ = nodes[index]
        root = op == "/" and nodes[args[1]].op == "power" and nodes[args[1]].value == Fraction(1, 2)
        A, q = (args[1], Fraction(1, 2)) if root else (index, -value if op == "power" else None)
        if not (root or op == "log" or (op == "power" and value < 0)):
            return None
        (argument,) = nodes[A].args
        u = nodes[argument]
        node = nodes[u.args[0]] if u.op == "abs" else u
        terms = [node] if node.op == "input" else [nodes[arg] for arg in node.args if node.op in ("+", "-")]
        entries, numbers = [x.value for x in terms if x.op == "input"], [x.value for x in terms if x.op == "number"]
        if len(entries) != 1 or len(numbers) != len(terms) - 1:
            return None
        k, s = int(entries[0]), sum(numbers, Fraction(0)) * (-1 if node.op == "+" else 1)
        start, stop = self.statement.box[k]
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
        for t in distances:
            if q is not None:
                c = 1 - q * self.p
                require(c > 0, "leaf", "the singularity is not integrable to the power p")
                total += Fraction(self.power(c, enclose(t, F))[1], c)
            elif t > 0:
                L = minus(point("log", t.denominator << F, F), point("log", t.numerator << F, F))
                require(L[0] >= 1 << F, "leaf", "the log is singular farther than 1/e from an end of the box")
                power = integral = 1 << F
                for n in range(1, -(-self.p // 1) + 1):
                    power = -(-power * L[1] >> F)
                    integral = power + n * integral
                total += t * integral
        return -(-total // sum(distances))


class Layers(Walk):
    """The proof that the softmax is within delta of the one-hot vector of the best token outside a layer."""

    marks = ".!"

    def __init__(self, statement: Statement, j: int, P: int, silence: int, delta: Fraction) -> None:
        """Start with an empty layer."""
        super().__init__(statement, j, P, silence)
        self.delta, self.silence, self.sums = delta, silence, [Fraction(0)]

    def rule(self, mark: str, box: Box, actives: list[Active]) -> None:
        """Prove 2 (1 - p) <= delta < 1 for the weight p >= (1 - W) / (sum of e^(s_i - s_r)) of the best token r."""
        if mark == "!":
            self.sums[0] += Fraction(1, 1 << sum(level for _, _, _, level in box))
            return
        (part,), (active,) = self.parts, actives
        _, highs = part.weights(active)
        silent = -(part.head.tokens - len(highs)) << self.P >> self.silence  # -W, rounded down
        enough = all(highs) and 2 * ((1 << self.P) + silent) >= (2 - self.delta) * sum(highs)
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
        face, size = [], abs(a[k])
        for b, d in tight.items():
            factor = b[k] if a[k] > 0 else -b[k]
            row = [size * s - factor * r for i, (s, r) in enumerate(zip(b, a, strict=True)) if i != k]
            if b != a:
                face.append((row, size * d - factor * c))
        total += Fraction(c, size) * volume(face) if c else 0
    return Fraction(total, n)


class Cells:
    """The declared regions of one output column; `scores` are those of all tokens, times the integer `unit`.

    Regions may be enlarged by kappa: a token then has to score at least as high as each neighbour less kappa.
    """

    def __init__(self, head: Head, j: int, declared: list[Region], reader: Reader, kappa: Fraction) -> None:
        """Put the scores and kappa on one denominator."""
        self.head, self.reader, self.m, self.where = head, reader, len(head.box), f"column {j}"
        self.regions = {region.token: region for region in declared}
        forms = head.scores(j)
        require(all(len(axes) < 2 for axes in forms), "unsupported", f"{self.where}: regions of quadratic scores")
        rows = [forms.get(axes, Fraction()) for axes in [*((k,) for k in range(self.m)), ()]]  # none for a fixed entry
        self.unit = self.denominator(x for row in [*rows, kappa] for x in (row if isinstance(row, list) else [row]))
        self.kappa = int(kappa * self.unit)
        reader.spend(head.tokens * (self.m + 1) * (64 + self.unit.bit_length()))
        self.scores = [[int(entry(row, i) * self.unit) for row in rows] for i in range(head.tokens)]
        work = len(declared) * head.tokens + sum((len(r.neighbours) + 2 * self.m) ** self.m for r in declared)
        require(work <= reader.limits.pairs, "limit", f"{self.where}: more regions, tokens and facets than allowed")

    def denominator(self, numbers: Iterable[Fraction]) -> int:
        """Return a common denominator."""
        unit = 1
        for number in numbers:
            unit = lcm(unit, number.denominator)
            require(unit.bit_length() <= self.reader.limits.exact, "limit", "a common denominator grows too long")
        return unit

    def lead(self, i: int, k: int, q: int) -> Affine:
        """Return s_i - s_k + kappa times unit q."""
        *slopes, c = map(sub, self.scores[i], self.scores[k])
        return [*slopes, (c + self.kappa) * q]

    def token(self, value: Any, where: str) -> int:
        """Return the number of a token."""
        return count_of(value, where, 0, self.head.tokens - 1)

    def prove(self, goal: Affine, pairs: Any, known: Iterable[int], i: int, q: int, box: Ends, duty: str) -> Fraction:
        """Prove goal - sum of weight (s_i - s_k + kappa) >= 0 on a box, k known tokens; return the sum of the weights.

        So goal >= 0 wherever in the box s_i is at least every s_k - kappa.
        """
        terms = []
        for pair in typed(pairs, list, duty):
            token, number = typed(pair, list, duty, 2)
            k, weight = self.token(token, duty), self.reader.number(number, duty)
            require(k in known and weight >= 0, "region", f"{duty}: no multiplier for token {k}")
            terms.append((weight, self.lead(i, k, q)))
        unit = self.denominator(weight for weight, _ in terms)
        total = [unit * number for number in goal]
        for weight, f in terms:
            factor = int(weight * unit)
            total = [number - factor * part for number, part in zip(total, f, strict=True)]
        least = total[-1] + sum(min(a * lo, a * hi) for a, (lo, hi) in zip(total, box, strict=False))
        require(least >= 0, "region", duty)
        return sum((weight for weight, _ in terms), Fraction(0))

    def bounding_box(self, i: int, known: Iterable[int], box: Any, faces: Any) -> tuple[list[Side], int, Ends, Ends]:
        """Prove that a box holds the region of token i among known ones.

        Return its sides, and with a common denominator q its ends and those of the domain.
        """
        duty, m = f"{self.where}: radius: the region of token {i} may reach beyond its bounding box", self.m
        pairs = [self.reader.numbers(side, duty, 2) for side in typed(box, list, duty, m)]
        sides = [(lo, hi) for lo, hi in pairs]
        q = self.denominator(end for side in [*sides, *self.head.box] for end in side)
        ends, domain = [[(int(lo * q), int(hi * q)) for lo, hi in part] for part in (sides, self.head.box)]
        for n, terms in enumerate(typed(faces, list, duty, 2 * m)):
            k, sign, goal = n // 2, 1 - n % 2 * 2, [0] * (m + 1)
            goal[k], goal[m] = sign * self.unit, -sign * self.unit * ends[k][n % 2]
            self.prove(goal, terms, known, i, q, domain, duty)
        return sides, q, ends, domain

    def check_region(self, region: Region, value: Any) -> tuple[Fraction, int]:
        """Prove that no token wins inside a region, which lies in its ball; return its volume and the inequalities."""
        i, m, known, where = region.token, self.m, set(region.neighbours), f"{self.where}, token {region.token}"
        box, faces, beaten, size = fields_of(value, where, "box", "faces", "beaten", "volume")
        sides, q, ends, domain = self.bounding_box(i, known, box, faces)
        for pair in typed(beaten, list, where):
            token, pairs = typed(pair, list, where, 2)
            k = self.token(token, where)
            self.prove(self.lead(i, k, q), pairs, known, i, q, ends, f"{where}: argmax: token {k} may win inside")
            known.add(k)  # from here on s_i >= s_k is known of the region
        *slopes, bias = self.scores[i]
        margins = [(bias - score[m]) * q for score in self.scores]
        for axis, (lo, hi) in enumerate(ends):
            tilts = [slopes[axis] - score[axis] for score in self.scores]
            margins = [least + min(d * lo, d * hi) for least, d in zip(margins, tilts, strict=True)]
        for k, margin in enumerate(margins):
            require(margin >= 0 or k in known, "region", f"{where}: argmax: token {k} may win inside the region")
        far = sum(max(abs(end - c) for end in side) ** 2 for side, c in zip(sides, region.centre, strict=True))
        require(far <= region.radius**2, "region", f"{where}: radius: the bounding box is not inside the ball")
        if m > 3:
            require(size is None, "malformed", f"{where}: volume: not null")
            return Fraction(0), 2 * m + self.head.tokens
        rows = [(f[:-1], Fraction(f[-1])) for f in (self.lead(i, k, q) for k in region.neighbours)]
        for k, (lo, hi) in enumerate(domain):
            rows += [([s * (n == k) for n in range(m)], Fraction(-s * end)) for s, end in ((1, lo), (-1, hi))]
        exact = Fraction(volume(rows), q**m)
        require(self.reader.number(size, where) == exact, "region", f"{where}: volume: not that of the region")
        return exact, 2 * m + self.head.tokens + 1

    def check(self, value: Any) -> int:
        """Prove the column; return the number of inequalities."""
        proofs, undeclared = fields_of(value, self.where, "regions", "undeclared")
        pairs = zip(self.regions.values(), typed(proofs, list, self.where, len(self.regions)), strict=True)
        found = [self.check_region(region, proof) for region, proof in pairs]
        q = self.denominator(end for side in self.head.box for end in side)
        domain, beaten = [(int(lo * q), int(hi * q)) for lo, hi in self.head.box], set(self.regions)
        for pair in typed(undeclared, list, self.where):
            token, terms = typed(pair, list, self.where, 2)
            e = self.token(token, self.where)
            duty = f"{self.where}: cover: token {e} may beat every token that has a region"
            weight = self.prove([0] * (self.m + 1), terms, self.regions, e, q, domain, duty)
            require(weight > 0, "region", duty)
            beaten.add(e)
        missing = next((e for e in range(self.head.tokens) if e not in beaten), None)
        require(missing is None, "region", f"{self.where}: cover: token {missing} may beat all that have a region")
        different = len({tuple(self.scores[i]) for i in self.regions}) == len(self.regions)
        require(different, "region", f"{self.where}: disjoint: two tokens with a region have equal scores")
        adds_up = sum(size for size, _ in found) == prod(hi - lo for lo, hi in self.head.box)
        require(self.m > 3 or adds_up, "region", f"{self.where}: volume: they do not add up to that of the domain")
        return sum(checked for _, checked in found) + self.head.tokens - len(self.regions) + 1

    def holds(self, i: int, values: list[int], strictly: bool) -> bool:
        """Tell whether a point with these scores lies in the region of token i (strictly: inside)."""
        rivals = [k for k in self.regions[i].neighbours if not (strictly and self.scores[k] == self.scores[i])]
        return all(values[i] > values[k] if strictly else values[i] >= values[k] for k in rivals)

    def check_breach(self, name: str, place: list[Fraction], tokens: list[int]) -> bool:
        """Tell whether an obligation fails at a point of the domain."""
        q = self.denominator(place)
        y = [*(int(x * q) for x in place), q]
        values: list[int] = [sum(map(mul, score, y)) for score in self.scores]
        if name == "cover":
            return not tokens and not any(self.holds(i, values, False) for i in self.regions)
        wanted = {"argmax": 2, "disjoint": 2, "radius": 1}.get(name)
        require(wanted is not None, "unsupported", f"evidence.obligation: {printable(name)}")
        first, strictly = [*tokens, -1][0], name == "disjoint"
        if len(tokens) != wanted or first not in self.regions or not self.holds(first, values, strictly):
            return False
        if name == "argmax":
            return values[tokens[1]] > values[first]
        if name == "disjoint":
            inside = all(lo < x < hi for x, (lo, hi) in zip(place, self.head.box, strict=True))
            other = tokens[1] in self.regions and tokens[1] != first and self.holds(tokens[1], values, True)
            return inside and other
        centre, radius = self.regions[first].centre, self.regions[first].radius
        return sum((x - c) ** 2 for x, c in zip(place, centre, strict=True)) > radius**2


class Enlarged(Walk):
    """Proves for each token of an output column, wherever it scores at least the best score less kappa, that |target -
    v_i| <= delta: on a bounding box of that region, whose split tree leaves out where a rival is better by kappa.
    """

    def __init__(self, statement: Statement, j: int, P: int, kappa: Fraction, delta: Fraction, reader: Reader) -> None:
        """Round delta down, and kappa up: tokens are silent where they score that much less than another."""
        super().__init__(statement, j, P, 0)
        (self.part,) = self.parts
        self.part.silent += enclose(kappa, 2 * P + 1)[1]
        self.delta, self.nodes = enclose(delta, P)[0], 0
        self.cells = Cells(self.part.head, j, [], reader, kappa)

    def check_token(self, i: int, value: Any, where: str) -> int:
        """Prove it for a token; return the number of leaves, 0 for a region that its bounding box shows to be empty."""
        rivals, box, faces, tree = fields_of(value, where, "rivals", "box", "faces", "tree")
        known = [self.cells.token(k, where) for k in typed(rivals, list, where)]
        self.enter(self.cells.bounding_box(i, set(known), box, faces)[0])
        if tree is None:
            require(any(lo > hi for lo, hi in self.sides), "region", f"{where}: no tree, and the box is not empty")
            return 0
        self.token, self.all = i, [[[numbers[k] for k in (i, *known)] for numbers in self.part.all]]
        self.nodes += len(typed(tree, str, where))
        require(self.nodes <= self.limits.nodes, "limit", f"{where}: too many nodes of trees")
        return self.check(tree)

    def rule(self, mark: str, box: Box, actives: list[Active]) -> None:
        """Prove |target - v_i| <= delta on a box for all entries of the column, unless token i is silent there."""
        tokens = actives[0].tokens
        if tokens[0][0] != self.token:
            return
        enclosures = self.evaluator(0).enclosures([(lo, hi) for lo, hi, _, _ in box], self.outputs)
        own = self.part.at(box, [numbers[:1] for numbers in tokens])
        for row, (f, v) in enumerate(zip(enclosures, own, strict=True)):
            near = absolute(gaps(f, v)[0])[1] <= self.delta
            require(near, "leaf", f"row {row}: the target may miss the value of token {self.token} by more than delta")


# ---------------------------------------------------------------------------------------------------------------------
# The door: evidence of each kind, claims, files


def walked(
    kind: Callable[..., Walk], statement: Statement, evidence: Any, reader: Reader, number: Fraction, *names: str
) -> tuple[int, list[list[Fraction]], int]:
    """Check a split tree for each column; return the number of leaves, the sums of each column, and the precision."""
    bits, k, trees, *_ = fields_of(evidence, "evidence", "precision", "silence", "trees", "kind", *names)
    P = count_of(bits, "evidence.precision", 32, reader.limits.precision)
    silence = count_of(k, "evidence.silence", 1, reader.limits.precision)
    fits = len(typed(trees, list, "evidence.trees")) == statement.columns
    require(fits, "tree", f"evidence.trees: {len(trees)} for {statement.columns} output columns")
    nodes = sum(len(typed(tree, str, "evidence.trees")) for tree in trees)
    require(nodes <= reader.limits.nodes, "limit", f"evidence.trees: more than {reader.limits.nodes} nodes")
    size = prod(hi - lo for lo, hi in statement.box)

    def done(share: Share) -> list[tuple[int, list[Fraction]]]:
        found = []
        for j, tree in enumerate(trees):
            walk = kind(statement, j, P, silence, number)
            found.append((walk.check(tree, share), [Fraction(total) * size for total in walk.sums]))
        return found

    parts = list(reader.spread(done, [(k, reader.shares) for k in range(reader.shares)]))
    require(len(parts) == reader.shares, "limit", "a share of the work was not done")
    leaves = sum(count for part in parts for count, _ in part)
    require(leaves > 0, "tree", "no leaf was checked")
    columns = [zip(*[sums for _, sums in column], strict=True) for column in zip(*parts, strict=True)]
    return leaves, [[sum(same, Fraction(0)) for same in column] for column in columns], P


Proof = tuple[Fraction, str, int, int]  # the bound that it proves, as it is spelled too; leaves and inequalities


def bound_of(evidence: Any, tolerance: Fraction, reader: Reader) -> tuple[Fraction, str]:
    """Return the bound that evidence is said to prove, also as it is spelled."""
    spelled = typed(typed(evidence, dict, "evidence").get("bound"), str, "evidence.bound")
    bound = reader.number(spelled, "evidence.bound")
    require(0 < bound <= tolerance, "claim", "evidence.bound: not positive, or more than the tolerance")
    return bound, spelled


def check_paving(statement: Statement, evidence: Any, tolerance: Fraction, reader: Reader) -> Proof:
    """Check the proof and describe it."""
    bound, spelled = bound_of(evidence, tolerance, reader)
    leaves, _, _ = walked(Paving, statement, evidence, reader, bound, "bound")
    return bound, spelled, leaves, 2 * leaves * statement.rows


def check_enlarged(statement: Statement, evidence: Any, tolerance: Fraction, reader: Reader) -> Proof:
    """Check the proof and describe it.

    Let b be the best token at a point. Any token i has |target - v_i| <= delta there, as b has, or else scores at most
    s_b - kappa: it weighs at most e^-kappa, and |target - v_i| <= delta + |v_b - v_i|. At most N - 1 tokens do.
    """
    bound, spelled = bound_of(evidence, tolerance, reader)
    names = ("kappa", "delta", "precision", "columns", "bound", "kind")
    *texts, bits, columns, _, _ = fields_of(evidence, "evidence", *names)
    kappa, delta = reader.numbers(texts, "evidence.kappa or delta")
    require(kappa > 0, "claim", "evidence.kappa: not positive")
    P = count_of(bits, "evidence.precision", 32, reader.limits.precision)
    leak = (statement.tokens - 1) * point("exp", enclose(-kappa, P)[1], P)[1]
    leaves = 0
    for j, proofs in enumerate(typed(columns, list, "evidence.columns", statement.columns)):
        walk = Enlarged(statement, j, P, kappa, delta, reader)
        worst = delta + Fraction(leak * max(walk.part.spreads), 1 << 2 * P)
        require(worst <= bound, "leaf", f"column {j}: delta and the weight of tokens below kappa exceed the bound")
        for i, proof in enumerate(typed(proofs, list, f"evidence.columns[{j}]", statement.tokens)):
            leaves += walk.check_token(i, proof, f"evidence.columns[{j}][{i}]")
    require(leaves > 0, "tree", "no leaf was checked")
    faces = 2 * len(statement.box) * statement.tokens * statement.columns
    return bound, spelled, leaves, 2 * leaves * statement.rows + faces


def check_both(statement: Statement, evidence: Any, tolerance: Fraction, reader: Reader) -> Proof:
    """Check two proofs of one claim; the better bound is proved."""
    _, *parts = fields_of(evidence, "evidence", "kind", "paving", "enlarged")
    found = []
    for part, name in zip(parts, ("paving", "enlarged"), strict=True):
        kind_of(part, f"evidence.{name}", name)
        found.append(PROOFS[name](statement, part, tolerance, reader))
    leaves, checked = [sum(counts) for counts in zip(*(proof[2:] for proof in found), strict=True)]
    return *min(found)[:2], leaves, checked


PROOFS: dict[str, Callable[[Statement, Any, Fraction, Reader], Proof]]
PROOFS = {"paving": check_paving, "enlarged": check_enlarged, "both": check_both}


def in_domain(statement: Statement, numbers: Any, reader: Reader) -> list[Fraction]:
    """Read a point, which must lie in the box of the domain."""
    place = reader.numbers(numbers, "evidence.point")
    require(len(place) == len(statement.box), "shape", f"evidence.point: {len(place)} numbers")
    inside = all(lo <= x <= hi for x, (lo, hi) in zip(place, statement.box, strict=True))
    require(inside, "point", "evidence.point: outside the box of the domain")
    return place


def error_at(statement: Statement, place: list[Fraction], r: int, j: int, P: int) -> Interval:
    """Enclose target - T at a point, for entry [r, j]; the scores are exact, and relative to the best one."""
    outputs = [statement.target.outputs[r][j]]
    value: Interval
    (value,) = Evaluator(statement.target, P, statement.limits).enclosures([enclose(x, P) for x in place], outputs)
    for head in statement.heads:
        scores, values = head.at(head.scores(j), place), head.at(head.values[r], place)
        ends = [enclose(score - max(scores), P) for score in scores]
        weights = [(point("exp", lo, P)[0], point("exp", hi, P)[1]) for lo, hi in ends]
        top = reduce(plus, [times(weight, enclose(x, P), P) for weight, x in zip(weights, values, strict=True)])
        value = minus(value, divided(top, reduce(plus, weights), P))  # the best score adds 1 to the weights
    return value


def check_counterexample(statement: Statement, evidence: Any, tolerance: Fraction, reader: Reader) -> Any:
    """Check the refutation; return the point and the entry at which the tolerance is exceeded."""
    _, numbers, indices, bits = fields_of(evidence, "evidence", "kind", "point", "entry", "precision")
    place = in_domain(statement, numbers, reader)
    r, j = [count_of(i, "evidence.entry", 0, reader.limits.side) for i in typed(indices, list, "evidence.entry", 2)]
    require(r < statement.rows and j < statement.columns, "shape", f"evidence.entry: no entry [{r}, {j}]")
    P = count_of(bits, "evidence.precision", 32, reader.limits.precision)
    for condition in statement.conditions:
        holds = excludes(Evaluator(condition, P, reader.limits), [enclose(x, P) for x in place], (1, 1))
        require(holds, "point", "evidence.point: not proved to satisfy the conditions of the domain")
    exceeds = Fraction(absolute(error_at(statement, place, r, j, P))[0], 1 << P) > tolerance
    require(exceeds, "point", "the error there is not proved to exceed the tolerance")
    return tuple(numbers), (r, j)


def check_error(statement: Statement, evidence: Any, reader: Reader) -> Finding:
    """Check a claim about the error."""
    _, norm, spelled = fields_of(statement.claim, "statement.claim", "kind", "norm", "tolerance")
    p = None if norm == "inf" else reader.number(norm, "statement.claim.norm")
    tolerance = reader.number(spelled, "statement.claim.tolerance")
    require((p is None or p >= 1) and tolerance > 0, "claim", "statement.claim: norm or tolerance out of range")
    name = "" if p is None else f"_{printable(norm)}"
    claim = f"|{printable(statement.text)} - T|{name} <= {printable(spelled)} on {statement.place}"
    if p is not None:
        statement.extended()
        kind_of(evidence, "evidence", "integral")
        ends = [typed(evidence.get(name), str, f"evidence.{name}") for name in ("lower", "upper")]
        lower, upper = reader.numbers(ends, "evidence.lower or upper")
        require(0 <= lower <= upper > 0, "claim", "evidence: not 0 <= lower <= upper > 0")
        require(not lower <= tolerance < upper, "evidence", "the bounds neither prove nor refute the claim")
        leaves, sums, P = walked(Integral, statement, evidence, reader, p, "lower", "upper")
        least, most = [sum(totals) for totals in zip(*sums, strict=True)]
        power = Arithmetic(2 * P, reader.limits).power
        require(most <= power(p, enclose(upper, 2 * P))[0], "leaf", "the leaves do not prove norm <= upper")
        require(least >= power(p, enclose(lower, 2 * P))[1], "leaf", "the leaves do not prove norm >= lower")
        verdict, bound = ("proved", ends[1]) if upper <= tolerance else ("refuted", spelled)
        return Finding(verdict, claim, bound, 2 * leaves * statement.rows, leaves, lower=ends[0])
    kind = kind_of(evidence, "evidence", "counterexample", *PROOFS)
    require(len(statement.heads) == 1 or kind in ("paving", "counterexample"), "unsupported", f"{kind}: sums of heads")
    if kind == "counterexample":
        return Finding("refuted", claim, spelled, 1, 0, *check_counterexample(statement, evidence, tolerance, reader))
    _, proved, leaves, checked = PROOFS[kind](statement, evidence, tolerance, reader)
    return Finding("proved", claim, proved, checked, leaves)


def check_indicator(statement: Statement, evidence: Any, reader: Reader) -> Finding:
    """Check a claim about the softmax outside a layer."""
    _, *texts = fields_of(statement.claim, "statement.claim", "kind", "delta", "measure")
    delta, measure = reader.numbers(texts, "statement.claim")
    require(0 < delta < 1 and measure > 0, "claim", "statement.claim: delta or measure out of range")
    statement.extended()
    kind_of(evidence, "evidence", "layers")
    leaves, sums, _ = walked(Layers, statement, evidence, reader, delta)
    for j, (layer,) in enumerate(sums):
        require(layer <= measure, "leaf", f"column {j}: the layer is larger than the measure")
    claim = f"|softmax - one-hot| <= {printable(texts[0])} outside measure {printable(texts[1])} on {statement.place}"
    checked = len(evidence["trees"]) + sum(tree.count(".") for tree in evidence["trees"])
    return Finding("proved", claim, texts[1], checked, leaves)


def check_partition(statement: Statement, evidence: Any, reader: Reader) -> Finding:
    """Check a claim about regions: prove or refute it."""
    _, claimed = fields_of(statement.claim, "statement.claim", "kind", "regions")
    statement.extended()
    require(not statement.conditions, "unsupported", "statement.domain.where: a partition is one of a box")
    where, columns, head = "statement.claim.regions", list[list[Region]](), statement.heads[0]
    for column in typed(claimed, list, where, statement.columns):
        columns.append([])
        for item in typed(column, list, where):
            token, neighbours, centre, radius = fields_of(item, where, "token", "neighbours", "centre", "radius")
            i, *others = [count_of(k, where, 0, head.tokens - 1) for k in [token, *typed(neighbours, list, where)]]
            require(len({i, *others}) == 1 + len(others), "malformed", f"{where}: a neighbour twice, or no other token")
            *ball, size = reader.numbers([*typed(centre, list, where, len(head.box)), radius], where)
            require(size >= 0, "claim", f"{where}: the radius is negative")
            columns[-1].append(Region(i, others, ball, size))
        require(
            len({region.token for region in columns[-1]}) == len(columns[-1]), "malformed", f"{where}: a token twice"
        )
    total = sum(map(len, columns))
    claim = (
        f"{total} regions are those of the best token, cover {statement.place}, meet on faces only, each in its ball"
    )
    cells = [Cells(head, j, column, reader, Fraction(0)) for j, column in enumerate(columns)]
    if kind_of(evidence, "evidence", "regions", "breach") == "regions":
        _, proofs = fields_of(evidence, "evidence", "kind", "columns")
        proofs = typed(proofs, list, "evidence.columns", len(columns))
        checked = sum(cell.check(proof) for cell, proof in zip(cells, proofs, strict=True))
        require(total > 0, "region", "nothing was checked")
        return Finding("proved", claim, None, checked, total)
    names = ("kind", "column", "obligation", "point", "tokens")
    _, column, name, numbers, tokens = fields_of(evidence, "evidence", *names)
    cell, place = cells[count_of(column, "evidence.column", 0, len(columns) - 1)], in_domain(statement, numbers, reader)
    known = [cell.token(k, "evidence.tokens") for k in typed(tokens, list, "evidence.tokens")]
    fails = cell.check_breach(typed(name, str, "evidence.obligation"), place, known)
    require(fails, "point", f"evidence.point: {printable(name)} does not fail there")
    return Finding("refuted", claim, None, 1, total, tuple(numbers))


CLAIMS = {"error": check_error, "indicator": check_indicator, "partition": check_partition}


def check_document(document: Any, reader: Reader) -> Finding:
    """Check a certificate that has been parsed."""
    version = typed(typed(document, dict, "certificate").get("format"), str, "format")
    require(version == "attncert/1", "format", f"unknown format {printable(version)}")
    names = ["format", "statement", "statement_sha256", "evidence"]
    _, content, seal, evidence, *_ = fields_of(document, "certificate", *names, *["notes"] * ("notes" in document))
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    digest = hashlib.sha256(canonical.encode("ascii")).hexdigest()
    require(typed(seal, str, "statement_sha256") == digest, "digest", f"the statement has the digest {digest}")
    statement = Statement(content, reader)
    kind = kind_of(statement.claim, "statement.claim", *CLAIMS)
    require(evidence is not None, "evidence", "a claim without evidence")
    found = CLAIMS[kind](statement, evidence, reader)
    return replace(found, tokens=statement.tokens, statement_sha256=digest)


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
        return check_bytes(read_at_most(stream.read, limits.document), limits)


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
