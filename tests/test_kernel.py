"""The kernel on whole certificates: what it accepts, and for each reason what it rejects."""

import ast
import copy
import gzip
import hashlib
import json
import math
import random
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import mpmath
import pytest

from attncert.verifier import kernel

Json = Any
KERNEL = Path(__file__).parent.parent / "verifier" / "kernel.py"

# --- building certificates -------------------------------------------------------------------------------------------


def hexadecimal(value: float) -> str:
    return float(value).hex()


def sparse(height: int, width: int, *entries: tuple[int, int, str]) -> Json:
    return {"shape": [height, width], "entries": [list(entry) for entry in entries]}


def uniform_head(
    centres: Sequence[tuple[float, ...]], beta: float, values: list[list[str]], inputs: tuple[int, int] | None = None
) -> Json:
    """The uniform head in matrix form, with rows of Z: x (m of them), keys 2 beta c, bias -beta |c|^2, ones, values.

    Without `inputs` the input is an m x 1 column. The scores are s_i(x) = 2 beta c_i . x - beta |c_i|^2.
    """
    n, m, outputs = len(centres), len(centres[0]), len(values)
    height = 2 * m + 2 + outputs
    keys = [[hexadecimal(2 * beta * c[k]) for c in centres] for k in range(m)]
    bias = [hexadecimal(-beta * math.fsum(v * v for v in c)) for c in centres]
    return {
        "kind": "self",
        "input_shape": list(inputs or (m, 1)),
        "linear": [{"P": sparse(height, m, *[(k, k, "1") for k in range(m)]), "Q": {"shape": [1, n], "rows": ["1"]}}],
        "R": {"shape": [height, n], "rows": ["0"] * m + [*keys, bias, "1", *values]},
        "W_K": sparse(m + 1, height, *[(k, m + k, "1") for k in range(m + 1)]),
        "W_Q": sparse(m + 1, height, *[(k, k, "1") for k in range(m)], (m, 2 * m + 1, "1")),
        "W_V": sparse(outputs, height, *[(r, 2 * m + 2 + r, "1") for r in range(outputs)]),
        "W_O": sparse(n, 1, (0, 0, "1")),
    }


def grid(n: int) -> list[tuple[float, ...]]:
    return [((i + 0.5) / n,) for i in range(n)]


def sampled(function: Callable[..., float], centres: Sequence[tuple[float, ...]]) -> list[str]:
    return [hexadecimal(function(*c)) for c in centres]


def make_statement(target: str, box: list[list[str]], attention: Json, tolerance: str) -> Json:
    claim = {"kind": "error", "norm": "inf", "tolerance": tolerance}
    return {"target": target, "domain": {"box": box}, "attention": attention, "claim": claim}


def paving(bound: str, *trees: str, precision: int = 64, silence: int = 48) -> Json:
    return {"kind": "paving", "bound": bound, "precision": precision, "silence": silence, "trees": list(trees)}


