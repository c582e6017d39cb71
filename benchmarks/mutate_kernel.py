"""Breaks the kernel in one place at a time, and counts how often the checks notice.

python -m benchmarks.mutate_kernel                       every mutant, against the case files and the oracle
python -m benchmarks.mutate_kernel --pytest              those that survive, against the kernel's tests too
python -m benchmarks.mutate_kernel --every 10            one mutant in ten
python -m benchmarks.mutate_kernel --lines 120-180       those of some lines
python -m benchmarks.mutate_kernel --survivors FILE      the survivors, a line each, as JSON

A mutant is one change to the syntax tree of verifier/kernel.py: a comparison moved to its boundary or turned round, a
rounding direction, + and -, min and max, any and all, `and` and `or`, a constant one more or less, a `require` or a
`raise` left out. It is compiled in memory and runs in a forked process with limits on time and memory; one that
exceeds them counts as noticed. Left out are annotations, the defaults of limits and findings, the texts of messages,
and what cannot make a false claim true:

* `strict=` of a zip. It is a second check: the kernel zips lists of which one was made from the other, or whose lengths
  it has compared before.
* the working precision of the elementary functions: assignments to names of WORKING, and functions of these names. The
  functions enclose their value by errors that they state in units of this precision, whatever it is, so that it only
  decides how narrow the answer is; one too small for the shifts that follow is an internal error, which rejects. (What
  they add up as error, how often they halve an argument and where they stop are mutants.) Nor does SHARED matter, which
  says how large the pieces are that the shares of the work consist of.

The checks, in this order: tests/accept, tests/reject, tests/malformed, tests/razor (both sides of each edge) and the
small certificates of the gallery, the fastest first, each of which must get the very finding or reason of the kernel
itself; among them, after the first ones, the numbers inside (inner_values.py) on a few, and the oracle: enclosures of
targets at points and on boxes, against Arb (python-flint) and exact rationals, how narrow they are, what formulas and
numbers mean, where functions are undefined, and volumes; the numbers inside on all; the work in shares; the least
limits of some certificates; `main`; with --pytest tests/test_kernel*.py, with the mutant in the place of the kernel.
Exit code: 0 if at least 95 % are noticed, else 1.

survivors.json says of those that are known to survive why they do: a reason, and the mutants that it is about.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import hashlib
import io
import json
import math
import os
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.inner_values import RECORD, inner_values

ROOT = Path(__file__).parent.parent
KERNEL = ROOT / "verifier" / "kernel.py"
DEFAULTS = {"Limits", "Finding"}
"""Classes whose defaults do not matter: those of the limits, and what every finding has in their place."""

REASONS = Path(__file__).parent / "survivors.json"

MESSAGES = {"printable", "about"}
"""Functions that only word messages."""

WORKING = {"W", "guard", "SHARED"}
"""Names of working precisions, and of how work is divided."""

SLOWEST = 0.1
"""Seconds that a case may take the kernel to be among the checks."""

QUICK, SOME, SOON = 200, 10, 8
"""Cases before the oracle and the numbers inside on some certificates, one in so many; the others follow. Until then it
may take so many seconds."""

PATIENCE = 900
"""Seconds for the tests of the kernel."""

ENOUGH = 0.95
"""The part of the mutants that has to be noticed."""

MEMORY = 3 << 30

ORDER = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
OPPOSITE = {
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.LShift: ast.RShift, ast.RShift: ast.LShift}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "abs": "int", "add": "sub", "sub": "add"}


@dataclass(frozen=True)
class Mutant:
    """A change: its number, where it is, and what it does."""

    number: int
    line: int
    column: int
    what: str


Change = tuple[str, Callable[[ast.AST], ast.AST]]


def ceiling(node: ast.BinOp) -> ast.AST:
    """-(-a op b) for a op b."""
    return ast.UnaryOp(ast.USub(), ast.BinOp(ast.UnaryOp(ast.USub(), node.left), node.op, node.right))


def changes(node: ast.AST) -> Iterator[Change]:
    """The changes to a node; each makes a new one."""

    def having(**fields: Any) -> Callable[[ast.AST], ast.AST]:
        def change(old: ast.AST) -> ast.AST:
            new = copy.copy(old)
            for name, value in fields.items():
                setattr(new, name, value)
            return new

        return change

    match node:
        case ast.Compare(ops=ops):
            for n, op in enumerate(ops):
                for table in (ORDER, OPPOSITE):
                    if type(op) in table:
                        other = table[type(op)]
                        yield f"{type(op).__name__} -> {other.__name__}", having(ops=[*ops[:n], other(), *ops[n + 1 :]])
        case ast.BinOp(op=ast.FloorDiv() | ast.RShift() as op):
            yield f"{type(op).__name__} rounds up", lambda old: ceiling(old)  # type: ignore[arg-type]
            if isinstance(op, ast.RShift):
                yield "RShift -> LShift", having(op=ast.LShift())
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in ARITHMETIC:
            other = ARITHMETIC[type(op)]
            yield f"{type(op).__name__} -> {other.__name__}", having(op=other())
        case ast.BoolOp(op=op):
            other = ast.Or if isinstance(op, ast.And) else ast.And
            yield f"{type(op).__name__} -> {other.__name__}", having(op=other())
        case ast.UnaryOp(op=ast.USub() | ast.Not() as op, operand=operand):
            yield f"{type(op).__name__} left out", lambda _: operand
        case ast.Constant(value=bool() as value):
            yield f"{value} -> {not value}", having(value=not value)
        case ast.Constant(value=int() as value):
            yield f"{value} -> {value + 1}", having(value=value + 1)
            yield f"{value} -> {value - 1}", having(value=value - 1)
        case ast.Name(id=name, ctx=ast.Load()) if name in NAMES:
            yield f"{name} -> {NAMES[name]}", having(id=NAMES[name])
        case ast.Expr(value=ast.Call(func=ast.Name(id="require"))):
            yield "require left out", lambda _: ast.Pass()
        case ast.Raise():
            yield "raise left out", lambda _: ast.Pass()


def mutable(statement: ast.stmt) -> Iterator[ast.AST]:
    """The nodes of a statement of the module that mutants may change, in the order of the source."""

    def visit(node: ast.AST) -> Iterator[ast.AST]:
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.ClassDef) and node.name in DEFAULTS):
            return
        if isinstance(node, ast.FunctionDef) and node.name in MESSAGES | WORKING:
            return
        if isinstance(node, ast.keyword) and node.arg == "strict":
            return
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if all(isinstance(target, ast.Name) and target.id in WORKING for target in targets):
            return
        yield node
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "bases"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from visit(child)

    if not isinstance(statement, ast.If):  # the last one, which calls main
        yield from visit(statement)


def mutants(source: str) -> list[Mutant]:
    """All mutants of a source, numbered."""
    found = []
    for statement in ast.parse(source).body:
        for node in mutable(statement):
            for what, _ in changes(node):
                found.append(Mutant(len(found), getattr(node, "lineno", 0), getattr(node, "col_offset", 0), what))
    return found


def reasons() -> dict[tuple[str, int, str], str]:
    """Why mutants survive, by the text of the line, the column and the change."""
    groups = json.loads(REASONS.read_text())
    return {(text, column, what): why for why, known in groups.items() for text, column, what in known}


class Source:
    """The kernel by statements of its module, each compiled once."""

    def __init__(self, text: str) -> None:
        """Parse and compile."""
        self.statements = ast.parse(text).body
        self.codes = [_compiled(statement) for statement in self.statements]

    def module(self, change: tuple[int, ast.stmt] | None = None, name: str = "attncert.verifier.kernel") -> ModuleType:
        """The module, with another statement in one place."""
        module = ModuleType(name)
        module.__file__ = str(KERNEL)
        sys.modules[name] = module  # dataclasses look there
        for n, code in enumerate(self.codes):
            changed = change is not None and change[0] == n
            exec(_compiled(change[1]) if changed and change else code, module.__dict__)
        return module

    def mutated(self, number: int) -> ModuleType:
        """The module of a mutant."""
        count = 0
        for n, statement in enumerate(self.statements):
            for node in mutable(statement):
                for _, change in changes(node):
                    if count == number:
                        return self.module((n, _replaced(statement, node, change(node))))
                    count += 1
        raise IndexError(number)


def _compiled(statement: ast.stmt) -> Any:
    return compile(ast.Module([statement], []), str(KERNEL), "exec")


def _replaced(statement: ast.stmt, old: ast.AST, new: ast.AST) -> ast.stmt:
    """The statement with another node in the place of one; what it was is lost."""
    ast.copy_location(new, old)
    for parent in ast.walk(statement):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, new)
            elif isinstance(value, list):
                setattr(parent, name, [new if child is old else child for child in value])
    return ast.fix_missing_locations(statement)


# ---------------------------------------------------------------------------------------------------------------------
# The checks


def said(kernel: ModuleType, data: bytes, limits: Any = None) -> str:
    """The finding of a kernel, or the reason of its rejection."""
    try:
        return repr(kernel.check_bytes(data, limits or kernel.Limits()))
    except kernel.Rejected as rejection:
        return f"rejected: {rejection.reason}"


@dataclass(frozen=True)
class Known:
    """A certificate, and what the kernel itself says of it."""

    path: Path
    data: bytes
    answer: str
    seconds: float


def beyond(path: Path) -> bytes:
    """The certificate of a razor that is rejected."""
    document = json.loads(path.read_bytes())
    place, number = json.loads(path.with_suffix(".edge").read_text())
    at = document
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = number
    text = json.dumps(document["statement"], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    document["statement_sha256"] = hashlib.sha256(text.encode("ascii")).hexdigest()
    return json.dumps(document).encode("ascii")


def known_cases(kernel: ModuleType) -> list[Known]:
    """The case files and the gallery, the fastest first."""
    known = []
    folders = [
        *(ROOT / "tests" / name for name in ("accept", "reject", "malformed", "razor")),
        ROOT / "certificates" / "gallery",
    ]
    for path in sorted(path for folder in folders for path in folder.glob("*.json*")):
        if path.name == "lock.json":
            continue
        contents = [path.read_bytes()]
        if path.parent.name == "razor":
            contents.append(beyond(path))
        for data in contents:
            started = time.perf_counter()
            answer = said(kernel, data)
            seconds = time.perf_counter() - started
            if seconds <= SLOWEST:
                known.append(Known(path, data, answer, seconds))
    return sorted(known, key=lambda case: case.seconds)


def limits_count(kernel: ModuleType) -> bool:
    """Tell whether the least limits of some certificates are those that are recorded."""
    for name, least in json.loads((ROOT / "tests" / "least_limits.json").read_text()).items():
        data = (ROOT / "tests" / name).read_bytes()
        for limit, value in least.items():
            told = [said(kernel, data, kernel.Limits(**{limit: number})) for number in (value, value - 1)]
            if told[0].startswith("rejected") or not told[1].startswith("rejected"):
                return False
    return True


def shared(kernel: ModuleType, known: Sequence[Known]) -> bool:
    """Tell whether deep trees get the same answer where the work comes in shares, and none of these is idle."""
    for case in known:
        if case.path.name in DEEP:
            for shares in (2, 5):
                done: list[int] = []

                def spread(work: Callable[[Any], Any], parts: Sequence[Any], done: list[int] = done) -> Iterator[Any]:
                    for part in parts:
                        found = work(part)
                        done.append(sum(leaves for leaves, _ in found))
                        yield found

                try:
                    answer = repr(kernel.check_bytes(case.data, kernel.Limits(), shares, spread))
                except kernel.Rejected as rejection:
                    answer = f"rejected: {rejection.reason}"
                if answer != case.answer or 0 in done:
                    return False
    return True


DEEP = {f"deep-{kind}.json" for kind in ("paving", "norm-upper", "norm-lower", "layers")}
"""Razors whose trees go beyond the splits above which work is shared out."""


def printed(kernel: ModuleType, paths: Sequence[str]) -> tuple[int, str, str]:
    """What the command prints, and its exit code."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = kernel.main(paths)
    return code, out.getvalue(), err.getvalue()


