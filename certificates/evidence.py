"""Evidence: why a claim is true (a paving) or false (a counterexample)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

from attncert.certificates.errors import InvalidCertificate
from attncert.certificates.numbers import format_exact, parse_exact


@dataclass(frozen=True)
class Paving:
    """A split tree for each output column, whose leaves a checker proves with `bound` in place of the tolerance."""

    kind: ClassVar[str] = "paving"

    bound: Fraction
    precision: int
    silence: int
    trees: tuple[str, ...] = field(repr=False)

    @property
    def leaves(self) -> int:
        """The number of boxes to be proved."""
        return sum(tree.count(".") for tree in self.trees)

    def to_json(self) -> dict[str, object]:
        """The `evidence` object of a certificate."""
        bound = format_exact(self.bound)
        numbers = {"precision": self.precision, "silence": self.silence}
        return {"kind": self.kind, "bound": bound, **numbers, "trees": list(self.trees)}


@dataclass(frozen=True)
class Counterexample:
    """A point of the domain where one entry of the head misses the target by more than the tolerance."""

    kind: ClassVar[str] = "counterexample"

    point: tuple[Fraction, ...]
    entry: tuple[int, int]
    precision: int

    def to_json(self) -> dict[str, object]:
        """The `evidence` object of a certificate."""
        point = [format_exact(x) for x in self.point]
        return {"kind": self.kind, "point": point, "entry": list(self.entry), "precision": self.precision}


Evidence = Paving | Counterexample


def evidence_from_json(value: Any) -> Evidence | None:
    """Read the `evidence` object of a certificate; raises InvalidCertificate or InvalidNumber."""
    match value:
        case None:
            return None
        case {"kind": "paving", "bound": str(bound), "precision": int(p), "silence": int(k), "trees": list(trees)} if (
            len(value) == 5 and _are_strings(trees) and not _is_bool(p, k)
        ):
            return Paving(parse_exact(bound), p, k, tuple(trees))
        case {"kind": "counterexample", "point": list(point), "entry": [int(r), int(j)], "precision": int(p)} if (
            len(value) == 4 and _are_strings(point) and not _is_bool(r, j, p)
        ):
            return Counterexample(tuple(parse_exact(x) for x in point), (r, j), p)
        case _:
            raise InvalidCertificate("the evidence is neither a paving nor a counterexample of the known form")


def _are_strings(items: Sequence[object]) -> bool:
    return all(isinstance(item, str) for item in items)


def _is_bool(*items: object) -> bool:
    """Tell whether one of them is true or false, which Python counts as integers."""
    return any(isinstance(item, bool) for item in items)
