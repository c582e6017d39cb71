"""The range of a head over a score box: order-0 bounds on the head itself, where the sign form bounds only the error.

Over independent score differences d_i in [d_i-, d_i+] the weighted mean sum_i v_i e^{d_i} / sum_i e^{d_i} is greatest
when, for some threshold, the tokens with values above it take their upper ends and the others their lower ends: a
linear-fractional function has its extremes at corners, and moving one weight up raises the mean exactly when its
value lies above the mean. So the greatest of the n + 1 threshold sums is the exact maximum, and by symmetry the
minimum.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from attncert.certificates.interval import down, up
from attncert.verifier.boxes import EXP_ERROR
from attncert.verifier.head import UNIT, FloatArray

LARGEST_EXPONENT = 300.0
"""Beyond this upper end of a score difference the hull of the values is taken instead: no exponential overflows."""


def head_hull(
    values: FloatArray, centre: FloatArray, radius: FloatArray, counts: npt.NDArray[np.int64]
) -> tuple[FloatArray, FloatArray]:
    """Bounds (boxes,) on the weighted means of the values over the score boxes centre -+ radius.

    values, centre, radius: (tokens of all boxes,), concatenated; counts: (boxes,) tokens of each box, at least 1.

    Rounding argument. The weights are widened by EXP_ERROR, which only enlarges the score box. Numerator and
    denominator are sums of n products and n weights, all weights positive: each errs by at most (n + 2) u relative to
    sum w |v| or sum w, and the quotient by one rounding more. The mean errs by at most (2n + 8) u max|v|, by which
    the bounds move outward.
    """
    lower, upper = np.empty(len(counts)), np.empty(len(counts))
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    widths = np.left_shift(1, np.ceil(np.log2(counts)).astype(np.int64))
    for width in np.unique(widths):
        boxes = np.flatnonzero(widths == width)
        columns = np.arange(width)
        present = columns < counts[boxes][:, None]
        place = np.where(present, starts[boxes][:, None] + columns, starts[boxes][:, None])
        lower[boxes], upper[boxes] = _padded_hull(values[place], centre[place], radius[place], present)
    return lower, upper


def _padded_hull(
    values: FloatArray, centre: FloatArray, radius: FloatArray, present: npt.NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """The hull for boxes padded to one width; all arguments are (boxes, width)."""
    n = values.shape[1]
    order = np.argsort(np.where(present, values, np.inf), axis=1, kind="stable")
    values, centre, radius = (np.take_along_axis(array, order, axis=1) for array in (values, centre, radius))
    present = np.take_along_axis(present, order, axis=1)
    small = np.where(present, np.exp(centre - radius) * (1 - EXP_ERROR), 0.0)
    large = np.where(present, np.exp(centre + radius) * (1 + EXP_ERROR), 0.0)
    least = values[:, 0]
    greatest = np.max(np.where(present, values, -np.inf), axis=1)
    slip = up((2 * n + 8) * UNIT * np.maximum(np.abs(least), np.abs(greatest)))
    extremes = []
    # Tokens before the threshold take the first weight, those from it on the second.
    for before, after, reduce in ((large, small, np.min), (small, large, np.max)):
        mass = _split_sums(before, after)
        mean = _split_sums(before * values, after * values) / mass
        extremes.append(reduce(np.where(mass > 0, mean, mean[:, :1]), axis=1))
    tame = np.max(np.where(present, centre + radius, -np.inf), axis=1) <= LARGEST_EXPONENT
    lower = np.where(tame, np.fmax(down(extremes[0] - slip), least), least)
    upper = np.where(tame, np.fmin(up(extremes[1] + slip), greatest), greatest)
    return lower, upper


def _split_sums(before: FloatArray, after: FloatArray) -> FloatArray:
    """For each threshold k = 0 .. n: the sum of before[:k] and after[k:]; shape (boxes, n + 1)."""
    zero = np.zeros((len(before), 1))
    head = np.concatenate([zero, np.cumsum(before, axis=1)], axis=1)
    tail = np.concatenate([np.cumsum(after[:, ::-1], axis=1)[:, ::-1], zero], axis=1)
    return np.asarray(head + tail)
