"""A-priori bounds in L_p norms for targets that jump or are unbounded: closed forms, and heads that keep them."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import attncert
from attncert.certificates.claim import LpError
from attncert.certificates.condition import parse_condition
from attncert.certificates.deadline import NEVER, Deadline, OutOfTime
from attncert.certificates.domain import parse_box
from attncert.certificates.errors import InvalidTarget, TooLarge
from attncert.certificates.evaluate import evaluate_float
from attncert.certificates.target import InputSpace, parse_target
from attncert.construct import blocks
from attncert.construct.blocks import BlockBound, block_bound, cell_ranges
from attncert.construct.lp import lp_candidates

FINE = [np.linspace(-0.45, 0.45, 10)]


def bound(source: str, domain: str, power: str, tolerance: str, *where: str) -> BlockBound:
    box = parse_box(domain)
    space = InputSpace((box.dimension, 1))
    conditions = [parse_condition(condition, space) for condition in where]
    claim = LpError(Fraction(power), Fraction(tolerance))
    places = FINE * box.dimension
    return block_bound(parse_target(source, space), box, claim, lambda _: places, NEVER, conditions)


@pytest.mark.parametrize("power", [1, 2, 3])
@pytest.mark.parametrize(("height", "tolerance"), [("1", "0.2"), ("5", "1")])
def test_a_jump_costs_three_cells(power: int, height: str, tolerance: str) -> None:
    """On [-1, 1] the block bound of a jump by 2 a is 2 a (3 * 2/N)^(1/p): three blocks meet it, of width 2/N each."""
    found = bound(f"{height}*sign(x - 1/7)", "[-1,1]", str(power), tolerance)
    least = 6 * (2 * float(height) / (0.99 * float(tolerance))) ** power
    assert least <= found.tokens <= 1.02 * least + 1
    assert found.counts == (found.tokens,)
    assert found.sup == float(height)
    assert not found.singular


def test_the_leak_of_far_tokens_takes_its_share() -> None:
    """(e vol)^(1/p) 2 sup|f| N exp(-2 beta h^2) is at most a hundredth of the tolerance, and not much less."""
    found = bound("[3*sign(x), sign(x-1/3)]", "[-1,3]", "2", "0.5")
    sharpness = float(found.betas[0]) * (4 / found.tokens) ** 2
    leak = math.sqrt(2 * 4) * 2 * 3 * found.tokens * math.exp(-2 * sharpness)
    assert 0.9 * 0.005 <= leak <= 0.005


def test_several_columns_pay_for_the_gate() -> None:
    single = bound("sign(x)", "[-1,1]", "1", "0.1")
    triple = bound("[[sign(x), 0, 0]]", "[-1,1]", "1", "0.1")
    assert triple.tokens == 3 * math.prod(triple.counts)
    assert math.prod(triple.counts) >= single.tokens
    leak = 3 * 2 * 2 * 1 * 2 * math.exp(-float(triple.gate))
    assert 0.9 * 0.001 <= leak <= 0.001
    assert single.gate == 0
    assert "gate" not in single.to_notes()


def test_an_axis_without_influence_is_not_cut() -> None:
    found = bound("sign(x0 - 1/7)", "[-1,1]x[0,5]", "1", "0.5")
    assert found.counts[1] == 1
    assert found.betas[1] == 0
    assert found.tokens <= 1.02 * 12 * 5 / (0.99 * 0.5) + 1


def test_the_block_maximum_by_brute_force() -> None:
    generator = np.random.default_rng(3)
    for counts in [(7,), (1,), (4, 5), (3, 1, 4)]:
        values = generator.normal(size=(*counts, 2))
        found = blocks._block_max(values, counts)
        for cell in itertools.product(*map(range, counts)):
            near = [range(max(0, i - 1), min(count, i + 2)) for i, count in zip(cell, counts, strict=True)]
            best = np.max([values[other] for other in itertools.product(*near)], axis=0)
            assert np.array_equal(found[cell], best)


def test_cells_outside_do_not_count() -> None:
    """A jump outside the domain is free, and tokens there are not needed."""
    everywhere = bound("sign(x0 - 1/7)", "[-1,1]^2", "1", "0.5")
    inside = bound("sign(x0 - 1/7)", "[-1,1]^2", "1", "0.5", "x0 <= 0")
    assert inside.tokens <= 5 < 40 < everywhere.tokens
    disc = bound("sign(x0 - 1/7) + x1", "[-1,1]^2", "2", "1", "x0**2 + x1**2 <= 1")
    assert 0.6 * math.prod(disc.counts) < disc.tokens < 0.95 * math.prod(disc.counts)


def test_ranges_of_cells() -> None:
    box, target = parse_box("[0,1]^2"), parse_target("[x0, 1/x1]", InputSpace((2, 1)))
    condition = parse_condition("x0 + x1 <= 1", InputSpace((2, 1)))
    ranges = cell_ranges(target, box, (2, 4), [condition], NEVER)
    assert ranges.kept.tolist() == [True] * 7 + [False]
    assert ranges.low[:4, 0] == pytest.approx(0, abs=1e-8)
    assert ranges.high[:4, 0] == pytest.approx(0.5, abs=1e-8)
    assert np.all(ranges.low[:4, 0] <= 0)
    assert np.all(ranges.high[:4, 0] >= 0.5)
    assert ranges.finite[:, 1].tolist() == [False, True, True, True, False, True, True, False]
    moved = ranges.clipped(np.full((8, 2), 100.0))
    assert moved[0].tolist() == [ranges.high[0, 0], 100.0]
    assert moved[1, 1] == ranges.high[1, 1] == pytest.approx(4)


def quadrature(source: str, domain: str, power: str, lo: list[float], hi: list[float]) -> float:
    box = parse_box(domain)
    target = parse_target(source, InputSpace((box.dimension, 1)))
    problem = blocks._Problem(target, box, LpError(Fraction(power), Fraction(1)), lambda _: [], NEVER, [])
    return blocks._Quadrature(problem, 0).mean(np.array([lo]), np.array([hi]))


@pytest.mark.parametrize(
    ("source", "domain", "power", "lo", "hi", "exact"),
    [
        ("abs(x-1/3)**(-1/4)", "[0,1]", "2", [0.2], [0.5], 2 * (math.sqrt(1 / 3 - 0.2) + math.sqrt(0.5 - 1 / 3))),
        (
            "abs(x-1/3)**(-9/10)",
            "[0,1]",
            "1",
            [0.3333],
            [0.3334],
            10 * ((1 / 3 - 0.3333) ** 0.1 + (0.3334 - 1 / 3) ** 0.1),
        ),
        ("log(x)", "[0,1]", "1", [0.0], [0.01], 0.01 * (1 - math.log(0.01))),
        ("log(x)", "[0,2]", "2", [0.0], [0.5], 0.25 * (math.log(0.5) ** 2 - 2 * math.log(0.5) + 2)),
        ("log(x0)*x1", "[0,1]^2", "1", [0.0, 0.5], [0.1, 1.0], 0.1 * (1 - math.log(0.1)) * 0.375),
        ("1 + x", "[0,1]", "1", [0.0], [0.5], 0.625),
    ],
)
def test_the_quadrature_by_closed_forms(
    source: str, domain: str, power: str, lo: list[float], hi: list[float], exact: float
) -> None:
    assert 0.999 * exact <= quadrature(source, domain, power, lo, hi) <= 1.15 * exact


@pytest.mark.parametrize(
    ("source", "power"), [("sqrt(x - 1/3)", "1"), ("1/(x - 1/3)", "1"), ("abs(x-1/3)**(-1/2)", "2")]
)
def test_the_quadrature_refuses_what_has_no_integral(source: str, power: str) -> None:
    with pytest.raises(InvalidTarget, match="singular on too large a set, or undefined"):
        quadrature(source, "[0,1]", power, [0.0], [1.0])


def test_a_singularity_is_split_off() -> None:
    found = bound("log(x)", "[0,1]", "1", "0.2")
    assert found.singular
    assert found.to_notes()["tail"] == "quadrature"
    assert found.sup > math.log(found.tokens)  # the value of the first cell is a mean of the logarithm near 0
    # Two cells of width h meet the pole: |f|_1 = 2h (1 - log 2h) there, and the head is below 1 - log h.
    h = 1 / found.tokens
    rest = sum(math.log((k + 2) / max(k - 1, 1)) * h for k in range(2, found.tokens))
    assert rest + 2 * h * (1 - math.log(2 * h)) <= 0.2
    assert rest + 2 * h * (1 - math.log(2 * h)) + 2 * h * (1 - math.log(h)) >= 0.9 * 0.2


def heads_error(certificate: attncert.Certificate, power: float, per_axis: int) -> float:
    """The L_p norm of f - T from the midpoints of a lattice, with the scores of the matrices themselves."""
    statement = certificate.statement
    target, head = statement.target, statement.attention
    assert target is not None
    lo = np.array([float(lo) for lo, _ in statement.domain.sides])
    side = np.array([float(hi) for _, hi in statement.domain.sides]) - lo
    ticks = (np.arange(per_axis) + 0.5) / per_axis
    points = lo + side * np.array(list(itertools.product(ticks, repeat=len(lo))))
    for condition in statement.conditions:
        points = points[evaluate_float(condition.indicator, points)[:, 0] == 1]
    values = np.array([np.asarray(head(x.reshape(head.input_shapes[0])), float).ravel() for x in points])
    errors = np.abs(evaluate_float(target, points) - values) ** power
    return float((errors.sum() * np.prod(side) / per_axis ** len(lo)) ** (1 / power))


CASES: list[tuple[str, str, str, str, dict[str, Any]]] = [
    ("sign(x - 1/3)", "[-1,1]", "1", "0.1", {}),
    ("floor(3*x) + sin(5*x)", "[0,1]", "2", "0.5", {}),
    ("where(x < 1/3, x, where(x < 2/3, 2 - x, 5*x))", "[0,1]", "3/2", "0.5", {}),
    ("where(x0**2 + x1**2 <= 1, 1, 0)", "[-1,1]^2", "2", "1", {}),
    ("where(x0 + x1 <= 1 and x0 >= 1/4, 1, 0)", "[0,1]^2", "1", "0.6", {}),
    ("[[sign(x - 1/3), x]]", "[-1,1]", "1", "0.3", {}),
    ("[sign(x - 1/3), floor(2*x)]", "[-1,1]", "1", "0.4", {}),
    ("sign(x0 - 1/7) + x1", "[-1,1]^2", "2", "1.5", {"where": ["x0**2 + x1**2 <= 1"]}),
    ("log(x)", "[0,1]", "1", "0.3", {}),
    ("abs(x-1/3)**(-1/4)", "[0,1]", "2", "1", {}),
]


@pytest.mark.parametrize(("source", "domain", "power", "tolerance", "options"), CASES, ids=[case[0] for case in CASES])
def test_the_head_of_theory_keeps_its_promise(
    source: str, domain: str, power: str, tolerance: str, options: dict[str, Any]
) -> None:
    certificate = attncert.construct_head(
        source, domain=domain, norm=power, tolerance=tolerance, apriori=True, **options
    )
    notes = certificate.notes
    assert notes["apriori"]["norm"] == power
    assert notes["apriori"]["bound"] == f"{float(tolerance):.6g}"
    assert notes["apriori"]["tokens"] == certificate.statement.attention.tokens
    assert (notes["grid"], notes["beta"]) == (notes["apriori"]["grid"], notes["apriori"]["beta"])
    error = heads_error(
        certificate, float(Fraction(power)), 1500 if certificate.statement.domain.dimension == 1 else 40
    )
    assert 0 < error <= 0.6 * float(tolerance)


def test_the_head_of_theory_is_proved() -> None:
    result = attncert.certify("sign(x - 1/3)", domain="[-1,1]", norm="1", tolerance="0.01", apriori=True)
    assert result.verdict == "proved"
    assert 1213 <= result.tokens <= 1240
    assert result.tokens == result.notes["apriori"]["tokens"]
    default = attncert.certify("sign(x - 1/3)", domain="[-1,1]", norm="1", tolerance="0.01", method="uniform")
    assert default.notes["apriori"] == result.notes["apriori"]
    assert default.tokens < result.tokens


@pytest.mark.slow
@pytest.mark.parametrize(("source", "domain", "power", "tolerance", "options"), CASES, ids=[case[0] for case in CASES])
def test_every_head_of_theory_is_proved(
    source: str, domain: str, power: str, tolerance: str, options: dict[str, Any]
) -> None:
    result = attncert.certify(source, domain=domain, norm=power, tolerance=tolerance, apriori=True, **options)
    assert result.verdict == "proved"


def test_continuous_targets_take_the_bound_with_fewer_tokens() -> None:
    """A wave is steep everywhere, so the sup norm asks for less; a steep step is flat nearly everywhere."""
    wave = attncert.construct_head("sin(2*pi*x)", domain="[0,1]", norm="2", tolerance="0.05", method="uniform").notes[
        "apriori"
    ]
    assert (wave["norm"], wave["tokens"]) == ("inf", 252)
    step = attncert.construct_head("tanh(1000*x)", domain="[-1,1]", norm="1", tolerance="0.1", method="uniform").notes[
        "apriori"
    ]
    assert step["norm"] == "1"
    assert step["tokens"] < 200


def test_theory_in_the_sup_norm_says_so_and_builds_its_head() -> None:
    certificate = attncert.construct_head("sin(2*pi*x)", domain="[0,1]", norm="2", tolerance="0.1", apriori=True)
    assert certificate.notes["apriori"]["norm"] == "inf"
    assert certificate.statement.attention.tokens == certificate.notes["apriori"]["tokens"] == 126
    assert heads_error(certificate, 2, 1000) <= 0.1


def test_where_there_is_no_bound_the_reason_is_recorded() -> None:
    box, target = parse_box("[-1,1]"), parse_target("sqrt(x)", InputSpace((1, 1)))
    claim = LpError(Fraction(2), Fraction(1, 2))
    notes = next(lp_candidates(target, box, claim, precision=53, apriori_only=False)).notes
    assert notes["apriori"] == {"none": "the target is singular on too large a set, or undefined in part of the domain"}
    with pytest.raises(InvalidTarget, match="there is no a-priori bound: the target is singular on too large"):
        next(lp_candidates(target, box, claim, precision=53, apriori_only=True))


def test_grids_beyond_the_cap_are_refused() -> None:
    with pytest.raises(TooLarge, match="asks for more than 4,194,304 cells"):
        bound("sign(x)", "[-1,1]", "1", "0.000002")
    with pytest.raises(TooLarge, match="asks for more than 2,097,152 cells"):
        bound("[sign(x), sign(x)]", "[-1,1]", "1", "0.000008")


def test_out_of_time() -> None:
    box, target = parse_box("[-1,1]"), parse_target("sign(x)", InputSpace((1, 1)))
    claim = LpError(Fraction(1), Fraction(1, 10))
    with pytest.raises(OutOfTime):
        block_bound(target, box, claim, lambda _: FINE, Deadline(0.0))
