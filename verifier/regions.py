"""Claims of kind `partition`: the declared regions are those of the best token (docs/theory.md).

For each region exact multipliers are found for the faces of its bounding box, and for every token that the box alone
does not show to be beaten; Z3 tells whether such a token wins somewhere, and if not, which facets say so. Then, for
every token without a region, multipliers that show it beaten by those with one. Z3's answers are taken as hints: a
point is put into the exact scores, a core only says where to look for multipliers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, product

import numpy as np

from attncert.certificates.attention import AnyAttention
from attncert.certificates.claim import Partition, Region
from attncert.certificates.deadline import NEVER, Deadline, OutOfTime
from attncert.certificates.domain import Box
from attncert.certificates.evidence import Breach, ColumnProof, Multipliers, RegionProof, Regions
from attncert.certificates.statement import Statement, require_searchable
from attncert.verifier.boxes import Progress
from attncert.verifier.cells import Bounds, Cells, Point, cells_of
from attncert.verifier.farkas import Affine, Sides, least, minimise, multipliers, rounded, value_at
from attncert.verifier.kernel import volume
from attncert.verifier.lattice import guesses
from attncert.verifier.outcome import Outcome, Verdict
from attncert.verifier.reduction import reduce_head
from attncert.verifier.solver import Answer, Solver

RADIUS_BITS = 40
"""Bits of the radius of a computed region."""

EXACT_VOLUMES = 3
"""Greatest dimension in which volumes are part of the proof."""

MAX_CORNERS = 64


class _Refuted(Exception):
    """A breach was found."""

    def __init__(self, breach: Breach) -> None:
        super().__init__()
        self.breach = breach


class _Unknown(Exception):
    """Something could not be decided; the message says what."""


def verify(
    statement: Statement,
    claim: Partition,
    *,
    deadline: Deadline = NEVER,
    progress: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Prove or refute a declared partition, until the deadline."""
    require_searchable(statement.domain, Fraction(1))
    started = time.monotonic()
    tokens, total, done = statement.attention.tokens, max(1, claim.regions), 0
    evidence: Regions | Breach | None = None
    verdict: Verdict = "undecided"
    interrupted = False
    columns = []
    try:
        heads = reduce_head(statement.attention)
        with Solver() as solver:
            for j, (head, regions) in enumerate(zip(heads, claim.columns, strict=True)):
                proof = _Column(j, cells_of(head, statement.domain), regions, solver, deadline)
                proofs = []
                for region in regions:
                    proofs.append(proof.prove_region(region))
                    done += 1
                    if progress is not None:
                        progress(Progress(done / total, done, tokens))
                columns.append(ColumnProof(tuple(proofs), proof.prove_cover()))
                proof.prove_disjoint()
        evidence = Regions(tuple(columns))
        verdict, detail = "verified", f"{claim.regions} regions with {claim.facets} facets partition the domain"
    except _Refuted as refuted:
        evidence, verdict = refuted.breach, "refuted"
        detail = _words(refuted.breach)
    except _Unknown as unknown:
        detail = str(unknown)
    except (OutOfTime, KeyboardInterrupt) as stop:
        interrupted = isinstance(stop, KeyboardInterrupt)
        detail = f"stopped after {done} of {claim.regions} regions"
    seconds = time.monotonic() - started
    return Outcome(verdict, evidence, math.nan, math.nan, tokens, done, seconds, detail, interrupted=interrupted)


def _words(breach: Breach) -> str:
    where = f"column {breach.column}, obligation {breach.obligation}"
    match breach.obligation:
        case "argmax":
            return f"{where}: token {breach.tokens[1]} wins inside the region of token {breach.tokens[0]}"
        case "cover":
            return f"{where}: no region holds the point"
        case "disjoint":
            return f"{where}: the point lies inside the regions of tokens {breach.tokens[0]} and {breach.tokens[1]}"
        case _:
            return f"{where}: the region of token {breach.tokens[0]} reaches beyond its ball"


