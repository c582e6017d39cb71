"""The statement of a certificate: target, domain, attention and claim, and its digest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

from attncert.certificates.attention import AnyAttention, attention_from_json
from attncert.certificates.claim import Claim, Indicator, Partition, SupError, claim_from_json
from attncert.certificates.condition import Condition, parse_condition
from attncert.certificates.domain import Box, box_from_json
from attncert.certificates.errors import InvalidAttention, InvalidCertificate, InvalidClaim, InvalidDomain
from attncert.certificates.target import InputSpace, Target, parse_target


def canonical(value: object) -> str:
    """The canonical JSON text: sorted keys, no white space, ASCII (docs/certificate-format.md)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


@dataclass(frozen=True)
class Statement:
    """What is claimed, on the points of the box that satisfy all conditions.

    `target` is None in claims of the kinds `indicator` and `partition`, and only there.
    `spelling` keeps the canonical text of a statement that was read from a file.
    """

    target: Target | None
    domain: Box
    attention: AnyAttention
    claim: Claim
    conditions: tuple[Condition, ...] = ()
    spelling: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse parts that do not fit together (InvalidDomain, InvalidAttention, InvalidClaim)."""
        shapes = self.attention.input_shapes
        if self.domain.dimension != sum(d * n for d, n in shapes):
            inputs = " and ".join(f"{d} x {n}" for d, n in shapes)
            raise InvalidDomain(f"the domain has {self.domain.dimension} sides, but the input has {inputs} entries")
        if (self.target is None) != isinstance(self.claim, Indicator | Partition):
            raise InvalidClaim("a claim of kind 'indicator' or 'partition' has no target, every other has one")
        if not isinstance(self.claim, SupError) and any(lo == hi for lo, hi in self.domain.sides):
            raise InvalidDomain("a claim about an L_p norm, a measure or regions needs sides of positive length")
        if isinstance(self.claim, Partition):
            if self.conditions:
                raise InvalidDomain("a claim of kind 'partition' is about a box: conditions do not go with it")
            self.claim.check_fits(self.attention.tokens, self.attention.output_shape[1], self.domain.dimension)
        if self.target is not None and self.target.shape != self.attention.output_shape:
            raise InvalidAttention(
                f"the target has shape {self.target.shape}, but the head's output has {self.attention.output_shape}"
            )

    @property
    def function(self) -> Target:
        """The target of a claim that has one."""
        if self.target is None:
            raise InvalidClaim("a claim of kind 'indicator' or 'partition' has no target")
        return self.target

    @property
    def space(self) -> InputSpace:
        """The entries of the input."""
        return InputSpace(*self.attention.input_shapes)

    @cached_property
    def text(self) -> str:
        """The canonical JSON text of the statement."""
        if self.spelling is not None:
            return self.spelling
        parts = {"attention": self.attention.to_json(), "claim": self.claim.to_json()}
        domain = self.domain.to_json()
        if self.conditions:
            domain["where"] = [condition.source for condition in self.conditions]
        return canonical({"target": None if self.target is None else self.target.source, "domain": domain, **parts})

    @property
    def sha256(self) -> str:
        """The SHA-256 of the canonical text, in lower-case hexadecimal."""
        return hashlib.sha256(self.text.encode("ascii")).hexdigest()


SEARCHABLE = (Fraction(1, 10**100), Fraction(10**100))
"""Tolerances and sizes whose squares and ratios a floating-point search can represent."""


def require_searchable(box: Box, tolerance: Fraction) -> None:
    """Raise InvalidClaim or InvalidDomain when numbers are out of the range of the constructors and the verifier."""
    if not SEARCHABLE[0] <= tolerance <= SEARCHABLE[1]:
        raise InvalidClaim("the tolerance (or the measure) must lie between 1e-100 and 1e100")
    if any(max(abs(lo), abs(hi)) > SEARCHABLE[1] for lo, hi in box.sides):
        raise InvalidDomain("the ends of the domain must lie between -1e100 and 1e100")
    if any(0 < hi - lo < SEARCHABLE[0] for lo, hi in box.sides):
        raise InvalidDomain("a side of the domain must be a point or at least 1e-100 long")


def statement_from_json(value: object) -> Statement:
    """Read the `statement` object of a certificate; raises InputError with the reason."""
    if not isinstance(value, dict) or set(value) != {"target", "domain", "attention", "claim"}:
        raise InvalidCertificate("a statement has the keys target, domain, attention and claim")
    source = value["target"]
    if source is not None and not isinstance(source, str):
        raise InvalidCertificate("the target of a statement is a string, or null in a claim about regions")
    attention = attention_from_json(value["attention"])
    space = InputSpace(*attention.input_shapes)
    domain = value["domain"]
    conditions: object = []
    if isinstance(domain, dict) and "where" in domain:
        conditions, domain = domain["where"], {key: entry for key, entry in domain.items() if key != "where"}
    if not isinstance(conditions, list) or not all(isinstance(condition, str) for condition in conditions):
        raise InvalidCertificate('the "where" of a domain is a list of conditions')
    return Statement(
        target=None if source is None else parse_target(source, space),
        domain=box_from_json(domain),
        conditions=tuple(parse_condition(condition, space) for condition in conditions),
        attention=attention,
        claim=claim_from_json(value["claim"]),
        spelling=canonical(value),
    )
