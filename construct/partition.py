"""Heads for claims of kind `partition`: the cells of a grid, exactly, with the regions declared that they have.

With t = (x_k - lo_k) N_k / (hi_k - lo_k), the place along axis k in cells, the token of cell (i_1, ..., i_m) scores

    sum_k 4 t (2 i_k + 1) - (2 i_k + 1)^2  =  sum_k 4 t^2 - (2 t - 2 i_k - 1)^2,

which is best for the cell that t lies in. Nothing is rounded, so that cells meet in corners as those of a grid do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from typing import Any

from attncert.certificates.attention import Attention
from attncert.certificates.claim import Partition, Region
from attncert.certificates.domain import Box
from attncert.certificates.matrix import Row
from attncert.certificates.target import InputSpace
from attncert.construct.embedding import embed
from attncert.construct.resources import require_memory

RADIUS_BITS = 40
"""Bits after the point of the radius of a cell, relative to its longest side."""


def partition_head(space: InputSpace, box: Box, counts: Sequence[int]) -> tuple[Attention, Partition, dict[str, Any]]:
    """The head, the regions of its cells, and notes on how it was made. The values are the numbers of the regions.

    Raises TooLarge when the head does not fit.
    """
    require_memory(math.prod(counts), box.dimension, 1)
    cells = list(product(*map(range, counts)))
    scales = [count / (hi - lo) for count, (lo, hi) in zip(counts, box.sides, strict=True)]
    keys: list[Row] = [[4 * (2 * cell[k] + 1) * scale for cell in cells] for k, scale in enumerate(scales)]
    origin = [scale * lo for scale, (lo, _) in zip(scales, box.sides, strict=True)]
    biases = [
        -sum(((2 * i + 1) ** 2 + 4 * (2 * i + 1) * o for i, o in zip(cell, origin, strict=True)), Fraction(0))
        for cell in cells
    ]
    values: list[Row] = [[Fraction(number) for number in range(len(cells))]]
    head = embed(space, keys, biases, [values], len(cells))
    betas = [4 * scale * scale for scale in scales]
    beta = str(betas[0]) if len(set(betas)) == 1 else ", ".join(map(str, betas))
    return head, Partition((_regions(box, counts),)), {"method": "uniform", "grid": list(counts), "beta": beta}


def _regions(box: Box, counts: Sequence[int]) -> tuple[Region, ...]:
    """For each cell the tokens of the cells that share a face with it, and the ball around it."""
    m = len(counts)
    spacing = [(hi - lo) / count for count, (lo, hi) in zip(counts, box.sides, strict=True)]
    radius = _root_up(sum((h * h for h in spacing), Fraction(0)) / 4, max(spacing))
    strides = [math.prod(counts[k + 1 :]) for k in range(m)]
    regions = []
    for token, cell in enumerate(product(*map(range, counts))):
        neighbours = [token - strides[k] for k in range(m) if cell[k] > 0]
        neighbours += [token + strides[k] for k in range(m) if cell[k] < counts[k] - 1]
        centre = tuple(lo + h * (2 * i + 1) / 2 for i, h, (lo, _) in zip(cell, spacing, box.sides, strict=True))
        regions.append(Region(token, tuple(sorted(neighbours)), centre, radius))
    return tuple(regions)


def _root_up(square: Fraction, size: Fraction) -> Fraction:
    """A number whose square is at least this, more by little beside the size; the root where it is rational."""
    top, bottom = math.isqrt(square.numerator), math.isqrt(square.denominator)
    if top * top == square.numerator and bottom * bottom == square.denominator:
        return Fraction(top, bottom)
    shift = RADIUS_BITS - size.numerator.bit_length() + size.denominator.bit_length()
    return (math.isqrt(math.ceil(square * Fraction(4) ** shift)) + 1) / Fraction(2) ** shift
