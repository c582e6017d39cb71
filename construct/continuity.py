"""What a constructor must know of a target on a box: that it is defined and continuous, how large it is and how steep.

Each bound is proved over a paving of the box by interval enclosures (value and gradient); refinement goes where the
bound is largest, until the bound is within a few percent of a value that is attained.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from attncert.certificates.condition import Condition, classify, estimate_inside, satisfied
from attncert.certificates.deadline import NEVER, Deadline
from attncert.certificates.domain import Box
from attncert.certificates.enclosure import enclose, enclose_gradient
from attncert.certificates.errors import InvalidDomain, InvalidTarget, TooLarge, UndefinedTarget
from attncert.certificates.evaluate import evaluate_float, evaluate_mp
from attncert.certificates.interval import down, up
from attncert.certificates.numbers import float_down, float_up
from attncert.certificates.target import Target

FloatArray = npt.NDArray[np.float64]
Ends = tuple[FloatArray, FloatArray]

MAX_BOXES = 1 << 14
MAX_CELLS = 20_000_000
JUMP_LEVEL = 40
FOLLOWED = 64


@dataclass(frozen=True)
class Regularity:
    """Proved bounds on the box: |f| <= sup for every entry, and |f(x) - f(y)| <= lipschitz |x - y| (2-norm).

    `lipschitz` is inf where no Lipschitz bound was found; the modulus of continuity then takes its place.
    """

    sup: float
    lipschitz: float


def box_ends(box: Box) -> Ends:
    """The box in float64, outward: lower and upper ends, each (1, m)."""
    lo = np.array([[float_down(lo) for lo, _ in box.sides]])
    hi = np.array([[float_up(hi) for _, hi in box.sides]])
    return lo, hi


@np.errstate(all="ignore")  # bounds that overflow to infinity are meant
def regularity(
    target: Target, box: Box, deadline: Deadline = NEVER, conditions: Sequence[Condition] = ()
) -> Regularity:
    """Prove that the target is defined and bounded on the box where the conditions hold, and how steep it is.

    The slope is bounded on the boxes of a paving that meet the domain; L then holds along segments inside those.

    Raises InvalidTarget, naming the place, where the target is undefined, unbounded or jumps; OutOfTime.
    """
    require_defined(target, box, conditions)
    sup = _least_upper_bound(lambda lo, hi: _largest_value(target, lo, hi), box, deadline, conditions)
    if math.isinf(sup):
        raise InvalidTarget("no bound on the values of the target on the domain could be proved")
    lipschitz = _least_upper_bound(lambda lo, hi: _largest_slope(target, lo, hi), box, deadline, conditions)
    if math.isinf(lipschitz):
        require_continuous(target, box, conditions)
    return Regularity(sup, lipschitz)


@np.errstate(all="ignore")
def modulus(
    target: Target,
    box: Box,
    radius: float,
    deadline: Deadline = NEVER,
    enough: float = math.inf,
    conditions: Sequence[Condition] = (),
) -> float:
    """A proved bound on |f(x) - f(y)| for x in the domain, y in the box, |x - y| <= radius (every entry).

    The box is cut into cells of side at most a fraction of the radius. If x lies in a cell, y lies in the cell grown
    by the radius on every side, so the enclosures of f over the two bound the difference. The work ends early, with
    inf, when that bound exceeds `enough`.

    Raises TooLarge when that takes more than MAX_CELLS cells; OutOfTime.
    """
    lo, hi = (ends[0] for ends in box_ends(box))
    fraction = (0.125, 0.5)[box.dimension - 1] if box.dimension <= 2 else 1.0
    counts = np.maximum(np.ceil((hi - lo) / (fraction * radius)), 1)
    if not np.prod(counts) <= MAX_CELLS:
        raise TooLarge(f"a modulus of continuity at distance {radius:.3g} needs {np.prod(counts):.3g} boxes")
    shape = tuple(int(count) for count in counts)
    side = (hi - lo) / counts
    slip = 1e-9 * side
    worst = 0.0
    for start in range(0, math.prod(shape), MAX_BOXES):
        deadline.check()
        index = np.stack(np.unravel_index(np.arange(start, min(start + MAX_BOXES, math.prod(shape))), shape), axis=1)
        cell = np.maximum(lo + index * side - slip, lo), np.minimum(lo + (index + 1) * side + slip, hi)
        cell = _not_outside(conditions, *cell)
        if not len(cell[0]):
            continue
        grown = np.maximum(down(cell[0] - radius), lo), np.minimum(up(cell[1] + radius), hi)
        f_lo, f_hi = enclose(target, *cell)
        grown_lo, grown_hi = enclose(target, *grown)
        difference = float(np.max(up(np.maximum(grown_hi - f_lo, f_hi - grown_lo))))
        worst = max(worst, difference)
        if not difference <= enough:
            return math.inf
    return worst


def radius_for(
    target: Target, box: Box, difference: float, deadline: Deadline = NEVER, conditions: Sequence[Condition] = ()
) -> float:
    """A radius at which the proved modulus of continuity is at most `difference`, large to within a tenth.

    Raises InvalidTarget when there is none above 2^-60 of the side, TooLarge when finding it takes too many boxes.
    """
    lo, hi = box_ends(box)
    radius = float(np.max(hi - lo)) or 1.0
    for _ in range(60):
        if modulus(target, box, radius, deadline, difference, conditions) <= difference:
            break
        radius /= 2
    else:
        raise InvalidTarget("no modulus of continuity could be proved for the target on the domain")
    widest = float(np.max(hi - lo))
    while radius < widest and modulus(target, box, 1.1 * radius, deadline, difference, conditions) <= difference:
        radius *= 1.1
    return radius


def require_defined(target: Target, box: Box, conditions: Sequence[Condition] = ()) -> None:
    """Raise UndefinedTarget or InvalidTarget, with the place, unless the target is defined and bounded there."""
    lo, hi = box_ends(box)
    _require_defined_at(target, box, lo, hi, conditions)
    for _ in range(JUMP_LEVEL * box.dimension):
        lo, hi = _not_outside(conditions, lo, hi)
        f_lo, f_hi = enclose(target, lo, hi)
        bad = ~np.all(np.isfinite(f_lo) & np.isfinite(f_hi), axis=1)
        if not bad.any():
            return
        lo, hi = lo[bad][:FOLLOWED], hi[bad][:FOLLOWED]
        _require_defined_at(target, box, lo, hi, conditions)
        lo, hi = _halve(lo, hi)
    place = _place(target, _middle(lo[0], hi[0]))
    raise InvalidTarget(f"the target could not be shown to be defined and bounded near {place}")


def require_continuous(target: Target, box: Box, conditions: Sequence[Condition] = ()) -> None:
    """Raise InvalidTarget, with the place and the height, where the target jumps inside the domain.

    Boxes with an unbounded slope are followed down. A place is reported only when the target really takes values far
    apart at two points of a box with sides below 2^-40 of the domain's: at least a quarter of what the enclosures over
    such boxes allow, and half of what they allow at 2^-20, since steep but continuous functions flatten on the way.
    """
    lo, hi = box_ends(box)
    halfway = 0.0
    for step in range(JUMP_LEVEL * box.dimension):
        lo, hi = _not_outside(conditions, lo, hi)
        f_lo, f_hi, g_lo, g_hi = enclose_gradient(target, lo, hi)
        steep = ~np.all(np.isfinite(g_lo) & np.isfinite(g_hi), axis=(1, 2))
        if not steep.any():
            return
        width = np.max(np.where(np.isfinite(f_hi - f_lo), f_hi - f_lo, 0.0), axis=1)
        order = np.flatnonzero(steep)
        order = order[np.argsort(-width[order], kind="stable")][:FOLLOWED]
        lo, hi, height = lo[order], hi[order], float(width[order].max())
        halfway = height if step == JUMP_LEVEL * box.dimension // 2 else halfway
        lo, hi = _halve(lo, hi)
    for b in range(len(lo)):
        points = _corners(lo[b], hi[b])
        points = points[estimate_inside(conditions, points)]
        if not len(points):
            continue
        values = evaluate_float(target, points)
        jump = float(np.max(np.nanmax(values, axis=0) - np.nanmin(values, axis=0)))
        if jump > max(0.25 * height, 0.5 * halfway, 1e-4 * (1 + float(np.nanmax(np.abs(values))))):
            raise InvalidTarget(
                f"the target jumps by about {jump:.3g} near {_place(target, points[0])}: no continuous head is close "
                "to it in the sup norm; use an L_p norm (--norm 1 or --norm 2)"
            )


def _least_upper_bound(
    bound: Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]],
    box: Box,
    deadline: Deadline,
    conditions: Sequence[Condition],
) -> float:
    """Refine a paving where `bound`'s upper ends are largest; the answer bounds the supremum over the domain.

    `bound` gives for each box an upper bound on the supremum there and a value that is attained there.
    """
    lo, hi = box_ends(box)
    side = float(np.max(hi - lo))
    upper, attained = bound(lo, hi)
    while len(upper) < MAX_BOXES:
        deadline.check()
        worst, best = float(np.max(upper)), float(np.max(attained))
        if worst <= 1.02 * best or worst == 0.0:
            break
        split = np.isinf(upper) if math.isinf(worst) else upper > max(1.02 * best, 0.0)
        level, most = (16, MAX_BOXES // 4) if math.isinf(worst) else (JUMP_LEVEL, MAX_BOXES)
        if np.max(hi[split] - lo[split]) < 2.0**-level * side or len(upper) > most:
            break
        halves = _not_outside(conditions, *_halve(lo[split], hi[split]))
        more = bound(*halves)
        keep = ~split
        lo, hi = np.concatenate([lo[keep], halves[0]]), np.concatenate([hi[keep], halves[1]])
        upper = np.concatenate([upper[keep], more[0]])
        attained = np.concatenate([attained[keep], more[1]])
        if not len(upper):
            raise InvalidDomain("the conditions leave nothing of the domain")
    return float(np.max(upper))


def _largest_value(target: Target, lo: FloatArray, hi: FloatArray) -> tuple[FloatArray, FloatArray]:
    f_lo, f_hi = enclose(target, lo, hi)
    attained = np.nan_to_num(np.max(np.abs(evaluate_float(target, 0.5 * (lo + hi))), axis=1))
    return _nan_to_inf(np.max(np.maximum(-f_lo, f_hi), axis=1)), attained


def _largest_slope(target: Target, lo: FloatArray, hi: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Upper bounds on the 2-norm of the gradient over boxes, and at their centres. Sums of squares round up."""
    norms = []
    middle = 0.5 * (lo + hi)
    for ends in ((lo, hi), (middle, middle)):
        _, _, g_lo, g_hi = enclose_gradient(target, *ends)
        square = np.zeros(g_lo.shape[:2])
        for k in range(g_lo.shape[2]):
            largest = np.maximum(-g_lo[:, :, k], g_hi[:, :, k])
            square = np.where(largest == 0, square, up(square + up(largest * largest)))
        norms.append(_nan_to_inf(np.max(np.where(square == 0, 0.0, up(np.sqrt(square))), axis=1)))
    return norms[0], np.where(np.isfinite(norms[1]), norms[1], 0.0)


