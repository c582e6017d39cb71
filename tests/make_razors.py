"""Writes tests/razor: certificates that the kernel only just accepts.

python tests/make_razors.py

A razor is NAME.json, which the kernel accepts, and NAME.edge: a place in the document and a number, which that place
gets instead, so that the kernel rejects it: for claims of one unit less, in the last place, the proof is not enough.
Each rule, operation and rounding direction of the kernel decides some of these units.

least_limits.json says for some certificates how little of each of the kernel's limits is enough for them.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from fractions import Fraction
from multiprocessing import Pool
from pathlib import Path
from typing import Any

from heads import attention_of, cross_of, grid_statement, json_of, kernel_says, sealed, statement_of

from attncert.certificates.attention import SumAttention
from attncert.certificates.claim import Indicator, LpError, SupError
from attncert.certificates.condition import parse_condition
from attncert.certificates.domain import parse_box
from attncert.certificates.statement import Statement
from attncert.certificates.target import InputSpace, parse_target
from attncert.verifier import kernel
from attncert.verifier.prove import verify

Json = dict[str, Any]
Place = tuple[str | int, ...]
Numbers = Callable[[int, int, int], list[Fraction]]
FOLDER = Path(__file__).parent / "razor"
P = 32
"""Fractional bits: as few as there may be, so that a unit is large."""

FINE = P + 3
"""Bits of the numbers at an edge, of which the kernel drops the last."""

MOST = Fraction(10**7)
"""A bound that everything satisfies."""

FUNCTIONS = {
    "exp": "exp(x)",
    "sin": "sin(3*x)",
    "cos": "cos(5*x - 1/3)",
    "log": "log(x + 1/3)",
    "sqrt": "sqrt(x + 1/7)",
    "atan": "atan(2*x - 1)",
    "erf": "erf(2*x - 1/3)",
    "tanh": "tanh(2*x - 1)",
    "sigmoid": "sigmoid(3*x - 1)",
    "sinh": "sinh(x - 1/3)",
    "cosh": "cosh(2*x - 1/3)",
    "tan": "tan(x/2)",
    "root": "(x + 1/3)**(1/3)",
    "power": "(x + 1/3)**(-5/2)",
    "inverse": "1/(x - 4/3)",
    "inverse-cube": "(x + 1)**(-3)",
    "fifth": "(x - 1/3)**5",
    "fourth": "(x - 1/3)**4",
    "product": "(x - 1/3)*(1/7 - x)*x",
    "quotient": "(x - 1/3)/(x - 5/3)",
    "abs": "abs(x - 1/3)*x",
    "min": "min(x, 1/2, 1 - x)",
    "max": "max(x**2, 1/3)",
    "where": "where(x <= 1/3 or not x < 2/3, x, 2*x)",
    "where-and": "where(x > 1/3 and 1/7 < x < 4/5, x**2, -x)",
    "floor": "floor(3*x)/3",
    "sign": "sign(x - 1/3)",
    "constants": "pi*x - e*x**2",
}

EVEN = [
    *["min(x, 1/2)", "max(x, 1/2)", "abs(x - 1/2)", "abs(1/4 - x)*x", "where(x < 1/2, x, 1)", "where(x <= 1/4, x, 1)"],
    *["floor(4*x)", "sign(x - 1/2)", "min(x, 1/2, 1 - x)", "sigmoid(x - 1/4)", "tanh(x - 5/8)", "where(1/2 < x, x, 1)"],
    *["where(1/4 <= x and x <= 1/2, x, 1)", "where(x < 1/4 or not x < 1/2, x, 1)", "max(x - 1/2, 0, 1/4 - x)", "x*x"],
    *["(x + 1)**(5/2)", "(x + 1)**(7/2)", "(x + 1)**(9/2)", "1/(1/4 - x - 1)", "log(x + 1)", "exp(x)", "atan(x - 1/4)"],
    *["exp(7*x)", "exp(9*x)", "exp(11*x)/9"],
]
"""Entries whose kinks lie at the ends of boxes, or at their centres."""

LEAVES = {"box": "00..0..", "order-1": "0A0::", "order-3": "C", "order-6": "00F?>"}

LOGS = {
    "pole": "x**(-1/4)",
    "pole-of-two": "x**(-1/8)/(1 + x) - x**(-1/8)*3 + 2*x**(-1/8)",
    "pole-less": "x - 1/(3 + x)*(2*x**(-1/5))",
    "pole-of-a-divisor": "x**(-1/5)/(x - 2) + 1/7",
    "log-of-abs": "log(abs(x))*x + abs(x)",
    "log-beside": "3*log(x + 0)/2 - 1",
    "root-pole-beside": "(x - 2)/sqrt(x)/9 + (1 - x)",
    "pole-beside": "2/3 - abs(x - 1/3)**(-1/5)",
    "log-pole": "x*log(x)/3 + log(x)/5",
    "root-pole": "1/sqrt(x)/7",
}

WIDE = [
    *["erf(x)", "atan(x)", "atan(x/9)", "sigmoid(x)", "tanh(x/2)", "sinh(x/3)", "cosh(x/3)", "exp(x)", "exp(-x/2)"],
    *["log(abs(x) + 1/7)", "sqrt(abs(x))", "sin(3*x)", "cos(2*x - 1)", "tan(x/20)", "x**0", "x**1", "x**2", "x**3"],
    *["x**4/99", "(x - 10)**(-1)", "(x - 10)**(-2)", "(x + 10)**(-3)", "(abs(x) + 1/3)**(-1/3)", "abs(x)**(5/3)"],
    *["floor(x/3)", "sign(x + 1/3)", "min(x, 1, -x/2)", "max(x, 1, -x/2)", "where(x < 1 or x > 3, x, 1/3)", "abs(x)"],
    *["x/(11 - x)", "x*(x - 3)", "(x - 3)*(x + 1/3)", "pi*x", "x/7 - e", "erf(x/5)", "log(x + 8)", "sqrt(x + 8)"],
    *["where(not x <= 2, 1/7, -x)", "where(-1 < x <= 2 and x < 3, x, 1/7)", "abs(x - 2)*x", "sin(x)**2", "x**5/99"],
]
"""Entries whose arguments are large, of either sign, and at which both of their branches meet."""

NARROW = [
    *["exp(40*x - 30)", "erf(9*x - 4)", "sigmoid(40*x - 20)", "tanh(30*x - 15)", "sin(1000*x)", "cos(10**6*x)"],
    *["tan(x/2 + 2)", "tan(x/2 - 3)", "tan(x/3 + 40)", "log(x/1000)", "log(1000*x)", "exp(x - 25)", "cosh(9*x - 4)/99"],
    *["sinh(9*x - 4)/99", "atan(900*x - 300)", "sqrt(x/10**6)", "x**(1/7)", "x**(-1/7)", "x**(7/3)", "x**(-7/3)"],
    *["min(x, 1/2, 1 - x)", "max(1/2 - x, x/2, x - 1/2)", "max(x, 1 - x)", "abs(x - 1/2)", "(x - 2)**(-5)", "x**(-4)"],
    *["where(x < 1/2, x, 1 - x)", "where(1/2 <= x, sin(x), x**2)", "1/(1 + x**2)", "log(2 - x)", "erf(-x)", "1/3 - x"],
    *["x**0 + x", "x**1", "(2*x)**(1/3)", "log(1 + sin(x))", "exp(-x**2)", "atan(1/x)", "atan(-3 - x)", "erf(x + 1)"],
    *["where(x <= 1/2 or x > 3/4, x*x, x)", "sign(x)*x", "tan(x)/2", "tanh(-x)", "sigmoid(-9*x)", "e**x", "x**x"],
]

PLANE = [
    *["x0*x1", "sin(x0 + 3*x1)", "x0/(x1 + 2)", "exp(x0)*cos(x1)", "min(x0, x1, x0 + x1)", "max(x0, x1, 1/3)"],
    *["x0**2*x1 - x1**3", "where(x0 < x1, x0, x1**2)", "(x0 - x1)**4", "atan(x0*x1 - x0)", "abs(x0 - x1)", "x0 - x1"],
    *["where(x0 < 1/3 and x1 < 1/7, x0, 1/2)", "where(x0 < 1/3 or not x1 < 1/7, x1, 1/2)", "sqrt(2 + x0*x1)"],
]


def thirds(count: int, scale: int, seed: int) -> list[Fraction]:
    """Numbers that no binary fraction spells."""
    return [Fraction(scale * ((seed * 7 + 5 * i * i + 3 * i) % 23 - 11), 21) for i in range(count)]


def eighths(count: int, scale: int, seed: int) -> list[Fraction]:
    """Numbers that are exact with a few bits."""
    return [Fraction(scale * ((seed * 7 + 5 * i * i + 3 * i) % 23 - 11), 8) for i in range(count)]


def head(m: int, tokens: int, scale: int = 3) -> tuple[list[list[Fraction]], list[Fraction], list[list[Fraction]]]:
    """Keys, biases and values."""
    return [thirds(tokens, scale, 1 + k) for k in range(m)], thirds(tokens, scale, 9), [thirds(tokens, 1, 12)]


def paved(statement: Statement, trees: str | list[str], silence: int = 40) -> Json:
    document = json_of(statement, None)
    trees = trees if isinstance(trees, list) else [trees]
    evidence = {"kind": "paving", "bound": "1", "precision": P, "silence": silence, "trees": trees}
    return {**document, "evidence": evidence}


def halved(depth: int, marks: str, axes: str = "0") -> str:
    """A full tree of some depth, with the marks in turn as its leaves."""
    leaves, levels = iter(marks * (1 << depth)), len(axes)

    def below(level: int) -> str:
        return next(leaves) if level == depth else axes[level % levels] + below(level + 1) + below(level + 1)

    return below(0)


def on_line(target: str, tokens: int = 3, **more: Any) -> Statement:
    return statement_of(target, "[1/11,10/11]", *head(1, tokens), MOST, **more)


def documents() -> Iterator[tuple[str, Json, Place, int, int]]:
    """The certificates, where the number stands that is made least (or greatest: -1), and its bits."""
    bound: Place = ("evidence", "bound")
    for name, target in FUNCTIONS.items():
        for kind, tree in LEAVES.items():
            yield f"{name}-{kind}", paved(on_line(target), tree), bound, 1, FINE
    shapes: dict[str, tuple[Statement, str]] = {
        "slopes": (on_line("x**2", slopes=[[thirds(3, 1, 4)]]), "0.0:C"),
        "many-tokens": (on_line("x", 12), "0.0AD"),
        "steep": (statement_of("x", "[1/11,10/11]", *head(1, 5, 60), MOST), "00.C0.E"),
        "steeper": (statement_of("x", "[-1/3,10/11]", *head(1, 9, 900), MOST), "000..0..00..0.."),
        "steep-below": (statement_of("x - 3", "[1/11,10/11]", *head(1, 5, 60), MOST), "00.C0.E"),
        "steeper-above": (statement_of("x + 3", "[-1/3,10/11]", *head(1, 9, 900), MOST), "000..0..00..0.."),
        "rest": (statement_of("x", "[0,1]", [[0, 10]], [0, -11], [[0, Fraction(1, 3)]], MOST), "A"),
        "rest-of-the-best": (
            statement_of("x", "[0,1]", [[0] * 20 + [6]], [0] * 20 + [-3], [[0] * 20 + [10**6]], MOST),
            "A",
        ),
        "even": (
            statement_of("x", "[0,1]", [eighths(4, 3, 1)], eighths(4, 3, 9), [eighths(4, 1, 2)], MOST),
            "00..0..",
        ),
        "even-steep": (
            statement_of("1 - x", "[0,1]", [eighths(5, 60, 1)], eighths(5, 60, 9), [eighths(5, 1, 2)], MOST),
            "000..0..00..0..",
        ),
        "even-plane": (
            statement_of(
                "x0 - x1",
                "[0,1]x[0,1/2]",
                [eighths(4, 2, 1), eighths(4, 2, 5)],
                eighths(4, 3, 9),
                [eighths(4, 1, 2)],
                MOST,
            ),
            "01..1:C",
        ),
        "plane": (statement_of("sin(x0)*x1", "[1/11,10/11]x[-1/3,1/7]", *head(2, 4), MOST), "01.C10:;1BD"),
        "plane-slopes": (
            statement_of(
                "x0*x1", "[1/11,1]x[-1/3,1/7]", *head(2, 4), MOST, slopes=[[thirds(4, 1, 3), thirds(4, 2, 6)]]
            ),
            "01.C1B<",
        ),
        "space": (statement_of("x0*x1 - x2", "[1/11,1]x[-1/3,1/7]x[-1,-1/3]", *head(3, 4), MOST), "012.B1A.2BC"),
        "fixed": (statement_of("x0*x1", "[1/11,1]x[1/3,1/3]", *head(2, 4), MOST), "0.C"),
        "cut": (on_line("sqrt(x - 1/3)", conditions=["x > 5/9"]), "0-0BC"),
        "cross": (
            statement_of("K[0,0]*Q[0,0]", "[1/11,1]x[-1/3,1/7]", *head(2, 4), MOST, ((1, 1), (1, 1))),
            "01.A1:C",
        ),
        "squares": (on_line("x", products={(0, 0): thirds(3, 4, 2)}), "0.0BE"),
        "products": (
            statement_of(
                "x0 - x1",
                "[1/11,1]x[-1/3,1/7]",
                *head(2, 4),
                MOST,
                products={(0, 1): thirds(4, 5, 2), (1, 1): thirds(4, 2, 5), (0, 0): thirds(4, 3, 8)},
            ),
            "01.B1AD",
        ),
        "monomials": (on_line("1 + x/3 - x**2/7"), "0GM"),
    }
    for name, (statement, trees) in shapes.items():
        for silence in (40, 6):
            yield f"{name}-{silence}", paved(statement, trees, silence), bound, 1, FINE
    for p in ("1", "2", "3", "4", "3/2"):
        for name, target in {"wave": "sin(5*x)", "step": "where(x < 1/3, x, -1)"}.items():
            base = on_line(target)
            statement = Statement(base.target, base.domain, base.attention, LpError(Fraction(p), MOST))
            tree = "0.0.." if p == "3/2" or name == "step" else "0.0AC"
            yield from integrals(f"norm-{p.replace('/', '-')}-{name}", statement, tree)
    plane, _ = shapes["plane-slopes"]
    yield from integrals(
        "norm-2-plane",
        Statement(plane.target, plane.domain, plane.attention, LpError(Fraction(2), MOST)),
        "01.C1B.",
    )
    yield from sums_of_units()
    yield from others()
    for name, target in LOGS.items():
        for p in ("1", "2"):
            base = statement_of(target, "[0,2/3]", *head(1, 3), MOST)
            statement = Statement(base.target, base.domain, base.attention, LpError(Fraction(p), MOST))
            yield from integrals(f"{name}-{p}", statement, "00*.." if name != "pole-beside" else "00.**")
    ends = {
        "falling": ("(2/3 - x)**(-1/5)*x - 1/3", "[0,2/3]", "00..0.*"),
        "log-falling": ("log(2/3 - x)/7 + x", "[0,2/3]", "00..0.*"),
        "two-ends": ("log(x) + log(2/3 - x)/3", "[0,2/3]", "00*.0.*"),
        "inside": ("abs(x - 1/5)**(-1/5) + x", "[0,2/3]", "0*."),
        "log-inside": ("log(abs(x - 1/5)) + x", "[0,2/3]", "0*."),
        "log-inside-turned": ("log(abs(1/5 - x))*x", "[0,2/3]", "0*."),
        "log-inside-added": ("x/7 - log(abs(x + 1/5))", "[-1/3,1/3]", "00*.0.."),
        "root-inside": ("1/7/sqrt(abs(x - 1/5)) - 1/3", "[0,2/3]", "0*."),
        "plane": ("x1*x0**(-1/5) + log(x1 + 1)", "[0,2/3]x[-1/3,1/7]", "01**1.."),
        "plane-of-two": ("x1**(-1/5)*(x0 - 1) - x1", "[0,2/3]x[0,1/7]", "01*.1*."),
    }
    for name, (target, domain, tree) in ends.items():
        for p in ("1", "2", "3/2") if name == "log-inside" else ("1", "2") if "plane" not in name else ("1",):
            m = domain.count("[")
            statement = normed(statement_of(target, domain, *head(m, 3), MOST), Fraction(p))
            yield from list(integrals(f"pole-{name}-{p.replace('/', '-')}", statement, tree))[:1]
    for name, base in {
        "line": statement_of("x", "[1/11,10/11]", *head(1, 5, 30), MOST),
        "steep": shapes["steep"][0],
    }.items():
        statement = Statement(None, base.domain, base.attention, Indicator(Fraction(99, 100), Fraction(1)))
        document = json_of(statement, None)
        trees = ["0!00!.0.!"]
        document["evidence"] = {"kind": "layers", "precision": P, "silence": 20, "trees": trees}
        yield f"layers-{name}", document, ("statement", "claim", "delta"), 1, FINE
    for name, (base, trees, delta) in {
        "sure": (statement_of("x", "[0,1]", *head(1, 6, 300), MOST), "00!0..0!0!0.!", "1/9"),
        "plane": (statement_of("x0", "[0,1]x[0,1/3]", *head(2, 4, 300), MOST), "0010!!!1!.0!1.!", "1/3"),
        "where": (
            statement_of("x", "[0,1]", *head(1, 6, 300), MOST, conditions=["x < 1/2"]),
            "00!0..-",
            "1/2",
        ),
    }.items():
        statement = Statement(
            None, base.domain, base.attention, Indicator(Fraction(delta), Fraction(1)), base.conditions
        )
        document = json_of(statement, None)
        for silence in (4, 9, 30, 40):
            evidence = {"kind": "layers", "precision": P, "silence": silence, "trees": [trees]}
            document = {**document, "evidence": evidence}
            yield f"layers-{name}-{silence}-delta", document, ("statement", "claim", "delta"), 1, FINE
        yield f"layers-{name}-measure", document, ("statement", "claim", "measure"), 1, FINE
    for name, statement in {
        "affine": statement_of(
            "x/3",
            "[0,1]",
            [[0, 70, 60]],
            [0, Fraction(-100, 3), -31],
            [[0, 1, Fraction(1, 3)]],
            "1",
            slopes=[[[Fraction(1, 3), Fraction(-1, 7), Fraction(1, 9)]]],
        ),
        "two-columns": columned(),
        "plane": grid_statement("[x0*x1, x0 - x1]", "[0,1]x[0,1/3]", [2, 2], 300, "2"),
        "steep": grid_statement("x**2", "[1/11,10/11]", [4], 3000, "2"),
        "line": grid_statement("x**2", "[1/11,10/11]", [3], 300, MOST),
        "slopes": statement_of(
            "x",
            "[1/11,10/11]",
            [[0, 70]],
            [0, Fraction(-100, 3)],
            [[0, 1]],
            MOST,
            slopes=[[[Fraction(1, 3), Fraction(-1, 7)]]],
        ),
    }.items():
        document = json_of(statement, verify(statement, proof="regions").evidence)
        document["statement"]["claim"]["tolerance"] = str(MOST)
        document["evidence"] |= {"precision": P, "bound": str(MOST)}
        yield f"enlarged-{name}-delta", copy.deepcopy(document), ("evidence", "delta"), 1, FINE
        document["evidence"]["delta"] = "2"
        yield f"enlarged-{name}-bound", document, bound, 1, FINE


def normed(statement: Statement, p: Fraction | int = 1) -> Statement:
    return Statement(
        statement.target, statement.domain, statement.attention, LpError(Fraction(p), MOST), statement.conditions
    )


def sums_of_units() -> Iterator[tuple[str, Json, Place, int, int]]:
    """L_1 norms, to which each end of each entry on each leaf adds a unit: of targets far from the values of a token
    without a rival, and of heads far from the target 0.
    """
    spread = {
        "wide": (WIDE, "[-7,9]", 1, halved(4, "."), halved(3, "BDG")),
        "narrow": (NARROW, "[1/11,10/11]", 1, halved(3, "."), "00A0DF0CG"),
        "even": (EVEN, "[0,1]", 1, halved(2, "."), "00AB0CD"),
        "plane": (PLANE, "[1/11,10/11]x[-1/3,4/7]", 2, halved(3, ".", "01"), "01A1BD0B1CA"),
    }
    for name, (rows, domain, m, boxes, expansions) in spread.items():
        for n, part in enumerate(rows[k::parts] for parts in [1 if rows is EVEN else 4] for k in range(parts)):
            target, alone = f"[{', '.join(part)}]", ([[0]] * m, [0])
            far = statement_of(target, domain, *alone, [[Fraction(10**5, 3)]] * len(part), MOST)
            near = statement_of(target, domain, *alone, [[Fraction(1, 3)]] * len(part), MOST)
            yield from integrals(f"units-{name}-{n}-box", normed(far), boxes)
            yield from integrals(f"units-{name}-{n}-order", normed(far), expansions)
            yield next(integrals(f"units-{name}-{n}-squares", normed(near, 2), expansions))
    yield from units_of_heads("head", thirds, "[-1/3,10/11]", "[1/11,10/11]", "[1/11,1]", "[-1/3,1/7]", "[-1,-1/3]")
    yield from units_of_heads("even", eighths, "[-1/4,3/4]", "[1/8,7/8]", "[1/8,1]", "[-1/4,1/8]", "[-1,-1/4]")


def units_of_heads(
    kind: str, numbers: Numbers, long: str, short: str, wide: str, low: str, below: str
) -> Iterator[tuple[str, Json, Place, int, int]]:
    """L_1 and L_2 norms of heads."""
    slopes = [[numbers(4, 1, seed)] for seed in (3, 6)]
    heads: dict[str, tuple[Statement, str]] = {
        "line": (statement_of("0", f"{long}", *above(numbers, 1, 5, 1), MOST), "00A.0.0AD"),
        "twelve": (statement_of("[0, 0]", f"{long}", *above(numbers, 1, 12, 2, 30), MOST), "000..0.D0C0B."),
        "steep": (statement_of("[0, 0]", f"{long}", *above(numbers, 1, 7, 2, 900), MOST), "0000E..0..00..0.."),
        "rest": (
            statement_of("0", "[0,1]", [[0, 10]], [0, -11], [[3, Fraction(13, 4)]], MOST),
            "A",
        ),
        "steepest": (statement_of("0", f"{long}", *above(numbers, 1, 5, 1, 10**7), MOST), "000..0..00..0.."),
        "slopes": (
            statement_of("[0, x]", f"{short}", *above(numbers, 1, 4, 2), MOST, slopes=slopes),
            "00.A0.0CD",
        ),
        "plane": (statement_of("[0, 0]", f"{short}x{low}", *above(numbers, 2, 5, 2), MOST), "01.C10A.1BD"),
        "plane-slopes": (
            statement_of(
                "0", f"{wide}x{low}", *above(numbers, 2, 4, 1), MOST, slopes=[[numbers(4, 1, 3), numbers(4, 2, 6)]]
            ),
            "01.C1B0A.",
        ),
        "space": (statement_of("0", f"{wide}x{low}x{below}", *above(numbers, 3, 4, 1), MOST), "012.B1A.2BC"),
        "cross": (
            statement_of("0", f"{wide}x{low}", *above(numbers, 2, 4, 1), MOST, ((1, 1), (1, 1)), slopes=slopes[:1]),
            "01.A1.C",
        ),
        "squares": (
            statement_of("0", f"{long}", *above(numbers, 1, 5, 1), MOST, products={(0, 0): numbers(5, 4, 2)}),
            "00.C0B0.E",
        ),
        "products": (
            statement_of(
                "0",
                f"{wide}x{low}",
                *above(numbers, 2, 4, 1),
                MOST,
                products={(0, 1): numbers(4, 5, 2), (1, 1): numbers(4, 2, 5), (0, 0): numbers(4, 3, 8)},
            ),
            "01.B10.A1.D",
        ),
        "products-in-space": (
            statement_of(
                "0",
                f"{wide}x{low}x{below}",
                *above(numbers, 3, 4, 1),
                MOST,
                products={(0, 1): numbers(4, 5, 2), (1, 2): numbers(4, 2, 5), (2, 2): numbers(4, 3, 8)},
            ),
            "01.B10.A2.C",
        ),
        "where": (
            statement_of(
                "0",
                f"{long}",
                *above(numbers, 1, 5, 1),
                MOST,
                conditions=["x**2 < 1/3", "not x < -1/7 or x > 1 and x < 2"],
            ),
            "000..0..00C0.B0.-",
        ),
        "where-undefined": (
            statement_of("0", f"{long}", *above(numbers, 1, 3, 1), MOST, conditions=["sqrt(x - 1/7) > 1/3 or x > 9"]),
            "000..0..0C.",
        ),
        "where-in-the-plane": (
            statement_of(
                "x0", "[-1,1]^2", *above(numbers, 2, 3, 1), MOST, conditions=["x0**2 + x1**2 <= 1 and x0 < 2/3"]
            ),
            "01C.011..1B.01.A-",
        ),
    }
    for name, (statement, tree) in heads.items():
        for p, silence in ((1, 20), (2, 20), (1, 5)) if kind == "head" else ((1, 20),):
            if silence == 5 and name not in ("twelve", "steep", "steepest", "where"):
                continue
            for found in integrals(f"{kind}-{name}-{p}-{silence}", normed(statement, p), tree):
                found[1]["evidence"]["silence"] = silence
                yield found


def others() -> Iterator[tuple[str, Json, Place, int, int]]:
    """Pavings of several rows, columns and heads; layers, enlarged regions, and points that refute."""
    bound: Place = ("evidence", "bound")
    line, plane = (1, 1), (2, 1)
    two = {"columns": (0, 2), "factors": [1, Fraction(-1, 3), Fraction(1, 2)]}
    keys, biases, _ = head(1, 3)
    rows = [thirds(3, 1, 12), thirds(3, 2, 13)]
    slopes = [[thirds(3, 1, 5)], [thirds(3, 1, 7)]]
    columned = attention_of(line, keys, biases, rows, **two, slopes=slopes)
    sharp = attention_of(line, *head(1, 4, 900)[:2], [thirds(4, 1, 3)])
    soft = attention_of(line, *head(1, 3, 3)[:2], [thirds(3, 1, 5)], slopes=[[thirds(3, 1, 7)]])
    bent = attention_of(line, *head(1, 3, 2)[:2], [thirds(3, 1, 15)], products={(0, 0): thirds(3, 3, 2)})
    flat = attention_of(plane, *head(2, 3, 4)[:2], [thirds(3, 1, 8), thirds(3, 1, 9)])
    steep = attention_of(plane, *head(2, 4, 90)[:2], [thirds(4, 1, 5), thirds(4, 1, 6)])
    crossed = cross_of((line, line), *head(2, 3, 4)[:2], [thirds(3, 1, 8)], slopes=[[thirds(3, 1, 4)]])
    made: dict[str, tuple[str, str, Any, list[str], list[str]]] = {
        "columns-box": ("[[x, 1], [0, x**2]]", "[1/11,10/11]", columned, ["0.0..", "00..."], []),
        "columns-order": ("[[x, 1], [0, x**2]]", "[1/11,10/11]", columned, ["0A0BC", "00CAB"], []),
        "columns-score": ("[[x, 1], [0, x**2]]", "[1/11,10/11]", columned, ["0:0;<", "00<:;"], []),
        "sum-box": ("x", "[1/11,10/11]", SumAttention((soft, bent)), ["0.0.."], []),
        "sum-order": ("sin(x)", "[1/11,10/11]", SumAttention((soft, bent)), ["0A0CB"], []),
        "sum-sharp": ("x", "[-1/3,10/11]", SumAttention((sharp, soft)), ["000..0..00.C0C."], []),
        "sum-alone": ("x", "[1/11,10/11]", SumAttention((soft, bent)), ["B"], []),
        "sum-three": ("1/3 - x", "[-1/3,10/11]", SumAttention((bent, soft, bent)), ["00.D0.C"], []),
        "sum-plane": ("[x0, x1]", "[1/11,10/11]x[-1/3,1/7]", SumAttention((flat, flat)), ["01.C10A.1BD"], []),
        "sum-steep": ("[x0, x1]", "[1/11,10/11]x[-1/3,1/7]", SumAttention((flat, steep)), ["0101..1...01B.1.."], []),
        "sum-cross": ("K[0,0] - Q[0,0]", "[1/11,1]x[-1/3,1/7]", SumAttention((crossed, crossed)), ["01.C1A."], []),
        "sum-where": ("x", "[-1/3,10/11]", SumAttention((bent, soft)), ["0-0BC"], ["x > 1/3"]),
        "sum-columns": ("[[x, 1], [0, x]]", "[1/11,10/11]", SumAttention((columned, columned)), ["0A0BC", "00.A."], []),
    }
    for name, (target, domain, attention, trees, where) in made.items():
        space = InputSpace(*attention.input_shapes)
        conditions = tuple(parse_condition(text, space) for text in where)
        for sign in ("", "-"):  # so that either side decides
            if sign and name.startswith("columns"):
                continue
            text = f"-({target})" if sign and target[0] != "[" else target
            box, claim = parse_box(domain), SupError(MOST)
            statement = Statement(parse_target(text, space), box, attention, claim, conditions)
            for silence in (20,) if sign else (40, 5) if name in ("sum-sharp", "sum-steep") else (40,):
                yield f"{name}{sign}-{silence}", paved(statement, trees, silence), bound, 1, FINE
    for name, (target, domain, attention, trees, where) in made.items():
        if not where and "order" not in name and "score" not in name:
            space = InputSpace(*attention.input_shapes)
            statement = Statement(parse_target(target, space), parse_box(domain), attention, SupError(MOST))
            yield from refuting(f"point-{name}", statement, len(trees) - 1)
    for name in ("exp", "log", "tan", "root", "where", "min"):
        yield from refuting(f"point-{name}", on_line(FUNCTIONS[name]), 0)
    yield from refuting("point-far", on_line("sin(99*x) + tan(x + 9) + exp(9*x) + log(x/9)"), 0)
    part = f"{'0' * 9}{{}}{{}}{{}}{{}}{{}}{{}}{{}}{{}}{{}}{{}}"
    deep = statement_of("x", "[0,1]", *head(1, 3), MOST, conditions=["x < 3/4"])
    tree = f"0{part.format(*'..A...C...')}00{part.format(*'........A.')}.-"
    yield "deep-paving", paved(deep, tree), bound, 1, FINE
    yield from integrals("deep-norm", normed(deep), tree)
    layers = Statement(None, deep.domain, deep.attention, Indicator(Fraction(99, 100), Fraction(1)), deep.conditions)
    document = json_of(layers, None)
    marks = part.format(*"!" * 10)
    document["evidence"] = {"kind": "layers", "precision": P, "silence": 20, "trees": [f"0{marks}00{marks}!-"]}
    yield "deep-layers", document, ("statement", "claim", "measure"), 1, FINE
    quadratic = statement_of("x0", "[0,1]x[0,1]", *head(2, 3, 9), MOST, products={(0, 1): thirds(3, 9, 2)})
    yield from refuting("point-products", quadratic, 0)
    steeper = statement_of("x0", "[0,1]x[0,1]", *head(2, 3, 900), MOST, slopes=[[thirds(3, 1, 4), thirds(3, 1, 6)]])
    yield from refuting("point-slopes", steeper, 0)


def refuting(name: str, statement: Statement, column: int) -> Iterator[tuple[str, Json, Place, int, int]]:
    """The greatest tolerance that a point exceeds."""
    for n, part in enumerate((Fraction(1, 7), Fraction(5, 9))):
        document = json_of(statement, None)
        point = [str(lo + (hi - lo) * part) for lo, hi in statement.domain.sides]
        rows = statement.target.shape[0] if statement.target else 0
        entry = [(rows - 1) * n, column]
        document["evidence"] = {"kind": "counterexample", "point": point, "entry": entry, "precision": P}
        yield f"{name}-{n}", document, ("statement", "claim", "tolerance"), -1, FINE


def above(numbers: Numbers, m: int, tokens: int, rows: int, scale: int = 3) -> tuple[Any, Any, Any]:
    """A head of some rows with positive values."""
    keys, biases = [numbers(tokens, scale, 1 + k) for k in range(m)], numbers(tokens, scale, 9)
    return keys, biases, [[3 + value for value in numbers(tokens, 1, 12 + row)] for row in range(rows)]


def columned() -> Statement:
    keys, biases, values = [[0, 400, 0, 400]], [100, -100, -100, -300], [["0.25", "0.75", 1, 1]]
    attention = attention_of((1, 1), keys, biases, values, columns=(0, 1), factors=[1, 1, -1, -1])
    target = parse_target("[[x, x + 3/4]]", InputSpace((1, 1)))
    return Statement(target, parse_box("[0,1]"), attention, SupError(Fraction(2)))


def integrals(name: str, statement: Statement, tree: str) -> Iterator[tuple[str, Json, Place, int, int]]:
    document = json_of(statement, None)
    ends = {"lower": "0", "upper": str(statement.claim.tolerance), "precision": P, "silence": 20, "trees": [tree]}
    document["evidence"] = {"kind": "integral", **ends}
    yield f"{name}-upper", document, ("evidence", "upper"), 1, FINE + P
    yield f"{name}-lower", document, ("evidence", "lower"), -1, FINE + P


def with_number(document: Json, place: Place, number: Fraction) -> bytes:
    """The certificate with another number at a place, sealed."""
    document = copy.deepcopy(document)
    at: Any = document
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = f"{number.numerator}/{number.denominator}"
    return sealed(document)


def razor(document: Json, place: Place, sign: int, bits: int) -> tuple[Fraction, Fraction] | None:
    """The last number that is accepted and the next, which is not; None where nothing is, or everything."""
    unit, most = Fraction(sign, 1 << bits), MOST
    if place[-1] == "delta":
        most = Fraction(99, 100) if place[0] == "statement" else Fraction(5)
    good, bad = (most, Fraction(0)) if sign > 0 else (Fraction(0), most)
    if place[-1] == "tolerance":
        good = unit * -1  # any error exceeds it
    if kernel_says(with_number(document, place, good)) not in ESTABLISHED:
        return None
    while good > bad and good > 1 and kernel_says(with_number(document, place, good / 16)) in ESTABLISHED:
        good = good / 16 - good / 16 % unit
    while abs(good - bad) > abs(unit):
        middle = bad + (good - bad) / 2
        middle -= middle % abs(unit)
        if middle in (good, bad):
            break
        if kernel_says(with_number(document, place, middle)) in ESTABLISHED:
            good = middle
        else:
            bad = middle
    return good, bad


ESTABLISHED = ("proved", "refuted")
NOT_ENOUGH = ("leaf", "point", "region")
"""What the kernel says beyond the edge."""

LIMITED = [
    *(f"accept/{name}.json" for name in ("line", "sparse", "cross", "taylor-plane", "partition-line", "enlarged-line")),
    *(f"accept/{name}.json" for name in ("quadratic-line", "refuted-vector", "partition-in-space")),
    *(f"accept/{name}.json" for name in ("far", "literals", "singular-and-large")),
    *(f"accept/singular-{name}.json" for name in ("and-growing", "beside-growing")),
    "accept/compressed.json.gz",
    *(f"razor/{name}.json" for name in ("fixed-40", "root-box", "power-box", "power-order-3", "exp-box", "tan-box")),
    *(f"razor/{name}.json" for name in ("norm-3-2-wave-upper", "deep-paving", "sum-order-40", "layers-sure-measure")),
]
"""Certificates whose least limits are recorded."""


def least_limits(data: bytes) -> Iterator[tuple[str, int]]:
    """For each limit of the kernel the least value with which a certificate is accepted, if that is more than 1."""
    for name, default in asdict(kernel.Limits()).items():
        good, bad = default, 0
        while good - bad > 1:
            middle = (good + bad) // 2
            if kernel_says(data, replace(kernel.Limits(), **{name: middle})) in ESTABLISHED:
                good = middle
            else:
                bad = middle
        if good > 1:
            yield name, good


def written(made: tuple[str, Json, Place, int, int]) -> str:
    """Write the files of a razor, or say why there is none."""
    name, document, place, sign, bits = made
    edge = razor(document, place, sign, bits)
    said = None if edge is None or edge[1] == 0 else kernel_says(with_number(document, place, edge[1]))
    if edge is None or said not in NOT_ENOUGH:
        return f"{name}: {said or kernel_says(with_number(document, place, MOST))}: left out\n"
    (FOLDER / f"{name}.json").write_bytes(with_number(document, place, edge[0]))
    beyond = f"{edge[1].numerator}/{edge[1].denominator}"
    (FOLDER / f"{name}.edge").write_text(json.dumps([list(place), beyond]) + "\n")
    return ""


def main() -> None:
    """Write the folder anew, and least_limits.json."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    with Pool(2) as pool:
        for line in pool.imap(written, documents()):
            print(line, end="", flush=True)
    print(f"{len(list(FOLDER.glob('*.json')))} razors")
    least = {name: dict(least_limits((FOLDER.parent / name).read_bytes())) for name in LIMITED}
    (FOLDER.parent / "least_limits.json").write_text(json.dumps(least, indent=1) + "\n")


if __name__ == "__main__":
    main()
