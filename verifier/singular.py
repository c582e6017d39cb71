"""Integrable singularities of a target, integrated in closed form on the boxes that touch them.

On a box whose side along axis k is [a, b], with s in [a, b], let an entry of the target be f = alpha A + gamma, where
A = |x_k - s|^(-q) up to its sign, or log|x_k - s|, and alpha, gamma are enclosed on the box. Then with rest the product
of the other sides

    integral of |f - T|^p <= 2^(p-1) (sup|alpha|^p rest * integral over [a, b] of |A|^p + sup|gamma - T|^p vol(B)),

as |y + z|^p <= 2^(p-1) (|y|^p + |z|^p). For q p < 1 the integral of |A|^p is ((s - a)^(1 - qp) +
(b - s)^(1 - qp)) / (1 - qp). For the logarithm and n = ceil(p), |A|^p <= |A|^n within 1/e of s, and the integral of
|log t|^n over [0, t] is t sum_j (n!/j!) (-log t)^j.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from attncert.certificates import interval as iv
from attncert.certificates.condition import Condition, classify
from attncert.certificates.domain import Box
from attncert.certificates.enclosure import interval_algebra
from attncert.certificates.errors import InvalidTarget
from attncert.certificates.interval import Interval, up
from attncert.certificates.numbers import float_down, float_up
from attncert.certificates.target import Target
from attncert.verifier.head import FloatArray
from attncert.verifier.powers import scaled_power

Ends = tuple[tuple[float, float], ...]

ROUNDING = 1 + 2.0**-40
"""Covers fewer than 2^10 roundings, and the error of numpy's logarithm, of positive sums and products."""

_ONE, _ZERO = iv.constant(Fraction(1)), iv.constant(Fraction(0))


@dataclass(frozen=True)
class Pole:
    """The singular function A of one node: |u|^(-q) up to its sign, or log|u| where q is None; u = +-(x_axis - zero).

    `side` is the sign of x_axis - zero where A is defined, 0 where that is on both sides.
    """

    name: str
    exponent: Fraction | None
    axis: int
    zero: Fraction
    side: int

    def touches(self, lo: Fraction, hi: Fraction) -> bool:
        """Whether the zero lies in [lo, hi], and A is defined elsewhere there."""
        return lo <= self.zero <= hi and (self.side == 0 or (lo == self.zero if self.side > 0 else hi == self.zero))

    def integrable(self, power: Fraction) -> bool:
        """Whether |A|^p is."""
        return self.exponent is None or self.exponent * power < 1


@dataclass(frozen=True)
class _Pair:
    """alpha A + gamma; no A where `pole` is None."""

    gamma: Interval
    alpha: Interval = _ZERO
    pole: Pole | None = None


class _NotOfTheForm(Exception):
    """The entry is not alpha A + gamma on the box."""


