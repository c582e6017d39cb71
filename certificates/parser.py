"""The target language: source text to a linear program (a tape).

The grammar is the section `target` of docs/certificate-format.md. Each nesting level is one shunting-yard pass that
emits instructions as it reduces, so there is no syntax tree and the depth of recursion is that of the brackets alone.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from fractions import Fraction
from typing import NamedTuple, NoReturn, Protocol

from attncert.certificates.errors import InvalidNumber, InvalidTarget
from attncert.certificates.numbers import parse_exact

MAX_LENGTH = 100_000
"""Most characters of a target."""

MAX_DEPTH = 200
"""Most brackets open at once."""

MAX_EXPONENT = 1_000_000
"""Greatest absolute value of a literal exponent."""

MAX_EXPONENT_BITS = 10_000
"""Most bits of the numerator or denominator of a literal exponent, and of the steps of its evaluation."""

CIRCULAR = frozenset(("sin", "cos", "tan", "atan"))
HYPERBOLIC = frozenset(("tanh", "sigmoid", "sinh", "cosh"))
UNARY_FUNCTIONS = CIRCULAR | HYPERBOLIC | {"exp", "log", "sqrt", "abs", "erf", "sign", "floor"}
EXTREMA = frozenset(("min", "max"))


class Instruction(NamedTuple):
    """One step of a tape: `op` applied to the values of the slots `args`.

    `payload` is the Fraction of a `const` or an `rpow`, the flat index of a `var`, the int exponent of an `ipow`.
    """

    op: str
    args: tuple[int, ...] = ()
    payload: Fraction | int | None = None


class Program(NamedTuple):
    """A parsed target: the tape, the place of each slot in the source, the output slots by rows, their shape."""

    tape: tuple[Instruction, ...]
    spans: tuple[tuple[int, int], ...]
    outputs: tuple[int, ...]
    shape: tuple[int, int]


class Variables(Protocol):
    """Resolves the names of variables to flat indices; raises InvalidTarget (without a place) for unknown ones."""

    def entry(self, name: str) -> int:
        """Return the index of a plain name such as `x` or `x2`."""

    def matrix_entry(self, letter: str, row: str, column: str) -> int:
        """Return the index of `letter[row,column]`, given the digits."""


def parse(source: str, variables: Variables) -> Program:
    """Parse a target; raises InvalidTarget with the place and the reason in one line."""
    return _Parser(source, variables).target()


def variables_used(source: str) -> frozenset[str]:
    """Return the variables that a target mentions, as `x`, `x2` or `X[0,1]`, whether or not they exist.

    Raises InvalidTarget where the source does not split into tokens.
    """
    tokens = _tokens(source)
    texts = [token.text for token in tokens]
    names = {text for text in texts if re.fullmatch(r"x[0-9]*", text)}
    for k in range(len(texts) - 5):
        letter, opening, row, comma, column, closing = texts[k : k + 6]
        if (opening, comma, closing) == ("[", ",", "]") and re.fullmatch("[A-Z]", letter):
            names.add(f"{letter}[{row},{column}]")
    return frozenset(names)


# --------------------------------------------------------------------------------------------------------------------
# Tokens


class _Kind(Enum):
    NUMBER = auto()
    NAME = auto()
    SYMBOL = auto()
    END = auto()


class _Token(NamedTuple):
    kind: _Kind
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


_LEXICON = re.compile(
    r"(?P<blank>[ \t\r\n]+)"
    r"|(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z_0-9]*)"
    r"|(?P<symbol>\*\*|<=|>=|[-+*/<>()\[\],])"
)

_SYMBOL_HINTS = {
    "^": "'^' is not an operator; use ** for powers",
    "=": "there is no '='; a target is an expression, and comparisons are <, <=, > and >= (not equality)",
    "!": "there is no '!'; write 'not', and compare with <, <=, > and >=",
    "&": "there is no '&'; write 'and'",
    "|": "there is no '|'; write 'or', and abs(u) for an absolute value",
    "%": "there is no '%'; u modulo v is u - v*floor(u/v)",
    "×": "use * to multiply",
    "·": "use * to multiply",
    "−": "use - (the ASCII hyphen) to subtract",
    "π": "write pi",
}


def _tokens(source: str) -> list[_Token]:
    if len(source) > MAX_LENGTH:
        raise InvalidTarget(f"the target has {len(source)} characters; the limit is {MAX_LENGTH}")
    kinds = {"number": _Kind.NUMBER, "name": _Kind.NAME, "symbol": _Kind.SYMBOL}
    tokens, position = [], 0
    while position < len(source):
        match = _LEXICON.match(source, position)
        if match is None:
            symbol = source[position]
            _fail(source, position, _SYMBOL_HINTS.get(symbol, f"unexpected character {symbol!r}"))
        if match.lastgroup in kinds:
            tokens.append(_Token(kinds[match.lastgroup], match[0], position))
        position = match.end()
    tokens.append(_Token(_Kind.END, "", len(source)))
    return tokens


def _fail(source: str, position: int, message: str) -> NoReturn:
    line = source.count("\n", 0, position)
    column = position - (source.rfind("\n", 0, position) + 1) + 1
    place = f"line {line + 1}, column {column}" if line else f"column {column}"
    raise InvalidTarget(f"{place}: {message}")


# --------------------------------------------------------------------------------------------------------------------
# Literal exponents


class _Huge(Enum):
    """A literal too large to be an exponent, kept apart so that it is refused only where it is one."""

    HUGE = auto()


_Literal = Fraction | _Huge | None
_HUGE = _Huge.HUGE


def _literal(symbol: str, left: _Literal, right: _Literal) -> _Literal:
    """Return the exact value of `left symbol right` where that is a literal exponent, else None."""
    if left is None or right is None:
        return None
    if isinstance(left, _Huge) or isinstance(right, _Huge):
        return _HUGE
    if symbol == "**":
        return _literal_power(left, right)
    if symbol == "/":
        return None if right == 0 else _bounded(left / right)
    return _bounded(left + right if symbol == "+" else left - right if symbol == "-" else left * right)


def _literal_power(base: Fraction, exponent: Fraction) -> _Literal:
    if exponent.denominator != 1 or abs(exponent) > 10_000 or (base == 0 and exponent < 0):
        return None
    if (_bits(base) - 1) * abs(exponent) > MAX_EXPONENT_BITS:
        return _HUGE
    return _bounded(base ** int(exponent))


def _bounded(value: Fraction) -> _Literal:
    return value if _bits(value) <= MAX_EXPONENT_BITS else _HUGE


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


# --------------------------------------------------------------------------------------------------------------------
# Parser

_INFIX = {
    "or": 1,
    "and": 2,
    **dict.fromkeys(("<", "<=", ">", ">="), 4),
    **dict.fromkeys(("+", "-"), 5),
    **dict.fromkeys(("*", "/"), 6),
    "**": 8,
}
_PREFIX = {"not": 3, "+": 7, "-": 7}
_POWER = _INFIX["**"]
_ARITHMETIC = {"+": "add", "-": "sub", "*": "mul", "/": "div"}
_ALIASES = {
    "ln": "log",
    "arctan": "atan",
    "fabs": "abs",
    "Abs": "abs",
    "sgn": "sign",
    "logistic": "sigmoid",
    "expit": "sigmoid",
    "minimum": "min",
    "maximum": "max",
    "if": "where",
    "piecewise": "where",
}


@dataclass(frozen=True)
class _Operand:
    """The result of a subexpression: its slot, whether it is a condition, its place in the source.

    `literal` is its value as a literal exponent; `last` is the right operand of an open comparison chain.
    """

    slot: int
    start: int
    end: int
    is_condition: bool = False
    literal: _Literal = None
    last: _Operand | None = None


class _Operator(NamedTuple):
    symbol: str
    level: int
    is_prefix: bool
    start: int


class _Parser:
    def __init__(self, source: str, variables: Variables) -> None:
        self.source = source
        self.variables = variables
        self.tokens = _tokens(source)
        self.index = 0
        self.depth = 0
        self.tape: list[Instruction] = []
        self.spans: list[tuple[int, int]] = []
        self.slots: dict[Instruction, int] = {}

    # Targets

    def target(self) -> Program:
        if self._peek().kind is _Kind.END:
            raise InvalidTarget("the target is empty")
        rows = self._rows() if self._peek().text == "[" else [[self._number()]]
        if self._peek().kind is not _Kind.END:
            self._unexpected(self._peek())
        outputs = [operand.slot for row in rows for operand in row]
        return self._program(outputs, (len(rows), len(rows[0])))

    def _rows(self) -> list[list[_Operand]]:
        self._take("[")
        if self._peek().text != "[":
            return [[entry] for entry in self._entries()]
        rows: list[list[_Operand]] = []
        while True:
            start = self._take("[").start
            rows.append(self._entries())
            if len(rows[-1]) != len(rows[0]):
                self._fail(start, f"this row has {len(rows[-1])} entries, the first has {len(rows[0])}")
            if self._peek().text != ",":
                self._take("]")
                return rows
            self._take(",")

    def _entries(self) -> list[_Operand]:
        """Parse `expr (',' expr)* ']'`."""
        entries = [self._number()]
        while self._peek().text == ",":
            self._take(",")
            entries.append(self._number())
        self._take("]")
        return entries

    def _program(self, outputs: list[int], shape: tuple[int, int]) -> Program:
        """Drop the instructions that no output needs: those of literal exponents."""
        needed = set(outputs)
        for slot in reversed(range(len(self.tape))):
            if slot in needed:
                needed.update(self.tape[slot].args)
        kept = sorted(needed)
        place = {slot: k for k, slot in enumerate(kept)}
        tape = tuple(
            self.tape[slot]._replace(args=tuple(place[argument] for argument in self.tape[slot].args)) for slot in kept
        )
        spans = tuple(self.spans[slot] for slot in kept)
        return Program(tape, spans, tuple(place[slot] for slot in outputs), shape)

    # Expressions: one shunting-yard pass for each nesting level

    def _number(self) -> _Operand:
        operand = self._sequence()
        self._require_number(operand)
        return operand

    def _sequence(self) -> _Operand:
        operands: list[_Operand] = []
        operators: list[_Operator] = []
        while True:
            while (token := self._peek()).text in _PREFIX:
                self.index += 1
                operators.append(_Operator(token.text, _PREFIX[token.text], True, token.start))
            operands.append(self._atom())
            token = self._peek()
            level = _INFIX.get(token.text, 0)
            while operators and operators[-1].level >= level and not (level == operators[-1].level == _POWER):
                self._reduce(operands, operators.pop())
            if not level:
                return operands[0]
            self.index += 1
            operators.append(_Operator(token.text, level, False, token.start))

    def _reduce(self, operands: list[_Operand], operator: _Operator) -> None:
        right = operands.pop()
        if operator.is_prefix:
            operands.append(self._apply_prefix(operator, right))
        elif operator.symbol in ("and", "or"):
            operands.append(self._connect(operator.symbol, operands.pop(), right))
        elif operator.level == _INFIX["<"]:
            operands.append(self._compare(operator.symbol, operands.pop(), right))
        else:
            operands.append(self._apply_infix(operator.symbol, operands.pop(), right))

    def _apply_prefix(self, operator: _Operator, right: _Operand) -> _Operand:
        start, end = operator.start, right.end
        if operator.symbol == "not":
            self._require_condition(right)
            return _Operand(self._emit("not_", (right.slot,), start, end), start, end, is_condition=True)
        self._require_number(right)
        if operator.symbol == "+":
            return replace(right, start=start)
        literal = _literal("-", Fraction(0), right.literal)
        return _Operand(self._emit("neg", (right.slot,), start, end), start, end, literal=literal)

    def _connect(self, symbol: str, left: _Operand, right: _Operand) -> _Operand:
        self._require_condition(left)
        self._require_condition(right)
        slot = self._emit(f"{symbol}_", (left.slot, right.slot), left.start, right.end)
        return _Operand(slot, left.start, right.end, is_condition=True)

    def _compare(self, symbol: str, left: _Operand, right: _Operand) -> _Operand:
        self._require_number(right)
        first = left.last or left
        self._require_number(first)
        smaller, larger = (first, right) if symbol.startswith("<") else (right, first)
        op = "less_equal" if symbol.endswith("=") else "less"
        slot = self._emit(op, (smaller.slot, larger.slot), first.start, right.end)
        if left.last:
            slot = self._emit("and_", (left.slot, slot), left.start, right.end)
        return _Operand(slot, left.start, right.end, is_condition=True, last=right)

    def _apply_infix(self, symbol: str, left: _Operand, right: _Operand) -> _Operand:
        self._require_number(left)
        self._require_number(right)
        if symbol == "**":
            slot = self._power(left, right)
        else:
            slot = self._emit(_ARITHMETIC[symbol], (left.slot, right.slot), left.start, right.end)
        literal = _literal(symbol, left.literal, right.literal)
        return _Operand(slot, left.start, right.end, literal=literal)

    def _power(self, base: _Operand, exponent: _Operand) -> int:
        start, end = base.start, exponent.end
        value = exponent.literal
        if isinstance(value, _Huge) or (value is not None and abs(value) > MAX_EXPONENT):
            self._fail(exponent.start, f"the exponent is too large; the limit is {MAX_EXPONENT}")
        if value is None:
            if self.tape[base.slot].op == "e":  # exp(b log e) = exp(b)
                return self._emit("exp", (exponent.slot,), start, end)
            return self._emit("pow", (base.slot, exponent.slot), start, end)
        if value == 1:
            return base.slot
        if value.denominator == 1:
            return self._emit("ipow", (base.slot,), start, end, value.numerator)
        return self._emit("rpow", (base.slot,), start, end, value)

    # Atoms

    def _atom(self) -> _Operand:
        token = self._peek()
        if token.kind is _Kind.END:
            self._fail(token.start, "the target ends where an operand is missing")
        if (token.kind is _Kind.SYMBOL and token.text != "(") or token.text in ("and", "or"):
            self._fail(token.start, f"unexpected {token.text!r} where an operand is missing")
        self.index += 1
        if token.kind is _Kind.NUMBER:
            value = self._value(token)
            slot = self._emit("const", (), token.start, token.end, value)
            return _Operand(slot, token.start, token.end, literal=_bounded(value))
        if token.text == "(":
            return self._parenthesis(token)
        if self._peek().text == "(" and token.text not in ("pi", "e"):
            return self._call(token)
        return self._named(token)

    def _value(self, token: _Token) -> Fraction:
        """Return the value of a number, which may lack the digits on one side of its point."""
        whole, point, rest = token.text.partition(".")
        if point:
            rest = rest if rest[:1].isdigit() else f"0{rest}"
        try:
            return parse_exact(f"{whole or '0'}{point}{rest}")
        except InvalidNumber as error:
            self._fail(token.start, str(error))

    def _parenthesis(self, opening: _Token) -> _Operand:
        self._enter(opening)
        inner = self._sequence()
        end = self._leave(opening)
        return replace(inner, start=opening.start, end=end, last=None)

    def _named(self, token: _Token) -> _Operand:
        name = token.text
        if self._peek().text == "[" and re.fullmatch("[A-Z]", name):
            return self._matrix_entry(token)
        if name in ("pi", "e"):
            return _Operand(self._emit(name, (), token.start, token.end), token.start, token.end)
        if name in UNARY_FUNCTIONS or name in EXTREMA or name == "where":
            self._fail(token.start, f"the function {name!r} needs its arguments in parentheses: {name}(...)")
        if self._peek().text == "[":
            self._fail(token.start, f"unknown variable {name!r}; an entry of the input is X[i,j]")
        index = self._resolved(token, self.variables.entry, name)
        return _Operand(self._emit("var", (), token.start, token.end, index), token.start, token.end)

    def _matrix_entry(self, letter: _Token) -> _Operand:
        self._take("[")
        row = self._index()
        self._take(",")
        column = self._index()
        end = self._take("]").end
        index = self._resolved(letter, self.variables.matrix_entry, letter.text, row, column)
        return _Operand(self._emit("var", (), letter.start, end, index), letter.start, end)

    def _index(self) -> str:
        token = self._peek()
        if not re.fullmatch("[0-9]+", token.text):
            self._fail(token.start, f"an index of X[i,j] is a whole number, not {token.text!r}")
        self.index += 1
        return token.text

    def _resolved(self, token: _Token, resolve: Callable[..., int], *names: str) -> int:
        try:
            return resolve(*names)
        except InvalidTarget as error:
            self._fail(token.start, str(error))

    # Calls

    def _call(self, token: _Token) -> _Operand:
        name = token.text
        if name != "where" and name not in UNARY_FUNCTIONS and name not in EXTREMA:
            self._fail(token.start, self._unknown_function(token))
        opening = self._take("(")
        self._enter(opening)
        arguments = [self._sequence()]  # in line, since each nested call costs as many frames
        while self._peek().text == ",":
            self.index += 1
            arguments.append(self._sequence())
        end = self._leave(opening)
        self._check_count(token, len(arguments))
        if name == "where":
            return self._where(token.start, end, arguments)
        for argument in arguments:
            self._require_number(argument)
        slot = arguments[0].slot
        if name in UNARY_FUNCTIONS:
            slot = self._emit(name, (slot,), token.start, end)
        for argument in arguments[1:]:
            slot = self._emit(name, (slot, argument.slot), token.start, end)
        return _Operand(slot, token.start, end)

    def _where(self, start: int, end: int, arguments: list[_Operand]) -> _Operand:
        condition, then, otherwise = arguments
        self._require_condition(condition)
        self._require_number(then)
        self._require_number(otherwise)
        return _Operand(self._emit("where", (condition.slot, then.slot, otherwise.slot), start, end), start, end)

    def _check_count(self, token: _Token, count: int) -> None:
        name = token.text
        if name in UNARY_FUNCTIONS and count != 1:
            self._fail(token.start, f"{name} takes 1 argument, not {count}")
        if name in EXTREMA and count < 2:
            self._fail(token.start, f"{name} takes 2 or more arguments")
        if name == "where" and count != 3:
            self._fail(token.start, f"where takes 3 arguments, where(condition, a, b), not {count}")

    def _unknown_function(self, token: _Token) -> str:
        name = token.text
        if name == "pow":
            return "unknown function 'pow' (write a**b)"
        if name == "relu":
            return "unknown function 'relu' (write max(u, 0))"
        if re.fullmatch(r"x[0-9]*", name):
            return f"{name!r} is a variable, not a function; write {name}*(...) for a product"
        known = sorted(UNARY_FUNCTIONS | EXTREMA | {"where"})
        close = [_ALIASES[name]] if name in _ALIASES else difflib.get_close_matches(name[:50], known, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else f" (there are {', '.join(known)})"
        return f"unknown function {_shortened(name)}{hint}"

    # Helpers

    def _emit(self, op: str, args: tuple[int, ...], start: int, end: int, payload: Fraction | int | None = None) -> int:
        instruction = Instruction(op, args, payload)
        slot = self.slots.get(instruction)
        if slot is None:
            slot = self.slots[instruction] = len(self.tape)
            self.tape.append(instruction)
            self.spans.append((start, end))
        return slot

    def _peek(self) -> _Token:
        return self.tokens[self.index]

    def _take(self, text: str) -> _Token:
        token = self._peek()
        if token.text != text:
            self._unexpected(token, expected=text)
        self.index += 1
        return token

    def _enter(self, opening: _Token) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self._fail(opening.start, f"brackets are nested more than {MAX_DEPTH} deep")

    def _leave(self, opening: _Token) -> int:
        if self._peek().kind is _Kind.END:
            self._fail(opening.start, "this '(' is never closed")
        self.depth -= 1
        return self._take(")").end

    def _require_number(self, operand: _Operand) -> None:
        if operand.is_condition:
            self._fail(operand.start, "a condition stands where a number is needed; use where(condition, a, b)")

    def _require_condition(self, operand: _Operand) -> None:
        if not operand.is_condition:
            self._fail(operand.start, "a number stands where a condition is needed; compare it, as in x < 1")

    def _unexpected(self, token: _Token, expected: str = "") -> NoReturn:
        """Fail at a token that cannot follow a complete operand or bracket."""
        wanted = f"; expected {expected!r}" if expected else ""
        if token.kind is _Kind.END:
            self._fail(token.start, f"the target ends too early{wanted}")
        previous = self.tokens[self.index - 1] if self.index else token
        follows = previous.kind in (_Kind.NAME, _Kind.NUMBER) or previous.text == ")"
        if follows and (token.kind in (_Kind.NAME, _Kind.NUMBER) or token.text == "("):
            self._fail(token.start, f"an operator is missing before {_shortened(token.text)} (a product needs '*')")
        self._fail(token.start, f"unexpected {_shortened(token.text)}{wanted}")

    def _fail(self, position: int, message: str) -> NoReturn:
        _fail(self.source, position, message)


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 30 else text[:27] + "...")
