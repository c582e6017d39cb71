"""The families of claims. docs/benchmarks.md says how the truth of each is known."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise, product
from math import isqrt

import mpmath

from attncert.certificates.claim import Indicator, LpError, Partition, Region
from attncert.certificates.condition import parse_condition
from attncert.certificates.domain import Box
from attncert.certificates.numbers import fraction_to_mpf
from attncert.certificates.statement import Statement
from attncert.certificates.target import InputSpace, parse_target
from benchmarks.soundness.cases import DIGITS, Case, claims_of, decimals, errors_of, margin_of, pair
from benchmarks.soundness.heads import (
    Head,
    bernstein,
    column,
    embedded,
    equal,
    hyperbolic,
    mixed,
    names_of,
    sigmoid,
    spelled,
    spike,
    tensor,
    tilted,
)

ZERO, ONE = Fraction(0), Fraction(1)


def dyadic(rnd: random.Random, lo: int, hi: int, bits: int = 4) -> Fraction:
    """A number of few bits."""
    return Fraction(rnd.randint(lo << bits, hi << bits), 1 << bits)


def awkward(rnd: random.Random, lo: int, hi: int) -> Fraction:
    """A number that has no finite binary expansion, half of the time."""
    return dyadic(rnd, lo, hi) if rnd.random() < 0.5 else lo + (hi - lo) * Fraction(rnd.randint(1, 88), 89)


def unit(m: int) -> Box:
    """The unit cube."""
    return Box(((ZERO, ONE),) * m)


def real(value: Fraction) -> mpmath.mpf:
    """A rational for a computation with DIGITS digits."""
    return fraction_to_mpf(value, int(DIGITS * 3.4))


def familiar_head(rnd: random.Random, space: InputSpace) -> Head:
    """A head with a closed form: gentle, or one whose tokens have equal values and scores of any size."""
    m, steep = space.size, {1: 6, 2: 2}.get(space.size, 1)
    slopes = [dyadic(rnd, -steep, steep, 3) for _ in range(m)]
    bias = dyadic(rnd, -2, 2, 3)
    kind = rnd.choice([0, 3, 5]) if m > 2 else rnd.randrange(6)
    if m == 4:
        slopes = [a / 4 for a in slopes]
    if kind == 0:
        return hyperbolic(space, slopes, bias, dyadic(rnd, 1, 3))
    if kind == 1:
        return bernstein(space, slopes, bias, rnd.randint(2, 4), 2)
    if kind == 2 and m > 1:
        return tensor(space, slopes, [dyadic(rnd, -1, 1, 3) for _ in range(m)])
    if kind == 3:
        tokens, size = rnd.randint(2, 9), 10 ** rnd.choice([0, 3, 9])
        keys = [[size * dyadic(rnd, -4, 4) for _ in range(tokens)] for _ in range(m)]
        return equal(space, keys, [size * dyadic(rnd, -4, 4) for _ in range(tokens)], dyadic(rnd, -2, 2))
    if kind == 4:
        inclines = [[dyadic(rnd, -1, 1, 3) for _ in range(m)] for _ in range(2)]
        return tilted(space, slopes, bias, [dyadic(rnd, -1, 1), dyadic(rnd, -1, 1)], inclines)
    return sigmoid(space, slopes, bias, [(dyadic(rnd, -2, 0), dyadic(rnd, 1, 3))])


def centred(names: Sequence[str], centre: Sequence[Fraction]) -> list[str]:
    """The differences of the input to a point."""
    return [f"({name} - {spelled(c)})" for name, c in zip(names, centre, strict=True)]


# ---------------------------------------------------------------------------------------------------------------------
# The sup norm: the target is the head itself and a function with a known greatest value


def bumps(count: int) -> Iterator[Case]:
    """A (1 - sum of w_k (x_k - c_k)^2), w_k <= 1/m, or products of Chebyshev polynomials, with many equal extremes."""
    for k in range(count):
        rnd = random.Random(f"bumps {k}")
        m = 1 + k % 4
        space, size = column(m), rnd.choice([-1, 1]) * Fraction(rnd.randint(1, 9), 8)
        head, names, box = familiar_head(rnd, space), names_of(space), unit(m)
        if k % 3 == 0 and m < 3:
            chebyshev = ["2*{0}**2 - 1", "4*{0}**3 - 3*{0}", "8*{0}**4 - 8*{0}**2 + 1", "16*{0}**5 - 20*{0}**3 + 5*{0}"]
            factors = [f"({rnd.choice(chebyshev[: 4 // m]).format(name)})" for name in names]
            difference, box, worst = f"{spelled(size)}*{'*'.join(factors)}", Box(((-ONE, ONE),) * m), [ONE] * m
        else:
            worst = [awkward(rnd, 0, 1) for _ in names]
            squares = [f"{spelled(dyadic(rnd, 0, 1) / m)}*{u}**2" for u in centred(names, worst)]
            difference = f"{spelled(size)}*(1 - {' - '.join(squares)})"
        yield from errors_of("bumps", f"bumps-{k}", head, [difference], abs(size), box, margin_of(k), worst=worst)


def needles(count: int) -> Iterator[Case]:
    """A needle of the target of height A, as narrow as 1e-12, beside a hill of 0.9 A that hides it."""
    for k in range(count):
        rnd = random.Random(f"needles {k}")
        m = 1 + k % 4
        space, size = column(m), rnd.choice([-1, 1]) * Fraction(rnd.randint(1, 9), 8)
        head, names = familiar_head(rnd, space), names_of(space)
        K = Fraction(10) ** rnd.randint(2, {1: 12, 2: 8, 3: 4, 4: 2}[m])
        worst = [awkward(rnd, 0, 1) for _ in names]
        parts = centred(names, worst)
        squares = " + ".join(f"{u}**2" for u in parts)
        needle = [
            f"max(0, 1 - {spelled(K)}*({' + '.join(f'abs{u}' for u in parts)}))",
            f"1/(1 + {spelled(K)}*({squares}))",
            f"exp((-{spelled(K)})*({squares}))",
        ][k // 4 % 3]
        hill = f"0.9*(1 - ({' + '.join(f'{name}**2' for name in names)})/{m})"
        difference = f"{spelled(size)}*{f'max({needle}, {hill})' if rnd.random() < 0.5 else needle}"
        yield from errors_of(
            "needles", f"needles-{k}", head, [difference], abs(size), unit(m), margin_of(k), worst=worst
        )


def corners(count: int) -> Iterator[Case]:
    """A function that only grows towards one corner: A prod u_k^n, or A e^(-K sum (1 - u_k)), u_k = x_k or 1 - x_k."""
    for k in range(count):
        rnd = random.Random(f"corners {k}")
        m = 1 + k % 4
        space, size = column(m), rnd.choice([-1, 1]) * Fraction(rnd.randint(1, 9), 8)
        head, names = familiar_head(rnd, space), names_of(space)
        worst = [Fraction(rnd.randint(0, 1)) for _ in names]
        near = [name if corner else f"(1 - {name})" for name, corner in zip(names, worst, strict=True)]
        if k // 4 % 2:
            n = rnd.choice({1: [10, 50, 200], 2: [5, 20, 40], 3: [3, 8], 4: [2, 4]}[m])
            difference = "*".join(f"{u}**{n}" for u in near)
        else:
            K = 10 ** rnd.randint(1, {1: 12, 2: 6, 3: 3, 4: 2}[m])
            difference = f"exp({K}*({' + '.join(near)} - {m}))"
        differences = [f"{spelled(size)}*{difference}"]
        yield from errors_of(
            "corners", f"corners-{k}", head, differences, abs(size), unit(m), margin_of(k), worst=worst
        )


def plateaus(count: int) -> Iterator[Case]:
    """A where all |x_k - c_k| <= w, 0.9 A elsewhere; the plateau is as narrow as 1e-12, or a single point."""
    for k in range(count):
        rnd = random.Random(f"plateaus {k}")
        m = 1 + k % 3
        space, size = column(m), Fraction(rnd.randint(1, 9), 8)
        head, names = familiar_head(rnd, space), names_of(space)
        single = k % 10 == 9
        worst = [Fraction(rnd.randint(1, 3), 4) if single else awkward(rnd, 0, 1) for _ in names]
        w = 0 if single else Fraction(1, 10 ** rnd.randint(1, {1: 12, 2: 6, 3: 2}[m]))
        inside = " and ".join(f"abs{u} <= {spelled(Fraction(w))}" for u in centred(names, worst))
        difference = f"where({inside}, {spelled(size)}, {spelled(size * 9 / 10)})"
        yield from errors_of("plateaus", f"plateaus-{k}", head, [difference], size, unit(m), margin_of(k), worst=worst)


def slivers(count: int) -> Iterator[Case]:
    """Domains that are thin slivers of a box; beside the domain the error is larger by far.

    The penalty is 0 on the domain, where A x_0^2 is the error (A x_0 x_1 along the diagonal), greatest at x_0 = 1.
    """
    for k in range(count):
        rnd = random.Random(f"slivers {k}")
        m, margin = 2 + (k % 8 == 7), margin_of(k)
        space, size = column(m), rnd.choice([-1, 1]) * Fraction(rnd.randint(1, 9), 8)
        head, w = familiar_head(rnd, space), Fraction(1, 2 ** rnd.randint(4, 40 if m == 2 else 5))
        c, rest = Fraction(rnd.randint(1, 15), 16), [ONE] * (m - 2)
        shape = k % 6
        error, worst, B = "x0**2", [ONE, ZERO, *rest], rnd.choice([10, 1000]) if m == 2 else 1
        margin = margin if m == 2 else max(margin, Fraction(1, 100))
        if shape == 0:
            conditions, beyond = [f"x1 <= {spelled(w)}"], f"max(0, x1 - {spelled(w)})"
        elif shape == 1:
            conditions, beyond, worst = [f"x1 >= {spelled(1 - w)}"], f"max(0, {spelled(1 - w)} - x1)", [ONE, ONE, *rest]
        elif shape == 2:
            conditions, beyond = (
                [f"abs(x1 - {spelled(c)}) <= {spelled(w)}"],
                f"max(0, abs(x1 - {spelled(c)}) - {spelled(w)})",
            )
            worst = [ONE, c, *rest]
        elif shape == 3:
            conditions = [f"x1 <= {spelled(w)} or x1 >= {spelled(1 - w)}"]
            beyond = f"max(0, min(x1 - {spelled(w)}, {spelled(1 - w)} - x1))"
        elif shape == 4:
            w, margin = Fraction(1, 2 ** rnd.randint(3, 6)), max(margin, Fraction(1, 100))
            error, worst, B = "x0*x1", [ONE, ONE, *rest], 1
            conditions, beyond = [f"abs(x0 - x1) < {spelled(w)}"], f"max(0, abs(x0 - x1) - {spelled(w)})"
        else:
            margin, B = max(margin, Fraction(1, 100)), 1
            conditions, beyond = ["x0**2 + x1**2 <= 1", "x1 <= 1/8"], "max(0, x0**2 + x1**2 - 1)"
        difference = f"{spelled(size)}*({error} + {B}*{beyond})"
        name = f"slivers-{k}"
        yield from errors_of(
            "slivers", name, head, [difference], abs(size), unit(m), margin, conditions=conditions, worst=worst
        )


def affine_values(count: int) -> Iterator[Case]:
    """Values that depend on the input: v_i + h_i . x, and a bump."""
    for k in range(count):
        rnd = random.Random(f"affine values {k}")
        m = 1 + k % 3
        space, size = column(m), rnd.choice([-1, 1]) * Fraction(rnd.randint(1, 9), 8)
        steep = 6 if m == 1 else 2
        slopes, bias = [dyadic(rnd, -steep, steep, 3) for _ in range(m)], dyadic(rnd, -2, 2, 3)
        inclines = [[dyadic(rnd, -4, 4, 3) for _ in range(m)] for _ in range(2)]
        head = tilted(space, slopes, bias, [dyadic(rnd, -4, 4), dyadic(rnd, -4, 4)], inclines)
        worst = [awkward(rnd, 0, 1) for _ in range(m)]
        squares = [f"{u}**2/{m}" for u in centred(names_of(space), worst)]
        difference = f"{spelled(size)}*(1 - {' - '.join(squares)})"
        name = f"affine-values-{k}"
        yield from errors_of("affine values", name, head, [difference], abs(size), unit(m), margin_of(k), worst=worst)


def shapes(count: int) -> Iterator[Case]:
    """Vectors, matrices of two columns, cross-attention, and full matrices: one entry has the largest error."""
    for k in range(count):
        rnd = random.Random(f"shapes {k}")
        kind, margin = k % 4, margin_of(k // 4)
        spaces = [column(2), InputSpace((1, 2)), InputSpace((1, 1), (1, 1)), column(1 + k // 4 % 2)]
        space = spaces[kind]
        m, names = space.size, names_of(space)
        slopes, bias = [dyadic(rnd, -3, 3, 3) for _ in range(m)], dyadic(rnd, -1, 1, 3)
        rows = [(dyadic(rnd, -2, 0), dyadic(rnd, 1, 3)) for _ in range(1 + (kind in (0, 3)))]
        head = sigmoid(space, slopes, bias, rows)
        worst = [awkward(rnd, 0, 1) for _ in names]
        bump = f"(1 - {' - '.join(f'{u}**2/{m}' for u in centred(names, worst))})"
        size, outputs = Fraction(rnd.randint(1, 9), 8), 2 if kind == 1 else len(rows)
        sizes = [size * f for f in (rnd.sample([ONE, Fraction(-9, 10)], 2) if outputs == 2 else [-ONE])]
        own = head.formulas * (outputs if kind == 1 else 1)
        parts = [f"{formula} + {spelled(a)}*{bump}" for formula, a in zip(own, sizes, strict=True)]
        targets = f"[[{', '.join(parts)}]]" if kind == 1 else parts
        attention = embedded(head, 2, Fraction(5)) if kind == 1 else embedded(head)
        if kind == 3:
            attention = mixed(attention, [rnd.randint(-2, 2) for _ in range(7)])  # type: ignore[arg-type]
        yield from errors_of(
            "shapes", f"shapes-{k}", head, [], size, unit(m), margin, worst=worst, attention=attention, targets=targets
        )


# ---------------------------------------------------------------------------------------------------------------------
# The sup norm: the head itself has a known greatest value, or jumps past the target


def needle_tokens(count: int) -> Iterator[Case]:
    """A token that wins in a tiny region only: T = V e^h / (e^h + sum of 2 cosh(r_k (x_k - c_k))), and the target 0."""
    for k in range(count):
        rnd = random.Random(f"needle tokens {k}")
        m = 1 + k % 4
        value, height = rnd.choice([-1, 1]) * Fraction(rnd.randint(1, 9), 8), dyadic(rnd, 1, 12, 3)
        rates = [Fraction(10) ** rnd.randint(2, {1: 15, 2: 8, 3: 5, 4: 3}[m]) * rnd.randint(1, 9) for _ in range(m)]
        centre = [awkward(rnd, 0, 1) for _ in range(m)]
        head = spike(column(m), centre, rates, height, value)
        with mpmath.workdps(DIGITS):
            largest = abs(real(value)) / (1 + 2 * m * mpmath.exp(-real(height)))
        name = f"needle-tokens-{k}"
        yield from errors_of(
            "needle tokens", name, head, [], largest, unit(m), margin_of(k), worst=centre, targets=["0"]
        )


def near_ties(count: int) -> Iterator[Case]:
    """Two tokens whose slopes, up to 1e25, differ by very little: T = V tanh((d . x + b) / 2), and the target 0."""
    for k in range(count):
        rnd = random.Random(f"near ties {k}")
        m = 1 + k % 4
        common = [Fraction(10) ** rnd.randint(3, 25) * rnd.randint(-9, 9) for _ in range(m)]
        slopes = [rnd.choice([-1, 1]) * Fraction(rnd.randint(1, 40), 2 ** rnd.randint(3, 20)) for _ in range(m)]
        value, bias = Fraction(rnd.randint(1, 9), 8), dyadic(rnd, -1, 1)
        head = hyperbolic(column(m), slopes, bias, value, common)
        ends = {
            corner: sum(a * x for a, x in zip(slopes, corner, strict=True)) + bias
            for corner in product((0, 1), repeat=m)
        }
        worst = max(ends, key=lambda corner: abs(ends[corner]))
        with mpmath.workdps(DIGITS):
            largest = real(value) * mpmath.tanh(abs(real(ends[worst])) / 2)
        yield from errors_of(
            "near ties",
            f"near-ties-{k}",
            head,
            [],
            largest,
            unit(m),
            margin_of(k),
            worst=list(map(Fraction, worst)),
            targets=["0"],
        )


def jumps(count: int) -> Iterator[Case]:
    """A head as steep as 1e30 and a target that jumps where it crosses: half the height, attained at the jump."""
    for k in range(count):
        rnd = random.Random(f"jumps {k}")
        m = 1 + k % 3
        space, axis = column(m), rnd.randrange(m)
        beta, c = Fraction(10) ** rnd.randint(2, {1: 30, 2: 9, 3: 6}[m]), awkward(rnd, 0, 1)
        c = c if 0 < c < 1 else Fraction(1, 2)
        low, high = dyadic(rnd, -2, 0), dyadic(rnd, 1, 3)
        slopes = [beta * (n == axis) for n in range(m)]
        head = sigmoid(space, slopes, -beta * c, [(low, high)])
        name = names_of(space)[axis]
        target = f"where({name} < {spelled(c)}, {spelled(low)}, {spelled(high)})"
        worst = [c if n == axis else dyadic(rnd, 0, 1) for n in range(m)]
        largest = (high - low) / 2
        yield from errors_of(
            "jumps", f"jumps-{k}", head, [], largest, unit(m), margin_of(k), worst=worst, targets=[target]
        )


def silent_tokens(count: int) -> Iterator[Case]:
    """Tokens of weight e^-k with values so large that they count: T = V n e^-k / (1 + n e^-k), and the target 0."""
    for k in range(count):
        rnd = random.Random(f"silent tokens {k}")
        m, tokens, depth = 1 + k % 3, rnd.choice([1, 3, 30, 300]), rnd.randint(5, 680)
        value = Fraction(10) ** (depth * 10 // 23) * rnd.randint(1, 9)
        space, common = column(m), [Fraction(10) ** rnd.randint(0, 9) for _ in range(m)]
        keys = tuple([a] * (tokens + 1) for a in common)
        head = Head(space, keys, [ZERO] + [Fraction(-depth)] * tokens, ([ZERO] + [value] * tokens,), ("",))
        with mpmath.workdps(DIGITS):
            weight = tokens * mpmath.exp(-depth)
            largest = real(value) * weight / (1 + weight)
        worst = [Fraction(1, 2)] * m
        name = f"silent-tokens-{k}"
        yield from errors_of(
            "silent tokens", name, head, [], largest, unit(m), margin_of(k), worst=worst, targets=["0"]
        )


def beyond_float64(count: int) -> Iterator[Case]:
    """Errors of 1e-18 to 1e-60: a tiny bump, or a value that is off by so little that float64 does not see it."""
    for k in range(count):
        rnd = random.Random(f"beyond float64 {k}")
        m, tiny = 1, Fraction(1, 10 ** rnd.randint(18, 60))
        space, margin = column(m), margin_of(k)
        slopes, bias = [dyadic(rnd, -2, 2, 3) for _ in range(m)], dyadic(rnd, -1, 1, 3)
        low, high = dyadic(rnd, -2, 0), dyadic(rnd, 1, 3)
        name = f"beyond-float64-{k}"
        if k % 2:
            head = sigmoid(space, slopes, bias, [(low, high)])
            worst = [awkward(rnd, 0, 1) for _ in range(m)]
            squares = " - ".join(f"{u}**2/{m}" for u in centred(names_of(space), worst))
            difference = f"{spelled(tiny)}*(1 - {squares})"
            yield from errors_of("beyond float64", name, head, [difference], tiny, unit(m), margin, worst=worst)
            continue
        (formula,) = sigmoid(space, slopes, bias, [(low, high)]).formulas
        head = sigmoid(space, slopes, bias, [(low, high + tiny)])
        worst = [Fraction(int(a > 0)) for a in slopes]
        with mpmath.workdps(DIGITS):
            score = sum((a * x for a, x in zip(slopes, worst, strict=True)), bias)
            largest = real(tiny) / (1 + mpmath.exp(-real(score)))
        yield from errors_of("beyond float64", name, head, [], largest, unit(m), margin, worst=worst, targets=[formula])


# ---------------------------------------------------------------------------------------------------------------------
# L_p norms


def norms(count: int) -> Iterator[Case]:
    """Errors whose L_p norm is an integral in closed form."""
    for k in range(count):
        rnd = random.Random(f"norms {k}")
        p = [Fraction(1), Fraction(2), Fraction(3), Fraction(4), Fraction(3, 2)][k % 5]
        kind, m = k % 6, 1
        margin, size = (
            max(margin_of(k // 2), Fraction(1, 10**5 if p in (2, 4) else 200)),
            Fraction(rnd.randint(1, 9), 8),
        )
        conditions: list[str] = []
        with mpmath.workdps(DIGITS):
            if kind in (0, 5):  # A x^n
                m, n = 1 + k // 6 % 3, rnd.randint(0, 4)
                margin = margin if m == 1 else max(margin, Fraction(1, 50))
                head = familiar_head(random.Random(f"norms {k} head"), column(m))
                target = (
                    f"{head.formulas[0]} + {spelled(size)}*{'*'.join(f'{name}**{n}' for name in names_of(head.space))}"
                )
                norm = real(size) * real(1 / (n * p + 1) ** m) ** real(1 / p)
            elif kind == 1:  # V tanh(u x)
                p, u = Fraction(rnd.choice([1, 2])), dyadic(rnd, 1, 6)
                head, target = hyperbolic(column(1), [2 * u], ZERO, size), "0"
                t = real(u)
                integral = mpmath.log(mpmath.cosh(t)) / t if p == 1 else 1 - mpmath.tanh(t) / t
                norm = real(size) * integral ** real(1 / p)
            elif kind == 2:  # a jump
                m, s = 1 + k // 6 % 2, Fraction(rnd.randint(1, 88), 89)
                head = familiar_head(random.Random(f"norms {k} head"), column(m))
                target = f"{head.formulas[0]} + where({names_of(head.space)[0]} < {spelled(s)}, 0, {spelled(size)})"
                norm = real(size) * real(1 - s) ** real(1 / p)
            elif kind == 3:  # a pole
                q, margin = Fraction(rnd.randint(1, 4), 10) / p, max(margin, Fraction(1, 20))
                head = equal(column(1), [[ZERO, ONE]], [ZERO, ZERO], ZERO)
                target, norm = f"{spelled(size)}*x**(-{spelled(q)})", real(size) * real(1 / (1 - q * p)) ** real(1 / p)
            else:  # a triangle
                m, margin = 2, max(margin, Fraction(1, 20))
                head = equal(column(2), [[ZERO, ONE]] * 2, [ZERO, ZERO], ONE)
                target, conditions = spelled(1 + size), ["x0 + x1 <= 1"]
                norm = real(size) * mpmath.mpf(0.5) ** real(1 / p)
            exact = decimals(norm)
        claims = [LpError(p, exact * (1 + sign * margin)) for sign in (1, -1)]
        where = tuple(parse_condition(condition, head.space) for condition in conditions)
        statement = Statement(parse_target(target, head.space), unit(m), embedded(head), claims[0], where)
        yield from pair("norms", f"norms-{k}", claims_of(statement, *claims), margin)


# ---------------------------------------------------------------------------------------------------------------------
# Indicators and partitions


def indicators(count: int) -> Iterator[Case]:
    """Anchors at distances h along an axis: at each face a layer of measure t / (beta h), where t = log(2 / delta - 1).

    Beside the two tokens of a face, all others together weigh less than N e^(-beta h^2) <= e^-100 on the layer.
    """
    for k in range(count):
        rnd = random.Random(f"indicators {k}")
        m, tokens, delta = 1 + k % 2, rnd.randint(2, 6), Fraction(1, 10 ** rnd.randint(1, 6))
        h = Fraction(1, tokens)
        beta = Fraction(rnd.randint(110, 900)) / h**2
        anchors = [h * Fraction(2 * i + 1, 2) for i in range(tokens)]
        keys = [[2 * beta * c for c in anchors], *[[ZERO] * tokens] * (m - 1)]
        head = Head(column(m), tuple(keys), [-beta * c * c for c in anchors], ([ZERO] * tokens,), ("0",))
        with mpmath.workdps(DIGITS):
            layer = (tokens - 1) * mpmath.log(real(2 / delta - 1)) / real(beta * h)
        exact, margin = decimals(layer), max(margin_of(k), Fraction(1, 10**4))
        claims = [Indicator(delta, exact * (1 + sign * margin)) for sign in (1, -1)]
        statement = Statement(None, unit(m), embedded(head), claims[0])
        yield from pair("indicators", f"indicators-{k}", claims_of(statement, *claims), margin)


def rooted(square: Fraction, factor: Fraction) -> Fraction:
    """About factor times the root of a rational, to forty digits."""
    return Fraction(isqrt(int(square * 10**80)), 10**40) * factor


def partitions(count: int) -> Iterator[Case]:
    """Cells of grids of unequal steps, and cones about a point at which another token wins by a hair, or does not."""
    for k in range(count):
        rnd = random.Random(f"partitions {k}")
        fault = k % 5
        margin = Fraction(1, 10 ** rnd.randint(1, 30)) if fault in (0, 4) else ONE
        name = f"partitions-{k}"
        if fault == 4:
            yield from cones(name, rnd, 1 + k // 5 % 3, margin)
            continue
        m = 1 + k // 5 % 3
        counts = [rnd.randint(2, {1: 9, 2: 4, 3: 2}[m]) for _ in range(m)]
        axes = [sorted(rnd.sample(range(1, 100), n)) for n in counts]
        beta, anchors = Fraction(10) ** rnd.randint(0, 9), [[Fraction(c, 100) for c in axis] for axis in axes]
        places = list(product(*map(range, counts)))
        sites = [[anchors[a][i] for a, i in enumerate(place)] for place in places]
        keys = tuple([2 * beta * site[a] for site in sites] for a in range(m))
        head = Head(
            column(m), keys, [-beta * sum(c * c for c in site) for site in sites], ([ZERO] * len(sites),), ("0",)
        )
        faces = [[ZERO, *((a + b) / 2 for a, b in pairwise(axis)), ONE] for axis in anchors]
        regions = []
        for n, place in enumerate(places):
            sides = [(faces[a][i], faces[a][i + 1]) for a, i in enumerate(place)]
            square = sum(((hi - lo) / 2) ** 2 for lo, hi in sides)
            around = [
                places.index((*place[:a], i, *place[a + 1 :]))
                for a in range(m)
                for i in (place[a] - 1, place[a] + 1)
                if 0 <= i < counts[a]
            ]
            centre = tuple((lo + hi) / 2 for lo, hi in sides)
            regions.append(Region(n, tuple(around), centre, rooted(square, 1 + (margin if fault == 0 else ONE / 8))))
        wrong = list(regions)
        at = rnd.randrange(len(regions))
        chosen = regions[at]
        if fault == 0:  # a ball too small by the margin
            radius = chosen.radius / (1 + margin) * (1 - margin)
            wrong[at] = Region(chosen.token, chosen.neighbours, chosen.centre, radius)
        elif fault == 3:  # no region for a token
            del wrong[at]
        else:  # a facet is missing; in vain, there are others too many
            others = [n for n in range(len(sites)) if n != at and n not in chosen.neighbours]
            missing = rnd.choice(chosen.neighbours)
            kept = tuple(n for n in chosen.neighbours if n != missing)
            beyond = Region(chosen.token, kept, chosen.centre, Fraction(9))
            regions[at] = Region(chosen.token, (*chosen.neighbours, *others[:fault]), chosen.centre, chosen.radius)
            wrong[at] = beyond
        claims = Partition((tuple(regions),)), Partition((tuple(wrong),))
        statement = Statement(None, unit(m), embedded(head), claims[0])
        yield from pair("partitions", name, claims_of(statement, *claims), margin)


def cones(name: str, rnd: random.Random, m: int, hair: Fraction) -> Iterator[Case]:
    """The scores +-r_k (x_k - c_k) and a constant: where it is positive, its token wins about c, undeclared."""
    centre = [Fraction(rnd.randint(1, 88), 89) for _ in range(m)]
    rates = [Fraction(rnd.randint(1, 9)) for _ in range(m)]
    claim = Partition(
        (
            tuple(
                Region(i, tuple(n for n in range(1, 2 * m + 1) if n != i), tuple(centre), Fraction(2))
                for i in range(1, 2 * m + 1)
            ),
        )
    )
    below, above = [
        Statement(None, unit(m), embedded(spike(column(m), centre, rates, sign * hair, ONE)), claim) for sign in (-1, 1)
    ]
    yield from pair("partitions", name, (below, above), hair)


FAMILIES: dict[str, tuple[Callable[[int], Iterator[Case]], int]] = {
    "bumps": (bumps, 60),
    "needles": (needles, 60),
    "corners": (corners, 48),
    "plateaus": (plateaus, 40),
    "slivers": (slivers, 48),
    "affine values": (affine_values, 36),
    "shapes": (shapes, 48),
    "needle tokens": (needle_tokens, 48),
    "near ties": (near_ties, 48),
    "jumps": (jumps, 36),
    "silent tokens": (silent_tokens, 36),
    "beyond float64": (beyond_float64, 36),
    "norms": (norms, 60),
    "indicators": (indicators, 6),
    "partitions": (partitions, 60),
}
"""How each family is made, and of how many pairs."""


def cases(families: Sequence[str] = tuple(FAMILIES), share: Fraction = ONE) -> Iterator[Case]:
    """All cases of some families, or the first of each, a share of them."""
    for name in families:
        make, count = FAMILIES[name]
        yield from make(max(1, int(count * share)))
