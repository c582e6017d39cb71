"""Heads of any size for benchmarks: uniform grids with float64 weights, made without mpmath so that a million tokens
take seconds."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import numpy as np

from attncert.api import Certificate
from attncert.certificates.claim import SupError
from attncert.certificates.domain import parse_box
from attncert.certificates.evaluate import evaluate_float
from attncert.certificates.statement import Statement
from attncert.certificates.target import InputSpace, parse_target
from attncert.construct.embedding import embed


def grid_certificate(
    target: str, domain: str, counts: tuple[int, ...], beta: float, tolerance: str | None
) -> Certificate:
    """A head on a grid of counts cells with float64 keys, biases and values, in the paper's full form, without
    evidence.

    Without a tolerance, the claim is 1.25 times the largest |f(corner) - f(centre)| over the cells, to two digits.
    """
    box = parse_box(domain)
    space = InputSpace((box.dimension, 1))
    parsed = parse_target(target, space)
    axes = [
        float(lo) + float(hi - lo) * (np.arange(n) + 0.5) / n for n, (lo, hi) in zip(counts, box.sides, strict=True)
    ]
    anchors = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    values = evaluate_float(parsed, anchors)
    biases = -beta * (anchors**2).sum(axis=1)
    exact = {x: Fraction(x) for column in (2 * beta * anchors).T for x in column.tolist()}
    head = embed(
        space,
        [[exact[x] for x in column] for column in (2 * beta * anchors).T.tolist()],
        [Fraction(x) for x in biases.tolist()],
        [[[Fraction(x) for x in column] for column in values.T.tolist()]],
        math.prod(counts),
    )
    if tolerance is None:
        halves = np.array([float(hi - lo) / (2 * n) for n, (lo, hi) in zip(counts, box.sides, strict=True)])
        corners = (anchors + np.array(signs) * halves for signs in product((-1, 1), repeat=len(counts)))
        tolerance = f"{1.25 * max(np.abs(evaluate_float(parsed, corner) - values).max() for corner in corners):.1e}"
    return Certificate(Statement(parsed, box, head, SupError(Fraction(tolerance))), None, {"method": "grid, float64"})
