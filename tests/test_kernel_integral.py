"""The kernel on claims about integrals and measures: what it accepts, and for each reason what it rejects."""

import copy
import itertools
import math
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import mpmath
import pytest
from test_kernel import (
    DELETE,
    JUNK,
    SINE,
    SIXTEEN,
    TARGETS,
    UNIT,
    check,
    edit,
    good,
    grid,
    leaves_of,
    make_statement,
    paving,
    read,
    reason,
    sealed,
    sparse,
    two_columns,
    uniform_head,
    uniform_tree,
)

from attncert.verifier import kernel

Json = Any
Function = Callable[[Any], Any]
THIRD, ZERO, ONE, HALF = Fraction(1, 3), Fraction(0), Fraction(1), Fraction(1, 2)

# --- building certificates -------------------------------------------------------------------------------------------


def claim(
    target: str, p: str, tolerance: str, head: Json, box: list[list[str]] | None = None, *conditions: str
) -> Json:
    statement = make_statement(target, box or UNIT, head, tolerance)
    statement["claim"]["norm"] = p
    if conditions:
        statement["domain"]["where"] = list(conditions)
    return statement


def integral(lower: str, upper: str, *trees: str, precision: int = 64, silence: int = 48) -> Json:
    settings = {"precision": precision, "silence": silence, "trees": list(trees)}
    return {"kind": "integral", "lower": lower, "upper": upper, **settings}


def constant_head(*values: str, inputs: int = 1) -> Json:
    """A single token: T is constant."""
    return uniform_head([(0.0,) * inputs], 1.0, [[value] for value in values])


def walk_of(statement: Json, j: int = 0, silence: int = 48) -> kernel.Integral:
    return kernel.Integral(read(statement), j, 64, silence, Fraction(statement["claim"]["norm"]))


def sums(statement: Json, *trees: str, silence: int = 48) -> tuple[Any, Any]:
    """The lower and upper bounds on the norm that the kernel's sums prove."""
    p = mpmath.mpf(Fraction(statement["claim"]["norm"]).numerator) / Fraction(statement["claim"]["norm"]).denominator
    totals = [mpmath.mpf(0), mpmath.mpf(0)]
    for j, tree in enumerate(trees):
        walk = walk_of(statement, j, silence)
        walk.check(tree)
        volume = math.prod(hi - lo for lo, hi in walk.statement.box)
        for n in range(2):
            exact = Fraction(walk.sums[n]) * volume / 2**walk.F
            totals[n] += mpmath.mpf(exact.numerator) / exact.denominator
    return totals[0] ** (1 / p), totals[1] ** (1 / p)


def text(value: Any) -> str:
    return str(mpmath.nstr(value, 25, min_fixed=-100, max_fixed=100))


def bracket(
    statement: Json, truth: Any, *trees: str, close: float | None = None, silence: int = 48, slip: float = 1e-7
) -> None:
    """The sums bracket the truth, closely if asked; certificates with these bounds are accepted, those beyond not."""
    lower, upper = sums(statement, *trees, silence=silence)
    assert lower <= truth * (1 + slip)
    assert truth * (1 - slip) <= upper
    if close is not None:
        assert upper - lower <= close * truth
    statement["claim"]["tolerance"] = "1000"
    for n, m in ((-1, 1), (-1, -1), (1, 1)):
        low, high = text(lower * (1 + mpmath.mpf("1e-12") * n)), text(upper * (1 + mpmath.mpf("1e-12") * m))
        certificate = sealed(statement, integral(low, high, *trees, silence=silence))
        if n < m:
            found = check(certificate)
            assert (found.verdict, found.bound, found.lower) == ("proved", high, low)
        elif m < 0 or lower > 0:
            assert reason(certificate) == "leaf"


def norm_of(function: Function, p: Any, breaks: Sequence[Any], pieces: int = 1) -> Any:
    """The L_p norm of a function of one variable, by quadrature between the breaks."""
    points = [a + (b - a) * mpmath.mpf(i) / pieces for a, b in itertools.pairwise(breaks) for i in range(pieces)]
    p = mpmath.mpf(p.numerator) / p.denominator
    return mpmath.quad(lambda t: abs(function(t)) ** p, [*points, breaks[-1]], maxdegree=4) ** (1 / p)


def head_of(keys: Sequence[Any], biases: Sequence[Any], values: Sequence[Any]) -> Function:
    exact = [
        [mpmath.mpf(Fraction(v).numerator) / Fraction(v).denominator for v in row] for row in (keys, biases, values)
    ]

    def function(t: Any) -> Any:
        scores = [a * t + b for a, b in zip(exact[0], exact[1], strict=True)]
        weights = [mpmath.exp(score - max(scores)) for score in scores]
        return mpmath.fsum(w * v for w, v in zip(weights, exact[2], strict=True)) / mpmath.fsum(weights)

    return function


def sine_head(beta: float) -> Function:
    keys, biases = [2 * beta * c for (c,) in SIXTEEN], [-beta * c * c for (c,) in SIXTEEN]
    return head_of(keys, biases, [float.fromhex(v) for v in SINE])


