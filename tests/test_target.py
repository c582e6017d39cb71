"""The target language: what is accepted, with which meaning, and what is refused, where and why."""

from __future__ import annotations

import operator
import re
import sys
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from attncert.certificates.errors import InvalidTarget
from attncert.certificates.parser import MAX_DEPTH, MAX_LENGTH
from attncert.certificates.target import InputSpace, Target, parse_target, run, variables_used

LINE = InputSpace((1, 1))
PLANE = InputSpace((2, 1))
MATRIX = InputSpace((2, 3))


class Rationals:
    """The tape's algebra over the rationals at one point."""

    def __init__(self, *x: int | Fraction) -> None:
        self.x = [Fraction(entry) for entry in x]
        self.const = lambda value: value
        self.var = self.x.__getitem__
        self.add, self.sub, self.mul, self.div = operator.add, operator.sub, operator.mul, operator.truediv
        self.less, self.less_equal = operator.lt, operator.le
        self.and_, self.or_, self.not_ = operator.and_, operator.or_, operator.not_
        self.neg, self.abs, self.min, self.max = operator.neg, abs, min, max
        self.ipow = pow
        self.where = lambda c, a, b: a if c else b


def value(source: str, *x: int | Fraction, space: InputSpace | None = None) -> list[Any]:
    return run(parse_target(source, space or InputSpace((max(len(x), 1), 1))), Rationals(*x))


def ops(target: Target) -> list[str]:
    return [instruction.op for instruction in target.tape]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("-x**2", -9),
        ("2**3**2", 512),
        ("2**-1*4", 2),
        ("-2**-2", Fraction(-1, 4)),
        ("2*-x", -6),
        ("- - x", 3),
        ("-+-x", 3),
        ("1-2-3", -4),
        ("8/4/2", 1),
        ("8/4*2", 4),
        ("2+3*x", 11),
        ("(2+3)*x", 15),
        ("x - -1", 4),
        ("1e2+.5+2.+1.5E-1", Fraction(2053, 20)),
        ("1.e1", 10),
        (" \t\r\n x\n+\n1 ", 4),
        ("min(x, 1, 2)", 1),
        ("max(1, x, 2)", 3),
        ("abs(-x)", 3),
        ("where(x < 3, 1, 2)", 2),
        ("where(x <= 3, 1, 2)", 1),
        ("where(x > 3, 1, 2)", 2),
        ("where(x >= 3, 1, 2)", 1),
        ("where(1 < x < 4, 1, 2)", 1),
        ("where(1 < x < 2, 1, 2)", 2),
        ("where(4 > x >= 3 > 1, 1, 2)", 1),
        ("where(not x < 3, 1, 2)", 1),
        ("where(not not x < 3, 1, 2)", 2),
        ("where(x < 1 and x < 2 or x < 4, 1, 2)", 1),
        ("where(x < 4 or x < 2 and x < 1, 1, 2)", 1),
        ("where((x < 4 or x < 2) and x < 1, 1, 2)", 2),
        ("where(((x)) < (4), 1, 2)", 1),
        ("where(((x < 4)), 1, 2)", 1),
        ("where(not x < 1 and x < 4, 1, 2)", 1),
        ("where(-x < 1, 1, 2)", 1),
        ("where(where(x < 1, 0, 1) < 1, 1, 2)", 2),
    ],
)
def test_meaning(source: str, expected: int | Fraction) -> None:
    assert value(source, 3) == [expected]


@pytest.mark.parametrize(
    ("source", "space", "shape", "expected"),
    [
        ("[x0, x1]", PLANE, (2, 1), [10, 11]),
        ("[x0]", PLANE, (1, 1), [10]),
        ("[[x0, x1]]", PLANE, (1, 2), [10, 11]),
        ("[[x0, x1], [1, 2], [3, x0]]", PLANE, (3, 2), [10, 11, 1, 2, 3, 10]),
        ("X[0,2] - X[ 1 , 0 ]", MATRIX, (1, 1), [-1]),
        ("[x5, x0]", MATRIX, (2, 1), [15, 10]),
        ("X[1,0]", PLANE, (1, 1), [11]),
        ("x + x0 + X[0,0]", LINE, (1, 1), [30]),
        ("x00 + x01", PLANE, (1, 1), [21]),
    ],
)
def test_shapes_and_variables(source: str, space: InputSpace, shape: tuple[int, int], expected: list[int]) -> None:
    target = parse_target(source, space)
    assert target.shape == shape
    assert target.source == source
    assert run(target, Rationals(*range(10, 10 + space.size))) == expected


