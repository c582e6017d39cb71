"""Farkas multipliers in exact rationals.

An affine function f is nonnegative on the polytope {x in a box : g_k(x) >= 0 for all k} if

    f - sum_k lambda_k g_k >= 0  on the box,    lambda_k >= 0,

and by the duality of linear programming such lambda exist if it is. The left side is affine, so its least value on the
box is exact. Multipliers that have some room are rounded to few bits: what rounding costs is part of that least value.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

Affine = tuple[int | Fraction, ...]
"""An affine function: its slopes, then its constant."""

Sides = Sequence[tuple[Fraction, Fraction]]
Name = TypeVar("Name", bound=Hashable)

STEEPEST = 60
"""Pivots that choose the most violated row; later ones choose the first, which cannot cycle (Bland)."""

ROUNDINGS = (16, 32, 48, 64, 96)
"""Bits that multipliers are rounded to, the fewest that are enough; else they stay exact."""


@dataclass(frozen=True)
class Minimum(Generic[Name]):
    """The least value of a function on a polytope, where it is taken, and the multipliers that prove it.

    For an empty polytope value and point are None, and the multipliers prove -1 >= 0.
    """

    value: Fraction | None
    point: tuple[Fraction, ...] | None
    multipliers: dict[Name, Fraction]


def value_at(f: Affine, x: Sequence[Fraction]) -> Fraction:
    """f(x)."""
    return Fraction(f[-1] + sum(a * b for a, b in zip(f, x, strict=False) if a))


def least(f: Affine, box: Sides) -> Fraction:
    """The least value of f on a box."""
    return Fraction(f[-1] + sum(a * (side[0] if a > 0 else side[1]) for a, side in zip(f, box, strict=False) if a))


def minus(f: Affine, g: Affine) -> Affine:
    """f - g."""
    return tuple(a - b for a, b in zip(f, g, strict=True))


def combination(goal: Affine, terms: Iterable[tuple[Fraction, Affine]]) -> Affine:
    """goal - sum of lambda g."""
    total = list(goal)
    for weight, g in terms:
        total = [a - weight * b for a, b in zip(total, g, strict=True)]
    return tuple(total)


def minimise(goal: Affine, rows: Mapping[Name, Affine], box: Sides) -> Minimum[Name]:
    """Minimise a function on {x in the box : g >= 0 for every row g} by the dual simplex method.

    It starts at the corner of the box that is best for the goal, whose multipliers are the sizes of its slopes, and
    takes in rows that are violated there, one for one.
    """
    m = len(box)
    faces: dict[tuple[int, int], Affine] = {}
    for k, (lo, hi) in enumerate(box):
        faces[k, 0] = (*(int(i == k) for i in range(m)), -lo)
        faces[k, 1] = (*(-int(i == k) for i in range(m)), hi)
    named: list[tuple[Name | None, Affine]] = [(None, face) for face in faces.values()]
    named += [(name, row) for name, row in rows.items()]
    basis = [2 * k + (goal[k] < 0) for k in range(m)]
    weights = [abs(Fraction(slope)) for slope in goal[:m]]
    # Column b of the inverse belongs to basis[b]: a row a is the sum of w_b times row basis[b], w = a inverse.
    inverse = [[Fraction(0) if i != b else Fraction(-1 if goal[b] < 0 else 1) for b in range(m)] for i in range(m)]
    pivots = 0
    while True:
        constants = [named[b][1][m] for b in basis]
        x = [-Fraction(sum(part * c for part, c in zip(line, constants, strict=True))) for line in inverse]
        entering, worst = -1, Fraction(0)
        for place, (_, row) in enumerate(named):
            if place not in basis and (excess := value_at(row, x)) < worst:
                entering, worst = place, excess
                if pivots >= STEEPEST:
                    break
        if entering < 0:
            found = {named[b][0]: weight for b, weight in zip(basis, weights, strict=True) if weight}
            return Minimum(value_at(goal, x), tuple(x), {k: v for k, v in found.items() if k is not None})
        row = named[entering][1]
        parts = [Fraction(sum(row[i] * inverse[i][b] for i in range(m))) for b in range(m)]
        leaving = [b for b in range(m) if parts[b] > 0]
        if not leaving:  # the row is a sum of others with weights <= 0, yet negative where they are 0: nothing is left
            ray = {named[b][0]: part / worst for b, part in zip(basis, parts, strict=True) if part}
            ray[named[entering][0]] = -1 / worst
            return Minimum(None, None, {k: v for k, v in ray.items() if k is not None})
        out = min(leaving, key=lambda b: (weights[b] / parts[b], basis[b]))
        step = weights[out] / parts[out]
        weights = [weight - step * part for weight, part in zip(weights, parts, strict=True)]
        weights[out] = step
        for line in inverse:
            line[out] /= parts[out]
            for b in range(m):
                if b != out and parts[b]:
                    line[b] -= parts[b] * line[out]
        basis[out] = entering
        pivots += 1


def multipliers(goal: Affine, rows: Mapping[Name, Affine], box: Sides) -> dict[Name, Fraction] | None:
    """Multipliers that prove goal >= 0 on the polytope, of few bits where there is room; None if it is not so."""
    if proves(goal, {}, rows, box):
        return {}
    found = minimise(goal, rows, box)
    if found.value is None:
        short = least(goal, box)
        factor = max(Fraction(0), -short)  # the ray takes at least 1 off for each unit
        return rounded(goal, {name: factor * part for name, part in found.multipliers.items()}, rows, box)
    return rounded(goal, found.multipliers, rows, box) if found.value >= 0 else None


def proves(goal: Affine, weights: Mapping[Name, Fraction], rows: Mapping[Name, Affine], box: Sides) -> bool:
    """Tell whether goal - sum of lambda g >= 0 on the box, exactly."""
    return least(combination(goal, ((weight, rows[name]) for name, weight in weights.items())), box) >= 0


def rounded(
    goal: Affine, weights: Mapping[Name, Fraction], rows: Mapping[Name, Affine], box: Sides
) -> dict[Name, Fraction]:
    """The multipliers with as few bits as still prove the goal."""
    for bits in ROUNDINGS:
        short = {name: round_to(weight, bits) for name, weight in weights.items()}
        if proves(goal, short, rows, box):
            return short
    return {name: weight for name, weight in weights.items() if weight}


def round_to(x: Fraction, bits: int) -> Fraction:
    """The number nearest to x >= 0 with so many significant bits."""
    if x == 0:
        return x
    shift = bits - (x.numerator.bit_length() - x.denominator.bit_length())
    return Fraction(round(x * 2**shift), 2**shift) if shift > 0 else Fraction(round(x / 2**-shift) * 2**-shift)