@dataclass(frozen=True)
class SingularTarget:
    """A target with nodes that are singular somewhere in the domain: node to its pole."""

    target: Target
    box: Box
    power: Fraction
    poles: dict[int, Pole]

    @staticmethod
    def of(target: Target, box: Box, power: Fraction) -> SingularTarget | None:
        """The target with its poles in the box; None when it has none."""
        poles = {slot: pole for slot, pole in _poles(target) if _within(pole, box)}
        return SingularTarget(target, box, power, poles) if poles else None

    def bound(self, entry: int, ends: Ends, head: tuple[float, float], scale: float, volume: float) -> float:
        """A bound on the integral of (|f - T| / scale)^p over the box [lo, hi] inside the domain; inf if there is none.

        `head` encloses T, `volume` is at least that of the box. Ends may lie outside the exact ones: everything here
        grows with the box.
        """
        sides = [
            (max(Fraction(lo), side[0]), min(Fraction(hi), side[1]))
            for (lo, hi), side in zip(ends, self.box.sides, strict=True)
        ]
        with iv.quiet():
            try:
                pair = self._pair(entry, ends, sides)
            except _NotOfTheForm:
                return math.inf
            pole = pair.pole
            if pole is None or not pole.integrable(self.power):
                return math.inf
            alpha, remainder = pair.alpha.bounds(), (pair.gamma - iv.interval(head[0], head[1])).bounds()
            rest = math.prod((hi - lo for k, (lo, hi) in enumerate(sides) if k != pole.axis), start=Fraction(1))
            first = self._powered(alpha, scale) * float_up(rest) * self._integral(pole, *sides[pole.axis])
            second = self._powered(remainder, scale) * volume
            total = 2.0 ** (float_up(self.power) - 1) * (first + second) * ROUNDING
        return float(total) if total >= 0 else math.inf

    def diverges(self, entry: int, ends: Ends, sides: Sequence[tuple[Fraction, Fraction]], pole: Pole) -> bool:
        """Tell whether the entry is alpha A + gamma on the box, A that of the pole, alpha away from 0, both bounded."""
        with iv.quiet():
            try:
                pair = self._pair(entry, ends, sides)
            except _NotOfTheForm:
                return False
            ends_of = [float(end[0]) for part in (pair.alpha, pair.gamma) for end in part.bounds()]
        return pair.pole == pole and all(map(math.isfinite, ends_of)) and (ends_of[0] > 0 or ends_of[1] < 0)

    def _powered(self, ends: tuple[FloatArray, FloatArray], scale: float) -> float:
        """(sup of the absolute value / scale)^p, rounded up."""
        largest = np.maximum(-ends[0], ends[1])
        return float(scaled_power(np.asarray(largest / scale), float(self.power), 1)[0])

    def _integral(self, pole: Pole, lo: Fraction, hi: Fraction) -> float:
        """A bound on the integral of |A|^p over [lo, hi]."""
        reaches = [float_up(reach) for reach in (pole.zero - lo, hi - pole.zero)]
        if pole.exponent is None:
            return sum(_log_integral(reach, math.ceil(self.power)) for reach in reaches)
        left = 1 - pole.exponent * self.power
        return float(np.sum(scaled_power(np.array(reaches), float(left), 1))) / float_down(left)

    def _pair(self, entry: int, ends: Ends, sides: Sequence[tuple[Fraction, Fraction]]) -> _Pair:
        """The enclosures of alpha and gamma for an entry; raises _NotOfTheForm."""
        lo, hi = (np.array([[end[j] for end in ends]]) for j in (0, 1))
        algebra = interval_algebra(lo, hi)
        output = self.target.outputs[entry]
        pairs: dict[int, _Pair] = {}
        for slot in sorted(_needed(self.target, output)):
            pole = self.poles.get(slot)
            op, args, payload = self.target.tape[slot]
            if pole is not None and pole.touches(*sides[pole.axis]):
                factor = pairs[args[0]] if op == "div" else _Pair(_ONE)
                if factor.pole is not None:
                    raise _NotOfTheForm
                pairs[slot] = _Pair(_ZERO, factor.gamma, pole)
                continue
            operands = [pairs[arg] for arg in args]
            if any(operand.pole for operand in operands):
                pairs[slot] = _combined(op, operands)
            else:
                payloads = () if payload is None else (payload,)
                method: Any = getattr(algebra, op)
                pairs[slot] = _Pair(method(*(operand.gamma for operand in operands), *payloads))
        return pairs[output]


def require_integrable(target: Target, box: Box, power: Fraction, conditions: Sequence[Condition] = ()) -> None:
    """Raise InvalidTarget, with the place, where |target|^p is shown not to be integrable over the domain.

    Near the zero s of a pole with q p >= 1 the target is alpha A + gamma; if on a small box there, inside the domain,
    alpha stays away from 0 and both are bounded, then the integral is infinite.
    """
    singular = SingularTarget.of(target, box, power)
    for pole in singular.poles.values() if singular else ():
        if pole.integrable(power):
            continue
        for sides in _small_boxes(pole, box):
            ends = tuple((float_down(lo), float_up(hi)) for lo, hi in sides)
            if not classify(conditions, *(np.array([[end[j] for end in ends]]) for j in (0, 1)))[0].all():
                continue
            for entry in range(len(target.outputs)):
                if singular is not None and singular.diverges(entry, ends, sides, pole):
                    place = f"{target.space.variable_name(pole.axis)} = {float(pole.zero):.6g}"
                    p = f"|target|^{power}" if power != 1 else "the target"
                    raise InvalidTarget(f"{p} is not integrable near {place}, so no head has a finite L_{power} error")


def _small_boxes(pole: Pole, box: Box) -> Iterator[list[tuple[Fraction, Fraction]]]:
    """Boxes at the zero of the pole: around the middle of the other sides, and around a place off it."""
    for part in (Fraction(1, 2), Fraction(5, 16)):
        sides = []
        for k, (lo, hi) in enumerate(box.sides):
            middle, reach = (pole.zero if k == pole.axis else lo + (hi - lo) * part), (hi - lo) / 2**24
            sides.append((max(lo, middle - reach), min(hi, middle + reach)))
        yield sides


def _within(pole: Pole, box: Box) -> bool:
    lo, hi = box.sides[pole.axis]
    return lo <= pole.zero <= hi


