"""The kernel on scores that are quadratic in the input: against exact arithmetic, and claims that are false."""

import random
from fractions import Fraction
from itertools import pairwise
from math import factorial, prod
from typing import Any

import mpmath
import pytest
from test_kernel import check, make_statement, paving, read, reason, sealed

from attncert.verifier import kernel

LIMITS = kernel.Limits()
Matrix = list[list[Fraction]]


def trained(rnd: random.Random, m: int, tokens: int, scale: int = 4, q: int = 0) -> Any:
    """A head whose keys, queries and values all see the input, in thirds so that everything is rounded."""

    def matrix(rows: int, columns: int, size: int) -> Any:
        numbers = [[str(Fraction(rnd.randint(-30, 30), 30) * size) for _ in range(columns)] for _ in range(rows)]
        return {"shape": [rows, columns], "rows": numbers}

    return {
        "kind": "self",
        "input_shape": [m, 1],
        "linear": [{"P": matrix(4, m, 1), "Q": matrix(1, tokens, 1)} for _ in range(2)],
        "R": matrix(4, tokens, 1),
        "W_K": matrix(3, 4, scale),
        "W_Q": matrix(3, 4, 1),
        "W_V": matrix(1, 4, 1),
        "W_O": {"shape": [tokens, 1], "entries": [[q, 0, "1"]]},
    }


def product(A: Matrix, B: Matrix) -> Matrix:
    return [
        [sum((a * b for a, b in zip(row, column, strict=True)), Fraction(0)) for column in zip(*B, strict=True)]
        for row in A
    ]


def rows_of(matrix: Any) -> Matrix:
    return [[Fraction(number) for number in row] for row in matrix["rows"]]


def written(head: Any, x: list[Fraction], q: int = 0) -> tuple[list[Fraction], list[Fraction]]:
    """Scores of column q and values at x, from the matrices as they are."""
    Z = rows_of(head["R"])
    for term in head["linear"]:
        part = product(product(rows_of(term["P"]), [[entry] for entry in x]), rows_of(term["Q"]))
        Z = [[a + b for a, b in zip(*rows, strict=True)] for rows in zip(Z, part, strict=True)]
    K, Q, V = [product(rows_of(head[name]), Z) for name in ("W_K", "W_Q", "W_V")]
    return [sum((k[i] * y[q] for k, y in zip(K, Q, strict=True)), Fraction(0)) for i in range(len(Z[0]))], V[0]


def reduced(head: Any, box: list[list[str]]) -> kernel.Statement:
    return read(make_statement("0", box, head, "100"))


def box_of(rnd: random.Random, m: int) -> list[list[str]]:
    return [
        [str(Fraction(a, 7)), str(Fraction(a + rnd.randint(1, 9), 7))] for a in (rnd.randint(-9, 4) for _ in range(m))
    ]


@pytest.mark.parametrize("seed", range(8))
def test_the_reduction_is_the_head_as_written(seed: int) -> None:
    rnd = random.Random(seed)
    m, tokens = rnd.randint(1, 4), rnd.randint(1, 5)
    q = rnd.randrange(tokens)
    head = trained(rnd, m, tokens, q=q)
    (found,) = reduced(head, box_of(rnd, m)).heads
    for _ in range(3):
        x = [Fraction(rnd.randint(-90, 90), 37) for _ in range(m)]
        assert (found.at(found.scores(0), x), found.at(found.values[0], x)) == written(head, x, q)


@pytest.mark.parametrize("seed", range(24))
def test_scores_lie_between_centres_and_radii(seed: int) -> None:
    """Everywhere on a box, for the differences of all tokens, exactly; and not much farther than they need to."""
    rnd = random.Random(seed)
    m, tokens, P = rnd.randint(1, 3), 5, 32
    head = trained(rnd, m, tokens)
    proof = kernel.Paving(reduced(head, box_of(rnd, m)), 0, P, 1000, Fraction(1))
    (part,), box = proof.parts, proof.root
    for _ in range(5):
        centres = part.active(box, part.all).centres
        points = [
            [Fraction(rnd.choice([lo, hi, rnd.randint(lo, hi)]), 2**P) for lo, hi, _, _ in box] for _ in range(12)
        ]
        scores = [written(head, x)[0] for x in points]
        for r in range(tokens):
            radii = part.radii(box, part.all, r)
            for i in range(tokens):
                middle, spread = centres[i] - centres[r], radii[i] + part.slack
                assert all(abs((s[i] - s[r]) * 2 ** (2 * P + 1) - middle) <= spread for s in scores)
        assert part.slack < 2 ** (P + 10)
        box = rnd.choice(proof.halves(box, "012"[rnd.randrange(m)], "here"))


