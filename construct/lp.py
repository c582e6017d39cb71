"""The paper's construction for L_p norms: a grid of anchors as in `uniform`, with the means of the target as values.

Where the target jumps, only the measure of the cells that meet the jump counts (arXiv 2504.19901, the L_p theorem), so
discontinuous targets and integrable singularities have heads too. The grid is the coarsest whose sampled L_p error
leaves a margin to the proof.

A-priori bound: for continuous targets an error of at most eps / (e vol(D))^(1/p) in each of e entries everywhere gives
an L_p error of at most eps; for all others, and where it asks for fewer tokens, the bound of `blocks` from oscillations
over blocks of cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

import numpy as np

from attncert.certificates.attention import Attention
from attncert.certificates.claim import LpError
from attncert.certificates.condition import Condition
from attncert.certificates.deadline import NEVER, Deadline
from attncert.certificates.domain import Box
from attncert.certificates.errors import InvalidTarget, TooLarge
from attncert.certificates.matrix import Row
from attncert.certificates.target import Target
from attncert.construct.blocks import BlockBound, block_bound, cell_ranges
from attncert.construct.estimate import MAX_SAMPLES, FloatArray, cell_means, lattice_errors
from attncert.construct.resources import require_memory
from attncert.construct.uniform import (
    GATE,
    Apriori,
    Candidate,
    Grid,
    GridSearch,
    apriori,
    cells_kept,
    gate_bonus,
    grid_head,
    inverse_temperatures,
    sampled_slopes,
    spelled,
    uniform_head,
)

SHARPNESSES = tuple(map(Fraction, ("1/4", "1/2", "1", "4", "16", "64", "256")))
"""Multiples of the a-priori inverse temperature among which the head chooses: jumps want sharp heads."""

MARGINS = (0.02, 0.06, 0.12, 0.2, 0.35, 0.6, 0.8)
"""Parts of the tolerance that successive grids leave to the proof, which needs many boxes to use little of it."""

_FIRST_MARGIN = {1: 0, 2: 2}  # more than two dimensions begin with the fourth

START = 4.0
"""Cells on the axis that needs most, in the first grid tried."""

_PLACES = {1: 16, 2: 6, 3: 3}
_LEAST_POINTS = {1: 256, 2: 64, 3: 24}  # lattice points a side, however few the cells


def lp_candidates(
    target: Target,
    box: Box,
    claim: LpError,
    *,
    precision: int,
    apriori_only: bool,
    limit: int | None = None,
    deadline: Deadline = NEVER,
    conditions: Sequence[Condition] = (),
) -> Iterator[Candidate]:
    """Heads to try, the coarsest grid first; with `apriori_only` exactly the head that theory asks for.

    limit: the most tokens that are of interest.

    Raises InvalidTarget when the target has no values on the box, TooLarge when a head does not fit; OutOfTime.
    """
    sampler = _Sampler(target, box, claim, conditions)
    theory = _theory(sampler, deadline)
    if apriori_only:
        if isinstance(theory, str):
            raise InvalidTarget(f"there is no a-priori bound: {theory}")
        yield sampler.theoretical(theory, precision, deadline)
        return
    last: Grid | None = None
    for margin in MARGINS[_FIRST_MARGIN.get(box.dimension, 3) :]:
        grid = sampler.coarsest(float(claim.tolerance) * (1 - margin), deadline, limit)
        if grid is None or grid == last:
            continue
        last = grid
        counts, betas = grid
        gate = GATE * gate_bonus(sampler.sup, claim.tolerance, target.shape[1])
        notes = _made(counts, betas, gate, precision, theory)
        head = sampler.head(counts, betas, gate, precision)
        yield Candidate(head, sampler.error(counts, list(map(float, betas))), notes, is_last=margin == MARGINS[-1])


def theory_notes(
    target: Target, box: Box, claim: LpError, conditions: Sequence[Condition], deadline: Deadline
) -> dict[str, object]:
    """What the paper's construction takes a priori, for the notes; or why there is no bound. Raises OutOfTime."""
    return _notes(_theory(_Sampler(target, box, claim, conditions), deadline))


