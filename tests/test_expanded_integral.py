"""Taylor leaves of integrals: the kernel and the search against exact means of polynomials, Arb, and quadrature."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from itertools import product
from typing import Any

import flint
import mpmath
import numpy as np
import pytest
from balls import exact_entry, exact_weights, fraction, rational, values_of
from flint import arb, fmpq
from heads import Number, bytes_of, grid_statement, json_of, kernel_says, statement_of

from attncert import Certificate, bound
from attncert.certificates.claim import LpError
from attncert.certificates.domain import Box
from attncert.certificates.evaluate import evaluate_float
from attncert.certificates.evidence import Integral
from attncert.certificates.matrix import row_entry
from attncert.certificates.statement import Statement
from attncert.certificates.taylor import Model, multi_indices
from attncert.verifier import kernel
from attncert.verifier.boxes import Block, select
from attncert.verifier.integral import EXPANDED, IntegralSearch
from attncert.verifier.jensen import power_mean
from attncert.verifier.outcome import columns_of
from attncert.verifier.prove import verify
from attncert.verifier.reduction import ReducedHead, reduce_general, reduce_head

POWERS = [Fraction(p) for p in ("1", "2", "3", "4", "5/2", "7")]
WHOLE = [Fraction(p) for p in (1, 2, 3, 4, 7)]
SIDES = [("0", "1"), ("1/3", "2/3"), ("-1/7", "3/10"), ("-1", "1"), ("99.9", "100.1"), ("0", "1e-3")]
LIMITS = kernel.Limits()
Poly = dict[tuple[int, ...], Fraction]
"""Coefficients by exponents."""


@pytest.fixture(autouse=True)
def arb_precision() -> Iterator[None]:
    old = flint.ctx.prec
    flint.ctx.prec = 300
    yield
    flint.ctx.prec = old


def lp_statement(
    target: str,
    domain: str,
    keys: Sequence[Sequence[Number]],
    biases: Sequence[Number],
    values: Sequence[Sequence[Number]],
    p: Fraction,
    conditions: Sequence[str] = (),
    tolerance: Number = 1,
) -> Statement:
    statement = statement_of(target, domain, keys, biases, values, 1, None, conditions)
    return in_norm(statement, p, tolerance)


def in_norm(statement: Statement, p: Fraction, tolerance: Number = 1) -> Statement:
    return replace(statement, claim=LpError(tolerance=Fraction(tolerance), power=p), spelling=None)


# ---------------------------------------------------------------------------------------------------------------------
# Polynomials, exactly


def times(a: Poly, b: Poly) -> Poly:
    result: Poly = {}
    for (x, c), (y, d) in product(a.items(), b.items()):
        z = tuple(i + j for i, j in zip(x, y, strict=True))
        result[z] = result.get(z, Fraction(0)) + c * d
    return result


def plus(a: Poly, number: Fraction) -> Poly:
    zero = (0,) * len(next(iter(a)))
    return {**a, zero: a.get(zero, Fraction(0)) + number}


def power(a: Poly, n: int) -> Poly:
    result: Poly = {(0,) * len(next(iter(a))): Fraction(1)}
    for _ in range(n):
        result = times(result, a)
    return result


def mean(a: Poly, sides: Sequence[tuple[Fraction, Fraction]]) -> Fraction:
    """The mean over a box."""
    total = Fraction(0)
    for exponents, c in a.items():
        for (lo, hi), n in zip(sides, exponents, strict=True):
            c *= (hi ** (n + 1) - lo ** (n + 1)) / ((n + 1) * (hi - lo))
        total += c
    return total


def reach(a: Poly) -> Fraction:
    """The sum of the absolute coefficients, but the constant one."""
    return sum((abs(c) for exponents, c in a.items() if any(exponents)), Fraction(0))


def random_poly(rnd: random.Random, m: int, K: int, size: int, clear: bool) -> Poly:
    """Integers up to a size, often of a low degree; where `clear`, the constant outweighs all others."""
    shape, K = rnd.choice(["all", "even", "few"]), rnd.choice([K, rnd.randint(1, K), 1])
    result: Poly = {}
    for each in multi_indices(m, K):
        if not any(each):
            continue
        if (shape == "even" and any(n % 2 for n in each)) or (shape == "few" and rnd.random() < 0.6):
            continue
        result[each] = Fraction(rnd.randint(-size, size))
    zero = (0,) * m
    result[zero] = Fraction(rnd.randint(-size, size))
    if clear:
        result[zero] = rnd.choice([-1, 1]) * (reach(result) * rnd.choice([1, 2, 200]) + rnd.randint(size // 4, size))
    return result


# ---------------------------------------------------------------------------------------------------------------------
# The kernel, told what the error is


class Told(kernel.Leaf):
    """The head does not matter: f - T' = N is given, in units of 2^-P, with D = 1."""

    poly: Poly
    rest: int

    def fraction(self, row: int, f: Any) -> Any:
        models, m = self.models, len(self.models.free)
        coefs = [int(self.poly.get(tuple(each.count(k) for k in range(m)), 0)) for each in models.table.axes]
        return models.number(1), models.bounded(coefs, self.rest)


