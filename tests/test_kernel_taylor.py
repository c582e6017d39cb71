"""Taylor leaves: models of the target against Arb, and bounds on heads whose true error is known to many digits."""

import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from itertools import product
from typing import Any

import mpmath
import pytest
from flint import arb, ctx, fmpq, fmpz
from test_kernel import check, grid, make_statement, paving, read, reason, sampled, sealed, uniform_head

from attncert.verifier import kernel

Function = Callable[..., arb]
Formula = tuple[str, Function]
Side = tuple[Fraction, Fraction]
LIMITS = kernel.Limits()


@pytest.fixture(autouse=True)
def arb_precision() -> Iterator[None]:
    """Work far beyond the precision under test."""
    old = ctx.prec
    ctx.prec = 2000
    yield
    ctx.prec = old


# ---------------------------------------------------------------------------------------------------------------------
# Models


def real(x: Fraction) -> arb:
    return arb(fmpq(x.numerator, x.denominator))


def sigmoid(a: arb) -> arb:
    return 1 / (1 + (-a).exp()) if a > 0 else a.exp() / (1 + a.exp())


def sign(a: arb) -> arb:
    return arb(1) if a > 0 else arb(-1) if a < 0 else arb(0)


FUNCTIONS: dict[str, Callable[[arb], arb]] = {
    "exp": arb.exp,
    "log": arb.log,
    "sqrt": arb.sqrt,
    "sin": arb.sin,
    "cos": arb.cos,
    "tan": arb.tan,
    "atan": arb.atan,
    "erf": arb.erf,
    "tanh": arb.tanh,
    "sinh": arb.sinh,
    "cosh": arb.cosh,
    "sigmoid": sigmoid,
    "abs": abs,
    "sign": sign,
    "floor": arb.floor,
}
POSITIVE = {"log", "sqrt"}


def modeller(text: str, sides: Sequence[Side], K: int, P: int) -> tuple[kernel.Evaluator, int]:
    inputs = {"X": (len(sides), 1)}
    target = kernel.Target(text, inputs, LIMITS)
    free = [k for k, (lo, hi) in enumerate(sides) if lo < hi]
    return kernel.Evaluator(target, P, LIMITS, K, free), target.outputs[0][0]


def model_of(text: str, sides: Sequence[Side], K: int, P: int = 96) -> kernel.Model:
    """The model of a target on the box."""
    models, output = modeller(text, sides, K, P)
    box = [(kernel.enclose(lo, P)[0], kernel.enclose(hi, P)[1]) for lo, hi in sides]
    (model,) = models.enclosures(box, [output])
    assert model.low <= model.high
    assert model.rest >= 0
    return model


def miss(model: kernel.Model, sides: Sequence[Side], K: int, P: int, x: Sequence[Fraction], value: arb) -> None:
    """Fail unless the value at a point of the box is one that the model allows."""
    free, us = 0, []
    for place, (lo, hi) in zip(x, sides, strict=True):
        low, high = Fraction(kernel.enclose(lo, P)[0], 1 << P), Fraction(kernel.enclose(hi, P)[1], 1 << P)
        assert low <= place <= high
        if lo < hi:
            us.append((2 * place - low - high) / (high - low))
            free += 1
    axes = kernel.monomials(free, K).axes
    poly = sum(
        (c * math.prod([us[k] for k in each], start=Fraction(1)) for c, each in zip(model.coefs, axes, strict=True)),
        Fraction(0),
    )
    units = value * arb(fmpz(1) << P)
    assert not units < model.low, f"below the range at {x}"
    assert not units > model.high, f"above the range at {x}"
    assert not abs(units - real(poly)) > model.rest, f"{(units - real(poly)).str(8)} > {model.rest} at {x}"


def refusal(attempt: Callable[[], object]) -> str:
    """The reason why something is rejected, or nothing."""
    try:
        attempt()
    except kernel.Rejected as rejected:
        return str(rejected.reason)
    return ""


def points(rng: random.Random, sides: Sequence[Side], count: int) -> Iterator[list[Fraction]]:
    """Some points of a box, its corners among them."""
    yield from (list(corner) for corner in list(product(*sides))[:8])
    for _ in range(count):
        yield [lo + (hi - lo) * rng.choice([Fraction(rng.random()), Fraction(1, 2)]) for lo, hi in sides]


