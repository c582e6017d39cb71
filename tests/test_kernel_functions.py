"""The elementary functions of the kernel against Arb: an enclosure contains the exact range and is hardly wider."""

import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial

import pytest
from flint import arb, ctx, fmpq, fmpz

from attncert.verifier import kernel

PRECISIONS = [64, 128, 300]
MONOTONE: dict[str, Callable[[arb], arb]] = {
    "exp": arb.exp,
    "log": arb.log,
    "sqrt": arb.sqrt,
    "tan": arb.tan,
    "atan": arb.atan,
    "sinh": arb.sinh,
    "tanh": arb.tanh,
    "sigmoid": lambda a: 1 / (1 + (-a).exp()) if a > 0 else a.exp() / (1 + a.exp()),
    "erf": arb.erf,
}
FUNCTIONS = [*MONOTONE, "sin", "cos", "cosh"]
SLACK = 3  # units by which an end may stick out


@pytest.fixture(autouse=True)
def arb_precision() -> Iterator[None]:
    """Work far beyond the precision under test."""
    old = ctx.prec
    ctx.prec = 8000
    yield
    ctx.prec = old


def real(x: int, P: int) -> arb:
    """The exact number x 2^-P."""
    return arb(fmpz(x)) * arb(2) ** -P


def floor_of(value: arb) -> int:
    """The integer part of a ball that meets no integer, or is one."""
    low, high = value.lower().floor().unique_fmpz(), value.upper().floor().unique_fmpz()
    assert low is not None
    assert low == high
    return int(low)


def extremes(name: str, lo: int, hi: int, P: int) -> tuple[arb, arb]:
    """The exact least and greatest value of a function on an interval."""
    a, b = real(lo, P), real(hi, P)
    if name in MONOTONE:
        return MONOTONE[name](a), MONOTONE[name](b)
    if name == "cosh":
        near, far = (a.cosh(), b.cosh()) if abs(lo) < abs(hi) else (b.cosh(), a.cosh())
        return (arb(1) if lo <= 0 <= hi else near), far
    values = [a.sin(), b.sin()] if name == "sin" else [a.cos(), b.cos()]
    least, greatest = (values[0], values[1]) if values[0] < values[1] else (values[1], values[0])
    # 1 is taken at (shift + 4n) pi/2 and -1 half a turn later
    shift = 1 if name == "sin" else 0

    def meets(quarter: int) -> bool:
        if quarter == 0 and lo <= 0 <= hi:
            return True
        turns = [(v / (arb.pi() / 2) - quarter) / 4 for v in (a, b)]
        counts = [0 if quarter == 0 and end == 0 else floor_of(turn) for turn, end in zip(turns, (lo, hi), strict=True)]
        return counts[0] < counts[1]

    return (arb(-1) if meets(shift + 2) else least), (arb(1) if meets(shift) else greatest)


def operation(name: str, P: int) -> Callable[..., tuple[int, int]]:
    """An operation of the target language on intervals; a root is a power."""
    arithmetic = kernel.Arithmetic(P, kernel.Limits())
    if name == "sqrt":
        return partial(arithmetic.call, "power", value=Fraction(1, 2))
    return partial(arithmetic.call, name)


def check(name: str, lo: int, hi: int, P: int) -> None:
    """Compare one enclosure with the exact range."""
    low, high = operation(name, P)((lo, hi))
    least, greatest = (v * arb(2) ** P for v in extremes(name, lo, hi, P))
    where = f"{name} on [{lo:#x}, {hi:#x}] 2^-{P}: [{low:#x}, {high:#x}]"
    assert not least < low, f"{where} misses the least value {least}"
    assert not greatest > high, f"{where} misses the greatest value {greatest}"
    assert least - low < SLACK, f"{where} is loose below"
    assert high - greatest < SLACK, f"{where} is loose above"


def arguments(rnd: random.Random, P: int) -> int:
    """A random argument: of every size, near zero, near integers, near multiples of pi/2."""
    one = 1 << P
    kind = rnd.randrange(6)
    sign = rnd.choice([1, -1])
    if kind == 0:
        return sign * rnd.randrange(8)
    if kind == 1:
        return sign * rnd.getrandbits(rnd.randrange(1, P + 4))
    if kind == 2:
        return sign * rnd.getrandbits(P + rnd.randrange(4, 10))
    if kind == 3:
        return sign * rnd.randrange(12) * one + rnd.randrange(-2, 3)
    if kind == 4:
        return sign * (kernel.constant("pi", P)[0] * rnd.randrange(1, 2000) >> 1) + rnd.randrange(-2, 3)
    return sign * rnd.randrange(1, 40) * (one >> rnd.randrange(6))