def _theory(sampler: _Sampler, deadline: Deadline) -> Apriori | BlockBound | str:
    """The a-priori bound that asks for fewer tokens, of the one in the sup norm and the one in the L_p norm.

    The reason, where there is neither.
    """
    target, box, conditions = sampler.target, sampler.box, sampler.conditions
    uniform = _uniform_theory(target, box, sampler.claim, deadline, conditions)
    rival = None if uniform is None else math.prod(uniform.counts)
    try:
        return block_bound(target, box, sampler.claim, sampler.offsets_of_means, deadline, conditions, rival)
    except (InvalidTarget, TooLarge) as error:
        return uniform or str(error)


def _uniform_theory(
    target: Target, box: Box, claim: LpError, deadline: Deadline, conditions: Sequence[Condition]
) -> Apriori | None:
    """The a-priori bound in the sup norm that gives the L_p bound; None where there is none."""
    size = len(target.outputs) * math.prod((hi - lo for lo, hi in box.sides), start=Fraction(1))
    log = (math.log(size.numerator) - math.log(size.denominator)) / float(claim.power)
    if abs(log) > 200:
        return None
    tolerance = claim.tolerance * Fraction(f"{math.exp(-log) * (1 - 1e-6):.6g}") * (1 - Fraction(1, 10**5))
    try:
        return apriori(target, box, tolerance, None, deadline, conditions)
    except (InvalidTarget, TooLarge):
        return None


def _made(
    counts: Sequence[int], betas: Sequence[Fraction], gate: Fraction, precision: int, theory: Apriori | BlockBound | str
) -> dict[str, object]:
    """How a head was made, and what theory says of it."""
    return {
        "method": "uniform",
        "grid": list(counts),
        "beta": spelled(betas),
        **({"gate": f"{float(gate):.6g}"} if gate else {}),
        "precision": precision,
        "apriori": _notes(theory),
    }


def _notes(theory: Apriori | BlockBound | str) -> dict[str, object]:
    """The `apriori` of the notes; the bound of an `Apriori` is in the sup norm."""
    if isinstance(theory, str):
        return {"none": theory}
    return theory.to_notes() | ({"norm": "inf"} if isinstance(theory, Apriori) else {})


