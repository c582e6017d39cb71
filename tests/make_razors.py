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
from collections.abc import Iterator
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from heads import grid_statement, json_of, kernel_says, sealed, statement_of

from attncert.certificates.claim import Indicator, LpError
from attncert.certificates.statement import Statement
from attncert.verifier import kernel
from attncert.verifier.prove import verify

Json = dict[str, Any]
Place = tuple[str | int, ...]
FOLDER = Path(__file__).parent / "razor"
P = 32
"""Fractional bits: as few as there may be, so that a unit is large."""

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

LOGS = {
    "pole": "x**(-1/4)",
    "pole-beside": "2/3 - abs(x - 1/3)**(-1/5)",
    "log-pole": "x*log(x)/3 + log(x)/5",
    "root-pole": "1/sqrt(x)/7",
}


def thirds(count: int, scale: int, seed: int) -> list[Fraction]:
    """Numbers that no binary fraction spells."""
    return [Fraction(scale * ((seed * 7 + 5 * i * i + 3 * i) % 23 - 11), 21) for i in range(count)]


def head(m: int, tokens: int, scale: int = 3) -> tuple[list[list[Fraction]], list[Fraction], list[list[Fraction]]]:
    """Keys, biases and values."""
    return [thirds(tokens, scale, 1 + k) for k in range(m)], thirds(tokens, scale, 9), [thirds(tokens, 1, 12)]


def paved(statement: Statement, trees: str, silence: int = 40) -> Json:
    document = json_of(statement, None)
    evidence = {"kind": "paving", "bound": "1", "precision": P, "silence": silence, "trees": [trees]}
    return {**document, "evidence": evidence}


def on_line(target: str, tokens: int = 3, **more: Any) -> Statement:
    return statement_of(target, "[1/11,10/11]", *head(1, tokens), "99", **more)


def documents() -> Iterator[tuple[str, Json, Place, int, int]]:
    """The certificates, where the number stands that is made least (or greatest: -1), and its bits."""
    bound: Place = ("evidence", "bound")
    for name, target in FUNCTIONS.items():
        for kind, tree in {"box": "00..0..", "order-1": "0A0::", "order-3": "0C0<C", "order-6": "00F?>"}.items():
            yield f"{name}-{kind}", paved(on_line(target), tree), bound, 1, P
    shapes: dict[str, tuple[Statement, str]] = {
        "slopes": (on_line("x**2", slopes=[[thirds(3, 1, 4)]]), "0.0:C"),
        "many-tokens": (on_line("x", 12), "0.0AD"),
        "steep": (statement_of("x", "[1/11,10/11]", *head(1, 5, 60), "99"), "00.C0.E"),
        "steeper": (statement_of("x", "[-1/3,10/11]", *head(1, 9, 900), "99"), "000..0..00..0.."),
        "plane": (statement_of("sin(x0)*x1", "[1/11,10/11]x[-1/3,1/7]", *head(2, 4), "99"), "01.C10:;1BD"),
        "plane-slopes": (
            statement_of(
                "x0*x1", "[1/11,1]x[-1/3,1/7]", *head(2, 4), "99", slopes=[[thirds(4, 1, 3), thirds(4, 2, 6)]]
            ),
            "01.C1B<",
        ),
        "space": (statement_of("x0*x1 - x2", "[1/11,1]x[-1/3,1/7]x[-1,-1/3]", *head(3, 4), "99"), "012.B1A.2BC"),
        "fixed": (statement_of("x0*x1", "[1/11,1]x[1/3,1/3]", *head(2, 4), "99"), "0.C"),
        "cut": (on_line("sqrt(x - 1/3)", conditions=["x > 5/9"]), "0-0BC"),
        "cross": (
            statement_of("K[0,0]*Q[0,0]", "[1/11,1]x[-1/3,1/7]", *head(2, 4), "99", ((1, 1), (1, 1))),
            "01.A1:C",
        ),
        "squares": (on_line("x", products={(0, 0): thirds(3, 4, 2)}), "0.0BE"),
        "products": (
            statement_of(
                "x0 - x1",
                "[1/11,1]x[-1/3,1/7]",
                *head(2, 4),
                "99",
                products={(0, 1): thirds(4, 5, 2), (1, 1): thirds(4, 2, 5), (0, 0): thirds(4, 3, 8)},
            ),
            "01.B1AD",
        ),
        "monomials": (on_line("1 + x/3 - x**2/7"), "0GM"),
    }
    for name, (statement, trees) in shapes.items():
        for silence in (40, 6):
            yield f"{name}-{silence}", paved(statement, trees, silence), bound, 1, P
    for p in ("1", "2", "3", "4", "3/2"):
        for name, target in {"wave": "sin(5*x)", "step": "where(x < 1/3, x, -1)"}.items():
            base = on_line(target)
            statement = Statement(base.target, base.domain, base.attention, LpError(Fraction(p), Fraction(99)))
            tree = "0.0.." if p == "3/2" or name == "step" else "0.0AC"
            yield from integrals(f"norm-{p.replace('/', '-')}-{name}", statement, tree)
    plane, _ = shapes["plane-slopes"]
    yield from integrals(
        "norm-2-plane",
        Statement(plane.target, plane.domain, plane.attention, LpError(Fraction(2), Fraction(99))),
        "01.C1B.",
    )
    for name, target in LOGS.items():
        for p in ("1", "2"):
            base = statement_of(target, "[0,2/3]", *head(1, 3), "99")
            statement = Statement(base.target, base.domain, base.attention, LpError(Fraction(p), Fraction(99)))
            yield from integrals(f"{name}-{p}", statement, "00*.." if name != "pole-beside" else "00.**")
    for name, base in {
        "line": statement_of("x", "[1/11,10/11]", *head(1, 5, 30), "99"),
        "steep": shapes["steep"][0],
    }.items():
        statement = Statement(None, base.domain, base.attention, Indicator(Fraction(99, 100), Fraction(1)))
        document = json_of(statement, None)
        trees = ["0!00!.0.!"]
        document["evidence"] = {"kind": "layers", "precision": P, "silence": 20, "trees": trees}
        yield f"layers-{name}", document, ("statement", "claim", "delta"), 1, P
    for name, statement in {
        "line": grid_statement("x**2", "[1/11,10/11]", [3], 300, "99"),
        "slopes": statement_of(
            "x",
            "[1/11,10/11]",
            [[0, 70]],
            [0, Fraction(-100, 3)],
            [[0, 1]],
            "99",
            slopes=[[[Fraction(1, 3), Fraction(-1, 7)]]],
        ),
    }.items():
        document = json_of(statement, verify(statement, proof="regions").evidence)
        document["evidence"] |= {"precision": P, "bound": "99"}
        yield f"enlarged-{name}-delta", copy.deepcopy(document), ("evidence", "delta"), 1, P
        document["evidence"]["delta"] = "1"
        yield f"enlarged-{name}-bound", document, bound, 1, P


