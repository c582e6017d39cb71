"""Targets that are a maximum or a minimum of few affine functions: a token for each, with its score from its value.

For f = max_i v_i, v_i affine, the scores s_i = kappa v_i make the regions those on which v_i is the greatest, exactly,
and T = sum_i softmax_i v_i falls short of f by sum_i d_i e^(-kappa d_i) / sum_i e^(-kappa d_i), d_i = f - v_i >= 0,
which is at most W((N - 1)/e) / kappa, W the function of Lambert: for two tokens 0.27846 / kappa, and for f = |z| T is
z tanh(kappa z). For a minimum kappa is negative. The pieces are found by sampling.

Half of that bound added to all values would allow kappa to be half as large; but then the error were largest on the
faces too, where the target has its kinks and a proof needs the most boxes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from attncert.certificates.domain import Box
from attncert.certificates.evaluate import evaluate_float
from attncert.certificates.target import Target

FloatArray = npt.NDArray[np.float64]

MOST = 64
"""Pieces, at most."""

POINTS = 2048
"""Points at which slopes are sampled."""

SIMPLE = 10_000
"""Denominators up to this are tried for the coefficients of the pieces."""


@dataclass(frozen=True)
class Pieces:
    """f = max_i (u_i + g_i . x), or min: u (N,), g (N, m), exactly, and the sign that tells which."""

    constants: list[Fraction]
    slopes: list[list[Fraction]]
    sign: int
    misfit: float = 0.0
    """The largest sampled difference from f."""

    def excess(self) -> float:
        """kappa times the most by which the softmax mean of the pieces differs from f: W((N - 1)/e)."""
        x, w = (len(self.constants) - 1) / math.e, 0.0
        for _ in range(64):
            w -= (w * math.exp(w) - x) / (math.exp(w) * (w + 1))
        return w


def pieces_of(target: Target, box: Box) -> Pieces | None:
    """The pieces of a target of one entry, if sampling finds that it is the greatest or the least of few."""
    if len(target.outputs) > 1:
        return None
    lo = np.array([float(a) for a, _ in box.sides])
    side = np.array([float(b - a) for a, b in box.sides])
    rng = np.random.default_rng(2)
    points = lo + side * rng.random((POINTS, box.dimension))
    value = evaluate_float(target, points)[:, 0]
    slopes = np.zeros_like(points)
    step = 1e-6
    for k in np.flatnonzero(side):
        moved = points.copy()
        moved[:, k] += np.where(points[:, k] > lo[k] + side[k] / 2, -step, step) * side[k]
        slopes[:, k] = (evaluate_float(target, moved)[:, 0] - value) / (moved[:, k] - points[:, k])
    if not (np.isfinite(value).all() and np.isfinite(slopes).all()):
        return None
    scale = max(float(np.abs(value).max()), 1e-300)
    grid = np.round(slopes * side / scale * 1e5)
    _, of, sizes = np.unique(grid, axis=0, return_inverse=True, return_counts=True)
    common = np.flatnonzero(sizes > 1)  # steps across a face have slopes of their own
    if not 1 <= len(common) <= MOST:
        return None
    constants, gradients = [], []
    for kind in common:
        members = np.flatnonzero(of.ravel() == kind)
        g = [_simple(x) for x in np.median(slopes[members], axis=0)]
        rest = value[members] - points[members] @ np.array([float(x) for x in g])
        constants.append(_simple(float(np.median(rest))))
        gradients.append(g)
    planes = points @ np.array([[float(x) for x in g] for g in gradients]).T + np.array([float(u) for u in constants])
    for sign, envelope in ((1, planes.max(axis=1)), (-1, planes.min(axis=1))):
        misfit = float(np.abs(envelope - value).max())
        if misfit <= 1e-7 * scale:
            return Pieces(constants, gradients, sign, misfit)
    return None


def _simple(x: float) -> Fraction:
    """The simple number that a sampled coefficient is, or 24 bits of it."""
    simple = Fraction(x).limit_denominator(SIMPLE)
    if abs(float(simple) - x) <= 1e-7 * max(1.0, abs(x)):
        return simple
    return Fraction(round(x * 2**24), 2**24)
