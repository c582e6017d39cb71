"""Where to cut an axis: at the kinks of the target, and elsewhere the more often the more it bends.

The best affine function on a cell of length h misses f by about |f''| h^2 / 16, so cells whose lengths are in inverse
proportion to the root of |f''| contribute alike. Everything here is sampled: it chooses, and proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from attncert.certificates.domain import Box
from attncert.certificates.evaluate import evaluate_float
from attncert.certificates.target import Target

FloatArray = npt.NDArray[np.float64]

SAMPLES = 1024
"""Intervals along an axis on which second differences are taken."""

WORK = 1 << 19
"""Samples on all lines along one axis together, at most."""

FLOOR = 0.05
"""Part of the mean density that is taken where the target hardly bends: cells do not grow without limit."""

KINK = 1e-11
"""Part of an axis down to which a kink is followed."""

SIMPLE = 720
"""Denominators up to this are tried for the place of a kink, as a part of the axis and as a number."""


@dataclass(frozen=True)
class Axis:
    """One side of the box: kinks inside it with the largest jump of the slope, and the density of cells over equal
    parts, (SAMPLES,) and normalised to 1; `demand` is the integral of the root of the second derivative.
    """

    lo: Fraction
    hi: Fraction
    kinks: tuple[Fraction, ...]
    jumps: tuple[float, ...]
    density: FloatArray
    demand: float

    def cuts(self, cells: int, graded: bool) -> list[Fraction]:
        """The borders of that many cells or more (one for each piece between kinks), ends included, ascending."""
        if self.lo == self.hi:
            return [self.lo, self.hi]
        borders = [self.lo, *self.kinks, self.hi]
        side = float(self.hi - self.lo)
        total = np.concatenate(([0.0], np.cumsum(self.density))) if graded else np.linspace(0.0, 1.0, SAMPLES + 1)
        places = np.linspace(0.0, 1.0, SAMPLES + 1)
        cuts = [self.lo]
        for start, stop in pairwise(borders):
            ends = np.array([float(start - self.lo), float(stop - self.lo)]) / side
            low, high = np.interp(ends, places, total)
            parts = max(1, round(cells * (high - low)))
            inner = np.interp(low + (high - low) * np.arange(1, parts) / parts, total, places)
            cuts += [self.lo + (self.hi - self.lo) * _short(x) for x in inner] + [stop]
        return sorted(set(cuts))


def axis_of(target: Target, box: Box, k: int) -> Axis:
    """Sample the target along axis k, on lines through places all over the box."""
    lo, hi = box.sides[k]
    if lo == hi:
        return Axis(lo, hi, (), (), np.full(SAMPLES, 1 / SAMPLES), 0.0)
    m, entries = box.dimension, len(target.outputs)
    lines = min(1 if m == 1 else 5 ** min(m - 1, 3), max(2, WORK // (SAMPLES * entries)))
    starts = np.array([float(a) for a, _ in box.sides])
    widths = np.array([float(b - a) for a, b in box.sides])
    # Lines avoid the symmetric places at which targets are often special.
    fixed = starts + widths * (np.random.default_rng(1).random((lines, m)) * 0.98 + 0.01)
    values = _along(target, fixed, k, starts[k] + widths[k] * np.arange(SAMPLES + 1) / SAMPLES)
    bend = np.abs(values[:, 2:] - 2 * values[:, 1:-1] + values[:, :-2]).max(axis=2)  # (lines, SAMPLES - 1)
    found = [_kinks(target, line, k, starts[k], widths[k], row) for line, row in zip(fixed, bend, strict=True)]
    kinks, jumps = _common(found, lo, hi)
    bend = bend.max(axis=0)
    for kink in kinks:
        place = int(float(kink - lo) / widths[k] * SAMPLES)
        bend[max(0, place - 2) : place + 2] = np.median(bend)
    root = np.sqrt(np.interp(np.arange(SAMPLES) + 0.5, np.arange(1, SAMPLES), bend))
    demand = float(root.sum())  # of sqrt|f''| dx, as the second difference is f'' dx^2
    root += FLOOR * max(root.mean(), 1e-300)
    return Axis(lo, hi, kinks, jumps, root / root.sum(), demand)


def _along(target: Target, points: FloatArray, k: int, places: FloatArray) -> FloatArray:
    """The target on lines along axis k through points (L, m), at places (P,): (L, P, entries); 0 where undefined."""
    mesh = np.repeat(points[:, None, :], len(places), axis=1)
    mesh[:, :, k] = places
    values = evaluate_float(target, mesh.reshape(-1, points.shape[1])).reshape(len(points), len(places), -1)
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def _kinks(
    target: Target, line: FloatArray, k: int, start: float, width: float, bend: FloatArray
) -> list[tuple[float, float]]:
    """Kinks on one line, as (place, jump of the slope): second differences that stand out, and do so at every scale."""
    around = np.median(np.stack([np.roll(bend, shift) for shift in (-9, -6, -4, 4, 6, 9)]), axis=0)
    stands = (bend > 4 * around) & (bend >= np.maximum(np.roll(bend, 1), np.roll(bend, -1)))
    stands &= bend > 1e-9 * max(float(bend.max()), 1e-300)
    found = []
    for n in np.flatnonzero(stands)[:64]:
        step, middle = width / SAMPLES, start + width * (n + 1) / SAMPLES
        jump = float(bend[n]) / step
        while step > KINK * width:
            places = np.clip(middle + 2 * step * np.linspace(-1, 1, 33), start, start + width)
            values = _along(target, line[None], k, places)[0]
            sharp = np.abs(values[2:] - 2 * values[1:-1] + values[:-2]).max(axis=1)
            best, step = int(sharp.argmax()), step / 8
            middle = float(places[best + 1])
            if not 0.3 * jump * step <= sharp[best] <= 3 * jump * step and step > 1e-7 * width:
                break
        else:
            if start + 1e-6 * width < middle < start + width * (1 - 1e-6):
                found.append((middle, jump))
    return found


def _common(
    found: list[list[tuple[float, float]]], lo: Fraction, hi: Fraction
) -> tuple[tuple[Fraction, ...], tuple[float, ...]]:
    """The kinks that most lines share, at the same place: those are faces across the axis."""
    every = sorted(pair for line in found for pair in line)
    near = 1e-7 * float(hi - lo)
    kinks: list[Fraction] = []
    jumps: list[float] = []
    while every:
        group = [pair for pair in every if pair[0] <= every[0][0] + near]
        every = every[len(group) :]
        if len(group) >= 0.6 * len(found):
            kinks.append(_exact(float(np.median([place for place, _ in group])), lo, hi))
            jumps.append(max(jump for _, jump in group))
    return tuple(kinks), tuple(jumps)


def _exact(x: float, lo: Fraction, hi: Fraction) -> Fraction:
    """The simple number that a sampled place is, or a short one near it."""
    side = hi - lo
    for candidate in (
        Fraction(x).limit_denominator(SIMPLE),
        lo + side * Fraction((Fraction(x) - lo) / side).limit_denominator(SIMPLE),
    ):
        if lo < candidate < hi and abs(float(candidate) - x) <= 1e-8 * float(side):
            return candidate
    return lo + side * _short((x - float(lo)) / float(side), 40)


def _short(x: float, bits: int = 16) -> Fraction:
    """A dyadic number near x."""
    return Fraction(round(x * 2**bits), 2**bits)