def told_bounds(
    walk: kernel.Integral, box: kernel.Box, mark: str, poly: Poly, rest: int, kind: type[Told] = Told, active: int = 3
) -> tuple[int, int]:
    """What the kernel makes of a leaf with some active tokens, in units of 2^-F."""
    (part,) = walk.parts
    tokens = [numbers[:active] for numbers in part.all]
    leaf = kind(walk, mark, box, [kernel.Active(box, tokens, tokens[1], [0] * active)])
    leaf.poly, leaf.rest = poly, rest
    return walk.expanded(leaf, 0, leaf.models.value(walk.outputs[0]))


def told(
    rnd: random.Random, m: int, p: Fraction, P: int, silence: int, tokens: int = 3
) -> tuple[kernel.Integral, kernel.Box, list[tuple[Fraction, Fraction]]]:
    """A walk, a box of it, and where that lies in its outward box, which is [-1, 1]^m."""
    sides = [rnd.choice(SIDES) for _ in range(m)]
    domain = "x".join(f"[{lo},{hi}]" for lo, hi in sides)
    statement = lp_statement("0", domain, [[0] * tokens] * m, [0] * tokens, [[0] * tokens], p)
    walk = walk_of(statement, P, silence)
    box = walk.root
    for _ in range(rnd.choice([0, 1, 3, 6, 10])):
        box = walk.halves(box, str(rnd.randrange(m)), "here")[rnd.randrange(2)]
    inner = []
    for (start, stop), (lo, hi, index, level) in zip(walk.statement.box, box, strict=True):
        width = (stop - start) / 2**level
        centre, radius = Fraction(lo + hi, 2 << P), Fraction(hi - lo, 2 << P)
        a, b = start + width * index, start + width * (index + 1)
        inner.append(((a - centre) / radius, (b - centre) / radius))
    assert all(-1 <= a < b <= 1 for a, b in inner)
    return walk, box, inner


