"""Claims: what a certificate says of a target and a head."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from attncert.certificates.errors import InvalidClaim, InvalidNumber
from attncert.certificates.numbers import format_exact, parse_exact


@dataclass(frozen=True)
class SupError:
    """The claim |target - head| <= tolerance, for every entry, everywhere on the domain."""

    tolerance: Fraction

    def __post_init__(self) -> None:
        """Refuse a tolerance that is not positive (InvalidClaim)."""
        if self.tolerance <= 0:
            raise InvalidClaim(f"the tolerance must be positive, not {format_exact(self.tolerance)}")

    def to_json(self) -> dict[str, object]:
        """The `claim` object of a certificate."""
        return {"kind": "error", "norm": "inf", "tolerance": format_exact(self.tolerance)}


def parse_tolerance(text: str) -> Fraction:
    """Read a tolerance: an exact positive number; raises InvalidClaim."""
    try:
        tolerance = parse_exact(text)
    except InvalidNumber as error:
        raise InvalidClaim(f"tolerance: {error}") from None
    if tolerance <= 0:
        raise InvalidClaim(f"the tolerance must be positive, not {text}")
    return tolerance


def claim_from_json(value: object) -> SupError:
    """Read the `claim` object of a certificate; raises InvalidClaim."""
    if not isinstance(value, dict) or set(value) != {"kind", "norm", "tolerance"}:
        raise InvalidClaim("a claim has the keys kind, norm and tolerance")
    if value["kind"] != "error" or value["norm"] != "inf":
        raise InvalidClaim(f"this version does not know claims of kind {value['kind']!r} in norm {value['norm']!r}")
    if not isinstance(value["tolerance"], str):
        raise InvalidClaim("the tolerance is an exact number in a string")
    return SupError(parse_tolerance(value["tolerance"]))
