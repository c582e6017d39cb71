"""Beyond the paper: heads that are polynomials in sigmoids, with few tokens for smooth targets.

Let an axis have rate c, centre o and degree n, and let token i = 0, ..., n have the key c i and the bias
ln binom(n, i) - c i o. With s = sigmoid(c (x - o)) and e^z = s/(1 - s), z = c (x - o), its softmax weight is

    binom(n, i) e^(i z) / (1 + e^z)^n = binom(n, i) s^i (1 - s)^(n - i):

the head is the Bernstein polynomial whose coefficients are its values, so every polynomial of degree n in s is a head
with n + 1 tokens. On several axes keys and biases add and weights multiply: tensor products, prod (n_k + 1) tokens. The
error of the best polynomial falls geometrically with the degree where the target is analytic, and x is an analytic
function of s (see `fit` for the choice of rates and degrees).

Values alternate and can be much larger than the target. They enter the error with weights that sum to 1, so rounding
them costs at most the rounding of the largest; rounding biases by d costs at most 4 d times the largest value. The
weights get as many bits as keep both below a thousandth of the tolerance, and never fewer than asked for.

A target with n_o > 1 columns has a block for each, with its own degrees and rates. The scores of a block add up to
prod_k (1 + e^(z_k))^(n_k), so with Z_j between e^(l_j) and e^(h_j) on the box the other blocks weigh at most
sum_(i != j) e^(h_i - l_j - gate), and cost at most twice the largest value times that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import product

from attncert.certificates.attention import Attention
from attncert.certificates.condition import Condition
from attncert.certificates.deadline import NEVER, Deadline
from attncert.certificates.domain import Box
from attncert.certificates.errors import InvalidTarget, TooLarge
from attncert.certificates.matrix import ZERO
from attncert.certificates.numbers import fraction_to_mpf, mpf_to_fraction
from attncert.certificates.target import InputSpace, Target
from attncert.construct.bernstein import context_of
from attncert.construct.continuity import require_continuous, require_defined
from attncert.construct.embedding import Block, embed_blocks
from attncert.construct.fit import Fit, Search
from attncert.construct.resources import require_memory
from attncert.construct.uniform import Candidate, rounded_up

MARGINS = (0.02, 0.1, 0.3, 0.6)
"""Parts of the tolerance that successive heads leave to the proof."""

ROUNDING = 1000
"""The part of the tolerance that rounding the weights may cost."""

ROUNDING_SHARES = (1.0, 1 / 2, 1 / 4, 1 / 8, 1 / 32)
"""The parts of the tolerance that rounding to a format may cost, roughly, in the order in which they are tried."""

LEAK_BITS = 40
"""The leak of the gate costs less than 2^-LEAK_BITS of the tolerance."""

NO_BOUND = "degrees and rates come from samples of the target"


def spectral_candidates(
    target: Target,
    box: Box,
    tolerance: Fraction,
    *,
    precision: int,
    apriori_only: bool = False,
    max_value: float | None = None,
    bits: int | None = None,
    limit: int | None = None,
    deadline: Deadline = NEVER,
    conditions: Sequence[Condition] = (),
) -> Iterator[Candidate]:
    """Heads to try, the one with the fewest tokens first.

    bits: those of the format that weights will be rounded to; the values are then kept so small that they survive it.
    limit: the most tokens that are of interest.

    Raises InvalidTarget when the target jumps or lacks a value somewhere on the box (all of it: the polynomial is
    found there, whatever the conditions), TooLarge when it is not smooth enough for the tolerance; OutOfTime.
    """
    if apriori_only:
        raise InvalidTarget(f"there is no a-priori bound: {NO_BOUND}")
    require_defined(target, box, conditions)
    require_continuous(target, box, conditions)
    columns = target.shape[1]
    parts = [
        replace(target, outputs=entries, shape=(len(entries), 1))
        for entries in (target.outputs[j::columns] for j in range(columns))
    ]
    last: list[Fit] = []
    for cap, margin in product([max_value] if bits is None else rounding_caps(tolerance, bits, max_value), MARGINS):
        try:
            fits = [Search(part, box, tolerance, 1 - margin, cap, deadline, limit).best() for part in parts]
        except TooLarge as error:
            if last:
                return
            if bits is None:
                raise
            raise TooLarge(f"after rounding the weights to {bits} bits: {error}") from None
        if [fit.degrees for fit in fits] == [fit.degrees for fit in last] and (
            max(fit.error for fit in fits) <= float(tolerance) * 0.3
            and max(fit.max_value for fit in fits) >= max(fit.max_value for fit in last)
        ):
            continue
        last = fits
        is_last = margin == MARGINS[-1] and bits is None
        yield _candidate(target.space, box, tolerance, fits, precision, is_last=is_last)


def rounding_caps(tolerance: Fraction, bits: int, most: float | None) -> list[float | None]:
    """Bounds on the values, ever smaller, under which rounding them to that many bits costs little of the tolerance."""
    unit = min(float(tolerance) * 2.0**bits, 1e300)
    return [min(unit * share, math.inf if most is None else most) for share in ROUNDING_SHARES]


def _candidate(
    space: InputSpace, box: Box, tolerance: Fraction, fits: Sequence[Fit], asked: int, is_last: bool
) -> Candidate:
    precision = max(asked, bits_needed(fits, tolerance))
    gate = gate_bonus(fits, tolerance)
    head = spectral_head(space, fits, gate, precision)
    notes = {
        "method": "spectral",
        "degrees": [list(fit.degrees) for fit in fits] if len(fits) > 1 else list(fits[0].degrees),
        "rates": "; ".join(", ".join(f"{float(axis.rate):.6g}" for axis in fit.axes) for fit in fits),
        **({"gate": f"{float(gate):.6g}"} if gate else {}),
        "max_value": f"{max(fit.max_value for fit in fits):.6g}",
        "precision": precision,
        **({"precision_asked": asked} if precision > asked else {}),
        "apriori": {"none": NO_BOUND},
    }
    return Candidate(head, max(fit.error for fit in fits), notes, is_last)


def spectral_head(space: InputSpace, fits: Sequence[Fit], gate: Fraction, precision: int) -> Attention:
    """The head with a block of tokens for each fit; in a block the degree of the last axis runs fastest.

    Keys are exact, biases and values are rounded to `precision` bits once.
    """
    require_memory(sum(fit.tokens for fit in fits), space.size, fits[0].values.shape[-1])
    return embed_blocks(space, [_block(fit, precision) for fit in fits], gate)


def _block(fit: Fit, precision: int) -> Block:
    context = context_of(precision + 64)
    places = list(product(*(range(n + 1) for n in fit.degrees)))
    keys = [[i[k] * axis.rate for i in places] for k, axis in enumerate(fit.axes)]
    parts = [
        [mpf_to_fraction(context.log(math.comb(n, i))) - i * axis.rate * axis.centre for i in range(n + 1)]
        for n, axis in zip(fit.degrees, fit.axes, strict=True)
    ]
    biases = [_rounded(sum(terms, ZERO), precision) for terms in product(*parts)]
    unit = 1 << fit.bits
    rows = fit.values.reshape(len(places), -1).T.tolist()
    return Block(keys, biases, [[_rounded(Fraction(value, unit), precision) for value in row] for row in rows])


def bits_needed(fits: Sequence[Fit], tolerance: Fraction) -> int:
    """The precision at which rounding costs less than 1/ROUNDING of the tolerance."""
    bits = 0
    for fit in fits:
        largest_bias = sum(
            n * (1 + abs(axis.rate * axis.centre)) for n, axis in zip(fit.degrees, fit.axes, strict=True)
        )
        cost = Fraction(max(fit.max_value, 1e-300)) * (1 + 4 * (1 + largest_bias)) * ROUNDING / tolerance
        bits = max(bits, cost.numerator.bit_length() - cost.denominator.bit_length() + 1)
    return bits


def gate_bonus(fits: Sequence[Fit], tolerance: Fraction) -> Fraction:
    """The bonus of a column's own block; 0 with one column."""
    if len(fits) == 1:
        return ZERO
    ends = [_log_sums(fit) for fit in fits]
    spread = max(high - low for i, (_, high) in enumerate(ends) for j, (low, _) in enumerate(ends) if i != j)
    cost = 2 * max(fit.max_value for fit in fits) * sum(fit.tokens for fit in fits)
    ratio = Fraction(max(cost, 1e-300)) / tolerance
    log = math.log(ratio.numerator) - math.log(ratio.denominator)
    return rounded_up(Fraction(max(spread + log, 0.0) + LEAK_BITS * math.log(2)))


def _log_sums(fit: Fit) -> tuple[float, float]:
    """The least and the greatest ln sum_i e^(s_i) over the box."""
    low = high = 0.0
    for n, axis in zip(fit.degrees, fit.axes, strict=True):
        ends = [float(axis.rate * (end - axis.centre)) for end in (axis.lo, axis.hi)]
        low, high = low + n * _softplus(ends[0]), high + n * _softplus(ends[1])
    return low, high


def _softplus(z: float) -> float:
    return max(z, 0.0) + math.log1p(math.exp(-abs(z)))


def _rounded(x: Fraction, precision: int) -> Fraction:
    return mpf_to_fraction(fraction_to_mpf(x, precision))
