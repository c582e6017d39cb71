"""The range of a head over boxes: the hull of its active tokens, and the share of the silent ones."""

from __future__ import annotations

import numpy as np

from attncert.certificates.interval import down, up
from attncert.verifier.boxes import Block, BoxSearch
from attncert.verifier.head import FloatArray
from attncert.verifier.hull import head_hull


def head_range(
    search: BoxSearch,
    r: int,
    block: Block,
    centre: FloatArray,
    radius: FloatArray,
    d_centre: FloatArray,
    d_radius: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Bounds (B,) on entry r of a head over boxes (B, m), from `activate`; NaN where there are none.

    Rounding argument. The hull is rounded outward. The silent tokens move the head by at most their share of the spread
    of all values, which is rounded up with the slack of the values.
    """
    head = search.head
    low, high = search.value_ranges(r, block, np.arange(len(block.counts)), slice(None), centre, radius)
    t_lo, t_hi = head_hull(low, d_centre, d_radius, block.counts)
    if high is not low:
        t_hi = head_hull(high, d_centre, d_radius, block.counts)[1]
    spread = up(head.value_max[r] - head.value_min[r])
    slip = up(up(up(block.dropped * search.leak) * spread) + head.value_slack[r])
    return down(t_lo - slip), up(t_hi + slip)