def inclusion(
    formula: Formula, sides: Sequence[Side], K: int, rng: random.Random, P: int = 96, count: int = 12
) -> kernel.Model:
    text, function = formula
    model = model_of(text, sides, K, P)
    for x in points(rng, sides, count):
        miss(model, sides, K, P, x, function(*map(real, x)))
    return model


def random_side(rng: random.Random, scale: int = 0) -> Side:
    lo = Fraction(rng.randint(-300, 300), 100) * Fraction(2) ** scale
    return lo, lo + Fraction(rng.randint(1, 200), rng.choice([100, 300, 3000])) * Fraction(2) ** scale


def applied(outer: Callable[[arb], arb], inner: Function) -> Function:
    return lambda *x: outer(inner(*x))


def argument(name: str, m: int, rng: random.Random, low: Fraction, sides: Sequence[Side]) -> Formula:
    """An affine expression of the inputs, with a least value on the box where the function needs one."""
    slopes = [rng.randint(-20, 20) for _ in range(m)]
    least = sum(min(a * lo, a * hi) for a, (lo, hi) in zip(slopes, sides, strict=True))
    shift = low - least if name in POSITIVE else Fraction(rng.randint(-20, 20), 10)
    text = " + ".join(f"{a}/10*x{k}" for k, a in enumerate(slopes)) + f" + {shift / (10 if name in POSITIVE else 1)}"

    def function(*x: arb) -> arb:
        total = real(shift / (10 if name in POSITIVE else 1))
        for a, value in zip(slopes, x, strict=True):
            total += real(Fraction(a, 10)) * value
        return total

    return text, function


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("m", [1, 2, 3])
def test_every_function_lies_in_its_model(name: str, m: int) -> None:
    rng = random.Random(f"{name} {m}")
    made = 0
    for K in range(1, 9 if m < 3 else 6):
        for P in (64, 96, 200):
            sides = [random_side(rng) for _ in range(m)]
            text, function = argument(name, m, rng, Fraction(rng.randint(1, 400), 100), sides)
            formula = f"{name}({text})", applied(FUNCTIONS[name], function)
            refused = refusal(partial(inclusion, formula, sides, K, rng, P, 6))
            assert refused == "" or (name == "tan" and refused == "undefined")
            made += not refused
    assert made >= (3 if name == "tan" else 15)


EXPONENTS = ["0", "1", "2", "3", "7", "12", "-1", "-2", "-5", "(1/2)", "(-1/2)", "(7/3)", "(-7/3)", "2.5", "9.75"]


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_powers_lie_in_their_models(exponent: str) -> None:
    rng = random.Random(exponent)
    b = Fraction(exponent.strip("()"))
    for K in range(1, 9):
        lo = Fraction(rng.randint(1, 300), 100)
        side = lo, lo * Fraction(rng.randint(101, 500), 100)
        inclusion((f"x**{exponent}", lambda x: x ** fmpq(b.numerator, b.denominator)), [side], K, rng)
        if b.denominator == 1:
            inclusion((f"(-x)**{exponent}", lambda x: (-x) ** int(b)), [side], K, rng)
            if b >= 0:
                inclusion((f"x**{exponent}", lambda x: x ** int(b)), [random_side(rng)], K, rng)


def leaf(rng: random.Random, m: int) -> Formula:
    if rng.random() < 0.3:
        c = Fraction(rng.randint(-30, 30), 10)
        return f"({c})", lambda *x: real(c)
    k = rng.randrange(m)
    return f"x{k}", lambda *x: x[k]


def composition(rng: random.Random, m: int, depth: int) -> Formula:
    """A random expression and its meaning."""
    if depth == 0:
        return leaf(rng, m)
    (a, f), (b, g) = composition(rng, m, depth - 1), composition(rng, m, rng.randrange(depth))
    name = rng.choice(["+", "-", "*", "/", "min", "max", "where", "power", *FUNCTIONS, *FUNCTIONS])
    if name in "+-*":
        operation = {"+": arb.__add__, "-": arb.__sub__, "*": arb.__mul__}[name]
        return f"({a} {name} {b})", lambda *x: operation(f(*x), g(*x))
    if name == "/":
        return f"({a} / (1 + ({b})**2))", lambda *x: f(*x) / (1 + g(*x) ** 2)
    if name in ("min", "max"):
        op: Callable[[arb, arb], arb] = arb.min if name == "min" else arb.max
        return f"{name}({a}, {b})", lambda *x: op(f(*x), g(*x))
    if name == "where":
        return f"where({a} < {b}, {a}, sin({b}))", lambda *x: f(*x) if f(*x) < g(*x) else g(*x).sin()
    if name == "power":
        n = rng.randint(0, 4)
        return f"({a})**{n}", lambda *x: f(*x) ** n
    inner, h = (f"(0.1 + ({a})**2)", lambda *x: real(Fraction(1, 10)) + f(*x) ** 2) if name in POSITIVE else (a, f)
    return f"{name}({inner})", lambda *x: FUNCTIONS[name](h(*x))


