"""Domains: boxes with exact rational ends."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from attncert.certificates.errors import InvalidDomain, InvalidNumber
from attncert.certificates.numbers import format_exact, parse_exact

MAX_SIDES = 36  # a split tree names its axes by one character, 0-9 and a-z

_FACTOR = re.compile(r"\s*\[\s*([^\[\],]*?)\s*,\s*([^\[\],]*?)\s*\]\s*(?:\^\s*(\d{1,4})\s*)?")
_TIMES = re.compile(r"[x×*]")


@dataclass(frozen=True)
class Box:
    """A closed box: one pair lo <= hi of exact rationals for each entry of the input, row by row."""

    sides: tuple[tuple[Fraction, Fraction], ...]

    def __post_init__(self) -> None:
        """Refuse a box without sides, with too many, or with a reversed one (InvalidDomain)."""
        if not self.sides:
            raise InvalidDomain("the domain has no side")
        if len(self.sides) > MAX_SIDES:
            raise InvalidDomain(f"the domain has {len(self.sides)} sides; at most {MAX_SIDES} are supported")
        for k, (lo, hi) in enumerate(self.sides):
            if lo > hi:
                raise InvalidDomain(f"side {k} of the domain is reversed: {format_exact(lo)} > {format_exact(hi)}")

    @property
    def dimension(self) -> int:
        """The number m of sides."""
        return len(self.sides)

    def __contains__(self, point: Sequence[Fraction]) -> bool:
        """Tell whether the point lies in the box, exactly."""
        return len(point) == len(self.sides) and all(
            lo <= x <= hi for x, (lo, hi) in zip(point, self.sides, strict=True)
        )

    def __str__(self) -> str:
        """Spell the box the way `parse_box` reads it."""
        factors: list[tuple[str, int]] = []
        for lo, hi in self.sides:
            side = f"[{_spell(lo)},{_spell(hi)}]"
            if factors and factors[-1][0] == side:
                factors[-1] = (side, factors[-1][1] + 1)
            else:
                factors.append((side, 1))
        return "x".join(side if power == 1 else f"{side}^{power}" for side, power in factors)

    def to_json(self) -> dict[str, object]:
        """The `domain` object of a certificate."""
        return {"box": [[format_exact(lo), format_exact(hi)] for lo, hi in self.sides]}


def _spell(x: Fraction) -> str:
    """Decimal digits where they end soon, else the ratio: people read these."""
    text = f"{float(x):.12g}" if abs(x) < 10**12 else ""
    return text if text and "e" not in text and Fraction(text) == x else str(x)


def parse_box(text: str) -> Box:
    """Read `"[0,1]"`, `"[0,1]^2"`, `"[-1,1]x[0,2]"`; ends are exact numbers (`0.1` means 1/10, `1/3` is allowed).

    Raises InvalidDomain, naming the column, when the text is no such product or an end is not a finite rational.
    """
    sides: list[tuple[Fraction, Fraction]] = []
    at = 0
    while True:
        factor = _FACTOR.match(text, at)
        if factor is None:
            raise InvalidDomain(f"domain, column {at + 1}: expected a side such as [0,1] in {text!r}")
        lo, hi, power = factor.groups()
        side = (_end(lo, text), _end(hi, text))
        if side[0] > side[1]:
            raise InvalidDomain(f"domain: the side [{lo},{hi}] is reversed (the lower end comes first)")
        count = int(power) if power else 1
        if not 1 <= count <= MAX_SIDES:
            raise InvalidDomain(f"domain: the power ^{count} must lie between 1 and {MAX_SIDES}")
        sides += [side] * count
        at = factor.end()
        if at == len(text):
            return Box(tuple(sides))
        if not _TIMES.match(text, at):
            raise InvalidDomain(f"domain, column {at + 1}: expected x and another side in {text!r}")
        at += 1


def parse_domain(text: str) -> tuple[Box, tuple[Box, ...]]:
    """Read a box, or a union of boxes `"[0,1] | [2,3]"`: the smallest box that holds them all, and its members.

    Raises InvalidDomain when a member is no box, or when they differ in dimension.
    """
    members = tuple(parse_box(part) for part in text.split("|"))
    if len({member.dimension for member in members}) > 1:
        raise InvalidDomain("domain: the boxes of a union must have the same number of sides")
    sides = zip(*(member.sides for member in members), strict=True)
    return Box(tuple((min(lo for lo, _ in side), max(hi for _, hi in side)) for side in sides)), members


def union_condition(members: Sequence[Box], name: Callable[[int], str]) -> str:
    """The condition, in the target language, that a point lies in one of the boxes; `name` spells the variables."""
    return " or ".join(
        "("
        + " and ".join(f"{_literal(lo)} <= {name(k)} <= {_literal(hi)}" for k, (lo, hi) in enumerate(member.sides))
        + ")"
        for member in members
    )


def _literal(x: Fraction) -> str:
    """An exact number as an expression of the target language."""
    return f"({x})" if x < 0 or x.denominator > 1 else str(x)


def _end(text: str, whole: str) -> Fraction:
    if not text:
        raise InvalidDomain(f"domain: an end is missing in {whole!r}")
    if text.lower().lstrip("+-") in {"inf", "infinity", "oo", "nan"}:
        raise InvalidDomain(f"domain: {text} is not a finite end; the domain must be compact")
    try:
        return parse_exact(text)
    except InvalidNumber as error:
        raise InvalidDomain(f"domain: {error}") from None


def box_from_json(value: object) -> Box:
    """Read the `domain` object of a certificate; raises InvalidDomain."""
    if not isinstance(value, dict) or set(value) != {"box"} or not isinstance(value["box"], list):
        raise InvalidDomain('the domain of a certificate is {"box": [[lo, hi], ...]}')
    sides = []
    for pair in value["box"]:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(end, str) for end in pair)):
            raise InvalidDomain("a side of the domain is a pair of exact numbers")
        sides.append((parse_exact(pair[0]), parse_exact(pair[1])))
    return Box(tuple(sides))
