"""The error at single points: estimates to look for violations, and a proved lower bound at one point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from attncert.certificates.condition import Condition, estimate_inside
from attncert.certificates.domain import Box
from attncert.certificates.enclosure import enclose
from attncert.certificates.evaluate import evaluate_float
from attncert.certificates.interval import down, up
from attncert.certificates.numbers import float_down, float_up
from attncert.certificates.target import Target
from attncert.verifier.boxes import EXP_ERROR
from attncert.verifier.head import UNIT, FloatArray, FloatHead

SAMPLE_WORK = 1 << 21
"""Points times tokens that are spent on looking for a violation before a proof is tried."""

MAX_POINTS = 4096

FINEST = 2.0**-34
"""The smallest steps of the search nearby, as a part of each side."""

CLIMBERS = 8
"""Points from which larger errors are looked for nearby."""


def sample_points(box: Box, tokens: int) -> FloatArray:
    """Points of the box to look at first, (points, m): its corners and a low-discrepancy set, fewer for larger
    heads."""
    m = box.dimension
    count = max(16, min(MAX_POINTS, SAMPLE_WORK // tokens))
    generator = np.random.default_rng(0)
    lo = np.array([float(lo) for lo, _ in box.sides])
    hi = np.array([float(hi) for _, hi in box.sides])
    if m == 1:
        unit = np.linspace(0.0, 1.0, count)[:, None]
    else:
        strata = (np.arange(count)[:, None] + generator.random((count, m))) / count
        unit = np.stack([generator.permutation(strata[:, k]) for k in range(m)], axis=1)
        corners = np.array(np.unravel_index(np.arange(2 ** min(m, 6)), (2,) * min(m, 6))).T
        unit[: len(corners), : corners.shape[1]] = corners[:count]
    return np.asarray(np.clip(lo + unit * (hi - lo), lo, hi))


def estimate_errors(
    target: Target,
    entries: Sequence[int],
    head: FloatHead,
    points: FloatArray,
    conditions: Sequence[Condition] = (),
    chunk: int = 1 << 22,
) -> FloatArray:
    """|f - T| in float64 without bounds on the rounding: points (P, m) -> (P, entries).

    Undefined values, and points where a condition is false, count as 0.
    """
    exact = evaluate_float(target, points)[:, list(entries)]
    errors = np.empty_like(exact)
    step = max(1, chunk // head.tokens)
    with np.errstate(all="ignore"):
        for start in range(0, len(points), step):
            part = points[start : start + step]
            value = sum(_estimates(each, part) for each in head.parts)
            errors[start : start + step] = np.abs(exact[start : start + step] - value)
    errors[~estimate_inside(conditions, points)] = 0.0
    return np.nan_to_num(errors, nan=0.0, posinf=0.0)


def _estimates(head: FloatHead, points: FloatArray) -> FloatArray:
    """T in float64 without bounds on the rounding: points (P, m) -> (P, d_o)."""
    score = points @ head.keys + head.biases
    for (j, k), product in head.products.items():
        score += (points[:, j] * points[:, k])[:, None] * product
    weight = np.exp(score - score.max(axis=1, keepdims=True))
    top = weight @ head.values.T
    for k, slopes in head.slopes.items():
        top += points[:, k, None] * (weight @ slopes.T)
    return np.asarray(top / weight.sum(axis=1, keepdims=True))


def climb(
    target: Target,
    entry: int,
    row: int,
    head: FloatHead,
    box: Box,
    starts: FloatArray,
    conditions: Sequence[Condition] = (),
    rounds: int = 48,
) -> tuple[float, tuple[float, ...]]:
    """A larger error near the starts (P, m), by a pattern search with shrinking steps: the estimate and its point.

    Errors peak at faces of the partition, where they have kinks, so the search uses no derivatives. It spends at most
    8 SAMPLE_WORK points times tokens.
    """
    values = head.of_row(row)
    lo = np.array([float(lo) for lo, _ in box.sides])
    hi = np.array([float(hi) for _, hi in box.sides])
    m = box.dimension
    steps = np.concatenate([np.eye(m), -np.eye(m), np.eye(m) / 2, -np.eye(m) / 2])
    rounds = min(rounds, 8 * SAMPLE_WORK // (head.tokens * len(starts) * len(steps)))
    points, size, least = starts.copy(), (hi - lo) / max(2.0, head.tokens ** (1 / m)), (hi - lo) * FINEST
    best = estimate_errors(target, [entry], values, points, conditions)[:, 0]
    for _ in range(rounds):
        tries = np.clip(points[:, None, :] + steps * size, lo, hi)
        errors = estimate_errors(target, [entry], values, tries.reshape(-1, m), conditions)[:, 0].reshape(
            len(points), -1
        )
        choice = errors.argmax(axis=1)
        better = errors[np.arange(len(points)), choice] > best
        points[better] = tries[np.arange(len(points)), choice][better]
        best[better] = errors[np.arange(len(points)), choice][better]
        if not better.any():
            size = size / 4
            if np.all(size <= least):
                break
    winner = int(np.argmax(best))
    return float(best[winner]), tuple(points[winner].tolist())


def proved_error(target: Target, entry: int, row: int, head: FloatHead, point: Sequence[float | Fraction]) -> float:
    """A proved lower bound on |f - T| at an exact point, in float64; `entry` of the target against value row `row`.

    Rounding argument. The point lies in a box of neighbouring doubles, over which f and T (or the T_h of a sum) are
    enclosed; the enclosures are added and compared with every step rounded outward.
    """
    with np.errstate(all="ignore"):
        exact = [Fraction(x) for x in point]
        lo, hi = np.array([[float_down(x) for x in exact]]), np.array([[float_up(x) for x in exact]])
        f_lo, f_hi = (ends[0, entry] for ends in enclose(target, lo, hi))
        for part in head.parts:
            mean, slip = _enclosed(part, row, lo[0], hi[0])
            f_lo, f_hi = down(f_lo - up(np.float64(mean + slip))), up(f_hi - down(np.float64(mean - slip)))
        lower = float(np.maximum(f_lo, -f_hi))
        return lower if lower > 0 else 0.0


def _enclosed(head: FloatHead, row: int, lo: FloatArray, hi: FloatArray) -> tuple[float, float]:
    """T at a point of a box of neighbouring doubles, (m,) each: a number, and how far T may be from it.

    Rounding argument. The radius terms of the scores are taken over the box. With d_i = s_i - max s computed within
    `score_slack` and those terms, each weight e^{d_i} carries a relative error of at most
    rho = e^slack (1 + EXP_ERROR) - 1, the common factor cancels, and sums of N nonnegative terms add N u each. Changing
    every weight by relative rho' <= rho + N u changes a weighted mean of v by at most 2 rho'/(1 - rho') max|v - v_0|;
    v_0 is the midpoint of the values, and (N + 8) u max|v| covers the arithmetic on the v themselves. Where these
    depend on x, they vary over the box by their parts.
    """
    score, tilts, width = head.biases.copy(), [keys.copy() for keys in head.keys], hi - lo
    for k, keys in enumerate(head.keys):
        score += keys * lo[k]
    curves = head.around(np.arange(head.tokens), lo, tilts, score)
    radius = sum(float(np.max(tilt) - np.min(tilt)) * float(width[k]) for k, tilt in enumerate(tilts))
    radius += sum(float(np.max(q) - np.min(q)) * float(width[j] * width[k]) for (j, k), q in curves.items())
    weight = np.exp(score - score.max())
    tokens = np.arange(head.tokens)
    values = head.values_at(row, tokens, lo)
    parts = head.parts_of(row, tokens, width)
    reach = max((float(np.max(np.abs(part))) for part in parts.values()), default=0.0) * len(parts)
    mean = float(np.sum(weight * values) / np.sum(weight))
    n = head.tokens
    rho = math.expm1(min(head.score_slack + 2 * radius, 700.0)) * (1 + 2**-40) + 4 * EXP_ERROR + 2 * (n + 8) * UNIT
    spread = float(head.value_max[row] - head.value_min[row])
    size = float(max(abs(head.value_min[row]), abs(head.value_max[row])))
    slip = 2 * rho / (1 - rho) * spread if rho < 0.5 else math.inf
    return mean, float(up(np.float64(slip + 4 * (n + 8) * UNIT * size + float(head.value_slack[row]) + 2 * reach)))


def exact_point(point: Sequence[float], box: Box) -> tuple[Fraction, ...]:
    """The point as rationals, moved into the box where rounding put it outside."""
    return tuple(min(max(Fraction(x), lo), hi) for x, (lo, hi) in zip(point, box.sides, strict=True))