def touching(tree_depth: int, *zeros: Fraction) -> str:
    """The uniform tree over [0, 1] whose closed leaves with one of the zeros are singular."""

    def visit(lo: Fraction, hi: Fraction, level: int) -> str:
        if level == 0:
            return "*" if any(lo <= s <= hi for s in zeros) else "."
        middle = (lo + hi) / 2
        return "0" + visit(lo, middle, level - 1) + visit(middle, hi, level - 1)

    return visit(Fraction(0), Fraction(1), tree_depth)


# --- integrals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "beta"), [("1", 300.0), ("2", 300.0), ("3/2", 300.0), ("3", 300.0), ("2.5", 300.0), ("2", 1000.0)]
)
def test_the_sums_bracket_the_norm(p: str, beta: float) -> None:
    T = sine_head(beta)
    truth = norm_of(
        lambda t: mpmath.sin(2 * mpmath.pi * t) - T(t), Fraction(p), [mpmath.mpf(i) / 32 for i in range(33)]
    )
    statement = claim("sin(2*pi*x)", p, "1", uniform_head(SIXTEEN, beta, [SINE]))
    bracket(statement, truth, uniform_tree(10), close=0.3, slip=1e-4)
    bracket(statement, truth, uniform_tree(6), slip=1e-4)


def test_an_integral_is_proved_refuted_or_left_open() -> None:
    """The error is x: its L_2 norm on [0, 3] is exactly 3."""
    tree = uniform_tree(8)
    verdicts = []
    for tolerance in ("2.9", "2.98", "3", "3.02", "4"):
        certificate = sealed(
            claim("x", "2", tolerance, constant_head("0"), [["0", "3"]]), integral("2.98", "3.02", tree)
        )
        if tolerance in ("2.98", "3"):
            assert reason(certificate) == "evidence"
            continue
        found = check(certificate)
        verdicts.append((found.verdict, found.bound, found.lower))
        assert (found.leaves, found.obligations, found.tokens) == (256, 512, 1)
    assert verdicts == [("refuted", "2.9", "2.98"), ("proved", "3.02", "2.98"), ("proved", "3.02", "2.98")]
    assert found.claim == "|x - T|_2 <= 4 on [0, 3]"