def _not_outside(conditions: Sequence[Condition], lo: FloatArray, hi: FloatArray) -> Ends:
    """The boxes that are not proved to lie outside the domain."""
    kept = ~classify(conditions, lo, hi)[1]
    return lo[kept], hi[kept]


def _require_defined_at(
    target: Target, box: Box, lo: FloatArray, hi: FloatArray, conditions: Sequence[Condition]
) -> None:
    """Raise UndefinedTarget at the first corner or centre of the boxes, inside the domain, where there is no value."""
    for b in range(len(lo)):
        points = np.concatenate([_corners(lo[b], hi[b]), [_middle(lo[b], hi[b])]])
        suspects = points[~np.all(np.isfinite(evaluate_float(target, points)), axis=1)]
        for point in suspects:
            exact = [min(max(Fraction(x), side[0]), side[1]) for x, side in zip(point.tolist(), box.sides, strict=True)]
            if not satisfied(conditions, exact):
                continue
            try:
                evaluate_mp(target, exact, 106)
            except UndefinedTarget as error:
                raise UndefinedTarget(f"the target is undefined at {_place(target, point)}: {error}") from None


def _halve(lo: FloatArray, hi: FloatArray) -> Ends:
    """Halve each box along its longest side."""
    rows, axis = np.arange(len(lo)), np.argmax(hi - lo, axis=1)
    middle = 0.5 * (lo[rows, axis] + hi[rows, axis])
    left, right = hi.copy(), lo.copy()
    left[rows, axis] = middle
    right[rows, axis] = middle
    return np.concatenate([lo, right]), np.concatenate([left, hi])


def _corners(lo: FloatArray, hi: FloatArray) -> FloatArray:
    """Corners of one box, shape (at most 64, m)."""
    return np.array(list(itertools.islice(itertools.product(*zip(lo, hi, strict=True)), 64)))


def _middle(lo: FloatArray, hi: FloatArray) -> FloatArray:
    return 0.5 * (lo + hi)


def _place(target: Target, point: Sequence[float] | FloatArray) -> str:
    return ", ".join(f"{target.space.variable_name(k)} = {float(x):.6g}" for k, x in enumerate(point))


def _nan_to_inf(x: FloatArray) -> FloatArray:
    return np.where(np.isnan(x), np.inf, x)
