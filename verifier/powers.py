"""Powers x^p of nonnegative doubles, rounded to the side that a sum needs."""

from __future__ import annotations

import numpy as np

from attncert.verifier.head import FloatArray

POWER_ERROR = 2.0**-48
"""Relative error allowed to numpy's power: 32 units in the last place."""

TINY = 2.0**-900
"""Powers and volumes below this count as 0 in lower sums: underflow has no relative error bound."""


def scaled_power(x: FloatArray, power: float, sign: int) -> FloatArray:
    """A bound on x^p for x >= 0: from above for sign 1, from below for sign -1.

    Rounding argument. numpy's power is assumed to be accurate to POWER_ERROR. A power p that was itself rounded by a
    relative u, and an x that was, change x^p by relative factors below e^(p u |log x|) and e^(p u), together less than
    2^-51 p (1 + |log x|), twice what is needed. Results that underflow add less than 2^-1022 above, and count as 0
    below TINY; overflow counts as 2^1023 below.
    """
    with np.errstate(all="ignore"):
        result = x**power
        logarithm = np.where(x > 0, np.abs(np.log(x)), 0.0)
    error = POWER_ERROR + 2.0**-51 * power * (1 + logarithm)
    if sign > 0:
        return np.asarray(np.where(x == 0, 0.0, result * (1 + error) + 2.0**-1022))
    result = np.minimum(result, 2.0**1023)
    return np.asarray(np.where(result > TINY, result * np.maximum(1 - error, 0), 0.0))
