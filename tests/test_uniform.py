"""The paper's construction: the a-priori numbers, the emitted weights, and the coarser grids of the default."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from itertools import product
from typing import Any

import mpmath
import numpy as np
import pytest

import attncert
from attncert.certificates.deadline import Deadline, OutOfTime
from attncert.certificates.domain import Box, parse_box
from attncert.certificates.errors import InputError, TooLarge
from attncert.certificates.evaluate import evaluate_float, evaluate_mp
from attncert.certificates.matrix import row_entry, to_floats
from attncert.certificates.target import InputSpace, Target, parse_target
from attncert.construct import resources
from attncert.construct.continuity import modulus
from attncert.construct.uniform import Apriori, apriori, inverse_temperatures, uniform_candidates, uniform_head
from attncert.verifier.reduction import reduce_head

Floats = np.ndarray[Any, Any]

certify = partial(attncert.certify, method="uniform")
construct_head = partial(attncert.construct_head, method="uniform")


def on(source: str, domain: str, shape: tuple[int, int] | None = None) -> tuple[Target, Box]:
    box = parse_box(domain)
    return parse_target(source, InputSpace(shape or (box.dimension, 1))), box


def spacings(box: Box, counts: Sequence[int]) -> list[Fraction]:
    return [(hi - lo) / count for (lo, hi), count in zip(box.sides, counts, strict=True)]


def values_of(head: Any, points: Floats) -> Floats:
    """T as it is written, in float64: points (P, m) -> (P, d_o n_o), row by row."""
    R, W_K, W_Q, W_V, W_O = (to_floats(getattr(head, name)) for name in ("R", "W_K", "W_Q", "W_V", "W_O"))
    linear = [(to_floats(P), to_floats(Q)) for P, Q in head.linear]
    out = []
    for x in points:
        Z = R + sum(P @ x.reshape(head.input_shape) @ Q for P, Q in linear)
        scores = (W_K @ Z).T @ (W_Q @ Z[:, list(head.selected_columns)])
        softmax = np.exp(scores - scores.max(axis=0))
        out.append(((W_V @ Z) @ (softmax / softmax.sum(axis=0))).ravel())
    assert W_O.sum() == W_O.shape[1]
    return np.array(out)


def sampled_error(target: Target, box: Box, head: Any, points: int = 400) -> float:
    """The largest |f - T| at random points and at the corners."""
    rnd = np.random.default_rng(1)
    lo, hi = (np.array([float(side[k]) for side in box.sides]) for k in (0, 1))
    unit = np.concatenate([rnd.random((points, box.dimension)), list(product([0.0, 1.0], repeat=box.dimension))])
    x = lo + (hi - lo) * unit
    return float(np.max(np.abs(evaluate_float(target, x) - values_of(head, x))))


# --- a priori --------------------------------------------------------------------------------------------------------

CASES = [
    ("sin(2*pi*x)", "[0,1]", "0.05"),
    ("exp(-(x0**2+x1**2))*cos(3*x0*x1)", "[0,1]^2", "0.2"),
    ("x0*x1 - x2**2", "[0,1]^3", "1"),
    ("[sin(3*x0)*x1, abs(x0-x1)]", "[-1,1]x[0,2]", "1/2"),
    ("[[x0, x1, x0*x1]]", "[0,1]^2", "0.25"),
    ("x0 + x1", "[0,1]x[1/2,1/2]", "0.1"),
    ("x0 + x1", "[0,1]x[0,1/1000]", "0.1"),
    ("sqrt(x)", "[0,1]", "0.1"),
    ("sqrt(x0*x1)", "[0,1]^2", "0.5"),
    ("where(x < 0, -x, x)", "[-1,1]", "0.2"),
    ("1000000*x", "[5,6]", "70000"),
    ("x/1000000", "[-1000,1000]", "1e-3"),
]


def theory_of(source: str, domain: str, tolerance: str) -> tuple[Target, Box, Fraction, Apriori]:
    target, box = on(source, domain)
    eps = Fraction(tolerance)
    return target, box, eps, apriori(target, box, eps)


@pytest.mark.parametrize(("source", "domain", "tolerance"), CASES)
def test_neighbouring_values_differ_by_half_the_tolerance_at_most(source: str, domain: str, tolerance: str) -> None:
    """2 L R <= eps/2, or the modulus of continuity at 2R <= eps/2, with R = sqrt(m) h/2."""
    target, box, eps, theory = theory_of(source, domain, tolerance)
    h = max(spacings(box, theory.counts))
    m = sum(lo < hi for lo, hi in box.sides)
    if math.isfinite(theory.lipschitz):
        assert Fraction(theory.lipschitz) ** 2 * m * h**2 <= (eps / 2) ** 2
    else:
        assert modulus(target, box, math.sqrt(m) * float(h)) <= eps / 2


@pytest.mark.parametrize(("source", "domain", "tolerance"), CASES)
def test_the_inverse_temperature_is_that_of_the_formula(source: str, domain: str, tolerance: str) -> None:
    """beta_k >= ln(4 sup|f| N / eps) / (3 r^2 h_k^2) with r^2 = q/4, rounded up; 8 for 4 with several columns."""
    target, box, eps, theory = theory_of(source, domain, tolerance)
    cells = math.prod(theory.counts)
    q = sum(count > 1 for count in theory.counts)
    with mpmath.workdps(30):
        share = 4 if target.shape[1] == 1 else 8
        log = max(mpmath.log(share * mpmath.mpf(theory.sup) * cells / mpf(eps)), 1)
        for count, h, beta in zip(theory.counts, spacings(box, theory.counts), theory.betas, strict=True):
            if count == 1:
                assert beta == 0
            else:
                needed = log / (3 * mpmath.mpf(q) / 4 * mpf(h) ** 2)
                assert needed <= mpf(beta) <= needed * 1.01
                assert (beta / Fraction(2) ** math.floor(math.log2(beta))).denominator <= 128


def mpf(x: Fraction) -> mpmath.mpf:
    return mpmath.mpf(x.numerator) / x.denominator


@pytest.mark.parametrize(
    ("source", "domain", "tolerance"), [case for case in CASES if case[0][:4] not in ("sqrt", "wher")]
)
def test_the_grid_is_not_finer_than_that(source: str, domain: str, tolerance: str) -> None:
    _, box, eps, theory = theory_of(source, domain, tolerance)
    m = sum(lo < hi for lo, hi in box.sides)
    for (lo, hi), count in zip(box.sides, theory.counts, strict=True):
        if count > 1:
            coarser = (hi - lo) / (count - 1)
            assert Fraction(theory.lipschitz) ** 2 * m * coarser**2 > (eps / 2) ** 2 * Fraction(999, 1000)


def test_the_gate_pays_for_the_other_columns() -> None:
    target, _, eps, theory = theory_of("[[x0, x1, x0*x1]]", "[0,1]^2", "0.25")
    assert theory.columns == target.shape[1] == 3
    assert theory.tokens == 3 * math.prod(theory.counts)
    needed = math.log(8 * theory.sup * 2 / float(eps))
    assert needed <= theory.gate <= 1.01 * needed
    assert theory_of("x0", "[0,1]^2", "0.25")[3].gate == 0


@pytest.mark.parametrize(("source", "domain", "tolerance"), CASES)
def test_the_head_of_theory_is_within_the_tolerance(source: str, domain: str, tolerance: str) -> None:
    target, box, eps, theory = theory_of(source, domain, tolerance)
    certificate = construct_head(source, domain=domain, tolerance=tolerance, apriori=True)
    head = certificate.statement.attention
    assert head.tokens == theory.tokens
    assert certificate.notes["grid"] == list(theory.counts)
    error = sampled_error(target, box, head, points=60 if theory.tokens > 5000 else 400)
    assert 0 < error <= 0.55 * eps  # the bound is loose by 2 at least, since it splits the tolerance in two


def test_the_certified_error_is_well_below_the_apriori_bound() -> None:
    result = certify("sin(2*pi*x)", domain="[0,1]", tolerance="0.1", apriori=True)
    assert result.verdict == "proved"
    assert Fraction(result.notes["apriori"]["bound"]) == Fraction("0.1")
    assert float(result.error_upper or 1) < 0.03


def test_constants_take_one_token() -> None:
    for source in ("3", "0", "[1, -pi]"):
        assert theory_of(source, "[0,1]^3", "1e-9")[3].tokens == 1
        head = construct_head(source, domain="[0,1]^3", tolerance="1e-9").statement.attention
        assert head.tokens == 1
        assert [float(x) for x in head([0, 0, 0])] == [
            float(x) for x in evaluate_mp(on(source, "[0,1]^3")[0], [0] * 3, 53)
        ]


def test_fixed_sides_take_one_cell_and_no_key() -> None:
    certificate = construct_head("x0 + x1", domain="[0,1]x[1/3,1/3]", tolerance="0.1", apriori=True)
    head = reduce_head(certificate.statement.attention)[0]
    assert certificate.notes["grid"][1] == 1
    assert not any(row_entry(head.keys[1], i) for i in range(head.tokens))


def test_the_numbers_of_theory_stand_in_the_notes() -> None:
    _, _, _, theory = theory_of("sin(2*pi*x)", "[0,1]", "0.05")
    notes = construct_head("sin(2*pi*x)", domain="[0,1]", tolerance="0.05").notes
    assert notes["apriori"] == theory.to_notes()
    assert notes["apriori"]["tokens"] == theory.tokens == 252
    assert notes["apriori"]["grid"] == [252]
    assert float(notes["apriori"]["beta"]) == pytest.approx(float(theory.betas[0]), rel=1e-5)
    assert notes["apriori"]["lipschitz"] == "6.28319"
    assert notes["apriori"]["sup"] == "1"
    assert Fraction(notes["apriori"]["bound"]) == Fraction("0.05")
    assert notes["method"] == "uniform"
    json.dumps(notes, allow_nan=False)


# --- the emitted weights ---------------------------------------------------------------------------------------------


def anchors(box: Box, counts: Sequence[int]) -> list[tuple[Fraction, ...]]:
    """Centres of the cells; the last axis runs fastest."""
    axes = [
        [lo + h * Fraction(2 * i + 1, 2) for i in range(count)]
        for (lo, _), h, count in zip(box.sides, spacings(box, counts), counts, strict=True)
    ]
    return list(product(*axes))


def bits(x: Fraction) -> int:
    """Bits from the first to the last one of a dyadic rational."""
    assert x.denominator & (x.denominator - 1) == 0
    return (abs(x.numerator) // (abs(x.numerator) & -abs(x.numerator))).bit_length() if x else 0


HEADS = [
    ("sin(2*pi*x)", "[0,1]", (7,), ["40"]),
    ("[x0*exp(x1), 1/3]", "[0,1]x[-1/3,2]", (3, 4), ["10", "7/3"]),
    ("[[x0, sqrt(x1)], [x0*x1, 2]]", "[0,1]^2", (2, 3), ["5", "20"]),
    ("x0 - x1", "[1000,1001]x[-7,-6.9]", (3, 2), ["100", "1e5"]),
    ("x0*x1*x2", "[-1,1]x[2,2]x[0,0.1]", (2, 1, 3), ["1", "0", "1e3"]),
]


@pytest.mark.parametrize("precision", [24, 53, 106, 300])
@pytest.mark.parametrize(("source", "domain", "counts", "betas"), HEADS)
def test_weights_are_the_exact_ones_rounded_once(
    source: str, domain: str, counts: tuple[int, ...], betas: list[str], precision: int
) -> None:
    """Keys 2 beta (c - o), biases -beta (c^2 - o^2) and values f(c), each within half a unit of `precision` bits."""
    target, box = on(source, domain)
    exact = [Fraction(beta) for beta in betas]
    head = uniform_head(target, box, counts, exact, precision=precision)
    cells, n_o = math.prod(counts), target.shape[1]
    assert (head.tokens, head.output_shape) == (cells * n_o, target.shape)
    origin = [min(max(Fraction(0), lo), hi) for lo, hi in box.sides]
    half_unit = Fraction(1, 1 << precision)
    for j, column in enumerate(reduce_head(head)):
        for i, c in enumerate(anchors(box, counts) * n_o):
            keys = [2 * beta * (x - o) for beta, x, o in zip(exact, c, origin, strict=True)]
            bias = -sum(beta * (x * x - o * o) for beta, x, o in zip(exact, c, origin, strict=True))
            stated = [row_entry(row, i) for row in (*column.keys, column.biases)]
            for number, wanted in zip(stated, [*keys, bias], strict=True):
                assert abs(number - wanted) <= half_unit * abs(wanted)
                assert bits(number) <= precision
            values = evaluate_mp(target, c, precision + 80)[i // cells :: n_o]
            for row, wanted in zip(column.values, values, strict=True):
                number = row_entry(row, i)
                with mpmath.workprec(precision + 100):  # where f cancels, as sin(pi) does, 20 bits are left
                    assert abs(mpf(number) - wanted) <= mpmath.mpf(2) ** -precision * max(abs(wanted), 2.0**-20)
                assert bits(number) <= precision
        assert j < n_o


def test_a_gate_favours_the_block_of_its_own_column() -> None:
    target, box = on("[[x, 2*x, 3*x]]", "[0,1]")
    head = uniform_head(target, box, (4,), [Fraction(8)], gate=Fraction(5), precision=53)
    plain = uniform_head(target, box, (4,), [Fraction(8)], precision=53)
    for j, (gated, free) in enumerate(zip(reduce_head(head), reduce_head(plain), strict=True)):
        bonus = [row_entry(gated.biases, i) - row_entry(free.biases, i) for i in range(12)]
        assert bonus == [5 * (i // 4 == j) for i in range(12)]


@pytest.mark.parametrize(("precision", "error"), [(24, 1e-6), (53, 1e-14), (106, 1e-14)])
def test_precision_reaches_the_values(precision: int, error: float) -> None:
    certificate = construct_head("exp(x)", domain="[0,1]", tolerance="0.2", precision=precision)
    value = reduce_head(certificate.statement.attention)[0].values[0]
    numbers = [row_entry(value, i) for i in range(certificate.statement.attention.tokens)]
    assert precision - 2 <= max(map(bits, numbers)) <= precision
    centres = anchors(parse_box("[0,1]"), certificate.notes["grid"])
    misses = [abs(float(v) - math.exp(c)) for v, (c,) in zip(numbers, centres, strict=True)]
    assert max(misses) < error
    assert max(misses) > error / 1e3 or precision > 24


@pytest.mark.parametrize("precision", [24, 53, 300])
def test_heads_of_every_precision_are_proved(precision: int) -> None:
    assert certify("x**2", domain="[0,1]", tolerance="0.1", precision=precision).verdict == "proved"


@pytest.mark.parametrize("domain", ["[1000000,1000001]", "[-1001,-1000]"])
def test_domains_far_from_zero_are_no_harder(domain: str) -> None:
    assert certify("sin(x)", domain=domain, tolerance="0.05").verdict == "proved"


def test_matrix_inputs_are_read_row_by_row() -> None:
    source = "X[0,0] + 2*X[0,1] - X[1,0]*X[1,1]"
    target, box = on(source, "[0,1]x[0,0.5]x[-1,0]x[0,1]", (2, 2))
    certificate = construct_head(source, domain=str(box), tolerance="1", shape="2x2")
    head = certificate.statement.attention
    assert (head.input_shapes, head.output_shape) == (((2, 2),), (1, 1))
    assert sampled_error(target, box, head) <= 1
    X = np.array([[0.9, 0.1], [-0.7, 0.2]])
    assert head(X)[0, 0] == pytest.approx(values_of(head, X.reshape(1, 4))[0, 0])


def test_matrix_targets_are_filled_entry_by_entry() -> None:
    source = "[[x0, 2*x1, -1], [x0*x1, 0, x1 - x0]]"
    target, box = on(source, "[0,1]^2")
    head = construct_head(source, domain="[0,1]^2", tolerance="0.3").statement.attention
    assert head.output_shape == (2, 3)
    assert sampled_error(target, box, head) <= 0.3


# --- the default grid ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "domain", "tolerance"),
    [*CASES, ("sin(20*x0) + x1/10", "[0,1]^2", "0.1"), ("tanh(30*(x - 1/3))", "[0,1]", "0.05")],
)
def test_the_default_grid_is_no_finer_than_that_of_theory(source: str, domain: str, tolerance: str) -> None:
    target, box = on(source, domain)
    certificate = construct_head(source, domain=domain, tolerance=tolerance)
    counts, theory = certificate.notes["grid"], certificate.notes["apriori"]
    assert math.prod(counts) <= math.prod(theory["grid"])
    assert certificate.statement.attention.tokens == math.prod(counts) * target.shape[1]
    assert sampled_error(target, box, certificate.statement.attention) <= Fraction(tolerance)
    assert 0 < float(certificate.notes["sampled_error"]) <= float(Fraction(tolerance))


def test_the_default_saves_most_tokens() -> None:
    notes = construct_head("exp(-(x0**2+x1**2))*cos(3*x0*x1)", domain="[0,1]^2", tolerance="0.05").notes
    assert math.prod(notes["grid"]) * 50 < notes["apriori"]["tokens"]


def test_each_axis_gets_the_cells_that_it_needs() -> None:
    """A steep axis beside a flat one: few cells along the flat one, and the softmax is sharp along both."""
    grid = construct_head("sin(20*x0) + x1/10", domain="[0,1]^2", tolerance="0.06").notes["grid"]
    assert grid[0] > 30 * grid[1]
    assert math.prod(grid) < 1000
    assert construct_head("sin(20*x0)", domain="[0,1]x[0,1000]", tolerance="0.05").notes["grid"][1] == 1


def test_candidates_grow_and_end_with_theory() -> None:
    target, box = on("sin(2*pi*x)", "[0,1]")
    found = list(uniform_candidates(target, box, Fraction(1, 10), precision=53, apriori_only=False))
    tokens = [candidate.attention.tokens for candidate in found]
    assert len(tokens) >= 3
    assert tokens == sorted(set(tokens))
    assert [candidate.is_last for candidate in found] == [False] * (len(found) - 1) + [True]
    assert tokens[-1] == apriori(target, box, Fraction(1, 10)).tokens
    assert all(candidate.estimate <= 0.1 for candidate in found)
    only = uniform_candidates(target, box, Fraction(1, 10), precision=53, apriori_only=True)
    assert [(candidate.attention.tokens, candidate.is_last) for candidate in only] == [(tokens[-1], True)]


def test_estimates_are_the_errors_of_the_heads() -> None:
    target, box = on("[sin(3*x0)*x1, x0]", "[-1,1]x[0,2]")
    certificate = construct_head("[sin(3*x0)*x1, x0]", domain="[-1,1]x[0,2]", tolerance="0.5")
    stated = float(certificate.notes["sampled_error"])
    assert 0.85 * stated <= sampled_error(target, box, certificate.statement.attention, 2000) <= 1.15 * stated


def test_inverse_temperatures_of_extreme_boxes() -> None:
    box = parse_box("[0,1e-90]x[0,1e90]")
    betas = inverse_temperatures(box, (1000, 1000), 1e90, Fraction(1, 10**90))
    assert all(beta > 0 for beta in betas)
    assert float(betas[0] / betas[1] / Fraction(10) ** 360) == pytest.approx(1, rel=0.01)


# --- what is too much ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "domain", "tolerance", "theory"),
    [
        ("x0*x1*x2", "[0,1]^3", "1e-12", False),
        ("x0*x1*x2", "[0,1]^3", "1e-12", True),
        ("x0*x1*x2", "[0,1]^3", "1e-99", False),
        ("x0*x1*x2", "[0,1]^3", "1e-99", True),
        ("sin(2*pi*x)", "[0,1]", "1e-15", False),
        ("sin(2*pi*x)", "[0,1]", "1e-15", True),
        ("sqrt(x)", "[0,1]", "1e-12", False),
        ("sqrt(x0*x1)", "[0,1]^2", "1e-6", True),
        ("x0*x1*x2*x3*x4", "[0,1]^5", "1e-6", False),
        ("x", "[-1e100,1e100]", "1e-100", False),
        ("1e99*x", "[0,1]", "1e-90", True),
        ("x0", "[0,1]^36", "1e-30", True),
    ],
)
def test_heads_that_do_not_fit_are_refused_in_one_line_and_soon(
    source: str, domain: str, tolerance: str, theory: bool
) -> None:
    started = time.monotonic()
    with pytest.raises(TooLarge, match=r"tokens|boxes") as caught:
        construct_head(source, domain=domain, tolerance=tolerance, apriori=theory)
    assert time.monotonic() - started < 5
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_memory_is_asked_for_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources.os, "sysconf", lambda name: 4096 if name == "SC_PAGE_SIZE" else 1)
    with pytest.raises(TooLarge, match=r"252 tokens needs about .* of memory"):
        construct_head("sin(2*pi*x)", domain="[0,1]", tolerance="0.05", apriori=True)


def test_many_inputs_with_few_cells_are_no_matter() -> None:
    certificate = construct_head("x0/2 + x9", domain="[0,1]^10", tolerance="0.8")
    assert certificate.statement.attention.tokens < 10


def test_the_deadline_is_kept() -> None:
    target, box = on("sin(2*pi*x)", "[0,1]")
    late = Deadline(time.monotonic() - 1)
    with pytest.raises(OutOfTime):
        next(uniform_candidates(target, box, Fraction(1), precision=53, apriori_only=False, deadline=late))
    with pytest.raises(OutOfTime):
        uniform_head(target, box, (4,), [Fraction(1)], precision=53, deadline=late)


@pytest.mark.parametrize("source", ["1/x", "sign(x)", "floor(2*x)"])
def test_targets_without_a_continuous_value_are_refused(source: str) -> None:
    with pytest.raises(InputError) as caught:
        construct_head(source, domain="[-1,1]", tolerance="0.1")
    assert "\n" not in str(caught.value)