@pytest.mark.parametrize(
    ("source", "column", "reason"),
    [
        (";", 1, "unexpected character ';'"),
        ("x^2", 2, "use ** for powers"),
        ("x == 1", 3, "there is no '='"),
        ("where(x != 1, 1, 2)", 9, "write 'not'"),
        ("where(x<1 && x>0, 1, 2)", 11, "write 'and'"),
        ("|x|", 1, "abs(u)"),
        ("x % 2", 3, "floor"),
        ("2π", 2, "write pi"),
        ("x # a comment", 3, "unexpected character '#'"),
        ("sine(x)", 1, "unknown function 'sine' (did you mean 'sin'?)"),
        ("1 + ln(x)", 5, "unknown function 'ln' (did you mean 'log'?)"),
        ("zz(x)", 1, "unknown function 'zz' (there are abs, atan,"),
        ("pow(x, 2)", 1, "write a**b"),
        ("relu(x)", 1, "write max(u, 0)"),
        ("x(2)", 1, "'x' is a variable, not a function"),
        ("pi(2)", 3, "an operator is missing before '('"),
        ("sin x", 1, "needs its arguments in parentheses: sin(...)"),
        ("sin()", 5, "where an operand is missing"),
        ("sin(x, x)", 1, "sin takes 1 argument, not 2"),
        ("min(x)", 1, "min takes 2 or more arguments"),
        ("where(x < 1, 1)", 1, "where takes 3 arguments"),
        ("where(x < 1, 1, 2, 3)", 1, "where takes 3 arguments"),
        ("2x", 2, "an operator is missing before 'x' (a product needs '*')"),
        ("x y", 3, "an operator is missing before 'y'"),
        ("(x)(x)", 4, "an operator is missing before '('"),
        ("1..2", 3, "an operator is missing before '.2'"),
        ("1e", 2, "an operator is missing before 'e'"),
        ("x not 1", 3, "an operator is missing"),
        ("x +", 4, "the target ends where an operand is missing"),
        ("* x", 1, "unexpected '*' where an operand is missing"),
        ("x // 2", 4, "unexpected '/'"),
        ("x and and x", 7, "unexpected 'and'"),
        ("(x", 1, "this '(' is never closed"),
        ("1 + sin(x", 8, "this '(' is never closed"),
        ("x)", 2, "unexpected ')'"),
        ("(x, 1)", 3, "unexpected ','; expected ')'"),
        ("[x", 3, "ends too early; expected ']'"),
        ("[x,]", 4, "unexpected ']'"),
        ("[]", 2, "unexpected ']'"),
        ("[x] + 1", 5, "unexpected '+'"),
        ("1 + [x]", 5, "unexpected '['"),
        ("[[x], [x, x]]", 7, "this row has 2 entries, the first has 1"),
        ("[[x], x]", 7, "unexpected 'x'; expected '['"),
        ("[x, [x]]", 5, "unexpected '['"),
        ("x < 1", 1, "a condition stands where a number is needed"),
        ("1 + (x < 1)", 5, "a condition stands where a number is needed"),
        ("-(x < 1)", 2, "a condition"),
        ("sin(x < 1)", 5, "a condition"),
        ("where(x < 1, x < 2, 3)", 14, "a condition"),
        ("where(1 < (x < 2) < 3, 1, 2)", 11, "a condition"),
        ("where(x < not x < 1, 1, 2)", 11, "a condition"),
        ("where((1 < x) < 2, 1, 2)", 7, "a condition"),
        ("[x < 1, 2]", 2, "a condition"),
        ("where(x, 1, 2)", 7, "a number stands where a condition is needed"),
        ("where(x < 1 and x, 1, 2)", 17, "a number stands where a condition"),
        ("where(not x, 1, 2)", 11, "a number stands where a condition"),
        ("y", 1, "unknown variable 'y'; the domain has 1 side: x"),
        ("x + x1", 5, "unknown variable 'x1'; the domain has 1 side: x"),
        ("x99999999999999999999", 1, "unknown variable"),
        ("X", 1, "its entries are X[i,j]"),
        ("X[1,0]", 1, "X has no entry [1,0]: X is 1 x 1, counted from 0"),
        ("X[x,0]", 3, "an index of X[i,j] is a whole number, not 'x'"),
        ("X[0.5,0]", 3, "an index"),
        ("X[-1,0]", 3, "an index"),
        ("X[0]", 4, "unexpected ']'; expected ','"),
        ("Y[0,0]", 1, "unknown matrix 'Y'"),
        ("x[0]", 1, "an entry of the input is X[i,j]"),
        ("x ** 1e7", 6, "the exponent is too large"),
        ("x ** (10**4000)", 6, "the exponent is too large"),
        ("x**(2**9999*2**9999)", 4, "the exponent is too large"),
        ("9**9**9", 4, "the exponent is too large"),
        ("1e10000000", 1, "exponent"),
    ],
)
def test_refusals(source: str, column: int, reason: str) -> None:
    with pytest.raises(InvalidTarget) as failure:
        parse_target(source, LINE)
    message = str(failure.value)
    assert message.startswith(f"column {column}: ")
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("source", "space", "message"),
    [
        ("", LINE, "the target is empty"),
        (" \n ", LINE, "the target is empty"),
        ("x\n + y", LINE, "line 2, column 4: unknown variable 'y'; the domain has 1 side: x"),
        ("x", PLANE, "column 1: 'x' alone names the entry of a one-dimensional domain; the domain has 2 sides: x0, x1"),
        ("x2", PLANE, "column 1: unknown variable 'x2'; the domain has 2 sides: x0, x1"),
        ("z", MATRIX, "column 1: unknown variable 'z'; the domain has 6 sides: X[0,0], X[0,1], ..., X[1,2]"),
        ("X[2,0]", MATRIX, "column 1: X has no entry [2,0]: X is 2 x 3, counted from 0"),
        ("X[0,99999999999]", MATRIX, "column 1: X has no entry [0,999999999]: X is 2 x 3, counted from 0"),
        ("x" * (MAX_LENGTH + 1), LINE, f"the target has {MAX_LENGTH + 1} characters; the limit is {MAX_LENGTH}"),
        ("(" * 300 + "x" + ")" * 300, LINE, f"column {MAX_DEPTH + 1}: brackets are nested more than 200 deep"),
    ],
)
def test_whole_messages(source: str, space: InputSpace, message: str) -> None:
    with pytest.raises(InvalidTarget) as failure:
        parse_target(source, space)
    assert str(failure.value) == message


