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
from math import lcm
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
    """Minimise a function on {x in the box : g >= 0 for every row g} by the dual simplex method, on integers.

    It starts at the corner of the box that is best for the goal, whose multipliers are the sizes of its slopes, and
    takes in rows that are violated there, one for one. With y = q x the ends of the box are integers, B the matrix of
    the m rows that hold with equality, inverse / d its inverse: row a is the sum of part_b / d times row b.
    """
    m, q = len(box), lcm(*(end.denominator for side in box for end in side))
    named: list[tuple[Name | None, list[int], Fraction]] = []  # slopes and q times the constant, times a factor
    for k, (lo, hi) in enumerate(box):
        named.append((None, [*(int(i == k) for i in range(m)), -int(lo * q)], Fraction(1)))
        named.append((None, [*(-int(i == k) for i in range(m)), int(hi * q)], Fraction(1)))
    for name, given in rows.items():
        whole, factor = _whole(given)
        whole[m] *= q
        named.append((name, whole, factor))
    aim, scale = _whole(goal)
    basis = [2 * k + (aim[k] < 0) for k in range(m)]
    inverse = [[0 if i != b else -1 if aim[b] < 0 else 1 for b in range(m)] for i in range(m)]
    d, pivots = 1, 0
    while True:
        constants = [named[b][1][m] for b in basis]
        y = [-sum(part * c for part, c in zip(line, constants, strict=True)) for line in inverse]  # times d
        entering, worst = -1, 0
        for place, (_, row, _) in enumerate(named):
            excess = row[m] * d + sum(a * b for a, b in zip(row, y, strict=False))
            if excess < worst and place not in basis:
                entering, worst = place, excess
                if pivots >= STEEPEST:
                    break
        weights = [sum(aim[i] * inverse[i][b] for i in range(m)) for b in range(m)]
        if entering < 0:
            point = tuple(Fraction(number, d * q) for number in y)
            terms = zip(basis, weights, strict=True)
            found = {named[b][0]: Fraction(weight, d) * named[b][2] / scale for b, weight in terms if weight}
            return Minimum(value_at(goal, point), point, {k: v for k, v in found.items() if k is not None})
        row = named[entering][1]
        parts = [sum(row[i] * inverse[i][b] for i in range(m)) for b in range(m)]
        leaving = [b for b in range(m) if parts[b] > 0]
        if not leaving:  # the row is a sum of others with weights <= 0, yet negative where they are 0: nothing is left
            terms = zip([*basis, entering], [*parts, -d], strict=True)
            ray = {named[b][0]: Fraction(part * q, worst) * named[b][2] for b, part in terms if part}
            return Minimum(None, None, {k: v for k, v in ray.items() if k is not None})
        out = min(leaving, key=lambda b: (Fraction(weights[b], parts[b]), basis[b]))
        pivot = parts[out]
        for line in inverse:
            for b in range(m):
                if b != out:
                    line[b] = (line[b] * pivot - parts[b] * line[out]) // d
        d, basis[out], pivots = pivot, entering, pivots + 1


def _whole(f: Affine) -> tuple[list[int], Fraction]:
    """An affine function times a positive number that makes it integers, and that number."""
    if all(type(number) is int for number in f):
        return [int(number) for number in f], Fraction(1)
    unit = lcm(*(Fraction(number).denominator for number in f))
    return [int(number * unit) for number in f], Fraction(unit)


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