@pytest.mark.parametrize("seed", range(24))
def test_the_expansion_of_the_weights_encloses_them(seed: int) -> None:
    """|w - p E| <= rest at points of the box, w the exponentials times the common factor that the expansion allows."""
    rnd = random.Random(seed)
    m, tokens, P, K = rnd.randint(1, 3), 4, 64, rnd.randint(1, 7)
    head = trained(rnd, m, tokens, scale=rnd.choice([1, 4]))
    statement = reduced(head, box_of(rnd, m))
    proof = kernel.Paving(statement, 0, P, 1000, Fraction(1))
    (part,), box = proof.parts, proof.root
    for n in range(rnd.randint(0, 5) * m):
        box = rnd.choice(proof.halves(box, str(n % m), "here"))
    models = kernel.Evaluator(statement.target, P, LIMITS, K, range(m))
    lists, rests = part.jets(models, part.active(box, part.all))
    with mpmath.workdps(60):
        for _ in range(10):
            u = [Fraction(rnd.choice([-64, 64, rnd.randint(-64, 64)]), 64) for _ in range(m)]
            x = [
                Fraction(lo + hi, 2 << P) + t * Fraction(hi - lo, 2 << P)
                for (lo, hi, _, _), t in zip(box, u, strict=True)
            ]
            scores = written(head, x)[0]
            polynomials = [Fraction(0)] * tokens
            for axes, numbers in zip(models.table.axes, lists, strict=True):
                share = prod((u[k] for k in axes), start=Fraction(1)) / prod(factorial(axes.count(k)) for k in {*axes})
                for i, number in enumerate(numbers):
                    polynomials[i] += share * Fraction(number, 1 << P * (len(axes) + 1))
            # a common factor exists if all the intervals for it meet
            low, high = mpmath.mpf(0), mpmath.inf
            for score, value, rest in zip(scores, polynomials, rests, strict=True):
                w = mpmath.exp(mpmath.mpf((score - scores[0]).numerator) / (score - scores[0]).denominator)
                ends = [
                    mpmath.mpf(end.numerator) / end.denominator / w
                    for end in (value - Fraction(rest, 1 << P), value + Fraction(rest, 1 << P))
                ]
                low, high = max(low, ends[0]), min(high, ends[1])
            assert low <= high


def test_the_rest_shrinks_with_the_order() -> None:
    rnd = random.Random(5)
    statement = reduced(trained(rnd, 2, 4, scale=1), [["0", "1/8"], ["0", "1/8"]])
    proof = kernel.Paving(statement, 0, 96, 1000, Fraction(1))
    (part,) = proof.parts
    active = part.active(proof.root, part.all)
    rests = [
        max(part.jets(kernel.Evaluator(statement.target, 96, LIMITS, K, range(2)), active)[1]) for K in range(1, 9)
    ]
    assert all(8 * after < before for before, after in pairwise(rests))


def bounded(head: Any, m: int) -> tuple[mpmath.mpf, Any]:
    """The largest |T| found on a lattice of [0, 1]^m, and the statement that 0 is within a bound of it."""
    most = mpmath.mpf(0)
    for place in range(9**m):
        x = [Fraction(place // 9**k % 9, 8) for k in range(m)]
        scores, values = written(head, x)
        weights = [mpmath.exp(mpmath.mpf(float(s - max(scores)))) for s in scores]
        T = mpmath.fdot(weights, [mpmath.mpf(float(v)) for v in values]) / sum(weights)
        most = max(most, abs(T))
    return most, make_statement("0", [["0", "1"]] * m, head, "100")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("mark", ".BD")
def test_false_claims_are_never_proved(seed: int, mark: str) -> None:
    """The bound is exceeded at a lattice point, by a millionth; a true one is proved by the same tree."""
    rnd = random.Random(seed)
    m = 1 + seed % 2
    most, statement = bounded(trained(rnd, m, 4, scale=1), m)
    for depth in (0, 2 * m, 4 * m):
        tree = mark
        for n in reversed(range(depth)):
            tree = f"{n % m}{tree}{tree}"
        below = mpmath.nstr(most * (1 - mpmath.mpf("1e-6")), 20)
        assert reason(sealed(statement, paving(below, tree, precision=rnd.choice([32, 96])))) == "leaf"
    above = mpmath.nstr(2 * most + 1, 5)
    assert check(sealed(statement, paving(above, tree, precision=96))).verdict == "proved"