def integrals(name: str, statement: Statement, tree: str) -> Iterator[tuple[str, Json, Place, int, int]]:
    document = json_of(statement, None)
    ends = {"lower": "0", "upper": "99", "precision": P, "silence": 20, "trees": [tree]}
    document["evidence"] = {"kind": "integral", **ends}
    yield f"{name}-upper", document, ("evidence", "upper"), 1, 2 * P
    yield f"{name}-lower", document, ("evidence", "lower"), -1, 2 * P


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
    unit = Fraction(sign, 1 << bits)
    if sign > 0:
        good, bad = Fraction(98) if place[-1] != "delta" else Fraction(99, 100), Fraction(0)
    else:
        good, bad = Fraction(0), Fraction(98)
    if kernel_says(with_number(document, place, good)) != "proved":
        return None
    while abs(good - bad) > abs(unit):
        middle = bad + (good - bad) / 2
        middle -= middle % abs(unit)
        if middle in (good, bad):
            break
        if kernel_says(with_number(document, place, middle)) == "proved":
            good = middle
        else:
            bad = middle
    return good, bad


LIMITED = [
    *(f"accept/{name}" for name in ("line", "sparse", "cross", "taylor-plane", "partition-line", "enlarged-line")),
    *(
        f"razor/{name}"
        for name in ("fixed-40", "root-box", "power-order-3", "exp-box", "tan-box", "norm-3-2-wave-upper")
    ),
]
"""Certificates whose least limits are recorded."""


def least_limits(data: bytes) -> Iterator[tuple[str, int]]:
    """For each limit of the kernel the least value with which a certificate is proved, if that is more than 1."""
    for name, default in asdict(kernel.Limits()).items():
        good, bad = default, 0
        while good - bad > 1:
            middle = (good + bad) // 2
            if kernel_says(data, replace(kernel.Limits(), **{name: middle})) == "proved":
                good = middle
            else:
                bad = middle
        if good > 1:
            yield name, good


def main() -> None:
    """Write the folder anew, and least_limits.json."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    for name, document, place, sign, bits in documents():
        edge = razor(document, place, sign, bits)
        said = None if edge is None or edge[1] == 0 else kernel_says(with_number(document, place, edge[1]))
        if edge is None or said != "leaf":
            print(f"{name}: {said or kernel_says(with_number(document, place, Fraction(98)))}: left out")
            continue
        (FOLDER / f"{name}.json").write_bytes(with_number(document, place, edge[0]))
        beyond = f"{edge[1].numerator}/{edge[1].denominator}"
        (FOLDER / f"{name}.edge").write_text(json.dumps([list(place), beyond]) + "\n")
    print(f"{len(list(FOLDER.glob('*.json')))} razors")
    least = {name: dict(least_limits((FOLDER.parent / f"{name}.json").read_bytes())) for name in LIMITED}
    (FOLDER.parent / "least_limits.json").write_text(json.dumps(least, indent=1) + "\n")


if __name__ == "__main__":
    main()