@dataclass(frozen=True)
class _Sampler:
    """Sampled L_p errors of heads on grids."""

    target: Target
    box: Box
    claim: LpError
    conditions: Sequence[Condition]

    @property
    def sup(self) -> float:
        """The largest sampled mean of the target over coarse cells: a scale for the temperature."""
        counts = tuple(max(1, int(4096 ** (1 / len(self.box.sides)))) for _ in self.box.sides)
        return float(np.max(np.abs(cell_means(self.target, self.box, counts, _one(counts), self.conditions))))

    def coarsest(self, goal: float, deadline: Deadline, limit: int | None) -> Grid | None:
        """The grid with the fewest tokens whose sampled error is at most `goal`, over all sharpnesses."""
        most = math.inf if limit is None else limit // self.target.shape[1]
        with np.errstate(all="ignore"):
            slopes = sampled_slopes(self.target, self.box)
            sides = np.array([float(hi - lo) for lo, hi in self.box.sides])
            start = START / float(np.max(sides * slopes))
            sup, best = self.sup, None
            for sharpness in SHARPNESSES:
                betas = partial(self._betas, sup, sharpness)
                search = GridSearch(self.box, goal, slopes, start, betas, self.error, self._points, "", deadline)
                try:
                    scale = start if limit is None else search.finest(most)
                    if scale is not None:
                        best = replace(search, start=scale).coarsest(best)
                except TooLarge:
                    if best is None and sharpness == SHARPNESSES[-1]:
                        raise
            return best

    def error(self, counts: tuple[int, ...], betas: list[float]) -> float:
        """The sampled norm: the mean of the p-th powers over the lattice, times the volume."""
        offsets, power = self._offsets(counts), float(self.claim.power)
        with np.errstate(all="ignore"):
            values = cell_means(self.target, self.box, counts, offsets, self.conditions)
            errors = lattice_errors(self.target, self.box, counts, betas, values, offsets, self.conditions)
            scale = float(self.claim.tolerance)
            powers = (errors / scale) ** power
            if not np.isfinite(powers).any():
                raise InvalidTarget("the target has no value at any sample of the domain")
            volume = math.prod(float(hi - lo) for lo, hi in self.box.sides)
            # Samples without a value stand for a null set; those outside the domain count as 0.
            share = len(errors) / self._points(counts)
            return float(scale * (np.nansum(np.nanmean(powers, axis=0)) * volume * share) ** (1 / power))

    def head(self, counts: tuple[int, ...], betas: tuple[Fraction, ...], gate: Fraction, precision: int) -> Attention:
        """The head on a grid."""
        columns, outputs = self.target.shape[1], len(self.target.outputs)
        require_memory(math.prod(counts) * columns, self.box.dimension, self.target.shape[0])
        means = cell_means(self.target, self.box, counts, self._offsets(counts), self.conditions).reshape(-1, outputs)
        kept = cells_kept(self.box, counts, self.conditions)
        rows: list[Row] = [[Fraction(value) for value in column.tolist()] for column in means[np.array(kept)].T]
        return grid_head(
            self.target.space, self.box, counts, betas, rows, kept, columns, gate=gate, precision=precision
        )

    def theoretical(self, theory: Apriori | BlockBound, precision: int, deadline: Deadline) -> Candidate:
        """The head that theory asks for: with the values at the anchors, or the means moved into the proved ranges."""
        counts, betas, gate = theory.counts, theory.betas, theory.gate
        target, box, conditions = self.target, self.box, self.conditions
        if isinstance(theory, Apriori):
            head = uniform_head(
                target, box, counts, betas, gate=gate, precision=precision, deadline=deadline, conditions=conditions
            )
        else:
            require_memory(theory.tokens, box.dimension, target.shape[0])
            ranges = cell_ranges(target, box, counts, conditions, deadline)
            with np.errstate(all="ignore"):
                means = cell_means(target, box, counts, self.offsets_of_means(counts), conditions)
            values = ranges.clipped(means.reshape(len(ranges.kept), -1))[ranges.kept]
            rows: list[Row] = [[Fraction(value) for value in column.tolist()] for column in values.T]
            kept, columns = ranges.kept.tolist(), target.shape[1]
            head = grid_head(target.space, box, counts, betas, rows, kept, columns, gate=gate, precision=precision)
        notes = _made(counts, betas, gate, precision, theory)
        return Candidate(head, math.nan, notes, is_last=True)

    def offsets_of_means(self, counts: tuple[int, ...]) -> list[FloatArray]:
        """The places in a cell over which the means of a head of theory are taken: fewer where the cells are many."""
        most = max(1, int((MAX_SAMPLES / math.prod(counts)) ** (1 / len(counts))))
        return [_midpoints(min(len(places), most)) for places in self._offsets(counts)]

    def _betas(self, sup: float, sharpness: Fraction, counts: tuple[int, ...]) -> tuple[Fraction, ...]:
        volume = math.prod(float(hi - lo) for lo, hi in self.box.sides)
        tolerance = Fraction(float(self.claim.tolerance) / volume ** (1 / float(self.claim.power)))
        columns = self.target.shape[1]
        return tuple(sharpness * beta for beta in inverse_temperatures(self.box, counts, sup, tolerance, columns))

    def _offsets(self, counts: tuple[int, ...]) -> list[FloatArray]:
        """For each side the midpoints of equal parts of a cell: more where the cells are few."""
        m = len(counts)
        places, least = _PLACES.get(m, 2), _LEAST_POINTS.get(m, 8)
        sizes = [max(places, math.ceil(least / count)) for count in counts]
        return list(map(_midpoints, sizes))

    def _points(self, counts: tuple[int, ...]) -> int:
        return math.prod(count * len(places) for count, places in zip(counts, self._offsets(counts), strict=True))


def _midpoints(size: int) -> FloatArray:
    return (np.arange(size) + 0.5) / size - 0.5


def _one(counts: Sequence[int]) -> list[FloatArray]:
    return [np.zeros(1)] * len(counts)
