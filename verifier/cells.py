"""The argmax cells of a head in exact arithmetic, with float64 to choose what to look at.

Scores are integers: those of one output column times a common denominator, which changes no comparison. Floating point
decides nothing: a token that it cannot tell to be beaten is compared exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm

import numpy as np
import numpy.typing as npt

from attncert.certificates.domain import Box
from attncert.certificates.matrix import row_entry
from attncert.certificates.numbers import float_down, float_up
from attncert.verifier.farkas import Affine, Sides, least, minimise, minus, round_to, rounded
from attncert.verifier.reduction import ReducedHead

FloatArray = npt.NDArray[np.float64]
Point = tuple[Fraction, ...]

SHORT = 64
"""Bits up to which the end of a bounding box stays exact; others are rounded outward."""

OUTWARD = 36
"""Bits, relative to the side of the domain, that ends are rounded to."""


@dataclass(frozen=True)
class Bounds:
    """The bounding box of a region with the multipliers of its faces, and the vertices at which they are taken."""

    box: Sides
    faces: tuple[dict[int, Fraction], ...]
    vertices: tuple[Point, ...]
    empty: bool


@dataclass(frozen=True)
class Cells:
    """The scores of an output column: `scores[i]` are the integer slopes and the constant of token i, times `unit`.

    Regions may be enlarged: their tokens get a `bonus` on every lead, times `unit` too.
    """

    box: Box
    scores: tuple[tuple[int, ...], ...]
    unit: int
    rough: FloatArray = field(repr=False)  # (tokens, m + 1), the scores divided by the largest number among them
    slack: float = 0.0
    bonus: int = 0

    @property
    def tokens(self) -> int:
        """The number of tokens."""
        return len(self.scores)

    def lead(self, i: int, k: int) -> Affine:
        """s_i - s_k, and the bonus."""
        lead = minus(self.scores[i], self.scores[k])
        return (*lead[:-1], lead[-1] + self.bonus) if self.bonus else lead

    def leads(self, i: int, others: Iterable[int]) -> dict[int, Affine]:
        """s_i - s_k for several tokens."""
        return {k: self.lead(i, k) for k in others}

    def values(self, x: Sequence[Fraction]) -> list[int]:
        """The exact scores at a point, times a common positive number."""
        q = lcm(*(number.denominator for number in x))
        y = [*(int(number * q) for number in x), q]
        return [sum(a * b for a, b in zip(score, y, strict=True)) for score in self.scores]

    def winner(self, x: Sequence[Fraction], among: npt.NDArray[np.int64] | None = None) -> int:
        """The first of the best tokens at a point (of some): compared exactly wherever float64 is in doubt."""
        q = lcm(*(number.denominator for number in x))
        y = [*(int(number * q) for number in x), q]
        rough = (self.rough if among is None else self.rough[among]) @ np.array([*(float(number) for number in x), 1.0])
        near = np.flatnonzero(~(rough < rough.max() - self.slack))
        tokens: list[int] = (near if among is None else among[near]).tolist()
        best = [sum(a * b for a, b in zip(self.scores[k], y, strict=True)) for k in tokens]
        return tokens[best.index(max(best))]

    def unbeaten(self, i: int, box: Sides) -> list[int]:
        """The tokens k for which s_i >= s_k does not hold on all of a box, exactly."""
        lo = np.array([float_down(lo) for lo, _ in box])
        hi = np.array([float_up(hi) for _, hi in box])
        lead = self.rough[i] - self.rough
        with np.errstate(all="ignore"):  # a box far away may give infinities and NaN, which are in doubt
            margin = lead[:, -1] + np.where(lead[:, :-1] >= 0, lead[:, :-1] * lo, lead[:, :-1] * hi).sum(axis=1)
        doubtful = np.flatnonzero(~(margin > self.slack)).tolist()
        return [k for k in doubtful if k != i and least(self.lead(i, k), box) < 0]

    def bounds(self, i: int, neighbours: Iterable[int], centre: Sequence[Fraction] | None = None) -> Bounds:
        """The bounding box of a region. That of an empty one is the point `centre`, or else the domain's corner."""
        m, rows = self.box.dimension, self.leads(i, neighbours)
        ends: list[list[Fraction]] = [[], []]
        faces, vertices = [], []
        empty = False
        for k in range(m):
            for side, sign in enumerate((1, -1)):
                scale = sign * self.unit  # so that the multipliers are those of the scores themselves
                goal: Affine = (*(scale * int(n == k) for n in range(m)), 0)
                found = minimise(goal, rows, self.box.sides)
                if found.value is None or found.point is None:
                    empty = True
                    end = self.box.sides[k][0] if centre is None else centre[k]
                    short = scale * end - least(goal, self.box.sides)
                    weights = {n: max(Fraction(0), short) * part for n, part in found.multipliers.items()}
                else:
                    end, weights = self._outward(found.value / scale, k, side), found.multipliers
                    vertices.append(found.point)
                goal = (*goal[:m], -scale * end)
                if end == self.box.sides[k][side]:
                    weights = {}
                faces.append(rounded(goal, weights, rows, self.box.sides))
                ends[side].append(end)
        return Bounds(tuple(zip(*ends, strict=True)), tuple(faces), tuple(vertices), empty)

    def _outward(self, end: Fraction, k: int, side: int) -> Fraction:
        """The end of a bounding box, rounded outward if it is long, but not beyond the domain."""
        if end.numerator.bit_length() + end.denominator.bit_length() <= SHORT:
            return end
        lo, hi = self.box.sides[k]
        unit = round_to(hi - lo, 1) / (1 << OUTWARD)
        return max(lo, math.floor(end / unit) * unit) if side == 0 else min(hi, math.ceil(end / unit) * unit)


def cells_of(head: ReducedHead, box: Box) -> Cells:
    """The cells of a reduced head.

    Rounding: scores are at most 1 + m reach after the division by the largest number; a product, the m sums and the
    rounding of the numbers cost less than 4 (m + 2) units each way, and 2^-44 is 512 units.
    """
    rows = [*head.keys, head.biases]
    numbers = {number for row in rows for number in ([row] if isinstance(row, Fraction) else row)}
    unit = lcm(*(number.denominator for number in numbers))
    scores = tuple(tuple(int(row_entry(row, i) * unit) for row in rows) for i in range(head.tokens))
    largest = max(1, *(abs(number) for score in scores for number in score))
    rough = np.array([[number / largest for number in score] for score in scores])
    reach = max(1.0, *(abs(float(end)) for side in box.sides for end in side))
    return Cells(box, scores, unit, rough, slack=2.0**-44 * (box.dimension + 1) * reach)