@dataclass(frozen=True)
class _Column:
    """The proof of one output column."""

    number: int
    cells: Cells
    regions: Sequence[Region]
    solver: Solver
    deadline: Deadline

    def breach(self, obligation: str, point: Point, *tokens: int) -> _Refuted:
        """The refutation at a point."""
        return _Refuted(Breach(self.number, obligation, point, tokens))

    def prove_region(self, region: Region) -> RegionProof:
        """Prove that no token wins inside a region and that it lies in its ball."""
        self.deadline.check()
        cells, i = self.cells, region.token
        rows = cells.leads(i, region.neighbours)
        bounds = cells.bounds(i, region.neighbours, region.centre)
        beaten = []
        suspects = [k for k in cells.unbeaten(i, bounds.box) if k not in rows]
        if suspects:
            self.solver.polytope(rows, bounds.box)
        for k in suspects:
            self.deadline.check()
            answer = self.solver.ask([cells.lead(k, i)], self.deadline.left())
            if answer is None:
                raise _Unknown(f"column {self.number}: Z3 did not decide whether token {k} wins in region {i}")
            if answer.point is not None:
                raise self.breach("argmax", answer.point, i, k)
            core = {n: rows[n] for n in answer.core if n in rows}
            found = multipliers(cells.lead(i, k), core, bounds.box) or multipliers(cells.lead(i, k), rows, bounds.box)
            if found is None:
                raise _Unknown(f"column {self.number}: no multipliers show token {k} beaten in the region of token {i}")
            beaten.append((k, _sorted(found)))
        if _farthest(bounds.box, region.centre) > region.radius**2:
            self._refute_ball(region, rows, bounds)
        faces = tuple(map(_sorted, bounds.faces))
        return RegionProof(tuple(bounds.box), faces, tuple(beaten), region_volume(cells, region))

    def _refute_ball(self, region: Region, rows: dict[int, Affine], bounds: Bounds) -> None:
        """Raise with a vertex of the region outside its ball, or because there may be one."""
        m = self.cells.box.dimension
        vertices = list(bounds.vertices)
        for corner in islice(product((1, -1), repeat=m), MAX_CORNERS):
            found = minimise((*corner, 0), rows, self.cells.box.sides)
            if found.point is not None:
                vertices.append(found.point)
        for vertex in vertices:
            distance = sum((x - c) ** 2 for x, c in zip(vertex, region.centre, strict=True))
            if distance > region.radius**2:
                raise self.breach("radius", vertex, region.token)
        raise _Unknown(
            f"column {self.number}: the bounding box of the region of token {region.token} is not inside its ball"
        )

    def prove_cover(self) -> tuple[tuple[int, Multipliers], ...]:
        """Prove that every token without a region is beaten everywhere by those with one."""
        declared = [region.token for region in self.regions]
        chosen = set(declared)
        proofs = []
        for e in range(self.cells.tokens):
            if e in chosen:
                continue
            self.deadline.check()
            found, point = beaten_by(self.cells, e, declared)
            if found is None:
                raise self.breach("cover", point)
            self.solver.polytope({}, self.cells.box.sides)
            answer = self.solver.ask([self.cells.lead(e, k) for k in found], self.deadline.left())
            if answer is None or answer.point is not None:
                raise _Unknown(f"column {self.number}: Z3 did not confirm that token {e} never wins")
            proofs.append((e, _sorted(found)))
        return tuple(proofs)

    def prove_disjoint(self) -> None:
        """Raise unless all declared tokens have different scores."""
        first: dict[tuple[int, ...], int] = {}
        for region in self.regions:
            i = region.token
            k = first.setdefault(self.cells.scores[i], i)
            if k == i:
                continue
            rows = [self.cells.lead(i, n) for n in region.neighbours if self.cells.scores[n] != self.cells.scores[i]]
            twin = next(other for other in self.regions if other.token == k)
            rows += [self.cells.lead(k, n) for n in twin.neighbours if self.cells.scores[n] != self.cells.scores[k]]
            for n, (lo, hi) in enumerate(self.cells.box.sides):
                rows.append((*(int(a == n) for a in range(self.cells.box.dimension)), -lo))
                rows.append((*(-int(a == n) for a in range(self.cells.box.dimension)), hi))
            self.solver.polytope({}, self.cells.box.sides)
            answer = self.solver.ask(rows, self.deadline.left())
            if answer is not None and answer.point is not None:
                raise self.breach("disjoint", answer.point, k, i)
            raise _Unknown(f"column {self.number}: tokens {k} and {i} have equal scores")