@pytest.mark.parametrize(
    "source",
    [
        "sin(" * MAX_DEPTH + "x" + ")" * MAX_DEPTH,
        "min(1," * MAX_DEPTH + "x" + ")" * MAX_DEPTH,
        "1+2*(" * MAX_DEPTH + "x" + ")" * MAX_DEPTH,
        "where(x<1," * MAX_DEPTH + "x" + ",2)" * MAX_DEPTH,
        "-" * 50_000 + "x",
        "2**" * 30_000 + "x",
        "+".join(["x"] * 50_000),
    ],
    ids=["calls", "extrema", "brackets", "where", "signs", "powers", "sum"],
)
def test_depth_needs_no_deep_recursion(source: str) -> None:
    limit = sys.getrecursionlimit()
    frames = 0
    frame = sys._getframe()
    while frame.f_back is not None:
        frames, frame = frames + 1, frame.f_back
    try:
        sys.setrecursionlimit(frames + 3 * MAX_DEPTH + 60)
        assert parse_target(source, LINE).tape
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize(
    ("source", "op", "payload"),
    [
        ("x**2", "ipow", 2),
        ("x**-3", "ipow", -3),
        ("x**0", "ipow", 0),
        ("x**(4/2)", "ipow", 2),
        ("x**2.0", "ipow", 2),
        ("x**2e3", "ipow", 2000),
        ("x**(2**3)", "ipow", 8),
        ("x**-(1+1)", "ipow", -2),
        ("x**(2**-1*6)", "ipow", 3),
        ("x**(1/3)", "rpow", Fraction(1, 3)),
        ("x**0.5", "rpow", Fraction(1, 2)),
        ("x**-.25", "rpow", Fraction(-1, 4)),
        ("x**(0**0)", None, None),  # the exponent is 1
        ("x**1", None, None),
        ("x**(0**-1)", "pow", None),  # a division by zero makes no literal
        ("x**(1/0)", "pow", None),
        ("x**(2**20000)", "pow", None),  # exponents above 10000 make no literal
        ("x**(4**(1/2))", "pow", None),
        ("x**pi", "pow", None),
        ("x**x", "pow", None),
        ("2**x", "pow", None),
        ("x**min(2,3)", "pow", None),
        ("e**x", "exp", None),
    ],
)
def test_literal_exponents(source: str, op: str | None, payload: int | Fraction | None) -> None:
    last = parse_target(source, LINE).tape[-1]
    assert last.op == (op or "var")
    if payload is not None:
        assert last.payload == payload
        assert type(last.payload) is type(payload)


def test_literal_exponents_leave_no_instructions() -> None:
    assert ops(parse_target("x**(1/3+2)", LINE)) == ["var", "rpow"]


def test_common_subexpressions_are_shared() -> None:
    target = parse_target("[sin(x0*x1) + 2*x0, 2*x0 * sin( x0 * x1 )]", PLANE)
    assert ops(target) == ["var", "var", "mul", "sin", "const", "mul", "add", "mul"]
    assert target.outputs == (6, 7)


def test_products_are_not_squares() -> None:
    """x*x keeps its natural interval extension: a checker need not be tighter."""
    assert ops(parse_target("x*x", LINE)) == ["var", "mul"]