POINTS = 80
FORMULAS = [
    *[f"{name}(x)" for name in ("exp", "sin", "cos", "atan", "tanh", "sigmoid", "sinh", "cosh", "erf", "tan", "abs")],
    *[
        "log(x)",
        "sqrt(x)",
        "1/x",
        "exp(-abs(x))",
        "x**0",
        "x**1",
        "x**(-1)",
        "x**(-3)",
        "x**3",
        "x**(-2)",
        "x**(1/3)",
        "x**(-1/3)",
        "x**(-5/2)",
        "x**4 - x*x",
        "pi*x",
        "e + x",
    ],
    *["floor(x)", "sign(x)", "min(x, 1/3)", "max(x, -x, 1)", "where(x < 1, x, 2)", "where(not x <= 1 or x > 3, 1, x)"],
]


def oracle(kernel: ModuleType) -> bool:
    """Tell whether enclosures of functions at points hold what Arb encloses, and are narrow."""
    import flint

    rnd = random.Random(0)
    values: dict[str, Callable[[Any], Any]] = {
        "exp": lambda x: x.exp(),
        "sin": lambda x: x.sin(),
        "cos": lambda x: x.cos(),
        "atan": lambda x: x.atan(),
        "tanh": lambda x: x.tanh(),
        "sigmoid": lambda x: 1 / (1 + (-x).exp()),
        "sinh": lambda x: x.sinh(),
        "cosh": lambda x: x.cosh(),
        "erf": lambda x: x.erf(),
        "tan": lambda x: x.tan(),
        "exp(-abs(x))": lambda x: (-abs(x)).exp(),
        "log": lambda x: x.log(),
        "sqrt": lambda x: x.sqrt(),
        "1/x": lambda x: 1 / x,
        "x**(1/3)": lambda x: (x.log() / 3).exp(),
        "x**(-1/3)": lambda x: (-x.log() / 3).exp(),
        "x**(-5/2)": lambda x: (x.log() * flint.arb(-2.5)).exp(),
        "pi*x": lambda x: flint.arb.pi() * x,
        "e + x": lambda x: flint.arb(1).exp() + x,
    }
    flint.ctx.prec = 1200
    for text in FORMULAS:
        function = values.get(text) or values.get(text.partition("(")[0])
        target = kernel.Target(text, {"X": (1, 1)}, kernel.Limits())
        for n in range(POINTS):
            P = rnd.choice([8, 11, 20, 32, 33, 47, 53, 64, 96, 111, 200, 300])
            size = P + rnd.choice([-P // 2, -3, 0, 0, 3, 4, 9 if text in FAR else 1, 40 if text in FARTHEST else 2])
            x = rnd.randint(1, 1 << size)
            beside = n < 4  # a number of P bits, which the value may be, so that no ball lies within its enclosure
            x = 1 + n // 2 if beside else x
            if text[:3] not in ("log", "sqr") and text[:6] not in ("x**(1/", "x**(-1", "x**(-5") and n % 2:
                x = -x
            ((lo, hi),) = kernel.Evaluator(target, P, kernel.Limits()).enclosures([(x, x)], target.outputs[0])
            if function is None:
                exact = plain(text, Fraction(x, 1 << P))
                exact = Fraction(0) if exact is None else exact * 2**P
                if not lo <= exact <= hi or hi - lo > math.ceil(exact) - math.floor(exact) + (text == "x**4 - x*x"):
                    return False
                continue
            value = function(flint.arb(x) / flint.arb(2) ** P) * flint.arb(2) ** P
            within = value >= lo - 1 and value <= hi + 1 and value.overlaps(flint.arb(lo).union(flint.arb(hi)))
            if not (within if beside else lo <= value and value <= hi) or hi - lo > WIDEST.get(text, 2) + beside:
                return False
    checks = [exact_points, tails, constants, undefined, language, spelled, volumes, ends]
    return all(check(kernel) for check in checks) and intervals(kernel, rnd)


FARTHEST = {f"{name}(x)" for name in ("sin", "cos", "tan", "atan", "log", "sqrt")}
FAR = FARTHEST | {"1/x", "x**(1/3)", "x**(-1/3)", "x**(-5/2)", "exp(-abs(x))"}
"""Formulas with large arguments."""

WIDEST = {
    "pi*x": 20,
    **dict.fromkeys(
        [
            "exp(-abs(x))",
            "x**(1/3)",
            "x**(-1/3)",
            "exp(x)",
            "cos(x)",
            "cosh(x)",
            "erf(x)",
            "log(x)",
            "sqrt(x)",
            "1/x",
            "e + x",
        ],
        1,
    ),
}
"""Units in the last place that the enclosure of a function at a point is wide at most; 2 of all others."""


def exact_points(kernel: ModuleType) -> bool:
    """Tell whether values that are exact are enclosed by themselves."""
    P, limits = 40, kernel.Limits()
    known = [
        ("exp(x)", 0, 1),
        ("log(x)", 1, 0),
        ("atan(x)", 0, 0),
        ("sqrt(x)", 4, 2),
        ("sin(x)", 0, 0),
        ("cos(x)", 0, 1),
    ]
    known += [("sqrt(x)", 0, 0), ("x**3", 2, 8), ("x**(-2)", 2, Fraction(1, 4)), ("x**(1/3)", 0, 0), ("sinh(x)", 0, 0)]
    for text, x, y in known:
        target = kernel.Target(text, {"X": (1, 1)}, limits)
        (found,) = kernel.Evaluator(target, P, limits).enclosures([(x << P, x << P)], target.outputs[0])
        if found != (int(y * 2**P),) * 2:
            return False
    for text, low, high in [("erf(x)", -1, 1), ("tanh(x)", -1, 1), ("sigmoid(x)", 0, 1)]:  # beyond all precision
        target = kernel.Target(text, {"X": (1, 1)}, limits)
        for x in (1 << 10, 1 << 30):
            box = [(-x << P, x << P)]
            (found,) = kernel.Evaluator(target, P, limits).enclosures(box, target.outputs[0])
            if found != (low << P, high << P):
                return False
    return True


def tails(kernel: ModuleType) -> bool:
    """Tell whether erf is enclosed where 1 and the next number take the place of its series."""
    import flint

    target = kernel.Target("erf(x)", {"X": (1, 1)}, kernel.Limits())
    for P in (8, 33, 64, 111):
        for ninths in range(8 * P):  # of the square
            x = math.isqrt(ninths << 2 * P) // 3
            ((lo, hi),) = kernel.Evaluator(target, P, kernel.Limits()).enclosures([(x, x)], target.outputs[0])
            value = (flint.arb(x) / flint.arb(2) ** P).erf() * flint.arb(2) ** P
            if not (lo <= value and value <= hi):
                return False
    return True


def constants(kernel: ModuleType) -> bool:
    """Tell whether pi, e and log 2 have narrow enclosures at many precisions."""
    import flint

    limits = kernel.Limits()
    values = {
        "pi": flint.arb.pi(),
        "e": flint.arb(1).exp(),
        "log(2)": flint.arb(2).log(),
        "atan(1)": flint.arb.pi() / 4,
    }
    for text, value in values.items():
        target = kernel.Target(text, {"X": (1, 1)}, limits)
        for P in [*range(1, 70), 100, 200, 500, 1000]:
            ((lo, hi),) = kernel.Evaluator(target, P, limits).enclosures([(0, 0)], target.outputs[0])
            if not (lo <= value * flint.arb(2) ** P and value * flint.arb(2) ** P <= hi) or hi - lo > 3:
                return False
    return True


LANGUAGE = {
    "-4": "1 - 2 - 3 | -2**2",
    "1": (
        "(1/3)**10000*3**10000 | "
        "8/4/2 | 0**0 | min(3, 2, 1) | min(1, 3, 2) | min(1, 2) | sign(3) | where(1 < 2, 1, 0) | "
        "where(2 <= 2, 1, 0) | where(3 > 2 > 1, 1, 0) | where(1 < 2 <= 2 < 3, 1, 0) | x**0 | "
        "where(not 1 >= 2 and not 2 > 3, 1, 0) | where(not not 1 < 2, 1, 0) | "
        "where(3 >= 1 + 2, 1, 0) | where(3 <= 1 + 2, 1, 0) | where(1 + 2 > 2, 1, 0) | where(2 < 1 + 2, 1, 0) | "
        "where(not 1 < 2 or 1 < 2, 1, 0) | where(1 < 2, 1, 1/x) | where((1 < 2), 1, 0) | x0 + 1 | "
        "X[00,0] + 1 | x00 + 1"
    ),
    "512": "2**3**2",
    "7": "1 + 2*3",
    "9": "(1 + 2)*3",
    "-6": "2*-3",
    "3": "- -3 | +3 | max(1, 2, 3) | max(3, 1, 2) | abs(-3) | floor(3) | where(2 < 1, 1/x, 3)",
    "1/2": "2**-1",
    "3/2": ".5 + 1. | sqrt(9/4)",
    "100": "1e2",
    "3/20": "1.5e-1",
    "20": "2E+1",
    "-27": "-3**3 | (-3)**3",
    "1/4": "(-2)**-2",
    "2": "7 - 2*3 + 1 | max(1, 2) | floor(7/3) | x + 2 | where(x < 1, 2, log(x))",
    "18": "2*3**2",
    "1/3": "1/3",
    "-1": "sign(-3) | floor(-1/3)",
    "0": (
        "sign(0) | where(2 < 2, 1, 0) | where(3 > 2 > 2, 1, 0) | where(1 < 2 <= 2 < 2, 1, 0) | "
        "where(1 >= 2 or 2 > 1 and 1 < 0, 1, 0) | x - x | X[0,0] | 0**(1/2) | 0**2 | sqrt(x) | x**(1/3)"
    ),
    "undefined": (
        "where(1 < 2 or 1/x < 0, 1, 0) | 0**-1 | 1/0 | 1/(1 - 1) | 1/x | log(0) | log(x) | sqrt(-1) | "
        "(-1)**(1/2) | 0**(-1/2) | x**(-1) | x**(-1/3) | sqrt(x - 1) | tan(x) + 1/sin(x) | x**x"
    ),
    "shape": "x01 | X[0,1] | X[1,0]",
    "target": (
        " | 1 + | (1 | 1) | 1 2 | x y | sin | sin() | sin(1, 2) | min(1) | max() | where(1, 2, 3) | "
        "where(1 < 2, 1 < 2, 1) | 1 < 2 | not 1 | 1 and 2 | (1 < 2) + 1 | [1 < 2] | [[1], 2] | [1, [2]] | "
        "[] | [1 | [[1, 2], [3]] | 1 < (2 < 3) | # | y | where(1 < 2, 1) | where(1 < 2, 1, 2, 3) | x..1 | "
        "1e | X | X[0] | X[0,0 | exp exp"
    ),
    "limit": (
        "((2**9000)**1000)**-9999 | exp(10**9) | exp(exp(99)) | 2**10000000 | 10**9**9 | cosh(10**7) | sinh(-10**7)"
    ),
    "": "exp(-10**9)",
}
"""Formulas by what they are at x = 0, or why they are nothing; "" where they are less than a unit."""


def language(kernel: ModuleType) -> bool:
    """Tell whether formulas mean what they have to mean."""
    P, limits = 40, kernel.Limits()
    for text, value in [(text, value) for value, texts in LANGUAGE.items() for text in texts.split(" | ")]:
        try:
            target = kernel.Target(text, {"X": (1, 1)}, limits)
            ((lo, hi),) = kernel.Evaluator(target, P, limits).enclosures([(0, 0)], target.outputs[0])
        except kernel.Rejected as rejection:
            if rejection.reason != value:
                return False
            continue
        if value.isalpha():
            return False
        exact = Fraction(value) * 2**P if value else Fraction(1, 2)
        if (lo, hi) != (math.floor(exact), math.ceil(exact)):
            return False
    return True


def spelled(kernel: ModuleType) -> bool:
    """Tell whether numbers are read as they are spelled, and nothing else is."""
    limits = kernel.Limits(number=2000, exponent=900)
    good = {"0": 0, "-7": -7, "007": 7, "1/3": Fraction(1, 3), "-2/6": Fraction(-1, 3), "1.50": Fraction(3, 2)}
    good |= {"1e3": 1000, "-1E-2": Fraction(-1, 100), "1.25e+1": Fraction(25, 2), "0x1p-1": Fraction(1, 2), "0xap0": 10}
    good |= {"-0x1.8p+1": -3, "0x.8p0": 0, "0xF.Fp4": 255, "1e900": 10**900, "12.5e-900": Fraction(125, 10**901)}
    good |= {
        "9" * 1999: 10**1999 - 1,
        "1" + "0" * 1200: 10**1200,
        "0x0.01p8": 1,
        "1/" + "9" * 700: Fraction(1, 10**700 - 1),
    }
    del good["0x.8p0"]
    bad = dict.fromkeys(
        ["", "+1", " 1", "1 ", "1.", ".5", "1/0", "1/-3", "1/00", "0x1", "0x.8p0", "1e", "e1"], "malformed"
    )
    bad |= dict.fromkeys(
        ["1_0", "inf", "nan", "--1", "1/2/3", "0x1p", "1p3", "1e1.5", "1.5/2", "0x1.p1", "\n1"], "malformed"
    )
    bad |= dict.fromkeys(["1e901", "1e-901", "0x1p901", "0x1p-901", "9" * 2001, "0" * 2001], "limit")
    for text, value in good.items():
        if kernel.rational(text, "here", limits) != value:
            return False
    for text, reason in bad.items():
        try:
            kernel.rational(text, "here", limits)
        except kernel.Rejected as rejection:
            if rejection.reason == reason:
                continue
        return False
    return True


def volumes(kernel: ModuleType) -> bool:
    """Tell whether volumes of boxes, simplices and what cuts them are exact."""
    for m in (1, 2, 3):
        unit = [[int(k == n) for n in range(m)] for k in range(m)]
        least = [(row, Fraction(1, 3)) for row in unit]  # y >= -1/3
        most = [([-2 * a for a in row], Fraction(4, 3)) for row in unit]  # y <= 2/3
        simplex = [([-3] * m, Fraction(3) - m), *least]  # sum of (y + 1/3) <= 1
        cases = [(least + most, Fraction(1)), (simplex + most, Fraction(1, math.factorial(m)))]
        cases += [([*least, *most, ([1] * m, Fraction(m, 3)), ([2] * m, Fraction(9))], Fraction(1))]
        cases += [([*least, *most, ([0] * m, Fraction(n))], Fraction(n >= 0)) for n in (-1, 0, 1)]
        cases += [
            ([*least, *most, ([-3] + [0] * (m - 1), Fraction(-n))], Fraction(max(0, 1 - n), 3)) for n in (-2, 0, 1, 2)
        ]
        cases += [([*least, *most, ([6] + [0] * (m - 1), Fraction(-n))], Fraction(4 - n, 6)) for n in (0, 1, 3)]
        for rows, volume in cases:
            if kernel.volume(rows) != volume or kernel.volume(rows[::-1]) != volume:
                return False
    octahedron = [([a, b, c], Fraction(1, 2)) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]
    skew: list[tuple[list[int], Fraction]] = [([2, 1], Fraction(1)), ([-2, -1], Fraction(0)), ([1, -1], Fraction(0))]
    skew += [([-1, 1], Fraction(1, 7))]
    return kernel.volume(octahedron) == Fraction(1, 6) and kernel.volume(skew) == Fraction(1, 21)


def undefined(kernel: ModuleType) -> bool:
    """Tell whether functions are undefined on just those boxes on which they have to be."""
    P, limits = 40, kernel.Limits(magnitude=300)
    half = kernel.constant("pi", P)[0] >> 1  # the pole of tan lies between this and the next number
    one = 1 << P
    boxes: list[tuple[str, list[tuple[int, int]], str | None]] = [
        ("log(x)", [(1, 9), (1, 1)], None),
        ("log(x)", [(0, 9), (-1, 9), (-9, -1), (0, 0)], "undefined"),
        ("sqrt(x)", [(0, 9), (0, 0)], None),
        ("sqrt(x)", [(-1, 9), (-9, -1), (-1, 0)], "undefined"),
        ("tan(x)", [(-half, half), (half + 1, half + one), (1 - half, 0), (half + 1, 3 * half)], None),
        ("tan(x)", [(half, half + 1), (-half - 1, 0), (0, 9 * one), (-half - one, -half), (0, half + 1)], "undefined"),
        ("tan(x)", [(-1, half + 1), (-3 * half, -half)], "undefined"),
        ("1/x", [(1, 9), (-9, -1)], None),
        ("1/x", [(0, 1), (-1, 0), (-1, 1), (0, 0)], "undefined"),
        ("x**(-2)", [(one, 9 * one), (-9 * one, -one)], None),
        ("x**(-3)", [(-1, 0), (0, one), (-one, one)], "undefined"),
        ("x**(1/3)", [(0, 1), (1, 9)], None),
        ("x**(1/3)", [(-1, 1), (-3, -2)], "undefined"),
        ("x**(-1/3)", [(1, 9)], None),
        ("x**(-1/3)", [(0, 9), (-1, 9)], "undefined"),
        ("exp(x)", [(0, 199 * one), (-(10**9) * one, 0)], None),
        ("exp(x)", [(0, 200 * one)], "limit"),
        ("sinh(x)", [(-199 * one, 199 * one)], None),
        ("sinh(x)", [(-200 * one, 0), (0, 200 * one)], "limit"),
        ("cosh(x)", [(-199 * one, 199 * one)], None),
        ("cosh(x)", [(-200 * one, 0), (0, 200 * one)], "limit"),
        ("x*x", [((1 << 149) * one, (1 << 149) * one)], None),
        ("x*x", [((1 << 150) * one, (1 << 150) * one)], "limit"),
        ("-x*x", [((1 << 149) * one, (1 << 149) * one)], None),
        ("-x*x", [((1 << 150) * one, (1 << 150) * one)], "limit"),
    ]
    for text, sides, reason in boxes:
        target = kernel.Target(text, {"X": (1, 1)}, limits)
        for side in sides:
            said = None
            try:
                kernel.Evaluator(target, P, limits).enclosures([side], target.outputs[0])
            except kernel.Rejected as rejection:
                said = rejection.reason
            if said != reason:
                return False
    return True


def ends(kernel: ModuleType) -> bool:
    """Tell whether functions that increase have, on a box, the ends of their enclosures at its ends."""
    rnd, P, limits = random.Random(3), 36, kernel.Limits()
    names = ["exp", "atan", "erf", "tanh", "sigmoid", "sinh", "log", "sqrt", "cosh"]
    for name in names:
        target = kernel.Target(f"{name}(x)", {"X": (1, 1)}, limits)
        evaluator = kernel.Evaluator(target, P, limits)
        for _ in range(12):
            a, b = sorted(rnd.randint(1 if name in ("log", "sqrt") else -8 << P, 8 << P) for _ in "ab")
            box = (max(0, a, -b), max(abs(a), abs(b))) if name == "cosh" and not a <= 0 <= b else (a, b)
            if name == "cosh" and a <= 0 <= b:
                box = 0, max(-a, b)
            (found,) = evaluator.enclosures([(a, b)], target.outputs[0])
            at = [evaluator.enclosures([(end, end)], target.outputs[0])[0] for end in box]
            if found != (at[0][0], at[1][1]):
                return False
    return True


BINARY: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "x0 + x1": lambda x, y: x + y,
    "x0 - x1": lambda x, y: x - y,
    "x0*x1": lambda x, y: x * y,
    "x0/x1": lambda x, y: x / y,
    "min(x0, x1)": min,
    "max(x0, x1)": max,
    "abs(x0)": lambda x, _: abs(x),
    "x0**2": lambda x, _: x**2,
    "x0**3": lambda x, _: x**3,
    "x0**(-3)": lambda x, _: x**-3,
    "floor(x0)": lambda x, _: Fraction(x.__floor__()),
    "sign(x0)": lambda x, _: Fraction((x > 0) - (x < 0)),
    "where(x0 < x1, 1, 0)": lambda x, y: Fraction(x < y),
    "where(x0 <= x1, 1, 0)": lambda x, y: Fraction(x <= y),
    "where(x0 < x1 and x1 < 1, 1, 0)": lambda x, y: Fraction(x < y < 1),
    "where(x0 < x1 or not x1 < 1, 1, 0)": lambda x, y: Fraction(x < y or y >= 1),
}


LOOSE = {text for text in BINARY if " and " in text or " or " in text}
"""Those whose range is less than that of their parts."""


def intervals(kernel: ModuleType, rnd: random.Random) -> bool:
    """Tell whether operations on boxes give their exact ranges, of which the corners and zero are the ends."""
    limits, P = kernel.Limits(), 32
    waves = {"sin(x0)": math.sin, "cos(x0)": math.cos}
    for text in [*BINARY, *waves]:
        target = kernel.Target(text, {"X": (2, 1)}, limits)
        evaluator = kernel.Evaluator(target, P, limits)
        for _ in range(60):
            size = 1 << P + rnd.choice([-30, 0, 1, 3])
            awkward = [0, 1, -1, 1 << P, -1 << P]
            ends = [[rnd.choice([rnd.randint(-size, size)] * 3 + awkward) for _ in "ab"] for _ in "xy"]
            box = [tuple(sorted(side)) for side in ends]
            divides = "/" in text or "(-3)" in text
            try:
                ((lo, hi),) = evaluator.enclosures(box, target.outputs[0])
            except kernel.Rejected:
                if divides and (box[1] if "/" in text else box[0])[0] <= 0 <= (box[1] if "/" in text else box[0])[1]:
                    continue
                return False
            if divides and (box[1] if "/" in text else box[0])[0] <= 0 <= (box[1] if "/" in text else box[0])[1]:
                return False
            (a, b), (c, d) = [[Fraction(end, 1 << P) for end in side] for side in box]
            if text in waves:
                steps = [a + (b - a) * Fraction(n, 200) for n in range(201)]
                seen = [waves[text](float(x)) for x in steps]
                if min(seen) * 2**P < lo - 1 or max(seen) * 2**P > hi + 1 or hi - lo > 2**P * 2:
                    return False
                if (max(seen) - min(seen) + float(b - a) / 100) * 2**P + 8 < hi - lo:
                    return False
                continue
            xs = [a, b, *[z for z in (Fraction(0), Fraction(1)) if a < z < b]]
            ys = [c, d, *[z for z in (Fraction(1), *xs) if c < z < d]]
            xs += [z for z in ys if a < z < b]
            seen_ = [BINARY[text](x, y) for x in xs for y in ys]
            low, high = min(seen_), max(seen_)
            if text not in LOOSE and (lo, hi) != (math.floor(low * 2**P), math.ceil(high * 2**P)):
                return False
            if text in LOOSE and (lo > low * 2**P or hi < high * 2**P):
                return False
    return True


def plain(text: str, x: Fraction) -> Fraction | None:
    """The value of a formula that is rational at rational points; None where it has none."""
    table: dict[str, Callable[[Fraction], Fraction]] = {
        "abs(x)": abs,
        "x**3": lambda x: x**3,
        "x**(-2)": lambda x: x**-2,
        "x**0": lambda x: Fraction(1),
        "x**1": lambda x: x,
        "x**(-1)": lambda x: 1 / x,
        "x**(-3)": lambda x: x**-3,
        "x**4 - x*x": lambda x: x**4 - x * x,
        "floor(x)": lambda x: Fraction(x.__floor__()),
        "sign(x)": lambda x: Fraction((x > 0) - (x < 0)),
        "min(x, 1/3)": lambda x: min(x, Fraction(1, 3)),
        "max(x, -x, 1)": lambda x: max(x, -x, Fraction(1)),
        "where(x < 1, x, 2)": lambda x: x if x < 1 else Fraction(2),
        "where(not x <= 1 or x > 3, 1, x)": lambda x: Fraction(1) if x > 1 else x,
    }
    return table[text](x) if text in table else None


Records = dict[int, dict[str, str]]
"""The numbers inside on one certificate in so many."""


def noticed(
    kernel: ModuleType,
    known: Sequence[Known],
    records: Records,
    commands: Sequence[Sequence[str]],
    wanted: object,
    seconds: int,
) -> str:
    """What notices the mutant: a case, the command, the oracle or nothing (an empty string)."""
    for n, case in enumerate(known):
        if said(kernel, case.data) != case.answer:
            return case.path.name
        if n == QUICK and not oracle(kernel):
            return "oracle"
        if n == QUICK and inner_values(kernel, SOME) != records[SOME]:
            return "numbers inside"
        if n == QUICK:
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    if inner_values(kernel) != records[1]:
        return "numbers inside"
    if not shared(kernel, known):
        return "shares"
    if not limits_count(kernel):
        return "limits"
    if printed(kernel, []) != printed(kernel, ["-h"]) or printed(kernel, [])[0] != 2 or not printed(kernel, [])[2]:
        return "main"
    return "" if [printed(kernel, paths) for paths in commands] == wanted else "main"


def pytest_notices(module: ModuleType) -> str:
    """What of the kernel's tests notices the mutant, which takes the kernel's place."""
    import attncert.verifier

    attncert.verifier.kernel = module
    import pytest

    files = sorted(map(str, (ROOT / "tests").glob("test_kernel*.py")), key=lambda name: Path(name).stat().st_size)
    options = ["-x", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "-p", "no:randomly", "--no-header"]
    code = pytest.main([*options, *files])
    return "pytest" if code == 1 else "" if code == 0 else "pytest stopped"


def child(work: Callable[[], str], seconds: int, memory: int) -> str:
    """The answer of a forked process, with limits on time and memory."""
    read, write = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(read)
        try:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
            resource.setrlimit(resource.RLIMIT_CPU, (min(SOON, seconds), seconds))
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            answer = work()
        except BaseException as error:  # whatever happens, something was noticed
            answer = f"error: {type(error).__name__}"
        with contextlib.suppress(BaseException):
            os.write(write, (answer or "-").encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        answer = stream.read().decode()
    os.waitpid(process, 0)
    return "" if answer == "-" else answer or "time"


def examine(
    source: str, chosen: Sequence[Mutant], *, tests: bool, jobs: int, log: Callable[[str], None]
) -> Iterator[tuple[Mutant, str]]:
    """Each mutant, and what noticed it."""
    text = Source(source)
    kernel = text.module(name="kernel_itself")
    known = known_cases(kernel)
    good = [case for case in known if case.path.parent.name == "accept"]
    by_answer = {case.answer[:24]: str(case.path) for case in known}
    command = [*by_answer.values(), *(str(case.path) for case in good), str(ROOT / "no such file"), str(ROOT)]
    commands = [command, *([path] for path in command[-3:]), [str(good[0].path)], [str(good[0].path), "-x"]]
    wanted = [printed(kernel, paths) for paths in commands]
    records = {SOME: inner_values(kernel, SOME), 1: json.loads(RECORD.read_text())}
    first = [*good[:6], *(case for case in known if case not in good[:6])]
    normal = sum(case.seconds for case in known)
    limit = 40 + int(5 * normal)
    log(f"{len(known)} cases in {normal:.1f} s, {len(chosen)} mutants")

    def work(mutant: Mutant | None) -> str:
        module = text.mutated(mutant.number) if mutant else text.module()
        return noticed(module, first, records, commands, wanted, limit)

    def in_full(mutant: Mutant) -> str:
        resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE, PATIENCE))
        return pytest_notices(text.mutated(mutant.number))

    def ask(mutant: Mutant) -> tuple[Mutant, str]:
        answer = child(lambda: work(mutant), limit, MEMORY)
        if not answer and tests:
            answer = child(lambda: in_full(mutant), PATIENCE, 2 * MEMORY)
        return mutant, answer

    itself = child(lambda: work(None), limit, MEMORY)
    if itself:
        raise SystemExit(f"the kernel itself fails: {itself}")
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(ask, chosen)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mutate_kernel",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="one mutant in N")
    parser.add_argument("--lines", metavar="A-B", help="the mutants of these lines")
    parser.add_argument("--numbers", metavar="FILE", help="the mutants that a file of survivors lists")
    parser.add_argument("--pytest", action="store_true", help="run the kernel's tests against survivors")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time (default 1)")
    parser.add_argument("--survivors", type=Path, metavar="FILE", help="write the survivors")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Examine the mutants that the options choose, and count."""
    options = parse(arguments)
    source = KERNEL.read_text(encoding="utf-8")
    chosen = mutants(source)[:: options.every]
    if options.lines:
        first, _, last = options.lines.partition("-")
        chosen = [mutant for mutant in chosen if int(first) <= mutant.line <= int(last or first)]
    if options.numbers:
        numbers = {json.loads(line)["number"] for line in Path(options.numbers).read_text().splitlines()}
        chosen = [mutant for mutant in chosen if mutant.number in numbers]
    lines, survivors, by, known = source.splitlines(), [], Counter[str](), reasons()
    unexplained = 0
    for n, (mutant, answer) in enumerate(
        examine(source, chosen, tests=options.pytest, jobs=options.jobs, log=lambda text: print(text, flush=True)), 1
    ):
        kinds = ("main", "limits", "shares", "numbers inside", "oracle", "pytest", "time", "error")
        by[next((kind for kind in kinds if answer.startswith(kind)), "case files" if answer else "nothing")] += 1
        if not answer:
            survivors.append(mutant)
            text = lines[mutant.line - 1].strip()
            why = known.get((text, mutant.column, mutant.what), "")
            unexplained += not why
            print(f"survives: line {mutant.line}, column {mutant.column}: {mutant.what}: {text}", flush=True)
            print(f"    {why or 'no reason is known'}", flush=True)
            if options.survivors:
                with options.survivors.open("a" if len(survivors) > 1 else "w") as stream:
                    stream.write(json.dumps({**asdict(mutant), "text": text}) + "\n")
        if n % 200 == 0:
            print(f"{n} of {len(chosen)}, {len(survivors)} survive", file=sys.stderr, flush=True)
    killed = len(chosen) - len(survivors)
    print(f"noticed by: {', '.join(f'{name} {count:,}' for name, count in by.most_common())}")
    print(f"{killed:,} of {len(chosen):,} mutants are noticed: {100 * killed / max(1, len(chosen)):.1f} %")
    print(f"{len(survivors):,} survive, {unexplained:,} of them for no known reason")
    return 0 if chosen and killed >= ENOUGH * len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