def beaten_by(cells: Cells, e: int, others: Sequence[int]) -> tuple[dict[int, Fraction] | None, Point]:
    """Multipliers that show a token to be beaten everywhere by others; or None, and a point where it beats them all.

    The least value over the domain of the largest lead of a few of them is a linear program; the best of all others
    where it is taken joins them, until that value is not negative.
    """
    sides = cells.box.sides
    if not others:
        return None, tuple(lo for lo, _ in sides)
    field = np.array(others)
    chosen = [cells.winner(tuple((lo + hi) / 2 for lo, hi in sides), field)]
    while True:
        leads = {k: cells.lead(k, e) for k in chosen}
        reach = 1 + max(max(-least(f, sides), -least(tuple(-a for a in f), sides)) for f in leads.values())
        above = {k: (*(-a for a in f[:-1]), 1, -f[-1]) for k, f in leads.items()}
        found = minimise((*(0 for _ in sides), 1, 0), above, [*sides, (-reach, reach)])
        assert found.value is not None
        assert found.point is not None
        if found.value >= 0:
            nothing = (0,) * (len(sides) + 1)
            return rounded(nothing, found.multipliers, cells.leads(e, chosen), sides), found.point[:-1]
        best = cells.winner(found.point[:-1], field)
        if value_at(cells.lead(e, best), found.point[:-1]) > 0:
            return None, found.point[:-1]
        chosen.append(best)  # its lead there is not negative, so it was not among them


def region_volume(cells: Cells, region: Region) -> Fraction | None:
    """The exact volume of a region, in up to three dimensions."""
    m = cells.box.dimension
    if m > EXACT_VOLUMES:
        return None
    leads = [cells.lead(region.token, k) for k in region.neighbours]
    rows = [(list(map(int, lead[:-1])), Fraction(lead[-1])) for lead in leads]
    for k, (lo, hi) in enumerate(cells.box.sides):
        rows += [([int(n == k) for n in range(m)], -lo), ([-int(n == k) for n in range(m)], hi)]
    return volume(rows)


# --- computing the regions -------------------------------------------------------------------------------------------


def partition_of(attention: AnyAttention, box: Box, deadline: Deadline = NEVER) -> Partition:
    """The regions of a head on a box: those of the tokens that win somewhere, with their facets, each in the ball
    about its bounding box. Raises OutOfTime, and InvalidAttention for a head outside the supported family.
    """
    require_searchable(box, Fraction(1))
    columns = []
    with Solver() as solver:
        for head in reduce_head(attention):
            columns.append(_Finder(cells_of(head, box), solver, deadline).regions())
    return Partition(tuple(columns))