def interval(rnd: random.Random, name: str, P: int) -> tuple[int, int]:
    """A random interval on which the function is defined and of moderate size."""
    while True:
        lo = arguments(rnd, P)
        width = rnd.choice([0, 0, 1, 3, rnd.getrandbits(P // 2), rnd.getrandbits(P), rnd.getrandbits(P + 4)])
        hi = lo + width
        if name == "log" and lo <= 0:
            lo, hi = abs(lo) + 1, abs(lo) + 1 + width
        if name == "sqrt" and lo < 0:
            lo, hi = -lo, -lo + width
        if name in ("exp", "sinh", "cosh") and max(hi, -lo if name != "exp" else 0) >> P > 1000:
            continue
        return lo, hi


def has_pole(lo: int, hi: int, P: int) -> bool:
    """Whether an odd multiple of pi/2 lies in an interval."""
    turns = [floor_of(real(x, P) / arb.pi() + arb("0.5")) for x in (lo, hi)]
    return turns[0] < turns[1]


def run(name: str, P: int, cases: int, seed: str) -> None:
    """Check many random intervals; those on which tan has a pole must be rejected."""
    rnd = random.Random(f"{seed} {name} {P}")
    for _ in range(cases):
        lo, hi = interval(rnd, name, P)
        if name == "tan" and has_pole(lo, hi, P):
            with pytest.raises(kernel.Rejected, match="undefined"):
                operation(name, P)((lo, hi))
        else:
            check(name, lo, hi, P)


@pytest.mark.parametrize("P", PRECISIONS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_enclosure_on_random_intervals(name: str, P: int) -> None:
    run(name, P, 80, "default")


@pytest.mark.slow
@pytest.mark.parametrize("P", [32, *PRECISIONS])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_enclosure_on_many_random_intervals(name: str, P: int) -> None:
    run(name, P, 2100, "slow")


INVERSES: dict[str, Callable[[arb], arb]] = {
    "exp": arb.log,
    "log": arb.exp,
    "sqrt": lambda y: y * y,
    "sin": arb.asin,
    "cos": arb.acos,
    "tan": arb.atan,
    "atan": arb.tan,
    "sinh": arb.asinh,
    "cosh": arb.acosh,
    "tanh": arb.atanh,
    "sigmoid": lambda y: (y / (1 - y)).log(),
    "erf": arb.erfinv,
}


def value_to_hit(rnd: random.Random, name: str, P: int) -> int:
    """A value y 2^-P that the function takes, small, moderate or near the ends of its range."""
    one = 1 << P
    if name in ("sin", "cos", "tanh", "sigmoid", "erf"):
        near_end = one - rnd.getrandbits(rnd.randrange(2, P - 4)) - 1
        y = rnd.choice([rnd.randrange(1, one), rnd.getrandbits(rnd.randrange(2, P)) or 1, near_end])
    elif name == "cosh":
        y = one + rnd.getrandbits(rnd.randrange(2, P + 6)) + 1
    elif name == "atan":
        y = rnd.randrange(1, one * 3 // 2) >> rnd.choice([0, 0, 4, P // 2])
    else:
        y = rnd.getrandbits(rnd.randrange(4, P + 6)) + 1
    odd = name in ("sin", "tan", "atan", "sinh", "tanh", "erf", "log")
    return -y if (odd or name == "cos") and rnd.random() < 0.5 else y


@pytest.mark.slow
@pytest.mark.parametrize("P", [32, 53, 64, 113, 300])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_enclosure_where_values_nearly_are_numbers_of_the_grid(name: str, P: int) -> None:
    """The hardest arguments to round: those next to the places at which the function takes a value y 2^-P."""
    rnd = random.Random(f"grid {name} {P}")
    ctx.prec = 6 * P + 300
    for _ in range(700):
        place = INVERSES[name](real(value_to_hit(rnd, name, P), P)) * arb(2) ** P
        x = floor_of(place)
        for lo in (x, x + 1):
            if not (name in ("log", "sqrt") and lo <= 0):
                check(name, lo, lo, P)


@pytest.mark.parametrize("P", [32, *PRECISIONS])
@pytest.mark.parametrize("name", ["sin", "cos", "atan", "tanh", "sigmoid", "erf"])
@pytest.mark.parametrize("bits", [20, 100, 1000])
def test_enclosure_at_huge_arguments(name: str, P: int, bits: int) -> None:
    for x in (1 << P + bits, (3 << P + bits) + 1, -(5 << P + bits) // 7):
        check(name, x, x, P)


@pytest.mark.parametrize("P", PRECISIONS)
def test_exponential_underflows_and_grows(P: int) -> None:
    ctx.prec = 40000
    for x in (-3 * P, -P, -P + 1, -(P * 7) // 10, 700, 20000):
        check("exp", x << P, (x << P) + 5, P)


@pytest.mark.parametrize("P", PRECISIONS)
@pytest.mark.parametrize(
    ("name", "x", "value"),
    [("exp", 0, 1), ("log", 1, 0), ("sqrt", 9, 3), ("cos", 0, 1), ("cosh", 0, 1)]
    + [(name, 0, 0) for name in ("sqrt", "sin", "tan", "atan", "sinh", "tanh", "erf")],
)
def test_exact_values_are_exact(name: str, x: int, value: int, P: int) -> None:
    assert operation(name, P)((x << P, x << P)) == (value << P, value << P)


@pytest.mark.parametrize("P", PRECISIONS)
def test_half_of_one_from_the_sigmoid(P: int) -> None:
    low, high = operation("sigmoid", P)((0, 0))
    assert low <= 1 << P - 1 <= high <= low + 2


@pytest.mark.parametrize("P", [*PRECISIONS, 1000, 5000])
@pytest.mark.parametrize(("name", "value"), [("pi", arb.pi), ("ln2", arb.const_log2)])
def test_constants(name: str, value: Callable[[], arb], P: int) -> None:
    low, high = kernel.constant(name, P)
    scaled = value() * arb(2) ** P
    assert low < scaled < high
    assert high - low <= 2


@pytest.mark.parametrize("W", [64, 192, 448])
def test_the_series_of_the_logarithm_and_the_arc_tangent(W: int) -> None:
    rnd = random.Random(W)
    for _ in range(200):
        y = rnd.randrange((1 << W) // 3) >> rnd.choice([0, 1, 4, W // 2])
        for sign, function in ((1, arb.atanh), (-1, arb.atan)):
            low, high = kernel.odd_series(y, W, sign)
            scaled = function(real(y, W)) * arb(2) ** W
            assert low <= scaled <= high
            assert high - low < 6 * W


def test_quadrants_count_quarter_turns() -> None:
    P = 64
    for n in range(-50, 50):
        near = floor_of(arb.pi() / 2 * n * arb(2) ** P) if n else 0
        assert kernel.quadrant(near + 1, P) == n
        assert kernel.quadrant(near - 1, P) == n - 1
    assert kernel.quadrant(0, P) == 0


@pytest.mark.parametrize(
    ("name", "lo", "hi"),
    [("log", 0, 1), ("log", -1, 1), ("sqrt", -1, 4), ("tan", 1, 2), ("tan", -2, -1), ("tan", 0, 10**40), ("tan", 4, 8)],
)
def test_undefined_functions_are_rejected(name: str, lo: int, hi: int) -> None:
    with pytest.raises(kernel.Rejected) as rejected:
        operation(name, 64)((lo << 64, hi << 64))
    assert rejected.value.reason == "undefined"


@pytest.mark.parametrize("name", ["exp", "sinh", "cosh"])
def test_exponentials_beyond_the_limit_are_rejected(name: str) -> None:
    with pytest.raises(kernel.Rejected) as rejected:
        operation(name, 64)((0, 10**9 << 64))
    assert rejected.value.reason == "limit"
    if name == "exp":
        assert operation(name, 64)((-(10**9) << 64, -(10**8) << 64)) == (0, 1)


def exact_range(values: list[Fraction], P: int, low: int, high: int) -> None:
    """Check an enclosure against the exact extremes of its candidates."""
    least, greatest = min(values) * 2**P, max(values) * 2**P
    assert low <= least < low + 1
    assert high - 1 < greatest <= high


@pytest.mark.parametrize("P", PRECISIONS)
def test_field_operations_have_the_exact_range(P: int) -> None:
    rnd = random.Random(P)
    call = kernel.Arithmetic(P, kernel.Limits()).call
    for _ in range(300):
        x, y = [sorted(rnd.randrange(-(4 << P), 4 << P) >> rnd.randrange(P) for _ in "ab") for _ in "xy"]
        exact = [[Fraction(end, 1 << P) for end in side] for side in (x, y)]
        pairs = [(u, v) for u in exact[0] for v in exact[1]]
        exact_range([u + v for u, v in pairs], P, *call("+", x, y))
        exact_range([u - v for u, v in pairs], P, *call("-", x, y))
        exact_range([u * v for u, v in pairs], P, *call("*", x, y))
        exact_range([min(u, v) for u, v in pairs], P, *call("min", x, y))
        exact_range([max(u, v) for u, v in pairs], P, *call("max", x, y))
        exact_range([-u for u in exact[0]], P, *call("neg", x))
        zero = [Fraction(0)] if x[0] <= 0 <= x[1] else []
        exact_range([*map(abs, exact[0]), *zero], P, *call("abs", x))
        exact_range([Fraction(u.__floor__()) for u in exact[0]], P, *call("floor", x))
        signs = [Fraction((u > 0) - (u < 0)) for u in exact[0]]
        exact_range(signs, P, *call("sign", x))
        if y[0] <= 0 <= y[1]:
            with pytest.raises(kernel.Rejected):
                call("/", x, y)
        else:
            exact_range([u / v for u, v in pairs], P, *call("/", x, y))


@pytest.mark.parametrize("P", PRECISIONS)
@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 7, 10, -1, -2, -3, -8])
def test_integer_powers_have_the_exact_range(n: int, P: int) -> None:
    rnd = random.Random(n * P)
    arithmetic = kernel.Arithmetic(P, kernel.Limits())
    for _ in range(60):
        lo, hi = sorted(rnd.randrange(-(3 << P), 3 << P) >> rnd.choice([0, 1, P // 3]) for _ in "ab")
        ends = [Fraction(lo, 1 << P), Fraction(hi, 1 << P)]
        inside = [Fraction(0)] if lo <= 0 <= hi else []
        if n < 0 and inside:
            with pytest.raises(kernel.Rejected):
                arithmetic.power(Fraction(n), (lo, hi))
        else:
            exact_range([v**n for v in [*ends, *inside]], P, *arithmetic.power(Fraction(n), (lo, hi)))


@pytest.mark.parametrize("P", PRECISIONS)
@pytest.mark.parametrize("b", ["1/2", "-1/2", "1/3", "7/3", "-5/4", "100/7", "1/1000"])
def test_fractional_powers_are_tight(b: str, P: int) -> None:
    rnd = random.Random(f"{b} {P}")
    exponent = Fraction(b)
    arithmetic = kernel.Arithmetic(P, kernel.Limits())
    for _ in range(40):
        lo = rnd.randrange(1, 3 << P) >> rnd.choice([0, 3, P // 4])
        hi = lo + (rnd.randrange(1 << P) >> rnd.choice([0, P - 2]))
        ends = [
            (real(x, P).log() * arb(fmpq(exponent.numerator, exponent.denominator))).exp() for x in (lo + 1, hi + 1)
        ]
        least, greatest = (v * arb(2) ** P for v in (ends if exponent > 0 else ends[::-1]))
        low, high = arithmetic.power(exponent, (lo + 1, hi + 1))
        assert not least < low
        assert not greatest > high
        assert least - low < SLACK
        assert high - greatest < SLACK
    if exponent > 0:
        assert arithmetic.power(exponent, (0, 1 << P))[0] == 0
    else:
        with pytest.raises(kernel.Rejected):
            arithmetic.power(exponent, (0, 1 << P))


def test_numbers_are_enclosed_by_neighbours() -> None:
    rnd = random.Random(7)
    for _ in range(500):
        value = Fraction(rnd.randrange(-(10**30), 10**30), rnd.randrange(1, 10**20))
        low, high = kernel.enclose(value, 64)
        assert low <= value * 2**64 <= high <= low + 1
    assert kernel.enclose(Fraction(3, 8), 64) == (3 << 61, 3 << 61)
