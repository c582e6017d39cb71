"""Bounding boxes of enlarged regions R_i = {x in D : s_i(x) >= s_k(x) - kappa for all k}, each a polytope.

Few rivals k bound a region: those that are best, by more than kappa, at a vertex of what the ones before leave. An
exact linear program for each face gives the box with Farkas multipliers; Z3 has to agree that the polytope does not
reach beyond it, or is empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product

from attncert.certificates.evidence import Multipliers
from attncert.verifier.cells import Bounds, Cells
from attncert.verifier.farkas import Affine, Sides, minimise, multipliers, value_at
from attncert.verifier.solver import Answer, Solver


class Contradiction(RuntimeError):
    """Two proofs, or a proof and a solver, contradict each other: one of them has a defect."""


@dataclass(frozen=True)
class Polytope:
    """The bounding box of a token's enlarged region among its rivals, with the multipliers of the faces.

    Of an empty region the box is empty too: its first side is reversed.
    """

    token: int
    rivals: tuple[int, ...]
    box: Sides
    faces: tuple[Multipliers, ...]
    empty: bool


def enlarged(cells: Cells, kappa: Fraction) -> Cells:
    """The cells, enlarged by kappa, on a denominator that makes it an integer too."""
    factor = (kappa * cells.unit).denominator
    scores = tuple(tuple(number * factor for number in score) for score in cells.scores) if factor > 1 else cells.scores
    return replace(cells, scores=scores, unit=cells.unit * factor, bonus=int(kappa * cells.unit * factor))


def polytope_of(cells: Cells, i: int, guess: Iterable[int]) -> Polytope:
    """The polytope of a token, of cells that were enlarged. The guess names tokens that may bound it."""
    rows, m = cells.leads(i, sorted(guess)), cells.box.dimension
    for k, sign in product(range(m), (1, -1)):
        while True:
            found = minimise((*(sign * int(n == k) for n in range(m)), 0), rows, cells.box.sides)
            if found.point is None:
                return _empty(cells, i, rows)
            best = cells.winner(found.point)
            lead = cells.lead(i, best)
            if value_at(lead, found.point) >= 0:
                break
            rows[best] = lead
    return _of_bounds(i, cells.bounds(i, rows))


def _of_bounds(i: int, bounds: Bounds) -> Polytope:
    rivals = sorted({k for face in bounds.faces for k in face})
    return Polytope(i, tuple(rivals), bounds.box, tuple(tuple(sorted(face.items())) for face in bounds.faces), False)


def _empty(cells: Cells, i: int, rows: Mapping[int, Affine]) -> Polytope:
    """The proof that a region is empty: its first coordinate is at most hi, and at least hi + 1."""
    sides = cells.box.sides
    end = sides[0][1] + 1
    goal: Affine = (cells.unit, *(0 for _ in sides[1:]), -cells.unit * end)
    found = minimise(goal, rows, sides)
    terms = multipliers(goal, {k: rows[k] for k in found.multipliers}, sides)
    assert terms is not None
    faces = (tuple(sorted(terms.items())), *(() for _ in range(2 * len(sides) - 1)))
    return Polytope(i, tuple(sorted(terms)), ((end, sides[0][1]), *sides[1:]), faces, True)


def confirm(cells: Cells, polytope: Polytope, solver: Solver, patience: float | None) -> bool:
    """Ask Z3 whether the polytope reaches beyond its box; False if it does not know.

    Raises Contradiction for a point that does, and is one of the polytope, exactly.
    """
    rows = cells.leads(polytope.token, polytope.rivals)
    solver.polytope(rows, cells.box.sides)
    answer = solver.ask([], patience) if polytope.empty else solver.ask_any(_beyond(polytope.box), patience)
    if answer is not None and answer.point is not None:
        _refuse(cells, polytope, rows, answer)
    return answer is not None and answer.point is None


def _beyond(box: Sides) -> list[Affine]:
    """Functions of which one is positive exactly outside the box."""
    m = len(box)
    below: list[Affine] = [(*(-int(n == k) for n in range(m)), lo) for k, (lo, _) in enumerate(box)]
    above: list[Affine] = [(*(int(n == k) for n in range(m)), -hi) for k, (_, hi) in enumerate(box)]
    return below + above


def _refuse(cells: Cells, polytope: Polytope, rows: dict[int, Affine], answer: Answer) -> None:
    point = answer.point
    assert point is not None
    inside = point in cells.box and all(value_at(row, point) >= 0 for row in rows.values())
    outside = any(not lo <= x <= hi for x, (lo, hi) in zip(point, polytope.box, strict=True))
    what = "which is proved" if inside and outside else "but its own point does not hold up"
    raise Contradiction(f"Z3 says that the region of token {polytope.token} reaches beyond its bounding box, {what}")
