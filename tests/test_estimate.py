"""Sampled errors of grid heads, against the heads themselves."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from heads import grid_statement

from attncert.certificates.attention import Attention
from attncert.certificates.domain import Box, parse_box
from attncert.certificates.errors import TooLarge
from attncert.certificates.evaluate import evaluate_float
from attncert.certificates.matrix import row_to_floats
from attncert.certificates.target import InputSpace, Target, parse_target
from attncert.construct import estimate
from attncert.construct.estimate import MAX_SAMPLES, grid_error, samples_needed
from attncert.construct.uniform import uniform_head
from attncert.verifier.reduction import reduce_head

TARGETS = {
    1: ["sin(5*x)", "sqrt(x + 1)", "[x**2, abs(x - 0.3)]", "where(x < 1/2, 0, 1)"],
    2: ["sin(3*x0)*x1", "[x0*x1, cos(x0), 1]", "max(x0, 2*x1)"],
    3: ["x0*x1 - x2", "[x2, sin(4*x0)]", "exp(-x0)*x1*x2"],
}
SIDES = ["[0,1]", "[-1,1]", "[0.1,0.2]", "[1/3,3]", "[0.5,0.5]"]


def on(source: str, domain: str) -> tuple[Target, Box]:
    box = parse_box(domain)
    return parse_target(source, InputSpace((box.dimension, 1))), box


def lattice(box: Box, counts: Sequence[int]) -> np.ndarray:
    """The points that `grid_error` stands for, made one by one with rationals; (points, m)."""
    axes = []
    for (lo, hi), count, offsets in zip(box.sides, counts, estimate._offsets(box, counts), strict=True):
        places = [Fraction(2 * i + 1, 2) + Fraction(float(offset)) for i in range(count) for offset in offsets]
        axes.append([float(lo + (hi - lo) * place / count) for place in places])
    return np.array(list(product(*axes)))


def sampled(target: Target, head: Attention, points: np.ndarray) -> float:
    """The largest |f - T| over the points, for the scores and values that the matrices of the head reduce to."""
    (reduced,) = reduce_head(head)
    keys, values = (
        np.array([row_to_floats(row, head.tokens) for row in rows]) for rows in (reduced.keys, reduced.values)
    )
    scores = points @ keys + row_to_floats(reduced.biases, head.tokens)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    softmax = weights / weights.sum(axis=1, keepdims=True)
    assert np.allclose(head(points[0])[:, 0], values @ softmax[0], atol=1e-9)
    return float(np.max(np.abs(evaluate_float(target, points) - softmax @ values.T)))


def random_case(seed: int) -> tuple[str, str, tuple[int, ...], random.Random]:
    rnd = random.Random(seed)
    m = rnd.choice([1, 1, 2, 2, 3])
    source, domain = rnd.choice(TARGETS[m]), "x".join(rnd.choice(SIDES) for _ in range(m))
    largest = {1: 12, 2: 5, 3: 3}[m]
    counts = tuple(1 if lo == hi else rnd.randint(1, largest) for lo, hi in parse_box(domain).sides)
    return source, domain, counts, rnd


@pytest.mark.parametrize("seed", range(25))
def test_one_temperature_gives_the_error_of_the_head(seed: int) -> None:
    source, domain, counts, rnd = random_case(seed)
    beta = Fraction(rnd.choice(["0", "0.01", "1", "30", "1000", "1e6"]))
    statement = grid_statement(source, domain, counts, beta, 1)
    expected = sampled(statement.target, statement.attention, lattice(statement.domain, counts))
    assert grid_error(statement.target, statement.domain, counts, float(beta)) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("seed", range(100, 125))
def test_temperatures_for_each_axis_give_the_error_of_the_head(seed: int) -> None:
    source, domain, counts, rnd = random_case(seed)
    target, box = on(source, domain)
    betas = [Fraction(rnd.choice(["0", "0.1", "10", "500", "1e5"])) for _ in counts]
    head = uniform_head(target, box, counts, betas, precision=53)
    expected = sampled(target, head, lattice(box, counts))
    assert grid_error(target, box, counts, [float(beta) for beta in betas]) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(
    ("source", "domain", "counts", "beta"),
    [
        ("sin(2*pi*x)", "[0,1]", (40,), 20_000.0),
        ("exp(-(x0**2+x1**2))*cos(3*x0*x1)", "[0,1]^2", (8, 9), 1500.0),
        ("x0*x1 - x2**2", "[0,1]^3", (4, 5, 6), 400.0),
    ],
)
def test_the_lattice_finds_nearly_the_largest_error(
    source: str, domain: str, counts: tuple[int, ...], beta: float
) -> None:
    statement = grid_statement(source, domain, counts, Fraction(beta), 1)
    rnd = np.random.default_rng(0)
    lo, hi = (np.array([float(side[k]) for side in statement.domain.sides]) for k in (0, 1))
    largest = sampled(statement.target, statement.attention, lo + (hi - lo) * rnd.random((600, len(counts))))
    assert 0.97 * largest <= grid_error(statement.target, statement.domain, counts, beta) <= 1.3 * largest


@pytest.mark.parametrize(
    ("domain", "counts"),
    [
        ("[0,1]", (7,)),
        ("[0,1]^2", (3, 1)),
        ("[0,1]x[2,2]", (4, 1)),
        ("[0,1]^3", (2, 3, 1)),
        ("[0,1]^5", (1, 2, 1, 1, 1)),
    ],
)
def test_samples_needed_is_the_size_of_the_lattice(domain: str, counts: tuple[int, ...]) -> None:
    box = parse_box(domain)
    assert samples_needed(box, counts) == len(lattice(box, counts))


def test_single_cells_of_many_axes_are_sampled_sparingly() -> None:
    assert samples_needed(parse_box("[0,1]^10"), (2,) + (1,) * 9) < MAX_SAMPLES


def test_a_grid_that_is_too_fine_is_refused_at_once() -> None:
    target, box = on("x0*x1", "[0,1]^2")
    started = time.monotonic()
    with pytest.raises(TooLarge, match="too fine to be sampled"):
        grid_error(target, box, (10**9, 10**9), 1.0)
    assert time.monotonic() - started < 1


def test_places_without_a_value_do_not_count() -> None:
    target, box = on("where(x < 1/2, x, 1/(x - 1/2))", "[0,1]")
    assert 0 < grid_error(target, box, (2,), 1.0) < 1e3