class _Finder:
    """Finds the regions of one output column by cutting planes."""

    def __init__(self, cells: Cells, solver: Solver, deadline: Deadline) -> None:
        self.cells, self.solver, self.deadline = cells, solver, deadline
        self.guesses, self.points = guesses(cells)
        self.owners = np.array(self._owners())

    def regions(self) -> tuple[Region, ...]:
        """The regions, in the order of the places of their bounding boxes."""
        return tuple(sorted(map(self._region, self.owners.tolist()), key=lambda region: region.centre))

    def _owners(self) -> list[int]:
        """The tokens that beat all others somewhere, and so on a set with an inside; of equal ones the first."""
        first: dict[tuple[int, ...], int] = {}
        distinct = [i for i, score in enumerate(self.cells.scores) if first.setdefault(score, i) == i]
        owners = []
        for place, i in enumerate(distinct):
            self.deadline.check()
            others = distinct[:place] + distinct[place + 1 :]
            if not others or self._wins(i, others) or beaten_by(self.cells, i, others)[0] is None:
                owners.append(i)
        return owners

    def _wins(self, i: int, others: Sequence[int]) -> bool:
        """Tell whether a token beats all others at its point of the lattice, if it has one."""
        if i not in self.guesses:
            return False
        point = tuple(map(Fraction, self.points[i].tolist()))
        best = self.cells.winner(point, np.array(others))
        return point in self.cells.box and value_at(self.cells.lead(i, best), point) > 0

    def _region(self, i: int) -> Region:
        """The region of a token."""
        kept = self._facets(i, self._neighbours(i))
        bounds = self.cells.bounds(i, kept)
        centre = tuple((lo + hi) / 2 for lo, hi in bounds.box)
        return Region(i, tuple(kept), centre, _root_up(_farthest(bounds.box, centre)))

    def _neighbours(self, i: int) -> list[int]:
        """Tokens whose half-spaces make the region: the winners at points of what the ones before leave."""
        cells = self.cells
        chosen = dict.fromkeys(sorted(self.guesses.get(i, set()) & set(self.owners.tolist())))
        beaten: set[int] = set()
        owners = set(self.owners.tolist())
        while True:
            self.deadline.check()
            before = len(chosen)
            bounds = cells.bounds(i, chosen)
            for vertex in bounds.vertices:
                self._add_winner(i, vertex, chosen)
            if len(chosen) > before:
                continue
            suspects = [k for k in cells.unbeaten(i, bounds.box) if k not in chosen and k not in beaten]
            suspects = [k for k in suspects if k in owners]
            if suspects:
                self.solver.polytope(cells.leads(i, chosen), bounds.box)
            for k in suspects:
                answer = self._ask([cells.lead(k, i)])
                if answer.point is None:
                    beaten.add(k)
                    continue
                self._add_winner(i, answer.point, chosen)
                break
            if len(chosen) == before:
                return list(chosen)

    def _add_winner(self, i: int, point: Point, chosen: dict[int, None]) -> None:
        best = self.cells.winner(point, self.owners)
        if value_at(self.cells.lead(best, i), point) > 0:
            chosen[best] = None

    def _facets(self, i: int, neighbours: Sequence[int]) -> list[int]:
        """The neighbours without those whose half-space the others imply."""
        rows = self.cells.leads(i, neighbours)
        for k in neighbours:
            row = rows.pop(k)
            found = minimise(row, rows, self.cells.box.sides)
            if found.value is not None and found.value < 0:
                rows[k] = row
        return sorted(rows)

    def _ask(self, rows: Sequence[Affine]) -> Answer:
        self.deadline.check()
        answer = self.solver.ask(rows, self.deadline.left())
        if answer is None:
            raise OutOfTime
        return answer


# --- small things ----------------------------------------------------------------------------------------------------


def _sorted(weights: Mapping[int, Fraction]) -> Multipliers:
    return tuple(sorted(weights.items()))


def _farthest(box: Sides, centre: Sequence[Fraction]) -> Fraction:
    """The square of the distance of the farthest corner."""
    return sum((max(abs(lo - c), abs(hi - c)) ** 2 for (lo, hi), c in zip(box, centre, strict=True)), Fraction(0))


def _root_up(square: Fraction) -> Fraction:
    """A short number whose square is at least this, and little more; the root itself where that is rational."""
    top, bottom = math.isqrt(square.numerator), math.isqrt(square.denominator)
    if top * top == square.numerator and bottom * bottom == square.denominator:
        return Fraction(top, bottom)
    shift = RADIUS_BITS - (square.numerator.bit_length() - square.denominator.bit_length()) // 2
    scaled = square * Fraction(4) ** shift
    return (math.isqrt(math.ceil(scaled)) + 1) / Fraction(2) ** shift
