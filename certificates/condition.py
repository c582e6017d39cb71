"""Conditions that cut a domain out of a box, such as `x0**2 + x1**2 <= 1`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from attncert.certificates.domain import Box
from attncert.certificates.enclosure import enclose
from attncert.certificates.errors import InvalidDomain, InvalidTarget, UndefinedTarget
from attncert.certificates.evaluate import evaluate_float, evaluate_mp
from attncert.certificates.numbers import float_down, float_up
from attncert.certificates.target import InputSpace, Target, parse_target

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_PREFIX = "where("


@dataclass(frozen=True)
class Condition:
    """A condition of the target language, held as the target that is 1 where it is true and 0 where it is false."""

    source: str
    indicator: Target


def parse_condition(source: str, space: InputSpace) -> Condition:
    """Parse a condition over the entries of the input; raises InvalidDomain with the column and the reason."""
    try:
        indicator = parse_target(f"{_PREFIX}{source}, 1, 0)", space)
    except InvalidTarget as error:
        reason = re.sub(r"^column (\d+)", lambda at: f"column {int(at[1]) - len(_PREFIX)}", str(error))
        raise InvalidDomain(f"condition {source!r}: {reason}") from None
    if indicator.tape[indicator.outputs[0]].op != "where" or len(indicator.outputs) != 1:
        raise InvalidDomain(f"condition {source!r}: not a comparison, or several joined by and, or, not")
    return Condition(source, indicator)


def classify(conditions: Sequence[Condition], lo: FloatArray, hi: FloatArray) -> tuple[BoolArray, BoolArray]:
    """Which boxes lie wholly inside (all conditions true) and wholly outside (one false); lo, hi (boxes, m)."""
    inside, outside = np.ones(len(lo), np.bool_), np.zeros(len(lo), np.bool_)
    for condition in conditions:
        low, high = enclose(condition.indicator, lo, hi)
        inside &= low[:, 0] == 1
        outside |= high[:, 0] == 0
    return inside, outside


def estimate_inside(conditions: Sequence[Condition], points: FloatArray) -> BoolArray:
    """Which points (P, m) seem to satisfy all conditions, in float64 without bounds on the rounding."""
    inside = np.ones(len(points), np.bool_)
    for condition in conditions:
        inside &= evaluate_float(condition.indicator, points)[:, 0] == 1
    return inside


def satisfied(conditions: Sequence[Condition], point: Sequence[Fraction]) -> bool:
    """Tell whether an exact point satisfies all conditions, evaluated to about sixty digits."""
    try:
        return all(evaluate_mp(condition.indicator, point, 200)[0] == 1 for condition in conditions)
    except UndefinedTarget:
        return False


def require_points(conditions: Sequence[Condition], box: Box, most: int = 4096) -> None:
    """Raise InvalidDomain when the conditions are proved to leave nothing of the box, by halving at most `most` boxes.

    Halved ends are rounded, but meet: every point of the box lies in some part.
    """
    if not conditions:
        return
    lo = np.array([[float_down(lo) for lo, _ in box.sides]])
    hi = np.array([[float_up(hi) for _, hi in box.sides]])
    while 0 < len(lo) <= most:
        inside, outside = classify(conditions, lo, hi)
        if inside.any():
            return
        lo, hi = lo[~outside], hi[~outside]
        if not len(lo):
            raise InvalidDomain("the conditions leave nothing of the domain")
        axis, rows = np.argmax(hi - lo, axis=1), np.arange(len(lo))
        middle = 0.5 * lo[rows, axis] + 0.5 * hi[rows, axis]
        lower, upper = hi.copy(), lo.copy()
        lower[rows, axis], upper[rows, axis] = middle, middle
        lo, hi = np.concatenate([lo, upper]), np.concatenate([lower, hi])
