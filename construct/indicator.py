"""Heads for claims of kind `indicator`: the uniform partition, as sharp as it must be.

The softmax of a grid head is a product of softmaxes, one for each axis, so the layer on which no token takes all but
delta can be sampled before a head is built. With the sharpness beta_k h_k^2 the same on every axis the layers along
all axes have equal shares of the cells. Sampling chooses; only the proof counts.

A-priori bound (arXiv 2504.19901, the indicator proposition, with explicit constants). Let axis k have N_k cells of
length h_k, and kappa = beta_k h_k^2 on all axes that are cut. At a distance of t cells from the nearest face inside the
domain along axis k, every other anchor of that axis scores at least 2 kappa t less than the nearest one. Outside the
layer on which t < t_0 along some axis the best token therefore misses the weight 1 by at most M exp(-2 kappa t_0), with
M = sum_k (N_k - 1), and the softmax column differs from the one-hot vector by at most twice that: by at most delta for
t_0 = ln(2 M / delta) / (2 kappa). The layer takes at most 2 t_0 (N_k - 1) / N_k of the box along axis k, so it has
measure at most mu for

    kappa >= ln(2 M / delta) vol / mu sum_k (N_k - 1) / N_k.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import partial

import numpy as np

from attncert.certificates.claim import Indicator
from attncert.certificates.condition import Condition
from attncert.certificates.domain import Box
from attncert.certificates.errors import InvalidClaim
from attncert.certificates.matrix import Row
from attncert.certificates.target import InputSpace
from attncert.construct.estimate import BoolArray, FloatArray, best_weights, sampled_inside
from attncert.construct.resources import require_memory
from attncert.construct.uniform import Candidate, cells_kept, grid_head, rounded_up, spelled

SLACKS = (1.05, 1.1, 1.2, 1.5, 2.0, 4.0)
"""Multiples of the sampled least sharpness that are tried in turn."""

MAX_POINTS = 1 << 21
SHARPEST = 2.0**80


def indicator_candidates(
    space: InputSpace,
    box: Box,
    counts: Sequence[int],
    claim: Indicator,
    *,
    precision: int,
    apriori_only: bool = False,
    conditions: Sequence[Condition] = (),
) -> Iterator[Candidate]:
    """Heads to try, the least sharp first; with `apriori_only` exactly the one that theory asks for.

    The values are the numbers of the regions.

    Raises InvalidClaim when no sharpness makes the layer small enough, TooLarge when the head does not fit.
    """
    require_memory(math.prod(counts), box.dimension, 1)
    kept = cells_kept(box, counts, conditions)
    values: list[Row] = [[Fraction(number) for number in range(sum(kept))]]
    theory = _temperatures(box, counts, apriori_sharpness(box, counts, claim))

    def candidate(betas: Sequence[Fraction], is_last: bool) -> Candidate:
        notes = {
            "method": "uniform",
            "grid": list(counts),
            "beta": spelled(betas),
            "precision": precision,
            "apriori": {
                "tokens": sum(kept),
                "grid": list(counts),
                "beta": spelled(theory),
                "bound": f"{float(claim.measure):.6g}",
                "delta": f"{float(claim.delta):.6g}",
            },
        }
        head = grid_head(space, box, counts, betas, values, kept, precision=precision)
        return Candidate(head, math.nan, notes, is_last)

    if apriori_only:
        yield candidate(theory, is_last=True)
        return
    least = _least_sharpness(box, counts, claim, conditions)
    for slack in SLACKS:
        sharpness = rounded_up(Fraction(least * slack))
        yield candidate(_temperatures(box, counts, sharpness), is_last=slack == SLACKS[-1])


def apriori_sharpness(box: Box, counts: Sequence[int], claim: Indicator) -> Fraction:
    """kappa = ln(2 M / delta) vol / mu sum_k (N_k - 1) / N_k, not less; 0 where there is one cell only."""
    others = sum(count - 1 for count in counts)
    if not others:
        return Fraction(0)
    volume = math.prod((hi - lo for lo, hi in box.sides), start=Fraction(1))
    ratio = 2 * others / claim.delta
    log = Fraction(math.log(ratio.numerator) - math.log(ratio.denominator)) * (1 + Fraction(1, 10**12))
    return log * volume / claim.measure * sum(Fraction(count - 1, count) for count in counts)


def _temperatures(box: Box, counts: Sequence[int], sharpness: Fraction) -> tuple[Fraction, ...]:
    """beta_k = kappa / h_k^2, rounded up; 0 for an axis with one cell."""
    return tuple(
        rounded_up(sharpness * count * count / ((hi - lo) * (hi - lo))) if count > 1 else Fraction(0)
        for count, (lo, hi) in zip(counts, box.sides, strict=True)
    )


def _least_sharpness(box: Box, counts: Sequence[int], claim: Indicator, conditions: Sequence[Condition]) -> float:
    """The sharpness beta h^2 at which the sampled layer has the claimed measure: by doubling, then bisection."""
    volume = math.prod((hi - lo for lo, hi in box.sides), start=Fraction(1))
    share = float(claim.measure / volume)
    places = max(2, min(256, int((MAX_POINTS / math.prod(counts)) ** (1 / len(counts)))))
    offsets = (np.arange(places) + 0.5) / places - 0.5
    inside = sampled_inside(box, counts, [offsets] * len(counts), conditions)
    measure = partial(_layer, counts, offsets, float(claim.delta), inside)
    low, high = 0.0, 1.0
    while measure(high) > share:
        low, high = high, 2 * high
        if high > SHARPEST:
            raise InvalidClaim("no inverse temperature makes the layer that thin")
    while high - low > 0.01 * high:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if measure(middle) > share else (low, middle)
    # A lattice resolves a layer of half-width L / (2 sharpness) cells only down to its own spacing.
    thinnest = math.log(2 / float(claim.delta)) * places / 2
    exact = math.log(2 / float(claim.delta)) * sum(count > 1 for count in counts) / share
    return high if high < thinnest / 4 else max(high, exact)


def _layer(
    counts: Sequence[int], offsets: FloatArray, delta: float, inside: BoolArray | None, sharpness: float
) -> float:
    """The share of the lattice on which 2 (1 - max softmax) > delta, at points of the domain."""
    weights = [best_weights(count, offsets, sharpness if count > 1 else 0.0) for count in counts]
    best = weights[0]
    for weight in weights[1:]:
        best = np.multiply.outer(best, weight)
    layer = 2 * (1 - best.ravel()) > delta
    return float(np.mean(layer if inside is None else layer & inside))