@pytest.mark.parametrize("m", [1, 2, 3])
@pytest.mark.parametrize("p", WHOLE, ids=str)
def test_the_kernel_bounds_the_mean_of_every_error_that_a_model_allows(p: Fraction, m: int) -> None:
    """All that is allowed: N and any constant up to the remainder, what values were rounded by, and the silent."""
    rnd = random.Random(f"told {p} {m}")
    positive = close = 0
    for _ in range(60 if m == 1 else 20 if p < 4 else 10):
        K = rnd.randint(1, {1: 8, 2: 5, 3: 3}[m] if p < 7 else 9 - 3 * m + m // 3)
        P, silence = rnd.choice([8, 12, 20, 40, 64]), rnd.choice([1, 2, 3, 8, 20])
        walk, box, inner = told(rnd, m, p, P, silence)
        size = rnd.choice([3, 50, 1 << P, 1 << P + 6])
        poly = random_poly(rnd, m, K, size, clear=bool(p % 2) or rnd.random() < 0.6)
        rest, moved, span = (
            rnd.choice([0, 0, 2, size // 16]),
            rnd.choice([0, 1, size // 16]),
            rnd.choice([0, size // 4]),
        )
        walk.parts[0].values, walk.parts[0].spreads = [([0, 0, 0], {}, moved)], [span]
        active = rnd.choice([1, 2, 3])
        slip = rest + moved + Fraction((3 - active) * span, 2**silence)
        mark = kernel.ORDERS[K - 1]
        zero = (0,) * m
        if p % 2 and abs(poly[zero]) < reach(poly) + slip + 3:
            poly = plus(poly, Fraction((1 if poly[zero] > 0 else -1) * math.ceil(slip + 3)))
        below, above = told_bounds(walk, box, mark, poly, rest, active=active)
        unit, whole = Fraction(1, 2**P), Fraction(1, 2**walk.F)
        sign = -1 if p % 2 and poly[zero] < 0 else 1
        for s in (-1, 0, 1):
            error = {each: sign * c * unit for each, c in plus(poly, s * slip).items()}
            true = mean(power(error, int(p)), inner)
            assert below * whole <= true <= above * whole, (s, K, P, silence)
        positive += below > 0
        close += above <= below * Fraction(11, 10) + (1 << walk.F - P)
    assert positive >= 2
    assert close >= 1


def test_the_kernel_bounds_the_mean_of_a_fractional_power() -> None:
    rnd = random.Random("told 5/2")
    positive = 0
    for _ in range(24):
        K, P, silence = rnd.randint(1, 8), rnd.choice([10, 20, 40, 64]), rnd.choice([1, 3, 20])
        p = rnd.choice([Fraction(5, 2), Fraction(3, 2), Fraction(17, 7)])
        walk, box, inner = told(rnd, 1, p, P, silence)
        size = rnd.choice([50, 1 << P, 1 << P + 6])
        poly = random_poly(rnd, 1, K, size, clear=True)
        rest, moved, span = rnd.choice([0, 2, size // 16]), rnd.choice([0, 1, size // 16]), rnd.choice([0, size])
        walk.parts[0].values, walk.parts[0].spreads = [([0, 0, 0], {}, moved)], [span]
        slip = rest + moved + Fraction(span, 2**silence)
        sign = -1 if poly[0,] < 0 else 1
        poly = plus(poly, Fraction(sign * math.ceil(slip + 3)))
        below, above = told_bounds(walk, box, kernel.ORDERS[K - 1], poly, rest, active=2)
        with mpmath.workdps(40):
            for s in (-1, 0, 1):
                numbers = [poly.get((n,), Fraction(0)) for n in range(9)]
                coefs = [mpf(sign * (c + (s * slip if n == 0 else 0)) / 2**P) for n, c in enumerate(numbers)]
                true = mean_of_power(coefs, mpf(p), *map(mpf, inner[0]))
                unit = mpmath.mpf(2) ** -walk.F
                assert below * unit <= true * (1 + mpmath.mpf("1e-15"))
                assert true * (1 - mpmath.mpf("1e-15")) <= above * unit
        positive += below > 0
    assert positive >= 6


def mean_of_power(coefs: Sequence[mpmath.mpf], p: mpmath.mpf, a: mpmath.mpf, b: mpmath.mpf) -> mpmath.mpf:
    return mpmath.quad(lambda u: sum(c * u**n for n, c in enumerate(coefs)) ** p, [a, b]) / (b - a)


def mpf(x: Fraction) -> mpmath.mpf:
    return mpmath.mpf(x.numerator) / x.denominator


@pytest.mark.parametrize("p", ["1", "3", "5/2"])
def test_an_error_that_may_change_its_sign_has_a_size(p: str) -> None:
    """For a whole p the mean lies between 0 and size^p, and below that if the sign is known; else it is refused."""
    rnd = random.Random(f"sign {p}")
    for constant, rest, is_open in ((11, 0, False), (-11, 0, False), (10, 1, True), (0, 0, True), (-10, 3, True)):
        walk, box, _ = told(rnd, 1, Fraction(p), 40, 20)
        poly = {(0,): Fraction(constant << 30), (1,): Fraction(10 << 30)}
        if is_open and p == "5/2":
            with pytest.raises(kernel.Rejected):
                told_bounds(walk, box, "C", poly, rest)
            continue
        below, above = told_bounds(walk, box, "C", poly, rest)
        assert 0 <= below < above
        if is_open:
            size = Fraction((abs(constant) + 10 << 30) + rest + 1, 1 << 40)
            assert below == 0
            assert size ** int(p) <= Fraction(above, 1 << 80) * (1 + Fraction(1, 10**6))
            assert Fraction(above, 1 << 80) <= size ** int(p) * 5 + Fraction(1, 1 << 30)
    walk, box, _ = told(rnd, 1, Fraction(2), 40, 20)
    below, above = told_bounds(walk, box, "C", {(0,): Fraction(0), (1,): Fraction(1 << 40)}, 0)
    assert (1 << 80) * Fraction(33, 100) < below <= above < (1 << 80) * Fraction(34, 100)


@pytest.mark.parametrize("p", [1, 3, 7])
def test_an_error_that_touches_0_has_a_sign(p: int) -> None:
    """N = -1 + u and 1 - u: the mean of (1 - u)^p is 2^p / (p + 1)."""
    rnd = random.Random(f"touch {p}")
    for sign in (1, -1):
        walk, box, inner = told(rnd, 1, Fraction(p), 40, 20)
        poly = {(0,): Fraction(sign << 40), (1,): Fraction(-sign << 40)}
        below, above = told_bounds(walk, box, "G", poly, 0)
        true = mean(power({(0,): Fraction(1), (1,): Fraction(-1)}, p), inner)
        assert below <= true * 2**80 <= above
        assert above < true * 2**80 * Fraction(101, 100)


def test_a_denominator_that_touches_0_is_refused() -> None:
    class Vanishing(Told):
        def fraction(self, row: int, f: Any) -> Any:
            _, N = super().fraction(row, f)
            one = 1 << self.models.P
            return self.models.bounded([one, one], 0), N

    walk, box, _ = told(random.Random(1), 1, Fraction(2), 40, 20)
    poly = {(0,): Fraction(1 << 40)}
    assert told_bounds(walk, box, "A", poly, 0)[0] > 0
    with pytest.raises(kernel.Rejected, match="too large for an expansion"):
        told_bounds(walk, box, "A", poly, 0, Vanishing)


def test_sums_are_rounded_outward_on_boxes_below_the_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """2^-21 of the volume, in units of 2^-16: one unit above, and nothing below."""

    class One(Told):
        poly, rest = {(0, 0, 0): Fraction(1 << 8)}, 0

    statement = lp_statement("0", "[0,1]^3", [[0] * 3] * 3, [0] * 3, [[0] * 3], Fraction(2))
    walk = walk_of(statement, 8, 20)
    box = walk.root
    for step in range(21):
        box = walk.halves(box, str(step % 3), "here")[1]
    below, above = told_bounds(walk, box, "A", One.poly, One.rest)
    assert 0 < below <= 1 << 16 <= above < 1 << 17
    monkeypatch.setattr(kernel, "Leaf", One)
    walk.rule("A", box, walk.active(box, walk.all))
    assert walk.sums == [0, 1]


def test_an_expansion_needs_a_denominator_that_stays_positive() -> None:
    statement = lp_statement("0", "[0,1]", [[0, 1, 7]], [0, 0, -3], [[0, 1, 2]], Fraction(2))
    walk = walk_of(statement, 64, 40)
    leaf = kernel.Leaf(walk, "A", walk.root, walk.active(walk.root, walk.all))
    with pytest.raises(kernel.Rejected, match="too large for an expansion"):
        walk.expanded(leaf, 0, leaf.models.value(walk.outputs[0]))


# ---------------------------------------------------------------------------------------------------------------------
# Random heads, against Arb


def walk_of(statement: Statement, P: int, silence: int) -> kernel.Integral:
    assert isinstance(statement.claim, LpError)
    read = kernel.Statement(json_of(statement, None)["statement"], kernel.Reader(LIMITS))
    return kernel.Integral(read, 0, P, silence, statement.claim.power)


@lru_cache(maxsize=16)
def gauss(n: int) -> list[tuple[fmpq, arb]]:
    """Nodes in [-1, 1], rounded to rationals, and weights of the rule of Gauss."""
    pairs = [arb.legendre_p_root(n, k, weight=True) for k in range(n)]
    return [(fmpq(*rounded(node)), weight) for node, weight in pairs]


def rounded(x: arb) -> tuple[int, int]:
    return int((x.mid() * arb(2) ** 200).floor().unique_fmpz()), 1 << 200


Sides = Sequence[tuple[Fraction, Fraction]]


def mean_error(statement: Statement, heads: Sequence[ReducedHead], sides: Sides, n: int) -> list[arb]:
    """For each entry of the first column the mean of |f - T|^p over a box, by Gauss's rule with n points an axis."""
    assert isinstance(statement.claim, LpError)
    p, head = statement.claim.power, heads[0]
    tokens = range(head.tokens)
    totals = [arb(0) for _ in head.values]
    for nodes in product(gauss(n), repeat=len(sides)):
        weight, x = arb(1), []
        for (node, w), (lo, hi) in zip(nodes, sides, strict=True):
            weight *= w / 2
            x.append(rational((lo + hi) / 2) + rational((hi - lo) / 2) * node)
        weights = exact_weights(head, tokens, x)
        for r, value in enumerate(values_of(statement.target, x)):
            error = abs(value - exact_entry(head, r, tokens, weights))
            size = error ** int(p) if p.denominator == 1 else (error.log() * arb(rational(p))).exp()
            totals[r] += weight * size
    return totals


TARGETS: dict[int, list[str]] = {
    1: ["sin(2*x)", "exp(-x)*cos(3*x)", "atan(2*x - 1)", "x**3 - x/2", "sqrt(2 + x)", "1/(3 + sin(4*x))", "tanh(x)"],
    2: ["sin(x0)*x1", "exp(-(x0**2 + x1**2)/2)", "x0*x1 - 1/5", "cos(x0 + 2*x1)", "[x0 - x1, x0*x1 + 3]"],
    3: ["x0*x1 - x2", "sin(x0 + x1)*x2", "exp(x0 - x1)/(2 + x2**2)"],
}
DOMAINS = [("1/3", "2/3"), ("0", "1"), ("-1/7", "3/10"), ("-1", "1"), ("1/10", "1/5")]


def random_head(
    rnd: random.Random, m: int, p: Fraction, beta: float, size: Fraction, conditions: Sequence[str] = ()
) -> Statement:
    """A random target and head in units of a size; some tokens are far below all others."""
    n = rnd.randint(1, 5)
    domain = "x".join("[{},{}]".format(*rnd.choice(DOMAINS)) for _ in range(m))
    target = rnd.choice(TARGETS[m])
    outputs = target.count(",") + 1
    lift = rnd.choice([0, 0, 4])
    parts = target.strip("[]").split(",")
    text = ", ".join(f"{size}*({part} + {lift})" for part in parts)
    keys = [[Fraction(rnd.gauss(0, beta)) / 3 for _ in range(n)] for _ in range(m)]
    biases = [Fraction(rnd.gauss(0, 1)) / 3 - rnd.choice([0, 0, 0, 3, 8, 30]) for _ in range(n)]
    values = [[Fraction(rnd.gauss(0, 1)) / 3 * size for _ in range(n)] for _ in range(outputs)]
    return lp_statement(f"[{text}]" if outputs > 1 else text, domain, keys, biases, values, p, conditions)


def sides_of(box: kernel.Box, domain: Box) -> list[tuple[Fraction, Fraction]]:
    """A box exactly, by its place."""
    result = []
    for (_, _, index, level), (start, stop) in zip(box, domain.sides, strict=True):
        width = (stop - start) / 2**level
        result.append((start + width * index, start + width * (index + 1)))
    return result


@pytest.mark.parametrize("seed", range(60))
def test_the_kernel_bounds_the_integrals_of_random_heads(seed: int) -> None:
    kernel_against_arb(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60, 600))
def test_the_kernel_bounds_the_integrals_of_more_random_heads(seed: int) -> None:
    kernel_against_arb(seed)


def kernel_against_arb(seed: int) -> None:
    rnd = random.Random(f"kernel {seed}")
    m, p = rnd.choice([1, 1, 2, 2, 3]), POWERS[seed % len(POWERS)]
    size = Fraction(10) ** rnd.choice([0, 0, 0, -3, 4, 20])
    statement = random_head(rnd, m, p, rnd.choice([0.1, 1, 4]), size)
    silence = rnd.choice([2, 5, 10, 40])
    bits = math.ceil(max(0, -math.log2(size)) * float(p)) + rnd.choice([16, 24, 40, 64, 120])
    walk = walk_of(statement, bits, silence)
    heads = reduce_head(statement.attention)
    for _ in range(3 if m < 3 else 1):
        box, tokens = walk.root, walk.all
        for _ in range(rnd.choice([m, 2 * m, 4 * m, 10 * m])):
            tokens = [active.tokens for active in walk.active(box, tokens)]
            box = walk.halves(box, str(rnd.randrange(m)), "here")[rnd.randrange(2)]
        mark = kernel.ORDERS[rnd.randint(1, {1: 8, 2: 5, 3: 3}[m]) - 1]
        try:
            leaf = kernel.Leaf(walk, mark, box, walk.active(box, tokens))
            bounds = [walk.expanded(leaf, row, leaf.models.value(output)) for row, output in enumerate(walk.outputs)]
        except kernel.Rejected:
            continue
        sides = sides_of(box, statement.domain)
        n = {1: 24, 2: 10, 3: 6}[m]
        true, rough = [mean_error(statement, heads, sides, k) for k in (n, n - 2)]
        for (below, above), a, b in zip(bounds, true, rough, strict=True):
            slip = 4 * abs(a - b)
            if not slip < a * arb("1e-6"):  # the rule is too rough
                continue
            unit = arb(2) ** -walk.F
            assert not below * unit > a + slip
            assert not above * unit < a - slip


def test_nothing_is_known_to_lie_inside_where_a_condition_cuts_the_box() -> None:
    head = ([[0, 1], [1, 0]], [0, 0], [["1/3", 2]])
    cuts = ["x0 + x1 <= 3/2"]
    statement = lp_statement("x0*x1 + 4", "[0,1]^2", *head, Fraction(2), cuts)
    whole = lp_statement("x0*x1 + 4", "[0,1]^2", *head, Fraction(2))
    both = [walk_of(each, 64, 40) for each in (statement, whole)]
    for walk in both:
        assert walk.check("01DD1DD") == 4
    assert 0 < both[0].sums[0] < both[1].sums[0]
    assert both[0].sums[1] == both[1].sums[1]
    one = [walk_of(each, 64, 40) for each in (statement, whole)]
    for walk in one:
        walk.check("D")
    assert one[0].sums[0] == 0 < one[1].sums[0]
    with pytest.raises(kernel.Rejected):
        walk_of(statement, 64, 40).check("-")
    cut_box, uncut = [search_of(each, 1.0, 40) for each in (statement, whole)]
    assert cut_box.leaves.kind.tolist() == uncut.leaves.kind.tolist() == [EXPANDED]
    assert cut_box.lower == 0 < uncut.lower


# ---------------------------------------------------------------------------------------------------------------------
# The search in float64


@pytest.mark.parametrize("m", [1, 2, 3])
@pytest.mark.parametrize("p", WHOLE, ids=str)
def test_the_mean_of_a_power_holds_for_every_error_that_a_model_allows(p: Fraction, m: int) -> None:
    rnd = random.Random(f"mean {p} {m}")
    close = 0
    for _ in range(40 if m == 1 else 12):
        K = rnd.randint(1, {1: 8, 2: 4, 3: 3}[m] if p < 7 else 3)
        unit = 2.0 ** rnd.choice([0, 0, 30, -30, -90])
        poly = random_poly(rnd, m, K, 1 << 20, clear=bool(p % 2) or rnd.random() < 0.6)
        rest = rnd.choice([0.0, 0.0, 1000.0])
        zero = (0,) * m
        poly = plus(poly, Fraction((1 if poly[zero] > 0 else -1) * 2000))
        indices = multi_indices(m, K)
        coefficients = np.array([[float(poly.get(each, 0)) * unit] for each in indices])
        low, high = power_mean(Model(coefficients, np.array([rest * unit]), m, K, K), p)
        sign = -1 if p % 2 and poly[zero] < 0 else 1
        for s in (-1, 0, 1):
            shifted = plus(poly, s * Fraction(rest))
            error = {each: sign * c * Fraction(unit) for each, c in shifted.items()}
            true = mean(power(error, int(p)), [(Fraction(-1), Fraction(1))] * m)
            assert Fraction(low[0]) <= true <= Fraction(high[0])
        close += high[0] <= 1.01 * low[0]
    assert close >= 1


ALMOST_TWO = 2 + Fraction(1, 2**60)


@pytest.mark.parametrize("p", [Fraction(1), Fraction(3), Fraction(5, 2), ALMOST_TWO], ids=float)
def test_the_mean_of_an_odd_power_where_the_sign_is_open(p: Fraction) -> None:
    """Between 0 and the power of the size for a whole power; else there is none."""
    whole = p.denominator == 1
    coefficients = np.array([[10.0, -10.0, 11.0, 9.0, 0.0], [9.0, 9.0, 9.0, 9.0, 1.0]])
    low, high = power_mean(Model(coefficients, np.array([0.5, 0.5, 0.5, 0.5, 0.0]), 1, 4, 1), p)
    assert np.isfinite(low).tolist() == np.isfinite(high).tolist() == [True, True, True, whole, whole]
    assert not whole or (low[3] <= 0 and 18.5 ** float(p) <= high[3] <= 18.6 ** float(p))
    low, high = power_mean(Model(coefficients, np.array([0.5, 0.5, 0.5, 0.5, math.nan]), 1, 4, 1), p)
    assert np.isfinite(high).tolist() == [True, True, True, whole, False]


class Recording(IntegralSearch):
    """Keeps what the expansion says of each box, better than the enclosures or not."""

    def _expanded(self, block: Block, live: Any, *rest: Any) -> Any:
        lower, upper = super()._expanded(block, live, *rest)
        self.record = (live, lower, upper)
        return lower, upper


def search_of(statement: Statement, scale: float, silence: int) -> Recording:
    (column,) = columns_of(statement)
    assert isinstance(statement.claim, LpError)
    return Recording(
        statement.target,
        column.entries,
        column.head,
        statement.domain,
        power=statement.claim.power,
        scale=scale,
        silence=silence,
        conditions=statement.conditions,
    )


def search_against_arb(seed: int) -> tuple[int, int]:
    """Go down to random boxes; return how many were expanded, and how many closely."""
    rnd = random.Random(f"search {seed}")
    m, p = rnd.choice([1, 1, 2, 2, 3]), POWERS[seed % len(POWERS)]
    size = Fraction(10) ** rnd.choice([0, 0, 0, -3, 4, 20, -20])
    statement = random_head(rnd, m, p, rnd.choice([0.1, 1, 4, 30]), size)
    heads, made, close = reduce_head(statement.attention), 0, 0
    scale = float(size) * rnd.choice([1.0, 0.37, 100.0])
    search = search_of(statement, scale, rnd.choice([2, 5, 10, 40]))
    search.order = rnd.choice([search.order, rnd.randint(1, {1: 8, 2: 5, 3: 4}[m])])
    levels = rnd.choice([2 * m, 4 * m, 10 * m, 44 * m])
    block = search.root()
    for step in range(levels):
        split = np.array([step % m], np.int8)
        block = search._bounded(block).block
        block = select(search.children(block, split, search.tree), np.array([rnd.randrange(2)]))
        if step < levels - 4:
            continue
        search.record = np.zeros(0), np.zeros(0), np.zeros(0)
        leaves = search._bounded(block)
        _, lower, upper = search.record
        sides = [
            (lo + (hi - lo) * Fraction(int(i), 2 ** int(n)), lo + (hi - lo) * Fraction(int(i) + 1, 2 ** int(n)))
            for (lo, hi), i, n in zip(statement.domain.sides, block.index[0], block.level[0], strict=True)
        ]
        n = {1: 24, 2: 10, 3: 6}[m]
        a, b = [sum(mean_error(statement, heads, sides, k), arb(0)) for k in (n, n - 2)]
        slip = 4 * abs(a - b)
        if not slip < a * arb("1e-6"):
            continue
        unit = arb(1)
        for lo, hi in sides:
            unit *= rational(hi - lo)
        unit /= (
            arb(fraction(scale)) ** int(p) if p.denominator == 1 else (arb(fraction(scale)).log() * rational(p)).exp()
        )
        a, slip = a * unit, slip * unit
        for low, high in [(lower, upper), (leaves.lower, leaves.upper)]:
            for x in low.tolist():
                assert not arb(x) > a + slip
            for x in high.tolist():
                assert not arb(x) < a - slip
        made += int(np.isfinite(upper).sum())
        close += int((upper <= 1.001 * lower).sum())
    return made, close


@pytest.mark.parametrize("level", [24, 30, 34])
def test_the_search_pays_for_boxes_that_float64_widens(level: int) -> None:
    """Beside x = 100 a box of the side [99.9, 100.1] is wider in float64 by up to a tenth."""
    scale, wide = 2**level * 5, 0
    for text, p, mean_of in (
        (f"(x - 100)*{scale}", 2, Fraction(1, 3)),
        (f"2 - ((x - 100)*{scale})**2", 1, Fraction(5, 3)),
        (f"((x - 100)*{scale})**2 - 2", 1, Fraction(5, 3)),
    ):
        search = search_of(lp_statement(text, "[99.9,100.1]", [[0]], [0], [[0]], Fraction(p)), 1.0, 40)
        for upper in (False, True):
            index = 2 ** (level - 1) - (not upper)
            block = replace(search.root(), index=np.array([[index]]), level=np.array([[level]]))
            lo, hi = search.grid.ends(block)
            search.record = np.zeros(0), np.zeros(0), np.zeros(0)
            search._bounded(block)
            _, least, most = search.record
            width = Fraction(1, 5 * 2**level)
            true = float(width * mean_of)
            assert 0 < least[0] <= true * (1 + 1e-14)
            assert true * (1 - 1e-14) <= most[0]
            wide += float(hi[0, 0] - lo[0, 0]) > float(width) * (1 + 1e-6)
    assert wide == 6


def test_the_search_pays_for_values_that_float64_rounds() -> None:
    for third in ("1/3", "2/3"):
        value = 10**8 + Fraction(third)
        search = search_of(lp_statement("100000000", "[0,1]", [[0]], [0], [[value]], Fraction(2)), 1.0, 40)
        _, least, most = search.record
        assert Fraction(least[0]) <= Fraction(third) ** 2 <= Fraction(most[0])
        assert most[0] - least[0] < 1e-6


@pytest.mark.parametrize("count", [1, 5])
def test_the_search_pays_for_every_silent_token(count: int) -> None:
    """Each weighs a little less than 2^-4; the one that counts has the value 0, and the target is 0 or 1."""
    far = -(4 * Fraction(math.log(2)) + Fraction(1, 10**6))
    for target in ("0", "1"):
        values = [[0] + [1] * count]
        statement = lp_statement(target, "[0,1]", [[0] * (count + 1)], [0] + [far] * count, values, Fraction(2))
        search = search_of(statement, 1.0, 4)
        block = search._bounded(search.root()).block
        assert block.counts.tolist() == [1]
        weight = math.exp(far)
        T = count * weight / (1 + count * weight)
        true = abs(float(target) - T) ** 2
        search._bounded(block)
        _, least, most = search.record
        assert 0 <= least[0] <= true <= most[0]


def test_the_search_bounds_the_integrals_of_random_heads() -> None:
    counts = [search_against_arb(seed) for seed in range(60)]
    assert sum(made for made, _ in counts) >= 100
    assert sum(close for _, close in counts) >= 40


@pytest.mark.slow
@pytest.mark.parametrize("first", range(60, 1000, 20))
def test_the_search_bounds_the_integrals_of_more_random_heads(first: int) -> None:
    for seed in range(first, first + 20):
        search_against_arb(seed)


# ---------------------------------------------------------------------------------------------------------------------
# Whole searches, against quadrature

LINES = [
    ("sin(2*pi*x)", []),
    ("exp(-x)*cos(3*x)", []),
    ("abs(x - 1/2)", ["1/2"]),
    ("where(x < 2/5, x, 1 - x**2)", ["2/5"]),
    ("atan(5*x - 2)", []),
    ("x**3 - x/2", []),
    ("sqrt(1 + x**2)", []),
    ("erf(3*x - 1)", []),
    ("1/(2 + sin(9*x))", []),
    ("sign(x - 0.55) + x", ["0.55"]),
]
PLANES = ["sin(3*x0)*x1", "exp(-(x0**2 + x1**2))", "x0*x1 - 1/5", "cos(x0 + 2*x1)", "[x0 - x1, x0*x1/2]"]


def error_function(statement: Statement, column: int = 0) -> Callable[[Any], Any]:
    """The errors f - T in float64 at points (n, m), for all entries of a column.

    Only differences of scores count, so what all tokens share is taken off before anything is rounded.
    """
    head = reduce_general(statement.attention)[column]
    keys, biases, products = [
        np.array([[float(row_entry(row, i) - row_entry(row, 0)) for i in range(head.tokens)] for row in rows])
        for rows in (head.keys, [head.biases], head.products.values())
    ]
    values, *slopes = [
        np.array([[float(row_entry(row, i)) for i in range(head.tokens)] for row in rows])
        for rows in (head.values, *head.slopes.values())
    ]

    def function(x: Any) -> Any:
        scores = x @ keys + biases
        for (j, k), curve in zip(head.products, products, strict=True):
            scores += (x[:, j] * x[:, k])[:, None] * curve
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        top = weights @ values.T
        for k, rows in zip(head.slopes, slopes, strict=True):
            top += x[:, k, None] * (weights @ rows.T)
        return evaluate_float(statement.target, x) - top / weights.sum(axis=1, keepdims=True)

    return function


def pieces(lo: float, hi: float, breaks: Sequence[float], count: int, n: int) -> tuple[Any, Any]:
    """Nodes and weights of a compound rule of Gauss whose pieces end at the breaks."""
    ends = np.array(sorted({*np.linspace(lo, hi, count + 1).tolist(), *(b for b in breaks if lo < b < hi)}))
    nodes, weights = np.polynomial.legendre.leggauss(n)
    half = np.diff(ends) / 2
    return ((ends[:-1] + half)[:, None] + half[:, None] * nodes).ravel(), (half[:, None] * weights).ravel()


def norm_on_a_line(statement: Statement, breaks: Sequence[str]) -> float:
    """The norm to a relative 1e-9 or so: the pieces end where the error changes its sign."""
    assert isinstance(statement.claim, LpError)
    p, ((start, stop),) = float(statement.claim.power), statement.domain.sides
    f, lo, hi = error_function(statement), float(start), float(stop)
    x = np.linspace(lo, hi, 6001)
    y = f(x[:, None])[:, 0]
    places = np.flatnonzero(y[:-1] * y[1:] < 0)
    left, right, sign = x[places], x[places + 1], np.sign(y[places])
    for _ in range(60):
        middle = 0.5 * (left + right)
        same = np.sign(f(middle[:, None])[:, 0]) == sign if len(places) else np.zeros(0, bool)
        left, right = np.where(same, middle, left), np.where(same, right, middle)
    nodes, weights = pieces(lo, hi, [*left.tolist(), *(float(Fraction(b)) for b in breaks)], 96, 16)
    errors = np.abs(f(nodes[:, None]))
    largest = errors.max() or 1.0
    return float(largest * (weights @ ((errors / largest) ** p).sum(axis=1)) ** (1 / p))


def norm_on_a_plane(statement: Statement) -> float:
    assert isinstance(statement.claim, LpError)
    p, f = float(statement.claim.power), error_function(statement)
    (x, v), (y, w) = [pieces(float(lo), float(hi), [], 48, 8) for lo, hi in statement.domain.sides]
    total = 0.0
    for part in np.array_split(np.arange(len(x)), 16):
        points = np.stack(np.meshgrid(x[part], y, indexing="ij"), axis=-1).reshape(-1, 2)
        total += float((np.abs(f(points)) ** p).sum(axis=1) @ np.outer(v[part], w).ravel())
    return total ** (1 / p)


def random_claim(rnd: random.Random, m: int) -> tuple[Statement, float, float]:
    """A statement about a norm, the norm by quadrature, and how far that may be off."""
    p, n = rnd.choice(POWERS), rnd.randint(1, 7)
    target, breaks = rnd.choice(LINES) if m == 1 else (rnd.choice(PLANES), [])
    lo, hi = rnd.choice([("0", "1"), ("1/3", "2/3"), ("0.1", "0.9"), ("0", "3/2")])
    beta = 10 ** rnd.uniform(-1, 2 if m == 1 else 1)
    keys = [[Fraction(rnd.gauss(0, beta)) / 3 for _ in range(n)] for _ in range(m)]
    biases = [Fraction(rnd.gauss(0, beta / 3)) / 3 - rnd.choice([0, 0, 0, 20, 60]) for _ in range(n)]
    offset = rnd.choice([0, 0, 3])
    values = [[offset + Fraction(rnd.gauss(0, 1)) / 3 for _ in range(n)] for _ in range(1 + target.startswith("["))]
    statement = lp_statement(target, "x".join([f"[{lo},{hi}]"] * m), keys, biases, values, p)
    norm = norm_on_a_line(statement, breaks) if m == 1 else norm_on_a_plane(statement)
    slip = 1e-9
    if m == 2 and p % 2 and len(np.unique(np.sign(error_function(statement)(grid_of(statement))))) > 1:
        slip = {Fraction(1): 1e-3, Fraction(5, 2): 1e-6}.get(p, 1e-6)
    return statement, norm, slip


def grid_of(statement: Statement) -> Any:
    axes = [np.linspace(float(lo), float(hi), 60) for lo, hi in statement.domain.sides]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def decided(seed: int, m: int) -> None:
    """The kernel accepts what is found about a norm and about claims near it; and no false bound on the same tree."""
    rnd = random.Random(f"decided {seed} {m}")
    statement, norm, slip = random_claim(rnd, m)
    gap = rnd.choice(["0.1", "0.01", "0.0001"] if m == 1 else ["0.3", "0.1", "0.05"])
    found = bound(Certificate(statement, None, {}), gap=gap)
    assert found.verdict == "proved", found.detail
    assert found.certificate is not None
    evidence = found.certificate.evidence
    assert isinstance(evidence, Integral)
    assert float(evidence.lower) <= norm * (1 + slip)
    assert norm * (1 - slip) <= float(evidence.upper)
    false_bounds(statement, evidence, norm, slip)

    assert isinstance(statement.claim, LpError)
    tolerance = Fraction(norm * rnd.choice([0.5, 0.8, 0.95, 1.05, 1.25, 2.0]))
    claim = in_norm(statement, statement.claim.power, tolerance)
    outcome = verify(claim)
    expected = ("verified", "proved") if tolerance > norm else ("refuted", "refuted")
    assert (outcome.verdict, kernel_says(bytes_of(claim, outcome.evidence))) == expected
    assert outcome.error_lower <= norm * (1 + slip)
    assert norm * (1 - slip) <= outcome.error_upper
    assert isinstance(outcome.evidence, Integral)
    false_bounds(statement, outcome.evidence, norm, slip)


def false_bounds(statement: Statement, evidence: Integral, norm: float, slip: float) -> None:
    """Ends on the wrong side of the norm are rejected, whatever tolerance they are to decide."""
    assert isinstance(statement.claim, LpError)
    p, part = statement.claim.power, max(1e-6, 10 * slip)
    high, low = Fraction(norm * (1 - part)), Fraction(norm * (1 + part))
    too_low = replace(evidence, lower=min(evidence.lower, high), upper=high)
    assert kernel_says(bytes_of(in_norm(statement, p, high), too_low)) == "leaf"
    too_high = replace(evidence, lower=low, upper=max(evidence.upper, low))
    assert kernel_says(bytes_of(in_norm(statement, p, low * (1 - Fraction(1, 10**9))), too_high)) == "leaf"


@pytest.mark.parametrize("p", [ALMOST_TWO, 2 - Fraction(1, 10**30), 4 + Fraction(1, 10**20)], ids=["2+", "2-", "4+"])
def test_a_power_that_float64_rounds_to_an_even_one_is_not_even(p: Fraction) -> None:
    statement = in_norm(grid_statement("sin(2*pi*x)", "[0,1]", [5], 40, 1), p)
    found = bound(Certificate(statement, None, {}), gap="0.01")
    assert found.verdict == "proved", found.detail
    even = norm_on_a_line(in_norm(statement, Fraction(round(p))), [])
    assert float(found.error_lower or 1) <= even * (1 + 1e-9)
    assert even * (1 - 1e-9) <= float(found.error_upper or 0)


@pytest.mark.parametrize("seed", range(40))
def test_norms_on_a_line_are_decided(seed: int) -> None:
    decided(seed, 1)


@pytest.mark.parametrize("seed", range(6))
def test_norms_on_a_plane_are_decided(seed: int) -> None:
    decided(seed, 2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40, 240))
def test_more_norms_on_a_line_are_decided(seed: int) -> None:
    decided(seed, 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6, 60))
def test_more_norms_on_a_plane_are_decided(seed: int) -> None:
    decided(seed, 2)