def _poles(target: Target) -> Iterator[tuple[int, Pole]]:
    """The nodes of the tape that are singular where a side of the input takes a certain value."""
    constants = _constants(target)
    for slot, (op, args, payload) in enumerate(target.tape):
        if op in ("rpow", "ipow") and payload is not None and payload < 0:
            form, exponent, both = _affine(target, args[0], constants), -Fraction(payload), op == "ipow"
        elif op == "log":
            form, exponent, both = _affine(target, args[0], constants), None, False
        elif op == "div" and target.tape[args[1]].op == "sqrt":
            form = _affine(target, target.tape[args[1]].args[0], constants)
            exponent, both = Fraction(1, 2), False
        elif op == "div":
            form, exponent, both = _affine(target, args[1], constants), Fraction(1), True
        else:
            continue
        if form is not None:
            axis, zero, sign = form
            name = f"{op} {payload} {sign}" if op != "div" else f"reciprocal {exponent} {sign}"
            yield slot, Pole(name, exponent, axis, zero, 0 if both else sign)


def _affine(target: Target, slot: int, constants: dict[int, Fraction]) -> tuple[int, Fraction, int] | None:
    """The axis, the zero and the sign of u = x_k, x_k - s, x_k + s, s + x_k or s - x_k; sign 0 for abs of one."""
    op, args, payload = target.tape[slot]
    if op == "abs":
        inner = _affine(target, args[0], constants)
        return None if inner is None else (inner[0], inner[1], 0)
    if op == "var":
        return int(payload or 0), Fraction(0), 1
    if op not in ("add", "sub"):
        return None
    first, second = (target.tape[arg] for arg in args)
    if first.op == "var" and args[1] in constants:
        s = constants[args[1]]
        return int(first.payload or 0), (s if op == "sub" else -s), 1
    if second.op == "var" and args[0] in constants:
        s = constants[args[0]]
        return int(second.payload or 0), (s if op == "sub" else -s), (-1 if op == "sub" else 1)
    return None


def _constants(target: Target) -> dict[int, Fraction]:
    """The slots that hold rational constants, with their exact values."""
    values: dict[int, Fraction] = {}
    for slot, (op, args, payload) in enumerate(target.tape):
        known = [values[arg] for arg in args if arg in values]
        if len(known) < len(args):
            continue
        if op == "const" and payload is not None:
            values[slot] = Fraction(payload)
        elif op == "neg":
            values[slot] = -known[0]
        elif op == "add":
            values[slot] = known[0] + known[1]
        elif op == "sub":
            values[slot] = known[0] - known[1]
        elif op == "mul":
            values[slot] = known[0] * known[1]
        elif op == "div" and known[1]:
            values[slot] = known[0] / known[1]
    return values


def _needed(target: Target, output: int) -> set[int]:
    """The slots that an output depends on."""
    needed, stack = set[int](), [output]
    while stack:
        slot = stack.pop()
        if slot not in needed:
            needed.add(slot)
            stack += target.tape[slot].args
    return needed


def _combined(op: str, operands: Sequence[_Pair]) -> _Pair:
    """The pair of + - * / or a sign applied to pairs of which at least one contains A; raises _NotOfTheForm."""
    if op == "neg":
        (a,) = operands
        return _Pair(-a.gamma, -a.alpha, a.pole)
    if op not in ("add", "sub", "mul", "div"):
        raise _NotOfTheForm
    a, b = operands
    if op in ("add", "sub"):
        if a.pole is not None and b.pole is not None and a.pole != b.pole:
            raise _NotOfTheForm
        pole = a.pole or b.pole
        if op == "add":
            return _Pair(a.gamma + b.gamma, a.alpha + b.alpha, pole)
        return _Pair(a.gamma - b.gamma, a.alpha - b.alpha, pole)
    if (a.pole is not None and b.pole is not None) or (op == "div" and b.pole is not None):
        raise _NotOfTheForm
    if op == "div":
        return _Pair(a.gamma / b.gamma, a.alpha / b.gamma, a.pole)
    return _Pair(a.gamma * b.gamma, a.alpha * b.gamma if a.pole else a.gamma * b.alpha, a.pole or b.pole)


def _log_integral(reach: float, n: int) -> float:
    """A bound on the integral of |log t|^n over [0, reach], for reach <= 1/e; inf beyond.

    The sum S_n = sum_j (n!/j!) L^j follows S_n = L^n + n S_(n-1), all terms positive.
    """
    if reach == 0:
        return 0.0
    if not reach < 0.3678:
        return math.inf
    size = np.float64(-math.log(reach) * (1 + 2.0**-45))
    total = np.float64(1.0)
    for j in range(1, n + 1):
        total = size**j + j * total
    return float(up(reach * total * (1 + n * 2.0**-44)))