def sealed(statement: Json, evidence: Json, **other: Json) -> Json:
    canonical = json.dumps(statement, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return {"format": "attncert/1", "statement": statement, "statement_sha256": digest, "evidence": evidence, **other}


def check(certificate: Json, **limits: int) -> kernel.Finding:
    return kernel.check_bytes(json.dumps(certificate).encode(), kernel.Limits(**limits))


def reason(certificate: Json | bytes, **limits: int) -> str:
    data = certificate if isinstance(certificate, bytes) else json.dumps(certificate).encode()
    with pytest.raises(kernel.Rejected) as rejected:
        kernel.check_bytes(data, kernel.Limits(**limits))
    detail = rejected.value.detail
    assert detail
    assert detail.isascii()
    assert "\n" not in detail
    assert "internal error" not in detail
    return str(rejected.value.reason)


def uniform_tree(depth: int, axes: str = "0") -> str:
    tree = "."
    for level in reversed(range(depth)):
        tree = axes[level % len(axes)] + tree + tree
    return tree


def read(statement: Json) -> kernel.Statement:
    """The statement as the kernel reads it."""
    return kernel.Statement(statement, kernel.Reader(kernel.Limits()))


def search(statement: Json, bound: str, j: int = 0, depth: int = 14, axes: str = "0") -> str:
    """Find a tree whose leaves the kernel proves, by splitting those that it does not; fail at the depth."""
    proof = kernel.Paving(read(statement), j, 64, 48, Fraction(bound))

    def visit(box: kernel.Box, tokens: list[kernel.Tokens], level: int) -> str:
        actives = proof.active(box, tokens)
        try:
            proof.rule(".", box, actives)
        except kernel.Rejected:
            if level == depth:
                raise
            mark, kept = axes[level % len(axes)], [active.tokens for active in actives]
            return mark + "".join(visit(half, kept, level + 1) for half in proof.halves(box, mark, "here"))
        return "."

    return visit(proof.root, proof.all, 0)


def edit(path: str, value: Json) -> Callable[[Json], None]:
    """Replace the value at a path such as statement.claim.tolerance; the value DELETE removes the key."""

    def apply(certificate: Json) -> None:
        *parents, last = [int(key) if key.isdigit() else key for key in path.split(".")]
        for key in parents:
            certificate = certificate[key]
        if value is DELETE:
            del certificate[last]
        else:
            certificate[last] = value

    return apply


DELETE = ...
SIXTEEN = grid(16)
SINE = sampled(lambda x: math.sin(2 * math.pi * x), SIXTEEN)
UNIT = [["0", "1"]]


def sine_statement(tolerance: str = "0.25", beta: float = 4000.0) -> Json:
    return make_statement("sin(2*pi*x)", UNIT, uniform_head(SIXTEEN, beta, [SINE]), tolerance)


def good() -> Json:
    statement = sine_statement()
    return sealed(statement, paving("0.24", search(statement, "0.24")), notes={"made by": ["hand", 1, None]})


GOOD = good()


def refutation() -> Json:
    evidence = {"kind": "counterexample", "point": ["1/4"], "entry": [0, 0], "precision": 64}
    return sealed(sine_statement("0.01"), evidence)


# --- acceptance ------------------------------------------------------------------------------------------------------


def test_a_good_certificate_is_proved() -> None:
    found = check(GOOD)
    leaves = GOOD["evidence"]["trees"][0].count(".")
    assert (found.verdict, found.bound, found.leaves, found.tokens) == ("proved", "0.24", leaves, 16)
    assert found.obligations == 2 * leaves
    assert found.statement_sha256 == GOOD["statement_sha256"]
    assert found.claim == "|sin(2*pi*x) - T| <= 0.25 on [0, 1]"
    assert found.point is None


@pytest.mark.parametrize("depth", [8, 10])
def test_a_uniform_tree_is_proved(depth: int) -> None:
    certificate = sealed(sine_statement("0.3"), paving("0.3", uniform_tree(depth)))
    assert check(certificate).leaves == 2**depth


@pytest.mark.parametrize("precision", [32, 40, 64, 257, 1000])
def test_any_precision_that_suffices(precision: int) -> None:
    certificate = sealed(sine_statement(), paving("0.245", GOOD["evidence"]["trees"][0], precision=precision))
    assert check(certificate).verdict == "proved"


@pytest.mark.parametrize("silence", [20, 100, 1000, 100000])
def test_any_silence_that_suffices(silence: int) -> None:
    certificate = sealed(sine_statement(), paving("0.245", GOOD["evidence"]["trees"][0], silence=silence))
    assert check(certificate).verdict == "proved"


def test_loud_tokens_are_not_silent() -> None:
    assert reason(sealed(sine_statement(), paving("0.24", GOOD["evidence"]["trees"][0], silence=1))) == "leaf"


def test_gzip_and_other_spellings_are_the_same_document() -> None:
    plain = json.dumps(GOOD).encode()
    indented = json.dumps(GOOD, indent=2, ensure_ascii=False).encode()
    expected = kernel.check_bytes(plain)
    for data in (indented, gzip.compress(plain), gzip.compress(plain[:100]) + gzip.compress(plain[100:])):
        assert kernel.check_bytes(data) == expected


def test_the_bound_is_what_is_proved() -> None:
    loose = sealed(sine_statement("10"), paving("0.24", GOOD["evidence"]["trees"][0]))
    assert check(loose).bound == "0.24"
    assert reason(sealed(sine_statement("10"), paving("0.1", GOOD["evidence"]["trees"][0]))) == "leaf"


@pytest.mark.parametrize("beta", [100.0, 1000.0, 1e5, 2.0**60])
def test_small_and_large_inverse_temperatures(beta: float) -> None:
    statement = sine_statement("0.75", beta)
    assert check(sealed(statement, paving("0.7", search(statement, "0.7")))).verdict == "proved"


@pytest.mark.parametrize(
    "box", [["0.1", "0.7"], ["1/3", "2/3"], ["0x1.8p-4", "0x0.cp+0"], ["1e-3", "99.9E-2"], ["0.5", "0.5"]]
)
def test_every_spelling_of_a_domain(box: list[str]) -> None:
    statement = make_statement("sin(2*pi*x)", [box], uniform_head(SIXTEEN, 4000.0, [SINE]), "0.25")
    assert check(sealed(statement, paving("0.25", search(statement, "0.25")))).verdict == "proved"


def test_ends_of_the_domain_are_exact() -> None:
    """sqrt is defined at 0: no box may stick out of the domain."""
    values = sampled(math.sqrt, SIXTEEN)
    statement = make_statement("sqrt(x)*sqrt(1 - x)", UNIT, uniform_head(SIXTEEN, 4000.0, [values]), "2")
    assert check(sealed(statement, paving("2", uniform_tree(5)))).verdict == "proved"


def test_a_single_token() -> None:
    statement = make_statement("x/2", UNIT, uniform_head([(0.5,)], 3.0, [["1/4"]]), "1/4")
    assert check(sealed(statement, paving("1/4", "."))).leaves == 1
    assert reason(sealed(statement, paving("0.24", "."))) == "leaf"


def test_two_outputs() -> None:
    cosine = sampled(lambda x: math.cos(2 * math.pi * x), SIXTEEN)
    head = uniform_head(SIXTEEN, 4000.0, [SINE, cosine])
    statement = make_statement("[sin(2*pi*x), cos(2*pi*x)]", UNIT, head, "0.25")
    tree = search(statement, "0.25")
    found = check(sealed(statement, paving("0.25", tree)))
    assert found.obligations == 4 * found.leaves == 4 * tree.count(".")
    head["R"]["rows"][-1] = SINE  # the second output is another function
    assert reason(sealed(statement, paving("0.25", tree))) == "leaf"
    column = make_statement(
        "[[sin(2*pi*x)], [cos(2*pi*x)]]", UNIT, uniform_head(SIXTEEN, 4000.0, [SINE, cosine]), "0.25"
    )
    assert check(sealed(column, paving("0.25", tree))).verdict == "proved"


def two_columns(target: str = "[[sin(2*pi*X[0,0]), sin(2*pi*X[0,1])]]", tolerance: str = "0.25") -> Json:
    """A 1 x 2 input: column q of Z holds entry q of the input, and column j of T answers query j."""
    head = uniform_head(SIXTEEN, 4000.0, [SINE], inputs=(1, 2))
    head["linear"][0]["Q"] = sparse(2, 16, (0, 0, "1"), (1, 1, "1"))
    head["W_O"] = sparse(16, 2, (0, 0, "1"), (1, 1, "1"))
    return make_statement(target, [["0", "1"], ["0", "1"]], head, tolerance)


def test_two_columns_have_a_tree_each() -> None:
    statement = two_columns()
    trees = [search(statement, "0.25", j, axes=str(j)) for j in (0, 1)]
    found = check(sealed(statement, paving("0.25", *trees)))
    assert found.leaves == sum(tree.count(".") for tree in trees)
    assert found.obligations == 2 * found.leaves
    assert reason(sealed(statement, paving("0.25", *trees[::-1]))) == "leaf"
    assert reason(sealed(statement, paving("0.25", trees[0]))) == "tree"
    swapped = two_columns("[[sin(2*pi*X[0,1]), sin(2*pi*X[0,0])]]")
    assert reason(sealed(swapped, paving("0.25", *trees))) == "leaf"


def test_two_inputs() -> None:
    centres = [((i + 0.5) / 8, (j + 0.5) / 8) for i in range(8) for j in range(8)]
    head = uniform_head(centres, 1500.0, [sampled(lambda a, b: a * b, centres)])
    statement = make_statement("x0*x1", [["0", "1"]] * 2, head, "0.2")
    tree = search(statement, "0.2", axes="01")
    assert "0" in tree
    assert "1" in tree
    assert check(sealed(statement, paving("0.2", tree))).tokens == 64


def test_fixed_entries_are_numbers_in_the_scores() -> None:
    """The keys are 2 beta c_i x1, so that the scores have a product x0 x1 unless x1 is fixed."""
    head = uniform_head(SIXTEEN, 4000.0, [SINE], inputs=(2, 1))
    height = head["R"]["shape"][0]
    keys = {"shape": [1, 16], "rows": [head["R"]["rows"][1]]}
    head["R"]["rows"][1] = "0"
    head["linear"][0]["P"] = sparse(height, 2, (0, 0, "1"))
    head["linear"].append({"P": sparse(height, 2, (1, 1, "1")), "Q": keys})
    statement = make_statement("sin(2*pi*x0)*x1", [["0", "1"], ["1", "1"]], head, "0.25")
    tree = search(statement, "0.25")
    assert check(sealed(statement, paving("0.25", tree))).verdict == "proved"
    statement["domain"]["box"][1] = ["2", "2"]
    assert reason(sealed(statement, paving("0.25", tree))) == "leaf"
    statement["domain"]["box"][1] = ["1", "1.0000001"]
    assert check(sealed(statement, paving("0.25", tree))).verdict == "proved"
    statement["domain"]["box"][1] = ["1", "2"]
    assert reason(sealed(statement, paving("0.25", tree))) == "leaf"


def cut(tree: str, *conditions: str, target: str = "sin(2*pi*x)") -> Json:
    """The sine on the part of [0, 1] where all conditions hold."""
    statement = sine_statement("0.3")
    statement["target"] = target
    statement["domain"]["where"] = list(conditions)
    return sealed(statement, paving("0.3", tree))


LOWER_HALF = "0" + uniform_tree(9) + "-"


def test_boxes_outside_the_conditions_need_no_proof() -> None:
    found = check(cut(LOWER_HALF, "x < 1/2"))
    assert (found.leaves, found.claim) == (512, "|sin(2*pi*x) - T| <= 0.3 on [0, 1] where x < 1/2")
    assert check(cut("0-" + uniform_tree(9), "x >= 0", "x**2 > 1/4")).leaves == 512
    assert check(cut(uniform_tree(10), "x < 1/2")).leaves == 1024
    assert check(cut(LOWER_HALF, "x < 1/2", target="sin(2*pi*x) + 0*sqrt(1/2 - x)")).leaves == 512
    assert check(cut(uniform_tree(10))).leaves == 1024


@pytest.mark.parametrize(
    ("expected", "tree", "conditions"),
    [
        ("leaf", LOWER_HALF, []),
        ("leaf", LOWER_HALF, ["x <= 1/2"]),  # the point 1/2 belongs to the upper half
        ("leaf", LOWER_HALF, ["x > 1/2"]),
        ("leaf", "0-" + uniform_tree(9), ["x < 1/2"]),
        ("leaf", LOWER_HALF, ["x < 1/2 or x > 3/4"]),
        ("leaf", LOWER_HALF, ["log(x - 3/4) > 5"]),  # not defined on the whole box, so not false on it
        ("leaf", "-", ["x < 1/2"]),
        ("tree", "-", ["x < 0"]),  # nothing would be left to prove
        ("tree", LOWER_HALF + "-", ["x < 1/2"]),
        ("tree", LOWER_HALF[:-1], ["x < 1/2"]),
    ],
)
def test_boxes_that_may_not_be_left_out(expected: str, tree: str, conditions: list[str]) -> None:
    assert reason(cut(tree, *conditions)) == expected


def test_a_counterexample_satisfies_the_conditions() -> None:
    for expected, condition in (
        ("refuted", "x <= 1/4"),
        ("point", "x < 1/4"),
        ("point", "log(x - 1/2) < 0"),
        ("point", "sin(pi*x)**2 <= 1/2"),  # true, but only just: no precision proves it
    ):
        certificate = copy.deepcopy(refutation())
        certificate["statement"]["domain"]["where"] = ["x > 0", condition]
        certificate = sealed(certificate["statement"], certificate["evidence"])
        if expected == "refuted":
            assert check(certificate).verdict == expected
        else:
            assert reason(certificate) == expected


def cross_statement(target: str = "sin(2*pi*Q[0,0])", tolerance: str = "0.25") -> Json:
    """Keys and values are constant and queries come from Q, so that T(K, Q) is the uniform head at Q."""
    head = uniform_head(SIXTEEN, 4000.0, [SINE])
    keys, bias, values = (head["R"]["rows"][i] for i in (1, 2, 4))
    attention = {
        "kind": "cross",
        "key_shape": [1, 1],
        "query_shape": [1, 1],
        "linear_K": [{"P": sparse(3, 1), "Q": {"shape": [1, 16], "rows": ["1"]}}],
        "R_K": {"shape": [3, 16], "rows": [keys, bias, values]},
        "linear_Q": [{"P": sparse(2, 1, (0, 0, "1")), "Q": {"shape": [1, 1], "rows": ["1"]}}],
        "R_Q": {"shape": [2, 1], "rows": ["0", "1"]},
        "W_K": sparse(2, 3, (0, 0, "1"), (1, 1, "1")),
        "W_Q": sparse(2, 2, (0, 0, "1"), (1, 1, "1")),
        "W_V": sparse(1, 3, (0, 2, "1")),
        "W_O": sparse(1, 1, (0, 0, "1")),
    }
    return make_statement(target, [["0", "1"], ["0", "1"]], attention, tolerance)


def test_cross_attention() -> None:
    statement = cross_statement()
    tree = search(statement, "0.25", axes="1")  # the entry of K comes first
    found = check(sealed(statement, paving("0.25", tree)))
    assert (found.verdict, found.tokens) == ("proved", 16)
    assert reason(sealed(statement, paving("0.25", uniform_tree(8, "0")))) == "leaf"
    assert reason(sealed(statement, paving("0.25", uniform_tree(8, "2")))) == "tree"
    assert reason(sealed(cross_statement("sin(2*pi*K[0,0])"), paving("0.25", tree))) == "leaf"
    fixed = cross_statement("sin(2*pi*Q[0,0]) + K[0,0] - 1/3")
    fixed["domain"]["box"][0] = ["1/3", "1/3"]
    assert check(sealed(fixed, paving("0.25", tree))).verdict == "proved"
    point = {"kind": "counterexample", "point": ["0", "1/4"], "entry": [0, 0], "precision": 64}
    assert check(sealed(cross_statement(tolerance="0.01"), point)).verdict == "refuted"
    assert reason(sealed(cross_statement(tolerance="0.01"), {**point, "point": ["1/4", "9/32"]})) == "point"


@pytest.mark.parametrize(
    ("expected", "path", "value"),
    [
        ("leaf", "linear_K.0.P", sparse(3, 1, (2, 0, "1"))),  # values depend on K
        ("leaf", "linear_K.0.P", sparse(3, 1, (0, 0, "1"))),  # scores have a product of K and Q
        ("leaf", "linear_K.0.P", sparse(3, 1, (1, 0, "1"))),  # a common bias, but the boxes are too wide in K
        ("shape", "linear_K.0.P", sparse(2, 1, (0, 0, "1"))),
        ("shape", "linear_Q.0.Q", {"shape": [1, 16], "rows": ["1"]}),
        ("shape", "query_shape", [2, 1]),
        ("shape", "W_O", sparse(16, 1, (0, 0, "1"))),
        ("shape", "W_Q", sparse(2, 3, (0, 0, "1"))),
        ("malformed", "linear", []),
        ("malformed", "R_Q", DELETE),
        ("malformed", "kind", "self"),
    ],
)
def test_cross_attention_rejected(expected: str, path: str, value: Json) -> None:
    statement = cross_statement()
    tree = search(statement, "0.25", axes="1")
    edit(path, value)(statement["attention"])
    if expected == "leaf":  # the same bias for all tokens cancels: it takes more to break the proof
        statement["attention"]["linear_K"][0]["Q"]["rows"] = [["0"] * 15 + ["100000"]]
    assert reason(sealed(statement, paving("0.25", tree))) == expected


def test_a_linear_transformation_may_be_absent() -> None:
    head = uniform_head(SIXTEEN, 4000.0, [["1/3"] * 16])
    head["linear"] = []
    statement = make_statement("1/3", UNIT, head, "1e-15")
    assert check(sealed(statement, paving("1e-15", "."))).verdict == "proved"


def test_numbers_of_thousands_of_digits() -> None:
    long = "0.24" + "0" * 5000 + "1"
    statement = sine_statement("0.25" + "0" * 6000)
    assert check(sealed(statement, paving(long, GOOD["evidence"]["trees"][0]))).bound == long
    ratio = f"24{'0' * 5000}/100{'0' * 5000}"
    assert check(sealed(statement, paving(ratio, GOOD["evidence"]["trees"][0]))).bound == ratio


def test_a_counterexample_refutes() -> None:
    found = check(refutation())
    assert (found.verdict, found.point, found.entry, found.obligations) == ("refuted", ("1/4",), (0, 0), 1)
    assert found.leaves == 0
    assert found.bound == "0.01"


# --- soundness -------------------------------------------------------------------------------------------------------


def softmax_error(function: Callable[[Any], Any], values: list[str], beta: float, x: Fraction) -> Any:
    """|f - T| at a point for the uniform head on SIXTEEN."""
    with mpmath.workdps(40):
        at = mpmath.mpf(x.numerator) / x.denominator
        weights = [mpmath.exp(2 * beta * c[0] * at - beta * c[0] ** 2 - beta * at**2) for c in SIXTEEN]
        exact = [mpmath.mpf(float.fromhex(v)) for v in values]
        value = mpmath.fsum(w * v for w, v in zip(weights, exact, strict=True)) / mpmath.fsum(weights)
        return abs(function(at) - value)


@pytest.mark.parametrize("beta", [300.0, 1000.0, 4000.0, 1e6])
def test_no_bound_below_the_true_error_is_proved(beta: float) -> None:
    errors = [
        softmax_error(lambda t: mpmath.sin(2 * mpmath.pi * t), SINE, beta, Fraction(i, 512) + Fraction(1, 1023))
        for i in range(511)
    ]
    below = str(Fraction(int(max(errors) * 10**6) - 1, 10**6))
    statement = sine_statement("1", beta)
    for depth in (4, 8, 12):
        assert reason(sealed(statement, paving(below, uniform_tree(depth)))) == "leaf"
    with pytest.raises(kernel.Rejected):
        search(statement, below, depth=16)
    above = str(Fraction(int(max(errors) * 10**6) + 40000, 10**6))
    if beta <= 4000:
        assert check(sealed(statement, paving(above, search(statement, above, depth=16)))).verdict == "proved"


TARGETS: list[tuple[str, Callable[[Any], Any]]] = [
    ("sin(5*x) + x/3", lambda t: mpmath.sin(5 * t) + t / 3),
    ("exp(-x**2)*tanh(3*x)", lambda t: mpmath.exp(-(t**2)) * mpmath.tanh(3 * t)),
    ("1/(1 + x**2) - erf(x)", lambda t: 1 / (1 + t**2) - mpmath.erf(t)),
    (
        "where(x < 1/3, cos(7*x), sqrt(abs(x)))",
        lambda t: mpmath.cos(7 * t) if t < mpmath.mpf(1) / 3 else mpmath.sqrt(abs(t)),
    ),
    ("max(x, 0.3)**1.5 + floor(2*x)/4", lambda t: max(t, mpmath.mpf("0.3")) ** 1.5 + mpmath.floor(2 * t) / 4),
    ("atan(4*x) - log(2 + x)", lambda t: mpmath.atan(4 * t) - mpmath.log(2 + t)),
]


@pytest.mark.parametrize("seed", range(18))
def test_what_is_proved_holds_at_samples(seed: int) -> None:
    """Random weights, bounds around the true error: whatever is accepted is true at every sampled point."""
    rnd = random.Random(seed)
    text, function = TARGETS[seed % len(TARGETS)]
    n = rnd.randrange(2, 7)
    keys, biases, values = [
        [str(Fraction(rnd.randrange(-900, 900), rnd.choice([7, 16, 30]))) for _ in range(n)] for _ in "kbv"
    ]
    values = [str(Fraction(v) / 40) for v in values]
    head = uniform_head([(0.0,)] * n, 1.0, [values])
    head["R"]["rows"][1:3] = [keys, biases]
    errors = []
    with mpmath.workdps(30):
        exact = [
            [mpmath.mpf(Fraction(v).numerator) / Fraction(v).denominator for v in row] for row in (keys, biases, values)
        ]
        for i in range(301):
            at = mpmath.mpf(i) / 300
            scores = [a * at + b for a, b in zip(exact[0], exact[1], strict=True)]
            weights = [mpmath.exp(score - max(scores)) for score in scores]
            mean = mpmath.fsum(w * v for w, v in zip(weights, exact[2], strict=True)) / mpmath.fsum(weights)
            errors.append(abs(function(at) - mean))
        true = Fraction(int(max(errors) * 10**9), 10**9)
    proved = 0
    for factor in ("0.9", "0.99", "0.999999", "1.03", "1.1", "1.5"):
        bound = str(true * Fraction(factor))
        statement = make_statement(text, UNIT, head, bound)
        silence = rnd.choice([5, 30, 60])  # 2^-5 of the spread of the values is more than some bounds leave
        silence = max(silence, 30) if factor == "1.5" else silence
        certificate = sealed(statement, paving(bound, uniform_tree(9), silence=silence))
        if float(factor) < 1:
            assert reason(certificate) == "leaf"
        else:
            try:
                proved += check(certificate).verdict == "proved"
            except kernel.Rejected as rejected:
                assert rejected.reason == "leaf"  # noqa: PT017
    assert proved > 0


def test_one_wrong_value_is_found() -> None:
    for i in range(16):
        certificate = copy.deepcopy(GOOD)
        row = certificate["statement"]["attention"]["R"]["rows"][-1]
        row[i] = hexadecimal(float.fromhex(row[i]) + 0.4)
        statement = certificate["statement"]
        assert reason(sealed(statement, certificate["evidence"])) == "leaf"


def test_values_with_many_digits_are_rounded_to_the_safe_side() -> None:
    """The error is exactly 1/3 - 2^-40, and the tolerance may not be below by the last unit of the precision."""
    head = uniform_head([(0.5,)], 1.0, [["1/3"]])
    tiny = Fraction(1, 3) - Fraction(1, 2**40)
    for gap, accepted in ((Fraction(1, 2**62), True), (Fraction(0), False), (Fraction(-1, 2**62), False)):
        statement = make_statement("0x1p-40".replace("0x1p-40", "2**-40"), UNIT, head, str(tiny + gap))
        certificate = sealed(statement, paving(str(tiny + gap), "."))
        if accepted:
            assert check(certificate).verdict == "proved"
        else:
            assert reason(certificate) == "leaf"


def coarse_head(rnd: random.Random, tokens: int, moved: int) -> Json:
    """A head of two inputs whose keys (moved & 1) and biases (moved & 2) are ratios that rounding moves."""

    def ratios(bit: int) -> list[str]:
        divisors = [3, 7, 11, 13] if moved & bit else [1, 2]
        return [f"{rnd.randrange(-60, 60)}/{rnd.choice(divisors)}" for _ in range(tokens)]

    head = uniform_head([(0.0, 0.0)] * tokens, 1.0, [ratios(1)])
    head["R"]["rows"][2:5] = [ratios(1), ratios(1), ratios(2)]
    return head


@pytest.mark.parametrize("seed", range(8))
def test_score_differences_contain_the_exact_ones(seed: int) -> None:
    rnd = random.Random(seed)
    P, tokens = 32, 6
    statement = make_statement("x0 + x1", [["-5/7", "4"], ["1/3", "2"]], coarse_head(rnd, tokens, seed % 4), "100")
    proof = kernel.Paving(read(statement), 0, P, 1000, Fraction(1))
    (part,), box = proof.parts, proof.root
    for _ in range(6):
        active = part.active(box, part.all)
        assert active.tokens[0] == list(range(tokens))
        centres, rows = active.centres, part.head.scores(0)
        assert active.radii == part.radii(box, part.all, centres.index(max(centres)))
        for r in range(tokens):
            radii = part.radii(box, part.all, r)
            for i in range(tokens):
                corners = []
                for x in box[0][:2]:
                    for y in box[1][:2]:
                        at = {(): Fraction(1), (0,): Fraction(x, 2**P), (1,): Fraction(y, 2**P)}
                        corners.append(sum((kernel.entry(rows[k], i) - kernel.entry(rows[k], r)) * at[k] for k in rows))
                middle, spread = centres[i] - centres[r], radii[i] + part.slack
                assert middle - spread <= min(corners) * 2 ** (2 * P + 1)
                assert max(corners) * 2 ** (2 * P + 1) <= middle + spread
                assert middle + spread <= max(corners) * 2 ** (2 * P + 1) + 2 * part.slack
        assert part.slack < 2 ** (P + 4)
        box = rnd.choice(proof.halves(box, rnd.choice("01"), "here"))


def extreme_mean(values: Sequence[int], ends: Sequence[tuple[Any, Any]], sign: int) -> Any:
    """The greatest mean (or the least, for the sign -1) of values with weights anywhere between their ends."""
    means = []
    for threshold in values:
        weights = [end[sign * (value - threshold) >= 0] for value, end in zip(values, ends, strict=True)]
        means.append(mpmath.fdot(weights, values) / mpmath.fsum(weights))
    return max(means) if sign > 0 else min(means)


@pytest.mark.parametrize("seed", range(4))
def test_means_with_weights_in_their_ranges_are_bounded_closely(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights e^(s_i - s_r) relative to the n-th best token: all means lie between the bounds, which are close."""
    rnd = random.Random(seed)
    (part,) = kernel.Paving(read(sine_statement()), 0, 64, 48, Fraction(1)).parts
    P, unit = 64, 2 ** (2 * 64 + 1)
    for _ in range(100):
        n = rnd.randrange(2, 9)
        c = [rnd.randrange(-(2**P), 2**P) for _ in range(n)]
        centres = [-rnd.randrange(4 * unit) for _ in range(n)]
        best = rnd.randrange(n)
        r = sorted(range(n), key=centres.__getitem__, reverse=True)[best]
        radii = [0 if i == r else rnd.randrange(unit) for i in range(n)]
        monkeypatch.setattr(part, "radii", lambda box, tokens, reference, r=r, own=radii: own if reference == r else [])
        part.slack = rnd.choice([0, rnd.randrange(unit)])
        lows, highs = part.weights(kernel.Active([], [], centres, radii), best)
        least = -kernel.greatest_mean([-value for value in c], lows, highs)
        greatest = kernel.greatest_mean(c, lows, highs)
        with mpmath.workdps(80):
            reaches = [0 if i == r else radius + part.slack for i, radius in enumerate(radii)]
            ends = [
                (mpmath.exp(mpmath.mpf(d - reach) / unit), mpmath.exp(mpmath.mpf(d + reach) / unit))
                for d, reach in zip([centre - centres[r] for centre in centres], reaches, strict=True)
            ]
            for low, high, (bottom, top) in zip(lows, highs, ends, strict=True):
                assert low <= bottom * 2**P
                assert top * 2**P <= high
                assert high - low <= (top - bottom) * 2**P + 4 * (1 + top)
            sizes = [mpmath.fdot(pair, map(abs, c)) / mpmath.fsum(pair) for pair in zip(*ends, strict=True)]
            below, above = extreme_mean(c, ends, -1), extreme_mean(c, ends, 1)
            assert least <= below
            assert above <= greatest
            assert max(below - least, greatest - above) < 2**10 * max(sizes) / 2**P


def test_an_error_within_rounding_of_the_tolerance_is_not_a_violation() -> None:
    """The error is pi/4 - 1/2; the tolerance is 1e-15 less, which 32 bits cannot tell and 64 bits can."""
    head = uniform_head([(0.5,)], 1.0, [["1/2"]])
    statement = make_statement("pi/4", UNIT, head, "0.285398163397447")
    evidence = {"kind": "counterexample", "point": ["0"], "entry": [0, 0], "precision": 32}
    assert reason(sealed(statement, evidence)) == "point"
    assert check(sealed(statement, {**evidence, "precision": 64})).verdict == "refuted"
    below = make_statement("-pi/4", UNIT, uniform_head([(0.5,)], 1.0, [["-1/2"]]), "0.285398163397447")
    assert reason(sealed(below, evidence)) == "point"
    assert check(sealed(below, {**evidence, "precision": 64})).verdict == "refuted"
    above = make_statement("pi/4", UNIT, head, "0.285398163397449")
    assert reason(sealed(above, {**evidence, "precision": 1000})) == "point"


def test_dropped_tokens_are_paid_for() -> None:
    """A silent token with a huge value must still be counted."""
    head = uniform_head([(0.5,), (8.0,)], 1.0, [["0", "1000000"]])
    statement = make_statement("0", UNIT, head, "1000000")
    assert check(sealed(statement, paving("1", "."))).verdict == "proved"
    true = 1e6 * math.exp(-48.75)  # at x = 1

    def evidence(factor: float, silence: int) -> Json:
        return paving(hexadecimal(factor * true), uniform_tree(6), precision=128, silence=silence)

    assert check(sealed(statement, evidence(1.5, 80))).verdict == "proved"
    assert reason(sealed(statement, evidence(1.5, 60))) == "leaf"
    for silence in (20, 60, 80, 200):
        assert reason(sealed(statement, evidence(0.999, silence))) == "leaf"


def test_the_target_between_the_sampled_points_counts() -> None:
    statement = sine_statement("0.25")
    statement["target"] = "sin(2*pi*x) + where(abs(x - 0.3) < 2**-20, 1, 0)"
    assert reason(sealed(statement, GOOD["evidence"])) == "leaf"


# --- rejection -------------------------------------------------------------------------------------------------------


TREE = GOOD["evidence"]["trees"][0]
A = "statement.attention."
REJECTIONS: list[tuple[str, str, Json]] = [
    # reason, path, new value; the statement is sealed again
    ("format", "format", "attncert/2"),
    ("malformed", "format", 1),
    ("malformed", "format", DELETE),
    ("malformed", "statement", []),
    ("malformed", "extra", 1),
    ("malformed", "evidence", DELETE),
    ("malformed", "statement_sha256", None),
    ("digest", "statement_sha256", "0" * 64),
    ("digest", "statement_sha256", GOOD["statement_sha256"].upper()),
    ("malformed", "statement.extra", 1),
    ("malformed", "statement.target", 3),
    ("malformed", "statement.domain", ["0", "1"]),
    ("malformed", "statement.domain", 0),
    ("malformed", "statement.domain", ["box", "where"]),
    ("malformed", "statement.domain.where", "x < 1"),
    ("malformed", "statement.domain.where", [1]),
    ("target", "statement.domain.where", ["x"]),
    ("target", "statement.domain.where", ["x < 1", "1 +"]),
    ("target", "statement.domain.where", ["[x < 1]"]),
    ("shape", "statement.domain.where", ["x1 < 1"]),
    ("malformed", "statement.domain.extra", []),
    ("malformed", "statement.domain.box.0", ["0", "1", "2"]),
    ("malformed", "statement.domain.box.0", ["0", 1]),
    ("malformed", "statement.domain.box.0", ["0", " 1"]),
    ("domain", "statement.domain.box.0", ["1", "0"]),
    ("domain", "statement.domain.box.0", ["1e-1", "0.0999999999999999999999999"]),
    ("shape", "statement.domain.box", []),
    ("shape", "statement.domain.box", [["0", "1"], ["0", "1"]]),
    ("unsupported", "statement.claim.kind", "interpolation"),
    ("unsupported", "statement.claim.norm", "2"),
    ("malformed", "statement.claim.norm", 2),
    ("malformed", "statement.claim.extra", 2),
    ("claim", "statement.claim.tolerance", "0"),
    ("claim", "statement.claim.tolerance", "-0.25"),
    ("claim", "statement.claim.tolerance", "0.23999999999999999999999999999"),
    ("malformed", "statement.claim.tolerance", 0),
    ("target", "statement.target", "sin(2*pi*x"),
    ("target", "statement.target", "sin(2*pi*y)"),
    ("shape", "statement.target", "sin(2*pi*x1)"),
    ("shape", "statement.target", "[sin(2*pi*x), 0]"),
    ("shape", "statement.target", "[[sin(2*pi*x), 0]]"),
    ("undefined", "statement.target", "sin(2*pi*x) + 0/x"),
    ("undefined", "statement.target", "log(x)"),
    ("undefined", "statement.target", "where(x < 1/3, sqrt(x - 1/2), 0)"),
    ("limit", "statement.target", "exp(exp(x + 100))"),
    ("leaf", "statement.target", "sin(2*pi*x) + x/10"),
    ("unsupported", A + "kind", "multi"),
    ("malformed", A + "kind", DELETE),
    ("malformed", A + "extra", 1),
    ("malformed", A + "input_shape", [1]),
    ("malformed", A + "input_shape", [0, 1]),
    ("malformed", A + "input_shape", [True, 1]),
    ("shape", A + "input_shape", [2, 1]),
    ("malformed", A + "linear", {}),
    ("malformed", A + "linear.0.extra", 1),
    ("shape", A + "linear.0.Q", {"shape": [1, 15], "rows": ["1"]}),
    ("shape", A + "linear.0.P", sparse(6, 1, (0, 0, "1"))),
    ("malformed", A + "R.shape", [5, "16"]),
    ("malformed", A + "R.shape", [5, 16, 1]),
    ("shape", A + "R.shape", [4, 16]),
    ("shape", A + "R.shape", [5, 17]),
    ("malformed", A + "R.entries", []),
    ("malformed", A + "R.rows", "0"),
    ("malformed", A + "R.rows.0", 0),
    ("malformed", A + "R.rows.0", "nan"),
    ("malformed", A + "R.rows.0", "inf"),
    ("malformed", A + "R.rows.0", "+1"),
    ("malformed", A + "R.rows.0", "1_0"),
    ("malformed", A + "R.rows.0", "1."),
    ("malformed", A + "R.rows.0", ".5"),
    ("malformed", A + "R.rows.0", "1/0"),
    ("malformed", A + "R.rows.0", "1/-2"),
    ("malformed", A + "R.rows.0", "0x1"),
    ("malformed", A + "R.rows.0", "0x1.p0"),
    ("malformed", A + "R.rows.0", "0X1p0"),
    ("malformed", A + "R.rows.0", "0x1p0\n"),
    ("malformed", A + "R.rows.0", "\u0661"),
    ("malformed", A + "R.rows.0", "\ud800"),
    ("malformed", A + "R.rows.0", ""),
    ("shape", A + "R.rows.0", ["0"] * 15),
    ("shape", A + "W_K", sparse(2, 6, (0, 1, "1"))),
    ("shape", A + "W_Q", sparse(1, 5, (0, 0, "1"))),
    ("shape", A + "W_V", sparse(1, 4, (0, 0, "1"))),
    ("shape", A + "W_V", sparse(2, 5, (0, 4, "1"))),
    ("shape", A + "W_V", sparse(1, 5, (0, 5, "1"))),
    ("malformed", A + "W_V", sparse(1, 5, (0, 4, "1"), (0, 4, "0"))),
    ("malformed", A + "W_V", sparse(1, 5, (0, -1, "1"))),
    ("shape", A + "W_O", sparse(15, 1, (0, 0, "1"))),
    ("shape", A + "W_O", sparse(16, 1)),
    ("shape", A + "W_O", sparse(16, 1, (0, 0, "2"))),
    ("shape", A + "W_O", sparse(16, 1, (0, 0, "1"), (3, 0, "1"))),
    ("shape", A + "W_O", sparse(16, 2, (0, 0, "1"))),
    ("leaf", A + "W_V", sparse(1, 5, (0, 4, "1"), (0, 0, "1"))),
    ("evidence", "evidence", None),
    ("malformed", "evidence", []),
    ("unsupported", "evidence.kind", "regions"),
    ("malformed", "evidence.kind", None),
    ("malformed", "evidence.extra", None),
    ("malformed", "evidence.bound", 0.24),
    ("claim", "evidence.bound", "0"),
    ("claim", "evidence.bound", "-1/4"),
    ("claim", "evidence.bound", "0.2500000000000000000000000000000000001"),
    ("leaf", "evidence.bound", "0.17"),
    ("leaf", "evidence.bound", "1e-40"),
    ("malformed", "evidence.precision", 31),
    ("malformed", "evidence.precision", "64"),
    ("malformed", "evidence.precision", True),
    ("limit", "evidence.precision", 100001),
    ("malformed", "evidence.silence", 0),
    ("limit", "evidence.silence", 100001),
    ("tree", "evidence.trees", []),
    ("tree", "evidence.trees", [TREE, TREE]),
    ("malformed", "evidence.trees", TREE),
    ("malformed", "evidence.trees", [1]),
    ("tree", "evidence.trees.0", ""),
    ("tree", "evidence.trees.0", TREE[:-1]),
    ("tree", "evidence.trees.0", TREE + "."),
    ("tree", "evidence.trees.0", "1" + TREE[1:]),
    ("tree", "evidence.trees.0", "z" + TREE[1:]),
    ("leaf", "evidence.trees.0", "A" + TREE[1:]),
    ("leaf", "evidence.trees.0", "Z"),
    ("leaf", "evidence.trees.0", "@"),
    ("leaf", "evidence.trees.0", ":"),
    ("tree", "evidence.trees.0", "#" + TREE[1:]),
    ("tree", "evidence.trees.0", "[" + TREE[1:]),
    ("tree", "evidence.trees.0", "+" + TREE[1:]),
    ("leaf", "evidence.trees.0", "-"),
    ("leaf", "evidence.trees.0", "-" + TREE[1:]),
    ("tree", "evidence.trees.0", "\ud800"),
    ("tree", "evidence.trees.0", "\u0660" + TREE[1:]),
    ("leaf", "evidence.trees.0", "."),
    ("leaf", "evidence.trees.0", uniform_tree(3)),
]


@pytest.mark.parametrize(("expected", "path", "value"), REJECTIONS)
def test_rejections(expected: str, path: str, value: Json) -> None:
    certificate = copy.deepcopy(GOOD)
    edit(path, copy.deepcopy(value))(certificate)
    if not path.startswith("statement_sha256"):
        seal = sealed(certificate["statement"], None)["statement_sha256"]
        certificate["statement_sha256"] = seal
    assert reason(certificate) == expected


def test_the_statement_is_sealed() -> None:
    for path, value in (("statement.claim.tolerance", "0.26"), ("statement.target", "sin( 2*pi*x)")):
        certificate = copy.deepcopy(GOOD)
        edit(path, value)(certificate)
        assert reason(certificate) == "digest"


REFUTATIONS: list[tuple[str, str, Json]] = [
    ("point", "evidence.point", ["0.28125"]),
    ("point", "evidence.point", ["1.0000000000000000000000000000000000001"]),
    ("point", "evidence.point", ["-1e-30"]),
    ("shape", "evidence.point", []),
    ("shape", "evidence.point", ["1/4", "1/4"]),
    ("malformed", "evidence.point", "1/4"),
    ("malformed", "evidence.point", [0]),
    ("shape", "evidence.entry", [1, 0]),
    ("shape", "evidence.entry", [0, 1]),
    ("malformed", "evidence.entry", [0, -1]),
    ("malformed", "evidence.entry", [0]),
    ("malformed", "evidence.entry", [False, 0]),
    ("malformed", "evidence.precision", 3),
    ("malformed", "evidence.extra", 3),
    ("undefined", "statement.target", "log(x - 1/4)"),
    ("point", "statement.claim.tolerance", "0.02"),
    ("claim", "statement.claim.tolerance", "0"),
]


@pytest.mark.parametrize(("expected", "path", "value"), REFUTATIONS)
def test_refutations_rejected(expected: str, path: str, value: Json) -> None:
    certificate = copy.deepcopy(refutation())
    edit(path, copy.deepcopy(value))(certificate)
    assert reason(sealed(certificate["statement"], certificate["evidence"])) == expected


def test_a_refutation_must_exceed_the_tolerance_strictly() -> None:
    """The error at every point is exactly 1/4."""
    head = uniform_head([(0.5,)], 1.0, [["1/2"]])
    evidence = {"kind": "counterexample", "point": ["0"], "entry": [0, 0], "precision": 64}
    assert reason(sealed(make_statement("1/4", UNIT, head, "1/4"), evidence)) == "point"
    assert check(sealed(make_statement("1/4", UNIT, head, "0.2499999999"), evidence)).verdict == "refuted"


@pytest.mark.parametrize(
    ("expected", "data"),
    [
        ("malformed", b""),
        ("malformed", b"\xff\xfe{}"),
        ("malformed", b"\xef\xbb\xbf{}"),
        ("malformed", b"{"),
        ("malformed", b"{}"),
        ("malformed", b"[]"),
        ("malformed", b"null"),
        ("malformed", b'{"format": NaN}'),
        ("malformed", b'{"format": -Infinity}'),
        ("malformed", b'{"format": 1.0}'),
        ("malformed", b'{"format": 1e3}'),
        ("malformed", b'{"format": "attncert/1", "format": "attncert/1"}'),
        ("limit", b'{"format": 1' + b"0" * 5000 + b"}"),
        ("limit", b"[" * 100_000),
        ("limit", b'{"a":' * 100_000),
        ("malformed", b"\x1f\x8b"),
        ("malformed", b"\x1f\x8bjunk"),
        ("malformed", gzip.compress(b"{}", mtime=0)[:-9]),
        ("malformed", gzip.compress(b"{}", mtime=0)[:-8] + b"12345678"),
        ("malformed", json.dumps(GOOD).encode() + b"{}"),
    ],
)
def test_documents_that_are_none(expected: str, data: bytes) -> None:
    assert reason(data) == expected


def test_every_truncation_is_rejected() -> None:
    data = json.dumps(GOOD).encode()
    packed = gzip.compress(data)
    for whole in (data, packed):
        for length in range(0, len(whole), 37):
            assert reason(whole[:length]) == "malformed"


def test_duplicate_keys_are_rejected_everywhere() -> None:
    for key in ("notes", "statement", "tolerance", "precision", "shape", "made by"):
        text = json.dumps(GOOD).replace(f'"{key}": ', f'"{key}": 0, "{key}": ', 1)
        assert reason(text.encode()) == "malformed"


LIMITS: list[tuple[dict[str, int], Json]] = [
    ({"document": 100}, GOOD),
    ({"number": 10}, GOOD),
    ({"exponent": 1}, GOOD),
    ({"size": 5000}, GOOD),
    ({"exact": 20}, GOOD),
    ({"side": 15}, GOOD),
    ({"target": 10}, GOOD),
    ({"precision": 63}, GOOD),
    ({"precision": 64}, sealed(sine_statement(), paving("0.24", TREE, silence=65))),
    ({"nodes": 10}, GOOD),
    ({"depth": 2}, GOOD),
]


@pytest.mark.parametrize(("limits", "certificate"), LIMITS)
def test_each_limit_is_a_limit(limits: dict[str, int], certificate: Json) -> None:
    assert reason(certificate, **limits) == "limit"


def test_hostile_documents_meet_limits() -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    assert reason(bomb, document=1_000_000) == "limit"
    cases = [
        (A + "R", {"shape": [10**9, 10**9], "entries": []}),
        (A + "R", {"shape": [2**65, 1], "entries": []}),
        (A + "W_K", {"shape": [10**6, 5], "entries": [[i, 0, "1"] for i in range(3)]}),
        (A + "R.rows.0", "1e60000"),
        (A + "R.rows.0", "0x1p-99999999999999999999"),
        (A + "R.rows.0", "1" * 30000),
        ("statement.target", "(" * 5000 + "x" + ")" * 5000),
        ("statement.target", "-" * 5000 + "x"),
        ("statement.target", "x**" * 5000 + "x"),
        ("statement.target", "where(" * 400 + "x"),
        ("statement.target", "x*" + "1" * 30000),
        ("statement.target", "9**9999*9**9999*" * 100 + "x"),
        ("statement.target", "((9**9999)**9999)*x"),
        ("statement.target", "x**1e300"),
        ("statement.target", "x**(1e300 + 0.5)"),
        ("statement.target", "exp(1e9*(x + 1))"),
        ("statement.target", "cosh(sinh(1000000*(x + 1)))"),
        ("statement.target", "x+" * 1_000_000 + "x"),
    ]
    for path, value in cases:
        certificate = copy.deepcopy(GOOD)
        edit(path, value)(certificate)
        expected = "shape" if path == A + "W_K" else "limit"
        assert reason(sealed(certificate["statement"], certificate["evidence"])) == expected, path


def test_an_endless_tree_meets_a_limit() -> None:
    assert reason(sealed(sine_statement(), paving("0.24", "0" * 20_000))) == "limit"


def leaves_of(value: Json, path: str = "") -> list[str]:
    """The paths of all values inside a document."""
    if isinstance(value, dict):
        children: list[tuple[Any, Json]] = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    else:
        return [path]
    inner = [leaf for key, child in children for leaf in leaves_of(child, f"{path}.{key}" if path else str(key))]
    return [*([path] if path else []), *inner]


JUNK: list[Json] = [
    None,
    True,
    0,
    -1,
    3,
    10**9,
    "",
    "0",
    "1",
    "-1/7",
    "x",
    "1e999",
    [],
    {},
    [[]],
    ["1"],
    {"shape": [1, 1]},
]


@pytest.mark.parametrize("seed", range(6))
def test_random_damage_is_rejected_or_harmless(seed: int) -> None:
    """Damage anywhere, sealed again: the kernel may only accept what still has all its leaves proved."""
    rnd = random.Random(seed)
    for original in (GOOD, refutation()):
        paths = leaves_of({key: value for key, value in original.items() if key != "notes"})
        for _ in range(60):
            certificate = copy.deepcopy(original)
            edit(rnd.choice(paths), copy.deepcopy(rnd.choice([*JUNK, DELETE])))(certificate)
            if "statement" in certificate:
                certificate["statement_sha256"] = sealed(certificate["statement"], None)["statement_sha256"]
            try:
                found = check(certificate)
            except kernel.Rejected as rejected:
                assert "internal error" not in rejected.detail, rejected.detail  # noqa: PT017
            else:
                assert found.obligations > 0


def test_random_bytes_are_rejected() -> None:
    rnd = random.Random(3)
    data = bytearray(json.dumps(GOOD).encode())
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(rnd.randrange(1, 4)):
            damaged[rnd.randrange(len(data))] = rnd.randrange(256)
        try:
            found = kernel.check_bytes(bytes(damaged))
        except kernel.Rejected as rejected:
            assert "internal error" not in rejected.detail, rejected.detail  # noqa: PT017
        else:  # the damage lies in the notes, or spells the same tree or bound
            assert found.statement_sha256 == GOOD["statement_sha256"]


# --- targets ---------------------------------------------------------------------------------------------------------


def value_of(
    text: str, *point: str, inputs: tuple[int, int] = (1, 1), exact: int = kernel.Limits.exact
) -> tuple[Fraction, Fraction]:
    """The enclosure of a scalar target at a point."""
    P, limits = 64, kernel.Limits(exact=exact)
    target = kernel.Target(text, {"X": inputs}, limits)
    evaluator = kernel.Evaluator(target, P, limits)
    ((low, high),) = evaluator.enclosures([kernel.enclose(Fraction(x), P) for x in point], target.outputs[0])
    return Fraction(low, 2**P), Fraction(high, 2**P)


@pytest.mark.parametrize(
    ("text", "x", "expected"),
    [
        ("-x**2", "3", -9),
        ("(-x)**2", "3", 9),
        ("2**-1", "0", Fraction(1, 2)),
        ("2**3**2", "0", 512),
        ("(2**3)**2", "0", 64),
        ("x**3**2", "2", 512),
        ("2**-2**2", "0", Fraction(1, 16)),
        ("-2**2", "0", -4),
        ("2*-x", "3", -6),
        ("x--1", "3", 4),
        ("x - -+-1", "3", 4 - 2),
        ("8/x/2", "4", 1),
        ("2-x-4", "3", -5),
        ("2 - 3*x + 4", "3", -3),
        ("-x*2", "3", -6),
        ("-x + 1", "3", -2),
        ("2*-x - 1", "3", -7),
        ("-x**2*-x + x", "3", 30),
        ("1/x*3", "4", Fraction(3, 4)),
        ("2*x**2*3", "2", 24),
        ("x**-2", "2", Fraction(1, 4)),
        ("x**(-2)", "-2", Fraction(1, 4)),
        ("x**(1-3)", "2", Fraction(1, 4)),
        ("x**(4/2)", "-3", 9),
        ("x**2.0", "-3", 9),
        ("x**0", "0", 1),
        ("0**0", "5", 1),
        ("x**(2**2)", "-2", 16),
        ("0**(1/2)", "0", 0),
        ("1.", "0", 1),
        (".5", "0", Fraction(1, 2)),
        ("1.e1", "0", 10),
        ("2.5E-1", "0", Fraction(1, 4)),
        ("1e2", "0", 100),
        (" 1\t+\n 2\r", "0", 3),
        ("X[0,0]*X [ 0 , 0 ]", "3", 9),
        ("x0 + x00", "3", 6),
        ("min(x, 2, 1)", "3", 1),
        ("max(x, 2)", "3", 3),
        ("abs(-x) + sign(x) + sign(0) + sign(-x)", "3", 3),
        ("floor(x/2) + floor(-x/2)", "3", -1),
        ("sqrt(4*x)", "9", 6),
        ("where(x < 1, 10, 20)", "1", 20),
        ("where(x <= 1, 10, 20)", "1", 10),
        ("where(x > 1, 10, 20)", "1", 20),
        ("where(x >= 1, 10, 20)", "1", 10),
        ("where(0 < x < 2, 10, 20)", "1", 10),
        ("where(0 < x < 2, 10, 20)", "3", 20),
        ("where(0 < x <= 1 < 5, 10, 20)", "1", 10),
        ("where(3 > x > 1, 10, 20)", "2", 10),
        ("where(3 > x > 1, 10, 20)", "1", 20),
        ("where(not x < 1, 10, 20)", "1", 10),
        ("where(not not x < 1, 10, 20)", "1", 20),
        ("where(not (x < 1 and x > 0), 10, 20)", "1/2", 20),
        ("where(not x < 1 and x < 3, 10, 20)", "5", 20),
        ("where(not x < 1 or x < 1, 10, 20)", "0", 10),
        ("where(x < 1 or x > 2 and x < 3, 10, 20)", "0", 10),
        ("where(x < 1 and x > 2 or x < 3, 10, 20)", "0", 10),
        ("where((x < 1 or x > 2) and x < 0, 10, 20)", "5", 20),
        ("where((x < 1), 10, 20)", "0", 10),
        ("where(((x < 1)), 10, 20)", "0", 10),
        ("where((x) < 1, 10, 20)", "0", 10),
        ("where(((x + 1)*2) < 1, 10, 20)", "0", 20),
        ("where((x + 1)*2 < 1 or (x < 1), 10, 20)", "0", 10),
        ("where(x < 1, where(x < 0, 1, 2), 3)", "1/2", 2),
        ("where(x > 0, log(x), 7)", "-1", 7),
        ("where(x > 0, 7, sqrt(x))", "1", 7),
        ("where(x > 0, 7, exp(1e30*x))", "1", 7),
        ("x**(20000-10000)", "1", 1),
        ("x**12345", "-1", -1),
    ],
)
def test_targets_with_exact_values(text: str, x: str, expected: Fraction | int) -> None:
    assert value_of(text, x) == (expected, expected)


@pytest.mark.parametrize("text", ["x**(20000-10000)", "x**12345", "2**20000 + x"])
def test_long_powers_meet_a_limit(text: str) -> None:
    low, high = value_of(text, "1")
    assert low == high >= 1
    with pytest.raises(kernel.Rejected) as rejected:
        value_of(text, "1", exact=1_000_000)
    assert rejected.value.reason == "limit"


@pytest.mark.parametrize(
    ("text", "x", "expected"),
    [
        ("pi", "0", mpmath.pi),
        ("e", "0", mpmath.e),
        ("-e + e1", "0", None),
        ("exp(1)", "0", mpmath.e),
        ("x**(1/2)", "2", mpmath.sqrt(2)),
        ("2**0.5", "0", mpmath.sqrt(2)),
        ("x**x", "3", 27),
        ("x**pi", "2", mpmath.mpf(2) ** mpmath.pi),
        ("sin(2*pi*x)", "1/8", mpmath.sqrt(0.5)),
        ("1/(1 + exp(-x)) - sigmoid(x)", "5/7", 0),
        ("tanh(x) - (exp(2*x) - 1)/(exp(2*x) + 1)", "5/7", 0),
        ("sinh(x)**2 - cosh(x)**2", "5/7", -1),
        ("tan(atan(x))", "5/7", mpmath.mpf(5) / 7),
        ("log(x*e**3)", "1", 3),
        ("erf(x)", "1/3", mpmath.erf(mpmath.mpf(1) / 3)),
    ],
)
def test_targets_with_real_values(text: str, x: str, expected: Any) -> None:
    if expected is None:
        with pytest.raises(kernel.Rejected, match="target"):
            value_of(text, x)
        return
    low, high = value_of(text, x)
    with mpmath.workdps(25):
        assert abs(mpmath.mpf(low.numerator) / low.denominator - expected) < 1e-15
    assert low <= high <= low + Fraction(1, 10**15)


NO_TARGETS = """
x+    *x    (x    x)    ()    x y    2x    x 2    2 3    x,x    x<1    (x<1)    not x<1    not x    x not
where(x,1,2)    where(x<1,1)    where(x<1,1,2,3)    where(x<1,x<1,2)    where(x<1 and x,1,2)    where()
where((x<1)<2,1,2)    where((x<1)+1<2,1,2)    where(x<,1,2)    where(<x,1,2)    where(x==1,1,2)
where(x=1,1,2)    where(not,1,2)    where(x<1 and,1,2)    where(x<1 not x<2,1,2)    where(1 < not x < 2,1,2)
and    x and x    sin()    sin(x,x)    sin x    sin    sin(x<1)    min(x)    min()    max(x,)    min(x<1,2)
foo(x)    pi()    e(1)    y    x_    x1a    xx    X    X[0]    X[0,0,0]    X[0.,0]    X[-1,0]    X[0,x]    X[,]
X(0,0)    K[0,0]    Q[0,0]    x**    **x    x***2    x** *2    x*/2    x**(x<1)    (x<1)**2    -(x<1)    1+(x<1)
(x<1)*2    +(x<1)    1__0    1_0    1e    1e+    0x10    1..2    1.2.3    ..    .    .e1    x%2    x^2    x|1
x&1    x!    x;    x=1    x//2    'x'    x.real    __import__('os')    lambda: x    x if x else x    [x    x]
[]    [[]]    [x,]    [x,[x]]    [[x],x]    [[x],[x,x]]    [x]+[x]    [[[x]]]    [x<1]    [x] x    (x,x)
"""


@pytest.mark.parametrize(
    "text", ["", " ", "x\xa0+1", "\xd7", "\u0661", "x\x00", "x\x0b", *re.split(r"\n|    ", NO_TARGETS.strip())]
)
def test_texts_that_are_no_targets(text: str) -> None:
    with pytest.raises(kernel.Rejected) as rejected:
        kernel.Target(text, {"X": (1, 1)}, kernel.Limits())
    assert rejected.value.reason == ("shape" if text in ("K[0,0]", "Q[0,0]") else "target")


@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        ("x1", (1, 1)),
        ("X[1,0]", (1, 1)),
        ("X[0,1]", (1, 1)),
        ("x", (2, 1)),
        ("x6", (2, 3)),
        ("X[2,0]", (2, 3)),
        ("X[0,3]", (2, 3)),
        ("x999999999", (2, 3)),
    ],
)
def test_variables_that_do_not_exist(text: str, inputs: tuple[int, int]) -> None:
    with pytest.raises(kernel.Rejected) as rejected:
        kernel.Target(text, {"X": inputs}, kernel.Limits())
    assert rejected.value.reason == "shape"


UNDEFINED = """
1/x    log(x)    x**-1    x**-0.5    tan(x + pi/2)    (x - 1)**0.5    (x - 1)**pi    x**x    (-8)**(1/3)    1/0
0**-1    0**x    x**(1/0)    where(1/x < 2, 1, 1)    where(x < 1 or log(x) < 1, 1, 1)    0*log(x)    (x-2)**(2**20000)
"""


@pytest.mark.parametrize("text", re.split(r"\n|    ", UNDEFINED.strip()))
def test_targets_that_are_undefined_at_zero(text: str) -> None:
    with pytest.raises(kernel.Rejected) as rejected:
        value_of(text, "0")
    assert rejected.value.reason == "undefined"


@pytest.mark.parametrize(
    ("text", "lo", "hi", "expected"),
    [
        ("x**2", -1, 1, (0, 1)),
        ("x*x", -1, 1, (-1, 1)),
        ("x**4", -2, 1, (0, 16)),
        ("x**3", -2, 1, (-8, 1)),
        ("x**-2", 1, 2, (Fraction(1, 4), 1)),
        ("abs(x)", -2, 1, (0, 2)),
        ("where(x < 0, -1, x)", -1, 2, (-1, 2)),
        ("where(x < 3, -1, x)", -1, 2, (-1, -1)),
        ("where(x < 0 or x > -5, 1, 2)", -1, 2, (1, 1)),
        ("where(x < 0 and x > 5, 1, 2)", -1, 2, (2, 2)),
        ("max(x, 0)", -1, 2, (0, 2)),
        ("sign(x)", -1, 2, (-1, 1)),
        ("floor(x)", -1, 2, (-1, 2)),
        ("cos(x)", -1, 100, (-1, 1)),
    ],
)
def test_ranges_over_intervals(text: str, lo: int, hi: int, expected: tuple[Fraction, Fraction]) -> None:
    target = kernel.Target(text, {"X": (1, 1)}, kernel.Limits())
    evaluator = kernel.Evaluator(target, 64, kernel.Limits())
    ((low, high),) = evaluator.enclosures([(lo << 64, hi << 64)], target.outputs[0])
    assert (Fraction(low, 2**64), Fraction(high, 2**64)) == expected


def test_equal_subexpressions_are_one_node() -> None:
    target = kernel.Target("[sin(2*pi*x), cos(2*pi*x), sin(2*pi*x)]", {"X": (1, 1)}, kernel.Limits())
    assert [node.op for node in target.nodes].count("sin") == 1
    assert [node.op for node in target.nodes].count("*") == 2
    assert target.outputs[0] == target.outputs[2]


# --- the file and the command ----------------------------------------------------------------------------------------


def test_main_says_one_line_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = {}
    documents = {"good": GOOD, "refuted": refutation(), "claim": sealed(sine_statement(), None)}
    for name, document in documents.items():
        paths[name] = str(tmp_path / f"{name}.json")
        Path(paths[name]).write_text(json.dumps(document))
    assert kernel.main([paths["good"]]) == 0
    assert capsys.readouterr().out.startswith(f"proved {paths['good']}: |sin(2*pi*x) - T| <= 0.25")
    assert kernel.main([paths["good"], paths["refuted"]]) == 1
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["proved", "refuted"]
    assert kernel.main([paths["claim"], paths["good"]]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"rejected {paths['claim']}: evidence: a claim without evidence"
    assert kernel.main([str(tmp_path / "missing.json"), paths["good"]]) == 2
    captured = capsys.readouterr()
    assert captured.out.startswith("proved")
    assert captured.err.startswith("unreadable")
    assert kernel.main([str(tmp_path)]) == 2


@pytest.mark.parametrize("argv", [[], ["--help"], ["--quiet"]])
def test_a_run_that_checks_nothing_fails(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert kernel.main(argv) == 2
    assert "usage" in capsys.readouterr().err


def test_the_file_runs_alone(tmp_path: Path) -> None:
    path = tmp_path / "odd \n name.json"
    path.write_bytes(gzip.compress(json.dumps(GOOD).encode()))
    command = [sys.executable, "-I", "-W", "error", str(KERNEL), str(path)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={}, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("proved ")
    assert run.stdout.count("\n") == 1


def test_the_kernel_needs_only_the_standard_library_and_integers() -> None:
    tree = ast.parse(KERNEL.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert all(alias.name in sys.stdlib_module_names for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert str(node.module).split(".")[0] in sys.stdlib_module_names
        elif isinstance(node, ast.Constant):
            assert not isinstance(node.value, float)
        elif isinstance(node, ast.Name):
            assert node.id not in ("float", "complex", "eval", "exec", "compile", "round")
        assert not isinstance(node, ast.Div)


def test_what_is_no_rejection_is_rejected_as_an_internal_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known that leads there; were there anything, it would neither be accepted nor end the command."""
    monkeypatch.setattr(kernel, "check_document", lambda *_: 1 // 0)
    with pytest.raises(kernel.Rejected, match="internal error: ZeroDivisionError") as caught:
        kernel.check_bytes(json.dumps(GOOD).encode())
    assert caught.value.reason == "malformed"
