"""Ranges of f - v_i over boxes, from a Taylor model of f: what the score box needs where values depend on the input.

On the box c + r u, u in [-1, 1]^m, let f be P(u) up to R, and v_i = v_i0 + sum_k g_ik r_k u_k. Over the box f varies by
as much as v_i does, their difference by far less: it is the polynomial P - v_i, up to R, and that is bounded as a
polynomial.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from attncert.certificates.interval import down, up
from attncert.certificates.taylor import TINY, UP, FloatArray, Model
from attncert.verifier.boxes import IntArray
from attncert.verifier.jensen import least


def difference_ranges(
    f: Model, of: IntArray, values: FloatArray, parts: Mapping[int, FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """Bounds on f - v_i for entries (n,): of which box each is, v_i at its centre and the coefficients of the u_k.

    Rounding argument. A coefficient is rounded once, when that of v_i is taken off, and then at most 2 m + A more times
    in `least`, A the number of coefficients. Each rounding costs u of a partial sum, at most the sum of absolute values
    of the coefficients of f and v_i; 2^-44 of it is far more than 2^8 of them.
    """
    if len(of) == 1:  # sums over one entry may be rounded in another order than over several
        low, high = difference_ranges(f, of[[0, 0]], values[[0, 0]], {k: part[[0, 0]] for k, part in parts.items()})
        return low[:1], high[:1]
    coefficients = f.padded(f.order)[:, of if f.coefficients.shape[1] > 1 else np.zeros_like(of)]
    remainder = f.remainder[of] if len(f.remainder) > 1 else f.remainder
    size = np.abs(coefficients).sum(axis=0) + np.abs(values)
    coefficients[0] -= values
    for k, part in parts.items():
        size += np.abs(part)
        coefficients[1 + k] -= part
    rest = (remainder + 2.0**-44 * size) * UP + TINY
    low = least(coefficients, f.m, f.order)
    high = -least(-coefficients, f.m, f.order)
    return down(low - rest), up(high + rest)
