"""Claims: what a certificate says of a target and a head."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from attncert.certificates.errors import InvalidClaim, InvalidNumber
from attncert.certificates.numbers import format_exact, parse_exact


@dataclass(frozen=True)
class SupError:
    """The claim |target - head| <= tolerance, for every entry, everywhere on the domain."""

    tolerance: Fraction

    def __post_init__(self) -> None:
        """Refuse a tolerance that is not positive (InvalidClaim)."""
        _require_positive(self.tolerance)

    def to_json(self) -> dict[str, object]:
        """The `claim` object of a certificate."""
        return {"kind": "error", "norm": "inf", "tolerance": format_exact(self.tolerance)}


@dataclass(frozen=True)
class LpError:
    """The claim (integral over the domain of the sum over entries of |target - head|^p)^(1/p) <= tolerance."""

    power: Fraction
    tolerance: Fraction

    def __post_init__(self) -> None:
        """Refuse a power below 1 and a tolerance that is not positive (InvalidClaim)."""
        if self.power < 1:
            raise InvalidClaim(f"an L_p norm has p >= 1, not {self.power}")
        _require_positive(self.tolerance)

    def to_json(self) -> dict[str, object]:
        """The `claim` object of a certificate."""
        return {"kind": "error", "norm": format_exact(self.power), "tolerance": format_exact(self.tolerance)}


@dataclass(frozen=True)
class Indicator:
    """The claim that the softmax column differs from the best token's one-hot vector by at most delta, in the 1-norm,
    outside a set of at most the given measure.
    """

    delta: Fraction
    measure: Fraction

    def __post_init__(self) -> None:
        """Refuse a delta outside ]0, 1[ and a measure that is not positive (InvalidClaim)."""
        if not 0 < self.delta < 1:
            raise InvalidClaim(f"delta must lie strictly between 0 and 1, not be {format_exact(self.delta)}")
        if self.measure <= 0:
            raise InvalidClaim(f"the measure of the layer must be positive, not {format_exact(self.measure)}")

    def to_json(self) -> dict[str, object]:
        """The `claim` object of a certificate."""
        return {"kind": "indicator", "delta": format_exact(self.delta), "measure": format_exact(self.measure)}


@dataclass(frozen=True)
class Region:
    """A declared region: the points of the domain at which the token scores at least as high as each neighbour, said to
    lie in a ball.
    """

    token: int
    neighbours: tuple[int, ...]
    centre: tuple[Fraction, ...]
    radius: Fraction

    def __post_init__(self) -> None:
        """Refuse a negative radius, and neighbours that are none (InvalidClaim)."""
        if self.radius < 0:
            raise InvalidClaim(f"region of token {self.token}: the radius must not be negative")
        if self.token in self.neighbours or len(set(self.neighbours)) < len(self.neighbours):
            raise InvalidClaim(f"region of token {self.token}: its neighbours must differ from it and from each other")

    def to_json(self) -> dict[str, object]:
        """The region, as in a certificate."""
        ball = {"centre": [format_exact(x) for x in self.centre], "radius": format_exact(self.radius)}
        return {"token": self.token, "neighbours": list(self.neighbours), **ball}


@dataclass(frozen=True)
class Partition:
    """The claim that for each output column the declared regions are those of the best token: no other token wins
    inside one, they cover the domain, meet on faces only, and each lies in its ball.
    """

    columns: tuple[tuple[Region, ...], ...]

    def __post_init__(self) -> None:
        """Refuse a token with two regions (InvalidClaim)."""
        for j, regions in enumerate(self.columns):
            if len({region.token for region in regions}) < len(regions):
                raise InvalidClaim(f"column {j}: a token has two regions")

    @property
    def regions(self) -> int:
        """The number of regions of all columns."""
        return sum(map(len, self.columns))

    @property
    def facets(self) -> int:
        """The number of neighbours of all regions."""
        return sum(len(region.neighbours) for regions in self.columns for region in regions)

    def check_fits(self, tokens: int, columns: int, inputs: int) -> None:
        """Raise InvalidClaim unless the regions are about the columns of a head, its tokens and inputs."""
        if len(self.columns) != columns:
            raise InvalidClaim(
                f"regions are declared for {len(self.columns)} output columns, but the head has {columns}"
            )
        for region in (region for regions in self.columns for region in regions):
            if not all(0 <= token < tokens for token in (region.token, *region.neighbours)):
                raise InvalidClaim(f"region of token {region.token}: the tokens are 0 to {tokens - 1}")
            if len(region.centre) != inputs:
                raise InvalidClaim(f"region of token {region.token}: the centre of its ball has not {inputs} entries")

    def to_json(self) -> dict[str, object]:
        """The `claim` object of a certificate."""
        return {"kind": "partition", "regions": [[region.to_json() for region in regions] for regions in self.columns]}


Claim = SupError | LpError | Indicator | Partition


def parse_tolerance(text: str) -> Fraction:
    """Read a tolerance: an exact positive number; raises InvalidClaim."""
    tolerance = _number(text, "tolerance")
    if tolerance <= 0:
        raise InvalidClaim(f"the tolerance must be positive, not {text}")
    return tolerance


def error_claim(norm: str, tolerance: Fraction) -> SupError | LpError:
    """The claim about the error in a norm: `inf`, or an exact number p >= 1; raises InvalidClaim."""
    if norm == "inf":
        return SupError(tolerance)
    try:
        power = parse_exact(norm)
    except InvalidNumber:
        raise InvalidClaim(f"unknown norm {norm!r}: give inf, or a number p >= 1 such as 1, 2 or 3/2") from None
    return LpError(power, tolerance)


def claim_from_json(value: Any) -> Claim:
    """Read the `claim` object of a certificate; raises InvalidClaim."""
    match value:
        case {"kind": "error", "norm": norm, "tolerance": tolerance} if len(value) == 3:
            if not isinstance(tolerance, str):
                raise InvalidClaim("the tolerance is an exact number in a string")
            if not isinstance(norm, str):
                raise InvalidClaim(f"this version does not know claims of kind 'error' in norm {norm!r}")
            return error_claim(norm, parse_tolerance(tolerance))
        case {"kind": "indicator", "delta": str(delta), "measure": str(measure)} if len(value) == 3:
            return Indicator(_number(delta, "delta"), _number(measure, "measure"))
        case {"kind": "partition", "regions": list(columns)} if len(value) == 2:
            return Partition(
                tuple(tuple(_region_from_json(region) for region in _listed(column)) for column in columns)
            )
        case {"kind": str(kind)} if kind not in ("error", "indicator", "partition"):
            raise InvalidClaim(f"this version does not know claims of kind {kind!r}")
        case _:
            raise InvalidClaim(
                "a claim has the keys kind, norm and tolerance, or kind, delta and measure, or kind and regions"
            )


def _region_from_json(value: Any) -> Region:
    match value:
        case {
            "token": int(token),
            "neighbours": list(neighbours),
            "centre": list(centre),
            "radius": str(radius),
        } if len(value) == 4 and all(type(k) is int for k in (token, *neighbours)):
            if all(isinstance(x, str) for x in centre):
                place = tuple(_number(x, "centre") for x in centre)
                return Region(token, tuple(neighbours), place, _number(radius, "radius"))
    raise InvalidClaim("a region has a token, a list of neighbours, a centre and a radius")


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidClaim("the regions of a partition are one list for each output column")
    return value


def parse_indicator(delta: str, measure: str) -> Indicator:
    """The claim from its two exact numbers; raises InvalidClaim."""
    return Indicator(_number(delta, "delta"), _number(measure, "measure"))


def _number(text: str, name: str) -> Fraction:
    try:
        return parse_exact(text)
    except InvalidNumber as error:
        raise InvalidClaim(f"{name}: {error}") from None


def _require_positive(tolerance: Fraction) -> None:
    if tolerance <= 0:
        raise InvalidClaim(f"the tolerance must be positive, not {format_exact(tolerance)}")
