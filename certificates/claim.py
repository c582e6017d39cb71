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


Claim = SupError | LpError | Indicator


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
        case {"kind": str(kind)} if kind not in ("error", "indicator"):
            raise InvalidClaim(f"this version does not know claims of kind {kind!r}")
        case _:
            raise InvalidClaim("a claim has the keys kind, norm and tolerance, or kind, delta and measure")


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