def test_text_of_a_slot() -> None:
    target = parse_target("1 + log( x0\n - x1 )", PLANE)
    slot = ops(target).index("log")
    assert target.text(slot) == "log( x0 - x1 )"


def test_names_of_entries() -> None:
    assert LINE.variable_name(0) == "x"
    assert [PLANE.variable_name(k) for k in range(2)] == ["x0", "x1"]
    assert [MATRIX.variable_name(k) for k in (0, 2, 3, 5)] == ["X[0,0]", "X[0,2]", "X[1,0]", "X[1,2]"]
    for space in (LINE, PLANE, MATRIX):
        for k in range(space.size):
            assert parse_target(space.variable_name(k), space).tape[0].payload == k


def test_variables_used() -> None:
    assert variables_used("x2 + sin(x0)*X[ 0 , 1 ] - exp(y) + x") == {"x", "x0", "x2", "X[0,1]"}
    assert variables_used("1") == frozenset()
    with pytest.raises(InvalidTarget, match="column 2"):
        variables_used("x$")


# Python's precedence and the language's agree, so Python's evaluator is an oracle for arithmetic and conditions.

numbers = st.integers(0, 5).map(str) | st.sampled_from(["x0", "x1"])


def _combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    infix = st.tuples(inner, st.sampled_from(["+", "-", "*", " - ", "/"]), inner).map("".join)
    prefix = st.tuples(st.sampled_from(["-", "+", "- "]), inner).map("".join)
    powered = st.tuples(inner, st.sampled_from(["**2", "**-1", "**(3)", " ** +2"])).map("".join)
    bracketed = st.tuples(st.sampled_from(["(", "abs(", "min(1,", "max(x0,"]), inner, st.just(")")).map("".join)
    return infix | prefix | powered | bracketed


# Powers group to the right, so three in a row, as in 5**(3)**(3)**(3), are numbers that nobody can write down.
TOWER = re.compile(r"(\*\* ?[+-]?\(?\d\)? *){3}")
arithmetic = st.recursive(numbers, _combined, max_leaves=12).filter(lambda source: not TOWER.search(source))


def _connected(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    infix = st.tuples(inner, st.sampled_from([" and ", " or "]), inner).map("".join)
    return infix | inner.map("not {}".format) | inner.map("({})".format)


comparisons = st.tuples(
    arithmetic, st.sampled_from(["<", "<=", ">", ">="]), arithmetic, st.sampled_from(["", "<1", ">= x1", "> 2 < 4"])
).map("".join)
conditions = st.recursive(comparisons, _connected, max_leaves=4)


def _python(source: str, names: dict[str, Any]) -> Any:
    exact = re.sub(r"(?<![\w*])(\d+)|(?<=\*\*)(\d+)", r"F(\g<0>)", source)
    return eval(exact, {"F": Fraction, "abs": abs, "min": min, "max": max, **names})


@settings(deadline=None)
@given(arithmetic, st.fractions(max_denominator=8), st.fractions(max_denominator=8))
@example("1-2**-1*x0/-2", Fraction(3), Fraction(1))
def test_arithmetic_is_pythons(source: str, x0: Fraction, x1: Fraction) -> None:
    try:
        expected = _python(source, {"x0": x0, "x1": x1})
    except (ZeroDivisionError, OverflowError):
        return
    if isinstance(expected, Fraction):  # float or complex where a power was nested in an exponent
        try:
            assert value(source, x0, x1) == [expected]
        except AttributeError:
            assert {"pow", "rpow"} & set(ops(parse_target(source, PLANE)))


@settings(deadline=None)
@given(conditions, st.fractions(max_denominator=4), st.fractions(max_denominator=4))
def test_conditions_are_pythons(source: str, x0: Fraction, x1: Fraction) -> None:
    try:
        expected = _python(source, {"x0": x0, "x1": x1})
        found = value(f"where({source}, 1, 2)", x0, x1)
    except (ZeroDivisionError, OverflowError, AttributeError, TypeError):
        return
    assert found == [1 if expected else 2]


@settings(deadline=None)
@given(st.text(st.sampled_from("x01X[],()+-*/.e<=> \nwherandotsinlogm"), max_size=40))
@example("((")
@example("x**")
@example("where(")
def test_any_text_parses_or_is_refused_in_one_line(source: str) -> None:
    message, target = outcome(source)
    assert len(message.splitlines()) == (target is None)
    if target is not None:
        assert len(target.outputs) == target.shape[0] * target.shape[1]
        assert len(target.spans) == len(target.tape)


@settings(deadline=None)
@given(st.text(max_size=30))
def test_arbitrary_text(source: str) -> None:
    message, target = outcome(source)
    assert len(message.splitlines()) == (target is None)


def outcome(source: str) -> tuple[str, Target | None]:
    try:
        return "", parse_target(source, PLANE)
    except InvalidTarget as failure:
        return str(failure), None