@pytest.mark.parametrize("seed", range(60))
def test_compositions_lie_in_their_models(seed: int) -> None:
    rng = random.Random(seed)
    m = rng.randint(1, 3)
    good = 0
    for _ in range(12):
        formula = composition(rng, m, rng.randint(1, 4))
        sides = [random_side(rng, rng.choice([0, 0, -3, -10])) for _ in range(m)]
        K, P = rng.randint(1, 8 if m == 1 else 4), rng.choice([64, 96, 160])
        refused = refusal(partial(inclusion, formula, sides, K, rng, P, 5))
        assert refused in ("", "undefined", "limit"), formula
        good += not refused
    assert good >= 4


@pytest.mark.parametrize("scale", [-60, -30, -8, 0, 8, 30, 60])
@pytest.mark.parametrize("K", [1, 2, 5, 8])
def test_no_scale_costs_precision(scale: int, K: int) -> None:
    """log, sqrt, powers and the reciprocal on [a, 1.2 a] are as precise as on [1, 1.2], in relation to their size."""
    rng = random.Random(scale * 10 + K)
    a = Fraction(2) ** scale
    P = 96 + 3 * abs(scale)
    cases: list[tuple[str, Function, Fraction]] = [
        ("log(x)", lambda x: x.log(), Fraction(1)),
        ("sqrt(x)", lambda x: x.sqrt(), Fraction(2) ** (scale // 2)),
        ("1/x", lambda x: 1 / x, 1 / a),
        ("1/(-x)", lambda x: -1 / x, 1 / a),
        ("x**-2", lambda x: x**-2, 1 / a**2),
        ("x**1.5", lambda x: x ** fmpq(3, 2), Fraction(2) ** (3 * scale // 2)),
        (f"exp(x/2**({scale}))", lambda x: (x / real(a)).exp(), Fraction(1)),
    ]
    for text, function, size in cases:
        model = inclusion((text, function), [(a, a * Fraction(6, 5))], K, rng, P)
        assert Fraction(model.rest, 1 << P) < 5 * size * Fraction(1, 8) ** (K + 1), text


@pytest.mark.parametrize("K", range(1, 9))
def test_the_rest_is_the_next_term(K: int) -> None:
    """The remainders of the rule, and no more than roundings beyond."""
    P, r = 200, Fraction(1, 4)
    power = r ** (K + 1)
    cramer = Fraction(12260, 10000) * Fraction(math.isqrt((2**K << 200) // math.factorial(K)) + 1, 1 << 100) / (K + 1)
    expected = {
        "exp(x)": power * Fraction(math.exp(0.75)) / math.factorial(K + 1),
        "sin(x)": power / math.factorial(K + 1),
        "cos(x)": power / math.factorial(K + 1),
        "atan(x)": power / (K + 1) * Fraction(1.0625 ** (-(K + 1) / 2)),
        "erf(x)": power * cramer,
        "log(x)": (r / Fraction(1, 4)) ** (K + 1) / (K + 1),
        "1/x": power / Fraction(1, 4) ** (K + 2),
        "x**3": max(0, math.comb(3, K + 1)) * power * Fraction(3, 4) ** max(0, 2 - K),
        "sqrt(x)": abs(math.prod([Fraction(1, 2) - k for k in range(K + 1)]))
        / math.factorial(K + 1)
        * power
        * Fraction(2) ** (2 * K + 1),
    }
    for text, most in expected.items():
        rest = Fraction(model_of(text, [(Fraction(1, 4), Fraction(3, 4))], K, P).rest, 1 << P)
        assert rest <= most * Fraction(10**9 + 1, 10**9) + Fraction(1, 1 << 150), text


def test_polynomials_are_exact() -> None:
    text = "3*x0**3 - x0*x1 + x1**2/4 - 7"
    model = model_of(text, [(Fraction(-1), Fraction(1)), (Fraction(0), Fraction(2))], 3, 64)
    assert model.rest == 0
    axes = kernel.monomials(2, 3).axes
    values = {axes[n]: Fraction(c, 1 << 64) for n, c in enumerate(model.coefs) if c}
    expected = {(): Fraction(-27, 4), (0,): -1, (1,): Fraction(1, 2), (0, 1): -1, (1, 1): Fraction(1, 4), (0, 0, 0): 3}
    assert values == expected


@pytest.mark.parametrize(
    ("text", "function", "sides"),
    [
        ("abs(x)", abs, ["-1,2", "0,1", "-1,0", "1,2", "-3,-1", "-1e-9,1"]),
        ("max(x, 1 - x)", lambda x: x.max(1 - x), ["0,1", "0.5,1", "0,0.5", "0.4,0.41", "0.499,0.6"]),
        ("min(x, 1 - x, 3/8)", lambda x: x.min(1 - x).min(arb(0.375)), ["0,1", "0.5,1", "0,0.3", "0.37,0.61"]),
        ("max(x, 2*x, x**2)", lambda x: x.max(2 * x).max(x * x), ["-1,1", "0.1,0.2", "1.9,2.1", "3,4", "-2,-1"]),
        ("sign(x - x**2)", lambda x: sign(x - x * x), ["0,1", "0.1,0.9", "-1,-0.1", "0.9,1.1"]),
        ("floor(3*x)*x", lambda x: (3 * x).floor() * x, ["0,0.3", "0.1,0.4", "-1,1", "0.4,0.6"]),
        ("where(x < 1/2, x, 2*x)", lambda x: x if x < real(Fraction(1, 2)) else 2 * x, ["0,1", "0,0.49", "0.5,1"]),
        ("where(x*x <= x, sqrt(x - x*x), x)", lambda x: (x - x * x).sqrt() if x * x <= x else x, ["0.1,0.3", "1.5,2"]),
        ("where(not (x > 0 and x < 1), x**3, exp(x))", lambda x: x.exp() if 0 < x < 1 else x**3, ["-1,2", "0.1,0.9"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("K", [1, 2, 4, 7])
def test_kinks_and_jumps(text: str, function: Function, sides: list[str], K: int) -> None:
    rng = random.Random(K)
    for side in sides:
        lo, hi = map(Fraction, side.split(","))
        inclusion((text, function), [(lo, hi)], K, rng, 96, 60)


def test_decided_kinks_are_smooth() -> None:
    for text in ("abs(x + 2)", "max(x + 2, x)", "min(x, x + 1, 9)", "where(x < 2, x, log(x - 10))", "x*sign(x + 2)"):
        model = model_of(text, [(Fraction(-1), Fraction(1))], 2)
        assert model.rest == 0, text
        assert model.coefs[1] == 1 << 96, text


def test_the_range_of_a_difference_decides() -> None:
    """Intervals alone would not see that x < x + 1/5 + x^2 / 100 on [0, 5]."""
    for text in ("where(x < x + 0.2 + x**2/100, x, 1/0)", "min(x, x + 0.2 + x**2/100)"):
        assert model_of(text, [(Fraction(0), Fraction(5))], 2).coefs[1] == 5 << 95, text


@pytest.mark.parametrize(
    "text", ["log(x)", "1/x", "sqrt(x - 1/8)", "x**-1", "x**0.5 + (x - 1/2)**-2", "tan(10*x)", "0/(x - 1/3)"]
)
def test_undefined_targets_have_no_model(text: str) -> None:
    with pytest.raises(kernel.Rejected) as rejected:
        model_of(text, [(Fraction(0), Fraction(1))], 3)
    assert rejected.value.reason == "undefined"


def test_near_singularities() -> None:
    rng = random.Random(1)
    for text, function in {
        "log(x)": lambda x: x.log(),
        "1/x": lambda x: 1 / x,
        "sqrt(x)": lambda x: x.sqrt(),
        "x**(1/3)": lambda x: x ** fmpq(1, 3),
        "x**-3": lambda x: x**-3,
        "tan(x - pi/2)": lambda x: (x - arb.pi() / 2).tan(),
    }.items():
        for tiny in (Fraction(1, 10), Fraction(1, 10**6), Fraction(1, 2**40)):
            for K in (1, 3, 8):
                inclusion((text, function), [(tiny, Fraction(1))], K, rng)
    for K in (1, 3, 8):
        inclusion(("sqrt(x)", lambda x: x.sqrt()), [(Fraction(0), Fraction(1))], K, rng)
        inclusion(("x**2.5", lambda x: x ** fmpq(5, 2)), [(Fraction(0), Fraction(3))], K, rng)


def test_models_that_explode_stay_within_limits() -> None:
    inner = "x"
    for _ in range(60):
        inner = f"(2*({inner})**2 - 1)"
    model = model_of(inner, [(Fraction(-1), Fraction(1))], 4, 64)
    assert max(map(abs, model.coefs)).bit_length() < 200_000


def test_too_many_terms() -> None:
    with pytest.raises(kernel.Rejected) as rejected:
        modeller("x0", [(Fraction(0), Fraction(1))] * 30, 8, 64)
    assert rejected.value.reason == "limit"


def test_the_least_value_of_a_polynomial() -> None:
    rng = random.Random(7)
    for _ in range(300):
        m, K = rng.randint(1, 3), rng.randint(1, 5)
        table = kernel.monomials(m, K)
        coefs = [rng.randint(-1000, 1000) * rng.choice([0, 1, 1]) for _ in table.axes]
        least = table.least(coefs)
        for _ in range(30):
            u = [Fraction(rng.randint(-8, 8), 8) for _ in range(m)]
            value = sum(c * math.prod([u[k] for k in each]) for c, each in zip(coefs, table.axes, strict=True))
            assert value >= least
    for m, K in ((1, 6), (2, 4), (3, 4)):
        table = kernel.monomials(m, K)
        for n, each in enumerate(table.axes[1:], 1):
            even = all(each.count(k) % 2 == 0 for k in range(m))
            for c in (1, -1):
                assert table.least([c * (k == n) for k in range(len(table.axes))]) == (0 if even and c > 0 else -1)
    line = kernel.monomials(1, 2)
    assert [line.least([0, a, b]) for a, b in [(4, 4), (-4, 4), (3, 0), (8, 4), (9, 4), (-3, -5)]] == [
        -1,
        -1,
        -3,
        -4,
        -5,
        -8,
    ]


# ---------------------------------------------------------------------------------------------------------------------
# Leaves


def smooth_head(rng: random.Random, m: int, n: int, beta: float) -> tuple[Any, Callable[..., Any]]:
    """A head with random keys, biases and values, and its T in mpmath; keys and values are exact."""
    centres = [tuple(rng.randint(-16, 16) / 16 for _ in range(m)) for _ in range(n)]
    values = [Fraction(rng.randint(-50, 50), 48) for _ in range(n)]
    head = uniform_head(centres, beta, [[str(v) for v in values]])

    def T(*x: Any) -> Any:
        scores = [
            mpmath.fsum(2 * beta * c * y - beta * c * c for c, y in zip(centre, x, strict=True)) for centre in centres
        ]
        weights = [mpmath.exp(score - max(scores)) for score in scores]
        parts = [w * v.numerator / v.denominator for w, v in zip(weights, values, strict=True)]
        return mpmath.fsum(parts) / mpmath.fsum(weights)

    return head, T


TARGETS: list[tuple[str, int, Callable[..., Any]]] = [
    ("sin(3*x)", 1, lambda x: mpmath.sin(3 * x)),
    ("exp(-x**2)*x", 1, lambda x: mpmath.exp(-x * x) * x),
    ("1/(2 + x) + tanh(x)", 1, lambda x: 1 / (2 + x) + mpmath.tanh(x)),
    ("sqrt(x + 2) - log(x + 3)", 1, lambda x: mpmath.sqrt(x + 2) - mpmath.log(x + 3)),
    ("atan(4*x) + erf(x)/3", 1, lambda x: mpmath.atan(4 * x) + mpmath.erf(x) / 3),
    ("x0*x1 + cos(x0)", 2, lambda x, y: x * y + mpmath.cos(x)),
    ("sigmoid(2*x0 - x1)", 2, lambda x, y: 1 / (1 + mpmath.exp(y - 2 * x))),
]


def worst(error: Callable[..., Any], m: int) -> tuple[Any, list[Any]]:
    """The greatest |error| on [-1, 1]^m, from a grid and ever finer ones around its best point."""
    at, step = [mpmath.mpf(0)] * m, mpmath.mpf(1) / (100 if m == 1 else 12)
    best, width = (mpmath.mpf(-1), at), round(1 / step)
    for _ in range(14):
        _, middle = best
        for offset in product(range(-width, width + 1), repeat=m):
            x = [min(max(c + k * step, -1), 1) for c, k in zip(middle, offset, strict=True)]
            best = max(best, (abs(error(*x)), x))
        step, width = step / 4, 5
    return best


def searched(statement: Any, bound: str, marks: str, depth: int, axes: str, P: int = 96) -> str | None:
    """A tree whose leaves the kernel proves with the first mark that does, or none within the depth."""
    proof = kernel.Paving(read(statement), 0, P, 60, Fraction(bound))

    def visit(box: kernel.Box, tokens: list[kernel.Tokens], level: int) -> str | None:
        actives = proof.active(box, tokens)
        for mark in marks:
            refused = refusal(partial(proof.rule, mark, box, actives))
            assert refused in ("", "leaf", "undefined")
            if not refused:
                return mark
        tree = axis = axes[level % len(axes)]
        for half in proof.halves(box, axis, "here") if level < depth else ():
            below = visit(half, [active.tokens for active in actives], level + 1)
            if below is None:
                return None
            tree += below
        return tree if level < depth else None

    return visit(proof.root, proof.all, 0)


def case(seed: int) -> tuple[Any, Any, int]:
    """A statement, the greatest error of its head, and the number of its inputs."""
    rng = random.Random(seed)
    text, m, f = TARGETS[seed % len(TARGETS)]
    head, T = smooth_head(rng, m, rng.randint(2, 9), rng.choice([0.25, 1.0, 3.0, 10.0]))
    greatest, _ = worst(lambda *x: f(*x) - T(*x), m)
    return make_statement(text, [["-1", "1"]] * m, head, "100"), greatest, m


@pytest.mark.parametrize("seed", range(14))
def test_bounds_slightly_above_the_error_are_proved_and_none_below(seed: int) -> None:
    statement, greatest, m = case(seed)
    above, below = [mpmath.nstr(greatest * (1 + sign * mpmath.mpf("1e-4")), 15) for sign in (1, -1)]
    axes = "01"[:m]
    found = searched(statement, above, "F" if m == 1 else "E", 20, axes)
    assert found is not None
    certificate = sealed(statement, paving(above, found, precision=96, silence=60))
    result = check(certificate)
    assert result.verdict == "proved"
    assert result.leaves == sum(found.count(mark) for mark in "EF")
    certificate["evidence"]["bound"] = below
    assert reason(certificate) == "leaf"
    deep = {"1": 10, "2": 8}[str(m)]
    assert searched(statement, below, "B" if seed % 2 else "FD", deep, axes) is None


@pytest.mark.parametrize("seed", range(21))
def test_false_claims_are_never_proved(seed: int) -> None:
    """Trees of Taylor leaves of all orders, as deep as they like, do not prove what is false."""
    rng = random.Random(seed + 1000)
    statement, greatest, m = case(seed)
    for _ in range(12):
        slightly = 1 - mpmath.mpf(10) ** -rng.choice([1, 2, 4, 8, 14])
        bound = mpmath.nstr(greatest * slightly, 20)

        def tree(depth: int) -> str:
            if depth == 0 or rng.random() < 0.05:
                return chr(ord("A") + rng.randrange(26 if m == 1 else 6))
            return f"{rng.randrange(m)}{tree(depth - 1)}{tree(depth - 1)}"

        precision, silence = rng.choice([32, 64, 96, 300]), rng.choice([5, 20, 60])
        assert (
            reason(sealed(statement, paving(bound, tree(rng.randint(0, 7)), precision=precision, silence=silence)))
            == "leaf"
        )


@pytest.mark.parametrize("seed", range(40))
def test_no_leaf_proves_less_than_an_error_inside(seed: int) -> None:
    """The least bound that a leaf proves is at least its greatest error, and close to it on a small box."""
    rng = random.Random(seed)
    text, m, f = TARGETS[seed % len(TARGETS)]
    head, T = smooth_head(rng, m, rng.randint(1, 9), rng.choice([0.25, 2.0, 20.0, 500.0]))
    statement = make_statement(text, [["-1", "1"]] * m, head, "100")
    K = rng.randint(1, 7)
    level = rng.randint(0, 9)
    silence = rng.choice([4, 12, 60])
    proof = kernel.Paving(read(statement), 0, 96, silence, Fraction(100))
    box, tokens = proof.root, proof.all
    for n in range(level):
        tokens = [active.tokens for active in proof.active(box, tokens)]
        box = rng.choice(proof.halves(box, str(n % m), "here"))
    actives = proof.active(box, tokens)
    sides = [(mpmath.mpf(lo) / 2**96, mpmath.mpf(hi) / 2**96) for lo, hi, _, _ in box]
    greatest = 0
    for _ in range(60):
        x = [rng.choice([lo, hi, lo + (hi - lo) * rng.random()]) for lo, hi in sides]
        greatest = max(greatest, abs(f(*x) - T(*x)))
    low, high = 0, 100 << 96
    while high - low > 1 << 60:
        proof.bound = low + high >> 1
        refused = refusal(partial(proof.rule, chr(64 + K), box, actives))
        assert refused in ("", "leaf")
        low, high = (proof.bound, high) if refused else (low, proof.bound)
    assert mpmath.mpf(high) / 2**96 >= greatest
    if K >= 5 and level >= 6 * m and silence == 60:
        assert mpmath.mpf(high) / 2**96 <= greatest * mpmath.mpf("1.01") + mpmath.mpf("1e-6")


# ---------------------------------------------------------------------------------------------------------------------
# Certificates


CENTRES = grid(8)


def grid_head(function: Callable[[float], float], target: str) -> Any:
    """The uniform head of a function on [0, 1], soft enough that its error is smooth."""
    head = uniform_head(CENTRES, 100.0, [sampled(function, CENTRES)])
    return make_statement(target, [["0", "1"]], head, "1")


def sine(x: float) -> float:
    return math.sin(2 * math.pi * x)


SOFT = grid_head(sine, "sin(2*pi*x)")  # its error is 0.4055


def test_marks_of_the_orders() -> None:
    """One certificate with many orders; what one order proves, others may not."""
    tree = searched(SOFT, "0.5", "C", 9, "0", 64)
    assert tree is not None
    assert check(sealed(SOFT, paving("0.5", tree))).obligations == 2 * tree.count("C")
    mixed = tree.replace("C", "Z", 2).replace("C", "D", 1)
    assert check(sealed(SOFT, paving("0.5", mixed))).leaves == tree.count("C")
    assert reason(sealed(SOFT, paving("0.5", "C"))) == "leaf"
    for mark in "[#à*! ~":
        assert reason(sealed(SOFT, paving("0.5", tree.replace("C", mark, 1)))) == "tree", mark


def test_few_leaves_where_score_boxes_need_many() -> None:
    """Near the error of a smooth head the order 0 needs ever smaller boxes."""
    statement, greatest, _ = case(7)
    bound = mpmath.nstr(greatest * mpmath.mpf("1.00001"), 12)
    tree = searched(statement, bound, "D", 12, "0")
    assert tree is not None
    assert tree.count("D") < 40
    assert searched(statement, bound, ".", 12, "0") is None


def test_a_kink_between_smooth_parts() -> None:
    """The box of the kink has a score box or a Taylor leaf of its own; the target is abs(x - 1/3)."""
    statement = grid_head(lambda x: abs(x - 1 / 3), "abs(x - 1/3)")
    for marks in ("D.", "D", ".D"):
        tree = searched(statement, "0.075", marks, 14, "0", 64)
        assert tree is not None
        assert check(sealed(statement, paving("0.075", tree))).verdict == "proved"


def test_two_rows_and_fixed_entries() -> None:
    """Both rows count, and an entry that does not vary takes no part in the polynomials."""
    cosine = sampled(lambda x: math.cos(2 * math.pi * x), CENTRES)
    head = uniform_head([(c, 0.0) for (c,) in CENTRES], 100.0, [sampled(sine, CENTRES), cosine])
    box = [["0", "1"], ["1/3", "1/3"]]
    statement = make_statement("[sin(2*pi*x0) + x1 - 1/3, cos(2*pi*x0)*3*x1]", box, head, "1")
    tree = searched(statement, "0.5", "D", 9, "0", 64)
    assert tree is not None
    assert check(sealed(statement, paving("0.5", tree))).obligations == 4 * tree.count("D")
    statement["target"] = "[sin(2*pi*x0) + x1 - 1/3, cos(2*pi*x0)*3*x1 + 1/2]"
    assert reason(sealed(statement, paving("0.5", tree))) == "leaf"


def test_undefined_targets_are_rejected() -> None:
    statement = json.loads(json.dumps(SOFT))
    statement["target"] = "sin(2*pi*x) + 0*log(x - 1/3)"
    assert reason(sealed(statement, paving("0.5", "D"))) == "undefined"


def test_silent_tokens_cost_their_weight() -> None:
    """With loud tokens called silent, no leaf proves the bound; dropped ones cost W G."""
    tree = searched(SOFT, "0.42", "D", 9, "0", 64)
    assert tree is not None
    assert check(sealed(SOFT, paving("0.42", tree))).verdict == "proved"
    assert reason(sealed(SOFT, paving("0.42", tree, silence=1))) == "leaf"


@pytest.mark.parametrize("precision", [40, 64, 128, 512])
def test_any_precision_that_suffices(precision: int) -> None:
    tree = searched(SOFT, "0.42", "D", 9, "0", 64)
    assert tree is not None
    assert check(sealed(SOFT, paving("0.421", tree, precision=precision))).verdict == "proved"


def test_wide_scores_are_no_leaf() -> None:
    """Leaves on which the scores vary by thousands are not proved, and cost no time."""
    head = uniform_head(CENTRES, 2.0**40, [["0"] * 4 + ["1"] * 4])
    statement = make_statement("0*x", [["0", "1"]], head, "1")
    for order in "AHZ":
        assert reason(sealed(statement, paving("0.99", order))) == "leaf"
        assert reason(sealed(statement, paving("0.99", f"0{order}{order}"))) == "leaf"


def affine_head(slopes: Sequence[Any], biases: Sequence[Any], values: Sequence[Any]) -> Any:
    """The head with the scores slope x + bias."""
    head = uniform_head([(0.0,)] * len(slopes), 1.0, [[str(v) for v in values]])
    head["R"]["rows"][1:3] = [str(a) for a in slopes], [str(b) for b in biases]
    return head


def least_bound(target: str, head: Any, side: list[str], mark: str, P: int) -> Any:
    """The least bound that a single leaf proves."""
    statement = make_statement(target, [side], head, "100")
    proof = kernel.Paving(read(statement), 0, P, 60, Fraction(100))
    actives = proof.active(proof.root, proof.all)
    low, high = 0, 8 << P
    while high - low > 1:
        proof.bound = low + high >> 1
        refused = refusal(partial(proof.rule, mark, proof.root, actives))
        low, high = (proof.bound, high) if refused else (low, proof.bound)
    return mpmath.mpf(high) / 2**P


def mean_at(x: Fraction | int, slopes: Sequence[Any], biases: Sequence[Any], values: Sequence[Any]) -> Any:
    """The head's value to many digits."""
    scores = [Fraction(a) * x + Fraction(b) for a, b in zip(slopes, biases, strict=True)]
    weights = [mpmath.exp(mpmath.mpf(score.numerator) / score.denominator) for score in scores]
    parts = [w * v.numerator / v.denominator for w, v in zip(weights, map(Fraction, values), strict=True)]
    return mpmath.fsum(parts) / mpmath.fsum(weights)


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("turn", [1, -1])
def test_the_rest_of_the_weights_counts(order: int, turn: int) -> None:
    """Heavy tokens of value 0 lose weight where two light ones of values 1 and -1 disagree most."""
    slopes = [Fraction(turn * a, 100) for a in (10, -90, 10, -10)]
    biases = [Fraction(math.log(p)) for p in (0.9, 0.1, 0.001, 0.001)]
    head = affine_head(slopes, biases, [0, 0, 1, -1])
    greatest = max(abs(mean_at(x, slopes, biases, [0, 0, 1, -1])) for x in (1, -1))
    found = least_bound("0*x", head, ["-1", "1"], chr(64 + order), 96)
    assert greatest <= found <= greatest * mpmath.mpf("1.2")


@pytest.mark.parametrize("seed", range(40))
def test_the_rounding_of_weights_is_paid_for(seed: int) -> None:
    """At 32 bits and far from 0 the scores are known to some 2^-12; no bound below the error at the end is proved."""
    rng = random.Random(seed)
    far, step = 2 ** rng.choice([10, 18, 22]), Fraction(1, 2**32)
    n = rng.randint(2, 3)
    slopes = [Fraction(rng.randint(0, 300), 100) * step for _ in range(n)]
    biases = [Fraction(rng.randint(0, 300), 100) * step for _ in range(n)]
    values = [Fraction(rng.randint(0, 300), 100) for _ in range(n)]
    target = rng.choice(["3.5", "-0.5"])
    head = affine_head(slopes, biases, values)
    found = least_bound(f"{target} + 0*x", head, [str(far - 1), str(far)], "B", 32)
    for x in (far - 1, far):
        error = abs(mpmath.mpf(target) - mean_at(x, slopes, biases, values))
        assert error <= found <= error + 100 * far * mpmath.mpf(2) ** -32