def test_main_tells_the_bounds(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    certificate = sealed(claim("x", "1", "0.4", constant_head("0")), integral("0.49", "0.51", uniform_tree(6)))
    path = tmp_path / "file.json"
    path.write_text(kernel.json.dumps(certificate))
    assert kernel.main([str(path)]) == 1
    line = capsys.readouterr().out
    assert line.startswith("refuted ")
    assert "bound 0.4" in line
    assert "norm at least 0.49" in line


def test_exact_sums_are_accepted_to_the_last_unit() -> None:
    """The error is exactly 1/4, on a box of volume 3."""
    for p, low, high in (("1", "3/4", "3/4"), ("2", "0.4330127018922193", "0.4330127018922194")):
        statement = claim("1/2", p, "1", constant_head("1/4"), [["-1/3", "8/3"]])
        assert check(sealed(statement, integral(low, high, "."))).verdict == "proved"
        assert check(sealed(statement, integral(low, high, "00..0.."))).verdict == "proved"
        less, more = str(Fraction(low) - Fraction(1, 2**50)), str(Fraction(high) + Fraction(1, 2**50))
        assert reason(sealed(statement, integral("0", less, "."))) == "leaf"
        assert reason(sealed(statement, integral(more, "1", "."))) == "leaf"
        assert check(sealed(statement, integral(less, more, "."))).verdict == "proved"


def test_the_last_units_are_rounded_outward() -> None:
    walk = walk_of(claim("0", "1", "1", constant_head("1/3")))
    walk.check("0..")
    assert walk.sums[0] < Fraction(2**128, 3) < walk.sums[1]
    walk = walk_of(claim("0", "2", "1", constant_head("0x1p-64")))  # the square is the unit of the sums
    walk.check(uniform_tree(3))
    assert walk.sums == [0, 8]


def test_the_entries_of_all_columns_add_up() -> None:
    column = claim("[x, 1]", "2", "1", constant_head("0", "1/2"))
    bracket(column, mpmath.sqrt(mpmath.mpf(7) / 12), uniform_tree(8), close=0.02, slip=1e-12)
    bracket(claim("[x, 1]", "1", "1", constant_head("0", "1/2")), mpmath.mpf(1), uniform_tree(8), close=0.02)
    head = constant_head("0")
    head["input_shape"] = [1, 2]
    head["linear"][0]["Q"] = sparse(2, 2, (0, 0, "1"), (1, 1, "1"))
    head["R"] = {"shape": [5, 2], "rows": ["0", "0", "0", "1", "0"]}
    head["W_O"] = sparse(2, 2, (0, 0, "1"), (1, 1, "1"))
    statement = claim("[[X[0,0], 2*X[0,1]]]", "1", "1", head, UNIT * 2)
    bracket(statement, mpmath.mpf("1.5"), uniform_tree(7), "1" + 2 * uniform_tree(7, "1"), close=0.1)
    assert reason(sealed(statement, integral("0", "3", "."))) == "tree"
    assert reason(sealed(statement, integral("0", "1.4", uniform_tree(7), uniform_tree(7, "1")))) == "leaf"


@pytest.mark.parametrize("seed", range(24))
def test_random_heads_and_trees_bracket_the_norm(seed: int) -> None:
    rnd = random.Random(seed)
    name, function = TARGETS[seed % len(TARGETS)]
    n, p = rnd.randrange(1, 6), rnd.choice(["1", "2", "3/2", "4", "7/5"])
    keys, biases, values = [
        [str(Fraction(rnd.randrange(-900, 900), rnd.choice([7, 16, 30]))) for _ in range(n)] for _ in "kbv"
    ]
    values = [str(Fraction(v) / 40) for v in values]
    head = uniform_head([(0.0,)] * n, 1.0, [values])
    head["R"]["rows"][1:3] = [keys, biases]
    T = head_of(keys, biases, values)
    breaks = sorted({mpmath.mpf(i) / 24 for i in range(25)} | {mpmath.mpf("0.3")})
    truth = norm_of(lambda t: function(t) - T(t), Fraction(p), breaks)
    statement = claim(name, p, "1", head)
    silence = rnd.choice([5, 20, 48])
    for depth in (0, 2, 5, 9):
        bracket(statement, truth, uniform_tree(depth), silence=silence, slip=1e-3)
    lower, upper = sums(statement, uniform_tree(9), silence=48)
    assert upper - lower < 0.3 * truth + 0.05


def test_jumps_cost_the_measure_of_the_boxes_that_meet_them() -> None:
    for name in ("where(x < 1/3, -1, 1)", "sign(x - 1/3)", "2*floor(x + 2/3) - 1"):
        statement = claim(name, "2", "1", constant_head("1/2"))
        bracket(statement, mpmath.sqrt(mpmath.mpf(11) / 12), uniform_tree(8), close=0.01, slip=1e-12)


def disc(depth: int) -> str:
    """A tree over [-1, 1]^2 that leaves out the boxes outside the unit disc."""

    def visit(box: list[tuple[Fraction, Fraction]], level: int) -> str:
        nearest = sum((Fraction(0) if lo <= 0 <= hi else min(abs(lo), abs(hi)) ** 2 for lo, hi in box), Fraction(0))
        if nearest > 1:
            return "-"
        if level == 0:
            return "."
        axis = level % 2
        lo, hi = box[axis]
        halves = []
        for side in ((lo, (lo + hi) / 2), ((lo + hi) / 2, hi)):
            half = box.copy()
            half[axis] = side
            halves.append(visit(half, level - 1))
        return str(axis) + "".join(halves)

    return visit([(Fraction(-1), Fraction(1))] * 2, depth)


def test_conditions_cut_out_the_domain() -> None:
    square, inside = [["-1", "1"]] * 2, "x0**2 + x1**2 <= 1"
    tree = disc(10)
    assert "-" in tree
    for name, p, truth in (
        ("1", "1", mpmath.pi),
        ("1", "2", mpmath.sqrt(mpmath.pi)),
        ("x0", "1", mpmath.mpf(4) / 3),
        ("x1", "2", mpmath.sqrt(mpmath.pi / 4)),
    ):
        bracket(claim(name, p, "1", constant_head("0", inputs=2), square, inside), truth, tree, close=0.4, slip=1e-12)
    whole = claim("1", "1", "9", constant_head("0", inputs=2), square)
    assert check(sealed(whole, integral("3.9", "4.1", "01..1.."))).verdict == "proved"
    assert reason(sealed(whole, integral("3", "4", tree))) == "leaf"  # no condition: nothing is outside
    cut = claim("1", "1", "9", constant_head("0", inputs=2), square, inside)
    assert reason(sealed(cut, integral("3.9", "4.1", "01..1.."))) == "leaf"  # no box lies inside
    assert reason(sealed(cut, integral("0", "4.1", "-"))) == "leaf"
    everywhere = claim("1", "1", "9", constant_head("0", inputs=2), square, "x0 < 2", "log(x1) < 1")
    assert reason(sealed(everywhere, integral("1", "4.1", "01..1.."))) == "leaf"  # log is not defined
    assert check(sealed(everywhere, integral("0", "4.1", "01..1.."))).verdict == "proved"


def test_nothing_is_not_an_integral() -> None:
    statement = claim("x", "1", "1", constant_head("0"), None, "x > 2")
    assert reason(sealed(statement, integral("0", "1", "-"))) == "tree"


def test_the_greatest_mean_is_that_of_the_best_corner() -> None:
    rnd = random.Random(1)
    for _ in range(300):
        values, lows = [rnd.randrange(-500, 500) for _ in range(5)], [rnd.randrange(50) for _ in range(4)] + [30]
        highs = [low + rnd.randrange(low == 0, 50) for low in lows[:4]] + [30]
        corners = itertools.product(*zip(lows, highs, strict=True))
        means = [Fraction(sum(w * v for w, v in zip(ws, values, strict=True)), sum(ws)) for ws in corners]
        assert kernel.greatest_mean(values, lows, highs) == math.ceil(max(means))
        n = rnd.randrange(4)  # a weight without a high end: from its low end to infinity
        highs[n] = 0
        above = kernel.greatest_mean(values, lows, highs)
        highs[n] = 10**9
        ends = itertools.product(*zip(lows, highs, strict=True))
        means = [Fraction(sum(w * v for w, v in zip(ws, values, strict=True)), sum(ws)) for ws in ends]
        assert above == math.ceil(max([*means, values[n]]))


def test_dropped_tokens_and_far_scores_are_paid_for() -> None:
    """A silent token has a huge value; and on one box the scores are so steep that no exponential can be used."""
    head = uniform_head([(0.5,), (8.0,)], 1.0, [["0", "1000000"]])
    true = norm_of(
        lambda t: 1e6 / (1 + mpmath.exp(63.75 - 15 * t)), Fraction(1), [mpmath.mpf(i) / 16 for i in range(17)]
    )
    statement = claim("0", "1", "1", head)
    for silence in (20, 60, 80):
        bracket(statement, true, uniform_tree(8), silence=silence, slip=1e-6)
    steep = uniform_head([(0.25,), (0.75,)], 2.0**60, [["0", "1"]])
    bracket(claim("0", "1", "1", steep), mpmath.mpf("0.5"), uniform_tree(7), close=0.05, slip=1e-9)
    lower, upper = sums(claim("0", "1", "1", steep), ".")
    assert (lower, upper) == (0, 1)


def test_weights_without_bound_do_not_spoil_the_range() -> None:
    """The middle score is anywhere in [-500, 500]: the mean lies between 10 e^-5 / (1 + e^-5) and the middle value."""
    head = uniform_head([(0.0,)] * 3, 1.0, [["0", "1/2", "10"]])
    head["R"]["rows"][1:3] = [["0", "1000", "0"], ["0", "-500", "-5"]]
    for values, signs in ((["0", "1/2", "10"], 1), (["0", "-1/2", "-10"], -1)):
        head["R"]["rows"][-1] = values
        walk = walk_of(claim("0", "1", "1", head))
        (active,) = walk.active(walk.root, walk.all)
        assert len(active.tokens[0]) == 3
        leaf = kernel.Leaf(walk, ".", walk.root, [active])
        ends = sorted(-signs * Fraction(end, 2**64) for end in leaf.error(0, (0, 0)))
        assert ends[1] == HALF
        assert 0 <= 10 * math.exp(-5) / (1 + math.exp(-5)) - ends[0] < 1e-15


@pytest.mark.parametrize("precision", [32, 40, 128, 1000])
def test_any_precision_that_suffices(precision: int) -> None:
    statement = claim("sin(2*pi*x)", "3/2", "1", uniform_head(SIXTEEN, 4000.0, [SINE]))
    lower, upper = sums(statement, uniform_tree(7))
    bounds = text(lower * 0.999), text(upper * 1.001)
    assert check(sealed(statement, integral(*bounds, uniform_tree(7), precision=precision))).verdict == "proved"


# --- singularities ---------------------------------------------------------------------------------------------------

SINGULAR: list[tuple[str, str, Fraction, Function]] = [
    ("abs(x - 1/3)**(-1/4)", "2", THIRD, lambda t: abs(t - mpmath.mpf(1) / 3) ** -0.25),
    ("abs(1/3 - x)**(-1/4)", "3/2", THIRD, lambda t: abs(t - mpmath.mpf(1) / 3) ** -0.25),
    ("abs(x - 1/2)**(-1/4)", "2", HALF, lambda t: abs(t - 0.5) ** -0.25),
    ("abs(x + -0.5)**-0.25", "1", HALF, lambda t: abs(t - 0.5) ** -0.25),
    ("x**(-1/4)", "3", ZERO, lambda t: t**-0.25),
    ("(1 - x)**(-1/4)", "2", ONE, lambda t: (1 - t) ** -0.25),
    ("log(x)", "1", ZERO, mpmath.log),
    ("log(x)", "2", ZERO, mpmath.log),
    ("log(x)", "3/2", ZERO, mpmath.log),
    ("log(abs(x - 1/3))", "2", THIRD, lambda t: mpmath.log(abs(t - mpmath.mpf(1) / 3))),
    ("log(1 - x)", "1", ONE, lambda t: mpmath.log(1 - t)),
    ("1/sqrt(x)", "1", ZERO, lambda t: t**-0.5),
    ("cos(x)/sqrt(abs(x - 1/3))", "3/2", THIRD, lambda t: mpmath.cos(t) * abs(t - mpmath.mpf(1) / 3) ** -0.5),
    ("-log(x)/(x + 1) + 2", "2", ZERO, lambda t: 2 - mpmath.log(t) / (1 + t)),
    ("log(x)/sqrt(x + 1)", "1", ZERO, lambda t: mpmath.log(t) / mpmath.sqrt(1 + t)),
    ("x - (log(x)*3 - x*log(x))", "1", ZERO, lambda t: t - 3 * mpmath.log(t) + t * mpmath.log(t)),
    ("2/sqrt(x) - x/sqrt(x)", "1", ZERO, lambda t: (2 - t) * t**-0.5),
]


@pytest.mark.parametrize(("name", "p", "zero", "function"), SINGULAR)
def test_singularities_are_integrated(name: str, p: str, zero: Fraction, function: Function) -> None:
    keys = [-40, -20, -10, 0]
    biases, values = [6, 5, 3, 0], ["7/3", "1.8", "1.3", "1"]
    head = uniform_head([(0.0,)] * 4, 1.0, [values])
    head["R"]["rows"][1:3] = [[str(k) for k in keys], [str(b) for b in biases]]
    T = head_of(keys, biases, values)
    at = mpmath.mpf(zero.numerator) / zero.denominator
    breaks = sorted({at, *(mpmath.mpf(i) / 8 for i in range(9))})
    truth = norm_of(lambda t: function(t) - T(t), Fraction(p), breaks)
    statement = claim(name, p, "1", head)
    with mpmath.workdps(20):
        for depth in (2, 3, 6):
            bracket(statement, truth, touching(depth, zero), slip=2e-2 if "sqrt" in name else 2e-3)
        lower, upper = sums(statement, touching(11, zero))
    assert upper - lower < {"1": 0.2, "3/2": 0.35, "2": 0.2, "3": 1.3}[p] * truth
    assert reason(sealed(statement, integral("0", "1000", uniform_tree(3)))) == "undefined"


def test_the_singular_part_is_the_closed_form() -> None:
    """T = 0 and gamma = 0: for p = 1 the singular leaf adds exactly the integral, with no factor."""
    for name, p, depth, part in (
        ("x**(-1/4)", 1, 0, mpmath.mpf(4) / 3),
        ("x**(-1/4)", 2, 0, 2 * mpmath.mpf(2)),
        ("abs(x - 1/3)**(-1/4)", 1, 0, (mpmath.mpf(1) / 3) ** 0.75 / 0.75 + (mpmath.mpf(2) / 3) ** 0.75 / 0.75),
        ("1/sqrt(x)", 1, 0, mpmath.mpf(2)),
        ("3/sqrt(x)", 1, 0, mpmath.mpf(6)),
        ("-(x + 1)*x**(-1/4)", 1, 0, mpmath.mpf(8) / 3),
        ("(1 - x)**(-1/4)", 1, 0, mpmath.mpf(4) / 3),
        ("abs(x + -0.5)**(-1/4)", 1, 0, 2 * mpmath.mpf("0.5") ** 0.75 / 0.75),
        ("log(x)", 1, 2, (1 + mpmath.log(4)) / 4),
        ("log(x)", 2, 2, 2 * ((1 + mpmath.log(4)) ** 2 + 1) / 4),
        ("log(x)", Fraction(3, 2), 2, mpmath.sqrt(2) * ((1 + mpmath.log(4)) ** 2 + 1) / 4),
    ):
        walk = walk_of(claim(name, str(p), "1", constant_head("0")))
        box = walk.root
        for _ in range(depth):
            box = walk.halves(box, "0", "here")[0]
        walk.rule("*", box, walk.active(box, walk.all))
        total = mpmath.mpf(int(walk.sums[1])) / 2**walk.F
        assert part * (1 - 1e-14) <= total <= part * (1 + 1e-14), name
        assert walk.sums[0] == 0


def test_a_singularity_along_one_axis_of_two() -> None:
    """The integral of x1^p x0^(-p/4) is 1 / ((p + 1) (1 - p/4))."""
    head = constant_head("0", inputs=2)
    tree = "0" * 6 + "*" + "." * 6
    tree = "1" + tree + tree
    for p in (1, 2):
        statement = claim("x1*x0**(-1/4)", str(p), "1", head, UNIT * 2)
        truth = (mpmath.mpf(1) / ((p + 1) * (1 - mpmath.mpf(p) / 4))) ** (1 / mpmath.mpf(p))
        bracket(statement, truth, tree, close=1.5)
    for name in ("abs(x0 - x1)**(-1/4)", "(x0 + x1)**(-1/4)", "x0**(-1/4) + x1**(-1/4)"):
        statement = claim(name, "1", "1000", head, UNIT * 2)
        assert reason(sealed(statement, integral("0", "1000", "*"))) == "undefined"


def test_a_singular_column_beside_a_regular_one() -> None:
    statement = claim("[x**(-1/4), x]", "1", "1", constant_head("0", "0"))
    bracket(statement, mpmath.mpf(4) / 3 + 0.5, touching(7, ZERO), close=0.05)
    assert reason(sealed(statement, integral("0", "10", uniform_tree(7)))) == "undefined"


def test_a_leaf_that_only_claims_a_singularity_is_an_ordinary_one() -> None:
    statement = claim("x", "1", "1", constant_head("0"))
    assert sums(statement, "0*.") == sums(statement, "0..")


@pytest.mark.parametrize(
    ("name", "p"),
    [
        ("1/sqrt(x)", "2"),
        ("x**(-1/4)", "4"),
        ("x**(-1/4)", "5"),
        ("x**(-1)", "1"),
        ("abs(x - 1/2)**(-1)", "1"),
        ("x**(-3/2)", "1"),
        ("abs(x)**(-2)", "1"),
    ],
)
def test_singularities_that_are_not_integrable(name: str, p: str) -> None:
    statement = claim(name, p, "1e9", constant_head("0"))
    assert reason(sealed(statement, integral("0", "1e9", touching(3, ZERO, HALF)))) == "leaf"


@pytest.mark.parametrize(
    "name",
    [
        "log(x)*log(x)",
        "log(x)/log(x)",
        "1/log(x)",
        "log(x)/sqrt(x)",
        "log(x)/x",
        "log(x) + x**(-1/4)",
        "x**(-1/4) + x**(-1/3)",
        "1/sqrt(x) + x**(-1/2)",
        "sin(log(x))",
        "abs(log(x))",
        "max(log(x), 0)",
        "where(x < 1/2, log(x), 0)",
        "log(2*x)",
        "log(x*x)",
        "log(-x)",
        "log(x - 1/20)",
        "log(1/20 - x)",
        "sqrt(x - 1/20)",
        "1/sqrt(x - 1/20)",
        "(x - 1/20)**(-1/4)",
        "1/x**(1/4)",
        "log(x + x)",
        "log(x - pi + pi)",
        "log(0) + x",
        "1/sqrt(sin(x))",
        "tan(pi*x + pi/2)",
    ],
)
def test_singularities_that_are_not_allowed(name: str) -> None:
    statement = claim(name, "1", "1e9", constant_head("0"))
    assert reason(sealed(statement, integral("0", "1e9", touching(3, ZERO)))) == "undefined"


def test_a_singularity_outside_its_leaf_is_none() -> None:
    """On [1/4, 1/2] log(x - 1/4) is singular at the end; on [0, 1/4] it is undefined, whatever is said of it."""
    for box, expected in ((["1/4", "1/2"], None), (["1/8", "1/2"], "undefined"), (["0", "1/4"], "undefined")):
        certificate = sealed(claim("log(x - 1/4)", "1", "9", constant_head("0"), [box]), integral("0", "9", "*"))
        if expected:
            assert reason(certificate) == expected
        else:
            assert check(certificate).verdict == "proved"
    near = claim("abs(x - 1/3)**(-1/4)", "1", "9", constant_head("0"), [["1/3", "1"]])
    assert check(sealed(near, integral("0", "9", "*"))).verdict == "proved"
    beside = claim("abs(x - 1/3)**(-1/4)", "1", "9", constant_head("0"), [["0x0.55555555555555556p0", "1"]])
    assert reason(sealed(beside, integral("0", "9", "*"))) == "undefined"  # 1/3 is outside, by less than 2^-64
    beside = claim("log(abs(x - 1/3))", "1", "9", constant_head("0"), [["0x0.55555555555555556p0", "1/2"]])
    assert reason(sealed(beside, integral("0", "9", "*"))) == "undefined"


def test_a_log_must_be_singular_near_its_leaf() -> None:
    for end, accepted in (("1", False), ("1/2", False), ("0.3679", False), ("0.3678", True), ("1/3", True)):
        statement = claim("log(x)", "3/2", "9", constant_head("0"), [["0", end]])
        certificate = sealed(statement, integral("0", "9", "*"))
        if accepted:
            assert check(certificate).verdict == "proved"
        else:
            assert reason(certificate) == "leaf"


# --- rejection -------------------------------------------------------------------------------------------------------

E, C = "evidence.", "statement.claim."
TREE = uniform_tree(5)
SMALL = sealed(claim("x", "2", "0.7", constant_head("0")), integral("0.5", "0.65", TREE))
REJECTIONS: list[tuple[str, str, Json]] = [
    ("claim", C + "norm", "1/2"),
    ("claim", C + "norm", "0.999999999999999999999999999"),
    ("claim", C + "norm", "-2"),
    ("limit", C + "norm", "1e9"),
    ("malformed", C + "norm", "two"),
    ("malformed", C + "norm", "Inf"),
    ("malformed", C + "norm", 2),
    ("malformed", C + "norm", DELETE),
    ("unsupported", C + "norm", "inf"),
    ("claim", C + "tolerance", "0"),
    ("malformed", C + "tolerance", "inf"),
    ("malformed", C + "delta", "1/2"),
    ("evidence", C + "tolerance", "0.64"),
    ("evidence", C + "tolerance", "0.5"),
    ("domain", "statement.domain.box.0", ["1", "1"]),
    ("domain", "statement.domain.box.0", ["1", "0"]),
    ("malformed", "statement.target", None),
    ("undefined", "statement.target", "x + 0/(x - 1/2)"),
    ("leaf", "statement.target", "2*x"),
    ("leaf", "statement.target", "x/2"),
    ("evidence", "evidence", None),
    ("unsupported", E + "kind", "paving"),
    ("unsupported", E + "kind", "layers"),
    ("unsupported", E + "kind", "counterexample"),
    ("malformed", E + "lower", DELETE),
    ("malformed", E + "upper", 1),
    ("malformed", E + "bound", "1"),
    ("claim", E + "lower", "0.66"),
    ("claim", E + "lower", "-0.1"),
    ("claim", E + "upper", "0.4"),
    ("leaf", E + "lower", "0.58"),
    ("leaf", E + "upper", "0.57"),
    ("malformed", E + "precision", 31),
    ("limit", E + "silence", 100001),
    ("tree", E + "trees", []),
    ("tree", E + "trees", [TREE, TREE]),
    ("tree", E + "trees.0", ""),
    ("tree", E + "trees.0", TREE[:-1]),
    ("tree", E + "trees.0", TREE + "."),
    ("tree", E + "trees.0", TREE[:-1] + "!"),
    ("tree", E + "trees.0", "1" + TREE[1:]),
    ("leaf", E + "trees.0", TREE[:-1] + "-"),
    ("leaf", E + "trees.0", "."),
]


@pytest.mark.parametrize(("expected", "path", "value"), REJECTIONS)
def test_rejections(expected: str, path: str, value: Json) -> None:
    assert check(SMALL).verdict == "proved"
    certificate = copy.deepcopy(SMALL)
    edit(path, copy.deepcopy(value))(certificate)
    assert reason(sealed(certificate["statement"], certificate["evidence"])) == expected


def test_a_zero_upper_bound_is_no_bound() -> None:
    statement = claim("0", "1", "1", constant_head("0"))
    assert reason(sealed(statement, integral("0", "0", "."))) == "claim"
    assert check(sealed(statement, integral("0", "1e-30", "."))).verdict == "proved"


def test_a_uniform_claim_takes_no_integral_nor_the_other_way() -> None:
    certificate = good()
    for evidence in (integral("0", "1", "."), layers(".")):
        assert reason(sealed(certificate["statement"], evidence)) == "unsupported"
    assert reason(sealed(claim("x", "2", "1", constant_head("0")), paving("1", "."))) == "unsupported"
    for mark in "*!":
        evidence = {**certificate["evidence"], "trees": [mark]}
        assert reason(sealed(certificate["statement"], evidence)) == "tree"


def test_hostile_integrals_meet_limits() -> None:
    for name, p in (("exp(exp(x + 100))", "1"), ("x*(2**9999)**9*(2**9999)**9", "1"), ("exp(1000*x)", "9999")):
        statement = claim(name, p, "1", constant_head("0"))
        assert reason(sealed(statement, integral("0", "1", "."))) == "limit"
    chain = "log(x)" + "*(x + (2**9999)**9)" * 50
    assert reason(sealed(claim(chain, "1", "1", constant_head("0")), integral("0", "1", "*"))) == "undefined"


# --- indicators ------------------------------------------------------------------------------------------------------


def layers(*trees: str, precision: int = 64, silence: int = 48) -> Json:
    return {"kind": "layers", "precision": precision, "silence": silence, "trees": list(trees)}


def indicator(delta: str, measure: str, head: Json, box: list[list[str]] | None = None, *conditions: str) -> Json:
    statement = claim("0", "1", "1", head, box, *conditions)
    statement["target"] = None
    statement["claim"] = {"kind": "indicator", "delta": delta, "measure": measure}
    return statement


def layer_tree(statement: Json, depth: int, j: int = 0, axes: str = "0") -> tuple[str, Fraction]:
    """A tree that counts the boxes at the depth that the kernel does not prove, and their volume."""
    proof = kernel.Layers(read(statement), j, 64, 48, Fraction(statement["claim"]["delta"]))
    counted = Fraction(0)

    def visit(box: kernel.Box, tokens: list[kernel.Tokens], level: int) -> str:
        nonlocal counted
        actives = proof.active(box, tokens)
        try:
            proof.rule(".", box, actives)
        except kernel.Rejected:
            if level == depth:
                counted += Fraction(1, 2**depth)
                return "!"
            mark, kept = axes[level % len(axes)], [active.tokens for active in actives]
            return mark + "".join(visit(half, kept, level + 1) for half in proof.halves(box, mark, "here"))
        return "."

    tree = visit(proof.root, proof.all, 0)
    return tree, counted * math.prod(hi - lo for lo, hi in proof.statement.box)


FOUR = uniform_head(grid(4), 4000.0, [["0"] * 4])


@pytest.mark.parametrize("delta", ["0.01", "1/2", "0.999", "1e-9"])
def test_layers_are_as_thick_as_they_must_be(delta: str) -> None:
    """Between two of four tokens the scores differ by 2000 (x - 1/4): a layer has this half-width."""
    half = math.log((2 - Fraction(delta)) / Fraction(delta)) / 2000
    tree, volume = layer_tree(indicator(delta, "1", FOUR), 12)
    assert 6 * half < volume < 6 * half + 6 * 2**-11
    found = check(sealed(indicator(delta, str(volume), FOUR), layers(tree)))
    assert (found.verdict, found.bound, found.leaves) == ("proved", str(volume), len(tree.translate({48: None})))
    assert found.obligations == tree.count(".") + 1
    assert found.claim == f"|softmax - one-hot| <= {delta} outside measure {volume} on [0, 1]"
    less = str(volume - Fraction(1, 10**40))
    assert reason(sealed(indicator(delta, less, FOUR), layers(tree))) == "leaf"
    for n in [n for n, mark in enumerate(tree) if mark == "!"][::3]:
        wrong = tree[:n] + "." + tree[n + 1 :]
        assert reason(sealed(indicator(delta, "1", FOUR), layers(wrong))) == "leaf"


def test_layers_on_other_boxes_and_columns() -> None:
    box = [["-1/3", "5/3"]]
    tree, volume = layer_tree(indicator("0.1", "1", FOUR, box), 12)
    assert check(sealed(indicator("0.1", str(volume), FOUR, box), layers(tree))).verdict == "proved"
    assert reason(sealed(indicator("0.1", str(volume * Fraction(99, 100)), FOUR, box), layers(tree))) == "leaf"
    head = two_columns()["attention"]
    trees = [layer_tree(indicator("0.1", "1", head, UNIT * 2), 11, j, str(j)) for j in (0, 1)]
    measure = str(trees[0][1])  # of each column, not of both
    found = check(sealed(indicator("0.1", measure, head, UNIT * 2), layers(*[tree for tree, _ in trees])))
    assert found.obligations == sum(tree.count(".") for tree, _ in trees) + 2
    assert reason(sealed(indicator("0.1", measure, head, UNIT * 2), layers(trees[0][0], trees[0][0]))) == "leaf"


def test_dropped_tokens_count_against_the_indicator() -> None:
    """The other token has the weight e^-10 or less, and silence 5 allows for 2^-5."""
    head = uniform_head([(0.0,), (1.0,)], 20.0, [["0", "0"]])
    box = [["0", "1/4"]]
    assert check(sealed(indicator("0.0001", "1/9", head, box), layers("."))).verdict == "proved"
    assert reason(sealed(indicator("0.0001", "1/9", head, box), layers(".", silence=5))) == "leaf"
    assert check(sealed(indicator("1/16", "1/9", head, box), layers(".", silence=5))).verdict == "proved"
    assert reason(sealed(indicator("0.0624", "1/9", head, box), layers(".", silence=5))) == "leaf"
    assert reason(sealed(indicator("0.00009", "1/9", head, box), layers("."))) == "leaf"


def test_a_box_outside_the_domain_is_no_layer() -> None:
    statement = indicator("0.1", "1e-9", FOUR, None, "x < 0.1")
    assert check(sealed(statement, layers("000.---"))).obligations == 2
    assert reason(sealed(indicator("0.1", "1e-9", FOUR), layers("000.---"))) == "leaf"
    assert reason(sealed(statement, layers("000.--!"))) == "leaf"
    assert reason(sealed(statement, layers("-"))) == "leaf"


STATEMENT = indicator("0.1", "1/2", FOUR)
LAYERED = sealed(STATEMENT, layers(layer_tree(STATEMENT, 9)[0]))


@pytest.mark.parametrize(
    ("expected", "path", "value"),
    [
        ("claim", C + "delta", "0"),
        ("claim", C + "delta", "1"),
        ("claim", C + "delta", "-1/2"),
        ("claim", C + "measure", "0"),
        ("malformed", C + "delta", "inf"),
        ("malformed", C + "measure", 1),
        ("malformed", C + "measure", DELETE),
        ("malformed", C + "norm", "2"),
        ("malformed", C + "kind", "error"),
        ("leaf", C + "delta", "1e-9"),
        ("leaf", C + "measure", "0.001"),
        ("malformed", "statement.target", "0"),
        ("malformed", "statement.target", 0),
        ("domain", "statement.domain.box.0", ["0", "0"]),
        ("evidence", "evidence", None),
        ("unsupported", E + "kind", "paving"),
        ("unsupported", E + "kind", "integral"),
        ("malformed", E + "bound", "1"),
        ("malformed", E + "silence", 0),
        ("tree", E + "trees", []),
        ("tree", E + "trees.0", "0!"),
        ("tree", E + "trees.0", "0!*"),
        ("leaf", E + "trees.0", "0!."),
        ("leaf", E + "trees.0", "0!!"),
    ],
)
def test_indicators_rejected(expected: str, path: str, value: Json) -> None:
    assert check(LAYERED).verdict == "proved"
    certificate = copy.deepcopy(LAYERED)
    edit(path, copy.deepcopy(value))(certificate)
    if (path, value) == (C + "kind", "error"):
        assert set(certificate["statement"]["claim"]) == {"kind", "delta", "measure"}
    assert reason(sealed(certificate["statement"], certificate["evidence"])) == expected


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_random_damage_is_rejected_or_harmless(seed: int) -> None:
    rnd = random.Random(seed)
    singular = sealed(claim("x - 2*log(x)", "3/2", "9", constant_head("0")), integral("1", "9", touching(4, ZERO)))
    cut = sealed(claim("x", "1", "9", FOUR, None, "x < 0.3"), integral("0", "9", "00..-"))
    for original in (SMALL, LAYERED, singular, cut):
        assert check(original).verdict == "proved"
        for _ in range(40):
            certificate = copy.deepcopy(original)
            edit(rnd.choice(leaves_of(certificate)), copy.deepcopy(rnd.choice([*JUNK, "inf", "2", DELETE])))(
                certificate
            )
            if "statement" in certificate:
                certificate["statement_sha256"] = sealed(certificate["statement"], None)["statement_sha256"]
            try:
                found = check(certificate)
            except kernel.Rejected as rejected:
                assert "internal error" not in rejected.detail, rejected.detail  # noqa: PT017
            else:
                assert found.obligations > 0
