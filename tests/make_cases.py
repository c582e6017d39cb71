"""Writes the certificates of tests/accept, tests/reject and tests/malformed, each with what the kernel has to say.

python tests/make_cases.py        writes them anew, after a change of the format or of the reasons

A case is NAME.json (or NAME.json.gz) and beside it NAME.verdict in accept/, NAME.reason in the other two folders.
"""

from __future__ import annotations

import copy
import gzip
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from heads import attention_of, grid_statement, json_of, kernel_says, matrix_of, sealed, statement_of
from partitions import cells_of_a_grid, sites
from test_kernel_taylor import searched

from attncert.certificates.attention import CrossAttention, SelfAttention, SumAttention
from attncert.certificates.claim import LpError, Partition, Region, SupError
from attncert.certificates.condition import parse_condition
from attncert.certificates.domain import parse_box
from attncert.certificates.evidence import Paving
from attncert.certificates.statement import Statement
from attncert.certificates.target import InputSpace, parse_target
from attncert.verifier.prove import verify
from attncert.verifier.regions import partition_of

Json = dict[str, Any]
Place = Sequence[str | int]
Cases = dict[str, tuple[bytes, str]]
FOLDER = Path(__file__).parent


def turned(value: Any) -> Any:
    """The same JSON, with the keys of all objects in the reverse order."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    return list(map(turned, value)) if isinstance(value, list) else value


# ---------------------------------------------------------------------------------------------------------------------
# Good certificates


def with_evidence(statement: Statement, proof: str = "paving") -> Json:
    outcome = verify(statement, proof=proof)
    assert outcome.evidence is not None, outcome
    return json_of(statement, outcome.evidence)


def statement_in_full(target: str, domain: str, tolerance: str, shape: tuple[int, int], **head: Any) -> Statement:
    attention = attention_of(shape, **head)
    parsed = parse_target(target, InputSpace(shape))
    return Statement(parsed, parse_box(domain), attention, SupError(Fraction(tolerance)))


def line() -> Json:
    return with_evidence(grid_statement("sin(2*pi*x)", "[0,1]", [8], 200, "0.5"))


def plane() -> Json:
    return with_evidence(grid_statement("exp(-x0**2)*cos(3*x1)", "[0,1/3]x[-0.7,0.1]", [2, 3], 300, "0.6"))


def vector() -> Json:
    return with_evidence(grid_statement("[x0*x1, abs(x0-x1)]", "[-1,1]x[0,2]", [3, 3], 8, "1.3"))


def columns() -> Json:
    """Two output columns: each query prefers tokens of its own, by a bonus on its block."""
    keys, biases, values = [[0, 0, 40, 40]], [5, -5, -15, -25], [[0, 1, 0.5, 1.5]]
    head = {"keys": keys, "biases": biases, "values": values, "columns": (0, 1), "factors": [1, -1, 1, 1]}
    return with_evidence(statement_in_full("[[x, 1]]", "[0,1]", "1.1", (1, 1), **head))


def matrix_input() -> Json:
    """An input with two columns, read entry by entry; the head looks at its trace."""
    keys = [[0, 3], [0, 0], [0, 0], [0, 3]]
    head = {"keys": keys, "biases": [0, -3], "values": [[0, 1]], "sparse": True}
    target = "sigmoid(3*(X[0,0] + X[1,1] - 1)) + X[0,1]*X[1,0] + 1/2"
    return with_evidence(statement_in_full(target, "[0,1]x[0,0.1]x[0,0.1]x[0,1]", "0.6", (2, 2), **head))


def dense() -> Json:
    values = [[0, Fraction(1, 3)], [1, -1]]
    head = {"keys": [[0, 30]], "biases": [0, -15], "values": values, "mix": random.Random(5)}
    return with_evidence(statement_in_full("[x/3, 1 - 2*x]", "[0,1]", "1.1", (1, 1), **head))


def sparse() -> Json:
    values = [[Fraction(1, 6), Fraction(1, 2), Fraction(5, 6)]]
    head = {"keys": [[0, 50, 100]], "biases": [0, Fraction(-50, 3), -50], "values": values, "sparse": True}
    return with_evidence(statement_in_full("x", "[0,1]", "0.2", (1, 1), **head))


def one_token() -> Json:
    return with_evidence(statement_of("cos(x)", "[-0.1,0.1]", [[3]], [7], [[1]], "0.006"))


def fixed_side() -> Json:
    return with_evidence(grid_statement("x0*x1 + x2", "[0,1]x[1/3,1/3]x[-0.1,0.1]", [4, 1, 2], 500, "0.2"))


def literals() -> Json:
    """Powers of literals, exact where they are short: all but 0.2 cancels, and a root that is not rational does."""
    target = "0.2*x**0 + 0**2 + 0**0 - 1 + 2**(-3) - 1/8 + (2/3)**3 - 8/27 + 0**(1/2) + (2**(1/2) - sqrt(2))*x + 1**999"
    return with_evidence(statement_of(target, "[0,1]", [[0]], [0], [["6/5"]], "1e-9"))


def far() -> Json:
    """Arguments beyond all precision of the domain, and beside 0."""
    target = "log(x)/10**4 + atan(x)/10**3 + log(x/10**50)/10**4 + log(x/3)/10**4 + sin(x)/10**5 + exp(-x) + 1/x"
    return with_evidence(statement_of(target, "[1e30,3e30]", [[0]], [0], [["0.0107"]], "0.002"))


def cross() -> Json:
    """Keys and values from K, queries from Q; the score depends on both."""
    head = ([[0, 4], [0, 4]], [0, -4], [[0, 1]])
    return with_evidence(statement_of("sigmoid(4*(K[0,0] + Q[0,0] - 1))", "[0,1]^2", *head, "0.55", ((1, 1), (1, 1))))


def disc() -> Json:
    """A domain cut out of a box; the target is undefined on a corner of the box, outside."""
    circle = ["x0**2 + x1**2 <= 1"]
    return with_evidence(grid_statement("log(1.5 - x0 - x1/2)", "[0,1]^2", [3, 3], 60, "0.8", None, circle))


def sharp() -> Json:
    """An inverse temperature beyond all exponents of float64, and numbers of many digits."""
    statement = grid_statement("where(x <= 1/2, x, 1 - x)", "[0,1]", [4], Fraction(10) ** 12 / 3, "0.2")
    return with_evidence(statement)


def silent() -> Json:
    """Tokens that count for nothing near the values, and enough of them to leave the list on the way down."""
    return with_evidence(grid_statement("tanh(3*x)", "[-2,2]", [12], 40, "0.6"))


def by_taylor(statement: Statement, marks: str, axes: str = "0") -> Json:
    """The certificate whose leaves have the first of these marks that proves them."""
    document = json_of(statement, Paving(statement.claim.tolerance, 96, 60, ("",)))
    tree = searched(document["statement"], document["evidence"]["bound"], marks, 14, axes)
    assert tree is not None
    document["evidence"]["trees"] = [tree]
    return document


def taylor_line() -> Json:
    return by_taylor(grid_statement("sin(2*pi*x)", "[0,1]", [6], 40, "0.6"), "D")


def taylor_plane() -> Json:
    return by_taylor(grid_statement("exp(-x0**2)*cos(3*x1)", "[0,1/3]x[-0.7,0.1]", [2, 3], 30, "0.4"), "BC", "01")


def taylor_kink() -> Json:
    """Score boxes where they are enough, as they are at the kink."""
    return by_taylor(grid_statement("abs(x - 1/3)", "[0,1]", [8], 60, "0.08"), ".D")


def taylor_norm() -> Json:
    """Lower and upper sums by expansions, on a side whose ends are rounded; some errors change their sign."""
    statement = grid_statement("sin(2*pi*x)", "[1/3,1]", [6], 40, "0.5")
    return with_evidence(replace(statement, claim=LpError(Fraction(4), Fraction("0.5")), spelling=None))


def taylor_choices() -> Json:
    """Conditions and operands that differ by one unit of 2^-96 or not at all, which only expansions can tell."""
    target = "where(x <= x, x/2, 9) + max(x, x + 1/2**96)/3 + min(x + 1/2**96, x)/5 + where(x < x - 1/2**96, 9, x/7)"
    return by_taylor(statement_of(target, "[0,1]", [[0, 2]], [0, -1], [[0, 1]], "0.6"), "A")


def quadratic_line() -> Json:
    """Keys and queries both see the input: scores -60 (x - c_i)^2 and one that is steeper, by expansions."""
    head = {"keys": [[0, 60, 80]], "biases": [0, -15, -40], "products": {(0, 0): [-60, -60, -40]}}
    return by_taylor(statement_in_full("x**2", "[0,1]", "0.36", (1, 1), values=[[0, "1/4", 1]], **head), ".D")


def quadratic_plane() -> Json:
    """All products of two entries, and values that depend on the input."""
    products = {(0, 0): [1, 0, -1], (0, 1): [3, "-1/3", 0], (1, 1): [0, 0, 2]}
    head = {"keys": [[0, 1, 2], [1, 0, 0]], "biases": [0, 0, "1/7"], "values": [[0, 1, -1]], "products": products}
    statement = statement_in_full(
        "tanh(x0*x1)", "[-1,1]x[0,1/3]", "1.2", (2, 1), slopes=[[[1, 0, 0], [0, 0, 1]]], **head
    )
    return with_evidence(statement)


def quadratic_cross() -> Json:
    """The score K Q of a head whose keys are the entries of K themselves."""
    column = {"linear_K": ((matrix_of([[1], [0]]), matrix_of([[1, -1]])),), "R_K": matrix_of([[0, 0], [0, 1]])}
    query = {"linear_Q": ((matrix_of([[1]]), matrix_of([[1]])),), "R_Q": matrix_of([[0]])}
    weights = {"W_K": matrix_of([[1, 0]]), "W_Q": matrix_of([[1]]), "W_V": matrix_of([[0, 1]]), "W_O": matrix_of([[1]])}
    head = CrossAttention(key_shape=(1, 1), query_shape=(1, 1), **column, **query, **weights)
    target = parse_target("sigmoid(-2*K[0,0]*Q[0,0]) + K[0,0]/20", InputSpace((1, 1), (1, 1)))
    return with_evidence(Statement(target, parse_box("[-1,1]x[0,2]"), head, SupError(Fraction("0.06"))))


def quadratic_norm() -> Json:
    head = {"keys": [[0, 4]], "biases": [0, -1], "values": [[0, 1]], "products": {(0, 0): [3, -1]}}
    statement = statement_in_full("x", "[0,1]", "0.5", (1, 1), **head)
    return with_evidence(replace(statement, claim=LpError(Fraction(2), Fraction("0.5")), spelling=None))


def quadratic_fixed() -> Json:
    """A product with an entry that the domain fixes is affine; one that all tokens share cancels."""
    products = {(0, 1): [5, -5, 0], (0, 0): [7, 7, 7]}
    head = {"keys": [[0, 1, 2], [1, 0, 0]], "biases": [0, 0, "1/7"], "values": [[0, 1, -1]], "products": products}
    return with_evidence(statement_in_full("x0/2", "[-1,1]x[1/3,1/3]", "1.4", (2, 1), **head))


def sum_line() -> Json:
    """A quadratic head and a sharp one, by ranges and by expansions."""
    bent = attention_of((1, 1), [[0, 4, 1]], [0, -1, 0], [[0, 1, "1/3"]], products={(0, 0): [3, -1, 0]})
    sharp = attention_of((1, 1), [[0, 900]], [0, -300], [[0, "1/2"]])
    return with_evidence(sum_statement("x**2 + where(x < 1/3, 0, 1/2)", "[0,1]", "0.9", bent, sharp))


def sum_columns() -> Json:
    """Two rows and two columns of three heads on a disc; values that depend on the input."""
    keys, factors, slopes = [[0, 3, -3], [1, 0, 2]], [1, -1, 1], [[[1, 0, 0], [0, 0, 1]], [[0, 1, 0], [0, 0, 0]]]
    given = {"biases": [5, -5, 0], "columns": (0, 1), "factors": factors, "slopes": slopes}
    heads = [
        attention_of((2, 1), keys, values=[[k, 0, 1], [0, "1/3", -k]], products={(0, 1): [k, 0, 1]}, **given)
        for k in (0, 1, 2)
    ]
    return with_evidence(sum_statement("[[x0, x1], [x0*x1, 0]]", "[-1,1]^2", "9", *heads, where="x0**2 + x1**2 <= 1"))


def refuted_sum() -> Json:
    return with_evidence(
        sum_statement("2*sigmoid(3*x) + x", "[0,1]", "0.1", *[attention_of((1, 1), [[0, 3]], [0, 0], [[0, 1]])] * 2)
    )


def sum_statement(
    target: str, domain: str, tolerance: str, *heads: SelfAttention, where: str | None = None
) -> Statement:
    space = InputSpace(heads[0].input_shape)
    conditions = () if where is None else (parse_condition(where, space),)
    claim = SupError(Fraction(tolerance))
    return Statement(parse_target(target, space), parse_box(domain), SumAttention(heads), claim, conditions)


def refuted_quadratic() -> Json:
    """A token wins in a needle, where its value is more than the tolerance away."""
    c, beta = Fraction(1, 3), 10**6
    head = {"keys": [[2 * beta * c, 0]], "biases": [50 - beta * c * c, 0], "products": {(0, 0): [-beta, 0]}}
    return with_evidence(statement_in_full("0", "[0,1]", "1", (1, 1), values=[["1.000001", 0]], **head))


def refuted_line() -> Json:
    return with_evidence(grid_statement("sin(2*pi*x)", "[0,1]", [8], 200, "0.3"))


def refuted_vector() -> Json:
    return with_evidence(
        statement_of("[x0, x0 + 3*x1]", "[0,1]x[0,1/2]", [[0, 2], [0, 1]], [0, -1], [[0, 1], [0, 2]], "0.8")
    )


def refuted_disc() -> Json:
    return with_evidence(
        statement_of("x0 + x1", "[0,1]^2", [[0], [0]], [0], [[0]], "1.4", None, ["x0**2 + x1**2 <= 1"])
    )


def refuted_columns() -> Json:
    head = {"keys": [[0, 0]], "biases": [-40, 40], "values": [[0, 1]], "columns": (0, 1), "factors": [-1, 1]}
    return with_evidence(statement_in_full("[[0, 0.9]]", "[0,1]", "0.05", (1, 1), **head))


def partition_grid() -> Json:
    return with_evidence(cells_of_a_grid([2, 2]))


def partition_sites() -> Json:
    """Five sites at random, of which one owns nothing."""
    head, box = sites(2, 5, 0, denominator=5), parse_box("[0,1]^2")
    document = with_evidence(Statement(None, box, head, partition_of(head, box)))
    (column,) = document["evidence"]["columns"]
    assert column["undeclared"]
    return document


def partition_elsewhere() -> Json:
    """On a box that does not begin at 0 or end at 1."""
    head, box = sites(2, 4, 3, denominator=5), parse_box("[-1/2,2/3]x[1/7,3/2]")
    return with_evidence(Statement(None, box, head, partition_of(head, box)))


def partition_line() -> Json:
    """Two output columns, the second with regions of its own; a facet more than needed."""
    keys, biases = [[0, 2, 0, 2]], [0, -1, -3, -5]
    head = attention_of((1, 1), keys, biases, [[0, 1, 2, 3]], columns=(0, 1), factors=[1, -1, 1, 1])
    box = parse_box("[0,1]")
    (first, *rest), *columns = partition_of(head, box).columns
    wider = Region(first.token, (*first.neighbours, 2), first.centre, first.radius)
    return with_evidence(Statement(None, box, head, Partition(((wider, *rest), *columns))))


def without_a_facet(obligation: str) -> Json:
    """The middle of three cells reaches over the third."""
    statement = cells_of_a_grid([3])
    claim = statement.claim
    assert isinstance(claim, Partition)
    first, _, third = claim.columns[0]
    wider = Region(1, (0,), (Fraction(2, 3),), Fraction(1, 3))
    columns = {"argmax": (first, wider, third), "disjoint": (first, wider, third), "cover": (first, third)}
    columns["radius"] = first, Region(1, (0, 2), (Fraction(1, 2),), Fraction(1, 7)), third
    document = json_of(replace(statement, claim=Partition((columns[obligation],)), spelling=None), None)
    point = {"argmax": "0.9", "disjoint": "0.9", "cover": "0.5", "radius": "1/3"}[obligation]
    tokens = {"argmax": [1, 2], "disjoint": [1, 2], "cover": [], "radius": [1]}[obligation]
    evidence = {"kind": "breach", "column": 0, "obligation": obligation, "point": [point], "tokens": tokens}
    return {**document, "evidence": evidence}


def enlarged_line() -> Json:
    return with_evidence(grid_statement("x**2", "[0,1]", [4], 2000, "0.3"), "regions")


def enlarged_plane() -> Json:
    """A region that is a diamond, whose box is cut by its rivals, on a disc."""
    keys = [[0, 200, 200, -200, -200], [0, 200, -200, 200, -200]]
    values = [["0", *["0.5"] * 4]]
    head = ("max(0, abs(x0) + abs(x1) - 1)", "[-1,1]^2", keys, [0, *[-200] * 4], values)
    return with_evidence(statement_of(*head, "0.6", None, ["x0**2 + x1**2 <= 9/5"]), "regions")


def enlarged_columns() -> Json:
    """Two output columns, each with tokens of its own: the regions of the others are empty."""
    keys, biases, values = [[0, 400, 0, 400]], [100, -100, -100, -300], [["0.25", "0.75", 1, 1]]
    head = {"keys": keys, "biases": biases, "values": values, "columns": (0, 1), "factors": [1, 1, -1, -1]}
    document = with_evidence(statement_in_full("[[x, x + 3/4]]", "[0,1]", "1.1", (1, 1), **head), "regions")
    return document


def enlarged_plane_columns() -> Json:
    """The regions of the tokens of the other column are empty along one side only."""
    keys, biases, values = [[0, 400, 0, 400], [0] * 4], [100, -100, -100, -300], [["0.25", "0.75", 1, 1]]
    head = {"keys": keys, "biases": biases, "values": values, "columns": (0, 1), "factors": [1, 1, -1, -1]}
    return with_evidence(statement_in_full("[[x0, x0 + 3/4]]", "[0,1]^2", "1.1", (2, 1), **head), "regions")


def enlarged_one_token() -> Json:
    return with_evidence(statement_of("x", "[0,1]", [[3]], [7], [["1/2"]], "0.6"), "regions")


def both_proofs() -> Json:
    return with_evidence(grid_statement("abs(x - 1/3)", "[0,1]", [4], 2000, "0.2"), "both")


GOOD: dict[str, Callable[[], Json]] = {
    "line": line,
    "plane": plane,
    "vector": vector,
    "columns": columns,
    "matrix-input": matrix_input,
    "dense": dense,
    "sparse": sparse,
    "one-token": one_token,
    "literals": literals,
    "far": far,
    "fixed-side": fixed_side,
    "cross": cross,
    "disc": disc,
    "sharp": sharp,
    "silent": silent,
    "taylor-line": taylor_line,
    "taylor-plane": taylor_plane,
    "taylor-kink": taylor_kink,
    "taylor-norm": taylor_norm,
    "taylor-choices": taylor_choices,
    "quadratic-line": quadratic_line,
    "quadratic-plane": quadratic_plane,
    "quadratic-cross": quadratic_cross,
    "quadratic-norm": quadratic_norm,
    "quadratic-fixed": quadratic_fixed,
    "sum-line": sum_line,
    "sum-columns": sum_columns,
    "refuted-sum": refuted_sum,
    "refuted-quadratic": refuted_quadratic,
    "refuted-line": refuted_line,
    "refuted-vector": refuted_vector,
    "refuted-columns": refuted_columns,
    "refuted-disc": refuted_disc,
    "partition-grid": partition_grid,
    "partition-sites": partition_sites,
    "partition-elsewhere": partition_elsewhere,
    "partition-line": partition_line,
    "enlarged-line": enlarged_line,
    "enlarged-plane": enlarged_plane,
    "enlarged-columns": enlarged_columns,
    "enlarged-plane-columns": enlarged_plane_columns,
    "enlarged-one-token": enlarged_one_token,
    "both-proofs": both_proofs,
    "refuted-argmax": partial(without_a_facet, "argmax"),
    "refuted-cover": partial(without_a_facet, "cover"),
    "refuted-disjoint": partial(without_a_facet, "disjoint"),
    "refuted-radius": partial(without_a_facet, "radius"),
}


def accepted() -> Cases:
    cases: Cases = {}
    for name, make in GOOD.items():
        verdict = "refuted" if name.startswith("refuted") else "proved"
        cases[f"{name}.json"] = (sealed(make()), verdict)
    plain, _ = cases["line.json"]
    cases["compressed.json.gz"] = (gzip.compress(plain, mtime=0), "proved")
    cancels = altered(json.loads(plain), ((*HEAD, "W_K", "rows", 0, 0), "1"))  # x^2 is in all scores
    cases["products-that-cancel.json"] = (cancels, "proved")
    document = json.loads(plain)
    document["notes"] = {"made by": "hand", "unread": [int("1" * 20), {"NaN": "no number"}]}
    spelled = json.dumps(turned(document), indent=1, ensure_ascii=False)
    cases["another-spelling.json"] = (spelled.encode(), "proved")
    return cases | {f"{name}.json": case for name, case in edges().items() if case[1] in ("proved", "refuted")}


# ---------------------------------------------------------------------------------------------------------------------
# Tampered ones


def altered(document: Json, *changes: tuple[Place, Any], seal: bool = True) -> bytes:
    """The certificate with other values at some places, under a digest that fits unless `seal` is false."""
    document = copy.deepcopy(document)
    for place, value in changes:
        at: Any = document
        for step in place[:-1]:
            at = at[step]
        at[place[-1]] = value
    return sealed(document) if seal else json.dumps(document).encode()


HEAD = ("statement", "attention")
CLAIM = ("statement", "claim")
SIDE = ("statement", "domain", "box", 0)


def rejected() -> Cases:
    good = line()
    two = columns()
    flat, cut, bent, added = vector(), disc(), quadratic_line(), sum_line()
    added_heads, two_inputs = added["statement"]["attention"]["heads"], plane()["statement"]["attention"]
    tall = json_of(statement_of("[x, 0]", "[0,1]", [[0]], [0], [[0], [0]], "1"), None)
    two_rows, wrong = tall["statement"]["attention"], refuted_line()
    tree = good["evidence"]["trees"][0]
    rows = good["statement"]["attention"]["R"]["rows"]
    last = len(rows) - 1  # the values
    value = rows[last][0]
    one = "1"

    def bound(number: str) -> bytes:
        return altered(good, (("evidence", "bound"), number))

    def trees(*strings: str) -> bytes:
        return altered(good, (("evidence", "trees"), list(strings)))

    def target(text: str) -> bytes:
        return altered(good, (("statement", "target"), text))

    def side(lo: str, hi: str) -> bytes:
        return altered(good, (SIDE, [lo, hi]))

    def point(*numbers: str) -> bytes:
        return altered(wrong, (("evidence", "point"), list(numbers)))

    cases: dict[str, tuple[bytes, str]] = {
        "tolerance-lowered": (altered(good, ((*CLAIM, "tolerance"), "0.1"), seal=False), "digest"),
        "domain-widened": (altered(good, (SIDE, ["0", "2"]), seal=False), "digest"),
        "value-altered": (altered(good, ((*HEAD, "R", "rows", last, 0), "0"), seal=False), "digest"),
        "digest-in-capitals": (
            altered(good, (("statement_sha256",), good["statement_sha256"].upper()), seal=False),
            "digest",
        ),
        "no-evidence": (altered(good, (("evidence",), None)), "evidence"),
        "another-format": (altered(good, (("format",), "attncert/2")), "format"),
        "bound-above-tolerance": (altered(good, (("evidence", "bound"), "0.51")), "claim"),
        "bound-zero": (bound("0"), "claim"),
        "bound-negative": (bound("-0.5"), "claim"),
        "tolerance-zero": (altered(good, ((*CLAIM, "tolerance"), "0"), (("evidence", "bound"), "0")), "claim"),
        "tolerance-negative": (altered(good, ((*CLAIM, "tolerance"), "-1")), "claim"),
        "bound-too-good": (bound("0.3"), "leaf"),
        "bound-a-little-too-good": (altered(good, (("evidence", "bound"), "0.384")), "leaf"),
        "one-value-wrong": (altered(good, ((*HEAD, "R", "rows", last, 3), "1")), "leaf"),
        "one-value-huge": (altered(good, ((*HEAD, "R", "rows", last, 0), "1e300")), "leaf"),
        "one-bias-higher": (altered(good, ((*HEAD, "R", "rows", 2, 0), "1e6")), "leaf"),
        "one-key-turned": (altered(good, ((*HEAD, "R", "rows", 1, 7), "-400")), "leaf"),
        "soft-head": (altered(good, ((*HEAD, "W_Q", "rows", 0, 0), "0")), "leaf"),
        "values-of-another-row": (altered(good, ((*HEAD, "W_V", "rows"), [["0", "1", "0", "0", "0"]])), "leaf"),
        "another-target": (target("sin(2*pi*x) + 0.3"), "leaf"),
        "a-spike": (target("max(sin(2*pi*x), 3 - 1e9*abs(x - 0.3))"), "leaf"),
        "another-column": (altered(two, ((*HEAD, "W_O", "entries"), [[1, 0, one], [0, 1, one]])), "leaf"),
        "domain-wider": (side("0", "1.2"), "leaf"),
        "silence-too-small": (altered(silent(), (("evidence", "silence"), 1)), "leaf"),
        "tree-of-one-leaf": (trees("."), "leaf"),
        "tree-pruned": (trees(_pruned(tree)), "leaf"),
        "tree-empty": (trees(""), "tree"),
        "tree-cut": (trees(tree[:-1]), "tree"),
        "tree-too-long": (trees(tree + "."), "tree"),
        "tree-along-no-axis": (trees("1" + tree[1:]), "tree"),
        "tree-with-a-blank": (trees(tree[:3] + " " + tree[4:]), "tree"),
        "tree-along-a-mark": (trees("_" + tree[1:]), "tree"),
        "no-tree": (trees(), "tree"),
        "two-trees": (trees(tree, tree), "tree"),
        "one-tree-for-two-columns": (altered(two, (("evidence", "trees"), two["evidence"]["trees"][:1])), "tree"),
        "undefined-inside": (target("sin(2*pi*x) + 0/(x - 0.3)"), "undefined"),
        "undefined-at-an-end": (target("sin(2*pi*x) + 0*log(x)"), "undefined"),
        "undefined-in-a-fraction": (target("sin(2*pi*x)*(x - 0.01)/(x - 0.01)"), "undefined"),
        "undefined-beyond-a-zero": (target("sin(2*pi*x) + 0*tan(9*x - 1/9)"), "undefined"),
        "target-cut": (target("sin(2*pi*x"), "target"),
        "target-with-code": (target("__import__('os')"), "target"),
        "target-of-a-condition": (target("x < 1"), "target"),
        "target-in-other-letters": (target("sin(2*\u03c0*x)"), "target"),
        "target-with-a-condition": (altered(flat, (("statement", "target"), "[x0*x1, x0 < x1]")), "target"),
        "target-of-no-name": (target("sin(2*pi*y)"), "target"),
        "target-beyond-the-input": (target("sin(2*pi*x1)"), "shape"),
        "target-of-two-entries": (target("[sin(2*pi*x), 0]"), "shape"),
        "target-of-two-columns": (target("[[sin(2*pi*x), 0]]"), "shape"),
        "target-nested": (target("(" * 4000 + "x" + ")" * 4000), "limit"),
        "target-too-large": (target("exp(exp(exp(exp(9*x+9))))"), "limit"),
        "domain-reversed": (side("1", "0"), "domain"),
        "domain-of-two-sides": (altered(good, (("statement", "domain", "box"), [["0", "1"], ["0", "1"]])), "shape"),
        "domain-of-no-side": (altered(good, (("statement", "domain", "box"), [])), "shape"),
        "row-too-short": (altered(good, ((*HEAD, "R", "rows", last), rows[last][1:])), "shape"),
        "row-too-long": (altered(good, ((*HEAD, "R", "rows", last), [*rows[last], value])), "shape"),
        "matrix-too-high": (altered(good, ((*HEAD, "W_V", "shape"), [2, 5])), "shape"),
        "keys-and-queries-differ": (altered(good, ((*HEAD, "W_Q"), _zeros(1, 5))), "shape"),
        "two-inputs": (altered(good, ((*HEAD, "input_shape"), [2, 1])), "shape"),
        "output-of-no-column": (altered(good, ((*HEAD, "W_O", "entries"), [])), "shape"),
        "output-of-two-columns": (altered(good, ((*HEAD, "W_O", "entries"), [[0, 0, one], [1, 0, one]])), "shape"),
        "output-doubled": (altered(good, ((*HEAD, "W_O", "entries"), [[0, 0, "2"]])), "shape"),
        "output-outside": (altered(good, ((*HEAD, "W_O", "entries"), [[8, 0, one]])), "shape"),
        "quadratic-changed": (altered(bent, ((*HEAD, "linear", 1, "Q", "rows", 0, 0), "60")), "leaf"),
        "sum-of-one-head-less": (altered(added, ((*HEAD, "heads"), added_heads[1:])), "leaf"),
        "sum-of-one-head-more": (altered(added, ((*HEAD, "heads"), [*added_heads, added_heads[0]])), "leaf"),
        "sum-of-other-values": (altered(added, ((*HEAD, "heads", 1, "R", "rows", -1, 1), "2")), "leaf"),
        "sum-of-a-sum": (altered(added, ((*HEAD, "heads"), [added["statement"]["attention"]])), "unsupported"),
        "sum-of-two-inputs": (altered(added, ((*HEAD, "heads", 1), two_inputs)), "shape"),
        "sum-of-two-heights": (altered(added, ((*HEAD, "heads", 1), two_rows)), "shape"),
        "sum-in-another-norm": (altered(added, ((*CLAIM, "norm"), "2")), "unsupported"),
        "sum-by-regions": (altered(added, (("evidence",), {"kind": "enlarged"})), "unsupported"),
        "sum-by-both": (altered(added, (("evidence",), {"kind": "both"})), "unsupported"),
        "sum-by-models-of-the-target": (altered(added, (("evidence", "trees"), [";"])), "leaf"),
        "sum-by-one-box": (altered(added, (("evidence", "trees"), ["."])), "leaf"),
        "sum-by-one-expansion": (altered(added, (("evidence", "trees"), ["D"])), "leaf"),
        "sum-with-a-better-bound": (altered(added, (("evidence", "bound"), "0.4")), "leaf"),
        "sum-at-another-point": (altered(refuted_sum(), (("evidence", "point"), ["1/20"])), "point"),
        "quadratic-tree": (altered(bent, (("evidence", "trees"), ["A"])), "leaf"),
        "quadratic-bound": (altered(bent, (("evidence", "bound"), "0.05")), "leaf"),
        "quadratic-regions": (altered(partition_line(), ((*HEAD, "W_K", "rows", 0, 0), one)), "unsupported"),
        "quadratic-enlarged": (altered(enlarged_line(), ((*HEAD, "W_K", "rows", 0, 0), one)), "unsupported"),
        "quadratic-point": (altered(refuted_quadratic(), (("evidence", "point"), ["1/4"])), "point"),
        "quadratic-scores": (
            altered(good, ((*HEAD, "W_K", "rows", 0, 0), "1000"), ((*HEAD, "linear", 0, "Q", "rows", 0, 7), "2")),
            "leaf",
        ),
        "values-of-the-input": (altered(good, ((*HEAD, "W_V", "rows", 0, 0), one)), "leaf"),
        "another-kind-of-head": (altered(good, ((*HEAD, "kind"), "linear")), "unsupported"),
        "another-kind-of-claim": (altered(good, ((*CLAIM, "kind"), "triviality")), "unsupported"),
        "another-norm": (altered(good, ((*CLAIM, "norm"), "supremum")), "malformed"),
        "another-kind-of-evidence": (altered(good, (("evidence", "kind"), "oracle")), "unsupported"),
        "precision-beyond-limits": (altered(good, (("evidence", "precision"), 10**9)), "limit"),
        "silence-beyond-limits": (altered(good, (("evidence", "silence"), 10**9)), "limit"),
        "number-beyond-limits": (altered(good, ((*HEAD, "R", "rows", last, 0), "1e-999999")), "limit"),
        "matrix-beyond-limits": (
            altered(good, ((*HEAD, "W_O"), {"shape": [10**9, 10**9], "entries": []})),
            "limit",
        ),
        "point-outside": (point("0x1.0000000000001p+0"), "point"),
        "point-just-outside": (point("1.0000000000000000000000000000000000001"), "point"),
        "point-without-violation": (point("0.0625"), "point"),
        "point-of-two-numbers": (point("0.5", "0.5"), "shape"),
        "point-of-no-number": (point(), "shape"),
        "entry-of-no-row": (altered(wrong, (("evidence", "entry"), [1, 0])), "shape"),
        "entry-of-no-column": (altered(wrong, (("evidence", "entry"), [0, 1])), "shape"),
        "another-entry": (altered(refuted_columns(), (("evidence", "entry"), [0, 0])), "point"),
        "violation-below-tolerance": (altered(wrong, ((*CLAIM, "tolerance"), "0.9")), "point"),
        "outside-without-a-reason": (altered(good, (("evidence", "trees"), ["-"])), "leaf"),
        "outside-too-much": (
            altered(cut, (("evidence", "trees"), [cut["evidence"]["trees"][0].replace(".", "-", 1)])),
            "leaf",
        ),
        "conditions-dropped": (altered(cut, (("statement", "domain"), {"box": [["0", "1"], ["0", "1"]]})), "leaf"),
        "condition-wider": (altered(cut, (("statement", "domain", "where"), ["x0**2 + x1**2 <= 2"])), "leaf"),
        "condition-of-a-number": (altered(cut, (("statement", "domain", "where"), ["x0"])), "target"),
        "conditions-of-none": (altered(cut, (("statement", "domain", "where"), [""])), "target"),
        "point-against-the-conditions": (
            altered(refuted_disc(), (("evidence", "point"), ["1", "1"])),
            "point",
        ),
        "queries-of-another-shape": (altered(cross(), ((*HEAD, "query_shape"), [1, 2])), "shape"),
        "variable-of-self-attention": (altered(cross(), (("statement", "target"), "x0")), "target"),
        "variable-of-self-attention-alone": (altered(cross(), (("statement", "target"), "x")), "target"),
        "variable-of-the-other-kind": (altered(cross(), (("statement", "target"), "K[0,0] + X[0,0]")), "shape"),
        "bound-for-one-entry-only": (altered(flat, (("statement", "target"), "[x0*x1, abs(x0-x1) + 1]")), "leaf"),
    }
    return {
        f"{name}.json": case
        for name, case in {**cases, **wrong_orders(), **wrong_regions(), **wrongly_enlarged(), **edges()}.items()
        if case[1] not in ("proved", "refuted")
    }


def edges() -> Cases:
    """Obligations that hold, or fail, with equality, and beside them those that miss it by a little."""
    third, cells = cells_of_a_grid([3]), [cells_of_a_grid([2, 1, 1]), cells_of_a_grid([1, 2, 1, 1])]
    rows, space, four = with_evidence(third), with_evidence(cells[0]), with_evidence(cells[1])
    regions, proofs = ("statement", "claim", "regions", 0), ("evidence", "columns", 0, "regions")
    little = Fraction(1, 10**30)

    def exact(radius: Fraction) -> bytes:
        """The middle of the cells of a third, which its ball just holds."""
        return altered(rows, ((*regions, 1, "centre"), ["1/2"]), ((*regions, 1, "radius"), str(radius)))

    def corner(radius: Fraction) -> bytes:
        """A cell of 3/5 x 4/5, whose corners are half a unit from its centre."""
        head = attention_of((2, 1), [[1, -1], [0, 0]], [Fraction(-3, 5), Fraction(3, 5)], [[0, 0]])
        ball = Region(1, (0,), (Fraction(3, 10), Fraction(2, 5)), Fraction(1, 2))
        claim = Partition(((Region(0, (1,), (Fraction(1), Fraction(1, 2)), Fraction(1)), ball),))
        document = with_evidence(Statement(None, parse_box("[0,6/5]x[0,4/5]"), head, claim))
        return altered(document, ((*regions, 1, "radius"), str(radius)))

    def breach(obligation: str, tokens: list[int], *point: str, **more: Any) -> bytes:
        """The grid of four cells, of which the first lacks a facet, or has a smaller ball, or is not declared."""
        grid = json_of(cells_of_a_grid([2, 2]), None)
        declared = grid["statement"]["claim"]["regions"][0]
        declared[0] |= more
        grid["statement"]["claim"]["regions"][0] = declared[1:] if obligation == "cover" else declared
        evidence = {"kind": "breach", "column": 0, "obligation": obligation, "point": list(point), "tokens": tokens}
        return altered(grid, (("evidence",), evidence))

    def far(radius: Fraction) -> bytes:
        return breach("radius", [0], "1/2", "1/2", centre=["1/5", "1/10"], radius=str(radius))

    def wide(obligation: str, tokens: list[int], *point: str) -> bytes:
        """The first cell (token 0) reaches over that of token 2, by x0 > 1/2."""
        return breach(obligation, tokens, *point, neighbours=[1])

    overlap = without_a_facet("disjoint")
    point, over = str(Fraction(1, 2) + little), str(Fraction(1, 2) - little)
    flat = statement_of("x", "[0,1]", [[0]], [0], [[0]], "1/2")
    outer = {"kind": "counterexample", "entry": [0, 0], "precision": 64}

    def at_the_end(number: str, side: str = "1") -> bytes:
        document = json_of(flat, None)
        place = ("statement", "domain", "box")
        return altered(document, (("evidence",), {**outer, "point": [number]}), (place, [["0", side]]))

    sums = json_of(replace(flat, claim=LpError(Fraction(1), Fraction(1)), spelling=None), None)
    norm = {"kind": "integral", "precision": 64, "silence": 40, "trees": ["0.."]}
    triangle = altered(sums, (("evidence",), {**norm, "lower": "1/4", "upper": "3/4"}))

    def singular(target: str, upper: str = "9", end: str = "1/4", tree: str = "0*.") -> bytes:
        """Of a tolerance that is none."""
        evidence = {**norm, "lower": "0", "upper": upper, "trees": [tree]}
        change = (("statement", "target"), target), ((*CLAIM, "tolerance"), upper), (SIDE, ["0", end])
        return altered(sums, *change, (("evidence",), evidence))

    def walked(target: str, tree: str) -> bytes:
        change = (("statement", "target"), target), ((*CLAIM, "tolerance"), "11/10")
        return altered(json_of(flat, None), *change, (("evidence",), {**walk, "bound": "11/10", "trees": [tree]}))

    large = 800 << 240  # between it and its double lies 2^250, where no other limit on magnitudes decides

    face_of_one = rows["evidence"]["columns"][0]["regions"][0]["faces"][1]
    multiplier = face_of_one[0][1]
    smaller, larger = [str(Fraction(multiplier) * (1 + sign * little)) for sign in (-1, 1)]

    def face(number: str) -> bytes:
        return altered(rows, ((*proofs, 0, "faces", 1, 0, 1), number))

    def volume(document: Json, number: Fraction) -> bytes:
        return altered(document, ((*proofs, 0, "volume"), str(number)))

    heads = attention_of((1, 1), [[0, 8]], [0, -4], [["1/2", 1]])
    step = parse_target("where(x < 1/4, 0, 1)", InputSpace((1, 1)))
    jump = json_of(Statement(step, parse_box("[0,1]"), heads, SupError(Fraction(1))), None)
    two = [{"rivals": [1], "box": [["0", "3/4"]], "faces": [[], [[1, "1/8"]]], "tree": "."}]
    two += [{"rivals": [0], "box": [["0", "1"]], "faces": [[], []], "tree": "00..."}]

    wide_enough = {"kind": "enlarged", "bound": "1", "kappa": "2", "delta": "1/2", "precision": 64}
    outside = {**wide_enough, "columns": [[{**each, "tree": "-"} for each in two]]}

    def silent_at_an_end(kappa: str) -> bytes:
        """Token 1 scores less by 2 at x = 1/4, the end of the leaf on which the target misses its value."""
        two[0]["box"] = [["0", str((Fraction(kappa) + 4) / 8)]]
        return altered(jump, (("evidence",), {**wide_enough, "kappa": kappa, "columns": [two]}))

    def layer(delta: str, measure: str, document: Json = jump, tree: str = "!") -> bytes:
        """All of the domain is the layer, or none of it."""
        evidence = {"kind": "layers", "precision": 64, "silence": 40, "trees": [tree]}
        claim = {"kind": "indicator", "delta": delta, "measure": measure}
        return altered(document, (("statement", "target"), None), (CLAIM, claim), (("evidence",), evidence))

    steep = json_of(statement_of("x", "[0,1]", [[0, 10000]], [0, -5001], [[0, 1]], "1"), None)
    walk = {"kind": "paving", "bound": "1", "precision": 64, "silence": 40, "trees": ["0.."]}
    constant: list[tuple[Place, Any]] = [
        ((*HEAD, "R", "rows", 3), "1"),
        ((*HEAD, "W_V", "rows", 0, 3), "3/7"),
        ((*HEAD, "R", "rows", 4, 0), "0"),
        (("evidence",), {**walk, "bound": "0.6"}),
    ]

    equal = attention_of((1, 1), [[0, 0, 0]], [0, 0, -1], [[0, 0, 0]])
    whole = Region(0, (), (Fraction(1, 2),), Fraction(1, 2))
    alike = json_of(Statement(None, parse_box("[0,1]"), equal, Partition(((whole,),))), None)
    none: Json = {"box": [["0", "1"]], "faces": [[], []], "beaten": [], "volume": "1"}
    cover: Json = {"regions": [none], "undeclared": [[1, [[0, "1"]]], [2, [[0, "1/3"]]]]}
    twice = [{**alike["statement"]["claim"]["regions"][0][0], "token": k} for k in (0, 1)]

    def of_equals(value: Json) -> bytes:
        return altered(alike, (("evidence",), {"kind": "regions", "columns": [value]}))

    better = attention_of((1, 1), [[0, 0, 0]], [0, 0, 1], [[0, 0, 0]])
    worse = json_of(Statement(None, parse_box("[0,1]"), better, Partition(((whole,),))), None)
    beaten: Json = {"regions": [{**none, "beaten": [[2, []]]}], "undeclared": [[1, [[0, "1"]]], [2, [[0, "1"]]]]}
    best = attention_of((4, 1), [[0, 0]] * 4, [0, 1], [[0, 0]] * 4)
    cube = [Region(i, (), (Fraction(1, 2),) * 4, Fraction(1)) for i in (0, 1)]
    either = json_of(Statement(None, parse_box("[0,1]^4"), best, Partition((tuple(cube),))), None)
    proof: Json = {"box": [["0", "1"]] * 4, "faces": [[]] * 8, "beaten": [], "volume": None}

    both = altered(
        json.loads(of_equals({**cover, "regions": [none, none], "undeclared": cover["undeclared"][1:]})),
        (regions, twice),
    )
    return {
        "enlarged-silent-at-an-end": (silent_at_an_end("2"), "proved"),
        "paving-of-nothing": (
            altered(jump, (("statement", "domain", "where"), ["x > 2"]), (("evidence",), {**walk, "trees": ["-"]})),
            "tree",
        ),
        "enlarged-on-nothing": (
            altered(jump, (("statement", "domain", "where"), ["x > 2"]), (("evidence",), outside)),
            "tree",
        ),
        "enlarged-not-silent-at-an-end": (silent_at_an_end(f"{2**201 + 1}/{2**200}"), "leaf"),
        "partition-without-evidence": (altered(rows, (("evidence",), None)), "evidence"),
        "norm-without-evidence": (altered(json.loads(triangle), (("evidence",), None)), "evidence"),
        "partition-in-space": (sealed(space), "proved"),
        "partition-in-four": (sealed(four), "proved"),
        "partition-in-four-with-a-volume": (volume(four, Fraction(1, 2)), "malformed"),
        "partition-in-space-without-a-volume": (altered(space, ((*proofs, 0, "volume"), None)), "malformed"),
        "partition-with-a-volume-too-large": (volume(space, Fraction(1, 2) + little), "region"),
        "partition-with-a-volume-too-small": (volume(space, Fraction(1, 2) - little), "region"),
        "partition-of-equal-scores": (of_equals(cover), "proved"),
        "partition-of-equal-scores-twice": (both, "region"),
        "partition-of-a-token-worse-by-one": (
            altered(worse, (("evidence",), {"kind": "regions", "columns": [beaten]})),
            "region",
        ),
        "partition-of-two-of-which-one-is-worse": (
            altered(
                either,
                (("evidence",), {"kind": "regions", "columns": [{"regions": [proof, proof], "undeclared": []}]}),
            ),
            "region",
        ),
        "partition-cover-by-nothing": (
            of_equals({**cover, "undeclared": [[1, [[0, "0"]]], [2, [[0, "1"]]]]}),
            "region",
        ),
        "partition-cover-by-itself": (of_equals({**cover, "undeclared": [[1, [[1, "1"]]], [2, [[0, "1"]]]]}), "region"),
        "partition-cover-by-halves": (of_equals({**cover, "undeclared": [[1, [[0, "1"]]]]}), "region"),
        "radius-exact": (exact(Fraction(1, 6)), "proved"),
        "radius-a-little-small": (exact(Fraction(1, 6) - little), "region"),
        "radius-to-the-corner": (corner(Fraction(1, 2)), "proved"),
        "radius-not-to-the-corner": (corner(Fraction(1, 2) - little), "region"),
        "multiplier-of-nothing": (altered(rows, ((*proofs, 0, "faces", 1), [*face_of_one, [1, "0"]])), "proved"),
        "multiplier-a-little-small": (face(smaller), "region"),
        "multiplier-a-little-large": (face(larger), "region"),
        "refuted-argmax-on-a-face": (wide("argmax", [0, 2], "0.9", "1/2"), "refuted"),
        "refuted-argmax-at-a-corner": (wide("argmax", [0, 2], "1", "0"), "refuted"),
        "argmax-beyond-the-face": (wide("argmax", [0, 2], "0.9", point), "point"),
        "argmax-with-an-equal": (wide("argmax", [0, 2], "1/2", "0.3"), "point"),
        "argmax-of-one": (wide("argmax", [0], "0.9", "0.3"), "point"),
        "argmax-of-three": (wide("argmax", [0, 2, 3], "0.9", "0.3"), "point"),
        "argmax-of-none": (wide("argmax", [], "0.9", "0.3"), "point"),
        "argmax-turned": (wide("argmax", [2, 0], "0.9", "0.3"), "point"),
        "refuted-disjoint-inside": (wide("disjoint", [0, 2], "0.9", over), "refuted"),
        "refuted-disjoint-turned": (wide("disjoint", [2, 0], "0.9", over), "refuted"),
        "disjoint-on-a-face": (wide("disjoint", [0, 2], "0.9", "1/2"), "point"),
        "disjoint-on-the-other-face": (wide("disjoint", [0, 2], "1/2", "0.3"), "point"),
        "disjoint-on-the-domain": (wide("disjoint", [0, 2], "1", "0.3"), "point"),
        "disjoint-on-the-lower-end": (wide("disjoint", [0, 2], "0.9", "0"), "point"),
        "disjoint-of-one": (wide("disjoint", [0], "0.9", "0.3"), "point"),
        "disjoint-of-one-twice": (wide("disjoint", [0, 0], "0.9", "0.3"), "point"),
        "disjoint-of-three": (wide("disjoint", [0, 2, 2], "0.9", "0.3"), "point"),
        "disjoint-from-no-region": (
            altered(overlap, (regions, overlap["statement"]["claim"]["regions"][0][:2])),
            "point",
        ),
        "refuted-cover-inside": (breach("cover", [], over, over), "refuted"),
        "cover-on-a-face": (breach("cover", [], "1/2", "0.3"), "point"),
        "cover-of-a-token": (breach("cover", [0], "0.3", "0.3"), "point"),
        "refuted-radius-at-a-corner": (far(Fraction(1, 2) - little), "refuted"),
        "refuted-radius-of-nothing": (breach("radius", [0], "0.3", "0.3", radius="0"), "refuted"),
        "radius-below-zero": (breach("radius", [0], "0.3", "0.3", radius="-1/9"), "claim"),
        "radius-that-is-exact": (far(Fraction(1, 2)), "point"),
        "radius-of-two": (breach("radius", [0, 1], "1/2", "1/2", radius="1/9"), "point"),
        "radius-of-none": (breach("radius", [], "1/2", "1/2", radius="1/9"), "point"),
        "radius-outside-the-region": (breach("radius", [0], "1/2", point, radius="1/9"), "point"),
        "cover-of-no-token": (breach("radius", [4], "1/2", "1/2", radius="1/9"), "limit"),
        "refuted-at-the-upper-end": (at_the_end("1"), "refuted"),
        "refuted-by-a-little": (at_the_end(f"{10**15 + 1}/{2 * 10**15}"), "refuted"),
        "point-with-equality": (at_the_end("1/2"), "point"),
        "refuted-on-the-only-point": (altered(json.loads(at_the_end("1")), (SIDE, ["1", "1"])), "refuted"),
        "refuted-at-the-lower-end": (altered(json.loads(at_the_end("-1")), (SIDE, ["-1", "1"])), "refuted"),
        "point-below-the-lower-end": (altered(json.loads(at_the_end(str(-1 - little))), (SIDE, ["-1", "1"])), "point"),
        "norm-with-equality": (triangle, "proved"),
        "norm-known-exactly": (
            altered(
                sums,
                (("evidence",), {**norm, "lower": "1", "upper": "1", "trees": ["."]}),
                (("statement", "target"), "1"),
            ),
            "proved",
        ),
        "root-at-its-end": (walked("sqrt(x)", "A"), "proved"),
        "condition-on-models": (walked("where(x < x/2, 9, 0)", "A"), "proved"),
        "singular-to-the-power-3-2": (
            altered(
                json.loads(singular("log(x)", "9", "1/3", "*")),
                ((*CLAIM, "norm"), "3/2"),
            ),
            "proved",
        ),
        "singular-and-growing": (singular(f"{large}*((2 - 2*x)*x**(-1/4))", f"{9 * large}", "1"), "proved"),
        "singular-beside-growing": (
            singular(f"{large}*(2 - 2*x + x**(-1/4)/99)", f"{9 * large}", "1"),
            "proved",
        ),
        "layer-left-out": (layer("9/10", "1/2", steep, "."), "leaf"),
        "norm-refuted": (
            altered(json.loads(triangle), ((*CLAIM, "tolerance"), str(Fraction(1, 4) - little))),
            "refuted",
        ),
        "singular-and-large": (
            singular("1024*(1025*log(x) + 300)", "1e7", "7/5", "00*.."),
            "proved",
        ),
        "singular-outside": (singular("log(abs(x + 1e-30))"), "undefined"),
        "singular-and-not-cut-out": (singular("x**(-1/4)", tree="0.."), "undefined"),
        "singular-and-not-integrable": (singular("x**(-1)"), "leaf"),
        "singular-log-on-a-wide-leaf": (singular("log(x)", end="1/2", tree="*"), "leaf"),
        "singular-log-beyond-one": (singular("log(x)", end="3", tree="*"), "leaf"),
        "singular-in-a-function": (singular("sin(log(x))"), "undefined"),
        "singular-in-a-power": (singular("log(x)**2"), "undefined"),
        "singular-twice": (singular("log(x) + x**(-1/4)"), "undefined"),
        "singular-and-undefined": (singular("log(x) + sqrt(x - 1)"), "undefined"),
        "singular-at-a-constant": (singular("log(abs(x - pi/40))"), "undefined"),
        "singular-in-two-entries": (singular("log(x + x)"), "undefined"),
        "singular-quotient": (singular("log(x)/sqrt(x)"), "undefined"),
        "singular-in-a-divisor": (singular("1/(1 + log(x))"), "undefined"),
        "singular-over-a-zero": (singular("log(x)/x"), "undefined"),
        "exponent-of-nine-characters": (
            altered(json.loads(triangle), ((*CLAIM, "tolerance"), "75e-00000002")),
            "proved",
        ),
        "exponent-of-ten-characters": (
            altered(json.loads(triangle), ((*CLAIM, "tolerance"), "75e-000000002")),
            "limit",
        ),
        "norm-left-open-at-the-lower-end": (altered(json.loads(triangle), ((*CLAIM, "tolerance"), "1/4")), "evidence"),
        "norm-at-its-tolerance": (altered(json.loads(triangle), ((*CLAIM, "tolerance"), "3/4")), "proved"),
        "norm-left-open": (altered(json.loads(triangle), ((*CLAIM, "tolerance"), "1/2")), "evidence"),
        "norm-of-less": (altered(json.loads(triangle), (("evidence", "upper"), str(Fraction(3, 4) - little))), "leaf"),
        "norm-of-more": (altered(json.loads(triangle), (("evidence", "lower"), str(Fraction(1, 4) + little))), "leaf"),
        "norm-in-the-wrong-order": (
            altered(json.loads(triangle), (("evidence", "lower"), "4/5"), (("evidence", "upper"), "3/4")),
            "claim",
        ),
        "norm-below-zero": (altered(json.loads(triangle), (("evidence", "lower"), str(-little))), "claim"),
        "values-and-a-constant": (altered(jump, *constant, (("statement", "target"), "x + 3/7")), "proved"),
        "values-without-a-constant": (altered(jump, *constant, (("statement", "target"), "x - 3/7")), "leaf"),
        "entry-beyond-the-last-row": (
            altered(jump, *constant, ((*HEAD, "W_O", "entries"), [[0, 0, "1"], [2, 0, "0"]])),
            "shape",
        ),
        "entry-beyond-the-last-column": (
            altered(jump, *constant, ((*HEAD, "W_O", "entries"), [[0, 0, "1"], [0, 1, "0"]])),
            "shape",
        ),
        "norm-in-a-plane-without-area": (
            altered(
                json_of(grid_statement("x0", "[0,1]x[1/3,1/3]", [2, 1], 8, "1"), None),
                ((*CLAIM, "norm"), "1"),
                (("evidence",), {**norm, "trees": ["."], "lower": "0", "upper": "1"}),
            ),
            "domain",
        ),
        "layer-of-more": (layer("1/2", str(1 - little)), "leaf"),
        "layer-beyond-one": (layer("1", "1"), "claim"),
        "layer-beyond-zero": (layer("0", "1"), "claim"),
        "layer-of-no-measure": (layer("1/2", "0"), "claim"),
        "norm-beyond-zero": (altered(json.loads(triangle), ((*CLAIM, "tolerance"), "0")), "claim"),
        "refuted-of-zero": (altered(json.loads(at_the_end("1")), ((*CLAIM, "tolerance"), "0")), "claim"),
        "norm-of-zero": (
            altered(json.loads(triangle), (("evidence", "lower"), "0"), (("evidence", "upper"), "0")),
            "claim",
        ),
        "point-outside-along-one-side": (altered(refuted_vector(), (("evidence", "point", 1), "1e9")), "point"),
        "point-outside-along-the-other": (altered(refuted_vector(), (("evidence", "point", 0), "-1e9")), "point"),
        "norm-of-half": (altered(json.loads(triangle), ((*CLAIM, "norm"), "1/2")), "claim"),
        "norm-on-a-line-without-length": (altered(json.loads(triangle), (SIDE, ["1", "1"])), "domain"),
    }


def wrong_regions() -> dict[str, tuple[bytes, str]]:
    """Partitions of which an obligation fails, and refutations of what holds."""
    grid, scattered, breach = partition_grid(), partition_sites(), without_a_facet("cover")
    regions, proofs = ("statement", "claim", "regions", 0), ("evidence", "columns", 0, "regions")
    claim, column = grid["statement"]["claim"]["regions"][0], grid["evidence"]["columns"][0]
    fewer = {"regions": column["regions"][1:], "undeclared": []}
    silent = scattered["evidence"]["columns"][0]["undeclared"]
    return {
        "region-missing": (altered(grid, (regions, claim[1:]), (proofs[:-1], fewer)), "region"),
        "region-twice": (altered(grid, ((*regions, 3), claim[0])), "malformed"),
        "region-of-another-token": (altered(grid, ((*regions, 3, "token"), 0), ((*regions, 0, "token"), 3)), "region"),
        "region-without-a-facet": (altered(grid, ((*regions, 0, "neighbours"), [1])), "region"),
        "region-next-to-itself": (altered(grid, ((*regions, 0, "neighbours"), [0, 1])), "malformed"),
        "region-outside-its-ball": (altered(grid, ((*regions, 0, "radius"), "0.35")), "region"),
        "region-of-negative-radius": (altered(grid, ((*regions, 0, "radius"), "-1")), "claim"),
        "region-with-another-box": (altered(grid, ((*proofs, 0, "box", 0, 1), "0.49")), "region"),
        "region-with-another-volume": (altered(grid, ((*proofs, 0, "volume"), "0.26")), "region"),
        "region-with-a-negative-multiplier": (altered(grid, ((*proofs, 0, "faces", 1, 0, 1), "-1")), "region"),
        "region-with-another-multiplier": (altered(grid, ((*proofs, 0, "faces", 1, 0, 1), "1")), "region"),
        "regions-of-no-column": (altered(grid, (("evidence", "columns"), [])), "malformed"),
        "regions-under-conditions": (altered(grid, (("statement", "domain", "where"), ["x0 <= 2"])), "unsupported"),
        "regions-with-a-target": (altered(grid, (("statement", "target"), "x0")), "malformed"),
        "silent-token-missing": (altered(scattered, ((*proofs[:-1], "undeclared"), silent[1:])), "region"),
        "silent-token-without-multipliers": (altered(scattered, ((*proofs[:-1], "undeclared", 0, 1), [])), "region"),
        "breach-of-what-holds": (altered(breach, (("evidence", "point"), ["0.2"])), "point"),
        "breach-outside": (altered(breach, (("evidence", "point"), ["1.2"])), "point"),
        "breach-of-no-obligation": (altered(breach, (("evidence", "obligation"), "volume")), "unsupported"),
        "breach-of-no-column": (altered(breach, (("evidence", "column"), 1)), "limit"),
    }


def wrongly_enlarged() -> Cases:
    """Proofs by enlarged regions of which a part fails."""
    flat, cut, two, both = enlarged_line(), enlarged_plane(), enlarged_columns(), both_proofs()
    proofs: Place = ("evidence", "columns", 0)
    evidence = flat["evidence"]
    column, (pair, *others) = evidence["columns"][0], cut["evidence"]["columns"][0]
    empty = next(i for i, proof in enumerate(two["evidence"]["columns"][0]) if proof["tree"] is None)
    diamond = {**pair, "rivals": pair["rivals"][1:]}

    head = ("x0", "[0,1]x[1/3,1/3]", [[0, 200], [0, 0]], [0, -100], [["1/4", "3/4"]], "0.3")
    fixed = with_evidence(statement_of(*head), "regions")
    one, *rest = fixed["evidence"]["columns"][0]
    leafless = [{**one, "tree": None}, *rest]

    def number(name: str, text: str) -> bytes:
        return altered(flat, (("evidence", name), text))

    def first(name: str, value: Any) -> bytes:
        return altered(flat, ((*proofs, 0, name), value))

    room = [["-1", column[0]["box"][0][1]]]
    roomy = (((*proofs, 0, "box"), room), ((*proofs, 0, "faces", 0), [[1, "-1/1000000"]]))
    return {
        "enlarged-on-a-fixed-side": (altered(fixed, (("evidence", "columns"), [leafless])), "region"),
        "enlarged-by-nothing": (number("kappa", "0"), "claim"),
        "enlarged-by-more": (number("kappa", "40"), "region"),
        "enlarged-by-less": (number("kappa", "3"), "leaf"),  # the others weigh too much
        "enlarged-with-less-room": (number("delta", "0.2"), "leaf"),
        "enlarged-with-all-the-room": (number("delta", "0.3"), "leaf"),
        "enlarged-for-a-larger-bound": (number("bound", "0.31"), "claim"),
        "enlarged-for-another-claim": (altered(flat, ((*CLAIM, "norm"), "2")), "unsupported"),
        "enlarged-for-another-target": (altered(flat, (("statement", "target"), "x**2 + 1/9")), "leaf"),
        "enlarged-in-too-few-columns": (altered(two, (("evidence", "columns"), evidence["columns"])), "malformed"),
        "enlarged-without-a-token": (altered(flat, (proofs, column[1:])), "malformed"),
        "enlarged-in-another-order": (altered(flat, (proofs, column[::-1])), "region"),
        "enlarged-box-too-small": (first("box", [["0", "0.25"]]), "region"),
        "enlarged-without-multipliers": (first("faces", [[], []]), "region"),
        "enlarged-with-a-negative-multiplier": (first("faces", [[[1, "-1"]], column[0]["faces"][1]]), "region"),
        "enlarged-with-a-small-negative-multiplier": (altered(flat, *roomy), "region"),  # all else holds
        "enlarged-without-rivals": (first("rivals", []), "region"),
        "enlarged-rival-of-no-token": (first("rivals", [4]), "limit"),
        "enlarged-without-a-tree": (first("tree", None), "region"),
        "enlarged-tree-cut": (first("tree", "0."), "tree"),
        "enlarged-outside-without-conditions": (first("tree", "-"), "leaf"),
        "enlarged-by-an-expansion": (first("tree", "A"), "tree"),
        "enlarged-rival-missing": (altered(cut, ((*proofs, 0), diamond)), "leaf"),
        "enlarged-leaves-outside": (altered(cut, ((*proofs, 1, "tree"), "-")), "leaf"),
        "enlarged-tree-of-another": (altered(cut, ((*proofs, 0, "tree"), others[0]["tree"])), "leaf"),
        "enlarged-empty-by-word": (altered(two, ((*proofs, empty, "faces", 0), [])), "region"),
        "enlarged-empty-in-a-box": (altered(two, ((*proofs, empty, "box"), [["0", "1"]])), "region"),
        "both-with-a-wrong-paving": (altered(both, (("evidence", "paving", "trees"), ["."])), "leaf"),
        "both-with-wrong-regions": (altered(both, (("evidence", "enlarged", "delta"), "0.01")), "leaf"),
        "both-of-one-kind": (altered(both, (("evidence", "enlarged"), both["evidence"]["paving"])), "unsupported"),
        "both-of-both": (altered(both, (("evidence", "paving"), both["evidence"])), "unsupported"),
    }


def wrong_orders() -> Cases:
    """Taylor leaves that prove nothing, or stand where they do not belong."""
    good = taylor_line()
    tree = good["evidence"]["trees"][0]
    walk = {"precision": 64, "silence": 40, "trees": ["D"]}
    norm = ((*CLAIM, "norm"), "1"), (("evidence",), {"kind": "integral", "lower": "0", "upper": "0.6", **walk})
    claim = {"kind": "indicator", "delta": "0.5", "measure": "1"}
    mean, lowered = taylor_norm(), [((*CLAIM, "tolerance"), "0.24")]
    layers = (CLAIM, claim), (("statement", "target"), None), (("evidence",), {"kind": "layers", **walk})

    def trees(text: str) -> bytes:
        return altered(good, (("evidence", "trees"), [text]))

    def target(text: str) -> bytes:
        return altered(good, (("statement", "target"), text))

    return {
        "taylor-bound-too-good": (altered(good, (("evidence", "bound"), "0.5")), "leaf"),
        "taylor-order-too-low": (trees(tree.replace("D", "A")), "leaf"),
        "taylor-tree-of-one-leaf": (trees("D"), "leaf"),
        "taylor-tree-of-the-highest-order": (trees("Z"), "leaf"),
        "taylor-leaf-as-a-split": (trees("D" + tree[1:]), "leaf"),
        "taylor-another-target": (target("sin(2*pi*x) + 0.1"), "leaf"),
        "taylor-a-spike": (target("max(sin(2*pi*x), 3 - 1e9*abs(x - 0.3))"), "leaf"),
        "taylor-undefined": (target("sin(2*pi*x) + 0*sqrt(x - 1/10**9)"), "undefined"),
        "taylor-kink-elsewhere": (altered(taylor_kink(), (("statement", "target"), "abs(x - 0.4)")), "leaf"),
        "taylor-order-beyond-z": (trees(tree.replace("D", "[", 1)), "tree"),
        "taylor-tree-cut": (trees(tree[:-1]), "tree"),
        "taylor-in-an-integral": (altered(good, *norm), "leaf"),
        "taylor-in-layers": (altered(good, *layers), "tree"),
        "taylor-norm-too-low": (
            altered(mean, (("evidence", "lower"), "0"), (("evidence", "upper"), "0.2389")),
            "leaf",
        ),
        "taylor-norm-too-high": (
            altered(mean, (("evidence", "lower"), "0.2402"), (("evidence", "upper"), "1"), *lowered),
            "leaf",
        ),
        "taylor-norm-of-an-odd-power": (altered(mean, ((*CLAIM, "norm"), "3")), "leaf"),
    }


def _pruned(tree: str) -> str:
    """The tree with its last pair of sibling leaves replaced by their parent."""
    at = tree.rindex("0..")
    return f"{tree[:at]}.{tree[at + 3 :]}"


def _zeros(height: int, width: int) -> Json:
    return {"shape": [height, width], "entries": []}


# ---------------------------------------------------------------------------------------------------------------------
# Damaged ones


def malformed() -> Cases:
    good = line()
    text = sealed(good)
    wrong = refuted_line()
    compressed = gzip.compress(text, mtime=0)
    regions, two, proof = enlarged_line(), both_proofs(), ("evidence", "columns", 0, 0)
    key = b'"evidence":'

    def put(*changes: tuple[Place, Any]) -> bytes:
        return altered(good, *changes)

    def tolerance(spelling: Any) -> bytes:
        return put(((*CLAIM, "tolerance"), spelling))

    cases: dict[str, tuple[bytes, str]] = {
        "sum-of-nothing": (put((HEAD, {"kind": "sum", "heads": []})), "malformed"),
        "sum-of-no-list": (put((HEAD, {"kind": "sum", "heads": {}})), "malformed"),
        "sum-of-a-number": (put((HEAD, {"kind": "sum", "heads": [1]})), "malformed"),
        "sum-without-heads": (put((HEAD, {"kind": "sum"})), "malformed"),
        "sum-with-a-bias": (
            put((HEAD, {"kind": "sum", "heads": [good["statement"]["attention"]], "b": "0"})),
            "malformed",
        ),
        "empty": (b"", "malformed"),
        "blank": (b"\n", "malformed"),
        "cut-in-half": (text[: len(text) // 2], "malformed"),
        "cut-at-the-end": (text.rstrip()[:-1], "malformed"),
        "two-documents": (text + text, "malformed"),
        "not-utf-8": (text.replace(b"sin", b"s\xffn"), "malformed"),
        "utf-16": (text.decode().encode("utf-16"), "malformed"),
        "byte-order-mark": (b"\xef\xbb\xbf" + text, "malformed"),
        "a-list": (b"[" + text.strip() + b"]", "malformed"),
        "a-string": (b'"proved"', "malformed"),
        "null": (b"null", "malformed"),
        "nested": (b"[" * 20_000, "limit"),
        "key-twice": (text.replace(key, b'"evidence":null,' + key), "malformed"),
        "key-twice-inside": (text.replace(b'"kind":"paving"', b'"kind":"paving","kind":"paving"'), "malformed"),
        "key-missing": (text.replace(b'"statement_sha256"', b'"statement_sha"'), "malformed"),
        "unknown-key": (put((("statement", "comment"), "none")), "malformed"),
        "unknown-key-in-evidence": (put((("evidence", "trusted"), True)), "malformed"),
        "unknown-key-on-top": (put((("proved",), True)), "malformed"),
        "format-missing": (text.replace(b'"format"', b'"version"'), "malformed"),
        "statement-of-text": (put((("statement",), "true")), "malformed"),
        "tolerance-a-number": (tolerance(1), "malformed"),
        "tolerance-a-float": (tolerance(0.5), "malformed"),
        "tolerance-null": (tolerance(None), "malformed"),
        "tolerance-infinite": (tolerance("inf"), "malformed"),
        "tolerance-not-a-number": (tolerance("nan"), "malformed"),
        "tolerance-with-a-sign": (tolerance("+0.5"), "malformed"),
        "tolerance-with-a-blank": (tolerance("0.5 "), "malformed"),
        "tolerance-with-a-newline": (tolerance("0.5\n"), "malformed"),
        "tolerance-with-underscores": (tolerance("1_0"), "malformed"),
        "tolerance-without-digits": (tolerance(".5"), "malformed"),
        "tolerance-in-other-digits": (tolerance("٠.٥"), "malformed"),
        "tolerance-over-zero": (tolerance("1/0"), "malformed"),
        "tolerance-without-exponent": (tolerance("0x1.8"), "malformed"),
        "tolerance-empty": (tolerance(""), "malformed"),
        "precision-a-string": (put((("evidence", "precision"), "96")), "malformed"),
        "precision-a-float": (put((("evidence", "precision"), 96.0)), "malformed"),
        "precision-true": (put((("evidence", "precision"), True)), "malformed"),
        "precision-too-small": (put((("evidence", "precision"), 31)), "malformed"),
        "silence-zero": (put((("evidence", "silence"), 0)), "malformed"),
        "silence-negative": (put((("evidence", "silence"), -40)), "malformed"),
        "integer-of-many-digits": (text.replace(b'"silence":', b'"silence":' + b"9" * 30), "limit"),
        "integer-of-21-digits": (text.replace(b'"notes":{}', b'"notes":' + b"1" * 21), "limit"),
        "nan-in-the-notes": (text.replace(b'"notes":{}', b'"notes":NaN'), "malformed"),
        "infinity-in-the-notes": (text.replace(b'"notes":{}', b'"notes":[-Infinity]'), "malformed"),
        "fraction-in-the-notes": (text.replace(b'"notes":{}', b'"notes":0.5'), "malformed"),
        "tree-a-list": (put((("evidence", "trees"), [["."]])), "malformed"),
        "trees-a-string": (put((("evidence", "trees"), ".")), "malformed"),
        "side-of-one-end": (put((SIDE, ["0"])), "malformed"),
        "side-of-three-ends": (put((SIDE, ["0", "1", "2"])), "malformed"),
        "shape-of-one-size": (put(((*HEAD, "W_K", "shape"), [2])), "malformed"),
        "shape-of-floats": (put(((*HEAD, "W_K", "shape"), [2.0, 5.0])), "malformed"),
        "shape-zero": (put(((*HEAD, "W_K", "shape"), [0, 5])), "malformed"),
        "matrix-of-no-form": (put(((*HEAD, "W_K"), {"shape": [2, 5]})), "malformed"),
        "matrix-of-both-forms": (put(((*HEAD, "W_K", "entries"), [])), "malformed"),
        "entry-given-twice": (put(((*HEAD, "W_O", "entries"), [[0, 0, "1"], [0, 0, "1"]])), "malformed"),
        "entry-of-two-parts": (put(((*HEAD, "W_O", "entries"), [[0, 0]])), "malformed"),
        "entry-before-the-first": (put(((*HEAD, "W_O", "entries"), [[-1, 0, "1"]])), "malformed"),
        "entry-in-words": (put(((*HEAD, "W_O", "entries"), [["0", "0", "1"]])), "malformed"),
        "point-a-number": (altered(wrong, (("evidence", "point"), [0])), "malformed"),
        "point-not-finite": (altered(wrong, (("evidence", "point"), ["nan"])), "malformed"),
        "entry-negative": (altered(wrong, (("evidence", "entry"), [-1, 0])), "malformed"),
        "entry-true": (altered(wrong, (("evidence", "entry"), [False, False])), "malformed"),
        "enlarged-kappa-a-number": (altered(regions, (("evidence", "kappa"), 10)), "malformed"),
        "enlarged-delta-infinite": (altered(regions, (("evidence", "delta"), "inf")), "malformed"),
        "enlarged-with-silence": (altered(regions, (("evidence", "silence"), 40)), "malformed"),
        "enlarged-rival-true": (altered(regions, ((*proof, "rivals"), [True])), "malformed"),
        "enlarged-box-of-one-end": (altered(regions, ((*proof, "box"), [["0"]])), "malformed"),
        "enlarged-faces-missing": (altered(regions, ((*proof, "faces"), [])), "malformed"),
        "enlarged-multiplier-alone": (altered(regions, ((*proof, "faces", 1), [[1]])), "malformed"),
        "enlarged-tree-a-list": (altered(regions, ((*proof, "tree"), ["."])), "malformed"),
        "both-without-regions": (altered(two, (("evidence",), {"kind": "both", "paving": {}})), "malformed"),
    }
    result = {f"{name}.json": case for name, case in cases.items()}
    return result | {
        "gzip-cut.json.gz": (compressed[:-9], "malformed"),
        "gzip-damaged.json.gz": (compressed[:200] + bytes(50) + compressed[250:], "malformed"),
        "gzip-wrong-sum.json.gz": (compressed[:-8] + bytes(8), "malformed"),
        "gzip-of-nothing.json.gz": (gzip.compress(b"", mtime=0), "malformed"),
        "gzip-of-gzip.json.gz": (gzip.compress(compressed, mtime=0), "malformed"),
        "gzip-with-more-behind.json.gz": (compressed + b"more", "malformed"),
    }


FOLDERS = {"accept": accepted, "reject": rejected, "malformed": malformed}


def sidecar(path: Path) -> Path:
    """The file that says what the kernel has to say about a case."""
    suffix = ".verdict" if path.parent.name == "accept" else ".reason"
    return path.with_name(path.name.split(".")[0] + suffix)


def main() -> None:
    """Write the folders anew; fail if the kernel says anything but what is written beside a case."""
    for folder, make in FOLDERS.items():
        place = FOLDER / folder
        place.mkdir(exist_ok=True)
        for old in place.iterdir():
            old.unlink()
        for name, (data, expected) in make().items():
            said = kernel_says(data)
            if said != expected:
                raise SystemExit(f"{folder}/{name}: the kernel says {said}, not {expected}")
            (place / name).write_bytes(data)
            sidecar(place / name).write_text(f"{expected}\n")
        print(f"{folder}: {len(list(place.glob('*.json*')))} cases")


if __name__ == "__main__":
    main()
